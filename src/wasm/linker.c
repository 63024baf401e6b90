#include "wasm/linker.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "wasm/guest_internal.h"

/* The suspending function is looked up once, in a store of the linker's own (the anchor), and used
 * in every guest's store with that store's number in it. That saves each guest a lookup and an
 * allocation, a tenth of a spawn. It is sound because a linker's function has no state of a store:
 * its code finds the store through its caller, and the anchor keeps the function alive until the
 * linker closes. */
static wasmtime_func_t find_suspend(struct pd_linker *linker)
{
    wasmtime_extern_t found;
    bool is_found = wasmtime_linker_get(linker->linker, wasmtime_store_context(linker->anchor),
                                        PD_SUSPEND_MODULE, strlen(PD_SUSPEND_MODULE),
                                        PD_SUSPEND_NAME, strlen(PD_SUSPEND_NAME), &found);
    pd_assert(is_found);
    pd_assert(found.kind == WASMTIME_EXTERN_FUNC);
    return found.of.func;
}

static void delete_error(wasmtime_error_t *error)
{
    if (error != NULL) {
        wasmtime_error_delete(error);
    }
}

enum pd_status pd_linker_open(struct pd_linker *linker, struct pd_engine *engine)
{
    memset(linker, 0, sizeof *linker);
    linker->engine = engine;
    linker->imports = pd_alloc_zeroed(PD_LINKER_IMPORTS_MAX, sizeof(*linker->imports));
    linker->linked = pd_alloc_zeroed(PD_LINKER_IMPORTS_MAX, sizeof(*linker->linked));
    if (linker->imports == NULL || linker->linked == NULL) {
        pd_free(linker->imports);
        pd_free(linker->linked);
        return PD_ERR_NO_MEMORY;
    }
    linker->linker = wasmtime_linker_new(engine->engine);
    wasm_functype_t *type = wasm_functype_new_0_0();
    wasmtime_error_t *error = wasmtime_linker_define_async_func(
        linker->linker, PD_SUSPEND_MODULE, strlen(PD_SUSPEND_MODULE), PD_SUSPEND_NAME,
        strlen(PD_SUSPEND_NAME), type, pd_guest_suspend_callback, NULL, NULL);
    pd_assert(error == NULL);
    wasm_functype_delete(type);

    linker->anchor = wasmtime_store_new(engine->engine, NULL, NULL);
    linker->suspend = find_suspend(linker);
    return PD_OK;
}

static bool kind_of(char letter, wasm_valkind_t *kind_out)
{
    switch (letter) {
    case 'i':
        *kind_out = WASM_I32;
        return true;
    case 'I':
        *kind_out = WASM_I64;
        return true;
    case 'D':
        *kind_out = WASM_F64;
        return true;
    default:
        return false;
    }
}

/* "iiI->i" to a function type, or NULL when it is malformed. */
static wasm_functype_t *type_of(const char *signature)
{
    wasm_valkind_t params[PD_CALL_ARGUMENTS_MAX];
    wasm_valkind_t result = WASM_I32;
    size_t param_count = 0;
    size_t result_count = 0;
    const char *arrow = strstr(signature, "->");
    if (arrow == NULL || (size_t)(arrow - signature) > PD_CALL_ARGUMENTS_MAX) {
        return NULL;
    }
    for (const char *at = signature; at < arrow; at++) {
        if (!kind_of(*at, &params[param_count++])) {
            return NULL;
        }
    }
    if (arrow[2] != '\0') {
        if (!kind_of(arrow[2], &result) || arrow[3] != '\0') {
            return NULL;
        }
        result_count = 1;
    }
    wasm_valtype_vec_t param_types;
    wasm_valtype_vec_t result_types;
    wasm_valtype_vec_new_uninitialized(&param_types, param_count);
    for (size_t i = 0; i < param_count; i++) {
        param_types.data[i] = wasm_valtype_new(params[i]);
    }
    wasm_valtype_vec_new_uninitialized(&result_types, result_count);
    if (result_count == 1) {
        result_types.data[0] = wasm_valtype_new(result);
    }
    return wasm_functype_new(&param_types, &result_types);
}

static wasmtime_error_t *define(wasmtime_linker_t *linker, struct pd_linked_import *row)
{
    const struct pd_import *import = row->import;
    wasm_functype_t *type = type_of(import->signature);
    pd_assert(type != NULL);
    wasmtime_error_t *error = wasmtime_linker_define_func_unchecked(
        linker, import->module, strlen(import->module), import->name, strlen(import->name), type,
        pd_guest_call_callback, row, NULL);
    wasm_functype_delete(type);
    return error;
}

static bool is_same_name(const struct pd_import *a, const struct pd_import *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->module, b->module) == 0;
}

/* The name is taken: by another version of the function, or by this one. */
static enum pd_status add_former(struct pd_linker *linker, struct pd_linked_import *row)
{
    for (uint32_t i = 0; i < linker->linked_count; i++) {
        const struct pd_import *other = linker->linked[i].import;
        if (is_same_name(other, row->import) &&
            strcmp(other->signature, row->import->signature) == 0) {
            return PD_ERR_EXISTS;
        }
    }
    if (linker->former_count == PD_LINKER_FORMER_MAX) {
        return PD_ERR_FULL;
    }
    linker->former[linker->former_count++] = row;
    return PD_OK;
}

