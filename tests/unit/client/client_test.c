/* The client library against nodes of the test's own: what they answer stands in a list, so that
 * every way to lose an answer happens when it is wanted. */
#include <pando/client.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/alloc.h"
#include "base/frame.h"
#include "client/link.h"
#include "kv/answer.h"
#include "node/replica_request.h"
#include "node/replica_watch.h"

#define STEPS_MAX 32u
#define ROOM 4096u

/* What a node does with the next request. */
enum act {
    ACT_OK = 0,  /* as the store would: by the request's kind */
    ACT_HANG_UP, /* without an answer */
    ACT_SILENT,  /* no answer, ever */
    ACT_LATE,    /* no answer now: it comes in front of the next one's */
    ACT_OUTCOME, /* .outcome */
    ACT_ERROR,   /* .error, the store's */
    ACT_HUGE,    /* the head of a frame of 4 GiB */
    ACT_JUNK,    /* a frame of bytes that are no answer */
    ACT_JUNK_OK, /* an answer that is OK, its body nonsense */
    ACT_WATCH    /* CREATED, and .events puts from .revision on, two a revision */
};

struct step {
    enum act act;
    enum pd_replica_outcome outcome;
    enum pd_kv_error error;
    int64_t revision;
    uint32_t events;
    bool then_hang_up; /* after a WATCH */
    int64_t compacted; /* of a WATCH: CANCELLED with this */
};

struct node {
    char path[96];
    char endpoint[112];
    int listener;
    pthread_t thread;
    struct step steps[STEPS_MAX];
    uint32_t step_count;
    atomic_uint step;
    /* What was asked, in order. Read when the client was answered, or is closed. */
    struct pd_replica_request_head heads[STEPS_MAX];
    int64_t watch_starts[STEPS_MAX];
    atomic_uint connections;
    uint64_t late; /* the correlation of an ACT_LATE; 0: none */
};

static char folder[64];
static struct node nodes[2];

/* -- Nodes ------------------------------------------------------------------------------------- */

static bool read_all(int descriptor, uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t got = read(descriptor, bytes, size);
        if (got <= 0) {
            return false;
        }
        bytes += got;
        size -= (size_t)got;
    }
    return true;
}

static void send_frame(int descriptor, uint64_t correlation, const uint8_t *bytes, size_t size)
{
    uint8_t room[ROOM + PD_FRAME_HEAD_SIZE];
    assert_true(size <= ROOM);
    pd_frame_put_head(room, (uint32_t)size, correlation);
    if (size > 0) {
        memcpy(room + PD_FRAME_HEAD_SIZE, bytes, size);
    }
    /* In pieces, so that a frame comes in parts. */
    (void)send(descriptor, room, 5, MSG_NOSIGNAL);
    (void)send(descriptor, room + 5, size + PD_FRAME_HEAD_SIZE - 5, MSG_NOSIGNAL);
}

static void send_answer(int descriptor, uint64_t correlation, enum pd_replica_outcome outcome,
                        const uint8_t *body, size_t size)
{
    uint8_t room[ROOM];
    const struct pd_replica_answer_head head = {.outcome = outcome, .term = 1};
    pd_replica_answer_put_head(room, &head);
    if (size > 0) {
        memcpy(room + PD_REPLICA_ANSWER_HEAD_SIZE, body, size);
    }
    send_frame(descriptor, correlation, room, PD_REPLICA_ANSWER_HEAD_SIZE + size);
}

static void put_record(struct pd_kv_writer *writer, const char *key, const char *value)
{
    const struct pd_kv_record record = {.key = {(const uint8_t *)key, strlen(key)},
                                        .value = {(const uint8_t *)value, strlen(value)},
                                        .create_revision = 2,
                                        .mod_revision = 3,
                                        .version = 1};
    pd_kv_answer_put_record(writer, &record);
}

static void put_response(struct pd_kv_writer *writer, const struct pd_kv_op *op)
{
    switch (op->kind) {
    case PD_KV_OP_RANGE:
        pd_kv_answer_put_response(writer, PD_KV_ANSWER_RANGE);
        put_record(writer, "a", "1");
        pd_kv_answer_put_end(writer);
        pd_kv_answer_put_number(writer, 0); /* no more */
        pd_kv_answer_put_number(writer, 1);
        break;
    case PD_KV_OP_PUT:
        pd_kv_answer_put_response(writer, PD_KV_ANSWER_PUT);
        pd_kv_answer_put_end(writer);
        break;
    case PD_KV_OP_DELETE:
        pd_kv_answer_put_response(writer, PD_KV_ANSWER_DELETE);
        pd_kv_answer_put_end(writer);
        pd_kv_answer_put_number(writer, 3);
        break;
    case PD_KV_OP_TXN:
        break;
    }
}

