#include "node/module_exports.h"

#include <stdbool.h>
#include <string.h>

#include "wasm/leb.h"

#define HEADER_SIZE 8u
#define SECTION_TYPES 1
#define SECTION_IMPORTS 2
#define SECTION_FUNCTIONS 3
#define SECTION_EXPORTS 7
#define SECTION_TAGS 13 /* stands before the exports */
#define KIND_FUNCTION 0
#define KIND_TABLE 1
#define KIND_MEMORY 2
#define KIND_GLOBAL 3
#define KIND_TAG 4
#define TYPE_FUNCTION 0x60
#define REFERENCE_NULL 0x63 /* a reference that says to what, in a number behind it */
#define REFERENCE 0x64
#define LIMIT_HAS_MAX 1u

/* A section's content, or what is left of it. */
struct part {
    const uint8_t *at;
    const uint8_t *end;
};

/* Sections stand in the order of their numbers, but for the one of tags, and custom ones (0). */
static bool is_past_exports(uint8_t section)
{
    return section > SECTION_EXPORTS && section != SECTION_TAGS;
}

/* The section at *at, of which there is at least a byte; moves on. PD_ERR_UNKNOWN: it stands behind
 * the exports; PD_ERR_FULL: more bytes are needed. */
static enum pd_status next_section(const uint8_t **at, const uint8_t *end, uint8_t *section_out,
                                   struct part *part_out)
{
    uint32_t length = 0;
    *section_out = *(*at)++;
    if (is_past_exports(*section_out)) {
        return PD_ERR_UNKNOWN;
    }
    if (!pd_leb_u32(at, end, &length)) {
        return *at == end ? PD_ERR_FULL : PD_ERR_INVALID;
    }
    if (length > (size_t)(end - *at)) {
        return PD_ERR_FULL;
    }
    *part_out = (struct part){.at = *at, .end = *at + length};
    *at += length;
    return PD_OK;
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
        uint8_t section = 0;
        struct part part;
        enum pd_status status = next_section(&at, end, &section, &part);
        if (status != PD_OK) {
            return status == PD_ERR_UNKNOWN ? PD_OK : status;
        }
        if (section == SECTION_EXPORTS) {
            exports_out->at = part.at;
            exports_out->end = part.end;
            return pd_leb_u32(&exports_out->at, exports_out->end, &exports_out->left)
                       ? PD_OK
                       : PD_ERR_INVALID;
        }
    }
    return PD_ERR_FULL; /* unless it is all of it: then nothing is exported */
}

static bool take_entry(struct pd_module_exports *exports, const char **name_out, size_t *size_out,
                       uint8_t *kind_out, uint32_t *index_out)
{
    uint32_t size = 0;
    if (!pd_leb_u32(&exports->at, exports->end, &size) ||
        size >= (size_t)(exports->end - exports->at)) {
        return false;
    }
    *name_out = (const char *)exports->at;
    *size_out = size;
    exports->at += size;
    *kind_out = *exports->at++;
    return pd_leb_u32(&exports->at, exports->end, index_out);
}

enum pd_status pd_module_exports_next(struct pd_module_exports *exports, const char **name_out,
                                      size_t *size_out, uint32_t *index_out)
{
    while (exports->left > 0) {
        uint8_t kind = KIND_FUNCTION;
        exports->left--;
        if (!take_entry(exports, name_out, size_out, &kind, index_out)) {
            exports->left = 0;
            return PD_ERR_INVALID;
        }
        if (kind == KIND_FUNCTION) {
            return PD_OK;
        }
    }
    return PD_ERR_UNKNOWN;
}

/* --- Types ------------------------------------------------------------------------------------ */

/* A section by its number; empty when there is none. False: they are no sections. */
static bool find_section(const uint8_t *bytes, size_t size, uint8_t wanted, struct part *part_out)
{
    const uint8_t *at = bytes + HEADER_SIZE;
    const uint8_t *end = bytes + size;
    *part_out = (struct part){.at = end, .end = end};
    while (at < end) {
        uint8_t section = 0;
        struct part part;
        enum pd_status status = next_section(&at, end, &section, &part);
        if (status != PD_OK) {
            return status == PD_ERR_UNKNOWN;
        }
        if (section == wanted) {
            *part_out = part;
            return true;
        }
    }
    return true;
}

static bool take(struct part *part, uint32_t *value_out)
{
    return pd_leb_u32(&part->at, part->end, value_out);
}

