/* describe - how the scripts write what a node says. */
#ifndef PD_CONFORMANCE_DESCRIBE_H
#define PD_CONFORMANCE_DESCRIBE_H

#include "raft-conformance/environment.h"

/* One a line, with its end. */
void describe_entries(struct text *output, const struct pd_raft_entry *entries, uint32_t count);
/* Without the end of the line. */
void describe_packet(struct text *output, const struct packet *packet);
/* `messages`: all that leave with it. */
void describe_ready(struct text *output, const struct pd_raft_ready *ready,
                    const struct packets *messages);

#endif
