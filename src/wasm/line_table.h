/* line_table - from an address in a module's code to a file and a line: .debug_line, DWARF 2 to 5.
 * Pure.
 *
 * Model      The table is a list of units. Each has names of files and a program, whose rows
 *            (address, file, line, column) rise within sequences. It is run through when somebody
 *            asks, once for all places; nothing is kept.
 * Bounds     Time is linear in the table, which the caller bounds; no memory but the caller's.
 * Trust      The bytes are a guest's. Reading stays within them whatever they say; a unit that
 *            makes no sense is passed over, and a length that makes none ends the table. */
#ifndef PD_WASM_LINE_TABLE_H
#define PD_WASM_LINE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PD_LINE_FILES_MAX 65536u /* of a unit; the rest have no name here */

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

/* Look up all places, which are sorted by address. */
void pd_line_table_find(const struct pd_line_table *table, struct pd_line_place *places,
                        uint32_t count);

#endif
