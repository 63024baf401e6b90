#include "store-load/load.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "store-load/client.h"

#define LATENCIES_MAX ((size_t)4 << 20)
#define POLL_MS 5
#define RECONNECT_US 5000u
#define CONNECT_US 500000u

static uint64_t clock_us(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_nsec / 1000u;
}

/* What one connection is about, and since when it has been gone. */
struct link {
    uint32_t socket;  /* its number */
    uint64_t gone_us; /* 0: it is there */
    uint64_t try_us;
    uint64_t begun_us; /* a connection is being made since then; 0: none */
};

static void open_records(struct load *load)
{
    const struct load_options *options = load->options;
    if (options->record == NULL) {
        return;
    }
    (void)mkdir(options->record, 0777);
    load->records = calloc(options->keys, sizeof(FILE *));
    for (uint32_t i = 0; load->records != NULL && i < options->keys; i++) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/%u.log", options->record, (unsigned)i);
        load->records[i] = fopen(path, "we");
        if (load->records[i] == NULL) {
            (void)fprintf(stderr, "store-load: cannot write '%s': %s\n", path, strerror(errno));
            exit(2);
        }
    }
}

static void prepare(struct load *load, const struct load_options *options,
                    struct load_result *result)
{
    load->options = options;
    load->result = result;
    pd_random_init(&load->random, options->seed, "load");
    load->clients = calloc(options->clients, sizeof *load->clients);
    load->wires = calloc(options->connections, sizeof *load->wires);
    load->seen = calloc(options->keys, sizeof *load->seen);
    load->latencies = calloc(LATENCIES_MAX, sizeof *load->latencies);
    load->body_size = 8 * ((size_t)options->value_bytes + KEY_MAX) + 4096;
    load->body = malloc(load->body_size);
    load->value_room = malloc(options->value_bytes + 1u);
    if (load->clients == NULL || load->wires == NULL || load->seen == NULL ||
        load->latencies == NULL || load->body == NULL || load->value_room == NULL) {
        (void)fprintf(stderr, "store-load: no memory\n");
        exit(2);
    }
    for (uint32_t i = 0; i < options->keys; i++) {
        load->seen[i] = NO_VALUE;
    }
    for (uint32_t i = 0; i < options->clients; i++) {
        load->clients[i].index = i;
        load->clients[i].process = i;
        load->clients[i].connection = i % options->connections;
    }
    for (uint32_t i = 0; i < options->connections; i++) {
        wire_init(&load->wires[i]);
    }
    open_records(load);
    if (options->acks != NULL) {
        load->acks = fopen(options->acks, "ae");
        if (load->acks == NULL) {
            (void)fprintf(stderr, "store-load: cannot write '%s': %s\n", options->acks,
                          strerror(errno));
            exit(2);
        }
    }
}

static void release(struct load *load)
{
    for (uint32_t i = 0; i < load->options->connections; i++) {
        wire_free(&load->wires[i]);
    }
    for (uint32_t i = 0; load->records != NULL && i < load->options->keys; i++) {
        (void)fclose(load->records[i]);
    }
    if (load->acks != NULL) {
        (void)fclose(load->acks);
    }
    for (size_t i = 0; i < load->check_count; i++) {
        free(load->checks[i].key);
        free(load->checks[i].value);
    }
    free(load->checks);
    free(load->records);
    free(load->clients);
    free(load->wires);
    free(load->seen);
    free(load->latencies);
    free(load->body);
    free(load->value_room);
}

/* -- Connections ------------------------------------------------------------------------------- */

static void lose(struct load *load, struct link *link, uint32_t connection)
{
    wire_close(&load->wires[connection]);
    link->gone_us = load->now_us;
    link->try_us = load->now_us;
    for (uint32_t i = 0; i < load->options->clients; i++) {
        if (load->clients[i].connection == connection) {
            client_lost(load, &load->clients[i]);
        }
    }
}

