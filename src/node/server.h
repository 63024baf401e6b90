/* server - a node in a process: the threads, files and clock around one replica (replica.h).
 *
 * Model      Who holds the core calls the replica, gives it the time and its ticks, and serves its
 *            outputs: the core thread, or for a moment the log's or the transport's. The log thread
 *            writes and syncs one batch at a time; what comes in meanwhile is the next batch. The
 *            store thread writes behind; reader threads fetch rows. They hand over through queues
 *            without locks, and sleep when they have nothing to do.
 * Folder     FOLDER/node.json (who this is), FOLDER/log, FOLDER/store. It is held against every
 *            other process while the server is open. A store that cannot be read is put aside as
 *            FOLDER/store.damaged-N, and rebuilt.
 * Requests   replica_request.h. Any thread gives them; an answer comes back through the client's
 *            function, while the core is held.
 * Bounds     struct pd_server_config. Full is PD_ERR_FULL, and nothing was done.
 * Failure    A log that cannot be written or synced ends the process at once (pd_fatal): what the
 *            disk holds is unknown. Whatever else ends the replica is told to config.failed.
 * Time       The host's: now_ns counts suspended time. */
#ifndef PD_NODE_SERVER_H
#define PD_NODE_SERVER_H

#include "base/histogram.h"
#include "base/host.h"
#include "node/replica.h"
#include "node/server_peers.h"
#include "store/rocks.h"

#define PD_SERVER_TEXT_MAX 768u
#define PD_SERVER_READERS_MAX 16u

#define PD_SERVER_SLOW_LINES 10u

struct pd_server;

/* A slow request. */
struct pd_server_slow {
    const struct pd_replica_slow *request;
    const char *from;    /* of whom: the name of a client; "peer": another node's client */
    uint64_t node;       /* of a peer: that node */
    bool is_forwarded;   /* not served here, but passed on */
    uint64_t leader;     /* likewise: to this node; 0: there was none */
    uint64_t forward_ns; /* likewise: how long that took */
};

struct pd_server_config {
    const char *folder;
    struct pd_host *host;
    /* ids, seed, start and initial_conf come from the folder */
    struct pd_replica_config replica;
    struct pd_wal_config wal;
    struct pd_store_rocks_config store;
    struct pd_server_peers_config peers;
    uint64_t tick_ns;           /* of raft's ticks */
    uint64_t disk_low_bytes;    /* free space below which clients' writes are refused */
    uint32_t requests_max;      /* given and not yet taken up by the core */
    uint64_t request_bytes_max; /* of all of them */
    uint32_t clients_max;
    uint32_t readers; /* threads that read the store */
    /* While the core is held: the replica has ended and nothing is served any more; `text` says why
     * and what to do. May be NULL. */
    void (*failed)(void *state, const char *text);
    /* While the core is held, once: it serves, as leader or beside one. May be NULL. */
    void (*ready)(void *state);
    /* A line for the node's log, likewise. May be NULL. */
    void (*note)(void *state, const char *text);
    /* A request took config.replica.slow_ns or longer, likewise; borrowed for the call. At most
     * PD_SERVER_SLOW_LINES a second are told. false: it could not be said. May be NULL. */
    bool (*slow)(void *state, const struct pd_server_slow *slow);
    void *state;
};

/* A node as shipped; folder and host are the caller's. */
struct pd_server_config pd_server_config_default(void);

/* Open the folder, recover its log and store, and start. An empty or missing folder becomes the one
 * node of a new cluster; one with a cluster.json (members_file.h) what that says.
 *
 * PD_OK            *server_out is the caller's, to close.
 * PD_ERR_EXISTS    another process holds the folder.
 * PD_ERR_DENIED    the system refuses, or the folder is not a node's.
 * PD_ERR_CORRUPT   log or node.json cannot be trusted; nothing was changed.
 * PD_ERR_FULL, PD_ERR_INVALID, PD_ERR_IO, PD_ERR_NO_MEMORY.
 * text: what is wrong and what to do, for a person; empty with PD_OK. */
PD_NODISCARD enum pd_status pd_server_open(const struct pd_server_config *config,
                                           char text[PD_SERVER_TEXT_MAX],
                                           struct pd_server **server_out);
