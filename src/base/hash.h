/* hash - 64-bit folding hash for tables and traces (multiply and mix, eight bytes at a time). Pure.
 *
 * Role  Not for adversaries who choose keys against an unseeded table: give tables a seed.
 *       Cryptographic hashes come from nettle. The value for given bytes never changes between
 *       versions: traces are compared. */
#ifndef PD_BASE_HASH_H
#define PD_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Fold `size` bytes into `hash`. Start from a seed of the caller's. */
uint64_t pd_hash_bytes(uint64_t hash, const void *bytes, size_t size);

/* Fold one number. */
uint64_t pd_hash_u64(uint64_t hash, uint64_t value);

/* Fold a text up to its zero byte. */
uint64_t pd_hash_text(uint64_t hash, const char *text);

#endif
