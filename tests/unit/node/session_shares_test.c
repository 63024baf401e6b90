/* What clients from outside get of the sessions that there are, and what is closed when they are
 * few, or their answers too large. */
#include "node/session_shares.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kv/answer.h"
#include "kv/codec.h"
#include "node/replica_request.h"

#define SECOND UINT64_C(1000000000)
#define MIB (UINT64_C(1) << 20)
#define ROOM 256u

static struct pd_session_shares shares;
static struct pd_session_view view;
static uint64_t kept[8192]; /* bytes, of a session */
static uint64_t closed[4096];
static uint32_t closed_count;

static uint64_t answers_of(const void *state, uint64_t id)
{
    (void)state;
    return kept[id];
}

static void on_close(void *state, uint64_t id)
{
    (void)state;
    closed[closed_count++] = id;
}

static int set_up(void **state)
{
    (void)state;
    pd_session_shares_init(&shares);
    memset(kept, 0, sizeof kept);
    closed_count = 0;
    view = (struct pd_session_view){.now_ns = 1000 * SECOND,
                                    .sessions_max = 4096,
                                    .answers_bytes_max = 256 * MIB,
                                    .answers_of = answers_of};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pd_session_shares_deinit(&shares);
    return 0;
}

static enum pd_session_verdict ask_in(struct pd_session_share **share, uint64_t session,
                                      const struct pd_kv_command *command, uint64_t correlation,
                                      struct pd_kv_command *read_out)
{
    uint8_t bytes[ROOM];
    struct pd_kv_writer writer = {.bytes = bytes + PD_REPLICA_REQUEST_HEAD_SIZE,
                                  .bytes_max = ROOM - PD_REPLICA_REQUEST_HEAD_SIZE};
    const struct pd_replica_request_head head = {
        .kind = PD_REPLICA_REQUEST_WRITE, .session = session, .sequence = 1, .low = 1};
    pd_replica_request_put_head(bytes, &head);
    pd_kv_command_encode(&writer, command);
    size_t size = PD_REPLICA_REQUEST_HEAD_SIZE + writer.size;
    enum pd_session_verdict verdict =
        pd_session_shares_ask(&shares, share, correlation, bytes, &size, &view);
    if (read_out != NULL) {
        const struct pd_kv_limits limits = {.request_bytes_max = ROOM};
        const struct pd_kv_command_room room = {0};
        struct pd_replica_request_head read;
        assert_int_equal(pd_replica_request_decode((struct pd_span){bytes, size}, &read), PD_OK);
        assert_int_equal(read.session, session);
        assert_int_equal(pd_kv_command_decode(read.body, &limits, &room, read_out), PD_KV_OK);
    }
    return verdict;
}

static enum pd_session_verdict ask_to_open(struct pd_session_share **share, uint64_t correlation)
{
    return ask_in(share, 0,
                  &(struct pd_kv_command){.kind = PD_KV_SESSION_OPEN, .duration_ns = SECOND},
                  correlation, NULL);
}

static enum pd_session_verdict use(struct pd_session_share **share, uint64_t session)
{
    return ask_in(share, session, &(struct pd_kv_command){.kind = PD_KV_NOOP}, 1, NULL);
}

static void opened(struct pd_session_share *share, uint64_t correlation, uint64_t id)
{
    uint8_t bytes[ROOM];
    struct pd_kv_writer writer = {.bytes = bytes + PD_REPLICA_ANSWER_HEAD_SIZE,
                                  .bytes_max = ROOM - PD_REPLICA_ANSWER_HEAD_SIZE};
    const struct pd_replica_answer_head head = {.outcome = PD_REPLICA_OK};
    pd_replica_answer_put_head(bytes, &head);
    pd_kv_answer_put_head(&writer, &(struct pd_kv_answer_head){.kind = PD_KV_ANSWER_SESSION});
    pd_kv_answer_put_number(&writer, (int64_t)id);
    pd_session_shares_answered(share, correlation,
                               (struct pd_span){bytes, PD_REPLICA_ANSWER_HEAD_SIZE + writer.size},
                               view.now_ns);
    view.session_count++;
}

