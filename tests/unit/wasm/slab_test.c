/* Every limit once, stale bytes on every reclaim path, residency, guards, threads, and random
 * operations against a model. Swapped-out pages cannot be made on demand: that both finders count
 * them is the kernel's documented contract (slab_pages.h), not tested here. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "wasm/slab.h"

#if defined(__SANITIZE_THREAD__)
#define HAS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_TSAN 1
#endif
#endif
#ifndef HAS_TSAN
#define HAS_TSAN 0
#endif

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define PAGE ((size_t)4096)

static const char *const finder_names[] = {"auto", "scan", "pagemap", "none"};

static struct pd_slab_config memory_config(void)
{
    return (struct pd_slab_config){
        .kind = PD_SLAB_MEMORY,
        .slot_size_min = 64 * KIB,
        .slot_size_max = 16 * MIB,
        .bytes_max = 64 * GIB,
        .slots_max = 100000,
        .hot_slots_max = 256,
        .dirty_bytes_max = 16 * MIB,
        .shards = 2,
    };
}

static struct pd_slab_config stack_config(void)
{
    struct pd_slab_config config = memory_config();
    config.kind = PD_SLAB_STACK;
    config.slot_size_min = 128 * KIB;
    config.slot_size_max = 128 * KIB;
    return config;
}

static struct pd_slab *open_slab(const struct pd_slab_config *config)
{
    struct pd_slab *slab = NULL;
    assert_int_equal(pd_slab_open(config, &slab), PD_OK);
    return slab;
}

static struct pd_slab_slot acquire(struct pd_slab *slab, size_t size)
{
    struct pd_slab_slot slot = {0};
    assert_int_equal(pd_slab_acquire(slab, size, &slot), PD_OK);
    assert_true(pd_slab_size(slab, slot) >= size);
    return slot;
}

static bool all_equal(const uint8_t *bytes, size_t size, uint8_t value)
{
    return bytes[0] == value && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static void assert_zero(struct pd_slab *slab, struct pd_slab_slot slot)
{
    if (!all_equal(pd_slab_base(slab, slot), pd_slab_size(slab, slot), 0)) {
        fail_msg("slot %u of class %u holds stale bytes", slot.index, slot.size_class);
    }
}

static size_t resident_pages(const uint8_t *base, size_t size)
{
    static unsigned char pages[4096];
    assert_true(size / PAGE <= sizeof pages);
    union {
        const uint8_t *in;
        void *out;
    } address = {.in = base};
    assert_int_equal(mincore(address.out, size, pages), 0);
    size_t count = 0;
    for (size_t i = 0; i < size / PAGE; i++) {
        count += pages[i] & 1;
    }
    return count;
}

/* --- Limits ----------------------------------------------------------------------------------- */

static void open_refuses_configurations_that_contradict_themselves(void **state)
{
    (void)state;
    struct pd_slab_config bad[10];
    size_t count = 0;
    for (size_t i = 0; i < 10; i++) {
        bad[i] = memory_config();
    }
    bad[count++].slot_size_min = 0;
    bad[count++].slot_size_min = 96 * KIB;
    bad[count++].slot_size_min = 512;
    bad[count++].slot_size_max = 32 * KIB;
    bad[count++].slot_size_max = SIZE_MAX / 2 + 1;
    bad[count++].slots_max = 0;
    bad[count++].slots_max = PD_SLAB_SLOTS_MAX + 1;
    bad[count++].shards = 0;
    bad[count++].shards = PD_SLAB_SHARDS_MAX + 1;
    bad[count++].kind = PD_SLAB_STACK; /* of several sizes */
    struct pd_slab *slab = NULL;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pd_slab_open(&bad[i], &slab), PD_ERR_INVALID);
    }
    pd_slab_close(NULL);
}

static void open_survives_an_empty_heap(void **state)
{
    (void)state;
    struct pd_slab_config config = memory_config();
    struct pd_slab *slab = NULL;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        pd_alloc_fail_nth(nth);
        assert_int_equal(pd_slab_open(&config, &slab), PD_ERR_NO_MEMORY);
    }
    pd_alloc_fail_nth(0);
    slab = open_slab(&config);
    pd_slab_close(slab);
}

