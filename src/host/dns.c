#include "host/dns.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/host.h"
#include "host/sockets_internal.h"

#define TRIES 2
#define PACKETS_MAX 32u
#define SOCKETS_MAX 128u
#define SERVERS_MAX 8u /* sockets to name servers at once */
#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_US UINT64_C(1000)

struct pd_dns {
    struct pd_dns_config config;
    struct pd_dns_answer *answer;
    ares_channel channel; /* NULL: none was needed */
    uint64_t until_ns;    /* no longer */
    uint64_t deadline_ns; /* until it is to be stepped */
    bool is_over;
    bool has_asked;   /* a name server: what it answers has a TTL */
    int socket_error; /* why there was no socket, if so */
    uint32_t opened;  /* sockets, ever */
    uint32_t reads;   /* of this step */
    uint32_t watched_count;
    ares_socket_t watched[SERVERS_MAX]; /* sockets to name servers */
};

uint64_t pd_dns_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* --- Sockets ---------------------------------------------------------------------------------- */

static ares_socket_t open_socket(int family, int type, int protocol, void *context)
{
    struct pd_dns *dns = context;
    if (dns->opened == SOCKETS_MAX || dns->watched_count == SERVERS_MAX) {
        errno = EAFNOSUPPORT; /* an address that cannot be reached comes last */
        return ARES_SOCKET_BAD;
    }
    int error = dns->config.take_descriptor(dns->config.context);
    int opened = -1;
    if (error == 0) {
        opened = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
        error = opened < 0 ? errno : 0;
        if (opened < 0) {
            dns->config.give_descriptor(dns->config.context);
        }
    }
    dns->opened++;
    if (error != 0) {
        dns->socket_error = error == EAFNOSUPPORT ? dns->socket_error : error;
        errno = error;
    }
    return opened;
}

static int close_socket(ares_socket_t descriptor, void *context)
{
    const struct pd_dns *dns = context;
    int result = close(descriptor); /* and with it its registration */
    dns->config.give_descriptor(dns->config.context);
    return result;
}

static int connect_socket(ares_socket_t descriptor, const struct sockaddr *address,
                          ares_socklen_t size, void *context)
{
    (void)context;
    return connect(descriptor, address, size);
}

static ares_ssize_t receive(ares_socket_t descriptor, void *to, size_t size, int flags,
                            struct sockaddr *from, ares_socklen_t *from_size, void *context)
{
    struct pd_dns *dns = context;
    if (dns->reads == PACKETS_MAX) {
        errno = EAGAIN; /* the rest is told again */
        return -1;
    }
    dns->reads++;
    return recvfrom(descriptor, to, size, flags, from, from_size);
}

static ares_ssize_t send_parts(ares_socket_t descriptor, const struct iovec *parts, int count,
                               void *context)
{
    (void)context;
    union {
        const struct iovec *from;
        struct iovec *to;
    } unconst = {.from = parts};
    const struct msghdr message = {.msg_iov = unconst.to, .msg_iovlen = (size_t)count};
    ares_ssize_t sent = sendmsg(descriptor, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == ECONNREFUSED) {
        /* A datagram before this one was refused. This one will be too: then the refusal is found
         * by who waits for both, and not by this one alone. */
        sent = sendmsg(descriptor, &message, MSG_NOSIGNAL);
    }
    return sent;
}

static const struct ares_socket_functions socket_functions = {
    .asocket = open_socket,
    .aclose = close_socket,
    .aconnect = connect_socket,
    .arecvfrom = receive,
    .asendv = send_parts,
};

/* Where it is among those to name servers; their count: nowhere. */
static uint32_t place_of(const struct pd_dns *dns, ares_socket_t descriptor)
{
    uint32_t at = 0;
    while (at < dns->watched_count && dns->watched[at] != descriptor) {
        at++;
    }
    return at;
}

