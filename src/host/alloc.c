#include "base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_uint_least64_t fail_countdown;

/* True once, when the countdown of a test reaches its end. */
static int must_fail(void)
{
    if (__builtin_expect(atomic_load_explicit(&fail_countdown, memory_order_relaxed) == 0, 1)) {
        return 0;
    }
    return atomic_fetch_sub_explicit(&fail_countdown, 1, memory_order_relaxed) == 1;
}

void pd_alloc_fail_nth(uint64_t nth)
{
    atomic_store_explicit(&fail_countdown, nth, memory_order_relaxed);
}

void *pd_alloc(size_t size)
{
    return must_fail() ? NULL : malloc(size);
}

void *pd_alloc_zeroed(size_t count, size_t size)
{
    return must_fail() ? NULL : calloc(count, size);
}

void *pd_realloc(void *block, size_t size)
{
    return must_fail() ? NULL : realloc(block, size);
}

void pd_free(void *block)
{
    free(block);
}

char *pd_alloc_text(const char *text, size_t size)
{
    char *copy = pd_alloc(size + 1);
    if (copy != NULL) {
        memcpy(copy, text, size);
        copy[size] = '\0';
    }
    return copy;
}
