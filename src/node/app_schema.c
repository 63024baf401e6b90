/* The schema of the application file: which keys there are, and what each may be. */
#include <string.h>

#include "node/app_internal.h"
#include "wasm/module.h"
#include "wasm/wasi.h"

#define NAME_BYTES_MAX 255u
#define PATH_BYTES_MAX 4095u
#define FUNCTION_BYTES_MAX PD_CHILD_FUNCTION_SIZE_MAX
#define WORD_BYTES_MAX 65536u
#define ARGUMENTS_MAX PD_MODULE_PARAMS_MAX
#define WORDS_MAX 1024u
#define VARIABLES_MAX 256u /* each new one is compared with all */

static const char *const worker_keys[] = {
    "id",       "module",           "function",   "arguments",   "args", "restart",
    "shutdown", "handles_shutdown", "ready",      "significant", "env",  "permissions",
    "register", "profile",          "output_tag", NULL};

static const char *const default_keys[] = {"module",      "function", "arguments",        "args",
                                           "restart",     "shutdown", "handles_shutdown", "ready",
                                           "significant", "env",      "permissions",      "profile",
                                           "output_tag",  NULL};

static const char *const child_supervisor_keys[] = {
    "id",      "supervisor", "permissions", "defaults",    "children", "template",
    "restart", "shutdown",   "register",    "significant", NULL};

static const char *const root_keys[] = {"name",     "supervisor", "permissions", "defaults",
                                        "children", "template",   NULL};

const struct pd_yaml_node *pd_app_lookup(const struct pd_yaml_node *mapping,
                                         const struct pd_app_scope *scope, const char *key)
{
    const struct pd_yaml_node *found = pd_yaml_find(mapping, key);
    for (; found == NULL && scope != NULL; scope = scope->outer) {
        found = pd_yaml_find(scope->defaults, key);
    }
    return found;
}

const char *pd_app_resolve(struct pd_app_reader *reader, const char *text)
{
    return text[0] == '/' ? text : pd_app_arena_format(reader->arena, "%s%s", reader->folder, text);
}

/* --- Single keys ------------------------------------------------------------------------------ */

static void read_restart(struct pd_app_reader *reader, struct pd_app_child *child,
                         const struct pd_yaml_node *node)
{
    static const char *const words[] = {"permanent", "transient", "temporary", NULL};
    uint32_t choice = 0;
    if (node != NULL && pd_app_read_choice(&reader->notes, node, words, &choice)) {
        child->restart = (enum pd_child_restart)choice;
    }
}

static void read_shutdown(struct pd_app_reader *reader, struct pd_app_child *child,
                          const struct pd_yaml_node *node)
{
    if (node == NULL) {
        return;
    }
    if (node->kind == PD_YAML_SCALAR && strcmp(node->text, "brutal") == 0) {
        child->shutdown = PD_CHILD_STOP_BRUTAL;
    } else if (node->kind == PD_YAML_SCALAR && strcmp(node->text, "infinity") == 0) {
        child->shutdown = PD_CHILD_STOP_INFINITY;
    } else if (pd_app_read_duration(&reader->notes, node, 0, ", or as brutal or infinity",
                                    &child->stop_ms)) {
        child->shutdown = PD_CHILD_STOP_TIMEOUT;
    }
}

static void read_ready(struct pd_app_reader *reader, struct pd_app_child *child,
                       const struct pd_yaml_node *node)
{
    if (node == NULL) {
        return;
    }
    if (node->kind != PD_YAML_MAPPING) {
        if (node->kind == PD_YAML_SEQUENCE) {
            pd_app_note(&reader->notes, node,
                        "here is a list: wanted is true, false or {timeout: 5s}");
            return;
        }
        (void)pd_app_read_bool(&reader->notes, node, &child->needs_ready);
        return;
    }
    static const char *const keys[] = {"timeout", NULL};
    pd_app_check_keys(&reader->notes, node, "ready", keys);
    const struct pd_yaml_node *timeout = pd_yaml_find(node, "timeout");
    child->needs_ready = true;
    if (timeout != NULL) {
        (void)pd_app_read_duration(&reader->notes, timeout, 1, "", &child->ready_ms);
    }
}

static void read_profile(struct pd_app_reader *reader, struct pd_app_child *child,
                         const struct pd_yaml_node *node)
{
    static const char *const words[] = {"dense", "guarded", NULL};
    uint32_t choice = 0;
    if (node != NULL && pd_app_read_choice(&reader->notes, node, words, &choice)) {
        child->has_profile = true;
        child->profile = choice == 0 ? PD_ENGINE_DENSE : PD_ENGINE_GUARDED;
    }
}

