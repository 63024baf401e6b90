/* host_files - the files, directories and standard streams that the program may touch, as one
 * interface.
 *
 * Role       The door between WASI and the operating system. src/host/files.h has the real half and
 *            a deterministic one over it.
 * Model      A table of functions. Names are resolved beneath a directory that is already open and
 *            never lead out of it: not by "..", not by an absolute path, not by a link, not in a
 *            race. Functions may block unless they say otherwise: call them on a helper thread.
 * Bounds     A path has at most PD_FILE_PATH_MAX bytes, a listing PD_FILE_LISTING_ENTRIES_MAX
 *            entries and PD_FILE_LISTING_NAMES_MAX bytes of names.
 * Ownership  Files are reference counted, by any thread; the last release closes. Paths are texts
 *            without inner zero bytes, relative, not empty, and borrowed for the call.
 * Errors     enum pd_file_error, numbered as WASI preview 1 numbers errno, so that one table (the
 *            operating system's errno to this one) is enough. */
#ifndef PD_BASE_HOST_FILES_H
#define PD_BASE_HOST_FILES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define PD_FILE_PATH_MAX 4096u
#define PD_FILE_LISTING_ENTRIES_MAX 262144u
#define PD_FILE_LISTING_NAMES_MAX (16u << 20)
#define PD_FILE_POSITION UINT64_MAX /* as an offset: at the file's own position, which moves */

enum pd_file_error {
    PD_FILE_OK = 0,
    PD_FILE_2BIG = 1,
    PD_FILE_ACCES = 2,
    PD_FILE_AGAIN = 6,
    PD_FILE_BADF = 8,
    PD_FILE_BUSY = 10,
    PD_FILE_CANCELED = 11,
    PD_FILE_CONNABORTED = 13,
    PD_FILE_CONNRESET = 15,
    PD_FILE_DQUOT = 19,
    PD_FILE_EXIST = 20,
    PD_FILE_FAULT = 21,
    PD_FILE_FBIG = 22,
    PD_FILE_ILSEQ = 25,
    PD_FILE_INTR = 27,
    PD_FILE_INVAL = 28,
    PD_FILE_IO = 29,
    PD_FILE_ISDIR = 31,
    PD_FILE_LOOP = 32,
    PD_FILE_MFILE = 33,
    PD_FILE_MLINK = 34,
    PD_FILE_NAMETOOLONG = 37,
    PD_FILE_NFILE = 41,
    PD_FILE_NOBUFS = 42,
    PD_FILE_NODEV = 43,
    PD_FILE_NOENT = 44,
    PD_FILE_NOLCK = 46,
    PD_FILE_NOMEM = 48,
    PD_FILE_NOSPC = 51,
    PD_FILE_NOSYS = 52,
    PD_FILE_NOTCONN = 53,
    PD_FILE_NOTDIR = 54,
    PD_FILE_NOTEMPTY = 55,
    PD_FILE_NOTSOCK = 57,
    PD_FILE_NOTSUP = 58,
    PD_FILE_NOTTY = 59,
    PD_FILE_NXIO = 60,
    PD_FILE_OVERFLOW = 61,
    PD_FILE_PERM = 63, /* also: the path leads out of its directory */
    PD_FILE_PIPE = 64,
    PD_FILE_RANGE = 68,
    PD_FILE_ROFS = 69,
    PD_FILE_SPIPE = 70,
    PD_FILE_STALE = 72,
    PD_FILE_TIMEDOUT = 73,
    PD_FILE_TXTBSY = 74,
    PD_FILE_XDEV = 75,
    PD_FILE_NOTCAPABLE = 76
};

/* Numbered as WASI preview 1 numbers filetype. */
enum pd_file_type {
    PD_FILE_TYPE_UNKNOWN = 0,
    PD_FILE_TYPE_BLOCK_DEVICE = 1,
    PD_FILE_TYPE_CHARACTER_DEVICE = 2,
    PD_FILE_TYPE_DIRECTORY = 3,
    PD_FILE_TYPE_REGULAR = 4,
    PD_FILE_TYPE_SOCKET_DATAGRAM = 5,
    PD_FILE_TYPE_SOCKET_STREAM = 6,
    PD_FILE_TYPE_LINK = 7
};

