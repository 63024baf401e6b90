/* What passes requests on to the leader, over a real follower and a real leader: the test is the
 * wire between them and whoever asks. */
#include "node/replica_world.h"

#include "base/bytes.h"
#include "base/list.h"
#include "node/forwards.h"

#define FRAME 24u
#define PATIENCE_NS (10 * WORLD_TICK_NS)
#define CLUSTER 77u
#define GROUP 3u
#define CLIENT 5u

/* What left, and what clients were told, last. */
struct wire {
    struct pd_transport base;
    enum pd_status fails;
    bool bulk_is_full;
    uint32_t count;
    uint64_t to;
    uint8_t bytes[4096];
    size_t size;
};
struct told {
    uint32_t count;
    uint64_t correlation;
    enum pd_replica_outcome outcome;
};
struct desk {
    struct world *world;
    struct world_node *node;
    pd_raft_node leader;
    struct wire wire;
    struct told told;
    struct pd_forwards forwards;
};

static enum pd_status take_frame(struct pd_transport *transport, uint64_t node,
                                 enum pd_transport_lane lane, struct pd_span bytes)
{
    struct wire *wire = pd_container_of(transport, struct wire, base);
    if (wire->bulk_is_full && lane == PD_TRANSPORT_BULK) {
        return PD_ERR_FULL;
    }
    if (wire->fails == PD_OK) {
        assert_true(bytes.size <= sizeof wire->bytes);
        memcpy(wire->bytes, bytes.bytes, bytes.size);
        wire->size = bytes.size;
        wire->to = node;
        wire->count++;
    }
    return wire->fails;
}

static void tell(void *state, const struct pd_forward *forward, struct pd_span bytes)
{
    struct desk *desk = state;
    struct pd_replica_answer_head head;
    assert_int_equal(pd_replica_answer_decode(bytes, &head), PD_OK);
    assert_int_equal(forward->client_id, CLIENT);
    desk->told = (struct told){desk->told.count + 1, forward->correlation, head.outcome};
}

/* At the leader, or at one that follows it; with so many places. */
static void desk_open_wide(struct desk *desk, bool leads, uint32_t places)
{
    static const struct pd_transport_ops ops = {.send = take_frame};
    *desk = (struct desk){.world = world_open(3, 3, 4), .wire = {.base = {&ops}}};
    world_start_all(desk->world, 3);
    desk->leader = world_elect(desk->world);
    world_put(desk->world, "a", "b");
    world_ticks(desk->world, 3); /* everybody has heard who leads */
    desk->node = world_node(desk->world, leads ? desk->leader : 1 + desk->leader % 3);
    const struct pd_forwards_config config = {.forwards_max = places,
                                              .bytes_max = UINT64_C(1024) * places,
                                              .group_id = GROUP,
                                              .cluster_id = CLUSTER,
                                              .node_id = desk->node->id,
                                              .tick_ns = WORLD_TICK_NS,
                                              .patience_ns = PATIENCE_NS,
                                              .random = UINT64_C(9) << 40,
                                              .answer = tell,
                                              .state = desk};
    assert_int_equal(pd_forwards_init(&desk->forwards, &config), PD_OK);
    pd_forwards_begin(&desk->forwards, desk->node->replica, &desk->wire.base);
    pd_forwards_clock(&desk->forwards, desk->world->now_ns);
    assert_int_equal(pd_replica_leader(desk->node->replica), desk->leader);
}

static void desk_open(struct desk *desk, bool leads)
{
    desk_open_wide(desk, leads, 4);
}

static void desk_close(struct desk *desk)
{
    pd_forwards_deinit(&desk->forwards);
    world_close(desk->world);
}

static void turn(struct desk *desk)
{
    while (pd_forwards_turn(&desk->forwards, true)) {
    }
}

