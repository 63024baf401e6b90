/* bare_engine - Wasmtime set up as Pando sets it up, without Pando: the raw limit of the benchmark.
 *
 * Model      An engine with one module, its imports linked, ready to be instantiated. Host
 *            functions do nothing, except receive, which suspends, and the WASI calls that the
 *            compute guest needs.
 * Ownership  open makes everything, close frees it; actors live in between. A bare_actor never
 *            moves while its future lives: Wasmtime writes into it.
 * Errors     This is a benchmark: what fails ends the program with a line that says why. */
#ifndef PD_BENCH_BARE_ENGINE_H
#define PD_BENCH_BARE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include <wasmtime.h>

#include "wasm/creators.h"
#include "wasm/slab.h"

enum bare_profile {
    BARE_FUEL = 0,    /* dense, with fuel: what an actor has by default */
    BARE_DENSE = 1,   /* dense, no fuel: shows the price of fuel */
    BARE_FASTEST = 2, /* guard pages, no fuel: Wasmtime at its best */
    BARE_GUARDED = 3  /* guard pages, Wasmtime's pool, with fuel: Pando's profile `guarded` */
};

struct bare_engine {
    enum bare_profile profile;
    bool has_fuel;
    wasm_engine_t *engine;
    wasmtime_module_t *module;
    wasmtime_linker_t *linker;
    wasmtime_instance_pre_t *pre;
    /* The dense profiles' memories and stacks: Pando's own, or this would not be its limit. */
    struct pd_slab *memories;
    struct pd_slab *stacks;
    struct pd_creators creators;
    /* The command line that the guest sees. */
    const char *const *arguments;
    uint32_t argument_count;
};

/* One store, instance and call. */
struct bare_actor {
    wasmtime_store_t *store;
    wasmtime_context_t *context;
    wasmtime_instance_t instance;
    wasmtime_func_t function;
    wasmtime_val_t argument;
    wasmtime_call_future_t *future;
    wasm_trap_t *trap;
    wasmtime_error_t *error;
    bool ready; /* set before a resume: the pending receive then returns */
};

/* How a poll of an actor ended. */
enum bare_state {
    BARE_PENDING = 0,
    BARE_DONE = 1,
    BARE_TRAPPED = 2
};

void bare_engine_open(struct bare_engine *engine, enum bare_profile profile, const char *path);
void bare_engine_close(struct bare_engine *engine);

/* Store, instance and call of the export `name`, not yet run. With takes_argument the export takes
 * an i64. */
void bare_actor_open(struct bare_engine *engine, struct bare_actor *actor, const char *name,
                     bool takes_argument);

/* Run until the actor ends or waits in receive; fuel yields are passed over. */
enum bare_state bare_actor_run(struct bare_actor *actor);

/* End it, wherever it is. */
void bare_actor_close(struct bare_actor *actor);

_Noreturn void bare_fail(const char *what, const char *why);

#endif
