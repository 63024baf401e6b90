/* app - the application file: a supervision tree, declared in YAML.
 *
 * Role       Reads the file, says everything that is wrong with it (each mistake with line, column
 *            and key), and gives the tree that the runtime turns into supervisors. The schema
 *            is docs/app-file.md and app_schema.c; `pando check app.yaml` shows the outcome.
 * Model      A tree of children: workers (a module) and supervisors (children of their own). The
 *            root is a supervisor. Defaults are applied, so a child holds all that it is started
 *            with.
 * Rights     A worker has what its `permissions` say and nothing else, but stdio. A supervisor's
 *            `permissions` are a bound for all below it; what it does not mention is its parent's,
 *            and the root's is the operator's. Asking for more than the bound is a mistake.
 * Bounds     PD_APP_FILE_SIZE_MAX, PD_APP_DEPTH_MAX supervisors deep, PD_APP_CHILDREN_MAX in all,
 *            PD_APP_NODES_MAX values. No anchors, aliases or tags, so nothing can grow beyond that.
 * Ownership  Everything that hangs on a struct pd_app is freed with it. */
#ifndef PD_NODE_APP_H
#define PD_NODE_APP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actor/child_spec.h"
#include "actor/supervisor.h"
#include "base/status.h"
#include "wasm/engine.h"
#include "wasm/rights.h"

#define PD_APP_FILE_SIZE_MAX (1u << 20)
#define PD_APP_DEPTH_MAX 12u
#define PD_APP_CHILDREN_MAX 4096u
#define PD_APP_NODES_MAX 200000u
#define PD_APP_MISTAKES_MAX 100u
#define PD_APP_UNLIMITED UINT64_MAX

struct pd_app_directory {
    const char *host; /* relative ones are relative to the file's folder: already resolved */
    const char *guest;
    bool is_writable;
};

struct pd_app_rights {
    bool can_spawn;
    bool can_compile;
    bool can_configure;
    bool has_stdio;
    enum pd_network_right network;
    const char **network_list; /* of PD_NETWORK_LIST: "host:port" */
    uint32_t network_count;
    const char *kv_prefix;      /* keys of the store that begin so; NULL: none */
    uint64_t memory_bytes_max;  /* PD_APP_UNLIMITED: what the operator allows */
    uint64_t fuel_portions_max; /* PD_APP_UNLIMITED likewise */
    /* of a supervisor: `directories` is a bound; else all are allowed */
    bool is_bounded;
    struct pd_app_directory *directories;
    uint32_t directory_count;
};

/* A parameter of an exported function. What type it is follows from the function. */
struct pd_app_argument {
    bool is_vector;    /* v128; else an integer, to be cut to i32 if that is the parameter's type */
    uint8_t bytes[16]; /* little endian; integers are sign-extended */
};

struct pd_app_variable {
    const char *name;
    const char *value;
};

struct pd_app_child;

struct pd_app_supervisor {
    enum pd_supervisor_strategy strategy;
    enum pd_supervisor_auto_shutdown auto_shutdown;
    uint32_t restarts_max;
    uint64_t period_ns;
    uint32_t children_max;
    struct pd_app_child *children;
    uint32_t child_count;
    struct pd_app_child *child_template; /* of dynamic ones, or NULL */
};

struct pd_app_child {
    const char *id;
    const char *path;            /* "shop/sub/counter" */
    uint32_t line;               /* where it begins in the file */
    struct pd_app_child *parent; /* NULL: the root */
    enum pd_child_kind kind;
    enum pd_child_restart restart;
    enum pd_child_shutdown shutdown;
    uint64_t stop_ms;
    uint64_t ready_ms;
    bool needs_ready;
    bool handles_shutdown;
    bool is_significant;
    bool has_profile; /* else the operator's choice */
    enum pd_engine_profile profile;
    const char *registered; /* its name in the registry, or NULL */
    const char *output_tag; /* or NULL: lines come out as they are */
    struct pd_app_rights rights;
    const char *module;      /* as written; NULL for supervisors */
    const char *module_path; /* resolved against the file's folder */
    const char *function;    /* "_start" unless said otherwise */
    struct pd_app_argument *arguments;
    uint32_t argument_count;
    const char **words; /* `args`: WASI's argv behind the program's name */
    uint32_t word_count;
    struct pd_app_variable *variables;
    uint32_t variable_count;
    struct pd_app_supervisor supervisor; /* of supervisors */
};

