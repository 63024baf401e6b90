/* A node that was away while another one joined: it is brought forward also while just that one
 * leads, whose key it could not know. */
#include "node/peers_world.h"

#define PATIENCE_NS (60 * SECOND_NS) /* then the test has failed */

/* With the lead at `node`, whoever had it. `at` may be any node but that one. */
static void lead_with(struct caller *at, const struct node *node)
{
    const struct pd_replica_request_head transfer = {.kind = PD_REPLICA_REQUEST_TRANSFER,
                                                     .number = node->id};
    while (call(at, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_STATUS}).leader !=
           node->id) {
        (void)call(at, &transfer);
    }
}

/* Should the lead go elsewhere on a busy machine, it is brought back: others prove nothing. */
static void wait_led(struct caller *at, struct node *node, const struct node *leader)
{
    uint64_t deadline_ns = pd_host_now_ns(host) + PATIENCE_NS;
    while (told_leader(node) != leader->id) {
        assert_true(pd_host_now_ns(host) < deadline_ns);
        lead_with(at, leader);
    }
}

static void who_was_down_is_brought_forward_by_a_newcomer(void **state)
{
    (void)state;
    struct caller caller;
    struct caller back;
    struct node *away = &nodes[2];
    struct node *newcomer = &nodes[3];
    open_cluster(3);
    open_caller(&nodes[0], &caller);
    wait_listed(&caller, 3);
    close_node(away);
    add_voter(&caller, newcomer);
    lead_with(&caller, newcomer);
    while (put(&caller, "k") != PD_REPLICA_OK) {
    }
    open_node(away);
    wait_led(&caller, away, newcomer);
    open_caller(away, &back);
    assert_true(version(&back, "k") > 0);
    struct seat seat = seat_of(&back, newcomer);
    assert_int_equal(seat.standing, PD_MEMBERS_VOTER);
    assert_int_equal(seat.listed, 4);
    close_caller(&back);
    close_caller(&caller);
}

/* A new node has no state, and only who leads gives it one. Its cluster.json is from before. */
static void who_joins_with_an_old_list_is_given_a_state_by_a_newcomer(void **state)
{
    (void)state;
    struct caller caller;
    struct caller at_last;
    struct node *newcomer = &nodes[3];
    struct node *last = &nodes[4];
    open_cluster(3);
    open_caller(&nodes[0], &caller);
    wait_listed(&caller, 3);
    add_voter(&caller, newcomer);
    lead_with(&caller, newcomer);
    list(&caller, last);
    become(&caller, PD_REPLICA_REQUEST_ADD_LEARNER, last, PD_MEMBERS_LEARNER);
    lead_with(&caller, newcomer);
    prepare(last, 3, true);
    open_node(last);
    wait_led(&caller, last, newcomer);
    wait_ready(last);
    open_caller(last, &at_last);
    assert_int_equal(seat_of(&at_last, last).listed, 5);
    close_caller(&at_last);
    close_caller(&caller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_was_down_is_brought_forward_by_a_newcomer, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_joins_with_an_old_list_is_given_a_state_by_a_newcomer,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
