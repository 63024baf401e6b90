/* Groups: every status, a model with failing allocations, walks under changes, and many threads. */
#include "live_world.h"

#include "actor/group.h"

static void world_open_small(struct world *world, uint32_t memberships_max)
{
    struct pd_runtime_config config = pd_runtime_config_default();
    config.processes_max = 64;
    config.names_max = memberships_max;
    world_open(world, &config);
}

static enum pd_status join(struct world *world, const char *name, const struct pd_process *process)
{
    return pd_group_join(world->environment, name, strlen(name), process->pid);
}

static enum pd_status leave(struct world *world, const char *name, const struct pd_process *process)
{
    return pd_group_leave(world->environment, name, strlen(name), process->pid);
}

static uint32_t member_count(struct world *world, const char *name)
{
    return pd_group_members(world->environment, name, strlen(name), NULL, 0);
}

static void check_empty(const struct world *world)
{
    assert_int_equal(world->environment->groups.groups.count, 0);
    assert_int_equal(world->environment->groups.memberships.count, 0);
    assert_int_equal(world->environment->groups.members.count, 0);
}

/* --- Scenarios -------------------------------------------------------------------------------- */

static void members_are_listed_in_the_order_of_joining(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 16);
    struct pd_process *a = world_spawn(&world);
    struct pd_process *b = world_spawn(&world);
    struct pd_process *c = world_spawn(&world);
    assert_int_equal(member_count(&world, "g"), 0);
    assert_int_equal(join(&world, "g", b), PD_OK);
    assert_int_equal(join(&world, "g", a), PD_OK);
    assert_int_equal(join(&world, "g", c), PD_OK);
    assert_int_equal(join(&world, "g", a), PD_ERR_EXISTS);
    assert_int_equal(join(&world, "h", a), PD_OK);
    uint64_t pids[4] = {0};
    assert_int_equal(pd_group_members(world.environment, "g", 1, pids, 2), 3);
    assert_int_equal(pids[0], b->pid);
    assert_int_equal(pids[1], a->pid);
    assert_int_equal(pids[2], 0); /* there was room for two */
    assert_int_equal(leave(&world, "g", b), PD_OK);
    assert_int_equal(leave(&world, "g", b), PD_ERR_UNKNOWN);
    assert_int_equal(leave(&world, "nobody", a), PD_ERR_UNKNOWN);
    assert_int_equal(join(&world, "g", b), PD_OK); /* the newest now */
    assert_int_equal(pd_group_members(world.environment, "g", 1, pids, 4), 3);
    assert_int_equal(pids[0], a->pid);
    assert_int_equal(pids[1], c->pid);
    assert_int_equal(pids[2], b->pid);
    world_end(a); /* leaves both */
    assert_int_equal(member_count(&world, "g"), 2);
    assert_int_equal(member_count(&world, "h"), 0);
    world_end(b);
    world_end(c);
    check_empty(&world);
    world_close(&world);
}

static void limits_are_statuses(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 2);
    struct pd_process *a = world_spawn(&world);
    struct pd_process *b = world_spawn(&world);
    static char name[PD_NAME_MAX + 1];
    memset(name, 'n', sizeof name);
    struct pd_environment *environment = world.environment;
    struct pd_group_cursor cursor = {0};
    uint64_t pid = 0;
    assert_int_equal(pd_group_join(environment, name, 0, a->pid), PD_ERR_INVALID);
    assert_int_equal(pd_group_join(environment, name, sizeof name, a->pid), PD_ERR_INVALID);
    assert_int_equal(pd_group_leave(environment, name, sizeof name, a->pid), PD_ERR_UNKNOWN);
    assert_int_equal(pd_group_members(environment, name, sizeof name, &pid, 1), 0);
    assert_int_equal(pd_group_walk(environment, name, sizeof name, &cursor, &pid, 1), 0);
    assert_int_equal(pd_group_join(environment, "g", 1, 999), PD_ERR_UNKNOWN);
    assert_int_equal(pd_group_join(environment, name, PD_NAME_MAX, a->pid), PD_OK);
    assert_int_equal(join(&world, "g", a), PD_OK);
    assert_int_equal(join(&world, "g", b), PD_ERR_FULL);
    assert_int_equal(join(&world, "g", a), PD_ERR_EXISTS);
    world_end(a);
    assert_int_equal(join(&world, "g", b), PD_OK);
    world_end(b);
    check_empty(&world);
    world_close(&world);
}

