/* ping - two actors and one message that goes back and forth.
 *
 *   ping numbers N        N round trips of one number
 *   ping bytes   N BYTES  N round trips of BYTES bytes: each side writes every byte anew and reads
 *                every
 *                         byte that it receives. BYTES is a multiple of 64. */
#include "bench.h"

#define PAGE_BYTES 65536u
#define WORDS_PER_STEP 8u

static struct bench_arguments arguments;

void child_echo(uint64_t parent);
void child_echo_bytes(uint64_t parent);
void child_resume(uint64_t parent);
void _start(void);

BENCH_EXPORT("echo") void child_echo(uint64_t parent)
{
    for (;;) {
        bench_send_number(parent, bench_receive_number() + 1);
    }
}

/* Only waits: bare Wasmtime resumes it, which is what a round trip costs at least, twice. */
BENCH_EXPORT("resume") void child_resume(uint64_t parent)
{
    (void)parent;
    for (;;) {
        (void)lunatic_receive(NULL, 0, BENCH_FOREVER);
    }
}

/* New pages at the memory's end: only the guests that carry large messages grow. */
static uint64_t *buffer_take(uint64_t bytes)
{
    uint32_t pages = (uint32_t)((bytes + PAGE_BYTES - 1) / PAGE_BYTES);
    size_t before = __builtin_wasm_memory_grow(0, pages);
    if (before == SIZE_MAX) {
        bench_fail("memory.grow was refused");
    }
    return (uint64_t *)(before * PAGE_BYTES);
}

/* Write every word and return what read_all makes of them. Unrolled: a fuel check at each loop head
 * would otherwise be most of what is measured. */
static uint64_t write_all(uint64_t *words, uint64_t bytes, uint64_t seed)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < bytes / sizeof *words; i += WORDS_PER_STEP) {
        words[i] = seed;
        words[i + 1] = seed + i;
        words[i + 2] = seed;
        words[i + 3] = seed;
        words[i + 4] = seed;
        words[i + 5] = seed;
        words[i + 6] = seed;
        words[i + 7] = seed;
        sum += seed ^ (seed + i);
    }
    return sum;
}

static uint64_t read_all(const uint64_t *words, uint64_t bytes)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < bytes / sizeof *words; i += WORDS_PER_STEP) {
        sum += (words[i] ^ words[i + 1]) + (words[i + 2] ^ words[i + 3]) +
               (words[i + 4] ^ words[i + 5]) + (words[i + 6] ^ words[i + 7]);
    }
    return sum;
}

/* Send new bytes and return their sum. */
static uint64_t send_bytes(uint64_t pid, uint64_t *buffer, uint64_t bytes, uint64_t seed)
{
    uint64_t sum = write_all(buffer, bytes, seed);
    lunatic_create_data(0, bytes);
    if (lunatic_write_data(buffer, (uint32_t)bytes) != bytes) {
        bench_fail("a message was not written whole");
    }
    (void)lunatic_send(pid);
    return sum;
}

static uint64_t receive_bytes(uint64_t *buffer, uint64_t bytes)
{
    if (lunatic_receive(NULL, 0, BENCH_FOREVER) != BENCH_DATA ||
        lunatic_read_data(buffer, (uint32_t)bytes) != bytes) {
        bench_fail("a message did not arrive whole");
    }
    return read_all(buffer, bytes);
}

BENCH_EXPORT("echo_bytes") void child_echo_bytes(uint64_t parent)
{
    uint64_t bytes = bench_receive_number();
    uint64_t *buffer = buffer_take(bytes);
    for (;;) {
        uint64_t seed = receive_bytes(buffer, bytes);
        (void)send_bytes(parent, buffer, bytes, seed);
    }
}

static void run_numbers(uint64_t echo, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        bench_send_number(echo, i);
        if (bench_receive_number() != i + 1) {
            bench_fail("the echo answered with another number");
        }
    }
}

/* Content differs each time, and the answer depends on every byte that was received. */
static void run_bytes(uint64_t echo, uint64_t count, uint64_t *buffer, uint64_t bytes)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t sum = send_bytes(echo, buffer, bytes, i);
        (void)receive_bytes(buffer, bytes);
        if (buffer[0] != sum) {
            bench_fail("the echo read other bytes than were sent");
        }
    }
}

BENCH_EXPORT("_start") void _start(void)
{
    bench_arguments_load(&arguments);
    const char *mode = bench_mode(&arguments);
    uint64_t count = bench_argument(&arguments, 2, 1000);
    uint64_t bytes = bench_argument(&arguments, 3, 1024);
    uint64_t self = lunatic_process_id();
    if (count == 0 || bytes == 0 || bytes % 64 != 0) {
        bench_fail("a count of 0, or bytes not a multiple of 64");
    }
    if (bench_equal(mode, "numbers")) {
        uint64_t echo = BENCH_SPAWN("echo", self, 0);
        run_numbers(echo, count / 10 + 1);
        uint64_t begin = bench_now_ns();
        run_numbers(echo, count);
        bench_result("ping_pong", bench_now_ns() - begin, count);
    } else if (bench_equal(mode, "bytes")) {
        uint64_t echo = BENCH_SPAWN("echo_bytes", self, 0);
        uint64_t *buffer = buffer_take(bytes);
        bench_send_number(echo, bytes);
        run_bytes(echo, count / 10 + 1, buffer, bytes);
        uint64_t begin = bench_now_ns();
        run_bytes(echo, count, buffer, bytes);
        bench_result("message", bench_now_ns() - begin, count);
    } else {
        bench_fail("usage: ping numbers|bytes COUNT [BYTES]");
    }
}
