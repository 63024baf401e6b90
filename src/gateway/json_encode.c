/* Messages into JSON: a stack of the messages that are not written out yet. */
#include <inttypes.h>
#include <string.h>

#include "base/utf8.h"
#include "gateway/base64.h"
#include "gateway/json.h"
#include "proto/depth.h"

/* A response holds its request's parts, each a level deeper than it was asked. */
#define DEPTH_MAX (2 * PD_PROTO_DEPTH_MAX)

struct frame {
    const ProtobufCMessage *message;
    unsigned field; /* the one that is next, or under way */
    size_t element; /* of a list of messages: the next one */
    bool has_any;   /* something stands before: a comma is due */
};

static const void *member_of(const ProtobufCMessage *message, size_t offset)
{
    return (const uint8_t *)message + offset;
}

/* -- Strings ----------------------------------------------------------------------------------- */

static void put_escaped(uint8_t byte, struct pd_text *text)
{
    switch (byte) {
    case '"':
        pd_text_put(text, "\\\"", 2);
        return;
    case '\\':
        pd_text_put(text, "\\\\", 2);
        return;
    case '\n':
        pd_text_put(text, "\\n", 2);
        return;
    case '\r':
        pd_text_put(text, "\\r", 2);
        return;
    case '\t':
        pd_text_put(text, "\\t", 2);
        return;
    default:
        pd_text_format(text, "\\u%04x", byte);
        return;
    }
}

void pd_json_encode_string(const char *words, struct pd_text *text)
{
    size_t size = strlen(words);
    const uint8_t *bytes = (const uint8_t *)words;
    if (!pd_utf8_is_valid(bytes, size)) {
        pd_text_puts(text, "\"\xef\xbf\xbd\"");
        return;
    }
    pd_text_put(text, "\"", 1);
    size_t from = 0;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] < 0x20 || bytes[i] == '"' || bytes[i] == '\\') {
            pd_text_put(text, bytes + from, i - from);
            put_escaped(bytes[i], text);
            from = i + 1;
        }
    }
    pd_text_put(text, bytes + from, size - from);
    pd_text_put(text, "\"", 1);
}

static void put_base64(const ProtobufCBinaryData *bytes, struct pd_text *text)
{
    size_t size = pd_base64_size(bytes->len);
    uint8_t *room = pd_text_room(text, size + 2);
    if (room != NULL) {
        room[0] = '"';
        pd_base64_encode((struct pd_span){bytes->data, bytes->len}, room + 1);
        room[size + 1] = '"';
        text->size += size + 2;
    }
}

/* -- Scalars ----------------------------------------------------------------------------------- */

static void put_enum(const ProtobufCFieldDescriptor *field, int32_t value, struct pd_text *text)
{
    const ProtobufCEnumValue *known =
        protobuf_c_enum_descriptor_get_value(field->descriptor, value);
    if (known == NULL) {
        pd_text_format(text, "%" PRId32, value);
    } else {
        pd_json_encode_string(known->name, text);
    }
}

static void put_scalar(const ProtobufCFieldDescriptor *field, const void *at, struct pd_text *text)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BYTES:
        put_base64(at, text);
        return;
    case PROTOBUF_C_TYPE_STRING:
        pd_json_encode_string(*(char *const *)at, text);
        return;
    case PROTOBUF_C_TYPE_BOOL:
        pd_text_puts(text, *(const protobuf_c_boolean *)at ? "true" : "false");
        return;
    case PROTOBUF_C_TYPE_ENUM:
        put_enum(field, *(const int32_t *)at, text);
        return;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        pd_text_format(text, "\"%" PRId64 "\"", *(const int64_t *)at);
        return;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        pd_text_format(text, "\"%" PRIu64 "\"", *(const uint64_t *)at);
        return;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        pd_text_format(text, "%" PRId32, *(const int32_t *)at);
        return;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        pd_text_format(text, "%" PRIu32, *(const uint32_t *)at);
        return;
    case PROTOBUF_C_TYPE_FLOAT: /* the API has none */
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    text->has_failed = true;
}

