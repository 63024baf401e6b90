#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <pando/pando.h>

#define BAR_WIDTH 40u
#define REDRAW_NS UINT64_C(50000000)

void progress_begin(struct progress *progress)
{
    *progress = (struct progress){.is_bar = isatty(STDERR_FILENO) != 0};
    progress->begun_ns = pando_now_ns();
}

static void show_bar(struct progress *progress, uint32_t done, uint32_t all, uint64_t bytes)
{
    uint64_t now_ns = pando_now_ns();
    if (done < all && now_ns - progress->shown_ns < REDRAW_NS) {
        return;
    }
    progress->shown_ns = now_ns;
    char bar[BAR_WIDTH + 1];
    uint32_t filled = (uint32_t)((uint64_t)done * BAR_WIDTH / all);
    memset(bar, '#', filled);
    memset(bar + filled, '.', BAR_WIDTH - filled);
    bar[BAR_WIDTH] = '\0';
    double seconds = (double)(now_ns - progress->begun_ns) / 1e9;
    double megabytes = (double)bytes * done / all / 1e6;
    /* Output leaves as whole lines: the bar is one, and is replaced from the line below it. */
    fprintf(stderr, "%s[%s] %3u %%  %u of %u chunks, %.0f MB/s\n",
            progress->is_bar_shown ? "\033[1A\033[2K" : "", bar,
            (uint32_t)((uint64_t)done * 100 / all), done, all,
            seconds > 0 ? megabytes / seconds : 0.0);
    progress->is_bar_shown = true;
}

void progress_show(struct progress *progress, uint32_t done, uint32_t all, uint64_t bytes)
{
    if (all == 0) {
        return;
    }
    if (progress->is_bar) {
        show_bar(progress, done, all, bytes);
        return;
    }
    uint32_t tenth = (uint32_t)((uint64_t)done * 10 / all);
    if (tenth > progress->tenth) {
        progress->tenth = tenth;
        fprintf(stderr, "%3u %%  %u of %u chunks\n", tenth * 10, done, all);
    }
}

void progress_say(struct progress *progress, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    progress->is_bar_shown = false;
}
