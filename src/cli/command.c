#include "cli/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cli/help.h"

/* The table in the order in which people meet it. */
const struct pd_command *const pd_commands[] = {
    &pd_command_run,        &pd_command_test,  &pd_command_check,   &pd_command_new,
    &pd_command_ps,         &pd_command_info,  &pd_command_kill,    &pd_command_trace,
    &pd_command_dev,        &pd_command_start, &pd_command_join,    &pd_command_cluster,
    &pd_command_kv,         &pd_command_lease, &pd_command_watch,   &pd_command_txn,
    &pd_command_status,     &pd_command_top,   &pd_command_wal,     &pd_command_sim,
    &pd_command_completion, &pd_command_man,   &pd_command_version, NULL,
};

const char *pd_command_word(const struct pd_command *command)
{
    const char *blank = strrchr(command->name, ' ');
    return blank == NULL ? command->name : blank + 1;
}

const struct pd_command *pd_command_at(unsigned at)
{
    for (size_t i = 0; pd_commands[i] != NULL; i++) {
        const struct pd_command *command = pd_commands[i];
        if (at == 0) {
            return command;
        }
        at--;
        for (size_t j = 0; command->children != NULL && command->children[j] != NULL; j++) {
            if (at == 0) {
                return command->children[j];
            }
            at--;
        }
    }
    return NULL;
}

/* -- Words for people -------------------------------------------------------------------------- */

static void print_message(const char *format, va_list arguments) PD_PRINTF(1, 0);

static void print_message(const char *format, va_list arguments)
{
    (void)fputs("pando: ", stderr);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
}

int pd_command_usage(const struct pd_command *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message(format, arguments);
    va_end(arguments);
    pd_help_usage(stderr, command);
    (void)fprintf(stderr, "Try: pando %s --help\n", command->name);
    return PD_EXIT_CODE_USAGE;
}

int pd_command_failed(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message(format, arguments);
    va_end(arguments);
    return PD_EXIT_CODE_FAILED;
}

/* -- Reading words ----------------------------------------------------------------------------- */

/* Whether `word` is the option, and where its value begins in it; *value_out NULL: in the next. */
static bool is_option(const struct pd_option *option, const char *word, const char **value_out)
{
    size_t size = strlen(option->name);
    *value_out = NULL;
    if (option->letter != NULL && strcmp(word, option->letter) == 0) {
        return true;
    }
    if (strncmp(word, option->name, size) != 0 || (word[size] != '\0' && word[size] != '=')) {
        return false;
    }
    *value_out = word[size] == '=' ? word + size + 1 : NULL;
    return true;
}

int pd_command_unknown_option(const struct pd_command *command, const char *word)
{
    struct pd_nearest nearest = {.wanted = word};
    pd_nearest_offer(&nearest, "--help");
    for (const struct pd_option *at = command->options; at != NULL && at->name != NULL; at++) {
        if (!at->is_hidden) {
            pd_nearest_offer(&nearest, at->name);
        }
    }
    return nearest.word == NULL
               ? pd_command_usage(command, "no such option: '%s'", word)
               : pd_command_usage(command, "no such option: '%s'. Did you mean %s?", word,
                                  nearest.word);
}

/* The option at the cursor. PD_EXIT_CODE_OK, or what to exit with. */
static int take_option(const struct pd_command *command, struct pd_option_cursor *cursor,
                       void *values)
{
    const char *word = cursor->arguments[cursor->at];
    const char *value = NULL;
    char wrong[PD_OPTION_WRONG_MAX];
    const struct pd_option *option = command->options;
    while (option != NULL && option->name != NULL && !is_option(option, word, &value)) {
        option++;
    }
    if (option == NULL || option->name == NULL) {
        return pd_command_unknown_option(command, word);
    }
    cursor->at++;
    if (option->kind == PD_OPTION_FLAG) {
        *(bool *)((char *)values + option->offset) = true;
        return value == NULL ? PD_EXIT_CODE_OK
                             : pd_command_usage(command, "%s stands alone, without '=%s'",
                                                option->name, value);
    }
    if (value == NULL && cursor->at < cursor->count) {
        value = cursor->arguments[cursor->at++];
    }
    return pd_option_take(option, values, value, wrong) ? PD_EXIT_CODE_OK
                                                        : pd_command_usage(command, "%s", wrong);
}

/* "KEY VALUE" without what was given. */
static int too_few(const struct pd_command *command, int given)
{
    const char *wanted = command->arguments;
    for (int i = 0; i < given; i++) {
        wanted += strcspn(wanted, " ");
        wanted += strspn(wanted, " ");
    }
    int size = (int)strcspn(wanted, " ");
    return pd_command_usage(command, "%.*s is missing", size, wanted);
}

