/* replica_world - replicas in a test's hands, all in one thread: each over a real log on a
 * simulated disk and the store in memory; the test is the network, the disks' pace, the timer and
 * the client.
 *
 * Time       Nothing happens by itself: world_tick lets one tick pass on every node and serves what
 *            it causes until all is quiet.
 * Disks      node->hold_log and node->hold_store keep what the replica asked of them waiting, in
 *            order, until they are released. A crash forgets what waits, and what is not synced.
 *            node->crash_at cuts its power at any moment of its life.
 * Network    In order and without loss, but for world->filter, which may drop or change a message,
 *            and world->is_cut. */
#ifndef PD_TESTS_NODE_REPLICA_WORLD_H
#define PD_TESTS_NODE_REPLICA_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "node/replica.h"
#include "sim/disk.h"
#include "store/memory.h"

#define WORLD_NODES 5u
#define WORLD_TASKS 512u
#define WORLD_VIEWS 8u
#define WORLD_ANSWERS 8192u
#define WORLD_TICK_NS UINT64_C(100000000)
#define WORLD_PAGE (1u << 20)
#define WORLD_QUIET 2000000u /* slices; more: it never becomes quiet */

struct world;

struct world_message {
    struct world_message *next;
    pd_raft_node from;
    pd_raft_node to;
    size_t size;
    uint8_t *bytes; /* the filter may change them */
};

/* What a replica asked of its store, or a sync of its log. */
struct world_task {
    enum pd_replica_output_kind kind;
    uint64_t ticket;
    const struct pd_store_write *writes;
    size_t write_count;
    uint64_t index;
    struct pd_kv_fetch fetch;
    uint64_t transfer;
    uint8_t low[4096];
};

struct world_tasks {
    struct world_task *items; /* WORLD_TASKS, a ring */
    uint32_t head;
    uint32_t count;
};

struct world_view {
    uint64_t transfer;
    struct pd_store_view *view;
};

struct world_node {
    pd_raft_node id;
    bool is_up;
    bool is_fatal; /* it said so, and is not served any more */
    bool was_used; /* it ran before */
    bool is_lost;  /* the next start is told that the store was lost */
    bool hold_log;
    bool hold_store;
    struct pd_sim_disk disk;
    struct pd_wal *wal;
    struct pd_store *store;
    struct pd_replica *replica;
    struct pd_replica_config config;
    struct world_tasks log;
    struct world_tasks tasks;
    struct world_view views[WORLD_VIEWS];
    uint32_t resets;    /* of the store */
    uint64_t actions;   /* messages, syncs and store tasks that it was served */
    bool no_flush;      /* a flush takes longer than anything else */
    uint64_t flush_lag; /* actions between a flush and the word of it */
    uint64_t flushed;   /* not told yet */
    uint64_t tell_at;   /* 0: nothing to tell */
    uint64_t crash_at;  /* it loses its power after that many of them; 0: never */
    char text[512];     /* of the last refusal or fatal output */
};

struct world_answer {
    uint64_t client;
    uint64_t correlation;
    enum pd_replica_outcome outcome;
    uint64_t leader;
    struct pd_span body; /* `bytes` */
    uint8_t *bytes;
};

struct world {
    struct world_node nodes[WORLD_NODES];
    uint32_t count;
    struct pd_random random;
    uint64_t now_ns;
    uint64_t ticks;
    struct world_message *first;
    struct world_message *last;
    bool is_cut[WORLD_NODES + 1][WORLD_NODES + 1]; /* by node id, from and to */
    /* false: dropped */
    bool (*filter)(struct world *world, struct world_message *message, void *state);
    void *filter_state;
    uint32_t peers_told;          /* a start is told of the first ones only; 0: of all */
    struct world_answer *answers; /* WORLD_ANSWERS */
    uint32_t answer_count;
    uint64_t correlation;
    struct pd_replica_slow slow; /* the last that was told */
    uint64_t slow_correlation;
    uint32_t slow_count;
    uint8_t page[WORLD_PAGE];
    bool is_loud;
};

