/* gateway_thread - a node's port for etcd's clients: gateway, its backend, and the thread of both.
 *
 * Ownership  open and close: the thread that owns the server, which outlives it. */
#ifndef PD_NODE_GATEWAY_THREAD_H
#define PD_NODE_GATEWAY_THREAD_H

#include "gateway/gateway.h"
#include "node/gateway_backend.h"
#include "node/gateway_certificates.h"
#include "node/server.h"

#define PD_GATEWAY_URL_MAX 128u

struct pd_gateway_thread;

/* Where to listen: "ADDRESS:PORT", the address in numbers, an IPv6 one in brackets. false: it is
 * none. */
bool pd_gateway_parse_address(const char *text, char address[PD_GATEWAY_URL_MAX],
                              uint16_t *port_out);

struct pd_gateway_thread_config {
    struct pd_server *server;
    struct pd_host *host;
    const char *folder; /* the node's */
    const char *address;
    uint16_t port;                 /* 0: a free one */
    struct pd_http1_rules allowed; /* borrowed texts */
    struct pd_gateway_certificates_files certificates;
    struct pd_gateway_more_metrics more_metrics;
    /* Then /readyz says so, and gRPC's health; outlives it. NULL: never. */
    const atomic_bool *is_stopping;
    /* Words for the log, from threads of its own. NULL: not wanted. */
    void (*note)(void *state, const char *text);
    void *note_state;
};
/* Serves when it returns. Failures as pd_gateway_open's, pd_server_client_open's; PD_ERR_IO: no
 * thread. text: for a person. */
PD_NODISCARD enum pd_status pd_gateway_thread_open(const struct pd_gateway_thread_config *config,
                                                   char text[PD_GATEWAY_TEXT_MAX],
                                                   struct pd_gateway_thread **thread_out);
/* "http://127.0.0.1:2379", or https. */
const char *pd_gateway_thread_url(const struct pd_gateway_thread *thread);
/* config.is_stopping has changed: who watches the health is told. Any thread, until close. */
void pd_gateway_thread_stopping(struct pd_gateway_thread *thread);
/* Hang up on everybody, and end. counters_out may be NULL. */
void pd_gateway_thread_close(struct pd_gateway_thread *thread,
                             struct pd_gateway_counters *counters_out);

#endif
