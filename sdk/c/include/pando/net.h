/* net - TCP, UDP, names and TLS.
 *
 * Model      Listeners, streams and UDP sockets are ids of this process. Every call that has to
 *            wait suspends only this process, which can be killed at any moment; what it held is
 *            closed then.
 * Moving     A stream or a UDP socket can travel in a message (pando_message_push_stream): it
 *            leaves this process, and the receiver goes on with it. The peer notices nothing.
 * Rights     What may be reached is the process's right `network`: `pando run --net ...`. Without,
 *            calls answer PANDO_ERROR with an error that says which right is missing.
 * Results    PANDO_OK; PANDO_ERROR and an error id in *out (error.h); PANDO_TIMED_OUT, where there
 *            is a timeout.
 * Traps      An id that is none of this process's. */
#ifndef PANDO_NET_H
#define PANDO_NET_H

#include "import.h"

struct pando_address {
    uint32_t type;  /* 4 or 6 */
    uint8_t ip[16]; /* the first 4 of IPv4 */
    uint16_t port;
    uint32_t flow; /* of IPv6, like scope */
    uint32_t scope;
};

/* Bytes to be written. */
struct pando_part {
    const void *bytes;
    uint32_t size;
};

PANDO_IMPORT("lunatic::networking", "resolve")
uint32_t pando_import_resolve(const char *name, uint32_t size, uint64_t timeout_ms, uint64_t *id);
PANDO_IMPORT("lunatic::networking", "resolve_next")
uint32_t pando_import_resolve_next(uint64_t id, uint32_t *type, uint8_t *ip, uint16_t *port,
                                   uint32_t *flow, uint32_t *scope);
PANDO_IMPORT("lunatic::networking", "drop_dns_iterator")
void pando_import_drop_dns_iterator(uint64_t id);
PANDO_IMPORT("lunatic::networking", "tcp_bind")
uint32_t pando_import_tcp_bind(uint32_t type, const uint8_t *ip, uint32_t port, uint32_t flow,
                               uint32_t scope, uint64_t *id);
PANDO_IMPORT("lunatic::networking", "tcp_local_addr")
uint32_t pando_import_tcp_local_addr(uint64_t listener, uint64_t *id);
PANDO_IMPORT("lunatic::networking", "tcp_peer_addr")
uint32_t pando_import_tcp_peer_addr(uint64_t stream, uint64_t *id);
PANDO_IMPORT("lunatic::networking", "tcp_accept")
uint32_t pando_import_tcp_accept(uint64_t listener, uint64_t *id, uint64_t *peer);
PANDO_IMPORT("lunatic::networking", "tcp_connect")
uint32_t pando_import_tcp_connect(uint32_t type, const uint8_t *ip, uint32_t port, uint32_t flow,
                                  uint32_t scope, uint64_t timeout_ms, uint64_t *id);
PANDO_IMPORT("lunatic::networking", "tcp_write_vectored")
uint32_t pando_import_tcp_write_vectored(uint64_t stream, const struct pando_part *parts,
                                         uint32_t count, uint64_t *out);
PANDO_IMPORT("lunatic::networking", "tcp_read")
uint32_t pando_import_tcp_read(uint64_t stream, void *to, uint32_t size, uint64_t *out);
PANDO_IMPORT("lunatic::networking", "tcp_peek")
uint32_t pando_import_tcp_peek(uint64_t stream, void *to, uint32_t size, uint64_t *out);
PANDO_IMPORT("lunatic::networking", "set_read_timeout")
void pando_import_set_read_timeout(uint64_t stream, uint64_t timeout_ms);
PANDO_IMPORT("lunatic::networking", "set_write_timeout")
void pando_import_set_write_timeout(uint64_t stream, uint64_t timeout_ms);
PANDO_IMPORT("lunatic::networking", "set_peek_timeout")
void pando_import_set_peek_timeout(uint64_t stream, uint64_t timeout_ms);
PANDO_IMPORT("lunatic::networking", "clone_tcp_stream")
uint64_t pando_import_clone_tcp_stream(uint64_t stream);
PANDO_IMPORT("lunatic::networking", "drop_tcp_listener")
void pando_import_drop_tcp_listener(uint64_t listener);
PANDO_IMPORT("lunatic::networking", "drop_tcp_stream")
void pando_import_drop_tcp_stream(uint64_t stream);
PANDO_IMPORT("lunatic::networking", "udp_bind")
uint32_t pando_import_udp_bind(uint32_t type, const uint8_t *ip, uint32_t port, uint32_t flow,
                               uint32_t scope, uint64_t *id);
