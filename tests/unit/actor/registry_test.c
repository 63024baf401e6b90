/* Names, holds and waiters: every status, a model with failing allocations, and many threads. */
#include "live_world.h"

#include "actor/registry.h"

static struct pd_runtime_config small_config(uint32_t names_max)
{
    struct pd_runtime_config config = pd_runtime_config_default();
    config.processes_max = 64;
    config.names_max = names_max;
    return config;
}

static void world_open_small(struct world *world, uint32_t names_max)
{
    struct pd_runtime_config config = small_config(names_max);
    world_open(world, &config);
}

static enum pd_status put(struct world *world, const char *name, const struct pd_process *process,
                          const struct pd_process *by, bool overwrite)
{
    return pd_registry_put(world->environment, name, strlen(name), 0, process->pid,
                           by == NULL ? 0 : by->pid, overwrite);
}

/* The pid that has the name, or 0. */
static uint64_t who_is(struct world *world, const char *name)
{
    uint64_t node = 0;
    uint64_t pid = 0;
    enum pd_status status = PD_OK;
    enum pd_registry_answer answer = pd_registry_get(world->environment, name, strlen(name), false,
                                                     0, NULL, &node, &pid, &status);
    assert_int_equal(status, PD_OK);
    assert_true(answer == PD_REGISTRY_FOUND || answer == PD_REGISTRY_ABSENT);
    return answer == PD_REGISTRY_FOUND ? pid : 0;
}

static enum pd_registry_answer ask(struct world *world, const char *name, bool hold,
                                   struct pd_process *by)
{
    uint64_t node = 0;
    uint64_t pid = 0;
    enum pd_status status = PD_OK;
    enum pd_registry_answer answer = pd_registry_get(world->environment, name, strlen(name), hold,
                                                     by->pid, by, &node, &pid, &status);
    assert_int_equal(status, PD_OK);
    return answer;
}

static bool remove_name(struct world *world, const char *name)
{
    return pd_registry_remove(world->environment, name, strlen(name));
}

static void check_empty(const struct world *world)
{
    assert_int_equal(world->environment->registry.names.count, 0);
    assert_int_equal(world->environment->registry.owners.count, 0);
    assert_int_equal(world->environment->registry.waiters.count, 0);
}

/* --- Scenarios -------------------------------------------------------------------------------- */

static void a_name_stands_for_its_process_and_goes_with_it(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 8);
    struct pd_process *a = world_spawn(&world);
    struct pd_process *b = world_spawn(&world);
    assert_int_equal(who_is(&world, "db"), 0);
    assert_int_equal(put(&world, "db", a, NULL, false), PD_OK);
    assert_int_equal(put(&world, "db", b, NULL, false), PD_ERR_EXISTS);
    assert_int_equal(who_is(&world, "db"), a->pid);
    assert_int_equal(put(&world, "db", b, NULL, true), PD_OK);
    assert_int_equal(who_is(&world, "db"), b->pid);
    assert_int_equal(put(&world, "cache", b, NULL, false), PD_OK);
    assert_int_equal(put(&world, "log", a, NULL, false), PD_OK);
    world_end(b);
    assert_int_equal(who_is(&world, "db"), 0);
    assert_int_equal(who_is(&world, "cache"), 0);
    assert_int_equal(who_is(&world, "log"), a->pid);
    assert_true(remove_name(&world, "log"));
    assert_false(remove_name(&world, "log"));
    assert_int_equal(who_is(&world, "log"), 0);
    check_empty(&world);
    world_end(a);
    world_close(&world);
}

static void the_node_is_kept_as_given(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 8);
    struct pd_process *a = world_spawn(&world);
    assert_int_equal(pd_registry_put(world.environment, "x", 1, 77, a->pid, 0, false), PD_OK);
    uint64_t node = 0;
    uint64_t pid = 0;
    enum pd_status status = PD_OK;
    assert_int_equal(
        pd_registry_get(world.environment, "x", 1, false, 0, NULL, &node, &pid, &status),
        PD_REGISTRY_FOUND);
    assert_int_equal(node, 77);
    assert_int_equal(pid, a->pid);
    world_end(a);
    world_close(&world);
}

