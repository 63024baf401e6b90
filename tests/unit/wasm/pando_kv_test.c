/* pando::kv over a port of the test's own: what is asked, what is written to the guest, what each
 * failure becomes, rights, watches and their credit, and guests that die in the middle. */
#include "abi_hostile.h"

#include "abi_kv.h"

#define KEY_AT 256u
#define VALUE_AT 512u
#define OUT_AT 1024u

/* --- The world -------------------------------------------------------------------------------- */

static struct world world;

static int set_up(void **state)
{
    (void)state;
    struct pd_runtime_config config = world_config();
    config.names_max = 4096;
    config.processes_max = 1024;
    world_open(&world, &config);
    fake_kv_open(&world);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_close(&world);
    fake_kv_close();
    return 0;
}

static struct actor spawn_with_prefix(const char *prefix)
{
    struct pd_rights *rights = world_rights(&world);
    if (prefix != NULL) {
        assert_int_equal(pd_rights_allow_kv(rights, prefix, (uint32_t)strlen(prefix)), PD_OK);
    }
    struct actor actor = actor_spawn_with(&world, rights);
    pd_rights_release(rights);
    (void)actor_put(&actor, KEY_AT, "app/key");
    (void)actor_put(&actor, VALUE_AT, "value");
    return actor;
}

static struct actor spawn(void)
{
    return spawn_with_prefix("app/");
}

static void has_failed_with(struct actor *actor, const char *part)
{
    const char *text = actor_error_text(actor, CALL(actor, KV, "last_error"), 2048);
    assert_true(strlen(text) < 512);
    assert_says(text, part);
}

/* --- Calls ------------------------------------------------------------------------------------ */

static void get_copies_what_fits(void **state)
{
    (void)state;
    uint8_t bytes[128];
    struct actor actor = spawn();
    fake_kv.size = fake_kv_record(bytes, "app/key", "hello");
    fake_kv.bytes = bytes;
    static const char *const names[] = {"get", "get_local"};
    for (uint32_t i = 0; i < 2; i++) {
        memset(actor_memory(&actor, VALUE_AT), '.', 16);
        assert_int_equal(CALL(&actor, KV, names[i], KEY_AT, 7, VALUE_AT, 3, OUT_AT), 0);
        assert_memory_equal(actor_memory(&actor, VALUE_AT), "hel.", 4);
        assert_int_equal(pd_get_u32(actor_memory(&actor, OUT_AT)), 5);
        assert_int_equal(actor_u64(&actor, OUT_AT + 8), 3);
        assert_int_equal(actor_u64(&actor, OUT_AT + 16), 7);
        assert_int_equal(actor_u64(&actor, OUT_AT + 24), 2);
        assert_string_equal(fake_kv.key, "app/key");
        assert_string_equal(fake_kv.prefix, "app/");
        assert_int_equal(fake_kv.ask.kind, PD_KV_ASK_GET);
        assert_int_equal(fake_kv.ask.flags, i == 0 ? 0 : PD_KV_ASK_LOCAL);
    }
    fake_kv.code = PD_KV_CODE_ABSENT;
    assert_int_equal(CALL(&actor, KV, "get", KEY_AT, 7, VALUE_AT, 3, OUT_AT), PD_KV_CODE_ABSENT);
    fake_kv.code = PD_KV_CODE_OK;
    fake_kv.size = 3;
    assert_int_equal(CALL(&actor, KV, "get", KEY_AT, 7, VALUE_AT, 3, OUT_AT), PD_KV_CODE_UNKNOWN);
}

/* A key in memory, on a leader with a lease: nothing is asked, the guest goes on at once. */
static void get_of_a_hot_key_does_not_wait(void **state)
{
    (void)state;
    uint8_t bytes[128];
    struct actor actor = spawn();
    fake_kv.size = fake_kv_record(bytes, "app/key", "hot");
    fake_kv.bytes = bytes;
    fake_kv.now_status = PD_OK;
    BEGIN(&actor, KV, "get", KEY_AT, 7, VALUE_AT, 8, OUT_AT);
    assert_int_equal(actor_guest(&actor)->state, FAKE_DONE);
    assert_int_equal(actor_result(&actor), 0);
    assert_memory_equal(actor_memory(&actor, VALUE_AT), "hot", 3);
    fake_kv.now_status = PD_ERR_UNKNOWN;
    assert_int_equal(CALL(&actor, KV, "get", KEY_AT, 7, VALUE_AT, 8, OUT_AT), PD_KV_CODE_ABSENT);
    assert_int_equal(fake_kv.begun, 0);
    /* Not its own: never looked at, refused by the fake_kv. */
    (void)actor_put(&actor, KEY_AT, "other/x");
    fake_kv.now_status = PD_OK;
    fake_kv.begin_code = PD_KV_CODE_DENIED;
    assert_int_equal(CALL(&actor, KV, "get", KEY_AT, 7, VALUE_AT, 8, OUT_AT), PD_KV_CODE_DENIED);
    assert_int_equal(fake_kv.begun, 1);
}