/* Body of an answer to a command, as the store would give one. */
static void answer_command(struct pd_kv_writer *writer, struct pd_span bytes)
{
    static const struct pd_kv_limits limits = {
        .key_bytes_max = 1024, .request_bytes_max = 1 << 20, .txn_ops_max = 64};
    struct pd_kv_op ops[4 * 64 + 1];
    struct pd_kv_compare compares[4 * 64 + 1];
    const struct pd_kv_command_room room = {
        .ops = ops, .compares = compares, .ops_max = 257, .compares_max = 257};
    struct pd_kv_command command;
    assert_int_equal(pd_kv_command_decode(bytes, &limits, &room, &command), PD_KV_OK);
    struct pd_kv_answer_head head = {.revision = 7};
    if (command.kind == PD_KV_SESSION_OPEN) {
        head.kind = PD_KV_ANSWER_SESSION;
        pd_kv_answer_put_head(writer, &head);
        pd_kv_answer_put_number(writer, 41);
    } else if (command.kind == PD_KV_LEASE_GRANT || command.kind == PD_KV_LEASE_KEEPALIVE) {
        head.kind = PD_KV_ANSWER_LEASE;
        pd_kv_answer_put_head(writer, &head);
        pd_kv_answer_put_number(writer, command.id == 0 ? 99 : command.id);
        pd_kv_answer_put_number(writer, 60);
    } else if (command.kind == PD_KV_OPS && command.ops[0].kind == PD_KV_OP_TXN) {
        head.kind = PD_KV_ANSWER_TXN;
        pd_kv_answer_put_head(writer, &head);
        pd_kv_answer_put_number(writer, 1);
        pd_kv_answer_put_number(writer, command.ops[0].as.txn.then_count);
        for (uint32_t i = 1; i <= command.ops[0].as.txn.then_count; i++) {
            put_response(writer, &command.ops[i]);
        }
    } else if (command.kind == PD_KV_OPS) {
        uint8_t body[ROOM];
        struct pd_kv_writer one = {.bytes = body, .bytes_max = sizeof body};
        put_response(&one, &command.ops[0]);
        head.kind = (enum pd_kv_answer_kind)body[0];
        pd_kv_answer_put_head(writer, &head);
        memcpy(writer->bytes + writer->size, body + 1, one.size - 1);
        writer->size += one.size - 1;
    } else {
        pd_kv_answer_put_head(writer, &head);
    }
}

static void answer_leases(struct pd_kv_writer *writer, const struct pd_replica_request_head *head)
{
    bool is_one = head->kind == PD_REPLICA_REQUEST_LEASE;
    pd_kv_answer_put_head(
        writer, &(struct pd_kv_answer_head){
                    .kind = is_one ? PD_KV_ANSWER_LEASE_KEYS : PD_KV_ANSWER_LEASES, .revision = 7});
    if (is_one) {
        pd_kv_answer_put_number(writer, (int64_t)head->number);
        pd_kv_answer_put_number(writer, head->number == 404 ? -1 : 50);
        pd_kv_answer_put_number(writer, 60);
        pd_kv_answer_put_key(writer, (struct pd_span){(const uint8_t *)"k", 1});
    } else {
        pd_kv_answer_put_id(writer, 5);
        pd_kv_answer_put_id(writer, 6);
    }
    pd_kv_answer_put_end(writer);
}

static void answer_ok(int descriptor, uint64_t correlation,
                      const struct pd_replica_request_head *head)
{
    uint8_t room[ROOM / 2];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    if (head->kind == PD_REPLICA_REQUEST_LEASE || head->kind == PD_REPLICA_REQUEST_LEASES) {
        answer_leases(&writer, head);
    } else {
        answer_command(&writer, head->body);
    }
    assert_false(writer.is_full);
    send_answer(descriptor, correlation, PD_REPLICA_OK, room, writer.size);
}

static void send_watch_head(int descriptor, uint64_t correlation, enum pd_replica_outcome outcome,
                            const struct pd_replica_watch_head *head)
{
    uint8_t room[ROOM / 2];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_replica_watch_head_put(&writer, head);
    pd_replica_watch_end_put(&writer);
    send_answer(descriptor, correlation, outcome, room, writer.size);
}

/* Each event in an answer of its own; the first of a revision is a fragment. */
static void answer_watch(int descriptor, uint64_t correlation, const struct step *step,
                         int64_t start)
{
    send_watch_head(
        descriptor, correlation, PD_REPLICA_OK,
        &(struct pd_replica_watch_head){.kind = PD_REPLICA_WATCH_CREATED,
                                        .revision = step->revision,
                                        .through_revision = start == 0 ? 9 : start - 1});
    for (uint32_t i = 0; i < step->events; i++) {
        uint8_t room[ROOM / 2];
        char key[16];
        struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
        int64_t revision = step->revision + i / 2;
        (void)snprintf(key, sizeof key, "k%u", (unsigned)i);
        const struct pd_kv_event event = {.record = {.key = {(const uint8_t *)key, strlen(key)},
                                                     .value = {(const uint8_t *)"v", 1},
                                                     .create_revision = revision,
                                                     .mod_revision = revision,
                                                     .version = 1}};
        pd_replica_watch_head_put(&writer,
                                  &(struct pd_replica_watch_head){
                                      .kind = PD_REPLICA_WATCH_EVENTS,
                                      .revision = revision,
                                      .through_revision = i % 2 == 0 ? revision - 1 : revision,
                                      .is_fragment = i % 2 == 0});
        pd_replica_watch_event_put(&writer, &event, false);
        pd_replica_watch_end_put(&writer);
        send_answer(descriptor, correlation, PD_REPLICA_OK, room, writer.size);
    }
    if (step->compacted != 0) {
        send_watch_head(descriptor, correlation, PD_REPLICA_CANCELLED,
                        &(struct pd_replica_watch_head){.kind = PD_REPLICA_WATCH_CANCELLED,
                                                        .compact_revision = step->compacted});
    }
}

