/* lunatic::networking over real loopback sockets: TLS, with certificates made here. */
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_world.h"

#include "base/alloc.h"
#include "base/memory_budget.h"

#define ERROR_ROOM 4096u /* of a budget: for the texts of errors */
#define CERTIFICATE_AT 30000u
#define KEY_AT 34000u
#define HOST_AT 29000u
#define PEM_MAX 4000u

static struct pem {
    char certificate[PEM_MAX];
    char key[PEM_MAX];
    size_t certificate_size;
    size_t key_size;
} ours, theirs;

/* A key, and a certificate that it signs itself, for `name` and 127.0.0.1. */
static void make_pem(struct pem *pem, const char *name)
{
    static const uint8_t ip[4] = {127, 0, 0, 1};
    static const uint8_t serial[1] = {1};
    gnutls_x509_privkey_t key = NULL;
    gnutls_x509_crt_t certificate = NULL;
    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    assert_int_equal(gnutls_x509_privkey_generate(
                         key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                     0);
    assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
    assert_int_equal(gnutls_x509_crt_set_version(certificate, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_key(certificate, key), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(certificate, serial, sizeof serial), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(certificate, 1000), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(certificate, 4000000000), 0);
    assert_int_equal(gnutls_x509_crt_set_dn(certificate, "CN=test", NULL), 0);
    assert_int_equal(gnutls_x509_crt_set_basic_constraints(certificate, 1, -1), 0);
    assert_int_equal(gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, name,
                                                          (unsigned)strlen(name), GNUTLS_FSAN_SET),
                     0);
    assert_int_equal(gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_IPADDRESS, ip,
                                                          sizeof ip, GNUTLS_FSAN_APPEND),
                     0);
    assert_int_equal(gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0), 0);
    pem->certificate_size = sizeof pem->certificate;
    assert_int_equal(gnutls_x509_crt_export(certificate, GNUTLS_X509_FMT_PEM, pem->certificate,
                                            &pem->certificate_size),
                     0);
    pem->key_size = sizeof pem->key;
    assert_int_equal(gnutls_x509_privkey_export_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL,
                                                      GNUTLS_PKCS_PLAIN, pem->key, &pem->key_size),
                     0);
    gnutls_x509_crt_deinit(certificate);
    gnutls_x509_privkey_deinit(key);
}

static int make_pems(void **state)
{
    (void)state;
    make_pem(&ours, "localhost");
    make_pem(&theirs, "elsewhere.example");
    return 0;
}

static uint64_t bind_with(struct actor *actor, const struct pem *certificate, const struct pem *key)
{
    net_put_local(actor, 4);
    memcpy(actor_memory(actor, CERTIFICATE_AT), certificate->certificate,
           certificate->certificate_size);
    memcpy(actor_memory(actor, KEY_AT), key->key, key->key_size);
    return CALL(actor, NET, "tls_bind", 4, IP_AT, 0, 0, 0, OUT_AT, CERTIFICATE_AT,
                certificate->certificate_size, KEY_AT, key->key_size);
}

static uint64_t listen_tls(struct actor *actor, const struct pem *pem, uint16_t *port_out)
{
    assert_int_equal(bind_with(actor, pem, pem), 0);
    uint64_t listener = net_out(actor);
    assert_int_equal(CALL(actor, NET, "tls_local_addr", listener, OUT_AT), 0);
    *port_out = net_port(actor, net_out(actor));
    return listener;
}

/* Begin to connect, trusting `root` (NULL: what the system trusts); the answer goes to `out`. */
static void begin_connect_to(struct actor *client, const char *host, uint16_t port,
                             const struct pem *root, uint64_t timeout_ms, uint64_t out)
{
    uint32_t size = actor_put(client, HOST_AT, host);
    if (root != NULL) {
        memcpy(actor_memory(client, CERTIFICATE_AT), root->certificate, root->certificate_size);
        pd_put_u32(actor_memory(client, VECTORS_AT), CERTIFICATE_AT);
        pd_put_u32(actor_memory(client, VECTORS_AT + 4), (uint32_t)root->certificate_size);
    }
    BEGIN(client, NET, "tls_connect", HOST_AT, size, port, timeout_ms, out, VECTORS_AT,
          root != NULL);
}

static void begin_connect(struct actor *client, const char *host, uint16_t port,
                          const struct pem *root, uint64_t timeout_ms)
{
    begin_connect_to(client, host, port, root, timeout_ms, OUT_AT);
}

/* Client and server with a stream each; the server's handshake goes on in its first read. The
 * listener's id. */
static uint64_t connect_tls(struct net_fixture *f, struct actor *server, struct actor *client,
                            const char *host, uint64_t *server_stream, uint64_t *client_stream)
{
    uint16_t port = 0;
    uint64_t listener = listen_tls(server, &ours, &port);
    begin_connect(client, host, port, &ours, FOREVER);
    BEGIN(server, NET, "tls_accept", listener, OUT_AT, PEER_AT);
    net_poll(f, server);
    assert_int_equal(actor_result(server), 0);
    *server_stream = net_out(server);
    assert_true(net_port(server, actor_u64(server, PEER_AT)) > 0);
    BEGIN(server, NET, "tls_flush", *server_stream, OUT_AT);
    net_poll(f, client);
    assert_int_equal(actor_result(client), 0);
    *client_stream = net_out(client);
    net_poll(f, server);
    assert_int_equal(actor_result(server), 0);
    return listener;
}

static void put_part(struct actor *actor, uint32_t at, uint32_t size)
{
    pd_put_u32(actor_memory(actor, VECTORS_AT), at);
    pd_put_u32(actor_memory(actor, VECTORS_AT + 4), size);
}

