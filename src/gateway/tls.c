#include "gateway/tls.h"

#include <errno.h>
#include <string.h>

#include <gnutls/x509.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "gateway/tls_internal.h"

#define FLAGS (GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS | GNUTLS_NO_SIGNAL)
#define HANDSHAKE_MESSAGE_MAX ((size_t)48 * 1024)
#define ALERTS_MAX 4u /* that are warnings, in a row */

struct pd_tls {
    gnutls_session_t session;
    struct pd_tls_credentials *credentials;
    struct pd_span in;        /* of the call under way: not pulled yet */
    struct pd_tls_room *wire; /* of the call under way */
    size_t handshake_bytes;
    int error; /* GnuTLS's; 0: none */
    bool is_open;
};

/* -- GnuTLS's socket: the bytes of the call that is under way ---------------------------------- */

static ssize_t pull(gnutls_transport_ptr_t pointer, void *to, size_t size)
{
    struct pd_tls *tls = pointer;
    if (tls->in.size == 0) {
        gnutls_transport_set_errno(tls->session, EAGAIN);
        return -1;
    }
    size = size < tls->in.size ? size : tls->in.size;
    memcpy(to, tls->in.bytes, size);
    tls->in.bytes += size;
    tls->in.size -= size;
    return (ssize_t)size;
}

static int pull_timeout(gnutls_transport_ptr_t pointer, unsigned ms)
{
    const struct pd_tls *tls = pointer;
    (void)ms;
    return tls->in.size > 0;
}

static ssize_t push(gnutls_transport_ptr_t pointer, const void *from, size_t size)
{
    struct pd_tls *tls = pointer;
    struct pd_tls_room *wire = tls->wire;
    if (size > wire->room - wire->size) {
        gnutls_transport_set_errno(tls->session, EPIPE); /* more than anything should take */
        return -1;
    }
    memcpy(wire->bytes + wire->size, from, size);
    wire->size += size;
    return (ssize_t)size;
}

/* -- Opening ----------------------------------------------------------------------------------- */

static int set_protocols(gnutls_session_t session)
{
    static unsigned char http1[] = "http/1.1";
    static unsigned char http2[] = "h2";
    const gnutls_datum_t names[] = {{http1, sizeof http1 - 1}, {http2, sizeof http2 - 1}};
    return gnutls_alpn_set_protocols(session, names, 2,
                                     GNUTLS_ALPN_MANDATORY | GNUTLS_ALPN_SERVER_PRECEDENCE);
}

static int configure(struct pd_tls *tls)
{
    static unsigned char purpose[] = GNUTLS_KP_TLS_WWW_CLIENT;
    static gnutls_typed_vdata_st wanted[] = {
        {.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = purpose, .size = 0}};
    gnutls_session_t session = tls->session;
    gnutls_transport_set_ptr(session, tls);
    gnutls_transport_set_pull_function(session, pull);
    gnutls_transport_set_pull_timeout_function(session, pull_timeout);
    gnutls_transport_set_push_function(session, push);
    gnutls_handshake_set_max_packet_length(session, HANDSHAKE_MESSAGE_MAX);
    int result = gnutls_priority_set(session, tls->credentials->priority);
    if (result == 0) {
        result =
            gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls->credentials->certificates);
    }
    if (result == 0 && tls->credentials->wants_client) {
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
        gnutls_session_set_verify_cert2(session, wanted, 1, 0);
    }
    return result == 0 ? set_protocols(session) : result;
}

struct pd_tls *pd_tls_open(struct pd_tls_credentials *credentials)
{
    struct pd_tls *tls = pd_alloc_zeroed(1, sizeof *tls);
    if (tls == NULL || gnutls_init(&tls->session, FLAGS) != 0) {
        pd_free(tls);
        return NULL;
    }
    pd_tls_credentials_hold(credentials);
    tls->credentials = credentials;
    if (configure(tls) != 0) {
        pd_tls_close(tls);
        return NULL;
    }
    return tls;
}

void pd_tls_close(struct pd_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    gnutls_deinit(tls->session);
    pd_tls_credentials_release(tls->credentials);
    pd_free(tls);
}

/* -- Receiving --------------------------------------------------------------------------------- */

static bool is_for_later(int result)
{
    return result == GNUTLS_E_AGAIN || result == GNUTLS_E_INTERRUPTED;
}

