/* link_tls - TLS of a link. GnuTLS stays in here. */
#ifndef PD_CLIENT_LINK_TLS_H
#define PD_CLIENT_LINK_TLS_H

#include "client/link.h"

/* Whether its files are there, before anybody is dialed. PD_ERR_INVALID: the link says which cannot
 * be read, and why. */
PD_NODISCARD enum pd_status pd_link_tls_look(struct pd_link *link,
                                             const struct pd_link_config *config);

/* Over the link's descriptor: the peer's certificate is checked against the authority and `name`.
 * PD_ERR_DENIED: it is not trusted, or ours is not; PD_ERR_INVALID: a file cannot be read as what
 * it should be; PD_ERR_CLOSED: what listens speaks no TLS, or hung up; PD_ERR_TIMEOUT;
 * PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_link_tls_open(struct pd_link *link,
                                             const struct pd_link_config *config, const char *name,
                                             uint64_t deadline_ms);
/* Without a word to the peer. Nothing, when there is none. */
void pd_link_tls_close(struct pd_link *link);
/* As of the link; *sent_out may be less than size, and 0 for "again". */
PD_NODISCARD enum pd_status pd_link_tls_send(struct pd_link *link, const uint8_t *bytes,
                                             size_t size, uint64_t deadline_ms, size_t *sent_out);
PD_NODISCARD enum pd_status pd_link_tls_receive(struct pd_link *link, uint8_t *bytes, size_t size,
                                                uint64_t deadline_ms, size_t *got_out);

#endif
