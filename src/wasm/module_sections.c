#include "wasm/module_sections.h"

#include <string.h>

#include "wasm/leb.h"

enum {
    HEADER_SIZE = 8,
    SECTION_CUSTOM = 0,
    SECTION_START = 8,
    SECTION_CODE = 10
};

/* A custom section: its name with a length, then what it is. */
static void read_custom(struct pd_line_table *table, const uint8_t *at, const uint8_t *end)
{
    static const char lines[] = ".debug_line";
    static const char strings[] = ".debug_line_str";
    uint32_t name_size = 0;
    if (!pd_leb_u32(&at, end, &name_size) || name_size > (size_t)(end - at)) {
        return;
    }
    const uint8_t *name = at;
    const uint8_t *content = name + name_size;
    size_t content_size = (size_t)(end - content);
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
    const uint8_t *end = bytes + size;
    const uint8_t *at = size < HEADER_SIZE ? end : bytes + HEADER_SIZE;
    while (at < end) {
        uint8_t id = *at++;
        uint32_t section_size = 0;
        if (!pd_leb_u32(&at, end, &section_size) || section_size > (size_t)(end - at)) {
            return;
        }
        if (id == SECTION_START) {
            sections->has_start = true;
        } else if (id == SECTION_CODE) {
            sections->code_offset = (uint32_t)(at - bytes); /* below 4 GiB, as its size says */
        } else if (id == SECTION_CUSTOM) {
            read_custom(&sections->line_table, at, at + section_size);
        }
        at += section_size;
    }
}
