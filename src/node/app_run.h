/* app_run - turns an application file into supervisors: loads modules, makes rights, builds the
 * tree.
 *
 * Model      Each worker's module is loaded once per profile. The operator's bounds (command line)
 *            narrow what the file grants. The root supervisor is the program's main process.
 * Watching   pd_app_run_poll looks whether module files changed; a changed one is loaded anew and
 *            only the children that run it are replaced, by a request to their supervisor.
 * Ownership  The caller owns the program and the app, and keeps both alive until pd_app_run_close.
 * Threads    One thread. */
#ifndef PD_NODE_APP_RUN_H
#define PD_NODE_APP_RUN_H

#include "node/app.h"
#include "node/program.h"
#include "wasm/supervised.h"

/* What the command line allows and adds. */
struct pd_app_operator {
    bool deny_spawn;
    bool deny_compile;
    bool deny_configure;
    bool deny_stdio;
    bool is_tagged; /* lines of output begin with the worker's path unless the file gives a tag */
    enum pd_network_right network;
    const char *network_list; /* of PD_NETWORK_LIST: entries with commas between; borrowed */
    const char *kv_prefix;    /* keys of the store that any worker may touch; NULL: none */
    uint64_t memory_bytes_max;
    uint64_t fuel_portions_max;     /* 0: unlimited */
    enum pd_engine_profile profile; /* of children that name none */
    /* NULL, or: add arguments, variables and directories of the command line to a worker's
     * configuration. False: it said why not. */
    bool (*extend)(void *context, struct pd_wasi_config *config);
    void *context;
};

struct pd_app_loaded; /* a module in use */

struct pd_app_run {
    struct pd_program *program;
    const struct pd_app *app;
    struct pd_app_operator operator_;
    struct pd_supervised_tree *tree;
    struct pd_app_loaded *loaded;
    uint32_t loaded_count;
    uint32_t loaded_capacity;
};

/* Load everything and build the tree. On failure *message says what is wrong with which child, and
 * nothing is left. Statuses of pd_program_load; PD_ERR_INVALID: arguments do not fit a function. */
PD_NODISCARD enum pd_status pd_app_run_open(struct pd_app_run *run, struct pd_program *program,
                                            const struct pd_app *app,
                                            const struct pd_app_operator *operator_,
                                            struct pd_module_message *message);

/* Make the root supervisor the program's main process and start it. Statuses of
 * pd_supervised_tree_open. */
PD_NODISCARD enum pd_status pd_app_run_start(struct pd_app_run *run);

/* Replace the children whose module file changed; returns how many were asked to be. A module that
 * does not load is told on standard error and the old one stays. */
uint32_t pd_app_run_poll(struct pd_app_run *run);

void pd_app_run_close(struct pd_app_run *run);

#endif
