/* TLS for guests' streams, by GnuTLS. The I/O thread alone touches a session: it shakes hands,
 * encrypts and decrypts. What guests read and write passes through two buffers, and a call never
 * does more than copy.
 *
 *              guest ──write──► out ──take──► sending ──records──► socket
 *              guest ◄──read─── in  ◄──────────────────records──── socket
 *
 * The socket's lock guards the buffers and flags between them; it is never held while there is
 * cryptography to do. Who waits stands in the socket's list and is woken by the state of the
 * session, not by that of the descriptor: a reader and a writer never take each other's wake. */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "host/sockets_internal.h"

#define RECORD_MAX 16384u
#define OUT_MAX RECORD_MAX   /* not taken by the I/O thread yet; as much again is being sent */
#define IN_ENOUGH RECORD_MAX /* of what nobody has read; one record more may be added to less */
#define RECORDS_OF_STEP 4    /* then others have their turn */
#define OUTS_OF_STEP 4
/* How long the last words of a stream that its guest has dropped may take. */
#define LINGER_NS (UINT64_C(60) * 1000 * 1000 * 1000)
#define LINGER_AT_END_NS (UINT64_C(2) * 1000 * 1000 * 1000)

struct pd_socket_tls {
    gnutls_session_t session;            /* the I/O thread's, once it is in the line */
    struct pd_socket_identity *identity; /* a reference */
    struct pd_socket *socket;
    int descriptor;
    struct pd_socket_share share; /* given back when it is gone */

    /* Under the sockets' lock. */
    struct pd_list line; /* of those to be stepped */
    bool is_closing;     /* the guest is gone; it is in the line from that moment on */

    /* Under the socket's lock. */
    bool is_ready;  /* the handshake is over */
    bool has_ended; /* the peer says no more */
    int failure;    /* of which it never recovers, or 0 */
    uint8_t *in;    /* or NULL: none */
    size_t in_at;
    size_t in_size;
    uint8_t *out; /* OUT_MAX, or NULL: none */
    size_t out_size;
    uint8_t *sending; /* a former `out`, or NULL; the bytes are the I/O thread's */

    /* The I/O thread's own. */
    size_t sending_at;
    size_t sending_size;
    uint32_t armed;         /* what the epoll will tell */
    struct pd_list lingers; /* among the sockets' `lingering` */
    uint64_t linger_until_ns;
};

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

static void tls_free(struct pd_socket_tls *tls)
{
    struct pd_socket_share share = tls->share;
    gnutls_deinit(tls->session);
    pd_socket_tls_identity_release(tls->identity);
    pd_free(tls->in);
    pd_free(tls->out);
    pd_free(tls->sending);
    pd_free(tls);
    pd_socket_share_give(&share);
}

/* The I/O thread shall look after it soon, for the last time when it is closing: whoever says so
 * never touches it again. */
static void call_step(struct pd_socket_tls *tls, bool is_closing)
{
    struct pd_real_sockets *sockets = tls->socket->owner;
    bool must_signal = false;
    (void)pthread_mutex_lock(&sockets->lock);
    tls->is_closing = tls->is_closing || is_closing;
    if (!pd_list_is_linked(&tls->line)) {
        must_signal = pd_list_is_empty(&sockets->line);
        pd_list_append(&sockets->line, &tls->line);
    }
    (void)pthread_mutex_unlock(&sockets->lock);
    if (must_signal) {
        pd_real_sockets_signal(sockets);
    }
}

static int session_open(struct pd_socket_tls *tls, const char *host, bool is_address)
{
    gnutls_transport_set_ptr(tls->session, tls);
    gnutls_transport_set_push_function(tls->session, push);
    gnutls_transport_set_pull_function(tls->session, pull);
    int error = gnutls_set_default_priority(tls->session);
    if (error == GNUTLS_E_SUCCESS) {
        error = gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE,
                                       pd_socket_tls_credentials(tls->identity));
    }
    return error == GNUTLS_E_SUCCESS && host != NULL ? set_client(tls, host, is_address) : error;
}