size_t pd_json_element_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
        break;
    }
    return sizeof(uint32_t);
}

/* -- Messages ---------------------------------------------------------------------------------- */

static bool is_present(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const void *at = member_of(message, field->offset);
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        return *(const size_t *)member_of(message, field->quantifier_offset) > 0;
    }
    bool is_one_of = (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
    if (is_one_of && *(const uint32_t *)member_of(message, field->quantifier_offset) != field->id) {
        return false;
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        return *(const void *const *)at != NULL;
    }
    if (is_one_of) {
        return true; /* chosen, though it may be zero */
    }
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *words = *(char *const *)at;
        return words != NULL && words[0] != '\0';
    }
    if (field->type == PROTOBUF_C_TYPE_BYTES) {
        return ((const ProtobufCBinaryData *)at)->len > 0;
    }
    static const uint64_t zero;
    return memcmp(at, &zero, pd_json_element_size(field->type)) != 0;
}

static void put_name(struct frame *frame, const ProtobufCFieldDescriptor *field,
                     struct pd_text *text)
{
    pd_text_puts(text, frame->has_any ? ",\"" : "\"");
    pd_text_puts(text, field->name);
    pd_text_puts(text, "\":");
    frame->has_any = true;
}

static void put_scalars(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                        struct pd_text *text)
{
    size_t count = *(const size_t *)member_of(message, field->quantifier_offset);
    const uint8_t *elements = *(const uint8_t *const *)member_of(message, field->offset);
    pd_text_put(text, "[", 1);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            pd_text_put(text, ",", 1);
        }
        put_scalar(field, elements + i * pd_json_element_size(field->type), text);
    }
    pd_text_put(text, "]", 1);
}

/* The field under way as far as it goes without leaving the message. Not NULL: the message within
 * it that comes first now. */
static const ProtobufCMessage *put_field(struct frame *frame, struct pd_text *text)
{
    const ProtobufCMessage *message = frame->message;
    const ProtobufCFieldDescriptor *field = &message->descriptor->fields[frame->field];
    bool is_list = field->label == PROTOBUF_C_LABEL_REPEATED;
    if (frame->element == 0) {
        if (!is_present(message, field)) {
            frame->field++;
            return NULL;
        }
        put_name(frame, field, text);
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE && is_list) {
        size_t count = *(const size_t *)member_of(message, field->quantifier_offset);
        ProtobufCMessage *const *elements =
            *(ProtobufCMessage *const *const *)member_of(message, field->offset);
        if (frame->element < count) {
            pd_text_put(text, frame->element == 0 ? "[" : ",", 1);
            return elements[frame->element++];
        }
        pd_text_put(text, "]", 1);
        frame->element = 0;
        frame->field++;
        return NULL;
    }
    frame->field++;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        return *(ProtobufCMessage *const *)member_of(message, field->offset);
    }
    if (is_list) {
        put_scalars(message, field, text);
    } else {
        put_scalar(field, member_of(message, field->offset), text);
    }
    return NULL;
}

void pd_json_encode(const ProtobufCMessage *message, struct pd_text *text)
{
    struct frame frames[DEPTH_MAX];
    unsigned depth = 1;
    frames[0] = (struct frame){.message = message};
    pd_text_put(text, "{", 1);
    while (depth > 0 && !text->has_failed) {
        struct frame *frame = &frames[depth - 1];
        if (frame->field == frame->message->descriptor->n_fields) {
            pd_text_put(text, "}", 1);
            depth--;
            continue;
        }
        const ProtobufCMessage *inner = put_field(frame, text);
        if (inner != NULL && depth == DEPTH_MAX) {
            text->has_failed = true;
        } else if (inner != NULL) {
            frames[depth++] = (struct frame){.message = inner};
            pd_text_put(text, "{", 1);
        }
    }
}
