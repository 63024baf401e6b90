/* Making, destroying and looking into a supervisor; what it does is in supervisor.c. */
#include <string.h>

#include "actor/supervisor_state.h"
#include "base/alloc.h"
#include "base/assert.h"

#define NONE PD_CHILD_NONE

struct pd_supervisor_config pd_supervisor_config_default(void)
{
    return (struct pd_supervisor_config){
        .name = "supervisor",
        .strategy = PD_ONE_FOR_ONE,
        .auto_shutdown = PD_AUTO_SHUTDOWN_NEVER,
        .restarts_max = 3,
        .period_ns = 5 * PD_NS_PER_S,
        .children_max = 65536,
        .requests_max = 4096,
    };
}

const char *pd_supervisor_strategy_text(enum pd_supervisor_strategy strategy)
{
    switch (strategy) {
    case PD_ONE_FOR_ONE:
        return "one_for_one";
    case PD_ONE_FOR_ALL:
        return "one_for_all";
    case PD_REST_FOR_ONE:
        return "rest_for_one";
    case PD_DYNAMIC:
        return "dynamic";
    }
    return "unknown strategy";
}

static bool config_is_valid(const struct pd_supervisor_config *config)
{
    return config->name != NULL && strlen(config->name) <= PD_SUPERVISOR_NAME_SIZE_MAX &&
           (unsigned)config->strategy <= PD_DYNAMIC &&
           (unsigned)config->auto_shutdown <= PD_AUTO_SHUTDOWN_ALL &&
           config->restarts_max <= PD_SUPERVISOR_RESTARTS_MAX && config->period_ns > 0 &&
           config->period_ns <= PD_CHILD_TIME_MS_MAX * PD_NS_PER_MS && config->children_max > 0 &&
           config->children_max <= PD_CHILDREN_MAX && config->requests_max > 0 &&
           config->requests_max <= PD_SUPERVISOR_REQUESTS_MAX;
}

enum pd_status pd_supervisor_create(const struct pd_supervisor_config *config,
                                    struct pd_supervisor **supervisor_out)
{
    if (!config_is_valid(config)) {
        return PD_ERR_INVALID;
    }
    size_t name_size = strlen(config->name);
    struct pd_supervisor *s = pd_alloc_zeroed(1, sizeof *s + name_size + 1);
    if (s == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    if (config->restarts_max > 0) {
        s->restarts = pd_alloc(config->restarts_max * sizeof *s->restarts);
        if (s->restarts == NULL) {
            pd_free(s);
            return PD_ERR_NO_MEMORY;
        }
    }
    s->config = *config;
    memcpy(s->name, config->name, name_size);
    s->config.name = s->name;
    s->first = NONE;
    s->cursor = NONE;
    s->current = NONE;
    s->deadline_ns = UINT64_MAX;
    pd_children_init(&s->children, config->children_max, config->strategy == PD_DYNAMIC,
                     config->seed);
    pd_work_init(&s->work, &s->children, config->requests_max);
    *supervisor_out = s;
    return PD_OK;
}

void pd_supervisor_action_deinit(struct pd_supervisor_action *action)
{
    pd_exit_text_release(action->exit.text);
    pd_child_spec_release(action->spec);
    action->exit.text = NULL;
    action->spec = NULL;
}

void pd_supervisor_destroy(struct pd_supervisor *s)
{
    if (s == NULL) {
        return;
    }
    for (uint32_t i = 0; i < s->outbox_count; i++) {
        pd_supervisor_action_deinit(&s->outbox[s->outbox_first + i]);
    }
    pd_supervisor_action_deinit(&s->given);
    pd_supervisor_request_deinit(&s->request);
    pd_work_deinit(&s->work);
    pd_children_deinit(&s->children);
    pd_exit_text_release(s->exit.text);
    pd_free(s->restarts);
    pd_free(s);
}

enum pd_status pd_supervisor_add(struct pd_supervisor *s, struct pd_child_spec *spec)
{
    pd_assert(s->phase == PD_PHASE_NEW);
    uint32_t slot;
    return pd_children_add(&s->children, spec, &slot);
}

/* --- A look inside ---------------------------------------------------------------------------- */

static bool describe(struct pd_supervisor *s, uint32_t slot, struct pd_supervisor_child *child_out)
{
    if (slot == NONE) {
        return false;
    }
    const struct pd_child_record *record = pd_children_at(&s->children, slot);
    *child_out = (struct pd_supervisor_child){
        .child = pd_children_name(&s->children, slot),
        .spec = record->spec,
        .pid = record->pid,
        .state = (enum pd_child_state)record->state,
        .restart_count = record->restart_count,
    };
    return true;
}

bool pd_supervisor_child_after(struct pd_supervisor *s, struct pd_child_id child,
                               struct pd_supervisor_child *child_out)
{
    if (child.value == 0) {
        return describe(s, s->children.first, child_out);
    }
    uint32_t slot = pd_children_find(&s->children, child);
    return slot != NONE && describe(s, pd_children_at(&s->children, slot)->after, child_out);
}

bool pd_supervisor_find(struct pd_supervisor *s, struct pd_child_id child,
                        struct pd_supervisor_child *child_out)
{
    return describe(s, pd_children_find(&s->children, child), child_out);
}

bool pd_supervisor_find_id(struct pd_supervisor *s, const char *id,
                           struct pd_supervisor_child *child_out)
{
    return describe(s, pd_children_find_id(&s->children, id), child_out);
}

bool pd_supervisor_find_pid(struct pd_supervisor *s, struct pd_pid pid,
                            struct pd_supervisor_child *child_out)
{
    return describe(s, pd_children_find_pid(&s->children, pid), child_out);
}

struct pd_supervisor_counts pd_supervisor_count(const struct pd_supervisor *s)
{
    return (struct pd_supervisor_counts){
        .specs = s->children.count,
        .active = s->children.active_count,
        .live = s->children.live_count,
        .waiting = s->work.request_count,
    };
}

bool pd_supervisor_is_stopped(const struct pd_supervisor *s)
{
    return s->phase == PD_PHASE_STOPPED;
}

void pd_supervisor_check(const struct pd_supervisor *s)
{
    pd_children_check(&s->children);
    pd_assert(s->restart_count <= s->config.restarts_max);
    pd_assert(s->phase != PD_PHASE_STOPPED || s->children.live_count == 0);
    pd_assert((s->operation == PD_OPERATION_STOP_ALL) == (s->phase == PD_PHASE_STOPPING));
    pd_assert((s->operation == PD_OPERATION_NONE) == (s->stage == PD_STAGE_IDLE));
    for (uint32_t slot = s->children.first; slot != NONE; slot = s->children.records[slot].after) {
        const struct pd_child_record *record = &s->children.records[slot];
        bool is_half_way = record->state == PD_CHILD_SPAWNING ||
                           record->state == PD_CHILD_STARTING || record->state == PD_CHILD_STOPPING;
        if (s->phase == PD_PHASE_LIVE) {
            pd_assert(is_half_way == (s->current == slot));
        }
        /* Who ended is in line, but for the one whose restart is going on. */
        bool is_ended = record->state == PD_CHILD_EXITED || record->state == PD_CHILD_RETRY;
        pd_assert(!record->is_queued || is_ended);
        pd_assert(s->phase != PD_PHASE_LIVE || s->operation == PD_OPERATION_RESTART ||
                  is_ended == record->is_queued);
    }
}