static void a_name_is_any_bytes_within_its_bounds(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 8);
    struct pd_process *a = world_spawn(&world);
    static char name[PD_NAME_MAX + 1];
    memset(name, 'n', sizeof name);
    uint64_t node = 0;
    uint64_t pid = 0;
    enum pd_status status = PD_OK;
    struct pd_environment *environment = world.environment;
    assert_int_equal(pd_registry_put(environment, name, 0, 0, a->pid, 0, true), PD_ERR_INVALID);
    assert_int_equal(pd_registry_put(environment, name, sizeof name, 0, a->pid, 0, true),
                     PD_ERR_INVALID);
    assert_int_equal(
        pd_registry_get(environment, name, sizeof name, true, a->pid, a, &node, &pid, &status),
        PD_REGISTRY_ABSENT);
    assert_int_equal(status, PD_ERR_INVALID);
    assert_false(pd_registry_remove(environment, name, sizeof name));
    pd_registry_release(environment, name, 0, a->pid);
    assert_int_equal(pd_registry_put(environment, name, PD_NAME_MAX, 0, a->pid, 0, false), PD_OK);
    assert_int_equal(pd_registry_put(environment, "a\0b", 3, 0, a->pid, 0, false), PD_OK);
    assert_int_equal(pd_registry_put(environment, "a\0c", 3, 0, a->pid, 0, false), PD_OK);
    assert_int_equal(pd_registry_put(environment, "a", 1, 0, a->pid, 0, false), PD_OK);
    assert_int_equal(environment->registry.names.count, 4);
    world_end(a);
    check_empty(&world);
    world_close(&world);
}

static void a_dead_process_gets_no_name(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 8);
    struct pd_process *a = world_spawn(&world);
    struct pd_process *holder = world_spawn(&world);
    struct pd_process *waiting = world_spawn(&world);
    struct pd_environment *environment = world.environment;
    assert_int_equal(pd_registry_put(environment, "x", 1, 0, 999, 0, false), PD_ERR_UNKNOWN);
    assert_int_equal(put(&world, "x", a, NULL, false), PD_OK);
    assert_int_equal(pd_registry_put(environment, "x", 1, 0, 999, 0, false), PD_ERR_UNKNOWN);
    assert_int_equal(who_is(&world, "x"), a->pid);
    assert_int_equal(pd_registry_put(environment, "x", 1, 0, 999, 0, true), PD_ERR_UNKNOWN);
    assert_int_equal(who_is(&world, "x"), 0); /* free, as the caller wanted it replaced */
    /* The hold that was meant for it ends. */
    assert_int_equal(ask(&world, "y", true, holder), PD_REGISTRY_ABSENT);
    assert_int_equal(ask(&world, "y", false, waiting), PD_REGISTRY_HELD);
    assert_int_equal(pd_registry_put(environment, "y", 1, 0, 999, holder->pid, false),
                     PD_ERR_UNKNOWN);
    assert_ptr_equal(world_take_woken(&world), waiting);
    check_empty(&world);
    world_end(a);
    world_end(holder);
    world_end(waiting);
    world_close(&world);
}

