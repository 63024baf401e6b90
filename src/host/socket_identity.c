/* Who a TLS listener is and whom a TLS client trusts: certificates, shared by sessions. */
#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "host/sockets_internal.h"

struct pd_socket_identity {
    atomic_uint_least32_t references;
    gnutls_certificate_credentials_t credentials;
    struct pd_socket_share share; /* given back when it is gone */
};

static struct pd_socket_identity *identity_create(void)
{
    struct pd_socket_identity *identity = pd_alloc_zeroed(1, sizeof *identity);
    if (identity == NULL) {
        return NULL;
    }
    atomic_init(&identity->references, 1);
    if (gnutls_certificate_allocate_credentials(&identity->credentials) != GNUTLS_E_SUCCESS) {
        pd_free(identity);
        return NULL;
    }
    return identity;
}

struct pd_socket_identity *pd_socket_tls_identity_share(struct pd_socket_identity *identity)
{
    atomic_fetch_add_explicit(&identity->references, 1, memory_order_relaxed);
    return identity;
}

void pd_socket_tls_identity_release(struct pd_socket_identity *identity)
{
    if (atomic_fetch_sub_explicit(&identity->references, 1, memory_order_acq_rel) == 1) {
        struct pd_socket_share share = identity->share;
        gnutls_certificate_free_credentials(identity->credentials);
        pd_free(identity);
        pd_socket_share_give(&share);
    }
}

static gnutls_datum_t datum_of(struct pd_span span)
{
    return (gnutls_datum_t){.data = pd_unconst(span.bytes), .size = (unsigned)span.size};
}

/* Give the credentials a chain and its key. They own both on success, and nothing else. */
static int set_chain(gnutls_certificate_credentials_t credentials, gnutls_x509_crt_t *certificates,
                     unsigned count, gnutls_datum_t key_datum)
{
    gnutls_privkey_t key = NULL;
    unsigned made = 0;
    int error = GNUTLS_E_SUCCESS;
    gnutls_pcert_st *chain = pd_alloc_zeroed(count, sizeof *chain);
    if (chain == NULL) {
        return ENOMEM;
    }
    while (error >= 0 && made < count) {
        error = gnutls_pcert_import_x509(&chain[made], certificates[made], 0);
        made += error >= 0 ? 1 : 0;
    }
    if (error >= 0) {
        error = gnutls_privkey_init(&key);
    }
    if (error >= 0) {
        error = gnutls_privkey_import_x509_raw(key, &key_datum, GNUTLS_X509_FMT_PEM, NULL, 0);
    }
    if (error >= 0) {
        error = gnutls_certificate_set_key(credentials, NULL, 0, chain, (int)count, key);
    }
    for (unsigned i = 0; error < 0 && i < made; i++) {
        gnutls_pcert_deinit(&chain[i]);
    }
    if (error < 0 && key != NULL) {
        gnutls_privkey_deinit(key);
    }
    pd_free(chain); /* the list is copied, what it holds is not */
    return error;
}

/* Not by gnutls_certificate_set_x509_key_mem, nor gnutls_certificate_set_x509_key: what they make
 * of a certificate that is cut short, or has a name that is none, they never free (3.7.9), and
 * guests choose it. */
static int read_chain(gnutls_certificate_credentials_t credentials, gnutls_datum_t certificate,
                      gnutls_datum_t key)
{
    gnutls_x509_crt_t *certificates = NULL;
    unsigned count = 0;
    int error = gnutls_x509_crt_list_import2(&certificates, &count, &certificate,
                                             GNUTLS_X509_FMT_PEM, GNUTLS_X509_CRT_LIST_SORT);
    if (error < 0) {
        return error;
    }
    error = count == 0 ? GNUTLS_E_NO_CERTIFICATE_FOUND
                       : set_chain(credentials, certificates, count, key);
    for (unsigned i = 0; i < count; i++) {
        gnutls_x509_crt_deinit(certificates[i]);
    }
    gnutls_free(certificates);
    return error;
}

int pd_socket_tls_server_identity(struct pd_span certificate, struct pd_span key,
                                  struct pd_socket_share *share,
                                  struct pd_socket_identity **identity_out)
{
    struct pd_socket_identity *identity = identity_create();
    if (identity == NULL) {
        return ENOMEM;
    }
    int error = read_chain(identity->credentials, datum_of(certificate), datum_of(key));
    if (error != 0) {
        pd_socket_tls_identity_release(identity);
        return error;
    }
    identity->share = pd_socket_share_take(share);
    *identity_out = identity;
    return 0;
}

