/* Permissions in the application file: what a worker gets, and how a supervisor bounds it. */
#include <inttypes.h>
#include <string.h>

#include "node/app_internal.h"

#define DIRECTORIES_MAX 64u
#define NETWORK_MAX 256u
#define ADDRESS_BYTES_MAX 255u
#define PATH_BYTES_MAX 4095u
#define KV_PREFIX_BYTES_MAX 1023u

static const char *const permission_keys[] = {"spawn",   "compile",    "configure", "stdio",
                                              "network", "max_memory", "max_fuel",  "directories",
                                              "kv",      NULL};

/* Where permissions are looked for: the child's own, then those of the defaults around it. */
struct source {
    const struct pd_yaml_node *mapping;
    const struct pd_app_scope *scope;
};

void pd_app_rights_of_root(struct pd_app_rights *rights)
{
    *rights = (struct pd_app_rights){
        .can_spawn = true,
        .can_compile = true,
        .can_configure = true,
        .has_stdio = true,
        .network = PD_NETWORK_ALL,
        .kv_prefix = "",
        .memory_bytes_max = PD_APP_UNLIMITED,
        .fuel_portions_max = PD_APP_UNLIMITED,
    };
}

static const struct pd_yaml_node *member(const struct pd_yaml_node *mapping, const char *key)
{
    const struct pd_yaml_node *permissions = pd_yaml_find(mapping, "permissions");
    return permissions != NULL && permissions->kind == PD_YAML_MAPPING
               ? pd_yaml_find(permissions, key)
               : NULL;
}

static const struct pd_yaml_node *find(struct source source, const char *key)
{
    const struct pd_yaml_node *found = member(source.mapping, key);
    for (const struct pd_app_scope *scope = source.scope; found == NULL && scope != NULL;
         scope = scope->outer) {
        found = member(scope->defaults, key);
    }
    return found;
}

static void note_more(struct pd_app_reader *reader, const struct pd_yaml_node *node,
                      const struct pd_app_child *child, const char *allowed)
{
    pd_app_note(&reader->notes, node,
                "this is more than supervisor `%s` (line %" PRIu32 ") allows: %s",
                child->parent->path, child->parent->line, allowed);
}

/* --- Yes or no, and limits -------------------------------------------------------------------- */

static void read_flag(struct pd_app_reader *reader, struct pd_app_child *child,
                      struct source source, const char *key, bool bound, bool *right)
{
    const struct pd_yaml_node *node = find(source, key);
    bool wanted = false;
    if (node == NULL || !pd_app_read_bool(&reader->notes, node, &wanted)) {
        return;
    }
    if (wanted && !bound) {
        note_more(reader, node, child, "it says false");
        return;
    }
    *right = wanted;
}

static void read_memory(struct pd_app_reader *reader, struct pd_app_child *child,
                        struct source source, uint64_t bound)
{
    const struct pd_yaml_node *node = find(source, "max_memory");
    uint64_t wanted = 0;
    if (node == NULL || !pd_app_read_size(&reader->notes, node, PD_MEMORY_BYTES_MAX, &wanted)) {
        return;
    }
    if (wanted > bound) {
        const char *allowed = pd_app_arena_format(reader->arena, "%" PRIu64 " bytes", bound);
        note_more(reader, node, child, allowed == NULL ? "" : allowed);
        return;
    }
    child->rights.memory_bytes_max = wanted;
}

static void read_fuel(struct pd_app_reader *reader, struct pd_app_child *child,
                      struct source source, uint64_t bound)
{
    const struct pd_yaml_node *node = find(source, "max_fuel");
    uint64_t wanted = 0;
    if (node == NULL ||
        !pd_app_read_number(&reader->notes, node, 1, UINT64_MAX / PD_FUEL_PORTION, &wanted)) {
        return;
    }
    if (wanted > bound) {
        const char *allowed = pd_app_arena_format(reader->arena, "%" PRIu64 " portions", bound);
        note_more(reader, node, child, allowed == NULL ? "" : allowed);
        return;
    }
    child->rights.fuel_portions_max = wanted;
}

/* --- Network ---------------------------------------------------------------------------------- */

static bool is_listed(const struct pd_app_rights *rights, const char *address)
{
    for (uint32_t i = 0; i < rights->network_count; i++) {
        if (pd_net_entry_within(address, rights->network_list[i])) {
            return true;
        }
    }
    return false;
}