static inline struct world_node *world_node(struct world *world, pd_raft_node id)
{
    assert_in_range(id, 1, world->count);
    return &world->nodes[id - 1];
}

/* -- Configuration ----------------------------------------------------------------------------- */

static inline struct pd_replica_config world_config(pd_raft_node id)
{
    struct pd_replica_config config = pd_replica_config_default();
    config.cluster_id = 77;
    config.raft.id = id;
    config.raft.group_id = 3;
    config.raft.seed = 1000 + id;
    config.raft.log_entries_max = 4096;
    config.raft.log_bytes_max = 1 << 20;
    config.raft.uncommitted_bytes_max = 1 << 19;
    config.raft.append_bytes_max = 1 << 14;
    config.raft.committed_bytes_max = 1 << 16;
    config.raft.inflight_bytes_max = 1 << 18;
    config.raft.forward_bytes_max = 1 << 14;
    config.raft.inflight_max = 16;
    config.raft.reads_max = 32;
    config.raft.messages_max = 128;
    config.kv.limits.key_bytes_max = 64;
    config.kv.limits.request_bytes_max = 4096;
    config.kv.answer_bytes_max = 32768;
    config.kv.overlay_bytes = 400000;
    config.kv.cache_bytes = 1 << 16;
    config.kv.seen_bytes = 4096;
    config.kv.reads_max = 4;
    config.kv.prefetch_max = 4;
    config.kv.leases_max = 50;
    config.kv.sessions_max = 8;
    config.kv.session_window_max = 4;
    config.kv.writes_max = 100;
    config.kv.session_answer_bytes_max = 4096;
    config.kv.read_bytes_max = 1 << 18;
    config.kv.event_bytes_max = 1 << 18;
    config.proposals_max = 512;
    config.proposal_bytes_max = 1 << 20;
    config.reads_max = 64;
    config.log_batch_bytes_max = 1 << 16;
    config.overlay_reserve = 60000;
    config.log_retain_entries = 10;
    config.flush_entries = 20;
    config.hash_interval = 8;
    config.hash_ticks = 5;
    config.snapshot_chunk_bytes = 512;
    config.snapshot_window = 4;
    config.snapshot_ticks = 4;
    config.watches_max = 64;
    config.watch_bytes_max = 1 << 16;
    config.compaction = PD_REPLICA_COMPACTION_OFF;
    return config;
}

static inline struct pd_wal_config world_wal_config(void)
{
    struct pd_wal_config config = pd_wal_config_default();
    config.identity = 99;
    config.segment_bytes = 1 << 19;
    config.segments_max = 64;
    config.spare_segments = 1;
    config.groups_max = 2;
    config.reserve_bytes = 0;
    return config;
}

/* `count` nodes, none of them started; the first `members` are the cluster's first members. */
static inline struct world *world_open(uint32_t count, uint32_t members, uint64_t seed)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->count = count;
    world->now_ns = 1000 * WORLD_TICK_NS;
    world->is_loud = getenv("PD_TEST_LOUD") != NULL;
    world->answers = calloc(WORLD_ANSWERS, sizeof *world->answers);
    pd_random_init(&world->random, seed, "replica world");
    for (uint32_t i = 0; i < count; i++) {
        struct world_node *node = &world->nodes[i];
        node->id = i + 1;
        node->config = world_config(node->id);
        node->config.start = i < members ? PD_REPLICA_START_BOOTSTRAP : PD_REPLICA_START_JOIN;
        node->config.initial_conf.voter_count = members;
        for (uint32_t m = 0; m < members; m++) {
            node->config.initial_conf.voters[m] = m + 1;
        }
        node->log.items = calloc(WORLD_TASKS, sizeof(struct world_task));
        node->tasks.items = calloc(WORLD_TASKS, sizeof(struct world_task));
        pd_sim_disk_init(&node->disk, 64u << 20);
        node->store = pd_store_memory_open();
        assert_non_null(node->store);
    }
    return world;
}

/* -- Serving ----------------------------------------------------------------------------------- */

