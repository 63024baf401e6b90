/* Snapshots between replicas: who is too far behind, who has lost its store, who is new; with every
 * step cut short by a crash, and a network that loses, repeats, reorders and damages chunks. */
#include "node/replica_world.h"

#include "base/bytes.h"
#include "node/replica_internal.h"
#include "support/effort.h"
#include "support/seed.h"

static bool is_chunk(const struct world_message *message)
{
    return message->bytes[1] == PD_REPLICA_FRAME_CHUNK;
}

static enum pd_snapshot_kind chunk_kind(const struct world_message *message)
{
    return (enum pd_snapshot_kind)message->bytes[PD_REPLICA_FRAME_SIZE + 5];
}

/* Three nodes, of which the third went down early and would need entries that are cut since. */
static struct world *one_far_behind(uint64_t seed)
{
    struct world *world = world_open(3, 3, seed);
    world_start_all(world, 3);
    world_put(world, "early", "1");
    world_put_many(world, 30, 40, 60);
    assert_true(world_converges(world, 50));
    /* Somebody else has to lead meanwhile. */
    while (world_elect(world) == 3) {
        world_crash(world, 3);
        (void)world_elect(world);
        world_start(world, 3);
        world_ticks(world, 20);
    }
    uint64_t last = world_status(world, 3).raft.last_index;
    world_crash(world, 3);
    world_miss(world);
    world_put_many(world, 200, 40, 60);
    world_put(world, "late", "2");
    world_ticks(world, 5);
    assert_true(world_status(world, world_elect(world)).raft.first_index > last + 1);
    return world;
}

static void assert_caught_up(struct world *world)
{
    if (!world_converges(world, 400)) {
        fail_msg("the nodes do not converge; the third says: %s", world->nodes[2].text);
    }
    for (pd_raft_node id = 1; id <= world->count; id++) {
        if (world_node(world, id)->is_up) {
            assert_string_equal(world_get(world, id, "early"), "1");
            assert_string_equal(world_get(world, id, "late"), "2");
        }
    }
}

static uint32_t open_views(const struct world *world)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->count; i++) {
        for (uint32_t v = 0; v < WORLD_VIEWS; v++) {
            count += world->nodes[i].views[v].view != NULL ? 1 : 0;
        }
    }
    return count;
}

static void a_follower_too_far_behind_catches_up_while_appends_go_on(void **state)
{
    (void)state;
    struct world *world = one_far_behind(1);
    pd_raft_node leader = world_elect(world);
    world_start(world, 3);
    /* Its store is slow: the transfer takes several ticks, and writes go on at full speed. */
    uint32_t during = 0;
    for (uint32_t i = 0; i < 200 && world_status(world, 3).counters.snapshots_installed == 0; i++) {
        struct world_node *slow = world_node(world, 3);
        slow->hold_store = true;
        uint64_t before = world->ticks;
        world_put_many(world, 20, 40, 60);
        assert_true(world->ticks - before <= 2); /* no write waits for the transfer */
        during += 20;
        world_tick(world);
        for (uint32_t task = 0; task < 4 && slow->tasks.count > 0; task++) {
            world_do_task(world, slow);
            world_loop(world, slow);
        }
    }
    world_node(world, 3)->hold_store = false;
    assert_true(during >= 60);
    assert_caught_up(world);
    /* One was enough: the log was held for it. */
    assert_int_equal(world_status(world, 3).counters.snapshots_installed, 1);
    assert_int_equal(world_status(world, leader).counters.snapshots_sent, 1);
    assert_int_equal(open_views(world), 0);
    world_put(world, "after", "3");
    assert_true(world_converges(world, 50));
    assert_string_equal(world_get(world, 3, "after"), "3");
    world_close(world);
}

/* Whatever is under way when the power goes: afterwards the old state or none, never a half one. */
static void a_receiver_may_crash_at_every_step(void **state)
{
    (void)state;
    uint64_t step = 0;
    bool was_cut = true;
    while (was_cut) {
        step += PD_TEST_EFFORT(1, 4);
        struct world *world = one_far_behind(step);
        struct world_node *node = world_node(world, 3);
        node->crash_at = node->actions + step;
        world_start(world, 3);
        for (uint32_t i = 0; i < 200 && node->is_up; i++) {
            if (world_status(world, 3).counters.snapshots_installed > 0) {
                break;
            }
            world_tick(world);
        }
        was_cut = !node->is_up;
        node->crash_at = 0;
        if (was_cut) {
            world_ticks(world, 3);
            world_put(world, "late", "2");
            world_start(world, 3);
        }
        assert_caught_up(world);
        assert_int_equal(open_views(world), 0);
        world_close(world);
        assert_true(step < 2000);
    }
    printf("crashed at up to %u steps\n", (unsigned)step - 1);
    assert_true(step > 60);
}

struct weather {
    struct pd_random random;
    uint32_t damaged;
    uint32_t lost;
};

