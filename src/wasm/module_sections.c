#include "wasm/module_sections.h"

#include <string.h>

enum {
    HEADER_SIZE = 8,
    SECTION_CUSTOM = 0,
    SECTION_START = 8,
    SECTION_CODE = 10
};

/* A LEB128 number of 32 bits at *at; moves on. False: it does not end within the bytes. */
static bool read_size(const uint8_t *bytes, size_t size, size_t *at, uint32_t *value_out)
{
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 35 && *at < size; shift += 7) {
        uint8_t byte = bytes[(*at)++];
        value |= (uint32_t)(byte & 0x7F) << (shift % 32);
        if ((byte & 0x80) == 0) {
            *value_out = value;
            return true;
        }
    }
    return false;
}

/* A custom section: its name with a length, then what it is. */
static void read_custom(struct pd_line_table *table, const uint8_t *bytes, size_t size)
{
    static const char lines[] = ".debug_line";
    static const char strings[] = ".debug_line_str";
    uint32_t name_size = 0;
    size_t at = 0;
    if (!read_size(bytes, size, &at, &name_size) || name_size > size - at) {
        return;
    }
    const uint8_t *name = bytes + at;
    const uint8_t *content = name + name_size;
    size_t content_size = size - at - name_size;
    if (name_size == sizeof lines - 1 && memcmp(name, lines, name_size) == 0) {
        table->lines = content;
        table->lines_size = content_size;
    } else if (name_size == sizeof strings - 1 && memcmp(name, strings, name_size) == 0) {
        table->strings = content;
        table->strings_size = content_size;
    }
}

void pd_module_sections_read(struct pd_module_sections *sections, const uint8_t *bytes, size_t size)
{
    *sections = (struct pd_module_sections){.has_start = false};
    size_t at = HEADER_SIZE;
    while (at < size) {
        uint8_t id = bytes[at++];
        uint32_t section_size = 0;
        if (!read_size(bytes, size, &at, &section_size) || section_size > size - at) {
            return;
        }
        if (id == SECTION_START) {
            sections->has_start = true;
        } else if (id == SECTION_CODE) {
            sections->code_offset = (uint32_t)at; /* of less than 4 GiB, as its size says */
        } else if (id == SECTION_CUSTOM) {
            read_custom(&sections->line_table, bytes + at, section_size);
        }
        at += section_size;
    }
}
