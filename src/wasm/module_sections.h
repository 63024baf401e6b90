/* module_sections - what Pando itself reads of a valid module's bytes: whether it has a start
 * function, and its line table. Pure.
 *
 * Model      One walk over the sections (WebAssembly core 1.0, 5.5), none of which is looked into.
 * Ownership  What is found lies in the bytes. */
#ifndef PD_WASM_MODULE_SECTIONS_H
#define PD_WASM_MODULE_SECTIONS_H

#include "wasm/line_table.h"

struct pd_module_sections {
    bool has_start;
    uint32_t code_offset; /* of the code section's content: DWARF counts addresses from there */
    struct pd_line_table line_table; /* lines_size 0: none */
};

/* Bytes that are no module, which the compiler refuses, give what was found before the trouble. */
void pd_module_sections_read(struct pd_module_sections *sections, const uint8_t *bytes,
                             size_t size);

#endif
