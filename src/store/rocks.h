/* rocks - base/store.h on RocksDB: one column family, its own log off, the applied index in every
 * batch.
 *
 * Durability What is not flushed is lost in a crash, always whole batches from the end; the log
 * gives it again. The
 *            durable index is read back from what RocksDB has persisted.
 * Keys       Do not begin with a zero byte: that row is the applied index.
 * Errors     After PD_ERR_FULL the same batch may be applied again, when there is room. After any
 *            other failure of apply every further one fails alike: close, reopen, and go on from
 *            applied_index().
 * Threads    apply, flush and reset: one thread; the rest: any, but nothing beside reset. */
#ifndef PD_STORE_ROCKS_H
#define PD_STORE_ROCKS_H

#include "base/store.h"

#define PD_STORE_ROCKS_TEXT_MAX 256u

/* How many of the key's first bytes are the group that it is in; 0: it is in none. The bytes of a
 * group are the beginning of no other group, and end with a byte below 255. */
typedef size_t (*pd_store_group_size)(struct pd_span key);

struct pd_store_rocks_config {
    uint64_t cache_bytes;
    uint64_t write_buffer_bytes; /* of each of three */
    uint32_t open_files_max;
    uint32_t background_jobs;
    /* A scan within one group, from where it begins or behind that to its end (the group's bytes
     * with the last one raised by one), does not look into files that hold nothing of it, in
     * exchange for those of get(): filters are of groups then, and not of keys. NULL: no groups.
     * What another choice has written is read all the same, without filters. */
    pd_store_group_size group_size;
};

/* 32 MiB cache, 8 MiB buffers, 512 files, 2 jobs: 18 to 60 MiB of memory in all. No groups. */
struct pd_store_rocks_config pd_store_rocks_config_default(void);

/* Open the store in a folder; an empty or missing folder becomes an empty store.
 *
 * PD_OK           *store_out is the caller's, to close.
 * PD_ERR_CORRUPT  the files are damaged or incomplete: remove the folder and rebuild. text: what
 *                 RocksDB says.
 * PD_ERR_FULL, PD_ERR_IO, PD_ERR_NO_MEMORY  text as well. */
PD_NODISCARD enum pd_status pd_store_rocks_open(const char *path,
                                                const struct pd_store_rocks_config *config,
                                                char text[PD_STORE_ROCKS_TEXT_MAX],
                                                struct pd_store **store_out);
/* The writer's thread: its last apply or flush was PD_ERR_FULL because no file descriptor was left,
 * in the process or the system. What RocksDB writes in the background may have failed by it for
 * good: if it stays so while there are descriptors, close, reopen, go on from applied_index(). */
bool pd_store_rocks_lacks_descriptors(const struct pd_store *store);
/* Any thread. How often the durable index was read from the files, for it might have changed. */
uint64_t pd_store_rocks_durable_reads(const struct pd_store *store);
/* Remove the store of a folder, damaged or not. Nobody may have it open. */
PD_NODISCARD enum pd_status pd_store_rocks_destroy(const char *path,
                                                   char text[PD_STORE_ROCKS_TEXT_MAX]);

#endif
