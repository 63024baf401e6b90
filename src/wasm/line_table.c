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
#define PARTS_MAX 8u   /* of an entry in a list of names; the standard knows five */
#define TEXT_MAX 4096u /* bytes of a name; a longer one is none */

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    uint32_t *steps_left; /* of the whole call, whoever reads */
    bool is_bad; /* something was wanted that is not there, or no step is left; nothing more is */
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

/* A place in the unit that is run through, whose names are read once its program has ended. */
struct found {
    struct pd_line_place *place;
    uint64_t file;
    uint64_t directory;
};

struct search {
    const struct unit *unit;
    struct pd_line_place *places;
    uint32_t count;
    uint32_t known_count;
    uint32_t steps_left;
    struct row row;    /* the machine's registers */
    struct row before; /* the last row of this sequence */
    bool has_before;
    bool is_dead;  /* of a function that the linker left out */
    uint32_t next; /* the first place that is not before this row */
    uint32_t found_count;
    struct found found[PD_LINE_PLACES_MAX];
};

/* What is wanted of a list of names. */
enum list {
    LIST_SKIPPED = 0, /* its end: these are directories, and the files come behind */
    LIST_FILES = 1,
    LIST_DIRECTORIES = 2
};

/* A name in a list. */
struct entry {
    const char *path;
    size_t path_size;
    uint64_t directory;
};

