#include "node/replica_watch.h"

#define VERSION 1

#define REQUEST_NO_PUT 1
#define REQUEST_NO_DELETE 2
#define REQUEST_PREVIOUS 4
#define REQUEST_PROGRESS 8
#define REQUEST_FRAGMENT 16
#define REQUEST_FLAGS_MAX 31

#define EVENT_DELETE 1
#define EVENT_PREVIOUS 2

/* Two marks, five numbers of ten bytes, two sizes; twice; and the flags. */
#define EVENT_HEAD_MAX (2u * (2u + 40u + 20u) + 16u)

static struct pd_span none(void)
{
    return (struct pd_span){NULL, 0};
}

void pd_replica_watch_request_put(struct pd_kv_writer *writer,
                                  const struct pd_replica_watch_request *request)
{
    int64_t flags = (request->no_put ? REQUEST_NO_PUT : 0) |
                    (request->no_delete ? REQUEST_NO_DELETE : 0) |
                    (request->with_previous ? REQUEST_PREVIOUS : 0) |
                    (request->with_progress ? REQUEST_PROGRESS : 0) |
                    (request->may_fragment ? REQUEST_FRAGMENT : 0);
    pd_kv_answer_put_number(writer, VERSION);
    pd_kv_answer_put_number(writer, flags);
    pd_kv_answer_put_number(writer, request->start_revision);
    pd_kv_answer_put_number(writer, request->credit);
    pd_kv_answer_put_key(writer, request->key);
    pd_kv_answer_put_key(writer, request->range_end);
}

enum pd_status pd_replica_watch_request_decode(struct pd_span bytes,
                                               struct pd_replica_watch_request *request_out)
{
    struct pd_kv_reader reader;
    struct pd_replica_watch_request request = {0};
    pd_kv_reader_init(&reader, bytes);
    int64_t version = pd_kv_answer_number(&reader);
    int64_t flags = pd_kv_answer_number(&reader);
    request.start_revision = pd_kv_answer_number(&reader);
    int64_t credit = pd_kv_answer_number(&reader);
    bool has_keys =
        pd_kv_answer_key(&reader, &request.key) && pd_kv_answer_key(&reader, &request.range_end);
    if (version != VERSION || flags < 0 || flags > REQUEST_FLAGS_MAX || credit < 0 ||
        credit > UINT32_MAX || request.start_revision < 0 || !has_keys ||
        !pd_kv_answer_is_whole(&reader)) {
        return PD_ERR_CORRUPT;
    }
    request.credit = (uint32_t)credit;
    request.no_put = (flags & REQUEST_NO_PUT) != 0;
    request.no_delete = (flags & REQUEST_NO_DELETE) != 0;
    request.with_previous = (flags & REQUEST_PREVIOUS) != 0;
    request.with_progress = (flags & REQUEST_PROGRESS) != 0;
    request.may_fragment = (flags & REQUEST_FRAGMENT) != 0;
    *request_out = request;
    return PD_OK;
}

void pd_replica_watch_credit_put(struct pd_kv_writer *writer,
                                 const struct pd_replica_watch_credit *credit)
{
    pd_kv_answer_put_number(writer, VERSION);
    pd_kv_answer_put_number(writer, credit->wants_progress);
    pd_kv_answer_put_number(writer, credit->credit);
}

enum pd_status pd_replica_watch_credit_decode(struct pd_span bytes,
                                              struct pd_replica_watch_credit *credit_out)
{
    struct pd_kv_reader reader;
    pd_kv_reader_init(&reader, bytes);
    int64_t version = pd_kv_answer_number(&reader);
    int64_t wants_progress = pd_kv_answer_number(&reader);
    int64_t credit = pd_kv_answer_number(&reader);
    if (version != VERSION || wants_progress < 0 || wants_progress > 1 || credit < 0 ||
        credit > UINT32_MAX || !pd_kv_answer_is_whole(&reader)) {
        return PD_ERR_CORRUPT;
    }
    *credit_out = (struct pd_replica_watch_credit){.credit = (uint32_t)credit,
                                                   .wants_progress = wants_progress == 1};
    return PD_OK;
}

void pd_replica_watch_head_put(struct pd_kv_writer *writer,
                               const struct pd_replica_watch_head *head)
{
    pd_kv_answer_put_number(writer, VERSION);
    pd_kv_answer_put_number(writer, (int64_t)head->kind);
    pd_kv_answer_put_number(writer, head->is_fragment);
    pd_kv_answer_put_number(writer, head->revision);
    pd_kv_answer_put_number(writer, head->through_revision);
    pd_kv_answer_put_number(writer, head->compact_revision);
    pd_kv_answer_put_key(writer, head->reason);
}

void pd_replica_watch_event_put(struct pd_kv_writer *writer, const struct pd_kv_event *event,
                                bool with_previous)
{
    bool has_previous = with_previous && event->has_previous;
    pd_kv_answer_put_id(writer, (event->is_delete ? EVENT_DELETE : 0) |
                                    (has_previous ? EVENT_PREVIOUS : 0));
    pd_kv_answer_put_record(writer, &event->record);
    if (has_previous) {
        struct pd_kv_record previous = event->previous;
        previous.key = none(); /* it is the record's */
        pd_kv_answer_put_record(writer, &previous);
    }
}

void pd_replica_watch_end_put(struct pd_kv_writer *writer)
{
    pd_kv_answer_put_end(writer);
}

size_t pd_replica_watch_event_bytes_max(const struct pd_kv_event *event)
{
    return EVENT_HEAD_MAX + event->record.key.size + event->record.value.size +
           (event->has_previous ? event->previous.value.size : 0);
}

void pd_replica_watch_head_get(struct pd_kv_reader *reader, struct pd_replica_watch_head *head_out)
{
    *head_out = (struct pd_replica_watch_head){0};
    int64_t version = pd_kv_answer_number(reader);
    int64_t kind = pd_kv_answer_number(reader);
    int64_t is_fragment = pd_kv_answer_number(reader);
    head_out->revision = pd_kv_answer_number(reader);
    head_out->through_revision = pd_kv_answer_number(reader);
    head_out->compact_revision = pd_kv_answer_number(reader);
    bool has_reason = pd_kv_answer_key(reader, &head_out->reason);
    if (version != VERSION || kind < 0 || kind > PD_REPLICA_WATCH_CANCELLED || is_fragment < 0 ||
        is_fragment > 1 || !has_reason) {
        reader->is_bad = true;
        *head_out = (struct pd_replica_watch_head){0};
        return;
    }
    head_out->kind = (enum pd_replica_watch_kind)kind;
    head_out->is_fragment = is_fragment == 1;
}

bool pd_replica_watch_event_get(struct pd_kv_reader *reader, struct pd_kv_event *event_out)
{
    int64_t flags;
    *event_out = (struct pd_kv_event){0};
    if (!pd_kv_answer_id(reader, &flags)) {
        return false;
    }
    bool is_sound = flags >= 0 && flags <= (EVENT_DELETE | EVENT_PREVIOUS) &&
                    pd_kv_answer_record(reader, &event_out->record);
    event_out->is_delete = (flags & EVENT_DELETE) != 0;
    event_out->has_previous = (flags & EVENT_PREVIOUS) != 0;
    event_out->previous_known = event_out->has_previous;
    if (is_sound && event_out->has_previous) {
        is_sound =
            pd_kv_answer_record(reader, &event_out->previous) && event_out->previous.key.size == 0;
        event_out->previous.key = event_out->record.key;
    }
    if (!is_sound) {
        reader->is_bad = true;
        *event_out = (struct pd_kv_event){0};
    }
    return is_sound;
}
