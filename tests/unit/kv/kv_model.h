/* kv_model - the store's state machine as it would be if everything fitted into an array: every
 * version that was ever written, in order. Too simple to be wrong; the machine is compared with it.
 * Answers are the machine's, byte by byte. */
#ifndef PD_TESTS_KV_MODEL_H
#define PD_TESTS_KV_MODEL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kv/codec.h"
#include "kv/kv.h"

#define MODEL_VERSIONS_MAX 40000u
#define MODEL_LEASES_MAX 64u
#define MODEL_SESSIONS_MAX 16u
#define MODEL_WINDOW_MAX 16u
#define MODEL_OPS_MAX 600u
#define MODEL_SECOND UINT64_C(1000000000)

#define model_check(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct model_version {
    struct pd_kv_record record; /* key and value are the model's own copies */
    uint32_t sub;
    int64_t until; /* the revision that replaced it; INT64_MAX: none */
};

struct model_lease {
    int64_t id;
    int64_t ttl_s;
    uint64_t deadline_ns;
};

struct model_stored {
    uint64_t sequence; /* 0: none */
    uint8_t *bytes;
    size_t size;
};

struct model_session {
    uint64_t id;
    uint64_t duration_ns;
    uint64_t deadline_ns;
    uint64_t low;
    uint32_t window;
    struct model_stored stored[MODEL_WINDOW_MAX];
};

struct model {
    struct pd_kv_config config;
    struct model_version versions[MODEL_VERSIONS_MAX];
    uint32_t version_count;
    struct model_lease leases[MODEL_LEASES_MAX];
    uint32_t lease_count;
    struct model_session sessions[MODEL_SESSIONS_MAX];
    uint32_t session_count;
    int64_t revision;
    int64_t compacted;
    uint64_t time_ns;
    uint64_t index;
    struct pd_kv_op ops[MODEL_OPS_MAX];
    struct pd_kv_compare compares[MODEL_OPS_MAX];
    bool chosen[MODEL_OPS_MAX];
    bool holds[MODEL_OPS_MAX];
    uint32_t sub; /* versions that the command under way has written */
    bool is_repeat;
    uint8_t *answer;
    size_t answer_size;
};

static inline struct model *model_open(const struct pd_kv_config *config)
{
    struct model *model = calloc(1, sizeof *model);
    model_check(model != NULL);
    model_check(config->leases_max <= MODEL_LEASES_MAX);
    model_check(config->sessions_max <= MODEL_SESSIONS_MAX);
    model_check(config->session_window_max <= MODEL_WINDOW_MAX);
    model_check(pd_kv_command_ops_max(&config->limits) <= MODEL_OPS_MAX);
    model->config = *config;
    model->revision = 1;
    model->compacted = -1;
    model->answer = malloc((size_t)config->answer_bytes_max + 64);
    return model;
}

static inline void model_drop_versions(struct model *model, uint32_t from)
{
    for (uint32_t i = from; i < model->version_count; i++) {
        free((void *)(uintptr_t)model->versions[i].record.key.bytes);
        free((void *)(uintptr_t)model->versions[i].record.value.bytes);
    }
    model->version_count = from;
    for (uint32_t i = 0; i < from; i++) {
        if (model->versions[i].until > model->revision) {
            model->versions[i].until = INT64_MAX;
        }
    }
}

static inline void model_forget(struct model_session *session, uint64_t below)
{
    for (uint32_t i = 0; i < MODEL_WINDOW_MAX; i++) {
        if (session->stored[i].sequence < below) {
            free(session->stored[i].bytes);
            session->stored[i] = (struct model_stored){0};
        }
    }
}

static inline void model_close(struct model *model)
{
    model_drop_versions(model, 0);
    for (uint32_t i = 0; i < model->session_count; i++) {
        model_forget(&model->sessions[i], UINT64_MAX);
    }
    free(model->answer);
    free(model);
}

/* -- Versions ---------------------------------------------------------------------------------- */

/* The newest version of a key that is not later than `revision`, or NULL; a tombstone is one. */
static inline const struct model_version *model_newest(const struct model *model,
                                                       struct pd_span key, int64_t revision)
{
    for (uint32_t i = model->version_count; i-- > 0;) {
        const struct pd_kv_record *record = &model->versions[i].record;
        if (record->mod_revision <= revision && pd_kv_span_equal(record->key, key)) {
            return &model->versions[i];
        }
    }
    return NULL;
}

