/* kv_world - a machine over a store that shows its rows late, answers fetches late, and may lose
 * what it wrote last; and a log of commands to go on from. Several worlds of different limits and
 * fates are driven through one log and compared with the model and with each other. */
#ifndef PD_TESTS_KV_WORLD_H
#define PD_TESTS_KV_WORLD_H

#include "base/random.h"
#include "kv_model.h"
#include "store/memory.h"

#define WORLD_LOG_MAX 12288u
#define WORLD_HELD_MAX 6u

/* What decides: a seed, or the bytes of a fuzzer and, when they are used up, a seed. */
struct chooser {
    const uint8_t *bytes;
    size_t size;
    size_t at;
    struct pd_random random;
};

static inline uint64_t choose(struct chooser *chooser, uint64_t below)
{
    if (chooser->bytes == NULL || chooser->at == chooser->size) {
        return pd_random_below(&chooser->random, below);
    }
    uint64_t value = 0;
    for (uint64_t reach = 1; reach < below && chooser->at < chooser->size; reach <<= 8) {
        value = value << 8 | chooser->bytes[chooser->at++];
    }
    return value % below;
}

struct entry {
    uint8_t *bytes;
    size_t size;
};
struct script {
    struct entry entries[WORLD_LOG_MAX]; /* of index 1, 2, ... */
    uint64_t count;
};

static inline void script_add(struct script *script, struct pd_span bytes)
{
    model_check(script->count < WORLD_LOG_MAX);
    struct pd_span copied = model_copy(bytes);
    script->entries[script->count++] =
        (struct entry){(uint8_t *)(uintptr_t)copied.bytes, copied.size};
}

static inline void script_clear(struct script *script)
{
    for (uint64_t i = 0; i < script->count; i++) {
        free(script->entries[i].bytes);
    }
    script->count = 0;
}

/* A page that was read and is not supplied yet. */
struct held {
    uint32_t id;
    enum pd_status status;
    struct pd_store_page page;
};

struct world {
    struct pd_kv *kv;
    struct pd_store *store;
    struct pd_kv_config config;
    const struct script *script;
    const struct model *model; /* whose newest command is the script's last; may be NULL */
    struct chooser *chooser;
    struct held held[WORLD_HELD_MAX];
    uint32_t held_count;
    uint32_t calm;        /* one chance in `calm` of each trouble; 0: none */
    uint32_t lag;         /* one chance in `lag` to write a batch */
    uint32_t page_rows;   /* at most so many in a page */
    uint32_t batches;     /* written since the last command began */
    uint32_t batches_max; /* the crash comes after so many; 0: never */
    bool has_crashed;
    bool keeps_durable; /* what is durable stays as it is */
};

static inline struct pd_kv_config world_config(void)
{
    struct pd_kv_config config = pd_kv_config_default();
    config.limits =
        (struct pd_kv_limits){.key_bytes_max = 64, .request_bytes_max = 4096, .txn_ops_max = 16};
    config.answer_bytes_max = 8192;
    config.overlay_bytes = 90000;
    config.cache_bytes = 8192;
    config.reads_max = 4;
    config.prefetch_max = 4;
    config.leases_max = 20;
    config.sessions_max = 5;
    config.session_window_max = 4;
    config.session_answer_bytes_max = 1024;
    config.answers_bytes_max = 3000;
    config.session_duration_max_ns = 60 * MODEL_SECOND;
    config.writes_max = 64;
    config.read_bytes_max = 1 << 18;
    config.event_bytes_max = 1 << 16;
    config.events_max = 64;
    return config;
}

static inline void world_open(struct world *world, const struct pd_kv_config *config,
                              const struct script *script, struct chooser *chooser)
{
    *world = (struct world){.config = *config, .script = script, .chooser = chooser};
    world->page_rows = 9;
    world->lag = 3;
    world->store = pd_store_memory_open();
    model_check(world->store != NULL);
    model_check(pd_kv_open(config, &world->kv) == PD_OK);
}

static inline void world_drop_held(struct world *world)
{
    for (uint32_t i = 0; i < world->held_count; i++) {
        free(world->held[i].page.bytes);
    }
    world->held_count = 0;
}

