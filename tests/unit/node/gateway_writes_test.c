/* Each write once: numbers, windows, retries, sessions that are lost; then random answers against a
 * model of a store that remembers what it did. */
#include "node/gateway_writes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/random.h"
#include "kv/answer.h"

#define MS UINT64_C(1000000)

static struct pd_gateway_writes writes;
static uint64_t now;

static int open_writes(void **state)
{
    (void)state;
    struct pd_gateway_writes_config config = pd_gateway_writes_config_default();
    config.writes_max = 8;
    config.bytes_max = 1000;
    config.sessions_max = 2;
    config.window = 3;
    now = 5;
    return pd_gateway_writes_init(&writes, &config) == PD_OK ? 0 : -1;
}

static int close_writes(void **state)
{
    (void)state;
    pd_gateway_writes_deinit(&writes);
    return 0;
}

static void add(uint64_t correlation, bool is_repeatable)
{
    const uint8_t command[] = {1, 2, 3};
    assert_int_equal(pd_gateway_writes_add(&writes, correlation, (struct pd_span){command, 3},
                                           is_repeatable, now),
                     PD_OK);
}

static struct pd_gateway_sending next(void)
{
    struct pd_gateway_sending sending;
    assert_true(pd_gateway_writes_next(&writes, now, &sending));
    return sending;
}

static void nothing_to_send(void)
{
    struct pd_gateway_sending sending;
    assert_false(pd_gateway_writes_next(&writes, now, &sending));
}

/* What the store answers: an error, and an id for a session. */
static bool answer_kv(uint64_t tag, enum pd_kv_error error, uint64_t session,
                      uint64_t *correlation_out, enum pd_replica_outcome *outcome_out)
{
    uint8_t room[64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    const struct pd_kv_answer_head head = {.error = error,
                                           .revision = 3,
                                           .kind = session != 0 ? PD_KV_ANSWER_SESSION
                                                                : PD_KV_ANSWER_NONE};
    pd_kv_answer_put_head(&writer, &head);
    if (session != 0) {
        pd_kv_answer_put_number(&writer, (int64_t)session);
    }
    const struct pd_replica_answer_head answer = {.outcome = PD_REPLICA_OK,
                                                  .body = {room, writer.size}};
    return pd_gateway_writes_answered(&writes, tag, &answer, now, correlation_out, outcome_out);
}

static bool answer(uint64_t tag, enum pd_replica_outcome outcome, uint64_t *correlation_out,
                   enum pd_replica_outcome *outcome_out)
{
    const struct pd_replica_answer_head head = {.outcome = outcome};
    return pd_gateway_writes_answered(&writes, tag, &head, now, correlation_out, outcome_out);
}

static void done(uint64_t tag, uint64_t wanted)
{
    uint64_t correlation = 0;
    enum pd_replica_outcome outcome = PD_REPLICA_BUSY;
    assert_true(answer_kv(tag, PD_KV_OK, 0, &correlation, &outcome));
    assert_int_equal(correlation, wanted);
    assert_int_equal(outcome, PD_REPLICA_OK);
}

static void not_yet(uint64_t tag, enum pd_replica_outcome outcome)
{
    uint64_t correlation = 0;
    enum pd_replica_outcome told = PD_REPLICA_OK;
    assert_false(answer(tag, outcome, &correlation, &told));
}

static void open_session(uint64_t id)
{
    struct pd_gateway_sending sending = next();
    uint64_t correlation = 0;
    enum pd_replica_outcome outcome = PD_REPLICA_OK;
    assert_int_equal(sending.head.session, 0);
    assert_false(answer_kv(sending.tag, PD_KV_OK, id, &correlation, &outcome));
}

static void test_numbers_and_window(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 5; i++) {
        add(100 + i, false);
    }
    open_session(77);
    struct pd_gateway_sending sent[5];
    for (uint64_t i = 0; i < 3; i++) {
        sent[i] = next();
        assert_int_equal(sent[i].head.session, 77);
        assert_int_equal(sent[i].head.sequence, i + 1);
        assert_int_equal(sent[i].head.low, 1);
        assert_int_equal(sent[i].head.body.size, 3);
    }
    open_session(78); /* the window is full: another one */
    sent[3] = next();
    assert_int_equal(sent[3].head.session, 78);
    assert_int_equal(sent[3].head.sequence, 1);
    done(sent[1].tag, 102); /* out of order: the lowest unanswered is still 1 */
    sent[4] = next();
    assert_int_equal(sent[4].head.session, 78);
    add(106, false);
    done(sent[0].tag, 101);
    struct pd_gateway_sending last = next();
    assert_int_equal(last.head.session, 77);
    assert_int_equal(last.head.sequence, 4);
    assert_int_equal(last.head.low, 3);
    nothing_to_send();
}

