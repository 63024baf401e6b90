#include "node/app.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "node/app_internal.h"

/* An app, its arena, and nothing else. */
struct owned_app {
    struct pd_app app; /* first: pd_app_destroy is given its address */
    struct pd_app_arena arena;
};

/* --- The tree, breadth first ------------------------------------------------------------------ */

static void add_pending(struct pd_app_reader *reader, struct pd_app_child *supervisor,
                        const struct pd_yaml_node *mapping, const struct pd_app_scope *scope,
                        uint32_t depth)
{
    if (depth > PD_APP_DEPTH_MAX) {
        pd_app_note(&reader->notes, mapping, "supervisors are nested more than %u deep",
                    PD_APP_DEPTH_MAX);
        return;
    }
    struct pd_app_pending *pending = pd_app_arena_take(reader->arena, sizeof *pending);
    if (pending == NULL) {
        return;
    }
    *pending = (struct pd_app_pending){supervisor, mapping, scope, depth, NULL};
    if (reader->pending_last == NULL) {
        reader->pending_first = pending;
    } else {
        reader->pending_last->next = pending;
    }
    reader->pending_last = pending;
}

static bool is_supervisor(const struct pd_yaml_node *mapping)
{
    return pd_yaml_find(mapping, "module") == NULL &&
           (pd_yaml_find(mapping, "supervisor") != NULL ||
            pd_yaml_find(mapping, "children") != NULL || pd_yaml_find(mapping, "template") != NULL);
}

static void read_child(struct pd_app_reader *reader, const struct pd_app_pending *parent,
                       struct pd_app_child *child, const struct pd_yaml_node *mapping,
                       const struct pd_app_scope *scope)
{
    child->parent = parent->supervisor;
    child->line = mapping->line;
    if (is_supervisor(mapping)) {
        pd_app_read_supervisor(reader, child, mapping);
        add_pending(reader, child, mapping, scope, parent->depth + 1);
    } else {
        pd_app_read_worker(reader, child, mapping, scope, true);
    }
}

static void read_list(struct pd_app_reader *reader, const struct pd_app_pending *parent,
                      const struct pd_yaml_node *list, const struct pd_app_scope *scope)
{
    struct pd_app_supervisor *supervisor = &parent->supervisor->supervisor;
    if (!pd_app_is_sequence(&reader->notes, list, "children (`- id: ...`)")) {
        return;
    }
    if (list->count == 0) {
        pd_app_note(&reader->notes, list, "the list of children is empty");
        return;
    }
    if (list->count > PD_APP_CHILDREN_MAX - reader->app->child_count) {
        pd_app_note(&reader->notes, list, "more than %u children in one file", PD_APP_CHILDREN_MAX);
        return;
    }
    supervisor->children =
        pd_app_arena_take(reader->arena, list->count * sizeof *supervisor->children);
    for (const struct pd_yaml_node *at = list->first; at != NULL && supervisor->children != NULL;
         at = at->next) {
        if (pd_app_is_mapping(&reader->notes, at, "a child: id, module, ...")) {
            read_child(reader, parent, &supervisor->children[supervisor->child_count++], at, scope);
            reader->app->child_count++;
        }
    }
}

static void read_template(struct pd_app_reader *reader, const struct pd_app_pending *parent,
                          const struct pd_yaml_node *mapping, const struct pd_app_scope *scope)
{
    if (!pd_app_is_mapping(&reader->notes, mapping, "a child: id, module, ...")) {
        return;
    }
    struct pd_app_child *child = pd_app_arena_take(reader->arena, sizeof *child);
    if (child != NULL) {
        parent->supervisor->supervisor.child_template = child;
        read_child(reader, parent, child, mapping, scope);
    }
}

