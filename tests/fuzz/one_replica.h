/* one_replica - node 1 of one or three in a fuzzer's hands: its log, its store and its peers are
 * what a script says. The input is the script: one byte chooses what happens, others follow. */
#ifndef PD_TESTS_FUZZ_ONE_REPLICA_H
#define PD_TESTS_FUZZ_ONE_REPLICA_H

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "node/replica_internal.h"
#include "store/memory.h"

#define PAGE_BYTES (1u << 17)

struct script {
    const uint8_t *bytes;
    size_t size;
    size_t at;
};

struct world {
    struct pd_replica *replica;
    struct pd_store *store;
    struct pd_store_view *views[4];
    uint64_t view_transfer[4];
    uint64_t log_ticket; /* 0: no write is under way */
    bool store_waits;
    bool is_dead;
    uint64_t now_ns;
    uint8_t *page;
    /* NULL: nobody listens. */
    void (*answered)(void *listener, const struct pd_replica_output *output);
    void *listener;
};

static inline uint8_t next_byte(struct script *script)
{
    return script->at < script->size ? script->bytes[script->at++] : 0;
}

static inline uint64_t next_number(struct script *script)
{
    uint8_t byte = next_byte(script);
    return byte < 250 ? byte % 32u : UINT64_MAX - (255u - byte);
}

static inline uint64_t node_of(const uint8_t key[PD_KV_MEMBER_KEY_SIZE])
{
    return key[0];
}

static inline struct pd_replica_config config_of(struct script *script)
{
    struct pd_replica_config config = pd_replica_config_default();
    config.cluster_id = 1;
    config.start = PD_REPLICA_START_BOOTSTRAP;
    config.raft.id = 1;
    config.raft.seed = 1;
    config.slow_ns = 1; /* each is told */
    config.raft.log_entries_max = 64;
    config.raft.log_bytes_max = 1 << 16;
    config.raft.reads_max = 8;
    config.kv.limits = (struct pd_kv_limits){64, 1024, 4};
    config.kv.answer_bytes_max = 2048;
    config.kv.overlay_bytes = 1 << 19;
    config.kv.cache_bytes = 1 << 14;
    config.kv.leases_max = 4;
    config.kv.sessions_max = 4;
    config.kv.session_window_max = 4;
    config.kv.reads_max = 4;
    config.kv.read_bytes_max = 4096;
    config.kv.events_max = 64;
    config.kv.event_bytes_max = 4096;
    config.kv.writes_max = 64;
    config.proposals_max = 8;
    config.reads_max = 8;
    config.overlay_reserve = 1 << 12;
    config.log_retain_entries = 4;
    config.flush_entries = 8;
    config.hash_interval = 4;
    config.hash_ticks = 2;
    config.snapshot_chunk_bytes = 512;
    config.snapshot_window = 2;
    config.raises_version = true;
    config.has_directory = true;
    config.node_of = node_of;
    config.snapshot_ticks = 2;
    config.watches_max = 8;
    config.watch_bytes_max = 4096;
    config.initial_conf.voters[0] = 1;
    config.initial_conf.voter_count = 1;
    if (next_byte(script) % 4 != 0) {
        config.initial_conf.voters[1] = 2;
        config.initial_conf.voters[2] = 3;
        config.initial_conf.voter_count = 3;
    }
    return config;
}

static inline void serve_view(struct world *world, const struct pd_replica_output *output)
{
    for (uint32_t i = 0; i < 4; i++) {
        bool is_it = world->views[i] != NULL && world->view_transfer[i] == output->transfer;
        if (output->kind == PD_REPLICA_SNAPSHOT_OPEN && world->views[i] == NULL) {
            world->views[i] = world->store->ops->view_open(world->store);
            world->view_transfer[i] = output->transfer;
            pd_replica_snapshot_opened(world->replica, output->transfer, PD_OK,
                                       world->store->ops->view_index(world->views[i]));
            return;
        }
        if (output->kind == PD_REPLICA_SNAPSHOT_READ && is_it) {
            struct pd_store_page page = {.bytes = world->page, .bytes_max = PAGE_BYTES};
            enum pd_status status = world->store->ops->view_scan(world->views[i], output->fetch.low,
                                                                 (struct pd_span){NULL, 0}, &page);
            pd_replica_snapshot_rows(world->replica, output->transfer, status, &page);
            return;
        }
        if (output->kind == PD_REPLICA_SNAPSHOT_CLOSE && is_it) {
            world->store->ops->view_close(world->views[i]);
            world->views[i] = NULL;
            return;
        }
    }
}