/* Live records of a range at a revision, in key order, into `out`. */
static inline uint32_t model_select(const struct model *model, struct pd_span key,
                                    struct pd_span range_end, int64_t revision,
                                    const struct pd_kv_record **out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->version_count; i++) {
        const struct pd_kv_record *record = &model->versions[i].record;
        if (record->version == 0 || record->mod_revision > revision ||
            (model->versions[i].until <= revision && model->versions[i].until != INT64_MAX) ||
            !pd_kv_range_contains(key, range_end, record->key)) {
            continue;
        }
        uint32_t at = count++;
        for (; at > 0 && pd_kv_span_compare(out[at - 1]->key, record->key) > 0; at--) {
            out[at] = out[at - 1];
        }
        out[at] = record;
    }
    return count;
}

static inline struct pd_span model_copy(struct pd_span span)
{
    uint8_t *bytes = malloc(span.size + 1);
    model_check(bytes != NULL);
    if (span.size > 0) {
        memcpy(bytes, span.bytes, span.size);
    }
    return (struct pd_span){bytes, span.size};
}

static inline void model_write(struct model *model, const struct pd_kv_record *record)
{
    model_check(model->version_count < MODEL_VERSIONS_MAX);
    for (uint32_t i = 0; i < model->version_count; i++) {
        if (model->versions[i].until == INT64_MAX &&
            pd_kv_span_equal(model->versions[i].record.key, record->key)) {
            model->versions[i].until = model->revision + 1;
        }
    }
    struct model_version *version = &model->versions[model->version_count++];
    version->until = INT64_MAX;
    version->record = *record;
    version->record.mod_revision = model->revision + 1;
    version->record.key = model_copy(record->key);
    version->record.value = model_copy(record->value);
    version->sub = model->sub++;
}

static inline void model_delete(struct model *model, struct pd_span key)
{
    model_write(model, &(struct pd_kv_record){.key = key});
}

/* -- Ranges ------------------------------------------------------------------------------------ */

static inline bool model_passes(const struct pd_kv_range *range, const struct pd_kv_record *record)
{
    return !(range->min_mod_revision != 0 && record->mod_revision < range->min_mod_revision) &&
           !(range->max_mod_revision != 0 && record->mod_revision > range->max_mod_revision) &&
           !(range->min_create_revision != 0 &&
             record->create_revision < range->min_create_revision) &&
           !(range->max_create_revision != 0 &&
             record->create_revision > range->max_create_revision);
}

static inline int model_order(const struct pd_kv_range *range, const struct pd_kv_record *a,
                              const struct pd_kv_record *b)
{
    int order = 0;
    switch (range->sort_target) {
    case PD_KV_SORT_KEY:
        order = pd_kv_span_compare(a->key, b->key);
        break;
    case PD_KV_SORT_VERSION:
        order = a->version < b->version ? -1 : a->version > b->version;
        break;
    case PD_KV_SORT_CREATE:
        order =
            a->create_revision < b->create_revision ? -1 : a->create_revision > b->create_revision;
        break;
    case PD_KV_SORT_MOD:
        order = a->mod_revision < b->mod_revision ? -1 : a->mod_revision > b->mod_revision;
        break;
    case PD_KV_SORT_VALUE:
        order = pd_kv_span_compare(a->value, b->value);
        break;
    }
    return range->sort_order == PD_KV_SORT_DESCEND ? -order : order;
}

/* As etcd: all that pass, sorted, then cut; the count is of all that are there. Without an order or
 * a bound only as many as asked for, and one more, are looked at. */
