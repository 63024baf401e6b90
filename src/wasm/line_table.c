#include "wasm/line_table.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

/* Numbers of the DWARF standard, version 5, sections 6.2.4 and 6.2.5. */
enum opcode {
    OPCODE_EXTENDED = 0,
    OPCODE_COPY = 1,
    OPCODE_ADVANCE_PC = 2,
    OPCODE_ADVANCE_LINE = 3,
    OPCODE_SET_FILE = 4,
    OPCODE_SET_COLUMN = 5,
    OPCODE_CONST_ADD_PC = 8,
    OPCODE_FIXED_ADVANCE_PC = 9
};

enum extended_opcode {
    EXTENDED_END_SEQUENCE = 1,
    EXTENDED_SET_ADDRESS = 2
};

enum content_type {
    CONTENT_PATH = 1,
    CONTENT_DIRECTORY_INDEX = 2
};

enum form {
    FORM_DATA2 = 0x05,
    FORM_DATA4 = 0x06,
    FORM_DATA8 = 0x07,
    FORM_STRING = 0x08,
    FORM_BLOCK = 0x09,
    FORM_DATA1 = 0x0b,
    FORM_STRP = 0x0e,
    FORM_UDATA = 0x0f,
    FORM_DATA16 = 0x1e,
    FORM_LINE_STRP = 0x1f
};

#define LENGTH_64 0xffffffffu  /* a length of 64 bits follows */
#define LENGTH_MAX 0xfffffff0u /* above: reserved */
#define NOWHERE UINT64_MAX

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool is_bad; /* something was wanted that is not there; nothing more is */
};

struct unit {
    const struct pd_line_table *table;
    struct reader names;
    struct reader program;
    uint16_t version;
    uint8_t offset_size; /* of what points into other sections: 4 or 8 */
    uint8_t step;        /* of addresses */
    int8_t line_base;
    uint8_t line_range;
    uint8_t opcode_base;
    const uint8_t *operand_counts; /* of opcode n at n - 1 */
};

struct row {
    uint64_t address;
    uint64_t file;
    uint32_t line;
    uint32_t column;
};

struct search {
    const struct unit *unit;
    struct pd_line_place *places;
    uint32_t count;
    struct row row;    /* the machine's registers */
    struct row before; /* the last row of this sequence */
    bool has_before;
    bool is_dead;  /* of a function that the linker left out */
    uint32_t next; /* the first place that is not before this row */
};

/* A name in a list. */
struct entry {
    const char *path;
    size_t path_size;
    uint64_t directory;
};

/* --- Reading ---------------------------------------------------------------------------------- */

static size_t left(const struct reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

static void fail(struct reader *reader)
{
    reader->at = reader->end;
    reader->is_bad = true;
}

static const uint8_t *take(struct reader *reader, uint64_t size)
{
    if (size > left(reader)) {
        fail(reader);
        return NULL;
    }
    const uint8_t *bytes = reader->at;
    reader->at += (size_t)size;
    return bytes;
}

/* A number of 1 to 8 bytes. */
static uint64_t take_number(struct reader *reader, unsigned size)
{
    uint8_t bytes[8] = {0};
    const uint8_t *from = take(reader, size);
    if (from != NULL) {
        memcpy(bytes, from, size);
    }
    return pd_get_u64(bytes);
}

static uint8_t take_byte(struct reader *reader)
{
    return (uint8_t)take_number(reader, 1);
}

/* A LEB128 number; what is above 64 bits is lost. */
static uint64_t take_leb(struct reader *reader, bool is_signed)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        if (reader->at == reader->end) {
            fail(reader);
            return 0;
        }
        uint8_t byte = *reader->at++;
        if (shift < 64) {
            value |= (uint64_t)(byte & 0x7fu) << shift;
        }
        if ((byte & 0x80u) == 0) {
            bool is_negative = is_signed && (byte & 0x40u) != 0 && shift + 7 < 64;
            return is_negative ? value | UINT64_MAX << (shift + 7) : value;
        }
        shift = shift > 63 ? 63 : shift; /* however long it is, the count stays small */
    }
}

static uint64_t take_unsigned(struct reader *reader)
{
    return take_leb(reader, false);
}

static const char *take_text(struct reader *reader, size_t *size_out)
{
    *size_out = 0;
    const uint8_t *end = left(reader) == 0 ? NULL : memchr(reader->at, '\0', left(reader));
    if (end == NULL) {
        fail(reader);
        return NULL;
    }
    const char *text = (const char *)reader->at;
    *size_out = (size_t)(end - reader->at);
    reader->at = end + 1;
    return text;
}

/* --- Units ------------------------------------------------------------------------------------ */

/* The bytes of the next unit behind its length. False: there is none. */
static bool take_unit(struct reader *table, struct reader *unit_out, uint8_t *offset_size_out)
{
    uint64_t size = take_number(table, 4);
    *offset_size_out = 4;
    if (size == LENGTH_64) {
        size = take_number(table, 8);
        *offset_size_out = 8;
    } else if (size >= LENGTH_MAX) {
        return false;
    }
    const uint8_t *bytes = table->is_bad ? NULL : take(table, size);
    if (bytes == NULL) {
        return false;
    }
    *unit_out = (struct reader){.at = bytes, .end = bytes + (size_t)size};
    return true;
}

