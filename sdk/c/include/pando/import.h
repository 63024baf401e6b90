/* import - what all headers of the SDK share: how a function comes from Pando, or is shown to it.
 *
 * Guests    C11 and later, compiled by clang for wasm32: with wasi-libc, or freestanding (every
 *           header is `static inline` and needs no libc, not even memcpy).
 * Texts     UTF-8. Where a function takes a `const char *`, it is zero-terminated and borrowed for
 *           the call.
 * Times     Milliseconds, as uint64_t; PANDO_FOREVER never ends, 0 does not wait.
 * Mistakes  A pointer out of bounds, invalid UTF-8 or an id that does not exist ends the process
 *           with a trap whose text says what was wrong. Everything that can happen to a correct
 *           program is a result instead. */
#ifndef PANDO_IMPORT_H
#define PANDO_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A function that Pando gives. */
#define PANDO_IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

/* A function that Pando may call by this name: the entry of a process. It takes int32_t or int64_t
 * (up to 16) and returns nothing. With wasi-libc each call sets libc up first and flushes stdio at
 * its end; freestanding modules have nothing to set up.
 *
 *   PANDO_EXPORT("worker") void worker(int64_t parent) { ... } */
#define PANDO_EXPORT(name) __attribute__((export_name(name), visibility("default")))

/* A timeout that never ends. */
#define PANDO_FOREVER UINT64_MAX

/* The parent's own module or configuration, where an id of one is asked for. */
#define PANDO_INHERIT UINT64_MAX

/* How a function that may fail answers. */
enum pando_result {
    PANDO_OK = 0,
    PANDO_ERROR = 1, /* an error id was written: see error.h */
    PANDO_TIMED_OUT = 9027
};

/* The size of a zero-terminated text, in bytes. */
static inline uint32_t pando_text_size(const char *text)
{
    uint32_t size = 0;
    while (text[size] != '\0') {
        size++;
    }
    return size;
}

#endif
