/* The port over a link of the test's own: places, the line, sessions, what is asked again and what
 * is not, watches and their credit, and answers that nobody waits for. One thread. */
#include "node/store_port_world.h"

/* --- Calls ------------------------------------------------------------------------------------ */

static void a_read_goes_and_comes(void **state)
{
    (void)state;
    open_with(4, 4);
    struct pd_kv_ask ask = ask_of(PD_KV_ASK_GET, 3);
    ask.flags = PD_KV_ASK_LOCAL;
    struct pd_kv_ticket *ticket = begin_ask(&ask);
    assert_int_equal(fake.count, 0);
    assert_false(step(ticket));
    assert_int_equal(last()->head.kind, PD_REPLICA_REQUEST_READ);
    assert_int_equal(last()->head.flags, PD_REPLICA_REQUEST_SERIALIZABLE);
    assert_int_equal(last()->head.session, 0);
    assert_false(step(ticket)); /* a spurious wake */
    assert_int_equal(woken[3], 0);
    answer_last();
    assert_int_equal(woken[3], 1);
    assert_true(step(ticket));
    struct pd_kv_result result;
    kv->ops->result(ticket, &result);
    assert_int_equal(result.code, PD_KV_CODE_OK);
    assert_int_equal(result.revision, 9);
    assert_int_equal(result.bytes.size, PD_KV_PORT_RECORD_SIZE + 8);
    assert_memory_equal(result.bytes.bytes + PD_KV_PORT_RECORD_SIZE, "keyvalue", 8);
    assert_int_equal(pd_get_u64(result.bytes.bytes + 16), 7);
    answer_last(); /* once more: nobody waits for it */
    ends(ticket, PD_KV_CODE_OK);
    close_port();
}

static void a_hot_read_asks_nobody(void **state)
{
    (void)state;
    uint8_t room[256];
    size_t size = 0;
    open_with(1, 1);
    assert_int_equal(kv->ops->get_now(kv, span("key"), room, sizeof room, &size), PD_OK);
    assert_int_equal(size, PD_KV_PORT_RECORD_SIZE + 7);
    assert_memory_equal(room + PD_KV_PORT_RECORD_SIZE, "keywarm", 7);
    assert_int_equal(kv->ops->get_now(kv, span("key"), room, 80, &size), PD_ERR_RANGE);
    fake.hot = PD_ERR_UNKNOWN;
    assert_int_equal(kv->ops->get_now(kv, span("key"), room, sizeof room, &size), PD_ERR_UNKNOWN);
    close_port();
}

static void writes_are_numbered_in_a_session(void **state)
{
    (void)state;
    open_with(8, 1);
    open_session();
    assert_int_equal(last()->head.sequence, 1);
    uint64_t session = last()->head.session;
    struct pd_kv_ticket *tickets[3];
    for (uint32_t i = 0; i < 3; i++) {
        tickets[i] = begin(PD_KV_ASK_PUT, i);
        assert_false(step(tickets[i]));
        assert_int_equal(last()->head.session, session);
        assert_int_equal(last()->head.sequence, 2 + i);
        assert_int_equal(last()->head.low, 2);
    }
    answer_store(&fake.sent[fake.count - 2], PD_KV_OK); /* the middle one */
    ends(tickets[1], PD_KV_CODE_OK);
    struct pd_kv_ticket *fourth = begin(PD_KV_ASK_DELETE, 4);
    assert_false(step(fourth));
    assert_int_equal(last()->head.low, 2); /* the first still waits */
    answer_store(&fake.sent[fake.count - 4], PD_KV_OK);
    ends(tickets[0], PD_KV_CODE_OK);
    struct pd_kv_ticket *fifth = begin(PD_KV_ASK_PUT, 5);
    assert_false(step(fifth));
    assert_int_equal(last()->head.sequence, 6);
    assert_int_equal(last()->head.low, 4);
    kv->ops->release(tickets[2]);
    kv->ops->release(fourth);
    kv->ops->release(fifth);
    pd_store_port_lost(port);
    close_port();
}

