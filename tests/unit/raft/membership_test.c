/* The checklist's items on membership, reads and leases (docs/raft.md, 20 to 24). */
#include "raft/one_node.h"

typedef struct pd_raft_message msg;

static enum pd_status change(struct one_node *node, enum pd_raft_conf_change_type type,
                             pd_raft_node member)
{
    struct pd_raft_conf_change wish = {.count = 1, .changes = {{type, member}}};
    uint64_t index = 0;
    return pd_raft_propose_conf_change(node->raft, &wish, true, &index);
}

/* Leads three nodes, its first entry committed and applied; session of 2. */
static uint64_t lead(struct one_node *node, const struct pd_raft_config *config)
{
    one_open(node, config, one_conf(3));
    one_elect(node);
    uint64_t session = one_session(node, 2, NULL);
    assert_int_equal(one_ack(node, 2, session, 1), PD_OK);
    one_settle(node);
    return session;
}

static void item_20_one_change_at_a_time_when_applied(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    uint64_t session = lead(&node, &config);
    assert_int_equal(change(&node, PD_RAFT_CONF_ADD_NODE, 4), PD_OK);
    assert_int_equal(one_status(&node).conf.voter_count, 3);
    /* Another takes an empty entry's shape. */
    assert_int_equal(change(&node, PD_RAFT_CONF_ADD_NODE, 5), PD_ERR_EXISTS);
    struct pd_raft_entry entry;
    assert_int_equal(pd_raft_entry_at(node.raft, 3, &entry), PD_OK);
    assert_int_equal(entry.type, PD_RAFT_ENTRY_NORMAL);
    assert_int_equal(entry.data.size, 0);
    one_take(&node);
    one_written(&node);
    assert_int_equal(one_ack(&node, 2, session, 3), PD_OK);
    one_take(&node);
    /* The commit index of the first is in a write that goes before the next change's entry. */
    assert_true(node.ready.hard_state_changed);
    assert_int_equal(node.ready.hard_state.commit, 3);
    assert_int_equal(one_status(&node).conf.voter_count, 3);
    assert_int_equal(change(&node, PD_RAFT_CONF_ADD_NODE, 5), PD_ERR_EXISTS);
    one_written(&node);
    one_apply(&node);
    assert_int_equal(one_status(&node).conf.voter_count, 4);
    assert_int_equal(change(&node, PD_RAFT_CONF_ADD_NODE, 5), PD_OK);
    one_close(&node);
    /* A new leader does not know what its log holds: nothing before that is applied. */
    struct pd_raft_restart restart = {.hard_state = {.term = 1}, .snapshot = {.conf = one_conf(3)}};
    struct pd_raft_entry old = {.term = 1, .index = 1};
    one_restart(&node, &config, &restart, &old, 1);
    one_elect(&node);
    assert_int_equal(change(&node, PD_RAFT_CONF_ADD_NODE, 4), PD_ERR_EXISTS);
    one_close(&node);
}

static void item_20_contradictions_are_refused(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(1));
    assert_int_equal(pd_raft_campaign(node.raft), PD_OK);
    one_settle(&node);
    assert_int_equal(change(&node, PD_RAFT_CONF_REMOVE_NODE, 1), PD_ERR_INVALID);
    struct pd_raft_conf_change wish = {.count = 1, .changes = {{PD_RAFT_CONF_REMOVE_NODE, 1}}};
    struct pd_raft_conf conf;
    assert_int_equal(pd_raft_apply_conf_change(node.raft, &wish, false, &conf), PD_ERR_INVALID);
    assert_int_equal(conf.voter_count, 1);
    one_close(&node);
}

static struct pd_raft_conf joint(void)
{
    struct pd_raft_conf conf = {.voters = {1, 2, 3}, .voters_outgoing = {1, 4, 5}};
    conf.voter_count = 3;
    conf.voter_outgoing_count = 3;
    return conf;
}

static void item_21_joint_needs_both_halves(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, joint());
    assert_int_equal(pd_raft_campaign(node.raft), PD_OK);
    one_settle(&node);
    msg yes = {.type = PD_RAFT_MSG_VOTE_RESP, .from = 2, .term = 1};
    assert_int_equal(one_step(&node, yes), PD_OK);
    yes.from = 3;
    assert_int_equal(one_step(&node, yes), PD_OK);
    assert_int_equal(one_status(&node).role, PD_RAFT_CANDIDATE);
    yes.from = 4;
    assert_int_equal(one_step(&node, yes), PD_OK);
    assert_int_equal(one_status(&node).role, PD_RAFT_LEADER);
    uint64_t session = one_session(&node, 2, NULL);
    uint64_t token = 0;
    uint64_t session4 = one_session(&node, 4, &token);
    assert_int_equal(one_ack(&node, 2, session, 1), PD_OK);
    assert_int_equal(one_status(&node).hard_state.commit, 0);
    assert_int_equal(one_ack(&node, 4, session4, 1), PD_OK);
    assert_int_equal(one_status(&node).hard_state.commit, 1);
    one_settle(&node);
    /* Reads too. */
    assert_int_equal(pd_raft_read_index(node.raft, 9), PD_OK);
    one_take(&node);
    token = one_sent(&node, PD_RAFT_MSG_HEARTBEAT, 2)->token;
    msg heard = {.type = PD_RAFT_MSG_HEARTBEAT_RESP, .term = 1, .token = token};
    heard.from = 2;
    heard.session = session;
    assert_int_equal(one_step(&node, heard), PD_OK);
    one_take(&node);
    assert_int_equal(node.ready.read_count, 0);
    heard.from = 4;
    heard.session = session4;
    assert_int_equal(one_step(&node, heard), PD_OK);
    one_take(&node);
    assert_int_equal(node.ready.read_count, 1);
    one_close(&node);
}

