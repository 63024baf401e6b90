/* The subject "node": `pando start` and clients of its socket.
 *
 * Registers  Each start gets a few of its own. What was asked and answered is judged for
 *            linearizability, the reads after a cut among it: an acknowledged write that is gone,
 *            or an older value that is back, cannot be put in order. A register that nobody can
 *            write to any more must hold forever what was read then.
 * Revision   Of the store, in every answer, and the term never go back. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "kv/answer.h"
#include "kv/command.h"
#include "sim/linearizability.h"
#include "sim/queue.h"
#include "store-load/wire.h"
#include "subject.h"

#define CLIENTS 6u
#define REGISTERS 3u /* of a start */
#define VALUE_MAX (400u << 10)
#define BODY_MAX (VALUE_MAX + 1024u)
#define OPERATIONS_MAX 200u /* of a start */
#define ANSWER_MS 60000     /* then the node hangs */

struct operation {
    struct pd_history_operation history;
    int64_t revision; /* of the store, in the answer */
};

struct node_register {
    uint64_t number;
    struct operation *operations;
    size_t count;
    size_t capacity;
    uint64_t images; /* when it was last written to */
    bool is_settled;
    uint64_t value; /* then */
};

/* The node's state was at least this at a time. */
struct progress {
    uint64_t time_ns;
    uint64_t revision;
    uint64_t term;
};

struct node {
    struct node_register *registers;
    size_t count;
    size_t capacity;
    struct progress base; /* when the folder was an image */
    struct progress *progress;
    size_t progress_count;
    size_t progress_capacity;
    uint64_t images;
    uint64_t values; /* given so far */
};

enum asked {
    ASKED_NOTHING = 0,
    ASKED_READ,
    ASKED_WRITE,
    ASKED_STATUS
};

struct client {
    struct wire wire;
    enum asked asked;
    size_t number;    /* of the register */
    size_t operation; /* of the register's */
    uint64_t correlation;
};

/* One start of the node. */
struct visit {
    struct node *node;
    struct pd_power_run *run;
    struct client clients[CLIENTS];
    uint64_t correlation;
    char socket[96];
};

static void *open_node(struct pd_random *random)
{
    (void)random;
    return pd_sim_alloc(sizeof(struct node));
}

static void close_node(void *state)
{
    struct node *node = state;
    for (size_t i = 0; i < node->count; i++) {
        pd_free(node->registers[i].operations);
    }
    pd_free(node->registers);
    pd_free(node->progress);
    pd_free(node);
}

static bool refuse(struct visit *visit, const char *what)
{
    if (visit->run->why[0] == '\0') {
        snprintf(visit->run->why, sizeof visit->run->why, "%s", what);
    }
    return false;
}

/* -- What was promised ------------------------------------------------------------------------- */

static struct progress progress_at(const struct node *node, uint64_t time_ns)
{
    struct progress most = node->base;
    for (size_t i = 0; i < node->progress_count; i++) {
        const struct progress *one = &node->progress[i];
        if (one->time_ns < time_ns) {
            most.revision = most.revision > one->revision ? most.revision : one->revision;
            most.term = most.term > one->term ? most.term : one->term;
        }
    }
    return most;
}

static void note(struct node *node, uint64_t revision, uint64_t term)
{
    node->progress = pd_sim_grow(node->progress, &node->progress_capacity, node->progress_count + 1,
                                 sizeof node->progress[0]);
    node->progress[node->progress_count++] = (struct progress){pd_power_now_ns(), revision, term};
}

/* What was asked for later never was, and what was answered later is not known. */
static void cut_node(void *state, uint64_t time_ns)
{
    struct node *node = state;
    node->base = progress_at(node, time_ns);
    node->progress_count = 0;
    node->images++;
    for (size_t i = 0; i < node->count; i++) {
        struct node_register *one = &node->registers[i];
        size_t kept = 0;
        for (size_t n = 0; n < one->count; n++) {
            struct operation operation = one->operations[n];
            struct pd_history_operation *history = &operation.history;
            if (history->finish_time >= time_ns) {
                history->finish_time = PD_HISTORY_NEVER;
                history->revision = 0;
            }
            bool is_idle =
                history->kind == PD_HISTORY_READ && history->finish_time == PD_HISTORY_NEVER;
            if (history->invoke_time <= time_ns && !is_idle) {
                one->operations[kept++] = operation;
            }
        }
        one->count = kept;
    }
}

