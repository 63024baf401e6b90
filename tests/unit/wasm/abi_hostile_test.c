/* Every function of every table, called with every kind of garbage: a result or a trap, never more.
 * The memory of the guest is an allocation of its own, so ASan and UBSan see any step beyond it. */
#include "abi_hostile.h"
#include "host/certificates.h"
#include "support/seed.h"

#define RANDOM_CALLS 150

struct fixture {
    struct world world;
    struct actor actor;
    struct pd_random random;
    uint64_t call_count;
};

/* With all that a node has. */
static void open_world(struct fixture *f)
{
    struct pd_runtime_config config = hostile_config();
    world_open(&f->world, &config);
    f->world.system.certificates = pd_real_certificates();
}

static void call(struct fixture *f, const struct pd_import *import, const uint64_t *numbers)
{
    if (!actor_lives(&f->actor)) {
        f->actor = hostile_actor(&f->world);
        hostile_fill(&f->actor, &f->random);
    }
    f->call_count++;
    (void)hostile_call(&f->actor, import, numbers);
}

static uint64_t pick(struct pd_random *random)
{
    return hostile_numbers[pd_random_below(random, HOSTILE_NUMBER_COUNT)];
}

/* All arguments alike; each alone odd among plausible ones; and all of them at random. */
static void torment(struct fixture *f, const struct pd_import *import)
{
    uint64_t numbers[PD_CALL_ARGUMENTS_MAX];
    size_t count = hostile_argument_count(import);
    for (size_t odd = 0; odd < HOSTILE_NUMBER_COUNT; odd++) {
        for (size_t i = 0; i < PD_CALL_ARGUMENTS_MAX; i++) {
            numbers[i] = hostile_numbers[odd];
        }
        call(f, import, numbers);
        for (size_t at = 0; at < count; at++) {
            for (size_t i = 0; i < count; i++) {
                numbers[i] = i % 2 == 0 ? HOSTILE_TEXT_AT : 5;
            }
            numbers[at] = hostile_numbers[odd];
            call(f, import, numbers);
        }
    }
    for (int round = 0; count > 1 && round < RANDOM_CALLS; round++) {
        for (size_t i = 0; i < count; i++) {
            numbers[i] = pick(&f->random);
        }
        call(f, import, numbers);
    }
}

static void no_arguments_do_harm(void **state)
{
    (void)state;
    struct fixture f = {.random = test_random("hostile")};
    size_t count = hostile_import_count();
    for (size_t i = 0; i < count; i++) {
        open_world(&f);
        f.actor = hostile_actor(&f.world);
        hostile_fill(&f.actor, &f.random);
        torment(&f, hostile_import(i));
        world_close(&f.world);
    }
    print_message("%zu functions, %llu calls\n", count, (unsigned long long)f.call_count);
}

/* The same process goes on from function to function, so that odd states meet odd arguments. */
static void no_sequence_of_calls_does_harm(void **state)
{
    (void)state;
    struct fixture f = {.random = test_random("sequence")};
    size_t count = hostile_import_count();
    for (int world = 0; world < 40; world++) {
        open_world(&f);
        f.actor = hostile_actor(&f.world);
        hostile_fill(&f.actor, &f.random);
        for (int i = 0; i < 500; i++) {
            uint64_t numbers[PD_CALL_ARGUMENTS_MAX];
            for (size_t j = 0; j < PD_CALL_ARGUMENTS_MAX; j++) {
                numbers[j] = pick(&f.random) % (j % 3 == 0 ? UINT64_MAX : 512);
            }
            call(&f, hostile_import(pd_random_below(&f.random, count)), numbers);
        }
        world_close(&f.world);
    }
}

/* Each allocation of each function fails once; the arguments are plausible, so that much is
 * reached. */
static void no_failed_allocation_does_harm(void **state)
{
    (void)state;
    struct fixture f = {.random = test_random("allocation")};
    const uint64_t numbers[PD_CALL_ARGUMENTS_MAX] = {HOSTILE_TEXT_AT, 5, 0, 8, 5, 0, 0, 512};
    const uint64_t ids[PD_CALL_ARGUMENTS_MAX] = {0, HOSTILE_TEXT_AT, 5, HOSTILE_TEXT_AT, 5, 0, 0};
    size_t count = hostile_import_count();
    for (size_t i = 0; i < count; i++) {
        open_world(&f);
        for (uint64_t nth = 1; nth <= 12; nth++) {
            f.actor = hostile_actor(&f.world);
            pd_alloc_fail_nth(nth);
            (void)hostile_call(&f.actor, hostile_import(i), nth % 2 == 0 ? numbers : ids);
            pd_alloc_fail_nth(0);
        }
        world_close(&f.world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_arguments_do_harm),
        cmocka_unit_test(no_sequence_of_calls_does_harm),
        cmocka_unit_test(no_failed_allocation_does_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
