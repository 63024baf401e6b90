/* service_internal - what the files of the services share; private to src/gateway. */
#ifndef PD_GATEWAY_SERVICE_INTERNAL_H
#define PD_GATEWAY_SERVICE_INTERNAL_H

#include "base/list.h"
#include "base/table.h"
#include "gateway/service.h"
#include "proto/election.pb-c.h"
#include "proto/lock.pb-c.h"
#include "proto/mvcc.pb-c.h"
#include "proto/rpc.pb-c.h"

/* One request that is under way at the backend. Embedded in what waits for it. */
struct pd_service_wait {
    void (*answered)(struct pd_service_wait *wait, const struct pd_backend_answer *answer);
    uint32_t place; /* 0: none is under way */
    enum pd_backend_kind kind;
    bool is_watch;    /* of the Watch service: those have a share of their own */
    bool is_cleaning; /* of what has begun: its client's share does not refuse it */
};

/* What a method does; each may be NULL. */
struct pd_service_handler {
    void (*request)(struct pd_service_call *call, const ProtobufCMessage *message);
    void (*half_closed)(struct pd_service_call *call); /* NULL: nothing happens */
    void (*resumed)(struct pd_service_call *call);
    /* Give back what `state` holds: the call ends, or was cancelled. */
    void (*dropped)(struct pd_service_call *call, bool was_cancelled);
};

struct pd_service_entry {
    struct pd_service_method method;
    const struct pd_service_handler *handler;
    uint32_t kind; /* the handler's */
};

struct pd_service_call {
    struct pd_service *service;
    const struct pd_service_entry *entry;
    const struct pd_service_carrier *carrier;
    void *context;
    struct pd_service_client *client; /* NULL: nobody's */
    struct pd_service_call *next_free;
    struct pd_service_wait wait; /* of a call that asks one thing at a time */
    struct pd_list led;          /* linked: it streams, and requires a leader */
    void *state;                 /* the handler's, of calls that need more */
    bool was_asked;              /* its request has come */
    bool is_held;                /* the carrier takes no more responses */
    bool is_full;
};

/* What a client has under way at the backend, or all clients have. A client's lives as long as it,
 * and as long as any of its writes. */
struct pd_service_account {
    uint32_t holders; /* the client, and its places */
    uint32_t requests;
    uint32_t writes;
    uint64_t write_bytes;
};

/* Free, until a request takes it; free again when that was answered, or is not wanted any more. A
 * write that is not wanted keeps its place, without a wait, for the backend keeps it as well. */
struct pd_service_place {
    struct pd_service_wait *wait;       /* NULL: free, or nobody wants its answer */
    struct pd_service_account *account; /* NULL: nobody's */
    uint32_t generation;
    uint32_t next_free;
    uint32_t write_bytes; /* of a write; else 0 */
    bool is_taken;
    bool is_watch;
};

struct pd_service {
    struct pd_service_config config;
    struct pd_backend *backend;
    struct pd_arena arena;           /* of the message that is looked at */
    struct pd_arena answers;         /* of the response that is made */
    struct pd_service_place *places; /* 1 .. waits_max */
    uint32_t free_place;
    uint32_t free_count;               /* of places */
    struct pd_service_account account; /* of all clients */
    struct pd_service_call *free_calls;
    uint32_t call_count;
    struct pd_table watches; /* by call and watch id */
    struct pd_list orphans;  /* waiters whose calls are over, and whose keys are being removed */
    struct pd_list health_watchers;
    uint32_t health_count;
    struct pd_list led;  /* calls that end when there is no leader for long */
    uint64_t look_ns;    /* when it is looked for one next, if there are such calls */
    uint32_t leaderless; /* looks in a row that found none */
    uint64_t snapshot_number;
    struct pd_service_counters counters;
};

