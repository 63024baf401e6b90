#include "node/app_run.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "actor/mailbox.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "node/app_function.h"
#include "wasm/wasi.h"

#define PARAM_SIZE 17u
#define TYPE_I32 0x7F
#define TYPE_I64 0x7E
#define TYPE_V128 0x7B

struct pd_app_loaded {
    const char *path; /* the app's */
    enum pd_engine_profile profile;
    struct pd_module *module;
    struct timespec modified;
    off_t size;
};

/* --- Modules ---------------------------------------------------------------------------------- */

static enum pd_engine_profile profile_of(const struct pd_app_run *run,
                                         const struct pd_app_child *child)
{
    return child->has_profile ? child->profile : run->operator_.profile;
}

static struct pd_app_loaded *find_loaded(struct pd_app_run *run, const char *path,
                                         enum pd_engine_profile profile)
{
    for (uint32_t i = 0; i < run->loaded_count; i++) {
        struct pd_app_loaded *loaded = &run->loaded[i];
        if (loaded->profile == profile && strcmp(loaded->path, path) == 0) {
            return loaded;
        }
    }
    return NULL;
}

static void note_file(struct pd_app_loaded *loaded)
{
    struct stat stat_now;
    if (stat(loaded->path, &stat_now) == 0) {
        loaded->modified = stat_now.st_mtim;
        loaded->size = stat_now.st_size;
    }
}

static enum pd_status load(struct pd_app_run *run, const struct pd_app_child *child,
                           struct pd_module **module_out, struct pd_module_message *message)
{
    enum pd_engine_profile profile = profile_of(run, child);
    struct pd_app_loaded *known = find_loaded(run, child->module_path, profile);
    if (known != NULL) {
        *module_out = known->module;
        return PD_OK;
    }
    if (run->loaded_count == run->loaded_capacity) {
        uint32_t capacity = run->loaded_capacity == 0 ? 8 : run->loaded_capacity * 2;
        struct pd_app_loaded *loaded = pd_realloc(run->loaded, capacity * sizeof *loaded);
        if (loaded == NULL) {
            return PD_ERR_NO_MEMORY;
        }
        run->loaded = loaded;
        run->loaded_capacity = capacity;
    }
    struct pd_app_loaded *entry = &run->loaded[run->loaded_count];
    *entry = (struct pd_app_loaded){.path = child->module_path, .profile = profile};
    note_file(entry); /* before the load: a change during it is seen by the next poll */
    enum pd_status status =
        pd_program_load(run->program, profile, child->module_path, &entry->module, message);
    if (status == PD_OK) {
        run->loaded_count++;
        *module_out = entry->module;
    }
    return status;
}

/* --- Rights ----------------------------------------------------------------------------------- */

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static enum pd_status add_words(const struct pd_app_child *child, struct pd_wasi_config *config)
{
    enum pd_status status =
        pd_wasi_config_add_argument(config, child->module, strlen(child->module));
    for (uint32_t i = 0; i < child->word_count && status == PD_OK; i++) {
        status = pd_wasi_config_add_argument(config, child->words[i], strlen(child->words[i]));
    }
    for (uint32_t i = 0; i < child->variable_count && status == PD_OK; i++) {
        const struct pd_app_variable *variable = &child->variables[i];
        status = pd_wasi_config_set_variable(config, variable->name, strlen(variable->name),
                                             variable->value, strlen(variable->value));
    }
    return status;
}

static enum pd_status add_directories(const struct pd_app_child *child,
                                      struct pd_wasi_config *config,
                                      struct pd_module_message *message)
{
    for (uint32_t i = 0; i < child->rights.directory_count; i++) {
        const struct pd_app_directory *directory = &child->rights.directories[i];
        enum pd_status status =
            pd_wasi_config_add_directory(config, directory->host, directory->guest,
                                         directory->is_writable ? PD_WASI_READ_WRITE : PD_WASI_READ,
                                         message->text, sizeof message->text);
        if (status != PD_OK) {
            return status;
        }
    }
    return PD_OK;
}

static enum pd_status fill_wasi(struct pd_app_run *run, const struct pd_app_child *child,
                                struct pd_wasi_config *config, struct pd_module_message *message)
{
    const struct pd_app_operator *operator_ = &run->operator_;
    pd_wasi_config_set_stdio(config, child->rights.has_stdio && !operator_->deny_stdio);
    const char *tag = child->output_tag;
    if (tag == NULL && operator_->is_tagged) {
        tag = child->path;
    }
    if (tag != NULL) {
        pd_wasi_config_set_tag(config, tag);
    }
    enum pd_status status = add_words(child, config);
    if (status == PD_OK) {
        status = add_directories(child, config, message);
    }
    if (status == PD_OK && operator_->extend != NULL &&
        !operator_->extend(operator_->context, config)) {
        (void)snprintf(message->text, sizeof message->text, "the command line's additions");
        status = PD_ERR_INVALID;
    }
    return status;
}

