/* pando::kv - the store, for guests: base/kv_port.h as host functions.
 *
 *   get(key, size, value, room, record) · get_local: the same, of what this node has applied
 *   put(key, size, value, size, lease, flags, revision) · delete(key, size, end, size, flags, out)
 *   range(key, size, end, size, limit, revision, flags, out) · txn(bytes, size, out)
 *   answer_left() · answer_read(to, size): the bytes behind `out`, once
 *   lease_grant(ttl, id, out) · lease_revoke(id) · lease_keepalive(id, out)
 *   set_timeout(ms) · last_error() -> error id · config_allow(config, prefix, size)
 *
 * Those that ask the store answer a code (enum pd_kv_code), and write their `out` with OK alone.
 * Watches are in pando_kv_watch.c.
 *
 * get tries on the fiber, without a lock: on a leader that holds a lease a key in memory costs no
 * suspension. All else suspends first. */
#include "wasm/pando_kv.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "wasm/abi_tables.h"
#include "wasm/error_text.h"

#define MODULE "pando::kv"
#define TIMEOUT_MS 10000u
#define HOT_ROOM_SIZE (32u << 10) /* records of up to half of it are read without a wait */
#define GET_OUT_SIZE 40u
#define RANGE_OUT_SIZE 24u
#define TWO_NUMBERS_SIZE 16u
#define NS_PER_S UINT64_C(1000000000)
#define LEASE_S_MAX UINT64_C(9000000000) /* as the store has it; wasm may not look there */
#define LEASE_SLACK_S 60u

/* --- State ------------------------------------------------------------------------------------ */

struct pd_kv_state *pd_kv_state_of(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    if (self->kv == NULL) {
        self->kv = pd_alloc_zeroed(1, sizeof *self->kv);
        if (self->kv == NULL) {
            (void)pd_call_trap(call, MODULE ": no memory");
            return NULL;
        }
        self->kv->timeout_ms = TIMEOUT_MS;
    }
    return self->kv;
}

static void drop_answer(struct pd_kv_state *kv)
{
    pd_free(kv->answer);
    kv->answer = NULL;
    kv->answer_size = 0;
    kv->answer_at = 0;
}

static void end_call(struct pd_wasm_process *self)
{
    struct pd_kv_state *kv = self->kv;
    if (kv->call != NULL) {
        self->system->kv->ops->release(kv->call);
        kv->call = NULL;
    }
}

void pd_kv_state_destroy(struct pd_wasm_process *self)
{
    struct pd_kv_state *kv = self->kv;
    if (kv != NULL) {
        end_call(self);
        pd_kv_watches_end(self);
        drop_answer(kv);
        pd_free(kv);
        self->kv = NULL;
    }
}

enum pd_call_result pd_kv_fail(struct pd_call *call, enum pd_kv_code code, const char *text)
{
    struct pd_kv_state *kv = pd_call_process(call)->kv;
    size_t size = strnlen(text, sizeof kv->text - 1);
    memmove(kv->text, text, size);
    kv->text[size] = '\0';
    return pd_call_done(call, (uint32_t)code);
}

/* -- Leases of its own ------------------------------------------------------------------------- */

/* Where the process's own lease stands; PD_KV_LEASES_MAX: it is not its own. */
static uint32_t lease_at(const struct pd_kv_state *kv, int64_t id)
{
    for (uint32_t i = 0; kv != NULL && i < kv->lease_count; i++) {
        if (kv->leases[i].id == id) {
            return i;
        }
    }
    return PD_KV_LEASES_MAX;
}

static void forget_lease(struct pd_kv_state *kv, int64_t id)
{
    uint32_t at = lease_at(kv, id);
    if (at < PD_KV_LEASES_MAX) {
        kv->leases[at] = kv->leases[--kv->lease_count];
    }
}

static uint64_t now_ns(struct pd_call *call)
{
    return pd_host_now_ns(pd_guest_host(call->guest));
}

/* Two numbers that came with OK: the lease, and its seconds. A new leader begins them anew once. */
static void note_lease(struct pd_call *call, const uint8_t *bytes)
{
    struct pd_kv_state *kv = pd_call_process(call)->kv;
    int64_t id = (int64_t)pd_get_u64(bytes);
    uint64_t ttl_s = pd_get_u64(bytes + 8);
    uint32_t at = lease_at(kv, id);
    if (at == PD_KV_LEASES_MAX && kv->lease_count < PD_KV_LEASES_MAX) {
        at = kv->lease_count++;
    }
    if (at < PD_KV_LEASES_MAX) {
        ttl_s = ttl_s < LEASE_S_MAX ? ttl_s : LEASE_S_MAX;
        kv->leases[at] = (struct pd_kv_own_lease){
            .id = id, .end_ns = now_ns(call) + (2 * ttl_s + LEASE_SLACK_S) * NS_PER_S};
    }
}

