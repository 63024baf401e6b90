#include "wal/wal.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "wal/internal.h"

#define FILL_BYTES (64u * PD_DISK_BLOCK_SIZE)

struct pd_wal_config pd_wal_config_default(void)
{
    return (struct pd_wal_config){.segment_bytes = 64u << 20,
                                  .segments_max = 1024,
                                  .spare_segments = 2,
                                  .groups_max = 64,
                                  .mark_bytes_max = 4096,
                                  .reserve_bytes = 16u << 20};
}

/* Blocks that a segment's beginning takes at most. */
static uint64_t start_bytes_max(const struct pd_wal_config *config)
{
    uint64_t group = 3 * PD_WAL_RECORD_HEADER_SIZE + (uint64_t)config->mark_bytes_max;
    uint64_t batch = PD_WAL_BATCH_HEADER_SIZE + config->groups_max * group;
    return PD_DISK_BLOCK_SIZE +
           (batch + PD_DISK_BLOCK_SIZE - 1) / PD_DISK_BLOCK_SIZE * PD_DISK_BLOCK_SIZE;
}

uint64_t pd_wal_batch_bytes_max(const struct pd_wal_config *config)
{
    uint64_t start = start_bytes_max(config);
    return config->segment_bytes > start ? config->segment_bytes - start : 0;
}

static bool config_is_sound(const struct pd_wal_config *config)
{
    return config->segment_bytes % PD_DISK_BLOCK_SIZE == 0 && config->segments_max >= 2 &&
           config->groups_max > 0 && config->spare_segments > 0 &&
           config->spare_segments <= PD_WAL_SPARES_MAX &&
           config->reserve_bytes % PD_DISK_BLOCK_SIZE == 0 && config->segment_bytes <= UINT32_MAX &&
           pd_wal_batch_bytes_max(config) > 0;
}

static void *align(void *block)
{
    uintptr_t at = (uintptr_t)block;
    uintptr_t over = at % PD_DISK_BLOCK_SIZE;
    return (uint8_t *)block + (over == 0 ? 0 : PD_DISK_BLOCK_SIZE - over);
}

bool pd_wal_room(struct pd_wal *wal, size_t size)
{
    if (size <= wal->room_size) {
        return true;
    }
    void *block = pd_alloc(size + PD_DISK_BLOCK_SIZE);
    if (block == NULL) {
        return false;
    }
    pd_free(wal->room_block);
    wal->room_block = block;
    wal->room = align(block);
    wal->room_size = size;
    return true;
}

struct pd_wal_group *pd_wal_group_at(struct pd_wal *wal, uint32_t group_id)
{
    for (uint32_t i = 0; i < wal->group_count; i++) {
        if (wal->groups[i].group_id == group_id) {
            return &wal->groups[i];
        }
    }
    if (wal->group_count == wal->config.groups_max) {
        return NULL;
    }
    struct pd_wal_group *group = &wal->groups[wal->group_count++];
    group->group_id = group_id;
    return group;
}

bool pd_wal_note(struct pd_wal *wal, const struct pd_wal_record *record)
{
    struct pd_wal_group *group = pd_wal_group_at(wal, record->group_id);
    if (group == NULL) {
        return false;
    }
    switch (record->type) {
    case PD_WAL_ENTRY: {
        uint64_t *last = &wal->segments[wal->segment_count - 1].last[group - wal->groups];
        *last = *last < record->index ? record->index : *last;
        return true;
    }
    case PD_WAL_HARD_STATE:
        group->has_hard_state = true;
        group->term = record->term;
        group->vote = record->node;
        group->commit = record->index;
        return true;
    case PD_WAL_SNAPSHOT:
        if (record->payload.size > wal->config.mark_bytes_max) {
            return false;
        }
        group->has_snapshot = true;
        group->snapshot_index = record->index;
        group->snapshot_term = record->term;
        group->mark_size = record->payload.size;
        if (group->mark_size > 0) {
            memcpy(group->mark, record->payload.bytes, group->mark_size);
        }
        return true;
    case PD_WAL_FIRST:
        group->first = group->first < record->index ? record->index : group->first;
        return true;
    }
    return false;
}

