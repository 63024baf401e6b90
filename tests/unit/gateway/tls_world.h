/* tls_world - authorities and certificates that are made when they are needed, and a client of
 * GnuTLS's whose bytes the test carries. */
#ifndef PD_TEST_TLS_WORLD_H
#define PD_TEST_TLS_WORLD_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "base/assert.h"
#include "gateway/tls.h"

#define TLS_DAY ((time_t)24 * 60 * 60)
#define TLS_QUEUE_MAX ((size_t)4 * 1024 * 1024)
#define TLS_ALPN_MAX 4

/* -- Certificates ------------------------------------------------------------------------------ */

struct tls_party {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t certificate;
    gnutls_datum_t key_pem;
    gnutls_datum_t certificate_pem;
};

enum tls_kind {
    TLS_AUTHORITY = 0,
    TLS_SERVER,
    TLS_CLIENT
};

static inline void tls_good(int result)
{
    pd_assert(result >= 0);
}

/* From a day before now until so long from now; by: NULL, it vouches for itself. */
static inline void tls_party_make(struct tls_party *party, enum tls_kind kind, const char *name,
                                  time_t until, const struct tls_party *by)
{
    static unsigned char serial;
    time_t now = time(NULL);
    memset(party, 0, sizeof *party);
    serial++;
    tls_good(gnutls_x509_privkey_init(&party->key));
    tls_good(gnutls_x509_privkey_generate(party->key, GNUTLS_PK_EDDSA_ED25519, 0, 0) >= 0
                 ? 0
                 : GNUTLS_E_INTERNAL_ERROR);
    gnutls_x509_crt_t certificate = NULL;
    tls_good(gnutls_x509_crt_init(&certificate));
    tls_good(gnutls_x509_crt_set_version(certificate, 3));
    tls_good(gnutls_x509_crt_set_serial(certificate, &serial, sizeof serial));
    tls_good(gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                           (unsigned)strlen(name)));
    tls_good(gnutls_x509_crt_set_activation_time(certificate, now - 2 * TLS_DAY));
    tls_good(gnutls_x509_crt_set_expiration_time(certificate, now + until));
    tls_good(gnutls_x509_crt_set_key(certificate, party->key));
    tls_good(gnutls_x509_crt_set_ca_status(certificate, kind == TLS_AUTHORITY));
    tls_good(gnutls_x509_crt_set_key_usage(certificate, kind == TLS_AUTHORITY
                                                            ? GNUTLS_KEY_KEY_CERT_SIGN
                                                            : GNUTLS_KEY_DIGITAL_SIGNATURE));
    if (kind != TLS_AUTHORITY) {
        tls_good(gnutls_x509_crt_set_key_purpose_oid(
            certificate, kind == TLS_SERVER ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT,
            0));
        tls_good(gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, "localhost",
                                                      9, GNUTLS_FSAN_SET));
    }
    tls_good(gnutls_x509_crt_sign2(certificate, by == NULL ? certificate : by->certificate,
                                   by == NULL ? party->key : by->key, GNUTLS_DIG_SHA512, 0));
    party->certificate = certificate;
    tls_good(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &party->certificate_pem));
    tls_good(gnutls_x509_privkey_export2_pkcs8(party->key, GNUTLS_X509_FMT_PEM, NULL,
                                               GNUTLS_PKCS_PLAIN, &party->key_pem));
}

static inline void tls_party_free(struct tls_party *party)
{
    gnutls_x509_crt_deinit(party->certificate);
    gnutls_x509_privkey_deinit(party->key);
    gnutls_free(party->certificate_pem.data);
    gnutls_free(party->key_pem.data);
}

static inline struct pd_span tls_span(gnutls_datum_t datum)
{
    return (struct pd_span){datum.data, datum.size};
}

/* authority: whose clients are let in; NULL: everybody. */
static inline struct pd_tls_credentials *tls_server(const struct tls_party *server,
                                                    const struct tls_party *authority)
{
    char text[PD_TLS_TEXT_MAX];
    struct pd_tls_credentials *credentials = NULL;
    struct pd_tls_files files = {
        tls_span(server->certificate_pem), tls_span(server->key_pem), {NULL, 0}};
    if (authority != NULL) {
        files.authorities = tls_span(authority->certificate_pem);
    }
    enum pd_status status = pd_tls_credentials_make(&files, text, &credentials);
    pd_assert(status == PD_OK);
    return credentials;
}

