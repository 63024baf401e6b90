#include "node/snapshot_format.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "base/mutant.h"

#define CRC_SIZE 4u
#define HEAD_FIXED 24u
#define END_BODY (PD_SNAPSHOT_END_SIZE - PD_SNAPSHOT_CHUNK_HEAD_SIZE)
#define FLAG_FOR_RAFT 1u

_Static_assert(END_BODY == 48, "an end is six numbers");

void pd_snapshot_chain_init(struct pd_snapshot_chain *chain, const struct pd_snapshot_id *id)
{
    *chain = (struct pd_snapshot_chain){.id = *id, .link = PD_SNAPSHOT_VERSION};
}

static uint32_t checksum(const struct pd_snapshot_chain *chain, const uint8_t *bytes, size_t size)
{
    uint8_t link[8];
    pd_put_u64(link, chain->link);
    return pd_crc32c(pd_crc32c(0, link, sizeof link), bytes + CRC_SIZE, size - CRC_SIZE);
}

/* The chunk's body is there: its head, its checksum, and the chain moves on. */
static void seal(struct pd_snapshot_chain *chain, enum pd_snapshot_kind kind, uint8_t *bytes,
                 size_t body_size)
{
    pd_assert(!chain->is_ended);
    pd_assert(body_size <= UINT32_MAX);
    bytes[4] = PD_SNAPSHOT_VERSION;
    bytes[5] = (uint8_t)kind;
    pd_put_u16(bytes + 6, 0);
    pd_put_u32(bytes + 8, (uint32_t)body_size);
    pd_put_u32(bytes + 12, chain->id.group_id);
    pd_put_u64(bytes + 16, chain->id.cluster_id);
    pd_put_u64(bytes + 24, chain->id.transfer);
    pd_put_u64(bytes + 32, chain->id.index);
    pd_put_u64(bytes + 40, chain->number);
    size_t size = PD_SNAPSHOT_CHUNK_HEAD_SIZE + body_size;
    pd_put_u32(bytes, checksum(chain, bytes, size));
    chain->link = pd_hash_bytes(chain->link, bytes, size);
    chain->number++;
    chain->is_ended = kind == PD_SNAPSHOT_END;
}

size_t pd_snapshot_head_size(const struct pd_snapshot_head *head)
{
    return PD_SNAPSHOT_CHUNK_HEAD_SIZE + HEAD_FIXED + head->conf.size + head->meta.size;
}

void pd_snapshot_put_head(struct pd_snapshot_chain *chain, uint8_t *bytes,
                          const struct pd_snapshot_head *head)
{
    pd_assert(chain->number == 0);
    uint8_t *body = bytes + PD_SNAPSHOT_CHUNK_HEAD_SIZE;
    pd_put_u64(body, head->term);
    pd_put_u64(body + 8, head->sender_term);
    pd_put_u32(body + 16, (uint32_t)head->conf.size);
    pd_put_u32(body + 20, (uint32_t)head->meta.size);
    uint8_t *to = body + HEAD_FIXED;
    if (head->conf.size > 0) {
        memcpy(to, head->conf.bytes, head->conf.size);
    }
    if (head->meta.size > 0) {
        memcpy(to + head->conf.size, head->meta.bytes, head->meta.size);
    }
    seal(chain, PD_SNAPSHOT_HEAD, bytes, HEAD_FIXED + head->conf.size + head->meta.size);
}

size_t pd_snapshot_put_row(uint8_t *rows, size_t size, struct pd_span key, struct pd_span value)
{
    uint8_t *to = rows + size;
    pd_put_u32(to, (uint32_t)key.size);
    pd_put_u32(to + 4, (uint32_t)value.size);
    memcpy(to + PD_SNAPSHOT_ROW_HEAD_SIZE, key.bytes, key.size);
    if (value.size > 0) {
        memcpy(to + PD_SNAPSHOT_ROW_HEAD_SIZE + key.size, value.bytes, value.size);
    }
    return size + PD_SNAPSHOT_ROW_HEAD_SIZE + key.size + value.size;
}

