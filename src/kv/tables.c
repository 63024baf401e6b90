#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/mutant.h"
#include "kv/internal.h"
#include "kv/state_time.h"

/* -- Deadlines --------------------------------------------------------------------------------- */

void pd_kv_timed_move(struct pd_kv *kv, struct pd_kv_timed *timed, uint64_t deadline_ns)
{
    timed->deadline_ns = deadline_ns;
    pd_kv_deadlines_set(&kv->deadlines, timed->item, deadline_ns, timed->id);
}

const struct pd_kv_timed *pd_kv_timed_of(const struct pd_kv *kv, uint32_t item)
{
    return item < kv->config.leases_max ? &kv->leases[item].timed
                                        : &kv->sessions[item - kv->config.leases_max].timed;
}

/* -- Leases ------------------------------------------------------------------------------------ */

static uint64_t id_hash(const struct pd_kv *kv, uint64_t id)
{
    return pd_hash_u64(kv->config.hash_seed, id);
}

struct pd_kv_lease *pd_kv_lease_find(const struct pd_kv *kv, int64_t id)
{
    struct pd_table_node *node = pd_table_find(&kv->lease_table, id_hash(kv, (uint64_t)id));
    for (; node != NULL; node = pd_table_next(node)) {
        struct pd_kv_lease *lease =
            (struct pd_kv_lease *)(void *)((char *)node - offsetof(struct pd_kv_lease, node));
        if (lease->timed.id == (uint64_t)id) {
            return lease;
        }
    }
    return NULL;
}

struct pd_kv_lease *pd_kv_lease_add(struct pd_kv *kv, int64_t id, int64_t ttl_s,
                                    uint64_t deadline_ns)
{
    if (kv->lease_count == kv->config.leases_max) {
        return NULL;
    }
    uint32_t at = kv->lease_count++;
    struct pd_kv_lease *lease = kv->lease_free[at];
    *lease = (struct pd_kv_lease){
        .timed = {.id = (uint64_t)id, .item = (uint32_t)(lease - kv->leases), .live_at = at},
        .ttl_s = ttl_s};
    pd_table_insert(&kv->lease_table, &lease->node, id_hash(kv, (uint64_t)id));
    pd_kv_timed_move(kv, &lease->timed, deadline_ns);
    return lease;
}

void pd_kv_lease_remove(struct pd_kv *kv, struct pd_kv_lease *lease)
{
    pd_table_remove(&kv->lease_table, &lease->node);
    pd_kv_deadlines_remove(&kv->deadlines, lease->timed.item);
    /* The last live one takes its place: what is live stays in front. */
    struct pd_kv_lease *last = kv->lease_free[--kv->lease_count];
    kv->lease_free[kv->lease_count] = lease;
    kv->lease_free[lease->timed.live_at] = last;
    last->timed.live_at = lease->timed.live_at;
    lease->timed.id = 0;
}

void pd_kv_lease_renew(struct pd_kv *kv, struct pd_kv_lease *lease, uint64_t now_ns)
{
    pd_kv_timed_move(kv, &lease->timed,
                     pd_kv_time_after(now_ns, (uint64_t)lease->ttl_s * PD_KV_SECOND_NS));
}

struct pd_kv_hash pd_kv_lease_hash(const struct pd_kv_lease *lease)
{
    uint64_t parts[2] = {lease->timed.id, (uint64_t)lease->ttl_s};
    return pd_kv_bytes_hash(pd_kv_span("lease", 5), pd_kv_span(parts, sizeof parts));
}

/* -- Sessions ---------------------------------------------------------------------------------- */

struct pd_kv_session *pd_kv_session_find(const struct pd_kv *kv, uint64_t id)
{
    struct pd_table_node *node = pd_table_find(&kv->session_table, id_hash(kv, id));
    for (; node != NULL; node = pd_table_next(node)) {
        struct pd_kv_session *session =
            (struct pd_kv_session *)(void *)((char *)node - offsetof(struct pd_kv_session, node));
        if (session->timed.id == id) {
            return session;
        }
    }
    return NULL;
}

struct pd_kv_session *pd_kv_session_add(struct pd_kv *kv, uint64_t id, uint64_t duration_ns,
                                        uint64_t deadline_ns, uint32_t window)
{
    if (kv->session_count == kv->config.sessions_max) {
        return NULL;
    }
    uint32_t at = kv->session_count++;
    struct pd_kv_session *session = kv->session_free[at];
    struct pd_kv_stored *stored = session->stored;
    memset(stored, 0, kv->config.session_window_max * sizeof *stored);
    *session = (struct pd_kv_session){
        .timed = {.id = id,
                  .item = kv->config.leases_max + (uint32_t)(session - kv->sessions),
                  .live_at = at,
                  .is_session = true},
        .duration_ns = duration_ns,
        .low = 1,
        .window = window,
        .stored = stored,
    };
    pd_table_insert(&kv->session_table, &session->node, id_hash(kv, id));
    pd_kv_timed_move(kv, &session->timed, deadline_ns);
    return session;
}