static void test_bounds(void **state)
{
    (void)state;
    static const uint8_t large[1001];
    assert_int_equal(pd_gateway_writes_add(&writes, 1, (struct pd_span){large, 1001}, false, now),
                     PD_ERR_FULL);
    for (uint64_t i = 0; i < 8; i++) {
        add(i, true);
    }
    assert_int_equal(pd_gateway_writes_add(&writes, 9, (struct pd_span){large, 1}, false, now),
                     PD_ERR_FULL);
    pd_alloc_fail_nth(1);
    struct pd_gateway_sending sending = next();
    done(sending.tag, 0);
    assert_int_equal(pd_gateway_writes_add(&writes, 9, (struct pd_span){large, 1}, false, now),
                     PD_ERR_NO_MEMORY);
    add(9, true);
}

/* The same number again, until there is an answer. */
static void test_again_under_its_number(void **state)
{
    (void)state;
    static const enum pd_replica_outcome outcomes[] = {PD_REPLICA_NOT_LEADER, PD_REPLICA_UNKNOWN,
                                                       PD_REPLICA_BUSY, PD_REPLICA_DROPPED};
    add(5, false);
    open_session(77);
    struct pd_gateway_sending sent = next();
    for (size_t i = 0; i < 4; i++) {
        not_yet(sent.tag, outcomes[i]);
        nothing_to_send();
        assert_int_equal(pd_gateway_writes_deadline_ns(&writes), now + 20 * MS);
        now += 20 * MS;
        struct pd_gateway_sending again = next();
        assert_int_equal(again.head.session, 77);
        assert_int_equal(again.head.sequence, sent.head.sequence);
    }
    done(sent.tag, 5);
    assert_int_equal(pd_gateway_writes_deadline_ns(&writes), UINT64_MAX);
}

static void test_time_runs_out(void **state)
{
    (void)state;
    uint64_t correlation = 0;
    enum pd_replica_outcome outcome = PD_REPLICA_OK;
    for (int may_have_happened = 0; may_have_happened < 2; may_have_happened++) {
        add(5, false);
        if (may_have_happened == 0) {
            open_session(77);
        }
        struct pd_gateway_sending sent = next();
        not_yet(sent.tag, may_have_happened ? PD_REPLICA_UNKNOWN : PD_REPLICA_NOT_READY);
        now += 7000 * MS;
        (void)next();
        assert_true(answer(sent.tag, PD_REPLICA_NOT_LEADER, &correlation, &outcome));
        assert_int_equal(outcome, may_have_happened ? PD_REPLICA_UNKNOWN : PD_REPLICA_NOT_LEADER);
        assert_false(answer(sent.tag, PD_REPLICA_OK, &correlation, &outcome)); /* nobody's */
    }
    /* One that waits for a session that does not come. */
    now += 3600 * 1000 * MS;
    add(6, false);
    struct pd_gateway_sending opening = next();
    pd_gateway_writes_refused(&writes, opening.tag, now);
    assert_false(pd_gateway_writes_expired(&writes, now + 6999 * MS, &correlation, &outcome));
    assert_true(pd_gateway_writes_expired(&writes, now + 7000 * MS, &correlation, &outcome));
    assert_int_equal(correlation, 6);
    assert_int_equal(outcome, PD_REPLICA_NOT_READY);
}

/* A session that is gone refused the write, and did not apply it; what an earlier try did nobody
 * knows. */
static void test_a_session_that_is_gone(void **state)
{
    (void)state;
    uint64_t correlation = 0;
    enum pd_replica_outcome outcome = PD_REPLICA_OK;
    add(5, false);
    open_session(77);
    struct pd_gateway_sending sent = next();
    assert_false(answer_kv(sent.tag, PD_KV_ERR_SESSION_UNKNOWN, 0, &correlation, &outcome));
    now += 20 * MS;
    open_session(90);
    sent = next();
    assert_int_equal(sent.head.session, 90);
    not_yet(sent.tag, PD_REPLICA_UNKNOWN);
    now += 20 * MS;
    sent = next();
    assert_true(answer_kv(sent.tag, PD_KV_ERR_SESSION_UNKNOWN, 0, &correlation, &outcome));
    assert_int_equal(outcome, PD_REPLICA_UNKNOWN);
}

