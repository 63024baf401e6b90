/* abi_tables - the functions that guests may import, one table a file, gathered by abi.c
 * (pd_abi_tables).
 *
 * Rules    Of the guest ABI, for every table: a pointer out of bounds, invalid UTF-8 and an unknown
 *          resource id trap; pointer 0 is valid. An "R" function answers 0 and writes a u64, or
 *          answers 1 and writes an error id.
 * Kinds    SYNC where the work is a table look-up; ASYNC where it may wait; DEFERRED where it
 *          formats text, allocates by the guest's measure, wakes many, or asks the system. */
#ifndef PD_WASM_ABI_TABLES_H
#define PD_WASM_ABI_TABLES_H

#include <stddef.h>

#include "wasm/hostcall.h"

/* lunatic::*, Lunatic 0.13.2's 140 functions, the legacy registry::get_or_put_later, and behind a
 * function that had another signature before 0.13 its former version. */
extern const struct pd_import pd_lunatic_error_imports[];
extern const size_t pd_lunatic_error_import_count;
extern const struct pd_import pd_lunatic_message_imports[];
extern const size_t pd_lunatic_message_import_count;
extern const struct pd_import pd_lunatic_process_imports[];
extern const size_t pd_lunatic_process_import_count;
extern const struct pd_import pd_lunatic_timer_imports[];
extern const size_t pd_lunatic_timer_import_count;
extern const struct pd_import pd_lunatic_registry_imports[];
extern const size_t pd_lunatic_registry_import_count;
extern const struct pd_import pd_lunatic_version_imports[];
extern const size_t pd_lunatic_version_import_count;
extern const struct pd_import pd_lunatic_metrics_imports[];
extern const size_t pd_lunatic_metrics_import_count;
extern const struct pd_import pd_lunatic_trap_imports[];
extern const size_t pd_lunatic_trap_import_count;
extern const struct pd_import pd_lunatic_wasi_imports[];
extern const size_t pd_lunatic_wasi_import_count;

extern const struct pd_import pd_lunatic_networking_imports[];
extern const size_t pd_lunatic_networking_import_count;
extern const struct pd_import pd_lunatic_distributed_imports[];
extern const size_t pd_lunatic_distributed_import_count;

extern const struct pd_import pd_lunatic_sqlite_imports[];
extern const size_t pd_lunatic_sqlite_import_count;

/* pando::*. */
extern const struct pd_import pd_pando_process_imports[];
extern const size_t pd_pando_process_import_count;
extern const struct pd_import pd_pando_supervisor_imports[];
extern const size_t pd_pando_supervisor_import_count;
extern const struct pd_import pd_pando_registry_imports[];
extern const size_t pd_pando_registry_import_count;
extern const struct pd_import pd_pando_group_imports[];
extern const size_t pd_pando_group_import_count;
extern const struct pd_import pd_pando_info_imports[];
extern const size_t pd_pando_info_import_count;
extern const struct pd_import pd_pando_kv_imports[];
extern const size_t pd_pando_kv_import_count;
extern const struct pd_import pd_pando_kv_watch_imports[];
extern const size_t pd_pando_kv_watch_import_count;
extern const struct pd_import pd_pando_network_imports[];
extern const size_t pd_pando_network_import_count;
extern const struct pd_import pd_pando_sqlite_imports[];
extern const size_t pd_pando_sqlite_import_count;

#endif
