#include "client/link.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "client/link_names.h"
#include "client/link_tls.h"

uint64_t pd_link_now_ms(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

enum pd_status pd_link_fail(struct pd_link *link, enum pd_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(link->text, sizeof link->text, format, arguments);
    va_end(arguments);
    return status;
}

/* -- Endpoints --------------------------------------------------------------------------------- */

static bool parse_host(const char *text, struct pd_link_endpoint *endpoint)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL) {
        return false;
    }
    size_t size = (size_t)(colon - text);
    size_t digits = strlen(colon + 1);
    if (size > 2 && text[0] == '[' && text[size - 1] == ']') {
        text++;
        size -= 2;
    } else if (memchr(text, ':', size) != NULL) {
        return false; /* which colon is before the port would be a guess */
    }
    if (size == 0 || size >= sizeof endpoint->host || digits == 0 ||
        digits >= sizeof endpoint->port || strspn(colon + 1, "0123456789") != digits) {
        return false;
    }
    memcpy(endpoint->host, text, size);
    endpoint->host[size] = '\0';
    memcpy(endpoint->port, colon + 1, digits + 1);
    unsigned port = 0;
    for (size_t i = 0; i < digits; i++) {
        port = port * 10 + (unsigned)(endpoint->port[i] - '0');
    }
    return port > 0 && port <= 65535;
}

bool pd_link_endpoint_parse(const char *text, struct pd_link_endpoint *endpoint_out)
{
    *endpoint_out = (struct pd_link_endpoint){.kind = PD_LINK_UNIX};
    if (strncmp(text, "unix:", 5) == 0) {
        endpoint_out->path = text + 5;
        return text[5] != '\0';
    }
    endpoint_out->kind = strncmp(text, "tls:", 4) == 0 ? PD_LINK_TLS : PD_LINK_TCP;
    return (strncmp(text, "tls:", 4) == 0 || strncmp(text, "tcp:", 4) == 0) &&
           parse_host(text + 4, endpoint_out);
}

/* -- Connecting -------------------------------------------------------------------------------- */

void pd_link_init(struct pd_link *link)
{
    *link = (struct pd_link){.descriptor = -1};
}

void pd_link_close(struct pd_link *link)
{
    pd_link_tls_close(link);
    if (link->descriptor >= 0) {
        (void)close(link->descriptor);
        link->descriptor = -1;
    }
}

enum pd_status pd_link_wait(struct pd_link *link, short events, uint64_t deadline_ms)
{
    bool is_polled = false;
    for (;;) {
        uint64_t now = pd_link_now_ms();
        if (now >= deadline_ms && is_polled) {
            return pd_link_fail(link, PD_ERR_TIMEOUT, "the node did not answer in time");
        }
        uint64_t left = now >= deadline_ms ? 0 : deadline_ms - now;
        struct pollfd polled = {.fd = link->descriptor, .events = events};
        int result = poll(&polled, 1, left > 60000 ? 60000 : (int)left);
        is_polled = true; /* once at least: what is there is taken, whatever the time */
        if (result > 0) {
            return PD_OK;
        }
        if (result < 0 && errno != EINTR) {
            return pd_link_fail(link, PD_ERR_IO, "cannot wait for the node: %s", strerror(errno));
        }
    }
}

static enum pd_status fail_connect(struct pd_link *link, int error, const char *where)
{
    pd_link_close(link);
    if (error == ENOENT || error == ECONNREFUSED) {
        return pd_link_fail(link, PD_ERR_CLOSED,
                            "no node listens on '%s'. Start one with 'pando start', or name "
                            "another place",
                            where);
    }
    if (error == EACCES || error == EPERM) {
        return pd_link_fail(link, PD_ERR_IO,
                            "cannot connect to '%s': %s. A node's socket is its user's alone; "
                            "others may have its client port",
                            where, strerror(error));
    }
    bool is_away = error == EHOSTUNREACH || error == ENETUNREACH || error == ETIMEDOUT ||
                   error == ECONNRESET || error == EAGAIN;
    return pd_link_fail(link, is_away ? PD_ERR_CLOSED : PD_ERR_IO, "cannot connect to '%s': %s",
                        where, strerror(error));
}

/* To the address, as far as until the deadline. */
static enum pd_status connect_to(struct pd_link *link, const struct sockaddr *address,
                                 socklen_t size, const char *where, uint64_t deadline_ms)
{
    int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    link->descriptor = socket(address->sa_family, type, 0);
    if (link->descriptor < 0) {
        return pd_link_fail(link, PD_ERR_IO, "cannot make a socket: %s", strerror(errno));
    }
    if (connect(link->descriptor, address, size) == 0) {
        return PD_OK;
    }
    if (errno != EINPROGRESS) {
        return fail_connect(link, errno, where);
    }
    enum pd_status status = pd_link_wait(link, POLLOUT, deadline_ms);
    int error = 0;
    socklen_t error_size = sizeof error;
    if (status == PD_OK) {
        (void)getsockopt(link->descriptor, SOL_SOCKET, SO_ERROR, &error, &error_size);
    }
    if (status == PD_ERR_TIMEOUT) {
        (void)pd_link_fail(link, status, "cannot connect to '%s' in time", where);
    }
    if (status != PD_OK) {
        pd_link_close(link);
        return status;
    }
    return error == 0 ? PD_OK : fail_connect(link, error, where);
}