static inline struct world_task *world_task_add(struct world_tasks *tasks,
                                                enum pd_replica_output_kind kind)
{
    assert_true(tasks->count < WORLD_TASKS);
    struct world_task *task = &tasks->items[(tasks->head + tasks->count++) % WORLD_TASKS];
    task->kind = kind;
    return task;
}

static inline void world_send(struct world *world, pd_raft_node from, pd_raft_node to,
                              struct pd_span bytes)
{
    struct world_message *message = calloc(1, sizeof *message);
    message->from = from;
    message->to = to;
    message->size = bytes.size;
    message->bytes = malloc(bytes.size + 1);
    memcpy(message->bytes, bytes.bytes, bytes.size);
    if (world->last == NULL) {
        world->first = message;
    } else {
        world->last->next = message;
    }
    world->last = message;
}

static inline void world_answered(struct world *world, const struct pd_replica_output *output)
{
    struct pd_replica_answer_head head;
    assert_int_equal(pd_replica_answer_decode(output->bytes, &head), PD_OK);
    assert_true(world->answer_count < WORLD_ANSWERS);
    uint8_t *body = malloc(head.body.size + 1);
    memcpy(body, head.body.bytes, head.body.size);
    body[head.body.size] = 0;
    world->answers[world->answer_count++] =
        (struct world_answer){.client = output->client,
                              .correlation = output->correlation,
                              .outcome = head.outcome,
                              .leader = head.leader,
                              .body = {body, head.body.size},
                              .bytes = body};
}

static inline void world_serve(struct world *world, struct world_node *node,
                               const struct pd_replica_output *output)
{
    struct world_task *task = NULL;
    switch (output->kind) {
    case PD_REPLICA_SEND:
        world_send(world, node->id, output->node, output->bytes);
        break;
    case PD_REPLICA_LOG_WRITE:
        assert_int_equal(pd_wal_write(node->wal, output->records, output->record_count), PD_OK);
        world_task_add(&node->log, output->kind)->ticket = output->ticket;
        break;
    case PD_REPLICA_LOG_CUT:
        pd_wal_cut(node->wal, node->config.raft.group_id, output->index);
        break;
    case PD_REPLICA_ANSWER:
        world_answered(world, output);
        break;
    case PD_REPLICA_STORE_WRITE:
    case PD_REPLICA_STORE_FLUSH:
    case PD_REPLICA_STORE_RESET:
    case PD_REPLICA_FETCH:
    case PD_REPLICA_SNAPSHOT_OPEN:
    case PD_REPLICA_SNAPSHOT_READ:
    case PD_REPLICA_SNAPSHOT_CLOSE:
        task = world_task_add(&node->tasks, output->kind);
        task->writes = output->writes;
        task->write_count = output->write_count;
        task->index = output->index;
        task->fetch = output->fetch;
        task->transfer = output->transfer;
        if (output->kind == PD_REPLICA_SNAPSHOT_READ) {
            assert_true(output->fetch.low.size <= sizeof task->low);
            memcpy(task->low, output->fetch.low.bytes, output->fetch.low.size);
        }
        break;
    case PD_REPLICA_SLOW:
        world->slow = *output->slow;
        world->slow_count++;
        world->slow_correlation = output->correlation;
        break;
    case PD_REPLICA_NOTE:
        if (world->is_loud) {
            printf("  [%u @%u] %s\n", (unsigned)node->id, (unsigned)world->ticks, output->text);
        }
        break;
    case PD_REPLICA_FATAL:
        node->is_fatal = true;
        (void)snprintf(node->text, sizeof node->text, "%s", output->text);
        if (world->is_loud) {
            printf("  [%u @%u] FATAL %s\n", (unsigned)node->id, (unsigned)world->ticks,
                   output->text);
        }
        break;
    }
}

