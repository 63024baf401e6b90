/* pando check FILE.yaml: every mistake with its line and key, or the tree with its rights. */
#include <stdio.h>

#include "cli/app_command.h"
#include "cli/command.h"
#include "node/app.h"

static void write_to(void *context, const char *bytes, size_t size)
{
    (void)!fwrite(bytes, 1, size, context);
}

int pd_app_command_load(const char *file, struct pd_app **app_out)
{
    struct pd_app_report report;
    enum pd_status status = pd_app_load(file, &pd_app_real_files, app_out, &report);
    int result = PD_EXIT_CODE_OK;
    if (status == PD_ERR_INVALID) {
        const struct pd_app_output output = {.context = stderr, .write = write_to};
        pd_app_report_print(&report, file, &output);
        result = PD_EXIT_CODE_FAILED;
    } else if (status != PD_OK) {
        result = pd_command_failed("%s: %s", file, pd_status_text(status));
    }
    pd_app_report_deinit(&report);
    return result;
}

static int run_check(int count, char **arguments)
{
    struct pd_app *app = NULL;
    int result = PD_EXIT_CODE_OK;
    if (!pd_command_parse(&pd_command_check, &count, arguments, NULL, &result)) {
        return result;
    }
    result = pd_app_command_load(arguments[0], &app);
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    const struct pd_app_output output = {.context = stdout, .write = write_to};
    const struct pd_app_output errors = {.context = stderr, .write = write_to};
    enum pd_status status = pd_app_check_exports(app, arguments[0], &pd_app_real_files, &errors);
    if (status == PD_OK) {
        pd_app_print_tree(app, &output);
    } else if (status == PD_ERR_INVALID) {
        result = PD_EXIT_CODE_FAILED;
    } else {
        result = pd_command_failed("%s: %s", arguments[0], pd_status_text(status));
    }
    pd_app_destroy(app);
    return result;
}

const struct pd_command pd_command_check = {
    .name = "check",
    .arguments = "FILE.yaml",
    .summary = "check an application file and show its tree with its rights",
    .help =
        "Every mistake is printed with its line, column and key; exit code 1. A file without "
        "mistakes is\n"
        "shown as the tree that pando run would start; the functions that it names are looked for "
        "in their\n"
        "modules. docs/app-file.md describes the keys.\n",
    .words_min = 1,
    .words_max = 1,
    .examples = "pando check app.yaml\n",
    .run = run_check,
};
