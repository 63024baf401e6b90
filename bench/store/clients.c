#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "bench.h"
#include "node/replica_watch.h"

#define ROOM ((size_t)64 * 1024)
#define AGAIN_NS UINT64_C(5000000)
#define READY_NS (UINT64_C(3600) * 1000000000u)

struct client;

/* What clients share; all but `done` is the core thread's while they run. */
struct run {
    struct bench *bench;
    const struct load *load;
    struct pd_random random;
    uint64_t sent;
    uint64_t answered;
    uint64_t begin_ns;
    uint64_t end_ns;
    uint32_t active;
    uint8_t *room;
    struct client *clients;
    struct pd_event done;
    atomic_uint_least64_t busy; /* answers that said so */
    atomic_bool is_over;
    struct pd_thread again;
};

struct client {
    struct pd_server_client base;
    struct run *run;
    uint64_t sent_ns;
    atomic_bool is_busy;
    struct pd_event answered; /* a thread's */
    struct pd_event closed;
};

static const char value[BENCH_VALUE_BYTES];

void key_name(uint64_t number, char name[32])
{
    (void)snprintf(name, 32, "bench/%012" PRIu64, number);
}

static struct pd_span key_span(uint64_t number, char name[32])
{
    key_name(number, name);
    return (struct pd_span){(const uint8_t *)name, strlen(name)};
}

static const struct pd_span value_span = {(const uint8_t *)value, sizeof value};

static void encode_fill(const struct run *run, struct pd_kv_writer *writer)
{
    static struct pd_kv_op ops[FILL_KEYS + 1];
    static char names[FILL_KEYS][32];
    memset(ops, 0, sizeof ops);
    ops[0].kind = PD_KV_OP_TXN;
    ops[0].end = FILL_KEYS + 1;
    ops[0].as.txn.then_count = FILL_KEYS;
    for (uint32_t i = 0; i < FILL_KEYS; i++) {
        uint64_t number = run->load->first_key + (run->sent * FILL_KEYS + i) % run->load->keys;
        ops[i + 1].kind = PD_KV_OP_PUT;
        ops[i + 1].end = i + 2;
        ops[i + 1].as.put =
            (struct pd_kv_put){.key = key_span(number, names[i]), .value = value_span};
    }
    struct pd_kv_command command = {.kind = PD_KV_OPS, .ops = ops, .op_count = FILL_KEYS + 1};
    pd_kv_command_encode(writer, &command);
}

static struct pd_span encode(struct run *run)
{
    char name[32];
    const struct load *load = run->load;
    struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WRITE};
    struct pd_kv_writer writer = {.bytes = run->room + PD_REPLICA_REQUEST_HEAD_SIZE,
                                  .bytes_max = ROOM - PD_REPLICA_REQUEST_HEAD_SIZE};
    switch (load->kind) {
    case LOAD_PUT: {
        uint64_t number = load->first_key + pd_random_below(&run->random, load->keys);
        pd_kv_encode_put(&writer,
                         &(struct pd_kv_put){.key = key_span(number, name), .value = value_span});
        break;
    }
    case LOAD_FILL:
        encode_fill(run, &writer);
        break;
    case LOAD_READ: {
        uint64_t number = load->first_key + pd_random_below(&run->random, load->keys);
        head.kind = PD_REPLICA_REQUEST_READ;
        head.flags = PD_REPLICA_REQUEST_SERIALIZABLE;
        pd_kv_encode_range(&writer, &(struct pd_kv_range){.key = key_span(number, name)});
        break;
    }
    case LOAD_LEASE: {
        struct pd_kv_command command = {.kind = PD_KV_LEASE_GRANT, .ttl_s = 86400};
        pd_kv_command_encode(&writer, &command);
        break;
    }
    case LOAD_WATCH: {
        /* Ranges beside the keys that are written. */
        (void)snprintf(name, sizeof name, "other/%012" PRIu64, run->sent);
        struct pd_replica_watch_request watch = {.key = {(const uint8_t *)name, strlen(name)},
                                                 .credit = 1u << 20};
        head.kind = PD_REPLICA_REQUEST_WATCH;
        pd_replica_watch_request_put(&writer, &watch);
        break;
    }
    }
    pd_replica_request_put_head(run->room, &head);
    return (struct pd_span){run->room, PD_REPLICA_REQUEST_HEAD_SIZE + writer.size};
}

static void send_next(struct client *client)
{
    struct run *run = client->run;
    struct pd_span request = encode(run);
    client->sent_ns = pd_host_now_ns(run->bench->host);
    run->sent++;
    enum pd_status status = pd_server_submit(run->bench->server, &client->base, run->sent, request);
    if (status != PD_OK) {
        die("the node refuses a request: %s", pd_status_text(status));
    }
}

/* False: it is to be asked again. */
static bool check(struct pd_span bytes)
{
    struct pd_replica_answer_head answer;
    if (pd_replica_answer_decode(bytes, &answer) != PD_OK ||
        (answer.outcome != PD_REPLICA_OK && answer.outcome != PD_REPLICA_BUSY)) {
        die("the node answers '%s'", pd_replica_outcome_text(answer.outcome));
    }
    return answer.outcome == PD_REPLICA_OK;
}

