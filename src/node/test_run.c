#include "node/test_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "wasm/wasi.h"

#define FIRST_PID 1u
#define LOOK_NS UINT64_C(1000000) /* between two looks at an environment that is ending */
#define NOTE_MAX 1024u

/* What one test writes, and how its first process ended. Guests of a test may still write while
 * they are being killed, so it lives until the run is closed. */
struct pd_test_capture {
    struct pd_output_sink sink; /* first */
    struct pd_host *host;       /* to write through; NULL: only captured */
    struct pd_spin lock;        /* over the bytes */
    char *bytes;
    size_t size;
    size_t capacity;
    bool is_cut;
    struct pd_environment *environment;
    struct pd_exit exit; /* once is_over */
    atomic_bool is_over;
};

/* --- Capturing -------------------------------------------------------------------------------- */

/* Room for `size` more bytes, as far as is allowed. Returns for how many. Under the lock: the
 * memory grows by doubling, so that is rare. */
static size_t make_room(struct pd_test_capture *capture, size_t size)
{
    size_t wanted = capture->size + size;
    if (wanted > PD_TEST_OUTPUT_MAX) {
        wanted = PD_TEST_OUTPUT_MAX;
    }
    if (wanted > capture->capacity) {
        size_t capacity = wanted * 2 < 4096 ? 4096 : wanted * 2;
        char *bytes = pd_realloc(capture->bytes, capacity);
        if (bytes == NULL) {
            return 0;
        }
        capture->bytes = bytes;
        capture->capacity = capacity;
    }
    return wanted - capture->size;
}

static void capture_bytes(struct pd_test_capture *capture, const void *bytes, size_t size)
{
    pd_spin_lock(&capture->lock);
    size_t room = make_room(capture, size);
    size_t taken = size < room ? size : room;
    if (taken > 0) {
        memcpy(capture->bytes + capture->size, bytes, taken);
        capture->size += taken;
    }
    capture->is_cut = capture->is_cut || taken < size;
    pd_spin_unlock(&capture->lock);
}

static enum pd_file_error capture_write(struct pd_output_sink *sink, int stream,
                                        const uint8_t *bytes, size_t size)
{
    struct pd_test_capture *capture = (struct pd_test_capture *)sink;
    capture_bytes(capture, bytes, size);
    return capture->host == NULL ? PD_FILE_OK
                                 : capture->host->ops->output(capture->host, stream, bytes, size);
}

static void note(struct pd_test_capture *capture, const char *format, ...) PD_PRINTF(2, 3);

