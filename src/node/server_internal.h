/* server_internal - the inside of a server, for src/node/server*.c alone. */
#ifndef PD_NODE_SERVER_INTERNAL_H
#define PD_NODE_SERVER_INTERNAL_H

#include <stdatomic.h>

#include "base/disk.h"
#include "base/list.h"
#include "base/postbox.h"
#include "base/spin.h"
#include "node/directory.h"
#include "node/forwards.h"
#include "node/members_file.h"
#include "node/server.h"
#include "node/session_shares.h"

/* -- A queue that many threads put into and one takes from ------------------------------------- */

struct pd_server_message {
    struct pd_posted link;
    uint32_t kind; /* enum pd_server_kind, or enum pd_server_job_kind */
};

/* The message behind this one of those that were taken; NULL: the last. */
static inline struct pd_server_message *pd_server_next(const struct pd_server_message *message)
{
    struct pd_posted *next = message->link.next;
    return next == NULL ? NULL : pd_container_of(next, struct pd_server_message, link);
}

/* A pusher wakes the taker only when it sleeps. */
struct pd_server_queue {
    struct pd_postbox box;
    atomic_bool sleeps;
    struct pd_event event;
};
void pd_server_put(struct pd_server_queue *queue, struct pd_server_message *message);
/* And wake the taker, if it sleeps. */
void pd_server_push(struct pd_host *host, struct pd_server_queue *queue,
                    struct pd_server_message *message);
/* All that was pushed, oldest first; NULL: nothing. */
struct pd_server_message *pd_server_take(struct pd_server_queue *queue);
/* Until something is pushed, pd_server_wake is called, or the deadline. */
void pd_server_sleep(struct pd_host *host, struct pd_server_queue *queue, uint64_t deadline_ns);
void pd_server_wake(struct pd_host *host, struct pd_server_queue *queue);

/* What comes in to the core. */
enum pd_server_kind {
    PD_SERVER_REQUEST = 0,  /* struct pd_server_request; freed by the core */
    PD_SERVER_CLIENT_GONE,  /* likewise */
    PD_SERVER_LOG_DURABLE,  /* the log's */
    PD_SERVER_LOG_SPACE,    /* the log's */
    PD_SERVER_STORE_DONE,   /* the store's */
    PD_SERVER_READ_DONE,    /* struct pd_server_read; freed by the core */
    PD_SERVER_PACKET,       /* struct pd_server_packet; freed by the core */
    PD_SERVER_PEER_LOST,    /* likewise, without bytes */
    PD_SERVER_PEER_REMOVED, /* likewise: it says that this node was removed */
    PD_SERVER_STOP
};

struct pd_server_request {
    struct pd_server_message message;
    struct pd_server_client *client;
    uint64_t client_id;
    uint64_t correlation;
    uint64_t asked_ns; /* 0: it is not timed */
    size_t size;
    uint8_t bytes[];
};

/* What a peer sent. */
struct pd_server_packet {
    struct pd_server_message message;
    uint64_t from;
    size_t size;
    uint8_t bytes[];
};

/* -- Log thread: server_log.c ------------------------------------------------------------------ */

struct pd_server_log {
    struct pd_disk *disk;
    struct pd_wal *wal;
    struct pd_thread thread;
    bool is_started;
    struct pd_server_queue queue;
    /* The core fills these, then pushes `write`; the log thread pushes `durable` back. */
    struct pd_server_message write;
    const struct pd_wal_record *records;
    uint32_t record_count;
    uint64_t ticket;
    struct pd_server_message durable;
    bool gave_up; /* told with `durable`: it is not; the server is closing on a full disk */
    atomic_bool lacks_descriptors; /* why there is no room */
    atomic_uint_least64_t cut;
    atomic_bool stops;
    /* The log thread's. Told to the core, which answers by taking `space` up. */
    struct pd_server_message space;
    atomic_bool space_is_told;
    atomic_bool is_low;
    bool low_told;
    bool is_full;
    uint64_t looked_ns;
    uint64_t cut_done;
    bool space_is_low;
    uint32_t group_id;
};

enum pd_server_job_kind {
    PD_SERVER_JOB_WRITE = 0,
    PD_SERVER_JOB_FLUSH,
    PD_SERVER_JOB_RESET,
    PD_SERVER_JOB_MEMBERS, /* peers.known, into its file */
    PD_SERVER_JOB_FETCH,
    PD_SERVER_JOB_SNAPSHOT_OPEN,
    PD_SERVER_JOB_SNAPSHOT_READ,
    PD_SERVER_JOB_SNAPSHOT_CLOSE
};

