/* disk - one folder of files for the log: the interface whose real half is src/host/disk.c and
 * whose simulated half is in src/sim.
 *
 * Model      A disk is one folder; names have no slash. What was written is durable only after
 *            sync() of the file; that a name exists, was renamed or removed, only after
 *            sync_names(). Every call blocks until it is done.
 * Ownership  The caller closes every file, then the disk. Buffers are borrowed for the call.
 * Threads    One thread uses a disk and its files at a time.
 * Errors     PD_ERR_FULL: no space left, nothing of this call counts. PD_ERR_IO: the device
 *            refused; after a failed sync the file's content is unknown: stop (pd_fatal), never
 *            retry. PD_ERR_UNKNOWN: no such file. PD_ERR_EXISTS: create of an existing name. */
#ifndef PD_BASE_DISK_H
#define PD_BASE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define PD_DISK_NAME_MAX 63u /* bytes of a file name, without the zero byte */
#define PD_DISK_BLOCK_SIZE                                                                         \
    4096u /* writes that are a multiple of it, at such an offset, are fastest */

struct pd_disk;

/* An open file. The disk's to interpret; -1 is none. */
struct pd_disk_file {
    int32_t handle;
};

struct pd_disk_name {
    char text[PD_DISK_NAME_MAX + 1];
};

struct pd_disk_ops {
    enum pd_status (*create)(struct pd_disk *disk, const char *name, struct pd_disk_file *file_out);
    enum pd_status (*open)(struct pd_disk *disk, const char *name, struct pd_disk_file *file_out,
                           uint64_t *size_out);
    void (*close)(struct pd_disk *disk, struct pd_disk_file file);
    /* All of it, or an error. `bytes` aligned to PD_DISK_BLOCK_SIZE lets the real disk bypass the
     * cache. */
    enum pd_status (*write)(struct pd_disk *disk, struct pd_disk_file file, uint64_t offset,
                            const uint8_t *bytes, size_t size);
    /* *size_out < size only at the end of the file. */
    enum pd_status (*read)(struct pd_disk *disk, struct pd_disk_file file, uint64_t offset,
                           uint8_t *bytes, size_t size, size_t *size_out);
    enum pd_status (*truncate)(struct pd_disk *disk, struct pd_disk_file file, uint64_t size);
    enum pd_status (*sync)(struct pd_disk *disk, struct pd_disk_file file);
    enum pd_status (*rename)(struct pd_disk *disk, const char *from, const char *to);
    enum pd_status (*remove)(struct pd_disk *disk, const char *name);
    enum pd_status (*sync_names)(struct pd_disk *disk);
    /* Sorted by name, bytewise. PD_ERR_RANGE: more than names_max. */
    enum pd_status (*list)(struct pd_disk *disk, struct pd_disk_name *names, uint32_t names_max,
                           uint32_t *count_out);
    enum pd_status (*free_bytes)(struct pd_disk *disk, uint64_t *bytes_out);
    void (*close_disk)(struct pd_disk *disk);
};

struct pd_disk {
    const struct pd_disk_ops *ops;
};

#endif
