#include "base/random.h"

#include "base/assert.h"
#include "base/hash.h"

static uint64_t split_mix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t value, int by)
{
    return value << by | value >> (64 - by);
}

void pd_random_init(struct pd_random *random, uint64_t seed, const char *name)
{
    uint64_t state = pd_hash_text(seed, name);
    for (int i = 0; i < 4; i++) {
        random->state[i] = split_mix(&state);
    }
}

uint64_t pd_random_next(struct pd_random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t pd_random_below(struct pd_random *random, uint64_t bound)
{
    pd_assert(bound > 0);
    uint64_t threshold = (0 - bound) % bound; /* values below it would be counted once too often */
    for (;;) {
        uint64_t value = pd_random_next(random);
        if (value >= threshold) {
            return value % bound;
        }
    }
}

void pd_random_fill(struct pd_random *random, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = pd_random_next(random);
        for (size_t j = i; j < size && j < i + 8; j++) {
            bytes[j] = (uint8_t)word;
            word >>= 8;
        }
    }
}
