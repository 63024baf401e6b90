/* slab_bench - what acquiring and releasing slots costs, by finder and by how many pages were
 * written.
 *
 * Prints ns per acquire + release, the guest's own page faults and writes included (first column:
 * those alone, on pages that stay resident). The thresholds of src/wasm/slab.c rest on these
 * figures. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "wasm/slab.h"

#define ROUNDS 40000u
#define LIVE_MAX 4096u

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct pd_slab *open_slab(enum pd_slab_kind kind, size_t slot_size, uint32_t hot_slots_max,
                                 enum pd_pages_finder finder)
{
    struct pd_slab_config config = {
        .kind = kind,
        .slot_size_min = slot_size,
        .slot_size_max = slot_size,
        .bytes_max = UINT64_C(1) << 40,
        .slots_max = 1u << 20,
        .hot_slots_max = hot_slots_max,
        .dirty_bytes_max = 32u << 20,
        .shards = 2,
        .finder = finder,
    };
    struct pd_slab *slab = NULL;
    enum pd_status status = pd_slab_open(&config, &slab);
    pd_assert(status == PD_OK);
    return slab;
}

static struct pd_slab_slot acquire(struct pd_slab *slab)
{
    struct pd_slab_slot slot;
    enum pd_status status = pd_slab_acquire(slab, 0, &slot);
    pd_assert(status == PD_OK);
    return slot;
}

/* A guest's stores: the first pages of a memory, the last ones of a stack. */
static void touch(struct pd_slab *slab, struct pd_slab_slot slot, enum pd_slab_kind kind,
                  uint32_t page_count)
{
    volatile uint8_t *base = pd_slab_base(slab, slot);
    size_t size = pd_slab_size(slab, slot);
    for (uint32_t i = 0; i < page_count; i++) {
        size_t offset = (size_t)i * 4096 + 8;
        base[kind == PD_SLAB_STACK ? size - offset : offset] = 1;
    }
}

/* `live` slots are held; each round releases one of them, at random, and acquires another. */
static double churn(struct pd_slab *slab, enum pd_slab_kind kind, uint32_t live,
                    uint32_t page_count)
{
    static struct pd_slab_slot slots[LIVE_MAX];
    uint64_t seed = 1;
    uint64_t best = UINT64_MAX;
    for (uint32_t i = 0; i < live; i++) {
        slots[i] = acquire(slab);
        touch(slab, slots[i], kind, page_count);
    }
    for (int repeat = 0; repeat < 5; repeat++) {
        uint64_t start = now_ns();
        for (uint32_t i = 0; i < ROUNDS; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            struct pd_slab_slot *slot = &slots[(seed >> 33) % live];
            pd_slab_release(slab, *slot);
            *slot = acquire(slab);
            touch(slab, *slot, kind, page_count);
        }
        uint64_t spent = now_ns() - start;
        best = spent < best ? spent : best;
    }
    for (uint32_t i = 0; i < live; i++) {
        pd_slab_release(slab, slots[i]);
    }
    return (double)best / ROUNDS;
}

static void bench_finders(void)
{
    static const char *names[] = {"auto", "scan", "pagemap", "none"};
    static const uint32_t lives[] = {1, 500, 4000};
    printf("64 KiB memories, ns per release + acquire + stores\n%-10s %6s", "finder", "live");
    for (uint32_t pages = 1; pages <= 16; pages *= 2) {
        printf(" %5u p", pages);
    }
    printf("\n");
    for (enum pd_pages_finder finder = PD_PAGES_SCAN; finder <= PD_PAGES_NONE; finder++) {
        for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++) {
            printf("%-10s %6u", names[finder], lives[i]);
            for (uint32_t pages = 1; pages <= 16; pages *= 2) {
                struct pd_slab *slab = open_slab(PD_SLAB_MEMORY, 65536, 4096, finder);
                printf(" %7.0f", churn(slab, PD_SLAB_MEMORY, lives[i], pages));
                pd_slab_close(slab);
            }
            printf("\n");
        }
    }
}

static void bench_sizes(void)
{
    printf("\n3 pages written, 500 live, by slot size\n");
    for (size_t size = 65536; size <= (size_t)16 << 20; size *= 2) {
        struct pd_slab *slab = open_slab(PD_SLAB_MEMORY, size, 4096, PD_PAGES_AUTO);
        printf("%8zu KiB %7.0f\n", size >> 10, churn(slab, PD_SLAB_MEMORY, 500, 3));
        pd_slab_close(slab);
    }
}

static void bench_stacks(void)
{
    printf("\n128 KiB stacks\n");
    for (uint32_t pages = 1; pages <= 16; pages *= 4) {
        struct pd_slab *slab = open_slab(PD_SLAB_STACK, 131072, 4096, PD_PAGES_AUTO);
        printf("%2u pages deep %7.0f\n", pages, churn(slab, PD_SLAB_STACK, 500, pages));
        pd_slab_close(slab);
    }
}

/* A burst: many are acquired and touched, then all are released beyond the hot bound. */
static void bench_burst(enum pd_slab_kind kind, size_t size, const char *name)
{
    static struct pd_slab_slot slots[100000];
    const uint32_t count = sizeof slots / sizeof slots[0];
    struct pd_slab *slab = open_slab(kind, size, 1024, PD_PAGES_AUTO);
    uint64_t start = now_ns();
    for (uint32_t i = 0; i < count; i++) {
        slots[i] = acquire(slab);
        touch(slab, slots[i], kind, 1);
    }
    uint64_t middle = now_ns();
    for (uint32_t i = 0; i < count; i++) {
        pd_slab_release(slab, slots[i]);
    }
    uint64_t end = now_ns();
    printf("burst of %u %s: acquire and touch %.0f ns, release %.0f ns, %u mappings\n", count, name,
           (double)(middle - start) / count, (double)(end - middle) / count,
           pd_slab_stats(slab).mappings_count);
    pd_slab_close(slab);
}

static void *run_thread(void *argument)
{
    struct pd_slab *slab = argument;
    for (uint32_t i = 0; i < 20 * ROUNDS; i++) {
        pd_slab_release(slab, acquire(slab));
    }
    return NULL;
}

static void bench_threads(uint32_t thread_count)
{
    pthread_t threads[8];
    struct pd_slab *slab = open_slab(PD_SLAB_STACK, 131072, 4096, PD_PAGES_AUTO);
    uint64_t start = now_ns();
    for (uint32_t i = 0; i < thread_count; i++) {
        int result = pthread_create(&threads[i], NULL, run_thread, slab);
        pd_assert(result == 0);
    }
    for (uint32_t i = 0; i < thread_count; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("%u threads: %.0f ns wall per pair and thread\n", thread_count,
           (double)(now_ns() - start) / (20 * ROUNDS));
    pd_slab_close(slab);
}

int main(void)
{
    bench_finders();
    bench_sizes();
    bench_stacks();
    printf("\n");
    bench_burst(PD_SLAB_MEMORY, 65536, "memories");
    bench_burst(PD_SLAB_STACK, 131072, "stacks");
    printf("\nstacks, untouched\n");
    bench_threads(1);
    bench_threads(2);
    bench_threads(4);
    return 0;
}
