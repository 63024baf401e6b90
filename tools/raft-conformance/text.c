#include "raft-conformance/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/utf8.h"

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

/* The bytes of the UTF-8 character at `bytes`, or 0; *rune_out is its number. */
static size_t decode_rune(const uint8_t *bytes, size_t size, uint32_t *rune_out)
{
    size_t count = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
    if (count > size || !pd_utf8_is_valid(bytes, count)) {
        return 0;
    }
    uint32_t rune = count == 1 ? bytes[0] : bytes[0] & (0x7fu >> count);
    for (size_t i = 1; i < count; i++) {
        rune = (rune << 6) | (bytes[i] & 0x3fu);
    }
    *rune_out = rune;
    return count;
}

/* Controls, blanks other than the space, formats, and what is nobody's or private. */
static bool is_printable(uint32_t rune)
{
    static const uint32_t hidden[][2] = {
        {0x00, 0x1f},     {0x7f, 0xa0},     {0xad, 0xad},     {0x1680, 0x1680},    {0x180e, 0x180e},
        {0x2000, 0x200f}, {0x2028, 0x202f}, {0x205f, 0x206f}, {0x3000, 0x3000},    {0xe000, 0xf8ff},
        {0xfeff, 0xfeff}, {0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0x10ffff},
    };
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        if (rune >= hidden[i][0] && rune <= hidden[i][1]) {
            return false;
        }
    }
    return true;
}

static void add_escaped(struct text *text, uint32_t rune)
{
    static const char named[] = "\aa\bb\ff\nn\rr\tt\vv";
    for (size_t i = 0; i < sizeof named - 1; i += 2) {
        if (rune == (uint32_t)(unsigned char)named[i]) {
            text_add(text, "\\%c", named[i + 1]);
            return;
        }
    }
    text_add(text, rune < 0x80 ? "\\x%02x" : rune < 0x10000 ? "\\u%04x" : "\\U%08x", rune);
}

void text_add_quoted(struct text *text, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    text_add(text, "\"");
    while (size > 0) {
        uint32_t rune = 0;
        size_t count = decode_rune(at, size, &rune);
        if (count == 0) {
            text_add(text, "\\x%02x", at[0]);
            count = 1;
        } else if (!is_printable(rune)) {
            add_escaped(text, rune);
        } else {
            text_add(text, rune == '"' || rune == '\\' ? "\\" : "");
            text_add_bytes(text, at, count);
        }
        at += count;
        size -= count;
    }
    text_add(text, "\"");
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