extern const struct pd_service_handler pd_service_kv;
extern const struct pd_service_handler pd_service_lease;
extern const struct pd_service_handler pd_service_keepalive;
extern const struct pd_service_handler pd_service_watch;
extern const struct pd_service_handler pd_service_cluster;
extern const struct pd_service_handler pd_service_maintenance;
extern const struct pd_service_handler pd_service_snapshot;
extern const struct pd_service_handler pd_service_auth;
extern const struct pd_service_handler pd_service_lock;
extern const struct pd_service_handler pd_service_health;
extern const struct pd_service_handler pd_service_health_watch;

/* Orphans are waited for no more. */
void pd_service_lock_close(struct pd_service *service);

/* -- Waiting ----------------------------------------------------------------------------------- */

/* Places for all; false: no memory. Of the service's opening and closing. */
bool pd_service_waits_open(struct pd_service *service);
void pd_service_waits_close(struct pd_service *service);
/* What `guest` asks from now on is of the client's share, also when that has left. It had asked
 * nothing, and leaves. client: NULL: nobody's. */
void pd_service_client_share(struct pd_service_client *guest,
                             const struct pd_service_client *client);
/* Submit; the answer goes to wait->answered, which must be set. client: whose share it is of; NULL:
 * nobody's. PD_ERR_FULL: there is no place, or the client has as many as are left for all others;
 * and the backend's. */
PD_NODISCARD enum pd_status pd_service_submit(struct pd_service *service,
                                              struct pd_service_client *client,
                                              struct pd_service_wait *wait,
                                              const struct pd_backend_request *request);
uint64_t pd_service_correlation(const struct pd_service *service,
                                const struct pd_service_wait *wait);
/* If something is under way: its answer is not wanted any more. */
void pd_service_forget(struct pd_service *service, struct pd_service_wait *wait);
/* Submit for a call with one request at a time, whose failure ends the call. */
void pd_service_ask(struct pd_service_call *call, const struct pd_backend_request *request,
                    void (*answered)(struct pd_service_wait *wait,
                                     const struct pd_backend_answer *answer));
static inline struct pd_service_call *pd_service_call_of(struct pd_service_wait *wait)
{
    return pd_container_of(wait, struct pd_service_call, wait);
}

/* -- Answers ----------------------------------------------------------------------------------- */

/* A response of `descriptor`'s type, initialised, in the answers' arena; NULL: beyond its bound. */
void *pd_service_make(struct pd_service *service, const ProtobufCMessageDescriptor *descriptor);
Etcdserverpb__ResponseHeader *pd_service_header(struct pd_service *service, int64_t revision,
                                                uint64_t term);
/* Give a response, NULL meaning that there was no room for it, and end the call if it has one. */
void pd_service_finish(struct pd_service_call *call, const void *message);
/* Of a streaming call. message NULL: the call has ended when it returns false. */
bool pd_service_give(struct pd_service_call *call, const void *message);
void pd_service_end(struct pd_service_call *call, enum pd_service_code code, const char *text);
void pd_service_fail_kv(struct pd_service_call *call, enum pd_kv_error error);
/* An outcome that is not OK, or an answer that is none. */
void pd_service_fail(struct pd_service_call *call, const struct pd_backend_answer *answer);
void pd_service_fail_status(struct pd_service_call *call, enum pd_status status);
/* The same as words, for those that do not end the call. */
struct pd_service_error {
    enum pd_service_code code;
    char text[160];
};
void pd_service_error_of(const struct pd_backend_answer *answer,
                         struct pd_service_error *error_out);

/* Take an answer's head. False: it was an error, and the call has ended with it. */
bool pd_service_take(struct pd_service_call *call, const struct pd_backend_answer *answer,
                     struct pd_kv_reader *reader_out, struct pd_kv_answer_head *head_out);

/* protobuf-c's fields are not const; what is encoded is not written to. */
static inline ProtobufCBinaryData pd_proto_bytes(struct pd_span span)
{
    return (ProtobufCBinaryData){.len = span.size, .data = (uint8_t *)(uintptr_t)span.bytes};
}
static inline struct pd_span pd_proto_span(ProtobufCBinaryData bytes)
{
    return (struct pd_span){bytes.data, bytes.len};
}
static inline char *pd_proto_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

#endif