/* Chunks and their acknowledgements are lost, repeated, delayed behind later ones, and damaged. */
static bool rough(struct world *world, struct world_message *message, void *state)
{
    struct weather *weather = state;
    if (message->bytes[1] != PD_REPLICA_FRAME_CHUNK &&
        message->bytes[1] != PD_REPLICA_FRAME_CHUNK_ACK) {
        return true;
    }
    uint64_t draw = pd_random_below(&weather->random, 100);
    const struct pd_span bytes = {message->bytes, message->size};
    if (draw < 8) {
        weather->lost++;
        return false;
    }
    if (draw < 16) {
        world_send(world, message->from, message->to, bytes);
        return true;
    }
    if (draw < 24) {
        world_send(world, message->from, message->to, bytes); /* later */
        return false;
    }
    if (draw < 40 && is_chunk(message)) {
        uint64_t at = PD_REPLICA_FRAME_SIZE +
                      pd_random_below(&weather->random, message->size - PD_REPLICA_FRAME_SIZE);
        message->bytes[at] ^= (uint8_t)(1u << pd_random_below(&weather->random, 8));
        weather->damaged++;
    }
    return true;
}

static void lost_repeated_reordered_and_damaged_chunks_do_no_harm(void **state)
{
    (void)state;
    struct weather weather = {.random = test_random("rough weather")};
    for (uint32_t round = 0; round < PD_TEST_EFFORT(10, 3); round++) {
        struct world *world = one_far_behind(100 + round);
        world->filter = rough;
        world->filter_state = &weather;
        world_start(world, 3);
        assert_caught_up(world);
        assert_int_equal(world_status(world, 3).counters.snapshots_installed, 1);
        assert_true(world_status(world, 3).counters.messages_dropped > 0);
        world_close(world);
    }
    assert_true(weather.damaged > 20);
    assert_true(weather.lost > 20);
}

struct fate {
    uint64_t chunks; /* until the sender dies */
    bool is_over;
};

static bool die_after_chunks(struct world *world, struct world_message *message, void *state)
{
    struct fate *fate = state;
    if (is_chunk(message) && !fate->is_over && fate->chunks-- == 0) {
        struct world_node *sender = world_node(world, message->from);
        sender->crash_at = sender->actions + 1;
        fate->is_over = true;
    }
    return true;
}

static void the_sender_may_die_half_way(void **state)
{
    (void)state;
    for (uint64_t chunks = 1; chunks <= 12; chunks++) {
        struct world *world = one_far_behind(200 + chunks);
        struct fate fate = {.chunks = chunks};
        pd_raft_node leader = world_elect(world);
        world->filter = die_after_chunks;
        world->filter_state = &fate;
        world_start(world, 3);
        for (uint32_t i = 0; i < 100 && world_node(world, leader)->is_up; i++) {
            world_tick(world);
        }
        assert_false(world_node(world, leader)->is_up);
        assert_int_equal(world_node(world, 3)->resets, 1);
        assert_int_equal(world_status(world, 3).counters.snapshots_installed, 0);
        /* The other one leads with the help of the third, and sends it a snapshot of its own. */
        assert_caught_up(world);
        world_put(world, "after", "3");
        world_start(world, leader);
        assert_caught_up(world);
        world_close(world);
    }
}

struct held {
    bool holds;
    bool is_held;
    bool only_raft; /* no chunk passes */
    struct world_message end;
};

static bool hold_end(struct world *world, struct world_message *message, void *state)
{
    (void)world;
    struct held *held = state;
    if (!is_chunk(message)) {
        return true;
    }
    if (held->holds && !held->is_held && chunk_kind(message) == PD_SNAPSHOT_END) {
        held->is_held = true;
        held->end = *message;
        held->end.bytes = malloc(message->size);
        memcpy(held->end.bytes, message->bytes, message->size);
    }
    return !held->only_raft && chunk_kind(message) != PD_SNAPSHOT_END;
}

/* The rows are in the store when the term of raft's message is over: raft must take the snapshot
 * all the same, else its log lies behind its store. */
static void a_snapshot_whose_term_is_over_is_still_taken(void **state)
{
    (void)state;
    struct world *world = one_far_behind(31);
    struct held held = {.holds = true};
    pd_raft_node old = world_elect(world);
    pd_raft_node other = old == 1 ? 2 : 1;
    world->filter = hold_end;
    world->filter_state = &held;
    world_start(world, 3);
    for (uint32_t i = 0; i < 50 && !held.is_held; i++) {
        world_tick(world);
    }
    assert_true(held.is_held);
    held.only_raft = true;
    world->is_cut[old][other] = world->is_cut[other][old] = true;
    world->is_cut[old][3] = world->is_cut[3][old] = true;
    for (uint32_t i = 0; i < 100 && world_status(world, other).raft.role != PD_RAFT_LEADER; i++) {
        world_tick(world);
    }
    uint64_t term = world_status(world, 3).raft.hard_state.term;
    assert_int_equal(world_status(world, other).raft.role, PD_RAFT_LEADER);
    assert_int_equal(world_status(world, other).raft.hard_state.term, term);
    assert_int_equal(world_status(world, 3).counters.snapshots_installed, 0);
    pd_replica_message(world_node(world, 3)->replica, old, held.end.bytes, held.end.size);
    free(held.end.bytes);
    world_loop(world, world_node(world, 3));
    world_settle(world);
    assert_int_equal(world_status(world, 3).counters.snapshots_installed, 1);
    assert_int_equal(world_status(world, 3).raft.hard_state.term, term);
    world->filter = NULL;
    memset(world->is_cut, 0, sizeof world->is_cut);
    assert_caught_up(world);
    world_close(world);
}