static void a_hold_makes_others_wait_until_the_put(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 8);
    struct pd_process *holder = world_spawn(&world);
    struct pd_process *first = world_spawn(&world);
    struct pd_process *second = world_spawn(&world);
    struct pd_process *child = world_spawn(&world);
    assert_int_equal(ask(&world, "db", true, holder), PD_REGISTRY_ABSENT);
    assert_int_equal(ask(&world, "db", true, holder), PD_REGISTRY_ABSENT); /* its own: as before */
    assert_int_equal(who_is(&world, "db"), 0);
    assert_false(remove_name(&world, "db")); /* not a name yet */
    assert_int_equal(ask(&world, "db", false, first), PD_REGISTRY_HELD);
    assert_int_equal(ask(&world, "db", true, second), PD_REGISTRY_HELD);
    assert_int_equal(ask(&world, "db", true, first),
                     PD_REGISTRY_HELD); /* a spurious wake: same place */
    assert_int_equal(put(&world, "db", first, first, false), PD_ERR_EXISTS);
    assert_null(world_take_woken(&world));
    assert_int_equal(put(&world, "db", child, holder, false), PD_OK);
    assert_ptr_equal(world_take_woken(&world), first);
    assert_ptr_equal(world_take_woken(&world), second);
    assert_null(world_take_woken(&world));
    assert_int_equal(ask(&world, "db", true, first), PD_REGISTRY_FOUND);
    assert_int_equal(who_is(&world, "db"), child->pid);
    pd_registry_release(world.environment, "db", 2, holder->pid); /* no hold any more */
    assert_int_equal(who_is(&world, "db"), child->pid);
    world_end(holder);
    assert_int_equal(who_is(&world, "db"), child->pid);
    world_end(child);
    check_empty(&world);
    world_end(first);
    world_end(second);
    world_close(&world);
}

static void a_hold_ends_with_release_and_with_death(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 8);
    struct pd_process *holder = world_spawn(&world);
    struct pd_process *other = world_spawn(&world);
    assert_int_equal(ask(&world, "db", true, holder), PD_REGISTRY_ABSENT);
    assert_int_equal(ask(&world, "db", true, other), PD_REGISTRY_HELD);
    pd_registry_release(world.environment, "db", 2, other->pid); /* not its own */
    assert_null(world_take_woken(&world));
    pd_registry_release(world.environment, "db", 2, holder->pid);
    assert_ptr_equal(world_take_woken(&world), other);
    assert_int_equal(ask(&world, "db", true, other),
                     PD_REGISTRY_ABSENT); /* the hold is its own now */
    assert_int_equal(ask(&world, "db", true, holder), PD_REGISTRY_HELD);
    world_end(other);
    assert_ptr_equal(world_take_woken(&world), holder);
    check_empty(&world);
    world_end(holder);
    world_close(&world);
}

static void who_waits_and_dies_leaves_nothing_behind(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 8);
    struct pd_process *holder = world_spawn(&world);
    struct pd_process *waiting = world_spawn(&world);
    assert_int_equal(ask(&world, "db", true, holder), PD_REGISTRY_ABSENT);
    assert_int_equal(ask(&world, "db", true, waiting), PD_REGISTRY_HELD);
    world_end(waiting);
    assert_int_equal(world.environment->registry.waiters.count, 0);
    pd_registry_release(world.environment, "db", 2, holder->pid);
    assert_null(world_take_woken(&world));
    world_end(holder);
    check_empty(&world);
    world_close(&world);
}

static void who_waits_for_another_name_leaves_the_first_line(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 8);
    struct pd_process *holder = world_spawn(&world);
    struct pd_process *waiting = world_spawn(&world);
    assert_int_equal(ask(&world, "a", true, holder), PD_REGISTRY_ABSENT);
    assert_int_equal(ask(&world, "b", true, holder), PD_REGISTRY_ABSENT);
    assert_int_equal(ask(&world, "a", false, waiting), PD_REGISTRY_HELD);
    assert_int_equal(ask(&world, "b", false, waiting), PD_REGISTRY_HELD);
    assert_int_equal(world.environment->registry.waiters.count, 1);
    pd_registry_release(world.environment, "a", 1, holder->pid);
    assert_null(world_take_woken(&world));
    pd_registry_release(world.environment, "b", 1, holder->pid);
    assert_ptr_equal(world_take_woken(&world), waiting);
    world_end(holder);
    world_end(waiting);
    check_empty(&world);
    world_close(&world);
}

