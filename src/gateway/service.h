/* service - the etcd v3 API's calls as messages, whatever carries them: gRPC, JSON over HTTP, a
 * test.
 *
 * Model      A call of a method takes one request message (or many, when the client streams) and
 *            gives one response (or many, when the server streams), then ends with a code and a
 *            text. Messages are protobuf-c's structures, so that a carrier may encode them as it
 *            likes through their descriptors.
 *
 *                pd_service_begin -> pd_service_request ... -> pd_service_half_close
 *                    <- response ... <- ended        (or pd_service_cancel: nothing follows)
 *
 * Flow       A response that returns false holds up a streaming call until pd_service_resume: no
 *            further events are asked for. While pd_service_is_full the carrier keeps further
 *            requests of that call to itself, until `roomy`.
 * Threads    All of it on the gateway's thread. response and ended come from within
 *            pd_service_request, pd_service_half_close, pd_service_resume, or the backend's drain
 *            or submitted.
 * Leader     A call that requires a leader (etcd's WithRequireLeader) is refused while the node
 *            knows none. A streaming one ends once three looks in a row, leader_look_ns apart, have
 *            found none: its client goes to another node. The carrier's timer calls
 *            pd_service_expire.
 * Bounds     struct pd_service_config.
 * Ownership  Messages are borrowed for the call of the function, both ways. A call is the
 *            service's; after `ended` or pd_service_cancel it is gone. */
#ifndef PD_GATEWAY_SERVICE_H
#define PD_GATEWAY_SERVICE_H

#include <protobuf-c/protobuf-c.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/span.h"
#include "gateway/backend.h"
#include "proto/arena.h"

/* gRPC's codes. */
enum pd_service_code {
    PD_CODE_OK = 0,
    PD_CODE_CANCELLED = 1,
    PD_CODE_UNKNOWN = 2,
    PD_CODE_INVALID_ARGUMENT = 3,
    PD_CODE_DEADLINE_EXCEEDED = 4,
    PD_CODE_NOT_FOUND = 5,
    PD_CODE_RESOURCE_EXHAUSTED = 8,
    PD_CODE_FAILED_PRECONDITION = 9,
    PD_CODE_OUT_OF_RANGE = 11,
    PD_CODE_UNIMPLEMENTED = 12,
    PD_CODE_INTERNAL = 13,
    PD_CODE_UNAVAILABLE = 14,
    PD_CODE_DATA_LOSS = 15
};

struct pd_service;
struct pd_service_account;
struct pd_service_call;

struct pd_service_method {
    const char *path; /* "/etcdserverpb.KV/Range" */
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
    bool client_streams;
    bool server_streams;
    bool may_nest; /* requests may hold requests: pd_proto_is_shallow must pass first */
};

/* What a carrier does with a call's outcome. */
struct pd_service_carrier {
    /* False: no more until pd_service_resume (the server streams; else it does not matter). */
    bool (*response)(struct pd_service_call *call, const ProtobufCMessage *message);
    /* text: "" with PD_CODE_OK. */
    void (*ended)(struct pd_service_call *call, enum pd_service_code code, const char *text);
    /* It takes requests again. */
    void (*roomy)(struct pd_service_call *call);
};

struct pd_service_config {
    struct pd_backend *backend;
    struct pd_kv_limits limits; /* the node's */
    /* Under way at the backend, of all calls. Of requests, of writes among them, and of the bytes
     * of writes a client has no more than are left for all others; watches have three quarters of
     * waits_max at most. */
    uint32_t waits_max;
    uint32_t writes_max;
    uint64_t write_bytes_max;
    uint32_t keepalives_max;    /* under way, of one call */
    uint32_t watches_max;       /* of one client; and no more than are left for all others */
    size_t watch_key_bytes_max; /* of one client: keys and ends of its watches' ranges */
    /* Of gRPC's health; a client has no more of them than are left for all others. */
    uint32_t health_watches_max;
    uint64_t output_bytes_max; /* answers that wait, of all clients together */
    uint64_t leader_look_ns;   /* an election timeout */
    uint32_t watch_credit;     /* bytes of events under way to one watch */
    size_t watch_response_max; /* bytes of a response that may not be fragmented */
    size_t arena_max;          /* bytes of one message, decoded */
    /* Health checks are told; NULL: never. Who sets it calls pd_service_health_changed, on the
     * gateway's thread. */
    const atomic_bool *is_stopping;
    const char *version; /* told as the server's; clients look at it */
};
struct pd_service_config pd_service_config_default(void);

