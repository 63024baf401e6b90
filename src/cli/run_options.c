#include "cli/run_options.h"

#include <stddef.h>
#include <string.h>

#include "actor/runtime.h"
#include "cli/command.h"
#include "cli/options.h"
#include "wasm/guest.h"

static int usage_value(const char *option, const char *value, const char *wanted)
{
    if (value == NULL) {
        return pd_command_usage(&pd_command_run, "%s needs a value: %s", option, wanted);
    }
    return pd_command_usage(&pd_command_run, "%s: '%s' is not %s", option, value, wanted);
}

static int parse_deny(struct pd_run_options *options, const char *value)
{
    const struct {
        const char *name;
        bool *flag;
    } rights[] = {{"spawn", &options->deny_spawn},
                  {"compile", &options->deny_compile},
                  {"configure", &options->deny_configure},
                  {"stdio", &options->deny_stdio}};
    for (size_t i = 0; value != NULL && i < sizeof rights / sizeof rights[0]; i++) {
        if (strcmp(value, rights[i].name) == 0) {
            *rights[i].flag = true;
            return PD_EXIT_CODE_OK;
        }
    }
    if (value != NULL && strcmp(value, "network") == 0) {
        options->network = PD_NETWORK_NONE;
        return PD_EXIT_CODE_OK;
    }
    return usage_value("--deny", value, "one of spawn, compile, configure, stdio, network");
}

static int parse_net(struct pd_run_options *options, const char *value)
{
    if (value == NULL || value[0] == '\0') {
        return usage_value("--net", value, "none, local, or a list such as api.example:443");
    }
    if (strcmp(value, "none") == 0) {
        options->network = PD_NETWORK_NONE;
    } else if (strcmp(value, "local") == 0) {
        options->network = PD_NETWORK_LOCAL;
    } else {
        options->network = PD_NETWORK_LIST;
        options->network_list = value;
    }
    return PD_EXIT_CODE_OK;
}

static int parse_profile(struct pd_run_options *options, const char *value)
{
    if (value != NULL && strcmp(value, "dense") == 0) {
        options->profile = PD_ENGINE_DENSE;
        return PD_EXIT_CODE_OK;
    }
    if (value != NULL && strcmp(value, "guarded") == 0) {
        options->profile = PD_ENGINE_GUARDED;
        return PD_EXIT_CODE_OK;
    }
    return usage_value("--profile", value, "dense or guarded");
}

static int parse_threads(struct pd_run_options *options, const char *value)
{
    uint64_t number = 0;
    if (value == NULL || !pd_option_number(value, &number) || number == 0 ||
        number > PD_SCHEDULERS_MAX) {
        return usage_value("--threads", value, "a number from 1 to 64");
    }
    options->scheduler_count = (uint32_t)number;
    return PD_EXIT_CODE_OK;
}

static int parse_number(const char *option, const char *value, uint64_t least, uint64_t *out)
{
    if (value == NULL || !pd_option_number(value, out) || *out < least) {
        return usage_value(option, value, least == 0 ? "a number" : "a number above 0");
    }
    return PD_EXIT_CODE_OK;
}

static int add_text(const char *option, const char *value, const char **texts, int *count, int max)
{
    if (value == NULL || value[0] == '\0') {
        return usage_value(option, value, "a text");
    }
    if (*count == max) {
        return pd_command_usage(&pd_command_run, "%s is given more than %d times", option, max);
    }
    texts[(*count)++] = value;
    return PD_EXIT_CODE_OK;
}

static int parse_memory(struct pd_run_options *options, const char *value)
{
    if (value == NULL || !pd_option_size(value, &options->memory_bytes_max) ||
        options->memory_bytes_max == 0 || options->memory_bytes_max > PD_MEMORY_BYTES_MAX) {
        return usage_value("--max-memory", value, "a size such as 64MiB, at most 4GiB");
    }
    return PD_EXIT_CODE_OK;
}

static int parse_crash_mode(struct pd_run_options *options, const char *value)
{
    static const struct {
        const char *name;
        enum pd_crash_mode mode;
    } modes[] = {{"all", PD_CRASH_ALL}, {"brief", PD_CRASH_BRIEF}, {"none", PD_CRASH_NONE}};
    for (size_t i = 0; value != NULL && i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(value, modes[i].name) == 0) {
            options->crash_mode = modes[i].mode;
            return PD_EXIT_CODE_OK;
        }
    }
    return usage_value("--crash-reports", value, "all, brief or none");
}

