#include "gateway/kv_request.h"

#include <string.h>

#include "base/assert.h"

/* What an operation or a compare takes beside its keys and values, at most: a dozen numbers. */
#define FIELD_BYTES_MAX 160u

/* A txn on the way through its operations, the `then` ones first. */
struct frame {
    const Etcdserverpb__TxnRequest *txn;
    size_t next;
    size_t ops_left; /* what the txns inside of it may have */
};

/* The whole tree: what it takes to hold it. */
struct walk {
    struct frame frames[PD_KV_TXN_DEPTH_MAX];
    uint32_t depth; /* frames under way */
    size_t ops;
    size_t compares;
    size_t bytes; /* of keys and values */
    bool writes;
};

static struct pd_span span(ProtobufCBinaryData bytes)
{
    return (struct pd_span){bytes.data, bytes.len};
}

struct pd_span pd_kv_request_of(struct pd_arena *arena, const struct pd_kv_command *command,
                                size_t key_bytes)
{
    size_t most = key_bytes + FIELD_BYTES_MAX * ((size_t)command->op_count + 1) +
                  FIELD_BYTES_MAX * (size_t)command->compare_count;
    struct pd_kv_writer writer = {.bytes = pd_arena_take(arena, most), .bytes_max = most};
    if (writer.bytes == NULL) {
        return (struct pd_span){NULL, 0};
    }
    pd_kv_command_encode(&writer, command);
    pd_assert(!writer.is_full);
    return (struct pd_span){writer.bytes, writer.size};
}

struct pd_span pd_kv_request_simple(struct pd_arena *arena, const struct pd_kv_command *command)
{
    return pd_kv_request_of(arena, command, 0);
}

static enum pd_kv_error encode_op(struct pd_arena *arena, struct pd_kv_op *op, size_t key_bytes,
                                  struct pd_span *bytes_out)
{
    op->end = 1;
    const struct pd_kv_command command = {.kind = PD_KV_OPS, .ops = op, .op_count = 1};
    *bytes_out = pd_kv_request_of(arena, &command, key_bytes);
    return bytes_out->size == 0 ? PD_KV_ERR_TOO_LARGE : PD_KV_OK;
}

/* -- What is refused before it is looked at more closely --------------------------------------- */

/* In etcd's order, which tells which of two mistakes is named. The store checks the same again, and
 * more; its order is every replica's, and stays. */
static enum pd_kv_error check_range(const Etcdserverpb__RangeRequest *request)
{
    if (request->key.len == 0) {
        return PD_KV_ERR_EMPTY_KEY;
    }
    bool is_sort = (unsigned)request->sort_order <= PD_KV_SORT_DESCEND &&
                   (unsigned)request->sort_target <= PD_KV_SORT_VALUE;
    return is_sort ? PD_KV_OK : PD_KV_ERR_INVALID_SORT;
}

static enum pd_kv_error check_put(const Etcdserverpb__PutRequest *request)
{
    if (request->key.len == 0) {
        return PD_KV_ERR_EMPTY_KEY;
    }
    if (request->ignore_value && request->value.len > 0) {
        return PD_KV_ERR_VALUE_PROVIDED;
    }
    return request->ignore_lease && request->lease != 0 ? PD_KV_ERR_LEASE_PROVIDED : PD_KV_OK;
}

static enum pd_kv_error check_delete(const Etcdserverpb__DeleteRangeRequest *request)
{
    return request->key.len == 0 ? PD_KV_ERR_EMPTY_KEY : PD_KV_OK;
}

/* -- One operation ----------------------------------------------------------------------------- */

/* The request is checked. */
static void take_range(const Etcdserverpb__RangeRequest *request, struct pd_kv_op *op)
{
    *op = (struct pd_kv_op){
        .kind = PD_KV_OP_RANGE,
        .as.range = {.key = span(request->key),
                     .range_end = span(request->range_end),
                     .limit = request->limit,
                     .revision = request->revision,
                     .sort_order = (enum pd_kv_sort_order)request->sort_order,
                     .sort_target = (enum pd_kv_sort_target)request->sort_target,
                     .keys_only = request->keys_only,
                     .count_only = request->count_only,
                     .min_mod_revision = request->min_mod_revision,
                     .max_mod_revision = request->max_mod_revision,
                     .min_create_revision = request->min_create_revision,
                     .max_create_revision = request->max_create_revision},
    };
}

static void take_put(const Etcdserverpb__PutRequest *request, struct pd_kv_op *op)
{
    *op = (struct pd_kv_op){
        .kind = PD_KV_OP_PUT,
        .as.put = {.key = span(request->key),
                   .value = span(request->value),
                   .lease = request->lease,
                   .prev_kv = request->prev_kv,
                   .ignore_value = request->ignore_value,
                   .ignore_lease = request->ignore_lease},
    };
}

static void take_delete(const Etcdserverpb__DeleteRangeRequest *request, struct pd_kv_op *op)
{
    *op = (struct pd_kv_op){
        .kind = PD_KV_OP_DELETE,
        .as.delete_range = {.key = span(request->key),
                            .range_end = span(request->range_end),
                            .prev_kv = request->prev_kv},
    };
}

