#include "store-load/client.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kv/answer.h"
#include "kv/command.h"

#define SESSION_NS UINT64_C(3600000000000)
#define BACKOFF_US 10000u
#define LATENCIES_MAX ((size_t)4 << 20)
#define LOST_SHOWN 10u

/* -- The record -------------------------------------------------------------------------------- */

static const char *name_of(enum op_kind kind)
{
    return kind == OP_READ ? ":read" : kind == OP_WRITE ? ":write" : ":cas";
}

static bool is_recorded(const struct load *load, const struct client *client)
{
    return load->records != NULL &&
           (client->kind == OP_READ || client->kind == OP_WRITE || client->kind == OP_CAS);
}

static void put_number(FILE *file, uint64_t number)
{
    if (number == NO_VALUE) {
        (void)fputs("nil", file);
    } else {
        (void)fprintf(file, "%" PRIu64, number);
    }
}

/* `value`: what a read saw. */
static void record(const struct load *load, const struct client *client, const char *phase,
                   uint64_t value)
{
    if (!is_recorded(load, client)) {
        return;
    }
    FILE *file = load->records[client->key];
    (void)fprintf(file, "%" PRIu64 ".%06" PRIu64 " jepsen.util - %" PRIu32 "\t%s\t%s\t",
                  load->now_us / 1000000, load->now_us % 1000000, client->process, phase,
                  name_of(client->kind));
    if (strcmp(phase, ":info") == 0 || (strcmp(phase, ":fail") == 0 && client->kind != OP_CAS)) {
        (void)fputs(":no-answer", file);
    } else if (client->kind == OP_CAS) {
        (void)fprintf(file, "[%" PRIu64 " %" PRIu64 "]", client->expected, client->value);
    } else {
        put_number(file, client->kind == OP_READ ? value : client->value);
    }
    (void)fputc('\n', file);
}

/* -- Keys and values --------------------------------------------------------------------------- */

static struct pd_span key_of(const struct load *load, const struct client *client,
                             char room[KEY_MAX])
{
    const char *prefix = load->options->prefix;
    if (client->kind == OP_CHECK) {
        const char *key = load->checks[client->check].key;
        return (struct pd_span){(const uint8_t *)key, strlen(key)};
    }
    int size = client->kind == OP_UNIQUE
                   ? snprintf(room, KEY_MAX, "%su%" PRIu64, prefix, client->value)
                   : snprintf(room, KEY_MAX, "%sr%" PRIu32, prefix, client->key);
    return (struct pd_span){(const uint8_t *)room, (size_t)size};
}

/* Digits, then dots. */
static struct pd_span value_of(const struct load *load, uint64_t number)
{
    size_t size = load->options->value_bytes;
    int digits = snprintf(load->value_room, size + 1, "%" PRIu64, number);
    memset(load->value_room + digits, '.', size - (size_t)digits);
    load->value_room[size] = '\0';
    return (struct pd_span){(const uint8_t *)load->value_room, size};
}

static uint64_t number_of(struct pd_span value)
{
    uint64_t number = 0;
    for (size_t i = 0; i < value.size && value.bytes[i] >= '0' && value.bytes[i] <= '9'; i++) {
        number = number * 10 + (uint64_t)(value.bytes[i] - '0');
    }
    return number;
}

void add_check(struct load *load, const char *key, const char *value)
{
    if (load->check_count == load->check_capacity) {
        load->check_capacity = load->check_capacity == 0 ? 1024 : load->check_capacity * 2;
        load->checks = realloc(load->checks, load->check_capacity * sizeof *load->checks);
    }
    struct check check = {strdup(key), strdup(value)};
    if (load->checks == NULL || check.key == NULL || check.value == NULL) {
        (void)fprintf(stderr, "store-load: no memory\n");
        exit(2);
    }
    load->checks[load->check_count++] = check;
}

/* -- Beginning --------------------------------------------------------------------------------- */

static void choose(struct load *load, struct client *client)
{
    const struct load_options *options = load->options;
    uint64_t dice = pd_random_below(&load->random, 100);
    client->key = (uint32_t)pd_random_below(&load->random, options->keys);
    client->expected = load->seen[client->key];
    if (dice < options->read_percent) {
        client->kind = OP_READ;
        return;
    }
    dice -= options->read_percent;
    client->value = ++load->value_last;
    client->kind = OP_WRITE;
    if (dice < options->cas_percent) {
        client->kind = client->expected == NO_VALUE ? OP_WRITE : OP_CAS;
    } else if (dice - options->cas_percent < options->unique_percent) {
        client->kind = OP_UNIQUE;
    }
}

static bool begin_run(struct load *load, struct client *client)
{
    const struct load_options *options = load->options;
    if (options->operations != 0 && load->started >= options->operations) {
        return false;
    }
    if (options->sessions && client->session == 0) {
        client->kind = OP_SESSION;
        return true;
    }
    load->started++;
    choose(load, client);
    if (client->kind != OP_READ) {
        client->sequence++;
    }
    return true;
}

