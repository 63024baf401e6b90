#include "node/store_format.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"

/* Beside keys and values, of one operation. */
#define FIELDS_BYTES_MAX 128u

/* -- Asks -------------------------------------------------------------------------------------- */

size_t pd_store_ask_bytes_max(const struct pd_kv_ask *ask)
{
    /* A part of a transaction takes no more than twice what the guest's encoding of it does. */
    size_t key = ask->kind == PD_KV_ASK_TXN ? ask->key.size * 2 : ask->key.size;
    return key + ask->end.size + ask->value.size + 2 * (size_t)FIELDS_BYTES_MAX;
}

static struct pd_kv_range range_of(struct pd_span key, struct pd_span end, uint32_t flags,
                                   int64_t limit, int64_t revision)
{
    bool descends = (flags & PD_KV_ASK_DESCEND) != 0;
    return (struct pd_kv_range){
        .key = key,
        .range_end = end,
        .limit = limit,
        .revision = revision,
        .sort_order = descends ? PD_KV_SORT_DESCEND : PD_KV_SORT_NONE,
        .sort_target = PD_KV_SORT_KEY,
        .keys_only = (flags & PD_KV_ASK_KEYS_ONLY) != 0,
        .count_only = (flags & PD_KV_ASK_COUNT_ONLY) != 0,
    };
}

/* Read front to back; `is_bad`: there was less than was wanted. */
struct input {
    struct pd_span bytes;
    size_t at;
    bool is_bad;
};

static const uint8_t *take(struct input *input, size_t size)
{
    if (input->is_bad || size > input->bytes.size - input->at) {
        input->is_bad = true;
        return NULL;
    }
    const uint8_t *from = input->bytes.bytes + input->at;
    input->at += size;
    return from;
}

static struct pd_span take_span(struct input *input, size_t size)
{
    const uint8_t *from = size == 0 ? NULL : take(input, size);
    return (struct pd_span){from, from == NULL ? 0 : size};
}

struct txn {
    struct pd_kv_op ops[PD_STORE_TXN_PARTS_MAX + 1];
    struct pd_kv_compare compares[PD_STORE_TXN_PARTS_MAX];
    struct pd_kv_command command;
};

#define IS_DENIED "permission denied: a key or range lies outside of what this process may touch"

static enum pd_kv_code read_compare(struct input *input, struct pd_span prefix,
                                    struct pd_kv_compare *compare, const char **text_out)
{
    const uint8_t *head = take(input, PD_KV_PORT_COMPARE_SIZE);
    if (head == NULL) {
        return PD_KV_CODE_INVALID;
    }
    *compare = (struct pd_kv_compare){.result = (enum pd_kv_compare_result)head[0],
                                      .target = (enum pd_kv_compare_target)head[1],
                                      .number = (int64_t)pd_get_u64(head + 16)};
    if (head[0] > PD_KV_NOT_EQUAL || head[1] > PD_KV_COMPARE_LEASE || pd_get_u16(head + 2) != 0) {
        *text_out = "a comparison of the transaction is of no known kind";
        return PD_KV_CODE_INVALID;
    }
    compare->key = take_span(input, pd_get_u32(head + 4));
    compare->range_end = take_span(input, pd_get_u32(head + 8));
    compare->value = take_span(input, pd_get_u32(head + 12));
    if (!input->is_bad && !pd_kv_port_covers(prefix, compare->key, compare->range_end)) {
        *text_out = IS_DENIED;
        return PD_KV_CODE_DENIED;
    }
    return PD_KV_CODE_OK;
}

static bool fill_op(struct pd_kv_op *op, const uint8_t *head, struct pd_span key,
                    struct pd_span end, struct pd_span value)
{
    uint32_t flags = head[1];
    int64_t number = (int64_t)pd_get_u64(head + 16);
    bool previous = (flags & PD_KV_ASK_PREVIOUS) != 0;
    *op = (struct pd_kv_op){.kind = PD_KV_OP_RANGE};
    switch (head[0]) {
    case PD_KV_ASK_RANGE:
        op->as.range = range_of(key, end, flags, number, (int64_t)pd_get_u64(head + 24));
        return true;
    case PD_KV_ASK_PUT:
        op->kind = PD_KV_OP_PUT;
        op->as.put =
            (struct pd_kv_put){.key = key, .value = value, .lease = number, .prev_kv = previous};
        return end.size == 0;
    case PD_KV_ASK_DELETE:
        op->kind = PD_KV_OP_DELETE;
        op->as.delete_range =
            (struct pd_kv_delete){.key = key, .range_end = end, .prev_kv = previous};
        return true;
    default:
        return false;
    }
}