/* -- Asking ------------------------------------------------------------------------------------ */

static struct pd_span key_of(const struct node_register *one, char room[32])
{
    int size = snprintf(room, 32, "r%" PRIu64, one->number);
    return (struct pd_span){(const uint8_t *)room, (size_t)size};
}

/* Many are small; the others fill segments of the log, so that it goes on to new ones. */
static size_t value_size(struct pd_random *random)
{
    return pd_random_below(random, 2) == 0 ? 24 + (size_t)pd_random_below(random, VALUE_MAX - 24)
                                           : 24 + (size_t)pd_random_below(random, 200);
}

static void send_request(struct visit *visit, struct client *client,
                         enum pd_replica_request_kind kind, struct pd_span body)
{
    client->correlation = ++visit->correlation;
    wire_send(&client->wire, client->correlation,
              &(struct pd_replica_request_head){.kind = kind, .body = body});
}

static void ask(struct visit *visit, struct client *client, size_t number, bool is_write)
{
    static uint8_t body[BODY_MAX];
    static char value[VALUE_MAX + 1];
    struct node_register *one = &visit->node->registers[number];
    struct pd_kv_writer writer = {.bytes = body, .bytes_max = sizeof body};
    char room[32];
    struct operation operation = {
        .history = {.process = (uint64_t)(client - visit->clients),
                    .finish_time = PD_HISTORY_NEVER,
                    .kind = is_write ? PD_HISTORY_WRITE : PD_HISTORY_READ}};
    if (is_write) {
        operation.history.value = ++visit->node->values;
        size_t size = value_size(visit->run->random);
        int digits = snprintf(value, sizeof value, "%" PRIu64, operation.history.value);
        memset(value + digits, '.', size - (size_t)digits);
        pd_kv_encode_put(&writer, &(struct pd_kv_put){.key = key_of(one, room),
                                                      .value = {(const uint8_t *)value, size}});
        one->images = visit->node->images;
    } else {
        pd_kv_encode_range(&writer, &(struct pd_kv_range){.key = key_of(one, room)});
    }
    one->operations =
        pd_sim_grow(one->operations, &one->capacity, one->count + 1, sizeof one->operations[0]);
    operation.history.invoke_time = pd_power_now_ns();
    client->asked = is_write ? ASKED_WRITE : ASKED_READ;
    client->number = number;
    client->operation = one->count;
    one->operations[one->count++] = operation;
    send_request(visit, client, is_write ? PD_REPLICA_REQUEST_WRITE : PD_REPLICA_REQUEST_READ,
                 (struct pd_span){body, writer.size});
}

/* -- Answers ----------------------------------------------------------------------------------- */

static uint64_t number_of(struct pd_span value)
{
    uint64_t number = 0;
    for (size_t i = 0; i < value.size && value.bytes[i] >= '0' && value.bytes[i] <= '9'; i++) {
        number = number * 10 + (uint64_t)(value.bytes[i] - '0');
    }
    return number;
}

/* The term in a status, which is JSON for people. */
static uint64_t term_of(struct pd_span text)
{
    static const char name[] = "\"term\":";
    const uint8_t *at = memmem(text.bytes, text.size, name, sizeof name - 1);
    if (at == NULL) {
        return 0;
    }
    at += sizeof name - 1;
    return number_of((struct pd_span){at, text.size - (size_t)(at - text.bytes)});
}

static bool is_refused(enum pd_replica_outcome outcome)
{
    return outcome == PD_REPLICA_NOT_READY || outcome == PD_REPLICA_BUSY ||
           outcome == PD_REPLICA_DROPPED || outcome == PD_REPLICA_NOT_LEADER;
}