/* The owner's loop. */
static inline void world_loop(struct world *world, struct world_node *node)
{
    struct pd_replica_output output;
    bool more = true;
    for (uint32_t slices = 0; more && node->is_up && !node->is_fatal; slices++) {
        assert_true(slices < WORLD_QUIET);
        while (!node->is_fatal && pd_replica_next(node->replica, &output)) {
            world_serve(world, node, &output);
        }
        more = !node->is_fatal && pd_replica_step(node->replica);
    }
    while (node->is_up && !node->is_fatal && pd_replica_next(node->replica, &output)) {
        world_serve(world, node, &output);
    }
}

static inline struct world_view *world_view(struct world_node *node, uint64_t transfer)
{
    for (uint32_t i = 0; i < WORLD_VIEWS; i++) {
        if (node->views[i].transfer == transfer) {
            return &node->views[i];
        }
    }
    fail_msg("no view of transfer %llu", (unsigned long long)transfer);
    return NULL;
}

static inline void world_view_close(struct world_node *node, struct world_view *view)
{
    if (view->view != NULL) {
        node->store->ops->view_close(view->view);
    }
    *view = (struct world_view){0, NULL};
}

static inline void world_do_read(struct world *world, struct world_node *node,
                                 const struct world_task *task)
{
    struct pd_store_page page = {.bytes = world->page};
    const struct world_view *view = world_view(node, task->transfer);
    const struct pd_span low = {task->low, task->fetch.low.size};
    page.bytes_max = task->fetch.bytes_max < WORLD_PAGE ? task->fetch.bytes_max : WORLD_PAGE;
    enum pd_status status =
        node->store->ops->view_scan(view->view, low, (struct pd_span){NULL, 0}, &page);
    pd_replica_snapshot_rows(node->replica, task->transfer, status, &page);
}

static inline void world_do_reset(struct world_node *node)
{
    for (uint32_t i = 0; i < WORLD_VIEWS; i++) {
        assert_null(node->views[i].view); /* nothing may run beside a reset */
    }
    node->resets++;
    assert_int_equal(node->store->ops->reset(node->store), PD_OK);
    pd_replica_store_was_reset(node->replica);
}

static inline void world_do_fetch(struct world *world, struct world_node *node,
                                  const struct pd_kv_fetch *fetch)
{
    struct pd_store_page page = {
        .bytes = world->page, .bytes_max = WORLD_PAGE, .rows_max = fetch->rows_max};
    enum pd_status status =
        node->store->ops->scan(node->store, fetch->low, fetch->high, fetch->descending, &page);
    pd_replica_rows(node->replica, fetch->id, status, &page);
}

/* The oldest thing that the replica asked of its store is done. */
static inline void world_do_task(struct world *world, struct world_node *node)
{
    struct world_task task = node->tasks.items[node->tasks.head];
    node->tasks.head = (node->tasks.head + 1) % WORLD_TASKS;
    node->tasks.count--;
    const struct pd_store_ops *ops = node->store->ops;
    if (task.kind == PD_REPLICA_STORE_WRITE) {
        assert_int_equal(ops->apply(node->store, task.writes, task.write_count, task.index), PD_OK);
        pd_replica_store_written(node->replica);
    } else if (task.kind == PD_REPLICA_STORE_FLUSH && !node->no_flush) {
        assert_int_equal(ops->flush(node->store), PD_OK);
        node->flushed = ops->durable_index(node->store);
        node->tell_at = node->actions + node->flush_lag + 1;
    } else if (task.kind == PD_REPLICA_STORE_RESET) {
        world_do_reset(node);
    } else if (task.kind == PD_REPLICA_FETCH) {
        world_do_fetch(world, node, &task.fetch);
    } else if (task.kind == PD_REPLICA_SNAPSHOT_OPEN) {
        struct world_view *view = world_view(node, 0);
        view->view = ops->view_open(node->store);
        view->transfer = task.transfer;
        pd_replica_snapshot_opened(node->replica, task.transfer, PD_OK,
                                   ops->view_index(view->view));
    } else if (task.kind == PD_REPLICA_SNAPSHOT_READ) {
        world_do_read(world, node, &task);
    } else if (task.kind != PD_REPLICA_STORE_FLUSH) {
        assert_int_equal(task.kind, PD_REPLICA_SNAPSHOT_CLOSE);
        world_view_close(node, world_view(node, task.transfer));
    }
}