/* -- Store thread: server_store.c -------------------------------------------------------------- */

/* One of each kind at most is under way. */
struct pd_server_store_job {
    struct pd_server_message message; /* kind: the job's on the way there */
    enum pd_server_job_kind kind;
    const struct pd_store_write *writes;
    size_t write_count;
    uint64_t index;
    uint64_t durable_index; /* told with the end of any job */
    bool gave_up;           /* told likewise: the server is closing on a full disk */
    bool is_stuck;          /* told likewise: the store has to be opened anew */
    enum pd_status status;  /* of the members' file alone: a store that fails ends the process */
};

struct pd_server_writer {
    struct pd_disk *disk; /* the store's folder, for its free space */
    struct pd_thread thread;
    bool is_started;
    struct pd_server_queue queue;
    struct pd_server_store_job write;
    struct pd_server_store_job flush;
    struct pd_server_store_job reset;
    struct pd_server_store_job members;
    atomic_bool is_full;
    atomic_bool lacks_descriptors; /* why */
    uint32_t
        refusals; /* of the store one after the other, for want of descriptors that are there */
    atomic_bool stops;
};

/* Rows that are wanted: a job for a reader, and its answer for the core. */
struct pd_server_read {
    struct pd_server_message message;
    enum pd_server_job_kind kind;
    uint32_t reader;
    uint32_t fetch_id;
    uint64_t transfer;
    uint64_t index;
    enum pd_status status;
    bool descending;
    bool is_urgent;
    size_t low_size;
    size_t high_size;
    struct pd_store_page page;
    uint8_t bounds[]; /* low, high */
};

#define PD_SERVER_ROOM_PART 8u /* of disk_low_bytes: with less free, the store is given nothing */
#define PD_SERVER_VIEWS_MAX 4u

struct pd_server_view {
    uint64_t transfer;
    struct pd_store_view *view; /* NULL: the place is free */
};

struct pd_server_reader {
    struct pd_server *server;
    struct pd_thread thread;
    bool is_started;
    struct pd_server_queue queue;
    uint32_t under_way;                               /* the core's; so the next one */
    uint32_t unwoken;                                 /* of them: it may sleep beside them */
    struct pd_server_view views[PD_SERVER_VIEWS_MAX]; /* the first reader's */
    atomic_bool stops;
};

/* -- Clients ----------------------------------------------------------------------------------- */

struct pd_server_place {
    uint64_t id; /* 0: free */
    struct pd_server_client *client;
    struct pd_session_share *share; /* the core's; NULL: it has no sessions */
};

/* -- Sessions of clients from outside: server_sessions.c; session_shares.h --------------------- */

/* A request that is to be given to the replica; its bytes may change. true: it was refused, and
 * answered. place may be NULL. */
bool pd_server_sessions_refuse(struct pd_server *server, struct pd_server_place *place,
                               struct pd_server_request *request);
void pd_server_sessions_tick(struct pd_server *server);

/* -- Peers: server_peers.c; forwards.h --------------------------------------------------------- */

#define PD_SERVER_SIGHTINGS_MAX 16u /* at once; of further members nothing is told */

/* A member that is, or was, elsewhere than the directory said: server_peers_found.c. */
struct pd_server_sighting {
    uint64_t node; /* 0: free */
    struct pd_transport_address address;
    bool is_there;    /* as of the last look */
    uint64_t seen_ns; /* when it was last */
    uint64_t next_ns; /* nothing is told of it before */
    uint32_t tells;
};

struct pd_server_peers {
    struct pd_transport *transport; /* NULL: alone */
    bool is_started;
    uint8_t key[PD_TRANSPORT_KEY_SIZE];
    struct pd_members_file file;
    struct pd_members_file known; /* whom it knew last: server_members.h */
    bool known_is_written;        /* the store thread reads `known`: it stays as it is */
    bool known_is_due;            /* the directory has changed since */
    struct pd_directory directory;
    struct pd_replica_first_member first[PD_MEMBERS_FILE_MAX + 1];
    uint8_t *first_bytes;    /* what those borrow */
    struct pd_kv_member own; /* as the directory is to say; its texts are in own_texts */
    char *own_texts;
    uint64_t own_asked_ns;
    bool is_name_told; /* that it is another member's */
    struct pd_server_sighting sightings[PD_SERVER_SIGHTINGS_MAX];
    uint64_t sightings_next_ns; /* nobody looks before */
    uint64_t table_names;       /* what the names were when the transport's table was made */
    atomic_uint_least64_t packets_waiting;
    atomic_uint_least64_t packet_bytes_waiting;

