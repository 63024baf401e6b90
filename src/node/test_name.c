#include "node/test_name.h"

#include <string.h>

#define PREFIX "#lunatic_test_"
#define IGNORE "#ignore_"
#define PANIC "#panic_"

static bool take_prefix(const char **at, size_t *size, const char *prefix)
{
    size_t prefix_size = strlen(prefix);
    if (*size < prefix_size || memcmp(*at, prefix, prefix_size) != 0) {
        return false;
    }
    *at += prefix_size;
    *size -= prefix_size;
    return true;
}

bool pd_test_name_parse(const char *name, size_t size, struct pd_test_name *name_out)
{
    *name_out = (struct pd_test_name){0};
    if (!take_prefix(&name, &size, PREFIX)) {
        return false;
    }
    name_out->is_ignored = take_prefix(&name, &size, IGNORE);
    if (take_prefix(&name, &size, PANIC)) {
        size_t end = 0;
        while (end < size && (name[end] != '#' || (end > 0 && name[end - 1] == '\\'))) {
            end++;
        }
        if (end == size) {
            return false; /* the text has no end, so there is no path */
        }
        name_out->panic = name;
        name_out->panic_size = end;
        name += end + 1;
        size -= end + 1;
    }
    name_out->path = name;
    name_out->path_size = size;
    return true;
}

size_t pd_test_name_expected(const struct pd_test_name *name, char *text)
{
    size_t size = 0;
    for (size_t i = 0; i < name->panic_size; i++) {
        bool is_escape =
            name->panic[i] == '\\' && i + 1 < name->panic_size && name->panic[i + 1] == '#';
        if (!is_escape) {
            text[size++] = name->panic[i];
        }
    }
    return size;
}

static const char *find(const char *bytes, size_t size, const char *text, size_t text_size)
{
    for (size_t at = 0; at + text_size <= size; at++) {
        if (memcmp(bytes + at, text, text_size) == 0) {
            return bytes + at;
        }
    }
    return NULL;
}

bool pd_test_contains(const char *bytes, size_t size, const char *text, size_t text_size)
{
    return find(bytes, size, text, text_size) != NULL;
}

static bool matches(const struct pd_test_name *name, const char *text, bool is_exact)
{
    size_t size = strlen(text);
    if (is_exact) {
        return size == name->path_size && memcmp(name->path, text, size) == 0;
    }
    return pd_test_contains(name->path, name->path_size, text, size);
}

bool pd_test_choice_wants(const struct pd_test_choice *choice, const struct pd_test_name *name)
{
    if (choice->only_ignored && !name->is_ignored) {
        return false;
    }
    for (size_t i = 0; i < choice->skip_count; i++) {
        if (matches(name, choice->skips[i], choice->is_exact)) {
            return false;
        }
    }
    bool is_wanted = choice->filter_count == 0;
    for (size_t i = 0; i < choice->filter_count && !is_wanted; i++) {
        is_wanted = matches(name, choice->filters[i], choice->is_exact);
    }
    return is_wanted;
}

/* The last of the text within the bytes; NULL: it is not there. */
static const char *find_last(const char *bytes, size_t size, const char *text, size_t text_size)
{
    for (size_t left = size; left >= text_size; left--) {
        const char *at = bytes + left - text_size;
        if (memcmp(at, text, text_size) == 0) {
            return at;
        }
    }
    return NULL;
}

const char *pd_test_panic_words(const char *output, size_t size, size_t *size_out)
{
    static const char mark[] = "panicked at ";
    static const char after_old[] = "', ";
    static const char after_new[] = "\nnote: run with ";
    const char *words = find(output, size, mark, sizeof mark - 1);
    if (words == NULL) {
        return NULL;
    }
    const char *end = output + size;
    words += sizeof mark - 1;
    const char *last = NULL;
    if (words < end && *words == '\'') {
        words++;
        last = find_last(words, (size_t)(end - words), after_old, sizeof after_old - 1);
    } else {
        const char *line = memchr(words, '\n', (size_t)(end - words));
        words = line == NULL ? words : line + 1;
        last = find(words, (size_t)(end - words), after_new, sizeof after_new - 1);
    }
    *size_out = (size_t)((last == NULL ? end : last) - words);
    return words;
}
