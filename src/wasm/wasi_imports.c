/* The table that modules link against: all 46 functions of wasi_snapshot_preview1.
 *
 * SYNC is what only looks at the guest's own part, its memory and the clocks (which the kernel maps
 * into the process); all that may ask the system, allocate or wait is DEFERRED. */
#include "wasm/wasi_internal.h"

#define WASI(function_name, types, how)                                                            \
    {                                                                                              \
        .module = "wasi_snapshot_preview1", .name = #function_name, .signature = (types),          \
        .kind = (how), .function = pd_wasi_##function_name                                         \
    }

const struct pd_import pd_wasi_imports[] = {
    WASI(args_get, "ii->i", PD_CALL_DEFERRED),
    WASI(args_sizes_get, "ii->i", PD_CALL_DEFERRED),
    WASI(clock_res_get, "ii->i", PD_CALL_SYNC),
    WASI(clock_time_get, "iIi->i", PD_CALL_SYNC),
    WASI(environ_get, "ii->i", PD_CALL_DEFERRED),
    WASI(environ_sizes_get, "ii->i", PD_CALL_DEFERRED),
    WASI(fd_advise, "iIIi->i", PD_CALL_DEFERRED),
    WASI(fd_allocate, "iII->i", PD_CALL_DEFERRED),
    WASI(fd_close, "i->i", PD_CALL_DEFERRED),
    WASI(fd_datasync, "i->i", PD_CALL_DEFERRED),
    WASI(fd_fdstat_get, "ii->i", PD_CALL_DEFERRED),
    WASI(fd_fdstat_set_flags, "ii->i", PD_CALL_DEFERRED),
    WASI(fd_fdstat_set_rights, "iII->i", PD_CALL_DEFERRED),
    WASI(fd_filestat_get, "ii->i", PD_CALL_DEFERRED),
    WASI(fd_filestat_set_size, "iI->i", PD_CALL_DEFERRED),
    WASI(fd_filestat_set_times, "iIIi->i", PD_CALL_DEFERRED),
    WASI(fd_pread, "iiiIi->i", PD_CALL_DEFERRED),
    WASI(fd_prestat_dir_name, "iii->i", PD_CALL_DEFERRED),
    WASI(fd_prestat_get, "ii->i", PD_CALL_DEFERRED),
    WASI(fd_pwrite, "iiiIi->i", PD_CALL_DEFERRED),
    WASI(fd_read, "iiii->i", PD_CALL_DEFERRED),
    WASI(fd_readdir, "iiiIi->i", PD_CALL_DEFERRED),
    WASI(fd_renumber, "ii->i", PD_CALL_DEFERRED),
    WASI(fd_seek, "iIii->i", PD_CALL_DEFERRED),
    WASI(fd_sync, "i->i", PD_CALL_DEFERRED),
    WASI(fd_tell, "ii->i", PD_CALL_DEFERRED),
    WASI(fd_write, "iiii->i", PD_CALL_DEFERRED),
    WASI(path_create_directory, "iii->i", PD_CALL_DEFERRED),
    WASI(path_filestat_get, "iiiii->i", PD_CALL_DEFERRED),
    WASI(path_filestat_set_times, "iiiiIIi->i", PD_CALL_DEFERRED),
    WASI(path_link, "iiiiiii->i", PD_CALL_DEFERRED),
    WASI(path_open, "iiiiiIIii->i", PD_CALL_DEFERRED),
    WASI(path_readlink, "iiiiii->i", PD_CALL_DEFERRED),
    WASI(path_remove_directory, "iii->i", PD_CALL_DEFERRED),
    WASI(path_rename, "iiiiii->i", PD_CALL_DEFERRED),
    WASI(path_symlink, "iiiii->i", PD_CALL_DEFERRED),
    WASI(path_unlink_file, "iii->i", PD_CALL_DEFERRED),
    WASI(poll_oneoff, "iiii->i", PD_CALL_DEFERRED),
    WASI(proc_exit, "i->", PD_CALL_DEFERRED),
    WASI(proc_raise, "i->i", PD_CALL_DEFERRED),
    WASI(random_get, "ii->i", PD_CALL_DEFERRED),
    WASI(sched_yield, "->i", PD_CALL_DEFERRED),
    WASI(sock_accept, "iii->i", PD_CALL_DEFERRED),
    WASI(sock_recv, "iiiiii->i", PD_CALL_DEFERRED),
    WASI(sock_send, "iiiii->i", PD_CALL_DEFERRED),
    WASI(sock_shutdown, "ii->i", PD_CALL_DEFERRED),
};

const size_t pd_wasi_import_count = sizeof pd_wasi_imports / sizeof pd_wasi_imports[0];

_Static_assert(sizeof pd_wasi_imports / sizeof pd_wasi_imports[0] == 46,
               "preview 1 has 46 functions");
