/* Functions as they were before Lunatic 0.13: a request is answered by a message of its own tag. */
#include "abi_actor.h"

#define MESSAGE "lunatic::message"
#define DISTRIBUTED "lunatic::distributed"
#define REQUEST "send_receive_skip_search"
#define OWN UINT64_C(0)
#define NEVER UINT64_MAX
#define MS UINT64_C(1000000)
#define DATA 0
#define TIMED_OUT 9027
#define TEXT_MAX 64

struct fixture {
    struct world world;
    struct actor client;
    struct actor server;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pd_runtime_config config = world_config();
    world_open(&f->world, &config);
    f->client = actor_spawn(&f->world);
    f->server = actor_spawn(&f->world);
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

/* The former function of each module takes what follows the node in `arguments`. */
static const struct {
    const char *module;
    const char *signature;
    size_t first, count;
} requests[] = {{MESSAGE, "II->i", 1, 2}, {DISTRIBUTED, "III->i", 0, 3}};
#define REQUEST_COUNT (sizeof requests / sizeof requests[0])

static const struct pd_import *former(size_t which)
{
    const struct pd_import *import =
        abi_find_version(requests[which].module, REQUEST, requests[which].signature);
    assert_non_null(import);
    return import;
}

static void begin(struct fixture *f, size_t which, uint64_t tag, uint64_t timeout)
{
    const uint64_t arguments[3] = {OWN, f->server.pid, timeout};
    actor_create_message(&f->client, tag, "question");
    actor_begin(&f->client, former(which), arguments + requests[which].first,
                requests[which].count);
}

static void send(struct actor *from, const struct actor *to, uint64_t tag, const char *text)
{
    actor_create_message(from, tag, text);
    assert_int_equal(CALL(from, MESSAGE, "send", to->pid), 0);
}

static void receives(struct actor *actor, const char *wanted)
{
    char text[TEXT_MAX];
    assert_int_equal(actor_receive(actor, text, sizeof text), DATA);
    assert_string_equal(text, wanted);
}

/* The request of the client is over, answered by this. */
static void is_answered(struct fixture *f, uint64_t tag, const char *wanted)
{
    actor_finish(&f->client);
    assert_int_equal(actor_result(&f->client), DATA);
    assert_int_equal(CALL(&f->client, MESSAGE, "get_tag"), tag);
    assert_int_equal(CALL(&f->client, MESSAGE, "data_size"), strlen(wanted));
}

static void the_answer_has_the_tag_of_the_request(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < REQUEST_COUNT; i++) {
        send(&f->server, &f->client, 7, "stale, of the same tag");
        begin(f, i, 7, NEVER);
        world_pass(&f->world, 100 * MS);
        assert_true(actor_is_waiting(&f->client));
        receives(&f->server, "question");
        assert_int_equal(CALL(&f->server, MESSAGE, "get_tag"), 7);
        send(&f->server, &f->client, 8, "something else");
        send(&f->server, &f->client, 0, "untagged");
        send(&f->server, &f->client, 7, "answer");
        is_answered(f, 7, "answer");
        /* What was skipped is still there, in its order. */
        receives(&f->client, "stale, of the same tag");
        receives(&f->client, "something else");
        receives(&f->client, "untagged");
    }
}

static void without_a_tag_the_next_message_answers(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < REQUEST_COUNT; i++) {
        send(&f->server, &f->client, 0, "was there before");
        begin(f, i, 0, NEVER);
        world_pass(&f->world, 100 * MS);
        assert_true(actor_is_waiting(&f->client));
        receives(&f->server, "question");
        send(&f->server, &f->client, 9, "any tag");
        is_answered(f, 9, "any tag");
        receives(&f->client, "was there before");
    }
}

static void a_request_times_out_with_empty_scratch(void **state)
{
    struct fixture *f = *state;
    static const uint64_t tags[] = {7, 0};
    static const uint64_t timeouts[] = {0, 50};
    for (size_t i = 0; i < REQUEST_COUNT; i++) {
        for (size_t j = 0; j < 4; j++) {
            uint64_t before = f->world.host.now_ns;
            begin(f, i, tags[j / 2], timeouts[j % 2]);
            actor_finish(&f->client);
            assert_int_equal(actor_result(&f->client), TIMED_OUT);
            assert_true(f->world.host.now_ns - before >= timeouts[j % 2] * MS);
            assert_null(actor_wasm(&f->client)->scratch);
            receives(&f->server, "question");
        }
    }
}

/* The receiver has no room, then the asker has none for its answer: the first is waited for, and
 * the second always comes in by its tag. */
static void full_mailboxes_are_waited_for(void **state)
{
    struct fixture *f = *state;
    uint32_t messages_max = f->world.runtime.config.messages_max;
    for (uint32_t i = 0; i < messages_max; i++) {
        send(&f->client, &f->server, 1, "x");
        send(&f->server, &f->client, 1, "x");
    }
    begin(f, 0, 7, NEVER);
    world_pass(&f->world, 100 * MS);
    assert_true(actor_is_waiting(&f->client));
    for (uint32_t i = 0; i < messages_max; i++) {
        receives(&f->server, "x");
    }
    receives(&f->server, "question");
    send(&f->server, &f->client, 7, "answer");
    is_answered(f, 7, "answer");
    receives(&f->client, "x");
}

static void without_a_message_it_traps(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < REQUEST_COUNT; i++) {
        struct actor actor = actor_spawn(&f->world);
        const uint64_t arguments[3] = {OWN, f->server.pid, 0};
        actor_begin(&actor, former(i), arguments + requests[i].first, requests[i].count);
        actor_finish(&actor);
        assert_false(actor_lives(&actor));
        assert_says(f->world.last_text, "no message");
    }
}

static void hostile_pids_and_nodes_do_no_harm(void **state)
{
    struct fixture *f = *state;
    static const uint64_t pids[] = {0, 99, UINT64_MAX};
    for (size_t i = 0; i < sizeof pids / sizeof pids[0]; i++) {
        struct actor actor = actor_spawn(&f->world);
        const uint64_t arguments[2] = {pids[i], 20};
        actor_create_message(&actor, 7, "question");
        actor_begin(&actor, former(0), arguments, 2);
        actor_finish(&actor);
        assert_int_equal(actor_result(&actor), TIMED_OUT);
        /* No other node is known. */
        const uint64_t elsewhere[3] = {1 + pids[i] / 2, f->server.pid, 20};
        actor_create_message(&actor, 7, "question");
        actor_begin(&actor, former(1), elsewhere, 3);
        actor_finish(&actor);
        assert_false(actor_lives(&actor));
        assert_says(f->world.last_text, "no node has the id");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_answer_has_the_tag_of_the_request, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_tag_the_next_message_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_times_out_with_empty_scratch, setup, teardown),
        cmocka_unit_test_setup_teardown(full_mailboxes_are_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_message_it_traps, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_pids_and_nodes_do_no_harm, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
