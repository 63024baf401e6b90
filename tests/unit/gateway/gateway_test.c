/* The gateway's sockets: a peer that asks and does not read; TLS, and those who hold its places. */
#include "gateway/gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "gateway/tls_world.h"

#define MILLISECOND_NS UINT64_C(1000000)
#define WAIT_MS 120000 /* until it is a failure */

/* -- A node that is asked nothing -------------------------------------------------------------- */

static uint64_t now_ns(const struct pd_backend *backend)
{
    (void)backend;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 * MILLISECOND_NS + (uint64_t)now.tv_nsec;
}

static void attach(struct pd_backend *backend, const struct pd_backend_events *events)
{
    (void)backend;
    (void)events;
}

static enum pd_status submit(struct pd_backend *backend, uint64_t correlation,
                             const struct pd_backend_request *request)
{
    (void)backend;
    (void)correlation;
    (void)request;
    return PD_ERR_FULL;
}

static void cancel(struct pd_backend *backend, uint64_t correlation, enum pd_backend_kind kind)
{
    (void)backend;
    (void)correlation;
    (void)kind;
}

static void credit(struct pd_backend *backend, uint64_t correlation, uint32_t bytes,
                   bool wants_progress)
{
    (void)backend;
    (void)correlation;
    (void)bytes;
    (void)wants_progress;
}

static uint64_t deadline_ns(const struct pd_backend *backend)
{
    (void)backend;
    return UINT64_MAX;
}

static void expire(struct pd_backend *backend, uint64_t now)
{
    (void)backend;
    (void)now;
}

static void nothing(struct pd_backend *backend)
{
    (void)backend;
}

static atomic_bool is_leaderless;

static bool has_leader(const struct pd_backend *backend)
{
    (void)backend;
    return !atomic_load(&is_leaderless);
}

static const struct pd_backend_ops ops = {.attach = attach,
                                          .submit = submit,
                                          .cancel = cancel,
                                          .credit = credit,
                                          .drain = nothing,
                                          .has_leader = has_leader,
                                          .deadline_ns = deadline_ns,
                                          .expire = expire,
                                          .detach = nothing};
static struct pd_backend backend = {.ops = &ops, .now_ns = now_ns};

static void *serve(void *argument)
{
    pd_gateway_run(argument);
    return NULL;
}

/* -- The peer ---------------------------------------------------------------------------------- */

/* One that sends without waiting, and for which the system keeps little. */
static int dial(uint16_t port)
{
    int small = 4096;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer >= 0);
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    assert_int_equal(connect(peer, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fcntl(peer, F_SETFL, O_NONBLOCK), 0);
    return peer;
}