int pd_socket_tls_open(struct pd_socket *socket, struct pd_socket_identity *identity,
                       const char *host, bool is_address, struct pd_socket_share *share,
                       struct pd_socket_tls **tls_out)
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
    tls->identity = pd_socket_tls_identity_share(identity);
    pd_list_init(&tls->line);
    pd_list_init(&tls->lingers);
    error = session_open(tls, host, is_address);
    if (error != GNUTLS_E_SUCCESS) {
        tls_free(tls);
        return error;
    }
    tls->share = pd_socket_share_take(share);
    (void)pthread_mutex_lock(&socket->lock);
    socket->tls = tls;
    pd_socket_forget(socket);
    (void)pthread_mutex_unlock(&socket->lock);
    call_step(tls, false); /* the handshake begins */
    *tls_out = tls;
    return 0;
}

void pd_socket_tls_close(struct pd_socket_tls *tls)
{
    call_step(tls, true);
}

/* --- For guests ------------------------------------------------------------------------------- */

static bool has_room(const struct pd_socket_tls *tls)
{
    return tls->is_ready && tls->out_size < OUT_MAX;
}

static bool is_drained(const struct pd_socket_tls *tls)
{
    return tls->is_ready && tls->out == NULL && tls->sending == NULL;
}

uint32_t pd_socket_tls_events(const struct pd_socket_tls *tls)
{
    if (tls->failure != 0) {
        return PD_SOCKET_READABLE | PD_SOCKET_WRITABLE | PD_SOCKET_DRAINED;
    }
    return (tls->in != NULL || tls->has_ended ? PD_SOCKET_READABLE : 0u) |
           (has_room(tls) ? PD_SOCKET_WRITABLE : 0u) | (is_drained(tls) ? PD_SOCKET_DRAINED : 0u);
}

/* Nothing is held back by it, or it has failed: 0 or its failure, else AGAIN; under the lock. */
static int readiness(const struct pd_socket_tls *tls, bool is_so, uint32_t event,
                     uint32_t *events_out)
{
    if (tls->failure != 0 || is_so) {
        return tls->failure;
    }
    *events_out = event;
    return PD_SOCKET_AGAIN;
}

int pd_socket_tls_handshake(struct pd_socket_tls *tls, uint32_t *events_out)
{
    (void)pthread_mutex_lock(&tls->socket->lock);
    int error = readiness(tls, tls->is_ready, PD_SOCKET_WRITABLE, events_out);
    (void)pthread_mutex_unlock(&tls->socket->lock);
    return error;
}

int pd_socket_tls_read(struct pd_socket_tls *tls, uint8_t *to, size_t size, size_t *count_out,
                       uint32_t *events_out)
{
    bool has_made_room = false;
    int error = 0;
    *count_out = 0;
    (void)pthread_mutex_lock(&tls->socket->lock);
    if (tls->in != NULL) { /* what came before a failure is still the guest's */
        size_t left = tls->in_size - tls->in_at;
        size_t count = left < size ? left : size;
        memcpy(to, tls->in + tls->in_at, count);
        tls->in_at += count;
        has_made_room = left >= IN_ENOUGH && left - count < IN_ENOUGH;
        if (count == left) {
            pd_free(tls->in);
            tls->in = NULL;
        }
        *count_out = count;
    } else {
        error = readiness(tls, tls->has_ended, PD_SOCKET_READABLE, events_out);
    }
    (void)pthread_mutex_unlock(&tls->socket->lock);
    if (has_made_room) {
        call_step(tls, false);
    }
    return error;
}

/* As many of the bytes as there is room for; under the lock. */
static size_t put_out(struct pd_socket_tls *tls, const struct pd_span *parts, size_t part_count)
{
    size_t before = tls->out_size;
    for (size_t i = 0; i < part_count && tls->out_size < OUT_MAX; i++) {
        size_t room = OUT_MAX - tls->out_size;
        size_t count = parts[i].size < room ? parts[i].size : room;
        memcpy(tls->out + tls->out_size, parts[i].bytes, count);
        tls->out_size += count;
    }
    return tls->out_size - before;
}

