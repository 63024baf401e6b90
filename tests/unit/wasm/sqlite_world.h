/* sqlite_world - actors with directories of their own that call lunatic::sqlite.
 *
 * base/data is ".", base/fixed is "fixed" and may only be read; base/outside is what nobody may
 * reach. The guest's memory: texts at 4096, blobs at 8192, answers come to 20000 ("lunatic_alloc"),
 * their length to 64, ids to 32. */
#ifndef PD_TEST_SQLITE_WORLD_H
#define PD_TEST_SQLITE_WORLD_H

#include "abi_actor.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#define SQLITE "lunatic::sqlite"
#define ID_AT 32u
#define LENGTH_AT 64u
#define TEXT_AT 4096u
#define LIST_AT 8192u
#define ANSWER_AT 20000u

#define CODE_OK 0u
#define CODE_ERROR 1u
#define CODE_BUSY 5u
#define CODE_NOMEM 7u
#define CODE_READONLY 8u
#define CODE_IOERR 10u
#define CODE_CORRUPT 11u
#define CODE_FULL 13u
#define CODE_CANTOPEN 14u
#define CODE_TOOBIG 18u
#define CODE_AUTH 23u
#define ROW 100u
#define DONE 101u

struct fixture {
    struct world world; /* first */
    char base[64];
    struct actor actor;
};

static inline void path_in(const struct fixture *f, char *to, size_t size, const char *name)
{
    (void)snprintf(to, size, "%s/%s", f->base, name);
}

static inline bool is_there(const struct fixture *f, const char *name)
{
    char path[256];
    struct stat status;
    path_in(f, path, sizeof path, name);
    return lstat(path, &status) == 0;
}

static inline void make_folder(const struct fixture *f, const char *name)
{
    char path[256];
    path_in(f, path, sizeof path, name);
    assert_int_equal(mkdir(path, 0777), 0);
}

