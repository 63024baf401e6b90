#include "wasm/error_tail.h"

#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"

#define CAPACITY_FIRST 128u

/* Room for `wanted` bytes, at most PD_ERROR_TAIL_MAX. */
static bool grow(struct pd_error_tail *tail, size_t wanted)
{
    if (wanted <= tail->capacity) {
        return true;
    }
    size_t capacity = tail->capacity == 0 ? CAPACITY_FIRST : tail->capacity;
    while (capacity < wanted) {
        capacity *= 2;
    }
    uint8_t *moved = pd_realloc(tail->bytes, capacity);
    if (moved == NULL) {
        return false;
    }
    tail->bytes = moved;
    tail->capacity = (uint32_t)capacity;
    return true;
}

void pd_error_tail_keep(struct pd_error_tail *tail, const uint8_t *bytes, size_t size)
{
    if (size > PD_ERROR_TAIL_MAX) {
        bytes += size - PD_ERROR_TAIL_MAX;
        size = PD_ERROR_TAIL_MAX;
    }
    size_t whole = tail->size + size;
    size_t dropped = whole > PD_ERROR_TAIL_MAX ? whole - PD_ERROR_TAIL_MAX : 0;
    if (size == 0 || !grow(tail, whole - dropped)) {
        return;
    }
    memmove(tail->bytes, tail->bytes + dropped, tail->size - dropped);
    memcpy(tail->bytes + tail->size - dropped, bytes, size);
    tail->size = (uint32_t)(whole - dropped);
}

/* The first byte of the first whole line; when there is none, of a character. */
static size_t line_start(const uint8_t *bytes, size_t size)
{
    const uint8_t *newline = memchr(bytes, '\n', size);
    if (newline != NULL && newline + 1 < bytes + size) {
        return (size_t)(newline + 1 - bytes);
    }
    size_t start = 0;
    while (start < size && (bytes[start] & 0xC0u) == 0x80u) {
        start++;
    }
    return start;
}

size_t pd_error_tail_text(const struct pd_error_tail *tail, char *text, size_t text_size)
{
    if (text_size == 0) {
        return 0;
    }
    size_t start = tail->size >= text_size ? tail->size - (text_size - 1) : 0;
    bool is_cut = start > 0 || tail->size == PD_ERROR_TAIL_MAX;
    if (is_cut) {
        start += line_start(tail->bytes + start, tail->size - start);
    }
    size_t size = tail->size - start;
    if (size > 0) {
        memcpy(text, tail->bytes + start, size);
    }
    text[size] = '\0';
    return size;
}

void pd_error_tail_deinit(struct pd_error_tail *tail)
{
    pd_free(tail->bytes);
    *tail = (struct pd_error_tail){0};
}