/* Who wants to write while the session is being opened waits for it, and there is only one. */
/* A transaction of one operation on the key "k". */
static struct pd_kv_ask txn_of(uint8_t bytes[64], enum pd_kv_ask_kind op)
{
    struct pd_kv_ask ask = ask_of(PD_KV_ASK_TXN, 1);
    memset(bytes, 0, 64);
    pd_put_u32(bytes + 4, 1);
    bytes[PD_KV_PORT_TXN_HEAD_SIZE] = (uint8_t)op;
    pd_put_u32(bytes + PD_KV_PORT_TXN_HEAD_SIZE + 4, 1);
    bytes[PD_KV_PORT_TXN_HEAD_SIZE + PD_KV_PORT_OP_SIZE] = 'k';
    ask.key = (struct pd_span){bytes, PD_KV_PORT_TXN_HEAD_SIZE + PD_KV_PORT_OP_SIZE + 1};
    return ask;
}

static void what_does_no_harm_twice_needs_no_session(void **state)
{
    (void)state;
    uint8_t bytes[64];
    open_with(4, 1);
    for (uint32_t i = 0; i < 2; i++) {
        struct pd_kv_ask ask = txn_of(bytes, PD_KV_ASK_RANGE);
        if (i == 1) {
            ask = ask_of(PD_KV_ASK_LEASE_KEEPALIVE, 1);
            ask.lease = 5;
        }
        struct pd_kv_ticket *ticket = begin_ask(&ask);
        assert_false(step(ticket));
        assert_int_equal(fake.count, 2 * i + 1);
        assert_int_equal(last()->command, i == 0 ? PD_KV_OPS : PD_KV_LEASE_KEEPALIVE);
        assert_int_equal(last()->head.session, 0);
        /* It may have happened: again as it is. */
        answer_text(last()->correlation, PD_REPLICA_UNKNOWN, "the lead was lost");
        assert_false(step(ticket));
        now_ns += 1000 * MS;
        assert_false(step(ticket));
        assert_int_equal(fake.count, 2 * i + 2);
        assert_int_equal(last()->head.session, 0);
        answer_last();
        ends(ticket, PD_KV_CODE_OK);
    }
    /* One that changes something is numbered. */
    struct pd_kv_ask ask = txn_of(bytes, PD_KV_ASK_DELETE);
    struct pd_kv_ticket *ticket = begin_ask(&ask);
    assert_false(step(ticket));
    assert_int_equal(last()->command, PD_KV_SESSION_OPEN);
    answer_last();
    assert_false(step(ticket));
    assert_int_not_equal(last()->head.session, 0);
    answer_last();
    ends(ticket, PD_KV_CODE_OK);
    close_port();
}

static void a_session_is_opened_once(void **state)
{
    (void)state;
    open_with(8, 1);
    struct pd_kv_ticket *first = begin(PD_KV_ASK_PUT, 1);
    struct pd_kv_ticket *second = begin(PD_KV_ASK_PUT, 2);
    assert_false(step(first));
    assert_false(step(second));
    assert_int_equal(fake.count, 1);
    answer_last();
    assert_int_equal(woken[1], 1);
    assert_false(step(first));
    assert_true(woken[2] > 0);
    assert_false(step(second));
    assert_int_equal(fake.count, 3);
    answer_store(&fake.sent[1], PD_KV_OK);
    answer_store(&fake.sent[2], PD_KV_OK);
    ends(first, PD_KV_CODE_OK);
    ends(second, PD_KV_CODE_OK);
    close_port();
    /* The opener is killed: another one opens. */
    open_with(8, 1);
    first = begin(PD_KV_ASK_PUT, 1);
    second = begin(PD_KV_ASK_PUT, 2);
    assert_false(step(first));
    assert_false(step(second));
    kv->ops->release(first);
    assert_true(woken[2] > 0);
    assert_false(step(second));
    assert_int_equal(fake.count, 2);
    assert_int_equal(last()->command, PD_KV_SESSION_OPEN);
    answer_store(&fake.sent[0], PD_KV_OK); /* of the first: nobody's */
    answer_store(&fake.sent[1], PD_KV_OK);
    assert_false(step(second));
    answer_last();
    ends(second, PD_KV_CODE_OK);
    close_port();
}

