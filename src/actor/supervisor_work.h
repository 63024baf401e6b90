/* supervisor_work - what waits for a supervisor's attention, in order. Private to supervisor.c.
 *
 * Model      One queue of children (that ended, or wait for a retry) and of requests, so that
 *            nothing overtakes and nothing starves. A child is in it at most once and can leave
 *            from the middle.
 * Bounds     One place per child, in its record; requests_max requests, whose room grows by
 *            doubling.
 * Ownership  A queued request is owned by the queue, with its spec and id. */
#ifndef PD_ACTOR_SUPERVISOR_WORK_H
#define PD_ACTOR_SUPERVISOR_WORK_H

#include "actor/supervisor.h"

#define PD_SUPERVISOR_REQUESTS_MAX (UINT32_C(1) << 20)

struct pd_waiting_request {
    struct pd_supervisor_request request;
    uint32_t before;
    uint32_t after; /* of free ones: the next free one */
};

struct pd_supervisor_work {
    struct pd_children *children;
    struct pd_waiting_request *requests;
    uint32_t capacity;
    uint32_t free;
    uint32_t requests_max;
    uint32_t request_count;
    uint32_t first; /* a child's slot, or a request's index with the top bit set */
    uint32_t last;
};

void pd_work_init(struct pd_supervisor_work *work, struct pd_children *children,
                  uint32_t requests_max);
void pd_work_deinit(struct pd_supervisor_work *work);

void pd_work_add_child(struct pd_supervisor_work *work, uint32_t slot);

/* Nothing happens if it is not queued. */
void pd_work_remove_child(struct pd_supervisor_work *work, uint32_t slot);

/* Takes the request on PD_OK. PD_ERR_FULL: requests_max wait. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_work_add_request(struct pd_supervisor_work *work,
                                                const struct pd_supervisor_request *request);

/* Take the oldest item. False: there is none. *slot_out is a child's slot, or PD_CHILD_NONE and
 * *request_out is the caller's. */
bool pd_work_take(struct pd_supervisor_work *work, uint32_t *slot_out,
                  struct pd_supervisor_request *request_out);

/* Free what a request owns. */
void pd_supervisor_request_deinit(struct pd_supervisor_request *request);

#endif
