#include "wasm/sqlite_engine.h"

#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/memory_budget.h"
#include "wasm/sqlite_vfs.h"

/* --- Accounts --------------------------------------------------------------------------------- */

struct pd_sqlite_account *pd_sqlite_account_create(uint64_t bytes_max, uint32_t files_max,
                                                   struct pd_memory_budget *budget)
{
    struct pd_sqlite_account *account = pd_alloc_zeroed(1, sizeof *account);
    if (account == NULL) {
        return NULL;
    }
    atomic_init(&account->references, 1);
    account->bytes_max = bytes_max;
    account->files_max = files_max;
    account->budget = budget;
    return account;
}

void pd_sqlite_account_retain(struct pd_sqlite_account *account)
{
    atomic_fetch_add_explicit(&account->references, 1, memory_order_relaxed);
}

void pd_sqlite_account_release(struct pd_sqlite_account *account)
{
    uint32_t before = atomic_fetch_sub_explicit(&account->references, 1, memory_order_acq_rel);
    pd_assert(before > 0);
    if (before == 1) {
        pd_assert(atomic_load(&account->bytes) == 0);
        pd_assert(atomic_load(&account->file_count) == 0);
        pd_free(account);
    }
}

bool pd_sqlite_account_take(struct pd_sqlite_account *account, uint64_t size)
{
    uint64_t before = atomic_fetch_add_explicit(&account->bytes, size, memory_order_relaxed);
    bool fits = before <= account->bytes_max && size <= account->bytes_max - before;
    if (fits && account->budget != NULL) {
        fits = pd_memory_budget_take(account->budget, PD_MEMORY_OTHER, size);
    }
    if (!fits) {
        (void)atomic_fetch_sub_explicit(&account->bytes, size, memory_order_relaxed);
    }
    return fits;
}

void pd_sqlite_account_give(struct pd_sqlite_account *account, uint64_t size)
{
    uint64_t before = atomic_fetch_sub_explicit(&account->bytes, size, memory_order_relaxed);
    pd_assert(before >= size);
    if (account->budget != NULL) {
        pd_memory_budget_give(account->budget, size);
    }
}

/* --- Scopes ----------------------------------------------------------------------------------- */

static _Thread_local struct pd_sqlite_scope *current;

void pd_sqlite_enter(struct pd_sqlite_scope *scope)
{
    pd_assert(current == NULL);
    scope->steps = 0;
    scope->is_timed = false;
    current = scope;
}

void pd_sqlite_leave(void)
{
    pd_assert(current != NULL);
    current = NULL;
}

struct pd_sqlite_scope *pd_sqlite_scope(void)
{
    return current;
}

bool pd_sqlite_is_over_steps(const struct pd_sqlite_scope *scope)
{
    return scope->steps > scope->steps_max;
}

bool pd_sqlite_charge(struct pd_sqlite_scope *scope, uint64_t steps)
{
    pd_assert(scope != NULL);
    scope->steps = steps < UINT64_MAX - scope->steps ? scope->steps + steps : UINT64_MAX;
    return !pd_sqlite_is_over_steps(scope) &&
           !atomic_load_explicit(&scope->is_cancelled, memory_order_relaxed);
}

/* --- SQLite's memory: each block after a head that says whose it is --------------------------- */

/* Bytes that take as long to make and fill as a step of SQLite's machine, at least. */
#define BYTES_PER_STEP 64u

struct block {
    struct pd_sqlite_account *account; /* a reference; NULL: SQLite's own, for the whole program */
    uint64_t size;
    _Alignas(16) uint8_t bytes[];
};

static struct block *block_of(void *bytes)
{
    return (struct block *)(void *)((uint8_t *)bytes - offsetof(struct block, bytes));
}

