#include "gateway/kv_response.h"

#include "base/assert.h"

/* A txn whose responses are being read. */
struct frame {
    Etcdserverpb__TxnResponse *txn;
    size_t count;
};

/* The headers of inner responses, as etcd has them: a revision alone, the one before the
 * transaction until its first write, its own from there on; and none of a transaction's own. */
struct inner {
    Etcdserverpb__ResponseHeader *before;
    Etcdserverpb__ResponseHeader *after;
    Etcdserverpb__ResponseHeader *empty;
    bool has_written;
};

static void *make(struct pd_arena *arena, const ProtobufCMessageDescriptor *descriptor)
{
    ProtobufCMessage *message = pd_arena_take(arena, descriptor->sizeof_message);
    if (message != NULL) {
        protobuf_c_message_init(descriptor, message);
    }
    return message;
}

static ProtobufCBinaryData bytes_of(struct pd_span span)
{
    return (ProtobufCBinaryData){.len = span.size, .data = (uint8_t *)(uintptr_t)span.bytes};
}

void pd_kv_response_fill(Mvccpb__KeyValue *kv, const struct pd_kv_record *record)
{
    *kv = (Mvccpb__KeyValue)MVCCPB__KEY_VALUE__INIT;
    kv->key = bytes_of(record->key);
    kv->value = bytes_of(record->value);
    kv->create_revision = record->create_revision;
    kv->mod_revision = record->mod_revision;
    kv->version = record->version;
    kv->lease = record->lease;
}

/* A whole list. False: no room. */
static bool read_records(struct pd_arena *arena, struct pd_kv_reader *reader, size_t *count_out,
                         Mvccpb__KeyValue ***kvs_out)
{
    struct pd_kv_reader ahead = *reader;
    struct pd_kv_record record;
    size_t count = 0;
    while (pd_kv_answer_record(&ahead, &record)) {
        count++;
    }
    *count_out = count;
    *kvs_out = NULL;
    if (count == 0) {
        return !pd_kv_answer_record(reader, &record);
    }
    Mvccpb__KeyValue *kvs = pd_arena_take(arena, count * sizeof *kvs);
    Mvccpb__KeyValue **list = pd_arena_take(arena, count * sizeof *list);
    if (kvs == NULL || list == NULL) {
        return false;
    }
    for (size_t i = 0; pd_kv_answer_record(reader, &record); i++) {
        pd_kv_response_fill(&kvs[i], &record);
        list[i] = &kvs[i];
    }
    *kvs_out = list;
    return true;
}

Etcdserverpb__RangeResponse *pd_kv_response_range(struct pd_arena *arena,
                                                  struct pd_kv_reader *reader,
                                                  Etcdserverpb__ResponseHeader *header)
{
    Etcdserverpb__RangeResponse *response = make(arena, &etcdserverpb__range_response__descriptor);
    if (response == NULL || header == NULL ||
        !read_records(arena, reader, &response->n_kvs, &response->kvs)) {
        return NULL;
    }
    response->header = header;
    bool more = false;
    pd_kv_answer_range_tail(reader, &more, &response->count);
    response->more = more;
    return response;
}

Etcdserverpb__PutResponse *pd_kv_response_put(struct pd_arena *arena, struct pd_kv_reader *reader,
                                              Etcdserverpb__ResponseHeader *header)
{
    Etcdserverpb__PutResponse *response = make(arena, &etcdserverpb__put_response__descriptor);
    size_t count = 0;
    Mvccpb__KeyValue **previous = NULL;
    if (response == NULL || header == NULL || !read_records(arena, reader, &count, &previous)) {
        return NULL;
    }
    response->header = header;
    response->prev_kv = count == 0 ? NULL : previous[0];
    return response;
}

Etcdserverpb__DeleteRangeResponse *pd_kv_response_delete(struct pd_arena *arena,
                                                         struct pd_kv_reader *reader,
                                                         Etcdserverpb__ResponseHeader *header)
{
    Etcdserverpb__DeleteRangeResponse *response =
        make(arena, &etcdserverpb__delete_range_response__descriptor);
    if (response == NULL || header == NULL ||
        !read_records(arena, reader, &response->n_prev_kvs, &response->prev_kvs)) {
        return NULL;
    }
    response->header = header;
    response->deleted = pd_kv_answer_delete_tail(reader);
    return response;
}

/* -- Transactions ------------------------------------------------------------------------------ */