static inline void world_crash(struct world *world, pd_raft_node id);

/* The store has told how far it is durable, if it is time. */
static inline bool world_tell(struct world *world, struct world_node *node)
{
    if (!node->is_up || node->is_fatal || node->tell_at == 0 || node->actions < node->tell_at) {
        return false;
    }
    node->tell_at = 0;
    pd_replica_store_durable(node->replica, node->flushed);
    world_loop(world, node);
    return true;
}

/* Something was done for this node; the replica sees to it, if it still may. */
static inline void world_acted(struct world *world, struct world_node *node)
{
    node->actions++;
    if (node->actions == node->crash_at) {
        node->crash_at = 0;
        world_crash(world, node->id);
        return;
    }
    world_loop(world, node);
}

/* The oldest log write is synced. */
static inline void world_do_log(struct world_node *node)
{
    uint64_t ticket = node->log.items[node->log.head].ticket;
    node->log.head = (node->log.head + 1) % WORLD_TASKS;
    node->log.count--;
    assert_int_equal(pd_wal_sync(node->wal), PD_OK);
    bool more = true;
    while (more) {
        assert_int_equal(pd_wal_maintain(node->wal, &more), PD_OK);
    }
    pd_replica_log_durable(node->replica, ticket);
}

static inline bool world_deliver_one(struct world *world)
{
    struct world_message *message = world->first;
    if (message == NULL) {
        return false;
    }
    world->first = message->next;
    world->last = world->first == NULL ? NULL : world->last;
    message->next = NULL;
    bool passes = message->to >= 1 && message->to <= world->count &&
                  !world->is_cut[message->from][message->to] &&
                  (world->filter == NULL || world->filter(world, message, world->filter_state));
    if (passes) {
        struct world_node *node = world_node(world, message->to);
        if (node->is_up && !node->is_fatal) {
            pd_replica_message(node->replica, message->from, message->bytes, message->size);
            world_acted(world, node);
        }
    }
    free(message->bytes);
    free(message);
    return true;
}

static inline bool world_can_log(const struct world_node *node)
{
    return node->is_up && !node->is_fatal && !node->hold_log && node->log.count > 0;
}

static inline bool world_can_store(const struct world_node *node)
{
    return node->is_up && !node->is_fatal && !node->hold_store && node->tasks.count > 0;
}

/* Until nothing is left to do at this moment. */
static inline void world_settle(struct world *world)
{
    bool more = true;
    for (uint32_t turns = 0; more; turns++) {
        assert_true(turns < WORLD_QUIET);
        more = world_deliver_one(world);
        for (uint32_t i = 0; i < world->count; i++) {
            struct world_node *node = &world->nodes[i];
            if (world_can_log(node)) {
                world_do_log(node);
                world_acted(world, node);
                more = true;
            }
            if (world_can_store(node)) {
                world_do_task(world, node);
                world_acted(world, node);
                more = true;
            }
            more = world_tell(world, node) || more;
        }
    }
}

static inline void world_tick(struct world *world)
{
    world->ticks++;
    world->now_ns += WORLD_TICK_NS;
    for (uint32_t i = 0; i < world->count; i++) {
        struct world_node *node = &world->nodes[i];
        if (node->is_up && !node->is_fatal) {
            pd_replica_clock(node->replica, world->now_ns, world->now_ns);
            pd_replica_tick(node->replica);
            world_loop(world, node);
            pd_replica_check(node->replica);
        }
    }
    world_settle(world);
}

static inline void world_ticks(struct world *world, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        world_tick(world);
    }
}

/* -- Lives ------------------------------------------------------------------------------------- */

static inline enum pd_status world_visit(void *state, const struct pd_wal_record *record)
{
    return pd_replica_recover(((struct world_node *)state)->replica, record);
}