static void *memory_alloc(int size)
{
    struct pd_sqlite_account *account = current == NULL ? NULL : current->account;
    uint64_t whole = sizeof(struct block) + (uint64_t)(unsigned)size;
    if (current != NULL && !pd_sqlite_charge(current, whole / BYTES_PER_STEP)) {
        return NULL;
    }
    if (account != NULL && !pd_sqlite_account_take(account, whole)) {
        return NULL;
    }
    struct block *block = pd_alloc(whole);
    if (block == NULL) {
        if (account != NULL) {
            pd_sqlite_account_give(account, whole);
        }
        return NULL;
    }
    if (account != NULL) {
        pd_sqlite_account_retain(account);
    }
    block->account = account;
    block->size = (uint64_t)(unsigned)size;
    return block->bytes;
}

static void memory_free(void *bytes)
{
    if (bytes == NULL) {
        return;
    }
    struct block *block = block_of(bytes);
    struct pd_sqlite_account *account = block->account;
    uint64_t whole = sizeof *block + block->size;
    pd_free(block);
    if (account != NULL) {
        pd_sqlite_account_give(account, whole);
        pd_sqlite_account_release(account);
    }
}

static void *memory_realloc(void *bytes, int size)
{
    struct block *block = block_of(bytes);
    uint64_t before = block->size;
    uint64_t after = (uint64_t)(unsigned)size;
    struct pd_sqlite_account *account = block->account;
    if (current != NULL && after > before &&
        !pd_sqlite_charge(current, (after - before) / BYTES_PER_STEP)) {
        return NULL;
    }
    if (account != NULL && after > before && !pd_sqlite_account_take(account, after - before)) {
        return NULL;
    }
    struct block *moved = pd_realloc(block, sizeof *block + after);
    if (moved == NULL) {
        if (account != NULL && after > before) {
            pd_sqlite_account_give(account, after - before);
        }
        return NULL;
    }
    if (account != NULL && before > after) {
        pd_sqlite_account_give(account, before - after);
    }
    moved->size = after;
    return moved->bytes;
}

static int memory_size(void *bytes)
{
    return bytes == NULL ? 0 : (int)block_of(bytes)->size;
}

static int memory_roundup(int size)
{
    return size > INT32_MAX - 8 ? size : (size + 7) & ~7;
}

static int memory_init(void *context)
{
    (void)context;
    return SQLITE_OK;
}

static void memory_shutdown(void *context)
{
    (void)context;
}

/* --- Setting up ------------------------------------------------------------------------------- */

static enum pd_status configure(void)
{
    static const sqlite3_mem_methods memory = {
        .xMalloc = memory_alloc,
        .xFree = memory_free,
        .xRealloc = memory_realloc,
        .xSize = memory_size,
        .xRoundup = memory_roundup,
        .xInit = memory_init,
        .xShutdown = memory_shutdown,
    };
    /* Names are names: as URIs ("file:x?vfs=unix") they could choose another VFS. */
    bool is_set = sqlite3_threadsafe() != 0 &&
                  sqlite3_config(SQLITE_CONFIG_MULTITHREAD) == SQLITE_OK &&
                  sqlite3_config(SQLITE_CONFIG_URI, 0) == SQLITE_OK &&
                  sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) == SQLITE_OK &&
                  sqlite3_config(SQLITE_CONFIG_MMAP_SIZE, INT64_C(0), INT64_C(0)) == SQLITE_OK &&
                  sqlite3_config(SQLITE_CONFIG_MALLOC, &memory) == SQLITE_OK;
    return is_set ? PD_OK : PD_ERR_UNSUPPORTED;
}

enum pd_status pd_sqlite_start(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool is_started;
    pthread_mutex_lock(&lock);
    enum pd_status status = is_started ? PD_OK : configure();
    if (status == PD_OK && !is_started) {
        /* The default VFS too, so that nothing falls back on one that sees the whole machine. */
        is_started = sqlite3_initialize() == SQLITE_OK && pd_sqlite_vfs_register() == PD_OK;
        if (!is_started) {
            (void)sqlite3_shutdown();
            status = PD_ERR_NO_MEMORY;
        }
    }
    pthread_mutex_unlock(&lock);
    return status;
}
