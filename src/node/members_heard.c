#include "node/members_heard.h"

#include "kv/codec.h"

#define ITEM_BYTES_MAX 40u /* four numbers */
#define FLAG_ANSWERS UINT64_C(1)
#define FLAG_BEHIND UINT64_C(2)

void pd_members_heard_put(struct pd_kv_writer *writer, const struct pd_members_heard *heard)
{
    uint8_t room[ITEM_BYTES_MAX];
    struct pd_kv_writer inner = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_write_u64(&inner, heard->node);
    pd_kv_write_u64(&inner,
                    (heard->answers ? FLAG_ANSWERS : 0) | (heard->is_behind ? FLAG_BEHIND : 0));
    pd_kv_write_u64(&inner, heard->silent_ms);
    pd_kv_write_u64(&inner, heard->behind_entries);
    pd_kv_write_u8(writer, 1);
    pd_kv_write_span(writer, pd_kv_span(room, inner.size));
}

void pd_members_heard_put_end(struct pd_kv_writer *writer)
{
    pd_kv_write_u8(writer, 0);
}

bool pd_members_heard_next(struct pd_kv_reader *reader, struct pd_members_heard *heard_out)
{
    struct pd_kv_reader inner;
    const uint8_t *mark = pd_kv_read_raw(reader, 1);
    *heard_out = (struct pd_members_heard){0};
    if (mark == NULL || *mark == 0) {
        return false;
    }
    struct pd_span item = pd_kv_read_span(reader);
    if (reader->is_bad) {
        return false;
    }
    pd_kv_reader_init(&inner, item);
    heard_out->node = pd_kv_read_u64(&inner);
    uint64_t flags = pd_kv_read_u64(&inner);
    heard_out->answers = (flags & FLAG_ANSWERS) != 0;
    heard_out->is_behind = (flags & FLAG_BEHIND) != 0;
    heard_out->silent_ms = pd_kv_read_u64(&inner);
    heard_out->behind_entries = pd_kv_read_u64(&inner);
    reader->is_bad = inner.is_bad || *mark != 1;
    return !reader->is_bad;
}
