/* Every setting by file, environment and flag: which source counts, what is said of mistakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/settings.h"

#define ROOM 16384u

struct room {
    char text[ROOM];
    size_t size;
};

static void write_to(void *context, const char *bytes, size_t size)
{
    struct room *room = context;
    assert_true(size < sizeof room->text - room->size);
    memcpy(room->text + room->size, bytes, size);
    room->size += size;
    room->text[room->size] = '\0';
}

static void print(const struct pd_settings *settings, struct room *room)
{
    room->size = 0;
    pd_settings_print(settings, &(struct pd_app_output){.context = room, .write = write_to});
}

/* Two values of each setting that are not its default. */
static const struct {
    const char *key;
    const char *one;
    const char *other;
    const char *wrong; /* NULL: it takes any text */
} samples[] = {
    {"data", "here", "there", ""},
    {"socket", "a.sock", "b.sock", ""},
    {"name", "one", "other", "a b"},
    {"listen_client", "127.0.0.1:1", "off", "nowhere"},
    {"listen_peer", "127.0.0.1:1", "[::1]:2", "nowhere"},
    {"advertise_peer", "a.example:1", "[::1]:2", "a.example:0"},
    {"peers", "a.example:1", "[::1]:2", "a.example"},
    {"expect", "1", "31", "32"},
    {"secret_file", "a", "b", ""},
    {"insecure", "true", "false", "yes"},
    {"cert_file", "a.pem", "b.pem", ""},
    {"key_file", "a.pem", "b.pem", ""},
    {"trusted_ca_file", "a.pem", "b.pem", ""},
    {"client_cert_auth", "true", "false", "1"},
    {"allow_host", "one", "other", "a:1"},
    {"allow_origin", "http://one", "https://other:1", "one"},
    {"stop_grace", "500ms", "2m", "2h"},
    {"disk_low", "1MiB", "2GiB", "much"},
    {"app", "a.wasm", "b.yaml", ""},
    {"app_memory", "1MiB", "3KiB", "0"},
    {"allow_kv", "a/", "b/", NULL},
    {"dir", "here", "there::/there", ""},
    {"quiet", "true", "false", "1"},
    {"log_format", "json", "text", "xml"},
    {"log_level", "warning", "error", "debug"},
    {"slow_request", "0", "2s", "2h"},
    {"retention", "0", "90s", "1500ms"},
    {"voters_max", "1", "31", "32"},
    {"log_segment", "16MiB", "1GiB", "15MiB"},
    {"store_lag", "100", "60000", "60001"},
};
#define SAMPLES (sizeof samples / sizeof samples[0])

static const struct pd_setting *row_of(const char *key)
{
    for (const struct pd_setting *row = pd_settings_table; row->key != NULL; row++) {
        if (strcmp(row->key, key) == 0) {
            return row;
        }
    }
    return NULL;
}

static void take_file(struct pd_settings *settings, const char *key, const char *value)
{
    char text[256];
    struct pd_app_report report;
    int size = snprintf(text, sizeof text, "# a file\n%s: '%s'\n", key, value);
    enum pd_status status =
        pd_settings_take_text(settings, "pando.yaml", text, (size_t)size, &report);
    assert_int_equal(status, PD_OK);
    pd_app_report_deinit(&report);
}

static bool take_variable(struct pd_settings *settings, const struct pd_setting *row,
                          const char *value, char text[PD_SETTINGS_TEXT_MAX])
{
    static char line[256]; /* settings borrow it */
    char name[PD_SETTINGS_NAME_MAX];
    pd_setting_variable(row, name);
    (void)snprintf(line, sizeof line, "%s=%s", name, value);
    char *variables[] = {line, NULL};
    return pd_settings_take_environment(settings, variables, text);
}

static bool take_flag(struct pd_settings *settings, const struct pd_setting *row, const char *value,
                      char text[PD_SETTINGS_TEXT_MAX])
{
    static char line[256];
    char name[PD_SETTINGS_NAME_MAX];
    pd_setting_flag(row, name);
    (void)snprintf(line, sizeof line, "%s=%s", name, value);
    char *words[] = {line};
    struct pd_option_cursor cursor = {.count = 1, .arguments = words};
    bool is_taken = pd_settings_take_flag(settings, &cursor, text);
    assert_int_equal(cursor.at, is_taken ? 1 : 0);
    return is_taken;
}

