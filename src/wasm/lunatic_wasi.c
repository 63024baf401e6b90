/* lunatic::wasi: what a child starts with. Arguments and variables are the parent's to choose; a
 * directory must be one of the parent's own, or lie within one. */
#include "wasm/wasi.h"

#include <string.h>

#include "base/alloc.h"
#include "wasm/abi_tables.h"
#include "wasm/wasm_process.h"

#define WHY_SIZE 400u

static enum pd_call_result answer(struct pd_call *call, enum pd_status status, const char *what)
{
    switch (status) {
    case PD_OK:
        return PD_CALL_DONE;
    case PD_ERR_INVALID:
        return pd_call_trap(call,
                            "lunatic::wasi: %s is empty, or contains '=' or a zero byte where "
                            "it must not",
                            what);
    case PD_ERR_FULL:
        return pd_call_trap(call, "lunatic::wasi: %s: a configuration holds no more", what);
    case PD_ERR_UNKNOWN:
    case PD_ERR_EXISTS:
    case PD_ERR_RANGE:
    case PD_ERR_DENIED:
    case PD_ERR_TIMEOUT:
    case PD_ERR_IO:
    case PD_ERR_NO_MEMORY:
    case PD_ERR_CORRUPT:
    case PD_ERR_CLOSED:
    case PD_ERR_UNSUPPORTED:
        break;
    }
    return pd_call_trap(call, "lunatic::wasi: %s: %s", what, pd_status_text(status));
}

static enum pd_call_result add_environment_variable(struct pd_call *call)
{
    uint32_t name_size = pd_call_u32(call, 2);
    uint32_t value_size = pd_call_u32(call, 4);
    const char *name = pd_call_text(call, pd_call_u32(call, 1), name_size, PD_WASI_STRINGS_SIZE_MAX,
                                    "variable name");
    if (name == NULL) {
        return PD_CALL_TRAP;
    }
    const char *value = pd_call_text(call, pd_call_u32(call, 3), value_size,
                                     PD_WASI_STRINGS_SIZE_MAX, "variable value");
    if (value == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_rights *rights = pd_call_config_for_change(call);
    if (rights == NULL) {
        return PD_CALL_TRAP;
    }
    enum pd_status status = pd_wasi_config_edit(&rights->wasi);
    if (status == PD_OK) {
        status = pd_wasi_config_set_variable(rights->wasi, name, name_size, value, value_size);
    }
    return answer(call, status, "environment variable");
}

static enum pd_call_result add_command_line_argument(struct pd_call *call)
{
    uint32_t size = pd_call_u32(call, 2);
    const char *text =
        pd_call_text(call, pd_call_u32(call, 1), size, PD_WASI_STRINGS_SIZE_MAX, "argument");
    if (text == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_rights *rights = pd_call_config_for_change(call);
    if (rights == NULL) {
        return PD_CALL_TRAP;
    }
    enum pd_status status = pd_wasi_config_edit(&rights->wasi);
    if (status == PD_OK) {
        status = pd_wasi_config_add_argument(rights->wasi, text, size);
    }
    return answer(call, status, "argument");
}

/* --- Directories: opening one may block ------------------------------------------------------- */

/* The work on a helper: a configuration of the job's own gets the directory, and replaces the
 * guest's at the end. */
struct preopen_job {
    struct pd_blocking blocking; /* first */
    struct pd_wasi_config *from; /* the parent's; a reference */
    struct pd_wasi_config *to;   /* nobody else's */
    enum pd_status status;
    uint32_t path_size;
    char why[WHY_SIZE];
    char path[];
};

static struct preopen_job *job_of(struct pd_blocking *blocking)
{
    return (struct preopen_job *)(void *)blocking;
}

static void preopen_work(struct pd_blocking *blocking)
{
    struct preopen_job *job = job_of(blocking);
    job->status = pd_wasi_config_inherit_directory(job->to, job->from, job->path, job->path_size,
                                                   job->why, sizeof job->why);
}

static enum pd_call_result preopen_finish(struct pd_call *call, struct pd_blocking *blocking)
{
    struct preopen_job *job = job_of(blocking);
    const char *why = job->why[0] == '\0' ? pd_status_text(job->status) : job->why;
    if (job->status == PD_ERR_DENIED) {
        return pd_call_trap_right(call, why);
    }
    if (job->status != PD_OK) {
        return pd_call_trap(call, "lunatic::wasi::config_preopen_dir: %s", why);
    }
    struct pd_rights *rights = pd_call_config_for_change(call);
    if (rights == NULL) {
        return PD_CALL_TRAP;
    }
    pd_wasi_config_release(rights->wasi);
    rights->wasi = job->to;
    job->to = NULL;
    return PD_CALL_DONE;
}

static void preopen_release(struct pd_blocking *blocking)
{
    struct preopen_job *job = job_of(blocking);
    pd_wasi_config_release(job->from);
    pd_wasi_config_release(job->to);
    pd_free(job);
}

/* NULL: no memory. */
static struct preopen_job *preopen_open(struct pd_wasi_config *from, struct pd_wasi_config *to,
                                        const char *path, uint32_t path_size)
{
    struct preopen_job *job = pd_alloc_zeroed(1, sizeof *job + path_size + 1);
    if (job == NULL) {
        return NULL;
    }
    job->blocking.work = preopen_work;
    job->blocking.finish = preopen_finish;
    job->blocking.release = preopen_release;
    job->blocking.name = "config_preopen_dir";
    job->from = pd_wasi_config_retain(from);
    job->to = pd_wasi_config_retain(to);
    job->path_size = path_size;
    memcpy(job->path, path, path_size);
    if (pd_wasi_config_edit(&job->to) != PD_OK) {
        preopen_release(&job->blocking);
        return NULL;
    }
    return job;
}

static enum pd_call_result preopen_dir(struct pd_call *call)
{
    uint32_t size = pd_call_u32(call, 2);
    const char *path =
        pd_call_text(call, pd_call_u32(call, 1), size, PD_FILE_PATH_MAX, "directory");
    if (path == NULL) {
        return PD_CALL_TRAP;
    }
    const struct pd_rights *rights = pd_call_config_for_change(call);
    if (rights == NULL) {
        return PD_CALL_TRAP;
    }
    if (size == 0 || size >= PD_FILE_PATH_MAX || memchr(path, '\0', size) != NULL) {
        return answer(call, PD_ERR_INVALID, "directory");
    }
    struct preopen_job *job =
        preopen_open(pd_call_process(call)->rights->wasi, rights->wasi, path, size);
    if (job == NULL) {
        return answer(call, PD_ERR_NO_MEMORY, "directory");
    }
    return pd_call_block(call, &job->blocking);
}

#define MODULE "lunatic::wasi"

const struct pd_import pd_lunatic_wasi_imports[] = {
    {MODULE, "config_add_environment_variable", "Iiiii->", PD_CALL_DEFERRED,
     add_environment_variable},
    {MODULE, "config_add_command_line_argument", "Iii->", PD_CALL_DEFERRED,
     add_command_line_argument},
    {MODULE, "config_preopen_dir", "Iii->", PD_CALL_DEFERRED, preopen_dir},
};
const size_t pd_lunatic_wasi_import_count =
    sizeof pd_lunatic_wasi_imports / sizeof pd_lunatic_wasi_imports[0];
