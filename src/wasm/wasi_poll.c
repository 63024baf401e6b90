/* poll_oneoff: clocks and descriptors, until at least one has happened.
 *
 *   parse -> something has happened already -----------------------------------> events
 *         -> only clocks: pd_call_wake_at, clocks_resume until one is due -----> events
 *         -> streams (or sizes) to ask: streams_wait, a job in poll(2)
 *              with a place to wait: the nearest clock ends it, or a cancel ---> events
 *              without: it only looks; found something ------------------------> events
 *                       found nothing: streams_later, streams_again, and once more
 *
 * A subscription that makes no sense is an event with an error, as preview 1 has it, and not a
 * failed call. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "wasm/wasi_internal.h"

#define TAG_CLOCK 0u
#define TAG_FD_READ 1u
#define TAG_FD_WRITE 2u

#define CLOCK_REALTIME_ID 0u
#define CLOCK_MONOTONIC_ID 1u
#define CLOCK_LAST_ID 3u

#define CLOCK_FLAG_ABSOLUTE 1u
#define EVENT_FLAG_HUNG_UP 1u

struct subscription {
    uint64_t userdata;
    uint64_t deadline_ns; /* of a clock: in its own time */
    uint64_t available;
    uint32_t item; /* index + 1 of the descriptor that the job asks for; 0: none */
    uint8_t tag;
    bool is_wall; /* a clock that means wall time */
    bool has_happened;
    bool is_hung_up;
    enum pd_file_error error;
};

struct poll {
    struct pd_blocking blocking; /* first */
    struct pd_files *files;
    struct pd_file_cancel *cancel;
    enum pd_file_error error;
    bool has_wait_place; /* of pd_files_wait_begin */
    bool is_kept;        /* the job is over, its memory is still in use */
    uint64_t timeout_ns; /* of the job */
    uint32_t events_at;
    uint32_t count_at;
    uint32_t count;
    uint32_t item_count;
    struct pd_file_poll *items; /* with a reference to each file; behind the subscriptions */
    struct subscription subscriptions[];
};

static void give_back_place(struct poll *poll)
{
    if (poll->has_wait_place) {
        pd_files_wait_end(poll->files);
        poll->has_wait_place = false;
    }
}

static void poll_free(struct poll *poll)
{
    give_back_place(poll);
    for (uint32_t i = 0; i < poll->item_count; i++) {
        poll->files->ops->release(poll->files, poll->items[i].file);
    }
    poll->files->ops->cancel_release(poll->files, poll->cancel);
    pd_free(poll);
}

static void poll_release(struct pd_blocking *self)
{
    struct poll *poll = (struct poll *)(void *)self;
    if (poll->is_kept) {
        poll->is_kept = false;
        return;
    }
    poll_free(poll);
}

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void parse_clock(struct subscription *to, const uint8_t *from, struct pd_host *host)
{
    uint32_t clock = pd_get_u32(from + 16);
    uint64_t timeout_ns = pd_get_u64(from + 24);
    uint16_t flags = pd_get_u16(from + 40);
    if (clock > CLOCK_LAST_ID || (flags & ~CLOCK_FLAG_ABSOLUTE) != 0) {
        to->error = PD_FILE_INVAL;
        to->has_happened = true;
    } else if (clock > CLOCK_MONOTONIC_ID) {
        to->error = PD_FILE_NOTSUP; /* nobody waits for processor time */
        to->has_happened = true;
    } else if (flags == 0) {
        /* POSIX: setting the wall clock does not change relative waits. */
        to->deadline_ns = add_saturating(host->ops->now_ns(host), timeout_ns);
    } else {
        to->is_wall = clock == CLOCK_REALTIME_ID;
        to->deadline_ns = timeout_ns;
    }
}