static void read_arguments(struct pd_app_reader *reader, struct pd_app_child *child,
                           const struct pd_yaml_node *node)
{
    if (node == NULL || !pd_app_is_sequence(&reader->notes, node, "integers")) {
        return;
    }
    if (node->count > ARGUMENTS_MAX) {
        pd_app_note(&reader->notes, node, "%u arguments: at most %u are allowed", node->count,
                    ARGUMENTS_MAX);
        return;
    }
    child->arguments =
        pd_app_arena_take(reader->arena, (node->count + 1) * sizeof *child->arguments);
    for (const struct pd_yaml_node *at = node->first; at != NULL && child->arguments != NULL;
         at = at->next) {
        if (pd_app_read_argument(&reader->notes, at, &child->arguments[child->argument_count])) {
            child->argument_count++;
        }
    }
}

static void read_words(struct pd_app_reader *reader, struct pd_app_child *child,
                       const struct pd_yaml_node *node)
{
    if (node == NULL || !pd_app_is_sequence(&reader->notes, node, "words")) {
        return;
    }
    if (node->count > WORDS_MAX) {
        pd_app_note(&reader->notes, node, "%u words: at most %u are allowed", node->count,
                    WORDS_MAX);
        return;
    }
    child->words = pd_app_arena_take(reader->arena, (node->count + 1) * sizeof *child->words);
    for (const struct pd_yaml_node *at = node->first; at != NULL && child->words != NULL;
         at = at->next) {
        if (at->kind == PD_YAML_SCALAR && strlen(at->text) <= WORD_BYTES_MAX) {
            child->words[child->word_count++] = at->text; /* may be empty */
        } else {
            pd_app_note(&reader->notes, at, "wanted is a word of at most %u bytes", WORD_BYTES_MAX);
        }
    }
}

/* --- Environment ------------------------------------------------------------------------------ */

static void set_variable(struct pd_app_child *child, const char *name, const char *value)
{
    for (uint32_t i = 0; i < child->variable_count; i++) {
        if (strcmp(child->variables[i].name, name) == 0) {
            child->variables[i].value = value;
            return;
        }
    }
    child->variables[child->variable_count++] = (struct pd_app_variable){name, value};
}

static void add_variables(struct pd_app_reader *reader, struct pd_app_child *child,
                          const struct pd_yaml_node *env)
{
    for (const struct pd_yaml_node *at = env->first; at != NULL; at = at->next) {
        if (at->key[0] == '\0' || strchr(at->key, '=') != NULL) {
            pd_app_note_key(&reader->notes, at,
                            "`%.64s` is no name of a variable: it has no `=` and is not empty",
                            at->key);
        } else if (at->kind != PD_YAML_SCALAR) {
            pd_app_note(&reader->notes, at, "the value of a variable is one text");
        } else {
            set_variable(child, at->key, at->text);
        }
    }
}

/* Outer defaults first, the child's own last: each overrides what was there. */
static void read_env(struct pd_app_reader *reader, struct pd_app_child *child,
                     const struct pd_yaml_node *mapping, const struct pd_app_scope *scope)
{
    const struct pd_yaml_node *levels[PD_APP_DEPTH_MAX + 2];
    uint32_t level_count = 0;
    uint32_t variables_max = 0;
    const struct pd_yaml_node *env = pd_yaml_find(mapping, "env");
    for (;;) {
        if (env != NULL && pd_app_is_mapping(&reader->notes, env, "NAME: value")) {
            levels[level_count++] = env;
            variables_max += env->count;
        }
        if (scope == NULL) {
            break;
        }
        env = pd_yaml_find(scope->defaults, "env");
        scope = scope->outer;
    }
    if (variables_max > VARIABLES_MAX) {
        pd_app_note(&reader->notes, levels[0], "%u variables: at most %u are allowed",
                    variables_max, VARIABLES_MAX);
        return;
    }
    child->variables =
        pd_app_arena_take(reader->arena, (variables_max + 1) * sizeof *child->variables);
    while (level_count > 0 && child->variables != NULL) {
        add_variables(reader, child, levels[--level_count]);
    }
}

/* --- Children --------------------------------------------------------------------------------- */

static void read_id(struct pd_app_reader *reader, struct pd_app_child *child,
                    const struct pd_yaml_node *mapping)
{
    const struct pd_yaml_node *node = pd_yaml_find(mapping, "id");
    child->id = "?";
    if (node == NULL) {
        pd_app_note(&reader->notes, mapping, "a child needs an `id`");
    } else {
        (void)pd_app_read_name(&reader->notes, node, &child->id);
    }
    const char *path = pd_app_arena_format(reader->arena, "%s/%s", child->parent->path, child->id);
    child->path = path == NULL ? child->id : path;
}

