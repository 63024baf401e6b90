#include "gateway/gateway.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "gateway/gateway_internal.h"

#define BACKLOG 512
#define KEEPALIVE_S 60
#define ACCEPT_AGAIN_MS 100 /* there was no memory for one who came */
#define SECOND_NS PD_GATEWAY_SECOND_NS

struct pd_gateway_config pd_gateway_config_default(void)
{
    return (struct pd_gateway_config){
        .address = "127.0.0.1",
        .port = 2379,
        .connections_max = 16384,
        .hello_ns = 10 * SECOND_NS,
        .stall_ns = 60 * SECOND_NS,
        .handshakes_max = 256,
        .handshake_pressed_ns = SECOND_NS,
        .service = pd_service_config_default(),
        .grpc = pd_grpc_config_default(),
        .http1 = pd_http1_config_default(),
        .native = pd_native_config_default(),
    };
}

/* -- The loop ---------------------------------------------------------------------------------- */

static void on_backend_timer(uv_timer_t *timer)
{
    struct pd_gateway *gateway = timer->data;
    gateway->backend_armed_ns = UINT64_MAX;
    gateway->backend->ops->expire(gateway->backend, pd_gateway_now_ns(gateway));
    pd_service_expire(gateway->service, pd_gateway_now_ns(gateway));
    pd_gateway_settle(gateway);
}

static void tell_backend(struct pd_gateway *gateway)
{
    if (gateway->backend->ops->submitted != NULL) {
        gateway->backend->ops->submitted(gateway->backend);
    }
}

static void flush_dirty(struct pd_gateway *gateway)
{
    while (!pd_list_is_empty(&gateway->dirty)) {
        struct pd_gateway_connection *connection =
            pd_container_of(pd_list_first(&gateway->dirty), struct pd_gateway_connection, dirty);
        pd_list_remove(&connection->dirty);
        pd_gateway_flush(connection);
        if (!connection->is_closing) {
            pd_gateway_arm(connection);
        }
    }
}

void pd_gateway_settle(struct pd_gateway *gateway)
{
    tell_backend(gateway); /* the node works beside the writing */
    while (!pd_list_is_empty(&gateway->dirty)) {
        flush_dirty(gateway);
        tell_backend(
            gateway); /* room for answers lets requests in, and some are answered at once */
    }
    if (gateway->stops) {
        return;
    }
    uint64_t deadline = gateway->backend->ops->deadline_ns(gateway->backend);
    uint64_t service_deadline = pd_service_deadline_ns(gateway->service);
    deadline = service_deadline < deadline ? service_deadline : deadline;
    if (deadline < gateway->backend_armed_ns) {
        gateway->backend_armed_ns = deadline;
        (void)uv_timer_start(&gateway->backend_timer, on_backend_timer,
                             pd_gateway_wait_ms(pd_gateway_now_ns(gateway), deadline), 0);
    }
}

/* -- Who comes in ------------------------------------------------------------------------------ */

static void on_connection(uv_stream_t *listener, int status);

static void on_accept_timer(uv_timer_t *timer)
{
    struct pd_gateway *gateway = timer->data;
    on_connection((uv_stream_t *)&gateway->listener, 0);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct pd_gateway *gateway = listener->data;
    struct pd_gateway_connection *connection =
        status < 0 ? NULL : pd_alloc_zeroed(1, sizeof *connection);
    if (connection == NULL) {
        if (status == 0) {
            /* libuv takes nobody until this one is taken. */
            (void)uv_timer_start(&gateway->accept_timer, on_accept_timer, ACCEPT_AGAIN_MS, 0);
        }
        return;
    }
    connection->gateway = gateway;
    connection->armed_ns = UINT64_MAX;
    connection->hello_deadline_ns = pd_gateway_now_ns(gateway) + gateway->config.hello_ns;
    (void)uv_tcp_init(&gateway->loop, &connection->socket);
    (void)uv_timer_init(&gateway->loop, &connection->timer);
    connection->handles = 2;
    connection->socket.data = connection;
    connection->timer.data = connection;
    pd_list_append(&gateway->connections, &connection->link);
    pd_list_init(&connection->dirty);
    pd_list_init(&connection->turn);
    gateway->connection_count++;
    if (uv_accept(listener, (uv_stream_t *)&connection->socket) != 0) {
        pd_gateway_hang_up(connection);
        return;
    }
    if (gateway->connection_count > gateway->config.connections_max) {
        gateway->counters.connections_refused++;
        pd_gateway_hang_up(connection);
        return;
    }
    gateway->counters.connections++;
    (void)uv_tcp_nodelay(&connection->socket, 1);
    (void)uv_tcp_keepalive(&connection->socket, 1, KEEPALIVE_S);
    pd_gateway_arm(connection);
    if (gateway->credentials == NULL) {
        pd_gateway_begin_reading(connection);
    } else {
        pd_gateway_ask_for_turn(connection);
    }
}

