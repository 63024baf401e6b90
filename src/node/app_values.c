#include "node/app_values.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

#define WORD_SHOWN "%.64s"
#define DISTANCE_SIZE_MAX 64u
#define LIST_SIZE_MAX 512u

/* --- What a value is -------------------------------------------------------------------------- */

static const char *kind_text(const struct pd_yaml_node *node)
{
    switch (node->kind) {
    case PD_YAML_SCALAR:
        return node->text[0] == '\0' && node->is_plain ? "nothing" : "a single value";
    case PD_YAML_SEQUENCE:
        return "a list";
    case PD_YAML_MAPPING:
        return "a mapping";
    }
    return "something else";
}

/* A value that is no collection and not left out. */
static bool is_scalar(struct pd_app_notes *notes, const struct pd_yaml_node *node,
                      const char *wanted)
{
    if (node->kind == PD_YAML_SCALAR && (node->text[0] != '\0' || !node->is_plain)) {
        return true;
    }
    pd_app_note(notes, node, "here is %s: wanted is %s", kind_text(node), wanted);
    return false;
}

bool pd_app_is_mapping(struct pd_app_notes *notes, const struct pd_yaml_node *node,
                       const char *what)
{
    if (node->kind == PD_YAML_MAPPING) {
        return true;
    }
    pd_app_note(notes, node, "here is %s: wanted is a mapping (%s)", kind_text(node), what);
    return false;
}

bool pd_app_is_sequence(struct pd_app_notes *notes, const struct pd_yaml_node *node,
                        const char *what)
{
    if (node->kind == PD_YAML_SEQUENCE) {
        return true;
    }
    pd_app_note(notes, node, "here is %s: wanted is a list of %s", kind_text(node), what);
    return false;
}