static void read_optional_text(struct pd_app_reader *reader, const struct pd_yaml_node *node,
                               const char *what, size_t size_max, const char **out)
{
    if (node != NULL) {
        (void)pd_app_read_text(&reader->notes, node, what, size_max, out);
    }
}

static void read_optional_bool(struct pd_app_reader *reader, const struct pd_yaml_node *node,
                               bool *out)
{
    if (node != NULL) {
        (void)pd_app_read_bool(&reader->notes, node, out);
    }
}

static void read_module(struct pd_app_reader *reader, struct pd_app_child *child,
                        const struct pd_yaml_node *mapping, const struct pd_app_scope *scope,
                        bool is_real)
{
    const struct pd_yaml_node *node = pd_app_lookup(mapping, scope, "module");
    if (node == NULL) {
        if (is_real) {
            pd_app_note(&reader->notes, mapping,
                        "a worker needs a `module` (a supervisor needs `children`)");
        }
        return;
    }
    if (pd_app_read_text(&reader->notes, node, "a file name", PATH_BYTES_MAX, &child->module)) {
        child->module_path = pd_app_resolve(reader, child->module);
        if (is_real && child->module_path != NULL) {
            pd_app_check_module(reader, child, node);
        }
    }
}

void pd_app_read_worker(struct pd_app_reader *reader, struct pd_app_child *child,
                        const struct pd_yaml_node *mapping, const struct pd_app_scope *scope,
                        bool is_real)
{
    child->kind = PD_CHILD_WORKER;
    child->stop_ms = PD_CHILD_TIMEOUT_MS_DEFAULT;
    child->ready_ms = PD_CHILD_TIMEOUT_MS_DEFAULT;
    child->function = "_start";
    if (is_real) {
        pd_app_check_keys(&reader->notes, mapping, "a worker", worker_keys);
        read_id(reader, child, mapping);
        const struct pd_yaml_node *name = pd_yaml_find(mapping, "register");
        read_optional_text(reader, name, "a registered name", NAME_BYTES_MAX, &child->registered);
    }
    read_module(reader, child, mapping, scope, is_real);
    read_optional_text(reader, pd_app_lookup(mapping, scope, "function"), "a function's name",
                       FUNCTION_BYTES_MAX, &child->function);
    read_optional_text(reader, pd_app_lookup(mapping, scope, "output_tag"), "an output tag",
                       PD_WASI_TAG_MAX, &child->output_tag);
    read_optional_bool(reader, pd_app_lookup(mapping, scope, "handles_shutdown"),
                       &child->handles_shutdown);
    read_optional_bool(reader, pd_app_lookup(mapping, scope, "significant"),
                       &child->is_significant);
    read_restart(reader, child, pd_app_lookup(mapping, scope, "restart"));
    read_shutdown(reader, child, pd_app_lookup(mapping, scope, "shutdown"));
    read_ready(reader, child, pd_app_lookup(mapping, scope, "ready"));
    read_profile(reader, child, pd_app_lookup(mapping, scope, "profile"));
    read_arguments(reader, child, pd_app_lookup(mapping, scope, "arguments"));
    read_words(reader, child, pd_app_lookup(mapping, scope, "args"));
    read_env(reader, child, mapping, scope);
    pd_app_read_worker_rights(reader, child, mapping, scope);
    if (is_real) {
        pd_app_check_worker(reader, child, mapping, scope);
        pd_app_check_registered(reader, child, mapping);
    }
}

void pd_app_check_defaults(struct pd_app_reader *reader, struct pd_app_child *supervisor,
                           const struct pd_yaml_node *defaults)
{
    if (!pd_app_is_mapping(&reader->notes, defaults, "keys of workers")) {
        return;
    }
    pd_app_check_keys(&reader->notes, defaults, "defaults", default_keys);
    struct pd_app_child *nobody = pd_app_arena_take(reader->arena, sizeof *nobody);
    if (nobody != NULL) {
        nobody->parent = supervisor;
        pd_app_read_worker(reader, nobody, defaults, NULL, false);
    }
}

/* --- Supervisors ------------------------------------------------------------------------------ */

static void read_strategy(struct pd_app_reader *reader, struct pd_app_supervisor *supervisor,
                          const struct pd_yaml_node *node)
{
    static const char *const words[] = {"one_for_one", "one_for_all", "rest_for_one", "dynamic",
                                        NULL};
    uint32_t choice = 0;
    if (pd_app_read_choice(&reader->notes, node, words, &choice)) {
        supervisor->strategy = (enum pd_supervisor_strategy)choice;
    }
}