static void slots_end_at_slots_max(void **state)
{
    (void)state;
    struct pd_slab_config config = memory_config();
    static const uint32_t limits[] = {1, 7, 8, 9, 100};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        config.slots_max = limits[i];
        struct pd_slab *slab = open_slab(&config);
        struct pd_slab_slot slots[100];
        struct pd_slab_slot more;
        for (uint32_t k = 0; k < limits[i]; k++) {
            slots[k] = acquire(slab, 64 * KIB);
        }
        assert_int_equal(pd_slab_acquire(slab, 1, &more), PD_ERR_FULL);
        /* Other classes have room of their own. */
        pd_slab_release(slab, acquire(slab, 64 * KIB + 1));
        pd_slab_release(slab, slots[0]);
        slots[0] = acquire(slab, 0);
        assert_int_equal(pd_slab_acquire(slab, 1, &more), PD_ERR_FULL);
        pd_slab_check(slab);
        for (uint32_t k = 0; k < limits[i]; k++) {
            pd_slab_release(slab, slots[k]);
        }
        pd_slab_check(slab);
        pd_slab_close(slab);
    }
}

static void slots_end_at_bytes_max(void **state)
{
    (void)state;
    enum {
        COUNT = 163
    }; /* ends within a group of eight */
    struct pd_slab_config config = memory_config();
    config.bytes_max = 4 * MIB + COUNT * 64 * KIB + 5;
    struct pd_slab *slab = open_slab(&config);
    struct pd_slab_slot slots[COUNT];
    struct pd_slab_slot more;
    struct pd_slab_slot large = acquire(slab, 4 * MIB); /* takes its part of the budget */
    for (size_t i = 0; i < COUNT; i++) {
        slots[i] = acquire(slab, 64 * KIB);
    }
    assert_int_equal(pd_slab_acquire(slab, 1, &more), PD_ERR_FULL);
    assert_int_equal(pd_slab_acquire(slab, 8 * MIB, &more), PD_ERR_FULL);
    assert_int_equal(pd_slab_acquire(slab, 16 * MIB, &more), PD_ERR_FULL);
    assert_int_equal(pd_slab_stats(slab).mapped_bytes, 4 * MIB + COUNT * 64 * KIB);
    pd_slab_release(slab, large);
    for (size_t i = 0; i < COUNT; i++) {
        pd_slab_release(slab, slots[i]);
    }
    pd_slab_check(slab);
    pd_slab_close(slab);
}

static void sizes_end_at_slot_size_max(void **state)
{
    (void)state;
    struct pd_slab_config config = memory_config();
    struct pd_slab *slab = open_slab(&config);
    struct pd_slab_slot slot;
    assert_int_equal(pd_slab_acquire(slab, 16 * MIB + 1, &slot), PD_ERR_RANGE);
    assert_int_equal(pd_slab_slot_size_max(slab), 16 * MIB);
    for (size_t size = 64 * KIB; size <= 16 * MIB; size *= 2) {
        slot = acquire(slab, size);
        assert_int_equal(pd_slab_size(slab, slot), size);
        assert_zero(slab, slot);
        struct pd_slab_slot before = slot;
        assert_int_equal(pd_slab_grow(slab, &slot, size, 16 * MIB + 1), PD_ERR_RANGE);
        assert_memory_equal(&before, &slot, sizeof slot);
        pd_slab_release(slab, slot);
    }
    pd_slab_close(slab);
}

