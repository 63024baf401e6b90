/* operation - what one simulated client asks for, as the bytes that it sends. Pure.
 *
 * Model      An operation is drawn once and sent as often as it takes: the same bytes, in the same
 *            session with the same number. What came of it is noted beside it: the history.
 * Values     Operation number n writes 2n + 1 and 2n + 2, and nobody else does. */
#ifndef PD_SIM_OPERATION_H
#define PD_SIM_OPERATION_H

#include "kv/command.h"
#include "node/replica_request.h"
#include "sim/keys.h"

#define PD_SIM_REQUEST_BYTES_MAX 1024u

struct pd_sim_operation {
    uint64_t invoked_ns;
    uint64_t returned_ns; /* UINT64_MAX: never */
    uint32_t client;
    enum pd_sim_op op;
    bool is_plain;    /* a write that no session of the client's numbers: it is not tried again */
    uint64_t session; /* 0: none */
    uint64_t sequence;
    uint32_t key;
    uint32_t end; /* of a range; 0: the key alone */
    uint64_t value;
    int64_t limit;
    int64_t expected; /* mod revision; of a lock: -1 */
    int64_t lease;
    int64_t ttl_s;
    int64_t at_revision; /* READ_PAST, COMPACT */
    uint64_t duration_ns;
    bool prev_kv;
    /* What came of it. */
    bool is_void; /* every try was told that nothing was done */
    bool has_written;
    int64_t revision;
    uint8_t *answer; /* kept while it cannot be judged yet; NULL: it was */
    size_t answer_size;
};

bool pd_sim_op_is_read(enum pd_sim_op op);
const char *pd_sim_op_name(enum pd_sim_op op);
/* The request's bytes; returns how many. */
size_t pd_sim_operation_encode(const struct pd_sim_operation *operation,
                               uint8_t bytes[PD_SIM_REQUEST_BYTES_MAX]);

#endif
