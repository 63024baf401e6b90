/* The checklist's items on the log, asynchronous storage and snapshots (docs/raft.md, 8 to 19). */
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

static void item_08_old_term_entries_do_not_commit(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    struct pd_raft_restart restart = {.hard_state = {.term = 2}, .snapshot = {.conf = one_conf(3)}};
    struct pd_raft_entry entries[] = {{.term = 1, .index = 1}, {.term = 2, .index = 2}};
    one_restart(&node, &config, &restart, entries, 2);
    one_elect(&node);
    uint64_t session = one_session(&node, 2, NULL);
    assert_int_equal(one_ack(&node, 2, session, 2), PD_OK);
    assert_int_equal(one_status(&node).hard_state.commit, 0);
    /* Its own first entry takes them along. */
    assert_int_equal(one_ack(&node, 2, session, 3), PD_OK);
    assert_int_equal(one_status(&node).hard_state.commit, 3);
    one_close(&node);
}

static void item_09_follower_vouches_for_what_was_verified(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    struct pd_raft_restart restart = {.hard_state = {.term = 2}, .snapshot = {.conf = one_conf(3)}};
    struct pd_raft_entry entries[] = {
        {.term = 1, .index = 1}, {.term = 2, .index = 2}, {.term = 2, .index = 3}};
    one_restart(&node, &config, &restart, entries, 3);
    /* Entries 2 and 3 are of another leader; this append says nothing about them. */
    assert_int_equal(one_step(&node, append(3, 1, 1, NULL, 0, 3)), PD_OK);
    one_take(&node);
    assert_int_equal(one_after(&node, PD_RAFT_MSG_APP_RESP, 2)->index, 1);
    assert_int_equal(one_status(&node).hard_state.commit, 1);
    one_close(&node);
    /* A leader's heartbeat tells no more than the follower was shown to hold. */
    one_open(&node, &config, one_conf(3));
    one_elect(&node);
    uint64_t session = one_session(&node, 2, NULL);
    assert_int_equal(one_ack(&node, 2, session, 1), PD_OK);
    one_settle(&node);
    one_tick(&node, 1);
    one_take(&node);
    assert_int_equal(one_sent(&node, PD_RAFT_MSG_HEARTBEAT, 2)->commit, 1);
    assert_int_equal(one_sent(&node, PD_RAFT_MSG_HEARTBEAT, 3)->commit, 0);
    one_close(&node);
}

static void item_10_late_appends_do_not_truncate(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    struct pd_raft_entry entries[] = {
        {.term = 1, .index = 1}, {.term = 1, .index = 2}, {.term = 1, .index = 3}};
    assert_int_equal(one_step(&node, append(1, 0, 0, entries, 3, 0)), PD_OK);
    assert_int_equal(one_step(&node, append(1, 0, 0, entries, 1, 0)), PD_OK);
    assert_int_equal(one_status(&node).last_index, 3);
    assert_int_equal(one_step(&node, append(1, 1, 1, NULL, 0, 1)), PD_OK);
    assert_int_equal(one_status(&node).last_index, 3);
    /* What is committed cannot be contradicted: such a message is refused. */
    struct pd_raft_entry other = {.term = 2, .index = 2};
    assert_int_equal(one_step(&node, append(2, 1, 1, NULL, 0, 1)), PD_OK);
    assert_int_equal(one_step(&node, append(2, 1, 2, NULL, 0, 2)), PD_OK);
    assert_int_equal(one_status(&node).hard_state.commit, 2);
    assert_int_equal(one_step(&node, append(3, 1, 1, &other, 1, 2)), PD_OK);
    struct pd_raft_entry kept;
    assert_int_equal(pd_raft_entry_at(node.raft, 2, &kept), PD_OK);
    assert_int_equal(kept.term, 1);
    one_close(&node);
}