/* The longer of two beginnings of keys, if it begins with the other one: what both allow. NULL:
 * nothing. */
static const char *common_prefix(const char *one, const char *other)
{
    if (one == NULL || other == NULL) {
        return NULL;
    }
    size_t one_size = strlen(one);
    size_t other_size = strlen(other);
    size_t both = one_size < other_size ? one_size : other_size;
    if (strncmp(one, other, both) != 0) {
        return NULL;
    }
    return one_size > other_size ? one : other;
}

/* A list as the file has it, as one text; NULL: no memory. */
static char *join(const char *const *texts, uint32_t count)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        size += strlen(texts[i]) + 1;
    }
    char *joined = pd_alloc(size + 1);
    size_t used = 0;
    for (uint32_t i = 0; joined != NULL && i < count; i++) {
        used +=
            (size_t)snprintf(joined + used, size + 1 - used, "%s%s", i == 0 ? "" : ",", texts[i]);
    }
    return joined;
}

/* What the file and the operator both allow. */
static enum pd_status allow_network(const struct pd_app_run *run,
                                    const struct pd_app_rights *granted, struct pd_rights *rights,
                                    struct pd_module_message *message)
{
    const struct pd_app_operator *operator_ = &run->operator_;
    struct pd_net_list *list = NULL;
    struct pd_net_list *bound = NULL;
    enum pd_status status = PD_OK;
    if (granted->network == PD_NETWORK_LIST && granted->network_count > 0) {
        char *text = join(granted->network_list, granted->network_count);
        status = text == NULL ? PD_ERR_NO_MEMORY
                              : pd_net_list_parse(text, &list, message->text, sizeof message->text);
        pd_free(text);
    }
    if (status == PD_OK && operator_->network == PD_NETWORK_LIST) {
        status =
            pd_net_list_parse(operator_->network_list, &bound, message->text, sizeof message->text);
    }
    enum pd_network_right kind = PD_NETWORK_NONE;
    if (status == PD_OK) {
        status = pd_net_right_common(granted->network, list, operator_->network, bound, &kind,
                                     &rights->network_list);
        rights->network = (uint8_t)kind;
    }
    pd_net_list_release(list);
    pd_net_list_release(bound);
    return status;
}

