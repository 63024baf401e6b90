/* Messages grow to their limit and no further, carry resources, and release what they carry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actor/message.h"
#include "base/alloc.h"
#include "support/seed.h"

static const uint8_t zeros[400];

static void no_release(void *object)
{
    assert_null(object);
}

static void a_new_message_is_empty_data(void **state)
{
    (void)state;
    struct pd_message *message = pd_message_create(7, 16);
    assert_non_null(message);
    assert_int_equal(message->tag, 7);
    assert_int_equal(message->kind, PD_MESSAGE_DATA);
    assert_int_equal(message->size, 0);
    assert_int_equal(message->cursor, 0);
    assert_int_equal(message->resource_count, 0);
    assert_int_equal(pd_message_footprint(message), sizeof *message + 16);
    memset(message->data, 1, 16);
    pd_message_destroy(message);
    pd_message_destroy(NULL);
}

static void appending_stops_at_the_limit(void **state)
{
    (void)state;
    struct pd_message *message = pd_message_create(0, 0);
    assert_non_null(message);
    assert_int_equal(pd_message_append(&message, NULL, 0, 0), PD_OK);
    assert_int_equal(pd_message_append(&message, (const uint8_t *)"abc", 3, 3), PD_OK);
    assert_int_equal(pd_message_append(&message, (const uint8_t *)"d", 1, 3), PD_ERR_FULL);
    assert_int_equal(pd_message_append(&message, NULL, 0, 3), PD_OK);
    assert_int_equal(pd_message_append(&message, (const uint8_t *)"x", UINT32_MAX, UINT32_MAX),
                     PD_ERR_FULL);
    assert_int_equal(pd_message_append(&message, NULL, 0, 2), PD_ERR_FULL); /* the limit fell */
    assert_int_equal(message->size, 3);
    assert_memory_equal(message->data, "abc", 3);
    assert_true(message->capacity <= 3); /* growth does not pass the limit either */
    assert_int_equal(pd_message_append(&message, (const uint8_t *)"de", 2, 5), PD_OK);
    assert_memory_equal(message->data, "abcde", 5);
    pd_message_destroy(message);
}

static void without_memory_it_stays_as_it_was(void **state)
{
    (void)state;
    pd_alloc_fail_nth(1);
    assert_null(pd_message_create(0, 8));
    struct pd_message *message = pd_message_create(0, 2);
    assert_non_null(message);
    assert_int_equal(pd_message_append(&message, (const uint8_t *)"ab", 2, 100), PD_OK);
    struct pd_message *before = message;
    pd_alloc_fail_nth(1);
    assert_int_equal(pd_message_append(&message, (const uint8_t *)"c", 1, 100), PD_ERR_NO_MEMORY);
    assert_ptr_equal(message, before);
    assert_int_equal(message->size, 2);
    enum pd_status status = PD_OK;
    pd_alloc_fail_nth(1);
    assert_null(pd_message_extend(&message, 9, 100, &status));
    assert_int_equal(status, PD_ERR_NO_MEMORY);
    assert_memory_equal(message->data, "ab", 2);
    assert_int_equal(pd_message_append(&message, (const uint8_t *)"c", 1, 100), PD_OK);
    assert_memory_equal(message->data, "abc", 3);
    pd_message_destroy(message);
}

/* --- Resources -------------------------------------------------------------------------------- */

struct thing {
    int released;
};

static void release_thing(void *object)
{
    ((struct thing *)object)->released++;
}

static struct pd_resource resource_of(struct thing *thing, uint32_t kind)
{
    return (struct pd_resource){.kind = kind, .object = thing, .release = release_thing};
}

static void resources_are_taken_by_index_and_kind(void **state)
{
    (void)state;
    struct thing things[3] = {{0}};
    struct pd_message *message = pd_message_create(0, 0);
    assert_non_null(message);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t index = UINT32_MAX;
        assert_int_equal(pd_message_attach(message, resource_of(&things[i], i + 1), &index), PD_OK);
        assert_int_equal(index, i);
    }
    assert_int_equal(pd_message_footprint(message),
                     sizeof *message + 3 * sizeof(struct pd_resource));
    void *object = NULL;
    assert_int_equal(pd_message_take(message, 1, 1, &object), PD_ERR_UNKNOWN);
    assert_int_equal(pd_message_take(message, 3, 1, &object), PD_ERR_UNKNOWN);
    assert_null(object);
    assert_int_equal(pd_message_take(message, 1, 2, &object), PD_OK);
    assert_ptr_equal(object, &things[1]);
    assert_int_equal(pd_message_take(message, 1, 2, &object), PD_ERR_UNKNOWN);
    assert_int_equal(pd_message_take(message, 2, 3, &object), PD_OK); /* others kept their place */
    assert_ptr_equal(object, &things[2]);
    pd_message_destroy(message);
    assert_int_equal(things[0].released, 1); /* only what nobody took */
    assert_int_equal(things[1].released, 0);
    assert_int_equal(things[2].released, 0);
}

static void resources_are_bounded(void **state)
{
    (void)state;
    struct thing thing = {0};
    struct pd_message *message = pd_message_create(0, 0);
    assert_non_null(message);
    uint32_t index = 0;
    for (uint32_t i = 0; i < PD_MESSAGE_RESOURCES_MAX; i++) {
        assert_int_equal(pd_message_attach(message, resource_of(&thing, 1), &index), PD_OK);
    }
    assert_int_equal(pd_message_attach(message, resource_of(&thing, 1), &index), PD_ERR_FULL);
    pd_message_destroy(message);
    assert_int_equal(thing.released, PD_MESSAGE_RESOURCES_MAX);

    message = pd_message_create(0, 0);
    pd_alloc_fail_nth(1);
    assert_int_equal(pd_message_attach(message, resource_of(&thing, 1), &index), PD_ERR_NO_MEMORY);
    pd_message_destroy(message);
    assert_int_equal(thing.released, PD_MESSAGE_RESOURCES_MAX); /* it was still ours */
}

