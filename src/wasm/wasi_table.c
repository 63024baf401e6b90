/* One guest's descriptors. While there is no table, 0 to 2 and the preopens behind them are read
 * from the configuration: a guest that only prints never pays for one. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "wasm/wasi_internal.h"

#define FIRST_PREOPEN 3u

_Static_assert(FIRST_PREOPEN + PD_WASI_PREOPENS_MAX + PD_WASI_LISTENERS_MAX <= PD_WASI_FDS_MAX,
               "all preopens have a number");
_Static_assert(sizeof(struct pd_wasi) <= 96, "a guest that prints stays under 200 bytes");

enum pd_status pd_wasi_create(struct pd_wasi_config *config, struct pd_wasi **wasi_out)
{
    struct pd_wasi *wasi = pd_alloc_zeroed(1, sizeof *wasi);
    if (wasi == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    wasi->config = pd_wasi_config_retain(config);
    *wasi_out = wasi;
    return PD_OK;
}

enum pd_status pd_wasi_set_tag(struct pd_wasi *wasi, const char *tag)
{
    size_t size = strlen(tag);
    char *copy = pd_alloc_text(tag, size < PD_WASI_TAG_MAX ? size : PD_WASI_TAG_MAX - 1);
    if (copy == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    pd_free(wasi->tag);
    wasi->tag = copy;
    return PD_OK;
}

struct pd_output_route pd_wasi_route(const struct pd_wasi *wasi, struct pd_host *host, int stream)
{
    return (struct pd_output_route){
        .host = host,
        .sink = wasi->config->sink,
        .tag = wasi->tag != NULL ? wasi->tag : wasi->config->tag,
        .stream = stream,
    };
}

size_t pd_wasi_last_errors(const struct pd_wasi *wasi, char *text, size_t text_size)
{
    return pd_error_tail_text(&wasi->errors, text, text_size);
}

void pd_wasi_flush(struct pd_wasi *wasi, struct pd_host *host)
{
    for (int stream = 1; stream <= 2; stream++) {
        struct pd_output_route route = pd_wasi_route(wasi, host, stream);
        (void)pd_output_flush(&wasi->lines[stream - 1], &route);
    }
}

/* What a descriptor is before any was changed. */
static struct wasi_fd initial_fd(const struct pd_wasi_config *config, uint32_t fd)
{
    struct pd_files *files = config->files;
    if (fd < FIRST_PREOPEN) {
        if (!config->has_stdio) {
            return (struct wasi_fd){0};
        }
        bool is_input = fd == 0;
        uint64_t direction = is_input ? WASI_RIGHT_FD_READ : WASI_RIGHT_FD_WRITE;
        return (struct wasi_fd){
            .file = files->ops->standard(files, (int)fd),
            .base = direction | WASI_RIGHT_FD_FDSTAT_SET_FLAGS | WASI_RIGHT_FD_FILESTAT_GET |
                    WASI_RIGHT_POLL_FD_READWRITE,
            .kind = is_input ? WASI_FD_INPUT : WASI_FD_OUTPUT,
            .stream = (uint8_t)fd,
        };
    }
    uint32_t index = fd - FIRST_PREOPEN;
    /* Libraries look for directories from 3 on until one is none: the others come behind. */
    if (index >= config->preopen_count) {
        index -= config->preopen_count;
        return index >= config->listener_count
                   ? (struct wasi_fd){0}
                   : (struct wasi_fd){.file = config->listeners[index],
                                      .base = WASI_RIGHTS_LISTENER,
                                      .inheriting = WASI_RIGHTS_CONNECTION,
                                      .kind = WASI_FD_FILE};
    }
    const struct wasi_preopen *preopen = &config->preopens[index];
    return (struct wasi_fd){
        .file = preopen->dir,
        .base = preopen->base,
        .inheriting = preopen->inheriting,
        .kind = WASI_FD_DIRECTORY,
        .preopen = (uint16_t)(index + 1),
    };
}

enum pd_file_error pd_wasi_fd_get(struct pd_wasi *wasi, uint32_t fd, struct wasi_fd *fd_out)
{
    const struct wasi_table *table = wasi->table;
    if (table == NULL) {
        *fd_out = initial_fd(wasi->config, fd);
    } else if (fd < table->capacity) {
        *fd_out = table->fds[fd];
    } else {
        return PD_FILE_BADF;
    }
    return fd_out->kind == WASI_FD_FREE ? PD_FILE_BADF : PD_FILE_OK;
}

static enum pd_file_error check_rights(const struct wasi_fd *fd, uint64_t rights)
{
    uint64_t missing = rights & ~fd->base;
    if (missing == 0) {
        return PD_FILE_OK;
    }
    bool is_transfer = (missing & (WASI_RIGHT_FD_READ | WASI_RIGHT_FD_WRITE)) != 0;
    return is_transfer ? PD_FILE_BADF : PD_FILE_NOTCAPABLE;
}

