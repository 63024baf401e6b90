#include "wasm/sqlite_vfs.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "wasm/sqlite_engine.h"
#include "wasm/sqlite_places.h"
#include "wasm/wasi.h"

#define SECTOR_SIZE 4096
#define TEMPORARY_TRIES_MAX 16
#define SLEEP_US_MAX 100000
#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
/* 1970-01-01 on SQLite's clock, which counts milliseconds since noon of 24 November, 4714 BC. */
#define UNIX_EPOCH_MS INT64_C(210866760000000)

/* The bytes that SQLite's locks mean, in every program (sqlite.org/fileformat2.html#the_lock_byte
 * _page). */
#define PENDING_AT UINT64_C(0x40000000)
#define RESERVED_AT (PENDING_AT + 1)
#define SHARED_AT (PENDING_AT + 2)
#define SHARED_SIZE UINT64_C(510)

struct vfs_file {
    sqlite3_file base; /* first */
    struct pd_sqlite_scope *scope;
    struct pd_sqlite_account *account; /* a reference, and one of its files */
    struct pd_files *files;
    struct pd_file *file; /* a reference */
    const char *name;     /* SQLite's, as long as the file is open; NULL: temporary */
    int lock;             /* SQLITE_LOCK_* */
    bool is_readonly;
    bool syncs_parent; /* it was made: its name must reach the disk with its first sync */
};

static struct vfs_file *file_of(sqlite3_file *base)
{
    return (struct vfs_file *)(void *)base;
}

static bool is_cancelled(const struct pd_sqlite_scope *scope)
{
    return atomic_load_explicit(&scope->is_cancelled, memory_order_relaxed);
}

static bool is_disk_full(enum pd_file_error error)
{
    return error == PD_FILE_NOSPC || error == PD_FILE_DQUOT || error == PD_FILE_FBIG;
}

/* --- Names ------------------------------------------------------------------------------------ */

struct place {
    struct pd_files *files;
    struct pd_file *dir; /* borrowed from the configuration */
    const char *rest;
    bool is_writable;
};

static bool find_place(const struct pd_sqlite_scope *scope, const char *name, struct place *place)
{
    if (scope == NULL || pd_wasi_config_find(scope->directories, name, &place->dir, &place->rest,
                                             &place->is_writable) != PD_OK) {
        return false;
    }
    place->files = pd_wasi_config_files(scope->directories);
    return true;
}

/* Bring the name itself to the disk: sync the directory that it is in. */
static enum pd_file_error sync_parent(const struct pd_sqlite_scope *scope, const char *name)
{
    struct place place;
    if (!find_place(scope, name, &place)) {
        return PD_FILE_PERM;
    }
    const char *slash = strrchr(place.rest, '/');
    if (slash == NULL) {
        return place.files->ops->sync(place.files, place.dir, false);
    }
    char parent[PD_SQLITE_PATH_MAX + 16];
    size_t size = (size_t)(slash - place.rest);
    if (size >= sizeof parent) {
        return PD_FILE_NAMETOOLONG;
    }
    memcpy(parent, place.rest, size);
    parent[size] = '\0';
    struct pd_file *dir = NULL;
    enum pd_file_error error = place.files->ops->open_at(
        place.files, place.dir, parent,
        PD_FILE_OPEN_DIRECTORY | PD_FILE_OPEN_READ | PD_FILE_OPEN_FOLLOW, &dir);
    if (error == PD_FILE_OK) {
        error = place.files->ops->sync(place.files, dir, false);
        place.files->ops->release(place.files, dir);
    }
    return error;
}

/* --- An open file ----------------------------------------------------------------------------- */

static int file_close(sqlite3_file *base)
{
    struct vfs_file *file = file_of(base);
    file->files->ops->release(file->files, file->file);
    (void)atomic_fetch_sub(&file->account->file_count, 1);
    pd_sqlite_account_release(file->account);
    base->pMethods = NULL;
    return SQLITE_OK;
}

static int file_read(sqlite3_file *base, void *bytes, int size, sqlite3_int64 offset)
{
    struct vfs_file *file = file_of(base);
    size_t done = 0;
    while (done < (size_t)size && !is_cancelled(file->scope)) {
        struct pd_file_io io = {.bytes = (uint8_t *)bytes + done,
                                .size = (size_t)size - done,
                                .offset = (uint64_t)offset + done};
        if (file->files->ops->read(file->files, file->file, &io) != PD_FILE_OK) {
            return SQLITE_IOERR_READ;
        }
        if (io.done == 0) {
            memset((uint8_t *)bytes + done, 0, (size_t)size - done);
            return SQLITE_IOERR_SHORT_READ;
        }
        done += io.done;
    }
    return done == (size_t)size ? SQLITE_OK : SQLITE_IOERR_READ;
}

