/* line_table - from an address in a module's code to a file and a line: .debug_line, DWARF 2 to 5.
 * Pure.
 *
 * Model      The table is a list of units. Each has names of files and a program, whose rows
 *            (address, file, line, column) rise within sequences. It is run through when somebody
 *            asks, once for all places, up to where the last of them is known; nothing is kept.
 * Bounds     One call takes at most PD_LINE_STEPS_MAX steps, whatever the bytes say and however
 *            many places are asked for: a step is a byte of a number or of a name, an operand, or
 *            a place that is compared, about ten nanoseconds each. What was not found by then stays
 *            unknown, or without a name. A name has at most 4,096 bytes, an entry in a list of
 *            names at most 8 parts. No memory but the caller's.
 * Trust      The bytes are a guest's. Reading stays within them whatever they say; a unit that
 *            makes no sense is passed over, and a length that makes none ends the table. */
#ifndef PD_WASM_LINE_TABLE_H
#define PD_WASM_LINE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PD_LINE_STEPS_MAX (4u * 1024u * 1024u)
#define PD_LINE_PLACES_MAX 32u
#define PD_LINE_FILES_MAX 65536u /* files or directories of a unit; with more, none has a name */

struct pd_line_table {
    const uint8_t *lines; /* .debug_line */
    size_t lines_size;
    const uint8_t *strings; /* .debug_line_str, which DWARF 5 may point to */
    size_t strings_size;
};

struct pd_line_place {
    uint32_t address; /* asked for: counted from the first byte of the code section's content */
    bool is_known;    /* the rest is of use */
    uint32_t line;    /* 0: code of no line */
    uint32_t column;  /* 0: of the whole line */
    /* As the compiler wrote them, of any bytes but 0, not terminated; the directory may be empty.
     * They lie in the table. */
    const char *directory;
    size_t directory_size;
    const char *file;
    size_t file_size;
};

/* Look up all places, at most PD_LINE_PLACES_MAX, which are sorted by address. Returns how many
 * steps it took, for tests. */
uint32_t pd_line_table_find(const struct pd_line_table *table, struct pd_line_place *places,
                            uint32_t count);

#endif
