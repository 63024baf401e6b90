/* disk_has - whether a disk holds a file. Apart from disk.h: proven files include that one, and the
 * proofs are of what they include. */
#ifndef PD_BASE_DISK_HAS_H
#define PD_BASE_DISK_HAS_H

#include <stdbool.h>

#include "base/disk.h"

/* Whether the file can be opened. */
bool pd_disk_has(struct pd_disk *disk, const char *name);

#endif
