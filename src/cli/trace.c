/* pando trace PID|NAME: what one process of a running program does, for a while. */
#include <string.h>

#include "cli/command.h"
#include "cli/remote.h"
#include "node/control_request.h"

struct trace_options {
    struct pd_remote_options remote;
    uint64_t count;
    uint64_t seconds;
    bool is_json;
};

static int parse_number(const char *option, const char *value, uint64_t max, uint64_t *number_out)
{
    if (value == NULL || !pd_option_number(value, number_out) || *number_out == 0 ||
        *number_out > max) {
        return pd_command_usage(&pd_command_trace, "%s wants a number from 1 to %llu", option,
                                (unsigned long long)max);
    }
    return PD_EXIT_CODE_OK;
}

static int parse(int count, char **arguments, struct trace_options *options)
{
    struct pd_option_cursor cursor = {.count = count, .arguments = arguments};
    while (cursor.at < count) {
        int result = PD_EXIT_CODE_OK;
        const char *value = NULL;
        if (pd_option_value(&cursor, "--count", &value)) {
            result = parse_number("--count", value, PD_CONTROL_TRACE_COUNT_MAX, &options->count);
        } else if (pd_option_value(&cursor, "--seconds", &value)) {
            result =
                parse_number("--seconds", value, PD_CONTROL_TRACE_SECONDS_MAX, &options->seconds);
        } else if (pd_option_value(&cursor, "-o", &value)) {
            options->is_json = value != NULL && strcmp(value, "json") == 0;
            if (!options->is_json && (value == NULL || strcmp(value, "text") != 0)) {
                return pd_command_usage(&pd_command_trace, "-o wants text or json");
            }
        } else if (!pd_remote_option(&pd_command_trace, &cursor, &options->remote, &result)) {
            result = pd_remote_take_process(&pd_command_trace, &cursor, &options->remote);
        }
        if (result != PD_EXIT_CODE_OK) {
            return result;
        }
    }
    return options->remote.process != NULL ? PD_EXIT_CODE_OK
                                           : pd_command_usage(&pd_command_trace, "which process?");
}

static void print_peer(const json_t *event, const char *before)
{
    uint64_t pid = pd_remote_number(event, "pid");
    if (pid != 0) {
        (void)printf("%s%llu", before, (unsigned long long)pid);
    }
}

static void print_event(const json_t *event)
{
    const char *kind = pd_remote_text(event, "event");
    uint64_t at_us = pd_remote_number(event, "at_us");
    (void)printf("%6llu.%06llu  %-11s", (unsigned long long)(at_us / 1000000),
                 (unsigned long long)(at_us % 1000000), kind);
    if (json_object_get(event, "call") != NULL) {
        (void)printf(" %s", pd_remote_text(event, "call"));
    }
    print_peer(event, strcmp(kind, "sent") == 0       ? " to "
                      : strcmp(kind, "received") == 0 ? " from "
                                                      : " ");
    if (json_object_get(event, "size") != NULL) {
        (void)printf(" tag %llu, %llu bytes", (unsigned long long)pd_remote_number(event, "tag"),
                     (unsigned long long)pd_remote_number(event, "size"));
    }
    if (json_object_get(event, "time") != NULL) {
        (void)printf(" for the %llu. time", (unsigned long long)pd_remote_number(event, "time"));
    }
    if (json_object_get(event, "reason") != NULL) {
        (void)printf(" (%s)", pd_remote_text(event, "reason"));
    }
    (void)putchar('\n');
}

/* One line of the answer. True: there is more. */
static bool show_line(const json_t *line, bool is_json)
{
    const json_t *end = json_object_get(line, "end");
    const json_t *event = json_object_get(line, "event");
    if (is_json) {
        (void)json_dumpf(line, stdout, JSON_COMPACT);
        (void)putchar('\n');
    } else if (event != NULL) {
        print_event(event);
    } else if (end != NULL) {
        (void)fprintf(stderr, "pando: %s: %llu events", pd_remote_text(end, "why"),
                      (unsigned long long)pd_remote_number(end, "count"));
        if (pd_remote_number(end, "lost") > 0) {
            (void)fprintf(stderr, ", %llu more were too quick to be shown",
                          (unsigned long long)pd_remote_number(end, "lost"));
        }
        (void)fputc('\n', stderr);
    }
    (void)fflush(stdout);
    return end == NULL && ferror(stdout) == 0;
}

static int trace(struct pd_remote *remote, const struct trace_options *options)
{
    json_t *request =
        json_pack("{s:s,s:s,s:I,s:I}", "op", "trace", "process", options->remote.process, "count",
                  (json_int_t)options->count, "seconds", (json_int_t)options->seconds);
    int result = pd_remote_send(remote, request);
    bool has_more = result == PD_EXIT_CODE_OK;
    while (has_more) {
        json_t *line = pd_remote_read(remote);
        if (line == NULL) {
            return PD_EXIT_CODE_FAILED;
        }
        if (!options->is_json && json_object_get(line, "tracing") != NULL) {
            (void)fprintf(
                stderr, "pando: tracing process %llu\n",
                (unsigned long long)pd_remote_number(json_object_get(line, "tracing"), "pid"));
        }
        has_more = show_line(line, options->is_json);
        json_decref(line);
    }
    return result;
}

static int run_trace(int count, char **arguments)
{
    struct trace_options options = {.count = 1000, .seconds = 10};
    int result = parse(count, arguments, &options);
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    struct pd_remote remote;
    result = pd_remote_open(&remote, &options.remote);
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    result = trace(&remote, &options);
    pd_remote_close(&remote);
    return result;
}

const struct pd_command pd_command_trace = {
    .name = "trace",
    .arguments = "[--count N] [--seconds S] [-o text|json] [--program OSPID] PID|NAME",
    .summary = "show what one process of a running program does, for a while",
    .help = "  --count N        end after N events (default 1000)\n"
            "  --seconds S      end after S seconds (default 10)\n"
            "  -o FORMAT        text (default) or json: one object a line\n"
            "  --program OSPID  which program, when several are running\n\n"
            "Events: messages sent and received with tag and size, notices of deaths, spawns, "
            "links, monitors, host\n"
            "calls by name, a supervisor's restarts, and the end. The process is slowed a little "
            "while it is traced.\n\n"
            "Examples:\n"
            "  pando trace mapper-1\n"
            "  pando trace --count 100000 --seconds 60 -o json 7\n",
    .run = run_trace,
};
