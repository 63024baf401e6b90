#include "kv/command.h"

#include "base/assert.h"
#include "kv/codec.h"
#include "kv/member.h"
#include "kv/txn_check.h"

#define ENVELOPE_VERSION 1u
#define NANOSECONDS_MAX ((uint64_t)INT64_MAX)

uint32_t pd_kv_command_ops_max(const struct pd_kv_limits *limits)
{
    return 4 * limits->txn_ops_max + 1;
}

/* -- Envelope ---------------------------------------------------------------------------------- */

void pd_kv_envelope_encode(struct pd_kv_writer *writer, const struct pd_kv_envelope *envelope)
{
    pd_kv_write_u8(writer, ENVELOPE_VERSION);
    pd_kv_write_u64(writer, envelope->state_time_ns);
    pd_kv_write_u64(writer, envelope->wall_ns);
    pd_kv_write_u64(writer, envelope->session_id);
    pd_kv_write_u64(writer, envelope->sequence);
    pd_kv_write_u64(writer, envelope->low);
    pd_kv_write_raw(writer, envelope->command.bytes, envelope->command.size);
}

enum pd_status pd_kv_envelope_decode(struct pd_span bytes, struct pd_kv_envelope *envelope_out)
{
    struct pd_kv_reader reader;
    pd_kv_reader_init(&reader, bytes);
    const uint8_t *version = pd_kv_read_raw(&reader, 1);
    if (version == NULL || *version != ENVELOPE_VERSION) {
        return PD_ERR_CORRUPT;
    }
    struct pd_kv_envelope envelope = {0};
    envelope.state_time_ns = pd_kv_read_u64(&reader);
    envelope.wall_ns = pd_kv_read_u64(&reader);
    envelope.session_id = pd_kv_read_u64(&reader);
    envelope.sequence = pd_kv_read_u64(&reader);
    envelope.low = pd_kv_read_u64(&reader);
    if (reader.is_bad) {
        return PD_ERR_CORRUPT;
    }
    envelope.command = pd_kv_span(bytes.bytes + reader.at, bytes.size - reader.at);
    *envelope_out = envelope;
    return PD_OK;
}

/* -- Encoding ---------------------------------------------------------------------------------- */

static void write_range(struct pd_kv_writer *writer, const struct pd_kv_range *range)
{
    uint64_t flags = (uint64_t)range->keys_only | (uint64_t)range->count_only << 1 |
                     (uint64_t)range->sort_order << 2 | (uint64_t)range->sort_target << 4 |
                     (uint64_t)range->uncounted << 7;
    bool bounds = range->min_mod_revision != 0 || range->max_mod_revision != 0 ||
                  range->min_create_revision != 0 || range->max_create_revision != 0;
    pd_kv_write_u64(writer, flags << 1 | (uint64_t)bounds);
    pd_kv_write_span(writer, range->key);
    pd_kv_write_span(writer, range->range_end);
    pd_kv_write_i64(writer, range->limit);
    pd_kv_write_i64(writer, range->revision);
    if (bounds) {
        pd_kv_write_i64(writer, range->min_mod_revision);
        pd_kv_write_i64(writer, range->max_mod_revision);
        pd_kv_write_i64(writer, range->min_create_revision);
        pd_kv_write_i64(writer, range->max_create_revision);
    }
}

static void write_put(struct pd_kv_writer *writer, const struct pd_kv_put *put)
{
    pd_kv_write_u64(writer, (uint64_t)put->prev_kv | (uint64_t)put->ignore_value << 1 |
                                (uint64_t)put->ignore_lease << 2);
    pd_kv_write_span(writer, put->key);
    pd_kv_write_span(writer, put->value);
    pd_kv_write_i64(writer, put->lease);
}

static void write_delete(struct pd_kv_writer *writer, const struct pd_kv_delete *delete_range)
{
    pd_kv_write_u64(writer, delete_range->prev_kv);
    pd_kv_write_span(writer, delete_range->key);
    pd_kv_write_span(writer, delete_range->range_end);
}

static void write_compare(struct pd_kv_writer *writer, const struct pd_kv_compare *compare)
{
    pd_kv_write_u64(writer, compare->result);
    pd_kv_write_u64(writer, compare->target);
    pd_kv_write_span(writer, compare->key);
    pd_kv_write_span(writer, compare->range_end);
    if (compare->target == PD_KV_COMPARE_VALUE) {
        pd_kv_write_span(writer, compare->value);
    } else {
        pd_kv_write_i64(writer, compare->number);
    }
}

