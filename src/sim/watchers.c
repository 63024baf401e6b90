#include "sim/watchers.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "node/replica_request.h"
#include "node/replica_watch.h"
#include "sim/clients.h"

#define MS PD_SIM_MS_NS
#define PATIENCE_NS (4 * (uint64_t)PD_SIM_SECOND_NS)
#define LOOK_NS (1000 * (uint64_t)MS)
#define REQUEST_MAX 256u

static void draw(struct pd_sim_world *world, struct pd_sim_watcher *watcher)
{
    struct pd_random *random = &world->watchers->random;
    watcher->key = (uint32_t)pd_random_below(random, world->config.keys);
    if (pd_random_below(random, 4) != 0) {
        watcher->end =
            watcher->key + 1 + (uint32_t)pd_random_below(random, PD_SIM_KEYS_MAX - watcher->key);
    }
    watcher->no_put = pd_random_below(random, 8) == 0;
    watcher->no_delete = !watcher->no_put && pd_random_below(random, 8) == 0;
    watcher->with_previous = pd_random_below(random, 2) == 0;
    watcher->may_fragment = pd_random_below(random, 2) == 0;
    watcher->credit = pd_random_below(random, 3) == 0 ? 200 : 20000;
}

static void look_later(struct pd_sim_world *world, uint32_t index, uint64_t after_ns)
{
    pd_sim_world_push(world, world->now_ns + after_ns, PD_SIM_EVENT_WATCHER, index,
                      world->watchers->watchers[index].token, NULL);
}

void pd_sim_watchers_init(struct pd_sim_world *world)
{
    world->watchers = pd_sim_alloc(sizeof *world->watchers);
    pd_random_init(&world->watchers->random, world->config.seed, "watchers");
    for (uint32_t i = 0; i < world->config.watchers; i++) {
        draw(world, &world->watchers->watchers[i]);
        look_later(world, i,
                   PD_SIM_SECOND_NS + pd_random_below(&world->watchers->random, PD_SIM_SECOND_NS));
    }
}

void pd_sim_watchers_deinit(struct pd_sim_world *world)
{
    pd_free(world->watchers);
}

uint64_t pd_sim_watcher_arrival(struct pd_sim_world *world, uint64_t client, uint64_t at_ns)
{
    struct pd_sim_watcher *watcher = &world->watchers->watchers[client - PD_SIM_CLIENT_WATCHERS];
    watcher->arrival_ns = at_ns > watcher->arrival_ns ? at_ns : watcher->arrival_ns + 1;
    return watcher->arrival_ns;
}

/* -- Asking ------------------------------------------------------------------------------------ */

static void request(struct pd_sim_world *world, uint32_t index, enum pd_replica_request_kind kind,
                    uint64_t correlation, uint64_t number, struct pd_kv_writer *body,
                    uint8_t *bytes)
{
    pd_assert(!body->is_full);
    const struct pd_replica_request_head head = {.kind = kind, .number = number};
    pd_replica_request_put_head(bytes, &head);
    pd_sim_world_request(world, &world->watchers->random, world->watchers->watchers[index].machine,
                         PD_SIM_CLIENT_WATCHERS + index, correlation,
                         (struct pd_span){bytes, PD_REPLICA_REQUEST_HEAD_SIZE + body->size});
}