bool pd_command_parse(const struct pd_command *command, int *count, char **words, void *values,
                      int *code_out)
{
    struct pd_option_cursor cursor = {.count = *count, .arguments = words};
    int given = 0;
    bool only_words = false;
    *code_out = PD_EXIT_CODE_OK;
    while (cursor.at < cursor.count && *code_out == PD_EXIT_CODE_OK) {
        char *word = words[cursor.at];
        bool is_word = only_words || word[0] != '-' || word[1] == '\0';
        if (!is_word && strcmp(word, "--") == 0) {
            only_words = true;
            cursor.at++;
        } else if (!is_word && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            pd_help_command(stdout, command);
            return false;
        } else if (!is_word) {
            *code_out = take_option(command, &cursor, values);
        } else if (given == command->words_max) {
            *code_out = pd_command_usage(command, "one word too many: '%s'", word);
        } else {
            words[given++] = word;
            cursor.at++;
            only_words = only_words || command->rest_is_words;
        }
    }
    if (*code_out == PD_EXIT_CODE_OK && given < command->words_min) {
        *code_out = too_few(command, given);
    }
    *count = given;
    return *code_out == PD_EXIT_CODE_OK;
}

/* -- Finding the command ----------------------------------------------------------------------- */

static const struct pd_command *find(const struct pd_command *const *commands, const char *word)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (strcmp(pd_command_word(commands[i]), word) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

static const char *nearest_of(const struct pd_command *const *commands, const char *word)
{
    struct pd_nearest nearest = {.wanted = word};
    for (size_t i = 0; commands[i] != NULL; i++) {
        pd_nearest_offer(&nearest, pd_command_word(commands[i]));
    }
    return nearest.word;
}

static bool asks_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* `pando kv WORD...` */
static int run_child(const struct pd_command *parent, int count, char **words)
{
    if (count == 0) {
        (void)fprintf(stderr, "pando: which of its commands?\n");
        pd_help_command(stderr, parent);
        return PD_EXIT_CODE_USAGE;
    }
    if (asks_help(words[0]) || strcmp(words[0], "help") == 0) {
        pd_help_command(stdout, parent);
        return PD_EXIT_CODE_OK;
    }
    const struct pd_command *child = find(parent->children, words[0]);
    if (child != NULL) {
        return child->run(count - 1, words + 1);
    }
    if (words[0][0] == '-') {
        return pd_command_usage(parent, "'%s' comes too early: options follow the command",
                                words[0]);
    }
    for (const struct pd_command_hint *at = parent->hints; at != NULL && at->word != NULL; at++) {
        if (strcmp(at->word, words[0]) == 0) {
            return pd_command_usage(parent, "there is no command '%s %s'. Did you mean 'pando %s'?",
                                    parent->name, words[0], at->instead);
        }
    }
    const char *nearest = nearest_of(parent->children, words[0]);
    return nearest == NULL
               ? pd_command_usage(parent, "there is no command '%s %s'", parent->name, words[0])
               : pd_command_usage(parent, "there is no command '%s %s'. Did you mean '%s'?",
                                  parent->name, words[0], nearest);
}

static bool ends_with(const char *text, const char *end)
{
    size_t text_size = strlen(text);
    size_t end_size = strlen(end);
    return text_size > end_size && strcmp(text + text_size - end_size, end) == 0;
}

static int unknown_command(const char *name)
{
    const char *nearest = nearest_of(pd_commands, name);
    if (nearest != NULL) {
        (void)fprintf(stderr, "pando: there is no command '%s'. Did you mean '%s'?\n\n", name,
                      nearest);
    } else {
        (void)fprintf(stderr, "pando: there is no command '%s'\n\n", name);
    }
    pd_help_overview(stderr);
    return PD_EXIT_CODE_USAGE;
}

int pd_command_main(int count, char **words)
{
    if (count == 0) {
        pd_help_overview(stderr);
        return PD_EXIT_CODE_USAGE;
    }
    const char *name = words[0];
    if (asks_help(name) || strcmp(name, "help") == 0) {
        pd_help_overview(stdout);
        return PD_EXIT_CODE_OK;
    }
    if (strcmp(name, "--version") == 0) {
        name = "version";
    }
    const struct pd_command *command = find(pd_commands, name);
    int used = 1;
    if (command == NULL && (ends_with(name, ".wasm") || ends_with(name, ".yaml"))) {
        command = &pd_command_run;
        used = 0;
    }
    if (command == NULL) {
        return unknown_command(name);
    }
    if (command->children != NULL) {
        return run_child(command, count - used, words + used);
    }
    if (count > used && asks_help(words[used])) {
        pd_help_command(stdout, command);
        return PD_EXIT_CODE_OK;
    }
    return command->run(count - used, words + used);
}
