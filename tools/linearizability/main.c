/* linearizability FILE... - judges recorded histories of one register, in the form of Jepsen's
 * logs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "sim/linearizability.h"

#define LINE_MAX_SIZE 4096
#define PROCESSES_MAX 65536

static const char usage[] =
    "Usage: linearizability FILE...\n"
    "\n"
    "Judges each recorded history of one register and prints\n"
    "  FILE linearizable|not-linearizable|unknown\n"
    "\n"
    "A line of a history is: anything, ' - ', process, phase, operation, value, separated by tabs "
    "or spaces:\n"
    "  INFO  jepsen.util - 3  :invoke  :cas  [1 2]\n"
    "Phases are :invoke, :ok, :fail (it had no effect; a :cas found another value) and :info (the "
    "outcome is\n"
    "unknown); operations are :read, :write and :cas; a value is a number, nil, or [expected "
    "new].\n"
    "The beginning up to ' - ' may be missing; lines of other loggers and of the fault injector "
    "are "
    "skipped.\n"
    "\n"
    "Exit status: 0 all were judged, 1 one was not linearizable, 2 one could not be read.\n";

struct history {
    struct pd_history_operation *operations;
    uint32_t count;
    uint32_t room;
    uint32_t open[PROCESSES_MAX]; /* number of the operation that is under way, plus 1 */
};

struct line {
    uint32_t process;
    enum {
        INVOKE,
        OK,
        FAIL,
        INFO
    } phase;
    enum pd_history_kind kind;
    bool has_value;
    uint64_t expected;
    uint64_t value;
};

/* The next word of the line, cut out; NULL at its end. */
static char *next_word(char **at)
{
    char *word = *at + strspn(*at, " \t\r\n");
    if (*word == '\0') {
        return NULL;
    }
    char *end = word + strcspn(word, " \t\r\n");
    *at = *end == '\0' ? end : end + 1;
    *end = '\0';
    return word;
}

static bool read_number(const char *text, uint64_t *value_out)
{
    if (strcmp(text, "nil") == 0) {
        *value_out = PD_HISTORY_NONE;
        return true;
    }
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    *value_out = (uint64_t)value;
    return errno == 0 && end != text && *end == '\0' && *value_out != PD_HISTORY_NONE;
}

/* What stands behind the operation: a number, nil, [expected new], or words such as :timed-out. */
static bool read_value(struct line *line, char *text)
{
    text += strspn(text, " \t\r\n");
    char *reason = strchr(text, ':'); /* a word such as :timed-out, alone or behind the value */
    line->has_value = *text != '\0' && reason != text && (reason == NULL || line->phase == OK);
    if (!line->has_value || line->phase == INFO) {
        return true;
    }
    if ((*text == '[') != (strchr(text, ']') != NULL)) {
        return false;
    }
    for (char *at = text; *at != '\0'; at++) {
        *at = *at == '[' || *at == ']' || *at == ',' ? ' ' : *at;
    }
    const char *first = next_word(&text);
    const char *second = next_word(&text);
    if (line->kind != PD_HISTORY_CAS) {
        return first != NULL && second == NULL && read_number(first, &line->value);
    }
    return first != NULL && second != NULL && next_word(&text) == NULL &&
           read_number(first, &line->expected) && read_number(second, &line->value);
}

static bool read_phase(struct line *line, const char *word)
{
    static const char *const phases[] = {":invoke", ":ok", ":fail", ":info"};
    for (unsigned i = 0; i < sizeof phases / sizeof *phases; i++) {
        if (word != NULL && strcmp(word, phases[i]) == 0) {
            line->phase = i;
            return true;
        }
    }
    return false;
}

static bool read_kind(struct line *line, const char *word)
{
    static const char *const kinds[] = {":read", ":write", ":cas"};
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (word != NULL && strcmp(word, kinds[i]) == 0) {
            line->kind = i == 0 ? PD_HISTORY_READ : i == 1 ? PD_HISTORY_WRITE : PD_HISTORY_CAS;
            return true;
        }
    }
    return false;
}

/* Where the event begins: behind "jepsen.util - " or another logger's name, or at the line's own
 * beginning. NULL: a log's line of another kind. */
static char *event_of(char *text)
{
    static const char *const levels[] = {"INFO", "WARN", "ERROR", "DEBUG", "TRACE", "FATAL"};
    char *dash = strstr(text, " - ");
    if (dash != NULL) {
        return dash + 3;
    }
    char *colon = strstr(text, "jepsen.util: ");
    if (colon != NULL) {
        return colon + strlen("jepsen.util: ");
    }
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strncmp(text, levels[i], strlen(levels[i])) == 0 &&
            strstr(text, "jepsen.util") == NULL) {
            return NULL;
        }
    }
    return text;
}