/* A socket to a name server is there, wants other events, or, with none, will be closed. */
static void watch(void *context, ares_socket_t descriptor, int is_readable, int is_writable)
{
    struct pd_dns *dns = context;
    struct epoll_event event = {
        .events = (is_readable != 0 ? EPOLLIN : 0u) | (is_writable != 0 ? EPOLLOUT : 0u),
        .data.ptr = dns->config.mark,
    };
    uint32_t at = place_of(dns, descriptor);
    bool is_new = at == dns->watched_count;
    dns->has_asked = true;
    if (event.events == 0) {
        pd_assert(!is_new);
        dns->watched[at] = dns->watched[--dns->watched_count];
        return;
    }
    if (is_new) {
        pd_assert(dns->watched_count < SERVERS_MAX);
        dns->watched[dns->watched_count++] = descriptor;
    }
    /* What an epoll cannot take on is not told: then this try is in vain, and times out. */
    (void)epoll_ctl(dns->config.epoll, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &event);
}

/* --- Answers ---------------------------------------------------------------------------------- */

/* RFC 2181, 8: what is no 31 bits counts as 0. */
static uint32_t ttl_of(int ttl)
{
    return ttl < 0 ? 0 : (uint32_t)ttl;
}

static void add(struct pd_dns_answer *answer, const struct sockaddr *address, size_t size,
                uint32_t ttl_s)
{
    union pd_system_address system;
    if ((address->sa_family != AF_INET && address->sa_family != AF_INET6) ||
        answer->count == PD_LOOKUP_ADDRESSES_MAX) {
        return;
    }
    memset(&system, 0, sizeof system);
    memcpy(&system, address, size < sizeof system ? size : sizeof system);
    struct pd_lookup_result *result = &answer->results[answer->count++];
    *result = (struct pd_lookup_result){.ttl_s = ttl_s};
    pd_address_from_system(&system, &result->address);
}

/* What getaddrinfo would have said. */
static int error_of(const struct pd_dns *dns, int status)
{
    switch (status) {
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
    case ARES_EBADSTR:
        return EAI_NONAME;
    case ARES_ENOMEM:
        return EAI_MEMORY;
    case ARES_EBADRESP:
    case ARES_EFORMERR:
        return EAI_FAIL;
    default:
        return dns->socket_error != 0 ? dns->socket_error : EAI_AGAIN;
    }
}

/* An address lasts no longer than the aliases that led to it. */
static void take_answer(void *context, int status, int timeouts, struct ares_addrinfo *info)
{
    struct pd_dns *dns = context;
    (void)timeouts;
    dns->is_over = true;
    if (status != ARES_SUCCESS) {
        dns->answer->error = error_of(dns, status);
        return; /* then there is no info */
    }
    uint32_t ttl_max_s = PD_LOOKUP_TTL_NONE;
    for (const struct ares_addrinfo_cname *at = info->cnames; at != NULL; at = at->next) {
        ttl_max_s = ttl_of(at->ttl) < ttl_max_s ? ttl_of(at->ttl) : ttl_max_s;
    }
    for (const struct ares_addrinfo_node *at = info->nodes; at != NULL; at = at->ai_next) {
        uint32_t ttl_s = ttl_of(at->ai_ttl) < ttl_max_s ? ttl_of(at->ai_ttl) : ttl_max_s;
        add(dns->answer, at->ai_addr, at->ai_addrlen, dns->has_asked ? ttl_s : PD_LOOKUP_TTL_NONE);
    }
    dns->answer->error = dns->answer->count > 0 ? 0 : EAI_NONAME;
    ares_freeaddrinfo(info);
}

/* An address in numbers, in any form that the system knows: 127.1, fe80::1%eth0. */
static bool is_number(const char *name, struct pd_dns_answer *answer)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *first = NULL;
    if (getaddrinfo(name, NULL, &hints, &first) != 0) {
        return false;
    }
    for (const struct addrinfo *at = first; at != NULL; at = at->ai_next) {
        add(answer, at->ai_addr, at->ai_addrlen, PD_LOOKUP_TTL_NONE);
    }
    freeaddrinfo(first);
    return true;
}

/* --- The question ----------------------------------------------------------------------------- */

