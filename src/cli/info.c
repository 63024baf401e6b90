/* pando info PID|NAME: all that a running program says about one process. */
#include <string.h>

#include "cli/command.h"
#include "cli/remote.h"

struct arguments {
    struct pd_remote_options remote;
    uint32_t output;
};

static void print_key(const char *key)
{
    (void)printf("  %-14s", key);
}

static void print_text(const char *key, const char *text)
{
    if (text[0] != '\0') {
        print_key(key);
        (void)pd_remote_print(stdout, text, 1000);
        (void)putchar('\n');
    }
}

static void print_number(const char *key, const json_t *info, const char *name)
{
    print_key(key);
    (void)printf("%llu\n", (unsigned long long)pd_remote_number(info, name));
}

/* Numbers or texts, and how many there are when not all of them are listed. */
static void print_array(const char *key, const json_t *info, const char *name,
                        const char *count_name)
{
    const json_t *array = json_object_get(info, name);
    size_t listed = json_array_size(array);
    uint64_t count = pd_remote_number(info, count_name);
    if (count == 0) {
        return;
    }
    print_key(key);
    for (size_t i = 0; i < listed; i++) {
        const json_t *value = json_array_get(array, i);
        (void)fputs(i == 0 ? "" : ", ", stdout);
        if (json_is_string(value)) {
            (void)pd_remote_print(stdout, json_string_value(value), 200);
        } else {
            (void)printf("%lld", (long long)json_integer_value(value));
        }
    }
    if (listed < count) {
        (void)printf("%s(%llu in all)", listed > 0 ? ", ... " : "", (unsigned long long)count);
    }
    (void)putchar('\n');
}

static void print_rights(const json_t *rights)
{
    static const char *const names[] = {"spawn", "compile", "configure", "stdio"};
    char memory[32];
    if (rights == NULL) {
        return;
    }
    print_key("rights");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (json_is_true(json_object_get(rights, names[i]))) {
            (void)printf("%s, ", names[i]);
        }
    }
    pd_remote_size_text(pd_remote_number(rights, "memory_max"), memory, sizeof memory);
    (void)printf("network %s, memory up to %s, fuel ", pd_remote_text(rights, "network"), memory);
    if (json_object_get(rights, "fuel_max") == NULL) {
        (void)printf("unlimited\n");
    } else {
        (void)printf("up to %llu portions\n",
                     (unsigned long long)pd_remote_number(rights, "fuel_max"));
    }
}

static void print_wasm(const json_t *info)
{
    const json_t *module = json_object_get(info, "module");
    char memory[32];
    if (module == NULL) {
        return;
    }
    print_key("module");
    (void)printf("%s ", pd_remote_text(module, "hash"));
    const char *file = pd_remote_text(module, "file");
    (void)pd_remote_print(stdout, file[0] == '\0' ? "(compiled by a guest)" : file, 1000);
    (void)putchar('\n');
    print_text("function", pd_remote_text(info, "function"));
    pd_remote_size_text(pd_remote_number(info, "memory"), memory, sizeof memory);
    print_text("memory", memory);
    print_number("fuel", info, "fuel");
}

static void print_info(const json_t *info)
{
    char state[64];
    char size[32];
    pd_remote_state_text(info, state, sizeof state);
    (void)printf("process %llu\n", (unsigned long long)pd_remote_number(info, "pid"));
    print_text("path", pd_remote_text(info, "path"));
    print_array("names", info, "names", "names_count");
    print_array("groups", info, "groups", "groups_count");
    print_text("kind", pd_remote_text(info, "kind"));
    print_text("state", state);
    print_text("call", pd_remote_text(info, "call"));
    print_wasm(info);
    pd_remote_size_text(pd_remote_number(info, "message_bytes"), size, sizeof size);
    print_key("mailbox");
    (void)printf("%llu messages, %s; %llu senders wait for room\n",
                 (unsigned long long)pd_remote_number(info, "messages"), size,
                 (unsigned long long)pd_remote_number(info, "senders_waiting"));
    print_key("traffic");
    (void)printf("%llu received, %llu sent, %llu unsent, %llu turns\n",
                 (unsigned long long)pd_remote_number(info, "received"),
                 (unsigned long long)pd_remote_number(info, "sent"),
                 (unsigned long long)pd_remote_number(info, "unsent"),
                 (unsigned long long)pd_remote_number(info, "turns"));
    print_key("age");
    uint64_t age_us = pd_remote_number(info, "age_us");
    (void)printf("%llu.%03llu s\n", (unsigned long long)(age_us / 1000000),
                 (unsigned long long)(age_us / 1000 % 1000));
    print_number("restarts", info, "restarts");
    print_number("parent", info, "parent");
    print_array("children", info, "children", "children_count");
    if (!json_is_true(json_object_get(info, "answered"))) {
        (void)printf("  It did not yield for 2 seconds: what only it knows is missing.\n");
        return;
    }
    print_array("linked to", info, "linked", "linked_count");
    print_array("monitors", info, "monitoring", "monitoring_count");
    print_array("monitored by", info, "monitored_by", "monitored_by_count");
    print_text("exits trapped", pd_remote_text(info, "exits_trapped"));
    print_rights(json_object_get(info, "rights"));
}

static int show(struct pd_remote *remote, const char *process, bool is_json)
{
    int result = pd_remote_send(remote, json_pack("{s:s,s:s}", "op", "info", "process", process));
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    json_t *answer = pd_remote_read(remote);
    const json_t *info = json_object_get(answer, "info");
    if (info == NULL) {
        json_decref(answer);
        return PD_EXIT_CODE_FAILED;
    }
    if (is_json) {
        (void)json_dumpf(info, stdout, JSON_INDENT(2));
        (void)putchar('\n');
    } else {
        print_info(info);
    }
    json_decref(answer);
    return PD_EXIT_CODE_OK;
}

static int run_info(int count, char **words)
{
    struct arguments arguments = {.output = PD_OUTPUT_TABLE};
    int result = PD_EXIT_CODE_OK;
    if (!pd_command_parse(&pd_command_info, &count, words, &arguments, &result)) {
        return result;
    }
    struct pd_remote remote;
    result = pd_remote_open(&remote, &arguments.remote);
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    result = show(&remote, words[0], arguments.output == PD_OUTPUT_JSON);
    pd_remote_close(&remote);
    return result;
}

static const struct pd_option options[] = {
    PD_OPTION_OUTPUT(struct arguments, output),
    PD_OPTION_PROGRAM(struct arguments, remote.program),
    {.name = NULL},
};

const struct pd_command pd_command_info = {
    .name = "info",
    .arguments = "PID|NAME",
    .summary = "tell everything about one process of a running program",
    .help = "State, mailbox, memory and fuel are read in passing; links, monitors and rights are\n"
            "answered by the process itself between two of its turns.\n",
    .options = options,
    .words_min = 1,
    .words_max = 1,
    .examples = "pando info 7\n"
                "pando info mapper-1\n",
    .run = run_info,
};