static void write_op(struct pd_kv_writer *writer, const struct pd_kv_command *command,
                     const struct pd_kv_op *op)
{
    pd_kv_write_u64(writer, op->kind);
    switch (op->kind) {
    case PD_KV_OP_RANGE:
        write_range(writer, &op->as.range);
        break;
    case PD_KV_OP_PUT:
        write_put(writer, &op->as.put);
        break;
    case PD_KV_OP_DELETE:
        write_delete(writer, &op->as.delete_range);
        break;
    case PD_KV_OP_TXN:
        pd_kv_write_u64(writer, op->as.txn.compare_count);
        for (uint32_t i = 0; i < op->as.txn.compare_count; i++) {
            write_compare(writer, &command->compares[op->as.txn.compare_first + i]);
        }
        pd_kv_write_u64(writer, op->as.txn.then_count);
        pd_kv_write_u64(writer, op->as.txn.else_count);
        break;
    }
}

void pd_kv_command_encode(struct pd_kv_writer *writer, const struct pd_kv_command *command)
{
    pd_kv_write_u64(writer, command->kind);
    switch (command->kind) {
    case PD_KV_NOOP:
    case PD_KV_LEASES_EXTEND:
        break;
    case PD_KV_OPS:
        for (uint32_t i = 0; i < command->op_count; i++) {
            write_op(writer, command, &command->ops[i]);
        }
        break;
    case PD_KV_COMPACT:
        pd_kv_write_i64(writer, command->revision);
        break;
    case PD_KV_LEASE_GRANT:
        pd_kv_write_i64(writer, command->id);
        pd_kv_write_i64(writer, command->ttl_s);
        break;
    case PD_KV_SESSION_OPEN:
        pd_kv_write_u64(writer, command->duration_ns);
        pd_kv_write_u64(writer, command->window);
        break;
    case PD_KV_LEASE_REVOKE:
    case PD_KV_LEASE_KEEPALIVE:
    case PD_KV_LEASE_EXPIRE:
    case PD_KV_SESSION_CLOSE:
    case PD_KV_SESSION_KEEPALIVE:
    case PD_KV_SESSION_EXPIRE:
    case PD_KV_MEMBER_REMOVE:
        pd_kv_write_i64(writer, command->id);
        break;
    case PD_KV_MEMBER_PUT:
        pd_kv_write_i64(writer, command->id);
        pd_kv_write_span(writer, command->bytes);
        break;
    case PD_KV_VERSION_RAISE:
        pd_kv_write_u64(writer, command->version);
        break;
    case PD_KV_MEMBER_TELL:
        pd_kv_write_i64(writer, command->id);
        pd_kv_write_u64(writer, command->version);
        pd_kv_write_span(writer, command->bytes);
        break;
    }
}

void pd_kv_encode_put(struct pd_kv_writer *writer, const struct pd_kv_put *put)
{
    struct pd_kv_op op = {.kind = PD_KV_OP_PUT, .as.put = *put};
    pd_kv_command_encode(writer,
                         &(struct pd_kv_command){.kind = PD_KV_OPS, .ops = &op, .op_count = 1});
}

void pd_kv_encode_range(struct pd_kv_writer *writer, const struct pd_kv_range *range)
{
    struct pd_kv_op op = {.kind = PD_KV_OP_RANGE, .as.range = *range};
    pd_kv_command_encode(writer,
                         &(struct pd_kv_command){.kind = PD_KV_OPS, .ops = &op, .op_count = 1});
}

void pd_kv_encode_delete(struct pd_kv_writer *writer, const struct pd_kv_delete *delete_range)
{
    struct pd_kv_op op = {.kind = PD_KV_OP_DELETE, .as.delete_range = *delete_range};
    pd_kv_command_encode(writer,
                         &(struct pd_kv_command){.kind = PD_KV_OPS, .ops = &op, .op_count = 1});
}

/* -- Decoding ---------------------------------------------------------------------------------- */

static enum pd_kv_error check_key(struct pd_span key, struct pd_span range_end,
                                  const struct pd_kv_limits *limits)
{
    if (key.size == 0) {
        return PD_KV_ERR_EMPTY_KEY;
    }
    if (key.size > limits->key_bytes_max || range_end.size > limits->key_bytes_max) {
        return PD_KV_ERR_TOO_LARGE;
    }
    return PD_KV_OK;
}

