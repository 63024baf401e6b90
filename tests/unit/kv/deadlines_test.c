/* The heap of deadlines against a scan of all items. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kv/deadlines.h"
#include "support/seed.h"

#define ITEMS 40u

struct rig {
    struct pd_kv_deadlines heap;
    struct pd_kv_deadline keys[ITEMS];
    uint32_t order[ITEMS];
    int32_t places[ITEMS];
};

static void rig_init(struct rig *rig, uint32_t items)
{
    pd_kv_deadlines_init(&rig->heap, rig->keys, rig->order, rig->places, items);
}

static void ties_go_by_id_and_then_by_item(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 4);
    assert_int_equal(pd_kv_deadlines_first(&rig.heap), 4);
    pd_kv_deadlines_set(&rig.heap, 3, 10, 7);
    pd_kv_deadlines_set(&rig.heap, 2, 10, 7);
    pd_kv_deadlines_set(&rig.heap, 1, 10, 6);
    pd_kv_deadlines_set(&rig.heap, 0, 11, 1);
    const uint32_t wanted[] = {1, 2, 3, 0};
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(pd_kv_deadlines_first(&rig.heap), wanted[i]);
        pd_kv_deadlines_remove(&rig.heap, wanted[i]);
        pd_kv_deadlines_remove(&rig.heap, wanted[i]); /* out already: nothing */
    }
    assert_int_equal(rig.heap.count, 0);
}

static void one_item_is_set_again_and_again(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    pd_kv_deadlines_set(&rig.heap, 0, UINT64_MAX, UINT64_MAX);
    pd_kv_deadlines_set(&rig.heap, 0, 0, 0);
    assert_int_equal(rig.heap.count, 1);
    assert_int_equal(pd_kv_deadlines_first(&rig.heap), 0);
}

static uint32_t scan(const struct pd_kv_deadline *keys, const bool *is_in, uint32_t items)
{
    uint32_t least = items;
    for (uint32_t i = 0; i < items; i++) {
        if (is_in[i] &&
            (least == items || keys[i].deadline_ns < keys[least].deadline_ns ||
             (keys[i].deadline_ns == keys[least].deadline_ns && keys[i].id < keys[least].id))) {
            least = i;
        }
    }
    return least;
}

static void random_use_agrees_with_a_scan(void **state)
{
    (void)state;
    struct pd_random random = test_random("deadlines");
    for (int round = 0; round < 200; round++) {
        struct rig rig;
        struct pd_kv_deadline keys[ITEMS] = {0};
        bool is_in[ITEMS] = {false};
        uint32_t items = 1 + (uint32_t)pd_random_below(&random, ITEMS);
        uint32_t count = 0;
        rig_init(&rig, items);
        for (int step = 0; step < 500; step++) {
            uint32_t item = (uint32_t)pd_random_below(&random, items);
            if (pd_random_below(&random, 3) > 0) {
                keys[item].deadline_ns = pd_random_below(&random, 20);
                keys[item].id = pd_random_below(&random, 4);
                pd_kv_deadlines_set(&rig.heap, item, keys[item].deadline_ns, keys[item].id);
                count += !is_in[item];
                is_in[item] = true;
            } else {
                pd_kv_deadlines_remove(&rig.heap, item);
                count -= is_in[item];
                is_in[item] = false;
            }
            assert_int_equal(rig.heap.count, count);
            assert_int_equal(pd_kv_deadlines_first(&rig.heap), scan(keys, is_in, items));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ties_go_by_id_and_then_by_item),
        cmocka_unit_test(one_item_is_set_again_and_again),
        cmocka_unit_test(random_use_agrees_with_a_scan),
    };
    return cmocka_run_group_tests_name("deadlines", tests, NULL, NULL);
}
