/* Places, the line, and lanes; what the link calls. Tickets are in store_ticket.c. */
#include "node/store_port.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "node/store_port_internal.h"

#define MIB (UINT64_C(1) << 20)
#define MS_NS UINT64_C(1000000)

struct pd_store_port_config pd_store_port_config_default(void)
{
    return (struct pd_store_port_config){
        .calls_max = 512,
        .watches_max = 4096,
        .request_bytes_max = (uint32_t)(8 * MIB),
        .bytes_max = 64 * MIB,
        .watch_credit = 64 << 10,
        .retry_ns = 20 * MS_NS,
    };
}

/* -- Lanes, under the lock --------------------------------------------------------------------- */

static uint32_t lane_room(const struct pd_store_lane *lane)
{
    uint32_t taken = (uint32_t)(lane->next - lane->low);
    return lane->state == PD_STORE_LANE_OPEN && taken < lane->width.width
               ? lane->width.width - taken
               : 0;
}

/* The lane with most room; else one to open, *opens_out; else NONE: one must end first. */
static uint32_t choose_lane(const struct pd_store_port *port, bool *opens_out)
{
    uint32_t best = PD_STORE_NONE;
    uint32_t none = PD_STORE_NONE;
    bool is_opening = false;
    for (uint32_t i = 0; i < PD_STORE_LANES; i++) {
        const struct pd_store_lane *lane = &port->lanes[i];
        is_opening = is_opening || lane->state == PD_STORE_LANE_OPENING;
        if (lane->state == PD_STORE_LANE_NONE && none == PD_STORE_NONE) {
            none = i;
        }
        if (lane_room(lane) > 0 &&
            (best == PD_STORE_NONE || lane_room(lane) > lane_room(&port->lanes[best]))) {
            best = i;
        }
    }
    *opens_out = best == PD_STORE_NONE && !is_opening && none != PD_STORE_NONE;
    return *opens_out ? none : best;
}

static void take_number(struct pd_kv_ticket *ticket, struct pd_store_lane *lane)
{
    pd_assert(lane_room(lane) > 0);
    ticket->session = lane->session;
    ticket->sequence = lane->next;
    lane->busy |= UINT64_C(1) << (lane->next - lane->low);
    lane->next++;
}

static void give_number(struct pd_kv_ticket *ticket, struct pd_store_lane *lane)
{
    if (lane->state != PD_STORE_LANE_OPEN || lane->session != ticket->session) {
        return; /* it was opened anew meanwhile */
    }
    pd_assert(ticket->sequence >= lane->low && ticket->sequence < lane->next);
    lane->busy &= ~(UINT64_C(1) << (ticket->sequence - lane->low));
    while (lane->low < lane->next && (lane->busy & 1) == 0) {
        lane->low++;
        lane->busy >>= 1;
    }
}

uint64_t pd_store_lane_low(struct pd_kv_ticket *ticket)
{
    struct pd_store_port *port = ticket->port;
    pd_spin_lock(&port->lock);
    const struct pd_store_lane *lane = &port->lanes[ticket->lane];
    /* A number of a session that is no more: any low mark does. */
    uint64_t low = lane->session == ticket->session ? lane->low : ticket->sequence;
    pd_spin_unlock(&port->lock);
    return low;
}

/* -- Places and the line ----------------------------------------------------------------------- */

uint64_t pd_store_correlation(struct pd_store_port *port, uint32_t place)
{
    uint32_t generation =
        atomic_load_explicit(&pd_store_place_of(port, place)->generation, memory_order_relaxed);
    return (uint64_t)generation << 32 | place;
}

/* Under the lock: whom to wake because there is room for one more; NULL: nobody. */
static void *next_of_line(struct pd_store_port *port)
{
    struct pd_list *first = pd_list_first(&port->line);
    return first == NULL ? NULL : pd_container_of(first, struct pd_kv_ticket, line)->process;
}