enum pd_kv_error pd_kv_range_check(const struct pd_kv_range *range,
                                   const struct pd_kv_limits *limits)
{
    enum pd_kv_error error = check_key(range->key, range->range_end, limits);
    bool is_sort = (unsigned)range->sort_order <= PD_KV_SORT_DESCEND &&
                   (unsigned)range->sort_target <= PD_KV_SORT_VALUE;
    return error == PD_KV_OK && !is_sort ? PD_KV_ERR_INVALID_SORT : error;
}

static void read_range(struct pd_kv_reader *reader, struct pd_kv_range *range)
{
    uint32_t flags = pd_kv_read_below(reader, 1u << 9);
    bool bounds = flags & 1;
    range->keys_only = flags >> 1 & 1;
    range->count_only = flags >> 2 & 1;
    range->sort_order = (enum pd_kv_sort_order)(flags >> 3 & 3);
    range->sort_target = (enum pd_kv_sort_target)(flags >> 5 & 7);
    range->uncounted = flags >> 8 & 1;
    range->key = pd_kv_read_span(reader);
    range->range_end = pd_kv_read_span(reader);
    range->limit = pd_kv_read_i64(reader);
    range->revision = pd_kv_read_i64(reader);
    if (bounds) {
        range->min_mod_revision = pd_kv_read_i64(reader);
        range->max_mod_revision = pd_kv_read_i64(reader);
        range->min_create_revision = pd_kv_read_i64(reader);
        range->max_create_revision = pd_kv_read_i64(reader);
    }
}

static enum pd_kv_error read_put(struct pd_kv_reader *reader, const struct pd_kv_limits *limits,
                                 struct pd_kv_put *put)
{
    uint32_t flags = pd_kv_read_below(reader, 1u << 3);
    put->prev_kv = flags & 1;
    put->ignore_value = flags >> 1 & 1;
    put->ignore_lease = flags >> 2 & 1;
    put->key = pd_kv_read_span(reader);
    put->value = pd_kv_read_span(reader);
    put->lease = pd_kv_read_i64(reader);
    if (reader->is_bad) {
        return PD_KV_ERR_MALFORMED;
    }
    if (put->ignore_value && put->value.size > 0) {
        return PD_KV_ERR_VALUE_PROVIDED;
    }
    if (put->ignore_lease && put->lease != 0) {
        return PD_KV_ERR_LEASE_PROVIDED;
    }
    return check_key(put->key, pd_kv_span(NULL, 0), limits);
}

static enum pd_kv_error read_compare(struct pd_kv_reader *reader, const struct pd_kv_limits *limits,
                                     struct pd_kv_compare *compare)
{
    *compare = (struct pd_kv_compare){0};
    compare->result = (enum pd_kv_compare_result)pd_kv_read_below(reader, PD_KV_NOT_EQUAL + 1);
    compare->target = (enum pd_kv_compare_target)pd_kv_read_below(reader, PD_KV_COMPARE_LEASE + 1);
    compare->key = pd_kv_read_span(reader);
    compare->range_end = pd_kv_read_span(reader);
    if (compare->target == PD_KV_COMPARE_VALUE) {
        compare->value = pd_kv_read_span(reader);
    } else {
        compare->number = pd_kv_read_i64(reader);
    }
    return reader->is_bad ? PD_KV_ERR_MALFORMED
                          : check_key(compare->key, compare->range_end, limits);
}

/* One level of the tree while its children are read. */
struct level {
    uint32_t op;       /* the txn */
    uint32_t left;     /* children still to come */
    uint32_t ops_left; /* what the children may still use, as etcd counts */
};

struct decoder {
    struct pd_kv_reader reader;
    const struct pd_kv_limits *limits;
    const struct pd_kv_command_room *room;
    struct pd_kv_command *command;
    struct level levels[PD_KV_TXN_DEPTH_MAX];
    uint32_t depth;
};