static const char *network_text(const struct pd_app_rights *rights)
{
    switch (rights->network) {
    case PD_NETWORK_NONE:
        return "network none";
    case PD_NETWORK_LOCAL:
        return "network local";
    case PD_NETWORK_LIST:
        return "only the addresses of its list";
    case PD_NETWORK_ALL:
        return "all";
    }
    return "";
}

static bool may_reach(const struct pd_app_rights *bound, const char *address)
{
    switch (bound->network) {
    case PD_NETWORK_NONE:
        return false;
    case PD_NETWORK_LOCAL:
        return pd_net_entry_within(address, NULL);
    case PD_NETWORK_LIST:
        return is_listed(bound, address);
    case PD_NETWORK_ALL:
        return true;
    }
    return false;
}

static void read_addresses(struct pd_app_reader *reader, struct pd_app_child *child,
                           const struct pd_yaml_node *node, const struct pd_app_rights *bound)
{
    struct pd_app_rights *rights = &child->rights;
    if (node->count == 0 || node->count > NETWORK_MAX) {
        pd_app_note(&reader->notes, node,
                    "a list of 1 to %u addresses is allowed (or none, local, all)", NETWORK_MAX);
        return;
    }
    rights->network = PD_NETWORK_LIST;
    rights->network_count = 0;
    rights->network_list =
        pd_app_arena_take(reader->arena, node->count * sizeof *rights->network_list);
    for (const struct pd_yaml_node *at = node->first; at != NULL && rights->network_list != NULL;
         at = at->next) {
        const char *address = NULL;
        if (!pd_app_read_text(&reader->notes, at, "an address", ADDRESS_BYTES_MAX, &address)) {
            continue;
        }
        if (!pd_net_entry_is_valid(address, strlen(address))) {
            pd_app_note(&reader->notes, at,
                        "`%.64s` is no address: write host:port, host:* or 10.0.0.0/8", address);
        } else if (!may_reach(bound, address)) {
            note_more(reader, at, child, network_text(bound));
        } else {
            rights->network_list[rights->network_count++] = address;
        }
    }
}

static void read_network(struct pd_app_reader *reader, struct pd_app_child *child,
                         struct source source, const struct pd_app_rights *bound)
{
    static const char *const words[] = {"none", "local", "all", NULL};
    static const enum pd_network_right values[] = {PD_NETWORK_NONE, PD_NETWORK_LOCAL,
                                                   PD_NETWORK_ALL};
    const struct pd_yaml_node *node = find(source, "network");
    if (node == NULL) {
        return;
    }
    if (node->kind == PD_YAML_SEQUENCE) {
        read_addresses(reader, child, node, bound);
        return;
    }
    uint32_t choice = 0;
    if (!pd_app_read_choice(&reader->notes, node, words, &choice)) {
        return;
    }
    enum pd_network_right wanted = values[choice];
    bool is_within = wanted == PD_NETWORK_NONE || bound->network == PD_NETWORK_ALL ||
                     (wanted == PD_NETWORK_LOCAL && bound->network == PD_NETWORK_LOCAL);
    if (!is_within) {
        note_more(reader, node, child, network_text(bound));
        return;
    }
    child->rights.network = wanted;
    child->rights.network_count = 0;
}

/* --- Directories ------------------------------------------------------------------------------ */

/* The path without ".", ".." and doubled slashes, as far as words go: links are not followed here,
 * the runtime opens directories beneath each other. NULL: no memory. */
static const char *tidy_path(struct pd_app_reader *reader, const char *path)
{
    size_t size = strlen(path);
    char *tidy = pd_app_arena_take(reader->arena, size + 2);
    if (tidy == NULL) {
        return NULL;
    }
    bool is_absolute = path[0] == '/';
    size_t used = 0;
    size_t floor = 0; /* leading ".." of a relative path stay */
    while (*path != '\0') {
        size_t part = strcspn(path, "/");
        if (part == 2 && path[0] == '.' && path[1] == '.' && used > floor) {
            while (used > floor && tidy[--used] != '/') {
            }
        } else if (part == 2 && path[0] == '.' && path[1] == '.' && is_absolute) {
            /* above the root is the root */
        } else if (part > 0 && !(part == 1 && path[0] == '.')) {
            bool is_up = part == 2 && path[0] == '.' && path[1] == '.';
            if (used > 0 || is_absolute) {
                tidy[used++] = '/';
            }
            memcpy(tidy + used, path, part);
            used += part;
            floor = is_up ? used : floor;
        }
        path += part + (path[part] == '/');
    }
    if (used == 0) {
        tidy[used++] = is_absolute ? '/' : '.';
    }
    tidy[used] = '\0';
    return tidy;
}

