/* lunatic::message: the scratch message, what it carries, sending, receiving. Sockets in messages
 * are the business of the net tests. */
#include "abi_actor.h"

#define MESSAGE "lunatic::message"
#define PROCESS "lunatic::process"
#define DATA 0u
#define LINK_DIED 1u
#define PROCESS_DIED 2u
#define TIMED_OUT 9027u
#define NEVER UINT64_MAX
#define AT 1000u
#define TAGS_AT 2000u

struct fixture {
    struct world world;
    struct actor a;
    struct actor b;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pd_runtime_config config = world_config();
    world_open(&f->world, &config);
    f->a = actor_spawn(&f->world);
    f->b = actor_spawn(&f->world);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    world_close(&f->world);
    free(f);
    return 0;
}

static void kill_actor(struct actor *actor)
{
    assert_int_equal(pd_mailbox_kill(actor->world->environment, actor->pid, PD_EXIT_KILLED, NULL),
                     PD_OK);
    world_pass(actor->world, MS);
    assert_false(actor_lives(actor));
}

static void send(struct actor *from, const struct actor *to, uint64_t tag, const char *text)
{
    actor_create_message(from, tag, text);
    assert_int_equal(CALL(from, MESSAGE, "send", to->pid), 0);
}

static uint32_t receive(struct actor *actor, uint64_t timeout)
{
    return (uint32_t)CALL(actor, MESSAGE, "receive", 0, 0, timeout);
}

static void put_tags(const struct actor *actor, const uint64_t *tags, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        pd_put_u64(actor_memory(actor, TAGS_AT + i * 8), tags[i]);
    }
}

static uint32_t receive_tagged(struct actor *actor, const uint64_t *tags, uint32_t count,
                               uint64_t timeout)
{
    put_tags(actor, tags, count);
    return (uint32_t)CALL(actor, MESSAGE, "receive", TAGS_AT, count, timeout);
}

/* What the scratch message says from its beginning. */
static void check_text(struct actor *actor, const char *text)
{
    size_t size = strlen(text);
    assert_int_equal(CALL(actor, MESSAGE, "data_size"), size);
    (void)CALL(actor, MESSAGE, "seek_data", 0);
    assert_int_equal(CALL(actor, MESSAGE, "read_data", AT, 500), size);
    assert_memory_equal(actor_memory(actor, AT), text, size);
}

/* A notice in the scratch of an actor: it watched somebody who died. */
static struct actor with_notice(struct fixture *f)
{
    struct actor actor = actor_spawn(&f->world);
    struct actor mortal = actor_spawn(&f->world);
    (void)CALL(&actor, PROCESS, "monitor", mortal.pid);
    kill_actor(&mortal);
    assert_int_equal(receive(&actor, 0), PROCESS_DIED);
    return actor;
}

/* --- Scratch ---------------------------------------------------------------------------------- */

static void writes_append_and_reads_go_on(void **state)
{
    struct fixture *f = *state;
    (void)CALL(&f->a, MESSAGE, "create_data", 7, 2);
    assert_int_equal(CALL(&f->a, MESSAGE, "data_size"), 0);
    (void)actor_put(&f->a, AT, "hello, world");
    assert_int_equal(CALL(&f->a, MESSAGE, "write_data", AT, 7), 7);
    assert_int_equal(CALL(&f->a, MESSAGE, "write_data", AT + 7, 5), 5);
    assert_int_equal(CALL(&f->a, MESSAGE, "write_data", FAKE_MEMORY_SIZE, 0), 0);
    assert_int_equal(CALL(&f->a, MESSAGE, "data_size"), 12);
    memset(actor_memory(&f->a, AT), '#', 20);
    assert_int_equal(CALL(&f->a, MESSAGE, "read_data", AT, 5), 5);
    assert_int_equal(CALL(&f->a, MESSAGE, "read_data", AT + 5, 100), 7);
    assert_memory_equal(actor_memory(&f->a, AT), "hello, world########", 20);
    assert_int_equal(CALL(&f->a, MESSAGE, "read_data", AT, 100), 0); /* the end, and no error */
    (void)CALL(&f->a, MESSAGE, "seek_data", 7);
    assert_int_equal(CALL(&f->a, MESSAGE, "read_data", FAKE_MEMORY_SIZE - 5, 5), 5);
    assert_memory_equal(actor_memory(&f->a, FAKE_MEMORY_SIZE - 5), "world", 5);
    (void)CALL(&f->a, MESSAGE, "seek_data", 12);
    assert_int_equal(CALL(&f->a, MESSAGE, "read_data", 0, 0), 0);
}