static void more_writes_than_a_window_take_another_session(void **state)
{
    (void)state;
    enum {
        COUNT = 70
    };
    open_with(COUNT + 2, 1);
    open_session();
    struct pd_kv_ticket *tickets[COUNT];
    uint64_t session = last()->head.session;
    for (uint32_t i = 0; i < COUNT; i++) {
        tickets[i] = begin(PD_KV_ASK_PUT, i);
        assert_false(step(tickets[i]));
        if (i < 64) {
            assert_int_equal(last()->head.session, session);
        }
        if (last()->command == PD_KV_SESSION_OPEN) {
            assert_int_equal(i, 64);
            answer_last();
            assert_false(step(tickets[i]));
            assert_int_not_equal(last()->head.session, session);
        }
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        kv->ops->release(tickets[i]);
    }
    pd_store_port_lost(port);
    close_port();
}

static void a_session_that_is_gone_is_opened_anew(void **state)
{
    (void)state;
    open_with(4, 1);
    open_session();
    struct pd_kv_ticket *ticket = begin(PD_KV_ASK_PUT, 1);
    assert_false(step(ticket));
    answer_store(last(), PD_KV_ERR_SESSION_UNKNOWN); /* nothing was applied */
    assert_false(step(ticket));
    assert_int_equal(last()->command, PD_KV_SESSION_OPEN);
    answer_last();
    assert_false(step(ticket));
    assert_int_equal(last()->head.sequence, 1);
    answer_last();
    ends(ticket, PD_KV_CODE_OK);
    /* After an attempt whose fate nobody knows it must not be written in a new one. */
    ticket = begin(PD_KV_ASK_PUT, 1);
    assert_false(step(ticket));
    answer_text(last()->correlation, PD_REPLICA_UNKNOWN, "who knows");
    assert_false(step(ticket));
    now_ns += 700 * MS;
    assert_false(step(ticket));
    answer_store(last(), PD_KV_ERR_SESSION_UNKNOWN);
    ends(ticket, PD_KV_CODE_UNKNOWN);
    close_port();
}

static void the_line_is_served_by_age(void **state)
{
    (void)state;
    open_with(2, 1);
    struct pd_kv_ticket *tickets[5];
    for (uint32_t i = 0; i < 5; i++) {
        tickets[i] = begin(PD_KV_ASK_GET, i);
        assert_false(step(tickets[i]));
    }
    assert_int_equal(fake.count, 2);
    assert_false(step(tickets[4])); /* does not overtake */
    assert_int_equal(fake.count, 2);
    kv->ops->release(tickets[2]); /* killed in the line */
    answer_store(&fake.sent[0], PD_KV_OK);
    ends(tickets[0], PD_KV_CODE_OK);
    assert_true(woken[3] > 0);
    assert_false(step(tickets[4]));
    assert_int_equal(fake.count, 2);
    assert_false(step(tickets[3]));
    assert_int_equal(fake.count, 3);
    /* One that is killed on its way: its place is free when its answer has come. */
    kv->ops->release(tickets[1]);
    assert_false(step(tickets[4]));
    assert_int_equal(fake.count, 3);
    answer_store(&fake.sent[1], PD_KV_OK);
    assert_true(woken[4] > 0);
    assert_false(step(tickets[4]));
    assert_int_equal(fake.count, 4);
    answer_store(&fake.sent[2], PD_KV_OK);
    answer_store(&fake.sent[3], PD_KV_OK);
    ends(tickets[3], PD_KV_CODE_OK);
    ends(tickets[4], PD_KV_CODE_OK);
    struct pd_store_port_counters counters;
    pd_store_port_counters(port, &counters);
    assert_int_equal(counters.begun, 5);
    assert_int_equal(counters.abandoned, 1);
    assert_int_equal(counters.waited, 3);
    assert_int_equal(counters.places_taken, 0);
    close_port();
}