/* Asks for pages and reads none, until the gateway has had enough. */
static bool is_hung_up_on(int peer)
{
    static const char ask[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    size_t at = 0;
    struct pollfd waits = {.fd = peer, .events = POLLOUT};
    while (poll(&waits, 1, WAIT_MS) > 0) {
        ssize_t sent = send(peer, ask + at, sizeof ask - 1 - at, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            return true;
        }
        at = sent < 0 ? at : (at + (size_t)sent) % (sizeof ask - 1);
    }
    return false;
}

/* All that comes until the end. */
static size_t read_to_end(int peer, char *bytes, size_t room)
{
    size_t size = 0;
    ssize_t got = 0;
    while ((got = recv(peer, bytes + size, room - 1 - size, 0)) > 0) {
        size += (size_t)got;
    }
    assert_true(got == 0 || errno == ECONNRESET);
    bytes[size] = '\0';
    return size;
}

static void who_takes_nothing_is_left(void **state)
{
    (void)state;
    char text[PD_GATEWAY_TEXT_MAX];
    struct pd_gateway *gateway = NULL;
    struct pd_gateway_counters counters;
    pthread_t thread;
    struct pd_gateway_config config = pd_gateway_config_default();
    config.port = 0;
    config.stall_ns = 50 * MILLISECOND_NS;
    config.service.backend = &backend;
    assert_int_equal(pd_gateway_open(&config, text, &gateway), PD_OK);
    assert_int_equal(pthread_create(&thread, NULL, serve, gateway), 0);
    int peer = dial(pd_gateway_port(gateway));
    bool is_left = is_hung_up_on(peer);
    pd_gateway_stop(gateway);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(close(peer), 0);
    pd_gateway_counters(gateway, &counters);
    pd_gateway_close(gateway);
    assert_true(is_left);
    assert_int_equal(counters.connections, 1);
    assert_int_equal(counters.connections_broken, 1);
}

/* As above, but long before it is called slow: what waits for it is too much. */
static void what_waits_for_a_peer_has_a_bound(void **state)
{
    (void)state;
    char text[PD_GATEWAY_TEXT_MAX];
    struct pd_gateway *gateway = NULL;
    struct pd_gateway_counters counters;
    pthread_t thread;
    struct pd_gateway_config config = pd_gateway_config_default();
    config.port = 0;
    config.stall_ns = (uint64_t)2 * WAIT_MS * MILLISECOND_NS;
    config.service.output_bytes_max = (uint64_t)64 * 1024;
    config.service.backend = &backend;
    assert_int_equal(pd_gateway_open(&config, text, &gateway), PD_OK);
    assert_int_equal(pthread_create(&thread, NULL, serve, gateway), 0);
    int peer = dial(pd_gateway_port(gateway));
    bool is_left = is_hung_up_on(peer);
    pd_gateway_stop(gateway);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(close(peer), 0);
    pd_gateway_counters(gateway, &counters);
    pd_gateway_close(gateway);
    assert_true(is_left);
    assert_int_equal(counters.service.output_bytes, 0);
}

/* For the first one that comes there is no memory. It waits a moment, and so do others. */
static void who_comes_when_memory_is_short_is_taken_later(void **state)
{
    (void)state;
    static const char ask[] = "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const struct timeval most = {.tv_sec = WAIT_MS / 1000};
    char text[PD_GATEWAY_TEXT_MAX];
    struct pd_gateway *gateway = NULL;
    struct pd_gateway_counters counters;
    pthread_t thread;
    struct pd_gateway_config config = pd_gateway_config_default();
    config.port = 0;
    config.service.backend = &backend;
    assert_int_equal(pd_gateway_open(&config, text, &gateway), PD_OK);
    assert_int_equal(pthread_create(&thread, NULL, serve, gateway), 0);
    pd_alloc_fail_nth(1);
    for (uint32_t i = 0; i < 2; i++) {
        int peer = dial(pd_gateway_port(gateway));
        assert_int_equal(fcntl(peer, F_SETFL, 0), 0);
        assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most), 0);
        assert_int_equal(send(peer, ask, sizeof ask - 1, MSG_NOSIGNAL), sizeof ask - 1);
        char answer[sizeof "HTTP/1.1 404"];
        assert_int_equal(recv(peer, answer, sizeof answer - 1, MSG_WAITALL), sizeof answer - 1);
        assert_memory_equal(answer, "HTTP/1.1 404", sizeof answer - 1);
        assert_int_equal(close(peer), 0);
    }
    pd_gateway_stop(gateway);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pd_gateway_counters(gateway, &counters);
    pd_gateway_close(gateway);
    assert_int_equal(counters.connections, 2);
}

