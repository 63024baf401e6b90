/* What SQL cannot do: leave the actor's directories, load code, change the node, take more than its
 * share, or harm anybody by how it ends. */
#include "sqlite_world.h"

#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/memory_budget.h"
#include "wasm/sqlite_connection.h"

/* --- Names ------------------------------------------------------------------------------------ */

static void no_name_leads_out(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    char path[256];
    char absolute[256];
    uint64_t c = open_database(actor, "seed.db");
    must(actor, c, "CREATE TABLE t(x); INSERT INTO t VALUES (77)");
    copy_file(f, "data/seed.db", "outside/secret.db");
    path_in(f, path, sizeof path, "data/link.db");
    assert_int_equal(symlink("../outside/secret.db", path), 0);
    path_in(f, path, sizeof path, "data/inner.db");
    assert_int_equal(symlink("seed.db", path), 0);
    path_in(f, path, sizeof path, "data/dangling.db");
    assert_int_equal(symlink("../outside/made.db", path), 0);
    path_in(f, path, sizeof path, "data/folder");
    assert_int_equal(symlink("../outside", path), 0);
    path_in(f, absolute, sizeof absolute, "outside/secret.db");
    const char *const names[] = {
        "../outside/secret.db",
        "./../outside/secret.db",
        "fixed/../../outside/secret.db",
        "link.db",
        "dangling.db",
        "folder/secret.db",
        "folder/made.db",
        "..",
        ".",
        "/",
        "/..",
        "fixed",
        absolute,
        "/proc/self/mem",
        "seed.db/",
        "/etc/passwd",
        "inner.db",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        refuse_open(actor, names[i], names[i]);
        char sql[512];
        (void)snprintf(sql, sizeof sql, "ATTACH '%s' AS a", names[i]);
        assert_int_equal(execute(actor, c, sql), CODE_CANTOPEN);
        (void)snprintf(sql, sizeof sql, "VACUUM INTO '%s'", names[i]);
        assert_int_not_equal(execute(actor, c, sql), CODE_OK);
    }
    assert_false(is_there(f, "outside/made.db"));
    assert_false(is_there(f, "outside/secret.db-journal"));
    /* Names that would be URIs are names. */
    path_in(f, absolute, sizeof absolute, "outside/secret.db");
    (void)snprintf(path, sizeof path, "file:%.200s?vfs=unix&mode=ro", absolute);
    refuse_open(actor, path, "unable to open");
    c = open_database(actor, "file:seed.db?mode=ro");
    must(actor, c, "CREATE TABLE u(x)");
    assert_true(is_there(f, "data/file:seed.db?mode=ro"));
}

static void only_regular_files_are_databases(void **state)
{
    struct fixture *f = *state;
    char path[256];
    path_in(f, path, sizeof path, "data/pipe");
    assert_int_equal(mkfifo(path, 0666), 0);
    refuse_open(&f->actor, "pipe", "pipe");
    make_folder(f, "data/dir");
    refuse_open(&f->actor, "dir", "dir");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%.60s/data/socket", f->base);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    refuse_open(&f->actor, "socket", "socket");
    assert_int_equal(close(fd), 0);
}

static void a_process_without_directories_has_databases_in_memory(void **state)
{
    struct fixture *f = *state;
    struct actor actor = actor_spawn(&f->world);
    refuse_open(&actor, "a.db", "no directory of this process covers 'a.db'");
    uint64_t c = open_database(&actor, "");
    must(&actor, c, "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    assert_int_equal(execute(&actor, c, "ATTACH 'a.db' AS a"), CODE_CANTOPEN);
    assert_int_equal(number_of(&actor, c, "SELECT x FROM t"), 1);
}

static void a_directory_to_read_is_only_read(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t c = open_database(actor, "seed.db");
    must(actor, c, "CREATE TABLE t(x); INSERT INTO t VALUES (77)");
    copy_file(f, "data/seed.db", "fixed/a.db");
    c = open_database(actor, "fixed/a.db");
    assert_int_equal(number_of(actor, c, "SELECT x FROM t"), 77);
    assert_int_equal(execute(actor, c, "INSERT INTO t VALUES (1)"), CODE_READONLY);
    assert_int_equal(execute(actor, c, "PRAGMA journal_mode=WAL; PRAGMA user_version=4"),
                     CODE_READONLY);
    refuse_open(actor, "fixed/new.db", "unable to open");
    assert_int_equal(execute(actor, c, "VACUUM INTO 'fixed/new.db'"), CODE_CANTOPEN);
    must(actor, c, "VACUUM INTO 'copy.db'");
    char path[256];
    path_in(f, path, sizeof path, "fixed");
    DIR *dir = opendir(path);
    uint32_t count = 0;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        count++;
    }
    assert_int_equal(closedir(dir), 0);
    assert_int_equal(count, 3); /* ".", ".." and the database */
}

