/* pando sim: the shipping replicas in a simulated world, from a seed. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build_info.h"
#include "cli/command.h"
#include "cli/options.h"
#include "sim/core.h"
#include "sim/search.h"

#define SHRINK_TRIES_MAX 400u
#define SPEED_SEEDS 100u

struct arguments {
    struct pd_sim_run run;
    const char *schedule_file;
    const char *floors_file;
    const char *save_file;
    uint64_t first;
    uint64_t last;
    bool is_search;
    bool is_json;
    bool has_trace;
    bool has_marks;
    bool is_speed;
    bool no_shrink;
    uint64_t workers;
    uint64_t nodes; /* 0: drawn */
};

static void print_marks(const uint64_t *marks)
{
    for (uint32_t i = 0; i < PD_SOMETIMES_COUNT; i++) {
        (void)printf("%10" PRIu64 "  %-32s %s%s\n", marks[i],
                     pd_sometimes_name((enum pd_sometimes_id)i),
                     pd_sometimes_text((enum pd_sometimes_id)i), marks[i] == 0 ? "  NEVER" : "");
    }
}

static void print_counts(const struct pd_sim_counts *counts, bool is_json)
{
    char room[64];
    const char *name = NULL;
    for (uint32_t i = 0; (name = pd_sim_total_name(i, room, sizeof room)) != NULL; i++) {
        uint64_t value = pd_sim_total_value(counts, i);
        if (is_json) {
            (void)printf(",\"%s\":%" PRIu64, name, value);
        } else if (value > 0) {
            (void)printf("  %-24s %" PRIu64 "\n", name, value);
        }
    }
}

/* A text without anything that JSON would mind. */
static void print_json_text(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        (void)putchar(*at == '"' || *at == '\\' || (unsigned char)*at < ' ' ? '\'' : *at);
    }
}

static void print_result(const struct arguments *arguments, const struct pd_sim_result *result)
{
    if (arguments->is_json) {
        (void)printf("{\"seed\":%" PRIu64 ",\"ok\":%s,\"trace_hash\":\"%016" PRIx64
                     "\",\"simulated_s\":%" PRIu64,
                     result->seed, result->is_failed ? "false" : "true", result->trace_hash,
                     result->time_ns / PD_SIM_SECOND_NS);
        print_counts(&result->counts, true);
        if (result->is_failed) {
            (void)printf(",\"failure\":\"");
            print_json_text(result->failure);
            (void)printf("\"");
        }
        (void)printf("}\n");
        return;
    }
    (void)printf("seed %" PRIu64 ": %s, trace %016" PRIx64 ", %" PRIu64 " s simulated\n",
                 result->seed, result->is_failed ? "FAILED" : "ok", result->trace_hash,
                 result->time_ns / PD_SIM_SECOND_NS);
    print_counts(&result->counts, false);
}

static bool save(const struct arguments *arguments, const struct pd_sim_result *result,
                 const struct pd_sim_schedule *schedule, char *name, size_t name_size)
{
    (void)snprintf(name, name_size, "%s", arguments->save_file != NULL ? arguments->save_file : "");
    if (name[0] == '\0') {
        (void)snprintf(name, name_size, "pando-sim-%" PRIu64 ".schedule", result->seed);
    }
    FILE *file = fopen(name, "w");
    if (file == NULL) {
        return false;
    }
    const struct pd_sim_replay replay = {.seed = result->seed,
                                         .minutes = arguments->run.options.minutes,
                                         .nodes = arguments->run.options.nodes};
    pd_sim_schedule_write(schedule, &replay, file);
    (void)fprintf(file, "# %s\n", result->failure);
    return fclose(file) == 0;
}