static void a_system_without_address_space_is_a_status(void **state)
{
    (void)state;
    if (HAS_TSAN) {
        print_message("skipped under TSan, which ends the program itself\n");
        return;
    }
    struct pd_slab_config config = memory_config();
    config.slot_size_max = 256 * GIB;
    config.bytes_max = INT64_MAX;
    struct pd_slab *slab = open_slab(&config);
    static struct pd_slab_slot slots[1024];
    size_t count = 0;
    enum pd_status status = PD_OK;
    while (status == PD_OK && count < 1024) {
        status = pd_slab_acquire(slab, 256 * GIB, &slots[count]);
        count += status == PD_OK ? 1 : 0;
    }
    assert_int_equal(status, PD_ERR_NO_MEMORY); /* 2^47 bytes end before 2^48 */
    pd_slab_check(slab);
    for (size_t i = 0; i < count; i++) {
        pd_slab_release(slab, slots[i]);
    }
    pd_slab_close(slab);
}

/* --- Stale bytes ------------------------------------------------------------------------------ */

/* Slots of one size, all of them in use, so that each is handed out again. */
#define ROW 8u

/* Which pages a guest wrote: `step` 0 is none. */
struct dirt {
    size_t first, step, count;
};

static void soil(uint8_t *base, size_t size, struct dirt dirt)
{
    for (size_t i = 0; i < dirt.count && dirt.step != 0; i++) {
        size_t page = (dirt.first + i * dirt.step) % (size / PAGE);
        memset(base + page * PAGE, 0xA5, PAGE);
    }
    /* Pages that are only read are the kernel's zero page. */
    volatile const uint8_t *bytes = base;
    (void)bytes[size / 2];
}

/* Acquire all, soil all, release those of `mask`, and take them again: zero, and the others
 * untouched. */
static void reuse_row(struct pd_slab *slab, size_t size, struct dirt dirt, uint32_t mask)
{
    struct pd_slab_slot slots[ROW];
    for (uint32_t i = 0; i < ROW; i++) {
        slots[i] = acquire(slab, size);
        assert_zero(slab, slots[i]);
        soil(pd_slab_base(slab, slots[i]), size, dirt);
    }
    for (uint32_t i = 0; i < ROW; i++) {
        if ((mask >> i & 1) != 0) {
            pd_slab_release(slab, slots[i]);
        }
    }
    pd_slab_check(slab);
    for (uint32_t i = 0; i < ROW; i++) {
        if ((mask >> i & 1) != 0) {
            slots[i] = acquire(slab, size);
            assert_zero(slab, slots[i]);
        } else if (dirt.step != 0 && dirt.count > 0) {
            uint8_t *page = pd_slab_base(slab, slots[i]) + dirt.first % (size / PAGE) * PAGE;
            assert_true(all_equal(page, PAGE, 0xA5));
        }
    }
    for (uint32_t i = 0; i < ROW; i++) {
        pd_slab_release(slab, slots[i]);
    }
}

static void reuse_everything(enum pd_pages_finder finder, size_t size, uint32_t hot_slots_max,
                             uint64_t dirty_bytes_max)
{
    static const struct dirt dirts[] = {
        {0, 0, 0}, {0, 1, 1}, {15, 1, 1},  {0, 1, 16},
        {0, 1, 8}, {3, 5, 3}, {1, 2, 400}, {0, 1, 4096},
    };
    static const uint32_t masks[] = {0xff, 0x01, 0x80, 0x55, 0x7e};
    struct pd_slab_config config = memory_config();
    config.slots_max = ROW;
    config.shards = 1;
    config.finder = finder;
    config.hot_slots_max = hot_slots_max;
    config.dirty_bytes_max = dirty_bytes_max;
    struct pd_slab *slab = NULL;
    enum pd_status status = pd_slab_open(&config, &slab);
    if (status == PD_ERR_UNSUPPORTED) {
        print_message("finder %s: not on this kernel, not tested\n", finder_names[finder]);
        return;
    }
    assert_int_equal(status, PD_OK);
    assert_int_equal(pd_slab_stats(slab).finder, finder);
    for (size_t i = 0; i < sizeof dirts / sizeof dirts[0]; i++) {
        for (size_t k = 0; k < sizeof masks / sizeof masks[0]; k++) {
            reuse_row(slab, size, dirts[i], masks[k]);
        }
    }
    pd_slab_check(slab);
    pd_slab_close(slab);
}

