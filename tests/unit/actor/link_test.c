/* Links: both sides hold one, or none; whoever dies, however the requests cross. */
#include "base/random.h"
#include "stage.h"
#include "support/seed.h"

static const struct pd_bond *link_of(const struct puppet *puppet, const struct puppet *peer)
{
    return pd_bond_set_find(&puppet->process->bonds, PD_BOND_LINK, peer->pid, 0);
}

static void expect_linked(const struct puppet *a, const struct puppet *b, bool are_linked)
{
    assert_int_equal(link_of(a, b) != NULL, are_linked);
    assert_int_equal(link_of(b, a) != NULL, are_linked);
}

static void expect_link_died(struct puppet *puppet, uint64_t pid, uint64_t tag,
                             enum pd_exit_reason reason)
{
    struct pd_message *message = puppet_take(puppet);
    assert_non_null(message);
    assert_int_equal(message->kind, PD_MESSAGE_LINK_DIED);
    assert_int_equal(message->pid, pid);
    assert_int_equal(message->tag, tag);
    assert_int_equal(message->reason, reason);
    pd_message_destroy(message);
}

struct pair {
    struct stage stage;
    struct puppet *a;
    struct puppet *b;
};

static void pair_open(struct pair *pair, uint64_t seed)
{
    struct pd_runtime_config config = stage_config();
    config.seed = seed;
    stage_open(&pair->stage, &config);
    pair->a = stage_spawn(&pair->stage);
    pair->b = stage_spawn(&pair->stage);
    pair->a->process->trapping = PD_TRAP_ALL;
    pair->b->process->trapping = PD_TRAP_ALL;
}

static void link_with(struct puppet *from, struct puppet *to, uint64_t tag)
{
    assert_int_equal(pd_process_link(from->process, to->pid, tag), PD_OK);
}

static void both_sides_hold_a_link(void **state)
{
    (void)state;
    for (int by_a = 0; by_a < 2; by_a++) {
        struct pair pair;
        pair_open(&pair, 1);
        link_with(pair.a, pair.b, 3);
        stage_run(&pair.stage);
        expect_linked(pair.a, pair.b, true);
        struct puppet *dying = by_a == 1 ? pair.a : pair.b;
        struct puppet *living = by_a == 1 ? pair.b : pair.a;
        stage_kill(&pair.stage, dying->pid);
        stage_run(&pair.stage);
        expect_link_died(living, dying->pid, 3, PD_EXIT_KILLED);
        puppet_expect_nothing(living);
        stage_close(&pair.stage);
    }
}

static void linking_again_changes_the_tag(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, 1);
    link_with(pair.a, pair.b, 3);
    stage_run(&pair.stage);
    link_with(pair.a, pair.b, 4);
    stage_run(&pair.stage);
    assert_int_equal(pair.a->process->bonds.count, 1);
    assert_int_equal(pair.b->process->bonds.count, 1);
    stage_kill(&pair.stage, pair.b->pid);
    stage_run(&pair.stage);
    expect_link_died(pair.a, pair.b->pid, 4, PD_EXIT_KILLED);
    puppet_expect_nothing(pair.a);
    stage_close(&pair.stage);
}

static void with_itself_and_with_nobody(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, 1);
    link_with(pair.a, pair.a, 3);
    stage_run(&pair.stage);
    assert_int_equal(pair.a->process->bonds.count, 0);
    assert_int_equal(pd_process_link(pair.a->process, 12345, 6), PD_OK);
    expect_link_died(pair.a, 12345, 6, PD_EXIT_NO_PROCESS);
    pair.b->process->trapping = PD_TRAP_NONE;
    assert_int_equal(pd_process_link(pair.b->process, 12345, 6), PD_OK);
    stage_run(&pair.stage);
    stage_expect_death(&pair.stage, pair.b->pid, PD_EXIT_NO_PROCESS);
    pd_process_unlink(pair.a->process, 777);
    stage_close(&pair.stage);
}

static void who_unlinked_is_not_told(void **state)
{
    (void)state;
    for (int by_a = 0; by_a < 2; by_a++) {
        struct pair pair;
        pair_open(&pair, 1);
        link_with(pair.a, pair.b, 3);
        stage_run(&pair.stage);
        struct puppet *one = by_a == 1 ? pair.a : pair.b;
        struct puppet *other = by_a == 1 ? pair.b : pair.a;
        pd_process_unlink(one->process, other->pid);
        /* Even when the death is on its way. */
        stage_kill(&pair.stage, other->pid);
        stage_run(&pair.stage);
        puppet_expect_nothing(one);
        stage_close(&pair.stage);
    }
}

static void a_link_request_outruns_no_unlink(void **state)
{
    (void)state;
    /* b asks to be linked anew while a's unlink is on its way to it. */
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct pair pair;
        pair_open(&pair, seed);
        link_with(pair.a, pair.b, 3);
        stage_run(&pair.stage);
        pd_process_unlink(pair.a->process, pair.b->pid);
        link_with(pair.b, pair.a, 4);
        stage_run(&pair.stage);
        expect_linked(pair.a, pair.b, true);
        pd_process_unlink(pair.b->process, pair.a->pid);
        stage_run(&pair.stage);
        expect_linked(pair.a, pair.b, false);
        stage_close(&pair.stage);
    }
}

static void a_child_is_linked_before_it_runs(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, 1);
    struct puppet *child = stage_create(&pair.stage);
    assert_int_equal(pd_process_link_child(pair.a->process, child->process, 8), PD_OK);
    child->run = puppet_run_exit;
    pd_process_start(child->process);
    stage_run(&pair.stage);
    expect_link_died(pair.a, child->pid, 8, PD_EXIT_NORMAL);
    puppet_expect_nothing(pair.a);
    /* And unlinked, which undoes both sides. */
    child = stage_create(&pair.stage);
    assert_int_equal(pd_process_link_child(pair.a->process, child->process, 8), PD_OK);
    pd_process_start(child->process);
    pd_process_unlink(pair.a->process, child->pid);
    stage_run(&pair.stage);
    expect_linked(pair.a, child, false);
    stage_close(&pair.stage);
}