static void wake(struct pd_store_port *port, void *process)
{
    if (process != NULL) {
        port->interface.wake(process);
    }
}

static bool may_take(const struct pd_store_port *port, const struct pd_kv_ticket *ticket)
{
    if (port->free_first == 0) {
        return false;
    }
    return ticket->is_watch ? port->watches_taken < port->config.watches_max
                            : port->calls_taken < port->config.calls_max &&
                                  atomic_load_explicit(&port->answer_bytes, memory_order_relaxed) <
                                      port->config.bytes_max;
}

/* Under the lock. */
static void take_place(struct pd_kv_ticket *ticket)
{
    struct pd_store_port *port = ticket->port;
    uint32_t at = port->free_first;
    struct pd_store_place *place = &port->places[at];
    port->free_first = place->next_free;
    port->calls_taken += ticket->is_watch ? 0 : 1;
    port->watches_taken += ticket->is_watch ? 1 : 0;
    pd_assert(atomic_load(&place->news) == NULL);
    place->is_watch = ticket->is_watch;
    place->is_lost = false;
    atomic_store_explicit(&place->process, ticket->process, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&place->generation, 1, memory_order_relaxed);
    atomic_store_explicit(&place->state, PD_STORE_PLACE_HELD, memory_order_release);
    ticket->place = at;
}

static void free_place(struct pd_store_port *port, uint32_t at)
{
    struct pd_store_place *place = &port->places[at];
    port->calls_taken -= place->is_watch ? 0 : 1;
    port->watches_taken -= place->is_watch ? 1 : 0;
    atomic_store_explicit(&place->state, PD_STORE_PLACE_FREE, memory_order_release);
    place->next_free = port->free_first;
    port->free_first = at;
}

bool pd_store_place_take(struct pd_kv_ticket *ticket)
{
    struct pd_store_port *port = ticket->port;
    bool is_in = false;
    bool opens = false;
    void *next = NULL;
    pd_spin_lock(&port->lock);
    bool is_first = ticket->is_watch || pd_list_is_empty(&port->line) ||
                    pd_list_first(&port->line) == &ticket->line;
    if (is_first && may_take(port, ticket)) {
        uint32_t lane = ticket->lane;
        if (ticket->is_numbered && lane == PD_STORE_NONE) {
            lane = choose_lane(port, &opens);
        }
        is_in = !ticket->is_numbered || lane != PD_STORE_NONE;
        if (is_in && ticket->is_numbered && opens) {
            port->lanes[lane].state = PD_STORE_LANE_OPENING;
            ticket->opens_lane = true;
            ticket->lane = lane;
        } else if (is_in && ticket->is_numbered && ticket->lane == PD_STORE_NONE) {
            ticket->lane = lane;
            take_number(ticket, &port->lanes[lane]);
        }
    }
    if (is_in) {
        pd_list_remove(&ticket->line);
        take_place(ticket);
        next = next_of_line(port);
    } else if (!ticket->is_watch && !pd_list_is_linked(&ticket->line)) {
        pd_list_append(&port->line, &ticket->line);
        ticket->was_listed = true;
        pd_store_count(&port->counters.waited);
    }
    pd_spin_unlock(&port->lock);
    wake(port, next); /* it may find that there is no room: it stays in the line */
    return is_in;
}

