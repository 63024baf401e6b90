/* The other nodes: who they are, what comes from them and what goes to them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "kv/version.h"
#include "net/address.h"
#include "node/members.h"
#include "node/server_internal.h"
#include "node/server_members.h"

#define SECOND_NS UINT64_C(1000000000)
#define OWN_ROW_NS (2 * SECOND_NS) /* between two tries to put it right */

static struct pd_span span_of(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

static bool same_texts(const struct pd_span *a, uint32_t a_count, const struct pd_span *b,
                       uint32_t b_count)
{
    for (uint32_t i = 0; i < a_count && a_count == b_count; i++) {
        if (a[i].size != b[i].size || memcmp(a[i].bytes, b[i].bytes, a[i].size) != 0) {
            return false;
        }
    }
    return a_count == b_count;
}

/* -- Who this is ------------------------------------------------------------------------------- */

static enum pd_status read_file(struct pd_server *server, char *text)
{
    char why[128];
    enum pd_status status =
        pd_members_file_read(server->root, why, sizeof why, &server->peers.file);
    if (status == PD_ERR_CORRUPT) {
        pd_server_say(text, "'%s/" PD_MEMBERS_FILE_NAME "' cannot be used: %s. Nothing was changed",
                      server->folder, why);
    } else if (status != PD_OK && status != PD_ERR_UNKNOWN) {
        pd_server_say(text, "cannot read '%s/" PD_MEMBERS_FILE_NAME "': %s", server->folder,
                      status == PD_ERR_NO_MEMORY ? "no memory" : strerror(errno));
    }
    return status == PD_ERR_UNKNOWN ? PD_OK : status;
}

enum pd_status pd_server_peers_identify(struct pd_server *server, bool is_new, char *text)
{
    const struct pd_server_peers_config *config = &server->config.peers;
    struct pd_server_peers *peers = &server->peers;
    enum pd_status status = read_file(server, text);
    if (status != PD_OK || config->identify == NULL) {
        return status;
    }
    status = config->identify(config->state, server->folder, is_new, peers->key, text,
                              PD_SERVER_TEXT_MAX);
    if (status != PD_OK) {
        return status;
    }
    uint64_t node = pd_members_node_of(peers->key);
    if (peers->file.start == PD_MEMBERS_START_GATHER && peers->file.count > 0) {
        pd_server_say(text,
                      "node %016" PRIx64
                      " in '%s' agreed with others to begin a cluster, and does not know "
                      "whether they have: start it with the same peers and secret_file",
                      node, server->folder);
        return PD_ERR_INVALID;
    }
    if (is_new && peers->file.count > 0 && peers->file.start == PD_MEMBERS_START_BEGUN) {
        pd_server_say(
            text,
            "node %016" PRIx64 " ran in '%s' before, and its node.json is gone: what it promised "
            "the others is lost. Put everything back; or remove the node from its cluster (`pando "
            "cluster remove`), empty the folder, and let it join as a new one",
            node, server->folder);
        return PD_ERR_CORRUPT;
    }
    if (is_new && peers->file.count > 0 && peers->file.start == PD_MEMBERS_START_NEW &&
        pd_members_file_find(&peers->file, node) == NULL) {
        pd_server_say(text,
                      "'%s/" PD_MEMBERS_FILE_NAME "' does not name this node (%016" PRIx64
                      "): it is another folder's. Put back what belongs here",
                      server->folder, node);
        return PD_ERR_DENIED;
    }
    return PD_OK;
}

/* -- What the directory is to say of this node ------------------------------------------------- */

static bool name_self(struct pd_server *server)
{
    const struct pd_server_peers_config *config = &server->config.peers;
    struct pd_server_peers *peers = &server->peers;
    const struct pd_kv_member *known = pd_members_file_find(&peers->file, server->identity.node_id);
    struct pd_span spans[3] = {span_of(config->name), span_of(config->peer_address),
                               span_of(config->client_address)};
    if (known != NULL) {
        spans[0] = config->name == NULL ? known->name : spans[0];
        spans[1] =
            config->peer_address == NULL && known->peer_count > 0 ? known->peers[0] : spans[1];
        spans[2] = config->client_address == NULL && known->client_count > 0 ? known->clients[0]
                                                                             : spans[2];
    }
    peers->own_texts = pd_alloc(spans[0].size + spans[1].size + spans[2].size + 3);
    if (peers->own_texts == NULL) {
        return false;
    }
    char *at = peers->own_texts;
    for (uint32_t i = 0; i < 3; i++) {
        if (spans[i].size > 0) {
            memcpy(at, spans[i].bytes, spans[i].size);
        }
        at[spans[i].size] = '\0';
        spans[i].bytes = (const uint8_t *)at;
        at += spans[i].size + 1;
    }
    peers->own = (struct pd_kv_member){.node = server->identity.node_id, .name = spans[0]};
    memcpy(peers->own.key, peers->key, sizeof peers->own.key);
    peers->own.peers[0] = spans[1];
    peers->own.peer_count = spans[1].size > 0;
    peers->own.clients[0] = spans[2];
    peers->own.client_count = spans[2].size > 0;
    return true;
}

/* Room for all of them is taken at once: the replica borrows it. */
static bool name_first(struct pd_server *server)
{
    struct pd_server_peers *peers = &server->peers;
    struct pd_replica_config *config = &server->config.replica;
    const struct pd_members_file *file = &peers->file;
    bool is_alone = file->count == 0;
    /* Also when it has begun long ago: the first leader may not have got to it. */
    uint32_t count = is_alone ? 1 : file->start == PD_MEMBERS_START_JOIN ? 0 : file->count;
    peers->first_bytes = pd_alloc((size_t)(count + 1) * PD_KV_MEMBER_BYTES_MAX);
    if (peers->first_bytes == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct pd_kv_member *member = is_alone ? &peers->own : &file->members[i];
        struct pd_kv_writer writer = {.bytes =
                                          peers->first_bytes + (size_t)i * PD_KV_MEMBER_BYTES_MAX,
                                      .bytes_max = PD_KV_MEMBER_BYTES_MAX};
        pd_kv_member_encode(&writer, member);
        pd_assert(!writer.is_full); /* the file's were decoded, this node's were looked at */
        peers->first[i] = (struct pd_replica_first_member){.node = member->node,
                                                           .bytes = {writer.bytes, writer.size}};
    }
    config->has_directory = true;
    config->raises_version = true;
    config->first_members = peers->first;
    config->first_member_count = count;
    return true;
}

static bool own_is_sound(const struct pd_server *server)
{
    uint8_t room[PD_KV_MEMBER_BYTES_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_member back = {0};
    pd_kv_member_encode(&writer, &server->peers.own);
    return !writer.is_full &&
           pd_kv_member_decode((struct pd_span){room, writer.size}, &back) == PD_OK;
}

enum pd_status pd_server_peers_begun(struct pd_server *server)
{
    struct pd_members_file *file = &server->peers.file;
    if (file->count == 0 || file->start == PD_MEMBERS_START_BEGUN) {
        return PD_OK;
    }
    enum pd_members_start start = file->start;
    file->start = PD_MEMBERS_START_BEGUN;
    enum pd_status status = pd_members_file_write(server->root, file);
    file->start = start; /* this start is still the first one */
    return status;
}

static void answer_forwarded(void *state, const struct pd_forward *forward, struct pd_span bytes)
{
    pd_server_slow_forwarded(state, forward, bytes);
    pd_server_answer(state, forward->client_id, forward->correlation, bytes);
}

static enum pd_status begin_forwards(struct pd_server *server)
{
    const struct pd_server_config *config = &server->config;
    struct pd_forwards_config forwards = {
        .forwards_max = config->peers.forwards_max,
        .bytes_max = config->peers.forward_bytes_max,
        .group_id = config->replica.raft.group_id,
        .cluster_id = server->identity.cluster_id,
        .node_id = server->identity.node_id,
        .tick_ns = config->tick_ns,
        .patience_ns = (uint64_t)config->replica.request_ticks_max * config->tick_ns,
        .answer = answer_forwarded,
        .state = server,
    };
    server->host->ops->entropy(server->host, (uint8_t *)&forwards.random, sizeof forwards.random);
    return pd_forwards_init(&server->peers.forwards, &forwards);
}

/* What was known of this node's addresses, each once. */
static void add_own_places(const struct pd_server *server, const struct pd_members_file *file,
                           struct pd_kv_member *own)
{
    const struct pd_kv_member *told = pd_members_file_find(file, server->identity.node_id);
    for (uint32_t i = 0; told != NULL && i < told->peer_count; i++) {
        bool is_new = own->peer_count < PD_KV_MEMBER_ADDRESSES_MAX;
        for (uint32_t j = 0; j < own->peer_count && is_new; j++) {
            is_new = !same_texts(&own->peers[j], 1, &told->peers[i], 1);
        }
        if (is_new) {
            own->peers[own->peer_count++] = told->peers[i];
        }
    }
}

/* Before anybody hears of this process. The directory's own row is in the store, which is not open
 * yet: members.json has what it said last. */
static enum pd_status judge_twin(const struct pd_server *server, char *text)
{
    const struct pd_server_peers_config *config = &server->config.peers;
    struct pd_kv_member own = {.node = server->identity.node_id};
    char place[PD_KV_MEMBER_ADDRESS_MAX + 1];
    memcpy(own.key, server->peers.key, sizeof own.key);
    add_own_places(server, &server->peers.known, &own);
    add_own_places(server, &server->peers.file, &own);
    if (config->has_twin == NULL || own.peer_count == 0 ||
        !config->has_twin(config->state, &own, place)) {
        return PD_OK;
    }
    pd_server_say(text,
                  "node %016" PRIx64
                  " runs at %s already, so '%s' is a copy of its folder, or the other way round. "
                  "One of the two must go for good: another machine joins with an empty folder, as "
                  "a new node (`pando cluster ticket`, `pando join`)",
                  own.node, place, server->folder);
    return PD_ERR_EXISTS;
}

enum pd_status pd_server_peers_open(struct pd_server *server, char *text)
{
    const struct pd_server_peers_config *config = &server->config.peers;
    struct pd_server_peers *peers = &server->peers;
    if (config->identify == NULL) {
        if (peers->file.count > 0) {
            pd_server_say(text, "'%s' is a node of a cluster: it cannot be started alone",
                          server->folder);
            return PD_ERR_INVALID;
        }
        return PD_OK;
    }
    uint64_t node = pd_members_node_of(peers->key);
    if (node != server->identity.node_id) {
        pd_server_say(text,
                      "the key in '%s' makes node %016" PRIx64 ", but node.json names %016" PRIx64
                      ": they are of different nodes. Put back what belongs here",
                      server->folder, node, server->identity.node_id);
        return PD_ERR_CORRUPT;
    }
    if (peers->file.count > 0 && peers->file.cluster_id != server->identity.cluster_id) {
        pd_server_say(text, "'%s/" PD_MEMBERS_FILE_NAME "' is of another cluster than node.json",
                      server->folder);
        return PD_ERR_CORRUPT;
    }
    if (!name_self(server) || pd_server_members_read(server) != PD_OK) {
        return PD_ERR_NO_MEMORY;
    }
    pd_directory_init(&peers->directory, &peers->file, &peers->known);
    if (!own_is_sound(server)) {
        pd_server_say(text, "a node's name has at most %u letters without spaces, an address %u",
                      PD_KV_MEMBER_NAME_MAX, PD_KV_MEMBER_ADDRESS_MAX);
        return PD_ERR_INVALID;
    }
    if (!name_first(server) || begin_forwards(server) != PD_OK) {
        return PD_ERR_NO_MEMORY;
    }
    enum pd_status status = judge_twin(server, text);
    if (status != PD_OK) {
        return status;
    }
    if (peers->own.peer_count > 0) {
        return config->open(config->state, (const char *)peers->own.peers[0].bytes, text,
                            PD_SERVER_TEXT_MAX, &peers->transport);
    }
    if (peers->file.count > 0) {
        pd_server_say(
            text, "'%s' is a node of a cluster: it needs an address for the others, --listen-peer",
            server->folder);
        return PD_ERR_INVALID;
    }
    return PD_OK;
}

/* -- What comes in: on the transport's thread -------------------------------------------------- */

static void take(struct pd_server *server, enum pd_server_kind kind, uint64_t from,
                 struct pd_span bytes)
{
    struct pd_server_peers *peers = &server->peers;
    const struct pd_server_peers_config *config = &server->config.peers;
    uint64_t count = atomic_fetch_add(&peers->packets_waiting, 1);
    uint64_t size = atomic_fetch_add(&peers->packet_bytes_waiting, bytes.size);
    bool is_full = count >= config->packets_max || size + bytes.size > config->packet_bytes_max;
    struct pd_server_packet *packet = NULL;
    if (!is_full && !atomic_load_explicit(&server->is_closed, memory_order_relaxed)) {
        packet = pd_alloc(sizeof *packet + bytes.size);
    }
    if (packet == NULL) {
        (void)atomic_fetch_sub(&peers->packets_waiting, 1);
        (void)atomic_fetch_sub(&peers->packet_bytes_waiting, bytes.size);
        pd_server_count(&peers->counters.packets_dropped, 1);
        return;
    }
    packet->message = (struct pd_server_message){.kind = kind};
    packet->from = from;
    packet->size = bytes.size;
    if (bytes.size > 0) {
        memcpy(packet->bytes, bytes.bytes, bytes.size);
    }
    pd_server_count(&peers->counters.packets, 1);
    pd_server_put(&server->inbox, &packet->message);
    if (!peers->transport->ops->settles) {
        pd_server_nudge_core(server);
    }
}

static void on_message(void *state, uint64_t from, enum pd_transport_lane lane,
                       struct pd_span bytes)
{
    (void)lane;
    take(state, PD_SERVER_PACKET, from, bytes);
}

static void on_lost(void *state, uint64_t node)
{
    take(state, PD_SERVER_PEER_LOST, node, (struct pd_span){NULL, 0});
}

static void on_removed(void *state, uint64_t node)
{
    take(state, PD_SERVER_PEER_REMOVED, node, (struct pd_span){NULL, 0});
}

static void on_settled(void *state)
{
    pd_server_core_from_net(state);
}

/* -- The table --------------------------------------------------------------------------------- */

static void add_address(const struct pd_server *server, struct pd_transport_peer *peer,
                        struct pd_span text)
{
    const struct pd_server_peers_config *config = &server->config.peers;
    struct pd_transport_address address;
    char room[PD_KV_MEMBER_ADDRESS_MAX + 1];
    if (peer->address_count == PD_TRANSPORT_ADDRESSES_MAX || text.size >= sizeof room) {
        return;
    }
    memcpy(room, text.bytes, text.size);
    room[text.size] = '\0';
    if (pd_net_address_parse(room, &address) != PD_OK &&
        (config->find_name == NULL || !config->find_name(config->state, room, &address))) {
        return;
    }
    for (uint32_t i = 0; i < peer->address_count; i++) {
        if (pd_net_address_is_equal(&peer->addresses[i], &address)) {
            return;
        }
    }
    peer->addresses[peer->address_count++] = address;
}

static void add_addresses(const struct pd_server *server, struct pd_transport_peer *peer,
                          const struct pd_kv_member *member)
{
    for (uint32_t i = 0; member != NULL && i < member->peer_count; i++) {
        add_address(server, peer, member->peers[i]);
    }
}

/* A row of its own, with the addresses of the file as well; one for each node. */
static void add_peer(const struct pd_server *server, struct pd_transport_peer *table,
                     uint32_t *count, const struct pd_kv_member *member)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (table[i].node == member->node) {
            return;
        }
    }
    struct pd_transport_peer *peer = &table[(*count)++];
    *peer = (struct pd_transport_peer){.node = member->node};
    memcpy(peer->key, member->key, sizeof peer->key);
    add_addresses(server, peer, member);
    add_addresses(server, peer, pd_members_file_find(&server->peers.file, member->node));
}