/* The setting's line of what is printed says value and source. */
static void assert_line(const struct pd_settings *settings, const struct pd_setting *row,
                        const char *value, const char *source)
{
    static struct room room;
    char line[512];
    bool is_text = row->kind == PD_SETTING_TEXT;
    bool is_list = row->kind == PD_SETTING_LIST;
    const char *open = is_text ? "'" : is_list ? "['" : "";
    const char *end = is_text ? "'" : is_list ? "']" : "";
    print(settings, &room);
    (void)snprintf(line, sizeof line, "%s: %s%s%s  # %s\n", row->key, open, value, end, source);
    if (strstr(room.text, line) == NULL) {
        print_error("'%s' is not in:\n%s", line, room.text);
        fail();
    }
}

static void test_every_setting_has_its_sample(void **state)
{
    (void)state;
    size_t count = 0;
    for (const struct pd_setting *row = pd_settings_table; row->key != NULL; row++, count++) {
        assert_true(count < SAMPLES);
        assert_string_equal(row->key, samples[count].key);
        assert_non_null(row->takes);
        const struct pd_option *option = &pd_settings_options[2 + count]; /* --config is before */
        char flag[PD_SETTINGS_NAME_MAX];
        pd_setting_flag(row, flag);
        assert_string_equal(option->name, flag);
        assert_int_equal(option->kind == PD_OPTION_FLAG, row->kind == PD_SETTING_SWITCH);
        if (row->initial != NULL && row->kind != PD_SETTING_SWITCH) {
            char text[128];
            (void)snprintf(text, sizeof text, "(default: %s)", row->initial);
            assert_non_null(strstr(option->text, text));
        }
    }
    assert_int_equal(count, SAMPLES);
    assert_null(pd_settings_options[2 + count].name);
}

/* Flag before variable before file before default, in whatever order they are read. */
static void test_every_setting_from_everywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        const struct pd_setting *row = row_of(samples[i].key);
        static struct pd_settings settings;
        char text[PD_SETTINGS_TEXT_MAX];
        char variable[PD_SETTINGS_NAME_MAX];
        char flag[PD_SETTINGS_NAME_MAX];
        pd_setting_variable(row, variable);
        pd_setting_flag(row, flag);
        for (int order = 0; order < 2; order++) {
            assert_int_equal(pd_settings_init(&settings), PD_OK);
            if (row->initial != NULL && row->kind != PD_SETTING_LIST) {
                assert_line(&settings, row, row->initial, "default");
            }
            if (order == 0) {
                take_file(&settings, row->key, samples[i].one);
                assert_line(&settings, row, samples[i].one, "pando.yaml:2");
                assert_true(take_variable(&settings, row, samples[i].other, text));
                assert_line(&settings, row, samples[i].other, variable);
                assert_true(take_flag(&settings, row, samples[i].one, text));
                assert_string_equal(text, "");
            } else {
                assert_true(take_flag(&settings, row, samples[i].one, text));
                assert_true(take_variable(&settings, row, samples[i].other, text));
                take_file(&settings, row->key, samples[i].other);
            }
            assert_line(&settings, row, samples[i].one, flag);
            pd_settings_deinit(&settings);
        }
    }
}

static void test_wrong_values_are_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        const struct pd_setting *row = row_of(samples[i].key);
        const char *wrong = samples[i].wrong;
        static struct pd_settings settings;
        struct pd_app_report report;
        char name[PD_SETTINGS_NAME_MAX];
        char text[PD_SETTINGS_TEXT_MAX];
        char file[256];
        if (wrong == NULL) {
            continue;
        }
        assert_int_equal(pd_settings_init(&settings), PD_OK);
        assert_true(take_flag(&settings, row, wrong, text));
        pd_setting_flag(row, name);
        assert_non_null(strstr(text, name));
        assert_non_null(strstr(text, row->takes));
        if (wrong[0] != '\0') { /* an empty variable says nothing */
            assert_false(take_variable(&settings, row, wrong, text));
            pd_setting_variable(row, name);
            assert_non_null(strstr(text, name));
            assert_non_null(strstr(text, row->takes));
        }
        int size = snprintf(file, sizeof file, "\n\n%s: '%s'\n", row->key, wrong);
        assert_int_equal(
            pd_settings_take_text(&settings, "pando.yaml", file, (size_t)size, &report),
            PD_ERR_INVALID);
        assert_int_equal(report.count, 1);
        assert_int_equal(report.mistakes[0].line, 3);
        assert_string_equal(report.mistakes[0].key, row->key);
        assert_non_null(strstr(report.mistakes[0].text, row->takes));
        pd_app_report_deinit(&report);
        pd_settings_deinit(&settings);
    }
}

