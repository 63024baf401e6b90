/* message - what travels between processes: tagged bytes with attached resources, or a notice of a
 * death.
 *
 * Model      A message is one block: header and data together, so that sending it is a pointer
 *            move. The sender appends, the receiver reads with a cursor. A *bond* (bond.h) begins
 *            with a message, so that the notice of a death needs no memory at the moment of death.
 * Bounds     Data is bounded by the creator's limit; attached resources by
 *            PD_MESSAGE_RESOURCES_MAX.
 *            What a message takes is counted on the budget that it was made with.
 * Ownership  One owner at a time: scratch, queue, or timer. pd_message_destroy also releases what
 *            is attached. The budget outlives the message. */
#ifndef PD_ACTOR_MESSAGE_H
#define PD_ACTOR_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actor/exit.h"
#include "base/memory_budget.h"
#include "base/status.h"

#define PD_MESSAGE_RESOURCES_MAX 256u

enum pd_message_kind {
    PD_MESSAGE_DATA = 0,
    PD_MESSAGE_LINK_DIED = 1,    /* tag: the link's; pid, reason, text: the death */
    PD_MESSAGE_PROCESS_DIED = 2, /* a `lunatic` monitor fired; never matches a tag */
    PD_MESSAGE_DOWN = 3,         /* a `pando` monitor fired; ref: the monitor's */
    PD_MESSAGE_REPLY = 4,        /* data that answers the request `ref`; dropped unless awaited */
    /* Signals: handled by the receiver's scheduler, never seen by a guest. */
    PD_SIGNAL_LINK = 16,
    PD_SIGNAL_UNLINK = 17,
    PD_SIGNAL_LINK_DIED = 18,
    PD_SIGNAL_MONITOR = 19,
    PD_SIGNAL_DEMONITOR = 20,
    PD_SIGNAL_PROCESS_DIED = 21,
    PD_SIGNAL_EXIT = 22,   /* exit(pid, reason) */
    PD_SIGNAL_INSPECT = 23 /* a look inside: see inspect.h */
};

/* Something a message carries that is not bytes: a module, a socket. */
struct pd_resource {
    uint32_t kind; /* the owner's numbering; 0 is a taken slot */
    void *object;  /* a reference that the message holds */
    void (*release)(void *object);
};

struct pd_message {
    struct pd_message *next; /* in a queue */
    uint64_t tag;            /* 0: none */
    uint64_t ref;            /* a request's or a monitor's reference; 0: none */
    /* notices: who died. Data: the sender if it asks for a reply, else 0 */
    uint64_t pid;
    uint64_t to; /* the receiver, while in an outbox; 1 in a trapped request to exit */
    struct pd_exit_text *text;
    struct pd_resource *resources; /* resource_count of them, or NULL */
    uint32_t size;                 /* bytes of data */
    uint32_t capacity;             /* bytes of room behind the header */
    uint32_t cursor;               /* next byte to read; the receiver's */
    uint16_t resource_count;
    uint8_t kind;   /* enum pd_message_kind */
    uint8_t reason; /* enum pd_exit_reason of a notice */
    uint8_t *data;  /* `capacity` bytes; behind the header, except in a bond, which has none */
    struct pd_memory_budget *budget; /* holds its footprint; NULL: nobody counts it */
};

/* A data message with room for `capacity` bytes (it grows). NULL: no memory. */
struct pd_message *pd_message_create(uint64_t tag, uint32_t capacity);

/* The same, counted on a budget as long as it lives, with all that it grows by; NULL: on none. NULL
 * is returned when the budget has no room, too. */
struct pd_message *pd_message_create_within(struct pd_memory_budget *budget, uint64_t tag,
                                            uint32_t capacity);

/* Free it and release what it carries. NULL is allowed. */
void pd_message_destroy(struct pd_message *message);

/* Append `size` bytes, growing to at most size_max bytes in all. The message may move: *message is
 * replaced. PD_ERR_FULL: it would pass size_max. PD_ERR_NO_MEMORY: or the budget has no room. On
 * error nothing changes. */
PD_NODISCARD enum pd_status pd_message_append(struct pd_message **message, const uint8_t *bytes,
                                              uint32_t size, uint32_t size_max);

/* Make room for and return `size` bytes at the end, to be filled by the caller at once. NULL as
 * above. */
uint8_t *pd_message_extend(struct pd_message **message, uint32_t size, uint32_t size_max,
                           enum pd_status *status_out);

/* Attach a resource; the message takes the reference on PD_OK. *index_out is its place.
 * PD_ERR_FULL: PD_MESSAGE_RESOURCES_MAX are attached. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_message_attach(struct pd_message *message,
                                              struct pd_resource resource, uint32_t *index_out);

/* Take the resource at `index`; the caller owns the reference. Other indexes stay valid.
 * PD_ERR_UNKNOWN: no such index, taken already, or of another kind. */
PD_NODISCARD enum pd_status pd_message_take(struct pd_message *message, uint32_t index,
                                            uint32_t kind, void **object_out);

/* What it counts in a mailbox: header, data and resources. */
size_t pd_message_footprint(const struct pd_message *message);

#endif
