#include "kv/kv.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/mutant.h"
#include "kv/internal.h"
#include "kv/state_time.h"

#define KIB 1024u
#define SECOND_NS UINT64_C(1000000000)
#define ANSWER_ROOM 32u

struct pd_kv_config pd_kv_config_default(void)
{
    return (struct pd_kv_config){
        .limits = {.key_bytes_max = 8 * KIB,
                   .request_bytes_max = 8 * KIB * KIB,
                   .txn_ops_max = 128},
        .answer_bytes_max = 8 * KIB * KIB + 64 * KIB,
        .leases_max = 100000,
        .lease_ttl_min_s = 2,
        .sessions_max = 4096,
        .session_window_max = 64,
        .session_duration_max_ns = 86400 * SECOND_NS,
        .session_answer_bytes_max = 256 * KIB,
        .answers_bytes_max = 256 * KIB * KIB,
        .state_time_step_max_ns = 60 * SECOND_NS,
        .overlay_bytes = 96 * KIB * KIB,
        .cache_bytes = 32 * KIB * KIB,
        .seen_bytes = 2 * KIB * KIB,
        .reads_max = 64,
        .histories_max = 4,
        .read_bytes_max = 64 * KIB * KIB,
        .reads_bytes_max = 256 * KIB * KIB,
        .small_read_bytes = 256 * KIB,
        .prefetch_max = 256,
        .page_bytes = 64 * KIB,
        .large_page_bytes = 4 * KIB * KIB,
        .events_max = 4096,
        .event_bytes_max = 18 * KIB * KIB,
        .writes_max = 65536,
        .version_max = pd_kv_version_limit(),
        .hash_seed = 0x70616e646f,
    };
}

static bool is_sound(const struct pd_kv_config *config)
{
    uint64_t row = (uint64_t)config->limits.request_bytes_max +
                   2 * (uint64_t)config->limits.key_bytes_max + 8 * KIB;
    return config->limits.key_bytes_max > 0 && config->limits.txn_ops_max > 0 &&
           config->limits.txn_ops_max <= 4096 && config->overlay_bytes >= 4 * row &&
           config->overlay_bytes >= 4 * (uint64_t)config->answer_bytes_max &&
           config->overlay_bytes >= pd_kv_end_bytes_max(config) &&
           config->answer_bytes_max >= 256 && config->sessions_max > 0 &&
           config->session_window_max > 0 &&
           config->session_window_max <= PD_KV_SESSION_WINDOW_MAX && config->leases_max > 0 &&
           config->leases_max <= PD_KV_DEADLINES_MAX / 2 &&
           config->sessions_max <= PD_KV_DEADLINES_MAX / 2 && config->writes_max >= 16 &&
           config->version_max >= PD_KV_VERSION_FIRST && config->events_max > 0 &&
           config->reads_max > 0 && config->reads_bytes_max >= config->read_bytes_max &&
           config->histories_max > 0 && config->histories_max <= PD_KV_HISTORIES_MAX &&
           config->reads_max + config->prefetch_max < 60000;
}

static bool place_init(struct pd_kv *kv, struct pd_kv_place *place)
{
    place->bytes = pd_alloc(kv->row_key_max);
    place->size = 0;
    return place->bytes != NULL;
}

static bool scan_init(struct pd_kv *kv, struct pd_kv_scan *scan)
{
    return place_init(kv, &scan->at) && place_init(kv, &scan->end) && place_init(kv, &scan->done);
}

static void scan_deinit(struct pd_kv_scan *scan)
{
    pd_free(scan->at.bytes);
    pd_free(scan->end.bytes);
    pd_free(scan->done.bytes);
}

static bool room_init(struct pd_kv_command_room *room, uint32_t ops_max)
{
    room->ops_max = ops_max;
    room->compares_max = ops_max;
    room->ops = pd_alloc_zeroed(ops_max, sizeof *room->ops);
    room->compares = pd_alloc_zeroed(ops_max, sizeof *room->compares);
    return room->ops != NULL && room->compares != NULL;
}