PANDO_IMPORT("lunatic::networking", "udp_local_addr")
uint32_t pando_import_udp_local_addr(uint64_t socket, uint64_t *id);
PANDO_IMPORT("lunatic::networking", "udp_receive_from")
uint32_t pando_import_udp_receive_from(uint64_t socket, void *to, uint32_t size, uint64_t *out,
                                       uint64_t *from);
PANDO_IMPORT("lunatic::networking", "udp_send_to")
uint32_t pando_import_udp_send_to(uint64_t socket, const void *bytes, uint32_t size, uint32_t type,
                                  const uint8_t *ip, uint32_t port, uint32_t flow, uint32_t scope,
                                  uint64_t *out);
PANDO_IMPORT("lunatic::networking", "drop_udp_socket")
void pando_import_drop_udp_socket(uint64_t socket);
PANDO_IMPORT("lunatic::networking", "tls_bind")
uint32_t pando_import_tls_bind(uint32_t type, const uint8_t *ip, uint32_t port, uint32_t flow,
                               uint32_t scope, uint64_t *id, const char *certificate,
                               uint32_t certificate_size, const char *key, uint32_t key_size);
PANDO_IMPORT("lunatic::networking", "tls_local_addr")
uint32_t pando_import_tls_local_addr(uint64_t listener, uint64_t *id);
PANDO_IMPORT("lunatic::networking", "tls_accept")
uint32_t pando_import_tls_accept(uint64_t listener, uint64_t *id, uint64_t *peer);
PANDO_IMPORT("lunatic::networking", "tls_connect")
uint32_t pando_import_tls_connect(const char *host, uint32_t size, uint32_t port,
                                  uint64_t timeout_ms, uint64_t *id, const struct pando_part *roots,
                                  uint32_t count);
PANDO_IMPORT("lunatic::networking", "tls_write_vectored")
uint32_t pando_import_tls_write_vectored(uint64_t stream, const struct pando_part *parts,
                                         uint32_t count, uint64_t *out);
PANDO_IMPORT("lunatic::networking", "tls_read")
uint32_t pando_import_tls_read(uint64_t stream, void *to, uint32_t size, uint64_t *out);
PANDO_IMPORT("lunatic::networking", "set_tls_read_timeout")
void pando_import_set_tls_read_timeout(uint64_t stream, uint64_t timeout_ms);
PANDO_IMPORT("lunatic::networking", "set_tls_write_timeout")
void pando_import_set_tls_write_timeout(uint64_t stream, uint64_t timeout_ms);
PANDO_IMPORT("lunatic::networking", "drop_tls_listener")
void pando_import_drop_tls_listener(uint64_t listener);
PANDO_IMPORT("lunatic::networking", "drop_tls_stream")
void pando_import_drop_tls_stream(uint64_t stream);
PANDO_IMPORT("lunatic::message", "push_tls_stream")
uint64_t pando_import_push_tls_stream(uint64_t stream);
PANDO_IMPORT("lunatic::message", "take_tls_stream")
uint64_t pando_import_take_tls_stream(uint64_t index);
PANDO_IMPORT("lunatic::message", "push_tcp_stream")
uint64_t pando_import_push_tcp_stream(uint64_t stream);
PANDO_IMPORT("lunatic::message", "take_tcp_stream")
uint64_t pando_import_take_tcp_stream(uint64_t index);
PANDO_IMPORT("lunatic::message", "push_udp_socket")
uint64_t pando_import_push_udp_socket(uint64_t socket);
PANDO_IMPORT("lunatic::message", "take_udp_socket")
uint64_t pando_import_take_udp_socket(uint64_t index);
PANDO_IMPORT("pando::network", "config_allow")
uint32_t pando_import_network_config_allow(uint64_t config, const char *text, uint32_t size,
                                           uint64_t *error);

