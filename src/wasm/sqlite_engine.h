/* sqlite_engine - SQLite as guests may use it: set up once for the program, its memory counted by
 * actor.
 *
 * Model      Every call into SQLite is made within a scope: pd_sqlite_enter, the call,
 *            pd_sqlite_leave, on one thread. What SQLite allocates meanwhile counts on the scope's
 *            account, and what it opens is opened in the scope's directories (sqlite_vfs.c). Memory
 *            and files remember their account, whatever frees them.
 * Bounds     An account's bytes and files. Beyond, SQLite answers that it has no memory, or cannot
 *            open a file. A scope's steps; memory counts as steps too, so that what allocates ends.
 * Threads    Any, one scope at a time on each. SQLite is set up without locks of its own around
 *            connections: one thread at a time uses one. */
#ifndef PD_WASM_SQLITE_ENGINE_H
#define PD_WASM_SQLITE_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/host.h"
#include "base/host_files.h"
#include "base/status.h"

struct pd_memory_budget;
struct pd_sqlite_place;
struct pd_wasi_config;

/* What one actor holds through SQLite. Lives as long as its owner and all that counts on it. */
struct pd_sqlite_account {
    atomic_uint_least32_t references;
    atomic_uint_least32_t file_count;
    atomic_uint_least64_t bytes;
    uint64_t bytes_max;
    uint32_t files_max;
    struct pd_memory_budget *budget; /* of all guests, or NULL; outlives it */
};

/* For whom SQLite works. Embedded in a connection. */
struct pd_sqlite_scope {
    struct pd_sqlite_account *account;
    struct pd_host *host;
    struct pd_wasi_config *directories;
    struct pd_sqlite_place *place; /* that the call under way holds, or NULL */
    atomic_bool is_cancelled;      /* its actor is gone: come to an end */
    uint64_t steps_max;            /* of one call; set before the first */
    uint64_t steps;                /* of the call under way, or of the last one */
    uint64_t asked_us;             /* of its thread, when SQLite asked whether it may go on */
    bool is_timed;                 /* it has asked in the call under way */
    enum pd_file_error file_error; /* of the last file that could not be opened */
};

/* The caller's reference. NULL: no memory. */
struct pd_sqlite_account *pd_sqlite_account_create(uint64_t bytes_max, uint32_t files_max,
                                                   struct pd_memory_budget *budget);
void pd_sqlite_account_retain(struct pd_sqlite_account *account);
void pd_sqlite_account_release(struct pd_sqlite_account *account);

/* Count bytes on the account. False: it, or all guests together, may not have so many. */
PD_NODISCARD bool pd_sqlite_account_take(struct pd_sqlite_account *account, uint64_t size);
void pd_sqlite_account_give(struct pd_sqlite_account *account, uint64_t size);

/* Set SQLite up, once. PD_ERR_NO_MEMORY: not now. PD_ERR_UNSUPPORTED: this library cannot be. */
PD_NODISCARD enum pd_status pd_sqlite_start(void);

/* Each call begins to count its steps anew. */
void pd_sqlite_enter(struct pd_sqlite_scope *scope);
void pd_sqlite_leave(void);

/* Count what the call under way does, in steps of SQLite's machine. False: it is cancelled or has
 * had its steps, and has to end. SQLite asks only where its programs jump back; asking where it
 * allocates too (the engine does) and in functions that run for long ends the rest. */
PD_NODISCARD bool pd_sqlite_charge(struct pd_sqlite_scope *scope, uint64_t steps);
bool pd_sqlite_is_over_steps(const struct pd_sqlite_scope *scope);

/* The scope of this thread, or NULL. */
struct pd_sqlite_scope *pd_sqlite_scope(void);

#endif