static void every_failing_allocation_changes_nothing(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        struct world world;
        world_open_small(&world, 64);
        struct pd_process *a = world_spawn(&world);
        pd_alloc_fail_nth(nth);
        enum pd_status status = join(&world, "g", a);
        pd_alloc_fail_nth(0);
        if (status == PD_OK) {
            assert_int_equal(member_count(&world, "g"), 1);
        } else {
            assert_int_equal(status, PD_ERR_NO_MEMORY);
            check_empty(&world);
            assert_int_equal(join(&world, "g", a), PD_OK);
        }
        world_end(a);
        check_empty(&world);
        world_close(&world);
        if (nth > 8) { /* group, member, membership, places, three tables */
            assert_int_equal(status, PD_OK);
            return;
        }
    }
}

/* Coming and going needs no more room than the members: each join allocates its three blocks, and
 * nothing else. */
static void gaps_are_closed(void **state)
{
    (void)state;
    enum {
        COUNT = 10000
    };
    struct world world;
    world_open_small(&world, 64);
    struct pd_process *a = world_spawn(&world);
    struct pd_process *b = world_spawn(&world);
    assert_int_equal(join(&world, "g", a), PD_OK);
    for (uint64_t round = 0; round < COUNT; round++) {
        if (round == COUNT / 2) {
            pd_alloc_fail_nth(3 * (COUNT / 2) + 1);
        }
        assert_int_equal(join(&world, "g", b), PD_OK);
        assert_int_equal(leave(&world, "g", b), PD_OK);
    }
    assert_null(pd_alloc(1));
    pd_alloc_fail_nth(0);
    world_end(a);
    world_end(b);
    world_close(&world);
}

/* --- Walks ------------------------------------------------------------------------------------ */

static void a_walk_meets_each_member_once_whatever_changes(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 64);
    struct pd_process *processes[10];
    for (int i = 0; i < 10; i++) {
        processes[i] = world_spawn(&world);
        assert_int_equal(join(&world, "g", processes[i]), PD_OK);
    }
    struct pd_group_cursor cursor = {0};
    uint64_t pids[4];
    assert_int_equal(pd_group_walk(world.environment, "g", 1, &cursor, pids, 4), 4);
    assert_int_equal(pids[3], processes[3]->pid);
    assert_int_equal(leave(&world, "g", processes[3]), PD_OK); /* where the cursor stands */
    assert_int_equal(leave(&world, "g", processes[0]), PD_OK); /* and joins again: not met twice */
    assert_int_equal(join(&world, "g", processes[0]), PD_OK);
    assert_int_equal(leave(&world, "g", processes[5]), PD_OK); /* not met any more */
    assert_int_equal(pd_group_walk(world.environment, "g", 1, &cursor, pids, 4), 4);
    assert_int_equal(pids[0], processes[4]->pid);
    assert_int_equal(pids[1], processes[6]->pid);
    assert_int_equal(pids[3], processes[8]->pid);
    assert_int_equal(pd_group_walk(world.environment, "g", 1, &cursor, pids, 4), 1);
    assert_int_equal(pids[0], processes[9]->pid);
    assert_int_equal(pd_group_walk(world.environment, "g", 1, &cursor, pids, 4), 0);
    for (int i = 0; i < 10; i++) {
        world_end(processes[i]);
    }
    assert_int_equal(pd_group_walk(world.environment, "g", 1, &cursor, pids, 4), 0);
    check_empty(&world);
    world_close(&world);
}

/* A group that ended and began again under a walk has only members that are too new for it. */
static void a_walk_does_not_enter_a_new_group_of_the_name(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 64);
    struct pd_process *a = world_spawn(&world);
    struct pd_process *b = world_spawn(&world);
    assert_int_equal(join(&world, "g", a), PD_OK);
    assert_int_equal(join(&world, "g", b), PD_OK);
    struct pd_group_cursor cursor = {0};
    uint64_t pid = 0;
    assert_int_equal(pd_group_walk(world.environment, "g", 1, &cursor, &pid, 1), 1);
    assert_int_equal(leave(&world, "g", a), PD_OK);
    assert_int_equal(leave(&world, "g", b), PD_OK);
    assert_int_equal(join(&world, "g", b), PD_OK);
    assert_int_equal(pd_group_walk(world.environment, "g", 1, &cursor, &pid, 1), 0);
    world_end(a);
    world_end(b);
    world_close(&world);
}

