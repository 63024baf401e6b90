/* gather_net - gather.h over net.h: a service that answers, and rounds of questions.
 *
 * Model      A node that has no cluster yet runs rounds: it dials every place, whoever answers
 *            there, asks, and hears. It answers others all the time, and goes on to answer as a
 *            member, with a ticket of a few minutes for who has none.
 * Threads    create, destroy, attach, ask, wait: one thread, which is not the net's. hold and
 *            release: any.
 * Bounds     One question to each place at a time. */
#ifndef PD_NODE_GATHER_NET_H
#define PD_NODE_GATHER_NET_H

#include "base/host.h"
#include "net/net.h"
#include "node/gather.h"

#define PD_GATHER_SERVICE "pando-gather/1"

struct pd_gather_net;

struct pd_gather_net_config {
    struct pd_host *host;
    const struct pd_net_identity *identity; /* outlives it */
    struct pd_span secret;                  /* as pd_gather_init */
    const struct pd_kv_member *own;         /* likewise */
};
/* PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_gather_net_create(const struct pd_gather_net_config *config,
                                                 struct pd_gather_net **gather_out);
/* For pd_net_open; who asks rounds has it as the net's first offer. */
struct pd_net_offer pd_gather_net_offer(struct pd_gather_net *gather);
/* From here on others are answered. */
void pd_gather_net_attach(struct pd_gather_net *gather, struct pd_net *net);
/* The net has been closed. */
void pd_gather_net_destroy(struct pd_gather_net *gather);

/* The machine, which nobody else touches until it is released. Soon. */
struct pd_gather *pd_gather_net_hold(struct pd_gather_net *gather);
void pd_gather_net_release(struct pd_gather_net *gather);

/* Ask whoever is at a place. */
void pd_gather_net_ask(struct pd_gather_net *gather, uint32_t place,
                       const struct pd_transport_address *address);
/* Until all have answered or failed, or the time is over. */
void pd_gather_net_wait(struct pd_gather_net *gather, uint64_t deadline_ns);
/* Why a place's last question was not answered; NULL: it was. Static. */
const char *pd_gather_net_why(struct pd_gather_net *gather, uint32_t place);

#endif