static void resources_survive_growth(void **state)
{
    (void)state;
    struct thing thing = {0};
    struct pd_message *message = pd_message_create(0, 0);
    uint32_t index = 0;
    assert_int_equal(pd_message_attach(message, resource_of(&thing, 4), &index), PD_OK);
    uint8_t block[512] = {0};
    for (int i = 0; i < 100; i++) {
        assert_int_equal(pd_message_append(&message, block, sizeof block, 1u << 20), PD_OK);
    }
    void *object = NULL;
    assert_int_equal(pd_message_take(message, index, 4, &object), PD_OK);
    assert_ptr_equal(object, &thing);
    pd_message_destroy(message);
}

/* --- Random appends --------------------------------------------------------------------------- */

static void appends_agree_with_the_model(void **state)
{
    (void)state;
    struct pd_random random = test_random("message");
    static uint8_t model[4096];
    for (int round = 0; round < 300; round++) {
        uint32_t size_max = (uint32_t)pd_random_below(&random, sizeof model + 1);
        uint32_t size = 0;
        struct pd_message *message =
            pd_message_create(0, (uint32_t)pd_random_below(&random, size_max + 1));
        assert_non_null(message);
        for (int step = 0; step < 60; step++) {
            uint8_t bytes[256];
            uint32_t more = (uint32_t)pd_random_below(&random, sizeof bytes);
            pd_random_fill(&random, bytes, more);
            bool fails = pd_random_below(&random, 8) == 0;
            pd_alloc_fail_nth(fails ? 1 : 0);
            enum pd_status status = pd_message_append(&message, bytes, more, size_max);
            pd_alloc_fail_nth(0);
            if (more > size_max - size) {
                assert_int_equal(status, PD_ERR_FULL);
            } else if (status == PD_ERR_NO_MEMORY) {
                assert_true(fails);
            } else {
                assert_int_equal(status, PD_OK);
                memcpy(model + size, bytes, more);
                size += more;
            }
            assert_int_equal(message->size, size);
            assert_true(message->capacity >= size && message->capacity <= size_max);
            assert_memory_equal(message->data, model, size);
        }
        pd_message_destroy(message);
    }
}

/* All that it takes, as long as it lives; the last part is for messages alone. */
static void a_message_counts_on_its_budget(void **state)
{
    (void)state;
    const size_t header = sizeof(struct pd_message);
    const struct pd_resource resource = {.kind = 1, .release = no_release};
    struct pd_memory_budget budget = {.bytes_max = header + 400, .reserve = 200};
    uint32_t index = 0;
    assert_false(pd_memory_budget_take(&budget, PD_MEMORY_GROWTH, header + 201));
    assert_null(pd_message_create_within(&budget, 0, 401));
    assert_int_equal(atomic_load(&budget.bytes), 0);
    pd_alloc_fail_nth(1);
    assert_null(pd_message_create_within(&budget, 0, 8));
    pd_alloc_fail_nth(0);
    assert_int_equal(atomic_load(&budget.bytes), 0);
    struct pd_message *message = pd_message_create_within(&budget, 0, 8);
    assert_non_null(message);
    assert_int_equal(pd_message_append(&message, NULL, 0, 1000), PD_OK);
    assert_non_null(pd_message_extend(&message, 100, 1000, &(enum pd_status){PD_OK}));
    assert_int_equal(pd_message_attach(message, resource, &index), PD_OK);
    assert_int_equal(atomic_load(&budget.bytes), pd_message_footprint(message));
    pd_alloc_fail_nth(1);
    assert_int_equal(pd_message_append(&message, zeros, 2, 1000), PD_ERR_NO_MEMORY);
    pd_alloc_fail_nth(1);
    assert_int_equal(pd_message_attach(message, resource, &index), PD_ERR_NO_MEMORY);
    pd_alloc_fail_nth(0);
    assert_int_equal(pd_message_append(&message, zeros, sizeof zeros, 1000), PD_ERR_NO_MEMORY);
    assert_int_equal(message->size, 100);
    assert_int_equal(atomic_load(&budget.bytes), pd_message_footprint(message));
    while (pd_message_attach(message, resource, &index) == PD_OK) {
    }
    assert_true(message->resource_count < 20);
    assert_int_equal(atomic_load(&budget.bytes), pd_message_footprint(message));
    pd_message_destroy(message);
    assert_int_equal(atomic_load(&budget.bytes), 0);
    assert_int_equal(atomic_load(&budget.refused[PD_MEMORY_GROWTH]), 1);
    assert_int_equal(atomic_load(&budget.refused[PD_MEMORY_MESSAGE]), 3);
    assert_int_equal(atomic_load(&budget.refused[PD_MEMORY_SPAWN]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_message_is_empty_data),
        cmocka_unit_test(appending_stops_at_the_limit),
        cmocka_unit_test(without_memory_it_stays_as_it_was),
        cmocka_unit_test(resources_are_taken_by_index_and_kind),
        cmocka_unit_test(resources_are_bounded),
        cmocka_unit_test(resources_survive_growth),
        cmocka_unit_test(appends_agree_with_the_model),
        cmocka_unit_test(a_message_counts_on_its_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