static void item_11_conflict_hints(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    struct pd_raft_restart restart = {.hard_state = {.term = 5}, .snapshot = {.conf = one_conf(3)}};
    struct pd_raft_entry entries[] = {{.term = 1, .index = 1},
                                      {.term = 3, .index = 2},
                                      {.term = 3, .index = 3},
                                      {.term = 5, .index = 4}};
    one_restart(&node, &config, &restart, entries, 4);
    /* The follower skips all of its terms that are later than the leader's. */
    assert_int_equal(one_step(&node, append(6, 2, 4, NULL, 0, 0)), PD_OK);
    one_take(&node);
    const msg *answer = one_after(&node, PD_RAFT_MSG_APP_RESP, 2);
    assert_true(answer->reject);
    assert_int_equal(answer->index, 4);
    assert_int_equal(answer->reject_hint, 1);
    assert_int_equal(answer->log_term, 1);
    one_close(&node);
    /* The leader, all of its own that are later than the follower's. */
    one_restart(&node, &config, &restart, entries, 4);
    one_elect(&node);
    uint64_t session = one_session(&node, 2, NULL);
    msg no = {.type = PD_RAFT_MSG_APP_RESP,
              .from = 2,
              .term = 6,
              .session = session,
              .reject = true,
              .index = 4,
              .reject_hint = 3,
              .log_term = 2};
    assert_int_equal(one_step(&node, no), PD_OK);
    one_take(&node);
    assert_int_equal(one_sent(&node, PD_RAFT_MSG_APP, 2)->index, 1);
    one_close(&node);
}

static void item_12_windows_and_rejections(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    config.inflight_max = 2;
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    one_elect(&node);
    uint64_t token = 0;
    uint64_t session = one_session(&node, 2, &token);
    assert_int_equal(one_ack(&node, 2, session, 1), PD_OK);
    one_settle(&node);
    for (int i = 0; i < 4; i++) {
        (void)one_propose(&node, "abc");
    }
    one_take(&node);
    struct pd_raft_status status = one_status(&node);
    assert_true(one_member(&status, 2)->inflight_full);
    assert_true(one_member(&status, 2)->is_paused);
    assert_int_equal(one_member(&status, 2)->next, 4);
    one_written(&node);
    /* A heartbeat's answer lets one empty append out. */
    msg answer = {.type = PD_RAFT_MSG_HEARTBEAT_RESP,
                  .from = 2,
                  .term = 1,
                  .session = session,
                  .token = token};
    assert_int_equal(one_step(&node, answer), PD_OK);
    one_take(&node);
    assert_non_null(one_sent(&node, PD_RAFT_MSG_APP, 2));
    assert_int_equal(one_sent(&node, PD_RAFT_MSG_APP, 2)->entry_count, 0);
    /* An answer frees what it covers. */
    assert_int_equal(one_ack(&node, 2, session, 3), PD_OK);
    one_take(&node);
    assert_non_null(one_sent(&node, PD_RAFT_MSG_APP, 2));
    /* A rejection of what is known to match is an old one. */
    msg old = {.type = PD_RAFT_MSG_APP_RESP,
               .from = 2,
               .term = 1,
               .session = session,
               .reject = true,
               .index = 2,
               .reject_hint = 1};
    assert_int_equal(one_step(&node, old), PD_OK);
    status = one_status(&node);
    assert_int_equal(one_member(&status, 2)->match, 3);
    assert_int_equal(one_member(&status, 2)->state, PD_RAFT_REPLICATE);
    old.index = 4;
    old.reject_hint = 4;
    assert_int_equal(one_step(&node, old), PD_OK);
    status = one_status(&node);
    assert_int_equal(one_member(&status, 2)->match, 3);
    assert_int_equal(one_member(&status, 2)->state, PD_RAFT_PROBE);
    assert_int_equal(one_status(&node).hard_state.commit, 3);
    one_close(&node);
}

