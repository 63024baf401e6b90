#include <string.h>

#include "base/alloc.h"
#include "client/internal.h"

#define OPS_MAX 4096u /* of a transaction; the cluster's own bound is told by the store */

/* Keys and values are copied into one block each. */
struct op {
    enum pando_branch branch;
    enum pando_op kind;
    struct pd_span key;
    struct pd_span end;
    struct pd_span value;
    int64_t lease;
    uint8_t *bytes;
};

struct compare {
    struct pd_kv_compare compare;
    uint8_t *bytes;
};

struct pando_txn {
    struct op *ops;
    size_t op_count;
    size_t op_capacity;
    struct compare *compares;
    size_t compare_count;
    size_t compare_capacity;
    size_t size; /* of all keys and values */
    bool has_no_memory;
    const char *wrong; /* NULL: nothing */
};

struct pando_txn_response {
    enum pando_op kind;
    int64_t deleted;
    struct pando_result records;
};

struct pando_txn_result {
    bool succeeded;
    int64_t revision;
    uint8_t *bytes;
    struct pando_txn_response *responses;
    size_t count;
};

struct pando_txn *pando_txn_new(void)
{
    return pd_alloc_zeroed(1, sizeof(struct pando_txn));
}

void pando_txn_free(struct pando_txn *txn)
{
    if (txn == NULL) {
        return;
    }
    for (size_t i = 0; i < txn->op_count; i++) {
        pd_free(txn->ops[i].bytes);
    }
    for (size_t i = 0; i < txn->compare_count; i++) {
        pd_free(txn->compares[i].bytes);
    }
    pd_free(txn->ops);
    pd_free(txn->compares);
    pd_free(txn);
}

/* -- Adding ------------------------------------------------------------------------------------ */

/* Room for one more of `size` bytes behind `count`. */
static bool grow(void **items, size_t size, size_t count, size_t *capacity)
{
    if (count < *capacity) {
        return true;
    }
    size_t wanted = *capacity == 0 ? 8 : 2 * *capacity;
    void *grown = pd_realloc(*items, wanted * size);
    if (grown != NULL) {
        *items = grown;
        *capacity = wanted;
    }
    return grown != NULL;
}

/* A copy of two, one behind the other. */
static uint8_t *copy_both(struct pando_txn *txn, struct pando_bytes one, struct pando_bytes other)
{
    if (one.size > PD_CLIENT_REQUEST_MAX || other.size > PD_CLIENT_REQUEST_MAX ||
        txn->size + one.size + other.size > PD_CLIENT_REQUEST_MAX) {
        txn->wrong = "the transaction is too large";
        return NULL;
    }
    uint8_t *bytes = pd_alloc(one.size + other.size + 1);
    if (bytes == NULL) {
        txn->has_no_memory = true;
        return NULL;
    }
    if (one.size > 0) {
        memcpy(bytes, one.data, one.size);
    }
    if (other.size > 0) {
        memcpy(bytes + one.size, other.data, other.size);
    }
    txn->size += one.size + other.size;
    return bytes;
}

static void add_compare(struct pando_txn *txn, enum pd_kv_compare_target target,
                        struct pando_bytes key, enum pando_is is, struct pando_bytes value,
                        int64_t number)
{
    static const enum pd_kv_compare_result results[] = {[PANDO_IS_EQUAL] = PD_KV_EQUAL,
                                                        [PANDO_IS_NOT_EQUAL] = PD_KV_NOT_EQUAL,
                                                        [PANDO_IS_LESS] = PD_KV_LESS,
                                                        [PANDO_IS_GREATER] = PD_KV_GREATER};
    if ((unsigned)is > PANDO_IS_GREATER || txn->compare_count >= OPS_MAX) {
        txn->wrong =
            (unsigned)is > PANDO_IS_GREATER ? "no such way to compare" : "too many compares";
        return;
    }
    uint8_t *bytes = copy_both(txn, key, value);
    void *items = txn->compares;
    if (bytes == NULL ||
        !grow(&items, sizeof *txn->compares, txn->compare_count, &txn->compare_capacity)) {
        txn->has_no_memory = txn->has_no_memory || bytes != NULL;
        pd_free(bytes);
        return;
    }
    txn->compares = items;
    txn->compares[txn->compare_count++] =
        (struct compare){.bytes = bytes,
                         .compare = {.target = target,
                                     .result = results[is],
                                     .key = {bytes, key.size},
                                     .value = {bytes + key.size, value.size},
                                     .number = number}};
}

