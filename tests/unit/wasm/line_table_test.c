/* Line tables: DWARF 4 and 5 assembled by hand, and bytes that lie. What compilers write is read in
 * engine_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/random.h"
#include "wasm/line_table.h"

enum {
    BYTES_MAX = 1024,
    LINE_BASE = 5, /* negative in the table */
    LINE_RANGE = 14,
    OPCODE_BASE = 13
};

struct table {
    uint8_t bytes[BYTES_MAX];
    size_t size;
    size_t length_at; /* of the unit that is being written */
    size_t header_at;
    bool is_64;
};

static void put(struct table *table, const void *bytes, size_t size)
{
    assert_true(size <= BYTES_MAX - table->size);
    memcpy(table->bytes + table->size, bytes, size);
    table->size += size;
}

static void put_byte(struct table *table, unsigned byte)
{
    uint8_t value = (uint8_t)byte;
    put(table, &value, 1);
}

static void put_text(struct table *table, const char *text)
{
    put(table, text, strlen(text) + 1);
}

static void put_offset(struct table *table, uint64_t value)
{
    uint8_t bytes[8];
    pd_put_u64(bytes, value);
    put(table, bytes, table->is_64 ? 8 : 4);
}

static void begin_unit(struct table *table, unsigned version, bool is_64)
{
    static const uint8_t operands[OPCODE_BASE - 1] = {0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1};
    table->is_64 = is_64;
    if (is_64) {
        put(table, "\xff\xff\xff\xff", 4);
    }
    table->length_at = table->size;
    put_offset(table, 0);
    put_byte(table, version);
    put_byte(table, 0);
    if (version == 5) {
        put_byte(table, 4);
        put_byte(table, 0);
    }
    table->header_at = table->size;
    put_offset(table, 0);
    put_byte(table, 1); /* the step of addresses */
    if (version >= 4) {
        put_byte(table, 1);
    }
    put_byte(table, 1);
    put_byte(table, 256 - LINE_BASE);
    put_byte(table, LINE_RANGE);
    put_byte(table, OPCODE_BASE);
    put(table, operands, sizeof operands);
}

static void set_offset(struct table *table, size_t at)
{
    size_t size = table->is_64 ? 8 : 4;
    uint8_t bytes[8];
    pd_put_u64(bytes, table->size - at - size);
    memcpy(table->bytes + at, bytes, size);
}

static void end_header(struct table *table)
{
    set_offset(table, table->header_at);
}

static void end_unit(struct table *table)
{
    set_offset(table, table->length_at);
}

static void set_address(struct table *table, uint32_t address)
{
    uint8_t bytes[4];
    pd_put_u32(bytes, address);
    put(table, "\x00\x05\x02", 3);
    put(table, bytes, 4);
}

static void end_sequence(struct table *table)
{
    put(table, "\x00\x01\x01", 3);
}

/* A row after `steps` bytes and `lines` lines, in one opcode. */
static void advance(struct table *table, unsigned steps, int lines)
{
    put_byte(table, OPCODE_BASE + steps * LINE_RANGE + (unsigned)(lines + LINE_BASE));
}

static void put_names_4(struct table *table)
{
    put_text(table, "/usr/include");
    put_text(table, "src");
    put_byte(table, 0);
    put_text(table, "main.c");
    put(table, "\x02\x00\x00", 3); /* src, no time, no length */
    put_text(table, "string.h");
    put(table, "\x01\x00\x00", 3);
    put_text(table, "here.c");
    put(table, "\x00\x00\x00", 3);
    put_byte(table, 0);
}

static void find(const struct table *table, struct pd_line_place *places, uint32_t count)
{
    struct pd_line_table lines = {.lines = table->bytes, .lines_size = table->size};
    (void)pd_line_table_find(&lines, places, count);
}

static void assert_place(const struct pd_line_place *place, const char *directory, const char *file,
                         uint32_t line, uint32_t column)
{
    assert_true(place->is_known);
    assert_int_equal(place->line, line);
    assert_int_equal(place->column, column);
    assert_int_equal(place->directory_size, strlen(directory));
    assert_memory_equal(place->directory, directory, place->directory_size);
    assert_int_equal(place->file_size, strlen(file));
    assert_memory_equal(place->file, file, place->file_size);
}

