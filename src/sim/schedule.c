#include "sim/schedule.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "sim/network.h"
#include "sim/queue.h"

#define FORMAT_LINE "pando-schedule 1"
#define LINE_MAX_SIZE 256

struct fault_info {
    const char *name;
    const char *group;
    const char *help;
    uint32_t weight;
    bool lasts;
    uint32_t amount_max;
};

static const struct fault_info infos[PD_SIM_FAULT_COUNT] = {
#define INFO(id, text, part, what, often, takes_time, most)                                        \
    {.name = #text,                                                                                \
     .group = #part,                                                                               \
     .help = (what),                                                                               \
     .weight = (often),                                                                            \
     .lasts = (takes_time),                                                                        \
     .amount_max = (most)},
    PD_SIM_FAULTS(INFO)
#undef INFO
};

const char *pd_sim_fault_name(enum pd_sim_fault_kind kind)
{
    return (unsigned)kind < PD_SIM_FAULT_COUNT ? infos[kind].name : "?";
}

const char *pd_sim_fault_help(enum pd_sim_fault_kind kind)
{
    return (unsigned)kind < PD_SIM_FAULT_COUNT ? infos[kind].help : "?";
}

static bool is_word(const char *word, size_t size, const char *text)
{
    return strlen(text) == size && memcmp(word, text, size) == 0;
}

bool pd_sim_fault_list(const char *list, bool is_on[PD_SIM_FAULT_COUNT], const char **unknown_out,
                       size_t *size_out)
{
    memset(is_on, 0, PD_SIM_FAULT_COUNT * sizeof is_on[0]);
    const char *at = list;
    while (*at != '\0') {
        size_t size = strcspn(at, ",");
        bool is_known = size == 0 || is_word(at, size, "none");
        for (size_t i = 0; i < PD_SIM_FAULT_COUNT; i++) {
            if (is_word(at, size, "all") || is_word(at, size, infos[i].name) ||
                is_word(at, size, infos[i].group)) {
                is_on[i] = true;
                is_known = true;
            }
        }
        if (!is_known) {
            *unknown_out = at;
            *size_out = size;
            return false;
        }
        at += size + (at[size] == ',' ? 1 : 0);
    }
    return true;
}

void pd_sim_schedule_init(struct pd_sim_schedule *schedule)
{
    *schedule = (struct pd_sim_schedule){0};
}

void pd_sim_schedule_deinit(struct pd_sim_schedule *schedule)
{
    pd_free(schedule->faults);
    *schedule = (struct pd_sim_schedule){0};
}

void pd_sim_schedule_add(struct pd_sim_schedule *schedule, const struct pd_sim_fault *fault)
{
    schedule->faults = pd_sim_grow(schedule->faults, &schedule->capacity, schedule->count + 1,
                                   sizeof schedule->faults[0]);
    schedule->faults[schedule->count++] = *fault;
}

void pd_sim_schedule_copy(struct pd_sim_schedule *to, const struct pd_sim_schedule *from)
{
    to->count = 0;
    for (size_t i = 0; i < from->count; i++) {
        pd_sim_schedule_add(to, &from->faults[i]);
    }
}

static uint32_t total_weight(const struct pd_sim_fault_rates *rates)
{
    uint32_t total = 0;
    for (size_t i = 0; i < PD_SIM_FAULT_COUNT; i++) {
        total += rates->is_on[i] ? infos[i].weight : 0;
    }
    return total;
}

static enum pd_sim_fault_kind draw_kind(struct pd_random *random,
                                        const struct pd_sim_fault_rates *rates, uint32_t total)
{
    uint64_t left = pd_random_below(random, total);
    for (uint32_t i = 0; i < PD_SIM_FAULT_COUNT; i++) {
        uint32_t weight = rates->is_on[i] ? infos[i].weight : 0;
        if (left < weight) {
            return (enum pd_sim_fault_kind)i;
        }
        left -= weight;
    }
    return PD_SIM_FAULT_CRASH;
}

void pd_sim_schedule_draw(struct pd_sim_schedule *schedule, uint64_t seed,
                          const struct pd_sim_fault_rates *rates)
{
    struct pd_random random;
    pd_random_init(&random, seed, "faults");
    uint32_t total = total_weight(rates);
    uint64_t at_ns = rates->begin_ns;
    while (total > 0) {
        at_ns += pd_sim_heavy_tail(&random, rates->interval_ns / 2, 4);
        if (at_ns >= rates->end_ns) {
            break;
        }
        struct pd_sim_fault fault = {.at_ns = at_ns, .kind = draw_kind(&random, rates, total)};
        const struct fault_info *info = &infos[fault.kind];
        fault.duration_ns = info->lasts ? pd_sim_heavy_tail(&random, rates->duration_ns / 2, 4) : 0;
        fault.target = pd_random_below(&random, 5) < 2
                           ? PD_SIM_TARGET_LEADER
                           : 1 + (uint32_t)pd_random_below(&random, rates->machines);
        fault.amount = 1 + (uint32_t)pd_random_below(&random, info->amount_max);
        pd_sim_schedule_add(schedule, &fault);
    }
}

