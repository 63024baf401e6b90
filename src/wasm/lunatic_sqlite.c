/* lunatic::sqlite: known to every guest, not available in this build. Opening a database answers 1
 * with an error that says so; the rest traps, as for every unknown id: there can be no connection
 * and no statement. */
#include "wasm/abi_tables.h"
#include "wasm/wasm_process.h"

#define MODULE "lunatic::sqlite"
#define WHY "SQLite is not available in this build yet"

#define NO_SUCH(function, thing)                                                                   \
    static enum pd_call_result function(struct pd_call *call)                                      \
    {                                                                                              \
        return pd_call_trap(call, MODULE "::" #function ": no " thing " has this id: " WHY);       \
    }

static enum pd_call_result open_database(struct pd_call *call)
{
    if (pd_call_text(call, pd_call_u32(call, 0), pd_call_u32(call, 1), "path") == NULL) {
        return PD_CALL_TRAP;
    }
    return pd_call_error(call, pd_call_u32(call, 2), WHY ": cannot open a database");
}

NO_SUCH(query_prepare, "connection")
NO_SUCH(execute, "connection")
NO_SUCH(bind_value, "statement")
NO_SUCH(sqlite3_changes, "connection")
NO_SUCH(sqlite3_step, "statement")
NO_SUCH(statement_reset, "statement")
NO_SUCH(sqlite3_finalize, "statement")
NO_SUCH(column_count, "statement")
NO_SUCH(last_error, "connection")
NO_SUCH(read_column, "statement")
NO_SUCH(read_row, "statement")
NO_SUCH(column_names, "statement")
NO_SUCH(column_name, "statement")

#define ROW(function, signature)                                                                   \
    {                                                                                              \
        MODULE, #function, signature, PD_CALL_DEFERRED, function                                   \
    }

const struct pd_import pd_lunatic_sqlite_imports[] = {
    {MODULE, "open", "iii->I", PD_CALL_DEFERRED, open_database},
    ROW(query_prepare, "Iii->I"),
    ROW(execute, "Iii->i"),
    ROW(bind_value, "Iii->"),
    ROW(sqlite3_changes, "I->i"),
    ROW(sqlite3_step, "I->i"),
    ROW(statement_reset, "I->"),
    ROW(sqlite3_finalize, "I->"),
    ROW(column_count, "I->i"),
    ROW(last_error, "Ii->i"),
    ROW(read_column, "Iii->i"),
    ROW(read_row, "Ii->i"),
    ROW(column_names, "Ii->i"),
    ROW(column_name, "Iii->i"),
};
const size_t pd_lunatic_sqlite_import_count =
    sizeof pd_lunatic_sqlite_imports / sizeof pd_lunatic_sqlite_imports[0];