static void parse_fd(struct poll *poll, struct subscription *to, const uint8_t *from,
                     struct pd_wasi *wasi)
{
    struct wasi_fd fd;
    bool for_write = to->tag == TAG_FD_WRITE;
    /* Who may read or write may wait for it, with or without a right to that of its own: other
     * runtimes ask for none. What a listener has to be read are connections. */
    uint64_t directions =
        for_write ? WASI_RIGHT_FD_WRITE : WASI_RIGHT_FD_READ | WASI_RIGHT_SOCK_ACCEPT;
    to->error = pd_wasi_fd_require_file(wasi, pd_get_u32(from + 16), 0, &fd);
    if (to->error == PD_FILE_OK && (fd.base & directions) == 0) {
        to->error = PD_FILE_BADF;
    }
    /* Files never wait to be written; lines are taken at once. */
    if (to->error != PD_FILE_OK ||
        (for_write && (fd.kind == WASI_FD_OUTPUT || !fd.file->is_stream))) {
        to->available = 1;
        to->has_happened = true;
        return;
    }
    poll->files->ops->retain(poll->files, fd.file);
    poll->items[poll->item_count++] =
        (struct pd_file_poll){.file = fd.file, .for_write = for_write};
    to->item = poll->item_count;
}

static enum pd_file_error parse(struct pd_call *call, struct pd_wasi *wasi, struct poll *poll)
{
    const uint8_t *from = pd_guest_memory(call->guest, pd_call_u32(call, 0),
                                          (uint64_t)poll->count * WASI_SUBSCRIPTION_SIZE);
    pd_assert(from != NULL);
    struct pd_host *host = pd_guest_host(call->guest);
    for (uint32_t i = 0; i < poll->count; i++, from += WASI_SUBSCRIPTION_SIZE) {
        struct subscription *to = &poll->subscriptions[i];
        to->userdata = pd_get_u64(from);
        to->tag = from[8];
        if (to->tag > TAG_FD_WRITE) {
            return PD_FILE_INVAL;
        }
        if (to->tag == TAG_CLOCK) {
            parse_clock(to, from, host);
        } else {
            parse_fd(poll, to, from, wasi);
        }
    }
    return PD_FILE_OK;
}

/* How long until a clock is due; 0 when it is. */
static uint64_t remaining_ns(const struct subscription *clock, struct pd_host *host)
{
    uint64_t now_ns = clock->is_wall ? host->ops->wall_ns(host) : host->ops->now_ns(host);
    return clock->deadline_ns <= now_ns ? 0 : clock->deadline_ns - now_ns;
}

/* Note the clocks that are due within `slack_ns`. Returns the time until the next one, 0 if
 * anything has happened. */
static uint64_t look_at_clocks(struct poll *poll, struct pd_host *host, uint64_t slack_ns)
{
    uint64_t nearest_ns = PD_TIME_NEVER;
    for (uint32_t i = 0; i < poll->count; i++) {
        struct subscription *subscription = &poll->subscriptions[i];
        if (!subscription->has_happened && subscription->tag == TAG_CLOCK) {
            uint64_t left_ns = remaining_ns(subscription, host);
            subscription->has_happened = left_ns <= slack_ns;
            nearest_ns = left_ns < nearest_ns ? left_ns : nearest_ns;
        }
        if (subscription->has_happened) {
            nearest_ns = 0;
        }
    }
    return nearest_ns;
}

static void put_event(uint8_t *to, const struct subscription *subscription)
{
    memset(to, 0, WASI_EVENT_SIZE);
    pd_put_u64(to, subscription->userdata);
    pd_put_u16(to + 8, (uint16_t)subscription->error);
    to[10] = subscription->tag;
    if (subscription->tag != TAG_CLOCK && subscription->error == PD_FILE_OK) {
        pd_put_u64(to + 16, subscription->available);
        pd_put_u16(to + 24, subscription->is_hung_up ? EVENT_FLAG_HUNG_UP : 0);
    }
}

