/* The simulated transport: what it may do to raft's messages and not to those of forwards, and whom
 * it lets in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "sim/world.h"

static struct pd_sim_world world;
static struct pd_sim_schedule schedule;
static uint32_t received;
static uint64_t told_by;

static void receive(void *state, uint64_t from, enum pd_transport_lane lane, struct pd_span bytes)
{
    (void)state;
    (void)lane;
    (void)bytes;
    assert_int_equal(from, 1);
    received++;
}

static void hear_removed(void *state, uint64_t node)
{
    (void)state;
    told_by = node;
}

static int open_world(void **state)
{
    (void)state;
    const struct pd_transport_handler handler = {.message = receive, .removed = hear_removed};
    struct pd_sim_config config;
    assert_true(
        pd_sim_config_draw(&config, &(struct pd_sim_options){.seed = 1, .minutes = 1, .nodes = 3}));
    pd_sim_schedule_init(&schedule);
    pd_sim_world_init(&world, &config, &schedule, &pd_sim_core_replica);
    for (uint32_t i = 1; i <= 2; i++) {
        struct pd_transport *transport = &world.machines[i].transport.base;
        world.machines[i].life = 1; /* 0 is none that runs */
        transport->ops->start(transport, &handler);
    }
    received = 0;
    told_by = 0;
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    pd_sim_world_deinit(&world);
    pd_sim_schedule_deinit(&schedule);
    return 0;
}

/* From machine 1 to machine 2. */
static void send(uint8_t mark)
{
    struct pd_transport *transport = &world.machines[1].transport.base;
    uint8_t bytes[64] = {mark};
    assert_int_equal(transport->ops->send(transport, 2, PD_TRANSPORT_RAFT,
                                          (struct pd_span){bytes, sizeof bytes}),
                     PD_OK);
}

/* Whatever is under way comes. */
static void deliver_all(void)
{
    struct pd_sim_event event;
    while (pd_sim_queue_pop(&world.queue, &event)) {
        if (event.kind == PD_SIM_EVENT_DELIVER) {
            assert_int_equal(event.node, 2);
            pd_sim_transport_deliver(&world.machines[2].transport, event.data);
            pd_sim_packet_release(event.data);
        } else if (event.kind == PD_SIM_EVENT_REMOVED) {
            pd_sim_transport_removed(&world.machines[event.node].transport, (uint32_t)event.value);
        }
    }
}

static void a_forward_comes_once(void **state)
{
    (void)state;
    world.network.duplicate_ppm = 1000000;
    send(0x01);
    deliver_all();
    assert_int_equal(received, PD_SIM_COPIES_MAX); /* raft's */
    received = 0;
    send(0xf1);
    deliver_all();
    assert_int_equal(received, 1);
}

static void a_forward_is_for_one_process(void **state)
{
    (void)state;
    send(0x01);
    send(0xf1);
    world.machines[2].life++; /* it was started again meanwhile */
    deliver_all();
    assert_int_equal(received, 1); /* raft's */
    send(0xf1);
    deliver_all();
    assert_int_equal(received, 2);
}

static void who_was_removed_is_told_and_not_heard(void **state)
{
    (void)state;
    struct pd_sim_transport *second = &world.machines[2].transport;
    const struct pd_transport_peer others[] = {{.node = 2}, {.node = 3}};
    const uint64_t removed = 1;
    send(0x01);
    assert_int_equal(second->base.ops->set_peers(&second->base, others, 2), PD_OK);
    deliver_all();
    assert_int_equal(received, 0); /* whoever it is */
    assert_int_equal(told_by, 0);
    pd_sim_transport_set_removed(second, &removed, 1);
    send(0x01);
    deliver_all();
    assert_int_equal(received, 0);
    assert_int_equal(told_by, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_forward_comes_once, open_world, close_world),
        cmocka_unit_test_setup_teardown(a_forward_is_for_one_process, open_world, close_world),
        cmocka_unit_test_setup_teardown(who_was_removed_is_told_and_not_heard, open_world,
                                        close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