void pd_snapshot_seal_rows(struct pd_snapshot_chain *chain, uint8_t *bytes, uint32_t count,
                           size_t size)
{
    pd_assert(chain->number > 0);
    pd_assert(count > 0);
    pd_put_u32(bytes + PD_SNAPSHOT_CHUNK_HEAD_SIZE, count);
    seal(chain, PD_SNAPSHOT_ROWS, bytes, 4 + size);
    chain->rows += count;
    chain->bytes += size;
}

void pd_snapshot_put_end(struct pd_snapshot_chain *chain, uint8_t *bytes,
                         const struct pd_snapshot_end *end)
{
    pd_assert(chain->number > 0);
    uint8_t *body = bytes + PD_SNAPSHOT_CHUNK_HEAD_SIZE;
    pd_put_u64(body, chain->rows);
    pd_put_u64(body + 8, chain->bytes);
    pd_put_u64(body + 16, chain->link);
    pd_put_u32(body + 24, end->is_for_raft ? FLAG_FOR_RAFT : 0);
    pd_put_u32(body + 28, 0);
    pd_put_u64(body + 32, end->raft_term);
    pd_put_u64(body + 40, end->raft_session);
    seal(chain, PD_SNAPSHOT_END, bytes, END_BODY);
}

/* -- Reading ----------------------------------------------------------------------------------- */

enum pd_status pd_snapshot_peek(struct pd_span bytes, struct pd_snapshot_peek *peek_out)
{
    const uint8_t *from = bytes.bytes;
    if (bytes.size < PD_SNAPSHOT_CHUNK_HEAD_SIZE || from[4] != PD_SNAPSHOT_VERSION ||
        from[5] < PD_SNAPSHOT_HEAD || from[5] > PD_SNAPSHOT_END || pd_get_u16(from + 6) != 0 ||
        pd_get_u32(from + 8) != bytes.size - PD_SNAPSHOT_CHUNK_HEAD_SIZE) {
        return PD_ERR_CORRUPT;
    }
    *peek_out = (struct pd_snapshot_peek){
        .kind = (enum pd_snapshot_kind)from[5],
        .id = {.group_id = pd_get_u32(from + 12),
               .cluster_id = pd_get_u64(from + 16),
               .transfer = pd_get_u64(from + 24),
               .index = pd_get_u64(from + 32)},
        .number = pd_get_u64(from + 40),
    };
    return PD_OK;
}

static bool is_of_chain(const struct pd_snapshot_chain *chain, const struct pd_snapshot_peek *peek)
{
    /* The head comes first and nothing else does. */
    return !chain->is_ended && peek->number == chain->number &&
           (peek->kind == PD_SNAPSHOT_HEAD) == (chain->number == 0) &&
           peek->id.group_id == chain->id.group_id && peek->id.cluster_id == chain->id.cluster_id &&
           peek->id.transfer == chain->id.transfer && peek->id.index == chain->id.index;
}

static bool take_head(struct pd_span body, struct pd_snapshot_head *head_out)
{
    if (body.size < HEAD_FIXED) {
        return false;
    }
    uint64_t conf_size = pd_get_u32(body.bytes + 16);
    uint64_t meta_size = pd_get_u32(body.bytes + 20);
    if (HEAD_FIXED + conf_size + meta_size != body.size) {
        return false;
    }
    const uint8_t *from = body.bytes + HEAD_FIXED;
    *head_out = (struct pd_snapshot_head){
        .term = pd_get_u64(body.bytes),
        .sender_term = pd_get_u64(body.bytes + 8),
        .conf = {from, (size_t)conf_size},
        .meta = {from + conf_size, (size_t)meta_size},
    };
    return true;
}

/* The row at `at`. false: there is no whole row. */
static bool row_at(struct pd_span rows, size_t at, struct pd_span *key_out,
                   struct pd_span *value_out)
{
    if (rows.size - at < PD_SNAPSHOT_ROW_HEAD_SIZE) {
        return false;
    }
    uint64_t key_size = pd_get_u32(rows.bytes + at);
    uint64_t value_size = pd_get_u32(rows.bytes + at + 4);
    if (key_size + value_size > rows.size - at - PD_SNAPSHOT_ROW_HEAD_SIZE) {
        return false;
    }
    const uint8_t *key = rows.bytes + at + PD_SNAPSHOT_ROW_HEAD_SIZE;
    *key_out = (struct pd_span){key, (size_t)key_size};
    *value_out = (struct pd_span){key + key_size, (size_t)value_size};
    return true;
}

