/* What guests are granted: arguments, variables, directories, standard streams. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "wasm/wasi_internal.h"

enum pd_status pd_wasi_config_create(struct pd_files *files, struct pd_wasi_config **config_out)
{
    struct pd_wasi_config *config = pd_alloc_zeroed(1, sizeof *config);
    if (config == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    atomic_init(&config->refs, 1);
    config->files = files;
    *config_out = config;
    return PD_OK;
}

struct pd_wasi_config *pd_wasi_config_retain(struct pd_wasi_config *config)
{
    atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
    return config;
}

static void preopen_deinit(struct pd_files *files, struct wasi_preopen *preopen)
{
    if (preopen->dir != NULL) {
        files->ops->release(files, preopen->dir);
    }
    pd_free(preopen->guest_path);
    pd_free(preopen->host_path);
}

void pd_wasi_config_release(struct pd_wasi_config *config)
{
    if (config == NULL || atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i < config->preopen_count; i++) {
        preopen_deinit(config->files, &config->preopens[i]);
    }
    for (uint32_t i = 0; i < config->listener_count; i++) {
        config->files->ops->release(config->files, config->listeners[i]);
    }
    pd_free(config->preopens);
    pd_free(config->arguments.bytes);
    pd_free(config->variables.bytes);
    pd_free(config);
}

static bool is_shared(const struct pd_wasi_config *config)
{
    return atomic_load_explicit(&config->refs, memory_order_acquire) != 1;
}

static bool strings_copy(struct wasi_strings *to, const struct wasi_strings *from)
{
    if (from->size == 0) {
        return true;
    }
    to->bytes = pd_alloc(from->size);
    if (to->bytes == NULL) {
        return false;
    }
    memcpy(to->bytes, from->bytes, from->size);
    to->size = from->size;
    to->count = from->count;
    return true;
}

/* A copy with a reference to the same open directory; on failure, what must be deinited. */
static bool preopen_copy(struct pd_files *files, struct wasi_preopen *to,
                         const struct wasi_preopen *from)
{
    files->ops->retain(files, from->dir);
    *to = (struct wasi_preopen){
        .dir = from->dir,
        .guest_path = pd_alloc_text(from->guest_path, strlen(from->guest_path)),
        .host_path = pd_alloc_text(from->host_path, strlen(from->host_path)),
        .base = from->base,
        .inheriting = from->inheriting,
    };
    return to->guest_path != NULL && to->host_path != NULL;
}

static bool preopens_copy(struct pd_wasi_config *to, const struct pd_wasi_config *from)
{
    if (from->preopen_count == 0) {
        return true;
    }
    to->preopens = pd_alloc_zeroed(from->preopen_count, sizeof *to->preopens);
    if (to->preopens == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < from->preopen_count; i++) {
        to->preopen_count = i + 1;
        if (!preopen_copy(to->files, &to->preopens[i], &from->preopens[i])) {
            return false;
        }
    }
    return true;
}

enum pd_status pd_wasi_config_edit(struct pd_wasi_config **config)
{
    struct pd_wasi_config *from = *config;
    if (!is_shared(from)) {
        return PD_OK;
    }
    struct pd_wasi_config *copy = NULL;
    if (pd_wasi_config_create(from->files, &copy) != PD_OK) {
        return PD_ERR_NO_MEMORY;
    }
    copy->has_stdio = from->has_stdio;
    copy->sink = from->sink;
    for (; copy->listener_count < from->listener_count; copy->listener_count++) {
        copy->listeners[copy->listener_count] = from->listeners[copy->listener_count];
        copy->files->ops->retain(copy->files, copy->listeners[copy->listener_count]);
    }
    memcpy(copy->tag, from->tag, sizeof copy->tag);
    if (!strings_copy(&copy->arguments, &from->arguments) ||
        !strings_copy(&copy->variables, &from->variables) || !preopens_copy(copy, from)) {
        pd_wasi_config_release(copy);
        return PD_ERR_NO_MEMORY;
    }
    pd_wasi_config_release(from);
    *config = copy;
    return PD_OK;
}

