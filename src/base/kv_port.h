/* kv_port - how actors reach the store, wherever it is: the seam between src/wasm, which knows
 * guests and no store, and src/node, which knows the store.
 *
 * Model      An actor's call becomes an *ask*; `begin` copies it into a *ticket*, which the actor
 *            steps, on its own thread, until it is over. Between two steps the actor is suspended;
 *            the port wakes it when stepping may help. A ticket repeats its request by itself
 *            where that is safe, until its deadline. A watch is a ticket that never is over by
 *            itself and gives blocks of events.
 *
 *              begin ──► step: false (wait for a wake, or wake_at) ──► step: true ──► result
 *                 └──────────────── release, at any point ◄────────────────┘
 *
 * Threads    A ticket belongs to the thread that runs its actor; `give_back` alone may be called
 *            by any. No other thread ever holds a pointer into guest memory: begin copies.
 * Bounds     The port's configuration: tickets under way (further ones wait in a line, in which
 *            each stands with memory of its own), watches, bytes of a request, credit of a watch.
 * Formats    Results and blocks are the bytes that guests read: all numbers little endian.
 *              record   key_size u32 · value_size u32 · create_revision i64 · mod_revision i64 ·
 *                       version i64 · lease i64 · key · value
 *              GET      record*                    (none or one)
 *              PUT      record*                    (the previous one, if asked for)
 *              DELETE   deleted i64 · record*      (the previous ones, if asked for)
 *              RANGE    count i64 · more u32 · record_count u32 · record*
 *              TXN      succeeded u32 · response_count u32 · response*
 *              response kind u32 (PD_KV_ASK_RANGE, _PUT or _DELETE) · size u32 · result of it
 *              LEASE    id i64 · ttl_s i64
 *              block    kind u32 · event_count u32 · revision i64 · event* | text
 *              event    is_delete u32 · has_previous u32 · record · record if has_previous
 *            A transaction is asked for as
 *              compare_count u32 · then_count u32 · else_count u32 · 0 u32 · compare* · op*
 *              compare  result u8 · target u8 · 0 u16 · key_size u32 · end_size u32 ·
 *                       value_size u32 · number i64 · key · end · value
 *              op       kind u8 · flags u8 · 0 u16 · key_size u32 · end_size u32 ·
 *                       value_size u32 · number i64 (lease, or limit) · revision i64 · key · end ·
 *                       value */
#ifndef PD_BASE_KV_PORT_H
#define PD_BASE_KV_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

#define PD_KV_PORT_TEXT_MAX 256u
#define PD_KV_PORT_RECORD_SIZE 40u
#define PD_KV_PORT_BLOCK_HEAD_SIZE 16u
#define PD_KV_PORT_TXN_HEAD_SIZE 16u
#define PD_KV_PORT_COMPARE_SIZE 24u
#define PD_KV_PORT_OP_SIZE 32u

/* How an ask ends: guests see these numbers. */
enum pd_kv_code {
    PD_KV_CODE_OK = 0,
    PD_KV_CODE_ABSENT = 1,      /* there is no such key, lease or watch */
    PD_KV_CODE_UNAVAILABLE = 2, /* certainly not done: no store, no leader, or no time; again */
    PD_KV_CODE_UNKNOWN = 3,     /* it may or may not have happened: look */
    PD_KV_CODE_DENIED = 4,      /* the actor lacks the right */
    PD_KV_CODE_INVALID = 5,     /* never acceptable */
    PD_KV_CODE_TOO_LARGE = 6,   /* request, answer or key */
    PD_KV_CODE_FULL = 7,        /* a limit of the store, or its disk */
    PD_KV_CODE_COMPACTED = 8    /* the revision is gone from history, or not there yet */
};

enum pd_kv_ask_kind {
    PD_KV_ASK_GET = 0,
    PD_KV_ASK_RANGE = 1,
    PD_KV_ASK_PUT = 2,
    PD_KV_ASK_DELETE = 3,
    PD_KV_ASK_TXN = 4,
    PD_KV_ASK_WATCH = 5,
    PD_KV_ASK_LEASE_GRANT = 6,
    PD_KV_ASK_LEASE_REVOKE = 7,
    PD_KV_ASK_LEASE_KEEPALIVE = 8
};

/* Flags. Those of operations in a transaction are the same. */
#define PD_KV_ASK_LOCAL 1u      /* GET, RANGE: what this node has applied, however old */
#define PD_KV_ASK_PREVIOUS 2u   /* PUT, DELETE, WATCH: with the record before */
#define PD_KV_ASK_KEYS_ONLY 4u  /* RANGE */
#define PD_KV_ASK_COUNT_ONLY 8u /* RANGE */
#define PD_KV_ASK_DESCEND 16u   /* RANGE: by key, backwards */
#define PD_KV_ASK_NO_PUT 32u    /* WATCH */
#define PD_KV_ASK_NO_DELETE 64u /* WATCH */
#define PD_KV_ASK_FLAGS_ALL 127u

