#include "sim/keys.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

#define NUMBER_SIZE 8u

struct pd_sim_key pd_sim_key_make(uint32_t number)
{
    pd_assert(number <= PD_SIM_KEYS_MAX);
    return (struct pd_sim_key){{'k', (uint8_t)('0' + number / 10), (uint8_t)('0' + number % 10)}};
}

struct pd_span pd_sim_key_span(const struct pd_sim_key *key)
{
    return (struct pd_span){key->bytes, sizeof key->bytes};
}

bool pd_sim_key_parse(struct pd_span bytes, uint32_t *number_out)
{
    if (bytes.size != PD_SIM_KEY_SIZE || bytes.bytes[0] != 'k' || bytes.bytes[1] < '0' ||
        bytes.bytes[1] > '9' || bytes.bytes[2] < '0' || bytes.bytes[2] > '9') {
        return false;
    }
    *number_out = (uint32_t)(bytes.bytes[1] - '0') * 10 + (uint32_t)(bytes.bytes[2] - '0');
    return *number_out <= PD_SIM_KEYS_MAX;
}

void pd_sim_value_make(uint64_t number, struct pd_sim_value *value_out)
{
    pd_put_u64(value_out->bytes, number);
    value_out->size = NUMBER_SIZE + (size_t)(number * 7 % (PD_SIM_VALUE_SIZE_MAX - NUMBER_SIZE));
    memset(value_out->bytes + NUMBER_SIZE, (int)(number % 251), value_out->size - NUMBER_SIZE);
}

struct pd_span pd_sim_value_span(const struct pd_sim_value *value)
{
    return (struct pd_span){value->bytes, value->size};
}

bool pd_sim_value_parse(struct pd_span bytes, uint64_t *number_out)
{
    struct pd_sim_value expected;
    if (bytes.size < NUMBER_SIZE || bytes.size > PD_SIM_VALUE_SIZE_MAX) {
        return false;
    }
    *number_out = pd_get_u64(bytes.bytes);
    pd_sim_value_make(*number_out, &expected);
    return expected.size == bytes.size && memcmp(expected.bytes, bytes.bytes, bytes.size) == 0;
}
