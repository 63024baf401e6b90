/* tls_internal - between tls.c and tls_credentials.c. */
#ifndef PD_GATEWAY_TLS_INTERNAL_H
#define PD_GATEWAY_TLS_INTERNAL_H

#include <stdatomic.h>

#include <gnutls/gnutls.h>

#include "gateway/tls.h"

struct pd_tls_credentials {
    atomic_uint holders;
    gnutls_certificate_credentials_t certificates;
    gnutls_priority_t priority;
    uint64_t end_s;
    bool wants_client; /* to prove who it is */
};

#endif