/* Only a name that is nearly a setting's is taken for one that is written wrong. */
static void test_variables_that_are_nearly_settings(void **state)
{
    (void)state;
    static char *const wrong[] = {"PANDO_LISTEN_CLEINT=off", "PANDO_DISKLOW=1MiB",
                                  "PANDO_PEER=127.0.0.1:2380", "PANDO_DATE=x"};
    static const char *const meant[] = {"PANDO_LISTEN_CLIENT", "PANDO_DISK_LOW", "PANDO_PEERS",
                                        "PANDO_DATA"};
    char *others[] = {
        "PANDO_PORT=tcp://10.0.0.1:2379",
        "PANDO_PORT_2379_TCP_ADDR=10.0.0.1",
        "PANDO_SERVICE_HOST=10.0.0.1",
        "PANDO_NODE=a",
        "PANDO_TICKET=x",
        "PANDO_CONFIG=",
        "PANDO_",
        "PANDO",
        "PANDORA_DATE=x",
        "pando_date=x",
        "PANDO_A_NAME_THAT_IS_LONGER_THAN_ANY_NAME_OF_A_SETTING_CAN_EVER_BECOME_HERE=1",
        NULL};
    struct pd_settings settings;
    char text[PD_SETTINGS_TEXT_MAX];
    assert_int_equal(pd_settings_init(&settings), PD_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char *variables[] = {wrong[i], NULL};
        assert_false(pd_settings_take_environment(&settings, variables, text));
        assert_non_null(strstr(text, "Did you mean "));
        assert_non_null(strstr(text, meant[i]));
    }
    assert_true(pd_settings_take_environment(&settings, others, text));
    assert_string_equal(text, "");
    pd_settings_deinit(&settings);
}

static void test_mistakes_of_a_file(void **state)
{
    (void)state;
    static const char text[] = "listen_cleint: 127.0.0.1:1\n"
                               "quiet: true\n"
                               "quiet: false\n"
                               "name: [a]\n"
                               "data: {a: b}\n"
                               "socket:\n"
                               "allow_host: [good, 'a b', [c]]\n"
                               "what_is_this: 1\n"
                               "app: ~\n"
                               "dir: ['~', null]\n";
    static const char *const wanted[] = {
        "1:1: listen_cleint: unknown key `listen_cleint`, did you mean `listen_client`?",
        "3:1: quiet: the key `quiet` is here twice: keep one",
        "4:7: name: takes a name: letters, digits and signs of ASCII without spaces, 63 at most, "
        "not "
        "a list",
        "5:7: data: takes a folder, not a mapping",
        "6:8: socket: takes a path, and there is nothing: leave the key out to have the default",
        "7:20: allow_host[1]: takes a name without a port, or '*', not `a b`",
        "7:27: allow_host[2]: takes a name without a port, or '*', not a list",
        "8:1: what_is_this: unknown key `what_is_this`. The file has: data, socket, name",
        "9:6: app: takes a file, and there is nothing: leave the key out to have the default",
        "10:12: dir[1]: takes HOST or HOST::GUEST, and there is nothing: leave the key out",
    };
    static struct room room;
    static struct pd_settings settings;
    struct pd_app_report report;
    room.size = 0;
    assert_int_equal(pd_settings_init(&settings), PD_OK);
    assert_int_equal(pd_settings_take_text(&settings, "pando.yaml", text, sizeof text - 1, &report),
                     PD_ERR_INVALID);
    pd_app_report_print(&report, "pando.yaml",
                        &(struct pd_app_output){.context = &room, .write = write_to});
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (strstr(room.text, wanted[i]) == NULL) {
            print_error("'%s' is not in:\n%s", wanted[i], room.text);
            fail();
        }
    }
    assert_int_equal(report.count, sizeof wanted / sizeof wanted[0]);
    pd_app_report_deinit(&report);
    pd_settings_deinit(&settings);
}