static void no_bytes_survive_on_any_reclaim_path(void **state)
{
    (void)state;
    for (enum pd_pages_finder finder = PD_PAGES_SCAN; finder <= PD_PAGES_NONE; finder++) {
        reuse_everything(finder, 64 * KIB, 256, MIB); /* cleaned when needed, several at once */
        reuse_everything(finder, 64 * KIB, 256, 0);   /* cleaned at release */
        reuse_everything(finder, 64 * KIB, 0, 0);     /* purged */
        reuse_everything(finder, 64 * KIB, 4, MIB);   /* some of each */
        reuse_everything(finder, 2 * MIB, 256, MIB);  /* the largest that are grouped */
        reuse_everything(finder, 4 * MIB, 256, MIB);  /* alone */
        reuse_everything(finder, 4 * MIB, 0, 0);
    }
}

static void no_bytes_survive_where_the_kernel_refuses_to_discard(void **state)
{
    (void)state;
    for (enum pd_pages_finder finder = PD_PAGES_SCAN; finder <= PD_PAGES_NONE; finder++) {
        struct pd_slab_config config = memory_config();
        config.slots_max = 1;
        config.hot_slots_max = 0;
        config.finder = finder;
        struct pd_slab *slab = NULL;
        if (pd_slab_open(&config, &slab) != PD_OK) {
            continue;
        }
        struct pd_slab_slot slot = acquire(slab, 64 * KIB);
        uint8_t *base = pd_slab_base(slab, slot);
        memset(base, 0xA5, 64 * KIB);
        bool locked = mlock(base, 64 * KIB) == 0;
        if (!locked) {
            print_message("mlock is not allowed here: not tested\n");
        }
        pd_slab_release(slab, slot);
        slot = acquire(slab, 64 * KIB);
        assert_ptr_equal(pd_slab_base(slab, slot), base);
        assert_zero(slab, slot);
        (void)munlock(base, 64 * KIB);
        pd_slab_release(slab, slot);
        pd_slab_close(slab);
    }
}

/* --- Growth ----------------------------------------------------------------------------------- */

/* Every `step`th page is written. */
static void grow_memory(enum pd_pages_finder finder, size_t step)
{
    struct pd_slab_config config = memory_config();
    config.finder = finder;
    struct pd_slab *slab = NULL;
    if (pd_slab_open(&config, &slab) != PD_OK) {
        return;
    }
    struct pd_slab_slot slot = acquire(slab, 4 * MIB);
    uint8_t *base = pd_slab_base(slab, slot);
    size_t used = 4 * MIB - 100; /* sizes need not be whole pages */
    for (size_t page = 0; page < 4 * MIB / PAGE; page += step) {
        memset(base + page * PAGE, (int)(page % 251 + 1), 50);
    }
    assert_int_equal(pd_slab_grow(slab, &slot, used, 4 * MIB), PD_OK);
    assert_ptr_equal(pd_slab_base(slab, slot), base); /* fits: nothing happened */
    assert_int_equal(pd_slab_grow(slab, &slot, used, 4 * MIB + 1), PD_OK);
    base = pd_slab_base(slab, slot);
    assert_int_equal(pd_slab_size(slab, slot), 8 * MIB);
    assert_int_equal(resident_pages(base, 8 * MIB), (4 * MIB / PAGE + step - 1) / step);
    for (size_t page = 0; page < 4 * MIB / PAGE; page++) {
        uint8_t value = page % step == 0 ? (uint8_t)(page % 251 + 1) : 0;
        assert_true(all_equal(base + page * PAGE, 50, value));
        assert_true(all_equal(base + page * PAGE + 50, PAGE - 50, 0));
    }
    assert_true(all_equal(base + 4 * MIB, 4 * MIB, 0));
    pd_slab_release(slab, slot);
    pd_slab_check(slab);
    pd_slab_close(slab);
}

