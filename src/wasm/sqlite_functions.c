#include "wasm/sqlite_functions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "wasm/sqlite_engine.h"
#include "wasm/sqlite_pattern.h"
#include "wasm/sqlite_vfs.h"

struct function {
    const char *name;
    int argument_count;
    int flags;
    void (*call)(sqlite3_context *context, int count, sqlite3_value **values);
    unsigned trim_sides;
};

/* Bytes that a step of SQLite's machine is worth, where they are looked at one by one. */
#define BYTES_PER_STEP 8u
#define ARGUMENTS_MAX 100
#define JSON_SUBTYPE 'J' /* SQLite's mark of a text that is JSON already */

/* False: the call has to end, and does. */
static bool charge(sqlite3_context *context, uint64_t steps)
{
    if (pd_sqlite_charge(pd_sqlite_scope(), steps)) {
        return true;
    }
    sqlite3_result_error_code(context, SQLITE_INTERRUPT);
    return false;
}

static bool is_continuation(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* --- instr ------------------------------------------------------------------------------------ */

struct bytes {
    const unsigned char *at;
    size_t size;
};

/* The number of the character, or of the byte, at which the part begins, from 1; 0: nowhere. */
static int number_of(struct bytes whole, struct bytes part, bool is_text)
{
    const unsigned char *found = NULL;
    if (whole.at == NULL || whole.size < part.size) {
        return 0;
    }
    if (is_text && is_continuation(part.at[0])) {
        /* No character begins so, but for what is no UTF-8 at its beginning. */
        found = memcmp(whole.at, part.at, part.size) == 0 ? whole.at : NULL;
    } else {
        found = memmem(whole.at, whole.size, part.at, part.size);
    }
    if (found == NULL) {
        return 0;
    }
    int number = (int)(found - whole.at) + 1;
    for (const unsigned char *at = whole.at + 1; is_text && at <= found; at++) {
        number -= is_continuation(*at);
    }
    return number;
}

/* As text, whatever it is: a blob's bytes are taken for one. False: no memory. */
static bool read_text(sqlite3_value *value, struct bytes *bytes_out)
{
    bytes_out->at = sqlite3_value_text(value);
    bytes_out->size = (size_t)sqlite3_value_bytes(value);
    return bytes_out->at != NULL;
}

/* One a text, the other a blob: SQLite looks for text in a copy of each. */
static void instr_of_mixed(sqlite3_context *context, sqlite3_value *const *values)
{
    sqlite3_value *whole_copy = sqlite3_value_dup(values[0]);
    sqlite3_value *part_copy = sqlite3_value_dup(values[1]);
    struct bytes whole = {NULL, 0};
    struct bytes part = {NULL, 0};
    if (whole_copy == NULL || part_copy == NULL || !read_text(part_copy, &part) ||
        (!read_text(whole_copy, &whole) && whole.size > 0)) {
        sqlite3_result_error_nomem(context);
    } else {
        sqlite3_result_int(context, number_of(whole, part, true));
    }
    sqlite3_value_free(whole_copy);
    sqlite3_value_free(part_copy);
}

static void instr(sqlite3_context *context, int count, sqlite3_value **values)
{
    pd_assert(count == 2);
    int whole_type = sqlite3_value_type(values[0]);
    int part_type = sqlite3_value_type(values[1]);
    if (whole_type == SQLITE_NULL || part_type == SQLITE_NULL) {
        return;
    }
    int whole_size = sqlite3_value_bytes(values[0]);
    int part_size = sqlite3_value_bytes(values[1]);
    if (!charge(context, (uint64_t)(unsigned)whole_size / BYTES_PER_STEP)) {
        return;
    }
    if (part_size == 0) {
        sqlite3_result_int(context, 1);
        return;
    }
    bool is_text = whole_type != SQLITE_BLOB && part_type != SQLITE_BLOB;
    if (!is_text && (whole_type != SQLITE_BLOB || part_type != SQLITE_BLOB)) {
        instr_of_mixed(context, values);
        return;
    }
    struct bytes whole = {NULL, (size_t)whole_size};
    struct bytes part = {NULL, (size_t)part_size};
    whole.at = is_text ? sqlite3_value_text(values[0]) : sqlite3_value_blob(values[0]);
    part.at = is_text ? sqlite3_value_text(values[1]) : sqlite3_value_blob(values[1]);
    if (part.at == NULL || (whole.at == NULL && whole.size > 0)) {
        sqlite3_result_error_nomem(context);
        return;
    }
    sqlite3_result_int(context, number_of(whole, part, is_text));
}

/* --- replace ---------------------------------------------------------------------------------- */

static const unsigned char *find(const unsigned char *at, const unsigned char *end,
                                 struct bytes part)
{
    return at == end ? NULL : memmem(at, (size_t)(end - at), part.at, part.size);
}

static uint64_t count_of(struct bytes text, struct bytes part)
{
    const unsigned char *end = text.at + text.size;
    const unsigned char *at = text.at;
    uint64_t count = 0;
    while ((at = find(at, end, part)) != NULL) {
        at += part.size;
        count++;
    }
    return count;
}

static size_t copy(char *to, const void *from, size_t size)
{
    if (size > 0) {
        memcpy(to, from, size);
    }
    return size;
}

static void write_replaced(char *to, struct bytes text, struct bytes part, struct bytes by)
{
    const unsigned char *end = text.at + text.size;
    const unsigned char *at = text.at;
    const unsigned char *found = NULL;
    while ((found = find(at, end, part)) != NULL) {
        to += copy(to, at, (size_t)(found - at));
        to += copy(to, by.at, by.size);
        at = found + part.size;
    }
    (void)copy(to, at, (size_t)(end - at));
}

static void replace(sqlite3_context *context, int count, sqlite3_value **values)
{
    struct bytes text;
    struct bytes part;
    struct bytes by;
    pd_assert(count == 3);
    if (!read_text(values[0], &text) || !read_text(values[1], &part)) {
        return;
    }
    if (part.at[0] == '\0') {
        sqlite3_result_value(context, values[0]);
        return;
    }
    if (!read_text(values[2], &by) || !charge(context, text.size / BYTES_PER_STEP)) {
        return;
    }
    uint64_t found = count_of(text, part);
    uint64_t size = text.size - found * part.size + found * by.size;
    if (by.size > part.size && size > (uint64_t)sqlite3_limit(sqlite3_context_db_handle(context),
                                                              SQLITE_LIMIT_LENGTH, -1)) {
        sqlite3_result_error_toobig(context);
        return;
    }
    char *replaced = sqlite3_malloc64(size + 1);
    if (replaced == NULL) {
        sqlite3_result_error_nomem(context);
        return;
    }
    write_replaced(replaced, text, part, by);
    sqlite3_result_text(context, replaced, (int)size, sqlite3_free);
}

/* --- trim ------------------------------------------------------------------------------------- */

enum trim_side {
    TRIM_LEFT = 1,
    TRIM_RIGHT = 2
};

/* SQLite's notion of a character, also in what is no UTF-8. */
static size_t character_size(const unsigned char *at)
{
    size_t size = 1;
    if (*at >= 0xc0) {
        while (is_continuation(at[size])) {
            size++;
        }
    }
    return size;
}

/* The size of the first of `characters`, up to their zero byte, that the text begins with, or ends
 * with; 0: none. */
static size_t match(struct bytes text, const unsigned char *characters, enum trim_side side,
                    uint64_t *looked_at)
{
    for (const unsigned char *at = characters; *at != '\0';) {
        size_t size = character_size(at);
        *looked_at += size;
        const unsigned char *place =
            side == TRIM_LEFT || size > text.size ? text.at : text.at + text.size - size;
        if (size <= text.size && memcmp(place, at, size) == 0) {
            return size;
        }
        at += size;
    }
    return 0;
}

/* False: the call has to end. */
static bool trim_side(sqlite3_context *context, struct bytes *text, const unsigned char *characters,
                      enum trim_side side)
{
    uint64_t looked_at = 0;
    while (text->size > 0) {
        size_t size = match(*text, characters, side, &looked_at);
        if (!charge(context, looked_at / BYTES_PER_STEP)) {
            return false;
        }
        looked_at %= BYTES_PER_STEP;
        if (size == 0) {
            break;
        }
        text->at += side == TRIM_LEFT ? size : 0;
        text->size -= size;
    }
    return true;
}

static void trim(sqlite3_context *context, int count, sqlite3_value **values)
{
    const struct function *function = sqlite3_user_data(context);
    struct bytes text;
    pd_assert(count == 2);
    if (sqlite3_value_type(values[0]) == SQLITE_NULL || !read_text(values[0], &text)) {
        return;
    }
    const unsigned char *characters = sqlite3_value_text(values[1]);
    if (characters == NULL) {
        return;
    }
    if (((function->trim_sides & TRIM_LEFT) != 0 &&
         !trim_side(context, &text, characters, TRIM_LEFT)) ||
        ((function->trim_sides & TRIM_RIGHT) != 0 &&
         !trim_side(context, &text, characters, TRIM_RIGHT))) {
        return;
    }
    sqlite3_result_text(context, (const char *)text.at, (int)text.size, SQLITE_TRANSIENT);
}

/* --- like and glob ---------------------------------------------------------------------------- */

/* Whether a call says at once what it answers, and has said so. */
static bool is_answered_without_match(sqlite3_context *context, sqlite3_value **values)
{
    const struct pd_sqlite_functions *functions = sqlite3_user_data(context);
    if (functions->is_like_for_text_only && (sqlite3_value_type(values[0]) == SQLITE_BLOB ||
                                             sqlite3_value_type(values[1]) == SQLITE_BLOB)) {
        sqlite3_result_int(context, 0);
        return true;
    }
    if (sqlite3_value_bytes(values[0]) >
        sqlite3_limit(sqlite3_context_db_handle(context), SQLITE_LIMIT_LIKE_PATTERN_LENGTH, -1)) {
        sqlite3_result_error(context, "LIKE or GLOB pattern too complex", -1);
        return true;
    }
    return false;
}

/* NULL: the call is answered, with NULL for NULL. */
static const unsigned char *text_of(sqlite3_context *context, sqlite3_value *value)
{
    const unsigned char *text = sqlite3_value_text(value);
    if (text == NULL && sqlite3_value_type(value) != SQLITE_NULL) {
        sqlite3_result_error_nomem(context);
    }
    return text;
}

/* False: the call is answered. */
static bool set_escape(sqlite3_context *context, sqlite3_value *value,
                       struct pd_sqlite_pattern *pattern)
{
    const unsigned char *at = text_of(context, value);
    if (at == NULL) {
        return false;
    }
    pattern->escape = *at == '\0' ? 0 : pd_sqlite_read_character(&at);
    if (pattern->escape == 0 || *at != '\0') {
        sqlite3_result_error(context, "ESCAPE expression must be a single character", -1);
        return false;
    }
    /* It is the wildcard no more, then. */
    pattern->any = pattern->any == pattern->escape ? 0 : pattern->any;
    pattern->one = pattern->one == pattern->escape ? 0 : pattern->one;
    return true;
}

static void match_pattern(sqlite3_context *context, sqlite3_value **values,
                          struct pd_sqlite_pattern *pattern)
{
    const unsigned char *text = NULL;
    pattern->text = text_of(context, values[0]);
    if (pattern->text == NULL || (text = text_of(context, values[1])) == NULL) {
        return;
    }
    switch (pd_sqlite_pattern_match(pattern, text, pd_sqlite_scope())) {
    case PD_SQLITE_MATCHES:
        sqlite3_result_int(context, 1);
        break;
    case PD_SQLITE_DIFFERS:
        sqlite3_result_int(context, 0);
        break;
    case PD_SQLITE_MATCH_ENDED:
        sqlite3_result_error_code(context, SQLITE_INTERRUPT);
        break;
    }
}

static void like(sqlite3_context *context, int count, sqlite3_value **values)
{
    const struct pd_sqlite_functions *functions = sqlite3_user_data(context);
    struct pd_sqlite_pattern pattern = {
        .any = '%', .one = '_', .is_case_blind = !functions->is_like_case_sensitive};
    pd_assert(count == 2 || count == 3);
    if (!is_answered_without_match(context, values) &&
        (count == 2 || set_escape(context, values[2], &pattern))) {
        match_pattern(context, values, &pattern);
    }
}

static void glob(sqlite3_context *context, int count, sqlite3_value **values)
{
    struct pd_sqlite_pattern pattern = {.any = '*', .one = '?', .has_sets = true};
    pd_assert(count == 2);
    if (!is_answered_without_match(context, values)) {
        match_pattern(context, values, &pattern);
    }
}

static bool is_any_statement_running(sqlite3 *database)
{
    sqlite3_stmt *statement = NULL;
    while ((statement = sqlite3_next_stmt(database, statement)) != NULL) {
        if (sqlite3_stmt_busy(statement) != 0) {
            return true;
        }
    }
    return false;
}

void pd_sqlite_functions_set_case_sensitive_like(struct pd_sqlite_functions *functions,
                                                 sqlite3 *database, const char *argument)
{
    /* SQLite leaves it as it is then, and says nothing. */
    if (is_any_statement_running(database)) {
        return;
    }
    if (argument[0] >= '0' && argument[0] <= '9') {
        bool is_hexadecimal = argument[0] == '0' && (argument[1] == 'x' || argument[1] == 'X');
        unsigned long number = strtoul(argument, NULL, is_hexadecimal ? 16 : 10);
        functions->is_like_case_sensitive = number <= INT32_MAX && (uint8_t)number != 0;
        return;
    }
    functions->is_like_case_sensitive = sqlite3_stricmp(argument, "on") == 0 ||
                                        sqlite3_stricmp(argument, "yes") == 0 ||
                                        sqlite3_stricmp(argument, "true") == 0;
}

/* --- JSON ------------------------------------------------------------------------------------- */

/* A blob is looked at as it is: as a text, it would be one for who comes after. NULL for NULL.
 * False: no memory, and the call is answered. */
static bool read_bytes(sqlite3_context *context, sqlite3_value *value, struct bytes *bytes_out)
{
    bool is_blob = sqlite3_value_type(value) == SQLITE_BLOB;
    bytes_out->at = NULL;
    bytes_out->size = 0;
    if (sqlite3_value_type(value) == SQLITE_NULL) {
        return true;
    }
    bytes_out->at = is_blob ? sqlite3_value_blob(value) : sqlite3_value_text(value);
    bytes_out->size = (size_t)sqlite3_value_bytes(value);
    if (bytes_out->at == NULL && (bytes_out->size > 0 || !is_blob)) {
        sqlite3_result_error_nomem(context);
        return false;
    }
    return true;
}

static uint64_t count_of_either(struct bytes bytes, unsigned char first, unsigned char second)
{
    uint64_t count = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        count += bytes.at[i] == first || bytes.at[i] == second;
    }
    return count;
}

