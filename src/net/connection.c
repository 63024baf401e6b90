/* One QUIC connection: from its first packet to its end.
 *
 *   dial ----\                     key judged (tls.c)
 *             > handshake ------------------------------> confirmed ---> close: told to the peer
 *   accept --/       \-> refused, timed out: drop                  \---> drop: idle, reset, the
 *                                                                        peer has closed it
 *
 * A server's side is confirmed when its handshake is complete; a client's when the server says so,
 * or speaks on a stream: until then the server may still refuse its key. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "net/address.h"
#include "net/internal.h"

/* What paces a connection before its first sample of the round trip. The default, 333 ms, would
 * hold the handshake's last packet up by 22 ms. */
#define INITIAL_RTT_NS (10 * NGTCP2_MILLISECONDS)
#define CID_LIMIT 4u
#define QUIET_NS (8 * NGTCP2_MILLISECONDS)

/* -- Connection ids ---------------------------------------------------------------------------- */

static bool add_cid(struct pd_net_connection *connection, const ngtcp2_cid *cid)
{
    struct pd_net_endpoint *endpoint = connection->endpoint;
    struct pd_net_cid *entry = pd_alloc_zeroed(1, sizeof *entry);
    if (entry == NULL) {
        return false;
    }
    entry->connection = connection;
    entry->cid = *cid;
    pd_list_append(&connection->cids, &entry->link);
    pd_table_insert(&endpoint->by_cid, &entry->by_bytes,
                    pd_net_hash(endpoint, cid->data, cid->datalen));
    return true;
}

static void remove_cid(struct pd_net_cid *entry)
{
    pd_table_remove(&entry->connection->endpoint->by_cid, &entry->by_bytes);
    pd_list_remove(&entry->link);
    pd_free(entry);
}

static void new_cid(struct pd_net_endpoint *endpoint, size_t size, ngtcp2_cid *cid_out)
{
    uint8_t bytes[NGTCP2_MAX_CIDLEN];
    do {
        endpoint->random(endpoint->random_state, bytes, size);
    } while (pd_net_by_cid(endpoint, bytes, size) != NULL);
    ngtcp2_cid_init(cid_out, bytes, size);
}

static bool reset_token(struct pd_net_endpoint *endpoint, const ngtcp2_cid *cid, uint8_t *token)
{
    return ngtcp2_crypto_generate_stateless_reset_token(token, endpoint->reset_secret,
                                                        sizeof endpoint->reset_secret, cid) == 0;
}

/* -- What ngtcp2 asks for ---------------------------------------------------------------------- */

static ngtcp2_conn *get_quic(ngtcp2_crypto_conn_ref *reference)
{
    return ((struct pd_net_connection *)reference->user_data)->quic;
}

static void on_random(uint8_t *bytes, size_t size, const ngtcp2_rand_ctx *context)
{
    struct pd_net_endpoint *endpoint = context->native_handle;
    endpoint->random(endpoint->random_state, bytes, size);
}

static int on_path_challenge(ngtcp2_conn *quic, uint8_t *bytes, void *state)
{
    (void)quic;
    struct pd_net_endpoint *endpoint = ((struct pd_net_connection *)state)->endpoint;
    endpoint->random(endpoint->random_state, bytes, NGTCP2_PATH_CHALLENGE_DATALEN);
    return 0;
}

static int on_new_cid(ngtcp2_conn *quic, ngtcp2_cid *cid, uint8_t *token, size_t size, void *state)
{
    (void)quic;
    struct pd_net_connection *connection = state;
    new_cid(connection->endpoint, size, cid);
    return reset_token(connection->endpoint, cid, token) && add_cid(connection, cid)
               ? 0
               : NGTCP2_ERR_CALLBACK_FAILURE;
}

static int on_remove_cid(ngtcp2_conn *quic, const ngtcp2_cid *cid, void *state)
{
    (void)quic;
    struct pd_net_connection *connection = state;
    for (struct pd_list *link = connection->cids.next; link != &connection->cids;
         link = link->next) {
        struct pd_net_cid *entry = pd_container_of(link, struct pd_net_cid, link);
        if (ngtcp2_cid_eq(&entry->cid, cid)) {
            remove_cid(entry);
            break;
        }
    }
    return 0;
}