void pd_kv_session_renew(struct pd_kv *kv, struct pd_kv_session *session, uint64_t now_ns)
{
    pd_kv_timed_move(kv, &session->timed, pd_kv_time_after(now_ns, session->duration_ns));
}

static void count_answers(struct pd_kv *kv, struct pd_kv_session *session, uint64_t added,
                          uint64_t freed)
{
    session->answers_bytes += added - freed;
    kv->answers_bytes += added - freed;
}

void pd_kv_session_remove(struct pd_kv *kv, struct pd_kv_session *session)
{
    count_answers(kv, session, 0,
                  pd_kv_window_forget_below(session->stored, session->window, UINT64_MAX));
    pd_table_remove(&kv->session_table, &session->node);
    pd_kv_deadlines_remove(&kv->deadlines, session->timed.item);
    struct pd_kv_session *last = kv->session_free[--kv->session_count];
    kv->session_free[kv->session_count] = session;
    kv->session_free[session->timed.live_at] = last;
    last->timed.live_at = session->timed.live_at;
    session->timed.id = 0;
}

void pd_kv_session_store(struct pd_kv *kv, struct pd_kv_session *session, uint64_t sequence,
                         struct pd_span answer)
{
    uint8_t *bytes = pd_alloc(answer.size == 0 ? 1 : answer.size);
    if (bytes == NULL) {
        /* An answer that one replica forgets would be applied twice by it alone. */
        pd_fatal("no memory for a session's answer of %zu bytes: lower answers_bytes_max",
                 answer.size);
    }
    memcpy(bytes, answer.bytes, answer.size);
    uint32_t replaced =
        pd_kv_window_keep(session->stored, session->window, sequence, bytes, (uint32_t)answer.size);
    count_answers(kv, session, answer.size, replaced);
}

void pd_kv_session_raise(struct pd_kv *kv, struct pd_kv_session *session, uint64_t low)
{
    if (low <= session->low) {
        return;
    }
    session->low = low;
    count_answers(kv, session, 0, pd_kv_window_forget_below(session->stored, session->window, low));
}

struct pd_kv_hash pd_kv_session_hash(const struct pd_kv_session *session)
{
    uint64_t parts[3] = {session->timed.id, session->duration_ns, session->window};
    return pd_kv_bytes_hash(pd_kv_span("session", 7), pd_kv_span(parts, sizeof parts));
}

struct pd_kv_hash pd_kv_version_hash(uint32_t version)
{
    uint64_t number = version;
    return version == PD_KV_VERSION_FIRST
               ? (struct pd_kv_hash){0}
               : pd_kv_bytes_hash(pd_kv_span("version", 7), pd_kv_span(&number, sizeof number));
}

bool pd_kv_version_parse(struct pd_span value, uint32_t *version_out)
{
    struct pd_kv_reader reader;
    pd_kv_reader_init(&reader, value);
    *version_out = pd_kv_read_below(&reader, UINT32_MAX);
    return pd_kv_read_is_whole(&reader) && *version_out > PD_KV_VERSION_FIRST;
}

struct pd_kv_hash pd_kv_tables_hash(const struct pd_kv *kv)
{
    struct pd_kv_hash hash = pd_kv_version_hash(kv->meta.version);
    for (uint32_t i = 0; i < kv->lease_count; i++) {
        pd_kv_hash_add(&hash, pd_kv_lease_hash(kv->lease_free[i]));
    }
    for (uint32_t i = 0; i < kv->session_count; i++) {
        pd_kv_hash_add(&hash, pd_kv_session_hash(kv->session_free[i]));
    }
    for (uint32_t i = 0; i < kv->members.count; i++) {
        pd_kv_hash_add(&hash, pd_kv_member_hash(&kv->members.rows[i]));
    }
    return hash;
}

void pd_kv_tables_clear(struct pd_kv *kv)
{
    while (kv->lease_count > 0) {
        pd_kv_lease_remove(kv, kv->lease_free[kv->lease_count - 1]);
    }
    while (kv->session_count > 0) {
        pd_kv_session_remove(kv, kv->session_free[kv->session_count - 1]);
    }
    pd_kv_members_clear(&kv->members);
}