/* The peer is told, if it is still listening. */
static enum pd_status fail(struct pd_tls *tls, int error)
{
    tls->error = error;
    if (error == GNUTLS_E_REHANDSHAKE) {
        (void)gnutls_alert_send(tls->session, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
    } else if (error == GNUTLS_E_NO_CERTIFICATE_FOUND) {
        /* TLS 1.2 has no word of its own for it (RFC 5246, 7.4.6). */
        (void)gnutls_alert_send(tls->session, GNUTLS_AL_FATAL, GNUTLS_A_HANDSHAKE_FAILURE);
    } else if (error == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR &&
               (gnutls_session_get_verify_cert_status(tls->session) & GNUTLS_CERT_EXPIRED) != 0) {
        (void)gnutls_alert_send(tls->session, GNUTLS_AL_FATAL, GNUTLS_A_CERTIFICATE_EXPIRED);
    } else if (error != GNUTLS_E_FATAL_ALERT_RECEIVED) {
        (void)gnutls_alert_send_appropriate(tls->session, error);
    }
    bool is_denied =
        error == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR || error == GNUTLS_E_CERTIFICATE_ERROR ||
        error == GNUTLS_E_NO_CERTIFICATE_FOUND || error == GNUTLS_E_CERTIFICATE_REQUIRED;
    return is_denied ? PD_ERR_DENIED : PD_ERR_INVALID;
}

static enum pd_status shake_hands(struct pd_tls *tls)
{
    size_t before = tls->in.size;
    int result = gnutls_handshake(tls->session);
    for (uint32_t i = 0; i < ALERTS_MAX && result < 0 && !is_for_later(result) &&
                         gnutls_error_is_fatal(result) == 0;
         i++) {
        result = gnutls_handshake(tls->session);
    }
    tls->handshake_bytes += before - tls->in.size;
    if (is_for_later(result)) {
        if (tls->handshake_bytes > PD_TLS_HANDSHAKE_BYTES) {
            tls->error = GNUTLS_E_HANDSHAKE_TOO_LARGE;
            return PD_ERR_FULL;
        }
        return PD_OK;
    }
    if (result < 0) {
        return fail(tls, result);
    }
    if (gnutls_record_get_max_size(tls->session) < PD_TLS_RECORD_MIN) {
        return fail(tls, GNUTLS_E_RECORD_LIMIT_REACHED);
    }
    tls->is_open = true;
    return PD_OK;
}

static enum pd_status read_records(struct pd_tls *tls, struct pd_tls_room *plain)
{
    uint32_t alerts = 0;
    while (true) {
        pd_assert(plain->size < plain->room);
        ssize_t size =
            gnutls_record_recv(tls->session, plain->bytes + plain->size, plain->room - plain->size);
        if (size > 0) {
            plain->size += (size_t)size;
            alerts = 0;
        } else if (size == 0) {
            return PD_ERR_CLOSED;
        } else if (is_for_later((int)size)) {
            return PD_OK;
        } else if (size == GNUTLS_E_REHANDSHAKE || gnutls_error_is_fatal((int)size) != 0 ||
                   ++alerts > ALERTS_MAX) {
            return fail(tls, (int)size);
        }
    }
}

enum pd_status pd_tls_receive(struct pd_tls *tls, struct pd_span bytes, struct pd_tls_room *plain,
                              struct pd_tls_room *wire)
{
    pd_assert(tls->error == 0);
    pd_assert(plain->room - plain->size >= bytes.size + PD_TLS_AHEAD_BYTES);
    tls->in = bytes;
    tls->wire = wire;
    enum pd_status status = tls->is_open ? PD_OK : shake_hands(tls);
    if (status == PD_OK && tls->is_open) {
        status = read_records(tls, plain);
    }
    tls->wire = NULL;
    tls->in = (struct pd_span){NULL, 0};
    return status;
}

bool pd_tls_is_open(const struct pd_tls *tls)
{
    return tls->is_open;
}

enum pd_tls_alpn pd_tls_alpn(const struct pd_tls *tls)
{
    gnutls_datum_t name;
    if (!tls->is_open || gnutls_alpn_get_selected_protocol(tls->session, &name) != 0) {
        return PD_TLS_ALPN_NONE;
    }
    return name.size == 2 ? PD_TLS_ALPN_HTTP2 : PD_TLS_ALPN_HTTP1;
}

const char *pd_tls_error(const struct pd_tls *tls)
{
    if (tls->error != GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
        return gnutls_strerror(tls->error);
    }
    unsigned status = gnutls_session_get_verify_cert_status(tls->session);
    return (status & GNUTLS_CERT_EXPIRED) != 0            ? "its certificate has ended"
           : (status & GNUTLS_CERT_NOT_ACTIVATED) != 0    ? "its certificate has not begun"
           : (status & GNUTLS_CERT_PURPOSE_MISMATCH) != 0 ? "its certificate is not for clients"
           : (status & GNUTLS_CERT_SIGNER_NOT_FOUND) != 0 ? "its certificate is signed by nobody "
                                                            "who is trusted here"
                                                          : "its certificate is not good";
}

/* -- Sending ----------------------------------------------------------------------------------- */

enum pd_status pd_tls_send(struct pd_tls *tls, struct pd_span plain, struct pd_tls_room *wire)
{
    pd_assert(tls->is_open);
    pd_assert(wire->room - wire->size >= PD_TLS_WIRE_BYTES(plain.size));
    tls->wire = wire;
    size_t at = 0;
    while (at < plain.size) {
        ssize_t size = gnutls_record_send(tls->session, plain.bytes + at, plain.size - at);
        if (size <= 0) {
            tls->error = (int)size;
            break;
        }
        at += (size_t)size;
    }
    tls->wire = NULL;
    return at == plain.size ? PD_OK : PD_ERR_INVALID;
}

void pd_tls_say_end(struct pd_tls *tls, struct pd_tls_room *wire)
{
    if (!tls->is_open || tls->error != 0) {
        return;
    }
    tls->wire = wire;
    (void)gnutls_bye(tls->session, GNUTLS_SHUT_WR);
    tls->wire = NULL;
}