/* False: the connection ends. */
static bool act(struct node *node, int descriptor, uint64_t correlation,
                const struct pd_replica_request_head *head, const struct step *step)
{
    static const uint8_t junk[40] = {0xff, 0xff, 0xff};
    uint8_t room[64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_replica_watch_request watch;
    if (node->late != 0) {
        send_answer(descriptor, node->late, PD_REPLICA_BUSY, NULL, 0);
        node->late = 0;
    }
    switch (step->act) {
    case ACT_OK:
        answer_ok(descriptor, correlation, head);
        return true;
    case ACT_HANG_UP:
        return false;
    case ACT_SILENT:
        return true;
    case ACT_LATE:
        node->late = correlation;
        return true;
    case ACT_OUTCOME:
        send_answer(descriptor, correlation, step->outcome, (const uint8_t *)"because", 7);
        return true;
    case ACT_ERROR:
        pd_kv_answer_put_head(&writer,
                              &(struct pd_kv_answer_head){.error = step->error, .revision = 7});
        send_answer(descriptor, correlation, PD_REPLICA_OK, room, writer.size);
        return true;
    case ACT_HUGE:
        pd_frame_put_head(room, UINT32_MAX, correlation);
        (void)send(descriptor, room, PD_FRAME_HEAD_SIZE, MSG_NOSIGNAL);
        return true;
    case ACT_JUNK:
        send_frame(descriptor, correlation, junk, 3);
        return true;
    case ACT_JUNK_OK:
        send_answer(descriptor, correlation, PD_REPLICA_OK, junk, sizeof junk);
        return true;
    case ACT_WATCH:
        assert_int_equal(pd_replica_watch_request_decode(head->body, &watch), PD_OK);
        node->watch_starts[atomic_load(&node->step) - 1] = watch.start_revision;
        answer_watch(descriptor, correlation, step, watch.start_revision);
        return !step->then_hang_up;
    }
    return false;
}

/* False: the connection ends. */
static bool serve_one(struct node *node, int descriptor)
{
    uint8_t head_bytes[PD_FRAME_HEAD_SIZE];
    uint8_t body[ROOM];
    struct pd_replica_request_head head;
    static const struct step usual = {.act = ACT_OK};
    if (!read_all(descriptor, head_bytes, sizeof head_bytes)) {
        return false;
    }
    uint32_t size = pd_get_u32(head_bytes);
    assert_true(size <= sizeof body);
    if (!read_all(descriptor, body, size)) {
        return false;
    }
    assert_int_equal(pd_replica_request_decode((struct pd_span){body, size}, &head), PD_OK);
    if (head.kind == PD_REPLICA_REQUEST_WATCH_CREDIT) {
        return true;
    }
    unsigned at = atomic_fetch_add(&node->step, 1);
    if (at < STEPS_MAX) {
        node->heads[at] = head;
    }
    return act(node, descriptor, pd_get_u64(head_bytes + 4), &head,
               at < node->step_count ? &node->steps[at] : &usual);
}

/* One connection after the other, until the listener is shut. */
static void *serve(void *argument)
{
    struct node *node = argument;
    for (;;) {
        int descriptor = accept(node->listener, NULL, NULL);
        if (descriptor < 0) {
            return NULL;
        }
        (void)atomic_fetch_add(&node->connections, 1);
        while (serve_one(node, descriptor)) {
        }
        (void)close(descriptor);
    }
}

static void node_starts(struct node *node, const char *name, const struct step *steps,
                        uint32_t step_count)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *node = (struct node){.step_count = step_count};
    (void)snprintf(node->path, sizeof node->path, "%s/%s", folder, name);
    (void)snprintf(node->endpoint, sizeof node->endpoint, "unix:%s", node->path);
    assert_true(step_count <= STEPS_MAX);
    for (uint32_t i = 0; i < step_count; i++) {
        node->steps[i] = steps[i];
    }
    memcpy(address.sun_path, node->path, strlen(node->path) + 1);
    node->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(node->listener >= 0);
    assert_int_equal(bind(node->listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(node->listener, 8), 0);
    assert_int_equal(pthread_create(&node->thread, NULL, serve, node), 0);
}

/* When its clients are closed. */
static void node_stops(struct node *node)
{
    (void)shutdown(node->listener, SHUT_RDWR);
    assert_int_equal(pthread_join(node->thread, NULL), 0);
    (void)close(node->listener);
    (void)unlink(node->path);
}

#define NODE_STARTS(node, ...)                                                                     \
    do {                                                                                           \
        static const struct step node_steps[] = {__VA_ARGS__};                                     \
        node_starts((node), (node) == &nodes[0] ? "one" : "two", node_steps,                       \
                    sizeof node_steps / sizeof node_steps[0]);                                     \
    } while (0)

/* -- Clients ----------------------------------------------------------------------------------- */

static struct pando_client *client_of(const char *one, const char *other, uint64_t timeout_ms)
{
    const char *endpoints[] = {one, other};
    struct pando_config config = PANDO_CONFIG_INIT;
    struct pando_client *client = NULL;
    config.endpoints = endpoints;
    config.endpoint_count = other == NULL ? 1 : 2;
    config.timeout_ms = timeout_ms;
    assert_int_equal(pando_client_open(&config, &client), PANDO_OK);
    return client;
}

static enum pando_status put(struct pando_client *client)
{
    int64_t revision = 0;
    enum pando_status status = pando_put(client, pando_text("a"), pando_text("1"), 0, &revision);
    assert_true(status != PANDO_OK || revision == 7);
    return status;
}

static enum pando_status get(struct pando_client *client)
{
    const struct pando_keys keys = pando_key(pando_text("a"));
    struct pando_result *result = NULL;
    enum pando_status status = pando_get(client, &keys, 0, 0, 0, &result);
    if (status == PANDO_OK) {
        assert_int_equal(pando_result_count(result), 1);
        assert_memory_equal(pando_result_record(result, 0)->value.data, "1", 1);
        assert_null(pando_result_record(result, 1));
        assert_int_equal(pando_result_total(result), 1);
        assert_int_equal(pando_result_revision(result), 7);
    }
    pando_result_free(result);
    return status;
}

#define LONG_MS 60000u
#define SHORT_MS 300u

static void endpoints_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host; /* NULL: none */
        const char *port;
        enum pd_link_kind kind;
    } cases[] = {{"tcp:localhost:2379", "localhost", "2379", PD_LINK_TCP},
                 {"tls:[::1]:1", "::1", "1", PD_LINK_TLS},
                 {"tcp:10.0.0.1:65535", "10.0.0.1", "65535", PD_LINK_TCP},
                 {"tcp:10.0.0.1:65536", NULL, NULL, PD_LINK_TCP},
                 {"tcp:10.0.0.1:0", NULL, NULL, PD_LINK_TCP},
                 {"tcp:10.0.0.1:", NULL, NULL, PD_LINK_TCP},
                 {"tcp::1", NULL, NULL, PD_LINK_TCP},
                 {"tcp:::1:80", NULL, NULL, PD_LINK_TCP},
                 {"tcp:host", NULL, NULL, PD_LINK_TCP},
                 {"tcp:host:+80", NULL, NULL, PD_LINK_TCP},
                 {"tcp:host:99999999999", NULL, NULL, PD_LINK_TCP},
                 {"http://host:80", NULL, NULL, PD_LINK_TCP},
                 {"", NULL, NULL, PD_LINK_TCP},
                 {"unix:", NULL, NULL, PD_LINK_UNIX}};
    struct pd_link_endpoint endpoint;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(pd_link_endpoint_parse(cases[i].text, &endpoint), cases[i].host != NULL);
        if (cases[i].host != NULL) {
            assert_int_equal(endpoint.kind, cases[i].kind);
            assert_string_equal(endpoint.host, cases[i].host);
            assert_string_equal(endpoint.port, cases[i].port);
        }
    }
    char host[400];
    (void)snprintf(host, sizeof host, "tcp:%0300d:80", 1);
    assert_false(pd_link_endpoint_parse(host, &endpoint));
}