static int on_completed(ngtcp2_conn *quic, void *state)
{
    (void)quic;
    struct pd_net_connection *connection = state;
    connection->is_completed = true;
    if (connection->is_server) {
        (void)pd_net_connection_confirm(connection);
    }
    return 0;
}

static int on_confirmed(ngtcp2_conn *quic, void *state)
{
    (void)quic;
    (void)pd_net_connection_confirm(state);
    return 0;
}

static int on_reset(ngtcp2_conn *quic, const ngtcp2_pkt_stateless_reset *reset, void *state)
{
    (void)quic;
    (void)reset;
    ((struct pd_net_connection *)state)->endpoint->counters.resets_received++;
    return 0;
}

static int on_stream_open(ngtcp2_conn *quic, int64_t id, void *state)
{
    struct pd_net_connection *connection = state;
    bool is_raft = connection->service == PD_NET_SERVICE_RAFT;
    bool is_bidi = ngtcp2_is_bidi_stream(id) != 0;
    if (!pd_net_connection_confirm(connection) || is_raft == is_bidi) {
        pd_net_connection_mark(connection, PD_NET_CODE_MALFORMED, "a stream of the wrong kind");
        return 0;
    }
    struct pd_net_stream *stream =
        pd_net_stream_make(connection, is_bidi ? PD_NET_STREAM_REQUEST : PD_NET_STREAM_LANE_IN);
    if (stream == NULL) {
        return NGTCP2_ERR_CALLBACK_FAILURE;
    }
    stream->id = id;
    return ngtcp2_conn_set_stream_user_data(quic, id, stream) == 0 ? 0
                                                                   : NGTCP2_ERR_CALLBACK_FAILURE;
}

static int on_stream_data(ngtcp2_conn *quic, uint32_t flags, int64_t id, uint64_t offset,
                          const uint8_t *bytes, size_t size, void *state, void *stream_state)
{
    (void)offset;
    struct pd_net_connection *connection = state;
    if (stream_state != NULL && !connection->must_close) {
        pd_net_stream_receive(stream_state, (flags & NGTCP2_STREAM_DATA_FLAG_FIN) != 0,
                              (struct pd_span){bytes, size});
    }
    /* What has come was taken or thrown away: there is room again. */
    ngtcp2_conn_extend_max_offset(quic, size);
    int result = ngtcp2_conn_extend_max_stream_offset(quic, id, size);
    return result == 0 || result == NGTCP2_ERR_STREAM_NOT_FOUND ? 0 : NGTCP2_ERR_CALLBACK_FAILURE;
}

static int on_acked(ngtcp2_conn *quic, int64_t id, uint64_t offset, uint64_t size, void *state,
                    void *stream_state)
{
    (void)quic;
    (void)id;
    (void)offset;
    (void)state;
    if (stream_state != NULL) {
        pd_net_stream_acked(stream_state, size);
    }
    return 0;
}

static int on_stream_close(ngtcp2_conn *quic, uint32_t flags, int64_t id, uint64_t code,
                           void *state, void *stream_state)
{
    struct pd_net_connection *connection = state;
    if (ngtcp2_is_bidi_stream(id) && ngtcp2_conn_is_local_stream(quic, id) == 0) {
        connection->credits_owed++;
    }
    if (stream_state != NULL) {
        bool has_code = (flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET) != 0;
        pd_net_stream_broken(stream_state, has_code ? code : PD_NET_CODE_CANCELLED);
        pd_net_stream_free(stream_state);
    }
    return 0;
}

static int on_stream_reset(ngtcp2_conn *quic, int64_t id, uint64_t final_size, uint64_t code,
                           void *state, void *stream_state)
{
    (void)quic;
    (void)id;
    (void)final_size;
    (void)state;
    if (stream_state != NULL) {
        pd_net_stream_broken(stream_state, code);
    }
    return 0;
}

static int on_stop_sending(ngtcp2_conn *quic, int64_t id, uint64_t code, void *state,
                           void *stream_state)
{
    return on_stream_reset(quic, id, 0, code, state, stream_state);
}

