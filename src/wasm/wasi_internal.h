/* wasi_internal - what the wasi_*.c files share: layouts, rights, descriptors, jobs. Private to
 * them.
 *
 * Threads  A guest's pd_wasi is used by the one thread that runs the guest. Jobs see only what they
 *          own. */
#ifndef PD_WASM_WASI_INTERNAL_H
#define PD_WASM_WASI_INTERNAL_H

#include <stdatomic.h>

#include "base/bytes.h"
#include "wasm/error_tail.h"
#include "wasm/wasi.h"

/* --- Sizes of preview 1's records in guest memory (typenames.witx) ---------------------------- */
#define WASI_IOVEC_SIZE 8u
#define WASI_FDSTAT_SIZE 24u
#define WASI_FILESTAT_SIZE 64u
#define WASI_PRESTAT_SIZE 8u
#define WASI_DIRENT_SIZE 24u
#define WASI_SUBSCRIPTION_SIZE 48u
#define WASI_EVENT_SIZE 32u

/* --- Rights ----------------------------------------------------------------------------------- */
#define WASI_RIGHT_FD_DATASYNC (UINT64_C(1) << 0)
#define WASI_RIGHT_FD_READ (UINT64_C(1) << 1)
#define WASI_RIGHT_FD_SEEK (UINT64_C(1) << 2)
#define WASI_RIGHT_FD_FDSTAT_SET_FLAGS (UINT64_C(1) << 3)
#define WASI_RIGHT_FD_SYNC (UINT64_C(1) << 4)
#define WASI_RIGHT_FD_TELL (UINT64_C(1) << 5)
#define WASI_RIGHT_FD_WRITE (UINT64_C(1) << 6)
#define WASI_RIGHT_FD_ADVISE (UINT64_C(1) << 7)
#define WASI_RIGHT_FD_ALLOCATE (UINT64_C(1) << 8)
#define WASI_RIGHT_PATH_CREATE_DIRECTORY (UINT64_C(1) << 9)
#define WASI_RIGHT_PATH_CREATE_FILE (UINT64_C(1) << 10)
#define WASI_RIGHT_PATH_LINK_SOURCE (UINT64_C(1) << 11)
#define WASI_RIGHT_PATH_LINK_TARGET (UINT64_C(1) << 12)
#define WASI_RIGHT_PATH_OPEN (UINT64_C(1) << 13)
#define WASI_RIGHT_FD_READDIR (UINT64_C(1) << 14)
#define WASI_RIGHT_PATH_READLINK (UINT64_C(1) << 15)
#define WASI_RIGHT_PATH_RENAME_SOURCE (UINT64_C(1) << 16)
#define WASI_RIGHT_PATH_RENAME_TARGET (UINT64_C(1) << 17)
#define WASI_RIGHT_PATH_FILESTAT_GET (UINT64_C(1) << 18)
#define WASI_RIGHT_PATH_FILESTAT_SET_SIZE (UINT64_C(1) << 19)
#define WASI_RIGHT_PATH_FILESTAT_SET_TIMES (UINT64_C(1) << 20)
#define WASI_RIGHT_FD_FILESTAT_GET (UINT64_C(1) << 21)
#define WASI_RIGHT_FD_FILESTAT_SET_SIZE (UINT64_C(1) << 22)
#define WASI_RIGHT_FD_FILESTAT_SET_TIMES (UINT64_C(1) << 23)
#define WASI_RIGHT_PATH_SYMLINK (UINT64_C(1) << 24)
#define WASI_RIGHT_PATH_REMOVE_DIRECTORY (UINT64_C(1) << 25)
#define WASI_RIGHT_PATH_UNLINK_FILE (UINT64_C(1) << 26)
#define WASI_RIGHT_POLL_FD_READWRITE (UINT64_C(1) << 27)
#define WASI_RIGHT_SOCK_SHUTDOWN (UINT64_C(1) << 28)
#define WASI_RIGHT_SOCK_ACCEPT (UINT64_C(1) << 29)

