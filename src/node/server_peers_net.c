#include "node/server_peers_net.h"

#include <stdio.h>
#include <string.h>

#include "host/key_file.h"
#include "host/names.h"
#include "host/resolve.h"
#include "host/udp.h"
#include "net/net.h"
#include "node/gather_net.h"
#include "node/members.h"
#include "node/server_peers_clients.h"
#include "node/server_peers_join.h"
#include "node/twin.h"

#define PATH_MAX_SIZE 4096u
#define SOCKET_BYTES (4u << 20)

static enum pd_status identify(void *state, const char *folder, bool is_new,
                               uint8_t key_out[PD_TRANSPORT_KEY_SIZE], char *text, size_t text_max)
{
    struct pd_server_peers_net *peers = state;
    char path[PATH_MAX_SIZE];
    char why[PD_KEY_FILE_TEXT_MAX];
    uint8_t secret[PD_KEY_FILE_SIZE];
    if ((size_t)snprintf(path, sizeof path, "%s/" PD_SERVER_KEY_NAME, folder) >= sizeof path) {
        (void)snprintf(text, text_max, "the path of the folder is too long");
        return PD_ERR_INVALID;
    }
    enum pd_status status = pd_host_key_file(peers->host, path, is_new, secret, why);
    if (status == PD_ERR_UNKNOWN) {
        (void)snprintf(text, text_max,
                       "'%s' is not there: without it this node cannot prove who it is. Put it "
                       "back, or remove the node from its cluster and add it as a new one",
                       path);
        return status;
    }
    if (status != PD_OK) {
        (void)snprintf(text, text_max, "%s", why);
        return status;
    }
    pd_net_identity_init(&peers->identity, secret);
    memcpy(key_out, peers->identity.key, PD_TRANSPORT_KEY_SIZE);
    return PD_OK;
}

/* Who looks for a cluster finds it here, if it knows the secret. */
static enum pd_status create_gather(struct pd_server_peers_net *peers, const char *address)
{
    struct pd_kv_member own = {.peer_count = 1};
    own.peers[0] = (struct pd_span){(const uint8_t *)address, strlen(address)};
    memcpy(own.key, peers->identity.key, sizeof own.key);
    const struct pd_gather_net_config config = {
        .host = peers->host, .identity = &peers->identity, .secret = peers->secret, .own = &own};
    return peers->secret.size == 0 ? PD_OK : pd_gather_net_create(&config, &peers->gather);
}

/* The net has been closed, or was never opened. */
static void destroy_services(struct pd_server_peers_net *peers)
{
    pd_gather_net_destroy(peers->gather);
    pd_clients_destroy(peers->clients);
    pd_join_destroy(peers->join);
    peers->gather = NULL;
    peers->clients = NULL;
    peers->join = NULL;
}

/* The core's: whoever was removed is told so from now on, and its links are cut. */
static void removed(void *state, const uint64_t *nodes, uint32_t count)
{
    struct pd_server_peers_net *peers = state;
    pd_spin_lock(&peers->lock);
    memcpy(peers->removed, nodes, count * sizeof *nodes);
    peers->removed_count = count;
    pd_spin_unlock(&peers->lock);
    if (peers->clients != NULL) {
        pd_clients_cut(peers->clients, nodes, count);
    }
}

/* On the net's thread. */
static bool was_removed(void *state, const uint8_t key[PD_NET_KEY_SIZE])
{
    struct pd_server_peers_net *peers = state;
    uint64_t node = pd_members_node_of(key);
    bool is_found = false;
    pd_spin_lock(&peers->lock);
    for (uint32_t i = 0; i < peers->removed_count && !is_found; i++) {
        is_found = peers->removed[i] == node;
    }
    pd_spin_unlock(&peers->lock);
    return is_found;
}

