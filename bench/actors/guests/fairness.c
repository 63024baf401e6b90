/* fairness - how long a message waits for its receiver while LOOPS actors never stop computing.
 *
 *   fairness LOOPS ROUNDS
 *
 * Two actors exchange messages that carry the time of sending; a hop is from there to the
 * receiver's next instruction. One of the loops also reads the clock: a jump between two readings
 * ends one slice and begins the next, which gives the slice's length without the runtime's help. */
#include "bench.h"

#define ROUNDS_MAX 3000u /* all of it in one page of memory */
#define SLICES 101u
#define ITERATIONS_PER_READING 400u
#define RUN_MS_MAX 10000u

static struct bench_arguments arguments;
static uint64_t hops[2 * ROUNDS_MAX];
static uint64_t slices[SLICES];

void child_echo(uint64_t parent);
void child_loop(uint64_t seed);
void child_meter(uint64_t parent);
void _start(void);

/* Answer with this hop's length and the time of answering. */
BENCH_EXPORT("echo") void child_echo(uint64_t parent)
{
    for (;;) {
        uint64_t sent = bench_receive_number();
        uint64_t answer[2] = {bench_shared_now_ns() - sent, 0};
        lunatic_create_data(0, sizeof answer);
        answer[1] = bench_shared_now_ns();
        (void)lunatic_write_data(answer, sizeof answer);
        (void)lunatic_send(parent);
    }
}

static uint64_t step(uint64_t state)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^ (state << 17);
}

BENCH_EXPORT("loop") void child_loop(uint64_t seed)
{
    volatile uint64_t sink = seed + 1;
    uint64_t state = seed + 1;
    for (;;) {
        state = step(state);
        if (state == 0) {
            sink = state; /* never: but the compiler must keep the loop */
        }
    }
    (void)sink;
}

static void sort(uint64_t *numbers, uint32_t count)
{
    for (uint32_t gap = count / 2; gap > 0; gap /= 2) {
        for (uint32_t i = gap; i < count; i++) {
            uint64_t number = numbers[i];
            uint32_t at = i;
            for (; at >= gap && numbers[at - gap] > number; at -= gap) {
                numbers[at] = numbers[at - gap];
            }
            numbers[at] = number;
        }
    }
}

/* Begins when told to, with all loops running. A jump is a reading that comes ten times later than
 * the usual one. */
BENCH_EXPORT("meter") void child_meter(uint64_t parent)
{
    uint64_t state = parent + bench_receive_number();
    uint64_t usual = UINT64_MAX;
    uint64_t slice_begin = 0;
    uint64_t before = bench_now_ns();
    for (uint32_t count = 0; count < SLICES;) {
        for (uint32_t i = 0; i < ITERATIONS_PER_READING; i++) {
            state = step(state);
        }
        uint64_t now = bench_now_ns();
        uint64_t passed = now - before;
        if (passed < usual) {
            usual = passed;
        }
        if (passed > 10 * usual) {
            if (slice_begin > 0) {
                slices[count++] = before - slice_begin + usual;
            }
            slice_begin = now;
        }
        before = now;
    }
    sort(slices, SLICES);
    bench_send_number(parent, slices[SLICES / 2]);
    child_loop(state);
}

static uint32_t run(uint64_t echo, uint64_t rounds)
{
    uint64_t begin = bench_now_ns();
    uint32_t count = 0;
    for (uint64_t i = 0; i < rounds && bench_now_ns() - begin < RUN_MS_MAX * UINT64_C(1000000);
         i++) {
        uint64_t answer[2] = {0, 0};
        bench_send_number(echo, bench_shared_now_ns());
        if (lunatic_receive(NULL, 0, BENCH_FOREVER) != BENCH_DATA ||
            lunatic_read_data(answer, sizeof answer) != sizeof answer) {
            bench_fail("the echo's answer is not two numbers");
        }
        hops[count++] = answer[0];
        hops[count++] = bench_shared_now_ns() - answer[1];
    }
    return count;
}

BENCH_EXPORT("_start") void _start(void)
{
    bench_arguments_load(&arguments);
    uint64_t loops = bench_argument(&arguments, 1, 1000);
    uint64_t rounds = bench_argument(&arguments, 2, 300);
    uint64_t self = lunatic_process_id();
    if (loops == 0 || rounds == 0 || rounds > ROUNDS_MAX) {
        bench_fail("usage: fairness LOOPS ROUNDS, at least 1 and 1, at most 3,000 rounds");
    }
    uint64_t echo = BENCH_SPAWN("echo", self, 0);
    uint64_t meter = BENCH_SPAWN("meter", self, 0);
    for (uint64_t i = 1; i < loops; i++) {
        (void)BENCH_SPAWN("loop", i, 0);
    }
    bench_send_number(meter, 1);
    uint64_t slice = bench_receive_number();
    uint32_t count = run(echo, rounds);
    sort(hops, count);
    bench_result("fairness_slice", slice, 1);
    bench_result("fairness_p50", hops[count / 2], 1);
    bench_result("fairness_p99", hops[count * 99 / 100], 1);
    bench_result("fairness_max", hops[count - 1], 1);
    bench_result("fairness_hops", count, 1);
    /* A pair that the scheduler lets run on in its slice seldom waits: say what those hops took
     * that did. */
    uint32_t quick = 0;
    while (quick < count && hops[quick] <= slice) {
        quick++;
    }
    if (quick < count) {
        bench_result("fairness_waited", count - quick, 1);
        bench_result("fairness_waited_p50", hops[quick + (count - quick) / 2], 1);
    }
}
