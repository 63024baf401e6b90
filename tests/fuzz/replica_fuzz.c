/* Any frames from peers and any requests from clients, between ticks, late disks and late stores: a
 * replica never trips an assertion, and its invariants hold. The input is a script: one byte
 * chooses what happens, others follow. Node 1 of three is real; it may win elections by made-up
 * votes. Whom it would connect with follows whatever others say of the directory. */
#include "one_replica.h"

#include "node/directory.h"
#include "node/directory_word.h"

#define STEPS_MAX 300
#define BODY_MAX 512u
#define LONELY_TICKS 40 /* nobody leads: the others are asked */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

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

static size_t put_field(uint8_t *bytes, uint8_t tag, const uint8_t *field, size_t size)
{
    bytes[0] = tag;
    bytes[1] = (uint8_t)size;
    memcpy(bytes + 2, field, size);
    return 2 + size;
}

/* Of a few members and removed ones, in any order; or a question. */
static size_t put_word(uint8_t *bytes, struct script *script)
{
    uint8_t index = next_byte(script) % 128u;
    size_t size = put_field(bytes, (uint8_t)(1 + next_byte(script) % 2u), &index, 1);
    for (uint32_t i = next_byte(script) % 6u; i > 0; i--) {
        uint8_t node = next_byte(script) % 8u;
        uint8_t row[96] = {node};
        struct pd_kv_writer writer = {.bytes = row, .bytes_max = sizeof row, .size = 1};
        struct pd_kv_member member = {.node = node};
        if (next_byte(script) % 2u != 0) {
            size += put_field(bytes + size, 4, &node, 1);
            continue;
        }
        memset(member.key, node, sizeof member.key);
        pd_kv_member_encode(&writer, &member);
        size += put_field(bytes + size, 3, row, writer.size);
    }
    return size;
}

/* As the owner does, each turn. */
static void follow(struct pd_directory *directory, const struct pd_replica *replica)
{
    struct pd_directory_walk walk = {0};
    struct pd_kv_member member;
    enum pd_directory_news news = pd_directory_look(directory, replica);
    if (news != PD_DIRECTORY_IS_ANOTHER && news != PD_DIRECTORY_IS_TOLD) {
        return;
    }
    while (pd_directory_next(directory, replica, &walk, &member)) {
        if (pd_directory_standing(directory, replica, member.node) == PD_KV_MEMBER_REMOVED ||
            member.role == PD_KV_MEMBER_WORKER) {
            abort();
        }
    }
    pd_directory_followed(directory, replica, true);
}

/* A frame of the right outside; inside a raft message that fits, or anything. */
static void send_frame(struct world *world, struct script *script)
{
    uint8_t bytes[PD_REPLICA_FRAME_SIZE + BODY_MAX + 512] = {PD_REPLICA_FRAME_VERSION};
    pd_raft_node from = 2 + next_byte(script) % 3u;
    bytes[1] = (uint8_t)(1 + next_byte(script) % 8u);
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
    } else if (bytes[1] == PD_REPLICA_FRAME_DIRECTORY_FIELDS && next_byte(script) % 4u != 0) {
        size += put_word(bytes + size, script);
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
        world_tick(world, 100000000u * (uint64_t)(1 + next_byte(script)));
    } else {
        world_disk(world, what == 13);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct script script = {.bytes = bytes, .size = size};
    struct world world;
    static const struct pd_members_file nobody;
    struct pd_directory directory;
    world_open(&world, &script);
    pd_directory_init(&directory, &nobody, &nobody);
    for (int i = next_byte(&script) % 4u == 0 ? LONELY_TICKS : 0; i > 0; i--) {
        world_tick(&world, 100000000u);
        serve(&world);
    }
    for (int i = 0; i < STEPS_MAX && script.at < script.size && !world.is_dead; i++) {
        step(&world, &script);
        serve(&world);
        pd_replica_check(world.replica);
        follow(&directory, world.replica);
    }
    world_close(&world);
    return 0;
}
