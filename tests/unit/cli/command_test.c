/* The table of commands: everything that is made of it names everything that is in it, and words
 * are read by it. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/command.h"
#include "cli/help.h"

/* -- What is made of it ------------------------------------------------------------------------ */

static char *text_of(void (*print)(FILE *out, const void *what), const void *what)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    print(stream, what);
    assert_int_equal(fclose(stream), 0);
    return text;
}

static void print_help(FILE *out, const void *command)
{
    pd_help_command(out, command);
}

static void print_man(FILE *out, const void *command)
{
    pd_man_print(out, command);
}

static void print_completion(FILE *out, const void *shell)
{
    assert_true(pd_completion_print(out, shell));
}

/* `word` with no letter of an option behind it. */
static bool has_word(const char *text, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++) {
        char next = at[size];
        bool goes_on = next == '-' || next == '\\' || (next >= 'a' && next <= 'z');
        if (!goes_on) {
            return true;
        }
    }
    return false;
}

/* "--base-port" as mdoc writes it: "Fl \-base\-port". */
static void mdoc_option(const char *name, char *room, size_t size)
{
    size_t used = (size_t)snprintf(room, size, "Fl ");
    for (const char *at = name + 1; *at != '\0' && used + 3 < size; at++) {
        used += (size_t)snprintf(room + used, size - used, *at == '-' ? "\\-" : "%c", *at);
    }
}

static const struct pd_command *parent_of(const struct pd_command *command)
{
    size_t size = strcspn(command->name, " ");
    for (size_t i = 0; pd_commands[i] != NULL; i++) {
        if (strlen(pd_commands[i]->name) == size &&
            strncmp(pd_commands[i]->name, command->name, size) == 0) {
            return pd_commands[i];
        }
    }
    fail_msg("'%s' has no parent", command->name);
    return command;
}

static void test_every_command_says_what_it_is(void **state)
{
    unsigned count = 0;
    (void)state;
    for (const struct pd_command *at = NULL; (at = pd_command_at(count)) != NULL; count++) {
        assert_true(at->summary[0] != '\0' && strchr(at->summary, '\n') == NULL);
        assert_non_null(at->arguments);
        assert_true((at->children == NULL) == (at->run != NULL));
        assert_true(at->words_min <= at->words_max);
        assert_true(at->help == NULL || at->help[strlen(at->help) - 1] == '\n');
        char *help = text_of(print_help, at);
        if (at->children == NULL && strstr(help, "Examples:\n") == NULL) {
            fail_msg("`pando %s --help` has no example", at->name);
        }
        char wanted[64];
        (void)snprintf(wanted, sizeof wanted, "usage: pando %s ", at->name);
        help[strcspn(help, "\n")] = ' ';
        assert_non_null(strstr(help, wanted));
        free(help);
    }
    assert_true(count > 20);
}

static void check_option(const struct pd_command *command, const struct pd_option *option,
                         const char *help, const char *page, const char *const scripts[3])
{
    char mdoc[64];
    char fish[64];
    mdoc_option(option->name, mdoc, sizeof mdoc);
    (void)snprintf(fish, sizeof fish, "\"%s\"' -l %s", command->name, option->name + 2);
    bool is_named = has_word(help, option->name) && has_word(page, mdoc) &&
                    has_word(scripts[0], option->name) && has_word(scripts[1], option->name) &&
                    has_word(scripts[2], fish);
    if (is_named == option->is_hidden) {
        fail_msg("`pando %s %s`: help %d, man page %d, bash %d, zsh %d, fish %d", command->name,
                 option->name, has_word(help, option->name), has_word(page, mdoc),
                 has_word(scripts[0], option->name), has_word(scripts[1], option->name),
                 has_word(scripts[2], fish));
    }
}

