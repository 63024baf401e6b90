#include "host/certificates.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SERIAL_SIZE 16u
#define VALID_BEFORE_S (24 * 60 * 60) /* for clocks that are behind */
#define VALID_AFTER_S (10LL * 365 * 24 * 60 * 60)
#define SERVER_NAME "ctrl.lunatic.cloud"
#define ROOT_SUBJECT "CN=Root CA,O=Pando"
#define SERVER_SUBJECT "CN=Control CA,O=Pando"

/* Whatever a function here opens; all of it is closed by `close_all`. */
struct work {
    gnutls_x509_privkey_t key;      /* made, or NULL */
    gnutls_x509_crt_t certificate;  /* made, or NULL */
    gnutls_x509_crt_t root;         /* given, or NULL */
    gnutls_x509_privkey_t root_key; /* given, or NULL */
    gnutls_x509_crq_t request;      /* given, or NULL */
    char *why;
};

static void close_all(struct work *work)
{
    if (work->key != NULL) {
        gnutls_x509_privkey_deinit(work->key);
    }
    if (work->certificate != NULL) {
        gnutls_x509_crt_deinit(work->certificate);
    }
    if (work->root != NULL) {
        gnutls_x509_crt_deinit(work->root);
    }
    if (work->root_key != NULL) {
        gnutls_x509_privkey_deinit(work->root_key);
    }
    if (work->request != NULL) {
        gnutls_x509_crq_deinit(work->request);
    }
}

/* What came of a step of the library. */
static enum pd_status judge(struct work *work, int error, enum pd_status otherwise,
                            const char *what)
{
    if (error >= 0) {
        return PD_OK;
    }
    (void)snprintf(work->why, PD_CERTIFICATE_WHY_SIZE, "%s: %s", what, gnutls_strerror(error));
    return error == GNUTLS_E_MEMORY_ERROR ? PD_ERR_NO_MEMORY : otherwise;
}

/* The library only reads it, though the type allows more. */
static gnutls_datum_t datum_of(struct pd_span span)
{
    union {
        const uint8_t *from;
        unsigned char *to;
    } bytes = {.from = span.bytes};
    return (gnutls_datum_t){.data = bytes.to, .size = (unsigned)span.size};
}

/* --- What is given ---------------------------------------------------------------------------- */