/* What each kind of descriptor can have at most. */
#define WASI_RIGHTS_POSITION (WASI_RIGHT_FD_SEEK | WASI_RIGHT_FD_TELL)
#define WASI_RIGHTS_STREAM                                                                         \
    (WASI_RIGHT_FD_READ | WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_FDSTAT_SET_FLAGS |                   \
     WASI_RIGHT_FD_FILESTAT_GET | WASI_RIGHT_POLL_FD_READWRITE)
#define WASI_RIGHTS_CONNECTION (WASI_RIGHTS_STREAM | WASI_RIGHT_SOCK_SHUTDOWN)
#define WASI_RIGHTS_LISTENER                                                                       \
    (WASI_RIGHT_FD_FDSTAT_SET_FLAGS | WASI_RIGHT_FD_FILESTAT_GET | WASI_RIGHT_POLL_FD_READWRITE |  \
     WASI_RIGHT_SOCK_ACCEPT)
#define WASI_RIGHTS_REGULAR                                                                        \
    (WASI_RIGHTS_STREAM | WASI_RIGHTS_POSITION | WASI_RIGHT_FD_DATASYNC | WASI_RIGHT_FD_SYNC |     \
     WASI_RIGHT_FD_ADVISE | WASI_RIGHT_FD_ALLOCATE | WASI_RIGHT_FD_FILESTAT_SET_SIZE |             \
     WASI_RIGHT_FD_FILESTAT_SET_TIMES)
#define WASI_RIGHTS_DIRECTORY_CHANGE                                                               \
    (WASI_RIGHT_PATH_CREATE_DIRECTORY | WASI_RIGHT_PATH_CREATE_FILE |                              \
     WASI_RIGHT_PATH_LINK_SOURCE | WASI_RIGHT_PATH_LINK_TARGET | WASI_RIGHT_PATH_RENAME_SOURCE |   \
     WASI_RIGHT_PATH_RENAME_TARGET | WASI_RIGHT_PATH_FILESTAT_SET_SIZE |                           \
     WASI_RIGHT_PATH_FILESTAT_SET_TIMES | WASI_RIGHT_FD_FILESTAT_SET_TIMES |                       \
     WASI_RIGHT_PATH_SYMLINK | WASI_RIGHT_PATH_REMOVE_DIRECTORY | WASI_RIGHT_PATH_UNLINK_FILE)
#define WASI_RIGHTS_DIRECTORY                                                                      \
    (WASI_RIGHTS_DIRECTORY_CHANGE | WASI_RIGHT_PATH_OPEN | WASI_RIGHT_FD_READDIR |                 \
     WASI_RIGHT_PATH_READLINK | WASI_RIGHT_PATH_FILESTAT_GET | WASI_RIGHT_FD_FILESTAT_GET |        \
     WASI_RIGHT_FD_DATASYNC | WASI_RIGHT_FD_SYNC)
/* What a directory that may only be read does not pass on. */
#define WASI_RIGHTS_FILE_CHANGE                                                                    \
    (WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ALLOCATE | WASI_RIGHT_FD_FILESTAT_SET_SIZE |              \
     WASI_RIGHT_FD_FILESTAT_SET_TIMES | WASI_RIGHT_FD_DATASYNC | WASI_RIGHT_FD_SYNC)

/* --- Flags ------------------------------------------------------------------------------------ */
#define WASI_FDFLAG_APPEND 1u
#define WASI_FDFLAG_DSYNC 2u
#define WASI_FDFLAG_NONBLOCK 4u
#define WASI_FDFLAG_RSYNC 8u
#define WASI_FDFLAG_SYNC 16u
#define WASI_FDFLAGS_ALL 31u
#define WASI_OFLAGS_ALL 15u
#define WASI_FSTFLAGS_ALL 15u
#define WASI_LOOKUP_FOLLOW 1u
#define WASI_RIFLAG_PEEK 1u
#define WASI_RIFLAG_WAITALL 2u

/* --- Configuration ---------------------------------------------------------------------------- */

/* Texts one behind the other, each with its zero byte: as guests get them. */
struct wasi_strings {
    char *bytes;
    uint32_t size;
    uint32_t count;
};

struct wasi_preopen {
    struct pd_file *dir; /* a reference */
    char *guest_path;
    char *host_path;
    uint64_t base;
    uint64_t inheriting;
};