/* What pd_replica_start says; other than PD_OK: the node is down, node->text says why. */
static inline enum pd_status world_try_start(struct world *world, pd_raft_node id)
{
    struct world_node *node = world_node(world, id);
    struct pd_wal_config wal_config = world_wal_config();
    struct pd_wal_report report;
    pd_raft_node peers[WORLD_NODES];
    assert_false(node->is_up);
    node->config.peers = peers;
    node->config.peer_count = 0;
    for (uint32_t i = 0; i < (world->peers_told > 0 ? world->peers_told : world->count); i++) {
        if (i + 1 != id) {
            peers[node->config.peer_count++] = i + 1;
        }
    }
    if (node->was_used) {
        node->config.start = PD_REPLICA_START_EXISTING;
    }
    assert_int_equal(pd_replica_open(&node->config, &node->replica), PD_OK);
    assert_int_equal(
        pd_wal_open(&node->disk.base, &wal_config, world_visit, node, &report, &node->wal), PD_OK);
    const struct pd_replica_store_state state = {
        .applied_index = node->store->ops->applied_index(node->store),
        .durable_index = node->store->ops->durable_index(node->store),
        .is_lost = node->is_lost,
    };
    node->is_fatal = false;
    node->was_used = true;
    node->is_lost = false;
    enum pd_status status = pd_replica_start(node->replica, &state, world->now_ns, world->now_ns);
    if (status != PD_OK) {
        (void)snprintf(node->text, sizeof node->text, "%s", pd_replica_text(node->replica));
        pd_replica_close(node->replica);
        pd_wal_close(node->wal);
        node->replica = NULL;
        node->wal = NULL;
        return status;
    }
    node->is_up = true;
    world_loop(world, node);
    return PD_OK;
}

static inline void world_start(struct world *world, pd_raft_node id)
{
    enum pd_status status = world_try_start(world, id);
    if (status != PD_OK) {
        fail_msg("node %u does not start: %s", (unsigned)id, world_node(world, id)->text);
    }
}

static inline void world_start_all(struct world *world, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        world_start(world, i + 1);
    }
}

/* The process is gone. With `is_power_cut` so is what its disks had not made durable. */
static inline void world_stop(struct world *world, pd_raft_node id, bool is_power_cut)
{
    struct world_node *node = world_node(world, id);
    assert_true(node->is_up);
    node->is_up = false;
    node->is_fatal = false;
    pd_replica_close(node->replica);
    pd_wal_close(node->wal);
    node->replica = NULL;
    node->wal = NULL;
    node->log.count = 0;
    node->tasks.count = 0;
    node->tell_at = 0;
    node->hold_log = false;
    node->hold_store = false;
    for (uint32_t i = 0; i < WORLD_VIEWS; i++) {
        world_view_close(node, &node->views[i]);
    }
    if (is_power_cut) {
        (void)pd_sim_disk_power_cut(&node->disk, &world->random);
        assert_int_equal(pd_store_memory_crash(node->store, &world->random), PD_OK);
    } else {
        pd_sim_disk_kill(&node->disk);
        /* The real store loses with its process what it has not flushed. */
        assert_int_equal(pd_store_memory_crash(node->store, NULL), PD_OK);
    }
}

static inline void world_crash(struct world *world, pd_raft_node id)
{
    world_stop(world, id, true);
}

/* Of a node that is down: its store is gone. */
static inline void world_lose_store(struct world *world, pd_raft_node id)
{
    struct world_node *node = world_node(world, id);
    assert_false(node->is_up);
    node->store->ops->close(node->store);
    node->store = pd_store_memory_open();
    assert_non_null(node->store);
    node->is_lost = true;
}

/* Of a node that is down: everything is gone, and it is started as a new one to be added. */
static inline void world_wipe(struct world *world, pd_raft_node id)
{
    struct world_node *node = world_node(world, id);
    world_lose_store(world, id);
    pd_sim_disk_wipe(&node->disk);
    node->is_lost = false;
    node->was_used = false;
    node->config.start = PD_REPLICA_START_JOIN;
}