/* A part of each entry in a list of version 5. */
struct part {
    uint64_t content;
    uint64_t form;
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

/* False: there are not as many steps left, and none is from here on. */
static bool spend(struct reader *reader, uint32_t steps)
{
    bool is_enough = steps <= *reader->steps_left;
    *reader->steps_left -= is_enough ? steps : *reader->steps_left;
    return is_enough;
}

static const uint8_t *take(struct reader *reader, uint64_t size)
{
    if (size > left(reader) || !spend(reader, 1)) {
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
    const uint8_t *from = take(reader, 1);
    return from != NULL ? *from : 0;
}

/* A LEB128 number; what is above 64 bits is lost. */
static uint64_t take_leb(struct reader *reader, bool is_signed)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        const uint8_t *from = take(reader, 1);
        if (from == NULL) {
            return 0;
        }
        uint8_t byte = *from;
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

/* A text costs a step for each byte that is looked at. */
static const char *take_text(struct reader *reader, size_t *size_out)
{
    *size_out = 0;
    size_t size = left(reader) <= TEXT_MAX ? left(reader) : TEXT_MAX + 1;
    size = size <= *reader->steps_left ? size : *reader->steps_left;
    const uint8_t *end = size == 0 ? NULL : memchr(reader->at, '\0', size);
    (void)spend(reader, (uint32_t)(end == NULL ? size : (size_t)(end - reader->at) + 1));
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
    *unit_out = *table;
    unit_out->at = bytes;
    unit_out->end = bytes + (size_t)size;
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
    unit->program = *reader;
    unit->program.at += (size_t)header_size;
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

static uint64_t number_wanted(const struct found *found, enum list list)
{
    switch (list) {
    case LIST_SKIPPED:
        return NOWHERE;
    case LIST_FILES:
        return found->file;
    case LIST_DIRECTORIES:
        return found->directory;
    }
    return NOWHERE;
}

/* Is entry `number` the name of a place that was found? Costs a step for each of them. */
static bool is_wanted(const struct search *search, struct reader *names, enum list list,
                      uint64_t number)
{
    if (!spend(names, search->found_count)) {
        fail(names);
        return false;
    }
    bool wanted = false;
    for (uint32_t i = 0; i < search->found_count; i++) {
        wanted = wanted || number_wanted(&search->found[i], list) == number;
    }
    return wanted;
}

/* Entry `number` goes to all places that want it. */
static void keep(struct search *search, enum list list, uint64_t number, const struct entry *entry)
{
    for (uint32_t i = 0; i < search->found_count && entry->path_size > 0; i++) {
        struct found *found = &search->found[i];
        if (number_wanted(found, list) != number) {
            continue;
        }
        if (list == LIST_FILES) {
            found->place->file = entry->path;
            found->place->file_size = entry->path_size;
            found->directory = entry->directory;
        } else {
            found->place->directory = entry->path;
            found->place->directory_size = entry->path_size;
        }
    }
}

/* Before version 5: texts up to an empty one, counted from 1; 0 is the directory of compilation. */
static void take_former_list(struct search *search, struct reader *names, enum list list)
{
    for (uint64_t i = 1; i <= PD_LINE_FILES_MAX; i++) {
        struct entry entry = {.path = NULL};
        entry.path = take_text(names, &entry.path_size);
        if (entry.path_size == 0) {
            return;
        }
        if (list == LIST_FILES) {
            entry.directory = take_unsigned(names);
            (void)take_unsigned(names); /* when it was changed */
            (void)take_unsigned(names); /* how long it is */
        }
        if (is_wanted(search, names, list, i)) {
            keep(search, list, i, &entry);
        }
    }
    fail(names);
}

/* A text of .debug_line_str. */
static void text_at(const struct pd_line_table *table, uint64_t offset, uint32_t *steps_left,
                    struct entry *entry)
{
    if (offset < table->strings_size) {
        struct reader reader = {.at = table->strings + (size_t)offset,
                                .end = table->strings + table->strings_size,
                                .steps_left = steps_left};
        entry->path = take_text(&reader, &entry->path_size);
    }
}

/* One part of an entry of version 5. What lies elsewhere is looked at only if it is wanted. */
static void take_part(struct reader *names, const struct unit *unit, const struct part *format,
                      bool wanted, struct entry *entry)
{
    struct entry part = {.path = NULL};
    uint64_t offset = NOWHERE;
    switch (format->form) {
    case FORM_STRING:
        part.path = take_text(names, &part.path_size);
        break;
    case FORM_LINE_STRP:
        offset = take_number(names, unit->offset_size);
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
    if (format->content == CONTENT_PATH) {
        if (wanted) {
            text_at(unit->table, offset, names->steps_left, &part);
        }
        entry->path = part.path;
        entry->path_size = part.path_size;
    } else if (format->content == CONTENT_DIRECTORY_INDEX) {
        entry->directory = part.directory;
    }
}

/* Of version 5: counted, from 0. Each entry takes at least a byte for each of its parts. */
static void take_list(struct search *search, struct reader *names, enum list list)
{
    struct part parts[PARTS_MAX];
    uint8_t part_count = take_byte(names);
    if (part_count > PARTS_MAX) {
        fail(names);
        return;
    }
    for (uint8_t part = 0; part < part_count; part++) {
        parts[part].content = take_unsigned(names);
        parts[part].form = take_unsigned(names);
    }
    uint64_t count = take_unsigned(names);
    if (count > PD_LINE_FILES_MAX) {
        fail(names);
        return;
    }
    for (uint64_t i = 0; part_count > 0 && i < count && !names->is_bad; i++) {
        struct entry entry = {.path = NULL};
        bool wanted = is_wanted(search, names, list, i);
        for (uint8_t part = 0; part < part_count; part++) {
            take_part(names, search->unit, &parts[part], wanted, &entry);
        }
        if (wanted && !names->is_bad) {
            keep(search, list, i, &entry);
        }
    }
}

/* Name all places that were found in this unit, in one walk over its files and two over its
 * directories: those come first, and which are wanted is known after the files. */
static void name_places(struct search *search)
{
    if (search->found_count == 0) {
        return;
    }
    void (*take_names)(struct search *, struct reader *, enum list) =
        search->unit->version < 5 ? take_former_list : take_list;
    struct reader names = search->unit->names;
    take_names(search, &names, LIST_SKIPPED);
    take_names(search, &names, LIST_FILES);
    struct reader again = search->unit->names;
    take_names(search, &again, LIST_DIRECTORIES);
    for (uint32_t i = 0; i < search->found_count && (names.is_bad || again.is_bad); i++) {
        search->found[i].place->directory_size = 0;
        search->found[i].place->file_size = 0;
    }
    search->found_count = 0;
}

/* --- Rows ------------------------------------------------------------------------------------- */

/* The first place that is not before the address. */
static uint32_t find_next(const struct search *search, uint64_t address)
{
    uint32_t low = 0;
    uint32_t high = search->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (search->places[middle].address < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void find_place(struct search *search, struct pd_line_place *place)
{
    place->is_known = true;
    place->line = search->before.line;
    place->column = search->before.column;
    place->directory = "";
    place->directory_size = 0;
    place->file = "";
    place->file_size = 0;
    search->known_count++;
    search->found[search->found_count++] =
        (struct found){.place = place, .file = search->before.file, .directory = NOWHERE};
}

/* The row before this one holds for all addresses up to it. A place that is passed costs a step. */
static void emit(struct search *search, struct reader *program)
{
    uint64_t address = search->row.address;
    if (!search->has_before) {
        search->is_dead = address == 0; /* there is the section's count of functions, no code */
        search->next = find_next(search, address);
    }
    while (search->has_before && search->next < search->count &&
           search->places[search->next].address < address && spend(program, 1)) {
        struct pd_line_place *place = &search->places[search->next++];
        if (!search->is_dead && !place->is_known) {
            find_place(search, place);
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
    struct reader operand = {
        .at = bytes + 1, .end = bytes + (size_t)size, .steps_left = program->steps_left};
    if (bytes[0] == EXTENDED_END_SEQUENCE) {
        emit(search, program);
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
        emit(search, program);
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
        emit(search, &program);
    }
}

uint32_t pd_line_table_find(const struct pd_line_table *table, struct pd_line_place *places,
                            uint32_t count)
{
    pd_assert(count <= PD_LINE_PLACES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        pd_assert(i == 0 || places[i - 1].address <= places[i].address);
        places[i].is_known = false;
    }
    if (table->lines_size == 0) {
        return 0; /* without bytes, perhaps */
    }
    struct unit unit = {.table = table};
    struct search search = {
        .unit = &unit, .places = places, .count = count, .steps_left = PD_LINE_STEPS_MAX};
    struct reader rest = {.at = table->lines,
                          .end = table->lines + table->lines_size,
                          .steps_left = &search.steps_left};
    struct reader bytes;
    while (search.known_count < count && left(&rest) > 0 &&
           take_unit(&rest, &bytes, &unit.offset_size)) {
        if (read_header(&bytes, &unit)) {
            run_unit(&search);
            name_places(&search);
        }
    }
    return PD_LINE_STEPS_MAX - search.steps_left;
}