static void test_every_option_is_named_everywhere(void **state)
{
    static const char *const shells[3] = {"bash", "zsh", "fish"};
    char *scripts[3];
    unsigned options = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        scripts[i] = text_of(print_completion, shells[i]);
    }
    for (unsigned i = 0; pd_command_at(i) != NULL; i++) {
        const struct pd_command *command = pd_command_at(i);
        char *help = text_of(print_help, command);
        char *page = text_of(print_man, parent_of(command));
        const struct pd_option *option = command->options;
        for (; option != NULL && option->name != NULL; option++) {
            assert_true(strncmp(option->name, "--", 2) == 0);
            assert_true((option->kind == PD_OPTION_FLAG) == (option->value == NULL));
            assert_true((option->kind == PD_OPTION_TAKE) == (option->take != NULL));
            if (!option->is_hidden) { /* a hidden one may have no text */
                assert_non_null(option->text);
                assert_null(strchr(option->text, '\n'));
            }
            check_option(command, option, help, page, (const char *const *)scripts);
            options++;
        }
        free(help);
        free(page);
    }
    for (int i = 0; i < 3; i++) {
        free(scripts[i]);
    }
    assert_true(options > 40);
}

static void test_every_command_is_in_the_scripts(void **state)
{
    static const char *const shells[3] = {"bash", "zsh", "fish"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        char *script = text_of(print_completion, shells[i]);
        for (unsigned j = 0; pd_command_at(j) != NULL; j++) {
            assert_true(has_word(script, pd_command_at(j)->name));
        }
        free(script);
    }
    char *overview = text_of(print_man, NULL);
    for (size_t i = 0; pd_commands[i] != NULL; i++) {
        assert_true(has_word(overview, pd_commands[i]->name));
    }
    free(overview);
}

/* -- Reading words ----------------------------------------------------------------------------- */

struct values {
    bool flag;
    const char *text;
    const char *folder;
    uint64_t number;
    uint64_t size;
    uint64_t seconds;
    uint32_t output;
};

static int run_nothing(int count, char **words)
{
    (void)count;
    (void)words;
    return PD_EXIT_CODE_OK;
}

static const struct pd_option options[] = {
    {.name = "--flag", .text = "f", .offset = offsetof(struct values, flag)},
    {.name = "--text",
     .kind = PD_OPTION_TEXT,
     .value = "T",
     .text = "t",
     .offset = offsetof(struct values, text)},
    {.name = "--data",
     .kind = PD_OPTION_FOLDER,
     .value = "DIR",
     .text = "d",
     .offset = offsetof(struct values, folder)},
    {.name = "--number",
     .kind = PD_OPTION_NUMBER,
     .value = "N",
     .text = "n",
     .offset = offsetof(struct values, number),
     .least = 2,
     .most = 9},
    {.name = "--size",
     .kind = PD_OPTION_SIZE,
     .value = "S",
     .text = "s",
     .offset = offsetof(struct values, size)},
    {.name = "--time",
     .kind = PD_OPTION_SECONDS,
     .value = "TIME",
     .text = "t",
     .offset = offsetof(struct values, seconds)},
    PD_OPTION_OUTPUT(struct values, output),
    {.name = NULL},
};

static const struct pd_command sample = {
    .name = "sample",
    .arguments = "KEY [VALUE]",
    .summary = "reads words",
    .options = options,
    .words_min = 1,
    .words_max = 2,
    .run = run_nothing,
};