/* NULL: read, or a line of no concern (*is_event_out false). Else what is wrong with it. */
static const char *read_line(char *text, struct line *line, bool *is_event_out)
{
    *is_event_out = false;
    char *at = event_of(text);
    if (at == NULL) {
        return NULL;
    }
    bool is_util = at == text || strstr(text, "jepsen.util") != NULL;
    const char *process = next_word(&at);
    if (process == NULL) {
        return is_util && at != text && strstr(text, "jepsen") != NULL ? "the line is cut" : NULL;
    }
    if (*process == ':' || !is_util) {
        return NULL; /* the fault injector's, or what another part of the program had to say */
    }
    char *end = NULL;
    unsigned long number = strtoul(process, &end, 10);
    if (end == process || *end != '\0' || *process == '-') {
        return "the process is no number";
    }
    if (!read_phase(line, next_word(&at))) {
        return "the phase is none of :invoke, :ok, :fail, :info";
    }
    if (!read_kind(line, next_word(&at))) {
        return "the operation is none of :read, :write, :cas";
    }
    if (number >= PROCESSES_MAX) {
        return "the process is above 65535";
    }
    line->process = (uint32_t)number;
    *is_event_out = true;
    return read_value(line, at) ? NULL : "the value is no number, nil or [expected new]";
}

static const char *invoke(struct history *history, const struct line *line, uint64_t time)
{
    if (history->open[line->process] != 0) {
        return "the process has an operation under way already";
    }
    if (!line->has_value && line->kind != PD_HISTORY_READ) {
        return "an invocation needs a value";
    }
    if (history->count == history->room) {
        uint32_t room = history->room == 0 ? 256 : history->room * 2;
        void *operations =
            pd_realloc(history->operations, room * sizeof(struct pd_history_operation));
        if (operations == NULL) {
            return "no memory is left";
        }
        history->operations = operations;
        history->room = room;
    }
    history->operations[history->count] =
        (struct pd_history_operation){.invoke_time = time,
                                      .finish_time = PD_HISTORY_NEVER,
                                      .kind = line->kind,
                                      .process = line->process,
                                      .value = line->value,
                                      .expected = line->expected};
    history->open[line->process] = ++history->count;
    return NULL;
}

static const char *finish(struct history *history, const struct line *line, uint64_t time)
{
    uint32_t number = history->open[line->process];
    if (number == 0) {
        return "the process has no operation under way";
    }
    struct pd_history_operation *operation = &history->operations[number - 1];
    if (operation->kind != line->kind) {
        return "the process has another operation under way";
    }
    history->open[line->process] = 0;
    if (line->phase == INFO) {
        return NULL;
    }
    if (line->phase == OK) {
        if (line->kind == PD_HISTORY_READ && !line->has_value) {
            return "a read that is :ok needs a value";
        }
        operation->finish_time = time;
        operation->observed = line->value;
        operation->succeeded = true;
        return NULL;
    }
    if (line->kind == PD_HISTORY_CAS && line->has_value) {
        operation->finish_time = time;
        operation->succeeded = false;
        return NULL;
    }
    /* It had no effect, which says as little as a read that never returned. */
    operation->kind = PD_HISTORY_READ;
    return NULL;
}

/* False, after a message, when the file cannot be read as a history. */
static bool read_history(const char *path, struct history *history)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        fprintf(stderr, "linearizability: cannot open '%s': %s\n", path, strerror(errno));
        return false;
    }
    static char text[LINE_MAX_SIZE];
    const char *wrong = NULL;
    uint64_t number = 0;
    while (wrong == NULL && fgets(text, sizeof text, file) != NULL) {
        number++;
        struct line line = {0};
        bool is_event = false;
        wrong = strchr(text, '\n') == NULL && !feof(file) ? "the line is longer than 4095 bytes"
                                                          : read_line(text, &line, &is_event);
        if (wrong == NULL && is_event) {
            wrong = line.phase == INVOKE ? invoke(history, &line, number)
                                         : finish(history, &line, number);
        }
    }
    if (wrong == NULL && ferror(file)) {
        wrong = "the file cannot be read to its end";
    }
    fclose(file);
    if (wrong != NULL) {
        fprintf(stderr, "linearizability: %s:%" PRIu64 ": %s\n", path, number, wrong);
    }
    return wrong == NULL;
}

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    static struct history history;
    const struct pd_history_limits limits = pd_history_limits_default();
    int status = 0;
    for (int i = 1; i < argc; i++) {
        memset(&history, 0, sizeof history);
        struct pd_history_report report = {.verdict = PD_HISTORY_UNKNOWN};
        if (!read_history(argv[i], &history)) {
            status = 2;
        } else if (pd_linearizability_check(history.operations, history.count, PD_HISTORY_NONE,
                                            &limits, &report) != PD_OK) {
            fprintf(stderr, "linearizability: %s: no memory is left\n", argv[i]);
            report.verdict = PD_HISTORY_UNKNOWN;
            status = 2;
        } else if (report.verdict == PD_HISTORY_NOT_LINEARIZABLE && status == 0) {
            status = 1;
        }
        pd_free(history.operations);
        printf("%s %s\n", argv[i], pd_history_verdict_text(report.verdict));
    }
    return status;
}
