#include "sim/search.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"

#define WORKERS_MAX 16u

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * PD_SIM_SECOND_NS + (uint64_t)now.tv_nsec;
}

static const char *event_name(uint32_t kind)
{
    static const char *const names[] = {"?",      "tick",   "deliver",  "done",  "request",
                                        "answer", "client", "timeout",  "fault", "fault end",
                                        "start",  "resume", "operator", "heal",  "progress",
                                        "retry",  "gone",   "watcher"};
    return kind < sizeof names / sizeof names[0] ? names[kind] : "?";
}

static void print_nodes(FILE *stream, const char *name, const pd_raft_node *nodes, uint32_t count)
{
    if (count > 0) {
        (void)fprintf(stream, " %s", name);
    }
    for (uint32_t i = 0; i < count; i++) {
        (void)fprintf(stream, "%c%" PRIu64, i == 0 ? ' ' : ',', nodes[i]);
    }
}

/* What each machine was seen to be after its last event. */
static void print_machines(const struct pd_sim_world *world, FILE *stream)
{
    static const char *const roles[] = {"follower", "candidate", "leader", "pre-candidate"};
    for (uint32_t i = 1; i <= world->machine_count; i++) {
        const struct pd_sim_machine *machine = &world->machines[i];
        const struct pd_sim_view *seen = &machine->seen;
        if (!machine->is_used) {
            continue;
        }
        (void)fprintf(stream,
                      "  node %2u  %-13s term %" PRIu64 " vote %" PRIu64 " leader %" PRIu64
                      " commit %" PRIu64 " applied %" PRIu64 " log %" PRIu64 "..%" PRIu64 "%s%s%s",
                      i, (unsigned)seen->role < 4 ? roles[seen->role] : "?", seen->term, seen->vote,
                      seen->leader, seen->commit, seen->applied, seen->first_index,
                      seen->last_index, machine->core == NULL ? " down" : "",
                      machine->is_gone ? " gone" : "",
                      machine->paused_until_ns != 0 ? " paused" : "");
        const struct pd_raft_conf *conf = &machine->conf;
        print_nodes(stream, "voters", conf->voters, conf->voter_count);
        print_nodes(stream, "outgoing", conf->voters_outgoing, conf->voter_outgoing_count);
        print_nodes(stream, "learners", conf->learners, conf->learner_count);
        print_nodes(stream, "next", conf->learners_next, conf->learner_next_count);
        (void)fprintf(stream, "\n");
    }
}

static void print_recent(const struct pd_sim_world *world, FILE *stream)
{
    uint64_t count = world->counts.events < PD_SIM_RECENT ? world->counts.events : PD_SIM_RECENT;
    for (uint64_t i = world->counts.events - count; i < world->counts.events; i++) {
        const struct pd_sim_recent *recent = &world->recent[i % PD_SIM_RECENT];
        (void)fprintf(stream, "  %8" PRIu64 "  %3" PRIu64 ".%06" PRIu64 " s  %-9s node %2u  ",
                      recent->number, recent->time_ns / PD_SIM_SECOND_NS,
                      recent->time_ns % PD_SIM_SECOND_NS / 1000, event_name(recent->kind),
                      recent->node);
        if (recent->kind == PD_SIM_EVENT_FAULT || recent->kind == PD_SIM_EVENT_FAULT_END) {
            (void)fprintf(stream, "%s\n",
                          pd_sim_fault_name(world->schedule->faults[recent->value].kind));
        } else {
            (void)fprintf(stream, "%016" PRIx64 "\n", recent->value);
        }
    }
}

bool pd_sim_run_schedule(const struct pd_sim_run *run, struct pd_sim_schedule *schedule_out)
{
    struct pd_sim_config config;
    if (!pd_sim_config_draw(&config, &run->options)) {
        return false;
    }
    pd_sim_schedule_draw(schedule_out, config.seed, &config.faults);
    return true;
}