/* Many members, of whom most leave while a walk goes on: gaps are closed under it. */
static void a_large_group_is_walked_while_it_shrinks(void **state)
{
    (void)state;
    enum {
        COUNT = 20000
    };
    struct world world;
    struct pd_runtime_config config = pd_runtime_config_default();
    config.processes_max = COUNT;
    world_open(&world, &config);
    struct pd_process **processes = calloc(COUNT, sizeof *processes);
    assert_non_null(processes);
    for (uint32_t i = 0; i < COUNT; i++) {
        processes[i] = world_spawn(&world);
        assert_int_equal(join(&world, "all", processes[i]), PD_OK);
    }
    struct pd_group_cursor cursor = {0};
    uint64_t pids[64];
    uint64_t last = 0;
    uint32_t met = 0;
    uint32_t left = 0; /* those in front, as fast as they are met */
    uint32_t count = 0;
    while ((count = pd_group_walk(world.environment, "all", 3, &cursor, pids, 64)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            assert_true(pids[i] > last); /* pids were given in the order of joining */
            last = pids[i];
        }
        met += count;
        for (; left < met; left++) {
            assert_int_equal(leave(&world, "all", processes[left]), PD_OK);
        }
        assert_int_equal(member_count(&world, "all"), COUNT - left);
    }
    assert_int_equal(met, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        world_end(processes[i]);
    }
    free(processes);
    check_empty(&world);
    world_close(&world);
}

static void a_process_of_many_groups_leaves_them_all(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 4096);
    struct pd_process *a = world_spawn(&world);
    struct pd_process *b = world_spawn(&world);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(pd_group_join(world.environment, (const char *)&i, sizeof i, a->pid),
                         PD_OK);
        if (i % 10 == 0) {
            assert_int_equal(pd_group_join(world.environment, (const char *)&i, sizeof i, b->pid),
                             PD_OK);
        }
    }
    world_end(a);
    assert_int_equal(world.environment->groups.groups.count, 100);
    assert_int_equal(world.environment->groups.memberships.count, 100);
    assert_int_equal(world.environment->groups.members.count, 1);
    world_end(b);
    check_empty(&world);
    world_close(&world);
}

/* --- Against a model -------------------------------------------------------------------------- */

#define PROCESSES 30u
#define GROUPS 4u
#define MODEL_MAX 80u
#define WALKS 3u

struct model {
    uint64_t joined[GROUPS][PROCESSES]; /* when; 0: no member */
    uint64_t stamp;
    uint32_t count;
};

struct walk {
    uint32_t group;
    struct pd_group_cursor cursor;
    uint64_t last; /* the model's: stamps of the last one met, and of the end */
    uint64_t end;
    bool is_begun;
};

struct play {
    struct world world;
    struct model model;
    struct pd_random random;
    struct pd_process *processes[PROCESSES];
    struct walk walks[WALKS];
};

static const char *name_of(uint32_t group)
{
    static const char *const names[GROUPS] = {"workers", "work", "w", "audience"};
    return names[group];
}

/* The member that joined first after `after`, PROCESSES if none up to `end`. */
static uint32_t model_next(const struct model *model, uint32_t group, uint64_t after, uint64_t end)
{
    uint32_t next = PROCESSES;
    for (uint32_t i = 0; i < PROCESSES; i++) {
        uint64_t joined = model->joined[group][i];
        if (joined > after && joined <= end &&
            (next == PROCESSES || joined < model->joined[group][next])) {
            next = i;
        }
    }
    return next;
}

static void model_leave(struct model *model, uint32_t group, uint32_t process)
{
    model->count -= model->joined[group][process] != 0 ? 1 : 0;
    model->joined[group][process] = 0;
}

static void play_join(struct play *play, uint32_t group, uint32_t process)
{
    struct model *model = &play->model;
    enum pd_status expected = PD_OK;
    if (model->joined[group][process] != 0) {
        expected = PD_ERR_EXISTS;
    } else if (model->count >= MODEL_MAX) {
        expected = PD_ERR_FULL;
    }
    enum pd_status got = join(&play->world, name_of(group), play->processes[process]);
    pd_alloc_fail_nth(0);
    if (got == PD_ERR_NO_MEMORY) {
        assert_int_equal(expected, PD_OK);
        return;
    }
    assert_int_equal(got, expected);
    if (got == PD_OK) {
        model->joined[group][process] = ++model->stamp;
        model->count++;
    }
}