static void a_new_message_replaces_the_old(void **state)
{
    struct fixture *f = *state;
    actor_create_message(&f->a, 7, "old");
    assert_int_equal(CALL(&f->a, MESSAGE, "get_tag"), 7);
    (void)CALL(&f->a, MESSAGE, "create_data", 0, UINT64_MAX); /* a hint is not believed */
    assert_int_equal(CALL(&f->a, MESSAGE, "get_tag"), 0);
    assert_int_equal(CALL(&f->a, MESSAGE, "data_size"), 0);
    assert_int_equal(CALL(&f->a, MESSAGE, "get_process_id"), 0);
    (void)CALL(&f->a, MESSAGE, "create_data", UINT64_MAX, 0);
    assert_true(CALL(&f->a, MESSAGE, "get_tag") == UINT64_MAX);
}

static void reading_behind_the_end_traps(void **state)
{
    struct fixture *f = *state;
    static const uint64_t positions[] = {4, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX};
    for (size_t i = 0; i < 4; i++) {
        struct actor actor = actor_spawn(&f->world);
        actor_create_message(&actor, 1, "abc");
        (void)CALL(&actor, MESSAGE, "seek_data", positions[i]);
        assert_says(TRAP(&actor, MESSAGE, "read_data", AT, 1), "behind the end");
    }
}

static const struct {
    const char *name;
    bool takes_notices;
} on_scratch[] = {
    {"write_data", false},      {"read_data", false},
    {"seek_data", false},       {"data_size", false},
    {"push_module", false},     {"take_module", false},
    {"get_tag", true},          {"get_process_id", true},
    {"push_tcp_stream", false}, {"send", true},
    {"push_udp_socket", false}, {"take_tcp_stream", false},
    {"take_udp_socket", false}, {"push_tls_stream", false},
    {"take_tls_stream", false},
};

static void without_a_message_all_trap(void **state)
{
    struct fixture *f = *state;
    const uint64_t arguments[3] = {0, 0, 0};
    for (size_t i = 0; i < sizeof on_scratch / sizeof on_scratch[0]; i++) {
        struct actor actor = actor_spawn(&f->world);
        assert_says(actor_trap(&actor, MESSAGE, on_scratch[i].name, arguments, 3), "no message");
    }
    struct actor actor = actor_spawn(&f->world);
    assert_says(actor_trap(&actor, MESSAGE, "send_receive_skip_search", arguments, 3),
                "no message");
}

static void a_notice_carries_no_data(void **state)
{
    struct fixture *f = *state;
    const uint64_t arguments[3] = {0, 0, 0};
    for (size_t i = 0; i < sizeof on_scratch / sizeof on_scratch[0]; i++) {
        struct actor actor = with_notice(f);
        if (on_scratch[i].takes_notices) {
            (void)actor_call(&actor, MESSAGE, on_scratch[i].name, arguments, 3);
        } else {
            assert_says(actor_trap(&actor, MESSAGE, on_scratch[i].name, arguments, 3),
                        "notice of a death");
        }
    }
}