static void names_are_bounded(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 2);
    struct pd_process *a = world_spawn(&world);
    uint64_t node = 0;
    uint64_t pid = 0;
    enum pd_status status = PD_OK;
    assert_int_equal(put(&world, "one", a, NULL, false), PD_OK);
    assert_int_equal(ask(&world, "two", true, a), PD_REGISTRY_ABSENT); /* a hold counts */
    assert_int_equal(put(&world, "three", a, NULL, true), PD_ERR_FULL);
    assert_int_equal(
        pd_registry_get(world.environment, "three", 5, true, a->pid, a, &node, &pid, &status),
        PD_REGISTRY_ABSENT);
    assert_int_equal(status, PD_ERR_FULL);
    assert_int_equal(put(&world, "two", a, a, false), PD_OK); /* in its place */
    assert_int_equal(put(&world, "one", a, NULL, true), PD_OK);
    assert_true(remove_name(&world, "one"));
    assert_int_equal(put(&world, "three", a, NULL, false), PD_OK);
    world_end(a);
    check_empty(&world);
    world_close(&world);
}

static void the_oldest_name_is_told_first(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 8);
    struct pd_process *a = world_spawn(&world);
    char text[8];
    assert_false(pd_registry_name_of(world.environment, a->pid, text, sizeof text));
    assert_int_equal(ask(&world, "held", true, a), PD_REGISTRY_ABSENT);
    assert_false(pd_registry_name_of(world.environment, a->pid, text, sizeof text));
    assert_int_equal(put(&world, "oldest name", a, NULL, false), PD_OK);
    assert_int_equal(put(&world, "new", a, NULL, false), PD_OK);
    assert_int_equal(put(&world, "oldest name", a, NULL, true), PD_OK); /* the same: no younger */
    assert_true(pd_registry_name_of(world.environment, a->pid, text, sizeof text));
    assert_string_equal(text, "oldest ");
    assert_true(pd_registry_name_of(world.environment, a->pid, text, 1));
    assert_string_equal(text, "");
    assert_true(remove_name(&world, "oldest name"));
    assert_true(pd_registry_name_of(world.environment, a->pid, text, sizeof text));
    assert_string_equal(text, "new");
    world_end(a);
    world_close(&world);
}

static void an_environment_ends_with_names_in_it(void **state)
{
    (void)state;
    struct pd_registry registry;
    pd_registry_init(&registry, 4, 1);
    pd_registry_deinit(&registry);
    struct world world;
    struct pd_runtime_config config = small_config(1u << 20);
    world_open(&world, &config);
    struct pd_process *a = world_spawn(&world);
    for (uint32_t i = 0; i < 5000; i++) {
        assert_int_equal(
            pd_registry_put(world.environment, (const char *)&i, sizeof i, 0, a->pid, 0, false),
            PD_OK);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        assert_true(pd_registry_name_of(world.environment, a->pid, (char[4]){0}, 4));
        if (i % 3 == 0) {
            assert_true(pd_registry_remove(world.environment, (const char *)&i, sizeof i));
        }
    }
    world_end(a); /* in many batches */
    check_empty(&world);
    world_close(&world);
}

/* --- Against a model -------------------------------------------------------------------------- */

#define PROCESSES 6u
#define NAMES 8u
#define MODEL_NAMES_MAX 5u
#define NOBODY UINT32_MAX

struct model_name {
    bool is_there;
    bool is_held;
    uint32_t owner; /* index of a process */
    uint64_t node;
    uint64_t stamp; /* when it came to its owner */
};

struct model {
    struct model_name names[NAMES];
    uint32_t waits_for[PROCESSES]; /* a name, or NOBODY */
    uint64_t wait_stamp[PROCESSES];
    uint64_t stamp;
    uint32_t woken[PROCESSES]; /* what the last operation must have woken, in order */
    uint32_t woken_count;
};

struct play {
    struct world world;
    struct model model;
    struct pd_random random;
    struct pd_process *processes[PROCESSES];
    uint64_t dead_pid;
};