static void play_walk(struct play *play, struct walk *walk)
{
    struct model *model = &play->model;
    uint64_t pids[8];
    uint32_t wanted = 1 + (uint32_t)pd_random_below(&play->random, 8);
    if (!walk->is_begun) {
        *walk = (struct walk){.is_begun = true,
                              .end = model->stamp,
                              .group = (uint32_t)pd_random_below(&play->random, GROUPS)};
    }
    const char *name = name_of(walk->group);
    uint32_t count =
        pd_group_walk(play->world.environment, name, strlen(name), &walk->cursor, pids, wanted);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t next = model_next(model, walk->group, walk->last, walk->end);
        assert_true(next < PROCESSES);
        assert_int_equal(pids[i], play->processes[next]->pid);
        walk->last = model->joined[walk->group][next];
    }
    if (count < wanted) {
        assert_int_equal(model_next(model, walk->group, walk->last, walk->end), PROCESSES);
        walk->is_begun = false;
    }
}

static void play_end(struct play *play, uint32_t process)
{
    world_end(play->processes[process]);
    for (uint32_t group = 0; group < GROUPS; group++) {
        model_leave(&play->model, group, process);
    }
    play->processes[process] = world_spawn(&play->world);
}

static void play_check(struct play *play)
{
    const struct model *model = &play->model;
    const struct pd_group_set *set = &play->world.environment->groups;
    uint32_t groups = 0;
    for (uint32_t group = 0; group < GROUPS; group++) {
        const char *name = name_of(group);
        uint64_t pids[PROCESSES];
        uint32_t count =
            pd_group_members(play->world.environment, name, strlen(name), pids, PROCESSES);
        uint64_t last = 0;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t next = model_next(model, group, last, UINT64_MAX);
            assert_true(next < PROCESSES);
            assert_int_equal(pids[i], play->processes[next]->pid);
            last = model->joined[group][next];
        }
        assert_int_equal(model_next(model, group, last, UINT64_MAX), PROCESSES);
        groups += count > 0 ? 1 : 0;
    }
    assert_int_equal(set->groups.count, groups);
    assert_int_equal(set->memberships.count, model->count);
}

static void play_all(const char *name, bool may_fail)
{
    static struct play play;
    memset(&play, 0, sizeof play);
    play.random = test_random(name);
    world_open_small(&play.world, MODEL_MAX);
    for (uint32_t i = 0; i < PROCESSES; i++) {
        play.processes[i] = world_spawn(&play.world);
    }
    for (uint32_t step = 0; step < 60000; step++) {
        uint32_t process = (uint32_t)pd_random_below(&play.random, PROCESSES);
        uint32_t group = (uint32_t)pd_random_below(&play.random, GROUPS);
        uint64_t what = pd_random_below(&play.random, step / 1000 % 2 == 0 ? 12 : 18); /* a tide */
        if (what == 0) {
            play_end(&play, process);
        } else if (what < 3) {
            play_walk(&play, &play.walks[what]);
        } else if (what < 8) {
            pd_alloc_fail_nth(may_fail ? pd_random_below(&play.random, 7) : 0);
            play_join(&play, group, process);
        } else {
            enum pd_status expected =
                play.model.joined[group][process] != 0 ? PD_OK : PD_ERR_UNKNOWN;
            pd_alloc_fail_nth(may_fail ? 1 : 0); /* the room is given back, or kept */
            assert_int_equal(leave(&play.world, name_of(group), play.processes[process]), expected);
            pd_alloc_fail_nth(0);
            model_leave(&play.model, group, process);
        }
        play_check(&play);
    }
    for (uint32_t i = 0; i < PROCESSES; i++) {
        world_end(play.processes[i]);
    }
    check_empty(&play.world);
    world_close(&play.world);
}

static void agrees_with_the_model(void **state)
{
    (void)state;
    play_all("group", false);
}

static void agrees_with_the_model_when_allocations_fail(void **state)
{
    (void)state;
    play_all("group without memory", true);
}

/* --- Threads ---------------------------------------------------------------------------------- */

/* Processes on real scheduler threads join and leave for each other, walk, and die. In the end
 * nothing is left. */
#define PLAYERS 64u
#define LIVES 40u
#define STEPS 30u

struct player {
    struct pd_random random;
    uint32_t lives_left;
    uint32_t steps_left;
    uint64_t seen; /* a pid that was a member, maybe dead by now */
    struct pd_group_cursor cursor;
};

static const struct pd_behavior player_behavior;

static void player_start(struct pd_environment *environment, uint64_t seed, uint32_t lives)
{
    struct player *player = calloc(1, sizeof *player);
    if (player == NULL) {
        abort();
    }
    pd_random_init(&player->random, seed, "player");
    player->lives_left = lives;
    player->steps_left = STEPS;
    struct pd_process *process = NULL;
    if (pd_process_create(environment, 0, &player_behavior, player, &process) != PD_OK) {
        abort();
    }
    pd_process_start(process);
}