static bool is_signature(const char *signature)
{
    wasm_functype_t *type = type_of(signature);
    if (type == NULL) {
        return false;
    }
    wasm_functype_delete(type);
    return true;
}

static enum pd_status add_one(struct pd_linker *linker, const struct pd_import *import)
{
    if (linker->linked_count == PD_LINKER_IMPORTS_MAX) {
        return PD_ERR_FULL;
    }
    if (import->function == NULL || !is_signature(import->signature)) {
        return PD_ERR_INVALID;
    }
    struct pd_linked_import *row = &linker->linked[linker->linked_count];
    *row = (struct pd_linked_import){.import = import};
    for (const char *at = import->signature; *at != '-'; at++) {
        row->narrow_mask |= *at == 'i' ? (uint16_t)(1u << row->argument_count) : 0;
        row->argument_count++;
    }
    wasmtime_error_t *error = define(linker->linker, row);
    if (error != NULL) {
        delete_error(error);
        enum pd_status status = add_former(linker, row);
        if (status != PD_OK) {
            return status;
        }
    } else {
        linker->imports[linker->import_count++] = import;
    }
    linker->linked_count++;
    return PD_OK;
}

enum pd_status pd_linker_add(struct pd_linker *linker, const struct pd_import *imports,
                             size_t count)
{
    pd_assert(!linker->is_sealed);
    for (size_t i = 0; i < count; i++) {
        enum pd_status status = add_one(linker, &imports[i]);
        if (status != PD_OK) {
            return status;
        }
    }
    return PD_OK;
}

static int compare_text(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t size = a_size < b_size ? a_size : b_size;
    int order = memcmp(a, b, size);
    if (order != 0) {
        return order;
    }
    return a_size < b_size ? -1 : a_size > b_size;
}

static int compare_imports(const void *left, const void *right)
{
    const struct pd_import *a = *(const struct pd_import *const *)left;
    const struct pd_import *b = *(const struct pd_import *const *)right;
    int order = strcmp(a->module, b->module);
    return order != 0 ? order : strcmp(a->name, b->name);
}

enum pd_status pd_linker_seal(struct pd_linker *linker)
{
    pd_assert(!linker->is_sealed);
    qsort(linker->imports, linker->import_count, sizeof(*linker->imports), compare_imports);
    linker->is_sealed = true;
    return PD_OK;
}

void pd_linker_close(struct pd_linker *linker)
{
    if (linker->anchor != NULL) {
        wasmtime_store_delete(linker->anchor);
    }
    if (linker->linker != NULL) {
        wasmtime_linker_delete(linker->linker);
    }
    pd_free(linker->imports);
    pd_free(linker->linked);
    memset(linker, 0, sizeof *linker);
}

const struct pd_import *pd_linker_find(const struct pd_linker *linker, const char *module,
                                       size_t module_size, const char *name, size_t name_size)
{
    pd_assert(linker->is_sealed);
    uint32_t low = 0;
    uint32_t high = linker->import_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct pd_import *import = linker->imports[middle];
        int order = compare_text(module, module_size, import->module, strlen(import->module));
        if (order == 0) {
            order = compare_text(name, name_size, import->name, strlen(import->name));
        }
        if (order == 0) {
            return import;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

bool pd_linker_choose(const struct pd_linker *linker, const struct pd_import *import,
                      const char *signature, struct pd_linker_versions *versions)
{
    for (uint32_t i = 0; i < linker->former_count; i++) {
        struct pd_linked_import *row = linker->former[i];
        if (!is_same_name(row->import, import) || strcmp(row->import->signature, signature) != 0) {
            continue;
        }
        uint32_t at = 0;
        while (at < versions->count && versions->rows[at] != row) {
            at++;
        }
        if (at == versions->count) {
            pd_assert(versions->count < PD_LINKER_FORMER_MAX);
            versions->rows[versions->count++] = row;
        }
        return true;
    }
    return false;
}

wasmtime_error_t *pd_linker_prepare(const struct pd_linker *linker,
                                    const struct pd_linker_versions *versions,
                                    const wasmtime_module_t *module,
                                    wasmtime_instance_pre_t **instance_pre_out)
{
    pd_assert(linker->is_sealed);
    if (versions->count == 0) {
        return wasmtime_linker_instantiate_pre(linker->linker, module, instance_pre_out);
    }
    /* What is prepared keeps the functions that it uses alive, so the clone need not last. */
    wasmtime_linker_t *clone = wasmtime_linker_clone(linker->linker);
    wasmtime_linker_allow_shadowing(clone, true);
    for (uint32_t i = 0; i < versions->count; i++) {
        wasmtime_error_t *error = define(clone, versions->rows[i]);
        pd_assert(error == NULL);
    }
    wasmtime_error_t *error = wasmtime_linker_instantiate_pre(clone, module, instance_pre_out);
    wasmtime_linker_delete(clone);
    return error;
}
