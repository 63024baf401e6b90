/* lunatic::error: ids, sizes, limits; and pd_call_error, which other tables leave errors with. */
#include "abi_actor.h"
#include "wasm/error_text.h"

#define ERROR "lunatic::error"
#define ID_AT 16

struct fixture {
    struct world world;
    struct actor actor;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pd_runtime_config config = world_config();
    world_open(&f->world, &config);
    f->actor = actor_spawn(&f->world);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    world_close(&f->world);
    free(f);
    return 0;
}

/* Something that fails with an error id: no sockets in this build. */
static uint64_t make_error(struct actor *actor)
{
    assert_int_equal(CALL(actor, "lunatic::networking", "udp_bind", 4, 0, 0, 0, 0, ID_AT), 1);
    return actor_u64(actor, ID_AT);
}

static void ids_count_up_from_0_and_end_with_drop(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(make_error(&f->actor), 0);
    assert_int_equal(make_error(&f->actor), 1);
    (void)CALL(&f->actor, ERROR, "drop", 0);
    assert_int_equal(make_error(&f->actor), 2);
    assert_says(TRAP(&f->actor, ERROR, "string_size", 0), "no error has the id 0");
}

static void the_text_is_whole_and_not_terminated(void **state)
{
    struct fixture *f = *state;
    uint64_t id = make_error(&f->actor);
    uint32_t size = (uint32_t)CALL(&f->actor, ERROR, "string_size", id);
    memset(actor_memory(&f->actor, 100), '#', size + 1);
    (void)CALL(&f->actor, ERROR, "to_string", id, 100);
    const char *text = (const char *)actor_memory(&f->actor, 100);
    assert_int_equal(strncmp(text, "permission denied: this actor may not bind", 42), 0);
    assert_int_equal(text[size], '#');
    assert_int_not_equal(text[size - 1], '#');
    /* It fits exactly at the end of memory, and not one byte further. */
    (void)CALL(&f->actor, ERROR, "to_string", id, FAKE_MEMORY_SIZE - size);
    assert_says(TRAP(&f->actor, ERROR, "to_string", id, FAKE_MEMORY_SIZE - size + 1),
                "out of bounds");
}

static void unknown_ids_trap(void **state)
{
    struct fixture *f = *state;
    const char *const names[] = {"string_size", "to_string", "drop"};
    for (size_t i = 0; i < 3; i++) {
        struct actor actor = actor_spawn(&f->world);
        assert_says(TRAP(&actor, ERROR, names[i], UINT64_MAX, 0), "no error has the id");
        assert_int_equal(f->world.last_reason, PD_EXIT_FAILURE);
    }
}

static void an_id_pointer_out_of_bounds_traps(void **state)
{
    struct fixture *f = *state;
    assert_says(
        TRAP(&f->actor, "lunatic::networking", "udp_bind", 4, 0, 0, 0, 0, FAKE_MEMORY_SIZE - 7),
        "out of bounds");
}

static void errors_that_nobody_drops_are_bounded(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < PD_ERROR_TEXTS_MAX; i++) {
        assert_int_equal(make_error(&f->actor), i);
    }
    (void)CALL(&f->actor, ERROR, "drop", 7);
    assert_int_equal(make_error(&f->actor), PD_ERROR_TEXTS_MAX);
    assert_says(TRAP(&f->actor, "lunatic::networking", "udp_bind", 4, 0, 0, 0, 0, 0), "drop");
}

static void texts_are_cut_between_characters(void **state)
{
    (void)state;
    char long_text[PD_ERROR_TEXT_MAX + 2];
    memset(long_text, 'a', sizeof long_text);
    memcpy(long_text + PD_ERROR_TEXT_MAX - 1, "\xC3\xA4", 2); /* crosses the limit */
    struct pd_id_table texts = {0};
    uint64_t id = 0;
    assert_int_equal(pd_error_texts_add(&texts, NULL, long_text, sizeof long_text, &id), PD_OK);
    struct pd_error_text *text = pd_id_table_take(&texts, id);
    assert_int_equal(text->size, PD_ERROR_TEXT_MAX - 1);
    pd_error_text_destroy(text);

    for (uint64_t nth = 1; nth <= 2; nth++) { /* each allocation fails once */
        pd_alloc_fail_nth(nth);
        assert_int_equal(pd_error_texts_add(&texts, NULL, "x", 1, &id), PD_ERR_NO_MEMORY);
        assert_int_equal(texts.count, 0);
    }
    pd_alloc_fail_nth(0);
    pd_error_text_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ids_count_up_from_0_and_end_with_drop, setup, teardown),
        cmocka_unit_test_setup_teardown(the_text_is_whole_and_not_terminated, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_ids_trap, setup, teardown),
        cmocka_unit_test_setup_teardown(an_id_pointer_out_of_bounds_traps, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_that_nobody_drops_are_bounded, setup, teardown),
        cmocka_unit_test(texts_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