static void what_was_not_done_is_asked_again(void **state)
{
    (void)state;
    static const enum pd_replica_outcome outcomes[] = {PD_REPLICA_NOT_LEADER, PD_REPLICA_NOT_READY,
                                                       PD_REPLICA_BUSY, PD_REPLICA_DROPPED,
                                                       PD_REPLICA_UNKNOWN};
    open_with(4, 1);
    open_session();
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        struct pd_kv_ticket *ticket = begin(PD_KV_ASK_PUT, 1);
        assert_false(step(ticket));
        uint64_t sequence = last()->head.sequence;
        answer_text(last()->correlation, outcomes[i], "not now");
        uint32_t count = fake.count;
        assert_false(step(ticket));
        assert_int_equal(fake.count, count); /* after a while */
        now_ns += 21 * MS;
        assert_false(step(ticket));
        assert_int_equal(fake.count, count + 1);
        assert_int_equal(last()->head.sequence, sequence);
        answer_last();
        ends(ticket, PD_KV_CODE_OK);
        /* Until the time is over. */
        ticket = begin(PD_KV_ASK_PUT, 1);
        assert_false(step(ticket));
        answer_text(last()->correlation, outcomes[i], "not now");
        assert_false(step(ticket));
        now_ns += DEADLINE;
        fake.status = PD_ERR_FULL;
        bool is_unknown = outcomes[i] == PD_REPLICA_UNKNOWN;
        ends(ticket, is_unknown ? PD_KV_CODE_UNKNOWN : PD_KV_CODE_UNAVAILABLE);
        fake.status = PD_OK;
    }
    close_port();
}

/* The lowest number of a lane is refused while answers above it hold the room. */
static void no_room_gives_the_number_back(void **state)
{
    (void)state;
    struct pd_kv_ticket *tickets[3];
    struct sent sent[3];
    open_with(4, 1);
    open_session();
    for (uint32_t i = 0; i < 3; i++) {
        tickets[i] = begin(PD_KV_ASK_PUT, i);
        assert_false(step(tickets[i]));
        sent[i] = *last();
        assert_int_equal(sent[i].head.sequence, 2 + i);
    }
    for (uint32_t i = 1; i < 3; i++) {
        answer_store(&sent[i], PD_KV_OK);
        ends(tickets[i], PD_KV_CODE_OK);
    }
    answer_store(&sent[0], PD_KV_ERR_SESSION_ANSWERS_FULL);
    assert_false(step(tickets[0]));
    now_ns += 20 * MS;
    assert_false(step(tickets[0]));
    assert_int_equal(last()->head.session, sent[0].head.session);
    assert_int_equal(last()->head.sequence, 5);
    assert_int_equal(last()->head.low, 5);
    /* It may have happened now: it keeps its number. */
    answer_text(last()->correlation, PD_REPLICA_UNKNOWN, "the lead was lost");
    assert_false(step(tickets[0]));
    now_ns += 1000 * MS;
    assert_false(step(tickets[0]));
    answer_store(last(), PD_KV_ERR_SESSION_ANSWERS_FULL);
    assert_false(step(tickets[0]));
    now_ns += 1000 * MS;
    assert_false(step(tickets[0]));
    assert_int_equal(last()->head.sequence, 5);
    answer_last();
    ends(tickets[0], PD_KV_CODE_OK);
    close_port();
}

static void refusals_are_told(void **state)
{
    (void)state;
    static const struct {
        enum pd_kv_error error;
        enum pd_kv_code code;
    } errors[] = {{PD_KV_ERR_COMPACTED, PD_KV_CODE_COMPACTED},
                  {PD_KV_ERR_TOO_LARGE, PD_KV_CODE_TOO_LARGE},
                  {PD_KV_ERR_LEASE_NOT_FOUND, PD_KV_CODE_ABSENT},
                  {PD_KV_ERR_LEASES_FULL, PD_KV_CODE_FULL},
                  {PD_KV_ERR_EMPTY_KEY, PD_KV_CODE_INVALID}};
    open_with(4, 1);
    open_session();
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        struct pd_kv_ticket *ticket = begin(PD_KV_ASK_PUT, 1);
        assert_false(step(ticket));
        answer_store(last(), errors[i].error);
        ends(ticket, errors[i].code);
    }
    struct pd_kv_ticket *ticket = begin(PD_KV_ASK_PUT, 1);
    assert_false(step(ticket));
    answer_text(last()->correlation, PD_REPLICA_DISK_LOW, "the disk is full");
    ends(ticket, PD_KV_CODE_FULL);
    ticket = begin(PD_KV_ASK_PUT, 1);
    assert_false(step(ticket));
    answer_text(last()->correlation, PD_REPLICA_INVALID, "");
    ends(ticket, PD_KV_CODE_INVALID);
    /* Nonsense, of a node that is none. */
    for (uint32_t i = 0; i < 4; i++) {
        ticket = begin(i % 2 == 0 ? PD_KV_ASK_GET : PD_KV_ASK_PUT, 1);
        assert_false(step(ticket));
        if (i < 2) {
            pd_store_port_answer(port, last()->correlation, span("nonsense"));
        } else {
            answer_text(last()->correlation, PD_REPLICA_OK, "more nonsense");
        }
        assert_true(step(ticket));
        kv->ops->release(ticket);
    }
    pd_store_port_answer(port, 0, span("x"));
    pd_store_port_answer(port, UINT64_MAX, span("x"));
    pd_store_port_answer(port, 3, span("x"));
    close_port();
}