/* The backend is attached by the caller, its answers given to pd_service_answered. */
PD_NODISCARD enum pd_status pd_service_open(const struct pd_service_config *config,
                                            struct pd_service **service_out);
/* Every call has ended or was cancelled. */
void pd_service_close(struct pd_service *service);
void pd_service_answered(struct pd_service *service, uint64_t correlation,
                         const struct pd_backend_answer *answer);

/* NULL: there is no such method. */
const struct pd_service_method *pd_service_find(struct pd_span path);
/* All methods, for carriers with names of their own; the count is written. */
const struct pd_service_method *pd_service_method_at(uint32_t index); /* NULL: past the last */

/* Room for decoding one request; empty, and good until it is asked for again. */
struct pd_arena *pd_service_arena(struct pd_service *service);

/* One client's, that is a connection's, part of what all share. Its carrier's, who keeps it as long
 * as a call, and then leaves; zero at first. */
struct pd_service_client {
    struct pd_service_account *account; /* of its requests under way; NULL: it had none yet */
    uint32_t watches;
    uint32_t health_watches;
    size_t watch_key_bytes;
    uint64_t output_bytes;
};

/* It has no calls any more. Its writes that are still under way count until they are answered. */
void pd_service_client_leave(struct pd_service_client *client);

/* So many bytes of answers wait for the client now, instead of what was said last. False: hang up
 * on it. For it has more than is left for all others: so few that take nothing do not starve many,
 * and all together stay below output_bytes_max. What has become less is always fine. */
bool pd_service_output(struct pd_service *service, struct pd_service_client *client,
                       uint64_t bytes);

/* NULL: no memory. context is the carrier's. client: NULL: nobody's in particular. */
struct pd_service_call *pd_service_begin(struct pd_service *service,
                                         const struct pd_service_method *method,
                                         const struct pd_service_carrier *carrier, void *context,
                                         struct pd_service_client *client);
/* False: the node knows no leader; the call has ended. For a call that has had no request. */
bool pd_service_require_leader(struct pd_service_call *call);
uint64_t pd_service_deadline_ns(const struct pd_service *service); /* UINT64_MAX: none */
void pd_service_expire(struct pd_service *service, uint64_t now_ns);
/* config.is_stopping may have changed: those that watch the health are told. */
void pd_service_health_changed(struct pd_service *service);
void *pd_service_context(const struct pd_service_call *call);
const struct pd_service_method *pd_service_method_of(const struct pd_service_call *call);

/* A request message of the method's type. The call may have ended when it returns. */
void pd_service_request(struct pd_service_call *call, const ProtobufCMessage *message);
/* The client sends no more. The call may have ended when it returns. */
void pd_service_half_close(struct pd_service_call *call);
bool pd_service_is_full(const struct pd_service_call *call);
void pd_service_resume(struct pd_service_call *call);
/* The client does not want it any more: nothing follows. What was proposed still happens; a waiter
 * for a lock gives its place up. */
void pd_service_cancel(struct pd_service_call *call);

struct pd_service_counters {
    uint64_t calls;
    uint64_t failures; /* ended with another code than OK */
    uint64_t watches;  /* now; so for the next */
    uint64_t output_bytes;
    uint64_t leases_kept;
};
void pd_service_counters(const struct pd_service *service,
                         struct pd_service_counters *counters_out);

#endif
