/* Whether the modules of an application file export what it names. */
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
    size_t capacity;
};

/* PD_ERR_NO_MEMORY. PD_ERR_UNKNOWN: they cannot be read, which running will tell. */
static enum pd_status begin(struct reader *reader, const char *path,
                            struct pd_module_exports *exports)
{
    for (;;) {
        size_t size = 0;
        if (reader->files->read(reader->files->context, path, reader->bytes, reader->capacity,
                                &size) != PD_OK) {
            return PD_ERR_UNKNOWN;
        }
        enum pd_status status = pd_module_exports_begin(exports, reader->bytes, size);
        bool has_more = size == reader->capacity && size < PD_MODULE_BYTES_MAX_DEFAULT;
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
    uint32_t named = 0;
    size_t used = 0;
    while (pd_module_exports_next(&exports, &name, &name_size) == PD_OK) {
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

static bool has_function(struct pd_module_exports exports, const char *wanted)
{
    const char *name = NULL;
    size_t size = 0;
    while (pd_module_exports_next(&exports, &name, &size) == PD_OK) {
        if (size == strlen(wanted) && memcmp(name, wanted, size) == 0) {
            return true;
        }
    }
    return false;
}

static void tell(const struct pd_app_child *worker, const char *file,
                 const struct pd_module_exports *exports, const struct pd_app_output *output)
{
    char names[(NAMED_MAX + 1) * 70];
    char line[LINE_SIZE];
    write_names(*exports, names, sizeof names);
    (void)snprintf(line, sizeof line,
                   "%.500s: line %u: %.300s: %.400s exports no function \"%.200s\"%s", file,
                   worker->line, worker->path, worker->module, worker->function, names);
    output->write(output->context, line, strlen(line));
    output->write(output->context, "\n", 1);
}

enum pd_status pd_app_check_exports(const struct pd_app *app, const char *file,
                                    const struct pd_app_files *files,
                                    const struct pd_app_output *output)
{
    struct reader reader = {files, pd_alloc(FIRST_SIZE), FIRST_SIZE};
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
        } else if (status == PD_OK && !has_function(exports, child->function)) {
            tell(child, file, &exports, output);
            result = PD_ERR_INVALID;
        }
    }
    pd_free(reader.bytes);
    return result;
}