static bool is_over(const struct run *run, uint64_t now_ns)
{
    return run->load->operations != 0 ? run->sent >= run->load->operations : now_ns >= run->end_ns;
}

static void note(struct run *run, const struct client *client, uint64_t now_ns)
{
    run->answered++;
    if (run->load->samples != NULL) {
        samples_add(run->load->samples, now_ns - client->sent_ns);
    }
}

static void on_answer(struct pd_server_client *base, uint64_t correlation, struct pd_span bytes)
{
    struct client *client = pd_container_of(base, struct client, base);
    struct run *run = client->run;
    (void)correlation;
    if (!check(bytes)) {
        (void)atomic_fetch_add(&run->busy, 1);
        atomic_store(&client->is_busy, true);
        return;
    }
    uint64_t now_ns = pd_host_now_ns(run->bench->host);
    note(run, client, now_ns);
    if (!is_over(run, now_ns)) {
        send_next(client);
    } else if (--run->active == 0) {
        run->bench->host->ops->event_set(run->bench->host, &run->done);
    }
}

static void on_closed(struct pd_server_client *base)
{
    struct client *client = pd_container_of(base, struct client, base);
    client->run->bench->host->ops->event_set(client->run->bench->host, &client->closed);
}

static void begin(struct run *run, struct bench *bench, const struct load *load)
{
    memset(run, 0, sizeof *run);
    run->bench = bench;
    run->load = load;
    run->room = malloc(ROOM);
    if (run->room == NULL) {
        die("no memory");
    }
    static uint64_t runs; /* keys that are cold stay so in the next run */
    pd_random_init(&run->random, ++runs, "bench");
    run->begin_ns = pd_host_now_ns(bench->host);
    run->end_ns = run->begin_ns + (uint64_t)(load->seconds * 1e9);
}

static void sum_up(const struct run *run, const struct pd_server_counters *before,
                   uint64_t cpu_before_ns, struct load_figures *figures_out)
{
    struct pd_host *host = run->bench->host;
    struct pd_server_counters after;
    pd_server_counters(run->bench->server, &after);
    double operations = run->answered == 0 ? 1 : (double)run->answered;
    uint64_t batches = after.log_batches - before->log_batches;
    figures_out->operations = run->answered;
    figures_out->seconds = (double)(pd_host_now_ns(host) - run->begin_ns) / 1e9;
    figures_out->cpu_us =
        (double)(host->ops->cpu_ns(host, PD_CPU_PROCESS) - cpu_before_ns) / 1e3 / operations;
    figures_out->batch = operations / (double)(batches == 0 ? 1 : batches);
    free(run->room);
}

static void open_client(struct run *run, struct client *client,
                        void (*answer)(struct pd_server_client *, uint64_t, struct pd_span))
{
    client->run = run;
    client->base.answer = answer;
    client->base.closed = on_closed;
    if (pd_server_client_open(run->bench->server, &client->base) != PD_OK) {
        die("the node takes no more clients");
    }
}

static void close_client(struct run *run, struct client *client)
{
    struct pd_host *host = run->bench->host;
    pd_server_client_close(run->bench->server, &client->base);
    (void)host->ops->event_wait(host, &client->closed, PD_TIME_NEVER);
}

/* Clients that were told that the node is busy ask the same again, a little later. A STATUS brings
 * them back to the core thread, where all of `run` lives. */
static void on_again(struct pd_server_client *base, uint64_t correlation, struct pd_span bytes)
{
    struct client *starter = pd_container_of(base, struct client, base);
    struct run *run = starter->run;
    (void)correlation;
    (void)check(bytes);
    for (uint32_t i = 0; i < run->load->clients; i++) {
        if (atomic_exchange(&run->clients[i].is_busy, false)) {
            run->sent--;
            send_next(&run->clients[i]);
        }
    }
    run->bench->host->ops->event_set(run->bench->host, &starter->answered);
}

static void ask_again(void *argument)
{
    struct run *run = argument;
    struct pd_host *host = run->bench->host;
    struct client starter = {.base = {0}};
    struct pd_event never = {0};
    uint8_t bytes[PD_REPLICA_REQUEST_HEAD_SIZE];
    struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_STATUS};
    pd_replica_request_put_head(bytes, &head);
    open_client(run, &starter, on_again);
    while (!atomic_load(&run->is_over)) {
        (void)host->ops->event_wait(host, &never, pd_host_now_ns(host) + AGAIN_NS);
        if (atomic_exchange(&run->busy, 0) > 0 &&
            pd_server_submit(run->bench->server, &starter.base, 0,
                             (struct pd_span){bytes, sizeof bytes}) == PD_OK) {
            (void)host->ops->event_wait(host, &starter.answered, PD_TIME_NEVER);
        }
    }
    close_client(run, &starter);
}

