#include "node/answer_sizes.h"

static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32) | 1u;
}

static uint32_t place_of(uint64_t hash)
{
    return (uint32_t)(hash % PD_ANSWER_SIZES_MAX);
}

bool pd_answer_sizes_guess(const struct pd_answer_sizes *sizes, uint64_t hash, uint32_t *bytes_out)
{
    uint32_t at = place_of(hash);
    if (sizes->places[at].tag != tag_of(hash)) {
        return false;
    }
    *bytes_out = sizes->places[at].bytes;
    return true;
}

void pd_answer_sizes_learn(struct pd_answer_sizes *sizes, uint64_t hash, uint32_t bytes)
{
    uint32_t before = 0;
    if (pd_answer_sizes_guess(sizes, hash, &before)) {
        before -= before / 4;
    }
    uint32_t at = place_of(hash);
    sizes->places[at].tag = tag_of(hash);
    sizes->places[at].bytes = bytes > before ? bytes : before;
}