static inline void model_range(const struct model *model, const struct pd_kv_range *range,
                               int64_t revision, struct pd_kv_writer *writer)
{
    const struct pd_kv_record **found = malloc((model->version_count + 1) * sizeof *found);
    uint32_t count = model_select(model, range->key, range->range_end, revision, found);
    uint32_t kept = 0;
    bool is_bounded = range->min_mod_revision != 0 || range->max_mod_revision != 0 ||
                      range->min_create_revision != 0 || range->max_create_revision != 0;
    bool takes_first = range->limit > 0 && range->sort_order == PD_KV_SORT_NONE && !is_bounded;
    uint64_t looked_at = takes_first ? (uint64_t)range->limit + 1 : count;
    for (uint32_t i = 0; i < count && i < looked_at && !range->count_only; i++) {
        const struct pd_kv_record *record = found[i];
        if (!model_passes(range, record)) {
            continue;
        }
        uint32_t at = kept++;
        for (; at > 0 && model_order(range, found[at - 1], record) > 0; at--) {
            found[at] = found[at - 1];
        }
        found[at] = record;
    }
    bool is_sorted =
        range->sort_order == PD_KV_SORT_DESCEND || range->sort_target != PD_KV_SORT_KEY;
    size_t begin = writer->size;
    if (is_sorted) {
        /* The machine sorts within the answer's room: what does not fit there twice is refused. */
        for (uint32_t i = 0; i < kept; i++) {
            pd_kv_answer_put_record(writer, found[i]);
        }
    }
    size_t sorted_at = writer->size;
    bool more = range->limit > 0 && (uint64_t)range->limit < kept;
    uint32_t given = more ? (uint32_t)range->limit : kept;
    for (uint32_t i = 0; i < given; i++) {
        struct pd_kv_record record = *found[i];
        record.value = range->keys_only ? pd_kv_span(NULL, 0) : record.value;
        pd_kv_answer_put_record(writer, &record);
    }
    memmove(writer->bytes + begin, writer->bytes + sorted_at, writer->size - sorted_at);
    writer->size -= sorted_at - begin;
    pd_kv_answer_put_end(writer);
    pd_kv_write_u8(writer, more);
    pd_kv_answer_put_number(writer, count);
    free((void *)found);
}

static inline enum pd_kv_error model_revision_error(const struct model *model, int64_t revision)
{
    return revision > model->revision    ? PD_KV_ERR_FUTURE_REVISION
           : revision < model->compacted ? PD_KV_ERR_COMPACTED
                                         : PD_KV_OK;
}

/* -- Operations -------------------------------------------------------------------------------- */

static inline bool model_result(enum pd_kv_compare_result result, int order)
{
    return result == PD_KV_EQUAL     ? order == 0
           : result == PD_KV_GREATER ? order > 0
           : result == PD_KV_LESS    ? order < 0
                                     : order != 0;
}

static inline bool model_compare_one(const struct pd_kv_compare *compare,
                                     const struct pd_kv_record *record)
{
    if (compare->target == PD_KV_COMPARE_VALUE) {
        return record != NULL &&
               model_result(compare->result, pd_kv_span_compare(record->value, compare->value));
    }
    int64_t have = record == NULL                             ? 0
                   : compare->target == PD_KV_COMPARE_VERSION ? record->version
                   : compare->target == PD_KV_COMPARE_CREATE  ? record->create_revision
                   : compare->target == PD_KV_COMPARE_MOD     ? record->mod_revision
                                                              : record->lease;
    return model_result(compare->result, have < compare->number ? -1 : have > compare->number);
}

static inline bool model_compare(const struct model *model, const struct pd_kv_compare *compare)
{
    const struct pd_kv_record **found = malloc((model->version_count + 1) * sizeof *found);
    uint32_t count = model_select(model, compare->key, compare->range_end, model->revision, found);
    bool holds = count > 0 || model_compare_one(compare, NULL);
    for (uint32_t i = 0; i < count; i++) {
        holds = holds && model_compare_one(compare, found[i]);
    }
    free((void *)found);
    return holds;
}

static inline uint32_t model_else_begin(const struct pd_kv_command *command, uint32_t txn)
{
    uint32_t child = txn + 1;
    for (uint32_t i = 0; i < command->ops[txn].as.txn.then_count; i++) {
        child = command->ops[child].end;
    }
    return child;
}

static inline void model_choose(struct model *model, const struct pd_kv_command *command)
{
    for (uint32_t i = 0; i < command->op_count; i++) {
        const struct pd_kv_op *op = &command->ops[i];
        model->chosen[i] = true;
        for (uint32_t txn = 0; txn < i; txn++) {
            if (command->ops[txn].kind == PD_KV_OP_TXN && command->ops[txn].end > i &&
                model->holds[txn] != (i < model_else_begin(command, txn))) {
                model->chosen[i] = false;
            }
        }
        model->holds[i] = true;
        for (uint32_t c = 0; op->kind == PD_KV_OP_TXN && c < op->as.txn.compare_count; c++) {
            model->holds[i] =
                model->holds[i] &&
                model_compare(model, &command->compares[op->as.txn.compare_first + c]);
        }
    }
}