static void a_wrong_configuration_is_told(void **state)
{
    (void)state;
    static const char *const endpoints[] = {"unix:/nobody"};
    struct pando_client *client = NULL;
    struct pando_config config = PANDO_CONFIG_INIT;
    assert_int_equal(pando_client_open(&config, &client), PANDO_INVALID);
    assert_non_null(strstr(pando_client_message(client), "endpoints"));
    pando_client_close(client);
    config.endpoints = endpoints;
    config.endpoint_count = 1;
    config.cert_file = "cert.pem";
    assert_int_equal(pando_client_open(&config, &client), PANDO_INVALID);
    pando_client_close(client);
    config.cert_file = NULL;
    config.config_size--;
    assert_int_equal(pando_client_open(&config, &client), PANDO_INVALID);
    pando_client_close(client);
    pando_client_close(NULL);
    client = client_of("unix:/nobody", NULL, LONG_MS);
    assert_int_equal(put(client), PANDO_UNREACHABLE);
    assert_int_equal(get(client), PANDO_UNREACHABLE);
    assert_non_null(strstr(pando_client_message(client), "no node listens"));
    assert_null(pando_client_endpoint(client));
    const struct pando_keys none = pando_key(pando_text(""));
    struct pando_result *result = NULL;
    assert_int_equal(pando_get(client, &none, 0, 0, 0, &result), PANDO_INVALID);
    pando_client_close(client);
}

