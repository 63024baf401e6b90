/* cluster_doctor_tls - when the certificate ends that a port shows to its clients. */
#ifndef PD_CLI_CLUSTER_DOCTOR_TLS_H
#define PD_CLI_CLUSTER_DOCTOR_TLS_H

#include <stdint.h>

#include "base/status.h"

/* url: "https://ADDRESS:PORT", the address in numbers. Waits wait_ms for the port at most, each
 * time that it is to say something. *end_s_out: since 1970, of the first of the chain that ends.
 *
 * PD_ERR_INVALID  the url is no such.
 * PD_ERR_CLOSED   nobody answers there, or not with TLS. */
PD_NODISCARD enum pd_status pd_cluster_doctor_certificate(const char *url, uint32_t wait_ms,
                                                          uint64_t *end_s_out);

#endif
