/* store_port_internal - places, lanes and tickets, for src/node/store_*.c alone. */
#ifndef PD_NODE_STORE_PORT_INTERNAL_H
#define PD_NODE_STORE_PORT_INTERNAL_H

#include <stdatomic.h>

#include "base/list.h"
#include "base/spin.h"
#include "node/replica_request.h"
#include "node/session_width.h"
#include "node/store_format.h"
#include "node/store_port.h"

#define PD_STORE_LANE_WINDOW 64u /* as many commands of a session are under way at most */
#define PD_STORE_NONE UINT32_MAX

/* -- Places ------------------------------------------------------------------------------------ */

enum pd_store_place_state {
    PD_STORE_PLACE_FREE = 0,
    PD_STORE_PLACE_HELD,     /* its ticket's; nothing is under way */
    PD_STORE_PLACE_FLYING,   /* an answer will come */
    PD_STORE_PLACE_ANSWERED, /* the last one has come: its ticket's */
    PD_STORE_PLACE_ABANDONED /* the ticket is gone: the link's, until the last answer */
};

/* An answer, copied. */
struct pd_store_news {
    struct pd_store_news *next;
    size_t size;
    uint8_t bytes[];
};

struct pd_store_place {
    atomic_uint_least32_t state; /* enum pd_store_place_state */
    atomic_uint_least32_t generation;
    _Atomic(void *) process; /* to wake */
    bool is_watch;
    bool is_lost; /* the link was: there is no answer; written before ANSWERED */
    uint32_t next_free;
    _Atomic(struct pd_store_news *) news; /* newest first */
};

/* -- Lanes ------------------------------------------------------------------------------------- */

enum pd_store_lane_state {
    PD_STORE_LANE_NONE = 0,
    PD_STORE_LANE_OPENING, /* by one ticket, in a place of its own */
    PD_STORE_LANE_OPEN
};
struct pd_store_lane {
    enum pd_store_lane_state state;
    uint64_t session;
    uint64_t low;  /* the lowest number that waits for an answer, or the next one */
    uint64_t next; /* low <= next <= low + PD_STORE_LANE_WINDOW */
    uint64_t busy; /* bit i: low + i waits */
    struct pd_session_width width;
};

/* -- Tickets ----------------------------------------------------------------------------------- */

enum pd_store_stage {
    PD_STORE_READY = 0, /* to be given a place, a number and to the link; in the line if need be */
    PD_STORE_FLYING,
    PD_STORE_SLEEPING, /* until retry_at_ns, or the link is up */
    PD_STORE_OVER,
    PD_STORE_WATCHING
};

struct pd_kv_ticket {
    struct pd_store_port *port;
    void *process;
    struct pd_list line; /* under the port's lock */
    struct pd_list idle; /* of those that wait for the link; likewise */
    atomic_uint_least32_t references;
    bool was_listed; /* in either, once: else there is nothing to leave */
    enum pd_store_stage stage;
    uint64_t deadline_ns;
    uint64_t retry_at_ns;
    uint32_t sleeps;
    uint32_t ups_seen;
    bool waits_for_link; /* while SLEEPING */
    uint32_t place;      /* PD_STORE_NONE: none */
    /* a numbered write's; PD_STORE_NONE: none */
    uint32_t lane;
    uint64_t session;
    uint64_t sequence;
    bool is_get;
    bool is_write;
    bool is_numbered; /* a write that must not happen twice: in a lane */
    bool is_watch;
    bool opens_lane;  /* what is under way is the opening of `lane` */
    bool may_be_done; /* given to the link once, and nobody said that nothing came of it */
    bool is_behind;
    /* The result. */
    enum pd_kv_code code;
    int64_t revision;
    uint8_t *bytes;
    size_t size;
    char text[PD_KV_PORT_TEXT_MAX];
    /* A watch's. */
    struct pd_store_news *pending; /* oldest first */
    int64_t next_revision;
    uint32_t unreturned;                   /* bytes that the node was not given back */
    atomic_uint_least32_t outstanding;     /* of them, those that the actor has not done with */
    atomic_uint_least32_t unreturned_seen; /* by who gives back */
    atomic_bool is_released;
    size_t key_size; /* behind the body's room */
    size_t end_size;
    uint32_t watch_flags;
    struct pd_replica_request_head head;
    size_t room; /* of the body */
    size_t held; /* counted in the port's request_bytes */
    size_t body_size;
    uint8_t request[]; /* the head's room, the body's; of a watch: key, end */
};

/* -- The port ---------------------------------------------------------------------------------- */

struct pd_store_port {
    struct pd_kv_port interface; /* first */
    struct pd_store_port_config config;
    struct pd_store_link *link;
    struct pd_store_place *places; /* 1..place_count: 0 is nobody's correlation */
    uint32_t place_count;
    struct pd_spin lock;
    /* Under `lock`. */
    uint32_t free_first;
    uint32_t calls_taken;
    uint32_t watches_taken;
    struct pd_list line;
    struct pd_list idle;
    struct pd_store_lane lanes[PD_STORE_LANES];

    atomic_uint_least32_t waking; /* threads of the link inside of a wake */
    atomic_uint_least32_t ups;    /* counts pd_store_port_up */
    atomic_uint_least64_t request_bytes;
    atomic_uint_least64_t answer_bytes;
    struct {
        atomic_uint_least64_t begun;
        atomic_uint_least64_t submitted;
        atomic_uint_least64_t waited;
        atomic_uint_least64_t repeated;
        atomic_uint_least64_t abandoned;
    } counters;
};

static inline void pd_store_count(atomic_uint_least64_t *counter)
{
    (void)atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* store_port.c */
static inline struct pd_store_place *pd_store_place_of(struct pd_store_port *port, uint32_t place)
{
    return &port->places[place];
}
uint64_t pd_store_correlation(struct pd_store_port *port, uint32_t place);
/* True: the ticket has a place, and a write a number in a lane, or the lane to open. False: it
 * stands in the line, and is woken when it is its turn. */
bool pd_store_place_take(struct pd_kv_ticket *ticket);
/* Give back what the ticket has of both, and let the next in line in. is_over: its number is
 * answered, and not wanted any more. */
void pd_store_place_give(struct pd_kv_ticket *ticket, bool is_over);
/* Leave the line; a place that it was woken for goes to the next. */
void pd_store_line_leave(struct pd_kv_ticket *ticket);
/* The ticket's lane is open, and it has its first number. */
void pd_store_lane_opened(struct pd_kv_ticket *ticket, uint64_t session);
/* The session has no room for the answer, and nothing was done: the number is given back. Called
 * with may_be_done, it is kept. */
void pd_store_lane_full(struct pd_kv_ticket *ticket);
/* The node does not know the session of the ticket's lane any more. */
void pd_store_lane_forget(struct pd_kv_ticket *ticket);
/* The lowest number of the lane that waits. */
uint64_t pd_store_lane_low(struct pd_kv_ticket *ticket);
/* All that has come for the place, oldest first; counted as read. */
struct pd_store_news *pd_store_news_take(struct pd_store_port *port, struct pd_store_place *place);
void pd_store_news_free(struct pd_store_news *news);

/* store_ticket.c */
extern const struct pd_kv_port_ops pd_store_port_ops;

#endif
