/* The program's own output, behind a reader that stands still, goes away, or comes back. */
#include "host/output.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define STREAM STDERR_FILENO
#define LINE 64u
#define LINES 4096u
#define WRITERS 4u

static int saved = -1;
static int reader = -1;

/* The stream is a small pipe; nobody reads it yet. */
static int set_up(void **state)
{
    (void)state;
    int ends[2];
    (void)signal(SIGPIPE, SIG_IGN);
    saved = dup(STREAM);
    if (saved < 0 || pipe(ends) != 0 || fcntl(ends[1], F_SETPIPE_SZ, 4096) < 0 ||
        dup2(ends[1], STREAM) != STREAM) {
        return -1;
    }
    (void)close(ends[1]);
    reader = ends[0];
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (reader >= 0) {
        (void)close(reader); /* what waits has nobody any more */
        reader = -1;
    }
    pd_host_output_drain();
    (void)dup2(saved, STREAM);
    (void)close(saved);
    return 0;
}

static void read_all(uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t got = read(reader, bytes, size);
        assert_true(got > 0);
        bytes += got;
        size -= (size_t)got;
    }
}

static bool may_write(void)
{
    return pd_host_output(STREAM, NULL, 0) != PD_FILE_AGAIN;
}

static void nobody_waits_for_a_reader(void **state)
{
    (void)state;
    size_t size = 3 * PD_HOST_OUTPUT_SOFT;
    uint8_t *given = malloc(size);
    uint8_t *came = malloc(size + 4);
    assert_true(given != NULL && came != NULL);
    for (size_t i = 0; i < size; i++) {
        given[i] = (uint8_t)(i * 7 + i / 4096);
    }
    assert_true(may_write());
    assert_int_equal(pd_host_output(STREAM, given, size), PD_FILE_OK);
    assert_false(may_write());
    assert_int_equal(pd_host_output(STREAM, (const uint8_t *)"last", 4), PD_FILE_OK);
    read_all(came, size + 4); /* all of it, in order */
    assert_memory_equal(came, given, size);
    assert_memory_equal(came + size, "last", 4);
    pd_host_output_drain();
    assert_true(may_write());
    free(given);
    free(came);
}

/* Nobody reads; then somebody does. */
static void fill_and_read(void)
{
    size_t size = 3 * PD_HOST_OUTPUT_SOFT;
    uint8_t *given = malloc(size);
    uint8_t *came = malloc(size);
    assert_true(given != NULL && came != NULL);
    for (size_t i = 0; i < size; i++) {
        given[i] = (uint8_t)(i * 11 + i / 4096);
    }
    assert_int_equal(pd_host_output(STREAM, given, size), PD_FILE_OK);
    assert_false(may_write());
    read_all(came, size);
    assert_memory_equal(came, given, size);
    pd_host_output_drain();
    assert_true(may_write());
    free(given);
    free(came);
}

/* As a service's is, whose log goes to a collector. */
static void a_socket_is_not_waited_for(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(dup2(ends[1], STREAM), STREAM);
    (void)close(ends[1]);
    (void)close(reader);
    reader = ends[0];
    fill_and_read();
}

