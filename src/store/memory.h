/* memory - base/store.h in memory, with a durable state that lags as a disk's does.
 *
 * Model      What was applied since the last flush is kept as batches behind the durable rows;
 *            crash() falls back to a state between the two, always a whole number of batches.
 * Threads    One at a time, unlike the store on disk. */
#ifndef PD_STORE_MEMORY_H
#define PD_STORE_MEMORY_H

#include "base/random.h"
#include "base/store.h"

/* NULL: no memory. */
struct pd_store *pd_store_memory_open(void);
/* Lose what a crash may lose: all batches after the durable index but a prefix that the generator
 * draws (NULL: none of them is kept). Views must be closed. PD_ERR_NO_MEMORY: the store must be
 * closed. */
PD_NODISCARD enum pd_status pd_store_memory_crash(struct pd_store *store, struct pd_random *random);
size_t pd_store_memory_row_count(const struct pd_store *store);

#endif