static inline void world_close(struct world *world)
{
    for (uint32_t i = 0; i < world->count; i++) {
        struct world_node *node = &world->nodes[i];
        if (node->is_up) {
            world_stop(world, node->id, false);
        }
        node->store->ops->close(node->store);
        pd_sim_disk_deinit(&node->disk);
        free(node->log.items);
        free(node->tasks.items);
    }
    while (world->first != NULL) {
        struct world_message *message = world->first;
        world->first = message->next;
        free(message->bytes);
        free(message);
    }
    for (uint32_t i = 0; i < world->answer_count; i++) {
        free(world->answers[i].bytes);
    }
    free(world->answers);
    free(world);
}

/* -- Looks ------------------------------------------------------------------------------------- */

static inline struct pd_replica_status world_status(struct world *world, pd_raft_node id)
{
    static struct pd_replica_status status;
    memset(&status, 0, sizeof status);
    if (world_node(world, id)->is_up) {
        pd_replica_status(world_node(world, id)->replica, &status);
    }
    return status;
}

/* The node that serves writes, of the newest term; 0: none does. */
static inline pd_raft_node world_leader(struct world *world)
{
    pd_raft_node leader = 0;
    uint64_t term = 0;
    for (uint32_t i = 0; i < world->count; i++) {
        const struct world_node *node = &world->nodes[i];
        if (!node->is_up || node->is_fatal) {
            continue;
        }
        struct pd_replica_status status = world_status(world, node->id);
        if (status.serves_writes && status.raft.hard_state.term > term) {
            leader = node->id;
            term = status.raft.hard_state.term;
        }
    }
    return leader;
}

static inline pd_raft_node world_elect(struct world *world)
{
    for (uint32_t i = 0; i < 200; i++) {
        pd_raft_node leader = world_leader(world);
        if (leader != 0) {
            return leader;
        }
        world_tick(world);
    }
    fail_msg("no leader serves writes after 200 ticks");
    return 0;
}

/* Until every running node has applied the same, within `ticks`; then they must be equal. */
static inline bool world_converges(struct world *world, uint32_t ticks)
{
    for (uint32_t t = 0; t < ticks; t++) {
        struct pd_kv_status first = {0};
        bool is_equal = true;
        bool is_any = false;
        for (uint32_t i = 0; i < world->count; i++) {
            if (!world->nodes[i].is_up) {
                continue;
            }
            struct pd_replica_status status = world_status(world, i + 1);
            is_equal = is_equal && status.phase == PD_REPLICA_RUNNING &&
                       status.kv.applied_index == status.raft.applied &&
                       (!is_any || status.kv.applied_index == first.applied_index);
            first = is_any ? first : status.kv;
            is_any = true;
        }
        if (is_equal && is_any) {
            for (uint32_t i = 0; i < world->count; i++) {
                if (world->nodes[i].is_up) {
                    struct pd_kv_status kv = world_status(world, i + 1).kv;
                    assert_int_equal(kv.fold_hash, first.fold_hash);
                    assert_int_equal(kv.set_hash.low, first.set_hash.low);
                    assert_int_equal(kv.set_hash.high, first.set_hash.high);
                }
            }
            return true;
        }
        world_tick(world);
    }
    return false;
}

/* -- Client ------------------------------------------------------------------------------------ */

/* Ask `node`; returns the correlation of the answer. Nothing is served yet but what the replica has
 * at hand: world_settle or world_tick goes on. */
static inline uint64_t world_ask(struct world *world, pd_raft_node id,
                                 const struct pd_replica_request_head *head)
{
    struct world_node *node = world_node(world, id);
    uint64_t correlation = ++world->correlation;
    size_t size = PD_REPLICA_REQUEST_HEAD_SIZE + head->body.size;
    uint8_t *bytes = malloc(size);
    pd_replica_request_put_head(bytes, head);
    if (head->body.size > 0) {
        memcpy(bytes + PD_REPLICA_REQUEST_HEAD_SIZE, head->body.bytes, head->body.size);
    }
    pd_replica_request(node->replica, world->now_ns, 1, correlation, bytes, size);
    free(bytes);
    world_loop(world, node);
    return correlation;
}

