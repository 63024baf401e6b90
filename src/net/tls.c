/* TLS 1.3 with raw public keys: who the other side is, and whether it may speak the service that it
 * asks for. */
#include <string.h>

#include <gnutls/abstract.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>

#include "net/internal.h"

#define PRIORITY                                                                                   \
    "NORMAL:%DISABLE_TLS13_COMPAT_MODE:-VERS-ALL:+VERS-TLS1.3:-CTYPE-ALL:+CTYPE-CLI-RAWPK:"        \
    "+CTYPE-SRV-RAWPK:-CIPHER-ALL:+AES-128-GCM:+CHACHA20-POLY1305:-GROUP-ALL:+GROUP-X25519:"       \
    "-SIGN-ALL:+SIGN-EDDSA-ED25519"
#define FLAGS (GNUTLS_ENABLE_RAWPK | GNUTLS_NO_TICKETS | GNUTLS_NO_END_OF_EARLY_DATA)

/* What stands before the 32 bytes of a key in DER: SubjectPublicKeyInfo (RFC 8410), PKCS #8. */
static const uint8_t public_head[12] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                        0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
static const uint8_t secret_head[16] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                                        0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};

/* -- Judging the peer's key -------------------------------------------------------------------- */

/* The service that a client asked for. */
static bool find_service(const struct pd_net_connection *connection, gnutls_session_t session,
                         uint32_t *service_out)
{
    const struct pd_net_endpoint *endpoint = connection->endpoint;
    gnutls_datum_t name;
    if (gnutls_alpn_get_selected_protocol(session, &name) != GNUTLS_E_SUCCESS) {
        return false;
    }
    if (name.size == sizeof PD_NET_RAFT - 1 && memcmp(name.data, PD_NET_RAFT, name.size) == 0) {
        *service_out = PD_NET_SERVICE_RAFT;
        return true;
    }
    for (uint32_t i = 0; i < endpoint->service_count; i++) {
        const char *text = endpoint->services[i].name;
        if (name.size == strlen(text) && memcmp(name.data, text, name.size) == 0) {
            *service_out = i;
            return true;
        }
    }
    return false;
}

static bool take_key(gnutls_session_t session, uint8_t key_out[PD_NET_KEY_SIZE])
{
    unsigned count = 0;
    if (gnutls_certificate_type_get2(session, GNUTLS_CTYPE_PEERS) != GNUTLS_CRT_RAWPK) {
        return false;
    }
    const gnutls_datum_t *peers = gnutls_certificate_get_peers(session, &count);
    if (peers == NULL || count != 1 || peers->size != sizeof public_head + PD_NET_KEY_SIZE ||
        memcmp(peers->data, public_head, sizeof public_head) != 0) {
        return false;
    }
    memcpy(key_out, peers->data + sizeof public_head, PD_NET_KEY_SIZE);
    return true;
}

/* 0: go on. Without this function GnuTLS would accept any key. */
static int judge(gnutls_session_t session)
{
    const ngtcp2_crypto_conn_ref *reference = gnutls_session_get_ptr(session);
    struct pd_net_connection *connection = reference->user_data;
    uint8_t key[PD_NET_KEY_SIZE];
    bool is_good = take_key(session, key);
    if (is_good && connection->is_server) {
        connection->has_service = find_service(connection, session, &connection->service);
        memcpy(connection->key, key, sizeof key);
        /* Who was removed comes as far as to be told so, and no further. */
        is_good = connection->has_service && (pd_net_connection_admits(connection, key) ||
                                              pd_net_connection_was_removed(connection, key));
    } else if (is_good && connection->takes_any_key) {
        memcpy(connection->key, key, sizeof key);
    } else if (is_good) {
        is_good = memcmp(connection->key, key, sizeof key) == 0;
    }
    connection->is_refused = !is_good;
    return is_good ? 0 : GNUTLS_E_CERTIFICATE_ERROR;
}

/* -- Credentials ------------------------------------------------------------------------------- */