static void player_destroy(struct pd_process *process)
{
    free(process->data);
}

static void player_act(struct pd_process *self, struct player *player)
{
    const char *name = name_of((uint32_t)pd_random_below(&player->random, GROUPS));
    size_t size = strlen(name);
    uint64_t pid = pd_random_below(&player->random, 2) == 0 ? self->pid : player->seen;
    uint64_t pids[8];
    enum pd_status status = PD_OK;
    switch (pd_random_below(&player->random, 4)) {
    case 0:
    case 1:
        status = pd_group_join(self->environment, name, size, pid);
        if (status != PD_OK && status != PD_ERR_EXISTS && status != PD_ERR_UNKNOWN) {
            abort();
        }
        break;
    case 2:
        status = pd_group_leave(self->environment, name, size, pid);
        if (status != PD_OK && status != PD_ERR_UNKNOWN) {
            abort();
        }
        break;
    default:
        if (pd_group_walk(self->environment, name, size, &player->cursor, pids, 8) > 0) {
            player->seen = pids[0];
        } else {
            player->cursor = (struct pd_group_cursor){0};
        }
        break;
    }
}

static enum pd_resume_result player_resume(struct pd_process *self, uint32_t *cost_out)
{
    struct player *player = self->data;
    *cost_out = 100;
    if (player->steps_left == 0) {
        if (player->lives_left > 0) {
            player_start(self->environment, pd_random_next(&player->random),
                         player->lives_left - 1);
        }
        pd_process_set_exit(self, PD_EXIT_NORMAL, NULL, 0);
        return PD_RESUME_EXIT;
    }
    player->steps_left--;
    player_act(self, player);
    return PD_RESUME_YIELD;
}

static const struct pd_behavior player_behavior = {
    .name = "player", .resume = player_resume, .destroy = player_destroy};

static void nothing_is_left_between_threads(void **state)
{
    (void)state;
    struct pd_random random = test_random("group threads");
    struct world world;
    struct pd_runtime_config config = pd_runtime_config_default();
    config.scheduler_count = 4;
    config.processes_max = 1024;
    world_open(&world, &config);
    for (uint32_t i = 0; i < PLAYERS; i++) {
        player_start(world.environment, pd_random_next(&random), LIVES);
    }
    struct pd_host *host = pd_real_host_interface(world.host);
    assert_int_equal(pd_runtime_start(&world.runtime), PD_OK);
    while (atomic_load(&world.runtime.process_count) > 0) {
        (void)host->ops->event_wait(host, &world.runtime.drained, PD_TIME_NEVER);
    }
    pd_runtime_stop(&world.runtime);
    check_empty(&world);
    world_close(&world);
}

/* The process dies between the look at it and the join: either order of its teardown and the join
 * leaves nothing. */
static void *join_late(void *argument)
{
    struct late *late = argument;
    late->status = pd_group_join(late->environment, "g", 1, late->pid);
    return NULL;
}

static bool is_marked(struct pd_process *process)
{
    pd_spin_lock(&process->lock);
    bool has_groups = process->has_groups;
    pd_spin_unlock(&process->lock);
    return has_groups;
}

static void who_dies_while_joining_is_no_member(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 64);
    for (int round = 0; round < 300; round++) {
        struct pd_process *process = world_spawn(&world);
        struct late late = {
            .environment = world.environment, .process = process, .pid = process->pid};
        pd_spin_lock(&world.environment->groups.lock);
        late_start(&late, join_late, is_marked);
        pd_spin_unlock(&world.environment->groups.lock);
        late_join(&late);
        assert_true(late.status == PD_OK || late.status == PD_ERR_UNKNOWN);
        check_empty(&world);
    }
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_listed_in_the_order_of_joining),
        cmocka_unit_test(limits_are_statuses),
        cmocka_unit_test(every_failing_allocation_changes_nothing),
        cmocka_unit_test(gaps_are_closed),
        cmocka_unit_test(a_walk_meets_each_member_once_whatever_changes),
        cmocka_unit_test(a_walk_does_not_enter_a_new_group_of_the_name),
        cmocka_unit_test(a_large_group_is_walked_while_it_shrinks),
        cmocka_unit_test(a_process_of_many_groups_leaves_them_all),
        cmocka_unit_test(agrees_with_the_model),
        cmocka_unit_test(agrees_with_the_model_when_allocations_fail),
        cmocka_unit_test(who_dies_while_joining_is_no_member),
        cmocka_unit_test(nothing_is_left_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
