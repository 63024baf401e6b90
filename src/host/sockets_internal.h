/* sockets_internal - what the sockets' files share. Private to them. */
#ifndef PD_HOST_SOCKETS_INTERNAL_H
#define PD_HOST_SOCKETS_INTERNAL_H

#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "host/sockets.h"

/* A slot; a socket while `descriptor` is one. */
struct pd_socket {
    struct pd_real_sockets *owner;
    pthread_mutex_t lock; /* of all but `owner` and `next_free` */
    struct pd_list waits; /* struct pd_socket_wait */
    int descriptor;       /* -1: free. Changes only where the socket is opened and closed */
    uint32_t generation;  /* counts up at each close */
    bool is_registered;   /* an epoll knows it */
    /* What it may be ready for, and how many events were told: see PD_READINESS_*. Without the
     * lock, but for what events add. */
    atomic_uint_least32_t readiness;
    struct pd_socket_tls *tls; /* the session that it is of, or NULL */
    struct pd_socket *next_free;
    struct pd_socket_account *account; /* the sockets' lock guards it */
};

struct pd_resolver {
    pthread_mutex_t lock;     /* of the next two */
    struct pd_list questions; /* that are not over; first come first */
    uint32_t count;           /* of lookups that are not over */
    struct pd_list running;   /* questions that have begun: the thread's, as is this: */
    bool has_more;            /* questions that have yet to begin */
    int epoll;                /* of their sockets; -1: nothing was ever asked */
    int signal;               /* an eventfd: `questions` changed, or the thread shall end */
    bool has_thread;
    atomic_bool is_stopping;
    pthread_t thread;
    struct pd_name_servers servers;
};

/* Of `readiness`: the low bits are enum pd_socket_events that an attempt may find, set until one
 * has found nothing; an event adds PD_READINESS_EVENT, so that an attempt that began before it
 * clears nothing. PD_READINESS_ODD: the peer has ended, failed, or sends urgent bytes, so a short
 * read does not mean that there is nothing more to find. */
#define PD_READINESS_ODD 4u
#define PD_READINESS_EVENT 8u
#define PD_READINESS_UNKNOWN (PD_SOCKET_READABLE | PD_SOCKET_WRITABLE)

/* What the sockets of one owner come to. */
struct pd_socket_account {
    struct pd_socket_account *next;
    uint64_t owner;
    uint32_t count; /* it is freed at 0 */
};

/* Whom clients trust that name nobody. */
struct pd_system_roots {
    pthread_mutex_t lock;
    struct pd_socket_identity *identity; /* a reference, or NULL: not read yet */
    struct stat stamp;                   /* of the file that it came from */
    uint32_t loads;
};

struct pd_real_sockets {
    struct pd_sockets interface; /* first */
    bool is_inline;
    int epoll;            /* the I/O thread's */
    int signal;           /* an eventfd: the line is not empty, or the I/O thread shall end */
    int polled;           /* the epoll of who polls; -1: nobody does */
    int interruption;     /* an eventfd in it */
    atomic_uint watched;  /* counts up before an epoll gets a socket; read before its events */
    pthread_mutex_t lock; /* of what follows */
    struct pd_socket *slots;
    uint32_t slots_used; /* those ever used come first */
    struct pd_socket *free;
    uint32_t count;
    uint32_t sockets_max;
    struct pd_socket_account *accounts; /* of owners that have some */
    struct pd_list line;                /* sessions that are to be stepped */
    bool is_started;
    bool is_stopped;
    atomic_bool is_ending; /* the I/O thread shall end */
    pthread_t thread;
    struct pd_list lingering; /* the I/O thread's: sessions with last words, first to end first */
    uint32_t lingering_count;
    atomic_uint lingering_max; /* beyond it the first ones are cut short */
    struct pd_resolver resolver;
    struct pd_system_roots roots;
};