static void pointers_out_of_bounds_trap(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint64_t address, size;
    } bad[] = {{FAKE_MEMORY_SIZE - 2, 3},
               {FAKE_MEMORY_SIZE + 1, 0},
               {0, FAKE_MEMORY_SIZE + 1},
               {0xFFFFFFFF, 1},
               {0xFFFFFFFF, 0xFFFFFFFF}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        static const char *const names[] = {"write_data", "read_data"};
        for (size_t j = 0; j < 2; j++) {
            struct actor actor = actor_spawn(&f->world);
            actor_create_message(&actor, 1, "abc");
            assert_says(TRAP(&actor, MESSAGE, names[j], bad[i].address, bad[i].size),
                        "out of bounds");
        }
    }
    static const struct {
        uint64_t address, count;
        const char *says;
    } tags[] = {{FAKE_MEMORY_SIZE - 7, 1, "tags: pointer out of bounds"},
                {0, FAKE_MEMORY_SIZE / 8 + 1, "tags: pointer out of bounds"},
                {0xFFFFFFFF, 40, "tags: pointer out of bounds"},
                {0, 65537, "65537 tags"},
                {0, 0xFFFFFFFF, "more than the 65536"}};
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        struct actor actor = actor_spawn(&f->world);
        assert_says(TRAP(&actor, MESSAGE, "receive", tags[i].address, tags[i].count, 0),
                    tags[i].says);
    }
}

static void a_message_has_a_largest_size(void **state)
{
    struct fixture *f = *state;
    uint32_t max = f->world.runtime.config.message_bytes_max;
    assert_int_equal(max, FAKE_MEMORY_SIZE);
    (void)CALL(&f->a, MESSAGE, "create_data", 0, max);
    assert_int_equal(CALL(&f->a, MESSAGE, "write_data", 0, max), max);
    assert_int_equal(CALL(&f->a, MESSAGE, "write_data", 0, 0), 0);
    assert_says(TRAP(&f->a, MESSAGE, "write_data", 0, 1), "largest size");
}

/* In the scratch or in a mailbox: what is beyond traps, and what was taken in is free again. */
static void messages_count_on_the_budget_of_all(void **state)
{
    struct fixture *f = *state;
    struct pd_memory_budget budget = {.bytes_max = 5000};
    f->world.system.budget = &budget;
    (void)CALL(&f->a, MESSAGE, "create_data", 0, 2000);
    (void)CALL(&f->a, MESSAGE, "create_data", 0, 2000); /* the former one is gone */
    assert_int_equal(CALL(&f->a, MESSAGE, "send", f->b.pid), 0);
    (void)CALL(&f->a, MESSAGE, "create_data", 0, 2000);
    assert_says(TRAP(&f->a, MESSAGE, "create_data", 0, 2000), "no memory for a message");
    assert_int_equal(receive(&f->b, 0), DATA);
    (void)CALL(&f->b, MESSAGE, "create_data", 0, 2500);
    assert_says(TRAP(&f->b, MESSAGE, "write_data", 0, 4900), "no memory for the message");
    world_pass(&f->world, MS);
    assert_int_equal(atomic_load(&budget.bytes), 0);
    assert_int_equal(atomic_load(&budget.refused[PD_MEMORY_MESSAGE]), 2);
    f->world.system.budget = NULL;
}

/* --- Modules ---------------------------------------------------------------------------------- */

static uint64_t compile(struct actor *actor)
{
    memcpy(actor_memory(actor, 0), "\0asm", 4);
    assert_int_equal(CALL(actor, PROCESS, "compile_module", 0, 4, 16), 0);
    return actor_u64(actor, 16);
}

static void modules_are_copied_along(void **state)
{
    struct fixture *f = *state;
    uint64_t first = compile(&f->a);
    uint64_t second = compile(&f->a);
    actor_create_message(&f->a, 0, "two");
    assert_int_equal(CALL(&f->a, MESSAGE, "push_module", second), 0);
    assert_int_equal(CALL(&f->a, MESSAGE, "push_module", first), 1);
    assert_int_equal(CALL(&f->a, MESSAGE, "send", f->b.pid), 0);
    (void)CALL(&f->a, PROCESS, "drop_module", first); /* it kept both */
    (void)CALL(&f->a, PROCESS, "drop_module", second);
    assert_int_equal(receive(&f->b, 0), DATA);
    assert_int_equal(CALL(&f->b, MESSAGE, "take_module", 1), 0); /* in any order; its own ids */
    assert_int_equal(CALL(&f->b, MESSAGE, "take_module", 0), 1);
    assert_says(TRAP(&f->b, MESSAGE, "take_module", 1), "no module at index 1"); /* taken */
}