static const char *name_of(uint32_t name, size_t *size_out)
{
    static const char *const texts[NAMES] = {"a",      "b",        "ab", "abc",
                                             "worker", "worker-1", "z",  "zz"};
    *size_out = strlen(texts[name]);
    return texts[name];
}

static uint32_t model_count(const struct model *model)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < NAMES; i++) {
        count += model->names[i].is_there ? 1 : 0;
    }
    return count;
}

/* All who wait for the name are woken, the first to come first. */
static void model_wake(struct model *model, uint32_t name)
{
    for (;;) {
        uint32_t next = NOBODY;
        for (uint32_t i = 0; i < PROCESSES; i++) {
            if (model->waits_for[i] == name &&
                (next == NOBODY || model->wait_stamp[i] < model->wait_stamp[next])) {
                next = i;
            }
        }
        if (next == NOBODY) {
            return;
        }
        model->waits_for[next] = NOBODY;
        model->woken[model->woken_count++] = next;
    }
}

static void model_erase(struct model *model, uint32_t name)
{
    model_wake(model, name);
    model->names[name].is_there = false;
}

static bool model_is_held_by(const struct model *model, uint32_t name, uint32_t by)
{
    const struct model_name *entry = &model->names[name];
    return entry->is_there && entry->is_held && entry->owner == by;
}

/* owner NOBODY: a dead process. */
static enum pd_status model_put(struct model *model, uint32_t name, uint64_t node, uint32_t owner,
                                uint32_t by, bool overwrite)
{
    struct model_name *entry = &model->names[name];
    bool is_ours = model_is_held_by(model, name, by);
    if (owner == NOBODY) {
        if (overwrite || is_ours) {
            model_erase(model, name);
        }
        return PD_ERR_UNKNOWN;
    }
    if (!entry->is_there && model_count(model) >= MODEL_NAMES_MAX) {
        return PD_ERR_FULL;
    }
    if (entry->is_there && !overwrite && !is_ours) {
        return PD_ERR_EXISTS;
    }
    model_wake(model, name);
    bool is_same = entry->is_there && !entry->is_held && entry->owner == owner;
    uint64_t stamp = is_same ? entry->stamp : ++model->stamp;
    *entry = (struct model_name){.is_there = true, .owner = owner, .node = node, .stamp = stamp};
    return PD_OK;
}

static enum pd_registry_answer model_get(struct model *model, uint32_t name, bool hold, uint32_t by,
                                         bool can_wait, enum pd_status *status_out)
{
    struct model_name *entry = &model->names[name];
    *status_out = PD_OK;
    if (!entry->is_there) {
        if (hold && model_count(model) >= MODEL_NAMES_MAX) {
            *status_out = PD_ERR_FULL;
        } else if (hold) {
            *entry = (struct model_name){
                .is_there = true, .is_held = true, .owner = by, .stamp = ++model->stamp};
        }
        return PD_REGISTRY_ABSENT;
    }
    if (!entry->is_held) {
        return PD_REGISTRY_FOUND;
    }
    if (entry->owner == by || !can_wait) {
        return PD_REGISTRY_ABSENT;
    }
    if (model->waits_for[by] != name) {
        model->waits_for[by] = name;
        model->wait_stamp[by] = ++model->stamp;
    }
    return PD_REGISTRY_HELD;
}

/* The oldest entry of a process, NAMES if none. */
static uint32_t model_oldest(const struct model *model, uint32_t owner, bool is_held)
{
    uint32_t oldest = NAMES;
    for (uint32_t i = 0; i < NAMES; i++) {
        const struct model_name *entry = &model->names[i];
        if (entry->is_there && entry->is_held == is_held && entry->owner == owner &&
            (oldest == NAMES || entry->stamp < model->names[oldest].stamp)) {
            oldest = i;
        }
    }
    return oldest;
}

static void model_end(struct model *model, uint32_t process)
{
    model->waits_for[process] = NOBODY;
    uint32_t name = NAMES;
    while ((name = model_oldest(model, process, false)) != NAMES) {
        model_erase(model, name);
    }
    while ((name = model_oldest(model, process, true)) != NAMES) {
        model_erase(model, name);
    }
}

