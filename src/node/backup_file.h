/* backup_file - a snapshot as a file: the chunks of snapshot_format.h, one behind the other, and
 * what gateway/seal.h puts behind them. What `etcdctl snapshot save` and `pando cluster snapshot`
 * write, and what a restore reads. Pure, but for the room of a chunk.
 *
 * Proof      Every byte counts: a chunk's checksum covers it and all chunks before it, the padding
 *            is zero bytes, and the SHA-256 at the end is of all that lies before it.
 * Bounds     One chunk is held at a time, of at most PD_BACKUP_CHUNK_MAX bytes.
 * Trust      Any bytes may be read. */
#ifndef PD_NODE_BACKUP_FILE_H
#define PD_NODE_BACKUP_FILE_H

#include "gateway/seal.h"
#include "kv/raise.h"
#include "node/snapshot_format.h"

#define PD_BACKUP_CHUNK_MAX ((size_t)64 << 20)
#define PD_BACKUP_TEXT_MAX 256u

struct pd_backup_source {
    /* *size_out < size only at the end. */
    enum pd_status (*read)(void *state, uint8_t *bytes, size_t size, size_t *size_out);
    void *state;
};

/* A verified chunk, borrowed. Another status than PD_OK ends the reading with it. */
typedef enum pd_status (*pd_backup_visit)(void *state, const struct pd_snapshot_chunk *chunk);

struct pd_backup_about {
    struct pd_snapshot_id id;
    struct pd_kv_raise_state state;
    uint64_t rows;
    uint64_t bytes; /* of all of it */
    uint8_t hash[PD_SEAL_HASH_SIZE];
};

/* Read all of it; visit may be NULL.
 *
 * PD_OK           every byte is as it was written.
 * PD_ERR_CORRUPT  it is damaged, cut short, or something else; text says where. Chunks that were
 *                 visited before must not be used.
 * PD_ERR_IO, PD_ERR_NO_MEMORY, and the visitor's. */
PD_NODISCARD enum pd_status pd_backup_file_read(const struct pd_backup_source *source,
                                                pd_backup_visit visit, void *state,
                                                struct pd_backup_about *about_out,
                                                char text[PD_BACKUP_TEXT_MAX]);

#endif