/* The newest answer to a request; NULL: none yet. */
static inline const struct world_answer *world_answer(const struct world *world,
                                                      uint64_t correlation)
{
    for (uint32_t i = world->answer_count; i > 0; i--) {
        if (world->answers[i - 1].correlation == correlation) {
            return &world->answers[i - 1];
        }
    }
    return NULL;
}

static inline const struct world_answer *world_await(struct world *world, uint64_t correlation)
{
    world_settle(world);
    for (uint32_t i = 0; i < 300 && world_answer(world, correlation) == NULL; i++) {
        world_tick(world);
    }
    const struct world_answer *answer = world_answer(world, correlation);
    if (answer == NULL) {
        fail_msg("request %llu has no answer after 300 ticks", (unsigned long long)correlation);
    }
    return answer;
}

static inline uint64_t world_ask_put(struct world *world, pd_raft_node id, const char *key,
                                     struct pd_span value)
{
    uint8_t bytes[8192];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    const struct pd_kv_put put = {.key = {(const uint8_t *)key, strlen(key)}, .value = value};
    pd_kv_encode_put(&writer, &put);
    assert_false(writer.is_full);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WRITE,
                                                 .body = {writer.bytes, writer.size}};
    return world_ask(world, id, &head);
}

/* A write that must be done; the leader is found. */
static inline void world_put(struct world *world, const char *key, const char *value)
{
    pd_raft_node leader = world_elect(world);
    const struct pd_span span = {(const uint8_t *)value, strlen(value)};
    const struct world_answer *answer = world_await(world, world_ask_put(world, leader, key, span));
    if (answer->outcome != PD_REPLICA_OK) {
        fail_msg("put: %s", pd_replica_outcome_text(answer->outcome));
    }
}

/* Until the leader has noticed who does not answer: its log waits for them no more. */
static inline void world_miss(struct world *world)
{
    world_ticks(world, 2 * world_config(1).raft.election_ticks + 1);
}

/* `count` writes of values of `size` bytes, to `keys` keys. */
static inline void world_put_many(struct world *world, uint32_t count, uint32_t keys, size_t size)
{
    static uint8_t value[4096];
    uint64_t last = 0;
    assert_true(size <= sizeof value);
    for (uint32_t i = 0; i < count; i++) {
        char key[32];
        pd_raft_node leader = world_elect(world);
        pd_random_fill(&world->random, value, size);
        (void)snprintf(key, sizeof key, "key-%05u",
                       (unsigned)pd_random_below(&world->random, keys));
        last = world_ask_put(world, leader, key, (struct pd_span){value, size});
        if (i % 16 == 15) {
            world_settle(world);
        }
    }
    if (count > 0) {
        assert_int_equal(world_await(world, last)->outcome, PD_REPLICA_OK);
    }
}

/* What `node` itself holds under a key, as text; NULL: nothing. Until the next call. */
static inline const char *world_get(struct world *world, pd_raft_node id, const char *key)
{
    static char text[4096];
    uint8_t bytes[512];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    const struct pd_kv_range range = {.key = {(const uint8_t *)key, strlen(key)}};
    pd_kv_encode_range(&writer, &range);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_READ,
                                                 .flags = PD_REPLICA_REQUEST_SERIALIZABLE,
                                                 .body = {writer.bytes, writer.size}};
    const struct world_answer *answer = world_await(world, world_ask(world, id, &head));
    assert_int_equal(answer->outcome, PD_REPLICA_OK);
    struct pd_kv_reader reader;
    struct pd_kv_answer_head answer_head;
    struct pd_kv_record record;
    pd_kv_reader_init(&reader, answer->body);
    pd_kv_answer_head(&reader, &answer_head);
    assert_int_equal(answer_head.error, PD_KV_OK);
    if (!pd_kv_answer_record(&reader, &record)) {
        return NULL;
    }
    assert_true(record.value.size < sizeof text);
    memcpy(text, record.value.bytes, record.value.size);
    text[record.value.size] = 0;
    return text;
}

#endif