static void attached_databases_are_in_the_directories_too(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t c = open_database(actor, "a.db");
    must(actor, c, "ATTACH 'b.db' AS b; CREATE TABLE b.t(x); INSERT INTO b.t VALUES (5)");
    must(actor, c, "ATTACH '' AS c; ATTACH ':memory:' AS d; ATTACH 'b.db' AS e");
    assert_int_equal(execute(actor, c, "ATTACH 'f.db' AS f"), CODE_ERROR);
    assert_int_equal(last_error(actor, c, "too many attached"), CODE_ERROR);
    /* Both files in one transaction, which takes a journal of its own. */
    must(actor, c,
         "DETACH e; DETACH d; DETACH c; CREATE TABLE t(x); BEGIN; INSERT INTO t VALUES (1);"
         "INSERT INTO b.t VALUES (2); COMMIT");
    assert_int_equal(number_of(actor, c, "SELECT (SELECT sum(x) FROM t) * 100 + sum(x) FROM b.t"),
                     107);
    assert_int_equal(number_of(actor, c,
                               "SELECT count(*) FROM pragma_database_list "
                               "WHERE file LIKE '/%'"),
                     0); /* no path of the host */
}

/* --- What is refused -------------------------------------------------------------------------- */

static void what_reaches_beyond_the_connection_is_refused(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t c = open_database(actor, "a.db");
    must(actor, c, "CREATE TABLE t(x)");
    const struct {
        const char *sql;
        uint32_t code;
    } refused[] = {
        {"SELECT load_extension('libm.so.6')", CODE_ERROR},
        {"SELECT LOAD_EXTENSION('libm.so.6', 'main')", CODE_ERROR},
        {"PRAGMA temp_store_directory='/tmp'", CODE_AUTH},
        {"PRAGMA Temp_Store_Directory", CODE_AUTH},
        {"PRAGMA data_store_directory='/tmp'", CODE_AUTH},
        {"PRAGMA soft_heap_limit=1", CODE_AUTH},
        {"PRAGMA hard_heap_limit=1", CODE_AUTH},
        {"PRAGMA threads=4", CODE_AUTH},
        {"PRAGMA writable_schema=ON", CODE_AUTH},
        {"PRAGMA trusted_schema=ON", CODE_AUTH},
        {"PRAGMA busy_timeout=1001", CODE_AUTH},
        {"PRAGMA busy_timeout='0x7fffffff'", CODE_AUTH},
        {"PRAGMA nobody_knows_this", CODE_AUTH},
        {"SELECT * FROM pragma_temp_store_directory", CODE_ERROR},
        {"SELECT fts3_tokenizer('simple', x'0000000000000000')", CODE_ERROR},
        {"UPDATE sqlite_schema SET sql='x'", CODE_ERROR},
        {"SELECT readfile('/etc/passwd')", CODE_ERROR},
        {"SELECT writefile('x', 'y')", CODE_ERROR},
        {"SELECT edit('x')", CODE_ERROR},
        {"CREATE VIRTUAL TABLE v USING csv(filename='/etc/passwd')", CODE_ERROR},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        uint32_t code = execute(actor, c, refused[i].sql);
        if (code != refused[i].code) {
            print_error("code %u of: %s\n", code, refused[i].sql);
        }
        assert_int_equal(code, refused[i].code);
    }
    (void)execute(actor, c, "SELECT load_extension('libm.so.6')");
    (void)last_error(actor, c, "not authorized to use function: load_extension");
    must(actor, c,
         "PRAGMA busy_timeout=1000; PRAGMA foreign_keys=ON; PRAGMA synchronous=NORMAL;"
         "PRAGMA journal_mode=TRUNCATE; PRAGMA cache_size=-500; PRAGMA table_info(t);"
         "PRAGMA integrity_check; PRAGMA WAL_CHECKPOINT; PRAGMA user_version=3");
    assert_int_equal(number_of(actor, c, "SELECT user_version FROM pragma_user_version"), 3);
}

