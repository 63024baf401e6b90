/* Who may run SQL: nobody twice in a row while another waits, nobody all places, and nobody is
 * forgotten; and dead actors' databases are closed a few at a time. */
#include "base/random.h"
#include "sqlite_world.h"
#include "wasm/sqlite_farewell.h"
#include "wasm/sqlite_places.h"

static uint32_t woken[64];

static void wake(void *process)
{
    woken[(uintptr_t)process]++;
}

/* Number 0 to 63 of the owner. */
static bool take(struct pd_sqlite_place *place, uint64_t owner, uint32_t number)
{
    return pd_sqlite_place_take(place, owner, wake, (void *)(uintptr_t)number);
}

static void one_owner_leaves_a_place_to_others(void **state)
{
    (void)state;
    struct pd_sqlite_place greedy[6] = {0};
    struct pd_sqlite_place modest = {0};
    memset(woken, 0, sizeof woken);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(take(&greedy[i], 1, i), i < PD_SQLITE_PLACES_OF_ONE_MAX);
    }
    assert_true(take(&modest, 2, 6));
    pd_sqlite_place_give(&modest);
    assert_false(pd_sqlite_place_is_held(&greedy[3]));
    /* In order, and each is woken when it is his turn. */
    for (uint32_t i = 0; i < 6; i++) {
        assert_true(pd_sqlite_place_is_held(&greedy[i]));
        pd_sqlite_place_give(&greedy[i]);
        assert_int_equal(woken[i], i < PD_SQLITE_PLACES_OF_ONE_MAX ? 0 : 1);
    }
}

static void owners_take_turns(void **state)
{
    (void)state;
    struct pd_sqlite_place held[PD_SQLITE_PLACES_MAX] = {0};
    struct pd_sqlite_place many[8] = {0};
    struct pd_sqlite_place late = {0};
    for (uint32_t i = 0; i < PD_SQLITE_PLACES_MAX; i++) {
        assert_true(take(&held[i], 10 + i, 0));
    }
    for (uint32_t i = 0; i < 8; i++) {
        assert_false(take(&many[i], 1, i));
    }
    assert_false(take(&late, 2, 8));
    pd_sqlite_place_give(&held[0]);
    pd_sqlite_place_give(&held[1]);
    /* Eight came before him, but of one owner. */
    assert_true(pd_sqlite_place_is_held(&late));
    assert_true(pd_sqlite_place_is_held(&many[0]));
    assert_false(pd_sqlite_place_is_held(&many[1]));
    /* Who goes out of line is not waited for. */
    pd_sqlite_place_give(&many[1]);
    pd_sqlite_place_give(&late);
    assert_true(pd_sqlite_place_is_held(&many[2]));
    for (uint32_t i = 0; i < 8; i++) {
        pd_sqlite_place_give(&many[i]);
    }
    pd_sqlite_place_give(&held[2]);
    pd_sqlite_place_give(&held[3]);
}

static void who_waits_for_a_lock_lends_his_place(void **state)
{
    (void)state;
    struct pd_sqlite_place held[PD_SQLITE_PLACES_MAX] = {0};
    struct pd_sqlite_place waiting[PD_SQLITE_PLACES_MAX] = {0};
    for (uint32_t i = 0; i < PD_SQLITE_PLACES_MAX; i++) {
        assert_true(take(&held[i], i, 0));
    }
    for (uint32_t i = 0; i < PD_SQLITE_PLACES_MAX; i++) {
        assert_false(take(&waiting[i], 10 + i, 0));
    }
    for (uint32_t i = 0; i < PD_SQLITE_PLACES_MAX; i++) {
        pd_sqlite_place_rest(&held[i]);
        assert_int_equal(pd_sqlite_place_is_held(&held[i]), i >= PD_SQLITE_RESTING_MAX);
        assert_int_equal(pd_sqlite_place_is_held(&waiting[i]), i < PD_SQLITE_RESTING_MAX);
    }
    for (uint32_t i = 0; i < PD_SQLITE_PLACES_MAX; i++) {
        pd_sqlite_place_resume(&held[i]); /* on top */
        assert_true(pd_sqlite_place_is_held(&held[i]));
    }
    /* What was on top is not handed out. */
    pd_sqlite_place_give(&held[0]);
    pd_sqlite_place_give(&held[1]);
    assert_false(pd_sqlite_place_is_held(&waiting[2]));
    pd_sqlite_place_give(&held[2]);
    assert_true(pd_sqlite_place_is_held(&waiting[2]));
    pd_sqlite_place_give(&held[3]);
    for (uint32_t i = 0; i < PD_SQLITE_PLACES_MAX; i++) {
        pd_sqlite_place_give(&waiting[i]);
    }
}

