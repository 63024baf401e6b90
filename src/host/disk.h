/* disk - base/disk.h over one real folder. */
#ifndef PD_HOST_DISK_H
#define PD_HOST_DISK_H

#include "base/disk.h"

/* Open a folder, and hold it against every other process until close_disk. With `may_write` it is
 * made, durably, when it is missing (its parent must be there).
 *
 * PD_OK           *disk_out is the caller's, to close.
 * PD_ERR_EXISTS   another process holds the folder.
 * PD_ERR_UNKNOWN  no such folder. PD_ERR_DENIED, PD_ERR_IO: errno says more. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_host_disk_open(const char *path, bool may_write,
                                              struct pd_disk **disk_out);

#endif