static void play_put(struct play *play, uint32_t name)
{
    uint32_t owner = (uint32_t)pd_random_below(&play->random, PROCESSES + 1);
    uint32_t by = (uint32_t)pd_random_below(&play->random, PROCESSES + 1);
    bool overwrite = pd_random_below(&play->random, 2) == 0;
    uint64_t node = pd_random_below(&play->random, 3);
    owner = owner == PROCESSES ? NOBODY : owner;
    size_t size = 0;
    const char *text = name_of(name, &size);
    enum pd_status got =
        pd_registry_put(play->world.environment, text, size, node,
                        owner == NOBODY ? play->dead_pid : play->processes[owner]->pid,
                        by == PROCESSES ? 0 : play->processes[by]->pid, overwrite);
    pd_alloc_fail_nth(0);
    if (got != PD_ERR_NO_MEMORY) {
        assert_int_equal(got, model_put(&play->model, name, node, owner, by, overwrite));
    }
}

static void play_get(struct play *play, uint32_t name)
{
    uint32_t by = (uint32_t)pd_random_below(&play->random, PROCESSES);
    bool hold = pd_random_below(&play->random, 2) == 0;
    bool can_wait = hold || pd_random_below(&play->random, 2) == 0;
    uint64_t node = UINT64_MAX;
    uint64_t pid = UINT64_MAX;
    enum pd_status status = PD_OK;
    size_t size = 0;
    const char *text = name_of(name, &size);
    enum pd_registry_answer got =
        pd_registry_get(play->world.environment, text, size, hold, play->processes[by]->pid,
                        can_wait ? play->processes[by] : NULL, &node, &pid, &status);
    pd_alloc_fail_nth(0);
    if (status == PD_ERR_NO_MEMORY) {
        assert_int_equal(got, PD_REGISTRY_ABSENT);
        return;
    }
    enum pd_status expected_status = PD_OK;
    assert_int_equal(got, model_get(&play->model, name, hold, by, can_wait, &expected_status));
    assert_int_equal(status, expected_status);
    if (got == PD_REGISTRY_FOUND) {
        assert_int_equal(node, play->model.names[name].node);
        assert_int_equal(pid, play->processes[play->model.names[name].owner]->pid);
    }
}

static void play_end(struct play *play)
{
    uint32_t process = (uint32_t)pd_random_below(&play->random, PROCESSES);
    pd_alloc_fail_nth(0);
    play->dead_pid = play->processes[process]->pid;
    world_end(play->processes[process]);
    model_end(&play->model, process);
}

/* Another takes the place of the one that died. */
static void play_respawn(struct play *play)
{
    for (uint32_t i = 0; i < PROCESSES; i++) {
        if (play->processes[i]->pid == 0) {
            play->processes[i] = world_spawn(&play->world);
        }
    }
}

static void play_check(struct play *play)
{
    struct model *model = &play->model;
    for (uint32_t i = 0; i < model->woken_count; i++) {
        assert_ptr_equal(world_take_woken(&play->world), play->processes[model->woken[i]]);
    }
    assert_null(world_take_woken(&play->world));
    model->woken_count = 0;
    play_respawn(play);
    const struct pd_registry *registry = &play->world.environment->registry;
    assert_int_equal(registry->names.count, model_count(model));
    uint32_t waiting = 0;
    uint32_t owning = 0;
    for (uint32_t i = 0; i < PROCESSES; i++) {
        char got[16];
        uint32_t oldest = model_oldest(model, i, false);
        size_t size = 0;
        bool has_name =
            pd_registry_name_of(play->world.environment, play->processes[i]->pid, got, sizeof got);
        assert_int_equal(has_name, oldest != NAMES);
        if (has_name) {
            assert_string_equal(got, name_of(oldest, &size));
        }
        waiting += model->waits_for[i] != NOBODY ? 1 : 0;
        owning += has_name || model_oldest(model, i, true) != NAMES ? 1 : 0;
    }
    assert_int_equal(registry->waiters.count, waiting);
    assert_int_equal(registry->owners.count, owning);
    for (uint32_t i = 0; i < NAMES; i++) {
        size_t size = 0;
        const struct model_name *entry = &model->names[i];
        bool is_name = entry->is_there && !entry->is_held;
        assert_int_equal(who_is(&play->world, name_of(i, &size)),
                         is_name ? play->processes[entry->owner]->pid : 0);
    }
}