static void begin(struct pd_sim_world *world, uint32_t index)
{
    struct pd_sim_watchers *watchers = world->watchers;
    struct pd_sim_watcher *watcher = &watchers->watchers[index];
    uint8_t bytes[REQUEST_MAX];
    struct pd_kv_writer body = {.bytes = bytes + PD_REPLICA_REQUEST_HEAD_SIZE,
                                .bytes_max = REQUEST_MAX - PD_REPLICA_REQUEST_HEAD_SIZE};
    struct pd_sim_key key = pd_sim_key_make(watcher->key);
    struct pd_sim_key end = pd_sim_key_make(watcher->end);
    struct pd_replica_watch_request wanted = {
        .key = pd_sim_key_span(&key),
        .start_revision = watcher->next_revision,
        .credit = watcher->credit,
        .no_put = watcher->no_put,
        .no_delete = watcher->no_delete,
        .with_previous = watcher->with_previous,
        .with_progress = true,
        .may_fragment = watcher->may_fragment,
    };
    if (watcher->end > 0) {
        wanted.range_end = pd_sim_key_span(&end);
    }
    pd_replica_watch_request_put(&body, &wanted);
    watcher->token = ++watchers->next_token;
    watcher->machine = pd_sim_somebody(world, &watchers->random);
    watcher->at = watcher->next_event;
    watcher->taken = 0;
    watcher->balance = watcher->credit;
    watcher->heard_ns = world->now_ns;
    world->counts.rewatched++;
    request(world, index, PD_REPLICA_REQUEST_WATCH, watcher->token, 0, &body, bytes);
    look_later(world, index, LOOK_NS);
}

static void give_credit(struct pd_sim_world *world, uint32_t index, bool wants_progress)
{
    struct pd_sim_watcher *watcher = &world->watchers->watchers[index];
    uint8_t bytes[REQUEST_MAX];
    struct pd_kv_writer body = {.bytes = bytes + PD_REPLICA_REQUEST_HEAD_SIZE,
                                .bytes_max = REQUEST_MAX - PD_REPLICA_REQUEST_HEAD_SIZE};
    const struct pd_replica_watch_credit credit = {.credit = (uint32_t)watcher->taken,
                                                   .wants_progress = wants_progress};
    pd_replica_watch_credit_put(&body, &credit);
    watcher->balance += (int64_t)watcher->taken;
    watcher->taken = 0;
    request(world, index, PD_REPLICA_REQUEST_WATCH_CREDIT, ++world->watchers->next_token,
            watcher->token, &body, bytes);
}

static void leave(struct pd_sim_world *world, uint32_t index)
{
    struct pd_sim_watcher *watcher = &world->watchers->watchers[index];
    pd_sim_world_gone(world, &world->watchers->random, watcher->machine,
                      PD_SIM_CLIENT_WATCHERS + index);
    watcher->token = 0;
}

void pd_sim_watcher_go(struct pd_sim_world *world, uint32_t index, uint64_t token)
{
    struct pd_sim_watcher *watcher = &world->watchers->watchers[index];
    struct pd_random *random = &world->watchers->random;
    if (token != watcher->token) {
        return; /* of a watch that is over */
    }
    if (token == 0) {
        begin(world, index);
        return;
    }
    /* A node that was removed, or is cut off, tells that it lives and nothing new. */
    bool is_bored = !world->is_healed && pd_random_below(random, 12) == 0;
    if (is_bored || world->now_ns - watcher->heard_ns > PATIENCE_NS) {
        leave(world, index);
        look_later(world, index, 1 + pd_random_below(random, 500) * (uint64_t)MS);
        return;
    }
    /* Of whom nothing may be due: how far it is it can only know from an answer (seed 546). */
    bool wants_progress = world->is_healed && world->now_ns - watcher->heard_ns >= PATIENCE_NS / 2;
    if (watcher->taken > 0 || wants_progress) {
        give_credit(world, index, wants_progress);
    }
    look_later(world, index, LOOK_NS);
}

/* -- Judging ----------------------------------------------------------------------------------- */

static bool concerns(const struct pd_sim_watcher *watcher, const struct pd_sim_version *version)
{
    bool is_inside = watcher->end == 0
                         ? version->key == watcher->key
                         : version->key >= watcher->key && version->key < watcher->end;
    return is_inside && !(version->value == 0 ? watcher->no_delete : watcher->no_put);
}

/* The next event that must be given; NULL: none is known. */
static const struct pd_sim_version *expected(const struct pd_sim_world *world,
                                             struct pd_sim_watcher *watcher)
{
    const struct pd_sim_model *model = &world->model;
    while (watcher->at < model->event_count && !concerns(watcher, &model->events[watcher->at])) {
        watcher->at++;
    }
    return watcher->at < model->event_count ? &model->events[watcher->at] : NULL;
}

