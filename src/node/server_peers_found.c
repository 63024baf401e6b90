/* Members that are found elsewhere than the directory says: those that moved while they ran, and
 * those that cannot say it themselves, because whoever leads has moved as well, and neither of the
 * two knows where the other one is. Who is connected with both tells the leader.
 *
 * A member's first address is its own word; the one behind it is where others found it last. The
 * same word is given a few times at most: several who find a member at different places (a NAT's)
 * do not write in turns for ever. */
#include <inttypes.h>
#include <string.h>

#include "net/address.h"
#include "node/server_internal.h"

#define LOOKS 8u     /* so often it must be seen there, with nothing else between */
#define TELLS_MAX 3u /* one may be lost, or find another change under way */

/* node 0: a free place. NULL: it was not seen elsewhere yet, or long ago. */
static struct pd_server_sighting *find(struct pd_server *server, uint64_t node)
{
    for (uint32_t i = 0; i < PD_SERVER_SIGHTINGS_MAX; i++) {
        if (server->peers.sightings[i].node == node) {
            return &server->peers.sightings[i];
        }
    }
    return NULL;
}

/* In a free place, else in that of one who is there no more. NULL: there is none. */
static struct pd_server_sighting *begin(struct pd_server *server, uint64_t node)
{
    struct pd_server_sighting *place = find(server, 0);
    for (uint32_t i = 0; i < PD_SERVER_SIGHTINGS_MAX && place == NULL; i++) {
        struct pd_server_sighting *other = &server->peers.sightings[i];
        if (server->now_ns - other->seen_ns > server->config.peers.found_after_ns) {
            place = other;
        }
    }
    if (place != NULL) {
        *place = (struct pd_server_sighting){.node = node};
    }
    return place;
}

static void note(struct pd_server *server, const struct pd_kv_member *member, const char *place)
{
    char text[PD_SERVER_TEXT_MAX];
    struct pd_span said = member->peer_count == 0 ? (struct pd_span){NULL, 0} : member->peers[0];
    pd_server_say(text,
                  "member %016" PRIx64 " (%.*s) is found at %s, not where it says (%.*s): the "
                  "directory is told",
                  member->node, (int)member->name.size,
                  member->name.size == 0 ? "" : (const char *)member->name.bytes, place,
                  (int)said.size, said.size == 0 ? "" : (const char *)said.bytes);
    pd_server_note(server, text);
}

static void tell(struct pd_server *server, const struct pd_kv_member *member,
                 const struct pd_server_sighting *sighting)
{
    char place[PD_NET_ADDRESS_TEXT_MAX];
    uint8_t row[PD_KV_MEMBER_BYTES_MAX];
    struct pd_kv_writer writer = {.bytes = row, .bytes_max = sizeof row};
    struct pd_kv_member wanted = *member;
    pd_net_address_print(&sighting->address, place);
    wanted.version = 0; /* what it told of its program stays */
    wanted.program = (struct pd_span){NULL, 0};
    wanted.peer_count = member->peer_count == 0 ? 1 : 2;
    wanted.peers[wanted.peer_count - 1] = (struct pd_span){(const uint8_t *)place, strlen(place)};
    pd_kv_member_encode(&writer, &wanted);
    if (writer.is_full) {
        return;
    }
    if (sighting->tells == 1) {
        note(server, member, place);
    }
    pd_server_peers_ask(server, &(struct pd_kv_command){.kind = PD_KV_MEMBER_PUT,
                                                        .id = (int64_t)member->node,
                                                        .bytes = {writer.bytes, writer.size}});
}

static void look(struct pd_server *server, const struct pd_kv_member *member)
{
    struct pd_transport *transport = server->peers.transport;
    struct pd_server_sighting *sighting = find(server, member->node);
    struct pd_transport_peer_state state;
    uint64_t after_ns = server->config.peers.found_after_ns;
    if (transport->ops->peer_state(transport, member->node, &state) != PD_OK ||
        state.elsewhere.port == 0) {
        if (sighting != NULL) {
            sighting->is_there = false; /* what was told of it is not told again */
        }
        return;
    }
    if (sighting == NULL && (sighting = begin(server, member->node)) == NULL) {
        return;
    }
    sighting->seen_ns = server->now_ns;
    bool is_another = !pd_net_address_is_equal(&state.elsewhere, &sighting->address);
    if (is_another || !sighting->is_there) {
        sighting->tells = is_another ? 0 : sighting->tells;
        sighting->address = state.elsewhere;
        sighting->is_there = true;
        sighting->next_ns = server->now_ns + after_ns;
    } else if (server->now_ns >= sighting->next_ns && sighting->tells < TELLS_MAX) {
        sighting->tells++;
        sighting->next_ns = server->now_ns + after_ns;
        tell(server, member, sighting);
    }
}

void pd_server_peers_found(struct pd_server *server)
{
    const struct pd_kv *kv = pd_replica_kv(server->replica);
    struct pd_kv_member member = {0};
    if (server->now_ns < server->peers.sightings_next_ns ||
        !pd_replica_has_state(server->replica) || pd_replica_leader(server->replica) == 0) {
        return;
    }
    server->peers.sightings_next_ns = server->now_ns + server->config.peers.found_after_ns / LOOKS;
    while (pd_kv_member_next(kv, member.node, &member)) {
        if (member.role != PD_KV_MEMBER_WORKER && member.node != server->identity.node_id) {
            look(server, &member);
        }
    }
}
