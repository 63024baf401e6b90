#include "sim/disk_file.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/sometimes.h"
#include "sim/queue.h"

#define BLOCK PD_DISK_BLOCK_SIZE

struct pd_sim_file *pd_sim_file_new(void)
{
    return pd_sim_alloc(sizeof(struct pd_sim_file));
}

static void drop_blocks(struct pd_sim_file *file, size_t from)
{
    for (size_t i = from; i < file->block_count; i++) {
        if (file->blocks[i].is_dirty) {
            pd_free(file->blocks[i].durable);
        }
        pd_free(file->blocks[i].now);
    }
    file->block_count = from;
}

void pd_sim_file_free(struct pd_sim_file *file)
{
    drop_blocks(file, 0);
    pd_free(file->blocks);
    pd_free(file->dirty);
    pd_free(file);
}

static size_t blocks_of(uint64_t size)
{
    return (size_t)((size + BLOCK - 1) / BLOCK);
}

uint64_t pd_sim_file_growth(const struct pd_sim_file *file, uint64_t offset, size_t size)
{
    size_t wanted = blocks_of(offset + size);
    return wanted <= file->block_count ? 0 : (uint64_t)(wanted - file->block_count) * BLOCK;
}

static void grow(struct pd_sim_file *file, size_t wanted)
{
    if (wanted <= file->block_count) {
        return;
    }
    file->blocks = pd_sim_grow(file->blocks, &file->block_capacity, wanted, sizeof file->blocks[0]);
    memset(&file->blocks[file->block_count], 0,
           (wanted - file->block_count) * sizeof file->blocks[0]);
    file->block_count = wanted;
}

/* From here on `now` may change without the durable content changing with it. Its content is
 * carried over unless all of it is about to be written. */
static void make_dirty_for(struct pd_sim_file *file, size_t index, bool is_overwritten)
{
    struct pd_sim_block *block = &file->blocks[index];
    if (!block->is_dirty) {
        block->durable = block->now;
        block->now = NULL;
        block->is_dirty = true;
        if (block->durable != NULL) {
            block->now = pd_sim_alloc(BLOCK);
            if (!is_overwritten) {
                memcpy(block->now, block->durable, BLOCK);
            }
        }
    }
    if (!block->is_listed) {
        block->is_listed = true;
        file->dirty = pd_sim_grow(file->dirty, &file->dirty_capacity, file->dirty_count + 1,
                                  sizeof file->dirty[0]);
        file->dirty[file->dirty_count++] = (uint32_t)index;
    }
}