/* As long as anybody has it. */
static void modules_count_on_the_budget_of_all(void **state)
{
    struct fixture *f = *state;
    struct pd_memory_budget budget = {.bytes_max = FAKE_MODULE_BYTES + 500};
    f->world.system.compile.memory = &budget;
    uint64_t module = compile(&f->a);
    assert_int_equal(CALL(&f->a, PROCESS, "compile_module", 0, 4, 16), 1);
    assert_int_equal(CALL(&f->a, "lunatic::error", "string_size", actor_u64(&f->a, 16)),
                     strlen("no memory for the module: all guests together have as much as they "
                            "may"));
    (void)CALL(&f->a, PROCESS, "drop_module", module);
    assert_int_equal(atomic_load(&budget.bytes), 0);
    (void)compile(&f->a);
    kill_actor(&f->a);
    assert_int_equal(atomic_load(&budget.bytes), 0);
    assert_int_equal(atomic_load(&budget.refused[PD_MEMORY_OTHER]), 1);
}

static void what_is_not_there_is_not_taken(void **state)
{
    struct fixture *f = *state;
    static const uint64_t indexes[] = {1, 256, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX};
    for (size_t i = 0; i < sizeof indexes / sizeof indexes[0]; i++) {
        struct actor actor = actor_spawn(&f->world);
        actor_create_message(&actor, 0, "one");
        (void)CALL(&actor, MESSAGE, "push_module", compile(&actor));
        assert_says(TRAP(&actor, MESSAGE, "take_module", indexes[i]), "no module at index");
    }
    /* Of another kind. */
    static const char *const others[] = {"take_tcp_stream", "take_tls_stream", "take_udp_socket"};
    for (size_t i = 0; i < 3; i++) {
        struct actor actor = actor_spawn(&f->world);
        actor_create_message(&actor, 0, "one");
        (void)CALL(&actor, MESSAGE, "push_module", compile(&actor));
        assert_says(TRAP(&actor, MESSAGE, others[i], 0), "the message has no");
    }
    static const uint64_t ids[] = {1, UINT64_MAX};
    for (size_t i = 0; i < 2; i++) {
        struct actor actor = actor_spawn(&f->world);
        (void)compile(&actor);
        actor_create_message(&actor, 0, "none");
        assert_says(TRAP(&actor, MESSAGE, "push_module", ids[i]), "no module has the id");
    }
}

static void a_message_carries_so_many(void **state)
{
    struct fixture *f = *state;
    uint64_t id = compile(&f->a);
    actor_create_message(&f->a, 0, "full");
    for (uint32_t i = 0; i < PD_MESSAGE_RESOURCES_MAX; i++) {
        assert_int_equal(CALL(&f->a, MESSAGE, "push_module", id), i);
    }
    assert_says(TRAP(&f->a, MESSAGE, "push_module", id), "as many resources as it can");
}

/* --- Sending ---------------------------------------------------------------------------------- */

static void what_is_sent_arrives_in_order(void **state)
{
    struct fixture *f = *state;
    send(&f->a, &f->b, 1, "one");
    assert_null(actor_wasm(&f->a)->scratch);
    send(&f->a, &f->b, 2, "two");
    send(&f->b, &f->b, 3, "mine"); /* to itself */
    static const char *const texts[] = {"one", "two", "mine"};
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(receive(&f->b, 0), DATA);
        assert_int_equal(CALL(&f->b, MESSAGE, "get_tag"), i + 1);
        assert_int_equal(CALL(&f->b, MESSAGE, "get_process_id"), 0);
        check_text(&f->b, texts[i]);
    }
    assert_int_equal(receive(&f->b, 0), TIMED_OUT);
}

static void a_dead_receiver_is_no_error(void **state)
{
    struct fixture *f = *state;
    kill_actor(&f->b);
    static const uint64_t missing[] = {0, 99, UINT64_MAX};
    send(&f->a, &f->b, 1, "too late");
    for (size_t i = 0; i < 3; i++) {
        actor_create_message(&f->a, 1, "to nobody");
        assert_int_equal(CALL(&f->a, MESSAGE, "send", missing[i]), 0);
        assert_null(actor_wasm(&f->a)->scratch);
    }
}

