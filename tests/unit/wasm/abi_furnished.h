/* abi_furnished - an actor that has one of everything that a guest can have, so that any call can
 * succeed; and a count of all that it has.
 *
 * Ids       Each table of resources begins at another number: no id of one kind is one of another,
 *           and no other actor has the same.
 * Traps     Are caught, as lunatic::trap::catch does: the actor goes on, and what the call left
 *           behind can be counted. */
#ifndef PD_TEST_ABI_FURNISHED_H
#define PD_TEST_ABI_FURNISHED_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "abi_hostile.h"
#include "abi_kv.h"
#include "actor/supervisor_process.h"
#include "host/certificates.h"
#include "net_world.h"
#include "wasm/sqlite_state.h"

/* --- Places in its memory --------------------------------------------------------------------- */

#define SUPERVISOR "pando::supervisor"

#define ERROR_AT 528u
#define NAME_AT 800u     /* "name", which another process has */
#define FRESH_AT 810u    /* "fresh", which none has */
#define ADDRESS_AT 820u  /* "[0::0:1]:443" */
#define MODULE_AT 840u   /* "\0asm" */
#define FUNCTION_AT 850u /* "run" */
#define PARAMS_AT 860u   /* one i32 */
#define SQL_AT 880u      /* "SELECT 1" */
#define MEMORY_AT 890u   /* ":memory:" */
#define BINDS_AT 900u    /* a list of one NULL */
#define WORD_AT 920u     /* "word" */
#define FOLDER_AT 930u   /* "/data" */
#define TAGS_AT 944u     /* one tag */
#define HOST_AT 960u     /* "127.0.0.1" */
#define ROOTS_AT 976u    /* one part: the root certificate */
#define KEY_AT 1000u     /* "app/key", which begins with what it may touch of the store */
#define RIGHT_AT 1010u   /* "local" */
#define ROOT_AT 20000u
#define ROOT_KEY_AT 24000u
#define REQUEST_AT 28000u
#define ALLOCATED_AT 50000u /* what its lunatic_alloc gives */

/* --- What it has ------------------------------------------------------------------------------ */

enum thing {
    AN_ERROR,
    A_MODULE,
    A_CONFIG,
    A_TIMER,
    A_NAME_LIST,
    A_LISTENER,
    A_STREAM,          /* with "data" to read */
    A_DATAGRAM_SOCKET, /* connected to itself, with "data" to receive */
    A_TLS_LISTENER,
    A_TLS_STREAM, /* with "data" to read */
    A_CONNECTION,
    A_STATEMENT,
    A_STATEMENT_AT_ROW,
    A_QUERY,
    A_SUPERVISOR, /* of pando::supervisor: a specification with a child */
    A_BRANCH,     /* and one without */
    A_WATCH,
    THINGS
};

/* Numbers that a test knows only when it runs. */
enum {
    OWN_PID = 0x7FFF0000,
    OTHER_PID,
    LISTENER_PORT,
    DATAGRAM_PORT,
    TLS_PORT,
    ROOT_SIZE,
    ROOT_KEY_SIZE,
    REQUEST_SIZE,
    LEASE,
    SUPERVISOR_PID, /* with two children: "word" runs, "fresh" is stopped */
    CHILD_PID,      /* "word" */
    DYNAMIC_PID,    /* a dynamic one */
    NUMBERS_END
};

struct furnished {
    struct actor actor;
    uint64_t ids[THINGS];
    uint64_t dropped[THINGS]; /* it had them once */
    uint64_t numbers[NUMBERS_END - OWN_PID];
};

struct house {
    struct net_fixture net; /* first */
    struct actor other;     /* lives as long as the house; its ids are its own */
    struct furnished others;
    uint64_t tls_listener; /* of the other */
    uint16_t tls_port;
    uint64_t cleared_pid; /* up to here nobody but the other lives */
};

static uint8_t house_answer[128]; /* of the store: "app/key" is "value" */
static struct pd_pem house_root, house_key, house_request;

#define NUMBER(furnished, what) ((furnished)->numbers[(what)-OWN_PID])

static inline uint64_t furnished_number(const struct furnished *furnished, uint64_t value)
{
    bool is_known = value >= OWN_PID && value < NUMBERS_END;
    return is_known ? furnished->numbers[value - OWN_PID] : value;
}

/* --- Certificates ----------------------------------------------------------------------------- */