static void test_files_that_are_none(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum pd_status status;
    } files[] = {{"", PD_OK},
                 {"# nothing but this\n", PD_OK},
                 {"---\n", PD_OK},
                 {"- a\n", PD_ERR_INVALID},
                 {"data: [\n", PD_ERR_INVALID},
                 {"data: &a x\n", PD_ERR_INVALID},
                 {"data: a\n---\ndata: b\n", PD_ERR_INVALID}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        static struct pd_settings settings;
        struct pd_app_report report;
        assert_int_equal(pd_settings_init(&settings), PD_OK);
        assert_int_equal(pd_settings_take_text(&settings, "pando.yaml", files[i].text,
                                               strlen(files[i].text), &report),
                         files[i].status);
        pd_app_report_deinit(&report);
        pd_settings_deinit(&settings);
    }
    static struct pd_settings settings;
    struct pd_app_report report;
    assert_int_equal(pd_settings_init(&settings), PD_OK);
    assert_int_equal(pd_settings_take_file(&settings, "/nowhere/pando.yaml", &report),
                     PD_ERR_INVALID);
    assert_string_equal(report.mistakes[0].text, "there is no such file");
    pd_app_report_deinit(&report);
    pd_settings_deinit(&settings);
}

/* A stronger source's list replaces the weaker one's; its own parts add up, to a bound. */
static void test_lists(void **state)
{
    (void)state;
    const struct pd_setting *row = row_of("allow_host");
    static struct pd_settings settings;
    char text[PD_SETTINGS_TEXT_MAX];
    struct pd_app_report report;
    static const char file[] = "allow_host: [a, b]\n";
    assert_int_equal(pd_settings_init(&settings), PD_OK);
    assert_int_equal(pd_settings_take_text(&settings, "pando.yaml", file, sizeof file - 1, &report),
                     PD_OK);
    pd_app_report_deinit(&report);
    assert_line(&settings, row, "a', 'b", "pando.yaml:1");
    assert_true(take_variable(&settings, row, "c,d,e", text));
    assert_line(&settings, row, "c', 'd', 'e", "PANDO_ALLOW_HOST");
    assert_false(take_variable(&settings, row, "c,a b", text));
    assert_string_equal(text, "the variable PANDO_ALLOW_HOST takes a name without a port, or '*', "
                              "not `a b`");
    for (uint32_t i = 0; i < row->most; i++) {
        assert_true(take_flag(&settings, row, "f", text));
        assert_string_equal(text, "");
        assert_int_equal(settings.allow_host.count, i + 1);
    }
    assert_true(take_flag(&settings, row, "f", text));
    assert_string_equal(text, "--allow-host can be given 16 times");
    pd_settings_deinit(&settings);
}

static void test_flags_and_words(void **state)
{
    (void)state;
    char one[] = "--quiet";
    char two[] = "--name";
    char three[] = "x";
    char four[] = "--nmae";
    char five[] = "--disk-low";
    char *words[] = {one, two, three, four, five};
    char text[PD_SETTINGS_TEXT_MAX];
    struct pd_option_cursor cursor = {.count = 5, .arguments = words};
    static struct pd_settings settings;
    assert_int_equal(pd_settings_init(&settings), PD_OK);
    assert_true(pd_settings_take_flag(&settings, &cursor, text));
    assert_true(settings.quiet);
    assert_true(pd_settings_take_flag(&settings, &cursor, text));
    assert_string_equal(settings.name, "x");
    assert_false(pd_settings_take_flag(&settings, &cursor, text));
    cursor.at++;
    assert_true(pd_settings_take_flag(&settings, &cursor, text));
    assert_string_equal(text, "--disk-low takes a size as 256MiB");
    pd_settings_deinit(&settings);
}

/* What a file could not say again, or what a terminal would obey, is no value from anywhere. */
static void test_texts_that_are_no_lines(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "x\ny",     "a\r\nb",        "a\tb",          "\x1b[31m",      "\x7f",        "\xc2\x85x",
        "\xff\xfe", "a\xe2\x80\xa8", "\xef\xbb\xbfz", "a\xef\xbf\xbf", "\xed\xa0\x80"};
    static const char *const keys[] = {"data", "allow_kv", "dir", "name"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        for (size_t j = 0; j < sizeof keys / sizeof keys[0]; j++) {
            static struct pd_settings settings;
            char text[PD_SETTINGS_TEXT_MAX];
            assert_int_equal(pd_settings_init(&settings), PD_OK);
            assert_true(take_flag(&settings, row_of(keys[j]), wrong[i], text));
            assert_non_null(strstr(text, "in UTF-8 and without control characters"));
            assert_null(strstr(text, wrong[i]));
            assert_false(take_variable(&settings, row_of(keys[j]), wrong[i], text));
            assert_null(strstr(text, wrong[i]));
            pd_settings_deinit(&settings);
        }
    }
    static struct pd_settings settings;
    char text[PD_SETTINGS_TEXT_MAX];
    assert_int_equal(pd_settings_init(&settings), PD_OK);
    assert_true(
        take_flag(&settings, row_of("data"), "/srv/\xc3\xa9t\xc3\xa9 \xf0\x9f\x90\xbc", text));
    assert_string_equal(text, "");
    assert_true(take_flag(&settings, row_of("name"),
                          "a-name-of-64-letters-is-one-too-many-for-a-member-of-the-cluster",
                          text));
    assert_non_null(strstr(text, "63 at most"));
    pd_settings_deinit(&settings);
}

