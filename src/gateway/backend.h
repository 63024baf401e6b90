/* backend - the store as the gateway asks it: what a node, or a test, puts behind the services.
 *
 * Model      A request is submitted under a correlation of the gateway's choice, below 2^56; its
 *            answer comes back under it (a watch has many). Answers arrive on any thread: the
 *            backend keeps them and calls `wake`, and the gateway's thread takes them with `drain`,
 *            which gives each to `answered` before it returns. `submitted` may do so, too.
 * Writes     A WRITE happens once or not at all, however often the lead changes meanwhile; when
 *            that cannot be known, its outcome is UNKNOWN. A REPEATABLE one changes nothing, and
 *            may be tried again freely.
 * Time       deadline_ns and expire are the backend's timer, on the gateway's thread.
 * Ownership  Spans of a request are borrowed for the call, those of an answer for the callback. */
#ifndef PD_GATEWAY_BACKEND_H
#define PD_GATEWAY_BACKEND_H

#include <stdbool.h>

#include "base/histogram.h"
#include "base/status.h"
#include "kv/answer.h"
#include "kv/kv.h"

struct pd_backend;
struct pd_text;

enum pd_backend_kind {
    PD_BACKEND_WRITE = 0,  /* body: a command */
    PD_BACKEND_REPEATABLE, /* body: a command that changes nothing */
    PD_BACKEND_READ,       /* body: a command with one range */
    PD_BACKEND_LEASE,      /* number: lease id; its time to live and keys */
    PD_BACKEND_LEASES,
    PD_BACKEND_ABOUT,       /* the answer is `about` */
    PD_BACKEND_WATCH,       /* watch; the answers are `watch` */
    PD_BACKEND_ADD_LEARNER, /* number: node; so for the next three. The answer is OK alone */
    PD_BACKEND_PROMOTE,
    PD_BACKEND_REMOVE, /* for good, also from the directory; INVALID: it leads, or is the last */
    PD_BACKEND_TRANSFER,
    /* number: the gateway's own; sequence: of the chunk, from 0, which begins. The body is one
     * chunk of what is applied here: its byte PD_BACKEND_CHUNK_KIND_AT is PD_BACKEND_CHUNK_LAST in
     * the last one */
    PD_BACKEND_SNAPSHOT,
    PD_BACKEND_SNAPSHOT_END /* of cancel alone, whose correlation is the snapshot's number */
};

#define PD_BACKEND_CHUNK_KIND_AT 5u
#define PD_BACKEND_CHUNK_LAST 3u

struct pd_backend_watch {
    struct pd_span key;
    struct pd_span range_end;
    int64_t start_revision; /* 0: from now on */
    uint32_t credit;        /* bytes of answers with events */
    bool no_put;
    bool no_delete;
    bool with_previous;
    bool with_progress;
    bool may_fragment;
};

struct pd_backend_request {
    enum pd_backend_kind kind;
    bool serializable; /* READ, ABOUT, LEASE*: of what is applied here, however old */
    uint64_t number;
    uint64_t sequence;
    struct pd_span body;
    const struct pd_backend_watch *watch;
};

enum pd_backend_outcome {
    PD_BACKEND_OK = 0,
    /* Nothing was done: */
    PD_BACKEND_NO_LEADER,
    PD_BACKEND_BUSY,
    PD_BACKEND_NO_SPACE,
    PD_BACKEND_CLOSED,  /* the node ends */
    PD_BACKEND_INVALID, /* it can never be accepted: `text` says why */
    /* Nobody knows whether it was done: */
    PD_BACKEND_UNKNOWN,
    /* Of a watch: it ended; `watch` says why. */
    PD_BACKEND_CANCELLED
};