static enum pd_kv_code read_op(struct input *input, struct pd_span prefix, struct pd_kv_op *op,
                               const char **text_out)
{
    const uint8_t *head = take(input, PD_KV_PORT_OP_SIZE);
    if (head == NULL) {
        return PD_KV_CODE_INVALID;
    }
    struct pd_span key = take_span(input, pd_get_u32(head + 4));
    struct pd_span end = take_span(input, pd_get_u32(head + 8));
    struct pd_span value = take_span(input, pd_get_u32(head + 12));
    if (input->is_bad) {
        return PD_KV_CODE_INVALID;
    }
    if (pd_get_u16(head + 2) != 0 || !fill_op(op, head, key, end, value)) {
        *text_out = "an operation of the transaction is of no known kind";
        return PD_KV_CODE_INVALID;
    }
    if (!pd_kv_port_covers(prefix, key, end)) {
        *text_out = IS_DENIED;
        return PD_KV_CODE_DENIED;
    }
    return PD_KV_CODE_OK;
}

static enum pd_kv_code read_txn(const struct pd_kv_ask *ask, struct txn *txn, const char **text_out)
{
    struct input input = {.bytes = ask->key};
    const uint8_t *head = take(&input, PD_KV_PORT_TXN_HEAD_SIZE);
    *text_out = "the transaction is shorter or longer than it says";
    if (head == NULL) {
        return PD_KV_CODE_INVALID;
    }
    uint64_t compares = pd_get_u32(head);
    uint64_t thens = pd_get_u32(head + 4);
    uint64_t elses = pd_get_u32(head + 8);
    if (pd_get_u32(head + 12) != 0) {
        return PD_KV_CODE_INVALID;
    }
    if (compares + thens + elses > PD_STORE_TXN_PARTS_MAX) {
        *text_out = "the transaction has too many comparisons and operations";
        return PD_KV_CODE_TOO_LARGE;
    }
    enum pd_kv_code code = PD_KV_CODE_OK;
    for (uint32_t i = 0; i < compares && code == PD_KV_CODE_OK; i++) {
        code = read_compare(&input, ask->prefix, &txn->compares[i], text_out);
    }
    for (uint32_t i = 0; i < thens + elses && code == PD_KV_CODE_OK; i++) {
        code = read_op(&input, ask->prefix, &txn->ops[1 + i], text_out);
    }
    if (code == PD_KV_CODE_OK && (input.is_bad || input.at != input.bytes.size)) {
        return PD_KV_CODE_INVALID;
    }
    txn->ops[0] = (struct pd_kv_op){.kind = PD_KV_OP_TXN,
                                    .as.txn = {.compare_first = 0,
                                               .compare_count = (uint32_t)compares,
                                               .then_count = (uint32_t)thens,
                                               .else_count = (uint32_t)elses}};
    txn->command = (struct pd_kv_command){.kind = PD_KV_OPS,
                                          .ops = txn->ops,
                                          .op_count = (uint32_t)(1 + thens + elses),
                                          .compares = txn->compares,
                                          .compare_count = (uint32_t)compares};
    return code;
}

static enum pd_kv_code encode_txn(const struct pd_kv_ask *ask, struct pd_kv_writer *writer,
                                  bool *only_reads_out, const char **text_out)
{
    struct txn *txn = pd_alloc(sizeof *txn);
    if (txn == NULL) {
        *text_out = "no memory";
        return PD_KV_CODE_UNAVAILABLE;
    }
    enum pd_kv_code code = read_txn(ask, txn, text_out);
    if (code == PD_KV_CODE_OK) {
        pd_kv_command_encode(writer, &txn->command);
        *only_reads_out = true;
        for (uint32_t i = 1; i < txn->command.op_count; i++) {
            *only_reads_out = *only_reads_out && txn->ops[i].kind == PD_KV_OP_RANGE;
        }
    }
    pd_free(txn);
    return code;
}