enum pd_file_error pd_wasi_fd_require(struct pd_wasi *wasi, uint32_t fd, uint64_t rights,
                                      struct wasi_fd *fd_out)
{
    enum pd_file_error error = pd_wasi_fd_get(wasi, fd, fd_out);
    return error == PD_FILE_OK ? check_rights(fd_out, rights) : error;
}

enum pd_file_error pd_wasi_fd_require_directory(struct pd_wasi *wasi, uint32_t fd, uint64_t rights,
                                                struct wasi_fd *fd_out)
{
    enum pd_file_error error = pd_wasi_fd_get(wasi, fd, fd_out);
    if (error != PD_FILE_OK) {
        return error;
    }
    return fd_out->kind == WASI_FD_DIRECTORY ? check_rights(fd_out, rights) : PD_FILE_NOTDIR;
}

enum pd_file_error pd_wasi_fd_require_file(struct pd_wasi *wasi, uint32_t fd, uint64_t rights,
                                           struct wasi_fd *fd_out)
{
    enum pd_file_error error = pd_wasi_fd_get(wasi, fd, fd_out);
    if (error != PD_FILE_OK) {
        return error;
    }
    return fd_out->kind == WASI_FD_DIRECTORY ? PD_FILE_BADF : check_rights(fd_out, rights);
}

enum pd_file_type pd_wasi_fd_type(const struct wasi_fd *fd)
{
    return fd->kind == WASI_FD_DIRECTORY ? PD_FILE_TYPE_DIRECTORY : fd->file->type;
}

/* Room for `wanted` entries. */
static bool grow(struct wasi_table *table, uint32_t wanted)
{
    if (wanted <= table->capacity) {
        return true;
    }
    uint32_t grown = table->capacity == 0 ? 8 : table->capacity;
    while (grown < wanted) {
        grown *= 2;
    }
    struct wasi_fd *moved = pd_realloc(table->fds, grown * sizeof *moved);
    if (moved == NULL) {
        return false;
    }
    memset(moved + table->capacity, 0, (grown - table->capacity) * sizeof *moved);
    table->fds = moved;
    table->capacity = grown;
    return true;
}

static bool owns_file(const struct wasi_fd *fd)
{
    return fd->kind == WASI_FD_FILE || fd->kind == WASI_FD_DIRECTORY;
}

/* Make the table from the configuration. */
static struct wasi_table *table_of(struct pd_wasi *wasi)
{
    if (wasi->table != NULL) {
        return wasi->table;
    }
    struct wasi_table *table = pd_alloc_zeroed(1, sizeof *table);
    uint32_t count = FIRST_PREOPEN + wasi->config->preopen_count + wasi->config->listener_count;
    if (table == NULL || !grow(table, count + 1)) {
        pd_free(table);
        return NULL;
    }
    struct pd_files *files = wasi->config->files;
    for (uint32_t fd = 0; fd < count; fd++) {
        table->fds[fd] = initial_fd(wasi->config, fd);
        if (owns_file(&table->fds[fd])) {
            files->ops->retain(files, table->fds[fd].file);
        }
    }
    table->lowest_free = FIRST_PREOPEN;
    wasi->table = table;
    return table;
}

struct wasi_fd *pd_wasi_fd_edit(struct pd_wasi *wasi, uint32_t fd, enum pd_file_error *error_out)
{
    struct wasi_fd copy;
    *error_out = pd_wasi_fd_get(wasi, fd, &copy);
    if (*error_out != PD_FILE_OK) {
        return NULL;
    }
    struct wasi_table *table = table_of(wasi);
    if (table == NULL) {
        *error_out = PD_FILE_NOMEM;
        return NULL;
    }
    return &table->fds[fd];
}

enum pd_file_error pd_wasi_fd_reserve(struct pd_wasi *wasi)
{
    struct wasi_table *table = table_of(wasi);
    if (table == NULL) {
        return PD_FILE_NOMEM;
    }
    uint32_t fd = table->lowest_free;
    while (fd < table->capacity && table->fds[fd].kind != WASI_FD_FREE) {
        fd++;
    }
    table->lowest_free = fd;
    if (fd >= PD_WASI_FDS_MAX) {
        return PD_FILE_MFILE;
    }
    return grow(table, fd + 1) ? PD_FILE_OK : PD_FILE_NOMEM;
}

enum pd_file_error pd_wasi_fd_add(struct pd_wasi *wasi, const struct wasi_fd *fd,
                                  uint32_t *number_out)
{
    enum pd_file_error error = pd_wasi_fd_reserve(wasi);
    if (error != PD_FILE_OK) {
        return error;
    }
    struct wasi_table *table = wasi->table;
    *number_out = table->lowest_free;
    table->fds[*number_out] = *fd;
    return PD_FILE_OK;
}