    struct pd_forwards forwards; /* the core's */
    struct {
        atomic_uint_least64_t packets;
        atomic_uint_least64_t packets_dropped;
        atomic_uint_least64_t sends_dropped;
    } counters;
};

/* What node.json holds. */
struct pd_server_identity {
    uint64_t cluster_id;
    uint64_t node_id;
    uint64_t log_identity;
    uint64_t segment_bytes; /* of the log's files, for ever */
    bool has_begun;         /* the log was written to */
};

/* -- Figures (server_figures.c) ---------------------------------------------------------------- */

enum pd_server_gauge {
    PD_SERVER_GAUGE_LEADER = 0,
    PD_SERVER_GAUGE_LEADER_CHANGES,
    PD_SERVER_GAUGE_TERM,
    PD_SERVER_GAUGE_LAST_INDEX,
    PD_SERVER_GAUGE_COMMITTED_INDEX,
    PD_SERVER_GAUGE_APPLIED_INDEX,
    PD_SERVER_GAUGE_REVISION,
    PD_SERVER_GAUGE_COMPACTED_REVISION,
    PD_SERVER_GAUGE_KEY_COUNT,
    PD_SERVER_GAUGE_LEASE_COUNT,
    PD_SERVER_GAUGE_PROPOSALS,
    PD_SERVER_GAUGE_LARGE_WAITED,
    PD_SERVER_GAUGE_READS,
    PD_SERVER_GAUGE_READS_TURNED_AWAY,
    PD_SERVER_GAUGE_READ_BYTES,
    PD_SERVER_GAUGE_SNAPSHOTS_SENT,
    PD_SERVER_GAUGE_SNAPSHOTS_INSTALLED,
    PD_SERVER_GAUGE_IS_LEARNER,
    PD_SERVER_GAUGE_DISK_IS_LOW,
    PD_SERVER_GAUGE_CLUSTER_VERSION,
    PD_SERVER_GAUGE_DATAGRAMS_DROPPED,
    PD_SERVER_GAUGE_VERSIONS_REFUSED,
    PD_SERVER_GAUGE_BAD_TOKENS,
    PD_SERVER_GAUGE_CONNECTIONS_FAILED,
    PD_SERVER_GAUGE_CONNECTIONS_TIMED_OUT,
    PD_SERVER_GAUGE_BAD_FRAMES,
    PD_SERVER_GAUGE_REFUSED_BUSY,
    PD_SERVER_GAUGE_REFUSED_FLOOD,
    PD_SERVER_GAUGE_REFUSED_KEY,
    PD_SERVER_GAUGE_SILENT,
    PD_SERVER_GAUGE_PEERS_MOVED,
    PD_SERVER_GAUGE_OWN_MOVES,
    PD_SERVER_GAUGE_TRAINS,
    PD_SERVER_GAUGE_TRAINS_REFUSED,
    PD_SERVER_GAUGE_COUNT
};

/* Written by who holds the core, with every tick; the histograms each by the thread whose work it
 * is. Read by anybody. */
struct pd_server_gauges {
    atomic_uint_least64_t values[PD_SERVER_GAUGE_COUNT];
    uint64_t leader_last; /* that was seen; not 0 once there was one */
    struct pd_histogram sync;
    struct pd_histogram apply;
    struct pd_histogram store_write;
};

/* With every tick, while the core is held. */
void pd_server_gauges_publish(struct pd_server *server);

/* -- All of it --------------------------------------------------------------------------------- */

/* Apart from what is written often: hot readers share these two. */
struct pd_server_lease {
    uint8_t before[64];
    atomic_uint_least64_t generation; /* odd: no hot reads */
    atomic_uint_least64_t until_ns;
    atomic_uint_least64_t revision; /* applied when it was published last */
    atomic_uint_least64_t term;
    uint8_t behind[64];
};

struct pd_server {
    struct pd_server_config config;
    struct pd_host *host;
    char *folder;
    struct pd_disk *root;
    struct pd_store *store;
    struct pd_replica *replica;
    struct pd_server_about about;
    struct pd_server_identity identity; /* the core's, once it runs */

    struct pd_server_queue inbox;
    struct pd_thread core;
    bool is_started;
    struct pd_server_log log;
    struct pd_server_writer writer;
    struct pd_server_reader readers[PD_SERVER_READERS_MAX];
    uint32_t reader_count;