void pd_store_watch_encode(struct pd_kv_writer *writer, struct pd_span key, struct pd_span end,
                           uint32_t flags, int64_t revision, uint32_t credit)
{
    const struct pd_replica_watch_request request = {
        .key = key,
        .range_end = end,
        .start_revision = revision,
        .credit = credit,
        .no_put = (flags & PD_KV_ASK_NO_PUT) != 0,
        .no_delete = (flags & PD_KV_ASK_NO_DELETE) != 0,
        .with_previous = (flags & PD_KV_ASK_PREVIOUS) != 0,
        .with_progress = true,
    };
    pd_replica_watch_request_put(writer, &request);
}

static void encode_lease(const struct pd_kv_ask *ask, struct pd_kv_writer *writer)
{
    enum pd_kv_command_kind kind = ask->kind == PD_KV_ASK_LEASE_GRANT    ? PD_KV_LEASE_GRANT
                                   : ask->kind == PD_KV_ASK_LEASE_REVOKE ? PD_KV_LEASE_REVOKE
                                                                         : PD_KV_LEASE_KEEPALIVE;
    pd_kv_command_encode(
        writer, &(struct pd_kv_command){.kind = kind, .id = ask->lease, .ttl_s = ask->limit});
}

/* Everything but a transaction, whose parts are looked at one by one. */
static bool is_covered(const struct pd_kv_ask *ask)
{
    switch (ask->kind) {
    case PD_KV_ASK_GET:
    case PD_KV_ASK_RANGE:
    case PD_KV_ASK_PUT:
    case PD_KV_ASK_DELETE:
    case PD_KV_ASK_WATCH:
        return pd_kv_port_covers(ask->prefix, ask->key, ask->end);
    case PD_KV_ASK_TXN:
    case PD_KV_ASK_LEASE_GRANT:
    case PD_KV_ASK_LEASE_REVOKE:
    case PD_KV_ASK_LEASE_KEEPALIVE:
        break;
    }
    return true;
}

enum pd_kv_code pd_store_ask_encode(const struct pd_kv_ask *ask, struct pd_kv_writer *writer,
                                    struct pd_replica_request_head *head_out,
                                    bool *is_repeatable_out, const char **text_out)
{
    enum pd_kv_code code = PD_KV_CODE_OK;
    *is_repeatable_out = false;
    bool previous = (ask->flags & PD_KV_ASK_PREVIOUS) != 0;
    *head_out = (struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_WRITE};
    if (!is_covered(ask)) {
        *text_out = IS_DENIED;
        return PD_KV_CODE_DENIED;
    }
    switch (ask->kind) {
    case PD_KV_ASK_GET:
    case PD_KV_ASK_RANGE: {
        *is_repeatable_out = true;
        const struct pd_kv_range range =
            range_of(ask->key, ask->end, ask->flags, ask->limit, ask->revision);
        head_out->kind = PD_REPLICA_REQUEST_READ;
        head_out->flags = (ask->flags & PD_KV_ASK_LOCAL) != 0 ? PD_REPLICA_REQUEST_SERIALIZABLE : 0;
        pd_kv_encode_range(writer, &range);
        break;
    }
    case PD_KV_ASK_PUT:
        pd_kv_encode_put(writer, &(struct pd_kv_put){.key = ask->key,
                                                     .value = ask->value,
                                                     .lease = ask->lease,
                                                     .prev_kv = previous});
        break;
    case PD_KV_ASK_DELETE:
        pd_kv_encode_delete(
            writer,
            &(struct pd_kv_delete){.key = ask->key, .range_end = ask->end, .prev_kv = previous});
        break;
    case PD_KV_ASK_TXN:
        code = encode_txn(ask, writer, is_repeatable_out, text_out);
        break;
    case PD_KV_ASK_WATCH:
        head_out->kind = PD_REPLICA_REQUEST_WATCH; /* the body: pd_store_watch_encode */
        break;
    case PD_KV_ASK_LEASE_GRANT:
    case PD_KV_ASK_LEASE_REVOKE:
    case PD_KV_ASK_LEASE_KEEPALIVE:
        *is_repeatable_out = ask->kind == PD_KV_ASK_LEASE_KEEPALIVE;
        encode_lease(ask, writer);
        break;
    }
    pd_assert(!writer->is_full);
    return code;
}

