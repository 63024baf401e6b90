/* transport - base/transport.h over the simulated network, for one machine.
 *
 * Model      A message is a packet with as many copies as the network gives times of arrival; each
 *            comes back as a DELIVER event of the world, which hands it to pd_sim_transport_deliver
 *            while the receiver's process runs. A node knows every other one and is always
 *            connected; links that are cut lose what is sent. The two lanes of a peer share its
 *            link: what a user may not rely on, reordering between connections, the network's
 *            faults show.
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
};

struct pd_sim_packet {
    uint32_t references; /* copies under way */
    uint32_t from;
    enum pd_transport_lane lane;
    size_t size;
    uint64_t digest;
    uint8_t bytes[];
};

void pd_sim_transport_init(struct pd_sim_transport *transport, struct pd_sim_machine *machine);
/* A packet has arrived at the process of this machine. The event keeps its reference. */
void pd_sim_transport_deliver(struct pd_sim_transport *transport,
                              const struct pd_sim_packet *packet);
/* One copy less. */
void pd_sim_packet_release(struct pd_sim_packet *packet);

#endif
