/* trace - the core's words for people, in the texts that the conformance scripts compare. Pure. */
#ifndef PD_RAFT_TRACE_H
#define PD_RAFT_TRACE_H

#include "raft/raft.h"

/* One line, formatted only when somebody listens. */
void pd_trace_line(const struct pd_raft_trace *trace, enum pd_raft_log_level level,
                   const char *format, ...) PD_PRINTF(3, 4);

#define PD_RAFT_TEXT_MAX 1024u

struct pd_raft_text {
    char text[PD_RAFT_TEXT_MAX];
};

/* "voters=(1 2)&&(1) learners=(3) autoleave"; ids in hexadecimal, as in log lines. */
struct pd_raft_text pd_raft_conf_text(const struct pd_raft_conf *conf);
/* "voters:1 voters:2 learners:3 auto_leave:false" */
struct pd_raft_text pd_raft_conf_state_text(const struct pd_raft_conf *conf);
/* "StateProbe match=0 next=1 paused" */
struct pd_raft_text pd_raft_member_text(const struct pd_raft_member_status *member);
/* "transition:ConfChangeTransitionAuto changes:{type:ConfChangeAddNode node_id:2}" */
struct pd_raft_text pd_raft_conf_change_text(const struct pd_raft_conf_change *change);

/* "1,2,3" */
void pd_raft_peers_text(const pd_raft_node *nodes, uint32_t count, struct pd_raft_text *text_out);
/* "MsgApp" and so on. */
const char *pd_raft_message_text(enum pd_raft_message_type type);
/* "StateFollower" and so on. */
const char *pd_raft_role_text(enum pd_raft_role role);

#endif
