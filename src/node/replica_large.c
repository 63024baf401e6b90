/* Commands that are large, or whose answers may be: so much of them at a time.
 *
 *            small, or there is room
 *   write ------------------------------> proposed
 *      '--> KNOWN ----.  each line in turn, as far as there is room
 *      '--> UNKNOWN --'-----------------> proposed
 *             '-> the lead is gone, or half its time: answered, nothing was done
 *
 * All that is committed is applied one behind the other, on every node: what reads or answers many
 * megabytes holds up whatever stands behind it in the log, a lease's renewal as well. So the log
 * never has more than large_bytes_max of it ahead of what is small, and the overlay keeps half of
 * its room. What an answer is going to be is guessed by the last one to the same question
 * (answer_sizes.h). A question of which nothing is known counts a part of large_bytes_max, however
 * large it turns out to be, and stands in a line of its own: it may be small. That of a few single
 * keys counts less than that where the asker's last answer was smaller; a range may hold anything,
 * whoever asks for it.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "kv/answer.h"
#include "node/replica_internal.h"

#define UNKNOWN_PARTS 8u /* of large_bytes_max: what an answer counts that nothing is known of */
#define ASKER_SEED UINT64_C(0x61736b6572)

struct waiting {
    struct pd_list link;
    struct pd_replica_cost cost; /* its bytes as they were guessed last */
    uint64_t client;
    uint64_t correlation;
    uint64_t since_tick;
    struct pd_replica_timed timed;
    struct pd_replica_request_head head;
    size_t size;
    uint8_t bytes[]; /* head.body */
};

static struct waiting *waiting_of(struct pd_list *link)
{
    return pd_container_of(link, struct waiting, link);
}

void pd_replica_large_init(struct pd_replica *replica)
{
    for (uint32_t i = 0; i < PD_REPLICA_LARGE_LINES; i++) {
        pd_list_init(&replica->large.lines[i]);
    }
}

/* It is out of its line for good. */
static void drop(struct pd_replica *replica, struct waiting *waiting)
{
    pd_list_remove(&waiting->link);
    replica->large.count--;
    replica->large.bytes -= waiting->size;
    pd_free(waiting);
}

void pd_replica_large_free(struct pd_replica *replica)
{
    for (uint32_t i = 0; i < PD_REPLICA_LARGE_LINES && replica->large.count > 0; i++) {
        struct pd_list *line = &replica->large.lines[i];
        while (!pd_list_is_empty(line)) {
            drop(replica, waiting_of(pd_list_first(line)));
        }
    }
}

/* -- What it takes ----------------------------------------------------------------------------- */

/* What is asked for, if it answers with rows. */
static void look_at_rows(const struct pd_kv_op *op, struct pd_replica_cost *cost)
{
    struct pd_span key = {NULL, 0};
    struct pd_span end = {NULL, 0};
    uint64_t limit = 0;
    bool keys_only = false;
    bool answers_rows = false;
    switch (op->kind) {
    case PD_KV_OP_RANGE:
        key = op->as.range.key;
        end = op->as.range.range_end;
        limit = op->as.range.limit > 0 ? (uint64_t)op->as.range.limit : 0;
        keys_only = op->as.range.keys_only;
        answers_rows = !op->as.range.count_only;
        break;
    case PD_KV_OP_PUT:
        key = op->as.put.key;
        answers_rows = op->as.put.prev_kv;
        break;
    case PD_KV_OP_DELETE:
        key = op->as.delete_range.key;
        end = op->as.delete_range.range_end;
        answers_rows = op->as.delete_range.prev_kv;
        break;
    case PD_KV_OP_TXN:
        break;
    }
    if (answers_rows) {
        uint64_t hash = pd_hash_bytes(pd_hash_u64(cost->keys_hash, op->kind), key.bytes, key.size);
        hash = pd_hash_bytes(pd_hash_u64(hash, end.size), end.bytes, end.size);
        cost->keys_hash = pd_hash_u64(pd_hash_u64(hash, limit), keys_only);
        cost->answers_rows = true;
        cost->has_range = cost->has_range || end.size > 0;
    }
}