/* -- Answers ----------------------------------------------------------------------------------- */

enum pd_kv_code pd_store_error_code(enum pd_kv_error error)
{
    switch (error) {
    case PD_KV_OK:
        return PD_KV_CODE_OK;
    case PD_KV_ERR_KEY_NOT_FOUND:
    case PD_KV_ERR_LEASE_NOT_FOUND:
    case PD_KV_ERR_MEMBER_NOT_FOUND:
        return PD_KV_CODE_ABSENT;
    case PD_KV_ERR_TOO_LARGE:
    case PD_KV_ERR_ANSWER_TOO_LARGE:
    case PD_KV_ERR_TOO_MANY_OPS:
        return PD_KV_CODE_TOO_LARGE;
    case PD_KV_ERR_COMPACTED:
    case PD_KV_ERR_FUTURE_REVISION:
        return PD_KV_CODE_COMPACTED;
    case PD_KV_ERR_LEASES_FULL:
    case PD_KV_ERR_SESSIONS_FULL:
    case PD_KV_ERR_MEMBERS_FULL:
    case PD_KV_ERR_SESSION_ANSWERS_FULL:
        return PD_KV_CODE_FULL;
    case PD_KV_ERR_SESSION_UNKNOWN:
    case PD_KV_ERR_SESSION_STALE:
    case PD_KV_ERR_SESSION_AHEAD:
        return PD_KV_CODE_UNAVAILABLE;
    case PD_KV_ERR_MALFORMED:
    case PD_KV_ERR_EMPTY_KEY:
    case PD_KV_ERR_VALUE_PROVIDED:
    case PD_KV_ERR_LEASE_PROVIDED:
    case PD_KV_ERR_DUPLICATE_KEY:
    case PD_KV_ERR_INVALID_SORT:
    case PD_KV_ERR_LEASE_EXISTS:
    case PD_KV_ERR_LEASE_TTL_TOO_LARGE:
    case PD_KV_ERR_INVALID:
    case PD_KV_ERR_MEMBER_REMOVED:
    case PD_KV_ERR_MEMBER_KEY:
    case PD_KV_ERR_COUNT:
        break;
    }
    return PD_KV_CODE_INVALID;
}

void pd_store_record_put(uint8_t *to, const struct pd_kv_record *record)
{
    pd_put_u32(to, (uint32_t)record->key.size);
    pd_put_u32(to + 4, (uint32_t)record->value.size);
    pd_put_u64(to + 8, (uint64_t)record->create_revision);
    pd_put_u64(to + 16, (uint64_t)record->mod_revision);
    pd_put_u64(to + 24, (uint64_t)record->version);
    pd_put_u64(to + 32, (uint64_t)record->lease);
    if (record->key.size > 0) {
        memcpy(to + PD_KV_PORT_RECORD_SIZE, record->key.bytes, record->key.size);
    }
    if (record->value.size > 0) {
        memcpy(to + PD_KV_PORT_RECORD_SIZE + record->key.size, record->value.bytes,
               record->value.size);
    }
}

/* Counts what it would write while `bytes` is NULL. */
struct output {
    uint8_t *bytes;
    size_t size;
};

static void put_u32(struct output *output, size_t at, uint32_t value)
{
    if (output->bytes != NULL) {
        pd_put_u32(output->bytes + at, value);
    }
}

static void put_u64(struct output *output, size_t at, uint64_t value)
{
    if (output->bytes != NULL) {
        pd_put_u64(output->bytes + at, value);
    }
}

/* Room for later; its place. */
static size_t leave(struct output *output, size_t size)
{
    size_t at = output->size;
    output->size += size;
    return at;
}