static inline struct model_lease *model_lease(struct model *model, int64_t id)
{
    for (uint32_t i = 0; i < model->lease_count; i++) {
        if (model->leases[i].id == id) {
            return &model->leases[i];
        }
    }
    return NULL;
}

/* As etcd: first all puts, then all ranges. */
static inline enum pd_kv_error model_check_ops(struct model *model,
                                               const struct pd_kv_command *command)
{
    for (uint32_t i = 0; i < command->op_count; i++) {
        const struct pd_kv_put *put = &command->ops[i].as.put;
        if (!model->chosen[i] || command->ops[i].kind != PD_KV_OP_PUT) {
            continue;
        }
        const struct model_version *old = model_newest(model, put->key, model->revision);
        if ((put->ignore_value || put->ignore_lease) && (old == NULL || old->record.version == 0)) {
            return PD_KV_ERR_KEY_NOT_FOUND;
        }
        if (put->lease != 0 && model_lease(model, put->lease) == NULL) {
            return PD_KV_ERR_LEASE_NOT_FOUND;
        }
    }
    for (uint32_t i = 0; i < command->op_count; i++) {
        int64_t revision = command->ops[i].as.range.revision;
        if (model->chosen[i] && command->ops[i].kind == PD_KV_OP_RANGE && revision > 0 &&
            model_revision_error(model, revision) != PD_KV_OK) {
            return model_revision_error(model, revision);
        }
    }
    return PD_KV_OK;
}

static inline void model_put(struct model *model, const struct pd_kv_put *put,
                             struct pd_kv_writer *writer)
{
    const struct model_version *version = model_newest(model, put->key, INT64_MAX);
    struct pd_kv_record old = {0};
    if (version != NULL && version->record.version != 0) {
        old = version->record;
    }
    struct pd_kv_record record = {
        .key = put->key,
        .value = put->ignore_value ? old.value : put->value,
        .create_revision = old.version == 0 ? model->revision + 1 : old.create_revision,
        .version = old.version + 1,
        .lease = put->ignore_lease ? old.lease : put->lease,
    };
    model_write(model, &record);
    if (put->prev_kv && old.version != 0) {
        pd_kv_answer_put_record(writer, &old);
    }
    pd_kv_answer_put_end(writer);
}

static inline void model_delete_range(struct model *model, const struct pd_kv_delete *request,
                                      struct pd_kv_writer *writer)
{
    const struct pd_kv_record **found = malloc((model->version_count + 1) * sizeof *found);
    uint32_t count = model_select(model, request->key, request->range_end, INT64_MAX, found);
    for (uint32_t i = 0; i < count; i++) {
        struct pd_kv_record old = *found[i];
        model_delete(model, old.key);
        if (request->prev_kv) {
            pd_kv_answer_put_record(writer, &old);
        }
    }
    pd_kv_answer_put_end(writer);
    pd_kv_answer_put_number(writer, count);
    free((void *)found);
}

static inline enum pd_kv_answer_kind model_run_op(struct model *model, uint32_t i, bool is_root,
                                                  struct pd_kv_writer *writer)
{
    static const enum pd_kv_answer_kind kinds[] = {[PD_KV_OP_RANGE] = PD_KV_ANSWER_RANGE,
                                                   [PD_KV_OP_PUT] = PD_KV_ANSWER_PUT,
                                                   [PD_KV_OP_DELETE] = PD_KV_ANSWER_DELETE,
                                                   [PD_KV_OP_TXN] = PD_KV_ANSWER_TXN};
    const struct pd_kv_op *op = &model->ops[i];
    if (!is_root) {
        pd_kv_answer_put_response(writer, kinds[op->kind]);
    }
    switch (op->kind) {
    case PD_KV_OP_RANGE:
        model_range(model, &op->as.range,
                    op->as.range.revision > 0 ? op->as.range.revision : INT64_MAX, writer);
        break;
    case PD_KV_OP_PUT:
        model_put(model, &op->as.put, writer);
        break;
    case PD_KV_OP_DELETE:
        model_delete_range(model, &op->as.delete_range, writer);
        break;
    case PD_KV_OP_TXN:
        pd_kv_write_u8(writer, model->holds[i]);
        pd_kv_write_u64(writer, model->holds[i] ? op->as.txn.then_count : op->as.txn.else_count);
        break;
    }
    return kinds[op->kind];
}