/* A leader refuses before it looks whether it knows the number. */
static void a_refused_repetition_says_nothing_of_the_first_try(void **state)
{
    (void)state;
    static const enum pd_replica_outcome outcomes[] = {PD_REPLICA_DISK_LOW, PD_REPLICA_INVALID};
    open_with(4, 1);
    open_session();
    for (size_t i = 0; i < 2 * sizeof outcomes / sizeof outcomes[0]; i++) {
        struct pd_kv_ticket *ticket = begin(PD_KV_ASK_PUT, 1);
        assert_false(step(ticket));
        uint64_t sequence = last()->head.sequence;
        answer_text(last()->correlation, PD_REPLICA_UNKNOWN, "the lead was lost");
        assert_false(step(ticket));
        now_ns += 21 * MS;
        assert_false(step(ticket));
        answer_text(last()->correlation, outcomes[i / 2], "not this one");
        assert_false(step(ticket));
        if (i % 2 == 0) {
            now_ns += 100 * MS;
            assert_false(step(ticket));
            assert_int_equal(last()->head.sequence, sequence);
            answer_last(); /* the first try's */
            ends(ticket, PD_KV_CODE_OK);
        } else {
            now_ns += DEADLINE;
            fake.status = PD_ERR_FULL;
            ends(ticket, PD_KV_CODE_UNKNOWN);
            fake.status = PD_OK;
        }
    }
    close_port();
}

static void too_much_is_refused_before_it_is_begun(void **state)
{
    (void)state;
    open_with(4, 1);
    struct pd_kv_ask ask = ask_of(PD_KV_ASK_PUT, 1);
    struct pd_kv_ticket *tickets[2];
    struct pd_kv_ticket *ticket = NULL;
    char text[PD_KV_PORT_TEXT_MAX];
    uint8_t *bytes = calloc(1, 1 << 20);
    assert_non_null(bytes);
    ask.value = (struct pd_span){bytes, (1 << 19)};
    assert_int_equal(kv->ops->begin(kv, &ask, &ticket, text), PD_KV_CODE_TOO_LARGE);
    ask.value.size = 500000;
    tickets[0] = begin_ask(&ask);
    tickets[1] = begin_ask(&ask);
    assert_int_equal(kv->ops->begin(kv, &ask, &ticket, text), PD_KV_CODE_UNAVAILABLE);
    assert_non_null(strstr(text, "memory"));
    kv->ops->release(tickets[0]);
    kv->ops->release(begin_ask(&ask));
    kv->ops->release(tickets[1]);
    for (uint64_t nth = 1; nth < 3; nth++) {
        ask = ask_of(nth == 1 ? PD_KV_ASK_PUT : PD_KV_ASK_TXN, 1);
        uint8_t head[16] = {0};
        if (nth == 2) {
            ask.key = (struct pd_span){head, sizeof head};
        }
        pd_alloc_fail_nth(nth);
        assert_int_equal(kv->ops->begin(kv, &ask, &ticket, text), PD_KV_CODE_UNAVAILABLE);
        pd_alloc_fail_nth(0);
    }
    free(bytes);
    close_port();
}