static void a_received_message_can_be_passed_on(void **state)
{
    struct fixture *f = *state;
    send(&f->a, &f->b, 6, "letter");
    assert_int_equal(receive(&f->b, 0), DATA);
    check_text(&f->b, "letter"); /* read to its end: the next one reads it from its beginning */
    assert_int_equal(CALL(&f->b, MESSAGE, "send", f->a.pid), 0);
    assert_int_equal(receive(&f->a, 0), DATA);
    assert_int_equal(CALL(&f->a, MESSAGE, "get_tag"), 6);
    assert_int_equal(CALL(&f->a, MESSAGE, "read_data", AT, 100), 6);
}

static void a_full_mailbox_makes_the_sender_wait(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < f->world.runtime.config.messages_max; i++) {
        send(&f->a, &f->b, 0, "x");
    }
    actor_create_message(&f->a, 0, "last");
    BEGIN(&f->a, MESSAGE, "send", f->b.pid);
    world_pass(&f->world, 100 * MS);
    assert_true(actor_is_waiting(&f->a));
    assert_int_equal(receive(&f->b, 0), DATA);
    actor_finish(&f->a);
    assert_int_equal(actor_result(&f->a), 0);
    uint32_t count = 1;
    while (receive(&f->b, 0) == DATA) {
        count++;
    }
    assert_int_equal(count, f->world.runtime.config.messages_max + 1);
    check_text(&f->b, "last");
}

static void nobody_can_wait_for_oneself(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < f->world.runtime.config.messages_max; i++) {
        send(&f->a, &f->a, 0, "x");
    }
    actor_create_message(&f->a, 0, "last");
    assert_says(TRAP(&f->a, MESSAGE, "send", f->a.pid), "its own mailbox is full");
}

/* --- Requests --------------------------------------------------------------------------------- */

static void a_request_skips_what_is_there(void **state)
{
    struct fixture *f = *state;
    send(&f->b, &f->a, 7, "stale, of the same tag");
    actor_create_message(&f->a, 1, "question");
    BEGIN(&f->a, MESSAGE, "send_receive_skip_search", f->b.pid, 7, NEVER);
    world_pass(&f->world, 100 * MS);
    assert_true(actor_is_waiting(&f->a));
    assert_int_equal(receive(&f->b, 0), DATA);
    check_text(&f->b, "question");
    send(&f->b, &f->a, 8, "something else");
    send(&f->b, &f->a, 7, "answer");
    actor_finish(&f->a);
    assert_int_equal(actor_result(&f->a), DATA);
    check_text(&f->a, "answer");
    /* What was skipped is still there, in its order. */
    assert_int_equal(receive(&f->a, 0), DATA);
    check_text(&f->a, "stale, of the same tag");
    assert_int_equal(receive(&f->a, 0), DATA);
    check_text(&f->a, "something else");
}

static void a_request_times_out_with_empty_scratch(void **state)
{
    struct fixture *f = *state;
    static const uint64_t timeouts[] = {0, 50};
    for (size_t i = 0; i < 2; i++) {
        actor_create_message(&f->a, 1, "question");
        uint64_t before = f->world.host.now_ns;
        assert_int_equal(CALL(&f->a, MESSAGE, "send_receive_skip_search", f->b.pid, 7, timeouts[i]),
                         TIMED_OUT);
        assert_true(f->world.host.now_ns - before >= timeouts[i] * MS);
        assert_null(actor_wasm(&f->a)->scratch);
        assert_int_equal(receive(&f->b, 0), DATA); /* it was sent */
    }
    send(&f->b, &f->a, 7, "late"); /* for a receive */
    assert_int_equal(receive(&f->a, 0), DATA);
}

static void tag_0_answers_no_request(void **state)
{
    struct fixture *f = *state;
    actor_create_message(&f->a, 1, "question");
    BEGIN(&f->a, MESSAGE, "send_receive_skip_search", f->b.pid, 0, 50);
    send(&f->b, &f->a, 0, "untagged");
    actor_finish(&f->a);
    assert_int_equal(actor_result(&f->a), TIMED_OUT);
    assert_int_equal(receive(&f->a, 0), DATA);
    check_text(&f->a, "untagged");
}

