/* TLS for guests' streams, by GnuTLS, over the same nonblocking sockets. */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "host/sockets_internal.h"

#define RECORD_MAX 16384u

struct pd_socket_identity {
    atomic_uint_least32_t references;
    gnutls_certificate_credentials_t credentials;
};

/* Clones of a stream may be used by several actors at once, so `lock` guards all of it. */
struct pd_socket_tls {
    pthread_mutex_t lock;
    gnutls_session_t session;
    struct pd_socket_identity *identity; /* a reference */
    struct pd_socket *socket;
    struct pd_socket_tls *next; /* of those that are to be closed; the sockets' */
    int descriptor;
    bool is_ready;     /* the handshake is over */
    int failure;       /* of which it never recovers, or 0 */
    uint64_t accepted; /* writes that GnuTLS has taken and not sent whole yet count here first */
    uint64_t flushed;
};

/* --- Identities ------------------------------------------------------------------------------- */

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

static struct pd_socket_identity *identity_share(struct pd_socket_identity *identity)
{
    atomic_fetch_add_explicit(&identity->references, 1, memory_order_relaxed);
    return identity;
}

void pd_socket_tls_identity_release(struct pd_socket_identity *identity)
{
    if (atomic_fetch_sub_explicit(&identity->references, 1, memory_order_acq_rel) == 1) {
        gnutls_certificate_free_credentials(identity->credentials);
        pd_free(identity);
    }
}

static gnutls_datum_t datum_of(struct pd_span span)
{
    return (gnutls_datum_t){.data = pd_unconst(span.bytes), .size = (unsigned)span.size};
}

int pd_socket_tls_server_identity(struct pd_span certificate, struct pd_span key,
                                  struct pd_socket_identity **identity_out)
{
    struct pd_socket_identity *identity = identity_create();
    if (identity == NULL) {
        return ENOMEM;
    }
    gnutls_datum_t certificate_datum = datum_of(certificate);
    gnutls_datum_t key_datum = datum_of(key);
    int error = gnutls_certificate_set_x509_key_mem(identity->credentials, &certificate_datum,
                                                    &key_datum, GNUTLS_X509_FMT_PEM);
    if (error < 0) {
        pd_socket_tls_identity_release(identity);
        return error;
    }
    *identity_out = identity;
    return 0;
}

/* None given: those of the system. */
int pd_socket_tls_client_identity(const struct pd_span *roots, size_t root_count,
                                  struct pd_socket_identity **identity_out)
{
    struct pd_socket_identity *identity = identity_create();
    if (identity == NULL) {
        return ENOMEM;
    }
    int error =
        root_count == 0 ? gnutls_certificate_set_x509_system_trust(identity->credentials) : 0;
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
    *identity_out = identity;
    return 0;
}

/* --- Sessions --------------------------------------------------------------------------------- */

static ssize_t push(gnutls_transport_ptr_t pointer, const void *bytes, size_t size)
{
    const struct pd_socket_tls *tls = pointer;
    ssize_t sent = send(tls->descriptor, bytes, size, MSG_NOSIGNAL);
    if (sent < 0) {
        gnutls_transport_set_errno(tls->session, errno);
    }
    return sent;
}

static ssize_t pull(gnutls_transport_ptr_t pointer, void *to, size_t size)
{
    const struct pd_socket_tls *tls = pointer;
    ssize_t got = recv(tls->descriptor, to, size, 0);
    if (got < 0) {
        gnutls_transport_set_errno(tls->session, errno);
    }
    return got;
}

/* Names and verification of who is connected to; `host` is a name or an address as text. */
static int set_client(struct pd_socket_tls *tls, const char *host, bool is_address)
{
    int error = 0;
    if (!is_address) {
        error = gnutls_server_name_set(tls->session, GNUTLS_NAME_DNS, host, strlen(host));
    }
    gnutls_session_set_verify_cert(tls->session, host, 0);
    return error;
}

static void tls_end(struct pd_socket_tls *tls)
{
    if (tls->is_ready && tls->failure == 0) {
        (void)gnutls_bye(tls->session, GNUTLS_SHUT_WR); /* as far as it goes without waiting */
    }
    gnutls_deinit(tls->session);
    pd_socket_tls_identity_release(tls->identity);
    (void)pthread_mutex_destroy(&tls->lock);
    pd_free(tls);
}

int pd_socket_tls_open(struct pd_socket *socket, struct pd_socket_identity *identity,
                       const char *host, bool is_address, struct pd_socket_tls **tls_out)
{
    struct pd_socket_tls *tls = pd_alloc_zeroed(1, sizeof *tls);
    if (tls == NULL) {
        return ENOMEM;
    }
    unsigned role = host == NULL ? GNUTLS_SERVER : GNUTLS_CLIENT;
    int error = gnutls_init(&tls->session, role | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
    if (error != GNUTLS_E_SUCCESS) {
        pd_free(tls);
        return error;
    }
    tls->socket = socket;
    tls->descriptor = socket->descriptor;
    tls->identity = identity_share(identity);
    (void)pthread_mutex_init(&tls->lock, NULL);
    gnutls_transport_set_ptr(tls->session, tls);
    gnutls_transport_set_push_function(tls->session, push);
    gnutls_transport_set_pull_function(tls->session, pull);
    error = gnutls_set_default_priority(tls->session);
    if (error == GNUTLS_E_SUCCESS) {
        error = gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, identity->credentials);
    }
    if (error == GNUTLS_E_SUCCESS && host != NULL) {
        error = set_client(tls, host, is_address);
    }
    if (error != GNUTLS_E_SUCCESS) {
        tls_end(tls);
        return error;
    }
    *tls_out = tls;
    return 0;
}

