#include "cli/options.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

#define WORD_MAX 63u
#define TIME_MAX 24u

bool pd_option_flag(struct pd_option_cursor *cursor, const char *name)
{
    if (strcmp(cursor->arguments[cursor->at], name) != 0) {
        return false;
    }
    cursor->at++;
    return true;
}

bool pd_option_value(struct pd_option_cursor *cursor, const char *name, const char **value_out)
{
    const char *word = cursor->arguments[cursor->at];
    size_t size = strlen(name);
    if (strncmp(word, name, size) != 0) {
        return false;
    }
    if (word[size] == '=') {
        *value_out = word + size + 1;
        cursor->at++;
        return true;
    }
    if (word[size] != '\0') {
        return false;
    }
    *value_out = cursor->at + 1 < cursor->count ? cursor->arguments[cursor->at + 1] : NULL;
    cursor->at += *value_out == NULL ? 1 : 2;
    return true;
}

/* Digits at the start; what follows them in *rest_out. */
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

bool pd_option_number(const char *text, uint64_t *number_out)
{
    const char *rest = NULL;
    return leading_number(text, number_out, &rest) && *rest == '\0';
}

bool pd_option_size(const char *text, uint64_t *bytes_out)
{
    static const struct {
        const char *unit;
        unsigned shift;
    } units[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
    const char *rest = NULL;
    uint64_t number = 0;
    if (!leading_number(text, &number, &rest)) {
        return false;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(rest, units[i].unit) == 0 && number <= UINT64_MAX >> units[i].shift) {
            *bytes_out = number << units[i].shift;
            return true;
        }
    }
    return false;
}

/* -- By a table -------------------------------------------------------------------------------- */

bool pd_option_seconds(const char *text, uint64_t *seconds_out)
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    const char *rest = NULL;
    uint64_t number = 0;
    if (!leading_number(text, &number, &rest)) {
        return false;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(rest, units[i].unit) == 0 && number <= UINT64_MAX / units[i].seconds) {
            *seconds_out = number * units[i].seconds;
            return true;
        }
    }
    return false;
}

/* Which of "a|b|c" it is. */
static bool find_choice(const char *choices, const char *value, uint32_t *which_out)
{
    size_t size = strlen(value);
    uint32_t which = 0;
    for (const char *at = choices; at != NULL; which++) {
        const char *end = strchr(at, '|');
        size_t length = end == NULL ? strlen(at) : (size_t)(end - at);
        if (length == size && memcmp(at, value, size) == 0) {
            *which_out = which;
            return true;
        }
        at = end == NULL ? NULL : end + 1;
    }
    return false;
}

static bool is_within(const struct pd_option *option, uint64_t number)
{
    return number >= option->least && (option->most == 0 || number <= option->most);
}

/* "--profile takes dense or guarded". */
static void say_choices(const struct pd_option *option, char wrong[PD_OPTION_WRONG_MAX])
{
    int used = snprintf(wrong, PD_OPTION_WRONG_MAX, "%s takes ", option->name);
    for (const char *at = option->value; *at != '\0' && used + 5 < (int)PD_OPTION_WRONG_MAX; at++) {
        bool is_last = *at == '|' && strchr(at + 1, '|') == NULL;
        const char *text = is_last ? " or " : ", ";
        used += *at == '|' ? snprintf(wrong + used, PD_OPTION_WRONG_MAX - (size_t)used, "%s", text)
                           : snprintf(wrong + used, PD_OPTION_WRONG_MAX - (size_t)used, "%c", *at);
    }
}

/* "90s", "24h": as one would write it. */
static void put_seconds(uint64_t seconds, char room[TIME_MAX])
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } units[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}};
    size_t i = 0;
    while (seconds % units[i].seconds != 0) {
        i++;
    }
    (void)snprintf(room, TIME_MAX, "%" PRIu64 "%s", seconds / units[i].seconds, units[i].unit);
}

/* "takes a time such as 90s, 30m, 24h, 7d: 1s to 1d". */
static void say_time(const struct pd_option *option, char wrong[PD_OPTION_WRONG_MAX])
{
    char least[TIME_MAX];
    char most[TIME_MAX];
    put_seconds(option->least, least);
    put_seconds(option->most, most);
    if (option->least == 0) {
        (void)snprintf(least, sizeof least, "0");
    }
    (void)snprintf(wrong, PD_OPTION_WRONG_MAX, "%s takes a time such as 90s, 30m, 24h, 7d: %s%s%s",
                   option->name, least, option->most == 0 ? " or more" : " to ",
                   option->most == 0 ? "" : most);
}

