#include "kv/answer.h"

#include "kv/codec.h"

void pd_kv_reader_init(struct pd_kv_reader *reader, struct pd_span bytes)
{
    *reader = (struct pd_kv_reader){.bytes = bytes};
}

void pd_kv_answer_head(struct pd_kv_reader *reader, struct pd_kv_answer_head *head_out)
{
    uint32_t error = pd_kv_read_below(reader, PD_KV_ERR_COUNT);
    int64_t revision = pd_kv_read_i64(reader);
    uint32_t kind = pd_kv_read_below(reader, PD_KV_ANSWER_SESSION + 1);
    *head_out = (struct pd_kv_answer_head){
        .error = (enum pd_kv_error)error,
        .revision = revision,
        .kind = (enum pd_kv_answer_kind)kind,
    };
}

/* Whether a list goes on. */
static bool list_goes_on(struct pd_kv_reader *reader)
{
    return pd_kv_read_below(reader, 2) == 1;
}

bool pd_kv_answer_record(struct pd_kv_reader *reader, struct pd_kv_record *record_out)
{
    *record_out = (struct pd_kv_record){0};
    if (!list_goes_on(reader)) {
        return false;
    }
    record_out->key = pd_kv_read_span(reader);
    record_out->create_revision = pd_kv_read_i64(reader);
    record_out->mod_revision = pd_kv_read_i64(reader);
    record_out->version = pd_kv_read_i64(reader);
    record_out->lease = pd_kv_read_i64(reader);
    record_out->value = pd_kv_read_span(reader);
    return !reader->is_bad;
}

void pd_kv_answer_range_tail(struct pd_kv_reader *reader, bool *more_out, int64_t *count_out)
{
    *more_out = pd_kv_read_below(reader, 2) == 1;
    *count_out = pd_kv_read_i64(reader);
}

int64_t pd_kv_answer_delete_tail(struct pd_kv_reader *reader)
{
    return pd_kv_read_i64(reader);
}

void pd_kv_answer_txn(struct pd_kv_reader *reader, bool *succeeded_out,
                      uint32_t *response_count_out)
{
    *succeeded_out = pd_kv_read_below(reader, 2) == 1;
    *response_count_out = pd_kv_read_below(reader, UINT32_MAX);
}

enum pd_kv_answer_kind pd_kv_answer_response(struct pd_kv_reader *reader)
{
    return (enum pd_kv_answer_kind)pd_kv_read_below(reader, PD_KV_ANSWER_TXN + 1);
}

int64_t pd_kv_answer_number(struct pd_kv_reader *reader)
{
    return pd_kv_read_i64(reader);
}

bool pd_kv_answer_key(struct pd_kv_reader *reader, struct pd_span *key_out)
{
    *key_out = pd_kv_span(NULL, 0);
    if (!list_goes_on(reader)) {
        return false;
    }
    *key_out = pd_kv_read_span(reader);
    return !reader->is_bad;
}

bool pd_kv_answer_id(struct pd_kv_reader *reader, int64_t *id_out)
{
    *id_out = 0;
    if (!list_goes_on(reader)) {
        return false;
    }
    *id_out = pd_kv_read_i64(reader);
    return !reader->is_bad;
}

bool pd_kv_answer_is_whole(const struct pd_kv_reader *reader)
{
    return pd_kv_read_is_whole(reader);
}

void pd_kv_answer_put_head(struct pd_kv_writer *writer, const struct pd_kv_answer_head *head)
{
    pd_kv_write_u64(writer, head->error);
    pd_kv_write_i64(writer, head->revision);
    pd_kv_write_u64(writer, head->kind);
}

void pd_kv_answer_put_response(struct pd_kv_writer *writer, enum pd_kv_answer_kind kind)
{
    pd_kv_write_u64(writer, kind);
}

void pd_kv_answer_put_record(struct pd_kv_writer *writer, const struct pd_kv_record *record)
{
    pd_kv_write_u8(writer, 1);
    pd_kv_write_span(writer, record->key);
    pd_kv_write_i64(writer, record->create_revision);
    pd_kv_write_i64(writer, record->mod_revision);
    pd_kv_write_i64(writer, record->version);
    pd_kv_write_i64(writer, record->lease);
    pd_kv_write_span(writer, record->value);
}

void pd_kv_answer_put_key(struct pd_kv_writer *writer, struct pd_span key)
{
    pd_kv_write_u8(writer, 1);
    pd_kv_write_span(writer, key);
}

void pd_kv_answer_put_id(struct pd_kv_writer *writer, int64_t id)
{
    pd_kv_write_u8(writer, 1);
    pd_kv_write_i64(writer, id);
}

void pd_kv_answer_put_end(struct pd_kv_writer *writer)
{
    pd_kv_write_u8(writer, 0);
}

void pd_kv_answer_put_number(struct pd_kv_writer *writer, int64_t number)
{
    pd_kv_write_i64(writer, number);
}
