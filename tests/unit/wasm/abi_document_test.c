/* docs/lunatic-abi.md says of every function what its signature is and which tests it has: this
 * holds it to that. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wasm/wasm_process.h"

#define DOCUMENT PD_TEST_SOURCE_DIR "/docs/lunatic-abi.md"
#define COLUMNS 6u
#define PREFIX "`lunatic::sqlite::"

enum {
    FUNCTION,
    SIGNATURE,
    STATUS,
    SUCCESS,
    ERRORS,
    HOSTILE
};

/* A row of the document; its cells are trimmed. */
struct row {
    char *cells[COLUMNS];
    int line;
};

static struct row rows[300];
static size_t row_count;
static char *text; /* of the document; cut into its cells */

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    size_t capacity = 1u << 20;
    char *bytes = malloc(capacity);
    assert_non_null(bytes);
    size_t size = fread(bytes, 1, capacity - 1, file);
    assert_true(size < capacity - 1);
    bytes[size] = '\0';
    (void)fclose(file);
    return bytes;
}

static char *trim(char *cell)
{
    while (*cell == ' ') {
        cell++;
    }
    size_t size = strlen(cell);
    while (size > 0 && cell[size - 1] == ' ') {
        cell[--size] = '\0';
    }
    return cell;
}

/* "| a | b | ... |" */
static void read_row(char *line, int number)
{
    assert_true(row_count < sizeof rows / sizeof rows[0]);
    struct row *row = &rows[row_count++];
    row->line = number;
    char *at = line + 1;
    for (size_t i = 0; i < COLUMNS; i++) {
        char *end = strchr(at, '|');
        if (end == NULL) {
            fail_msg("%s:%d: fewer than %u columns", DOCUMENT, number, COLUMNS);
            return;
        }
        *end = '\0';
        row->cells[i] = trim(at);
        at = end + 1;
    }
}

static int read_document(void **state)
{
    (void)state;
    text = read_file(DOCUMENT);
    if (text == NULL) {
        print_error("%s is missing\n", DOCUMENT);
        return -1;
    }
    int number = 1;
    char *line = text;
    while (line != NULL) {
        char *next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        if (strncmp(line, "| `lunatic::", 12) == 0) {
            read_row(line, number);
        }
        line = next;
        number++;
    }
    return 0;
}

static int forget_document(void **state)
{
    (void)state;
    free(text);
    return 0;
}

/* --- Functions -------------------------------------------------------------------------------- */

/* A function that has versions has a row for each. */
static const struct row *row_of(const struct pd_import *import)
{
    char cell[128];
    char signature[64];
    const struct row *found = NULL;
    (void)snprintf(cell, sizeof cell, "`%s::%s`", import->module, import->name);
    (void)snprintf(signature, sizeof signature, "`%s`", import->signature);
    for (size_t i = 0; i < row_count; i++) {
        if (strcmp(rows[i].cells[FUNCTION], cell) == 0 &&
            strcmp(rows[i].cells[SIGNATURE], signature) == 0) {
            if (found != NULL) {
                fail_msg("%s:%d: %s is there twice", DOCUMENT, rows[i].line, cell);
            }
            found = &rows[i];
        }
    }
    return found;
}

static void every_function_has_a_row_with_its_signature(void **state)
{
    (void)state;
    const struct pd_import_table *tables = NULL;
    size_t table_count = pd_abi_tables(&tables);
    size_t function_count = 0;
    for (size_t i = 0; i < table_count; i++) {
        for (size_t j = 0; j < tables[i].count; j++) {
            const struct pd_import *import = &tables[i].imports[j];
            if (strncmp(import->module, "lunatic::", 9) != 0) {
                continue;
            }
            if (row_of(import) == NULL) {
                fail_msg("%s lacks %s::%s as `%s`", DOCUMENT, import->module, import->name,
                         import->signature);
            }
            function_count++;
        }
    }
    assert_int_equal(row_count, function_count); /* and none that is no function */
}

/* --- Tests ------------------------------------------------------------------------------------ */

static bool is_word_at(const char *at, size_t before, size_t size)
{
    bool begins = before == 0 || !(isalnum((unsigned char)at[-1]) || at[-1] == '_');
    return begins && !(isalnum((unsigned char)at[size]) || at[size] == '_');
}

