/* Requests over links in virtual time: streams that do not wait for each other, limits, ends. */
#include "net/net_world.h"

static struct world world;

#define CLIENT (&world.stations[0])
#define SERVER (&world.stations[1])
#define LINK 1u

static void open_link(uint64_t seed, const struct pd_net_limits *limits)
{
    world_init(&world, seed);
    world_start(&world, 1, limits);
    world_start(&world, 2, limits);
    assert_int_equal(pd_net_endpoint_dial(CLIENT->endpoint, world.now_ns, LINK, 0,
                                          SERVER->identity.key, &SERVER->address),
                     PD_OK);
}

static enum pd_status call(uint64_t correlation, size_t size)
{
    return pd_net_endpoint_call(CLIENT->endpoint, LINK, correlation,
                                world_buffer(CLIENT, correlation, correlation, size));
}

static void answer(uint64_t correlation, size_t size, bool is_last)
{
    pd_net_endpoint_answer(SERVER->endpoint, SERVER->last_link, correlation,
                           world_buffer(SERVER, correlation, correlation, size), is_last);
}

static const struct seen *find(const struct station *station, enum pd_net_event_kind kind,
                               uint64_t correlation)
{
    for (uint32_t i = 0; i < station->seen_count && i < SEEN_MAX; i++) {
        if (station->seen[i].kind == kind && station->seen[i].correlation == correlation) {
            return &station->seen[i];
        }
    }
    fail_msg("nothing of kind %d was told of %u", (int)kind, (unsigned)correlation);
    return NULL;
}

static void a_slow_answer_holds_up_nobody(void **state)
{
    (void)state;
    const struct pd_net_limits limits = world_limits();
    open_link(1, &limits);
    world.loss_ppm = 10000;
    assert_int_equal(call(0, 100), PD_OK);
    for (uint64_t i = 1; i <= 1000; i++) { /* before the link is open */
        assert_int_equal(call(i, 100), PD_OK);
    }
    world_wait(&world, 2, PD_NET_REQUEST, 1001);
    for (uint64_t i = 1; i <= 1000; i++) {
        answer(i, 1000, true);
    }
    world_wait(&world, 1, PD_NET_ENDED, 1000);
    assert_int_equal(CLIENT->kinds[PD_NET_ANSWER], 1000);
    answer(0, 5000000, false); /* a long one, and others beside it still pass */
    answer(0, 10, true);
    assert_int_equal(call(2000, 100), PD_OK);
    world_wait(&world, 2, PD_NET_REQUEST, 1002);
    answer(2000, 10, true);
    world_wait(&world, 1, PD_NET_ENDED, 1002);
    const struct seen *quick = find(CLIENT, PD_NET_ENDED, 2000);
    const struct seen *slow = find(CLIENT, PD_NET_ENDED, 0);
    assert_true(quick->time_ns < slow->time_ns);
    assert_int_equal(CLIENT->bad_bytes, 0);
    world_run(&world, 5 * SECOND);
    assert_int_equal(atomic_load(&SERVER->account->bytes), 0);
    assert_int_equal(atomic_load(&CLIENT->account->bytes), 0);
    world_deinit(&world);
}

static void more_than_the_peer_takes_wait_and_then_are_full(void **state)
{
    (void)state;
    struct pd_net_limits limits = world_limits();
    limits.requests_max = 10;
    open_link(2, &limits);
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(call(i, 100), PD_OK);
    }
    assert_int_equal(call(20, 100), PD_ERR_FULL);
    assert_int_equal(call(5, 100), PD_ERR_EXISTS);
    world_run(&world, SECOND);
    assert_int_equal(SERVER->kinds[PD_NET_REQUEST], 10);
    for (uint64_t i = 0; i < 5; i++) {
        answer(i, 10, true);
    }
    world_run(&world, SECOND);
    assert_int_equal(SERVER->kinds[PD_NET_REQUEST], 15);
    for (uint64_t i = 5; i < 15; i++) {
        answer(i, 10, true);
    }
    world_run(&world, SECOND);
    for (uint64_t i = 15; i < 20; i++) {
        answer(i, 10, true);
    }
    world_wait(&world, 1, PD_NET_ENDED, 20);
    assert_int_equal(call(5, 100), PD_OK); /* a correlation that has ended is free again */
    world_deinit(&world);
}

