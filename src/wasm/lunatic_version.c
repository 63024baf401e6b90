/* lunatic::version: the version of Lunatic whose ABI this is. */
#include "wasm/abi_tables.h"

static enum pd_call_result major_version(struct pd_call *call)
{
    return pd_call_done(call, 0);
}

static enum pd_call_result minor_version(struct pd_call *call)
{
    return pd_call_done(call, 13);
}

static enum pd_call_result patch_version(struct pd_call *call)
{
    return pd_call_done(call, 2);
}

const struct pd_import pd_lunatic_version_imports[] = {
    {"lunatic::version", "major", "->i", PD_CALL_SYNC, major_version},
    {"lunatic::version", "minor", "->i", PD_CALL_SYNC, minor_version},
    {"lunatic::version", "patch", "->i", PD_CALL_SYNC, patch_version},
};
const size_t pd_lunatic_version_import_count =
    sizeof pd_lunatic_version_imports / sizeof pd_lunatic_version_imports[0];