enum pd_file_error pd_wasi_fd_take(struct pd_wasi *wasi, uint32_t fd, struct wasi_fd *taken_out)
{
    enum pd_file_error error;
    struct wasi_fd *entry = pd_wasi_fd_edit(wasi, fd, &error);
    if (entry == NULL) {
        return error;
    }
    *taken_out = *entry;
    *entry = (struct wasi_fd){0};
    if (fd >= FIRST_PREOPEN && fd < wasi->table->lowest_free) {
        wasi->table->lowest_free = fd;
    }
    return PD_FILE_OK;
}

enum pd_file_error pd_wasi_fd_move(struct pd_wasi *wasi, uint32_t from, uint32_t to,
                                   struct wasi_fd *replaced_out)
{
    *replaced_out = (struct wasi_fd){0};
    struct wasi_fd moved;
    struct wasi_fd target;
    enum pd_file_error error = pd_wasi_fd_get(wasi, from, &moved);
    if (error == PD_FILE_OK) {
        error = pd_wasi_fd_get(wasi, to, &target);
    }
    if (error != PD_FILE_OK) {
        return error;
    }
    struct wasi_table *table = table_of(wasi);
    if (table == NULL) {
        return PD_FILE_NOMEM;
    }
    if (from == to) {
        return PD_FILE_OK;
    }
    *replaced_out = table->fds[to];
    error = pd_wasi_fd_take(wasi, from, &moved);
    pd_assert(error == PD_FILE_OK);
    table->fds[to] = moved;
    return PD_FILE_OK;
}

static void listing_release(struct pd_files *files, struct wasi_listing *listing)
{
    if (listing != NULL) {
        files->ops->listing_deinit(files, &listing->listing);
        pd_free(listing);
    }
}

void pd_wasi_fd_release(struct pd_files *files, struct wasi_fd *fd)
{
    listing_release(files, fd->listing);
    if (owns_file(fd)) {
        files->ops->release(files, fd->file);
    }
    *fd = (struct wasi_fd){0};
}

uint32_t pd_wasi_fd_count(const struct pd_wasi *wasi)
{
    if (wasi->table == NULL) {
        return (wasi->config->has_stdio ? FIRST_PREOPEN : 0) + wasi->config->preopen_count +
               wasi->config->listener_count;
    }
    uint32_t count = 0;
    for (uint32_t fd = 0; fd < wasi->table->capacity; fd++) {
        count += wasi->table->fds[fd].kind != WASI_FD_FREE;
    }
    return count;
}

/* A dead guest's open files: closing may wait for a disk, so it is not the scheduler's work. */
struct farewell {
    struct pd_job job; /* first */
    struct wasi_table *table;
    struct pd_wasi_config *config; /* a reference: it keeps `files`' directories until the end */
};

static void table_free(struct pd_files *files, struct wasi_table *table)
{
    for (uint32_t fd = 0; fd < table->capacity; fd++) {
        pd_wasi_fd_release(files, &table->fds[fd]);
    }
    pd_free(table->fds);
    pd_free(table);
}

static void farewell_run(struct pd_job *job)
{
    struct farewell *farewell = (struct farewell *)(void *)job;
    table_free(farewell->config->files, farewell->table);
    pd_wasi_config_release(farewell->config);
    pd_free(farewell);
}

/* Whether closing the table may block: it holds more than the shared preopens. */
static bool has_open_files(const struct wasi_table *table)
{
    for (uint32_t fd = 0; fd < table->capacity; fd++) {
        const struct wasi_fd *entry = &table->fds[fd];
        if (entry->listing != NULL || (owns_file(entry) && entry->preopen == 0)) {
            return true;
        }
    }
    return false;
}

void pd_wasi_destroy(struct pd_wasi *wasi, struct pd_host *host)
{
    if (wasi == NULL) {
        return;
    }
    struct pd_files *files = wasi->config->files;
    pd_wasi_flush(wasi, host);
    if (wasi->waiting != NULL) {
        files->ops->cancel_signal(files, wasi->waiting);
        files->ops->cancel_release(files, wasi->waiting);
    }
    if (wasi->table != NULL) {
        struct farewell *farewell =
            has_open_files(wasi->table) ? pd_alloc_zeroed(1, sizeof *farewell) : NULL;
        if (farewell != NULL) {
            farewell->job.run = farewell_run;
            farewell->table = wasi->table;
            farewell->config = pd_wasi_config_retain(wasi->config);
        }
        if (farewell == NULL || host->ops->submit(host, &farewell->job) != PD_OK) {
            table_free(files, wasi->table);
            if (farewell != NULL) {
                pd_wasi_config_release(farewell->config);
                pd_free(farewell);
            }
        }
    }
    pd_output_deinit(&wasi->lines[0]);
    pd_output_deinit(&wasi->lines[1]);
    pd_error_tail_deinit(&wasi->errors);
    pd_wasi_config_release(wasi->config);
    pd_free(wasi->tag);
    pd_free(wasi);
}
