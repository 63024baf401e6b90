#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void pd_assert_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "pando: bug: assertion failed: %s (%s:%d)\n", condition, file, line);
    abort();
}

_Noreturn void pd_fatal(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fputs("pando: fatal: ", stderr);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
    abort();
}
