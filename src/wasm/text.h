/* text - bounded texts that never end inside a UTF-8 character. Pure. */
#ifndef PD_WASM_TEXT_H
#define PD_WASM_TEXT_H

#include <stddef.h>
#include <string.h>

/* `size` bytes of UTF-8, or fewer so that no character is cut when only `room` fit. */
static inline size_t pd_text_fit(const char *bytes, size_t size, size_t room)
{
    if (size <= room) {
        return size;
    }
    while (room > 0 && ((unsigned char)bytes[room] & 0xC0u) == 0x80u) {
        room--;
    }
    return room;
}

/* Copy into text[text_size], terminated, cut at a character. Returns the length. */
static inline size_t pd_text_copy(char *text, size_t text_size, const char *bytes, size_t size)
{
    if (text_size == 0) {
        return 0;
    }
    size_t length = pd_text_fit(bytes, size, text_size - 1);
    memcpy(text, bytes, length);
    text[length] = '\0';
    return length;
}

#endif