static void put_and_delete(void **state)
{
    (void)state;
    struct actor actor = spawn();
    fake_kv.revision = 41;
    assert_int_equal(CALL(&actor, KV, "put", KEY_AT, 7, VALUE_AT, 5, 9, 2, OUT_AT), 0);
    assert_int_equal(actor_u64(&actor, OUT_AT), 41);
    assert_string_equal(fake_kv.value, "value");
    assert_int_equal(fake_kv.ask.lease, 9);
    assert_int_equal(fake_kv.ask.flags, PD_KV_ASK_PREVIOUS);
    uint8_t deleted[8];
    pd_put_u64(deleted, 12);
    fake_kv.bytes = deleted;
    fake_kv.size = sizeof deleted;
    assert_int_equal(CALL(&actor, KV, "delete", KEY_AT, 7, VALUE_AT, 5, 0, OUT_AT), 0);
    assert_int_equal(actor_u64(&actor, OUT_AT), 41);
    assert_int_equal(actor_u64(&actor, OUT_AT + 8), 12);
    assert_string_equal(fake_kv.end, "value");
    fake_kv.size = 7;
    assert_int_equal(CALL(&actor, KV, "delete", KEY_AT, 7, VALUE_AT, 5, 0, OUT_AT),
                     PD_KV_CODE_UNKNOWN);
}

static void range_and_txn_leave_an_answer_to_read(void **state)
{
    (void)state;
    uint8_t bytes[256];
    struct actor actor = spawn();
    pd_put_u64(bytes, 2);
    pd_put_u32(bytes + 8, 1);
    pd_put_u32(bytes + 12, 1);
    fake_kv.size = 16 + fake_kv_record(bytes + 16, "app/key", "hello");
    fake_kv.bytes = bytes;
    fake_kv.revision = 5;
    assert_int_equal(CALL(&actor, KV, "answer_left"), 0);
    assert_int_equal(CALL(&actor, KV, "range", KEY_AT, 7, VALUE_AT, 1, 10, 4, 31 & ~2u, OUT_AT), 0);
    assert_int_equal(fake_kv.ask.limit, 10);
    assert_int_equal(fake_kv.ask.revision, 4);
    assert_int_equal(actor_u64(&actor, OUT_AT), 5);
    assert_int_equal(actor_u64(&actor, OUT_AT + 8), 2);
    assert_int_equal(pd_get_u32(actor_memory(&actor, OUT_AT + 16)), 1);
    uint32_t left = (uint32_t)CALL(&actor, KV, "answer_left");
    assert_int_equal(left, PD_KV_PORT_RECORD_SIZE + 12);
    assert_int_equal(CALL(&actor, KV, "answer_read", 3000, 40), 40);
    assert_int_equal(CALL(&actor, KV, "answer_read", 3040, 1000), 12);
    assert_memory_equal(actor_memory(&actor, 3000), bytes + 16, left);
    assert_int_equal(CALL(&actor, KV, "answer_read", 3040, 1000), 0);
    /* The next call replaces it, also one that fails. */
    assert_int_equal(CALL(&actor, KV, "txn", KEY_AT, 16, OUT_AT), 0);
    assert_int_equal(CALL(&actor, KV, "answer_left"), fake_kv.size - 8);
    fake_kv.begin_code = PD_KV_CODE_INVALID;
    assert_int_equal(CALL(&actor, KV, "txn", KEY_AT, 16, OUT_AT), PD_KV_CODE_INVALID);
    has_failed_with(&actor, "not begun");
    assert_int_equal(CALL(&actor, KV, "answer_left"), 0);
    fake_kv.begin_code = PD_KV_CODE_OK;
    fake_kv.size = 5;
    assert_int_equal(CALL(&actor, KV, "txn", KEY_AT, 16, OUT_AT), PD_KV_CODE_UNKNOWN);
    assert_int_equal(CALL(&actor, KV, "range", KEY_AT, 7, 0, 0, 0, 0, 0, OUT_AT),
                     PD_KV_CODE_UNKNOWN);
}

