/* sqlite_vfs - where SQLite's files are: in the directories of the actor that it works for, and
 * nowhere else.
 *
 * Model      SQLite's operating system interface over host_files.h. Every file (database, journal,
 *            write-ahead log, what ATTACH and VACUUM INTO name) is resolved beneath a directory of
 *            the scope's configuration by the same code as WASI's paths: no "..", absolute path or
 *            link leads out. The last name of a path may not be a link at all, or one database had
 *            two journals. A temporary file is made in the first directory that may be written, and
 *            unlinked before it is used.
 * Rights     In a directory that may only be read, a database opens read-only and nothing is made.
 * Locks      SQLite's own bytes, locked per open file: they hold between connections of one node,
 *            and against other programs.
 * Not there  Memory mapping and shared memory: a guest that cuts the mapped file would end the node
 *            by SIGBUS. So a write-ahead log needs exclusive locking (docs/sqlite.md). Extensions
 *            do not load.
 * Time       And random bytes: the host's, so that deterministic runs replay. */
#ifndef PD_WASM_SQLITE_VFS_H
#define PD_WASM_SQLITE_VFS_H

#include "base/status.h"

#define PD_SQLITE_VFS "pando"
#define PD_SQLITE_PATH_MAX 1000u

/* Make it SQLite's default. Once, before any connection. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_sqlite_vfs_register(void);

#endif
