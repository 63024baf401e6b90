/* run_wasi - the words of `pando run` as a guest's arguments, environment and directories. */
#ifndef PD_CLI_RUN_WASI_H
#define PD_CLI_RUN_WASI_H

#include "cli/run_options.h"

struct pd_wasi_config;

/* Add them. PD_EXIT_CODE_OK, or what to exit with after the message that was printed. */
int pd_run_extend_wasi(const struct pd_run_options *options, struct pd_wasi_config *config);

#endif