void pd_store_place_give(struct pd_kv_ticket *ticket, bool is_over)
{
    struct pd_store_port *port = ticket->port;
    bool is_abandoned = false;
    struct pd_store_news *unread = NULL;
    pd_spin_lock(&port->lock);
    if (ticket->place != PD_STORE_NONE) {
        struct pd_store_place *place = &port->places[ticket->place];
        uint_least32_t flying = PD_STORE_PLACE_FLYING;
        is_abandoned =
            atomic_compare_exchange_strong(&place->state, &flying, PD_STORE_PLACE_ABANDONED);
        if (!is_abandoned) {
            unread = pd_store_news_take(port, place);
            free_place(port, ticket->place);
        }
        ticket->place = PD_STORE_NONE;
    }
    if (is_over && ticket->lane != PD_STORE_NONE) {
        struct pd_store_lane *lane = &port->lanes[ticket->lane];
        if (ticket->opens_lane) {
            lane->state = PD_STORE_LANE_NONE; /* the session, if there will be one, expires */
        } else {
            if (lane->session == ticket->session) {
                pd_session_width_answered(&lane->width);
            }
            give_number(ticket, lane);
        }
        ticket->opens_lane = false;
        ticket->lane = PD_STORE_NONE;
    }
    void *next = next_of_line(port);
    pd_spin_unlock(&port->lock);
    pd_store_news_free(unread);
    if (is_abandoned) {
        pd_store_count(&port->counters.abandoned);
    }
    wake(port, next);
}

void pd_store_line_leave(struct pd_kv_ticket *ticket)
{
    struct pd_store_port *port = ticket->port;
    void *next = NULL;
    if (!ticket->was_listed) {
        return;
    }
    pd_spin_lock(&port->lock);
    pd_list_remove(&ticket->idle);
    if (pd_list_is_linked(&ticket->line)) {
        bool was_first = pd_list_first(&port->line) == &ticket->line;
        pd_list_remove(&ticket->line);
        next = was_first ? next_of_line(port) : NULL;
    }
    pd_spin_unlock(&port->lock);
    wake(port, next);
}

void pd_store_lane_opened(struct pd_kv_ticket *ticket, uint64_t session)
{
    struct pd_store_port *port = ticket->port;
    pd_spin_lock(&port->lock);
    struct pd_store_lane *lane = &port->lanes[ticket->lane];
    pd_assert(ticket->opens_lane && lane->state == PD_STORE_LANE_OPENING);
    ticket->opens_lane = false;
    *lane = (struct pd_store_lane){.state = PD_STORE_LANE_OPEN,
                                   .session = session,
                                   .low = 1,
                                   .next = 1,
                                   .width = pd_session_width_of(PD_STORE_LANE_WINDOW)};
    take_number(ticket, lane);
    void *next = next_of_line(port);
    pd_spin_unlock(&port->lock);
    wake(port, next);
}

void pd_store_lane_full(struct pd_kv_ticket *ticket)
{
    struct pd_store_port *port = ticket->port;
    pd_spin_lock(&port->lock);
    struct pd_store_lane *lane = &port->lanes[ticket->lane];
    if (lane->state == PD_STORE_LANE_OPEN && lane->session == ticket->session) {
        pd_session_width_refused(&lane->width, ticket->sequence, lane->next);
    }
    if (!ticket->may_be_done) {
        give_number(ticket, lane);
        ticket->lane = PD_STORE_NONE;
    }
    pd_spin_unlock(&port->lock);
}

void pd_store_lane_forget(struct pd_kv_ticket *ticket)
{
    struct pd_store_port *port = ticket->port;
    pd_spin_lock(&port->lock);
    struct pd_store_lane *lane = &port->lanes[ticket->lane];
    if (lane->state == PD_STORE_LANE_OPEN && lane->session == ticket->session) {
        *lane = (struct pd_store_lane){.state = PD_STORE_LANE_NONE};
    }
    ticket->lane = PD_STORE_NONE;
    pd_spin_unlock(&port->lock);
}

/* -- What the link calls ----------------------------------------------------------------------- */

struct pd_store_news *pd_store_news_take(struct pd_store_port *port, struct pd_store_place *place)
{
    struct pd_store_news *from = atomic_exchange_explicit(&place->news, NULL, memory_order_acquire);
    struct pd_store_news *oldest = NULL;
    uint64_t bytes = 0;
    while (from != NULL) {
        struct pd_store_news *next = from->next;
        from->next = oldest;
        oldest = from;
        bytes += from->size;
        from = next;
    }
    if (bytes > 0) {
        (void)atomic_fetch_sub_explicit(&port->answer_bytes, bytes, memory_order_relaxed);
    }
    return oldest;
}

