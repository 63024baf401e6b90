/* Alone in its file: build/bin/pando-before is the same program with another one of it. */
#include "kv/version.h"

#ifndef PANDO_VERSION_LIMIT
#define PANDO_VERSION_LIMIT PD_KV_VERSION_LAST
#endif

_Static_assert(PANDO_VERSION_LIMIT >= PD_KV_VERSION_FIRST &&
                   PANDO_VERSION_LIMIT <= PD_KV_VERSION_LAST,
               "a version that this source knows");

uint32_t pd_kv_version_limit(void)
{
    return PANDO_VERSION_LIMIT;
}
