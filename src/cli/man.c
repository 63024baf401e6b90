/* pando man: man pages, made of the table of commands. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "build_info.h"
#include "cli/command.h"
#include "cli/help.h"

#define PATH_MAX_BYTES 4096

struct arguments {
    const char *folder;
};

/* -- mdoc -------------------------------------------------------------------------------------- */

/* Text as roff shows it unchanged. `begins`: at the beginning of a line, where a dot would be a
 * request. `is_prose`: sentences, which roff wants on lines of their own. */
static void put_text(FILE *stream, const char *text, size_t size, bool begins, bool is_prose)
{
    for (size_t i = 0; i < size; i++) {
        char byte = text[i];
        if (is_prose && byte == ' ' && i > 0 && strchr(".?!", text[i - 1]) != NULL) {
            byte = '\n'; /* a sentence begins its own line in roff */
        }
        if (begins && (byte == '.' || byte == '\'')) {
            (void)fputs("\\&", stream);
        }
        if (byte == '\\') {
            (void)fputs("\\e", stream);
        } else if (byte == '-') {
            (void)fputs("\\-", stream);
        } else if (byte == '`') {
            (void)fputs("\\(ga", stream);
        } else if (byte == '\'') {
            (void)fputs("\\(aq", stream);
        } else if (byte == '~') {
            (void)fputs("\\(ti", stream);
        } else if (byte == '^') {
            (void)fputs("\\(ha", stream);
        } else {
            (void)fputc(byte, stream);
        }
        begins = byte == '\n';
    }
}

static void put_line(FILE *stream, const char *text)
{
    put_text(stream, text, strlen(text), true, true);
    (void)fputc('\n', stream);
}

/* Words of a macro line, each kept from being taken for a macro. */
static void put_words(FILE *stream, const char *macro, const char *words)
{
    for (const char *at = words; *at != '\0';) {
        size_t size = strcspn(at, " ");
        (void)fprintf(stream, " %s \\&", macro);
        put_text(stream, at, size, false, false);
        at += size;
        at += strspn(at, " ");
    }
}

static void put_option_head(FILE *stream, const struct pd_option *option)
{
    (void)fputs(".It", stream);
    if (option->letter != NULL) {
        (void)fprintf(stream, " Fl %s ,", option->letter + 1);
    }
    (void)fputs(" Fl ", stream);
    put_text(stream, option->name + 1, strlen(option->name + 1), false, false);
    if (option->value != NULL) {
        put_words(stream, "Ar", option->value);
    }
    (void)fputc('\n', stream);
}

static void put_options(FILE *stream, const struct pd_command *command)
{
    if (command->options == NULL) {
        return;
    }
    (void)fputs(".Bl -tag -width Ds\n", stream);
    for (const struct pd_option *option = command->options; option->name != NULL; option++) {
        if (!option->is_hidden) {
            put_option_head(stream, option);
            put_line(stream, option->text);
        }
    }
    (void)fputs(".El\n", stream);
}

/* Paragraphs of lines; those that begin with a blank keep their form. */
static void put_help(FILE *stream, const char *help)
{
    bool is_form = false;
    bool wants_break = true;
    for (const char *line = help; line != NULL && *line != '\0';) {
        size_t size = strcspn(line, "\n");
        bool is_indented = line[0] == ' ';
        if (size > 0 && is_indented != is_form) {
            (void)fputs(is_indented ? ".Bd -literal -offset indent\n" : ".Ed\n", stream);
            is_form = is_indented;
            wants_break = wants_break && !is_indented;
        }
        if (size == 0) {
            wants_break = !is_form;
            is_form ? (void)fputs("\\&\n", stream) : (void)0;
        } else {
            if (wants_break) {
                (void)fputs(".Pp\n", stream);
                wants_break = false;
            }
            size_t skipped = is_form && size >= 2 ? 2 : 0;
            put_text(stream, line + skipped, size - skipped, true, !is_form);
            (void)fputc('\n', stream);
        }
        line += size + (line[size] == '\n');
    }
    if (is_form) {
        (void)fputs(".Ed\n", stream);
    }
}

static void put_examples(FILE *stream, const char *examples)
{
    (void)fputs(".Bd -literal -offset indent\n", stream);
    put_text(stream, examples, strlen(examples), true, false);
    (void)fputs(".Ed\n", stream);
}

static void put_synopsis(FILE *stream, const struct pd_command *command)
{
    (void)fprintf(stream, ".Nm pando %s", command->name);
    if (command->options != NULL) {
        (void)fputs("\n.Op Ar OPTION ...", stream);
    }
    const char *words = command->children == NULL ? command->arguments : "COMMAND";
    if (words[0] != '\0') {
        (void)fputs("\n.Xo", stream);
        put_words(stream, "Ar", words);
        (void)fputs("\n.Xc", stream);
    }
    (void)fputc('\n', stream);
}

static void put_title(FILE *stream, const char *name, const char *summary)
{
    (void)fprintf(stream,
                  ".\\\" Made by 'pando man', of the table of its commands.\n"
                  ".Dd " PD_BUILD_DATE "\n"
                  ".Dt PANDO%s",
                  name[0] == '\0' ? "" : "-");
    for (const char *at = name; *at != '\0'; at++) {
        (void)fputc(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at, stream);
    }
    (void)fprintf(stream, " 1\n.Os\n.Sh NAME\n.Nm pando%s%s\n.Nd ", name[0] == '\0' ? "" : "-",
                  name);
    put_line(stream, summary);
}