    atomic_uint_least64_t requests_waiting;
    atomic_uint_least64_t request_bytes_waiting;
    atomic_bool is_closed; /* nothing is taken any more */

    atomic_uint_least64_t answers_away;   /* bytes of answers whose clients do not have them yet */
    atomic_uint_least64_t answers_unread; /* of these, in connections: for clients to take */
    atomic_bool reads_wait;               /* for these to become fewer */

    struct pd_spin places_lock;
    struct pd_server_place *places;
    uint32_t *places_free;
    uint32_t places_free_count;
    uint32_t place_generation;
    struct pd_session_shares shares;

    struct pd_server_peers peers;
    struct pd_server_lease lease;
    atomic_bool is_ready;
    atomic_bool store_is_condemned;
    atomic_bool store_is_stuck;
    atomic_bool was_removed;
    struct pd_event ready;

    atomic_bool core_is_held;          /* by the core, the log or the transport's thread */
    atomic_bool has_rest;              /* another thread left work to the core thread */
    atomic_uint_least64_t tick_due_ns; /* written by who holds the core */

    /* What follows belongs to who holds the core. */
    uint64_t now_ns;
    uint64_t wall_ns;
    bool more;                          /* the replica has more to do */
    struct pd_server_client *unsettled; /* to be told that its answers were given */
    struct pd_server_message stop;
    struct pd_server_message *unread; /* taken from the inbox, not yet delivered */
    bool is_stopping;
    uint64_t stop_deadline_ns; /* a lead that nobody took by then goes down with this node */
    bool has_failed;
    bool log_is_busy;
    bool store_is_busy;
    bool store_waits; /* its thread was not woken yet */
    bool flush_is_busy;
    bool reset_waits; /* for readers to be done */
    bool reset_runs;  /* asked for, and not yet answered */
    uint64_t durable_told;
    struct pd_replica_status status; /* scratch: too large for a frame */
    uint32_t reads_under_way;
    struct pd_server_read *reads_held; /* while a reset waits or runs */
    bool disk_is_low;
    size_t row_bytes_max;
    struct {
        atomic_uint_least64_t requests;
        atomic_uint_least64_t requests_refused;
        atomic_uint_least64_t answers;
        atomic_uint_least64_t log_batches;
        atomic_uint_least64_t log_records;
        atomic_uint_least64_t store_batches;
        atomic_uint_least64_t fetches;
        atomic_uint_least64_t slow;
        atomic_uint_least64_t slow_untold;
        atomic_uint_least64_t hot_reads;
    } counters;
    uint64_t slow_second; /* in which slow_lines were told */
    uint32_t slow_lines;
    struct pd_server_gauges gauges;
};