static bool is_tcp(const char *socket)
{
    return strncmp(socket, "tcp:", 4) == 0;
}

/* Of the same kind, so that those over a network stay there. */
static void take_next(const struct load_options *options, struct link *link)
{
    bool was_tcp = is_tcp(options->sockets[link->socket]);
    do {
        link->socket = (link->socket + 1) % options->socket_count;
    } while (is_tcp(options->sockets[link->socket]) != was_tcp);
}

static void reconnect(struct load *load, struct link *link, uint32_t connection)
{
    if (load->now_us < link->try_us) {
        return;
    }
    const struct load_options *options = load->options;
    enum wire_progress progress =
        wire_connect(&load->wires[connection], options->sockets[link->socket]);
    link->begun_us = link->begun_us == 0 ? load->now_us : link->begun_us;
    if (progress == WIRE_CONNECTING && load->now_us - link->begun_us < CONNECT_US) {
        return;
    }
    link->begun_us = 0;
    if (progress == WIRE_CONNECTED) {
        load->result->reconnects += link->gone_us != 0 ? 1 : 0;
        link->gone_us = 0;
        return;
    }
    wire_close(&load->wires[connection]);
    take_next(options, link);
    link->try_us = load->now_us + RECONNECT_US;
    link->gone_us = link->gone_us == 0 ? load->now_us : link->gone_us;
    if ((double)(load->now_us - link->gone_us) / 1e6 > load->options->wait_back) {
        load->result->error = "the node is gone and did not come back";
    }
}

/* As a client with a deadline does: what it asked stays open, and it goes to the next node. */
static void leave_silent(struct load *load, struct link *links)
{
    for (uint32_t i = 0; i < load->options->clients; i++) {
        const struct client *client = &load->clients[i];
        uint32_t connection = client->connection;
        if (load->options->silence > 0 && client->is_sent && load->wires[connection].is_tcp &&
            (double)(load->now_us - client->sent_us) / 1e6 > load->options->silence) {
            load->result->silent++;
            take_next(load->options, &links[connection]);
            lose(load, &links[connection], connection);
        }
    }
}

static void take_answers(struct load *load, struct link *link, uint32_t connection)
{
    struct wire *wire = &load->wires[connection];
    uint64_t correlation = 0;
    struct pd_span bytes;
    bool lives = wire_fill(wire);
    load->now_us = clock_us();
    while (wire_next(wire, &correlation, &bytes)) {
        uint64_t index = correlation & 0xffff;
        struct client *client = index < load->options->clients ? &load->clients[index] : NULL;
        if (client != NULL && client->is_sent && client->serial == correlation >> 16) {
            client_answer(load, client, bytes);
        }
    }
    if (!lives) {
        lose(load, link, connection);
    }
}

/* -- The loop ---------------------------------------------------------------------------------- */

static void drive_clients(struct load *load)
{
    for (uint32_t i = 0; i < load->options->clients; i++) {
        struct client *client = &load->clients[i];
        if (client->kind != OP_NONE &&
            (double)(load->now_us - client->since_us) / 1e6 > load->options->op_timeout) {
            load->result->error = "an operation was not answered in time";
            client_give_up(load, client);
            continue;
        }
        if (client->is_sent || client->wait_until_us > load->now_us ||
            load->wires[client->connection].descriptor < 0) {
            continue;
        }
        if (client->kind != OP_NONE || client_begin(load, client)) {
            client_send(load, client);
        }
    }
}

static bool is_idle(const struct load *load)
{
    for (uint32_t i = 0; i < load->options->clients; i++) {
        if (load->clients[i].kind != OP_NONE) {
            return false;
        }
    }
    return true;
}

