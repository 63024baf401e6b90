/* bench - what the benchmark guests share: the imports that they use and lines for the runner.
 *
 * Model      Freestanding: no libc, so that a lean guest touches one page of its memory. Every
 *            import is lunatic::* or WASI preview 1, hence one binary runs on Lunatic and on Pando.
 * Output     `RESULT name ns_per_op count` lines, and `READY name count` while memory may be
 *            sampled. All of it goes to fd 2: Lunatic may cut a guest's buffered stdout.
 * Bounds     BENCH_ARGUMENTS_MAX arguments, BENCH_ARGUMENT_BYTES_MAX bytes together, 120 bytes a
 *            line.
 * Time       WASI's clocks, in ns: monotonic within one actor, wall time between two. */
#ifndef PD_BENCH_GUEST_H
#define PD_BENCH_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define BENCH_EXPORT(name) __attribute__((export_name(name)))

#define BENCH_ARGUMENTS_MAX 8u
#define BENCH_ARGUMENT_BYTES_MAX 256u
#define BENCH_FOREVER UINT64_MAX /* a timeout that never ends */
#define BENCH_INHERIT UINT64_MAX /* the parent's own module or configuration */

enum bench_message {
    BENCH_DATA = 0,
    BENCH_LINK_DIED = 1,
    BENCH_PROCESS_DIED = 2
};

BENCH_IMPORT("lunatic::message", "create_data")
void lunatic_create_data(uint64_t tag, uint64_t capacity);
BENCH_IMPORT("lunatic::message", "write_data")
uint32_t lunatic_write_data(const void *data, uint32_t size);
BENCH_IMPORT("lunatic::message", "read_data")
uint32_t lunatic_read_data(void *data, uint32_t size);
BENCH_IMPORT("lunatic::message", "send") uint32_t lunatic_send(uint64_t pid);
BENCH_IMPORT("lunatic::message", "receive")
uint32_t lunatic_receive(const uint64_t *tags, uint32_t count, uint64_t timeout_ms);
BENCH_IMPORT("lunatic::process", "spawn")
uint32_t lunatic_spawn(uint64_t link, uint64_t config, uint64_t module, const char *function,
                       uint32_t function_size, const void *params, uint32_t params_size,
                       uint64_t *id_out);
BENCH_IMPORT("lunatic::process", "process_id") uint64_t lunatic_process_id(void);
BENCH_IMPORT("lunatic::process", "sleep_ms") void lunatic_sleep_ms(uint64_t ms);
BENCH_IMPORT("lunatic::process", "kill") void lunatic_kill(uint64_t pid);
BENCH_IMPORT("lunatic::process", "exists") uint32_t lunatic_exists(uint64_t pid);
BENCH_IMPORT("lunatic::process", "die_when_link_dies")
void lunatic_die_when_link_dies(uint32_t yes);
BENCH_IMPORT("wasi_snapshot_preview1", "clock_time_get")
uint32_t wasi_clock_time_get(uint32_t clock, uint64_t precision, uint64_t *time_out);
BENCH_IMPORT("wasi_snapshot_preview1", "fd_write")
uint32_t wasi_fd_write(uint32_t fd, const void *vectors, uint32_t count, uint32_t *written_out);
BENCH_IMPORT("wasi_snapshot_preview1", "args_sizes_get")
uint32_t wasi_args_sizes_get(uint32_t *count_out, uint32_t *bytes_out);
BENCH_IMPORT("wasi_snapshot_preview1", "args_get")
uint32_t wasi_args_get(char **pointers_out, char *bytes_out);
BENCH_IMPORT("wasi_snapshot_preview1", "proc_exit")
_Noreturn void wasi_proc_exit(uint32_t code);

/* One line of output, gathered so that it leaves in one write. */
struct bench_line {
    char bytes[120];
    uint32_t size;
};

struct bench_vector {
    const char *bytes;
    uint32_t size;
};

static inline uint64_t bench_now_ns(void)
{
    uint64_t now = 0;
    (void)wasi_clock_time_get(1, 0, &now);
    return now;
}

/* A clock that two actors may compare: Lunatic's monotonic clock starts at 0 in each of them. */
static inline uint64_t bench_shared_now_ns(void)
{
    uint64_t now = 0;
    (void)wasi_clock_time_get(0, 0, &now);
    return now;
}

static inline void bench_put_text(struct bench_line *line, const char *text)
{
    while (*text != '\0' && line->size < sizeof line->bytes) {
        line->bytes[line->size++] = *text++;
    }
}

static inline void bench_put_number(struct bench_line *line, uint64_t number)
{
    char digits[20];
    uint32_t count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (count > 0 && line->size < sizeof line->bytes) {
        line->bytes[line->size++] = digits[--count];
    }
}