static bool take_value(struct visit *visit, struct client *client, struct pd_span body)
{
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    struct pd_kv_record found;
    struct operation *operation =
        &visit->node->registers[client->number].operations[client->operation];
    pd_kv_reader_init(&reader, body);
    pd_kv_answer_head(&reader, &head);
    if (reader.is_bad || head.error != PD_KV_OK) {
        return refuse(visit, "the node refuses a request");
    }
    operation->history.finish_time = pd_power_now_ns();
    operation->revision = head.revision;
    if (client->asked == ASKED_WRITE) {
        operation->history.revision = (uint64_t)head.revision;
    } else if (pd_kv_answer_record(&reader, &found)) {
        operation->history.observed = number_of(found.value);
        operation->history.revision = (uint64_t)found.mod_revision;
    } else {
        operation->history.observed = PD_HISTORY_NONE;
    }
    note(visit->node, (uint64_t)head.revision, 0);
    return true;
}

static bool take_answer(struct visit *visit, struct client *client, struct pd_span bytes)
{
    struct pd_replica_answer_head answer;
    if (pd_replica_answer_decode(bytes, &answer) != PD_OK) {
        return refuse(visit, "an answer cannot be read");
    }
    enum asked asked = client->asked;
    if (asked == ASKED_STATUS) {
        uint64_t term = term_of(answer.body);
        if (term <= progress_at(visit->node, UINT64_MAX).term) {
            return refuse(visit, "the term does not go on");
        }
        note(visit->node, 0, term);
    } else if (answer.outcome == PD_REPLICA_OK) {
        if (!take_value(visit, client, answer.body)) {
            return false;
        }
    } else if (is_refused(answer.outcome)) {
        /* It never was: as a read it is idle, as a write it would be one more that may be. */
        visit->node->registers[client->number].operations[client->operation].history.kind =
            PD_HISTORY_READ;
    } else if (answer.outcome != PD_REPLICA_UNKNOWN) {
        return refuse(visit, pd_replica_outcome_text(answer.outcome));
    }
    client->asked = ASKED_NOTHING;
    return true;
}

/* Wait until something comes, and take all of it. */
static bool serve(struct visit *visit)
{
    struct pollfd polls[CLIENTS];
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct wire *wire = &visit->clients[i].wire;
        if (!wire_flush(wire)) {
            return refuse(visit, "the node ended by itself");
        }
        polls[i] = (struct pollfd){.fd = wire->descriptor,
                                   .events = (short)(POLLIN | (wire->out_size > 0 ? POLLOUT : 0))};
    }
    if (poll(polls, CLIENTS, ANSWER_MS) <= 0) {
        return refuse(visit, "the node does not answer any more");
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *client = &visit->clients[i];
        struct pd_span bytes;
        uint64_t correlation = 0;
        if ((polls[i].revents & ~POLLOUT) == 0) {
            continue;
        }
        if (!wire_fill(&client->wire)) {
            return refuse(visit, "the node ended by itself");
        }
        while (wire_next(&client->wire, &correlation, &bytes)) {
            if (correlation == client->correlation && !take_answer(visit, client, bytes)) {
                return false;
            }
        }
    }
    return true;
}

static struct client *idle(struct visit *visit)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        if (visit->clients[i].asked == ASKED_NOTHING) {
            return &visit->clients[i];
        }
    }
    return NULL;
}

static bool wait_for_all(struct visit *visit)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        while (visit->clients[i].asked != ASKED_NOTHING) {
            if (!serve(visit)) {
                return false;
            }
        }
    }
    return true;
}

/* -- Judging ----------------------------------------------------------------------------------- */

/* One end of an operation, for the record. */
struct end {
    uint64_t time_ns;
    const struct pd_history_operation *history;
    bool is_finish;
};

static int compare_ends(const void *left, const void *right)
{
    uint64_t first = ((const struct end *)left)->time_ns;
    uint64_t second = ((const struct end *)right)->time_ns;
    return (first > second) - (first < second);
}

