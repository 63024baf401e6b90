#include "kv/command.h"

#include "base/assert.h"

struct text {
    const char *text;
    uint32_t code;
};

/* gRPC's codes: 3 invalid argument, 5 not found, 8 exhausted, 9 failed precondition, 11 out of
 * range. */
static const struct text texts[] = {
    [PD_KV_OK] = {"ok", 0},
    [PD_KV_ERR_MALFORMED] = {"etcdserver: malformed request", 3},
    [PD_KV_ERR_EMPTY_KEY] = {"etcdserver: key is not provided", 3},
    [PD_KV_ERR_KEY_NOT_FOUND] = {"etcdserver: key not found", 3},
    [PD_KV_ERR_VALUE_PROVIDED] = {"etcdserver: value is provided", 3},
    [PD_KV_ERR_LEASE_PROVIDED] = {"etcdserver: lease is provided", 3},
    [PD_KV_ERR_TOO_MANY_OPS] = {"etcdserver: too many operations in txn request", 3},
    [PD_KV_ERR_DUPLICATE_KEY] = {"etcdserver: duplicate key given in txn request", 3},
    [PD_KV_ERR_INVALID_SORT] = {"etcdserver: invalid sort option", 3},
    [PD_KV_ERR_TOO_LARGE] = {"etcdserver: request is too large", 3},
    [PD_KV_ERR_COMPACTED] = {"etcdserver: mvcc: required revision has been compacted", 11},
    [PD_KV_ERR_FUTURE_REVISION] = {"etcdserver: mvcc: required revision is a future revision", 11},
    [PD_KV_ERR_LEASE_NOT_FOUND] = {"etcdserver: requested lease not found", 5},
    [PD_KV_ERR_LEASE_EXISTS] = {"etcdserver: lease already exists", 9},
    [PD_KV_ERR_LEASE_TTL_TOO_LARGE] = {"etcdserver: too large lease TTL", 11},
    [PD_KV_ERR_LEASES_FULL] = {"etcdserver: too many leases", 8},
    [PD_KV_ERR_ANSWER_TOO_LARGE] = {"etcdserver: answer is too large", 8},
    [PD_KV_ERR_SESSION_UNKNOWN] = {"etcdserver: session is unknown or expired", 5},
    [PD_KV_ERR_SESSION_STALE] = {"etcdserver: answer was freed below the session's low mark", 11},
    [PD_KV_ERR_SESSION_AHEAD] = {"etcdserver: sequence is beyond the session's window", 11},
    [PD_KV_ERR_SESSION_ANSWERS_FULL] = {"etcdserver: session holds too many answers", 8},
    [PD_KV_ERR_SESSIONS_FULL] = {"etcdserver: too many sessions", 8},
    [PD_KV_ERR_INVALID] = {"etcdserver: a field is out of its range", 3},
    [PD_KV_ERR_MEMBER_NOT_FOUND] = {"etcdserver: member not found", 5},
    [PD_KV_ERR_MEMBER_REMOVED] = {"etcdserver: that node was removed for good: empty its folder, "
                                  "and it joins as a new one",
                                  9},
    [PD_KV_ERR_MEMBER_KEY] = {"etcdserver: a member's key cannot change, nor be another's", 9},
    [PD_KV_ERR_MEMBERS_FULL] = {"etcdserver: too many members", 8},
};

_Static_assert(sizeof texts / sizeof texts[0] == PD_KV_ERR_COUNT, "each error has a text");

const char *pd_kv_error_text(enum pd_kv_error error)
{
    pd_assert((unsigned)error < PD_KV_ERR_COUNT);
    return texts[error].text;
}

uint32_t pd_kv_error_grpc_code(enum pd_kv_error error)
{
    pd_assert((unsigned)error < PD_KV_ERR_COUNT);
    return texts[error].code;
}