static enum pd_kv_error read_txn(struct decoder *decoder, uint32_t op_index)
{
    struct pd_kv_reader *reader = &decoder->reader;
    struct pd_kv_command *command = decoder->command;
    struct pd_kv_txn *txn = &command->ops[op_index].as.txn;
    uint32_t ops_left = decoder->depth == 0 ? decoder->limits->txn_ops_max
                                            : decoder->levels[decoder->depth - 1].ops_left;
    uint32_t compares_left = decoder->room->compares_max - command->compare_count;
    txn->compare_first = command->compare_count;
    uint64_t compare_count = pd_kv_read_u64(reader);
    if (compare_count > ops_left || compare_count > compares_left) {
        return PD_KV_ERR_TOO_MANY_OPS;
    }
    txn->compare_count = (uint32_t)compare_count;
    for (uint32_t i = 0; i < txn->compare_count; i++) {
        enum pd_kv_error error =
            read_compare(reader, decoder->limits, &command->compares[command->compare_count]);
        if (error != PD_KV_OK) {
            return error;
        }
        command->compare_count++;
    }
    uint64_t then_count = pd_kv_read_u64(reader);
    uint64_t else_count = pd_kv_read_u64(reader);
    if (reader->is_bad) {
        return PD_KV_ERR_MALFORMED;
    }
    if (then_count > ops_left || else_count > ops_left || decoder->depth == PD_KV_TXN_DEPTH_MAX) {
        return PD_KV_ERR_TOO_MANY_OPS;
    }
    txn->then_count = (uint32_t)then_count;
    txn->else_count = (uint32_t)else_count;
    uint64_t most = then_count > else_count ? then_count : else_count;
    most = most > compare_count ? most : compare_count;
    decoder->levels[decoder->depth++] = (struct level){
        .op = op_index,
        .left = (uint32_t)(then_count + else_count),
        .ops_left = ops_left - (uint32_t)most,
    };
    return PD_KV_OK;
}

static enum pd_kv_error read_op(struct decoder *decoder)
{
    struct pd_kv_reader *reader = &decoder->reader;
    struct pd_kv_command *command = decoder->command;
    if (command->op_count == decoder->room->ops_max ||
        command->op_count == pd_kv_command_ops_max(decoder->limits)) {
        return PD_KV_ERR_TOO_MANY_OPS;
    }
    uint32_t index = command->op_count++;
    struct pd_kv_op *op = &command->ops[index];
    uint32_t kind = pd_kv_read_below(reader, PD_KV_OP_TXN + 1);
    if (reader->is_bad || kind == 0) {
        return PD_KV_ERR_MALFORMED;
    }
    *op = (struct pd_kv_op){
        .kind = (enum pd_kv_op_kind)kind,
        .end = index + 1,
        .parent = decoder->depth == 0 ? index : decoder->levels[decoder->depth - 1].op,
    };
    switch (op->kind) {
    case PD_KV_OP_RANGE:
        read_range(reader, &op->as.range);
        return reader->is_bad ? PD_KV_ERR_MALFORMED
                              : pd_kv_range_check(&op->as.range, decoder->limits);
    case PD_KV_OP_PUT:
        return read_put(reader, decoder->limits, &op->as.put);
    case PD_KV_OP_DELETE:
        op->as.delete_range.prev_kv = pd_kv_read_below(reader, 2) == 1;
        op->as.delete_range.key = pd_kv_read_span(reader);
        op->as.delete_range.range_end = pd_kv_read_span(reader);
        return reader->is_bad ? PD_KV_ERR_MALFORMED
                              : check_key(op->as.delete_range.key, op->as.delete_range.range_end,
                                          decoder->limits);
    case PD_KV_OP_TXN:
        return read_txn(decoder, index);
    }
    return PD_KV_ERR_MALFORMED;
}

/* Close the txns that are complete, then note that another child of the innermost one comes. */
static void next_child(struct decoder *decoder)
{
    struct pd_kv_command *command = decoder->command;
    while (decoder->depth > 0) {
        struct level *level = &decoder->levels[decoder->depth - 1];
        struct pd_kv_op *op = &command->ops[level->op];
        if (level->left == op->as.txn.else_count) {
            op->as.txn.else_first = command->op_count;
        }
        if (level->left > 0) {
            level->left--;
            return;
        }
        op->end = command->op_count;
        decoder->depth--;
    }
}

/* The tree is read by a stack of levels, not by recursion: its depth is the sender's choice. */
static enum pd_kv_error read_ops(struct decoder *decoder)
{
    do {
        enum pd_kv_error error = read_op(decoder);
        if (error != PD_KV_OK) {
            return error;
        }
        next_child(decoder);
    } while (decoder->depth > 0);
    return pd_kv_txn_check_duplicates(decoder->command) ? PD_KV_OK : PD_KV_ERR_DUPLICATE_KEY;
}