static void a_request_to_nobody_waits_for_its_time(void **state)
{
    struct fixture *f = *state;
    kill_actor(&f->b);
    actor_create_message(&f->a, 1, "question");
    assert_int_equal(CALL(&f->a, MESSAGE, "send_receive_skip_search", f->b.pid, 7, 20), TIMED_OUT);
}

/* --- Receiving -------------------------------------------------------------------------------- */

static void the_first_of_the_tags_is_taken(void **state)
{
    struct fixture *f = *state;
    static const uint64_t tags[] = {9, 3};
    static const uint64_t untagged[] = {0};
    send(&f->a, &f->b, 0, "untagged");
    send(&f->a, &f->b, 5, "five");
    send(&f->a, &f->b, 3, "three");
    send(&f->a, &f->b, 9, "nine");
    assert_int_equal(receive_tagged(&f->b, untagged, 1, 0), TIMED_OUT); /* 0 matches nothing */
    assert_int_equal(receive_tagged(&f->b, tags, 2, 0), DATA);
    check_text(&f->b, "three"); /* of the queue, not of the list */
    assert_int_equal(receive_tagged(&f->b, tags, 2, 0), DATA);
    check_text(&f->b, "nine");
    assert_int_equal(receive_tagged(&f->b, tags, 2, 0), TIMED_OUT);
    assert_int_equal(receive(&f->b, 0), DATA);
    check_text(&f->b, "untagged"); /* the rest in its order */
    assert_int_equal(receive(&f->b, 0), DATA);
    check_text(&f->b, "five");
}

static void many_tags_are_waited_for(void **state)
{
    struct fixture *f = *state;
    static uint64_t tags[4096];
    for (uint64_t i = 0; i < 4096; i++) {
        tags[i] = i + 10;
    }
    put_tags(&f->b, tags, 4096);
    BEGIN(&f->b, MESSAGE, "receive", TAGS_AT, 4096, NEVER);
    send(&f->a, &f->b, 9, "not this");
    assert_true(actor_is_waiting(&f->b));
    send(&f->a, &f->b, 4105, "this");
    actor_finish(&f->b);
    assert_int_equal(actor_result(&f->b), DATA);
    check_text(&f->b, "this");
}

#define TAGS_MAX 65536u
#define MESSAGES_MAX 65536u

/* As many messages as a mailbox holds, and as many tags as a receive takes, in the worst order:
 * four thousand million pairs, if each were compared with each, and a scheduler that does nothing
 * else for seconds. */
static void a_look_for_many_tags_among_many_messages_is_short(void **state)
{
    (void)state;
    struct world world;
    struct pd_runtime_config config = world_config();
    config.messages_max = MESSAGES_MAX;
    config.mailbox_bytes_max = 1u << 30;
    world_open(&world, &config);
    uint8_t *far = calloc(TAGS_MAX, sizeof(uint64_t));
    assert_non_null(far);
    for (uint32_t i = 0; i < TAGS_MAX; i++) {
        pd_put_u64(far + i * sizeof(uint64_t), UINT64_MAX - i);
    }
    struct actor actor = actor_spawn(&world);
    for (uint64_t i = 1; i < MESSAGES_MAX; i++) {
        (void)CALL(&actor, MESSAGE, "create_data", i, 0);
        (void)CALL(&actor, MESSAGE, "send", actor.pid);
    }
    fake_far = far;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(CALL(&actor, MESSAGE, "receive", FAKE_FAR_AT, TAGS_MAX, 0), TIMED_OUT);
    }
    (void)CALL(&actor, MESSAGE, "create_data", UINT64_MAX - 40000, 0);
    (void)CALL(&actor, MESSAGE, "send", actor.pid);
    assert_int_equal(CALL(&actor, MESSAGE, "receive", FAKE_FAR_AT, TAGS_MAX, 0), DATA);
    assert_true(CALL(&actor, MESSAGE, "get_tag") == UINT64_MAX - 40000);
    fake_far = NULL;
    free(far);
    world_close(&world);
}