static void put_record(struct output *output, const struct pd_kv_record *record)
{
    size_t at = leave(output, PD_KV_PORT_RECORD_SIZE + record->key.size + record->value.size);
    if (output->bytes != NULL) {
        pd_store_record_put(output->bytes + at, record);
    }
}

static uint32_t put_records(struct pd_kv_reader *reader, struct output *output)
{
    uint32_t count = 0;
    struct pd_kv_record record;
    while (pd_kv_answer_record(reader, &record)) {
        put_record(output, &record);
        count++;
    }
    return count;
}

static void put_range(struct pd_kv_reader *reader, struct output *output, bool is_get)
{
    bool more = false;
    int64_t count = 0;
    size_t at = is_get ? 0 : leave(output, 16);
    uint32_t records = put_records(reader, output);
    pd_kv_answer_range_tail(reader, &more, &count);
    if (!is_get) {
        put_u64(output, at, (uint64_t)count);
        put_u32(output, at + 8, more ? 1 : 0);
        put_u32(output, at + 12, records);
    }
}

static void put_delete(struct pd_kv_reader *reader, struct output *output)
{
    size_t at = leave(output, 8);
    (void)put_records(reader, output);
    put_u64(output, at, (uint64_t)pd_kv_answer_delete_tail(reader));
}

/* False: not of a kind that a transaction of ours has. */
static bool put_response(struct pd_kv_reader *reader, struct output *output)
{
    size_t head = leave(output, 8);
    enum pd_kv_ask_kind kind = PD_KV_ASK_RANGE;
    enum pd_kv_answer_kind answer = pd_kv_answer_response(reader);
    if (answer == PD_KV_ANSWER_RANGE) {
        put_range(reader, output, false);
    } else if (answer == PD_KV_ANSWER_PUT) {
        kind = PD_KV_ASK_PUT;
        (void)put_records(reader, output);
    } else if (answer == PD_KV_ANSWER_DELETE) {
        kind = PD_KV_ASK_DELETE;
        put_delete(reader, output);
    } else {
        return false;
    }
    put_u32(output, head, (uint32_t)kind);
    put_u32(output, head + 4, (uint32_t)(output->size - head - 8));
    return true;
}

static bool put_txn(struct pd_kv_reader *reader, struct output *output)
{
    bool succeeded = false;
    uint32_t count = 0;
    pd_kv_answer_txn(reader, &succeeded, &count);
    size_t at = leave(output, 8);
    put_u32(output, at, succeeded ? 1 : 0);
    put_u32(output, at + 4, count);
    for (uint32_t i = 0; i < count && !reader->is_bad; i++) {
        if (!put_response(reader, output)) {
            return false;
        }
    }
    return true;
}

/* The body behind the head. False: it is no answer of the store. */
static bool put_body(struct pd_kv_reader *reader, enum pd_kv_answer_kind kind, bool is_get,
                     struct output *output)
{
    bool is_known = true;
    switch (kind) {
    case PD_KV_ANSWER_NONE:
        break;
    case PD_KV_ANSWER_RANGE:
        put_range(reader, output, is_get);
        break;
    case PD_KV_ANSWER_PUT:
        (void)put_records(reader, output);
        break;
    case PD_KV_ANSWER_DELETE:
        put_delete(reader, output);
        break;
    case PD_KV_ANSWER_TXN:
        is_known = put_txn(reader, output);
        break;
    case PD_KV_ANSWER_LEASE: {
        size_t at = leave(output, 16);
        put_u64(output, at, (uint64_t)pd_kv_answer_number(reader));
        put_u64(output, at + 8, (uint64_t)pd_kv_answer_number(reader));
        break;
    }
    case PD_KV_ANSWER_LEASE_KEYS:
    case PD_KV_ANSWER_LEASES:
    case PD_KV_ANSWER_SESSION:
        is_known = false;
        break;
    }
    return is_known && pd_kv_answer_is_whole(reader) && output->size <= UINT32_MAX;
}

