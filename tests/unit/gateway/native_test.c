/* The node's own protocol on the client port, as bytes: frames in any pieces, bounds, slow readers
 * and slow writers; and what may be asked there. */
#include "gateway/native.h"

#include "base/frame.h"
#include "gateway/gateway_world.h"
#include "node/gateway_peers.h"
#include "support/seed.h"

#define FRAME_MAX 1000u

static struct {
    struct pd_backend_peer *peer; /* NULL: none is open */
    uint32_t frames;
    uint64_t correlation; /* of the last */
    size_t size;
    uint32_t folded; /* of all bytes */
    bool is_refused;
} told;

static uint32_t outputs; /* times that it was wanted */

static enum pd_status peer_open(struct pd_backend *backend, struct pd_backend_peer *peer)
{
    (void)backend;
    if (told.is_refused) {
        return PD_ERR_FULL;
    }
    assert_null(told.peer);
    told.peer = peer;
    return PD_OK;
}

static void peer_submit(struct pd_backend *backend, struct pd_backend_peer *peer,
                        uint64_t correlation, struct pd_span bytes)
{
    (void)backend;
    assert_ptr_equal(peer, told.peer);
    told.frames++;
    told.correlation = correlation;
    told.size = bytes.size;
    for (size_t i = 0; i < bytes.size; i++) {
        told.folded = told.folded * 31 + bytes.bytes[i];
    }
}

static void peer_close(struct pd_backend *backend, struct pd_backend_peer *peer)
{
    (void)backend;
    assert_ptr_equal(peer, told.peer);
    told.peer = NULL;
}

static const struct pd_backend_ops native_ops = {
    .peer_open = peer_open, .peer_submit = peer_submit, .peer_close = peer_close};

static void wants_output(void *connection)
{
    (void)connection;
    outputs++;
}

static const struct pd_protocol_owner owner = {.wants_output = wants_output};
static const struct pd_protocol *const protocol = &pd_native_protocol;

static struct world world;
static struct pd_native_shared shared;

static void begins(uint64_t output_bytes_max)
{
    struct pd_service_config config = pd_service_config_default();
    config.output_bytes_max = output_bytes_max;
    world_open(&world, &config);
    world.backend.ops = &native_ops;
    memset(&told, 0, sizeof told);
    shared = (struct pd_native_shared){
        .config = pd_native_config_default(), .service = world.service, .backend = &world.backend};
    shared.config.frame_bytes_max = FRAME_MAX;
    shared.config.input_bytes_max = 4096;
    shared.config.output_bytes_soft = 2048;
    shared.config.frame_ns = 1000;
}

static void ends(struct pd_native *native)
{
    protocol->close(native);
    assert_null(told.peer);
    assert_int_equal(shared.input_bytes, 0);
    world_close(&world);
}

static size_t frame(uint8_t *bytes, uint64_t correlation, size_t size)
{
    pd_frame_put_head(bytes, (uint32_t)size, correlation);
    for (size_t i = 0; i < size; i++) {
        bytes[PD_FRAME_HEAD_SIZE + i] = (uint8_t)(i + correlation);
    }
    return PD_FRAME_HEAD_SIZE + size;
}

static void frames_come_in_any_pieces(void **state)
{
    (void)state;
    uint8_t bytes[8 * (FRAME_MAX + PD_FRAME_HEAD_SIZE)];
    struct pd_random random = test_random("native");
    for (unsigned round = 0; round < 200; round++) {
        begins(1 << 20);
        struct pd_native *native = pd_native_open(&shared, &owner);
        uint32_t count = 1 + (uint32_t)pd_random_below(&random, 8);
        size_t size = 0;
        assert_int_equal(protocol->receive(native, (struct pd_span){NULL, 0}, 5), PD_OK);
        uint32_t folded = 0;
        for (uint32_t i = 0; i < count; i++) {
            size_t at = size + PD_FRAME_HEAD_SIZE;
            size += frame(bytes + size, i, pd_random_below(&random, FRAME_MAX + 1));
            for (; at < size; at++) {
                folded = folded * 31 + bytes[at];
            }
        }
        for (size_t at = 0; at < size;) {
            size_t part = 1 + pd_random_below(&random, size - at);
            part = part > 600 ? 600 : part;
            /* A copy, so that what is read beyond is seen. */
            uint8_t *piece = pd_alloc(part);
            memcpy(piece, bytes + at, part);
            assert_int_equal(protocol->receive(native, (struct pd_span){piece, part}, 5), PD_OK);
            pd_free(piece);
            at += part;
        }
        assert_int_equal(told.frames, count);
        assert_int_equal(shared.counters.frames, count);
        assert_int_equal(told.folded, folded);
        assert_int_equal(told.correlation, count - 1);
        assert_true(protocol->deadline_ns(native) == UINT64_MAX);
        ends(native);
    }
}