static int file_write(sqlite3_file *base, const void *bytes, int size, sqlite3_int64 offset)
{
    struct vfs_file *file = file_of(base);
    size_t done = 0;
    while (done < (size_t)size && !is_cancelled(file->scope)) {
        struct pd_file_io io = {.bytes = (uint8_t *)(uintptr_t)bytes + done, /* only read */
                                .size = (size_t)size - done,
                                .offset = (uint64_t)offset + done};
        enum pd_file_error error = file->files->ops->write(file->files, file->file, &io);
        if (error != PD_FILE_OK || io.done == 0) {
            return error == PD_FILE_OK || is_disk_full(error) ? SQLITE_FULL : SQLITE_IOERR_WRITE;
        }
        done += io.done;
    }
    return done == (size_t)size ? SQLITE_OK : SQLITE_IOERR_WRITE;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct vfs_file *file = file_of(base);
    return file->files->ops->set_size(file->files, file->file, (uint64_t)size) == PD_FILE_OK
               ? SQLITE_OK
               : SQLITE_IOERR_TRUNCATE;
}

static int file_sync(sqlite3_file *base, int flags)
{
    struct vfs_file *file = file_of(base);
    bool is_data_only = (flags & SQLITE_SYNC_DATAONLY) != 0;
    if (file->files->ops->sync(file->files, file->file, is_data_only) != PD_FILE_OK) {
        return SQLITE_IOERR_FSYNC;
    }
    if (file->syncs_parent) {
        if (sync_parent(file->scope, file->name) != PD_FILE_OK) {
            return SQLITE_IOERR_DIR_FSYNC;
        }
        file->syncs_parent = false;
    }
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size_out)
{
    struct vfs_file *file = file_of(base);
    struct pd_file_stat stat;
    if (file->files->ops->stat(file->files, file->file, &stat) != PD_FILE_OK) {
        return SQLITE_IOERR_FSTAT;
    }
    *size_out = (sqlite3_int64)stat.size;
    return SQLITE_OK;
}

/* --- Locks ------------------------------------------------------------------------------------ */

static int change_lock(struct vfs_file *file, uint64_t at, uint64_t size, enum pd_file_lock lock)
{
    enum pd_file_error error = file->files->ops->lock(file->files, file->file, at, size, lock);
    if (error == PD_FILE_OK) {
        return SQLITE_OK;
    }
    return error == PD_FILE_AGAIN ? SQLITE_BUSY : SQLITE_IOERR_LOCK;
}

/* A reader passes by the pending byte, so that a writer who waits there keeps new ones out. */
static int lock_shared(struct vfs_file *file)
{
    int code = change_lock(file, PENDING_AT, 1, PD_FILE_LOCK_SHARED);
    if (code != SQLITE_OK) {
        return code;
    }
    code = change_lock(file, SHARED_AT, SHARED_SIZE, PD_FILE_LOCK_SHARED);
    int after = change_lock(file, PENDING_AT, 1, PD_FILE_LOCK_NONE);
    if (code == SQLITE_OK && after != SQLITE_OK) {
        (void)change_lock(file, SHARED_AT, SHARED_SIZE, PD_FILE_LOCK_NONE);
        code = SQLITE_IOERR_LOCK;
    }
    return code;
}

static int lock_exclusive(struct vfs_file *file)
{
    if (file->lock < SQLITE_LOCK_PENDING) {
        int code = change_lock(file, PENDING_AT, 1, PD_FILE_LOCK_EXCLUSIVE);
        if (code != SQLITE_OK) {
            return code;
        }
        file->lock = SQLITE_LOCK_PENDING;
    }
    return change_lock(file, SHARED_AT, SHARED_SIZE, PD_FILE_LOCK_EXCLUSIVE);
}

/* NONE -> SHARED -> RESERVED -> (PENDING ->) EXCLUSIVE: SQLite never asks for less than it has, and
 * for PENDING never. */
