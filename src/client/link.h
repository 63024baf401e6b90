/* link - one connection of bytes to one endpoint of a node: its socket, or its client port, plain
 * or with TLS.
 *
 * Model      Blocking, with a deadline for each call; deadlines are of pd_link_now_ms.
 * Ownership  Endpoints and the TLS settings are borrowed for open.
 * Errors     A status, and words for a person in link->text. */
#ifndef PD_CLIENT_LINK_H
#define PD_CLIENT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define PD_LINK_TEXT_MAX 512u

/* What a client says first on a port that speaks other protocols too. */
#define PD_LINK_PREFACE "PANDO/1\n"

struct pd_link_tls; /* link_tls.h */

struct pd_link_config {
    const char *ca_file;     /* NULL: the system's */
    const char *cert_file;   /* NULL: none; with key_file */
    const char *key_file;    /* PEM */
    const char *server_name; /* NULL: the endpoint's host */
};

struct pd_link {
    int descriptor;          /* -1: not connected */
    struct pd_link_tls *tls; /* NULL: none */
    char text[PD_LINK_TEXT_MAX];
};

enum pd_link_kind {
    PD_LINK_UNIX = 0, /* "unix:PATH" */
    PD_LINK_TCP,      /* "tcp:HOST:PORT" */
    PD_LINK_TLS,      /* "tls:HOST:PORT" */
};

#define PD_LINK_HOST_MAX 256u

struct pd_link_endpoint {
    enum pd_link_kind kind;
    const char *path; /* UNIX; within the text that was parsed */
    char host[PD_LINK_HOST_MAX];
    char port[6];
};

/* Milliseconds of a clock that is never set. */
uint64_t pd_link_now_ms(void);

/* False: none. "tcp:[::1]:2379": an address of IPv6 stands in brackets. */
bool pd_link_endpoint_parse(const char *text, struct pd_link_endpoint *endpoint_out);

void pd_link_init(struct pd_link *link);
/* PD_OK; PD_ERR_INVALID: not an endpoint, or its path is too long; PD_ERR_CLOSED: nobody listens
 * there; PD_ERR_TIMEOUT; PD_ERR_DENIED: one side does not trust the other's certificate;
 * PD_ERR_FULL: too many hosts are being looked up; PD_ERR_IO; PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_link_open(struct pd_link *link, const char *endpoint,
                                         const struct pd_link_config *config, uint64_t deadline_ms);
/* Likewise to a port that speaks something else with us: without the preface. */
PD_NODISCARD enum pd_status pd_link_connect(struct pd_link *link, const char *endpoint,
                                            const struct pd_link_config *config,
                                            uint64_t deadline_ms);
void pd_link_close(struct pd_link *link);

/* All of it. PD_ERR_CLOSED: the peer hung up, or what listens is no TLS any more; how much has
 * arrived is not known. PD_ERR_TIMEOUT. PD_ERR_IO. */
PD_NODISCARD enum pd_status pd_link_send(struct pd_link *link, const uint8_t *bytes, size_t size,
                                         uint64_t deadline_ms);
/* Some of it, one byte at least; statuses as of send. */
PD_NODISCARD enum pd_status pd_link_receive(struct pd_link *link, uint8_t *bytes, size_t size,
                                            uint64_t deadline_ms, size_t *got_out);

/* -- For link_tls.c ---------------------------------------------------------------------------- */

enum pd_status pd_link_fail(struct pd_link *link, enum pd_status status, const char *format, ...)
    PD_PRINTF(3, 4);
/* Until the descriptor is ready for `events` of poll. */
PD_NODISCARD enum pd_status pd_link_wait(struct pd_link *link, short events, uint64_t deadline_ms);

#endif