static void growth_keeps_bytes_and_only_copies_what_was_written(void **state)
{
    (void)state;
    for (enum pd_pages_finder finder = PD_PAGES_SCAN; finder <= PD_PAGES_NONE; finder++) {
        grow_memory(finder, 2);
        grow_memory(finder, 7);
        grow_memory(finder, 1000);
    }
}

static size_t count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    size_t count = 0;
    for (int byte = fgetc(maps); byte != EOF; byte = fgetc(maps)) {
        count += byte == '\n' ? 1 : 0;
    }
    (void)fclose(maps);
    return count;
}

static void twenty_thousand_growing_memories_need_few_mappings(void **state)
{
    (void)state;
    enum {
        COUNT = 20000
    };
    static struct pd_slab_slot slots[COUNT];
    struct pd_slab_config config = memory_config();
    struct pd_slab *slab = open_slab(&config);
    size_t before = count_mappings();
    for (uint32_t i = 0; i < COUNT; i++) {
        slots[i] = acquire(slab, 64 * KIB);
        pd_slab_base(slab, slots[i])[i % (64 * KIB)] = 1;
    }
    for (size_t size = 128 * KIB; size <= 256 * KIB; size *= 2) {
        for (uint32_t i = 0; i < COUNT; i++) {
            assert_int_equal(pd_slab_grow(slab, &slots[i], size / 2, size), PD_OK);
            assert_int_equal(pd_slab_base(slab, slots[i])[i % (64 * KIB)], 1);
        }
    }
    struct pd_slab_stats stats = pd_slab_stats(slab);
    size_t after = count_mappings();
    print_message(
        "%d live memories of 256 KiB: %u reservations, %zu lines in maps before, %zu after\n",
        (int)COUNT, stats.mappings_count, before, after);
    assert_int_equal(stats.slots_live, COUNT);
    assert_in_range(stats.mappings_count, 3, 60);
    assert_true(after <= before + 60);
    for (uint32_t i = 0; i < COUNT; i++) {
        pd_slab_release(slab, slots[i]);
    }
    pd_slab_check(slab);
    pd_slab_close(slab);
}

/* --- Residency -------------------------------------------------------------------------------- */

static void a_burst_leaves_only_hot_slots_resident(void **state)
{
    (void)state;
    enum {
        COUNT = 3000,
        HOT = 64
    };
    static struct pd_slab_slot slots[COUNT];
    static uint8_t *bases[COUNT];
    for (int kind = PD_SLAB_MEMORY; kind <= PD_SLAB_STACK; kind++) {
        struct pd_slab_config config = kind == PD_SLAB_STACK ? stack_config() : memory_config();
        config.hot_slots_max = HOT;
        struct pd_slab *slab = open_slab(&config);
        for (uint32_t i = 0; i < COUNT; i++) {
            slots[i] = acquire(slab, 64 * KIB);
            bases[i] = pd_slab_base(slab, slots[i]);
            size_t size = pd_slab_size(slab, slots[i]);
            memset(bases[i] + size - 2 * PAGE, 1, 2 * PAGE);
        }
        for (uint32_t i = 0; i < COUNT; i++) {
            pd_slab_release(slab, slots[(i * 7) % COUNT]); /* 7 and COUNT share no factor */
        }
        pd_slab_check(slab);
        size_t resident = 0;
        for (uint32_t i = 0; i < COUNT; i++) {
            resident += resident_pages(bases[i], 32 * KIB);
            resident += resident_pages(bases[i] + 32 * KIB, 32 * KIB);
            if (kind == PD_SLAB_STACK) {
                resident += resident_pages(bases[i] + 64 * KIB, 15 * PAGE);
            }
        }
        assert_true(pd_slab_stats(slab).slots_hot <= HOT);
        assert_true(resident <= HOT * 2);
        assert_true(resident > 0);
        pd_slab_close(slab);
    }
}

