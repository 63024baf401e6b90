/* network - simulated links between nodes: when, whether and how often a message arrives.
 *
 * Model      Each ordered pair of nodes is a link with a delay of its own: a base plus a heavy
 *            tail. A link may be cut (several faults at once may cut it; it heals when all are
 *            gone), may drop, duplicate or reorder. Without reordering a link delivers in the order
 *            of sending. A slow reader takes one message per `reader_ns` and drops what is beyond
 *            its backlog.
 * Time       Virtual; the world pushes a delivery for each time that send() gives.
 * Bounds     PD_SIM_NODES_MAX nodes. */
#ifndef PD_SIM_NETWORK_H
#define PD_SIM_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"

#define PD_SIM_NODES_MAX 16u
#define PD_SIM_COPIES_MAX 3u

struct pd_sim_link {
    uint64_t last_arrival_ns;
    uint32_t cuts; /* faults that cut it now */
};

struct pd_sim_network {
    struct pd_random random;
    struct pd_sim_link links[PD_SIM_NODES_MAX][PD_SIM_NODES_MAX];
    uint64_t reader_free_ns[PD_SIM_NODES_MAX];
    uint64_t reader_ns[PD_SIM_NODES_MAX]; /* per message; 0: a quick reader */
    uint64_t delay_ns;                    /* base of one way */
    uint32_t tail_shift_max;              /* the tail: up to delay_ns << tail_shift_max */
    uint32_t drop_ppm;
    uint32_t duplicate_ppm;
    uint32_t reorder_ppm;
    uint32_t extra_delay; /* a storm multiplies every delay by 1 + extra_delay */
    uint64_t sent;
    uint64_t dropped;
    uint64_t duplicated;
};

void pd_sim_network_init(struct pd_sim_network *network, uint64_t seed, uint64_t delay_ns,
                         uint32_t tail_shift_max);
/* Times of arrival of one message sent at now_ns: their number, 0 when it is lost. */
uint32_t pd_sim_network_send(struct pd_sim_network *network, uint32_t from, uint32_t to,
                             uint64_t now_ns, uint64_t arrivals_out[PD_SIM_COPIES_MAX]);
/* Cut or mend one way. */
void pd_sim_network_cut(struct pd_sim_network *network, uint32_t from, uint32_t to);
void pd_sim_network_mend(struct pd_sim_network *network, uint32_t from, uint32_t to);
bool pd_sim_network_is_cut(const struct pd_sim_network *network, uint32_t from, uint32_t to);
/* No cut, drop, duplicate, reorder, storm or slow reader any more. What is under way arrives by
 * latest_ns at the latest: the owner's queue sees to that. */
void pd_sim_network_heal(struct pd_sim_network *network, uint64_t latest_ns);
/* A draw with a heavy tail: at least base_ns / 2, twice as far half as often, up to base_ns <<
 * shift_max. */
uint64_t pd_sim_heavy_tail(struct pd_random *random, uint64_t base_ns, uint32_t shift_max);

#endif
