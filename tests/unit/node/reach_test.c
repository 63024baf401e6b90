/* At which of its addresses a member answers. Times are given generously, and none is measured:
 * what is shown is which one was found, while the others were silent. */
#include "node/reach.h"

#include "node/held_names.h"
#include "node/reach_world.h"

#define SERVICE "test-reach/1"
#define PATIENCE_NS (60 * SECOND_NS)

static struct pd_real_host *real;
static struct pd_host *host;
static struct reach_node member;
static struct reach_node other;
static struct reach_node us;
static struct pd_reach reach;
static struct pd_kv_member row;
static int silent;
static char dead[PD_NET_ADDRESS_TEXT_MAX];

/* What the last dial gave. */
static uint64_t link_found;
static uint32_t at;
static char text[PD_REACH_TEXT_MAX];

static atomic_uint ended;         /* links */
static atomic_uint ended_by_then; /* when the last one was opened */

static bool admit(void *state, const uint8_t key[PD_NET_KEY_SIZE])
{
    (void)state;
    (void)key;
    return true;
}

static void on_opened(void *state, uint64_t link, const uint8_t key[PD_NET_KEY_SIZE])
{
    (void)key;
    held_names_wait(); /* where a test holds one */
    atomic_store(&ended_by_then, atomic_load(&ended));
    pd_reach_opened(state, link);
}

static void on_closed(void *state, uint64_t link, const char *why)
{
    (void)atomic_fetch_add(&ended, 1);
    pd_reach_closed(state, link, why);
}

static int set_up(void **state)
{
    (void)state;
    const struct pd_net_offer serves = {.name = SERVICE, .handler = {.admit = admit}};
    const struct pd_net_offer asks = {
        .name = SERVICE, .handler = {.opened = on_opened, .closed = on_closed, .state = &reach}};
    assert_int_equal(pd_real_host_create(1, 4, &real), PD_OK);
    host = pd_real_host_interface(real);
    memset(&reach, 0, sizeof reach);
    reach.host = host;
    atomic_store(&ended, 0);
    reach_node_open(&member, host, 1, &serves);
    reach_node_open(&other, host, 2, &serves);
    reach_node_open(&us, host, 3, &asks);
    silent = reach_silent(dead);
    row = (struct pd_kv_member){.peer_count = 0};
    memcpy(row.key, member.identity.key, sizeof row.key);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    held_names_close();
    reach_node_close(&us);
    reach_node_close(&member);
    reach_node_close(&other);
    assert_int_equal(close(silent), 0);
    pd_real_host_destroy(real);
    return 0;
}

static void lists(const char *place)
{
    row.peers[row.peer_count++] = reach_span(place);
}

static bool dial(uint64_t patience_ns)
{
    return pd_reach_dial(&reach, us.net, 0, &row, pd_host_now_ns(host) + patience_ns, &link_found,
                         &at, text);
}

static void the_first_address_answers(void **state)
{
    (void)state;
    lists(member.place);
    lists(dead);
    assert_true(dial(PATIENCE_NS));
    assert_int_equal(at, 0);
    assert_int_not_equal(link_found, 0);
}

/* The next one is dialed while it is still waited for. */
static void a_silent_address_holds_nothing_up(void **state)
{
    (void)state;
    lists(dead);
    lists(member.place);
    assert_true(dial(PATIENCE_NS));
    assert_int_equal(at, 1);
    assert_int_equal(atomic_load(&ended_by_then), 0);
}

static void the_last_of_four_answers(void **state)
{
    (void)state;
    lists(dead);
    lists("no-such-host.invalid:1");
    lists(other.place); /* another node, with another key */
    lists(member.place);
    assert_true(dial(PATIENCE_NS));
    assert_int_equal(at, 3);
}

/* A dial says nothing of the next one, though what was silent then may end now. */
static void dials_follow_each_other(void **state)
{
    (void)state;
    uint64_t last = 0;
    lists(dead);
    lists(member.place);
    for (int i = 0; i < 4; i++) {
        assert_true(dial(PATIENCE_NS));
        assert_int_equal(at, 1);
        assert_true(link_found > last);
        last = link_found;
        assert_int_equal(pd_net_hang_up(us.net, link_found), PD_OK);
    }
    row.peer_count = 0;
    lists(other.place);
    assert_false(dial(PATIENCE_NS));
    row.peer_count = 0;
    lists(member.place);
    assert_true(dial(PATIENCE_NS));
    assert_int_equal(at, 0);
}

static void nobody_answers(void **state)
{
    (void)state;
    assert_false(dial(PATIENCE_NS)); /* it has no address */
    lists(dead);
    assert_false(dial(SECOND_NS / 2));
    assert_string_equal(text, "no answer");
    row.peer_count = 0;
    lists("no-such-host.invalid:1");
    lists("what is this");
    assert_false(dial(PATIENCE_NS));
    assert_non_null(strstr(text, "'what is this' is no place"));
    row.peer_count = 0;
    lists(other.place);
    assert_false(dial(PATIENCE_NS));
    assert_string_not_equal(text, "no answer");
}

static void it_is_stopped(void **state)
{
    (void)state;
    lists(dead);
    pd_reach_stop(&reach);
    assert_false(dial(PD_TIME_NEVER / 2));
}

/* It is up only when the name behind it is being looked up, which is not waited for then. */
static void a_silent_resolver_holds_nothing_up(void **state)
{
    (void)state;
    uint64_t until_ns = pd_host_now_ns(host) + PATIENCE_NS;
    held_names_open(NULL);
    lists(member.place);
    lists(HELD_NAME);
    assert_true(pd_reach_dial(&reach, us.net, 0, &row, until_ns, &link_found, &at, text));
    assert_int_equal(at, 0);
    assert_true(pd_host_now_ns(host) < until_ns);
}

static void stop(void)
{
    pd_reach_stop(&reach);
}

static void it_is_stopped_at_a_look_up(void **state)
{
    (void)state;
    lists(HELD_NAME);
    held_names_open(stop);
    assert_false(dial(PD_TIME_NEVER / 2));
}

static void where_they_are(void **state)
{
    (void)state;
    struct pd_transport_address here;
    struct pd_span elsewhere;
    lists("127.0.0.1:7");
    lists("127.0.0.2:8");
    assert_true(pd_reach_is_here(&row, 1, &here, &elsewhere));
    assert_int_equal(here.port, 7);
    assert_int_equal(here.ip[15], 1);
    lists("192.0.2.1:9");
    assert_false(pd_reach_is_here(&row, 1, &here, &elsewhere));
    assert_ptr_equal(elsewhere.bytes, row.peers[2].bytes);
    row.peer_count = 2;
    lists("node-1.example.org:9");
    assert_false(pd_reach_is_here(&row, 1, &here, &elsewhere));
    assert_ptr_equal(elsewhere.bytes, row.peers[2].bytes);
    row.peer_count = 0;
    assert_false(pd_reach_is_here(&row, 1, &here, &elsewhere));
    assert_int_equal(elsewhere.size, 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_first_address_answers),
        CASE(a_silent_address_holds_nothing_up),
        CASE(the_last_of_four_answers),
        CASE(dials_follow_each_other),
        CASE(nobody_answers),
        CASE(it_is_stopped),
        CASE(a_silent_resolver_holds_nothing_up),
        CASE(it_is_stopped_at_a_look_up),
        CASE(where_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
