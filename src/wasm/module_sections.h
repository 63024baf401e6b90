/* module_sections - what Pando itself reads of a valid module's bytes: whether it has a start
 * function, how much an instance of it takes, and its line table. Pure.
 *
 * Model      One walk over the sections (WebAssembly core 1.0, 5.5), of which tables and counts are
 *            looked at.
 * Ownership  What is found lies in the bytes. */
#ifndef PD_WASM_MODULE_SECTIONS_H
#define PD_WASM_MODULE_SECTIONS_H

#include "wasm/line_table.h"

struct pd_module_sections {
    bool has_start;
    uint32_t import_count;
    uint32_t function_count;
    uint32_t table_elements_min; /* of all its tables; UINT32_MAX: not known */
    uint32_t table_elements_max; /* as declared; UINT32_MAX: it is not said of each */
    uint32_t global_count;
    uint32_t export_count;
    uint32_t elements_size; /* bytes of the segments of elements */
    uint32_t code_offset;   /* of the code section's content: DWARF counts addresses from there */
    struct pd_line_table line_table; /* lines_size 0: none */
};

/* Bytes that are no module, which the compiler refuses, give what was found before the trouble. */
void pd_module_sections_read(struct pd_module_sections *sections, const uint8_t *bytes,
                             size_t size);

/* What an instance takes of the host's heap at most, beyond what each one takes, when its tables
 * have so many elements together. */
uint64_t pd_module_sections_instance_bytes(const struct pd_module_sections *sections,
                                           uint32_t table_elements);

#endif