static void room_deinit(struct pd_kv_command_room *room)
{
    pd_free(room->ops);
    pd_free(room->compares);
}

static bool apply_init(struct pd_kv *kv)
{
    struct pd_kv_apply *apply = &kv->apply;
    uint32_t ops_max = pd_kv_command_ops_max(&kv->config.limits);
    bool has_room = room_init(&apply->room, ops_max);
    apply->steps = pd_alloc_zeroed(ops_max, sizeof *apply->steps);
    apply->succeeded = pd_alloc_zeroed(ops_max, sizeof *apply->succeeded);
    (void)pd_kv_attachments_max(&kv->config, &apply->attachments_max);
    apply->attachments = pd_alloc(apply->attachments_max);
    apply->held = pd_alloc(pd_kv_row_bytes_max(kv));
    apply->answer = pd_alloc(ANSWER_ROOM + (size_t)kv->config.answer_bytes_max);
    apply->events = pd_alloc_zeroed(kv->config.events_max, sizeof *apply->events);
    apply->event_bytes = pd_alloc((size_t)kv->config.event_bytes_max + 1);
    return has_room && apply->steps != NULL && apply->succeeded != NULL &&
           apply->attachments != NULL && apply->held != NULL && apply->answer != NULL &&
           apply->events != NULL && apply->event_bytes != NULL && scan_init(kv, &apply->scan) &&
           place_init(kv, &apply->lease_at) && place_init(kv, &apply->victim);
}

static bool tables_init(struct pd_kv *kv)
{
    const struct pd_kv_config *config = &kv->config;
    kv->leases = pd_alloc_zeroed(config->leases_max, sizeof *kv->leases);
    kv->lease_free = pd_alloc_zeroed(config->leases_max, sizeof *kv->lease_free);
    kv->sessions = pd_alloc_zeroed(config->sessions_max, sizeof *kv->sessions);
    kv->session_free = pd_alloc_zeroed(config->sessions_max, sizeof *kv->session_free);
    kv->session_slots = pd_alloc_zeroed((size_t)config->sessions_max * config->session_window_max,
                                        sizeof *kv->session_slots);
    uint32_t items_max = config->leases_max + config->sessions_max;
    struct pd_kv_deadline *keys = pd_alloc_zeroed(items_max, sizeof *keys);
    uint32_t *heap = pd_alloc_zeroed(items_max, sizeof *heap);
    int32_t *places = pd_alloc_zeroed(items_max, sizeof *places);
    kv->deadlines = (struct pd_kv_deadlines){.keys = keys, .heap = heap, .places = places};
    if (kv->leases == NULL || kv->lease_free == NULL || kv->sessions == NULL ||
        kv->session_free == NULL || kv->session_slots == NULL || keys == NULL || heap == NULL ||
        places == NULL) {
        return false;
    }
    pd_kv_deadlines_init(&kv->deadlines, keys, heap, places, items_max);
    for (uint32_t i = 0; i < config->leases_max; i++) {
        kv->lease_free[i] = &kv->leases[i];
    }
    for (uint32_t i = 0; i < config->sessions_max; i++) {
        kv->session_free[i] = &kv->sessions[i];
        kv->sessions[i].stored = kv->session_slots + (size_t)i * config->session_window_max;
    }
    return true;
}

