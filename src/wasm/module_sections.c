#include "wasm/module_sections.h"

#include <string.h>

#include "wasm/leb.h"

/* What the engine keeps in an instance. */
#define TABLE_ELEMENT_BYTES 8u
#define GLOBAL_BYTES 16u
#define RECORD_BYTES 32u

enum {
    HEADER_SIZE = 8,
    SECTION_CUSTOM = 0,
    SECTION_IMPORT = 2,
    SECTION_FUNCTION = 3,
    SECTION_TABLE = 4,
    SECTION_GLOBAL = 6,
    SECTION_EXPORT = 7,
    SECTION_START = 8,
    SECTION_ELEMENT = 9,
    SECTION_CODE = 10,
    TYPE_FUNCREF = 0x70,
    TYPE_EXTERNREF = 0x6f
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

static uint32_t add(uint32_t a, uint32_t b)
{
    return b > UINT32_MAX - a ? UINT32_MAX : a + b;
}

/* A table: the type of its elements and its limits (5.3.7). What is not known here may be as large
 * as it likes. */
static void read_tables(struct pd_module_sections *sections, const uint8_t *at, const uint8_t *end)
{
    uint32_t count = 0;
    uint32_t min = 0;
    uint32_t max = 0;
    bool is_known = pd_leb_u32(&at, end, &count);
    for (uint32_t i = 0; i < count && is_known; i++) {
        is_known = end - at > 2 && (at[0] == TYPE_FUNCREF || at[0] == TYPE_EXTERNREF) && at[1] <= 1;
        if (is_known) {
            bool has_max = at[1] == 1;
            at += 2;
            is_known = pd_leb_u32(&at, end, &min) && (!has_max || pd_leb_u32(&at, end, &max));
            max = has_max ? max : UINT32_MAX;
        }
        if (is_known) {
            sections->table_elements_min = add(sections->table_elements_min, min);
            sections->table_elements_max = add(sections->table_elements_max, max);
        }
    }
    if (!is_known) {
        sections->table_elements_min = UINT32_MAX;
        sections->table_elements_max = UINT32_MAX;
    }
}

/* Who refers to a function names it: in the segments of elements, where that takes a byte at
 * least, among the exports, or in a global. */
static uint32_t referred_max(const struct pd_module_sections *sections)
{
    uint32_t all = add(sections->import_count, sections->function_count);
    uint32_t named =
        add(sections->elements_size, add(sections->export_count, sections->global_count));
    return all < named ? all : named;
}

uint64_t pd_module_sections_instance_bytes(const struct pd_module_sections *sections,
                                           uint32_t table_elements)
{
    uint64_t records = (uint64_t)sections->import_count + referred_max(sections);
    return (uint64_t)table_elements * TABLE_ELEMENT_BYTES +
           (uint64_t)sections->global_count * GLOBAL_BYTES + records * RECORD_BYTES;
}

static void read_section(struct pd_module_sections *sections, uint8_t id, const uint8_t *at,
                         const uint8_t *end)
{
    if (id == SECTION_START) {
        sections->has_start = true;
    } else if (id == SECTION_IMPORT) {
        (void)!pd_leb_u32(&at, end, &sections->import_count);
    } else if (id == SECTION_FUNCTION) {
        (void)!pd_leb_u32(&at, end, &sections->function_count);
    } else if (id == SECTION_TABLE) {
        read_tables(sections, at, end);
    } else if (id == SECTION_GLOBAL) {
        (void)!pd_leb_u32(&at, end, &sections->global_count);
    } else if (id == SECTION_EXPORT) {
        (void)!pd_leb_u32(&at, end, &sections->export_count);
    } else if (id == SECTION_ELEMENT) {
        sections->elements_size = (uint32_t)(end - at); /* as its size says */
    } else if (id == SECTION_CUSTOM) {
        read_custom(&sections->line_table, at, end);
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
        if (id == SECTION_CODE) {
            sections->code_offset = (uint32_t)(at - bytes); /* below 4 GiB, as its size says */
        }
        read_section(sections, id, at, at + section_size);
        at += section_size;
    }
}
