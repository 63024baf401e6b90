/* store_port_world - the port over a link in a test's hands: what was sent, and answers to it. For
 * tests/unit/node/store_port_test.c alone. */
#ifndef PD_TESTS_NODE_STORE_PORT_WORLD_H
#define PD_TESTS_NODE_STORE_PORT_WORLD_H

#include "node/store_port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "host/real.h"
#include "kv/codec.h"
#include "node/replica_request.h"
#include "node/replica_watch.h"

#define SENT_MAX 512u
#define MS UINT64_C(1000000)
#define DEADLINE (10000 * MS)

struct sent {
    uint64_t correlation;
    struct pd_replica_request_head head;
    enum pd_kv_command_kind command;
    uint8_t body[512];
};

static struct fake_link {
    struct pd_store_link link; /* first */
    enum pd_status status;     /* of submit */
    struct sent sent[SENT_MAX];
    uint32_t count;
    bool is_reader;
    enum pd_status hot;
} fake;

static struct pd_real_host *real;
static struct pd_store_port *port;
static struct pd_kv_port *kv;
static uint64_t now_ns;
static int woken[2048]; /* by process: an index + 1 as a pointer */

static void wake(void *process)
{
    woken[(uintptr_t)process]++;
}

static enum pd_status fake_submit(struct pd_store_link *link, uint64_t correlation,
                                  struct pd_span bytes)
{
    (void)link;
    if (fake.status != PD_OK) {
        return fake.status;
    }
    assert_true(fake.count < SENT_MAX);
    struct sent *sent = &fake.sent[fake.count++];
    sent->correlation = correlation;
    assert_int_equal(pd_replica_request_decode(bytes, &sent->head), PD_OK);
    assert_true(sent->head.body.size <= sizeof sent->body);
    if (sent->head.body.size > 0) {
        memcpy(sent->body, sent->head.body.bytes, sent->head.body.size);
    }
    sent->head.body.bytes = sent->body;
    if (sent->head.kind == PD_REPLICA_REQUEST_WRITE) {
        const struct pd_kv_limits limits = pd_kv_config_default().limits;
        static struct pd_kv_op ops[1024];
        static struct pd_kv_compare compares[1024];
        const struct pd_kv_command_room room = {ops, compares, 1024, 1024};
        struct pd_kv_command command;
        assert_int_equal(pd_kv_command_decode(sent->head.body, &limits, &room, &command), PD_KV_OK);
        sent->command = command.kind;
    }
    return PD_OK;
}

static enum pd_status fake_read_hot(struct pd_store_link *link, struct pd_span key, uint8_t *room,
                                    size_t room_max, struct pd_kv_record *record_out)
{
    (void)link;
    (void)key;
    assert_true(room_max >= 4);
    memcpy(room, "warm", 4);
    *record_out = (struct pd_kv_record){.value = {room, 4}, .mod_revision = 5, .version = 1};
    return fake.hot;
}

static const char *fake_text(struct pd_store_link *link)
{
    (void)link;
    return "the link is down";
}

static const struct pd_store_link_ops fake_ops = {
    .submit = fake_submit, .read_hot = fake_read_hot, .text = fake_text};

static void open_with(uint32_t calls_max, uint32_t watches_max)
{
    memset(&fake, 0, sizeof fake);
    memset(woken, 0, sizeof woken);
    fake.link.ops = &fake_ops;
    now_ns = 1000 * MS;
    struct pd_store_port_config config = pd_store_port_config_default();
    config.host = pd_real_host_interface(real);
    config.calls_max = calls_max;
    config.watches_max = watches_max;
    config.watch_credit = 1000;
    config.bytes_max = 1 << 20;
    config.request_bytes_max = 1 << 19;
    assert_int_equal(pd_store_port_open(&config, &fake.link, &port), PD_OK);
    kv = pd_store_port_interface(port);
    kv->wake = wake;
}

static void close_port(void)
{
    struct pd_store_port_counters counters;
    pd_store_port_counters(port, &counters);
    assert_int_equal(counters.bytes_held, 0);
    kv->ops->settle(kv);
    pd_store_port_close(port);
    port = NULL;
}

static int set_up(void **state)
{
    (void)state;
    return pd_real_host_create(1, 4, &real) == PD_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    pd_real_host_destroy(real);
    return 0;
}

/* --- Asking ----------------------------------------------------------------------------------- */

