/* progress - how far it is, on standard error: a bar on a terminal, a line every tenth
 * otherwise. */
#ifndef WORDCOUNT_PROGRESS_H
#define WORDCOUNT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool is_bar;
    bool is_bar_shown; /* the last line of the terminal is the bar */
    uint32_t tenth;    /* told last, or 0 */
    uint64_t begun_ns;
    uint64_t shown_ns;
};

void progress_begin(struct progress *progress);

/* done of all chunks; `bytes` is what all of them hold. */
void progress_show(struct progress *progress, uint32_t done, uint32_t all, uint64_t bytes);

/* One line about something that happened. */
void progress_say(struct progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