static void a_log_ahead_needs_exclusive_locking(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t c = open_database(actor, "a.db");
    must(actor, c, "PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
    assert_int_equal(number_of(actor, c, "SELECT journal_mode = 'delete' FROM pragma_journal_mode"),
                     1);
    must(actor, c,
         "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;"
         "INSERT INTO t VALUES (1)");
    assert_int_equal(number_of(actor, c, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"),
                     1);
    assert_true(is_there(f, "data/a.db-wal"));
    assert_false(is_there(f, "data/a.db-shm"));
    assert_int_equal(number_of(actor, c, "SELECT x FROM t"), 1);
}

/* --- Broken and missing things ---------------------------------------------------------------- */

static void damaged_databases_are_errors(void **state)
{
    struct fixture *f = *state;
    uint64_t c = open_database(&f->actor, "seed.db");
    must(&f->actor, c,
         "CREATE TABLE t(x); CREATE INDEX i ON t(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
         "SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO t SELECT i || ' some text' FROM n");
    char path[256];
    path_in(f, path, sizeof path, "data/bad.db");
    uint64_t seed = 88172645463325252u;
    for (int i = 0; i < 60; i++) {
        copy_file(f, "data/seed.db", "data/bad.db");
        FILE *file = fopen(path, "r+");
        assert_non_null(file);
        for (int j = 0; j < 8; j++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            long at = i % 2 == 0 ? (long)(seed % 65536) : (long)(seed % 4096);
            assert_int_equal(fseek(file, at, SEEK_SET), 0);
            assert_int_equal(fputc((int)(seed >> 32 & 0xff), file), (int)(seed >> 32 & 0xff));
        }
        assert_int_equal(fclose(file), 0);
        struct actor actor = spawn(f);
        if (open_as(&actor, "bad.db") == 0) {
            c = actor_u64(&actor, ID_AT);
            (void)execute(&actor, c, "PRAGMA synchronous=OFF; PRAGMA integrity_check");
            (void)execute(&actor, c, "SELECT sum(length(x)) FROM t");
            (void)execute(&actor, c, "DELETE FROM t WHERE x > '5'");
            (void)execute(&actor, c, "REINDEX; VACUUM");
        }
    }
    /* A page that is none: said so, and only the actor that steps on it ends. */
    copy_file(f, "data/seed.db", "data/bad.db");
    FILE *file = fopen(path, "r+");
    assert_int_equal(fseek(file, 4096, SEEK_SET), 0);
    for (int i = 0; i < 4096; i++) {
        (void)fputc(0x99, file);
    }
    assert_int_equal(fclose(file), 0);
    struct actor actor = spawn(f);
    c = open_database(&actor, "bad.db");
    assert_int_equal(execute(&actor, c, "SELECT * FROM t NOT INDEXED"), CODE_CORRUPT);
    assert_int_equal(last_error(&actor, c, "malformed"), CODE_CORRUPT);
    uint64_t s = prepare(&actor, c, "SELECT * FROM t NOT INDEXED");
    assert_says(TRAP(&actor, SQLITE, "sqlite3_step", s), "malformed (code 11)");
    assert_true(actor_lives(&f->actor));
}

static void a_full_disk_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t c = open_database(actor, "a.db");
    must(actor, c, "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {.rlim_cur = 64 << 10, .rlim_max = before.rlim_max};
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    uint32_t code = execute(actor, c, "INSERT INTO t VALUES (zeroblob(500000))");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(code, CODE_FULL);
    assert_int_equal(last_error(actor, c, "full"), CODE_FULL);
    assert_int_equal(number_of(actor, c, "SELECT count(*) FROM t"), 1);
    must(actor, c, "INSERT INTO t VALUES (zeroblob(500000))");
}

static void exhausted_descriptors_are_an_error(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t c = open_database(actor, "a.db");
    must(actor, c, "CREATE TABLE t(x)");
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = open("/dev/null", O_RDONLY);
    assert_true(next >= 0);
    assert_int_equal(close(next), 0);
    struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    uint64_t opened = open_as(actor, "b.db");
    uint32_t code = execute(actor, c, "INSERT INTO t VALUES (1)"); /* its journal */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(opened, 1);
    check_error(actor, "errno 33");
    assert_int_equal(code, CODE_IOERR);
    must(actor, c, "INSERT INTO t VALUES (1)");
    /* And those that an actor may have: five a connection, of 64. */
    for (int i = 1; i < 13; i++) {
        c = open_database(actor, "a.db");
        must(actor, c,
             "ATTACH 'a.db' AS a; ATTACH 'a.db' AS b; ATTACH 'a.db' AS c;"
             "ATTACH 'a.db' AS d");
    }
    c = open_database(actor, "a.db");
    must(actor, c, "ATTACH 'a.db' AS a; ATTACH 'a.db' AS b");
    assert_int_equal(execute(actor, c, "ATTACH 'a.db' AS c"), CODE_CANTOPEN);
    refuse_open(actor, "a.db", "errno 33");
    must(actor, c, "DETACH a");
    (void)open_database(actor, "a.db");
}

/* --- Several who use one file ----------------------------------------------------------------- */

static void a_lock_holds_between_actors_and_ends_with_them(void **state)
{
    struct fixture *f = *state;
    struct actor first = spawn(f);
    struct actor *second = &f->actor;
    uint64_t c = open_database(&first, "a.db");
    uint64_t d = open_database(second, "./a.db");
    must(&first, c, "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    must(second, d, "BEGIN; SELECT * FROM t");
    must(&first, c, "BEGIN IMMEDIATE; UPDATE t SET x = 2");
    assert_int_equal(execute(second, d, "UPDATE t SET x = 3"), CODE_BUSY);
    assert_int_equal(last_error(second, d, "locked"), CODE_BUSY);
    assert_int_equal(execute(&first, c, "COMMIT"), CODE_BUSY); /* the reader's */
    must(second, d, "COMMIT");
    assert_int_equal(execute(second, d, "SELECT * FROM t"), CODE_BUSY); /* one waits to write */
    must(&first, c, "COMMIT");
    assert_int_equal(number_of(second, d, "SELECT x FROM t"), 2);
    /* Enough to be written before the end, so that there is something to roll back. */
    must(&first, c,
         "PRAGMA cache_size=10; BEGIN EXCLUSIVE; WITH RECURSIVE n(i) AS (SELECT 1 UNION "
         "ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO t SELECT zeroblob(4000) "
         "FROM n");
    assert_true(is_there(f, "data/a.db-journal"));
    assert_int_equal(execute(second, d, "SELECT * FROM t"), CODE_BUSY);
    assert_int_equal(pd_mailbox_kill(f->world.environment, first.pid, PD_EXIT_KILLED, NULL), PD_OK);
    world_settle(&f->world);
    assert_false(actor_lives(&first));
    assert_false(is_there(f, "data/a.db-journal"));
    assert_int_equal(number_of(second, d, "SELECT count(*) FROM t"), 1);
    must(second, d, "UPDATE t SET x = 3");
}

static void other_programs_see_the_locks(void **state)
{
    struct fixture *f = *state;
    uint64_t c = open_database(&f->actor, "a.db");
    must(&f->actor, c, "CREATE TABLE t(x); BEGIN IMMEDIATE");
    char path[256];
    path_in(f, path, sizeof path, "data/a.db");
    /* As SQLite elsewhere asks: by a lock of its process on the reserved byte. */
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000001, .l_len = 1};
    assert_int_equal(fcntl(fd, F_SETLK, &lock), -1);
    must(&f->actor, c, "COMMIT");
    assert_int_equal(fcntl(fd, F_SETLK, &lock), 0);
    assert_int_equal(execute(&f->actor, c, "BEGIN IMMEDIATE"), CODE_BUSY);
    assert_int_equal(close(fd), 0);
    must(&f->actor, c, "BEGIN IMMEDIATE; COMMIT");
}

static void temporary_files_have_no_names(void **state)
{
    struct fixture *f = *state;
    struct actor actor = spawn_with_memory(f, 8 << 20);
    uint64_t c = open_database(&actor, "");
    must(&actor, c,
         "PRAGMA cache_size=50; CREATE TABLE t(x); WITH RECURSIVE n(i) AS (SELECT 1 "
         "UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO t SELECT "
         "randomblob(4000) FROM n"); /* 12 MB */
    assert_int_equal(number_of(&actor, c, "SELECT count(*) FROM t"), 3000);
    char path[256];
    path_in(f, path, sizeof path, "data");
    DIR *dir = opendir(path);
    uint32_t count = 0;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        count++;
    }
    assert_int_equal(closedir(dir), 0);
    assert_int_equal(count, 2);
}

/* --- Limits ----------------------------------------------------------------------------------- */

static void lengths_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t c = open_database(actor, ":memory:");
    must(actor, c, "SELECT zeroblob(1000000)");
    assert_int_equal(execute(actor, c, "SELECT zeroblob(1100000)"), CODE_TOOBIG);
    assert_int_equal(execute(actor, c, "SELECT hex(zeroblob(600000))"), CODE_TOOBIG);
    assert_int_equal(CALL(actor, SQLITE, "execute", c, 0, FAKE_MEMORY_SIZE), CODE_ERROR);
    char sql[8192] = "SELECT 1";
    for (int i = 1; i < 600; i++) {
        memcpy(sql + strlen(sql), ",1", 3);
    }
    assert_int_equal(execute(actor, c, sql), CODE_ERROR);
    assert_int_equal(last_error(actor, c, "too many columns"), CODE_ERROR);
    uint64_t s = prepare(actor, c, "SELECT zeroblob(900000)");
    assert_int_equal(step(actor, s), ROW);
    assert_says(TRAP(actor, SQLITE, "read_row", s, LENGTH_AT), "out of bounds"); /* of 64 KiB */
    struct actor other = spawn(f);
    c = open_database(&other, ":memory:");
    (void)snprintf(sql, sizeof sql,
                   "WITH b(x) AS MATERIALIZED (SELECT zeroblob(1000000)) SELECT x");
    for (int i = 1; i < 20; i++) {
        memcpy(sql + strlen(sql), ",x", 3);
    }
    memcpy(sql + strlen(sql), " FROM b", 8);
    s = prepare(&other, c, sql);
    assert_int_equal(step(&other, s), ROW);
    assert_says(TRAP(&other, SQLITE, "read_row", s, LENGTH_AT), "at most 16777216 bytes");
    /* It counts as the actor's memory while it lasts. */
    struct actor poor = spawn_with_memory(f, 3 << 19);
    c = open_database(&poor, ":memory:");
    s = prepare(&poor, c, "SELECT x'00', zeroblob(900000)");
    assert_int_equal(step(&poor, s), ROW);
    (void)ANSWER(&poor, "read_column", s, 0, LENGTH_AT);
    assert_says(TRAP(&poor, SQLITE, "read_row", s, LENGTH_AT), "no memory for the answer");
}