/* The part of an open file that everyone may read. Implementations embed it first. */
struct pd_file {
    atomic_uint_least32_t refs;
    enum pd_file_type type;
    bool is_stream; /* a pipe, terminal or device: waits for the other side, has no position */
};

struct pd_file_stat {
    uint64_t device;
    uint64_t inode;
    uint64_t link_count;
    uint64_t size;
    uint64_t accessed_ns; /* since the Unix epoch */
    uint64_t modified_ns;
    uint64_t changed_ns;
    enum pd_file_type type;
};

/* What to do when opening; combined bits. */
#define PD_FILE_OPEN_CREATE 1u
#define PD_FILE_OPEN_DIRECTORY 2u /* fail unless it is one */
#define PD_FILE_OPEN_EXCLUSIVE 4u
#define PD_FILE_OPEN_TRUNCATE 8u
#define PD_FILE_OPEN_FOLLOW 16u /* follow a link in the last component; else PD_FILE_LOOP */
#define PD_FILE_OPEN_READ 32u
#define PD_FILE_OPEN_WRITE 64u
#define PD_FILE_OPEN_APPEND 128u
#define PD_FILE_OPEN_DSYNC 256u
#define PD_FILE_OPEN_SYNC 512u

/* Which times to set; combined bits, numbered as WASI's fstflags. */
#define PD_FILE_TIME_ACCESSED 1u
#define PD_FILE_TIME_ACCESSED_NOW 2u
#define PD_FILE_TIME_MODIFIED 4u
#define PD_FILE_TIME_MODIFIED_NOW 8u

struct pd_file_times {
    uint64_t accessed_ns;
    uint64_t modified_ns;
    uint32_t flags;
};

/* Which sides of a connection end; combined bits, numbered as WASI's sdflags. */
#define PD_FILE_SHUT_READ 1u
#define PD_FILE_SHUT_WRITE 2u

enum pd_file_whence {
    PD_FILE_FROM_START = 0,
    PD_FILE_FROM_POSITION = 1,
    PD_FILE_FROM_END = 2
};

/* One directory, read whole: "." and ".." first, then by name, bytewise. */
struct pd_file_entry {
    uint64_t inode;
    uint32_t name_at; /* in `names` */
    uint16_t name_size;
    uint8_t type; /* enum pd_file_type */
};

struct pd_file_listing {
    struct pd_file_entry *entries;
    char *names;
    uint32_t entry_count;
    uint32_t names_size;
};

/* Locks on a range of bytes. What was opened holds them (each open_at is another), against all else
 * that was opened, here and in other programs. */
enum pd_file_lock {
    PD_FILE_LOCK_NONE = 0,
    PD_FILE_LOCK_SHARED = 1,
    PD_FILE_LOCK_EXCLUSIVE = 2
};

/* Lets another thread end a wait that goes on in a helper. */
struct pd_file_cancel;

struct pd_file_io {
    uint8_t *bytes;                /* owned by the caller, never guest memory */
    size_t size;                   /* > 0 */
    uint64_t offset;               /* or PD_FILE_POSITION */
    bool is_nonblocking;           /* a stream answers PD_FILE_AGAIN instead of waiting */
    bool is_peek;                  /* a connection keeps what is read from it */
    struct pd_file_cancel *cancel; /* may be NULL: then the wait cannot be ended */
    size_t done;                   /* out; 0 on a read is the end of the file */
};

struct pd_file_poll {
    struct pd_file *file;
    bool for_write;
    /* out */
    bool is_ready;
    bool is_hung_up;
    enum pd_file_error error;
    uint64_t available; /* bytes to read; 1 when unknown */
};

