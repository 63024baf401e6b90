#include "cli/help.h"

#include <string.h>

#define COLUMNS 100
#define NAME_COLUMNS 24

void pd_help_wrap(FILE *stream, const char *text, int at, int indent, int columns)
{
    const char *word = text;
    bool is_first = true;
    if (at < indent) {
        (void)fprintf(stream, "%*s", indent - at, "");
        at = indent;
    }
    while (*word != '\0') {
        size_t size = strcspn(word, " ");
        if (!is_first && at + 1 + (int)size > columns) {
            (void)fprintf(stream, "\n%*s", indent, "");
            at = indent;
        } else if (!is_first) {
            (void)fputc(' ', stream);
            at++;
        }
        (void)fwrite(word, 1, size, stream);
        at += (int)size;
        word += size;
        word += strspn(word, " ");
        is_first = false;
    }
    (void)fputc('\n', stream);
}

static bool has_options(const struct pd_command *command)
{
    const struct pd_option *option = command->options;
    for (; option != NULL && option->name != NULL; option++) {
        if (!option->is_hidden) {
            return true;
        }
    }
    return false;
}

void pd_help_usage(FILE *stream, const struct pd_command *command)
{
    if (command->children != NULL) {
        (void)fprintf(stream, "usage: pando %s COMMAND [ARGUMENT...]\n", command->name);
        return;
    }
    (void)fprintf(stream, "usage: pando %s%s%s%s\n", command->name,
                  has_options(command) ? " [OPTION...]" : "",
                  command->arguments[0] == '\0' ? "" : " ", command->arguments);
}

static void print_option(FILE *stream, const struct pd_option *option)
{
    int at = fprintf(stream, "  %s%s%s%s%s", option->letter == NULL ? "" : option->letter,
                     option->letter == NULL ? "" : ", ", option->name,
                     option->value == NULL ? "" : " ", option->value == NULL ? "" : option->value);
    if (at > NAME_COLUMNS - 2) {
        (void)fputc('\n', stream);
        at = 0;
    }
    pd_help_wrap(stream, option->text, at, NAME_COLUMNS, COLUMNS);
}

static void print_children(FILE *stream, const struct pd_command *command)
{
    (void)fputs("\nCommands:\n", stream);
    for (size_t i = 0; command->children[i] != NULL; i++) {
        const struct pd_command *child = command->children[i];
        int at = fprintf(stream, "  %s%s%s", pd_command_word(child),
                         child->arguments[0] == '\0' ? "" : " ", child->arguments);
        if (at > NAME_COLUMNS - 2) {
            (void)fputc('\n', stream);
            at = 0;
        }
        pd_help_wrap(stream, child->summary, at, NAME_COLUMNS, COLUMNS);
    }
    (void)fprintf(stream, "\npando %s COMMAND --help tells more.\n", command->name);
}

static void print_examples(FILE *stream, const char *examples)
{
    (void)fputs("\nExamples:\n", stream);
    for (const char *line = examples; *line != '\0';) {
        size_t size = strcspn(line, "\n");
        (void)fprintf(stream, "  %.*s\n", (int)size, line);
        line += size + (line[size] == '\n');
    }
}

void pd_help_command(FILE *stream, const struct pd_command *command)
{
    pd_help_usage(stream, command);
    (void)fprintf(stream, "\n%s\n", command->summary);
    if (command->help != NULL) {
        (void)fprintf(stream, "\n%s", command->help);
    }
    if (command->children != NULL) {
        print_children(stream, command);
    }
    if (has_options(command)) {
        (void)fputs("\nOptions:\n", stream);
        for (const struct pd_option *option = command->options; option->name != NULL; option++) {
            if (!option->is_hidden) {
                print_option(stream, option);
            }
        }
    }
    if (command->examples != NULL) {
        print_examples(stream, command->examples);
    }
}

void pd_help_overview(FILE *stream)
{
    (void)fputs("usage: pando COMMAND [ARGUMENT...]\n\n", stream);
    for (size_t i = 0; pd_commands[i] != NULL; i++) {
        (void)fprintf(stream, "  %-11s %s\n", pd_commands[i]->name, pd_commands[i]->summary);
    }
    (void)fputs("\npando COMMAND --help tells more, and pando man COMMAND everything.\n"
                "pando FILE.wasm is short for pando run FILE.wasm.\n"
                "Exit codes: 0 done, 1 failed, 2 the words of the command were wrong.\n",
                stream);
}