static int load_key(gnutls_certificate_credentials_t credentials,
                    const struct pd_net_identity *identity)
{
    uint8_t public_der[sizeof public_head + PD_NET_KEY_SIZE];
    uint8_t secret_der[sizeof secret_head + PD_NET_KEY_SIZE];
    memcpy(public_der, public_head, sizeof public_head);
    memcpy(public_der + sizeof public_head, identity->key, PD_NET_KEY_SIZE);
    memcpy(secret_der, secret_head, sizeof secret_head);
    memcpy(secret_der + sizeof secret_head, identity->secret, PD_NET_KEY_SIZE);
    const gnutls_datum_t public = {public_der, sizeof public_der};
    const gnutls_datum_t secret = {secret_der, sizeof secret_der};
    int result = gnutls_certificate_set_rawpk_key_mem(credentials, &public, &secret,
                                                      GNUTLS_X509_FMT_DER, NULL, 0, NULL, 0, 0);
    explicit_bzero(secret_der, sizeof secret_der);
    return result;
}

enum pd_status pd_net_tls_init(struct pd_net_tls *tls, const struct pd_net_identity *identity)
{
    memset(tls, 0, sizeof *tls);
    if (gnutls_certificate_allocate_credentials(&tls->credentials) != GNUTLS_E_SUCCESS) {
        return PD_ERR_NO_MEMORY;
    }
    gnutls_certificate_set_verify_function(tls->credentials, judge);
    if (gnutls_priority_init(&tls->priority, PRIORITY, NULL) != GNUTLS_E_SUCCESS ||
        load_key(tls->credentials, identity) < 0) {
        pd_net_tls_deinit(tls);
        return PD_ERR_UNSUPPORTED;
    }
    return PD_OK;
}

void pd_net_tls_deinit(struct pd_net_tls *tls)
{
    if (tls->credentials != NULL) {
        gnutls_certificate_free_credentials(tls->credentials);
    }
    if (tls->priority != NULL) {
        gnutls_priority_deinit(tls->priority);
    }
    memset(tls, 0, sizeof *tls);
}

/* -- Sessions ---------------------------------------------------------------------------------- */

static gnutls_datum_t datum(const char *name)
{
    /* GnuTLS reads it only. */
    union {
        const char *given;
        unsigned char *wanted;
    } name_of = {.given = name};
    return (gnutls_datum_t){name_of.wanted, (unsigned)strlen(name)};
}

static int set_services(struct pd_net_connection *connection)
{
    const struct pd_net_endpoint *endpoint = connection->endpoint;
    gnutls_datum_t names[1 + PD_NET_SERVICES_MAX];
    unsigned count = 0;
    if (connection->is_server || connection->service == PD_NET_SERVICE_RAFT) {
        names[count++] = datum(PD_NET_RAFT);
    }
    for (uint32_t i = 0; i < endpoint->service_count; i++) {
        if (connection->is_server || connection->service == i) {
            names[count++] = datum(endpoint->services[i].name);
        }
    }
    return gnutls_alpn_set_protocols(connection->tls, names, count,
                                     GNUTLS_ALPN_MANDATORY | GNUTLS_ALPN_SERVER_PRECEDENCE);
}

enum pd_status pd_net_tls_session(struct pd_net_connection *connection)
{
    const struct pd_net_tls *tls = &connection->endpoint->tls;
    unsigned flags = FLAGS | (connection->is_server ? GNUTLS_SERVER : GNUTLS_CLIENT);
    if (gnutls_init(&connection->tls, flags) != GNUTLS_E_SUCCESS) {
        connection->tls = NULL;
        return PD_ERR_NO_MEMORY;
    }
    gnutls_session_t session = connection->tls;
    gnutls_session_set_ptr(session, &connection->reference);
    if (gnutls_priority_set(session, tls->priority) != GNUTLS_E_SUCCESS ||
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls->credentials) !=
            GNUTLS_E_SUCCESS ||
        set_services(connection) != GNUTLS_E_SUCCESS) {
        return PD_ERR_NO_MEMORY;
    }
    if (connection->is_server) {
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
        return ngtcp2_crypto_gnutls_configure_server_session(session) == 0 ? PD_OK
                                                                           : PD_ERR_NO_MEMORY;
    }
    return ngtcp2_crypto_gnutls_configure_client_session(session) == 0 ? PD_OK : PD_ERR_NO_MEMORY;
}