static void write_end(FILE *file, const struct end *end, size_t process)
{
    bool is_write = end->history->kind == PD_HISTORY_WRITE;
    uint64_t value = is_write ? end->history->value : end->history->observed;
    fprintf(file, "%" PRIu64 " - %zu\t%s\t%s\t", end->time_ns, process,
            end->is_finish ? ":ok" : ":invoke", is_write ? ":write" : ":read");
    if (value == PD_HISTORY_NONE || (!is_write && !end->is_finish)) {
        fprintf(file, "nil\n");
    } else {
        fprintf(file, "%" PRIu64 "\n", value);
    }
}

/* The record of a register, for people and for build/bin/linearizability: a process for each
 * operation. */
static void write_history(const struct visit *visit, const struct node_register *one)
{
    char path[4096 + 64];
    struct end *ends = pd_sim_alloc(2 * one->count * sizeof *ends);
    size_t count = 0;
    snprintf(path, sizeof path, "%s/register-%" PRIu64 ".log", visit->run->work, one->number);
    for (size_t i = 0; i < one->count; i++) {
        const struct pd_history_operation *history = &one->operations[i].history;
        ends[count++] = (struct end){history->invoke_time, history, false};
        if (history->finish_time != PD_HISTORY_NEVER) {
            ends[count++] = (struct end){history->finish_time, history, true};
        }
    }
    qsort(ends, count, sizeof *ends, compare_ends);
    FILE *file = fopen(path, "w");
    for (size_t i = 0; file != NULL && i < count; i++) {
        size_t process = 0;
        while (&one->operations[process].history != ends[i].history) {
            process++;
        }
        write_end(file, &ends[i], process);
    }
    if (file != NULL) {
        fclose(file);
    }
    pd_free(ends);
}

static const struct operation *last_read(const struct node_register *one)
{
    const struct operation *last = &one->operations[one->count - 1];
    return last->history.kind == PD_HISTORY_READ && last->history.finish_time != PD_HISTORY_NEVER
               ? last
               : NULL;
}

static bool judge_history(struct visit *visit, struct node_register *one)
{
    struct pd_history_operation *list = pd_sim_alloc(one->count * sizeof *list);
    struct pd_history_limits limits = pd_history_limits_default();
    struct pd_history_report report;
    uint32_t count = 0;
    for (size_t i = 0; i < one->count; i++) {
        const struct pd_history_operation *history = &one->operations[i].history;
        if (history->kind != PD_HISTORY_READ || history->finish_time != PD_HISTORY_NEVER) {
            list[count++] = *history;
        }
    }
    enum pd_status status =
        pd_linearizability_check(list, count, PD_HISTORY_NONE, &limits, &report);
    pd_free(list);
    if (status != PD_OK || report.verdict != PD_HISTORY_LINEARIZABLE) {
        write_history(visit, one);
        snprintf(visit->run->why, sizeof visit->run->why,
                 "register %" PRIu64 ": what was read after the cut is %s with what was "
                 "acknowledged before",
                 one->number,
                 status == PD_OK ? pd_history_verdict_text(report.verdict)
                                 : pd_status_text(status));
        return false;
    }
    return true;
}

static bool judge(struct visit *visit, struct node_register *one)
{
    const struct operation *last = last_read(one);
    if (last == NULL) {
        return refuse(visit, "a read was not answered");
    }
    uint64_t value = last->history.observed;
    if (one->is_settled) {
        one->count = 0;
        if (value != one->value) {
            snprintf(visit->run->why, sizeof visit->run->why,
                     "register %" PRIu64 " held %" PRId64 " and holds %" PRId64, one->number,
                     (int64_t)one->value, (int64_t)value);
        }
        return value == one->value;
    }
    if (!judge_history(visit, one)) {
        return false;
    }
    if (one->images < visit->node->images) {
        one->is_settled = true;
        one->value = value;
        one->count = 0;
    }
    return true;
}

