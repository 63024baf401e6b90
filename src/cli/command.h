/* command - what the subcommands of `pando` share. Exit codes: 0 done, 1 failed, 2 the words were
 * wrong. */
#ifndef PD_CLI_COMMAND_H
#define PD_CLI_COMMAND_H

#include "base/status.h"

#define PD_EXIT_CODE_OK 0
#define PD_EXIT_CODE_FAILED 1
#define PD_EXIT_CODE_USAGE 2

struct pd_command {
    const char *name;
    const char *arguments;                   /* "FILE [ARGUMENT...]" */
    const char *summary;                     /* one line */
    const char *help;                        /* options and examples, lines */
    int (*run)(int count, char **arguments); /* after the command's name */
};

/* Print "pando: ..." to stderr, and how to get help with this command; returns
 * PD_EXIT_CODE_USAGE. */
int pd_command_usage(const struct pd_command *command, const char *format, ...) PD_PRINTF(2, 3);

/* Print "pando: ..." to stderr; returns PD_EXIT_CODE_FAILED. */
int pd_command_failed(const char *format, ...) PD_PRINTF(1, 2);

/* Print usage, help and examples to stdout. */
void pd_command_help(const struct pd_command *command);

/* The table of main.c, ended by a NULL. */
extern const struct pd_command *const pd_commands[];

extern const struct pd_command pd_command_check;
extern const struct pd_command pd_command_cluster;
extern const struct pd_command pd_command_dev;
extern const struct pd_command pd_command_join;
extern const struct pd_command pd_command_run;
extern const struct pd_command pd_command_sim;
extern const struct pd_command pd_command_ps;
extern const struct pd_command pd_command_info;
extern const struct pd_command pd_command_kill;
extern const struct pd_command pd_command_trace;
extern const struct pd_command pd_command_version;
extern const struct pd_command pd_command_wal;
extern const struct pd_command pd_command_start;
extern const struct pd_command pd_command_kv;
extern const struct pd_command pd_command_status;

#endif