/* What the request and its answer come to, by what is known now. */
static void guess(const struct pd_replica *replica, size_t size, struct pd_replica_cost *cost)
{
    const struct pd_answer_sizes *sizes = &replica->large.sizes;
    uint64_t large_max = replica->config.large_bytes_max;
    uint64_t unknown = large_max / UNKNOWN_PARTS;
    uint32_t answer = 0;
    cost->is_known = !cost->answers_rows || pd_answer_sizes_guess(sizes, cost->keys_hash, &answer);
    if (cost->is_known) {
        cost->bytes = size + answer;
    } else if (!cost->has_range && pd_answer_sizes_guess(sizes, cost->asker_hash, &answer)) {
        cost->bytes = size + (answer < unknown ? answer : unknown);
    } else {
        cost->bytes = size + unknown;
    }
    if (cost->bytes <= large_max / PD_REPLICA_LARGE_PARTS) {
        cost->bytes = 0;
    }
}

struct pd_replica_cost pd_replica_large_cost(const struct pd_replica *replica, uint64_t client,
                                             const struct pd_replica_request_head *head,
                                             const struct pd_kv_command *command)
{
    uint64_t seed = replica->config.kv.hash_seed;
    struct pd_replica_cost cost = {.keys_hash = seed};
    for (uint32_t i = 0; command->kind == PD_KV_OPS && i < command->op_count; i++) {
        look_at_rows(&command->ops[i], &cost);
    }
    if (cost.answers_rows) {
        uint64_t client_alone = head->session == 0 ? client : 0;
        cost.asker_hash = pd_hash_u64(pd_hash_u64(seed ^ ASKER_SEED, head->session), client_alone);
    }
    guess(replica, head->body.size, &cost);
    return cost;
}

void pd_replica_large_learn(struct pd_replica *replica, const struct pd_replica_cost *cost,
                            struct pd_span answer)
{
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    if (!cost->answers_rows) {
        return;
    }
    pd_kv_reader_init(&reader, answer);
    pd_kv_answer_head(&reader, &head);
    uint32_t size = (uint32_t)answer.size;
    if (head.error == PD_KV_ERR_ANSWER_TOO_LARGE) {
        size = replica->config.kv.answer_bytes_max; /* as much was read for it */
    } else if (head.error != PD_KV_OK) {
        return; /* it says nothing of the next one */
    }
    pd_answer_sizes_learn(&replica->large.sizes, cost->keys_hash, size);
    pd_answer_sizes_learn(&replica->large.sizes, cost->asker_hash, size);
}

void pd_replica_large_began(struct pd_replica *replica, const struct pd_replica_cost *cost)
{
    replica->large.under_way += cost->bytes;
}

void pd_replica_large_ended(struct pd_replica *replica, const struct pd_replica_cost *cost)
{
    pd_assert(replica->large.under_way >= cost->bytes);
    replica->large.under_way -= cost->bytes;
}

/* -- Waiting ----------------------------------------------------------------------------------- */

static bool has_room(const struct pd_replica *replica, const struct pd_replica_cost *cost)
{
    const struct pd_replica_large *large = &replica->large;
    uint64_t reserve = replica->config.overlay_reserve;
    uint64_t overlay = reserve + (replica->config.kv.overlay_bytes - reserve) / 2;
    bool is_alone = large->under_way == 0;
    bool fits = large->under_way + cost->bytes <= replica->config.large_bytes_max;
    return cost->bytes == 0 || ((is_alone || fits) && pd_kv_overlay_room(replica->kv) >= overlay &&
                                !pd_replica_is_crowded(replica));
}

bool pd_replica_large_may_go(const struct pd_replica *replica, const struct pd_replica_cost *cost)
{
    return cost->bytes == 0 || (replica->large.count == 0 && has_room(replica, cost));
}

bool pd_replica_large_wait(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                           const struct pd_replica_request_head *head,
                           const struct pd_replica_cost *cost)
{
    struct pd_replica_large *large = &replica->large;
    size_t size = head->body.size;
    if (large->count >= replica->config.proposals_max ||
        large->bytes + size > replica->config.proposal_bytes_max) {
        return false;
    }
    struct waiting *waiting = pd_alloc(sizeof *waiting + size);
    if (waiting == NULL) {
        return false;
    }
    *waiting = (struct waiting){.cost = *cost,
                                .client = client,
                                .correlation = correlation,
                                .since_tick = replica->tick,
                                .timed = replica->asking.timed,
                                .head = *head,
                                .size = size};
    memcpy(waiting->bytes, head->body.bytes, size);
    waiting->head.body = (struct pd_span){waiting->bytes, size};
    pd_list_init(&waiting->link);
    pd_list_append(
        &large->lines[cost->is_known ? PD_REPLICA_LARGE_KNOWN : PD_REPLICA_LARGE_UNKNOWN],
        &waiting->link);
    large->count++;
    large->bytes += size;
    replica->counters.large_waited++;
    return true;
}