/* -- The end, and other threads ---------------------------------------------------------------- */

static void stop_now(struct pd_gateway *gateway)
{
    gateway->stops = true;
    while (!pd_list_is_empty(&gateway->connections)) {
        pd_gateway_finish(pd_container_of(pd_list_first(&gateway->connections),
                                          struct pd_gateway_connection, link));
    }
    uv_close((uv_handle_t *)&gateway->listener, NULL);
    uv_close((uv_handle_t *)&gateway->wake, NULL);
    uv_close((uv_handle_t *)&gateway->turn, NULL);
    uv_close((uv_handle_t *)&gateway->backend_timer, NULL);
    uv_close((uv_handle_t *)&gateway->accept_timer, NULL);
}

static void take_renewed(struct pd_gateway *gateway)
{
    struct pd_tls_credentials *renewed = atomic_exchange(&gateway->renewed, NULL);
    if (renewed != NULL) {
        pd_tls_credentials_release(gateway->credentials);
        gateway->credentials = renewed;
        gateway->counters.tls_end_s = pd_tls_credentials_end_s(renewed);
    }
}

/* Who had more to send than goes in one turn has another. */
static void take_rest(struct pd_gateway *gateway)
{
    while (!pd_list_is_empty(&gateway->rest)) {
        struct pd_list *first = pd_list_first(&gateway->rest);
        pd_list_remove(first);
        pd_list_append(&gateway->dirty, first);
    }
}

static void on_wake(uv_async_t *wake)
{
    struct pd_gateway *gateway = wake->data;
    if (gateway->stops) {
        return;
    }
    take_renewed(gateway);
    if (atomic_exchange(&gateway->health_changed, false)) {
        pd_service_health_changed(gateway->service);
    }
    gateway->backend->ops->drain(gateway->backend);
    if (atomic_load(&gateway->is_asked_to_stop)) {
        do {
            take_rest(gateway);
            pd_gateway_settle(gateway);
        } while (!pd_list_is_empty(&gateway->rest));
        stop_now(gateway);
    }
}

/* Once for all that came in together: of many requests, the node is woken once; of many answers,
 * each connection writes once. */
static void on_turn(uv_check_t *turn)
{
    struct pd_gateway *gateway = turn->data;
    take_rest(gateway);
    pd_gateway_settle(gateway);
}

static void answered(void *state, uint64_t correlation, const struct pd_backend_answer *answer)
{
    struct pd_gateway *gateway = state;
    pd_service_answered(gateway->service, correlation, answer);
}

static void wake(void *state)
{
    struct pd_gateway *gateway = state;
    (void)uv_async_send(&gateway->wake);
}

/* -- Opening ----------------------------------------------------------------------------------- */

