/* The store in memory against a plain sorted array; what a crash may lose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "store/memory.h"

#define KEYS 200u

/* Row i has the key of i's decimal-like bytes, so that bytewise order is not the order of i. */
struct model {
    uint32_t value[KEYS]; /* 0: no row */
};

static struct pd_span key_of(uint32_t i, uint8_t bytes[3])
{
    bytes[0] = (uint8_t)(i * 37 % 251);
    bytes[1] = (uint8_t)i;
    return (struct pd_span){.bytes = bytes, .size = 2};
}

static void apply_random(struct pd_store *store, struct model *model, struct pd_random *random,
                         uint64_t index)
{
    uint8_t keys[8][3];
    uint8_t values[8][4];
    struct pd_store_write writes[8];
    size_t count = (size_t)pd_random_below(random, 8);
    for (size_t i = 0; i < count; i++) {
        uint32_t key = (uint32_t)pd_random_below(random, KEYS);
        uint32_t value =
            (uint32_t)pd_random_below(random, 3) == 0 ? 0 : (uint32_t)pd_random_next(random);
        pd_put_u32(values[i], value);
        writes[i] = (struct pd_store_write){.kind = value == 0 ? PD_STORE_DELETE : PD_STORE_PUT,
                                            .key = key_of(key, keys[i]),
                                            .value = {values[i], value == 0 ? 0 : 4}};
        model->value[key] = value;
    }
    assert_int_equal(store->ops->apply(store, writes, count, index), PD_OK);
}

static void expect_rows(struct pd_store *store, const struct model *model)
{
    size_t rows = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        uint8_t bytes[3];
        uint8_t value[4];
        size_t size = 0;
        enum pd_status status = store->ops->get(store, key_of(i, bytes), value, 4, &size);
        assert_int_equal(status, model->value[i] == 0 ? PD_ERR_UNKNOWN : PD_OK);
        if (status == PD_OK) {
            assert_int_equal(pd_get_u32(value), model->value[i]);
            assert_int_equal(store->ops->get(store, key_of(i, bytes), value, 3, &size),
                             PD_ERR_RANGE);
            rows++;
        }
    }
    assert_int_equal(pd_store_memory_row_count(store), rows);
}

/* Count the rows of [low, high) by pages of a few rows, and see that they are in order. */
static size_t count_by_pages(struct pd_store *store, struct pd_span low, struct pd_span high,
                             bool descending)
{
    uint8_t room[100];
    uint8_t last[8];
    size_t count = 0;
    struct pd_span bound = {0};
    for (bool is_complete = false; !is_complete;) {
        struct pd_store_page page = {.bytes = room, .bytes_max = sizeof room, .rows_max = 5};
        assert_int_equal(store->ops->scan(store, descending || bound.size == 0 ? low : bound,
                                          descending && bound.size > 0 ? bound : high, descending,
                                          &page),
                         PD_OK);
        is_complete = page.is_complete;
        const uint8_t *at = page.bytes;
        for (uint32_t i = 0; i < page.row_count; i++) {
            size_t size = pd_get_u32(at);
            if (bound.size > 0) {
                int order = memcmp(at + 8, last, 2);
                assert_true(descending ? order < 0 : order > 0);
            }
            memcpy(last, at + 8, size);
            last[2] = 0; /* the least key behind this one */
            bound = (struct pd_span){last, descending ? 2 : 3};
            at += 8 + size + pd_get_u32(at + 4);
            count++;
        }
    }
    return count;
}

static void rows_are_those_of_a_plain_model(void **state)
{
    (void)state;
    struct pd_store *store = pd_store_memory_open();
    assert_non_null(store);
    struct pd_random random;
    struct model model = {{0}};
    pd_random_init(&random, 1, "store");
    for (uint64_t index = 1; index < 600; index++) {
        apply_random(store, &model, &random, index);
        if (index % 20 == 0) {
            expect_rows(store, &model);
            size_t all = pd_store_memory_row_count(store);
            struct pd_span none = {0};
            assert_int_equal(count_by_pages(store, none, none, false), all);
            assert_int_equal(count_by_pages(store, none, none, true), all);
            uint8_t middle[1] = {100};
            struct pd_span bound = {middle, 1};
            assert_int_equal(count_by_pages(store, none, bound, false) +
                                 count_by_pages(store, bound, none, true),
                             all);
        }
    }
    store->ops->close(store);
}

static void a_view_stays(void **state)
{
    (void)state;
    struct pd_store *store = pd_store_memory_open();
    struct pd_random random;
    struct model model = {{0}};
    pd_random_init(&random, 2, "store");
    for (uint64_t index = 1; index < 50; index++) {
        apply_random(store, &model, &random, index);
    }
    size_t rows = pd_store_memory_row_count(store);
    struct pd_store_view *view = store->ops->view_open(store);
    for (uint64_t index = 50; index < 100; index++) {
        apply_random(store, &model, &random, index);
    }
    assert_int_equal(store->ops->view_index(view), 49);
    static uint8_t room[65536];
    struct pd_store_page page = {.bytes = room, .bytes_max = sizeof room};
    assert_int_equal(store->ops->view_scan(view, (struct pd_span){0}, (struct pd_span){0}, &page),
                     PD_OK);
    assert_true(page.is_complete);
    assert_int_equal(page.row_count, rows);
    page.bytes_max = 4;
    assert_int_equal(store->ops->view_scan(view, (struct pd_span){0}, (struct pd_span){0}, &page),
                     PD_ERR_RANGE);
    store->ops->view_close(view);
    store->ops->close(store);
}

static void a_crash_keeps_whole_batches(void **state)
{
    (void)state;
    struct pd_random random;
    static struct model models[101];
    uint32_t between = 0;
    pd_random_init(&random, 3, "store");
    for (uint32_t round = 0; round < 50; round++) {
        struct pd_store *store = pd_store_memory_open();
        memset(models, 0, sizeof models);
        uint64_t flushed = 0;
        uint64_t last = 1 + pd_random_below(&random, 100);
        for (uint64_t index = 1; index <= last; index++) {
            models[index] = models[index - 1];
            apply_random(store, &models[index], &random, index);
            if (pd_random_below(&random, 30) == 0) {
                assert_int_equal(store->ops->flush(store), PD_OK);
                flushed = index;
            }
        }
        assert_int_equal(store->ops->durable_index(store), flushed);
        assert_int_equal(pd_store_memory_crash(store, &random), PD_OK);
        uint64_t kept = store->ops->applied_index(store);
        assert_true(kept >= flushed && kept <= last);
        assert_int_equal(store->ops->durable_index(store), kept);
        expect_rows(store, &models[kept]);
        between += kept > flushed && kept < last;
        assert_int_equal(store->ops->reset(store), PD_OK);
        assert_int_equal(store->ops->applied_index(store), 0);
        expect_rows(store, &models[0]);
        store->ops->close(store);
    }
    assert_true(between > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_a_plain_model),
        cmocka_unit_test(a_view_stays),
        cmocka_unit_test(a_crash_keeps_whole_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
