/* cache - compiled modules on disk, so that a second start need not compile.
 *
 * Model      One file per (sha256 of the wasm, engine version, all settings, this processor),
 *            private to the user. Compiled code is native code: a file is loaded only if it is a
 *            regular file of this user, nobody else can write it or its folder, and its payload has
 *            the sha256 that its header says. Writing goes to a temporary file in the same folder,
 *            then renames.
 * Bounds     bytes_max in all; the least recently used go first.
 * Errors     None that matter: whatever fails, the caller compiles.
 * I/O        This module reads and writes files itself (POSIX): it is the one place in src/wasm
 *            that does, since the descriptor that was checked must be the one that is read.
 * Threads    Any; several programs may share one folder. */
#ifndef PD_WASM_CACHE_H
#define PD_WASM_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define PD_CACHE_BYTES_MAX_DEFAULT (1024ull * 1024 * 1024)
#define PD_CACHE_KEY_SIZE 32u

struct pd_cache {
    int folder; /* descriptor of the checked folder */
    uint64_t bytes_max;
};

struct pd_cache_key {
    uint8_t bytes[PD_CACHE_KEY_SIZE];
};

/* A verified payload, mapped read-only. */
struct pd_cache_entry {
    const uint8_t *bytes;
    size_t size;
    void *mapping;
    size_t mapping_size;
};

/* Open the folder PATH (created, with its parents, as 0700). A NULL path means
 * ${XDG_CACHE_HOME:-$HOME/.cache}/pando/modules.
 * PD_ERR_IO      It cannot be made or opened: errno says why.
 * PD_ERR_DENIED  It is not this user's, or others may write it. */
PD_NODISCARD enum pd_status pd_cache_open(struct pd_cache *cache, const char *path,
                                          uint64_t bytes_max);
void pd_cache_close(struct pd_cache *cache);

/* The key of a module with this sha256 under `settings` (every setting of the engine, as text). */
struct pd_cache_key pd_cache_key_of(const uint8_t wasm_hash[PD_CACHE_KEY_SIZE],
                                    const char *engine_version, const char *settings);

/* Map the payload of `key` and mark it as used. PD_ERR_UNKNOWN: none that can be trusted. Close it
 * after use. */
PD_NODISCARD enum pd_status pd_cache_load(struct pd_cache *cache, const struct pd_cache_key *key,
                                          struct pd_cache_entry *entry_out);
void pd_cache_entry_close(struct pd_cache_entry *entry);

/* Keep a payload, then remove the oldest until all fit into bytes_max.
 * PD_ERR_RANGE: it alone is larger. PD_ERR_IO: the disk refused. Nothing of it stays behind. */
PD_NODISCARD enum pd_status pd_cache_store(struct pd_cache *cache, const struct pd_cache_key *key,
                                           const uint8_t *payload, size_t size);

#endif
