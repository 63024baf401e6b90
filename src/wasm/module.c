#include "wasm/module.h"

#include <nettle/sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/memory_budget.h"
#include "wasm/cache.h"
#include "wasm/module_sections.h"
#include "wasm/text.h"

#define WASM_PAGE_SIZE 65536u
#define PARAMS_TOO_MANY 255u
#define TAIL_ROOM 32u /* for "and 4294967295 more" */
#define KIND_REFERENCE 255u
#define TABLE_GROWTH_MAX 1024u
#define MODULE_BYTES (16u << 10) /* of a module without anything, about */

/* --- Messages --------------------------------------------------------------------------------- */

static void say(struct pd_module_message *message, const char *format, ...) PD_PRINTF(2, 3);

static void say(struct pd_module_message *message, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message->text, sizeof message->text, format, arguments);
    va_end(arguments);
}

/* Append to a message but for the last `kept` bytes; what does not fit is left out whole. False: it
 * did not fit. */
static bool add_line(struct pd_module_message *message, size_t *size, size_t kept,
                     const char *format, ...) PD_PRINTF(4, 5);

static bool add_line(struct pd_module_message *message, size_t *size, size_t kept,
                     const char *format, ...)
{
    size_t room = sizeof message->text > *size + kept ? sizeof message->text - *size - kept : 1;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message->text + *size, room, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= room) {
        message->text[*size] = '\0';
        return false;
    }
    *size += (size_t)length;
    return true;
}

/* --- Is it a module at all? ------------------------------------------------------------------- */

/* WAT begins with a parenthesis or a comment. */
static bool is_text(const struct pd_module_source *source)
{
    size_t at = 0;
    while (at < source->size && memchr(" \t\r\n", source->bytes[at], 4) != NULL) {
        at++;
    }
    return at < source->size && (source->bytes[at] == '(' || source->bytes[at] == ';');
}

static enum pd_status check_header(const struct pd_module_source *source,
                                   struct pd_module_message *message)
{
    static const uint8_t magic[4] = {0, 'a', 's', 'm'};
    if (source->size > source->wasm_bytes_max) {
        say(message, "the module has %zu bytes; at most %zu are accepted", source->size,
            source->wasm_bytes_max);
        return PD_ERR_RANGE;
    }
    if (is_text(source)) {
        say(message,
            "this is WebAssembly text; Pando runs binary modules: wat2wasm makes one of it");
        return PD_ERR_INVALID;
    }
    if (source->size < 8 || memcmp(source->bytes, magic, sizeof magic) != 0) {
        say(message,
            "this is not a WebAssembly module: it does not begin with \"\\0asm\" and a "
            "version (%zu bytes)",
            source->size);
        return PD_ERR_INVALID;
    }
    const uint8_t *version = source->bytes + 4;
    /* Two bytes of version, two of layer: 0 is a core module, 1 a component. */
    if (version[2] == 1 && version[3] == 0) {
        say(message, "this is a WASI 0.2 component; Pando runs core modules: build for "
                     "wasm32-wasip1");
        return PD_ERR_UNSUPPORTED;
    }
    if (version[0] != 1 || version[1] != 0 || version[2] != 0 || version[3] != 0) {
        say(message,
            "this WebAssembly module has version %u.%u, layer %u.%u; Pando runs version 1 "
            "core modules",
            version[0], version[1], version[2], version[3]);
        return PD_ERR_UNSUPPORTED;
    }
    return PD_OK;
}

/* --- Imports ---------------------------------------------------------------------------------- */

/* WASMTIME_I32 and so on, or KIND_REFERENCE. wasm_valtype_kind would do, but ends the program on
 * v128 and on most references, which guests may well use. */
static uint8_t kind_of(const wasm_valtype_t *type)
{
    wasmtime_valtype_t described;
    wasmtime_valtype_new(type, &described);
    uint8_t kind = described.kind;
    wasmtime_valtype_delete(&described);
    return kind <= WASMTIME_V128 ? kind : KIND_REFERENCE;
}