static void take_as(struct desk *desk, uint64_t correlation,
                    const struct pd_replica_request_head *head)
{
    uint8_t bytes[PD_REPLICA_REQUEST_HEAD_SIZE + 64];
    struct pd_kv_writer writer = {.bytes = bytes + PD_REPLICA_REQUEST_HEAD_SIZE, .bytes_max = 64};
    pd_replica_request_put_head(bytes, head);
    if (head->kind == PD_REPLICA_REQUEST_WRITE) {
        pd_kv_encode_put(&writer, &(struct pd_kv_put){.key = {(const uint8_t *)"k", 1}});
    }
    assert_true(
        pd_forwards_take(&desk->forwards, 0, CLIENT, correlation,
                         (struct pd_span){bytes, PD_REPLICA_REQUEST_HEAD_SIZE + writer.size}));
}

static void take(struct desk *desk, uint64_t correlation, enum pd_replica_request_kind kind)
{
    take_as(desk, correlation, &(struct pd_replica_request_head){.kind = kind});
}

static void ask(struct desk *desk, uint64_t correlation, enum pd_replica_request_kind kind)
{
    take(desk, correlation, kind);
    turn(desk);
}

static uint64_t frame_number(const struct desk *desk)
{
    return pd_get_u64(desk->wire.bytes + 16);
}

static struct pd_replica_request_head frame_request(const struct desk *desk)
{
    struct pd_replica_request_head head = {0};
    assert_int_equal(desk->wire.bytes[1], 1);
    assert_int_equal(
        pd_replica_request_decode(
            (struct pd_span){desk->wire.bytes + FRAME, desk->wire.size - FRAME}, &head),
        PD_OK);
    return head;
}

static void put_frame(uint8_t *frame, uint8_t kind, uint64_t cluster, uint64_t number)
{
    memset(frame, 0, FRAME);
    frame[0] = 0xf1;
    frame[1] = kind;
    pd_put_u32(frame + 4, GROUP);
    pd_put_u64(frame + 8, cluster);
    pd_put_u64(frame + 16, number);
}

/* The leader answers what it was sent under that number; session: the body of one that was opened,
 * 0: a body with the error alone. */
static void answer_with(struct desk *desk, uint64_t number, enum pd_replica_outcome outcome,
                        uint64_t session, enum pd_kv_error error)
{
    uint8_t bytes[FRAME + PD_REPLICA_ANSWER_HEAD_SIZE + 64];
    uint8_t *body = bytes + FRAME + PD_REPLICA_ANSWER_HEAD_SIZE;
    struct pd_kv_writer writer = {.bytes = body, .bytes_max = 64};
    put_frame(bytes, 2, CLUSTER, number);
    pd_replica_answer_put_head(bytes + FRAME, &(struct pd_replica_answer_head){.outcome = outcome});
    pd_kv_answer_put_head(&writer,
                          &(struct pd_kv_answer_head){.error = error,
                                                      .kind = session == 0 ? PD_KV_ANSWER_NONE
                                                                           : PD_KV_ANSWER_SESSION});
    if (session != 0) {
        pd_kv_answer_put_number(&writer, (int64_t)session);
    }
    pd_forwards_frame(&desk->forwards, desk->leader,
                      (struct pd_span){bytes, FRAME + PD_REPLICA_ANSWER_HEAD_SIZE + writer.size});
    turn(desk);
}

static void answer(struct desk *desk, uint64_t number, enum pd_replica_outcome outcome,
                   uint64_t session)
{
    answer_with(desk, number, outcome, session, PD_KV_OK);
}

static void an_answer_finds_its_own_request_only(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, false);
    ask(&desk, 10, PD_REPLICA_REQUEST_TRANSFER);
    assert_int_equal(desk.wire.to, desk.leader);
    uint64_t first = frame_number(&desk);
    pd_forwards_lost(&desk.forwards, desk.leader);
    assert_int_equal(desk.told.count, 1);
    assert_int_equal(desk.told.outcome, PD_REPLICA_UNKNOWN); /* nobody sees to it: not again */
    ask(&desk, 11, PD_REPLICA_REQUEST_TRANSFER);
    uint64_t second = frame_number(&desk);
    answer(&desk, first, PD_REPLICA_INVALID, 0); /* after all, and too late */
    assert_int_equal(desk.told.count, 1);
    answer(&desk, second, PD_REPLICA_OK, 0);
    assert_int_equal(desk.told.count, 2);
    assert_int_equal(desk.told.correlation, 11);
    assert_int_equal(desk.told.outcome, PD_REPLICA_OK);
    answer(&desk, second, PD_REPLICA_OK, 0);
    assert_int_equal(desk.told.count, 2);
    desk_close(&desk);
}

