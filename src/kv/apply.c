/* apply - one committed entry from its bytes to its answer. The operations themselves are in ops.c.
 *
 *   begin -> BEGIN -> SELECT -> CHECK -> RUN -> FINISH -> IDLE
 *                  -> REVOKE ----------------> FINISH
 *                  -> EXTEND ----------------> FINISH
 *                  -> FINISH (refused, repeated, or a command of one step)
 *                     RUN -> UNDO -> DRAIN --> FINISH (the answer is too large)
 *
 * A command may be larger than the overlay: then its rows go to the store before it has finished,
 * and a crash tears it. Therefore only 'x' and 'h' rows are written before the end: their revision
 * hides them, and the command, applied again, writes each of them again. All other rows are joined
 * to its 'm' row, in one batch; attachments that are too many for that are removed after it, which
 * 'm' remembers, and before the next command. */
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "kv/internal.h"
#include "kv/state_time.h"

#define ANSWER_HEAD 32u

void pd_kv_apply_begin(struct pd_kv *kv, uint64_t index, uint64_t term, struct pd_span envelope)
{
    struct pd_kv_apply *apply = &kv->apply;
    pd_assert(apply->phase == PD_KV_PHASE_IDLE);
    pd_assert(index == kv->meta.index + 1);
    apply->phase = PD_KV_PHASE_BEGIN;
    apply->index = index;
    apply->term = term;
    apply->bytes = envelope;
    apply->session = NULL;
    apply->touched = NULL;
    apply->lease_row = 0;
    apply->session_row = 0;
    apply->member_row = 0;
    apply->member_row_gone = 0;
    apply->attachments_size = 0;
    apply->attachments_room = 0;
    apply->left_bytes = 0;
    apply->left_many = false;
    apply->is_rewritten = false;
    apply->error = PD_KV_OK;
    apply->kind = PD_KV_ANSWER_NONE;
    apply->is_repeat = false;
    apply->is_blocked = false;
    apply->is_fetching = false;
    apply->step_count = 0;
    apply->step = 0;
    apply->select = 0;
    apply->compare = 0;
    apply->op_open = false;
    apply->scan.is_open = false;
    apply->held_valid = false;
    apply->victim.size = 0;
    apply->revoke_done = false;
    apply->extend_at = 0;
    apply->sub = 0;
    apply->effect = 0;
    apply->next = kv->meta;
    apply->next.index = index;
    apply->next.term = term;
    apply->event_count = 0;
    apply->event_bytes_used = 0;
    apply->events_cut = false;
    apply->events_taken = false;
    apply->body = (struct pd_kv_writer){.bytes = apply->answer + ANSWER_HEAD,
                                        .bytes_max = kv->config.answer_bytes_max};
}

void pd_kv_write_row(struct pd_kv *kv, enum pd_kv_entry_kind kind, struct pd_span key,
                     struct pd_span head, struct pd_span body, uint32_t use)
{
    uint64_t position =
        pd_kv_overlay_append(&kv->overlay, kind, key, head, body, (use & PD_KV_ROW_INDEXED) != 0);
    pd_assert(position != 0);
    pd_kv_overlay_at(&kv->overlay, position)->is_joined = (use & PD_KV_ROW_JOINED) != 0;
}

/* -- Time and session -------------------------------------------------------------------------- */

static void take_time(struct pd_kv *kv)
{
    struct pd_kv_meta *next = &kv->apply.next;
    uint64_t given = kv->apply.envelope.state_time_ns;
    uint64_t step_max_ns =
        PD_MUTANT(KV_TIME_STEP_UNBOUNDED) ? UINT64_MAX / 2 : kv->config.state_time_step_max_ns;
    next->state_time_ns = PD_MUTANT(KV_TIME_BACK)
                              ? given
                              : pd_kv_state_time_next(next->state_time_ns, given, step_max_ns);
    next->wall_ns = kv->apply.envelope.wall_ns;
}

