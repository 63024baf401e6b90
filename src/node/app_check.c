/* What concerns more than one key of the application file, or the files that it names. */
#include <inttypes.h>
#include <string.h>

#include "node/app_internal.h"

#define MODULE_HEADER_SIZE 8u

void pd_app_check_worker(struct pd_app_reader *reader, const struct pd_app_child *worker,
                         const struct pd_yaml_node *mapping, const struct pd_app_scope *scope)
{
    const struct pd_yaml_node *node = pd_app_lookup(mapping, scope, "shutdown");
    if (worker->shutdown == PD_CHILD_STOP_INFINITY && !worker->handles_shutdown) {
        pd_app_note(&reader->notes, node == NULL ? mapping : node,
                    "infinity waits for ever for a worker that ignores shutdown: add "
                    "`handles_shutdown: true`, or give a time such as 5s");
    }
    node = pd_app_lookup(mapping, scope, "arguments");
    if (node != NULL && strcmp(worker->function, "_start") == 0) {
        pd_app_note_key(&reader->notes, node,
                        "`_start` takes no arguments: name an exported `function`, or use `args` "
                        "for words");
    }
}

/* A significant child must be able to end, and its supervisor must care. */
static void check_significant(struct pd_app_reader *reader, const struct pd_app_child *child,
                              const struct pd_yaml_node *mapping)
{
    if (!child->is_significant) {
        return;
    }
    if (child->restart == PD_CHILD_PERMANENT) {
        pd_app_note(&reader->notes, mapping,
                    "`%s` is significant but permanent, so it never ends by itself: make it "
                    "`restart: transient` or `temporary`",
                    child->id);
    }
    if (child->parent->supervisor.auto_shutdown == PD_AUTO_SHUTDOWN_NEVER) {
        pd_app_note(&reader->notes, mapping,
                    "`%s` is significant, but its supervisor has no `auto_shutdown`: "
                    "any_significant or all_significant",
                    child->id);
    }
}

static void check_id(struct pd_app_reader *reader, const struct pd_app_supervisor *supervisor,
                     uint32_t index, const struct pd_yaml_node *mapping)
{
    const struct pd_app_child *child = &supervisor->children[index];
    const struct pd_yaml_node *id = pd_yaml_find(mapping, "id");
    if (id == NULL || strcmp(child->id, "?") == 0) {
        return; /* noted already */
    }
    for (uint32_t i = 0; i < index; i++) {
        if (strcmp(supervisor->children[i].id, child->id) == 0) {
            pd_app_note(&reader->notes, id, "the id `%s` is taken by the child on line %" PRIu32,
                        child->id, supervisor->children[i].line);
            return;
        }
    }
}

static void check_count(struct pd_app_reader *reader, const struct pd_app_child *child,
                        const struct pd_yaml_node *mapping)
{
    const struct pd_app_supervisor *supervisor = &child->supervisor;
    if (supervisor->child_count == 0 && supervisor->strategy != PD_DYNAMIC &&
        pd_yaml_find(mapping, "children") == NULL) {
        pd_app_note(&reader->notes, mapping,
                    "`%s` has no `children` (only a supervisor with `strategy: dynamic` may begin "
                    "without)",
                    child->id);
    }
    if (supervisor->child_count > supervisor->children_max) {
        pd_app_note(&reader->notes, mapping,
                    "`%s` has %" PRIu32 " children, but max_children: %" PRIu32, child->id,
                    supervisor->child_count, supervisor->children_max);
    }
}

static void check_auto_shutdown(struct pd_app_reader *reader, const struct pd_app_child *child,
                                const struct pd_yaml_node *mapping)
{
    const struct pd_app_supervisor *supervisor = &child->supervisor;
    if (supervisor->auto_shutdown == PD_AUTO_SHUTDOWN_NEVER || supervisor->strategy == PD_DYNAMIC) {
        return;
    }
    for (uint32_t i = 0; i < supervisor->child_count; i++) {
        if (supervisor->children[i].is_significant) {
            return;
        }
    }
    const struct pd_yaml_node *at = pd_yaml_find(mapping, "supervisor");
    pd_app_note(&reader->notes, at == NULL ? mapping : at,
                "auto_shutdown waits for a child with `significant: true`, but there is none");
}

