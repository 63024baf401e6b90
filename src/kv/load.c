/* load - what the store holds is taken up again: meta, configuration, leases, sessions, stored
 * answers, members, version; and the set hash is recomputed from all rows. */
#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "kv/internal.h"

#define SECOND_NS UINT64_C(1000000000)

void pd_kv_verify_begin(struct pd_kv *kv)
{
    static const uint8_t zero[] = {0};
    kv->verify_hash = (struct pd_kv_hash){0};
    kv->verify_want = kv->meta.keys_hash;
    kv->verify_count = 0;
    kv->verify_failed = false;
    pd_kv_scan_open(kv, &kv->verify, pd_kv_span(zero, 1), pd_kv_span(zero, 1), kv->meta.revision,
                    PD_KV_SUB_LAST);
}

static bool take_verify(struct pd_kv *kv, void *context, const struct pd_kv_row *row)
{
    (void)context;
    struct pd_kv_found found = row->found;
    pd_kv_value_hash(found.record.value, found.value_hash);
    pd_kv_hash_add(&kv->verify_hash, pd_kv_record_hash(&found));
    kv->verify_count++;
    pd_kv_seen_add(&kv->seen, found.record.key);
    return true;
}

enum pd_status pd_kv_verify_supply(struct pd_kv *kv, const struct pd_store_page *page)
{
    enum pd_status status = pd_kv_scan_page(kv, &kv->verify, page, take_verify, NULL);
    kv->verify_failed = kv->verify_failed || status != PD_OK;
    return status;
}

enum pd_kv_progress pd_kv_verify_step(struct pd_kv *kv, uint32_t budget)
{
    (void)budget;
    if (kv->verify_failed) {
        return PD_KV_FAILED;
    }
    if (kv->slots[PD_KV_SLOT_VERIFY].state != PD_KV_SLOT_FREE) {
        return PD_KV_FETCH;
    }
    if (kv->verify.revision < kv->meta.compacted) {
        if (kv->apply.phase != PD_KV_PHASE_IDLE) {
            return PD_KV_MORE;
        }
        pd_kv_verify_begin(kv);
    }
    if (!kv->verify.is_complete) {
        pd_kv_want_scan(kv, PD_KV_SLOT_VERIFY, &kv->verify);
        return PD_KV_FETCH;
    }
    if (kv->verify_hash.low != kv->verify_want.low ||
        kv->verify_hash.high != kv->verify_want.high) {
        return PD_KV_FAILED;
    }
    pd_kv_seen_complete(&kv->seen); /* what was written meanwhile is in it as well */
    return PD_KV_DONE;
}

/* -- Load -------------------------------------------------------------------------------------- */

/* 'm' comes first: deadlines and the removal of compacted rows are read in its light. */
static const char *const load_ranges[PD_KV_LOAD_DONE][2] = {
    [PD_KV_LOAD_META] = {"m", "n"},
    [PD_KV_LOAD_SWEEP] = {"c", "d"},
    [PD_KV_LOAD_TABLES] = {"k", "w"},
};

static void load_stage(struct pd_kv *kv, enum pd_kv_load_stage stage)
{
    kv->load_stage = stage;
    if (stage != PD_KV_LOAD_DONE) {
        pd_kv_place_set(&kv->load_at, pd_kv_span(load_ranges[stage][0], 1));
    }
}

/* An extension of all has moved the deadline since the row was written. */
static uint64_t deadline_after(const struct pd_kv *kv, uint64_t deadline_ns, uint64_t whole_ns)
{
    uint64_t extended_ns = kv->meta.extended_ns == 0 ? 0 : kv->meta.extended_ns + whole_ns;
    return extended_ns > deadline_ns && !PD_MUTANT(KV_LOAD_FORGETS_EXTENSION) ? extended_ns
                                                                              : deadline_ns;
}

static bool load_lease(struct pd_kv *kv, struct pd_span key, struct pd_kv_reader *reader)
{
    if (key.size != 9) {
        return false;
    }
    int64_t ttl_s = pd_kv_read_i64(reader);
    uint64_t deadline_ns = pd_kv_read_u64(reader);
    if (!pd_kv_read_is_whole(reader) || ttl_s <= 0 || ttl_s > PD_KV_LEASE_TTL_MAX_S) {
        return false;
    }
    deadline_ns = deadline_after(kv, deadline_ns, (uint64_t)ttl_s * SECOND_NS);
    return pd_kv_lease_add(kv, (int64_t)pd_kv_get_be64(key.bytes + 1), ttl_s, deadline_ns) != NULL;
}

static bool load_session(struct pd_kv *kv, struct pd_span key, struct pd_kv_reader *reader)
{
    if (key.size != 9) {
        return false;
    }
    uint64_t duration_ns = pd_kv_read_u64(reader);
    uint64_t deadline_ns = pd_kv_read_u64(reader);
    uint32_t window = pd_kv_read_below(reader, kv->config.session_window_max + 1);
    uint64_t low = pd_kv_read_u64(reader);
    if (!pd_kv_read_is_whole(reader) || window == 0 || low == 0) {
        return false;
    }
    deadline_ns = deadline_after(kv, deadline_ns, duration_ns);
    struct pd_kv_session *session =
        pd_kv_session_add(kv, pd_kv_get_be64(key.bytes + 1), duration_ns, deadline_ns, window);
    if (session != NULL) {
        session->low = low;
    }
    return session != NULL;
}