static uint32_t make_table(struct pd_server *server, struct pd_transport_peer *table)
{
    uint32_t count = 0;
    struct pd_directory_walk walk = {0};
    struct pd_kv_member member;
    while (pd_directory_next(&server->peers.directory, server->replica, &walk, &member)) {
        add_peer(server, table, &count, &member);
    }
    return count;
}

/* Nobody of its cluster listens to it any more, for good. `peer` says so; 0: its own directory. */
static void end_as_removed(struct pd_server *server, uint64_t peer)
{
    char text[PD_SERVER_TEXT_MAX];
    char who[64] = "the directory of members";
    if (peer != 0) {
        (void)snprintf(who, sizeof who, "node %016" PRIx64, peer);
    }
    pd_server_say(
        text,
        "this node (%016" PRIx64 ") was removed from cluster %016" PRIx64
        ", as %s says: it serves no more. Its machine comes back as a new node only, with an empty "
        "folder",
        server->identity.node_id, server->identity.cluster_id, who);
    pd_forwards_left(&server->peers.forwards);
    atomic_store(&server->was_removed, true);
    pd_server_fail(server, text);
}

/* Before they are dropped from the table: so they are told why. */
static void tell_removed(struct pd_server *server)
{
    const struct pd_server_peers_config *config = &server->config.peers;
    const struct pd_kv *kv = pd_replica_kv(server->replica);
    uint64_t *nodes =
        config->removed == NULL ? NULL : pd_alloc(PD_KV_MEMBERS_REMOVED_MAX * sizeof *nodes);
    if (nodes == NULL) {
        return;
    }
    uint32_t count = 0;
    uint64_t node = 0;
    while (count < PD_KV_MEMBERS_REMOVED_MAX && (node = pd_kv_member_next_removed(kv, node)) != 0) {
        nodes[count++] = node;
    }
    config->removed(config->state, nodes, count);
    pd_free(nodes);
}