static void a_lost_write_goes_again_under_its_number(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, false);
    ask(&desk, 10, PD_REPLICA_REQUEST_WRITE);
    assert_int_equal(frame_request(&desk).session, 0); /* it opens the node's session first */
    answer(&desk, frame_number(&desk), PD_REPLICA_OK, 900);
    assert_int_equal(frame_request(&desk).session, 900);
    assert_int_equal(frame_request(&desk).sequence, 1);
    uint32_t sent = desk.wire.count;
    pd_forwards_lost(&desk.forwards, desk.leader);
    turn(&desk);
    assert_int_equal(desk.wire.count, sent + 1);
    assert_int_equal(frame_request(&desk).session, 900);
    assert_int_equal(frame_request(&desk).sequence, 1);
    assert_int_equal(desk.told.count, 0);
    answer(&desk, frame_number(&desk), PD_REPLICA_OK, 0);
    assert_int_equal(desk.told.count, 1);
    assert_int_equal(desk.told.outcome, PD_REPLICA_OK);
    ask(&desk, 11, PD_REPLICA_REQUEST_WRITE);
    assert_int_equal(frame_request(&desk).sequence, 2);
    assert_int_equal(frame_request(&desk).low, 2); /* the first is answered: it happens no more */
    desk_close(&desk);
}

static void pass_time(struct desk *desk, uint64_t ns)
{
    desk->world->now_ns += ns;
    pd_forwards_clock(&desk->forwards, desk->world->now_ns);
    turn(desk);
}

/* The leader has no room for an answer in the node's session: the lowest number, refused, holds the
 * answers above it, which hold the room. */
static void no_room_gives_the_number_back(void **state)
{
    (void)state;
    struct desk desk;
    uint64_t numbers[3];
    desk_open(&desk, false);
    ask(&desk, 10, PD_REPLICA_REQUEST_WRITE);
    answer(&desk, frame_number(&desk), PD_REPLICA_OK, 900);
    numbers[0] = frame_number(&desk);
    for (uint64_t i = 1; i < 3; i++) {
        ask(&desk, 10 + i, PD_REPLICA_REQUEST_WRITE);
        numbers[i] = frame_number(&desk);
    }
    answer(&desk, numbers[1], PD_REPLICA_OK, 0);
    answer(&desk, numbers[2], PD_REPLICA_OK, 0);
    answer_with(&desk, numbers[0], PD_REPLICA_OK, 0, PD_KV_ERR_SESSION_ANSWERS_FULL);
    assert_int_equal(desk.told.count, 2);
    pass_time(&desk, WORLD_TICK_NS);
    assert_int_equal(frame_request(&desk).session, 900);
    assert_int_equal(frame_request(&desk).sequence, 4);
    assert_int_equal(frame_request(&desk).low, 4);
    /* From here on it may have happened: it keeps its number. */
    pd_forwards_lost(&desk.forwards, desk.leader);
    turn(&desk);
    answer_with(&desk, frame_number(&desk), PD_REPLICA_OK, 0, PD_KV_ERR_SESSION_ANSWERS_FULL);
    pass_time(&desk, WORLD_TICK_NS);
    assert_int_equal(frame_request(&desk).sequence, 4);
    answer(&desk, frame_number(&desk), PD_REPLICA_OK, 0);
    assert_int_equal(desk.told.count, 3);
    assert_int_equal(desk.told.correlation, 10);
    assert_int_equal(desk.told.outcome, PD_REPLICA_OK);
    desk_close(&desk);
}

static void what_left_is_unknown_and_what_did_not_was_not_done(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, false);
    ask(&desk, 10, PD_REPLICA_REQUEST_WRITE);
    answer(&desk, frame_number(&desk), PD_REPLICA_OK, 900);
    pass_time(&desk, PATIENCE_NS + UINT64_C(2000000000));
    assert_int_equal(desk.told.count, 1);
    assert_int_equal(desk.told.outcome, PD_REPLICA_UNKNOWN);
    desk.wire.fails = PD_ERR_CLOSED;
    ask(&desk, 11, PD_REPLICA_REQUEST_WRITE);
    assert_int_equal(desk.told.count, 1);
    pass_time(&desk, PATIENCE_NS);
    assert_int_equal(desk.told.count, 2);
    assert_int_equal(desk.told.correlation, 11);
    assert_int_equal(desk.told.outcome, PD_REPLICA_NOT_READY);
    desk_close(&desk);
}