static void a_timeout_leaves_scratch_alone(void **state)
{
    struct fixture *f = *state;
    actor_create_message(&f->a, 4, "draft");
    uint64_t before = f->world.host.now_ns;
    assert_int_equal(receive(&f->a, 0), TIMED_OUT); /* a look takes no time */
    assert_true(f->world.host.now_ns - before < MS);
    assert_int_equal(receive(&f->a, 30), TIMED_OUT);
    assert_true(f->world.host.now_ns - before >= 30 * MS);
    check_text(&f->a, "draft");
    send(&f->b, &f->a, 5, "new");
    assert_int_equal(receive(&f->a, 0), DATA); /* only a message replaces it */
    check_text(&f->a, "new");
}

/* Lunatic puts what a cancelled receive saw behind what came later. */
static void a_cancelled_receive_keeps_the_order(void **state)
{
    struct fixture *f = *state;
    static const uint64_t tags[] = {77};
    put_tags(&f->b, tags, 1);
    BEGIN(&f->b, MESSAGE, "receive", TAGS_AT, 1, 50);
    send(&f->a, &f->b, 1, "one");
    send(&f->a, &f->b, 2, "two");
    actor_finish(&f->b);
    assert_int_equal(actor_result(&f->b), TIMED_OUT);
    assert_int_equal(receive(&f->b, 0), DATA);
    check_text(&f->b, "one");
    assert_int_equal(receive(&f->b, 0), DATA);
    check_text(&f->b, "two");
}

static void deaths_have_codes_of_their_own(void **state)
{
    struct fixture *f = *state;
    struct actor mortal = actor_spawn(&f->world);
    (void)CALL(&f->a, PROCESS, "die_when_link_dies", 0);
    (void)CALL(&f->a, PROCESS, "link", 33, mortal.pid);
    (void)CALL(&f->a, PROCESS, "monitor", mortal.pid);
    kill_actor(&mortal);
    static const uint64_t tags[] = {33, 0};
    assert_int_equal(receive_tagged(&f->a, tags, 2, NEVER), LINK_DIED); /* by the link's tag */
    assert_int_equal(CALL(&f->a, MESSAGE, "get_tag"), 33);
    assert_int_equal(CALL(&f->a, MESSAGE, "get_process_id"), 0);
    assert_int_equal(receive_tagged(&f->a, tags, 2, 0), TIMED_OUT); /* this one has no tag */
    assert_int_equal(receive(&f->a, 0), PROCESS_DIED);
    assert_int_equal(CALL(&f->a, MESSAGE, "get_tag"), 0);
    assert_int_equal(CALL(&f->a, MESSAGE, "get_process_id"), mortal.pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_append_and_reads_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_message_replaces_the_old, setup, teardown),
        cmocka_unit_test_setup_teardown(reading_behind_the_end_traps, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_message_all_trap, setup, teardown),
        cmocka_unit_test_setup_teardown(a_notice_carries_no_data, setup, teardown),
        cmocka_unit_test_setup_teardown(pointers_out_of_bounds_trap, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_has_a_largest_size, setup, teardown),
        cmocka_unit_test_setup_teardown(messages_count_on_the_budget_of_all, setup, teardown),
        cmocka_unit_test_setup_teardown(modules_are_copied_along, setup, teardown),
        cmocka_unit_test_setup_teardown(modules_count_on_the_budget_of_all, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_carries_so_many, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_sent_arrives_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dead_receiver_is_no_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_received_message_can_be_passed_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_mailbox_makes_the_sender_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_can_wait_for_oneself, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_skips_what_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_times_out_with_empty_scratch, setup, teardown),
        cmocka_unit_test_setup_teardown(tag_0_answers_no_request, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_to_nobody_waits_for_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_of_the_tags_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(many_tags_are_waited_for, setup, teardown),
        cmocka_unit_test(a_look_for_many_tags_among_many_messages_is_short),
        cmocka_unit_test_setup_teardown(a_timeout_leaves_scratch_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cancelled_receive_keeps_the_order, setup, teardown),
        cmocka_unit_test_setup_teardown(deaths_have_codes_of_their_own, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
