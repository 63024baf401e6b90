#include "node/module_exports.h"

#include <stdbool.h>
#include <string.h>

#define HEADER_SIZE 8u
#define SECTION_EXPORTS 7
#define SECTION_TAGS 13 /* stands before the exports */
#define KIND_FUNCTION 0
#define U32_BYTES_MAX 5u

/* LEB128 as WebAssembly has it: of up to five bytes, also when fewer would do. */
static bool take_u32(const uint8_t **at, const uint8_t *end, uint32_t *value_out)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < U32_BYTES_MAX && *at < end; i++) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *value_out = (uint32_t)value;
            return value <= UINT32_MAX;
        }
    }
    return false;
}

/* Sections stand in the order of their numbers, but for the one of tags, and custom ones (0). */
static bool is_past_exports(uint8_t section)
{
    return section > SECTION_EXPORTS && section != SECTION_TAGS;
}

enum pd_status pd_module_exports_begin(struct pd_module_exports *exports_out, const uint8_t *bytes,
                                       size_t size)
{
    static const uint8_t header[HEADER_SIZE] = {0x00, 'a', 's', 'm', 1, 0, 0, 0};
    if (size < HEADER_SIZE) {
        return PD_ERR_FULL;
    }
    if (memcmp(bytes, header, HEADER_SIZE) != 0) {
        return PD_ERR_INVALID;
    }
    const uint8_t *at = bytes + HEADER_SIZE;
    const uint8_t *end = bytes + size;
    *exports_out = (struct pd_module_exports){.at = end, .end = end, .left = 0};
    while (at < end) {
        uint8_t section = *at++;
        uint32_t length = 0;
        if (is_past_exports(section)) {
            return PD_OK;
        }
        if (!take_u32(&at, end, &length)) {
            return at == end ? PD_ERR_FULL : PD_ERR_INVALID;
        }
        if (length > (size_t)(end - at)) {
            return PD_ERR_FULL;
        }
        if (section == SECTION_EXPORTS) {
            exports_out->at = at;
            exports_out->end = at + length;
            return take_u32(&exports_out->at, exports_out->end, &exports_out->left)
                       ? PD_OK
                       : PD_ERR_INVALID;
        }
        at += length;
    }
    return PD_ERR_FULL; /* unless it is all of it: then nothing is exported */
}

static bool take_entry(struct pd_module_exports *exports, const char **name_out, size_t *size_out,
                       uint8_t *kind_out)
{
    uint32_t size = 0;
    uint32_t index = 0;
    if (!take_u32(&exports->at, exports->end, &size) ||
        size >= (size_t)(exports->end - exports->at)) {
        return false;
    }
    *name_out = (const char *)exports->at;
    *size_out = size;
    exports->at += size;
    *kind_out = *exports->at++;
    return take_u32(&exports->at, exports->end, &index);
}

enum pd_status pd_module_exports_next(struct pd_module_exports *exports, const char **name_out,
                                      size_t *size_out)
{
    while (exports->left > 0) {
        uint8_t kind = KIND_FUNCTION;
        exports->left--;
        if (!take_entry(exports, name_out, size_out, &kind)) {
            exports->left = 0;
            return PD_ERR_INVALID;
        }
        if (kind == KIND_FUNCTION) {
            return PD_OK;
        }
    }
    return PD_ERR_UNKNOWN;
}
