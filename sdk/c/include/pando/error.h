/* error - what went wrong, in words. Functions that answer PANDO_ERROR write an error id where
 * their result would have gone. An id is this process's own, and stays until it is dropped: drop
 * what you have read, 4,096 are kept at most. */
#ifndef PANDO_ERROR_H
#define PANDO_ERROR_H

#include "import.h"

PANDO_IMPORT("lunatic::error", "string_size") uint32_t pando_import_error_size(uint64_t error);
PANDO_IMPORT("lunatic::error", "to_string") void pando_import_error_text(uint64_t error, char *to);
PANDO_IMPORT("lunatic::error", "drop") void pando_import_error_drop(uint64_t error);

/* The size of the text in bytes, without a zero at its end; at most 1,024. Traps: no such error. */
static inline uint32_t pando_error_size(uint64_t error)
{
    return pando_import_error_size(error);
}

/* Copy the text into `to`, which has `room` bytes (at least 1), ended by a zero, and drop the
 * error. Returns its size. A text that does not fit in room - 1 bytes is replaced by "". 1,025
 * bytes always do. Traps: no such error. */
static inline uint32_t pando_error_take(uint64_t error, char *to, uint32_t room)
{
    uint32_t size = pando_import_error_size(error);
    if (size < room) {
        pando_import_error_text(error, to);
    } else {
        size = 0;
    }
    to[size] = '\0';
    pando_import_error_drop(error);
    return size;
}

/* Forget it unread. Traps: no such error. */
static inline void pando_error_drop(uint64_t error)
{
    pando_import_error_drop(error);
}

#endif
