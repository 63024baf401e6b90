#include "store-load/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/frame.h"

static void grow(uint8_t **bytes, size_t *capacity, size_t wanted)
{
    if (wanted > *capacity) {
        size_t more = *capacity < 65536 ? 65536 : *capacity;
        while (more < wanted) {
            more *= 2;
        }
        uint8_t *grown = realloc(*bytes, more);
        if (grown == NULL) {
            (void)fprintf(stderr, "store-load: no memory for %zu bytes\n", more);
            exit(2);
        }
        *bytes = grown;
        *capacity = more;
    }
}

void wire_init(struct wire *wire)
{
    *wire = (struct wire){.descriptor = -1, .pending = -1};
}

static enum wire_progress connect_socket(struct wire *wire, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        return WIRE_FAILED;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor >= 0 && connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0) {
        wire->descriptor = descriptor;
        return WIRE_CONNECTED;
    }
    if (descriptor >= 0) {
        (void)close(descriptor);
    }
    return WIRE_FAILED;
}

static bool parse_place(const char *place, struct sockaddr_in *address_out)
{
    char host[INET_ADDRSTRLEN];
    unsigned port = 0;
    char end = '\0';
    *address_out = (struct sockaddr_in){.sin_family = AF_INET};
    if (sscanf(place, "%15[0-9.]:%5u%c", host, &port, &end) != 2 || port > UINT16_MAX) {
        return false;
    }
    address_out->sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, host, &address_out->sin_addr) == 1;
}

static enum wire_progress begin_tcp(struct wire *wire, const char *place)
{
    struct sockaddr_in address;
    if (!parse_place(place, &address)) {
        return WIRE_FAILED;
    }
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) {
        return WIRE_FAILED;
    }
    int one = 1;
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0 &&
        errno != EINPROGRESS) {
        (void)close(descriptor);
        return WIRE_FAILED;
    }
    wire->pending = descriptor;
    return WIRE_CONNECTING;
}

/* What is said first on a port that speaks other protocols too. */
static void send_preface(struct wire *wire)
{
    static const char preface[] = "PANDO/1\n";
    grow(&wire->out, &wire->out_capacity, sizeof preface);
    memcpy(wire->out, preface, sizeof preface - 1);
    wire->out_size = sizeof preface - 1;
}

static enum wire_progress go_on(struct wire *wire)
{
    struct pollfd ready = {.fd = wire->pending, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof error;
    if (poll(&ready, 1, 0) <= 0) {
        return WIRE_CONNECTING;
    }
    if (getsockopt(wire->pending, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
        wire_close(wire);
        return WIRE_FAILED;
    }
    wire->descriptor = wire->pending;
    wire->pending = -1;
    send_preface(wire);
    return WIRE_CONNECTED;
}

enum wire_progress wire_connect(struct wire *wire, const char *place)
{
    if (wire->pending >= 0) {
        return go_on(wire);
    }
    wire->is_tcp = strncmp(place, "tcp:", 4) == 0;
    return wire->is_tcp ? begin_tcp(wire, place + 4) : connect_socket(wire, place);
}

void wire_close(struct wire *wire)
{
    if (wire->descriptor >= 0) {
        (void)close(wire->descriptor);
    }
    if (wire->pending >= 0) {
        (void)close(wire->pending);
    }
    wire->descriptor = -1;
    wire->pending = -1;
    wire->out_size = 0;
    wire->out_at = 0;
    wire->in_size = 0;
    wire->in_at = 0;
}

void wire_free(struct wire *wire)
{
    wire_close(wire);
    free(wire->out);
    free(wire->in);
}

void wire_send(struct wire *wire, uint64_t correlation, const struct pd_replica_request_head *head)
{
    size_t size = PD_REPLICA_REQUEST_HEAD_SIZE + head->body.size;
    grow(&wire->out, &wire->out_capacity, wire->out_size + PD_FRAME_HEAD_SIZE + size);
    uint8_t *to = wire->out + wire->out_size;
    pd_frame_put_head(to, (uint32_t)size, correlation);
    pd_replica_request_put_head(to + PD_FRAME_HEAD_SIZE, head);
    if (head->body.size > 0) {
        memcpy(to + PD_FRAME_HEAD_SIZE + PD_REPLICA_REQUEST_HEAD_SIZE, head->body.bytes,
               head->body.size);
    }
    wire->out_size += PD_FRAME_HEAD_SIZE + size;
}

bool wire_flush(struct wire *wire)
{
    while (wire->out_at < wire->out_size) {
        ssize_t sent = send(wire->descriptor, wire->out + wire->out_at,
                            wire->out_size - wire->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        wire->out_at += (size_t)sent;
    }
    wire->out_at = 0;
    wire->out_size = 0;
    return true;
}

bool wire_fill(struct wire *wire)
{
    if (wire->in_at > 0) {
        memmove(wire->in, wire->in + wire->in_at, wire->in_size - wire->in_at);
        wire->in_size -= wire->in_at;
        wire->in_at = 0;
    }
    grow(&wire->in, &wire->in_capacity, wire->in_size + 65536);
    ssize_t got = recv(wire->descriptor, wire->in + wire->in_size,
                       wire->in_capacity - wire->in_size, MSG_DONTWAIT);
    if (got <= 0) {
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    }
    wire->in_size += (size_t)got;
    return true;
}

bool wire_next(struct wire *wire, uint64_t *correlation_out, struct pd_span *bytes_out)
{
    struct pd_span there = {wire->in + wire->in_at, wire->in_size - wire->in_at};
    struct pd_frame frame;
    if (pd_frame_take(there, UINT32_MAX, &frame) != PD_FRAME_WHOLE) {
        return false;
    }
    *correlation_out = frame.correlation;
    *bytes_out = frame.body;
    wire->in_at += PD_FRAME_HEAD_SIZE + frame.body_size;
    return true;
}
