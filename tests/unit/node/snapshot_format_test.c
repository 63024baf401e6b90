/* The snapshot's chunks: there and back, and nothing but the next chunk of the same snapshot is
 * taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "node/snapshot_format.h"
#include "support/seed.h"

#define CHUNKS_MAX 64u

struct piece {
    uint8_t *bytes;
    size_t size;
};

struct snapshot {
    struct pd_snapshot_id id;
    struct piece pieces[CHUNKS_MAX];
    uint32_t count;
};

static const struct pd_snapshot_id first_id = {
    .cluster_id = 7, .group_id = 3, .transfer = 11, .index = 500};

static struct pd_span span(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

static uint8_t *piece_add(struct snapshot *snapshot, size_t size)
{
    assert_true(snapshot->count < CHUNKS_MAX);
    struct piece *piece = &snapshot->pieces[snapshot->count++];
    piece->bytes = malloc(size);
    piece->size = size;
    return piece->bytes;
}

/* A head, `chunks` chunks of a few rows each, an end. */
static void build(struct snapshot *snapshot, const struct pd_snapshot_id *id, uint32_t chunks,
                  const char *value)
{
    struct pd_snapshot_chain chain;
    *snapshot = (struct snapshot){.id = *id};
    pd_snapshot_chain_init(&chain, id);
    const struct pd_snapshot_head head = {
        .term = 9, .sender_term = 12, .conf = span("configuration"), .meta = span("meta")};
    pd_snapshot_put_head(&chain, piece_add(snapshot, pd_snapshot_head_size(&head)), &head);
    for (uint32_t i = 0; i < chunks; i++) {
        uint8_t room[4096];
        size_t size = 0;
        uint32_t count = 1 + i % 5;
        for (uint32_t row = 0; row < count; row++) {
            char key[32];
            (void)snprintf(key, sizeof key, "key-%03u-%u", i, row);
            size = pd_snapshot_put_row(room, size, span(key), span(row == 2 ? "" : value));
        }
        uint8_t *bytes = piece_add(snapshot, PD_SNAPSHOT_ROWS_AT + size);
        memcpy(bytes + PD_SNAPSHOT_ROWS_AT, room, size);
        pd_snapshot_seal_rows(&chain, bytes, count, size);
    }
    const struct pd_snapshot_end end = {.is_for_raft = true, .raft_term = 12, .raft_session = 4};
    pd_snapshot_put_end(&chain, piece_add(snapshot, PD_SNAPSHOT_END_SIZE), &end);
}

static void drop(struct snapshot *snapshot)
{
    for (uint32_t i = 0; i < snapshot->count; i++) {
        free(snapshot->pieces[i].bytes);
    }
}

static enum pd_status take(struct pd_snapshot_chain *chain, const struct piece *piece)
{
    struct pd_snapshot_chunk chunk;
    return pd_snapshot_take(chain, (struct pd_span){piece->bytes, piece->size}, &chunk);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct snapshot snapshot;
    build(&snapshot, &first_id, 20, "value");
    struct pd_snapshot_chain chain;
    pd_snapshot_chain_init(&chain, &first_id);
    uint32_t rows = 0;
    for (uint32_t i = 0; i < snapshot.count; i++) {
        struct pd_span bytes = {snapshot.pieces[i].bytes, snapshot.pieces[i].size};
        struct pd_snapshot_peek peek;
        struct pd_snapshot_chunk chunk;
        assert_int_equal(pd_snapshot_peek(bytes, &peek), PD_OK);
        assert_int_equal(peek.number, i);
        assert_int_equal(peek.id.index, 500);
        assert_int_equal(pd_snapshot_take(&chain, bytes, &chunk), PD_OK);
        if (chunk.kind == PD_SNAPSHOT_HEAD) {
            assert_int_equal(chunk.head.term, 9);
            assert_int_equal(chunk.head.sender_term, 12);
            assert_memory_equal(chunk.head.conf.bytes, "configuration", chunk.head.conf.size);
            assert_memory_equal(chunk.head.meta.bytes, "meta", chunk.head.meta.size);
        } else if (chunk.kind == PD_SNAPSHOT_END) {
            assert_true(chunk.end.is_for_raft);
            assert_int_equal(chunk.end.raft_term, 12);
            assert_int_equal(chunk.end.raft_session, 4);
        }
        struct pd_span key;
        struct pd_span value;
        size_t at = 0;
        for (uint32_t row = 0; pd_snapshot_row(&chunk, &at, &key, &value); row++) {
            char expected[32];
            (void)snprintf(expected, sizeof expected, "key-%03u-%u", i - 1, row);
            assert_int_equal(key.size, strlen(expected));
            assert_memory_equal(key.bytes, expected, key.size);
            assert_int_equal(value.size, row == 2 ? 0 : 5);
            rows++;
        }
    }
    assert_true(chain.is_ended);
    assert_int_equal(rows, 4 * (1 + 2 + 3 + 4 + 5));
    assert_int_equal(chain.rows, rows);
    drop(&snapshot);
}

