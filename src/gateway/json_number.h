/* json_number - integers out of JSON's numbers, exactly. Pure. Private to src/gateway. */
#ifndef PD_GATEWAY_JSON_NUMBER_H
#define PD_GATEWAY_JSON_NUMBER_H

#include <stdbool.h>

#include "base/span.h"

/* A number as JSON writes them, also with a point or an exponent ("1.5e1" is 15), of any length.
 * False: it is none, no integer, or does not fit. */
bool pd_json_number_signed(struct pd_span text, int64_t *value_out);
bool pd_json_number_unsigned(struct pd_span text, uint64_t *value_out);

#endif
