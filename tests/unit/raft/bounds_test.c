/* What is full, lost, replaced or claimed without truth: the rules of docs/raft.md at their
 * edges. */
#include "raft/one_node.h"

typedef struct pd_raft_message msg;

static msg append(uint64_t term, uint64_t log_term, uint64_t index,
                  const struct pd_raft_entry *entries, uint32_t count, uint64_t commit)
{
    return (msg){.type = PD_RAFT_MSG_APP,
                 .from = 2,
                 .term = term,
                 .log_term = log_term,
                 .index = index,
                 .commit = commit,
                 .session = 77,
                 .entries = entries,
                 .entry_count = count};
}

static void item_09_what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    struct pd_raft_entry entry = {.term = 1, .index = 1};
    one_open(&node, &config, one_conf(3));
    assert_int_equal(one_step(&node, append(1, 0, 0, &entry, 1, 0)), PD_OK);
    msg beat = {.type = PD_RAFT_MSG_HEARTBEAT, .from = 2, .term = 1, .commit = 2};
    assert_int_equal(one_step(&node, beat), PD_ERR_INVALID);
    assert_int_equal(one_status(&node).hard_state.commit, 0);
    one_close(&node);
    one_open(&node, &config, one_conf(3));
    one_elect(&node);
    uint64_t session = one_session(&node, 2, NULL);
    assert_int_equal(one_ack(&node, 2, session, 2), PD_ERR_INVALID);
    struct pd_raft_status status = one_status(&node);
    assert_int_equal(one_member(&status, 2)->match, 0);
    one_close(&node);
}

static void item_12_an_append_without_room_goes_later(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    config.messages_max = 2 * PD_RAFT_MEMBERS_MAX;
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    one_elect(&node);
    uint64_t session = one_session(&node, 2, NULL);
    assert_int_equal(one_ack(&node, 2, session, 1), PD_OK);
    one_settle(&node);
    one_tick(&node, 40);
    (void)one_propose(&node, "x");
    one_take(&node);
    assert_null(one_sent(&node, PD_RAFT_MSG_APP, 2));
    assert_true(pd_raft_has_ready(node.raft));
    one_take(&node);
    assert_int_equal(one_sent(&node, PD_RAFT_MSG_APP, 2)->entries[0].index, 2);
    one_close(&node);
}

static void item_13_proposals_leave_room_for_what_must_be_written(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    config.log_entries_max = 4;
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    one_elect(&node);
    one_settle(&node);
    (void)one_propose(&node, "a");
    (void)one_propose(&node, "b");
    (void)one_propose(&node, "c");
    struct pd_span data = {.bytes = (const uint8_t *)"d", .size = 1};
    uint64_t index = 0;
    assert_int_equal(pd_raft_propose(node.raft, &data, 1, &index), PD_ERR_FULL);
    uint64_t session = one_session(&node, 2, NULL);
    assert_int_equal(one_ack(&node, 2, session, 4), PD_OK);
    one_settle(&node);
    struct pd_raft_conf_change change = {.count = 1, .changes = {{PD_RAFT_CONF_ADD_LEARNER, 4}}};
    assert_int_equal(pd_raft_propose_conf_change(node.raft, &change, true, &index), PD_OK);
    one_close(&node);
    /* Without a slot for a leader's first entry there is no campaign. */
    struct pd_raft_entry entries[80];
    for (uint32_t i = 0; i < 80; i++) {
        entries[i] = (struct pd_raft_entry){.term = 1, .index = i + 1};
    }
    one_open(&node, &config, one_conf(3));
    assert_int_equal(one_step(&node, append(1, 0, 0, entries, 80, 0)), PD_OK);
    assert_true(one_status(&node).last_index < 80);
    one_settle(&node);
    assert_int_equal(pd_raft_campaign(node.raft), PD_OK);
    assert_int_equal(one_status(&node).role, PD_RAFT_FOLLOWER);
    one_close(&node);
}

static void item_14_an_own_ack_is_never_lost(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(1));
    one_elect(&node);
    one_settle(&node);
    uint64_t last = 0;
    for (int i = 0; i < 180; i++) { /* more than messages_max */
        last = one_propose(&node, "x");
    }
    one_settle(&node);
    assert_int_equal(one_status(&node).hard_state.commit, last);
    one_close(&node);
}

