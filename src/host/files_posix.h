/* files_posix - what the parts of src/host/files*.c share. Private to them. */
#ifndef PD_HOST_FILES_POSIX_H
#define PD_HOST_FILES_POSIX_H

#include <time.h>

#include "base/host.h"
#include "base/host_files.h"

struct pd_posix_file {
    struct pd_file base;
    int fd;
    bool is_borrowed; /* a standard stream: never closed, its flags never changed */
    bool is_append;   /* what is written without an offset goes to the end */
};

struct pd_files_virtual; /* files_virtual.c */

struct pd_posix_files {
    struct pd_files base;
    struct pd_posix_file standard[3];
    atomic_uint_least32_t open_count; /* descriptors that are files, or about to be */
    atomic_uint_least32_t open_max;
    struct pd_files_virtual *virtual_state; /* NULL unless deterministic */
};

static inline struct pd_posix_file *pd_posix_file_of(struct pd_file *file)
{
    return (struct pd_posix_file *)(void *)file;
}

static inline struct pd_posix_files *pd_posix_files_of(struct pd_files *files)
{
    return (struct pd_posix_files *)(void *)files;
}

/* Linux's errno as ours. */
enum pd_file_error pd_files_error(int os_errno);

/* The type of st_mode. */
enum pd_file_type pd_files_type(unsigned mode);

/* Fill a stat from `fd` itself (an O_PATH descriptor will do). */
enum pd_file_error pd_files_stat_fd(int fd, struct pd_file_stat *stat_out);

/* Take a place for a descriptor before it is opened. False: all are taken. It goes with the file
 * that pd_files_wrap makes, or back by pd_files_unreserve. */
bool pd_files_reserve(struct pd_files *files);
void pd_files_unreserve(struct pd_files *files);

/* Wrap a descriptor that has a place, both of which the file owns from here on; when there is no
 * memory it is closed, and the place given back. */
enum pd_file_error pd_files_wrap(struct pd_files *files, int fd, enum pd_file_type type,
                                 struct pd_file **file_out);

/* utimensat's pair. */
void pd_files_times(const struct pd_file_times *times, struct timespec pair_out[2]);

/* openat2 beneath dir_fd. Returns a descriptor, or -1 with errno (EXDEV: the path leads out). */
int pd_files_resolve(int dir_fd, const char *path, uint64_t flags, uint64_t mode);

/* The operations of files_path.c and files_list.c, for the table in files.c. */
enum pd_file_error pd_files_open_at(struct pd_files *files, struct pd_file *dir, const char *path,
                                    uint32_t flags, struct pd_file **file_out);
enum pd_file_error pd_files_stat_at(struct pd_files *files, struct pd_file *dir, const char *path,
                                    bool follows, struct pd_file_stat *stat_out);
enum pd_file_error pd_files_set_times_at(struct pd_files *files, struct pd_file *dir,
                                         const char *path, bool follows,
                                         const struct pd_file_times *times);
enum pd_file_error pd_files_make_directory_at(struct pd_files *files, struct pd_file *dir,
                                              const char *path);
enum pd_file_error pd_files_remove_directory_at(struct pd_files *files, struct pd_file *dir,
                                                const char *path);
enum pd_file_error pd_files_unlink_at(struct pd_files *files, struct pd_file *dir,
                                      const char *path);
enum pd_file_error pd_files_rename_at(struct pd_files *files, struct pd_file *dir, const char *path,
                                      struct pd_file *new_dir, const char *new_path);
enum pd_file_error pd_files_link_at(struct pd_files *files, struct pd_file *dir, const char *path,
                                    struct pd_file *new_dir, const char *new_path);
enum pd_file_error pd_files_symlink_at(struct pd_files *files, const char *target,
                                       struct pd_file *dir, const char *path);
enum pd_file_error pd_files_readlink_at(struct pd_files *files, struct pd_file *dir,
                                        const char *path, char *text_out, size_t size,
                                        size_t *size_out);
enum pd_file_error pd_files_list(struct pd_files *files, struct pd_file *dir,
                                 struct pd_file_listing *listing_out);
void pd_files_listing_deinit(struct pd_files *files, struct pd_file_listing *listing);

/* Streams: waiting that can be ended (files_stream.c). */
enum pd_file_error pd_files_poll(struct pd_files *files, struct pd_file_poll *items, size_t count,
                                 uint64_t timeout_ns, struct pd_file_cancel *cancel);
/* Wait for one descriptor; events as poll(2)'s. */
enum pd_file_error pd_files_wait(int fd, short events, bool is_nonblocking,
                                 struct pd_file_cancel *cancel);
struct pd_file_cancel *pd_files_cancel_create(struct pd_files *files);
void pd_files_cancel_signal(struct pd_files *files, struct pd_file_cancel *cancel);
void pd_files_cancel_release(struct pd_files *files, struct pd_file_cancel *cancel);

/* Sockets (files_socket.c). */
enum pd_status pd_files_listen(struct pd_files *files, const char *address,
                               struct pd_file **listener_out, uint16_t *port_out, char *why_out,
                               size_t why_size);
enum pd_file_error pd_files_accept(struct pd_files *files, struct pd_file *listener,
                                   bool is_nonblocking, struct pd_file_cancel *cancel,
                                   struct pd_file **connection_out);
enum pd_file_error pd_files_shutdown(struct pd_files *files, struct pd_file *connection,
                                     uint32_t sides);

/* The table of the real operations, and the deterministic one made from it. */
extern const struct pd_files_ops pd_files_posix_ops;
const struct pd_files_ops *pd_files_virtual_ops(const struct pd_files_virtual *state);
struct pd_files_virtual *pd_files_virtual_create(struct pd_host *host);
void pd_files_virtual_destroy(struct pd_files_virtual *state);

#endif