/* main.c 10 from 100, 12:7 from 103, string.h 12 from 103 + 17 + 200; to 340. Then here.c at
 * 400. */
static void put_program(struct table *table)
{
    set_address(table, 100);
    put(table, "\x03\x09\x01", 3);         /* advance_line 9, copy */
    put(table, "\x05\x07", 2);             /* column 7 */
    advance(table, 3, 2);                  /* 103, line 12 */
    put(table, "\x08", 1);                 /* const_add_pc: 17 */
    put(table, "\x09\xc8\x00", 3);         /* fixed_advance_pc 200 */
    put(table, "\x04\x02\x05\x00\x01", 5); /* file 2, column 0, copy */
    put(table, "\x06\x0c\x03", 3);         /* negate_stmt; set_isa 3 */
    put(table, "\x00\x02\x04\x09", 4);     /* a discriminator */
    put(table, "\x02\x14", 2);             /* advance_pc 20 */
    end_sequence(table);
    set_address(table, 0); /* of a function that the linker left out */
    put(table, "\x03\x63\x01\x02\xff\x7f", 6);
    end_sequence(table);
    set_address(table, 400);
    put(table, "\x04\x03\x03\x7f\x01", 5); /* file 3, line 0, copy */
    advance(table, 1, 5);
    end_sequence(table);
}

static void version_4(void **state)
{
    (void)state;
    for (int is_64 = 0; is_64 < 2; is_64++) {
        struct table table = {.size = 0};
        begin_unit(&table, 4, is_64 == 1);
        put_names_4(&table);
        end_header(&table);
        put_program(&table);
        end_unit(&table);
        struct pd_line_place places[] = {{.address = 99},  {.address = 100}, {.address = 102},
                                         {.address = 103}, {.address = 319}, {.address = 320},
                                         {.address = 339}, {.address = 339}, {.address = 340},
                                         {.address = 400}, {.address = 401}};
        find(&table, places, 11);
        assert_false(places[0].is_known);
        assert_place(&places[1], "src", "main.c", 10, 0);
        assert_place(&places[2], "src", "main.c", 10, 0);
        assert_place(&places[3], "src", "main.c", 12, 7);
        assert_place(&places[4], "src", "main.c", 12, 7);
        assert_place(&places[5], "/usr/include", "string.h", 12, 0);
        assert_place(&places[6], "/usr/include", "string.h", 12, 0);
        assert_place(&places[7], "/usr/include", "string.h", 12, 0);
        assert_false(places[8].is_known);
        assert_place(&places[9], "", "here.c", 0, 0);
        assert_false(places[10].is_known);
    }
}

static void put_names_5(struct table *table, size_t second_string)
{
    put(table, "\x01\x01\x1f\x02", 4); /* directories: a path in .debug_line_str; two of them */
    put_offset(table, 0);
    put_offset(table, second_string);
    put(table, "\x03\x01\x08\x02\x0b\x05\x1e\x02", 8); /* files: a path, a directory, a hash; two */
    for (int i = 0; i < 2; i++) {
        put_text(table, i == 0 ? "zero.c" : "one.c");
        put_byte(table, i == 0 ? 0 : 1);
        put(table, "0123456789abcdef", 16);
    }
}

static void version_5(void **state)
{
    (void)state;
    static const char strings[] = "/home\0lib";
    struct table table = {.size = 0};
    begin_unit(&table, 5, false);
    put_names_5(&table, 6);
    end_header(&table);
    set_address(&table, 10);
    put(&table, "\x03\x04\x01", 3);         /* file 1, line 5 */
    put(&table, "\x04\x00", 2);             /* file 0 */
    advance(&table, 2, 1);                  /* 12, line 6 */
    put(&table, "\x04\x07\x02\x02\x01", 5); /* a file that there is not, from 14 */
    put(&table, "\x02\x02", 2);
    end_sequence(&table);
    end_unit(&table);
    struct pd_line_table lines = {.lines = table.bytes,
                                  .lines_size = table.size,
                                  .strings = (const uint8_t *)strings,
                                  .strings_size = sizeof strings};
    struct pd_line_place places[] = {{.address = 10}, {.address = 13}, {.address = 14}};
    (void)pd_line_table_find(&lines, places, 3);
    assert_place(&places[0], "lib", "one.c", 5, 0);
    assert_place(&places[1], "/home", "zero.c", 6, 0);
    assert_place(&places[2], "", "", 6, 0);
    lines.strings_size = 0; /* the section is not there */
    (void)pd_line_table_find(&lines, places, 3);
    assert_place(&places[0], "", "one.c", 5, 0);
}

