/* grpc_internal - one connection of gRPC, as the files that serve it share it. Private to those.
 *
 *     grpc.c            the connection: nghttp2's callbacks, what begins a call, the protocol
 *     grpc_request.c    what the client asks
 *     grpc_response.c   what it is answered
 *     grpc_deadlines.c  which call is late */
#ifndef PD_GATEWAY_GRPC_INTERNAL_H
#define PD_GATEWAY_GRPC_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "base/list.h"
#include "gateway/grpc.h"
#include "gateway/grpc_headers.h"

#define PD_GRPC_PREFIX_SIZE 5u /* of a message: compressed or not, size */

/* One response message, with its prefix. */
struct pd_grpc_chunk {
    struct pd_grpc_chunk *next;
    size_t size;
    size_t at;
    uint8_t bytes[];
};

struct pd_grpc_stream {
    struct pd_grpc *grpc;
    struct pd_list link;      /* of the connection */
    struct pd_list resumable; /* linked: its output has gone down */
    int32_t id;
    const struct pd_service_method *method;
    struct pd_service_call *call; /* NULL: not begun, or ended */
    /* Of the request's headers. */
    struct pd_grpc_headers headers;
    size_t header_bytes;
    uint64_t timeout_ns;
    bool is_post;
    bool is_grpc;
    bool is_malformed; /* its grpc-timeout is none */
    bool wants_leader;
    bool is_refused; /* answered before it began */
    /* The message that is coming. */
    uint8_t prefix[PD_GRPC_PREFIX_SIZE];
    uint32_t prefix_size;
    uint8_t *input;
    size_t input_size;
    size_t input_capacity;
    /* What came while the call was full. */
    uint8_t *held;
    size_t held_size; /* 0: nothing */
    size_t held_at;   /* before it, it was taken */
    bool client_ended;
    /* The responses. */
    struct pd_grpc_chunk *output;
    struct pd_grpc_chunk **output_end;
    bool is_crowded; /* its response had no room */
    uint64_t output_bytes;
    bool has_begun; /* the response's headers are given to nghttp2 */
    bool is_held;
    bool has_ended;
    enum pd_service_code code;
    char *text; /* NULL: none */
    /* Its place in the heap of deadlines, from 1; 0: none. */
    uint32_t heap_place;
    uint64_t deadline_ns;         /* the earlier one of: */
    uint64_t call_deadline_ns;    /* what the client said; UINT64_MAX: nothing */
    uint64_t message_deadline_ns; /* of the message that is coming; UINT64_MAX: none */
};

struct pd_grpc {
    struct pd_grpc_shared *shared;
    const struct pd_grpc_config *config; /* shared's; so for the next */
    struct pd_service *service;
    struct pd_protocol_owner owner;
    nghttp2_session *session;
    struct pd_list streams;
    struct pd_list resumable;
    struct pd_grpc_stream **heap; /* 1 .. streams_max */
    uint32_t heap_count;
    uint64_t now_ns;
    uint64_t input_bytes;
    uint64_t output_bytes;
    struct pd_service_client client;
    uint64_t read_since_ns; /* it was not read from before */
    bool is_paused;         /* it is not read from */
    bool is_cut_off;
};

static inline void pd_grpc_wants_output(struct pd_grpc *grpc)
{
    grpc->owner.wants_output(grpc->owner.connection);
}

/* -- Deadlines --------------------------------------------------------------------------------- */

/* The stream's call_deadline_ns or message_deadline_ns has changed: it is due at the earlier. */
void pd_grpc_deadline_set(struct pd_grpc_stream *stream);
void pd_grpc_deadline_remove(struct pd_grpc_stream *stream); /* it has none any more */
/* End the calls that are late. PD_ERR_TIMEOUT: hang up. state: a struct pd_grpc. */
enum pd_status pd_grpc_expire(void *state, uint64_t now_ns);

/* -- Requests ---------------------------------------------------------------------------------- */

/* Take as much of what came as the call takes. Returns how many bytes that was. */
size_t pd_grpc_take_data(struct pd_grpc_stream *stream, const uint8_t *bytes, size_t size);
/* Keep what the call does not take now. False: it is too much, or there is no memory. */
bool pd_grpc_hold(struct pd_grpc_stream *stream, const uint8_t *bytes, size_t size);
/* The call takes requests again: give it what is held. */
void pd_grpc_take_held(struct pd_grpc_stream *stream);
/* The client has ended its side: tell the call, once it has taken all. */
void pd_grpc_end_request(struct pd_grpc_stream *stream);
void pd_grpc_drop_input(struct pd_grpc_stream *stream);

/* -- Responses --------------------------------------------------------------------------------- */

extern const struct pd_service_carrier pd_grpc_carrier; /* a call's context is its stream */
/* Answer with a status, after the messages that wait. text: borrowed; "": none. */
void pd_grpc_finish(struct pd_grpc_stream *stream, enum pd_service_code code, const char *text);
/* The same for a call that we end, not the service. */
void pd_grpc_end_call(struct pd_grpc_stream *stream, enum pd_service_code code, const char *text);
/* It is not gRPC: answer in HTTP's own words. status: three digits. */
void pd_grpc_refuse(struct pd_grpc_stream *stream, const char *status);
void pd_grpc_drop_output(struct pd_grpc_stream *stream);

#endif
