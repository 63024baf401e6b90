/* frames - a Unix socket that speaks in frames, served by one thread with libuv's loop.
 *
 * Model      Frames (base/frame.h) go both ways.
 *            Peers' frames are given to the handler on the loop's thread; any thread may send.
 * Bounds     struct pd_frames_config. A peer that does not read is not read from once
 *            output_bytes_soft wait for it, and is cut off beyond output_bytes_max; others do not
 *            notice. A frame that is too large is told to the handler, and ends the connection.
 * Ownership  A connection is the loop's until the handler's `closed`, then the handler's until it
 *            calls pd_frames_release. Bytes are borrowed for the call.
 * Socket     Made under another name and renamed once it listens, with mode 0600. One that nobody
 *            listens on is taken over. */
#ifndef PD_HOST_FRAMES_H
#define PD_HOST_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

#define PD_FRAMES_TEXT_MAX 256u
#define PD_FRAMES_PATH_MAX 103u /* of the socket, in bytes: Linux's 107, less ".new" */

struct pd_frames;
struct pd_frames_connection;

struct pd_frames_config {
    const char *path;
    uint32_t connections_max;
    uint32_t frame_bytes_max;   /* without the head */
    uint64_t output_bytes_soft; /* of one connection */
    uint64_t output_bytes_max;
    /* On the loop's thread. */
    bool (*opened)(void *state, struct pd_frames_connection *connection); /* false: refuse it */
    void (*frame)(void *state, struct pd_frames_connection *connection, uint64_t correlation,
                  struct pd_span bytes);
    /* A frame that cannot be taken: answer it. The connection ends when that has left. */
    void (*bad)(void *state, struct pd_frames_connection *connection, uint64_t correlation,
                const char *text);
    void (*closed)(void *state, struct pd_frames_connection *connection);
    void (*signal)(void *state, int number); /* SIGTERM, SIGINT or SIGHUP came */
    void *state;
};

/* PD_ERR_EXISTS: somebody listens there. PD_ERR_RANGE: the path is too long for a socket.
 * PD_ERR_IO, PD_ERR_NO_MEMORY. text: for a person. */
PD_NODISCARD enum pd_status pd_frames_open(const struct pd_frames_config *config,
                                           char text[PD_FRAMES_TEXT_MAX],
                                           struct pd_frames **frames_out);
/* Serve until pd_frames_stop has been called and every connection is released. */
void pd_frames_run(struct pd_frames *frames);
/* Any thread: listen no more, hang up on everybody, end. */
void pd_frames_stop(struct pd_frames *frames);
/* The same in a while; on the loop's thread, before it has been stopped. */
void pd_frames_stop_later(struct pd_frames *frames, uint64_t after_ms);
/* After run. Removes the socket. */
void pd_frames_close(struct pd_frames *frames);

/* For the handler's use. */
void pd_frames_set_context(struct pd_frames_connection *connection, void *context);
void *pd_frames_context(const struct pd_frames_connection *connection);

/* Any thread, until pd_frames_release; the bytes are copied. Nothing is told when the peer is gone.
 */
void pd_frames_send(struct pd_frames_connection *connection, uint64_t correlation,
                    struct pd_span bytes);
/* Any thread, once, after `closed`: nothing is sent to it any more. */
void pd_frames_release(struct pd_frames_connection *connection);

struct pd_frames_counters {
    uint64_t connections;
    uint64_t connections_refused;
    uint64_t frames;
    uint64_t bad_frames;
    uint64_t cut_off; /* slow readers */
};
/* On the loop's thread. */
void pd_frames_counters(const struct pd_frames *frames, struct pd_frames_counters *counters_out);

#endif