/* *address_out: where it listens then. */
static enum pd_status listen_at(uv_tcp_t *listener, const char *place, uint16_t port, char *text,
                                struct sockaddr_storage *address_out)
{
    int result = uv_ip4_addr(place, port, (struct sockaddr_in *)address_out);
    if (result != 0) {
        result = uv_ip6_addr(place, port, (struct sockaddr_in6 *)address_out);
    }
    if (result != 0) {
        (void)snprintf(text, PD_GATEWAY_TEXT_MAX,
                       "'%s' is no address to listen on: give numbers as 127.0.0.1 or ::1", place);
        return PD_ERR_INVALID;
    }
    result = uv_tcp_bind(listener, (const struct sockaddr *)address_out, 0);
    if (result == 0) {
        result = uv_listen((uv_stream_t *)listener, BACKLOG, on_connection);
    }
    int size = sizeof *address_out;
    if (result == 0) {
        result = uv_tcp_getsockname(listener, (struct sockaddr *)address_out, &size);
    }
    if (result != 0) {
        (void)snprintf(text, PD_GATEWAY_TEXT_MAX,
                       "cannot listen for clients on %s, port %u: %s; choose another with "
                       "--listen-client ADDRESS:PORT, or 'off'",
                       place, (unsigned)port, uv_strerror(result));
        return result == UV_EADDRINUSE ? PD_ERR_EXISTS : PD_ERR_IO;
    }
    return PD_OK;
}

