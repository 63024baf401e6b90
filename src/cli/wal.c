/* pando wal inspect|verify DIR: read a node's log without changing it. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "host/disk.h"
#include "wal/wal.h"

#define NO_GROUP UINT64_MAX

struct arguments {
    const char *folder;
    bool is_inspect;
    uint32_t output;
    uint64_t group;
};

static const char *type_text(enum pd_wal_record_type type)
{
    switch (type) {
    case PD_WAL_ENTRY:
        return "entry";
    case PD_WAL_HARD_STATE:
        return "hard-state";
    case PD_WAL_SNAPSHOT:
        return "snapshot";
    case PD_WAL_FIRST:
        return "first";
    }
    return "?";
}

static enum pd_status print_record(void *state, const struct pd_wal_record *record)
{
    const struct arguments *arguments = state;
    if (arguments->group != NO_GROUP && record->group_id != arguments->group) {
        return PD_OK;
    }
    if (arguments->output != PD_OUTPUT_JSON) {
        (void)printf("%-10s %6" PRIu32 " %12" PRIu64 " %8" PRIu64 " %016" PRIx64 " %9zu\n",
                     type_text(record->type), record->group_id, record->index, record->term,
                     record->node, record->payload.size);
        return PD_OK;
    }
    (void)printf("{\"type\":\"%s\",\"group\":%" PRIu32 ",\"index\":%" PRIu64 ",\"term\":%" PRIu64
                 ",\"vote\":\"%016" PRIx64 "\",\"bytes\":%zu}\n",
                 type_text(record->type), record->group_id, record->index, record->term,
                 record->node, record->payload.size);
    return PD_OK;
}

static int open_failed(const char *folder, enum pd_status status)
{
    if (status == PD_ERR_EXISTS) {
        return pd_command_failed(
            "'%s' is in use by a running node; stop it first, or copy the folder", folder);
    }
    if (status == PD_ERR_UNKNOWN) {
        return pd_command_failed("'%s' does not exist", folder);
    }
    return pd_command_failed("cannot open '%s': %s", folder, strerror(errno));
}

/* A node's folder is what is tried first. */
static int no_log(const char *folder)
{
    char log[PATH_MAX];
    int size = snprintf(log, sizeof log, "%s/log", folder);
    return (size_t)size < sizeof log && access(log, F_OK) == 0
               ? pd_command_failed("'%s' holds no log, but its folder '%s' may: name that", folder,
                                   log)
               : pd_command_failed("'%s' holds no log: no file is named log-*", folder);
}

static void print_report(const struct arguments *arguments, const struct pd_wal_report *report,
                         enum pd_status status)
{
    if (arguments->output == PD_OUTPUT_JSON) {
        (void)printf("{\"sound\":%s,\"identity\":\"%016" PRIx64 "\",\"segments\":%" PRIu64
                     ",\"batches\":%" PRIu64 ",\"records\":%" PRIu64 ",\"torn_bytes\":%" PRIu64
                     "}\n",
                     status == PD_OK ? "true" : "false", report->identity, report->segments,
                     report->batches, report->records, report->torn_bytes);
    } else if (status == PD_OK) {
        (void)printf("sound: %" PRIu64 " records in %" PRIu64 " batches in %" PRIu64 " segments\n",
                     report->records, report->batches, report->segments);
        if (report->text[0] != '\0') {
            (void)printf("note: %s\n", report->text);
        }
    }
}

static int read_log(struct arguments *arguments)
{
    bool is_inspect = arguments->is_inspect;
    struct pd_disk *disk = NULL;
    struct pd_wal_report report;
    enum pd_status status = pd_host_disk_open(arguments->folder, false, &disk);
    if (status != PD_OK) {
        return open_failed(arguments->folder, status);
    }
    if (is_inspect && arguments->output != PD_OUTPUT_JSON) {
        (void)printf("%-10s %6s %12s %8s %16s %9s\n", "TYPE", "GROUP", "INDEX", "TERM", "VOTE",
                     "BYTES");
    }
    status = pd_wal_verify(disk, is_inspect ? print_record : NULL, arguments, &report);
    disk->ops->close_disk(disk);
    if (status == PD_OK && report.segments == 0) {
        return no_log(arguments->folder);
    }
    if (!is_inspect) {
        print_report(arguments, &report, status);
    }
    if (status != PD_OK) {
        return pd_command_failed("%s: %s", arguments->folder,
                                 report.text[0] != '\0' ? report.text : pd_status_text(status));
    }
    return PD_EXIT_CODE_OK;
}

static const struct pd_command command_inspect;
static const struct pd_command command_verify;

static int run(const struct pd_command *command, int count, char **words, bool is_inspect)
{
    struct arguments arguments = {.is_inspect = is_inspect, .group = NO_GROUP};
    int code = PD_EXIT_CODE_OK;
    if (!pd_command_parse(command, &count, words, &arguments, &code)) {
        return code;
    }
    arguments.folder = words[0];
    return read_log(&arguments);
}

static int run_inspect(int count, char **words)
{
    return run(&command_inspect, count, words, true);
}

static int run_verify(int count, char **words)
{
    return run(&command_verify, count, words, false);
}

static const struct pd_option inspect_options[] = {
    {.name = "--group",
     .kind = PD_OPTION_NUMBER,
     .value = "N",
     .text = "only this group's records",
     .offset = offsetof(struct arguments, group),
     .most = UINT32_MAX},
    PD_OPTION_OUTPUT(struct arguments, output),
    {.name = NULL},
};

static const struct pd_option verify_options[] = {
    PD_OPTION_OUTPUT(struct arguments, output),
    {.name = NULL},
};

static const struct pd_command command_inspect = {
    .name = "wal inspect",
    .arguments = "DIR",
    .summary = "print every record of a log: type, group, index, term, vote, bytes",
    .options = inspect_options,
    .words_min = 1,
    .words_max = 1,
    .examples = "pando wal inspect -o json data/log | tail -n 5\n",
    .run = run_inspect,
};

static const struct pd_command command_verify = {
    .name = "wal verify",
    .arguments = "DIR",
    .summary = "check every checksum and the chain; exit code 1 when the log is damaged",
    .options = verify_options,
    .words_min = 1,
    .words_max = 1,
    .examples = "pando wal verify data/log\n",
    .run = run_verify,
};

static const struct pd_command *const children[] = {&command_inspect, &command_verify, NULL};

const struct pd_command pd_command_wal = {
    .name = "wal",
    .arguments = "",
    .summary = "read a node's log: its records, or whether it is sound",
    .help = "The log is only read. The node must not be running.\n",
    .children = children,
};
