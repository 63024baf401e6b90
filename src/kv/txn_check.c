#include "kv/txn_check.h"

#include "base/assert.h"
#include "kv/codec.h"

/* -- Puts by key, those of one key in the order of the tree ------------------------------------ */

static struct pd_span key_at(const struct pd_kv_command *command, uint32_t rank)
{
    return command->ops[command->ops[rank].sorted].as.put.key;
}

static bool is_before(const struct pd_kv_command *command, uint32_t a, uint32_t b)
{
    int order = pd_kv_span_compare(key_at(command, a), key_at(command, b));
    return order != 0 ? order < 0 : command->ops[a].sorted < command->ops[b].sorted;
}

static void swap(struct pd_kv_op *ops, uint32_t a, uint32_t b)
{
    uint32_t moved = ops[a].sorted;
    ops[a].sorted = ops[b].sorted;
    ops[b].sorted = moved;
}

static void sift(const struct pd_kv_command *command, uint32_t at, uint32_t count)
{
    for (uint32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        child += child + 1 < count && is_before(command, child, child + 1);
        if (!is_before(command, at, child)) {
            return;
        }
        swap(command->ops, at, child);
        at = child;
    }
}

/* The count of puts; ops[0..count).sorted are their indices. */
static uint32_t sort_puts(const struct pd_kv_command *command)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < command->op_count; i++) {
        if (command->ops[i].kind == PD_KV_OP_PUT) {
            command->ops[count++].sorted = i;
        }
    }
    for (uint32_t i = count / 2; i-- > 0;) {
        sift(command, i, count);
    }
    for (uint32_t end = count; end > 1; end--) {
        swap(command->ops, 0, end - 1);
        sift(command, 0, end - 1);
    }
    return count;
}

/* The first put whose key is not below `key`; with `is_after`, whose key is above it. */
static uint32_t first_put(const struct pd_kv_command *command, uint32_t count, struct pd_span key,
                          bool is_after)
{
    uint32_t low = 0;
    uint32_t high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = pd_kv_span_compare(key_at(command, middle), key);
        if (order < 0 || (is_after && order == 0)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* -- Where two writes stand to each other ------------------------------------------------------ */

/* The innermost txn around both; *child_out is its child that is or holds `b`. */
static uint32_t common_txn(const struct pd_kv_command *command, uint32_t a, uint32_t b,
                           uint32_t *child_out)
{
    uint32_t child = b;
    uint32_t txn = command->ops[b].parent;
    while (a <= txn || a >= command->ops[txn].end) {
        pd_assert(command->ops[txn].parent < txn);
        child = txn;
        txn = command->ops[txn].parent;
    }
    *child_out = child;
    return txn;
}

static bool are_exclusive(const struct pd_kv_command *command, uint32_t txn, uint32_t a, uint32_t b)
{
    uint32_t border = command->ops[txn].as.txn.else_first;
    return (a < border) != (b < border);
}

static bool puts_meet(const struct pd_kv_command *command, uint32_t a, uint32_t b)
{
    uint32_t child;
    return !are_exclusive(command, common_txn(command, a, b, &child), a, b);
}

/* etcd gathers what nested txns delete child by child and holds each child's puts against what was
 * gathered before it; the level's own deletes are there from the beginning, its own puts come last.
 */
static bool put_meets_delete(const struct pd_kv_command *command, uint32_t put, uint32_t del)
{
    uint32_t child;
    uint32_t txn = common_txn(command, put, del, &child);
    bool is_own = child == del || command->ops[put].parent == txn;
    return (is_own || child < put) && !are_exclusive(command, txn, put, del);
}

static bool delete_meets_any(const struct pd_kv_command *command, uint32_t count, uint32_t del)
{
    const struct pd_kv_delete *range = &command->ops[del].as.delete_range;
    uint32_t end = range->range_end.size == 0 ? first_put(command, count, range->key, true)
                   : pd_kv_range_end_is_open(range->range_end)
                       ? count
                       : first_put(command, count, range->range_end, false);
    for (uint32_t i = first_put(command, count, range->key, false); i < end; i++) {
        if (put_meets_delete(command, command->ops[i].sorted, del)) {
            return true;
        }
    }
    return false;
}

bool pd_kv_txn_check_duplicates(const struct pd_kv_command *command)
{
    uint32_t count = sort_puts(command);
    /* If two of one key meet, then so do two neighbours: what is exclusive with the one before it
     * has left a branch that all later ones have left too. */
    for (uint32_t i = 1; i < count; i++) {
        if (pd_kv_span_equal(key_at(command, i - 1), key_at(command, i)) &&
            puts_meet(command, command->ops[i - 1].sorted, command->ops[i].sorted)) {
            return false;
        }
    }
    for (uint32_t i = 0; count > 0 && i < command->op_count; i++) {
        if (command->ops[i].kind == PD_KV_OP_DELETE && delete_meets_any(command, count, i)) {
            return false;
        }
    }
    return true;
}