static void leases_are_ones_own(void **state)
{
    (void)state;
    uint8_t bytes[16];
    struct actor actor = spawn();
    pd_put_u64(bytes, 77);
    pd_put_u64(bytes + 8, 30);
    fake_kv.bytes = bytes;
    fake_kv.size = sizeof bytes;
    assert_int_equal(CALL(&actor, KV, "lease_keepalive", 77, OUT_AT), PD_KV_CODE_DENIED);
    assert_int_equal(CALL(&actor, KV, "lease_revoke", 77), PD_KV_CODE_DENIED);
    has_failed_with(&actor, "not this process's own");
    assert_int_equal(CALL(&actor, KV, "lease_grant", 30, 0, OUT_AT), 0);
    assert_int_equal(fake_kv.ask.limit, 30);
    assert_int_equal(actor_u64(&actor, OUT_AT), 77);
    assert_int_equal(actor_u64(&actor, OUT_AT + 8), 30);
    assert_int_equal(CALL(&actor, KV, "lease_keepalive", 77, OUT_AT), 0);
    pd_put_u64(bytes + 8, 0); /* gone meanwhile, as the store tells it */
    assert_int_equal(CALL(&actor, KV, "lease_keepalive", 77, OUT_AT), PD_KV_CODE_ABSENT);
    assert_int_equal(actor_u64(&actor, OUT_AT + 8), 30); /* written with OK alone */
    assert_int_equal(CALL(&actor, KV, "lease_revoke", 77), PD_KV_CODE_DENIED);
    for (uint32_t i = 0; i < 64; i++) {
        pd_put_u64(bytes, 100 + i);
        pd_put_u64(bytes + 8, 30);
        assert_int_equal(CALL(&actor, KV, "lease_grant", 30, 0, OUT_AT), 0);
    }
    assert_int_equal(CALL(&actor, KV, "lease_grant", 30, 0, OUT_AT), PD_KV_CODE_FULL);
    /* One that has gone by itself leaves its place to another. */
    fake_kv.code = PD_KV_CODE_ABSENT;
    assert_int_equal(CALL(&actor, KV, "lease_revoke", 110), PD_KV_CODE_ABSENT);
    assert_int_equal(CALL(&actor, KV, "lease_revoke", 110), PD_KV_CODE_DENIED);
    fake_kv.code = PD_KV_CODE_OK;
    pd_put_u64(bytes, 200);
    assert_int_equal(CALL(&actor, KV, "lease_grant", 30, 0, OUT_AT), 0);
    assert_int_equal(CALL(&actor, KV, "lease_grant", 30, 0, OUT_AT), PD_KV_CODE_FULL);
    /* And so do all whose time is long over; one that is kept stays. */
    world.host.now_ns += 100 * UINT64_C(1000000000);
    pd_put_u64(bytes, 120);
    assert_int_equal(CALL(&actor, KV, "lease_keepalive", 120, OUT_AT), 0);
    world.host.now_ns += 100 * UINT64_C(1000000000);
    pd_put_u64(bytes, 300);
    assert_int_equal(CALL(&actor, KV, "lease_grant", 30, 0, OUT_AT), 0);
    assert_int_equal(CALL(&actor, KV, "lease_revoke", 121), PD_KV_CODE_DENIED);
    assert_int_equal(CALL(&actor, KV, "lease_revoke", 120), 0);
    struct actor all = spawn_with_prefix("");
    assert_int_equal(CALL(&all, KV, "lease_revoke", 5), 0);
}

/* --- Failures --------------------------------------------------------------------------------- */

