#include "proto/depth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "proto/rpc.pb-c.h"

#define ROOM 8192u

/* `depth` submessages inside each other: TxnRequest.success (2) holds RequestOp.request_txn (4)
 * holds TxnRequest, and so on. Built from the inside. */
static struct pd_span nested(uint8_t room[ROOM], unsigned depth)
{
    size_t at = ROOM;
    for (unsigned i = 0; i < depth; i++) {
        size_t size = ROOM - at;
        uint8_t head[4];
        size_t head_size = 0;
        bool is_op = (depth - i) % 2 == 0; /* the outermost is a TxnRequest's field */
        head[head_size++] = (uint8_t)((is_op ? 4u : 2u) << 3 | 2u);
        if (size >= 128) {
            head[head_size++] = (uint8_t)(size | 0x80u);
            head[head_size++] = (uint8_t)(size >> 7);
        } else {
            head[head_size++] = (uint8_t)size;
        }
        at -= head_size;
        memcpy(room + at, head, head_size);
    }
    return (struct pd_span){room + at, ROOM - at};
}

static void test_depth_is_measured(void **state)
{
    (void)state;
    uint8_t room[ROOM];
    const ProtobufCMessageDescriptor *txn = &etcdserverpb__txn_request__descriptor;
    assert_true(pd_proto_is_shallow(txn, (struct pd_span){NULL, 0}));
    assert_true(pd_proto_is_shallow(txn, nested(room, 1)));
    assert_true(pd_proto_is_shallow(txn, nested(room, PD_PROTO_DEPTH_MAX - 1)));
    assert_false(pd_proto_is_shallow(txn, nested(room, PD_PROTO_DEPTH_MAX)));
    assert_false(pd_proto_is_shallow(txn, nested(room, 1000)));
}

/* What looks like nesting inside of bytes is none. */
static void test_bytes_do_not_nest(void **state)
{
    (void)state;
    uint8_t room[ROOM];
    const ProtobufCMessageDescriptor *put = &etcdserverpb__put_request__descriptor;
    assert_true(pd_proto_is_shallow(put, nested(room, 1000)));
}

/* Siblings do not add up. */
static void test_siblings_do_not_add_up(void **state)
{
    (void)state;
    uint8_t bytes[2000];
    for (size_t i = 0; i < sizeof bytes; i += 2) {
        bytes[i] = 2u << 3 | 2u;
        bytes[i + 1] = 0;
    }
    assert_true(pd_proto_is_shallow(&etcdserverpb__txn_request__descriptor,
                                    (struct pd_span){bytes, sizeof bytes}));
}

static void test_any_bytes(void **state)
{
    (void)state;
    struct pd_random random;
    pd_random_init(&random, 20261126, "depth");
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[64];
        size_t size = pd_random_below(&random, sizeof bytes + 1);
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)pd_random_below(&random, round % 2 == 0 ? 256 : 40);
        }
        (void)pd_proto_is_shallow(&etcdserverpb__txn_request__descriptor,
                                  (struct pd_span){bytes, size});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_depth_is_measured),
        cmocka_unit_test(test_bytes_do_not_nest),
        cmocka_unit_test(test_siblings_do_not_add_up),
        cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
