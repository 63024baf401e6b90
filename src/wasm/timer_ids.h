/* timer_ids - the message timers that one guest has set, by ids of its own.
 *
 * Model      Ids count up from 0, as all of a guest's ids do; behind each stands the runtime's id,
 *            which no guest sees, so that none cancels what another has set. A timer that fell due
 *            is forgotten when room is needed: from then on it cannot be cancelled, even if it
 *            still waits for room at its receiver.
 * Bounds     PD_TIMER_IDS_MAX pending; the array grows only when too few have fallen due.
 * Ownership  The timers belong to the runtime and outlive their guest: deinit frees the array
 *            only. */
#ifndef PD_WASM_TIMER_IDS_H
#define PD_WASM_TIMER_IDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define PD_TIMER_IDS_MAX 65536u

struct pd_timer_id {
    uint64_t id;
    uint64_t runtime_id;
    uint64_t deadline_ns;
};

/* All zero bytes are an empty table. */
struct pd_timer_ids {
    struct pd_timer_id *entries; /* sorted by id: new ids are the largest */
    uint32_t count;
    uint32_t capacity;
    uint64_t next_id;
};

/* Make room for one more, so that the next add cannot fail. Forgets what fell due before now_ns.
 * PD_ERR_FULL: PD_TIMER_IDS_MAX are pending. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_timer_ids_reserve(struct pd_timer_ids *ids, uint64_t now_ns);

/* Note a timer; returns its id. Room was reserved. */
uint64_t pd_timer_ids_add(struct pd_timer_ids *ids, uint64_t runtime_id, uint64_t deadline_ns);

/* Take out. False: no such id, or it was forgotten. */
bool pd_timer_ids_take(struct pd_timer_ids *ids, uint64_t id, uint64_t *runtime_id_out);

void pd_timer_ids_deinit(struct pd_timer_ids *ids);

#endif
