/* Guests on real threads over a real node: many at once, killed while they wait, and reads that do
 * not wait. */
#include "wasm/process_world.h"

#include <unistd.h>

#include "node/store_link.h"
#include "support/remove_tree.h"

#define PATH_SIZE 512
#define SECOND_NS UINT64_C(1000000000)

/* Keys are 8 bytes at 0: the parameter of the function. */
static const char guest_wat[] =
    "(module\n"
    "  (import \"pando::kv\" \"get\" (func $get (param i32 i32 i32 i32 i32) (result i32)))\n"
    "  (import \"pando::kv\" \"put\" (func $put (param i32 i32 i32 i32 i64 i32 i32)\n"
    "    (result i32)))\n"
    "  (import \"pando::kv\" \"range\" (func $range (param i32 i32 i32 i32 i64 i64 i32 i32)\n"
    "    (result i32)))\n"
    "  (import \"pando::kv\" \"watch\" (func $watch (param i32 i32 i32 i32 i64 i64 i32 i32)\n"
    "    (result i32)))\n"
    "  (import \"lunatic::message\" \"receive\" (func $receive (param i32 i32 i64) (result i32)))\n"
    "  (import \"lunatic::message\" \"data_size\" (func $size (result i64)))\n"
    "  (memory (export \"memory\") 1)\n"
    "  (data (i32.const 64) \"\\00\")\n"
    "  (func $must (param i32) (if (local.get 0) (then unreachable)))\n"
    "  (func $key (param i64) (i64.store (i32.const 0) (local.get 0)))\n"
    "  (func $put_value (param i64)\n"
    "    (i64.store (i32.const 8) (local.get 0))\n"
    "    (call $must (call $put (i32.const 0) (i32.const 8) (i32.const 8) (i32.const 8)\n"
    "      (i64.const 0) (i32.const 0) (i32.const 128))))\n"
    "  (func $get_value (result i64)\n"
    "    (call $must (call $get (i32.const 0) (i32.const 8) (i32.const 16) (i32.const 8)\n"
    "      (i32.const 256)))\n"
    "    (i64.load (i32.const 16)))\n"
    "  ;; Writes and reads back what it wrote, 20 times.\n"
    "  (func (export \"both\") (param $me i64) (local $i i64)\n"
    "    (call $key (local.get $me))\n"
    "    (loop $l\n"
    "      (local.set $i (i64.add (local.get $i) (i64.const 1)))\n"
    "      (call $put_value (local.get $i))\n"
    "      (if (i64.ne (call $get_value) (local.get $i)) (then unreachable))\n"
    "      (br_if $l (i64.lt_u (local.get $i) (i64.const 20)))))\n"
    "  (func (export \"put_once\") (param $me i64)\n"
    "    (call $key (local.get $me)) (call $put_value (local.get $me)))\n"
    "  (func (export \"puts\") (param $me i64)\n"
    "    (call $key (local.get $me)) (loop $l (call $put_value (i64.const 1)) (br $l)))\n"
    "  (func (export \"gets\") (param $me i64)\n"
    "    (call $key (local.get $me)) (call $put_value (i64.const 1))\n"
    "    (loop $l (drop (call $get_value)) (br $l)))\n"
    "  (func (export \"get_1000\") (param $me i64) (local $i i32)\n"
    "    (call $key (local.get $me))\n"
    "    (loop $l (drop (call $get_value))\n"
    "      (local.set $i (i32.add (local.get $i) (i32.const 1)))\n"
    "      (br_if $l (i32.lt_u (local.get $i) (i32.const 1000)))))\n"
    "  (func (export \"ranges\") (param $me i64)\n"
    "    (loop $l\n"
    "      (call $must (call $range (i32.const 0) (i32.const 1) (i32.const 64) (i32.const 1)\n"
    "        (i64.const 3) (i64.const 0) (i32.const 0) (i32.const 300)))\n"
    "      (br $l)))\n"
    "  ;; Everything that others write, for ever.\n"
    "  (func (export \"watches\") (param $me i64)\n"
    "    (call $must (call $watch (i32.const 0) (i32.const 1) (i32.const 64) (i32.const 1)\n"
    "      (i64.const 0) (i64.const 5) (i32.const 0) (i32.const 400)))\n"
    "    (loop $l (drop (call $receive (i32.const 0) (i32.const 0) (i64.const -1)))\n"
    "      (drop (call $size)) (br $l)))\n"
    "  ;; Does not take its messages, so its watch stands still.\n"
    "  (func (export \"watches_idly\") (param $me i64)\n"
    "    (call $must (call $watch (i32.const 0) (i32.const 1) (i32.const 64) (i32.const 1)\n"
    "      (i64.const 0) (i64.const 5) (i32.const 0) (i32.const 400)))\n"
    "    (i64.store (i32.const 500) (i64.const 77))\n"
    "    (drop (call $receive (i32.const 500) (i32.const 1) (i64.const -1)))))\n";

static char folder[PATH_SIZE];
static struct pd_real_host *real;
static struct pd_server *server;
static struct pd_store_server_link *link_;
static struct pd_store_port *port;