static void every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    struct snapshot snapshot;
    build(&snapshot, &first_id, 3, "value");
    struct pd_snapshot_chain chain;
    pd_snapshot_chain_init(&chain, &first_id);
    for (uint32_t i = 0; i < snapshot.count; i++) {
        struct piece *piece = &snapshot.pieces[i];
        for (size_t bit = 0; bit < 8 * piece->size; bit++) {
            piece->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(take(&chain, piece), PD_ERR_CORRUPT);
            piece->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t size = 0; size < piece->size; size++) {
            const struct piece cut = {piece->bytes, size};
            assert_int_equal(take(&chain, &cut), PD_ERR_CORRUPT);
        }
        assert_int_equal(take(&chain, piece), PD_OK);
    }
    drop(&snapshot);
}

static void only_the_next_chunk_is_taken(void **state)
{
    (void)state;
    struct snapshot snapshot;
    build(&snapshot, &first_id, 6, "value");
    struct pd_snapshot_chain chain;
    pd_snapshot_chain_init(&chain, &first_id);
    for (uint32_t next = 0; next < snapshot.count; next++) {
        for (uint32_t i = 0; i < snapshot.count; i++) {
            if (i != next) {
                assert_int_equal(take(&chain, &snapshot.pieces[i]), PD_ERR_CORRUPT);
            }
        }
        assert_int_equal(take(&chain, &snapshot.pieces[next]), PD_OK);
    }
    /* It is over. */
    for (uint32_t i = 0; i < snapshot.count; i++) {
        assert_int_equal(take(&chain, &snapshot.pieces[i]), PD_ERR_CORRUPT);
    }
    drop(&snapshot);
}

/* Same place, another snapshot: by cluster, group, transfer, index, or only by what came before. */
static void a_chunk_of_another_snapshot_is_not_taken(void **state)
{
    (void)state;
    struct snapshot snapshot;
    build(&snapshot, &first_id, 6, "value");
    struct pd_snapshot_id ids[5] = {first_id, first_id, first_id, first_id, first_id};
    ids[0].cluster_id++;
    ids[1].group_id++;
    ids[2].transfer++;
    ids[3].index++;
    for (uint32_t which = 0; which < 5; which++) {
        struct snapshot other;
        build(&other, &ids[which], 6, which == 4 ? "other" : "value");
        struct pd_snapshot_chain chain;
        pd_snapshot_chain_init(&chain, &first_id);
        for (uint32_t i = 0; i < snapshot.count; i++) {
            /* Of equal content before it, so with the same chain, the second chunk is as good. */
            bool is_same = which == 4 && i <= 1;
            if (!is_same) {
                assert_int_equal(take(&chain, &other.pieces[i]), PD_ERR_CORRUPT);
            }
            assert_int_equal(take(&chain, &snapshot.pieces[i]), PD_OK);
        }
        drop(&other);
    }
    drop(&snapshot);
}