static bool begin_final(struct load *load, struct client *client)
{
    if (load->final_next < load->options->keys) {
        client->kind = OP_READ;
        client->key = load->final_next++;
        return true;
    }
    if (load->check_next < load->check_count) {
        client->kind = OP_CHECK;
        client->check = load->check_next++;
        return true;
    }
    return false;
}

bool client_begin(struct load *load, struct client *client)
{
    bool begins = load->phase == PHASE_RUN     ? begin_run(load, client)
                  : load->phase == PHASE_FINAL ? begin_final(load, client)
                                               : false;
    if (begins) {
        client->is_repeat = false;
        client->since_us = load->now_us;
        record(load, client, ":invoke", NO_VALUE);
    }
    return begins;
}

/* -- Sending ----------------------------------------------------------------------------------- */

static void encode_cas(struct pd_kv_writer *writer, struct pd_span key, struct pd_span value,
                       struct pd_span expected)
{
    struct pd_kv_compare compare = {
        .result = PD_KV_EQUAL, .target = PD_KV_COMPARE_VALUE, .key = key, .value = expected};
    struct pd_kv_op ops[2] = {{.kind = PD_KV_OP_TXN}, {.kind = PD_KV_OP_PUT}};
    ops[0].as.txn = (struct pd_kv_txn){.compare_count = 1, .then_count = 1};
    ops[0].end = 2;
    ops[1].as.put = (struct pd_kv_put){.key = key, .value = value};
    ops[1].end = 2;
    struct pd_kv_command command = {
        .kind = PD_KV_OPS, .ops = ops, .op_count = 2, .compares = &compare, .compare_count = 1};
    pd_kv_command_encode(writer, &command);
}

static void encode(struct load *load, const struct client *client, struct pd_kv_writer *writer)
{
    char room[KEY_MAX];
    struct pd_span key = key_of(load, client, room);
    switch (client->kind) {
    case OP_READ:
    case OP_CHECK:
        pd_kv_encode_range(writer, &(struct pd_kv_range){.key = key});
        return;
    case OP_WRITE:
    case OP_UNIQUE:
        pd_kv_encode_put(writer,
                         &(struct pd_kv_put){.key = key, .value = value_of(load, client->value)});
        return;
    case OP_CAS: {
        /* Two values at once: the expected one lies at the end of the body's room. */
        struct pd_span expected = value_of(load, client->expected);
        uint8_t *copy = load->body + load->body_size - expected.size;
        memcpy(copy, expected.bytes, expected.size);
        encode_cas(writer, key, value_of(load, client->value),
                   (struct pd_span){copy, expected.size});
        return;
    }
    case OP_SESSION: {
        struct pd_kv_command command = {.kind = PD_KV_SESSION_OPEN, .duration_ns = SESSION_NS};
        pd_kv_command_encode(writer, &command);
        return;
    }
    case OP_NONE:
        return;
    }
}

void client_send(struct load *load, struct client *client)
{
    struct pd_kv_writer writer = {.bytes = load->body, .bytes_max = load->body_size / 2};
    encode(load, client, &writer);
    bool is_read = client->kind == OP_READ || client->kind == OP_CHECK;
    struct pd_replica_request_head head = {.kind = is_read ? PD_REPLICA_REQUEST_READ
                                                           : PD_REPLICA_REQUEST_WRITE,
                                           .body = {load->body, writer.size}};
    if (!is_read && client->kind != OP_SESSION && client->session != 0) {
        head.session = client->session;
        head.sequence = client->sequence;
        head.low = client->sequence;
    }
    client->serial++;
    client->is_sent = true;
    client->sent_us = load->now_us;
    wire_send(&load->wires[client->connection], client->serial << 16 | client->index, &head);
}

/* -- Ending ------------------------------------------------------------------------------------ */

static void finish(struct load *load, struct client *client)
{
    load->result->operations++;
    load->result->retried += client->is_repeat ? 1 : 0;
    if (load->latency_count < LATENCIES_MAX && !client->is_repeat) {
        uint64_t took_us = load->now_us - client->since_us;
        load->latencies[load->latency_count++] = (uint32_t)took_us;
    }
    client->kind = OP_NONE;
    client->is_sent = false;
}

/* It certainly did not happen. */
static void refused(struct load *load, struct client *client)
{
    load->result->refused++;
    /* A compare-and-swap that failed would mean that it saw another value. */
    record(load, client, client->kind == OP_CAS ? ":info" : ":fail", NO_VALUE);
    client->kind = OP_NONE;
    client->is_sent = false;
    client->wait_until_us = load->now_us + BACKOFF_US;
}

