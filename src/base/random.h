/* random - a small seeded generator (xoshiro256**, Blackman and Vigna 2018). Pure.
 *
 * Role  For decisions that a seed must replay. Never for keys or tokens: those come from the host's
 *       entropy. Each component has a generator of its own, so that one more draw in one place does
 *       not shift the others. */
#ifndef PD_BASE_RANDOM_H
#define PD_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct pd_random {
    uint64_t state[4];
};

/* Start from a seed; `name` separates components that share one seed. */
void pd_random_init(struct pd_random *random, uint64_t seed, const char *name);

uint64_t pd_random_next(struct pd_random *random);

/* A number below `bound` (> 0), without modulo bias. */
uint64_t pd_random_below(struct pd_random *random, uint64_t bound);

void pd_random_fill(struct pd_random *random, uint8_t *bytes, size_t size);

#endif
