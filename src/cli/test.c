/* pando test FILE.wasm: the tests of a module, with words and output as cargo's own. */
#include "cli/test.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/run.h"
#include "cli/signals.h"
#include "node/program.h"
#include "node/test_run.h"

#define PARALLEL_DEFAULT 32u
#define PARALLEL_MAX 256u
#define WORDS_MAX 256
/* Of all tests that run together; each environment has a table as large as this. */
#define PROCESSES_MAX 65536u

enum list_format {
    FORMAT_PRETTY = 0
};

enum color {
    COLOR_AUTO = 0,
    COLOR_ALWAYS = 1
};

struct words {
    struct pd_run_options run; /* the file, and directories */
    struct pd_test_choice choice;
    const char *skips[WORDS_MAX];
    uint64_t parallel_max;
    bool is_list;
    bool is_shown;
    bool shows_passed;
    bool is_quiet;
    uint32_t format;
    bool is_test;
    uint32_t color;
};

struct session {
    struct words words;
    struct pd_program program;
    struct pd_test_run run;
    bool is_colored;
};

/* --- Words ------------------------------------------------------------------------------------ */

static const char *take_skip(void *values, const char *value)
{
    struct words *words = values;
    if (words->choice.skip_count == WORDS_MAX) {
        return "is given more than 256 times";
    }
    words->skips[words->choice.skip_count++] = value;
    return NULL;
}

static const char *take_directory(void *values, const char *value)
{
    struct words *words = values;
    if (words->run.directory_count == PD_RUN_DIRECTORIES_MAX) {
        return "is given more than 64 times";
    }
    words->run.directories[words->run.directory_count++] = value;
    return value[0] == '\0' ? "takes a directory, perhaps with ::NAME behind it" : NULL;
}

static const struct pd_option options_table[] = {
    {.name = "--exact",
     .text = "filters are whole paths, not parts of them",
     .offset = offsetof(struct words, choice.is_exact)},
    {.name = "--skip",
     .kind = PD_OPTION_TAKE,
     .value = "TEXT",
     .text = "not the tests whose path contains this (may be given again)",
     .take = take_skip},
    {.name = "--ignored",
     .text = "only tests marked #[ignore]",
     .offset = offsetof(struct words, choice.only_ignored)},
    {.name = "--include-ignored",
     .text = "those too",
     .offset = offsetof(struct words, choice.include_ignored)},
    {.name = "--list", .text = "only name the tests", .offset = offsetof(struct words, is_list)},
    {.name = "--format",
     .kind = PD_OPTION_CHOICE,
     .value = "pretty|terse",
     .text = "of the list; terse: as other programs read it",
     .offset = offsetof(struct words, format)},
    {.name = "--nocapture",
     .text = "show what tests write as they write it",
     .offset = offsetof(struct words, is_shown)},
    {.name = "--show-output",
     .text = "show what passed tests wrote, too",
     .offset = offsetof(struct words, shows_passed)},
    {.name = "--test-threads",
     .kind = PD_OPTION_NUMBER,
     .value = "N",
     .text = "at most so many at a time (default: 32)",
     .offset = offsetof(struct words, parallel_max),
     .least = 1,
     .most = PARALLEL_MAX},
    {.name = "--dir",
     .kind = PD_OPTION_TAKE,
     .value = "HOST[::GUEST]",
     .text = "let tests see a directory (may be given again)",
     .take = take_directory},
    {.name = "--quiet",
     .letter = "-q",
     .text = "one character a test",
     .offset = offsetof(struct words, is_quiet)},
    {.name = "--color",
     .kind = PD_OPTION_CHOICE,
     .value = "auto|always|never",
     .text = "whether words are coloured (default: auto, on a terminal)",
     .offset = offsetof(struct words, color)},
    /* what cargo means by it is what happens anyway */
    {.name = "--test", .offset = offsetof(struct words, is_test), .is_hidden = true},
    {.name = NULL},
};

/* Read them; `values` holds what is there without them. */
static int parse(int count, char **texts, struct words *words)
{
    int result = PD_EXIT_CODE_OK;
    words->run.is_as_lunatic = true;
    if (!words->run.has_network) {
        words->run.has_network = true;
        words->run.network = PD_NETWORK_ALL;
    }
    words->parallel_max = PARALLEL_DEFAULT;
    if (!pd_command_parse(&pd_command_test, &count, texts, words, &result)) {
        return result;
    }
    if (take_directory(words, ".") != NULL) {
        return pd_command_usage(&pd_command_test, "--dir is given too often");
    }
    words->run.file = texts[0];
    words->run.argument_count = 0;
    words->choice.filters = (const char *const *)(texts + 1);
    words->choice.filter_count = (size_t)count - 1;
    words->choice.skips = words->skips;
    return PD_EXIT_CODE_OK;
}

