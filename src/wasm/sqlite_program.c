#include "wasm/sqlite_program.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "wasm/sqlite_wire.h"

/* So much memory of a statement are 512 instructions at most. */
#define SHORT_PROGRAM_SIZE ((size_t)512 * 24)
#define EXPLAIN "EXPLAIN "

/* Columns of EXPLAIN's rows. */
#define OPCODE 1
#define P1 2
#define P2 3
#define P3 4
#define P4 5

/* Passes through a text of an operand, each: both as a number, twice, then as an integer, which
 * takes as long as two. In order, for bsearch. What only hands a text on counts for the function of
 * many arguments that may compare it with the others. What is not here reads no text to its end, or
 * allocates. */
struct reader {
    const char *opcode;
    uint32_t passes;
};

static const struct reader readers[] = {
    {"Add", 8},       {"AddImm", 2},     {"AggFinal", 3}, {"AggInverse", 3}, {"AggStep", 3},
    {"AggStep1", 3},  {"AggValue", 3},   {"And", 2},      {"BitAnd", 4},     {"BitNot", 2},
    {"BitOr", 4},     {"Cast", 3},       {"Compare", 1},  {"Divide", 8},     {"Eq", 1},
    {"Found", 4},     {"Function", 3},   {"Ge", 1},       {"Gt", 1},         {"IdxGE", 4},
    {"IdxGT", 4},     {"IdxLE", 4},      {"IdxLT", 4},    {"If", 1},         {"IfNot", 1},
    {"IsTrue", 1},    {"Le", 1},         {"Lt", 1},       {"Multiply", 8},   {"MustBeInt", 2},
    {"Ne", 1},        {"NoConflict", 4}, {"Not", 1},      {"NotExists", 2},  {"NotFound", 4},
    {"Or", 2},        {"Param", 1},      {"PureFunc", 3}, {"Remainder", 8},  {"SCopy", 1},
    {"SeekGE", 4},    {"SeekGT", 4},     {"SeekLE", 4},   {"SeekLT", 4},     {"SeekRowid", 2},
    {"ShiftLeft", 4}, {"ShiftRight", 4}, {"Subtract", 8},
};

static int compare_opcodes(const void *key, const void *entry)
{
    return strcmp(key, ((const struct reader *)entry)->opcode);
}

static uint32_t passes_of_opcode(const char *opcode)
{
    const struct reader *reader = bsearch(opcode, readers, sizeof readers / sizeof readers[0],
                                          sizeof readers[0], compare_opcodes);
    return reader == NULL ? 0 : reader->passes;
}

/* Columns that are made numbers, if they can be: 'C' is NUMERIC, 'D' INTEGER, 'E' REAL. */
static uint32_t passes_of_affinity(const char *affinity)
{
    uint32_t passes = 0;
    for (; affinity != NULL && *affinity != '\0'; affinity++) {
        passes += *affinity >= 'C' ? 2 : 0;
    }
    return passes;
}

/* Whether what an instruction puts into its register P2 is no text, or one that is written out in
 * the statement for it alone. */
static bool is_constant(const char *opcode)
{
    static const char *const constants[] = {"Blob", "Int64", "Integer", "Null", "Real", "String8"};
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++) {
        if (strcmp(opcode, constants[i]) == 0) {
            return true;
        }
    }
    return false;
}

struct tally {
    uint64_t passes;
    int fresh_register; /* the instruction before put there what nobody has read, or -1 */
    uint8_t seen[(PD_SQLITE_BINDS_MAX + 8) / 8]; /* parameters, a bit each */
};

static const char *text_of(sqlite3_stmt *list, int column)
{
    return (const char *)sqlite3_column_text(list, column);
}

static bool is_first_use(struct tally *tally, int parameter)
{
    pd_assert(parameter >= 0 && (uint32_t)parameter <= PD_SQLITE_BINDS_MAX);
    uint8_t *byte = &tally->seen[parameter / 8];
    uint8_t bit = (uint8_t)(1u << (parameter % 8));
    bool is_first = (*byte & bit) == 0;
    *byte |= bit;
    return is_first;
}

/* One element after the other of a long "x IN (1, 2, ?)" becomes a record: each is read once. */
static void count(struct tally *tally, sqlite3_stmt *list, const char *opcode)
{
    bool is_fresh = is_constant(opcode);
    if (strcmp(opcode, "Variable") == 0) {
        is_fresh = is_first_use(tally, sqlite3_column_int(list, P1));
        tally->passes += is_fresh ? 0 : 1;
    } else if (strcmp(opcode, "Copy") == 0) { /* of registers, each with a text of its own then */
        tally->passes += 2 * ((uint64_t)sqlite3_column_int64(list, P3) + 1);
    } else if (strcmp(opcode, "Affinity") == 0 ||
               (strcmp(opcode, "MakeRecord") == 0 &&
                sqlite3_column_int(list, P1) != tally->fresh_register)) {
        tally->passes += passes_of_affinity(text_of(list, P4));
    } else {
        tally->passes += passes_of_opcode(opcode);
    }
    tally->fresh_register = is_fresh ? sqlite3_column_int(list, P2) : -1;
}

static int count_all(sqlite3_stmt *list)
{
    struct tally tally = {.fresh_register = -1};
    int code = SQLITE_ROW;
    while (tally.passes <= PD_SQLITE_PASSES_MAX && (code = sqlite3_step(list)) == SQLITE_ROW) {
        const char *opcode = text_of(list, OPCODE);
        if (opcode == NULL) {
            return SQLITE_NOMEM;
        }
        count(&tally, list, opcode);
    }
    if (tally.passes > PD_SQLITE_PASSES_MAX) {
        return SQLITE_TOOBIG;
    }
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* SQLite holds the text too: that may be blanks and comments, or one long literal. */
static bool is_short(sqlite3_stmt *statement, size_t sql_size)
{
    int bytes = sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_MEMUSED, 0);
    return (size_t)bytes < SHORT_PROGRAM_SIZE + sql_size;
}

static int list_program(sqlite3 *database, const char *sql, sqlite3_stmt **list_out)
{
    char *explain = sqlite3_mprintf(EXPLAIN "%s", sql);
    if (explain == NULL) {
        return SQLITE_NOMEM;
    }
    int size_max = sqlite3_limit(database, SQLITE_LIMIT_SQL_LENGTH, -1);
    (void)sqlite3_limit(database, SQLITE_LIMIT_SQL_LENGTH, size_max + (int)sizeof EXPLAIN);
    int code = sqlite3_prepare_v2(database, explain, -1, list_out, NULL);
    (void)sqlite3_limit(database, SQLITE_LIMIT_SQL_LENGTH, size_max);
    sqlite3_free(explain);
    return code;
}

int pd_sqlite_program_judge(sqlite3_stmt *statement)
{
    const char *sql = sqlite3_sql(statement);
    int explains = sqlite3_stmt_isexplain(statement);
    if (explains == 1) {
        return SQLITE_AUTH;
    }
    if (sql == NULL || explains != 0 || is_short(statement, strlen(sql))) {
        return SQLITE_OK; /* EXPLAIN QUERY PLAN runs nothing, and its words are its own */
    }
    sqlite3_stmt *list = NULL;
    int code = list_program(sqlite3_db_handle(statement), sql, &list);
    if (code == SQLITE_OK) {
        code = count_all(list);
    }
    (void)sqlite3_finalize(list);
    return code;
}