/* --- Words ------------------------------------------------------------------------------------ */

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Insertions, removals and changes from one to the other (Levenshtein); case does not count. */
static uint32_t distance(const char *a, const char *b)
{
    size_t a_size = strlen(a);
    size_t b_size = strlen(b);
    if (a_size > DISTANCE_SIZE_MAX || b_size > DISTANCE_SIZE_MAX) {
        return UINT32_MAX;
    }
    uint32_t row[DISTANCE_SIZE_MAX + 1];
    for (uint32_t j = 0; j <= b_size; j++) {
        row[j] = j;
    }
    for (uint32_t i = 1; i <= a_size; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= b_size; j++) {
            char x = a[i - 1];
            char y = b[j - 1];
            x = (char)(x >= 'A' && x <= 'Z' ? x + ('a' - 'A') : x);
            uint32_t change = diagonal + (x != y && !(x == '-' && y == '_'));
            diagonal = row[j];
            row[j] = smaller(change, smaller(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_size];
}

const char *pd_app_nearest(const char *word, const char *const *words)
{
    const char *best = NULL;
    uint32_t least = UINT32_MAX;
    for (; *words != NULL; words++) {
        uint32_t far = distance(word, *words);
        if (far < least) {
            least = far;
            best = *words;
        }
    }
    size_t size = strlen(word);
    uint32_t limit = size <= 3 ? 1 : size <= 6 ? 2 : 3;
    return least <= limit ? best : NULL;
}

/* "a, b or c" */
static void list_words(const char *const *words, char *to)
{
    size_t size = 0;
    to[0] = '\0';
    for (uint32_t i = 0; words[i] != NULL; i++) {
        const char *before = i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ";
        int written = snprintf(to + size, LIST_SIZE_MAX - size, "%s%s", before, words[i]);
        size += (size_t)written;
        pd_assert(size < LIST_SIZE_MAX);
    }
}

bool pd_app_read_choice(struct pd_app_notes *notes, const struct pd_yaml_node *node,
                        const char *const *words, uint32_t *out)
{
    char list[LIST_SIZE_MAX];
    list_words(words, list);
    if (!is_scalar(notes, node, list)) {
        return false;
    }
    for (uint32_t i = 0; words[i] != NULL; i++) {
        if (strcmp(node->text, words[i]) == 0) {
            *out = i;
            return true;
        }
    }
    const char *meant = pd_app_nearest(node->text, words);
    if (meant != NULL) {
        pd_app_note(notes, node, "`" WORD_SHOWN "` is unknown, did you mean `%s`? Allowed: %s",
                    node->text, meant, list);
    } else {
        pd_app_note(notes, node, "`" WORD_SHOWN "` is unknown. Allowed: %s", node->text, list);
    }
    return false;
}

bool pd_app_read_bool(struct pd_app_notes *notes, const struct pd_yaml_node *node, bool *out)
{
    if (!is_scalar(notes, node, "true or false")) {
        return false;
    }
    bool is_true = strcmp(node->text, "true") == 0;
    if (!is_true && strcmp(node->text, "false") != 0) {
        pd_app_note(notes, node, "`" WORD_SHOWN "` is neither true nor false", node->text);
        return false;
    }
    *out = is_true;
    return true;
}

bool pd_app_read_text(struct pd_app_notes *notes, const struct pd_yaml_node *node, const char *what,
                      size_t size_max, const char **out)
{
    if (!is_scalar(notes, node, what)) {
        return false;
    }
    size_t size = strlen(node->text);
    if (size == 0 || size > size_max) {
        pd_app_note(notes, node, "%s has %zu bytes: 1 to %zu are allowed", what, size, size_max);
        return false;
    }
    *out = node->text;
    return true;
}

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

bool pd_app_read_name(struct pd_app_notes *notes, const struct pd_yaml_node *node, const char **out)
{
    const char *text = NULL;
    if (!pd_app_read_text(notes, node, "a name", 64, &text)) {
        return false;
    }
    for (const char *at = text; *at != '\0'; at++) {
        if (!is_name_character(*at)) {
            pd_app_note(notes, node,
                        "`" WORD_SHOWN "` is no name: letters, digits, `_`, `-` and `.` are "
                        "allowed",
                        text);
            return false;
        }
    }
    *out = text;
    return true;
}

/* --- Numbers ---------------------------------------------------------------------------------- */

/* Digits at the start; what follows them in *rest_out. False: none, or too many. */
static bool leading_number(const char *text, uint64_t *number_out, const char **rest_out)
{
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    *number_out = number;
    *rest_out = at;
    return at != text;
}

bool pd_app_read_number(struct pd_app_notes *notes, const struct pd_yaml_node *node, uint64_t min,
                        uint64_t max, uint64_t *out)
{
    if (!is_scalar(notes, node, "a whole number")) {
        return false;
    }
    uint64_t number = 0;
    const char *rest = NULL;
    if (!leading_number(node->text, &number, &rest) || *rest != '\0' || number < min ||
        number > max) {
        pd_app_note(notes, node,
                    "`" WORD_SHOWN "` is not allowed: wanted is a whole number from %" PRIu64
                    " to %" PRIu64,
                    node->text, min, max);
        return false;
    }
    *out = number;
    return true;
}

/* A number with one of the units. False: noted. */
struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit *unit_named(const struct unit *units, const char *name)
{
    for (; units->name != NULL; units++) {
        if (strcmp(units->name, name) == 0) {
            return units;
        }
    }
    return NULL;
}

bool pd_app_read_duration(struct pd_app_notes *notes, const struct pd_yaml_node *node,
                          uint64_t min_ms, const char *also, uint64_t *ms_out)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0}};
    if (!is_scalar(notes, node, "a time such as 500ms, 5s, 2m or 1h")) {
        return false;
    }
    uint64_t number = 0;
    const char *rest = NULL;
    if (!leading_number(node->text, &number, &rest)) {
        pd_app_note(notes, node, "`" WORD_SHOWN "` is no time: write it as 500ms, 5s, 2m or 1h%s",
                    node->text, also);
        return false;
    }
    const struct unit *unit = unit_named(units, rest);
    if (unit == NULL) {
        pd_app_note(notes, node,
                    *rest == '\0' ? "`" WORD_SHOWN "` has no unit: write it as %" PRIu64
                                    "ms, %" PRIu64 "s, %" PRIu64 "m or %" PRIu64 "h%s"
                                  : "`" WORD_SHOWN "` has an unknown unit: write it as %" PRIu64
                                    "ms, %" PRIu64 "s, %" PRIu64 "m or %" PRIu64 "h%s",
                    node->text, number, number, number, number, also);
        return false;
    }
    if (number > PD_CHILD_TIME_MS_MAX / unit->factor) {
        pd_app_note(notes, node, "`" WORD_SHOWN "` is longer than a year", node->text);
        return false;
    }
    if (number * unit->factor < min_ms) {
        pd_app_note(notes, node, "`" WORD_SHOWN "` is too short: at least %" PRIu64 "ms",
                    node->text, min_ms);
        return false;
    }
    *ms_out = number * unit->factor;
    return true;
}

