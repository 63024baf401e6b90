/* base64 - bytes as RFC 4648 text. Pure. Private to src/gateway. */
#ifndef PD_GATEWAY_BASE64_H
#define PD_GATEWAY_BASE64_H

#include <stdbool.h>

#include "base/span.h"

static inline size_t pd_base64_size(size_t size)
{
    return (size + 2) / 3 * 4;
}
/* With padding; `to` has room for pd_base64_size(bytes.size). */
void pd_base64_encode(struct pd_span bytes, uint8_t *to);
/* Both alphabets, with padding or without; `to` has room for text.size. False: it is none. */
bool pd_base64_decode(struct pd_span text, uint8_t *to, size_t *size_out);

#endif
