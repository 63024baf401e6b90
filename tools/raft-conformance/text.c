#include "raft-conformance/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

static void reserve(struct text *text, size_t size)
{
    if (text->size + size < text->room) {
        return;
    }
    size_t room = text->room == 0 ? 256 : text->room;
    while (room <= text->size + size) {
        room *= 2;
    }
    char *bytes = pd_realloc(text->bytes, room);
    if (bytes == NULL) {
        pd_fatal("raft-conformance: no memory is left");
    }
    text->bytes = bytes;
    text->room = room;
}

void text_add_bytes(struct text *text, const void *bytes, size_t size)
{
    reserve(text, size);
    if (size > 0) {
        memcpy(text->bytes + text->size, bytes, size);
    }
    text->size += size;
    text->bytes[text->size] = '\0';
}

void text_add_list(struct text *text, const char *format, va_list arguments)
{
    pd_assert(format != NULL);
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    pd_assert(size >= 0);
    reserve(text, (size_t)size);
    (void)vsnprintf(text->bytes + text->size, (size_t)size + 1, format, arguments);
    text->size += (size_t)size;
}

void text_add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_add_list(text, format, arguments);
    va_end(arguments);
}

void text_add_indented(struct text *text, const char *lines, const char *indent)
{
    while (*lines != '\0') {
        size_t size = strcspn(lines, "\n");
        text_add_bytes(text, indent, strlen(indent));
        text_add_bytes(text, lines, size);
        text_add_bytes(text, "\n", 1);
        lines += size + (lines[size] == '\n' ? 1 : 0);
    }
}

const char *text_of(const struct text *text)
{
    return text->bytes == NULL ? "" : text->bytes;
}

void text_end_line(struct text *text)
{
    if (text->size > 0 && text->bytes[text->size - 1] != '\n') {
        text_add_bytes(text, "\n", 1);
    }
}

void text_clear(struct text *text)
{
    text->size = 0;
    if (text->bytes != NULL) {
        text->bytes[0] = '\0';
    }
}

void text_free(struct text *text)
{
    pd_free(text->bytes);
    *text = (struct text){0};
}

void *must_alloc(size_t size)
{
    void *block = pd_alloc_zeroed(1, size);
    if (block == NULL) {
        pd_fatal("raft-conformance: no memory is left");
    }
    return block;
}

char *must_copy(const char *text, size_t size)
{
    char *copy = must_alloc(size + 1);
    memcpy(copy, text, size);
    return copy;
}