static void follow_directory(struct pd_server *server)
{
    const struct pd_server_peers_config *config = &server->config.peers;
    struct pd_server_peers *peers = &server->peers;
    uint64_t names = config->names == NULL ? 0 : config->names(config->state);
    enum pd_directory_news news = pd_directory_look(&peers->directory, server->replica);
    bool is_another = news == PD_DIRECTORY_IS_ANOTHER;
    bool is_made = peers->directory.followed != 0 && names == peers->table_names;
    if (news == PD_DIRECTORY_IS_HALF || (news == PD_DIRECTORY_NONE && is_made)) {
        return;
    }
    if (is_another) {
        tell_removed(server);
    }
    struct pd_transport_peer *table =
        pd_alloc((PD_KV_MEMBERS_MAX + 2 * PD_MEMBERS_FILE_MAX) * sizeof *table);
    uint32_t count = table == NULL ? 0 : make_table(server, table);
    is_made =
        table != NULL && peers->transport->ops->set_peers(peers->transport, table, count) == PD_OK;
    pd_directory_followed(&peers->directory, server->replica, is_made);
    peers->table_names = names;
    pd_free(table);
    peers->known_is_due = peers->known_is_due || (is_another && !peers->directory.counts_last);
    if (is_another && pd_directory_standing(&peers->directory, server->replica,
                                            server->identity.node_id) == PD_KV_MEMBER_REMOVED) {
        end_as_removed(server, 0);
    }
}

