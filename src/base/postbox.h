/* postbox - what many threads hand to one: an intrusive stack without locks, taken as a whole.
 *
 * Model      put() by any thread, take() by one at a time; what is taken comes oldest first.
 * Waking     put() says whether the box was empty. Whoever put into an empty box wakes the taker;
 *            who comes later need not, since the taker takes everything.
 * Order      Sequentially consistent: a taker that announces that it sleeps, and then looks here
 *            once more, misses nobody who puts, and then looks whether it sleeps.
 * Ownership  What lies in the box is the box's; whoever takes it owns it. Zeroed is empty. */
#ifndef PD_BASE_POSTBOX_H
#define PD_BASE_POSTBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct pd_posted {
    struct pd_posted *next; /* of what was taken: the one that came after */
};

struct pd_postbox {
    _Atomic(struct pd_posted *) newest;
};

/* True: the box was empty. */
static inline bool pd_postbox_put(struct pd_postbox *box, struct pd_posted *posted)
{
    struct pd_posted *newest = atomic_load_explicit(&box->newest, memory_order_relaxed);
    do {
        posted->next = newest;
    } while (!atomic_compare_exchange_weak(&box->newest, &newest, posted));
    return newest == NULL;
}

static inline bool pd_postbox_is_empty(struct pd_postbox *box)
{
    return atomic_load(&box->newest) == NULL;
}

/* All of it, oldest first; NULL: empty. */
static inline struct pd_posted *pd_postbox_take(struct pd_postbox *box)
{
    if (atomic_load_explicit(&box->newest, memory_order_relaxed) == NULL) {
        return NULL; /* a look costs less than an exchange; whoever puts now, wakes us */
    }
    struct pd_posted *from = atomic_exchange(&box->newest, NULL);
    struct pd_posted *oldest = NULL;
    while (from != NULL) {
        struct pd_posted *next = from->next;
        from->next = oldest;
        oldest = from;
        from = next;
    }
    return oldest;
}

#endif