/* --- What each test may do -------------------------------------------------------------------- */

/* As Lunatic gives them: every right, this command's environment, the current directory. */
static struct pd_rights *make_rights(void *context)
{
    struct session *session = context;
    struct pd_rights *rights = NULL;
    return pd_run_rights(&session->program, &session->words.run, &rights) == PD_EXIT_CODE_OK
               ? rights
               : NULL;
}

/* --- Telling ---------------------------------------------------------------------------------- */

static const char *color(const struct session *session, const char *code)
{
    return session->is_colored ? code : "";
}

static void report(void *context, const struct pd_test *test)
{
    const struct session *session = context;
    const char *word = "ignored";
    const char *code = "\x1b[33m";
    if (test->state == PD_TEST_PASSED) {
        word = "ok";
        code = "\x1b[32m";
    } else if (test->state == PD_TEST_FAILED) {
        word = "FAILED";
        code = "\x1b[31m";
    }
    if (session->words.is_quiet) {
        (void)printf("%s%c%s", color(session, code), test->state == PD_TEST_PASSED ? '.' : word[0],
                     color(session, "\x1b[0m"));
    } else {
        (void)printf("test %.*s%s ... %s%s%s\n", (int)test->name.path_size, test->name.path,
                     test->name.panic != NULL ? " - should panic" : "", color(session, code), word,
                     color(session, "\x1b[0m"));
    }
    (void)fflush(stdout);
}

static void print_group(const struct pd_test_run *run, enum pd_test_state state, const char *title)
{
    (void)printf("\n%s:\n", title);
    for (uint32_t i = 0; i < run->test_count; i++) {
        const struct pd_test *test = &run->tests[i];
        size_t size = 0;
        const char *output = pd_test_output(test, &size);
        if (test->state != state || size == 0) {
            continue;
        }
        (void)printf("\n---- %.*s stdout ----\n", (int)test->name.path_size, test->name.path);
        (void)fwrite(output, 1, size, stdout);
        if (output[size - 1] != '\n') {
            (void)putchar('\n');
        }
    }
    (void)printf("\n%s:\n", title);
    for (uint32_t i = 0; i < run->test_count; i++) {
        const struct pd_test *test = &run->tests[i];
        if (test->state == state) {
            (void)printf("    %.*s\n", (int)test->name.path_size, test->name.path);
        }
    }
}

static void print_list(const struct session *session)
{
    const struct pd_test_run *run = &session->run;
    for (uint32_t i = 0; i < run->test_count; i++) {
        if (run->tests[i].state != PD_TEST_FILTERED) {
            (void)printf("%.*s: test\n", (int)run->tests[i].name.path_size,
                         run->tests[i].name.path);
        }
    }
    if (session->words.format == FORMAT_PRETTY) {
        (void)printf("\n%u test%s, 0 benchmarks\n", run->wanted_count,
                     run->wanted_count == 1 ? "" : "s");
    }
}

static void print_summary(const struct session *session, uint64_t took_ns)
{
    const struct pd_test_run *run = &session->run;
    if (session->words.shows_passed) {
        print_group(run, PD_TEST_PASSED, "successes");
    }
    if (run->failed_count > 0) {
        print_group(run, PD_TEST_FAILED, "failures");
    }
    (void)printf("\ntest result: %s%s%s. %u passed; %u failed; %u ignored; 0 measured; %u filtered "
                 "out; finished in %.2fs\n\n",
                 color(session, run->failed_count > 0 ? "\x1b[31m" : "\x1b[32m"),
                 run->failed_count > 0 ? "FAILED" : "ok", color(session, "\x1b[0m"),
                 run->passed_count, run->failed_count, run->ignored_count,
                 run->test_count - run->wanted_count, (double)took_ns / 1e9);
}

/* --- Running ---------------------------------------------------------------------------------- */

static int run_tests(struct session *session)
{
    struct pd_test_run *run = &session->run;
    if (session->words.is_list) {
        print_list(session);
        return PD_EXIT_CODE_OK;
    }
    if (run->test_count == 0) {
        (void)fprintf(stderr, "pando: %s exports no test (#[lunatic::test])\n",
                      session->words.run.file);
    }
    (void)printf("\nrunning %u test%s\n", run->wanted_count, run->wanted_count == 1 ? "" : "s");
    (void)fflush(stdout);
    uint64_t began_ns = pd_host_now_ns(session->program.host);
    enum pd_status status = pd_test_run_all(run);
    if (status == PD_ERR_CLOSED) {
        return 128 + pd_signals_last();
    }
    if (status != PD_OK) {
        return pd_command_failed("cannot start a test: %s", pd_status_text(status));
    }
    print_summary(session, pd_host_now_ns(session->program.host) - began_ns);
    return run->failed_count > 0 ? PD_EXIT_CODE_FAILED : PD_EXIT_CODE_OK;
}

