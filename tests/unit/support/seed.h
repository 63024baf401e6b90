/* seed - one seed for a random test: a fixed one, or PD_TEST_SEED, which replays a failure. */
#ifndef PD_TEST_SUPPORT_SEED_H
#define PD_TEST_SUPPORT_SEED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"

/* Start a generator, and say how to replay it. `name` separates the tests of one program. */
static inline struct pd_random test_random(const char *name)
{
    const char *given = getenv("PD_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 42;
    printf("%s: replay with PD_TEST_SEED=%llu\n", name, (unsigned long long)seed);
    struct pd_random random;
    pd_random_init(&random, seed, name);
    return random;
}

#endif