static struct world *open_all(bool lease_reads, uint32_t calls_max)
{
    char text[PD_SERVER_TEXT_MAX];
    (void)snprintf(folder, sizeof folder, "%s/pando-guests-XXXXXX",
                   getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(pd_real_host_create(1, 16, &real), PD_OK);
    struct pd_server_config config = pd_server_config_default();
    config.folder = folder;
    config.host = pd_real_host_interface(real);
    config.wal.segment_bytes = 16u << 20;
    config.disk_low_bytes = 0;
    config.replica.kv.overlay_bytes = 64u << 20;
    config.replica.kv.cache_bytes = 1u << 20;
    config.replica.raft.lease_reads = lease_reads;
    assert_int_equal(pd_server_open(&config, text, &server), PD_OK);
    assert_true(pd_server_wait_ready(server, pd_host_now_ns(config.host) + 60 * SECOND_NS));
    struct pd_store_port_config of_port = pd_store_port_config_default();
    of_port.host = config.host;
    of_port.calls_max = calls_max;
    assert_int_equal(pd_store_server_link_open(server, &of_port, &link_), PD_OK);
    port = pd_store_server_link_port(link_);
    world_kv = pd_store_port_interface(port);
    return world_open(guest_wat, 64);
}

static void await_free_places(void)
{
    struct pd_store_port_counters counters;
    time_t until = time(NULL) + LIMIT_S;
    do {
        pd_store_port_counters(port, &counters);
        assert_true(time(NULL) < until);
        world_pause();
    } while (counters.places_taken > 0 || counters.bytes_held > 0);
}

static void close_all(struct world *world)
{
    world_close(world);
    await_free_places(); /* whoever died, nothing stays */
    pd_store_server_link_close(link_);
    pd_server_close(server);
    pd_real_host_destroy(real);
    (void)remove_tree(folder);
    world_kv = NULL;
}

static void many_at_once(void **state)
{
    (void)state;
    struct world *world = open_all(false, 16); /* fewer places than guests */
    uint64_t pids[60];
    for (uint32_t i = 0; i < 60; i++) {
        pids[i] = world_start(world, "both", i + 1);
    }
    for (uint32_t i = 0; i < 60; i++) {
        const struct ended *ended = world_await(world, pids[i]);
        assert_string_equal(ended->text, "");
        assert_int_equal(ended->reason, PD_EXIT_NORMAL);
    }
    struct pd_store_port_counters counters;
    pd_store_port_counters(port, &counters);
    /* Every put, and what of the gets was not answered beside the port: the only voter may. */
    assert_in_range(counters.begun, 60 * 20, 60 * 40);
    assert_true(counters.waited > 0);
    close_all(world);
}

static void killed_while_they_wait(void **state)
{
    (void)state;
    static const char *const functions[] = {"puts",    "gets",         "ranges",
                                            "watches", "watches_idly", "both"};
    enum {
        COUNT = 24
    };
    struct world *world = open_all(false, 8);
    struct pd_random random;
    pd_random_init(&random, 3, "kill");
    uint64_t writer = world_start(world, "puts", 500);
    uint64_t pids[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        pids[i] = world_start(world, functions[i % 6], 100 + i);
    }
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t i = (uint32_t)pd_random_below(&random, COUNT);
        enum pd_status status =
            pd_mailbox_kill(world->program.environment, pids[i], PD_EXIT_KILLED, NULL);
        const struct ended *ended = world_await(world, pids[i]);
        if (status == PD_OK && ended->reason != PD_EXIT_NORMAL) {
            assert_int_equal(ended->reason, PD_EXIT_KILLED);
        }
        pids[i] = world_start(world, functions[pd_random_below(&random, 6)], 100 + i);
        world_pause();
    }
    world_kill(world, writer);
    (void)world_await(world, writer);
    struct pd_store_port_counters counters;
    pd_store_port_counters(port, &counters);
    assert_true(counters.abandoned > 0);
    close_all(world);
}

static void the_program_ends_while_all_wait(void **state)
{
    (void)state;
    static const char *const functions[] = {"puts", "gets", "ranges", "watches", "watches_idly"};
    struct world *world = open_all(false, 4);
    for (uint32_t i = 0; i < 50; i++) {
        (void)world_start(world, functions[i % 5], 100 + i);
    }
    uint64_t last = world_start(world, "put_once", 7);
    assert_int_equal(world_await(world, last)->reason, PD_EXIT_NORMAL);
    close_all(world);
}

/* On a leader that holds a lease a key in memory is read without asking anybody. */
static void reads_under_a_lease_do_not_wait(void **state)
{
    (void)state;
    struct world *world = open_all(true, 4);
    uint64_t pid = world_start(world, "put_once", 9);
    assert_int_equal(world_await(world, pid)->reason, PD_EXIT_NORMAL);
    struct pd_store_port_counters before;
    struct pd_store_port_counters after;
    pd_store_port_counters(port, &before);
    pid = world_start(world, "get_1000", 9);
    const struct ended *ended = world_await(world, pid);
    assert_string_equal(ended->text, "");
    pd_store_port_counters(port, &after);
    assert_true(after.begun - before.begun < 100); /* the lease may lapse on a loaded machine */
    close_all(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(killed_while_they_wait),
        cmocka_unit_test(the_program_ends_while_all_wait),
        cmocka_unit_test(reads_under_a_lease_do_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