static inline enum pd_kv_error model_ops(struct model *model, const struct pd_kv_command *command,
                                         enum pd_kv_answer_kind *kind, struct pd_kv_writer *writer)
{
    model_choose(model, command);
    enum pd_kv_error error = model_check_ops(model, command);
    uint32_t before = model->version_count;
    for (uint32_t i = 0; error == PD_KV_OK && i < command->op_count; i++) {
        if (model->chosen[i]) {
            enum pd_kv_answer_kind one = model_run_op(model, i, i == 0, writer);
            *kind = i == 0 ? one : *kind;
        }
    }
    if (error == PD_KV_OK && writer->is_full) {
        error = PD_KV_ERR_ANSWER_TOO_LARGE;
        model_drop_versions(model, before);
        model->sub = 0;
    }
    return error;
}

/* -- Leases and sessions ----------------------------------------------------------------------- */

static inline void model_remove_lease(struct model *model, struct model_lease *lease)
{
    static const uint8_t zero[] = {0};
    const struct pd_kv_record **found = malloc((model->version_count + 1) * sizeof *found);
    uint32_t count =
        model_select(model, pd_kv_span(zero, 1), pd_kv_span(zero, 1), model->revision, found);
    for (uint32_t i = 0; i < count; i++) {
        if (found[i]->lease == lease->id) {
            model_delete(model, found[i]->key);
        }
    }
    free((void *)found);
    *lease = model->leases[--model->lease_count];
}

static inline enum pd_kv_error model_grant(struct model *model, int64_t id, int64_t ttl_s,
                                           struct pd_kv_writer *writer)
{
    if (id != 0 && model_lease(model, id) != NULL) {
        return PD_KV_ERR_LEASE_EXISTS;
    }
    if (id == 0) {
        for (id = (int64_t)model->index; model_lease(model, id) != NULL;) {
            id++;
        }
    }
    if (model->lease_count == model->config.leases_max) {
        return PD_KV_ERR_LEASES_FULL;
    }
    ttl_s = ttl_s < model->config.lease_ttl_min_s ? model->config.lease_ttl_min_s : ttl_s;
    model->leases[model->lease_count++] = (struct model_lease){
        .id = id, .ttl_s = ttl_s, .deadline_ns = model->time_ns + (uint64_t)ttl_s * MODEL_SECOND};
    pd_kv_answer_put_number(writer, id);
    pd_kv_answer_put_number(writer, ttl_s);
    return PD_KV_OK;
}

static inline void model_keep_lease(struct model *model, int64_t id, struct pd_kv_writer *writer)
{
    struct model_lease *lease = model_lease(model, id);
    if (lease != NULL) {
        lease->deadline_ns = model->time_ns + (uint64_t)lease->ttl_s * MODEL_SECOND;
    }
    pd_kv_answer_put_number(writer, id);
    pd_kv_answer_put_number(writer, lease == NULL ? 0 : lease->ttl_s);
}

static inline struct model_session *model_session(struct model *model, uint64_t id)
{
    for (uint32_t i = 0; i < model->session_count; i++) {
        if (model->sessions[i].id == id) {
            return &model->sessions[i];
        }
    }
    return NULL;
}

static inline enum pd_kv_error model_open_session(struct model *model, uint64_t duration_ns,
                                                  uint32_t window, struct pd_kv_writer *writer)
{
    const struct pd_kv_config *config = &model->config;
    if (model->session_count == config->sessions_max) {
        return PD_KV_ERR_SESSIONS_FULL;
    }
    if (duration_ns > config->session_duration_max_ns) {
        duration_ns = config->session_duration_max_ns;
    }
    if (window == 0 || window > config->session_window_max) {
        window = config->session_window_max;
    }
    model->sessions[model->session_count++] = (struct model_session){
        .id = model->index,
        .duration_ns = duration_ns,
        .deadline_ns = model->time_ns + duration_ns,
        .low = 1,
        .window = window,
    };
    pd_kv_answer_put_number(writer, (int64_t)model->index);
    return PD_KV_OK;
}

static inline void model_remove_session(struct model *model, struct model_session *session)
{
    model_forget(session, UINT64_MAX);
    *session = model->sessions[--model->session_count];
}

