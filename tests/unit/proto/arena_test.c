#include "proto/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "proto/rpc.pb-c.h"

#define KIB ((size_t)1024)

static void test_takes_within_its_bound(void **state)
{
    (void)state;
    struct pd_arena arena;
    pd_arena_init(&arena, 256 * KIB);
    uint8_t *first = pd_arena_take(&arena, 1);
    uint8_t *second = pd_arena_take(&arena, 3);
    assert_non_null(first);
    assert_non_null(second);
    assert_int_equal((uintptr_t)second % 16, 0);
    assert_true(second >= first + 16);
    assert_non_null(pd_arena_take(&arena, 0));
    uint8_t *large = pd_arena_take(&arena, 128 * KIB);
    assert_non_null(large);
    memset(large, 7, 128 * KIB);
    assert_null(pd_arena_take(&arena, 128 * KIB)); /* 64 and 128 are taken */
    assert_non_null(pd_arena_take(&arena, 64 * KIB));
    assert_null(pd_arena_take(&arena, SIZE_MAX));
    assert_null(pd_arena_take_zeroed(&arena, SIZE_MAX / 2, 4));
    pd_arena_reset(&arena);
    assert_int_equal(arena.bytes, 64 * KIB);
    assert_non_null(pd_arena_take(&arena, 192 * KIB));
    pd_arena_deinit(&arena);
}

static void test_a_large_first_chunk_is_not_kept(void **state)
{
    (void)state;
    struct pd_arena arena;
    pd_arena_init(&arena, 512 * KIB);
    assert_non_null(pd_arena_take(&arena, 256 * KIB));
    pd_arena_reset(&arena);
    assert_int_equal(arena.bytes, 0);
    uint8_t *zeroed = pd_arena_take_zeroed(&arena, 10, 10);
    assert_non_null(zeroed);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(zeroed[i], 0);
    }
    pd_arena_deinit(&arena);
}

static void test_without_memory_nothing_is_taken(void **state)
{
    (void)state;
    struct pd_arena arena;
    pd_arena_init(&arena, 256 * KIB);
    pd_alloc_fail_nth(1);
    assert_null(pd_arena_take(&arena, 8));
    assert_non_null(pd_arena_take(&arena, 8));
    pd_arena_deinit(&arena);
}

/* protobuf-c gives up, and leaks nothing, whatever the arena's bound is. */
static void test_the_decoder_lives_with_a_small_arena(void **state)
{
    (void)state;
    Etcdserverpb__RequestOp op = ETCDSERVERPB__REQUEST_OP__INIT;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    Etcdserverpb__RequestOp *list[300];
    static uint8_t value[1000];
    put.value.data = value;
    put.value.len = sizeof value;
    op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    op.request_put = &put;
    for (size_t i = 0; i < 300; i++) {
        list[i] = &op;
    }
    txn.success = list;
    txn.n_success = 300;
    size_t size = etcdserverpb__txn_request__get_packed_size(&txn);
    uint8_t *bytes = pd_alloc(size);
    assert_non_null(bytes);
    assert_int_equal(etcdserverpb__txn_request__pack(&txn, bytes), size);
    bool has_failed = false;
    bool has_passed = false;
    for (size_t most = 0; most <= 1024 * KIB; most += 64 * KIB) {
        struct pd_arena arena;
        pd_arena_init(&arena, most);
        const Etcdserverpb__TxnRequest *read =
            etcdserverpb__txn_request__unpack(&arena.allocator, size, bytes);
        assert_false(read == NULL && has_passed);
        has_failed = has_failed || read == NULL;
        has_passed = has_passed || read != NULL;
        assert_true(read == NULL || read->n_success == 300);
        pd_arena_deinit(&arena);
    }
    assert_true(has_failed);
    assert_true(has_passed);
    pd_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_within_its_bound),
        cmocka_unit_test(test_a_large_first_chunk_is_not_kept),
        cmocka_unit_test(test_without_memory_nothing_is_taken),
        cmocka_unit_test(test_the_decoder_lives_with_a_small_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