gnutls_certificate_credentials_t pd_socket_tls_credentials(
    const struct pd_socket_identity *identity)
{
    return identity->credentials;
}

/* --- The roots of the system ------------------------------------------------------------------ */

/* Where systems keep them. SSL_CERT_FILE goes first, as for other programs. */
static const char *find_roots(struct stat *stat_out)
{
    static const char *const places[] = {
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/cert.pem",
    };
    const char *wanted = getenv("SSL_CERT_FILE");
    if (wanted != NULL) {
        return stat(wanted, stat_out) == 0 ? wanted : NULL;
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (stat(places[i], stat_out) == 0) {
            return places[i];
        }
    }
    return NULL;
}

static bool is_same_file(const struct stat *left, const struct stat *right)
{
    return left->st_dev == right->st_dev && left->st_ino == right->st_ino &&
           left->st_size == right->st_size && left->st_mtim.tv_sec == right->st_mtim.tv_sec &&
           left->st_mtim.tv_nsec == right->st_mtim.tv_nsec &&
           left->st_ctim.tv_sec == right->st_ctim.tv_sec &&
           left->st_ctim.tv_nsec == right->st_ctim.tv_nsec;
}

/* Read them anew; 0, or why not, and then the former ones are gone. Under the lock of the roots. */
static int load_roots(struct pd_system_roots *roots, const char *path, const struct stat *stamp)
{
    pd_socket_tls_roots_deinit(roots);
    struct pd_socket_identity *identity = identity_create();
    if (identity == NULL) {
        return ENOMEM;
    }
    int error = path != NULL ? gnutls_certificate_set_x509_trust_file(identity->credentials, path,
                                                                      GNUTLS_X509_FMT_PEM)
                             : gnutls_certificate_set_x509_system_trust(identity->credentials);
    roots->loads++;
    if (error < 0) {
        pd_socket_tls_identity_release(identity);
        return error;
    }
    roots->identity = identity;
    roots->stamp = *stamp;
    return 0;
}

/* Reading them takes as long as hundreds of handshakes' other work, so they are kept until the file
 * is another one. */
static int share_roots(struct pd_real_sockets *sockets, struct pd_socket_identity **identity_out)
{
    struct pd_system_roots *roots = &sockets->roots;
    struct stat stamp = {.st_size = 0};
    int error = 0;
    (void)pthread_mutex_lock(&roots->lock);
    const char *path = find_roots(&stamp);
    if (path == NULL || roots->identity == NULL || !is_same_file(&stamp, &roots->stamp)) {
        error = load_roots(roots, path, &stamp);
    }
    if (error == 0) {
        *identity_out = pd_socket_tls_identity_share(roots->identity);
    }
    (void)pthread_mutex_unlock(&roots->lock);
    return error;
}

uint32_t pd_real_sockets_root_loads(struct pd_real_sockets *sockets)
{
    (void)pthread_mutex_lock(&sockets->roots.lock);
    uint32_t loads = sockets->roots.loads;
    (void)pthread_mutex_unlock(&sockets->roots.lock);
    return loads;
}

void pd_socket_tls_roots_deinit(struct pd_system_roots *roots)
{
    if (roots->identity != NULL) {
        pd_socket_tls_identity_release(roots->identity);
        roots->identity = NULL;
    }
}

int pd_socket_tls_client_identity(struct pd_sockets *sockets, const struct pd_span *roots,
                                  size_t root_count, struct pd_socket_share *share,
                                  struct pd_socket_identity **identity_out)
{
    if (root_count == 0) {
        return share_roots(pd_real_sockets_of(sockets), identity_out);
    }
    struct pd_socket_identity *identity = identity_create();
    if (identity == NULL) {
        return ENOMEM;
    }
    int error = 0;
    for (size_t i = 0; i < root_count && error >= 0; i++) {
        gnutls_datum_t datum = datum_of(roots[i]);
        error = gnutls_certificate_set_x509_trust_mem(identity->credentials, &datum,
                                                      GNUTLS_X509_FMT_PEM);
        error = error == 0 ? GNUTLS_E_NO_CERTIFICATE_FOUND : error;
    }
    if (error < 0) {
        pd_socket_tls_identity_release(identity);
        return error;
    }
    identity->share = pd_socket_share_take(share);
    *identity_out = identity;
    return 0;
}
