/* Whether the modules of an application file export what it names, with parameters that its
 * arguments fit. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "node/app.h"
#include "node/module_exports.h"
#include "wasm/module.h"

#define FIRST_SIZE (64u << 10) /* the exports are near the beginning */
#define NAMED_MAX 8u
#define LINE_SIZE 2200u

struct reader {
    const struct pd_app_files *files;
    uint8_t *bytes;
    size_t size;
    size_t capacity;
};

/* PD_ERR_NO_MEMORY. PD_ERR_UNKNOWN: they cannot be read, which running will tell. */
static enum pd_status begin(struct reader *reader, const char *path,
                            struct pd_module_exports *exports)
{
    for (;;) {
        if (reader->files->read(reader->files->context, path, reader->bytes, reader->capacity,
                                &reader->size) != PD_OK) {
            return PD_ERR_UNKNOWN;
        }
        enum pd_status status = pd_module_exports_begin(exports, reader->bytes, reader->size);
        bool has_more =
            reader->size == reader->capacity && reader->size < PD_MODULE_BYTES_MAX_DEFAULT;
        if (status == PD_ERR_FULL && !has_more) {
            *exports = (struct pd_module_exports){.left = 0};
            return PD_OK;
        }
        if (status != PD_ERR_FULL) {
            return status == PD_OK ? PD_OK : PD_ERR_UNKNOWN;
        }
        uint8_t *moved = pd_realloc(reader->bytes, reader->capacity * 2);
        if (moved == NULL) {
            return PD_ERR_NO_MEMORY;
        }
        reader->bytes = moved;
        reader->capacity *= 2;
    }
}

/* What a terminal shows as it is. */
static bool is_plain(const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (name[i] <= ' ' || name[i] > '~') {
            return false;
        }
    }
    return size > 0 && size <= 64;
}

/* "; it exports main, ping and more", as far as there is room. */
static void write_names(struct pd_module_exports exports, char *text, size_t size)
{
    const char *name = NULL;
    size_t name_size = 0;
    uint32_t index = 0;
    uint32_t named = 0;
    size_t used = 0;
    while (pd_module_exports_next(&exports, &name, &name_size, &index) == PD_OK) {
        if (!is_plain(name, name_size)) {
            continue;
        }
        if (named == NAMED_MAX) {
            (void)snprintf(text + used, size - used, " and more");
            return;
        }
        used += (size_t)snprintf(text + used, size - used, "%s%.*s",
                                 named == 0 ? "; it exports " : ", ", (int)name_size, name);
        named++;
    }
    if (named == 0) {
        (void)snprintf(text, size, "; it exports none");
    }
}

static bool find_function(struct pd_module_exports exports, const char *wanted, uint32_t *index_out)
{
    const char *name = NULL;
    size_t size = 0;
    while (pd_module_exports_next(&exports, &name, &size, index_out) == PD_OK) {
        if (size == strlen(wanted) && memcmp(name, wanted, size) == 0) {
            return true;
        }
    }
    return false;
}

PD_PRINTF(4, 5)
static void tell(const struct pd_app_child *worker, const char *file,
                 const struct pd_app_output *output, const char *format, ...)
{
    char line[LINE_SIZE];
    size_t used = (size_t)snprintf(line, sizeof line, "%.500s: line %u: %.300s: %.400s ", file,
                                   worker->line, worker->path, worker->module);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line + used, sizeof line - used, format, arguments);
    va_end(arguments);
    output->write(output->context, line, strlen(line));
    output->write(output->context, "\n", 1);
}

static const char *type_name(uint8_t type)
{
    switch (type) {
    case PD_MODULE_I32:
        return "i32";
    case PD_MODULE_I64:
        return "i64";
    case PD_MODULE_F32:
        return "f32";
    case PD_MODULE_F64:
        return "f64";
    case PD_MODULE_V128:
        return "v128";
    default:
        return "a reference";
    }
}