/* False: it is of a kind that is not known, or nonsense. */
static bool read_header(struct reader *reader, struct unit *unit)
{
    unit->version = (uint16_t)take_number(reader, 2);
    if (unit->version < 2 || unit->version > 5) {
        return false;
    }
    if (unit->version == 5) {
        (void)take_number(reader, 2); /* the sizes of an address and of a segment selector */
    }
    uint64_t header_size = take_number(reader, unit->offset_size);
    if (reader->is_bad || header_size > left(reader)) {
        return false;
    }
    unit->program = (struct reader){.at = reader->at + (size_t)header_size, .end = reader->end};
    reader->end = unit->program.at;
    unit->step = take_byte(reader);
    if (unit->version >= 4) {
        (void)take_byte(reader); /* operations in an instruction: one, in WebAssembly */
    }
    (void)take_byte(reader); /* whether a row is a statement, to begin with */
    unit->line_base = (int8_t)take_byte(reader);
    unit->line_range = take_byte(reader);
    unit->opcode_base = take_byte(reader);
    if (unit->line_range == 0 || unit->opcode_base == 0) {
        return false;
    }
    unit->operand_counts = take(reader, unit->opcode_base - 1u);
    unit->names = *reader;
    return !reader->is_bad;
}

/* --- Names ------------------------------------------------------------------------------------ */

/* Before version 5: texts up to an empty one, counted from 1; 0 is the directory of compilation. */
static void find_former(struct reader names, uint64_t file, struct entry *directory,
                        struct entry *found)
{
    struct reader again = names;
    struct entry entry = {.path_size = 0};
    do {
        entry.path = take_text(&names, &entry.path_size);
    } while (entry.path_size > 0);
    for (uint64_t i = 1; i <= file; i++) {
        entry.path = take_text(&names, &entry.path_size);
        if (entry.path_size == 0) {
            return;
        }
        entry.directory = take_unsigned(&names);
        (void)take_unsigned(&names); /* when it was changed */
        (void)take_unsigned(&names); /* how long it is */
    }
    if (file == 0 || names.is_bad) {
        return;
    }
    *found = entry;
    for (uint64_t i = 1; i <= entry.directory; i++) {
        directory->path = take_text(&again, &directory->path_size);
        if (directory->path_size == 0) {
            return;
        }
    }
}

/* A text of .debug_line_str. */
static void text_at(const struct pd_line_table *table, uint64_t offset, struct entry *entry)
{
    if (offset < table->strings_size) {
        struct reader reader = {.at = table->strings + (size_t)offset,
                                .end = table->strings + table->strings_size};
        entry->path = take_text(&reader, &entry->path_size);
    }
}

/* One part of an entry of version 5. */
static void take_part(struct reader *names, const struct unit *unit, uint64_t content,
                      uint64_t form, struct entry *entry)
{
    struct entry part = {.path = NULL};
    switch (form) {
    case FORM_STRING:
        part.path = take_text(names, &part.path_size);
        break;
    case FORM_LINE_STRP:
        text_at(unit->table, take_number(names, unit->offset_size), &part);
        break;
    case FORM_STRP: /* into a section that is not kept: no name */
        (void)take_number(names, unit->offset_size);
        break;
    case FORM_DATA1:
        part.directory = take_byte(names);
        break;
    case FORM_DATA2:
        part.directory = take_number(names, 2);
        break;
    case FORM_DATA4:
        part.directory = take_number(names, 4);
        break;
    case FORM_DATA8:
        part.directory = take_number(names, 8);
        break;
    case FORM_UDATA:
        part.directory = take_unsigned(names);
        break;
    case FORM_DATA16: /* a hash of the file */
        (void)take(names, 16);
        break;
    case FORM_BLOCK:
        (void)take(names, take_unsigned(names));
        break;
    default:
        fail(names);
        break;
    }
    if (content == CONTENT_PATH) {
        entry->path = part.path;
        entry->path_size = part.path_size;
    } else if (content == CONTENT_DIRECTORY_INDEX) {
        entry->directory = part.directory;
    }
}

/* Read a list of version 5, counted from 0, to its end, and keep entry `wanted`. Each entry takes
 * at least a byte for each of its parts, or the list is nonsense. */
static void take_list(struct reader *names, const struct unit *unit, uint64_t wanted,
                      struct entry *found)
{
    uint8_t part_count = take_byte(names);
    struct reader format = *names;
    for (uint8_t part = 0; part < part_count; part++) {
        (void)take_unsigned(names);
        (void)take_unsigned(names);
    }
    uint64_t count = take_unsigned(names);
    for (uint64_t i = 0; part_count > 0 && i < count && !names->is_bad; i++) {
        struct reader parts = format;
        struct entry entry = {.path = NULL};
        for (uint8_t part = 0; part < part_count; part++) {
            uint64_t content = take_unsigned(&parts);
            uint64_t form = take_unsigned(&parts);
            take_part(names, unit, content, form, &entry);
        }
        if (i == wanted && !names->is_bad) {
            *found = entry;
        }
    }
}