/* A command of the old state waits for rows when the snapshot's head comes in. */
static void what_is_under_way_ends_before_the_store_is_emptied(void **state)
{
    (void)state;
    struct world *world = world_open(3, 3, 41);
    world_start_all(world, 3);
    world_put(world, "early", "1");
    world_put_many(world, 30, 10, 60);
    assert_true(world_converges(world, 50));
    /* Anew, so that it has no row in memory. */
    while (world_elect(world) == 3) {
        world_crash(world, 3);
        (void)world_elect(world);
        world_start(world, 3);
        world_ticks(world, 20);
    }
    world_crash(world, 3);
    world_ticks(world, 2);
    world_start(world, 3);
    assert_true(world_converges(world, 50));
    struct world_node *node = world_node(world, 3);
    node->hold_store = true;
    world_put(world, "early", "1");
    world_ticks(world, 2);
    assert_true(node->tasks.count > 0); /* it asked for the row */
    world->is_cut[1][3] = world->is_cut[2][3] = true;
    world_miss(world);
    world_put_many(world, 200, 10, 60);
    world_put(world, "late", "2");
    world_ticks(world, 5);
    world->is_cut[1][3] = world->is_cut[2][3] = false;
    world_ticks(world, 8);
    assert_int_equal(node->resets, 0);
    node->hold_store = false;
    assert_caught_up(world);
    assert_int_equal(node->resets, 1);
    assert_int_equal(world_status(world, 3).counters.snapshots_installed, 1);
    world_close(world);
}

struct ear {
    enum pd_replica_chunk_answer heard;
};

static bool listen(struct world *world, struct world_message *message, void *state)
{
    (void)world;
    if (message->bytes[1] == PD_REPLICA_FRAME_CHUNK_ACK) {
        ((struct ear *)state)->heard =
            (enum pd_replica_chunk_answer)message->bytes[PD_REPLICA_FRAME_SIZE + 16];
    }
    return true;
}

/* The head of a snapshot of what the store of `from` holds, as it would be sent to `to`. */
static void send_head(struct world *world, pd_raft_node from, pd_raft_node to)
{
    const struct world_node *sender = world_node(world, from);
    struct pd_replica_status status = world_status(world, from);
    uint8_t meta[256];
    uint8_t conf[PD_RAFT_WIRE_CONF_SIZE_MAX];
    size_t meta_size = 0;
    assert_int_equal(sender->store->ops->get(sender->store,
                                             (struct pd_span){(const uint8_t *)"m", 1}, meta,
                                             sizeof meta, &meta_size),
                     PD_OK);
    const struct pd_snapshot_id id = {.cluster_id = sender->config.cluster_id,
                                      .group_id = sender->config.raft.group_id,
                                      .transfer = 4711,
                                      .index = status.kv.applied_index};
    const struct pd_snapshot_head head = {
        .term = status.kv.applied_term,
        .sender_term = status.raft.hard_state.term,
        .conf = {conf, pd_raft_wire_conf_put(conf, &status.raft.conf)},
        .meta = {meta, meta_size},
    };
    struct pd_snapshot_chain chain;
    uint8_t frame[2048];
    pd_snapshot_chain_init(&chain, &id);
    pd_snapshot_put_head(&chain, frame + PD_REPLICA_FRAME_SIZE, &head);
    pd_replica_frame_put(sender->replica, PD_REPLICA_FRAME_CHUNK, to, frame);
    world_send(world, from, to,
               (struct pd_span){frame, PD_REPLICA_FRAME_SIZE + pd_snapshot_head_size(&head)});
}

