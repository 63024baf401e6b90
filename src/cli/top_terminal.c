#include "cli/top_terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024
#define COLUMNS_DEFAULT 80
#define LINES_DEFAULT 24

/* The alternate screen, without a cursor; and back. */
static const char enter[] = "\x1b[?1049h\x1b[?25l";
static const char leave[] = "\x1b[0m\x1b[?25h\x1b[?1049l";

static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
static const int crashing[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};

/* What signal handlers read; they may only call what is safe in them. */
static struct termios before;
static volatile sig_atomic_t is_raw;   /* `before` is to be put back */
static volatile sig_atomic_t is_drawn; /* the alternate screen is shown */
static volatile sig_atomic_t asked;    /* the signal that ends us */
static volatile sig_atomic_t wants_stop;

static int lines_left;

static void put(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, text, size);
        if (written <= 0) {
            return; /* nobody looks any more */
        }
        text += written;
        size -= (size_t)written;
    }
}

static void give_back(void)
{
    if (is_drawn) {
        is_drawn = 0;
        put(leave, sizeof leave - 1);
    }
    if (is_raw) {
        is_raw = 0;
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
    }
}

static void take(void)
{
    struct termios raw;
    if (isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VMIN] = 0;
        raw.c_cc[VTIME] = 0;
        is_raw = 1;
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    if (pd_top_terminal_is_one()) {
        is_drawn = 1;
        put(enter, sizeof enter - 1);
    }
}

static void on_ending(int number)
{
    asked = number;
}

static void on_stop(int number)
{
    (void)number;
    wants_stop = 1;
}

static void on_resize(int number)
{
    (void)number; /* poll ends; the next picture has the new size */
}

/* Its action is the default one again: it ends us as it should. */
static void on_crash(int number)
{
    give_back();
    (void)raise(number);
}

static void handle(int number, void (*handler)(int number), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(number, &action, NULL);
}

void pd_top_terminal_open(void)
{
    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++) {
        handle(ending[i], on_ending, 0);
    }
    for (size_t i = 0; i < sizeof crashing / sizeof crashing[0]; i++) {
        handle(crashing[i], on_crash, (int)SA_RESETHAND);
    }
    handle(SIGTSTP, on_stop, 0);
    handle(SIGWINCH, on_resize, 0);
    take();
}

void pd_top_terminal_close(void)
{
    give_back();
}

bool pd_top_terminal_is_one(void)
{
    return isatty(STDOUT_FILENO) == 1;
}

void pd_top_terminal_size(int *columns_out, int *lines_out)
{
    struct winsize size = {0};
    *columns_out = COLUMNS_DEFAULT;
    *lines_out = LINES_DEFAULT;
    if (!pd_top_terminal_is_one()) {
        *columns_out = LINE_MAX_BYTES;
        *lines_out = INT16_MAX;
    } else if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        *columns_out = size.ws_col;
        *lines_out = size.ws_row;
    }
}

void pd_top_terminal_begin(void)
{
    int columns = 0;
    pd_top_terminal_size(&columns, &lines_left);
    (void)fputs(is_drawn ? "\x1b[H" : "", stdout);
}

void pd_top_terminal_line(const char *text, bool is_strong)
{
    int columns = 0;
    int lines = 0;
    if (lines_left == 0) {
        return;
    }
    lines_left--;
    pd_top_terminal_size(&columns, &lines);
    bool is_bright = is_strong && is_drawn != 0;
    (void)printf("%s%.*s%s%s", is_bright ? "\x1b[1m" : "", columns, text,
                 is_bright ? "\x1b[0m" : "", is_drawn ? "\x1b[K" : "");
    /* A line break in the last line would scroll. */
    (void)fputs(is_drawn && lines_left == 0 ? "" : "\n", stdout);
}

void pd_top_terminal_show(void)
{
    (void)fputs(is_drawn ? "\x1b[J" : "", stdout);
    (void)fflush(stdout);
}

static uint64_t now_ms(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000u + (uint64_t)time.tv_nsec / 1000000u;
}

/* Ctrl-Z: the terminal is as it was while we are stopped. */
static void stop(void)
{
    wants_stop = 0;
    give_back();
    (void)raise(SIGSTOP);
    take();
}

enum pd_top_key pd_top_terminal_wait(int wait_ms)
{
    uint64_t end_ms = now_ms() + (uint64_t)wait_ms;
    struct pollfd input = {.fd = isatty(STDIN_FILENO) ? STDIN_FILENO : -1, .events = POLLIN};
    while (asked == 0) {
        uint64_t now = now_ms();
        if (now >= end_ms) {
            return PD_TOP_NOTHING;
        }
        int result = poll(&input, 1, (int)(end_ms - now));
        char key = 0;
        if (wants_stop) {
            stop();
            return PD_TOP_NOTHING;
        }
        if (result < 0 && asked == 0) {
            return PD_TOP_NOTHING; /* resized */
        }
        /* A terminal that has nothing to read is gone. */
        if (result > 0 &&
            (read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q' || key == 3)) {
            return PD_TOP_QUIT;
        }
    }
    return PD_TOP_QUIT;
}

int pd_top_terminal_signal(void)
{
    return (int)asked;
}