/* Defined, and named again where it is run. */
static bool has_test(const char *path, const char *name)
{
    char *source = read_file(path);
    if (source == NULL) {
        return false;
    }
    size_t count = 0;
    size_t size = strlen(name);
    for (const char *at = source; (at = strstr(at, name)) != NULL; at += size) {
        count += is_word_at(at, (size_t)(at - source), size);
    }
    free(source);
    return count >= 2;
}

/* "file:name", or "e2e/name". */
static bool exists(const char *test)
{
    char path[512];
    const char *colon = strchr(test, ':');
    if (colon == NULL) {
        (void)snprintf(path, sizeof path, "%s/tests/%s.sh", PD_TEST_SOURCE_DIR, test);
        char *source = strncmp(test, "e2e/", 4) == 0 ? read_file(path) : NULL;
        free(source);
        return source != NULL;
    }
    (void)snprintf(path, sizeof path, "%s/tests/unit/wasm/%.*s_test.c", PD_TEST_SOURCE_DIR,
                   (int)(colon - test), test);
    return has_test(path, colon + 1);
}

/* How many tests a cell names; each must exist. */
static size_t check_tests(const struct row *row, const char *cell)
{
    size_t count = 0;
    for (const char *at = cell; (at = strchr(at, '`')) != NULL;) {
        char test[256];
        const char *end = strchr(at + 1, '`');
        assert_non_null(end);
        (void)snprintf(test, sizeof test, "%.*s", (int)(end - at - 1), at + 1);
        if (!exists(test)) {
            fail_msg("%s:%d: %s: there is no test %s", DOCUMENT, row->line, row->cells[FUNCTION],
                     test);
        }
        count++;
        at = end + 1;
    }
    return count;
}

static void check_row(const struct row *row)
{
    bool takes_nothing = strncmp(row->cells[SIGNATURE], "`->", 3) == 0;
    size_t success = check_tests(row, row->cells[SUCCESS]);
    size_t errors = check_tests(row, row->cells[ERRORS]);
    size_t hostile = check_tests(row, row->cells[HOSTILE]);
    bool has_all =
        success > 0 && (errors > 0 || strcmp(row->cells[ERRORS], "none") == 0) &&
        (hostile > 0 || (takes_nothing && strcmp(row->cells[HOSTILE], "no arguments") == 0));
    if (!has_all) {
        fail_msg("%s:%d: %s lacks a test of its success, its errors or hostile arguments", DOCUMENT,
                 row->line, row->cells[FUNCTION]);
    }
}

/* SQLite's functions have a document of their own besides, which must name them. */
static void check_other_document(const struct row *row)
{
    const char *function = row->cells[FUNCTION];
    if (strncmp(function, PREFIX, strlen(PREFIX)) != 0) {
        return;
    }
    char *other = read_file(PD_TEST_SOURCE_DIR "/docs/sqlite.md");
    assert_non_null(other);
    char name[64];
    (void)snprintf(name, sizeof name, "%s", function + strlen(PREFIX));
    name[strcspn(name, "`")] = '\0';
    if (strstr(other, name) == NULL) {
        fail_msg("docs/sqlite.md does not tell of %s", name);
    }
    free(other);
}

static void every_test_that_is_named_exists(void **state)
{
    (void)state;
    for (size_t i = 0; i < row_count; i++) {
        check_row(&rows[i]);
        check_other_document(&rows[i]);
    }
}

/* The check itself: what it must not take for a test. */
static void what_is_no_test_is_none(void **state)
{
    (void)state;
    assert_true(exists("abi_document:what_is_no_test_is_none"));
    assert_true(exists("e2e/run"));
    assert_false(exists("abi_document:what_is_no_test")); /* the beginning of a name */
    assert_false(exists("abi_document:is_no_test_is_none"));
    assert_false(exists("abi_document:check"
                        "_nothing"));
    assert_false(exists("no_such_file:what_is_no_test_is_none"));
    assert_false(exists("e2e/no_such_script"));
    assert_false(exists("unit/wasm/abi_document_test"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function_has_a_row_with_its_signature),
        cmocka_unit_test(every_test_that_is_named_exists),
        cmocka_unit_test(what_is_no_test_is_none),
    };
    return cmocka_run_group_tests(tests, read_document, forget_document);
}