/* Item 18: who holds the snapshot's entry in its log needs no rows, however late its apply is. */
static void what_the_log_holds_is_not_installed(void **state)
{
    (void)state;
    struct world *world = world_open(3, 3, 43);
    world_start_all(world, 3);
    world_put(world, "early", "1");
    assert_true(world_converges(world, 50));
    while (world_elect(world) == 3) {
        world_crash(world, 3);
        (void)world_elect(world);
        world_start(world, 3);
        world_ticks(world, 20);
    }
    world_crash(world, 3);
    world_ticks(world, 2);
    world_node(world, 3)->config.kv.seen_bytes = 0; /* it looks for the row of a new key, too */
    world_start(world, 3);
    assert_true(world_converges(world, 50));
    uint32_t resets = world_node(world, 3)->resets; /* its start may have emptied the store */
    world_node(world, 3)->hold_store = true;        /* its apply waits for a row */
    world_put(world, "early", "1");
    world_put(world, "late", "2");
    world_ticks(world, 3);
    pd_raft_node leader = world_elect(world);
    assert_true(world_status(world, 3).kv.applied_index <
                world_status(world, leader).kv.applied_index);
    struct ear ear = {0};
    world->filter = listen;
    world->filter_state = &ear;
    send_head(world, leader, 3);
    world_settle(world);
    assert_int_equal(ear.heard, PD_REPLICA_CHUNK_DONE);
    world_node(world, 3)->hold_store = false;
    assert_caught_up(world);
    assert_int_equal(world_node(world, 3)->resets, resets);
    world_close(world);
}

/* One bit of one value in the store of `node` is another one. */
static void damage_a_row(struct world *world, pd_raft_node id)
{
    struct world_node *node = world_node(world, id);
    const struct pd_span low = {(const uint8_t *)"x", 1};
    const struct pd_span high = {(const uint8_t *)"y", 1};
    struct pd_store_page page = {.bytes = world->page, .bytes_max = WORLD_PAGE};
    assert_int_equal(node->store->ops->scan(node->store, low, high, false, &page), PD_OK);
    struct pd_snapshot_chunk rows = {.rows = {page.bytes, page.size}};
    struct pd_span key;
    struct pd_span value;
    size_t at = 0;
    assert_true(pd_snapshot_row(&rows, &at, &key, &value));
    world->page[at - 1] ^= 1; /* the last byte of the value */
    const struct pd_store_write write = {PD_STORE_PUT, key, value};
    uint64_t index = node->store->ops->applied_index(node->store);
    assert_int_equal(node->store->ops->apply(node->store, &write, 1, index), PD_OK);
}

static void rows_that_contradict_their_hashes_are_not_used(void **state)
{
    (void)state;
    struct world *world = one_far_behind(44);
    pd_raft_node leader = world_elect(world);
    damage_a_row(world, leader);
    world_start(world, 3);
    assert_caught_up(world);
    assert_int_equal(world_status(world, 3).counters.snapshots_installed, 1);
    assert_true(world_node(world, 3)->resets > 1);
    assert_int_equal(world_status(world, leader).counters.snapshots_sent, 0);
    world_close(world);
}

/* The receiver's store stands still once rows come. */
static bool halt_at_rows(struct world *world, struct world_message *message, void *state)
{
    bool *is_halted = state;
    if (is_chunk(message) && chunk_kind(message) == PD_SNAPSHOT_ROWS && !*is_halted) {
        *is_halted = true;
        world_node(world, message->to)->hold_store = true;
    }
    return true;
}

/* One that answers, and lacks what came lately, is not sent a snapshot: the log waits for it. */
static void a_slow_follower_needs_no_snapshot(void **state)
{
    (void)state;
    struct world *world = world_open(3, 3, 44);
    world_start_all(world, 3);
    world_put(world, "early", "1");
    assert_true(world_converges(world, 50));
    pd_raft_node leader = world_elect(world);
    pd_raft_node slow = leader % 3 + 1;
    for (uint32_t i = 0; i < 20; i++) {
        world->is_cut[leader][slow] = true;
        world_put_many(world, 40, 40, 60); /* four times what is retained in any case */
        world->is_cut[leader][slow] = false;
        world_ticks(world, 1);
    }
    world_put(world, "late", "2");
    assert_caught_up(world);
    assert_int_equal(world_status(world, slow).counters.snapshots_installed, 0);
    world_miss(world);
    world_put_many(world, 60, 40, 60);
    assert_true(world_status(world, leader).raft.last_index -
                    world_status(world, leader).raft.first_index <
                100); /* and is cut again */
    world_close(world);
}

/* The log is held for who is being sent a snapshot, but no client waits for that. */
static void a_log_that_fills_up_is_not_held(void **state)
{
    (void)state;
    struct world *world = world_open(3, 3, 45);
    for (uint32_t i = 0; i < 3; i++) {
        world->nodes[i].config.raft.log_entries_max = 400;
        world->nodes[i].config.snapshot_ticks = 50; /* a patient sender */
    }
    world_start_all(world, 3);
    world_put(world, "early", "1");
    assert_true(world_converges(world, 50));
    while (world_elect(world) == 3) {
        world_crash(world, 3);
        (void)world_elect(world);
        world_start(world, 3);
        world_ticks(world, 20);
    }
    world_crash(world, 3);
    world_miss(world);
    world_put_many(world, 100, 40, 60);
    bool is_halted = false;
    world->filter = halt_at_rows;
    world->filter_state = &is_halted;
    world_start(world, 3);
    world_ticks(world, 5);
    assert_true(is_halted);
    pd_raft_node leader = world_elect(world);
    uint64_t first = world_status(world, leader).raft.first_index;
    for (uint32_t i = 0; i < 40; i++) {
        uint64_t before = world->ticks;
        world_put_many(world, 50, 40, 60);
        assert_true(world->ticks - before <= 2);
    }
    assert_true(world_status(world, leader).raft.first_index > first + 1000);
    world_put(world, "late", "2");
    world_node(world, 3)->hold_store = false;
    assert_caught_up(world);
    assert_int_equal(world_status(world, 3).counters.snapshots_installed, 2);
    world_close(world);
}

