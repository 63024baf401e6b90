#include "net/identity.h"

#include <string.h>

#include <nettle/eddsa.h>

#include "base/alloc.h"
#include "base/assert.h"

#define PREFIX "node-"
#define PREFIX_SIZE (sizeof PREFIX - 1)
#define PURPOSE_SIZE 64u

static const char digits[] = "0123456789abcdef";

void pd_net_identity_init(struct pd_net_identity *identity, const uint8_t secret[PD_NET_KEY_SIZE])
{
    memcpy(identity->secret, secret, PD_NET_KEY_SIZE);
    ed25519_sha512_public_key(identity->key, identity->secret);
}

void pd_net_key_print(const uint8_t key[PD_NET_KEY_SIZE], char text[PD_NET_KEY_TEXT_SIZE])
{
    memcpy(text, PREFIX, PREFIX_SIZE);
    for (uint32_t i = 0; i < PD_NET_KEY_SIZE; i++) {
        text[PREFIX_SIZE + 2 * (size_t)i] = digits[key[i] >> 4];
        text[PREFIX_SIZE + 2 * (size_t)i + 1] = digits[key[i] & 15];
    }
    text[PD_NET_KEY_TEXT_SIZE - 1] = '\0';
}

enum pd_status pd_net_key_parse(const char *text, uint8_t key_out[PD_NET_KEY_SIZE])
{
    if (strlen(text) != PD_NET_KEY_TEXT_SIZE - 1 || memcmp(text, PREFIX, PREFIX_SIZE) != 0) {
        return PD_ERR_INVALID;
    }
    uint8_t key[PD_NET_KEY_SIZE];
    for (uint32_t i = 0; i < 2 * PD_NET_KEY_SIZE; i++) {
        const char *digit = strchr(digits, text[PREFIX_SIZE + i]);
        if (digit == NULL) {
            return PD_ERR_INVALID;
        }
        uint8_t value = (uint8_t)(digit - digits);
        key[i / 2] = (uint8_t)(i % 2 == 0 ? value << 4 : key[i / 2] | value);
    }
    memcpy(key_out, key, sizeof key);
    return PD_OK;
}

/* The purpose in a field of fixed size, then the bytes. NULL: no memory. */
static uint8_t *purposeful(const char *purpose, struct pd_span bytes)
{
    size_t size = strlen(purpose);
    pd_assert(size < PURPOSE_SIZE);
    uint8_t *whole = pd_alloc_zeroed(1, PURPOSE_SIZE + bytes.size);
    if (whole != NULL) {
        memcpy(whole, purpose, size);
        if (bytes.size > 0) {
            memcpy(whole + PURPOSE_SIZE, bytes.bytes, bytes.size);
        }
    }
    return whole;
}

enum pd_status pd_net_identity_sign(const struct pd_net_identity *identity, const char *purpose,
                                    struct pd_span bytes,
                                    uint8_t signature_out[PD_NET_SIGNATURE_SIZE])
{
    uint8_t *whole = purposeful(purpose, bytes);
    if (whole == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    ed25519_sha512_sign(identity->key, identity->secret, PURPOSE_SIZE + bytes.size, whole,
                        signature_out);
    pd_free(whole);
    return PD_OK;
}

enum pd_status pd_net_key_verify(const uint8_t key[PD_NET_KEY_SIZE], const char *purpose,
                                 struct pd_span bytes,
                                 const uint8_t signature[PD_NET_SIGNATURE_SIZE])
{
    uint8_t *whole = purposeful(purpose, bytes);
    if (whole == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    int is_good = ed25519_sha512_verify(key, PURPOSE_SIZE + bytes.size, whole, signature);
    pd_free(whole);
    return is_good == 1 ? PD_OK : PD_ERR_DENIED;
}
