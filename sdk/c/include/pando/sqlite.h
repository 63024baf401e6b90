/* sqlite - databases in the directories of this process, by SQLite.
 *
 * Where      In what was given with --dir (or the application file): each file of a database is
 *            found there and nowhere else. "" is a temporary database, ":memory:" one in memory;
 *            those need no directory. A database stays open until the process ends, or
 *            pando_sqlite_close (sqlite_try.h); 16 at most.
 * Waiting    A call suspends this process, never a thread. Who holds a lock makes others fail with
 *            PANDO_SQLITE_BUSY at once, or after `PRAGMA busy_timeout` (at most 1,000 ms).
 * Answers    Rows, names and errors come to the one room that PANDO_SQLITE_ROOM makes, and are good
 *            until the next of them. Once in a program:
 *
 *              PANDO_SQLITE_ROOM(65536)
 *
 * Codes      SQLite's own (sqlite.org/rescode.html); 0 is well.
 * Traps      SQL that cannot be prepared, a step that fails, a parameter that is not there, an
 *            answer larger than the room. Where that can happen to a correct program, use
 *            pando_sqlite_execute, or the functions of sqlite_try.h. */
#ifndef PANDO_SQLITE_H
#define PANDO_SQLITE_H

#include "error.h"

PANDO_IMPORT("lunatic::sqlite", "open")
uint64_t pando_import_sqlite_open(const char *path, uint32_t size, uint64_t *id_out);
PANDO_IMPORT("lunatic::sqlite", "query_prepare")
uint64_t pando_import_sqlite_prepare(uint64_t database, const char *sql, uint32_t size);
PANDO_IMPORT("lunatic::sqlite", "execute")
uint32_t pando_import_sqlite_execute(uint64_t database, const char *sql, uint32_t size);
PANDO_IMPORT("lunatic::sqlite", "bind_value")
void pando_import_sqlite_bind(uint64_t statement, const void *list, uint32_t size);
PANDO_IMPORT("lunatic::sqlite", "sqlite3_changes")
uint32_t pando_import_sqlite_changes(uint64_t database);
PANDO_IMPORT("lunatic::sqlite", "sqlite3_step")
uint32_t pando_import_sqlite_step(uint64_t statement);
PANDO_IMPORT("lunatic::sqlite", "statement_reset")
void pando_import_sqlite_reset(uint64_t statement);
PANDO_IMPORT("lunatic::sqlite", "sqlite3_finalize")
void pando_import_sqlite_finalize(uint64_t statement);
PANDO_IMPORT("lunatic::sqlite", "column_count")
uint32_t pando_import_sqlite_column_count(uint64_t statement);
PANDO_IMPORT("lunatic::sqlite", "last_error")
const uint8_t *pando_import_sqlite_last_error(uint64_t database, uint64_t *size_out);
PANDO_IMPORT("lunatic::sqlite", "read_column")
const uint8_t *pando_import_sqlite_read_column(uint64_t statement, uint32_t column,
                                               uint64_t *size_out);
PANDO_IMPORT("lunatic::sqlite", "read_row")
const uint8_t *pando_import_sqlite_read_row(uint64_t statement, uint64_t *size_out);
PANDO_IMPORT("lunatic::sqlite", "column_name")
const char *pando_import_sqlite_column_name(uint64_t statement, uint32_t column,
                                            uint64_t *size_out);

/* Where answers go: `room` bytes, used anew for each. */
#define PANDO_SQLITE_ROOM(room)                                                                    \
    static uint8_t pando_sqlite_room[room];                                                        \
    PANDO_EXPORT("lunatic_alloc") void *pando_sqlite_alloc(uint32_t size);                         \
    void *pando_sqlite_alloc(uint32_t size)                                                        \
    {                                                                                              \
        if (size > sizeof pando_sqlite_room) {                                                     \
            __builtin_trap();                                                                      \
        }                                                                                          \
        return pando_sqlite_room;                                                                  \
    }

#define PANDO_SQLITE_OK 0u
#define PANDO_SQLITE_BUSY 5u
#define PANDO_SQLITE_FULL 13u
#define PANDO_SQLITE_ROW 100u
#define PANDO_SQLITE_DONE 101u

enum pando_sqlite_type {
    PANDO_SQLITE_NULL = 0,
    PANDO_SQLITE_BLOB = 1,
    PANDO_SQLITE_TEXT = 2,
    PANDO_SQLITE_DOUBLE = 3,
    PANDO_SQLITE_INTEGER = 4
};