/* -- What this node says of itself ------------------------------------------------------------- */

void pd_server_peers_ask(struct pd_server *server, const struct pd_kv_command *command)
{
    uint8_t room[PD_REPLICA_REQUEST_HEAD_SIZE + PD_KV_MEMBER_BYTES_MAX + 64];
    struct pd_kv_writer writer = {.bytes = room + PD_REPLICA_REQUEST_HEAD_SIZE,
                                  .bytes_max = sizeof room - PD_REPLICA_REQUEST_HEAD_SIZE};
    pd_kv_command_encode(&writer, command);
    pd_assert(!writer.is_full);
    pd_replica_request_put_head(
        room, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_WRITE});
    (void)pd_forwards_own(&server->peers.forwards, room,
                          PD_REPLICA_REQUEST_HEAD_SIZE + writer.size);
}

static void ask_own(struct pd_server *server, const struct pd_kv_command *command)
{
    server->peers.own_asked_ns = server->now_ns;
    pd_server_peers_ask(server, command);
}

/* Which program runs here, once the cluster's version has a place for it. */
static void tell_program(struct pd_server *server, const struct pd_kv_member *told)
{
    const struct pd_kv *kv = pd_replica_kv(server->replica);
    struct pd_span program = span_of(server->config.peers.program);
    uint32_t limit = server->config.replica.kv.version_max;
    struct pd_kv_status status;
    pd_kv_status(kv, &status);
    if (status.version >= pd_kv_version_of(PD_KV_MEMBER_TELL) && program.size > 0 &&
        (told->version != limit || !same_texts(&told->program, 1, &program, 1))) {
        ask_own(server, &(struct pd_kv_command){.kind = PD_KV_MEMBER_TELL,
                                                .id = (int64_t)told->node,
                                                .version = limit,
                                                .bytes = program});
    }
}

