#include "wasm/slab_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"

/* Linux 6.7's and 6.13's interfaces, by their numbers: Debian 12's headers are older. */
struct scan_region {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};

struct scan_request {
    uint64_t size;
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end; /* out: where it stopped */
    uint64_t vec;
    uint64_t vec_count;
    uint64_t max_pages;
    uint64_t category_inverted;
    uint64_t category_mask;       /* all of these ... */
    uint64_t category_anyof_mask; /* ... and one of those */
    uint64_t return_mask;
};
_Static_assert(sizeof(struct scan_request) == 96, "the kernel's struct pm_scan_arg");
_Static_assert(sizeof(struct scan_region) == 24, "the kernel's struct page_region");

#define SCAN_IOCTL _IOWR('f', 16, struct scan_request)
#define SCAN_PRESENT (UINT64_C(1) << 3)
#define SCAN_SWAPPED (UINT64_C(1) << 4)
#define SCAN_ZERO_PAGE (UINT64_C(1) << 5)

#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)

#define ADVICE_DONTNEED_LOCKED 24
#define ADVICE_GUARD_INSTALL 102

/* Small: growth runs on a guest's fiber stack. */
#define REGIONS_MAX 32
#define ENTRIES_MAX 128
#define PROBE_PAGES 8

struct region {
    uint8_t *start;
    uint8_t *end;
};

/* Found pages of [start, next), ascending; `next` is where to go on. */
struct found {
    struct region regions[REGIONS_MAX];
    uint32_t count;
    uint8_t *next;
};

/* Pages that were only read map the kernel's zero page: they are left out, since nothing is in them
 * and overwriting would give each a page of its own. */
static bool find_by_scan(const struct pd_pages *pages, uint8_t *start, uint8_t *end,
                         struct found *found)
{
    struct scan_region regions[REGIONS_MAX];
    struct scan_request request = {
        .size = sizeof request,
        .start = (uintptr_t)start,
        .end = (uintptr_t)end,
        .vec = (uintptr_t)regions,
        .vec_count = REGIONS_MAX,
        .category_inverted = SCAN_ZERO_PAGE,
        .category_mask = SCAN_ZERO_PAGE,
        .category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
        .return_mask = SCAN_PRESENT | SCAN_SWAPPED,
    };
    int count = ioctl(pages->pagemap_fd, SCAN_IOCTL, &request);
    if (count < 0 || count > REGIONS_MAX) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        found->regions[i].start = start + (regions[i].start - (uintptr_t)start);
        found->regions[i].end = start + (regions[i].end - (uintptr_t)start);
    }
    found->count = (uint32_t)count;
    found->next = start + (request.walk_end - (uintptr_t)start);
    return found->next > start && found->next <= end;
}

static bool find_by_pagemap(const struct pd_pages *pages, uint8_t *start, uint8_t *end,
                            struct found *found)
{
    uint64_t entries[ENTRIES_MAX];
    size_t page_count = (size_t)(end - start) / pages->page_size;
    if (page_count > ENTRIES_MAX) {
        page_count = ENTRIES_MAX;
    }
    off_t offset = (off_t)((uintptr_t)start / pages->page_size * sizeof entries[0]);
    ssize_t size = pread(pages->pagemap_fd, entries, page_count * sizeof entries[0], offset);
    if (size < (ssize_t)sizeof entries[0]) {
        return false;
    }
    page_count = (size_t)size / sizeof entries[0];
    found->count = 0;
    found->next = start + page_count * pages->page_size;
    struct region *last = NULL;
    for (size_t i = 0; i < page_count; i++) {
        uint8_t *page = start + i * pages->page_size;
        if ((entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) == 0) {
            continue;
        }
        if (last != NULL && last->end == page) {
            last->end = page + pages->page_size;
            continue;
        }
        if (found->count == REGIONS_MAX) {
            found->next = page;
            break;
        }
        last = &found->regions[found->count++];
        *last = (struct region){page, page + pages->page_size};
    }
    return true;
}