void pando_txn_if_value(struct pando_txn *txn, struct pando_bytes key, enum pando_is is,
                        struct pando_bytes value)
{
    add_compare(txn, PD_KV_COMPARE_VALUE, key, is, value, 0);
}

void pando_txn_if_number(struct pando_txn *txn, enum pando_compare target, struct pando_bytes key,
                         enum pando_is is, int64_t number)
{
    const struct pando_bytes none = {NULL, 0};
    switch (target) {
    case PANDO_COMPARE_VERSION:
        add_compare(txn, PD_KV_COMPARE_VERSION, key, is, none, number);
        return;
    case PANDO_COMPARE_CREATE:
        add_compare(txn, PD_KV_COMPARE_CREATE, key, is, none, number);
        return;
    case PANDO_COMPARE_MOD:
        add_compare(txn, PD_KV_COMPARE_MOD, key, is, none, number);
        return;
    case PANDO_COMPARE_LEASE:
        add_compare(txn, PD_KV_COMPARE_LEASE, key, is, none, number);
        return;
    case PANDO_COMPARE_VALUE:
        break;
    }
    txn->wrong = "what is compared with a number is no number";
}

/* Takes op->bytes. */
static void add_op(struct pando_txn *txn, const struct op *op)
{
    void *items = txn->ops;
    const char *wrong = op->branch != PANDO_THEN && op->branch != PANDO_ELSE ? "no such branch"
                        : txn->op_count >= OPS_MAX                           ? "too many operations"
                                                                             : NULL;
    if (wrong != NULL || op->bytes == NULL ||
        !grow(&items, sizeof *txn->ops, txn->op_count, &txn->op_capacity)) {
        txn->wrong = wrong != NULL ? wrong : txn->wrong;
        txn->has_no_memory = txn->has_no_memory || (wrong == NULL && op->bytes != NULL);
        pd_free(op->bytes);
        return;
    }
    txn->ops = items;
    txn->ops[txn->op_count++] = *op;
}

void pando_txn_put(struct pando_txn *txn, enum pando_branch branch, struct pando_bytes key,
                   struct pando_bytes value, int64_t lease)
{
    uint8_t *bytes = copy_both(txn, key, value);
    add_op(txn, &(struct op){.branch = branch,
                             .kind = PANDO_OP_PUT,
                             .bytes = bytes,
                             .key = {bytes, key.size},
                             .value = {bytes == NULL ? NULL : bytes + key.size, value.size},
                             .lease = lease});
}

static void add_keys(struct pando_txn *txn, enum pando_branch branch, enum pando_op kind,
                     const struct pando_keys *keys)
{
    struct pd_span key;
    struct pd_span end;
    uint8_t *room = keys->key.size > PD_CLIENT_REQUEST_MAX ? NULL : pd_alloc(keys->key.size + 1);
    if (room == NULL || !pd_client_range(keys, room, &key, &end)) {
        txn->has_no_memory = txn->has_no_memory || room == NULL;
        txn->wrong = room == NULL ? txn->wrong : "a key or the end of a range is empty";
        pd_free(room);
        return;
    }
    uint8_t *bytes = copy_both(txn, (struct pando_bytes){key.bytes, key.size},
                               (struct pando_bytes){end.bytes, end.size});
    pd_free(room);
    add_op(txn, &(struct op){.branch = branch,
                             .kind = kind,
                             .bytes = bytes,
                             .key = {bytes, key.size},
                             .end = {bytes == NULL ? NULL : bytes + key.size, end.size}});
}

void pando_txn_get(struct pando_txn *txn, enum pando_branch branch, const struct pando_keys *keys)
{
    add_keys(txn, branch, PANDO_OP_GET, keys);
}

void pando_txn_delete(struct pando_txn *txn, enum pando_branch branch,
                      const struct pando_keys *keys)
{
    add_keys(txn, branch, PANDO_OP_DELETE, keys);
}

/* -- Committing -------------------------------------------------------------------------------- */

