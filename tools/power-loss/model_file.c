#include <string.h>

#include "base/alloc.h"
#include "internal.h"
#include "sim/queue.h"

struct pd_power_file *pd_power_file_new(struct pd_power_model *model, uint64_t inode)
{
    struct pd_power_file *file = pd_sim_alloc(sizeof *file);
    *file = (struct pd_power_file){.inode = inode, .next = model->files};
    model->files = file;
    return file;
}

static void free_versions(struct pd_power_block *block, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pd_free(block->versions[i].bytes);
    }
    block->count -= count;
    if (block->count > 0) {
        memmove(block->versions, block->versions + count, block->count * sizeof block->versions[0]);
    }
}

void pd_power_file_free(struct pd_power_file *file)
{
    for (size_t i = 0; i < file->block_count; i++) {
        free_versions(&file->blocks[i], file->blocks[i].count);
        pd_free(file->blocks[i].versions);
        pd_free(file->blocks[i].durable);
    }
    pd_free(file->blocks);
    pd_free(file->dirty);
    pd_free(file->lengths);
    pd_free(file->now.entries);
    pd_free(file->durable.entries);
    pd_free(file->changes);
    pd_free(file);
}

static struct pd_power_block *block_at(struct pd_power_file *file, size_t number)
{
    if (number >= file->block_count) {
        file->blocks =
            pd_sim_grow(file->blocks, &file->block_capacity, number + 1, sizeof file->blocks[0]);
        memset(file->blocks + file->block_count, 0,
               (number + 1 - file->block_count) * sizeof file->blocks[0]);
        file->block_count = number + 1;
    }
    return &file->blocks[number];
}

const uint8_t *pd_power_file_block(const struct pd_power_file *file, size_t number)
{
    if (number >= file->block_count) {
        return NULL;
    }
    const struct pd_power_block *block = &file->blocks[number];
    return block->count > 0 ? block->versions[block->count - 1].bytes : block->durable;
}

static bool is_zero(const uint8_t *bytes)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, PD_POWER_BLOCK - 1) == 0;
}

/* A new version of the block, with `size` other bytes from `within` on. */
static void write_block(struct pd_power_file *file, uint64_t call, size_t number, size_t within,
                        size_t size, const uint8_t *bytes)
{
    struct pd_power_block *block = block_at(file, number);
    const uint8_t *before = pd_power_file_block(file, number);
    uint8_t *after = NULL;
    if (bytes != NULL || (before != NULL && size < PD_POWER_BLOCK)) {
        after = pd_sim_alloc(PD_POWER_BLOCK);
        if (before != NULL) {
            memcpy(after, before, PD_POWER_BLOCK);
        } else {
            memset(after, 0, PD_POWER_BLOCK);
        }
        if (bytes != NULL) {
            memcpy(after + within, bytes, size);
        } else {
            memset(after + within, 0, size);
        }
    }
    if (after != NULL && is_zero(after)) {
        pd_free(after);
        after = NULL;
    }
    if (block->count == 0) {
        file->dirty =
            pd_sim_grow(file->dirty, &file->dirty_capacity, file->dirty_count + 1, sizeof(size_t));
        file->dirty[file->dirty_count++] = number;
    }
    block->versions =
        pd_sim_grow(block->versions, &block->capacity, block->count + 1, sizeof block->versions[0]);
    block->versions[block->count++] = (struct pd_power_version){call, after};
}

static void set_size(struct pd_power_file *file, uint64_t call, uint64_t size)
{
    file->size = size;
    file->lengths = pd_sim_grow(file->lengths, &file->length_capacity, file->length_count + 1,
                                sizeof file->lengths[0]);
    file->lengths[file->length_count++] = (struct pd_power_length){call, size};
}

void pd_power_file_write(struct pd_power_file *file, uint64_t call, uint64_t offset,
                         uint64_t length, const uint8_t *bytes)
{
    uint64_t end = offset + length;
    for (uint64_t at = offset; at < end;) {
        size_t within = (size_t)(at % PD_POWER_BLOCK);
        size_t size = PD_POWER_BLOCK - within;
        size = end - at < size ? (size_t)(end - at) : size;
        write_block(file, call, (size_t)(at / PD_POWER_BLOCK), within, size,
                    bytes == NULL ? NULL : bytes + (at - offset));
        at += size;
    }
    if (end > file->size && length > 0) {
        set_size(file, call, end);
    }
}

void pd_power_file_resize(struct pd_power_file *file, uint64_t call, uint64_t size)
{
    uint64_t known = (uint64_t)file->block_count * PD_POWER_BLOCK;
    uint64_t end = file->size < known ? file->size : known;
    if (size < end) {
        pd_power_file_write(file, call, size, end - size, NULL);
    }
    if (size != file->size) {
        set_size(file, call, size);
    }
}

/* How many of the first versions the sync covers. */
static size_t covered(const struct pd_power_block *block, const struct pd_power_call *calls,
                      uint64_t at, uint64_t only)
{
    for (size_t i = block->count; i > 0; i--) {
        uint64_t call = block->versions[i - 1].call;
        uint64_t done_at = calls[call].done_at;
        if (done_at != 0 && done_at < at && (only == 0 || only == call)) {
            return i;
        }
    }
    return 0;
}

void pd_power_file_sync(struct pd_power_file *file, const struct pd_power_call *calls, uint64_t at,
                        uint64_t only)
{
    size_t kept = 0;
    for (size_t i = 0; i < file->dirty_count; i++) {
        struct pd_power_block *block = &file->blocks[file->dirty[i]];
        size_t count = covered(block, calls, at, only);
        if (count > 0) {
            pd_free(block->durable);
            block->durable = block->versions[count - 1].bytes;
            block->versions[count - 1].bytes = NULL;
            free_versions(block, count);
        }
        if (block->count > 0) {
            file->dirty[kept++] = file->dirty[i];
        }
    }
    file->dirty_count = kept;
    size_t lengths = 0;
    for (size_t i = 0; i < file->length_count; i++) {
        uint64_t call = file->lengths[i].call;
        uint64_t done_at = calls[call].done_at;
        if (done_at != 0 && done_at < at && (only == 0 || only == call)) {
            file->durable_size = file->lengths[i].size;
            lengths = i + 1;
        }
    }
    file->length_count -= lengths;
    if (lengths > 0 && file->length_count > 0) {
        memmove(file->lengths, file->lengths + lengths,
                file->length_count * sizeof file->lengths[0]);
    }
}

void pd_power_file_settle(struct pd_power_file *file)
{
    static const struct pd_power_call over = {.done_at = 1};
    pd_power_file_sync(file, &over, 2, 0);
}