static int file_lock(sqlite3_file *base, int wanted)
{
    struct vfs_file *file = file_of(base);
    if (wanted <= file->lock) {
        return SQLITE_OK;
    }
    if (is_cancelled(file->scope)) {
        return SQLITE_IOERR_LOCK; /* and not BUSY, for which it would try again */
    }
    int code = SQLITE_OK;
    if (wanted == SQLITE_LOCK_SHARED) {
        code = lock_shared(file);
    } else if (wanted == SQLITE_LOCK_RESERVED) {
        code = change_lock(file, RESERVED_AT, 1, PD_FILE_LOCK_EXCLUSIVE);
    } else {
        code = lock_exclusive(file);
    }
    if (code == SQLITE_OK) {
        file->lock = wanted;
    }
    return code;
}

static int file_unlock(sqlite3_file *base, int wanted)
{
    struct vfs_file *file = file_of(base);
    if (wanted >= file->lock) {
        return SQLITE_OK;
    }
    int code = SQLITE_OK;
    if (wanted == SQLITE_LOCK_SHARED) {
        code = change_lock(file, SHARED_AT, SHARED_SIZE, PD_FILE_LOCK_SHARED);
        if (code == SQLITE_OK) {
            code = change_lock(file, PENDING_AT, 2, PD_FILE_LOCK_NONE);
        }
    } else {
        code = change_lock(file, PENDING_AT, SHARED_SIZE + 2, PD_FILE_LOCK_NONE);
    }
    if (code != SQLITE_OK) {
        return SQLITE_IOERR_UNLOCK;
    }
    file->lock = wanted;
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *base, int *is_reserved_out)
{
    struct vfs_file *file = file_of(base);
    bool is_held = file->lock >= SQLITE_LOCK_RESERVED;
    if (!is_held && file->files->ops->is_locked(file->files, file->file, RESERVED_AT, 1,
                                                &is_held) != PD_FILE_OK) {
        return SQLITE_IOERR_CHECKRESERVEDLOCK;
    }
    *is_reserved_out = is_held;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int operation, void *argument)
{
    if (operation == SQLITE_FCNTL_LOCKSTATE) {
        *(int *)argument = file_of(base)->lock;
        return SQLITE_OK;
    }
    return SQLITE_NOTFOUND;
}

static int file_sector_size(sqlite3_file *base)
{
    (void)base;
    return SECTOR_SIZE;
}

static int file_characteristics(sqlite3_file *base)
{
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE | SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN;
}

/* Version 1: no shared memory, no mapping. */
static const sqlite3_io_methods file_methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

/* --- Opening ---------------------------------------------------------------------------------- */

static uint32_t open_flags(int flags, bool is_writable)
{
    uint32_t ours = PD_FILE_OPEN_READ;
    if (is_writable && (flags & SQLITE_OPEN_READWRITE) != 0) {
        ours |= PD_FILE_OPEN_WRITE;
        ours |= (flags & SQLITE_OPEN_CREATE) != 0 ? PD_FILE_OPEN_CREATE : 0;
        ours |= (flags & SQLITE_OPEN_EXCLUSIVE) != 0 ? PD_FILE_OPEN_EXCLUSIVE : 0;
    }
    return ours;
}

static enum pd_file_error open_named(struct vfs_file *file, int flags)
{
    struct place place;
    if (!find_place(file->scope, file->name, &place)) {
        return PD_FILE_PERM;
    }
    if ((flags & SQLITE_OPEN_EXCLUSIVE) != 0 && !place.is_writable) {
        return PD_FILE_ROFS;
    }
    const struct pd_files_ops *ops = place.files->ops;
    struct pd_file_stat stat;
    uint32_t ours = open_flags(flags, place.is_writable);
    bool is_new = (ours & PD_FILE_OPEN_CREATE) != 0 &&
                  ops->stat_at(place.files, place.dir, place.rest, false, &stat) == PD_FILE_NOENT;
    enum pd_file_error error = ops->open_at(place.files, place.dir, place.rest, ours, &file->file);
    if ((error == PD_FILE_ACCES || error == PD_FILE_ROFS) && (ours & PD_FILE_OPEN_WRITE) != 0 &&
        (ours & PD_FILE_OPEN_EXCLUSIVE) == 0) {
        ours = PD_FILE_OPEN_READ;
        error = ops->open_at(place.files, place.dir, place.rest, ours, &file->file);
    }
    if (error != PD_FILE_OK) {
        return error;
    }
    if (file->file->type != PD_FILE_TYPE_REGULAR) {
        ops->release(place.files, file->file); /* a pipe or device would make a helper wait */
        return PD_FILE_INVAL;
    }
    file->is_readonly = (ours & PD_FILE_OPEN_WRITE) == 0;
    file->syncs_parent =
        is_new &&
        (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL | SQLITE_OPEN_SUPER_JOURNAL)) != 0;
    return PD_FILE_OK;
}

