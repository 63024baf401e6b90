/* error_tail - what a guest wrote last to its standard error, kept for the report of its crash.
 *
 * Model      The last PD_ERROR_TAIL_MAX bytes. A panic's message is there when the guest traps
 *            right after it.
 * Bounds     PD_ERROR_TAIL_MAX bytes, taken from the heap when something is written, in growing
 *            steps.
 * Ownership  The caller owns the structure; zero is empty. Without memory less is kept, or
 *            nothing. */
#ifndef PD_WASM_ERROR_TAIL_H
#define PD_WASM_ERROR_TAIL_H

#include <stddef.h>
#include <stdint.h>

#define PD_ERROR_TAIL_MAX 1024u

struct pd_error_tail {
    uint8_t *bytes;
    uint32_t size;
    uint32_t capacity;
};

void pd_error_tail_keep(struct pd_error_tail *tail, const uint8_t *bytes, size_t size);

/* The kept bytes from the beginning of a line on, if they hold one; at most text_size - 1, the
 * newest; terminated. Returns the length. */
size_t pd_error_tail_text(const struct pd_error_tail *tail, char *text, size_t text_size);

void pd_error_tail_deinit(struct pd_error_tail *tail);

#endif
