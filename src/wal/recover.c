/* recover - reads a log from its first segment to its last sound batch, and tells a torn tail from
 * damage. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "wal/decode.h"
#include "wal/internal.h"

#define NAMES_MAX 66000u
#define FILL_BYTES (64u * PD_DISK_BLOCK_SIZE)

/* The reading of one log. */
struct reader {
    struct pd_wal *wal;
    pd_wal_visit visit;
    void *state;
    struct pd_wal_report *report;
    struct pd_disk_name name; /* of the segment that is read */
    struct pd_disk_file file;
    uint64_t sequence;
    uint64_t size;
    uint64_t offset;
    uint64_t last_offset; /* of the last sound batch of this segment */
    size_t last_size;     /* 0: there is none */
};

static enum pd_status damaged(const struct reader *reader, const char *what)
{
    snprintf(reader->report->text, sizeof reader->report->text,
             "%s: %s at offset %llu. Nothing was changed. Remove this node's data folder and let "
             "it join "
             "again, or restore a backup.",
             reader->name.text, what, (unsigned long long)reader->offset);
    return PD_ERR_CORRUPT;
}

static enum pd_status read_at(struct reader *reader, uint64_t offset, size_t size)
{
    struct pd_disk *disk = reader->wal->disk;
    size_t got = 0;
    if (!pd_wal_room(reader->wal, size)) {
        return PD_ERR_NO_MEMORY;
    }
    enum pd_status status =
        disk->ops->read(disk, reader->file, offset, reader->wal->room, size, &got);
    if (status != PD_OK) {
        return status;
    }
    return got == size ? PD_OK : PD_ERR_CORRUPT;
}

/* The segment's file is open and its first block continues what was read before. */
static enum pd_status open_segment(struct reader *reader, uint64_t sequence)
{
    struct pd_wal *wal = reader->wal;
    const struct reader before = *reader;
    pd_wal_segment_name(sequence, &reader->name);
    reader->sequence = sequence;
    reader->offset = 0;
    reader->last_size = 0;
    enum pd_status status =
        wal->disk->ops->open(wal->disk, reader->name.text, &reader->file, &reader->size);
    if (status != PD_OK) {
        return PD_ERR_IO;
    }
    wal->file = reader->file; /* so that close finds it */
    struct pd_wal_segment_header header;
    if (reader->size < 4 * (uint64_t)PD_DISK_BLOCK_SIZE) {
        return damaged(reader, "the file is too short for a segment");
    }
    status = read_at(reader, 0, PD_DISK_BLOCK_SIZE);
    if (status != PD_OK) {
        return status;
    }
    status = pd_wal_segment_decode(wal->room, &header);
    if (status != PD_OK) {
        return damaged(reader, status == PD_ERR_UNSUPPORTED
                                   ? "the segment is of a newer version of this program"
                                   : "the segment's header does not verify");
    }
    bool is_first = wal->segment_count == 0;
    if (is_first) {
        wal->identity = header.identity;
        wal->batch_sequence = header.first_batch;
        wal->chain = header.chain;
        if (wal->config.segment_bytes == 0) {
            wal->config.segment_bytes = header.segment_bytes;
        }
    }
    if (header.segment_bytes != reader->size || header.segment_bytes != wal->config.segment_bytes) {
        if (header.segment_bytes != reader->size) {
            return damaged(reader, "the file has another size than the segment's header says");
        }
        snprintf(reader->report->text, sizeof reader->report->text,
                 "%s: the log has segments of %" PRIu64 " bytes, and %" PRIu64
                 " are configured. Nothing was changed. Configure the size that it has.",
                 reader->name.text, header.segment_bytes, wal->config.segment_bytes);
        return PD_ERR_INVALID;
    }
    if (header.identity != wal->identity || header.sequence != sequence) {
        return damaged(reader, "the segment belongs to another log or place");
    }
    if (header.first_batch != wal->batch_sequence || header.chain != wal->chain) {
        return damaged(&before, "a batch does not verify, and a later segment continues behind it");
    }
    struct pd_wal_segment *segment = &wal->segments[wal->segment_count++];
    segment->sequence = sequence;
    reader->offset = PD_DISK_BLOCK_SIZE;
    return PD_OK;
}

