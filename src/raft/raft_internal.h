/* raft_internal - the inside of one group's consensus core, for the files of src/raft alone.
 *
 * Files  raft.c life and looks · step.c terms and dispatch · election.c roles and votes · follow.c
 *        a follower's log · leader.c a leader's answers · append.c what a leader sends · propose.c
 *        · conf.c · read.c reads and leases · outbox.c messages · ready.c · tick.c */
#ifndef PD_RAFT_RAFT_INTERNAL_H
#define PD_RAFT_RAFT_INTERNAL_H

#include "raft/conf_change.h"
#include "raft/log.h"
#include "raft/progress.h"
#include "raft/quorum.h"
#include "raft/trace.h"
#include "raft/vote_rule.h"

#define PD_RAFT_ROUNDS_MAX 64u  /* heartbeat rounds whose send time is remembered */
#define PD_RAFT_SPARE_SLOTS 64u /* of the log, for entries that are not proposals */
#define PD_RAFT_SPARE_BYTES 65536u
#define PD_RAFT_SPARE_MESSAGES 8u /* of after_append, for those to this node itself */
#define PD_RAFT_FORWARD_MAX 256u  /* entries of forwarded proposals in one Ready */

enum pd_raft_campaign {
    PD_CAMPAIGN_PRE_ELECTION,
    PD_CAMPAIGN_ELECTION,
    PD_CAMPAIGN_TRANSFER
};

enum pd_raft_ballot {
    PD_BALLOT_NONE = 0,
    PD_BALLOT_GRANTED,
    PD_BALLOT_REFUSED
};

struct pd_raft_member {
    pd_raft_node node;
    struct pd_raft_progress progress;
    struct pd_raft_inflight *ring;
    uint64_t session; /* of this membership under this leader (item 22) */
    uint64_t token;   /* highest heartbeat token that it answered (item 23) */
    enum pd_raft_ballot ballot;
    bool is_active;
    bool is_learner;
};

/* Messages of one Ready. Two of these take turns: the one handed out stays good while the other
 * fills. */
struct pd_raft_outbox {
    struct pd_raft_message *messages; /* messages_max */
    uint64_t *epochs; /* of the log, by message: its entries are gone when it moved on */
    uint32_t message_count;
    struct pd_raft_message *after; /* messages_max + spare */
    uint32_t after_count;
    struct pd_raft_snapshot_meta snapshots[PD_RAFT_MEMBERS_MAX];
    uint32_t snapshot_count;
    struct pd_raft_entry forwards[PD_RAFT_FORWARD_MAX];
    uint32_t forward_count;
    uint8_t *forward_bytes;
    uint64_t forward_size;
    struct pd_raft_read *reads; /* reads_max */
    uint32_t read_count;
};

struct pd_raft_waiting_read {
    uint64_t token; /* 0: waits for a commit of this term */
    uint64_t index;
    uint64_t context;
    pd_raft_node from; /* who asked; the id of this node: the owner */
};

struct pd_raft {
    struct pd_raft_config config;
    struct pd_random random;
    struct pd_raft_log log;

    uint64_t term;
    pd_raft_node vote;
    pd_raft_node leader;
    enum pd_raft_role role;
    pd_raft_node transferee;
    uint64_t restart_applied;
    bool is_started;
    bool is_restarted;         /* with a term: it may have promised something before */
    bool has_sent_timeout_now; /* in this term: force may break a lease at any time (item 7) */

    uint32_t election_elapsed;
    uint32_t heartbeat_elapsed;
    uint32_t election_timeout; /* randomised */
    uint64_t ticks;
    uint64_t now_ns;

    struct pd_raft_conf conf;
    struct pd_raft_member member_storage[PD_RAFT_MEMBERS_MAX];
    struct pd_raft_member *members; /* sorted by node; the storage above */
    uint32_t member_count;
    struct pd_raft_inflight *rings; /* PD_RAFT_MEMBERS_MAX windows */
    uint64_t session_last;
    uint64_t pending_conf_index;
    uint64_t uncommitted_bytes;
    struct pd_raft_snapshot_meta available; /* snapshot to send */

    uint64_t token_last;
    uint64_t token_floor;  /* answers to rounds at or before it do not make a lease */
    uint64_t token_outbox; /* round whose heartbeats have not left yet; reads may still join it */
    uint64_t round_ns[PD_RAFT_ROUNDS_MAX];
    struct pd_raft_waiting_read *waiting; /* reads_max */
    uint32_t waiting_count;

    struct pd_raft_outbox outboxes[2];
    uint32_t outbox_current;
    bool is_send_blocked; /* an append found the outbox full */

