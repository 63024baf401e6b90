/* gateway_certificates - the files that the client port's TLS is made of, and a look whether they
 * have changed.
 *
 * Model      Read at open. From start on a thread looks at them each look_ns; when they have
 *            changed, and are the same at two looks (whoever replaces them is not in between), they
 *            are read again. Good ones are told as changed; with others the old ones go on, and a
 *            note says so once. Only this thread waits for the disk.
 * Trust      A key that everybody may read, or others of its group may write, is refused.
 * Bounds     PD_GATEWAY_CERTIFICATES_FILE_MAX for each file. */
#ifndef PD_NODE_GATEWAY_CERTIFICATES_H
#define PD_NODE_GATEWAY_CERTIFICATES_H

#include "base/host.h"
#include "gateway/tls.h"

#define PD_GATEWAY_CERTIFICATES_FILE_MAX ((size_t)1024 * 1024)
#define PD_GATEWAY_CERTIFICATES_TEXT_MAX 512u
#define PD_GATEWAY_CERTIFICATES_LOOK_NS UINT64_C(1000000000)
/* Before its end a certificate is to be replaced: told when it is read, and by doctor. */
#define PD_GATEWAY_CERTIFICATES_SOON_S (UINT64_C(30) * 24 * 60 * 60)

struct pd_gateway_certificates;

/* Paths, borrowed until close. */
struct pd_gateway_certificates_files {
    const char *certificate; /* NULL: no TLS */
    const char *key;
    const char *authorities; /* NULL: clients need no certificate */
};

struct pd_gateway_certificates_config {
    struct pd_host *host;
    struct pd_gateway_certificates_files files;
    uint64_t look_ns;
    /* credentials: given. From the thread. */
    void (*changed)(void *state, struct pd_tls_credentials *credentials);
    void (*note)(void *state, const char *text); /* NULL: not wanted */
    void *state;
};
/* PD_ERR_INVALID, PD_ERR_NO_MEMORY; text: for a person. *credentials_out is the caller's. */
PD_NODISCARD enum pd_status pd_gateway_certificates_open(
    const struct pd_gateway_certificates_config *config,
    char text[PD_GATEWAY_CERTIFICATES_TEXT_MAX], struct pd_tls_credentials **credentials_out,
    struct pd_gateway_certificates **certificates_out);
/* Whether open would take them, for who makes something first: with its status and text. */
PD_NODISCARD enum pd_status pd_gateway_certificates_check(
    struct pd_host *host, const struct pd_gateway_certificates_files *files,
    char text[PD_GATEWAY_CERTIFICATES_TEXT_MAX]);
/* Once. PD_ERR_IO: no thread. */
PD_NODISCARD enum pd_status pd_gateway_certificates_start(
    struct pd_gateway_certificates *certificates);
/* NULL is fine. Nothing is told after it. */
void pd_gateway_certificates_close(struct pd_gateway_certificates *certificates);

#endif
