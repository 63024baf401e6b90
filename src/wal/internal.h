/* internal - what the files of the log share; nothing outside of src/wal includes it. */
#ifndef PD_WAL_INTERNAL_H
#define PD_WAL_INTERNAL_H

#include "wal/record.h"
#include "wal/segment.h"

#define PD_WAL_SPARES_MAX 16u

/* What a new segment has to say about a group before anything else. */
struct pd_wal_group {
    uint32_t group_id;
    bool has_hard_state;
    bool has_snapshot;
    uint64_t term;
    uint64_t vote;
    uint64_t commit;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint8_t *mark; /* mark_bytes_max of room */
    size_t mark_size;
    uint64_t first; /* entries below are not needed */
};

struct pd_wal_segment {
    uint64_t sequence;
    uint64_t *last; /* by group: the greatest index of its entries here, 0: none */
};

struct pd_wal {
    struct pd_disk *disk;
    struct pd_wal_config config;
    uint64_t identity;
    struct pd_wal_group *groups;
    uint32_t group_count;
    struct pd_wal_segment *segments; /* oldest first; the last one is written to */
    uint32_t segment_count;
    uint64_t *lasts;          /* the rows of all segments' `last`, segments_max of them */
    struct pd_disk_file file; /* of the last segment */
    uint64_t offset;          /* where its next batch goes */
    uint64_t batch_sequence;  /* of the next batch */
    uint64_t chain;
    uint8_t *room; /* block-aligned, for one batch or a header */
    void *room_block;
    size_t room_size;
    bool spares[PD_WAL_SPARES_MAX]; /* that are ready */
    bool is_low;
    bool has_reserve;
    bool names_changed; /* sync_names is due with the next sync */
    bool is_dirty;      /* written and not synced */
    uint32_t renamed; /* 1 + the spare that becomes the last segment with the next sync; 0: none */
    struct pd_wal_record *start; /* records of a segment's beginning: 3 a group */
    uint8_t *fill;               /* block-aligned zeroes */
    void *fill_block;
};

/* The group's slot; NULL: groups_max others are known. */
struct pd_wal_group *pd_wal_group_at(struct pd_wal *wal, uint32_t group_id);
/* Take notice of a record that the log now holds: hard states, marks, last indices. False: it
 * cannot be held. */
bool pd_wal_note(struct pd_wal *wal, const struct pd_wal_record *record);
/* Room for `size` bytes at wal->room. False: no memory. */
bool pd_wal_room(struct pd_wal *wal, size_t size);

/* space.c */
void pd_wal_spare_name(uint32_t spare, struct pd_disk_name *name_out);
/* Make spare `spare`, zero-filled and durable, under its name. PD_ERR_FULL, and nothing was tried:
 * it would not leave `room` bytes of the disk to others. */
enum pd_status pd_wal_make_spare(struct pd_wal *wal, uint32_t spare, uint64_t room);
/* Look which spares and reserve are there; unfinished ones are removed. */
enum pd_status pd_wal_find_spares(struct pd_wal *wal);

/* recover.c */
enum pd_status pd_wal_recover(struct pd_wal *wal, pd_wal_visit visit, void *state, bool may_change,
                              struct pd_wal_report *report);

#endif