static bool take_byte(struct part *part, uint8_t *byte_out)
{
    if (part->at == part->end) {
        return false;
    }
    *byte_out = *part->at++;
    return true;
}

static bool skip_bytes(struct part *part)
{
    uint32_t size = 0;
    if (!take(part, &size) || size > (size_t)(part->end - part->at)) {
        return false;
    }
    part->at += size;
    return true;
}

/* A number of up to 64 bits. */
static bool skip_number(struct part *part)
{
    uint8_t byte = 0x80;
    while (byte >= 0x80) {
        if (!take_byte(part, &byte)) {
            return false;
        }
    }
    return true;
}

static bool take_value_type(struct part *part, uint8_t *type_out)
{
    if (!take_byte(part, type_out)) {
        return false;
    }
    bool has_more = *type_out == REFERENCE || *type_out == REFERENCE_NULL;
    return !has_more || skip_number(part);
}

static bool skip_limits(struct part *part)
{
    uint32_t flags = 0;
    return take(part, &flags) && skip_number(part) &&
           ((flags & LIMIT_HAS_MAX) == 0 || skip_number(part));
}

/* An import; *is_function_out says of what kind. False: it is of one that is not known here. */
static bool take_import(struct part *part, bool *is_function_out, uint32_t *type_out)
{
    uint8_t kind = 0;
    uint8_t byte = 0;
    if (!skip_bytes(part) || !skip_bytes(part) || !take_byte(part, &kind)) {
        return false;
    }
    *is_function_out = kind == KIND_FUNCTION;
    switch (kind) {
    case KIND_FUNCTION:
        return take(part, type_out);
    case KIND_TABLE:
        return take_value_type(part, &byte) && skip_limits(part);
    case KIND_MEMORY:
        return skip_limits(part);
    case KIND_GLOBAL:
        return take_value_type(part, &byte) && take_byte(part, &byte);
    case KIND_TAG:
        return take_byte(part, &byte) && skip_number(part);
    default:
        return false;
    }
}

/* The number of the type of a function: those that are imported come first. */
static bool find_type(const uint8_t *bytes, size_t size, uint32_t index, uint32_t *type_out)
{
    struct part part;
    uint32_t count = 0;
    if (!find_section(bytes, size, SECTION_IMPORTS, &part)) {
        return false;
    }
    if (part.at < part.end && !take(&part, &count)) {
        return false;
    }
    for (; count > 0; count--) {
        bool is_function = false;
        if (!take_import(&part, &is_function, type_out)) {
            return false;
        }
        if (is_function && index-- == 0) {
            return true;
        }
    }
    if (!find_section(bytes, size, SECTION_FUNCTIONS, &part) || !take(&part, &count) ||
        index >= count) {
        return false;
    }
    for (uint32_t i = 0; i <= index; i++) {
        if (!take(&part, type_out)) {
            return false;
        }
    }
    return true;
}

static bool take_function_type(struct part *part, struct pd_module_type *type_out)
{
    uint8_t form = 0;
    uint8_t type = 0;
    if (!take_byte(part, &form) || form != TYPE_FUNCTION || !take(part, &type_out->param_count)) {
        return false;
    }
    for (uint32_t i = 0; i < type_out->param_count; i++) {
        if (!take_value_type(part, &type)) {
            return false;
        }
        if (i < PD_MODULE_TYPE_PARAMS_MAX) {
            type_out->params[i] = type;
        }
    }
    if (!take(part, &type_out->result_count)) {
        return false;
    }
    for (uint32_t i = 0; i < type_out->result_count; i++) {
        if (!take_value_type(part, &type)) {
            return false;
        }
    }
    return true;
}

enum pd_status pd_module_type_of(const uint8_t *bytes, size_t size, uint32_t index,
                                 struct pd_module_type *type_out)
{
    struct part part;
    uint32_t number = 0;
    uint32_t count = 0;
    *type_out = (struct pd_module_type){.param_count = 0};
    if (!find_type(bytes, size, index, &number) ||
        !find_section(bytes, size, SECTION_TYPES, &part) || !take(&part, &count) ||
        number >= count) {
        return PD_ERR_UNKNOWN;
    }
    for (uint32_t i = 0; i <= number; i++) {
        if (!take_function_type(&part, type_out)) {
            return PD_ERR_UNKNOWN;
        }
    }
    return PD_OK;
}
