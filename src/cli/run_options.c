#include "cli/run_options.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "actor/runtime.h"
#include "base/assert.h"
#include "cli/command.h"
#include "wasm/guest.h"

/* The profiles and modes stand in the options' choices, in the order of their enums. */
_Static_assert(PD_ENGINE_DENSE == 0 && PD_ENGINE_GUARDED == 1, "dense|guarded");
_Static_assert(PD_CRASH_ALL == 0 && PD_CRASH_BRIEF == 1 && PD_CRASH_NONE == 2, "all|brief|none");
_Static_assert(sizeof(enum pd_engine_profile) == sizeof(uint32_t), "taken as a choice");
_Static_assert(sizeof(enum pd_crash_mode) == sizeof(uint32_t), "taken as a choice");

static const char *take_deny(void *values, const char *value)
{
    struct pd_run_options *options = values;
    const struct {
        const char *name;
        bool *flag;
    } rights[] = {{"spawn", &options->deny_spawn},
                  {"compile", &options->deny_compile},
                  {"configure", &options->deny_configure},
                  {"stdio", &options->deny_stdio}};
    for (size_t i = 0; i < sizeof rights / sizeof rights[0]; i++) {
        if (strcmp(value, rights[i].name) == 0) {
            *rights[i].flag = true;
            return NULL;
        }
    }
    if (strcmp(value, "network") == 0) {
        options->has_network = true;
        options->network = PD_NETWORK_NONE;
        return NULL;
    }
    return "takes one of spawn, compile, configure, stdio, network";
}

static const char *take_net(void *values, const char *value)
{
    static const struct {
        const char *name;
        enum pd_network_right right;
    } words[] = {{"none", PD_NETWORK_NONE}, {"local", PD_NETWORK_LOCAL}, {"all", PD_NETWORK_ALL}};
    struct pd_run_options *options = values;
    options->has_network = true;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(value, words[i].name) == 0) {
            options->network = words[i].right;
            return NULL;
        }
    }
    char why[512] = "";
    struct pd_net_list *list = NULL;
    if (pd_net_list_parse(value, &list, why, sizeof why) != PD_OK) {
        return "takes none, local, all, or a list such as api.example:443,*.example:443,10.0.0.0/8";
    }
    pd_net_list_release(list);
    options->network = PD_NETWORK_LIST;
    options->network_list = value;
    return NULL;
}

static const char *take_directory(void *values, const char *value)
{
    struct pd_run_options *options = values;
    if (value[0] == '\0') {
        return "takes a directory, perhaps with ::NAME behind it";
    }
    if (options->directory_count == PD_RUN_DIRECTORIES_MAX) {
        return "is given more than 64 times";
    }
    options->directories[options->directory_count++] = value;
    return NULL;
}

static const char *take_variable(void *values, const char *value)
{
    struct pd_run_options *options = values;
    if (value[0] == '\0') {
        return "takes NAME=VALUE";
    }
    if (options->variable_count == PD_RUN_VARIABLES_MAX) {
        return "is given more than 256 times";
    }
    options->variables[options->variable_count++] = value;
    return NULL;
}

static const char *take_seed(void *values, const char *value)
{
    struct pd_run_options *options = values;
    options->is_seeded = true;
    return pd_option_number(value, &options->seed) ? NULL : "takes a number";
}

static const char *take_threads(void *values, const char *value)
{
    struct pd_run_options *options = values;
    uint64_t number = 0;
    if (!pd_option_number(value, &number) || number == 0 || number > PD_SCHEDULERS_MAX) {
        return "takes a number from 1 to 64";
    }
    options->scheduler_count = (uint32_t)number;
    return NULL;
}

static const char *take_listener(void *values, const char *value)
{
    struct pd_run_options *options = values;
    if (options->listener_count == PD_WASI_LISTENERS_MAX) {
        return "is given more than 8 times";
    }
    options->listeners[options->listener_count++] = value;
    return NULL;
}

static const char *take_memory(void *values, const char *value)
{
    struct pd_run_options *options = values;
    return pd_option_size(value, &options->memory_bytes_max) && options->memory_bytes_max > 0 &&
                   options->memory_bytes_max <= PD_MEMORY_BYTES_MAX
               ? NULL
               : "takes a size such as 64MiB, at most 4GiB";
}

