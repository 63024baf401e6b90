/* The judge of the subject "parts". */
#include "parts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sim/queue.h"
#include "subject.h"

/* What a group was seen to promise: durable at least `acked`, at most `tried`. */
struct promise {
    uint64_t acked_last;
    uint64_t acked_term;
    uint64_t tried_last;
    uint64_t tried_term;
    uint64_t cut;
};

struct event {
    uint64_t time_ns;
    char kind;
    uint32_t group;
    uint64_t last;
    uint64_t term;
};

struct parts {
    struct promise base[PD_PARTS_GROUPS]; /* when the folder was an image */
    struct event *events;                 /* since then */
    size_t count;
    size_t capacity;
};

/* What the child told when it started. */
struct found {
    uint64_t first[PD_PARTS_GROUPS];
    uint64_t last[PD_PARTS_GROUPS];
    uint64_t term[PD_PARTS_GROUPS];
    uint64_t vote[PD_PARTS_GROUPS];
    uint64_t applied;
    bool is_ready;
};

static void *open_judge(struct pd_random *random)
{
    (void)random;
    return pd_sim_alloc(sizeof(struct parts));
}

static void close_judge(void *state)
{
    struct parts *parts = state;
    pd_free(parts->events);
    pd_free(parts);
}

static uint64_t greater(uint64_t left, uint64_t right)
{
    return left > right ? left : right;
}

static void fold(struct promise *promise, const struct event *event)
{
    switch (event->kind) {
    case 'A':
        promise->acked_last = greater(promise->acked_last, event->last);
        promise->acked_term = greater(promise->acked_term, event->term);
        break;
    case 'T':
        promise->tried_last = greater(promise->tried_last, event->last);
        promise->tried_term = greater(promise->tried_term, event->term);
        break;
    default:
        promise->cut = greater(promise->cut, event->last);
        break;
    }
}

/* All that was said up to a moment. What was told durable just then was so before. */
static void promises_at(const struct parts *parts, uint64_t time_ns,
                        struct promise promises[PD_PARTS_GROUPS])
{
    memcpy(promises, parts->base, sizeof parts->base);
    for (size_t i = 0; i < parts->count; i++) {
        const struct event *event = &parts->events[i];
        if (event->time_ns < time_ns || (event->kind != 'A' && event->time_ns == time_ns)) {
            fold(&promises[event->group], event);
        }
    }
}

static void cut_judge(void *state, uint64_t time_ns)
{
    struct parts *parts = state;
    struct promise promises[PD_PARTS_GROUPS];
    promises_at(parts, time_ns, promises);
    memcpy(parts->base, promises, sizeof promises);
    parts->count = 0;
}

static void add_event(struct parts *parts, const struct event *event)
{
    parts->events =
        pd_sim_grow(parts->events, &parts->capacity, parts->count + 1, sizeof parts->events[0]);
    parts->events[parts->count++] = *event;
}

static bool refuse(struct pd_power_run *run, uint32_t group, const char *what, uint64_t has,
                   uint64_t wanted)
{
    snprintf(run->why, sizeof run->why, "group %" PRIu32 ": %s: %" PRIu64 " instead of %" PRIu64,
             group, what, has, wanted);
    return false;
}

static bool judge_group(struct pd_power_run *run, uint32_t group, const struct promise *promise,
                        const struct found *found)
{
    uint64_t last = found->last[group];
    uint64_t term = found->term[group];
    uint64_t needed = greater(promise->cut, 1);
    if (group == 0) {
        needed = found->applied + 1; /* what the store does not hold must be in the log */
    }
    if (last < promise->acked_last && promise->acked_last >= needed) {
        return refuse(run, group, "acknowledged entries are lost, last", last, promise->acked_last);
    }
    if (last > promise->tried_last) {
        return refuse(run, group, "entries that were never written, last", last,
                      promise->tried_last);
    }
    if (last >= needed && (found->first[group] == 0 || found->first[group] > needed)) {
        return refuse(run, group, "the log begins too late", found->first[group], needed);
    }
    if (term < promise->acked_term) {
        return refuse(run, group, "an acknowledged term is lost", term, promise->acked_term);
    }
    if (term > promise->tried_term) {
        return refuse(run, group, "a term that was never written", term, promise->tried_term);
    }
    if (term > 0 && found->vote[group] != pd_parts_vote(group, term)) {
        return refuse(run, group, "a vote that was never given", found->vote[group],
                      pd_parts_vote(group, term));
    }
    return true;
}

