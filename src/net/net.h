/* net - a node's network: base/transport.h and request services over QUIC, on one thread.
 *
 * Model      An endpoint (endpoint.h) on a datagram loop (base/datagram.h). Any thread posts; the
 *            loop's thread does it, and calls the handlers. Raft's messages go through the
 *            transport; every other service is request and answer over links, which are
 *            connections that either side opened. A request's answers never wait for another one's.
 * Bounds     struct pd_net_limits; call_bytes_max.
 * Ownership  Bytes are copied. Host and loop are the caller's and outlive the net.
 * Handlers   On the loop's thread, one at a time; short, never waiting. They may call everything
 *            here but pd_net_close, and of the transport everything but start and stop. */
#ifndef PD_NET_NET_H
#define PD_NET_NET_H

#include "base/datagram.h"
#include "base/host.h"
#include "net/endpoint.h"

struct pd_net;

/* All but admit may be NULL where a service is only offered, or only used. */
struct pd_net_handler {
    /* Whether the holder of a key may use the service. NULL: members may. */
    bool (*admit)(void *state, const uint8_t key[PD_NET_KEY_SIZE]);
    /* A link is up, and whose key it is; of a dialed one whose key was dialed. */
    void (*opened)(void *state, uint64_t link, const uint8_t key[PD_NET_KEY_SIZE]);
    /* Nothing comes after it. All that was under way has ended: nobody knows how. text: static. */
    void (*closed)(void *state, uint64_t link, const char *text);
    /* On the side that was dialed. To be answered, unless it is cancelled before. */
    void (*request)(void *state, uint64_t link, uint64_t correlation, struct pd_span bytes);
    void (*cancelled)(void *state, uint64_t link, uint64_t correlation);
    /* On the side that dialed. `ended`: no more answers; statuses as PD_NET_ENDED. */
    void (*answer)(void *state, uint64_t link, uint64_t correlation, struct pd_span bytes);
    void (*ended)(void *state, uint64_t link, uint64_t correlation, enum pd_status status);
    void *state;
};

struct pd_net_offer {
    const char *name; /* as in ALPN, for example "pando-client/1" */
    struct pd_net_handler handler;
};

struct pd_net_config {
    struct pd_host *host;
    struct pd_datagram_loop *loop;
    const struct pd_net_identity *identity;
    struct pd_net_limits limits;
    const struct pd_net_offer *offers;
    uint32_t offer_count;
    uint64_t call_bytes_max; /* of calls that wait, over all links */
    /* On the loop's thread: whether a key was a member's and never will be again. May be NULL. */
    bool (*was_removed)(void *state, const uint8_t key[PD_NET_KEY_SIZE]);
    void *removed_state;
};
struct pd_net_config pd_net_config_default(void);

/* Serve from here on. PD_ERR_NO_MEMORY, PD_ERR_UNSUPPORTED, PD_ERR_IO: no thread. */
PD_NODISCARD enum pd_status pd_net_open(const struct pd_net_config *config,
                                        struct pd_net **net_out);
/* The transport has been stopped. Every link is closed, and told so; peers are told. */
void pd_net_close(struct pd_net *net);

/* Raft's. Good until pd_net_close. */
struct pd_transport *pd_net_transport(struct pd_net *net);

/* -- Links: any thread ------------------------------------------------------------------------- */

/* Connect to the holder of `key` for offers[service]; `opened` or `closed` follows. key NULL: to
 * whoever answers there; `opened` tells whose key was proven, and it is the caller's to judge.
 * PD_ERR_NO_MEMORY: nothing follows. */
PD_NODISCARD enum pd_status pd_net_dial(struct pd_net *net, uint32_t service,
                                        const uint8_t key[PD_NET_KEY_SIZE],
                                        const struct pd_transport_address *address,
                                        uint64_t *link_out);
/* In a handler: whose key the other side of a link has proven. False: the link is gone. */
bool pd_net_link_key(struct pd_net *net, uint64_t link, uint8_t key_out[PD_NET_KEY_SIZE]);
/* In a handler: from which address the other side of a link speaks. False: the link is gone. */
bool pd_net_link_address(struct pd_net *net, uint64_t link,
                         struct pd_transport_address *address_out);
/* Ask; may be called before `opened`. `ended` or `closed` follows, also if the link is gone
 * already. `correlation` is not in use on this link. On an error nothing was done: PD_ERR_FULL,
 * PD_ERR_RANGE (request_bytes_max), PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_net_call(struct pd_net *net, uint64_t link, uint64_t correlation,
                                        struct pd_span bytes);
/* The answers are not wanted any more: those that are on their way may still come. */
PD_NODISCARD enum pd_status pd_net_cancel(struct pd_net *net, uint64_t link, uint64_t correlation);
/* One answer; is_last: no more follow. PD_ERR_RANGE (answer_bytes_max), PD_ERR_NO_MEMORY: it was
 * not given. */
PD_NODISCARD enum pd_status pd_net_answer(struct pd_net *net, uint64_t link, uint64_t correlation,
                                          struct pd_span bytes, bool is_last);
/* No answer, or none any more. */
PD_NODISCARD enum pd_status pd_net_finish(struct pd_net *net, uint64_t link, uint64_t correlation);
/* `closed` follows. */
PD_NODISCARD enum pd_status pd_net_hang_up(struct pd_net *net, uint64_t link);

/* Any thread: as of the last turn of the loop. */
void pd_net_counters(struct pd_net *net, struct pd_net_counters *counters_out);

#endif
