/* Reads and leases where something comes between: another configuration, another term, a transfer,
 * answers that cannot be. */
#include "raft/one_node.h"

typedef struct pd_raft_message msg;

static msg heard_from(pd_raft_node node, uint64_t term, uint64_t session, uint64_t token)
{
    return (msg){.type = PD_RAFT_MSG_HEARTBEAT_RESP,
                 .from = node,
                 .term = term,
                 .session = session,
                 .token = token};
}

static struct pd_raft_config lease_config(void)
{
    struct pd_raft_config config = one_config();
    config.check_quorum = true;
    config.lease_reads = true;
    config.lease_ns = 1000000;
    return config;
}

/* A leader whose first entry is committed. Its session with node 2. */
static uint64_t lead(struct one_node *node, const struct pd_raft_config *config, uint32_t voters)
{
    one_open(node, config, one_conf(voters));
    one_elect(node);
    uint64_t session = one_session(node, 2, NULL);
    assert_int_equal(one_ack(node, 2, session, 1), PD_OK);
    one_settle(node);
    assert_int_equal(one_status(node).applied, 1);
    return session;
}

/* A round of heartbeats goes out, and node 2 answers. */
static void confirm_round(struct one_node *node)
{
    uint64_t token = 0;
    uint64_t session = one_session(node, 2, &token);
    uint64_t term = one_status(node).hard_state.term;
    assert_int_equal(one_step(node, heard_from(2, term, session, token)), PD_OK);
}

static void change(struct one_node *node, enum pd_raft_conf_change_type type, pd_raft_node whom)
{
    struct pd_raft_conf_change in = {.count = 1, .changes = {{type, whom}}};
    assert_int_equal(pd_raft_apply_conf_change(node->raft, &in, false, NULL), PD_OK);
}

/* Steps down for a later term and is elected again. */
static void lead_again(struct one_node *node)
{
    uint64_t term = one_status(node).hard_state.term + 1;
    assert_int_equal(one_step(node, (msg){.type = PD_RAFT_MSG_HEARTBEAT, .from = 3, .term = term}),
                     PD_OK);
    assert_int_equal(one_status(node).role, PD_RAFT_FOLLOWER);
    one_settle(node);
    one_elect(node);
    uint64_t last = one_status(node).last_index;
    assert_int_equal(one_ack(node, 2, one_session(node, 2, NULL), last), PD_OK);
    one_settle(node);
}

static void item_24_a_lease_begins_anew_with_a_configuration(void **state)
{
    (void)state;
    struct pd_raft_config config = lease_config();
    struct one_node node;
    (void)lead(&node, &config, 3);
    confirm_round(&node);
    assert_true(pd_raft_lease_valid(node.raft, node.now_ns));
    /* The same round would be a quorum's of the new configuration too. */
    change(&node, PD_RAFT_CONF_REMOVE_NODE, 3);
    assert_false(pd_raft_lease_valid(node.raft, node.now_ns));
    confirm_round(&node);
    assert_true(pd_raft_lease_valid(node.raft, node.now_ns));
    /* Not so with another term: its rounds count from the first on. */
    change(&node, PD_RAFT_CONF_ADD_NODE, 3);
    lead_again(&node);
    assert_false(pd_raft_lease_valid(node.raft, node.now_ns));
    confirm_round(&node);
    assert_true(pd_raft_lease_valid(node.raft, node.now_ns));
    one_close(&node);
}

static void item_24_the_only_voter_needs_no_lease(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(1));
    assert_false(pd_raft_lease_valid(node.raft, node.now_ns)); /* it does not lead */
    one_elect(&node);
    one_settle(&node);
    assert_int_equal(one_status(&node).role, PD_RAFT_LEADER);
    assert_true(pd_raft_lease_valid(node.raft, node.now_ns));
    assert_true(pd_raft_lease_valid(node.raft, 0)); /* no clock is looked at */
    assert_true(pd_raft_lease_valid(node.raft, UINT64_MAX));
    /* A learner cannot be elected; a second voter can. */
    change(&node, PD_RAFT_CONF_ADD_LEARNER, 2);
    assert_true(pd_raft_lease_valid(node.raft, node.now_ns));
    change(&node, PD_RAFT_CONF_ADD_NODE, 2);
    assert_false(pd_raft_lease_valid(node.raft, node.now_ns));
    confirm_round(&node);
    assert_false(
        pd_raft_lease_valid(node.raft, node.now_ns)); /* nor by a round: it was not asked for */
    change(&node, PD_RAFT_CONF_REMOVE_NODE, 2);
    assert_true(pd_raft_lease_valid(node.raft, node.now_ns));
    one_close(&node);
}

static void item_24_a_round_long_ago_makes_no_lease(void **state)
{
    (void)state;
    struct pd_raft_config config = lease_config();
    config.election_ticks = 1000;
    config.lease_ns = UINT64_MAX / 2;
    struct one_node node;
    (void)lead(&node, &config, 3);
    confirm_round(&node);
    uint64_t sent_ns = node.now_ns;
    assert_true(pd_raft_lease_valid(node.raft, sent_ns));
    assert_false(pd_raft_lease_valid(node.raft, sent_ns - 1)); /* a clock that went back */
    for (int i = 0; i < 64; i++) {
        one_tick(&node, 1);
        one_take(&node);
    }
    assert_false(pd_raft_lease_valid(node.raft, node.now_ns));
    one_close(&node);
}

