#include "proto/depth.h"

#define WIRE_VARINT 0u
#define WIRE_FIXED64 1u
#define WIRE_BYTES 2u
#define WIRE_FIXED32 5u

struct level {
    const ProtobufCMessageDescriptor *descriptor;
    size_t end;
};

/* False: there is none before `end`. */
static bool read_varint(struct pd_span bytes, size_t end, size_t *at, uint64_t *value_out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = bytes.bytes[(*at)++];
        value |= (uint64_t)(byte & 0x7fu) << shift;
        if ((byte & 0x80u) == 0) {
            *value_out = value;
            return true;
        }
    }
    return false;
}

static const ProtobufCMessageDescriptor *submessage(const ProtobufCMessageDescriptor *descriptor,
                                                    uint64_t number)
{
    if (number == 0 || number > UINT32_MAX) {
        return NULL;
    }
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(descriptor, (unsigned)number);
    return field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE ? field->descriptor : NULL;
}

bool pd_proto_is_shallow(const ProtobufCMessageDescriptor *descriptor, struct pd_span bytes)
{
    struct level levels[PD_PROTO_DEPTH_MAX];
    uint32_t depth = 0;
    size_t at = 0;
    levels[0] = (struct level){descriptor, bytes.size};
    while (true) {
        while (depth > 0 && at >= levels[depth].end) {
            depth--;
        }
        size_t end = levels[depth].end;
        if (at >= end) {
            return true;
        }
        uint64_t tag = 0;
        uint64_t size = 0;
        if (!read_varint(bytes, end, &at, &tag)) {
            return true;
        }
        switch (tag & 7u) {
        case WIRE_VARINT:
            if (!read_varint(bytes, end, &at, &size)) {
                return true;
            }
            size = 0;
            break;
        case WIRE_FIXED64:
            size = 8;
            break;
        case WIRE_FIXED32:
            size = 4;
            break;
        case WIRE_BYTES:
            if (!read_varint(bytes, end, &at, &size)) {
                return true;
            }
            break;
        default:
            return true;
        }
        if (size > end - at) {
            return true;
        }
        const ProtobufCMessageDescriptor *below =
            (tag & 7u) == WIRE_BYTES ? submessage(levels[depth].descriptor, tag >> 3) : NULL;
        if (below == NULL) {
            at += size;
        } else if (depth + 1 == PD_PROTO_DEPTH_MAX) {
            return false;
        } else {
            levels[++depth] = (struct level){below, at + size};
        }
    }
}
