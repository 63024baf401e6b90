#include "sim/operation.h"

#include "base/assert.h"

bool pd_sim_op_is_read(enum pd_sim_op op)
{
    return op == PD_SIM_READ || op == PD_SIM_READ_RANGE || op == PD_SIM_READ_LOCAL ||
           op == PD_SIM_READ_PAST;
}

const char *pd_sim_op_name(enum pd_sim_op op)
{
    static const char *const names[PD_SIM_OP_COUNT] = {[PD_SIM_READ] = "read",
                                                       [PD_SIM_READ_RANGE] = "range read",
                                                       [PD_SIM_READ_LOCAL] = "serializable read",
                                                       [PD_SIM_READ_PAST] = "read of the past",
                                                       [PD_SIM_WRITE] = "write",
                                                       [PD_SIM_CAS] = "compare and swap",
                                                       [PD_SIM_TXN] = "transaction",
                                                       [PD_SIM_DELETE] = "delete",
                                                       [PD_SIM_COMPACT] = "compaction",
                                                       [PD_SIM_GRANT] = "lease grant",
                                                       [PD_SIM_ATTACH] = "write with a lease",
                                                       [PD_SIM_KEEP] = "lease renewal",
                                                       [PD_SIM_REVOKE] = "lease revocation",
                                                       [PD_SIM_OPEN] = "session"};
    return (unsigned)op < PD_SIM_OP_COUNT ? names[op] : "?";
}

/* What one command is made of, and what its spans point to. */
struct parts {
    struct pd_sim_key key;
    struct pd_sim_key next;
    struct pd_sim_key behind;
    struct pd_sim_key end;
    struct pd_sim_value value;
    struct pd_sim_value other;
    struct pd_kv_op ops[8];
    struct pd_kv_compare compares[1];
};

static void put_op(struct pd_kv_op *op, const struct pd_sim_operation *operation,
                   const struct pd_sim_key *key, const struct pd_sim_value *value)
{
    *op = (struct pd_kv_op){
        .kind = PD_KV_OP_PUT,
        .as.put = {.key = pd_sim_key_span(key),
                   .value = pd_sim_value_span(value),
                   .lease = operation->lease,
                   .prev_kv = operation->prev_kv},
    };
}

static void range_op(struct pd_kv_op *op, const struct pd_sim_key *key,
                     const struct pd_sim_key *end)
{
    *op = (struct pd_kv_op){.kind = PD_KV_OP_RANGE, .as.range = {.key = pd_sim_key_span(key)}};
    if (end != NULL) {
        op->as.range.range_end = pd_sim_key_span(end);
    }
}

/* if (mod revision == expected) put; else range. A lock: if (it is not there) put. */
static void cas(struct pd_kv_command *command, struct parts *parts,
                const struct pd_sim_operation *operation)
{
    bool is_lock = operation->expected < 0;
    parts->compares[0] = (struct pd_kv_compare){
        .result = PD_KV_EQUAL,
        .target = is_lock ? PD_KV_COMPARE_CREATE : PD_KV_COMPARE_MOD,
        .key = pd_sim_key_span(&parts->key),
        .number = is_lock ? 0 : operation->expected,
    };
    parts->ops[0] = (struct pd_kv_op){
        .kind = PD_KV_OP_TXN,
        .as.txn = {.compare_count = 1, .then_count = 1, .else_count = 1},
    };
    put_op(&parts->ops[1], operation, &parts->key, &parts->value);
    range_op(&parts->ops[2], &parts->key, NULL);
    command->op_count = 3;
    command->compare_count = 1;
}

/* Two neighbours are put, the one behind them goes, and the three are read back. */
static void txn(struct pd_kv_command *command, struct parts *parts,
                const struct pd_sim_operation *operation)
{
    parts->next = pd_sim_key_make(operation->key + 1);
    parts->behind = pd_sim_key_make(operation->key + 2);
    parts->end = pd_sim_key_make(operation->key + 3);
    parts->ops[0] = (struct pd_kv_op){.kind = PD_KV_OP_TXN, .as.txn = {.then_count = 4}};
    put_op(&parts->ops[1], operation, &parts->key, &parts->value);
    put_op(&parts->ops[2], operation, &parts->next, &parts->other);
    parts->ops[3] = (struct pd_kv_op){
        .kind = PD_KV_OP_DELETE,
        .as.delete_range = {.key = pd_sim_key_span(&parts->behind), .prev_kv = operation->prev_kv}};
    range_op(&parts->ops[4], &parts->key, &parts->end);
    command->op_count = 5;
}