static inline void model_extend(struct model *model)
{
    for (uint32_t i = 0; i < model->lease_count; i++) {
        struct model_lease *lease = &model->leases[i];
        lease->deadline_ns = model->time_ns + (uint64_t)lease->ttl_s * MODEL_SECOND;
    }
    for (uint32_t i = 0; i < model->session_count; i++) {
        model->sessions[i].deadline_ns = model->time_ns + model->sessions[i].duration_ns;
    }
}

/* -- Commands ---------------------------------------------------------------------------------- */

static inline enum pd_kv_error model_lease_command(struct model *model,
                                                   const struct pd_kv_command *command)
{
    struct model_lease *lease = model_lease(model, command->id);
    bool is_revoke = command->kind == PD_KV_LEASE_REVOKE;
    if (lease == NULL) {
        return is_revoke ? PD_KV_ERR_LEASE_NOT_FOUND : PD_KV_OK;
    }
    if (is_revoke || lease->deadline_ns <= model->time_ns) {
        model_remove_lease(model, lease);
    }
    return PD_KV_OK;
}

static inline enum pd_kv_error model_session_command(struct model *model,
                                                     const struct pd_kv_command *command)
{
    struct model_session *session = model_session(model, (uint64_t)command->id);
    if (session == NULL) {
        return PD_KV_ERR_SESSION_UNKNOWN;
    }
    if (command->kind == PD_KV_SESSION_KEEPALIVE) {
        session->deadline_ns = model->time_ns + session->duration_ns;
    } else if (command->kind == PD_KV_SESSION_CLOSE || session->deadline_ns <= model->time_ns) {
        model_remove_session(model, session);
    }
    return PD_KV_OK;
}

static inline enum pd_kv_error model_run(struct model *model, const struct pd_kv_command *command,
                                         enum pd_kv_answer_kind *kind, struct pd_kv_writer *writer)
{
    switch (command->kind) {
    case PD_KV_NOOP:
        break;
    case PD_KV_OPS:
        return model_ops(model, command, kind, writer);
    case PD_KV_COMPACT:
        if (command->revision > model->revision) {
            return PD_KV_ERR_FUTURE_REVISION;
        }
        if (command->revision <= model->compacted) {
            return PD_KV_ERR_COMPACTED;
        }
        model->compacted = command->revision;
        break;
    case PD_KV_LEASE_GRANT:
        *kind = PD_KV_ANSWER_LEASE;
        return model_grant(model, command->id, command->ttl_s, writer);
    case PD_KV_LEASE_KEEPALIVE:
        *kind = PD_KV_ANSWER_LEASE;
        model_keep_lease(model, command->id, writer);
        break;
    case PD_KV_LEASE_REVOKE:
    case PD_KV_LEASE_EXPIRE:
        return model_lease_command(model, command);
    case PD_KV_LEASES_EXTEND:
        model_extend(model);
        break;
    case PD_KV_SESSION_OPEN:
        *kind = PD_KV_ANSWER_SESSION;
        return model_open_session(model, command->duration_ns, command->window, writer);
    case PD_KV_SESSION_CLOSE:
    case PD_KV_SESSION_KEEPALIVE:
    case PD_KV_SESSION_EXPIRE:
        return model_session_command(model, command);
    case PD_KV_MEMBER_PUT:
    case PD_KV_MEMBER_REMOVE:
    case PD_KV_MEMBER_TELL:
    case PD_KV_VERSION_RAISE:
        model_check(false); /* nobody draws them: member_test.c, version_test.c */
        break;
    }
    return PD_KV_OK;
}

static inline size_t model_answers(const struct model_session *session)
{
    size_t size = 0;
    for (uint32_t i = 0; i < MODEL_WINDOW_MAX; i++) {
        size += session->stored[i].size;
    }
    return size;
}