/* Options that take a value. -1: the word is none of them. */
static int parse_value_option(struct pd_option_cursor *cursor, struct pd_run_options *options)
{
    const char *value = NULL;
    if (pd_option_value(cursor, "--dir", &value)) {
        return add_text("--dir", value, options->directories, &options->directory_count,
                        PD_RUN_DIRECTORIES_MAX);
    }
    if (pd_option_value(cursor, "--env", &value)) {
        return add_text("--env", value, options->variables, &options->variable_count,
                        PD_RUN_VARIABLES_MAX);
    }
    if (pd_option_value(cursor, "--node", &value)) {
        options->node = value;
        return value == NULL || value[0] == '\0' ? usage_value("--node", value, "a node's folder")
                                                 : PD_EXIT_CODE_OK;
    }
    if (pd_option_value(cursor, "--allow-kv", &value)) {
        options->kv_prefix = value;
        return value == NULL ? usage_value("--allow-kv", value, "a prefix of keys; '' means all")
                             : PD_EXIT_CODE_OK;
    }
    if (pd_option_value(cursor, "--seed", &value)) {
        options->is_seeded = true;
        return parse_number("--seed", value, 0, &options->seed);
    }
    if (pd_option_value(cursor, "--deny", &value)) {
        return parse_deny(options, value);
    }
    if (pd_option_value(cursor, "--net", &value)) {
        return parse_net(options, value);
    }
    if (pd_option_value(cursor, "--max-memory", &value)) {
        return parse_memory(options, value);
    }
    if (pd_option_value(cursor, "--max-fuel", &value)) {
        return parse_number("--max-fuel", value, 1, &options->fuel_portions_max);
    }
    if (pd_option_value(cursor, "--yield-interval", &value)) {
        return parse_number("--yield-interval", value, 1, &options->yield_interval);
    }
    if (pd_option_value(cursor, "--threads", &value)) {
        return parse_threads(options, value);
    }
    if (pd_option_value(cursor, "--profile", &value)) {
        return parse_profile(options, value);
    }
    if (pd_option_value(cursor, "--crash-reports", &value)) {
        return parse_crash_mode(options, value);
    }
    return -1;
}

struct pd_run_options pd_run_options_default(void)
{
    return (struct pd_run_options){
        .network = PD_NETWORK_ALL,
        .memory_bytes_max = PD_MEMORY_BYTES_MAX,
        .yield_interval = PD_GUEST_YIELD_INTERVAL_DEFAULT,
    };
}

/* What makes no sense together. PD_EXIT_CODE_OK: nothing. */
static int check(const struct pd_run_options *options)
{
    if (options->node != NULL && options->is_seeded) {
        return pd_command_usage(&pd_command_run,
                                "--seed is for runs that depend on nothing else: not with --node");
    }
    if (options->node == NULL && options->kv_prefix != NULL) {
        return pd_command_usage(&pd_command_run, "--allow-kv needs a node: --node DIR");
    }
    return PD_EXIT_CODE_OK;
}

int pd_run_options_parse(int count, char **arguments, struct pd_run_options *options_out)
{
    *options_out = pd_run_options_default();
    struct pd_option_cursor cursor = {.count = count, .arguments = arguments};
    while (cursor.at < count && arguments[cursor.at][0] == '-') {
        if (pd_option_flag(&cursor, "--")) {
            break;
        }
        if (pd_option_flag(&cursor, "--stats")) {
            options_out->has_stats = true;
            continue;
        }
        if (pd_option_flag(&cursor, "--tag")) {
            options_out->is_tagged = true;
            continue;
        }
        if (pd_option_flag(&cursor, "--watch")) {
            options_out->is_watching = true;
            continue;
        }
        const char *word = arguments[cursor.at];
        int result = parse_value_option(&cursor, options_out);
        if (result == -1) {
            return pd_command_usage(&pd_command_run, "unknown option '%s'", word);
        }
        if (result != PD_EXIT_CODE_OK) {
            return result;
        }
    }
    if (cursor.at == count) {
        return pd_command_usage(&pd_command_run, "which file?");
    }
    options_out->file = arguments[cursor.at];
    options_out->arguments = arguments + cursor.at + 1;
    options_out->argument_count = count - cursor.at - 1;
    return check(options_out);
}