/* A unit of an unknown version, or with a table that makes no sense, hides none behind it. */
static void units_without_sense_are_passed_over(void **state)
{
    (void)state;
    static const unsigned versions[] = {1, 6, 4};
    struct table table = {.size = 0};
    for (int i = 0; i < 3; i++) {
        begin_unit(&table, versions[i], false);
        if (i == 2) {
            table.bytes[table.size - 14] = 0; /* its range of lines */
        }
        end_header(&table);
        set_address(&table, 100);
        put_byte(&table, 1);
        advance(&table, 5, 0);
        end_sequence(&table);
        end_unit(&table);
    }
    struct pd_line_place place = {.address = 101};
    find(&table, &place, 1);
    assert_false(place.is_known);
    begin_unit(&table, 4, false);
    put_names_4(&table);
    end_header(&table);
    put_program(&table);
    end_unit(&table);
    find(&table, &place, 1);
    assert_place(&place, "src", "main.c", 10, 0);
    const struct pd_line_table nothing = {.lines = NULL};
    (void)pd_line_table_find(&nothing, &place, 1);
    assert_false(place.is_known);
    struct table ended = {.size = 0};
    put(&ended, "\xf0\xff\xff\xff", 4); /* a reserved length */
    put(&ended, table.bytes, table.size);
    find(&ended, &place, 1);
    assert_false(place.is_known);
}

/* Lists of 2^63 entries that take no bytes, or that are not there, end at once. */
static void counts_without_end_end(void **state)
{
    (void)state;
    static const char counts[][16] = {
        "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",         /* parts: 0; entries: 2^63 */
        "\x01\x01\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f",     /* paths that are not there */
        "\x01\x02\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", /* indices that are not there */
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", /* 255 parts, a number without end */
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct table table = {.size = 0};
        begin_unit(&table, 5, false);
        put(&table, counts[i], strlen(counts[i] + 1) + 1);
        end_header(&table);
        set_address(&table, 100);
        put(&table, "\x04\xff\xff\x03\x01", 5); /* file 65535 */
        advance(&table, 5, 0);
        end_sequence(&table);
        end_unit(&table);
        struct pd_line_place place = {.address = 101};
        find(&table, &place, 1);
        assert_true(place.is_known);
        assert_int_equal(place.file_size, 0);
    }
}

/* Cut anywhere and with bytes changed at random: names lie within the table, and ASan sees the byte
 * behind it. */
static void bytes_that_lie(void **state)
{
    (void)state;
    struct table whole = {.size = 0};
    begin_unit(&whole, 4, true);
    put_names_4(&whole);
    end_header(&whole);
    put_program(&whole);
    end_unit(&whole);
    begin_unit(&whole, 5, false);
    put_names_5(&whole, 6);
    end_header(&whole);
    put_program(&whole);
    end_unit(&whole);
    struct pd_random random;
    pd_random_init(&random, 20, "line tables");
    for (uint32_t i = 0; i < 20000; i++) {
        size_t size = i < whole.size ? i : whole.size;
        uint8_t *bytes = malloc(size + (size == 0 ? 1 : 0));
        assert_non_null(bytes);
        memcpy(bytes, whole.bytes, size);
        for (uint32_t change = 0; i >= whole.size && change < 1 + i % 4; change++) {
            bytes[pd_random_below(&random, size)] = (uint8_t)pd_random_next(&random);
        }
        struct pd_line_table table = {
            .lines = bytes, .lines_size = size, .strings = bytes, .strings_size = size};
        struct pd_line_place places[] = {
            {.address = 0}, {.address = 101}, {.address = 330}, {.address = UINT32_MAX}};
        (void)pd_line_table_find(&table, places, 4);
        for (int place = 0; place < 4; place++) {
            if (places[place].is_known && places[place].file_size > 0) {
                const uint8_t *name = (const uint8_t *)places[place].file;
                assert_true(name >= bytes && name + places[place].file_size < bytes + size);
            }
        }
        free(bytes);
    }
}