#define PD_BACKEND_MEMBERS_MAX 128u
#define PD_BACKEND_URLS_MAX 4u
struct pd_backend_member {
    uint64_t id;
    bool is_learner;
    const char *name; /* "": not known */
    uint32_t client_url_count;
    uint32_t peer_url_count;
    const char *client_urls[PD_BACKEND_URLS_MAX];
    const char *peer_urls[PD_BACKEND_URLS_MAX];
};
struct pd_backend_about {
    int64_t revision;
    int64_t compacted_revision;
    uint64_t committed_index;
    uint64_t applied_index;
    uint64_t hash; /* of all live keys, leases and sessions */
    uint64_t key_count;
    uint64_t store_bytes; /* on disk */
    bool is_learner;
    bool disk_is_low;
    uint32_t member_count;
    struct pd_backend_member members[PD_BACKEND_MEMBERS_MAX];
};

enum pd_backend_watch_kind {
    PD_BACKEND_WATCH_CREATED = 0,
    PD_BACKEND_WATCH_EVENTS,
    PD_BACKEND_WATCH_PROGRESS,
    PD_BACKEND_WATCH_ENDED
};
struct pd_backend_watch_answer {
    enum pd_backend_watch_kind kind;
    int64_t revision;
    int64_t through_revision;   /* every event up to here was given */
    int64_t compact_revision;   /* ENDED: what was wanted lies below; else 0 */
    bool is_fragment;           /* more of the last revision follows in the next answer */
    size_t cost;                /* of the credit */
    struct pd_kv_reader events; /* read with `event` until it is false */
    bool (*event)(struct pd_kv_reader *reader, struct pd_kv_event *event_out);
    struct pd_span reason; /* ENDED: words */
};

struct pd_backend_answer {
    enum pd_backend_outcome outcome;
    uint64_t leader; /* 0: unknown */
    uint64_t term;
    struct pd_span body; /* of kv/answer.h */
    struct pd_span text; /* of an outcome that is not OK; may be empty */
    const struct pd_backend_about *about;
    const struct pd_backend_watch_answer *watch;
};

/* What a monitor asks for: since the start, or as of a moment ago, each for itself. */
struct pd_backend_figures {
    uint64_t leader; /* 0: none is known */
    uint64_t leader_changes;
    uint64_t term;
    uint64_t last_index; /* of the log */
    uint64_t committed_index;
    uint64_t applied_index;
    uint64_t revision;
    uint64_t compacted_revision;
    uint64_t key_count;
    uint64_t lease_count;
    uint64_t cluster_version;
    uint64_t version_limit; /* of this node's program */
    uint64_t proposals;
    uint64_t large_waited;
    uint64_t proposals_failed;
    uint64_t reads;
    uint64_t reads_turned_away; /* to begin again when there is room for their rows */
    uint64_t read_bytes;        /* of rows for answers, until the clients have them */
    uint64_t snapshots_sent;
    uint64_t snapshots_installed;
    uint64_t store_bytes;
    uint64_t log_batches;
    uint64_t log_records;
    uint64_t requests;
    uint64_t requests_refused;
    uint64_t requests_slow;
    uint64_t requests_slow_untold; /* of these: not in the log, for there were too many */
    uint64_t peer_packets;
    uint64_t peer_packets_dropped; /* the core's queue was full */
    uint64_t peer_sends_dropped;
    uint64_t datagrams_dropped;     /* at the port for nodes, whoever sent them: part of nothing */
    uint64_t versions_refused;      /* there: of a version of QUIC that is not spoken */
    uint64_t bad_tokens;            /* there: what proves an address was false, or too old */
    uint64_t connections_failed;    /* there: an error ended them */
    uint64_t connections_timed_out; /* there: nothing came any more */
    uint64_t bad_frames;            /* there: messages that were none */
    uint64_t peers_refused_busy;    /* connections at the port for nodes: no room for them */
    uint64_t peers_refused_flood;   /* their address had as many handshakes as one may have */
    uint64_t peers_refused_key;     /* their key has no business here */
    uint64_t connections_silent;    /* there: they seemed to lead nowhere */
    uint64_t peers_moved;           /* there: their other end was found at another address */
    uint64_t own_moves;             /* changes of this machine's addresses */
    uint64_t trains;                /* several datagrams that the system took as one */
    uint64_t trains_refused;        /* that it did not, while it took their datagrams */
    uint64_t forwards;
    bool is_learner;
    bool disk_is_low;
    struct pd_histogram_copy sync;
    struct pd_histogram_copy apply;
    struct pd_histogram_copy store_write;
};