    struct pd_raft_hard_state told_hard_state;
    pd_raft_node told_leader;
    enum pd_raft_role told_role;
    uint64_t ticket_last;
};

#define PD_TRACE(raft, level, ...)                                                                 \
    do {                                                                                           \
        if ((raft)->config.trace.line != NULL) {                                                   \
            pd_trace_line(&(raft)->config.trace, PD_RAFT_LOG_##level, __VA_ARGS__);                \
        }                                                                                          \
    } while (0)
typedef unsigned long long pd_ull; /* for %llu */

/* raft.c */
struct pd_raft_member *pd_core_member(const struct pd_raft *raft, pd_raft_node node);
struct pd_raft_hard_state pd_core_hard_state(const struct pd_raft *raft);
void pd_core_member_status(const struct pd_raft_member *member,
                           struct pd_raft_member_status *status_out);

/* election.c */
bool pd_core_promotable(const struct pd_raft *raft);
void pd_core_become_follower(struct pd_raft *raft, uint64_t term, pd_raft_node leader);
void pd_core_hup(struct pd_raft *raft, enum pd_raft_campaign kind);
void pd_core_answer_vote(struct pd_raft *raft, const struct pd_raft_message *message);
void pd_core_count_vote(struct pd_raft *raft, const struct pd_raft_message *message);
bool pd_core_quorum_active(const struct pd_raft *raft);

/* step.c: a message that is known to be well-formed. */
enum pd_status pd_core_step(struct pd_raft *raft, const struct pd_raft_message *message);
bool pd_core_is_well_formed(const struct pd_raft *raft, const struct pd_raft_message *message);

/* follow.c */
enum pd_status pd_core_handle_append(struct pd_raft *raft, const struct pd_raft_message *message);
enum pd_status pd_core_handle_heartbeat(struct pd_raft *raft,
                                        const struct pd_raft_message *message);
void pd_core_handle_snapshot(struct pd_raft *raft, const struct pd_raft_message *message);

/* leader.c */
void pd_core_handle_append_answer(struct pd_raft *raft, struct pd_raft_member *member,
                                  const struct pd_raft_message *message);
void pd_core_handle_heartbeat_answer(struct pd_raft *raft, struct pd_raft_member *member,
                                     const struct pd_raft_message *message);
void pd_core_lead_transfer(struct pd_raft *raft, struct pd_raft_member *member);
void pd_core_check_quorum(struct pd_raft *raft);

/* append.c */
bool pd_core_maybe_send_append(struct pd_raft *raft, struct pd_raft_member *member,
                               bool send_if_empty);
void pd_core_broadcast_append(struct pd_raft *raft);
void pd_core_broadcast_heartbeat(struct pd_raft *raft);
bool pd_core_maybe_commit(struct pd_raft *raft);
void pd_core_send_timeout_now(struct pd_raft *raft, pd_raft_node node);
void pd_core_retry_blocked(struct pd_raft *raft);

/* propose.c */
enum pd_status pd_core_append_own(struct pd_raft *raft, enum pd_raft_entry_type type,
                                  const struct pd_span *data, uint32_t count);
enum pd_status pd_core_lead_proposal(struct pd_raft *raft, enum pd_raft_entry_type type,
                                     const struct pd_span *data, uint32_t count);
enum pd_status pd_core_step_proposal(struct pd_raft *raft, const struct pd_raft_message *message);

/* conf.c */
void pd_core_set_conf(struct pd_raft *raft, const struct pd_conf_result *result);
void pd_core_switch_conf(struct pd_raft *raft, const struct pd_conf_result *result);
void pd_core_reset_members(struct pd_raft *raft);
enum pd_status pd_core_lead_conf_change(struct pd_raft *raft, enum pd_raft_entry_type type,
                                        struct pd_span data);
void pd_core_maybe_auto_leave(struct pd_raft *raft);

/* read.c */
enum pd_status pd_core_lead_read(struct pd_raft *raft, pd_raft_node from, uint64_t context);
void pd_core_reads_committed(struct pd_raft *raft); /* an entry of this term is */
void pd_core_reads_confirm(struct pd_raft *raft);
bool pd_core_has_committed_in_term(const struct pd_raft *raft);
void pd_core_give_read(struct pd_raft *raft, uint64_t context, uint64_t index);
void pd_core_reads_drop(struct pd_raft *raft);

/* outbox.c */
struct pd_raft_outbox *pd_core_outbox(struct pd_raft *raft);
bool pd_core_outbox_has_room(struct pd_raft *raft);
/* Sends a message; term and sender are filled in. False: no room, it is lost like one on the
 * network. */
bool pd_core_send(struct pd_raft *raft, struct pd_raft_message message);

#endif