static const ngtcp2_callbacks callbacks = {
    .client_initial = ngtcp2_crypto_client_initial_cb,
    .recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
    .recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
    .handshake_completed = on_completed,
    .encrypt = ngtcp2_crypto_encrypt_cb,
    .decrypt = ngtcp2_crypto_decrypt_cb,
    .hp_mask = ngtcp2_crypto_hp_mask_cb,
    .recv_stream_data = on_stream_data,
    .acked_stream_data_offset = on_acked,
    .stream_open = on_stream_open,
    .stream_close = on_stream_close,
    .recv_stateless_reset = on_reset,
    .recv_retry = ngtcp2_crypto_recv_retry_cb,
    .rand = on_random,
    .get_new_connection_id = on_new_cid,
    .remove_connection_id = on_remove_cid,
    .update_key = ngtcp2_crypto_update_key_cb,
    .stream_reset = on_stream_reset,
    .handshake_confirmed = on_confirmed,
    .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
    .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
    .get_path_challenge_data = on_path_challenge,
    .stream_stop_sending = on_stop_sending,
    .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
};

/* -- ngtcp2's memory is ours, so that tests can make it fail ----------------------------------- */

static void *quic_malloc(size_t size, void *state)
{
    (void)state;
    return pd_alloc(size == 0 ? 1 : size);
}

static void quic_free(void *block, void *state)
{
    (void)state;
    pd_free(block);
}

static void *quic_calloc(size_t count, size_t size, void *state)
{
    (void)state;
    return pd_alloc_zeroed(count == 0 ? 1 : count, size == 0 ? 1 : size);
}

static void *quic_realloc(void *block, size_t size, void *state)
{
    (void)state;
    return pd_realloc(block, size == 0 ? 1 : size);
}

static const ngtcp2_mem memory = {NULL, quic_malloc, quic_free, quic_calloc, quic_realloc};

/* -- Beginning --------------------------------------------------------------------------------- */

static void make_settings(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                          ngtcp2_settings *settings)
{
    ngtcp2_settings_default(settings);
    settings->initial_ts = now_ns;
    settings->initial_rtt = INITIAL_RTT_NS;
    settings->handshake_timeout = endpoint->limits.handshake_ns;
    settings->rand_ctx.native_handle = endpoint;
}

static void make_params(const struct pd_net_connection *connection, ngtcp2_transport_params *params)
{
    const struct pd_net_limits *limits = &connection->endpoint->limits;
    bool is_server = connection->is_server;
    ngtcp2_transport_params_default(params);
    params->initial_max_stream_data_bidi_local = limits->window_bytes;
    params->initial_max_stream_data_bidi_remote = limits->window_bytes;
    params->initial_max_stream_data_uni = limits->window_bytes;
    params->initial_max_data = limits->connection_window_bytes;
    params->initial_max_streams_uni =
        is_server || connection->service == PD_NET_SERVICE_RAFT ? PD_TRANSPORT_LANES : 0;
    params->initial_max_streams_bidi = is_server ? limits->requests_max : 0;
    params->max_idle_timeout = limits->idle_ns;
    params->active_connection_id_limit = CID_LIMIT;
}

static struct pd_net_connection *make(struct pd_net_endpoint *endpoint,
                                      const struct pd_transport_address *remote)
{
    if (endpoint->counters.connections >= endpoint->limits.connections_max) {
        return NULL;
    }
    struct pd_net_connection *connection = pd_alloc_zeroed(1, sizeof *connection);
    struct pd_net_event_item *closed = pd_alloc_zeroed(1, sizeof *closed);
    if (connection == NULL || closed == NULL) {
        pd_free(connection);
        pd_free(closed);
        return NULL;
    }
    connection->endpoint = endpoint;
    connection->closed = closed;
    connection->reference = (ngtcp2_crypto_conn_ref){get_quic, connection};
    connection->timer.kind = PD_NET_TIMER_CONNECTION;
    connection->flight_ns = PD_TIME_NEVER;
    connection->closes_ns = PD_TIME_NEVER;
    pd_list_init(&connection->dirty);
    pd_list_init(&connection->cids);
    pd_list_init(&connection->by_peer);
    pd_list_init(&connection->waiting);
    pd_list_init(&connection->streams);
    pd_list_init(&connection->ready[0]);
    pd_list_init(&connection->ready[1]);
    pd_list_init(&connection->blocked);
    pd_list_append(&endpoint->connections, &connection->link);
    endpoint->counters.connections++;
    connection->remote = *remote;
    pd_table_insert(&endpoint->by_remote, &connection->by_remote,
                    pd_net_hash(endpoint, remote, sizeof *remote));
    return connection;
}