static void say(struct net_fixture *f, struct actor *actor, uint64_t stream, const char *text)
{
    uint32_t size = actor_put(actor, DATA_AT, text);
    put_part(actor, DATA_AT, size);
    assert_int_equal(WAIT_CALL(f, actor, "tls_write_vectored", stream, VECTORS_AT, 1, OUT_AT), 0);
    assert_int_equal(net_out(actor), size);
}

static void secrets_go_both_ways(void **state)
{
    struct net_fixture *f = *state;
    static const char *const hosts[] = {"localhost", "127.0.0.1"};
    for (int i = 0; i < 2; i++) {
        struct actor server = net_actor(f, "local");
        struct actor client = net_actor(f, "local");
        uint64_t near = 0;
        uint64_t far = 0;
        (void)connect_tls(f, &server, &client, hosts[i], &far, &near);
        say(f, &client, near, "ping");
        net_expect(f, &server, "tls_read", far, "ping");
        say(f, &server, far, "pong");
        assert_int_equal(WAIT_CALL(f, &server, "tls_flush", far, OUT_AT), 0);
        net_expect(f, &client, "tls_read", near, "pong");
        uint64_t clone = CALL(&client, NET, "clone_tls_stream", near);
        (void)CALL(&client, NET, "drop_tls_stream", near);
        say(f, &client, clone, "still");
        net_expect(f, &server, "tls_read", far, "still");
        (void)CALL(&client, NET, "drop_tls_stream", clone);
        net_expect(f, &server, "tls_read", far, ""); /* a proper end */
    }
}

/* A handshake takes no longer because a peer that has nothing to say acknowledges late. */
static void no_flight_is_held_back(void **state)
{
    struct net_fixture *f = *state;
    struct actor server = net_actor(f, "local");
    struct actor client = net_actor(f, "local");
    uint64_t near = 0;
    uint64_t far = 0;
    (void)connect_tls(f, &server, &client, "localhost", &far, &near);
    assert_true(net_sends_at_once(&actor_wasm(&client)->net->tls_streams, near));
    assert_true(net_sends_at_once(&actor_wasm(&server)->net->tls_streams, far));
}

static void who_is_not_trusted_is_refused(void **state)
{
    struct net_fixture *f = *state;
    const struct {
        const char *host;
        const struct pem *root;
        const struct pem *server;
    } cases[] = {
        {"localhost", &theirs, &ours},   /* signed by another */
        {"localhost", NULL, &ours},      /* by none that the system knows */
        {"localhost", &theirs, &theirs}, /* of another name */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct actor server = net_actor(f, "local");
        struct actor client = net_actor(f, "local");
        uint16_t port = 0;
        uint64_t listener = listen_tls(&server, cases[i].server, &port);
        begin_connect(&client, cases[i].host, port, cases[i].root, FOREVER);
        BEGIN(&server, NET, "tls_accept", listener, OUT_AT, PEER_AT);
        net_poll(f, &server);
        uint64_t stream = net_out(&server);
        BEGIN(&server, NET, "tls_read", stream, DATA_AT, 10, OUT_AT);
        net_poll(f, &client);
        assert_int_equal(actor_result(&client), 1);
        assert_says(net_error(f, &client), "certificate");
        net_poll(f, &server); /* it is told, or the connection ends */
        assert_true(actor_result(&server) == 1 || net_out(&server) == 0);
    }
}

static void certificates_must_be_some(void **state)
{
    struct net_fixture *f = *state;
    struct pem nonsense = {.certificate = "nonsense", .key = "nonsense"};
    nonsense.certificate_size = nonsense.key_size = 8;
    assert_int_equal(bind_with(&f->actor, &nonsense, &ours), 1);
    assert_says(net_error(f, &f->actor), "the certificate and its key: ");
    assert_int_equal(bind_with(&f->actor, &ours, &nonsense), 1);
    (void)net_error(f, &f->actor);
    assert_int_equal(bind_with(&f->actor, &ours, &theirs), 1); /* not its key */
    (void)net_error(f, &f->actor);
    /* One byte too many, wherever it is: nobody has to parse that. */
    net_put_local(&f->actor, 4);
    assert_int_equal(
        CALL(&f->actor, NET, "tls_bind", 4, IP_AT, 0, 0, 0, OUT_AT, 0, 100, 0, (8u << 10) + 1), 1);
    assert_says(net_error(f, &f->actor), "of a key are taken");
    begin_connect(&f->actor, "localhost", 1, &nonsense, FOREVER);
    net_poll(f, &f->actor);
    assert_int_equal(actor_result(&f->actor), 1);
    assert_says(net_error(f, &f->actor), "the certificates: ");
    assert_int_equal(pd_real_sockets_count(f->sockets), 0);
}

static void peers_that_speak_no_tls_are_errors(void **state)
{
    struct net_fixture *f = *state;
    static const char *const words[] = {
        "GET / HTTP/1.1\r\n\r\n",       /* another protocol */
        "\x16\x03\x03\xff\xff\x01\x02", /* a record beyond any size */
        "\x16\x03\x01\x02",             /* and an end in the middle */
        "\x17\x03\x03\x7f\xff\x01\x01\x01",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct actor server = net_actor(f, "local");
        struct actor client = net_actor(f, "local");
        uint16_t port = 0;
        uint64_t listener = listen_tls(&server, &ours, &port);
        net_put_local(&client, 4);
        assert_int_equal(
            WAIT_CALL(f, &client, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT), 0);
        uint64_t plain = net_out(&client);
        net_write(f, &client, plain, words[i]);
        assert_int_equal(WAIT_CALL(f, &server, "tls_accept", listener, OUT_AT, PEER_AT), 0);
        uint64_t stream = net_out(&server);
        (void)CALL(&server, NET, "set_tls_read_timeout", stream, 30);
        (void)CALL(&client, NET, "drop_tcp_stream", plain);
        assert_int_equal(WAIT_CALL(f, &server, "tls_read", stream, DATA_AT, 10, OUT_AT), 1);
        assert_says(net_error(f, &server), "reading: ");
        put_part(&server, DATA_AT, 4);
        assert_int_equal(WAIT_CALL(f, &server, "tls_write_vectored", stream, VECTORS_AT, 1, OUT_AT),
                         1);
        assert_says(net_error(f, &server), "writing: ");
        assert_int_equal(WAIT_CALL(f, &server, "tls_flush", stream, OUT_AT), 1);
        assert_says(net_error(f, &server), "flushing: ");
    }
}