static enum pd_replica_outcome change(struct world *world, enum pd_replica_request_kind kind,
                                      pd_raft_node node);

struct shy {
    pd_raft_node leader; /* is asked for the state, and nobody else */
    bool is_mute;        /* the raft of the third node is */
};

static bool ask_the_leader(struct world *world, struct world_message *message, void *state)
{
    const struct shy *shy = state;
    (void)world;
    bool is_kept = message->bytes[1] == PD_REPLICA_FRAME_WANT && message->to != shy->leader;
    bool is_word = message->bytes[1] == PD_REPLICA_FRAME_RAFT && message->from == 3;
    return !is_kept && !(is_word && shy->is_mute);
}

/* What its leader knows of a node without a state is where the log ended when it was elected. Once
 * the node was given the state, the log goes on from there: no second snapshot is due. */
static void one_snapshot_is_enough_for_a_store_that_was_lost(void **state)
{
    (void)state;
    struct world *world = world_open(3, 3, 47);
    for (uint32_t i = 0; i < 3; i++) {
        world->nodes[i].config.snapshot_chunk_bytes = 16384;
    }
    world_start_all(world, 3);
    world_put(world, "early", "1");
    world_put_many(world, 3000, 40, 300); /* more than a segment of the log */
    assert_true(world_converges(world, 50));
    world_crash(world, 3);
    world_lose_store(world, 3);
    world_ticks(world, 20);
    pd_raft_node leader = world_elect(world) % 2 + 1;
    assert_int_equal(change(world, PD_REPLICA_REQUEST_TRANSFER, leader), PD_REPLICA_OK);
    world_ticks(world, 10);
    assert_int_equal(world_elect(world), leader);
    world_miss(world);
    world_put_many(world, 200, 40, 60);
    world_put(world, "late", "2");
    struct shy shy = {.leader = leader, .is_mute = true};
    world->filter = ask_the_leader;
    world->filter_state = &shy;
    world_start(world, 3);
    assert_int_equal(world_status(world, 3).phase, PD_REPLICA_RESTORING);
    struct world_node *slow = world_node(world, 3);
    for (uint32_t i = 0; i < 200 && world_status(world, 3).counters.snapshots_installed == 0; i++) {
        slow->hold_store = true;
        world_put_many(world, 20, 40, 60);
        world_tick(world);
        for (uint32_t task = 0; task < 4 && slow->tasks.count > 0; task++) {
            world_do_task(world, slow);
            world_loop(world, slow);
        }
    }
    slow->hold_store = false;
    assert_int_equal(world_status(world, 3).counters.snapshots_installed, 1);
    world_put_many(world, 100, 40, 60); /* before its raft has said a word to its leader */
    shy.is_mute = false;
    assert_caught_up(world);
    assert_int_equal(world_status(world, 3).counters.snapshots_installed, 1);
    assert_int_equal(world_status(world, leader).counters.snapshots_sent, 1);
    world_close(world);
}

/* Its store is not flushed by itself: what it was sent is what it can send. */
static void who_was_sent_a_snapshot_can_send_one(void **state)
{
    (void)state;
    struct world *world = world_open(5, 5, 46);
    world->nodes[2].config.flush_entries = 1000000;
    world_start_all(world, 5);
    world_put(world, "early", "1");
    assert_true(world_converges(world, 50));
    while (world_elect(world) == 3 || world_elect(world) == 4) {
        world_crash(world, world_elect(world));
        (void)world_elect(world);
        for (pd_raft_node id = 1; id <= 5; id++) {
            if (!world_node(world, id)->is_up) {
                world_start(world, id);
            }
        }
        world_ticks(world, 20);
    }
    world_crash(world, 3);
    world_crash(world, 4);
    world_miss(world);
    world_put_many(world, 200, 40, 60);
    world_put(world, "late", "2");
    world_start(world, 3);
    assert_caught_up(world);
    assert_int_equal(world_status(world, 3).counters.snapshots_installed, 1);
    assert_int_equal(change(world, PD_REPLICA_REQUEST_TRANSFER, 3), PD_REPLICA_OK);
    world_ticks(world, 10);
    assert_int_equal(world_elect(world), 3);
    world_start(world, 4);
    assert_caught_up(world);
    assert_int_equal(world_status(world, 4).counters.snapshots_installed, 1);
    assert_int_equal(world_status(world, 3).counters.snapshots_sent, 1);
    world_close(world);
}

