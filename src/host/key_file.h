/* key_file - a file with 32 secret bytes, made once.
 *
 * Model  One line: "pando key 1 " and 64 hexadecimal digits. It belongs to this user and has mode
 *        0600, else it is refused: a key that others may have read names nobody. It is made under
 *        another name, synced and linked, so that it is there whole or not at all, and of two who
 *        make it at once both use the first. */
#ifndef PD_HOST_KEY_FILE_H
#define PD_HOST_KEY_FILE_H

#include <stdbool.h>

#include "base/host.h"

#define PD_KEY_FILE_SIZE 32u
#define PD_KEY_FILE_TEXT_MAX 512u

/* Read the file; with may_create make it if it is not there.
 *
 * PD_ERR_UNKNOWN  it is not there.
 * PD_ERR_DENIED   others may read it, or it is another user's.
 * PD_ERR_CORRUPT  it does not hold a key.
 * PD_ERR_IO       the system refuses.
 * text: what is wrong and what to do, for a person; empty with PD_OK. */
PD_NODISCARD enum pd_status pd_host_key_file(struct pd_host *host, const char *path,
                                             bool may_create, uint8_t secret_out[PD_KEY_FILE_SIZE],
                                             char text[PD_KEY_FILE_TEXT_MAX]);

#endif