static inline void bench_flush(struct bench_line *line)
{
    bench_put_text(line, "\n");
    struct bench_vector vector = {line->bytes, line->size};
    uint32_t written = 0;
    (void)wasi_fd_write(2, &vector, 1, &written);
    line->size = 0;
}

/* Print `RESULT name elapsed_ns/count count`, with one decimal. count is at least 1. */
static inline void bench_result(const char *name, uint64_t elapsed_ns, uint64_t count)
{
    struct bench_line line;
    line.size = 0; /* the rest needs no zeroes, and there is no memset */
    uint64_t tenths = elapsed_ns * 10 / count;
    bench_put_text(&line, "RESULT ");
    bench_put_text(&line, name);
    bench_put_text(&line, " ");
    bench_put_number(&line, tenths / 10);
    bench_put_text(&line, ".");
    bench_put_number(&line, tenths % 10);
    bench_put_text(&line, " ");
    bench_put_number(&line, count);
    bench_flush(&line);
}

/* Print `READY name count`: from here until the guest's pause ends, the runner may sample
 * memory. */
static inline void bench_ready(const char *name, uint64_t count)
{
    struct bench_line line;
    line.size = 0;
    bench_put_text(&line, "READY ");
    bench_put_text(&line, name);
    bench_put_text(&line, " ");
    bench_put_number(&line, count);
    bench_flush(&line);
}

/* End the run with exit code 1 and a line that says why. */
static inline _Noreturn void bench_fail(const char *why)
{
    struct bench_line line;
    line.size = 0;
    bench_put_text(&line, "FAILED ");
    bench_put_text(&line, why);
    bench_flush(&line);
    wasi_proc_exit(1);
}

static inline bool bench_equal(const char *left, const char *right)
{
    while (*left != '\0' && *left == *right) {
        left++;
        right++;
    }
    return *left == *right;
}

static inline uint64_t bench_parse(const char *text)
{
    uint64_t number = 0;
    if (*text == '\0') {
        bench_fail("an argument is empty; a number is needed");
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') {
            bench_fail("an argument is not a number");
        }
        number = number * 10 + (uint64_t)(*text - '0');
    }
    return number;
}

/* The command line after the program's name. */
struct bench_arguments {
    char *pointers[BENCH_ARGUMENTS_MAX];
    char bytes[BENCH_ARGUMENT_BYTES_MAX];
    uint32_t count;
};

static inline void bench_arguments_load(struct bench_arguments *arguments)
{
    uint32_t bytes = 0;
    (void)wasi_args_sizes_get(&arguments->count, &bytes);
    if (arguments->count > BENCH_ARGUMENTS_MAX || bytes > BENCH_ARGUMENT_BYTES_MAX) {
        bench_fail("too many arguments");
    }
    (void)wasi_args_get(arguments->pointers, arguments->bytes);
}

static inline uint64_t bench_argument(const struct bench_arguments *arguments, uint32_t index,
                                      uint64_t otherwise)
{
    return index < arguments->count ? bench_parse(arguments->pointers[index]) : otherwise;
}

/* The name of the work: argument 1, or the empty string. */
static inline const char *bench_mode(const struct bench_arguments *arguments)
{
    return arguments->count > 1 ? arguments->pointers[1] : "";
}

/* Spawn one of this module's exports, which takes one i64. */
static inline uint64_t bench_spawn(const char *function, uint32_t function_size, uint64_t argument,
                                   uint64_t link)
{
    uint8_t params[17] = {0x7E};
    for (uint32_t i = 0; i < 8; i++) {
        params[1 + i] = (uint8_t)(argument >> (8 * i));
    }
    uint64_t id = 0;
    if (lunatic_spawn(link, BENCH_INHERIT, BENCH_INHERIT, function, function_size, params,
                      sizeof params, &id) != 0) {
        bench_fail("spawn was refused");
    }
    return id;
}

/* For a literal name. */
#define BENCH_SPAWN(function, argument, link)                                                      \
    bench_spawn((function), (uint32_t)(sizeof(function) - 1), (argument), (link))

static inline void bench_send_number(uint64_t pid, uint64_t number)
{
    lunatic_create_data(0, sizeof number);
    (void)lunatic_write_data(&number, sizeof number);
    (void)lunatic_send(pid);
}

/* Wait for a message that is one number. */
static inline uint64_t bench_receive_number(void)
{
    uint64_t number = 0;
    if (lunatic_receive(NULL, 0, BENCH_FOREVER) != BENCH_DATA) {
        bench_fail("a signal came where a message was awaited");
    }
    if (lunatic_read_data(&number, sizeof number) != sizeof number) {
        bench_fail("a message is shorter than a number");
    }
    return number;
}

#endif
