/* seal - what etcd's clients want at the end of a snapshot: zero bytes up to a multiple of 512,
 * then the SHA-256 of all that lies before it. Pure.
 *
 * Model      Bytes are added in order; pd_seal_end gives what is to follow them. A file whose size
 *            is 32 more than a multiple of 512 says by that alone that it ends in a checksum. */
#ifndef PD_GATEWAY_SEAL_H
#define PD_GATEWAY_SEAL_H

#include <nettle/sha2.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

#define PD_SEAL_BLOCK 512u
#define PD_SEAL_HASH_SIZE 32u
#define PD_SEAL_TAIL_MAX (PD_SEAL_BLOCK - 1 + PD_SEAL_HASH_SIZE)

struct pd_seal {
    struct sha256_ctx hash;
    uint64_t size;
};

void pd_seal_init(struct pd_seal *seal);
void pd_seal_add(struct pd_seal *seal, struct pd_span bytes);
/* The number of bytes at `tail`; the checksum is the last 32 of them. */
size_t pd_seal_end(struct pd_seal *seal, uint8_t tail[PD_SEAL_TAIL_MAX]);

#endif