static void item_12_rejection_is_no_acknowledgement(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    one_elect(&node);
    uint64_t session = one_session(&node, 2, NULL);
    msg no = {.type = PD_RAFT_MSG_APP_RESP,
              .from = 2,
              .term = 1,
              .session = session,
              .reject = true,
              .index = 1};
    assert_int_equal(one_step(&node, no), PD_OK);
    assert_int_equal(one_status(&node).hard_state.commit, 0);
    one_close(&node);
}

static void item_13_limits_spare_empty_entries(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    config.uncommitted_bytes_max = 4;
    config.committed_bytes_max = 1;
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    one_elect(&node);
    uint64_t session = one_session(&node, 2, NULL);
    (void)one_propose(&node, "abcdef"); /* one may be larger */
    struct pd_span data = {.bytes = (const uint8_t *)"x", .size = 1};
    struct pd_span empty = {.bytes = NULL, .size = 0};
    uint64_t index = 0;
    assert_int_equal(pd_raft_propose(node.raft, &data, 1, &index), PD_ERR_FULL);
    assert_int_equal(pd_raft_propose(node.raft, &empty, 1, &index), PD_OK);
    one_take(&node);
    one_written(&node);
    /* Committed entries come by pages, at least one each. */
    assert_int_equal(one_ack(&node, 2, session, 3), PD_OK);
    for (uint64_t next = 1; next <= 3; next++) {
        one_take(&node);
        assert_int_equal(node.ready.committed_count, 1);
        assert_int_equal(node.ready.committed[0].index, next);
        one_written(&node);
        one_apply(&node);
    }
    assert_int_equal(pd_raft_propose(node.raft, &data, 1, &index), PD_OK);
    one_close(&node);
}

static void item_14_acks_wait_for_writes_appends_do_not(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    one_elect(&node);
    one_take(&node);
    assert_non_null(one_sent(&node, PD_RAFT_MSG_APP, 2));
    assert_null(one_sent(&node, PD_RAFT_MSG_APP_RESP, 1));
    assert_int_equal(one_after(&node, PD_RAFT_MSG_APP_RESP, 1)->index, 1);
    one_close(&node);
    one_open(&node, &config, one_conf(3));
    struct pd_raft_entry entry = {.term = 1, .index = 1};
    assert_int_equal(one_step(&node, append(1, 0, 0, &entry, 1, 0)), PD_OK);
    assert_int_equal(one_step(&node, append(1, 1, 9, NULL, 0, 0)), PD_OK);
    one_take(&node);
    assert_null(one_sent(&node, PD_RAFT_MSG_APP_RESP, 2));
    assert_int_equal(node.ready.after_append_count, 2);
    assert_true(node.ready.after_append[1].reject);
    one_close(&node);
}

static void item_15_stable_acks_carry_the_term(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    struct pd_raft_entry first = {.term = 1, .index = 1};
    struct pd_raft_entry second = {.term = 2, .index = 1};
    assert_int_equal(one_step(&node, append(1, 0, 0, &first, 1, 0)), PD_OK);
    one_take(&node);
    struct pd_raft_append_mark old = node.ready.append_mark;
    assert_int_equal(old.index, 1);
    assert_int_equal(old.log_term, 1);
    /* Replaced while the write is under way. */
    assert_int_equal(one_step(&node, append(2, 0, 0, &second, 1, 1)), PD_OK);
    one_take(&node);
    struct pd_raft_append_mark mark = node.ready.append_mark;
    pd_raft_append_done(node.raft, &old);
    assert_int_equal(one_status(&node).stable_index, 0);
    /* Committed, but not handed out before it is durable here. */
    assert_int_equal(node.ready.committed_count, 0);
    pd_raft_append_done(node.raft, &mark);
    assert_int_equal(one_status(&node).stable_index, 1);
    one_take(&node);
    assert_int_equal(node.ready.committed_count, 1);
    one_apply(&node);
    /* The snapshot part counts whatever the term. */
    struct pd_raft_snapshot_meta meta = {.index = 9, .term = 2, .conf = one_conf(3)};
    msg snapshot = {.type = PD_RAFT_MSG_SNAP, .from = 2, .term = 2, .snapshot = &meta};
    assert_int_equal(one_step(&node, snapshot), PD_OK);
    one_take(&node);
    mark = node.ready.append_mark;
    assert_int_equal(mark.snapshot_index, 9);
    assert_int_equal(one_step(&node, (msg){.type = PD_RAFT_MSG_HEARTBEAT, .from = 3, .term = 4}),
                     PD_OK);
    pd_raft_append_done(node.raft, &mark);
    assert_int_equal(one_status(&node).applied, 9);
    assert_int_equal(pd_raft_campaign(node.raft), PD_OK);
    assert_int_equal(one_status(&node).role, PD_RAFT_CANDIDATE);
    one_close(&node);
}