struct pd_files;

struct pd_files_ops {
    /* Open a directory of the host for sandboxed use. `why_out` (may be NULL) gets a sentence on
     * failure.
     *
     * PD_OK               *dir_out is the caller's.
     * PD_ERR_UNKNOWN      there is no such directory.
     * PD_ERR_DENIED       the user may not open it.
     * PD_ERR_UNSUPPORTED  this kernel cannot confine paths (openat2 needs Linux 5.6).
     * PD_ERR_IO           anything else. */
    enum pd_status (*directory_open)(struct pd_files *files, const char *host_path,
                                     struct pd_file **dir_out, char *why_out, size_t why_size);

    /* The program's own input, output or error (0, 1, 2); borrowed, lives as long as `files`.
     * Neither blocks nor fails. */
    struct pd_file *(*standard)(struct pd_files *files, int stream);

    void (*retain)(struct pd_files *files, struct pd_file *file); /* never blocks */
    void (*release)(struct pd_files *files, struct pd_file *file);

    enum pd_file_error (*read)(struct pd_files *files, struct pd_file *file, struct pd_file_io *io);
    enum pd_file_error (*write)(struct pd_files *files, struct pd_file *file,
                                struct pd_file_io *io);
    /* FROM_START and FROM_POSITION never block. PD_FILE_SPIPE for streams. */
    enum pd_file_error (*seek)(struct pd_files *files, struct pd_file *file, int64_t delta,
                               enum pd_file_whence whence, uint64_t *position_out);
    enum pd_file_error (*stat)(struct pd_files *files, struct pd_file *file,
                               struct pd_file_stat *stat_out);
    enum pd_file_error (*set_size)(struct pd_files *files, struct pd_file *file, uint64_t size);
    enum pd_file_error (*set_times)(struct pd_files *files, struct pd_file *file,
                                    const struct pd_file_times *times);
    /* Never blocks. */
    enum pd_file_error (*set_append)(struct pd_files *files, struct pd_file *file, bool is_append);
    enum pd_file_error (*sync)(struct pd_files *files, struct pd_file *file, bool is_data_only);
    /* `advice` is numbered as WASI's: normal, sequential, random, willneed, dontneed, noreuse. */
    enum pd_file_error (*advise)(struct pd_files *files, struct pd_file *file, uint64_t offset,
                                 uint64_t size, unsigned advice);
    enum pd_file_error (*allocate)(struct pd_files *files, struct pd_file *file, uint64_t offset,
                                   uint64_t size);
    /* Change what this file holds of [offset, offset + size) to `lock`, at once or not at all.
     * PD_FILE_AGAIN: another's lock is in the way. Never waits. Ends with the file. */
    enum pd_file_error (*lock)(struct pd_files *files, struct pd_file *file, uint64_t offset,
                               uint64_t size, enum pd_file_lock lock);
    /* Whether another's lock would refuse an exclusive one: *is_held_out. */
    enum pd_file_error (*is_locked)(struct pd_files *files, struct pd_file *file, uint64_t offset,
                                    uint64_t size, bool *is_held_out);
    /* *listing_out is the caller's: pd_file_listing_deinit. PD_FILE_OVERFLOW: larger than the
     * bounds. */
    enum pd_file_error (*list)(struct pd_files *files, struct pd_file *dir,
                               struct pd_file_listing *listing_out);
    void (*listing_deinit)(struct pd_files *files, struct pd_file_listing *listing);

