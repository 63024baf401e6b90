#include "actor/child_spec.h"

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

struct shared_spec {
    struct pd_child_spec spec; /* first: share and release are given its address */
    atomic_uint_least32_t references;
    char bytes[]; /* id, function, arguments */
};

static const char *mistake_in_stop(const struct pd_child_spec *spec)
{
    switch (spec->shutdown) {
    case PD_CHILD_STOP_TIMEOUT:
        return spec->stop_ms > PD_CHILD_TIME_MS_MAX ? "the shutdown timeout is longer than a year"
                                                    : NULL;
    case PD_CHILD_STOP_BRUTAL:
        return NULL;
    case PD_CHILD_STOP_INFINITY:
        if (spec->kind == PD_CHILD_WORKER && !spec->handles_shutdown) {
            return "shutdown infinity waits for ever for a worker that ignores it: declare "
                   "handles_shutdown, or give a timeout";
        }
        return NULL;
    }
    return "unknown kind of shutdown";
}

static const char *mistake_in_start(const struct pd_child_spec *spec)
{
    if (!spec->needs_ready) {
        return NULL;
    }
    if (spec->ready_ms == 0) {
        return "the start timeout of a child that says ready must be more than 0";
    }
    if (spec->ready_ms == PD_CHILD_NO_TIMEOUT) {
        return spec->kind == PD_CHILD_SUPERVISOR ? NULL
                                                 : "a worker that says ready needs a start timeout";
    }
    return spec->ready_ms > PD_CHILD_TIME_MS_MAX ? "the start timeout is longer than a year" : NULL;
}

const char *pd_child_spec_mistake(const struct pd_child_spec *spec)
{
    if (spec->id == NULL || spec->id[0] == '\0') {
        return "a child needs an id";
    }
    if (strlen(spec->id) > PD_CHILD_ID_SIZE_MAX) {
        return "the child's id is longer than 255 bytes";
    }
    if (spec->function != NULL && strlen(spec->function) > PD_CHILD_FUNCTION_SIZE_MAX) {
        return "the function's name is longer than 1024 bytes";
    }
    if (spec->arguments_size > PD_CHILD_ARGUMENTS_SIZE_MAX) {
        return "the arguments are larger than 64 KiB";
    }
    if ((unsigned)spec->restart > PD_CHILD_TEMPORARY) {
        return "unknown kind of restart";
    }
    if ((unsigned)spec->kind > PD_CHILD_SUPERVISOR) {
        return "unknown kind of child";
    }
    if (spec->is_significant && spec->restart == PD_CHILD_PERMANENT) {
        return "a permanent child never ends by itself, so it cannot be significant: make it "
               "transient or temporary";
    }
    const char *mistake = mistake_in_stop(spec);
    return mistake != NULL ? mistake : mistake_in_start(spec);
}

enum pd_status pd_child_spec_create(const struct pd_child_spec *from,
                                    struct pd_child_spec **spec_out)
{
    if (pd_child_spec_mistake(from) != NULL) {
        return PD_ERR_INVALID;
    }
    size_t id_size = strlen(from->id) + 1;
    size_t function_size = from->function == NULL ? 0 : strlen(from->function) + 1;
    struct shared_spec *shared =
        pd_alloc(sizeof *shared + id_size + function_size + from->arguments_size);
    if (shared == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    shared->spec = *from;
    atomic_init(&shared->references, 1);
    char *to = shared->bytes;
    memcpy(to, from->id, id_size);
    shared->spec.id = to;
    to += id_size;
    if (from->function != NULL) {
        memcpy(to, from->function, function_size);
        shared->spec.function = to;
        to += function_size;
    }
    shared->spec.arguments = NULL;
    if (from->arguments_size > 0) {
        memcpy(to, from->arguments, from->arguments_size);
        shared->spec.arguments = (const uint8_t *)to;
    }
    *spec_out = &shared->spec;
    return PD_OK;
}

enum pd_status pd_child_spec_derive(const struct pd_child_spec *template_spec,
                                    const uint8_t *arguments, size_t arguments_size,
                                    struct pd_child_spec **spec_out)
{
    if (template_spec->subject != NULL && template_spec->subject_share == NULL) {
        return PD_ERR_INVALID;
    }
    struct pd_child_spec from = *template_spec;
    from.arguments = arguments;
    from.arguments_size = arguments_size;
    enum pd_status status = pd_child_spec_create(&from, spec_out);
    if (status == PD_OK && from.subject != NULL) {
        from.subject_share(from.subject);
    }
    return status;
}

struct pd_child_spec *pd_child_spec_share(struct pd_child_spec *spec)
{
    if (spec != NULL) {
        struct shared_spec *shared = (struct shared_spec *)(void *)spec;
        atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
    }
    return spec;
}

void pd_child_spec_release(struct pd_child_spec *spec)
{
    if (spec == NULL) {
        return;
    }
    struct shared_spec *shared = (struct shared_spec *)(void *)spec;
    uint32_t before = atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel);
    pd_assert(before > 0);
    if (before == 1) {
        if (spec->subject_release != NULL) {
            spec->subject_release(spec->subject);
        }
        pd_free(shared);
    }
}
