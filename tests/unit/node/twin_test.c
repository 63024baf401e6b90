/* Who else runs with a node's key is found where others know the node; nobody else is. */
#include "node/twin.h"

#include <stdlib.h>

#include "node/reach_world.h"
#include "node/server_peers_join.h"

#define LONG_NS (60 * SECOND_NS)

static struct pd_real_host *real;
static struct pd_host *host;
static struct reach_node other;

static bool admit(void *state, const uint8_t key[PD_NET_KEY_SIZE])
{
    (void)state;
    (void)key;
    return true;
}

static int set_up(void **state)
{
    static const struct pd_net_offer offer = {.name = PD_JOIN_SERVICE, .handler = {.admit = admit}};
    (void)state;
    assert_int_equal(pd_real_host_create(1, 4, &real), PD_OK);
    host = pd_real_host_interface(real);
    reach_node_open(&other, host, 1, &offer);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    reach_node_close(&other);
    pd_real_host_destroy(real);
    return 0;
}

static bool look(const struct pd_kv_member *known, uint64_t for_ns, char *place)
{
    return pd_twin_look(host, known, pd_host_now_ns(host) + for_ns, place);
}

/* Behind an address at which nobody answers. */
static void a_twin_is_found(void **state)
{
    char place[PD_KV_MEMBER_ADDRESS_MAX + 1] = "";
    char silent[PD_NET_ADDRESS_TEXT_MAX];
    struct pd_kv_member known = {.peer_count = 2};
    (void)state;
    int descriptor = reach_silent(silent);
    memcpy(known.key, other.identity.key, sizeof known.key);
    known.peers[0] = reach_span(silent);
    known.peers[1] = reach_span(other.place);
    assert_true(look(&known, LONG_NS, place));
    assert_string_equal(place, other.place);
    assert_int_equal(close(descriptor), 0);
}

/* The place that a node had may be another one's now. */
static void another_node_is_no_twin(void **state)
{
    char place[PD_KV_MEMBER_ADDRESS_MAX + 1] = "";
    struct pd_kv_member known = {.peer_count = 1, .key = {9}};
    (void)state;
    known.peers[0] = reach_span(other.place);
    assert_false(look(&known, LONG_NS, place));
}

/* It would be waited for without an end, if it were dialed. */
static void a_free_place_is_not_dialed(void **state)
{
    char place[PD_KV_MEMBER_ADDRESS_MAX + 1] = "";
    char silent[PD_NET_ADDRESS_TEXT_MAX];
    struct pd_kv_member known = {.peer_count = 1};
    (void)state;
    memcpy(known.key, other.identity.key, sizeof known.key);
    assert_int_equal(close(reach_silent(silent)), 0); /* free again */
    known.peers[0] = reach_span(silent);
    assert_false(pd_twin_look(host, &known, PD_TIME_NEVER, place));
    known.peer_count = 0;
    assert_false(pd_twin_look(host, &known, PD_TIME_NEVER, place));
}

static void who_does_not_answer_is_waited_for_so_long(void **state)
{
    char place[PD_KV_MEMBER_ADDRESS_MAX + 1] = "";
    char silent[PD_NET_ADDRESS_TEXT_MAX];
    struct pd_kv_member known = {.peer_count = 1};
    (void)state;
    int descriptor = reach_silent(silent);
    memcpy(known.key, other.identity.key, sizeof known.key);
    known.peers[0] = reach_span(silent);
    assert_false(look(&known, SECOND_NS / 5, place));
    assert_int_equal(close(descriptor), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_twin_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_node_is_no_twin, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_free_place_is_not_dialed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_does_not_answer_is_waited_for_so_long, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
