/* Datagrams of no connection: the beginning of one, or something to be answered with as little as
 * possible, or nothing. */
#include <string.h>

#include "net/address.h"
#include "net/internal.h"

/* A reset is shorter than what it answers, so that two nodes do not answer each other for ever, and
 * long enough to look like a packet (RFC 9000, section 10.3). */
#define RESET_SIZE_MAX 43u
#define RESET_SIZE_MIN (NGTCP2_MIN_STATELESS_RESET_RANDLEN + NGTCP2_STATELESS_RESET_TOKENLEN)
#define CONNECTIONS_A_PEER 2u
#define TOKEN_LIFE_NS (10 * NGTCP2_SECONDS)
#define SECOND_NS NGTCP2_SECONDS
/* A handshake takes one round trip more after its first packet: one that has not come further for
 * this long may go when others want its place. */
#define STALE_NS (250 * NGTCP2_MILLISECONDS)

/* -- The ring of what leaves without a connection ---------------------------------------------- */

struct pd_net_loose *pd_net_loose_room(struct pd_net_endpoint *endpoint, bool is_reply)
{
    if (is_reply) {
        if (endpoint->now_ns - endpoint->replies_since_ns >= SECOND_NS) {
            endpoint->replies_since_ns = endpoint->now_ns;
            endpoint->replies = 0;
        }
        if (endpoint->replies >= endpoint->limits.replies_a_second) {
            endpoint->counters.replies_withheld++;
            return NULL;
        }
        endpoint->replies++;
    }
    if (endpoint->loose_count == PD_NET_LOOSE_MAX) {
        endpoint->counters.replies_withheld++;
        return NULL;
    }
    return &endpoint->loose[(endpoint->loose_at + endpoint->loose_count) % PD_NET_LOOSE_MAX];
}

void pd_net_loose_add(struct pd_net_endpoint *endpoint, struct pd_net_loose *loose,
                      const struct pd_transport_address *remote, ngtcp2_ssize size)
{
    if (size > 0) {
        loose->remote = *remote;
        loose->size = (size_t)size;
        endpoint->loose_count++;
    }
}

/* -- Replies ----------------------------------------------------------------------------------- */

static void refuse_version(struct pd_net_endpoint *endpoint, const struct pd_datagram *datagram,
                           const ngtcp2_version_cid *ids)
{
    static const uint32_t versions[] = {NGTCP2_PROTO_VER_V1};
    endpoint->counters.versions_refused++;
    struct pd_net_loose *loose = pd_net_loose_room(endpoint, true);
    if (loose == NULL) {
        return;
    }
    uint8_t draw = 0;
    endpoint->random(endpoint->random_state, &draw, 1);
    ngtcp2_ssize size = ngtcp2_pkt_write_version_negotiation(
        loose->bytes, sizeof loose->bytes, draw, ids->scid, ids->scidlen, ids->dcid, ids->dcidlen,
        versions, sizeof versions / sizeof versions[0]);
    pd_net_loose_add(endpoint, loose, &datagram->remote, size);
}

static void send_reset(struct pd_net_endpoint *endpoint, const struct pd_datagram *datagram,
                       const ngtcp2_version_cid *ids)
{
    size_t size = datagram->size - 1 < RESET_SIZE_MAX ? datagram->size - 1 : RESET_SIZE_MAX;
    struct pd_net_loose *loose = size < RESET_SIZE_MIN ? NULL : pd_net_loose_room(endpoint, true);
    if (loose == NULL) {
        return;
    }
    uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN];
    uint8_t noise[RESET_SIZE_MAX];
    ngtcp2_cid cid;
    ngtcp2_cid_init(&cid, ids->dcid, ids->dcidlen);
    endpoint->random(endpoint->random_state, noise, sizeof noise);
    if (ngtcp2_crypto_generate_stateless_reset_token(token, endpoint->reset_secret,
                                                     sizeof endpoint->reset_secret, &cid) != 0) {
        return;
    }
    endpoint->counters.resets_sent++;
    pd_net_loose_add(endpoint, loose, &datagram->remote,
                     ngtcp2_pkt_write_stateless_reset(loose->bytes, size, token, noise,
                                                      size - NGTCP2_STATELESS_RESET_TOKENLEN));
}