/* Read every register there ever was, and judge it. */
static bool verify(struct visit *visit)
{
    struct node *node = visit->node;
    struct progress before = progress_at(node, UINT64_MAX);
    visit->clients[0].asked = ASKED_STATUS;
    send_request(visit, &visit->clients[0], PD_REPLICA_REQUEST_STATUS, (struct pd_span){NULL, 0});
    for (size_t i = 0; i < node->count;) {
        struct client *client = idle(visit);
        if (client != NULL) {
            ask(visit, client, i++, false);
        } else if (!serve(visit)) {
            return false;
        }
    }
    if (!wait_for_all(visit)) {
        return false;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct operation *last = last_read(&node->registers[i]);
        if (last != NULL && (uint64_t)last->revision < before.revision) {
            snprintf(visit->run->why, sizeof visit->run->why,
                     "the store is at revision %" PRId64 " and was at %" PRIu64, last->revision,
                     before.revision);
            return false;
        }
        if (!judge(visit, &node->registers[i])) {
            return false;
        }
    }
    return true;
}

/* Registers of this start, written to until the node is killed in the midst of it. */
static bool load(struct visit *visit)
{
    struct node *node = visit->node;
    size_t first = node->count;
    node->registers = pd_sim_grow(node->registers, &node->capacity, node->count + REGISTERS,
                                  sizeof node->registers[0]);
    for (uint32_t i = 0; i < REGISTERS; i++) {
        node->registers[node->count] =
            (struct node_register){.number = node->count, .images = node->images};
        node->count++;
    }
    uint64_t operations = pd_random_below(visit->run->random, OPERATIONS_MAX);
    while (operations > 0) {
        struct client *client = idle(visit);
        if (client == NULL) {
            if (!serve(visit)) {
                return false;
            }
            continue;
        }
        operations--;
        ask(visit, client, first + (size_t)pd_random_below(visit->run->random, REGISTERS),
            pd_random_below(visit->run->random, 4) != 0);
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        if (!wire_flush(&visit->clients[i].wire)) {
            return refuse(visit, "the node ended by itself");
        }
    }
    return true;
}

/* -- Running ----------------------------------------------------------------------------------- */

/* The node says that it is ready. */
static bool is_ready(FILE *from)
{
    char line[1024];
    while (fgets(line, sizeof line, from) != NULL) {
        if (strncmp(line, "ready:", 6) == 0) {
            return true;
        }
    }
    return false;
}

static bool visit_node(struct visit *visit, FILE *from)
{
    if (!is_ready(from)) {
        char line[PD_POWER_WHY_MAX];
        snprintf(visit->run->why, sizeof visit->run->why, "the node does not start: %s",
                 pd_power_last_words(visit->run, line));
        return false;
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        /* A socket on this machine is reached at once, or not at all. */
        if (wire_connect(&visit->clients[i].wire, visit->socket) != WIRE_CONNECTED) {
            return refuse(visit, "the node's socket cannot be reached");
        }
    }
    return verify(visit) && load(visit);
}

static bool run_node(void *state, struct pd_power_run *run)
{
    struct visit *visit = pd_sim_alloc(sizeof *visit);
    int output = -1;
    visit->node = state;
    visit->run = run;
    snprintf(visit->socket, sizeof visit->socket, "%s/socket", run->work);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        wire_init(&visit->clients[i].wire);
    }
    char *words[] = {(char *)(uintptr_t)run->program,
                     (char[]){"start"},
                     (char[]){"--data"},
                     (char *)(uintptr_t)run->folder,
                     (char[]){"--socket"},
                     visit->socket,
                     (char[]){"--listen-client"},
                     (char[]){"off"},
                     (char[]){"--log-segment"},
                     (char[]){"16MiB"},
                     (char[]){"--store-lag"},
                     (char[]){"100"},
                     (char[]){"--disk-low"},
                     (char[]){"0B"},
                     NULL};
    pid_t process = pd_power_spawn(run, words, &output);
    FILE *from = process < 0 ? NULL : fdopen(output, "r");
    bool is_right = from != NULL && visit_node(visit, from);
    if (from == NULL) {
        refuse(visit, strerror(errno));
    }
    if (process >= 0) {
        pd_power_kill(process);
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        wire_free(&visit->clients[i].wire);
    }
    if (from != NULL) {
        fclose(from);
    }
    pd_free(visit);
    return is_right;
}

const struct pd_power_subject pd_power_node = {
    .name = "node", .open = open_node, .run = run_node, .cut = cut_node, .close = close_node};
