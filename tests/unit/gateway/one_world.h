/* one_world - a world as the defaults make it, for each case of a test. */
#ifndef PD_TEST_GATEWAY_ONE_WORLD_H
#define PD_TEST_GATEWAY_ONE_WORLD_H

#include "gateway/gateway_world.h"

static struct world world;

static inline int open_world(void **state)
{
    (void)state;
    const struct pd_service_config config = pd_service_config_default();
    world_open(&world, &config);
    return 0;
}

static inline int close_world(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

#endif