enum pd_kv_code pd_store_answer_decode(struct pd_kv_reader *reader,
                                       const struct pd_kv_answer_head *head, bool is_get,
                                       uint8_t **bytes_out, size_t *size_out, const char **text_out)
{
    *bytes_out = NULL;
    *size_out = 0;
    if (head->error != PD_KV_OK) {
        *text_out = pd_kv_error_text(head->error);
        return pd_store_error_code(head->error);
    }
    struct pd_kv_reader again = *reader;
    struct output output = {.bytes = NULL};
    if (!put_body(reader, head->kind, is_get, &output)) {
        *text_out = "the node's answer cannot be read: is it of another version?";
        return PD_KV_CODE_UNKNOWN;
    }
    if (output.size == 0) {
        *text_out = "there is no such key";
        return is_get ? PD_KV_CODE_ABSENT : PD_KV_CODE_OK;
    }
    output.bytes = pd_alloc(output.size);
    if (output.bytes == NULL) {
        *text_out = "no memory for the answer";
        return PD_KV_CODE_UNKNOWN;
    }
    *bytes_out = output.bytes;
    *size_out = output.size;
    output.size = 0;
    bool is_read = put_body(&again, head->kind, is_get, &output);
    pd_assert(is_read && output.size == *size_out);
    return PD_KV_CODE_OK;
}

/* -- Watches ----------------------------------------------------------------------------------- */

static uint32_t put_events(struct pd_kv_reader *reader, struct output *output)
{
    uint32_t count = 0;
    struct pd_kv_event event;
    while (pd_replica_watch_event_get(reader, &event)) {
        bool has_previous = event.has_previous;
        size_t at = leave(output, 8);
        put_u32(output, at, event.is_delete ? 1 : 0);
        put_u32(output, at + 4, has_previous ? 1 : 0);
        put_record(output, &event.record);
        if (has_previous) {
            put_record(output, &event.previous);
        }
        count++;
    }
    return count;
}

static struct pd_kv_block *make_block(size_t size)
{
    struct pd_kv_block *block = pd_alloc(sizeof *block + PD_KV_PORT_BLOCK_HEAD_SIZE + size);
    if (block != NULL) {
        block->cost = 0;
        block->size = (uint32_t)(PD_KV_PORT_BLOCK_HEAD_SIZE + size);
        block->is_last = false;
    }
    return block;
}

enum pd_status pd_store_watch_decode(struct pd_span body, struct pd_replica_watch_head *head_out,
                                     struct pd_kv_block **block_out)
{
    struct pd_kv_reader reader;
    *block_out = NULL;
    pd_kv_reader_init(&reader, body);
    pd_replica_watch_head_get(&reader, head_out);
    struct pd_kv_reader again = reader;
    struct output output = {.bytes = NULL};
    uint32_t count = put_events(&reader, &output);
    if (!pd_kv_answer_is_whole(&reader) || output.size > UINT32_MAX / 2) {
        return PD_ERR_CORRUPT;
    }
    if (count == 0) {
        return PD_OK;
    }
    struct pd_kv_block *block = make_block(output.size);
    if (block == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    pd_put_u32(block->bytes, PD_KV_BLOCK_EVENTS);
    pd_put_u32(block->bytes + 4, count);
    pd_put_u64(block->bytes + 8, (uint64_t)head_out->through_revision);
    output = (struct output){.bytes = block->bytes + PD_KV_PORT_BLOCK_HEAD_SIZE};
    (void)put_events(&again, &output);
    *block_out = block;
    return PD_OK;
}

struct pd_kv_block *pd_store_watch_ended(enum pd_kv_code code, int64_t revision, const char *text,
                                         size_t text_size)
{
    struct pd_kv_block *block = make_block(text_size);
    if (block != NULL) {
        block->is_last = true;
        pd_put_u32(block->bytes, PD_KV_BLOCK_ENDED);
        pd_put_u32(block->bytes + 4, (uint32_t)code);
        pd_put_u64(block->bytes + 8, (uint64_t)revision);
        if (text_size > 0) {
            memcpy(block->bytes + PD_KV_PORT_BLOCK_HEAD_SIZE, text, text_size);
        }
    }
    return block;
}
