#include "sim/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "sim/queue.h"

#define SECOND_NS UINT64_C(1000000000)
#define BODY_MAX (64u * 1024u)

void pd_sim_model_init(struct pd_sim_model *model, const struct pd_kv_config *config)
{
    memset(model, 0, sizeof *model);
    model->config = *config;
    model->now.revision = 1;
    model->now.compacted = -1; /* the first compaction may be at 0 */
    uint32_t ops_max = pd_kv_command_ops_max(&config->limits);
    model->room.ops_max = ops_max;
    model->room.compares_max = ops_max;
    model->room.ops = pd_sim_alloc(ops_max * sizeof model->room.ops[0]);
    model->room.compares = pd_sim_alloc(ops_max * sizeof model->room.compares[0]);
    model->body = pd_sim_alloc(BODY_MAX);
}

void pd_sim_model_deinit(struct pd_sim_model *model)
{
    for (uint32_t i = 0; i < PD_SIM_KEYS_MAX; i++) {
        pd_free(model->keys[i].items);
    }
    for (size_t i = 0; i < model->session_count; i++) {
        pd_free(model->sessions[i].outcomes);
    }
    pd_free(model->events);
    pd_free(model->sessions);
    pd_free(model->leases);
    pd_free(model->standings);
    pd_free(model->answers);
    pd_free(model->written);
    pd_free(model->room.ops);
    pd_free(model->room.compares);
    pd_free(model->body);
    memset(model, 0, sizeof *model);
}

static bool refuse(struct pd_sim_model *model, const char *format, ...) PD_PRINTF(2, 3);

static bool refuse(struct pd_sim_model *model, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(model->text, sizeof model->text, format, arguments);
    va_end(arguments);
    return false;
}

/* -- Looking ----------------------------------------------------------------------------------- */

const struct pd_sim_standing *pd_sim_model_at(const struct pd_sim_model *model, uint64_t index)
{
    return index < model->first_index || index - model->first_index >= model->standing_count
               ? NULL
               : &model->standings[index - model->first_index];
}