void pd_store_news_free(struct pd_store_news *news)
{
    while (news != NULL) {
        struct pd_store_news *next = news->next;
        pd_free(news);
        news = next;
    }
}

/* False: no memory. */
static bool put_news(struct pd_store_port *port, struct pd_store_place *place, struct pd_span bytes)
{
    struct pd_store_news *news = pd_alloc(sizeof *news + bytes.size);
    if (news == NULL) {
        return false;
    }
    news->size = bytes.size;
    if (bytes.size > 0) {
        memcpy(news->bytes, bytes.bytes, bytes.size);
    }
    (void)atomic_fetch_add_explicit(&port->answer_bytes, bytes.size, memory_order_relaxed);
    news->next = atomic_load_explicit(&place->news, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&place->news, &news->next, news,
                                                  memory_order_release, memory_order_relaxed)) {
    }
    return true;
}

/* The last answer has come, or none will. */
static void land(struct pd_store_port *port, uint32_t at)
{
    struct pd_store_place *place = &port->places[at];
    void *process = atomic_load_explicit(&place->process, memory_order_relaxed);
    (void)atomic_fetch_add(&port->waking, 1);
    uint_least32_t flying = PD_STORE_PLACE_FLYING;
    if (atomic_compare_exchange_strong(&place->state, &flying, PD_STORE_PLACE_ANSWERED)) {
        port->interface.wake(process); /* the place is the ticket's: it may be free by now */
    } else if (flying == PD_STORE_PLACE_ABANDONED) {
        pd_store_news_free(pd_store_news_take(port, place));
        pd_spin_lock(&port->lock);
        free_place(port, at);
        process = next_of_line(port);
        pd_spin_unlock(&port->lock);
        wake(port, process);
    }
    (void)atomic_fetch_sub(&port->waking, 1);
}

/* A watch that nobody wants went on: it was not told, since the node's queue was full. */
static void end_watch(struct pd_store_port *port, uint64_t correlation)
{
    uint8_t bytes[PD_REPLICA_REQUEST_HEAD_SIZE];
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_UNWATCH,
                                                 .number = correlation};
    pd_replica_request_put_head(bytes, &head);
    /* If there is no room again: with its next answer. */
    enum pd_status status =
        port->link->ops->submit(port->link, 0, (struct pd_span){bytes, sizeof bytes});
    (void)status;
}

/* Of a watch, and there are more to come. */
static void tell(struct pd_store_port *port, struct pd_store_place *place)
{
    (void)atomic_fetch_add(&port->waking, 1);
    if (atomic_load(&place->state) == PD_STORE_PLACE_FLYING) {
        port->interface.wake(atomic_load_explicit(&place->process, memory_order_relaxed));
    }
    (void)atomic_fetch_sub(&port->waking, 1);
}

void pd_store_port_answer(struct pd_store_port *port, uint64_t correlation, struct pd_span bytes)
{
    uint32_t at = (uint32_t)correlation;
    if (at == 0 || at > port->place_count || pd_store_correlation(port, at) != correlation) {
        return; /* of nobody: the end of a watch that was told to end, or not our node's */
    }
    struct pd_store_place *place = &port->places[at];
    uint_least32_t state = atomic_load_explicit(&place->state, memory_order_acquire);
    if (state != PD_STORE_PLACE_FLYING && state != PD_STORE_PLACE_ABANDONED) {
        return;
    }
    struct pd_replica_answer_head head;
    bool is_last = !place->is_watch || pd_replica_answer_decode(bytes, &head) != PD_OK ||
                   head.outcome != PD_REPLICA_OK;
    bool is_wanted = state == PD_STORE_PLACE_FLYING;
    if (is_wanted && !put_news(port, place, bytes)) {
        place->is_lost = true; /* as if the link had lost it */
        is_last = true;
    }
    if (is_last) {
        land(port, at);
    } else if (is_wanted) {
        tell(port, place);
    } else {
        end_watch(port, correlation);
    }
}