/* Random takes, rests and gives: never too many, and never room beside somebody who waits. */
static void nobody_waits_beside_room(void **state)
{
    (void)state;
    struct pd_sqlite_place places[24] = {0};
    struct pd_random random;
    pd_random_init(&random, 7, "sqlite_places");
    for (int round = 0; round < 20000; round++) {
        struct pd_sqlite_place *place = &places[pd_random_below(&random, 24)];
        switch (place->state) {
        case PD_SQLITE_PLACE_NONE:
            (void)take(place, pd_random_below(&random, 3), 0);
            break;
        case PD_SQLITE_PLACE_RESTING:
            pd_sqlite_place_resume(place);
            break;
        case PD_SQLITE_PLACE_HELD:
            if (pd_random_below(&random, 3) == 0) {
                pd_sqlite_place_rest(place);
                break;
            }
            pd_sqlite_place_give(place);
            break;
        case PD_SQLITE_PLACE_WAITING:
            if (pd_random_below(&random, 4) == 0) {
                pd_sqlite_place_give(place);
            }
            break;
        }
        uint32_t held[3] = {0};
        uint32_t waiting[3] = {0};
        uint32_t resting = 0;
        for (uint32_t i = 0; i < 24; i++) {
            held[places[i].line % 3] += places[i].state == PD_SQLITE_PLACE_HELD;
            waiting[places[i].line % 3] += places[i].state == PD_SQLITE_PLACE_WAITING;
            resting += places[i].state == PD_SQLITE_PLACE_RESTING;
        }
        uint32_t all = held[0] + held[1] + held[2];
        assert_true(resting <= PD_SQLITE_RESTING_MAX);
        assert_true(all <= PD_SQLITE_PLACES_MAX + PD_SQLITE_PLACES_MAX);
        for (uint32_t i = 0; i < 3; i++) {
            assert_true(waiting[i] == 0 || all >= PD_SQLITE_PLACES_MAX ||
                        held[i] >= PD_SQLITE_PLACES_OF_ONE_MAX);
        }
    }
    for (uint32_t i = 0; i < 24; i++) {
        pd_sqlite_place_resume(&places[i]);
        pd_sqlite_place_give(&places[i]);
    }
}

/* --- Farewells -------------------------------------------------------------------------------- */

static struct pd_job *submitted[16];
static uint32_t submitted_count;
static uint32_t refused_left; /* submits that find the queue full */

static void farewell_next(void);

static enum pd_status keep_job(struct pd_host *host, struct pd_job *job)
{
    (void)host;
    farewell_next();
    if (refused_left > 0) {
        refused_left--;
        return PD_ERR_FULL;
    }
    submitted[submitted_count++] = job;
    return PD_OK;
}

/* Actors that die while another dying one looks for a helper: each in the submit of the one before.
 */
static struct dying {
    struct pd_host host;
    struct pd_host_ops ops;
    struct pd_sqlite_account *account;
    struct pd_wasi_config *directories;
    uint32_t left;
} dying;

static void dying_init(struct fixture *f)
{
    dying.host = f->world.host.interface;
    dying.ops = *dying.host.ops;
    dying.ops.submit = keep_job;
    dying.host.ops = &dying.ops;
    dying.directories = actor_wasm(&f->actor)->rights->wasi;
    dying.account = pd_sqlite_account_create(8 << 20, 8, NULL);
    dying.left = 0;
    refused_left = 0;
    submitted_count = 0;
    assert_int_equal(pd_sqlite_start(), PD_OK);
}

static uint32_t open_count(void)
{
    return atomic_load(&dying.account->file_count);
}