static void test_a_duration_is_lowered(void **state)
{
    (void)state;
    struct pd_session_share *share = NULL;
    const uint64_t given[] = {
        1, PD_SESSION_NS - 1, PD_SESSION_NS, PD_SESSION_NS + 1, 86400 * SECOND, INT64_MAX};
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        struct pd_kv_command read;
        const struct pd_kv_command command = {
            .kind = PD_KV_SESSION_OPEN, .duration_ns = given[i], .window = 17};
        assert_int_equal(ask_in(&share, 0, &command, i, &read), PD_SESSION_PASSES);
        assert_int_equal(read.kind, PD_KV_SESSION_OPEN);
        assert_int_equal(read.duration_ns, given[i] < PD_SESSION_NS ? given[i] : PD_SESSION_NS);
        assert_int_equal(read.window, 17);
    }
}

static void test_a_client_has_its_share(void **state)
{
    (void)state;
    struct pd_session_share *share = NULL;
    struct pd_session_share *other = NULL;
    for (uint64_t i = 0; i < PD_SESSION_SHARE_MAX; i++) {
        assert_int_equal(ask_to_open(&share, 100 + i), PD_SESSION_PASSES);
        opened(share, 100 + i, 1 + i);
    }
    assert_int_equal(ask_to_open(&share, 1), PD_SESSION_TOO_MANY);
    assert_int_equal(use(&share, 1), PD_SESSION_PASSES);
    assert_int_equal(use(&share, 500), PD_SESSION_LATER); /* of elsewhere: one more, too */
    assert_int_equal(ask_in(&share, 0,
                            &(struct pd_kv_command){.kind = PD_KV_SESSION_KEEPALIVE, .id = 500}, 1,
                            NULL),
                     PD_SESSION_LATER);
    assert_int_equal(ask_to_open(&other, 1), PD_SESSION_PASSES);
    /* One that it closes, and those that have ended by themselves, are others' place. */
    assert_int_equal(
        ask_in(&share, 0, &(struct pd_kv_command){.kind = PD_KV_SESSION_CLOSE, .id = 7}, 1, NULL),
        PD_SESSION_PASSES);
    assert_int_equal(ask_to_open(&share, 2), PD_SESSION_PASSES);
    assert_int_equal(ask_to_open(&share, 3), PD_SESSION_TOO_MANY); /* 31, and one on its way */
    view.now_ns += PD_SESSION_NS + 11 * SECOND;
    assert_int_equal(ask_to_open(&share, 4), PD_SESSION_PASSES);
}

/* A quarter is for nodes, and what is under way cannot take it. */
static void test_nodes_keep_a_part(void **state)
{
    (void)state;
    struct pd_session_share *share[512] = {NULL};
    uint32_t passed = 0;
    for (uint32_t i = 0; i < 512; i++) { /* nothing of it is applied yet */
        for (uint64_t n = 0; n < 4; n++) {
            passed += ask_to_open(&share[i], n) == PD_SESSION_PASSES;
        }
    }
    assert_int_equal(passed, PD_SESSION_OPENS_MAX);
    struct pd_session_share *late = NULL;
    assert_int_equal(ask_to_open(&late, 1), PD_SESSION_LATER);
    view.now_ns += SECOND;
    assert_int_equal(ask_to_open(&late, 2), PD_SESSION_PASSES);
    view.session_count = 3072;
    assert_int_equal(ask_to_open(&late, 3), PD_SESSION_TOO_MANY);
    assert_int_equal(use(&late, 9), PD_SESSION_PASSES);
    view.answers_bytes = 192 * MIB;
    assert_int_equal(use(&late, 9), PD_SESSION_LATER);
}

static void test_large_answers_are_closed_first(void **state)
{
    (void)state;
    struct pd_session_share *share = NULL;
    for (uint64_t id = 1; id <= 3; id++) {
        assert_int_equal(use(&share, id), PD_SESSION_PASSES);
    }
    kept[1] = 100;
    kept[2] = 8 * MIB;
    kept[3] = 64 << 10;
    view.answers_bytes = 128 * MIB - 1;
    pd_session_shares_look(&shares, &view, on_close, NULL);
    assert_int_equal(closed_count, 0);
    view.answers_bytes = 128 * MIB;
    pd_session_shares_look(&shares, &view, on_close, NULL);
    assert_int_equal(closed_count, 1);
    assert_int_equal(closed[0], 2);
    view.answers_bytes = 192 * MIB;
    pd_session_shares_look(&shares, &view, on_close, NULL);
    assert_int_equal(closed_count, 2);
    assert_int_equal(closed[1], 3);
    pd_session_shares_look(&shares, &view, on_close, NULL);
    assert_int_equal(closed_count, 2); /* once each; who keeps little is left alone */
}

