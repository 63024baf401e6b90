/* JSON into messages: a stack of the messages that are not whole yet, in step with the reader's. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "gateway/base64.h"
#include "gateway/json.h"
#include "gateway/json_number.h"
#include "gateway/json_reader.h"
#include "proto/depth.h"

#define SHOWN_MAX 40 /* of a name, in words */

/* A message that is being read. */
struct frame {
    ProtobufCMessage *message;
    uint64_t seen;                        /* bit: the field of that place came */
    const ProtobufCFieldDescriptor *list; /* not NULL: elements of it come */
    size_t capacity;
};

struct decoding {
    struct pd_json_reader reader;
    struct pd_arena *arena;
    char *words;
    enum pd_status status; /* PD_OK: go on */
    uint32_t depth;
    struct frame frames[PD_PROTO_DEPTH_MAX];
};

static void fail(struct decoding *decoding, enum pd_status status, const char *wrong,
                 const char *field)
{
    decoding->status = status;
    (void)snprintf(decoding->words, PD_JSON_WORDS_MAX, "%s%s%s%s (byte %zu)",
                   field == NULL ? "bad JSON: " : "field '", field == NULL ? "" : field,
                   field == NULL ? "" : "': ", wrong, decoding->reader.at);
}

static void fail_memory(struct decoding *decoding)
{
    decoding->status = PD_ERR_NO_MEMORY;
    (void)snprintf(decoding->words, PD_JSON_WORDS_MAX, "the request has too many parts");
}

static void *member_of(ProtobufCMessage *message, size_t offset)
{
    return (uint8_t *)message + offset;
}

/* -- Scalars ----------------------------------------------------------------------------------- */

/* The bytes of a string token, without its escapes. */
static bool string_of(struct decoding *decoding, struct pd_span *bytes_out)
{
    *bytes_out = decoding->reader.text;
    if (!decoding->reader.has_escapes) {
        return true;
    }
    uint8_t *room = pd_arena_take(decoding->arena, bytes_out->size);
    if (room == NULL) {
        fail_memory(decoding);
        return false;
    }
    *bytes_out = (struct pd_span){room, pd_json_unescape(*bytes_out, room)};
    return true;
}

static void take_bytes(struct decoding *decoding, const ProtobufCFieldDescriptor *field,
                       ProtobufCBinaryData *to)
{
    struct pd_span text;
    if (!string_of(decoding, &text)) {
        return;
    }
    uint8_t *room = pd_arena_take(decoding->arena, text.size);
    if (room == NULL) {
        fail_memory(decoding);
    } else if (!pd_base64_decode(text, room, &to->len)) {
        fail(decoding, PD_ERR_INVALID, "bytes are given as base64", field->name);
    } else {
        to->data = room;
    }
}

static void take_text(struct decoding *decoding, const ProtobufCFieldDescriptor *field, char **to)
{
    struct pd_span text;
    if (!string_of(decoding, &text)) {
        return;
    }
    char *room = pd_arena_take(decoding->arena, text.size + 1);
    if (room == NULL) {
        fail_memory(decoding);
    } else if (text.size > 0 && memchr(text.bytes, 0, text.size) != NULL) {
        fail(decoding, PD_ERR_INVALID, "a zero byte has no place in a text", field->name);
    } else {
        if (text.size > 0) {
            memcpy(room, text.bytes, text.size);
        }
        room[text.size] = '\0';
        *to = room;
    }
}

static void take_enum(struct decoding *decoding, const ProtobufCFieldDescriptor *field,
                      enum pd_json_token token, struct pd_span text, int32_t *to)
{
    const ProtobufCEnumDescriptor *names = field->descriptor;
    int64_t number = 0;
    for (unsigned i = 0; token == PD_JSON_STRING && i < names->n_values; i++) {
        const char *name = names->values[i].name;
        if (strlen(name) == text.size && memcmp(name, text.bytes, text.size) == 0) {
            *to = names->values[i].value;
            return;
        }
    }
    if (token == PD_JSON_NUMBER && pd_json_number_signed(text, &number) && number >= INT32_MIN &&
        number <= INT32_MAX) {
        *to = (int32_t)number;
        return;
    }
    fail(decoding, PD_ERR_INVALID, "there is no such value", field->name);
}

static bool is_signed(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_INT32 || type == PROTOBUF_C_TYPE_SINT32 ||
           type == PROTOBUF_C_TYPE_SFIXED32 || type == PROTOBUF_C_TYPE_INT64 ||
           type == PROTOBUF_C_TYPE_SINT64 || type == PROTOBUF_C_TYPE_SFIXED64;
}

