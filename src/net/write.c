/* What a connection writes: packets of as many streams as fit, in trains that the kernel splits. */
#include <string.h>

#include "base/assert.h"
#include "net/address.h"
#include "net/internal.h"

#define PARTS_MAX 16u
#define TRAIN_MAX 64u /* datagrams that the kernel splits in one call */

void pd_net_connection_serve_streams(struct pd_net_connection *connection)
{
    if (connection->is_confirmed && connection->service == PD_NET_SERVICE_RAFT &&
        connection->lanes[PD_TRANSPORT_RAFT] == NULL) {
        (void)pd_net_peer_open_lane(connection, PD_TRANSPORT_RAFT); /* the greeting */
    }
    while (connection->is_confirmed && !pd_list_is_empty(&connection->waiting)) {
        struct pd_net_stream *stream =
            pd_container_of(connection->waiting.next, struct pd_net_stream, link);
        int64_t id;
        if (ngtcp2_conn_open_bidi_stream(connection->quic, &id, stream) != 0) {
            break; /* the peer's limit: it gives more when streams have ended */
        }
        stream->id = id;
        pd_list_remove(&stream->link);
        pd_list_append(&connection->streams, &stream->link);
        pd_net_stream_make_ready(stream);
    }
    if (connection->credits_owed > 0 &&
        connection->output_bytes <= connection->endpoint->limits.output_bytes_soft) {
        ngtcp2_conn_extend_max_streams_bidi(connection->quic, connection->credits_owed);
        connection->credits_owed = 0;
    }
}

static struct pd_net_stream *next_ready(struct pd_net_connection *connection)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct pd_list *first = pd_list_first(&connection->ready[i]);
        if (first != NULL) {
            return pd_container_of(first, struct pd_net_stream, ready);
        }
    }
    return NULL;
}

/* One packet of as many streams as fit. The size, 0 when nothing may leave now, or ngtcp2's
 * error. */
static ngtcp2_ssize write_packet(struct pd_net_connection *connection, uint64_t now_ns,
                                 ngtcp2_path *path, ngtcp2_pkt_info *info, uint8_t *bytes,
                                 size_t size_max)
{
    for (;;) {
        struct pd_net_stream *stream = next_ready(connection);
        ngtcp2_vec parts[PARTS_MAX];
        size_t count = 0;
        bool is_all = false;
        uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_NONE;
        if (stream != NULL) {
            count = pd_net_stream_parts(stream, parts, PARTS_MAX, &is_all);
            flags = NGTCP2_WRITE_STREAM_FLAG_MORE;
            flags |= is_all && stream->ends ? NGTCP2_WRITE_STREAM_FLAG_FIN : 0;
        }
        size_t whole = 0;
        for (size_t i = 0; i < count; i++) {
            whole += parts[i].len;
        }
        ngtcp2_ssize written = -1;
        ngtcp2_ssize size = ngtcp2_conn_writev_stream(
            connection->quic, path, info, bytes, size_max, &written, flags,
            stream == NULL ? -1 : stream->id, parts, count, now_ns);
        if (stream != NULL && written >= 0 && (size >= 0 || size == NGTCP2_ERR_WRITE_MORE)) {
            bool with_end = (flags & NGTCP2_WRITE_STREAM_FLAG_FIN) != 0 && (size_t)written == whole;
            pd_net_stream_wrote(stream, (size_t)written, with_end);
        }
        if (size == NGTCP2_ERR_STREAM_DATA_BLOCKED) {
            pd_list_remove(&stream->ready);
            pd_list_append(&connection->blocked, &stream->ready);
        } else if (size == NGTCP2_ERR_STREAM_SHUT_WR || size == NGTCP2_ERR_STREAM_NOT_FOUND) {
            pd_list_remove(&stream->ready); /* the peer has stopped it; it is freed when closed */
            stream->unsent = NULL;
            stream->preface_sent = stream->preface_size;
            stream->ends = true;
            stream->end_is_sent = true;
        } else if (size != NGTCP2_ERR_WRITE_MORE) {
            return size;
        }
    }
}