void pd_net_packet_retry(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                         const struct pd_transport_address *remote, const ngtcp2_pkt_hd *head)
{
    struct pd_net_loose *loose = pd_net_loose_room(endpoint, true);
    if (loose == NULL) {
        return;
    }
    uint8_t token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN];
    uint8_t bytes[PD_NET_CID_SIZE];
    struct sockaddr_in6 system;
    ngtcp2_cid scid;
    endpoint->random(endpoint->random_state, bytes, sizeof bytes);
    ngtcp2_cid_init(&scid, bytes, sizeof bytes);
    pd_net_address_to_system(remote, &system);
    ngtcp2_ssize token_size = ngtcp2_crypto_generate_retry_token(
        token, endpoint->token_secret, sizeof endpoint->token_secret, head->version,
        (const ngtcp2_sockaddr *)(const void *)&system, sizeof system, &scid, &head->dcid, now_ns);
    if (token_size < 0) {
        return;
    }
    endpoint->counters.retries++;
    pd_net_loose_add(endpoint, loose, remote,
                     ngtcp2_crypto_write_retry(loose->bytes, sizeof loose->bytes, head->version,
                                               &head->scid, &scid, &head->dcid, token,
                                               (size_t)token_size));
}

/* -- Sources ----------------------------------------------------------------------------------- */

static void take_source(const struct pd_transport_address *address,
                        struct pd_net_source *source_out)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    bool is_v4 = memcmp(address->ip, mapped, sizeof mapped) == 0;
    *source_out = (struct pd_net_source){{0}};
    memcpy(source_out->bytes, address->ip, is_v4 ? sizeof address->ip : sizeof address->ip / 2);
}

uint32_t pd_net_source_count(const struct pd_net_endpoint *endpoint,
                             const struct pd_net_source *source)
{
    uint32_t count = 0;
    struct pd_table_node *node =
        pd_table_find(&endpoint->by_source, pd_net_hash(endpoint, source, sizeof *source));
    while (node != NULL) {
        const struct pd_net_connection *connection =
            pd_container_of(node, struct pd_net_connection, by_source);
        count += memcmp(&connection->source, source, sizeof *source) == 0 ? 1 : 0;
        node = pd_table_next(node);
    }
    return count;
}

/* The handshake of a source that began first. */
static struct pd_net_connection *oldest_of(const struct pd_net_endpoint *endpoint,
                                           const struct pd_net_source *source)
{
    struct pd_net_connection *oldest = NULL;
    struct pd_table_node *node =
        pd_table_find(&endpoint->by_source, pd_net_hash(endpoint, source, sizeof *source));
    while (node != NULL) {
        struct pd_net_connection *connection =
            pd_container_of(node, struct pd_net_connection, by_source);
        if (memcmp(&connection->source, source, sizeof *source) == 0 &&
            (oldest == NULL || connection->begun_ns < oldest->begun_ns)) {
            oldest = connection;
        }
        node = pd_table_next(node);
    }
    return oldest;
}

void pd_net_source_enter(struct pd_net_connection *connection)
{
    struct pd_net_endpoint *endpoint = connection->endpoint;
    take_source(&connection->remote, &connection->source);
    pd_table_insert(&endpoint->by_source, &connection->by_source,
                    pd_net_hash(endpoint, &connection->source, sizeof connection->source));
}

void pd_net_source_leave(struct pd_net_connection *connection)
{
    pd_table_remove(&connection->endpoint->by_source, &connection->by_source);
}

/* -- Beginnings -------------------------------------------------------------------------------- */