static void read_plain(struct pd_kv_reader *reader, struct pd_kv_command *command)
{
    switch (command->kind) {
    case PD_KV_NOOP:
    case PD_KV_LEASES_EXTEND:
    case PD_KV_OPS:
        break;
    case PD_KV_COMPACT:
        command->revision = pd_kv_read_i64(reader);
        break;
    case PD_KV_LEASE_GRANT:
        command->id = pd_kv_read_i64(reader);
        command->ttl_s = pd_kv_read_i64(reader);
        break;
    case PD_KV_SESSION_OPEN:
        command->duration_ns = pd_kv_read_u64(reader);
        command->window = pd_kv_read_below(reader, UINT32_MAX);
        break;
    case PD_KV_LEASE_REVOKE:
    case PD_KV_LEASE_KEEPALIVE:
    case PD_KV_LEASE_EXPIRE:
    case PD_KV_SESSION_CLOSE:
    case PD_KV_SESSION_KEEPALIVE:
    case PD_KV_SESSION_EXPIRE:
    case PD_KV_MEMBER_REMOVE:
        command->id = pd_kv_read_i64(reader);
        break;
    case PD_KV_MEMBER_PUT:
        command->id = pd_kv_read_i64(reader);
        command->bytes = pd_kv_read_span(reader);
        break;
    case PD_KV_VERSION_RAISE:
        command->version = pd_kv_read_below(reader, UINT32_MAX);
        break;
    case PD_KV_MEMBER_TELL:
        command->id = pd_kv_read_i64(reader);
        command->version = pd_kv_read_below(reader, UINT32_MAX);
        command->bytes = pd_kv_read_span(reader);
        break;
    }
}

static enum pd_kv_error check_plain(const struct pd_kv_command *command)
{
    if (command->kind == PD_KV_LEASE_GRANT && command->ttl_s > PD_KV_LEASE_TTL_MAX_S) {
        return PD_KV_ERR_LEASE_TTL_TOO_LARGE;
    }
    struct pd_kv_member member = {.node = (uint64_t)command->id};
    /* What a member tells of its program comes with a command of its own. */
    if (command->kind == PD_KV_MEMBER_PUT &&
        (member.node == 0 || command->bytes.size > PD_KV_MEMBER_BYTES_MAX ||
         pd_kv_member_decode(command->bytes, &member) != PD_OK || member.version != 0)) {
        return PD_KV_ERR_INVALID;
    }
    if (command->kind == PD_KV_MEMBER_TELL &&
        (command->version == 0 || !pd_kv_member_program_is_sound(command->bytes))) {
        return PD_KV_ERR_INVALID;
    }
    if (command->kind == PD_KV_SESSION_OPEN &&
        (command->duration_ns == 0 || command->duration_ns > NANOSECONDS_MAX)) {
        return PD_KV_ERR_INVALID;
    }
    return PD_KV_OK;
}

enum pd_kv_error pd_kv_command_decode(struct pd_span bytes, const struct pd_kv_limits *limits,
                                      const struct pd_kv_command_room *room,
                                      struct pd_kv_command *command_out)
{
    *command_out = (struct pd_kv_command){.ops = room->ops, .compares = room->compares};
    if (bytes.size > limits->request_bytes_max) {
        return PD_KV_ERR_TOO_LARGE;
    }
    struct decoder decoder = {.limits = limits, .room = room, .command = command_out};
    pd_kv_reader_init(&decoder.reader, bytes);
    uint32_t kind = pd_kv_read_below(&decoder.reader, PD_KV_MEMBER_TELL + 1);
    if (decoder.reader.is_bad) {
        return PD_KV_ERR_MALFORMED;
    }
    command_out->kind = (enum pd_kv_command_kind)kind;
    enum pd_kv_error error = PD_KV_OK;
    if (command_out->kind == PD_KV_OPS) {
        error = read_ops(&decoder);
    } else {
        read_plain(&decoder.reader, command_out);
    }
    if (error == PD_KV_OK && !pd_kv_read_is_whole(&decoder.reader)) {
        error = PD_KV_ERR_MALFORMED;
    }
    return error == PD_KV_OK ? check_plain(command_out) : error;
}