/* Everything that helps whoever looks into it. */
static void report_failure(const struct arguments *arguments, const struct pd_sim_result *result)
{
    struct pd_sim_run run = arguments->run;
    run.options.seed = result->seed;
    run.recent = stderr;
    (void)fprintf(stderr,
                  "pando sim: seed %" PRIu64 " FAILED (build %s, event %" PRIu64 ", %" PRIu64
                  ".%03" PRIu64 " s): %s\nthe last events:\n",
                  result->seed, PD_BUILD_COMMIT, result->event_number,
                  result->time_ns / PD_SIM_SECOND_NS, result->time_ns % PD_SIM_SECOND_NS / 1000000,
                  result->failure);
    struct pd_sim_result again;
    pd_sim_run_apart(&run, &again);
    char name[256];
    if (!arguments->no_shrink) {
        struct pd_sim_schedule schedule;
        pd_sim_schedule_init(&schedule);
        if (run.schedule != NULL) {
            pd_sim_schedule_copy(&schedule, run.schedule);
        } else {
            (void)pd_sim_run_schedule(&run, &schedule);
        }
        size_t before = schedule.count;
        uint32_t tries = pd_sim_run_shrink(&run, result, SHRINK_TRIES_MAX, &schedule);
        (void)fprintf(stderr, "shrunk from %zu to %zu faults in %u runs:\n", before, schedule.count,
                      tries);
        const struct pd_sim_replay replay = {
            .seed = result->seed, .minutes = run.options.minutes, .nodes = run.options.nodes};
        pd_sim_schedule_write(&schedule, &replay, stderr);
        if (save(arguments, result, &schedule, name, sizeof name)) {
            (void)fprintf(stderr, "replay the shortest: pando sim --schedule %s\n", name);
        }
        pd_sim_schedule_deinit(&schedule);
    }
    (void)fprintf(stderr, "replay: pando sim --seed %" PRIu64 " --minutes %" PRIu64, result->seed,
                  run.options.minutes);
    if (run.options.nodes > 0) {
        (void)fprintf(stderr, " --nodes %u", run.options.nodes);
    }
    if (run.options.faults != NULL) {
        (void)fprintf(stderr, " --faults %s", run.options.faults);
    }
    (void)fprintf(stderr, "\n");
}

struct searching {
    const struct arguments *arguments;
    uint64_t done;
    uint64_t reported;
};

static void seed_done(void *state, const struct pd_sim_result *result)
{
    struct searching *searching = state;
    searching->done++;
    if (!result->is_failed) {
        return;
    }
    if (searching->reported++ < 3) {
        report_failure(searching->arguments, result);
    } else {
        (void)fprintf(stderr, "pando sim: seed %" PRIu64 " FAILED: %s\n", result->seed,
                      result->failure);
    }
}

static int check_floors(const struct arguments *arguments, const struct pd_sim_totals *totals)
{
    FILE *floors = fopen(arguments->floors_file, "r");
    if (floors == NULL) {
        return pd_command_failed("%s: %s", arguments->floors_file, strerror(errno));
    }
    enum pd_status status = pd_sim_floors_check(totals, floors, stderr);
    (void)fclose(floors);
    return status == PD_OK ? PD_EXIT_CODE_OK : PD_EXIT_CODE_FAILED;
}

static int search(const struct arguments *arguments)
{
    struct searching searching = {.arguments = arguments};
    struct pd_sim_totals totals;
    pd_sim_search(&arguments->run, arguments->first, arguments->last, (uint32_t)arguments->workers,
                  &totals, seed_done, &searching);
    if (arguments->is_json) {
        (void)printf("{\"seeds\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"simulated_s\":%" PRIu64,
                     totals.seeds, totals.failed, totals.time_ns / PD_SIM_SECOND_NS);
        print_counts(&totals.counts, true);
        (void)printf("}\n");
    } else {
        (void)printf("%" PRIu64 " seeds, %" PRIu64 " failed, %" PRIu64 " s simulated\n",
                     totals.seeds, totals.failed, totals.time_ns / PD_SIM_SECOND_NS);
        print_counts(&totals.counts, false);
    }
    if (arguments->has_marks) {
        print_marks(totals.marks);
    }
    int result = totals.failed == 0 ? PD_EXIT_CODE_OK : PD_EXIT_CODE_FAILED;
    if (arguments->floors_file != NULL && check_floors(arguments, &totals) != PD_EXIT_CODE_OK) {
        result = PD_EXIT_CODE_FAILED;
    }
    return result;
}

static int compare_numbers(const void *left, const void *right)
{
    const uint64_t *a = left;
    const uint64_t *b = right;
    return *a < *b ? -1 : *a > *b;
}