/* No fewer names than are in a value. False: the call is answered. */
static bool count_names(sqlite3_context *context, sqlite3_value *value, uint64_t *count_out)
{
    struct bytes bytes;
    if (!read_bytes(context, value, &bytes)) {
        return false;
    }
    /* A name is followed by a colon; in JSONB, of which SQLite made a blob, it takes a byte, and
     * its value another. */
    *count_out = sqlite3_value_type(value) == SQLITE_BLOB ? bytes.size / 2
                                                          : count_of_either(bytes, ':', ':');
    return true;
}

static int open_originals(struct pd_sqlite_functions *functions, sqlite3 *database)
{
    if (functions->originals != NULL) {
        return SQLITE_OK;
    }
    sqlite3 *originals = NULL;
    int code = sqlite3_open_v2(":memory:", &originals,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX,
                               PD_SQLITE_VFS);
    if (code != SQLITE_OK) {
        (void)sqlite3_close(originals);
        return code;
    }
    (void)sqlite3_limit(originals, SQLITE_LIMIT_LENGTH,
                        sqlite3_limit(database, SQLITE_LIMIT_LENGTH, -1));
    functions->originals = originals;
    return SQLITE_OK;
}

/* "SELECT name(?,json(?),...)": an argument that is JSON already loses the mark when it is bound.
 */