static void test_whose_client_is_gone_goes_first(void **state)
{
    (void)state;
    struct pd_session_share *stays = NULL;
    struct pd_session_share *goes[3] = {NULL};
    assert_int_equal(use(&stays, 1), PD_SESSION_PASSES);
    for (uint32_t i = 0; i < 3; i++) {
        for (uint64_t n = 0; n < PD_SESSION_SHARE_MAX; n++) {
            assert_int_equal(use(&goes[i], 100 + 100 * i + n), PD_SESSION_PASSES);
        }
        pd_session_shares_gone(&shares, goes[i]);
    }
    pd_session_shares_gone(&shares, NULL);
    pd_session_shares_look(&shares, &view, on_close, NULL);
    assert_int_equal(closed_count, 0); /* it may come again, and ask in them */
    view.session_count = 2048;
    pd_session_shares_look(&shares, &view, on_close, NULL);
    assert_int_equal(closed_count, PD_SESSION_CLOSES_MAX);
    pd_session_shares_look(&shares, &view, on_close, NULL);
    assert_int_equal(closed_count, 3 * PD_SESSION_SHARE_MAX);
    pd_session_shares_look(&shares, &view, on_close, NULL);
    assert_int_equal(closed_count, 3 * PD_SESSION_SHARE_MAX);
    assert_int_equal(shares.orphan_count, 0);
    view.session_count = 3584; /* only what is kept free is left */
    pd_session_shares_look(&shares, &view, on_close, NULL);
    assert_int_equal(closed_count, 3 * PD_SESSION_SHARE_MAX + 1);
    assert_int_equal(closed[closed_count - 1], 1);
}

static void test_who_comes_again_keeps_its_session(void **state)
{
    (void)state;
    struct pd_session_share *before = NULL;
    struct pd_session_share *after = NULL;
    assert_int_equal(use(&before, 77), PD_SESSION_PASSES);
    assert_int_equal(use(&before, 78), PD_SESSION_PASSES);
    pd_session_shares_gone(&shares, before);
    assert_int_equal(use(&after, 77), PD_SESSION_PASSES);
    view.session_count = 2048;
    pd_session_shares_look(&shares, &view, on_close, NULL);
    assert_int_equal(closed_count, 1);
    assert_int_equal(closed[0], 78);
}

static void test_orphans_are_bounded_and_end(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < PD_SESSION_ORPHANS_MAX + 10; i++) {
        struct pd_session_share *share = NULL;
        assert_int_equal(use(&share, 1 + i), PD_SESSION_PASSES);
        pd_session_shares_gone(&shares, share);
    }
    assert_int_equal(shares.orphan_count, PD_SESSION_ORPHANS_MAX);
    view.now_ns += PD_SESSION_NS + 11 * SECOND;
    pd_session_shares_look(&shares, &view, on_close, NULL);
    assert_int_equal(shares.orphan_count, 0);
    assert_int_equal(closed_count, 0);
}

static void test_other_requests_need_no_share(void **state)
{
    (void)state;
    struct pd_session_share *share = NULL;
    uint8_t bytes[ROOM] = {0};
    size_t size = 3;
    assert_int_equal(pd_session_shares_ask(&shares, &share, 1, bytes, &size, &view),
                     PD_SESSION_PASSES);
    assert_int_equal(ask_in(&share, 0, &(struct pd_kv_command){.kind = PD_KV_NOOP}, 1, NULL),
                     PD_SESSION_PASSES);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_READ, .session = 4};
    pd_replica_request_put_head(bytes, &head);
    size = PD_REPLICA_REQUEST_HEAD_SIZE;
    assert_int_equal(pd_session_shares_ask(&shares, &share, 1, bytes, &size, &view),
                     PD_SESSION_PASSES);
    assert_null(share);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_a_duration_is_lowered),
        CASE(test_a_client_has_its_share),
        CASE(test_nodes_keep_a_part),
        CASE(test_large_answers_are_closed_first),
        CASE(test_whose_client_is_gone_goes_first),
        CASE(test_who_comes_again_keeps_its_session),
        CASE(test_orphans_are_bounded_and_end),
        CASE(test_other_requests_need_no_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
