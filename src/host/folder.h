/* folder - how much a folder holds; what to do about one that cannot be used. */
#ifndef PD_HOST_FOLDER_H
#define PD_HOST_FOLDER_H

#include <stdint.h>

/* The sizes of the files in the folder, without those in folders below it; 0: it cannot be read.
 * Beside others that make and remove files: what it finds. */
uint64_t pd_host_folder_bytes(const char *path);

/* What to do about a folder that cannot be used for this reason: to be said behind it. */
const char *pd_host_folder_remedy(int error);

#endif