/* A list of values is looked at before anything of it is bound, so it has an end. */
static void a_list_of_values_has_an_end(void **state)
{
    struct fixture *f = *state;
    static const uint32_t size_max = 16u << 20;
    uint8_t *far = mmap(NULL, FAKE_FAR_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(far, MAP_FAILED);
    uint64_t c = open_database(&f->actor, ":memory:");
    uint64_t s = prepare(&f->actor, c, "SELECT ?1");
    fake_far = far; /* an empty list, with bytes behind it */
    (void)CALL(&f->actor, SQLITE, "bind_value", s, FAKE_FAR_AT, size_max);
    assert_int_equal(CALL(&f->actor, "pando::sqlite", "bind", s, FAKE_FAR_AT, size_max), 0);
    assert_says(TRAP(&f->actor, SQLITE, "bind_value", s, FAKE_FAR_AT, size_max + 1),
                "lunatic::sqlite::bind_value: a list has at most 16777216 bytes");
    /* One value as long as the list can be: SQLite's own bound comes first. */
    struct actor other = spawn(f);
    c = open_database(&other, ":memory:");
    s = prepare(&other, c, "SELECT ?1");
    pd_put_u64(far, 1);
    pd_put_u32(far + 12, 2); /* no key, a text */
    pd_put_u64(far + 16, size_max - 24);
    assert_says(TRAP(&other, SQLITE, "bind_value", s, FAKE_FAR_AT, size_max), "code 18");
    fake_far = NULL;
    assert_int_equal(munmap(far, FAKE_FAR_SIZE), 0);
}

static void memory_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct actor actor = spawn_with_memory(f, 4 << 20);
    struct pd_memory_budget budget = {.bytes_max = 64 << 20};
    f->world.system.budget = &budget; /* of those that are there: databases only */
    uint64_t c = open_database(&actor, ":memory:");
    uint64_t d = open_database(&actor, ":memory:");
    must(&actor, c, "CREATE TABLE t(x)");
    uint32_t code = CODE_OK;
    int rounds = 0;
    while (code == CODE_OK && rounds++ < 100) {
        code = execute(&actor, c, "INSERT INTO t VALUES (randomblob(100000))");
    }
    assert_int_equal(code, CODE_NOMEM);
    assert_in_range(rounds, 10, 42);
    code = CODE_OK;
    while (code == CODE_OK && rounds++ < 100) { /* what is left is little for the other one too */
        code = execute(&actor, d,
                       "CREATE TABLE IF NOT EXISTS t(x);"
                       "INSERT INTO t VALUES (randomblob(100000))");
    }
    assert_int_equal(code, CODE_NOMEM);
    assert_in_range(rounds, 10, 60);
    /* Others have theirs, and what it held comes back with its end. */
    assert_true(atomic_load(&budget.bytes) > 3 << 20);
    c = open_database(&f->actor, ":memory:");
    must(&f->actor, c, "CREATE TABLE t(x); INSERT INTO t VALUES (randomblob(100000))");
    assert_int_equal(pd_mailbox_kill(f->world.environment, actor.pid, PD_EXIT_KILLED, NULL), PD_OK);
    world_settle(&f->world);
    assert_in_range(atomic_load(&budget.bytes), 1, 1 << 20);
    /* And all together have a budget. */
    budget.bytes_max = 1 << 20;
    assert_int_equal(execute(&f->actor, c,
                             "INSERT INTO t SELECT randomblob(100000) FROM "
                             "(VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9),(10))"),
                     CODE_NOMEM);
    assert_int_equal(pd_mailbox_kill(f->world.environment, f->actor.pid, PD_EXIT_KILLED, NULL),
                     PD_OK);
    world_settle(&f->world);
    assert_int_equal(atomic_load(&budget.bytes), 0);
    f->world.system.budget = NULL;
}

