/* control - the socket through which `pando ps`, info, kill and trace look into a running program.
 *
 * Model      A thread of its own waits for connections and serves them in turns: control_session.h
 *            says what they may ask, control_path.h where the socket lies.
 * Bounds     PD_CONTROL_CONNECTIONS_MAX at once; one that is silent, or does not take its answer,
 *            for PD_CONTROL_SILENCE_NS is closed.
 * Rights     The folder is its user's alone, so is the socket, and the kernel says who connects:
 *            nobody else is heard.
 * Ownership  The caller's storage. The program outlives it, and so do `file` and the idle hook's
 *            context. */
#ifndef PD_NODE_CONTROL_H
#define PD_NODE_CONTROL_H

#include "base/host.h"
#include "node/control_path.h"
#include "node/control_session.h"

#define PD_CONTROL_CONNECTIONS_MAX 16u
#define PD_CONTROL_SILENCE_NS UINT64_C(10000000000)
#define PD_CONTROL_TICK_MS 500

struct pd_control_connection {
    int descriptor;
    struct pd_control_session *session; /* NULL: a free place */
    uint64_t heard_ns;                  /* when bytes moved last */
    bool has_ended;                     /* it sends no more */
};

struct pd_control {
    struct pd_control_target target;
    void (*tick)(void *context); /* about every PD_CONTROL_TICK_MS, on the thread; NULL: none */
    void *tick_context;
    struct sockaddr_un address;
    int listener;
    int stop;               /* an eventfd */
    uint64_t deaf_until_ns; /* the system had no descriptor for a connection */
    struct pd_thread thread;
    struct pd_control_connection connections[PD_CONTROL_CONNECTIONS_MAX];
};

/* Begin to listen. Not for deterministic programs: PD_ERR_UNSUPPORTED. PD_ERR_DENIED, PD_ERR_IO,
 * PD_ERR_RANGE: why_out says what is wrong; the program runs as well without. */
PD_NODISCARD enum pd_status pd_control_open(struct pd_control *control,
                                            const struct pd_control_target *target,
                                            void (*tick)(void *context), void *tick_context,
                                            char why_out[PD_CONTROL_WHY_SIZE]);

/* Hang up, and remove the socket. Only after a successful open. */
void pd_control_close(struct pd_control *control);

#endif
