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
 * The clock is read after the record: clock_gettime orders itself behind earlier loads, and the
 * fence keeps the compiler and weaker processors from moving them. A generation that becomes odd is
 * a sequentially consistent store, before any send. */
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
    if (server->has_failed || !server->config.replica.raft.lease_reads ||
        !holds(server, server->now_ns)) {
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
    if (!is_open) {
        atomic_store(&lease->generation, generation + 1);
    }
}

enum pd_status pd_server_read_hot(struct pd_server *server, struct pd_span key, uint8_t *room,
                                  size_t room_max, struct pd_kv_record *record_out)
{
    struct pd_server_lease *lease = &server->lease;
    uint64_t generation = atomic_load_explicit(&lease->generation, memory_order_acquire);
    if ((generation & 1) != 0) {
        return PD_ERR_RANGE;
    }
    uint64_t until_ns = atomic_load_explicit(&lease->until_ns, memory_order_acquire);
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
