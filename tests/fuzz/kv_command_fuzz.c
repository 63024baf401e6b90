/* Any bytes as an envelope, a command and an answer: what decodes is encoded again to bytes that
 * decode to the same; what does not is refused, and reading an answer always ends. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "kv/answer.h"
#include "kv/codec.h"
#include "kv/command.h"

#define OPS_MAX 65u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct pd_kv_op ops[OPS_MAX];
static struct pd_kv_compare compares[OPS_MAX];
static uint8_t first[1 << 16];
static uint8_t second[1 << 16];

static void read_command(struct pd_span bytes)
{
    const struct pd_kv_limits limits = {
        .key_bytes_max = 32, .request_bytes_max = 1 << 14, .txn_ops_max = 16};
    const struct pd_kv_command_room room = {ops, compares, OPS_MAX, OPS_MAX};
    struct pd_kv_command command;
    if (pd_kv_command_decode(bytes, &limits, &room, &command) != PD_KV_OK) {
        return;
    }
    struct pd_kv_writer writer = {.bytes = first, .bytes_max = sizeof first};
    pd_kv_command_encode(&writer, &command);
    pd_assert(!writer.is_full);
    struct pd_span again = {first, writer.size};
    pd_assert(pd_kv_command_decode(again, &limits, &room, &command) == PD_KV_OK);
    struct pd_kv_writer twice = {.bytes = second, .bytes_max = sizeof second};
    pd_kv_command_encode(&twice, &command);
    pd_assert(twice.size == writer.size);
    pd_assert(memcmp(first, second, writer.size) == 0);
}

/* One body, by its kind; a txn's responses come after it. */
static uint32_t read_body(struct pd_kv_reader *reader, enum pd_kv_answer_kind kind)
{
    struct pd_kv_record record;
    struct pd_span key;
    int64_t number;
    bool flag;
    uint32_t count = 0;
    switch (kind) {
    case PD_KV_ANSWER_NONE:
        break;
    case PD_KV_ANSWER_RANGE:
    case PD_KV_ANSWER_PUT:
    case PD_KV_ANSWER_DELETE:
        while (pd_kv_answer_record(reader, &record)) {
            pd_assert(record.value.size <= reader->bytes.size);
        }
        if (kind == PD_KV_ANSWER_RANGE) {
            pd_kv_answer_range_tail(reader, &flag, &number);
        } else if (kind == PD_KV_ANSWER_DELETE) {
            (void)pd_kv_answer_delete_tail(reader);
        }
        break;
    case PD_KV_ANSWER_TXN:
        pd_kv_answer_txn(reader, &flag, &count);
        break;
    case PD_KV_ANSWER_LEASE:
    case PD_KV_ANSWER_SESSION:
        (void)pd_kv_answer_number(reader);
        break;
    case PD_KV_ANSWER_LEASE_KEYS:
        while (pd_kv_answer_key(reader, &key)) {
            pd_assert(key.size <= reader->bytes.size);
        }
        break;
    case PD_KV_ANSWER_LEASES:
        while (pd_kv_answer_id(reader, &number)) {
        }
        break;
    }
    return count;
}

static void read_answer(struct pd_span bytes)
{
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    pd_kv_reader_init(&reader, bytes);
    pd_kv_answer_head(&reader, &head);
    pd_assert(pd_kv_error_text(head.error) != NULL);
    pd_assert(pd_kv_error_grpc_code(head.error) <= 16);
    uint64_t left = read_body(&reader, head.kind);
    for (; left > 0 && !reader.is_bad; left--) {
        left += read_body(&reader, pd_kv_answer_response(&reader));
    }
    pd_assert(reader.at <= bytes.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pd_span given = {bytes, size};
    struct pd_kv_envelope envelope;
    if (pd_kv_envelope_decode(given, &envelope) == PD_OK) {
        struct pd_kv_writer writer = {.bytes = first, .bytes_max = sizeof first};
        pd_kv_envelope_encode(&writer, &envelope);
        struct pd_kv_envelope again;
        pd_assert(writer.is_full ||
                  pd_kv_envelope_decode(pd_kv_span(first, writer.size), &again) == PD_OK);
        pd_assert(writer.is_full || again.sequence == envelope.sequence);
        read_command(envelope.command);
    }
    read_command(given);
    read_answer(given);
    return 0;
}