/* True: `path` is `folder` or lies in it. */
static bool is_beneath(const char *path, const char *folder)
{
    if (strcmp(folder, ".") == 0) {
        return path[0] != '/' && strncmp(path, "..", 2) != 0;
    }
    if (strcmp(folder, "/") == 0) {
        return path[0] == '/';
    }
    size_t size = strlen(folder);
    return strncmp(path, folder, size) == 0 && (path[size] == '\0' || path[size] == '/');
}

static bool may_see(const struct pd_app_rights *bound, const struct pd_app_directory *directory)
{
    if (!bound->is_bounded) {
        return true;
    }
    for (uint32_t i = 0; i < bound->directory_count; i++) {
        const struct pd_app_directory *allowed = &bound->directories[i];
        if (is_beneath(directory->host, allowed->host) &&
            (allowed->is_writable || !directory->is_writable)) {
            return true;
        }
    }
    return false;
}

/* "HOST[::GUEST]", as for --dir. */
static bool split_directory(struct pd_app_reader *reader, const struct pd_yaml_node *node,
                            struct pd_app_directory *out)
{
    const char *text = NULL;
    if (!pd_app_read_text(&reader->notes, node, "a directory", PATH_BYTES_MAX, &text)) {
        return false;
    }
    const char *separator = strstr(text, "::");
    out->host = text;
    out->guest = text;
    out->is_writable = true;
    if (separator == NULL) {
        return true;
    }
    out->host = pd_app_arena_text(reader->arena, text, (size_t)(separator - text));
    out->guest = separator + 2;
    if (separator == text || separator[2] == '\0') {
        pd_app_note(&reader->notes, node, "`%.64s`: wanted is HOST or HOST::GUEST", text);
        return false;
    }
    return out->host != NULL;
}

static bool read_directory(struct pd_app_reader *reader, const struct pd_yaml_node *node,
                           struct pd_app_directory *out)
{
    static const char *const keys[] = {"host", "guest", "access", NULL};
    static const char *const words[] = {"read", "read_write", NULL};
    if (node->kind != PD_YAML_MAPPING) {
        return split_directory(reader, node, out);
    }
    pd_app_check_keys(&reader->notes, node, "a directory", keys);
    const struct pd_yaml_node *value = pd_yaml_find(node, "host");
    if (value == NULL) {
        pd_app_note(&reader->notes, node, "a directory needs a `host`");
        return false;
    }
    if (!pd_app_read_text(&reader->notes, value, "a directory", PATH_BYTES_MAX, &out->host)) {
        return false;
    }
    out->guest = out->host;
    value = pd_yaml_find(node, "guest");
    if (value != NULL &&
        !pd_app_read_text(&reader->notes, value, "a directory", PATH_BYTES_MAX, &out->guest)) {
        return false;
    }
    uint32_t choice = 1;
    value = pd_yaml_find(node, "access");
    if (value != NULL && !pd_app_read_choice(&reader->notes, value, words, &choice)) {
        return false;
    }
    out->is_writable = choice == 1;
    return true;
}

static bool is_guest_path_taken(const struct pd_app_rights *rights, const char *guest)
{
    for (uint32_t i = 0; i < rights->directory_count; i++) {
        if (strcmp(rights->directories[i].guest, guest) == 0) {
            return true;
        }
    }
    return false;
}

static void add_directory(struct pd_app_reader *reader, struct pd_app_child *child,
                          const struct pd_yaml_node *node, const struct pd_app_rights *bound)
{
    struct pd_app_directory directory = {0};
    if (!read_directory(reader, node, &directory)) {
        return;
    }
    const char *host = pd_app_resolve(reader, directory.host);
    host = host == NULL ? NULL : tidy_path(reader, host);
    if (host == NULL) {
        return;
    }
    directory.host = host;
    if (is_guest_path_taken(&child->rights, directory.guest)) {
        pd_app_note(&reader->notes, node, "the guest would see two directories as `%.64s`",
                    directory.guest);
    } else if (!may_see(bound, &directory)) {
        note_more(reader, node, child,
                  "it lies in none of its directories, or may only be read there");
    } else {
        child->rights.directories[child->rights.directory_count++] = directory;
    }
}