static struct pd_sqlite_connection *connection_of(struct fixture *f,
                                                  struct pd_sqlite_account *account,
                                                  uint64_t steps_max)
{
    struct pd_wasm_process *self = actor_wasm(&f->actor);
    assert_int_equal(pd_sqlite_start(), PD_OK);
    return pd_sqlite_connection_create(account, self->rights->wasi, &f->world.host.interface,
                                       steps_max);
}

static void steps_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct pd_sqlite_account *account = pd_sqlite_account_create(8 << 20, 8, NULL);
    struct pd_sqlite_connection *connection = connection_of(f, account, 1000000);
    char text[400];
    assert_int_equal(pd_sqlite_connection_open(connection, "a.db", text, sizeof text), SQLITE_OK);
    static const char endless[] = "CREATE TABLE IF NOT EXISTS t(x); WITH RECURSIVE n(i) AS (SELECT "
                                  "1 UNION ALL SELECT i + 1 FROM n) INSERT INTO t SELECT i FROM n";
    for (int i = 0; i < 3; i++) { /* each call has its own */
        assert_int_equal(pd_sqlite_execute(connection, endless), SQLITE_INTERRUPT);
        assert_int_equal(pd_sqlite_last_error(connection, text, sizeof text), SQLITE_INTERRUPT);
        assert_says(text, "more than 1000000 steps");
    }
    assert_int_equal(pd_sqlite_execute(connection, "CREATE TEMP TABLE holds(x CHECK (x)); "
                                                   "INSERT INTO holds SELECT count(*) = 0 FROM t"),
                     SQLITE_OK);
    struct pd_sqlite_statement *statement = NULL;
    static const char slow[] = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
                               "SELECT i FROM n WHERE i < 0";
    assert_int_equal(pd_sqlite_prepare(connection, slow, strlen(slow), &statement), SQLITE_OK);
    assert_int_equal(pd_sqlite_step(statement), SQLITE_INTERRUPT);
    /* Whose actor is gone ends at once. */
    pd_sqlite_connection_cancel(connection);
    assert_int_not_equal(pd_sqlite_execute(connection, endless), SQLITE_OK);
    pd_sqlite_reset(statement);
    assert_int_equal(pd_sqlite_step(statement), SQLITE_INTERRUPT);
    assert_in_range(connection->scope.steps, 0, 2000);
    pd_sqlite_connection_release(connection);
    pd_sqlite_account_release(account);
}