/* What the replica answered to a request of another node, given back. */
static void give_answers(struct desk *desk)
{
    world_settle(desk->world);
    for (uint32_t i = 0; i < desk->world->answer_count; i++) {
        struct world_answer *given = &desk->world->answers[i];
        uint8_t bytes[1024];
        if (given->client == PD_FORWARD_CLIENT_SERVED) {
            assert_true(given->body.size <= sizeof bytes - PD_REPLICA_ANSWER_HEAD_SIZE);
            pd_replica_answer_put_head(bytes,
                                       &(struct pd_replica_answer_head){.outcome = given->outcome});
            memcpy(bytes + PD_REPLICA_ANSWER_HEAD_SIZE, given->body.bytes, given->body.size);
            assert_true(pd_forwards_answered(
                &desk->forwards, given->client, given->correlation,
                (struct pd_span){bytes, PD_REPLICA_ANSWER_HEAD_SIZE + given->body.size}));
            given->client = 0;
        }
    }
}

static enum pd_replica_outcome serve(struct desk *desk, uint64_t cluster, uint8_t kind)
{
    uint8_t bytes[FRAME + PD_REPLICA_REQUEST_HEAD_SIZE + 64];
    uint8_t *request = bytes + FRAME;
    struct pd_kv_writer writer = {.bytes = request + PD_REPLICA_REQUEST_HEAD_SIZE, .bytes_max = 64};
    struct pd_replica_answer_head head = {.outcome = PD_REPLICA_OUTCOME_COUNT};
    uint32_t sent = desk->wire.count;
    put_frame(bytes, 1, cluster, 0x1234567);
    pd_replica_request_put_head(
        request, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_WRITE});
    request[0] = kind;
    pd_kv_encode_put(&writer, &(struct pd_kv_put){.key = {(const uint8_t *)"k", 1}});
    pd_forwards_frame(&desk->forwards, 9,
                      (struct pd_span){bytes, FRAME + PD_REPLICA_REQUEST_HEAD_SIZE + writer.size});
    world_loop(desk->world, desk->node);
    give_answers(desk);
    if (desk->wire.count == sent) {
        return head.outcome; /* nothing was answered */
    }
    assert_int_equal(desk->wire.count, sent + 1);
    assert_int_equal(desk->wire.to, 9);
    assert_int_equal(desk->wire.bytes[1], 2);
    assert_int_equal(frame_number(desk), 0x1234567);
    assert_int_equal(
        pd_replica_answer_decode(
            (struct pd_span){desk->wire.bytes + FRAME, desk->wire.size - FRAME}, &head),
        PD_OK);
    return head.outcome;
}

/* A turn looks at 256 of those that wait, and all places may be theirs: what they wait for goes
 * before them. */
static void a_session_is_opened_however_many_wait(void **state)
{
    (void)state;
    const uint32_t sizes[] = {1, 4, 256, 257, 600};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct desk desk;
        desk_open_wide(&desk, false, sizes[i]);
        for (uint32_t n = 0; n < sizes[i]; n++) {
            take(&desk, n, PD_REPLICA_REQUEST_WRITE);
        }
        take(&desk, sizes[i], PD_REPLICA_REQUEST_WRITE); /* one too many */
        assert_int_equal(desk.told.count, 1);
        assert_int_equal(desk.told.outcome, PD_REPLICA_BUSY);
        turn(&desk);
        assert_int_equal(desk.wire.count, 1);
        assert_int_equal(frame_request(&desk).session, 0); /* what opens one */
        answer(&desk, frame_number(&desk), PD_REPLICA_NOT_LEADER, 0);
        pd_forwards_clock(&desk.forwards, desk.world->now_ns += WORLD_TICK_NS);
        turn(&desk);
        assert_int_equal(desk.wire.count, 2);
        assert_int_equal(frame_request(&desk).session, 0);
        answer(&desk, frame_number(&desk), PD_REPLICA_OK, 33);
        uint32_t sent = sizes[i] < PD_FORWARD_WINDOW ? sizes[i] : PD_FORWARD_WINDOW;
        assert_int_equal(desk.wire.count, 2 + sent);
        assert_int_equal(frame_request(&desk).session, 33);
        assert_int_equal(desk.told.count, 1);
        desk_close(&desk);
    }
}