/* One after another, so that each gets its turn. */
static void rotate(struct pd_net_connection *connection)
{
    struct pd_list *first = pd_list_first(&connection->ready[1]);
    if (first != NULL) {
        pd_list_remove(first);
        pd_list_append(&connection->ready[1], first);
    }
}

static void hold(struct pd_net_endpoint *endpoint, const struct pd_transport_address *remote,
                 uint8_t ecn, const uint8_t *bytes, size_t size)
{
    pd_assert(!endpoint->has_held);
    pd_assert(size <= sizeof endpoint->held_bytes);
    memcpy(endpoint->held_bytes, bytes, size);
    endpoint->has_held = true;
    endpoint->held = (struct pd_datagram){
        .remote = *remote, .ecn = ecn, .bytes = endpoint->held_bytes, .size = size};
}

/* Packets of one size, address and mark behind each other; the first one that differs is held for
 * the next time. False: ngtcp2's error in *result_out. */
static bool write_train(struct pd_net_connection *connection, uint64_t now_ns, uint8_t *room,
                        struct pd_datagram *train, bool *is_done_out, int *result_out)
{
    size_t packet_max = ngtcp2_conn_get_max_tx_udp_payload_size(connection->quic);
    size_t quantum = ngtcp2_conn_get_send_quantum(connection->quic);
    *is_done_out = false;
    for (uint32_t i = 0; i < TRAIN_MAX && train->size + packet_max <= PD_NET_ROOM_SIZE; i++) {
        ngtcp2_path_storage storage;
        ngtcp2_pkt_info info = {0};
        ngtcp2_path_storage_zero(&storage);
        uint8_t *bytes = room + train->size;
        ngtcp2_ssize size =
            write_packet(connection, now_ns, &storage.path, &info, bytes, packet_max);
        if (size <= 0) {
            *is_done_out = true;
            *result_out = (int)size;
            return size == 0;
        }
        rotate(connection);
        struct pd_transport_address remote;
        pd_net_take_address(&storage.path, &remote);
        if (i == 0) {
            *train = (struct pd_datagram){.remote = remote,
                                          .ecn = (uint8_t)info.ecn,
                                          .bytes = room,
                                          .segment_size = (size_t)size};
        } else if ((size_t)size > train->segment_size || (uint8_t)info.ecn != train->ecn ||
                   !pd_net_address_is_equal(&remote, &train->remote)) {
            hold(connection->endpoint, &remote, (uint8_t)info.ecn, bytes, (size_t)size);
            break;
        }
        train->size += (size_t)size;
        if ((size_t)size < train->segment_size || train->size >= quantum) {
            break;
        }
    }
    return true;
}

size_t pd_net_connection_write(struct pd_net_connection *connection, uint64_t now_ns, uint8_t *room,
                               struct pd_datagram *datagram_out, bool *is_gone_out)
{
    *datagram_out = (struct pd_datagram){.bytes = room};
    *is_gone_out =
        pd_net_connection_settle(connection, now_ns, 0); /* marked outside of a callback */
    if (*is_gone_out) {
        return 0;
    }
    bool is_done = false;
    int result = 0;
    pd_net_connection_serve_streams(connection);
    bool is_good = write_train(connection, now_ns, room, datagram_out, &is_done, &result);
    if (!is_good) {
        *is_gone_out = pd_net_connection_settle(connection, now_ns, result);
        return datagram_out->size;
    }
    ngtcp2_conn_update_pkt_tx_time(connection->quic, now_ns);
    pd_net_silence_wrote(connection, now_ns);
    if (!is_done) {
        pd_net_connection_make_dirty(connection);
    }
    pd_net_connection_set_timer(connection, now_ns);
    return datagram_out->size;
}
