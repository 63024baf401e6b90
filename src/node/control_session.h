/* control_session - one conversation over the control socket: bytes in, bytes out, no socket.
 *
 * Model      Requests are lines (control_request.h), answered one after the other, each by one line
 *            or many.
 *
 *              READING ──line──► LISTING ──last row──────────────► READING
 *                 │ ├──────────► ASKING ──the owner answers──────► READING
 *                 │ ├──────────► KILLING ──it is gone────────────► READING
 *                 │ └──────────► ASKING ──► TRACING ──limit──────► READING
 *                 └─ a line that is too long: an error, then OVER
 *
 * Bounds     One line of input; output is produced only while less than PD_SESSION_OUTPUT_LOW bytes
 *            wait, so that a slow reader holds no memory. Asking and killing end after
 *            PD_SESSION_PATIENCE_NS.
 * Threads    One thread at a time, none of the schedulers'. The program outlives it. */
#ifndef PD_NODE_CONTROL_SESSION_H
#define PD_NODE_CONTROL_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/program.h"

#define PD_SESSION_OUTPUT_LOW 65536u
#define PD_SESSION_PATIENCE_NS UINT64_C(2000000000)

/* What can be asked about. */
struct pd_control_target {
    struct pd_program *program;
    int os_pid;       /* of the system's process */
    const char *file; /* what it runs */
    const char *node; /* the name of the node inside of which it runs; NULL: none */
    uint64_t began_ns;
};

struct pd_control_session;

/* NULL: no memory. */
struct pd_control_session *pd_control_session_create(const struct pd_control_target *target);
void pd_control_session_destroy(struct pd_control_session *session);

/* How many bytes it takes now; 0 while it answers. */
size_t pd_control_session_room(const struct pd_control_session *session);

/* Bytes of the client, at most as many as there is room for. */
void pd_control_session_feed(struct pd_control_session *session, const char *bytes, size_t size);

/* Go on as far as possible. */
void pd_control_session_work(struct pd_control_session *session);

/* Bytes for the client, and how many of them it took. */
size_t pd_control_session_output(const struct pd_control_session *session, const char **bytes_out);
void pd_control_session_sent(struct pd_control_session *session, size_t size);

/* In how many ms to work again without any input; -1: when there is some. */
int pd_control_session_wait_ms(const struct pd_control_session *session);

/* True: it waits for input and owes nothing, so that silence may end it. */
bool pd_control_session_is_idle(const struct pd_control_session *session);

/* True: once the output is sent, close it. */
bool pd_control_session_is_over(const struct pd_control_session *session);

#endif
