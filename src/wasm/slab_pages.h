/* slab_pages - the kernel's part of the slabs: reserve, find, clean, copy and give back pages.
 *
 * Role       All system calls of the slabs are here. Linux; page sizes up to 64 KiB.
 * Model      A page that no one has written since it was reserved or discarded reads as zero and
 *            holds no memory. A *finder* tells which pages may hold something else:
 *            SCAN     the PAGEMAP_SCAN ioctl (Linux 6.7): one call for several neighbouring slots.
 *            PAGEMAP  /proc/self/pagemap: 8 bytes per page.
 *            NONE     nothing is known: what may be dirty is discarded, or read.
 *            The first two count swapped pages as found; mincore would not, and would leak old
 *            data.
 * Threads    Every function may run on any thread, on memory that only its caller uses.
 * Fork       The finder looks at the process that opened it: a forked child must not use it. */
#ifndef PD_WASM_SLAB_PAGES_H
#define PD_WASM_SLAB_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum pd_pages_finder {
    PD_PAGES_AUTO = 0, /* the best that passes its self-test */
    PD_PAGES_SCAN = 1,
    PD_PAGES_PAGEMAP = 2,
    PD_PAGES_NONE = 3
};

/* A slot keeps up to this much resident (and zeroed) when it is cleaned; the rest goes back to the
 * kernel. Overwriting a page costs 50 ns, giving it back and faulting it in again 1,600 ns. */
#define PD_PAGES_KEEP_BYTES 65536u

struct pd_pages {
    enum pd_pages_finder finder;
    int pagemap_fd; /* -1: NONE */
    size_t page_size;
    bool has_guards; /* MADV_GUARD_INSTALL (Linux 6.13): guard pages that cost no mapping */
};

/* Probe the kernel and fill *pages. What is chosen has shown on real pages that it finds them all.
 *
 * PD_OK               the caller closes it with pd_pages_close.
 * PD_ERR_UNSUPPORTED  `wanted` does not work here. AUTO and NONE always do. */
PD_NODISCARD enum pd_status pd_pages_open(struct pd_pages *pages, enum pd_pages_finder wanted);
void pd_pages_close(struct pd_pages *pages);

/* Reserve `size` bytes that read as zero and cost nothing until written. NULL: the system
 * refused. */
uint8_t *pd_pages_reserve(size_t size);
void pd_pages_unreserve(uint8_t *base, size_t size);

/* Give the pages of [base, base + size) back; they read as zero afterwards. Page aligned. */
void pd_pages_discard(uint8_t *base, size_t size);

/* Discard the slots of `mask` (as below), one call for each row of neighbours. */
void pd_pages_discard_slots(uint8_t *base, size_t slot_size, uint8_t mask);

/* Make the slots of `mask` zero: bit i is the slot at base + i * slot_size. The first KEEP_BYTES of
 * each slot's found pages are overwritten, the others discarded. Slots outside of the mask are not
 * touched. */
void pd_pages_clean(const struct pd_pages *pages, uint8_t *base, size_t slot_size, uint8_t mask);

/* Copy `size` bytes between two separate places, without making resident in `to`, which is all
 * zero, what was never written in `from`. */
void pd_pages_copy(const struct pd_pages *pages, uint8_t *to, uint8_t *from, size_t size);

/* Put a guard page at `page`: whoever touches it is ended by the kernel. Needs has_guards. False:
 * the kernel had no memory for it. Discarding keeps the guard. */
bool pd_pages_guard(const struct pd_pages *pages, uint8_t *page);

#endif
