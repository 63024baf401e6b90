/* mass - COUNT actors that live at once, each blocked in receive; then all of them are woken and
 * end.
 *
 *   mass COUNT PAUSE_MS   READY is printed when all are blocked; they are woken PAUSE_MS later
 *
 * Link it with a stack of 2 KiB and --stack-first: stack and constants then share one page, the
 * only one of its memory that a child touches. */
#include "bench.h"

#define PAGE_BYTES 65536u

static struct bench_arguments arguments;

void child_wait(uint64_t parent);
void _start(void);

/* Two messages, so that the parent knows when it is blocked and that it was woken. */
BENCH_EXPORT("wait") void child_wait(uint64_t parent)
{
    bench_send_number(parent, 1);
    bench_send_number(parent, bench_receive_number());
}

static uint64_t *pids_take(uint64_t count)
{
    uint64_t bytes = count * sizeof(uint64_t);
    size_t before = __builtin_wasm_memory_grow(0, (size_t)((bytes + PAGE_BYTES - 1) / PAGE_BYTES));
    if (before == SIZE_MAX) {
        bench_fail("memory.grow was refused");
    }
    return (uint64_t *)(before * PAGE_BYTES);
}

static void spawn_all(uint64_t *pids, uint64_t count)
{
    uint64_t self = lunatic_process_id();
    for (uint64_t i = 0; i < count; i++) {
        pids[i] = BENCH_SPAWN("wait", self, 0);
        (void)bench_receive_number();
    }
}

/* Wake them a batch at a time, so that answers never fill this actor's mailbox while it is
 * sending. */
static void wake_all(const uint64_t *pids, uint64_t count)
{
    enum {
        BATCH = 512
    };
    for (uint64_t begin = 0; begin < count; begin += BATCH) {
        uint64_t end = begin + BATCH < count ? begin + BATCH : count;
        for (uint64_t i = begin; i < end; i++) {
            bench_send_number(pids[i], i);
        }
        for (uint64_t i = begin; i < end; i++) {
            (void)bench_receive_number();
        }
    }
}

static void await_ends(const uint64_t *pids, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        while (lunatic_exists(pids[i]) != 0) {
            lunatic_sleep_ms(1);
        }
    }
}

BENCH_EXPORT("_start") void _start(void)
{
    bench_arguments_load(&arguments);
    uint64_t count = bench_argument(&arguments, 1, 1000);
    uint64_t pause_ms = bench_argument(&arguments, 2, 1000);
    if (count == 0 || count > 100000000) {
        bench_fail("a count of 0, or above 100,000,000");
    }
    uint64_t *pids = pids_take(count);
    bench_ready("mass_base", 0);
    lunatic_sleep_ms(pause_ms);
    uint64_t begin = bench_now_ns();
    spawn_all(pids, count);
    bench_result("mass_spawn", bench_now_ns() - begin, count);
    bench_ready("mass", count);
    lunatic_sleep_ms(pause_ms);
    begin = bench_now_ns();
    wake_all(pids, count);
    await_ends(pids, count);
    bench_result("mass_wake", bench_now_ns() - begin, count);
}