static void a_stream_that_requires_a_leader_ends(void **state)
{
    (void)state;
    static const char ask[] = "POST /v3/watch HTTP/1.1\r\nHost: localhost\r\n"
                              "Grpc-Metadata-hasleader: true\r\nConnection: close\r\n"
                              "Content-Length: 21\r\n\r\n{\"create_request\":{}}";
    static const char begun[] = "HTTP/1.1 200 "; /* the watch is refused, the stream stays */
    const struct timeval most = {.tv_sec = WAIT_MS / 1000};
    char text[PD_GATEWAY_TEXT_MAX];
    char answer[2048];
    struct pd_gateway *gateway = NULL;
    pthread_t thread;
    struct pd_gateway_config config = pd_gateway_config_default();
    config.port = 0;
    config.service.backend = &backend;
    config.service.leader_look_ns = MILLISECOND_NS;
    assert_int_equal(pd_gateway_open(&config, text, &gateway), PD_OK);
    assert_int_equal(pthread_create(&thread, NULL, serve, gateway), 0);
    int peer = dial(pd_gateway_port(gateway));
    assert_int_equal(fcntl(peer, F_SETFL, 0), 0);
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most), 0);
    assert_int_equal(send(peer, ask, sizeof ask - 1, MSG_NOSIGNAL), sizeof ask - 1);
    assert_int_equal(recv(peer, answer, sizeof begun - 1, MSG_WAITALL), sizeof begun - 1);
    assert_memory_equal(answer, begun, sizeof begun - 1);
    atomic_store(&is_leaderless, true);
    (void)read_to_end(peer, answer, sizeof answer);
    atomic_store(&is_leaderless, false);
    assert_non_null(strstr(answer, "{\"error\":{\"code\":14,\"message\":\"etcdserver: no leader"));
    pd_gateway_stop(gateway);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(close(peer), 0);
    pd_gateway_close(gateway);
}

/* -- TLS --------------------------------------------------------------------------------------- */

struct served {
    struct pd_gateway *gateway;
    struct tls_party party;
    pthread_t thread;
};

static void serve_tls(struct served *served, struct pd_gateway_config *config)
{
    char text[PD_GATEWAY_TEXT_MAX];
    tls_party_make(&served->party, TLS_SERVER, "server", TLS_DAY, NULL);
    struct pd_tls_credentials *credentials = tls_server(&served->party, NULL);
    config->port = 0;
    config->service.backend = &backend;
    config->credentials = credentials;
    assert_int_equal(pd_gateway_open(config, text, &served->gateway), PD_OK);
    pd_tls_credentials_release(credentials);
    assert_int_equal(pthread_create(&served->thread, NULL, serve, served->gateway), 0);
}

static void serve_no_more(struct served *served, struct pd_gateway_counters *counters)
{
    pd_gateway_stop(served->gateway);
    assert_int_equal(pthread_join(served->thread, NULL), 0);
    pd_gateway_counters(served->gateway, counters);
    pd_gateway_close(served->gateway);
    tls_party_free(&served->party);
}

/* A socket that waits, but not for ever. */
static int dial_waiting(const struct served *served)
{
    const struct timeval most = {.tv_sec = WAIT_MS / 1000};
    int peer = dial(pd_gateway_port(served->gateway));
    assert_int_equal(fcntl(peer, F_SETFL, 0), 0);
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most), 0);
    return peer;
}

struct caller {
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
    int peer;
};

static void call(struct caller *caller, const struct served *served)
{
    caller->peer = dial_waiting(served);
    tls_good(gnutls_certificate_allocate_credentials(&caller->credentials));
    tls_good(gnutls_init(&caller->session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL));
    tls_good(gnutls_set_default_priority(caller->session));
    tls_good(gnutls_credentials_set(caller->session, GNUTLS_CRD_CERTIFICATE, caller->credentials));
    gnutls_transport_set_int(caller->session, caller->peer);
}

static void is_answered(struct caller *caller)
{
    static const char ask[] = "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char answer[1024];
    assert_int_equal(gnutls_record_send(caller->session, ask, sizeof ask - 1), sizeof ask - 1);
    ssize_t size = gnutls_record_recv(caller->session, answer, sizeof answer - 1);
    assert_true(size > 0);
    answer[size] = '\0';
    assert_non_null(strstr(answer, "HTTP/1.1 404"));
}

static void hang_up(struct caller *caller)
{
    gnutls_deinit(caller->session);
    gnutls_certificate_free_credentials(caller->credentials);
    assert_int_equal(close(caller->peer), 0);
}

