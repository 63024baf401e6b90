#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "kv/internal.h"

static void put_be64(uint8_t *to, uint64_t value)
{
    for (int i = 7; i >= 0; i--) {
        to[i] = (uint8_t)value;
        value >>= 8;
    }
}

uint64_t pd_kv_get_be64(const uint8_t *from)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) {
        value = value << 8 | from[i];
    }
    return value;
}

static void put_be32(uint8_t *to, uint32_t value)
{
    for (int i = 3; i >= 0; i--) {
        to[i] = (uint8_t)value;
        value >>= 8;
    }
}

/* A zero byte becomes 00 ff and the end 00 01: so no key is another's prefix, and order is kept. */
size_t pd_kv_escape(uint8_t *to, struct pd_span key)
{
    size_t size = 0;
    for (size_t i = 0; i < key.size; i++) {
        to[size++] = key.bytes[i];
        if (key.bytes[i] == 0) {
            to[size++] = 0xff;
        }
    }
    to[size++] = 0;
    to[size++] = 1;
    return size;
}

size_t pd_kv_row_group_size(struct pd_span row)
{
    if (row.size == 0 || row.bytes[0] != 'x') {
        return 0;
    }
    size_t at = 1;
    while (at + 1 < row.size) {
        const uint8_t *zero = memchr(row.bytes + at, 0, row.size - at - 1);
        if (zero == NULL || (zero[1] != 1 && zero[1] != 0xff)) {
            return 0;
        }
        at = (size_t)(zero - row.bytes) + 2;
        if (zero[1] == 1) {
            return at;
        }
    }
    return 0;
}

void pd_kv_place_set(struct pd_kv_place *place, struct pd_span bytes)
{
    if (bytes.size > 0) {
        memmove(place->bytes, bytes.bytes, bytes.size);
    }
    place->size = bytes.size;
}

void pd_kv_x_prefix(struct pd_kv_place *place, struct pd_span key)
{
    place->bytes[0] = 'x';
    place->size = 1 + pd_kv_escape(place->bytes + 1, key);
}

void pd_kv_x_key(struct pd_kv_place *place, struct pd_span key, int64_t revision, uint32_t sub)
{
    pd_kv_x_prefix(place, key);
    put_be64(place->bytes + place->size, ~(uint64_t)revision);
    put_be32(place->bytes + place->size + 8, ~sub);
    place->size += PD_KV_X_TAIL;
}

void pd_kv_h_key(struct pd_kv_place *place, int64_t revision, uint32_t sub)
{
    place->bytes[0] = 'h';
    put_be64(place->bytes + 1, (uint64_t)revision);
    put_be32(place->bytes + 9, sub);
    place->size = 13;
}

void pd_kv_id_key(struct pd_kv_place *place, uint8_t letter, uint64_t id)
{
    place->bytes[0] = letter;
    put_be64(place->bytes + 1, id);
    place->size = 9;
}

void pd_kv_attachment_key(struct pd_kv_place *place, int64_t lease, struct pd_span key)
{
    pd_kv_id_key(place, 'a', (uint64_t)lease);
    memcpy(place->bytes + place->size, key.bytes, key.size);
    place->size += key.size;
}

size_t pd_kv_h_value_head(uint8_t *to, const struct pd_kv_trace *trace)
{
    size_t size = pd_varint_put(to, trace->is_delete);
    size += pd_varint_put(to + size, (uint64_t)trace->replaced_revision);
    size += pd_varint_put(to + size, trace->replaced_sub);
    return size + pd_varint_put(to + size, (uint64_t)trace->left_lease);
}

bool pd_kv_h_parse(struct pd_span key, struct pd_span value, struct pd_kv_trace *trace_out)
{
    if (key.size != 13 || key.bytes[0] != 'h') {
        return false;
    }
    struct pd_kv_reader reader;
    pd_kv_reader_init(&reader, value);
    *trace_out = (struct pd_kv_trace){
        .revision = (int64_t)pd_kv_get_be64(key.bytes + 1),
        .sub = (uint32_t)(pd_kv_get_be64(key.bytes + 5) & UINT32_MAX),
    };
    trace_out->is_delete = pd_kv_read_below(&reader, 2) == 1;
    trace_out->replaced_revision = pd_kv_read_i64(&reader);
    trace_out->replaced_sub = pd_kv_read_below(&reader, UINT32_MAX);
    trace_out->left_lease = pd_kv_read_i64(&reader);
    trace_out->key = pd_kv_span(value.bytes + reader.at, value.size - reader.at);
    return !reader.is_bad && trace_out->key.size > 0;
}

static bool unescape(struct pd_span escaped, struct pd_kv_place *user)
{
    user->size = 0;
    for (size_t i = 0; i < escaped.size; i++) {
        user->bytes[user->size++] = escaped.bytes[i];
        if (escaped.bytes[i] == 0) {
            i++;
            if (i == escaped.size || escaped.bytes[i] != 0xff) {
                return false;
            }
        }
    }
    return true;
}

