#include "actor/tracer.h"

#include "actor/environment.h"
#include "actor/runtime.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/spin.h"

struct pd_tracer {
    atomic_uint_least32_t references;
    uint64_t deadline_ns;
    struct pd_spin lock; /* over all that follows */
    bool is_over;
    uint32_t room; /* events that may still be noted */
    uint32_t first;
    uint32_t count;
    uint64_t lost_count;
    struct pd_traced *ring; /* PD_TRACER_RING of them; NULL once stopped */
};

enum pd_status pd_tracer_create(uint32_t events_max, uint64_t deadline_ns,
                                struct pd_tracer **tracer_out)
{
    if (events_max == 0 || events_max > PD_TRACER_EVENTS_MAX) {
        return PD_ERR_INVALID;
    }
    struct pd_tracer *tracer = pd_alloc_zeroed(1, sizeof *tracer);
    struct pd_traced *ring = pd_alloc_zeroed(PD_TRACER_RING, sizeof *ring);
    if (tracer == NULL || ring == NULL) {
        pd_free(tracer);
        pd_free(ring);
        return PD_ERR_NO_MEMORY;
    }
    atomic_init(&tracer->references, 1);
    tracer->deadline_ns = deadline_ns;
    tracer->room = events_max;
    tracer->ring = ring;
    *tracer_out = tracer;
    return PD_OK;
}

struct pd_tracer *pd_tracer_share(struct pd_tracer *tracer)
{
    atomic_fetch_add_explicit(&tracer->references, 1, memory_order_relaxed);
    return tracer;
}

void pd_tracer_release(struct pd_tracer *tracer)
{
    if (tracer == NULL) {
        return;
    }
    uint_least32_t before = atomic_fetch_sub_explicit(&tracer->references, 1, memory_order_acq_rel);
    pd_assert(before > 0);
    if (before == 1) {
        pd_free(tracer->ring);
        pd_free(tracer);
    }
}

/* --- The owner's side ------------------------------------------------------------------------- */

enum pd_status pd_tracer_attach(struct pd_process *self, struct pd_tracer *tracer)
{
    struct pd_tracer *former = atomic_load_explicit(&self->tracer, memory_order_relaxed);
    if (former != NULL && !pd_tracer_is_over(former)) {
        return PD_ERR_EXISTS;
    }
    pd_tracer_detach(self);
    atomic_store_explicit(&self->tracer, pd_tracer_share(tracer), memory_order_relaxed);
    return PD_OK;
}

void pd_tracer_detach(struct pd_process *self)
{
    struct pd_tracer *tracer = atomic_load_explicit(&self->tracer, memory_order_relaxed);
    if (tracer == NULL) {
        return;
    }
    atomic_store_explicit(&self->tracer, NULL, memory_order_relaxed);
    pd_spin_lock(&tracer->lock);
    tracer->is_over = true;
    pd_spin_unlock(&tracer->lock);
    pd_tracer_release(tracer);
}

/* Under the lock. */
static void put(struct pd_tracer *tracer, const struct pd_traced *event)
{
    if (tracer->count == PD_TRACER_RING) {
        tracer->lost_count++;
        return;
    }
    tracer->ring[(tracer->first + tracer->count) % PD_TRACER_RING] = *event;
    tracer->count++;
    tracer->room--;
    tracer->is_over = tracer->room == 0;
}

void pd_tracer_note(struct pd_process *self, struct pd_traced event)
{
    struct pd_tracer *tracer = atomic_load_explicit(&self->tracer, memory_order_relaxed);
    if (tracer == NULL) {
        return;
    }
    event.at_ns = pd_host_now_ns(self->environment->runtime->host);
    pd_spin_lock(&tracer->lock);
    if (event.at_ns >= tracer->deadline_ns) {
        tracer->is_over = true;
    }
    if (!tracer->is_over) {
        put(tracer, &event);
    }
    bool is_over = tracer->is_over;
    pd_spin_unlock(&tracer->lock);
    if (is_over || event.kind == PD_TRACED_EXITED) {
        pd_tracer_detach(self);
    }
}

/* --- The onlooker's side ---------------------------------------------------------------------- */

void pd_tracer_stop(struct pd_tracer *tracer)
{
    pd_spin_lock(&tracer->lock);
    struct pd_traced *ring = tracer->ring;
    tracer->is_over = true;
    tracer->ring = NULL; /* the process may sleep for long before it lets go */
    tracer->count = 0;
    pd_spin_unlock(&tracer->lock);
    pd_free(ring);
}

uint32_t pd_tracer_take(struct pd_tracer *tracer, struct pd_traced *events, uint32_t events_max)
{
    uint32_t taken = 0;
    pd_spin_lock(&tracer->lock);
    while (taken < events_max && tracer->count > 0) {
        events[taken++] = tracer->ring[tracer->first];
        tracer->first = (tracer->first + 1) % PD_TRACER_RING;
        tracer->count--;
    }
    pd_spin_unlock(&tracer->lock);
    return taken;
}

bool pd_tracer_is_over(struct pd_tracer *tracer)
{
    pd_spin_lock(&tracer->lock);
    bool is_over = tracer->is_over;
    pd_spin_unlock(&tracer->lock);
    return is_over;
}

uint64_t pd_tracer_lost_count(struct pd_tracer *tracer)
{
    pd_spin_lock(&tracer->lock);
    uint64_t lost_count = tracer->lost_count;
    pd_spin_unlock(&tracer->lock);
    return lost_count;
}