static void rights_are_checked_key_by_key(void **state)
{
    (void)state;
    open_with(4, 1);
    struct pd_kv_ticket *ticket = NULL;
    char text[PD_KV_PORT_TEXT_MAX];
    static const enum pd_kv_ask_kind kinds[] = {PD_KV_ASK_GET, PD_KV_ASK_RANGE, PD_KV_ASK_PUT,
                                                PD_KV_ASK_DELETE, PD_KV_ASK_WATCH};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct pd_kv_ask ask = ask_of(kinds[i], 1);
        ask.prefix = span("ke");
        kv->ops->release(begin_ask(&ask));
        ask.prefix = span("kf");
        assert_int_equal(kv->ops->begin(kv, &ask, &ticket, text), PD_KV_CODE_DENIED);
    }
    /* A transaction: a comparison, a then, an else; each of them inside, or not. */
    for (uint32_t outside = 0; outside < 4; outside++) {
        uint8_t bytes[128] = {0};
        pd_put_u32(bytes, 1);
        pd_put_u32(bytes + 4, 1);
        pd_put_u32(bytes + 8, 1);
        size_t at = PD_KV_PORT_TXN_HEAD_SIZE;
        for (uint32_t part = 1; part <= 3; part++) {
            bytes[at] = part == 1 ? PD_KV_EQUAL : PD_KV_ASK_DELETE;
            pd_put_u32(bytes + at + 4, 2);
            at += part == 1 ? PD_KV_PORT_COMPARE_SIZE : PD_KV_PORT_OP_SIZE;
            memcpy(bytes + at, part == outside ? "zz" : "ka", 2);
            at += 2;
        }
        struct pd_kv_ask ask = ask_of(PD_KV_ASK_TXN, 1);
        ask.prefix = span("k");
        ask.key = (struct pd_span){bytes, at};
        enum pd_kv_code code = kv->ops->begin(kv, &ask, &ticket, text);
        assert_int_equal(code, outside == 0 ? PD_KV_CODE_OK : PD_KV_CODE_DENIED);
        if (outside == 0) {
            kv->ops->release(ticket);
            /* Cut anywhere, or longer than it says. */
            for (size_t size = 0; size < at; size++) {
                ask.key.size = size;
                assert_int_equal(kv->ops->begin(kv, &ask, &ticket, text), PD_KV_CODE_INVALID);
            }
            ask.key.size = at + 1;
            assert_int_equal(kv->ops->begin(kv, &ask, &ticket, text), PD_KV_CODE_INVALID);
            ask.key.size = at;
            pd_put_u32(bytes, UINT32_MAX);
            assert_int_equal(kv->ops->begin(kv, &ask, &ticket, text), PD_KV_CODE_TOO_LARGE);
        }
    }
    close_port();
}

/* --- The link --------------------------------------------------------------------------------- */

static void a_lost_link_is_waited_for(void **state)
{
    (void)state;
    open_with(4, 1);
    open_session();
    struct pd_kv_ticket *put = begin(PD_KV_ASK_PUT, 1);
    struct pd_kv_ticket *get = begin(PD_KV_ASK_GET, 2);
    struct pd_kv_ticket *later = begin(PD_KV_ASK_PUT, 3);
    assert_false(step(put));
    uint64_t sequence = last()->head.sequence;
    assert_false(step(get));
    fake.status = PD_ERR_CLOSED;
    pd_store_port_lost(port);
    assert_int_equal(woken[1], 1);
    assert_int_equal(woken[2], 1);
    assert_false(step(put));
    assert_false(step(get));
    assert_false(step(later));
    now_ns += 100 * MS;
    assert_false(step(put)); /* tries, and finds it down */
    memset(woken, 0, sizeof woken);
    fake.status = PD_OK;
    pd_store_port_up(port);
    assert_int_equal(woken[1], 1);
    assert_int_equal(woken[3], 1);
    uint32_t count = fake.count;
    assert_false(step(put));
    assert_int_equal(fake.count, count + 1);
    assert_int_equal(last()->head.sequence, sequence); /* the same write */
    answer_last();
    ends(put, PD_KV_CODE_OK);
    now_ns += 100 * MS;
    assert_false(step(get));
    answer_last();
    ends(get, PD_KV_CODE_OK);
    assert_false(step(later));
    answer_last();
    ends(later, PD_KV_CODE_OK);
    /* It never comes back: what may have happened and what did not are told apart. */
    put = begin(PD_KV_ASK_PUT, 1);
    assert_false(step(put));
    fake.status = PD_ERR_CLOSED;
    pd_store_port_lost(port);
    assert_false(step(put));
    later = begin(PD_KV_ASK_PUT, 3);
    assert_false(step(later));
    now_ns += DEADLINE;
    ends(put, PD_KV_CODE_UNKNOWN);
    assert_true(step(later));
    struct pd_kv_result result;
    kv->ops->result(later, &result);
    assert_int_equal(result.code, PD_KV_CODE_UNAVAILABLE);
    assert_string_equal(result.text, "the link is down");
    kv->ops->release(later);
    close_port();
}