static void write_call(char *sql, size_t size, const char *name, int count, sqlite3_value **values)
{
    int used = snprintf(sql, size, "SELECT %s(", name);
    for (int i = 0; i < count; i++) {
        bool is_json = sqlite3_value_type(values[i]) == SQLITE_TEXT &&
                       sqlite3_value_subtype(values[i]) == JSON_SUBTYPE;
        used += snprintf(sql + used, size - (size_t)used, "%s%s", i == 0 ? "" : ",",
                         is_json ? "json(?)" : "?");
    }
    used += snprintf(sql + used, size - (size_t)used, ")");
    pd_assert((size_t)used < size);
}

static int bind_all(sqlite3_stmt *statement, int count, sqlite3_value **values)
{
    int code = SQLITE_OK;
    for (int i = 0; i < count && code == SQLITE_OK; i++) {
        code = sqlite3_bind_value(statement, i + 1, values[i]);
    }
    return code;
}

static void ask_original(sqlite3_context *context, const char *name, int count,
                         sqlite3_value **values)
{
    struct pd_sqlite_functions *functions = sqlite3_user_data(context);
    char sql[32 + ARGUMENTS_MAX * sizeof "json(?)"];
    sqlite3_stmt *statement = NULL;
    pd_assert(count <= ARGUMENTS_MAX);
    int code = open_originals(functions, sqlite3_context_db_handle(context));
    if (code != SQLITE_OK) {
        sqlite3_result_error_code(context, code);
        return;
    }
    write_call(sql, sizeof sql, name, count, values);
    code = sqlite3_prepare_v2(functions->originals, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = bind_all(statement, count, values);
    }
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    if (code == SQLITE_ROW) {
        /* With its type, and its mark: what takes the place of all of a text is given as it is. */
        sqlite3_result_value(context, sqlite3_column_value(statement, 0));
    } else {
        sqlite3_result_error(context, sqlite3_errmsg(functions->originals), -1);
        sqlite3_result_error_code(context, code);
    }
    (void)sqlite3_finalize(statement);
}