bool pd_sim_run_one(const struct pd_sim_run *run, struct pd_sim_result *result_out)
{
    *result_out = (struct pd_sim_result){.seed = run->options.seed};
    struct pd_sim_config config;
    if (!pd_sim_config_draw(&config, &run->options)) {
        return false;
    }
    struct pd_sim_schedule drawn;
    pd_sim_schedule_init(&drawn);
    if (run->schedule == NULL) {
        pd_sim_schedule_draw(&drawn, config.seed, &config.faults);
    }
    uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
    uint64_t cpu_begin_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    pd_sometimes_hits = result_out->marks;
    struct pd_sim_world *world = pd_sim_alloc(sizeof *world);
    pd_sim_world_init(world, &config, run->schedule == NULL ? &drawn : run->schedule, run->core);
    world->trace_stream = run->trace;
    result_out->is_failed = !pd_sim_world_run(world);
    result_out->trace_hash = world->trace_hash;
    result_out->event_number = world->counts.events;
    result_out->time_ns = world->now_ns;
    result_out->counts = world->counts;
    memcpy(result_out->failure, world->failure, sizeof result_out->failure);
    if (result_out->is_failed && run->recent != NULL) {
        print_recent(world, run->recent);
        print_machines(world, run->recent);
    }
    pd_sim_world_deinit(world);
    pd_free(world);
    pd_sim_schedule_deinit(&drawn);
    pd_sometimes_hits = NULL;
    result_out->wall_ns = clock_ns(CLOCK_MONOTONIC) - begin_ns;
    result_out->cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_begin_ns;
    return true;
}

/* -- Processes --------------------------------------------------------------------------------- */

static bool write_all(int descriptor, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    while (size > 0) {
        ssize_t done = write(descriptor, at, size);
        if (done <= 0) {
            return false;
        }
        at += done;
        size -= (size_t)done;
    }
    return true;
}

/* False: the writer is gone. */
static bool read_all(int descriptor, void *bytes, size_t size)
{
    uint8_t *at = bytes;
    while (size > 0) {
        ssize_t done = read(descriptor, at, size);
        if (done <= 0) {
            return false;
        }
        at += done;
        size -= (size_t)done;
    }
    return true;
}

struct worker {
    pid_t process;
    int descriptor; /* -1: none */
    uint64_t seed;  /* that it works on */
};

/* Work through the seeds from `first` on, every `step`-th, in a child. */
static void start_worker(struct worker *worker, const struct pd_sim_run *run, uint64_t first,
                         uint64_t last, uint64_t step)
{
    int ends[2];
    *worker = (struct worker){.descriptor = -1, .seed = first};
    (void)fflush(NULL);
    if (pipe(ends) != 0) {
        pd_fatal("no pipe for a worker of the simulator");
    }
    worker->process = fork();
    if (worker->process < 0) {
        pd_fatal("no process for a worker of the simulator");
    }
    if (worker->process != 0) {
        (void)close(ends[1]);
        worker->descriptor = ends[0];
        return;
    }
    (void)close(ends[0]);
    struct pd_sim_run own = *run;
    for (uint64_t seed = first; seed <= last; seed += step) {
        struct pd_sim_result result;
        own.options.seed = seed;
        (void)pd_sim_run_one(&own, &result);
        if (!write_all(ends[1], &result, sizeof result)) {
            break;
        }
    }
    (void)fflush(NULL);
    _exit(0);
}

/* The result of the worker's seed, also when it died of it. False: it had no seed left and
 * ended. */
static bool take_result(struct worker *worker, uint64_t last, struct pd_sim_result *result_out)
{
    if (read_all(worker->descriptor, result_out, sizeof *result_out)) {
        return true;
    }
    int status = 0;
    (void)close(worker->descriptor);
    (void)waitpid(worker->process, &status, 0);
    worker->descriptor = -1;
    if (worker->seed > last) {
        return false;
    }
    *result_out = (struct pd_sim_result){.seed = worker->seed, .is_failed = true};
    (void)snprintf(result_out->failure, sizeof result_out->failure,
                   "the process of the simulation died (signal %d, code %d)",
                   WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                   WIFEXITED(status) ? WEXITSTATUS(status) : 0);
    return true;
}

void pd_sim_run_apart(const struct pd_sim_run *run, struct pd_sim_result *result_out)
{
    struct worker worker;
    start_worker(&worker, run, run->options.seed, run->options.seed, 1);
    (void)take_result(&worker, worker.seed, result_out);
    if (worker.descriptor >= 0) {
        (void)close(worker.descriptor);
        (void)waitpid(worker.process, NULL, 0);
    }
}

