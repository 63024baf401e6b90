/* Whether the modules of an application file export what it names, with parameters that its
 * arguments fit. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "node/app.h"
#include "node/app_function.h"
#include "node/module_exports.h"
#include "wasm/module.h"

#define FIRST_SIZE (64u << 10) /* the exports are near the beginning */
#define LINE_SIZE (PD_APP_FUNCTION_WHY_SIZE + 900u)

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

/* True: as far as is known here it can run. */
static bool check_worker(const struct pd_app_child *worker, const struct reader *reader,
                         struct pd_module_exports exports, char *why)
{
    struct pd_app_exports names = {.count = 0};
    struct pd_module_type type;
    uint32_t index = 0;
    if (find_function(exports, worker->function, &index)) {
        return pd_module_type_of(reader->bytes, reader->size, index, &type) != PD_OK ||
               pd_app_function_fits(worker, &type, NULL, why);
    }
    const char *name = NULL;
    size_t size = 0;
    while (pd_module_exports_next(&exports, &name, &size, &index) == PD_OK) {
        pd_app_exports_add(&names, name, size);
    }
    return pd_app_function_fits(worker, NULL, &names, why);
}

static void tell(const struct pd_app_child *worker, const char *file, const char *why,
                 const struct pd_app_output *output)
{
    char line[LINE_SIZE];
    (void)snprintf(line, sizeof line, "%.500s: line %u: %.300s: %s\n", file, worker->line,
                   worker->path, why);
    output->write(output->context, line, strlen(line));
}

enum pd_status pd_app_check_exports(const struct pd_app *app, const char *file,
                                    const struct pd_app_files *files,
                                    const struct pd_app_output *output)
{
    char why[PD_APP_FUNCTION_WHY_SIZE];
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
        } else if (status == PD_OK && !check_worker(child, &reader, exports, why)) {
            tell(child, file, why, output);
            result = PD_ERR_INVALID;
        }
    }
    pd_free(reader.bytes);
    return result;
}