static void play_step(struct play *play, bool may_fail)
{
    uint32_t name = (uint32_t)pd_random_below(&play->random, NAMES);
    uint32_t by = (uint32_t)pd_random_below(&play->random, PROCESSES);
    size_t size = 0;
    const char *text = name_of(name, &size);
    pd_alloc_fail_nth(may_fail ? pd_random_below(&play->random, 6) : 0);
    switch (pd_random_below(&play->random, 10)) {
    case 0:
        pd_registry_release(play->world.environment, text, size, play->processes[by]->pid);
        if (model_is_held_by(&play->model, name, by)) {
            model_erase(&play->model, name);
        }
        break;
    case 1: {
        bool is_name = play->model.names[name].is_there && !play->model.names[name].is_held;
        assert_int_equal(pd_registry_remove(play->world.environment, text, size), is_name);
        if (is_name) {
            model_erase(&play->model, name);
        }
        break;
    }
    case 2:
        play_end(play);
        break;
    case 3:
    case 4:
    case 5:
        play_put(play, name);
        break;
    default:
        play_get(play, name);
        break;
    }
    pd_alloc_fail_nth(0);
    play_check(play);
}

static void play_all(const char *name, bool may_fail)
{
    static struct play play;
    memset(&play, 0, sizeof play);
    play.random = test_random(name);
    world_open_small(&play.world, MODEL_NAMES_MAX);
    play.dead_pid = 1u << 30;
    for (uint32_t i = 0; i < PROCESSES; i++) {
        play.processes[i] = world_spawn(&play.world);
        play.model.waits_for[i] = NOBODY;
    }
    for (int step = 0; step < 60000; step++) {
        play_step(&play, may_fail);
    }
    for (uint32_t i = 0; i < PROCESSES; i++) {
        world_end(play.processes[i]);
        while (world_take_woken(&play.world) != NULL) {
        }
    }
    check_empty(&play.world);
    world_close(&play.world);
}

static void agrees_with_the_model(void **state)
{
    (void)state;
    play_all("registry", false);
}

static void agrees_with_the_model_when_allocations_fail(void **state)
{
    (void)state;
    play_all("registry without memory", true);
}

/* --- Threads ---------------------------------------------------------------------------------- */

/* Processes on real scheduler threads name each other, hold, wait and die. Each ends after its
 * steps: a lost wake would leave it waiting for ever. In the end nothing is left. */
#define PLAYERS 64u
#define LIVES 40u /* a player's children, one after the other */
#define STEPS 30u