static void a_write_goes_on_elsewhere_and_happens_once(void **state)
{
    (void)state;
    NODE_STARTS(&nodes[0], {.act = ACT_OK}, {.act = ACT_HANG_UP},
                {.act = ACT_OUTCOME, .outcome = PD_REPLICA_NOT_LEADER});
    NODE_STARTS(&nodes[1], {.act = ACT_OUTCOME, .outcome = PD_REPLICA_UNKNOWN}, {.act = ACT_OK});
    struct pando_client *client = client_of(nodes[0].endpoint, nodes[1].endpoint, LONG_MS);
    assert_int_equal(put(client), PANDO_OK);
    assert_string_equal(pando_client_endpoint(client), nodes[1].endpoint);
    assert_int_equal(get(client), PANDO_OK);
    pando_client_close(client);
    node_stops(&nodes[0]);
    node_stops(&nodes[1]);
    /* Session; then the same number each time. */
    assert_int_equal(nodes[0].heads[0].session, 0);
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(nodes[0].heads[i].session, 41);
        assert_int_equal(nodes[0].heads[i].sequence, 1);
        assert_int_equal(nodes[1].heads[i - 1].session, 41);
        assert_int_equal(nodes[1].heads[i - 1].sequence, 1);
    }
    /* And at last the session's end. */
    assert_int_equal(atomic_load(&nodes[1].step), 4);
}

static void what_is_not_known_is_said(void **state)
{
    (void)state;
    NODE_STARTS(&nodes[0], {.act = ACT_OK}, {.act = ACT_OK}, {.act = ACT_SILENT}, {.act = ACT_OK},
                {.act = ACT_HANG_UP}, {.act = ACT_OUTCOME, .outcome = PD_REPLICA_DISK_LOW});
    struct pando_client *client = client_of(nodes[0].endpoint, NULL, LONG_MS);
    assert_int_equal(put(client), PANDO_OK); /* so that it has a session, however slow we are */
    pando_client_set_timeout(client, SHORT_MS);
    assert_int_equal(put(client), PANDO_TIMEOUT);
    pando_client_set_timeout(client, LONG_MS);
    assert_int_equal(get(client), PANDO_OK);
    /* A refusal after a try whose answer was lost says nothing about that one. */
    assert_int_equal(put(client), PANDO_UNKNOWN);
    pando_client_close(client);
    node_stops(&nodes[0]);
}

static void late_answers_are_passed_over(void **state)
{
    (void)state;
    NODE_STARTS(&nodes[0], {.act = ACT_OK}, {.act = ACT_OK}, {.act = ACT_LATE}, {.act = ACT_OK});
    struct pando_client *client = client_of(nodes[0].endpoint, NULL, LONG_MS);
    assert_int_equal(put(client), PANDO_OK);
    pando_client_set_timeout(client, SHORT_MS);
    assert_int_equal(put(client), PANDO_TIMEOUT);
    pando_client_set_timeout(client, LONG_MS);
    assert_int_equal(get(client), PANDO_OK);
    pando_client_close(client);
    node_stops(&nodes[0]);
    assert_int_equal(atomic_load(&nodes[0].connections), 1);
}

static void a_session_that_has_ended_is_opened_anew(void **state)
{
    (void)state;
    NODE_STARTS(&nodes[0], {.act = ACT_OK}, {.act = ACT_OK},
                {.act = ACT_ERROR, .error = PD_KV_ERR_SESSION_UNKNOWN}, {.act = ACT_OK},
                {.act = ACT_OK}, {.act = ACT_HANG_UP},
                {.act = ACT_ERROR, .error = PD_KV_ERR_SESSION_UNKNOWN});
    struct pando_client *client = client_of(nodes[0].endpoint, NULL, LONG_MS);
    assert_int_equal(put(client), PANDO_OK);
    assert_int_equal(put(client), PANDO_OK);      /* it was idle: opened, and done */
    assert_int_equal(put(client), PANDO_UNKNOWN); /* the first try may have happened */
    pando_client_close(client);
    node_stops(&nodes[0]);
    assert_int_equal(nodes[0].heads[4].sequence, 1);
}

