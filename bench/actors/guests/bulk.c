/* bulk - how long one bulk memory operation keeps everybody else on its thread from running.
 *
 *   bulk fill|copy|grow BYTES ROUNDS
 *
 * A worker does the operation ROUNDS times while two actors play ping-pong. On one scheduler thread
 * the longest time between two of their round trips is the operation's pause, as others feel it;
 * the worker's own clock says how long the operation itself took. fill and copy write pages that
 * were never touched in their first round, which is the worst; grow doubles a memory whose BYTES
 * were all written.
 *
 * Prints `bulk_pause` (felt by the pair) and `bulk_work` (the worker's clock), each the longest
 * seen. */
#include "bench.h"

#define PAGE_BYTES 65536u
#define WORKER_LINK 1u                    /* its failure ends this program too */
#define WORKER_ANSWER (UINT64_C(1) << 63) /* marks the worker's messages; the echo's are small */

static struct bench_arguments arguments;

void child_echo(uint64_t parent);
void child_fill(uint64_t parent);
void child_copy(uint64_t parent);
void child_grow(uint64_t parent);
void _start(void);

BENCH_EXPORT("echo") void child_echo(uint64_t parent)
{
    for (;;) {
        bench_send_number(parent, bench_receive_number());
    }
}

/* New pages at the memory's end. */
static uint8_t *pages_take(uint64_t bytes)
{
    size_t before = __builtin_wasm_memory_grow(0, (size_t)(bytes / PAGE_BYTES));
    if (before == SIZE_MAX) {
        bench_fail("memory.grow was refused");
    }
    return (uint8_t *)(before * PAGE_BYTES);
}

/* What a worker does: `rounds` operations of `bytes` bytes, when it is told to. */
struct work {
    uint64_t bytes;
    uint64_t rounds;
};

static struct work work_await(void)
{
    struct work work = {.bytes = bench_receive_number(), .rounds = 0};
    work.rounds = bench_receive_number();
    return work;
}

/* Prepared: say so, and wait for the word to begin. */
static void begin_await(uint64_t parent)
{
    bench_send_number(parent, WORKER_ANSWER);
    (void)bench_receive_number();
}

static void longest_keep(uint64_t *longest, uint64_t begin)
{
    uint64_t passed = bench_now_ns() - begin;
    if (passed > *longest) {
        *longest = passed;
    }
}

BENCH_EXPORT("fill") void child_fill(uint64_t parent)
{
    struct work work = work_await();
    uint8_t *to = pages_take(work.bytes);
    uint64_t longest = 0;
    begin_await(parent);
    for (uint64_t i = 0; i < work.rounds; i++) {
        uint64_t begin = bench_now_ns();
        __builtin_memset(to, (int)(i + 1), (size_t)work.bytes);
        longest_keep(&longest, begin);
    }
    bench_send_number(parent, WORKER_ANSWER | longest);
}

BENCH_EXPORT("copy") void child_copy(uint64_t parent)
{
    struct work work = work_await();
    uint8_t *from = pages_take(work.bytes);
    uint8_t *to = pages_take(work.bytes);
    uint64_t longest = 0;
    __builtin_memset(from, 1, (size_t)work.bytes);
    begin_await(parent);
    for (uint64_t i = 0; i < work.rounds; i++) {
        uint64_t begin = bench_now_ns();
        __builtin_memcpy(to, from, (size_t)work.bytes);
        longest_keep(&longest, begin);
    }
    bench_send_number(parent, WORKER_ANSWER | longest);
}

/* One round only: the next one would need twice as much. */
BENCH_EXPORT("grow") void child_grow(uint64_t parent)
{
    struct work work = work_await();
    uint64_t longest = 0;
    __builtin_memset(pages_take(work.bytes), 1, (size_t)work.bytes);
    begin_await(parent);
    uint64_t begin = bench_now_ns();
    (void)pages_take(work.bytes);
    longest_keep(&longest, begin);
    bench_send_number(parent, WORKER_ANSWER | longest);
}

/* Ping-pong until the worker has answered; return its answer, and the longest pause in
 * *pause_out. */
static uint64_t play(uint64_t echo, uint64_t *pause_out)
{
    uint64_t before = bench_now_ns();
    *pause_out = 0;
    for (uint64_t i = 0;; i++) {
        uint64_t answer = 0;
        bench_send_number(echo, 0);
        answer = bench_receive_number();
        longest_keep(pause_out, before);
        if ((answer & WORKER_ANSWER) != 0) {
            return answer & ~WORKER_ANSWER;
        }
        before = bench_now_ns();
    }
}

static uint64_t worker_spawn(const char *mode, uint64_t self)
{
    if (bench_equal(mode, "fill")) {
        return BENCH_SPAWN("fill", self, WORKER_LINK);
    }
    if (bench_equal(mode, "copy")) {
        return BENCH_SPAWN("copy", self, WORKER_LINK);
    }
    if (bench_equal(mode, "grow")) {
        return BENCH_SPAWN("grow", self, WORKER_LINK);
    }
    bench_fail("usage: bulk fill|copy|grow BYTES ROUNDS");
}

BENCH_EXPORT("_start") void _start(void)
{
    bench_arguments_load(&arguments);
    uint64_t bytes = bench_argument(&arguments, 2, PAGE_BYTES);
    uint64_t rounds = bench_argument(&arguments, 3, 1);
    uint64_t self = lunatic_process_id();
    if (bytes == 0 || bytes % PAGE_BYTES != 0 || rounds == 0) {
        bench_fail("a count of 0, or bytes not a multiple of 65536");
    }
    uint64_t worker = worker_spawn(bench_mode(&arguments), self);
    bench_send_number(worker, bytes);
    bench_send_number(worker, rounds);
    (void)bench_receive_number();
    uint64_t echo = BENCH_SPAWN("echo", self, 0);
    uint64_t pause = 0;
    bench_send_number(worker, 1);
    uint64_t longest = play(echo, &pause);
    bench_result("bulk_pause", pause, 1);
    bench_result("bulk_work", longest, 1);
}