static void set_in_json(sqlite3_context *context, const char *name, int count,
                        sqlite3_value **values)
{
    for (int i = 1; i < count; i += 2) {
        struct bytes path;
        if (!read_bytes(context, values[i], &path)) {
            return;
        }
        if (count_of_either(path, '.', '[') > PD_SQLITE_PATH_STEPS_MAX) {
            sqlite3_result_error(context, "a path into JSON has too many steps", -1);
            sqlite3_result_error_code(context, SQLITE_TOOBIG);
            return;
        }
    }
    ask_original(context, name, count, values);
}

static void json_set(sqlite3_context *context, int count, sqlite3_value **values)
{
    set_in_json(context, "json_set", count, values);
}

static void json_insert(sqlite3_context *context, int count, sqlite3_value **values)
{
    set_in_json(context, "json_insert", count, values);
}

static void json_patch(sqlite3_context *context, int count, sqlite3_value **values)
{
    uint64_t name_count = 0;
    uint64_t patch_count = 0;
    if (!count_names(context, values[0], &name_count) ||
        !count_names(context, values[1], &patch_count)) {
        return;
    }
    /* SQLite compares each with each. */
    if (name_count * patch_count > PD_SQLITE_PATCH_PAIRS_MAX) {
        sqlite3_result_error(context, "json_patch of texts with too many names", -1);
        sqlite3_result_error_code(context, SQLITE_TOOBIG);
        return;
    }
    ask_original(context, "json_patch", count, values);
}

