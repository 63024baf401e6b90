/* disk_file - the content of one simulated file. Private to disk*.c. */
#ifndef PD_SIM_DISK_FILE_H
#define PD_SIM_DISK_FILE_H

#include "sim/disk.h"

#define PD_SIM_SECTOR_SIZE 512u

/* NULL is a block of zeroes. */
struct pd_sim_block {
    uint8_t *now;
    uint8_t *durable; /* while is_dirty; else `now` is durable too */
    bool is_dirty;
    bool is_listed; /* in the file's list of dirty blocks: a sync will write it */
};

struct pd_sim_file {
    struct pd_sim_file *next;
    struct pd_sim_block *blocks;
    size_t block_count;
    size_t block_capacity;
    uint32_t *dirty; /* blocks that the next sync writes */
    size_t dirty_count;
    size_t dirty_capacity;
    uint64_t size;
    uint64_t durable_size;
    bool is_marked;       /* while looking for files that nothing names */
    bool has_lost_blocks; /* a sync failed: dirty blocks that no sync will write */
};

struct pd_sim_file *pd_sim_file_new(void);
void pd_sim_file_free(struct pd_sim_file *file);
/* Bytes by which the file's blocks would grow. */
uint64_t pd_sim_file_growth(const struct pd_sim_file *file, uint64_t offset, size_t size);
void pd_sim_file_write(struct pd_sim_file *file, uint64_t offset, const uint8_t *bytes,
                       size_t size);
size_t pd_sim_file_read(const struct pd_sim_file *file, uint64_t offset, uint8_t *bytes,
                        size_t size);
void pd_sim_file_truncate(struct pd_sim_file *file, uint64_t size);
void pd_sim_file_sync(struct pd_sim_file *file);
/* The device refused: what was dirty is clean to the system and may be lost. */
void pd_sim_file_sync_failed(struct pd_sim_file *file);
bool pd_sim_file_is_dirty(const struct pd_sim_file *file);
/* Returns whether something was lost or torn. */
bool pd_sim_file_power_cut(struct pd_sim_file *file, struct pd_random *random);
bool pd_sim_file_rot(struct pd_sim_file *file, struct pd_random *random, uint64_t *offset_out);
struct pd_sim_file *pd_sim_file_copy_durable(const struct pd_sim_file *from);

#endif