/* False: the kernel does not say; every page of the rest may be dirty. */
static bool find(const struct pd_pages *pages, uint8_t *start, uint8_t *end, struct found *found)
{
    switch (pages->finder) {
    case PD_PAGES_SCAN:
        return find_by_scan(pages, start, end, found);
    case PD_PAGES_PAGEMAP:
        return find_by_pagemap(pages, start, end, found);
    case PD_PAGES_AUTO:
    case PD_PAGES_NONE:
        break;
    }
    return false;
}

uint8_t *pd_pages_reserve(size_t size)
{
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        return NULL;
    }
    /* One byte written must not cost 2 MiB. A kernel built without huge pages refuses, and needs no
     * advice. */
    (void)madvise(base, size, MADV_NOHUGEPAGE);
    return base;
}

void pd_pages_unreserve(uint8_t *base, size_t size)
{
    int result = munmap(base, size);
    pd_assert(result == 0);
}

void pd_pages_discard(uint8_t *base, size_t size)
{
    /* Locked memory (mlockall) refuses the first, older kernels the second. Old bytes must never
     * stay. */
    if (madvise(base, size, MADV_DONTNEED) != 0 &&
        madvise(base, size, ADVICE_DONTNEED_LOCKED) != 0) {
        memset(base, 0, size);
    }
}

bool pd_pages_guard(const struct pd_pages *pages, uint8_t *page)
{
    pd_assert(pages->has_guards);
    return madvise(page, pages->page_size, ADVICE_GUARD_INSTALL) == 0;
}

/* Does the finder see exactly the pages that were written, and not the one that was only read? */
static bool finder_works(const struct pd_pages *pages)
{
    size_t size = PROBE_PAGES * pages->page_size;
    uint8_t *base = pd_pages_reserve(size);
    if (base == NULL) {
        return false;
    }
    volatile uint8_t *bytes = base;
    bytes[1 * pages->page_size] = 1;
    bytes[4 * pages->page_size] = 1;
    bytes[5 * pages->page_size] = 1;
    (void)bytes[7 * pages->page_size];
    struct found found;
    bool works = find(pages, base, base + size, &found) && found.next == base + size;
    works = works && found.count >= 2 && found.regions[0].start == base + 1 * pages->page_size &&
            found.regions[0].end == base + 2 * pages->page_size &&
            found.regions[1].start == base + 4 * pages->page_size &&
            found.regions[1].end == base + 6 * pages->page_size;
    /* The pagemap cannot tell the zero page from others; that costs a page, not correctness. */
    works = works && (found.count == 2 || pages->finder == PD_PAGES_PAGEMAP);
    pd_pages_unreserve(base, size);
    return works;
}

static bool guards_work(const struct pd_pages *pages)
{
    uint8_t *base = pd_pages_reserve(pages->page_size);
    if (base == NULL) {
        return false;
    }
    bool works = madvise(base, pages->page_size, ADVICE_GUARD_INSTALL) == 0;
    pd_pages_unreserve(base, pages->page_size);
    return works;
}

enum pd_status pd_pages_open(struct pd_pages *pages, enum pd_pages_finder wanted)
{
    long page_size = sysconf(_SC_PAGESIZE);
    pd_assert(page_size > 0 && page_size <= 65536);
    *pages = (struct pd_pages){.finder = PD_PAGES_NONE, .pagemap_fd = -1};
    pages->page_size = (size_t)page_size;
    pages->has_guards = guards_work(pages);
    if (wanted == PD_PAGES_NONE) {
        return PD_OK;
    }
    pages->pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pages->pagemap_fd >= 0) {
        static const enum pd_pages_finder order[] = {PD_PAGES_SCAN, PD_PAGES_PAGEMAP};
        for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
            pages->finder = order[i];
            if ((wanted == PD_PAGES_AUTO || wanted == order[i]) && finder_works(pages)) {
                return PD_OK;
            }
        }
        pd_pages_close(pages);
    }
    pages->finder = PD_PAGES_NONE;
    return wanted == PD_PAGES_AUTO ? PD_OK : PD_ERR_UNSUPPORTED;
}