static void serial_guests_reuse_warm_slots(void **state)
{
    (void)state;
    struct pd_slab_config config = memory_config();
    struct pd_slab *slab = open_slab(&config);
    for (int i = 0; i < 1000; i++) {
        struct pd_slab_slot slot = acquire(slab, 64 * KIB);
        assert_zero(slab, slot);
        memset(pd_slab_base(slab, slot), 7, 3 * PAGE);
        assert_true(slot.index < 8);
        pd_slab_release(slab, slot);
    }
    assert_int_equal(pd_slab_stats(slab).slots_hot, 8);
    pd_slab_close(slab);
}

static void deep_stacks_are_trimmed(void **state)
{
    (void)state;
    struct pd_slab_config config = stack_config();
    struct pd_slab *slab = open_slab(&config);
    struct pd_slab_slot slot = acquire(slab, 0);
    uint8_t *base = pd_slab_base(slab, slot);
    size_t size = pd_slab_size(slab, slot);
    assert_int_equal((uintptr_t)base % PAGE, 0);
    assert_int_equal(size % PAGE, 0);
    memset(base + size - 17 * PAGE, 1, 17 * PAGE);
    assert_int_equal(resident_pages(base, size), 17);
    pd_slab_release(slab, slot);
    assert_int_equal(resident_pages(base, size), 4);
    struct pd_slab_slot again = acquire(slab, 0);
    assert_ptr_equal(pd_slab_base(slab, again), base);
    memset(base + size - 3 * PAGE, 1, 3 * PAGE);
    pd_slab_release(slab, again);
    assert_true(resident_pages(base, size) <= 5); /* what was looked at may be the zero page */
    pd_slab_close(slab);
}

/* The kernel's own view: can a byte be read from there? */
static bool is_readable(int pipe_end, const uint8_t *address)
{
    ssize_t written = write(pipe_end, address, 1);
    assert_true(written == 1 || errno == EFAULT);
    return written == 1;
}

static void stacks_end_in_a_guard_page(void **state)
{
    (void)state;
    struct pd_pages pages;
    assert_int_equal(pd_pages_open(&pages, PD_PAGES_NONE), PD_OK);
    bool has_guards = pages.has_guards;
    pd_pages_close(&pages);
    if (!has_guards) {
        print_message("this kernel has no cheap guard pages: not tested\n");
        return;
    }
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct pd_slab_config config = stack_config();
    config.hot_slots_max = 0;
    struct pd_slab *slab = open_slab(&config);
    size_t mappings = count_mappings();
    for (int round = 0; round < 2; round++) { /* the second time after a purge */
        struct pd_slab_slot slots[20];
        for (size_t i = 0; i < 20; i++) {
            slots[i] = acquire(slab, 0);
            uint8_t *base = pd_slab_base(slab, slots[i]);
            assert_int_equal(pd_slab_size(slab, slots[i]), 128 * KIB - PAGE);
            memset(base, 1, 128 * KIB - PAGE);
            assert_true(is_readable(ends[1], base));
            assert_false(is_readable(ends[1], base - 1));
            assert_false(is_readable(ends[1], base - PAGE));
        }
        for (size_t i = 0; i < 20; i++) {
            pd_slab_release(slab, slots[i]);
        }
    }
    assert_true(count_mappings() <= mappings + 6);
    pd_slab_close(slab);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* --- Threads ---------------------------------------------------------------------------------- */

#define EXCHANGE 64u

struct arena {
    struct pd_slab *slab;
    pthread_mutex_t lock;
    struct pd_slab_slot slots[EXCHANGE]; /* live slots that any thread may take over */
    bool full[EXCHANGE];
};

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

/* Acquire, write, and leave it to whichever thread comes by to check and release. */
static void *mingle(void *argument)
{
    struct arena *arena = argument;
    uint64_t seed = (uintptr_t)&seed;
    for (int i = 0; i < 20000; i++) {
        struct pd_slab_slot slot;
        if (pd_slab_acquire(arena->slab, next(&seed) % 3 == 0 ? 128 * KIB : 1, &slot) != PD_OK) {
            continue;
        }
        uint8_t *base = pd_slab_base(arena->slab, slot);
        size_t offset = next(&seed) % 16 * PAGE;
        assert_int_equal(base[offset] | base[0], 0);
        base[offset] = 1;
        base[0] = 1;
        uint32_t at = next(&seed) % EXCHANGE;
        pthread_mutex_lock(&arena->lock);
        bool full = arena->full[at];
        struct pd_slab_slot other = arena->slots[at];
        arena->slots[at] = slot;
        arena->full[at] = true;
        pthread_mutex_unlock(&arena->lock);
        if (full) {
            assert_int_equal(pd_slab_base(arena->slab, other)[0], 1);
            pd_slab_release(arena->slab, other);
        }
    }
    return NULL;
}

static void threads_share_slots(void **state)
{
    (void)state;
    enum {
        THREADS = 4
    };
    struct arena arena = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct pd_slab_config config = memory_config();
    config.slots_max = 60; /* sometimes full */
    config.hot_slots_max = 40;
    config.dirty_bytes_max = MIB;
    config.shards = 3;
    arena.slab = open_slab(&config);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, mingle, &arena), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    pd_slab_check(arena.slab);
    for (uint32_t i = 0; i < EXCHANGE; i++) {
        if (arena.full[i]) {
            pd_slab_release(arena.slab, arena.slots[i]);
        }
    }
    assert_int_equal(pd_slab_stats(arena.slab).slots_live, 0);
    pd_slab_check(arena.slab);
    pd_slab_close(arena.slab);
}

