/* json - messages as JSON and back, as protobuf's JSON mapping has it, by the messages' descriptors
 * alone. Private to src/gateway.
 *
 * Model      Written: names as in the schema, bytes as base64, 64-bit integers as strings, enums by
 *            name, what has its default value left out. Read: also names in lowerCamelCase, both
 *            alphabets of base64 with or without padding, integers as numbers or strings, enums
 *            as numbers; null is as if left out; unknown fields are passed over, a field that
 *            comes twice, or two of a oneof, is refused.
 * Bounds     PD_PROTO_DEPTH_MAX messages within each other. What is read lies in the arena.
 * Trust      Reading accepts any bytes. */
#ifndef PD_GATEWAY_JSON_H
#define PD_GATEWAY_JSON_H

#include <protobuf-c/protobuf-c.h>

#include "base/status.h"
#include "gateway/text.h"
#include "proto/arena.h"

#define PD_JSON_WORDS_MAX 160u

/* An object as a message of this type. No bytes at all, or space, are an empty message.
 *
 * PD_OK             *message_out lies in the arena; strings without escapes still lie in `input`.
 * PD_ERR_INVALID    words: what is wrong, and where.
 * PD_ERR_NO_MEMORY  the arena is full. */
PD_NODISCARD enum pd_status pd_json_decode(const ProtobufCMessageDescriptor *type,
                                           struct pd_span input, struct pd_arena *arena,
                                           ProtobufCMessage **message_out,
                                           char words[PD_JSON_WORDS_MAX]);

/* Behind what `text` holds. text->has_failed: no room, or deeper than the bound. */
void pd_json_encode(const ProtobufCMessage *message, struct pd_text *text);
/* In quotes, escaped; bytes that are no UTF-8 become U+FFFD, together. */
void pd_json_encode_string(const char *words, struct pd_text *text);

/* What one element of a list takes in memory. */
size_t pd_json_element_size(ProtobufCType type);

#endif
