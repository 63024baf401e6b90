/* pando::registry: names of processes, never taken from who has them.
 *
 *   register(name, len, pid) -> 0 done · 1 the name is taken, or held · 2 no such process · 3 the
 *   registry is full whereis(name, len, pid_out) -> 0 found · 1 nobody has it
 *   unregister(name, len) -> 0 done · 1 nobody had it
 *
 * A name is 1 to PD_NAME_MAX bytes of UTF-8; others trap. */
#include "actor/registry.h"

#include "wasm/abi_tables.h"
#include "wasm/wasm_process.h"

#define MODULE "pando::registry"

enum {
    DONE = 0,
    TAKEN = 1,
    ABSENT = 1,
    NO_PROCESS = 2,
    FULL = 3
};

/* The name of arguments 0 and 1; NULL after a trap. */
static const char *name_of(struct pd_call *call)
{
    uint32_t size = pd_call_u32(call, 1);
    if (size == 0 || size > PD_NAME_MAX) {
        (void)pd_call_trap(call, MODULE ": a name of %u bytes, where 1 to %u are allowed",
                           (unsigned)size, PD_NAME_MAX);
        return NULL;
    }
    return pd_call_text(call, pd_call_u32(call, 0), size, PD_NAME_MAX, "name");
}

static enum pd_call_result register_name(struct pd_call *call)
{
    const struct pd_process *self = pd_call_process(call)->process;
    const char *name = name_of(call);
    if (name == NULL) {
        return PD_CALL_TRAP;
    }
    enum pd_status status = pd_registry_put(self->environment, name, pd_call_u32(call, 1), 0,
                                            call->arguments[2], self->pid, false);
    switch (status) {
    case PD_OK:
        return pd_call_done(call, DONE);
    case PD_ERR_EXISTS:
        return pd_call_done(call, TAKEN);
    case PD_ERR_UNKNOWN:
        return pd_call_done(call, NO_PROCESS);
    case PD_ERR_FULL:
        return pd_call_done(call, FULL);
    case PD_ERR_INVALID:
    case PD_ERR_RANGE:
    case PD_ERR_DENIED:
    case PD_ERR_TIMEOUT:
    case PD_ERR_IO:
    case PD_ERR_NO_MEMORY:
    case PD_ERR_CORRUPT:
    case PD_ERR_CLOSED:
    case PD_ERR_UNSUPPORTED:
        break;
    }
    return pd_call_trap(call, MODULE "::register: %s", pd_status_text(status));
}

static enum pd_call_result whereis(struct pd_call *call)
{
    const char *name = name_of(call);
    if (name == NULL) {
        return PD_CALL_TRAP;
    }
    uint64_t node = 0;
    uint64_t pid = 0;
    enum pd_status status = PD_OK;
    enum pd_registry_answer answer =
        pd_registry_get(pd_call_process(call)->process->environment, name, pd_call_u32(call, 1),
                        false, 0, NULL, &node, &pid, &status);
    if (answer != PD_REGISTRY_FOUND) {
        return pd_call_done(call, ABSENT);
    }
    return pd_call_write_u64(call, pd_call_u32(call, 2), pid);
}

static enum pd_call_result unregister_name(struct pd_call *call)
{
    const char *name = name_of(call);
    if (name == NULL) {
        return PD_CALL_TRAP;
    }
    bool was_there =
        pd_registry_remove(pd_call_process(call)->process->environment, name, pd_call_u32(call, 1));
    return pd_call_done(call, was_there ? DONE : ABSENT);
}

const struct pd_import pd_pando_registry_imports[] = {
    {MODULE, "register", "iiI->i", PD_CALL_DEFERRED, register_name},
    {MODULE, "whereis", "iii->i", PD_CALL_SYNC, whereis},
    {MODULE, "unregister", "ii->i", PD_CALL_DEFERRED, unregister_name},
};
const size_t pd_pando_registry_import_count =
    sizeof pd_pando_registry_imports / sizeof pd_pando_registry_imports[0];