/* Those that ended by themselves. */
static void forget_ended(struct pd_call *call, struct pd_kv_state *kv)
{
    uint64_t now = now_ns(call);
    for (uint32_t i = kv->lease_count; i > 0; i--) {
        if (kv->leases[i - 1].end_ns <= now) {
            kv->leases[i - 1] = kv->leases[--kv->lease_count];
        }
    }
}

/* --- Asking ----------------------------------------------------------------------------------- */

/* Why this process cannot ask at all: OK, or the code; *text_out is static. */
static enum pd_kv_code may_ask(const struct pd_wasm_process *self, const char **text_out)
{
    if (self->system->kv == NULL) {
        *text_out = "this run has no store: start it beside a node (pando run --node DIR)";
        return PD_KV_CODE_UNAVAILABLE;
    }
    if (!self->rights->can_kv) {
        *text_out = "permission denied: this process may not use the store (--allow-kv PREFIX)";
        return PD_KV_CODE_DENIED;
    }
    return PD_KV_CODE_OK;
}

/* A killed guest's ticket is released with the state of its process. */
static enum pd_call_result resume(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_kv_state *kv = self->kv;
    const struct pd_kv_port_ops *ops = self->system->kv->ops;
    uint64_t wake_at_ns = PD_TIME_NEVER;
    if (!ops->step(kv->call, pd_host_now_ns(pd_guest_host(call->guest)), &wake_at_ns)) {
        if (wake_at_ns != kv->wake_at_ns) {
            kv->wake_at_ns = wake_at_ns;
            pd_call_wake_at(call, wake_at_ns);
        }
        call->resume = resume;
        call->needs_stack = true;
        return PD_CALL_WAIT;
    }
    struct pd_kv_result result;
    ops->result(kv->call, &result);
    if (result.code == PD_KV_CODE_ABSENT && kv->asked_lease != 0) {
        forget_lease(kv, kv->asked_lease);
    }
    enum pd_call_result done = result.code == PD_KV_CODE_OK
                                   ? kv->finish(call, &result)
                                   : pd_kv_fail(call, result.code, result.text);
    end_call(self);
    return done;
}

enum pd_call_result pd_kv_ask(struct pd_call *call, struct pd_kv_ask *ask,
                              enum pd_call_result (*finish)(struct pd_call *call,
                                                            const struct pd_kv_result *result))
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_kv_state *kv = pd_kv_state_of(call);
    const char *why = "";
    if (kv == NULL) {
        return PD_CALL_TRAP;
    }
    drop_answer(kv);
    enum pd_kv_code code = may_ask(self, &why);
    if (code != PD_KV_CODE_OK) {
        return pd_kv_fail(call, code, why);
    }
    end_call(self); /* of guest code that was cut off by a caught trap */
    char text[PD_KV_PORT_TEXT_MAX];
    ask->prefix =
        (struct pd_span){(const uint8_t *)self->rights->kv_prefix, self->rights->kv_prefix_size};
    ask->deadline_ns = pd_call_deadline_ns(call, kv->timeout_ms);
    ask->process = self->process;
    code = self->system->kv->ops->begin(self->system->kv, ask, &kv->call, text);
    if (code != PD_KV_CODE_OK) {
        kv->call = NULL;
        return pd_kv_fail(call, code, text);
    }
    kv->finish = finish;
    kv->asked_lease = ask->kind == PD_KV_ASK_LEASE_REVOKE ? ask->lease : 0;
    kv->wake_at_ns = PD_TIME_NEVER;
    return resume(call);
}

bool pd_kv_span(struct pd_call *call, unsigned argument, const char *what, struct pd_span *span_out)
{
    uint32_t size = pd_call_u32(call, argument + 1);
    const uint8_t *bytes = pd_call_bytes(call, pd_call_u32(call, argument), size, what);
    *span_out = (struct pd_span){bytes, size};
    return bytes != NULL;
}

/* Room for a result, looked at before anything is asked: a mistake costs nothing then. */
static bool has_room(struct pd_call *call, unsigned argument, uint32_t size)
{
    return pd_call_bytes(call, pd_call_u32(call, argument), size, "result pointer") != NULL;
}

