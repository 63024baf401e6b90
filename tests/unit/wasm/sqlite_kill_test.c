/* Actors that are killed in the middle of SQL, on real threads: helpers come free, transactions are
 * rolled back, nothing leaks. */
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process_world.h"
#include "wasm/sqlite_places.h"

/* "call" is made by functions with one parameter, which they ignore. */
static const char guest_wat[] =
    "(module\n"
    "  (import \"lunatic::sqlite\" \"open\" (func $sqlite_open (param i32 i32 i32) (result i64)))\n"
    "  (import \"lunatic::sqlite\" \"execute\" (func $execute (param i64 i32 i32) (result i32)))\n"
    "  (import \"lunatic::sqlite\" \"query_prepare\"\n"
    "    (func $prepare (param i64 i32 i32) (result i64)))\n"
    "  (import \"lunatic::sqlite\" \"sqlite3_step\" (func $step (param i64) (result i32)))\n"
    "  (import \"lunatic::sqlite\" \"read_row\" (func $read_row (param i64 i32) (result i32)))\n"
    "  (import \"lunatic::process\" \"sleep_ms\" (func $sleep (param i64)))\n"
    "  (memory (export \"memory\") 1)\n"
    "  (data (i32.const 1024) \":memory:\")\n"
    "  (data (i32.const 1040) \"a.db\")\n"
    "  (data (i32.const 2000) \"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "    SELECT i FROM n WHERE i < 0\")\n"
    "  (data (i32.const 3000) \"PRAGMA cache_size=10; PRAGMA synchronous=OFF; CREATE TABLE t(x); "
    "    INSERT INTO t VALUES (1); BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
    "    SELECT i + 1 FROM n WHERE i < 300) INSERT INTO t SELECT zeroblob(4000) FROM n; "
    "    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "    SELECT i FROM n WHERE i < 0\")\n"
    "  (data (i32.const 4000) \"PRAGMA busy_timeout=1000; BEGIN EXCLUSIVE; "
    "    CREATE TABLE counted(x CHECK (x = 1)); "
    "    INSERT INTO counted SELECT count(*) FROM t; COMMIT\")\n"
    "  (data (i32.const 5000) \"SELECT 1\")\n"
    "  (func $length (param $at i32) (result i32) (local $end i32)\n"
    "    (local.set $end (local.get $at))\n"
    "    (block $over (loop $l\n"
    "      (br_if $over (i32.eqz (i32.load8_u (local.get $end))))\n"
    "      (local.set $end (i32.add (local.get $end) (i32.const 1))) (br $l)))\n"
    "    (i32.sub (local.get $end) (local.get $at)))\n"
    "  (func $open (param $name i32)\n"
    "    (if (i64.ne (i64.const 0) (call $sqlite_open (local.get $name)\n"
    "          (call $length (local.get $name)) (i32.const 8))) (then unreachable)))\n"
    "  (func $run (param $sql i32)\n"
    "    (if (call $execute (i64.load (i32.const 8)) (local.get $sql)\n"
    "          (call $length (local.get $sql))) (then unreachable)))\n"
    "  (func $step_through (param $sql i32) (result i64) (local $statement i64)\n"
    "    (local.set $statement (call $prepare (i64.load (i32.const 8)) (local.get $sql)\n"
    "      (call $length (local.get $sql))))\n"
    "    (drop (call $step (local.get $statement))) (local.get $statement))\n"
    "  (func (export \"endless\") (param i64) (call $open (i32.const 1024))\n"
    "    (call $run (i32.const 2000)))\n"
    "  (func (export \"endless_step\") (param i64) (call $open (i32.const 1024))\n"
    "    (drop (call $step_through (i32.const 2000))))\n"
    "  (func (export \"write\") (param i64) (call $open (i32.const 1040))\n"
    "    (call $run (i32.const 3000)))\n"
    "  (func (export \"check\") (param i64) (call $open (i32.const 1040))\n"
    "    (call $run (i32.const 4000)))\n"
    "  (func (export \"quick\") (param i64) (call $open (i32.const 1024))\n"
    "    (call $run (i32.const 5000)))\n"
    "  (func (export \"lunatic_alloc\") (param i32) (result i32)\n"
    "    (call $sleep (i64.const 1000000)) (i32.const 0))\n"
    "  (func (export \"read\") (param i64) (call $open (i32.const 1024))\n"
    "    (drop (call $read_row (call $step_through (i32.const 5000)) (i32.const 16)))))\n";

