/* module - compiled code of one guest program, ready to be spawned.
 *
 * Model      Loading validates, compiles (or takes compiled code from the cache), checks every
 *            import against the linker, and indexes the exported functions. A module never changes
 *            afterwards.
 * Bounds     wasm_bytes_max of the caller; PD_MODULE_EXPORTS_MAX functions are indexed, the rest
 *            cannot be spawned.
 * Ownership  Reference counted, on any thread. The linker outlives its modules.
 * Threads    Loading blocks for as long as compilation takes: on a helper thread (see compile.h) or
 *            before the schedulers start. */
#ifndef PD_WASM_MODULE_H
#define PD_WASM_MODULE_H

#include <stdatomic.h>

#include "wasm/line_table.h"
#include "wasm/linker.h"

#define PD_MODULE_HASH_SIZE 32u
#define PD_MODULE_MESSAGE_SIZE 2048u
#define PD_MODULE_EXPORTS_MAX 65536u
#define PD_MODULE_PARAMS_MAX 16u
#define PD_MODULE_BYTES_MAX_DEFAULT (256u * 1024u * 1024u)
#define PD_MODULE_LINES_MAX (8u * 1024u * 1024u) /* a larger line table is not kept */

struct pd_cache;
struct pd_memory_budget;

/* An exported function. Strings belong to the module. */
struct pd_module_export {
    const char *name;
    uint32_t name_size;
    uint8_t param_count; /* 255: more than PD_MODULE_PARAMS_MAX, cannot be called */
    uint8_t result_count;
    uint8_t params[PD_MODULE_PARAMS_MAX]; /* WASMTIME_I32 to WASMTIME_V128; 255: a reference */
    uint8_t result;                       /* the first one's kind */
};

struct pd_module {
    struct pd_linker *linker;
    wasmtime_module_t *module;
    wasmtime_instance_pre_t *instance_pre;
    atomic_uint_least32_t reference_count;
    uint8_t hash[PD_MODULE_HASH_SIZE]; /* sha256 of the wasm bytes */
    size_t wasm_size;
    uint64_t memory_bytes_min;   /* what the exported memory begins with; 0: none is exported */
    uint32_t table_elements_max; /* where guests have a budget: what a table may grow to */
    uint64_t instance_bytes;     /* of the host's heap, with tables as large as that */
    bool has_start;              /* instantiating it runs guest code */
    /* it was instantiated once: segments fit, so it always can be, resources given */
    atomic_bool is_proven;
    bool is_cached; /* the code came from the cache */
    /* What backtraces look up, with a copy of the bytes; lines_size 0: nothing. */
    struct pd_line_table line_table;
    uint8_t *line_bytes;
    uint32_t code_offset; /* where the table's addresses begin to count, in the module */
    uint32_t export_count;
    struct pd_memory_budget *budget; /* holds budget_bytes for the code; NULL: nobody counts it */
    uint64_t budget_bytes;
    struct pd_module_export *exports; /* sorted by name */
    char *names;
    char *origin; /* the file it came from, or NULL */
};

/* Why loading failed, for a person. */
struct pd_module_message {
    char text[PD_MODULE_MESSAGE_SIZE];
};

struct pd_module_source {
    const uint8_t *bytes;
    size_t size;
    size_t wasm_bytes_max;
    struct pd_cache *cache; /* NULL: none */
};

/* Load a module; *module_out has one reference.
 *
 * PD_ERR_RANGE        Larger than wasm_bytes_max.
 * PD_ERR_INVALID      Not a module, or one that does not validate.
 * PD_ERR_UNSUPPORTED  A component, or a module whose imports nobody defines: all are named.
 * PD_ERR_NO_MEMORY
 * On failure *message says what is wrong and what to do. */
PD_NODISCARD enum pd_status pd_module_load(struct pd_linker *linker,
                                           const struct pd_module_source *source,
                                           struct pd_module **module_out,
                                           struct pd_module_message *message);

/* As above from the text format, for tests and tools only: bytes that guests supply never take this
 * door. */
PD_NODISCARD enum pd_status pd_module_load_text(struct pd_linker *linker, const char *wat,
                                                struct pd_module **module_out,
                                                struct pd_module_message *message);

/* Remember where it came from, for reports; before others know it. Without memory it stays
 * unknown. */
void pd_module_set_origin(struct pd_module *module, const char *origin);

/* Count its compiled code on a budget as long as it lives. Once, by who loaded it and before
 * anybody else has it. PD_ERR_NO_MEMORY: the budget has no room, and nothing changed. */
PD_NODISCARD enum pd_status pd_module_count_on(struct pd_module *module,
                                               struct pd_memory_budget *budget);

struct pd_module *pd_module_acquire(struct pd_module *module);
void pd_module_release(struct pd_module *module); /* NULL is allowed */

/* The exported function of that name, or NULL. Valid as long as the module. */
const struct pd_module_export *pd_module_find(const struct pd_module *module, const char *name,
                                              size_t name_size);

#endif
