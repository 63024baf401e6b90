#include "raft-conformance/script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "raft-conformance/text.h"

void script_begin(struct script *script, char *bytes)
{
    *script = (struct script){.at = bytes};
}

static void release(struct script *script)
{
    pd_free(script->scratch);
    pd_free(script->line);
    pd_free(script->input);
    pd_free(script->expected);
    script->scratch = script->line = script->input = script->expected = NULL;
}

void script_end(struct script *script)
{
    release(script);
}

/* The next line without its end, or NULL. */
static char *next_line(struct script *script)
{
    if (*script->at == '\0') {
        return NULL;
    }
    char *line = script->at;
    size_t size = strcspn(line, "\n");
    script->at += size + (line[size] == '\n' ? 1 : 0);
    line[size] = '\0';
    if (size > 0 && line[size - 1] == '\r') {
        line[size - 1] = '\0';
    }
    script->line_number++;
    return line;
}

static bool is_blank(const char *line)
{
    return line[strspn(line, " \t")] == '\0';
}

static bool is_separator(const char *line)
{
    return strcmp(line, "----") == 0;
}

/* Cuts the word at *at: up to `ends`, blanks around it removed. */
static char *cut(char **at, const char *ends)
{
    char *word = *at + strspn(*at, " \t");
    char *end = word + strcspn(word, ends);
    *at = *end == '\0' ? end : end + 1;
    *end = '\0';
    for (char *last = end; last > word && (last[-1] == ' ' || last[-1] == '\t'); last--) {
        last[-1] = '\0';
    }
    return word;
}

static const char *read_values(struct argument *argument, char **at)
{
    if (**at != '(') {
        argument->values[argument->value_count++] = cut(at, " \t");
        return NULL;
    }
    char *inside = *at + 1;
    char *end = strchr(inside, ')');
    if (end == NULL) {
        return "a ( without its )";
    }
    *end = '\0';
    *at = end + 1;
    while (!is_blank(inside)) {
        if (argument->value_count == VALUES_MAX) {
            return "more than 128 values";
        }
        argument->values[argument->value_count++] = cut(&inside, ",");
    }
    return NULL;
}

static const char *read_command(struct command *command, char *line)
{
    command->name = cut(&line, " \t");
    command->argument_count = 0;
    for (;;) {
        line += strspn(line, " \t");
        if (*line == '\0') {
            return NULL;
        }
        if (command->argument_count == ARGUMENTS_MAX) {
            return "more than 64 arguments";
        }
        struct argument *argument = &command->arguments[command->argument_count++];
        argument->value_count = 0;
        size_t size = strcspn(line, "= \t");
        char end = line[size];
        argument->key = line;
        line[size] = '\0';
        line += size + (end == '\0' ? 0 : 1);
        if (end == '=') {
            const char *wrong = read_values(argument, &line);
            if (wrong != NULL) {
                return wrong;
            }
        }
    }
}

/* The expected output behind the first separator. */
static const char *read_expected(struct script *script, struct text *expected)
{
    char *line = next_line(script);
    if (line == NULL || !is_separator(line)) {
        for (; line != NULL && !is_blank(line); line = next_line(script)) {
            text_add(expected, "%s\n", line);
        }
        return NULL;
    }
    bool was_separator = false;
    while ((line = next_line(script)) != NULL) {
        if (is_separator(line) && was_separator) {
            return NULL;
        }
        if (was_separator) {
            text_add(expected, "----\n");
        }
        was_separator = is_separator(line);
        if (!was_separator) {
            text_add(expected, "%s\n", line);
        }
    }
    return was_separator ? NULL : "the output begun with a double ---- does not end with one";
}

bool script_next(struct script *script, struct command *command, const char **wrong_out)
{
    release(script);
    *wrong_out = NULL;
    char *line = next_line(script);
    while (line != NULL && (is_blank(line) || line[strspn(line, " \t")] == '#')) {
        line = next_line(script);
    }
    if (line == NULL) {
        return false;
    }
    command->line_number = script->line_number;
    struct text text = {0};
    text_add(&text, "%s", line);
    while (text.size > 0 && text.bytes[text.size - 1] == '\\') {
        text.bytes[--text.size] = '\0';
        line = next_line(script);
        text_add(&text, " %s", line == NULL ? "" : line);
    }
    script->line = text.bytes;
    script->scratch = must_copy(text.bytes, text.size);
    struct text input = {0};
    for (line = next_line(script); line != NULL && !is_separator(line); line = next_line(script)) {
        text_add(&input, "%s\n", line);
    }
    text_add(&input, "%s", "");
    script->input = input.bytes;
    struct text expected = {0};
    text_add(&expected, "%s", "");
    *wrong_out = line == NULL ? "no ---- behind the command" : read_expected(script, &expected);
    script->expected = expected.bytes;
    if (*wrong_out == NULL) {
        *wrong_out = read_command(command, script->scratch);
    }
    command->line = script->line;
    command->input = script->input;
    command->expected = script->expected;
    return *wrong_out == NULL;
}

const struct argument *command_find(const struct command *command, const char *key)
{
    for (uint32_t i = 0; i < command->argument_count; i++) {
        if (strcmp(command->arguments[i].key, key) == 0) {
            return &command->arguments[i];
        }
    }
    return NULL;
}

bool read_u64(const char *text, uint64_t *value_out)
{
    if (*text < '0' || *text > '9') {
        return false;
    }
    char *end = NULL;
    errno = 0;
    *value_out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

bool read_bool(const char *text, bool *value_out)
{
    bool is_true = strcmp(text, "true") == 0 || strcmp(text, "1") == 0 || strcmp(text, "t") == 0;
    bool is_false = strcmp(text, "false") == 0 || strcmp(text, "0") == 0 || strcmp(text, "f") == 0;
    *value_out = is_true;
    return is_true || is_false;
}
