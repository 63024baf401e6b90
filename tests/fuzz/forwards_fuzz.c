/* Any frames from other nodes, any requests from clients, leaders that come and go, answers of
 * every kind, late, twice and never: what passes requests on to the leader keeps its bounds, and
 * every client is told once what became of its request, in time. */
#include "one_replica.h"

#include "base/list.h"
#include "node/forwards.h"

#define STEPS_MAX 300
#define BODY_MAX 256u
#define TICK_NS UINT64_C(100000000)
#define PATIENCE_NS (10 * TICK_NS)
#define LAST_TICKS 40u /* patience, and a second */
#define FORWARDS_MAX 4u
#define BYTES_MAX 1024u
#define CLIENTS 3u
#define ASKED_MAX (STEPS_MAX + 1u)
#define FRAME_SIZE 24u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct wire {
    struct pd_transport base;
    enum pd_status fails; /* what the next sends come to */
    uint64_t number;      /* of the last request that left */
    uint64_t to;
};

struct desk {
    struct world world;
    struct wire wire;
    struct pd_forwards forwards;
    bool is_open[ASKED_MAX]; /* by correlation: its client waits */
    uint8_t client[ASKED_MAX];
    uint32_t asked;
};

static enum pd_status take_frame(struct pd_transport *transport, uint64_t node,
                                 enum pd_transport_lane lane, struct pd_span bytes)
{
    struct wire *wire = pd_container_of(transport, struct wire, base);
    (void)lane;
    if (bytes.size < FRAME_SIZE || node == 0 || node == 1) {
        abort();
    }
    if (wire->fails == PD_OK && bytes.bytes[1] == 1) {
        wire->number = pd_get_u64(bytes.bytes + 16);
        wire->to = node;
    }
    return wire->fails;
}

static const struct pd_transport_ops wire_ops = {.send = take_frame};

static void tell(struct desk *desk, uint64_t client, uint64_t correlation, struct pd_span bytes)
{
    struct pd_replica_answer_head head;
    if (correlation >= desk->asked || !desk->is_open[correlation] ||
        desk->client[correlation] != client || pd_replica_answer_decode(bytes, &head) != PD_OK) {
        abort();
    }
    desk->is_open[correlation] = false;
}

static void tell_forwarded(void *state, const struct pd_forward *forward, struct pd_span bytes)
{
    tell(state, forward->client_id, forward->correlation, bytes);
}

static void answered(void *listener, const struct pd_replica_output *output)
{
    struct desk *desk = listener;
    if (!pd_forwards_answered(&desk->forwards, output->client, output->correlation,
                              output->bytes)) {
        tell(desk, output->client, output->correlation, output->bytes);
    }
}

static size_t put_request(struct script *script, uint8_t *bytes)
{
    struct pd_replica_request_head head = {
        .kind = (enum pd_replica_request_kind)(next_byte(script) % 16u),
        .session = next_number(script) % 3u,
        .sequence = next_number(script),
        .low = next_number(script),
        .number = next_number(script),
    };
    pd_replica_request_put_head(bytes, &head);
    uint8_t key = (uint8_t)('a' + next_byte(script) % 4u);
    struct pd_kv_writer writer = {.bytes = bytes + PD_REPLICA_REQUEST_HEAD_SIZE,
                                  .bytes_max = BODY_MAX};
    uint8_t shape = next_byte(script);
    if (shape % 2 == 0) {
        pd_kv_encode_put(&writer, &(struct pd_kv_put){.key = {&key, 1}, .value = {&key, 1}});
    } else {
        while (writer.size < shape) {
            writer.bytes[writer.size++] = next_byte(script);
        }
    }
    return PD_REPLICA_REQUEST_HEAD_SIZE + writer.size;
}

static void ask(struct desk *desk, struct script *script)
{
    uint8_t bytes[PD_REPLICA_REQUEST_HEAD_SIZE + BODY_MAX] = {0};
    uint64_t client = 1 + next_byte(script) % CLIENTS;
    uint64_t correlation = desk->asked++;
    struct pd_span request = {bytes, put_request(script, bytes)};
    request.size -= next_byte(script) % 8u == 0 ? request.size / 2 : 0;
    desk->client[correlation] = (uint8_t)client;
    desk->is_open[correlation] = true;
    if (!pd_forwards_take(&desk->forwards, desk->world.now_ns, client, correlation, request)) {
        desk->is_open[correlation] = false; /* the replica's own business */
    }
}

