/* span - a borrowed run of bytes. Pure. */
#ifndef PD_BASE_SPAN_H
#define PD_BASE_SPAN_H

#include <stddef.h>
#include <stdint.h>

/* `bytes` may be NULL when `size` is 0. Whoever hands one out says until when it is good. */
struct pd_span {
    const uint8_t *bytes;
    size_t size;
};

#endif
