/* A snapshot's file: what is written is read, and no byte of it can be changed, lost or added
 * without being noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "node/backup_file.h"

#define FILE_MAX ((size_t)64 << 10)

struct file {
    uint8_t bytes[FILE_MAX];
    size_t size;
    size_t at; /* read up to here */
    bool is_broken;
};

static enum pd_status read_bytes(void *state, uint8_t *bytes, size_t size, size_t *size_out)
{
    struct file *file = state;
    size_t left = file->size - file->at;
    *size_out = size < left ? size : left;
    if (*size_out > 0) {
        memcpy(bytes, file->bytes + file->at, *size_out);
    }
    file->at += *size_out;
    return file->is_broken ? PD_ERR_IO : PD_OK;
}

static struct pd_span span(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

static void add(struct file *file, struct pd_seal *seal, const uint8_t *bytes, size_t size)
{
    assert_true(file->size + size <= FILE_MAX);
    memcpy(file->bytes + file->size, bytes, size);
    file->size += size;
    if (seal != NULL) {
        pd_seal_add(seal, (struct pd_span){bytes, size});
    }
}

/* A head, `chunks` chunks of rows, an end, sealed. */
static void build(struct file *file, uint32_t chunks)
{
    const struct pd_snapshot_id id = {.cluster_id = 7, .group_id = 0, .transfer = 3, .index = 500};
    struct pd_snapshot_chain chain;
    struct pd_seal seal;
    uint8_t meta[PD_KV_META_SIZE] = {0};
    uint8_t room[4096];
    *file = (struct file){.size = 0};
    pd_put_u64(meta, id.index);
    pd_put_u64(meta + 8, 4);   /* term */
    pd_put_u64(meta + 16, 42); /* revision */
    pd_put_u64(meta + 88, 9);  /* keys */
    pd_seal_init(&seal);
    pd_snapshot_chain_init(&chain, &id);
    const struct pd_snapshot_head head = {
        .term = 4, .conf = span("configuration"), .meta = {meta, sizeof meta}};
    size_t size = pd_snapshot_head_size(&head);
    assert_true(size <= sizeof room);
    pd_snapshot_put_head(&chain, room, &head);
    add(file, &seal, room, size);
    for (uint32_t i = 0; i < chunks; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key-%03u", i);
        size = pd_snapshot_put_row(room + PD_SNAPSHOT_ROWS_AT, 0, span(key), span("a value"));
        pd_snapshot_seal_rows(&chain, room, 1, size);
        add(file, &seal, room, PD_SNAPSHOT_ROWS_AT + size);
    }
    pd_snapshot_put_end(&chain, room, &(struct pd_snapshot_end){.is_for_raft = false});
    add(file, &seal, room, PD_SNAPSHOT_END_SIZE);
    uint8_t tail[PD_SEAL_TAIL_MAX];
    size = pd_seal_end(&seal, tail);
    add(file, NULL, tail, size);
    assert_int_equal(file->size % PD_SEAL_BLOCK, PD_SEAL_HASH_SIZE);
}

static enum pd_status count(void *state, const struct pd_snapshot_chunk *chunk)
{
    uint32_t *rows = state;
    *rows += chunk->kind == PD_SNAPSHOT_ROWS ? chunk->row_count : 0;
    return PD_OK;
}

static enum pd_status read_all(struct file *file, struct pd_backup_about *about, char *text)
{
    const struct pd_backup_source source = {.read = read_bytes, .state = file};
    file->at = 0;
    return pd_backup_file_read(&source, NULL, NULL, about, text);
}

static struct file file;
static char text[PD_BACKUP_TEXT_MAX];

static void what_is_written_is_read(void **state)
{
    (void)state;
    /* Whatever padding there is. */
    for (uint32_t chunks = 0; chunks < 40; chunks++) {
        struct pd_backup_about about;
        uint32_t rows = 0;
        build(&file, chunks);
        const struct pd_backup_source source = {.read = read_bytes, .state = &file};
        assert_int_equal(pd_backup_file_read(&source, count, &rows, &about, text), PD_OK);
        assert_int_equal(rows, chunks);
        assert_int_equal(about.rows, chunks);
        assert_int_equal(about.bytes, file.size);
        assert_int_equal(about.id.cluster_id, 7);
        assert_int_equal(about.state.index, 500);
        assert_int_equal(about.state.revision, 42);
        assert_int_equal(about.state.key_count, 9);
        assert_memory_equal(about.hash, file.bytes + file.size - PD_SEAL_HASH_SIZE,
                            PD_SEAL_HASH_SIZE);
    }
}

static void every_changed_byte_is_noticed(void **state)
{
    (void)state;
    struct pd_backup_about about;
    build(&file, 12);
    for (size_t i = 0; i < file.size; i++) {
        for (uint32_t bit = 0; bit < 8; bit += 1 + (uint32_t)i % 3) {
            file.bytes[i] ^= (uint8_t)(1u << bit);
            assert_int_equal(read_all(&file, &about, text), PD_ERR_CORRUPT);
            assert_true(text[0] != '\0');
            file.bytes[i] ^= (uint8_t)(1u << bit);
        }
    }
    assert_int_equal(read_all(&file, &about, text), PD_OK);
}

static void every_other_length_is_noticed(void **state)
{
    (void)state;
    struct pd_backup_about about;
    build(&file, 12);
    size_t whole = file.size;
    for (file.size = 0; file.size < whole; file.size++) {
        assert_int_equal(read_all(&file, &about, text), PD_ERR_CORRUPT);
    }
    file.size = whole + 1;
    assert_int_equal(read_all(&file, &about, text), PD_ERR_CORRUPT);
    assert_string_equal(text, "there is more behind its checksum");
}

/* Its own checksums are right, and a chunk of it is another file's. */
static void a_chunk_of_another_snapshot_is_noticed(void **state)
{
    (void)state;
    struct pd_backup_about about;
    build(&file, 2);
    size_t head = PD_SNAPSHOT_CHUNK_HEAD_SIZE + pd_get_u32(file.bytes + 8);
    size_t row = PD_SNAPSHOT_CHUNK_HEAD_SIZE + pd_get_u32(file.bytes + head + 8);
    uint8_t first[256];
    assert_true(row <= sizeof first);
    memcpy(first, file.bytes + head, row);
    memcpy(file.bytes + head, file.bytes + head + row, row); /* twice the second one */
    struct pd_seal seal;
    uint8_t tail[PD_SEAL_TAIL_MAX];
    size_t body = head + 2 * row + PD_SNAPSHOT_END_SIZE;
    pd_seal_init(&seal);
    pd_seal_add(&seal, (struct pd_span){file.bytes, body});
    file.size = body;
    size_t size = pd_seal_end(&seal, tail);
    add(&file, NULL, tail, size);
    assert_int_equal(read_all(&file, &about, text), PD_ERR_CORRUPT);
}

static void what_is_no_snapshot_is_told(void **state)
{
    (void)state;
    struct pd_backup_about about;
    file = (struct file){.size = 4096};
    assert_int_equal(read_all(&file, &about, text), PD_ERR_CORRUPT);
    assert_string_equal(text, "it does not begin as a snapshot of Pando of this version");
    build(&file, 2);
    file.is_broken = true;
    assert_int_equal(read_all(&file, &about, text), PD_ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(every_other_length_is_noticed),
        cmocka_unit_test(a_chunk_of_another_snapshot_is_noticed),
        cmocka_unit_test(what_is_no_snapshot_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