/* A value of a row. Bytes are in the room; a text has no zero behind it. */
struct pando_sqlite_value {
    enum pando_sqlite_type type;
    int64_t integer;
    double real;
    const uint8_t *bytes; /* of a blob or a text */
    uint32_t size;
};

struct pando_sqlite_row {
    const uint8_t *at;
    uint32_t columns; /* that pando_sqlite_next still gives */
};

/* Values for the parameters of a statement, in turn: the first for the first. */
struct pando_sqlite_list {
    uint8_t *bytes; /* of the caller */
    uint32_t room;
    uint32_t size;
    uint32_t count;
    bool is_full; /* something did not fit: nothing will be bound */
};

/* PANDO_ERROR: *database_out is an error: no such directory or right, no database, too many. */
static inline enum pando_result pando_sqlite_open(const char *path, uint64_t *database_out)
{
    return pando_import_sqlite_open(path, pando_text_size(path), database_out) == 0 ? PANDO_OK
                                                                                    : PANDO_ERROR;
}

/* All statements of a text, without their rows. Returns the code of the first that fails. */
static inline uint32_t pando_sqlite_execute(uint64_t database, const char *sql)
{
    return pando_import_sqlite_execute(database, sql, pando_text_size(sql));
}

/* The first statement of a text, to be finalized. Traps: it is no SQL, names what is not there. */
static inline uint64_t pando_sqlite_prepare(uint64_t database, const char *sql)
{
    return pando_import_sqlite_prepare(database, sql, pando_text_size(sql));
}

/* PANDO_SQLITE_ROW or PANDO_SQLITE_DONE. Traps: it fails. */
static inline uint32_t pando_sqlite_step(uint64_t statement)
{
    return pando_import_sqlite_step(statement);
}

/* Back to before the first row; what is bound stays. */
static inline void pando_sqlite_reset(uint64_t statement)
{
    pando_import_sqlite_reset(statement);
}

static inline void pando_sqlite_finalize(uint64_t statement)
{
    pando_import_sqlite_finalize(statement);
}

/* Rows that the last INSERT, UPDATE or DELETE changed. */
static inline uint32_t pando_sqlite_changes(uint64_t database)
{
    return pando_import_sqlite_changes(database);
}

static inline uint32_t pando_sqlite_column_count(uint64_t statement)
{
    return pando_import_sqlite_column_count(statement);
}

/* --- Parameters ------------------------------------------------------------------------------- */

static inline void pando_sqlite_put_number(struct pando_sqlite_list *list, uint64_t value,
                                           uint32_t size)
{
    if (list->is_full || size > list->room - list->size) {
        list->is_full = true;
        return;
    }
    for (uint32_t i = 0; i < size; i++) {
        list->bytes[list->size++] = (uint8_t)(value >> (8 * i));
    }
}

/* An empty list in `room` bytes (at least 8). */
static inline struct pando_sqlite_list pando_sqlite_list(void *bytes, uint32_t room)
{
    struct pando_sqlite_list list = {.bytes = (uint8_t *)bytes, .room = room};
    pando_sqlite_put_number(&list, 0, 8); /* the count, when it is known */
    return list;
}

static inline void pando_sqlite_add_type(struct pando_sqlite_list *list, uint32_t type)
{
    list->count++;
    pando_sqlite_put_number(list, 0, 4); /* no key: the next one */
    pando_sqlite_put_number(list, type, 4);
}

static inline void pando_sqlite_add_null(struct pando_sqlite_list *list)
{
    pando_sqlite_add_type(list, PANDO_SQLITE_NULL);
}

static inline void pando_sqlite_add_int(struct pando_sqlite_list *list, int64_t value)
{
    pando_sqlite_add_type(list, 5);
    pando_sqlite_put_number(list, (uint64_t)value, 8);
}

static inline void pando_sqlite_add_double(struct pando_sqlite_list *list, double value)
{
    union {
        double real;
        uint64_t bits;
    } both = {.real = value};
    pando_sqlite_add_type(list, PANDO_SQLITE_DOUBLE);
    pando_sqlite_put_number(list, both.bits, 8);
}

static inline void pando_sqlite_add_bytes(struct pando_sqlite_list *list,
                                          enum pando_sqlite_type type, const void *bytes,
                                          uint32_t size)
{
    pando_sqlite_add_type(list, type);
    pando_sqlite_put_number(list, size, 8);
    if (list->is_full || size > list->room - list->size) {
        list->is_full = true;
        return;
    }
    for (uint32_t i = 0; i < size; i++) {
        list->bytes[list->size++] = ((const uint8_t *)bytes)[i];
    }
}