static void the_slow_hold_up_nobody(void **state)
{
    struct net_fixture *f = *state;
    struct actor *server = &f->actor;
    uint16_t port = 0;
    uint64_t listener = listen_tls(server, &ours, &port);
    struct actor silent = net_actor(f, "local");
    net_put_local(&silent, 4);
    for (int i = 0; i < 3; i++) { /* none of them says a word */
        assert_int_equal(
            WAIT_CALL(f, &silent, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT), 0);
        assert_int_equal(WAIT_CALL(f, server, "tls_accept", listener, OUT_AT, PEER_AT), 0);
    }
    uint64_t stream = net_out(server);
    assert_true(CALL(server, NET, "get_tls_read_timeout", stream) == FOREVER);
    assert_true(CALL(server, NET, "get_tls_write_timeout", stream) == FOREVER);
    (void)CALL(server, NET, "set_tls_read_timeout", stream, 20);
    (void)CALL(server, NET, "set_tls_write_timeout", stream, 30);
    assert_int_equal(CALL(server, NET, "get_tls_read_timeout", stream), 20);
    assert_int_equal(CALL(server, NET, "get_tls_write_timeout", stream), 30);
    assert_int_equal(CALL(server, NET, "tls_read", stream, DATA_AT, 10, OUT_AT), TIMED_OUT);
    put_part(server, DATA_AT, 4);
    assert_int_equal(CALL(server, NET, "tls_write_vectored", stream, VECTORS_AT, 1, OUT_AT),
                     TIMED_OUT);
    /* And a server that is: the client's own timeout. */
    struct actor client = net_actor(f, "local");
    begin_connect(&client, "127.0.0.1", port, &ours, 25);
    (void)pd_real_sockets_poll(f->sockets, 100);
    actor_finish(&client);
    assert_int_equal(actor_result(&client), TIMED_OUT);
}

static void a_stream_moves_amid_its_session(void **state)
{
    struct net_fixture *f = *state;
    struct actor server = net_actor(f, "local");
    struct actor client = net_actor(f, "local");
    uint64_t near = 0;
    uint64_t far = 0;
    (void)connect_tls(f, &server, &client, "localhost", &far, &near);
    say(f, &client, near, "first");
    net_expect(f, &server, "tls_read", far, "first");
    say(f, &client, near, "second");
    struct actor worker = net_actor(f, "none");
    (void)CALL(&server, MESSAGE, "create_data", 0, 0);
    assert_int_equal(CALL(&server, MESSAGE, "push_tls_stream", far), 0);
    (void)CALL(&server, MESSAGE, "send", worker.pid);
    net_kill(f, &server);
    assert_int_equal(CALL(&worker, MESSAGE, "receive", 0, 0, 0), 0);
    uint64_t stream = CALL(&worker, MESSAGE, "take_tls_stream", 0);
    net_expect(f, &worker, "tls_read", stream, "second");
    say(f, &worker, stream, "third");
    net_expect(f, &client, "tls_read", near, "third");
    assert_says(TRAP(&worker, MESSAGE, "take_tls_stream", 0), "no TLS stream at index 0");
    assert_int_equal(WAIT_CALL(f, &client, "tls_read", near, DATA_AT, 10, OUT_AT), 0);
    assert_int_equal(net_out(&client), 0); /* its death was an orderly end */
}

/* One write of 8,192 bytes that go on counting in words from `written`. */
static void put_words(struct actor *actor, uint64_t written)
{
    for (uint32_t at = 0; at < 8192; at += 4) {
        pd_put_u32(actor_memory(actor, 8192 + at), (uint32_t)((written + at) / 4));
    }
    put_part(actor, 8192, 8192);
}

/* Write words until nothing goes any more: every buffer on the way is full. How many bytes. */
static uint64_t fill(struct net_fixture *f, struct actor *actor, uint64_t stream)
{
    uint64_t written = 0;
    (void)CALL(actor, NET, "set_tls_write_timeout", stream, 0);
    for (bool has_moved = true; has_moved;) {
        put_words(actor, written);
        uint64_t result = CALL(actor, NET, "tls_write_vectored", stream, VECTORS_AT, 1, OUT_AT);
        assert_true(result == 0 || result == TIMED_OUT);
        written += result == 0 ? net_out(actor) : 0;
        has_moved = pd_real_sockets_poll(f->sockets, 0) || result == 0;
    }
    (void)CALL(actor, NET, "set_tls_write_timeout", stream, FOREVER);
    return written;
}

/* Full buffers, timeouts in the middle of records: what is read is exactly what was said to be
 * written. The writer may be gone by then. */
