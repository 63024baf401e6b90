#include "gateway/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#define FIRST_SIZE ((size_t)512)
#define KEPT_SIZE ((size_t)16 * 1024)

void pd_text_init(struct pd_text *text, size_t size_max)
{
    *text = (struct pd_text){.size_max = size_max};
}

void pd_text_deinit(struct pd_text *text)
{
    pd_free(text->bytes);
    *text = (struct pd_text){.size_max = text->size_max};
}

void pd_text_reset(struct pd_text *text)
{
    if (text->capacity > KEPT_SIZE) {
        pd_text_deinit(text);
    }
    text->size = 0;
    text->has_failed = false;
}

void pd_text_fit(struct pd_text *text)
{
    if (text->capacity > KEPT_SIZE && text->size < text->capacity) {
        uint8_t *fitting = pd_realloc(text->bytes, text->size > 0 ? text->size : 1);
        if (fitting != NULL) {
            text->bytes = fitting;
            text->capacity = text->size > 0 ? text->size : 1;
        }
    }
}

uint8_t *pd_text_room(struct pd_text *text, size_t size)
{
    if (text->has_failed || size > text->size_max - text->size) {
        text->has_failed = true;
        return NULL;
    }
    if (size > text->capacity - text->size) {
        size_t wanted = text->capacity == 0 ? FIRST_SIZE : text->capacity;
        while (wanted - text->size < size) {
            wanted *= 2; /* size_max is far from where this would overflow */
        }
        uint8_t *grown = pd_realloc(text->bytes, wanted);
        if (grown == NULL) {
            text->has_failed = true;
            return NULL;
        }
        text->bytes = grown;
        text->capacity = wanted;
    }
    return text->bytes + text->size;
}

void pd_text_put(struct pd_text *text, const void *bytes, size_t size)
{
    uint8_t *room = size == 0 ? NULL : pd_text_room(text, size);
    if (room != NULL) {
        memcpy(room, bytes, size);
        text->size += size;
    }
}

void pd_text_puts(struct pd_text *text, const char *words)
{
    pd_text_put(text, words, strlen(words));
}

void pd_text_format(struct pd_text *text, const char *format, ...)
{
    va_list arguments;
    char small[256];
    va_start(arguments, format);
    int size = vsnprintf(small, sizeof small, format, arguments);
    va_end(arguments);
    if (size >= 0 && (size_t)size < sizeof small) {
        pd_text_put(text, small, (size_t)size);
        return;
    }
    uint8_t *room = size < 0 ? NULL : pd_text_room(text, (size_t)size + 1);
    if (room == NULL) {
        text->has_failed = true;
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf((char *)room, (size_t)size + 1, format, arguments);
    va_end(arguments);
    text->size += (size_t)size;
}
