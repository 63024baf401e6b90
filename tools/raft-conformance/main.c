/* raft-conformance MODE PATH... - runs data-driven scripts against Pando's raft core, and compares
 * strictly. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "raft-conformance/modes.h"

static const char usage[] =
    "Usage: raft-conformance [-p] interaction|confchange|quorum PATH...\n"
    "\n"
    "Runs data-driven scripts against Pando's raft core and compares strictly. PATH is a script,\n"
    "or a folder of scripts (all files in it). Prints a line a file, `ok FILE` or `FAIL FILE`, "
    "the\n"
    "latter with the first difference.\n"
    "\n"
    "  -p  print the scripts with what they really give, and compare nothing; comments are left\n"
    "      out\n"
    "\n"
    "Exit status: 0 all are ok, 1 one failed or could not be read, 2 usage.\n";

static bool is_printing; /* -p */

static char *read_file(const char *path, size_t *size_out)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return NULL;
    }
    struct text text = {0};
    char block[4096];
    size_t size = 0;
    while ((size = fread(block, 1, sizeof block, file)) > 0) {
        text_add_bytes(&text, block, size);
    }
    bool is_bad = ferror(file) != 0;
    fclose(file);
    if (is_bad) {
        text_free(&text);
        return NULL;
    }
    text_add(&text, "%s", "");
    *size_out = text.size;
    return text.bytes;
}

/* Says where they part. */
static void print_difference(const char *path, const struct command *command, const char *got)
{
    printf("FAIL %s\n  line %u: %s\n", path, command->line_number, command->line);
    const char *expected = command->expected;
    unsigned line = 1;
    for (;;) {
        size_t size = strcspn(expected, "\n");
        size_t got_size = strcspn(got, "\n");
        if (size != got_size || memcmp(expected, got, size) != 0 ||
            (expected[size] == '\0') != (got[size] == '\0')) {
            printf("  output line %u\n", line);
            printf("  expected: %s%.*s\n", *expected == '\0' ? "(no more lines)" : "", (int)size,
                   expected);
            printf("  got:      %s%.*s\n", *got == '\0' ? "(no more lines)" : "", (int)got_size,
                   got);
            return;
        }
        if (expected[size] == '\0') {
            return;
        }
        expected += size + 1;
        got += size + 1;
        line++;
    }
}

static bool has_blank_line(const char *lines)
{
    while (*lines != '\0') {
        size_t size = strcspn(lines, "\n");
        if (strspn(lines, " \t") >= size) {
            return true;
        }
        lines += size + (lines[size] == '\n' ? 1 : 0);
    }
    return false;
}

/* As a case of a script. */
static void print_case(const struct command *command, const char *got)
{
    printf("%s\n%s----\n", command->line, command->input);
    printf(has_blank_line(got) ? "----\n%s----\n----\n\n" : "%s\n", got);
}

static bool run_commands(const struct mode *mode, const char *path, char *bytes)
{
    static struct command command;
    struct script script;
    const char *wrong = NULL;
    bool is_ok = true;
    struct text output = {0};
    void *state = mode->begin();
    script_begin(&script, bytes);
    while (is_ok && script_next(&script, &command, &wrong)) {
        text_clear(&output);
        mode->run(state, &command, &output);
        text_end_line(&output);
        if (is_printing) {
            print_case(&command, text_of(&output));
        } else if (strcmp(text_of(&output), command.expected) != 0) {
            print_difference(path, &command, text_of(&output));
            is_ok = false;
        }
    }
    if (wrong != NULL) {
        printf("FAIL %s\n  line %u: %s\n", path, script.line_number, wrong);
        is_ok = false;
    }
    if (is_ok && !is_printing) {
        printf("ok %s\n", path);
    }
    script_end(&script);
    mode->end(state);
    text_free(&output);
    return is_ok;
}

static bool run_file(const struct mode *mode, const char *path)
{
    size_t size = 0;
    char *bytes = read_file(path, &size);
    if (bytes == NULL) {
        printf("FAIL %s\n  cannot be read: %s\n", path, strerror(errno));
        return false;
    }
    bool is_text = strlen(bytes) == size;
    if (!is_text) {
        printf("FAIL %s\n  a zero byte in it: no script\n", path);
    }
    bool is_ok = is_text && run_commands(mode, path, bytes);
    pd_free(bytes);
    fflush(stdout);
    return is_ok;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool run_path(const struct mode *mode, const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        return run_file(mode, path);
    }
    struct dirent **names = NULL;
    int count = scandir(path, &names, is_visible, alphasort);
    bool is_ok = count >= 0;
    if (!is_ok) {
        printf("FAIL %s\n  cannot be listed: %s\n", path, strerror(errno));
    }
    for (int i = 0; i < count; i++) {
        struct text file = {0};
        text_add(&file, "%s/%s", path, names[i]->d_name);
        if (stat(file.bytes, &status) != 0 || !S_ISDIR(status.st_mode)) {
            is_ok = run_file(mode, file.bytes) && is_ok;
        }
        text_free(&file);
        free(names[i]);
    }
    free(names);
    return is_ok;
}

int main(int argc, char **argv)
{
    static const struct mode *const modes[] = {&interaction_mode, &confchange_mode, &quorum_mode};
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "-p") == 0) {
        is_printing = true;
        argc--;
        argv++;
    }
    const struct mode *mode = NULL;
    for (size_t i = 0; argc > 2 && i < sizeof modes / sizeof modes[0]; i++) {
        mode = strcmp(argv[1], modes[i]->name) == 0 ? modes[i] : mode;
    }
    if (mode == NULL) {
        fputs(usage, stderr);
        return 2;
    }
    bool is_ok = true;
    for (int i = 2; i < argc; i++) {
        is_ok = run_path(mode, argv[i]) && is_ok;
    }
    return is_ok ? 0 : 1;
}