enum pd_kv_error pd_kv_request_range(struct pd_arena *arena,
                                     const Etcdserverpb__RangeRequest *request,
                                     struct pd_span *bytes_out)
{
    struct pd_kv_op op;
    enum pd_kv_error error = check_range(request);
    if (error != PD_KV_OK) {
        return error;
    }
    take_range(request, &op);
    return encode_op(arena, &op, request->key.len + request->range_end.len, bytes_out);
}

enum pd_kv_error pd_kv_request_page(struct pd_arena *arena, const struct pd_kv_range *range,
                                    struct pd_span *bytes_out)
{
    struct pd_kv_op op = {.kind = PD_KV_OP_RANGE, .as.range = *range};
    return encode_op(arena, &op, range->key.size + range->range_end.size, bytes_out);
}

enum pd_kv_error pd_kv_request_put(struct pd_arena *arena, const Etcdserverpb__PutRequest *request,
                                   struct pd_span *bytes_out)
{
    struct pd_kv_op op;
    enum pd_kv_error error = check_put(request);
    if (error != PD_KV_OK) {
        return error;
    }
    take_put(request, &op);
    return encode_op(arena, &op, request->key.len + request->value.len, bytes_out);
}

enum pd_kv_error pd_kv_request_delete(struct pd_arena *arena,
                                      const Etcdserverpb__DeleteRangeRequest *request,
                                      struct pd_span *bytes_out)
{
    struct pd_kv_op op;
    enum pd_kv_error error = check_delete(request);
    if (error != PD_KV_OK) {
        return error;
    }
    take_delete(request, &op);
    return encode_op(arena, &op, request->key.len + request->range_end.len, bytes_out);
}

/* -- Transactions ------------------------------------------------------------------------------ */

static enum pd_kv_error take_compare(const Etcdserverpb__Compare *compare,
                                     struct pd_kv_compare *compare_out)
{
    if ((unsigned)compare->result > PD_KV_NOT_EQUAL ||
        (unsigned)compare->target > PD_KV_COMPARE_LEASE) {
        return PD_KV_ERR_INVALID;
    }
    *compare_out = (struct pd_kv_compare){
        .result = (enum pd_kv_compare_result)compare->result,
        .target = (enum pd_kv_compare_target)compare->target,
        .key = span(compare->key),
        .range_end = span(compare->range_end),
    };
    /* What the target does not ask for is left out, as in etcd. */
    Etcdserverpb__Compare__TargetUnionCase given = compare->target_union_case;
    switch (compare_out->target) {
    case PD_KV_COMPARE_VERSION:
        compare_out->number =
            given == ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION ? compare->version : 0;
        break;
    case PD_KV_COMPARE_CREATE:
        compare_out->number = given == ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION
                                  ? compare->create_revision
                                  : 0;
        break;
    case PD_KV_COMPARE_MOD:
        compare_out->number =
            given == ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION ? compare->mod_revision : 0;
        break;
    case PD_KV_COMPARE_VALUE:
        if (given == ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE) {
            compare_out->value = span(compare->value);
        }
        break;
    case PD_KV_COMPARE_LEASE:
        compare_out->number =
            given == ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE ? compare->lease : 0;
        break;
    }
    return PD_KV_OK;
}

/* The next operation in preorder, or NULL when the tree has been walked. */
static const Etcdserverpb__RequestOp *next_op(struct walk *walk)
{
    while (walk->depth > 0) {
        struct frame *frame = &walk->frames[walk->depth - 1];
        const Etcdserverpb__TxnRequest *txn = frame->txn;
        size_t at = frame->next++;
        if (at < txn->n_success) {
            return txn->success[at];
        }
        if (at - txn->n_success < txn->n_failure) {
            return txn->failure[at - txn->n_success];
        }
        walk->depth--;
    }
    return NULL;
}

static enum pd_kv_error enter(struct walk *walk, const Etcdserverpb__TxnRequest *txn,
                              const struct pd_kv_limits *limits)
{
    size_t most = txn->n_compare;
    most = most > txn->n_success ? most : txn->n_success;
    most = most > txn->n_failure ? most : txn->n_failure;
    size_t left = walk->depth == 0 ? limits->txn_ops_max : walk->frames[walk->depth - 1].ops_left;
    if (walk->depth == PD_KV_TXN_DEPTH_MAX || most > left) {
        return PD_KV_ERR_TOO_MANY_OPS;
    }
    walk->frames[walk->depth++] = (struct frame){.txn = txn, .ops_left = left - most};
    return PD_KV_OK;
}

static enum pd_kv_error count_txn(struct walk *walk, const Etcdserverpb__TxnRequest *txn,
                                  const struct pd_kv_limits *limits)
{
    walk->compares += txn->n_compare;
    if (walk->ops > pd_kv_command_ops_max(limits) ||
        walk->compares > pd_kv_command_ops_max(limits)) {
        return PD_KV_ERR_TOO_MANY_OPS;
    }
    enum pd_kv_error error = enter(walk, txn, limits);
    for (size_t i = 0; i < txn->n_compare && error == PD_KV_OK; i++) {
        const Etcdserverpb__Compare *compare = txn->compare[i];
        error = compare->key.len == 0 ? PD_KV_ERR_EMPTY_KEY : PD_KV_OK;
        walk->bytes += compare->key.len + compare->range_end.len;
        walk->bytes += compare->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE
                           ? compare->value.len
                           : 0;
    }
    return error;
}

