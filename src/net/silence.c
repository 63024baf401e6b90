/* Whether a connection still leads to the other side, judged by bytes that leave flight: packets
 * that come in prove one direction only.
 *
 *   nothing in flight --packets written--> awaited --none acknowledged for too long--> silent
 *          ^                                  |                                          |
 *          \-------all are acknowledged-------+-----------some are acknowledged----------/
 *
 * Too long: 8 probe timeouts (RFC 9002, 6.2), half a second at least, in which QUIC has sent three
 * probes or more. After a change of this machine's addresses 3 of them, and a fifth of a second; a
 * silent one has as long to be heard while another one of its peer's is well. Whoever was heard in
 * the second half of that time is well.
 *
 * A process that got no time has not read what came: a judgement takes two looks, between which the
 * loop reads. And a peer that got none answers on all of its connections at once.
 *
 * The end of a silent one is the business of peers.c; of other services' connections it is QUIC's
 * idle timeout, as nobody knows whether their other side can be dialed. */
#include "base/assert.h"
#include "net/internal.h"

#define PATIENCE_MIN_NS (500 * NGTCP2_MILLISECONDS)
#define PATIENCE_PTOS 8u
#define SUSPECT_MIN_NS (200 * NGTCP2_MILLISECONDS)
#define SUSPECT_PTOS 3u
#define LOOK_NS (10 * NGTCP2_MILLISECONDS) /* between the two */

static uint64_t in_flight(const struct pd_net_connection *connection)
{
    ngtcp2_conn_stat stat;
    ngtcp2_conn_get_conn_stat(connection->quic, &stat);
    return stat.bytes_in_flight;
}

static uint64_t patience_ns(const struct pd_net_connection *connection)
{
    uint64_t pto = ngtcp2_conn_get_pto(connection->quic);
    uint64_t wait = pto * (connection->is_suspect ? SUSPECT_PTOS : PATIENCE_PTOS);
    uint64_t least = connection->is_suspect ? SUSPECT_MIN_NS : PATIENCE_MIN_NS;
    return wait < least ? least : wait;
}

static void look(struct pd_net_connection *connection, uint64_t bytes, uint64_t now_ns)
{
    connection->flight_bytes = bytes;
    if (bytes == 0) {
        connection->flight_ns = PD_TIME_NEVER;
    } else if (connection->flight_ns == PD_TIME_NEVER) {
        connection->flight_ns = now_ns;
        connection->look_ns = 0;
    }
}

void pd_net_silence_wrote(struct pd_net_connection *connection, uint64_t now_ns)
{
    if (connection->is_confirmed) {
        look(connection, in_flight(connection), now_ns);
    }
}

void pd_net_silence_read(struct pd_net_connection *connection, uint64_t now_ns)
{
    if (!connection->is_confirmed) {
        return;
    }
    uint64_t bytes = in_flight(connection);
    bool was_heard = bytes < connection->flight_bytes;
    if (was_heard) {
        connection->flight_ns = PD_TIME_NEVER; /* the rest is awaited from now on */
        connection->heard_ns = now_ns;
        connection->silent_ns = 0;
        connection->closes_ns = PD_TIME_NEVER;
        connection->look_ns = 0;
        connection->is_suspect = false;
    }
    look(connection, bytes, now_ns);
    if (was_heard && connection->peer != NULL && connection->peer->doubts) {
        pd_net_peer_heard(connection->peer);
    }
}

void pd_net_silence_suspect(struct pd_net_connection *connection)
{
    connection->is_suspect = connection->is_confirmed;
}

void pd_net_silence_doom(struct pd_net_connection *connection, uint64_t now_ns)
{
    connection->is_suspect = true;
    connection->closes_ns = now_ns + patience_ns(connection);
    connection->look_ns = 0;
    pd_net_connection_make_dirty(connection); /* its timer is another one */
}

uint64_t pd_net_silence_deadline_ns(const struct pd_net_connection *connection)
{
    uint64_t deadline_ns = connection->closes_ns;
    if (connection->silent_ns == 0 && connection->flight_ns != PD_TIME_NEVER) {
        deadline_ns = connection->flight_ns + patience_ns(connection);
    }
    return deadline_ns < connection->look_ns ? connection->look_ns : deadline_ns;
}

void pd_net_silence_expire(struct pd_net_connection *connection, uint64_t now_ns)
{
    if (pd_net_silence_deadline_ns(connection) > now_ns) {
        return;
    }
    if (connection->look_ns == 0) {
        connection->look_ns = now_ns + LOOK_NS;
        return;
    }
    connection->look_ns = 0;
    connection->closes_ns = PD_TIME_NEVER;
    bool was_silent = connection->silent_ns != 0;
    if (!was_silent) {
        connection->silent_ns = now_ns - (now_ns - connection->flight_ns) / 2;
        connection->endpoint->counters.silent++;
    }
    if (connection->peer != NULL) {
        pd_net_peer_silent(connection->peer, connection, was_silent);
    }
}
