/* pages - memory that was taken once and is used now and then: its pages go back to the system
 * while they hold nothing, so that what a burst needed is not kept for ever.
 *
 * Ownership  The memory stays its owner's, at its address. Nobody may look at what was in it.
 * Errors     None: where the system will not take it, the memory stays. */
#ifndef PD_BASE_PAGES_H
#define PD_BASE_PAGES_H

#include <stdint.h>

/* The whole pages inside of `size` bytes; what they hold is lost. Implemented in src/host. */
void pd_pages_forget(uint8_t *bytes, uint64_t size);

/* Of a ring of `size` bytes in use from position `tail` to `head` (counted up, taken modulo size),
 * all that is not in use. tail <= head <= tail + size. */
void pd_pages_forget_unused(uint8_t *ring, uint64_t size, uint64_t tail, uint64_t head);

#endif