/* -- Lost stores ------------------------------------------------------------------------------- */

static void a_store_lost_alone_is_rebuilt_from_a_whole_log(void **state)
{
    (void)state;
    struct world *world = world_open(1, 1, 51);
    world->nodes[0].config.log_retain_entries = 100000;
    world_start(world, 1);
    world_put(world, "early", "1");
    world_put_many(world, 100, 20, 60);
    struct pd_kv_status before = world_status(world, 1).kv;
    world_crash(world, 1);
    world_lose_store(world, 1);
    world_start(world, 1);
    (void)world_elect(world);
    struct pd_kv_status after = world_status(world, 1).kv;
    assert_string_equal(world_get(world, 1, "early"), "1");
    assert_true(after.applied_index > before.applied_index);
    assert_int_equal(after.set_hash.low, before.set_hash.low);
    world_close(world);
}

/* What is applied but not durable is in the log alone: nothing of it may be cut. */
static void the_log_is_cut_only_to_what_the_store_holds_durably(void **state)
{
    (void)state;
    struct world *world = world_open(1, 1, 53);
    struct world_node *node = &world->nodes[0];
    node->config.log_retain_entries = 0;
    node->config.flush_entries = 300;
    node->flush_lag = 900; /* meanwhile more than a segment of the log comes by */
    world_start(world, 1);
    world_put(world, "early", "1");
    for (uint32_t i = 0; i < 200 && world_status(world, 1).store_durable == 0; i++) {
        world_put_many(world, 50, 20, 300);
        node->no_flush = node->flushed > 0; /* the first is done, and told late; no other ends */
    }
    uint64_t durable = world_status(world, 1).store_durable;
    assert_true(durable > 0);
    assert_true(world_status(world, 1).kv.applied_index > durable + 1600);
    world_put(world, "late", "2");
    world_crash(world, 1);
    world_start(world, 1);
    (void)world_elect(world);
    assert_string_equal(world_get(world, 1, "early"), "1");
    assert_string_equal(world_get(world, 1, "late"), "2");
    world_close(world);
}

static void a_store_lost_alone_with_a_cut_log_stops_and_says_how_to_restore(void **state)
{
    (void)state;
    struct world *world = world_open(1, 1, 52);
    world_start(world, 1);
    world_put_many(world, 200, 20, 60);
    world_ticks(world, 5);
    assert_true(world_status(world, 1).raft.first_index > 1);
    /* The log's records of before are still in its segment: cut it for good. */
    world_put_many(world, 3000, 20, 300);
    world_crash(world, 1);
    world_lose_store(world, 1);
    assert_int_equal(world_try_start(world, 1), PD_ERR_INVALID);
    assert_non_null(strstr(world->nodes[0].text, "restore"));
    world_close(world);
}

static void a_store_lost_in_a_cluster_is_fetched_and_promises_stay(void **state)
{
    (void)state;
    for (pd_raft_node victim = 1; victim <= 3; victim++) {
        struct world *world = world_open(3, 3, 60 + victim);
        world_start_all(world, 3);
        world_put(world, "early", "1");
        world_put_many(world, 3000, 40, 300); /* more than a segment of the log */
        world_put(world, "late", "2");
        assert_true(world_converges(world, 50));
        uint64_t term = world_status(world, victim).raft.hard_state.term;
        world_crash(world, victim);
        world_lose_store(world, victim);
        world_start(world, victim);
        assert_int_equal(world_status(world, victim).phase, PD_REPLICA_RESTORING);
        assert_caught_up(world);
        assert_int_equal(world_status(world, victim).counters.snapshots_installed, 1);
        assert_true(world_status(world, victim).raft.hard_state.term >= term);
        /* And it lasts. */
        world_crash(world, victim);
        world_start(world, victim);
        assert_caught_up(world);
        world_close(world);
    }
}

/* -- New nodes --------------------------------------------------------------------------------- */

static enum pd_replica_outcome change(struct world *world, enum pd_replica_request_kind kind,
                                      pd_raft_node node)
{
    for (uint32_t i = 0; i < 50; i++) {
        const struct pd_replica_request_head head = {.kind = kind, .number = node};
        enum pd_replica_outcome outcome =
            world_await(world, world_ask(world, world_elect(world), &head))->outcome;
        if (outcome != PD_REPLICA_BUSY) {
            return outcome;
        }
        world_tick(world);
    }
    return PD_REPLICA_BUSY;
}

