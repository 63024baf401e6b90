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

static const char blanks[] = " \t\v\f\r";

static bool is_blank(const char *line)
{
    return line[strspn(line, blanks)] == '\0';
}

static bool is_separator(const char *line)
{
    return strcmp(line, "----") == 0;
}

/* Without the blanks around it; the end is written over. */
static char *trim(char *text)
{
    text += strspn(text, blanks);
    size_t size = strlen(text);
    while (size > 0 && strchr(blanks, text[size - 1]) != NULL) {
        size--;
    }
    text[size] = '\0';
    return text;
}

/* Cuts off the word that begins at *at and ends before one of `ends`; *end_out is which. */
static char *cut(char **at, const char *ends, char *end_out)
{
    char *word = *at;
    char *end = word + strcspn(word, ends);
    *end_out = *end;
    *at = *end == '\0' ? end : end + 1;
    *end = '\0';
    return word;
}

static const char *add_value(struct argument *argument, char *value)
{
    if (argument->value_count == VALUES_MAX) {
        return "more than 128 values";
    }
    argument->values[argument->value_count++] = trim(value);
    return NULL;
}

/* Behind the (: values up to its ), separated by the commas that no other ( encloses. */
static const char *read_list(struct argument *argument, char **at)
{
    char *value = *at;
    uint32_t depth = 1;
    for (char *next = value; *next != '\0'; next++) {
        depth += *next == '(' ? 1 : 0;
        depth -= *next == ')' ? 1 : 0;
        if (depth == 0 || (depth == 1 && *next == ',')) {
            *next = '\0';
            const char *wrong = add_value(argument, value);
            value = next + 1;
            if (depth == 0 || wrong != NULL) {
                *at = value;
                return wrong;
            }
        }
    }
    return "a ( without its )";
}

static const char *read_command(struct command *command, char *line)
{
    char end = '\0';
    line = trim(line);
    command->name = cut(&line, " ", &end);
    command->argument_count = 0;
    for (line = trim(line); *line != '\0'; line += strspn(line, blanks)) {
        if (command->argument_count == ARGUMENTS_MAX) {
            return "more than 64 arguments";
        }
        struct argument *argument = &command->arguments[command->argument_count++];
        argument->value_count = 0;
        argument->key = cut(&line, " =", &end);
        const char *wrong = *argument->key == '\0' ? "a = without a name before it" : NULL;
        if (end == '=' && *line == '(') {
            line++;
            wrong = wrong != NULL ? wrong : read_list(argument, &line);
        } else if (end == '=') {
            argument->values[argument->value_count++] = cut(&line, " ", &end);
        }
        if (wrong != NULL) {
            return wrong;
        }
    }
    return NULL;
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
            line = next_line(script);
            return line == NULL || *line == '\0' ? NULL : "text behind a double ---- at the end";
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

/* The next line that is neither blank nor a comment, trimmed. */
static char *next_directive(struct script *script)
{
    char *line = next_line(script);
    while (line != NULL) {
        line = trim(line);
        /* Names a group of cases, or ends one; the cases run as if it were not there. */
        bool is_group = strncmp(line, "subtest ", 8) == 0;
        if (*line != '\0' && *line != '#' && !is_group) {
            return line;
        }
        line = next_line(script);
    }
    return NULL;
}

bool script_next(struct script *script, struct command *command, const char **wrong_out)
{
    release(script);
    *wrong_out = NULL;
    char *line = next_directive(script);
    if (line == NULL) {
        return false;
    }
    command->line_number = script->line_number;
    struct text text = {0};
    text_add(&text, "%s", line);
    while (text.size > 0 && text.bytes[text.size - 1] == '\\' &&
           (line = next_line(script)) != NULL) {
        text.bytes[--text.size] = '\0';
        text_add(&text, " %s", trim(line));
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
    *value_out = 0;
    if (*text == '\0' || text[strspn(text, "0123456789")] != '\0') {
        return false;
    }
    errno = 0;
    *value_out = strtoull(text, NULL, 10);
    return errno == 0;
}

bool read_bool(const char *text, bool *value_out)
{
    static const char *const words[] = {"0",     "1",    "f",     "t",    "F",     "T",
                                        "false", "true", "False", "True", "FALSE", "TRUE"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i], text) == 0) {
            *value_out = i % 2 == 1;
            return true;
        }
    }
    return false;
}