static bool record_is_valid(const struct pd_wal *wal, const struct pd_wal_record *record)
{
    return record->type >= PD_WAL_ENTRY && record->type <= PD_WAL_FIRST &&
           record->payload.size <= UINT32_MAX &&
           (record->type != PD_WAL_SNAPSHOT || record->payload.size <= wal->config.mark_bytes_max);
}

/* Groups among the records that have no slot yet do not exceed what is left. */
static bool groups_fit(struct pd_wal *wal, const struct pd_wal_record *records, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (pd_wal_group_at(wal, records[i].group_id) == NULL) {
            return false;
        }
    }
    return true;
}

/* What every group must be known by when older segments are gone. Returns the number of records. */
static uint32_t start_records(struct pd_wal *wal)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < wal->group_count; i++) {
        const struct pd_wal_group *group = &wal->groups[i];
        struct pd_wal_record record = {.group_id = group->group_id};
        if (group->has_hard_state && !PD_MUTANT(WAL_VOTE_NOT_CARRIED)) {
            record.type = PD_WAL_HARD_STATE;
            record.term = group->term;
            record.node = group->vote;
            record.index = group->commit;
            wal->start[count++] = record;
        }
        if (group->has_snapshot) {
            record =
                (struct pd_wal_record){.type = PD_WAL_SNAPSHOT,
                                       .group_id = group->group_id,
                                       .index = group->snapshot_index,
                                       .term = group->snapshot_term,
                                       .payload = {.bytes = group->mark, .size = group->mark_size}};
            wal->start[count++] = record;
        }
        if (group->first > 0 && !PD_MUTANT(WAL_FIRST_NOT_CARRIED)) {
            record = (struct pd_wal_record){
                .type = PD_WAL_FIRST, .group_id = group->group_id, .index = group->first};
            wal->start[count++] = record;
        }
    }
    return count;
}

/* A spare that is ready, or one that can be made. */
static enum pd_status take_spare(struct pd_wal *wal, uint32_t *spare_out)
{
    for (uint32_t i = 0; i < wal->config.spare_segments; i++) {
        if (wal->spares[i]) {
            *spare_out = i;
            return PD_OK;
        }
    }
    *spare_out = 0;
    enum pd_status status = pd_wal_make_spare(wal, 0, wal->config.room_bytes);
    PD_SOMETIMES(WAL_NO_SPARE, status != PD_OK);
    wal->is_low = wal->is_low || status == PD_ERR_FULL;
    return status;
}

/* Write the beginning of a new segment and the batch behind it into a spare. It gets its name with
 * the sync. */
static enum pd_status write_in_new_segment(struct pd_wal *wal, const struct pd_wal_record *records,
                                           uint32_t count)
{
    uint32_t spare = 0;
    if (wal->segment_count == wal->config.segments_max) {
        return PD_ERR_FULL;
    }
    enum pd_status status = take_spare(wal, &spare);
    if (status != PD_OK) {
        return status;
    }
    PD_SOMETIMES(WAL_SEGMENT_BEGUN, true);
    uint32_t start_count = start_records(wal);
    uint64_t sequence = wal->segments[wal->segment_count - 1].sequence + 1;
    uint64_t batch = wal->batch_sequence;
    uint64_t chain = wal->chain;
    if (!pd_wal_room(wal, (size_t)(PD_DISK_BLOCK_SIZE + pd_wal_batch_size(wal->start, start_count) +
                                   pd_wal_batch_size(records, count)))) {
        return PD_ERR_NO_MEMORY;
    }
    pd_wal_segment_encode(
        wal->room, &(struct pd_wal_segment_header){.identity = wal->identity,
                                                   .sequence = sequence,
                                                   .segment_bytes = wal->config.segment_bytes,
                                                   .first_batch = batch,
                                                   .chain = chain});
    size_t size = PD_DISK_BLOCK_SIZE;
    if (start_count > 0) {
        size += pd_wal_batch_encode(wal->room + size, wal->identity, sequence, batch++, wal->start,
                                    start_count, &chain);
    }
    size += pd_wal_batch_encode(wal->room + size, wal->identity, sequence, batch++, records, count,
                                &chain);
    struct pd_disk_name name;
    struct pd_disk_file file;
    uint64_t file_size = 0;
    pd_wal_spare_name(spare, &name);
    status = wal->disk->ops->open(wal->disk, name.text, &file, &file_size);
    if (status != PD_OK) {
        return status == PD_ERR_FULL ? status : PD_ERR_IO; /* no descriptor is left for it */
    }
    status = wal->disk->ops->write(wal->disk, file, 0, wal->room, size);
    if (status != PD_OK) {
        wal->disk->ops->close(wal->disk, file);
        return status;
    }
    wal->disk->ops->close(wal->disk, wal->file);
    wal->file = file;
    wal->renamed = spare + 1;
    wal->offset = size;
    wal->batch_sequence = batch;
    wal->chain = chain;
    struct pd_wal_segment *segment = &wal->segments[wal->segment_count++];
    segment->sequence = sequence;
    memset(segment->last, 0, wal->config.groups_max * sizeof *segment->last);
    return PD_OK;
}