static inline void make_house_request(void)
{
    gnutls_x509_privkey_t key = NULL;
    gnutls_x509_crq_t request = NULL;
    size_t size = sizeof house_request.bytes;
    gnutls_datum_t datum = {.data = house_key.bytes, .size = (unsigned)house_key.size};
    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    assert_int_equal(gnutls_x509_privkey_import(key, &datum, GNUTLS_X509_FMT_PEM), 0);
    assert_int_equal(gnutls_x509_crq_init(&request), 0);
    assert_int_equal(gnutls_x509_crq_set_version(request, 1), 0);
    assert_int_equal(gnutls_x509_crq_set_dn(request, "CN=Node", NULL), 0);
    assert_int_equal(gnutls_x509_crq_set_key(request, key), 0);
    assert_int_equal(gnutls_x509_crq_sign2(request, key, GNUTLS_DIG_SHA256, 0), 0);
    assert_int_equal(
        gnutls_x509_crq_export(request, GNUTLS_X509_FMT_PEM, house_request.bytes, &size), 0);
    house_request.size = size;
    gnutls_x509_crq_deinit(request);
    gnutls_x509_privkey_deinit(key);
}

/* An authority that is a server itself, at 127.0.0.1. */
static inline void make_house_root(void)
{
    static const uint8_t ip[4] = {127, 0, 0, 1};
    static const uint8_t serial[1] = {1};
    gnutls_x509_privkey_t key = NULL;
    gnutls_x509_crt_t root = NULL;
    house_root.size = sizeof house_root.bytes;
    house_key.size = sizeof house_key.bytes;
    bool is_made =
        gnutls_x509_privkey_init(&key) == 0 &&
        gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                     GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) == 0 &&
        gnutls_x509_crt_init(&root) == 0 && gnutls_x509_crt_set_version(root, 3) == 0 &&
        gnutls_x509_crt_set_key(root, key) == 0 &&
        gnutls_x509_crt_set_serial(root, serial, sizeof serial) == 0 &&
        gnutls_x509_crt_set_activation_time(root, 1000) == 0 &&
        gnutls_x509_crt_set_expiration_time(root, 4000000000) == 0 &&
        gnutls_x509_crt_set_dn(root, "CN=test", NULL) == 0 &&
        gnutls_x509_crt_set_basic_constraints(root, 1, -1) == 0 &&
        gnutls_x509_crt_set_subject_alt_name(root, GNUTLS_SAN_IPADDRESS, ip, sizeof ip,
                                             GNUTLS_FSAN_SET) == 0 &&
        gnutls_x509_crt_sign2(root, root, key, GNUTLS_DIG_SHA256, 0) == 0 &&
        gnutls_x509_crt_export(root, GNUTLS_X509_FMT_PEM, house_root.bytes, &house_root.size) ==
            0 &&
        gnutls_x509_privkey_export_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
                                         house_key.bytes, &house_key.size) == 0;
    assert_true(is_made);
    gnutls_x509_crt_deinit(root);
    gnutls_x509_privkey_deinit(key);
}

static inline int make_house_certificates(void **state)
{
    (void)state;
    make_house_root();
    make_house_request();
    return 0;
}

/* --- Furnishing ------------------------------------------------------------------------------- */

static inline void furnish_memory(struct furnished *to)
{
    struct actor *actor = &to->actor;
    static const uint8_t binds[16] = {1}; /* one pair: no key, NULL */
    net_put_local(actor, 4);
    (void)actor_put(actor, DATA_AT, "data");
    (void)actor_put(actor, NAME_AT, "name");
    (void)actor_put(actor, FRESH_AT, "fresh");
    (void)actor_put(actor, ADDRESS_AT, "[0::0:1]:443");
    (void)actor_put(actor, FUNCTION_AT, "run");
    (void)actor_put(actor, SQL_AT, "SELECT 1");
    (void)actor_put(actor, MEMORY_AT, ":memory:");
    (void)actor_put(actor, WORD_AT, "word");
    (void)actor_put(actor, FOLDER_AT, "/data");
    (void)actor_put(actor, HOST_AT, "127.0.0.1");
    (void)actor_put(actor, KEY_AT, "app/key");
    (void)actor_put(actor, RIGHT_AT, "local");
    memcpy(actor_memory(actor, MODULE_AT), "\0asm", 4);
    memcpy(actor_memory(actor, BINDS_AT), binds, sizeof binds);
    actor_memory(actor, PARAMS_AT)[0] = 0x7F;
    pd_put_u64(actor_memory(actor, TAGS_AT), 77);
    pd_put_u32(actor_memory(actor, VECTORS_AT), DATA_AT);
    pd_put_u32(actor_memory(actor, VECTORS_AT + 4), 4);
    pd_put_u32(actor_memory(actor, ROOTS_AT), ROOT_AT);
    pd_put_u32(actor_memory(actor, ROOTS_AT + 4), (uint32_t)house_root.size);
    memcpy(actor_memory(actor, ROOT_AT), house_root.bytes, house_root.size);
    memcpy(actor_memory(actor, ROOT_KEY_AT), house_key.bytes, house_key.size);
    memcpy(actor_memory(actor, REQUEST_AT), house_request.bytes, house_request.size);
    NUMBER(to, ROOT_SIZE) = house_root.size;
    NUMBER(to, ROOT_KEY_SIZE) = house_key.size;
    NUMBER(to, REQUEST_SIZE) = house_request.size;
}