static int load_and_run(struct session *session)
{
    static struct pd_module_message message;
    const char *file = session->words.run.file;
    struct pd_module *module = NULL;
    if (pd_program_load(&session->program, PD_ENGINE_DENSE, file, &module, &message) != PD_OK) {
        return pd_command_failed("%s: %s", file, message.text);
    }
    const struct pd_test_config config = {
        .choice = session->words.choice,
        .parallel_max = (uint32_t)session->words.parallel_max,
        .is_shown = session->words.is_shown,
        .make_rights = make_rights,
        .report = report,
        .context = session,
    };
    int result = PD_EXIT_CODE_FAILED;
    if (pd_test_run_open(&session->run, &session->program, module, &config) == PD_OK) {
        result = run_tests(session);
    } else {
        result = pd_command_failed("no memory");
    }
    pd_program_kill_all(&session->program);
    pd_module_release(module);
    return result;
}

static int run_session(struct session *session, int count, char **words)
{
    static struct pd_module_message message;
    int result = parse(count, words, &session->words);
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    session->is_colored = session->words.color == COLOR_ALWAYS ||
                          (session->words.color == COLOR_AUTO && isatty(STDOUT_FILENO) == 1);
    struct pd_program_config config = pd_program_config_default();
    config.processes_max = PROCESSES_MAX;
    pd_signals_block();
    if (pd_program_open(&session->program, &config, &message) != PD_OK) {
        return pd_command_failed("%s", message.text);
    }
    pd_signals_watch(&session->program);
    result = load_and_run(session);
    pd_signals_stop();
    pd_program_close(&session->program);
    pd_test_run_close(&session->run);
    return result;
}

static struct session session;

int pd_test_run_for_cargo(const struct pd_run_options *options)
{
    session.words.run = *options;
    /* The file stands in front of its arguments. */
    return run_session(&session, options->argument_count + 1, options->arguments - 1);
}

static int run_test(int count, char **words)
{
    session.words.run = pd_run_options_default();
    return run_session(&session, count, words);
}

/* Behind a '/': the name of one folder that is among `names` (ended by NULL; none: any name).
 * NULL: it is not. */
static const char *skip_folder(const char *at, const char *const *names)
{
    const char *slash = at == NULL ? NULL : strchr(at, '/');
    if (slash == NULL || names == NULL) {
        return slash == NULL ? NULL : slash + 1;
    }
    for (; *names != NULL; names++) {
        if (strlen(*names) == (size_t)(slash - at) &&
            memcmp(*names, at, (size_t)(slash - at)) == 0) {
            return slash + 1;
        }
    }
    return NULL;
}

bool pd_test_is_cargos(const char *file, int argument_count, char **arguments)
{
    static const char *const root[] = {"target", NULL};
    static const char *const targets[] = {"wasm32-wasi", "wasm32-wasip1", "wasm32-unknown-unknown",
                                          NULL};
    static const char *const deps[] = {"deps", NULL};
    if (getenv("CARGO_MANIFEST_DIR") == NULL) {
        return false;
    }
    for (int i = 0; i < argument_count; i++) {
        if (strcmp(arguments[i], "--bench") == 0) {
            return false;
        }
    }
    for (const char *at = file; at != NULL; at = skip_folder(at, NULL)) {
        const char *profile = skip_folder(skip_folder(at, root), targets);
        const char *rest = skip_folder(skip_folder(profile, NULL), deps);
        if (rest != NULL && strchr(rest, '/') == NULL) {
            return true;
        }
    }
    return false;
}

const struct pd_command pd_command_test = {
    .name = "test",
    .arguments = "FILE [FILTER...]",
    .summary = "run the tests of a module: functions marked #[lunatic::test]",
    .help =
        "Each test runs in an environment of its own, many at a time; what it writes is shown "
        "when\n"
        "it fails. It may do everything, and sees this command's environment and the current\n"
        "directory. Only tests whose path contains one of the filters are run. Exit code: 1 when\n"
        "one failed.\n\n"
        "With runner = \"pando run\" for the target in .cargo/config.toml, cargo test runs them.\n",
    .options = options_table,
    .words_min = 1,
    .words_max = INT_MAX,
    .examples = "pando test target/wasm32-wasi/debug/deps/app-0123.wasm mailbox\n",
    .run = run_test,
};