static void every_code_reaches_the_guest_with_words(void **state)
{
    (void)state;
    struct actor actor = spawn();
    for (uint32_t code = PD_KV_CODE_ABSENT; code <= PD_KV_CODE_COMPACTED; code++) {
        fake_kv.code = (enum pd_kv_code)code;
        assert_int_equal(CALL(&actor, KV, "put", KEY_AT, 7, VALUE_AT, 5, 0, 0, OUT_AT), code);
        has_failed_with(&actor, "the port says no");
        fake_kv.code = PD_KV_CODE_OK;
        fake_kv.begin_code = (enum pd_kv_code)code;
        assert_int_equal(CALL(&actor, KV, "put", KEY_AT, 7, VALUE_AT, 5, 0, 0, OUT_AT), code);
        has_failed_with(&actor, "not begun");
        fake_kv.begin_code = PD_KV_CODE_OK;
    }
    struct actor fresh = spawn();
    has_failed_with(&fresh, "nothing has failed");
}

static void without_a_store_or_a_right(void **state)
{
    (void)state;
    struct actor denied = spawn_with_prefix(NULL);
    assert_int_equal(CALL(&denied, KV, "put", KEY_AT, 7, VALUE_AT, 5, 0, 0, OUT_AT),
                     PD_KV_CODE_DENIED);
    has_failed_with(&denied, "--allow-kv");
    assert_int_equal(CALL(&denied, KV, "get", KEY_AT, 7, VALUE_AT, 5, OUT_AT), PD_KV_CODE_DENIED);
    assert_int_equal(CALL(&denied, KV, "watch", KEY_AT, 7, 0, 0, 0, 1, 0, OUT_AT),
                     PD_KV_CODE_DENIED);
    assert_int_equal(CALL(&denied, KV, "lease_grant", 5, 0, OUT_AT), PD_KV_CODE_DENIED);
    struct actor actor = spawn();
    world.system.kv = NULL;
    assert_int_equal(CALL(&actor, KV, "put", KEY_AT, 7, VALUE_AT, 5, 0, 0, OUT_AT),
                     PD_KV_CODE_UNAVAILABLE);
    has_failed_with(&actor, "no store");
    assert_int_equal(CALL(&actor, KV, "get", KEY_AT, 7, VALUE_AT, 5, OUT_AT),
                     PD_KV_CODE_UNAVAILABLE);
    assert_int_equal(CALL(&actor, KV, "unwatch", 1), PD_KV_CODE_ABSENT);
    assert_int_equal(fake_kv.begun, 0);
}

static void rights_only_shrink(void **state)
{
    (void)state;
    struct actor actor = spawn();
    uint64_t config = CALL(&actor, "lunatic::process", "create_config");
    const struct pd_rights *rights = pd_id_table_get(&actor_wasm(&actor)->configs, config);
    assert_false(rights->can_kv); /* nothing, unless it is given */
    (void)actor_put(&actor, 64, "app/part/");
    (void)CALL(&actor, KV, "config_allow", config, 64, 9);
    assert_true(rights->can_kv);
    assert_int_equal(rights->kv_prefix_size, 9);
    assert_true(pd_rights_within(rights, actor_wasm(&actor)->rights));
    assert_false(pd_rights_within(actor_wasm(&actor)->rights, rights));
    struct pd_rights *copy = pd_rights_copy(rights);
    assert_non_null(copy);
    assert_true(pd_rights_within(copy, rights) && pd_rights_within(rights, copy));
    pd_rights_release(copy);
    (void)actor_put(&actor, 64, "apple");
    assert_says(TRAP(&actor, KV, "config_allow", config, 64, 3), "permission denied");
    assert_int_equal(world.last_reason, PD_EXIT_DENIED);
    struct actor none = spawn_with_prefix(NULL);
    config = CALL(&none, "lunatic::process", "create_config");
    assert_says(TRAP(&none, KV, "config_allow", config, 0, 0), "permission denied");
    struct actor unknown = spawn();
    assert_says(TRAP(&unknown, KV, "config_allow", 99, 0, 0), "no configuration");
}