static void add(struct pd_sim_totals *totals, const struct pd_sim_result *result)
{
    /* The counts are all of one type: added as an array. */
    _Static_assert(sizeof(struct pd_sim_counts) % sizeof(uint64_t) == 0, "an array of numbers");
    uint64_t sum[sizeof(struct pd_sim_counts) / sizeof(uint64_t)];
    uint64_t more[sizeof sum / sizeof sum[0]];
    memcpy(sum, &totals->counts, sizeof sum);
    memcpy(more, &result->counts, sizeof more);
    for (size_t i = 0; i < sizeof sum / sizeof sum[0]; i++) {
        sum[i] += more[i];
    }
    memcpy(&totals->counts, sum, sizeof sum);
    for (size_t i = 0; i < PD_SOMETIMES_COUNT; i++) {
        totals->marks[i] += result->marks[i];
    }
    totals->seeds++;
    totals->failed += result->is_failed ? 1 : 0;
    totals->time_ns += result->time_ns;
}

void pd_sim_search(const struct pd_sim_run *run, uint64_t first, uint64_t last, uint32_t workers,
                   struct pd_sim_totals *totals_out,
                   void (*done)(void *state, const struct pd_sim_result *result), void *state)
{
    *totals_out = (struct pd_sim_totals){0};
    struct worker pool[WORKERS_MAX];
    struct pollfd polls[WORKERS_MAX];
    workers = workers < 1 ? 1 : workers > WORKERS_MAX ? WORKERS_MAX : workers;
    for (uint32_t i = 0; i < workers; i++) {
        start_worker(&pool[i], run, first + i, last, workers);
    }
    for (;;) {
        uint32_t open = 0;
        for (uint32_t i = 0; i < workers; i++) {
            polls[i] = (struct pollfd){.fd = pool[i].descriptor, .events = POLLIN};
            open += pool[i].descriptor >= 0 ? 1 : 0;
        }
        if (open == 0 || poll(polls, workers, -1) < 0) {
            break;
        }
        for (uint32_t i = 0; i < workers; i++) {
            struct pd_sim_result result;
            if (polls[i].revents == 0 || !take_result(&pool[i], last, &result)) {
                continue;
            }
            add(totals_out, &result);
            done(state, &result);
            pool[i].seed = result.seed + workers;
            if (pool[i].descriptor < 0 && pool[i].seed <= last) {
                start_worker(&pool[i], run, pool[i].seed, last, workers);
            }
        }
    }
}

/* -- Shrinking --------------------------------------------------------------------------------- */

/* The kind of a failure: its words without its numbers. */
static uint64_t kind_of(const char *failure)
{
    uint64_t hash = 1;
    for (const char *at = failure; *at != '\0'; at++) {
        if (*at < '0' || *at > '9') {
            hash = pd_hash_u64(hash, (uint64_t)(unsigned char)*at);
        }
    }
    return hash;
}

struct shrinking {
    struct pd_sim_run run;
    uint64_t kind;
};

static bool fails_alike(void *state, const struct pd_sim_schedule *schedule)
{
    struct shrinking *shrinking = state;
    struct pd_sim_result result;
    shrinking->run.schedule = schedule;
    pd_sim_run_apart(&shrinking->run, &result);
    return result.is_failed && kind_of(result.failure) == shrinking->kind;
}

uint32_t pd_sim_run_shrink(const struct pd_sim_run *run, const struct pd_sim_result *failed,
                           uint32_t tries_max, struct pd_sim_schedule *schedule)
{
    struct shrinking shrinking = {.run = *run, .kind = kind_of(failed->failure)};
    shrinking.run.trace = NULL;
    shrinking.run.recent = NULL;
    return pd_sim_shrink(schedule, tries_max, fails_alike, &shrinking);
}

