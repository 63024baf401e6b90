#include "gateway/seal.h"

#include <string.h>

void pd_seal_init(struct pd_seal *seal)
{
    seal->size = 0;
    sha256_init(&seal->hash);
}

void pd_seal_add(struct pd_seal *seal, struct pd_span bytes)
{
    if (bytes.size > 0) {
        sha256_update(&seal->hash, bytes.size, bytes.bytes);
        seal->size += bytes.size;
    }
}

size_t pd_seal_end(struct pd_seal *seal, uint8_t tail[PD_SEAL_TAIL_MAX])
{
    size_t zeros = (size_t)((PD_SEAL_BLOCK - seal->size % PD_SEAL_BLOCK) % PD_SEAL_BLOCK);
    memset(tail, 0, zeros);
    pd_seal_add(seal, (struct pd_span){tail, zeros});
    sha256_digest(&seal->hash, PD_SEAL_HASH_SIZE, tail + zeros);
    return zeros + PD_SEAL_HASH_SIZE;
}
