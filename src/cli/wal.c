/* pando wal inspect|verify DIR: read a node's log without changing it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/options.h"
#include "host/disk.h"
#include "wal/wal.h"

struct arguments {
    const char *verb;
    bool is_inspect;
    const char *folder;
    bool is_json;
    bool has_group;
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
    if (arguments->has_group && record->group_id != arguments->group) {
        return PD_OK;
    }
    if (!arguments->is_json) {
        (void)printf("%-10s %6" PRIu32 " %12" PRIu64 " %8" PRIu64 " %6" PRIu64 " %9zu\n",
                     type_text(record->type), record->group_id, record->index, record->term,
                     record->node, record->payload.size);
        return PD_OK;
    }
    (void)printf("{\"type\":\"%s\",\"group\":%" PRIu32 ",\"index\":%" PRIu64 ",\"term\":%" PRIu64
                 ",\"vote\":%" PRIu64 ",\"bytes\":%zu}\n",
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

static void print_report(const struct arguments *arguments, const struct pd_wal_report *report,
                         enum pd_status status)
{
    if (arguments->is_json) {
        (void)printf("{\"sound\":%s,\"identity\":%" PRIu64 ",\"segments\":%" PRIu64
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
    if (is_inspect && !arguments->is_json) {
        (void)printf("%-10s %6s %12s %8s %6s %9s\n", "TYPE", "GROUP", "INDEX", "TERM", "VOTE",
                     "BYTES");
    }
    status = pd_wal_verify(disk, is_inspect ? print_record : NULL, arguments, &report);
    disk->ops->close_disk(disk);
    if (status == PD_OK && report.segments == 0) {
        return pd_command_failed("'%s' holds no log: no file is named log-*", arguments->folder);
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

/* PD_EXIT_CODE_OK, or that of the message that was printed. */
static int parse(int count, char **words, struct arguments *arguments)
{
    struct pd_option_cursor cursor = {.count = count, .arguments = words};
    while (cursor.at < count) {
        const char *value = NULL;
        if (pd_option_value(&cursor, "--output", &value) ||
            pd_option_value(&cursor, "-o", &value)) {
            if (value == NULL || (strcmp(value, "json") != 0 && strcmp(value, "table") != 0)) {
                return pd_command_usage(&pd_command_wal, "-o takes table or json");
            }
            arguments->is_json = strcmp(value, "json") == 0;
        } else if (pd_option_value(&cursor, "--group", &value)) {
            arguments->has_group = true;
            if (value == NULL || !pd_option_number(value, &arguments->group)) {
                return pd_command_usage(&pd_command_wal, "--group takes a number");
            }
        } else if (words[cursor.at][0] == '-') {
            return pd_command_usage(&pd_command_wal, "no such option: '%s'", words[cursor.at]);
        } else if (arguments->verb == NULL) {
            arguments->verb = words[cursor.at++];
        } else if (arguments->folder == NULL) {
            arguments->folder = words[cursor.at++];
        } else {
            return pd_command_usage(&pd_command_wal, "one folder only, not also '%s'",
                                    words[cursor.at]);
        }
    }
    if (arguments->verb == NULL ||
        (strcmp(arguments->verb, "inspect") != 0 && strcmp(arguments->verb, "verify") != 0)) {
        return pd_command_usage(&pd_command_wal, "inspect or verify?");
    }
    arguments->is_inspect = strcmp(arguments->verb, "inspect") == 0;
    return arguments->folder != NULL ? PD_EXIT_CODE_OK
                                     : pd_command_usage(&pd_command_wal, "which folder?");
}

static int run_wal(int count, char **words)
{
    struct arguments arguments = {.verb = NULL};
    if (count == 1 && strcmp(words[0], "--help") == 0) {
        pd_command_help(&pd_command_wal);
        return PD_EXIT_CODE_OK;
    }
    int result = parse(count, words, &arguments);
    return result == PD_EXIT_CODE_OK ? read_log(&arguments) : result;
}

const struct pd_command pd_command_wal = {
    .name = "wal",
    .arguments = "inspect|verify [-o table|json] [--group N] DIR",
    .summary = "read a node's log: its records, or whether it is sound",
    .help = "The log is only read. The node must not be running.\n"
            "\n"
            "  inspect     print every record: type, group, index, term, vote, bytes\n"
            "  verify      check every checksum and the chain; exit 1 when the log is damaged\n"
            "  -o FORMAT   table (default) or json, one object a line\n"
            "  --group N   inspect: only this group's records\n"
            "\n"
            "Examples:\n"
            "  pando wal verify data/log\n"
            "  pando wal inspect -o json data/log | tail -n 5\n",
    .run = run_wal,
};
