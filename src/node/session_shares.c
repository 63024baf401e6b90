#include "node/session_shares.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "kv/answer.h"
#include "kv/codec.h"
#include "node/replica_request.h"

#define SECOND_NS UINT64_C(1000000000)
#define KEPT_NS (PD_SESSION_NS + 10 * SECOND_NS) /* the store's time may be a little behind */
#define MUCH_BYTES (UINT64_C(256) << 10)         /* as much as a session may keep, and go on */
#define SOME_BYTES (UINT64_C(4) << 10)

static struct pd_session_share *share_of(struct pd_list *link)
{
    return pd_container_of(link, struct pd_session_share, list);
}

void pd_session_shares_init(struct pd_session_shares *shares)
{
    *shares = (struct pd_session_shares){0};
    pd_list_init(&shares->list);
}

static void drop(struct pd_session_shares *shares, struct pd_session_share *share)
{
    pd_list_remove(&share->list);
    shares->orphan_count -= share->is_orphan ? 1 : 0;
    pd_free(share);
}

void pd_session_shares_deinit(struct pd_session_shares *shares)
{
    while (!pd_list_is_empty(&shares->list)) {
        drop(shares, share_of(pd_list_first(&shares->list)));
    }
}

/* -- Of one client ----------------------------------------------------------------------------- */

static void forget_at(struct pd_session_share *share, uint32_t at)
{
    share->sessions[at] = share->sessions[--share->count];
}

static void forget_ended(struct pd_session_share *share, uint64_t now_ns)
{
    for (uint32_t i = share->count; i-- > 0;) {
        if (now_ns - share->sessions[i].used_ns > KEPT_NS) {
            forget_at(share, i);
        }
    }
}

static void end(struct pd_session_share *share, uint64_t id);

/* Whoever asked in it before is gone: it came again. */
static void take_from_orphans(struct pd_session_shares *shares, uint64_t id)
{
    for (struct pd_list *at = shares->list.next; at != &shares->list; at = at->next) {
        if (share_of(at)->is_orphan) {
            end(share_of(at), id);
        }
    }
}

/* false: it has as many as it may. shares NULL: the session is new, and in nobody's share. */
static bool use(struct pd_session_shares *shares, struct pd_session_share *share, uint64_t id,
                uint64_t now_ns)
{
    for (uint32_t i = 0; i < share->count; i++) {
        if (share->sessions[i].id == id) {
            share->sessions[i].used_ns = now_ns;
            return true;
        }
    }
    if (share->count == PD_SESSION_SHARE_MAX) {
        forget_ended(share, now_ns);
    }
    if (share->count == PD_SESSION_SHARE_MAX) {
        return false;
    }
    if (shares != NULL) {
        take_from_orphans(shares, id);
    }
    share->sessions[share->count].id = id;
    share->sessions[share->count++].used_ns = now_ns;
    return true;
}

static void end(struct pd_session_share *share, uint64_t id)
{
    for (uint32_t i = 0; i < share->count; i++) {
        if (share->sessions[i].id == id) {
            forget_at(share, i);
            return;
        }
    }
}

/* -- Requests ---------------------------------------------------------------------------------- */

/* Of a write: what concerns sessions. */
struct wish {
    uint64_t session; /* it is written in */
    uint64_t kept;    /* is kept alive */
    uint64_t ended;
    bool opens;
    uint64_t duration_ns;
    uint64_t window;
};

/* false: it has nothing to do with sessions, or is no command of this shape. */
static bool read_wish(struct pd_span bytes, struct wish *wish_out)
{
    struct pd_replica_request_head head;
    struct pd_kv_reader reader;
    *wish_out = (struct wish){0};
    if (pd_replica_request_decode(bytes, &head) != PD_OK || head.kind != PD_REPLICA_REQUEST_WRITE) {
        return false;
    }
    wish_out->session = head.session;
    pd_kv_reader_init(&reader, head.body);
    uint64_t kind = pd_kv_read_u64(&reader);
    if (kind == PD_KV_SESSION_OPEN) {
        wish_out->duration_ns = pd_kv_read_u64(&reader);
        wish_out->window = pd_kv_read_u64(&reader);
        wish_out->opens = !reader.is_bad && pd_kv_read_is_whole(&reader);
    } else if (kind == PD_KV_SESSION_KEEPALIVE) {
        wish_out->kept = (uint64_t)pd_kv_read_i64(&reader);
    } else if (kind == PD_KV_SESSION_CLOSE) {
        wish_out->ended = (uint64_t)pd_kv_read_i64(&reader);
    }
    return wish_out->session != 0 || wish_out->opens || wish_out->kept != 0 || wish_out->ended != 0;
}

static struct pd_session_share *made(struct pd_session_shares *shares,
                                     struct pd_session_share **share)
{
    if (*share == NULL && (*share = pd_alloc_zeroed(1, sizeof **share)) != NULL) {
        pd_list_append(&shares->list, &(*share)->list);
    }
    return *share;
}

/* So many in a second. */
static bool may_open(struct pd_session_shares *shares, uint64_t now_ns)
{
    if (now_ns - shares->second_ns >= SECOND_NS) {
        shares->second_ns = now_ns;
        shares->opens = 0;
    }
    return shares->opens < PD_SESSION_OPENS_MAX;
}

static enum pd_session_verdict judge_opening(struct pd_session_shares *shares,
                                             struct pd_session_share *share,
                                             const struct pd_session_view *view)
{
    forget_ended(share, view->now_ns);
    if (view->session_count >= view->sessions_max / 4 * 3 ||
        share->count + share->opening_count >= PD_SESSION_SHARE_MAX) {
        return PD_SESSION_TOO_MANY;
    }
    return share->opening_count < PD_SESSION_OPENINGS_MAX && may_open(shares, view->now_ns)
               ? PD_SESSION_PASSES
               : PD_SESSION_LATER;
}