static uint32_t clock_looks;

/* Half a second later each time. */
static uint64_t slow_cpu(struct pd_host *host, enum pd_cpu_clock clock)
{
    (void)host;
    assert_int_equal(clock, PD_CPU_THREAD);
    return UINT64_C(500000000) * ++clock_looks;
}

/* Where SQLite takes long to ask again, time is what ends a call, not the number of its steps. */
static void slow_steps_count_by_their_time(void **state)
{
    struct fixture *f = *state;
    struct pd_sqlite_account *account = pd_sqlite_account_create(8 << 20, 8, NULL);
    struct pd_sqlite_connection *connection = connection_of(f, account, 10000000);
    struct pd_host_ops ops = *f->world.host.interface.ops;
    struct pd_host host = {.ops = &ops};
    char text[400];
    static const char endless[] = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
                                  "SELECT i FROM n WHERE i < 0";
    assert_int_equal(pd_sqlite_connection_open(connection, "", text, sizeof text), SQLITE_OK);
    ops.cpu_ns = slow_cpu;
    connection->scope.host = &host;
    for (int i = 0; i < 2; i++) { /* what passes between two calls is nobody's */
        clock_looks = 0;
        assert_int_equal(pd_sqlite_execute(connection, endless), SQLITE_INTERRUPT);
        assert_in_range(clock_looks, 20, 22); /* 20 times half a million steps */
    }
    connection->scope.host = &f->world.host.interface;
    pd_sqlite_connection_release(connection);
    pd_sqlite_account_release(account);
}