/* Borrowed for the call that is given it. */
struct pd_kv_ask {
    enum pd_kv_ask_kind kind;
    uint32_t flags;
    struct pd_span prefix; /* the right: every key must begin with it, every range lie within */
    struct pd_span key;    /* TXN: all of it */
    struct pd_span end;    /* empty: the key alone; "\0": all keys from `key` on */
    struct pd_span value;
    int64_t lease;    /* PUT, LEASE_*; GRANT: 0, or the id wanted */
    int64_t limit;    /* RANGE: 0: none; LEASE_GRANT: seconds */
    int64_t revision; /* RANGE: 0: now; WATCH: the first one, 0: from now on */
    uint64_t deadline_ns;
    void *process; /* what `wake` gets */
};

/* Borrowed from the ticket until its release. */
struct pd_kv_result {
    enum pd_kv_code code;
    int64_t revision;     /* of the store, after it */
    struct pd_span bytes; /* with OK */
    const char *text;     /* else: for a person, never empty */
};

enum pd_kv_block_kind {
    PD_KV_BLOCK_EVENTS = 0,
    PD_KV_BLOCK_ENDED = 1 /* the last one: event_count holds a code, text follows */
};

/* One block of a watch: allocated, the caller's, freed with pd_free. */
struct pd_kv_block {
    uint32_t cost; /* of the watch's credit: what give_back is told */
    uint32_t size;
    bool is_last;
    uint8_t bytes[];
};

struct pd_kv_port;
struct pd_kv_ticket;

struct pd_kv_port_ops {
    /* One key without waiting, by any thread. The record is written as in a result, to `room`.
     * PD_OK; PD_ERR_UNKNOWN: there is no such key; PD_ERR_RANGE: not here, or not now: begin.
     * The caller has checked the right with pd_kv_port_covers. */
    enum pd_status (*get_now)(struct pd_kv_port *port, struct pd_span key, uint8_t *room,
                              size_t room_max, size_t *size_out);
    /* OK: *ticket_out is the caller's, to step and release. Else: text. */
    enum pd_kv_code (*begin)(struct pd_kv_port *port, const struct pd_kv_ask *ask,
                             struct pd_kv_ticket **ticket_out, char text[PD_KV_PORT_TEXT_MAX]);
    /* True: it is over (a watch: it is established, or has failed). False: again after a wake, or
     * at *wake_at_ns (PD_TIME_NEVER: no time). */
    bool (*step)(struct pd_kv_ticket *ticket, uint64_t now_ns, uint64_t *wake_at_ns);
    void (*result)(const struct pd_kv_ticket *ticket, struct pd_kv_result *result_out);
    /* The result's bytes: the caller's, freed with pd_free. NULL: there are none. */
    uint8_t *(*take)(struct pd_kv_ticket *ticket);
    /* Of an established watch: the next block, or NULL: none now; its actor is woken for the next.
     * Also does what the watch has to do: call it whenever the actor runs. */
    struct pd_kv_block *(*next)(struct pd_kv_ticket *ticket);
    /* True: the watch could not do all of it; call `next` again soon. */
    bool (*is_behind)(const struct pd_kv_ticket *ticket);
    /* The actor has done with a block: room for others. Any thread; each retained ticket. */
    void (*retain)(struct pd_kv_ticket *ticket);
    void (*give_back)(struct pd_kv_ticket *ticket, uint32_t cost);
    /* Not wanted any more, or over. What was asked for may still happen. */
    void (*release)(struct pd_kv_ticket *ticket);
    /* On a thread that steps tickets: what they gave may leave now, and must if is_last. */
    void (*flush)(struct pd_kv_port *port, bool is_last);
    /* Every ticket is released: return when no wake is under way any more. */
    void (*settle)(struct pd_kv_port *port);
};

struct pd_kv_port {
    const struct pd_kv_port_ops *ops;
    void (*wake)(void *process); /* any thread; set before the first ask, as is the next */
    bool is_flushed;             /* scheduler threads call flush between turns */
};

/* True: who may touch keys that begin with `prefix` may touch `key`, or the range. */
static inline bool pd_kv_port_covers(struct pd_span prefix, struct pd_span key, struct pd_span end)
{
    if (key.size < prefix.size) {
        return false;
    }
    for (size_t i = 0; i < prefix.size; i++) {
        if (key.bytes[i] != prefix.bytes[i]) {
            return false;
        }
    }
    if (end.size == 0 || prefix.size == 0) {
        return true;
    }
    /* The first text behind all that begin with the prefix: its last byte below 255 plus one. */
    size_t size = prefix.size;
    while (size > 0 && prefix.bytes[size - 1] == 0xFF) {
        size--;
    }
    if (end.size == 1 && end.bytes[0] == 0) {
        return size == 0; /* to the end of all keys */
    }
    for (size_t i = 0; i < size; i++) {
        uint8_t bound = (uint8_t)(prefix.bytes[i] + (i + 1 == size ? 1 : 0));
        if (i == end.size || end.bytes[i] < bound) {
            return true;
        }
        if (end.bytes[i] > bound) {
            return false;
        }
    }
    return size == 0 || end.size == size;
}

#endif