struct pd_wasi_config {
    atomic_uint_least32_t refs;
    bool has_stdio;
    struct pd_files *files;
    struct pd_output_sink *sink;
    struct wasi_strings arguments;
    struct wasi_strings variables;
    struct wasi_preopen *preopens;
    uint32_t preopen_count;
    uint32_t listener_count;
    struct pd_file *listeners[PD_WASI_LISTENERS_MAX]; /* references */
    char tag[PD_WASI_TAG_MAX];
};

/* --- Descriptors ------------------------------------------------------------------------------ */

enum wasi_fd_kind {
    WASI_FD_FREE = 0,
    WASI_FD_INPUT,  /* `file` is the program's input */
    WASI_FD_OUTPUT, /* whole lines; `stream` is 1 or 2, `file` the program's stream */
    WASI_FD_FILE,   /* regular, a stream that has a name, or a socket */
    WASI_FD_DIRECTORY
};

/* One descriptor, by value: an entry of the table, or made from the configuration while there is no
 * table. */
struct wasi_fd {
    struct pd_file *file; /* a table's entry of kind FILE or DIRECTORY holds a reference */
    struct wasi_listing *listing;
    uint64_t base;
    uint64_t inheriting;
    uint8_t kind; /* enum wasi_fd_kind */
    uint8_t stream;
    uint16_t flags;   /* WASI_FDFLAG_* */
    uint16_t preopen; /* index + 1 in the configuration; 0: none */
};

/* A directory's snapshot, which cookies count in. */
struct wasi_listing {
    struct pd_file_listing listing;
};

struct wasi_table {
    struct wasi_fd *fds;
    uint32_t capacity;
    uint32_t lowest_free; /* no free number from 3 on lies below */
};

struct pd_wasi {
    struct pd_wasi_config *config;
    struct wasi_table *table;       /* NULL until a descriptor changes */
    char *tag;                      /* NULL: the configuration's */
    struct pd_file_cancel *waiting; /* the wait for streams of the call under way, or NULL */
    uint32_t received;              /* bytes that the sock_recv under way has taken already */
    struct pd_output lines[2];
    struct pd_error_tail errors;
};

/* Look a descriptor up. PD_FILE_BADF. The result is a copy, good until the next change of the
 * table. */
enum pd_file_error pd_wasi_fd_get(struct pd_wasi *wasi, uint32_t fd, struct wasi_fd *fd_out);

/* The same with rights: PD_FILE_BADF when read or write is missing (as POSIX says it), else
 * NOTCAPABLE. */
enum pd_file_error pd_wasi_fd_require(struct pd_wasi *wasi, uint32_t fd, uint64_t rights,
                                      struct wasi_fd *fd_out);

/* A directory with rights. PD_FILE_NOTDIR for all else. */
enum pd_file_error pd_wasi_fd_require_directory(struct pd_wasi *wasi, uint32_t fd, uint64_t rights,
                                                struct wasi_fd *fd_out);

/* A file or stream, not a directory (PD_FILE_BADF), with rights. */
enum pd_file_error pd_wasi_fd_require_file(struct pd_wasi *wasi, uint32_t fd, uint64_t rights,
                                           struct wasi_fd *fd_out);

/* The entry itself, to change it; makes the table. NULL: no memory or not open. */
struct wasi_fd *pd_wasi_fd_edit(struct pd_wasi *wasi, uint32_t fd, enum pd_file_error *error_out);

/* Put a descriptor at the lowest free number from 3 on; its reference moves. PD_FILE_MFILE,
 * PD_FILE_NOMEM. */
enum pd_file_error pd_wasi_fd_add(struct pd_wasi *wasi, const struct wasi_fd *fd,
                                  uint32_t *number_out);

/* Whether pd_wasi_fd_add would succeed; asked before a file is created for nothing. */
enum pd_file_error pd_wasi_fd_reserve(struct pd_wasi *wasi);

/* Empty an entry; the caller releases what was in it. */
enum pd_file_error pd_wasi_fd_take(struct pd_wasi *wasi, uint32_t fd, struct wasi_fd *taken_out);

/* Put `from` in the place of `to`, which must be open too: a guest never chooses a new number. The
 * caller releases what was there. PD_FILE_BADF, PD_FILE_NOMEM. */
