/* libc_mass - as mass, but each actor is a wasi-libc guest that formatted a text on its heap.
 *
 *   libc_mass COUNT PAUSE_MS */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bench_arguments arguments;

void child_wait(uint64_t parent);

BENCH_EXPORT("wait") void child_wait(uint64_t parent)
{
    enum {
        TEXT_BYTES = 200
    };
    char *text = malloc(TEXT_BYTES);
    if (text == NULL) {
        bench_fail("malloc returned NULL");
    }
    (void)snprintf(text, TEXT_BYTES, "actor %llu, child of %llu, %.3f",
                   (unsigned long long)lunatic_process_id(), (unsigned long long)parent, 1.5);
    bench_send_number(parent, strlen(text));
    (void)bench_receive_number();
    bench_send_number(parent, strlen(text));
    free(text);
}

int main(void)
{
    bench_arguments_load(&arguments);
    uint64_t count = bench_argument(&arguments, 1, 1000);
    uint64_t pause_ms = bench_argument(&arguments, 2, 1000);
    uint64_t self = lunatic_process_id();
    uint64_t *pids = calloc((size_t)count + 1, sizeof *pids);
    if (pids == NULL || count == 0) {
        bench_fail("a count of 0, or more than memory holds");
    }
    bench_ready("libc_mass_base", 0);
    lunatic_sleep_ms(pause_ms);
    uint64_t begin = bench_now_ns();
    for (uint64_t i = 0; i < count; i++) {
        pids[i] = BENCH_SPAWN("wait", self, 0);
        (void)bench_receive_number();
    }
    bench_result("libc_mass_spawn", bench_now_ns() - begin, count);
    bench_ready("libc_mass", count);
    lunatic_sleep_ms(pause_ms);
    begin = bench_now_ns();
    for (uint64_t i = 0; i < count; i++) {
        bench_send_number(pids[i], i);
        (void)bench_receive_number();
    }
    bench_result("libc_mass_wake", bench_now_ns() - begin, count);
    free(pids);
    return 0;
}