static enum pd_status open_unix(struct pd_link *link, const char *path, uint64_t deadline_ms)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(path);
    if (size >= sizeof address.sun_path) {
        return pd_link_fail(link, PD_ERR_INVALID, "the path of the socket '%s' is too long", path);
    }
    memcpy(address.sun_path, path, size + 1);
    union {
        const struct sockaddr_un *unix_address;
        const struct sockaddr *address;
    } any = {.unix_address = &address};
    return connect_to(link, any.address, sizeof address, path, deadline_ms);
}

/* Every address of the name, one after the other. */
static enum pd_status open_host(struct pd_link *link, const struct pd_link_endpoint *endpoint,
                                const char *where, uint64_t deadline_ms)
{
    struct addrinfo *found = NULL;
    enum pd_status status = pd_link_find(link, endpoint, deadline_ms, &found);
    if (status != PD_OK) {
        return status;
    }
    status = PD_ERR_CLOSED;
    for (const struct addrinfo *at = found; at != NULL && status != PD_OK; at = at->ai_next) {
        status = connect_to(link, at->ai_addr, at->ai_addrlen, where, deadline_ms);
    }
    freeaddrinfo(found);
    if (status == PD_OK) {
        const int yes = 1;
        (void)setsockopt(link->descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        /* A peer that is gone without a word is noticed within half a minute. */
        const int idle_s = 10;
        const int between_s = 5;
        const int count = 4;
        const int unread_ms = 30000;
        (void)setsockopt(link->descriptor, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
        (void)setsockopt(link->descriptor, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
        (void)setsockopt(link->descriptor, IPPROTO_TCP, TCP_KEEPINTVL, &between_s,
                         sizeof between_s);
        (void)setsockopt(link->descriptor, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
        (void)setsockopt(link->descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &unread_ms,
                         sizeof unread_ms);
    }
    return status;
}

enum pd_status pd_link_connect(struct pd_link *link, const char *endpoint,
                               const struct pd_link_config *config, uint64_t deadline_ms)
{
    struct pd_link_endpoint parsed;
    pd_link_close(link);
    if (!pd_link_endpoint_parse(endpoint, &parsed)) {
        return pd_link_fail(link, PD_ERR_INVALID,
                            "'%s' is no endpoint: unix:PATH, tcp:HOST:PORT or tls:HOST:PORT",
                            endpoint);
    }
    if (parsed.kind == PD_LINK_UNIX) {
        return open_unix(link, parsed.path, deadline_ms);
    }
    enum pd_status status = parsed.kind == PD_LINK_TLS ? pd_link_tls_look(link, config) : PD_OK;
    if (status == PD_OK) {
        status = open_host(link, &parsed, endpoint, deadline_ms);
    }
    if (status == PD_OK && parsed.kind == PD_LINK_TLS) {
        const char *name = config->server_name != NULL ? config->server_name : parsed.host;
        status = pd_link_tls_open(link, config, name, deadline_ms);
    }
    if (status != PD_OK) {
        pd_link_close(link);
    }
    return status;
}

enum pd_status pd_link_open(struct pd_link *link, const char *endpoint,
                            const struct pd_link_config *config, uint64_t deadline_ms)
{
    enum pd_status status = pd_link_connect(link, endpoint, config, deadline_ms);
    if (status == PD_OK && strncmp(endpoint, "unix:", 5) != 0) {
        status = pd_link_send(link, (const uint8_t *)PD_LINK_PREFACE, sizeof PD_LINK_PREFACE - 1,
                              deadline_ms);
    }
    if (status != PD_OK) {
        pd_link_close(link);
    }
    return status;
}

/* -- Bytes ------------------------------------------------------------------------------------- */

static enum pd_status lost(struct pd_link *link)
{
    return pd_link_fail(link, PD_ERR_CLOSED,
                        "the node closed the connection: it may or may not have done what was "
                        "asked");
}

enum pd_status pd_link_send(struct pd_link *link, const uint8_t *bytes, size_t size,
                            uint64_t deadline_ms)
{
    enum pd_status status = PD_OK;
    while (size > 0 && status == PD_OK) {
        size_t sent = 0;
        if (link->tls != NULL) {
            status = pd_link_tls_send(link, bytes, size, deadline_ms, &sent);
        } else {
            ssize_t result = send(link->descriptor, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
            sent = result > 0 ? (size_t)result : 0;
            if (result < 0 && errno == EAGAIN) {
                status = pd_link_wait(link, POLLOUT, deadline_ms);
            } else if (result < 0 && errno != EINTR) {
                status = lost(link);
            }
        }
        bytes += sent;
        size -= sent;
    }
    return status;
}

enum pd_status pd_link_receive(struct pd_link *link, uint8_t *bytes, size_t size,
                               uint64_t deadline_ms, size_t *got_out)
{
    pd_assert(size > 0);
    *got_out = 0;
    if (link->tls != NULL) {
        enum pd_status status = pd_link_tls_receive(link, bytes, size, deadline_ms, got_out);
        return status == PD_ERR_CLOSED ? lost(link) : status;
    }
    for (;;) {
        ssize_t got = recv(link->descriptor, bytes, size, MSG_DONTWAIT);
        if (got > 0) {
            *got_out = (size_t)got;
            return PD_OK;
        }
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            return lost(link);
        }
        enum pd_status status = pd_link_wait(link, POLLIN, deadline_ms);
        if (status != PD_OK) {
            return status;
        }
    }
}
