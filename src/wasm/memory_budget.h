/* memory_budget - how much memory all guests of a program may have together.
 *
 * Model      Who wants memory takes its size from the budget first, before any of it is touched,
 *            and gives it back with the memory. A guest that is not instantiated yet has its memory
 *            and stack reserved: so a spawn beyond is refused, and not found out later.
 * Threads    Any. Sums are exact; two that take at once may both be refused what one could have. */
#ifndef PD_WASM_MEMORY_BUDGET_H
#define PD_WASM_MEMORY_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"

/* What a stack counts: what a fiber may well touch of it. */
#define PD_MEMORY_BUDGET_STACK_BYTES ((size_t)32 << 10)

struct pd_memory_budget {
    uint64_t bytes_max; /* UINT64_MAX: no limit. Set before the first guest */
    atomic_uint_least64_t bytes;
};

static inline bool pd_memory_budget_take(struct pd_memory_budget *budget, uint64_t size)
{
    uint64_t before = atomic_fetch_add_explicit(&budget->bytes, size, memory_order_relaxed);
    if (before > budget->bytes_max || size > budget->bytes_max - before) {
        (void)atomic_fetch_sub_explicit(&budget->bytes, size, memory_order_relaxed);
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