    /* By name beneath `dir`. A trailing slash asks for a directory. */
    enum pd_file_error (*open_at)(struct pd_files *files, struct pd_file *dir, const char *path,
                                  uint32_t flags, struct pd_file **file_out);
    enum pd_file_error (*stat_at)(struct pd_files *files, struct pd_file *dir, const char *path,
                                  bool follows, struct pd_file_stat *stat_out);
    enum pd_file_error (*set_times_at)(struct pd_files *files, struct pd_file *dir,
                                       const char *path, bool follows,
                                       const struct pd_file_times *times);
    enum pd_file_error (*make_directory_at)(struct pd_files *files, struct pd_file *dir,
                                            const char *path);
    enum pd_file_error (*remove_directory_at)(struct pd_files *files, struct pd_file *dir,
                                              const char *path);
    enum pd_file_error (*unlink_at)(struct pd_files *files, struct pd_file *dir, const char *path);
    enum pd_file_error (*rename_at)(struct pd_files *files, struct pd_file *dir, const char *path,
                                    struct pd_file *new_dir, const char *new_path);
    /* Never follows a link in the last component of `path`. */
    enum pd_file_error (*link_at)(struct pd_files *files, struct pd_file *dir, const char *path,
                                  struct pd_file *new_dir, const char *new_path);
    /* `target` is stored as it is; an absolute one is refused with PD_FILE_PERM. */
    enum pd_file_error (*symlink_at)(struct pd_files *files, const char *target,
                                     struct pd_file *dir, const char *path);
    /* Up to `size` bytes of the link's text, without a terminator. */
    enum pd_file_error (*readlink_at)(struct pd_files *files, struct pd_file *dir, const char *path,
                                      char *text_out, size_t size, size_t *size_out);

    /* Listen for TCP connections at "HOST:PORT"; port 0 is any free one, and *port_out the one that
     * it is. `why_out` gets a sentence on failure. Blocks for names.
     *
     * PD_OK               *listener_out is the caller's, a stream of its own type.
     * PD_ERR_INVALID      the text is no address.
     * PD_ERR_UNKNOWN      there is no such address.
     * PD_ERR_DENIED       the user may not listen there.
     * PD_ERR_IO           it is taken, or anything else.
     * PD_ERR_NO_MEMORY */
    enum pd_status (*listen)(struct pd_files *files, const char *address,
                             struct pd_file **listener_out, uint16_t *port_out, char *why_out,
                             size_t why_size);
    /* The next connection. PD_FILE_INVAL: the file listens to nothing. */
    enum pd_file_error (*accept)(struct pd_files *files, struct pd_file *listener,
                                 bool is_nonblocking, struct pd_file_cancel *cancel,
                                 struct pd_file **connection_out);
    /* End the sides of a connection, at least one. Never blocks. */
    enum pd_file_error (*shutdown)(struct pd_files *files, struct pd_file *connection,
                                   uint32_t sides);

    /* Wait until a file is ready, timeout_ns (PD_TIME_NEVER: none) passed, or `cancel` is
     * signalled. 0 looks without waiting. PD_FILE_CANCELED: it was signalled. */
    enum pd_file_error (*poll)(struct pd_files *files, struct pd_file_poll *items, size_t count,
                               uint64_t timeout_ns, struct pd_file_cancel *cancel);

    /* NULL: the system has no more. Never blocks. Two references: the waiter's and the caller's. */
    struct pd_file_cancel *(*cancel_create)(struct pd_files *files);
    void (*cancel_signal)(struct pd_files *files, struct pd_file_cancel *cancel);
    void (*cancel_release)(struct pd_files *files, struct pd_file_cancel *cancel);
};

/* Helper threads that may wait for streams at a time, so that the others stay free for work that
 * ends. */
#define PD_FILES_WAITING_MAX 2u

struct pd_files {
    const struct pd_files_ops *ops;
    atomic_uint_least32_t waiting_count;
};

/* Take one of the places to wait for a stream, if there is one; give it back with
 * pd_files_wait_end. */
static inline bool pd_files_wait_begin(struct pd_files *files)
{
    if (atomic_fetch_add(&files->waiting_count, 1) < PD_FILES_WAITING_MAX) {
        return true;
    }
    atomic_fetch_sub(&files->waiting_count, 1);
    return false;
}

static inline void pd_files_wait_end(struct pd_files *files)
{
    atomic_fetch_sub(&files->waiting_count, 1);
}

#endif