static void item_14_cut_appends_are_lost_like_on_the_way(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    one_elect(&node);
    uint64_t session = one_session(&node, 2, NULL);
    assert_int_equal(one_ack(&node, 2, session, 1), PD_OK);
    one_settle(&node);
    (void)one_propose(&node, "old");
    struct pd_raft_entry entry = {
        .term = 2, .index = 2, .data = {.bytes = (const uint8_t *)"new", .size = 3}};
    assert_int_equal(one_step(&node, append(2, 1, 1, &entry, 1, 1)), PD_OK);
    one_take(&node);
    assert_null(one_sent(&node, PD_RAFT_MSG_APP, 2));
    assert_int_equal(node.ready.entry_count, 1);
    assert_memory_equal(node.ready.entries[0].data.bytes, "new", 3);
    one_close(&node);
    /* And those whose entries are compacted. */
    one_open(&node, &config, one_conf(1));
    one_elect(&node);
    (void)one_propose(&node, "x");
    one_settle(&node);
    struct pd_raft_conf_change change = {.count = 1, .changes = {{PD_RAFT_CONF_ADD_LEARNER, 2}}};
    struct pd_raft_snapshot_meta meta = {.index = 2, .term = 1};
    assert_int_equal(pd_raft_apply_conf_change(node.raft, &change, false, &meta.conf), PD_OK);
    pd_raft_snapshot_available(node.raft, &meta);
    pd_raft_compact(node.raft, 2);
    one_take(&node);
    assert_null(one_sent(&node, PD_RAFT_MSG_APP, 2));
    one_close(&node);
}

static void item_15_what_replaces_a_write_under_way_is_written(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    struct pd_raft_entry first[] = {
        {.term = 1, .index = 1}, {.term = 1, .index = 2}, {.term = 1, .index = 3}};
    struct pd_raft_entry second[] = {{.term = 2, .index = 2}, {.term = 2, .index = 3}};
    one_open(&node, &config, one_conf(3));
    assert_int_equal(one_step(&node, append(1, 0, 0, first, 3, 0)), PD_OK);
    one_take(&node);
    assert_int_equal(one_step(&node, append(2, 1, 1, second, 2, 0)), PD_OK);
    one_take(&node);
    assert_int_equal(node.ready.entry_count, 2);
    assert_int_equal(node.ready.entries[0].term, 2);
    assert_int_equal(node.ready.entries[0].index, 2);
    one_close(&node);
}

static void item_18_what_is_not_durable_is_not_compacted(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    config.apply_unstable = true;
    struct one_node node;
    struct pd_raft_entry entries[] = {{.term = 1, .index = 1}, {.term = 1, .index = 2}};
    one_open(&node, &config, one_conf(3));
    assert_int_equal(one_step(&node, append(1, 0, 0, entries, 2, 2)), PD_OK);
    one_take(&node);
    struct pd_raft_append_mark mark = node.ready.append_mark;
    assert_int_equal(node.ready.committed_count, 2);
    one_apply(&node);
    struct pd_raft_snapshot_meta meta = {.index = 2, .term = 1, .conf = one_conf(3)};
    pd_raft_snapshot_available(node.raft, &meta);
    pd_raft_compact(node.raft, 2);
    assert_int_equal(one_status(&node).first_index, 1);
    pd_raft_append_done(node.raft, &mark);
    /* An older one changes nothing. */
    struct pd_raft_snapshot_meta older = {.index = 1, .term = 1, .conf = one_conf(3)};
    pd_raft_snapshot_available(node.raft, &older);
    pd_raft_compact(node.raft, 2);
    assert_int_equal(one_status(&node).first_index, 3);
    one_close(&node);
}

