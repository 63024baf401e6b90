/* Every function of pando/sqlite.h and sqlite_try.h once. Its argument says which part: "write"
 * makes people.db, "read" reads it in another process, "try" works with codes, "shut" finds no
 * directory. Exit code 0, or the line that is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pando/pando.h>

PANDO_SQLITE_ROOM(4096)

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "sqlite_sdk: line %d: %s\n", __LINE__, #condition);              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static uint64_t open_database(const char *path)
{
    uint64_t database = 0;
    char words[1025];
    if (pando_sqlite_open(path, &database) != PANDO_OK) {
        (void)pando_error_take(database, words, sizeof words);
        (void)fprintf(stderr, "sqlite_sdk: %s\n", words);
        exit(1);
    }
    return database;
}

static void write_people(void)
{
    uint64_t database = open_database("people.db");
    uint8_t room[256];
    CHECK(pando_sqlite_execute(database, "CREATE TABLE people(name TEXT UNIQUE, age INTEGER, "
                                         "height REAL, photo BLOB, note)") == PANDO_SQLITE_OK);
    uint64_t statement =
        pando_sqlite_prepare(database, "INSERT INTO people VALUES (?, ?, ?, ?, ?)");
    for (int i = 0; i < 3; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "person %d", i);
        struct pando_sqlite_list list = pando_sqlite_list(room, sizeof room);
        pando_sqlite_add_text(&list, name);
        pando_sqlite_add_int(&list, 20 + i);
        pando_sqlite_add_double(&list, 1.5);
        pando_sqlite_add_blob(&list, "\0\1\2", 3);
        pando_sqlite_add_null(&list);
        CHECK(pando_sqlite_bind(statement, &list));
        CHECK(pando_sqlite_step(statement) == PANDO_SQLITE_DONE);
        CHECK(pando_sqlite_changes(database) == 1);
        pando_sqlite_reset(statement);
    }
    pando_sqlite_finalize(statement);
    const char *words = NULL;
    uint32_t size = 0;
    CHECK(pando_sqlite_execute(database, "INSERT INTO people(name) VALUES ('person 1')") == 19);
    CHECK(pando_sqlite_last_error(database, &words, &size) == 19);
    CHECK(size > 6 && memcmp(words, "UNIQUE", 6) == 0);
    struct pando_sqlite_list small = pando_sqlite_list(room, 20);
    pando_sqlite_add_text(&small, "does not fit");
    CHECK(!pando_sqlite_bind(0, &small));
}

static void read_people(void)
{
    uint64_t database = open_database("/people.db");
    uint64_t statement =
        pando_sqlite_prepare(database, "SELECT name, age, height, photo, note FROM people "
                                       "ORDER BY name");
    uint32_t size = 0;
    CHECK(pando_sqlite_column_count(statement) == 5);
    CHECK(memcmp(pando_sqlite_column_name(statement, 1, &size), "age", 3) == 0 && size == 3);
    int64_t ages = 0;
    while (pando_sqlite_step(statement) == PANDO_SQLITE_ROW) {
        struct pando_sqlite_row row = pando_sqlite_read_row(statement);
        struct pando_sqlite_value value;
        CHECK(pando_sqlite_next(&row, &value) && value.type == PANDO_SQLITE_TEXT);
        (void)printf("%.*s\n", (int)value.size, (const char *)value.bytes);
        CHECK(pando_sqlite_next(&row, &value) && value.type == PANDO_SQLITE_INTEGER);
        ages += value.integer;
        CHECK(pando_sqlite_next(&row, &value) && value.type == PANDO_SQLITE_DOUBLE);
        CHECK(value.real > 1.4 && value.real < 1.6);
        CHECK(pando_sqlite_next(&row, &value) && value.type == PANDO_SQLITE_BLOB);
        CHECK(value.size == 3 && memcmp(value.bytes, "\0\1\2", 3) == 0);
        CHECK(pando_sqlite_next(&row, &value) && value.type == PANDO_SQLITE_NULL);
        CHECK(!pando_sqlite_next(&row, &value));
        CHECK(pando_sqlite_read_column(statement, 1).integer >= 20);
    }
    (void)printf("ages %lld\n", (long long)ages);
    const char *words = NULL;
    CHECK(pando_sqlite_last_error(database, &words, &size) == PANDO_SQLITE_OK && size == 0);
}

static void check_words(uint64_t database, const char *wanted)
{
    char words[PANDO_SQLITE_WORDS_SIZE];
    char small[4] = "old";
    uint32_t size = pando_sqlite_try_error(database, words, sizeof words);
    CHECK(size == strlen(words) && strstr(words, wanted) != NULL);
    CHECK(pando_sqlite_try_error(database, small, sizeof small) == size && small[0] == '\0');
}

static void try_statements(uint64_t database)
{
    uint64_t insert = 0;
    char words[PANDO_SQLITE_WORDS_SIZE];
    uint8_t room[64];
    CHECK(pando_sqlite_execute(database, "CREATE TABLE t(name UNIQUE)") == PANDO_SQLITE_OK);
    CHECK(pando_sqlite_try_error(database, words, sizeof words) == 0 && words[0] == '\0');
    CHECK(pando_sqlite_try_prepare(database, "SELECT nowhere", &insert) == PANDO_SQLITE_ERROR);
    check_words(database, "no such column: nowhere");
    CHECK(pando_sqlite_try_prepare(database, "INSERT INTO t VALUES (?)", &insert) == 0);
    struct pando_sqlite_list list = pando_sqlite_list(room, sizeof room);
    pando_sqlite_add_text(&list, "Ada");
    CHECK(pando_sqlite_try_bind(insert, &list) == PANDO_SQLITE_OK);
    CHECK(pando_sqlite_try_step(insert) == PANDO_SQLITE_DONE);
    CHECK(pando_sqlite_try_step(insert) == PANDO_SQLITE_CONSTRAINT);
    check_words(database, "UNIQUE");
    CHECK(pando_sqlite_try_bind(insert, &list) == PANDO_SQLITE_MISUSE);
    pando_sqlite_reset(insert);
    pando_sqlite_add_null(&list); /* the statement has one parameter */
    CHECK(pando_sqlite_try_bind(insert, &list) == PANDO_SQLITE_RANGE);
    while (!list.is_full) {
        pando_sqlite_add_int(&list, 1);
    }
    CHECK(pando_sqlite_try_bind(insert, &list) == PANDO_SQLITE_TOOBIG);
    pando_sqlite_finalize(insert);
}