static bool is_record(const struct pd_kv_record *record, const struct pd_sim_version *version)
{
    uint32_t key = 0;
    uint64_t value = 0;
    return pd_sim_key_parse(record->key, &key) && key == version->key &&
           pd_sim_value_parse(record->value, &value) && value == version->value &&
           record->create_revision == version->create_revision &&
           record->mod_revision == version->revision && record->version == version->version &&
           record->lease == version->lease;
}

static bool is_event(const struct pd_kv_event *event, const struct pd_sim_version *version)
{
    uint32_t key = 0;
    if (version->value != 0) {
        return !event->is_delete && is_record(&event->record, version);
    }
    return event->is_delete && pd_sim_key_parse(event->record.key, &key) && key == version->key &&
           event->record.mod_revision == version->revision;
}

static bool is_previous_right(const struct pd_sim_world *world,
                              const struct pd_sim_watcher *watcher, const struct pd_kv_event *event,
                              const struct pd_sim_version *version)
{
    const struct pd_sim_version *before =
        pd_sim_model_version(&world->model, version->key, version->revision - 1);
    if (!watcher->with_previous) {
        return !event->has_previous;
    }
    if (event->has_previous) {
        return before != NULL && is_record(&event->previous, before);
    }
    /* What a compacted revision replaced is gone. */
    return before == NULL || version->revision <= world->model.now.compacted;
}

static void take_event(struct pd_sim_world *world, uint32_t index, const struct pd_kv_event *event)
{
    struct pd_sim_watcher *watcher = &world->watchers->watchers[index];
    const struct pd_sim_version *version = expected(world, watcher);
    if (version == NULL || !is_event(event, version)) {
        pd_sim_world_fail(
            world,
            "watcher %u on node %u was given revision %lld of '%.*s', where %lld of key %u "
            "is due",
            index, watcher->machine, (long long)event->record.mod_revision,
            (int)event->record.key.size, (const char *)event->record.key.bytes,
            (long long)(version == NULL ? 0 : version->revision),
            version == NULL ? 0 : version->key);
        return;
    }
    if (!is_previous_right(world, watcher, event, version)) {
        pd_sim_world_fail(world,
                          "watcher %u on node %u was given a wrong previous record of key %u at "
                          "revision %lld",
                          index, watcher->machine, version->key, (long long)version->revision);
        return;
    }
    watcher->at++;
    watcher->heard_ns = world->now_ns;
    world->counts.watched++;
}

/* Everything up to a revision was given, it is said. */
static void take_through(struct pd_sim_world *world, uint32_t index, int64_t through)
{
    struct pd_sim_watcher *watcher = &world->watchers->watchers[index];
    const struct pd_sim_model *model = &world->model;
    if (through > model->now.revision) {
        pd_sim_world_fail(world, "watcher %u was told of revision %lld, which is not committed",
                          index, (long long)through);
        return;
    }
    const struct pd_sim_version *version = expected(world, watcher);
    if (watcher->next_revision > 0 && version != NULL && version->revision <= through) {
        pd_sim_world_fail(world,
                          "watcher %u on node %u was told that it has seen all up to revision "
                          "%lld, without %lld of key %u",
                          index, watcher->machine, (long long)through, (long long)version->revision,
                          version->key);
        return;
    }
    if (through + 1 > watcher->next_revision) {
        watcher->heard_ns = world->now_ns;
        watcher->next_revision = through + 1;
        while (watcher->at < model->event_count && model->events[watcher->at].revision <= through) {
            watcher->at++;
        }
        watcher->next_event = watcher->at;
    }
}

static void over(struct pd_sim_world *world, uint32_t index)
{
    world->watchers->watchers[index].token = 0;
    look_later(world, index, (50 + pd_random_below(&world->watchers->random, 200)) * (uint64_t)MS);
}

