/* Sockets for WASI: a listener that the program was told to open, and the connections that it
 * accepts. Both are streams, so reading, writing and polling them is in files.c and
 * files_stream.c. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/files_posix.h"

#define BACKLOG 128
#define HOST_SIZE_MAX 256u

/* Split "HOST:PORT" at its last colon; "[::1]:80" loses its brackets. */
static bool split(const char *text, char host_out[HOST_SIZE_MAX], const char **port_out)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || colon[1] == '\0') {
        return false;
    }
    size_t size = (size_t)(colon - text);
    if (text[0] == '[') {
        if (size < 3 || text[size - 1] != ']') {
            return false;
        }
        text++;
        size -= 2;
    }
    if (size >= HOST_SIZE_MAX) {
        return false;
    }
    memcpy(host_out, text, size);
    host_out[size] = '\0';
    *port_out = colon + 1;
    return true;
}

/* A socket that listens at the address, or -1 with errno. */
static int listen_at(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        int os_errno = errno;
        close(fd);
        errno = os_errno;
        return -1;
    }
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char port[8] = "";
    unsigned number = 0;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0 ||
        getnameinfo((struct sockaddr *)&address, size, NULL, 0, port, sizeof port,
                    NI_NUMERICSERV) != 0 ||
        sscanf(port, "%u", &number) != 1) {
        return 0;
    }
    return (uint16_t)number;
}

enum pd_status pd_files_listen(struct pd_files *files, const char *address,
                               struct pd_file **listener_out, uint16_t *port_out, char *why_out,
                               size_t why_size)
{
    char host[HOST_SIZE_MAX];
    const char *port = NULL;
    if (!split(address, host, &port)) {
        snprintf(why_out, why_size, "HOST:PORT is wanted, such as 127.0.0.1:8080 or [::1]:8080");
        return PD_ERR_INVALID;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *first = NULL;
    int error = getaddrinfo(host, port, &hints, &first);
    if (error != 0) {
        snprintf(why_out, why_size, "there is no such address (%s)", gai_strerror(error));
        return PD_ERR_UNKNOWN;
    }
    bool has_place = pd_files_reserve(files);
    int fd = has_place ? listen_at(first) : -1;
    int os_errno = has_place ? errno : EMFILE;
    freeaddrinfo(first);
    if (fd < 0 && has_place) {
        pd_files_unreserve(files);
    }
    if (fd < 0) {
        snprintf(why_out, why_size, "it cannot be listened at (%s)", strerrordesc_np(os_errno));
        return os_errno == EACCES || os_errno == EPERM ? PD_ERR_DENIED : PD_ERR_IO;
    }
    *port_out = port_of(fd);
    return pd_files_wrap(files, fd, PD_FILE_TYPE_SOCKET_STREAM, listener_out) == PD_FILE_OK
               ? PD_OK
               : PD_ERR_NO_MEMORY;
}

/* Whether the error is that of one connection which is gone already, so that the next may be taken
 * (accept(2): Linux passes on what the network said of it). */
static bool is_of_connection(int os_errno)
{
    return os_errno == EAGAIN || os_errno == EINTR || os_errno == ECONNABORTED ||
           os_errno == EPROTO || os_errno == ENETDOWN || os_errno == EHOSTDOWN ||
           os_errno == EHOSTUNREACH || os_errno == ENETUNREACH || os_errno == ENOPROTOOPT;
}

/* A descriptor of the next one; -1 and *error_out otherwise. */
static int accept_next(int listener_fd, bool is_nonblocking, struct pd_file_cancel *cancel,
                       enum pd_file_error *error_out)
{
    for (;;) {
        *error_out = pd_files_wait(listener_fd, POLLIN, is_nonblocking, cancel);
        if (*error_out != PD_FILE_OK) {
            return -1;
        }
        int fd = accept4(listener_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            return fd;
        }
        if (!is_of_connection(errno)) {
            *error_out = pd_files_error(errno);
            return -1;
        }
    }
}

enum pd_file_error pd_files_accept(struct pd_files *files, struct pd_file *listener,
                                   bool is_nonblocking, struct pd_file_cancel *cancel,
                                   struct pd_file **connection_out)
{
    enum pd_file_error error = PD_FILE_OK;
    if (!pd_files_reserve(files)) {
        return PD_FILE_NFILE;
    }
    int fd = accept_next(pd_posix_file_of(listener)->fd, is_nonblocking, cancel, &error);
    if (fd < 0) {
        pd_files_unreserve(files);
        return error;
    }
    return pd_files_wrap(files, fd, PD_FILE_TYPE_SOCKET_STREAM, connection_out);
}

enum pd_file_error pd_files_shutdown(struct pd_files *files, struct pd_file *connection,
                                     uint32_t sides)
{
    (void)files;
    static const int os_sides[] = {
        [PD_FILE_SHUT_READ] = SHUT_RD,
        [PD_FILE_SHUT_WRITE] = SHUT_WR,
        [PD_FILE_SHUT_READ | PD_FILE_SHUT_WRITE] = SHUT_RDWR,
    };
    return shutdown(pd_posix_file_of(connection)->fd, os_sides[sides]) == 0 ? PD_FILE_OK
                                                                            : pd_files_error(errno);
}
