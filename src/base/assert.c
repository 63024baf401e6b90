#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX 512

void (*pd_last_words)(bool is_bug, const char *text);

static _Noreturn void die(bool is_bug, const char *text)
{
    if (pd_last_words != NULL) {
        pd_last_words(is_bug, text);
    }
    (void)fprintf(stderr, "pando: %s%s\n", is_bug ? "bug: " : "fatal: ", text);
    abort();
}

_Noreturn void pd_assert_failed(const char *condition, const char *file, int line)
{
    char text[TEXT_MAX];
    (void)snprintf(text, sizeof text, "assertion failed: %s (%s:%d)", condition, file, line);
    die(true, text);
}

_Noreturn void pd_fatal(const char *format, ...)
{
    char text[TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    die(false, text);
}
