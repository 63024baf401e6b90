/* supervisor_call - the supervisor's side of calls: private to supervisor_process.c and
 * supervisor_call.c. */
#ifndef PD_ACTOR_SUPERVISOR_CALL_H
#define PD_ACTOR_SUPERVISOR_CALL_H

#include "actor/message.h"
#include "actor/supervisor_process.h"

/* Resource kinds up to 0xFFFF are the guests'; they never see this one. */
#define PD_RESOURCE_SUPERVISOR_CALL 0x10000u

/* A call on its way, with everything that it refers to. */
struct pd_held_call {
    struct pd_supervisor_call call;
    char *id;
    uint8_t arguments[];
};

/* The call that a message carries, or NULL. The caller destroys it. */
struct pd_held_call *pd_held_call_take(struct pd_message *message);
void pd_held_call_destroy(struct pd_held_call *held);

/* A REPLY without ref; shares the text. NULL: no memory. */
struct pd_message *pd_supervisor_answer_create(const struct pd_supervisor_answer *answer,
                                               struct pd_exit_text *text);

/* Write one row or the figures; the number of bytes, 0 if there is no room. */
uint32_t pd_supervisor_row_write(const struct pd_supervisor_child *child, uint8_t *to,
                                 uint32_t room);
uint32_t pd_supervisor_counts_write(struct pd_supervisor_counts counts, uint8_t *to);

#endif