static void farewell_one(void)
{
    char why[400];
    struct pd_sqlite_connection *connection = pd_sqlite_connection_create(
        dying.account, dying.directories, &dying.host, PD_SQLITE_STEPS_MAX);
    assert_int_equal(pd_sqlite_connection_open(connection, "a.db", why, sizeof why), SQLITE_OK);
    pd_sqlite_farewell(&dying.host, &connection, 1);
}

static void farewell_next(void)
{
    if (dying.left > 0) {
        dying.left--;
        farewell_one();
    }
}

static void who_finds_no_helper_closes_his_own(void **state)
{
    dying_init(*state);
    /* One is at it; the next finds no room, while a third one comes into line. */
    farewell_one();
    refused_left = 1;
    dying.left = 1;
    farewell_one();
    assert_int_equal(submitted_count, 1);
    assert_int_equal(open_count(), 2);
    submitted[0]->run(submitted[0]);
    assert_int_equal(open_count(), 0);
    /* Nobody is at it, and two find no room, while a third one comes into line: it is left to the
     * last of them, for whom there is room again. */
    submitted_count = 0;
    refused_left = 2;
    dying.left = 2;
    farewell_one();
    assert_int_equal(open_count(), 1);
    assert_int_equal(submitted_count, 1);
    submitted[0]->run(submitted[0]);
    assert_int_equal(open_count(), 0);
    /* Never any room: the last of them does it. */
    submitted_count = 0;
    refused_left = 3;
    dying.left = 2;
    farewell_one();
    assert_int_equal(open_count(), 0);
    assert_int_equal(submitted_count, 0);
    assert_int_equal(atomic_load(&dying.account->references), 1);
    pd_sqlite_account_release(dying.account);
}

static void dead_actors_databases_are_closed_a_few_at_a_time(void **state)
{
    struct fixture *f = *state;
    struct pd_wasm_process *self = actor_wasm(&f->actor);
    struct pd_host_ops ops = *f->world.host.interface.ops;
    struct pd_host host = f->world.host.interface;
    struct pd_sqlite_account *account = pd_sqlite_account_create(8 << 20, 8, NULL);
    char why[400];
    host.ops = &ops;
    ops.submit = keep_job;
    refused_left = 0;
    submitted_count = 0;
    assert_int_equal(pd_sqlite_start(), PD_OK);
    for (uint32_t i = 0; i < 6; i++) {
        struct pd_sqlite_connection *connection = pd_sqlite_connection_create(
            account, self->rights->wasi, &f->world.host.interface, PD_SQLITE_STEPS_MAX);
        assert_int_equal(pd_sqlite_connection_open(connection, ":memory:", why, sizeof why),
                         SQLITE_OK);
        assert_int_equal(pd_sqlite_execute(connection, "BEGIN; CREATE TABLE t(x)"), SQLITE_OK);
        pd_sqlite_farewell(&host, &connection, 1);
    }
    assert_int_equal(submitted_count, PD_SQLITE_FAREWELLS_MAX);
    assert_true(atomic_load(&account->bytes) > 0);
    for (uint32_t i = 0; i < submitted_count; i++) {
        submitted[i]->run(submitted[i]);
    }
    assert_int_equal(atomic_load(&account->bytes), 0);
    assert_int_equal(atomic_load(&account->references), 1);
    /* Without room at the helpers it is done at once. */
    refused_left = 1;
    struct pd_sqlite_connection *connection = pd_sqlite_connection_create(
        account, self->rights->wasi, &f->world.host.interface, PD_SQLITE_STEPS_MAX);
    assert_int_equal(pd_sqlite_connection_open(connection, ":memory:", why, sizeof why), SQLITE_OK);
    pd_sqlite_farewell(&host, &connection, 1);
    assert_int_equal(atomic_load(&account->references), 1);
    pd_sqlite_account_release(account);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_owner_leaves_a_place_to_others),
        cmocka_unit_test(owners_take_turns),
        cmocka_unit_test(who_waits_for_a_lock_lends_his_place),
        cmocka_unit_test(nobody_waits_beside_room),
        TEST(who_finds_no_helper_closes_his_own),
        TEST(dead_actors_databases_are_closed_a_few_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