static void what_is_too_large_or_too_slow_ends(void **state)
{
    (void)state;
    uint8_t bytes[FRAME_MAX + PD_FRAME_HEAD_SIZE] = {0};
    begins(1 << 20);
    struct pd_native *native = pd_native_open(&shared, &owner);
    pd_frame_put_head(bytes, FRAME_MAX + 1, 1);
    assert_int_equal(protocol->receive(native, (struct pd_span){bytes, PD_FRAME_HEAD_SIZE}, 5),
                     PD_ERR_INVALID);
    assert_int_equal(shared.counters.bad_frames, 1);
    assert_int_equal(shared.counters.connections, 1);
    ends(native);

    begins(1 << 20);
    native = pd_native_open(&shared, &owner);
    size_t size = frame(bytes, 1, 10);
    assert_int_equal(protocol->receive(native, (struct pd_span){bytes, 3}, 5), PD_OK);
    assert_int_equal(protocol->deadline_ns(native), 1005);
    assert_int_equal(protocol->receive(native, (struct pd_span){bytes + 3, 4}, 900), PD_OK);
    assert_int_equal(protocol->deadline_ns(native), 1005); /* a byte now and then buys no time */
    assert_int_equal(protocol->expire(native, 1004), PD_OK);
    assert_int_equal(shared.counters.late_frames, 0);
    assert_int_equal(protocol->expire(native, 1005), PD_ERR_TIMEOUT);
    assert_int_equal(shared.counters.late_frames, 1);
    assert_int_equal(protocol->receive(native, (struct pd_span){bytes + 7, size - 7}, 950), PD_OK);
    assert_true(protocol->deadline_ns(native) == UINT64_MAX);
    ends(native);

    /* Not while nobody reads what it says: then it has its whole time again. */
    begins(1 << 20);
    native = pd_native_open(&shared, &owner);
    assert_int_equal(protocol->receive(native, (struct pd_span){bytes, 3}, 5), PD_OK);
    protocol->paced(native, true, 6);
    assert_true(protocol->deadline_ns(native) == UINT64_MAX);
    assert_int_equal(protocol->expire(native, 100000), PD_OK);
    protocol->paced(native, false, 100000);
    assert_int_equal(protocol->deadline_ns(native), 101000);
    assert_int_equal(protocol->expire(native, 101000), PD_ERR_TIMEOUT);
    assert_int_equal(protocol->receive(native, (struct pd_span){bytes + 3, size - 3}, 9), PD_OK);
    protocol->paced(native, true, 10);
    protocol->paced(native, false, 11);
    assert_true(protocol->deadline_ns(native) == UINT64_MAX); /* no frame has begun */
    ends(native);

    /* Of all connections together. */
    begins(1 << 20);
    native = pd_native_open(&shared, &owner);
    shared.input_bytes += 4096 - 11; /* another one's */
    pd_frame_put_head(bytes, FRAME_MAX, 1);
    assert_int_equal(protocol->receive(native, (struct pd_span){bytes, 11}, 5), PD_OK);
    assert_int_equal(shared.counters.crowded, 0);
    assert_int_equal(protocol->receive(native, (struct pd_span){bytes + 11, 1}, 5), PD_ERR_FULL);
    assert_int_equal(shared.counters.crowded, 1);
    assert_int_equal(shared.counters.bad_frames, 0);
    shared.input_bytes -= 4096 - 11;
    ends(native);

    begins(1 << 20);
    told.is_refused = true;
    assert_null(pd_native_open(&shared, &owner));
    assert_int_equal(shared.counters.connections, 0);
    assert_int_equal(shared.counters.connections_refused, 1);
    world_close(&world);
}

/* Everything that it says, into `bytes`. */
static size_t say(struct pd_native *native, uint8_t *bytes)
{
    size_t size = 0;
    for (;;) {
        struct pd_span part = protocol->output(native);
        if (part.size == 0) {
            return size;
        }
        assert_true(part.size <= 32 * 1024);
        memcpy(bytes + size, part.bytes, part.size);
        size += part.size;
    }
}