static void cancelled(struct pd_sim_world *world, uint32_t index,
                      const struct pd_replica_watch_head *head)
{
    struct pd_sim_watcher *watcher = &world->watchers->watchers[index];
    int64_t compacted = head->compact_revision;
    if (compacted > 0) {
        PD_SOMETIMES(SIM_WATCH_COMPACTED, true);
        if (compacted > world->model.now.compacted || watcher->next_revision >= compacted) {
            pd_sim_world_fail(world,
                              "watcher %u wants revision %lld and was told that %lld is "
                              "compacted, where %lld is",
                              index, (long long)watcher->next_revision, (long long)compacted,
                              (long long)world->model.now.compacted);
            return;
        }
        /* What it missed is lost: it begins anew where history does. */
        watcher->next_revision = compacted;
        while (watcher->next_event < world->model.event_count &&
               world->model.events[watcher->next_event].revision < compacted) {
            watcher->next_event++;
        }
    }
    over(world, index);
}

static void take_answer(struct pd_sim_world *world, uint32_t index, struct pd_span body)
{
    struct pd_sim_watcher *watcher = &world->watchers->watchers[index];
    struct pd_kv_reader reader;
    struct pd_replica_watch_head head;
    struct pd_kv_event event;
    pd_kv_reader_init(&reader, body);
    pd_replica_watch_head_get(&reader, &head);
    if (head.kind == PD_REPLICA_WATCH_CREATED) {
        if (watcher->next_revision == 0) {
            take_through(world, index, head.through_revision);
        }
        return;
    }
    if (watcher->balance <= 0) {
        pd_sim_world_fail(world, "watcher %u on node %u was given an answer without credit", index,
                          watcher->machine);
        return;
    }
    watcher->balance -= (int64_t)body.size;
    watcher->taken += body.size;
    while (!world->is_failed && pd_replica_watch_event_get(&reader, &event)) {
        take_event(world, index, &event);
    }
    if (!world->is_failed && !pd_kv_answer_is_whole(&reader)) {
        pd_sim_world_fail(world, "watcher %u was given bytes that are no answer", index);
    } else if (!world->is_failed && !head.is_fragment) {
        take_through(world, index, head.through_revision);
    }
    PD_SOMETIMES(SIM_WATCH_FRAGMENT, head.is_fragment);
    bool is_slow = pd_random_below(&world->watchers->random, 4) == 0 && !world->is_healed;
    if (watcher->taken >= watcher->credit / 2 && !is_slow) {
        give_credit(world, index, false);
    }
}

void pd_sim_watcher_answer(struct pd_sim_world *world, uint32_t index, uint64_t token,
                           struct pd_span bytes)
{
    struct pd_sim_watcher *watcher = &world->watchers->watchers[index];
    struct pd_replica_answer_head head;
    if (token != watcher->token) {
        return; /* of a watch that it has left */
    }
    if (pd_replica_answer_decode(bytes, &head) != PD_OK || head.outcome == PD_REPLICA_INVALID) {
        pd_sim_world_fail(world, "watcher %u was told: %.*s", index, (int)head.body.size,
                          (const char *)head.body.bytes);
    } else if (head.outcome == PD_REPLICA_OK) {
        take_answer(world, index, head.body);
    } else if (head.outcome == PD_REPLICA_CANCELLED) {
        struct pd_kv_reader reader;
        struct pd_replica_watch_head end;
        pd_kv_reader_init(&reader, head.body);
        pd_replica_watch_head_get(&reader, &end);
        cancelled(world, index, &end);
    } else {
        over(world, index);
    }
}

void pd_sim_watchers_check_progress(struct pd_sim_world *world)
{
    for (uint32_t i = 0; i < world->config.watchers; i++) {
        const struct pd_sim_watcher *watcher = &world->watchers->watchers[i];
        if (watcher->next_revision <= world->healed_revision) {
            pd_sim_world_fail(world,
                              "no progress: watcher %u has seen all before revision %lld only, "
                              "though %lld was committed before a quorum was healed",
                              i, (long long)watcher->next_revision,
                              (long long)world->healed_revision);
            return;
        }
    }
}
