/* wal - the write-ahead log: records of all groups of a node in segments of one folder.
 *
 * Model      A log is a sequence of batches, each of which is there wholly or not at all.
 *            pd_wal_write() hands a batch to the disk, pd_wal_sync() makes it durable: only then
 *            may anything be answered. One batch is under way at a time, so a crash can tear only
 *            the last one.
 * Segments   Files of segment_bytes, zero-filled and synced before use, named by their sequence. A
 *            new one begins with each group's hard state, snapshot mark and first index. An older
 *            one is recycled when that is durable and every group's first index lies behind it.
 * Recovery   A tail that does not verify is torn: cut, zeroed, synced, counted. What does not
 *            verify before a batch or segment that does is damage: PD_ERR_CORRUPT, and nothing is
 *            changed.
 * Space      When the spare segments cannot be had the log is low: refuse clients' writes; what
 *            frees space may go on in the spares and the reserve. With none left pd_wal_write is
 *            PD_ERR_FULL and writes nothing.
 * Bounds     struct pd_wal_config.
 * Ownership  The caller owns the disk and keeps it alive as long. Records are borrowed for the
 *            call.
 * Threads    One thread at a time. Real: the log thread. Format: docs/wal-format.md. */
#ifndef PD_WAL_WAL_H
#define PD_WAL_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/span.h"
#include "base/status.h"

#define PD_WAL_TEXT_MAX 256u

struct pd_wal;

enum pd_wal_record_type {
    PD_WAL_ENTRY = 1, /* index, term, kind = entry type, payload; replaces all at or after index */
    PD_WAL_HARD_STATE = 2, /* term, index = commit, node = vote: one record, so never half */
    PD_WAL_SNAPSHOT = 3,   /* the store holds all up to index (of term); payload: configuration */
    PD_WAL_FIRST = 4       /* entries below index are not needed and may be missing */
};

struct pd_wal_record {
    enum pd_wal_record_type type;
    uint32_t group_id;
    uint8_t kind;
    uint64_t index;
    uint64_t term;
    uint64_t node;
    struct pd_span payload;
};

struct pd_wal_config {
    uint64_t identity;       /* of a new log: any number that no other log of these disks has */
    uint64_t segment_bytes;  /* a multiple of PD_DISK_BLOCK_SIZE, >= 4 blocks */
    uint32_t segments_max;   /* beyond: PD_ERR_FULL */
    uint32_t spare_segments; /* kept zero-filled ahead of need */
    uint32_t groups_max;
    uint32_t mark_bytes_max; /* payload of a SNAPSHOT */
    uint64_t reserve_bytes;  /* of a file that is given back to a full disk; 0: none */
    uint64_t room_bytes;     /* free space that a new spare or reserve leaves to others */
};

/* 64 MiB segments, two spares, 16 MiB reserve, 1,024 segments, 64 groups. */
struct pd_wal_config pd_wal_config_default(void);

/* What recovery found. */
struct pd_wal_report {
    uint64_t identity;
    uint64_t segments;
    uint64_t batches;
    uint64_t records;
    uint64_t torn_bytes;        /* of a tail that was cut; 0: the log ended cleanly */
    char text[PD_WAL_TEXT_MAX]; /* of damage or a cut: segment, offset, what to do; else empty */
};

/* Called for every record of the log, in order. Another status than PD_OK ends the recovery with
 * it. */
typedef enum pd_status (*pd_wal_visit)(void *state, const struct pd_wal_record *record);

/* Recover the log in the disk's folder, or begin one in an empty folder.
 *
 * PD_OK              *wal_out is the caller's, to close. report_out->torn_bytes tells whether a
 *                    tail was cut.
 * PD_ERR_CORRUPT     damage before the tail, or files that are no log: report_out->text. Nothing
 *                    was changed.
 * PD_ERR_INVALID     the configuration contradicts itself, or the segments have another size.
 * PD_ERR_FULL        no room for a first segment.
 * PD_ERR_NO_MEMORY, PD_ERR_IO. */
PD_NODISCARD enum pd_status pd_wal_open(struct pd_disk *disk, const struct pd_wal_config *config,
                                        pd_wal_visit visit, void *state,
                                        struct pd_wal_report *report_out, struct pd_wal **wal_out);
/* Read and judge a log without changing anything: for people. As pd_wal_open, and a torn tail is
 * told only. */
PD_NODISCARD enum pd_status pd_wal_verify(struct pd_disk *disk, pd_wal_visit visit, void *state,
                                          struct pd_wal_report *report_out);
void pd_wal_close(struct pd_wal *wal);

/* Hand one batch to the disk. Not durable yet.
 *
 * PD_OK           call pd_wal_sync before the next write.
 * PD_ERR_FULL     no space, nothing was written: refuse, free space, try again.
 * PD_ERR_INVALID  a record of an unknown type, too long, or of one group too many; nothing was
 *                 written.
 * PD_ERR_IO       the disk failed: the log cannot be trusted: stop. */
PD_NODISCARD enum pd_status pd_wal_write(struct pd_wal *wal, const struct pd_wal_record *records,
                                         uint32_t count);
/* Make what was written durable. PD_ERR_IO: stop at once (pd_fatal): what the disk holds is
 * unknown. */
PD_NODISCARD enum pd_status pd_wal_sync(struct pd_wal *wal);

/* Entries of a group below `index` are not needed any more: the store holds them durably. Never
 * goes back. */
void pd_wal_cut(struct pd_wal *wal, uint32_t group_id, uint64_t index);
/* Recycle what is past, prepare spares, get the reserve back: off the path of a write, when nothing
 * is under way. Does at most one file's work. *more_out: call again. PD_ERR_FULL: the disk is; the
 * log is low. PD_ERR_IO: stop. */
PD_NODISCARD enum pd_status pd_wal_maintain(struct pd_wal *wal, bool *more_out);

/* Spares are missing and cannot be had: refuse new writes of clients. */
bool pd_wal_is_low(const struct pd_wal *wal);
/* Bytes of a batch that a single pd_wal_write takes at most. */
uint64_t pd_wal_batch_bytes_max(const struct pd_wal_config *config);
/* Bytes that a record takes in a batch. */
uint64_t pd_wal_record_bytes(const struct pd_wal_record *record);
uint64_t pd_wal_segment_count(const struct pd_wal *wal);

#endif