static enum pd_status write_here(struct pd_wal *wal, const struct pd_wal_record *records,
                                 uint32_t count, uint64_t size)
{
    if (!pd_wal_room(wal, (size_t)size)) {
        return PD_ERR_NO_MEMORY;
    }
    uint64_t chain = wal->chain;
    size_t padded = pd_wal_batch_encode(wal->room, wal->identity,
                                        wal->segments[wal->segment_count - 1].sequence,
                                        wal->batch_sequence, records, count, &chain);
    enum pd_status status =
        wal->disk->ops->write(wal->disk, wal->file, wal->offset, wal->room, padded);
    if (status == PD_OK) {
        wal->offset += padded;
        wal->batch_sequence++;
        wal->chain = chain;
    }
    return status;
}

enum pd_status pd_wal_write(struct pd_wal *wal, const struct pd_wal_record *records, uint32_t count)
{
    pd_assert(!wal->is_dirty);
    for (uint32_t i = 0; i < count; i++) {
        if (!record_is_valid(wal, &records[i])) {
            return PD_ERR_INVALID;
        }
    }
    uint64_t size = pd_wal_batch_size(records, count);
    if (count == 0 || size > pd_wal_batch_bytes_max(&wal->config) ||
        !groups_fit(wal, records, count)) {
        return PD_ERR_INVALID;
    }
    enum pd_status status = wal->offset + size > wal->config.segment_bytes
                                ? write_in_new_segment(wal, records, count)
                                : write_here(wal, records, count, size);
    if (status != PD_OK) {
        return status;
    }
    for (uint32_t i = 0; i < count; i++) {
        bool is_noted = pd_wal_note(wal, &records[i]);
        pd_assert(is_noted);
    }
    wal->is_dirty = true;
    return PD_OK;
}

/* The segment that was begun gets its name: durably, or the batch in it is not there after a
 * crash. */
static enum pd_status name_segment(struct pd_wal *wal)
{
    struct pd_disk_name from;
    struct pd_disk_name to;
    pd_wal_spare_name(wal->renamed - 1, &from);
    pd_wal_segment_name(wal->segments[wal->segment_count - 1].sequence, &to);
    if (wal->disk->ops->rename(wal->disk, from.text, to.text) != PD_OK) {
        return PD_ERR_IO;
    }
    wal->spares[wal->renamed - 1] = false;
    wal->renamed = 0;
    return PD_MUTANT(WAL_NO_NAME_SYNC) || wal->disk->ops->sync_names(wal->disk) == PD_OK
               ? PD_OK
               : PD_ERR_IO;
}

enum pd_status pd_wal_sync(struct pd_wal *wal)
{
    if (!wal->is_dirty) {
        return PD_OK;
    }
    if (!PD_MUTANT(WAL_NO_SYNC) && wal->disk->ops->sync(wal->disk, wal->file) != PD_OK) {
        return PD_ERR_IO;
    }
    if (wal->renamed != 0 && name_segment(wal) != PD_OK) {
        return PD_ERR_IO;
    }
    wal->is_dirty = false;
    return PD_OK;
}

