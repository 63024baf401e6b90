/* frame - what a socket between a node and its clients speaks in: a size u32, a
 * correlation u64 and `size` bytes, little endian. Pure.
 *
 * Trust      Any bytes may come, in any pieces. */
#ifndef PD_BASE_FRAME_H
#define PD_BASE_FRAME_H

#include "base/bytes.h"
#include "base/span.h"

#define PD_FRAME_HEAD_SIZE 12u

enum pd_frame_state {
    PD_FRAME_WHOLE = 0,
    PD_FRAME_PART, /* more bytes are needed */
    PD_FRAME_BAD   /* larger than allowed: what follows cannot be told apart */
};

struct pd_frame {
    uint32_t body_size; /* as its head says; 0 while that is not whole */
    uint64_t correlation;
    struct pd_span body; /* WHOLE only; borrowed */
};

/* The frame at the front of `bytes`; a whole one takes PD_FRAME_HEAD_SIZE + body_size of them. */
static inline enum pd_frame_state pd_frame_take(struct pd_span bytes, uint32_t body_size_max,
                                                struct pd_frame *frame_out)
{
    *frame_out = (struct pd_frame){0};
    if (bytes.size < PD_FRAME_HEAD_SIZE) {
        return PD_FRAME_PART;
    }
    uint32_t size = pd_get_u32(bytes.bytes);
    frame_out->body_size = size;
    frame_out->correlation = pd_get_u64(bytes.bytes + 4);
    if (size > body_size_max) {
        return PD_FRAME_BAD;
    }
    if (bytes.size - PD_FRAME_HEAD_SIZE < size) {
        return PD_FRAME_PART;
    }
    frame_out->body = (struct pd_span){bytes.bytes + PD_FRAME_HEAD_SIZE, size};
    return PD_FRAME_WHOLE;
}

/* Writes PD_FRAME_HEAD_SIZE bytes; the body follows them. */
static inline void pd_frame_put_head(uint8_t *bytes, uint32_t body_size, uint64_t correlation)
{
    pd_put_u32(bytes, body_size);
    pd_put_u64(bytes + 4, correlation);
}

#endif