static char letter_of(const wasm_valtype_t *type)
{
    static const char letters[] = "iIFDV";
    uint8_t kind = kind_of(type);
    return kind < sizeof letters - 1 ? letters[kind] : '?';
}

/* A type in the notation of struct pd_import. False: it has more parts than any host function. */
static bool write_signature(const wasm_functype_t *type, char *text, size_t text_size)
{
    const wasm_valtype_vec_t *params = wasm_functype_params(type);
    const wasm_valtype_vec_t *results = wasm_functype_results(type);
    if (params->size + results->size + 3 > text_size) {
        (void)pd_text_copy(text, text_size, "too many parameters", 19);
        return false;
    }
    size_t at = 0;
    for (size_t i = 0; i < params->size; i++) {
        text[at++] = letter_of(params->data[i]);
    }
    text[at++] = '-';
    text[at++] = '>';
    for (size_t i = 0; i < results->size; i++) {
        text[at++] = letter_of(results->data[i]);
    }
    text[at] = '\0';
    return true;
}

struct import_check {
    struct pd_module_message *message;
    struct pd_linker_versions *versions;
    size_t size;
    uint32_t missing;
    uint32_t unnamed;
};

static void check_import(const struct pd_linker *linker, const wasm_importtype_t *type,
                         struct import_check *check)
{
    const wasm_name_t *module = wasm_importtype_module(type);
    const wasm_name_t *name = wasm_importtype_name(type);
    const wasm_externtype_t *what = wasm_importtype_type(type);
    const int module_size = (int)(module->size < 200 ? module->size : 200);
    const int name_size = (int)(name->size < 200 ? name->size : 200);
    bool is_named = true;
    if (wasm_externtype_kind(what) != WASM_EXTERN_FUNC) {
        is_named = add_line(check->message, &check->size, TAIL_ROOM,
                            "\n  %.*s::%.*s (a memory, table or global: only functions are given)",
                            module_size, module->data, name_size, name->data);
    } else {
        char signature[40];
        (void)write_signature(wasm_externtype_as_functype_const(what), signature, sizeof signature);
        const struct pd_import *import =
            pd_linker_find(linker, module->data, module->size, name->data, name->size);
        if (import != NULL && (strcmp(import->signature, signature) == 0 ||
                               pd_linker_choose(linker, import, signature, check->versions))) {
            return;
        }
        if (import == NULL) {
            is_named = add_line(check->message, &check->size, TAIL_ROOM, "\n  %.*s::%.*s",
                                module_size, module->data, name_size, name->data);
        } else {
            is_named = add_line(check->message, &check->size, TAIL_ROOM,
                                "\n  %.*s::%.*s as %s (it is %s)", module_size, module->data,
                                name_size, name->data, signature, import->signature);
        }
    }
    check->missing++;
    check->unnamed += is_named ? 0 : 1;
}

static enum pd_status check_imports(const struct pd_module *module,
                                    struct pd_linker_versions *versions,
                                    struct pd_module_message *message)
{
    struct import_check check = {.message = message, .versions = versions};
    bool has_room =
        add_line(message, &check.size, 0, "the module imports what Pando does not have:");
    pd_assert(has_room);
    wasm_importtype_vec_t imports;
    wasmtime_module_imports(module->module, &imports);
    for (size_t i = 0; i < imports.size; i++) {
        check_import(module->linker, imports.data[i], &check);
    }
    wasm_importtype_vec_delete(&imports);
    if (check.missing == 0) {
        message->text[0] = '\0';
        return PD_OK;
    }
    if (check.unnamed > 0) {
        (void)add_line(message, &check.size, 0, "\n  and %u more", check.unnamed);
    }
    return PD_ERR_UNSUPPORTED;
}

/* --- Exports ---------------------------------------------------------------------------------- */

static int compare_names(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t size = a_size < b_size ? a_size : b_size;
    int order = size == 0 ? 0 : memcmp(a, b, size);
    if (order != 0) {
        return order;
    }
    return a_size < b_size ? -1 : a_size > b_size;
}

static int compare_exports(const void *left, const void *right)
{
    const struct pd_module_export *a = left;
    const struct pd_module_export *b = right;
    return compare_names(a->name, a->name_size, b->name, b->name_size);
}