static void encode_ops(struct pd_kv_writer *writer, const struct pd_sim_operation *operation)
{
    struct parts parts = {.key = pd_sim_key_make(operation->key),
                          .end = pd_sim_key_make(operation->end)};
    struct pd_kv_command command = {
        .kind = PD_KV_OPS, .ops = parts.ops, .compares = parts.compares, .op_count = 1};
    pd_sim_value_make(operation->value, &parts.value);
    pd_sim_value_make(operation->value + 1, &parts.other);
    if (operation->op == PD_SIM_CAS) {
        cas(&command, &parts, operation);
    } else if (operation->op == PD_SIM_TXN) {
        txn(&command, &parts, operation);
    } else if (operation->op == PD_SIM_DELETE) {
        parts.ops[0] = (struct pd_kv_op){
            .kind = PD_KV_OP_DELETE,
            .as.delete_range = {.key = pd_sim_key_span(&parts.key), .prev_kv = operation->prev_kv}};
        if (operation->end > 0) {
            parts.ops[0].as.delete_range.range_end = pd_sim_key_span(&parts.end);
        }
    } else if (pd_sim_op_is_read(operation->op)) {
        range_op(&parts.ops[0], &parts.key, operation->end > 0 ? &parts.end : NULL);
        parts.ops[0].as.range.limit = operation->limit;
        parts.ops[0].as.range.revision = operation->at_revision;
    } else {
        put_op(&parts.ops[0], operation, &parts.key, &parts.value);
    }
    pd_kv_command_encode(writer, &command);
}

static void encode_plain(struct pd_kv_writer *writer, const struct pd_sim_operation *operation)
{
    struct pd_kv_command command = {
        .kind = operation->op == PD_SIM_COMPACT  ? PD_KV_COMPACT
                : operation->op == PD_SIM_GRANT  ? PD_KV_LEASE_GRANT
                : operation->op == PD_SIM_KEEP   ? PD_KV_LEASE_KEEPALIVE
                : operation->op == PD_SIM_REVOKE ? PD_KV_LEASE_REVOKE
                                                 : PD_KV_SESSION_OPEN,
        .revision = operation->at_revision,
        .id = operation->lease,
        .ttl_s = operation->ttl_s,
        .duration_ns = operation->duration_ns,
    };
    pd_kv_command_encode(writer, &command);
}

static bool is_plain(enum pd_sim_op op)
{
    return op == PD_SIM_COMPACT || op == PD_SIM_GRANT || op == PD_SIM_KEEP || op == PD_SIM_REVOKE ||
           op == PD_SIM_OPEN;
}

size_t pd_sim_operation_encode(const struct pd_sim_operation *operation,
                               uint8_t bytes[PD_SIM_REQUEST_BYTES_MAX])
{
    const struct pd_replica_request_head head = {
        .kind =
            pd_sim_op_is_read(operation->op) ? PD_REPLICA_REQUEST_READ : PD_REPLICA_REQUEST_WRITE,
        .flags = operation->op == PD_SIM_READ_LOCAL ? PD_REPLICA_REQUEST_SERIALIZABLE : 0,
        .session = operation->session,
        .sequence = operation->sequence,
        .low = operation->sequence,
    };
    pd_replica_request_put_head(bytes, &head);
    struct pd_kv_writer writer = {.bytes = bytes + PD_REPLICA_REQUEST_HEAD_SIZE,
                                  .bytes_max =
                                      PD_SIM_REQUEST_BYTES_MAX - PD_REPLICA_REQUEST_HEAD_SIZE};
    if (is_plain(operation->op)) {
        encode_plain(&writer, operation);
    } else {
        encode_ops(&writer, operation);
    }
    pd_assert(!writer.is_full);
    return PD_REPLICA_REQUEST_HEAD_SIZE + writer.size;
}
