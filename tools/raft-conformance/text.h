/* text - a text that grows. A tool's: without memory it ends the program. */
#ifndef PD_CONFORMANCE_TEXT_H
#define PD_CONFORMANCE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct text {
    char *bytes; /* ends with a zero byte; NULL while nothing was added */
    size_t size;
    size_t room;
};

void text_add(struct text *text, const char *format, ...) PD_PRINTF(2, 3);
void text_add_list(struct text *text, const char *format, va_list arguments) PD_PRINTF(2, 0);
void text_add_bytes(struct text *text, const void *bytes, size_t size);
/* In double quotes, what is not printable escaped as Go's %q does. */
void text_add_quoted(struct text *text, const void *bytes, size_t size);
/* Each line of `lines` behind `indent`. */
void text_add_indented(struct text *text, const char *lines, const char *indent);
const char *text_of(const struct text *text);
/* Ends with a newline afterwards. */
void text_end_line(struct text *text);
void text_clear(struct text *text);
void text_free(struct text *text);

/* Memory or the end. */
void *must_alloc(size_t size);
char *must_copy(const char *text, size_t size);

#endif