static void a_new_node_is_given_the_state_once_it_is_added(void **state)
{
    (void)state;
    struct world *world = world_open(4, 3, 71);
    world_start_all(world, 3);
    world_put(world, "early", "1");
    world_put_many(world, 200, 40, 60);
    world_put(world, "late", "2");
    world_start(world, 4);
    world_ticks(world, 30);
    assert_int_equal(world_status(world, 4).phase, PD_REPLICA_RESTORING);
    assert_int_equal(change(world, PD_REPLICA_REQUEST_ADD_LEARNER, 4), PD_REPLICA_OK);
    assert_caught_up(world);
    assert_int_equal(world_status(world, 4).counters.snapshots_installed, 1);
    assert_int_equal(change(world, PD_REPLICA_REQUEST_PROMOTE, 4), PD_REPLICA_OK);
    assert_caught_up(world);
    assert_int_equal(world_status(world, 4).raft.conf.voter_count, 4);
    world_crash(world, 4);
    world_start(world, 4);
    assert_caught_up(world);
    world_close(world);
}

/* A voter that comes back without its log could vote twice: it is given nothing until it has been
 * removed and added anew. */
static void a_wiped_voter_is_not_served(void **state)
{
    (void)state;
    struct world *world = one_far_behind(72);
    world_wipe(world, 3);
    world_start(world, 3);
    world_ticks(world, 100);
    assert_int_equal(world_status(world, 3).phase, PD_REPLICA_RESTORING);
    assert_int_equal(world_status(world, 3).counters.snapshots_installed, 0);
    assert_int_equal(change(world, PD_REPLICA_REQUEST_REMOVE, 3), PD_REPLICA_OK);
    assert_int_equal(change(world, PD_REPLICA_REQUEST_ADD_LEARNER, 3), PD_REPLICA_OK);
    assert_caught_up(world);
    world_close(world);
}

/* Raft had asked for the transfer, before it was known. */
static void a_wiped_voter_takes_no_state(void **state)
{
    (void)state;
    struct world *world = one_far_behind(73);
    pd_raft_node leader = world_leader(world);
    world_wipe(world, 3);
    world_start(world, 3);
    world_ticks(world, 5);
    struct world_node *node = world_node(world, leader);
    pd_replica_transfer_begin(node->replica, 3, true, node->replica->term, 1);
    world_loop(world, node);
    world_ticks(world, 50);
    assert_int_equal(world_status(world, 3).phase, PD_REPLICA_RESTORING);
    assert_int_equal(world_status(world, 3).counters.snapshots_installed, 0);
    world_close(world);
}

static void cut_all(struct world *world, pd_raft_node id, bool is_cut)
{
    for (pd_raft_node other = 1; other <= world->count; other++) {
        world->is_cut[id][other] = is_cut;
        world->is_cut[other][id] = is_cut;
    }
}

/* A member that is behind takes it for the learner that it was, and knows no better. */
static void a_wiped_voter_is_not_served_by_who_is_behind(void **state)
{
    (void)state;
    struct world *world = world_open(4, 3, 74);
    world_start_all(world, 3);
    world_put(world, "early", "1");
    world_start(world, 4);
    assert_int_equal(change(world, PD_REPLICA_REQUEST_ADD_LEARNER, 4), PD_REPLICA_OK);
    world_put(world, "late", "2");
    assert_caught_up(world);
    pd_raft_node behind = world_elect(world) % 3 + 1;
    cut_all(world, behind, true);
    assert_int_equal(change(world, PD_REPLICA_REQUEST_PROMOTE, 4), PD_REPLICA_OK);
    world_ticks(world, 5);
    assert_int_equal(world_status(world, 4).raft.conf.voter_count, 4);
    assert_int_equal(world_status(world, behind).raft.conf.voter_count, 3);
    world_crash(world, 4);
    world_wipe(world, 4);
    cut_all(world, 4, true);
    world->is_cut[behind][4] = false;
    world->is_cut[4][behind] = false;
    world_start(world, 4);
    world_ticks(world, 200);
    assert_int_equal(world_status(world, 4).phase, PD_REPLICA_RESTORING);
    assert_int_equal(world_status(world, 4).counters.snapshots_installed, 0);
    world_close(world);
}

/* Whom it knows were removed while it was down: whoever leads now speaks to it, and is asked. */
static void who_knows_removed_members_only_is_served(void **state)
{
    (void)state;
    struct world *world = world_open(5, 3, 75);
    world->peers_told = 3;
    world_start_all(world, 3);
    world_put(world, "early", "1");
    world_put_many(world, 3000, 40, 300); /* more than a segment of the log */
    world_put(world, "late", "2");
    assert_true(world_converges(world, 50));
    world_crash(world, 1);
    for (pd_raft_node id = 4; id <= 5; id++) {
        world_start(world, id);
        assert_int_equal(change(world, PD_REPLICA_REQUEST_ADD_LEARNER, id), PD_REPLICA_OK);
        assert_caught_up(world);
        assert_int_equal(change(world, PD_REPLICA_REQUEST_PROMOTE, id), PD_REPLICA_OK);
    }
    assert_int_equal(change(world, PD_REPLICA_REQUEST_REMOVE, 2), PD_REPLICA_OK);
    assert_int_equal(change(world, PD_REPLICA_REQUEST_REMOVE, 3), PD_REPLICA_OK);
    world_ticks(world, 20);
    world_crash(world, 2);
    world_crash(world, 3);
    world_lose_store(world, 1);
    world_start(world, 1);
    assert_int_equal(world_status(world, 1).phase, PD_REPLICA_RESTORING);
    assert_caught_up(world);
    assert_int_equal(world_status(world, 1).counters.snapshots_installed, 1);
    world_close(world);
}