static void *take_all_and_return_them(void *argument)
{
    struct pd_slab *slab = argument;
    struct pd_slab_slot slots[20];
    struct pd_slab_slot more;
    for (size_t i = 0; i < 20; i++) {
        slots[i] = acquire(slab, 1);
        assert_zero(slab, slots[i]);
        memset(pd_slab_base(slab, slots[i]), 1, 2 * PAGE);
    }
    assert_int_equal(pd_slab_acquire(slab, 1, &more), PD_ERR_FULL);
    for (size_t i = 0; i < 20; i++) {
        pd_slab_release(slab, slots[i]);
    }
    return NULL;
}

static void what_one_thread_freed_another_can_have(void **state)
{
    (void)state;
    struct pd_slab_config config = memory_config();
    config.slots_max = 20;
    config.shards = 8;
    struct pd_slab *slab = open_slab(&config);
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, take_all_and_return_them, slab), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    pd_slab_check(slab);
    pd_slab_close(slab);
}

/* --- A model ---------------------------------------------------------------------------------- */

#define MODEL_SLOTS 200u

/* A live memory in the model: every 1024th byte holds `tag` where `written` says so, all others are
 * zero. */
struct model_memory {
    struct pd_slab_slot slot;
    size_t used;
    uint8_t tag; /* 0: not live */
    size_t first, step;
};

static void model_verify(struct pd_slab *slab, const struct model_memory *memory)
{
    const uint8_t *base = pd_slab_base(slab, memory->slot);
    size_t at = memory->first;
    for (size_t offset = 0; offset < pd_slab_size(slab, memory->slot); offset += KIB) {
        uint8_t want = 0;
        if (offset == at) {
            want = memory->tag;
            at += memory->step;
            if (at >= memory->used) {
                at = SIZE_MAX;
            }
        }
        if (base[offset] != want || !all_equal(base + offset + 1, KIB - 1, 0)) {
            fail_msg("class %u slot %u offset %zu: %u, want %u", memory->slot.size_class,
                     memory->slot.index, offset, base[offset], want);
        }
    }
}

static void model_new(struct pd_slab *slab, struct model_memory *memory, uint64_t *seed)
{
    memory->used = (1 + next(seed) % 10) * 64 * KIB;
    enum pd_status status = pd_slab_acquire(slab, memory->used, &memory->slot);
    if (status != PD_OK) {
        assert_int_equal(status, PD_ERR_FULL);
        return;
    }
    assert_zero(slab, memory->slot);
    memory->tag = (uint8_t)(1 + next(seed) % 255);
    memory->first = next(seed) % (memory->used / KIB) * KIB;
    memory->step = (1 + next(seed) % 64) * KIB;
    for (size_t at = memory->first; at < memory->used; at += memory->step) {
        pd_slab_base(slab, memory->slot)[at] = memory->tag;
    }
}

