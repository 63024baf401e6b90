/* server_socket - a server's requests over a Unix socket: host/frames.h around node/server.h.
 *
 * Model      A frame is a request of replica_request.h, its correlation the peer's choice; answers
 *            come back with it, in any order. Each connection is one client of the server.
 * Bounds     pd_frames_config's; what does not fit into the server's queue is answered BUSY.
 * Threads    open, run, close: one thread. stop: any. */
#ifndef PD_NODE_SERVER_SOCKET_H
#define PD_NODE_SERVER_SOCKET_H

#include "host/frames.h"
#include "node/server.h"

struct pd_server_socket;

struct pd_server_socket_config {
    struct pd_server *server;
    const char *path;
    uint32_t connections_max;
    uint32_t frame_bytes_max;
    uint64_t output_bytes_soft;
    uint64_t output_bytes_max;
    bool stops_by_signal; /* at SIGTERM, SIGHUP and SIGINT */
    /* From SIGTERM to the stop, in which `stopping` has been called; a second signal, or SIGINT,
     * does not wait. */
    uint64_t grace_ms;
    void (*stopping)(void *state); /* may be NULL without a grace */
    void *state;
};
/* As shipped; server and path are the caller's. */
struct pd_server_socket_config pd_server_socket_config_default(void);

/* As pd_frames_open. */
PD_NODISCARD enum pd_status pd_server_socket_open(const struct pd_server_socket_config *config,
                                                  char text[PD_FRAMES_TEXT_MAX],
                                                  struct pd_server_socket **socket_out);
/* Serve until it is stopped, and every client is closed. */
void pd_server_socket_run(struct pd_server_socket *socket);
void pd_server_socket_stop(struct pd_server_socket *socket);
void pd_server_socket_close(struct pd_server_socket *socket);
/* After run. */
void pd_server_socket_counters(const struct pd_server_socket *socket,
                               struct pd_frames_counters *counters_out);

#endif