static void refusals_have_statuses(void **state)
{
    (void)state;
    NODE_STARTS(&nodes[0], {.act = ACT_OK}, {.act = ACT_OUTCOME, .outcome = PD_REPLICA_DISK_LOW},
                {.act = ACT_OUTCOME, .outcome = PD_REPLICA_INVALID},
                {.act = ACT_ERROR, .error = PD_KV_ERR_LEASE_NOT_FOUND},
                {.act = ACT_ERROR, .error = PD_KV_ERR_LEASE_EXISTS},
                {.act = ACT_ERROR, .error = PD_KV_ERR_COMPACTED},
                {.act = ACT_ERROR, .error = PD_KV_ERR_FUTURE_REVISION},
                {.act = ACT_ERROR, .error = PD_KV_ERR_LEASES_FULL});
    static const enum pando_status wanted[] = {PANDO_NO_SPACE, PANDO_REFUSED,   PANDO_NOT_FOUND,
                                               PANDO_EXISTS,   PANDO_COMPACTED, PANDO_INVALID,
                                               PANDO_REFUSED,  PANDO_OK};
    struct pando_client *client = client_of(nodes[0].endpoint, NULL, LONG_MS);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        assert_int_equal(put(client), wanted[i]);
    }
    pando_client_close(client);
    node_stops(&nodes[0]);
}

/* A full disk takes what frees space, and no session. */
static void a_delete_needs_no_session(void **state)
{
    (void)state;
    NODE_STARTS(&nodes[0], {.act = ACT_OUTCOME, .outcome = PD_REPLICA_DISK_LOW}, {.act = ACT_OK});
    struct pando_client *client = client_of(nodes[0].endpoint, NULL, LONG_MS);
    const struct pando_keys all = pando_prefix(pando_text(""));
    int64_t deleted = 0;
    assert_int_equal(pando_delete(client, &all, &deleted, NULL), PANDO_OK);
    assert_int_equal(deleted, 3);
    pando_client_close(client);
    node_stops(&nodes[0]);
    assert_int_equal(nodes[0].heads[1].session, 0);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    NODE_STARTS(&nodes[0], {.act = ACT_HUGE}, {.act = ACT_JUNK}, {.act = ACT_JUNK_OK});
    struct pando_client *client = client_of(nodes[0].endpoint, NULL, LONG_MS);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(get(client), PANDO_PROTOCOL);
    }
    assert_int_equal(get(client), PANDO_OK);
    pando_client_close(client);
    node_stops(&nodes[0]);
}

static void leases_and_transactions(void **state)
{
    (void)state;
    static const struct step none[] = {{.act = ACT_OK}};
    node_starts(&nodes[0], "one", none, 1);
    struct pando_client *client = client_of(nodes[0].endpoint, NULL, LONG_MS);
    int64_t id = 0;
    int64_t ttl_s = 0;
    int64_t ids[1] = {0};
    size_t count = 0;
    struct pando_result *keys = NULL;
    assert_int_equal(pando_lease_grant(client, 60, 0, &id, &ttl_s), PANDO_OK);
    assert_int_equal(id, 99);
    assert_int_equal(ttl_s, 60);
    assert_int_equal(pando_lease_grant(client, 0, 0, &id, &ttl_s), PANDO_INVALID);
    assert_int_equal(pando_lease_keep_alive(client, 99, &ttl_s), PANDO_OK);
    assert_int_equal(pando_lease_look(client, 99, &ttl_s, NULL, &keys), PANDO_OK);
    assert_int_equal(ttl_s, 50);
    assert_int_equal(pando_result_count(keys), 1);
    pando_result_free(keys);
    assert_int_equal(pando_lease_look(client, 404, NULL, NULL, NULL), PANDO_NOT_FOUND);
    assert_int_equal(pando_lease_list(client, ids, 1, &count), PANDO_OK);
    assert_int_equal(count, 2);
    assert_int_equal(ids[0], 5);
    assert_int_equal(pando_lease_revoke(client, 99, NULL), PANDO_OK);

    const struct pando_keys all = pando_prefix(pando_text("a"));
    struct pando_txn_result *result = NULL;
    struct pando_txn *txn = pando_txn_new();
    pando_txn_if_value(txn, pando_text("a"), PANDO_IS_EQUAL, pando_text("1"));
    pando_txn_if_number(txn, PANDO_COMPARE_LEASE, pando_text("a"), PANDO_IS_LESS, 5);
    pando_txn_delete(txn, PANDO_ELSE, &all); /* of the other branch: it comes behind */
    pando_txn_put(txn, PANDO_THEN, pando_text("b"), pando_text("2"), 0);
    pando_txn_get(txn, PANDO_THEN, &all);
    pando_txn_delete(txn, PANDO_THEN, &all);
    assert_int_equal(pando_txn_commit(client, txn, &result), PANDO_OK);
    assert_true(pando_txn_succeeded(result));
    assert_int_equal(pando_txn_count(result), 3);
    assert_int_equal(pando_txn_op(result, 0), PANDO_OP_PUT);
    assert_int_equal(pando_txn_op(result, 1), PANDO_OP_GET);
    assert_int_equal(pando_result_count(pando_txn_records(result, 1)), 1);
    assert_null(pando_txn_records(result, 2));
    assert_int_equal(pando_txn_deleted(result, 2), 3);
    assert_int_equal(pando_txn_op(result, 3), PANDO_OP_NONE);
    pando_txn_result_free(result);
    pando_txn_if_number(txn, PANDO_COMPARE_VALUE, pando_text("a"), PANDO_IS_LESS, 5);
    assert_int_equal(pando_txn_commit(client, txn, &result), PANDO_INVALID);
    pando_txn_free(txn);
    pando_client_close(client);
    node_stops(&nodes[0]);
}

