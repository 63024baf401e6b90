#include "cli/lunatic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/run.h"
#include "cli/test.h"

#define USAGE "usage: lunatic [run] [--dir DIRECTORY]... [--bench] FILE.wasm [ARGUMENT...]\n"

bool pd_lunatic_is_called(const char *program)
{
    const char *slash = program == NULL ? NULL : strrchr(program, '/');
    const char *name = slash == NULL ? program : slash + 1;
    return name != NULL && strcmp(name, "lunatic") == 0;
}

static int usage(const char *problem, const char *word)
{
    (void)fprintf(stderr, "pando: lunatic %s%s\n" USAGE, word, problem);
    return PD_EXIT_CODE_USAGE;
}

/* The words in front of the file. PD_EXIT_CODE_OK: the cursor is at the file. */
static int parse(struct pd_option_cursor *cursor, struct pd_run_options *options, bool *is_bench)
{
    while (cursor->at < cursor->count && cursor->arguments[cursor->at][0] == '-') {
        const char *word = cursor->arguments[cursor->at];
        const char *value = NULL;
        if (pd_option_flag(cursor, "--")) {
            break;
        }
        if (pd_option_flag(cursor, "--bench")) {
            *is_bench = true;
        } else if (pd_option_value(cursor, "--dir", &value) && value != NULL &&
                   options->directory_count < PD_RUN_DIRECTORIES_MAX) {
            options->directories[options->directory_count++] = value;
        } else {
            return usage(": this option is not known here, or lacks its value", word);
        }
    }
    return cursor->at < cursor->count ? PD_EXIT_CODE_OK : usage("which file?", "");
}

/* The file and its arguments, and --bench behind them if it was among ours. NULL: no memory. */
static char **copy_words(struct pd_option_cursor *cursor, bool is_bench, int *count_out)
{
    static char bench[] = "--bench";
    int count = cursor->count - cursor->at;
    char **copy = pd_alloc_zeroed((size_t)count + 2, sizeof *copy);
    if (copy != NULL) {
        memcpy(copy, cursor->arguments + cursor->at, (size_t)count * sizeof *copy);
        if (is_bench) {
            copy[count++] = bench;
        }
        *count_out = count - 1; /* behind the file */
    }
    return copy;
}

static int run(int count, char **arguments)
{
    struct pd_run_options options = pd_run_options_default();
    struct pd_option_cursor cursor = {.count = count, .arguments = arguments};
    bool is_bench = false;
    options.is_as_lunatic = true;
    options.has_network = true;
    options.network = PD_NETWORK_ALL;
    options.directories[options.directory_count++] = ".";
    int result = parse(&cursor, &options, &is_bench);
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    char **copy = copy_words(&cursor, is_bench, &options.argument_count);
    if (copy == NULL) {
        return pd_command_failed("no memory");
    }
    options.file = copy[0];
    options.arguments = copy + 1;
    result = pd_test_is_cargos(options.file, options.argument_count, options.arguments)
                 ? pd_test_run_for_cargo(&options)
                 : pd_run_command(&options);
    pd_free(copy);
    return result;
}

int pd_lunatic_main(int count, char **arguments)
{
    static const char *const others[] = {"init",   "new",     "app",  "login",
                                         "deploy", "control", "node", NULL};
    if (count == 0) {
        return usage("which file?", "");
    }
    const char *word = arguments[0];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        (void)printf(USAGE
                     "This is Pando, called by the name of lunatic; pando --help tells more.\n");
        return PD_EXIT_CODE_OK;
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        (void)printf("lunatic 0.13.2\n"); /* whose guests run here, and who answers with it */
        return PD_EXIT_CODE_OK;
    }
    for (size_t i = 0; others[i] != NULL; i++) {
        if (strcmp(word, others[i]) == 0) {
            return usage(": this command is Lunatic's own; Pando runs guests by this name", word);
        }
    }
    bool is_named = strcmp(word, "run") == 0;
    return run(count - (is_named ? 1 : 0), arguments + (is_named ? 1 : 0));
}