/* Where ids begin: `shift` is the actor's own. */
static inline uint64_t first_id(enum thing thing, uint64_t shift)
{
    return UINT64_C(1000) * (1 + (uint64_t)thing) + shift;
}

static inline void number_tables(struct furnished *to, uint64_t shift)
{
    struct pd_wasm_process *self = actor_wasm(&to->actor);
    (void)CALL(&to->actor, NET, "get_udp_socket_ttl", 0); /* traps, and makes the tables */
    struct pd_net_state *net = self->net;
    self->errors.next_id = first_id(AN_ERROR, shift);
    self->modules.next_id = first_id(A_MODULE, shift);
    self->configs.next_id = first_id(A_CONFIG, shift);
    self->timers.next_id = first_id(A_TIMER, shift);
    self->supervisors.next_id = first_id(A_SUPERVISOR, shift);
    self->lookups.next_id = first_id(A_QUERY, shift);
    net->names.next_id = first_id(A_NAME_LIST, shift);
    net->listeners.next_id = first_id(A_LISTENER, shift);
    net->streams.next_id = first_id(A_STREAM, shift);
    net->datagrams.next_id = first_id(A_DATAGRAM_SOCKET, shift);
    net->tls_listeners.next_id = first_id(A_TLS_LISTENER, shift);
    net->tls_streams.next_id = first_id(A_TLS_STREAM, shift);
}

static inline void furnish_error(struct furnished *to, uint64_t *id_out)
{
    assert_int_equal(CALL(&to->actor, "lunatic::process", "compile_module", WORD_AT, 4, OUT_AT), 1);
    *id_out = net_out(&to->actor);
}

static inline uint64_t furnish_module(struct furnished *to)
{
    assert_int_equal(CALL(&to->actor, "lunatic::process", "compile_module", MODULE_AT, 4, OUT_AT),
                     0);
    return net_out(&to->actor);
}

static inline uint64_t furnish_timer(struct furnished *to)
{
    (void)CALL(&to->actor, MESSAGE, "create_data", 0, 0);
    return CALL(&to->actor, "lunatic::timer", "send_after", 1000000, UINT64_C(1) << 40);
}

static inline uint64_t furnish_query(struct furnished *to)
{
    assert_int_equal(CALL(&to->actor, "lunatic::distributed", "exec_lookup_nodes", 0, 0, OUT_AT,
                          PEER_AT, ERROR_AT),
                     0);
    return net_out(&to->actor);
}

/* A specification of this strategy, and a child of one: they run "run". */
static inline uint64_t furnish_supervisor(struct furnished *to, uint64_t strategy)
{
    return CALL(&to->actor, SUPERVISOR, "create", strategy, 3, 1000);
}

static inline void furnish_child(struct furnished *to, uint64_t specification, uint32_t id_at,
                                 uint32_t id_size)
{
    (void)CALL(&to->actor, SUPERVISOR, "add_worker", specification, id_at, id_size,
               to->ids[A_CONFIG], UINT64_MAX, FUNCTION_AT, 3, PARAMS_AT, 17, 0, 0, 5);
}

