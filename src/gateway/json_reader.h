/* json_reader - JSON (RFC 8259) as tokens, one behind the other. Pure: no heap. Private to
 * src/gateway.
 *
 * Model      init, then next until PD_JSON_END or PD_JSON_BAD. Tokens come in an order that is a
 *            value's: who reads them need not check the grammar again. Nothing is copied; a string
 *            is what stands between its quotes, checked, and pd_json_unescape makes bytes of it.
 * Bounds     PD_JSON_DEPTH_MAX objects and arrays within each other.
 * Trust      Accepts any bytes. Strings must be UTF-8, without half surrogates. */
#ifndef PD_GATEWAY_JSON_READER_H
#define PD_GATEWAY_JSON_READER_H

#include <stdbool.h>

#include "base/span.h"

#define PD_JSON_DEPTH_MAX 1024u

enum pd_json_token {
    PD_JSON_END = 0, /* the value is whole, and nothing but space followed */
    PD_JSON_BAD,     /* reader->wrong says why, reader->at where; so again for ever */
    PD_JSON_OBJECT,
    PD_JSON_OBJECT_END,
    PD_JSON_ARRAY,
    PD_JSON_ARRAY_END,
    PD_JSON_KEY, /* text; its value follows */
    PD_JSON_STRING,
    PD_JSON_NUMBER, /* text: as it was written */
    PD_JSON_TRUE,
    PD_JSON_FALSE,
    PD_JSON_NULL
};

struct pd_json_reader {
    struct pd_span input;
    size_t at;
    struct pd_span text; /* of the last key, string or number; borrowed from the input */
    bool has_escapes;    /* text is not its own value */
    const char *wrong;   /* NULL: nothing yet */
    /* What may come now. */
    enum {
        PD_JSON_WANTS_VALUE,
        PD_JSON_WANTS_VALUE_OR_END,
        PD_JSON_WANTS_KEY_OR_END,
        PD_JSON_WANTS_COMMA_OR_END,
        PD_JSON_WANTS_NOTHING
    } wants;
    uint32_t depth;
    uint64_t objects[PD_JSON_DEPTH_MAX / 64]; /* bit: that level is an object, not an array */
};

void pd_json_reader_init(struct pd_json_reader *reader, struct pd_span input);
enum pd_json_token pd_json_next(struct pd_json_reader *reader);
/* Past the value that comes next, whatever it is. False: it is bad. */
bool pd_json_skip(struct pd_json_reader *reader);
/* Nothing but space. */
bool pd_json_is_blank(struct pd_span input);
/* The bytes that a string's text stands for; `to` has room for text.size. Returns how many. */
size_t pd_json_unescape(struct pd_span text, uint8_t *to);

#endif
