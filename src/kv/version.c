#include "kv/version.h"

uint32_t pd_kv_version_of(enum pd_kv_command_kind kind)
{
    switch (kind) {
    case PD_KV_NOOP:
    case PD_KV_OPS:
    case PD_KV_COMPACT:
    case PD_KV_LEASE_GRANT:
    case PD_KV_LEASE_REVOKE:
    case PD_KV_LEASE_KEEPALIVE:
    case PD_KV_LEASE_EXPIRE:
    case PD_KV_LEASES_EXTEND:
    case PD_KV_SESSION_OPEN:
    case PD_KV_SESSION_CLOSE:
    case PD_KV_SESSION_KEEPALIVE:
    case PD_KV_SESSION_EXPIRE:
    case PD_KV_MEMBER_PUT:
    case PD_KV_MEMBER_REMOVE:
    case PD_KV_VERSION_RAISE:
        return 1;
    case PD_KV_MEMBER_TELL:
        return 2;
    }
    return UINT32_MAX;
}

const char *pd_kv_version_adds(uint32_t version)
{
    switch (version) {
    case 1:
        return "the first one";
    case 2:
        return "members tell their program and its limit; the directory keeps it";
    default:
        return "";
    }
}
