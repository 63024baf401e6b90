/* control_path - where the control sockets of a user's programs lie, and whether that place can be
 * trusted.
 *
 * Model      $XDG_RUNTIME_DIR/pando, else /tmp/pando-UID: a folder that the user owns and nobody
 *            else may enter. In it, OSPID.sock is the socket of the program with that process id. A
 *            socket is made under another name and renamed once it listens, so that one which
 *            refuses connections is a dead program's.
 * Errors     `why_out` gets a sentence for a person. */
#ifndef PD_NODE_CONTROL_PATH_H
#define PD_NODE_CONTROL_PATH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "base/status.h"

#define PD_CONTROL_FOLDER_SIZE 256u
#define PD_CONTROL_WHY_SIZE 400u
#define PD_CONTROL_PROGRAMS_MAX 256u
#define PD_CONTROL_PATIENCE_S 2

/* Find the folder, make it if it is missing, and check it. PD_ERR_DENIED: others may enter it, or
 * it is another user's. PD_ERR_RANGE: its path is too long for a socket. PD_ERR_IO. */
PD_NODISCARD enum pd_status pd_control_folder(char folder_out[PD_CONTROL_FOLDER_SIZE],
                                              char why_out[PD_CONTROL_WHY_SIZE]);

/* The address of a program's socket; `suffix` is ".sock", or else for one that is being made.
 * PD_ERR_RANGE. */
PD_NODISCARD enum pd_status pd_control_address(const char *folder, int os_pid, const char *suffix,
                                               struct sockaddr_un *address_out);

/* Connect to a program. A socket that nobody listens on is removed. PD_ERR_UNKNOWN: no such program
 * is running. PD_ERR_IO: or it takes no connection within PD_CONTROL_PATIENCE_S seconds. The
 * descriptor is the caller's; it blocks, sending for no longer than that. */
PD_NODISCARD enum pd_status pd_control_connect(const char *folder, int os_pid, int *descriptor_out);

/* The process ids of the programs that have sockets, in ascending order, dead ones included;
 * returns how many of them were written, at most PD_CONTROL_PROGRAMS_MAX. */
uint32_t pd_control_programs(const char *folder, int os_pids[PD_CONTROL_PROGRAMS_MAX]);

#endif
