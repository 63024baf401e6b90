/* The clients' answers against the model, and their order against real time. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "sim/clients.h"

struct bound {
    uint64_t time_ns;
    int64_t revision;
    bool has_written;
    size_t operation;
};

static int by_time(const void *left, const void *right)
{
    const struct bound *a = left;
    const struct bound *b = right;
    if (a->time_ns != b->time_ns) {
        return a->time_ns < b->time_ns ? -1 : 1;
    }
    return a->operation < b->operation ? -1 : a->operation > b->operation;
}

/* -- One answer -------------------------------------------------------------------------------- */

static enum pd_sim_verdict differs(struct pd_sim_world *world,
                                   const struct pd_sim_operation *operation, struct pd_span answer,
                                   struct pd_span expected)
{
    if (answer.size == expected.size && memcmp(answer.bytes, expected.bytes, answer.size) == 0) {
        return PD_SIM_RIGHT;
    }
    pd_sim_world_fail(world,
                      "client %u was answered wrongly: %s of key %u at revision %lld: %zu bytes "
                      "that differ from the %zu expected",
                      operation->client, pd_sim_op_name(operation->op), operation->key,
                      (long long)operation->revision, answer.size, expected.size);
    return PD_SIM_WRONG;
}

static enum pd_sim_verdict judge_read(struct pd_sim_world *world,
                                      const struct pd_sim_operation *operation,
                                      struct pd_span answer, enum pd_kv_error error)
{
    struct pd_sim_model *model = &world->model;
    if (operation->revision > model->now.revision) {
        return PD_SIM_NOT_YET;
    }
    int64_t revision = operation->at_revision > 0 ? operation->at_revision : operation->revision;
    if (error == PD_KV_ERR_COMPACTED && operation->at_revision > 0 &&
        operation->at_revision < model->now.compacted) {
        return PD_SIM_RIGHT;
    }
    if (error != PD_KV_OK) {
        pd_sim_world_fail(world, "client %u was refused a %s at revision %lld: %s",
                          operation->client, pd_sim_op_name(operation->op), (long long)revision,
                          pd_kv_error_text(error));
        return PD_SIM_WRONG;
    }
    return differs(world, operation, answer,
                   pd_sim_model_range(model, operation->key, operation->end, operation->limit,
                                      revision, operation->revision));
}

/* A write that only its value names. */
static enum pd_sim_verdict judge_plain(struct pd_sim_world *world,
                                       struct pd_sim_operation *operation, enum pd_kv_error error)
{
    const struct pd_sim_model *model = &world->model;
    if (error == PD_KV_OK && !pd_sim_model_has_written(model, operation->value)) {
        return PD_SIM_NOT_YET;
    }
    const struct pd_sim_version *version =
        pd_sim_model_version(model, operation->key, operation->revision);
    if (error != PD_KV_OK || version == NULL || version->value != operation->value ||
        version->revision != operation->revision) {
        pd_sim_world_fail(world, "client %u was told '%s' of a write of key %u at revision %lld",
                          operation->client, pd_kv_error_text(error), operation->key,
                          (long long)operation->revision);
        return PD_SIM_WRONG;
    }
    operation->has_written = true;
    return PD_SIM_RIGHT;
}

static bool is_committed(const struct pd_sim_world *world, const struct pd_sim_operation *operation)
{
    return operation->is_plain ? pd_sim_model_has_written(&world->model, operation->value)
                               : pd_sim_model_outcome(&world->model, operation->session,
                                                      operation->sequence) != NULL;
}