static void describe_export(struct pd_module_export *export, const wasm_functype_t *type)
{
    const wasm_valtype_vec_t *params = wasm_functype_params(type);
    const wasm_valtype_vec_t *results = wasm_functype_results(type);
    export->result_count = (uint8_t)(results->size < 255 ? results->size : 255);
    if (results->size > 0) {
        export->result = kind_of(results->data[0]);
    }
    if (params->size > PD_MODULE_PARAMS_MAX) {
        export->param_count = PARAMS_TOO_MANY;
        return;
    }
    export->param_count = (uint8_t)params->size;
    for (size_t i = 0; i < params->size; i++) {
        export->params[i] = kind_of(params->data[i]);
    }
}

static void note_memory(struct pd_module *module, const wasm_externtype_t *what,
                        const wasm_name_t *name)
{
    if (name->size == 6 && memcmp(name->data, "memory", 6) == 0) {
        const wasm_memorytype_t *type = wasm_externtype_as_memorytype_const(what);
        module->memory_bytes_min = wasmtime_memorytype_minimum(type) * WASM_PAGE_SIZE;
    }
}

static enum pd_status index_some(struct pd_module *module, const wasm_exporttype_vec_t *exports)
{
    size_t count = 0;
    size_t names_size = 1;
    for (size_t i = 0; i < exports->size && count < PD_MODULE_EXPORTS_MAX; i++) {
        const wasm_externtype_t *what = wasm_exporttype_type(exports->data[i]);
        if (wasm_externtype_kind(what) == WASM_EXTERN_FUNC) {
            count++;
            names_size += wasm_exporttype_name(exports->data[i])->size + 1;
        }
    }
    module->exports = pd_alloc_zeroed(count + 1, sizeof(*module->exports));
    module->names = pd_alloc(names_size);
    if (module->exports == NULL || module->names == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    char *at = module->names;
    for (size_t i = 0; i < exports->size; i++) {
        const wasm_externtype_t *what = wasm_exporttype_type(exports->data[i]);
        const wasm_name_t *name = wasm_exporttype_name(exports->data[i]);
        if (wasm_externtype_kind(what) == WASM_EXTERN_MEMORY) {
            note_memory(module, what, name);
        }
        if (wasm_externtype_kind(what) != WASM_EXTERN_FUNC || module->export_count == count) {
            continue;
        }
        struct pd_module_export *export = &module->exports[module->export_count++];
        if (name->size > 0) {
            memcpy(at, name->data, name->size);
        }
        at[name->size] = '\0';
        export->name = at;
        export->name_size = (uint32_t)name->size;
        at += name->size + 1;
        describe_export(export, wasm_externtype_as_functype_const(what));
    }
    qsort(module->exports, module->export_count, sizeof(*module->exports), compare_exports);
    return PD_OK;
}

static enum pd_status index_exports(struct pd_module *module)
{
    wasm_exporttype_vec_t exports;
    wasmtime_module_exports(module->module, &exports);
    enum pd_status status = index_some(module, &exports);
    wasm_exporttype_vec_delete(&exports);
    return status;
}

const struct pd_module_export *pd_module_find(const struct pd_module *module, const char *name,
                                              size_t name_size)
{
    uint32_t low = 0;
    uint32_t high = module->export_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct pd_module_export *export = &module->exports[middle];
        int order = compare_names(name, name_size, export->name, export->name_size);
        if (order == 0) {
            return export;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

/* --- Code ------------------------------------------------------------------------------------- */

static bool load_cached(struct pd_module *module, struct pd_cache *cache,
                        const struct pd_cache_key *key)
{
    struct pd_cache_entry entry;
    if (pd_cache_load(cache, key, &entry) != PD_OK) {
        return false;
    }
    wasmtime_error_t *error = wasmtime_module_deserialize(module->linker->engine->engine,
                                                          entry.bytes, entry.size, &module->module);
    pd_cache_entry_close(&entry);
    if (error != NULL) {
        wasmtime_error_delete(error); /* of another version after all: compile and write it anew */
        module->module = NULL;
        return false;
    }
    return true;
}

static void store_cached(const struct pd_module *module, struct pd_cache *cache,
                         const struct pd_cache_key *key)
{
    wasm_byte_vec_t code;
    wasmtime_error_t *error = wasmtime_module_serialize(module->module, &code);
    if (error != NULL) {
        wasmtime_error_delete(error);
        return;
    }
    /* A cache that cannot be written costs time at the next start, nothing else. */
    enum pd_status status = pd_cache_store(cache, key, (const uint8_t *)code.data, code.size);
    (void)status;
    wasm_byte_vec_delete(&code);
}

static enum pd_status compile(struct pd_module *module, const struct pd_module_source *source,
                              struct pd_module_message *message)
{
    wasmtime_error_t *error = wasmtime_module_new(module->linker->engine->engine, source->bytes,
                                                  source->size, &module->module);
    if (error != NULL) {
        module->module = NULL;
        static const char prefix[] = "the module is not valid: ";
        memcpy(message->text, prefix, sizeof prefix);
        pd_engine_take_error(error, message->text + sizeof prefix - 1,
                             sizeof message->text - sizeof prefix + 1);
        return PD_ERR_INVALID;
    }
    return PD_OK;
}

static enum pd_status load_code(struct pd_module *module, const struct pd_module_source *source,
                                struct pd_module_message *message)
{
    if (source->cache == NULL) {
        return compile(module, source, message);
    }
    struct pd_cache_key key =
        pd_cache_key_of(module->hash, pd_engine_version_text(), module->linker->engine->settings);
    module->is_cached = load_cached(module, source->cache, &key);
    if (module->is_cached) {
        return PD_OK;
    }
    enum pd_status status = compile(module, source, message);
    if (status == PD_OK) {
        store_cached(module, source->cache, &key);
    }
    return status;
}

static enum pd_status prepare(struct pd_module *module, struct pd_module_message *message)
{
    struct pd_linker_versions versions = {.count = 0};
    enum pd_status status = check_imports(module, &versions, message);
    if (status != PD_OK) {
        return status;
    }
    wasmtime_error_t *error =
        pd_linker_prepare(module->linker, &versions, module->module, &module->instance_pre);
    if (error != NULL) {
        module->instance_pre = NULL;
        pd_engine_take_error(error, message->text, sizeof message->text);
        return PD_ERR_UNSUPPORTED;
    }
    status = index_exports(module);
    if (status != PD_OK) {
        say(message, "no memory for the module's index");
    }
    return status;
}

static void destroy(struct pd_module *module)
{
    if (module->budget != NULL) {
        pd_memory_budget_give(module->budget, module->budget_bytes);
    }
    if (module->instance_pre != NULL) {
        wasmtime_instance_pre_delete(module->instance_pre);
    }
    if (module->module != NULL) {
        wasmtime_module_delete(module->module);
    }
    pd_free(module->line_bytes);
    pd_free(module->exports);
    pd_free(module->names);
    pd_free(module->origin);
    pd_free(module);
}

/* Keep the line table, for backtraces. Without memory for it they name functions only. */
static void keep_lines(struct pd_module *module, const struct pd_module_sections *sections)
{
    const struct pd_line_table *found = &sections->line_table;
    size_t size = found->lines_size + found->strings_size;
    if (!module->linker->engine->config.has_file_lines || found->lines_size == 0 ||
        size > PD_MODULE_LINES_MAX) {
        return;
    }
    module->line_bytes = pd_alloc(size);
    if (module->line_bytes == NULL) {
        return;
    }
    memcpy(module->line_bytes, found->lines, found->lines_size);
    if (found->strings_size > 0) {
        memcpy(module->line_bytes + found->lines_size, found->strings, found->strings_size);
    }
    module->line_table = (struct pd_line_table){.lines = module->line_bytes,
                                                .lines_size = found->lines_size,
                                                .strings = module->line_bytes + found->lines_size,
                                                .strings_size = found->strings_size};
    module->code_offset = sections->code_offset;
}

/* A table that does not say how large it may become may become a little larger than it is. */
static void note_instance(struct pd_module *module, const struct pd_module_sections *sections)
{
    uint32_t max = sections->table_elements_max;
    if (max == UINT32_MAX && sections->table_elements_min < PD_GUEST_TABLE_ELEMENTS_MAX) {
        max = sections->table_elements_min + TABLE_GROWTH_MAX;
    }
    module->table_elements_max =
        max < PD_GUEST_TABLE_ELEMENTS_MAX ? max : PD_GUEST_TABLE_ELEMENTS_MAX;
    module->instance_bytes =
        pd_module_sections_instance_bytes(sections, module->table_elements_max);
}

enum pd_status pd_module_load(struct pd_linker *linker, const struct pd_module_source *source,
                              struct pd_module **module_out, struct pd_module_message *message)
{
    pd_assert(linker->is_sealed);
    message->text[0] = '\0';
    enum pd_status status = check_header(source, message);
    if (status != PD_OK) {
        return status;
    }
    struct pd_module *module = pd_alloc_zeroed(1, sizeof *module);
    if (module == NULL) {
        say(message, "no memory for the module");
        return PD_ERR_NO_MEMORY;
    }
    module->linker = linker;
    module->wasm_size = source->size;
    struct pd_module_sections sections;
    pd_module_sections_read(&sections, source->bytes, source->size);
    module->has_start = sections.has_start;
    note_instance(module, &sections);
    keep_lines(module, &sections);
    atomic_init(&module->reference_count, 1);
    struct sha256_ctx hash;
    sha256_init(&hash);
    sha256_update(&hash, source->size, source->bytes);
    sha256_digest(&hash, sizeof module->hash, module->hash);

    status = load_code(module, source, message);
    if (status == PD_OK) {
        status = prepare(module, message);
    }
    if (status != PD_OK) {
        destroy(module);
        return status;
    }
    *module_out = module;
    return PD_OK;
}

enum pd_status pd_module_load_text(struct pd_linker *linker, const char *wat,
                                   struct pd_module **module_out, struct pd_module_message *message)
{
    wasm_byte_vec_t wasm;
    wasmtime_error_t *error = wasmtime_wat2wasm(wat, strlen(wat), &wasm);
    if (error != NULL) {
        pd_engine_take_error(error, message->text, sizeof message->text);
        return PD_ERR_INVALID;
    }
    struct pd_module_source source = {
        .bytes = (const uint8_t *)wasm.data,
        .size = wasm.size,
        .wasm_bytes_max = wasm.size,
    };
    enum pd_status status = pd_module_load(linker, &source, module_out, message);
    wasm_byte_vec_delete(&wasm);
    return status;
}

enum pd_status pd_module_count_on(struct pd_module *module, struct pd_memory_budget *budget)
{
    void *start = NULL;
    void *end = NULL;
    pd_assert(module->budget == NULL);
    wasmtime_module_image_range(module->module, &start, &end);
    uint64_t bytes = (uint64_t)((const uint8_t *)end - (const uint8_t *)start) +
                     module->line_table.lines_size + module->line_table.strings_size +
                     module->export_count * sizeof *module->exports + MODULE_BYTES;
    if (!pd_memory_budget_take(budget, PD_MEMORY_OTHER, bytes)) {
        return PD_ERR_NO_MEMORY;
    }
    module->budget = budget;
    module->budget_bytes = bytes;
    return PD_OK;
}

struct pd_module *pd_module_acquire(struct pd_module *module)
{
    uint_least32_t before =
        atomic_fetch_add_explicit(&module->reference_count, 1, memory_order_relaxed);
    pd_assert(before > 0);
    return module;
}

void pd_module_set_origin(struct pd_module *module, const char *origin)
{
    pd_free(module->origin);
    module->origin = pd_alloc_text(origin, strlen(origin));
}

void pd_module_release(struct pd_module *module)
{
    if (module == NULL) {
        return;
    }
    uint_least32_t before =
        atomic_fetch_sub_explicit(&module->reference_count, 1, memory_order_acq_rel);
    pd_assert(before > 0);
    if (before == 1) {
        destroy(module);
    }
}