#define AT_ONCE (PD_SQLITE_PLACES_MAX + 2u)

/* As many as one environment may run wait in their statement; the others for their turn to open a
 * database. */
static void start_all_in(struct world *world, const char *function, const char *waits_in,
                         uint64_t pids[AT_ONCE])
{
    for (uint32_t i = 0; i < AT_ONCE; i++) {
        pids[i] = world_start(world, function, 0);
        bool is_holding = i < PD_SQLITE_PLACES_OF_ONE_MAX || strcmp(function, "read") == 0;
        world_await_call(world, pids[i], is_holding ? waits_in : "open");
    }
}

static void kill_all_in(struct world *world, const char *function, const char *waits_in)
{
    uint64_t pids[AT_ONCE];
    start_all_in(world, function, waits_in, pids);
    for (uint32_t i = 0; i < AT_ONCE; i++) {
        world_kill(world, pids[i]);
        assert_int_equal(world_await(world, pids[i])->reason, PD_EXIT_KILLED);
    }
    /* The next one finds a helper, though what ran would have gone on for long. */
    const struct ended *ended = world_await(world, world_start(world, "quick", 0));
    assert_string_equal(ended->text, "");
    assert_int_equal(ended->reason, PD_EXIT_NORMAL);
}

static void killed_in_a_long_statement(void **state)
{
    (void)state;
    struct world *world = world_open(guest_wat, 8);
    for (int i = 0; i < 3; i++) {
        kill_all_in(world, "endless", "execute");
        kill_all_in(world, "endless_step", "sqlite3_step");
    }
    world_close(world);
}

static void killed_while_the_guest_makes_room_for_an_answer(void **state)
{
    (void)state;
    struct world *world = world_open(guest_wat, 8);
    kill_all_in(world, "read", "sleep_ms");
    world_close(world);
}

static void the_program_ends_in_the_middle(void **state)
{
    (void)state;
    struct world *world = world_open(guest_wat, 8);
    uint64_t pids[AT_ONCE];
    start_all_in(world, "endless", "execute", pids);
    world_close(world);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static void killed_in_a_transaction(void **state)
{
    (void)state;
    char folder[] = "/tmp/pando-sqlite-XXXXXX";
    char journal[64];
    char database[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(journal, sizeof journal, "%s/a.db-journal", folder);
    (void)snprintf(database, sizeof database, "%s/a.db", folder);
    struct world *world = world_open(guest_wat, 8);
    assert_int_equal(
        pd_wasi_config_add_directory(world->rights->wasi, folder, ".", PD_WASI_READ_WRITE, NULL, 0),
        PD_OK);
    uint64_t pid = world_start(world, "write", 0);
    time_t until = time(NULL) + LIMIT_S;
    struct stat status;
    /* What grows the file is the long transaction, not the ones before it, which have journals
     * too. */
    while (stat(database, &status) != 0 || status.st_size < 65536) {
        assert_true(time(NULL) < until);
        world_pause();
    }
    world_kill(world, pid);
    assert_int_equal(world_await(world, pid)->reason, PD_EXIT_KILLED);
    /* A helper rolls back; until then the database is locked, or the table not there. */
    const struct ended *ended = world_await(world, world_start(world, "check", 0));
    while (ended->reason != PD_EXIT_NORMAL) {
        assert_true(time(NULL) < until);
        ended = world_await(world, world_start(world, "check", 0));
    }
    world_close(world);
    assert_int_not_equal(stat(journal, &status), 0);
    assert_int_equal(nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_in_a_long_statement),
        cmocka_unit_test(killed_while_the_guest_makes_room_for_an_answer),
        cmocka_unit_test(the_program_ends_in_the_middle),
        cmocka_unit_test(killed_in_a_transaction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