static void say_what_it_takes(const struct pd_option *option, char wrong[PD_OPTION_WRONG_MAX])
{
    static const char *const kinds[] = {
        [PD_OPTION_FLAG] = "stands alone",
        [PD_OPTION_TEXT] = "takes a text that is not empty", /* others take any */
        [PD_OPTION_FILE] = "takes a path",
        [PD_OPTION_FOLDER] = "takes a folder",
        [PD_OPTION_NUMBER] = "takes a number",
        [PD_OPTION_SIZE] = "takes a size such as 64MiB",
        [PD_OPTION_SECONDS] = "",
        [PD_OPTION_CHOICE] = "",
        [PD_OPTION_TAKE] = "",
    };
    if (option->kind == PD_OPTION_NUMBER && option->most != 0 && option->most < INT64_MAX) {
        (void)snprintf(wrong, PD_OPTION_WRONG_MAX, "%s takes %" PRIu64 " to %" PRIu64, option->name,
                       option->least, option->most);
        return;
    }
    if (option->kind == PD_OPTION_SECONDS) {
        say_time(option, wrong);
        return;
    }
    if (option->kind == PD_OPTION_CHOICE) {
        say_choices(option, wrong);
        return;
    }
    if (option->kind == PD_OPTION_TAKE) {
        (void)snprintf(wrong, PD_OPTION_WRONG_MAX, "%s takes %s", option->name, option->value);
        return;
    }
    (void)snprintf(wrong, PD_OPTION_WRONG_MAX, "%s %s%s", option->name, kinds[option->kind],
                   option->kind == PD_OPTION_NUMBER && option->least != 0 ? " above 0" : "");
}

static bool take_text(const struct pd_option *option, void *place, const char *value)
{
    bool may_be_empty = option->kind == PD_OPTION_TEXT && option->least == 0;
    if (value[0] == '\0' && !may_be_empty) {
        return false;
    }
    memcpy(place, &value, sizeof value);
    return true;
}

static bool take_number(const struct pd_option *option, void *place, const char *value)
{
    uint64_t number = 0;
    bool is_good = option->kind == PD_OPTION_NUMBER ? pd_option_number(value, &number)
                   : option->kind == PD_OPTION_SIZE ? pd_option_size(value, &number)
                                                    : pd_option_seconds(value, &number);
    if (!is_good || !is_within(option, number)) {
        return false;
    }
    memcpy(place, &number, sizeof number);
    return true;
}

static bool take_choice(const struct pd_option *option, void *place, const char *value)
{
    uint32_t which = 0;
    bool is_output = option->letter != NULL && strcmp(option->letter, "-o") == 0;
    if (!find_choice(option->value, value, &which) && !(is_output && strcmp(value, "text") == 0)) {
        return false;
    }
    memcpy(place, &which, sizeof which);
    return true;
}

bool pd_option_take(const struct pd_option *option, void *values, const char *value,
                    char wrong[PD_OPTION_WRONG_MAX])
{
    void *place = (char *)values + option->offset;
    bool is_good = false;
    pd_assert(option->kind != PD_OPTION_FLAG);
    say_what_it_takes(option, wrong);
    if (value == NULL) {
        return false;
    }
    switch (option->kind) {
    case PD_OPTION_TEXT:
    case PD_OPTION_FILE:
    case PD_OPTION_FOLDER:
        is_good = take_text(option, place, value);
        break;
    case PD_OPTION_NUMBER:
    case PD_OPTION_SIZE:
    case PD_OPTION_SECONDS:
        is_good = take_number(option, place, value);
        break;
    case PD_OPTION_CHOICE:
        is_good = take_choice(option, place, value);
        break;
    case PD_OPTION_TAKE: {
        const char *text = option->take(values, value);
        is_good = text == NULL;
        if (!is_good) {
            (void)snprintf(wrong, PD_OPTION_WRONG_MAX, "%s %s", option->name, text);
        }
        break;
    }
    case PD_OPTION_FLAG:
        break;
    }
    return is_good;
}

/* -- Words that nobody knows ------------------------------------------------------------------- */

static unsigned least_of(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;
    return least < c ? least : c;
}

unsigned pd_word_distance(const char *left, const char *right)
{
    unsigned rows[3][WORD_MAX + 1];
    size_t left_size = strlen(left);
    size_t right_size = strlen(right);
    if (left_size > WORD_MAX || right_size > WORD_MAX) {
        return UINT32_MAX;
    }
    for (size_t j = 0; j <= right_size; j++) {
        rows[0][j] = (unsigned)j;
    }
    for (size_t i = 1; i <= left_size; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i - 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= right_size; j++) {
            unsigned cost = left[i - 1] == right[j - 1] ? 0 : 1;
            row[j] = least_of(above[j] + 1, row[j - 1] + 1, above[j - 1] + cost);
            if (i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1]) {
                unsigned swapped = rows[(i - 2) % 3][j - 2] + 1;
                row[j] = row[j] < swapped ? row[j] : swapped;
            }
        }
    }
    return rows[left_size % 3][right_size];
}

void pd_nearest_offer(struct pd_nearest *nearest, const char *word)
{
    size_t size = strlen(nearest->wanted);
    unsigned distance = pd_word_distance(nearest->wanted, word);
    /* The beginning of a word means it. */
    if (size >= 3 && strncmp(word, nearest->wanted, size) == 0) {
        distance = 1;
    }
    /* Half of its letters are another word. */
    unsigned bound = size < 5 ? 1 : size < 8 ? 2 : 3;
    if (distance <= bound && (nearest->word == NULL || distance < nearest->distance)) {
        nearest->word = word;
        nearest->distance = distance;
    }
}