static bool is_before(struct pd_span left, struct pd_span right)
{
    size_t least = left.size < right.size ? left.size : right.size;
    int order = least == 0 ? 0 : memcmp(left.bytes, right.bytes, least);
    return order < 0 || (order == 0 && left.size < right.size);
}

static bool take_rows(struct pd_span body, struct pd_snapshot_chunk *chunk)
{
    if (body.size < 4) {
        return false;
    }
    chunk->row_count = pd_get_u32(body.bytes);
    chunk->rows = (struct pd_span){body.bytes + 4, body.size - 4};
    struct pd_span last = {NULL, 0};
    struct pd_span key = {NULL, 0};
    struct pd_span value = {NULL, 0};
    uint32_t count = 0;
    size_t at = 0;
    while (at < chunk->rows.size) {
        if (!row_at(chunk->rows, at, &key, &value) || !is_before(last, key)) {
            return false; /* an empty key is not before any: no store has one */
        }
        at += PD_SNAPSHOT_ROW_HEAD_SIZE + key.size + value.size;
        last = key;
        count++;
    }
    return count > 0 && count == chunk->row_count;
}

static bool take_end(const struct pd_snapshot_chain *chain, struct pd_span body,
                     struct pd_snapshot_end *end_out)
{
    if (body.size != END_BODY) {
        return false;
    }
    uint32_t flags = pd_get_u32(body.bytes + 24);
    bool is_whole = pd_get_u64(body.bytes) == chain->rows &&
                    pd_get_u64(body.bytes + 8) == chain->bytes &&
                    pd_get_u64(body.bytes + 16) == chain->link;
    *end_out = (struct pd_snapshot_end){.is_for_raft = flags == FLAG_FOR_RAFT,
                                        .raft_term = pd_get_u64(body.bytes + 32),
                                        .raft_session = pd_get_u64(body.bytes + 40)};
    return is_whole && flags <= FLAG_FOR_RAFT && pd_get_u32(body.bytes + 28) == 0;
}

enum pd_status pd_snapshot_take(struct pd_snapshot_chain *chain, struct pd_span bytes,
                                struct pd_snapshot_chunk *chunk_out)
{
    struct pd_snapshot_peek peek;
    if (pd_snapshot_peek(bytes, &peek) != PD_OK || !is_of_chain(chain, &peek)) {
        return PD_ERR_CORRUPT;
    }
    if (pd_get_u32(bytes.bytes) != checksum(chain, bytes.bytes, bytes.size) &&
        !PD_MUTANT(NODE_CHUNK_CRC_IGNORED)) {
        return PD_ERR_CORRUPT;
    }
    struct pd_span body = {bytes.bytes + PD_SNAPSHOT_CHUNK_HEAD_SIZE,
                           bytes.size - PD_SNAPSHOT_CHUNK_HEAD_SIZE};
    struct pd_snapshot_chunk chunk = {.kind = peek.kind};
    bool is_sound = false;
    switch (peek.kind) {
    case PD_SNAPSHOT_HEAD:
        is_sound = take_head(body, &chunk.head);
        break;
    case PD_SNAPSHOT_ROWS:
        is_sound = take_rows(body, &chunk);
        break;
    case PD_SNAPSHOT_END:
        is_sound = take_end(chain, body, &chunk.end) || PD_MUTANT(NODE_CHUNK_CRC_IGNORED);
        break;
    }
    if (!is_sound) {
        return PD_ERR_CORRUPT;
    }
    chain->link = pd_hash_bytes(chain->link, bytes.bytes, bytes.size);
    chain->number++;
    chain->rows += chunk.row_count;
    chain->bytes += chunk.rows.size;
    chain->is_ended = peek.kind == PD_SNAPSHOT_END;
    *chunk_out = chunk;
    return PD_OK;
}

bool pd_snapshot_row(const struct pd_snapshot_chunk *chunk, size_t *at, struct pd_span *key_out,
                     struct pd_span *value_out)
{
    if (*at == chunk->rows.size || !row_at(chunk->rows, *at, key_out, value_out)) {
        return false;
    }
    *at += PD_SNAPSHOT_ROW_HEAD_SIZE + key_out->size + value_out->size;
    return true;
}
