#include "cli/cluster_doctor_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "node/gateway_thread.h"

#define SCHEME "https://"

/* A socket that waits so long for a connection, a byte, or room for one. -1: nobody is there. */
static int dial(const char *address, uint16_t port, uint32_t wait_ms)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    const struct timeval wait = {.tv_sec = wait_ms / 1000, .tv_usec = (wait_ms % 1000) * 1000L};
    bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1) {
        return -1;
    }
    int peer = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer < 0) {
        return -1;
    }
    (void)setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    (void)setsockopt(peer, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    const struct sockaddr *to = is_v4 ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6;
    if (connect(peer, to, is_v4 ? sizeof v4 : sizeof v6) != 0) {
        (void)close(peer);
        return -1;
    }
    return peer;
}

/* The handshake's only purpose: what the server shows, whatever it thinks of us later. */
static int look(gnutls_session_t session)
{
    uint64_t *end_s = gnutls_session_get_ptr(session);
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
    for (unsigned i = 0; chain != NULL && i < count; i++) {
        gnutls_x509_crt_t certificate = NULL;
        if (gnutls_x509_crt_init(&certificate) != 0) {
            break;
        }
        if (gnutls_x509_crt_import(certificate, &chain[i], GNUTLS_X509_FMT_DER) == 0) {
            time_t end = gnutls_x509_crt_get_expiration_time(certificate);
            uint64_t seconds = end < 0 ? 0 : (uint64_t)end;
            *end_s = seconds < *end_s ? seconds : *end_s;
        }
        gnutls_x509_crt_deinit(certificate);
    }
    return GNUTLS_E_CERTIFICATE_ERROR; /* enough seen */
}

static void shake_hands(int peer, uint32_t wait_ms, uint64_t *end_s)
{
    gnutls_session_t session = NULL;
    gnutls_certificate_credentials_t credentials = NULL;
    if (gnutls_certificate_allocate_credentials(&credentials) != 0) {
        return;
    }
    gnutls_certificate_set_verify_function(credentials, look);
    if (gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL) == 0) {
        gnutls_session_set_ptr(session, end_s);
        gnutls_transport_set_int(session, peer);
        gnutls_handshake_set_timeout(session, wait_ms);
        if (gnutls_set_default_priority(session) == 0 &&
            gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials) == 0) {
            int result = GNUTLS_E_AGAIN;
            while (result < 0 && gnutls_error_is_fatal(result) == 0) {
                result = gnutls_handshake(session); /* look() ends it, or the time is over */
            }
        }
        gnutls_deinit(session);
    }
    gnutls_certificate_free_credentials(credentials);
}

enum pd_status pd_cluster_doctor_certificate(const char *url, uint32_t wait_ms, uint64_t *end_s_out)
{
    char address[PD_GATEWAY_URL_MAX];
    uint16_t port = 0;
    if (strncmp(url, SCHEME, sizeof SCHEME - 1) != 0 ||
        !pd_gateway_parse_address(url + sizeof SCHEME - 1, address, &port)) {
        return PD_ERR_INVALID;
    }
    int peer = dial(address, port, wait_ms);
    if (peer < 0) {
        return PD_ERR_CLOSED;
    }
    *end_s_out = UINT64_MAX;
    shake_hands(peer, wait_ms, end_s_out);
    (void)close(peer);
    return *end_s_out == UINT64_MAX ? PD_ERR_CLOSED : PD_OK;
}