static void item_16_restart_believes_the_applied_index(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    /* The store is ahead of the commit index that was written. */
    struct pd_raft_restart restart = {
        .hard_state = {.term = 1, .commit = 1}, .snapshot = {.conf = one_conf(3)}, .applied = 2};
    struct pd_raft_entry entries[] = {
        {.term = 1, .index = 1}, {.term = 1, .index = 2}, {.term = 1, .index = 3}};
    one_restart(&node, &config, &restart, entries, 3);
    assert_int_equal(one_status(&node).applied, 2);
    assert_int_equal(one_status(&node).hard_state.commit, 2);
    one_take(&node);
    assert_int_equal(node.ready.committed_count, 0);
    one_close(&node);
    /* A log that ends before what was applied is damage. */
    restart.applied = 4;
    size_t size = pd_raft_size(&config);
    node.memory = malloc(size);
    assert_int_equal(pd_raft_init(node.memory, size, &config, &restart, &node.raft), PD_OK);
    assert_int_equal(pd_raft_restore_entry(node.raft, &entries[0]), PD_OK);
    assert_int_equal(pd_raft_restore_entry(node.raft, &entries[2]), PD_ERR_CORRUPT);
    assert_int_equal(pd_raft_start(node.raft), PD_ERR_CORRUPT);
    free(node.memory);
}

static void item_17_single_voter_commits_after_its_write(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(1));
    assert_int_equal(pd_raft_campaign(node.raft), PD_OK);
    one_settle(&node);
    uint64_t index = one_propose(&node, "abc");
    one_take(&node);
    for (uint32_t i = 0; i < node.ready.message_count; i++) {
        assert_int_not_equal(node.ready.messages[i].to, 1);
    }
    assert_int_equal(one_status(&node).hard_state.commit, index - 1);
    assert_int_equal(node.ready.committed_count, 0);
    one_written(&node);
    assert_int_equal(one_status(&node).hard_state.commit, index);
    one_close(&node);
}

/* A leader whose log begins after 5, with 2 in step and 3 far behind. */
static uint64_t lead_compacted(struct one_node *node, const struct pd_raft_config *config)
{
    one_open(node, config, one_conf(3));
    one_elect(node);
    uint64_t session = one_session(node, 2, NULL);
    for (int i = 0; i < 5; i++) {
        (void)one_propose(node, "abc");
    }
    one_settle(node);
    assert_int_equal(one_ack(node, 2, session, 6), PD_OK);
    one_settle(node);
    assert_int_equal(one_status(node).applied, 6);
    struct pd_raft_snapshot_meta meta = {.index = 5, .term = 1, .conf = one_conf(3)};
    pd_raft_compact(node->raft, 5);
    assert_int_equal(one_status(node).first_index, 1); /* no snapshot is available yet */
    pd_raft_snapshot_available(node->raft, &meta);
    pd_raft_compact(node->raft, 6);
    assert_int_equal(one_status(node).first_index, 6);
    return one_session(node, 3, NULL);
}