struct path {
    ngtcp2_path path;
    struct sockaddr_in6 local;
    struct sockaddr_in6 remote;
};

static void make_path(struct pd_net_endpoint *endpoint, const struct pd_transport_address *remote,
                      struct path *path)
{
    pd_net_address_to_system(&endpoint->local, &path->local);
    pd_net_address_to_system(remote, &path->remote);
    path->path = (ngtcp2_path){
        .local = {(ngtcp2_sockaddr *)(void *)&path->local, sizeof path->local},
        .remote = {(ngtcp2_sockaddr *)(void *)&path->remote, sizeof path->remote},
    };
}

struct pd_net_connection *pd_net_connection_dial(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                                                 uint32_t service,
                                                 const uint8_t key[PD_NET_KEY_SIZE],
                                                 const struct pd_transport_address *address)
{
    struct pd_net_connection *connection = make(endpoint, address);
    if (connection == NULL) {
        return NULL;
    }
    connection->service = service;
    connection->has_service = true;
    connection->takes_any_key = key == NULL;
    if (key != NULL) {
        memcpy(connection->key, key, PD_NET_KEY_SIZE);
    }
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    struct path path;
    ngtcp2_cid scid;
    ngtcp2_cid dcid;
    make_settings(endpoint, now_ns, &settings);
    make_params(connection, &params);
    make_path(endpoint, address, &path);
    new_cid(endpoint, PD_NET_CID_SIZE, &scid);
    new_cid(endpoint, NGTCP2_MIN_INITIAL_DCIDLEN, &dcid);
    ngtcp2_conn *quic; /* without memory ngtcp2 leaves something that is freed in it */
    if (!add_cid(connection, &scid) || pd_net_tls_session(connection) != PD_OK ||
        ngtcp2_conn_client_new(&quic, &dcid, &scid, &path.path, NGTCP2_PROTO_VER_V1, &callbacks,
                               &settings, &params, &memory, connection) != 0) {
        pd_net_connection_drop(connection, "no memory");
        return NULL;
    }
    connection->quic = quic;
    ngtcp2_conn_set_tls_native_handle(quic, connection->tls);
    pd_net_connection_make_dirty(connection);
    return connection;
}

struct pd_net_connection *pd_net_connection_accept(struct pd_net_endpoint *endpoint,
                                                   uint64_t now_ns,
                                                   const struct pd_net_accept *accept)
{
    struct pd_net_connection *connection = make(endpoint, accept->remote);
    if (connection == NULL) {
        return NULL;
    }
    const ngtcp2_pkt_hd *head = accept->head;
    connection->is_server = true;
    connection->begun_ns = now_ns;
    endpoint->counters.handshakes++;
    pd_net_source_enter(connection);
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    struct path path;
    ngtcp2_cid scid;
    make_settings(endpoint, now_ns, &settings);
    make_params(connection, &params);
    make_path(endpoint, accept->remote, &path);
    new_cid(endpoint, PD_NET_CID_SIZE, &scid);
    params.original_dcid = accept->original != NULL ? *accept->original : head->dcid;
    if (accept->original != NULL) {
        params.retry_scid = head->dcid;
        params.retry_scid_present = 1;
        settings.token = head->token;
    }
    params.stateless_reset_token_present = 1;
    ngtcp2_conn *quic;
    if (!reset_token(endpoint, &scid, params.stateless_reset_token) ||
        !add_cid(connection, &scid) || !add_cid(connection, &head->dcid) ||
        pd_net_tls_session(connection) != PD_OK ||
        ngtcp2_conn_server_new(&quic, &head->scid, &scid, &path.path, head->version, &callbacks,
                               &settings, &params, &memory, connection) != 0) {
        pd_net_connection_drop(connection, "no memory");
        return NULL;
    }
    connection->quic = quic;
    ngtcp2_conn_set_tls_native_handle(quic, connection->tls);
    endpoint->counters.accepted++;
    return connection;
}