/* What costs little: every actor gets it. */
static inline void furnish_tables(struct furnished *to)
{
    struct actor *actor = &to->actor;
    furnish_error(to, &to->dropped[AN_ERROR]);
    (void)CALL(actor, "lunatic::error", "drop", to->dropped[AN_ERROR]);
    furnish_error(to, &to->ids[AN_ERROR]);
    to->dropped[A_MODULE] = furnish_module(to);
    (void)CALL(actor, "lunatic::process", "drop_module", to->dropped[A_MODULE]);
    to->ids[A_MODULE] = furnish_module(to);
    to->dropped[A_CONFIG] = CALL(actor, "lunatic::process", "create_config");
    (void)CALL(actor, "lunatic::process", "drop_config", to->dropped[A_CONFIG]);
    to->ids[A_CONFIG] = CALL(actor, "lunatic::process", "create_config");
    to->dropped[A_TIMER] = furnish_timer(to);
    assert_int_equal(CALL(actor, "lunatic::timer", "cancel_timer", to->dropped[A_TIMER]), 1);
    to->ids[A_TIMER] = furnish_timer(to);
    to->dropped[A_QUERY] = furnish_query(to);
    assert_int_equal(CALL(actor, "lunatic::distributed", "copy_lookup_nodes_results",
                          to->dropped[A_QUERY], OUT_AT, 1, ERROR_AT),
                     1);
    to->ids[A_QUERY] = furnish_query(to);
    to->dropped[A_SUPERVISOR] = furnish_supervisor(to, 0);
    (void)CALL(actor, SUPERVISOR, "drop", to->dropped[A_SUPERVISOR]);
    to->ids[A_SUPERVISOR] = furnish_supervisor(to, 0);
    furnish_child(to, to->ids[A_SUPERVISOR], WORD_AT, 4);
    to->dropped[A_BRANCH] = to->dropped[A_SUPERVISOR];
    to->ids[A_BRANCH] = furnish_supervisor(to, 0);
    (void)CALL(actor, "lunatic::process", "die_when_link_dies", 0);
}

static inline uint64_t furnish_watch(struct furnished *to)
{
    assert_int_equal(CALL(&to->actor, KV, "watch", KEY_AT, 7, 0, 0, 0, 1, 0, OUT_AT), 0);
    return net_out(&to->actor);
}

/* A watch, a lease, and an answer of the store that is not read yet. */
static inline void furnish_store(struct furnished *to, uint64_t shift)
{
    struct actor *actor = &to->actor;
    (void)CALL(actor, KV, "set_timeout", 1000); /* makes the table */
    actor_wasm(actor)->kv->watch_last = first_id(A_WATCH, shift);
    to->dropped[A_WATCH] = furnish_watch(to);
    assert_int_equal(CALL(actor, KV, "unwatch", to->dropped[A_WATCH]), 0);
    to->ids[A_WATCH] = furnish_watch(to);
    assert_int_equal(CALL(actor, KV, "lease_grant", 30, 0, OUT_AT), 0);
    NUMBER(to, LEASE) = net_out(actor);
    assert_int_equal(CALL(actor, KV, "range", KEY_AT, 7, 0, 0, 0, 0, 0, OUT_AT), 0);
}

static inline uint64_t furnish_start(struct furnished *to, uint64_t specification)
{
    assert_int_equal(CALL(&to->actor, SUPERVISOR, "start", specification, 0, OUT_AT), 0);
    return net_out(&to->actor);
}

static inline uint64_t furnished_child(struct furnished *to, uint64_t supervisor, uint32_t at)
{
    struct actor *actor = &to->actor;
    assert_int_equal(CALL(actor, SUPERVISOR, "list", supervisor, 0, DATA_AT, 1000, FOREVER, OUT_AT),
                     0);
    const struct pd_supervisor_answer answer = {.rows = actor_memory(actor, DATA_AT),
                                                .rows_size = (uint32_t)net_out(actor)};
    struct pd_supervisor_row row = {.pid = {0}};
    uint32_t offset = 0;
    for (uint32_t i = 0; i <= at; i++) {
        assert_true(pd_supervisor_row_read(&answer, &offset, &row));
    }
    return row.pid.value;
}

static inline void furnish_supervisors(struct furnished *to)
{
    struct actor *actor = &to->actor;
    uint64_t specification = furnish_supervisor(to, 0);
    furnish_child(to, specification, WORD_AT, 4);
    furnish_child(to, specification, FRESH_AT, 5);
    uint64_t pid = furnish_start(to, specification);
    NUMBER(to, SUPERVISOR_PID) = pid;
    NUMBER(to, CHILD_PID) = furnished_child(to, pid, 0);
    assert_int_equal(
        CALL(actor, SUPERVISOR, "stop_child", pid, furnished_child(to, pid, 1), FOREVER, OUT_AT),
        0);
    specification = furnish_supervisor(to, 3);
    furnish_child(to, specification, WORD_AT, 4);
    NUMBER(to, DYNAMIC_PID) = furnish_start(to, specification);
}

static inline uint64_t furnish_names(struct furnished *to)
{
    assert_int_equal(CALL(&to->actor, NET, "resolve", ADDRESS_AT, 12, FOREVER, OUT_AT), 0);
    return net_out(&to->actor);
}