static void read_auto_shutdown(struct pd_app_reader *reader, struct pd_app_supervisor *supervisor,
                               const struct pd_yaml_node *node)
{
    static const char *const words[] = {"never", "any_significant", "all_significant", NULL};
    uint32_t choice = 0;
    if (pd_app_read_choice(&reader->notes, node, words, &choice)) {
        supervisor->auto_shutdown = (enum pd_supervisor_auto_shutdown)choice;
    }
}

static void read_supervision(struct pd_app_reader *reader, struct pd_app_supervisor *supervisor,
                             const struct pd_yaml_node *node)
{
    static const char *const keys[] = {"strategy",      "max_restarts", "period",
                                       "auto_shutdown", "max_children", NULL};
    if (node->kind == PD_YAML_SCALAR) { /* "supervisor: one_for_all" */
        read_strategy(reader, supervisor, node);
        return;
    }
    if (!pd_app_is_mapping(&reader->notes, node, "strategy, max_restarts, period, ...")) {
        return;
    }
    pd_app_check_keys(&reader->notes, node, "supervisor", keys);
    const struct pd_yaml_node *value = pd_yaml_find(node, "strategy");
    if (value != NULL) {
        read_strategy(reader, supervisor, value);
    }
    value = pd_yaml_find(node, "auto_shutdown");
    if (value != NULL) {
        read_auto_shutdown(reader, supervisor, value);
    }
    uint64_t number = 0;
    value = pd_yaml_find(node, "max_restarts");
    if (value != NULL &&
        pd_app_read_number(&reader->notes, value, 0, PD_SUPERVISOR_RESTARTS_MAX, &number)) {
        supervisor->restarts_max = (uint32_t)number;
    }
    value = pd_yaml_find(node, "max_children");
    if (value != NULL && pd_app_read_number(&reader->notes, value, 1, PD_CHILDREN_MAX, &number)) {
        supervisor->children_max = (uint32_t)number;
    }
    value = pd_yaml_find(node, "period");
    if (value != NULL && pd_app_read_duration(&reader->notes, value, 1, "", &number)) {
        supervisor->period_ns = number * 1000000;
    }
}

static void read_root(struct pd_app_reader *reader, struct pd_app_child *child,
                      const struct pd_yaml_node *mapping)
{
    pd_app_check_keys(&reader->notes, mapping, "an application", root_keys);
    const struct pd_yaml_node *name = pd_yaml_find(mapping, "name");
    child->id = "?";
    if (name == NULL) {
        pd_app_note(&reader->notes, mapping, "an application needs a `name`");
    } else {
        (void)pd_app_read_name(&reader->notes, name, &child->id);
    }
    child->path = child->id;
}

void pd_app_read_supervisor(struct pd_app_reader *reader, struct pd_app_child *child,
                            const struct pd_yaml_node *mapping)
{
    struct pd_supervisor_config config = pd_supervisor_config_default();
    child->kind = PD_CHILD_SUPERVISOR;
    child->shutdown = PD_CHILD_STOP_INFINITY;
    child->stop_ms = PD_CHILD_TIMEOUT_MS_DEFAULT;
    child->needs_ready = true;
    child->ready_ms = PD_CHILD_NO_TIMEOUT;
    child->supervisor = (struct pd_app_supervisor){
        .strategy = config.strategy,
        .restarts_max = config.restarts_max,
        .period_ns = config.period_ns,
        .children_max = config.children_max,
    };
    if (child->parent == NULL) {
        read_root(reader, child, mapping);
    } else {
        pd_app_check_keys(&reader->notes, mapping, "a supervisor", child_supervisor_keys);
        read_id(reader, child, mapping);
        read_optional_text(reader, pd_yaml_find(mapping, "register"), "a registered name",
                           NAME_BYTES_MAX, &child->registered);
        read_optional_bool(reader, pd_yaml_find(mapping, "significant"), &child->is_significant);
        read_restart(reader, child, pd_yaml_find(mapping, "restart"));
        read_shutdown(reader, child, pd_yaml_find(mapping, "shutdown"));
        pd_app_check_registered(reader, child, mapping);
    }
    const struct pd_yaml_node *supervisor = pd_yaml_find(mapping, "supervisor");
    if (supervisor != NULL) {
        read_supervision(reader, &child->supervisor, supervisor);
    }
    pd_app_read_supervisor_rights(reader, child, mapping);
}