/* The name stays what it was while another member has the one that this node was given. */
static void choose_name(struct pd_server *server, const struct pd_kv_member *told,
                        struct pd_kv_member *wanted)
{
    struct pd_server_peers *peers = &server->peers;
    bool is_another = wanted->name.size > 0 && !same_texts(&wanted->name, 1, &told->name, 1);
    uint64_t other =
        is_another ? pd_kv_member_named(pd_replica_kv(server->replica), wanted->name, wanted->node)
                   : 0;
    if (other != 0 && !peers->is_name_told) {
        char text[PD_SERVER_TEXT_MAX];
        struct pd_span stays = told->name.size > 0 ? told->name : span_of("without a name");
        pd_server_say(text,
                      "the name '%.*s' is another member's (%016" PRIx64
                      "): this node stays %.*s. Choose another one with --name, or remove that "
                      "member if it is gone for ever (`pando cluster remove %016" PRIx64 "`)",
                      (int)wanted->name.size, (const char *)wanted->name.bytes, other,
                      (int)stays.size, (const char *)stays.bytes, other);
        pd_server_note(server, text);
        peers->is_name_told = true;
    }
    if (wanted->name.size == 0 || other != 0) {
        wanted->name = told->name;
    }
}

/* A member that listens elsewhere now, or has another name, says so. */
static void put_own_right(struct pd_server *server)
{
    struct pd_server_peers *peers = &server->peers;
    struct pd_kv_member told;
    if (server->now_ns < peers->own_asked_ns + OWN_ROW_NS ||
        pd_replica_leader(server->replica) == 0 ||
        pd_kv_member_find(pd_replica_kv(server->replica), peers->own.node, &told) !=
            PD_KV_MEMBER_LIVE) {
        return;
    }
    if (peers->own.peer_count == 0) {
        tell_program(server, &told);
        return;
    }
    struct pd_kv_member wanted = peers->own;
    wanted.role = told.role;
    choose_name(server, &told, &wanted);
    if (wanted.client_count == 0) {
        wanted.client_count = told.client_count;
        memcpy(wanted.clients, told.clients, sizeof wanted.clients);
    }
    if (told.peer_count == 2 && same_texts(wanted.peers, 1, told.peers, 1)) {
        wanted.peers[wanted.peer_count++] = told.peers[1]; /* where others found it */
    }
    if (same_texts(&wanted.name, 1, &told.name, 1) &&
        same_texts(wanted.peers, wanted.peer_count, told.peers, told.peer_count) &&
        same_texts(wanted.clients, wanted.client_count, told.clients, told.client_count)) {
        tell_program(server, &told);
        return;
    }
    uint8_t row[PD_KV_MEMBER_BYTES_MAX];
    struct pd_kv_writer inner = {.bytes = row, .bytes_max = sizeof row};
    pd_kv_member_encode(&inner, &wanted);
    pd_assert(!inner.is_full);
    ask_own(server, &(struct pd_kv_command){.kind = PD_KV_MEMBER_PUT,
                                            .id = (int64_t)wanted.node,
                                            .bytes = {inner.bytes, inner.size}});
}