/* A file without a name: unlinked at once, it ends with its descriptor, however the node ends. */
static enum pd_file_error open_temporary(struct vfs_file *file)
{
    struct pd_file *dir = pd_wasi_config_writable(file->scope->directories);
    if (dir == NULL) {
        return PD_FILE_ROFS;
    }
    const struct pd_files_ops *ops = file->files->ops;
    enum pd_file_error error = PD_FILE_EXIST;
    for (int i = 0; i < TEMPORARY_TRIES_MAX && error == PD_FILE_EXIST; i++) {
        uint64_t number = 0;
        file->scope->host->ops->entropy(file->scope->host, (uint8_t *)&number, sizeof number);
        char name[48];
        (void)snprintf(name, sizeof name, ".sqlite-%016llx", (unsigned long long)number);
        error = ops->open_at(file->files, dir, name,
                             PD_FILE_OPEN_READ | PD_FILE_OPEN_WRITE | PD_FILE_OPEN_CREATE |
                                 PD_FILE_OPEN_EXCLUSIVE,
                             &file->file);
        if (error == PD_FILE_OK) {
            error = ops->unlink_at(file->files, dir, name);
            if (error != PD_FILE_OK) {
                ops->release(file->files, file->file);
            }
        }
    }
    return error;
}

static int cannot_open(struct vfs_file *file, enum pd_file_error error)
{
    file->scope->file_error = error;
    (void)atomic_fetch_sub(&file->account->file_count, 1);
    return error == PD_FILE_LOOP ? SQLITE_CANTOPEN_SYMLINK : SQLITE_CANTOPEN;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                    int *flags_out)
{
    (void)vfs;
    struct vfs_file *file = file_of(base);
    struct pd_sqlite_scope *scope = pd_sqlite_scope();
    memset(file, 0, sizeof *file);
    if (scope == NULL || is_cancelled(scope)) {
        return SQLITE_CANTOPEN;
    }
    file->scope = scope;
    file->account = scope->account;
    file->files = pd_wasi_config_files(scope->directories);
    file->name = name;
    if (atomic_fetch_add(&file->account->file_count, 1) >= file->account->files_max) {
        return cannot_open(file, PD_FILE_MFILE);
    }
    enum pd_file_error error = name == NULL ? open_temporary(file) : open_named(file, flags);
    if (error != PD_FILE_OK) {
        return cannot_open(file, error);
    }
    pd_sqlite_account_retain(file->account);
    if (flags_out != NULL) {
        *flags_out = flags;
        if (file->is_readonly) {
            *flags_out =
                (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
        }
    }
    base->pMethods = &file_methods;
    return SQLITE_OK;
}

/* --- What works on names ---------------------------------------------------------------------- */

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int syncs_directory)
{
    (void)vfs;
    struct place place;
    const struct pd_sqlite_scope *scope = pd_sqlite_scope();
    if (!find_place(scope, name, &place) || !place.is_writable) {
        return SQLITE_IOERR_DELETE;
    }
    enum pd_file_error error = place.files->ops->unlink_at(place.files, place.dir, place.rest);
    if (error != PD_FILE_OK) {
        return error == PD_FILE_NOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
    }
    if (syncs_directory != 0 && sync_parent(scope, name) != PD_FILE_OK) {
        return SQLITE_IOERR_DIR_FSYNC;
    }
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *answer_out)
{
    (void)vfs;
    struct place place;
    struct pd_file_stat stat;
    *answer_out = 0;
    if (!find_place(pd_sqlite_scope(), name, &place)) {
        return SQLITE_OK;
    }
    enum pd_file_error error =
        place.files->ops->stat_at(place.files, place.dir, place.rest, false, &stat);
    if (error == PD_FILE_OK) {
        /* An empty file is no journal. */
        bool is_there = stat.type != PD_FILE_TYPE_REGULAR || stat.size > 0;
        *answer_out = flags == SQLITE_ACCESS_READWRITE ? place.is_writable : is_there;
        return SQLITE_OK;
    }
    return error == PD_FILE_NOENT || error == PD_FILE_NOTDIR || error == PD_FILE_PERM
               ? SQLITE_OK
               : SQLITE_IOERR_ACCESS;
}