/* -- Confirmed --------------------------------------------------------------------------------- */

bool pd_net_connection_admits(const struct pd_net_connection *connection,
                              const uint8_t key[PD_NET_KEY_SIZE])
{
    const struct pd_net_endpoint *endpoint = connection->endpoint;
    if (connection->service != PD_NET_SERVICE_RAFT) {
        const struct pd_net_service *service = &endpoint->services[connection->service];
        if (service->admit != NULL) {
            return service->admit(service->state, key);
        }
    }
    return pd_net_peer_of_key(endpoint, key) != NULL;
}

bool pd_net_connection_was_removed(const struct pd_net_connection *connection,
                                   const uint8_t key[PD_NET_KEY_SIZE])
{
    const struct pd_net_endpoint *endpoint = connection->endpoint;
    bool is_for_members = connection->service == PD_NET_SERVICE_RAFT ||
                          endpoint->services[connection->service].admit == NULL;
    return is_for_members && endpoint->was_removed != NULL &&
           endpoint->was_removed(endpoint->removed_state, key);
}

static bool open_link(struct pd_net_connection *connection)
{
    struct pd_net_endpoint *endpoint = connection->endpoint;
    if (connection->link_id == 0) {
        connection->link_id = endpoint->next_link;
        endpoint->next_link += 2;
        pd_table_insert(&endpoint->by_link, &connection->by_link,
                        pd_net_hash(endpoint, &connection->link_id, sizeof connection->link_id));
    }
    struct pd_net_event event = {
        .kind = PD_NET_LINK_OPENED, .link = connection->link_id, .service = connection->service};
    memcpy(event.key, connection->key, PD_NET_KEY_SIZE);
    return pd_net_tell(endpoint, &event, NULL) == PD_OK;
}

/* Why somebody is not wanted. */
static enum pd_net_code code_for(const struct pd_net_connection *connection)
{
    return pd_net_connection_was_removed(connection, connection->key) ? PD_NET_CODE_REMOVED
                                                                      : PD_NET_CODE_NOT_MEMBER;
}

bool pd_net_connection_confirm(struct pd_net_connection *connection)
{
    struct pd_net_endpoint *endpoint = connection->endpoint;
    if (connection->is_confirmed || connection->must_close) {
        return connection->is_confirmed;
    }
    /* The table of peers may have changed since its key was judged. */
    if (connection->is_server && !pd_net_connection_admits(connection, connection->key)) {
        connection->is_refused = true;
        pd_net_connection_mark(connection, code_for(connection), "not a member any more");
        return false;
    }
    connection->is_confirmed = true;
    connection->confirmed_ns = endpoint->now_ns;
    connection->heard_ns = endpoint->now_ns;
    endpoint->counters.confirmed++;
    if (connection->is_server) {
        endpoint->counters.handshakes--;
        pd_net_source_leave(connection);
    }
    ngtcp2_conn_set_keep_alive_timeout(connection->quic, endpoint->limits.keep_alive_ns);
    bool is_told;
    if (connection->service == PD_NET_SERVICE_RAFT) {
        struct pd_net_peer *peer = pd_net_peer_of_key(endpoint, connection->key);
        is_told = peer != NULL && pd_net_peer_gained(peer, connection);
    } else {
        is_told = open_link(connection);
    }
    if (!is_told) {
        pd_net_connection_mark(connection, PD_NET_CODE_BUSY, "no memory");
    }
    return is_told;
}

/* -- End --------------------------------------------------------------------------------------- */

void pd_net_connection_mark(struct pd_net_connection *connection, enum pd_net_code code,
                            const char *text)
{
    if (!connection->must_close) {
        connection->must_close = true;
        connection->close_code = code;
        connection->close_text = text;
        pd_net_connection_make_dirty(connection); /* outside of a callback nobody else looks */
    }
}

static void free_streams(struct pd_list *streams)
{
    while (!pd_list_is_empty(streams)) {
        pd_net_stream_free(pd_container_of(streams->next, struct pd_net_stream, link));
    }
}