/* --- Bounds ----------------------------------------------------------------------------------- */

/* A table of any size: what is in `head`, then `count` times the bytes of `item`, then `tail`. */
struct large {
    uint8_t *bytes;
    size_t size;
};

static struct large make_large(const struct table *head, const char *item, size_t item_size,
                               size_t count, const struct table *tail)
{
    struct large large = {.size = head->size + item_size * count + tail->size};
    large.bytes = malloc(large.size);
    assert_non_null(large.bytes);
    memcpy(large.bytes, head->bytes, head->size);
    for (size_t i = 0; i < count; i++) {
        memcpy(large.bytes + head->size + i * item_size, item, item_size);
    }
    memcpy(large.bytes + large.size - tail->size, tail->bytes, tail->size);
    return large;
}

/* The lengths of the first unit, of 32 bits, when its header ends at header_end. */
static void set_lengths(const struct large *large, const struct table *head, size_t header_end)
{
    pd_put_u32(large->bytes + head->length_at, (uint32_t)(large->size - head->length_at - 4));
    pd_put_u32(large->bytes + head->header_at, (uint32_t)(header_end - head->header_at - 4));
}

/* 32 places, in files 0 to 31: place i at address 100 + i. */
static void put_places(struct table *table, struct pd_line_place *places)
{
    set_address(table, 100);
    for (uint32_t i = 0; i < PD_LINE_PLACES_MAX; i++) {
        put_byte(table, 4);
        put_byte(table, i);
        put_byte(table, 1);
        put(table, "\x02\x01", 2);
        places[i] = (struct pd_line_place){.address = 100 + i};
    }
    end_sequence(table);
}

/* 3,000 directories and 32 files whose names are all the same text of 1 MiB, or of the longest
 * size. It is looked at for the 32 files and their one directory, and no further than a name may
 * go. */
static void long_names_are_looked_at_once_a_place(void **state)
{
    (void)state;
    enum {
        DIRECTORIES = 3000,
        STRINGS = 1024 * 1024
    };
    struct table head = {.size = 0};
    begin_unit(&head, 5, false);
    put(&head, "\x01\x01\x1f\xb8\x17", 5);
    struct table tail = {.size = 0};
    put(&tail, "\x01\x01\x1f\x20", 4);
    for (int i = 0; i < 32; i++) {
        put_offset(&tail, 0);
    }
    size_t names_size = tail.size;
    struct pd_line_place places[PD_LINE_PLACES_MAX];
    put_places(&tail, places);
    struct large large = make_large(&head, "\0\0\0\0", 4, DIRECTORIES, &tail);
    set_lengths(&large, &head, large.size - tail.size + names_size);
    char *strings = malloc(STRINGS);
    assert_non_null(strings);
    memset(strings, 'a', STRINGS);
    struct pd_line_table table = {.lines = large.bytes,
                                  .lines_size = large.size,
                                  .strings = (const uint8_t *)strings,
                                  .strings_size = STRINGS};
    const uint32_t entries = (2 * DIRECTORIES + 32) * (1 + PD_LINE_PLACES_MAX);
    const uint32_t texts = PD_LINE_PLACES_MAX * 4097;
    uint32_t steps = pd_line_table_find(&table, places, PD_LINE_PLACES_MAX);
    assert_in_range(steps, entries + texts, entries + texts + 1000);
    for (uint32_t i = 0; i < PD_LINE_PLACES_MAX; i++) {
        assert_true(places[i].is_known);
        assert_int_equal(places[i].file_size, 0);
    }
    strings[4096] = '\0';
    steps = pd_line_table_find(&table, places, PD_LINE_PLACES_MAX);
    assert_in_range(steps, entries + texts + 4097, entries + texts + 4097 + 1000);
    for (uint32_t i = 0; i < PD_LINE_PLACES_MAX; i++) {
        assert_int_equal(places[i].file_size, 4096);
        assert_int_equal(places[i].directory_size, 4096);
    }
    free(strings);
    free(large.bytes);
}

/* Tables of 8 MiB that cost the most, and a good unit behind each: all 32 places have one budget,
 * and what is behind it is not found. */