static void item_21_auto_leave_is_retried(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    uint64_t session = lead(&node, &config);
    struct pd_raft_conf_change wish = {
        .count = 2, .changes = {{PD_RAFT_CONF_ADD_NODE, 4}, {PD_RAFT_CONF_ADD_LEARNER, 3}}};
    uint64_t index = 0;
    assert_int_equal(pd_raft_propose_conf_change(node.raft, &wish, false, &index), PD_OK);
    assert_int_equal(index, 2);
    one_take(&node);
    one_written(&node);
    assert_int_equal(one_ack(&node, 2, session, 2), PD_OK);
    /* A transfer is under way while it is applied: leaving is refused, and tried again. */
    assert_int_equal(pd_raft_transfer(node.raft, 3), PD_OK);
    one_settle(&node);
    struct pd_raft_status status = one_status(&node);
    assert_int_equal(status.conf.voter_outgoing_count, 3);
    assert_true(status.conf.auto_leave);
    assert_int_equal(status.conf.learner_next_count, 1); /* demoted only when it is left */
    assert_int_equal(status.last_index, 2);
    one_tick(&node, config.election_ticks);
    one_settle(&node);
    (void)one_propose(&node, "x");
    one_settle(&node);
    assert_int_equal(one_ack(&node, 2, session, 3), PD_OK);
    one_settle(&node);
    status = one_status(&node);
    assert_int_equal(status.conf.voter_outgoing_count, 3);
    assert_int_equal(status.last_index, 4);
    assert_int_equal(one_ack(&node, 2, session, 4), PD_OK);
    one_settle(&node);
    status = one_status(&node);
    assert_int_equal(status.conf.voter_outgoing_count, 0);
    assert_int_equal(status.conf.learners[0], 3);
    one_close(&node);
}

static void item_22_removed_leader_steps_down(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    uint64_t session = lead(&node, &config);
    assert_int_equal(change(&node, PD_RAFT_CONF_REMOVE_NODE, 1), PD_OK);
    one_take(&node);
    one_written(&node);
    assert_int_equal(one_ack(&node, 2, session, 2), PD_OK);
    one_settle(&node);
    assert_int_equal(one_status(&node).role, PD_RAFT_FOLLOWER);
    one_close(&node);
}

/* The removal of 1 is committed and 1 knows; 3 has the entry and does not, when 2 goes: of three
 * that it still counts only 1 can elect it. */
static void item_22_a_removed_node_still_votes(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    struct pd_raft_conf_change out = {.count = 1, .changes = {{PD_RAFT_CONF_REMOVE_NODE, 1}}};
    assert_int_equal(pd_raft_apply_conf_change(node.raft, &out, false, NULL), PD_OK);
    assert_int_equal(one_status(&node).conf.voter_count, 2);
    msg request = {
        .type = PD_RAFT_MSG_VOTE, .from = 3, .to = 1, .term = 2, .log_term = 1, .index = 1};
    assert_int_equal(one_step(&node, request), PD_OK);
    one_take(&node);
    const struct pd_raft_message *answer = one_after(&node, PD_RAFT_MSG_VOTE_RESP, 3);
    assert_non_null(answer);
    assert_false(answer->reject);
    one_close(&node);
}

static void item_22_acks_of_an_earlier_membership_do_not_count(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    uint64_t session = lead(&node, &config);
    uint64_t session3 = one_session(&node, 3, NULL);
    struct pd_raft_conf_change out = {.count = 1, .changes = {{PD_RAFT_CONF_REMOVE_NODE, 3}}};
    struct pd_raft_conf_change in = {.count = 1, .changes = {{PD_RAFT_CONF_ADD_NODE, 3}}};
    assert_int_equal(pd_raft_apply_conf_change(node.raft, &out, false, NULL), PD_OK);
    assert_int_equal(pd_raft_apply_conf_change(node.raft, &in, false, NULL), PD_OK);
    uint64_t index = one_propose(&node, "x");
    one_take(&node);
    one_written(&node);
    /* 3 came back without its log; what it acknowledged before is gone. */
    assert_int_equal(one_ack(&node, 3, session3, index), PD_ERR_INVALID);
    assert_int_equal(one_status(&node).hard_state.commit, 1);
    assert_int_equal(one_ack(&node, 2, session, index), PD_OK);
    assert_int_equal(one_status(&node).hard_state.commit, index);
    one_close(&node);
}