/* --- Addresses -------------------------------------------------------------------------------- */

static inline struct pando_address pando_address_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d,
                                                    uint16_t port)
{
    struct pando_address address = {.type = 4, .ip = {a, b, c, d}, .port = port};
    return address;
}

/* 127.0.0.1 */
static inline struct pando_address pando_address_local(uint16_t port)
{
    return pando_address_v4(127, 0, 0, 1, port);
}

/* Look up "host:port"; the result is a list, to be read by pando_address_next and dropped. */
static inline enum pando_result pando_resolve(const char *name, uint64_t timeout_ms,
                                              uint64_t *list_out)
{
    return (enum pando_result)pando_import_resolve(name, pando_text_size(name), timeout_ms,
                                                   list_out);
}

/* The next of a list; false: there is none. */
static inline bool pando_address_next(uint64_t list, struct pando_address *address_out)
{
    return pando_import_resolve_next(list, &address_out->type, address_out->ip, &address_out->port,
                                     &address_out->flow, &address_out->scope) == 0;
}

static inline void pando_address_drop(uint64_t list)
{
    pando_import_drop_dns_iterator(list);
}

/* The one address of a list, which is dropped. */
static inline enum pando_result pando_address_only(enum pando_result result, uint64_t *list,
                                                   struct pando_address *address_out)
{
    if (result == PANDO_OK) {
        (void)pando_address_next(*list, address_out);
        pando_address_drop(*list);
    }
    return result;
}

/* --- TCP -------------------------------------------------------------------------------------- */

/* Listen; port 0 is any free one: pando_tcp_local_address tells. */
static inline enum pando_result pando_tcp_listen(const struct pando_address *at,
                                                 uint64_t *listener_out)
{
    return (enum pando_result)pando_import_tcp_bind(at->type, at->ip, at->port, at->flow, at->scope,
                                                    listener_out);
}

/* *error_out is written with PANDO_ERROR only. */
static inline enum pando_result pando_tcp_local_address(uint64_t listener,
                                                        struct pando_address *address_out,
                                                        uint64_t *error_out)
{
    uint32_t result = pando_import_tcp_local_addr(listener, error_out);
    return pando_address_only((enum pando_result)result, error_out, address_out);
}

static inline enum pando_result pando_tcp_peer_address(uint64_t stream,
                                                       struct pando_address *address_out,
                                                       uint64_t *error_out)
{
    uint32_t result = pando_import_tcp_peer_addr(stream, error_out);
    return pando_address_only((enum pando_result)result, error_out, address_out);
}

/* The next connection, however long it takes. */
static inline enum pando_result pando_tcp_accept(uint64_t listener, uint64_t *stream_out)
{
    uint64_t peer = 0;
    uint32_t result = pando_import_tcp_accept(listener, stream_out, &peer);
    if (result == PANDO_OK) {
        pando_address_drop(peer);
    }
    return (enum pando_result)result;
}

static inline enum pando_result pando_tcp_connect(const struct pando_address *to,
                                                  uint64_t timeout_ms, uint64_t *stream_out)
{
    return (enum pando_result)pando_import_tcp_connect(to->type, to->ip, to->port, to->flow,
                                                       to->scope, timeout_ms, stream_out);
}