/* Hand the records of the sound batch in `room` to the visitor. */
static enum pd_status visit_batch(struct reader *reader)
{
    struct pd_wal *wal = reader->wal;
    uint32_t count = pd_get_u32(wal->room + 16);
    size_t offset = PD_WAL_BATCH_HEADER_SIZE;
    for (uint32_t i = 0; i < count; i++) {
        struct pd_wal_record record;
        offset = pd_wal_batch_record(wal->room, offset, &record);
        if (!pd_wal_note(wal, &record)) {
            return damaged(reader,
                           "a record is of more groups, or a longer mark, than are configured");
        }
        enum pd_status status =
            reader->visit == NULL ? PD_OK : reader->visit(reader->state, &record);
        if (status != PD_OK) {
            return status;
        }
    }
    reader->report->batches++;
    reader->report->records += count;
    return PD_OK;
}

/* The batch at the offset is in `room`, sound, and *size_out long; PD_ERR_CORRUPT: there is
 * none. */
static enum pd_status read_batch(struct reader *reader, size_t *size_out)
{
    struct pd_wal *wal = reader->wal;
    if (reader->offset + PD_DISK_BLOCK_SIZE > reader->size) {
        return PD_ERR_CORRUPT;
    }
    enum pd_status status = read_at(reader, reader->offset, PD_DISK_BLOCK_SIZE);
    if (status != PD_OK) {
        return status;
    }
    uint64_t whole = PD_WAL_BATCH_HEADER_SIZE + (uint64_t)pd_get_u32(wal->room + 4);
    if (whole > reader->size - reader->offset) {
        return PD_ERR_CORRUPT;
    }
    size_t padded =
        (size_t)((whole + PD_DISK_BLOCK_SIZE - 1) / PD_DISK_BLOCK_SIZE * PD_DISK_BLOCK_SIZE);
    if (padded > PD_DISK_BLOCK_SIZE) {
        status = read_at(reader, reader->offset, padded);
        if (status != PD_OK) {
            return status;
        }
    }
    uint64_t chain = wal->chain;
    if (pd_wal_batch_check(wal->room, padded, wal->identity, reader->sequence, wal->batch_sequence,
                           &chain, size_out) != PD_OK) {
        return PD_ERR_CORRUPT;
    }
    wal->chain = chain;
    wal->batch_sequence++;
    return PD_OK;
}

static enum pd_status read_segment(struct reader *reader)
{
    size_t size = 0;
    uint64_t before = reader->wal->batch_sequence;
    enum pd_status status = PD_OK;
    while ((status = read_batch(reader, &size)) == PD_OK) {
        status = visit_batch(reader);
        if (status != PD_OK) {
            return status;
        }
        reader->last_offset = reader->offset;
        reader->last_size = size;
        reader->offset += size;
    }
    if (status == PD_ERR_CORRUPT && reader->sequence > 1 && before == reader->wal->batch_sequence &&
        !PD_MUTANT(WAL_BEGINNING_MAY_BE_TORN)) {
        /* It was durable before the file had this name. */
        return damaged(reader, "the segment's first batch does not verify");
    }
    return status == PD_ERR_CORRUPT ? PD_OK : status;
}