static void a_keeper_keeps_and_ends(void **state)
{
    (void)state;
    static const struct step none[] = {{.act = ACT_OK}};
    node_starts(&nodes[0], "one", none, 1);
    struct pando_client *client = client_of(nodes[0].endpoint, NULL, LONG_MS);
    struct pando_keeper *keeper = NULL;
    assert_int_equal(pando_keeper_start(client, 99, &keeper), PANDO_OK);
    assert_int_equal(pando_keeper_look(keeper), PANDO_KEEPER_ALIVE);
    pando_keeper_stop(keeper);
    pando_keeper_stop(NULL);
    pando_client_close(client);
    node_stops(&nodes[0]);
}

/* -- Watches ----------------------------------------------------------------------------------- */

static const struct pando_event *next(struct pando_watch *watch, enum pando_event_kind kind)
{
    const struct pando_event *event = NULL;
    assert_int_equal(pando_watch_next(watch, LONG_MS, &event), PANDO_OK);
    assert_int_equal(event->kind, kind);
    return event;
}

static void next_put(struct pando_watch *watch, int64_t revision, const char *key)
{
    const struct pando_event *event = next(watch, PANDO_EVENT_PUT);
    assert_int_equal(event->revision, revision);
    assert_int_equal(event->record.key.size, strlen(key));
    assert_memory_equal(event->record.key.data, key, strlen(key));
}

static void a_watch_goes_on_without_gap_or_duplicate(void **state)
{
    (void)state;
    /* Lost in the middle of revision 11; refused once; then anew from 11 on; then compacted. */
    NODE_STARTS(&nodes[0], {.act = ACT_WATCH, .revision = 10, .events = 3, .then_hang_up = true},
                {.act = ACT_OUTCOME, .outcome = PD_REPLICA_NOT_READY},
                {.act = ACT_WATCH, .revision = 11, .events = 4, .then_hang_up = true},
                {.act = ACT_WATCH, .revision = 13, .events = 0, .compacted = 20});
    struct pando_client *client = client_of(nodes[0].endpoint, NULL, LONG_MS);
    const struct pando_keys all = pando_prefix(pando_text(""));
    const struct pando_event *event = NULL;
    struct pando_watch *watch = NULL;
    assert_int_equal(pando_watch_open(client, &all, 0, 0, &watch), PANDO_OK);
    assert_int_equal(pando_watch_descriptor(watch), -1);
    assert_int_equal(pando_watch_wait_ms(watch), 0);
    assert_int_equal(next(watch, PANDO_EVENT_LIVE)->revision, 10);
    assert_true(pando_watch_descriptor(watch) >= 0);
    assert_true(pando_watch_wait_ms(watch) == UINT64_MAX);
    next_put(watch, 10, "k0");
    next_put(watch, 10, "k1");
    next_put(watch, 11, "k2"); /* the first of its revision: the node calls it k0 next time */
    assert_int_equal(next(watch, PANDO_EVENT_LOST)->revision, 11);
    assert_true(pando_watch_wait_ms(watch) <= 200);
    assert_int_equal(next(watch, PANDO_EVENT_LIVE)->revision, 11);
    next_put(watch, 11, "k1");
    next_put(watch, 12, "k2");
    next_put(watch, 12, "k3");
    assert_int_equal(next(watch, PANDO_EVENT_LOST)->revision, 13);
    assert_int_equal(next(watch, PANDO_EVENT_LIVE)->revision, 13);
    assert_int_equal(pando_watch_next(watch, LONG_MS, &event), PANDO_COMPACTED);
    assert_int_equal(pando_watch_next(watch, LONG_MS, &event), PANDO_COMPACTED);
    assert_int_equal(pando_watch_compacted(watch), 20);
    assert_int_equal(pando_watch_revision(watch), 13);
    pando_watch_close(watch);
    pando_client_close(client);
    node_stops(&nodes[0]);
    assert_int_equal(nodes[0].watch_starts[0], 0);
    assert_int_equal(nodes[0].watch_starts[2], 11);
    assert_int_equal(nodes[0].watch_starts[3], 13);
}