int pd_socket_tls_write(struct pd_socket_tls *tls, const struct pd_span *parts, size_t part_count,
                        size_t *count_out, uint32_t *events_out)
{
    *count_out = 0;
    (void)pthread_mutex_lock(&tls->socket->lock);
    int error = readiness(tls, has_room(tls), PD_SOCKET_WRITABLE, events_out);
    if (error == 0 && part_count > 0 && tls->out == NULL) {
        tls->out = pd_alloc(OUT_MAX);
        error = tls->out == NULL ? ENOMEM : 0;
    }
    if (error == 0 && part_count > 0) {
        *count_out = put_out(tls, parts, part_count);
    }
    (void)pthread_mutex_unlock(&tls->socket->lock);
    if (*count_out > 0) {
        call_step(tls, false);
    }
    return error;
}

int pd_socket_tls_flush(struct pd_socket_tls *tls, uint32_t *events_out)
{
    (void)pthread_mutex_lock(&tls->socket->lock);
    int error = readiness(tls, is_drained(tls), PD_SOCKET_DRAINED, events_out);
    (void)pthread_mutex_unlock(&tls->socket->lock);
    return error;
}

const char *pd_socket_tls_text(int error)
{
    return error < 0 ? gnutls_strerror(error) : strerrordesc_np(error);
}

/* --- The I/O thread --------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* What an answer of GnuTLS means: 0, its failure, or AGAIN; then *wants gets what for. */
static int outcome(struct pd_socket_tls *tls, ssize_t answer, uint32_t *wants)
{
    if (answer >= 0) {
        return 0;
    }
    if (answer == GNUTLS_E_AGAIN || answer == GNUTLS_E_INTERRUPTED) {
        *wants |= gnutls_record_get_direction(tls->session) == 0 ? PD_SOCKET_READABLE
                                                                 : PD_SOCKET_WRITABLE;
        return PD_SOCKET_AGAIN;
    }
    if (gnutls_error_is_fatal((int)answer) == 0) { /* a warning, a wish to renegotiate: read on */
        *wants |= PD_SOCKET_READABLE;
        return PD_SOCKET_AGAIN;
    }
    return (int)answer;
}

static int shake_hands(struct pd_socket_tls *tls, uint32_t *wants)
{
    if (tls->is_ready) {
        return 0;
    }
    int error = outcome(tls, gnutls_handshake(tls->session), wants);
    (void)pthread_mutex_lock(&tls->socket->lock);
    tls->is_ready = error == 0;
    (void)pthread_mutex_unlock(&tls->socket->lock);
    return error;
}

/* What guests wrote, in one piece; they may write as much again meanwhile. */
static bool take_out(struct pd_socket_tls *tls)
{
    (void)pthread_mutex_lock(&tls->socket->lock);
    if (tls->sending == NULL && tls->out != NULL) {
        tls->sending = tls->out;
        tls->sending_size = tls->out_size;
        tls->sending_at = 0;
        tls->out = NULL;
        tls->out_size = 0;
    }
    (void)pthread_mutex_unlock(&tls->socket->lock);
    return tls->sending != NULL;
}

/* All of what was taken. */
static int send_taken(struct pd_socket_tls *tls, uint32_t *wants)
{
    while (tls->sending_at < tls->sending_size) {
        /* A record takes as much as the peer wants in one. After AGAIN the same bytes come again,
         * and count then. */
        ssize_t sent = gnutls_record_send(tls->session, tls->sending + tls->sending_at,
                                          tls->sending_size - tls->sending_at);
        int error = outcome(tls, sent, wants);
        if (error != 0) {
            return error;
        }
        tls->sending_at += (size_t)sent;
    }
    uint8_t *sent = tls->sending;
    (void)pthread_mutex_lock(&tls->socket->lock);
    tls->sending = NULL;
    (void)pthread_mutex_unlock(&tls->socket->lock);
    pd_free(sent);
    return 0;
}

