#include "base/hash.h"

#include <string.h>

#include "base/bytes.h"

static uint64_t mix(uint64_t hash)
{
    hash ^= hash >> 32;
    hash *= 0xd6e8feb86659fd93u;
    hash ^= hash >> 32;
    return hash;
}

uint64_t pd_hash_u64(uint64_t hash, uint64_t value)
{
    return mix((hash ^ value) * 0x9fb21c651e98df25u + 0x2545f4914f6cdd1du);
}

uint64_t pd_hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    size_t left = size;
    while (left >= 8) {
        hash = pd_hash_u64(hash, pd_get_u64(at));
        at += 8;
        left -= 8;
    }
    uint64_t tail = 0;
    for (size_t i = 0; i < left; i++) {
        tail |= (uint64_t)at[i] << (8 * i);
    }
    return pd_hash_u64(pd_hash_u64(hash, tail), size);
}

uint64_t pd_hash_text(uint64_t hash, const char *text)
{
    return pd_hash_bytes(hash, text, strlen(text));
}