/* A txn's head, with room for its responses. */
static Etcdserverpb__TxnResponse *read_txn(struct pd_arena *arena, struct pd_kv_reader *reader,
                                           Etcdserverpb__ResponseHeader *header,
                                           struct frame *frame)
{
    Etcdserverpb__TxnResponse *response = make(arena, &etcdserverpb__txn_response__descriptor);
    bool succeeded = false;
    uint32_t count = 0;
    pd_kv_answer_txn(reader, &succeeded, &count);
    /* Each takes two bytes at least: what claims more is not sound. */
    if (response == NULL || header == NULL || count > reader->bytes.size) {
        return NULL;
    }
    response->header = header;
    response->succeeded = succeeded;
    response->responses =
        count == 0 ? NULL : pd_arena_take(arena, count * sizeof(Etcdserverpb__ResponseOp *));
    *frame = (struct frame){.txn = response, .count = count};
    return count > 0 && response->responses == NULL ? NULL : response;
}

static Etcdserverpb__ResponseHeader *header_now(const struct inner *inner)
{
    return inner->has_written ? inner->after : inner->before;
}

/* The next response of a txn; a txn among them is left for the caller to enter. */
static Etcdserverpb__ResponseOp *read_response(struct pd_arena *arena, struct pd_kv_reader *reader,
                                               struct inner *inner, struct frame *entered)
{
    Etcdserverpb__ResponseOp *op = make(arena, &etcdserverpb__response_op__descriptor);
    if (op == NULL) {
        return NULL;
    }
    switch (pd_kv_answer_response(reader)) {
    case PD_KV_ANSWER_RANGE:
        op->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE;
        op->response_range = pd_kv_response_range(arena, reader, header_now(inner));
        return op->response_range == NULL ? NULL : op;
    case PD_KV_ANSWER_PUT:
        inner->has_written = true;
        op->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT;
        op->response_put = pd_kv_response_put(arena, reader, inner->after);
        return op->response_put == NULL ? NULL : op;
    case PD_KV_ANSWER_DELETE:
        op->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE;
        op->response_delete_range = pd_kv_response_delete(arena, reader, inner->after);
        if (op->response_delete_range == NULL) {
            return NULL;
        }
        inner->has_written = inner->has_written || op->response_delete_range->deleted > 0;
        op->response_delete_range->header = header_now(inner);
        return op;
    case PD_KV_ANSWER_TXN:
        op->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN;
        op->response_txn = read_txn(arena, reader, inner->empty, entered);
        return op->response_txn == NULL ? NULL : op;
    case PD_KV_ANSWER_NONE:
    case PD_KV_ANSWER_LEASE:
    case PD_KV_ANSWER_LEASE_KEYS:
    case PD_KV_ANSWER_LEASES:
    case PD_KV_ANSWER_SESSION:
        break;
    }
    reader->is_bad = true;
    return op;
}

/* Every response of the txn in frames[0], nested ones inline. false: no room. */
static bool read_responses(struct pd_arena *arena, struct pd_kv_reader *reader, struct inner *inner,
                           struct frame frames[PD_KV_TXN_DEPTH_MAX])
{
    uint32_t depth = 1;
    while (depth > 0 && !reader->is_bad) {
        struct frame *frame = &frames[depth - 1];
        if (frame->txn->n_responses == frame->count) {
            depth--;
            continue;
        }
        struct frame entered = {0};
        Etcdserverpb__ResponseOp *op = read_response(arena, reader, inner, &entered);
        if (op == NULL) {
            return false;
        }
        pd_assert(frame->txn->responses != NULL); /* its count is not 0 */
        frame->txn->responses[frame->txn->n_responses++] = op;
        if (entered.txn != NULL && depth < PD_KV_TXN_DEPTH_MAX) {
            frames[depth++] = entered;
        } else if (entered.txn != NULL) {
            reader->is_bad = true;
        }
    }
    return true;
}

Etcdserverpb__TxnResponse *pd_kv_response_txn(struct pd_arena *arena, struct pd_kv_reader *reader,
                                              Etcdserverpb__ResponseHeader *header)
{
    struct frame frames[PD_KV_TXN_DEPTH_MAX];
    struct inner inner = {
        .before = make(arena, &etcdserverpb__response_header__descriptor),
        .after = make(arena, &etcdserverpb__response_header__descriptor),
        .empty = make(arena, &etcdserverpb__response_header__descriptor),
    };
    Etcdserverpb__TxnResponse *response = read_txn(arena, reader, header, &frames[0]);
    if (inner.before == NULL || inner.after == NULL || inner.empty == NULL || response == NULL ||
        !read_responses(arena, reader, &inner, frames)) {
        return NULL;
    }
    inner.after->revision = header->revision;
    inner.before->revision = header->revision - (inner.has_written ? 1 : 0);
    return response;
}