static void item_23_reads_wait_for_an_own_commit_and_a_round(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    one_elect(&node);
    uint64_t token = 0;
    uint64_t session = one_session(&node, 2, &token);
    msg heard = {.type = PD_RAFT_MSG_HEARTBEAT_RESP,
                 .from = 2,
                 .term = 1,
                 .token = token,
                 .session = session};
    assert_int_equal(pd_raft_read_index(node.raft, 5), PD_OK);
    assert_int_equal(one_step(&node, heard), PD_OK);
    one_take(&node);
    assert_int_equal(node.ready.read_count, 0);
    one_written(&node);
    assert_int_equal(one_ack(&node, 2, session, 1), PD_OK);
    one_take(&node);
    assert_int_equal(node.ready.read_count, 0);
    uint64_t round = one_sent(&node, PD_RAFT_MSG_HEARTBEAT, 2)->token;
    assert_true(round > token);
    /* A second read, and answers to rounds from before either. */
    assert_int_equal(pd_raft_read_index(node.raft, 6), PD_OK);
    one_take(&node);
    uint64_t second = one_sent(&node, PD_RAFT_MSG_HEARTBEAT, 2)->token;
    assert_true(second > round);
    assert_int_equal(one_step(&node, heard), PD_OK);
    one_take(&node);
    assert_int_equal(node.ready.read_count, 0);
    heard.token = round;
    assert_int_equal(one_step(&node, heard), PD_OK);
    one_take(&node);
    assert_int_equal(node.ready.read_count, 1);
    assert_int_equal(node.ready.reads[0].context, 5);
    assert_int_equal(node.ready.reads[0].index, 1);
    heard.token = second;
    assert_int_equal(one_step(&node, heard), PD_OK);
    one_take(&node);
    assert_int_equal(node.ready.reads[0].context, 6);
    /* Reads between two Readys share a round; a follower's read is answered to it. */
    assert_int_equal(pd_raft_read_index(node.raft, 7), PD_OK);
    assert_int_equal(one_step(&node, (msg){.type = PD_RAFT_MSG_READ_INDEX, .from = 3, .token = 8}),
                     PD_OK);
    one_take(&node);
    heard.token = one_sent(&node, PD_RAFT_MSG_HEARTBEAT, 2)->token;
    assert_int_equal(heard.token, second + 1);
    assert_int_equal(one_step(&node, heard), PD_OK);
    one_take(&node);
    assert_int_equal(node.ready.read_count, 1);
    assert_int_equal(one_sent(&node, PD_RAFT_MSG_READ_INDEX_RESP, 3)->token, 8);
    one_close(&node);
}

static void item_24_leases_count_from_sending(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    config.check_quorum = true;
    config.lease_reads = true;
    config.lease_ns = 450;
    struct one_node node;
    uint64_t session = lead(&node, &config);
    uint64_t token = 0;
    (void)one_session(&node, 2, &token);
    uint64_t sent_ns = node.now_ns;
    assert_false(pd_raft_lease_valid(node.raft, sent_ns));
    one_tick(&node, 3);
    msg heard = {.type = PD_RAFT_MSG_HEARTBEAT_RESP,
                 .from = 2,
                 .term = 1,
                 .token = token,
                 .session = session};
    assert_int_equal(one_step(&node, heard), PD_OK);
    assert_true(pd_raft_lease_valid(node.raft, sent_ns + 449));
    assert_false(pd_raft_lease_valid(node.raft, sent_ns + 450));
    /* Another configuration, other voters: begin anew. */
    struct pd_raft_conf_change in = {.count = 1, .changes = {{PD_RAFT_CONF_ADD_NODE, 4}}};
    assert_int_equal(pd_raft_apply_conf_change(node.raft, &in, false, NULL), PD_OK);
    assert_false(pd_raft_lease_valid(node.raft, sent_ns + 10));
    one_close(&node);
    /* A voter that restarted may have promised a lease before. */
    struct pd_raft_restart restart = {.hard_state = {.term = 1}, .snapshot = {.conf = one_conf(3)}};
    one_restart(&node, &config, &restart, NULL, 0);
    msg ask = {.type = PD_RAFT_MSG_VOTE, .from = 3, .term = 2};
    assert_int_equal(one_step(&node, ask), PD_OK);
    assert_int_equal(one_status(&node).hard_state.term, 1);
    one_close(&node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(item_20_one_change_at_a_time_when_applied),
        cmocka_unit_test(item_20_contradictions_are_refused),
        cmocka_unit_test(item_21_joint_needs_both_halves),
        cmocka_unit_test(item_21_auto_leave_is_retried),
        cmocka_unit_test(item_22_removed_leader_steps_down),
        cmocka_unit_test(item_22_a_removed_node_still_votes),
        cmocka_unit_test(item_22_acks_of_an_earlier_membership_do_not_count),
        cmocka_unit_test(item_23_reads_wait_for_an_own_commit_and_a_round),
        cmocka_unit_test(item_24_leases_count_from_sending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