void pd_store_port_lost(struct pd_store_port *port)
{
    for (uint32_t at = 1; at <= port->place_count; at++) {
        struct pd_store_place *place = &port->places[at];
        uint_least32_t state = atomic_load_explicit(&place->state, memory_order_acquire);
        if (state == PD_STORE_PLACE_FLYING || state == PD_STORE_PLACE_ABANDONED) {
            place->is_lost = true;
            land(port, at);
        }
    }
}

void pd_store_port_up(struct pd_store_port *port)
{
    (void)atomic_fetch_add(&port->ups, 1);
    (void)atomic_fetch_add(&port->waking, 1);
    for (;;) {
        void *process = NULL;
        pd_spin_lock(&port->lock);
        struct pd_list *first = pd_list_first(&port->idle);
        if (first != NULL) {
            process = pd_container_of(first, struct pd_kv_ticket, idle)->process;
            pd_list_remove(first);
        }
        pd_spin_unlock(&port->lock);
        if (process == NULL) {
            break;
        }
        port->interface.wake(process);
    }
    (void)atomic_fetch_sub(&port->waking, 1);
}

/* -- Opening and closing ----------------------------------------------------------------------- */

enum pd_status pd_store_port_open(const struct pd_store_port_config *config,
                                  struct pd_store_link *link, struct pd_store_port **port_out)
{
    pd_assert(config->calls_max > 0 && config->watches_max > 0 && config->watch_credit > 0);
    struct pd_store_port *port = pd_alloc_zeroed(1, sizeof *port);
    if (port == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    port->interface.ops = &pd_store_port_ops;
    port->config = *config;
    port->link = link;
    port->place_count = config->calls_max + config->watches_max;
    port->places = pd_alloc_zeroed(port->place_count + 1, sizeof *port->places);
    if (port->places == NULL) {
        pd_free(port);
        return PD_ERR_NO_MEMORY;
    }
    for (uint32_t i = 1; i <= port->place_count; i++) {
        port->places[i].next_free = i == port->place_count ? 0 : i + 1;
    }
    port->free_first = 1;
    pd_list_init(&port->line);
    pd_list_init(&port->idle);
    *port_out = port;
    return PD_OK;
}

void pd_store_port_close(struct pd_store_port *port)
{
    if (port == NULL) {
        return;
    }
    pd_assert(pd_list_is_empty(&port->line) && pd_list_is_empty(&port->idle));
    pd_assert(atomic_load(&port->request_bytes) == 0);
    for (uint32_t i = 1; i <= port->place_count; i++) {
        struct pd_store_place *place = &port->places[i];
        uint_least32_t state = atomic_load(&place->state);
        pd_assert(state == PD_STORE_PLACE_FREE || state == PD_STORE_PLACE_ABANDONED);
        pd_store_news_free(pd_store_news_take(port, place));
    }
    pd_free(port->places);
    pd_free(port);
}

struct pd_kv_port *pd_store_port_interface(struct pd_store_port *port)
{
    return &port->interface;
}

void pd_store_port_counters(struct pd_store_port *port, struct pd_store_port_counters *counters_out)
{
    *counters_out = (struct pd_store_port_counters){
        .begun = atomic_load(&port->counters.begun),
        .submitted = atomic_load(&port->counters.submitted),
        .waited = atomic_load(&port->counters.waited),
        .repeated = atomic_load(&port->counters.repeated),
        .abandoned = atomic_load(&port->counters.abandoned),
        .bytes_held = atomic_load(&port->request_bytes) + atomic_load(&port->answer_bytes),
    };
    pd_spin_lock(&port->lock);
    counters_out->places_taken = port->calls_taken + port->watches_taken;
    pd_spin_unlock(&port->lock);
}
