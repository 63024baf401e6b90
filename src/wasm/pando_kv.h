/* pando_kv - what a process holds of the store: the call that is under way, the answer that it
 * reads, its watches. Private to src/wasm/pando_kv*.c and the process's behavior.
 *
 * Bounds     One call at a time; one answer, replaced by the next call; PD_KV_WATCHES_MAX watches,
 *            PD_KV_LEASES_MAX leases of its own.
 * Ownership  The process's, freed with it. What was under way is released: its answer goes
 *            nowhere. */
#ifndef PD_WASM_PANDO_KV_H
#define PD_WASM_PANDO_KV_H

#include "base/kv_port.h"
#include "wasm/wasm_process.h"

#define PD_KV_WATCHES_MAX 16u
#define PD_KV_LEASES_MAX 64u

struct pd_kv_watch_place {
    uint64_t id; /* 0: the place is free */
    uint64_t tag;
    struct pd_kv_ticket *ticket;
    struct pd_kv_block *held; /* there was no room in the mailbox */
};

struct pd_kv_own_lease {
    int64_t id;
    uint64_t end_ns; /* surely gone by then, unless it is kept */
};

struct pd_kv_state {
    struct pd_kv_ticket *call;
    /* What to do when it is over; the ticket is released afterwards. */
    enum pd_call_result (*finish)(struct pd_call *call, const struct pd_kv_result *result);
    uint64_t wake_at_ns; /* as set */
    uint64_t timeout_ms;
    uint8_t *answer; /* owned */
    size_t answer_size;
    size_t answer_at;
    uint64_t watch_last;
    uint32_t watch_count;
    uint32_t lease_count;
    bool looks_again; /* watches have more to do, and nobody will wake it for that */
    struct pd_kv_watch_place watches[PD_KV_WATCHES_MAX];
    struct pd_kv_own_lease leases[PD_KV_LEASES_MAX];
    int64_t asked_lease; /* of the call: whose place is free if there is no such lease; 0: none */
    char text[PD_KV_PORT_TEXT_MAX]; /* of the last failure */
};

/* NULL after a trap. */
struct pd_kv_state *pd_kv_state_of(struct pd_call *call);
void pd_kv_state_destroy(struct pd_wasm_process *self); /* there may be none */

/* The result is the code, and the text is kept. */
enum pd_call_result pd_kv_fail(struct pd_call *call, enum pd_kv_code code, const char *text);
/* Ask, and wait until it is over; then `finish`. Fills in the right, the deadline and the process.
 * From a DEFERRED function or a `resume` that has the stack. */
enum pd_call_result pd_kv_ask(struct pd_call *call, struct pd_kv_ask *ask,
                              enum pd_call_result (*finish)(struct pd_call *call,
                                                            const struct pd_kv_result *result));
/* False: a trap was set. */
bool pd_kv_span(struct pd_call *call, unsigned argument, const char *what,
                struct pd_span *span_out);

static inline bool pd_kv_has_watches(const struct pd_wasm_process *self)
{
    return self->kv != NULL && self->kv->watch_count > 0;
}
/* Put what watches have brought into the mailbox. The owner; before it steps the guest, and when
 * the guest waits. True: there is more to do, soon. */
void pd_kv_watches_begin_turn(struct pd_wasm_process *self);
bool pd_kv_watches_end_turn(struct pd_wasm_process *self);
void pd_kv_watches_end(struct pd_wasm_process *self);

#endif
