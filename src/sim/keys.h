/* keys - how the clients' keys and values look as bytes. Pure.
 *
 * Model      Key `n` is "k" and two digits, so that their order is that of the numbers. A value is
 *            a number that is written once in a run, and filler that follows from it: a byte that
 *            changed on the way shows. */
#ifndef PD_SIM_KEYS_H
#define PD_SIM_KEYS_H

#include "base/span.h"
#include "sim/config.h"

#define PD_SIM_KEY_SIZE 3u
#define PD_SIM_VALUE_SIZE_MAX 72u

struct pd_sim_key {
    uint8_t bytes[PD_SIM_KEY_SIZE];
};

struct pd_sim_value {
    uint8_t bytes[PD_SIM_VALUE_SIZE_MAX];
    size_t size;
};

/* `number` <= PD_SIM_KEYS_MAX: one beyond the last key bounds ranges. */
struct pd_sim_key pd_sim_key_make(uint32_t number);
struct pd_span pd_sim_key_span(const struct pd_sim_key *key);
/* False: no key of the clients. */
bool pd_sim_key_parse(struct pd_span bytes, uint32_t *number_out);

void pd_sim_value_make(uint64_t number, struct pd_sim_value *value_out);
struct pd_span pd_sim_value_span(const struct pd_sim_value *value);
/* False: not a value that pd_sim_value_make gives. */
bool pd_sim_value_parse(struct pd_span bytes, uint64_t *number_out);

#endif
