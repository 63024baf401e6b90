/* text - bytes that are written from front to back into memory that grows. For src/gateway, and for
 * what src/node adds to its pages.
 *
 * Model      Writers never fail visibly: after one that found no room, has_failed is set and all
 *            that follow do nothing, so that whoever wrote looks once, at the end.
 * Bounds     size_max.
 * Ownership  The caller owns the structure; the bytes are its until deinit. */
#ifndef PD_GATEWAY_TEXT_H
#define PD_GATEWAY_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

struct pd_text {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
    size_t size_max;
    bool has_failed;
};

void pd_text_init(struct pd_text *text, size_t size_max);
void pd_text_deinit(struct pd_text *text);
/* Empty, and good again. What it has of memory it keeps if that is not much. */
void pd_text_reset(struct pd_text *text);
/* Memory that it does not need is given back, if it is much. */
void pd_text_fit(struct pd_text *text);

/* Room for `size` bytes behind what is there, which the caller fills and adds to text->size. NULL:
 * there is none. */
uint8_t *pd_text_room(struct pd_text *text, size_t size);
void pd_text_put(struct pd_text *text, const void *bytes, size_t size);
void pd_text_puts(struct pd_text *text, const char *words);
void pd_text_format(struct pd_text *text, const char *format, ...) PD_PRINTF(2, 3);

static inline struct pd_span pd_text_span(const struct pd_text *text)
{
    return (struct pd_span){text->bytes, text->size};
}

#endif
