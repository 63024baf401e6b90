#include "kv/txn_check.h"

#include "kv/codec.h"

/* Where the `else` children of a txn begin. */
static uint32_t else_begin(const struct pd_kv_command *command, uint32_t txn)
{
    uint32_t child = txn + 1;
    for (uint32_t i = 0; i < command->ops[txn].as.txn.then_count; i++) {
        child = command->ops[child].end;
    }
    return child;
}

static bool is_put(const struct pd_kv_op *op)
{
    return op->kind == PD_KV_OP_PUT;
}

static bool overlap(const struct pd_kv_op *a, const struct pd_kv_op *b)
{
    if (is_put(a) && is_put(b)) {
        return pd_kv_span_equal(a->as.put.key, b->as.put.key);
    }
    const struct pd_kv_op *put = is_put(a) ? a : b;
    const struct pd_kv_delete *other = is_put(a) ? &b->as.delete_range : &a->as.delete_range;
    return pd_kv_range_contains(other->key, other->range_end, put->as.put.key);
}

/* first < second. Exclusive when some txn around both has them in different branches. */
static bool are_exclusive(const struct pd_kv_command *command, uint32_t first, uint32_t second)
{
    for (uint32_t txn = 0; txn < first; txn++) {
        const struct pd_kv_op *op = &command->ops[txn];
        if (op->kind == PD_KV_OP_TXN && op->end > second) {
            uint32_t border = else_begin(command, txn);
            if (first < border && second >= border) {
                return true;
            }
        }
    }
    return false;
}

bool pd_kv_txn_check_duplicates(const struct pd_kv_command *command)
{
    for (uint32_t second = 0; second < command->op_count; second++) {
        const struct pd_kv_op *b = &command->ops[second];
        if (b->kind != PD_KV_OP_PUT && b->kind != PD_KV_OP_DELETE) {
            continue;
        }
        for (uint32_t first = 0; first < second; first++) {
            const struct pd_kv_op *a = &command->ops[first];
            bool may_meet = is_put(a) || (is_put(b) && a->kind == PD_KV_OP_DELETE);
            if (may_meet && overlap(a, b) && !are_exclusive(command, first, second)) {
                return false;
            }
        }
    }
    return true;
}