static enum pd_kv_error count(struct walk *walk, const Etcdserverpb__TxnRequest *request,
                              const struct pd_kv_limits *limits)
{
    walk->ops = 1;
    enum pd_kv_error error = count_txn(walk, request, limits);
    const Etcdserverpb__RequestOp *op;
    while (error == PD_KV_OK && (op = next_op(walk)) != NULL) {
        walk->ops++;
        switch (op->request_case) {
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
            error = check_range(op->request_range);
            walk->bytes += op->request_range->key.len + op->request_range->range_end.len;
            break;
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
            error = check_put(op->request_put);
            walk->bytes += op->request_put->key.len + op->request_put->value.len;
            walk->writes = true;
            break;
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
            error = check_delete(op->request_delete_range);
            walk->bytes +=
                op->request_delete_range->key.len + op->request_delete_range->range_end.len;
            walk->writes = true;
            break;
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN:
            error = count_txn(walk, op->request_txn, limits);
            break;
        case ETCDSERVERPB__REQUEST_OP__REQUEST__NOT_SET:
        case _ETCDSERVERPB__REQUEST_OP__REQUEST__CASE_IS_INT_SIZE:
            error = PD_KV_ERR_KEY_NOT_FOUND; /* etcd's answer to an operation that is none */
            break;
        }
    }
    return error == PD_KV_OK && walk->ops > pd_kv_command_ops_max(limits) ? PD_KV_ERR_TOO_MANY_OPS
                                                                          : error;
}

static enum pd_kv_error take_txn(struct pd_kv_command *command, struct pd_kv_op *op,
                                 const Etcdserverpb__TxnRequest *txn)
{
    *op = (struct pd_kv_op){
        .kind = PD_KV_OP_TXN,
        .as.txn = {.compare_first = command->compare_count,
                   .compare_count = (uint32_t)txn->n_compare,
                   .then_count = (uint32_t)txn->n_success,
                   .else_count = (uint32_t)txn->n_failure},
    };
    enum pd_kv_error error = PD_KV_OK;
    for (size_t i = 0; i < txn->n_compare && error == PD_KV_OK; i++) {
        error = take_compare(txn->compare[i], &command->compares[command->compare_count++]);
    }
    return error;
}

static enum pd_kv_error take_op(struct walk *walk, struct pd_kv_command *command,
                                const Etcdserverpb__RequestOp *request,
                                const struct pd_kv_limits *limits)
{
    struct pd_kv_op *op = &command->ops[command->op_count++];
    switch (request->request_case) {
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
        take_range(request->request_range, op);
        return PD_KV_OK;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
        take_put(request->request_put, op);
        return PD_KV_OK;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
        take_delete(request->request_delete_range, op);
        return PD_KV_OK;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN: {
        enum pd_kv_error error = take_txn(command, op, request->request_txn);
        return error != PD_KV_OK ? error : enter(walk, request->request_txn, limits);
    }
    case ETCDSERVERPB__REQUEST_OP__REQUEST__NOT_SET:
    case _ETCDSERVERPB__REQUEST_OP__REQUEST__CASE_IS_INT_SIZE:
        break;
    }
    return PD_KV_ERR_KEY_NOT_FOUND;
}

enum pd_kv_error pd_kv_request_txn(struct pd_arena *arena, const Etcdserverpb__TxnRequest *request,
                                   const struct pd_kv_limits *limits, struct pd_span *bytes_out,
                                   bool *is_read_out)
{
    struct walk walk = {0};
    enum pd_kv_error error = count(&walk, request, limits);
    if (error != PD_KV_OK) {
        return error;
    }
    struct pd_kv_command command = {
        .kind = PD_KV_OPS,
        .ops = pd_arena_take(arena, walk.ops * sizeof *command.ops),
        .compares = pd_arena_take(arena, walk.compares * sizeof *command.compares),
    };
    if (command.ops == NULL || command.compares == NULL) {
        return PD_KV_ERR_TOO_LARGE;
    }
    *is_read_out = !walk.writes;
    walk.depth = 0;
    error = take_txn(&command, &command.ops[command.op_count++], request);
    if (error == PD_KV_OK) {
        error = enter(&walk, request, limits);
    }
    const Etcdserverpb__RequestOp *op;
    while (error == PD_KV_OK && (op = next_op(&walk)) != NULL) {
        error = take_op(&walk, &command, op, limits);
    }
    if (error != PD_KV_OK) {
        return error;
    }
    pd_assert(command.op_count == walk.ops);
    pd_assert(command.compare_count == walk.compares);
    *bytes_out = pd_kv_request_of(arena, &command, walk.bytes);
    return bytes_out->size == 0 ? PD_KV_ERR_TOO_LARGE : PD_KV_OK;
}