static inline void make_file(const struct fixture *f, const char *name, const char *text)
{
    char path[256];
    path_in(f, path, sizeof path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static inline void copy_file(const struct fixture *f, const char *from, const char *to)
{
    char path[256];
    uint8_t bytes[65536];
    path_in(f, path, sizeof path, from);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    assert_int_equal(fclose(file), 0);
    path_in(f, path, sizeof path, to);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline void add_directory(struct pd_rights *rights, const struct fixture *f,
                                 const char *name, const char *guest_path,
                                 enum pd_wasi_access access)
{
    char path[256];
    char why[256] = "";
    path_in(f, path, sizeof path, name);
    assert_int_equal(
        pd_wasi_config_add_directory(rights->wasi, path, guest_path, access, why, sizeof why),
        PD_OK);
}

static inline struct actor spawn_with_memory(struct fixture *f, uint64_t memory_bytes_max)
{
    struct pd_rights *rights = world_rights(&f->world);
    rights->memory_bytes_max = memory_bytes_max;
    add_directory(rights, f, "data", ".", PD_WASI_READ_WRITE);
    add_directory(rights, f, "fixed", "fixed", PD_WASI_READ);
    struct actor actor = actor_spawn_with(&f->world, rights);
    pd_rights_release(rights);
    return actor;
}

static inline struct actor spawn(struct fixture *f)
{
    return spawn_with_memory(f, UINT64_C(64) << 20);
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pd_runtime_config config = world_config();
    (void)snprintf(f->base, sizeof f->base, "/tmp/pando-sqlite-XXXXXX");
    assert_non_null(mkdtemp(f->base));
    make_folder(f, "data");
    make_folder(f, "fixed");
    make_folder(f, "outside");
    world_open(&f->world, &config);
    memset(&fake_nested, 0, sizeof fake_nested);
    fake_nested.is_ok = true;
    fake_nested.value = ANSWER_AT;
    f->actor = spawn(f);
    *state = f;
    return 0;
}

static inline int remove_entry(const char *path, const struct stat *status, int type,
                               struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    world_close(&f->world);
    assert_int_equal(nftw(f->base, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(f);
    return 0;
}

/* --- Calls ------------------------------------------------------------------------------------ */

/* 0 and the connection, or 1 and an error: both at ID_AT. */
static inline uint64_t open_as(struct actor *actor, const char *path)
{
    uint32_t size = actor_put(actor, TEXT_AT, path);
    return CALL(actor, SQLITE, "open", TEXT_AT, size, ID_AT);
}

static inline uint64_t open_database(struct actor *actor, const char *path)
{
    assert_int_equal(open_as(actor, path), 0);
    return actor_u64(actor, ID_AT);
}

static inline void check_error(struct actor *actor, const char *part)
{
    assert_says(actor_error_text(actor, actor_u64(actor, ID_AT), TEXT_AT), part);
}

static inline void refuse_open(struct actor *actor, const char *path, const char *part)
{
    if (open_as(actor, path) != 1) {
        print_error("'%s' was opened\n", path);
        fail();
    }
    check_error(actor, part);
}

static inline uint32_t execute(struct actor *actor, uint64_t connection, const char *sql)
{
    uint32_t size = actor_put(actor, TEXT_AT, sql);
    return (uint32_t)CALL(actor, SQLITE, "execute", connection, TEXT_AT, size);
}

static inline void must(struct actor *actor, uint64_t connection, const char *sql)
{
    uint32_t code = execute(actor, connection, sql);
    if (code != CODE_OK) {
        print_error("code %u of: %s\n", code, sql);
    }
    assert_int_equal(code, CODE_OK);
}

static inline uint64_t prepare(struct actor *actor, uint64_t connection, const char *sql)
{
    uint32_t size = actor_put(actor, TEXT_AT, sql);
    return CALL(actor, SQLITE, "query_prepare", connection, TEXT_AT, size);
}

static inline uint32_t step(struct actor *actor, uint64_t statement)
{
    return (uint32_t)CALL(actor, SQLITE, "sqlite3_step", statement);
}

static inline void finalize(struct actor *actor, uint64_t statement)
{
    (void)CALL(actor, SQLITE, "sqlite3_finalize", statement);
}

/* The answer of a function that allocates: its bytes are at ANSWER_AT. */
#define ANSWER(actor, ...) answer_size(actor, CALL(actor, SQLITE, __VA_ARGS__))

static inline uint32_t answer_size(struct actor *actor, uint64_t address)
{
    assert_int_equal(address, ANSWER_AT);
    assert_string_equal(fake_nested.name, "lunatic_alloc");
    assert_int_equal(fake_nested.count, 1);
    assert_int_equal(fake_nested.arguments[0], actor_u64(actor, LENGTH_AT));
    return (uint32_t)actor_u64(actor, LENGTH_AT);
}

/* One number that a query gives. */
static inline int64_t number_of(struct actor *actor, uint64_t connection, const char *sql)
{
    uint64_t statement = prepare(actor, connection, sql);
    assert_int_equal(step(actor, statement), ROW);
    assert_int_equal(ANSWER(actor, "read_column", statement, 0, LENGTH_AT), 12);
    assert_int_equal(pd_get_u32(actor_memory(actor, ANSWER_AT)), 4);
    int64_t number = (int64_t)pd_get_u64(actor_memory(actor, ANSWER_AT + 4));
    finalize(actor, statement);
    return number;
}

/* The message of the last error of a connection; its code. */
static inline uint32_t last_error(struct actor *actor, uint64_t connection, const char *part)
{
    uint32_t size = ANSWER(actor, "last_error", connection, LENGTH_AT);
    const uint8_t *bytes = actor_memory(actor, ANSWER_AT);
    assert_int_equal(bytes[0], 1);
    assert_int_equal(bytes[5], 1);
    assert_int_equal(pd_get_u64(bytes + 6), size - 14);
    char text[512];
    assert_true(size - 14 < sizeof text);
    memcpy(text, bytes + 14, size - 14);
    text[size - 14] = '\0';
    assert_says(text, part);
    return pd_get_u32(bytes + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