enum pd_file_error pd_wasi_fd_move(struct pd_wasi *wasi, uint32_t from, uint32_t to,
                                   struct wasi_fd *replaced_out);

/* Give back what a taken descriptor holds. May block when it is the last user of a file. */
void pd_wasi_fd_release(struct pd_files *files, struct wasi_fd *fd);

/* What the descriptor `fd` is to the guest. */
enum pd_file_type pd_wasi_fd_type(const struct wasi_fd *fd);

/* The route of a guest's lines. */
struct pd_output_route pd_wasi_route(const struct pd_wasi *wasi, struct pd_host *host, int stream);

/* --- Jobs ------------------------------------------------------------------------------------- */

/* One blocking operation: all that it needs, owned. Most functions use a few of the fields. */
struct wasi_job {
    struct pd_blocking blocking; /* first */
    struct pd_files *files;
    struct pd_file *file; /* references */
    struct pd_file *other;
    struct pd_file_cancel *cancel; /* for waits that a kill must end */
    enum pd_file_error error;
    uint32_t fd;     /* the guest's number */
    uint32_t memory; /* where a result goes in guest memory */
    uint32_t memory_size;
    uint32_t count_at; /* where a count goes */
    uint32_t flags;
    uint32_t iovec_count;
    bool follows;
    bool is_nonblocking;
    bool is_peek;
    bool is_whole;       /* of a read that goes on until its buffers are full */
    bool has_wait_place; /* of pd_files_wait_begin */
    /* For those who wait without a place: the function, to be called again a little later. */
    enum pd_call_result (*again)(struct pd_call *call);
    uint64_t offset;
    uint64_t size;
    uint64_t result;
    uint64_t base; /* rights for a new descriptor */
    uint64_t inheriting;
    struct pd_file *opened; /* a reference, until a descriptor has it */
    struct wasi_listing *listing;
    struct pd_file_times times;
    struct pd_file_stat stat;
    struct wasi_fd closing; /* a taken descriptor to release */
    char *path;             /* in `bytes` */
    char *other_path;
    uint32_t *iovecs; /* in `bytes`: pairs of address and size */
    uint8_t *data;    /* in `bytes` */
    size_t data_size;
    _Alignas(8) uint8_t bytes[];
};

/* A zeroed job with `room` bytes behind it, for the file of `fd` (may be NULL). NULL: no memory. */
struct wasi_job *pd_wasi_job_create(struct pd_wasi *wasi, const char *name,
                                    const struct wasi_fd *fd, size_t room);

/* Submit it: `work` on a helper, then `finish` on the guest's thread (NULL: answer job->error). */
enum pd_call_result pd_wasi_job_run(struct pd_call *call, struct wasi_job *job,
                                    void (*work)(struct pd_blocking *self),
                                    enum pd_call_result (*finish)(struct pd_call *call,
                                                                  struct pd_blocking *self));

/* How often those look who wait for a stream without a place of pd_files_wait_begin. */
#define WASI_LOOK_INTERVAL_NS UINT64_C(20000000)

/* The same for a stream, for which it may wait unless the job is_nonblocking: with a place, in a
 * way that pd_wasi_destroy can end; without, by looking now and calling `again` later. */
enum pd_call_result pd_wasi_job_run_stream(struct pd_call *call, struct wasi_job *job,
                                           enum pd_call_result (*again)(struct pd_call *call),
                                           void (*work)(struct pd_blocking *self),
                                           enum pd_call_result (*finish)(struct pd_call *call,
                                                                         struct pd_blocking *self));

/* In `finish`: whether the call must be made again, which is arranged; then return PD_CALL_WAIT. */
bool pd_wasi_job_again(struct pd_call *call, const struct wasi_job *job);

/* The call is over: destroy has nothing to end any more. */
void pd_wasi_wait_over(struct pd_wasi *wasi);

static inline struct wasi_job *pd_wasi_job_of(struct pd_blocking *blocking)
{
    return (struct wasi_job *)(void *)blocking;
}

/* --- Calls ------------------------------------------------------------------------------------ */

static inline enum pd_call_result pd_wasi_answer(struct pd_call *call, enum pd_file_error error)
{
    return pd_call_done(call, (uint32_t)error);
}