/* Whether a block is the header of a batch of this segment that comes after the expected one. */
static bool is_later_batch(const struct reader *reader, const uint8_t *block)
{
    uint64_t sequence = pd_get_u64(block + 8);
    uint32_t seed = pd_wal_seed(reader->wal->identity, reader->sequence, sequence);
    return sequence > reader->wal->batch_sequence &&
           pd_crc32c(seed, block + 4, PD_WAL_BATCH_HEADER_SIZE - 4) == pd_get_u32(block);
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

/* Look behind the last sound batch. *torn_end_out: the end of what a torn batch left, or the
 * offset. PD_ERR_CORRUPT: a later batch was written, so the one in between was durable once. */
static enum pd_status judge_tail(struct reader *reader, uint64_t *torn_end_out)
{
    struct pd_wal *wal = reader->wal;
    bool is_torn = false;
    *torn_end_out = reader->offset;
    for (uint64_t at = reader->offset; at < reader->size; at += FILL_BYTES) {
        size_t size = reader->size - at < FILL_BYTES ? (size_t)(reader->size - at) : FILL_BYTES;
        enum pd_status status = read_at(reader, at, size);
        if (status != PD_OK) {
            return status;
        }
        /* A recycled file has stale batches here, but of other segments; their headers differ. */
        is_torn =
            is_torn || (at == reader->offset && pd_get_u64(wal->room + 8) == wal->batch_sequence);
        for (size_t block = 0; block < size; block += PD_DISK_BLOCK_SIZE) {
            if (is_later_batch(reader, wal->room + block) && !PD_MUTANT(WAL_TAIL_HIDES_DAMAGE)) {
                return damaged(reader,
                               "a batch does not verify, but later ones do: the log is damaged");
            }
            if (is_torn && !is_zero(wal->room + block, PD_DISK_BLOCK_SIZE)) {
                *torn_end_out = at + block + PD_DISK_BLOCK_SIZE;
            }
        }
    }
    return PD_OK;
}

/* Write the last batch once more. It alone may be in the system's cache and not on the disk: each
 * is synced before the next is written. When that sync has failed, this start's or that of a
 * process before, the system takes its pages for clean, and another sync would do nothing (Rebello
 * et al., Can Applications Recover from fsync Failures?, ATC 2020). */
static enum pd_status write_last_batch(struct reader *reader)
{
    struct pd_wal *wal = reader->wal;
    if (reader->last_size == 0 || PD_MUTANT(WAL_RECOVERY_TRUSTS_CACHE)) {
        return PD_OK;
    }
    enum pd_status status = read_at(reader, reader->last_offset, reader->last_size);
    return status == PD_OK ? wal->disk->ops->write(wal->disk, reader->file, reader->last_offset,
                                                   wal->room, reader->last_size)
                           : status;
}

/* What a killed process left in the system's cache was read as if it were there: a later power cut
 * must not take it, for the node goes on from it. */
static enum pd_status make_durable(struct reader *reader)
{
    struct pd_disk *disk = reader->wal->disk;
    if (PD_MUTANT(WAL_RECOVERY_NOT_SYNCED)) {
        return PD_OK;
    }
    enum pd_status status = write_last_batch(reader);
    status = status == PD_OK ? disk->ops->sync(disk, reader->file) : status;
    return status == PD_OK ? disk->ops->sync_names(disk) : status;
}

/* Zero what a torn batch left, durably, before anything is written behind the last sound one. */
static enum pd_status cut_tail(struct reader *reader, uint64_t end)
{
    struct pd_wal *wal = reader->wal;
    enum pd_status status = PD_OK;
    if (PD_MUTANT(WAL_TAIL_NOT_ZEROED)) {
        return PD_OK;
    }
    for (uint64_t at = reader->offset; status == PD_OK && at < end; at += FILL_BYTES) {
        status = wal->disk->ops->write(wal->disk, reader->file, at, wal->fill,
                                       end - at < FILL_BYTES ? (size_t)(end - at) : FILL_BYTES);
    }
    return status == PD_OK ? wal->disk->ops->sync(wal->disk, reader->file) : status;
}

static enum pd_status end_log(struct reader *reader, bool may_change)
{
    uint64_t end = 0;
    enum pd_status status = judge_tail(reader, &end);
    if (status != PD_OK) {
        return status;
    }
    reader->wal->offset = reader->offset;
    reader->report->torn_bytes = end - reader->offset;
    PD_SOMETIMES(WAL_TAIL_CUT, end > reader->offset && may_change);
    if (end == reader->offset) {
        return may_change ? make_durable(reader) : PD_OK;
    }
    snprintf(
        reader->report->text, sizeof reader->report->text,
        "%s: the last batch was torn by a crash at offset %llu; nothing acknowledged was in it. %s",
        reader->name.text, (unsigned long long)reader->offset,
        may_change ? "It was cut." : "The next start cuts it.");
    status = may_change ? cut_tail(reader, end) : PD_OK;
    return status == PD_OK && may_change ? make_durable(reader) : status;
}

/* The first segment of a new log, under its name only when it is whole. */
static enum pd_status begin_log(struct pd_wal *wal)
{
    struct pd_disk_name from;
    struct pd_disk_name to;
    uint64_t size = 0;
    wal->identity = wal->config.identity;
    wal->batch_sequence = 1;
    wal->offset = PD_DISK_BLOCK_SIZE;
    wal->segments[wal->segment_count++].sequence = 1;
    pd_wal_spare_name(0, &from);
    pd_wal_segment_name(1, &to);
    enum pd_status status = pd_wal_make_spare(wal, 0, 0);
    if (status != PD_OK) {
        return status;
    }
    status = wal->disk->ops->open(wal->disk, from.text, &wal->file, &size);
    if (status != PD_OK) {
        return status;
    }
    pd_wal_segment_encode(
        wal->room, &(struct pd_wal_segment_header){.identity = wal->identity,
                                                   .sequence = 1,
                                                   .segment_bytes = wal->config.segment_bytes,
                                                   .first_batch = 1});
    status = wal->disk->ops->write(wal->disk, wal->file, 0, wal->room, PD_DISK_BLOCK_SIZE);
    if (status == PD_OK) {
        status = wal->disk->ops->sync(wal->disk, wal->file);
    }
    if (status == PD_OK) {
        status = wal->disk->ops->rename(wal->disk, from.text, to.text);
    }
    wal->spares[0] = false;
    return status == PD_OK ? wal->disk->ops->sync_names(wal->disk) : status;
}

static enum pd_status read_log(struct reader *reader, const struct pd_disk_name *names,
                               uint32_t name_count, bool may_change)
{
    struct pd_wal *wal = reader->wal;
    for (uint32_t i = 0; i < name_count; i++) {
        uint64_t sequence = 0;
        if (!pd_wal_segment_parse(names[i].text, &sequence)) {
            continue;
        }
        if (wal->segment_count > 0) {
            wal->disk->ops->close(wal->disk, wal->file);
            wal->file.handle = -1;
            if (sequence != reader->sequence + 1) {
                return damaged(reader, "the segment that follows is missing");
            }
        }
        if (wal->segment_count == wal->config.segments_max) {
            snprintf(reader->report->text, sizeof reader->report->text,
                     "%s: the log has more than the %" PRIu32
                     " segments that are configured. Nothing was changed. Allow more of them.",
                     names[i].text, wal->config.segments_max);
            return PD_ERR_INVALID;
        }
        enum pd_status status = open_segment(reader, sequence);
        if (status == PD_OK) {
            status = read_segment(reader);
        }
        if (status != PD_OK) {
            return status;
        }
    }
    reader->report->segments = wal->segment_count;
    reader->report->identity = wal->identity;
    return wal->segment_count > 0 ? end_log(reader, may_change) : PD_OK;
}

enum pd_status pd_wal_recover(struct pd_wal *wal, pd_wal_visit visit, void *state, bool may_change,
                              struct pd_wal_report *report)
{
    struct reader reader = {.wal = wal, .visit = visit, .state = state, .report = report};
    struct pd_disk_name *names = pd_alloc(NAMES_MAX * sizeof *names);
    uint32_t name_count = 0;
    if (names == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    enum pd_status status = wal->disk->ops->list(wal->disk, names, NAMES_MAX, &name_count);
    if (status == PD_OK) {
        status = read_log(&reader, names, name_count, may_change);
    }
    pd_free(names);
    if (status != PD_OK || !may_change) {
        return status;
    }
    if (wal->segment_count == 0) {
        status = begin_log(wal);
        report->segments = 1;
        report->identity = wal->identity;
    }
    return status == PD_OK ? pd_wal_find_spares(wal) : status;
}