static void init_library(void)
{
    int result = ares_library_init(ARES_LIB_INIT_ALL);
    pd_assert(result == ARES_SUCCESS); /* on Linux it only counts */
}

/* When it has waited long enough for what it has sent. */
static void schedule(struct pd_dns *dns)
{
    struct timeval left;
    dns->deadline_ns = dns->until_ns;
    if (!dns->is_over && ares_timeout(dns->channel, NULL, &left) != NULL) {
        /* In whole milliseconds, cut off. */
        uint64_t then_ns = pd_dns_now_ns() + (uint64_t)left.tv_sec * NS_PER_S +
                           (uint64_t)left.tv_usec * NS_PER_US + NS_PER_MS;
        dns->deadline_ns = then_ns < dns->until_ns ? then_ns : dns->until_ns;
    }
}

static int open_channel(struct pd_dns *dns)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct ares_options options = {
        .timeout = (int)dns->config.timeout_ms,
        .tries = TRIES,
        .udp_port = dns->config.port,
        .tcp_port = dns->config.port,
        .sock_state_cb = watch,
        .sock_state_cb_data = dns,
    };
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_UDP_PORT | ARES_OPT_TCP_PORT |
               ARES_OPT_SOCK_STATE_CB;
    union {
        const char *from;
        char *to;
    } unconst = {.from = dns->config.resolv_conf};
    if (unconst.from != NULL) {
        options.resolvconf_path = unconst.to; /* which copies it */
        mask |= ARES_OPT_RESOLVCONF;
    }
    (void)pthread_once(&once, init_library);
    int status = ares_init_options(&dns->channel, &options, mask);
    if (status == ARES_SUCCESS) {
        ares_set_socket_functions(dns->channel, &socket_functions, dns);
    }
    return status;
}

int pd_dns_open(const struct pd_dns_config *config, const char *name, struct pd_dns_answer *answer,
                struct pd_dns **dns_out)
{
    static const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC,
                                                     .ai_socktype = SOCK_STREAM};
    struct pd_dns *dns = pd_alloc_zeroed(1, sizeof *dns);
    if (dns == NULL) {
        return ENOMEM;
    }
    dns->config = *config;
    dns->answer = answer;
    dns->until_ns = pd_dns_now_ns() + PD_DNS_WHOLE_NS;
    *answer = (struct pd_dns_answer){.error = 0};
    *dns_out = dns;
    if (is_number(name, answer)) {
        dns->is_over = true;
        return 0;
    }
    int status = open_channel(dns);
    if (status == ARES_SUCCESS) {
        ares_getaddrinfo(dns->channel, name, NULL, &hints, take_answer, dns);
    } else {
        answer->error = error_of(dns, status);
        dns->is_over = true;
    }
    schedule(dns);
    return 0;
}

bool pd_dns_is_over(const struct pd_dns *dns)
{
    return dns->is_over;
}

void pd_dns_step(struct pd_dns *dns)
{
    ares_socket_t sockets[SERVERS_MAX];
    uint32_t count = dns->watched_count;
    memcpy(sockets, dns->watched, sizeof sockets);
    dns->reads = 0;
    /* One that is not ready costs an attempt; one that was closed meanwhile is not looked at. */
    for (uint32_t i = 0; i < count && !dns->is_over; i++) {
        ares_process_fd(dns->channel, sockets[i], sockets[i]);
    }
    if (!dns->is_over) {
        ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* what has timed out */
    }
    if (!dns->is_over && pd_dns_now_ns() >= dns->until_ns) {
        dns->answer->error = EAI_AGAIN;
        dns->is_over = true;
    }
    schedule(dns);
}

uint64_t pd_dns_deadline_ns(const struct pd_dns *dns)
{
    return dns->is_over ? 0 : dns->deadline_ns;
}

void pd_dns_close(struct pd_dns *dns)
{
    struct pd_dns_answer unwanted = {.error = 0}; /* of one that is called off */
    dns->answer = &unwanted;
    if (dns->channel != NULL) {
        ares_destroy(dns->channel);
    }
    pd_free(dns);
}
