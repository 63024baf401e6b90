/* frames_client - the other end of frames.h: one connection to a Unix socket, made anew whenever it
 * is lost, served by one thread.
 *
 * Model      open connects once; then the thread reads frames, writes what could not be written at
 *            once, and connects again after a loss, soon at first, then every reconnect_ms. Any
 *            thread sends: what the socket takes at once leaves on that thread.
 * Bounds     Frames and output by the configuration. A peer that does not read makes send FULL; a
 *            frame that is too large, or nonsense, loses the connection.
 * Order      lost, up, frame are called by the client's thread, one at a time. A frame that was
 *            sent with PD_OK before `lost` may or may not have arrived. */
#ifndef PD_HOST_FRAMES_CLIENT_H
#define PD_HOST_FRAMES_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/host.h"
#include "base/span.h"
#include "host/frames.h"

struct pd_frames_client;

struct pd_frames_client_config {
    const char *path; /* copied */
    struct pd_host *host;
    uint32_t frame_bytes_max; /* of one that comes in, without its head */
    uint64_t output_bytes_max;
    uint32_t reconnect_ms;
    void (*frame)(void *state, uint64_t correlation, struct pd_span bytes); /* borrowed */
    void (*lost)(void *state);
    void (*up)(void *state); /* again; not for the first connection */
    void *state;
};

/* PD_ERR_CLOSED: nobody listens there. PD_ERR_RANGE: the path is too long for a socket.
 * PD_ERR_IO, PD_ERR_NO_MEMORY. text: for a person. */
PD_NODISCARD enum pd_status pd_frames_client_open(const struct pd_frames_client_config *config,
                                                  char text[PD_FRAMES_TEXT_MAX],
                                                  struct pd_frames_client **client_out);
/* Hang up. Nothing is called any more when it returns. */
void pd_frames_client_close(struct pd_frames_client *client);

/* Any thread; the bytes are copied, or gone. PD_ERR_CLOSED: not connected now. PD_ERR_FULL:
 * output_bytes_max wait. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_frames_client_send(struct pd_frames_client *client,
                                                  uint64_t correlation, struct pd_span bytes);

#endif
