/* tls - TLS over the bytes of a connection, whatever socket they came through. Private to
 * src/gateway, but for credentials, which their owner makes and changes.
 *
 * Model      GnuTLS without I/O: what the peer sent is given to receive, which hands back what was
 *            in it and what is to be sent; send turns what is to be said into such bytes. TLS 1.2
 *            and 1.3 with ephemeral keys and authenticated ciphers; no renegotiation, no
 *            resumption: each connection proves anew who it is.
 * ALPN       "http/1.1" when the peer offers it (browsers and curl, also beside "h2"), else "h2"
 *            (gRPC). Who offers others only is refused. Who offers none is sniffed at, as without
 *            TLS.
 * Bounds     PD_TLS_HANDSHAKE_BYTES of a peer until it is done; records of at least
 *            PD_TLS_RECORD_MIN. Nothing is kept but an unfinished record or handshake message.
 * Ownership  Credentials are counted; each session holds those that it began with.
 * Threads    A session is one thread's. Credentials: any. */
#ifndef PD_GATEWAY_TLS_H
#define PD_GATEWAY_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

#define PD_TLS_TEXT_MAX 256u
#define PD_TLS_HANDSHAKE_BYTES ((size_t)64 * 1024)
#define PD_TLS_RECORD_MIN 512u
/* Beyond what is received at once: a record that was not whole before. */
#define PD_TLS_AHEAD_BYTES ((size_t)32 * 1024)
/* That send may need for so many bytes, and receive for its answers: a record's head and tag for
 * each PD_TLS_RECORD_MIN bytes; a chain of certificates. */
#define PD_TLS_WIRE_BYTES(size) ((size) + (size) / 8 + (size_t)256 * 1024)

/* -- Credentials ------------------------------------------------------------------------------- */

struct pd_tls_credentials;

/* As PEM. */
struct pd_tls_files {
    struct pd_span certificate; /* the server's, then those that vouch for it */
    struct pd_span key;
    struct pd_span authorities; /* whose clients are let in; empty: all, without a certificate */
};
/* PD_ERR_INVALID: text tells a person why. PD_ERR_NO_MEMORY. The files are not kept. */
PD_NODISCARD enum pd_status pd_tls_credentials_make(const struct pd_tls_files *files,
                                                    char text[PD_TLS_TEXT_MAX],
                                                    struct pd_tls_credentials **credentials_out);
void pd_tls_credentials_hold(struct pd_tls_credentials *credentials);
/* NULL is fine. */
void pd_tls_credentials_release(struct pd_tls_credentials *credentials);
/* Seconds since 1970 when the first of the server's certificates ends. */
uint64_t pd_tls_credentials_end_s(const struct pd_tls_credentials *credentials);

/* -- A connection ------------------------------------------------------------------------------ */

struct pd_tls;

enum pd_tls_alpn {
    PD_TLS_ALPN_NONE = 0,
    PD_TLS_ALPN_HTTP1,
    PD_TLS_ALPN_HTTP2
};

/* The caller's; what is added begins at bytes + size. */
struct pd_tls_room {
    uint8_t *bytes;
    size_t size;
    size_t room;
};

/* Whether a peer's first byte begins TLS. No request of HTTP begins so. */
static inline bool pd_tls_begins(uint8_t first)
{
    return first == 0x16; /* a handshake record */
}

/* NULL: no memory. */
struct pd_tls *pd_tls_open(struct pd_tls_credentials *credentials);
/* NULL is fine. */
void pd_tls_close(struct pd_tls *tls);

/* Bytes of the peer. What was in them is added to plain, which has room for as many and
 * PD_TLS_AHEAD_BYTES; what is to be sent now, to wire, whatever the status is.
 *
 * PD_ERR_CLOSED   the peer has said that nothing more comes; what it said before is in plain.
 * PD_ERR_DENIED   its certificate is missing, or none of ours vouches for it.
 * PD_ERR_FULL     its handshake is too long.
 * PD_ERR_INVALID  it broke the protocol, or there is nothing that both sides speak.
 * After each of them: send what is in wire, and hang up. */
PD_NODISCARD enum pd_status pd_tls_receive(struct pd_tls *tls, struct pd_span bytes,
                                           struct pd_tls_room *plain, struct pd_tls_room *wire);
/* Both sides know each other: send may be called. */
bool pd_tls_is_open(const struct pd_tls *tls);
enum pd_tls_alpn pd_tls_alpn(const struct pd_tls *tls);
/* Why receive failed. Static. */
const char *pd_tls_error(const struct pd_tls *tls);

/* All of plain, for the peer, added to wire, which has room for PD_TLS_WIRE_BYTES. PD_ERR_INVALID:
 * hang up. */
PD_NODISCARD enum pd_status pd_tls_send(struct pd_tls *tls, struct pd_span plain,
                                        struct pd_tls_room *wire);
/* That nothing more comes, so that the peer knows it was not cut off. */
void pd_tls_say_end(struct pd_tls *tls, struct pd_tls_room *wire);

#endif
