/* The snapshot's chunks from any bytes: nothing outside of them is read, what is accepted is
 * encoded alike again, and a chain never ends but with totals that fit. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "node/snapshot_format.h"

#define ID ((struct pd_snapshot_id){.cluster_id = 1, .group_id = 2, .transfer = 3, .index = 4})

/* Make it look like the chain's next chunk, so that the search gets past the checks of identity. */
static void mend(const struct pd_snapshot_chain *chain, uint8_t *bytes, size_t size)
{
    uint8_t link[8];
    bytes[4] = PD_SNAPSHOT_VERSION;
    bytes[5] = chain->number == 0 ? PD_SNAPSHOT_HEAD : (uint8_t)(PD_SNAPSHOT_ROWS + bytes[5] % 2);
    pd_put_u16(bytes + 6, 0);
    pd_put_u32(bytes + 8, (uint32_t)(size - PD_SNAPSHOT_CHUNK_HEAD_SIZE));
    pd_put_u32(bytes + 12, chain->id.group_id);
    pd_put_u64(bytes + 16, chain->id.cluster_id);
    pd_put_u64(bytes + 24, chain->id.transfer);
    pd_put_u64(bytes + 32, chain->id.index);
    pd_put_u64(bytes + 40, chain->number);
    if (bytes[5] == PD_SNAPSHOT_END && size == PD_SNAPSHOT_END_SIZE && bytes[0] % 2 == 0) {
        pd_put_u64(bytes + PD_SNAPSHOT_CHUNK_HEAD_SIZE, chain->rows);
        pd_put_u64(bytes + PD_SNAPSHOT_CHUNK_HEAD_SIZE + 8, chain->bytes);
        pd_put_u64(bytes + PD_SNAPSHOT_CHUNK_HEAD_SIZE + 16, chain->link);
    }
    pd_put_u64(link, chain->link);
    pd_put_u32(bytes, pd_crc32c(pd_crc32c(0, link, sizeof link), bytes + 4, size - 4));
}

static void put_rows(struct pd_snapshot_chain *chain, uint8_t *bytes,
                     const struct pd_snapshot_chunk *chunk)
{
    struct pd_span key;
    struct pd_span value;
    size_t size = 0;
    size_t at = 0;
    while (pd_snapshot_row(chunk, &at, &key, &value)) {
        size = pd_snapshot_put_row(bytes + PD_SNAPSHOT_ROWS_AT, size, key, value);
    }
    pd_snapshot_seal_rows(chain, bytes, chunk->row_count, size);
}

/* What was taken is written again: the same bytes, and the same place in the chain. */
static void check_again(struct pd_snapshot_chain before, const struct pd_snapshot_chain *after,
                        const uint8_t *bytes, size_t size, const struct pd_snapshot_chunk *chunk)
{
    uint8_t *again = malloc(size);
    pd_assert(again != NULL);
    switch (chunk->kind) {
    case PD_SNAPSHOT_HEAD:
        pd_assert(pd_snapshot_head_size(&chunk->head) == size);
        pd_snapshot_put_head(&before, again, &chunk->head);
        break;
    case PD_SNAPSHOT_ROWS:
        put_rows(&before, again, chunk);
        break;
    case PD_SNAPSHOT_END:
        pd_assert(size == PD_SNAPSHOT_END_SIZE);
        pd_snapshot_put_end(&before, again, &chunk->end);
        break;
    }
    pd_assert(memcmp(again, bytes, size) == 0);
    pd_assert(before.link == after->link);
    pd_assert(before.number == after->number);
    pd_assert(before.rows == after->rows);
    pd_assert(before.bytes == after->bytes);
    free(again);
}

/* The input: a size u8 and that many bytes behind a chunk head; 250 and more: not mended. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pd_snapshot_chain chain;
    pd_snapshot_chain_init(&chain, &ID);
    while (size > 1) {
        bool is_raw = data[0] >= 250;
        size_t chunk_size = PD_SNAPSHOT_CHUNK_HEAD_SIZE + data[0];
        data++;
        size--;
        chunk_size = chunk_size < size ? chunk_size : size;
        uint8_t *bytes = malloc(chunk_size); /* of its own size: a byte too many is seen */
        pd_assert(bytes != NULL);
        memcpy(bytes, data, chunk_size);
        if (!is_raw && chunk_size >= PD_SNAPSHOT_CHUNK_HEAD_SIZE) {
            mend(&chain, bytes, chunk_size);
        }
        struct pd_snapshot_chain before = chain;
        struct pd_snapshot_chunk chunk;
        if (pd_snapshot_take(&chain, (struct pd_span){bytes, chunk_size}, &chunk) == PD_OK) {
            check_again(before, &chain, bytes, chunk_size, &chunk);
        } else {
            pd_assert(memcmp(&before, &chain, sizeof chain) == 0);
        }
        free(bytes);
        data += chunk_size;
        size -= chunk_size;
    }
    return 0;
}