static void item_07_a_new_term_may_have_leases_again(void **state)
{
    (void)state;
    struct pd_raft_config config = lease_config();
    struct one_node node;
    uint64_t session = lead(&node, &config, 3);
    assert_int_equal(one_ack(&node, 2, session, 1), PD_OK);
    assert_int_equal(pd_raft_transfer(node.raft, 2), PD_OK);
    confirm_round(&node);
    assert_false(pd_raft_lease_valid(node.raft, node.now_ns));
    lead_again(&node);
    confirm_round(&node);
    assert_true(pd_raft_lease_valid(node.raft, node.now_ns));
    one_close(&node);
}

static void item_07_a_transfer_ends_with_its_target(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    (void)lead(&node, &config, 3);
    assert_int_equal(pd_raft_transfer(node.raft, 3), PD_OK);
    struct pd_span data = {.bytes = (const uint8_t *)"x", .size = 1};
    uint64_t index = 0;
    assert_int_equal(pd_raft_propose(node.raft, &data, 1, &index), PD_ERR_CLOSED);
    change(&node, PD_RAFT_CONF_REMOVE_NODE, 3);
    assert_int_equal(pd_raft_propose(node.raft, &data, 1, &index), PD_OK);
    one_close(&node);
}

static void item_23_a_new_configuration_may_confirm_a_read(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    (void)lead(&node, &config, 2);
    assert_int_equal(pd_raft_read_index(node.raft, 5), PD_OK);
    one_take(&node);
    assert_int_equal(node.ready.read_count, 0);
    change(&node, PD_RAFT_CONF_REMOVE_NODE, 2);
    one_take(&node);
    assert_int_equal(node.ready.read_count, 1);
    one_close(&node);
    /* And so may what it commits. */
    one_open(&node, &config, one_conf(2));
    one_elect(&node);
    one_settle(&node);
    assert_int_equal(pd_raft_read_index(node.raft, 6), PD_OK);
    one_settle(&node);
    change(&node, PD_RAFT_CONF_REMOVE_NODE, 2);
    one_take(&node);
    assert_int_equal(node.ready.read_count, 1);
    assert_int_equal(node.ready.reads[0].index, 1);
    one_close(&node);
}

static void item_23_a_removed_leader_asks_the_others(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    config.step_down_on_removal = false;
    struct one_node node;
    uint64_t session = lead(&node, &config, 2);
    change(&node, PD_RAFT_CONF_REMOVE_NODE, 1);
    assert_int_equal(one_status(&node).role, PD_RAFT_LEADER);
    assert_int_equal(pd_raft_read_index(node.raft, 5), PD_OK);
    one_take(&node);
    assert_int_equal(node.ready.read_count, 0);
    uint64_t token = one_sent(&node, PD_RAFT_MSG_HEARTBEAT, 2)->token;
    assert_int_equal(one_step(&node, heard_from(2, 1, session, token)), PD_OK);
    one_take(&node);
    assert_int_equal(node.ready.read_count, 1);
    one_close(&node);
}

static void item_23_an_answer_to_no_round_confirms_nothing(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    uint64_t session = lead(&node, &config, 3);
    assert_int_equal(one_step(&node, heard_from(2, 1, session, 1000)), PD_OK);
    assert_int_equal(pd_raft_read_index(node.raft, 5), PD_OK);
    one_take(&node);
    assert_int_equal(node.ready.read_count, 0);
    uint64_t token = one_sent(&node, PD_RAFT_MSG_HEARTBEAT, 2)->token;
    assert_int_equal(one_step(&node, heard_from(2, 1, session, token)), PD_OK);
    one_take(&node);
    assert_int_equal(node.ready.read_count, 1);
    one_close(&node);
}

static void item_23_reads_end_with_the_term_and_are_counted(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    config.reads_max = 1;
    struct one_node node;
    (void)lead(&node, &config, 3);
    assert_int_equal(pd_raft_read_index(node.raft, 5), PD_OK);
    assert_int_equal(pd_raft_read_index(node.raft, 6), PD_ERR_FULL);
    lead_again(&node);
    uint64_t token = 0;
    uint64_t session = one_session(&node, 2, &token);
    assert_int_equal(
        one_step(&node, heard_from(2, one_status(&node).hard_state.term, session, token)), PD_OK);
    one_take(&node);
    assert_int_equal(node.ready.read_count, 0);
    assert_int_equal(pd_raft_read_index(node.raft, 7), PD_OK);
    one_close(&node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(item_07_a_new_term_may_have_leases_again),
        cmocka_unit_test(item_07_a_transfer_ends_with_its_target),
        cmocka_unit_test(item_23_a_new_configuration_may_confirm_a_read),
        cmocka_unit_test(item_23_a_removed_leader_asks_the_others),
        cmocka_unit_test(item_23_an_answer_to_no_round_confirms_nothing),
        cmocka_unit_test(item_23_reads_end_with_the_term_and_are_counted),
        cmocka_unit_test(item_24_a_lease_begins_anew_with_a_configuration),
        cmocka_unit_test(item_24_the_only_voter_needs_no_lease),
        cmocka_unit_test(item_24_a_round_long_ago_makes_no_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