static bool slots_init(struct pd_kv *kv)
{
    kv->slot_count = pd_kv_first_prefetch_slot(kv) + kv->config.prefetch_max;
    kv->slots = pd_alloc_zeroed(kv->slot_count, sizeof *kv->slots);
    kv->reads = pd_alloc_zeroed(kv->config.reads_max, sizeof *kv->reads);
    kv->histories = pd_alloc_zeroed(kv->config.histories_max, sizeof *kv->histories);
    /* What is joined to an 'm' row must fit, come what may. */
    size_t unused = 0;
    kv->writes_room = kv->config.writes_max + pd_kv_attachments_max(&kv->config, &unused) +
                      kv->config.session_window_max + 16;
    kv->writes = pd_alloc_zeroed(kv->writes_room, sizeof *kv->writes);
    kv->sweep.page_max = kv->config.page_bytes + kv->row_key_max;
    kv->sweep.page = pd_alloc(kv->sweep.page_max);
    kv->expiry_front = pd_alloc_zeroed(PD_KV_EXPIRY_SKIP_MAX + 2, sizeof *kv->expiry_front);
    if (kv->slots == NULL || kv->reads == NULL || kv->histories == NULL || kv->writes == NULL ||
        kv->sweep.page == NULL || kv->expiry_front == NULL ||
        !room_init(&kv->prefetch_room, pd_kv_command_ops_max(&kv->config.limits))) {
        return false;
    }
    for (uint32_t i = 0; i < kv->slot_count; i++) {
        if (!place_init(kv, &kv->slots[i].low) || !place_init(kv, &kv->slots[i].high) ||
            !place_init(kv, &kv->slots[i].key)) {
            return false;
        }
    }
    return true;
}

void pd_kv_start_empty(struct pd_kv *kv)
{
    pd_kv_tables_clear(kv);
    pd_kv_overlay_clear(&kv->overlay);
    pd_kv_cache_clear(&kv->cache);
    pd_kv_seen_clear(&kv->seen);
    pd_kv_slots_clear(kv);
    kv->meta = (struct pd_kv_meta){
        .revision = 1, .compacted = PD_KV_NEVER_COMPACTED, .version = PD_KV_VERSION_FIRST};
    kv->wanted_version = 0;
    kv->conf_size = 0;
    kv->taken = kv->overlay.head;
    kv->visible = kv->overlay.head;
    kv->finished = kv->overlay.head;
    kv->batch_out = false;
    kv->visible_index = 0;
    kv->apply.phase = PD_KV_PHASE_IDLE;
    kv->apply.sub = 0;
    kv->apply.position = kv->overlay.head;
    kv->load_stage = PD_KV_LOAD_DONE;
    kv->may_be_torn = false;
    pd_kv_detach_begin(kv);
    pd_kv_sweep_clear(kv);
}