static void read_directories(struct pd_app_reader *reader, struct pd_app_child *child,
                             struct source source, const struct pd_app_rights *bound)
{
    const struct pd_yaml_node *node = find(source, "directories");
    if (node == NULL || !pd_app_is_sequence(&reader->notes, node, "directories, as HOST::GUEST")) {
        return;
    }
    if (node->count > DIRECTORIES_MAX) {
        pd_app_note(&reader->notes, node, "%" PRIu32 " directories: at most %u are allowed",
                    node->count, DIRECTORIES_MAX);
        return;
    }
    child->rights.is_bounded = true;
    child->rights.directory_count = 0;
    child->rights.directories =
        pd_app_arena_take(reader->arena, (node->count + 1) * sizeof *child->rights.directories);
    for (const struct pd_yaml_node *at = node->first;
         at != NULL && child->rights.directories != NULL; at = at->next) {
        add_directory(reader, child, at, bound);
    }
}

/* --- The store -------------------------------------------------------------------------------- */

static void read_kv(struct pd_app_reader *reader, struct pd_app_child *child, struct source source,
                    const struct pd_app_rights *bound)
{
    const struct pd_yaml_node *node = find(source, "kv");
    const char *wanted = NULL;
    if (node == NULL || !pd_app_read_text(&reader->notes, node, "the beginning of keys",
                                          KV_PREFIX_BYTES_MAX, &wanted)) {
        return;
    }
    if (strncmp(wanted, bound->kv_prefix, strlen(bound->kv_prefix)) != 0) {
        const char *allowed =
            pd_app_arena_format(reader->arena, "keys that begin with %s", bound->kv_prefix);
        note_more(reader, node, child, allowed == NULL ? "" : allowed);
        return;
    }
    child->rights.kv_prefix = wanted;
}

/* --- All of them ------------------------------------------------------------------------------ */

/* child->rights holds what is there when nothing is said. */
static void read_all(struct pd_app_reader *reader, struct pd_app_child *child, struct source source,
                     const struct pd_app_rights *bound)
{
    const struct pd_yaml_node *permissions = pd_yaml_find(source.mapping, "permissions");
    if (permissions != NULL &&
        pd_app_is_mapping(&reader->notes, permissions, "spawn, network, directories, ...")) {
        pd_app_check_keys(&reader->notes, permissions, "permissions", permission_keys);
    }
    struct pd_app_rights *rights = &child->rights;
    read_flag(reader, child, source, "spawn", bound->can_spawn, &rights->can_spawn);
    read_flag(reader, child, source, "compile", bound->can_compile, &rights->can_compile);
    read_flag(reader, child, source, "configure", bound->can_configure, &rights->can_configure);
    read_flag(reader, child, source, "stdio", bound->has_stdio, &rights->has_stdio);
    read_memory(reader, child, source, bound->memory_bytes_max);
    read_fuel(reader, child, source, bound->fuel_portions_max);
    read_network(reader, child, source, bound);
    read_directories(reader, child, source, bound);
    read_kv(reader, child, source, bound);
}

void pd_app_read_worker_rights(struct pd_app_reader *reader, struct pd_app_child *worker,
                               const struct pd_yaml_node *mapping, const struct pd_app_scope *scope)
{
    const struct pd_app_rights *bound = &worker->parent->rights;
    worker->rights = (struct pd_app_rights){
        .has_stdio = bound->has_stdio,
        .network = PD_NETWORK_NONE,
        .memory_bytes_max = bound->memory_bytes_max,
        .fuel_portions_max = bound->fuel_portions_max,
        .is_bounded = true,
    };
    read_all(reader, worker, (struct source){mapping, scope}, bound);
}

void pd_app_read_supervisor_rights(struct pd_app_reader *reader, struct pd_app_child *supervisor,
                                   const struct pd_yaml_node *mapping)
{
    struct pd_app_rights bound;
    if (supervisor->parent == NULL) {
        pd_app_rights_of_root(&bound);
    } else {
        bound = supervisor->parent->rights;
    }
    supervisor->rights = bound;
    read_all(reader, supervisor, (struct source){mapping, NULL}, &bound);
}