const struct pd_option pd_run_options_table[] = {
    {.name = "--dir",
     .kind = PD_OPTION_TAKE,
     .value = "HOST[::GUEST]",
     .text = "let the guest see a directory (may be given again)",
     .take = take_directory},
    {.name = "--listen",
     .kind = PD_OPTION_TAKE,
     .value = "HOST:PORT",
     .text = "let the guest accept connections there, with WASI's sock_accept",
     .take = take_listener},
    {.name = "--env",
     .kind = PD_OPTION_TAKE,
     .value = "NAME=VALUE",
     .text = "set a variable for the guest (may be given again)",
     .take = take_variable},
    {.name = "--deny",
     .kind = PD_OPTION_TAKE,
     .value = "RIGHT",
     .text = "spawn, compile, configure, stdio or network (may be given again)",
     .take = take_deny},
    {.name = "--net",
     .kind = PD_OPTION_TAKE,
     .value = "none|local|all|LIST",
     .text = "what the guest may reach; a module: none, unless it is given",
     .take = take_net},
    {.name = "--max-memory",
     .kind = PD_OPTION_TAKE,
     .value = "SIZE",
     .text = "of each actor, such as 64MiB",
     .take = take_memory},
    {.name = "--max-fuel",
     .kind = PD_OPTION_NUMBER,
     .value = "PORTIONS",
     .text = "of each actor, in portions of 100,000 instructions",
     .offset = offsetof(struct pd_run_options, fuel_portions_max),
     .least = 1},
    {.name = "--node",
     .kind = PD_OPTION_FOLDER,
     .value = "DIR",
     .text = "use the store of the node that runs there",
     .offset = offsetof(struct pd_run_options, node)},
    {.name = "--cluster",
     .kind = PD_OPTION_TEXT,
     .value = "TICKET",
     .text = "use the store of a cluster elsewhere; a ticket, or @FILE, of `pando cluster ticket`",
     .offset = offsetof(struct pd_run_options, cluster),
     .least = 1},
    {.name = "--allow-kv",
     .kind = PD_OPTION_TEXT,
     .value = "PREFIX",
     .text = "let the guest touch the store's keys that begin so ('': all)",
     .offset = offsetof(struct pd_run_options, kv_prefix)},
    {.name = "--profile",
     .kind = PD_OPTION_CHOICE,
     .value = "dense|guarded",
     .text = "how actors lie in memory (default: dense)",
     .offset = offsetof(struct pd_run_options, profile)},
    {.name = "--threads",
     .kind = PD_OPTION_TAKE,
     .value = "N",
     .text = "scheduler threads (default: one a processor)",
     .take = take_threads},
    {.name = "--yield-interval",
     .kind = PD_OPTION_NUMBER,
     .value = "N",
     .text = "units of fuel in one turn (default: 100000)",
     .offset = offsetof(struct pd_run_options, yield_interval),
     .least = 1},
    {.name = "--seed",
     .kind = PD_OPTION_TAKE,
     .value = "S",
     .text = "deterministic: one thread, virtual time; prints a trace hash",
     .take = take_seed},
    {.name = "--tag",
     .text = "begin each line of output with the actor's name",
     .offset = offsetof(struct pd_run_options, is_tagged)},
    {.name = "--watch",
     .text = "of an application: restart children whose module changed",
     .offset = offsetof(struct pd_run_options, is_watching)},
    {.name = "--crash-reports",
     .kind = PD_OPTION_CHOICE,
     .value = "all|brief|none",
     .text = "what is told of a crash (default: all); brief: a line each",
     .offset = offsetof(struct pd_run_options, crash_mode)},
    {.name = "--stats",
     .text = "print figures of the run at its end",
     .offset = offsetof(struct pd_run_options, has_stats)},
    {.name = NULL},
};

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
    bool has_store = options->node != NULL || options->cluster != NULL;
    if (options->node != NULL && options->cluster != NULL) {
        return pd_command_usage(&pd_command_run, "--node and --cluster: which of the two stores?");
    }
    if (has_store && options->is_seeded) {
        return pd_command_usage(&pd_command_run,
                                "--seed is for runs that depend on nothing else: not with %s",
                                options->node != NULL ? "--node" : "--cluster");
    }
    if (options->listener_count > 0 && options->is_seeded) {
        return pd_command_usage(&pd_command_run,
                                "--seed is for runs that depend on nothing else: not with "
                                "--listen");
    }
    if (options->listener_count > 0 && options->is_watching) {
        return pd_command_usage(&pd_command_run,
                                "--listen: two runs cannot hold one port; not with --watch");
    }
    if (!has_store && options->kv_prefix != NULL) {
        return pd_command_usage(&pd_command_run,
                                "--allow-kv needs a node: --node DIR, or --cluster TICKET");
    }
    return PD_EXIT_CODE_OK;
}

bool pd_run_options_parse(int count, char **words, struct pd_run_options *options_out,
                          int *code_out)
{
    *options_out = pd_run_options_default();
    if (!pd_command_parse(&pd_command_run, &count, words, options_out, code_out)) {
        return false;
    }
    pd_assert(count >= 1); /* its words_min */
    options_out->file = words[0];
    options_out->arguments = words + 1;
    options_out->argument_count = count - 1;
    *code_out = check(options_out);
    return *code_out == PD_EXIT_CODE_OK;
}