struct pd_app {
    struct pd_app_child root; /* its id is the application's name */
    uint32_t child_count;     /* in the whole tree, without the root */
    void *arena;              /* private */
};

struct pd_app_mistake {
    uint32_t line; /* from 1; 0: the file as a whole */
    uint32_t column;
    const char *key; /* "children[1].shutdown"; "" for the file as a whole */
    const char *text;
};

struct pd_app_report {
    struct pd_app_mistake *mistakes; /* in the order of the file */
    uint32_t count;
    bool is_cut; /* there were more than PD_APP_MISTAKES_MAX */
    void *arena; /* private */
};

/* What may be asked of the file system. */
struct pd_app_files {
    void *context;
    /* Read at most `size` bytes from the beginning of a file. PD_ERR_UNKNOWN: there is none.
     * PD_ERR_INVALID: it is no regular file. PD_ERR_DENIED. PD_ERR_IO. */
    enum pd_status (*read)(void *context, const char *path, uint8_t *bytes, size_t size,
                           size_t *size_out);
};

/* The real files. */
extern const struct pd_app_files pd_app_real_files;

/* Where texts go: `size` bytes, not terminated. */
struct pd_app_output {
    void *context;
    void (*write)(void *context, const char *bytes, size_t size);
};

/* Parse a text. `file` is its name: relative paths in it are relative to its folder. files NULL:
 * modules are not looked at. *report_out is always to be given to pd_app_report_deinit.
 * PD_OK            *app_out is the caller's, and the report is empty.
 * PD_ERR_INVALID   the report says what is wrong.
 * PD_ERR_NO_MEMORY neither. */
PD_NODISCARD enum pd_status pd_app_parse(const char *text, size_t size, const char *file,
                                         const struct pd_app_files *files, struct pd_app **app_out,
                                         struct pd_app_report *report_out);

/* Read a file and parse it. A file that cannot be read is a mistake in the report, too. */
PD_NODISCARD enum pd_status pd_app_load(const char *file, const struct pd_app_files *files,
                                        struct pd_app **app_out, struct pd_app_report *report_out);

void pd_app_destroy(struct pd_app *app);
void pd_app_report_deinit(struct pd_app_report *report);

/* One line a mistake: "app.yaml:12:5: children[1].shutdown: ..." */
void pd_app_report_print(const struct pd_app_report *report, const char *file,
                         const struct pd_app_output *output);

/* The tree with strategies, restarts and the rights that each worker has. */
void pd_app_print_tree(const struct pd_app *app, const struct pd_app_output *output);

/* Those below the root, depth first, each supervisor before its children. NULL: it was the last. */
const struct pd_app_child *pd_app_next(const struct pd_app_child *child);

/* Look whether each worker's module exports the function that it begins with, and whether that
 * takes the arguments of the file, as running does. A line for each that does not: whose it is, and
 * what its module exports.
 * PD_OK. PD_ERR_INVALID: there were such. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_app_check_exports(const struct pd_app *app, const char *file,
                                                 const struct pd_app_files *files,
                                                 const struct pd_app_output *output);

/* The part of a child spec that the file says: id, function, restart, shutdown and readiness.
 * Borrowed from the app; the caller adds arguments and subject. */
struct pd_child_spec pd_app_child_spec(const struct pd_app_child *child);

/* The configuration of a supervisor's machine; its name is the child's path. */
struct pd_supervisor_config pd_app_supervisor_config(const struct pd_app_child *supervisor);

#endif
