#include "cli/options.h"

#include <stddef.h>
#include <string.h>

#define TIMEOUT_MAX_S 86400u

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

bool pd_option_node(struct pd_option_cursor *cursor, const char **folder, const char **socket,
                    const char **wrong_out)
{
    if (pd_option_value(cursor, "--data", folder)) {
        if (*folder == NULL) {
            *wrong_out = "--data takes the node's folder";
        }
        return true;
    }
    if (pd_option_value(cursor, "--socket", socket)) {
        if (*socket == NULL) {
            *wrong_out = "--socket takes a path";
        }
        return true;
    }
    return false;
}

bool pd_option_timeout(struct pd_option_cursor *cursor, uint64_t *seconds, const char **wrong_out)
{
    const char *value = NULL;
    if (!pd_option_value(cursor, "--timeout", &value)) {
        return false;
    }
    if (value == NULL || !pd_option_number(value, seconds) || *seconds == 0 ||
        *seconds > TIMEOUT_MAX_S) {
        *wrong_out = "--timeout takes seconds, 1 to 86400";
    }
    return true;
}