static void lower_duration(const struct wish *wish, uint8_t *bytes, size_t *size)
{
    struct pd_kv_writer writer = {.bytes = bytes + PD_REPLICA_REQUEST_HEAD_SIZE,
                                  .bytes_max = *size - PD_REPLICA_REQUEST_HEAD_SIZE};
    pd_kv_write_u64(&writer, PD_KV_SESSION_OPEN);
    pd_kv_write_u64(&writer, PD_SESSION_NS);
    pd_kv_write_u64(&writer, wish->window);
    pd_assert(!writer.is_full); /* a smaller number is no longer */
    *size = PD_REPLICA_REQUEST_HEAD_SIZE + writer.size;
}

enum pd_session_verdict pd_session_shares_ask(struct pd_session_shares *shares,
                                              struct pd_session_share **share, uint64_t correlation,
                                              uint8_t *bytes, size_t *size,
                                              const struct pd_session_view *view)
{
    struct wish wish;
    if (!read_wish((struct pd_span){bytes, *size}, &wish)) {
        return PD_SESSION_PASSES;
    }
    struct pd_session_share *own = made(shares, share);
    if (own == NULL || (wish.session != 0 && !use(shares, own, wish.session, view->now_ns)) ||
        (wish.kept != 0 && !use(shares, own, wish.kept, view->now_ns))) {
        return PD_SESSION_LATER;
    }
    if (wish.session != 0 && view->answers_bytes >= view->answers_bytes_max / 4 * 3) {
        return PD_SESSION_LATER;
    }
    if (wish.ended != 0) {
        end(own, wish.ended);
    }
    enum pd_session_verdict verdict =
        wish.opens ? judge_opening(shares, own, view) : PD_SESSION_PASSES;
    if (wish.opens && verdict == PD_SESSION_PASSES) {
        shares->opens++;
        own->openings[own->opening_count++] = correlation;
        if (wish.duration_ns > PD_SESSION_NS) {
            lower_duration(&wish, bytes, size);
        }
    }
    return verdict;
}

void pd_session_shares_answered(struct pd_session_share *share, uint64_t correlation,
                                struct pd_span bytes, uint64_t now_ns)
{
    struct pd_replica_answer_head answer;
    struct pd_kv_answer_head head;
    struct pd_kv_reader reader;
    uint32_t at = 0;
    while (at < share->opening_count && share->openings[at] != correlation) {
        at++;
    }
    if (at == share->opening_count) {
        return;
    }
    share->openings[at] = share->openings[--share->opening_count];
    if (pd_replica_answer_decode(bytes, &answer) != PD_OK || answer.outcome != PD_REPLICA_OK) {
        return;
    }
    pd_kv_reader_init(&reader, answer.body);
    pd_kv_answer_head(&reader, &head);
    if (!reader.is_bad && head.error == PD_KV_OK && head.kind == PD_KV_ANSWER_SESSION) {
        (void)use(NULL, share, (uint64_t)pd_kv_answer_number(&reader), now_ns);
    }
}

void pd_session_shares_gone(struct pd_session_shares *shares, struct pd_session_share *share)
{
    if (share == NULL) {
        return;
    }
    share->opening_count = 0;
    share->is_orphan = true;
    shares->orphan_count++;
    pd_list_remove(&share->list);
    pd_list_append(&shares->list, &share->list);
    if (share->count == 0) {
        drop(shares, share);
    }
    for (struct pd_list *at = shares->list.next;
         at != &shares->list && shares->orphan_count > PD_SESSION_ORPHANS_MAX;) {
        struct pd_session_share *oldest = share_of(at);
        at = at->next;
        if (oldest->is_orphan) {
            drop(shares, oldest); /* its sessions end by themselves */
        }
    }
}

/* -- Pressure ---------------------------------------------------------------------------------- */

static bool is_in_the_way(const struct pd_session_share *share, uint64_t id,
                          const struct pd_session_view *view)
{
    bool sessions_are_few = view->session_count >= view->sessions_max / 2 && share->is_orphan;
    bool sessions_are_out = view->session_count >= view->sessions_max / 8 * 7;
    bool room_is_little = view->answers_bytes >= view->answers_bytes_max / 2;
    bool room_is_out = view->answers_bytes >= view->answers_bytes_max / 4 * 3;
    return sessions_are_few || sessions_are_out ||
           (room_is_little &&
            view->answers_of(view->state, id) >= (room_is_out ? SOME_BYTES : MUCH_BYTES));
}

void pd_session_shares_look(struct pd_session_shares *shares, const struct pd_session_view *view,
                            void (*close)(void *state, uint64_t id), void *state)
{
    bool is_pressed = view->session_count >= view->sessions_max / 2 ||
                      view->answers_bytes >= view->answers_bytes_max / 2;
    uint32_t closes = 0;
    if (!is_pressed && view->now_ns - shares->swept_ns < SECOND_NS) {
        return;
    }
    shares->swept_ns = view->now_ns;
    for (struct pd_list *at = shares->list.next; at != &shares->list;) {
        struct pd_session_share *share = share_of(at);
        at = at->next;
        forget_ended(share, view->now_ns);
        for (uint32_t i = share->count; is_pressed && i-- > 0 && closes < PD_SESSION_CLOSES_MAX;) {
            if (is_in_the_way(share, share->sessions[i].id, view)) {
                close(state, share->sessions[i].id);
                forget_at(share, i);
                closes++;
            }
        }
        if (share->is_orphan && share->count == 0) {
            drop(shares, share);
        }
    }
}