/* What opens the session cannot leave, and goes back to the front, while those behind it are looked
 * at, of which one, in its client's own session, leaves the line too. */
static void an_opening_that_cannot_leave_is_tried_again(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, false);
    desk.wire.fails = PD_ERR_CLOSED; /* the leader's connection is gone, and no other leads yet */
    take_as(&desk, 10,
            &(struct pd_replica_request_head){
                .kind = PD_REPLICA_REQUEST_WRITE, .session = 5, .sequence = 1, .low = 1});
    turn(&desk);
    ask(&desk, 11, PD_REPLICA_REQUEST_WRITE);
    pass_time(&desk, WORLD_TICK_NS);
    desk.wire.fails = PD_OK;
    pass_time(&desk, WORLD_TICK_NS);
    assert_int_equal(desk.wire.count, 2);
    assert_int_equal(frame_request(&desk).session, 5);
    answer(&desk, frame_number(&desk), PD_REPLICA_OK, 0);
    assert_int_equal(desk.told.correlation, 10);
    assert_int_equal(desk.forwards.waits_last, desk.forwards.waits_first); /* 11 alone */
    pass_time(&desk, PATIENCE_NS);
    assert_int_equal(desk.told.correlation, 11); /* nobody answered what opens its session */
    assert_int_equal(desk.told.outcome, PD_REPLICA_NOT_READY);
    pass_time(&desk, UINT64_C(2000000000));
    ask(&desk, 12, PD_REPLICA_REQUEST_WRITE);
    assert_int_equal(frame_request(&desk).session, 0);
    answer(&desk, frame_number(&desk), PD_REPLICA_OK, 33);
    assert_int_equal(frame_request(&desk).session, 33);
    answer(&desk, frame_number(&desk), PD_REPLICA_OK, 0);
    assert_int_equal(desk.told.correlation, 12);
    assert_int_equal(desk.told.outcome, PD_REPLICA_OK);
    desk_close(&desk);
}

static void a_leader_serves_and_who_leads_no_more_says_so(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, true);
    assert_int_equal(serve(&desk, CLUSTER, PD_REPLICA_REQUEST_WRITE), PD_REPLICA_OK);
    assert_int_equal(serve(&desk, CLUSTER, PD_REPLICA_REQUEST_READ), PD_REPLICA_INVALID);
    assert_int_equal(serve(&desk, CLUSTER, 0xee), PD_REPLICA_INVALID);
    assert_int_equal(serve(&desk, CLUSTER + 1, PD_REPLICA_REQUEST_WRITE), PD_REPLICA_OUTCOME_COUNT);
    desk_close(&desk);
    desk_open(&desk, false);
    assert_int_equal(serve(&desk, CLUSTER, PD_REPLICA_REQUEST_WRITE), PD_REPLICA_NOT_LEADER);
    desk_close(&desk);
}

/* The lane of what is large is full: the asker is told over the other one that it may ask again,
 * and does not wait for an answer that never comes. */