static bool is_wide(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_INT64 || type == PROTOBUF_C_TYPE_SINT64 ||
           type == PROTOBUF_C_TYPE_SFIXED64 || type == PROTOBUF_C_TYPE_UINT64 ||
           type == PROTOBUF_C_TYPE_FIXED64;
}

static void take_integer(struct decoding *decoding, const ProtobufCFieldDescriptor *field,
                         struct pd_span text, void *to)
{
    int64_t number = 0;
    uint64_t natural = 0;
    bool is_good = is_signed(field->type) ? pd_json_number_signed(text, &number)
                                          : pd_json_number_unsigned(text, &natural);
    uint64_t bits = is_signed(field->type) ? (uint64_t)number : natural;
    if (is_good && is_wide(field->type)) {
        memcpy(to, &bits, sizeof bits);
        return;
    }
    if (is_good && (is_signed(field->type) ? number >= INT32_MIN && number <= INT32_MAX
                                           : natural <= UINT32_MAX)) {
        uint32_t low = (uint32_t)bits;
        memcpy(to, &low, sizeof low);
        return;
    }
    fail(decoding, PD_ERR_INVALID, "an integer within the field's range is expected", field->name);
}

static void take_scalar(struct decoding *decoding, const ProtobufCFieldDescriptor *field,
                        enum pd_json_token token, void *to)
{
    bool is_string = token == PD_JSON_STRING;
    protobuf_c_boolean truth = token == PD_JSON_TRUE;
    struct pd_span text = decoding->reader.text;
    switch (field->type) {
    case PROTOBUF_C_TYPE_BYTES:
        if (is_string) {
            take_bytes(decoding, field, to);
            return;
        }
        break;
    case PROTOBUF_C_TYPE_STRING:
        if (is_string) {
            take_text(decoding, field, to);
            return;
        }
        break;
    case PROTOBUF_C_TYPE_BOOL:
        if (truth || token == PD_JSON_FALSE) {
            memcpy(to, &truth, sizeof truth);
            return;
        }
        break;
    case PROTOBUF_C_TYPE_ENUM:
        if (is_string || token == PD_JSON_NUMBER) {
            take_enum(decoding, field, token, text, to);
            return;
        }
        break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        if (is_string || token == PD_JSON_NUMBER) {
            take_integer(decoding, field, text, to);
            return;
        }
        break;
    case PROTOBUF_C_TYPE_FLOAT: /* the API has none */
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    fail(decoding, PD_ERR_INVALID, "a value of another type is expected", field->name);
}

/* -- Messages and lists ------------------------------------------------------------------------ */

static ProtobufCMessage *push(struct decoding *decoding, const ProtobufCMessageDescriptor *type)
{
    if (decoding->depth == PD_PROTO_DEPTH_MAX) {
        fail(decoding, PD_ERR_INVALID, "it nests too deep", NULL);
        return NULL;
    }
    pd_assert(type->n_fields <= 64);
    ProtobufCMessage *message = pd_arena_take(decoding->arena, type->sizeof_message);
    if (message == NULL) {
        fail_memory(decoding);
        return NULL;
    }
    protobuf_c_message_init(type, message);
    decoding->frames[decoding->depth++] = (struct frame){.message = message};
    return message;
}

/* Room for one more element of the list, zeroed; it counts already. */
static void *add_element(struct decoding *decoding, struct frame *frame)
{
    const ProtobufCFieldDescriptor *field = frame->list;
    size_t size = pd_json_element_size(field->type);
    size_t *count = member_of(frame->message, field->quantifier_offset);
    void **elements = member_of(frame->message, field->offset);
    if (*count == frame->capacity) {
        size_t wanted = frame->capacity == 0 ? 4 : 2 * frame->capacity;
        void *grown = pd_arena_take_zeroed(decoding->arena, wanted, size);
        if (grown == NULL) {
            fail_memory(decoding);
            return NULL;
        }
        if (*count > 0) {
            memcpy(grown, *elements, *count * size);
        }
        *elements = grown;
        frame->capacity = wanted;
    }
    return (uint8_t *)*elements + size * (*count)++;
}

/* A value for `to`, which is a field's own place or that of an element. */
static void take_value(struct decoding *decoding, const ProtobufCFieldDescriptor *field,
                       enum pd_json_token token, void *to)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
        take_scalar(decoding, field, token, to);
    } else if (token != PD_JSON_OBJECT) {
        fail(decoding, PD_ERR_INVALID, "an object is expected", field->name);
    } else {
        ProtobufCMessage *message = push(decoding, field->descriptor);
        memcpy(to, &message, sizeof message);
    }
}