static void prefixes_cover(void **state)
{
    (void)state;
    static const struct {
        const char *prefix;
        const char *key;
        const char *end;
        uint32_t end_size;
        bool covers;
    } cases[] = {
        {"", "", "", 0, true},
        {"", "a", "", 1, true},
        {"a", "a", "", 0, true},
        {"a", "b", "", 0, false},
        {"ab", "a", "", 0, false},
        {"a", "ab", "b", 1, true},
        {"a", "ab", "c", 1, false},
        {"a", "ab", "b0", 2, false},
        {"a", "ab", "azzz", 4, true},
        {"a", "ab", "\0", 1, false},
        {"a\xFF", "a\xFF", "b", 1, true},
        {"a\xFF", "a\xFF", "b1", 2, false},
        {"\xFF", "\xFF", "\0", 1, true},
        {"\xFF", "\xFF", "\xFF\xFF", 2, true},
        {"ab", "ab", "ac", 2, true},
        {"ab", "abc", "ab", 2, true},
        {"ab", "ab", "b", 1, false},
        {"ab", "ab", "a", 1, true}, /* an empty range */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct pd_span prefix = {(const uint8_t *)cases[i].prefix, strlen(cases[i].prefix)};
        const struct pd_span key = {(const uint8_t *)cases[i].key, strlen(cases[i].key)};
        const struct pd_span end = {(const uint8_t *)cases[i].end, cases[i].end_size};
        if (pd_kv_port_covers(prefix, key, end) != cases[i].covers) {
            fail_msg("case %zu", i);
        }
    }
}

static void mistakes_trap(void **state)
{
    (void)state;
    const uint32_t edge = FAKE_MEMORY_SIZE - 4;
    static const char bounds[] = "pointer out of bounds";
    struct actor actor = spawn();
    assert_says(TRAP(&actor, KV, "get", edge, 7, VALUE_AT, 3, OUT_AT), bounds);
    actor = spawn();
    assert_says(TRAP(&actor, KV, "get", KEY_AT, 7, edge, 5, OUT_AT), bounds);
    actor = spawn();
    assert_says(TRAP(&actor, KV, "get", KEY_AT, 7, VALUE_AT, 3, edge), bounds);
    actor = spawn();
    assert_says(TRAP(&actor, KV, "put", KEY_AT, 7, edge, 5, 0, 0, OUT_AT), bounds);
    actor = spawn();
    assert_says(TRAP(&actor, KV, "put", KEY_AT, 7, VALUE_AT, 5, 0, 0, edge), bounds);
    actor = spawn();
    assert_says(TRAP(&actor, KV, "put", KEY_AT, 7, VALUE_AT, 5, 0, 4, OUT_AT), "flags");
    actor = spawn();
    assert_says(TRAP(&actor, KV, "range", KEY_AT, 7, 0, 0, 0, 0, 128, OUT_AT), "flags");
    actor = spawn();
    assert_says(TRAP(&actor, KV, "watch", KEY_AT, 7, 0, 0, 0, 0, 1, OUT_AT), "flags");
    actor = spawn();
    assert_says(TRAP(&actor, KV, "answer_read", edge, 5), bounds);
    assert_int_equal(fake_kv.begun, 0); /* nothing is asked of who cannot take the answer */
}

/* Any function with any arguments; whatever is begun is given back. */
static void hostile_arguments(void **state)
{
    (void)state;
    uint8_t bytes[64] = {0};
    struct pd_random random;
    pd_random_init(&random, 5, "kv");
    fake_kv.bytes = bytes;
    for (size_t index = 0; index < hostile_import_count(); index++) {
        const struct pd_import *import = hostile_import(index);
        for (uint32_t round = 0; strcmp(import->module, KV) == 0 && round < 60; round++) {
            uint64_t numbers[PD_CALL_ARGUMENTS_MAX];
            for (uint32_t i = 0; i < PD_CALL_ARGUMENTS_MAX; i++) {
                numbers[i] = hostile_numbers[pd_random_below(&random, HOSTILE_NUMBER_COUNT)];
            }
            fake_kv.holds = round % 5 == 4;
            fake_kv.size = round % 3 == 0 ? 0 : pd_random_below(&random, sizeof bytes);
            numbers[1] &= 31;
            struct actor actor = spawn();
            (void)hostile_call(&actor, import, numbers);
            hostile_purge(&world);
        }
    }
    fake_kv.holds = false;
}

/* --- Waiting ---------------------------------------------------------------------------------- */

