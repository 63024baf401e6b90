/* remote - the near end of the control socket: finds the running program, asks it, reads what it
 * answers.
 *
 * Model      One program of the user is found by itself; of several, one must be named (--program):
 *            by its process id, or by the node inside of which it runs. A word that is both is the
 *            process id. Of several, one that does not say in PD_CONTROL_PATIENCE_S seconds where
 *            it runs (it was stopped, say) is passed over with a word.
 * Errors     Functions print what is wrong for a person, and return an exit code or NULL. */
#ifndef PD_CLI_REMOTE_H
#define PD_CLI_REMOTE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/options.h"

/* What ps, info, kill and trace have in common. */
struct pd_remote_options {
    const char *program; /* its process id or its node's name; NULL: find the only one */
    const char *process; /* PID|NAME, or NULL */
};

struct pd_remote {
    int os_pid; /* whom it speaks to */
    FILE *stream;
    char *line;
    size_t line_capacity;
};

/* --program OSPID|NODE, of a command's table of options. */
#define PD_OPTION_PROGRAM(type, member)                                                            \
    {                                                                                              \
        .name = "--program", .kind = PD_OPTION_TEXT, .value = "OSPID|NODE",                        \
        .text =                                                                                    \
            "which program, when several are running: its process id, or the name of the node "    \
            "inside of which it runs",                                                             \
        .offset = offsetof(type, member)                                                           \
    }

/* Connect. PD_EXIT_CODE_OK or PD_EXIT_CODE_FAILED. */
int pd_remote_open(struct pd_remote *remote, const struct pd_remote_options *options);
void pd_remote_close(struct pd_remote *remote);

/* Send a request; takes the object. PD_EXIT_CODE_OK or PD_EXIT_CODE_FAILED. */
int pd_remote_send(struct pd_remote *remote, json_t *request);

/* Read a line: the caller's object, or NULL when the program refused or is gone. */
json_t *pd_remote_read(struct pd_remote *remote);

/* A number that may have been too large for JSON, or 0. A text, or "". Borrowed from the object. */
uint64_t pd_remote_number(const json_t *object, const char *key);
const char *pd_remote_text(const json_t *object, const char *key);

/* Print a guest's text with '?' for control characters; returns how many columns it took. */
int pd_remote_print(FILE *stream, const char *text, int columns_max);

/* "64 KiB" into `text`. */
void pd_remote_size_text(uint64_t bytes, char *text, size_t size);

/* "waiting", "in host call fd_read", ... into `text`. */
void pd_remote_state_text(const json_t *process, char *text, size_t size);

#endif