/* -- The core's side --------------------------------------------------------------------------- */

bool pd_server_peers_refuse(struct pd_server *server, const struct pd_server_request *request)
{
    static const char text[] = "the cluster is of version 1, and its leader may not know how: ask "
                               "another member, or upgrade all of them first";
    uint8_t room[PD_REPLICA_ANSWER_HEAD_SIZE + sizeof text];
    struct pd_kv_status kv;
    if (request->size == 0 || request->bytes[0] != PD_REPLICA_REQUEST_LEAVE ||
        server->peers.transport == NULL || server->has_failed || server->is_stopping ||
        !pd_replica_has_state(server->replica)) {
        return false;
    }
    uint64_t leader = pd_replica_leader(server->replica);
    pd_kv_status(pd_replica_kv(server->replica), &kv);
    if (leader == server->identity.node_id || kv.version >= PD_REPLICA_LEAVE_VERSION) {
        return false;
    }
    pd_replica_answer_put_head(
        room, &(struct pd_replica_answer_head){.outcome = PD_REPLICA_INVALID, .leader = leader});
    memcpy(room + PD_REPLICA_ANSWER_HEAD_SIZE, text, sizeof text - 1);
    pd_server_answer(server, request->client_id, request->correlation,
                     (struct pd_span){room, PD_REPLICA_ANSWER_HEAD_SIZE + sizeof text - 1});
    return true;
}

