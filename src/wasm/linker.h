/* linker - the functions that guests may import, made from tables of struct pd_import.
 *
 * Model      Tables are added, then modules are made against the linker; nothing is added
 *            afterwards. Every function enters through one dispatcher (guest_call.c): arguments are
 *            copied out of the fiber's frame, the function runs, and a function that waits suspends
 *            the fiber.
 * Versions   A reference that changed a function's signature under its old name leaves guests of
 *            both behind. The row that is added first is the function as it is; a later row of the
 *            same name and another signature is a former version, which a module gets when it
 *            imports just that signature. Engines know functions by their names alone, so one
 *            module has one version of a name.
 * Bounds     PD_LINKER_IMPORTS_MAX functions, PD_LINKER_FORMER_MAX former versions among them.
 * Ownership  Tables and engine are borrowed until close. Close after the last module is
 *            released. */
#ifndef PD_WASM_LINKER_H
#define PD_WASM_LINKER_H

#include "wasm/engine.h"
#include "wasm/hostcall.h"

#define PD_LINKER_IMPORTS_MAX 1024u
#define PD_LINKER_FORMER_MAX 16u

/* A row of a table with what the dispatcher would else read from its signature at every call. */
struct pd_linked_import {
    const struct pd_import *import;
    uint16_t narrow_mask; /* bit i: argument i is an i32 */
    uint8_t argument_count;
};

struct pd_linker {
    struct pd_engine *engine;
    wasmtime_linker_t *linker;
    struct pd_linked_import *linked; /* PD_LINKER_IMPORTS_MAX, in order of addition; never moves */
    uint32_t linked_count;
    const struct pd_import **imports; /* sorted by (module, name) once sealed; no former version */
    uint32_t import_count;
    struct pd_linked_import *former[PD_LINKER_FORMER_MAX]; /* rows of `linked` */
    uint32_t former_count;
    bool is_sealed;
    /* The host function that suspends a fiber, as the anchor store sees it; see linker.c. */
    wasmtime_store_t *anchor;
    wasmtime_func_t suspend;
};

/* PD_OK, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_linker_open(struct pd_linker *linker, struct pd_engine *engine);

/* Add `count` functions.
 * PD_ERR_INVALID  A signature or name is malformed (a bug in a table).
 * PD_ERR_EXISTS   The name is defined already with that signature. The linker is of no use any
 *                 more: close it.
 * PD_ERR_FULL     More than PD_LINKER_IMPORTS_MAX or PD_LINKER_FORMER_MAX. */
PD_NODISCARD enum pd_status pd_linker_add(struct pd_linker *linker, const struct pd_import *imports,
                                          size_t count);

/* End of additions: modules can be made. PD_OK, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_linker_seal(struct pd_linker *linker);
void pd_linker_close(struct pd_linker *linker);

/* The function of that name as it is, or NULL. Sealed linkers only. */
const struct pd_import *pd_linker_find(const struct pd_linker *linker, const char *module,
                                       size_t module_size, const char *name, size_t name_size);

/* The former versions that a module imports, each once; zeroed to begin with. */
struct pd_linker_versions {
    struct pd_linked_import *rows[PD_LINKER_FORMER_MAX];
    uint32_t count;
};

/* Note that a module imports `import`'s function as it was when it had this signature. False: it
 * never had it. */
bool pd_linker_choose(const struct pd_linker *linker, const struct pd_import *import,
                      const char *signature, struct pd_linker_versions *versions);

/* Prepare the instantiation of a module, with the former versions that were chosen for it. The
 * engine's error, which the caller deletes, when an import has another type than what it gets: for
 * one that imports two versions of a name. Any thread. */
PD_NODISCARD wasmtime_error_t *pd_linker_prepare(const struct pd_linker *linker,
                                                 const struct pd_linker_versions *versions,
                                                 const wasmtime_module_t *module,
                                                 wasmtime_instance_pre_t **instance_pre_out);

#endif