/* Give a chunk the checksum that its content asks for. */
static void mend(const struct pd_snapshot_chain *chain, struct piece *piece)
{
    uint8_t link[8];
    pd_put_u64(link, chain->link);
    pd_put_u32(piece->bytes,
               pd_crc32c(pd_crc32c(0, link, sizeof link), piece->bytes + 4, piece->size - 4));
}

static void a_malformed_chunk_with_a_good_checksum_is_not_taken(void **state)
{
    (void)state;
    struct snapshot snapshot;
    build(&snapshot, &first_id, 3, "value");
    struct pd_snapshot_chain chain;
    pd_snapshot_chain_init(&chain, &first_id);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(take(&chain, &snapshot.pieces[i]), PD_OK);
    }
    struct piece *rows = &snapshot.pieces[3]; /* three of them */
    uint8_t *count = rows->bytes + PD_SNAPSHOT_CHUNK_HEAD_SIZE;
    uint8_t *row = rows->bytes + PD_SNAPSHOT_ROWS_AT;
    const struct {
        uint8_t *at;
        uint32_t value;
    } slips[] = {
        {count, 2},        {count, 4},   {count, UINT32_MAX},
        {row, UINT32_MAX}, {row, 0},     {row + 4, UINT32_MAX},
        {row + 4, 4},      {row + 4, 6},
    };
    for (size_t i = 0; i < sizeof slips / sizeof slips[0]; i++) {
        uint32_t right = pd_get_u32(slips[i].at);
        pd_put_u32(slips[i].at, slips[i].value);
        mend(&chain, rows);
        assert_int_equal(take(&chain, rows), PD_ERR_CORRUPT);
        pd_put_u32(slips[i].at, right);
    }
    /* Keys that do not ascend. */
    row[8] = 'z';
    mend(&chain, rows);
    assert_int_equal(take(&chain, rows), PD_ERR_CORRUPT);
    row[8] = 'k';
    mend(&chain, rows);
    assert_int_equal(take(&chain, rows), PD_OK);
    /* Totals that are not what came. */
    struct piece *end = &snapshot.pieces[4];
    for (size_t at = 0; at < 24; at += 8) {
        end->bytes[PD_SNAPSHOT_CHUNK_HEAD_SIZE + at] ^= 1;
        mend(&chain, end);
        assert_int_equal(take(&chain, end), PD_ERR_CORRUPT);
        end->bytes[PD_SNAPSHOT_CHUNK_HEAD_SIZE + at] ^= 1;
    }
    mend(&chain, end);
    assert_int_equal(take(&chain, end), PD_OK);
    drop(&snapshot);
}

static void any_bytes_may_come(void **state)
{
    (void)state;
    struct pd_random random = test_random("any bytes");
    struct snapshot snapshot;
    build(&snapshot, &first_id, 3, "value");
    for (uint32_t round = 0; round < 20000; round++) {
        struct pd_snapshot_chain chain;
        pd_snapshot_chain_init(&chain, &first_id);
        const struct piece *from = &snapshot.pieces[pd_random_below(&random, snapshot.count)];
        /* A block of its own size, so that a sanitizer sees every byte too many. */
        size_t size = (size_t)pd_random_below(&random, from->size + 1);
        struct piece piece = {malloc(size + 1), size};
        memcpy(piece.bytes, from->bytes, size);
        for (uint32_t i = 0; size > 0 && i < 3; i++) {
            piece.bytes[pd_random_below(&random, size)] = (uint8_t)pd_random_next(&random);
        }
        if (size >= PD_SNAPSHOT_CHUNK_HEAD_SIZE && pd_random_below(&random, 2) == 0) {
            pd_put_u32(piece.bytes + 8, (uint32_t)(size - PD_SNAPSHOT_CHUNK_HEAD_SIZE));
            mend(&chain, &piece);
        }
        (void)take(&chain, &piece);
        free(piece.bytes);
    }
    drop(&snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(only_the_next_chunk_is_taken),
        cmocka_unit_test(a_chunk_of_another_snapshot_is_not_taken),
        cmocka_unit_test(a_malformed_chunk_with_a_good_checksum_is_not_taken),
        cmocka_unit_test(any_bytes_may_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