/* Listener: a connection waits there. */
static inline void furnish_streams(struct house *house, struct furnished *to)
{
    struct actor *actor = &to->actor;
    uint16_t port = 0;
    uint64_t near = 0;
    to->dropped[A_NAME_LIST] = furnish_names(to);
    (void)CALL(actor, NET, "drop_dns_iterator", to->dropped[A_NAME_LIST]);
    to->ids[A_NAME_LIST] = furnish_names(to);
    net_pair(&house->net, actor, &near, &to->ids[A_STREAM]);
    to->dropped[A_STREAM] = CALL(actor, NET, "clone_tcp_stream", near);
    (void)CALL(actor, NET, "drop_tcp_stream", to->dropped[A_STREAM]);
    net_write(&house->net, actor, near, "data");
    to->dropped[A_LISTENER] = net_listen(actor, &port);
    (void)CALL(actor, NET, "drop_tcp_listener", to->dropped[A_LISTENER]);
    to->ids[A_LISTENER] = net_listen(actor, &port);
    NUMBER(to, LISTENER_PORT) = port;
    assert_int_equal(
        WAIT_CALL(&house->net, actor, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT), 0);
}

static inline uint64_t furnish_datagram_socket(struct furnished *to)
{
    assert_int_equal(CALL(&to->actor, NET, "udp_bind", 4, IP_AT, 0, 0, 0, OUT_AT), 0);
    return net_out(&to->actor);
}

static inline void furnish_datagrams(struct house *house, struct furnished *to)
{
    struct actor *actor = &to->actor;
    to->dropped[A_DATAGRAM_SOCKET] = furnish_datagram_socket(to);
    (void)CALL(actor, NET, "drop_udp_socket", to->dropped[A_DATAGRAM_SOCKET]);
    uint64_t socket = furnish_datagram_socket(to);
    assert_int_equal(CALL(actor, NET, "udp_local_addr", socket, OUT_AT), 0);
    NUMBER(to, DATAGRAM_PORT) = net_port(actor, net_out(actor));
    assert_int_equal(WAIT_CALL(&house->net, actor, "udp_connect", socket, 4, IP_AT,
                               NUMBER(to, DATAGRAM_PORT), 0, 0, FOREVER, OUT_AT),
                     0);
    assert_int_equal(WAIT_CALL(&house->net, actor, "udp_send", socket, DATA_AT, 4, OUT_AT), 0);
    to->ids[A_DATAGRAM_SOCKET] = socket;
}

static inline uint64_t listen_tls(struct actor *actor, uint16_t *port_out)
{
    assert_int_equal(CALL(actor, NET, "tls_bind", 4, IP_AT, 0, 0, 0, OUT_AT, ROOT_AT,
                          house_root.size, ROOT_KEY_AT, house_key.size),
                     0);
    uint64_t listener = net_out(actor);
    assert_int_equal(CALL(actor, NET, "tls_local_addr", listener, OUT_AT), 0);
    *port_out = net_port(actor, net_out(actor));
    return listener;
}

/* With the other actor at its other end, which wrote "data". It writes first itself: what it says
 * acknowledges what came, and nobody waits for that. */
static inline void furnish_tls_stream(struct house *house, struct furnished *to)
{
    struct net_fixture *net = &house->net;
    struct actor *actor = &to->actor;
    struct actor *other = &house->other;
    BEGIN(actor, NET, "tls_connect", HOST_AT, 9, house->tls_port, FOREVER, OUT_AT, ROOTS_AT, 1);
    assert_int_equal(WAIT_CALL(net, other, "tls_accept", house->tls_listener, OUT_AT, PEER_AT), 0);
    uint64_t far = net_out(other);
    (void)CALL(other, NET, "drop_dns_iterator", actor_u64(other, PEER_AT));
    BEGIN(other, NET, "tls_flush", far, OUT_AT);
    net_poll(net, actor);
    assert_int_equal(actor_result(actor), 0);
    net_poll(net, other);
    uint64_t near = net_out(actor);
    assert_int_equal(WAIT_CALL(net, actor, "tls_write_vectored", near, VECTORS_AT, 1, OUT_AT), 0);
    assert_int_equal(WAIT_CALL(net, other, "tls_read", far, DATA_AT, 4, OUT_AT), 0);
    assert_int_equal(WAIT_CALL(net, other, "tls_write_vectored", far, VECTORS_AT, 1, OUT_AT), 0);
    assert_int_equal(WAIT_CALL(net, other, "tls_flush", far, OUT_AT), 0);
    (void)CALL(other, NET, "drop_tls_stream", far);
    to->ids[A_TLS_STREAM] = near;
    to->dropped[A_TLS_STREAM] = CALL(actor, NET, "clone_tls_stream", near);
    (void)CALL(actor, NET, "drop_tls_stream", to->dropped[A_TLS_STREAM]);
}