/* Some bytes, at least one; *count_out 0: the peer has ended. With PANDO_ERROR it is the error. */
static inline enum pando_result pando_tcp_read(uint64_t stream, void *to, uint32_t size,
                                               uint64_t *count_out)
{
    return (enum pando_result)pando_import_tcp_read(stream, to, size, count_out);
}

/* The same, and the bytes stay there to be read. */
static inline enum pando_result pando_tcp_peek(uint64_t stream, void *to, uint32_t size,
                                               uint64_t *count_out)
{
    return (enum pando_result)pando_import_tcp_peek(stream, to, size, count_out);
}

/* Some of the bytes, at least one. */
static inline enum pando_result pando_tcp_write_parts(uint64_t stream,
                                                      const struct pando_part *parts,
                                                      uint32_t count, uint64_t *count_out)
{
    return (enum pando_result)pando_import_tcp_write_vectored(stream, parts, count, count_out);
}

/* All bytes. *error_out is the error, with PANDO_ERROR. */
static inline enum pando_result pando_tcp_write(uint64_t stream, const void *bytes, uint32_t size,
                                                uint64_t *error_out)
{
    const uint8_t *at = (const uint8_t *)bytes;
    while (size > 0) {
        struct pando_part part = {.bytes = at, .size = size};
        enum pando_result result = pando_tcp_write_parts(stream, &part, 1, error_out);
        if (result != PANDO_OK) {
            return result;
        }
        at += *error_out;
        size -= (uint32_t)*error_out;
    }
    return PANDO_OK;
}

/* From now on, of this stream and its clones; PANDO_FOREVER is how they begin. */
static inline void pando_tcp_set_timeouts(uint64_t stream, uint64_t read_ms, uint64_t write_ms)
{
    pando_import_set_read_timeout(stream, read_ms);
    pando_import_set_peek_timeout(stream, read_ms);
    pando_import_set_write_timeout(stream, write_ms);
}

/* A further id of the same stream, which closes with the last one. */
static inline uint64_t pando_tcp_clone(uint64_t stream)
{
    return pando_import_clone_tcp_stream(stream);
}

static inline void pando_tcp_close(uint64_t stream)
{
    pando_import_drop_tcp_stream(stream);
}

static inline void pando_tcp_close_listener(uint64_t listener)
{
    pando_import_drop_tcp_listener(listener);
}

/* --- UDP -------------------------------------------------------------------------------------- */

static inline enum pando_result pando_udp_bind(const struct pando_address *at, uint64_t *socket_out)
{
    return (enum pando_result)pando_import_udp_bind(at->type, at->ip, at->port, at->flow, at->scope,
                                                    socket_out);
}

static inline enum pando_result pando_udp_local_address(uint64_t socket,
                                                        struct pando_address *address_out,
                                                        uint64_t *error_out)
{
    uint32_t result = pando_import_udp_local_addr(socket, error_out);
    return pando_address_only((enum pando_result)result, error_out, address_out);
}

/* One datagram, cut to `size`. */
static inline enum pando_result pando_udp_receive(uint64_t socket, void *to, uint32_t size,
                                                  struct pando_address *from_out,
                                                  uint64_t *count_out)
{
    uint64_t from = 0;
    uint32_t result = pando_import_udp_receive_from(socket, to, size, count_out, &from);
    return pando_address_only((enum pando_result)result, &from, from_out);
}

static inline enum pando_result pando_udp_send(uint64_t socket, const void *bytes, uint32_t size,
                                               const struct pando_address *to, uint64_t *count_out)
{
    return (enum pando_result)pando_import_udp_send_to(socket, bytes, size, to->type, to->ip,
                                                       to->port, to->flow, to->scope, count_out);
}

static inline void pando_udp_close(uint64_t socket)
{
    pando_import_drop_udp_socket(socket);
}

/* --- TLS -------------------------------------------------------------------------------------- */