static void tell_closed(struct pd_net_connection *connection, const char *text)
{
    struct pd_net_endpoint *endpoint = connection->endpoint;
    if (connection->link_id == 0) {
        return;
    }
    struct pd_net_event_item *item = connection->closed;
    connection->closed = NULL;
    item->event = (struct pd_net_event){.kind = PD_NET_LINK_CLOSED,
                                        .link = connection->link_id,
                                        .service = connection->service,
                                        .text = text};
    pd_list_append(&endpoint->events, &item->link);
    pd_table_remove(&endpoint->by_link, &connection->by_link);
}

void pd_net_connection_drop(struct pd_net_connection *connection, const char *text)
{
    struct pd_net_endpoint *endpoint = connection->endpoint;
    if (connection->is_server && !connection->is_confirmed) {
        endpoint->counters.handshakes--;
        pd_net_source_leave(connection);
    }
    endpoint->counters.refused_key += connection->is_refused ? 1 : 0;
    if (connection->peer != NULL) {
        pd_net_peer_lost(connection->peer, connection);
    }
    tell_closed(connection, text);
    free_streams(&connection->streams);
    free_streams(&connection->waiting);
    while (!pd_list_is_empty(&connection->cids)) {
        remove_cid(pd_container_of(connection->cids.next, struct pd_net_cid, link));
    }
    pd_assert(connection->input_bytes == 0);
    pd_assert(connection->output_bytes == 0);
    pd_table_deinit(&connection->correlations);
    pd_table_remove(&endpoint->by_remote, &connection->by_remote);
    pd_net_timer_set(endpoint, &connection->timer, PD_TIME_NEVER);
    pd_list_remove(&connection->dirty);
    pd_list_remove(&connection->link);
    endpoint->counters.connections--;
    if (connection->quic != NULL) {
        ngtcp2_conn_del(connection->quic);
    }
    if (connection->tls != NULL) {
        gnutls_deinit(connection->tls);
    }
    pd_free(connection->closed);
    pd_free(connection);
}

static void write_close(struct pd_net_connection *connection, uint64_t now_ns,
                        const ngtcp2_connection_close_error *error)
{
    struct pd_net_endpoint *endpoint = connection->endpoint;
    struct pd_net_loose *loose = pd_net_loose_room(endpoint, false);
    if (loose == NULL) {
        return; /* the peer learns it by a stateless reset */
    }
    ngtcp2_pkt_info info = {0};
    size_t room = ngtcp2_conn_get_path_max_tx_udp_payload_size(connection->quic);
    ngtcp2_ssize size = ngtcp2_conn_write_connection_close(
        connection->quic, NULL, &info, loose->bytes,
        room < sizeof loose->bytes ? room : sizeof loose->bytes, error, now_ns);
    pd_net_loose_add(endpoint, loose, &connection->remote, size);
}

void pd_net_connection_close(struct pd_net_connection *connection, uint64_t now_ns,
                             enum pd_net_code code, const char *text)
{
    ngtcp2_connection_close_error error;
    ngtcp2_connection_close_error_set_application_error(&error, (uint64_t)code, NULL, 0);
    write_close(connection, now_ns, &error);
    pd_net_connection_drop(connection, text);
}

void pd_net_connection_dismiss(struct pd_net_connection *connection, uint64_t now_ns)
{
    pd_net_connection_close(connection, now_ns, code_for(connection), "not a member");
}

/* Whether the peer has closed it with this code. An application's code comes under the keys of a
 * whole handshake, in which the peer has proven its own: nobody else can say it. */
static bool has_heard(const struct pd_net_connection *connection, enum pd_net_code code)
{
    ngtcp2_connection_close_error error;
    ngtcp2_conn_get_connection_close_error(connection->quic, &error);
    return connection->peer != NULL && connection->is_completed &&
           error.type == NGTCP2_CONNECTION_CLOSE_ERROR_CODE_TYPE_APPLICATION &&
           error.error_code == (uint64_t)code;
}