static inline void world_close(struct world *world)
{
    world_drop_held(world);
    pd_kv_close(world->kv);
    world->store->ops->close(world->store);
}

static inline bool world_trouble(struct world *world)
{
    return world->calm != 0 && choose(world->chooser, world->calm) == 0;
}

/* -- The store --------------------------------------------------------------------------------- */

/* false: there was nothing to write. */
static inline bool world_write(struct world *world)
{
    struct pd_kv_batch batch;
    if (world->has_crashed || !pd_kv_take_writes(world->kv, &batch)) {
        return false;
    }
    model_check(world->store->ops->apply(world->store, batch.writes, batch.count, batch.index) ==
                PD_OK);
    pd_kv_written(world->kv);
    if (!world->keeps_durable && choose(world->chooser, 16) == 0) {
        model_check(world->store->ops->flush(world->store) == PD_OK);
    }
    world->batches++;
    world->has_crashed = world->batches_max != 0 && world->batches >= world->batches_max;
    return true;
}

static inline void world_read_page(struct world *world, const struct pd_kv_fetch *fetch)
{
    struct held *held = &world->held[world->held_count++];
    size_t size = pd_kv_row_bytes_max(world->kv) + 65536;
    *held = (struct held){
        .id = fetch->id,
        .page = {.bytes = malloc(size), .bytes_max = size, .rows_max = fetch->rows_max}};
    if (held->page.rows_max == 0) {
        held->page.rows_max = 1 + (uint32_t)choose(world->chooser, world->page_rows);
    }
    model_check(world->store->ops->scan(world->store, fetch->low, fetch->high, false,
                                        &held->page) == PD_OK);
}

static inline void world_supply(struct world *world, uint32_t at)
{
    struct held held = world->held[at];
    world->held[at] = world->held[--world->held_count];
    enum pd_status status = pd_kv_supply(world->kv, held.id, &held.page);
    model_check(status == PD_OK || status == PD_ERR_UNKNOWN);
    free(held.page.bytes);
}

/* The apply machine is full: everything is written and supplied that can be. */
static inline void world_drain(struct world *world)
{
    while (world->held_count > 0) {
        world_supply(world, 0);
    }
    while (world_write(world)) {
    }
}

/* Some time passes: fetches are read and supplied, batches written, old rows removed, each or not.
 * `must`: whatever is waited for happens. */
static inline void world_turn(struct world *world, bool must)
{
    struct pd_kv_fetch fetch;
    while (world->held_count < WORLD_HELD_MAX && pd_kv_next_fetch(world->kv, &fetch)) {
        world_read_page(world, &fetch);
    }
    if (choose(world->chooser, world->lag) == 0) {
        (void)world_write(world);
    }
    if (choose(world->chooser, 4) == 0) {
        (void)pd_kv_background_step(world->kv, 1 + (uint32_t)choose(world->chooser, 8));
    }
    while (world->held_count > 0 && (must || choose(world->chooser, 2) == 0)) {
        world_supply(world, (uint32_t)choose(world->chooser, world->held_count));
    }
}

/* -- Start ------------------------------------------------------------------------------------- */

static inline void world_load(struct world *world)
{
    pd_kv_load_begin(world->kv);
    enum pd_kv_progress progress;
    while ((progress = pd_kv_load_step(world->kv, 1)) != PD_KV_DONE) {
        model_check(progress == PD_KV_FETCH || progress == PD_KV_MORE);
        world_turn(world, true);
    }
}

/* Memory goes, rows stay. */
static inline void world_restart(struct world *world)
{
    world_drop_held(world);
    pd_kv_close(world->kv);
    model_check(pd_kv_open(&world->config, &world->kv) == PD_OK);
    world->has_crashed = false;
    world_load(world);
}

/* A crash that may take the last batches along. */
static inline void world_crash(struct world *world)
{
    if (choose(world->chooser, 2) == 0) {
        struct pd_random random;
        pd_random_init(&random, choose(world->chooser, 256), "crash");
        model_check(pd_store_memory_crash(world->store, &random) == PD_OK);
    }
    world_restart(world);
}

