/* pando trace PID|NAME: what one process of a running program does, for a while. */
#include <string.h>

#include "cli/command.h"
#include "cli/remote.h"
#include "node/control_request.h"

struct trace_options {
    struct pd_remote_options remote;
    uint64_t count;
    uint64_t seconds;
    uint32_t output;
};

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
        if (options->output != PD_OUTPUT_JSON && json_object_get(line, "tracing") != NULL) {
            (void)fprintf(
                stderr, "pando: tracing process %llu\n",
                (unsigned long long)pd_remote_number(json_object_get(line, "tracing"), "pid"));
        }
        has_more = show_line(line, options->output == PD_OUTPUT_JSON);
        json_decref(line);
    }
    return result;
}

static int run_trace(int count, char **arguments)
{
    struct trace_options options = {.count = 1000, .seconds = 10};
    int result = PD_EXIT_CODE_OK;
    if (!pd_command_parse(&pd_command_trace, &count, arguments, &options, &result)) {
        return result;
    }
    options.remote.process = arguments[0];
    struct pd_remote remote;
    result = pd_remote_open(&remote, &options.remote);
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    result = trace(&remote, &options);
    pd_remote_close(&remote);
    return result;
}

static const struct pd_option trace_options[] = {
    {.name = "--count",
     .kind = PD_OPTION_NUMBER,
     .value = "N",
     .text = "end after N events (default: 1000)",
     .offset = offsetof(struct trace_options, count),
     .least = 1,
     .most = PD_CONTROL_TRACE_COUNT_MAX},
    {.name = "--seconds",
     .kind = PD_OPTION_SECONDS,
     .value = "S",
     .text = "end after S seconds (default: 10)",
     .offset = offsetof(struct trace_options, seconds),
     .least = 1,
     .most = PD_CONTROL_TRACE_SECONDS_MAX},
    PD_OPTION_OUTPUT(struct trace_options, output),
    PD_OPTION_PROGRAM(struct trace_options, remote.program),
    {.name = NULL},
};

const struct pd_command pd_command_trace = {
    .name = "trace",
    .arguments = "PID|NAME",
    .summary = "show what one process of a running program does, for a while",
    .help =
        "Events: messages sent and received with tag and size, notices of deaths, spawns, links,\n"
        "monitors, host calls by name, a supervisor's restarts, and the end. The process is "
        "slowed\n"
        "a little while it is traced. As JSON each event is an object of its own line.\n",
    .options = trace_options,
    .words_min = 1,
    .words_max = 1,
    .examples = "pando trace mapper-1\n"
                "pando trace --count 100000 --seconds 60 -o json 7\n",
    .run = run_trace,
};
