/* The checklist's items on elections (docs/raft.md, 1 to 7). */
#include "raft/one_node.h"

typedef struct pd_raft_message msg;

static msg vote(pd_raft_node from, uint64_t term, uint64_t log_term, uint64_t index)
{
    return (msg){
        .type = PD_RAFT_MSG_VOTE, .from = from, .term = term, .log_term = log_term, .index = index};
}

static void item_01_vote_is_durable_before_it_leaves(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    assert_int_equal(one_step(&node, vote(2, 5, 0, 0)), PD_OK);
    one_take(&node);
    assert_true(node.ready.hard_state_changed);
    assert_true(node.ready.must_sync);
    assert_int_equal(node.ready.hard_state.term, 5);
    assert_int_equal(node.ready.hard_state.vote, 2);
    assert_null(one_sent(&node, PD_RAFT_MSG_VOTE_RESP, 2));
    assert_non_null(one_after(&node, PD_RAFT_MSG_VOTE_RESP, 2));
    one_close(&node);
    /* Its own vote as well: alone, it does not lead before that is written. */
    one_open(&node, &config, one_conf(1));
    assert_int_equal(pd_raft_campaign(node.raft), PD_OK);
    one_take(&node);
    assert_int_equal(one_status(&node).role, PD_RAFT_CANDIDATE);
    assert_non_null(one_after(&node, PD_RAFT_MSG_VOTE_RESP, 1));
    assert_null(one_sent(&node, PD_RAFT_MSG_VOTE_RESP, 1));
    one_written(&node);
    assert_int_equal(one_status(&node).role, PD_RAFT_LEADER);
    one_close(&node);
}

static void item_02_vote_goes_to_the_better_log_once(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    struct pd_raft_restart restart = {.hard_state = {.term = 3}, .snapshot = {.conf = one_conf(3)}};
    struct pd_raft_entry entries[] = {{.term = 2, .index = 1}, {.term = 3, .index = 2}};
    one_restart(&node, &config, &restart, entries, 2);
    assert_int_equal(one_step(&node, vote(2, 4, 2, 9)), PD_OK);
    one_take(&node);
    assert_true(one_after(&node, PD_RAFT_MSG_VOTE_RESP, 2)->reject);
    assert_int_equal(one_step(&node, vote(2, 4, 3, 1)), PD_OK);
    one_take(&node);
    assert_true(one_after(&node, PD_RAFT_MSG_VOTE_RESP, 2)->reject);
    assert_int_equal(one_step(&node, vote(2, 4, 3, 2)), PD_OK);
    one_take(&node);
    assert_false(one_after(&node, PD_RAFT_MSG_VOTE_RESP, 2)->reject);
    /* Another one in the same term is refused, a repeat is not. */
    assert_int_equal(one_step(&node, vote(3, 4, 3, 5)), PD_OK);
    one_take(&node);
    assert_true(one_after(&node, PD_RAFT_MSG_VOTE_RESP, 3)->reject);
    assert_int_equal(one_step(&node, vote(2, 4, 3, 2)), PD_OK);
    one_take(&node);
    assert_false(one_after(&node, PD_RAFT_MSG_VOTE_RESP, 2)->reject);
    one_close(&node);
    /* A vote that was written counts after a restart too. */
    restart.hard_state.vote = 3;
    one_restart(&node, &config, &restart, entries, 2);
    assert_int_equal(one_step(&node, vote(2, 3, 3, 2)), PD_OK);
    one_take(&node);
    assert_true(one_after(&node, PD_RAFT_MSG_VOTE_RESP, 2)->reject);
    one_close(&node);
}

static void item_03_pre_vote_changes_no_term(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    struct pd_raft_restart restart = {.hard_state = {.term = 3}, .snapshot = {.conf = one_conf(3)}};
    one_restart(&node, &config, &restart, NULL, 0);
    msg ask = {.type = PD_RAFT_MSG_PRE_VOTE, .from = 2, .term = 9};
    assert_int_equal(one_step(&node, ask), PD_OK);
    one_take(&node);
    assert_int_equal(one_status(&node).hard_state.term, 3);
    assert_int_equal(one_status(&node).hard_state.vote, 0);
    const msg *answer = one_after(&node, PD_RAFT_MSG_PRE_VOTE_RESP, 2);
    assert_false(answer->reject);
    assert_int_equal(answer->term, 9);
    /* A rejection carries the voter's own term. */
    ask.term = 2;
    assert_int_equal(one_step(&node, ask), PD_OK);
    one_take(&node);
    answer = one_after(&node, PD_RAFT_MSG_PRE_VOTE_RESP, 2);
    assert_true(answer->reject);
    assert_int_equal(answer->term, 3);
    one_close(&node);
    /* The one who asks keeps its term until a majority said yes. */
    config.pre_vote = true;
    one_restart(&node, &config, &restart, NULL, 0);
    assert_int_equal(pd_raft_campaign(node.raft), PD_OK);
    one_take(&node);
    assert_int_equal(one_sent(&node, PD_RAFT_MSG_PRE_VOTE, 2)->term, 4);
    assert_false(node.ready.hard_state_changed);
    one_written(&node);
    msg yes = {.type = PD_RAFT_MSG_PRE_VOTE_RESP, .from = 2, .term = 4};
    assert_int_equal(one_step(&node, yes), PD_OK);
    assert_int_equal(one_status(&node).role, PD_RAFT_CANDIDATE);
    assert_int_equal(one_status(&node).hard_state.term, 4);
    one_close(&node);
}