static void name_place(const struct unit *unit, uint64_t number, struct pd_line_place *place)
{
    struct entry directory = {.path = NULL};
    struct entry file = {.path = NULL};
    if (number < PD_LINE_FILES_MAX && unit->version < 5) {
        find_former(unit->names, number, &directory, &file);
    } else if (number < PD_LINE_FILES_MAX) {
        struct reader names = unit->names;
        take_list(&names, unit, NOWHERE, &directory);
        take_list(&names, unit, number, &file);
        names = unit->names;
        take_list(&names, unit, file.path_size > 0 ? file.directory : NOWHERE, &directory);
    }
    place->directory = directory.path_size > 0 ? directory.path : "";
    place->directory_size = directory.path_size;
    place->file = file.path_size > 0 ? file.path : "";
    place->file_size = file.path_size;
}

/* --- Rows ------------------------------------------------------------------------------------- */

/* The row before this one holds for all addresses up to it. */
static void emit(struct search *search)
{
    struct pd_line_place *places = search->places;
    uint64_t address = search->row.address;
    if (!search->has_before) {
        search->is_dead = address == 0; /* there is the section's count of functions, no code */
        search->next = 0;
        while (search->next < search->count && places[search->next].address < address) {
            search->next++;
        }
    }
    while (search->has_before && search->next < search->count &&
           places[search->next].address < address) {
        struct pd_line_place *place = &places[search->next++];
        if (!search->is_dead && !place->is_known) {
            place->is_known = true;
            place->line = search->before.line;
            place->column = search->before.column;
            name_place(search->unit, search->before.file, place);
        }
    }
    search->before = search->row;
    search->has_before = true;
}

static void begin_sequence(struct search *search)
{
    search->row = (struct row){.file = 1, .line = 1};
    search->has_before = false;
}

static void run_extended(struct search *search, struct reader *program)
{
    uint64_t size = take_unsigned(program);
    const uint8_t *bytes = take(program, size);
    if (bytes == NULL || size == 0) {
        return;
    }
    struct reader operand = {.at = bytes + 1, .end = bytes + (size_t)size};
    if (bytes[0] == EXTENDED_END_SEQUENCE) {
        emit(search);
        begin_sequence(search);
    } else if (bytes[0] == EXTENDED_SET_ADDRESS) {
        search->row.address = take_number(&operand, size == 9 ? 8 : 4);
    }
}

static void run_standard(struct search *search, struct reader *program, uint8_t opcode)
{
    const struct unit *unit = search->unit;
    switch (opcode) {
    case OPCODE_EXTENDED:
        run_extended(search, program);
        return;
    case OPCODE_COPY:
        emit(search);
        return;
    case OPCODE_ADVANCE_PC:
        search->row.address += take_unsigned(program) * unit->step;
        return;
    case OPCODE_ADVANCE_LINE:
        search->row.line += (uint32_t)take_leb(program, true);
        return;
    case OPCODE_SET_FILE:
        search->row.file = take_unsigned(program);
        return;
    case OPCODE_SET_COLUMN:
        search->row.column = (uint32_t)take_unsigned(program);
        return;
    case OPCODE_CONST_ADD_PC:
        search->row.address +=
            (uint64_t)((255u - unit->opcode_base) / unit->line_range) * unit->step;
        return;
    case OPCODE_FIXED_ADVANCE_PC:
        search->row.address += take_number(program, 2);
        return;
    default: /* says nothing about a place, or is of a later version: its operands are numbers */
        for (uint8_t i = 0; i < unit->operand_counts[opcode - 1u]; i++) {
            (void)take_unsigned(program);
        }
        return;
    }
}

static void run_unit(struct search *search)
{
    const struct unit *unit = search->unit;
    struct reader program = unit->program;
    begin_sequence(search);
    while (program.at < program.end) {
        uint8_t opcode = take_byte(&program);
        if (opcode < unit->opcode_base) {
            run_standard(search, &program, opcode);
            continue;
        }
        uint8_t advance = (uint8_t)(opcode - unit->opcode_base);
        search->row.address += (uint64_t)(advance / unit->line_range) * unit->step;
        search->row.line += (uint32_t)(unit->line_base + advance % unit->line_range);
        emit(search);
    }
}

void pd_line_table_find(const struct pd_line_table *table, struct pd_line_place *places,
                        uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        pd_assert(i == 0 || places[i - 1].address <= places[i].address);
        places[i].is_known = false;
    }
    if (table->lines_size == 0) {
        return; /* without bytes, perhaps */
    }
    struct reader rest = {.at = table->lines, .end = table->lines + table->lines_size};
    struct unit unit = {.table = table};
    struct reader bytes;
    while (left(&rest) > 0 && take_unit(&rest, &bytes, &unit.offset_size)) {
        if (read_header(&bytes, &unit)) {
            struct search search = {.unit = &unit, .places = places, .count = count};
            run_unit(&search);
        }
    }
}
