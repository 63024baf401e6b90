/* arena - memory that is given back all at once, for messages while they are looked at. Pure.
 *
 * Model      Allocations are cut from chunks of the heap, one behind the other; nothing is freed
 *            alone. reset gives all back and keeps the first chunk, so that small messages cost no
 *            heap.
 * Bounds     bytes_max of all chunks. Beyond it an allocation fails, also while protobuf-c decodes:
 *            the decoder then gives up.
 * Ownership  The caller owns the structure. What was allocated is good until reset or deinit. */
#ifndef PD_PROTO_ARENA_H
#define PD_PROTO_ARENA_H

#include <protobuf-c/protobuf-c.h>

#include "base/span.h"

struct pd_arena_chunk;

struct pd_arena {
    ProtobufCAllocator allocator; /* give this one to protobuf-c */
    struct pd_arena_chunk *first;
    struct pd_arena_chunk *current;
    size_t bytes;
    size_t bytes_max;
};

void pd_arena_init(struct pd_arena *arena, size_t bytes_max);
void pd_arena_deinit(struct pd_arena *arena);
void pd_arena_reset(struct pd_arena *arena);

/* Aligned for anything; not zeroed. NULL: beyond the bound, or no memory. */
void *pd_arena_take(struct pd_arena *arena, size_t size);
/* Zeroed; NULL also on overflow. */
void *pd_arena_take_zeroed(struct pd_arena *arena, size_t count, size_t size);

#endif