static void note(struct pd_test_capture *capture, const char *format, ...)
{
    char text[NOTE_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (capture->size > 0 && capture->bytes[capture->size - 1] != '\n') {
        capture_bytes(capture, "\n", 1);
    }
    capture_bytes(capture, text, strlen(text));
    capture_bytes(capture, "\n", 1);
}

static struct pd_test_capture *capture_create(struct pd_host *shown)
{
    struct pd_test_capture *capture = pd_alloc_zeroed(1, sizeof *capture);
    if (capture != NULL) {
        capture->sink.write = capture_write;
        capture->host = shown;
    }
    return capture;
}

static void capture_destroy(struct pd_test_capture *capture)
{
    if (capture != NULL) {
        pd_exit_text_release(capture->exit.text);
        pd_free(capture->bytes);
        pd_free(capture);
    }
}

const char *pd_test_output(const struct pd_test *test, size_t *size_out)
{
    *size_out = test->capture == NULL ? 0 : test->capture->size;
    return test->capture == NULL ? NULL : test->capture->bytes;
}

/* --- Finding the tests ------------------------------------------------------------------------ */

static int compare_paths(const void *left, const void *right)
{
    const struct pd_test *a = left;
    const struct pd_test *b = right;
    size_t size = a->name.path_size < b->name.path_size ? a->name.path_size : b->name.path_size;
    int order = memcmp(a->name.path, b->name.path, size);
    if (order != 0) {
        return order;
    }
    return (a->name.path_size > b->name.path_size) - (a->name.path_size < b->name.path_size);
}

enum pd_status pd_test_run_open(struct pd_test_run *run, struct pd_program *program,
                                struct pd_module *module, const struct pd_test_config *config)
{
    *run = (struct pd_test_run){.program = program, .module = module, .config = *config};
    struct pd_test_name name;
    uint32_t count = 0;
    for (uint32_t i = 0; i < module->export_count; i++) {
        const struct pd_module_export *entry = &module->exports[i];
        count += pd_test_name_parse(entry->name, entry->name_size, &name);
    }
    run->tests = pd_alloc_zeroed(count + 1, sizeof *run->tests);
    pd_assert(config->parallel_max > 0);
    run->places = pd_alloc_zeroed(config->parallel_max, sizeof *run->places);
    if (run->tests == NULL || run->places == NULL) {
        pd_test_run_close(run);
        return PD_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < module->export_count; i++) {
        const struct pd_module_export *entry = &module->exports[i];
        if (!pd_test_name_parse(entry->name, entry->name_size, &name)) {
            continue;
        }
        struct pd_test *test = &run->tests[run->test_count++];
        test->name = name;
        test->entry = entry;
        if (pd_test_choice_wants(&config->choice, &name)) {
            run->wanted_count++;
        } else {
            test->state = PD_TEST_FILTERED;
        }
    }
    qsort(run->tests, run->test_count, sizeof *run->tests, compare_paths);
    return PD_OK;
}

void pd_test_run_close(struct pd_test_run *run)
{
    for (uint32_t i = 0; run->tests != NULL && i < run->test_count; i++) {
        capture_destroy(run->tests[i].capture);
    }
    pd_free(run->tests);
    pd_free(run->places);
    *run = (struct pd_test_run){0};
}

/* --- Running them ----------------------------------------------------------------------------- */

/* On a scheduler thread. */
static void process_exited(void *context, struct pd_program *program, struct pd_process *process)
{
    struct pd_test_run *run = context;
    if (process->pid != FIRST_PID) {
        return;
    }
    for (uint32_t i = 0; i < run->config.parallel_max; i++) {
        struct pd_test_capture *capture =
            atomic_load_explicit(&run->places[i].capture, memory_order_acquire);
        if (capture != NULL && capture->environment == process->environment) {
            capture->exit.reason = process->exit.reason;
            capture->exit.text = pd_exit_text_share(process->exit.text);
            atomic_store_explicit(&capture->is_over, true, memory_order_release);
            program->host->ops->event_set(program->host, &program->changed);
        }
    }
}

static enum pd_status start(struct pd_test_run *run, struct pd_test *test,
                            struct pd_test_place *place)
{
    struct pd_program *program = run->program;
    test->capture = capture_create(run->config.is_shown ? program->host : NULL);
    if (test->capture == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    struct pd_rights *rights = run->config.make_rights(run->config.context);
    if (rights == NULL) {
        return PD_ERR_INVALID;
    }
    pd_wasi_config_set_sink(rights->wasi, &test->capture->sink);
    struct pd_environment *environment = NULL;
    enum pd_status status = pd_program_add_environment(program, 0, &environment);
    struct pd_wasm_process *process = NULL;
    if (status == PD_OK) {
        const struct pd_wasm_spawn spawn = {
            .environment = environment,
            .module = run->module,
            .rights = rights,
            .entry = {.function = test->entry->name, .function_size = test->entry->name_size},
        };
        status = pd_wasm_process_create(&program->system, &spawn, &process);
    }
    pd_rights_release(rights);
    if (status != PD_OK) {
        return status;
    }
    pd_assert(process->process->pid == FIRST_PID);
    test->capture->environment = environment;
    test->state = PD_TEST_RUNNING;
    place->test = test;
    place->is_ending = false;
    run->running_count++;
    atomic_store_explicit(&place->capture, test->capture, memory_order_release);
    pd_process_start(process->process);
    return PD_OK;
}

/* Did its panic contain what was expected? Notes why not. */
static bool has_expected_panic(const struct pd_test *test)
{
    struct pd_test_capture *capture = test->capture;
    char expected[NOTE_MAX];
    if (test->name.panic_size == 0) {
        return true; /* every death will do */
    }
    if (test->name.panic_size > sizeof expected) {
        note(capture, "note: the expected panic's text is longer than %zu bytes", sizeof expected);
        return false;
    }
    size_t expected_size = pd_test_name_expected(&test->name, expected);
    size_t size = 0;
    const char *words = pd_test_panic_words(capture->bytes, capture->size, &size);
    if (words == NULL) {
        note(capture, "note: a panic with `%.*s` was expected, but the test ended by %s: %s",
             (int)expected_size, expected, pd_exit_reason_text(capture->exit.reason),
             pd_exit_text_bytes(capture->exit.text));
        return false;
    }
    if (!pd_test_contains(words, size, expected, expected_size)) {
        /* The words are copied first: a note may move the captured bytes. */
        char found[NOTE_MAX / 2];
        (void)snprintf(found, sizeof found, "%.*s", (int)size, words);
        note(capture,
             "note: panic did not contain expected string\n"
             "      panic message: `%s`,\n expected substring: `%.*s`",
             found, (int)expected_size, expected);
        return false;
    }
    return true;
}

static bool has_passed(const struct pd_test *test)
{
    struct pd_test_capture *capture = test->capture;
    bool is_good_end = capture->exit.reason == PD_EXIT_NORMAL;
    if (test->name.panic == NULL) {
        size_t size = 0;
        if (!is_good_end && pd_test_panic_words(capture->bytes, capture->size, &size) == NULL) {
            note(capture, "note: the test ended by %s: %s",
                 pd_exit_reason_text(capture->exit.reason), pd_exit_text_bytes(capture->exit.text));
        }
        return is_good_end;
    }
    if (is_good_end) {
        note(capture, "note: test did not panic as expected");
        return false;
    }
    return has_expected_panic(test);
}

/* Its environment is empty: nobody writes to its capture any more. */
static void finish(struct pd_test_run *run, struct pd_test_place *place)
{
    struct pd_test *test = place->test;
    if (test->capture->is_cut) {
        note(test->capture, "note: more than %zu bytes of output; the rest is left out",
             PD_TEST_OUTPUT_MAX);
    }
    bool is_passed = has_passed(test);
    test->state = is_passed ? PD_TEST_PASSED : PD_TEST_FAILED;
    run->passed_count += is_passed;
    run->failed_count += !is_passed;
    run->running_count--;
    atomic_store_explicit(&place->capture, NULL, memory_order_release);
    run->config.report(run->config.context, test);
}

/* Look at all that run. True: some of them are ending, so look again soon. */
static bool look(struct pd_test_run *run)
{
    bool is_some_ending = false;
    pd_assert(run->places != NULL);
    for (uint32_t i = 0; i < run->config.parallel_max; i++) {
        struct pd_test_place *place = &run->places[i];
        struct pd_test_capture *capture =
            atomic_load_explicit(&place->capture, memory_order_relaxed);
        if (capture == NULL || !atomic_load_explicit(&capture->is_over, memory_order_acquire)) {
            continue;
        }
        if (!place->is_ending) {
            place->is_ending = true;
            pd_program_kill_environment(capture->environment);
        }
        if (pd_environment_count(capture->environment) == 0) {
            finish(run, place);
        } else {
            is_some_ending = true;
        }
    }
    return is_some_ending;
}

static struct pd_test_place *free_place(struct pd_test_run *run)
{
    for (uint32_t i = 0; i < run->config.parallel_max; i++) {
        if (atomic_load_explicit(&run->places[i].capture, memory_order_relaxed) == NULL) {
            return &run->places[i];
        }
    }
    return NULL;
}

/* The next that is to run, passing over those that only need a word. NULL: there is none. */
static struct pd_test *next_test(struct pd_test_run *run, uint32_t *at)
{
    bool runs_ignored = run->config.choice.only_ignored || run->config.choice.include_ignored;
    for (; *at < run->test_count; (*at)++) {
        struct pd_test *test = &run->tests[*at];
        if (test->state != PD_TEST_WAITING) {
            continue;
        }
        if (!test->name.is_ignored || runs_ignored) {
            return test;
        }
        test->state = PD_TEST_IGNORED;
        run->ignored_count++;
        run->config.report(run->config.context, test);
    }
    return NULL;
}

enum pd_status pd_test_run_all(struct pd_test_run *run)
{
    struct pd_program *program = run->program;
    program->exit_hook = process_exited;
    program->exit_hook_context = run;
    uint32_t at = 0;
    for (;;) {
        struct pd_test *test = next_test(run, &at);
        struct pd_test_place *place = test == NULL ? NULL : free_place(run);
        if (place != NULL) {
            enum pd_status status = start(run, test, place);
            if (status != PD_OK) {
                return status;
            }
            continue;
        }
        bool is_some_ending = look(run);
        if (test == NULL && run->running_count == 0) {
            return PD_OK;
        }
        if (atomic_load(&program->interrupts) > 0) {
            return PD_ERR_CLOSED;
        }
        uint64_t until_ns =
            is_some_ending ? pd_host_now_ns(program->host) + LOOK_NS : PD_TIME_NEVER;
        if (is_some_ending || free_place(run) == NULL || test == NULL) {
            (void)program->host->ops->event_wait(program->host, &program->changed, until_ns);
        }
    }
}