static void no_byte_is_lost_or_doubled(void **state)
{
    struct net_fixture *f = *state;
    struct actor server = net_actor(f, "local");
    struct actor client = net_actor(f, "local");
    uint64_t near = 0;
    uint64_t far = 0;
    (void)connect_tls(f, &server, &client, "localhost", &far, &near);
    uint64_t written = fill(f, &client, near);
    put_words(&client, written);
    BEGIN(&client, NET, "tls_write_vectored", near, VECTORS_AT, 1, OUT_AT);
    bool is_dropped = false;
    uint64_t got = 0;
    for (;;) {
        assert_int_equal(WAIT_CALL(f, &server, "tls_read", far, 8192, 8192, OUT_AT), 0);
        uint64_t count = net_out(&server);
        if (count == 0) {
            break;
        }
        assert_int_equal(count % 4, 0);
        for (uint32_t at = 0; at < count; at += 4) {
            assert_int_equal(pd_get_u32(actor_memory(&server, 8192 + at)), (got + at) / 4);
        }
        got += count;
        if (!is_dropped && !actor_is_waiting(&client)) {
            assert_int_equal(actor_result(&client), 0);
            written += net_out(&client);
            (void)CALL(&client, NET, "drop_tls_stream", near); /* with much under way */
            is_dropped = true;
        }
    }
    assert_true(is_dropped);
    assert_int_equal(got, written);
}

/* --- A peer that is not ours ------------------------------------------------------------------ */

struct peer {
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
    int descriptor;
};

