/* space - spare segments, the reserve, and what becomes of segments that are past. */
#include <stdio.h>
#include <string.h>

#include "base/mutant.h"
#include "base/sometimes.h"
#include "wal/internal.h"

#define FILL_BYTES (64u * PD_DISK_BLOCK_SIZE)
#define RESERVE_NAME "reserve"
#define NEW_NAME "new"

void pd_wal_spare_name(uint32_t spare, struct pd_disk_name *name_out)
{
    snprintf(name_out->text, sizeof name_out->text, "spare-%u", (unsigned)spare);
}

/* Looked at before, not found out by writing: a file that cannot be finished would take the last
 * bytes from others on this disk, for as long as it is tried. */
static bool leaves_room(struct pd_wal *wal, uint64_t size, uint64_t room)
{
    uint64_t free_bytes = 0;
    return wal->disk->ops->free_bytes(wal->disk, &free_bytes) != PD_OK ||
           (free_bytes >= size && free_bytes - size >= room);
}

/* A file of zeroes, durable, under `name`. Until it is whole it has another name. PD_ERR_FULL: it
 * would not leave `room` bytes. */
static enum pd_status make_zero_file(struct pd_wal *wal, const char *name, uint64_t size,
                                     uint64_t room)
{
    struct pd_disk *disk = wal->disk;
    struct pd_disk_file file;
    enum pd_status status = disk->ops->remove(disk, NEW_NAME);
    if (status != PD_OK && status != PD_ERR_UNKNOWN) {
        return status;
    }
    if (!leaves_room(wal, size, room)) {
        return PD_ERR_FULL;
    }
    status = disk->ops->create(disk, NEW_NAME, &file);
    if (status != PD_OK) {
        return status;
    }
    for (uint64_t offset = 0; status == PD_OK && offset < size; offset += FILL_BYTES) {
        uint64_t left = size - offset;
        status = disk->ops->write(disk, file, offset, wal->fill,
                                  left < FILL_BYTES ? (size_t)left : FILL_BYTES);
    }
    if (status == PD_OK) {
        status = disk->ops->sync(disk, file);
    }
    disk->ops->close(disk, file);
    if (status == PD_OK) {
        status = disk->ops->rename(disk, NEW_NAME, name);
        return status == PD_OK ? disk->ops->sync_names(disk) : status;
    }
    if (status == PD_ERR_FULL && disk->ops->remove(disk, NEW_NAME) != PD_OK) {
        return PD_ERR_IO;
    }
    return status;
}

enum pd_status pd_wal_make_spare(struct pd_wal *wal, uint32_t spare, uint64_t room)
{
    struct pd_disk_name name;
    pd_wal_spare_name(spare, &name);
    enum pd_status status = make_zero_file(wal, name.text, wal->config.segment_bytes, room);
    wal->spares[spare] = status == PD_OK;
    return status;
}

static bool has_size(struct pd_wal *wal, const char *name, uint64_t wanted)
{
    struct pd_disk_file file;
    uint64_t size = 0;
    if (wal->disk->ops->open(wal->disk, name, &file, &size) != PD_OK) {
        return false;
    }
    wal->disk->ops->close(wal->disk, file);
    return size == wanted;
}

enum pd_status pd_wal_find_spares(struct pd_wal *wal)
{
    for (uint32_t i = 0; i < wal->config.spare_segments; i++) {
        struct pd_disk_name name;
        pd_wal_spare_name(i, &name);
        wal->spares[i] = has_size(wal, name.text, wal->config.segment_bytes);
    }
    wal->has_reserve =
        wal->config.reserve_bytes > 0 && has_size(wal, RESERVE_NAME, wal->config.reserve_bytes);
    return PD_OK;
}

/* Every group's entries in the oldest segment are below what it needs, and a newer one is
 * durable. */
static bool oldest_is_past(const struct pd_wal *wal)
{
    if (wal->segment_count < 2 || wal->is_dirty) {
        return false;
    }
    for (uint32_t i = 0; i < wal->group_count && !PD_MUTANT(WAL_CUT_TOO_EARLY); i++) {
        if (wal->segments[0].last[i] >= wal->groups[i].first && wal->segments[0].last[i] > 0) {
            return false;
        }
    }
    return true;
}

/* The first spare that is missing, or spare_segments. */
static uint32_t missing_spare(const struct pd_wal *wal)
{
    uint32_t i = 0;
    while (i < wal->config.spare_segments && wal->spares[i]) {
        i++;
    }
    return i;
}

/* The oldest segment becomes a spare, or goes. Its name is durably another before the next one's
 * changes, so that a crash never leaves a gap between segments. */
static enum pd_status recycle_oldest(struct pd_wal *wal)
{
    struct pd_disk_name from;
    struct pd_disk_name to;
    pd_wal_segment_name(wal->segments[0].sequence, &from);
    uint32_t spare = missing_spare(wal);
    bool is_kept = spare < wal->config.spare_segments;
    PD_SOMETIMES(WAL_RECYCLED, is_kept);
    pd_wal_spare_name(spare, &to);
    enum pd_status status = is_kept ? wal->disk->ops->rename(wal->disk, from.text, to.text)
                                    : wal->disk->ops->remove(wal->disk, from.text);
    if (status == PD_OK && !PD_MUTANT(WAL_RECYCLE_NOT_SYNCED)) {
        status = wal->disk->ops->sync_names(wal->disk);
    }
    if (status != PD_OK) {
        return PD_ERR_IO;
    }
    if (is_kept) {
        wal->spares[spare] = true;
    }
    /* The row of numbers goes to the end with its segment: it is used again. */
    struct pd_wal_segment gone = wal->segments[0];
    memmove(wal->segments, wal->segments + 1, (wal->segment_count - 1) * sizeof gone);
    wal->segment_count--;
    wal->segments[wal->segment_count] = gone;
    return PD_OK;
}

enum pd_status pd_wal_maintain(struct pd_wal *wal, bool *more_out)
{
    *more_out = false;
    if (wal->is_dirty) {
        return PD_OK;
    }
    enum pd_status status = PD_OK;
    if (oldest_is_past(wal)) {
        status = recycle_oldest(wal);
        *more_out = status == PD_OK;
        return status;
    }
    uint32_t spare = missing_spare(wal);
    if (spare < wal->config.spare_segments) {
        status = pd_wal_make_spare(wal, spare, wal->config.room_bytes);
        if (status == PD_ERR_FULL && wal->has_reserve && !PD_MUTANT(WAL_RESERVE_KEPT)) {
            /* What frees space elsewhere may need some first. */
            PD_SOMETIMES(WAL_RESERVE_GIVEN, true);
            wal->has_reserve = false;
            if (wal->disk->ops->remove(wal->disk, RESERVE_NAME) != PD_OK ||
                wal->disk->ops->sync_names(wal->disk) != PD_OK) {
                return PD_ERR_IO;
            }
        }
    } else if (wal->config.reserve_bytes > 0 && !wal->has_reserve) {
        status =
            make_zero_file(wal, RESERVE_NAME, wal->config.reserve_bytes, wal->config.room_bytes);
        wal->has_reserve = status == PD_OK;
        PD_SOMETIMES(WAL_RESERVE_BACK, wal->has_reserve && wal->is_low);
    } else {
        wal->is_low = false;
        return PD_OK;
    }
    wal->is_low = wal->is_low || status == PD_ERR_FULL;
    *more_out = status == PD_OK;
    return status;
}

bool pd_wal_is_low(const struct pd_wal *wal)
{
    return wal->is_low;
}
