#include "client/link_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"

struct pd_link_tls {
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
};

static enum pd_status fail_file(struct pd_link *link, const char *what, const char *file, int error)
{
    return pd_link_fail(link, PD_ERR_INVALID, "cannot read %s '%s': %s", what, file,
                        gnutls_strerror(error));
}

enum pd_status pd_link_tls_look(struct pd_link *link, const struct pd_link_config *config)
{
    const char *const files[] = {config->ca_file, config->cert_file, config->key_file};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (files[i] != NULL && access(files[i], R_OK) != 0) {
            return pd_link_fail(link, PD_ERR_INVALID, "cannot read '%s': %s", files[i],
                                strerror(errno));
        }
    }
    return PD_OK;
}

/* 0, or GnuTLS's error. The chain is looked at before the key is read: of a chain that cannot be
 * read, what reads both keeps the key that it has read by then, and never frees it (3.7.9: 10 KiB
 * for each try). And both see the same bytes, whatever is written meanwhile. */
static int take_pair(gnutls_certificate_credentials_t credentials, const gnutls_datum_t *chain,
                     const gnutls_datum_t *key)
{
    gnutls_x509_crt_t *certificates = NULL;
    unsigned count = 0;
    int result = gnutls_x509_crt_list_import2(&certificates, &count, chain, GNUTLS_X509_FMT_PEM, 0);
    if (result < 0) {
        return result;
    }
    for (unsigned i = 0; i < count; i++) {
        gnutls_x509_crt_deinit(certificates[i]);
    }
    gnutls_free(certificates);
    return gnutls_certificate_set_x509_key_mem2(credentials, chain, key, GNUTLS_X509_FMT_PEM, NULL,
                                                0);
}

static int load_pair(gnutls_certificate_credentials_t credentials, const char *cert_file,
                     const char *key_file)
{
    gnutls_datum_t chain = {.data = NULL, .size = 0};
    gnutls_datum_t key = {.data = NULL, .size = 0};
    int result = gnutls_load_file(cert_file, &chain);
    if (result == 0) {
        result = gnutls_load_file(key_file, &key);
    }
    if (result == 0) {
        result = take_pair(credentials, &chain, &key);
    }
    if (key.data != NULL) {
        gnutls_memset(key.data, 0, key.size);
    }
    gnutls_free(chain.data);
    gnutls_free(key.data);
    return result;
}

static enum pd_status load(struct pd_link *link, const struct pd_link_config *config)
{
    gnutls_certificate_credentials_t credentials = link->tls->credentials;
    int result = 0;
    if (config->ca_file != NULL) {
        result = gnutls_certificate_set_x509_trust_file(credentials, config->ca_file,
                                                        GNUTLS_X509_FMT_PEM);
        if (result <= 0) {
            return fail_file(link, "the authority's certificate", config->ca_file,
                             result == 0 ? GNUTLS_E_NO_CERTIFICATE_FOUND : result);
        }
    } else {
        (void)gnutls_certificate_set_x509_system_trust(credentials);
    }
    if (config->cert_file != NULL && config->key_file != NULL) {
        result = load_pair(credentials, config->cert_file, config->key_file);
        if (result < 0) {
            return fail_file(link, "certificate and key of", config->cert_file, result);
        }
    }
    return PD_OK;
}

static bool is_address(const char *name)
{
    uint8_t room[16];
    return inet_pton(AF_INET, name, room) == 1 || inet_pton(AF_INET6, name, room) == 1;
}

static enum pd_status begin(struct pd_link *link, const char *name)
{
    struct pd_link_tls *tls = link->tls;
    if (gnutls_init(&tls->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) != 0) {
        tls->session = NULL;
        return pd_link_fail(link, PD_ERR_NO_MEMORY, "no memory for TLS");
    }
    int result = gnutls_set_default_priority(tls->session);
    if (result == 0) {
        result = gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->credentials);
    }
    if (result == 0 && !is_address(name)) {
        result = gnutls_server_name_set(tls->session, GNUTLS_NAME_DNS, name, strlen(name));
    }
    if (result != 0) {
        return pd_link_fail(link, PD_ERR_NO_MEMORY, "cannot begin TLS: %s",
                            gnutls_strerror(result));
    }
    gnutls_session_set_verify_cert(tls->session, name, 0);
    gnutls_transport_set_int(tls->session, link->descriptor);
    return PD_OK;
}

/* Wait for what the session waits for. */
static enum pd_status wait_for_turn(struct pd_link *link, uint64_t deadline_ms)
{
    short events = gnutls_record_get_direction(link->tls->session) == 0 ? POLLIN : POLLOUT;
    return pd_link_wait(link, events, deadline_ms);
}

static bool is_again(long result)
{
    return result == GNUTLS_E_AGAIN || result == GNUTLS_E_INTERRUPTED;
}

