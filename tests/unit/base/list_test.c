/* Lists behave as arrays would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "support/seed.h"

#define NODES 16u
#define LISTS 3u

struct item {
    uint32_t before; /* so that the node is not at the front */
    struct pd_list node;
};

/* What a list should hold: indexes of items in order. */
struct model {
    uint32_t items[NODES];
    uint32_t count;
};

struct world {
    struct item items[NODES];
    struct pd_list lists[LISTS];
    struct model models[LISTS];
    int at[NODES]; /* in which list, or -1 */
};

static void world_init(struct world *world)
{
    for (uint32_t i = 0; i < NODES; i++) {
        world->items[i].before = i;
        pd_list_init(&world->items[i].node);
        world->at[i] = -1;
    }
    for (uint32_t i = 0; i < LISTS; i++) {
        pd_list_init(&world->lists[i]);
        world->models[i].count = 0;
    }
}

static void check(const struct world *world)
{
    for (uint32_t l = 0; l < LISTS; l++) {
        const struct pd_list *head = &world->lists[l];
        const struct model *model = &world->models[l];
        assert_int_equal(pd_list_is_empty(head), model->count == 0);
        struct pd_list *node = pd_list_first(head);
        assert_int_equal(node == NULL, model->count == 0);
        const struct pd_list *previous = head;
        for (uint32_t i = 0; i < model->count; i++) {
            assert_int_equal(pd_container_of(node, struct item, node)->before, model->items[i]);
            assert_ptr_equal(node->previous, previous);
            previous = node;
            node = node->next;
        }
        if (model->count > 0) {
            assert_ptr_equal(node, head);
            assert_ptr_equal(head->previous, previous);
        }
    }
    for (uint32_t i = 0; i < NODES; i++) {
        assert_int_equal(pd_list_is_linked(&world->items[i].node), world->at[i] >= 0);
    }
}

static void model_remove(struct model *model, uint32_t item)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < model->count; i++) {
        if (model->items[i] != item) {
            model->items[kept++] = model->items[i];
        }
    }
    model->count = kept;
}

static void move_all(struct world *world, uint32_t to, uint32_t from)
{
    pd_list_move_all(&world->lists[to], &world->lists[from]);
    for (uint32_t i = 0; i < world->models[from].count; i++) {
        uint32_t item = world->models[from].items[i];
        world->models[to].items[world->models[to].count++] = item;
        world->at[item] = (int)to;
    }
    world->models[from].count = 0;
}

static void agrees_with_the_model(void **state)
{
    (void)state;
    struct pd_random random = test_random("list");
    struct world world;
    world_init(&world);
    for (int step = 0; step < 200000; step++) {
        uint32_t item = (uint32_t)pd_random_below(&random, NODES);
        uint32_t list = (uint32_t)pd_random_below(&random, LISTS);
        if (pd_random_below(&random, 16) == 0) {
            move_all(&world, list, (list + 1) % LISTS);
        } else if (world.at[item] < 0) {
            pd_list_append(&world.lists[list], &world.items[item].node);
            world.models[list].items[world.models[list].count++] = item;
            world.at[item] = (int)list;
        } else {
            pd_list_remove(&world.items[item].node);
            model_remove(&world.models[world.at[item]], item);
            world.at[item] = -1;
        }
        check(&world);
    }
}

static void removing_a_node_that_is_in_no_list_does_nothing(void **state)
{
    (void)state;
    struct pd_list node;
    pd_list_init(&node);
    pd_list_remove(&node);
    assert_false(pd_list_is_linked(&node));
}

static void the_only_node_moves(void **state)
{
    (void)state;
    struct pd_list from;
    struct pd_list to;
    struct pd_list node;
    pd_list_init(&from);
    pd_list_init(&to);
    pd_list_append(&from, &node);
    pd_list_move_all(&to, &from);
    assert_true(pd_list_is_empty(&from));
    assert_ptr_equal(pd_list_first(&to), &node);
    pd_list_move_all(&to, &from);
    assert_ptr_equal(pd_list_first(&to), &node);
    pd_list_remove(&node);
    assert_true(pd_list_is_empty(&to));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_model),
        cmocka_unit_test(removing_a_node_that_is_in_no_list_does_nothing),
        cmocka_unit_test(the_only_node_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