enum pd_status pd_gateway_try_address(const char *address, uint16_t port,
                                      char text[PD_GATEWAY_TEXT_MAX])
{
    uv_loop_t loop;
    uv_tcp_t listener;
    struct sockaddr_storage bound;
    if (uv_loop_init(&loop) != 0) {
        (void)snprintf(text, PD_GATEWAY_TEXT_MAX, "cannot serve clients: no memory or files");
        return PD_ERR_NO_MEMORY;
    }
    int result = uv_tcp_init(&loop, &listener);
    pd_assert(result == 0); /* it fails for arguments only */
    enum pd_status status = listen_at(&listener, address, port, text, &bound);
    uv_close((uv_handle_t *)&listener, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* nobody is accepted: it is closing already */
    result = uv_loop_close(&loop);
    pd_assert(result == 0); /* it has no handles */
    return status;
}

static enum pd_status listen_for_clients(struct pd_gateway *gateway, char *text)
{
    const struct pd_gateway_config *config = &gateway->config;
    struct sockaddr_storage address;
    enum pd_status status =
        listen_at(&gateway->listener, config->address, config->port, text, &address);
    if (status == PD_OK) {
        gateway->port = ntohs(address.ss_family == AF_INET
                                  ? ((const struct sockaddr_in *)&address)->sin_port
                                  : ((const struct sockaddr_in6 *)&address)->sin6_port);
    }
    return status;
}

static void open_loop(struct pd_gateway *gateway)
{
    int result = uv_tcp_init(&gateway->loop, &gateway->listener);
    result |= uv_async_init(&gateway->loop, &gateway->wake, on_wake);
    result |= uv_check_init(&gateway->loop, &gateway->turn);
    result |= uv_check_start(&gateway->turn, on_turn);
    result |= uv_timer_init(&gateway->loop, &gateway->backend_timer);
    result |= uv_timer_init(&gateway->loop, &gateway->accept_timer);
    pd_assert(result == 0); /* they fail for arguments only; the async one for a lack of files */
    gateway->listener.data = gateway;
    gateway->wake.data = gateway;
    gateway->turn.data = gateway;
    gateway->backend_timer.data = gateway;
    gateway->accept_timer.data = gateway;
}

static void free_memory(struct pd_gateway *gateway)
{
    pd_service_close(gateway->service);
    pd_free(gateway->room_in);
    pd_free(gateway->room_out);
    pd_free(gateway->room_plain);
    pd_free(gateway->room_wire);
    pd_tls_credentials_release(gateway->credentials);
    pd_tls_credentials_release(atomic_load(&gateway->renewed));
    pd_free(gateway);
}

static bool make_rooms(struct pd_gateway *gateway)
{
    gateway->room_in = pd_alloc(PD_GATEWAY_ROOM_BYTES);
    gateway->room_out = pd_alloc(PD_GATEWAY_ROOM_BYTES);
    bool is_made = gateway->room_in != NULL && gateway->room_out != NULL;
    if (is_made && gateway->config.credentials != NULL) {
        gateway->credentials = gateway->config.credentials;
        pd_tls_credentials_hold(gateway->credentials);
        gateway->counters.tls_end_s = pd_tls_credentials_end_s(gateway->credentials);
        gateway->room_plain = pd_alloc(PD_GATEWAY_PLAIN_BYTES);
        gateway->room_wire = pd_alloc(PD_GATEWAY_WIRE_BYTES);
        is_made = gateway->room_plain != NULL && gateway->room_wire != NULL;
    }
    return is_made;
}

enum pd_status pd_gateway_open(const struct pd_gateway_config *config,
                               char text[PD_GATEWAY_TEXT_MAX], struct pd_gateway **gateway_out)
{
    text[0] = '\0';
    struct pd_gateway *gateway = pd_alloc_zeroed(1, sizeof *gateway);
    if (gateway == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    gateway->config = *config;
    gateway->backend = config->service.backend;
    gateway->backend_armed_ns = UINT64_MAX;
    pd_list_init(&gateway->connections);
    pd_list_init(&gateway->dirty);
    pd_list_init(&gateway->rest);
    pd_list_init(&gateway->handshakes);
    pd_list_init(&gateway->waiting);
    if (!make_rooms(gateway) ||
        pd_service_open(&gateway->config.service, &gateway->service) != PD_OK ||
        uv_loop_init(&gateway->loop) != 0) {
        free_memory(gateway);
        (void)snprintf(text, PD_GATEWAY_TEXT_MAX, "cannot serve clients: no memory or files");
        return PD_ERR_NO_MEMORY;
    }
    gateway->grpc = (struct pd_grpc_shared){.config = config->grpc, .service = gateway->service};
    gateway->http1 = (struct pd_http1_shared){.config = config->http1,
                                              .service = gateway->service,
                                              .backend = gateway->backend,
                                              .gateway_counters = &gateway->counters,
                                              .native_counters = &gateway->native.counters,
                                              .version = config->service.version};
    gateway->native = (struct pd_native_shared){
        .config = config->native, .service = gateway->service, .backend = gateway->backend};
    open_loop(gateway);
    enum pd_status status = listen_for_clients(gateway, text);
    const struct pd_backend_events events = {.answered = answered, .wake = wake, .state = gateway};
    gateway->backend->ops->attach(gateway->backend, &events);
    if (status != PD_OK) {
        stop_now(gateway);
        pd_gateway_run(gateway);
        pd_gateway_close(gateway);
        return status;
    }
    *gateway_out = gateway;
    return PD_OK;
}

uint16_t pd_gateway_port(const struct pd_gateway *gateway)
{
    return gateway->port;
}

void pd_gateway_run(struct pd_gateway *gateway)
{
    (void)uv_run(&gateway->loop, UV_RUN_DEFAULT);
    /* Before the loop goes: the node's threads must wake it no more. */
    gateway->backend->ops->detach(gateway->backend);
}

void pd_gateway_stop(struct pd_gateway *gateway)
{
    atomic_store(&gateway->is_asked_to_stop, true);
    (void)uv_async_send(&gateway->wake);
}

void pd_gateway_health_changed(struct pd_gateway *gateway)
{
    atomic_store(&gateway->health_changed, true);
    (void)uv_async_send(&gateway->wake);
}

void pd_gateway_renew(struct pd_gateway *gateway, struct pd_tls_credentials *credentials)
{
    pd_tls_credentials_release(atomic_exchange(&gateway->renewed, credentials));
    (void)uv_async_send(&gateway->wake);
}

void pd_gateway_close(struct pd_gateway *gateway)
{
    if (gateway == NULL) {
        return;
    }
    int result = uv_loop_close(&gateway->loop);
    pd_assert(result == 0);
    free_memory(gateway);
}

void pd_gateway_counters(const struct pd_gateway *gateway, struct pd_gateway_counters *counters_out)
{
    *counters_out = gateway->counters;
    pd_service_counters(gateway->service, &counters_out->service);
}