static void a_large_answer_without_room_is_asked_for_again(void **state)
{
    (void)state;
    static uint8_t large[100000];
    struct desk desk;
    struct pd_replica_answer_head head;
    desk_open(&desk, true);
    assert_int_equal(serve(&desk, CLUSTER, PD_REPLICA_REQUEST_WRITE), PD_REPLICA_OK);
    desk.forwards.served_free = desk.forwards.served[0].next; /* as if it were served still */
    desk.forwards.served[0] = (struct pd_forward_served){.node = 9, .id = 77};
    desk.wire.bulk_is_full = true;
    pd_replica_answer_put_head(large, &(struct pd_replica_answer_head){.outcome = PD_REPLICA_OK});
    uint32_t sent = desk.wire.count;
    assert_true(pd_forwards_answered(&desk.forwards, PD_FORWARD_CLIENT_SERVED, 0,
                                     (struct pd_span){large, sizeof large}));
    assert_int_equal(desk.wire.count, sent + 1);
    assert_int_equal(desk.wire.to, 9);
    assert_int_equal(frame_number(&desk), 77);
    assert_int_equal(pd_replica_answer_decode(
                         (struct pd_span){desk.wire.bytes + FRAME, desk.wire.size - FRAME}, &head),
                     PD_OK);
    assert_int_equal(head.outcome, PD_REPLICA_UNKNOWN);
    desk_close(&desk);
    /* And who hears it asks again under the same number. */
    desk_open(&desk, false);
    ask(&desk, 21, PD_REPLICA_REQUEST_WRITE);
    answer(&desk, frame_number(&desk), PD_REPLICA_OK, 33);
    turn(&desk);
    uint64_t sequence = frame_request(&desk).sequence;
    answer(&desk, frame_number(&desk), PD_REPLICA_UNKNOWN, 0);
    assert_int_equal(desk.told.count, 0);
    pass_time(&desk, WORLD_TICK_NS);
    assert_int_equal(frame_request(&desk).sequence, sequence);
    assert_int_equal(frame_request(&desk).session, 33);
    desk_close(&desk);
}

/* A write that does no harm twice needs no session, and so waits for none that has one. */
static void ask_repeatable(struct desk *desk, uint64_t correlation, bool is_lease)
{
    uint8_t bytes[PD_REPLICA_REQUEST_HEAD_SIZE + 64];
    struct pd_kv_writer writer = {.bytes = bytes + PD_REPLICA_REQUEST_HEAD_SIZE, .bytes_max = 64};
    pd_replica_request_put_head(
        bytes, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_WRITE});
    if (is_lease) {
        pd_kv_command_encode(&writer,
                             &(struct pd_kv_command){.kind = PD_KV_LEASE_KEEPALIVE, .id = 3});
    } else {
        pd_kv_encode_range(&writer, &(struct pd_kv_range){.key = {(const uint8_t *)"k", 1}});
    }
    assert_true(
        pd_forwards_take(&desk->forwards, 0, CLIENT, correlation,
                         (struct pd_span){bytes, PD_REPLICA_REQUEST_HEAD_SIZE + writer.size}));
    turn(desk);
}

static void what_does_no_harm_twice_waits_for_no_session(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, false);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t sent = desk.wire.count;
        uint32_t told = desk.told.count;
        ask_repeatable(&desk, 30 + i, i == 0);
        assert_int_equal(desk.wire.count, sent + 1);
        assert_true(desk.wire.size > FRAME + PD_REPLICA_REQUEST_HEAD_SIZE);
        assert_int_equal(frame_request(&desk).session, 0);
        assert_int_not_equal(frame_request(&desk).body.bytes[0], PD_KV_SESSION_OPEN);
        /* It may have happened: it is asked for again all the same. */
        pd_forwards_lost(&desk.forwards, desk.leader);
        turn(&desk);
        assert_int_equal(desk.wire.count, sent + 2);
        assert_int_equal(desk.told.count, told);
        answer(&desk, frame_number(&desk), PD_REPLICA_OK, 0);
        assert_int_equal(desk.told.count, told + 1);
        assert_int_equal(desk.told.correlation, 30 + i);
        assert_int_equal(desk.told.outcome, PD_REPLICA_OK);
    }
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_finds_its_own_request_only),
        cmocka_unit_test(a_lost_write_goes_again_under_its_number),
        cmocka_unit_test(no_room_gives_the_number_back),
        cmocka_unit_test(what_left_is_unknown_and_what_did_not_was_not_done),
        cmocka_unit_test(a_session_is_opened_however_many_wait),
        cmocka_unit_test(an_opening_that_cannot_leave_is_tried_again),
        cmocka_unit_test(a_leader_serves_and_who_leads_no_more_says_so),
        cmocka_unit_test(a_large_answer_without_room_is_asked_for_again),
        cmocka_unit_test(what_does_no_harm_twice_waits_for_no_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