static inline void furnish_tls(struct house *house, struct furnished *to)
{
    uint16_t port = 0;
    to->dropped[A_TLS_LISTENER] = listen_tls(&to->actor, &port);
    (void)CALL(&to->actor, NET, "drop_tls_listener", to->dropped[A_TLS_LISTENER]);
    to->ids[A_TLS_LISTENER] = listen_tls(&to->actor, &port);
    NUMBER(to, TLS_PORT) = port;
    assert_int_equal(
        WAIT_CALL(&house->net, &to->actor, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT),
        0);
    furnish_tls_stream(house, to);
}

static inline uint64_t furnish_statement(struct furnished *to)
{
    uint32_t size = actor_put(&to->actor, DATA_AT, "SELECT ?1, 'x'");
    return CALL(&to->actor, "lunatic::sqlite", "query_prepare", to->ids[A_CONNECTION], DATA_AT,
                size);
}

static inline uint64_t furnish_connection(struct furnished *to)
{
    assert_int_equal(CALL(&to->actor, "lunatic::sqlite", "open", MEMORY_AT, 8, OUT_AT), 0);
    return net_out(&to->actor);
}

/* Connections cannot be dropped by lunatic::sqlite: pando::sqlite::close does. */
static inline void furnish_sqlite(struct furnished *to, uint64_t shift)
{
    uint64_t first = furnish_connection(to);
    assert_int_equal(CALL(&to->actor, "pando::sqlite", "close", first), 0);
    struct pd_sqlite_state *sqlite = actor_wasm(&to->actor)->sqlite;
    sqlite->connections.next_id = first_id(A_CONNECTION, shift);
    sqlite->statements.next_id = first_id(A_STATEMENT, shift);
    to->dropped[A_CONNECTION] = furnish_connection(to);
    assert_int_equal(CALL(&to->actor, "pando::sqlite", "close", to->dropped[A_CONNECTION]), 0);
    to->ids[A_CONNECTION] = furnish_connection(to);
    to->dropped[A_STATEMENT] = furnish_statement(to);
    to->dropped[A_STATEMENT_AT_ROW] = to->dropped[A_STATEMENT];
    (void)CALL(&to->actor, "lunatic::sqlite", "sqlite3_finalize", to->dropped[A_STATEMENT]);
    to->ids[A_STATEMENT] = furnish_statement(to);
    to->ids[A_STATEMENT_AT_ROW] = furnish_statement(to);
    assert_int_equal(
        CALL(&to->actor, "lunatic::sqlite", "sqlite3_step", to->ids[A_STATEMENT_AT_ROW]), 100);
}

/* What a message carries, by its place there. */
enum {
    CARRIES_A_MODULE,
    CARRIES_A_STREAM,
    CARRIES_A_DATAGRAM_SOCKET,
    CARRIES_A_TLS_STREAM,
    CARRIES_NOTHING
};

/* "hello" with tag 5; `is_plain`: without resources, else as many as there are. */
static inline void furnish_message(struct furnished *to, bool is_plain)
{
    struct actor *actor = &to->actor;
    actor_create_message(actor, 5, "hello");
    if (is_plain) {
        return;
    }
    (void)CALL(actor, MESSAGE, "push_module", to->ids[A_MODULE]);
    if (to->ids[A_STREAM] != 0) {
        (void)CALL(actor, MESSAGE, "push_tcp_stream",
                   CALL(actor, NET, "clone_tcp_stream", to->ids[A_STREAM]));
        (void)CALL(actor, MESSAGE, "push_udp_socket",
                   CALL(actor, NET, "clone_udp_socket", to->ids[A_DATAGRAM_SOCKET]));
    }
    if (to->ids[A_TLS_STREAM] != 0) {
        (void)CALL(actor, MESSAGE, "push_tls_stream",
                   CALL(actor, NET, "clone_tls_stream", to->ids[A_TLS_STREAM]));
    }
}

/* What a call needs besides the tables. */
enum {
    NEEDS_SOCKETS = 1,
    NEEDS_TLS = 2,
    NEEDS_SQLITE = 4,
    NEEDS_A_PLAIN_MESSAGE = 8,
    NEEDS_SUPERVISORS = 16,
    NEEDS_ALL = NEEDS_SOCKETS | NEEDS_TLS | NEEDS_SQLITE
};

