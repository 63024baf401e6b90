#include "sim/transport.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "sim/world.h"

static struct pd_sim_transport *of(struct pd_transport *transport)
{
    return (struct pd_sim_transport *)(void *)transport;
}

static void start(struct pd_transport *transport, const struct pd_transport_handler *handler)
{
    pd_assert(of(transport)->handler.message == NULL);
    of(transport)->handler = *handler;
}

static void stop(struct pd_transport *transport)
{
    memset(&of(transport)->handler, 0, sizeof of(transport)->handler);
}

/* Everybody knows everybody: a message to a node that is gone is lost like any other. */
static enum pd_status set_peers(struct pd_transport *transport,
                                const struct pd_transport_peer *peers, uint32_t count)
{
    (void)transport;
    (void)peers;
    return count <= PD_SIM_NODES_MAX ? PD_OK : PD_ERR_FULL;
}

static bool is_peer(const struct pd_sim_machine *machine, uint64_t node)
{
    return node != 0 && node <= machine->world->machine_count && node != machine->number;
}

static enum pd_status send(struct pd_transport *transport, uint64_t node,
                           enum pd_transport_lane lane, struct pd_span bytes)
{
    struct pd_sim_transport *from = of(transport);
    struct pd_sim_machine *machine = from->machine;
    struct pd_sim_world *world = machine->world;
    if (!is_peer(machine, node)) {
        return PD_ERR_UNKNOWN;
    }
    uint64_t arrivals[PD_SIM_COPIES_MAX];
    uint32_t copies = pd_sim_network_send(&world->network, machine->number - 1, (uint32_t)node - 1,
                                          world->now_ns, arrivals);
    world->counts.messages++;
    from->counters.sent[lane]++;
    from->counters.sent_bytes += bytes.size;
    if (copies == 0) {
        return PD_OK;
    }
    struct pd_sim_packet *packet = pd_alloc(sizeof *packet + bytes.size);
    if (packet == NULL) {
        pd_sim_world_fail(world, "the simulator has no memory left");
        return PD_ERR_NO_MEMORY;
    }
    packet->references = copies;
    packet->from = machine->number;
    packet->lane = lane;
    packet->size = bytes.size;
    packet->digest = pd_hash_bytes(machine->number, bytes.bytes, bytes.size);
    memcpy(packet->bytes, bytes.bytes, bytes.size);
    for (uint32_t i = 0; i < copies; i++) {
        pd_sim_world_push(world, arrivals[i], PD_SIM_EVENT_DELIVER, (uint32_t)node, packet->digest,
                          packet);
    }
    return PD_OK;
}

static enum pd_status peer_state(struct pd_transport *transport, uint64_t node,
                                 struct pd_transport_peer_state *state_out)
{
    *state_out = (struct pd_transport_peer_state){.is_connected = true, .connects = 1};
    return is_peer(of(transport)->machine, node) ? PD_OK : PD_ERR_UNKNOWN;
}

static void counters(struct pd_transport *transport, struct pd_transport_counters *counters_out)
{
    *counters_out = of(transport)->counters;
}

void pd_sim_transport_init(struct pd_sim_transport *transport, struct pd_sim_machine *machine)
{
    static const struct pd_transport_ops ops = {
        .start = start,
        .stop = stop,
        .set_peers = set_peers,
        .send = send,
        .peer_state = peer_state,
        .counters = counters,
    };
    *transport = (struct pd_sim_transport){.base = {&ops}, .machine = machine};
}

void pd_sim_transport_deliver(struct pd_sim_transport *transport,
                              const struct pd_sim_packet *packet)
{
    pd_assert(transport->handler.message != NULL);
    transport->counters.received[packet->lane]++;
    transport->counters.received_bytes += packet->size;
    transport->handler.message(transport->handler.state, packet->from, packet->lane,
                               (struct pd_span){packet->bytes, packet->size});
}

void pd_sim_packet_release(struct pd_sim_packet *packet)
{
    if (--packet->references == 0) {
        pd_free(packet);
    }
}