enum pd_status pd_kv_open(const struct pd_kv_config *config, struct pd_kv **kv_out)
{
    if (!is_sound(config)) {
        return PD_ERR_INVALID;
    }
    struct pd_kv *kv = pd_alloc_zeroed(1, sizeof *kv);
    if (kv == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    kv->config = *config;
    kv->row_key_max = 2 * (size_t)config->limits.key_bytes_max + 64;
    bool is_made = pd_kv_overlay_init(&kv->overlay, config->overlay_bytes) == PD_OK &&
                   pd_kv_cache_init(&kv->cache, config->cache_bytes, config->hash_seed) == PD_OK &&
                   pd_kv_seen_init(&kv->seen, config->seen_bytes, config->hash_seed) == PD_OK &&
                   place_init(kv, &kv->scratch_key) && place_init(kv, &kv->scratch_user) &&
                   place_init(kv, &kv->scratch_end) && place_init(kv, &kv->load_at) &&
                   scan_init(kv, &kv->verify) && apply_init(kv) && tables_init(kv) &&
                   slots_init(kv) && pd_kv_members_init(&kv->members);
    if (!is_made) {
        pd_kv_close(kv);
        return PD_ERR_NO_MEMORY;
    }
    pd_kv_start_empty(kv);
    *kv_out = kv;
    return PD_OK;
}

static void apply_deinit(struct pd_kv_apply *apply)
{
    room_deinit(&apply->room);
    pd_free(apply->steps);
    pd_free(apply->succeeded);
    pd_free(apply->attachments);
    pd_free(apply->held);
    pd_free(apply->answer);
    pd_free(apply->events);
    pd_free(apply->event_bytes);
    pd_free(apply->lease_at.bytes);
    pd_free(apply->victim.bytes);
    pd_kv_collect_deinit(&apply->collect);
    scan_deinit(&apply->scan);
}

void pd_kv_close(struct pd_kv *kv)
{
    if (kv == NULL) {
        return;
    }
    for (uint32_t i = 0; kv->reads != NULL && i < kv->config.reads_max; i++) {
        pd_kv_read_end(kv, i);
    }
    for (uint32_t i = 0; kv->histories != NULL && i < kv->config.histories_max; i++) {
        pd_kv_history_end(kv, i);
    }
    for (uint32_t i = 0; kv->slots != NULL && i < kv->slot_count; i++) {
        pd_free(kv->slots[i].low.bytes);
        pd_free(kv->slots[i].high.bytes);
        pd_free(kv->slots[i].key.bytes);
    }
    pd_kv_tables_clear(kv);
    pd_kv_members_deinit(&kv->members);
    pd_table_deinit(&kv->lease_table);
    pd_table_deinit(&kv->session_table);
    apply_deinit(&kv->apply);
    room_deinit(&kv->prefetch_room);
    scan_deinit(&kv->verify);
    pd_kv_overlay_deinit(&kv->overlay);
    pd_kv_cache_deinit(&kv->cache);
    pd_kv_seen_deinit(&kv->seen);
    struct pd_kv_place *places[] = {&kv->scratch_key, &kv->scratch_user, &kv->scratch_end,
                                    &kv->load_at};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        pd_free(places[i]->bytes);
    }
    void *blocks[] = {kv->slots,          kv->reads,          kv->histories,
                      kv->writes,         kv->leases,         kv->lease_free,
                      kv->sessions,       kv->session_free,   kv->session_slots,
                      kv->deadlines.keys, kv->deadlines.heap, kv->deadlines.places,
                      kv->sweep.page,     kv->expiry_front};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        pd_free(blocks[i]);
    }
    pd_free(kv);
}

size_t pd_kv_row_bytes_max(const struct pd_kv *kv)
{
    size_t value = kv->config.limits.request_bytes_max;
    value = value > kv->config.answer_bytes_max ? value : kv->config.answer_bytes_max;
    return value + kv->row_key_max + 256;
}

/* -- Writes ------------------------------------------------------------------------------------ */

#define META_NUMBERS (PD_KV_META_SIZE / 8u)

void pd_kv_meta_encode(uint8_t room[PD_KV_META_SIZE], const struct pd_kv_meta *meta)
{
    const uint64_t numbers[META_NUMBERS] = {meta->index,
                                            meta->term,
                                            (uint64_t)meta->revision,
                                            (uint64_t)meta->compacted,
                                            meta->state_time_ns,
                                            meta->wall_ns,
                                            meta->fold,
                                            meta->keys_hash.low,
                                            meta->keys_hash.high,
                                            meta->tables_hash.low,
                                            meta->tables_hash.high,
                                            meta->key_count,
                                            meta->extended_ns,
                                            meta->left_subs};
    for (uint32_t i = 0; i < META_NUMBERS; i++) {
        pd_put_u64(room + (size_t)8 * i, numbers[i]);
    }
}

void pd_kv_write_meta(struct pd_kv *kv)
{
    uint8_t room[PD_KV_META_SIZE];
    pd_kv_meta_encode(room, &kv->meta);
    uint64_t position =
        pd_kv_overlay_append(&kv->overlay, PD_KV_ENTRY_PUT, pd_kv_span("m", 1),
                             pd_kv_span(room, sizeof room), pd_kv_span(NULL, 0), false);
    pd_assert(position != 0);
}