static enum pd_kv_error enter_session(struct pd_kv *kv)
{
    struct pd_kv_apply *apply = &kv->apply;
    const struct pd_kv_envelope *envelope = &apply->envelope;
    if (envelope->session_id == 0) {
        return PD_KV_OK;
    }
    struct pd_kv_session *session = pd_kv_session_find(kv, envelope->session_id);
    if (session == NULL) {
        return PD_MUTANT(KV_SESSION_UNKNOWN_APPLIED) ? PD_KV_OK : PD_KV_ERR_SESSION_UNKNOWN;
    }
    uint64_t sequence = envelope->sequence;
    if (sequence == 0 || envelope->low > sequence) {
        return PD_KV_ERR_INVALID;
    }
    pd_kv_session_renew(kv, session, apply->next.state_time_ns);
    if (!PD_MUTANT(KV_SESSION_LOW_IGNORED)) {
        pd_kv_session_raise(kv, session, envelope->low);
    }
    apply->touched = session;
    switch (pd_kv_window_meaning(session->stored, session->window, session->low, sequence)) {
    case PD_KV_SEQUENCE_STALE:
        return PD_KV_ERR_SESSION_STALE;
    case PD_KV_SEQUENCE_AHEAD:
        if (PD_MUTANT(KV_WINDOW_ONE_MORE) && sequence - session->low == session->window) {
            break;
        }
        return PD_KV_ERR_SESSION_AHEAD;
    case PD_KV_SEQUENCE_REPEAT:
        if (PD_MUTANT(KV_RETRY_APPLIED)) {
            break;
        }
        apply->is_repeat = true;
        apply->session = session;
        PD_SOMETIMES(KV_REPEATED, true);
        return PD_KV_OK;
    case PD_KV_SEQUENCE_NEW:
        break;
    }
    if (session->answers_bytes >= kv->config.session_answer_bytes_max ||
        kv->answers_bytes >= kv->config.answers_bytes_max) {
        return PD_KV_ERR_SESSION_ANSWERS_FULL;
    }
    apply->session = session;
    return PD_KV_OK;
}

/* -- Commands of one step ---------------------------------------------------------------------- */

