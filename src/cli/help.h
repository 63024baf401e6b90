/* help - what is made of the table of commands: what `--help` prints, man pages, completion. */
#ifndef PD_CLI_HELP_H
#define PD_CLI_HELP_H

#include <stdio.h>

#include "cli/command.h"

/* "usage: pando kv put [OPTION...] KEY VALUE" */
void pd_help_usage(FILE *stream, const struct pd_command *command);

/* Usage, what it does, options, exit codes and examples. */
void pd_help_command(FILE *stream, const struct pd_command *command);

/* All commands, a line each. */
void pd_help_overview(FILE *stream);

/* The man page of a command, in mdoc; NULL: of pando itself. */
void pd_man_print(FILE *out, const struct pd_command *command);

/* The completion script of a shell. False: none for that one. */
bool pd_completion_print(FILE *out, const char *shell);

/* The text of `help` in lines of `columns` at most, each behind `indent` blanks; the first one
 * begins at column `at`. Ends with a line break. */
void pd_help_wrap(FILE *stream, const char *text, int at, int indent, int columns);

#endif