union pd_system_address {
    struct sockaddr base;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static inline struct pd_real_sockets *pd_real_sockets_of(struct pd_sockets *sockets)
{
    return (struct pd_real_sockets *)(void *)sockets;
}

socklen_t pd_address_to_system(const struct pd_socket_address *address,
                               union pd_system_address *system_out);
void pd_address_from_system(const union pd_system_address *system,
                            struct pd_socket_address *address_out);

/* A slot for a descriptor of this owner: before there is one, so that nothing is opened or accepted
 * that has no place. EMFILE, ENOMEM. Then it gets its descriptor, or is given back by
 * pd_socket_close. */
int pd_socket_reserve(struct pd_real_sockets *sockets, uint64_t owner,
                      struct pd_socket **socket_out);
void pd_socket_adopt(struct pd_socket *socket, int descriptor);
/* Let a descriptor count as a socket of this owner, before it is opened, until it is closed.
 * EMFILE, ENOMEM. */
int pd_real_sockets_take_descriptor(struct pd_real_sockets *sockets, uint64_t owner);
void pd_real_sockets_give_descriptor(struct pd_real_sockets *sockets, uint64_t owner);

/* socket_calls.c */
extern const struct pd_sockets_ops pd_real_sockets_ops;
void pd_socket_close(struct pd_socket *socket);
int pd_socket_wait(struct pd_socket *socket, struct pd_socket_wait *wait);
void pd_socket_cancel(struct pd_socket *socket, struct pd_socket_wait *wait);

bool pd_socket_may_be_ready(const struct pd_socket *socket, uint32_t events);
void pd_real_sockets_wait(struct pd_sockets *sockets, uint64_t timeout_ns);
void pd_real_sockets_interrupt(struct pd_sockets *sockets);

/* Before an attempt, for pd_socket_is_dry. */
static inline uint32_t pd_socket_readiness(const struct pd_socket *socket)
{
    return atomic_load_explicit(&socket->readiness, memory_order_acquire);
}
/* An attempt that began then has found it not ready for `event`. */
void pd_socket_is_dry(struct pd_socket *socket, uint32_t event, uint32_t then);

/* No epoll knows it any more: a session takes it over. Under the socket's lock. */
void pd_socket_forget(struct pd_socket *socket);

/* Let the I/O thread look at what it has to do. */
void pd_real_sockets_signal(struct pd_real_sockets *sockets);

/* A session's: let the epoll tell the I/O thread one event of these. Under the socket's lock. */
int pd_socket_arm(struct pd_socket *socket, uint32_t events);
/* Wake those that wait for any of these. Under the socket's lock. */
void pd_socket_wake_waits(struct pd_socket *socket, uint32_t events);
/* Wait for events for so long at most (-1: any time), and do what they ask for. The I/O thread's,
 * or whoever's is the only one. How many there were. */
int pd_real_sockets_listen(struct pd_real_sockets *sockets, int timeout_ms);

/* socket_identity.c */
int pd_socket_tls_server_identity(struct pd_span certificate, struct pd_span key,
                                  struct pd_socket_share *share,
                                  struct pd_socket_identity **identity_out);
int pd_socket_tls_client_identity(struct pd_sockets *sockets, const struct pd_span *roots,
                                  size_t root_count, struct pd_socket_share *share,
                                  struct pd_socket_identity **identity_out);
struct pd_socket_identity *pd_socket_tls_identity_share(struct pd_socket_identity *identity);
void pd_socket_tls_identity_release(struct pd_socket_identity *identity);
gnutls_certificate_credentials_t pd_socket_tls_credentials(
    const struct pd_socket_identity *identity);
void pd_socket_tls_roots_deinit(struct pd_system_roots *roots);

/* socket_tls.c */
int pd_socket_tls_open(struct pd_socket *socket, struct pd_socket_identity *identity,
                       const char *host, bool is_address, struct pd_socket_share *share,
                       struct pd_socket_tls **tls_out);
int pd_socket_tls_handshake(struct pd_socket_tls *tls, uint32_t *events_out);
int pd_socket_tls_read(struct pd_socket_tls *tls, uint8_t *to, size_t size, size_t *count_out,
                       uint32_t *events_out);
int pd_socket_tls_write(struct pd_socket_tls *tls, const struct pd_span *parts, size_t part_count,
                        size_t *count_out, uint32_t *events_out);
int pd_socket_tls_flush(struct pd_socket_tls *tls, uint32_t *events_out);
void pd_socket_tls_close(struct pd_socket_tls *tls);
/* What of enum pd_socket_events is there. Under the socket's lock. */
uint32_t pd_socket_tls_events(const struct pd_socket_tls *tls);
/* The I/O thread's. Go on with a session as far as it goes without waiting; is_told: the epoll has
 * told an event. With those in the line. */
void pd_socket_tls_step(struct pd_socket_tls *tls, bool is_told);
void pd_socket_tls_step_line(struct pd_real_sockets *sockets);
/* How long until one has lingered long enough, in ms; -1: none does. End those that have. */
int pd_socket_tls_linger_ms(struct pd_real_sockets *sockets);
void pd_socket_tls_end_lingering(struct pd_real_sockets *sockets, bool is_all);
/* All are closed: let them say their last words, for a moment, and end them. */
void pd_socket_tls_finish(struct pd_real_sockets *sockets);
const char *pd_socket_tls_text(int error);

/* For interfaces that only read what they point to, though their types allow more. */
static inline void *pd_unconst(const uint8_t *bytes)
{
    union {
        const uint8_t *from;
        void *to;
    } pointer = {.from = bytes};
    return pointer.to;
}

/* resolver.c */
void pd_resolver_init(struct pd_resolver *resolver);
void pd_resolver_deinit(struct pd_resolver *resolver); /* joins */
/* Inline: do what waits. True: something happened. */
bool pd_resolver_poll(struct pd_real_sockets *sockets);
/* Inline: the descriptor that says that something waits, -1 while nothing is asked; *timeout_ms
 * (-1: any time) becomes shorter where somebody has to look earlier. */
int pd_resolver_wait(const struct pd_real_sockets *sockets, int *timeout_ms);
int pd_resolver_lookup(struct pd_sockets *sockets, uint64_t owner, const char *name,
                       size_t name_size, void *process, struct pd_lookup **lookup_out);
bool pd_resolver_take(struct pd_lookup *lookup, struct pd_lookup_result *results,
                      uint32_t *count_out, int *error_out);
void pd_resolver_close(struct pd_lookup *lookup);
const char *pd_resolver_text(int error);

#endif