struct player {
    struct pd_random random;
    uint32_t lives_left;
    uint32_t steps_left;
    uint32_t held; /* a name, or NAMES */
    uint64_t seen; /* a pid that a name stood for, maybe dead by now */
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
    player->held = NAMES;
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

/* With a hold: give it to somebody, give it back, or die with it. */
static void player_use_hold(struct pd_process *self, struct player *player)
{
    size_t size = 0;
    const char *text = name_of(player->held, &size);
    uint64_t pid = pd_random_below(&player->random, 2) == 0 ? self->pid : player->seen;
    uint64_t what = pd_random_below(&player->random, 4);
    if (what == 0) {
        pd_registry_release(self->environment, text, size, self->pid);
    } else if (what == 1) {
        player->steps_left = 0;
    } else {
        enum pd_status status =
            pd_registry_put(self->environment, text, size, 0, pid, self->pid, what == 2);
        if (status != PD_OK && status != PD_ERR_UNKNOWN && status != PD_ERR_EXISTS) {
            abort();
        }
    }
    player->held = NAMES;
}

static bool player_ask(struct pd_process *self, struct player *player, uint32_t name)
{
    size_t size = 0;
    const char *text = name_of(name, &size);
    uint64_t node = 0;
    enum pd_status status = PD_OK;
    bool hold = pd_random_below(&player->random, 2) == 0;
    enum pd_registry_answer answer = pd_registry_get(self->environment, text, size, hold, self->pid,
                                                     self, &node, &player->seen, &status);
    if (status != PD_OK) {
        abort();
    }
    if (answer == PD_REGISTRY_ABSENT && hold) {
        player->held = name;
    }
    return answer != PD_REGISTRY_HELD;
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
    uint32_t name = (uint32_t)pd_random_below(&player->random, NAMES);
    size_t size = 0;
    const char *text = name_of(name, &size);
    if (player->held != NAMES) {
        player_use_hold(self, player);
    } else if (pd_random_below(&player->random, 4) == 0) {
        (void)pd_registry_remove(self->environment, text, size);
    } else if (pd_random_below(&player->random, 4) == 0) {
        char first[16];
        (void)pd_registry_name_of(self->environment, player->seen, first, sizeof first);
    } else if (!player_ask(self, player, name)) {
        return PD_RESUME_WAIT; /* until the hold ends */
    }
    return PD_RESUME_YIELD;
}

static const struct pd_behavior player_behavior = {
    .name = "player", .resume = player_resume, .destroy = player_destroy};

static void nothing_is_lost_between_threads(void **state)
{
    (void)state;
    struct pd_random random = test_random("registry threads");
    struct world world;
    struct pd_runtime_config config = small_config(64);
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

/* The process dies between the look at it and the put: either order of its teardown and the put
 * leaves nothing. */
static void *put_late(void *argument)
{
    struct late *late = argument;
    late->status = pd_registry_put(late->environment, "x", 1, 0, late->pid, 0, false);
    return NULL;
}

static bool is_marked(struct pd_process *process)
{
    pd_spin_lock(&process->lock);
    bool has_names = process->has_names;
    pd_spin_unlock(&process->lock);
    return has_names;
}

static void who_dies_while_it_is_named_has_no_name(void **state)
{
    (void)state;
    struct world world;
    world_open_small(&world, 8);
    for (int round = 0; round < 300; round++) {
        struct pd_process *process = world_spawn(&world);
        struct late late = {
            .environment = world.environment, .process = process, .pid = process->pid};
        pd_spin_lock(&world.environment->registry.lock);
        late_start(&late, put_late, is_marked);
        pd_spin_unlock(&world.environment->registry.lock);
        late_join(&late);
        assert_true(late.status == PD_OK || late.status == PD_ERR_UNKNOWN);
        check_empty(&world);
    }
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_stands_for_its_process_and_goes_with_it),
        cmocka_unit_test(the_node_is_kept_as_given),
        cmocka_unit_test(a_name_is_any_bytes_within_its_bounds),
        cmocka_unit_test(a_dead_process_gets_no_name),
        cmocka_unit_test(a_hold_makes_others_wait_until_the_put),
        cmocka_unit_test(a_hold_ends_with_release_and_with_death),
        cmocka_unit_test(who_waits_and_dies_leaves_nothing_behind),
        cmocka_unit_test(who_waits_for_another_name_leaves_the_first_line),
        cmocka_unit_test(names_are_bounded),
        cmocka_unit_test(the_oldest_name_is_told_first),
        cmocka_unit_test(an_environment_ends_with_names_in_it),
        cmocka_unit_test(agrees_with_the_model),
        cmocka_unit_test(agrees_with_the_model_when_allocations_fail),
        cmocka_unit_test(who_dies_while_it_is_named_has_no_name),
        cmocka_unit_test(nothing_is_lost_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
