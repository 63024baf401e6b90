/* lunatic::networking: each pointer of each function alone is bad while all else is good, and what
 * the call needs is there: a trap, for whichever end of memory it passes. */
#include "base/host_certificates.h"
#include "host/certificates.h"
#include "net_world.h"

#define NAME_AT 800u
#define HOST_AT 850u
#define CERTIFICATE_AT 30000u
#define KEY_AT 36000u
#define SCRATCH_AT 900u

/* What stands for a number that only the world knows. */
enum {
    NEAR = 0x7FFF0000,
    FAR,
    LISTENER,
    PORT,
    UDP,
    UDP_PORT,
    LIST,
    TLS_LISTENER,
    TLS_STREAM,
    CERTIFICATE_SIZE,
    KEY_SIZE
};

struct row {
    const char *name;
    uint64_t arguments[10];
    size_t count;
    struct {
        uint32_t index;
        uint32_t size;
    } pointers[5];
};

#define ID(index)                                                                                  \
    {                                                                                              \
        index, 8                                                                                   \
    }

static const struct row rows[] = {
    {"resolve", {NAME_AT, 10, FOREVER, OUT_AT}, 4, {{0, 10}, ID(3)}},
    {"resolve_next",
     {LIST, SCRATCH_AT, SCRATCH_AT + 8, SCRATCH_AT + 24, SCRATCH_AT + 32, SCRATCH_AT + 40},
     6,
     {{1, 4}, {2, 16}, {3, 2}, {4, 4}, {5, 4}}},
    {"tcp_bind", {4, IP_AT, 0, 0, 0, OUT_AT}, 6, {{1, 4}, ID(5)}},
    {"tcp_local_addr", {LISTENER, OUT_AT}, 2, {ID(1)}},
    {"tcp_peer_addr", {NEAR, OUT_AT}, 2, {ID(1)}},
    {"tcp_accept", {LISTENER, OUT_AT, PEER_AT}, 3, {ID(1), ID(2)}},
    {"tcp_connect", {4, IP_AT, PORT, 0, 0, FOREVER, OUT_AT}, 7, {{1, 4}, ID(6)}},
    {"tcp_write_vectored", {NEAR, VECTORS_AT, 1, OUT_AT}, 4, {{1, 8}, ID(3)}},
    {"tcp_read", {FAR, DATA_AT, 4, OUT_AT}, 4, {{1, 4}, ID(3)}},
    {"tcp_peek", {FAR, DATA_AT, 4, OUT_AT}, 4, {{1, 4}, ID(3)}},
    {"tcp_flush", {NEAR, OUT_AT}, 2, {ID(1)}},
    {"udp_bind", {4, IP_AT, 0, 0, 0, OUT_AT}, 6, {{1, 4}, ID(5)}},
    {"udp_local_addr", {UDP, OUT_AT}, 2, {ID(1)}},
    {"udp_peer_addr", {UDP, OUT_AT}, 2, {ID(1)}},
    {"udp_receive", {UDP, DATA_AT, 4, OUT_AT}, 4, {{1, 4}, ID(3)}},
    {"udp_receive_from", {UDP, DATA_AT, 4, OUT_AT, PEER_AT}, 5, {{1, 4}, ID(3), ID(4)}},
    {"udp_send", {UDP, DATA_AT, 4, OUT_AT}, 4, {{1, 4}, ID(3)}},
    {"udp_send_to",
     {UDP, DATA_AT, 4, 4, IP_AT, UDP_PORT, 0, 0, OUT_AT},
     9,
     {{1, 4}, {4, 4}, ID(8)}},
    {"udp_connect", {UDP, 4, IP_AT, UDP_PORT, 0, 0, FOREVER, OUT_AT}, 8, {{2, 4}, ID(7)}},
    {"tls_bind",
     {4, IP_AT, 0, 0, 0, OUT_AT, CERTIFICATE_AT, CERTIFICATE_SIZE, KEY_AT, KEY_SIZE},
     10,
     {{1, 4}, ID(5), {6, CERTIFICATE_SIZE}, {8, KEY_SIZE}}},
    {"tls_local_addr", {TLS_LISTENER, OUT_AT}, 2, {ID(1)}},
    {"tls_accept", {TLS_LISTENER, OUT_AT, PEER_AT}, 3, {ID(1), ID(2)}},
    {"tls_connect", {HOST_AT, 9, 1, 0, OUT_AT, VECTORS_AT, 1}, 7, {{0, 9}, {5, 8}}},
    {"tls_write_vectored", {TLS_STREAM, VECTORS_AT, 1, OUT_AT}, 4, {{1, 8}}},
    {"tls_read", {TLS_STREAM, DATA_AT, 4, OUT_AT}, 4, {{1, 4}}},
};

/* For listeners. */
static struct pd_pem certificate, key;

/* An actor and the numbers of what it has. */
struct furnished {
    struct actor actor;
    uint64_t numbers[KEY_SIZE - NEAR + 1];
};

#define NUMBER(furnished, what) ((furnished)->numbers[(what)-NEAR])

static uint64_t value_of(const struct furnished *furnished, uint64_t argument)
{
    bool is_known = argument >= NEAR && argument <= KEY_SIZE;
    return is_known ? furnished->numbers[argument - NEAR] : argument;
}