/* --- Watches ---------------------------------------------------------------------------------- */

static struct pd_kv_block *next_block(struct pd_kv_ticket *ticket)
{
    struct pd_kv_block *block = kv->ops->next(ticket);
    return block;
}

static void answer_watch(uint64_t correlation, enum pd_replica_watch_kind kind, int64_t through,
                         uint32_t events, int64_t compact)
{
    uint8_t room[2048];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    const struct pd_replica_watch_head head = {.kind = kind,
                                               .revision = through,
                                               .through_revision = through,
                                               .compact_revision = compact,
                                               .reason = span("told to end")};
    pd_replica_watch_head_put(&writer, &head);
    for (uint32_t i = 0; i < events; i++) {
        const struct pd_kv_event event = {
            .is_delete = i % 2 == 1,
            .record = {.key = span("key"), .value = span("some value"), .mod_revision = through},
            .has_previous = i % 3 == 2,
            .previous = {.value = span("before"), .version = 1}};
        pd_replica_watch_event_put(&writer, &event, true);
    }
    pd_replica_watch_end_put(&writer);
    assert_false(writer.is_full);
    answer_with(correlation,
                kind == PD_REPLICA_WATCH_CANCELLED ? PD_REPLICA_CANCELLED : PD_REPLICA_OK, room,
                writer.size);
}

static struct pd_kv_ticket *begin_watch(uintptr_t process)
{
    struct pd_kv_ask ask = ask_of(PD_KV_ASK_WATCH, process);
    ask.revision = 5;
    struct pd_kv_ticket *ticket = begin_ask(&ask);
    assert_false(step(ticket));
    assert_int_equal(last()->head.kind, PD_REPLICA_REQUEST_WATCH);
    return ticket;
}

static struct pd_replica_watch_request last_watch(void)
{
    struct pd_replica_watch_request request;
    assert_int_equal(last()->head.kind, PD_REPLICA_REQUEST_WATCH);
    assert_int_equal(pd_replica_watch_request_decode(last()->head.body, &request), PD_OK);
    return request;
}

static void a_watch_gives_blocks_and_credit(void **state)
{
    (void)state;
    open_with(2, 2);
    struct pd_kv_ticket *watch = begin_watch(1);
    uint64_t correlation = last()->correlation;
    assert_int_equal(last_watch().start_revision, 5);
    assert_int_equal(last_watch().credit, 1000);
    answer_watch(correlation, PD_REPLICA_WATCH_CREATED, 4, 0, 0);
    assert_true(step(watch));
    assert_null(next_block(watch));
    uint32_t spent = 0;
    for (uint32_t i = 0; i < 4; i++) {
        woken[1] = 0;
        answer_watch(correlation, PD_REPLICA_WATCH_EVENTS, 5 + i, 3, 0);
        assert_int_equal(woken[1], 1);
        uint32_t count = fake.count;
        struct pd_kv_block *block = next_block(watch);
        assert_non_null(block);
        assert_int_equal(pd_get_u32(block->bytes), PD_KV_BLOCK_EVENTS);
        assert_int_equal(pd_get_u32(block->bytes + 4), 3);
        assert_int_equal(pd_get_u64(block->bytes + 8), 5 + i);
        assert_int_equal(fake.count, count); /* nothing is given back while it is held */
        spent += block->cost;
        kv->ops->retain(watch);
        kv->ops->give_back(watch, block->cost);
        pd_free(block);
        assert_null(next_block(watch));
        if (fake.count > count) {
            struct pd_replica_watch_credit credit;
            assert_int_equal(last()->head.kind, PD_REPLICA_REQUEST_WATCH_CREDIT);
            assert_int_equal(last()->head.number, correlation);
            assert_int_equal(pd_replica_watch_credit_decode(last()->head.body, &credit), PD_OK);
            assert_int_equal(credit.credit, spent);
            spent = 0;
        }
    }
    assert_true(spent < 250);
    answer_watch(correlation, PD_REPLICA_WATCH_CANCELLED, 9, 0, 7);
    struct pd_kv_block *block = next_block(watch);
    assert_non_null(block);
    assert_true(block->is_last);
    assert_int_equal(pd_get_u32(block->bytes + 4), PD_KV_CODE_COMPACTED);
    assert_memory_equal(block->bytes + 16, "told to end", 11);
    pd_free(block);
    assert_null(next_block(watch));
    kv->ops->release(watch);
    close_port();
}

