/* memory_budget - how much memory all guests of a program may have together.
 *
 * Model      Who wants memory takes its size from the budget first, before any of it is touched,
 *            and gives it back with the memory. A guest that is not instantiated yet has its memory
 *            and stack reserved: so a spawn beyond is refused, and not found out later. The last
 *            part, `reserve`, is for messages alone: actors that have taken all the memory can
 *            still be talked to.
 * Threads    Any. Sums are exact; two that take at once may both be refused what one could have. */
#ifndef PD_BASE_MEMORY_BUDGET_H
#define PD_BASE_MEMORY_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"

/* What a stack counts: what guest code may use of it (PD_GUEST_WASM_STACK_SIZE), a host function's
 * frames below that, and what the host's heap holds for a guest that does nothing. */
#define PD_MEMORY_BUDGET_STACK_BYTES ((size_t)80 << 10)

/* What it is wanted for, by which refusals are counted. */
enum pd_memory_use {
    PD_MEMORY_SPAWN = 0,
    PD_MEMORY_GROWTH = 1,
    PD_MEMORY_MESSAGE = 2,
    PD_MEMORY_OTHER = 3 /* SQLite, TLS */
};
#define PD_MEMORY_USES 4u

struct pd_memory_budget {
    uint64_t bytes_max; /* UINT64_MAX: no limit. Set before the first guest */
    uint64_t reserve;   /* of them, for messages alone; <= bytes_max */
    atomic_uint_least64_t bytes;
    atomic_uint_least64_t refused[PD_MEMORY_USES]; /* how often */
};

/* False: it would be too much, which is counted. */
static inline bool pd_memory_budget_take(struct pd_memory_budget *budget, enum pd_memory_use use,
                                         uint64_t size)
{
    uint64_t reserve = use == PD_MEMORY_MESSAGE ? 0 : budget->reserve;
    uint64_t bytes_max = budget->bytes_max - reserve;
    uint64_t before = atomic_fetch_add_explicit(&budget->bytes, size, memory_order_relaxed);
    if (before > bytes_max || size > bytes_max - before) {
        (void)atomic_fetch_sub_explicit(&budget->bytes, size, memory_order_relaxed);
        (void)atomic_fetch_add_explicit(&budget->refused[use], 1, memory_order_relaxed);
        return false;
    }
    return true;
}

static inline void pd_memory_budget_give(struct pd_memory_budget *budget, uint64_t size)
{
    uint64_t before = atomic_fetch_sub_explicit(&budget->bytes, size, memory_order_relaxed);
    pd_assert(before >= size);
}

#endif