static enum pd_status make_rights(struct pd_app_run *run, const struct pd_app_child *child,
                                  struct pd_rights **rights_out, struct pd_module_message *message)
{
    const struct pd_app_operator *operator_ = &run->operator_;
    const struct pd_app_rights *granted = &child->rights;
    uint64_t fuel = operator_->fuel_portions_max;
    if (granted->fuel_portions_max != PD_APP_UNLIMITED && granted->fuel_portions_max != 0) {
        fuel = fuel == 0 ? granted->fuel_portions_max : smaller(fuel, granted->fuel_portions_max);
    }
    struct pd_rights *rights = pd_rights_create(
        run->program->files, smaller(operator_->memory_bytes_max, granted->memory_bytes_max), fuel);
    if (rights == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    rights->can_spawn = granted->can_spawn && !operator_->deny_spawn;
    rights->can_compile = granted->can_compile && !operator_->deny_compile;
    rights->can_configure = granted->can_configure && !operator_->deny_configure;
    enum pd_status status = allow_network(run, granted, rights, message);
    if (status == PD_OK) {
        status = fill_wasi(run, child, rights->wasi, message);
    }
    const char *prefix = common_prefix(operator_->kv_prefix, granted->kv_prefix);
    if (status == PD_OK && prefix != NULL) {
        status = pd_rights_allow_kv(rights, prefix, (uint32_t)strlen(prefix));
    }
    if (status != PD_OK) {
        pd_rights_release(rights);
        return status;
    }
    *rights_out = rights;
    return PD_OK;
}

/* --- Specs ------------------------------------------------------------------------------------ */

/* The type of an export, as pando check reads it from the bytes. */
static struct pd_module_type type_of(const struct pd_module_export *function)
{
    static const uint8_t values[] = {[WASMTIME_I32] = PD_MODULE_I32,
                                     [WASMTIME_I64] = PD_MODULE_I64,
                                     [WASMTIME_F32] = PD_MODULE_F32,
                                     [WASMTIME_F64] = PD_MODULE_F64,
                                     [WASMTIME_V128] = PD_MODULE_V128};
    struct pd_module_type type = {.param_count = function->param_count,
                                  .result_count = function->result_count};
    for (uint32_t i = 0; i < function->param_count && i < PD_MODULE_PARAMS_MAX; i++) {
        type.params[i] = function->params[i] < sizeof values ? values[function->params[i]] : 0;
    }
    return type;
}

static bool is_fitting(const struct pd_app_child *child, const struct pd_module *module,
                       const struct pd_module_export *function, struct pd_module_message *message)
{
    _Static_assert(PD_APP_FUNCTION_WHY_SIZE <= sizeof message->text, "it is written there");
    if (function != NULL) {
        struct pd_module_type type = type_of(function);
        return pd_app_function_fits(child, &type, NULL, message->text);
    }
    struct pd_app_exports names = {.count = 0};
    for (uint32_t i = 0; i < module->export_count; i++) {
        pd_app_exports_add(&names, module->exports[i].name, module->exports[i].name_size);
    }
    return pd_app_function_fits(child, NULL, &names, message->text);
}

/* Encode the arguments by the function's own types (17 bytes each, see spawn_call.h). */
static enum pd_status encode_arguments(const struct pd_app_child *child,
                                       const struct pd_module *module, uint8_t *bytes,
                                       struct pd_module_message *message)
{
    _Static_assert(PD_MODULE_TYPE_PARAMS_MAX == PD_MODULE_PARAMS_MAX, "as many as there is room");
    const struct pd_module_export *function =
        pd_module_find(module, child->function, strlen(child->function));
    if (!is_fitting(child, module, function, message)) {
        return PD_ERR_INVALID;
    }
    for (uint32_t i = 0; i < child->argument_count; i++) {
        const struct pd_app_argument *argument = &child->arguments[i];
        bool is_short = function->params[i] == WASMTIME_I32;
        uint8_t *chunk = bytes + (size_t)i * PARAM_SIZE;
        memset(chunk, 0, PARAM_SIZE);
        chunk[0] = argument->is_vector ? TYPE_V128 : (is_short ? TYPE_I32 : TYPE_I64);
        memcpy(chunk + 1, argument->bytes, argument->is_vector ? 16 : (is_short ? 4 : 8));
    }
    return PD_OK;
}

static enum pd_status make_worker_spec(struct pd_app_run *run, const struct pd_app_child *child,
                                       struct pd_child_spec **spec_out,
                                       struct pd_module_message *message)
{
    struct pd_module *module = NULL;
    struct pd_rights *rights = NULL;
    uint8_t arguments[PD_MODULE_PARAMS_MAX * PARAM_SIZE];
    enum pd_status status = load(run, child, &module, message);
    if (status == PD_OK) {
        status = encode_arguments(child, module, arguments, message);
    }
    if (status == PD_OK) {
        status = make_rights(run, child, &rights, message);
    }
    if (status != PD_OK) {
        return status;
    }
    struct pd_supervised_worker *worker =
        pd_supervised_worker_create(&run->program->system, module, rights, child->registered);
    pd_rights_release(rights);
    if (worker == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    struct pd_child_spec spec = pd_app_child_spec(child);
    spec.arguments = arguments;
    spec.arguments_size = (size_t)child->argument_count * PARAM_SIZE;
    spec.subject = worker;
    spec.subject_share = pd_supervised_worker_share;
    spec.subject_release = pd_supervised_worker_release;
    status = pd_child_spec_create(&spec, spec_out);
    if (status != PD_OK) {
        pd_supervised_worker_release(worker);
    }
    return status;
}

/* The spec of a supervisor whose tree is complete. Takes the tree's reference on PD_OK. */
static enum pd_status make_tree_spec(const struct pd_app_child *child,
                                     struct pd_supervised_tree *tree,
                                     struct pd_child_spec **spec_out)
{
    struct pd_child_spec spec = pd_app_child_spec(child);
    spec.subject = tree;
    spec.subject_share = pd_supervised_tree_share;
    spec.subject_release = pd_supervised_tree_release;
    return pd_child_spec_create(&spec, spec_out);
}

/* --- The tree, depth first without recursion -------------------------------------------------- */

struct level {
    const struct pd_app_child *child;
    struct pd_supervised_tree *tree;
    uint32_t next; /* index of the child to add next */
};

struct builder {
    struct level levels[PD_APP_DEPTH_MAX + 1];
    uint32_t depth;
    const struct pd_app_child *failed; /* of whom the message speaks */
};

static enum pd_status push(struct builder *builder, const struct pd_app_child *child)
{
    pd_assert(builder->depth <= PD_APP_DEPTH_MAX);
    struct pd_supervisor_config config = pd_app_supervisor_config(child);
    struct pd_supervised_tree *tree = pd_supervised_tree_create(&config);
    if (tree == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    builder->levels[builder->depth++] = (struct level){.child = child, .tree = tree};
    return PD_OK;
}

static enum pd_status add_worker(struct pd_app_run *run, struct builder *builder,
                                 const struct pd_app_child *child,
                                 struct pd_module_message *message)
{
    struct level *level = &builder->levels[builder->depth - 1];
    struct pd_child_spec *spec = NULL;
    enum pd_status status = make_worker_spec(run, child, &spec, message);
    if (status == PD_OK) {
        status = pd_supervised_tree_add(level->tree, spec);
        if (status != PD_OK) {
            pd_child_spec_release(spec);
        }
    }
    return status;
}

/* The innermost supervisor is complete: put it into the one around it. */
static enum pd_status pop(struct builder *builder)
{
    struct level done = builder->levels[--builder->depth];
    struct pd_child_spec *spec = NULL;
    enum pd_status status = make_tree_spec(done.child, done.tree, &spec);
    if (status != PD_OK) {
        pd_supervised_tree_release(done.tree);
        return status;
    }
    status = pd_supervised_tree_add(builder->levels[builder->depth - 1].tree, spec);
    if (status != PD_OK) {
        pd_child_spec_release(spec);
    }
    return status;
}

static const struct pd_app_child *next_child(struct level *level)
{
    const struct pd_app_supervisor *supervisor = &level->child->supervisor;
    if (level->next < supervisor->child_count) {
        return &supervisor->children[level->next++];
    }
    if (supervisor->child_template != NULL && level->next == supervisor->child_count) {
        level->next++;
        return supervisor->child_template;
    }
    return NULL;
}

static enum pd_status build(struct pd_app_run *run, struct builder *builder,
                            struct pd_module_message *message)
{
    enum pd_status status = push(builder, &run->app->root);
    while (status == PD_OK) {
        const struct pd_app_child *child = next_child(&builder->levels[builder->depth - 1]);
        if (child == NULL && builder->depth == 1) {
            run->tree = builder->levels[0].tree;
            builder->depth = 0;
            return PD_OK;
        }
        if (child == NULL) {
            status = pop(builder);
        } else if (child->kind == PD_CHILD_SUPERVISOR) {
            builder->failed = child;
            status = push(builder, child);
        } else {
            builder->failed = child;
            status = add_worker(run, builder, child, message);
        }
    }
    while (builder->depth > 0) {
        pd_supervised_tree_release(builder->levels[--builder->depth].tree);
    }
    return status;
}

/* Put whom it is about in front of what is wrong. */
static void name_the_child(const struct builder *builder, enum pd_status status,
                           struct pd_module_message *message)
{
    struct pd_module_message why = *message;
    if (why.text[0] == '\0') {
        (void)snprintf(why.text, sizeof why.text, "%s", pd_status_text(status));
    }
    const struct pd_app_child *child = builder->failed;
    (void)snprintf(message->text, sizeof message->text, "line %u: %.200s: %.1700s",
                   child == NULL ? 0 : child->line, child == NULL ? "" : child->path, why.text);
}

enum pd_status pd_app_run_open(struct pd_app_run *run, struct pd_program *program,
                               const struct pd_app *app, const struct pd_app_operator *operator_,
                               struct pd_module_message *message)
{
    *run = (struct pd_app_run){.program = program, .app = app, .operator_ = *operator_};
    message->text[0] = '\0';
    struct builder *builder = pd_alloc_zeroed(1, sizeof *builder);
    if (builder == NULL) {
        (void)snprintf(message->text, sizeof message->text, "no memory");
        return PD_ERR_NO_MEMORY;
    }
    enum pd_status status = build(run, builder, message);
    if (status != PD_OK) {
        name_the_child(builder, status, message);
        pd_app_run_close(run);
    }
    pd_free(builder);
    return status;
}

enum pd_status pd_app_run_start(struct pd_app_run *run)
{
    struct pd_process *root = NULL;
    enum pd_status status = pd_supervised_tree_open(run->program->environment, 0, run->tree, &root);
    if (status == PD_OK) {
        pd_program_start_main(run->program, root);
    }
    return status;
}

void pd_app_run_close(struct pd_app_run *run)
{
    pd_supervised_tree_release(run->tree);
    for (uint32_t i = 0; i < run->loaded_count; i++) {
        pd_module_release(run->loaded[i].module);
    }
    pd_free(run->loaded);
    *run = (struct pd_app_run){0};
}

/* --- Watching --------------------------------------------------------------------------------- */

struct supervisor_search {
    const char *path;
    uint64_t pid;
};

static void match_supervisor(struct pd_process *process, void *context)
{
    struct supervisor_search *search = context;
    if (pd_process_is_supervisor(process) &&
        strcmp(pd_supervisor_process_name(process), search->path) == 0) {
        search->pid = process->pid;
    }
}

/* The pid of the supervisor with this path, or 0. */
static uint64_t find_supervisor(struct pd_environment *environment, const char *path)
{
    struct supervisor_search search = {.path = path};
    for (uint32_t slot = 0; slot < environment->capacity && search.pid == 0; slot++) {
        struct pd_process *process = pd_environment_at(environment, slot);
        struct pd_mailbox_view view;
        if (process != NULL) {
            (void)!pd_mailbox_look(environment, pd_mailbox_pid(process), &view, match_supervisor,
                                   &search);
        }
    }
    return search.pid;
}

/* Ask the child's supervisor to replace it. True: asked. */
static bool replace(struct pd_app_run *run, const struct pd_app_child *child)
{
    struct pd_module_message message = {.text = ""};
    struct pd_child_spec *spec = NULL;
    if (make_worker_spec(run, child, &spec, &message) != PD_OK) {
        (void)fprintf(stderr, "pando: %s: not replaced: %s\n", child->path, message.text);
        return false;
    }
    struct pd_supervisor_call call = {
        .kind = PD_SUPERVISOR_CALL_REPLACE, .spec = spec, .id = child->id};
    uint64_t supervisor = find_supervisor(run->program->environment, child->parent->path);
    enum pd_status status = supervisor == 0 ? PD_ERR_UNKNOWN
                                            : pd_supervisor_call_post(run->program->environment,
                                                                      supervisor, &call, 0, 0);
    pd_child_spec_release(spec);
    if (status != PD_OK) {
        (void)fprintf(stderr, "pando: %s: not replaced: %s\n", child->path, pd_status_text(status));
    }
    return status == PD_OK;
}

/* Every worker below the root that runs this module. Depth first without recursion: a stack of
 * positions. */
static uint32_t replace_users(struct pd_app_run *run, const struct pd_app_loaded *changed)
{
    const struct pd_app_child *stack[PD_APP_DEPTH_MAX + 1] = {&run->app->root};
    uint32_t next[PD_APP_DEPTH_MAX + 1] = {0};
    uint32_t depth = 1;
    uint32_t count = 0;
    while (depth > 0) {
        const struct pd_app_supervisor *supervisor = &stack[depth - 1]->supervisor;
        if (next[depth - 1] == supervisor->child_count) {
            depth--;
            continue;
        }
        const struct pd_app_child *child = &supervisor->children[next[depth - 1]++];
        if (child->kind == PD_CHILD_SUPERVISOR) {
            stack[depth] = child;
            next[depth++] = 0;
        } else if (strcmp(child->module_path, changed->path) == 0 &&
                   profile_of(run, child) == changed->profile) {
            count += replace(run, child) ? 1 : 0;
        }
    }
    return count;
}

/* True: the file is another than the one that was loaded, and it loads. */
static bool reload(struct pd_app_run *run, struct pd_app_loaded *loaded)
{
    struct stat stat_now;
    if (stat(loaded->path, &stat_now) != 0 ||
        (stat_now.st_size == loaded->size && stat_now.st_mtim.tv_sec == loaded->modified.tv_sec &&
         stat_now.st_mtim.tv_nsec == loaded->modified.tv_nsec)) {
        return false; /* a file that is gone is being written: the next look finds it */
    }
    note_file(loaded);
    struct pd_module *module = NULL;
    struct pd_module_message message = {.text = ""};
    if (pd_program_load(run->program, loaded->profile, loaded->path, &module, &message) != PD_OK) {
        (void)fprintf(stderr, "pando: %s: the old module stays: %s\n", loaded->path, message.text);
        return false;
    }
    if (memcmp(module->hash, loaded->module->hash, sizeof module->hash) == 0) {
        pd_module_release(module);
        return false;
    }
    pd_module_release(loaded->module);
    loaded->module = module;
    return true;
}

uint32_t pd_app_run_poll(struct pd_app_run *run)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < run->loaded_count; i++) {
        if (reload(run, &run->loaded[i])) {
            count += replace_users(run, &run->loaded[i]);
        }
    }
    return count;
}