/* The guest's own name is the full one: no other names what the guest can reach. */
static int vfs_full_pathname(sqlite3_vfs *vfs, const char *name, int size, char *name_out)
{
    (void)vfs;
    struct place place;
    struct pd_sqlite_scope *scope = pd_sqlite_scope();
    size_t length = strlen(name);
    if (!find_place(scope, name, &place)) {
        if (scope != NULL) {
            scope->file_error = PD_FILE_NOTCAPABLE;
        }
        return SQLITE_CANTOPEN;
    }
    if (length >= (size_t)size) {
        scope->file_error = PD_FILE_NAMETOOLONG;
        return SQLITE_CANTOPEN;
    }
    memcpy(name_out, name, length + 1);
    return SQLITE_OK;
}

/* --- Extensions: none ------------------------------------------------------------------------- */

static void *vfs_library_open(sqlite3_vfs *vfs, const char *name)
{
    (void)vfs;
    (void)name;
    return NULL;
}

static void vfs_library_error(sqlite3_vfs *vfs, int size, char *text)
{
    (void)vfs;
    (void)snprintf(text, (size_t)size, "extensions are not loaded for guests");
}

static void (*vfs_library_symbol(sqlite3_vfs *vfs, void *library, const char *symbol))(void)
{
    (void)vfs;
    (void)library;
    (void)symbol;
    return NULL;
}

static void vfs_library_close(sqlite3_vfs *vfs, void *library)
{
    (void)vfs;
    (void)library;
}

/* --- The machine ------------------------------------------------------------------------------ */

static int vfs_randomness(sqlite3_vfs *vfs, int size, char *bytes)
{
    (void)vfs;
    struct pd_sqlite_scope *scope = pd_sqlite_scope();
    if (scope == NULL) {
        return 0;
    }
    scope->host->ops->entropy(scope->host, (uint8_t *)bytes, (size_t)size);
    return size;
}

/* For a lock that another connection holds: SQLite asks for a tenth of a second at most, and the
 * helper sleeps, not the actor's thread. Others may have its place meanwhile, he who holds the lock
 * for one. Virtual time stands still. */
static int vfs_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    const struct pd_sqlite_scope *scope = pd_sqlite_scope();
    int wanted = microseconds < SLEEP_US_MAX ? microseconds : SLEEP_US_MAX;
    if (scope != NULL && wanted > 0 && !is_cancelled(scope) && !scope->host->is_deterministic) {
        struct pd_files *files = pd_wasi_config_files(scope->directories);
        if (scope->place != NULL) {
            pd_sqlite_place_rest(scope->place);
        }
        (void)files->ops->poll(files, NULL, 0, (uint64_t)wanted * NS_PER_US, NULL);
        if (scope->place != NULL) {
            pd_sqlite_place_resume(scope->place);
        }
    }
    return microseconds;
}

static int vfs_time_ms(sqlite3_vfs *vfs, sqlite3_int64 *time_out)
{
    (void)vfs;
    struct pd_sqlite_scope *scope = pd_sqlite_scope();
    if (scope == NULL) {
        return SQLITE_ERROR;
    }
    *time_out = UNIX_EPOCH_MS + (sqlite3_int64)(scope->host->ops->wall_ns(scope->host) / NS_PER_MS);
    return SQLITE_OK;
}

static int vfs_time_days(sqlite3_vfs *vfs, double *time_out)
{
    sqlite3_int64 time_ms = 0;
    int code = vfs_time_ms(vfs, &time_ms);
    *time_out = (double)time_ms / 86400000.0;
    return code;
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *text)
{
    (void)vfs;
    const struct pd_sqlite_scope *scope = pd_sqlite_scope();
    if (size > 0) {
        text[0] = '\0';
    }
    return scope == NULL ? 0 : (int)scope->file_error;
}

enum pd_status pd_sqlite_vfs_register(void)
{
    static sqlite3_vfs vfs = {
        .iVersion = 2,
        .szOsFile = (int)sizeof(struct vfs_file),
        .mxPathname = PD_SQLITE_PATH_MAX,
        .zName = PD_SQLITE_VFS,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_pathname,
        .xDlOpen = vfs_library_open,
        .xDlError = vfs_library_error,
        .xDlSym = vfs_library_symbol,
        .xDlClose = vfs_library_close,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time_days,
        .xGetLastError = vfs_last_error,
        .xCurrentTimeInt64 = vfs_time_ms,
    };
    return sqlite3_vfs_register(&vfs, 1) == SQLITE_OK ? PD_OK : PD_ERR_NO_MEMORY;
}
