/* ring - where the payloads of the log's entries lie, for the owner of the core's memory, which may
 * give back what they do not use. Pure. */
#ifndef PD_RAFT_RING_H
#define PD_RAFT_RING_H

#include "raft/raft.h"

struct pd_raft_ring {
    uint8_t *bytes; /* inside of the memory that pd_raft_init was given */
    uint64_t size;
    uint64_t tail; /* oldest byte in use; positions count up and are taken modulo size */
    uint64_t head; /* behind the newest */
};

/* As it is now. Whatever lies outside of [tail, head) may be overwritten until the next call that
 * changes the core. */
struct pd_raft_ring pd_raft_ring(struct pd_raft *raft);

#endif
