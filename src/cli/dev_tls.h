/* dev_tls - the certificates with which the nodes of `pando dev` serve their clients.
 *
 * Model      The nodes read the files themselves, and again when they change. Here they are read
 *            once before a node is started, so that what is wrong is told once and at once; and
 *            then looked at, so that it is told once, not by every node, when new ones are used.
 * Ownership  The settings outlive it. */
#ifndef PD_CLI_DEV_TLS_H
#define PD_CLI_DEV_TLS_H

#include "base/host.h"
#include "cli/settings.h"
#include "node/gateway_certificates.h"

struct pd_dev_tls {
    const struct pd_settings *settings;
    struct pd_gateway_certificates *certificates; /* NULL: no TLS */
    uint64_t end_s;                               /* of the certificate, since 1970 */
};

/* PD_OK also without TLS; else text says what to do. To be closed, whatever it came to. */
PD_NODISCARD enum pd_status pd_dev_tls_open(struct pd_host *host,
                                            const struct pd_settings *settings,
                                            char text[PD_GATEWAY_CERTIFICATES_TEXT_MAX],
                                            struct pd_dev_tls *tls_out);
/* From now on changes are told. PD_ERR_IO: no thread. */
PD_NODISCARD enum pd_status pd_dev_tls_start(struct pd_dev_tls *tls);
void pd_dev_tls_close(struct pd_dev_tls *tls);

/* "http" or "https". */
const char *pd_dev_tls_scheme(const struct pd_dev_tls *tls);
/* Lines of the banner: who may come in, and with what. */
void pd_dev_tls_print(const struct pd_dev_tls *tls);
/* What etcdctl needs besides its endpoints; behind each word a space. */
void pd_dev_tls_print_etcdctl(const struct pd_dev_tls *tls);

#endif
