/* drawn - bytes of the input that answer what guests ask for: where a store or a network would have
 * to say something, the script says it. */
#ifndef PD_FUZZ_DRAWN_H
#define PD_FUZZ_DRAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Behind the end all bytes are 0, which means that what was asked for succeeds at once: so nothing
 * goes on for ever. */
struct script {
    const uint8_t *bytes;
    size_t size;
    size_t at;
};

static inline uint8_t next_byte(struct script *script)
{
    return script->at < script->size ? script->bytes[script->at++] : 0;
}

static inline uint16_t next_u16(struct script *script)
{
    uint16_t low = next_byte(script);
    return (uint16_t)(low | (uint16_t)(next_byte(script) << 8));
}

static inline void next_bytes(struct script *script, uint8_t *to, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        to[i] = next_byte(script);
    }
}

#endif
