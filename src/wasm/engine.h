/* engine - a configured Wasmtime: one compiler and one way to hold guests.
 *
 * Model      Two profiles. DENSE: explicit bounds checks, no signals, memories and stacks from the
 *            caller's slabs; a million guests. GUARDED: Wasmtime's pooling allocator with guard
 *            pages; fewer guests, faster memory-heavy code. Both meter fuel and run guests on
 *            fibers.
 * Bounds     One instance, one memory, one table of fewer than 100,000 elements per guest;
 *            guests_max in GUARDED.
 * Ownership  The caller owns the configuration and what its creators point to, and keeps both alive
 *            until every guest, module and linker is gone and the engine is closed.
 * Threads    An open engine may be used from any thread. Open engines before threads start: opening
 *            sets an environment variable (Wasmtime's only switch for DWARF in backtraces, off). */
#ifndef PD_WASM_ENGINE_H
#define PD_WASM_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wasm.h>
#include <wasmtime.h>

#include "base/status.h"

#define PD_GUEST_STACK_SIZE (128u * 1024u)     /* one fiber, host functions included */
#define PD_GUEST_WASM_STACK_SIZE (64u * 1024u) /* of it, what guest code may use */
#define PD_GUEST_TABLE_ELEMENTS_MAX 99999u
#define PD_ENGINE_SETTINGS_SIZE 512u

enum pd_engine_profile {
    PD_ENGINE_DENSE = 0,
    PD_ENGINE_GUARDED = 1
};

struct pd_engine_config {
    enum pd_engine_profile profile;
    /* NaN bit patterns and relaxed SIMD equal on all machines; compilation on one thread. */
    bool is_deterministic;
    bool has_file_lines; /* modules keep their line tables, so that backtraces name file:line */
    /* DENSE only. NULL: Wasmtime's own mappings (two per guest). See creators.h. */
    wasmtime_memory_creator_t *memory_creator;
    wasmtime_stack_creator_t *stack_creator;
    /* GUARDED only: how many guests at once, and how large each memory may grow. The engine lowers
     * guests_max to what `map_count_max` (the system's vm.max_map_count; 0: unknown, 65,530 is
     * assumed) allows. */
    uint32_t guests_max;
    uint64_t memory_bytes_max;
    uint64_t map_count_max;
};

struct pd_engine {
    wasm_engine_t *engine;
    struct pd_engine_config config;
    uint32_t guests_max; /* GUARDED: the slots there are; DENSE: 0, no limit of its own */
    /* Every setting that changes compiled code, as text: part of the cache key. */
    char settings[PD_ENGINE_SETTINGS_SIZE];
};

/* The default: dense, not deterministic, file:line kept, Wasmtime's own mappings. */
struct pd_engine_config pd_engine_config_default(void);

/* PD_OK                 *engine is open.
 * PD_ERR_INVALID        memory_bytes_max or guests_max is 0 in GUARDED, or memory_bytes_max exceeds
 *                       4 GiB.
 * PD_ERR_UNSUPPORTED    Wasmtime cannot run on this processor or refused the address space. */
PD_NODISCARD enum pd_status pd_engine_open(struct pd_engine *engine,
                                           const struct pd_engine_config *config);
void pd_engine_close(struct pd_engine *engine);

/* "Wasmtime 48.0.8". Static. */
const char *pd_engine_version_text(void);

/* Move a Wasmtime error into `text` (cut at a character, always terminated) and delete it. */
void pd_engine_take_error(wasmtime_error_t *error, char *text, size_t text_size);

#endif