void pd_socket_tls_close(struct pd_socket_tls *tls)
{
    struct pd_real_sockets *sockets = tls->socket->owner;
    (void)pthread_mutex_lock(&sockets->lock);
    tls->next = sockets->graves;
    sockets->graves = tls;
    (void)pthread_mutex_unlock(&sockets->lock);
    pd_real_sockets_signal(sockets);
}

void pd_socket_tls_close_graves(struct pd_real_sockets *sockets)
{
    (void)pthread_mutex_lock(&sockets->lock);
    struct pd_socket_tls *tls = sockets->graves;
    sockets->graves = NULL;
    (void)pthread_mutex_unlock(&sockets->lock);
    while (tls != NULL) {
        struct pd_socket_tls *next = tls->next;
        struct pd_socket *socket = tls->socket;
        tls_end(tls);
        pd_socket_close(socket);
        tls = next;
    }
}

/* What an answer of GnuTLS means here; under the lock. */
static int outcome(struct pd_socket_tls *tls, int answer, uint32_t *events_out)
{
    if (answer >= 0) {
        return 0;
    }
    if (answer == GNUTLS_E_AGAIN || answer == GNUTLS_E_INTERRUPTED) {
        *events_out = gnutls_record_get_direction(tls->session) == 0 ? PD_SOCKET_READABLE
                                                                     : PD_SOCKET_WRITABLE;
        return PD_SOCKET_AGAIN;
    }
    if (gnutls_error_is_fatal(answer) == 0) { /* a warning, a wish to renegotiate: read on */
        *events_out = PD_SOCKET_READABLE;
        return PD_SOCKET_AGAIN;
    }
    tls->failure = answer;
    return answer;
}

static int get_ready(struct pd_socket_tls *tls, uint32_t *events_out)
{
    if (tls->failure != 0 || tls->is_ready) {
        return tls->failure;
    }
    int error = outcome(tls, gnutls_handshake(tls->session), events_out);
    tls->is_ready = error == 0;
    return error;
}

int pd_socket_tls_handshake(struct pd_socket_tls *tls, uint32_t *events_out)
{
    (void)pthread_mutex_lock(&tls->lock);
    int error = get_ready(tls, events_out);
    (void)pthread_mutex_unlock(&tls->lock);
    return error;
}

int pd_socket_tls_read(struct pd_socket_tls *tls, uint8_t *to, size_t size, size_t *count_out,
                       uint32_t *events_out)
{
    (void)pthread_mutex_lock(&tls->lock);
    int error = get_ready(tls, events_out);
    if (error == 0) {
        ssize_t got = gnutls_record_recv(tls->session, to, size);
        error = outcome(tls, got < 0 ? (int)got : 0, events_out);
        *count_out = got > 0 ? (size_t)got : 0;
    }
    (void)pthread_mutex_unlock(&tls->lock);
    return error;
}

/* Send what GnuTLS holds of former writes; under the lock. */
static int flush(struct pd_socket_tls *tls, uint32_t *events_out)
{
    int error = get_ready(tls, events_out);
    if (error == 0 && tls->flushed != tls->accepted) {
        ssize_t sent = gnutls_record_send(tls->session, NULL, 0);
        error = outcome(tls, sent < 0 ? (int)sent : 0, events_out);
        tls->flushed = error == 0 ? tls->accepted : tls->flushed;
    }
    return error;
}

int pd_socket_tls_flush(struct pd_socket_tls *tls, uint32_t *events_out)
{
    (void)pthread_mutex_lock(&tls->lock);
    int error = flush(tls, events_out);
    (void)pthread_mutex_unlock(&tls->lock);
    return error;
}

int pd_socket_tls_write(struct pd_socket_tls *tls, const struct pd_span *parts, size_t part_count,
                        uint64_t *ticket, size_t *count_out, uint32_t *events_out)
{
    uint8_t record[RECORD_MAX];
    size_t size = 0;
    for (size_t i = 0; i < part_count && size < sizeof record; i++) {
        size_t room = sizeof record - size;
        size_t part = parts[i].size < room ? parts[i].size : room;
        memcpy(record + size, parts[i].bytes, part);
        size += part;
    }
    (void)pthread_mutex_lock(&tls->lock);
    size_t size_max = gnutls_record_get_max_size(tls->session); /* the peer may want less */
    size = size < size_max ? size : size_max;
    int error = *ticket != 0 && tls->flushed >= *ticket ? tls->failure : flush(tls, events_out);
    if (error == 0 && *ticket == 0 && size > 0) {
        ssize_t sent = gnutls_record_send(tls->session, record, size);
        error = outcome(tls, sent < 0 ? (int)sent : 0, events_out);
        size = sent > 0 ? (size_t)sent : size;
        if (error == PD_SOCKET_AGAIN) {
            *ticket = ++tls->accepted;
        }
    }
    (void)pthread_mutex_unlock(&tls->lock);
    *count_out = size;
    return error;
}

const char *pd_socket_tls_text(int error)
{
    return error < 0 ? gnutls_strerror(error) : strerrordesc_np(error);
}
