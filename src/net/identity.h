/* identity - who a node is: an Ed25519 key. Pure: the secret's bytes come from the caller (a file:
 * host/key_file.h).
 *
 * Text  A public key is "node-" and 64 hexadecimal digits, small letters. */
#ifndef PD_NET_IDENTITY_H
#define PD_NET_IDENTITY_H

#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

#define PD_NET_KEY_SIZE 32u
#define PD_NET_SIGNATURE_SIZE 64u
#define PD_NET_KEY_TEXT_SIZE 70u /* with its zero byte */

struct pd_net_identity {
    uint8_t secret[PD_NET_KEY_SIZE];
    uint8_t key[PD_NET_KEY_SIZE]; /* public */
};

/* The identity of a secret: any 32 unpredictable bytes. */
void pd_net_identity_init(struct pd_net_identity *identity, const uint8_t secret[PD_NET_KEY_SIZE]);

void pd_net_key_print(const uint8_t key[PD_NET_KEY_SIZE], char text[PD_NET_KEY_TEXT_SIZE]);
/* PD_ERR_INVALID: not a key's text. */
PD_NODISCARD enum pd_status pd_net_key_parse(const char *text, uint8_t key_out[PD_NET_KEY_SIZE]);

/* For tickets and the like. `purpose` is signed along, so that a signature for one use is none for
 * another; at most 63 bytes. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_net_identity_sign(const struct pd_net_identity *identity,
                                                 const char *purpose, struct pd_span bytes,
                                                 uint8_t signature_out[PD_NET_SIGNATURE_SIZE]);
/* PD_ERR_DENIED: not this key's signature. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_net_key_verify(const uint8_t key[PD_NET_KEY_SIZE],
                                              const char *purpose, struct pd_span bytes,
                                              const uint8_t signature[PD_NET_SIGNATURE_SIZE]);

#endif