static enum pd_status fail_handshake(struct pd_link *link, int error)
{
    gnutls_session_t session = link->tls->session;
    gnutls_datum_t words = {.data = NULL, .size = 0};
    if (error == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
        unsigned why = gnutls_session_get_verify_cert_status(session);
        int result = gnutls_certificate_verification_status_print(why, GNUTLS_CRT_X509, &words, 0);
        (void)pd_link_fail(link, PD_ERR_DENIED, "the node's certificate is not trusted: %.*s",
                           result == 0 ? (int)words.size : 0,
                           result == 0 ? (const char *)words.data : "");
        gnutls_free(words.data);
        return PD_ERR_DENIED;
    }
    if (error == GNUTLS_E_FATAL_ALERT_RECEIVED) {
        const char *alert = gnutls_alert_get_name(gnutls_alert_get(session));
        return pd_link_fail(link, PD_ERR_DENIED, "the node refuses TLS with this client: %s",
                            alert == NULL ? "it does not say why" : alert);
    }
    bool is_plain =
        error == GNUTLS_E_UNEXPECTED_PACKET_LENGTH || error == GNUTLS_E_UNEXPECTED_PACKET;
    return pd_link_fail(link, PD_ERR_CLOSED, "no TLS with the node: %s%s", gnutls_strerror(error),
                        is_plain ? " A port that speaks no TLS is tcp:HOST:PORT" : "");
}

static enum pd_status shake_hands(struct pd_link *link, uint64_t deadline_ms)
{
    for (;;) {
        int result = gnutls_handshake(link->tls->session);
        if (result == GNUTLS_E_SUCCESS) {
            return PD_OK;
        }
        if (result == GNUTLS_E_AGAIN) {
            enum pd_status status = wait_for_turn(link, deadline_ms);
            if (status != PD_OK) {
                return status;
            }
        } else if (gnutls_error_is_fatal(result) != 0) {
            return fail_handshake(link, result);
        }
    }
}

enum pd_status pd_link_tls_open(struct pd_link *link, const struct pd_link_config *config,
                                const char *name, uint64_t deadline_ms)
{
    struct pd_link_tls *tls = pd_alloc_zeroed(1, sizeof *tls);
    if (tls == NULL || gnutls_certificate_allocate_credentials(&tls->credentials) != 0) {
        pd_free(tls);
        return pd_link_fail(link, PD_ERR_NO_MEMORY, "no memory for TLS");
    }
    link->tls = tls;
    enum pd_status status = load(link, config);
    if (status == PD_OK) {
        status = begin(link, name);
    }
    if (status == PD_OK) {
        status = shake_hands(link, deadline_ms);
    }
    if (status != PD_OK) {
        pd_link_tls_close(link);
    }
    return status;
}

void pd_link_tls_close(struct pd_link *link)
{
    if (link->tls != NULL) {
        if (link->tls->session != NULL) {
            gnutls_deinit(link->tls->session);
        }
        gnutls_certificate_free_credentials(link->tls->credentials);
        pd_free(link->tls);
        link->tls = NULL;
    }
}

/* In TLS 1.3 a client's certificate is refused when it has long begun to write: the reader is told.
 */
static enum pd_status fail_record(struct pd_link *link, long error)
{
    return error == GNUTLS_E_FATAL_ALERT_RECEIVED ? fail_handshake(link, (int)error)
                                                  : PD_ERR_CLOSED;
}

enum pd_status pd_link_tls_send(struct pd_link *link, const uint8_t *bytes, size_t size,
                                uint64_t deadline_ms, size_t *sent_out)
{
    *sent_out = 0;
    ssize_t sent = gnutls_record_send(link->tls->session, bytes, size);
    while (is_again(sent)) {
        enum pd_status status = wait_for_turn(link, deadline_ms);
        if (status != PD_OK) {
            return status;
        }
        sent = gnutls_record_send(link->tls->session, NULL, 0); /* the one that was begun */
    }
    if (sent < 0) {
        enum pd_status status = fail_record(link, sent);
        return status == PD_ERR_CLOSED ? pd_link_fail(link, PD_ERR_CLOSED,
                                                      "the node closed the connection: it may or "
                                                      "may not have done what was asked")
                                       : status;
    }
    *sent_out = (size_t)sent;
    return PD_OK;
}

enum pd_status pd_link_tls_receive(struct pd_link *link, uint8_t *bytes, size_t size,
                                   uint64_t deadline_ms, size_t *got_out)
{
    for (;;) {
        ssize_t got = gnutls_record_recv(link->tls->session, bytes, size);
        if (got > 0) {
            *got_out = (size_t)got;
            return PD_OK;
        }
        if (got == 0) {
            return PD_ERR_CLOSED;
        }
        if (is_again(got)) {
            enum pd_status status = wait_for_turn(link, deadline_ms);
            if (status != PD_OK) {
                return status;
            }
        } else if (gnutls_error_is_fatal((int)got) != 0) {
            return fail_record(link, got);
        }
    }
}