static void take_element(struct decoding *decoding, struct frame *frame, enum pd_json_token token)
{
    if (token == PD_JSON_ARRAY_END) {
        frame->list = NULL;
        return;
    }
    void *to = add_element(decoding, frame);
    if (to != NULL) {
        take_value(decoding, frame->list, token, to);
    }
}

/* -- Fields ------------------------------------------------------------------------------------ */

/* "create_revision" as "createRevision" is the same name. */
static bool is_camel_of(struct pd_span text, const char *name)
{
    size_t at = 0;
    bool is_upper = false;
    for (; *name != '\0'; name++) {
        if (*name == '_') {
            is_upper = true;
            continue;
        }
        char letter = is_upper && *name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name;
        is_upper = false;
        if (at == text.size || text.bytes[at] != (uint8_t)letter) {
            return false;
        }
        at++;
    }
    return at == text.size;
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type,
                                                  struct pd_span text)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        const char *name = type->fields[i].name;
        if ((strlen(name) == text.size && memcmp(name, text.bytes, text.size) == 0) ||
            is_camel_of(text, name)) {
            return &type->fields[i];
        }
    }
    return NULL;
}

/* The field's value, after its name. */
static void take_field(struct decoding *decoding, struct frame *frame,
                       const ProtobufCFieldDescriptor *field)
{
    enum pd_json_token token = pd_json_next(&decoding->reader);
    if (token == PD_JSON_BAD) {
        fail(decoding, PD_ERR_INVALID, decoding->reader.wrong, NULL);
        return;
    }
    if (token == PD_JSON_NULL) {
        return;
    }
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        if (token != PD_JSON_ARRAY) {
            fail(decoding, PD_ERR_INVALID, "a list is expected", field->name);
            return;
        }
        frame->list = field;
        frame->capacity = 0;
        return;
    }
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        uint32_t *which = member_of(frame->message, field->quantifier_offset);
        if (*which != 0) {
            fail(decoding, PD_ERR_INVALID, "another field of its oneof came already", field->name);
            return;
        }
        *which = field->id;
    }
    take_value(decoding, field, token, member_of(frame->message, field->offset));
}

/* A name, or the end of the message. */
static void take_key(struct decoding *decoding, struct frame *frame, enum pd_json_token token)
{
    const ProtobufCMessageDescriptor *type = frame->message->descriptor;
    if (token == PD_JSON_OBJECT_END) {
        decoding->depth--;
        return;
    }
    pd_assert(token == PD_JSON_KEY);
    struct pd_span text;
    if (!string_of(decoding, &text)) {
        return;
    }
    const ProtobufCFieldDescriptor *field = find_field(type, text);
    if (field == NULL) {
        if (!pd_json_skip(&decoding->reader)) {
            fail(decoding, PD_ERR_INVALID, decoding->reader.wrong, NULL);
        }
        return;
    }
    uint64_t bit = UINT64_C(1) << (field - type->fields);
    if ((frame->seen & bit) != 0) {
        fail(decoding, PD_ERR_INVALID, "it comes twice", field->name);
        return;
    }
    frame->seen |= bit;
    take_field(decoding, frame, field);
}

enum pd_status pd_json_decode(const ProtobufCMessageDescriptor *type, struct pd_span input,
                              struct pd_arena *arena, ProtobufCMessage **message_out,
                              char words[PD_JSON_WORDS_MAX])
{
    struct decoding decoding;
    decoding.arena = arena;
    decoding.words = words;
    decoding.status = PD_OK;
    decoding.depth = 0;
    pd_json_reader_init(&decoding.reader, input);
    words[0] = '\0';
    enum pd_json_token token = pd_json_next(&decoding.reader);
    *message_out = push(&decoding, type);
    if (pd_json_is_blank(input) || decoding.status != PD_OK) {
        return decoding.status;
    }
    if (token != PD_JSON_OBJECT) {
        fail(&decoding, PD_ERR_INVALID,
             token == PD_JSON_BAD ? decoding.reader.wrong : "an object is expected", NULL);
    }
    while (decoding.status == PD_OK && decoding.depth > 0) {
        struct frame *frame = &decoding.frames[decoding.depth - 1];
        token = pd_json_next(&decoding.reader);
        if (token == PD_JSON_BAD) {
            fail(&decoding, PD_ERR_INVALID, decoding.reader.wrong, NULL);
        } else if (frame->list != NULL) {
            take_element(&decoding, frame, token);
        } else {
            take_key(&decoding, frame, token);
        }
    }
    if (decoding.status == PD_OK && pd_json_next(&decoding.reader) != PD_JSON_END) {
        fail(&decoding, PD_ERR_INVALID, decoding.reader.wrong, NULL);
    }
    return decoding.status;
}
