/* host_certificates - X.509 certificates that guests ask for (lunatic::distributed), as one
 * interface; src/host/certificates.h has the real half. There is none in a deterministic run, as
 * keys are random.
 *
 * Model      Pure functions but for the system's random numbers and its clock. Texts are PEM: a
 *            certificate, a private key (PKCS #8), a request (PKCS #10). Keys are of P-256.
 * Bounds     PD_PEM_MAX bytes of text in and out. It bounds keys too: one of RSA that fits signs in
 *            less than a second.
 * Threads    Any; each takes some milliseconds, so call from a helper thread.
 * Errors     PD_ERR_INVALID: a text that was given is not what it must be; `why` (of
 *            PD_CERTIFICATE_WHY_SIZE bytes) says which and how. PD_ERR_IO: the system has no random
 *            numbers, or its library fails otherwise, as `why` says. */
#ifndef PD_BASE_HOST_CERTIFICATES_H
#define PD_BASE_HOST_CERTIFICATES_H

#include "base/span.h"
#include "base/status.h"

#define PD_PEM_MAX 8192u
#define PD_CERTIFICATE_WHY_SIZE 200u

struct pd_pem {
    size_t size;
    uint8_t bytes[PD_PEM_MAX];
};

struct pd_certificates {
    /* A new authority: a certificate that signs others, itself included, and its key. */
    enum pd_status (*make_root)(struct pd_pem *certificate_out, struct pd_pem *key_out, char *why);

    /* A new key with a certificate by the authority for the name "ctrl.lunatic.cloud", which is
     * what Lunatic's nodes expect of a control server. */
    enum pd_status (*make_server)(struct pd_span root, struct pd_span root_key,
                                  struct pd_pem *certificate_out, struct pd_pem *key_out,
                                  char *why);

    /* A certificate by the authority for whom a request names: subject, key, and alternative names.
     * Whatever else the request wishes for it does not get: it never signs others. */
    enum pd_status (*sign_request)(struct pd_span root, struct pd_span root_key,
                                   struct pd_span request, struct pd_pem *certificate_out,
                                   char *why);
};

#endif