bool pd_kv_x_parse(struct pd_span key, struct pd_span value, struct pd_kv_place *user,
                   struct pd_kv_row *row_out)
{
    *row_out = (struct pd_kv_row){0};
    if (key.size < 1 + 3 + PD_KV_X_TAIL || key.bytes[0] != 'x') {
        return false;
    }
    const uint8_t *tail = key.bytes + key.size - PD_KV_X_TAIL;
    if (tail[-2] != 0 || tail[-1] != 1 ||
        !unescape(pd_kv_span(key.bytes + 1, key.size - 3 - PD_KV_X_TAIL), user)) {
        return false;
    }
    struct pd_kv_record *record = &row_out->found.record;
    record->key = pd_kv_place_span(user);
    record->mod_revision = (int64_t)~pd_kv_get_be64(tail);
    row_out->found.sub = ~(uint32_t)(pd_kv_get_be64(tail + 4) & UINT32_MAX);
    struct pd_kv_reader reader;
    pd_kv_reader_init(&reader, value);
    record->version = pd_kv_read_i64(&reader);
    if (record->version == 0) {
        row_out->found.has_value = true;
        return pd_kv_read_is_whole(&reader);
    }
    record->create_revision = pd_kv_read_i64(&reader);
    record->lease = pd_kv_read_i64(&reader);
    const uint8_t *hashes = pd_kv_read_raw(&reader, 16);
    if (hashes == NULL) {
        return false;
    }
    row_out->found.value_hash[0] = pd_get_u64(hashes);
    row_out->found.value_hash[1] = pd_get_u64(hashes + 8);
    row_out->found.has_value = true;
    record->value = pd_kv_span(value.bytes + reader.at, value.size - reader.at);
    return true;
}

size_t pd_kv_x_value_head(uint8_t *to, const struct pd_kv_found *found)
{
    size_t size = pd_varint_put(to, (uint64_t)found->record.version);
    if (found->record.version != 0) {
        size += pd_varint_put(to + size, (uint64_t)found->record.create_revision);
        size += pd_varint_put(to + size, (uint64_t)found->record.lease);
        pd_put_u64(to + size, found->value_hash[0]);
        pd_put_u64(to + size + 8, found->value_hash[1]);
        size += 16;
    }
    return size;
}

void pd_kv_value_hash(struct pd_span value, uint64_t hash_out[2])
{
    hash_out[0] = pd_hash_bytes(0x70616e646f2d7631, value.bytes, value.size);
    hash_out[1] = pd_hash_bytes(0x70616e646f2d7632, value.bytes, value.size);
}

struct pd_kv_hash pd_kv_record_hash(const struct pd_kv_found *found)
{
    const struct pd_kv_record *record = &found->record;
    struct pd_kv_hash hash;
    uint64_t *lanes[2] = {&hash.low, &hash.high};
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t lane = pd_hash_bytes(0x6b6579 + i, record->key.bytes, record->key.size);
        lane = pd_hash_u64(lane, (uint64_t)record->create_revision);
        lane = pd_hash_u64(lane, (uint64_t)record->mod_revision);
        lane = pd_hash_u64(lane, (uint64_t)record->version);
        lane = pd_hash_u64(lane, (uint64_t)record->lease);
        *lanes[i] = pd_hash_u64(lane, found->value_hash[i]);
    }
    return hash;
}

struct pd_kv_hash pd_kv_bytes_hash(struct pd_span key, struct pd_span value)
{
    return (struct pd_kv_hash){
        .low = pd_hash_bytes(pd_hash_bytes(11, key.bytes, key.size), value.bytes, value.size),
        .high = pd_hash_bytes(pd_hash_bytes(13, key.bytes, key.size), value.bytes, value.size),
    };
}

void pd_kv_hash_add(struct pd_kv_hash *hash, struct pd_kv_hash other)
{
    uint64_t low = hash->low + other.low;
    hash->high += other.high + (low < hash->low);
    hash->low = low;
}

void pd_kv_hash_subtract(struct pd_kv_hash *hash, struct pd_kv_hash other)
{
    uint64_t borrow = hash->low < other.low;
    hash->low -= other.low;
    hash->high -= other.high + borrow;
}

bool pd_kv_page_row(const struct pd_store_page *page, size_t *at, struct pd_span *key_out,
                    struct pd_span *value_out, bool *is_bad)
{
    if (*at == page->size) {
        return false;
    }
    if (page->size - *at < 8) {
        *is_bad = true;
        return false;
    }
    uint64_t key_size = pd_get_u32(page->bytes + *at);
    uint64_t value_size = pd_get_u32(page->bytes + *at + 4);
    if (key_size + value_size > page->size - *at - 8) {
        *is_bad = true;
        return false;
    }
    *key_out = pd_kv_span(page->bytes + *at + 8, (size_t)key_size);
    *value_out = pd_kv_span(page->bytes + *at + 8 + key_size, (size_t)value_size);
    *at += 8 + (size_t)(key_size + value_size);
    return true;
}
