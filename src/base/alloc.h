/* alloc - the one door to the heap, so that tests can make any allocation fail.
 *
 * Ownership  What pd_alloc returns belongs to the caller until pd_free. Sizes are bounded by the
 *            callers' configured limits, never by this door. Implemented in src/host.
 * Errors     NULL: no memory, or the test's fault counter struck. The caller turns it into
 *            PD_ERR_NO_MEMORY and leaves everything as it was. */
#ifndef PD_BASE_ALLOC_H
#define PD_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

/* `size` bytes, uninitialised. size > 0. */
__attribute__((malloc)) void *pd_alloc(size_t size);

/* `count` * `size` zeroed bytes; NULL also on overflow. */
__attribute__((malloc)) void *pd_alloc_zeroed(size_t count, size_t size);

/* Resize; on NULL the old block stays valid. */
void *pd_realloc(void *block, size_t size);

/* NULL is allowed. */
/*@ assigns \nothing; */
void pd_free(void *block);

/* A copy of `size` bytes with a zero byte behind them, or NULL. */
char *pd_alloc_text(const char *text, size_t size);

/* Tests only: the `nth` next allocation fails (1 = the next one; 0 = none), then all work again. */
void pd_alloc_fail_nth(uint64_t nth);

#endif
