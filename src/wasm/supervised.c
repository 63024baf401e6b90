#include "wasm/supervised.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "wasm/spawn_call.h"

/* --- Workers ---------------------------------------------------------------------------------- */

struct pd_supervised_worker *pd_supervised_worker_create(struct pd_wasm_system *system,
                                                         struct pd_module *module,
                                                         struct pd_rights *rights,
                                                         const char *registered)
{
    struct pd_supervised_worker *worker = pd_alloc_zeroed(1, sizeof *worker);
    if (worker == NULL) {
        return NULL;
    }
    if (registered != NULL) {
        worker->registered = pd_alloc_text(registered, strlen(registered));
        if (worker->registered == NULL) {
            pd_free(worker);
            return NULL;
        }
    }
    atomic_init(&worker->references, 1);
    worker->system = system;
    worker->module = pd_module_acquire(module);
    worker->rights = pd_rights_share(rights);
    return worker;
}

void pd_supervised_worker_share(void *worker)
{
    struct pd_supervised_worker *self = worker;
    atomic_fetch_add_explicit(&self->references, 1, memory_order_relaxed);
}

void pd_supervised_worker_release(void *worker)
{
    struct pd_supervised_worker *self = worker;
    if (self == NULL ||
        atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    pd_module_release(self->module);
    pd_rights_release(self->rights);
    pd_free(self->registered);
    pd_free(self);
}

/* --- Trees ------------------------------------------------------------------------------------ */

struct pd_supervised_tree *pd_supervised_tree_create(const struct pd_supervisor_config *config)
{
    struct pd_supervised_tree *tree = pd_alloc_zeroed(1, sizeof *tree);
    if (tree == NULL) {
        return NULL;
    }
    atomic_init(&tree->references, 1);
    tree->depth = 1;
    tree->config = *config;
    (void)snprintf(tree->name, sizeof tree->name, "%s", config->name);
    tree->config.name = tree->name;
    return tree;
}

void pd_supervised_tree_share(void *tree)
{
    struct pd_supervised_tree *self = tree;
    atomic_fetch_add_explicit(&self->references, 1, memory_order_relaxed);
}

/* Trees hold trees, through their specs: no deeper than PD_SUPERVISED_DEPTH_MAX. */
void pd_supervised_tree_release(void *tree)
{
    struct pd_supervised_tree *self = tree;
    if (self == NULL ||
        atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i < self->spec_count; i++) {
        pd_child_spec_release(self->specs[i]);
    }
    pd_child_spec_release(self->template_spec);
    pd_free(self->specs);
    pd_free(self);
}

static enum pd_status append(struct pd_supervised_tree *tree, struct pd_child_spec *spec)
{
    if (tree->config.strategy == PD_DYNAMIC) {
        if (tree->template_spec != NULL) {
            return PD_ERR_EXISTS;
        }
        tree->template_spec = spec;
        return PD_OK;
    }
    for (uint32_t i = 0; i < tree->spec_count; i++) {
        if (strcmp(tree->specs[i]->id, spec->id) == 0) {
            return PD_ERR_EXISTS;
        }
    }
    if (tree->spec_count >= PD_SUPERVISED_SPECS_MAX) {
        return PD_ERR_FULL;
    }
    struct pd_child_spec **specs = pd_realloc(tree->specs, (tree->spec_count + 1) * sizeof *specs);
    if (specs == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    tree->specs = specs;
    tree->specs[tree->spec_count++] = spec;
    return PD_OK;
}

enum pd_status pd_supervised_tree_add(struct pd_supervised_tree *tree, struct pd_child_spec *spec)
{
    uint32_t depth = 1;
    if (spec->kind == PD_CHILD_SUPERVISOR) {
        depth += ((const struct pd_supervised_tree *)spec->subject)->depth;
    }
    if (depth > PD_SUPERVISED_DEPTH_MAX) {
        return PD_ERR_RANGE;
    }
    enum pd_status status = append(tree, spec);
    if (status == PD_OK && depth > tree->depth) {
        tree->depth = depth;
    }
    return status;
}

enum pd_status pd_supervised_tree_open(struct pd_environment *environment, uint64_t parent,
                                       const struct pd_supervised_tree *tree,
                                       struct pd_process **process_out)
{
    return pd_supervisor_process_create(environment, parent, &tree->config, tree->specs,
                                        tree->spec_count, tree->template_spec, &pd_supervised_hooks,
                                        process_out);
}

/* --- The hook --------------------------------------------------------------------------------- */

static enum pd_status create_worker(struct pd_process *supervisor, const struct pd_child_spec *spec,
                                    struct pd_process **process_out)
{
    const struct pd_supervised_worker *worker = spec->subject;
    wasmtime_val_t params[PD_MODULE_PARAMS_MAX];
    uint32_t param_count = 0;
    if (pd_spawn_read_params(spec->arguments, (uint32_t)spec->arguments_size, params,
                             &param_count) != PD_OK) {
        return PD_ERR_INVALID;
    }
    struct pd_wasm_spawn spawn = {
        .environment = supervisor->environment,
        .module = worker->module,
        .rights = worker->rights,
        .entry = {.function = spec->function,
                  .function_size = (uint32_t)strlen(spec->function),
                  .is_initialized_first = true,
                  .params = params,
                  .param_count = param_count},
        .parent = supervisor->pid,
        .registered = worker->registered,
    };
    struct pd_wasm_process *process = NULL;
    enum pd_status status = pd_wasm_process_create(worker->system, &spawn, &process);
    if (status == PD_OK) {
        *process_out = process->process;
    }
    return status;
}

/* Its name is its path: that of the supervisor above, and its id there. */
static enum pd_status create_tree(struct pd_process *supervisor, const struct pd_child_spec *spec,
                                  struct pd_process **process_out)
{
    const struct pd_supervised_tree *tree = spec->subject;
    char path[PD_SUPERVISOR_NAME_SIZE_MAX + 1];
    int size =
        snprintf(path, sizeof path, "%s/%s", pd_supervisor_process_name(supervisor), spec->id);
    if (size < 0 || (size_t)size >= sizeof path) {
        return PD_ERR_RANGE;
    }
    struct pd_supervisor_config config = tree->config;
    config.name = path;
    return pd_supervisor_process_create(supervisor->environment, supervisor->pid, &config,
                                        tree->specs, tree->spec_count, tree->template_spec,
                                        &pd_supervised_hooks, process_out);
}

static const char *why_not(enum pd_status status)
{
    switch (status) {
    case PD_ERR_FULL:
        return "the limit of processes is reached";
    case PD_ERR_NO_MEMORY:
        return "not enough memory, or its memory begins larger than its limit";
    case PD_ERR_CLOSED:
        return "the program is ending";
    case PD_ERR_INVALID:
        return "its parameters or its supervisor's numbers are not valid";
    case PD_ERR_RANGE:
        return "its path in the tree is too long";
    case PD_OK:
    case PD_ERR_UNKNOWN:
    case PD_ERR_EXISTS:
    case PD_ERR_DENIED:
    case PD_ERR_TIMEOUT:
    case PD_ERR_IO:
    case PD_ERR_CORRUPT:
    case PD_ERR_UNSUPPORTED:
        break;
    }
    return pd_status_text(status);
}

static enum pd_status create(void *context, struct pd_process *supervisor,
                             const struct pd_supervisor_child *child,
                             struct pd_process **process_out, struct pd_exit_text **why_out)
{
    (void)context;
    enum pd_status status = child->spec->kind == PD_CHILD_SUPERVISOR
                                ? create_tree(supervisor, child->spec, process_out)
                                : create_worker(supervisor, child->spec, process_out);
    if (status != PD_OK) {
        const char *why = why_not(status);
        *why_out = pd_exit_text_create(why, strlen(why));
    }
    return status;
}

const struct pd_supervisor_hooks pd_supervised_hooks = {.create = create};
