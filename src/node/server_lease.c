/* Linearizable reads without the core, by any thread.
 *
 * The core publishes (generation, until_ns). An even generation says: from now on until until_ns,
 * unless the generation changes, whatever was acknowledged anywhere before a moment is visible in
 * this node's memory at that moment. It may say so while (1) this node leads and holds a lease, so
 * that no other node can commit or answer; (2) it has applied an entry of its own term, and
 * everything that it knows to be committed. What it commits later is acknowledged, by itself or by
 * a follower, only after the core has served outputs, and before it serves any it publishes anew:
 * when something committed is not applied yet, when the lease is about to be broken by a transfer,
 * or when it has lost the lead, the generation becomes odd first. The memory itself changes before
 * the answer leaves the core.
 *
 * A reader takes, in this order: generation (even), until_ns, the record, the time, generation. If
 * the generation is the same and the time lies before until_ns, the statement above held from the
 * first step to the last, so the record is one that was current at some moment between them: the
 * read is linearizable there. A generation in between would have been seen, even when the lease was
 * lost and won back. until_ns only grows within a generation, so an older one is merely stricter.
 *
 * With them a revision is published, as of which everything was applied. What is committed is
 * applied in an odd generation only, so nothing newer is found in an even one; it would be left to
 * the core, as the answers' revisions only grow.
 *
 * The clock is read after the record: clock_gettime orders itself behind earlier loads, and the
 * fence keeps the compiler and weaker processors from moving them. A generation that becomes odd is
 * a sequentially consistent store, before any send. */
#include "base/mutant.h"
#include "node/server_internal.h"

/* How far ahead a lease is promised at most; every tick renews it. As long as it can be, since the
 * core may have to wait for a processor: what ends a lease earlier is published when it comes. */
#define PROMISE_TICKS 32u

static bool holds(const struct pd_server *server, uint64_t at_ns)
{
    return pd_replica_may_read_now(server->replica, at_ns);
}

void pd_server_lease_publish(struct pd_server *server)
{
    struct pd_server_lease *lease = &server->lease;
    uint64_t generation = atomic_load_explicit(&lease->generation, memory_order_relaxed);
    bool is_open = (generation & 1) == 0;
    if (server->has_failed || !holds(server, server->now_ns)) {
        if (is_open) {
            atomic_store(&lease->generation, generation + 1);
            atomic_thread_fence(memory_order_seq_cst);
        }
        return;
    }
    /* Valid at a later time as things stand means valid until then. */
    uint64_t until_ns = server->now_ns;
    for (uint32_t ticks = PROMISE_TICKS; ticks > 0 && until_ns == server->now_ns; ticks /= 2) {
        uint64_t later_ns = server->now_ns + server->config.tick_ns * ticks;
        until_ns = holds(server, later_ns) ? later_ns : until_ns;
    }
    if (!is_open || until_ns > atomic_load_explicit(&lease->until_ns, memory_order_relaxed)) {
        atomic_store_explicit(&lease->until_ns, until_ns, memory_order_release);
    }
    atomic_store_explicit(&lease->term, pd_replica_term(server->replica), memory_order_relaxed);
    if (!PD_MUTANT(NODE_HOT_REVISION_STALE) || atomic_load(&lease->revision) == 0) {
        atomic_store_explicit(&lease->revision,
                              (uint64_t)pd_kv_revision(pd_replica_kv(server->replica)),
                              memory_order_release);
    }
    if (!is_open) {
        atomic_store(&lease->generation, generation + 1);
    }
}

/* When and where an answer is right. */
struct moment {
    uint64_t revision;
    uint64_t term;
};

static enum pd_status read_hot(struct pd_server *server, struct pd_span key, uint8_t *room,
                               size_t room_max, struct pd_kv_record *record_out,
                               struct moment *moment_out)
{
    struct pd_server_lease *lease = &server->lease;
    uint64_t generation = atomic_load_explicit(&lease->generation, memory_order_acquire);
    if ((generation & 1) != 0) {
        return PD_ERR_RANGE;
    }
    uint64_t until_ns = atomic_load_explicit(&lease->until_ns, memory_order_acquire);
    moment_out->revision = atomic_load_explicit(&lease->revision, memory_order_acquire);
    moment_out->term = atomic_load_explicit(&lease->term, memory_order_relaxed);
    enum pd_status status =
        pd_kv_get_hot(pd_replica_kv(server->replica), key, room, room_max, record_out);
    atomic_thread_fence(memory_order_acquire);
    uint64_t now_ns = pd_host_now_ns(server->host);
    atomic_thread_fence(memory_order_acquire);
    if (now_ns >= until_ns ||
        atomic_load_explicit(&lease->generation, memory_order_acquire) != generation) {
        return PD_ERR_RANGE;
    }
    return status;
}

enum pd_status pd_server_read_hot(struct pd_server *server, struct pd_span key, uint8_t *room,
                                  size_t room_max, struct pd_kv_record *record_out)
{
    struct moment moment;
    return read_hot(server, key, room, room_max, record_out, &moment);
}

/* Whether it asks for one key as it is now, and for all of it. */
static bool is_plain(const struct pd_kv_command *command)
{
    if (command->kind != PD_KV_OPS || command->op_count != 1 ||
        command->ops[0].kind != PD_KV_OP_RANGE) {
        return false;
    }
    const struct pd_kv_range *range = &command->ops[0].as.range;
    return range->range_end.size == 0 && range->revision <= 0 && !range->keys_only &&
           !range->count_only && range->min_mod_revision == 0 && range->max_mod_revision == 0 &&
           range->min_create_revision == 0 && range->max_create_revision == 0;
}

bool pd_server_answer_hot(struct pd_server *server, struct pd_span body, uint8_t *room,
                          size_t room_max, struct pd_replica_answer_head *answer_out)
{
    uint8_t bytes[PD_SERVER_HOT_ANSWER_MAX / 2];
    struct pd_kv_op op;
    const struct pd_kv_command_room one = {.ops = &op, .ops_max = 1};
    struct pd_kv_command command;
    struct pd_kv_record record;
    struct moment moment;
    if ((atomic_load_explicit(&server->lease.generation, memory_order_relaxed) & 1) != 0 ||
        pd_kv_command_decode(body, &server->config.replica.kv.limits, &one, &command) != PD_KV_OK ||
        !is_plain(&command) ||
        read_hot(server, op.as.range.key, bytes, sizeof bytes, &record, &moment) != PD_OK ||
        record.mod_revision > (int64_t)moment.revision) {
        return false;
    }
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = room_max};
    pd_kv_answer_put_head(&writer, &(struct pd_kv_answer_head){.revision = (int64_t)moment.revision,
                                                               .kind = PD_KV_ANSWER_RANGE});
    pd_kv_answer_put_record(&writer, &record);
    pd_kv_answer_put_end(&writer);
    pd_kv_answer_put_number(&writer, 0); /* there are no more */
    pd_kv_answer_put_number(&writer, 1);
    *answer_out = (struct pd_replica_answer_head){.outcome = PD_REPLICA_OK,
                                                  .leader = server->config.replica.raft.id,
                                                  .term = moment.term,
                                                  .body = {writer.bytes, writer.size}};
    pd_server_count(&server->counters.hot_reads, 1);
    return !writer.is_full;
}