/* Connected, not greeted yet; it wants records of 512 bytes, and trusts whoever it meets. */
static void peer_open(struct peer *peer, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    peer->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer->descriptor >= 0);
    int size = 4096;
    assert_int_equal(setsockopt(peer->descriptor, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
    assert_int_equal(connect(peer->descriptor, (const struct sockaddr *)&address, sizeof address),
                     0);
    assert_int_equal(fcntl(peer->descriptor, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(gnutls_init(&peer->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK), 0);
    assert_int_equal(gnutls_certificate_allocate_credentials(&peer->credentials), 0);
    assert_int_equal(
        gnutls_credentials_set(peer->session, GNUTLS_CRD_CERTIFICATE, peer->credentials), 0);
    assert_int_equal(gnutls_set_default_priority(peer->session), 0);
    assert_int_equal(gnutls_record_set_max_recv_size(peer->session, 512), 0);
    gnutls_transport_set_int(peer->session, peer->descriptor);
}

static void peer_close(struct peer *peer)
{
    gnutls_deinit(peer->session);
    gnutls_certificate_free_credentials(peer->credentials);
    assert_int_equal(close(peer->descriptor), 0);
}

/* Greet; the other end is polled meanwhile. */
static void peer_greet(struct net_fixture *f, struct peer *peer)
{
    int answer = GNUTLS_E_AGAIN;
    while ((answer = gnutls_handshake(peer->session)) == GNUTLS_E_AGAIN) {
        (void)pd_real_sockets_poll(f->sockets, 10);
    }
    assert_int_equal(answer, 0);
}

static uint64_t accept_tls(struct net_fixture *f, struct actor *server, uint64_t listener)
{
    assert_int_equal(WAIT_CALL(f, server, "tls_accept", listener, OUT_AT, PEER_AT), 0);
    return net_out(server);
}

/* A write counts what records of the peer's size took, not what it was given. */
static void small_records_count_as_what_they_are(void **state)
{
    struct net_fixture *f = *state;
    struct actor *server = &f->actor;
    struct peer peer;
    uint16_t port = 0;
    uint64_t listener = listen_tls(server, &ours, &port);
    peer_open(&peer, port);
    uint64_t stream = accept_tls(f, server, listener);
    BEGIN(server, NET, "tls_flush", stream, OUT_AT);
    peer_greet(f, &peer);
    net_poll(f, server);
    assert_int_equal(actor_result(server), 0);
    uint64_t written = fill(f, server, stream);
    put_words(server, written);
    BEGIN(server, NET, "tls_write_vectored", stream, VECTORS_AT, 1, OUT_AT);
    uint64_t got = 0;
    bool is_told = false;
    while (!is_told || got < written) {
        uint8_t record[512];
        ssize_t count = gnutls_record_recv(peer.session, record, sizeof record);
        if (count == GNUTLS_E_AGAIN) {
            (void)pd_real_sockets_poll(f->sockets, 10);
            world_settle(&f->world);
        } else {
            assert_true(count > 0 && count % 4 == 0);
            for (uint32_t at = 0; at < count; at += 4) {
                assert_int_equal(pd_get_u32(record + at), (got + at) / 4);
            }
            got += (uint64_t)count;
        }
        if (!is_told && !actor_is_waiting(server)) {
            is_told = true;
            assert_int_equal(actor_result(server), 0);
            written += net_out(server);
        }
    }
    assert_int_equal(got, written);
    (void)CALL(server, NET, "drop_tls_stream", stream);
    peer_close(&peer);
}

/* The one who reads a clone sees the greeting's last word; the one who writes is not forgotten,
 * though the peer says nothing any more. */
static void a_reader_takes_no_wake_of_a_writer(void **state)
{
    struct net_fixture *f = *state;
    struct actor writer = net_actor(f, "local");
    struct actor reader = net_actor(f, "local");
    struct peer peer;
    uint16_t port = 0;
    uint64_t listener = listen_tls(&writer, &ours, &port);
    peer_open(&peer, port);
    uint64_t stream = accept_tls(f, &writer, listener);
    uint64_t clone = CALL(&writer, NET, "clone_tls_stream", stream);
    (void)CALL(&writer, MESSAGE, "create_data", 0, 0);
    assert_int_equal(CALL(&writer, MESSAGE, "push_tls_stream", clone), 0);
    (void)CALL(&writer, MESSAGE, "send", reader.pid);
    assert_int_equal(CALL(&reader, MESSAGE, "receive", 0, 0, 0), 0);
    clone = CALL(&reader, MESSAGE, "take_tls_stream", 0);
    uint32_t size = actor_put(&writer, DATA_AT, "hello");
    put_part(&writer, DATA_AT, size);
    BEGIN(&writer, NET, "tls_write_vectored", stream, VECTORS_AT, 1, OUT_AT);
    peer_greet(f, &peer); /* its last word is there, and nobody has looked */
    BEGIN(&reader, NET, "tls_read", clone, DATA_AT, 10, OUT_AT);
    assert_true(actor_is_waiting(&reader));
    net_poll(f, &writer);
    assert_int_equal(actor_result(&writer), 0);
    assert_int_equal(net_out(&writer), size);
    char said[16] = "";
    ssize_t count = GNUTLS_E_AGAIN;
    while ((count = gnutls_record_recv(peer.session, said, sizeof said)) == GNUTLS_E_AGAIN) {
        (void)pd_real_sockets_poll(f->sockets, 10);
    }
    assert_int_equal(count, size);
    assert_memory_equal(said, "hello", size);
    assert_int_equal(gnutls_record_send(peer.session, "bye", 3), 3);
    net_poll(f, &reader);
    assert_int_equal(actor_result(&reader), 0);
    assert_int_equal(net_out(&reader), 3);
    peer_close(&peer);
}

static void write_file(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Connect, trusting whom the system trusts: 0 or 1. */
static uint64_t connect_by_system(struct net_fixture *f)
{
    struct actor server = net_actor(f, "local");
    struct actor client = net_actor(f, "local");
    uint16_t port = 0;
    uint64_t listener = listen_tls(&server, &ours, &port);
    begin_connect(&client, "127.0.0.1", port, NULL, FOREVER);
    BEGIN(&server, NET, "tls_accept", listener, OUT_AT, PEER_AT);
    net_poll(f, &server);
    net_poll(f, &client);
    uint64_t result = actor_result(&client);
    if (result == 1) {
        assert_says(net_error(f, &client), "certificate");
    }
    return result;
}

static void the_roots_of_the_system_are_read_once(void **state)
{
    struct net_fixture *f = *state;
    char folder[] = "/tmp/pando-roots-XXXXXX";
    char path[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/roots.pem", folder);
    write_file(path, ours.certificate, ours.certificate_size);
    assert_int_equal(setenv("SSL_CERT_FILE", path, 1), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(connect_by_system(f), 0);
        assert_int_equal(pd_real_sockets_root_loads(f->sockets), 1);
    }
    assert_int_equal(unlink(path), 0); /* another file, whatever the clock says */
    write_file(path, theirs.certificate, theirs.certificate_size);
    assert_int_equal(connect_by_system(f), 1);
    assert_int_equal(pd_real_sockets_root_loads(f->sockets), 2);
    assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void a_kill_ends_every_wait(void **state)
{
    struct net_fixture *f = *state;
    struct actor server = net_actor(f, "local");
    uint16_t port = 0;
    uint64_t listener = listen_tls(&server, &ours, &port);
    struct actor client = net_actor(f, "local");
    begin_connect(&client, "127.0.0.1", port, &ours, FOREVER); /* connecting, then greeting */
    assert_true(actor_is_waiting(&client));
    net_kill(f, &client);
    client = net_actor(f, "local");
    begin_connect(&client, "localhost", port, &ours, FOREVER); /* asking for the name */
    assert_true(actor_is_waiting(&client));
    net_kill(f, &client);
    (void)pd_real_sockets_poll(f->sockets, 0);
    assert_int_equal(WAIT_CALL(f, &server, "tls_accept", listener, OUT_AT, PEER_AT), 0);
    BEGIN(&server, NET, "tls_accept", listener, OUT_AT, PEER_AT);
    assert_true(actor_is_waiting(&server));
    net_kill(f, &server);
    (void)pd_real_sockets_poll(f->sockets, 0); /* sessions are closed there */
    assert_int_equal(pd_real_sockets_count(f->sockets), 0);
    server = net_actor(f, "local");
    client = net_actor(f, "local");
    uint64_t near = 0;
    uint64_t far = 0;
    (void)connect_tls(f, &server, &client, "localhost", &far, &near);
    BEGIN(&server, NET, "tls_read", far, DATA_AT, 10, OUT_AT);
    assert_true(actor_is_waiting(&server));
    net_kill(f, &server);
    net_kill(f, &client);
    (void)pd_real_sockets_poll(f->sockets, 0);
    assert_int_equal(pd_real_sockets_count(f->sockets), 0);
}

/* Whichever part of what is accepted finds no memory: nothing of it stays, and no list of addresses
 * of which nobody was told. */
static void what_is_not_accepted_leaves_nothing(void **state)
{
    struct net_fixture *f = *state;
    struct actor server = net_actor(f, "local");
    uint16_t port = 0;
    uint64_t listener = listen_tls(&server, &ours, &port);
    const struct pd_net_state *net = actor_wasm(&server)->net;
    uint32_t names = net->names.count;
    uint32_t sockets = pd_real_sockets_count(f->sockets);
    uint64_t nth = 1;
    for (bool is_accepted = false; !is_accepted; nth++) {
        struct actor client = net_actor(f, "local");
        begin_connect(&client, "127.0.0.1", port, &ours, FOREVER);
        pd_alloc_fail_nth(nth);
        BEGIN(&server, NET, "tls_accept", listener, OUT_AT, PEER_AT);
        pd_alloc_fail_nth(0);
        is_accepted = actor_result(&server) == 0;
        if (!is_accepted) {
            assert_says(net_error(f, &server), "memory");
        }
        net_kill(f, &client);
        while (pd_real_sockets_poll(f->sockets, 0)) {
        }
        assert_int_equal(net->tls_streams.count, is_accepted);
        assert_int_equal(net->names.count, names + is_accepted);
        assert_int_equal(pd_real_sockets_count(f->sockets), sockets + is_accepted);
    }
    assert_true(nth > 5); /* socket, session, list, and the tables of both ids */
}

static void rights_and_errors_are_those_of_tcp(void **state)
{
    struct net_fixture *f = *state;
    struct actor actor = net_actor(f, "none");
    assert_int_equal(bind_with(&actor, &ours, &ours), 1);
    assert_says(net_error(f, &actor), "may not listen at 127.0.0.1:0");
    begin_connect(&actor, "localhost", 1, &ours, FOREVER);
    assert_int_equal(actor_result(&actor), 1);
    assert_says(net_error(f, &actor), "may not resolve localhost");
    begin_connect(&actor, "127.0.0.1", 1, &ours, FOREVER);
    assert_int_equal(actor_result(&actor), 1);
    assert_says(net_error(f, &actor), "may not connect to 127.0.0.1");
    uint16_t port = 0;
    uint64_t listener = listen_tls(&f->actor, &ours, &port);
    (void)CALL(&f->actor, NET, "drop_tls_listener", listener);
    begin_connect(&f->actor, "127.0.0.1", port, &ours, FOREVER);
    net_poll(f, &f->actor);
    assert_int_equal(actor_result(&f->actor), 1);
    assert_says(net_error(f, &f->actor), "Connection refused (os error 111)");
    listener = listen_tls(&f->actor, &ours, &port);
    net_put_local(&f->actor, 4);
    assert_int_equal(CALL(&f->actor, NET, "tls_bind", 4, IP_AT, port, 0, 0, OUT_AT, CERTIFICATE_AT,
                          ours.certificate_size, KEY_AT, ours.key_size),
                     1);
    assert_says(net_error(f, &f->actor), "Address already in use (os error 98)");
    pd_real_sockets_set_max(f->sockets, 1);
    begin_connect(&f->actor, "127.0.0.1", port, &ours, FOREVER);
    assert_int_equal(actor_result(&f->actor), 1);
    assert_says(net_error(f, &f->actor), "Too many open files (os error 24)");
    (void)actor_put(&f->actor, HOST_AT, "x");
    assert_int_equal(CALL(&f->actor, NET, "tls_connect", HOST_AT, 0, 1, 0, OUT_AT, 0, 0), 1);
    assert_says(net_error(f, &f->actor), "the host is no name");
    f->world.system.sockets = NULL;
    assert_int_equal(bind_with(&f->actor, &ours, &ours), 1);
    assert_says(net_error(f, &f->actor), "has no network");
}

static void unknown_ids_and_bad_pointers_trap(void **state)
{
    struct net_fixture *f = *state;
    static const char *const names[] = {
        "tls_local_addr",
        "tls_accept",
        "tls_write_vectored",
        "tls_read",
        "tls_flush",
        "set_tls_read_timeout",
        "get_tls_read_timeout",
        "set_tls_write_timeout",
        "get_tls_write_timeout",
        "clone_tls_stream",
        "drop_tls_listener",
        "drop_tls_stream",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct actor actor = net_actor(f, "all");
        assert_says(TRAP(&actor, NET, names[i], 7, 0, 0, 0), "has the id 7");
    }
    struct actor actor = net_actor(f, "local");
    assert_says(TRAP(&actor, NET, "tls_bind", 4, IP_AT, 0, 0, 0, OUT_AT, FAKE_MEMORY_SIZE, 1, 0, 0),
                "certificate: pointer out of bounds");
    actor = net_actor(f, "local");
    assert_says(TRAP(&actor, NET, "tls_connect", HOST_AT, 0xFFFFFFFF, 1, 0, OUT_AT, 0, 0),
                "out of bounds");
    actor = net_actor(f, "local");
    (void)actor_put(&actor, HOST_AT, "localhost");
    assert_says(TRAP(&actor, NET, "tls_connect", HOST_AT, 9, 1, 0, OUT_AT, 0, 0xFFFFFFFF),
                "certificates: pointer out of bounds");
    actor = net_actor(f, "local");
    (void)CALL(&actor, MESSAGE, "create_data", 0, 0);
    assert_says(TRAP(&actor, MESSAGE, "push_tls_stream", 3), "no TLS stream has the id 3");
}

/* The call has its answer, and no place for it. */
static void expect_no_place(struct net_fixture *f, struct actor *actor, const char *what)
{
    net_poll(f, actor);
    assert_false(actor_lives(actor));
    assert_says(f->world.last_text, what);
}

/* It is not even tried. */
static void connect_without_a_place(struct net_fixture *f, uint64_t place)
{
    struct actor server = net_actor(f, "local");
    struct actor client = net_actor(f, "local");
    uint16_t port = 0;
    (void)listen_tls(&server, &ours, &port);
    uint32_t socket_count = pd_real_sockets_count(f->sockets);
    begin_connect_to(&client, "localhost", port, &ours, FOREVER, place);
    assert_false(actor_lives(&client));
    assert_says(f->world.last_text, "tls_connect: result pointer: pointer out of bounds");
    assert_int_equal(pd_real_sockets_count(f->sockets), socket_count);
}

/* Only who speaks with a server gets these answers: net_pointers has the rest. */
static void answers_need_a_place(void **state)
{
    struct net_fixture *f = *state;
    static const uint64_t places[] = {FAKE_MEMORY_SIZE - 7, UINT32_MAX};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        for (size_t at = 0; at < 3; at++) {
            struct actor server = net_actor(f, "local");
            struct actor client = net_actor(f, "local");
            uint64_t near = 0;
            uint64_t far = 0;
            (void)connect_tls(f, &server, &client, "localhost", &far, &near);
            say(f, &server, far, "data");
            put_part(&client, DATA_AT, 4);
            const struct {
                const char *name;
                uint64_t arguments[4];
                size_t count;
            } calls[] = {
                {"tls_read", {near, DATA_AT, 4, places[i]}, 4},
                {"tls_write_vectored", {near, VECTORS_AT, 1, places[i]}, 4},
                {"tls_flush", {near, places[i]}, 2},
            };
            actor_begin(&client, abi_find(NET, calls[at].name), calls[at].arguments,
                        calls[at].count);
            expect_no_place(f, &client, "result pointer: pointer out of bounds");
        }
        connect_without_a_place(f, places[i]);
    }
}

/* What was dropped gives back what it counts when its memory is gone, which the I/O thread sees
 * to. */
static void await_bytes(struct net_fixture *f, const struct pd_memory_budget *budget,
                        uint64_t bytes)
{
    while (atomic_load(&budget->bytes) != bytes) {
        assert_true(atomic_load(&budget->bytes) > bytes);
        assert_true(pd_real_sockets_poll(f->sockets, POLL_MS));
    }
}

static void what_tls_takes_counts_as_memory(void **state)
{
    struct net_fixture *f = *state;
    struct actor server = net_actor(f, "local");
    struct actor client = net_actor(f, "local");
    struct pd_memory_budget budget = {.bytes_max = UINT64_MAX};
    uint64_t certificate = ours.certificate_size * PD_NET_TLS_CERTIFICATE_FACTOR;
    uint64_t near = 0;
    uint64_t far = 0;
    uint16_t port = 0;
    f->world.system.budget = &budget;
    (void)connect_tls(f, &server, &client, "localhost", &far, &near);
    uint64_t taken = atomic_load(&budget.bytes);
    assert_int_equal(taken, 2 * (PD_NET_TLS_STREAM_BYTES + certificate));
    budget.bytes_max = taken + PD_NET_TLS_STREAM_BYTES + ERROR_ROOM;
    budget.reserve = ERROR_ROOM;
    (void)listen_tls(&server, &ours, &port);
    begin_connect(&client, "localhost", port, &ours, FOREVER);
    net_poll(f, &client);
    assert_int_equal(actor_result(&client), 1);
    assert_says(net_error(f, &client), "no memory for TLS");
    uint64_t clone = CALL(&client, NET, "clone_tls_stream", near);
    (void)CALL(&client, NET, "drop_tls_stream", near);
    assert_int_equal(atomic_load(&budget.bytes), taken + certificate);
    (void)CALL(&client, NET, "drop_tls_stream", clone);
    assert_int_equal(atomic_load(&budget.bytes), taken + certificate);
    await_bytes(f, &budget, PD_NET_TLS_STREAM_BYTES + 2 * certificate);
    net_kill(f, &server);
    await_bytes(f, &budget, 0);
    f->world.system.budget = NULL;
}

/* The certificates of a listener that is gone are still those of its streams. */
static void certificates_count_until_their_last_stream_ends(void **state)
{
    struct net_fixture *f = *state;
    struct actor server = net_actor(f, "local");
    struct actor client = net_actor(f, "local");
    struct pd_memory_budget budget = {.bytes_max = UINT64_MAX};
    uint64_t certificate = ours.certificate_size * PD_NET_TLS_CERTIFICATE_FACTOR;
    uint64_t near = 0;
    uint64_t far = 0;
    f->world.system.budget = &budget;
    uint64_t listener = connect_tls(f, &server, &client, "localhost", &far, &near);
    uint64_t taken = atomic_load(&budget.bytes);
    (void)CALL(&server, NET, "drop_tls_listener", listener);
    while (pd_real_sockets_poll(f->sockets, 0)) {
    }
    assert_int_equal(atomic_load(&budget.bytes), taken);
    (void)CALL(&server, NET, "drop_tls_stream", far);
    await_bytes(f, &budget, PD_NET_TLS_STREAM_BYTES + certificate);
    (void)CALL(&client, NET, "drop_tls_stream", near);
    await_bytes(f, &budget, 0);
    f->world.system.budget = NULL;
}

/* Who may not have it gets nothing parsed; who waits, for a name or a peer, is counted. */
static void memory_counts_before_certificates_are_read(void **state)
{
    struct net_fixture *f = *state;
    struct actor server = net_actor(f, "local");
    struct actor client = net_actor(f, "local");
    struct pem nonsense = ours;
    struct pd_memory_budget budget = {.bytes_max = UINT64_MAX};
    uint64_t certificate = ours.certificate_size * PD_NET_TLS_CERTIFICATE_FACTOR;
    uint16_t port = 0;
    memset(nonsense.certificate, 'x', nonsense.certificate_size);
    f->world.system.budget = &budget;
    (void)listen_tls(&server, &ours, &port);
    assert_int_equal(atomic_load(&budget.bytes), certificate);
    budget.bytes_max = certificate + ERROR_ROOM;
    budget.reserve = ERROR_ROOM;
    assert_int_equal(bind_with(&server, &nonsense, &ours), 1);
    assert_says(net_error(f, &server), "no memory for TLS");
    begin_connect(&client, "localhost", port, &nonsense, FOREVER);
    assert_int_equal(actor_result(&client), 1);
    assert_says(net_error(f, &client), "no memory for TLS");
    budget.bytes_max = UINT64_MAX;
    assert_int_equal(bind_with(&server, &nonsense, &ours), 1);
    assert_says(net_error(f, &server), "the certificate and its key");
    begin_connect(&client, "localhost", port, &nonsense, FOREVER);
    assert_int_equal(actor_result(&client), 1);
    assert_says(net_error(f, &client), "the certificates");
    assert_int_equal(atomic_load(&budget.bytes), certificate);
    begin_connect(&client, "localhost", port, &ours, FOREVER); /* nobody accepts it */
    assert_true(actor_is_waiting(&client));
    assert_int_equal(atomic_load(&budget.bytes), PD_NET_TLS_STREAM_BYTES + 2 * certificate);
    net_kill(f, &client);
    await_bytes(f, &budget, certificate);
    net_kill(f, &server);
    await_bytes(f, &budget, 0);
    f->world.system.budget = NULL;
}

/* A peer that does not read keeps the last words of a dead actor waiting, and they count: else who
 * writes, drops and connects again would have memory without end. */
static void last_words_count_until_they_are_said(void **state)
{
    struct net_fixture *f = *state;
    struct actor server = net_actor(f, "local");
    struct actor client = net_actor(f, "local");
    struct actor next = net_actor(f, "local");
    struct pd_memory_budget budget = {.bytes_max = UINT64_MAX};
    uint64_t near = 0;
    uint64_t far = 0;
    f->world.system.budget = &budget;
    (void)connect_tls(f, &server, &client, "localhost", &far, &near);
    uint64_t taken = atomic_load(&budget.bytes);
    uint64_t written = fill(f, &client, near);
    net_kill(f, &client);
    budget.bytes_max = taken + ERROR_ROOM;
    budget.reserve = ERROR_ROOM;
    begin_connect(&next, "localhost", 1, NULL, FOREVER);
    assert_int_equal(actor_result(&next), 1);
    assert_says(net_error(f, &next), "no memory for TLS");
    do { /* half is the server's; the other is there as long as the client's socket */
        bool lingers = pd_real_sockets_count(f->sockets) == 3;
        assert_int_equal(atomic_load(&budget.bytes), lingers ? taken : taken / 2);
    } while (pd_real_sockets_poll(f->sockets, 0));
    for (uint64_t got = 0; got < written; got += net_out(&server)) {
        assert_int_equal(WAIT_CALL(f, &server, "tls_read", far, 8192, 8192, OUT_AT), 0);
        assert_true(net_out(&server) > 0);
    }
    await_bytes(f, &budget, taken / 2);
    net_kill(f, &server);
    await_bytes(f, &budget, 0);
    f->world.system.budget = NULL;
}

/* Peers that do not read keep no more of them waiting than that. */
static void last_words_are_cut_short_where_too_many_wait(void **state)
{
    struct net_fixture *f = *state;
    struct actor server = net_actor(f, "local");
    struct actor client = net_actor(f, "local");
    struct pd_memory_budget budget = {.bytes_max = UINT64_MAX};
    uint64_t near = 0;
    uint64_t far = 0;
    f->world.system.budget = &budget;
    pd_real_sockets_set_lingering_max(f->sockets, 0);
    (void)connect_tls(f, &server, &client, "localhost", &far, &near);
    uint64_t taken = atomic_load(&budget.bytes);
    (void)fill(f, &client, near);
    net_kill(f, &client);
    await_bytes(f, &budget, taken / 2); /* though nobody has read */
    pd_real_sockets_set_lingering_max(f->sockets, 256);
    net_kill(f, &server);
    await_bytes(f, &budget, 0);
    f->world.system.budget = NULL;
}

static void an_actor_has_as_much_of_tls_as_its_memory_may(void **state)
{
    struct net_fixture *f = *state;
    struct pd_rights *rights = world_rights(&f->world);
    rights->network = PD_NETWORK_LOCAL;
    rights->memory_bytes_max = PD_NET_TLS_STREAM_BYTES - 1;
    struct actor poor = actor_spawn_with(&f->world, rights);
    pd_rights_release(rights);
    uint16_t port = 0;
    uint64_t listener = listen_tls(&poor, &ours, &port);
    assert_int_equal(CALL(&poor, NET, "tls_accept", listener, OUT_AT, PEER_AT), 1);
    assert_says(net_error(f, &poor), "no memory for TLS: it counts 98304 bytes");
    begin_connect(&poor, "127.0.0.1", port, NULL, FOREVER);
    assert_int_equal(actor_result(&poor), 1);
    assert_says(net_error(f, &poor), "no memory for TLS");
    uint32_t count = 1;
    while (bind_with(&poor, &ours, &ours) == 0) {
        count++;
        assert_in_range(count, 1, 64);
    }
    assert_says(net_error(f, &poor), "no memory for TLS");
    uint64_t certificate = ours.certificate_size * PD_NET_TLS_CERTIFICATE_FACTOR;
    assert_int_equal(count, (PD_NET_TLS_STREAM_BYTES - 1) / certificate);
}

int main(void)
{
#define NET_TEST(test) cmocka_unit_test_setup_teardown(test, net_setup, net_teardown)
    const struct CMUnitTest tests[] = {
        NET_TEST(secrets_go_both_ways),
        NET_TEST(no_flight_is_held_back),
        NET_TEST(who_is_not_trusted_is_refused),
        NET_TEST(certificates_must_be_some),
        NET_TEST(peers_that_speak_no_tls_are_errors),
        NET_TEST(the_slow_hold_up_nobody),
        NET_TEST(a_stream_moves_amid_its_session),
        NET_TEST(no_byte_is_lost_or_doubled),
        NET_TEST(small_records_count_as_what_they_are),
        NET_TEST(a_reader_takes_no_wake_of_a_writer),
        NET_TEST(the_roots_of_the_system_are_read_once),
        NET_TEST(a_kill_ends_every_wait),
        NET_TEST(what_is_not_accepted_leaves_nothing),
        NET_TEST(rights_and_errors_are_those_of_tcp),
        NET_TEST(unknown_ids_and_bad_pointers_trap),
        NET_TEST(answers_need_a_place),
        NET_TEST(what_tls_takes_counts_as_memory),
        NET_TEST(memory_counts_before_certificates_are_read),
        NET_TEST(certificates_count_until_their_last_stream_ends),
        NET_TEST(last_words_count_until_they_are_said),
        NET_TEST(last_words_are_cut_short_where_too_many_wait),
        NET_TEST(an_actor_has_as_much_of_tls_as_its_memory_may),
    };
    return cmocka_run_group_tests(tests, make_pems, NULL);
}