static inline void world_verify(struct world *world)
{
    pd_kv_verify_begin(world->kv);
    enum pd_kv_progress progress;
    while ((progress = pd_kv_verify_step(world->kv, 1)) != PD_KV_DONE) {
        model_check(progress != PD_KV_FAILED);
        world_turn(world, true);
    }
}

static inline uint64_t world_applied(const struct world *world)
{
    struct pd_kv_status status;
    pd_kv_status(world->kv, &status);
    return status.applied_index;
}

/* -- Commands ---------------------------------------------------------------------------------- */

static inline bool model_same_record(const struct pd_kv_record *a, const struct pd_kv_record *b)
{
    return pd_kv_span_equal(a->key, b->key) && pd_kv_span_equal(a->value, b->value) &&
           a->create_revision == b->create_revision && a->mod_revision == b->mod_revision &&
           a->version == b->version && a->lease == b->lease;
}

/* What watchers are told of the last command. */
static inline void world_compare_events(struct world *world)
{
    const struct model *model = world->model;
    struct pd_kv_events events;
    pd_kv_take_events(world->kv, &events);
    model_check(events.revision == (model->sub > 0 ? model->revision : 0));
    model_check(events.is_cut ? events.count < model->sub : events.count == model->sub);
    for (uint32_t i = 0; i < events.count; i++) {
        const struct pd_kv_event *event = &events.events[i];
        const struct model_version *want =
            &model->versions[model->version_count - model->sub + event->sub];
        const struct model_version *old =
            model_newest(model, want->record.key, model->revision - 1);
        model_check(event->sub == i);
        model_check(model_same_record(&event->record, &want->record));
        model_check(event->is_delete == (want->record.version == 0));
        model_check(event->has_previous == (old != NULL && old->record.version != 0));
        model_check(!event->has_previous || !event->previous_known ||
                    model_same_record(&event->previous, &old->record));
    }
    pd_kv_take_events(world->kv, &events);
    model_check(events.revision == 0); /* given once */
}

/* One entry. false: it crashed on the way. */
static inline bool world_apply_one(struct world *world, uint64_t index)
{
    const struct entry *entry = &world->script->entries[index - 1];
    struct pd_span bytes = {entry->bytes, entry->size};
    world->batches = 0;
    if (choose(world->chooser, 3) == 0) {
        pd_kv_prefetch(world->kv, bytes);
        world_turn(world, false);
    }
    pd_kv_apply_begin(world->kv, index, 1, bytes);
    enum pd_kv_progress progress;
    while ((progress = pd_kv_apply_step(world->kv, 1 + (uint32_t)choose(world->chooser, 9))) !=
           PD_KV_DONE) {
        world_turn(world, progress == PD_KV_FETCH);
        if (progress == PD_KV_FULL && choose(world->chooser, 3) == 0) {
            world_drain(world);
        }
        if (world->has_crashed || world_trouble(world)) {
            return false;
        }
    }
    pd_kv_check(world->kv);
    if (world->model != NULL && index == world->script->count) {
        world_compare_events(world);
    }
    return true;
}

/* Up to the end of the script, through whatever happens. A large command that loses what it did at
 * every crash would hardly ever end: after many there is peace until it has caught up. */
static inline void world_catch_up(struct world *world)
{
    bool may_crash = true;
    uint32_t calm = world->calm;
    uint32_t crashes = 0;
    while (world_applied(world) < world->script->count) {
        bool has_ended = world_apply_one(world, world_applied(world) + 1);
        bool is_last = world_applied(world) == world->script->count;
        if (!has_ended || (is_last && may_crash && world_trouble(world))) {
            world_crash(world);
            may_crash = !is_last;
            world->calm = ++crashes < 20 ? calm : 0;
        }
    }
    world->calm = calm;
    world_turn(world, false);
}

static inline void world_compare_answer(const struct world *world, const struct model *model)
{
    struct pd_kv_applied applied;
    pd_kv_applied(world->kv, &applied);
    if (applied.index != world->script->count) {
        return; /* it was restarted behind it */
    }
    model_check(applied.answer.size == model->answer_size);
    model_check(memcmp(applied.answer.bytes, model->answer, model->answer_size) == 0);
    model_check(applied.is_repeat == model->is_repeat);
}

