/* one_node - one core in a test's hands: the test is its disk, its network and its peers. */
#ifndef PD_TESTS_RAFT_ONE_NODE_H
#define PD_TESTS_RAFT_ONE_NODE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "raft/raft.h"

struct one_node {
    void *memory;
    struct pd_raft *raft;
    struct pd_raft_ready ready; /* the last one taken */
    uint64_t now_ns;
};

static inline struct pd_raft_config one_config(void)
{
    struct pd_raft_config config = pd_raft_config_default();
    config.id = 1;
    config.group_id = 7;
    config.seed = 42;
    config.pre_vote = false;
    config.check_quorum = false;
    config.election_ticks = 10;
    config.log_entries_max = 256;
    config.log_bytes_max = 65536;
    config.messages_max = 128;
    config.inflight_max = 8;
    return config;
}

static inline struct pd_raft_conf one_conf(uint32_t voters)
{
    struct pd_raft_conf conf = {.voter_count = voters};
    for (uint32_t i = 0; i < voters; i++) {
        conf.voters[i] = i + 1;
    }
    return conf;
}

static inline void one_restart(struct one_node *node, const struct pd_raft_config *config,
                               const struct pd_raft_restart *restart,
                               const struct pd_raft_entry *entries, uint32_t count)
{
    size_t size = pd_raft_size(config);
    node->memory = malloc(size);
    node->now_ns = 1000;
    assert_non_null(node->memory);
    assert_int_equal(pd_raft_init(node->memory, size, config, restart, &node->raft), PD_OK);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(pd_raft_restore_entry(node->raft, &entries[i]), PD_OK);
    }
    assert_int_equal(pd_raft_start(node->raft), PD_OK);
}

static inline void one_open(struct one_node *node, const struct pd_raft_config *config,
                            struct pd_raft_conf conf)
{
    struct pd_raft_restart restart = {.snapshot = {.conf = conf}};
    one_restart(node, config, &restart, NULL, 0);
}

static inline void one_close(struct one_node *node)
{
    pd_raft_check(node->raft);
    free(node->memory);
}

static inline struct pd_raft_status one_status(const struct one_node *node)
{
    struct pd_raft_status status;
    pd_raft_status(node->raft, &status);
    return status;
}

static inline const struct pd_raft_member_status *one_member(const struct pd_raft_status *status,
                                                             pd_raft_node id)
{
    for (uint32_t i = 0; i < status->member_count; i++) {
        if (status->members[i].node == id) {
            return &status->members[i];
        }
    }
    return NULL;
}

static inline enum pd_status one_step(struct one_node *node, struct pd_raft_message message)
{
    message.group_id = 7;
    message.to = 1;
    enum pd_status status = pd_raft_step(node->raft, &message);
    pd_raft_check(node->raft);
    return status;
}

static inline struct pd_raft_ready *one_take(struct one_node *node)
{
    pd_raft_ready(node->raft, &node->ready);
    pd_raft_check(node->raft);
    return &node->ready;
}

static inline const struct pd_raft_message *one_find(const struct pd_raft_message *messages,
                                                     uint32_t count, enum pd_raft_message_type type,
                                                     pd_raft_node to)
{
    for (uint32_t i = 0; i < count; i++) {
        if (messages[i].type == type && (to == 0 || messages[i].to == to)) {
            return &messages[i];
        }
    }
    return NULL;
}

/* What leaves at once, or only after the write. */
static inline const struct pd_raft_message *one_sent(const struct one_node *node,
                                                     enum pd_raft_message_type type,
                                                     pd_raft_node to)
{
    return one_find(node->ready.messages, node->ready.message_count, type, to);
}

static inline const struct pd_raft_message *one_after(const struct one_node *node,
                                                      enum pd_raft_message_type type,
                                                      pd_raft_node to)
{
    return one_find(node->ready.after_append, node->ready.after_append_count, type, to);
}

/* The write of the last Ready is durable. */
static inline void one_written(struct one_node *node)
{
    struct pd_raft_ready ready = node->ready;
    for (uint32_t i = 0; i < ready.after_append_count; i++) {
        if (ready.after_append[i].to == 1) {
            assert_int_equal(pd_raft_step(node->raft, &ready.after_append[i]), PD_OK);
        }
    }
    pd_raft_append_done(node->raft, &ready.append_mark);
    pd_raft_check(node->raft);
}

/* The committed entries of the last Ready are applied. */
static inline void one_apply(struct one_node *node)
{
    uint32_t count = node->ready.committed_count;
    uint64_t last = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct pd_raft_entry entry = node->ready.committed[i];
        struct pd_raft_conf_change change;
        last = entry.index;
        if (entry.type != PD_RAFT_ENTRY_NORMAL &&
            pd_raft_conf_change_decode(entry.type, entry.data, &change) == PD_OK) {
            (void)pd_raft_apply_conf_change(node->raft, &change, false, NULL);
        }
    }
    if (count > 0) {
        pd_raft_apply_done(node->raft, last);
    }
    pd_raft_check(node->raft);
}

/* Take, write and apply until nothing is left to do. */
static inline void one_settle(struct one_node *node)
{
    for (int i = 0; i < 20 && pd_raft_has_ready(node->raft); i++) {
        (void)one_take(node);
        one_written(node);
        one_apply(node);
    }
}

static inline void one_tick(struct one_node *node, uint32_t ticks)
{
    for (uint32_t i = 0; i < ticks; i++) {
        node->now_ns += 100;
        pd_raft_tick(node->raft, node->now_ns);
        pd_raft_check(node->raft);
    }
}

/* Elected by 2, its first entry not yet anywhere. */
static inline void one_elect(struct one_node *node)
{
    assert_int_equal(pd_raft_campaign(node->raft), PD_OK);
    one_settle(node);
    for (pd_raft_node voter = 2; voter <= 5 && one_status(node).role != PD_RAFT_LEADER; voter++) {
        (void)one_step(node, (struct pd_raft_message){.type = PD_RAFT_MSG_VOTE_RESP,
                                                      .from = voter,
                                                      .term = one_status(node).hard_state.term});
    }
    assert_int_equal(one_status(node).role, PD_RAFT_LEADER);
}

/* The session under which the leader talks to a member, seen in a heartbeat. */
static inline uint64_t one_session(struct one_node *node, pd_raft_node id, uint64_t *token_out)
{
    one_tick(node, 1);
    (void)one_take(node);
    const struct pd_raft_message *heartbeat = one_sent(node, PD_RAFT_MSG_HEARTBEAT, id);
    assert_non_null(heartbeat);
    uint64_t session = heartbeat->session;
    if (token_out != NULL) {
        *token_out = heartbeat->token;
    }
    one_written(node);
    one_apply(node);
    return session;
}

static inline enum pd_status one_ack(struct one_node *node, pd_raft_node from, uint64_t session,
                                     uint64_t index)
{
    return one_step(node, (struct pd_raft_message){.type = PD_RAFT_MSG_APP_RESP,
                                                   .from = from,
                                                   .term = one_status(node).hard_state.term,
                                                   .index = index,
                                                   .session = session});
}

static inline uint64_t one_propose(struct one_node *node, const char *text)
{
    struct pd_span data = {.bytes = (const uint8_t *)text, .size = strlen(text)};
    uint64_t index = 0;
    assert_int_equal(pd_raft_propose(node->raft, &data, 1, &index), PD_OK);
    return index;
}

#endif
