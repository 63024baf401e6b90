/* banned - functions that Pando does not call, included before every source by the build
 * (-include).
 *
 * Each is declared here as unavailable, so that a call is an error at its own line, with the
 * reason. A poisoned name would also break the system headers that declare these functions; a
 * declaration that carries the attribute merges with theirs and harms only callers. `alloca` and
 * variable length arrays are left to -Walloca and -Wvla. */
#ifndef PD_BANNED_H
#define PD_BANNED_H

#define PD_BANNED(why) __attribute__((unavailable("banned: " why)))

/* Writes past the end, or leaves the end open. */
char *strcpy(char *restrict to, const char *restrict from)
    PD_BANNED("no bound; use snprintf or memcpy");
char *stpcpy(char *restrict to, const char *restrict from)
    PD_BANNED("no bound; use snprintf or memcpy");
char *strcat(char *restrict to, const char *restrict from) PD_BANNED("no bound; use snprintf");
char *strncpy(char *restrict to, const char *restrict from, __SIZE_TYPE__ size)
    PD_BANNED("may leave no terminator; use snprintf or memcpy");
char *strncat(char *restrict to, const char *restrict from, __SIZE_TYPE__ size)
    PD_BANNED("its bound is not the buffer's size; use snprintf");
int sprintf(char *restrict to, const char *restrict format, ...)
    PD_BANNED("no bound; use snprintf");
int vsprintf(char *restrict to, const char *restrict format, __builtin_va_list arguments)
    PD_BANNED("no bound; use vsnprintf");
char *gets(char *to) PD_BANNED("no bound; use fgets");

/* Says nothing about bad input. */
int atoi(const char *text) PD_BANNED("cannot report an error; use strtol and check the end");
long atol(const char *text) PD_BANNED("cannot report an error; use strtol and check the end");
__extension__ long long atoll(const char *text)
    PD_BANNED("cannot report an error; use strtoll and check the end");
double atof(const char *text) PD_BANNED("cannot report an error; use strtod and check the end");

/* Keeps its state or result in one place for all threads. */
char *strtok(char *restrict text, const char *restrict separators) PD_BANNED("not thread safe");

/* Draws from a hidden source: entropy comes through host.h, so that a seed replays. */
int rand(void) PD_BANNED("entropy comes through host.h");
void srand(unsigned int seed) PD_BANNED("entropy comes through host.h");
long random(void) PD_BANNED("entropy comes through host.h");

/* Runs a shell, or races for a name. */
int system(const char *command) PD_BANNED("runs a shell");
char *tmpnam(char *name) PD_BANNED("races for the name; use mkstemp");
char *mktemp(char *pattern) PD_BANNED("races for the name; use mkstemp");

#endif