/* What is printed is a file that says the same. */
static void test_what_is_printed_can_be_read(void **state)
{
    (void)state;
    static struct room first;
    static struct room second;
    static struct pd_settings settings;
    struct pd_app_report report;
    char text[PD_SETTINGS_TEXT_MAX];
    char app[6000] = "--app=";
    memset(app + 6, 'a', sizeof app - 7); /* no text is cut */
    app[sizeof app - 1] = '\0';
    char *words[] = {app};
    struct pd_option_cursor cursor = {.count = 1, .arguments = words};
    static const char quiet[] = "quiet: true\n";
    assert_int_equal(pd_settings_init(&settings), PD_OK);
    assert_true(take_flag(&settings, row_of("allow_kv"), "it's # one", text));
    assert_true(take_variable(&settings, row_of("allow_host"), "x,y", text));
    assert_true(pd_settings_take_flag(&settings, &cursor, text));
    /* nor does a file's name break its comment */
    assert_int_equal(pd_settings_take_text(&settings, "a\nb", quiet, sizeof quiet - 1, &report),
                     PD_OK);
    pd_app_report_deinit(&report);
    print(&settings, &first);
    assert_non_null(strstr(first.text, "quiet: true  # a?b:1\n"));
    pd_settings_deinit(&settings);
    assert_int_equal(pd_settings_init(&settings), PD_OK);
    assert_int_equal(
        pd_settings_take_text(&settings, "pando.yaml", first.text, first.size, &report), PD_OK);
    pd_app_report_deinit(&report);
    assert_string_equal(settings.allow_kv, "it's # one");
    assert_int_equal(settings.allow_host.count, 2);
    assert_string_equal(settings.app, app + 6);
    print(&settings, &second);
    assert_non_null(strstr(second.text, "disk_low: 256MiB  # pando.yaml:"));
    pd_settings_deinit(&settings);
}

/* docs/config.md has a line for each setting, with its default; and for no other. */
static void test_documentation(void **state)
{
    (void)state;
    static char bytes[4 * ROOM];
    FILE *file = fopen(PD_TEST_SOURCE_DIR "/docs/config.md", "re");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes - 1, file);
    (void)fclose(file);
    bytes[size] = '\0';
    size_t count = 0;
    for (const struct pd_setting *row = pd_settings_table; row->key != NULL; row++, count++) {
        char line[256];
        (void)snprintf(line, sizeof line, "\n| `%s` | %s%s%s |", row->key,
                       row->initial == NULL ? "" : "`", row->initial == NULL ? "" : row->initial,
                       row->initial == NULL ? "" : "`");
        if (strstr(bytes, line) == NULL) {
            print_error("docs/config.md lacks the line that begins '%s'\n", line + 1);
            fail();
        }
    }
    size_t lines = 0;
    char *at = strstr(bytes, "\n## Settings\n");
    assert_non_null(at);
    char *end = strstr(at + 1, "\n## ");
    assert_non_null(end);
    *end = '\0';
    for (; (at = strstr(at, "\n| `")) != NULL; at++) {
        lines++;
    }
    assert_int_equal(lines, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_setting_has_its_sample),
        cmocka_unit_test(test_every_setting_from_everywhere),
        cmocka_unit_test(test_wrong_values_are_told),
        cmocka_unit_test(test_variables_that_are_nearly_settings),
        cmocka_unit_test(test_mistakes_of_a_file),
        cmocka_unit_test(test_files_that_are_none),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_flags_and_words),
        cmocka_unit_test(test_texts_that_are_no_lines),
        cmocka_unit_test(test_what_is_printed_can_be_read),
        cmocka_unit_test(test_documentation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