static bool judge(struct parts *parts, struct pd_power_run *run, const struct found *found,
                  uint64_t ready_ns)
{
    struct promise promises[PD_PARTS_GROUPS];
    promises_at(parts, UINT64_MAX, promises);
    for (uint32_t i = 0; i < PD_PARTS_GROUPS; i++) {
        if (!judge_group(run, i, &promises[i], found)) {
            return false;
        }
        /* From now on the child builds on what it found. */
        add_event(parts, &(struct event){ready_ns, 'A', i, found->last[i], found->term[i]});
    }
    return true;
}

/* Take one line; false: it says that something is wrong. */
static bool take_line(struct parts *parts, struct pd_power_run *run, struct found *found,
                      const char *line)
{
    uint64_t n[5] = {0};
    char kind = line[0];
    int count =
        sscanf(line + (kind != '\0'), "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
               &n[0], &n[1], &n[2], &n[3], &n[4]);
    bool has_group = (kind == 'H' ? n[0] : n[1]) < PD_PARTS_GROUPS;
    if (kind == 'H' && count == 5 && has_group) {
        found->first[n[0]] = n[1];
        found->last[n[0]] = n[2];
        found->term[n[0]] = n[3];
        found->vote[n[0]] = n[4];
    } else if (kind == 'S' && count == 2) {
        found->applied = n[0];
    } else if (kind == 'R' && count == 1) {
        found->is_ready = true;
        return judge(parts, run, found, n[0]);
    } else if ((kind == 'T' || kind == 'A' || kind == 'C') && count >= 3 && has_group) {
        add_event(parts, &(struct event){n[0], kind, (uint32_t)n[1], n[2], n[3]});
    } else {
        snprintf(run->why, sizeof run->why, "%s", line[0] == 'W' ? line + 2 : line);
        return false;
    }
    return true;
}

/* Read what the child says until it has been told often enough, or it ends. */
static bool listen(struct parts *parts, struct pd_power_run *run, FILE *from, uint64_t lines)
{
    char line[1024];
    struct found found = {.is_ready = false};
    uint64_t count = 0;
    while (count < lines && fgets(line, sizeof line, from) != NULL) {
        size_t size = strcspn(line, "\n");
        if (line[size] != '\n') {
            break; /* the end of a process that was killed */
        }
        line[size] = '\0';
        if (!take_line(parts, run, &found, line)) {
            return false;
        }
        count += found.is_ready;
    }
    if (count < lines) {
        snprintf(run->why, sizeof run->why, "the process ended by itself");
    }
    return count == lines;
}

static bool run_parts(void *state, struct pd_power_run *run)
{
    struct parts *parts = state;
    char self[4096];
    char seed[32];
    int output = -1;
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    self[size < 0 ? 0 : size] = '\0';
    snprintf(seed, sizeof seed, "%" PRIu64, pd_random_next(run->random));
    char *words[] = {self, (char[]){"--as-parts"}, (char *)(uintptr_t)run->folder, seed, NULL};
    pid_t process = pd_power_spawn(run, words, &output);
    FILE *from = process < 0 ? NULL : fdopen(output, "r");
    if (from == NULL) {
        snprintf(run->why, sizeof run->why, "cannot start the child: %s", strerror(errno));
        return false;
    }
    uint64_t lines = 1 + pd_random_below(run->random, 900);
    bool is_right = listen(parts, run, from, lines);
    pd_power_kill(process);
    /* What it said before it died counts too. */
    char line[1024];
    struct found found = {.is_ready = true};
    while (is_right && fgets(line, sizeof line, from) != NULL && strchr(line, '\n') != NULL) {
        line[strcspn(line, "\n")] = '\0';
        is_right = take_line(parts, run, &found, line);
    }
    fclose(from);
    return is_right;
}

const struct pd_power_subject pd_power_parts = {
    .name = "parts", .open = open_judge, .run = run_parts, .cut = cut_judge, .close = close_judge};