static void read_children(struct pd_app_reader *reader, const struct pd_app_pending *parent)
{
    const struct pd_app_scope *scope = parent->scope;
    const struct pd_yaml_node *defaults = pd_yaml_find(parent->mapping, "defaults");
    if (defaults != NULL) {
        pd_app_check_defaults(reader, parent->supervisor, defaults);
    }
    if (defaults != NULL && defaults->kind == PD_YAML_MAPPING) {
        struct pd_app_scope *inner = pd_app_arena_take(reader->arena, sizeof *inner);
        if (inner == NULL) {
            return;
        }
        *inner = (struct pd_app_scope){defaults, scope};
        scope = inner;
    }
    const struct pd_yaml_node *node = pd_yaml_find(parent->mapping, "children");
    if (node != NULL) {
        read_list(reader, parent, node, scope);
    }
    node = pd_yaml_find(parent->mapping, "template");
    if (node != NULL) {
        read_template(reader, parent, node, scope);
    }
    pd_app_check_children(reader, parent->supervisor, parent->mapping);
}

static void read_application(struct pd_app_reader *reader, const struct pd_yaml_node *document)
{
    if (!pd_app_is_mapping(&reader->notes, document, "name, supervisor, children, ...")) {
        return;
    }
    struct pd_app_child *root = &reader->app->root;
    root->line = document->line;
    pd_app_read_supervisor(reader, root, document);
    add_pending(reader, root, document, NULL, 1);
    while (reader->pending_first != NULL && !reader->arena->is_exhausted) {
        const struct pd_app_pending *pending = reader->pending_first;
        read_children(reader, pending);
        reader->pending_first = pending->next;
        if (reader->pending_first == NULL) {
            reader->pending_last = NULL;
        }
    }
}

/* --- Reports ---------------------------------------------------------------------------------- */

/* In the order of the file; few, and nearly sorted. */
static void sort_mistakes(struct pd_app_mistake *list, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct pd_app_mistake moving = list[i];
        uint32_t to = i;
        while (to > 0 &&
               (list[to - 1].line > moving.line ||
                (list[to - 1].line == moving.line && list[to - 1].column > moving.column))) {
            list[to] = list[to - 1];
            to--;
        }
        list[to] = moving;
    }
}