static struct pd_sim_model_session *find_session(const struct pd_sim_model *model, uint64_t id)
{
    size_t low = 0;
    size_t high = model->session_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (model->sessions[middle].id == id) {
            return &model->sessions[middle];
        }
        if (model->sessions[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

const struct pd_sim_model_session *pd_sim_model_session(const struct pd_sim_model *model,
                                                        uint64_t id)
{
    return find_session(model, id);
}

const struct pd_sim_outcome *pd_sim_model_outcome(const struct pd_sim_model *model,
                                                  uint64_t session, uint64_t sequence)
{
    const struct pd_sim_model_session *found = find_session(model, session);
    return found == NULL || sequence >= found->outcome_count || found->outcomes[sequence].size == 0
               ? NULL
               : &found->outcomes[sequence];
}

static const struct pd_sim_version *newest(const struct pd_sim_versions *versions)
{
    return versions->count == 0 || versions->items[versions->count - 1].value == 0
               ? NULL
               : &versions->items[versions->count - 1];
}

bool pd_sim_model_has_written(const struct pd_sim_model *model, uint64_t value)
{
    return value < model->written_capacity && model->written[value] != 0;
}

const struct pd_sim_version *pd_sim_model_version(const struct pd_sim_model *model, uint32_t key,
                                                  int64_t revision)
{
    const struct pd_sim_versions *versions = &model->keys[key];
    size_t low = 0;
    size_t high = versions->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (versions->items[middle].revision <= revision) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 || versions->items[low - 1].value == 0 ? NULL : &versions->items[low - 1];
}

/* -- Answers ----------------------------------------------------------------------------------- */

static void put_record(struct pd_kv_writer *writer, const struct pd_sim_version *version)
{
    struct pd_sim_key key = pd_sim_key_make(version->key);
    struct pd_sim_value value;
    pd_sim_value_make(version->value, &value);
    pd_kv_answer_put_record(writer,
                            &(struct pd_kv_record){.key = pd_sim_key_span(&key),
                                                   .value = pd_sim_value_span(&value),
                                                   .create_revision = version->create_revision,
                                                   .mod_revision = version->revision,
                                                   .version = version->version,
                                                   .lease = version->lease});
}

static void put_range(const struct pd_sim_model *model, struct pd_kv_writer *writer, uint32_t key,
                      uint32_t end, int64_t limit, int64_t revision)
{
    int64_t count = 0;
    for (uint32_t i = key; i < (end == 0 ? key + 1 : end); i++) {
        const struct pd_sim_version *version = pd_sim_model_version(model, i, revision);
        if (version == NULL) {
            continue;
        }
        if (limit <= 0 || count < limit) {
            put_record(writer, version);
        }
        count++;
    }
    pd_kv_answer_put_end(writer);
    pd_kv_answer_put_number(writer, limit > 0 && count > limit ? 1 : 0);
    pd_kv_answer_put_number(writer, count);
}

struct pd_span pd_sim_model_range(struct pd_sim_model *model, uint32_t key, uint32_t end,
                                  int64_t limit, int64_t revision, int64_t head_revision)
{
    struct pd_kv_writer writer = {.bytes = model->body, .bytes_max = BODY_MAX};
    pd_kv_answer_put_head(&writer, &(struct pd_kv_answer_head){.revision = head_revision,
                                                               .kind = PD_KV_ANSWER_RANGE});
    put_range(model, &writer, key, end, limit, revision);
    pd_assert(!writer.is_full);
    return (struct pd_span){model->body, writer.size};
}

/* -- One command ------------------------------------------------------------------------------- */

/* What a command does while it runs. */
struct running {
    struct pd_sim_model *model;
    struct pd_kv_writer body;
    enum pd_kv_error error;
    enum pd_kv_answer_kind kind;
    uint32_t sub;    /* versions written so far */
    bool is_inside;  /* of a transaction */
    bool is_foreign; /* no command of the clients: model->text */
};

static void respond(struct running *running, enum pd_kv_answer_kind kind)
{
    if (running->is_inside) {
        pd_kv_answer_put_response(&running->body, kind);
    } else {
        running->kind = kind;
    }
}

static bool key_of(struct running *running, struct pd_span bytes, uint32_t *key_out)
{
    if (!pd_sim_key_parse(bytes, key_out)) {
        running->is_foreign = true;
        (void)refuse(running->model, "a key that no client uses (%zu bytes)", bytes.size);
        return false;
    }
    return true;
}

/* The bounds of a key or range. */
static bool bounds_of(struct running *running, struct pd_span key, struct pd_span range_end,
                      uint32_t *key_out, uint32_t *end_out)
{
    *end_out = 0;
    return key_of(running, key, key_out) &&
           (range_end.size == 0 || key_of(running, range_end, end_out));
}

static void write_version(struct running *running, struct pd_sim_version version)
{
    struct pd_sim_model *model = running->model;
    struct pd_sim_versions *versions = &model->keys[version.key];
    bool was_there = newest(versions) != NULL;
    version.revision = model->now.revision + 1;
    version.sub = running->sub++;
    model->now.key_count += (version.value != 0 ? 1u : 0u) - (was_there ? 1u : 0u);
    versions->items = pd_sim_grow(versions->items, &versions->capacity, versions->count + 1,
                                  sizeof versions->items[0]);
    versions->items[versions->count++] = version;
    model->events = pd_sim_grow(model->events, &model->event_capacity, model->event_count + 1,
                                sizeof model->events[0]);
    model->events[model->event_count++] = version;
}

/* Whatever the sessions and the log's order are, this holds: a request happens once at most. */
static bool is_new(struct pd_sim_model *model, uint64_t value)
{
    size_t old = model->written_capacity;
    model->written = pd_sim_grow(model->written, &model->written_capacity, (size_t)value + 1, 1);
    if (model->written_capacity > old) {
        memset(model->written + old, 0, model->written_capacity - old);
    }
    bool is_old = model->written[value] != 0;
    model->written[value] = 1;
    return !is_old;
}

static void run_put(struct running *running, const struct pd_kv_put *put)
{
    struct pd_sim_model *model = running->model;
    uint32_t key = 0;
    uint64_t value = 0;
    if (!key_of(running, put->key, &key)) {
        return;
    }
    if (!pd_sim_value_parse(put->value, &value) || put->ignore_value || put->ignore_lease) {
        running->is_foreign = true;
        (void)refuse(model, "a value of key %u that no client wrote", key);
        return;
    }
    if (!is_new(model, value)) {
        running->is_foreign = true;
        (void)refuse(model, "value %llu of key %u is written twice: a request happened again",
                     (unsigned long long)value, key);
        return;
    }
    const struct pd_sim_version *old = newest(&model->keys[key]);
    respond(running, PD_KV_ANSWER_PUT);
    if (put->prev_kv && old != NULL) {
        put_record(&running->body, old);
    }
    pd_kv_answer_put_end(&running->body);
    write_version(running, (struct pd_sim_version){
                               .key = key,
                               .value = value,
                               .create_revision =
                                   old == NULL ? model->now.revision + 1 : old->create_revision,
                               .version = old == NULL ? 1 : old->version + 1,
                               .lease = put->lease,
                           });
}

static void run_delete(struct running *running, const struct pd_kv_delete *delete_range)
{
    uint32_t key = 0;
    uint32_t end = 0;
    int64_t count = 0;
    if (!bounds_of(running, delete_range->key, delete_range->range_end, &key, &end)) {
        return;
    }
    respond(running, PD_KV_ANSWER_DELETE);
    for (uint32_t i = key; i < (end == 0 ? key + 1 : end); i++) {
        const struct pd_sim_version *old = newest(&running->model->keys[i]);
        if (old == NULL) {
            continue;
        }
        if (delete_range->prev_kv) {
            put_record(&running->body, old);
        }
        write_version(running, (struct pd_sim_version){.key = i});
        count++;
    }
    pd_kv_answer_put_end(&running->body);
    pd_kv_answer_put_number(&running->body, count);
}

static void run_range(struct running *running, const struct pd_kv_range *range)
{
    uint32_t key = 0;
    uint32_t end = 0;
    if (bounds_of(running, range->key, range->range_end, &key, &end)) {
        respond(running, PD_KV_ANSWER_RANGE);
        put_range(running->model, &running->body, key, end, range->limit,
                  range->revision > 0 ? range->revision : INT64_MAX);
    }
}

static bool compare_holds(struct running *running, const struct pd_kv_compare *compare)
{
    uint32_t key = 0;
    if (!key_of(running, compare->key, &key)) {
        return false;
    }
    const struct pd_sim_version *now = newest(&running->model->keys[key]);
    int64_t have = 0;
    int64_t want = compare->number;
    switch (compare->target) {
    case PD_KV_COMPARE_VERSION:
        have = now == NULL ? 0 : now->version;
        break;
    case PD_KV_COMPARE_CREATE:
        have = now == NULL ? 0 : now->create_revision;
        break;
    case PD_KV_COMPARE_MOD:
        have = now == NULL ? 0 : now->revision;
        break;
    case PD_KV_COMPARE_LEASE:
        have = now == NULL ? 0 : now->lease;
        break;
    case PD_KV_COMPARE_VALUE: {
        uint64_t value = 0;
        if (now == NULL || !pd_sim_value_parse(compare->value, &value)) {
            return false;
        }
        have = (int64_t)now->value;
        want = (int64_t)value;
        break;
    }
    }
    /* Clients compare for equality only: of values it is all that the numbers tell. */
    running->is_foreign = running->is_foreign || compare->result != PD_KV_EQUAL;
    return have == want;
}

static bool lease_is_live(const struct pd_sim_model *model, int64_t id)
{
    for (size_t i = 0; i < model->lease_count; i++) {
        if (model->leases[i].id == id) {
            return true;
        }
    }
    return false;
}

/* What must hold before anything is written. */
static enum pd_kv_error check_op(const struct running *running, const struct pd_kv_op *op)
{
    const struct pd_sim_model *model = running->model;
    if (op->kind == PD_KV_OP_PUT && op->as.put.lease != 0 &&
        !lease_is_live(model, op->as.put.lease)) {
        return PD_KV_ERR_LEASE_NOT_FOUND;
    }
    if (op->kind == PD_KV_OP_RANGE && op->as.range.revision > model->now.revision) {
        return PD_KV_ERR_FUTURE_REVISION;
    }
    return op->kind == PD_KV_OP_RANGE && op->as.range.revision > 0 &&
                   op->as.range.revision < model->now.compacted
               ? PD_KV_ERR_COMPACTED
               : PD_KV_OK;
}

static void run_op(struct running *running, const struct pd_kv_op *op)
{
    switch (op->kind) {
    case PD_KV_OP_PUT:
        run_put(running, &op->as.put);
        break;
    case PD_KV_OP_DELETE:
        run_delete(running, &op->as.delete_range);
        break;
    case PD_KV_OP_RANGE:
        run_range(running, &op->as.range);
        break;
    case PD_KV_OP_TXN:
        running->is_foreign = true;
        (void)refuse(running->model, "a transaction within a transaction");
        break;
    }
}

static void run_ops(struct running *running, const struct pd_kv_command *command)
{
    const struct pd_kv_op *root = &command->ops[0];
    uint32_t first = 0;
    uint32_t count = 1;
    bool holds = true;
    if (root->kind == PD_KV_OP_TXN) {
        const struct pd_kv_txn *txn = &root->as.txn;
        for (uint32_t i = 0; i < txn->compare_count && holds; i++) {
            holds = compare_holds(running, &command->compares[txn->compare_first + i]);
        }
        first = holds ? 1 : 1 + txn->then_count;
        count = holds ? txn->then_count : txn->else_count;
    }
    for (uint32_t i = first; i < first + count && running->error == PD_KV_OK; i++) {
        running->error = check_op(running, &command->ops[i]);
    }
    if (running->error != PD_KV_OK) {
        return;
    }
    if (root->kind == PD_KV_OP_TXN) {
        respond(running, PD_KV_ANSWER_TXN);
        running->is_inside = true;
        pd_kv_answer_put_number(&running->body, holds ? 1 : 0);
        pd_kv_answer_put_number(&running->body, count);
    }
    for (uint32_t i = first; i < first + count && !running->is_foreign; i++) {
        run_op(running, &command->ops[i]);
    }
}

/* -- Leases, sessions, compaction -------------------------------------------------------------- */

static struct pd_sim_model_lease *find_lease(struct pd_sim_model *model, int64_t id)
{
    for (size_t i = 0; i < model->lease_count; i++) {
        if (model->leases[i].id == id) {
            return &model->leases[i];
        }
    }
    return NULL;
}

static uint64_t lease_deadline(const struct pd_sim_model *model, int64_t ttl_s)
{
    return model->now.state_time_ns + (uint64_t)ttl_s * SECOND_NS;
}

static void grant(struct running *running, const struct pd_kv_command *command)
{
    struct pd_sim_model *model = running->model;
    int64_t ttl_s = command->ttl_s < model->config.lease_ttl_min_s ? model->config.lease_ttl_min_s
                                                                   : command->ttl_s;
    if (command->id == 0) {
        running->is_foreign = true;
        (void)refuse(model, "a lease without an id of its own");
        return;
    }
    if (find_lease(model, command->id) != NULL) {
        running->error = PD_KV_ERR_LEASE_EXISTS;
        return;
    }
    if (model->lease_count == model->config.leases_max) {
        running->error = PD_KV_ERR_LEASES_FULL;
        return;
    }
    model->leases = pd_sim_grow(model->leases, &model->lease_capacity, model->lease_count + 1,
                                sizeof model->leases[0]);
    model->leases[model->lease_count++] = (struct pd_sim_model_lease){
        .id = command->id, .ttl_s = ttl_s, .deadline_ns = lease_deadline(model, ttl_s)};
    running->kind = PD_KV_ANSWER_LEASE;
    pd_kv_answer_put_number(&running->body, command->id);
    pd_kv_answer_put_number(&running->body, ttl_s);
}

static void keep(struct running *running, int64_t id)
{
    struct pd_sim_model_lease *lease = find_lease(running->model, id);
    if (lease != NULL) {
        lease->deadline_ns = lease_deadline(running->model, lease->ttl_s);
    }
    running->kind = PD_KV_ANSWER_LEASE;
    pd_kv_answer_put_number(&running->body, id);
    pd_kv_answer_put_number(&running->body, lease == NULL ? 0 : lease->ttl_s);
}

static void revoke(struct running *running, int64_t id, bool is_expiry)
{
    struct pd_sim_model *model = running->model;
    struct pd_sim_model_lease *lease = find_lease(model, id);
    if (lease == NULL) {
        running->error = is_expiry ? PD_KV_OK : PD_KV_ERR_LEASE_NOT_FOUND;
        return;
    }
    if (is_expiry && lease->deadline_ns > model->now.state_time_ns) {
        return; /* it was kept alive meanwhile */
    }
    model->expiries += is_expiry ? 1 : 0;
    for (uint32_t i = 0; i < PD_SIM_KEYS_MAX; i++) {
        const struct pd_sim_version *now = newest(&model->keys[i]);
        if (now != NULL && now->lease == id) {
            write_version(running, (struct pd_sim_version){.key = i});
        }
    }
    *lease = model->leases[--model->lease_count];
}

static void extend_all(struct pd_sim_model *model)
{
    for (size_t i = 0; i < model->lease_count; i++) {
        model->leases[i].deadline_ns = lease_deadline(model, model->leases[i].ttl_s);
    }
    for (size_t i = 0; i < model->session_count; i++) {
        model->sessions[i].deadline_ns = model->now.state_time_ns + model->sessions[i].duration_ns;
    }
}

static void open_session(struct running *running, const struct pd_kv_command *command,
                         uint64_t index)
{
    struct pd_sim_model *model = running->model;
    uint64_t duration_ns = command->duration_ns < model->config.session_duration_max_ns
                               ? command->duration_ns
                               : model->config.session_duration_max_ns;
    uint32_t window_max = model->config.session_window_max;
    if (model->now.session_count == model->config.sessions_max) {
        running->error = PD_KV_ERR_SESSIONS_FULL;
        return;
    }
    model->sessions = pd_sim_grow(model->sessions, &model->session_capacity,
                                  model->session_count + 1, sizeof model->sessions[0]);
    model->sessions[model->session_count++] = (struct pd_sim_model_session){
        .id = index,
        .duration_ns = duration_ns,
        .deadline_ns = model->now.state_time_ns + duration_ns,
        .low = 1,
        .window =
            command->window == 0 || command->window > window_max ? window_max : command->window,
        .is_open = true,
    };
    model->now.session_count++;
    running->kind = PD_KV_ANSWER_SESSION;
    pd_kv_answer_put_number(&running->body, (int64_t)index);
}

static void session_command(struct running *running, const struct pd_kv_command *command)
{
    struct pd_sim_model *model = running->model;
    struct pd_sim_model_session *session = find_session(model, (uint64_t)command->id);
    if (session == NULL || !session->is_open) {
        running->error = PD_KV_ERR_SESSION_UNKNOWN;
    } else if (command->kind == PD_KV_SESSION_KEEPALIVE) {
        session->deadline_ns = model->now.state_time_ns + session->duration_ns;
    } else if (command->kind == PD_KV_SESSION_CLOSE ||
               session->deadline_ns <= model->now.state_time_ns) {
        session->is_open = false;
        model->now.session_count--;
    }
}

/* Who was removed never comes back; who is none cannot be removed. */
static void member_command(struct pd_sim_model *model, const struct pd_kv_command *command)
{
    struct pd_sim_standing *now = &model->now;
    uint32_t node = 1u << (command->id & 31);
    if (command->kind == PD_KV_MEMBER_PUT) {
        now->members |= node & ~now->removed;
    } else if ((now->members & node) != 0) {
        now->members &= ~node;
        now->removed |= node;
    }
}

static void run(struct running *running, const struct pd_kv_command *command, uint64_t index)
{
    struct pd_sim_model *model = running->model;
    switch (command->kind) {
    case PD_KV_NOOP:
        break;
    case PD_KV_OPS:
        run_ops(running, command);
        break;
    case PD_KV_COMPACT:
        if (command->revision > model->now.revision) {
            running->error = PD_KV_ERR_FUTURE_REVISION;
        } else if (command->revision <= model->now.compacted) {
            running->error = PD_KV_ERR_COMPACTED;
        } else {
            model->now.compacted = command->revision;
        }
        break;
    case PD_KV_LEASE_GRANT:
        grant(running, command);
        break;
    case PD_KV_LEASE_REVOKE:
    case PD_KV_LEASE_EXPIRE:
        revoke(running, command->id, command->kind == PD_KV_LEASE_EXPIRE);
        break;
    case PD_KV_LEASE_KEEPALIVE:
        keep(running, command->id);
        break;
    case PD_KV_LEASES_EXTEND:
        extend_all(model);
        break;
    case PD_KV_SESSION_OPEN:
        open_session(running, command, index);
        break;
    case PD_KV_SESSION_CLOSE:
    case PD_KV_SESSION_KEEPALIVE:
    case PD_KV_SESSION_EXPIRE:
        session_command(running, command);
        break;
    case PD_KV_MEMBER_PUT:
    case PD_KV_MEMBER_REMOVE:
        member_command(model, command);
        break;
    case PD_KV_MEMBER_TELL:
    case PD_KV_VERSION_RAISE:
        break; /* clients here give none, and no answer shows what they change */
    }
}

/* -- One entry --------------------------------------------------------------------------------- */

/* A leader that gave its entries a time which state time cannot follow would judge by it, too. */
static bool take_time(struct pd_sim_model *model, uint64_t given_ns)
{
    uint64_t most = model->now.state_time_ns + model->config.state_time_step_max_ns;
    if (given_ns > most) {
        return refuse(model, "entry %llu is given a time %llu ms ahead of the state's",
                      (unsigned long long)model->index,
                      (unsigned long long)((given_ns - model->now.state_time_ns) / 1000000));
    }
    if (given_ns > model->now.state_time_ns) {
        model->now.state_time_ns = given_ns;
    }
    return true;
}

/* The session of a command. *session_out is NULL when the command must not run: refused (then
 * *error_out), or done before. */
static void enter_session(struct pd_sim_model *model, const struct pd_kv_envelope *envelope,
                          struct pd_sim_model_session **session_out, enum pd_kv_error *error_out)
{
    struct pd_sim_model_session *session = find_session(model, envelope->session_id);
    *session_out = NULL;
    *error_out = PD_KV_ERR_SESSION_UNKNOWN;
    if (session == NULL || !session->is_open) {
        return;
    }
    uint64_t sequence = envelope->sequence;
    *error_out = PD_KV_ERR_INVALID;
    if (sequence == 0 || envelope->low > sequence) {
        return;
    }
    session->deadline_ns = model->now.state_time_ns + session->duration_ns;
    session->low = envelope->low > session->low ? envelope->low : session->low;
    *error_out = sequence < session->low                      ? PD_KV_ERR_SESSION_STALE
                 : sequence - session->low >= session->window ? PD_KV_ERR_SESSION_AHEAD
                                                              : PD_KV_OK;
    if (*error_out != PD_KV_OK) {
        return;
    }
    if (sequence < session->outcome_count && session->outcomes[sequence].size > 0) {
        model->repeats++;
        return;
    }
    *session_out = session;
}

static void keep_outcome(struct pd_sim_model *model, uint64_t session_id, uint64_t sequence,
                         const struct running *running)
{
    /* Found again: a command may open sessions, and the array moves. */
    struct pd_sim_model_session *session = find_session(model, session_id);
    uint8_t head[32];
    struct pd_kv_writer writer = {.bytes = head, .bytes_max = sizeof head};
    bool is_error = running->error != PD_KV_OK;
    pd_kv_answer_put_head(&writer, &(struct pd_kv_answer_head){
                                       .error = running->error,
                                       .revision = model->now.revision,
                                       .kind = is_error ? PD_KV_ANSWER_NONE : running->kind,
                                   });
    size_t body_size = is_error ? 0 : running->body.size;
    model->answers = pd_sim_grow(model->answers, &model->answers_capacity,
                                 model->answers_size + writer.size + body_size, 1);
    uint8_t *to = model->answers + model->answers_size;
    memcpy(to, head, writer.size);
    memcpy(to + writer.size, model->body, body_size);
    size_t old = session->outcome_count;
    if (sequence >= old) {
        session->outcomes = pd_sim_grow(session->outcomes, &session->outcome_capacity,
                                        (size_t)sequence + 1, sizeof session->outcomes[0]);
        session->outcome_count = (size_t)sequence + 1;
        memset(&session->outcomes[old], 0,
               (session->outcome_count - old) * sizeof session->outcomes[0]);
    }
    session->outcomes[sequence] = (struct pd_sim_outcome){
        .offset = model->answers_size,
        .size = (uint32_t)(writer.size + body_size),
        .has_written = running->sub > 0,
        .revision = model->now.revision,
    };
    model->answers_size += writer.size + body_size;
}

static bool apply_envelope(struct pd_sim_model *model, const struct pd_raft_entry *entry)
{
    struct pd_kv_envelope envelope;
    struct pd_kv_command command;
    if (pd_kv_envelope_decode(entry->data, &envelope) != PD_OK) {
        return refuse(model, "entry %llu is no envelope", (unsigned long long)entry->index);
    }
    if (!take_time(model, envelope.state_time_ns)) {
        return false;
    }
    struct pd_sim_model_session *session = NULL;
    struct running running = {
        .model = model,
        .body = {.bytes = model->body, .bytes_max = BODY_MAX},
    };
    if (envelope.session_id != 0) {
        enter_session(model, &envelope, &session, &running.error);
        if (session == NULL) {
            return true;
        }
    }
    if (pd_kv_command_decode(envelope.command, &model->config.limits, &model->room, &command) !=
        PD_KV_OK) {
        return refuse(model, "entry %llu holds no command", (unsigned long long)entry->index);
    }
    run(&running, &command, entry->index);
    if (running.is_foreign || running.body.is_full) {
        return false;
    }
    model->now.revision += running.sub > 0 ? 1 : 0;
    if (session != NULL) {
        keep_outcome(model, envelope.session_id, envelope.sequence, &running);
    }
    return true;
}

bool pd_sim_model_apply(struct pd_sim_model *model, const struct pd_raft_entry *entry)
{
    pd_assert(model->index == 0 || entry->index == model->index + 1);
    if (model->index == 0) {
        model->first_index = entry->index;
    }
    model->index = entry->index;
    (void)snprintf(model->text, sizeof model->text, "entry %llu is no command of the clients",
                   (unsigned long long)entry->index);
    if (entry->type == PD_RAFT_ENTRY_NORMAL && entry->data.size > 0 &&
        !apply_envelope(model, entry)) {
        return false;
    }
    model->now.lease_count = (uint32_t)model->lease_count;
    model->standings = pd_sim_grow(model->standings, &model->standing_capacity,
                                   model->standing_count + 1, sizeof model->standings[0]);
    model->standings[model->standing_count++] = model->now;
    return true;
}
