/* compile - modules that guests supply are compiled on helper threads, a bounded number at a time.
 *
 * Model      A host function opens a compile job over a copy of the bytes and returns pd_call_block
 *            of it; in `finish` it takes the module, or reads why there is none.
 * Bounds     The budget: jobs at once, bytes at once, bytes of one module.
 * Ownership  As of every struct pd_blocking. What `finish` does not take is released with the
 *            job. */
#ifndef PD_WASM_COMPILE_H
#define PD_WASM_COMPILE_H

#include "base/spin.h"
#include "wasm/hostcall.h"
#include "wasm/module.h"

struct pd_compile_budget {
    struct pd_linker *linker;
    struct pd_cache *cache;          /* NULL: none */
    struct pd_memory_budget *memory; /* what modules count on as long as they live; NULL: nothing */
    uint32_t jobs_max;
    uint64_t bytes_max;
    size_t wasm_bytes_max;
    struct pd_spin lock;
    uint32_t job_count;
    uint64_t byte_count;
};

struct pd_compile_job {
    struct pd_blocking blocking; /* first; the caller sets `finish` */
    struct pd_compile_budget *budget;
    size_t size;
    enum pd_status status;
    struct pd_module *module; /* of PD_OK; whoever takes it sets this to NULL */
    struct pd_module_message message;
    uint8_t bytes[];
};

void pd_compile_budget_init(struct pd_compile_budget *budget, struct pd_linker *linker,
                            struct pd_cache *cache, uint32_t jobs_max, uint64_t bytes_max,
                            size_t wasm_bytes_max);

/* Begin a job over a copy of the bytes; give it to pd_call_block, or run blocking.release to drop
 * it.
 * PD_ERR_RANGE      More than wasm_bytes_max.
 * PD_ERR_FULL       The budget is used: try again later.
 * PD_ERR_NO_MEMORY */
PD_NODISCARD enum pd_status pd_compile_job_open(struct pd_compile_budget *budget,
                                                const uint8_t *bytes, size_t size,
                                                struct pd_compile_job **job_out);

#endif