static enum pd_call_result answer_events(struct pd_call *call, const struct poll *poll)
{
    uint8_t *to =
        pd_guest_memory(call->guest, poll->events_at, (uint64_t)poll->count * WASI_EVENT_SIZE);
    if (to == NULL) {
        return pd_wasi_answer(call, PD_FILE_FAULT);
    }
    uint32_t happened = 0;
    for (uint32_t i = 0; i < poll->count; i++) {
        if (poll->subscriptions[i].has_happened) {
            put_event(to + (size_t)happened * WASI_EVENT_SIZE, &poll->subscriptions[i]);
            happened++;
        }
    }
    return pd_wasi_answer_u32(call, poll->count_at, happened);
}

/* --- Only clocks ------------------------------------------------------------------------------ */

static enum pd_call_result clocks_resume(struct pd_call *call);

static void poll_abandon(struct pd_call *call)
{
    poll_free(call->state);
    call->state = NULL;
}

static enum pd_call_result clocks_wait(struct pd_call *call, struct poll *poll, uint64_t left_ns)
{
    struct pd_host *host = pd_guest_host(call->guest);
    call->state = poll;
    call->resume = clocks_resume;
    call->abandon = poll_abandon;
    pd_call_wake_at(call, add_saturating(host->ops->now_ns(host), left_ns));
    return PD_CALL_WAIT;
}

static enum pd_call_result clocks_resume(struct pd_call *call)
{
    struct poll *poll = call->state;
    uint64_t left_ns = look_at_clocks(poll, pd_guest_host(call->guest), 0);
    if (left_ns != 0) {
        return clocks_wait(call, poll, left_ns);
    }
    call->abandon = NULL;
    call->state = NULL;
    enum pd_call_result result = answer_events(call, poll);
    poll_free(poll);
    return result;
}

/* --- Streams ---------------------------------------------------------------------------------- */

static void streams_work(struct pd_blocking *self)
{
    struct poll *poll = (struct poll *)(void *)self;
    poll->error = poll->files->ops->poll(poll->files, poll->items, poll->item_count,
                                         poll->timeout_ns, poll->cancel);
}

static enum pd_call_result streams_again(struct pd_call *call);

/* Nothing has happened, and there was no place to wait for it: look again in a while. */
static enum pd_call_result streams_later(struct pd_call *call, struct poll *poll, uint64_t left_ns)
{
    uint64_t pause_ns = left_ns < WASI_LOOK_INTERVAL_NS ? left_ns : WASI_LOOK_INTERVAL_NS;
    poll->is_kept = true;
    call->state = poll;
    call->resume = streams_again;
    call->abandon = poll_abandon;
    pd_call_wake_at(call, add_saturating(pd_host_now_ns(pd_guest_host(call->guest)), pause_ns));
    return PD_CALL_WAIT;
}

/* Note what the job found. */
static void look_at_streams(struct poll *poll)
{
    for (uint32_t i = 0; i < poll->count; i++) {
        struct subscription *subscription = &poll->subscriptions[i];
        if (subscription->item != 0 && poll->items[subscription->item - 1].is_ready) {
            const struct pd_file_poll *item = &poll->items[subscription->item - 1];
            subscription->has_happened = true;
            subscription->is_hung_up = item->is_hung_up;
            subscription->available = item->available;
            subscription->error = item->error;
        }
    }
}

static enum pd_call_result streams_finish(struct pd_call *call, struct pd_blocking *self)
{
    struct poll *poll = (struct poll *)(void *)self;
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    pd_assert(wasi != NULL);
    pd_wasi_wait_over(wasi);
    if (poll->error != PD_FILE_OK) {
        return pd_wasi_answer(call, poll->error);
    }
    look_at_streams(poll);
    struct pd_host *host = pd_guest_host(call->guest);
    uint64_t left_ns = look_at_clocks(poll, host, 0);
    if (left_ns != 0 && !poll->has_wait_place) {
        return streams_later(call, poll, left_ns);
    }
    if (left_ns != 0 && left_ns != PD_TIME_NEVER) {
        /* The wait ended a little before the clock that set its end: that one is due. */
        (void)look_at_clocks(poll, host, left_ns);
    }
    return answer_events(call, poll);
}