/* The same when the answer is there; the memory may have moved. NULL after a trap. */
static uint8_t *room_of(struct pd_call *call, unsigned argument, uint32_t size)
{
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, argument), size);
    if (to == NULL) {
        (void)pd_call_trap_bounds(call, "result pointer");
    }
    return to;
}

/* Keep what lies behind the first `skip` bytes for answer_read. */
static void keep_answer(struct pd_call *call, const struct pd_kv_result *result, size_t skip)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_kv_state *kv = self->kv;
    kv->answer_size = result->bytes.size;
    kv->answer_at = skip;
    kv->answer = self->system->kv->ops->take(kv->call);
}

static bool is_short(const struct pd_kv_result *result, size_t size)
{
    return result->bytes.size < size;
}

static enum pd_call_result unreadable(struct pd_call *call)
{
    return pd_kv_fail(call, PD_KV_CODE_UNKNOWN, "the store's answer cannot be read");
}

/* --- get -------------------------------------------------------------------------------------- */

enum {
    GET_KEY,
    GET_KEY_SIZE,
    GET_VALUE,
    GET_ROOM,
    GET_OUT
};

/* `bytes` is a record. */
static enum pd_call_result give_record(struct pd_call *call, struct pd_span bytes)
{
    uint32_t key_size = pd_get_u32(bytes.bytes);
    uint32_t value_size = pd_get_u32(bytes.bytes + 4);
    uint32_t room = pd_call_u32(call, GET_ROOM);
    uint32_t count = value_size < room ? value_size : room;
    uint8_t *value = room_of(call, GET_VALUE, count);
    uint8_t *out = room_of(call, GET_OUT, GET_OUT_SIZE);
    if (value == NULL || out == NULL) {
        return PD_CALL_TRAP;
    }
    if (count > 0) {
        memcpy(value, bytes.bytes + PD_KV_PORT_RECORD_SIZE + key_size, count);
    }
    pd_put_u32(out, value_size);
    pd_put_u32(out + 4, 0);
    memcpy(out + 8, bytes.bytes + 8, GET_OUT_SIZE - 8);
    return pd_call_done(call, PD_KV_CODE_OK);
}

static enum pd_call_result get_finish(struct pd_call *call, const struct pd_kv_result *result)
{
    if (is_short(result, PD_KV_PORT_RECORD_SIZE)) {
        return unreadable(call);
    }
    return give_record(call, result->bytes);
}

static enum pd_call_result ask_get(struct pd_call *call, uint32_t flags)
{
    struct pd_kv_ask ask = {.kind = PD_KV_ASK_GET, .flags = flags};
    if (!pd_kv_span(call, GET_KEY, "key", &ask.key)) {
        return PD_CALL_TRAP;
    }
    return pd_kv_ask(call, &ask, get_finish);
}

static enum pd_call_result get_slowly(struct pd_call *call)
{
    return ask_get(call, 0);
}

static enum pd_call_result get_local_slowly(struct pd_call *call)
{
    return ask_get(call, PD_KV_ASK_LOCAL);
}

static enum pd_call_result get_with(struct pd_call *call,
                                    enum pd_call_result (*slowly)(struct pd_call *call))
{
    static _Thread_local uint8_t room[HOT_ROOM_SIZE];
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_span key;
    size_t size = 0;
    if (!pd_kv_span(call, GET_KEY, "key", &key) || !has_room(call, GET_OUT, GET_OUT_SIZE) ||
        !has_room(call, GET_VALUE, pd_call_u32(call, GET_ROOM))) {
        return PD_CALL_TRAP;
    }
    const struct pd_span prefix = {(const uint8_t *)self->rights->kv_prefix,
                                   self->rights->kv_prefix_size};
    if (self->system->kv != NULL && self->rights->can_kv && key.size > 0 &&
        pd_kv_port_covers(prefix, key, (struct pd_span){NULL, 0})) {
        struct pd_kv_port *port = self->system->kv;
        enum pd_status status = port->ops->get_now(port, key, room, sizeof room, &size);
        if (status == PD_OK) {
            return give_record(call, (struct pd_span){room, size});
        }
        if (status == PD_ERR_UNKNOWN) {
            return pd_call_done(call, PD_KV_CODE_ABSENT);
        }
    }
    call->resume = slowly;
    call->needs_stack = true;
    pd_process_wake(self->process); /* at once, only off the fiber */
    return PD_CALL_WAIT;
}

