/* changes - configuration changes as the scripts write them: v1 (voter) l2 (learner) r3 (remove) u4
 * (update). */
#ifndef PD_CONFORMANCE_CHANGES_H
#define PD_CONFORMANCE_CHANGES_H

#include "raft-conformance/text.h"
#include "raft/raft.h"

/* False, with the reason in `output`: not understood. */
bool changes_read(const char *input, struct pd_raft_conf_change *changes, struct text *output);
/* "v1 l2 r3" */
void changes_write(const struct pd_raft_conf_change *changes, struct text *output);

#endif