static inline uint64_t model_next_deadline(const struct model *model)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < model->lease_count; i++) {
        least = model->leases[i].deadline_ns < least ? model->leases[i].deadline_ns : least;
    }
    for (uint32_t i = 0; i < model->session_count; i++) {
        least = model->sessions[i].deadline_ns < least ? model->sessions[i].deadline_ns : least;
    }
    return least;
}

static inline void world_compare_status(const struct world *world, const struct model *model)
{
    struct pd_kv_status status;
    pd_kv_status(world->kv, &status);
    model_check(status.revision == model->revision);
    model_check(status.compacted_revision == (model->compacted > 0 ? model->compacted : 0));
    model_check(status.state_time_ns == model->time_ns);
    model_check(status.lease_count == model->lease_count);
    model_check(status.session_count == model->session_count);
    model_check(pd_kv_next_deadline_ns(world->kv) == model_next_deadline(model));
    size_t answers = 0;
    for (uint32_t i = 0; i < model->session_count; i++) {
        answers += model_answers(&model->sessions[i]);
    }
    model_check(status.answers_bytes == answers);
}

static inline void world_compare_twins(const struct world *one, const struct world *two)
{
    struct pd_kv_status a;
    struct pd_kv_status b;
    pd_kv_status(one->kv, &a);
    pd_kv_status(two->kv, &b);
    model_check(a.applied_index == b.applied_index);
    model_check(a.fold_hash == b.fold_hash);
    model_check(a.set_hash.low == b.set_hash.low);
    model_check(a.set_hash.high == b.set_hash.high);
    model_check(a.key_count == b.key_count);
}

/* -- Reads ------------------------------------------------------------------------------------- */

static inline struct pd_span world_read(struct world *world, uint32_t read)
{
    enum pd_kv_progress progress;
    while ((progress = pd_kv_read_step(world->kv, read, 3)) != PD_KV_DONE) {
        if (progress == PD_KV_MORE) {
            (void)pd_kv_background_step(world->kv, 8);
        }
        world_turn(world, true);
    }
    return pd_kv_read_answer(world->kv, read);
}

static inline void world_compare_range(struct world *world, const struct model *model,
                                       const struct pd_kv_range *range)
{
    uint32_t read = 0;
    static uint8_t room[1 << 20];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    int64_t revision = range->revision <= 0 ? model->revision : range->revision;
    enum pd_kv_error error = pd_kv_range_check(range, &world->config.limits);
    error = error == PD_KV_OK ? model_revision_error(model, revision) : error;
    pd_kv_answer_put_head(&writer, &(struct pd_kv_answer_head){.error = error,
                                                               .revision = model->revision,
                                                               .kind = error == PD_KV_OK
                                                                           ? PD_KV_ANSWER_RANGE
                                                                           : PD_KV_ANSWER_NONE});
    if (error == PD_KV_OK) {
        model_range(model, range, revision, &writer);
    }
    model_check(pd_kv_read_range(world->kv, range, &read) == PD_OK);
    struct pd_span answer = world_read(world, read);
    model_check(answer.size == writer.size);
    model_check(memcmp(answer.bytes, room, writer.size) == 0);
    pd_kv_read_end(world->kv, read);
}