/* A statement without a jump, which nothing can cut short, has an end: so many comparisons. */
static int compare(struct pd_sqlite_connection *connection, size_t count)
{
    char *sql = NULL;
    size_t size = 0;
    FILE *text = open_memstream(&sql, &size);
    assert_non_null(text);
    assert_true(fputs("SELECT 1", text) >= 0);
    for (size_t i = 0; i < count; i++) {
        assert_true(fprintf(text, "%snullif(a,a),%s", i % 90 == 0 ? ",coalesce(" : "",
                            i % 90 == 89 || i + 1 == count ? "1)" : "") > 0);
    }
    assert_true(fputs(" FROM t", text) >= 0);
    assert_int_equal(fclose(text), 0);
    int code = pd_sqlite_execute(connection, sql);
    free(sql);
    return code;
}

static void statements_without_a_jump_are_short(void **state)
{
    struct fixture *f = *state;
    struct pd_sqlite_account *account = pd_sqlite_account_create(32 << 20, 8, NULL);
    struct pd_sqlite_connection *connection = connection_of(f, account, 1000000);
    char text[400];
    assert_int_equal(pd_sqlite_connection_open(connection, "", text, sizeof text), SQLITE_OK);
    assert_int_equal(pd_sqlite_execute(connection, "CREATE TABLE t(a); INSERT INTO t VALUES (1)"),
                     SQLITE_OK);
    assert_int_equal(compare(connection, 2000), SQLITE_OK);
    assert_int_equal(compare(connection, 10000), SQLITE_NOMEM);
    assert_int_equal(compare(connection, 2000), SQLITE_OK);
    pd_sqlite_connection_release(connection);
    pd_sqlite_account_release(account);
}