/* --- Refused ---------------------------------------------------------------------------------- */

/* Those of full-text search would use what went with its modules. Of JSON those of SQLite 3.45 and
 * newer that make what a path leads to, or compare names, as the ones above. */
static const char *const refused[] = {
    "load_extension",    "fts3_tokenizer",     "fts5", "jsonb_set", "jsonb_insert", "jsonb_patch",
    "json_array_insert", "jsonb_array_insert",
};

bool pd_sqlite_functions_refuse(const char *name)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (sqlite3_stricmp(name, refused[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void refuse(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    (void)values;
    sqlite3_result_error(context, "a function that is refused", -1);
    sqlite3_result_error_code(context, SQLITE_AUTH);
}

/* --- Life ------------------------------------------------------------------------------------- */

/* As the built-in ones: indexes and views of a file may use them. */
#define FLAGS_OF_ALL (SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS)
#if defined(SQLITE_RESULT_SUBTYPE)
#define FLAGS_OF_JSON (FLAGS_OF_ALL | SQLITE_SUBTYPE | SQLITE_RESULT_SUBTYPE)
#else
#define FLAGS_OF_JSON (FLAGS_OF_ALL | SQLITE_SUBTYPE)
#endif

static const struct function replacements[] = {
    {"instr", 2, FLAGS_OF_ALL, instr, 0},
    {"replace", 3, FLAGS_OF_ALL, replace, 0},
    {"trim", 2, FLAGS_OF_ALL, trim, TRIM_LEFT | TRIM_RIGHT},
    {"ltrim", 2, FLAGS_OF_ALL, trim, TRIM_LEFT},
    {"rtrim", 2, FLAGS_OF_ALL, trim, TRIM_RIGHT},
    {"like", 2, FLAGS_OF_ALL, like, 0},
    {"like", 3, FLAGS_OF_ALL, like, 0},
    {"glob", 2, FLAGS_OF_ALL, glob, 0},
    {"json_set", -1, FLAGS_OF_JSON, json_set, 0},
    {"json_insert", -1, FLAGS_OF_JSON, json_insert, 0},
    {"json_patch", 2, FLAGS_OF_JSON, json_patch, 0},
};

int pd_sqlite_functions_init(struct pd_sqlite_functions *functions, sqlite3 *database)
{
    int code = SQLITE_OK;
    functions->originals = NULL;
    functions->is_like_case_sensitive = sqlite3_compileoption_used("CASE_SENSITIVE_LIKE") != 0;
    functions->is_like_for_text_only = sqlite3_compileoption_used("LIKE_DOESNT_MATCH_BLOBS") != 0;
    for (size_t i = 0; i < sizeof replacements / sizeof replacements[0] && code == SQLITE_OK; i++) {
        const struct function *function = &replacements[i];
        /* SQLite hands it back as it was given, to `call`, which knows what it is. */
        const void *context = function->trim_sides != 0 ? (const void *)function : functions;
        code = sqlite3_create_function_v2(database, function->name, function->argument_count,
                                          function->flags, (void *)(uintptr_t)context,
                                          function->call, NULL, NULL, NULL);
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0] && code == SQLITE_OK; i++) {
        code = sqlite3_create_function_v2(database, refused[i], -1, FLAGS_OF_ALL, NULL, refuse,
                                          NULL, NULL, NULL);
    }
    return code;
}

void pd_sqlite_functions_deinit(struct pd_sqlite_functions *functions)
{
    int code = sqlite3_close(functions->originals);
    pd_assert(code == SQLITE_OK);
    functions->originals = NULL;
}
