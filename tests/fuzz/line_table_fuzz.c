/* The line table of a guest's module, under libFuzzer.
 *
 * Input      One byte: how much of the rest is .debug_line_str, in 256ths; the rest are both
 *            sections.
 * Properties Looking up ends, within the bytes (ASan); the names that it gives lie within them, and
 *            the places stay in order. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "wasm/line_table.h"

enum {
    PLACES = 8
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(const uint8_t *bytes, size_t size, const char *name, size_t name_size)
{
    const uint8_t *at = (const uint8_t *)name;
    if (name_size > 0) {
        pd_assert(at >= bytes);
        pd_assert(at < bytes + size);
        pd_assert(name_size < size - (size_t)(at - bytes));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    size_t rest = size - 1;
    size_t strings_size = rest * data[0] / 256;
    /* An allocation of its own, so that ASan sees the byte behind it. */
    uint8_t *bytes = malloc(rest);
    pd_assert(bytes != NULL);
    memcpy(bytes, data + 1, rest);
    struct pd_line_table table = {.lines = bytes + strings_size,
                                  .lines_size = rest - strings_size,
                                  .strings = bytes,
                                  .strings_size = strings_size};
    struct pd_line_place places[PLACES];
    for (uint32_t i = 0; i < PLACES; i++) {
        places[i].address = i < PLACES - 1 ? i * i * i * 7u : UINT32_MAX;
    }
    (void)pd_line_table_find(&table, places, PLACES);
    for (uint32_t i = 0; i < PLACES; i++) {
        pd_assert(i == 0 || places[i].address > places[i - 1].address);
        if (places[i].is_known) {
            check_within(bytes, rest, places[i].directory, places[i].directory_size);
            check_within(bytes, rest, places[i].file, places[i].file_size);
        }
    }
    free(bytes);
    return 0;
}