static enum pd_call_result get(struct pd_call *call)
{
    return get_with(call, get_slowly);
}

static enum pd_call_result get_local(struct pd_call *call)
{
    return get_with(call, get_local_slowly);
}

/* --- put, delete ------------------------------------------------------------------------------ */

static bool take_flags(struct pd_call *call, unsigned argument, uint32_t allowed,
                       uint32_t *flags_out)
{
    *flags_out = pd_call_u32(call, argument);
    if ((*flags_out & ~allowed) != 0) {
        (void)pd_call_trap(call, MODULE ": flags 0x%x: only 0x%x are known here",
                           (unsigned)*flags_out, (unsigned)allowed);
        return false;
    }
    return true;
}

/* The answer of what changed or read a range: its revision, the head of the result's bytes in
 * `size` bytes at `argument`; the rest of them is kept as the answer at hand. */
static enum pd_call_result give_revision(struct pd_call *call, const struct pd_kv_result *result,
                                         unsigned argument, uint32_t size)
{
    uint8_t *out = room_of(call, argument, size);
    if (out == NULL) {
        return PD_CALL_TRAP;
    }
    if (is_short(result, size - 8)) {
        return unreadable(call);
    }
    pd_put_u64(out, (uint64_t)result->revision);
    if (size > 8) {
        memcpy(out + 8, result->bytes.bytes, size - 8);
    }
    keep_answer(call, result, size - 8);
    return pd_call_done(call, PD_KV_CODE_OK);
}

static enum pd_call_result put_finish(struct pd_call *call, const struct pd_kv_result *result)
{
    return give_revision(call, result, 6, 8);
}

static enum pd_call_result put(struct pd_call *call)
{
    struct pd_kv_ask ask = {.kind = PD_KV_ASK_PUT, .lease = (int64_t)call->arguments[4]};
    if (!pd_kv_span(call, 0, "key", &ask.key) || !pd_kv_span(call, 2, "value", &ask.value) ||
        !take_flags(call, 5, PD_KV_ASK_PREVIOUS, &ask.flags) || !has_room(call, 6, 8)) {
        return PD_CALL_TRAP;
    }
    return pd_kv_ask(call, &ask, put_finish);
}

static enum pd_call_result delete_finish(struct pd_call *call, const struct pd_kv_result *result)
{
    return give_revision(call, result, 5, TWO_NUMBERS_SIZE);
}

static enum pd_call_result delete_range(struct pd_call *call)
{
    struct pd_kv_ask ask = {.kind = PD_KV_ASK_DELETE};
    if (!pd_kv_span(call, 0, "key", &ask.key) || !pd_kv_span(call, 2, "range end", &ask.end) ||
        !take_flags(call, 4, PD_KV_ASK_PREVIOUS, &ask.flags) ||
        !has_room(call, 5, TWO_NUMBERS_SIZE)) {
        return PD_CALL_TRAP;
    }
    return pd_kv_ask(call, &ask, delete_finish);
}

/* --- range, txn ------------------------------------------------------------------------------- */

static enum pd_call_result range_finish(struct pd_call *call, const struct pd_kv_result *result)
{
    return give_revision(call, result, 7, RANGE_OUT_SIZE);
}

static enum pd_call_result range(struct pd_call *call)
{
    struct pd_kv_ask ask = {.kind = PD_KV_ASK_RANGE,
                            .limit = (int64_t)call->arguments[4],
                            .revision = (int64_t)call->arguments[5]};
    const uint32_t flags =
        PD_KV_ASK_LOCAL | PD_KV_ASK_KEYS_ONLY | PD_KV_ASK_COUNT_ONLY | PD_KV_ASK_DESCEND;
    if (!pd_kv_span(call, 0, "key", &ask.key) || !pd_kv_span(call, 2, "range end", &ask.end) ||
        !take_flags(call, 6, flags, &ask.flags) || !has_room(call, 7, RANGE_OUT_SIZE)) {
        return PD_CALL_TRAP;
    }
    return pd_kv_ask(call, &ask, range_finish);
}

static enum pd_call_result txn_finish(struct pd_call *call, const struct pd_kv_result *result)
{
    return give_revision(call, result, 2, TWO_NUMBERS_SIZE);
}

static enum pd_call_result txn(struct pd_call *call)
{
    struct pd_kv_ask ask = {.kind = PD_KV_ASK_TXN};
    if (!pd_kv_span(call, 0, "transaction", &ask.key) || !has_room(call, 2, TWO_NUMBERS_SIZE)) {
        return PD_CALL_TRAP;
    }
    return pd_kv_ask(call, &ask, txn_finish);
}