/* "(i32, i64)" */
static void write_params(const struct pd_module_type *type, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (uint32_t i = 0; i < type->param_count && i < PD_MODULE_TYPE_PARAMS_MAX; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%s", i == 0 ? "" : ", ",
                                 type_name(type->params[i]));
    }
    (void)snprintf(text + used, size - used,
                   type->param_count > PD_MODULE_TYPE_PARAMS_MAX ? ", and more)" : ")");
}

/* Which argument is of another type than its parameter; their count: none. The counts are equal. */
static uint32_t find_misfit(const struct pd_app_child *worker, const struct pd_module_type *type)
{
    uint32_t i = 0;
    while (i < worker->argument_count) {
        uint8_t wanted = type->params[i];
        bool is_integer = wanted == PD_MODULE_I32 || wanted == PD_MODULE_I64;
        if (worker->arguments[i].is_vector ? wanted != PD_MODULE_V128 : !is_integer) {
            break;
        }
        i++;
    }
    return i;
}

/* As running does. True: a process can begin with it. */
static bool check_type(const struct pd_app_child *worker, const char *file,
                       const struct pd_module_type *type, const struct pd_app_output *output)
{
    char params[PD_MODULE_TYPE_PARAMS_MAX * 16];
    write_params(type, params, sizeof params);
    if (type->result_count > 0) {
        tell(worker, file, output,
             "exports \"%.200s\" with %u results: a process begins with a function that gives none",
             worker->function, type->result_count);
        return false;
    }
    if (type->param_count != worker->argument_count ||
        worker->argument_count > PD_MODULE_TYPE_PARAMS_MAX) {
        tell(worker, file, output,
             "exports \"%.200s\" with the parameters %s: `arguments` gives %u", worker->function,
             params, worker->argument_count);
        return false;
    }
    uint32_t misfit = find_misfit(worker, type);
    if (misfit < worker->argument_count) {
        tell(worker, file, output, "exports \"%.200s\" with the parameters %s: argument %u is %s",
             worker->function, params, misfit + 1,
             worker->arguments[misfit].is_vector ? "a v128" : "an integer, for i32 or i64");
        return false;
    }
    return true;
}

/* True: as far as is known here it can run. */
static bool check_worker(const struct pd_app_child *worker, const char *file,
                         const struct reader *reader, struct pd_module_exports exports,
                         const struct pd_app_output *output)
{
    uint32_t index = 0;
    struct pd_module_type type;
    if (!find_function(exports, worker->function, &index)) {
        char names[(NAMED_MAX + 1) * 70];
        write_names(exports, names, sizeof names);
        tell(worker, file, output, "exports no function \"%.200s\"%s", worker->function, names);
        return false;
    }
    return pd_module_type_of(reader->bytes, reader->size, index, &type) != PD_OK ||
           check_type(worker, file, &type, output);
}

enum pd_status pd_app_check_exports(const struct pd_app *app, const char *file,
                                    const struct pd_app_files *files,
                                    const struct pd_app_output *output)
{
    struct reader reader = {files, pd_alloc(FIRST_SIZE), 0, FIRST_SIZE};
    enum pd_status result = reader.bytes == NULL ? PD_ERR_NO_MEMORY : PD_OK;
    for (const struct pd_app_child *child = pd_app_next(&app->root);
         child != NULL && result != PD_ERR_NO_MEMORY; child = pd_app_next(child)) {
        struct pd_module_exports exports;
        if (child->kind != PD_CHILD_WORKER) {
            continue;
        }
        enum pd_status status = begin(&reader, child->module_path, &exports);
        if (status == PD_ERR_NO_MEMORY) {
            result = status;
        } else if (status == PD_OK && !check_worker(child, file, &reader, exports, output)) {
            result = PD_ERR_INVALID;
        }
    }
    pd_free(reader.bytes);
    return result;
}