bool pd_kv_meta_decode(struct pd_span value, struct pd_kv_meta *meta_out)
{
    if (value.size != PD_KV_META_SIZE) {
        return false;
    }
    uint64_t numbers[META_NUMBERS];
    for (uint32_t i = 0; i < META_NUMBERS; i++) {
        numbers[i] = pd_get_u64(value.bytes + (size_t)8 * i);
    }
    *meta_out = (struct pd_kv_meta){
        .index = numbers[0],
        .term = numbers[1],
        .revision = (int64_t)numbers[2],
        .compacted = (int64_t)numbers[3],
        .state_time_ns = numbers[4],
        .wall_ns = numbers[5],
        .fold = numbers[6],
        .keys_hash = {numbers[7], numbers[8]},
        .tables_hash = {numbers[9], numbers[10]},
        .key_count = numbers[11],
        .extended_ns = numbers[12],
        .left_subs = (uint32_t)numbers[13],
        .version = PD_KV_VERSION_FIRST,
    };
    return meta_out->revision >= 1 && meta_out->compacted >= PD_KV_NEVER_COMPACTED &&
           meta_out->compacted <= meta_out->revision;
}

bool pd_kv_meta_row(struct pd_span row, uint64_t *index_out, uint64_t *term_out)
{
    struct pd_kv_meta meta;
    if (!pd_kv_meta_decode(row, &meta)) {
        return false;
    }
    *index_out = meta.index;
    *term_out = meta.term;
    return true;
}

bool pd_kv_take_writes(struct pd_kv *kv, struct pd_kv_batch *batch_out)
{
    if (kv->batch_out) {
        return false;
    }
    /* Rows of an unfinished command go only when it cannot go on otherwise: their revision hides
     * them. */
    bool is_blocked = kv->apply.phase != PD_KV_PHASE_IDLE && kv->apply.is_blocked;
    uint64_t end = is_blocked && kv->taken >= kv->finished ? kv->overlay.head : kv->finished;
    size_t count = 0;
    size_t whole = 0; /* rows up to the last 'm' row: a batch ends there if it can */
    uint64_t whole_end = 0;
    size_t loose = 0; /* rows up to the last one that is not joined to what follows it */
    uint64_t loose_end = 0;
    uint64_t index = kv->batch_index;
    uint64_t at = pd_kv_overlay_from(&kv->overlay, kv->taken);
    while (at < end && (count < kv->config.writes_max || loose == 0)) {
        const struct pd_kv_entry *entry = pd_kv_overlay_at(&kv->overlay, at);
        at = pd_kv_overlay_after(&kv->overlay, at);
        if (entry->kind == PD_KV_ENTRY_PAD) {
            continue;
        }
        pd_assert(count < kv->writes_room);
        struct pd_span key = pd_kv_entry_key(entry);
        kv->writes[count++] = (struct pd_store_write){
            .kind = entry->kind == PD_KV_ENTRY_PUT ? PD_STORE_PUT : PD_STORE_DELETE,
            .key = key,
            .value = pd_kv_entry_value(entry),
        };
        struct pd_kv_meta meta;
        if (key.bytes[0] == 'm' && pd_kv_meta_decode(pd_kv_entry_value(entry), &meta)) {
            whole = count;
            whole_end = at;
            index = meta.index;
        }
        if (!entry->is_joined || PD_MUTANT(KV_JOINED_ROWS_APART)) {
            loose = count;
            loose_end = at;
        }
    }
    if (loose == 0) {
        return false;
    }
    kv->batch_out = true;
    kv->batch_index = index;
    kv->taken = whole > 0 ? whole_end : loose_end;
    *batch_out = (struct pd_kv_batch){
        .writes = kv->writes, .count = whole > 0 ? whole : loose, .index = index};
    return true;
}

void pd_kv_written(struct pd_kv *kv)
{
    pd_assert(kv->batch_out);
    kv->batch_out = false;
    kv->visible = kv->taken;
    kv->visible_index = kv->batch_index;
    pd_kv_release_rows(kv);
}

uint64_t pd_kv_overlay_room(const struct pd_kv *kv)
{
    return pd_kv_overlay_room_left(&kv->overlay);
}

/* -- What it is -------------------------------------------------------------------------------- */