/* The peer's word that this node was removed. */
static void hear_removed(struct pd_net_connection *connection)
{
    if (!has_heard(connection, PD_NET_CODE_REMOVED)) {
        return;
    }
    const struct pd_net_event event = {.kind = PD_NET_PEER_REMOVED,
                                       .node = connection->peer->about.node};
    enum pd_status status = pd_net_tell(connection->endpoint, &event, NULL);
    (void)status; /* no memory: it is told again when it is dialed again */
}

/* The peer's word that it ends. */
static void hear_goodbye(struct pd_net_connection *connection)
{
    if (has_heard(connection, PD_NET_CODE_BYE) && connection->is_confirmed) {
        pd_net_peer_left(connection->peer, connection);
    }
}

/* Why the peer has closed it. */
static const char *closed_by_peer(const struct pd_net_connection *connection)
{
    ngtcp2_connection_close_error error;
    ngtcp2_conn_get_connection_close_error(connection->quic, &error);
    if (error.type == NGTCP2_CONNECTION_CLOSE_ERROR_CODE_TYPE_APPLICATION) {
        switch (error.error_code) {
        case PD_NET_CODE_NOT_MEMBER:
        case PD_NET_CODE_REMOVED:
            return "the other side does not know this key as a member's any more";
        case PD_NET_CODE_MALFORMED:
            return "the other side could not read what it was sent";
        case PD_NET_CODE_BUSY:
            return "the other side has no room for this connection";
        case PD_NET_CODE_REPLACED:
            return "another connection took its place";
        default:
            return "the other side has closed it";
        }
    }
    if (error.error_code == (NGTCP2_CRYPTO_ERROR | 120)) {
        return "the other side does not offer this service";
    }
    if (error.error_code == (NGTCP2_CRYPTO_ERROR | 42)) {
        return "the other side refused this key";
    }
    return "the other side has ended it with an error";
}

/* An error of ngtcp2's ends the connection; the peer is told when it should be. */
static void fail(struct pd_net_connection *connection, uint64_t now_ns, int result)
{
    struct pd_net_endpoint *endpoint = connection->endpoint;
    ngtcp2_connection_close_error error;
    switch (result) {
    case NGTCP2_ERR_DRAINING:
    case NGTCP2_ERR_CLOSING:
        hear_removed(connection);
        hear_goodbye(connection);
        pd_net_connection_drop(connection, closed_by_peer(connection));
        return;
    case NGTCP2_ERR_IDLE_CLOSE:
    case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
        endpoint->counters.timed_out++;
        pd_net_connection_drop(connection, "nothing was heard of the other side");
        return;
    case NGTCP2_ERR_DROP_CONN:
    case NGTCP2_ERR_RETRY:
        pd_net_connection_drop(connection, "its first packets made no sense");
        return;
    case NGTCP2_ERR_CRYPTO:
        ngtcp2_connection_close_error_set_transport_error_tls_alert(
            &error, ngtcp2_conn_get_tls_alert(connection->quic), NULL, 0);
        break;
    default:
        ngtcp2_connection_close_error_set_transport_error_liberr(&error, result, NULL, 0);
        break;
    }
    endpoint->counters.failed++;
    write_close(connection, now_ns, &error);
    pd_net_connection_drop(connection, connection->is_refused
                                           ? "the other side's key is not the expected one"
                                           : "the connection broke");
}

bool pd_net_connection_settle(struct pd_net_connection *connection, uint64_t now_ns, int result)
{
    if (result != 0) {
        fail(connection, now_ns, result);
        return true;
    }
    if (connection->must_close) {
        connection->endpoint->counters.failed++;
        pd_net_connection_close(connection, now_ns, connection->close_code, connection->close_text);
        return true;
    }
    return false;
}

/* -- Reading and time -------------------------------------------------------------------------- */

void pd_net_take_address(const ngtcp2_path *path, struct pd_transport_address *address_out)
{
    struct sockaddr_in6 remote;
    memcpy(&remote, path->remote.addr, sizeof remote);
    memset(address_out, 0, sizeof *address_out);
    address_out->port = ntohs(remote.sin6_port);
    memcpy(address_out->ip, &remote.sin6_addr, sizeof address_out->ip);
}