/* --- No memory -------------------------------------------------------------------------------- */

static bool work_once(struct fixture *f, struct pd_sqlite_account *account)
{
    struct pd_sqlite_connection *connection = connection_of(f, account, 1000000);
    if (connection == NULL) {
        return false;
    }
    char why[400];
    struct pd_sqlite_statement *statement = NULL;
    struct pd_sqlite_answer answer = {0};
    uint32_t nameless = 0;
    const struct pd_sqlite_bind bind = {
        .type = PD_SQLITE_TEXT, .bytes = (const uint8_t *)"some text", .size = 9};
    static const char sql[] = "SELECT x || :a FROM t ORDER BY x";
    bool is_ok =
        pd_sqlite_connection_open(connection, "a.db", why, sizeof why) == SQLITE_OK &&
        pd_sqlite_execute(
            connection,
            "PRAGMA synchronous=OFF; DROP TABLE IF EXISTS t;"
            "CREATE TABLE t(x UNIQUE); ATTACH 'b.db' AS b; INSERT INTO t VALUES ('one'), ('two');"
            "DETACH b") == SQLITE_OK &&
        pd_sqlite_prepare(connection, sql, strlen(sql), &statement) == SQLITE_OK &&
        pd_sqlite_bind(statement, &bind, &nameless) == SQLITE_OK &&
        pd_sqlite_step(statement) == SQLITE_ROW;
    if (is_ok) {
        pd_sqlite_put_column(statement, 0, &answer);
        pd_sqlite_put_column_name(statement, 0, true, &answer);
        is_ok = answer.status == PD_OK;
    }
    pd_sqlite_answer_deinit(&answer);
    pd_sqlite_connection_release(connection);
    return is_ok;
}

static void every_allocation_may_fail(void **state)
{
    struct fixture *f = *state;
    struct pd_sqlite_account *account = pd_sqlite_account_create(8 << 20, 8, NULL);
    assert_true(work_once(f, account));
    /* SQLite does without some of what it asks for, but not without forty in a row. */
    uint32_t failed = 0;
    uint32_t well_in_row = 0;
    for (uint64_t nth = 1; well_in_row < 40; nth++) {
        pd_alloc_fail_nth(nth);
        bool is_ok = work_once(f, account);
        pd_alloc_fail_nth(0);
        failed += !is_ok;
        well_in_row = is_ok ? well_in_row + 1 : 0;
        assert_int_equal(atomic_load(&account->references), 1); /* nothing is left of it */
    }
    assert_true(failed > 100);
    assert_true(work_once(f, account));
    pd_sqlite_account_release(account);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_name_leads_out),
        TEST(only_regular_files_are_databases),
        TEST(a_process_without_directories_has_databases_in_memory),
        TEST(a_directory_to_read_is_only_read),
        TEST(attached_databases_are_in_the_directories_too),
        TEST(what_reaches_beyond_the_connection_is_refused),
        TEST(a_log_ahead_needs_exclusive_locking),
        TEST(damaged_databases_are_errors),
        TEST(a_full_disk_is_an_error),
        TEST(exhausted_descriptors_are_an_error),
        TEST(a_lock_holds_between_actors_and_ends_with_them),
        TEST(other_programs_see_the_locks),
        TEST(temporary_files_have_no_names),
        TEST(lengths_are_bounded),
        TEST(a_list_of_values_has_an_end),
        TEST(memory_is_bounded),
        TEST(steps_are_bounded),
        TEST(slow_steps_count_by_their_time),
        TEST(statements_without_a_jump_are_short),
        TEST(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
