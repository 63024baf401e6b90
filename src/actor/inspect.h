/* inspect - a look inside a running process, answered by its owner between two slices.
 *
 * Model      The request is posted as a signal. The owner calls `look` with the process, whose
 *            every field may be read; it must be short and must not wait. A process that dies first
 *            answers from its teardown.
 * Ownership  The request is one block from pd_alloc that begins with `message`; it is freed after
 *            `look`. */
#ifndef PD_ACTOR_INSPECT_H
#define PD_ACTOR_INSPECT_H

#include "actor/message.h"

struct pd_process;

struct pd_inspect_request {
    struct pd_message message; /* .kind = PD_SIGNAL_INSPECT */
    void (*look)(struct pd_process *process, struct pd_inspect_request *request);
};

#endif