static inline struct actor house_actor(struct house *house)
{
    struct pd_rights *rights = world_rights(&house->net.world);
    rights->network = PD_NETWORK_LOCAL;
    rights->memory_bytes_max = UINT64_C(64) << 20; /* TLS counts */
    assert_int_equal(pd_wasi_config_add_directory(rights->wasi, PD_TEST_SOURCE_DIR "/docs", "/data",
                                                  PD_WASI_READ, NULL, 0),
                     PD_OK);
    assert_int_equal(pd_rights_allow_kv(rights, "app/", 4), PD_OK);
    struct actor actor = actor_spawn_with(&house->net.world, rights);
    pd_rights_release(rights);
    return actor;
}

static inline void furnish(struct house *house, struct furnished *to, unsigned needs)
{
    *to = (struct furnished){.actor = house_actor(house)};
    NUMBER(to, OWN_PID) = to->actor.pid;
    NUMBER(to, OTHER_PID) = house->other.pid;
    furnish_memory(to);
    uint64_t shift = house->others.actor.world == NULL ? 500 : 0;
    number_tables(to, shift);
    furnish_tables(to);
    furnish_store(to, shift);
    if ((needs & (NEEDS_SOCKETS | NEEDS_TLS)) != 0) {
        furnish_streams(house, to);
        furnish_datagrams(house, to);
    }
    if ((needs & NEEDS_TLS) != 0 && shift == 0) {
        furnish_tls(house, to);
    }
    if ((needs & NEEDS_SQLITE) != 0) {
        furnish_sqlite(to, shift);
    }
    if ((needs & NEEDS_SUPERVISORS) != 0) {
        furnish_supervisors(to);
    }
    furnish_message(to, (needs & NEEDS_A_PLAIN_MESSAGE) != 0);
    furnish_memory(to); /* what was written meanwhile */
}

/* The end of all who came after the other actor, and of what they told it. */
static inline void clear_house(struct house *house)
{
    struct world *world = &house->net.world;
    for (uint64_t pid = house->cleared_pid + 1; pid <= world->environment->pid_last; pid++) {
        enum pd_status status = pd_mailbox_kill(world->environment, pid, PD_EXIT_KILLED, NULL);
        pd_assert(status == PD_OK || status == PD_ERR_UNKNOWN);
    }
    house->cleared_pid = world->environment->pid_last;
    while (pd_environment_count(world->environment) > 1) {
        world_pass(world, MS);
    }
    while (CALL(&house->other, MESSAGE, "receive", 0, 0, 0) != TIMED_OUT) {
        /* its mailbox has little room */
    }
    (void)pd_real_sockets_poll(house->net.sockets, 0);
}

/* --- The house -------------------------------------------------------------------------------- */

static inline void furnish_other(struct house *house)
{
    struct furnished *others = &house->others;
    struct furnished made;
    furnish(house, &made, NEEDS_SOCKETS | NEEDS_SQLITE);
    *others = made;
    house->other = made.actor;
    house->cleared_pid = made.actor.pid;
    house->tls_listener = listen_tls(&house->other, &house->tls_port);
    others->ids[A_TLS_LISTENER] = house->tls_listener;
    (void)CALL(&house->other, "lunatic::registry", "put", NAME_AT, 4, 0, house->other.pid);
}

static inline int open_house(void **state)
{
    struct house *house = calloc(1, sizeof *house);
    struct pd_runtime_config config = hostile_config();
    world_open(&house->net.world, &config);
    fake_kv_open(&house->net.world);
    fake_kv.bytes = house_answer;
    fake_kv.size = fake_kv_record(house_answer, "app/key", "value");
    house->net.world.environment->pid_last = 5000; /* no hostile number is the other's */
    assert_int_equal(pd_real_sockets_create(true, &house->net.sockets), PD_OK);
    house->net.world.system.sockets = pd_real_sockets_interface(house->net.sockets);
    house->net.world.system.sockets->wake = pd_wasm_wake;
    house->net.world.system.certificates = pd_real_certificates();
    memset(&fake_nested, 0, sizeof fake_nested);
    fake_nested.is_ok = true;
    fake_nested.value = ALLOCATED_AT;
    fake_catches = true;
    furnish_other(house);
    *state = house;
    return 0;
}

static inline int close_house(void **state)
{
    fake_catches = false;
    int failed = net_teardown(state);
    fake_kv_close();
    return failed;
}

/* --- Counting --------------------------------------------------------------------------------- */