static int send_records(struct pd_socket_tls *tls, uint32_t *wants)
{
    /* What was written while the last of it was on its way, too: nobody else asks for it. */
    for (int i = 0; take_out(tls); i++) {
        if (i == OUTS_OF_STEP) {
            *wants |= PD_SOCKET_WRITABLE;
            return 0;
        }
        int error = send_taken(tls, wants);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

/* Add what came to what nobody has read yet. */
static int put_in(struct pd_socket_tls *tls, const uint8_t *bytes, size_t size)
{
    int error = 0;
    (void)pthread_mutex_lock(&tls->socket->lock);
    size_t left = tls->in == NULL ? 0 : tls->in_size - tls->in_at;
    uint8_t *in = pd_alloc(left + size);
    if (in == NULL) {
        error = ENOMEM;
    } else {
        if (left > 0) {
            memcpy(in, tls->in + tls->in_at, left);
        }
        memcpy(in + left, bytes, size);
        pd_free(tls->in);
        tls->in = in;
        tls->in_at = 0;
        tls->in_size = left + size;
    }
    (void)pthread_mutex_unlock(&tls->socket->lock);
    return error;
}

/* Nobody wants more for now. */
static bool has_enough(struct pd_socket_tls *tls)
{
    (void)pthread_mutex_lock(&tls->socket->lock);
    bool has = tls->has_ended || (tls->in != NULL && tls->in_size - tls->in_at >= IN_ENOUGH);
    (void)pthread_mutex_unlock(&tls->socket->lock);
    return has;
}

static int receive_records(struct pd_socket_tls *tls, uint32_t *wants)
{
    uint8_t record[RECORD_MAX];
    for (int i = 0; i < RECORDS_OF_STEP; i++) {
        if (has_enough(tls)) {
            return 0;
        }
        ssize_t got = gnutls_record_recv(tls->session, record, sizeof record);
        int error = outcome(tls, got, wants);
        if (error == 0 && got > 0) {
            error = put_in(tls, record, (size_t)got);
        }
        if (error != 0) {
            return error;
        }
        if (got == 0) {
            (void)pthread_mutex_lock(&tls->socket->lock);
            tls->has_ended = true;
            (void)pthread_mutex_unlock(&tls->socket->lock);
        }
    }
    *wants |= PD_SOCKET_READABLE;
    return 0;
}

/* As far as it goes without waiting. Its failure, or 0. */
static int make_progress(struct pd_socket_tls *tls, uint32_t *wants)
{
    int error = shake_hands(tls, wants);
    if (error == 0) {
        error = send_records(tls, wants);
        int reading = error == 0 || error == PD_SOCKET_AGAIN ? receive_records(tls, wants) : 0;
        error = reading != 0 && reading != PD_SOCKET_AGAIN ? reading : error;
    }
    return error == PD_SOCKET_AGAIN ? 0 : error;
}

static void tls_end(struct pd_socket_tls *tls)
{
    struct pd_socket *socket = tls->socket;
    (void)pthread_mutex_lock(&socket->owner->lock);
    pd_list_remove(&tls->line);
    (void)pthread_mutex_unlock(&socket->owner->lock);
    socket->owner->lingering_count -= pd_list_is_linked(&tls->lingers) ? 1 : 0;
    pd_list_remove(&tls->lingers);
    tls_free(tls);
    pd_socket_close(socket);
}

/* The guest is gone. True: there is nothing more to be said, or nobody who listens. */
static bool is_over(struct pd_socket_tls *tls, uint32_t *wants)
{
    if (tls->failure != 0 || !tls->is_ready) {
        return true;
    }
    return tls->sending == NULL && tls->out == NULL &&
           outcome(tls, gnutls_bye(tls->session, GNUTLS_SHUT_WR), wants) != PD_SOCKET_AGAIN;
}

static void linger(struct pd_socket_tls *tls)
{
    if (!pd_list_is_linked(&tls->lingers)) {
        tls->linger_until_ns = now_ns() + LINGER_NS;
        pd_list_append(&tls->socket->owner->lingering, &tls->lingers);
        tls->socket->owner->lingering_count++;
    }
}

void pd_socket_tls_step(struct pd_socket_tls *tls, bool is_told)
{
    struct pd_socket *socket = tls->socket;
    uint32_t wants = 0;
    (void)pthread_mutex_lock(&socket->owner->lock);
    bool is_closing = tls->is_closing;
    (void)pthread_mutex_unlock(&socket->owner->lock);
    tls->armed = is_told ? 0 : tls->armed; /* the epoll tells once */
    int failure = tls->failure != 0 ? 0 : make_progress(tls, &wants);
    (void)pthread_mutex_lock(&socket->lock);
    tls->failure = tls->failure != 0 ? tls->failure : failure;
    (void)pthread_mutex_unlock(&socket->lock);
    if (is_closing) {
        if (is_over(tls, &wants)) {
            tls_end(tls);
            return;
        }
        linger(tls);
    }
    (void)pthread_mutex_lock(&socket->lock);
    if (tls->failure == 0 && wants != 0 && wants != tls->armed) {
        tls->failure = pd_socket_arm(socket, wants);
        tls->armed = wants;
    }
    pd_socket_wake_waits(socket, pd_socket_tls_events(tls));
    (void)pthread_mutex_unlock(&socket->lock);
}

void pd_socket_tls_step_line(struct pd_real_sockets *sockets)
{
    struct pd_list line;
    pd_list_init(&line);
    (void)pthread_mutex_lock(&sockets->lock);
    pd_list_move_all(&line, &sockets->line);
    while (!pd_list_is_empty(&line)) {
        struct pd_socket_tls *tls =
            pd_container_of(pd_list_first(&line), struct pd_socket_tls, line);
        pd_list_remove(&tls->line); /* what comes from now on is seen in a step of its own */
        (void)pthread_mutex_unlock(&sockets->lock);
        pd_socket_tls_step(tls, false);
        (void)pthread_mutex_lock(&sockets->lock);
    }
    (void)pthread_mutex_unlock(&sockets->lock);
}

/* --- The last words --------------------------------------------------------------------------- */

int pd_socket_tls_linger_ms(struct pd_real_sockets *sockets)
{
    if (pd_list_is_empty(&sockets->lingering)) {
        return -1;
    }
    const struct pd_socket_tls *first =
        pd_container_of(pd_list_first(&sockets->lingering), struct pd_socket_tls, lingers);
    uint64_t now = now_ns();
    uint64_t left_ns = first->linger_until_ns > now ? first->linger_until_ns - now : 0;
    return (int)(left_ns / 1000000u) + 1;
}

void pd_socket_tls_end_lingering(struct pd_real_sockets *sockets, bool is_all)
{
    uint64_t now = now_ns();
    while (!pd_list_is_empty(&sockets->lingering)) {
        struct pd_socket_tls *first =
            pd_container_of(pd_list_first(&sockets->lingering), struct pd_socket_tls, lingers);
        if (!is_all && first->linger_until_ns > now &&
            sockets->lingering_count <= atomic_load(&sockets->lingering_max)) {
            return;
        }
        tls_end(first);
    }
}

void pd_socket_tls_finish(struct pd_real_sockets *sockets)
{
    uint64_t until_ns = now_ns() + LINGER_AT_END_NS;
    pd_socket_tls_step_line(sockets); /* all of them are closing */
    for (uint64_t now = now_ns(); !pd_list_is_empty(&sockets->lingering) && now < until_ns;
         now = now_ns()) {
        (void)pd_real_sockets_listen(sockets, (int)((until_ns - now) / 1000000u) + 1);
    }
    pd_socket_tls_end_lingering(sockets, true);
}