static void item_18_snapshots_begin_and_end(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    uint64_t session = lead_compacted(&node, &config);
    msg no = {.type = PD_RAFT_MSG_APP_RESP,
              .from = 3,
              .term = 1,
              .session = session,
              .reject = true,
              .index = 0};
    assert_int_equal(one_step(&node, no), PD_OK);
    msg heard = {.type = PD_RAFT_MSG_HEARTBEAT_RESP, .from = 3, .term = 1, .session = session};
    assert_int_equal(one_step(&node, heard), PD_OK);
    one_take(&node);
    const msg *snapshot = one_sent(&node, PD_RAFT_MSG_SNAP, 3);
    assert_non_null(snapshot);
    assert_int_equal(snapshot->snapshot->index, 5);
    struct pd_raft_status status = one_status(&node);
    assert_int_equal(one_member(&status, 3)->state, PD_RAFT_SNAPSHOT);
    /* It failed: probe from what is known, not from what it would have held. */
    pd_raft_report_snapshot(node.raft, 3, 0);
    status = one_status(&node);
    assert_int_equal(one_member(&status, 3)->state, PD_RAFT_PROBE);
    assert_int_equal(one_member(&status, 3)->next, 1);
    assert_int_equal(one_step(&node, heard), PD_OK);
    one_take(&node);
    assert_non_null(one_sent(&node, PD_RAFT_MSG_SNAP, 3));
    /* Any ack that reaches the log ends it. */
    assert_int_equal(one_ack(&node, 3, session, 6), PD_OK);
    status = one_status(&node);
    assert_int_equal(one_member(&status, 3)->state, PD_RAFT_REPLICATE);
    one_close(&node);
}

/* A state that another member gave it, or this leader before it led: of that the leader's raft
 * knows nothing, and it probes where the log was cut since. */
static void item_18_who_was_given_a_state_is_probed_behind_it(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    uint64_t session = lead_compacted(&node, &config);
    struct pd_raft_status status = one_status(&node);
    assert_int_equal(one_member(&status, 3)->state, PD_RAFT_PROBE);
    assert_true(one_member(&status, 3)->next < 6);
    pd_raft_report_snapshot(node.raft, 3, 5);
    status = one_status(&node);
    assert_int_equal(one_member(&status, 3)->state, PD_RAFT_PROBE);
    assert_int_equal(one_member(&status, 3)->match, 0); /* it has acknowledged nothing */
    assert_int_equal(one_member(&status, 3)->next, 6);
    pd_raft_report_snapshot(node.raft, 3, 4); /* an older one: nothing new */
    status = one_status(&node);
    assert_int_equal(one_member(&status, 3)->next, 6);
    msg heard = {.type = PD_RAFT_MSG_HEARTBEAT_RESP, .from = 3, .term = 1, .session = session};
    assert_int_equal(one_step(&node, heard), PD_OK);
    one_take(&node);
    assert_null(one_sent(&node, PD_RAFT_MSG_SNAP, 3));
    const msg *sent = one_sent(&node, PD_RAFT_MSG_APP, 3);
    assert_non_null(sent);
    assert_int_equal(sent->index, 5);
    assert_int_equal(one_ack(&node, 3, session, 6), PD_OK);
    status = one_status(&node);
    assert_int_equal(one_member(&status, 3)->state, PD_RAFT_REPLICATE);
    pd_raft_report_snapshot(node.raft, 3, 6); /* it goes on as it was */
    status = one_status(&node);
    assert_int_equal(one_member(&status, 3)->state, PD_RAFT_REPLICATE);
    one_close(&node);
}

static void item_18_a_snapshot_that_the_log_holds_only_commits(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    struct pd_raft_entry entries[] = {{.term = 1, .index = 1}, {.term = 1, .index = 2}};
    assert_int_equal(one_step(&node, append(1, 0, 0, entries, 2, 0)), PD_OK);
    struct pd_raft_snapshot_meta meta = {.index = 1, .term = 1, .conf = one_conf(3)};
    msg snapshot = {.type = PD_RAFT_MSG_SNAP, .from = 2, .term = 1, .snapshot = &meta};
    assert_int_equal(one_step(&node, snapshot), PD_OK);
    assert_int_equal(one_status(&node).hard_state.commit, 1);
    assert_int_equal(one_status(&node).last_index, 2);
    one_close(&node);
}