static void follow_remote(struct pd_net_connection *connection)
{
    struct pd_net_endpoint *endpoint = connection->endpoint;
    struct pd_transport_address remote;
    pd_net_take_address(ngtcp2_conn_get_path(connection->quic), &remote);
    if (!pd_net_address_is_equal(&remote, &connection->remote)) {
        pd_table_remove(&endpoint->by_remote, &connection->by_remote);
        connection->remote = remote;
        pd_table_insert(&endpoint->by_remote, &connection->by_remote,
                        pd_net_hash(endpoint, &remote, sizeof remote));
        endpoint->counters.moved++;
    }
}

bool pd_net_connection_read(struct pd_net_connection *connection, uint64_t now_ns,
                            const struct pd_datagram *datagram)
{
    struct path path;
    const ngtcp2_pkt_info info = {.ecn = datagram->ecn};
    make_path(connection->endpoint, &datagram->remote, &path);
    /* All come through one socket: what differs is a name for the path, see below. */
    path.path.local = ngtcp2_conn_get_path(connection->quic)->local;
    int result = ngtcp2_conn_read_pkt(connection->quic, &path.path, &info, datagram->bytes,
                                      datagram->size, now_ns);
    if (pd_net_connection_settle(connection, now_ns, result)) {
        return true;
    }
    pd_net_silence_read(connection, now_ns);
    follow_remote(connection);
    /* The peer may have given room to streams that had none. */
    pd_list_move_all(&connection->ready[1], &connection->blocked);
    pd_net_connection_make_dirty(connection);
    return false;
}

/* The system chooses the address that packets leave from, which QUIC is not told. Its migration
 * needs another local address, so it gets another name for the same: it sends a challenge at once,
 * under a connection id that was not seen on the old path, and goes on there when it is answered.
 * The answer also tells what was lost meanwhile. Without one nothing has changed. */
void pd_net_connection_move(struct pd_net_connection *connection, uint64_t now_ns)
{
    if (connection->is_server || !connection->is_confirmed) {
        return; /* only a client may move; one that has not begun yet begins anew */
    }
    struct path path;
    make_path(connection->endpoint, &connection->remote, &path);
    memcpy(&path.local, ngtcp2_conn_get_path(connection->quic)->local.addr, sizeof path.local);
    path.local.sin6_port = htons((uint16_t)(ntohs(path.local.sin6_port) + 1));
    /* Without a spare connection id of the peer it stays, and may fall silent. */
    (void)ngtcp2_conn_initiate_migration(connection->quic, &path.path, now_ns);
    pd_net_connection_make_dirty(connection);
}

void pd_net_connection_set_timer(struct pd_net_connection *connection, uint64_t now_ns)
{
    uint64_t expiry = ngtcp2_conn_get_expiry(connection->quic);
    bool is_eager = !pd_list_is_empty(&connection->ready[0]) ||
                    !pd_list_is_empty(&connection->ready[1]) || !connection->is_confirmed;
    /* After each packet ngtcp2 wants to be called when the next one may leave. With nothing to send
     * that would be a wake-up for each packet, here and, for a lone acknowledgement, at the peer,
     * where the next packet would have carried it. Acknowledgements can wait as long, which is less
     * than the 25 ms that the peer reckons with, and so can packets that were lost before others.
     * And a timer that is due just now may stay due: time must go on. */
    uint64_t soonest = now_ns + (is_eager ? 1 : QUIET_NS);
    uint64_t silent = pd_net_silence_deadline_ns(connection);
    expiry = silent < expiry ? silent : expiry;
    pd_net_timer_set(connection->endpoint, &connection->timer, expiry < soonest ? soonest : expiry);
}

bool pd_net_connection_expire(struct pd_net_connection *connection, uint64_t now_ns)
{
    int result = ngtcp2_conn_handle_expiry(connection->quic, now_ns);
    if (pd_net_connection_settle(connection, now_ns, result)) {
        return true;
    }
    pd_net_silence_expire(connection, now_ns);
    pd_net_silence_wrote(connection, now_ns); /* packets may have been given up */
    pd_net_connection_make_dirty(connection);
    return false;
}

void pd_net_connection_make_dirty(struct pd_net_connection *connection)
{
    if (!pd_list_is_linked(&connection->dirty)) {
        pd_list_append(&connection->endpoint->dirty, &connection->dirty);
    }
}
