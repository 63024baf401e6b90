/* Any frames from peers and any requests from clients, between ticks, late disks and late stores: a
 * replica never trips an assertion, and its invariants hold. The input is a script: one byte
 * chooses what happens, others follow. Node 1 of three is real; it may win elections by made-up
 * votes. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "node/replica_internal.h"
#include "store/memory.h"

#define STEPS_MAX 300
#define BODY_MAX 512u
#define PAGE_BYTES (1u << 17)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

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
};

static uint8_t next_byte(struct script *script)
{
    return script->at < script->size ? script->bytes[script->at++] : 0;
}

static uint64_t next_number(struct script *script)
{
    uint8_t byte = next_byte(script);
    return byte < 250 ? byte % 32u : UINT64_MAX - (255u - byte);
}

static struct pd_replica_config config_of(struct script *script)
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

static void serve_view(struct world *world, const struct pd_replica_output *output)
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

static void serve_store(struct world *world, const struct pd_replica_output *output)
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

static void serve(struct world *world)
{
    for (int turn = 0; turn < 4096; turn++) {
        struct pd_replica_output output;
        while (pd_replica_next(world->replica, &output)) {
            if (output.kind == PD_REPLICA_LOG_WRITE) {
                world->log_ticket = output.ticket;
            } else if (output.kind == PD_REPLICA_FATAL) {
                world->is_dead = true;
                return;
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

static void send_request(struct world *world, struct script *script)
{
    uint8_t bytes[PD_REPLICA_REQUEST_HEAD_SIZE + BODY_MAX] = {0};
    struct pd_replica_request_head head = {
        .kind = (enum pd_replica_request_kind)(1 + next_byte(script) % 12u),
        .flags = next_byte(script) % 2u,
        .session = next_number(script),
        .sequence = next_number(script),
        .low = next_number(script),
        .number = next_number(script),
    };
    pd_replica_request_put_head(bytes, &head);
    struct pd_kv_writer writer = {.bytes = bytes + PD_REPLICA_REQUEST_HEAD_SIZE,
                                  .bytes_max = BODY_MAX};
    uint8_t key[2] = {(uint8_t)('a' + next_byte(script) % 4u), 'x'};
    uint8_t shape = next_byte(script);
    if (shape % 4 == 0) {
        pd_kv_encode_put(&writer, &(struct pd_kv_put){.key = {key, 1}, .value = {key, 2}});
    } else if (shape % 4 == 1) {
        pd_kv_encode_range(
            &writer, &(struct pd_kv_range){.key = {key, 1}, .range_end = {(const uint8_t *)"", 1}});
    } else if (shape % 4 == 2) {
        pd_kv_command_encode(
            &writer, &(struct pd_kv_command){.kind = (enum pd_kv_command_kind)(shape / 4 % 16),
                                             .id = (int64_t)next_number(script),
                                             .revision = (int64_t)next_number(script),
                                             .ttl_s = 1 + next_byte(script),
                                             .version = next_byte(script) % 4u,
                                             .duration_ns = 1000000,
                                             .ops = NULL});
    } else {
        while (writer.size < shape) {
            writer.bytes[writer.size++] = next_byte(script);
        }
    }
    pd_replica_request(world->replica, 1, next_byte(script) % 3u, script->at, bytes,
                       PD_REPLICA_REQUEST_HEAD_SIZE + writer.size);
}

/* A frame of the right outside; inside a raft message that fits, or anything. */
static void send_frame(struct world *world, struct script *script)
{
    uint8_t bytes[PD_REPLICA_FRAME_SIZE + BODY_MAX + 512] = {PD_REPLICA_FRAME_VERSION};
    pd_raft_node from = 2 + next_byte(script) % 3u;
    bytes[1] = (uint8_t)(1 + next_byte(script) % 7u);
    pd_put_u64(bytes + 8, 1);
    pd_put_u64(bytes + 16, from);
    pd_put_u64(bytes + 24, 1);
    size_t size = PD_REPLICA_FRAME_SIZE;
    if (bytes[1] == PD_REPLICA_FRAME_RAFT && next_byte(script) % 8u != 0) {
        struct pd_replica_status status;
        pd_replica_status(world->replica, &status);
        struct pd_raft_entry entry = {.term = status.raft.hard_state.term,
                                      .index = status.raft.last_index + 1,
                                      .data = {bytes, next_byte(script) % 16u}};
        struct pd_raft_message message = {
            .type = (enum pd_raft_message_type)(1 + next_byte(script) % 15u),
            .from = from,
            .to = 1,
            .term = status.raft.hard_state.term + next_byte(script) % 2u,
            .log_term = status.raft.hard_state.term,
            .index = status.raft.last_index - next_byte(script) % 2u,
            .commit = next_number(script),
            .token = next_number(script),
            .session = next_number(script),
            .reject = next_byte(script) % 8u == 0,
            .entries = &entry,
            .entry_count = next_byte(script) % 2u,
        };
        if (message.type == PD_RAFT_MSG_SNAP) {
            return;
        }
        pd_raft_wire_put(bytes + size, &message);
        size += pd_raft_wire_size(&message);
    } else {
        for (uint32_t i = next_byte(script); i > 0; i--) {
            bytes[size++] = next_byte(script);
        }
    }
    pd_replica_message(world->replica, from, bytes, size);
}

static void step(struct world *world, struct script *script)
{
    uint8_t what = next_byte(script) % 16u;
    if (what < 5) {
        send_request(world, script);
    } else if (what < 9) {
        send_frame(world, script);
    } else if (what == 9) {
        pd_replica_client_gone(world->replica, next_byte(script) % 3u);
    } else if (what == 10) {
        pd_replica_disk_low(world->replica, next_byte(script) % 2u == 0);
    } else if (what < 13) {
        world->now_ns += 100000000u * (uint64_t)(1 + next_byte(script));
        pd_replica_clock(world->replica, world->now_ns, world->now_ns);
        pd_replica_tick(world->replica);
    } else if (what == 13 && world->store_waits) {
        world->store_waits = false;
        pd_replica_store_written(world->replica);
    } else if (world->log_ticket != 0) {
        uint64_t ticket = world->log_ticket;
        world->log_ticket = 0;
        pd_replica_log_durable(world->replica, ticket);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct script script = {.bytes = bytes, .size = size};
    struct pd_replica_config config = config_of(&script);
    struct world world = {.now_ns = 1, .page = malloc(PAGE_BYTES)};
    world.store = pd_store_memory_open();
    const struct pd_replica_store_state empty = {.applied_index = 0};
    if (world.page == NULL || world.store == NULL ||
        pd_replica_open(&config, &world.replica) != PD_OK ||
        pd_replica_start(world.replica, &empty, 1, 1) != PD_OK) {
        abort();
    }
    serve(&world);
    for (int i = 0; i < STEPS_MAX && script.at < script.size && !world.is_dead; i++) {
        step(&world, &script);
        serve(&world);
        pd_replica_check(world.replica);
    }
    for (uint32_t i = 0; i < 4; i++) {
        if (world.views[i] != NULL) {
            world.store->ops->view_close(world.views[i]);
        }
    }
    pd_replica_close(world.replica);
    world.store->ops->close(world.store);
    free(world.page);
    return 0;
}