/* A row of numbers, or none: it goes away. They are part of the command's effect. */
static void write_id_row(struct pd_kv *kv, uint8_t letter, uint64_t id, const uint64_t *numbers,
                         uint32_t count)
{
    uint8_t room[4 * PD_VARINT_SIZE_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    for (uint32_t i = 0; i < count; i++) {
        pd_kv_write_u64(&writer, numbers[i]);
    }
    pd_kv_id_key(&kv->scratch_key, letter, id);
    struct pd_span key = pd_kv_place_span(&kv->scratch_key);
    pd_kv_write_row(kv, count == 0 ? PD_KV_ENTRY_DELETE : PD_KV_ENTRY_PUT, key,
                    pd_kv_span(room, writer.size), pd_kv_span(NULL, 0), PD_KV_ROW_JOINED);
    uint64_t effect = pd_hash_bytes(kv->apply.effect, key.bytes, key.size);
    kv->apply.effect = pd_hash_bytes(effect, room, writer.size);
}

static void write_lease_row(struct pd_kv *kv, int64_t id)
{
    const struct pd_kv_lease *lease = pd_kv_lease_find(kv, id);
    uint64_t numbers[2] = {0};
    if (lease != NULL) {
        numbers[0] = (uint64_t)lease->ttl_s;
        numbers[1] = lease->timed.deadline_ns;
    }
    write_id_row(kv, 'l', (uint64_t)id, numbers, lease != NULL ? 2 : 0);
}

static void slot_key(struct pd_kv *kv, uint64_t session, uint32_t slot)
{
    pd_kv_id_key(&kv->scratch_key, 't', session);
    kv->scratch_key.bytes[9] = (uint8_t)(slot >> 8);
    kv->scratch_key.bytes[10] = (uint8_t)slot;
    kv->scratch_key.size = 11;
}

static void write_session_row(struct pd_kv *kv, uint64_t id, uint32_t window)
{
    const struct pd_kv_session *session = pd_kv_session_find(kv, id);
    if (session != NULL) {
        const uint64_t numbers[] = {session->duration_ns, session->timed.deadline_ns,
                                    session->window, session->low};
        write_id_row(kv, 's', id, numbers, 4);
        return;
    }
    write_id_row(kv, 's', id, NULL, 0);
    /* All slots: a freed answer has left its row in the store. */
    for (uint32_t slot = 0; slot < window; slot++) {
        slot_key(kv, id, slot);
        pd_kv_write_row(kv, PD_KV_ENTRY_DELETE, pd_kv_place_span(&kv->scratch_key),
                        pd_kv_span(NULL, 0), pd_kv_span(NULL, 0), PD_KV_ROW_JOINED);
    }
}

static void write_member_row(struct pd_kv *kv, uint64_t node)
{
    uint8_t room[PD_KV_MEMBER_ROW_MAX];
    size_t size = pd_kv_member_row_value(kv, node, room);
    pd_kv_id_key(&kv->scratch_key, 'k', node);
    struct pd_span key = pd_kv_place_span(&kv->scratch_key);
    pd_kv_write_row(kv, size == 0 ? PD_KV_ENTRY_DELETE : PD_KV_ENTRY_PUT, key,
                    pd_kv_span(room, size), pd_kv_span(NULL, 0), PD_KV_ROW_JOINED);
    uint64_t effect = pd_hash_bytes(kv->apply.effect, key.bytes, key.size);
    kv->apply.effect = pd_hash_bytes(effect, room, size);
}

static void write_version_row(struct pd_kv *kv)
{
    uint8_t room[PD_VARINT_SIZE_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_write_u64(&writer, kv->apply.next.version);
    pd_kv_write_row(kv, PD_KV_ENTRY_PUT, pd_kv_span("v", 1), pd_kv_span(room, writer.size),
                    pd_kv_span(NULL, 0), PD_KV_ROW_JOINED);
    kv->apply.effect = pd_hash_bytes(kv->apply.effect, room, writer.size);
}

static enum pd_kv_error grant(struct pd_kv *kv, const struct pd_kv_command *command)
{
    struct pd_kv_apply *apply = &kv->apply;
    int64_t id = command->id;
    if (id == 0) {
        id = (int64_t)(apply->index & INT64_MAX);
        while (pd_kv_lease_find(kv, id) != NULL) {
            id = id == INT64_MAX ? 1 : id + 1;
        }
    } else if (pd_kv_lease_find(kv, id) != NULL) {
        return PD_KV_ERR_LEASE_EXISTS;
    }
    int64_t ttl_s =
        command->ttl_s < kv->config.lease_ttl_min_s ? kv->config.lease_ttl_min_s : command->ttl_s;
    struct pd_kv_lease *lease = pd_kv_lease_add(
        kv, id, ttl_s,
        pd_kv_time_after(apply->next.state_time_ns, (uint64_t)ttl_s * PD_KV_SECOND_NS));
    if (lease == NULL) {
        return PD_KV_ERR_LEASES_FULL;
    }
    pd_kv_hash_add(&apply->next.tables_hash, pd_kv_lease_hash(lease));
    apply->lease_row = id;
    apply->kind = PD_KV_ANSWER_LEASE;
    pd_kv_answer_put_number(&apply->body, id);
    pd_kv_answer_put_number(&apply->body, ttl_s);
    return PD_KV_OK;
}

static enum pd_kv_error keep_lease(struct pd_kv *kv, int64_t id)
{
    struct pd_kv_apply *apply = &kv->apply;
    struct pd_kv_lease *lease = pd_kv_lease_find(kv, id);
    if (lease != NULL) {
        pd_kv_lease_renew(kv, lease, apply->next.state_time_ns);
        apply->lease_row = id;
    }
    apply->kind = PD_KV_ANSWER_LEASE;
    pd_kv_answer_put_number(&apply->body, id);
    pd_kv_answer_put_number(&apply->body, lease == NULL ? 0 : lease->ttl_s);
    return PD_KV_OK;
}

static enum pd_kv_error open_session(struct pd_kv *kv, const struct pd_kv_command *command)
{
    struct pd_kv_apply *apply = &kv->apply;
    uint64_t duration_ns = command->duration_ns < kv->config.session_duration_max_ns
                               ? command->duration_ns
                               : kv->config.session_duration_max_ns;
    uint32_t window = command->window == 0 || command->window > kv->config.session_window_max
                          ? kv->config.session_window_max
                          : command->window;
    struct pd_kv_session *session =
        pd_kv_session_add(kv, apply->index, duration_ns,
                          pd_kv_time_after(apply->next.state_time_ns, duration_ns), window);
    if (session == NULL) {
        return PD_KV_ERR_SESSIONS_FULL;
    }
    pd_kv_hash_add(&apply->next.tables_hash, pd_kv_session_hash(session));
    apply->session_row = apply->index;
    apply->kind = PD_KV_ANSWER_SESSION;
    pd_kv_answer_put_number(&apply->body, (int64_t)apply->index);
    return PD_KV_OK;
}

static void close_session(struct pd_kv *kv, struct pd_kv_session *session)
{
    pd_kv_hash_subtract(&kv->apply.next.tables_hash, pd_kv_session_hash(session));
    kv->apply.session_row = session->timed.id;
    kv->apply.session_row_window = session->window;
    if (kv->apply.session == session) {
        kv->apply.session = NULL;
    }
    if (kv->apply.touched == session) {
        kv->apply.touched = NULL;
    }
    pd_kv_session_remove(kv, session);
}

static enum pd_kv_error session_command(struct pd_kv *kv, const struct pd_kv_command *command)
{
    struct pd_kv_session *session = pd_kv_session_find(kv, (uint64_t)command->id);
    uint64_t now_ns = kv->apply.next.state_time_ns;
    if (session == NULL) {
        return PD_KV_ERR_SESSION_UNKNOWN;
    }
    if (command->kind == PD_KV_SESSION_KEEPALIVE) {
        kv->apply.session_row = session->timed.id;
        pd_kv_session_renew(kv, session, now_ns);
    } else if (command->kind == PD_KV_SESSION_CLOSE ||
               pd_kv_is_due(session->timed.deadline_ns, now_ns)) {
        close_session(kv, session);
    }
    return PD_KV_OK;
}

static enum pd_kv_error compact(struct pd_kv *kv, int64_t revision)
{
    if (revision > kv->meta.revision) {
        return PD_KV_ERR_FUTURE_REVISION;
    }
    if (revision <= kv->meta.compacted) {
        return PD_KV_ERR_COMPACTED;
    }
    kv->apply.next.compacted = revision;
    kv->apply.effect = pd_hash_u64(kv->apply.effect, (uint64_t)revision);
    return PD_KV_OK;
}

/* A lease whose keys go away with it; for an expiry only if its deadline has passed. */
static enum pd_kv_error begin_revoke(struct pd_kv *kv, const struct pd_kv_command *command)
{
    struct pd_kv_apply *apply = &kv->apply;
    struct pd_kv_lease *lease = pd_kv_lease_find(kv, command->id);
    if (lease == NULL) {
        return command->kind == PD_KV_LEASE_EXPIRE ? PD_KV_OK : PD_KV_ERR_LEASE_NOT_FOUND;
    }
    if (command->kind == PD_KV_LEASE_EXPIRE &&
        !pd_kv_is_due(lease->timed.deadline_ns, apply->next.state_time_ns) &&
        !PD_MUTANT(KV_LEASE_EXPIRES_EARLY)) {
        return PD_KV_OK;
    }
    pd_kv_id_key(&apply->lease_at, 'a', (uint64_t)command->id);
    apply->phase = PD_KV_PHASE_REVOKE;
    return PD_KV_OK;
}

/* One step at a time: so every version's own rules hold for the raise to the next one. */
static enum pd_kv_error raise_version(struct pd_kv *kv, uint32_t version)
{
    struct pd_kv_meta *next = &kv->apply.next;
    if (version <= next->version) {
        return PD_KV_OK; /* another leader was quicker */
    }
    if (version != next->version + 1) {
        return PD_KV_ERR_INVALID;
    }
    if (version > kv->config.version_max) {
        kv->wanted_version = version;
        return PD_KV_OK;
    }
    next->version = version;
    pd_kv_hash_subtract(&next->tables_hash, pd_kv_version_hash(version - 1));
    pd_kv_hash_add(&next->tables_hash, pd_kv_version_hash(version));
    return PD_KV_OK;
}

static void begin_command(struct pd_kv *kv)
{
    struct pd_kv_apply *apply = &kv->apply;
    const struct pd_kv_command *command = &apply->command;
    apply->phase = PD_KV_PHASE_FINISH;
    switch (command->kind) {
    case PD_KV_NOOP:
        break;
    case PD_KV_OPS:
        apply->phase = PD_KV_PHASE_SELECT;
        break;
    case PD_KV_COMPACT:
        apply->error = compact(kv, command->revision);
        break;
    case PD_KV_LEASE_GRANT:
        apply->error = grant(kv, command);
        break;
    case PD_KV_LEASE_REVOKE:
    case PD_KV_LEASE_EXPIRE:
        apply->error = begin_revoke(kv, command);
        break;
    case PD_KV_LEASE_KEEPALIVE:
        apply->error = keep_lease(kv, command->id);
        break;
    case PD_KV_LEASES_EXTEND:
        apply->phase = PD_KV_PHASE_EXTEND;
        break;
    case PD_KV_SESSION_OPEN:
        apply->error = open_session(kv, command);
        break;
    case PD_KV_SESSION_CLOSE:
    case PD_KV_SESSION_KEEPALIVE:
    case PD_KV_SESSION_EXPIRE:
        apply->error = session_command(kv, command);
        break;
    case PD_KV_MEMBER_PUT:
        apply->error = pd_kv_members_put(kv, (uint64_t)command->id, command->bytes);
        break;
    case PD_KV_MEMBER_REMOVE:
        apply->error = pd_kv_members_remove(kv, (uint64_t)command->id);
        break;
    case PD_KV_VERSION_RAISE:
        apply->error = raise_version(kv, command->version);
        break;
    case PD_KV_MEMBER_TELL:
        apply->error =
            pd_kv_members_tell(kv, (uint64_t)command->id, command->version, command->bytes);
        break;
    }
}

/* Rows of the end, without answer and attachments. */
static uint64_t small_rows_max(const struct pd_kv_config *config)
{
    return 8 * pd_kv_overlay_entry_size(64, 256) +
           pd_kv_overlay_entry_size(16, PD_KV_MEMBER_ROW_MAX) +
           (uint64_t)config->session_window_max * pd_kv_overlay_entry_size(16, 0);
}

uint64_t pd_kv_end_bytes_max(const struct pd_kv_config *config)
{
    size_t bytes = 0;
    uint32_t count = pd_kv_attachments_max(config, &bytes);
    return 2 * pd_kv_overlay_entry_size(64, (size_t)config->answer_bytes_max + 64) + bytes +
           (uint64_t)count * pd_kv_overlay_entry_size(16, 0) + small_rows_max(config);
}

/* Room for all that is written at the end of the command. */
static bool has_room_to_end(struct pd_kv *kv)
{
    struct pd_kv_apply *apply = &kv->apply;
    uint64_t most = 2 * pd_kv_overlay_entry_size(64, apply->body.size + 64) +
                    small_rows_max(&kv->config) + apply->attachments_room;
    apply->is_blocked = pd_kv_overlay_room_left(&kv->overlay) < most;
    PD_SOMETIMES(KV_OVERLAY_FULL, apply->is_blocked);
    return !apply->is_blocked;
}

static enum pd_kv_progress begin_step(struct pd_kv *kv, uint32_t budget)
{
    struct pd_kv_apply *apply = &kv->apply;
    if (kv->meta.left_subs > 0) {
        enum pd_kv_progress progress = pd_kv_detach_step(kv, budget);
        if (progress != PD_KV_DONE) {
            return progress;
        }
        apply->next.left_subs = 0;
    }
    if (!has_room_to_end(kv)) {
        return PD_KV_FULL;
    }
    apply->position = kv->overlay.head;
    apply->phase = PD_KV_PHASE_FINISH;
    if (pd_kv_envelope_decode(apply->bytes, &apply->envelope) != PD_OK) {
        apply->envelope = (struct pd_kv_envelope){0};
        apply->error = PD_KV_ERR_MALFORMED;
        return PD_KV_MORE;
    }
    take_time(kv);
    apply->error = enter_session(kv);
    if (apply->error == PD_KV_OK && !apply->is_repeat) {
        apply->error = pd_kv_command_decode(apply->envelope.command, &kv->config.limits,
                                            &apply->room, &apply->command);
        if (pd_kv_version_of(apply->command.kind) > kv->meta.version) {
            apply->error = PD_KV_ERR_MALFORMED; /* as those say who never heard of it */
        }
        if (apply->error == PD_KV_OK) {
            begin_command(kv);
        }
    }
    return kv->wanted_version == 0 ? PD_KV_MORE : PD_KV_FAILED;
}

/* A new leader's first command: what is alive gets its whole time again, a bounded number a step.
 * One number in 'm' says so for all of them. */
static enum pd_kv_progress extend_step(struct pd_kv *kv, uint32_t budget)
{
    struct pd_kv_apply *apply = &kv->apply;
    uint64_t now_ns = apply->next.state_time_ns;
    for (; budget > 0; budget--) {
        uint32_t at = apply->extend_at;
        if (at < kv->lease_count) {
            if (!PD_MUTANT(KV_LEASES_NOT_EXTENDED)) {
                pd_kv_lease_renew(kv, kv->lease_free[at], now_ns);
            }
        } else if (at - kv->lease_count < kv->session_count) {
            pd_kv_session_renew(kv, kv->session_free[at - kv->lease_count], now_ns);
        } else {
            apply->next.extended_ns = now_ns;
            apply->effect = pd_hash_u64(apply->effect, now_ns);
            apply->phase = PD_KV_PHASE_FINISH;
            return PD_KV_MORE;
        }
        apply->extend_at++;
    }
    return PD_KV_MORE;
}

/* -- The end ----------------------------------------------------------------------------------- */

static struct pd_span compose_answer(struct pd_kv *kv)
{
    struct pd_kv_apply *apply = &kv->apply;
    if (apply->error != PD_KV_OK) {
        apply->kind = PD_KV_ANSWER_NONE;
        apply->body.size = 0;
        apply->body.is_full = false;
    }
    uint8_t room[ANSWER_HEAD];
    struct pd_kv_writer head = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_answer_put_head(&head, &(struct pd_kv_answer_head){.error = apply->error,
                                                             .revision = apply->next.revision,
                                                             .kind = apply->kind});
    apply->answer_begin = ANSWER_HEAD - head.size;
    memcpy(apply->answer + apply->answer_begin, room, head.size);
    return pd_kv_span(apply->answer + apply->answer_begin, head.size + apply->body.size);
}

static void store_answer(struct pd_kv *kv, struct pd_span answer)
{
    struct pd_kv_apply *apply = &kv->apply;
    struct pd_kv_session *session = apply->session;
    uint64_t sequence = apply->envelope.sequence;
    if (PD_MUTANT(KV_ANSWER_LOST)) {
        return;
    }
    pd_kv_session_store(kv, session, sequence, answer);
    uint8_t room[3 * PD_VARINT_SIZE_MAX];
    struct pd_kv_writer head = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_write_u64(&head, sequence);
    pd_kv_write_u64(&head, session->low);
    pd_kv_write_u64(&head, session->timed.deadline_ns);
    slot_key(kv, session->timed.id, (uint32_t)(sequence % session->window));
    pd_kv_write_row(kv, PD_KV_ENTRY_PUT, pd_kv_place_span(&kv->scratch_key),
                    pd_kv_span(room, head.size), answer, PD_KV_ROW_JOINED);
}

/* The command's records become what the cache shows; only now, when the command is whole. Those
 * that are too many were dropped from it when they were written. */
static void publish(struct pd_kv *kv)
{
    uint64_t at = pd_kv_overlay_from(&kv->overlay, kv->apply.position);
    uint32_t left = kv->apply.sub < PD_KV_PUBLISHED_MAX ? kv->apply.sub : PD_KV_PUBLISHED_MAX;
    if (kv->apply.sub > 1) {
        pd_kv_cache_together_begin(&kv->cache);
    }
    while (left > 0 && at < kv->overlay.head) {
        const struct pd_kv_entry *entry = pd_kv_overlay_at(&kv->overlay, at);
        struct pd_span key = pd_kv_entry_key(entry);
        struct pd_kv_row row;
        if (entry->kind == PD_KV_ENTRY_PUT && key.bytes[0] == 'x' &&
            pd_kv_x_parse(key, pd_kv_entry_value(entry), &kv->scratch_user, &row)) {
            if (row.found.sub >= PD_KV_PUBLISHED_MAX) {
                break;
            }
            if (kv->apply.is_rewritten) {
                pd_kv_cache_drop(&kv->cache, row.found.record.key);
            } else {
                pd_kv_cache_put(&kv->cache, row.found.record.key, &row.found);
            }
            left--;
        }
        at = pd_kv_overlay_after(&kv->overlay, at);
    }
    if (kv->apply.sub > 1) {
        pd_kv_cache_together_end(&kv->cache);
    }
}

/* Everything that is joined to the 'm' row, and that row. */
static void write_end(struct pd_kv *kv)
{
    struct pd_kv_apply *apply = &kv->apply;
    pd_kv_write_attachments(kv);
    if (apply->lease_row != 0) {
        write_lease_row(kv, apply->lease_row);
    }
    if (apply->session_row != 0) {
        write_session_row(kv, apply->session_row, apply->session_row_window);
    }
    if (apply->member_row != 0) {
        write_member_row(kv, apply->member_row);
    }
    if (apply->member_row_gone != 0) {
        write_member_row(kv, apply->member_row_gone);
    }
    if (apply->next.version != kv->meta.version) {
        write_version_row(kv);
    }
    if (apply->session != NULL && !apply->is_repeat) {
        store_answer(kv, apply->answer_span);
    } else if (apply->touched != NULL) {
        write_session_row(kv, apply->touched->timed.id, 0);
    }
    uint64_t fold = pd_hash_u64(pd_hash_u64(kv->meta.fold, apply->index), apply->effect);
    fold = pd_hash_u64(fold, apply->next.state_time_ns);
    apply->next.fold = pd_hash_bytes(fold, apply->answer_span.bytes, apply->answer_span.size);
    apply->next.left_subs = apply->left_many && !PD_MUTANT(KV_TORN_ATTACHMENTS) ? apply->sub : 0;
    bool is_compaction = apply->next.compacted > kv->meta.compacted;
    kv->meta = apply->next;
    pd_kv_write_meta(kv);
    publish(kv);
    kv->finished = kv->overlay.head;
    if (is_compaction) {
        kv->sweep.ready = kv->overlay.head;
    }
    if (apply->sub > 0) {
        kv->may_be_torn = false;
    }
    pd_kv_detach_begin(kv);
}

static enum pd_kv_progress finish_step(struct pd_kv *kv)
{
    struct pd_kv_apply *apply = &kv->apply;
    if (!has_room_to_end(kv)) {
        return PD_KV_FULL;
    }
    if (apply->sub > 0) {
        apply->next.revision = kv->meta.revision + 1;
    }
    if (apply->is_repeat) {
        const struct pd_kv_stored *stored =
            &apply->session->stored[apply->envelope.sequence % apply->session->window];
        memcpy(apply->answer, stored->bytes, stored->size);
        apply->answer_span = pd_kv_span(apply->answer, stored->size);
    } else {
        apply->answer_span = compose_answer(kv);
    }
    write_end(kv);
    apply->phase = PD_KV_PHASE_IDLE;
    return PD_KV_DONE;
}

enum pd_kv_progress pd_kv_apply_step(struct pd_kv *kv, uint32_t budget)
{
    struct pd_kv_apply *apply = &kv->apply;
    budget = budget == 0 ? 1 : budget;
    enum pd_kv_progress progress = kv->wanted_version == 0 ? PD_KV_MORE : PD_KV_FAILED;
    /* Every phase spends of the budget; a few changes of phase are free. */
    for (uint32_t turns = 0; turns < 8 && progress == PD_KV_MORE; turns++) {
        if (apply->is_fetching) {
            return PD_KV_FETCH;
        }
        switch (apply->phase) {
        case PD_KV_PHASE_IDLE:
            return PD_KV_DONE;
        case PD_KV_PHASE_BEGIN:
            progress = begin_step(kv, budget);
            break;
        case PD_KV_PHASE_SELECT:
        case PD_KV_PHASE_CHECK:
        case PD_KV_PHASE_RUN:
            progress = pd_kv_run_ops(kv, budget);
            break;
        case PD_KV_PHASE_REVOKE:
            progress = pd_kv_revoke_step(kv, budget);
            break;
        case PD_KV_PHASE_EXTEND:
            progress = extend_step(kv, budget);
            break;
        case PD_KV_PHASE_UNDO:
            progress = pd_kv_undo_step(kv, budget);
            break;
        case PD_KV_PHASE_DRAIN:
            progress = pd_kv_drain_step(kv);
            break;
        case PD_KV_PHASE_FINISH:
            progress = finish_step(kv);
            break;
        }
    }
    return progress;
}

/* Entries without a command: the applied index moves, and nothing else. */
static enum pd_status apply_plain(struct pd_kv *kv, uint64_t index, uint64_t term)
{
    pd_assert(kv->apply.phase == PD_KV_PHASE_IDLE);
    pd_assert(index == kv->meta.index + 1);
    kv->apply.body.size = 0;
    kv->apply.attachments_room = 0;
    if (!has_room_to_end(kv) || pd_kv_overlay_room_left(&kv->overlay) <
                                    2 * pd_kv_overlay_entry_size(64, PD_KV_CONF_MAX) + 4096) {
        return PD_ERR_FULL;
    }
    kv->meta.index = index;
    kv->meta.term = term;
    kv->apply.event_count = 0;
    kv->apply.sub = 0;
    return PD_OK;
}

enum pd_status pd_kv_apply_empty(struct pd_kv *kv, uint64_t index, uint64_t term)
{
    enum pd_status status = apply_plain(kv, index, term);
    if (status == PD_OK) {
        pd_kv_write_meta(kv);
        kv->finished = kv->overlay.head;
    }
    return status;
}

enum pd_status pd_kv_apply_conf(struct pd_kv *kv, uint64_t index, uint64_t term,
                                struct pd_span conf)
{
    pd_assert(conf.size <= PD_KV_CONF_MAX);
    enum pd_status status = apply_plain(kv, index, term);
    if (status == PD_OK) {
        memcpy(kv->conf, conf.bytes, conf.size);
        kv->conf_size = conf.size;
        pd_kv_write_row(kv, PD_KV_ENTRY_PUT, pd_kv_span("r", 1), pd_kv_span(NULL, 0), conf,
                        PD_KV_ROW_JOINED);
        pd_kv_write_meta(kv);
        kv->finished = kv->overlay.head;
    }
    return status;
}

void pd_kv_applied(const struct pd_kv *kv, struct pd_kv_applied *applied_out)
{
    const struct pd_kv_apply *apply = &kv->apply;
    *applied_out = (struct pd_kv_applied){
        .index = apply->index,
        .session_id = apply->envelope.session_id,
        .sequence = apply->envelope.sequence,
        .is_repeat = apply->is_repeat,
        .answer = apply->answer_span,
    };
}

void pd_kv_take_events(struct pd_kv *kv, struct pd_kv_events *events_out)
{
    struct pd_kv_apply *apply = &kv->apply;
    *events_out = (struct pd_kv_events){0};
    if (apply->phase == PD_KV_PHASE_IDLE && apply->sub > 0 && !apply->events_taken) {
        apply->events_taken = true;
        *events_out = (struct pd_kv_events){
            .revision = kv->meta.revision,
            .events = apply->events,
            .count = apply->event_count,
            .is_cut = apply->events_cut,
        };
    }
}