static void a_call_waits_for_its_answer_or_the_time(void **state)
{
    (void)state;
    struct actor actor = spawn();
    (void)CALL(&actor, KV, "set_timeout", 250);
    fake_kv.holds = true;
    uint64_t began_ns = world.host.now_ns;
    BEGIN(&actor, KV, "put", KEY_AT, 7, VALUE_AT, 5, 0, 0, OUT_AT);
    assert_true(actor_is_waiting(&actor));
    assert_int_equal(fake_kv.ask.deadline_ns, began_ns + 250 * MS);
    world_pass(&world, 100 * MS);
    assert_true(actor_is_waiting(&actor));
    fake_kv.holds = false;
    pd_wasm_wake(fake_kv.ask.process);
    actor_finish(&actor);
    assert_int_equal(actor_result(&actor), 0);
    /* Without a wake: at the time that the port wanted. */
    fake_kv.holds = true;
    BEGIN(&actor, KV, "put", KEY_AT, 7, VALUE_AT, 5, 0, 0, OUT_AT);
    fake_kv.holds = false;
    fake_kv.code = PD_KV_CODE_UNKNOWN;
    world_pass(&world, 251 * MS);
    assert_int_equal(actor_result(&actor), PD_KV_CODE_UNKNOWN);
}

static void who_is_killed_leaves_nothing_behind(void **state)
{
    (void)state;
    static const char *const names[] = {"get", "put", "delete", "range", "txn", "watch"};
    fake_kv.holds = true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct actor actor = spawn();
        const uint64_t arguments[] = {KEY_AT, 7, VALUE_AT, 0, 0, 0, 0, OUT_AT};
        uint64_t given[8];
        memcpy(given, arguments, sizeof given);
        given[i == 0 ? 4 : i == 1 ? 6 : i == 2 ? 5 : i == 4 ? 2 : 7] = OUT_AT;
        given[i == 2 ? 4 : 6] = i == 1 ? OUT_AT : 0;
        actor_begin(&actor, abi_find(KV, names[i]), given, 8);
        assert_true(actor_is_waiting(&actor));
        assert_int_equal(fake_kv.asking, 1);
        void *process = fake_kv.ask.process;
        assert_int_equal(pd_mailbox_kill(world.environment, actor.pid, PD_EXIT_KILLED, NULL),
                         PD_OK);
        world_pass(&world, MS);
        assert_false(actor_lives(&actor));
        assert_int_equal(fake_kv.asking, 0);
        pd_wasm_wake(process); /* an answer that comes too late: its memory is of the pool */
        world_pass(&world, MS);
    }
}

/* --- Watches ---------------------------------------------------------------------------------- */

static uint64_t begin_watch(struct actor *actor, uint64_t tag)
{
    fake_kv.revision = 6;
    assert_int_equal(CALL(actor, KV, "watch", KEY_AT, 7, VALUE_AT, 5, 3, tag, 2, OUT_AT), 0);
    assert_int_equal(fake_kv.ask.kind, PD_KV_ASK_WATCH);
    assert_int_equal(fake_kv.ask.revision, 3);
    assert_int_equal(fake_kv.ask.flags, PD_KV_ASK_PREVIOUS);
    assert_int_equal(actor_u64(actor, OUT_AT + 8), 6);
    return actor_u64(actor, OUT_AT);
}

/* The next message must be a block of the watch. */
static void receives(struct actor *actor, uint64_t watch, const char *wanted)
{
    char text[64];
    assert_int_equal(actor_receive(actor, text, sizeof text), 0);
    assert_int_equal(pd_get_u64((const uint8_t *)text), watch);
    assert_string_equal(text + 8, wanted);
}

static void events_come_as_messages(void **state)
{
    (void)state;
    struct actor actor = spawn();
    uint64_t watch = begin_watch(&actor, 44);
    assert_true(watch != 0);
    char text[64];
    assert_int_equal(actor_receive(&actor, text, sizeof text), 9027);
    fake_kv_give_block("first", false);
    fake_kv_give_block("second", false);
    pd_wasm_wake(fake_kv.ask.process);
    receives(&actor, watch, "first");
    assert_int_equal(CALL(&actor, "lunatic::message", "get_tag"), 44);
    assert_int_equal(fake_kv.credit_back, 0); /* it still lies in scratch */
    receives(&actor, watch, "second");
    assert_int_equal(fake_kv.credit_back, 10);
    assert_int_equal(actor_receive(&actor, text, sizeof text), 9027);
    /* One that waits in receive is woken by what comes. */
    BEGIN(&actor, "lunatic::message", "receive", 0, 0, UINT64_MAX);
    assert_true(actor_is_waiting(&actor));
    fake_kv_give_block("third", false);
    pd_wasm_wake(fake_kv.ask.process);
    actor_finish(&actor);
    assert_int_equal(actor_result(&actor), 0);
    assert_int_equal(fake_kv.credit_back, 20);
    assert_int_equal(CALL(&actor, KV, "unwatch", watch), 0);
    assert_int_equal(CALL(&actor, KV, "unwatch", watch), PD_KV_CODE_ABSENT);
    assert_int_equal(fake_kv.asking, 0);
    assert_int_equal(fake_kv.open, 1); /* the message still holds its share */
}