/* Take no more requests, hand over the lead, finish what is under way, make the store durable,
 * close. Every client has been closed before. */
void pd_server_close(struct pd_server *server);

/* -- Clients ----------------------------------------------------------------------------------- */

/* Where answers go. The functions are called while the core is held, one at a time: they must be
 * short and never wait. */
struct pd_server_client {
    /* bytes: an answer of replica_request.h, borrowed for the call. May submit. */
    void (*answer)(struct pd_server_client *client, uint64_t correlation, struct pd_span bytes);
    /* Once behind answers that were given together: who hands them to a thread wakes it here. May
     * be NULL. */
    void (*settled)(struct pd_server_client *client);
    /* Nothing comes after it: the structure is the caller's again. */
    void (*closed)(struct pd_server_client *client);
    /* What slow requests are told to be from: "api", "app"; static. NULL: "node". */
    const char *name;
    /* It comes through a client port, or with a ticket: session_shares.h says what it may take. */
    bool is_outside;
    /* The server's: */
    uint64_t id;
    bool is_unsettled;
    struct pd_server_client *next_unsettled;
};

/* From now on `client` may submit. PD_ERR_FULL: clients_max. PD_ERR_CLOSED: the server ends. */
PD_NODISCARD enum pd_status pd_server_client_open(struct pd_server *server,
                                                  struct pd_server_client *client);
/* Its answers are not wanted any more; what it proposed still happens. `closed` follows. */
void pd_server_client_close(struct pd_server *server, struct pd_server_client *client);

/* Any thread; the bytes are copied. Exactly one answer follows (a watch: many).
 *
 * PD_ERR_FULL    nothing was done: again when answers have come.
 * PD_ERR_CLOSED  nothing was done: the server ends.
 * PD_ERR_NO_MEMORY  nothing was done. */
PD_NODISCARD enum pd_status pd_server_submit(struct pd_server *server,
                                             struct pd_server_client *client, uint64_t correlation,
                                             struct pd_span bytes);

/* The same, but the core is not woken for it: pd_server_nudge must follow, and serves all
 * before. */
PD_NODISCARD enum pd_status pd_server_submit_quietly(struct pd_server *server,
                                                     struct pd_server_client *client,
                                                     uint64_t correlation, struct pd_span bytes);
void pd_server_nudge(struct pd_server *server);
/* Any thread: memory of answers, from their `answer` until their clients have taken them. While
 * there is much of it, large reads wait, for read_ticks_max at most. */
void pd_server_answers_away(struct pd_server *server, uint64_t bytes);
void pd_server_answers_back(struct pd_server *server, uint64_t bytes);
/* The same, of what waits in connections until clients take it, which they may never do: not all
 * large reads wait for that. */
void pd_server_answers_unread(struct pd_server *server, uint64_t bytes);
void pd_server_answers_read(struct pd_server *server, uint64_t bytes);
#define PD_SERVER_ANSWER_LARGE ((size_t)64 << 10) /* smaller ones need not be told */

/* Credit for a watch that runs, or its end: the queue's bounds do not hold for it, since nobody
 * would say it again, and the watch would stand still for ever. There are no more of them than
 * watches and their answers. PD_ERR_CLOSED, PD_ERR_NO_MEMORY: as above. */
PD_NODISCARD enum pd_status pd_server_submit_of_watch(struct pd_server *server,
                                                      struct pd_server_client *client,
                                                      uint64_t correlation, struct pd_span bytes);

/* A linearizable read of one key by any thread, without a lock or a wait: of a key in memory, on a
 * leader that holds a lease (config.replica.raft.lease_reads) or is the only voter. Statuses as
 * pd_kv_get_hot's:
 *
 * PD_OK           record_out, its spans in `room`.
 * PD_ERR_UNKNOWN  there is no such key.
 * PD_ERR_RANGE    not in memory, or no lease just now: submit a read. */
PD_NODISCARD enum pd_status pd_server_read_hot(struct pd_server *server, struct pd_span key,
                                               uint8_t *room, size_t room_max,
                                               struct pd_kv_record *record_out);