static void put_end(FILE *stream, const char *examples, const char *also)
{
    (void)fputs(".Sh EXIT STATUS\n"
                "0 when it is done, 1 when it failed, 2 when the words were wrong.\n",
                stream);
    if (examples != NULL) {
        (void)fputs(".Sh EXAMPLES\n", stream);
        put_examples(stream, examples);
    }
    (void)fprintf(stream, ".Sh SEE ALSO\n.Xr %s 1\n", also);
}

static void put_page(FILE *stream, const struct pd_command *command)
{
    put_title(stream, command->name, command->summary);
    (void)fputs(".Sh SYNOPSIS\n", stream);
    put_synopsis(stream, command);
    for (size_t i = 0; command->children != NULL && command->children[i] != NULL; i++) {
        put_synopsis(stream, command->children[i]);
    }
    (void)fputs(".Sh DESCRIPTION\n", stream);
    put_line(stream, command->summary);
    put_help(stream, command->help);
    put_options(stream, command);
    for (size_t i = 0; command->children != NULL && command->children[i] != NULL; i++) {
        const struct pd_command *child = command->children[i];
        (void)fprintf(stream, ".Ss pando %s", child->name);
        put_words(stream, "", child->arguments);
        (void)fputc('\n', stream);
        put_line(stream, child->summary);
        put_help(stream, child->help);
        put_options(stream, child);
        if (child->examples != NULL) {
            put_examples(stream, child->examples);
        }
    }
    put_end(stream, command->examples, "pando");
}

static void put_overview(FILE *stream)
{
    put_title(stream, "", "a linearizable store, and WebAssembly actors beside it");
    (void)fputs(".Sh SYNOPSIS\n.Nm pando\n.Ar COMMAND Op Ar ARGUMENT ...\n.Sh DESCRIPTION\n"
                "Each command has a page of its own.\n"
                ".Bl -tag -width Ds\n",
                stream);
    for (size_t i = 0; pd_commands[i] != NULL; i++) {
        (void)fprintf(stream, ".It Xr pando-%s 1\n", pd_commands[i]->name);
        put_line(stream, pd_commands[i]->summary);
    }
    (void)fputs(".El\n", stream);
    put_end(stream, NULL, "pando-start");
}

void pd_man_print(FILE *out, const struct pd_command *command)
{
    if (command == NULL) {
        put_overview(out);
    } else {
        put_page(out, command);
    }
}

/* -- The command ------------------------------------------------------------------------------- */

/* `command` NULL: the overview. */
static int write_page(const char *folder, const struct pd_command *command)
{
    char path[PATH_MAX_BYTES];
    int size = snprintf(path, sizeof path, "%s/pando%s%s.1", folder, command == NULL ? "" : "-",
                        command == NULL ? "" : command->name);
    if (size < 0 || (size_t)size >= sizeof path) {
        return pd_command_failed("the path of the folder is too long");
    }
    FILE *stream = fopen(path, "we");
    if (stream == NULL) {
        return pd_command_failed("cannot write '%s': %s", path, strerror(errno));
    }
    pd_man_print(stream, command);
    bool is_bad = ferror(stream) != 0;
    return fclose(stream) == 0 && !is_bad
               ? PD_EXIT_CODE_OK
               : pd_command_failed("cannot write '%s': %s", path, strerror(errno));
}

static int write_pages(const char *folder)
{
    if (mkdir(folder, 0755) != 0 && errno != EEXIST) {
        return pd_command_failed("cannot make the folder '%s': %s", folder, strerror(errno));
    }
    int code = write_page(folder, NULL);
    for (size_t i = 0; pd_commands[i] != NULL && code == PD_EXIT_CODE_OK; i++) {
        code = write_page(folder, pd_commands[i]);
    }
    return code;
}

static int run_man(int count, char **words)
{
    struct arguments arguments = {.folder = NULL};
    int code = PD_EXIT_CODE_OK;
    if (!pd_command_parse(&pd_command_man, &count, words, &arguments, &code)) {
        return code;
    }
    if (arguments.folder != NULL) {
        return write_pages(arguments.folder);
    }
    if (count == 0) {
        put_overview(stdout);
        return PD_EXIT_CODE_OK;
    }
    for (size_t i = 0; pd_commands[i] != NULL; i++) {
        if (strcmp(pd_commands[i]->name, words[0]) == 0) {
            put_page(stdout, pd_commands[i]);
            return PD_EXIT_CODE_OK;
        }
    }
    return pd_command_usage(&pd_command_man, "there is no command '%s'; `pando --help` lists them",
                            words[0]);
}

static const struct pd_option options[] = {
    {.name = "--folder",
     .kind = PD_OPTION_FOLDER,
     .value = "DIR",
     .text = "write all pages into this folder, pando.1, pando-kv.1 and so on",
     .offset = offsetof(struct arguments, folder)},
    {.name = NULL},
};

const struct pd_command pd_command_man = {
    .name = "man",
    .arguments = "[COMMAND]",
    .summary = "print the man page of a command, or of pando itself",
    .help =
        "The page is mdoc: man, mandoc and groff show it. `make install` installs all of them.\n",
    .options = options,
    .words_max = 1,
    .examples = "pando man kv | man -l -\n"
                "pando man --folder ~/.local/share/man/man1\n",
    .run = run_man,
};