static void try_rows(uint64_t database)
{
    static const char sql[] = "SELECT name, 7 AS seven FROM t";
    uint64_t select = 0;
    uint8_t room[64];
    uint32_t size = 0;
    struct pando_sqlite_row row;
    struct pando_sqlite_value value;
    CHECK(pando_sqlite_try_prepare(database, sql, &select) == PANDO_SQLITE_OK);
    CHECK(!pando_sqlite_try_names(select, room, 8, &row, &size) && size == 8 + 12 + 13);
    CHECK(pando_sqlite_try_names(select, room, sizeof room, &row, &size) && size == 33);
    CHECK(memcmp(pando_sqlite_next_name(&row, &size), "name", 4) == 0 && size == 4);
    CHECK(memcmp(pando_sqlite_next_name(&row, &size), "seven", 5) == 0 && size == 5);
    CHECK(pando_sqlite_next_name(&row, &size) == NULL);
    CHECK(pando_sqlite_try_step(select) == PANDO_SQLITE_ROW);
    CHECK(!pando_sqlite_try_row(select, room, 34, &row, &size) && size == 8 + 15 + 12);
    CHECK(pando_sqlite_try_row(select, room, size, &row, &size));
    CHECK(pando_sqlite_next(&row, &value) && value.size == 3 && memcmp(value.bytes, "Ada", 3) == 0);
    CHECK(pando_sqlite_next(&row, &value) && value.integer == 7);
    CHECK(!pando_sqlite_next(&row, &value));
    CHECK(pando_sqlite_close(database) == PANDO_SQLITE_BUSY);
    check_words(database, "it has statements");
    pando_sqlite_finalize(select);
}

static void try_all(void)
{
    for (int i = 0; i < 20; i++) { /* more than may be open at a time */
        uint64_t database = open_database(":memory:");
        try_statements(database);
        try_rows(database);
        CHECK(pando_sqlite_close(database) == PANDO_SQLITE_OK);
    }
}

static void find_no_directory(void)
{
    uint64_t database = open_database(":memory:");
    CHECK(pando_sqlite_execute(database, "ATTACH 'people.db' AS people") == 14);
    (void)open_database("people.db");
}

int main(int count, char **arguments)
{
    CHECK(count == 2);
    if (strcmp(arguments[1], "write") == 0) {
        write_people();
    } else if (strcmp(arguments[1], "read") == 0) {
        read_people();
    } else if (strcmp(arguments[1], "try") == 0) {
        try_all();
    } else {
        find_no_directory();
    }
    return 0;
}