/* As with a pipe of another user; here for want of descriptors. */
static void nor_is_a_pipe_that_cannot_be_opened_again(void **state)
{
    (void)state;
    struct rlimit before;
    struct rlimit none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum pd_file_error error = pd_host_output(STREAM, (const uint8_t *)"x", 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(error, PD_FILE_OK);
    uint8_t byte = 0;
    read_all(&byte, 1);
    assert_int_equal(byte, 'x');
    fill_and_read();
}

static void what_is_too_much_is_dropped_as_a_whole(void **state)
{
    (void)state;
    enum {
        PIECE = 1 << 20
    };
    static uint8_t piece[PIECE];
    uint32_t taken = 0;
    uint8_t *came = malloc(2 * PD_HOST_OUTPUT_HARD);
    assert_non_null(came);
    for (;;) {
        memset(piece, 'a' + (int)(taken % 26), sizeof piece);
        if (pd_host_output(STREAM, piece, sizeof piece) != PD_FILE_OK) {
            break;
        }
        taken++;
        assert_true(taken <= 2 * PD_HOST_OUTPUT_HARD / PIECE);
    }
    assert_true(taken >= PD_HOST_OUTPUT_HARD / PIECE - 1);
    read_all(came, (size_t)taken * PIECE);
    for (size_t i = 0; i < (size_t)taken * PIECE; i++) {
        assert_int_equal(came[i], 'a' + (int)(i / PIECE % 26));
    }
    free(came);
}

static void a_reader_that_goes_is_told_of(void **state)
{
    (void)state;
    static uint8_t bytes[65536];
    enum pd_file_error error = PD_FILE_OK;
    assert_int_equal(pd_host_output(STREAM, bytes, sizeof bytes), PD_FILE_OK);
    (void)close(reader);
    reader = -1;
    while (error == PD_FILE_OK || error == PD_FILE_AGAIN) { /* it is found out beside us */
        error = pd_host_output(STREAM, bytes, 1);
        (void)sched_yield();
    }
    assert_int_equal(error, PD_FILE_PIPE);
    assert_true(may_write());
}

static void another_stream_is_seen(void **state)
{
    (void)state;
    char text[8] = "";
    FILE *stream = tmpfile();
    assert_non_null(stream);
    int file = fileno(stream);
    assert_int_equal(pd_host_output(STREAM, (const uint8_t *)"a", 1), PD_FILE_OK);
    assert_int_equal(dup2(file, STREAM), STREAM);
    assert_int_equal(pd_host_output(STREAM, (const uint8_t *)"bcd", 3), PD_FILE_OK);
    assert_int_equal(pd_host_output_blocking(STREAM, (const uint8_t *)"e", 1), PD_FILE_OK);
    assert_int_equal(pread(file, text, sizeof text, 0), 4);
    assert_string_equal(text, "bcde");
    read_all((uint8_t *)text, 1);
    assert_int_equal(text[0], 'a');
    (void)fclose(stream);
}

static void *write_lines(void *argument)
{
    uint8_t line[LINE];
    memset(line, 'a' + *(const int *)argument, sizeof line);
    line[LINE - 1] = '\n';
    for (uint32_t i = 0; i < LINES; i++) {
        while (!may_write()) {
            (void)sched_yield();
        }
        if (pd_host_output(STREAM, line, sizeof line) != PD_FILE_OK) {
            return argument;
        }
    }
    return NULL;
}

static void lines_of_many_threads_stay_whole(void **state)
{
    (void)state;
    static uint8_t came[WRITERS * LINES * LINE];
    static const int numbers[WRITERS] = {0, 1, 2, 3};
    uint32_t counts[WRITERS] = {0};
    pthread_t threads[WRITERS];
    for (uint32_t i = 0; i < WRITERS; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, write_lines, (void *)(uintptr_t)&numbers[i]), 0);
    }
    read_all(came, sizeof came);
    for (uint32_t i = 0; i < WRITERS; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    for (size_t at = 0; at < sizeof came; at += LINE) {
        for (size_t i = 0; i + 1 < LINE; i++) {
            assert_int_equal(came[at + i], came[at]);
        }
        assert_int_equal(came[at + LINE - 1], '\n');
        counts[came[at] - 'a']++;
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        assert_int_equal(counts[i], LINES);
    }
}

/* The last one: from then on this process hurries. */
static void who_is_told_to_end_gives_a_reader_up(void **state)
{
    (void)state;
    static uint8_t bytes[65536];
    assert_int_equal(pd_host_output(STREAM, bytes, sizeof bytes), PD_FILE_OK);
    pd_host_output_hurry();
    pd_host_output_drain();
    assert_true(may_write());
    pd_host_output_drain();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nobody_waits_for_a_reader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_socket_is_not_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nor_is_a_pipe_that_cannot_be_opened_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_too_much_is_dropped_as_a_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_that_goes_is_told_of, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_stream_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lines_of_many_threads_stay_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_told_to_end_gives_a_reader_up, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
