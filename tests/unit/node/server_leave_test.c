/* The very node that leaves is asked to remove itself, or is told that it was removed. */
#include "node/peers_world.h"

static enum pd_replica_outcome leave(struct caller *caller, uint64_t node)
{
    return call(caller,
                &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_LEAVE, .number = node})
        .outcome;
}

/* As `pando cluster remove` does it at the very node that leaves. Should the lead change between
 * the two steps of it, another one is asked for the second. */
static void a_node_that_is_asked_leaves_itself(void **state)
{
    (void)state;
    const struct pd_replica_request_head hand_over = {.kind = PD_REPLICA_REQUEST_TRANSFER};
    struct caller caller;
    struct caller other;
    open_cluster(3);
    struct node *node = leader_of(3);
    open_caller(node, &caller);
    open_caller(node == &nodes[0] ? &nodes[1] : &nodes[0], &other);
    wait_listed(&other, 3);
    struct seat seat = seat_of(&other, node);
    while (seat.standing != PD_MEMBERS_NONE || seat.is_listed) {
        if (leave(seat.standing == PD_MEMBERS_NONE ? &other : &caller, node->id) != PD_REPLICA_OK) {
            (void)call(&caller, &hand_over);
        }
        seat = seat_of(&other, node);
    }
    assert_int_equal(seat.voters, 2);
    assert_int_equal(seat.listed, 2);
    while (leave(&other, node->id) != PD_REPLICA_OK) { /* asking again is no mistake */
    }
    enum pd_replica_outcome outcome;
    do {
        outcome = leave(&other, 12345);
    } while (is_no_answer(outcome));
    assert_int_equal(outcome, PD_REPLICA_INVALID);
    close_caller(&other);
    close_caller(&caller);
}

/* All of them know that the cluster's version is this program's. */
static void wait_version(void)
{
    for (uint32_t i = 0; i < 3; i++) {
        struct pd_server_figures figures;
        do {
            (void)usleep(1000);
            pd_server_figures(nodes[i].server, &figures);
        } while (figures.cluster_version < PD_REPLICA_LEAVE_VERSION);
    }
}

/* A node that does not lead, and reaches nobody. */
static struct node *isolate_follower(void)
{
    for (;;) {
        struct node *leader = leader_of(3);
        struct node *node = leader == &nodes[0] ? &nodes[1] : &nodes[0];
        isolate(node, true);
        if (told_leader(node) != node->id) {
            return node;
        }
        isolate(node, false);
    }
}

/* Nobody speaks to it; then a member says that it was removed. Who asked for that is answered. */
static void a_node_that_is_told_of_its_removal_ends(void **state)
{
    (void)state;
    struct caller caller;
    open_cluster(3);
    wait_version();
    struct node *node = isolate_follower();
    open_caller(node, &caller);
    submit(&caller,
           &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_LEAVE, .number = node->id});
    (void)told_leader(node); /* it has been taken up */
    assert_int_equal(atomic_load(&caller.answers), 0);
    assert_false(pd_server_was_removed(node->server));
    pd_net_memory_tell_removed(hub, node->id, node == &nodes[0] ? nodes[1].id : nodes[0].id);
    wait_answers(&caller, 1);
    assert_int_equal(caller.bytes[0], PD_REPLICA_OK);
    while (!pd_server_was_removed(node->server)) {
        (void)usleep(1000);
    }
    close_caller(&caller);
}

/* While the cluster is of a version whose programs did not know how, the leader may be one of them:
 * nobody waits for its answer in vain. */
static void a_leader_that_may_not_know_how_is_not_asked(void **state)
{
    (void)state;
    static const char wanted[] = "ask another member";
    char said[256] = "";
    for (uint32_t i = 0; i < 3; i++) {
        nodes[i].version_max = 1;
    }
    open_cluster(3);
    while (strstr(said, wanted) == NULL) { /* it may just have taken the lead itself */
        struct caller caller;
        struct node *node = leader_of(3) == &nodes[0] ? &nodes[1] : &nodes[0];
        open_caller(node, &caller);
        struct pd_replica_answer_head answer =
            call(&caller, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_LEAVE,
                                                            .number = node->id});
        assert_int_not_equal(answer.outcome, PD_REPLICA_OK);
        (void)snprintf(said, sizeof said, "%.*s", (int)answer.body.size,
                       (const char *)answer.body.bytes);
        assert_int_equal(seat_of(&caller, node).standing, PD_MEMBERS_VOTER);
        close_caller(&caller);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_node_that_is_asked_leaves_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_node_that_is_told_of_its_removal_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_leader_that_may_not_know_how_is_not_asked, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