void pd_sim_schedule_write(const struct pd_sim_schedule *schedule,
                           const struct pd_sim_replay *replay, FILE *stream)
{
    (void)fprintf(stream,
                  FORMAT_LINE "\nseed %" PRIu64 "\nminutes %" PRIu64 "\nnodes %" PRIu64 "\n",
                  replay->seed, replay->minutes, replay->nodes);
    for (size_t i = 0; i < schedule->count; i++) {
        const struct pd_sim_fault *fault = &schedule->faults[i];
        (void)fprintf(stream,
                      "fault at %" PRIu64 " %s target %" PRIu32 " for %" PRIu64 " amount %" PRIu32
                      "\n",
                      fault->at_ns, infos[fault->kind].name, fault->target, fault->duration_ns,
                      fault->amount);
    }
}

static bool read_fault(const char *line, struct pd_sim_fault *fault_out)
{
    char name[32] = {0};
    struct pd_sim_fault fault = {0};
    if (sscanf(line, "fault at %" SCNu64 " %31s target %" SCNu32 " for %" SCNu64 " amount %" SCNu32,
               &fault.at_ns, name, &fault.target, &fault.duration_ns, &fault.amount) != 5) {
        return false;
    }
    for (uint32_t i = 0; i < PD_SIM_FAULT_COUNT; i++) {
        if (strcmp(infos[i].name, name) == 0) {
            fault.kind = (enum pd_sim_fault_kind)i;
            *fault_out = fault;
            return true;
        }
    }
    return false;
}

enum pd_status pd_sim_schedule_read(struct pd_sim_schedule *schedule,
                                    struct pd_sim_replay *replay_out, FILE *stream,
                                    uint32_t *line_out)
{
    char line[LINE_MAX_SIZE];
    *replay_out = (struct pd_sim_replay){0};
    *line_out = 0;
    while (fgets(line, sizeof line, stream) != NULL) {
        (*line_out)++;
        struct pd_sim_fault fault;
        if (*line_out == 1) {
            if (strncmp(line, FORMAT_LINE, strlen(FORMAT_LINE)) != 0) {
                return PD_ERR_CORRUPT;
            }
        } else if (line[0] == '#' || line[0] == '\n' ||
                   sscanf(line, "seed %" SCNu64, &replay_out->seed) == 1 ||
                   sscanf(line, "minutes %" SCNu64, &replay_out->minutes) == 1 ||
                   sscanf(line, "nodes %" SCNu64, &replay_out->nodes) == 1) {
            continue;
        } else if (read_fault(line, &fault) && fault.at_ns < UINT64_MAX / 4 &&
                   fault.duration_ns < UINT64_MAX / 4) {
            pd_sim_schedule_add(schedule, &fault);
        } else {
            return PD_ERR_CORRUPT;
        }
    }
    return *line_out == 0 ? PD_ERR_CORRUPT : PD_OK;
}

/* `all` without the faults [from, to). */
static void leave_out(struct pd_sim_schedule *part, const struct pd_sim_schedule *all, size_t from,
                      size_t to)
{
    part->count = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (i < from || i >= to) {
            pd_sim_schedule_add(part, &all->faults[i]);
        }
    }
}

uint32_t pd_sim_shrink(struct pd_sim_schedule *schedule, uint32_t tries_max,
                       bool (*fails)(void *state, const struct pd_sim_schedule *schedule),
                       void *state)
{
    struct pd_sim_schedule part;
    pd_sim_schedule_init(&part);
    uint32_t tries = 0;
    size_t chunk = schedule->count;
    while (chunk > 0 && tries < tries_max) {
        bool is_shorter = false;
        for (size_t from = 0; from < schedule->count && tries < tries_max;) {
            size_t to = from + chunk < schedule->count ? from + chunk : schedule->count;
            leave_out(&part, schedule, from, to);
            tries++;
            if (fails(state, &part)) {
                pd_sim_schedule_copy(schedule, &part);
                is_shorter = true;
            } else {
                from = to;
            }
        }
        if (chunk == 1 && is_shorter) {
            continue; /* one that mattered may not matter any more */
        }
        chunk /= 2;
    }
    pd_sim_schedule_deinit(&part);
    return tries;
}