static void answers_leave_in_order_and_are_bounded(void **state)
{
    (void)state;
    static uint8_t body[100000];
    static uint8_t said[200000];
    struct pd_frame taken;
    for (size_t i = 0; i < sizeof body; i++) {
        body[i] = (uint8_t)(i % 251);
    }
    begins(1 << 20);
    struct pd_native *native = pd_native_open(&shared, &owner);
    outputs = 0;
    told.peer->answered(told.peer, 7, (struct pd_span){body, 3});
    assert_int_equal(outputs, 1);
    assert_false(protocol->is_full(native));
    told.peer->answered(told.peer, 8, (struct pd_span){body, sizeof body});
    assert_true(protocol->is_full(native)); /* it is not read from */
    size_t size = say(native, said);
    assert_int_equal(size, 2 * PD_FRAME_HEAD_SIZE + 3 + sizeof body);
    assert_int_equal(pd_frame_take((struct pd_span){said, size}, 1 << 20, &taken), PD_FRAME_WHOLE);
    assert_int_equal(taken.correlation, 7);
    assert_int_equal(taken.body_size, 3);
    assert_int_equal(pd_frame_take((struct pd_span){said + 15, size - 15}, 1 << 20, &taken),
                     PD_FRAME_WHOLE);
    assert_int_equal(taken.correlation, 8);
    assert_memory_equal(taken.body.bytes, body, sizeof body);
    assert_false(protocol->is_full(native));
    assert_false(protocol->has_ended(native));
    ends(native);

    /* One that takes nothing is cut off, and the others' bound is whole again. */
    begins(150000);
    native = pd_native_open(&shared, &owner);
    told.peer->answered(told.peer, 1, (struct pd_span){body, 50000});
    assert_false(protocol->has_ended(native));
    told.peer->answered(told.peer, 2, (struct pd_span){body, 100000});
    assert_true(protocol->has_ended(native));
    assert_int_equal(protocol->output(native).size, 0);
    told.peer->answered(told.peer, 3, (struct pd_span){body, 1}); /* dropped */
    assert_int_equal(shared.counters.cut_off, 1);
    protocol->close(native);
    struct pd_service_counters counters;
    pd_service_counters(world.service, &counters);
    assert_int_equal(counters.output_bytes, 0);
    world_close(&world);
}

static bool may_ask(enum pd_replica_request_kind kind, const uint8_t *body, size_t size)
{
    uint8_t bytes[PD_REPLICA_REQUEST_HEAD_SIZE + 64];
    const struct pd_replica_request_head head = {.kind = kind};
    pd_replica_request_put_head(bytes, &head);
    if (size > 0) {
        memcpy(bytes + PD_REPLICA_REQUEST_HEAD_SIZE, body, size);
    }
    return pd_gateway_peers_may_ask((struct pd_span){bytes, PD_REPLICA_REQUEST_HEAD_SIZE + size});
}

/* Who belongs to the cluster is not for whoever reaches the port. */
static void only_keys_leases_and_watches_may_be_asked(void **state)
{
    (void)state;
    static const uint8_t long_form[] = {0x80 | PD_KV_MEMBER_PUT, 0, 1};
    static const uint8_t long_ops[] = {0x80 | PD_KV_OPS, 0, 1};
    for (unsigned kind = 0; kind <= 127; kind++) {
        const uint8_t command[] = {(uint8_t)kind, 1, 1};
        bool is_client = kind == PD_KV_OPS || kind == PD_KV_COMPACT ||
                         (kind >= PD_KV_LEASE_GRANT && kind <= PD_KV_LEASE_KEEPALIVE) ||
                         (kind >= PD_KV_SESSION_OPEN && kind <= PD_KV_SESSION_KEEPALIVE);
        assert_int_equal(may_ask(PD_REPLICA_REQUEST_WRITE, command, sizeof command), is_client);
    }
    assert_false(may_ask(PD_REPLICA_REQUEST_WRITE, long_form, sizeof long_form));
    assert_false(may_ask(PD_REPLICA_REQUEST_WRITE, long_ops, sizeof long_ops));
    assert_false(may_ask(PD_REPLICA_REQUEST_WRITE, NULL, 0));
    for (unsigned kind = 0; kind <= 255; kind++) {
        bool is_client = (kind >= PD_REPLICA_REQUEST_READ && kind <= PD_REPLICA_REQUEST_UNWATCH) ||
                         kind == PD_REPLICA_REQUEST_WATCH_CREDIT;
        if (kind != PD_REPLICA_REQUEST_WRITE) {
            assert_int_equal(may_ask((enum pd_replica_request_kind)kind, NULL, 0), is_client);
        }
    }
    for (size_t size = 0; size < PD_REPLICA_REQUEST_HEAD_SIZE; size++) {
        uint8_t bytes[PD_REPLICA_REQUEST_HEAD_SIZE] = {PD_REPLICA_REQUEST_READ};
        assert_false(pd_gateway_peers_may_ask((struct pd_span){bytes, size}));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_in_any_pieces),
        cmocka_unit_test(what_is_too_large_or_too_slow_ends),
        cmocka_unit_test(answers_leave_in_order_and_are_bounded),
        cmocka_unit_test(only_keys_leases_and_watches_may_be_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
