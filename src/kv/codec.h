/* codec - the small readers and writers under command, answer and rows. Pure; private to kv.
 *
 * Model  A writer that has no more room becomes full and stays so; a reader that meets what it
 *        cannot take becomes bad and reads zeros. So a sequence is checked once, at its end. */
#ifndef PD_KV_CODEC_H
#define PD_KV_CODEC_H

#include <string.h>

#include "base/span.h"
#include "base/varint.h"
#include "kv/answer.h"
#include "kv/command.h"

static inline struct pd_span pd_kv_span(const void *bytes, size_t size)
{
    return (struct pd_span){bytes, size};
}

/* Bytewise order, the shorter first. */
static inline int pd_kv_span_compare(struct pd_span a, struct pd_span b)
{
    size_t least = a.size < b.size ? a.size : b.size;
    int order = least == 0 ? 0 : memcmp(a.bytes, b.bytes, least);
    if (order != 0) {
        return order;
    }
    return a.size < b.size ? -1 : a.size > b.size;
}

static inline bool pd_kv_span_equal(struct pd_span a, struct pd_span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.bytes, b.bytes, a.size) == 0);
}

static inline void pd_kv_write_raw(struct pd_kv_writer *writer, const void *bytes, size_t size)
{
    if (writer->is_full || size > writer->bytes_max - writer->size) {
        writer->is_full = true;
        return;
    }
    if (size > 0) {
        memcpy(writer->bytes + writer->size, bytes, size);
        writer->size += size;
    }
}

static inline void pd_kv_write_u64(struct pd_kv_writer *writer, uint64_t value)
{
    uint8_t room[PD_VARINT_SIZE_MAX];
    pd_kv_write_raw(writer, room, pd_varint_put(room, value));
}

static inline void pd_kv_write_i64(struct pd_kv_writer *writer, int64_t value)
{
    pd_kv_write_u64(writer, (uint64_t)value);
}

static inline void pd_kv_write_u8(struct pd_kv_writer *writer, uint8_t value)
{
    pd_kv_write_raw(writer, &value, 1);
}

static inline void pd_kv_write_span(struct pd_kv_writer *writer, struct pd_span span)
{
    pd_kv_write_u64(writer, span.size);
    pd_kv_write_raw(writer, span.bytes, span.size);
}

static inline uint64_t pd_kv_read_u64(struct pd_kv_reader *reader)
{
    uint64_t value = 0;
    uint32_t used = 0;
    if (reader->is_bad || pd_varint_get(reader->bytes.bytes + reader->at,
                                        reader->bytes.size - reader->at, &value, &used) != PD_OK) {
        reader->is_bad = true;
        return 0;
    }
    reader->at += used;
    return value;
}

static inline int64_t pd_kv_read_i64(struct pd_kv_reader *reader)
{
    return (int64_t)pd_kv_read_u64(reader);
}

/* A number that must be below `end`. */
static inline uint32_t pd_kv_read_below(struct pd_kv_reader *reader, uint32_t end)
{
    uint64_t value = pd_kv_read_u64(reader);
    if (value >= end) {
        reader->is_bad = true;
        return 0;
    }
    return (uint32_t)value;
}

static inline const uint8_t *pd_kv_read_raw(struct pd_kv_reader *reader, size_t size)
{
    if (reader->is_bad || size > reader->bytes.size - reader->at) {
        reader->is_bad = true;
        return NULL;
    }
    const uint8_t *bytes = reader->bytes.bytes + reader->at;
    reader->at += size;
    return bytes;
}

static inline struct pd_span pd_kv_read_span(struct pd_kv_reader *reader)
{
    uint64_t size = pd_kv_read_u64(reader);
    if (reader->is_bad || size > reader->bytes.size - reader->at) {
        reader->is_bad = true;
        return pd_kv_span(NULL, 0);
    }
    return pd_kv_span(pd_kv_read_raw(reader, (size_t)size), (size_t)size);
}

static inline bool pd_kv_read_is_whole(const struct pd_kv_reader *reader)
{
    return !reader->is_bad && reader->at == reader->bytes.size;
}

/* Whether `key` lies in [low, range_end) with etcd's meaning of range_end. */
static inline bool pd_kv_range_end_is_open(struct pd_span range_end)
{
    return range_end.size == 1 && range_end.bytes[0] == 0;
}

static inline bool pd_kv_range_contains(struct pd_span low, struct pd_span range_end,
                                        struct pd_span key)
{
    if (range_end.size == 0) {
        return pd_kv_span_equal(low, key);
    }
    return pd_kv_span_compare(low, key) <= 0 &&
           (pd_kv_range_end_is_open(range_end) || pd_kv_span_compare(key, range_end) < 0);
}

#endif