static struct pd_kv_op op_of(const struct op *op)
{
    struct pd_kv_op made = {.kind = PD_KV_OP_PUT};
    switch (op->kind) {
    case PANDO_OP_NONE:
    case PANDO_OP_PUT:
        made.as.put = (struct pd_kv_put){.key = op->key, .value = op->value, .lease = op->lease};
        break;
    case PANDO_OP_GET:
        made.kind = PD_KV_OP_RANGE;
        made.as.range = (struct pd_kv_range){.key = op->key, .range_end = op->end};
        break;
    case PANDO_OP_DELETE:
        made.kind = PD_KV_OP_DELETE;
        made.as.delete_range = (struct pd_kv_delete){.key = op->key, .range_end = op->end};
        break;
    }
    return made;
}

/* The bytes of the command, in a block of the caller's; NULL: no memory. */
static uint8_t *encode(const struct pando_txn *txn, size_t *size_out)
{
    size_t room_size = txn->size + 64 * (txn->op_count + txn->compare_count) + 1024;
    struct pd_kv_op *ops = pd_alloc_zeroed(txn->op_count + 1, sizeof *ops);
    struct pd_kv_compare *compares = pd_alloc_zeroed(txn->compare_count + 1, sizeof *compares);
    uint8_t *room = pd_alloc(room_size);
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = room_size};
    if (ops == NULL || compares == NULL || room == NULL) {
        pd_free(ops);
        pd_free(compares);
        pd_free(room);
        return NULL;
    }
    uint32_t at = 1;
    uint32_t then_count = 0;
    for (unsigned branch = PANDO_THEN; branch <= PANDO_ELSE; branch++) {
        for (size_t i = 0; i < txn->op_count; i++) {
            if (txn->ops[i].branch == (enum pando_branch)branch) {
                ops[at++] = op_of(&txn->ops[i]);
            }
        }
        then_count = branch == PANDO_THEN ? at - 1 : then_count;
    }
    for (size_t i = 0; i < txn->compare_count; i++) {
        compares[i] = txn->compares[i].compare;
    }
    ops[0].kind = PD_KV_OP_TXN;
    ops[0].as.txn = (struct pd_kv_txn){.compare_count = (uint32_t)txn->compare_count,
                                       .then_count = then_count,
                                       .else_count = at - 1 - then_count,
                                       .else_first = 1 + then_count};
    const struct pd_kv_command command = {.kind = PD_KV_OPS,
                                          .ops = ops,
                                          .op_count = at,
                                          .compares = compares,
                                          .compare_count = (uint32_t)txn->compare_count};
    pd_kv_command_encode(&writer, &command);
    pd_free(ops);
    pd_free(compares);
    *size_out = writer.size;
    return room;
}

static bool take_response(struct pando_txn_response *response, struct pd_kv_reader *reader,
                          int64_t revision)
{
    bool more = false;
    enum pd_kv_answer_kind kind = pd_kv_answer_response(reader);
    response->records.revision = revision;
    if (kind == PD_KV_ANSWER_RANGE) {
        response->kind = PANDO_OP_GET;
    } else if (kind == PD_KV_ANSWER_PUT) {
        response->kind = PANDO_OP_PUT;
    } else if (kind == PD_KV_ANSWER_DELETE) {
        response->kind = PANDO_OP_DELETE;
    } else {
        reader->is_bad = true;
        return true;
    }
    bool has_room = pd_client_take_records(&response->records, reader);
    if (response->kind == PANDO_OP_GET) {
        pd_kv_answer_range_tail(reader, &more, &response->records.total);
    } else if (response->kind == PANDO_OP_DELETE) {
        response->deleted = pd_kv_answer_delete_tail(reader);
    }
    return has_room;
}

/* PANDO_OK, PANDO_NO_MEMORY or PANDO_PROTOCOL. */
static enum pando_status take_responses(struct pando_txn_result *result,
                                        struct pd_kv_reader *reader)
{
    uint32_t count = 0;
    bool has_room = true;
    pd_kv_answer_txn(reader, &result->succeeded, &count);
    if (reader->is_bad || count > reader->bytes.size) {
        return PANDO_PROTOCOL;
    }
    result->responses = pd_alloc_zeroed((size_t)count + 1, sizeof *result->responses);
    if (result->responses == NULL) {
        return PANDO_NO_MEMORY;
    }
    while (result->count < count && has_room && !reader->is_bad) {
        has_room = take_response(&result->responses[result->count++], reader, result->revision);
    }
    return !has_room ? PANDO_NO_MEMORY : reader->is_bad ? PANDO_PROTOCOL : PANDO_OK;
}