/* -- A client ---------------------------------------------------------------------------------- */

struct tls_queue {
    uint8_t *bytes;
    size_t at;
    size_t size;
};

struct tls_client {
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
    struct tls_queue in;  /* for it */
    struct tls_queue out; /* of it */
    bool is_open;
};

struct tls_client_config {
    const char *priority;           /* NULL: both versions */
    const struct tls_party *party;  /* NULL: it shows none */
    const char *alpn[TLS_ALPN_MAX]; /* until NULL */
    size_t record_size;             /* it takes; 0: any */
};

static inline void tls_queue_add(struct tls_queue *queue, const void *bytes, size_t size)
{
    pd_assert(size <= TLS_QUEUE_MAX - queue->size);
    memcpy(queue->bytes + queue->size, bytes, size);
    queue->size += size;
}

static inline ssize_t tls_client_pull(gnutls_transport_ptr_t pointer, void *to, size_t size)
{
    struct tls_client *client = pointer;
    struct tls_queue *in = &client->in;
    if (in->at == in->size) {
        gnutls_transport_set_errno(client->session, EAGAIN);
        return -1;
    }
    size = size < in->size - in->at ? size : in->size - in->at;
    memcpy(to, in->bytes + in->at, size);
    in->at += size;
    return (ssize_t)size;
}

static inline int tls_client_wait(gnutls_transport_ptr_t pointer, unsigned ms)
{
    const struct tls_client *client = pointer;
    (void)ms;
    return client->in.at < client->in.size;
}

static inline ssize_t tls_client_push(gnutls_transport_ptr_t pointer, const void *from, size_t size)
{
    struct tls_client *client = pointer;
    tls_queue_add(&client->out, from, size);
    return (ssize_t)size;
}

static inline void tls_client_offer(gnutls_session_t session, const char *const alpn[TLS_ALPN_MAX])
{
    gnutls_datum_t names[TLS_ALPN_MAX];
    unsigned count = 0;
    for (; count < TLS_ALPN_MAX && alpn[count] != NULL; count++) {
        union {
            const char *given;
            unsigned char *wanted;
        } name = {.given = alpn[count]};
        names[count] = (gnutls_datum_t){name.wanted, (unsigned)strlen(alpn[count])};
    }
    if (count > 0) {
        tls_good(gnutls_alpn_set_protocols(session, names, count, 0));
    }
}

/* It believes any server: ours is what is looked at. */
static inline void tls_client_init(struct tls_client *client,
                                   const struct tls_client_config *config)
{
    memset(client, 0, sizeof *client);
    client->in.bytes = malloc(TLS_QUEUE_MAX);
    client->out.bytes = malloc(TLS_QUEUE_MAX);
    pd_assert(client->in.bytes != NULL);
    pd_assert(client->out.bytes != NULL);
    tls_good(gnutls_certificate_allocate_credentials(&client->credentials));
    if (config->party != NULL) {
        /* Whatever the server says it wants. */
        gnutls_certificate_set_flags(client->credentials, GNUTLS_CERTIFICATE_SKIP_KEY_CERT_MATCH);
        tls_good(gnutls_certificate_set_x509_key_mem(client->credentials,
                                                     &config->party->certificate_pem,
                                                     &config->party->key_pem, GNUTLS_X509_FMT_PEM));
    }
    tls_good(gnutls_init(&client->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL |
                                               GNUTLS_FORCE_CLIENT_CERT));
    tls_good(gnutls_priority_set_direct(
        client->session, config->priority == NULL ? "NORMAL" : config->priority, NULL));
    tls_good(gnutls_credentials_set(client->session, GNUTLS_CRD_CERTIFICATE, client->credentials));
    if (config->record_size != 0) {
        tls_good((int)gnutls_record_set_max_recv_size(client->session, config->record_size));
    }
    tls_client_offer(client->session, config->alpn);
    gnutls_transport_set_ptr(client->session, client);
    gnutls_transport_set_pull_function(client->session, tls_client_pull);
    gnutls_transport_set_pull_timeout_function(client->session, tls_client_wait);
    gnutls_transport_set_push_function(client->session, tls_client_push);
}

static inline void tls_client_deinit(struct tls_client *client)
{
    gnutls_deinit(client->session);
    gnutls_certificate_free_credentials(client->credentials);
    free(client->in.bytes);
    free(client->out.bytes);
}

#endif