static void refuse(struct pd_replica *replica, struct waiting *waiting,
                   enum pd_replica_outcome outcome, const char *text)
{
    pd_replica_tell_if_slow(replica, &waiting->timed, waiting->client, waiting->correlation,
                            outcome);
    pd_replica_answer_text(replica, waiting->client, waiting->correlation, outcome, text);
    drop(replica, waiting);
}

/* As if it were asked now. */
static void propose(struct pd_replica *replica, struct waiting *waiting)
{
    replica->asking = (struct pd_replica_asking){.is_open = replica->config.slow_ns != 0,
                                                 .client = waiting->client,
                                                 .correlation = waiting->correlation,
                                                 .timed = waiting->timed};
    pd_replica_write_now(replica, waiting->client, waiting->correlation, &waiting->head);
    replica->asking.is_open = false;
    drop(replica, waiting);
}

/* Who is next in the line, and may go. */
static struct waiting *next_of(struct pd_replica *replica, enum pd_replica_large_line line)
{
    struct pd_list *first = pd_list_first(&replica->large.lines[line]);
    if (first == NULL) {
        return NULL;
    }
    struct waiting *waiting = waiting_of(first);
    guess(replica, waiting->size, &waiting->cost); /* others may have been answered meanwhile */
    return has_room(replica, &waiting->cost) ? waiting : NULL;
}

static void pass_turn(struct pd_replica_large *large)
{
    large->turn =
        large->turn == PD_REPLICA_LARGE_KNOWN ? PD_REPLICA_LARGE_UNKNOWN : PD_REPLICA_LARGE_KNOWN;
}

void pd_replica_large_step(struct pd_replica *replica)
{
    struct pd_replica_large *large = &replica->large;
    bool leads = replica->role == PD_RAFT_LEADER && replica->is_serving;
    while (large->count > 0 && leads) {
        if (pd_list_is_empty(&large->lines[large->turn])) {
            pass_turn(large);
        }
        struct waiting *waiting = next_of(replica, large->turn);
        if (waiting == NULL) {
            return;
        }
        propose(replica, waiting);
        if (next_of(replica, large->turn) == NULL) {
            pass_turn(large);
        }
    }
    for (uint32_t i = 0; large->count > 0 && i < PD_REPLICA_LARGE_LINES; i++) {
        while (!pd_list_is_empty(&large->lines[i])) {
            refuse(replica, waiting_of(pd_list_first(&large->lines[i])), PD_REPLICA_NOT_LEADER,
                   "this node does not lead");
        }
    }
}

/* Half of a request's time is left for the rest of its way: who waits for longer is served when its
 * client has given up, and takes the time of one that has not. */
void pd_replica_large_tick(struct pd_replica *replica)
{
    for (uint32_t i = 0; replica->large.count > 0 && i < PD_REPLICA_LARGE_LINES; i++) {
        struct pd_list *line = &replica->large.lines[i];
        while (!pd_list_is_empty(line) &&
               replica->tick - waiting_of(pd_list_first(line))->since_tick >=
                   replica->config.request_ticks_max / 2) {
            refuse(replica, waiting_of(pd_list_first(line)), PD_REPLICA_BUSY,
                   "too much that is large is under way: try again");
        }
    }
}

void pd_replica_large_client_gone(struct pd_replica *replica, uint64_t client)
{
    for (uint32_t i = 0; replica->large.count > 0 && i < PD_REPLICA_LARGE_LINES; i++) {
        struct pd_list *line = &replica->large.lines[i];
        for (struct pd_list *at = line->next; at != line;) {
            struct waiting *waiting = waiting_of(at);
            at = at->next;
            if (waiting->client == client) {
                drop(replica, waiting);
            }
        }
    }
}

void pd_replica_large_check(const struct pd_replica *replica)
{
    const struct pd_replica_large *large = &replica->large;
    uint32_t count = 0;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < PD_REPLICA_LARGE_LINES; i++) {
        for (struct pd_list *at = large->lines[i].next; at != &large->lines[i]; at = at->next) {
            count++;
            bytes += waiting_of(at)->size;
        }
    }
    pd_assert(count == large->count);
    pd_assert(bytes == large->bytes);
    uint64_t under_way = 0;
    for (uint32_t i = 0; i < replica->proposal_count; i++) {
        uint32_t at = (replica->proposal_head + i) % replica->config.proposals_max;
        under_way += replica->proposals[at].cost.bytes;
    }
    pd_assert(under_way == large->under_way);
}
