/* tree - folders as a whole: looked at, copied, removed. Paths are the caller's own: what others
 * change beside it is not guarded against. */
#ifndef PD_HOST_TREE_H
#define PD_HOST_TREE_H

#include <stdbool.h>

#include "base/status.h"

/* Remove it with all that it holds; one that is not there is removed already. PD_ERR_IO: errno. */
PD_NODISCARD enum pd_status pd_host_tree_remove(const char *path);

/* Copy the files of a folder, not those of folders in it, into a new one, durably. Files whose name
 * ends in `linked` (NULL: none) are never written again by anybody: they are given a second name
 * where the file system can, and cost no room.
 *
 * PD_ERR_UNKNOWN  there is no folder `from`. PD_ERR_FULL, PD_ERR_IO: errno; what was made stays. */
PD_NODISCARD enum pd_status pd_host_tree_copy(const char *from, const char *to, const char *linked);

/* Whether a folder may be made into a node's: it is missing, or holds nothing but names that
 * `may_stay` accepts. */
bool pd_host_tree_is_free(const char *path, bool (*may_stay)(const char *name));

#endif
