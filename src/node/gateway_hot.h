/* gateway_hot - answers that a gateway has at once, until it gives them: in order, and none while
 * the request is still being taken. Pure: no I/O or clock.
 *
 * Model      add ... add -> take -> next ... next. What is added while others are given waits for
 *            the next take.
 * Bounds     As many as requests may be under way, PD_SERVER_HOT_ANSWER_MAX bytes each; memory is
 *            kept for the next ones up to PD_GATEWAY_HOT_KEPT bytes.
 * Ownership  An answer's body is copied. What `next` gives is borrowed until the next take. */
#ifndef PD_NODE_GATEWAY_HOT_H
#define PD_NODE_GATEWAY_HOT_H

#include <stdbool.h>

#include "node/replica_request.h"

#define PD_GATEWAY_HOT_KEPT ((size_t)1 << 20)

struct pd_gateway_hot_bytes {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
};

struct pd_gateway_hot {
    struct pd_gateway_hot_bytes added;
    struct pd_gateway_hot_bytes taken;
    size_t at; /* up to here they were given */
};

void pd_gateway_hot_deinit(struct pd_gateway_hot *hot);
/* false: no memory, nothing was added. */
bool pd_gateway_hot_add(struct pd_gateway_hot *hot, uint64_t correlation,
                        const struct pd_replica_answer_head *answer);
/* Begin with what was added; all that was taken before has been given. false: there is nothing. */
bool pd_gateway_hot_take(struct pd_gateway_hot *hot);
bool pd_gateway_hot_next(struct pd_gateway_hot *hot, uint64_t *correlation_out,
                         struct pd_replica_answer_head *answer_out);

#endif