static void furnish_tls(struct net_fixture *f, struct furnished *to)
{
    struct actor *actor = &to->actor;
    memcpy(actor_memory(actor, CERTIFICATE_AT), certificate.bytes, certificate.size);
    memcpy(actor_memory(actor, KEY_AT), key.bytes, key.size);
    NUMBER(to, CERTIFICATE_SIZE) = certificate.size;
    NUMBER(to, KEY_SIZE) = key.size;
    assert_int_equal(CALL(actor, NET, "tls_bind", 4, IP_AT, 0, 0, 0, OUT_AT, CERTIFICATE_AT,
                          certificate.size, KEY_AT, key.size),
                     0);
    NUMBER(to, TLS_LISTENER) = net_out(actor);
    assert_int_equal(CALL(actor, NET, "tls_local_addr", net_out(actor), OUT_AT), 0);
    uint16_t port = net_port(actor, net_out(actor));
    for (int i = 0; i < 2; i++) { /* one to accept now, one for a test */
        assert_int_equal(WAIT_CALL(f, actor, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT),
                         0);
    }
    assert_int_equal(WAIT_CALL(f, actor, "tls_accept", NUMBER(to, TLS_LISTENER), OUT_AT, PEER_AT),
                     0);
    NUMBER(to, TLS_STREAM) = net_out(actor);
}

/* Streams with bytes, a listener with a connection to accept, a socket with a datagram. */
static void furnish(struct net_fixture *f, struct furnished *to)
{
    to->actor = net_actor(f, "local");
    struct actor *actor = &to->actor;
    net_pair(f, actor, &NUMBER(to, NEAR), &NUMBER(to, FAR));
    uint16_t port = 0;
    NUMBER(to, LISTENER) = net_listen(actor, &port);
    NUMBER(to, PORT) = port;
    assert_int_equal(WAIT_CALL(f, actor, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT), 0);
    assert_int_equal(CALL(actor, NET, "udp_bind", 4, IP_AT, 0, 0, 0, OUT_AT), 0);
    NUMBER(to, UDP) = net_out(actor);
    assert_int_equal(CALL(actor, NET, "udp_local_addr", NUMBER(to, UDP), OUT_AT), 0);
    NUMBER(to, UDP_PORT) = net_port(actor, net_out(actor));
    assert_int_equal(WAIT_CALL(f, actor, "udp_connect", NUMBER(to, UDP), 4, IP_AT,
                               NUMBER(to, UDP_PORT), 0, 0, FOREVER, OUT_AT),
                     0);
    net_write(f, actor, NUMBER(to, NEAR), "data");
    assert_int_equal(WAIT_CALL(f, actor, "udp_send", NUMBER(to, UDP), DATA_AT, 4, OUT_AT), 0);
    (void)actor_put(actor, HOST_AT, "127.0.0.1");
    uint32_t size = actor_put(actor, NAME_AT, "[::1]:8080");
    assert_int_equal(WAIT_CALL(f, actor, "resolve", NAME_AT, size, FOREVER, OUT_AT), 0);
    NUMBER(to, LIST) = net_out(actor);
}

static void check_pointer(struct net_fixture *f, const struct row *row, size_t at)
{
    for (int end = 0; end < 2; end++) {
        struct furnished furnished = {.numbers = {0}};
        furnish(f, &furnished);
        if (strncmp(row->name, "tls", 3) == 0) {
            furnish_tls(f, &furnished);
        }
        uint64_t arguments[10];
        for (size_t i = 0; i < row->count; i++) {
            arguments[i] = value_of(&furnished, row->arguments[i]);
        }
        uint64_t size = value_of(&furnished, row->pointers[at].size);
        arguments[row->pointers[at].index] = end == 0 ? FAKE_MEMORY_SIZE - size + 1 : UINT32_MAX;
        actor_begin(&furnished.actor, abi_find(NET, row->name), arguments, row->count);
        net_poll(f, &furnished.actor);
        if (actor_lives(&furnished.actor) || strstr(f->world.last_text, "out of bounds") == NULL) {
            fail_msg("%s: argument %u: \"%s\"", row->name, row->pointers[at].index,
                     f->world.last_text);
        }
    }
}

static void bad_pointers_trap(void **state)
{
    struct net_fixture *f = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t at = 0; at < 5 && rows[i].pointers[at].size != 0; at++) {
            check_pointer(f, &rows[i], at);
        }
    }
}

/* The same calls with nothing bad do not trap: so it is the pointer that did. */
static void good_pointers_do_not(void **state)
{
    struct net_fixture *f = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct furnished furnished = {.numbers = {0}};
        furnish(f, &furnished);
        furnish_tls(f, &furnished);
        uint64_t arguments[10];
        for (size_t j = 0; j < rows[i].count; j++) {
            arguments[j] = value_of(&furnished, rows[i].arguments[j]);
        }
        actor_begin(&furnished.actor, abi_find(NET, rows[i].name), arguments, rows[i].count);
        if (strncmp(rows[i].name, "tls", 3) != 0) { /* a handshake has nobody at its other end */
            net_poll(f, &furnished.actor);
        }
        if (!actor_lives(&furnished.actor)) {
            fail_msg("%s: \"%s\"", rows[i].name, f->world.last_text);
        }
        net_kill(f, &furnished.actor);
    }
}

static int make_certificate(void **state)
{
    (void)state;
    char why[PD_CERTIFICATE_WHY_SIZE];
    return pd_real_certificates()->make_root(&certificate, &key, why) == PD_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bad_pointers_trap, net_setup, net_teardown),
        cmocka_unit_test_setup_teardown(good_pointers_do_not, net_setup, net_teardown),
    };
    return cmocka_run_group_tests(tests, make_certificate, NULL);
}