/* The same for the body of a READ (replica_request.h) of one key that is there, whole and as it is
 * now: true, and the answer's body lies in `room`. false: submit it; it may be no such read. */
#define PD_SERVER_HOT_ANSWER_MAX 2048u /* bytes of room that suffice */
bool pd_server_answer_hot(struct pd_server *server, struct pd_span body, uint8_t *room,
                          size_t room_max, struct pd_replica_answer_head *answer_out);

/* -- What it is -------------------------------------------------------------------------------- */

struct pd_server_about {
    uint64_t cluster_id;
    uint64_t node_id;
    bool is_new;          /* the folder was empty */
    bool store_was_lost;  /* it was put aside, or gone */
    uint64_t torn_bytes;  /* of the log's tail, cut */
    uint64_t log_records; /* that recovery read */
};
void pd_server_about(const struct pd_server *server, struct pd_server_about *about_out);

/* After config.failed: the store was to blame. A server that is opened anew puts it aside and
 * rebuilds it, if the log is whole. */
bool pd_server_store_is_condemned(const struct pd_server *server);

/* After config.failed: the store found no file descriptor and does not recover while it is open. A
 * server that is opened anew goes on with it. */
bool pd_server_store_is_stuck(const struct pd_server *server);

/* After config.failed: this node is no member of its cluster any more, and never will be again. */
bool pd_server_was_removed(const struct pd_server *server);

/* Any thread; relaxed counts. */
struct pd_server_counters {
    uint64_t requests;
    uint64_t requests_refused; /* full */
    uint64_t answers;
    uint64_t hot_reads; /* pd_server_answer_hot */
    uint64_t log_batches;
    uint64_t log_records;
    uint64_t store_batches;
    uint64_t fetches;
    uint64_t slow;        /* requests */
    uint64_t slow_untold; /* of these: beyond what may be told, or it could not be said */
    struct pd_server_peers_counters peers;
};
void pd_server_counters(const struct pd_server *server, struct pd_server_counters *counters_out);

/* What a monitor asks for. Any thread: as of the last tick, each number for itself. */
struct pd_server_figures {
    uint64_t leader; /* 0: none is known */
    uint64_t leader_changes;
    uint64_t term;
    uint64_t last_index; /* of the log; committed_index <= last_index */
    uint64_t committed_index;
    uint64_t applied_index;
    uint64_t revision;
    uint64_t compacted_revision;
    uint64_t key_count;
    uint64_t lease_count;
    uint64_t proposals; /* since the start; so the next ones */
    uint64_t large_waited;
    uint64_t reads;
    uint64_t reads_turned_away; /* to begin again when there is room for their rows */
    uint64_t read_bytes;        /* of rows for answers, until the clients have them */
    uint64_t snapshots_sent;
    uint64_t snapshots_installed;
    uint64_t is_learner;
    uint64_t disk_is_low;
    uint64_t cluster_version;
    uint64_t version_limit;     /* of this node's program */
    uint64_t datagrams_dropped; /* at the port for nodes, as transport.h has it; so the next */
    uint64_t versions_refused;
    uint64_t bad_tokens;
    uint64_t connections_failed;
    uint64_t connections_timed_out;
    uint64_t bad_frames;
    uint64_t peers_refused_busy;
    uint64_t peers_refused_flood;
    uint64_t peers_refused_key;
    uint64_t connections_silent; /* and of paths, as transport.h has it */
    uint64_t peers_moved;
    uint64_t own_moves;
    uint64_t trains;
    uint64_t trains_refused;
    struct pd_histogram_copy sync;  /* of the log, to the disk */
    struct pd_histogram_copy apply; /* a turn of the core that applied entries, and answered */
    struct pd_histogram_copy store_write; /* a batch of rows */
};
void pd_server_figures(const struct pd_server *server, struct pd_server_figures *figures_out);
/* `leader` of these alone. */
uint64_t pd_server_leader(const struct pd_server *server);

/* Wait until the replica serves, as leader or beside one, or has failed, or now_ns passes the
 * deadline. True: it serves. One waiter at a time. */
bool pd_server_wait_ready(struct pd_server *server, uint64_t deadline_ns);

#endif
