#include <stdio.h>
#include <string.h>

#include <gnutls/x509.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "gateway/tls_internal.h"

#define CHAIN_MAX 16u
#define PRIORITY                                                                                   \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-CIPHER-ALL:"      \
    "+AES-128-GCM:+CHACHA20-POLY1305:+AES-256-GCM:%SERVER_PRECEDENCE:%SAFE_RENEGOTIATION"

static gnutls_datum_t datum(struct pd_span span)
{
    /* GnuTLS reads it only. */
    union {
        const uint8_t *given;
        unsigned char *wanted;
    } bytes = {.given = span.bytes};
    return (gnutls_datum_t){bytes.wanted, (unsigned)span.size};
}

static enum pd_status refuse(char *text, const char *what, int error)
{
    (void)snprintf(text, PD_TLS_TEXT_MAX, "%s: %s", what, gnutls_strerror(error));
    return error == GNUTLS_E_MEMORY_ERROR ? PD_ERR_NO_MEMORY : PD_ERR_INVALID;
}

/* GnuTLS looks at that itself, but not for Ed25519's. */
static bool is_pair(gnutls_x509_crt_t certificate, struct pd_span key_pem)
{
    gnutls_x509_privkey_t key = NULL;
    uint8_t ids[2][32];
    size_t size = sizeof ids[0];
    const gnutls_datum_t bytes = datum(key_pem);
    if (gnutls_x509_privkey_init(&key) < 0) {
        return false;
    }
    bool is_read =
        gnutls_x509_privkey_import2(key, &bytes, GNUTLS_X509_FMT_PEM, NULL, 0) == 0 &&
        gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, ids[0], &size) == 0 &&
        gnutls_x509_crt_get_key_id(certificate, GNUTLS_KEYID_USE_SHA256, ids[1], &size) == 0;
    gnutls_x509_privkey_deinit(key);
    return !is_read || memcmp(ids[0], ids[1], sizeof ids[0]) == 0; /* not read: told elsewhere */
}

/* PKCS #8 says so in its first line, older ones in their second. */
static bool has_password(struct pd_span key_pem)
{
    static const char word[] = "ENCRYPTED";
    return key_pem.size > 0 && memmem(key_pem.bytes, key_pem.size, word, sizeof word - 1) != NULL;
}

/* When the first of the chain ends, and whose the key is. Also keeps a chain that cannot be read
 * from gnutls_certificate_set_x509_key_mem2, which has read the key by then and never frees it
 * (3.7.9: 10 KiB); and a file is read again whenever it was changed. */
static enum pd_status read_chain(struct pd_tls_credentials *credentials,
                                 const struct pd_tls_files *files, char *text)
{
    gnutls_x509_crt_t chain[CHAIN_MAX];
    unsigned count = CHAIN_MAX;
    gnutls_datum_t bytes = datum(files->certificate);
    int result = gnutls_x509_crt_list_import(chain, &count, &bytes, GNUTLS_X509_FMT_PEM,
                                             GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
    if (result < 0) {
        return refuse(text, "the certificate file", result);
    }
    bool is_good = is_pair(chain[0], files->key);
    credentials->end_s = UINT64_MAX;
    for (unsigned i = 0; i < count; i++) {
        time_t end = gnutls_x509_crt_get_expiration_time(chain[i]);
        uint64_t end_s = end < 0 ? 0 : (uint64_t)end;
        credentials->end_s = end_s < credentials->end_s ? end_s : credentials->end_s;
        gnutls_x509_crt_deinit(chain[i]);
    }
    if (!is_good) {
        (void)snprintf(text, PD_TLS_TEXT_MAX, "the key is not the certificate's");
        return PD_ERR_INVALID;
    }
    return PD_OK;
}

static enum pd_status fill(struct pd_tls_credentials *credentials, const struct pd_tls_files *files,
                           char *text)
{
    enum pd_status status = read_chain(credentials, files, text);
    if (status != PD_OK) {
        return status;
    }
    if (has_password(files->key)) {
        (void)snprintf(text, PD_TLS_TEXT_MAX,
                       "the key has a password, which nobody can give here. `openssl pkey -in KEY "
                       "-out NEW` writes it without one");
        return PD_ERR_INVALID;
    }
    gnutls_datum_t certificate = datum(files->certificate);
    gnutls_datum_t key = datum(files->key);
    int result = gnutls_certificate_set_x509_key_mem2(credentials->certificates, &certificate, &key,
                                                      GNUTLS_X509_FMT_PEM, NULL, 0);
    if (result < 0) {
        return refuse(text, "the certificate or its key", result);
    }
    if (files->authorities.size > 0) {
        gnutls_datum_t authorities = datum(files->authorities);
        result = gnutls_certificate_set_x509_trust_mem(credentials->certificates, &authorities,
                                                       GNUTLS_X509_FMT_PEM);
        if (result < 0) {
            return refuse(text, "the file of trusted authorities", result);
        }
        if (result == 0) {
            (void)snprintf(text, PD_TLS_TEXT_MAX, "the file of trusted authorities holds none");
            return PD_ERR_INVALID;
        }
        credentials->wants_client = true;
    }
    result = gnutls_priority_init(&credentials->priority, PRIORITY, NULL);
    return result < 0 ? refuse(text, "this GnuTLS", result) : PD_OK;
}

enum pd_status pd_tls_credentials_make(const struct pd_tls_files *files, char text[PD_TLS_TEXT_MAX],
                                       struct pd_tls_credentials **credentials_out)
{
    text[0] = '\0';
    struct pd_tls_credentials *credentials = pd_alloc_zeroed(1, sizeof *credentials);
    if (credentials == NULL ||
        gnutls_certificate_allocate_credentials(&credentials->certificates) < 0) {
        (void)snprintf(text, PD_TLS_TEXT_MAX, "no memory");
        pd_free(credentials);
        return PD_ERR_NO_MEMORY;
    }
    atomic_init(&credentials->holders, 1);
    enum pd_status status = fill(credentials, files, text);
    if (status != PD_OK) {
        pd_tls_credentials_release(credentials);
        return status;
    }
    *credentials_out = credentials;
    return PD_OK;
}

void pd_tls_credentials_hold(struct pd_tls_credentials *credentials)
{
    unsigned before = atomic_fetch_add(&credentials->holders, 1);
    pd_assert(before > 0);
}

void pd_tls_credentials_release(struct pd_tls_credentials *credentials)
{
    if (credentials == NULL || atomic_fetch_sub(&credentials->holders, 1) > 1) {
        return;
    }
    gnutls_certificate_free_credentials(credentials->certificates);
    if (credentials->priority != NULL) {
        gnutls_priority_deinit(credentials->priority);
    }
    pd_free(credentials);
}

uint64_t pd_tls_credentials_end_s(const struct pd_tls_credentials *credentials)
{
    return credentials->end_s;
}