/* A leader refuses before it looks whether it knows the number: the first try's answer is asked for
 * again, and at the end nobody knows. */
static void test_a_refused_repetition(void **state)
{
    (void)state;
    uint64_t correlation = 0;
    enum pd_replica_outcome outcome = PD_REPLICA_OK;
    add(5, false);
    open_session(77);
    not_yet(next().tag, PD_REPLICA_UNKNOWN);
    now += 20 * MS;
    not_yet(next().tag, PD_REPLICA_DISK_LOW);
    now += 20 * MS;
    done(next().tag, 5);
    add(6, false);
    not_yet(next().tag, PD_REPLICA_UNKNOWN);
    now += 7000 * MS;
    assert_true(answer(next().tag, PD_REPLICA_INVALID, &correlation, &outcome));
    assert_int_equal(correlation, 6);
    assert_int_equal(outcome, PD_REPLICA_UNKNOWN);
    add(7, false);
    assert_true(answer(next().tag, PD_REPLICA_DISK_LOW, &correlation, &outcome)); /* its first */
    assert_int_equal(outcome, PD_REPLICA_DISK_LOW);
}

static void test_an_idle_session_is_not_trusted(void **state)
{
    (void)state;
    add(5, false);
    open_session(77);
    done(next().tag, 5);
    now += 300 * 1000 * MS;
    add(6, false);
    assert_int_equal(next().head.session, 77);
    now += 301 * 1000 * MS;
    add(7, false); /* one is under way in it, so it lives */
    assert_int_equal(next().head.session, 77);
}

/* No session is to be had: that is no lack of a leader. */
static void test_too_many_sessions_is_known(void **state)
{
    (void)state;
    uint64_t correlation = 0;
    enum pd_replica_outcome outcome = PD_REPLICA_OK;
    add(5, false);
    assert_false(answer_kv(next().tag, PD_KV_ERR_SESSIONS_FULL, 0, &correlation, &outcome));
    assert_true(pd_gateway_writes_are_crowded(&writes));
    now += 20 * MS;
    assert_false(answer(next().tag, PD_REPLICA_NOT_LEADER, &correlation, &outcome));
    assert_false(pd_gateway_writes_are_crowded(&writes));
    now += 20 * MS;
    assert_false(answer_kv(next().tag, PD_KV_ERR_SESSIONS_FULL, 0, &correlation, &outcome));
    now += 20 * MS;
    open_session(77);
    assert_false(pd_gateway_writes_are_crowded(&writes));
    done(next().tag, 5);
}

static void test_repeatable_ones_need_no_session(void **state)
{
    (void)state;
    add(5, true);
    struct pd_gateway_sending sent = next();
    assert_int_equal(sent.head.session, 0);
    not_yet(sent.tag, PD_REPLICA_UNKNOWN);
    now += 20 * MS;
    done(next().tag, 5);
}

static void test_refused_by_the_node(void **state)
{
    (void)state;
    add(5, true);
    struct pd_gateway_sending sent = next();
    pd_gateway_writes_refused(&writes, sent.tag, now);
    nothing_to_send();
    now += 20 * MS;
    done(next().tag, 5);
}

/* Nor is it asked for longer than a write may take. */
static void test_refused_until_time_runs_out(void **state)
{
    (void)state;
    uint64_t correlation = 0;
    enum pd_replica_outcome outcome = PD_REPLICA_OK;
    uint64_t deadline = now + 7000 * MS;
    add(5, true);
    while (now < deadline) {
        assert_false(pd_gateway_writes_expired(&writes, now, &correlation, &outcome));
        pd_gateway_writes_refused(&writes, next().tag, now);
        now += 20 * MS;
    }
    assert_true(pd_gateway_writes_expired(&writes, now, &correlation, &outcome));
    assert_int_equal(correlation, 5);
    assert_int_equal(outcome, PD_REPLICA_NOT_READY);
    nothing_to_send();
}

static void full(uint64_t tag)
{
    uint64_t correlation = 0;
    enum pd_replica_outcome outcome = PD_REPLICA_OK;
    assert_false(answer_kv(tag, PD_KV_ERR_SESSION_ANSWERS_FULL, 0, &correlation, &outcome));
}