void client_give_up(struct load *load, struct client *client)
{
    if (client->kind == OP_CHECK) {
        load->result->error = "keys that were acknowledged could not be looked at";
    }
    record(load, client, client->kind == OP_READ ? ":fail" : ":info", NO_VALUE);
    load->result->unknown += client->kind == OP_SESSION || client->kind == OP_READ ? 0 : 1;
    client->process += load->options->clients;
    client->kind = OP_NONE;
    client->is_sent = false;
}

/* Again, later: in a session it happens once, and reads may be repeated. */
static void again(struct load *load, struct client *client)
{
    client->is_sent = false;
    client->is_repeat = true;
    client->wait_until_us = load->now_us + BACKOFF_US;
}

static bool may_repeat(const struct client *client)
{
    return client->kind == OP_CHECK || (client->session != 0 && client->kind != OP_READ);
}

void client_lost(struct load *load, struct client *client)
{
    if (client->kind == OP_NONE || !client->is_sent) {
        return;
    }
    if (may_repeat(client)) {
        again(load, client);
    } else {
        client_give_up(load, client);
    }
}

static void check_value(struct load *load, const struct client *client, bool is_there,
                        struct pd_span value)
{
    const struct check *check = &load->checks[client->check];
    size_t size = strlen(check->value);
    if (is_there && value.size == size && memcmp(value.bytes, check->value, size) == 0) {
        return;
    }
    if (load->result->lost++ < LOST_SHOWN) {
        (void)fprintf(stderr, "store-load: LOST: '%s' was acknowledged and %s\n", check->key,
                      is_there ? "holds another value" : "is not there");
    }
}

static void succeeded(struct load *load, struct client *client, struct pd_kv_reader *reader)
{
    struct pd_kv_record found = {0};
    bool is_done = true;
    uint32_t responses = 0;
    char room[KEY_MAX];
    switch (client->kind) {
    case OP_READ: {
        uint64_t number = pd_kv_answer_record(reader, &found) ? number_of(found.value) : NO_VALUE;
        load->seen[client->key] = number;
        load->result->reads++;
        record(load, client, ":ok", number);
        break;
    }
    case OP_CHECK: {
        bool is_there = pd_kv_answer_record(reader, &found);
        check_value(load, client, is_there, found.value);
        break;
    }
    case OP_WRITE:
        load->seen[client->key] = client->value;
        load->result->writes++;
        record(load, client, ":ok", NO_VALUE);
        break;
    case OP_CAS:
        pd_kv_answer_txn(reader, &is_done, &responses);
        load->seen[client->key] = is_done ? client->value : load->seen[client->key];
        load->result->cas_done += is_done ? 1 : 0;
        load->result->cas_other += is_done ? 0 : 1;
        record(load, client, is_done ? ":ok" : ":fail", NO_VALUE);
        break;
    case OP_UNIQUE: {
        struct pd_span key = key_of(load, client, room);
        struct pd_span value = value_of(load, client->value);
        load->result->uniques++;
        add_check(load, (const char *)key.bytes, (const char *)value.bytes);
        if (load->acks != NULL) {
            (void)fprintf(load->acks, "%s %s\n", (const char *)key.bytes,
                          (const char *)value.bytes);
        }
        break;
    }
    case OP_SESSION:
        client->session = (uint64_t)pd_kv_answer_number(reader);
        client->sequence = 0;
        break;
    case OP_NONE:
        break;
    }
    if (reader->is_bad) {
        load->result->error = "an answer cannot be read";
    }
    finish(load, client);
}

static void not_ok(struct load *load, struct client *client, enum pd_replica_outcome outcome)
{
    if (outcome == PD_REPLICA_INVALID || outcome == PD_REPLICA_CANCELLED) {
        load->result->error = "the node does not accept what it was sent";
        client_give_up(load, client);
    } else if (may_repeat(client)) {
        again(load, client);
    } else if (outcome == PD_REPLICA_UNKNOWN) {
        client_give_up(load, client);
    } else {
        refused(load, client);
    }
}

void client_answer(struct load *load, struct client *client, struct pd_span bytes)
{
    struct pd_replica_answer_head answer;
    if (pd_replica_answer_decode(bytes, &answer) != PD_OK) {
        load->result->error = "an answer cannot be read";
        return;
    }
    if (answer.outcome != PD_REPLICA_OK) {
        not_ok(load, client, answer.outcome);
        return;
    }
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    pd_kv_reader_init(&reader, answer.body);
    pd_kv_answer_head(&reader, &head);
    if (reader.is_bad || head.error == PD_KV_OK) {
        succeeded(load, client, &reader);
    } else if (head.error == PD_KV_ERR_SESSION_UNKNOWN) {
        client->session = 0; /* it has expired: what was sent before may have happened */
        client_give_up(load, client);
    } else {
        (void)fprintf(stderr, "store-load: %s\n", pd_kv_error_text(head.error));
        load->result->error = "the store refuses what it was sent";
        client_give_up(load, client);
    }
}
