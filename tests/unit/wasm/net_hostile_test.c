/* Networking functions called with garbage by an actor that has real sockets: a result, an error, a
 * trap or a wait, and nothing reached that its right does not name. */
#include "abi_hostile.h"
#include "net_world.h"
#include "support/effort.h"
#include "support/seed.h"

/* With a stream that has bytes, a listener, a UDP socket, and two of them in a message. */
static struct actor furnish(struct net_fixture *f, struct pd_random *random)
{
    struct actor actor = net_actor(f, "local");
    uint64_t near = 0;
    uint64_t far = 0;
    uint16_t port = 0;
    net_pair(f, &actor, &near, &far);
    net_write(f, &actor, near, "bytes");
    (void)net_listen(&actor, &port);
    assert_int_equal(CALL(&actor, NET, "udp_bind", 4, IP_AT, 0, 0, 0, OUT_AT), 0);
    assert_int_equal(CALL(&actor, NET, "udp_bind", 4, IP_AT, 0, 0, 0, OUT_AT), 0);
    (void)CALL(&actor, MESSAGE, "create_data", 0, 0);
    (void)CALL(&actor, MESSAGE, "push_tcp_stream", CALL(&actor, NET, "clone_tcp_stream", near));
    (void)CALL(&actor, MESSAGE, "push_udp_socket", 1);
    hostile_fill(&actor, random);
    /* From here on it may reach nobody: what is local may be somebody's. */
    struct pd_rights *own = actor_wasm(&actor)->rights;
    pd_assert(atomic_load(&own->references) == 1);
    own->network = PD_NETWORK_NONE;
    return actor;
}

static bool is_networking(const struct pd_import *import)
{
    return strcmp(import->module, NET) == 0 || strcmp(import->module, "pando::network") == 0 ||
           strcmp(import->module, MESSAGE) == 0;
}

static uint64_t pick(struct pd_random *random)
{
    return pd_random_below(random, 3) == 0
               ? pd_random_below(random, 3)
               : hostile_numbers[pd_random_below(random, HOSTILE_NUMBER_COUNT)];
}

static void no_arguments_do_harm_to_sockets(void **state)
{
    struct net_fixture *f = *state;
    struct pd_random random = test_random("sockets");
    size_t count = hostile_import_count();
    uint32_t rounds = PD_TEST_EFFORT(200, 40);
    struct actor actor = furnish(f, &random);
    for (size_t i = 0; i < count; i++) {
        const struct pd_import *import = hostile_import(i);
        if (!is_networking(import) || strcmp(import->name, "send") == 0) {
            continue;
        }
        for (uint32_t round = 0; round < rounds; round++) {
            if (!actor_lives(&actor)) {
                actor = furnish(f, &random);
            }
            uint64_t numbers[PD_CALL_ARGUMENTS_MAX] = {0};
            size_t argument_count = hostile_argument_count(import);
            for (size_t j = 0; j < argument_count; j++) {
                numbers[j] = pick(&random);
            }
            actor_begin(&actor, import, numbers, argument_count);
            if (actor_is_waiting(&actor) && round % 2 == 0) {
                (void)pd_real_sockets_poll(f->sockets, 0);
                world_pass(&f->world, MS);
            }
            if (actor_is_waiting(&actor)) {
                net_kill(f, &actor);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_arguments_do_harm_to_sockets, net_setup, net_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