static void a_watch_does_not_wait_when_it_must_not(void **state)
{
    (void)state;
    NODE_STARTS(&nodes[0], {.act = ACT_WATCH, .revision = 10, .events = 0});
    struct pando_client *client = client_of(nodes[0].endpoint, NULL, LONG_MS);
    const struct pando_keys key = pando_key(pando_text("a"));
    const struct pando_event *event = NULL;
    struct pando_watch *watch = NULL;
    assert_int_equal(pando_watch_open(client, &key, 5, 0, &watch), PANDO_OK);
    assert_int_equal(next(watch, PANDO_EVENT_LIVE)->revision, 5);
    assert_int_equal(pando_watch_next(watch, 0, &event), PANDO_TIMEOUT);
    assert_int_equal(pando_watch_next(watch, 1, &event), PANDO_TIMEOUT);
    pando_watch_close(watch);
    pando_client_close(client);
    node_stops(&nodes[0]);
    client = client_of("unix:/nobody", NULL, LONG_MS);
    assert_int_equal(pando_watch_open(client, &key, 5, 0, &watch), PANDO_OK);
    assert_int_equal(pando_watch_next(watch, LONG_MS, &event), PANDO_UNREACHABLE);
    pando_watch_close(watch);
    const struct pando_keys none = {.kind = PANDO_RANGE, .key = pando_text("a")};
    assert_int_equal(pando_watch_open(client, &none, 0, 0, &watch), PANDO_INVALID);
    pando_client_close(client);
}

static void a_watch_refuses_nonsense(void **state)
{
    (void)state;
    NODE_STARTS(&nodes[0], {.act = ACT_JUNK_OK}, {.act = ACT_HUGE});
    struct pando_client *client = client_of(nodes[0].endpoint, NULL, LONG_MS);
    const struct pando_keys key = pando_key(pando_text("a"));
    const struct pando_event *event = NULL;
    for (unsigned i = 0; i < 2; i++) {
        struct pando_watch *watch = NULL;
        assert_int_equal(pando_watch_open(client, &key, 5, 0, &watch), PANDO_OK);
        assert_int_equal(pando_watch_next(watch, LONG_MS, &event), PANDO_PROTOCOL);
        assert_int_equal(pando_watch_next(watch, LONG_MS, &event), PANDO_PROTOCOL);
        pando_watch_close(watch);
    }
    pando_client_close(client);
    node_stops(&nodes[0]);
}

/* -- Memory ------------------------------------------------------------------------------------ */

/* All that asks for memory, once. True: nothing failed. */
static bool use_everything(void)
{
    const char *endpoints[] = {nodes[0].endpoint};
    struct pando_config config = PANDO_CONFIG_INIT;
    struct pando_client *client = NULL;
    struct pando_txn_result *result = NULL;
    struct pando_watch *watch = NULL;
    const struct pando_keys all = pando_prefix(pando_text("a"));
    config.endpoints = endpoints;
    config.endpoint_count = 1;
    enum pando_status status = pando_client_open(&config, &client);
    if (status != PANDO_OK) {
        assert_int_equal(status, PANDO_NO_MEMORY);
        return false;
    }
    bool is_good = put(client) == PANDO_OK && get(client) == PANDO_OK;
    struct pando_txn *txn = pando_txn_new();
    if (txn != NULL) {
        pando_txn_if_value(txn, pando_text("a"), PANDO_IS_EQUAL, pando_text("1"));
        pando_txn_put(txn, PANDO_THEN, pando_text("b"), pando_text("2"), 0);
        pando_txn_get(txn, PANDO_THEN, &all);
        status = pando_txn_commit(client, txn, &result);
        assert_true(status == PANDO_OK || status == PANDO_NO_MEMORY);
        is_good = is_good && status == PANDO_OK;
    }
    is_good = is_good && txn != NULL;
    pando_txn_result_free(result);
    pando_txn_free(txn);
    is_good = is_good && pando_lease_look(client, 99, NULL, NULL, NULL) == PANDO_OK;
    status = pando_watch_open(client, &all, 0, 0, &watch);
    is_good = is_good && status == PANDO_OK;
    if (status == PANDO_OK) {
        pando_watch_close(watch);
    }
    pando_client_close(client);
    return is_good;
}

static void every_lack_of_memory_is_told(void **state)
{
    (void)state;
    static const struct step none[] = {{.act = ACT_OK}};
    node_starts(&nodes[0], "one", none, 1);
    bool is_good = false;
    for (uint64_t nth = 1; !is_good; nth++) {
        assert_true(nth < 200);
        pd_alloc_fail_nth(nth);
        is_good = use_everything();
        pd_alloc_fail_nth(0);
    }
    node_stops(&nodes[0]);
}

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/pando-client-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_are_read),
        cmocka_unit_test(a_wrong_configuration_is_told),
        cmocka_unit_test(a_write_goes_on_elsewhere_and_happens_once),
        cmocka_unit_test(what_is_not_known_is_said),
        cmocka_unit_test(late_answers_are_passed_over),
        cmocka_unit_test(a_session_that_has_ended_is_opened_anew),
        cmocka_unit_test(refusals_have_statuses),
        cmocka_unit_test(a_delete_needs_no_session),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(leases_and_transactions),
        cmocka_unit_test(a_keeper_keeps_and_ends),
        cmocka_unit_test(a_watch_goes_on_without_gap_or_duplicate),
        cmocka_unit_test(a_watch_does_not_wait_when_it_must_not),
        cmocka_unit_test(a_watch_refuses_nonsense),
        cmocka_unit_test(every_lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