static void all_places_have_one_budget(void **state)
{
    (void)state;
    static const struct {
        const char *item;
        size_t size;
    } programs[] = {
        {"\x01", 1},                                                /* rows */
        {"\x02\xff\xff\xff\xff", 5},                                /* a number without end */
        {"\x00\x05\x02\x01\0\0\0\x01\x02\xff\x7f\x00\x01\x01", 14}, /* all places, each time */
        {"\x00\x01\x01", 3},                                        /* sequences of a row */
    };
    struct table tail = {.size = 0};
    begin_unit(&tail, 4, false);
    put_names_4(&tail);
    end_header(&tail);
    set_address(&tail, 100000);
    put(&tail, "\x01\x02\x01", 3);
    end_sequence(&tail);
    end_unit(&tail);
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        struct table head = {.size = 0};
        begin_unit(&head, 4, false);
        put_names_4(&head);
        end_header(&head);
        for (int is_long = 0; is_long < 2; is_long++) {
            size_t bytes = is_long == 1 ? (size_t)8 * 1024 * 1024 : 2000;
            struct large large = make_large(&head, programs[i].item, programs[i].size,
                                            bytes / programs[i].size, &tail);
            pd_put_u32(large.bytes + head.length_at,
                       (uint32_t)(large.size - tail.size - head.length_at - 4));
            struct pd_line_table table = {.lines = large.bytes, .lines_size = large.size};
            struct pd_line_place places[PD_LINE_PLACES_MAX];
            for (uint32_t at = 0; at < PD_LINE_PLACES_MAX; at++) {
                places[at] = (struct pd_line_place){.address = 100 + at};
            }
            places[PD_LINE_PLACES_MAX - 1].address = 100000;
            uint32_t steps = pd_line_table_find(&table, places, PD_LINE_PLACES_MAX);
            assert_int_equal(places[PD_LINE_PLACES_MAX - 1].is_known, is_long == 0);
            if (is_long == 1) {
                assert_int_equal(steps, PD_LINE_STEPS_MAX);
            } else {
                assert_in_range(steps, 1, 20000);
            }
            free(large.bytes);
        }
    }
}

/* As many files as there may be; with one more, or more parts, none has a name. */
static void lists_have_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        size_t list_size;
        size_t files;
        const char *name;
    } cases[] = {
        {"\x01\x01\x08\x80\x80\x04", 6, 65535, "z.c"},
        {"\x01\x01\x08\x81\x80\x04", 6, 65535, ""},
        {"\x08\x01\x08\3\x0b\3\x0b\3\x0b\3\x0b\3\x0b\3\x0b\3\x0b\x01", 18, 0, "z.c"},
        {"\x09\x01\x08\3\x0b\3\x0b\3\x0b\3\x0b\3\x0b\3\x0b\3\x0b\3\x0b\x01", 20, 0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct table head = {.size = 0};
        begin_unit(&head, 5, false);
        put(&head, "\x00\x00", 2); /* no directories */
        put(&head, cases[i].list, cases[i].list_size);
        struct table tail = {.size = 0};
        put(&tail, "z.c\0\0\0\0\0\0\0\0\0", 12); /* and the other parts, or a file more */
        size_t names_size = tail.size;
        set_address(&tail, 100);
        put(&tail, cases[i].files > 0 ? "\x04\xff\xff\x03\x01" : "\x04\x00\x05\x00\x01", 5);
        put(&tail, "\x02\x05", 2);
        end_sequence(&tail);
        struct large large = make_large(&head, "", 1, cases[i].files, &tail);
        set_lengths(&large, &head, large.size - tail.size + names_size);
        struct pd_line_table table = {.lines = large.bytes, .lines_size = large.size};
        struct pd_line_place place = {.address = 101};
        (void)pd_line_table_find(&table, &place, 1);
        assert_place(&place, "", cases[i].name, 1, 0);
        free(large.bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_4),
        cmocka_unit_test(version_5),
        cmocka_unit_test(units_without_sense_are_passed_over),
        cmocka_unit_test(counts_without_end_end),
        cmocka_unit_test(bytes_that_lie),
        cmocka_unit_test(long_names_are_looked_at_once_a_place),
        cmocka_unit_test(all_places_have_one_budget),
        cmocka_unit_test(lists_have_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