static void item_04_check_quorum_keeps_a_lease(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    config.check_quorum = true;
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    msg heartbeat = {.type = PD_RAFT_MSG_HEARTBEAT, .from = 2, .term = 2};
    assert_int_equal(one_step(&node, heartbeat), PD_OK);
    one_settle(&node);
    msg ask = vote(3, 5, 9, 9);
    assert_int_equal(one_step(&node, ask), PD_OK);
    one_take(&node);
    assert_int_equal(one_status(&node).hard_state.term, 2);
    assert_null(one_after(&node, PD_RAFT_MSG_VOTE_RESP, 3));
    /* A transfer forces it. */
    ask.is_transfer = true;
    assert_int_equal(one_step(&node, ask), PD_OK);
    one_take(&node);
    assert_false(one_after(&node, PD_RAFT_MSG_VOTE_RESP, 3)->reject);
    one_written(&node);
    /* A leader of an older term is told, or it would never hear of this one. */
    assert_int_equal(one_step(&node, heartbeat), PD_OK);
    one_take(&node);
    assert_int_equal(one_after(&node, PD_RAFT_MSG_APP_RESP, 2)->term, 5);
    one_close(&node);
    /* A leader that hears nobody steps down. */
    one_open(&node, &config, one_conf(3));
    one_elect(&node);
    one_tick(&node, 2 * config.election_ticks);
    assert_int_equal(one_status(&node).role, PD_RAFT_FOLLOWER);
    one_close(&node);
}

static void item_05_who_may_not_campaign(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    uint8_t bytes[PD_RAFT_CONF_CHANGE_BYTES];
    size_t size = 0;
    struct pd_raft_conf_change change = {.count = 1, .changes = {{PD_RAFT_CONF_REMOVE_NODE, 3}}};
    assert_int_equal(pd_raft_conf_change_encode(&change, true, bytes, sizeof bytes, &size), PD_OK);
    struct pd_raft_entry entry = {.term = 1,
                                  .index = 1,
                                  .type = PD_RAFT_ENTRY_CONF_CHANGE,
                                  .data = {.bytes = bytes, .size = size}};
    struct pd_raft_restart restart = {.hard_state = {.term = 1, .commit = 1},
                                      .snapshot = {.conf = one_conf(3)}};
    /* A committed change is not applied. */
    one_restart(&node, &config, &restart, &entry, 1);
    assert_int_equal(pd_raft_campaign(node.raft), PD_OK);
    assert_int_equal(one_status(&node).role, PD_RAFT_FOLLOWER);
    one_settle(&node);
    assert_int_equal(one_status(&node).conf.voter_count, 2);
    assert_int_equal(pd_raft_campaign(node.raft), PD_OK);
    assert_int_equal(one_status(&node).role, PD_RAFT_CANDIDATE);
    one_close(&node);
    /* A learner, and one that is no member. */
    struct pd_raft_conf learner = {.voters = {2}, .learners = {1}};
    learner.voter_count = 1;
    learner.learner_count = 1;
    one_open(&node, &config, learner);
    assert_int_equal(pd_raft_campaign(node.raft), PD_OK);
    assert_int_equal(one_status(&node).role, PD_RAFT_FOLLOWER);
    one_close(&node);
    one_open(&node, &config, (struct pd_raft_conf){.voters = {2}, .voter_count = 1});
    assert_int_equal(pd_raft_campaign(node.raft), PD_OK);
    assert_int_equal(one_status(&node).role, PD_RAFT_FOLLOWER);
    one_close(&node);
    /* A snapshot is not yet durable. */
    one_open(&node, &config, one_conf(3));
    struct pd_raft_snapshot_meta meta = {.index = 9, .term = 2, .conf = one_conf(3)};
    msg snapshot = {.type = PD_RAFT_MSG_SNAP, .from = 2, .term = 2, .snapshot = &meta};
    assert_int_equal(one_step(&node, snapshot), PD_OK);
    assert_int_equal(pd_raft_campaign(node.raft), PD_OK);
    assert_int_equal(one_status(&node).role, PD_RAFT_FOLLOWER);
    one_settle(&node);
    assert_int_equal(pd_raft_campaign(node.raft), PD_OK);
    assert_int_equal(one_status(&node).role, PD_RAFT_CANDIDATE);
    one_close(&node);
}

