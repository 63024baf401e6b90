/* What guests ask, and what comes back: any bytes. A request never touches a key outside of the
 * guest's prefix, whatever it says, and always decodes where the log carries it; an answer or a
 * block of a watch is read to its end or refused. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "kv/codec.h"
#include "node/store_format.h"

#define OPS_MAX (PD_STORE_TXN_PARTS_MAX + 1)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char prefix[] = "p\xff";

static bool begins_with_prefix(struct pd_span key)
{
    return key.size >= sizeof prefix - 1 && memcmp(key.bytes, prefix, sizeof prefix - 1) == 0;
}

static int compare(struct pd_span a, struct pd_span b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size == 0 ? 0 : memcmp(a.bytes, b.bytes, size);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* In words of its own: no key outside of "p\xff"... to below "q" is between key and end. */
static void check_range(struct pd_span key, struct pd_span end)
{
    if (end.size > 0 && compare(key, end) >= 0 && !(end.size == 1 && end.bytes[0] == 0)) {
        return; /* nothing lies in it */
    }
    pd_assert(begins_with_prefix(key));
    if (end.size > 0) {
        pd_assert(!(end.size == 1 && end.bytes[0] == 0));
        pd_assert(compare(end, (struct pd_span){(const uint8_t *)"q", 1}) <= 0);
    }
}

static void check_command(struct pd_span bytes)
{
    static struct pd_kv_op ops[4 * OPS_MAX];
    static struct pd_kv_compare compares[4 * OPS_MAX];
    const struct pd_kv_limits limits = {
        .key_bytes_max = 64, .request_bytes_max = 1 << 16, .txn_ops_max = OPS_MAX};
    const struct pd_kv_command_room room = {ops, compares, 4 * OPS_MAX, 4 * OPS_MAX};
    struct pd_kv_command command;
    enum pd_kv_error error = pd_kv_command_decode(bytes, &limits, &room, &command);
    pd_assert(error != PD_KV_ERR_MALFORMED);
    if (error != PD_KV_OK || command.kind != PD_KV_OPS) {
        return;
    }
    for (uint32_t i = 0; i < command.compare_count; i++) {
        check_range(command.compares[i].key, command.compares[i].range_end);
    }
    for (uint32_t i = 0; i < command.op_count; i++) {
        const struct pd_kv_op *op = &command.ops[i];
        switch (op->kind) {
        case PD_KV_OP_RANGE:
            check_range(op->as.range.key, op->as.range.range_end);
            break;
        case PD_KV_OP_PUT:
            pd_assert(begins_with_prefix(op->as.put.key));
            break;
        case PD_KV_OP_DELETE:
            check_range(op->as.delete_range.key, op->as.delete_range.range_end);
            break;
        case PD_KV_OP_TXN:
            break;
        }
    }
}

static void ask(const uint8_t *bytes, size_t size)
{
    static uint8_t room[1 << 20];
    if (size < 6) {
        return;
    }
    size_t key_size = bytes[2] % 16u;
    size_t end_size = bytes[3] % 16u;
    bool is_txn = bytes[0] % 9u == PD_KV_ASK_TXN;
    key_size = is_txn ? size - 6 : key_size;
    end_size = is_txn ? 0 : end_size;
    if (size < 6 + key_size + end_size) {
        return;
    }
    const struct pd_kv_ask asked = {
        .kind = (enum pd_kv_ask_kind)(bytes[0] % 9u),
        .flags = bytes[1] & PD_KV_ASK_FLAGS_ALL,
        .prefix = {(const uint8_t *)prefix, sizeof prefix - 1},
        .key = {bytes + 6, key_size},
        .end = {bytes + 6 + key_size, end_size},
        .value = {bytes + 6 + key_size + end_size, size - 6 - key_size - end_size},
        .lease = (int8_t)bytes[4],
        .limit = (int8_t)bytes[5]};
    struct pd_replica_request_head head;
    const char *text = NULL;
    size_t most = pd_store_ask_bytes_max(&asked);
    pd_assert(most <= sizeof room);
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = most};
    bool is_repeatable = false;
    enum pd_kv_code code = pd_store_ask_encode(&asked, &writer, &head, &is_repeatable, &text);
    pd_assert(!is_repeatable || asked.kind != PD_KV_ASK_PUT);
    pd_assert(!is_repeatable || asked.kind != PD_KV_ASK_DELETE);
    pd_assert(code == PD_KV_CODE_OK || text != NULL);
    if (code != PD_KV_CODE_OK || head.kind == PD_REPLICA_REQUEST_WATCH) {
        if (code == PD_KV_CODE_OK) {
            check_range(asked.key, asked.end);
        }
        return;
    }
    check_command((struct pd_span){writer.bytes, writer.size});
}

static void answer(const uint8_t *bytes, size_t size, bool is_get)
{
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    pd_kv_reader_init(&reader, (struct pd_span){bytes, size});
    pd_kv_answer_head(&reader, &head);
    if (reader.is_bad) {
        return;
    }
    uint8_t *result = NULL;
    size_t result_size = 0;
    const char *text = NULL;
    enum pd_kv_code code =
        pd_store_answer_decode(&reader, &head, is_get, &result, &result_size, &text);
    pd_assert(code == PD_KV_CODE_OK || (result == NULL && text != NULL && text[0] != '\0'));
    pd_free(result);
}

static void block(const uint8_t *bytes, size_t size)
{
    struct pd_replica_watch_head head;
    struct pd_kv_block *events = NULL;
    enum pd_status status = pd_store_watch_decode((struct pd_span){bytes, size}, &head, &events);
    pd_assert(status == PD_OK || (status == PD_ERR_CORRUPT && events == NULL));
    pd_free(events);
}

/* The first byte chooses who speaks. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 2 || size > 1 << 15) {
        return 0;
    }
    uint8_t *copy = malloc(size - 1); /* a byte too much is told by the sanitizer */
    pd_assert(copy != NULL);
    memcpy(copy, bytes + 1, size - 1);
    switch (bytes[0] % 4u) {
    case 0:
    case 1:
        ask(copy, size - 1);
        break;
    case 2:
        answer(copy, size - 1, (bytes[0] & 4u) != 0);
        break;
    default:
        block(copy, size - 1);
        break;
    }
    free(copy);
    return 0;
}
