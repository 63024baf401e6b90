/* lifecycle - signals taking effect, and the end of a process. For the scheduler. */
#ifndef PD_ACTOR_LIFECYCLE_H
#define PD_ACTOR_LIFECYCLE_H

#include <stdbool.h>

#include "actor/process.h"

/* Let a batch from the mailbox take effect in order; messages join the owner's queue. */
void pd_lifecycle_handle(struct pd_process *self, struct pd_message *batch);

/* Take in what arrived since the slice began. True: something did, and `self` may run on. */
bool pd_lifecycle_catch_up(struct pd_process *self);

/* Deliver what the outbox holds. True: it is empty. False: in line for room. */
bool pd_lifecycle_flush_outbox(struct pd_process *self);

/* End it: leave the table, tell links, then monitors, each once; free everything. self->exit says
 * why, or a pending kill does. The pointer is the pool's afterwards. */
void pd_lifecycle_end(struct pd_process *self);

#endif
