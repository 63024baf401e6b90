/* test_run - runs the tests of a module, each in an environment of its own.
 *
 * Model      A test is an exported function (test_name.h). It begins as a process of a fresh
 *            environment, with empty registry and pid 1; when that process has ended, the rest of
 *            the environment is killed, and its end and its output say whether the test passed.
 *            What tests write is captured, from all of their processes.
 * Bounds     `parallel_max` tests at a time; PD_TEST_OUTPUT_MAX bytes of output each, the rest is
 *            left out and that is said.
 * Ownership  The caller owns run, program and module from open to close; close the program before
 *            the run, whose captures guests write into.
 * Threads    One thread, but for the captures and the hook of ended processes (schedulers). */
#ifndef PD_NODE_TEST_RUN_H
#define PD_NODE_TEST_RUN_H

#include "node/program.h"
#include "node/test_name.h"

#define PD_TEST_OUTPUT_MAX ((size_t)4 << 20)

enum pd_test_state {
    PD_TEST_WAITING = 0,
    PD_TEST_RUNNING = 1,
    PD_TEST_PASSED = 2,
    PD_TEST_FAILED = 3,
    PD_TEST_IGNORED = 4,
    PD_TEST_FILTERED = 5 /* not wanted */
};

struct pd_test_capture;

struct pd_test {
    struct pd_test_name name;
    const struct pd_module_export *entry;
    enum pd_test_state state;
    struct pd_test_capture *capture; /* once it ran */
};

struct pd_test_config {
    struct pd_test_choice choice;
    uint32_t parallel_max;
    bool is_shown; /* output is written as it comes, too */
    /* The rights of a test, with its captured output; NULL: it was told why not. */
    struct pd_rights *(*make_rights)(void *context);
    /* A test is over: PASSED, FAILED or IGNORED. */
    void (*report)(void *context, const struct pd_test *test);
    void *context;
};

/* One of those that run at the same time. */
struct pd_test_place {
    _Atomic(struct pd_test_capture *) capture; /* NULL: free */
    struct pd_test *test;
    bool is_ending; /* its first process is over, the others are being killed */
};

struct pd_test_run {
    struct pd_program *program;
    struct pd_module *module;
    struct pd_test_config config;
    struct pd_test *tests;        /* sorted by path */
    struct pd_test_place *places; /* parallel_max */
    uint32_t running_count;
    uint32_t test_count;
    uint32_t wanted_count;
    uint32_t passed_count;
    uint32_t failed_count;
    uint32_t ignored_count;
};

/* Find the module's tests and those wanted. `module` is borrowed. PD_OK, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_test_run_open(struct pd_test_run *run, struct pd_program *program,
                                             struct pd_module *module,
                                             const struct pd_test_config *config);
void pd_test_run_close(struct pd_test_run *run);

/* Run all that are wanted; report is called for each as it ends.
 * PD_ERR_CLOSED: pd_program_interrupt was called; what ran is being killed.
 * Others: a test could not be started. */
PD_NODISCARD enum pd_status pd_test_run_all(struct pd_test_run *run);

/* What a test wrote, and notes on why it failed. Valid until close. */
const char *pd_test_output(const struct pd_test *test, size_t *size_out);

#endif
