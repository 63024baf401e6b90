/* sockets_internal - what the sockets' files share. Private to them. */
#ifndef PD_HOST_SOCKETS_INTERNAL_H
#define PD_HOST_SOCKETS_INTERNAL_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include "host/sockets.h"

#define PD_LOOKUP_THREADS_MAX 4u

/* A slot; a socket while `descriptor` is one. */
struct pd_socket {
    struct pd_real_sockets *owner;
    pthread_mutex_t lock; /* of all but `owner` and `next_free` */
    struct pd_list waits; /* struct pd_socket_wait */
    int descriptor;       /* -1: free. Changes only where the socket is opened and closed */
    uint32_t generation;  /* counts up at each close */
    bool is_registered;   /* the epoll knows it */
    struct pd_socket *next_free;
};

struct pd_resolver {
    pthread_mutex_t lock;
    pthread_cond_t has_work;
    struct pd_lookup *first; /* not begun */
    struct pd_lookup **end;
    uint32_t count; /* begun or not, not over */
    uint32_t idle_count;
    uint32_t thread_count;
    bool is_stopping;
    pthread_t threads[PD_LOOKUP_THREADS_MAX];
};

struct pd_real_sockets {
    struct pd_sockets interface; /* first */
    bool is_inline;
    int epoll;
    int signal;           /* an eventfd: there are graves, or the I/O thread shall end */
    pthread_mutex_t lock; /* of what follows */
    struct pd_socket *slots;
    uint32_t slots_used; /* those ever used come first */
    struct pd_socket *free;
    uint32_t count;
    uint32_t sockets_max;
    struct pd_socket_tls *graves; /* sessions that are to be closed */
    bool is_started;
    bool is_stopped;
    atomic_bool is_ending; /* the I/O thread shall end */
    pthread_t thread;
    struct pd_resolver resolver;
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

/* Take a slot for a descriptor, which belongs to it on 0; else it is closed. */
int pd_socket_adopt(struct pd_real_sockets *sockets, int descriptor, struct pd_socket **socket_out);

/* socket_calls.c */
extern const struct pd_sockets_ops pd_real_sockets_ops;
void pd_socket_close(struct pd_socket *socket);
int pd_socket_wait(struct pd_socket *socket, struct pd_socket_wait *wait);
void pd_socket_cancel(struct pd_socket *socket, struct pd_socket_wait *wait);

/* Let the I/O thread look at what it has to do. */
void pd_real_sockets_signal(struct pd_real_sockets *sockets);

/* tls.c */
int pd_socket_tls_server_identity(struct pd_span certificate, struct pd_span key,
                                  struct pd_socket_identity **identity_out);
int pd_socket_tls_client_identity(const struct pd_span *roots, size_t root_count,
                                  struct pd_socket_identity **identity_out);
void pd_socket_tls_identity_release(struct pd_socket_identity *identity);
int pd_socket_tls_open(struct pd_socket *socket, struct pd_socket_identity *identity,
                       const char *host, bool is_address, struct pd_socket_tls **tls_out);
int pd_socket_tls_handshake(struct pd_socket_tls *tls, uint32_t *events_out);
int pd_socket_tls_read(struct pd_socket_tls *tls, uint8_t *to, size_t size, size_t *count_out,
                       uint32_t *events_out);
int pd_socket_tls_write(struct pd_socket_tls *tls, const struct pd_span *parts, size_t part_count,
                        uint64_t *ticket, size_t *count_out, uint32_t *events_out);
int pd_socket_tls_flush(struct pd_socket_tls *tls, uint32_t *events_out);
void pd_socket_tls_close(struct pd_socket_tls *tls);
void pd_socket_tls_close_graves(
    struct pd_real_sockets *sockets); /* those whose close was asked for */
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
void pd_resolver_deinit(struct pd_resolver *resolver);  /* joins */
bool pd_resolver_poll(struct pd_real_sockets *sockets); /* inline: do what waits */
int pd_resolver_lookup(struct pd_sockets *sockets, const char *name, size_t name_size,
                       void *process, struct pd_lookup **lookup_out);
bool pd_resolver_take(struct pd_lookup *lookup, struct pd_lookup_result *results,
                      uint32_t *count_out, int *error_out);
void pd_resolver_close(struct pd_lookup *lookup);
const char *pd_resolver_text(int error);

#endif