static void the_last_block_ends_the_watch(void **state)
{
    (void)state;
    struct actor actor = spawn();
    uint64_t watch = begin_watch(&actor, 1);
    fake_kv_give_block("compacted", true);
    receives(&actor, watch, "compacted");
    assert_int_equal(fake_kv.asking, 0);
    assert_int_equal(CALL(&actor, KV, "unwatch", watch), PD_KV_CODE_ABSENT);
}

/* The mailbox takes 8 messages: the others wait beside it, in order, and nothing is lost. */
static void a_full_mailbox_holds_the_watch_back(void **state)
{
    (void)state;
    struct actor actor = spawn();
    uint64_t watch = begin_watch(&actor, 1);
    for (uint32_t i = 0; i < 30; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "event %u", i);
        fake_kv_give_block(text, false);
    }
    pd_wasm_wake(fake_kv.ask.process);
    world_pass(&world, MS);
    struct pd_mailbox_view view;
    assert_int_equal(pd_mailbox_look(world.environment, actor.pid, &view, NULL, NULL), PD_OK);
    assert_int_equal(view.message_count, 8);
    for (uint32_t i = 0; i < 30; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "event %u", i);
        receives(&actor, watch, text);
    }
    assert_int_equal(fake_kv.credit_back, 290);
    (void)CALL(&actor, "lunatic::message", "create_data", 0, 0);
    assert_int_equal(fake_kv.credit_back, 300);
}

static void watches_have_a_limit_and_end_with_their_process(void **state)
{
    (void)state;
    struct actor actor = spawn();
    for (uint32_t i = 0; i < 16; i++) {
        (void)begin_watch(&actor, i);
    }
    assert_int_equal(CALL(&actor, KV, "watch", KEY_AT, 7, 0, 0, 0, 1, 0, OUT_AT), PD_KV_CODE_FULL);
    has_failed_with(&actor, "as many watches");
    assert_int_equal(CALL(&actor, KV, "watch", KEY_AT, 0, 0, 0, 0, 1, 0, OUT_AT),
                     PD_KV_CODE_INVALID);
    fake_kv_give_block("unread", false);
    pd_wasm_wake(fake_kv.ask.process);
    world_pass(&world, MS);
    assert_int_equal(pd_mailbox_kill(world.environment, actor.pid, PD_EXIT_KILLED, NULL), PD_OK);
    world_pass(&world, MS);
    assert_int_equal(fake_kv.asking, 0);
    assert_int_equal(fake_kv.open, 0);
    assert_int_equal(fake_kv.credit_back, 10);
}

static void no_memory(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth < 12; nth++) {
        struct actor actor = spawn();
        uint64_t watch = begin_watch(&actor, 1);
        fake_kv_give_block("block", false);
        pd_alloc_fail_nth(nth);
        pd_wasm_wake(fake_kv.ask.process);
        world_pass(&world, MS);
        pd_alloc_fail_nth(0);
        receives(&actor, watch, "block");
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(get_copies_what_fits),
        TEST(get_of_a_hot_key_does_not_wait),
        TEST(put_and_delete),
        TEST(range_and_txn_leave_an_answer_to_read),
        TEST(leases_are_ones_own),
        TEST(every_code_reaches_the_guest_with_words),
        TEST(without_a_store_or_a_right),
        TEST(rights_only_shrink),
        TEST(prefixes_cover),
        TEST(mistakes_trap),
        TEST(hostile_arguments),
        TEST(a_call_waits_for_its_answer_or_the_time),
        TEST(who_is_killed_leaves_nothing_behind),
        TEST(events_come_as_messages),
        TEST(the_last_block_ends_the_watch),
        TEST(a_full_mailbox_holds_the_watch_back),
        TEST(watches_have_a_limit_and_end_with_their_process),
        TEST(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