void pd_wal_cut(struct pd_wal *wal, uint32_t group_id, uint64_t index)
{
    struct pd_wal_group *group = pd_wal_group_at(wal, group_id);
    if (group != NULL && group->first < index) {
        group->first = index;
    }
}

uint64_t pd_wal_segment_count(const struct pd_wal *wal)
{
    return wal->segment_count;
}

/* The tables of a log; false: no memory, or what was taken is in *wal for close. */
static bool take_tables(struct pd_wal *wal)
{
    const struct pd_wal_config *config = &wal->config;
    wal->groups = pd_alloc_zeroed(config->groups_max, sizeof *wal->groups);
    wal->segments = pd_alloc_zeroed(config->segments_max, sizeof *wal->segments);
    wal->lasts =
        pd_alloc_zeroed((size_t)config->segments_max * config->groups_max, sizeof(uint64_t));
    wal->start = pd_alloc_zeroed(3 * (size_t)config->groups_max, sizeof *wal->start);
    wal->fill_block = pd_alloc_zeroed(1, FILL_BYTES + PD_DISK_BLOCK_SIZE);
    if (wal->groups == NULL || wal->segments == NULL || wal->lasts == NULL || wal->start == NULL ||
        wal->fill_block == NULL) {
        return false;
    }
    wal->fill = align(wal->fill_block);
    for (uint32_t i = 0; i < config->segments_max; i++) {
        wal->segments[i].last = wal->lasts + (size_t)i * config->groups_max;
    }
    for (uint32_t i = 0; i < config->groups_max; i++) {
        wal->groups[i].mark = pd_alloc(config->mark_bytes_max + 1u);
        if (wal->groups[i].mark == NULL) {
            return false;
        }
    }
    return pd_wal_room(wal, FILL_BYTES);
}

static void free_tables(struct pd_wal *wal)
{
    for (uint32_t i = 0; wal->groups != NULL && i < wal->config.groups_max; i++) {
        pd_free(wal->groups[i].mark);
    }
    pd_free(wal->groups);
    pd_free(wal->segments);
    pd_free(wal->lasts);
    pd_free(wal->start);
    pd_free(wal->fill_block);
    pd_free(wal->room_block);
    pd_free(wal);
}

void pd_wal_close(struct pd_wal *wal)
{
    if (wal == NULL) {
        return;
    }
    if (wal->file.handle >= 0) {
        wal->disk->ops->close(wal->disk, wal->file);
    }
    free_tables(wal);
}

static enum pd_status open_log(struct pd_disk *disk, const struct pd_wal_config *config,
                               pd_wal_visit visit, void *state, bool may_change,
                               struct pd_wal_report *report_out, struct pd_wal **wal_out)
{
    memset(report_out, 0, sizeof *report_out);
    struct pd_wal *wal = pd_alloc_zeroed(1, sizeof *wal);
    if (wal == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    wal->disk = disk;
    wal->config = *config;
    wal->file.handle = -1;
    enum pd_status status = take_tables(wal)
                                ? pd_wal_recover(wal, visit, state, may_change, report_out)
                                : PD_ERR_NO_MEMORY;
    if (status != PD_OK) {
        pd_wal_close(wal);
        return status;
    }
    *wal_out = wal;
    return PD_OK;
}

enum pd_status pd_wal_open(struct pd_disk *disk, const struct pd_wal_config *config,
                           pd_wal_visit visit, void *state, struct pd_wal_report *report_out,
                           struct pd_wal **wal_out)
{
    memset(report_out, 0, sizeof *report_out);
    return config_is_sound(config) ? open_log(disk, config, visit, state, true, report_out, wal_out)
                                   : PD_ERR_INVALID;
}

enum pd_status pd_wal_verify(struct pd_disk *disk, pd_wal_visit visit, void *state,
                             struct pd_wal_report *report_out)
{
    struct pd_wal_config config = pd_wal_config_default();
    struct pd_wal *wal = NULL;
    config.segment_bytes = 0; /* what the files say */
    config.segments_max = 65536;
    enum pd_status status = open_log(disk, &config, visit, state, false, report_out, &wal);
    if (status == PD_OK) {
        pd_wal_close(wal);
    }
    return status;
}