void pd_server_peers_start(struct pd_server *server)
{
    struct pd_server_peers *peers = &server->peers;
    if (peers->transport == NULL) {
        return;
    }
    const struct pd_transport_handler handler = {.message = on_message,
                                                 .lost = on_lost,
                                                 .removed = on_removed,
                                                 .settled = on_settled,
                                                 .state = server};
    peers->is_started = true;
    follow_directory(server);
    peers->transport->ops->start(peers->transport, &handler);
}

void pd_server_peers_stop(struct pd_server *server)
{
    struct pd_server_peers *peers = &server->peers;
    if (peers->is_started) {
        peers->transport->ops->stop(peers->transport);
        peers->is_started = false;
    }
}

void pd_server_peers_close(struct pd_server *server)
{
    const struct pd_server_peers_config *config = &server->config.peers;
    struct pd_server_peers *peers = &server->peers;
    pd_server_peers_stop(server);
    if (peers->transport != NULL) {
        config->close(config->state, peers->transport);
        peers->transport = NULL;
    }
    pd_forwards_deinit(&peers->forwards);
    pd_members_file_deinit(&peers->file);
    pd_members_file_deinit(&peers->known);
    pd_free(peers->first_bytes);
    pd_free(peers->own_texts);
}

void pd_server_peers_send(struct pd_server *server, uint64_t node, enum pd_transport_lane lane,
                          struct pd_span bytes)
{
    struct pd_server_peers *peers = &server->peers;
    if (peers->transport == NULL || !peers->is_started ||
        peers->transport->ops->send(peers->transport, node, lane, bytes) != PD_OK) {
        pd_server_count(&peers->counters.sends_dropped, 1);
    }
}

void pd_server_peers_packet(struct pd_server *server, struct pd_server_packet *packet)
{
    struct pd_server_peers *peers = &server->peers;
    struct pd_span bytes = {packet->bytes, packet->size};
    (void)atomic_fetch_sub(&peers->packets_waiting, 1);
    (void)atomic_fetch_sub(&peers->packet_bytes_waiting, packet->size);
    if (!server->has_failed) {
        if (pd_forwards_is_frame(bytes)) {
            pd_forwards_frame(&peers->forwards, packet->from, bytes);
        } else {
            pd_replica_message(server->replica, packet->from, packet->bytes, packet->size);
        }
    }
    pd_free(packet);
}

void pd_server_peers_lost(struct pd_server *server, struct pd_server_packet *packet)
{
    (void)atomic_fetch_sub(&server->peers.packets_waiting, 1);
    if (!server->has_failed) {
        pd_replica_unreachable(server->replica, packet->from);
        pd_forwards_lost(&server->peers.forwards, packet->from);
    }
    pd_free(packet);
}

void pd_server_peers_removed(struct pd_server *server, struct pd_server_packet *packet)
{
    (void)atomic_fetch_sub(&server->peers.packets_waiting, 1);
    if (!server->has_failed) {
        end_as_removed(server, packet->from);
    }
    pd_free(packet);
}

bool pd_server_peers_turn(struct pd_server *server, bool is_tick)
{
    if (server->peers.transport == NULL || server->has_failed) {
        return false;
    }
    follow_directory(server);
    if (server->has_failed) {
        return false;
    }
    pd_server_members_follow(server);
    if (is_tick) {
        put_own_right(server);
        pd_server_peers_found(server);
    }
    return pd_forwards_turn(&server->peers.forwards, is_tick);
}