/* Time to live and keys of a lease. */
static inline void world_compare_lease(struct world *world, struct model *model, int64_t id)
{
    static const uint8_t zero[] = {0};
    static uint8_t room[1 << 20];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    const struct model_lease *lease = model_lease(model, id);
    pd_kv_answer_put_head(&writer, &(struct pd_kv_answer_head){.revision = model->revision,
                                                               .kind = PD_KV_ANSWER_LEASE_KEYS});
    int64_t left_s = -1;
    if (lease != NULL) {
        uint64_t left_ns =
            lease->deadline_ns > model->time_ns ? lease->deadline_ns - model->time_ns : 0;
        left_s = (int64_t)((left_ns + MODEL_SECOND - 1) / MODEL_SECOND);
    }
    pd_kv_answer_put_number(&writer, id);
    pd_kv_answer_put_number(&writer, left_s);
    pd_kv_answer_put_number(&writer, lease == NULL ? 0 : lease->ttl_s);
    const struct pd_kv_record **found = malloc((model->version_count + 1) * sizeof *found);
    uint32_t count =
        model_select(model, pd_kv_span(zero, 1), pd_kv_span(zero, 1), model->revision, found);
    for (uint32_t i = 0; i < count; i++) {
        if (lease != NULL && found[i]->lease == id) {
            pd_kv_answer_put_key(&writer, found[i]->key);
        }
    }
    pd_kv_answer_put_end(&writer);
    free((void *)found);
    uint32_t read = 0;
    model_check(pd_kv_read_lease(world->kv, id, 0, true, &read) == PD_OK);
    struct pd_span answer = world_read(world, read);
    model_check(answer.size == writer.size);
    model_check(memcmp(answer.bytes, room, writer.size) == 0);
    pd_kv_read_end(world->kv, read);
}

/* All leases, the one that is due first first. */
static inline void world_compare_leases(struct world *world, const struct model *model)
{
    uint32_t read = 0;
    model_check(pd_kv_read_leases(world->kv, &read) == PD_OK);
    struct pd_span answer = world_read(world, read);
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    pd_kv_reader_init(&reader, answer);
    pd_kv_answer_head(&reader, &head);
    model_check(head.kind == PD_KV_ANSWER_LEASES);
    uint64_t before_ns = 0;
    uint32_t count = 0;
    int64_t id;
    while (pd_kv_answer_id(&reader, &id)) {
        for (uint32_t i = 0; i < model->lease_count; i++) {
            if (model->leases[i].id == id) {
                model_check(model->leases[i].deadline_ns >= before_ns);
                before_ns = model->leases[i].deadline_ns;
                count++;
            }
        }
    }
    model_check(count == model->lease_count);
    model_check(pd_kv_answer_is_whole(&reader));
    pd_kv_read_end(world->kv, read);
}

/* All events from a revision on, in parts. */
static inline void world_compare_history(struct world *world, const struct model *model,
                                         int64_t revision)
{
    uint32_t at = 0;
    while (at < model->version_count && model->versions[at].record.mod_revision < revision) {
        at++;
    }
    struct pd_kv_history history = {.next_revision = revision};
    do {
        uint32_t read = 0;
        model_check(pd_kv_read_history(world->kv, history.next_revision, history.next_sub,
                                       1 + (size_t)choose(world->chooser, 2000), &read) == PD_OK);
        while (pd_kv_read_step(world->kv, read, 3) != PD_KV_DONE) {
            world_turn(world, true);
        }
        pd_kv_read_history_result(world->kv, read, &history);
        model_check((history.error == PD_KV_ERR_COMPACTED) == (revision < model->compacted));
        for (uint32_t i = 0; i < history.count; i++, at++) {
            const struct pd_kv_event *event = &history.events[i];
            model_check(at < model->version_count);
            const struct model_version *want = &model->versions[at];
            model_check(event->sub == want->sub);
            model_check(event->is_delete == (want->record.version == 0));
            model_check(model_same_record(&event->record, &want->record));
            const struct model_version *old =
                model_newest(model, want->record.key, want->record.mod_revision - 1);
            bool has_old = old != NULL && old->record.version != 0 &&
                           want->record.mod_revision > model->compacted;
            model_check(event->has_previous == has_old);
            model_check(!has_old || model_same_record(&event->previous, &old->record));
        }
        pd_kv_read_end(world->kv, read);
    } while (history.error == PD_KV_OK && history.seen_revision == 0);
    model_check(history.error != PD_KV_OK || at == model->version_count);
}

/* Of the command that was applied last. */
static inline enum pd_kv_error world_last_error(const struct world *world)
{
    struct pd_kv_applied applied;
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    pd_kv_applied(world->kv, &applied);
    pd_kv_reader_init(&reader, applied.answer);
    pd_kv_answer_head(&reader, &head);
    return head.error;
}

#endif