/* Listen with a certificate and its key, both PEM. */
static inline enum pando_result pando_tls_listen(const struct pando_address *at,
                                                 const char *certificate, const char *key,
                                                 uint64_t *listener_out)
{
    return (enum pando_result)pando_import_tls_bind(
        at->type, at->ip, at->port, at->flow, at->scope, listener_out, certificate,
        pando_text_size(certificate), key, pando_text_size(key));
}

static inline enum pando_result pando_tls_local_address(uint64_t listener,
                                                        struct pando_address *address_out,
                                                        uint64_t *error_out)
{
    uint32_t result = pando_import_tls_local_addr(listener, error_out);
    return pando_address_only((enum pando_result)result, error_out, address_out);
}

/* The next connection; its handshake is part of the first read or write. */
static inline enum pando_result pando_tls_accept(uint64_t listener, uint64_t *stream_out)
{
    uint64_t peer = 0;
    uint32_t result = pando_import_tls_accept(listener, stream_out, &peer);
    if (result == PANDO_OK) {
        pando_address_drop(peer);
    }
    return (enum pando_result)result;
}

/* Connect to a host by name, which its certificate must bear. `root`: a PEM certificate to trust
 * instead of what the system trusts, or NULL. */
static inline enum pando_result pando_tls_connect(const char *host, uint16_t port, const char *root,
                                                  uint64_t timeout_ms, uint64_t *stream_out)
{
    struct pando_part part = {.bytes = root, .size = root == NULL ? 0 : pando_text_size(root)};
    return (enum pando_result)pando_import_tls_connect(host, pando_text_size(host), port,
                                                       timeout_ms, stream_out, &part, root != NULL);
}

static inline enum pando_result pando_tls_read(uint64_t stream, void *to, uint32_t size,
                                               uint64_t *count_out)
{
    return (enum pando_result)pando_import_tls_read(stream, to, size, count_out);
}

static inline enum pando_result pando_tls_write_parts(uint64_t stream,
                                                      const struct pando_part *parts,
                                                      uint32_t count, uint64_t *count_out)
{
    return (enum pando_result)pando_import_tls_write_vectored(stream, parts, count, count_out);
}

static inline void pando_tls_set_timeouts(uint64_t stream, uint64_t read_ms, uint64_t write_ms)
{
    pando_import_set_tls_read_timeout(stream, read_ms);
    pando_import_set_tls_write_timeout(stream, write_ms);
}

static inline void pando_tls_close(uint64_t stream)
{
    pando_import_drop_tls_stream(stream);
}

static inline void pando_tls_close_listener(uint64_t listener)
{
    pando_import_drop_tls_listener(listener);
}

/* --- Travelling ------------------------------------------------------------------------------- */

/* Let the stream leave this process with the message at hand. Returns its index there. If nobody
 * takes it, it is closed. */
static inline uint64_t pando_message_push_stream(uint64_t stream)
{
    return pando_import_push_tcp_stream(stream);
}

/* Take the stream that came at `index`; the id is this process's own. */
static inline uint64_t pando_message_take_stream(uint64_t index)
{
    return pando_import_take_tcp_stream(index);
}

static inline uint64_t pando_message_push_tls(uint64_t stream)
{
    return pando_import_push_tls_stream(stream);
}

static inline uint64_t pando_message_take_tls(uint64_t index)
{
    return pando_import_take_tls_stream(index);
}

static inline uint64_t pando_message_push_udp(uint64_t socket)
{
    return pando_import_push_udp_socket(socket);
}

static inline uint64_t pando_message_take_udp(uint64_t index)
{
    return pando_import_take_udp_socket(index);
}

/* --- Rights ----------------------------------------------------------------------------------- */

/* What children of this configuration may reach: "none", "local", "all", or a list such as
 * "api.example:443,10.0.0.0/8". At most what this process may. */
static inline enum pando_result pando_config_allow_network(uint64_t config, const char *right,
                                                           uint64_t *error_out)
{
    return (enum pando_result)pando_import_network_config_allow(config, right,
                                                                pando_text_size(right), error_out);
}

#endif
