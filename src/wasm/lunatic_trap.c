/* lunatic::trap: a call back into the guest that survives its own trap. */
#include "wasm/abi_tables.h"

/* Whatever ended the inner call (a trap, proc_exit, the end of the fuel), the outer one sees 0. */
static enum pd_call_result catch_over(struct pd_call *call, bool is_ok, uint32_t value)
{
    return pd_call_done(call, is_ok ? value : 0);
}

static enum pd_call_result catch_trap(struct pd_call *call)
{
    const uint32_t arguments[2] = {pd_call_u32(call, 0), pd_call_u32(call, 1)};
    return pd_call_nested(call, "_lunatic_catch_trap", arguments, 2, catch_over);
}

const struct pd_import pd_lunatic_trap_imports[] = {
    {"lunatic::trap", "catch", "ii->i", PD_CALL_ASYNC, catch_trap},
};
const size_t pd_lunatic_trap_import_count =
    sizeof pd_lunatic_trap_imports / sizeof pd_lunatic_trap_imports[0];
