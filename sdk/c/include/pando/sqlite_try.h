/* sqlite_try - the databases of sqlite.h, where what fails is a code and not a trap, answers come
 * into room of the caller's own, and a database can be closed.
 *
 * Together   Databases, statements, lists and values are those of sqlite.h, and functions of both
 *            may be mixed. What is used of here alone needs no PANDO_SQLITE_ROOM.
 * Codes      SQLite's own; 0 is well. pando_sqlite_try_error has the words for the last of them.
 * Waiting    prepare, step and close suspend this process, never a thread; it can be killed then.
 * Ownership  A statement is the caller's until pando_sqlite_finalize. Rows and names lie in the
 *            room that was given, as long as the caller leaves it alone.
 * Traps      No such database or statement, memory out of bounds, a text that is not UTF-8, a row
 *            of more than 16 MiB. */
#ifndef PANDO_SQLITE_TRY_H
#define PANDO_SQLITE_TRY_H

#include "sqlite.h"

PANDO_IMPORT("pando::sqlite", "prepare")
uint32_t pando_import_sqlite_try_prepare(uint64_t database, const char *sql, uint32_t size,
                                         uint64_t *statement_out);
PANDO_IMPORT("pando::sqlite", "bind")
uint32_t pando_import_sqlite_try_bind(uint64_t statement, const void *list, uint32_t size);
PANDO_IMPORT("pando::sqlite", "step")
uint32_t pando_import_sqlite_try_step(uint64_t statement);
PANDO_IMPORT("pando::sqlite", "row")
uint32_t pando_import_sqlite_try_row(uint64_t statement, void *to, uint32_t room);
PANDO_IMPORT("pando::sqlite", "names")
uint32_t pando_import_sqlite_try_names(uint64_t statement, void *to, uint32_t room);
PANDO_IMPORT("pando::sqlite", "error")
uint32_t pando_import_sqlite_try_error(uint64_t database, char *to, uint32_t room);
PANDO_IMPORT("pando::sqlite", "close")
uint32_t pando_import_sqlite_close(uint64_t database);

/* What a program may want to tell apart, besides those of sqlite.h. */
#define PANDO_SQLITE_ERROR 1u       /* no SQL, or it names what is not there */
#define PANDO_SQLITE_NOMEM 7u       /* the limit of memory, of statements, or of a program */
#define PANDO_SQLITE_READONLY 8u    /* it may only be read */
#define PANDO_SQLITE_INTERRUPT 9u   /* it took more than 1,000,000,000 steps */
#define PANDO_SQLITE_IOERR 10u      /* a file could not be read or written */
#define PANDO_SQLITE_CORRUPT 11u    /* the file is damaged */
#define PANDO_SQLITE_TOOBIG 18u     /* a value or a text is too long */
#define PANDO_SQLITE_CONSTRAINT 19u /* a rule of the schema would be broken */
#define PANDO_SQLITE_MISUSE 21u     /* no reset between a step and a bind */
#define PANDO_SQLITE_AUTH 23u       /* Pando does not admit this */
#define PANDO_SQLITE_RANGE 25u      /* there is no such parameter */

/* The words of any error fit in here, with the zero behind them. */
#define PANDO_SQLITE_WORDS_SIZE 1201u

/* Prepare the first statement of a text of at most 1 MiB; 1,024 statements at most.
 * PANDO_SQLITE_OK: *statement_out is to be finalized. Else it is not written. */
static inline uint32_t pando_sqlite_try_prepare(uint64_t database, const char *sql,
                                                uint64_t *statement_out)
{
    return pando_import_sqlite_try_prepare(database, sql, pando_text_size(sql), statement_out);
}

/* Bind the list, before the first step or after pando_sqlite_reset; those before one that fails
 * stay bound. PANDO_SQLITE_TOOBIG without words: the list did not fit into its room, and nothing is
 * bound. */
static inline uint32_t pando_sqlite_try_bind(uint64_t statement, struct pando_sqlite_list *list)
{
    if (!pando_sqlite_list_end(list)) {
        return PANDO_SQLITE_TOOBIG;
    }
    return pando_import_sqlite_try_bind(statement, list->bytes, list->size);
}

/* PANDO_SQLITE_ROW: it is at a row. PANDO_SQLITE_DONE: there are no more. PANDO_SQLITE_BUSY:
 * another connection has a lock; step again. Others: it failed; the next step begins it anew. */
static inline uint32_t pando_sqlite_try_step(uint64_t statement)
{
    return pando_import_sqlite_try_step(statement);
}

/* The row that the statement is at, into `room` bytes at `to`; pando_sqlite_next gives its values.
 * *size_out is how many bytes it has. False: that is more than `room`, and nothing was written. */
static inline bool pando_sqlite_try_row(uint64_t statement, void *to, uint32_t room,
                                        struct pando_sqlite_row *row_out, uint32_t *size_out)
{
    *size_out = pando_import_sqlite_try_row(statement, to, room);
    if (*size_out > room) {
        return false;
    }
    row_out->at = (const uint8_t *)to;
    row_out->columns = (uint32_t)pando_sqlite_take_number(&row_out->at, 8);
    return true;
}

/* The names of the columns, likewise; pando_sqlite_next_name gives each. */
static inline bool pando_sqlite_try_names(uint64_t statement, void *to, uint32_t room,
                                          struct pando_sqlite_row *names_out, uint32_t *size_out)
{
    *size_out = pando_import_sqlite_try_names(statement, to, room);
    if (*size_out > room) {
        return false;
    }
    names_out->at = (const uint8_t *)to;
    names_out->columns = (uint32_t)pando_sqlite_take_number(&names_out->at, 8);
    return true;
}

/* The next name, of *size_out bytes without a zero behind them. NULL: there is none. */
static inline const char *pando_sqlite_next_name(struct pando_sqlite_row *names, uint32_t *size_out)
{
    if (names->columns == 0) {
        return NULL;
    }
    names->columns--;
    *size_out = (uint32_t)pando_sqlite_take_number(&names->at, 8);
    const char *name = (const char *)names->at;
    names->at += *size_out;
    return name;
}

/* Copy the words of what the last call on the database failed of into `to`, which has `room` bytes
 * (at least 1), ended by a zero. Returns their size; 0: it did not fail. Words that do not fit in
 * room - 1 bytes are replaced by ""; PANDO_SQLITE_WORDS_SIZE always does. */
static inline uint32_t pando_sqlite_try_error(uint64_t database, char *to, uint32_t room)
{
    uint32_t size = pando_import_sqlite_try_error(database, to, room - 1);
    to[size < room ? size : 0] = '\0';
    return size;
}

/* Close it before the process ends; a transaction that is open is rolled back. Its id is none then.
 * PANDO_SQLITE_BUSY: it has statements that are not finalized, and stays open. */
static inline uint32_t pando_sqlite_close(uint64_t database)
{
    return pando_import_sqlite_close(database);
}

#endif
