/* files - the real half of base/host_files.h, for Linux, and its deterministic form.
 *
 * Role       Paths are resolved by openat2 with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS; what is
 *            created, removed or renamed is one name in a parent resolved that way. Needs Linux 5.8
 *            (openat2, and utimensat with AT_EMPTY_PATH); the first directory_open probes for it.
 * Bounds     Files' part of the descriptors of the process (host/descriptors.h) is open at a time,
 *            directories, listeners and accepted connections included: then PD_FILE_NFILE.
 * Model      One instance for the program. The deterministic form keeps contents real and makes
 *            virtual what a rerun could not repeat: inode and device numbers, times, readiness of
 *            streams.
 * Signals    Writing to a pipe without a reader must be an error and not the end of the program, so
 *            creation sets SIGPIPE to be ignored.
 * Ownership  The caller destroys it after every file, listing and cancel that came from it. */
#ifndef PD_HOST_FILES_H
#define PD_HOST_FILES_H

#include "base/host.h"
#include "base/host_files.h"

/* PD_OK: *files_out is the caller's. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_files_create(struct pd_files **files_out);

/* The deterministic form: one thread only. `host` gives the virtual time that changes are stamped
 * with; it outlives the files. PD_OK, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_files_create_deterministic(struct pd_host *host,
                                                          struct pd_files **files_out);

/* So many may be open at a time, from now on, instead of their part of the process's descriptors
 * (host/descriptors.h): for tests. */
void pd_files_set_max(struct pd_files *files, uint32_t files_max);

void pd_files_destroy(struct pd_files *files);

#endif