/* The lowest number is refused while answers above it hold the room: it must not be waited for. */
static void test_no_room_gives_the_number_back(void **state)
{
    (void)state;
    struct pd_gateway_sending sent[3];
    for (uint64_t i = 0; i < 3; i++) {
        add(100 + i, false);
    }
    open_session(77);
    for (uint64_t i = 0; i < 3; i++) {
        sent[i] = next();
    }
    done(sent[1].tag, 101);
    done(sent[2].tag, 102);
    full(sent[0].tag);
    now += 20 * MS;
    sent[0] = next();
    assert_int_equal(sent[0].head.session, 77);
    assert_int_equal(sent[0].head.sequence, 4);
    assert_int_equal(sent[0].head.low, 4); /* with it the store forgets the others' answers */
    add(103, false);
    open_session(78); /* 77 has to do with one at a time */
    assert_int_equal(next().head.session, 78);
    done(sent[0].tag, 100);
}

/* An earlier try may have happened: under another number it might happen twice. */
static void test_no_room_keeps_a_number_that_may_have_happened(void **state)
{
    (void)state;
    add(100, false);
    open_session(77);
    not_yet(next().tag, PD_REPLICA_UNKNOWN);
    now += 20 * MS;
    full(next().tag);
    now += 20 * MS;
    struct pd_gateway_sending sent = next();
    assert_int_equal(sent.head.session, 77);
    assert_int_equal(sent.head.sequence, 1);
    done(sent.tag, 100);
}

/* A store that keeps two answers of a session, and is asked in the order that suits it least. */
static void test_little_room_delays_nobody_for_long(void **state)
{
    (void)state;
    uint64_t kept[4][8] = {{0}}; /* of a session: numbers */
    uint64_t ids = 0;
    uint32_t told = 0;
    for (uint64_t i = 0; i < 8; i++) {
        add(100 + i, false);
    }
    for (uint32_t round = 0; round < 50 && told < 8; round++) {
        struct pd_gateway_sending sent[16];
        uint32_t count = 0;
        while (count < 16 && pd_gateway_writes_next(&writes, now, &sent[count])) {
            count++;
        }
        while (count-- > 0) {
            const struct pd_replica_request_head *head = &sent[count].head;
            uint64_t correlation = 0;
            enum pd_replica_outcome outcome = PD_REPLICA_OK;
            uint64_t *slot = NULL;
            uint32_t held = 0;
            for (uint32_t i = 0; i < 8; i++) {
                uint64_t *at = &kept[head->session][i];
                *at = *at < head->low ? 0 : *at;
                held += *at != 0;
                slot = *at == 0 ? at : slot;
            }
            if (head->session == 0) {
                (void)answer_kv(sent[count].tag, PD_KV_OK, ++ids, &correlation, &outcome);
                assert_true(ids < 4);
            } else if (held >= 2) {
                full(sent[count].tag);
            } else {
                *slot = head->sequence;
                told += answer_kv(sent[count].tag, PD_KV_OK, 0, &correlation, &outcome);
            }
        }
        now += 20 * MS;
    }
    assert_int_equal(told, 8);
}

/* -- Against a model --------------------------------------------------------------------------- */

#define COMMANDS 2000u

/* A store that applies, forgets to answer, refuses, and loses its sessions. */
struct model {
    struct pd_random random;
    uint64_t session; /* the one that lives; 0: none */
    uint64_t sessions;
    struct {
        uint64_t session;
        uint64_t sequence;
        uint64_t command;
    } seen[4096];
    uint32_t seen_count;
    uint32_t applied[COMMANDS]; /* times */
    uint8_t told[COMMANDS];     /* 0: not yet; 1: done; 2: not done; 3: nobody knows */
};
static struct model model;

static bool is_seen(const struct pd_replica_request_head *head)
{
    for (uint32_t i = 0; i < model.seen_count; i++) {
        if (model.seen[i].session == head->session && model.seen[i].sequence == head->sequence) {
            return true;
        }
    }
    return false;
}

static void apply(const struct pd_replica_request_head *head)
{
    uint64_t command = pd_get_u64(head->body.bytes);
    if (!is_seen(head)) {
        assert_true(model.seen_count < 4096);
        model.seen[model.seen_count].session = head->session;
        model.seen[model.seen_count].sequence = head->sequence;
        model.seen[model.seen_count++].command = command;
        model.applied[command]++;
    }
}