static void bonds_are_bounded(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = stage_config();
    config.bonds_max = 3;
    stage_open(&stage, &config);
    struct puppet *puppet = stage_spawn(&stage);
    struct puppet *peers[4];
    for (uint32_t i = 0; i < 4; i++) {
        peers[i] = stage_spawn(&stage);
        assert_int_equal(pd_process_link(puppet->process, peers[i]->pid, 0),
                         i < 3 ? PD_OK : PD_ERR_FULL);
    }
    assert_int_equal(pd_process_monitor(puppet->process, peers[0]->pid, 1), PD_ERR_FULL);
    link_with(puppet, peers[0], 9); /* it is one already */
    struct puppet *child = stage_create(&stage);
    assert_int_equal(pd_process_link_child(puppet->process, child->process, 1), PD_ERR_FULL);
    pd_process_start(child->process);
    stage_run(&stage);
    pd_process_unlink(puppet->process, peers[0]->pid);
    assert_int_equal(pd_process_link(puppet->process, peers[3]->pid, 0), PD_OK);
    stage_run(&stage);
    expect_linked(puppet, peers[0], false);
    expect_linked(puppet, peers[3], true);
    stage_close(&stage);
}

static void without_memory_nothing_changes(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        struct pair pair;
        pair_open(&pair, 1);
        pd_alloc_fail_nth(nth);
        assert_int_equal(pd_process_link(pair.a->process, pair.b->pid, 1), PD_ERR_NO_MEMORY);
        stage_run(&pair.stage);
        expect_linked(pair.a, pair.b, false);
        link_with(pair.a, pair.b, 1);
        stage_run(&pair.stage);
        pd_alloc_fail_nth(1);
        assert_int_equal(pd_process_link(pair.a->process, pair.b->pid, 2), PD_ERR_NO_MEMORY);
        pd_alloc_fail_nth(0);
        struct puppet *child = stage_create(&pair.stage);
        pd_alloc_fail_nth(nth);
        assert_int_equal(pd_process_link_child(pair.a->process, child->process, 8),
                         PD_ERR_NO_MEMORY);
        pd_process_start(child->process);
        stage_run(&pair.stage);
        expect_linked(pair.a, pair.b, true);
        expect_linked(pair.a, child, false);
        stage_close(&pair.stage);
    }
}

/* --- Random lives: requests that cross in every way ------------------------------------------- */

#define LIVES 12u

static void act(struct stage *stage, struct puppet **puppets, struct pd_random *random)
{
    struct puppet *one = puppets[pd_random_below(random, LIVES)];
    struct puppet *other = puppets[pd_random_below(random, LIVES)];
    if (!puppet_is_alive(one)) {
        return;
    }
    uint64_t action = pd_random_below(random, 100);
    if (action < 45) {
        assert_int_equal(pd_process_link(one->process, other->pid, action), PD_OK);
    } else if (action < 85) {
        pd_process_unlink(one->process, other->pid);
    } else if (action < 97) {
        (void)stage_run_turns(stage, pd_random_below(random, 4)); /* some requests arrive */
    } else if (action < 98) {
        stage_kill(stage, one->pid);
    } else {
        stage_run(stage);
    }
}

static void expect_symmetry(struct puppet **puppets)
{
    for (uint32_t i = 0; i < LIVES; i++) {
        for (uint32_t j = 0; j < LIVES; j++) {
            if (!puppet_is_alive(puppets[i])) {
                continue;
            }
            bool holds = link_of(puppets[i], puppets[j]) != NULL;
            if (!puppet_is_alive(puppets[j])) {
                assert_false(holds); /* it was told of the death */
            } else {
                assert_int_equal(holds, link_of(puppets[j], puppets[i]) != NULL);
            }
        }
    }
}

static void links_are_symmetric_when_all_is_quiet(void **state)
{
    (void)state;
    struct pd_random random = test_random("links_are_symmetric_when_all_is_quiet");
    for (uint32_t life = 0; life < 300; life++) {
        struct stage stage;
        struct pd_runtime_config config = stage_config();
        config.seed = pd_random_next(&random);
        config.signals_max = (uint32_t)pd_random_below(&random, 4) + 1; /* requests wait, too */
        stage_open(&stage, &config);
        struct puppet *puppets[LIVES];
        for (uint32_t i = 0; i < LIVES; i++) {
            puppets[i] = stage_spawn(&stage);
            puppets[i]->process->trapping = PD_TRAP_ALL;
        }
        for (uint32_t i = 0; i < 200; i++) {
            act(&stage, puppets, &random);
        }
        stage_run(&stage);
        for (uint32_t i = 0; i < LIVES; i++) { /* whose requests wait */
            if (puppet_is_alive(puppets[i])) {
                puppet_wake(puppets[i]);
            }
        }
        stage_run(&stage);
        expect_symmetry(puppets);
        stage_close(&stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_hold_a_link),
        cmocka_unit_test(linking_again_changes_the_tag),
        cmocka_unit_test(with_itself_and_with_nobody),
        cmocka_unit_test(who_unlinked_is_not_told),
        cmocka_unit_test(a_link_request_outruns_no_unlink),
        cmocka_unit_test(a_child_is_linked_before_it_runs),
        cmocka_unit_test(bonds_are_bounded),
        cmocka_unit_test(without_memory_nothing_changes),
        cmocka_unit_test(links_are_symmetric_when_all_is_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