static void a_watch_goes_on_where_it_stood(void **state)
{
    (void)state;
    open_with(2, 2);
    struct pd_kv_ticket *watch = begin_watch(1);
    answer_watch(last()->correlation, PD_REPLICA_WATCH_CREATED, 4, 0, 0);
    assert_true(step(watch));
    answer_watch(last()->correlation, PD_REPLICA_WATCH_EVENTS, 8, 2, 0);
    struct pd_kv_block *held = next_block(watch);
    assert_non_null(held);
    fake.status = PD_ERR_CLOSED;
    pd_store_port_lost(port);
    assert_null(next_block(watch));
    assert_false(kv->ops->is_behind(watch));
    assert_null(next_block(watch));
    woken[1] = 0;
    fake.status = PD_OK;
    pd_store_port_up(port);
    assert_int_equal(woken[1], 1);
    assert_null(next_block(watch));
    assert_int_equal(last_watch().start_revision, 9);
    assert_int_equal(last_watch().credit, 1000 - held->cost);
    uint64_t correlation = last()->correlation;
    answer_watch(correlation, PD_REPLICA_WATCH_CREATED, 8, 0, 0);
    answer_watch(correlation, PD_REPLICA_WATCH_EVENTS, 9, 1, 0);
    struct pd_kv_block *block = next_block(watch);
    assert_non_null(block);
    assert_int_equal(pd_get_u64(block->bytes + 8), 9);
    pd_free(block);
    pd_free(held);
    kv->ops->release(watch);
    assert_int_equal(last()->head.kind, PD_REPLICA_REQUEST_UNWATCH);
    assert_int_equal(last()->head.number, correlation);
    /* What still comes meets nobody, and is told to end until it does. */
    uint32_t count = fake.count;
    answer_watch(correlation, PD_REPLICA_WATCH_EVENTS, 10, 1, 0);
    assert_int_equal(fake.count, count + 1);
    assert_int_equal(last()->head.kind, PD_REPLICA_REQUEST_UNWATCH);
    answer_watch(correlation, PD_REPLICA_WATCH_CANCELLED, 10, 0, 0);
    struct pd_store_port_counters counters;
    pd_store_port_counters(port, &counters);
    assert_int_equal(counters.places_taken, 0);
    close_port();
}

static void watches_are_refused_beyond_their_number(void **state)
{
    (void)state;
    open_with(1, 1);
    struct pd_kv_ticket *watch = begin_watch(1);
    struct pd_kv_ticket *second = begin(PD_KV_ASK_WATCH, 2);
    ends(second, PD_KV_CODE_FULL);
    struct pd_kv_ticket *get = begin(PD_KV_ASK_GET, 3); /* not in the way of calls */
    assert_false(step(get));
    answer_last();
    ends(get, PD_KV_CODE_OK);
    answer_text(fake.sent[0].correlation, PD_REPLICA_INVALID, "no such range");
    ends(watch, PD_KV_CODE_INVALID);
    close_port();
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_read_goes_and_comes),
        TEST(a_hot_read_asks_nobody),
        TEST(writes_are_numbered_in_a_session),
        TEST(what_does_no_harm_twice_needs_no_session),
        TEST(a_session_is_opened_once),
        TEST(more_writes_than_a_window_take_another_session),
        TEST(a_session_that_is_gone_is_opened_anew),
        TEST(the_line_is_served_by_age),
        TEST(what_was_not_done_is_asked_again),
        TEST(no_room_gives_the_number_back),
        TEST(refusals_are_told),
        TEST(a_refused_repetition_says_nothing_of_the_first_try),
        TEST(too_much_is_refused_before_it_is_begun),
        TEST(rights_are_checked_key_by_key),
        TEST(a_lost_link_is_waited_for),
        TEST(a_watch_gives_blocks_and_credit),
        TEST(a_watch_goes_on_where_it_stood),
        TEST(watches_are_refused_beyond_their_number),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
