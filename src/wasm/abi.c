/* The list of all that guests may import. */
#include "wasm/abi_tables.h"
#include "wasm/wasi.h"
#include "wasm/wasm_process.h"

size_t pd_abi_tables(const struct pd_import_table **tables_out)
{
    /* Counts are constants of other files, so the list is filled in when it is asked for; always
     * the same. */
    static struct pd_import_table tables[22];
    size_t count = 0;
    tables[count++] =
        (struct pd_import_table){pd_lunatic_error_imports, pd_lunatic_error_import_count};
    tables[count++] =
        (struct pd_import_table){pd_lunatic_message_imports, pd_lunatic_message_import_count};
    tables[count++] =
        (struct pd_import_table){pd_lunatic_process_imports, pd_lunatic_process_import_count};
    tables[count++] =
        (struct pd_import_table){pd_lunatic_timer_imports, pd_lunatic_timer_import_count};
    tables[count++] =
        (struct pd_import_table){pd_lunatic_registry_imports, pd_lunatic_registry_import_count};
    tables[count++] =
        (struct pd_import_table){pd_lunatic_version_imports, pd_lunatic_version_import_count};
    tables[count++] =
        (struct pd_import_table){pd_lunatic_metrics_imports, pd_lunatic_metrics_import_count};
    tables[count++] =
        (struct pd_import_table){pd_lunatic_trap_imports, pd_lunatic_trap_import_count};
    tables[count++] =
        (struct pd_import_table){pd_lunatic_wasi_imports, pd_lunatic_wasi_import_count};
    tables[count++] =
        (struct pd_import_table){pd_lunatic_networking_imports, pd_lunatic_networking_import_count};
    tables[count++] =
        (struct pd_import_table){pd_lunatic_sqlite_imports, pd_lunatic_sqlite_import_count};
    tables[count++] = (struct pd_import_table){pd_lunatic_distributed_imports,
                                               pd_lunatic_distributed_import_count};
    tables[count++] =
        (struct pd_import_table){pd_pando_process_imports, pd_pando_process_import_count};
    tables[count++] =
        (struct pd_import_table){pd_pando_supervisor_imports, pd_pando_supervisor_import_count};
    tables[count++] =
        (struct pd_import_table){pd_pando_registry_imports, pd_pando_registry_import_count};
    tables[count++] = (struct pd_import_table){pd_pando_group_imports, pd_pando_group_import_count};
    tables[count++] = (struct pd_import_table){pd_pando_info_imports, pd_pando_info_import_count};
    tables[count++] = (struct pd_import_table){pd_pando_kv_imports, pd_pando_kv_import_count};
    tables[count++] =
        (struct pd_import_table){pd_pando_kv_watch_imports, pd_pando_kv_watch_import_count};
    tables[count++] =
        (struct pd_import_table){pd_pando_network_imports, pd_pando_network_import_count};
    tables[count++] =
        (struct pd_import_table){pd_pando_sqlite_imports, pd_pando_sqlite_import_count};
    tables[count++] = (struct pd_import_table){pd_wasi_imports, pd_wasi_import_count};
    *tables_out = tables;
    return count;
}
