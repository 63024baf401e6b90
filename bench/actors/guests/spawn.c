/* spawn - what one actor's life costs.
 *
 *   spawn serial   N        spawn a child, wait for its one message; N times
 *   spawn inflight N WIDTH  the same, WIDTH children at a time
 *   spawn kill     N        spawn a child, let it block in receive, kill it, await its death
 *   spawn trap     N        spawn a child that executes `unreachable`, await its death */
#include "bench.h"

#define LINK_TAG 7u

static struct bench_arguments arguments;

void child_reply(uint64_t parent);
void child_block(uint64_t parent);
void child_trap(uint64_t parent);
void _start(void);

BENCH_EXPORT("reply") void child_reply(uint64_t parent)
{
    bench_send_number(parent, 1);
}

BENCH_EXPORT("block") void child_block(uint64_t parent)
{
    bench_send_number(parent, 1);
    (void)lunatic_receive(NULL, 0, BENCH_FOREVER);
}

BENCH_EXPORT("trap") void child_trap(uint64_t parent)
{
    (void)parent;
    __builtin_trap();
}

static void await_death(void)
{
    if (lunatic_receive(NULL, 0, BENCH_FOREVER) != BENCH_LINK_DIED) {
        bench_fail("a linked child's death was not reported");
    }
}

static void run_serial(uint64_t self, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        (void)BENCH_SPAWN("reply", self, 0);
        (void)bench_receive_number();
    }
}

static void run_inflight(uint64_t self, uint64_t count, uint64_t width)
{
    for (uint64_t done = 0; done < count; done += width) {
        for (uint64_t i = 0; i < width; i++) {
            (void)BENCH_SPAWN("reply", self, 0);
        }
        for (uint64_t i = 0; i < width; i++) {
            (void)bench_receive_number();
        }
    }
}

static void run_kill(uint64_t self, uint64_t count)
{
    lunatic_die_when_link_dies(0);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t child = BENCH_SPAWN("block", self, LINK_TAG);
        (void)bench_receive_number();
        lunatic_kill(child);
        await_death();
    }
}

static void run_trap(uint64_t self, uint64_t count)
{
    lunatic_die_when_link_dies(0);
    for (uint64_t i = 0; i < count; i++) {
        (void)BENCH_SPAWN("trap", self, LINK_TAG);
        await_death();
    }
}

BENCH_EXPORT("_start") void _start(void)
{
    bench_arguments_load(&arguments);
    const char *mode = bench_mode(&arguments);
    uint64_t count = bench_argument(&arguments, 2, 1000);
    uint64_t width = bench_argument(&arguments, 3, 500);
    uint64_t self = lunatic_process_id();
    uint64_t begin = 0;
    if (count == 0 || width == 0) {
        bench_fail("a count of 0");
    }
    count += (width - count % width) % width; /* whole rounds, so that counts match what was run */
    if (bench_equal(mode, "serial")) {
        run_serial(self, count / 10 + 1); /* warm: slots exist before the clock starts */
        begin = bench_now_ns();
        run_serial(self, count);
        bench_result("spawn_serial", bench_now_ns() - begin, count);
    } else if (bench_equal(mode, "inflight")) {
        run_inflight(self, width, width);
        begin = bench_now_ns();
        run_inflight(self, count, width);
        bench_result("spawn_inflight", bench_now_ns() - begin, count);
    } else if (bench_equal(mode, "kill")) {
        run_kill(self, count / 10 + 1);
        begin = bench_now_ns();
        run_kill(self, count);
        bench_result("spawn_kill", bench_now_ns() - begin, count);
    } else if (bench_equal(mode, "trap")) {
        run_trap(self, count / 10 + 1);
        begin = bench_now_ns();
        run_trap(self, count);
        bench_result("spawn_trap", bench_now_ns() - begin, count);
    } else {
        bench_fail("usage: spawn serial|inflight|kill|trap COUNT [WIDTH]");
    }
}