/* Tenths of simulated seconds a second: the median, and both ends. */
static void print_speed(const char *what, uint64_t *ratios)
{
    qsort(ratios, SPEED_SEEDS, sizeof ratios[0], compare_numbers);
    uint64_t median = ratios[SPEED_SEEDS / 2];
    (void)printf("%" PRIu64 ".%" PRIu64 " simulated seconds a %s second (slowest %" PRIu64
                 ", fastest %" PRIu64 ")\n",
                 median / 10, median % 10, what, ratios[0] / 10, ratios[SPEED_SEEDS - 1] / 10);
}

/* Simulated seconds a second, three nodes at 100 operations a simulated second: the median of 100
 * seeds. On a machine that does other things too, the processor's second is the one to look at. */
static int speed(struct arguments *arguments)
{
    uint64_t by_wall[SPEED_SEEDS];
    uint64_t by_cpu[SPEED_SEEDS];
    struct pd_sim_run run = arguments->run;
    run.options.nodes = run.options.nodes == 0 ? 3 : run.options.nodes;
    run.options.op_per_second = 100;
    for (uint32_t i = 0; i < SPEED_SEEDS; i++) {
        struct pd_sim_result result;
        run.options.seed = arguments->run.options.seed + i;
        (void)pd_sim_run_one(&run, &result);
        by_wall[i] = result.wall_ns == 0 ? 0 : result.time_ns * 10 / result.wall_ns;
        by_cpu[i] = result.cpu_ns == 0 ? 0 : result.time_ns * 10 / result.cpu_ns;
    }
    (void)printf("median of %u seeds, %u nodes, 100 operations a simulated second; goal 200\n",
                 SPEED_SEEDS, run.options.nodes);
    print_speed("wall", by_wall);
    print_speed("processor", by_cpu);
    return PD_EXIT_CODE_OK;
}

static int run_single(struct arguments *arguments)
{
    struct pd_sim_result result;
    arguments->run.trace = arguments->has_trace ? stdout : NULL;
    if (!pd_sim_run_one(&arguments->run, &result)) {
        return pd_command_failed("--faults: nobody knows one of '%s'",
                                 arguments->run.options.faults);
    }
    arguments->run.trace = NULL;
    print_result(arguments, &result);
    if (arguments->has_marks) {
        print_marks(result.marks);
    }
    if (result.is_failed) {
        report_failure(arguments, &result);
        return PD_EXIT_CODE_FAILED;
    }
    return PD_EXIT_CODE_OK;
}

static int run_schedule(struct arguments *arguments)
{
    FILE *file = fopen(arguments->schedule_file, "r");
    if (file == NULL) {
        return pd_command_failed("%s: %s", arguments->schedule_file, strerror(errno));
    }
    struct pd_sim_schedule schedule;
    struct pd_sim_replay replay;
    uint32_t line = 0;
    pd_sim_schedule_init(&schedule);
    enum pd_status status = pd_sim_schedule_read(&schedule, &replay, file, &line);
    (void)fclose(file);
    int code = PD_EXIT_CODE_FAILED;
    if (status != PD_OK) {
        code = pd_command_failed("%s:%u: not a line of a schedule", arguments->schedule_file, line);
    } else {
        arguments->run.options.seed = replay.seed;
        arguments->run.options.minutes = replay.minutes > 0 ? replay.minutes : 1;
        arguments->run.options.nodes = (uint32_t)replay.nodes;
        arguments->run.schedule = &schedule;
        arguments->no_shrink = true;
        code = run_single(arguments);
    }
    arguments->run.schedule = NULL;
    pd_sim_schedule_deinit(&schedule);
    return code;
}

static bool parse_range(const char *text, struct arguments *arguments)
{
    char first[32] = {0};
    const char *dots = strstr(text, "..");
    if (dots == NULL || (size_t)(dots - text) >= sizeof first) {
        return false;
    }
    memcpy(first, text, (size_t)(dots - text));
    arguments->is_search = true;
    return pd_option_number(first, &arguments->first) &&
           pd_option_number(dots + 2, &arguments->last) && arguments->first <= arguments->last;
}

static const char *take_seeds(void *values, const char *value)
{
    return parse_range(value, values) ? NULL : "wants FIRST..LAST";
}