/* What the client first sent to, from the token of our Retry. */
static bool open_token(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                       const struct pd_transport_address *remote, const ngtcp2_pkt_hd *head,
                       ngtcp2_cid *original_out)
{
    struct sockaddr_in6 system;
    pd_net_address_to_system(remote, &system);
    return head->token.base[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY &&
           ngtcp2_crypto_verify_retry_token(original_out, head->token.base, head->token.len,
                                            endpoint->token_secret, sizeof endpoint->token_secret,
                                            head->version,
                                            (const ngtcp2_sockaddr *)(const void *)&system,
                                            sizeof system, &head->dcid, TOKEN_LIFE_NS, now_ns) == 0;
}

/* The ports of others may change on the way. */
static bool is_peers_address(const struct pd_net_endpoint *endpoint,
                             const struct pd_transport_address *remote)
{
    for (struct pd_list *link = endpoint->peers.next; link != &endpoint->peers; link = link->next) {
        const struct pd_net_peer *peer = pd_container_of(link, struct pd_net_peer, link);
        for (uint32_t i = 0; i < peer->about.address_count; i++) {
            if (memcmp(peer->about.addresses[i].ip, remote->ip, sizeof remote->ip) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Strangers leave a part of the room to members, so that a crowd of them does not keep those
 * out. */
static bool has_room(const struct pd_net_endpoint *endpoint,
                     const struct pd_transport_address *remote)
{
    const struct pd_net_limits *limits = &endpoint->limits;
    const struct pd_net_counters *counters = &endpoint->counters;
    uint32_t kept = endpoint->peer_count * CONNECTIONS_A_PEER;
    bool is_easy = counters->handshakes < limits->handshakes_max / 4 * 3 &&
                   counters->connections + kept < limits->connections_max;
    return !endpoint->is_closing && (is_easy || (counters->handshakes < limits->handshakes_max &&
                                                 is_peers_address(endpoint, remote)));
}

static void begin(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                  const struct pd_datagram *datagram, const ngtcp2_pkt_hd *head)
{
    const struct pd_net_limits *limits = &endpoint->limits;
    ngtcp2_cid original;
    struct pd_net_source source;
    struct pd_net_accept accept = {.head = head, .remote = &datagram->remote};
    take_source(&datagram->remote, &source);
    uint32_t of_source = pd_net_source_count(endpoint, &source);
    bool is_full = of_source >= limits->source_handshakes_max;
    struct pd_net_connection *oldest = is_full ? oldest_of(endpoint, &source) : NULL;
    if (is_full && (oldest == NULL || now_ns - oldest->begun_ns < STALE_NS)) {
        endpoint->counters.refused_source++; /* without a word: replies are for the others */
        return;
    }
    if (head->token.len > 0) {
        if (!open_token(endpoint, now_ns, &datagram->remote, head, &original)) {
            endpoint->counters.bad_tokens++;
            return;
        }
        accept.original = &original;
    } else if (is_full || endpoint->counters.handshakes >= limits->retry_from ||
               of_source >= limits->source_retry_from) {
        pd_net_packet_retry(endpoint, now_ns, &datagram->remote, head);
        return;
    }
    if (oldest != NULL) { /* for somebody who receives at that address */
        endpoint->counters.refused_source++;
        pd_net_connection_close(oldest, now_ns, PD_NET_CODE_BUSY, "others came from its address");
    }
    struct pd_net_connection *connection = NULL;
    if (has_room(endpoint, &datagram->remote)) {
        connection = pd_net_connection_accept(endpoint, now_ns, &accept);
    }
    if (connection == NULL) {
        endpoint->counters.refused_busy++;
        return;
    }
    (void)pd_net_connection_read(connection, now_ns, datagram);
}

/* A stateless reset goes to an id that nobody has: whose it is only the address tells. True: it was
 * one. */
static bool is_reset_of(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                        const struct pd_datagram *datagram)
{
    uint64_t hash = pd_net_hash(endpoint, &datagram->remote, sizeof datagram->remote);
    struct pd_table_node *node = pd_table_find(&endpoint->by_remote, hash);
    uint64_t before = endpoint->counters.resets_received;
    while (node != NULL && endpoint->counters.resets_received == before) {
        struct pd_net_connection *connection =
            pd_container_of(node, struct pd_net_connection, by_remote);
        node = pd_table_next(node);
        if (pd_net_address_is_equal(&connection->remote, &datagram->remote)) {
            (void)pd_net_connection_read(connection, now_ns, datagram);
        }
    }
    return endpoint->counters.resets_received != before;
}

void pd_net_packet_unknown(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                           const struct pd_datagram *datagram, const ngtcp2_version_cid *ids,
                           bool is_version_known)
{
    if (!is_version_known) {
        refuse_version(endpoint, datagram, ids);
        return;
    }
    ngtcp2_pkt_hd head;
    if (ids->version != 0) {
        int result = ngtcp2_accept(&head, datagram->bytes, datagram->size);
        if (result == 0) {
            begin(endpoint, now_ns, datagram, &head);
        } else {
            endpoint->counters.datagrams_dropped++;
        }
        return;
    }
    if (!is_reset_of(endpoint, now_ns, datagram)) {
        endpoint->counters.datagrams_dropped++;
        send_reset(endpoint, datagram, ids);
    }
}
