/* What the words of `pando run` give a guest of WASI: arguments, environment, directories. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/run_wasi.h"
#include "wasm/wasi.h"

extern char **environ;

/* "HOST[::GUEST]". */
static int add_directory(struct pd_wasi_config *config, const char *text)
{
    char host_path[4096];
    const char *separator = strstr(text, "::");
    size_t size = separator == NULL ? strlen(text) : (size_t)(separator - text);
    if (size >= sizeof host_path) {
        return pd_command_failed("--dir %s: the path is too long", text);
    }
    memcpy(host_path, text, size);
    host_path[size] = '\0';
    const char *guest_path = separator == NULL ? host_path : separator + 2;
    char why[256] = "";
    enum pd_status status = pd_wasi_config_add_directory(config, host_path, guest_path,
                                                         PD_WASI_READ_WRITE, why, sizeof why);
    if (status != PD_OK) {
        return pd_command_failed("--dir %s: %s", text,
                                 why[0] != '\0' ? why : pd_status_text(status));
    }
    return PD_EXIT_CODE_OK;
}

/* Nobody can know the port of "HOST:0" but by being told. */
static int add_listener(struct pd_wasi_config *config, const char *text)
{
    char why[256] = "";
    uint16_t port = 0;
    enum pd_status status = pd_wasi_config_add_listener(config, text, &port, why, sizeof why);
    if (status != PD_OK) {
        return pd_command_failed("--listen %s: %s", text,
                                 why[0] != '\0' ? why : pd_status_text(status));
    }
    size_t size = strlen(text);
    if (size > 2 && strcmp(text + size - 2, ":0") == 0) {
        fprintf(stderr, "pando: listening at %.*s:%u\n", (int)(size - 2), text, (unsigned)port);
    }
    return PD_EXIT_CODE_OK;
}

/* All variables of this command, as far as they have a name. */
static enum pd_status add_environment(struct pd_wasi_config *config)
{
    enum pd_status status = PD_OK;
    for (char **variable = environ; *variable != NULL && status == PD_OK; variable++) {
        const char *equals = strchr(*variable, '=');
        if (equals != NULL && equals != *variable) {
            status = pd_wasi_config_set_variable(config, *variable, (size_t)(equals - *variable),
                                                 equals + 1, strlen(equals + 1));
        }
    }
    return status;
}

int pd_run_extend_wasi(const struct pd_run_options *options, struct pd_wasi_config *config)
{
    enum pd_status status = PD_OK;
    for (int i = 0; i < options->argument_count && status == PD_OK; i++) {
        status = pd_wasi_config_add_argument(config, options->arguments[i],
                                             strlen(options->arguments[i]));
    }
    if (status != PD_OK) {
        return pd_command_failed("the arguments of the guest: %s", pd_status_text(status));
    }
    if (options->is_as_lunatic && add_environment(config) != PD_OK) {
        return pd_command_failed("the environment is too large for a guest");
    }
    for (int i = 0; i < options->variable_count; i++) {
        const char *text = options->variables[i];
        const char *equals = strchr(text, '=');
        if (equals == NULL || equals == text) {
            return pd_command_usage(&pd_command_run, "--env %s: NAME=VALUE is wanted", text);
        }
        status = pd_wasi_config_set_variable(config, text, (size_t)(equals - text), equals + 1,
                                             strlen(equals + 1));
        if (status != PD_OK) {
            return pd_command_failed("--env %s: %s", text, pd_status_text(status));
        }
    }
    for (int i = 0; i < options->directory_count; i++) {
        int result = add_directory(config, options->directories[i]);
        if (result != PD_EXIT_CODE_OK) {
            return result;
        }
    }
    for (int i = 0; i < options->listener_count; i++) {
        int result = add_listener(config, options->listeners[i]);
        if (result != PD_EXIT_CODE_OK) {
            return result;
        }
    }
    return PD_EXIT_CODE_OK;
}