static void item_19_snapshot_resets_the_configuration(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    struct pd_raft_snapshot_meta meta = {.index = 9, .term = 1, .conf = one_conf(5)};
    msg snapshot = {.type = PD_RAFT_MSG_SNAP, .from = 2, .term = 1, .snapshot = &meta};
    assert_int_equal(one_step(&node, snapshot), PD_OK);
    assert_int_equal(one_status(&node).conf.voter_count, 5);
    one_take(&node);
    assert_int_equal(node.ready.snapshot->index, 9);
    assert_int_equal(one_after(&node, PD_RAFT_MSG_APP_RESP, 2)->index, 9);
    one_close(&node);
}

/* The owner's store holds the state already: raft takes it though the message's term is over. */
static void item_18_what_the_store_was_given_is_restored_in_any_term(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    struct pd_raft_entry entries[] = {{.term = 1, .index = 1}, {.term = 1, .index = 2}};
    assert_int_equal(one_step(&node, append(1, 0, 0, entries, 2, 0)), PD_OK);
    assert_int_equal(pd_raft_campaign(node.raft), PD_OK);
    assert_int_equal(one_status(&node).role, PD_RAFT_CANDIDATE);
    uint64_t term = one_status(&node).hard_state.term;
    struct pd_raft_snapshot_meta meta = {.index = 9, .term = 1, .conf = one_conf(5)};
    msg late = {.type = PD_RAFT_MSG_SNAP, .from = 2, .term = 1, .snapshot = &meta};
    assert_int_equal(one_step(&node, late), PD_OK);
    assert_int_equal(one_status(&node).hard_state.commit, 0); /* its term is over */
    assert_int_equal(pd_raft_restore(node.raft, &meta), PD_OK);
    pd_raft_check(node.raft);
    assert_int_equal(one_status(&node).hard_state.commit, 9);
    assert_int_equal(one_status(&node).hard_state.term, term);
    assert_int_equal(one_status(&node).role, PD_RAFT_FOLLOWER);
    assert_int_equal(one_status(&node).leader, 0);
    assert_int_equal(one_status(&node).conf.voter_count, 5);
    one_take(&node);
    assert_int_equal(node.ready.snapshot->index, 9);
    one_written(&node);
    /* Again, and an older one: nothing changes. */
    meta.index = 5;
    assert_int_equal(pd_raft_restore(node.raft, &meta), PD_OK);
    assert_int_equal(one_status(&node).hard_state.commit, 9);
    /* One of a later term, or in which this node is nobody. */
    meta.index = 12;
    meta.term = term + 3;
    assert_int_equal(pd_raft_restore(node.raft, &meta), PD_OK);
    assert_int_equal(one_status(&node).hard_state.term, term + 3);
    meta.index = 20;
    meta.conf.voter_count = 1;
    meta.conf.voters[0] = 2;
    assert_int_equal(pd_raft_restore(node.raft, &meta), PD_ERR_INVALID);
    assert_int_equal(one_status(&node).hard_state.commit, 12);
    one_close(&node);
}

static void item_18_a_restored_snapshot_that_the_log_holds_only_commits(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    struct pd_raft_entry entries[] = {{.term = 1, .index = 1}, {.term = 1, .index = 2}};
    assert_int_equal(one_step(&node, append(1, 0, 0, entries, 2, 0)), PD_OK);
    struct pd_raft_snapshot_meta meta = {.index = 1, .term = 1, .conf = one_conf(3)};
    assert_int_equal(pd_raft_restore(node.raft, &meta), PD_OK);
    assert_int_equal(one_status(&node).hard_state.commit, 1);
    assert_int_equal(one_status(&node).last_index, 2);
    one_close(&node);
}