enum {
    COUNT_ERRORS,
    COUNT_MODULES,
    COUNT_CONFIGS,
    COUNT_TIMERS,
    COUNT_QUERIES,
    COUNT_NAME_LISTS,
    COUNT_LISTENERS,
    COUNT_STREAMS,
    COUNT_DATAGRAM_SOCKETS,
    COUNT_TLS_LISTENERS,
    COUNT_TLS_STREAMS,
    COUNT_CONNECTIONS,
    COUNT_STATEMENTS,
    COUNT_MESSAGE_BYTES,
    COUNT_MESSAGE_RESOURCES,
    COUNT_PROCESSES,
    COUNT_REGISTERED,
    COUNT_PENDING_MESSAGES,
    COUNT_COMPILING,
    COUNT_SUPERVISORS,
    COUNT_MEMBERSHIPS,
    COUNT_UNREAD,
    COUNT_WATCHES,
    COUNT_LEASES,
    COUNT_ANSWER,
    COUNT_ASKING,
    COUNTS
};

static const char *const count_names[COUNTS] = {
    "errors",      "modules",      "configurations", "timers",           "queries",
    "name lists",  "listeners",    "streams",        "datagram sockets", "TLS listeners",
    "TLS streams", "connections",  "statements",     "message bytes",    "message resources",
    "processes",   "names",        "timed messages", "compilations",     "supervisors",
    "memberships", "unread bytes", "watches",        "leases",           "bytes of an answer",
    "asks",
};

struct counts {
    uint64_t of[COUNTS];
};

/* Of the stream: nothing of what came is lost. */
static inline uint64_t count_unread(const struct furnished *furnished)
{
    uint8_t bytes[64];
    size_t count = 0;
    const struct pd_net_socket *stream =
        pd_id_table_get(&actor_wasm(&furnished->actor)->net->streams, furnished->ids[A_STREAM]);
    return stream == NULL || stream->sockets->ops->read(stream->socket, bytes, sizeof bytes, true,
                                                        &count) != 0
               ? 0
               : count;
}

static inline void count_message(const struct pd_message *message, struct counts *counts)
{
    if (message == NULL) {
        return;
    }
    counts->of[COUNT_MESSAGE_BYTES] = 1 + message->size;
    for (uint16_t i = 0; i < message->resource_count; i++) {
        counts->of[COUNT_MESSAGE_RESOURCES] += message->resources[i].kind != 0;
    }
}

static inline struct counts count_all(const struct house *house, const struct furnished *furnished)
{
    const struct world *world = &house->net.world;
    const struct pd_wasm_process *self = actor_wasm(&furnished->actor);
    const struct pd_net_state *net = self->net;
    struct counts counts = {.of = {
                                [COUNT_ERRORS] = self->errors.count,
                                [COUNT_MODULES] = self->modules.count,
                                [COUNT_CONFIGS] = self->configs.count,
                                [COUNT_TIMERS] = self->timers.count,
                                [COUNT_NAME_LISTS] = net->names.count,
                                [COUNT_LISTENERS] = net->listeners.count,
                                [COUNT_STREAMS] = net->streams.count,
                                [COUNT_DATAGRAM_SOCKETS] = net->datagrams.count,
                                [COUNT_TLS_LISTENERS] = net->tls_listeners.count,
                                [COUNT_TLS_STREAMS] = net->tls_streams.count,
                                [COUNT_PROCESSES] = pd_environment_count(world->environment),
                                [COUNT_REGISTERED] = world->environment->registry.names.count,
                                [COUNT_PENDING_MESSAGES] = world->runtime.message_timer_count,
                                [COUNT_COMPILING] = world->system.compile.job_count,
                                [COUNT_SUPERVISORS] = self->supervisors.count,
                                [COUNT_MEMBERSHIPS] = world->environment->groups.memberships.count,
                            }};
    if (self->sqlite != NULL) {
        counts.of[COUNT_CONNECTIONS] = self->sqlite->connections.count;
        counts.of[COUNT_STATEMENTS] = self->sqlite->statements.count;
    }
    for (uint64_t unread = self->lookups.unread; unread != 0; unread &= unread - 1) {
        counts.of[COUNT_QUERIES]++;
    }
    counts.of[COUNT_UNREAD] = count_unread(furnished);
    count_message(self->scratch, &counts);
    if (self->kv != NULL) {
        counts.of[COUNT_WATCHES] = self->kv->watch_count;
        counts.of[COUNT_LEASES] = self->kv->lease_count;
        counts.of[COUNT_ANSWER] = self->kv->answer_size - self->kv->answer_at;
    }
    counts.of[COUNT_ASKING] = fake_kv.asking;
    return counts;
}

#endif
