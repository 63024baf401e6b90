/* folder - how much a folder holds. */
#ifndef PD_HOST_FOLDER_H
#define PD_HOST_FOLDER_H

#include <stdint.h>

/* The sizes of the files in the folder, without those in folders below it; 0: it cannot be read.
 * Beside others that make and remove files: what it finds. */
uint64_t pd_host_folder_bytes(const char *path);

#endif