static inline void pando_sqlite_add_blob(struct pando_sqlite_list *list, const void *bytes,
                                         uint32_t size)
{
    pando_sqlite_add_bytes(list, PANDO_SQLITE_BLOB, bytes, size);
}

static inline void pando_sqlite_add_text(struct pando_sqlite_list *list, const char *text)
{
    pando_sqlite_add_bytes(list, PANDO_SQLITE_TEXT, text, pando_text_size(text));
}

/* Write the count in front of the values. False: they did not fit into the room. */
static inline bool pando_sqlite_list_end(struct pando_sqlite_list *list)
{
    if (list->is_full) {
        return false;
    }
    for (uint32_t i = 0; i < 8; i++) {
        list->bytes[i] = (uint8_t)((uint64_t)list->count >> (8 * i));
    }
    return true;
}

/* Bind the list. False: it did not fit into its room. Traps: there are fewer parameters, a text is
 * not UTF-8, or the statement is in the middle of its rows (pando_sqlite_reset). */
static inline bool pando_sqlite_bind(uint64_t statement, struct pando_sqlite_list *list)
{
    if (!pando_sqlite_list_end(list)) {
        return false;
    }
    pando_import_sqlite_bind(statement, list->bytes, list->size);
    return true;
}

/* --- Answers ---------------------------------------------------------------------------------- */

static inline uint64_t pando_sqlite_take_number(const uint8_t **at, uint32_t size)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < size; i++) {
        value |= (uint64_t)(*at)[i] << (8 * i);
    }
    *at += size;
    return value;
}

static inline struct pando_sqlite_value pando_sqlite_take_value(const uint8_t **at)
{
    struct pando_sqlite_value value = {.type =
                                           (enum pando_sqlite_type)pando_sqlite_take_number(at, 4)};
    union {
        uint64_t bits;
        double real;
    } both;
    switch (value.type) {
    case PANDO_SQLITE_NULL:
        break;
    case PANDO_SQLITE_BLOB:
    case PANDO_SQLITE_TEXT:
        value.size = (uint32_t)pando_sqlite_take_number(at, 8);
        value.bytes = *at;
        *at += value.size;
        break;
    case PANDO_SQLITE_DOUBLE:
        both.bits = pando_sqlite_take_number(at, 8);
        value.real = both.real;
        break;
    case PANDO_SQLITE_INTEGER:
        value.integer = (int64_t)pando_sqlite_take_number(at, 8);
        break;
    }
    return value;
}

/* The row that the statement is at. */
static inline struct pando_sqlite_row pando_sqlite_read_row(uint64_t statement)
{
    uint64_t size = 0;
    struct pando_sqlite_row row = {.at = pando_import_sqlite_read_row(statement, &size)};
    row.columns = (uint32_t)pando_sqlite_take_number(&row.at, 8);
    return row;
}

/* Its next value. False: there is none. */
static inline bool pando_sqlite_next(struct pando_sqlite_row *row,
                                     struct pando_sqlite_value *value_out)
{
    if (row->columns == 0) {
        return false;
    }
    row->columns--;
    *value_out = pando_sqlite_take_value(&row->at);
    return true;
}

/* One column of the row that the statement is at. Traps: there is no such column. */
static inline struct pando_sqlite_value pando_sqlite_read_column(uint64_t statement,
                                                                 uint32_t column)
{
    uint64_t size = 0;
    const uint8_t *at = pando_import_sqlite_read_column(statement, column, &size);
    return pando_sqlite_take_value(&at);
}

/* The name of a column, without a zero behind it. Traps: there is no such column. */
static inline const char *pando_sqlite_column_name(uint64_t statement, uint32_t column,
                                                   uint32_t *size_out)
{
    uint64_t size = 0;
    const char *name = pando_import_sqlite_column_name(statement, column, &size);
    *size_out = (uint32_t)size;
    return name;
}

/* What the last call on the database failed of: its code, and words without a zero behind them.
 * PANDO_SQLITE_OK: it did not fail, and there are no words. */
static inline uint32_t pando_sqlite_last_error(uint64_t database, const char **text_out,
                                               uint32_t *size_out)
{
    uint64_t size = 0;
    const uint8_t *at = pando_import_sqlite_last_error(database, &size);
    uint32_t code = PANDO_SQLITE_OK;
    *size_out = 0;
    if (pando_sqlite_take_number(&at, 1) == 1) {
        code = (uint32_t)pando_sqlite_take_number(&at, 4);
    }
    if (pando_sqlite_take_number(&at, 1) == 1) {
        *size_out = (uint32_t)pando_sqlite_take_number(&at, 8);
    }
    *text_out = (const char *)at;
    return code;
}

#endif
