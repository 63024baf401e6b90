/* linker - the functions that guests may import, made from tables of struct pd_import.
 *
 * Model      Tables are added, then modules are made against the linker; nothing is added
 *            afterwards. Every function enters through one dispatcher (guest_call.c): arguments are
 *            copied out of the fiber's frame, the function runs, and a function that waits suspends
 *            the fiber.
 * Bounds     PD_LINKER_IMPORTS_MAX functions.
 * Ownership  Tables and engine are borrowed until close. Close after the last module is
 *            released. */
#ifndef PD_WASM_LINKER_H
#define PD_WASM_LINKER_H

#include "wasm/engine.h"
#include "wasm/hostcall.h"

#define PD_LINKER_IMPORTS_MAX 1024u

/* A row of a table with what the dispatcher would else read from its signature at every call. */
struct pd_linked_import {
    const struct pd_import *import;
    uint16_t narrow_mask; /* bit i: argument i is an i32 */
    uint8_t argument_count;
};

struct pd_linker {
    struct pd_engine *engine;
    wasmtime_linker_t *linker;
    struct pd_linked_import *linked;  /* PD_LINKER_IMPORTS_MAX, in order of addition; never moves */
    const struct pd_import **imports; /* sorted by (module, name) once sealed */
    uint32_t import_count;
    bool is_sealed;
    /* The host function that suspends a fiber, as the anchor store sees it; see linker.c. */
    wasmtime_store_t *anchor;
    wasmtime_func_t suspend;
};

/* PD_OK, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_linker_open(struct pd_linker *linker, struct pd_engine *engine);

/* Add `count` functions.
 * PD_ERR_INVALID  A signature or name is malformed (a bug in a table).
 * PD_ERR_EXISTS   The name is defined already. The linker is of no use any more: close it.
 * PD_ERR_FULL     More than PD_LINKER_IMPORTS_MAX. */
PD_NODISCARD enum pd_status pd_linker_add(struct pd_linker *linker, const struct pd_import *imports,
                                          size_t count);

/* End of additions: modules can be made. PD_OK, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_linker_seal(struct pd_linker *linker);
void pd_linker_close(struct pd_linker *linker);

/* The function of that name, or NULL. Sealed linkers only. */
const struct pd_import *pd_linker_find(const struct pd_linker *linker, const char *module,
                                       size_t module_size, const char *name, size_t name_size);

#endif