static void a_full_follower_takes_what_fits(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    config.log_entries_max = 1; /* and the room for what must always fit */
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    struct pd_raft_entry entries[70];
    for (uint64_t i = 0; i < 70; i++) {
        entries[i] = (struct pd_raft_entry){.term = 1, .index = i + 1};
    }
    assert_int_equal(one_step(&node, append(1, 0, 0, entries, 70, 70)), PD_OK);
    one_take(&node);
    uint64_t last = one_status(&node).last_index;
    assert_true(last < 70);
    assert_int_equal(one_after(&node, PD_RAFT_MSG_APP_RESP, 2)->index, last);
    assert_int_equal(one_status(&node).hard_state.commit, last);
    one_written(&node);
    assert_int_equal(one_step(&node, append(1, 1, last, &entries[last], 1, 70)), PD_ERR_FULL);
    one_apply(&node);
    struct pd_raft_snapshot_meta meta = {.index = last, .term = 1, .conf = one_conf(3)};
    one_settle(&node);
    pd_raft_snapshot_available(node.raft, &meta);
    pd_raft_compact(node.raft, last);
    assert_int_equal(one_step(&node, append(1, 1, last, &entries[last], 1, 70)), PD_OK);
    assert_int_equal(one_status(&node).last_index, last + 1);
    one_close(&node);
}

/* As in etcd-io/raft: whatever way it takes, a proposal names who made it; it may even come
 * back. */
static void a_proposal_keeps_its_proposer(void **state)
{
    (void)state;
    struct pd_raft_config config = one_config();
    struct one_node node;
    one_open(&node, &config, one_conf(3));
    struct pd_raft_entry entry = {.data = {.bytes = (const uint8_t *)"x", .size = 1}};
    msg proposal = {.type = PD_RAFT_MSG_PROP, .from = 3, .entries = &entry, .entry_count = 1};
    assert_int_equal(one_step(&node, proposal), PD_ERR_CLOSED); /* no leader is known */
    assert_int_equal(one_step(&node, append(1, 0, 0, NULL, 0, 0)), PD_OK);
    assert_int_equal(one_step(&node, proposal), PD_OK);
    proposal.from = 1;
    assert_int_equal(one_step(&node, proposal), PD_OK);
    one_take(&node);
    assert_int_equal(one_sent(&node, PD_RAFT_MSG_PROP, 2)->from, 3);
    assert_int_equal(one_sent(&node, PD_RAFT_MSG_PROP, 2)[1].from, 1);
    one_close(&node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(item_08_old_term_entries_do_not_commit),
        cmocka_unit_test(item_09_follower_vouches_for_what_was_verified),
        cmocka_unit_test(item_10_late_appends_do_not_truncate),
        cmocka_unit_test(item_11_conflict_hints),
        cmocka_unit_test(item_12_windows_and_rejections),
        cmocka_unit_test(item_12_rejection_is_no_acknowledgement),
        cmocka_unit_test(item_13_limits_spare_empty_entries),
        cmocka_unit_test(item_14_acks_wait_for_writes_appends_do_not),
        cmocka_unit_test(item_15_stable_acks_carry_the_term),
        cmocka_unit_test(item_16_restart_believes_the_applied_index),
        cmocka_unit_test(item_17_single_voter_commits_after_its_write),
        cmocka_unit_test(item_18_snapshots_begin_and_end),
        cmocka_unit_test(item_18_who_was_given_a_state_is_probed_behind_it),
        cmocka_unit_test(item_18_a_snapshot_that_the_log_holds_only_commits),
        cmocka_unit_test(item_18_what_the_store_was_given_is_restored_in_any_term),
        cmocka_unit_test(item_18_a_restored_snapshot_that_the_log_holds_only_commits),
        cmocka_unit_test(item_19_snapshot_resets_the_configuration),
        cmocka_unit_test(a_full_follower_takes_what_fits),
        cmocka_unit_test(a_proposal_keeps_its_proposer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