/* --- Answers ---------------------------------------------------------------------------------- */

static enum pd_call_result answer_left(struct pd_call *call)
{
    const struct pd_kv_state *kv = pd_call_process(call)->kv;
    return pd_call_done(call, kv == NULL ? 0 : (uint32_t)(kv->answer_size - kv->answer_at));
}

static enum pd_call_result answer_read(struct pd_call *call)
{
    struct pd_kv_state *kv = pd_call_process(call)->kv;
    size_t left = kv == NULL ? 0 : kv->answer_size - kv->answer_at;
    uint32_t size = pd_call_u32(call, 1);
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, 0), size);
    if (to == NULL) {
        return pd_call_trap_bounds(call, "answer");
    }
    uint32_t count = size < left ? size : (uint32_t)left;
    if (count > 0) {
        memcpy(to, kv->answer + kv->answer_at, count);
        kv->answer_at += count;
    }
    return pd_call_done(call, count);
}

/* --- Leases ----------------------------------------------------------------------------------- */

static enum pd_call_result lease_finish(struct pd_call *call, const struct pd_kv_result *result,
                                        unsigned argument)
{
    uint8_t *out = room_of(call, argument, TWO_NUMBERS_SIZE);
    if (out == NULL) {
        return PD_CALL_TRAP;
    }
    if (is_short(result, TWO_NUMBERS_SIZE)) {
        return unreadable(call);
    }
    if ((int64_t)pd_get_u64(result->bytes.bytes + 8) <= 0) { /* none was left to keep */
        forget_lease(pd_call_process(call)->kv, (int64_t)pd_get_u64(result->bytes.bytes));
        return pd_kv_fail(call, PD_KV_CODE_ABSENT, "there is no such lease");
    }
    memcpy(out, result->bytes.bytes, TWO_NUMBERS_SIZE);
    return pd_call_done(call, PD_KV_CODE_OK);
}

static enum pd_call_result grant_finish(struct pd_call *call, const struct pd_kv_result *result)
{
    if (!is_short(result, TWO_NUMBERS_SIZE)) {
        note_lease(call, result->bytes.bytes);
    }
    return lease_finish(call, result, 2);
}

static enum pd_call_result lease_grant(struct pd_call *call)
{
    struct pd_kv_ask ask = {.kind = PD_KV_ASK_LEASE_GRANT,
                            .limit = (int64_t)call->arguments[0],
                            .lease = (int64_t)call->arguments[1]};
    struct pd_kv_state *kv = pd_kv_state_of(call);
    if (kv == NULL || !has_room(call, 2, TWO_NUMBERS_SIZE)) {
        return PD_CALL_TRAP;
    }
    if (kv->lease_count == PD_KV_LEASES_MAX) {
        forget_ended(call, kv);
    }
    if (kv->lease_count == PD_KV_LEASES_MAX) {
        return pd_kv_fail(call, PD_KV_CODE_FULL,
                          "this process holds as many leases as it may: revoke some");
    }
    return pd_kv_ask(call, &ask, grant_finish);
}

/* Leases of others belong to keys that this process may not be allowed to touch. */
static bool may_touch(struct pd_call *call, int64_t id)
{
    const struct pd_wasm_process *self = pd_call_process(call);
    return self->rights->kv_prefix_size == 0 || lease_at(self->kv, id) < PD_KV_LEASES_MAX;
}

static enum pd_call_result ask_lease(struct pd_call *call, enum pd_kv_ask_kind kind,
                                     enum pd_call_result (*finish)(struct pd_call *call,
                                                                   const struct pd_kv_result *))
{
    struct pd_kv_ask ask = {.kind = kind, .lease = (int64_t)call->arguments[0]};
    if (pd_kv_state_of(call) == NULL) {
        return PD_CALL_TRAP;
    }
    if (!may_touch(call, ask.lease)) {
        return pd_kv_fail(call, PD_KV_CODE_DENIED,
                          "permission denied: the lease is not this process's own");
    }
    return pd_kv_ask(call, &ask, finish);
}

static enum pd_call_result revoke_finish(struct pd_call *call, const struct pd_kv_result *result)
{
    (void)result;
    forget_lease(pd_call_process(call)->kv, (int64_t)call->arguments[0]);
    return pd_call_done(call, PD_KV_CODE_OK);
}