static enum pd_status open_net(struct pd_server_peers_net *peers, const char *address, char *text,
                               size_t text_max)
{
    struct pd_net_config config = pd_net_config_default();
    struct pd_net_offer offers[3] = {{.name = PD_JOIN_SERVICE}, {.name = PD_CLIENTS_SERVICE}};
    enum pd_status status = pd_join_create(peers->host, &peers->join);
    status = status == PD_OK ? pd_clients_create(peers->host, &peers->clients) : status;
    status = status == PD_OK ? create_gather(peers, address) : status;
    if (status == PD_OK) {
        offers[0].handler = pd_join_handler(peers->join);
        offers[1].handler = pd_clients_handler(peers->clients);
        config.host = peers->host;
        config.loop = pd_udp_loop(peers->udp);
        config.identity = &peers->identity;
        config.was_removed = was_removed;
        config.removed_state = peers;
        config.offers = offers;
        config.offer_count = 2;
        if (peers->gather != NULL) {
            offers[config.offer_count++] = pd_gather_net_offer(peers->gather);
        }
        status = pd_net_open(&config, &peers->net);
    }
    if (status == PD_OK) {
        pd_join_attach(peers->join, peers->net, peers->names);
        pd_clients_attach(peers->clients, peers->net);
        return PD_OK;
    }
    (void)snprintf(text, text_max, "cannot serve other nodes: %s", pd_status_text(status));
    destroy_services(peers);
    return status;
}

static enum pd_status open_transport(void *state, const char *address, char *text, size_t text_max,
                                     struct pd_transport **transport_out)
{
    struct pd_server_peers_net *peers = state;
    char why[PD_UDP_TEXT_MAX];
    struct pd_udp_config config = {.host = peers->host,
                                   .buffer_bytes = SOCKET_BYTES,
                                   .note = peers->note,
                                   .state = peers->note_state};
    char unknown[PD_RESOLVE_TEXT_MAX];
    enum pd_status status =
        pd_host_resolve(peers->listen != NULL ? peers->listen : address, &config.address, unknown);
    if (status != PD_OK) {
        (void)snprintf(text, text_max, "cannot listen for other nodes: %s", unknown);
        return status;
    }
    status = pd_udp_open(&config, why, &peers->udp);
    if (status != PD_OK) {
        (void)snprintf(text, text_max, "%s", why);
        return status;
    }
    status = pd_names_open(&peers->names);
    status = status == PD_OK ? open_net(peers, address, text, text_max) : status;
    if (status != PD_OK) {
        pd_names_close(peers->names);
        pd_udp_close(peers->udp);
        peers->names = NULL;
        peers->udp = NULL;
        return status;
    }
    *transport_out = pd_net_transport(peers->net);
    return PD_OK;
}

static bool has_twin(void *state, const struct pd_kv_member *own,
                     char place[PD_KV_MEMBER_ADDRESS_MAX + 1])
{
    const struct pd_server_peers_net *peers = state;
    return pd_twin_look(peers->host, own, pd_host_now_ns(peers->host) + PD_TWIN_LOOK_NS, place);
}

static bool find_name(void *state, const char *place, struct pd_transport_address *address_out)
{
    const struct pd_server_peers_net *peers = state;
    return pd_names_find(peers->names, place, address_out);
}

static uint64_t names(void *state)
{
    const struct pd_server_peers_net *peers = state;
    return pd_names_version(peers->names);
}

static void close_transport(void *state, struct pd_transport *transport)
{
    struct pd_server_peers_net *peers = state;
    (void)transport;
    pd_net_close(peers->net);
    pd_udp_close(peers->udp);
    pd_names_close(peers->names);
    destroy_services(peers);
    peers->net = NULL;
    peers->names = NULL;
    peers->udp = NULL;
}

void pd_server_peers_net_use(struct pd_server_peers_net *peers, struct pd_host *host,
                             struct pd_server_peers_config *config)
{
    *peers = (struct pd_server_peers_net){.host = host};
    config->identify = identify;
    config->has_twin = has_twin;
    config->open = open_transport;
    config->close = close_transport;
    config->find_name = find_name;
    config->names = names;
    config->removed = removed;
    config->state = peers;
}

enum pd_status pd_server_peers_net_serve(struct pd_server_peers_net *peers,
                                         struct pd_server *server)
{
    struct pd_server_about about;
    enum pd_status status = peers->join == NULL ? PD_OK : pd_join_open(peers->join, server);
    if (status == PD_OK && peers->clients != NULL) {
        pd_clients_open(peers->clients, server);
    }
    if (status == PD_OK && peers->gather != NULL) {
        pd_server_about(server, &about);
        pd_gather_set_state(pd_gather_net_hold(peers->gather), PD_GATHER_MEMBER, about.cluster_id);
        pd_gather_net_release(peers->gather);
        pd_gather_net_attach(peers->gather, peers->net);
    }
    return status;
}

void pd_server_peers_net_end(struct pd_server_peers_net *peers)
{
    if (peers->join != NULL) {
        pd_join_close(peers->join);
        pd_clients_close(peers->clients);
    }
}