/* The authority: a certificate that may sign others, and the key that belongs to it. */
static enum pd_status take_root(struct work *work, struct pd_span root, struct pd_span root_key)
{
    gnutls_datum_t certificate = datum_of(root);
    gnutls_datum_t key = datum_of(root_key);
    int error = gnutls_x509_crt_init(&work->root);
    error = error < 0 ? error : gnutls_x509_privkey_init(&work->root_key);
    enum pd_status status = judge(work, error, PD_ERR_IO, "X.509");
    if (status == PD_OK) {
        error = gnutls_x509_crt_import(work->root, &certificate, GNUTLS_X509_FMT_PEM);
        status = judge(work, error, PD_ERR_INVALID, "the authority's certificate");
    }
    if (status == PD_OK) {
        error = gnutls_x509_privkey_import2(work->root_key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
        status = judge(work, error, PD_ERR_INVALID, "the authority's key");
    }
    if (status != PD_OK) {
        return status;
    }
    if (gnutls_x509_crt_get_ca_status(work->root, NULL) <= 0) {
        (void)snprintf(work->why, PD_CERTIFICATE_WHY_SIZE,
                       "the authority's certificate is none of an authority");
        return PD_ERR_INVALID;
    }
    uint8_t ids[2][64];
    size_t sizes[2] = {sizeof ids[0], sizeof ids[1]};
    error = gnutls_x509_crt_get_key_id(work->root, GNUTLS_KEYID_USE_SHA256, ids[0], &sizes[0]);
    error = error < 0 ? error
                      : gnutls_x509_privkey_get_key_id(work->root_key, GNUTLS_KEYID_USE_SHA256,
                                                       ids[1], &sizes[1]);
    status = judge(work, error, PD_ERR_INVALID, "the authority's key");
    if (status == PD_OK && (sizes[0] != sizes[1] || memcmp(ids[0], ids[1], sizes[0]) != 0)) {
        (void)snprintf(work->why, PD_CERTIFICATE_WHY_SIZE,
                       "the authority's key is not the one of its certificate");
        return PD_ERR_INVALID;
    }
    return status;
}

/* Whoever asks must hold the key that is to be certified. */
static enum pd_status take_request(struct work *work, struct pd_span request)
{
    gnutls_datum_t text = datum_of(request);
    enum pd_status status = judge(work, gnutls_x509_crq_init(&work->request), PD_ERR_IO, "X.509");
    if (status == PD_OK) {
        int error = gnutls_x509_crq_import(work->request, &text, GNUTLS_X509_FMT_PEM);
        error = error < 0 ? error : gnutls_x509_crq_verify(work->request, 0);
        status = judge(work, error, PD_ERR_INVALID, "the request");
    }
    return status;
}

/* --- What is made ----------------------------------------------------------------------------- */

static enum pd_status make_key(struct work *work)
{
    int error = gnutls_x509_privkey_init(&work->key);
    error = error < 0
                ? error
                : gnutls_x509_privkey_generate(work->key, GNUTLS_PK_ECDSA,
                                               GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    return judge(work, error, PD_ERR_IO, "a new key");
}

/* An empty certificate with what all of them have. */
static enum pd_status begin_certificate(struct work *work)
{
    uint8_t serial[SERIAL_SIZE];
    time_t now = time(NULL);
    int error = gnutls_x509_crt_init(&work->certificate);
    error = error < 0 ? error : gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof serial);
    if (error >= 0) {
        serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, and of one length */
        error = gnutls_x509_crt_set_serial(work->certificate, serial, sizeof serial);
    }
    error = error < 0 ? error : gnutls_x509_crt_set_version(work->certificate, 3);
    error = error < 0
                ? error
                : gnutls_x509_crt_set_activation_time(work->certificate, now - VALID_BEFORE_S);
    error = error < 0 ? error
                      : gnutls_x509_crt_set_expiration_time(work->certificate,
                                                            now + (time_t)VALID_AFTER_S);
    return judge(work, error, PD_ERR_IO, "a new certificate");
}

static enum pd_status sign(struct work *work, gnutls_x509_crt_t by, gnutls_x509_privkey_t key)
{
    int error = gnutls_x509_crt_sign2(work->certificate, by, key, GNUTLS_DIG_SHA256, 0);
    return judge(work, error, PD_ERR_INVALID, "signing");
}

static enum pd_status write_certificate(struct work *work, struct pd_pem *certificate_out)
{
    certificate_out->size = sizeof certificate_out->bytes;
    int error = gnutls_x509_crt_export(work->certificate, GNUTLS_X509_FMT_PEM,
                                       certificate_out->bytes, &certificate_out->size);
    return judge(work, error, PD_ERR_INVALID, "the new certificate");
}

static enum pd_status write_key(struct work *work, struct pd_pem *key_out)
{
    key_out->size = sizeof key_out->bytes;
    int error = gnutls_x509_privkey_export_pkcs8(work->key, GNUTLS_X509_FMT_PEM, NULL,
                                                 GNUTLS_PKCS_PLAIN, key_out->bytes, &key_out->size);
    return judge(work, error, PD_ERR_IO, "the new key");
}

static enum pd_status fill_root(struct work *work)
{
    int error = gnutls_x509_crt_set_dn(work->certificate, ROOT_SUBJECT, NULL);
    error = error < 0 ? error : gnutls_x509_crt_set_key(work->certificate, work->key);
    error = error < 0 ? error : gnutls_x509_crt_set_basic_constraints(work->certificate, 1, -1);
    error = error < 0 ? error
                      : gnutls_x509_crt_set_key_usage(work->certificate, GNUTLS_KEY_KEY_CERT_SIGN |
                                                                             GNUTLS_KEY_CRL_SIGN);
    return judge(work, error, PD_ERR_IO, "a new certificate");
}

static enum pd_status fill_server(struct work *work)
{
    int error = gnutls_x509_crt_set_dn(work->certificate, SERVER_SUBJECT, NULL);
    error = error < 0 ? error : gnutls_x509_crt_set_key(work->certificate, work->key);
    error = error < 0 ? error : gnutls_x509_crt_set_basic_constraints(work->certificate, 0, -1);
    error = error < 0
                ? error
                : gnutls_x509_crt_set_subject_alt_name(work->certificate, GNUTLS_SAN_DNSNAME,
                                                       SERVER_NAME, (unsigned)strlen(SERVER_NAME),
                                                       GNUTLS_FSAN_SET);
    return judge(work, error, PD_ERR_IO, "a new certificate");
}

static enum pd_status fill_from_request(struct work *work)
{
    int error = gnutls_x509_crt_set_crq(work->certificate, work->request);
    if (error >= 0) {
        error = gnutls_x509_crt_set_crq_extension_by_oid(work->certificate, work->request,
                                                         GNUTLS_X509EXT_OID_SAN, 0);
        error = error == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE ? 0 : error;
    }
    error = error < 0 ? error : gnutls_x509_crt_set_basic_constraints(work->certificate, 0, -1);
    return judge(work, error, PD_ERR_INVALID, "the request");
}

/* --- The interface ---------------------------------------------------------------------------- */

static enum pd_status make_root(struct pd_pem *certificate_out, struct pd_pem *key_out, char *why)
{
    struct work work = {.why = why};
    enum pd_status status = make_key(&work);
    status = status != PD_OK ? status : begin_certificate(&work);
    status = status != PD_OK ? status : fill_root(&work);
    status = status != PD_OK ? status : sign(&work, work.certificate, work.key);
    status = status != PD_OK ? status : write_certificate(&work, certificate_out);
    status = status != PD_OK ? status : write_key(&work, key_out);
    close_all(&work);
    return status;
}

static enum pd_status make_server(struct pd_span root, struct pd_span root_key,
                                  struct pd_pem *certificate_out, struct pd_pem *key_out, char *why)
{
    struct work work = {.why = why};
    enum pd_status status = take_root(&work, root, root_key);
    status = status != PD_OK ? status : make_key(&work);
    status = status != PD_OK ? status : begin_certificate(&work);
    status = status != PD_OK ? status : fill_server(&work);
    status = status != PD_OK ? status : sign(&work, work.root, work.root_key);
    status = status != PD_OK ? status : write_certificate(&work, certificate_out);
    status = status != PD_OK ? status : write_key(&work, key_out);
    close_all(&work);
    return status;
}

static enum pd_status sign_request(struct pd_span root, struct pd_span root_key,
                                   struct pd_span request, struct pd_pem *certificate_out,
                                   char *why)
{
    struct work work = {.why = why};
    enum pd_status status = take_root(&work, root, root_key);
    status = status != PD_OK ? status : take_request(&work, request);
    status = status != PD_OK ? status : begin_certificate(&work);
    status = status != PD_OK ? status : fill_from_request(&work);
    status = status != PD_OK ? status : sign(&work, work.root, work.root_key);
    status = status != PD_OK ? status : write_certificate(&work, certificate_out);
    close_all(&work);
    return status;
}

const struct pd_certificates *pd_real_certificates(void)
{
    static const struct pd_certificates certificates = {
        .make_root = make_root,
        .make_server = make_server,
        .sign_request = sign_request,
    };
    return &certificates;
}
