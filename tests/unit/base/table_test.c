/* The table holds what was put in, whatever the hashes, however large, also without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/table.h"
#include "support/seed.h"

#define NODES 300u

struct item {
    struct pd_table_node node;
    bool is_in;
};

static bool is_found(const struct pd_table *table, const struct item *item, uint64_t hash)
{
    struct pd_table_node *at = pd_table_find(table, hash);
    for (; at != NULL; at = pd_table_next(at)) {
        assert_true(at->hash == hash);
        if (at == &item->node) {
            return true;
        }
    }
    return false;
}

static void check(const struct pd_table *table, const struct item *items, const uint64_t *hashes)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        count += items[i].is_in;
        assert_int_equal(is_found(table, &items[i], hashes[i]), items[i].is_in);
    }
    assert_int_equal(table->count, count);
}

/* Insert and remove at random; hashes below `hash_bound`, so that some are shared. */
static void play(struct pd_random *random, uint64_t hash_bound, bool may_fail)
{
    struct pd_table table = {0};
    static struct item items[NODES];
    static uint64_t hashes[NODES];
    memset(items, 0, sizeof items);
    for (uint32_t i = 0; i < NODES; i++) {
        hashes[i] = pd_random_below(random, hash_bound) * 0x9e3779b97f4a7c15u;
    }
    for (uint32_t step = 0; step < 20000; step++) {
        uint64_t i = pd_random_below(random, NODES);
        if (may_fail) {
            pd_alloc_fail_nth(pd_random_below(random, 2)); /* 0: none, 1: the next */
        }
        if (items[i].is_in) {
            pd_table_remove(&table, &items[i].node);
        } else {
            pd_table_insert(&table, &items[i].node, hashes[i]);
        }
        items[i].is_in = !items[i].is_in;
        if (step % 97 == 0) {
            check(&table, items, hashes);
        }
    }
    pd_alloc_fail_nth(0);
    check(&table, items, hashes);
    struct pd_table_node *node = NULL;
    while ((node = pd_table_take_any(&table)) != NULL) {
        struct item *item = (struct item *)(void *)node;
        assert_true(item->is_in);
        item->is_in = false;
    }
    for (uint32_t i = 0; i < NODES; i++) {
        assert_false(items[i].is_in);
    }
    pd_table_deinit(&table);
}

static void agrees_with_the_model(void **state)
{
    (void)state;
    struct pd_random random = test_random("table");
    play(&random, UINT64_MAX, false);
    play(&random, 100, false);
    play(&random, 1, false);
}

static void needs_no_memory_to_be_right(void **state)
{
    (void)state;
    struct pd_random random = test_random("table without memory");
    play(&random, UINT64_MAX, true);
    play(&random, 100, true);
}

static void never_a_bucket(void **state)
{
    (void)state;
    struct pd_table table = {0};
    static struct item items[64];
    for (uint64_t i = 0; i < 64; i++) {
        pd_alloc_fail_nth(1);
        pd_table_insert(&table, &items[i].node, pd_hash_u64(0, i));
    }
    assert_null(table.buckets);
    for (uint64_t i = 0; i < 64; i++) {
        assert_true(is_found(&table, &items[i], pd_hash_u64(0, i)));
        pd_table_remove(&table, &items[i].node);
    }
    pd_alloc_fail_nth(0);
    assert_int_equal(table.count, 0);
    pd_table_deinit(&table);
}

static void chains_stay_short(void **state)
{
    (void)state;
    enum {
        COUNT = 200000
    };
    struct pd_table table = {0};
    struct item *items = calloc(COUNT, sizeof *items);
    assert_non_null(items);
    for (uint32_t i = 0; i < COUNT; i++) {
        pd_table_insert(&table, &items[i].node, pd_hash_u64(3, i));
    }
    assert_true(table.bucket_count >= COUNT - 1);
    uint64_t steps = 0;
    uint32_t longest = 0;
    for (uint32_t bucket = 0; bucket < table.bucket_count; bucket++) {
        uint32_t length = 0;
        for (struct pd_table_node *at = table.buckets[bucket]; at != NULL; at = at->next) {
            length++;
            steps += length;
        }
        longest = length > longest ? length : longest;
    }
    assert_true(steps < 2u * COUNT);
    assert_true(longest <= 16);
    pd_table_deinit(&table);
    free(items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_model),
        cmocka_unit_test(needs_no_memory_to_be_right),
        cmocka_unit_test(never_a_bucket),
        cmocka_unit_test(chains_stay_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
