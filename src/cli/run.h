/* run - running a program of guests, for `pando run` and for a node that hosts one. One
 * at a time. */
#ifndef PD_CLI_RUN_H
#define PD_CLI_RUN_H

#include "base/kv_port.h"
#include "cli/run_options.h"

struct pd_program;
struct pd_rights;

/* What the options let a module's first actor do; the caller's reference. PD_EXIT_CODE_OK, or what
 * to exit with: it was told why. */
int pd_run_rights(struct pd_program *program, const struct pd_run_options *options,
                  struct pd_rights **rights_out);

/* All of `pando run`, its words being understood. Returns the exit code. */
int pd_run_command(struct pd_run_options *options);

/* Whether the file of the options can be run: it is there, it is a module or an application file
 * that loads, and the directories can be given to it. Nothing runs. PD_EXIT_CODE_OK, or what to
 * exit with: it was told why not. */
int pd_run_check(const struct pd_run_options *options);

/* Open the runtime, over a store or none (NULL). NULL: it was told why not. */
struct pd_program *pd_run_begin(const struct pd_run_options *options, struct pd_kv_port *kv);
/* Load and run the file of the options until its main process has ended, or pd_program_interrupt
 * was called and it ended by that. Returns the exit code. */
int pd_run_main(struct pd_run_options *options);
void pd_run_end(void);

#endif
