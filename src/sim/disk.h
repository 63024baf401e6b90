/* disk - base/disk.h in memory, with what a real one may do wrong.
 *
 * Model      A file is blocks of PD_DISK_BLOCK_SIZE. Each block has its content now and, while it
 *            is not synced, the content that is durable. Names are a list of their own, with the
 *            changes since the last sync_names() behind it. A power cut keeps, of every unsynced
 *            block, the new content, the old one, or some of its sectors; of every unsynced change
 *            of a name, some. A killed process loses only its open files.
 *            A failed sync leaves blocks that no later sync writes: their loss shows in the next
 *            power cut.
 * Bounds     `capacity` bytes; PD_SIM_FILES_MAX files.
 * Ownership  The world owns it; a node's log borrows &disk->base. close_disk() closes the files
 *            only.
 * Time       None: the world lets time pass between the calls. */
#ifndef PD_SIM_DISK_H
#define PD_SIM_DISK_H

#include "base/disk.h"
#include "base/random.h"

#define PD_SIM_FILES_MAX 512u
#define PD_SIM_HANDLES_MAX 128u

struct pd_sim_file;

struct pd_sim_name {
    struct pd_disk_name name;
    struct pd_sim_file *file;
};

enum pd_sim_name_change_kind {
    PD_SIM_NAME_LINK,
    PD_SIM_NAME_RENAME,
    PD_SIM_NAME_REMOVE
};

struct pd_sim_name_change {
    enum pd_sim_name_change_kind kind;
    struct pd_disk_name from;
    struct pd_disk_name to;
    struct pd_sim_file *file;
};

struct pd_sim_names {
    struct pd_sim_name *entries; /* sorted */
    size_t count;
    size_t capacity;
};

struct pd_sim_disk {
    struct pd_disk base;
    struct pd_sim_names now;
    struct pd_sim_names durable;
    struct pd_sim_name_change *changes;
    size_t change_count;
    size_t change_capacity;
    struct pd_sim_file *files; /* all, linked */
    struct pd_sim_file *handles[PD_SIM_HANDLES_MAX];
    uint64_t capacity;   /* bytes */
    uint64_t used;       /* bytes of blocks, zeroes included */
    uint32_t fail_write; /* the n-th next write is refused; 0: none */
    uint32_t
        fail_sync; /* the n-th next sync is refused, and what it should have written may be lost */
    /* What happened, for the world's latency and its counts. */
    uint64_t bytes_written;
    uint64_t sync_count;
    uint64_t failed_count;
    uint64_t full_count;
};

void pd_sim_disk_init(struct pd_sim_disk *disk, uint64_t capacity);
void pd_sim_disk_deinit(struct pd_sim_disk *disk);
/* The process died: its files are closed, nothing else is lost. */
void pd_sim_disk_kill(struct pd_sim_disk *disk);
/* The power went. True: something unsynced was lost or torn. */
bool pd_sim_disk_power_cut(struct pd_sim_disk *disk, struct pd_random *random);
/* Flip one bit of a synced block that is not all zeroes. False: there is none. */
bool pd_sim_disk_rot(struct pd_sim_disk *disk, struct pd_random *random,
                     struct pd_disk_name *name_out, uint64_t *offset_out);
/* An empty disk again. */
void pd_sim_disk_wipe(struct pd_sim_disk *disk);
/* `to` (initialised) becomes what `from` holds durably. */
void pd_sim_disk_copy(struct pd_sim_disk *to, const struct pd_sim_disk *from);
/* Whether anything is not durable. */
bool pd_sim_disk_is_dirty(const struct pd_sim_disk *disk);

#endif