static void item_18_snapshots_go_to_the_living_and_help(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    config.check_quorum = true;
    struct one_node node;
    /* Its own snapshot is older than the one of another's that its log begins with. */
    struct pd_raft_restart restart = {
        .hard_state = {.term = 1, .commit = 2},
        .snapshot = {.index = 2, .term = 1, .conf = one_conf(3)},
        .applied = 2,
    };
    struct pd_raft_snapshot_meta meta = {.index = 5, .term = 1, .conf = one_conf(3)};
    one_restart(&node, &config, &restart, NULL, 0);
    msg snapshot = {
        .type = PD_RAFT_MSG_SNAP, .from = 2, .term = 1, .session = 77, .snapshot = &meta};
    assert_int_equal(one_step(&node, snapshot), PD_OK);
    one_settle(&node);
    one_elect(&node);
    one_settle(&node);
    assert_int_equal(one_ack(&node, 2, one_session(&node, 2, NULL), 6), PD_OK);
    one_settle(&node);
    uint64_t session = one_session(&node, 3, NULL);
    msg no = {.type = PD_RAFT_MSG_APP_RESP,
              .from = 3,
              .term = 2,
              .index = 5,
              .reject = true,
              .session = session};
    assert_int_equal(one_step(&node, no), PD_OK);
    one_take(&node);
    assert_null(one_sent(&node, PD_RAFT_MSG_SNAP, 3));
    /* Now there is one that helps, but node 3 was not heard of since the quorum was looked at. */
    one_tick(&node, config.election_ticks);
    pd_raft_snapshot_available(node.raft, &meta);
    (void)one_propose(&node, "x");
    one_take(&node);
    assert_null(one_sent(&node, PD_RAFT_MSG_SNAP, 3));
    msg heard = {.type = PD_RAFT_MSG_HEARTBEAT_RESP, .from = 3, .term = 2, .session = session};
    assert_int_equal(one_step(&node, heard), PD_OK);
    one_take(&node);
    assert_int_equal(one_sent(&node, PD_RAFT_MSG_SNAP, 3)->snapshot->index, 5);
    assert_int_equal(one_sent(&node, PD_RAFT_MSG_SNAP, 3)->session, session);
    one_close(&node);
}

static void item_20_a_new_member_is_taken_for_alive(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    config.check_quorum = true;
    struct one_node node;
    one_open(&node, &config, one_conf(1));
    one_elect(&node);
    one_settle(&node);
    struct pd_raft_conf_change change = {.count = 1, .changes = {{PD_RAFT_CONF_ADD_NODE, 2}}};
    assert_int_equal(pd_raft_apply_conf_change(node.raft, &change, false, NULL), PD_OK);
    one_tick(&node, config.election_ticks);
    assert_int_equal(one_status(&node).role, PD_RAFT_LEADER);
    one_tick(&node, config.election_ticks);
    assert_int_equal(one_status(&node).role, PD_RAFT_FOLLOWER);
    one_close(&node);
}

static void item_22_every_answer_echoes_the_session(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    struct pd_raft_entry entry = {.term = 1, .index = 1};
    one_open(&node, &config, one_conf(3));
    assert_int_equal(one_step(&node, append(1, 0, 0, &entry, 1, 0)), PD_OK);
    one_take(&node);
    assert_int_equal(one_after(&node, PD_RAFT_MSG_APP_RESP, 2)->session, 77);
    assert_int_equal(one_step(&node, append(1, 1, 5, NULL, 0, 0)), PD_OK);
    one_take(&node);
    assert_true(one_after(&node, PD_RAFT_MSG_APP_RESP, 2)->reject);
    assert_int_equal(one_after(&node, PD_RAFT_MSG_APP_RESP, 2)->session, 77);
    msg beat = {.type = PD_RAFT_MSG_HEARTBEAT, .from = 2, .term = 1, .session = 78};
    assert_int_equal(one_step(&node, beat), PD_OK);
    one_take(&node);
    assert_int_equal(one_sent(&node, PD_RAFT_MSG_HEARTBEAT_RESP, 2)->session, 78);
    struct pd_raft_snapshot_meta meta = {.index = 5, .term = 1, .conf = one_conf(3)};
    msg snapshot = {
        .type = PD_RAFT_MSG_SNAP, .from = 2, .term = 1, .session = 79, .snapshot = &meta};
    assert_int_equal(one_step(&node, snapshot), PD_OK);
    one_take(&node);
    assert_int_equal(one_after(&node, PD_RAFT_MSG_APP_RESP, 2)->session, 79);
    one_close(&node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(item_09_what_cannot_be_is_refused),
        cmocka_unit_test(item_12_an_append_without_room_goes_later),
        cmocka_unit_test(item_13_proposals_leave_room_for_what_must_be_written),
        cmocka_unit_test(item_14_an_own_ack_is_never_lost),
        cmocka_unit_test(item_14_cut_appends_are_lost_like_on_the_way),
        cmocka_unit_test(item_15_what_replaces_a_write_under_way_is_written),
        cmocka_unit_test(item_18_what_is_not_durable_is_not_compacted),
        cmocka_unit_test(item_18_snapshots_go_to_the_living_and_help),
        cmocka_unit_test(item_20_a_new_member_is_taken_for_alive),
        cmocka_unit_test(item_22_every_answer_echoes_the_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
