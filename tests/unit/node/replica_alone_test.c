/* A node whose majority is lost, as `pando cluster recover` starts it, after the power went at any
 * step while it took over a state: all of a state, or a refusal. */
#include "node/replica_world.h"

#include "support/effort.h"

/* How many there are in its own state, and in the one that it takes over. */
struct keys {
    uint64_t old;
    uint64_t new;
};

/* The third goes down, and would need entries that are cut by then. */
static void leave_behind(struct world *world)
{
    while (world_elect(world) == 3) { /* somebody else has to lead meanwhile */
        world_crash(world, 3);
        (void)world_elect(world);
        world_start(world, 3);
        world_ticks(world, 20);
    }
    world_crash(world, 3);
    world_miss(world);
    world_put_many(world, 200, 40, 60);
    world_ticks(world, 5);
}

/* Its log tells everything, or begins behind a state that it took over before. */
static struct world *one_far_behind(uint64_t seed, bool has_whole_log, struct keys *keys)
{
    struct world *world = world_open(3, 3, seed);
    world_start_all(world, 3);
    world_put(world, "early", "1");
    world_put_many(world, 30, 40, 60);
    assert_true(world_converges(world, 50));
    if (!has_whole_log) {
        leave_behind(world);
        world_start(world, 3);
        assert_true(world_converges(world, 400));
        assert_int_equal(world_status(world, 3).counters.snapshots_installed, 1);
    }
    keys->old = world_status(world, 3).kv.key_count;
    leave_behind(world);
    world_put(world, "late", "2");
    world_ticks(world, 5);
    keys->new = world_status(world, world_elect(world)).kv.key_count;
    return world;
}

/* The power goes with its action `step`. False: it has taken the state over before. */
static bool cut(struct world *world, uint64_t step)
{
    struct world_node *node = world_node(world, 3);
    node->crash_at = node->actions + step;
    world_start(world, 3);
    for (uint32_t i = 0; i < 200 && node->is_up; i++) {
        if (world_status(world, 3).counters.snapshots_installed > 0) {
            break;
        }
        world_tick(world);
    }
    node->crash_at = 0;
    return !node->is_up;
}

/* It counts nobody but itself. True: it serves all that it had before, or all that it was given. */
static bool goes_on_alone(struct world *world, const struct keys *keys)
{
    struct world_node *node = world_node(world, 3);
    node->config.is_alone = true;
    for (pd_raft_node other = 1; other < 3; other++) {
        world->is_cut[3][other] = world->is_cut[other][3] = true;
    }
    enum pd_status status = world_try_start(world, 3);
    if (status != PD_OK) {
        assert_int_equal(status, PD_ERR_INVALID);
        assert_non_null(strstr(node->text, "was taking over another member's state"));
        assert_non_null(strstr(node->text, "Recover another node, or restore a snapshot"));
        return false;
    }
    for (uint32_t i = 0; i < 200 && !world_status(world, 3).serves_writes; i++) {
        world_tick(world);
    }
    assert_true(world_status(world, 3).serves_writes);
    assert_string_equal(world_get(world, 3, "early"), "1");
    const char *late = world_get(world, 3, "late");
    assert_true(late == NULL || strcmp(late, "2") == 0);
    assert_int_equal(world_status(world, 3).kv.key_count, late == NULL ? keys->old : keys->new);
    return true;
}

static void a_state_is_whole_or_refused(void **state)
{
    (void)state;
    uint32_t refused[2] = {0, 0};
    uint32_t went_on[2] = {0, 0};
    for (uint32_t is_whole = 0; is_whole < 2; is_whole++) {
        bool was_cut = true;
        for (uint64_t step = 1; was_cut; step += PD_TEST_EFFORT(2, 12)) {
            struct keys keys;
            struct world *world = one_far_behind(step, is_whole == 1, &keys);
            was_cut = cut(world, step);
            if (was_cut) {
                bool goes_on = goes_on_alone(world, &keys);
                refused[is_whole] += goes_on ? 0 : 1;
                went_on[is_whole] += goes_on ? 1 : 0;
            }
            world_close(world);
            assert_true(step < 2000);
        }
    }
    printf("log whole: %u went on, %u refused; begun later: %u, %u\n", went_on[1], refused[1],
           went_on[0], refused[0]);
    assert_true(went_on[0] > 0 && refused[0] > 0);
    assert_true(went_on[1] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_is_whole_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