static void plain_bytes_are_told_that_this_is_tls(void **state)
{
    static const char ask[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct pd_gateway_config config = pd_gateway_config_default();
    struct pd_gateway_counters counters;
    struct served served;
    char answer[1024];
    (void)state;
    serve_tls(&served, &config);
    int peer = dial_waiting(&served);
    assert_int_equal(send(peer, ask, sizeof ask - 1, MSG_NOSIGNAL), sizeof ask - 1);
    (void)read_to_end(peer, answer, sizeof answer);
    assert_int_equal(close(peer), 0);
    serve_no_more(&served, &counters);
    assert_non_null(strstr(answer, "HTTP/1.0 400 "));
    assert_non_null(strstr(answer, "this port speaks TLS: use https"));
    assert_int_equal(counters.tls_not, 1);
    assert_int_equal(counters.tls_failed, 1);
    assert_int_equal(counters.connections_broken, 1);
}

/* A head of a record, and no more. */
static void a_handshake_that_does_not_go_on_is_ended(void **state)
{
    struct pd_gateway_config config = pd_gateway_config_default();
    struct pd_gateway_counters counters;
    struct served served;
    char answer[64];
    (void)state;
    config.hello_ns = 50 * MILLISECOND_NS;
    serve_tls(&served, &config);
    int peer = dial_waiting(&served);
    assert_int_equal(send(peer, "\x16\x03\x01", 3, MSG_NOSIGNAL), 3);
    assert_int_equal(read_to_end(peer, answer, sizeof answer), 0);
    assert_int_equal(close(peer), 0);
    serve_no_more(&served, &counters);
    assert_int_equal(counters.tls_failed, 1);
    assert_int_equal(counters.connections_broken, 1);
}

/* TLS has told what it will speak, and it does not. */
static void who_is_silent_after_its_handshake_is_ended(void **state)
{
    static unsigned char http1[] = "http/1.1";
    const gnutls_datum_t name = {http1, sizeof http1 - 1};
    struct pd_gateway_config config = pd_gateway_config_default();
    struct pd_gateway_counters counters;
    struct caller caller;
    struct served served;
    char answer[64];
    (void)state;
    config.hello_ns = UINT64_C(2000) * MILLISECOND_NS; /* enough for a handshake, however slow */
    serve_tls(&served, &config);
    call(&caller, &served);
    tls_good(gnutls_alpn_set_protocols(caller.session, &name, 1, 0));
    assert_int_equal(gnutls_handshake(caller.session), 0);
    assert_true(gnutls_record_recv(caller.session, answer, sizeof answer) <= 0);
    hang_up(&caller);
    serve_no_more(&served, &counters);
    assert_int_equal(counters.tls_failed, 0);
    assert_int_equal(counters.connections_broken, 1);
}

/* There is one place, and somebody is in it who says nothing. */
static void a_place_is_waited_for(void **state)
{
    struct pd_gateway_config config = pd_gateway_config_default();
    struct pd_gateway_counters counters;
    struct caller caller;
    struct served served;
    char answer[64];
    (void)state;
    config.handshakes_max = 1;
    config.hello_ns = (uint64_t)2 * WAIT_MS * MILLISECOND_NS;
    config.handshake_pressed_ns = config.hello_ns;
    serve_tls(&served, &config);
    int silent = dial_waiting(&served);
    call(&caller, &served);
    struct pollfd waits = {.fd = caller.peer, .events = POLLIN};
    /* Its hello is sent; the answer comes only when the other one has left. */
    assert_int_equal(fcntl(caller.peer, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(gnutls_handshake(caller.session), GNUTLS_E_AGAIN);
    assert_int_equal(poll(&waits, 1, 0), 0);
    assert_int_equal(close(silent), 0);
    assert_int_equal(poll(&waits, 1, WAIT_MS), 1);
    hang_up(&caller);
    serve_no_more(&served, &counters);
    assert_int_equal(counters.connections, 2);

    config.handshake_pressed_ns = 0;
    serve_tls(&served, &config);
    silent = dial_waiting(&served);
    call(&caller, &served);
    assert_int_equal(gnutls_handshake(caller.session), 0);
    is_answered(&caller);
    assert_int_equal(read_to_end(silent, answer, sizeof answer), 0);
    assert_int_equal(close(silent), 0);
    hang_up(&caller);
    serve_no_more(&served, &counters);
    assert_int_equal(counters.tls_handshakes, 1);
    assert_int_equal(counters.tls_failed, 1);
}

/* Two who say nothing are before it, one place, and each is given its time: longer together than
 * one has from its turn on. */
static void who_waits_for_a_place_is_not_late(void **state)
{
    struct pd_gateway_config config = pd_gateway_config_default();
    struct pd_gateway_counters counters;
    struct caller caller;
    struct served served;
    int silent[2];
    char answer[64];
    (void)state;
    config.handshakes_max = 1;
    config.hello_ns = UINT64_C(2000) * MILLISECOND_NS; /* enough for a handshake, however slow */
    config.handshake_pressed_ns = UINT64_C(1500) * MILLISECOND_NS;
    serve_tls(&served, &config);
    for (int i = 0; i < 2; i++) {
        silent[i] = dial_waiting(&served);
    }
    call(&caller, &served);
    assert_int_equal(gnutls_handshake(caller.session), 0);
    is_answered(&caller);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(read_to_end(silent[i], answer, sizeof answer), 0);
        assert_int_equal(close(silent[i]), 0);
    }
    hang_up(&caller);
    serve_no_more(&served, &counters);
    assert_int_equal(counters.tls_handshakes, 1);
    assert_int_equal(counters.tls_failed, 2);
}

static bool shows(const struct caller *caller, const struct tls_party *party)
{
    unsigned count = 0;
    gnutls_datum_t wanted;
    const gnutls_datum_t *shown = gnutls_certificate_get_peers(caller->session, &count);
    assert_non_null(shown);
    tls_good(gnutls_x509_crt_export2(party->certificate, GNUTLS_X509_FMT_DER, &wanted));
    bool is_it =
        shown[0].size == wanted.size && memcmp(shown[0].data, wanted.data, wanted.size) == 0;
    gnutls_free(wanted.data);
    return is_it;
}

/* Who is connected stays so; who comes gets the new one; in the end all are told. */
static void a_new_certificate_is_for_new_connections(void **state)
{
    struct pd_gateway_config config = pd_gateway_config_default();
    struct pd_gateway_counters counters;
    struct tls_party renewed;
    struct caller first;
    struct caller next;
    struct served served;
    char byte = 0;
    (void)state;
    serve_tls(&served, &config);
    call(&first, &served);
    assert_int_equal(gnutls_handshake(first.session), 0);
    assert_true(shows(&first, &served.party));
    tls_party_make(&renewed, TLS_SERVER, "renewed", TLS_DAY, NULL);
    pd_gateway_renew(served.gateway, tls_server(&renewed, NULL));
    uint64_t deadline = now_ns(&backend) + WAIT_MS * MILLISECOND_NS;
    bool is_new = false;
    while (!is_new && now_ns(&backend) < deadline) {
        call(&next, &served);
        assert_int_equal(gnutls_handshake(next.session), 0);
        is_new = shows(&next, &renewed);
        assert_true(is_new || shows(&next, &served.party));
        is_answered(&next);
        hang_up(&next);
    }
    assert_true(is_new);
    is_answered(&first);
    serve_no_more(&served, &counters);
    assert_int_equal(gnutls_record_recv(first.session, &byte, 1), 0); /* not cut off: told */
    hang_up(&first);
    tls_party_free(&renewed);
    assert_true(counters.tls_handshakes >= 2);
    assert_int_equal(counters.tls_failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_takes_nothing_is_left),
        cmocka_unit_test(what_waits_for_a_peer_has_a_bound),
        cmocka_unit_test(a_stream_that_requires_a_leader_ends),
        cmocka_unit_test(who_comes_when_memory_is_short_is_taken_later),
        cmocka_unit_test(plain_bytes_are_told_that_this_is_tls),
        cmocka_unit_test(a_handshake_that_does_not_go_on_is_ended),
        cmocka_unit_test(who_is_silent_after_its_handshake_is_ended),
        cmocka_unit_test(a_place_is_waited_for),
        cmocka_unit_test(who_waits_for_a_place_is_not_late),
        cmocka_unit_test(a_new_certificate_is_for_new_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