/* A frame of the right outside, or nearly. */
static void frame(struct desk *desk, struct script *script)
{
    uint8_t bytes[FRAME_SIZE + PD_REPLICA_REQUEST_HEAD_SIZE + BODY_MAX] = {0xf1};
    uint64_t from = 2 + next_byte(script) % 2u;
    uint8_t how = next_byte(script);
    size_t size = FRAME_SIZE;
    bytes[1] = how % 4u;
    bytes[2] = how == 255;
    pd_put_u32(bytes + 4, how == 254 ? 1 : 0);
    pd_put_u64(bytes + 8, how == 253 ? 2 : 1);
    pd_put_u64(bytes + 16, how % 16 == 2 ? next_number(script) : desk->wire.number);
    if (bytes[1] == 1) {
        size += put_request(script, bytes + size);
    } else {
        struct pd_replica_answer_head head = {
            .outcome = (enum pd_replica_outcome)(next_byte(script) % 11u),
            .leader = next_byte(script) % 4u};
        pd_replica_answer_put_head(bytes + size, &head);
        size += PD_REPLICA_ANSWER_HEAD_SIZE;
        struct pd_kv_writer writer = {.bytes = bytes + size, .bytes_max = BODY_MAX};
        uint8_t shape = next_byte(script);
        if (shape % 2 == 0) {
            pd_kv_answer_put_head(&writer,
                                  &(struct pd_kv_answer_head){
                                      .kind = (enum pd_kv_answer_kind)(next_byte(script) % 12u),
                                      .error = (enum pd_kv_error)(next_byte(script) % 24u),
                                      .revision = 3});
            pd_kv_answer_put_number(&writer, next_byte(script) % 3u);
        }
        size += writer.size;
        from = how % 2 == 0 ? desk->wire.to : from;
    }
    size = next_byte(script) % 16u == 0 ? FRAME_SIZE + (size - FRAME_SIZE) / 2 : size;
    if (pd_forwards_is_frame((struct pd_span){bytes, size})) {
        pd_forwards_frame(&desk->forwards, from, (struct pd_span){bytes, size});
    }
}

/* Another node says that it leads. */
static void hear_leader(struct desk *desk, struct script *script)
{
    uint8_t bytes[PD_REPLICA_FRAME_SIZE + 512] = {PD_REPLICA_FRAME_VERSION, PD_REPLICA_FRAME_RAFT};
    pd_raft_node from = 2 + next_byte(script) % 2u;
    struct pd_replica_status status;
    pd_replica_status(desk->world.replica, &status);
    pd_put_u64(bytes + 8, 1);
    pd_put_u64(bytes + 16, from);
    pd_put_u64(bytes + 24, 1);
    const struct pd_raft_message message = {.type = PD_RAFT_MSG_HEARTBEAT,
                                            .from = from,
                                            .to = 1,
                                            .term = status.raft.hard_state.term + 1};
    pd_raft_wire_put(bytes + PD_REPLICA_FRAME_SIZE, &message);
    pd_replica_message(desk->world.replica, from, bytes,
                       PD_REPLICA_FRAME_SIZE + pd_raft_wire_size(&message));
}

static void go_on(struct desk *desk, bool is_tick)
{
    serve(&desk->world);
    for (int turns = 0; turns < 64 && !desk->world.is_dead &&
                        pd_forwards_turn(&desk->forwards, is_tick && turns == 0);
         turns++) {
        serve(&desk->world);
    }
    if (desk->forwards.count > FORWARDS_MAX || desk->forwards.bytes > BYTES_MAX) {
        abort();
    }
}

static void pass_time(struct desk *desk, uint64_t passed_ns)
{
    world_tick(&desk->world, passed_ns);
    pd_forwards_clock(&desk->forwards, desk->world.now_ns);
}

static void step(struct desk *desk, struct script *script)
{
    static const enum pd_status fates[] = {PD_OK, PD_OK, PD_OK, PD_ERR_FULL, PD_ERR_RANGE};
    uint8_t what = next_byte(script) % 16u;
    if (what < 4) {
        ask(desk, script);
    } else if (what < 8) {
        frame(desk, script);
    } else if (what < 10) {
        hear_leader(desk, script);
    } else if (what == 10) {
        pd_forwards_lost(&desk->forwards, 2 + next_byte(script) % 2u);
    } else if (what == 11) {
        uint64_t client = 1 + next_byte(script) % CLIENTS;
        pd_forwards_client_gone(&desk->forwards, client);
        for (uint32_t i = 0; i < desk->asked; i++) {
            desk->is_open[i] = desk->is_open[i] && desk->client[i] != client;
        }
    } else if (what == 12) {
        desk->wire.fails = fates[next_byte(script) % 5u];
    } else if (what == 13) {
        pass_time(desk, TICK_NS * (1 + next_byte(script) % 4u));
    } else {
        world_disk(&desk->world, what == 14);
    }
    go_on(desk, what == 13);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct script script = {.bytes = bytes, .size = size};
    static struct desk desk;
    desk = (struct desk){.wire = {.base = {&wire_ops}}};
    const struct pd_forwards_config config = {.forwards_max = FORWARDS_MAX,
                                              .bytes_max = BYTES_MAX,
                                              .cluster_id = 1,
                                              .node_id = 1,
                                              .tick_ns = TICK_NS,
                                              .patience_ns = PATIENCE_NS,
                                              .random = UINT64_C(1) << 40,
                                              .answer = tell_forwarded,
                                              .state = &desk};
    world_open(&desk.world, &script);
    desk.world.answered = answered;
    desk.world.listener = &desk;
    if (pd_forwards_init(&desk.forwards, &config) != PD_OK) {
        abort();
    }
    pd_forwards_begin(&desk.forwards, desk.world.replica, &desk.wire.base);
    pd_forwards_clock(&desk.forwards, desk.world.now_ns);
    for (int i = 0; i < STEPS_MAX && script.at < script.size && !desk.world.is_dead; i++) {
        step(&desk, &script);
    }
    for (uint32_t i = 0; i < LAST_TICKS && !desk.world.is_dead; i++) {
        pass_time(&desk, TICK_NS);
        go_on(&desk, true);
    }
    for (uint32_t i = 0; i < desk.asked && !desk.world.is_dead; i++) {
        if (desk.is_open[i]) {
            abort();
        }
    }
    pd_forwards_deinit(&desk.forwards);
    world_close(&desk.world);
    return 0;
}