static inline void serve_store(struct world *world, const struct pd_replica_output *output)
{
    const struct pd_store_ops *ops = world->store->ops;
    if (output->kind == PD_REPLICA_STORE_WRITE) {
        enum pd_status status =
            ops->apply(world->store, output->writes, output->write_count, output->index);
        if (status != PD_OK) {
            abort();
        }
        world->store_waits = true;
    } else if (output->kind == PD_REPLICA_STORE_FLUSH) {
        (void)ops->flush(world->store);
        pd_replica_store_durable(world->replica, ops->durable_index(world->store));
    } else if (output->kind == PD_REPLICA_STORE_RESET) {
        (void)ops->reset(world->store);
        pd_replica_store_was_reset(world->replica);
    } else if (output->kind == PD_REPLICA_FETCH) {
        struct pd_store_page page = {
            .bytes = world->page, .bytes_max = PAGE_BYTES, .rows_max = output->fetch.rows_max};
        enum pd_status status = ops->scan(world->store, output->fetch.low, output->fetch.high,
                                          output->fetch.descending, &page);
        pd_replica_rows(world->replica, output->fetch.id, status, &page);
    }
}

static inline void serve(struct world *world)
{
    for (int turn = 0; turn < 4096; turn++) {
        struct pd_replica_output output;
        while (pd_replica_next(world->replica, &output)) {
            if (output.kind == PD_REPLICA_LOG_WRITE) {
                world->log_ticket = output.ticket;
            } else if (output.kind == PD_REPLICA_FATAL) {
                world->is_dead = true;
                return;
            } else if (output.kind == PD_REPLICA_ANSWER) {
                if (world->answered != NULL) {
                    world->answered(world->listener, &output);
                }
            } else if (output.kind == PD_REPLICA_SNAPSHOT_OPEN ||
                       output.kind == PD_REPLICA_SNAPSHOT_READ ||
                       output.kind == PD_REPLICA_SNAPSHOT_CLOSE) {
                serve_view(world, &output);
            } else {
                serve_store(world, &output);
            }
        }
        if (!pd_replica_step(world->replica)) {
            return;
        }
    }
}

static inline void world_open(struct world *world, struct script *script)
{
    struct pd_replica_config config = config_of(script);
    const struct pd_replica_store_state empty = {.applied_index = 0};
    *world = (struct world){.now_ns = 1, .page = malloc(PAGE_BYTES)};
    world->store = pd_store_memory_open();
    if (world->page == NULL || world->store == NULL ||
        pd_replica_open(&config, &world->replica) != PD_OK ||
        pd_replica_start(world->replica, &empty, 1, 1) != PD_OK) {
        abort();
    }
    serve(world);
}

static inline void world_close(struct world *world)
{
    for (uint32_t i = 0; i < 4; i++) {
        if (world->views[i] != NULL) {
            world->store->ops->view_close(world->views[i]);
        }
    }
    pd_replica_close(world->replica);
    world->store->ops->close(world->store);
    free(world->page);
}

static inline void world_tick(struct world *world, uint64_t passed_ns)
{
    world->now_ns += passed_ns;
    pd_replica_clock(world->replica, world->now_ns, world->now_ns);
    pd_replica_tick(world->replica);
}

/* The disks are done with one thing. */
static inline void world_disk(struct world *world, bool is_store)
{
    if (is_store && world->store_waits) {
        world->store_waits = false;
        pd_replica_store_written(world->replica);
    } else if (world->log_ticket != 0) {
        uint64_t ticket = world->log_ticket;
        world->log_ticket = 0;
        pd_replica_log_durable(world->replica, ticket);
    }
}

#endif