static void serve(const struct pd_gateway_sending *sending)
{
    uint64_t correlation = 0;
    enum pd_replica_outcome outcome = PD_REPLICA_OK;
    bool is_over = false;
    uint64_t dice = pd_random_below(&model.random, 10);
    if (sending->head.session == 0) {
        if (dice < 5) {
            model.session = ++model.sessions;
            is_over = answer_kv(sending->tag, PD_KV_OK, model.session, &correlation, &outcome);
        } else {
            is_over = answer(sending->tag, PD_REPLICA_NOT_READY, &correlation, &outcome);
        }
    } else if (dice == 0) {
        is_over = answer(sending->tag, PD_REPLICA_NOT_LEADER, &correlation, &outcome);
    } else if (dice == 1) {
        model.session = 0; /* all are gone */
        is_over = answer_kv(sending->tag, PD_KV_ERR_SESSION_UNKNOWN, 0, &correlation, &outcome);
    } else if (sending->head.session != model.session) {
        is_over = answer_kv(sending->tag, PD_KV_ERR_SESSION_UNKNOWN, 0, &correlation, &outcome);
    } else if (dice == 4) {
        is_over =
            answer_kv(sending->tag, PD_KV_ERR_SESSION_ANSWERS_FULL, 0, &correlation, &outcome);
        if (is_over && outcome == PD_REPLICA_OK) {
            outcome = PD_REPLICA_BUSY; /* OK is the node's word: the store's is a refusal */
        }
    } else if (dice < 4) {
        if (dice == 2) {
            apply(&sending->head);
        }
        is_over = answer(sending->tag, PD_REPLICA_UNKNOWN, &correlation, &outcome);
    } else {
        apply(&sending->head);
        is_over = answer_kv(sending->tag, PD_KV_OK, 0, &correlation, &outcome);
    }
    if (is_over) {
        assert_int_equal(model.told[correlation], 0);
        model.told[correlation] = outcome == PD_REPLICA_OK        ? 1
                                  : outcome == PD_REPLICA_UNKNOWN ? 3
                                                                  : 2;
    }
}

static void expire(void)
{
    uint64_t correlation = 0;
    enum pd_replica_outcome outcome = PD_REPLICA_OK;
    while (pd_gateway_writes_expired(&writes, now, &correlation, &outcome)) {
        assert_int_equal(model.told[correlation], 0);
        model.told[correlation] = outcome == PD_REPLICA_UNKNOWN ? 3 : 2;
    }
}

static void test_each_once(void **state)
{
    (void)state;
    pd_random_init(&model.random, 20261126, "writes");
    uint64_t added = 0;
    unsigned idle = 0;
    while (idle < 2000) {
        uint8_t command[8];
        pd_put_u64(command, added);
        if (added < COMMANDS && pd_random_below(&model.random, 3) == 0 &&
            pd_gateway_writes_add(&writes, added, (struct pd_span){command, 8}, false, now) ==
                PD_OK) {
            added++;
        }
        struct pd_gateway_sending sending;
        if (pd_gateway_writes_next(&writes, now, &sending)) {
            uint8_t body[64];
            memcpy(body, sending.head.body.bytes, sending.head.body.size);
            sending.head.body.bytes = body;
            serve(&sending);
        }
        expire();
        now += pd_random_below(&model.random, 30 * MS);
        idle = added == COMMANDS ? idle + 1 : 0;
    }
    unsigned counts[4] = {0};
    for (uint32_t i = 0; i < COMMANDS; i++) {
        counts[model.told[i]]++;
        assert_true(model.applied[i] <= 1);
        assert_true(model.told[i] != 1 || model.applied[i] == 1);
        assert_true(model.told[i] != 2 || model.applied[i] == 0);
    }
    assert_int_equal(counts[0], 0);
    assert_true(counts[1] > COMMANDS / 2);
    assert_true(counts[3] > 0);
    assert_int_equal(writes.bytes, 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_writes, close_writes)
    const struct CMUnitTest tests[] = {
        CASE(test_numbers_and_window),
        CASE(test_bounds),
        CASE(test_again_under_its_number),
        CASE(test_time_runs_out),
        CASE(test_a_session_that_is_gone),
        CASE(test_a_refused_repetition),
        CASE(test_an_idle_session_is_not_trusted),
        CASE(test_repeatable_ones_need_no_session),
        CASE(test_refused_by_the_node),
        CASE(test_refused_until_time_runs_out),
        CASE(test_too_many_sessions_is_known),
        CASE(test_no_room_gives_the_number_back),
        CASE(test_no_room_keeps_a_number_that_may_have_happened),
        CASE(test_little_room_delays_nobody_for_long),
        CASE(test_each_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