static inline void pd_server_count(atomic_uint_least64_t *counter, uint64_t by)
{
    (void)atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

/* server_core.c */
void pd_server_core_main(void *argument);
/* The log thread has put its news into the inbox: it runs the core, unless that is held, until a
 * batch waits to be written. */
void pd_server_core_from_log(struct pd_server *server);
/* The transport's thread has put messages into the inbox: it runs the core for a moment, unless
 * that is held. What is sent leaves with the packets that this thread writes next. */
void pd_server_core_from_net(struct pd_server *server);
/* Put it into the inbox, and see that somebody looks there. */
void pd_server_wake_core(struct pd_server *server, struct pd_server_message *message);
void pd_server_nudge_core(struct pd_server *server);

/* A text for a person; cut where the room ends. */
void pd_server_say(char text[PD_SERVER_TEXT_MAX], const char *format, ...) PD_PRINTF(2, 3);
/* To the owner's log, if it has one. */
void pd_server_note(struct pd_server *server, const char *text);

/* The core: it serves no more; `text` says why. */
void pd_server_fail(struct pd_server *server, const char *text);

/* The answer of a replica to one of the clients. */
void pd_server_answer(struct pd_server *server, uint64_t client_id, uint64_t correlation,
                      struct pd_span bytes);

/* server_slow.c: requests that took too long */
/* SLOW of the replica, before its answer is given. */
void pd_server_slow_told(struct pd_server *server, const struct pd_replica_output *output);
/* A request that was passed on, before its answer is given. */
void pd_server_slow_forwarded(struct pd_server *server, const struct pd_forward *forward,
                              struct pd_span answer);

/* server_peers.c */
/* The folder is held: whose it is, and whom it knows. is_new: it has no node.json. */
PD_NODISCARD enum pd_status pd_server_peers_identify(struct pd_server *server, bool is_new,
                                                     char *text);
/* The log is written to: from here on an empty folder is a loss. */
PD_NODISCARD enum pd_status pd_server_peers_begun(struct pd_server *server);
/* The identity is known: what the replica is to know of the others, and the transport. */
PD_NODISCARD enum pd_status pd_server_peers_open(struct pd_server *server, char *text);
/* The core runs, or is about to. */
void pd_server_peers_start(struct pd_server *server);
/* Nothing comes in any more. */
void pd_server_peers_stop(struct pd_server *server);
void pd_server_peers_close(struct pd_server *server);
/* The core: */
void pd_server_peers_send(struct pd_server *server, uint64_t node, enum pd_transport_lane lane,
                          struct pd_span bytes);
void pd_server_peers_packet(struct pd_server *server, struct pd_server_packet *packet);
void pd_server_peers_lost(struct pd_server *server, struct pd_server_packet *packet);
void pd_server_peers_removed(struct pd_server *server, struct pd_server_packet *packet);
/* After the replica's work. true: there is more. */
bool pd_server_peers_turn(struct pd_server *server, bool is_tick);
/* A request that would be passed on, and that the leader may not know: while the cluster's version
 * is that of a program which does not, it is answered so, and nobody waits. */
bool pd_server_peers_refuse(struct pd_server *server, const struct pd_server_request *request);

/* What this node wants of the directory; nobody hears whether it came to be. */
void pd_server_peers_ask(struct pd_server *server, const struct pd_kv_command *command);

/* server_peers_found.c */
/* With each tick: whether a member is elsewhere than the directory says. */
void pd_server_peers_found(struct pd_server *server);

/* server_log.c */
void pd_server_log_main(void *argument);

/* server_store.c */
void pd_server_writer_main(void *argument);
void pd_server_reader_main(void *argument);
/* The core hands out a read of these rows; it comes back as READ_DONE. */
void pd_server_read_rows(struct pd_server *server, enum pd_server_job_kind kind,
                         const struct pd_replica_output *output);
/* Reads that a reset held up go out. */
void pd_server_reads_release(struct pd_server *server);
/* Behind reads that were handed out: whose reader sleeps. */
void pd_server_readers_wake(struct pd_server *server);
void pd_server_read_free(struct pd_server_read *read);

/* server_lease.c: what hot reads stand on */
/* The core: let go of hot reads, or allow them for a while, as the replica stands now. Before
 * anything that the replica said leaves this node. */
void pd_server_lease_publish(struct pd_server *server);

/* server_folder.c */
/* Hold the folder, and say whose it is; an empty one is given an identity. */
PD_NODISCARD enum pd_status pd_server_folder_open(struct pd_server *server,
                                                  struct pd_server_identity *identity_out,
                                                  char *text);
PD_NODISCARD enum pd_status pd_server_identity_write(struct pd_server *server,
                                                     const struct pd_server_identity *identity);
/* The same under another name, whole or not at all; and what node.json says. PD_ERR_UNKNOWN: there
 * is none; PD_ERR_CORRUPT: it is not what this version writes. */
PD_NODISCARD enum pd_status pd_server_identity_put(struct pd_disk *root, const char *name,
                                                   const struct pd_server_identity *identity);
PD_NODISCARD enum pd_status pd_server_identity_get(struct pd_disk *root,
                                                   struct pd_server_identity *identity_out);

/* -- Another state for a folder: server_switch.c ----------------------------------------------- */

#define PD_SERVER_CONDEMNED_NAME "store.is-damaged" /* beside a store that is not to be used */
#define PD_SERVER_SWITCH_LOG "restored-log"
#define PD_SERVER_SWITCH_STORE "restored-store"
#define PD_SERVER_SWITCH_MEMBERS "restored-cluster.json"
/* All of the above is durable: from now on the folder is what they say. PD_OK: it is. Else it may
 * be, once what is wrong with the disk is put right and anybody opens the folder. */
PD_NODISCARD enum pd_status pd_server_switch(struct pd_disk *root,
                                             const struct pd_server_identity *identity);
/* Whoever opens the folder ends what a crash cut short. PD_OK also when there is nothing to do. */
PD_NODISCARD enum pd_status pd_server_switch_finish(struct pd_disk *root);
/* FOLDER/store, open; one that cannot be read is put aside and *is_lost_out true. */
PD_NODISCARD enum pd_status pd_server_store_open(struct pd_server *server, bool *is_lost_out,
                                                 char *text);
/* The store turned out to be damaged: the next start puts it aside. */
void pd_server_store_condemn(struct pd_server *server);

#endif
