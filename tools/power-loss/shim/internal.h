/* internal - what the files of the shim share. The shim is preloaded into the program that is
 * watched: it calls the kernel itself, and nothing that it replaces. */
#ifndef POWER_LOSS_SHIM_INTERNAL_H
#define POWER_LOSS_SHIM_INTERNAL_H

#include <limits.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "power-loss/trace.h"

/* A path below the folder that is watched; size 0: it is elsewhere. */
struct pd_power_path {
    char text[PATH_MAX];
    uint32_t size;
};

/* A file or folder under the folder is open at `descriptor`. *inode_out names it. */
bool pd_power_follows(int descriptor, uint64_t *inode_out);
/* Where a path leads, from the folder at `from` or AT_FDCWD. The last part need not exist. */
void pd_power_resolve(int from, const char *path, struct pd_power_path *path_out);

/* The beginning of a call, before it is made. `record` needs kind, flags, inode, offset, length.
 * Returns the call's number, for pd_power_done. errno stays. */
uint64_t pd_power_begin(struct pd_power_record *record, const struct pd_power_path *first,
                        const struct pd_power_path *second);
/* A WRITE of `record->length` bytes. */
uint64_t pd_power_begin_write(struct pd_power_record *record, const struct iovec *parts, int count);
/* The call is over. errno stays. */
void pd_power_done(uint64_t call, int64_t result, uint64_t inode);
/* A way of writing that is not followed: the trace says so, and the reader refuses it. */
void pd_power_unseen(int descriptor);

/* Held over a call that changes names, from before its beginning until it is done. */
void pd_power_lock_names(void);
void pd_power_unlock_names(void);

#endif
