#include "node/replica_slow.h"

#include <string.h>

#include "base/assert.h"

const char *pd_replica_timed_what(enum pd_replica_request_kind kind)
{
    switch (kind) {
    case PD_REPLICA_REQUEST_WRITE:
        return "write";
    case PD_REPLICA_REQUEST_READ:
        return "range";
    case PD_REPLICA_REQUEST_LEASE:
        return "lease";
    case PD_REPLICA_REQUEST_LEASES:
        return "leases";
    case PD_REPLICA_REQUEST_WATCH:
        return "watch";
    case PD_REPLICA_REQUEST_UNWATCH:
        return "unwatch";
    case PD_REPLICA_REQUEST_ADD_LEARNER:
        return "add learner";
    case PD_REPLICA_REQUEST_PROMOTE:
        return "promote";
    case PD_REPLICA_REQUEST_REMOVE:
        return "remove";
    case PD_REPLICA_REQUEST_LEAVE:
        return "leave";
    case PD_REPLICA_REQUEST_TRANSFER:
        return "transfer";
    case PD_REPLICA_REQUEST_STATUS:
        return "status";
    case PD_REPLICA_REQUEST_WATCH_CREDIT:
        return "watch credit";
    case PD_REPLICA_REQUEST_MEMBERS:
        return "members";
    case PD_REPLICA_REQUEST_ABOUT:
        return "about";
    case PD_REPLICA_REQUEST_SNAPSHOT:
        return "snapshot";
    case PD_REPLICA_REQUEST_SNAPSHOT_END:
        return "snapshot end";
    case PD_REPLICA_REQUEST_HEARD:
        return "heard";
    }
    return "request";
}

static const char *what_of(const struct pd_kv_command *command)
{
    switch (command->kind) {
    case PD_KV_OPS:
        break;
    case PD_KV_COMPACT:
        return "compact";
    case PD_KV_LEASE_GRANT:
        return "lease grant";
    case PD_KV_LEASE_REVOKE:
        return "lease revoke";
    case PD_KV_LEASE_KEEPALIVE:
        return "lease keep-alive";
    case PD_KV_SESSION_OPEN:
        return "session open";
    case PD_KV_SESSION_CLOSE:
        return "session close";
    case PD_KV_SESSION_KEEPALIVE:
        return "session keep-alive";
    case PD_KV_MEMBER_PUT:
    case PD_KV_MEMBER_REMOVE:
    case PD_KV_MEMBER_TELL:
        return "member";
    case PD_KV_NOOP:
    case PD_KV_LEASE_EXPIRE:
    case PD_KV_LEASES_EXTEND:
    case PD_KV_SESSION_EXPIRE:
    case PD_KV_VERSION_RAISE:
        return "write";
    }
    return "write";
}

static struct pd_span key_of(const struct pd_kv_op *op)
{
    switch (op->kind) {
    case PD_KV_OP_RANGE:
        return op->as.range.key;
    case PD_KV_OP_PUT:
        return op->as.put.key;
    case PD_KV_OP_DELETE:
        return op->as.delete_range.key;
    case PD_KV_OP_TXN:
        break;
    }
    return (struct pd_span){NULL, 0};
}

void pd_replica_timed_key(struct pd_replica_timed *timed, struct pd_span key)
{
    size_t kept = key.size < sizeof timed->key ? key.size : sizeof timed->key;
    timed->key_size = (uint32_t)key.size;
    if (kept > 0) {
        memcpy(timed->key, key.bytes, kept);
    }
}

void pd_replica_timed_command(struct pd_replica_timed *timed, const struct pd_kv_command *command)
{
    static const char *const names[] = {[PD_KV_OP_RANGE] = "range",
                                        [PD_KV_OP_PUT] = "put",
                                        [PD_KV_OP_DELETE] = "delete",
                                        [PD_KV_OP_TXN] = "txn"};
    if (command->kind != PD_KV_OPS) {
        timed->what = what_of(command);
        return;
    }
    const struct pd_kv_op *op = &command->ops[0];
    timed->what = names[op->kind];
    if (op->kind == PD_KV_OP_TXN && command->compare_count > 0) {
        pd_replica_timed_key(timed, command->compares[0].key);
    } else if (op->kind == PD_KV_OP_TXN && command->op_count > 1) {
        pd_replica_timed_key(timed, key_of(&command->ops[1]));
    } else {
        pd_replica_timed_key(timed, key_of(op));
    }
}

static uint64_t between(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? to_ns - from_ns : 0;
}

void pd_replica_timed_end(const struct pd_replica_timed *timed, uint64_t now_ns,
                          enum pd_replica_outcome outcome, struct pd_replica_slow *slow_out)
{
    uint64_t agreed_ns = timed->agreed_ns == 0 ? now_ns : timed->agreed_ns;
    uint64_t logged_ns = timed->logged_ns;
    pd_assert(timed->asked_ns != 0);
    if (timed->agreed_ns != 0 && (logged_ns == 0 || logged_ns > agreed_ns)) {
        logged_ns = timed->begun_ns; /* nobody waited for this node's own log */
    } else if (logged_ns == 0) {
        logged_ns = now_ns;
    }
    *slow_out = (struct pd_replica_slow){
        .what = timed->what,
        .outcome = outcome,
        .queue_ns = between(timed->asked_ns, timed->begun_ns),
        .sync_ns = between(timed->begun_ns, logged_ns),
        .replicate_ns = between(logged_ns, agreed_ns),
        .apply_ns = between(agreed_ns, now_ns),
        .total_ns = between(timed->asked_ns, now_ns),
        .key_size = timed->key_size,
    };
    memcpy(slow_out->key, timed->key, sizeof slow_out->key);
}