/* 's' rows come before 't' rows: the session is there. An answer carries its moment's low mark
 * and deadline. */
static bool load_answer(struct pd_kv *kv, struct pd_span key, struct pd_kv_reader *reader)
{
    struct pd_kv_session *session =
        key.size == 11 ? pd_kv_session_find(kv, pd_kv_get_be64(key.bytes + 1)) : NULL;
    uint64_t sequence = pd_kv_read_u64(reader);
    uint64_t low = pd_kv_read_u64(reader);
    uint64_t deadline_ns = pd_kv_read_u64(reader);
    if (session == NULL || reader->is_bad || sequence == 0) {
        return false;
    }
    pd_kv_session_raise(kv, session, low);
    if (deadline_ns > session->timed.deadline_ns) {
        pd_kv_timed_move(kv, &session->timed, deadline_ns);
    }
    if (sequence >= session->low) {
        pd_kv_session_store(
            kv, session, sequence,
            pd_kv_span(reader->bytes.bytes + reader->at, reader->bytes.size - reader->at));
    }
    return true;
}

static bool load_version(struct pd_kv *kv, struct pd_span key, struct pd_span value)
{
    uint32_t version = 0;
    if (key.size != 1 || !pd_kv_version_parse(value, &version)) {
        return false;
    }
    kv->meta.version = version;
    kv->wanted_version = version > kv->config.version_max ? version : 0;
    return true;
}

static bool load_row(struct pd_kv *kv, struct pd_span key, struct pd_span value)
{
    struct pd_kv_reader reader;
    pd_kv_reader_init(&reader, value);
    switch (key.size == 0 ? 0 : key.bytes[0]) {
    case 'c':
        return key.size == 1 && pd_kv_sweep_load(kv, value);
    case 'm':
        return key.size == 1 && pd_kv_meta_decode(value, &kv->meta);
    case 'r':
        if (key.size != 1 || value.size > PD_KV_CONF_MAX) {
            return false;
        }
        memcpy(kv->conf, value.bytes, value.size);
        kv->conf_size = value.size;
        return true;
    case 'l':
        return load_lease(kv, key, &reader);
    case 'k':
        return pd_kv_members_load(kv, key, value);
    case 's':
        return load_session(kv, key, &reader);
    case 't':
        return load_answer(kv, key, &reader);
    case 'v':
        return load_version(kv, key, value);
    default:
        return false;
    }
}

enum pd_status pd_kv_load_supply(struct pd_kv *kv, const struct pd_store_page *page)
{
    struct pd_span key = {0};
    struct pd_span value = {0};
    size_t at = 0;
    bool is_bad = false;
    while (pd_kv_page_row(page, &at, &key, &value, &is_bad)) {
        if (key.size + 1 > kv->row_key_max || !load_row(kv, key, value)) {
            is_bad = true;
            break;
        }
        pd_kv_place_set(&kv->load_at, key);
        kv->load_at.bytes[kv->load_at.size++] = 0;
    }
    if (page->is_complete) {
        load_stage(kv, (enum pd_kv_load_stage)(kv->load_stage + 1));
    }
    kv->load_failed = kv->load_failed || is_bad;
    return is_bad ? PD_ERR_CORRUPT : PD_OK;
}

void pd_kv_load_begin(struct pd_kv *kv)
{
    pd_assert(kv->apply.phase == PD_KV_PHASE_IDLE);
    for (uint32_t i = 0; i < kv->config.reads_max + kv->config.histories_max; i++) {
        pd_kv_read_end(kv, i);
    }
    pd_kv_start_empty(kv);
    kv->load_failed = false;
    load_stage(kv, PD_KV_LOAD_META);
}

enum pd_kv_progress pd_kv_load_step(struct pd_kv *kv, uint32_t budget)
{
    (void)budget;
    if (kv->load_failed || kv->wanted_version != 0) {
        return PD_KV_FAILED;
    }
    if (kv->slots[PD_KV_SLOT_LOAD].state != PD_KV_SLOT_FREE) {
        return PD_KV_FETCH;
    }
    if (kv->load_stage != PD_KV_LOAD_DONE) {
        pd_kv_want(kv, PD_KV_SLOT_LOAD, pd_kv_place_span(&kv->load_at),
                   pd_kv_span(load_ranges[kv->load_stage][1], 1), 0);
        return PD_KV_FETCH;
    }
    struct pd_kv_hash hash = pd_kv_tables_hash(kv);
    if (hash.low != kv->meta.tables_hash.low || hash.high != kv->meta.tables_hash.high) {
        return PD_KV_FAILED;
    }
    kv->visible_index = kv->meta.index;
    kv->batch_index = kv->meta.index;
    kv->apply.next = kv->meta;
    kv->may_be_torn = true;
    pd_kv_detach_begin(kv);
    return PD_KV_DONE;
}