/* Words of one text, between blanks; '' is an empty one. */
static bool parse(const struct pd_command *command, const char *line, struct values *values,
                  int *count, char **words, int *code)
{
    static char room[256];
    char *rest = NULL;
    (void)snprintf(room, sizeof room, "%s", line);
    *count = 0;
    *values = (struct values){.number = 5};
    for (char *word = strtok_r(room, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        words[*count] = word;
        if (strcmp(word, "''") == 0) {
            word[0] = '\0';
        }
        (*count)++;
    }
    return pd_command_parse(command, count, words, values, code);
}

static void test_options_go_to_their_places(void **state)
{
    struct values values;
    char *words[16];
    int count = 0;
    int code = 0;
    (void)state;
    assert_true(parse(
        &sample, "--flag key --text=a=b --data d --number 9 value --size 2MiB --time 3m -o json",
        &values, &count, words, &code));
    assert_int_equal(count, 2);
    assert_string_equal(words[0], "key");
    assert_string_equal(words[1], "value");
    assert_true(values.flag);
    assert_string_equal(values.text, "a=b");
    assert_string_equal(values.folder, "d");
    assert_int_equal(values.number, 9);
    assert_int_equal(values.size, 2 << 20);
    assert_int_equal(values.seconds, 180);
    assert_int_equal(values.output, PD_OUTPUT_JSON);
    assert_true(
        parse(&sample, "--text '' --output text - -- --flag", &values, &count, words, &code));
    assert_int_equal(values.output, PD_OUTPUT_TABLE);
    assert_string_equal(values.text, "");
    assert_false(values.flag);
    assert_string_equal(words[0], "-");
    assert_string_equal(words[1], "--flag");
    assert_int_equal(values.number, 5);
}

static void test_wrong_words_are_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "a b c",
        "--flags a",
        "--flag=yes a",
        "a --text",
        "a --data ''",
        "a --number 1",
        "a --number 10",
        "a --number 99999999999999999999",
        "a --number x",
        "a --size 1KB",
        "a --size 99999999999GiB",
        "a --time 1w",
        "a --time -1",
        "a -o yaml",
        "a -o",
        "a -x",
        "a --",
    };
    struct values values;
    char *words[16];
    int count = 0;
    int code = 0;
    (void)state;
    for (size_t i = 0; i + 1 < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(parse(&sample, wrong[i], &values, &count, words, &code));
        assert_int_equal(code, PD_EXIT_CODE_USAGE);
    }
    /* "--" alone ends the options and is no word. */
    assert_true(
        parse(&sample, wrong[sizeof wrong / sizeof wrong[0] - 1], &values, &count, words, &code));
    assert_int_equal(count, 1);
}

static void test_rest_is_words(void **state)
{
    struct pd_command open = sample;
    struct values values;
    char *words[16];
    int count = 0;
    int code = 0;
    (void)state;
    open.rest_is_words = true;
    open.words_max = INT_MAX;
    assert_true(parse(&open, "--flag file --text -- --help", &values, &count, words, &code));
    assert_int_equal(count, 4);
    assert_true(values.flag);
    assert_null(values.text);
    assert_string_equal(words[3], "--help");
}

/* -- Words that nobody knows ------------------------------------------------------------------- */

static void test_distance(void **state)
{
    static const struct {
        const char *left;
        const char *right;
        unsigned distance;
    } cases[] = {{"", "", 0},       {"", "abc", 3},    {"put", "put", 0},
                 {"put", "pt", 1},  {"put", "ptu", 1}, {"put", "putt", 1},
                 {"get", "put", 2}, {"ab", "ba", 1},   {"kitten", "sitting", 3},
                 {"ca", "abc", 3}};
    char longest[80];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(pd_word_distance(cases[i].left, cases[i].right), cases[i].distance);
        assert_int_equal(pd_word_distance(cases[i].right, cases[i].left), cases[i].distance);
    }
    memset(longest, 'a', sizeof longest);
    longest[63] = '\0';
    assert_int_equal(pd_word_distance(longest, longest), 0);
    longest[63] = 'a';
    longest[64] = '\0';
    assert_int_equal(pd_word_distance(longest, longest), UINT_MAX);
}

static void test_nearest(void **state)
{
    static const struct {
        const char *wanted;
        const char *word;
    } cases[] = {{"--prefx", "--prefix"},
                 {"--pre", "--prefix"},
                 {"--out", "--output"},
                 {"--nonsense", NULL},
                 {"-x", NULL},
                 {"--ouptut", "--output"},
                 {"--serialisable", "--serializable"}};
    static const char *const words[] = {"--prefix", "--output", "--serializable", "--data"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pd_nearest nearest = {.wanted = cases[i].wanted};
        for (size_t j = 0; j < sizeof words / sizeof words[0]; j++) {
            pd_nearest_offer(&nearest, words[j]);
        }
        if (cases[i].word == NULL) {
            assert_null(nearest.word);
        } else {
            assert_non_null(nearest.word);
            assert_string_equal(nearest.word, cases[i].word);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_command_says_what_it_is),
        cmocka_unit_test(test_every_option_is_named_everywhere),
        cmocka_unit_test(test_every_command_is_in_the_scripts),
        cmocka_unit_test(test_options_go_to_their_places),
        cmocka_unit_test(test_wrong_words_are_refused),
        cmocka_unit_test(test_rest_is_words),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