static struct pd_span span(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

static struct pd_kv_ask ask_of(enum pd_kv_ask_kind kind, uintptr_t process)
{
    return (struct pd_kv_ask){.kind = kind,
                              .key = span("key"),
                              .value = kind == PD_KV_ASK_PUT ? span("value") : span(""),
                              .deadline_ns = now_ns + DEADLINE,
                              .process = (void *)process};
}

static struct pd_kv_ticket *begin_ask(const struct pd_kv_ask *ask)
{
    struct pd_kv_ticket *ticket = NULL;
    char text[PD_KV_PORT_TEXT_MAX];
    assert_int_equal(kv->ops->begin(kv, ask, &ticket, text), PD_KV_CODE_OK);
    return ticket;
}

static struct pd_kv_ticket *begin(enum pd_kv_ask_kind kind, uintptr_t process)
{
    struct pd_kv_ask ask = ask_of(kind, process);
    return begin_ask(&ask);
}

static bool step(struct pd_kv_ticket *ticket)
{
    uint64_t wake_at_ns = 0;
    bool is_over = kv->ops->step(ticket, now_ns, &wake_at_ns);
    assert_true(is_over || wake_at_ns > now_ns);
    return is_over;
}

static void ends(struct pd_kv_ticket *ticket, enum pd_kv_code code)
{
    assert_true(step(ticket));
    struct pd_kv_result result;
    kv->ops->result(ticket, &result);
    if (result.code != code) {
        print_error("%s\n", result.text);
    }
    assert_int_equal(result.code, code);
    assert_true(code == PD_KV_CODE_OK || result.text[0] != '\0');
    kv->ops->release(ticket);
}

/* --- Answering -------------------------------------------------------------------------------- */

static const struct sent *last(void)
{
    assert_true(fake.count > 0);
    return &fake.sent[fake.count - 1];
}

static void answer_with(uint64_t correlation, enum pd_replica_outcome outcome, const uint8_t *body,
                        size_t size)
{
    static uint8_t bytes[4096];
    const struct pd_replica_answer_head head = {.outcome = outcome};
    assert_true(PD_REPLICA_ANSWER_HEAD_SIZE + size <= sizeof bytes);
    pd_replica_answer_put_head(bytes, &head);
    if (size > 0) {
        memcpy(bytes + PD_REPLICA_ANSWER_HEAD_SIZE, body, size);
    }
    pd_store_port_answer(port, correlation,
                         (struct pd_span){bytes, PD_REPLICA_ANSWER_HEAD_SIZE + size});
}

static void answer_text(uint64_t correlation, enum pd_replica_outcome outcome, const char *text)
{
    answer_with(correlation, outcome, (const uint8_t *)text, strlen(text));
}

/* What the store says to the request: its own words, well formed. */
static void answer_store(const struct sent *sent, enum pd_kv_error error)
{
    uint8_t room[512];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    bool is_open = sent->command == PD_KV_SESSION_OPEN;
    struct pd_kv_answer_head head = {.error = error, .revision = 9};
    bool is_read = sent->head.kind == PD_REPLICA_REQUEST_READ;
    head.kind = error != PD_KV_OK ? PD_KV_ANSWER_NONE
                : is_open         ? PD_KV_ANSWER_SESSION
                : is_read         ? PD_KV_ANSWER_RANGE
                                  : PD_KV_ANSWER_PUT;
    pd_kv_answer_put_head(&writer, &head);
    if (error == PD_KV_OK && is_open) {
        static int64_t session = 100;
        pd_kv_answer_put_number(&writer, session++);
    } else if (error == PD_KV_OK && is_read) {
        const struct pd_kv_record record = {
            .key = span("key"), .value = span("value"), .mod_revision = 7, .version = 2};
        pd_kv_answer_put_record(&writer, &record);
        pd_kv_answer_put_end(&writer);
        pd_kv_answer_put_number(&writer, 0);
        pd_kv_answer_put_number(&writer, 1);
    } else if (error == PD_KV_OK) {
        pd_kv_answer_put_end(&writer);
    }
    assert_false(writer.is_full);
    answer_with(sent->correlation, PD_REPLICA_OK, room, writer.size);
}

static void answer_last(void)
{
    answer_store(last(), PD_KV_OK);
}

/* One write, so that the port has a session. */
static void open_session(void)
{
    struct pd_kv_ticket *ticket = begin(PD_KV_ASK_PUT, 1);
    assert_false(step(ticket));
    assert_int_equal(last()->command, PD_KV_SESSION_OPEN);
    answer_last();
    assert_false(step(ticket));
    answer_last();
    ends(ticket, PD_KV_CODE_OK);
    memset(woken, 0, sizeof woken);
}

#endif