/* Answer 0 after writing a number to guest memory; PD_FILE_FAULT when it is not there. */
enum pd_call_result pd_wasi_answer_u32(struct pd_call *call, uint32_t address, uint32_t value);
enum pd_call_result pd_wasi_answer_u64(struct pd_call *call, uint32_t address, uint64_t value);

/* sock_recv, once its flags are known to be good and its descriptor to be a socket. */
enum pd_call_result pd_wasi_receive(struct pd_call *call);

/* fd_write for sockets, whose count lies elsewhere; `again` is the whole function, for waits
 * without a place. */
enum pd_call_result pd_wasi_send(struct pd_call *call, uint32_t count_at,
                                 enum pd_call_result (*again)(struct pd_call *call));

/* Write a filestat to guest memory and answer. */
enum pd_call_result pd_wasi_answer_stat(struct pd_call *call, uint32_t address,
                                        const struct pd_file_stat *stat);

/* Whether [address, address + size) is guest memory. */
static inline bool pd_wasi_is_memory(struct pd_call *call, uint32_t address, uint64_t size)
{
    return pd_guest_memory(call->guest, address, size) != NULL;
}

/* Check a path of the guest: PD_FILE_FAULT, NAMETOOLONG, ILSEQ (not UTF-8), INVAL (zero byte),
 * NOENT (empty), PERM (absolute). Nothing is copied. */
enum pd_file_error pd_wasi_path_check(struct pd_call *call, uint32_t address, uint32_t size);

/* fstflags of the guest to times. PD_FILE_INVAL for contradictions. */
enum pd_file_error pd_wasi_times(uint64_t accessed_ns, uint64_t modified_ns, uint32_t flags,
                                 struct pd_file_times *times_out);

/* The functions by name, for the table. */
#define WASI_FUNCTION(name) enum pd_call_result pd_wasi_##name(struct pd_call *call)
WASI_FUNCTION(args_get);
WASI_FUNCTION(args_sizes_get);
WASI_FUNCTION(environ_get);
WASI_FUNCTION(environ_sizes_get);
WASI_FUNCTION(clock_res_get);
WASI_FUNCTION(clock_time_get);
WASI_FUNCTION(fd_advise);
WASI_FUNCTION(fd_allocate);
WASI_FUNCTION(fd_close);
WASI_FUNCTION(fd_datasync);
WASI_FUNCTION(fd_fdstat_get);
WASI_FUNCTION(fd_fdstat_set_flags);
WASI_FUNCTION(fd_fdstat_set_rights);
WASI_FUNCTION(fd_filestat_get);
WASI_FUNCTION(fd_filestat_set_size);
WASI_FUNCTION(fd_filestat_set_times);
WASI_FUNCTION(fd_pread);
WASI_FUNCTION(fd_prestat_get);
WASI_FUNCTION(fd_prestat_dir_name);
WASI_FUNCTION(fd_pwrite);
WASI_FUNCTION(fd_read);
WASI_FUNCTION(fd_readdir);
WASI_FUNCTION(fd_renumber);
WASI_FUNCTION(fd_seek);
WASI_FUNCTION(fd_sync);
WASI_FUNCTION(fd_tell);
WASI_FUNCTION(fd_write);
WASI_FUNCTION(path_create_directory);
WASI_FUNCTION(path_filestat_get);
WASI_FUNCTION(path_filestat_set_times);
WASI_FUNCTION(path_link);
WASI_FUNCTION(path_open);
WASI_FUNCTION(path_readlink);
WASI_FUNCTION(path_remove_directory);
WASI_FUNCTION(path_rename);
WASI_FUNCTION(path_symlink);
WASI_FUNCTION(path_unlink_file);
WASI_FUNCTION(poll_oneoff);
WASI_FUNCTION(proc_exit);
WASI_FUNCTION(proc_raise);
WASI_FUNCTION(sched_yield);
WASI_FUNCTION(random_get);
WASI_FUNCTION(sock_accept);
WASI_FUNCTION(sock_recv);
WASI_FUNCTION(sock_send);
WASI_FUNCTION(sock_shutdown);
#undef WASI_FUNCTION

#endif