/* -- Totals and floors ------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t offset;
} totals_of[] = {
    {"events", offsetof(struct pd_sim_counts, events)},
    {"commits", offsetof(struct pd_sim_counts, commits)},
    {"leader_changes", offsetof(struct pd_sim_counts, leader_changes)},
    {"snapshots_installed", offsetof(struct pd_sim_counts, snapshots_installed)},
    {"membership_changes", offsetof(struct pd_sim_counts, membership_changes)},
    {"raises", offsetof(struct pd_sim_counts, raises)},
    {"forwards", offsetof(struct pd_sim_counts, forwards)},
    {"forwards_again", offsetof(struct pd_sim_counts, forwards_again)},
    {"entered", offsetof(struct pd_sim_counts, entered)},
    {"words", offsetof(struct pd_sim_counts, words)},
    {"removed", offsetof(struct pd_sim_counts, removed)},
    {"too_old", offsetof(struct pd_sim_counts, too_old)},
    {"crashes", offsetof(struct pd_sim_counts, crashes)},
    {"operations", offsetof(struct pd_sim_counts, operations)},
    {"answered", offsetof(struct pd_sim_counts, answered)},
    {"watched", offsetof(struct pd_sim_counts, watched)},
    {"rewatched", offsetof(struct pd_sim_counts, rewatched)},
    {"expiries", offsetof(struct pd_sim_counts, expiries)},
    {"repeats", offsetof(struct pd_sim_counts, repeats)},
    {"sessions", offsetof(struct pd_sim_counts, sessions)},
    {"retries", offsetof(struct pd_sim_counts, retries)},
    {"unknown", offsetof(struct pd_sim_counts, unknown)},
    {"faults_skipped", offsetof(struct pd_sim_counts, faults_skipped)},
    {"messages", offsetof(struct pd_sim_counts, messages)},
    {"stopped", offsetof(struct pd_sim_counts, stopped)},
};
#define TOTALS_OF_COUNT (sizeof totals_of / sizeof totals_of[0])

const char *pd_sim_total_name(uint32_t index, char *room, size_t room_size)
{
    if (index < TOTALS_OF_COUNT) {
        return totals_of[index].name;
    }
    if (index >= TOTALS_OF_COUNT + PD_SIM_FAULT_COUNT) {
        return NULL;
    }
    (void)snprintf(room, room_size, "fault:%s",
                   pd_sim_fault_name((enum pd_sim_fault_kind)(index - TOTALS_OF_COUNT)));
    return room;
}

uint64_t pd_sim_total_value(const struct pd_sim_counts *counts, uint32_t index)
{
    uint64_t value = 0;
    if (index < TOTALS_OF_COUNT) {
        memcpy(&value, (const char *)counts + totals_of[index].offset, sizeof value);
        return value;
    }
    return counts->faults_used[index - TOTALS_OF_COUNT];
}

static bool find_total(const struct pd_sim_counts *counts, const char *wanted, uint64_t *value_out)
{
    char room[64];
    const char *name = NULL;
    for (uint32_t i = 0; (name = pd_sim_total_name(i, room, sizeof room)) != NULL; i++) {
        if (strcmp(name, wanted) == 0) {
            *value_out = pd_sim_total_value(counts, i);
            return true;
        }
    }
    return false;
}

enum pd_status pd_sim_floors_check(const struct pd_sim_totals *totals, FILE *floors, FILE *stream)
{
    char line[256];
    enum pd_status status = PD_OK;
    while (fgets(line, sizeof line, floors) != NULL) {
        char name[64] = {0};
        uint64_t floor = 0;
        uint64_t value = 0;
        if (line[0] == '#' || line[0] == '\n') {
            continue;
        }
        if (sscanf(line, "%63s %" SCNu64, name, &floor) != 2 ||
            !find_total(&totals->counts, name, &value)) {
            (void)fprintf(stream, "floors: what is '%.*s'?\n", (int)strcspn(line, "\n"), line);
            return PD_ERR_CORRUPT;
        }
        uint64_t wanted = floor * totals->seeds / 100;
        if (value < wanted) {
            (void)fprintf(stream,
                          "floors: %s: %" PRIu64 " in %" PRIu64 " seeds, at least %" PRIu64 "\n",
                          name, value, totals->seeds, wanted);
            status = PD_ERR_RANGE;
        }
    }
    return status;
}