/* Whether the session lets the command through; *repeated: it was answered before. */
static inline enum pd_kv_error model_enter(struct model *model,
                                           const struct pd_kv_envelope *envelope,
                                           const struct model_stored **repeated)
{
    struct model_session *session = model_session(model, envelope->session_id);
    *repeated = NULL;
    if (envelope->session_id == 0) {
        return PD_KV_OK;
    }
    if (session == NULL) {
        return PD_KV_ERR_SESSION_UNKNOWN;
    }
    if (envelope->sequence == 0 || envelope->low > envelope->sequence) {
        return PD_KV_ERR_INVALID;
    }
    session->deadline_ns = model->time_ns + session->duration_ns;
    session->low = envelope->low > session->low ? envelope->low : session->low;
    model_forget(session, session->low);
    if (envelope->sequence < session->low) {
        return PD_KV_ERR_SESSION_STALE;
    }
    if (envelope->sequence - session->low >= session->window) {
        return PD_KV_ERR_SESSION_AHEAD;
    }
    size_t all = 0;
    for (uint32_t i = 0; i < model->session_count; i++) {
        all += model_answers(&model->sessions[i]);
    }
    for (uint32_t i = 0; i < MODEL_WINDOW_MAX; i++) {
        if (session->stored[i].sequence == envelope->sequence) {
            *repeated = &session->stored[i];
            return PD_KV_OK;
        }
    }
    return model_answers(session) >= model->config.session_answer_bytes_max ||
                   all >= model->config.answers_bytes_max
               ? PD_KV_ERR_SESSION_ANSWERS_FULL
               : PD_KV_OK;
}

static inline void model_answer(struct model *model, enum pd_kv_error error,
                                enum pd_kv_answer_kind kind, struct pd_span body)
{
    struct pd_kv_writer head = {.bytes = model->answer, .bytes_max = 64};
    pd_kv_answer_put_head(
        &head, &(struct pd_kv_answer_head){.error = error,
                                           .revision = model->revision,
                                           .kind = error == PD_KV_OK ? kind : PD_KV_ANSWER_NONE});
    model->answer_size = head.size;
    if (error == PD_KV_OK && body.size > 0) {
        memcpy(model->answer + head.size, body.bytes, body.size);
        model->answer_size += body.size;
    }
}

/* The whole command; the answer is left in model->answer. */
static inline void model_apply(struct model *model, uint64_t index, struct pd_span bytes)
{
    struct pd_kv_envelope envelope;
    model->index = index;
    model->sub = 0;
    model->is_repeat = false;
    if (pd_kv_envelope_decode(bytes, &envelope) != PD_OK) {
        model_answer(model, PD_KV_ERR_MALFORMED, PD_KV_ANSWER_NONE, pd_kv_span(NULL, 0));
        return;
    }
    uint64_t most_ns = model->time_ns + model->config.state_time_step_max_ns;
    uint64_t given_ns = envelope.state_time_ns < most_ns ? envelope.state_time_ns : most_ns;
    model->time_ns = given_ns > model->time_ns ? given_ns : model->time_ns;
    const struct model_stored *repeated;
    enum pd_kv_error refused = model_enter(model, &envelope, &repeated);
    if (repeated != NULL) {
        model->is_repeat = true;
        memcpy(model->answer, repeated->bytes, repeated->size);
        model->answer_size = repeated->size;
        return;
    }
    if (refused != PD_KV_OK) {
        model_answer(model, refused, PD_KV_ANSWER_NONE, pd_kv_span(NULL, 0));
        return;
    }
    struct pd_kv_command command;
    struct pd_kv_command_room room = {model->ops, model->compares, MODEL_OPS_MAX, MODEL_OPS_MAX};
    room.ops_max = room.compares_max = pd_kv_command_ops_max(&model->config.limits);
    uint8_t *body = malloc((size_t)model->config.answer_bytes_max + 1);
    struct pd_kv_writer writer = {.bytes = body, .bytes_max = model->config.answer_bytes_max};
    enum pd_kv_answer_kind kind = PD_KV_ANSWER_NONE;
    enum pd_kv_error error =
        pd_kv_command_decode(envelope.command, &model->config.limits, &room, &command);
    if (error == PD_KV_OK) {
        error = model_run(model, &command, &kind, &writer);
    }
    model->revision += model->sub > 0;
    model_answer(model, error, kind, pd_kv_span(body, writer.size));
    free(body);
    struct model_session *session = model_session(model, envelope.session_id);
    if (session != NULL && envelope.session_id != index) {
        struct model_stored *stored = &session->stored[envelope.sequence % session->window];
        free(stored->bytes);
        *stored = (struct model_stored){.sequence = envelope.sequence,
                                        .bytes = malloc(model->answer_size + 1),
                                        .size = model->answer_size};
        memcpy(stored->bytes, model->answer, model->answer_size);
    }
}

#endif
