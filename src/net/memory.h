/* memory - base/transport.h between nodes of one process, without a network: for tests.
 *
 * Model      A hub joins up to PD_NET_MEMORY_NODES_MAX nodes. Two are connected while both have
 *            started, each has the other in its table, and the link is not cut. A message is
 *            delivered by the thread that sent it, or by one that is delivering to that receiver
 *            already; nothing is lost but what a cut, a stop or a full queue drops.
 * Bounds     queue_bytes_max wait for one receiver; a message has at most message_bytes_max.
 * Ownership  The hub owns the transports. Everybody has stopped before it is destroyed.
 * Threads    As transport.h says; cut and mend by any thread. */
#ifndef PD_NET_MEMORY_H
#define PD_NET_MEMORY_H

#include "base/transport.h"

#define PD_NET_MEMORY_NODES_MAX 16u

struct pd_net_memory;

/* PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_net_memory_create(uint64_t queue_bytes_max,
                                                 uint64_t message_bytes_max,
                                                 struct pd_net_memory **hub_out);
void pd_net_memory_destroy(struct pd_net_memory *hub);

/* The transport of a node, made at its first mention; after a stop it may be started again, as a
 * process that comes back. NULL: PD_NET_MEMORY_NODES_MAX others are there. */
struct pd_transport *pd_net_memory_transport(struct pd_net_memory *hub, uint64_t node);

/* No message passes between two nodes, either way, until mended. */
void pd_net_memory_cut(struct pd_net_memory *hub, uint64_t node, uint64_t other);
void pd_net_memory_mend(struct pd_net_memory *hub, uint64_t node, uint64_t other);

/* `by` says to a node that it was removed; one who is not in its table says it in vain. */
void pd_net_memory_tell_removed(struct pd_net_memory *hub, uint64_t node, uint64_t by);

#endif