static void what_is_too_large_or_gone_is_told(void **state)
{
    (void)state;
    struct pd_net_limits limits = world_limits();
    limits.request_bytes_max = 1000;
    open_link(3, &limits);
    assert_int_equal(call(1, 1001), PD_OK);
    assert_int_equal(call(2, 1000), PD_OK);
    world_wait(&world, 1, PD_NET_ENDED, 1);
    assert_int_equal(find(CLIENT, PD_NET_ENDED, 1)->status, PD_ERR_RANGE);
    world_wait(&world, 2, PD_NET_REQUEST, 1);
    pd_net_endpoint_answer(SERVER->endpoint, SERVER->last_link, 2, NULL, true); /* no answer */
    world_wait(&world, 1, PD_NET_ENDED, 2);
    assert_int_equal(find(CLIENT, PD_NET_ENDED, 2)->status, PD_OK);
    assert_int_equal(CLIENT->kinds[PD_NET_ANSWER], 0);
    answer(2, 10, true); /* too late, and to one that never was */
    answer(77, 10, true);
    assert_int_equal(world_counters(&world, 2).answers_late, 2);
    assert_int_equal(world_counters(&world, 2).bad_frames, 1);
    assert_int_equal(pd_net_endpoint_call(CLIENT->endpoint, 99, 1, world_buffer(CLIENT, 1, 1, 8)),
                     PD_ERR_CLOSED);
    world_deinit(&world);
}

static void halves_of_frames_are_bounded(void **state)
{
    (void)state;
    for (uint32_t which = 0; which < 2; which++) {
        struct pd_net_limits limits = world_limits();
        *(which == 0 ? &limits.input_bytes_max : &limits.input_bytes_total_max) = 5000;
        open_link(8 + which, &limits);
        assert_int_equal(call(1, 100000), PD_OK);
        assert_int_equal(call(2, 3000), PD_OK);
        world_wait(&world, 1, PD_NET_ENDED, 1);
        assert_int_equal(find(CLIENT, PD_NET_ENDED, 1)->status, PD_ERR_FULL);
        world_wait(&world, 2, PD_NET_REQUEST, 1); /* the other one fits */
        assert_int_equal(find(SERVER, PD_NET_REQUEST, 2)->size, 3000);
        assert_int_equal(world_counters(&world, 2).requests_refused, 1);
        world_deinit(&world);
    }
}

static void a_cancelled_request_is_told_once(void **state)
{
    (void)state;
    const struct pd_net_limits limits = world_limits();
    open_link(4, &limits);
    assert_int_equal(call(1, 100), PD_OK);
    assert_int_equal(call(2, 100), PD_OK);
    pd_net_endpoint_cancel(CLIENT->endpoint, LINK, 2); /* it has not left yet */
    world_wait(&world, 2, PD_NET_REQUEST, 1);
    answer(1, 3000000, false);
    world_run(&world, 3 * MS);
    pd_net_endpoint_cancel(CLIENT->endpoint, LINK, 1);
    pd_net_endpoint_cancel(CLIENT->endpoint, LINK, 1);
    world_wait(&world, 2, PD_NET_CANCELLED, 1);
    world_run(&world, SECOND);
    assert_int_equal(SERVER->kinds[PD_NET_CANCELLED], 1);
    assert_int_equal(SERVER->kinds[PD_NET_REQUEST], 1);
    assert_int_equal(CLIENT->kinds[PD_NET_ENDED], 0);
    answer(1, 10, true);
    assert_int_equal(world_counters(&world, 2).answers_late, 1);
    assert_int_equal(atomic_load(&SERVER->account->bytes), 0); /* what had not left is freed */
    assert_int_equal(call(3, 100), PD_OK);                     /* the link is as good as before */
    world_wait(&world, 2, PD_NET_REQUEST, 2);
    world_deinit(&world);
}

