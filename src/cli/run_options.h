/* run_options - the words of `pando run`. */
#ifndef PD_CLI_RUN_OPTIONS_H
#define PD_CLI_RUN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/options.h"
#include "node/crash_report.h"
#include "wasm/engine.h"
#include "wasm/rights.h"
#include "wasm/wasi.h"

#define PD_RUN_DIRECTORIES_MAX 64
#define PD_RUN_VARIABLES_MAX 256

struct pd_run_options {
    const char *file;
    int argument_count; /* of the guest, behind the file */
    char **arguments;
    const char *directories[PD_RUN_DIRECTORIES_MAX]; /* HOST[::GUEST] */
    int directory_count;
    const char *listeners[PD_WASI_LISTENERS_MAX]; /* HOST:PORT */
    int listener_count;
    const char *variables[PD_RUN_VARIABLES_MAX]; /* NAME=VALUE */
    int variable_count;
    bool is_seeded;
    uint64_t seed;
    bool has_stats;
    bool is_tagged;
    bool is_watching;
    /* as under Lunatic's own command: this command's environment is the guest's, and the program's
     * name comes without its folder */
    bool is_as_lunatic;
    bool deny_spawn;
    bool deny_compile;
    bool deny_configure;
    bool deny_stdio;
    /* Without a word about it, a module has no network, and an application what its file grants. */
    bool has_network;
    enum pd_network_right network;
    const char *network_list; /* of PD_NETWORK_LIST */
    uint64_t memory_bytes_max;
    uint64_t fuel_portions_max;
    uint64_t yield_interval;
    uint32_t scheduler_count; /* 0: one a processor */
    enum pd_engine_profile profile;
    enum pd_crash_mode crash_mode;
    const char *node;         /* its folder, or its socket; NULL: none */
    const char *cluster;      /* a ticket, or "@FILE"; NULL: none */
    uint64_t guest_bytes_max; /* of all guests together; 0: no limit */
    const char *kv_prefix;    /* keys of the store that guests may touch; NULL: none */
    const char *host_node;    /* the name of the node inside of which it runs; NULL: none */
};

/* As without any option. */
struct pd_run_options pd_run_options_default(void);

/* Of the command's table. */
extern const struct pd_option pd_run_options_table[];

/* False: help was printed, or what is wrong; *code_out is what to exit with. */
bool pd_run_options_parse(int count, char **words, struct pd_run_options *options_out,
                          int *code_out);

#endif
