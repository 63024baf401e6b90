/* json_fields - fields of the JSON files that nodes keep, as more than one of them has them. */
#ifndef PD_NODE_JSON_FIELDS_H
#define PD_NODE_JSON_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

/* A text of hexadecimal digits. False: there is none, or it is something else. */
bool pd_json_hex(const json_t *object, const char *key, uint64_t *number_out);

/* A list of texts, the caller's. */
json_t *pd_json_texts(const struct pd_span *texts, uint32_t count);

#endif