bool pd_app_read_size(struct pd_app_notes *notes, const struct pd_yaml_node *node, uint64_t max,
                      uint64_t *bytes_out)
{
    static const struct unit units[] = {
        {"", 1}, {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}, {NULL, 0}};
    if (!is_scalar(notes, node, "a size such as 65536, 64KiB, 16MiB or 1GiB")) {
        return false;
    }
    uint64_t number = 0;
    const char *rest = NULL;
    bool is_number = leading_number(node->text, &number, &rest);
    const struct unit *unit = is_number ? unit_named(units, rest) : NULL;
    if (unit == NULL) {
        pd_app_note(notes, node,
                    "`" WORD_SHOWN "` is no size: write bytes, or KiB, MiB or GiB, as in 64MiB",
                    node->text);
        return false;
    }
    if (number == 0 || number > max / unit->factor) {
        pd_app_note(notes, node, "`" WORD_SHOWN "` is not allowed: from 1 byte to %" PRIu64 " MiB",
                    node->text, max >> 20);
        return false;
    }
    *bytes_out = number * unit->factor;
    return true;
}

/* --- Parameters ------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* "0x" and up to 32 hex digits, most significant first. */
static bool parse_vector(const char *text, uint8_t *bytes)
{
    size_t size = strlen(text);
    if (size < 3 || size > 34 || text[0] != '0' || text[1] != 'x') {
        return false;
    }
    memset(bytes, 0, 16);
    for (size_t i = 0; i < size - 2; i++) {
        int digit = hex_digit(text[size - 1 - i]);
        if (digit < 0) {
            return false;
        }
        bytes[i / 2] |= (uint8_t)(digit << (i % 2 == 0 ? 0 : 4));
    }
    return true;
}

static bool parse_integer(const char *text, uint8_t *bytes)
{
    bool is_negative = text[0] == '-';
    uint64_t number = 0;
    const char *rest = NULL;
    if (!leading_number(text + is_negative, &number, &rest) || *rest != '\0' ||
        (is_negative && number > UINT64_C(1) << 63)) {
        return false;
    }
    memset(bytes, is_negative && number > 0 ? 0xFF : 0, 16);
    pd_put_u64(bytes, is_negative ? 0 - number : number);
    return true;
}

bool pd_app_read_argument(struct pd_app_notes *notes, const struct pd_yaml_node *node,
                          struct pd_app_argument *out)
{
    if (node->kind == PD_YAML_MAPPING) {
        static const char *const keys[] = {"v128", NULL};
        pd_app_check_keys(notes, node, "a vector argument", keys);
        const struct pd_yaml_node *vector = pd_yaml_find(node, "v128");
        if (vector == NULL || vector->kind != PD_YAML_SCALAR ||
            !parse_vector(vector->text, out->bytes)) {
            pd_app_note(notes, vector == NULL ? node : vector,
                        "wanted is a vector as in {v128: \"0x00ff\"}, up to 32 hex digits");
            return false;
        }
        out->is_vector = true;
        return true;
    }
    if (!is_scalar(notes, node, "an integer, or {v128: \"0x...\"}")) {
        return false;
    }
    if (!parse_integer(node->text, out->bytes)) {
        pd_app_note(notes, node,
                    "`" WORD_SHOWN "` is no integer of 64 bits: the arguments of an exported "
                    "function are integers or {v128: \"0x...\"}; for words use `args`",
                    node->text);
        return false;
    }
    out->is_vector = false;
    return true;
}

/* --- Keys ------------------------------------------------------------------------------------- */

void pd_app_check_keys(struct pd_app_notes *notes, const struct pd_yaml_node *mapping,
                       const char *where, const char *const *allowed)
{
    char list[LIST_SIZE_MAX];
    list_words(allowed, list);
    for (const struct pd_yaml_node *node = mapping->first; node != NULL; node = node->next) {
        bool is_known = false;
        for (uint32_t i = 0; allowed[i] != NULL; i++) {
            is_known = is_known || strcmp(node->key, allowed[i]) == 0;
        }
        if (is_known) {
            continue;
        }
        const char *meant = pd_app_nearest(node->key, allowed);
        if (meant != NULL) {
            pd_app_note_key(notes, node, "unknown key `" WORD_SHOWN "`, did you mean `%s`?",
                            node->key, meant);
        } else {
            pd_app_note_key(notes, node, "unknown key `" WORD_SHOWN "`. %s has: %s", node->key,
                            where, list);
        }
    }
}