void pd_pages_close(struct pd_pages *pages)
{
    if (pages->pagemap_fd >= 0) {
        (void)close(pages->pagemap_fd);
        pages->pagemap_fd = -1;
    }
}

void pd_pages_discard_slots(uint8_t *base, size_t slot_size, uint8_t mask)
{
    unsigned at = 0;
    while (mask >> at != 0) {
        unsigned first = at + (unsigned)__builtin_ctz((unsigned)mask >> at);
        unsigned count = (unsigned)__builtin_ctz(~((unsigned)mask >> first));
        pd_pages_discard(base + first * slot_size, count * slot_size);
        at = first + count;
    }
}

/* What is being cleaned: for each slot, how much of it was overwritten so far. */
struct cleaning {
    uint8_t *base;
    size_t slot_size;
    size_t kept_max;
    size_t kept[8];
    uint8_t mask; /* slots still to be looked at */
};

/* One region of found pages, which may span slots and lie partly in slots of others. */
static void clean_region(struct cleaning *cleaning, struct region region)
{
    while (region.start < region.end) {
        size_t slot = (size_t)(region.start - cleaning->base) / cleaning->slot_size;
        uint8_t *slot_end = cleaning->base + (slot + 1) * cleaning->slot_size;
        uint8_t *end = region.end < slot_end ? region.end : slot_end;
        if ((cleaning->mask >> slot & 1) != 0) {
            size_t size = (size_t)(end - region.start);
            size_t room = cleaning->kept_max - cleaning->kept[slot];
            size_t keep = size < room ? size : room;
            memset(region.start, 0, keep);
            cleaning->kept[slot] += keep;
            if (keep < size) {
                pd_pages_discard(region.start + keep, (size_t)(slot_end - region.start) - keep);
                cleaning->mask = (uint8_t)(cleaning->mask & ~(1u << slot));
            }
        }
        region.start = end;
    }
}

void pd_pages_clean(const struct pd_pages *pages, uint8_t *base, size_t slot_size, uint8_t mask)
{
    struct cleaning cleaning = {.base = base, .slot_size = slot_size, .mask = mask};
    cleaning.kept_max =
        PD_PAGES_KEEP_BYTES > pages->page_size ? PD_PAGES_KEEP_BYTES : pages->page_size;
    if (mask == 0) {
        return;
    }
    unsigned first = (unsigned)__builtin_ctz(mask);
    unsigned last = 31u - (unsigned)__builtin_clz(mask);
    uint8_t *at = base + first * slot_size;
    uint8_t *end = base + (last + 1) * slot_size;
    /* Live slots between dirty ones are looked at and passed over: one call is cheaper than
     * several. */
    while (at < end) {
        struct found found;
        if (!find(pages, at, end, &found)) {
            pd_pages_discard_slots(base, slot_size, mask);
            return;
        }
        for (uint32_t i = 0; i < found.count; i++) {
            clean_region(&cleaning, found.regions[i]);
        }
        at = found.next;
    }
}

/* Reading a page that was never written maps the shared zero page: it costs time, but no memory. */
static bool is_zero(const uint8_t *bytes, size_t size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

void pd_pages_copy(const struct pd_pages *pages, uint8_t *to, uint8_t *from, size_t size)
{
    size_t page_size = pages->page_size;
    uint8_t *at = from;
    uint8_t *end = from + size;
    uint8_t *page_end = from + (size + page_size - 1) / page_size * page_size;
    struct found found;
    while (at < page_end && find(pages, at, page_end, &found)) {
        for (uint32_t i = 0; i < found.count; i++) {
            struct region region = found.regions[i];
            uint8_t *stop = region.end < end ? region.end : end;
            memcpy(to + (region.start - from), region.start, (size_t)(stop - region.start));
        }
        at = found.next;
    }
    for (; at < end; at += page_size) {
        size_t rest = (size_t)(end - at);
        size_t part = rest < page_size ? rest : page_size;
        if (!is_zero(at, part)) {
            memcpy(to + (at - from), at, part);
        }
    }
}