static void item_06_learners_answer_votes(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    struct pd_raft_conf conf = {.voters = {2, 3}, .learners = {1}};
    conf.voter_count = 2;
    conf.learner_count = 1;
    one_open(&node, &config, conf);
    assert_int_equal(one_step(&node, vote(2, 2, 1, 1)), PD_OK);
    one_take(&node);
    assert_non_null(one_after(&node, PD_RAFT_MSG_VOTE_RESP, 2));
    assert_false(one_after(&node, PD_RAFT_MSG_VOTE_RESP, 2)->reject);
    one_close(&node);
}

static void item_07_transfer_of_leadership(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    one_elect(&node);
    uint64_t session = one_session(&node, 2, NULL);
    /* 2 is behind: it is caught up first, and meanwhile nothing is proposed. */
    assert_int_equal(pd_raft_transfer(node.raft, 2), PD_OK);
    one_take(&node);
    assert_null(one_sent(&node, PD_RAFT_MSG_TIMEOUT_NOW, 2));
    struct pd_span data = {.bytes = (const uint8_t *)"x", .size = 1};
    uint64_t index = 0;
    assert_int_equal(pd_raft_propose(node.raft, &data, 1, &index), PD_ERR_CLOSED);
    assert_int_equal(one_ack(&node, 2, session, 1), PD_OK);
    one_take(&node);
    assert_non_null(one_sent(&node, PD_RAFT_MSG_TIMEOUT_NOW, 2));
    /* It did not happen within an election timeout: lead on. */
    one_tick(&node, config.election_ticks);
    assert_int_equal(one_status(&node).transferee, 0);
    assert_int_equal(pd_raft_propose(node.raft, &data, 1, &index), PD_OK);
    one_close(&node);
    /* The one it goes to skips the pre-vote, and says that it is a transfer. */
    config.pre_vote = true;
    one_open(&node, &config, one_conf(3));
    assert_int_equal(one_step(&node, (msg){.type = PD_RAFT_MSG_HEARTBEAT, .from = 2, .term = 1}),
                     PD_OK);
    assert_int_equal(one_step(&node, (msg){.type = PD_RAFT_MSG_TIMEOUT_NOW, .from = 2, .term = 1}),
                     PD_OK);
    one_take(&node);
    assert_true(one_sent(&node, PD_RAFT_MSG_VOTE, 3)->is_transfer);
    one_close(&node);
}

static void item_07_transfer_revokes_the_lease(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    config.check_quorum = true;
    config.lease_reads = true;
    config.lease_ns = 1000;
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    one_elect(&node);
    uint64_t token = 0;
    uint64_t session = one_session(&node, 2, &token);
    assert_int_equal(one_ack(&node, 2, session, 1), PD_OK);
    msg answer = {.type = PD_RAFT_MSG_HEARTBEAT_RESP,
                  .from = 2,
                  .term = 1,
                  .token = token,
                  .session = session};
    assert_int_equal(one_step(&node, answer), PD_OK);
    assert_true(pd_raft_lease_valid(node.raft, node.now_ns));
    assert_int_equal(pd_raft_transfer(node.raft, 2), PD_OK);
    assert_false(pd_raft_lease_valid(node.raft, node.now_ns));
    /* Nor after it was given up: the word to campaign may still be on its way. */
    one_tick(&node, config.election_ticks);
    one_take(&node);
    answer.token = token + config.election_ticks;
    assert_int_equal(one_step(&node, answer), PD_OK);
    assert_int_equal(one_status(&node).transferee, 0);
    assert_false(pd_raft_lease_valid(node.raft, node.now_ns));
    one_close(&node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(item_01_vote_is_durable_before_it_leaves),
        cmocka_unit_test(item_02_vote_goes_to_the_better_log_once),
        cmocka_unit_test(item_03_pre_vote_changes_no_term),
        cmocka_unit_test(item_04_check_quorum_keeps_a_lease),
        cmocka_unit_test(item_05_who_may_not_campaign),
        cmocka_unit_test(item_06_learners_answer_votes),
        cmocka_unit_test(item_07_transfer_of_leadership),
        cmocka_unit_test(item_07_transfer_revokes_the_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