static enum pd_call_result streams_wait(struct pd_call *call, struct pd_wasi *wasi,
                                        struct poll *poll, uint64_t left_ns)
{
    /* The same structure may be a job several times. */
    memset(&poll->blocking, 0, sizeof poll->blocking);
    poll->blocking.work = streams_work;
    poll->blocking.finish = streams_finish;
    poll->blocking.release = poll_release;
    poll->blocking.name = "poll_oneoff";
    poll->has_wait_place = left_ns != 0 && pd_files_wait_begin(poll->files);
    poll->timeout_ns = poll->has_wait_place ? left_ns : 0;
    if (poll->has_wait_place) {
        poll->cancel = poll->files->ops->cancel_create(poll->files);
        if (poll->cancel == NULL) {
            poll_free(poll);
            return pd_wasi_answer(call, PD_FILE_NFILE);
        }
        wasi->waiting = poll->cancel; /* its second reference */
    }
    return pd_call_block(call, &poll->blocking);
}

static enum pd_call_result streams_again(struct pd_call *call)
{
    struct poll *poll = call->state;
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    pd_assert(wasi != NULL);
    call->state = NULL;
    call->abandon = NULL;
    return streams_wait(call, wasi, poll, look_at_clocks(poll, pd_guest_host(call->guest), 0));
}

static struct poll *poll_create(struct pd_call *call, struct pd_wasi *wasi, uint32_t count)
{
    size_t subscriptions_size = count * sizeof(struct subscription);
    size_t size = sizeof(struct poll) + subscriptions_size + count * sizeof(struct pd_file_poll);
    struct poll *poll = pd_alloc_zeroed(1, size);
    if (poll == NULL) {
        return NULL;
    }
    poll->files = wasi->config->files;
    poll->count = count;
    poll->items =
        (struct pd_file_poll *)(void *)((uint8_t *)poll->subscriptions + subscriptions_size);
    poll->events_at = pd_call_u32(call, 1);
    poll->count_at = pd_call_u32(call, 3);
    return poll;
}

static enum pd_file_error check(struct pd_call *call, uint32_t count)
{
    if (count == 0 || count > PD_WASI_SUBSCRIPTIONS_MAX) {
        return PD_FILE_INVAL;
    }
    bool is_there =
        pd_wasi_is_memory(call, pd_call_u32(call, 0), (uint64_t)count * WASI_SUBSCRIPTION_SIZE) &&
        pd_wasi_is_memory(call, pd_call_u32(call, 1), (uint64_t)count * WASI_EVENT_SIZE) &&
        pd_wasi_is_memory(call, pd_call_u32(call, 3), 4);
    return is_there ? PD_FILE_OK : PD_FILE_FAULT;
}

enum pd_call_result pd_wasi_poll_oneoff(struct pd_call *call)
{
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    uint32_t count = pd_call_u32(call, 2);
    enum pd_file_error error = wasi == NULL ? PD_FILE_NOMEM : check(call, count);
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    struct poll *poll = poll_create(call, wasi, count);
    if (poll == NULL) {
        return pd_wasi_answer(call, PD_FILE_NOMEM);
    }
    error = parse(call, wasi, poll);
    if (error != PD_FILE_OK) {
        poll_free(poll);
        return pd_wasi_answer(call, error);
    }
    uint64_t left_ns = look_at_clocks(poll, pd_guest_host(call->guest), 0);
    if (poll->item_count > 0) {
        return streams_wait(call, wasi, poll, left_ns);
    }
    if (left_ns != 0) {
        return clocks_wait(call, poll, left_ns);
    }
    enum pd_call_result result = answer_events(call, poll);
    poll_free(poll);
    return result;
}
