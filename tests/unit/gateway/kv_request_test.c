/* Requests with two mistakes: that one is named which etcd names (tests/etcd/http_check.py). */
#include "gateway/kv_request.h"

#include "gateway/one_world.h"

static void is_refused(const char *path, const void *message, const char *text)
{
    struct kept kept;
    kept_ask(&world, &kept, path, message);
    kept_failed(&kept, PD_CODE_INVALID_ARGUMENT, text);
    kept_free(&kept);
    assert_int_equal(world.submitted, 0);
}

static const char no_key[] = "etcdserver: key is not provided";
static const char bad_sort[] = "etcdserver: invalid sort option";
static const char too_many[] = "etcdserver: too many operations in txn request";

static void test_one_operation(void **state)
{
    (void)state;
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    Etcdserverpb__DeleteRangeRequest removal = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    range.sort_order = (Etcdserverpb__RangeRequest__SortOrder)9;
    is_refused("/etcdserverpb.KV/Range", &range, no_key);
    range.key = bytes_of("k");
    is_refused("/etcdserverpb.KV/Range", &range, bad_sort);
    range.sort_order = ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__NONE;
    range.sort_target = (Etcdserverpb__RangeRequest__SortTarget)9;
    is_refused("/etcdserverpb.KV/Range", &range, bad_sort);
    put.value = bytes_of("v");
    put.ignore_value = 1;
    put.lease = 7;
    put.ignore_lease = 1;
    is_refused("/etcdserverpb.KV/Put", &put, no_key);
    put.key = bytes_of("k");
    is_refused("/etcdserverpb.KV/Put", &put, "etcdserver: value is provided");
    put.ignore_value = 0;
    is_refused("/etcdserverpb.KV/Put", &put, "etcdserver: lease is provided");
    is_refused("/etcdserverpb.KV/DeleteRange", &removal, no_key);
}

#define TXN "/etcdserverpb.KV/Txn"

static Etcdserverpb__RequestOp range_of(Etcdserverpb__RangeRequest *range)
{
    Etcdserverpb__RequestOp op = ETCDSERVERPB__REQUEST_OP__INIT;
    op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    op.request_range = range;
    return op;
}

/* In the order in which they stand: compares, then, else, and each with all that is inside. */
static void test_transactions(void **state)
{
    (void)state;
    Etcdserverpb__RangeRequest unsorted = ETCDSERVERPB__RANGE_REQUEST__INIT;
    Etcdserverpb__RangeRequest keyless = ETCDSERVERPB__RANGE_REQUEST__INIT;
    Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT;
    Etcdserverpb__RequestOp none = ETCDSERVERPB__REQUEST_OP__INIT;
    Etcdserverpb__TxnRequest inner = ETCDSERVERPB__TXN_REQUEST__INIT;
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    unsorted.key = bytes_of("k");
    unsorted.sort_order = (Etcdserverpb__RangeRequest__SortOrder)9;
    Etcdserverpb__RequestOp bad = range_of(&unsorted);
    Etcdserverpb__RequestOp empty = range_of(&keyless);
    Etcdserverpb__RequestOp nested = ETCDSERVERPB__REQUEST_OP__INIT;
    nested.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
    nested.request_txn = &inner;
    Etcdserverpb__Compare *compares[] = {&compare};
    Etcdserverpb__RequestOp *ops[2] = {&empty, &bad};
    Etcdserverpb__RequestOp *inner_ops[] = {&empty};
    txn.success = ops;
    txn.n_success = 2;
    is_refused(TXN, &txn, no_key);
    ops[0] = &bad;
    ops[1] = &empty;
    is_refused(TXN, &txn, bad_sort);
    txn.compare = compares;
    txn.n_compare = 1; /* without a key */
    is_refused(TXN, &txn, no_key);
    txn.n_compare = 0;
    ops[0] = &none;
    is_refused(TXN, &txn, "etcdserver: key not found");
    ops[1] = &none;
    ops[0] = &nested;
    inner.failure = inner_ops;
    inner.n_failure = 1;
    is_refused(TXN, &txn, no_key);
}

/* What is nested has what its txn left of the number: that comes before what it does, as well. */
static void test_numbers(void **state)
{
    (void)state;
    enum {
        OPS = 128
    };
    Etcdserverpb__RangeRequest keyless = ETCDSERVERPB__RANGE_REQUEST__INIT;
    Etcdserverpb__RequestOp empty = range_of(&keyless);
    Etcdserverpb__TxnRequest inner = ETCDSERVERPB__TXN_REQUEST__INIT;
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    Etcdserverpb__RequestOp nested = ETCDSERVERPB__REQUEST_OP__INIT;
    nested.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
    nested.request_txn = &inner;
    Etcdserverpb__RequestOp *ops[] = {&nested};
    Etcdserverpb__RequestOp *inner_ops[OPS];
    for (size_t i = 0; i < OPS; i++) {
        inner_ops[i] = &empty;
    }
    txn.success = ops;
    txn.n_success = 1;
    inner.success = inner_ops;
    inner.n_success = OPS;
    is_refused(TXN, &txn, too_many);
    inner.n_success = OPS - 1;
    is_refused(TXN, &txn, no_key);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        CASE(test_one_operation),
        CASE(test_transactions),
        CASE(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