static void who_does_not_read_gets_no_more_and_is_cut_off(void **state)
{
    (void)state;
    struct pd_net_limits limits = world_limits();
    limits.requests_max = 4;
    limits.output_bytes_soft = 100000;
    limits.output_bytes_max = 2000000;
    open_link(5, &limits);
    world_wait(&world, 2, PD_NET_LINK_OPENED, 1);
    world_wait(&world, 1, PD_NET_LINK_OPENED, 1);
    for (uint64_t i = 0; i < 8; i++) {
        assert_int_equal(call(i, 100), PD_OK);
    }
    world_wait(&world, 2, PD_NET_REQUEST, 4);
    world.is_cut[1][0] = true; /* what the server says is not heard */
    for (uint64_t i = 0; i < 3; i++) {
        answer(i, 500000, true);
    }
    world_run(&world, 500 * MS);
    assert_int_equal(SERVER->kinds[PD_NET_REQUEST], 4); /* no new ones while answers wait */
    assert_int_equal(SERVER->kinds[PD_NET_LINK_CLOSED], 0);
    answer(3, 500000, false);
    world_settle(&world);
    assert_int_equal(SERVER->kinds[PD_NET_LINK_CLOSED], 1);
    assert_int_equal(world_counters(&world, 2).cut_off, 1);
    assert_int_equal(atomic_load(&SERVER->account->bytes), 0);
    world_deinit(&world);
}

static void both_ends_hear_of_the_end(void **state)
{
    (void)state;
    const struct pd_net_limits limits = world_limits();
    open_link(6, &limits);
    assert_int_equal(call(1, 100), PD_OK);
    world_wait(&world, 2, PD_NET_REQUEST, 1);
    pd_net_endpoint_hang_up(CLIENT->endpoint, world.now_ns, LINK);
    world_wait(&world, 1, PD_NET_LINK_CLOSED, 1);
    world_wait(&world, 2, PD_NET_LINK_CLOSED, 1);
    assert_int_equal(world_counters(&world, 1).connections, 0);
    assert_int_equal(world_counters(&world, 2).connections, 0);
    /* Nobody is there. */
    world_stop(&world, 2);
    assert_int_equal(pd_net_endpoint_dial(CLIENT->endpoint, world.now_ns, 3, 0,
                                          SERVER->identity.key, &SERVER->address),
                     PD_OK);
    uint64_t began_ns = world.now_ns;
    world_wait(&world, 1, PD_NET_LINK_CLOSED, 2);
    assert_true(world.now_ns - began_ns <= 6 * SECOND);
    assert_string_equal(find(CLIENT, PD_NET_LINK_CLOSED, 0)->text, "closed here");
    world_deinit(&world);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const struct pd_net_limits limits = world_limits();
    uint32_t closed = 0;
    for (uint64_t nth = 1; nth <= 1200; nth += 1 + nth / 20) {
        open_link(7, &limits);
        SERVER->echoes = false;
        for (uint64_t i = 0; i < 5; i++) {
            assert_int_equal(call(i, 3000), PD_OK);
        }
        pd_alloc_fail_nth(nth);
        world_run(&world, 50 * MS);
        pd_alloc_fail_nth(0);
        for (uint64_t i = 0; i < 5; i++) {
            answer(i, 3000, true);
        }
        world_run(&world, 10 * SECOND);
        /* Either all went well, or the link is told closed; nothing is left hanging. */
        bool is_closed = CLIENT->kinds[PD_NET_LINK_CLOSED] == 1;
        assert_true(is_closed || CLIENT->kinds[PD_NET_ENDED] == 5);
        closed += is_closed ? 1 : 0;
        world_deinit(&world);
    }
    assert_true(closed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_answer_holds_up_nobody),
        cmocka_unit_test(more_than_the_peer_takes_wait_and_then_are_full),
        cmocka_unit_test(what_is_too_large_or_gone_is_told),
        cmocka_unit_test(halves_of_frames_are_bounded),
        cmocka_unit_test(a_cancelled_request_is_told_once),
        cmocka_unit_test(who_does_not_read_gets_no_more_and_is_cut_off),
        cmocka_unit_test(both_ends_hear_of_the_end),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
