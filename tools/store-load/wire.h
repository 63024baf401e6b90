/* wire - one connection to a node's socket, or to its port for clients, without blocking. */
#ifndef PD_TOOL_STORE_LOAD_WIRE_H
#define PD_TOOL_STORE_LOAD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "node/replica_request.h"

struct wire {
    int descriptor; /* -1: not connected */
    int pending;    /* a connection that is being made; -1: none */
    bool is_tcp;
    uint8_t *out;
    size_t out_size;
    size_t out_at;
    size_t out_capacity;
    uint8_t *in;
    size_t in_size;
    size_t in_at;
    size_t in_capacity;
};

enum wire_progress {
    WIRE_CONNECTED = 0,
    WIRE_CONNECTING, /* call again; or close it, to give up */
    WIRE_FAILED      /* nobody listens, or no descriptor is left */
};

void wire_init(struct wire *wire);
/* Begin, or go on. place: a path, or "tcp:ADDRESS:PORT" in numbers. */
enum wire_progress wire_connect(struct wire *wire, const char *place);
void wire_close(struct wire *wire);
void wire_free(struct wire *wire);
void wire_send(struct wire *wire, uint64_t correlation, const struct pd_replica_request_head *head);
/* What can be written and read now. False: the connection is gone. */
bool wire_flush(struct wire *wire);
bool wire_fill(struct wire *wire);
/* The next whole frame; its bytes are good until the next call of any of these. */
bool wire_next(struct wire *wire, uint64_t *correlation_out, struct pd_span *bytes_out);

#endif