static void move_on(struct load *load, uint64_t begin_us)
{
    const struct load_options *options = load->options;
    bool is_over = (double)(load->now_us - begin_us) / 1e6 >= options->seconds ||
                   (options->operations != 0 && load->started >= options->operations);
    if (load->phase == PHASE_RUN && is_over) {
        load->phase = PHASE_DRAIN;
        load->result->seconds = (double)(load->now_us - begin_us) / 1e6;
    }
    if (load->phase == PHASE_DRAIN && is_idle(load)) {
        load->phase = PHASE_FINAL;
        load->check_next = 0;
        load->final_next = 0;
    } else if (load->phase == PHASE_FINAL && is_idle(load) && load->final_next >= options->keys &&
               load->check_next >= load->check_count) {
        load->phase = PHASE_DONE;
    }
}

static void wait_for_events(struct load *load, struct link *links, struct pollfd *polls)
{
    uint32_t count = load->options->connections;
    for (uint32_t i = 0; i < count; i++) {
        const struct wire *wire = &load->wires[i];
        short events = wire->out_size > wire->out_at ? POLLIN | POLLOUT : POLLIN;
        polls[i] = (struct pollfd){.fd = wire->descriptor, .events = events};
    }
    (void)poll(polls, count, POLL_MS);
    load->now_us = clock_us();
    for (uint32_t i = 0; i < count; i++) {
        if (polls[i].fd >= 0 && (polls[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
            take_answers(load, &links[i], i);
        }
    }
}

static void loop(struct load *load)
{
    uint32_t count = load->options->connections;
    struct link *links = calloc(count, sizeof *links);
    struct pollfd *polls = calloc(count, sizeof *polls);
    uint64_t begin_us = clock_us();
    for (uint32_t i = 0; links != NULL && i < count; i++) {
        links[i].socket = i % load->options->socket_count;
    }
    while (links != NULL && polls != NULL && load->phase != PHASE_DONE &&
           load->result->error == NULL) {
        load->now_us = clock_us();
        for (uint32_t i = 0; i < count; i++) {
            if (load->wires[i].descriptor < 0) {
                reconnect(load, &links[i], i);
            }
        }
        drive_clients(load);
        for (uint32_t i = 0; i < count; i++) {
            if (load->wires[i].descriptor >= 0 && !wire_flush(&load->wires[i])) {
                lose(load, &links[i], i);
            }
        }
        if (load->acks != NULL) {
            (void)fflush(load->acks);
        }
        wait_for_events(load, links, polls);
        leave_silent(load, links);
        move_on(load, begin_us);
    }
    free(links);
    free(polls);
}

/* -- Results ----------------------------------------------------------------------------------- */

static int compare_u32(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static void sum_up(struct load *load)
{
    size_t count = load->latency_count;
    if (count == 0) {
        return;
    }
    qsort(load->latencies, count, sizeof *load->latencies, compare_u32);
    load->result->p50_us = load->latencies[count / 2];
    load->result->p99_us = load->latencies[count - 1 - count / 100];
    load->result->max_us = load->latencies[count - 1];
}

void load_run(const struct load_options *options, struct load_result *result)
{
    struct load load = {.phase = PHASE_RUN};
    prepare(&load, options, result);
    loop(&load);
    sum_up(&load);
    release(&load);
}

void load_check(const char *socket, const char *path, double timeout, struct load_result *result)
{
    const struct load_options options = {.sockets = {socket},
                                         .socket_count = 1,
                                         .prefix = "",
                                         .clients = 16,
                                         .connections = 1,
                                         .value_bytes = 20,
                                         .wait_back = timeout,
                                         .op_timeout = timeout};
    struct load load = {.phase = PHASE_FINAL};
    static char line[8192];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        result->error = "the file of acknowledged keys cannot be read";
        return;
    }
    prepare(&load, &options, result);
    while (fgets(line, sizeof line, file) != NULL) {
        char *space = strchr(line, ' ');
        char *end = strchr(line, '\n');
        if (space == NULL || end == NULL) {
            break; /* the last line was being written */
        }
        *space = '\0';
        *end = '\0';
        add_check(&load, line, space + 1);
    }
    (void)fclose(file);
    result->uniques = load.check_count;
    loop(&load);
    sum_up(&load);
    release(&load);
}