enum pd_sim_verdict pd_sim_judge(struct pd_sim_world *world, struct pd_sim_operation *operation,
                                 struct pd_span answer)
{
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    pd_kv_reader_init(&reader, answer);
    pd_kv_answer_head(&reader, &head);
    if (pd_sim_op_is_read(operation->op)) {
        return judge_read(world, operation, answer, head.error);
    }
    if (operation->op == PD_SIM_OPEN) {
        uint64_t id = (uint64_t)pd_kv_answer_number(&reader);
        return head.kind != PD_KV_ANSWER_SESSION || pd_sim_model_session(&world->model, id) == NULL
                   ? PD_SIM_NOT_YET
                   : PD_SIM_RIGHT;
    }
    if (operation->is_plain) {
        return judge_plain(world, operation, head.error);
    }
    const struct pd_sim_outcome *outcome =
        pd_sim_model_outcome(&world->model, operation->session, operation->sequence);
    if (outcome == NULL) {
        return PD_SIM_NOT_YET;
    }
    operation->has_written = outcome->has_written;
    return differs(world, operation, answer,
                   (struct pd_span){world->model.answers + outcome->offset, outcome->size});
}

/* -- All of them ------------------------------------------------------------------------------- */

static bool check_outcomes(struct pd_sim_world *world)
{
    struct pd_sim_clients *clients = world->clients;
    for (size_t i = 0; i < clients->history_count && !world->is_failed; i++) {
        struct pd_sim_operation *operation = &clients->history[i];
        if (operation->answer != NULL) {
            const struct pd_span answer = {operation->answer, operation->answer_size};
            if (pd_sim_judge(world, operation, answer) == PD_SIM_NOT_YET) {
                pd_sim_world_fail(world,
                                  "client %u was told that its %s is done (revision %lld), yet "
                                  "nothing of it is committed",
                                  operation->client, pd_sim_op_name(operation->op),
                                  (long long)operation->revision);
            }
        }
        if (operation->is_void && is_committed(world, operation)) {
            pd_sim_world_fail(world,
                              "client %u was told that nothing of its %s was done, yet it is "
                              "committed",
                              operation->client, pd_sim_op_name(operation->op));
        }
    }
    return !world->is_failed;
}

/* Who began after another had its answer sees at least that one's revision; a write, a later
 * one. */
static void check_real_time(struct pd_sim_world *world, struct bound *begins, struct bound *ends,
                            size_t count)
{
    qsort(begins, count, sizeof begins[0], by_time);
    qsort(ends, count, sizeof ends[0], by_time);
    int64_t newest = 0;
    size_t ended = 0;
    for (size_t i = 0; i < count; i++) {
        while (ended < count && ends[ended].time_ns < begins[i].time_ns) {
            newest = ends[ended].revision > newest ? ends[ended].revision : newest;
            ended++;
        }
        if (begins[i].revision < newest ||
            (begins[i].has_written && begins[i].revision == newest)) {
            const struct pd_sim_operation *operation =
                &world->clients->history[begins[i].operation];
            pd_sim_world_fail(world,
                              "not linearizable: client %u began a %s of key %u at %llu ns and was "
                              "given revision %lld, after %lld had been told to somebody",
                              operation->client, pd_sim_op_name(operation->op), operation->key,
                              (unsigned long long)operation->invoked_ns,
                              (long long)begins[i].revision, (long long)newest);
            return;
        }
    }
}

void pd_sim_history_check(struct pd_sim_world *world)
{
    const struct pd_sim_clients *clients = world->clients;
    size_t count = clients->history_count;
    if (!check_outcomes(world)) {
        return;
    }
    struct bound *begins = pd_sim_alloc((count + 1) * sizeof begins[0]);
    struct bound *ends = pd_sim_alloc((count + 1) * sizeof ends[0]);
    size_t answered = 0;
    for (size_t i = 0; i < count; i++) {
        const struct pd_sim_operation *operation = &clients->history[i];
        if (operation->returned_ns == UINT64_MAX || operation->op == PD_SIM_READ_LOCAL) {
            continue; /* a serializable read promises no order */
        }
        struct bound bound = {.time_ns = operation->invoked_ns,
                              .revision = operation->revision,
                              .has_written = operation->has_written,
                              .operation = i};
        begins[answered] = bound;
        bound.time_ns = operation->returned_ns;
        ends[answered++] = bound;
    }
    check_real_time(world, begins, ends, answered);
    pd_free(begins);
    pd_free(ends);
}