static enum pando_status make_result(struct pando_client *client, struct pd_kv_reader *reader,
                                     int64_t revision, struct pando_txn_result **result_out)
{
    struct pando_txn_result *result = pd_alloc_zeroed(1, sizeof *result);
    uint8_t *bytes = pd_alloc(reader->bytes.size + 1);
    if (result == NULL || bytes == NULL) {
        pd_free(result);
        pd_free(bytes);
        return pd_client_fail(client, PANDO_NO_MEMORY, "no memory for the answer");
    }
    memcpy(bytes, reader->bytes.bytes, reader->bytes.size);
    reader->bytes.bytes = bytes;
    result->bytes = bytes;
    result->revision = revision;
    enum pando_status status = take_responses(result, reader);
    if (status != PANDO_OK) {
        pando_txn_result_free(result);
        return pd_client_fail(client, status,
                              status == PANDO_NO_MEMORY
                                  ? "no memory for the answer"
                                  : "the node's answer cannot be read: is it of another version?");
    }
    *result_out = result;
    return PANDO_OK;
}

/* Twice does no harm: without a session, which would keep the answer. */
static enum pando_status commit_read(struct pando_client *client, struct pd_span command,
                                     struct pd_kv_answer_head *head_out,
                                     struct pd_kv_reader *reader_out)
{
    enum pd_status status =
        pd_node_client_write_harmless(&client->node, command, head_out, reader_out);
    return pd_client_status(&client->node, status, head_out, false);
}

enum pando_status pando_txn_commit(struct pando_client *client, const struct pando_txn *txn,
                                   struct pando_txn_result **result_out)
{
    struct pd_kv_answer_head head = {.error = PD_KV_OK};
    struct pd_kv_reader reader;
    size_t size = 0;
    if (txn->wrong != NULL) {
        return pd_client_fail(client, PANDO_INVALID, txn->wrong);
    }
    uint8_t *room = txn->has_no_memory ? NULL : encode(txn, &size);
    if (room == NULL) {
        return pd_client_fail(client, PANDO_NO_MEMORY, "no memory for the transaction");
    }
    bool only_reads = true;
    for (size_t i = 0; i < txn->op_count; i++) {
        only_reads = only_reads && txn->ops[i].kind == PANDO_OP_GET;
    }
    struct pd_span command = {room, size};
    enum pando_status status = only_reads ? commit_read(client, command, &head, &reader)
                                          : pd_client_write(client, command, false, &head, &reader);
    pd_free(room);
    return status == PANDO_OK ? make_result(client, &reader, head.revision, result_out) : status;
}

/* -- Results ----------------------------------------------------------------------------------- */

bool pando_txn_succeeded(const struct pando_txn_result *result)
{
    return result->succeeded;
}

int64_t pando_txn_revision(const struct pando_txn_result *result)
{
    return result->revision;
}

size_t pando_txn_count(const struct pando_txn_result *result)
{
    return result->count;
}

enum pando_op pando_txn_op(const struct pando_txn_result *result, size_t index)
{
    return index < result->count ? result->responses[index].kind : PANDO_OP_NONE;
}

const struct pando_result *pando_txn_records(const struct pando_txn_result *result, size_t index)
{
    bool is_get = index < result->count && result->responses[index].kind == PANDO_OP_GET;
    return is_get ? &result->responses[index].records : NULL;
}

int64_t pando_txn_deleted(const struct pando_txn_result *result, size_t index)
{
    return index < result->count ? result->responses[index].deleted : 0;
}

void pando_txn_result_free(struct pando_txn_result *result)
{
    if (result == NULL) {
        return;
    }
    for (size_t i = 0; i < result->count; i++) {
        pd_free(result->responses[i].records.records);
    }
    pd_free(result->responses);
    pd_free(result->bytes);
    pd_free(result);
}