/* -- Anything ---------------------------------------------------------------------------------- */

/* Whether the node said that it was done; it may lose its power before. */
static bool is_put(struct world *world, pd_raft_node leader, struct pd_span value)
{
    uint64_t asked = world_ask_put(world, leader, "count", value);
    world_settle(world);
    for (uint32_t i = 0; i < 300 && world_node(world, leader)->is_up; i++) {
        const struct world_answer *answer = world_answer(world, asked);
        if (answer != NULL) {
            return answer->outcome == PD_REPLICA_OK;
        }
        world_tick(world);
    }
    assert_false(world_node(world, leader)->is_up);
    return false;
}

/* Power goes at any moment on any one of them, now and then with its store; nothing that was
 * acknowledged is ever missing, and all are equal again each time. */
static void power_may_go_at_any_moment(void **state)
{
    (void)state;
    struct pd_random random = test_random("power");
    for (uint32_t life = 0; life < 6; life++) {
        struct world *world = world_open(3, 3, 300 + life);
        uint32_t last = 0;
        for (uint32_t i = 0; i < 3; i++) {
            world->nodes[i].config.log_retain_entries = pd_random_below(&random, 20);
        }
        world_start_all(world, 3);
        for (uint32_t round = 0; round < PD_TEST_EFFORT(25, 8); round++) {
            pd_raft_node victim = 1 + pd_random_below(&random, 3);
            struct world_node *node = world_node(world, victim);
            node->crash_at = node->actions + 1 + pd_random_below(&random, 200);
            for (uint32_t i = 0; i < 40; i++) {
                pd_raft_node leader = world_elect(world);
                char text[16];
                (void)snprintf(text, sizeof text, "%u", last + 1);
                const struct pd_span value = {(const uint8_t *)text, strlen(text)};
                last += is_put(world, leader, value) ? 1 : 0;
            }
            node->crash_at = 0;
            if (node->is_up) {
                world_crash(world, victim);
            }
            if (pd_random_below(&random, 4) == 0) {
                world_lose_store(world, victim);
            }
            world_start(world, victim);
            if (!world_converges(world, 300)) {
                fail_msg("round %u: the nodes do not converge", round);
            }
            for (pd_raft_node id = 1; id <= 3; id++) {
                const char *found = world_get(world, id, "count");
                /* One whose end nobody knows may have happened too. */
                assert_true(found != NULL && strtoul(found, NULL, 10) >= last);
                last = (uint32_t)strtoul(found, NULL, 10);
            }
        }
        world_close(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_follower_too_far_behind_catches_up_while_appends_go_on),
        cmocka_unit_test(lost_repeated_reordered_and_damaged_chunks_do_no_harm),
        cmocka_unit_test(the_sender_may_die_half_way),
        cmocka_unit_test(a_snapshot_whose_term_is_over_is_still_taken),
        cmocka_unit_test(what_is_under_way_ends_before_the_store_is_emptied),
        cmocka_unit_test(what_the_log_holds_is_not_installed),
        cmocka_unit_test(rows_that_contradict_their_hashes_are_not_used),
        cmocka_unit_test(a_slow_follower_needs_no_snapshot),
        cmocka_unit_test(a_log_that_fills_up_is_not_held),
        cmocka_unit_test(one_snapshot_is_enough_for_a_store_that_was_lost),
        cmocka_unit_test(who_was_sent_a_snapshot_can_send_one),
        cmocka_unit_test(a_store_lost_alone_is_rebuilt_from_a_whole_log),
        cmocka_unit_test(the_log_is_cut_only_to_what_the_store_holds_durably),
        cmocka_unit_test(a_store_lost_alone_with_a_cut_log_stops_and_says_how_to_restore),
        cmocka_unit_test(a_store_lost_in_a_cluster_is_fetched_and_promises_stay),
        cmocka_unit_test(a_new_node_is_given_the_state_once_it_is_added),
        cmocka_unit_test(a_wiped_voter_is_not_served),
        cmocka_unit_test(a_wiped_voter_takes_no_state),
        cmocka_unit_test(a_wiped_voter_is_not_served_by_who_is_behind),
        cmocka_unit_test(who_knows_removed_members_only_is_served),
        cmocka_unit_test(a_receiver_may_crash_at_every_step),
        cmocka_unit_test(power_may_go_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