static int run_sim(int count, char **words)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct arguments arguments = {
        .run = {.options = {.seed = 1, .minutes = 1}, .core = &pd_sim_core_replica},
        .workers = cores > 0 ? (uint64_t)cores : 2,
    };
    int code = PD_EXIT_CODE_OK;
    if (!pd_command_parse(&pd_command_sim, &count, words, &arguments, &code)) {
        return code;
    }
    arguments.run.options.nodes = (uint32_t)arguments.nodes;
    bool is_on[PD_SIM_FAULT_COUNT];
    const char *unknown = NULL;
    size_t size = 0;
    if (arguments.run.options.faults != NULL &&
        !pd_sim_fault_list(arguments.run.options.faults, is_on, &unknown, &size)) {
        return pd_command_usage(&pd_command_sim, "--faults: there is no '%.*s'", (int)size,
                                unknown);
    }
    if (arguments.is_speed) {
        return speed(&arguments);
    }
    if (arguments.schedule_file != NULL) {
        return run_schedule(&arguments);
    }
    return arguments.is_search ? search(&arguments) : run_single(&arguments);
}

static const struct pd_option options[] = {
    {.name = "--seed",
     .kind = PD_OPTION_NUMBER,
     .value = "S",
     .text = "one run (default: 1)",
     .offset = offsetof(struct arguments, run.options.seed),
     .least = 0,
     .most = 0},
    {.name = "--seeds",
     .kind = PD_OPTION_TAKE,
     .value = "A..B",
     .text = "a search over many, one process per core; exit code 1 on any failure",
     .take = take_seeds},
    {.name = "--schedule",
     .kind = PD_OPTION_FILE,
     .value = "FILE",
     .text = "replay a saved schedule of faults",
     .offset = offsetof(struct arguments, schedule_file)},
    {.name = "--nodes",
     .kind = PD_OPTION_NUMBER,
     .value = "N",
     .text = "members at the beginning (default: drawn, 3 to 7)",
     .offset = offsetof(struct arguments, nodes),
     .least = 1,
     .most = 9},
    {.name = "--minutes",
     .kind = PD_OPTION_NUMBER,
     .value = "M",
     .text = "virtual minutes (default: 1)",
     .offset = offsetof(struct arguments, run.options.minutes),
     .least = 1,
     .most = 1000},
    {.name = "--faults",
     .kind = PD_OPTION_TEXT,
     .value = "LIST",
     .text = "names or groups: network, disk, process, clock, cluster, all, none",
     .offset = offsetof(struct arguments, run.options.faults)},
    {.name = "--floors",
     .kind = PD_OPTION_FILE,
     .value = "FILE",
     .text = "with --seeds: least counts in 100 seeds, one \"NAME COUNT\" a line",
     .offset = offsetof(struct arguments, floors_file)},
    {.name = "--workers",
     .kind = PD_OPTION_NUMBER,
     .value = "N",
     .text = "with --seeds: processes (default: cores)",
     .offset = offsetof(struct arguments, workers),
     .least = 1,
     .most = 16},
    {.name = "--save",
     .kind = PD_OPTION_FILE,
     .value = "FILE",
     .text = "where a failure's shortest schedule goes",
     .offset = offsetof(struct arguments, save_file)},
    {.name = "--no-shrink",
     .text = "do not look for the shortest schedule",
     .offset = offsetof(struct arguments, no_shrink)},
    {.name = "--json", .text = "one object a line", .offset = offsetof(struct arguments, is_json)},
    {.name = "--trace", .text = "every event", .offset = offsetof(struct arguments, has_trace)},
    {.name = "--marks",
     .text = "how often each rare branch was taken",
     .offset = offsetof(struct arguments, has_marks)},
    {.name = "--speed",
     .text = "simulated seconds a wall second",
     .offset = offsetof(struct arguments, is_speed)},
    {.name = NULL},
};

const struct pd_command pd_command_sim = {
    .name = "sim",
    .arguments = "",
    .summary = "run a cluster in a simulated world, from a seed",
    .help =
        "The replicas that ship, on simulated disks, clocks and links, under faults that the seed\n"
        "draws, with every invariant checked on the way. One seed is one run: the trace hash\n"
        "tells.\n",
    .options = options,
    .examples = "pando sim --seed 42 --nodes 5\n"
                "pando sim --seeds 1..1000 --faults network,crash\n",
    .run = run_sim,
};
