/* transport - base/transport.h over the simulated network, for one machine.
 *
 * Model      A message is a packet with as many copies as the network gives times of arrival; each
 *            comes back as a DELIVER event of the world, which hands it to pd_sim_transport_deliver
 *            while the receiver's process runs. A node knows every other one until it says
 *            whom (set_peers), and is always connected; links that are cut lose what is sent, and
 *            after a while both ends are told, as they are of a process that ended. The two lanes
 *            of a peer share its link: what a user may not rely on, reordering between
 *            connections, the network's faults show.
 * Forwards   Their frames come once at most, and to the process that they were for (transport.h).
 *            Raft's are repeated, and outlive a restart.
 * Removed    What comes from a node that is not in the table is dropped; one that was removed is
 *            told so.
 * Ownership  A packet belongs to the events that carry it.
 * Time       Virtual. */
#ifndef PD_SIM_TRANSPORT_H
#define PD_SIM_TRANSPORT_H

#include <stddef.h>

#include "base/transport.h"

struct pd_sim_machine;

struct pd_sim_transport {
    struct pd_transport base;
    struct pd_sim_machine *machine;
    struct pd_transport_handler handler; /* message is NULL: not started, or stopped */
    struct pd_transport_counters counters;
    uint32_t peers;   /* bits by number: the table */
    uint32_t removed; /* likewise: who is to be told */
};

struct pd_sim_packet {
    uint32_t references; /* copies under way */
    uint32_t from;
    enum pd_transport_lane lane;
    uint64_t life; /* of the process that it is for; 0: any */
    size_t size;
    uint64_t digest;
    uint8_t bytes[];
};

void pd_sim_transport_init(struct pd_sim_transport *transport, struct pd_sim_machine *machine);
/* A packet has arrived at the process of this machine. The event keeps its reference. */
void pd_sim_transport_deliver(struct pd_sim_transport *transport,
                              const struct pd_sim_packet *packet);
/* A connection has ended; another node says that this one was removed. */
void pd_sim_transport_lost(struct pd_sim_transport *transport, uint32_t node);
void pd_sim_transport_removed(struct pd_sim_transport *transport, uint32_t node);
/* Those that were members and never will be again; before they leave the table. */
void pd_sim_transport_set_removed(struct pd_sim_transport *transport, const uint64_t *nodes,
                                  uint32_t count);
/* One copy less. */
void pd_sim_packet_release(struct pd_sim_packet *packet);

#endif