/* Append up to three parts and a zero byte as one text. */
static enum pd_status strings_add(struct wasi_strings *strings, const char *const parts[3],
                                  const size_t sizes[3])
{
    size_t size = 1;
    for (int i = 0; i < 3; i++) {
        if (sizes[i] > PD_WASI_STRINGS_SIZE_MAX) {
            return PD_ERR_FULL;
        }
        size += sizes[i];
    }
    if (strings->count >= PD_WASI_STRINGS_MAX || strings->size + size > PD_WASI_STRINGS_SIZE_MAX) {
        return PD_ERR_FULL;
    }
    char *moved = pd_realloc(strings->bytes, strings->size + size);
    if (moved == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    strings->bytes = moved;
    char *to = moved + strings->size;
    for (int i = 0; i < 3; i++) {
        if (sizes[i] > 0) {
            memcpy(to, parts[i], sizes[i]);
            to += sizes[i];
        }
    }
    *to = '\0';
    strings->size += (uint32_t)size;
    strings->count++;
    return PD_OK;
}

enum pd_status pd_wasi_config_add_argument(struct pd_wasi_config *config, const char *text,
                                           size_t size)
{
    pd_assert(!is_shared(config));
    if (size > PD_WASI_STRINGS_SIZE_MAX) { /* before all of it is looked at */
        return PD_ERR_FULL;
    }
    if (size > 0 && memchr(text, '\0', size) != NULL) {
        return PD_ERR_INVALID;
    }
    return strings_add(&config->arguments, (const char *const[3]){text, NULL, NULL},
                       (const size_t[3]){size, 0, 0});
}

void pd_wasi_config_clear_arguments(struct pd_wasi_config *config)
{
    pd_assert(!is_shared(config));
    pd_free(config->arguments.bytes);
    config->arguments = (struct wasi_strings){0};
}

/* Remove the variable of this name, if it is set. */
static void variable_remove(struct wasi_strings *variables, const char *name, size_t name_size)
{
    for (uint32_t at = 0; at < variables->size;) {
        char *text = variables->bytes + at;
        uint32_t size = (uint32_t)strlen(text) + 1;
        if (size > name_size && text[name_size] == '=' && memcmp(text, name, name_size) == 0) {
            memmove(text, text + size, variables->size - at - size);
            variables->size -= size;
            variables->count--;
            return;
        }
        at += size;
    }
}

enum pd_status pd_wasi_config_set_variable(struct pd_wasi_config *config, const char *name,
                                           size_t name_size, const char *value, size_t value_size)
{
    pd_assert(!is_shared(config));
    if (name_size > PD_WASI_STRINGS_SIZE_MAX || value_size > PD_WASI_STRINGS_SIZE_MAX) {
        return PD_ERR_FULL;
    }
    if (name_size == 0 || memchr(name, '=', name_size) != NULL ||
        memchr(name, '\0', name_size) != NULL ||
        (value_size > 0 && memchr(value, '\0', value_size) != NULL)) {
        return PD_ERR_INVALID;
    }
    struct wasi_strings *variables = &config->variables;
    enum pd_status status = strings_add(variables, (const char *const[3]){name, "=", value},
                                        (const size_t[3]){name_size, 1, value_size});
    if (status != PD_OK) {
        return status;
    }
    /* The new one is last, so the old one is found first; alone, it stays. */
    uint32_t added = (uint32_t)(name_size + 1 + value_size + 1);
    struct wasi_strings older = {
        .bytes = variables->bytes, .size = variables->size - added, .count = variables->count - 1};
    uint32_t older_size = older.size;
    variable_remove(&older, name, name_size);
    memmove(variables->bytes + older.size, variables->bytes + older_size, added);
    variables->size = older.size + added;
    variables->count = older.count + 1;
    return PD_OK;
}

static enum pd_status preopen_add(struct pd_wasi_config *config, struct wasi_preopen *preopen)
{
    if (config->preopen_count >= PD_WASI_PREOPENS_MAX) {
        return PD_ERR_FULL;
    }
    struct wasi_preopen *moved =
        pd_realloc(config->preopens, (config->preopen_count + 1) * sizeof *moved);
    if (moved == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    config->preopens = moved;
    config->preopens[config->preopen_count++] = *preopen;
    return PD_OK;
}

static enum pd_status preopen_make(struct wasi_preopen *preopen, const char *host_path,
                                   const char *guest_path, size_t guest_path_size)
{
    preopen->host_path = pd_alloc_text(host_path, strlen(host_path));
    preopen->guest_path = pd_alloc_text(guest_path, guest_path_size);
    return preopen->host_path == NULL || preopen->guest_path == NULL ? PD_ERR_NO_MEMORY : PD_OK;
}

enum pd_status pd_wasi_config_add_directory(struct pd_wasi_config *config, const char *host_path,
                                            const char *guest_path, enum pd_wasi_access access,
                                            char *why_out, size_t why_size)
{
    pd_assert(!is_shared(config));
    if (guest_path[0] == '\0' || strlen(guest_path) >= PD_FILE_PATH_MAX) {
        return PD_ERR_INVALID;
    }
    struct wasi_preopen preopen = {
        .base = WASI_RIGHTS_DIRECTORY,
        .inheriting = WASI_RIGHTS_DIRECTORY | WASI_RIGHTS_REGULAR,
    };
    if (access == PD_WASI_READ) {
        preopen.base &= ~WASI_RIGHTS_DIRECTORY_CHANGE;
        preopen.inheriting &= ~(WASI_RIGHTS_DIRECTORY_CHANGE | WASI_RIGHTS_FILE_CHANGE);
    }
    struct pd_files *files = config->files;
    enum pd_status status =
        files->ops->directory_open(files, host_path, &preopen.dir, why_out, why_size);
    if (status == PD_OK) {
        status = preopen_make(&preopen, host_path, guest_path, strlen(guest_path));
    }
    if (status == PD_OK) {
        status = preopen_add(config, &preopen);
    }
    if (status != PD_OK) {
        preopen_deinit(files, &preopen);
    }
    return status;
}

/* The part of `path` beneath `covering`: "" when they are equal, NULL when it is not covered. */
static const char *beneath(const char *covering, const char *path)
{
    size_t size = strlen(covering);
    while (size > 1 && covering[size - 1] == '/') {
        size--;
    }
    if (size == 1 && covering[0] == '.') {
        return path[0] == '/' ? NULL : path;
    }
    if (strncmp(covering, path, size) != 0) {
        return NULL;
    }
    const char *rest = path + size;
    if (covering[size - 1] != '/' && rest[0] != '/' && rest[0] != '\0') {
        return NULL;
    }
    while (rest[0] == '/') {
        rest++;
    }
    return rest;
}

/* The directory of `from` that covers the path most closely. */
static const struct wasi_preopen *find_covering(const struct pd_wasi_config *from, const char *path)
{
    const struct wasi_preopen *best = NULL;
    for (uint32_t i = 0; i < from->preopen_count; i++) {
        const struct wasi_preopen *candidate = &from->preopens[i];
        if (beneath(candidate->guest_path, path) != NULL &&
            (best == NULL || strlen(candidate->guest_path) > strlen(best->guest_path))) {
            best = candidate;
        }
    }
    return best;
}

enum pd_status pd_wasi_config_inherit_directory(struct pd_wasi_config *config,
                                                const struct pd_wasi_config *from, const char *path,
                                                size_t path_size, char *why_out, size_t why_size)
{
    pd_assert(!is_shared(config));
    if (path_size == 0 || path_size >= PD_FILE_PATH_MAX || memchr(path, '\0', path_size) != NULL) {
        return PD_ERR_INVALID;
    }
    char text[PD_FILE_PATH_MAX];
    memcpy(text, path, path_size);
    text[path_size] = '\0';
    const struct wasi_preopen *covering = find_covering(from, text);
    if (covering == NULL) {
        if (why_out != NULL) {
            snprintf(why_out, why_size, "no directory of this process covers '%s'", text);
        }
        return PD_ERR_DENIED;
    }
    struct pd_files *files = config->files;
    const char *rest = beneath(covering->guest_path, text);
    struct wasi_preopen preopen = {.base = covering->base, .inheriting = covering->inheriting};
    enum pd_file_error error = PD_FILE_OK;
    if (rest[0] == '\0' || strcmp(rest, ".") == 0) {
        files->ops->retain(files, covering->dir);
        preopen.dir = covering->dir;
    } else {
        error = files->ops->open_at(
            files, covering->dir, rest,
            PD_FILE_OPEN_DIRECTORY | PD_FILE_OPEN_READ | PD_FILE_OPEN_FOLLOW, &preopen.dir);
    }
    enum pd_status status = PD_OK;
    if (error != PD_FILE_OK) {
        preopen.dir = NULL;
        status = error == PD_FILE_PERM ? PD_ERR_DENIED : PD_ERR_UNKNOWN;
        if (why_out != NULL && (error == PD_FILE_NFILE || error == PD_FILE_MFILE)) {
            snprintf(why_out, why_size, "no file descriptors left for the directory '%s'", text);
        } else if (why_out != NULL) {
            snprintf(why_out, why_size, "the directory '%s' cannot be opened (errno %d)", text,
                     (int)error);
        }
    }
    if (status == PD_OK) {
        status = preopen_make(&preopen, covering->host_path, text, path_size);
    }
    if (status == PD_OK) {
        status = preopen_add(config, &preopen);
    }
    if (status != PD_OK) {
        preopen_deinit(files, &preopen);
    }
    return status;
}

enum pd_status pd_wasi_config_add_listener(struct pd_wasi_config *config, const char *address,
                                           uint16_t *port_out, char *why_out, size_t why_size)
{
    pd_assert(!is_shared(config));
    if (config->listener_count == PD_WASI_LISTENERS_MAX) {
        return PD_ERR_FULL;
    }
    struct pd_files *files = config->files;
    struct pd_file **listener = &config->listeners[config->listener_count];
    enum pd_status status =
        files->ops->listen(files, address, listener, port_out, why_out, why_size);
    config->listener_count += status == PD_OK;
    return status;
}

void pd_wasi_config_set_stdio(struct pd_wasi_config *config, bool is_allowed)
{
    pd_assert(!is_shared(config));
    config->has_stdio = is_allowed;
}

bool pd_wasi_config_has_stdio(const struct pd_wasi_config *config)
{
    return config->has_stdio;
}

void pd_wasi_config_set_sink(struct pd_wasi_config *config, struct pd_output_sink *sink)
{
    pd_assert(!is_shared(config));
    config->sink = sink;
}

void pd_wasi_config_set_tag(struct pd_wasi_config *config, const char *tag)
{
    pd_assert(!is_shared(config));
    snprintf(config->tag, sizeof config->tag, "%s", tag);
}

/* Without the slashes and "./" that it begins with: guests have one tree, whose root is where they
 * are. */
static const char *without_root(const char *path)
{
    while (path[0] == '/' || (path[0] == '.' && (path[1] == '/' || path[1] == '\0'))) {
        path++;
    }
    return path;
}

/* As `beneath`, for paths without a root; an empty one covers all. */
static const char *rest_beneath(const char *covering, const char *path)
{
    size_t size = strlen(covering);
    while (size > 0 && covering[size - 1] == '/') {
        size--;
    }
    if (strncmp(covering, path, size) != 0 ||
        (size > 0 && path[size] != '/' && path[size] != '\0')) {
        return NULL;
    }
    return without_root(path + size);
}

static bool may_make_files(const struct wasi_preopen *preopen)
{
    return (preopen->base & WASI_RIGHT_PATH_CREATE_FILE) != 0;
}

enum pd_status pd_wasi_config_find(const struct pd_wasi_config *config, const char *path,
                                   struct pd_file **dir_out, const char **rest_out,
                                   bool *is_writable_out)
{
    if (path[0] == '\0') {
        return PD_ERR_INVALID;
    }
    const char *wanted = without_root(path);
    const struct wasi_preopen *best = NULL;
    const char *best_rest = NULL;
    for (uint32_t i = 0; i < config->preopen_count; i++) {
        const struct wasi_preopen *candidate = &config->preopens[i];
        const char *rest = rest_beneath(without_root(candidate->guest_path), wanted);
        if (rest != NULL && (best == NULL || strlen(rest) < strlen(best_rest))) {
            best = candidate;
            best_rest = rest;
        }
    }
    if (best == NULL) {
        return PD_ERR_DENIED;
    }
    *dir_out = best->dir;
    *rest_out = best_rest[0] == '\0' ? "." : best_rest;
    *is_writable_out = may_make_files(best);
    return PD_OK;
}

struct pd_file *pd_wasi_config_writable(const struct pd_wasi_config *config)
{
    for (uint32_t i = 0; i < config->preopen_count; i++) {
        if (may_make_files(&config->preopens[i])) {
            return config->preopens[i].dir;
        }
    }
    return NULL;
}

struct pd_files *pd_wasi_config_files(const struct pd_wasi_config *config)
{
    return config->files;
}