/* The gateway's side. */
struct pd_backend_events {
    void (*answered)(void *state, uint64_t correlation, const struct pd_backend_answer *answer);
    void (*wake)(void *state); /* any thread: call drain soon */
    void *state;
};

/* A client that speaks the node's own protocol (base/frame.h), which the gateway passes on unread.
 * The gateway's storage, from peer_open to peer_close. */
struct pd_backend_peer {
    /* A frame for it; within drain, or peer_submit. bytes: borrowed. */
    void (*answered)(struct pd_backend_peer *peer, uint64_t correlation, struct pd_span bytes);
    void *at; /* the backend's */
};

struct pd_backend_ops {
    /* Once, before anything else. */
    void (*attach)(struct pd_backend *backend, const struct pd_backend_events *events);
    /* Never answers before it returns; `submitted` follows, which may. PD_ERR_FULL: nothing was
     * done, too much is under way. PD_ERR_CLOSED: nothing was done, the node ends.
     * PD_ERR_NO_MEMORY. */
    enum pd_status (*submit)(struct pd_backend *backend, uint64_t correlation,
                             const struct pd_backend_request *request);
    /* Nothing more is submitted for now: one wake-up serves many requests. What could be answered
     * at once is given to `answered`; what that lets in is submitted within it, or is followed by
     * another `submitted`. NULL: none is needed. */
    void (*submitted)(struct pd_backend *backend);
    /* No answer is wanted any more; what was proposed still happens. A write's answer still comes,
     * for as long as it is kept; a watch ends, and its last one may. */
    void (*cancel)(struct pd_backend *backend, uint64_t correlation, enum pd_backend_kind kind);
    /* Of a watch: `credit` bytes more; wants_progress: a PROGRESS once it is in step. */
    void (*credit)(struct pd_backend *backend, uint64_t correlation, uint32_t credit,
                   bool wants_progress);
    void (*drain)(struct pd_backend *backend);
    /* So many bytes of answers wait for clients now. NULL: nobody wants to know. */
    void (*output)(struct pd_backend *backend, uint64_t bytes);
    /* NULL, all three: it has no protocol of its own. PD_ERR_FULL: too many peers; PD_ERR_CLOSED,
     * PD_ERR_NO_MEMORY. */
    enum pd_status (*peer_open)(struct pd_backend *backend, struct pd_backend_peer *peer);
    /* A frame of it. What cannot be asked, or not now, is answered so. `submitted` follows. */
    void (*peer_submit)(struct pd_backend *backend, struct pd_backend_peer *peer,
                        uint64_t correlation, struct pd_span bytes);
    /* It is not answered any more; what it proposed still happens. */
    void (*peer_close)(struct pd_backend *backend, struct pd_backend_peer *peer);
    /* At once, from what lies ready. NULL: it counts nothing. */
    void (*figures)(struct pd_backend *backend, struct pd_backend_figures *figures_out);
    /* Further families for /metrics (prometheus.h), likewise. NULL: it has none. */
    void (*more_metrics)(struct pd_backend *backend, struct pd_text *text);
    /* Whether the node knows a leader, as of a moment ago. NULL: it always does. */
    bool (*has_leader)(const struct pd_backend *backend);
    uint64_t (*deadline_ns)(const struct pd_backend *backend); /* UINT64_MAX: none */
    void (*expire)(struct pd_backend *backend, uint64_t now_ns);
    /* Nothing is given to `answered` or `wake` any more; `closed` (of the node's own making)
     * follows. */
    void (*detach)(struct pd_backend *backend);
};

struct pd_backend {
    const struct pd_backend_ops *ops;
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t (*now_ns)(const struct pd_backend *backend);
};

#endif
