/* The set finds by key, walks in insertion order, and needs no memory to be right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actor/bond.h"
#include "base/alloc.h"
#include "support/seed.h"

static struct pd_bond *add(struct pd_bond_set *set, enum pd_bond_type type, uint64_t peer,
                           uint64_t tag, uint64_t ref)
{
    struct pd_bond *bond = pd_bond_create(type, peer, tag, ref);
    assert_non_null(bond);
    pd_bond_set_insert(set, bond);
    return bond;
}

static void keys_are_type_peer_and_reference(void **state)
{
    (void)state;
    struct pd_bond_set set;
    pd_bond_set_init(&set);
    struct pd_bond *link = add(&set, PD_BOND_LINK, 5, 77, 0);
    struct pd_bond *watching = add(&set, PD_BOND_WATCHING, 5, 0, 0);
    struct pd_bond *watching_ref = add(&set, PD_BOND_WATCHING, 5, 0, 9);
    struct pd_bond *watched = add(&set, PD_BOND_WATCHED_BY, 5, 0, 0);
    struct pd_bond *watched_ref = add(&set, PD_BOND_WATCHED_BY, 5, 0, 9);
    struct pd_bond *watched_other = add(&set, PD_BOND_WATCHED_BY, 6, 0, 9);

    assert_ptr_equal(pd_bond_set_find(&set, PD_BOND_LINK, 5, 0), link);
    assert_int_equal(link->message.tag, 77);
    assert_ptr_equal(pd_bond_set_find(&set, PD_BOND_WATCHING, 5, 0), watching);
    assert_ptr_equal(pd_bond_set_find(&set, PD_BOND_WATCHING, 5, 9), watching_ref);
    /* A reference of ours says all: the peer is ignored. */
    assert_ptr_equal(pd_bond_set_find(&set, PD_BOND_WATCHING, 1234, 9), watching_ref);
    assert_ptr_equal(pd_bond_set_find(&set, PD_BOND_WATCHED_BY, 5, 0), watched);
    assert_ptr_equal(pd_bond_set_find(&set, PD_BOND_WATCHED_BY, 5, 9), watched_ref);
    assert_ptr_equal(pd_bond_set_find(&set, PD_BOND_WATCHED_BY, 6, 9), watched_other);
    assert_null(pd_bond_set_find(&set, PD_BOND_LINK, 6, 0));
    assert_null(pd_bond_set_find(&set, PD_BOND_WATCHING, 6, 0));
    assert_null(pd_bond_set_find(&set, PD_BOND_WATCHING, 5, 8));
    assert_null(pd_bond_set_find(&set, PD_BOND_WATCHED_BY, 7, 9));
    pd_bond_set_deinit(&set);
}

static void a_bond_is_a_message_that_can_be_sent(void **state)
{
    (void)state;
    struct pd_bond_set set;
    pd_bond_set_init(&set);
    struct pd_bond *bond = add(&set, PD_BOND_LINK, 5, 77, 0);
    struct pd_message *message = &bond->message;
    assert_ptr_equal(pd_bond_of(message), bond);
    assert_ptr_equal(pd_bond_set_take_first(&set), bond);
    assert_int_equal(set.count, 0);
    assert_null(pd_bond_set_take_first(&set));
    message->text = pd_exit_text_create("gone", 4);
    pd_message_destroy(message); /* frees bond and text */
    pd_bond_set_deinit(&set);
}

/* --- Against a model -------------------------------------------------------------------------- */

#define KEYS 600u /* well beyond where the index begins, and grows */

struct model {
    struct pd_bond *bonds[KEYS]; /* NULL: not in */
    uint32_t order[KEYS];
    uint32_t count;
};

static enum pd_bond_type type_of(uint32_t key)
{
    return (enum pd_bond_type)(key % 3 + 1);
}

static uint64_t peer_of(uint32_t key)
{
    return key / 6;
}

static uint64_t ref_of(uint32_t key)
{
    if (type_of(key) == PD_BOND_LINK) {
        return 0;
    }
    return key / 3 % 2 == 0 ? 0 : 1000 + key; /* one reference is one monitor */
}

static bool is_used(uint32_t key)
{
    return type_of(key) != PD_BOND_LINK || key / 3 % 2 == 0; /* else it repeats the one before */
}

static void check(const struct pd_bond_set *set, const struct model *model)
{
    assert_int_equal(set->count, model->count);
    const struct pd_list *at = set->all.next;
    for (uint32_t i = 0; i < model->count; i++) {
        assert_ptr_equal(at, &model->bonds[model->order[i]]->node);
        at = at->next;
    }
    assert_ptr_equal(at, &set->all);
    for (uint32_t key = 0; key < KEYS; key++) {
        if (is_used(key)) {
            assert_ptr_equal(pd_bond_set_find(set, type_of(key), peer_of(key), ref_of(key)),
                             model->bonds[key]);
        }
    }
}

static void model_remove(struct model *model, uint32_t key)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < model->count; i++) {
        if (model->order[i] != key) {
            model->order[kept++] = model->order[i];
        }
    }
    model->count = kept;
    model->bonds[key] = NULL;
}

static void play(struct pd_random *random, bool may_fail)
{
    struct pd_bond_set set;
    struct model model = {.count = 0};
    pd_bond_set_init(&set);
    for (uint32_t step = 0; step < 30000; step++) {
        uint32_t key = (uint32_t)pd_random_below(random, KEYS);
        bool grows = step / 5000 % 2 == 0; /* a tide: many, then few */
        if (!is_used(key)) {
            continue;
        }
        if (model.bonds[key] == NULL) {
            if (!grows && pd_random_below(random, 4) != 0) {
                continue;
            }
            struct pd_bond *bond = pd_bond_create(type_of(key), peer_of(key), step, ref_of(key));
            assert_non_null(bond);
            pd_alloc_fail_nth(may_fail ? pd_random_below(random, 2)
                                       : 0); /* the index cannot grow */
            pd_bond_set_insert(&set, bond);
            pd_alloc_fail_nth(0);
            model.bonds[key] = bond;
            model.order[model.count++] = key;
        } else if (!grows || pd_random_below(random, 4) == 0) {
            struct pd_bond *bond = model.bonds[key];
            if (pd_random_below(random, 8) == 0) {
                key = model.order[0];
                bond = model.bonds[key];
                assert_ptr_equal(pd_bond_set_take_first(&set), bond);
            } else {
                pd_bond_set_remove(&set, bond);
            }
            pd_message_destroy(&bond->message);
            model_remove(&model, key);
        }
        if (step % 61 == 0) {
            check(&set, &model);
        }
    }
    check(&set, &model);
    pd_bond_set_deinit(&set);
}

static void agrees_with_the_model(void **state)
{
    (void)state;
    struct pd_random random = test_random("bond");
    play(&random, false);
}

static void agrees_with_the_model_without_memory(void **state)
{
    (void)state;
    struct pd_random random = test_random("bond without memory");
    play(&random, true);
}

static void creation_without_memory_gives_nothing(void **state)
{
    (void)state;
    pd_alloc_fail_nth(1);
    assert_null(pd_bond_create(PD_BOND_LINK, 1, 0, 0));
    pd_alloc_fail_nth(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_type_peer_and_reference),
        cmocka_unit_test(a_bond_is_a_message_that_can_be_sent),
        cmocka_unit_test(agrees_with_the_model),
        cmocka_unit_test(agrees_with_the_model_without_memory),
        cmocka_unit_test(creation_without_memory_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