void pd_app_check_children(struct pd_app_reader *reader, const struct pd_app_child *child,
                           const struct pd_yaml_node *mapping)
{
    const struct pd_app_supervisor *supervisor = &child->supervisor;
    const struct pd_yaml_node *children = pd_yaml_find(mapping, "children");
    uint32_t index = 0;
    for (const struct pd_yaml_node *at = children == NULL ? NULL : children->first;
         at != NULL && index < supervisor->child_count; at = at->next) {
        if (at->kind == PD_YAML_MAPPING) {
            check_id(reader, supervisor, index, at);
            check_significant(reader, &supervisor->children[index], at);
            index++;
        }
    }
    const struct pd_yaml_node *template_node = pd_yaml_find(mapping, "template");
    if (template_node != NULL && supervisor->strategy != PD_DYNAMIC) {
        pd_app_note_key(&reader->notes, template_node,
                        "a template is for supervisors with `strategy: dynamic`");
    }
    if (supervisor->child_template != NULL) {
        check_significant(reader, supervisor->child_template, template_node);
    }
    check_count(reader, child, mapping);
    check_auto_shutdown(reader, child, mapping);
}

void pd_app_check_registered(struct pd_app_reader *reader, const struct pd_app_child *child,
                             const struct pd_yaml_node *mapping)
{
    const struct pd_yaml_node *node = pd_yaml_find(mapping, "register");
    if (child->registered == NULL || node == NULL) {
        return;
    }
    for (const struct pd_app_names *known = reader->names; known != NULL; known = known->next) {
        if (strcmp(known->name, child->registered) == 0) {
            pd_app_note(&reader->notes, node, "the name `%.64s` is taken on line %" PRIu32,
                        child->registered, known->line);
            return;
        }
    }
    struct pd_app_names *added = pd_app_arena_take(reader->arena, sizeof *added);
    if (added != NULL) {
        *added = (struct pd_app_names){child->registered, node->line, reader->names};
        reader->names = added;
    }
}

static void note_unreadable(struct pd_app_reader *reader, const struct pd_yaml_node *module,
                            const char *path, enum pd_status status)
{
    switch (status) {
    case PD_ERR_UNKNOWN:
        pd_app_note(&reader->notes, module, "there is no file %s", path);
        return;
    case PD_ERR_DENIED:
        pd_app_note(&reader->notes, module, "you may not read %s", path);
        return;
    case PD_ERR_INVALID:
        pd_app_note(&reader->notes, module, "%s is no regular file", path);
        return;
    case PD_OK:
    case PD_ERR_FULL:
    case PD_ERR_EXISTS:
    case PD_ERR_RANGE:
    case PD_ERR_TIMEOUT:
    case PD_ERR_IO:
    case PD_ERR_NO_MEMORY:
    case PD_ERR_CORRUPT:
    case PD_ERR_CLOSED:
    case PD_ERR_UNSUPPORTED:
        break;
    }
    pd_app_note(&reader->notes, module, "%s cannot be read: %s", path, pd_status_text(status));
}

void pd_app_check_module(struct pd_app_reader *reader, const struct pd_app_child *worker,
                         const struct pd_yaml_node *module)
{
    static const uint8_t magic[] = {0x00, 'a', 's', 'm'};
    if (reader->files == NULL) {
        return;
    }
    uint8_t header[MODULE_HEADER_SIZE];
    size_t size = 0;
    enum pd_status status = reader->files->read(reader->files->context, worker->module_path, header,
                                                sizeof header, &size);
    if (status != PD_OK) {
        note_unreadable(reader, module, worker->module_path, status);
    } else if (size < sizeof header || memcmp(header, magic, sizeof magic) != 0) {
        pd_app_note(&reader->notes, module, "%s is no WebAssembly module (of the binary form)",
                    worker->module_path);
    } else if (header[6] != 0) {
        pd_app_note(&reader->notes, module,
                    "%s is a WebAssembly component (WASI 0.2): only core modules with WASI "
                    "preview 1 run here",
                    worker->module_path);
    }
}