static enum pd_call_result lease_revoke(struct pd_call *call)
{
    return ask_lease(call, PD_KV_ASK_LEASE_REVOKE, revoke_finish);
}

static enum pd_call_result keepalive_finish(struct pd_call *call, const struct pd_kv_result *result)
{
    struct pd_kv_state *kv = pd_call_process(call)->kv;
    bool is_own = lease_at(kv, (int64_t)call->arguments[0]) < PD_KV_LEASES_MAX;
    if (is_own && !is_short(result, TWO_NUMBERS_SIZE)) {
        note_lease(call, result->bytes.bytes);
    }
    return lease_finish(call, result, 1);
}

static enum pd_call_result lease_keepalive(struct pd_call *call)
{
    return has_room(call, 1, TWO_NUMBERS_SIZE)
               ? ask_lease(call, PD_KV_ASK_LEASE_KEEPALIVE, keepalive_finish)
               : PD_CALL_TRAP;
}

/* --- The rest --------------------------------------------------------------------------------- */

static enum pd_call_result set_timeout(struct pd_call *call)
{
    struct pd_kv_state *kv = pd_kv_state_of(call);
    if (kv == NULL) {
        return PD_CALL_TRAP;
    }
    kv->timeout_ms = call->arguments[0];
    return PD_CALL_DONE;
}

static enum pd_call_result last_error(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    const char *text =
        self->kv == NULL || self->kv->text[0] == '\0' ? "nothing has failed" : self->kv->text;
    enum pd_status status =
        pd_error_texts_add(&self->errors, self->system->budget, text, strlen(text), &call->result);
    return status == PD_OK ? PD_CALL_DONE
                           : pd_call_trap(call,
                                          MODULE "::last_error: %s: drop errors that were "
                                                 "read (lunatic::error::drop)",
                                          pd_status_text(status));
}

static enum pd_call_result config_allow(struct pd_call *call)
{
    const struct pd_rights *own = pd_call_process(call)->rights;
    struct pd_rights *rights = pd_call_config_for_change(call);
    struct pd_span prefix;
    if (rights == NULL || !pd_kv_span(call, 1, "prefix", &prefix)) {
        return PD_CALL_TRAP;
    }
    if (prefix.size > PD_KV_PREFIX_MAX) {
        return pd_call_trap(call,
                            MODULE "::config_allow: a prefix of %zu bytes, where %u are allowed",
                            prefix.size, PD_KV_PREFIX_MAX);
    }
    const struct pd_span own_prefix = {(const uint8_t *)own->kv_prefix, own->kv_prefix_size};
    if (!own->can_kv || !pd_kv_port_covers(own_prefix, prefix, (struct pd_span){NULL, 0})) {
        return pd_call_trap_right(call, "a child's keys in the store beyond its parent's");
    }
    if (pd_rights_allow_kv(rights, (const char *)prefix.bytes, (uint32_t)prefix.size) != PD_OK) {
        return pd_call_trap(call, "no memory for a configuration");
    }
    return PD_CALL_DONE;
}

const struct pd_import pd_pando_kv_imports[] = {
    {MODULE, "get", "iiiii->i", PD_CALL_ASYNC, get},
    {MODULE, "get_local", "iiiii->i", PD_CALL_ASYNC, get_local},
    {MODULE, "put", "iiiiIii->i", PD_CALL_DEFERRED, put},
    {MODULE, "delete", "iiiiii->i", PD_CALL_DEFERRED, delete_range},
    {MODULE, "range", "iiiiIIii->i", PD_CALL_DEFERRED, range},
    {MODULE, "txn", "iii->i", PD_CALL_DEFERRED, txn},
    {MODULE, "answer_left", "->i", PD_CALL_SYNC, answer_left},
    {MODULE, "answer_read", "ii->i", PD_CALL_SYNC, answer_read},
    {MODULE, "lease_grant", "IIi->i", PD_CALL_DEFERRED, lease_grant},
    {MODULE, "lease_revoke", "I->i", PD_CALL_DEFERRED, lease_revoke},
    {MODULE, "lease_keepalive", "Ii->i", PD_CALL_DEFERRED, lease_keepalive},
    {MODULE, "set_timeout", "I->", PD_CALL_DEFERRED, set_timeout},
    {MODULE, "last_error", "->I", PD_CALL_DEFERRED, last_error},
    {MODULE, "config_allow", "Iii->", PD_CALL_DEFERRED, config_allow},
};
const size_t pd_pando_kv_import_count = sizeof pd_pando_kv_imports / sizeof pd_pando_kv_imports[0];
