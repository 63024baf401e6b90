/* The `pando` command: finds the subcommand and runs it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"

const struct pd_command *const pd_commands[] = {
    &pd_command_run,  &pd_command_check,   &pd_command_ps,      &pd_command_info,
    &pd_command_kill, &pd_command_trace,   &pd_command_dev,     &pd_command_start,
    &pd_command_join, &pd_command_cluster, &pd_command_kv,      &pd_command_status,
    &pd_command_wal,  &pd_command_sim,     &pd_command_version, NULL,
};

static void print_message(const char *format, va_list arguments)
    __attribute__((format(printf, 1, 0)));

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
    (void)fprintf(stderr, "usage: pando %s %s\nTry: pando %s --help\n", command->name,
                  command->arguments, command->name);
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

void pd_command_help(const struct pd_command *command)
{
    (void)printf("usage: pando %s %s\n\n%s\n\n%s", command->name, command->arguments,
                 command->summary, command->help);
}

static void print_overview(FILE *stream)
{
    (void)fputs("usage: pando COMMAND [ARGUMENT...]\n\n", stream);
    for (size_t i = 0; pd_commands[i] != NULL; i++) {
        (void)fprintf(stream, "  %-9s %s\n", pd_commands[i]->name, pd_commands[i]->summary);
    }
    (void)fputs("\npando COMMAND --help tells more. pando FILE.wasm is short for pando run.\n",
                stream);
}

static const struct pd_command *find(const char *name)
{
    for (size_t i = 0; pd_commands[i] != NULL; i++) {
        if (strcmp(pd_commands[i]->name, name) == 0) {
            return pd_commands[i];
        }
    }
    return NULL;
}

static int ends_with(const char *text, const char *end)
{
    size_t text_size = strlen(text);
    size_t end_size = strlen(end);
    return text_size > end_size && strcmp(text + text_size - end_size, end) == 0;
}

int main(int count, char **arguments)
{
    if (count < 2) {
        print_overview(stderr);
        return PD_EXIT_CODE_USAGE;
    }
    const char *name = arguments[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_overview(stdout);
        return PD_EXIT_CODE_OK;
    }
    if (strcmp(name, "--version") == 0) {
        name = "version";
    }
    const struct pd_command *command = find(name);
    int used = 2;
    if (command == NULL && (ends_with(name, ".wasm") || ends_with(name, ".yaml"))) {
        command = &pd_command_run;
        used = 1;
    }
    if (command == NULL) {
        (void)fprintf(stderr, "pando: there is no command '%s'\n\n", name);
        print_overview(stderr);
        return PD_EXIT_CODE_USAGE;
    }
    if (count > used && (strcmp(arguments[used], "--help") == 0)) {
        pd_command_help(command);
        return PD_EXIT_CODE_OK;
    }
    return command->run(count - used, arguments + used);
}