enum pd_status pd_app_report_begin(struct pd_app_report *report, struct pd_app_notes *notes)
{
    memset(report, 0, sizeof *report);
    struct pd_app_arena *arena = pd_alloc_zeroed(1, sizeof *arena);
    if (arena == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    report->arena = arena;
    notes->arena = arena;
    notes->list = pd_app_arena_take(arena, PD_APP_MISTAKES_MAX * sizeof *notes->list);
    if (notes->list == NULL) {
        pd_app_report_deinit(report);
        return PD_ERR_NO_MEMORY;
    }
    return PD_OK;
}

void pd_app_report_deinit(struct pd_app_report *report)
{
    if (report->arena != NULL) {
        pd_app_arena_deinit(report->arena);
        pd_free(report->arena);
    }
    memset(report, 0, sizeof *report);
}

enum pd_status pd_app_report_finish(struct pd_app_report *report, const struct pd_app_notes *notes)
{
    if (notes->arena->is_exhausted) {
        pd_app_report_deinit(report);
        return PD_ERR_NO_MEMORY;
    }
    sort_mistakes(notes->list, notes->count);
    report->mistakes = notes->list;
    report->count = notes->count;
    report->is_cut = notes->is_cut;
    return notes->count == 0 ? PD_OK : PD_ERR_INVALID;
}

/* --- Parsing ---------------------------------------------------------------------------------- */

static const char *folder_of(struct pd_app_arena *arena, const char *file)
{
    const char *slash = strrchr(file, '/');
    return slash == NULL ? "" : pd_app_arena_text(arena, file, (size_t)(slash - file) + 1);
}

static void parse_into(struct pd_app_reader *reader, const char *text, size_t size)
{
    if (size > PD_APP_FILE_SIZE_MAX) {
        pd_app_note_at(&reader->notes, 0, 0, "", "the file is larger than 1 MiB");
        return;
    }
    const struct pd_yaml_node *document = pd_yaml_parse(text, size, reader->arena, &reader->notes);
    if (document != NULL) {
        read_application(reader, document);
    }
}

enum pd_status pd_app_parse(const char *text, size_t size, const char *file,
                            const struct pd_app_files *files, struct pd_app **app_out,
                            struct pd_app_report *report_out)
{
    struct pd_app_reader reader = {.files = files};
    struct owned_app *owned = NULL;
    enum pd_status status = pd_app_report_begin(report_out, &reader.notes);
    if (status != PD_OK) {
        return status;
    }
    owned = pd_alloc_zeroed(1, sizeof *owned);
    if (owned == NULL) {
        pd_app_report_deinit(report_out);
        return PD_ERR_NO_MEMORY;
    }
    owned->app.arena = &owned->arena;
    reader.arena = &owned->arena;
    reader.app = &owned->app;
    reader.folder = folder_of(reader.arena, file);
    if (reader.folder != NULL) {
        parse_into(&reader, text, size);
    }
    status = pd_app_report_finish(report_out, &reader.notes);
    if (status != PD_ERR_NO_MEMORY && owned->arena.is_exhausted) {
        pd_app_report_deinit(report_out);
        status = PD_ERR_NO_MEMORY;
    }
    if (status != PD_OK) {
        pd_app_destroy(&owned->app);
        return status;
    }
    *app_out = &owned->app;
    return PD_OK;
}

static const char *read_mistake(enum pd_status status)
{
    return status == PD_ERR_UNKNOWN   ? "there is no such file"
           : status == PD_ERR_INVALID ? "it is no regular file"
           : status == PD_ERR_DENIED  ? "you may not read it"
                                      : pd_status_text(status);
}

enum pd_status pd_app_report_unread(struct pd_app_report *report, enum pd_status status)
{
    struct pd_app_notes notes = {0};
    enum pd_status noted = pd_app_report_begin(report, &notes);
    if (noted == PD_OK) {
        pd_app_note_at(&notes, 0, 0, "", "%s", read_mistake(status));
        noted = pd_app_report_finish(report, &notes);
    }
    return noted;
}

enum pd_status pd_app_load(const char *file, const struct pd_app_files *files,
                           struct pd_app **app_out, struct pd_app_report *report_out)
{
    memset(report_out, 0, sizeof *report_out);
    const size_t room = PD_APP_FILE_SIZE_MAX + 1; /* one more shows that it is too large */
    uint8_t *bytes = pd_alloc(room);
    if (bytes == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    size_t size = 0;
    enum pd_status status = files->read(files->context, file, bytes, room, &size);
    if (status == PD_OK) {
        status = pd_app_parse((const char *)bytes, size, file, files, app_out, report_out);
    } else if (status != PD_ERR_NO_MEMORY) {
        status = pd_app_report_unread(report_out, status);
    }
    pd_free(bytes);
    return status;
}

void pd_app_destroy(struct pd_app *app)
{
    if (app == NULL) {
        return;
    }
    struct owned_app *owned = (struct owned_app *)(void *)app;
    pd_assert(app->arena == &owned->arena);
    pd_app_arena_deinit(&owned->arena);
    pd_free(owned);
}

/* --- For the runtime -------------------------------------------------------------------------- */

struct pd_child_spec pd_app_child_spec(const struct pd_app_child *child)
{
    return (struct pd_child_spec){
        .id = child->id,
        .function = child->function,
        .restart = child->restart,
        .shutdown = child->shutdown,
        .kind = child->kind,
        .stop_ms = child->stop_ms,
        .ready_ms = child->ready_ms,
        .needs_ready = child->needs_ready,
        .handles_shutdown = child->handles_shutdown,
        .is_significant = child->is_significant,
    };
}

struct pd_supervisor_config pd_app_supervisor_config(const struct pd_app_child *supervisor)
{
    pd_assert(supervisor->kind == PD_CHILD_SUPERVISOR);
    struct pd_supervisor_config config = pd_supervisor_config_default();
    config.name = supervisor->path;
    config.strategy = supervisor->supervisor.strategy;
    config.auto_shutdown = supervisor->supervisor.auto_shutdown;
    config.restarts_max = supervisor->supervisor.restarts_max;
    config.period_ns = supervisor->supervisor.period_ns;
    config.children_max = supervisor->supervisor.children_max;
    return config;
}