static void make_dirty(struct pd_sim_file *file, size_t index)
{
    make_dirty_for(file, index, false);
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static void write_block(struct pd_sim_file *file, size_t index, size_t within, const uint8_t *bytes,
                        size_t size)
{
    struct pd_sim_block *block = &file->blocks[index];
    if (block->now == NULL && is_zero(bytes, size)) {
        if (block->is_dirty || file->size < (index + 1) * BLOCK) {
            make_dirty(file, index);
        }
        return;
    }
    make_dirty_for(file, index, size == BLOCK);
    if (block->now == NULL) {
        block->now = pd_sim_alloc(BLOCK);
    }
    memcpy(block->now + within, bytes, size);
}

void pd_sim_file_write(struct pd_sim_file *file, uint64_t offset, const uint8_t *bytes, size_t size)
{
    grow(file, blocks_of(offset + size));
    size_t done = 0;
    while (done < size) {
        uint64_t at = offset + done;
        size_t within = (size_t)(at % BLOCK);
        size_t part = BLOCK - within < size - done ? BLOCK - within : size - done;
        write_block(file, (size_t)(at / BLOCK), within, bytes + done, part);
        done += part;
    }
    if (offset + size > file->size) {
        file->size = offset + size;
    }
}

size_t pd_sim_file_read(const struct pd_sim_file *file, uint64_t offset, uint8_t *bytes,
                        size_t size)
{
    if (offset >= file->size) {
        return 0;
    }
    if (size > file->size - offset) {
        size = (size_t)(file->size - offset);
    }
    size_t done = 0;
    while (done < size) {
        uint64_t at = offset + done;
        size_t within = (size_t)(at % BLOCK);
        size_t part = BLOCK - within < size - done ? BLOCK - within : size - done;
        const uint8_t *now = file->blocks[at / BLOCK].now;
        if (now == NULL) {
            memset(bytes + done, 0, part);
        } else {
            memcpy(bytes + done, now + within, part);
        }
        done += part;
    }
    return size;
}

void pd_sim_file_truncate(struct pd_sim_file *file, uint64_t size)
{
    size_t kept = blocks_of(size);
    grow(file, kept);
    for (size_t i = kept; i < file->block_count; i++) {
        if (file->blocks[i].now != NULL) {
            make_dirty(file, i);
            pd_free(file->blocks[i].now);
            file->blocks[i].now = NULL;
        }
    }
    size_t within = (size_t)(size % BLOCK);
    if (size < file->size && within > 0 && file->blocks[kept - 1].now != NULL) {
        make_dirty(file, kept - 1);
        uint8_t *bytes = file->blocks[kept - 1].now;
        pd_assert(bytes != NULL);
        memset(bytes + within, 0, BLOCK - within);
    }
    file->size = size;
}

static void settle(struct pd_sim_block *block)
{
    pd_free(block->durable);
    block->durable = NULL;
    block->is_dirty = false;
    block->is_listed = false;
}

void pd_sim_file_sync(struct pd_sim_file *file)
{
    for (size_t i = 0; i < file->dirty_count; i++) {
        struct pd_sim_block *block = &file->blocks[file->dirty[i]];
        if (block->is_dirty) {
            settle(block);
        }
        block->is_listed = false;
    }
    file->dirty_count = 0;
    file->durable_size = file->size;
    /* What lies behind the end is durable as absent. */
    if (!file->has_lost_blocks) {
        drop_blocks(file, blocks_of(file->size));
    }
}

void pd_sim_file_sync_failed(struct pd_sim_file *file)
{
    for (size_t i = 0; i < file->dirty_count; i++) {
        file->blocks[file->dirty[i]].is_listed = false;
    }
    file->has_lost_blocks = file->has_lost_blocks || file->dirty_count > 0;
    file->dirty_count = 0;
}

bool pd_sim_file_is_dirty(const struct pd_sim_file *file)
{
    return file->dirty_count > 0 || file->has_lost_blocks || file->size != file->durable_size;
}

/* Some sectors new, some old. */
static void tear(struct pd_sim_block *block, struct pd_random *random)
{
    uint64_t draw = pd_random_next(random);
    if (block->now == NULL) {
        block->now = pd_sim_alloc(BLOCK);
    }
    for (size_t sector = 0; sector < BLOCK / PD_SIM_SECTOR_SIZE; sector++) {
        if ((draw >> sector & 1) != 0) {
            continue;
        }
        uint8_t *at = block->now + sector * PD_SIM_SECTOR_SIZE;
        if (block->durable == NULL) {
            memset(at, 0, PD_SIM_SECTOR_SIZE);
        } else {
            memcpy(at, block->durable + sector * PD_SIM_SECTOR_SIZE, PD_SIM_SECTOR_SIZE);
        }
    }
}

bool pd_sim_file_power_cut(struct pd_sim_file *file, struct pd_random *random)
{
    bool has_lost = false;
    if (file->size != file->durable_size && pd_random_below(random, 2) == 0) {
        file->size = file->durable_size;
        has_lost = true;
    }
    for (size_t i = 0; i < file->block_count; i++) {
        struct pd_sim_block *block = &file->blocks[i];
        if (!block->is_dirty) {
            continue;
        }
        uint64_t draw = pd_random_below(random, 5);
        if (draw < 2) {
            pd_free(block->now);
            block->now = block->durable;
            block->durable = NULL;
        } else if (draw == 2) {
            PD_SOMETIMES(SIM_BLOCK_TORN, true);
            tear(block, random);
        }
        has_lost = has_lost || draw <= 2;
        settle(block);
    }
    file->dirty_count = 0;
    file->has_lost_blocks = false;
    grow(file, blocks_of(file->size));
    drop_blocks(file, blocks_of(file->size));
    file->durable_size = file->size;
    return has_lost;
}

bool pd_sim_file_rot(struct pd_sim_file *file, struct pd_random *random, uint64_t *offset_out)
{
    size_t candidates = 0;
    size_t chosen = 0;
    for (size_t i = 0; i < file->block_count; i++) {
        const struct pd_sim_block *block = &file->blocks[i];
        if (block->now == NULL || block->is_dirty || is_zero(block->now, BLOCK)) {
            continue;
        }
        candidates++;
        chosen = pd_random_below(random, candidates) == 0 ? i : chosen;
    }
    if (candidates == 0) {
        return false;
    }
    size_t within = 0;
    uint8_t *bytes = file->blocks[chosen].now;
    pd_assert(bytes != NULL);
    do { /* a byte that says something: padding is not worth the fault */
        within = (size_t)pd_random_below(random, BLOCK);
    } while (bytes[within] == 0);
    bytes[within] ^= (uint8_t)(1u << pd_random_below(random, 8));
    *offset_out = chosen * BLOCK + within;
    return true;
}

struct pd_sim_file *pd_sim_file_copy_durable(const struct pd_sim_file *from)
{
    struct pd_sim_file *to = pd_sim_file_new();
    grow(to, blocks_of(from->durable_size));
    for (size_t i = 0; i < to->block_count; i++) {
        const struct pd_sim_block *block = &from->blocks[i];
        const uint8_t *bytes = block->is_dirty ? block->durable : block->now;
        if (bytes != NULL) {
            to->blocks[i].now = pd_sim_alloc(BLOCK);
            memcpy(to->blocks[i].now, bytes, BLOCK);
        }
    }
    to->size = from->durable_size;
    to->durable_size = from->durable_size;
    return to;
}
