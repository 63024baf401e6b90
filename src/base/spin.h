/* spin - a four-byte lock for sections of a few instructions.
 *
 * Model   Uncontended cost is one atomic exchange. A waiter spins briefly, then lets other threads
 *         run.
 * Rule    Never two at once, never across a call that may block or run guest code. Zero is
 *         unlocked. */
#ifndef PD_BASE_SPIN_H
#define PD_BASE_SPIN_H

#include <stdatomic.h>
#include <stdint.h>

struct pd_spin {
    atomic_uint_least32_t held;
};

/* The slow path: give the processor away until the lock looks free. Implemented by the host. */
void pd_spin_wait(struct pd_spin *lock);

static inline void pd_spin_lock(struct pd_spin *lock)
{
    while (atomic_exchange_explicit(&lock->held, 1, memory_order_acquire) != 0) {
        pd_spin_wait(lock);
    }
}

static inline void pd_spin_unlock(struct pd_spin *lock)
{
    atomic_store_explicit(&lock->held, 0, memory_order_release);
}

#endif