/* The first requests of all clients, sent on the core thread like all others. */
static void on_start(struct pd_server_client *base, uint64_t correlation, struct pd_span bytes)
{
    struct client *starter = pd_container_of(base, struct client, base);
    struct run *run = starter->run;
    (void)correlation;
    (void)check(bytes);
    run->begin_ns = pd_host_now_ns(run->bench->host);
    run->end_ns = run->begin_ns + (uint64_t)(run->load->seconds * 1e9);
    for (uint32_t i = 0; i < run->load->clients; i++) {
        send_next(&run->clients[i]);
    }
}

static void start_all(struct run *run, struct client *starter)
{
    uint8_t bytes[PD_REPLICA_REQUEST_HEAD_SIZE];
    struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_STATUS};
    pd_replica_request_put_head(bytes, &head);
    open_client(run, starter, on_start);
    if (pd_server_submit(run->bench->server, &starter->base, 0,
                         (struct pd_span){bytes, sizeof bytes}) != PD_OK) {
        die("the node refuses a request");
    }
}

void load_run(struct bench *bench, const struct load *load, struct load_figures *figures_out)
{
    struct pd_host *host = bench->host;
    struct pd_server_counters before;
    struct client starter = {.base = {0}};
    struct run *run = calloc(1, sizeof *run);
    struct client *clients = calloc(load->clients, sizeof *clients);
    if (clients == NULL || run == NULL) {
        die("no memory");
    }
    begin(run, bench, load);
    run->clients = clients;
    run->active = load->clients;
    for (uint32_t i = 0; i < load->clients; i++) {
        open_client(run, &clients[i], on_answer);
    }
    pd_server_counters(bench->server, &before);
    uint64_t cpu_ns = host->ops->cpu_ns(host, PD_CPU_PROCESS);
    start_all(run, &starter);
    if (host->ops->thread_start(host, "again", PD_THREAD_NORMAL, ask_again, run, &run->again) !=
        PD_OK) {
        die("no thread");
    }
    (void)host->ops->event_wait(host, &run->done, PD_TIME_NEVER);
    atomic_store(&run->is_over, true);
    host->ops->thread_join(host, run->again);
    sum_up(run, &before, cpu_ns, figures_out);
    close_client(run, &starter);
    if (load->kind == LOAD_WATCH) {
        run->load = NULL; /* its clients stay */
        bench->watching = run;
        bench->watching_count = load->clients;
        return;
    }
    for (uint32_t i = 0; i < load->clients; i++) {
        close_client(run, &clients[i]);
    }
    free(clients);
    free(run);
}

/* -- A thread that waits ----------------------------------------------------------------------- */

static void on_answer_thread(struct pd_server_client *base, uint64_t correlation,
                             struct pd_span bytes)
{
    struct client *client = pd_container_of(base, struct client, base);
    struct pd_host *host = client->run->bench->host;
    (void)correlation;
    if (!check(bytes)) {
        die("the node is busy with one client");
    }
    host->ops->event_set(host, &client->answered);
}

void load_run_thread(struct bench *bench, const struct load *load, struct load_figures *figures_out)
{
    struct run run;
    struct pd_host *host = bench->host;
    struct pd_server_counters before;
    struct client client = {.base = {0}};
    begin(&run, bench, load);
    pd_server_counters(bench->server, &before);
    uint64_t cpu_ns = host->ops->cpu_ns(host, PD_CPU_PROCESS);
    open_client(&run, &client, on_answer_thread);
    while (!is_over(&run, pd_host_now_ns(host))) {
        send_next(&client);
        (void)host->ops->event_wait(host, &client.answered, PD_TIME_NEVER);
        note(&run, &client, pd_host_now_ns(host));
    }
    sum_up(&run, &before, cpu_ns, figures_out);
    close_client(&run, &client);
}

/* -- The node ---------------------------------------------------------------------------------- */

static void on_failed(void *state, const char *text)
{
    (void)state;
    die("the node has ended: %s", text);
}

void bench_open(struct bench *bench, struct pd_host *host, const char *folder, bool lease_reads)
{
    char text[PD_SERVER_TEXT_MAX];
    struct pd_server_config config = pd_server_config_default();
    config.folder = folder;
    config.host = host;
    config.disk_low_bytes = 0;
    config.replica.raft.lease_reads = lease_reads;
    config.failed = on_failed;
    *bench = (struct bench){.host = host, .folder = folder};
    if (pd_server_open(&config, text, &bench->server) != PD_OK) {
        die("%s", text);
    }
    if (!pd_server_wait_ready(bench->server, pd_host_now_ns(host) + READY_NS)) {
        die("the node does not become ready");
    }
}

void bench_close(struct bench *bench)
{
    struct run *run = bench->watching;
    for (uint32_t i = 0; i < bench->watching_count; i++) {
        close_client(run, &run->clients[i]);
    }
    if (run != NULL) {
        free(run->clients);
        free(run);
    }
    pd_server_close(bench->server);
}