struct pd_span pd_kv_conf(const struct pd_kv *kv)
{
    return pd_kv_span(kv->conf, kv->conf_size);
}

enum pd_status pd_kv_get_hot(const struct pd_kv *kv, struct pd_span key, uint8_t *room,
                             size_t room_max, struct pd_kv_record *record_out)
{
    return pd_kv_cache_get_shared(&kv->cache, key, room, room_max, record_out);
}

void pd_kv_status(const struct pd_kv *kv, struct pd_kv_status *status_out)
{
    struct pd_kv_hash set_hash = kv->meta.keys_hash;
    pd_kv_hash_add(&set_hash, kv->meta.tables_hash);
    *status_out = (struct pd_kv_status){
        .applied_index = kv->meta.index,
        .applied_term = kv->meta.term,
        .revision = kv->meta.revision,
        .compacted_revision = kv->meta.compacted > 0 ? kv->meta.compacted : 0,
        .compact_done = kv->sweep.done,
        .state_time_ns = kv->meta.state_time_ns,
        .wall_ns = kv->meta.wall_ns,
        .fold_hash = kv->meta.fold,
        .set_hash = set_hash,
        .visible_index = kv->visible_index,
        .lease_count = kv->lease_count,
        .session_count = kv->session_count,
        .key_count = kv->meta.key_count,
        .overlay_used = kv->overlay.head - kv->overlay.tail,
        .answers_bytes = kv->answers_bytes,
        .reads_held = kv->reads_held,
        .is_applying = kv->apply.phase != PD_KV_PHASE_IDLE,
        .version = kv->meta.version,
        .wanted_version = kv->wanted_version,
    };
}

uint64_t pd_kv_session_answers_bytes(const struct pd_kv *kv, uint64_t id)
{
    const struct pd_kv_session *session = pd_kv_session_find(kv, id);
    return session == NULL ? 0 : session->answers_bytes;
}

uint64_t pd_kv_applied_index(const struct pd_kv *kv)
{
    return kv->meta.index;
}

uint64_t pd_kv_state_time(const struct pd_kv *kv)
{
    return kv->meta.state_time_ns;
}

int64_t pd_kv_revision(const struct pd_kv *kv)
{
    return kv->meta.revision;
}

void pd_kv_check(const struct pd_kv *kv)
{
    pd_kv_overlay_check(&kv->overlay);
    pd_assert(kv->visible <= kv->taken);
    pd_assert(kv->taken <= kv->overlay.head);
    pd_assert(kv->meta.compacted <= kv->meta.revision);
    pd_kv_history_check(kv);
    uint64_t held = 0;
    uint32_t large = 0;
    for (uint32_t i = 0; i < kv->config.reads_max; i++) {
        held += kv->reads[i].held;
        large += kv->reads[i].is_large;
    }
    pd_assert(held == kv->reads_held);
    pd_assert(large == kv->reads_large);
    const struct pd_kv_deadlines *deadlines = &kv->deadlines;
    pd_assert(deadlines->count == kv->lease_count + kv->session_count);
    for (uint32_t i = 0; i < deadlines->count; i++) {
        const struct pd_kv_timed *timed = pd_kv_timed_of(kv, deadlines->heap[i]);
        pd_assert(timed->item == deadlines->heap[i]);
        pd_assert(deadlines->places[timed->item] == (int32_t)i);
        pd_assert(deadlines->keys[timed->item].deadline_ns == timed->deadline_ns);
        pd_assert(deadlines->keys[timed->item].id == timed->id);
        pd_assert(deadlines->keys[deadlines->heap[i == 0 ? 0 : (i - 1) / 2]].deadline_ns <=
                  timed->deadline_ns);
    }
    if (kv->apply.phase == PD_KV_PHASE_IDLE) {
        struct pd_kv_hash hash = pd_kv_tables_hash(kv);
        pd_assert(hash.low == kv->meta.tables_hash.low);
        pd_assert(hash.high == kv->meta.tables_hash.high);
    }
}