static void model_grow(struct pd_slab *slab, struct model_memory *memory, uint64_t *seed)
{
    size_t size = memory->used + next(seed) % 20 * 64 * KIB;
    enum pd_status status = pd_slab_grow(slab, &memory->slot, memory->used, size);
    assert_true(status == PD_OK || status == PD_ERR_FULL);
    model_verify(slab, memory);
    if (status != PD_OK) {
        return;
    }
    /* The model's bytes end where its writes ended: go on writing. */
    size_t at = memory->first;
    while (at < memory->used) {
        at += memory->step;
    }
    memory->used = size;
    for (; at < memory->used; at += memory->step) {
        pd_slab_base(slab, memory->slot)[at] = memory->tag;
    }
}

static void run_model(enum pd_pages_finder finder, uint64_t seed, int steps)
{
    static struct model_memory memories[MODEL_SLOTS];
    struct pd_slab_config config = memory_config();
    config.finder = finder;
    config.slots_max = 30;
    config.hot_slots_max = 24;
    config.dirty_bytes_max = 4 * MIB;
    struct pd_slab *slab = NULL;
    if (pd_slab_open(&config, &slab) != PD_OK) {
        return;
    }
    memset(memories, 0, sizeof memories);
    for (int step = 0; step < steps; step++) {
        struct model_memory *memory = &memories[next(&seed) % MODEL_SLOTS];
        if (memory->tag == 0) {
            model_new(slab, memory, &seed);
        } else if (next(&seed) % 3 == 0) {
            model_grow(slab, memory, &seed);
        } else {
            model_verify(slab, memory);
            pd_slab_release(slab, memory->slot);
            memory->tag = 0;
        }
        if (step % 16 == 0) {
            pd_slab_check(slab);
        }
    }
    uint64_t live = 0;
    for (size_t i = 0; i < MODEL_SLOTS; i++) {
        if (memories[i].tag != 0) {
            live++;
            model_verify(slab, &memories[i]);
        }
    }
    assert_int_equal(pd_slab_stats(slab).slots_live, live);
    for (size_t i = 0; i < MODEL_SLOTS; i++) {
        if (memories[i].tag != 0) {
            pd_slab_release(slab, memories[i].slot);
        }
    }
    pd_slab_check(slab);
    pd_slab_close(slab);
}

static void agrees_with_the_model(void **state)
{
    (void)state;
    const char *given = getenv("PD_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 42;
    print_message("replay with PD_TEST_SEED=%llu\n", (unsigned long long)seed);
    for (enum pd_pages_finder finder = PD_PAGES_SCAN; finder <= PD_PAGES_NONE; finder++) {
        run_model(finder, seed, 3000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_refuses_configurations_that_contradict_themselves),
        cmocka_unit_test(open_survives_an_empty_heap),
        cmocka_unit_test(slots_end_at_slots_max),
        cmocka_unit_test(slots_end_at_bytes_max),
        cmocka_unit_test(sizes_end_at_slot_size_max),
        cmocka_unit_test(a_system_without_address_space_is_a_status),
        cmocka_unit_test(no_bytes_survive_on_any_reclaim_path),
        cmocka_unit_test(no_bytes_survive_where_the_kernel_refuses_to_discard),
        cmocka_unit_test(growth_keeps_bytes_and_only_copies_what_was_written),
        cmocka_unit_test(twenty_thousand_growing_memories_need_few_mappings),
        cmocka_unit_test(a_burst_leaves_only_hot_slots_resident),
        cmocka_unit_test(serial_guests_reuse_warm_slots),
        cmocka_unit_test(deep_stacks_are_trimmed),
        cmocka_unit_test(stacks_end_in_a_guard_page),
        cmocka_unit_test(threads_share_slots),
        cmocka_unit_test(what_one_thread_freed_another_can_have),
        cmocka_unit_test(agrees_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
