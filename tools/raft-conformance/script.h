/* script - data-driven scripts: `command arguments`, optional input, `----`, expected output up to
 * a blank line.
 *
 * Format  Between the cases a line that begins with # is a comment, and one that begins with
 *         `subtest` names a group. A command line that ends with \ goes on in the next. An argument
 *         is `value`, `key=value` or `key=(value, value)`. Where the expected output has blank
 *         lines, a second `----` follows the first; two of them and a blank line end it. A carriage
 *         return before the end of a line belongs to the end. */
#ifndef PD_CONFORMANCE_SCRIPT_H
#define PD_CONFORMANCE_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#define ARGUMENTS_MAX 64
#define VALUES_MAX 128

struct argument {
    const char *key;
    const char *values[VALUES_MAX];
    uint32_t value_count;
};

struct command {
    const char *name;
    struct argument arguments[ARGUMENTS_MAX];
    uint32_t argument_count;
    const char *line; /* as written */
    const char *input;
    const char *expected;
    uint32_t line_number;
};

struct script {
    char *at; /* of the file's bytes, which are cut into pieces */
    uint32_t line_number;
    char *scratch; /* the pieces of the current command */
    char *line;
    char *input;
    char *expected;
};

/* `bytes` ends with a zero byte, and is cut up. */
void script_begin(struct script *script, char *bytes);
/* False: no more, or *wrong_out says what is wrong. What the command points to is good until the
 * next call. */
bool script_next(struct script *script, struct command *command, const char **wrong_out);
void script_end(struct script *script);

/* A key's argument, or NULL. */
const struct argument *command_find(const struct command *command, const char *key);
/* False: no number. */
bool read_u64(const char *text, uint64_t *value_out);
bool read_bool(const char *text, bool *value_out);

#endif
