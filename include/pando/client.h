/* pando/client.h - a client of Pando's store, for programs in C and C++.
 *
 *     struct pando_client *client = NULL;
 *     const char *endpoints[] = {"unix:/var/lib/pando/pando.sock"};
 *     struct pando_config config = PANDO_CONFIG_INIT;
 *     config.endpoints = endpoints;
 *     config.endpoint_count = 1;
 *     if (pando_client_open(&config, &client) != PANDO_OK ||
 *         pando_put(client, pando_text("greeting"), pando_text("hello"), 0, NULL) != PANDO_OK) {
 *         fprintf(stderr, "%s\n", pando_client_message(client));
 *     }
 *     pando_client_close(client);
 *
 * Compile and link with `pkg-config --cflags --libs pando`.
 *
 * Model      Every call blocks until it is answered or the client's timeout has passed. A client
 *            has one connection, to one of its endpoints; when that is lost it goes to the next.
 *            A write is numbered in a session of the client's own, so that it happens once however
 *            often it is sent again meanwhile.
 * Errors     A status, and words for a person: pando_client_message of the client that was called.
 *            What a status means for a write stands at its name. Output parameters are written
 *            with PANDO_OK only, and may be NULL where nothing must be given back.
 * Ownership  What a function named _open, _new, _start or an output `result` gives is the caller's,
 *            who ends it with _close, _free or _stop; each of these takes NULL. Bytes that are
 *            passed in are read during the call only. Texts and records that are given out belong
 *            to what they were asked of, and last as long as said there.
 * Threads    A client, result, transaction or watch is used by one thread at a time. Different ones
 *            have nothing in common: a thread of its own each, as many as wanted. A keeper may be
 *            asked by any thread. No signal is raised, and no handler installed.
 * Event loop A watch has a descriptor to poll. Everything else blocks: use a client in a thread of
 *            its own beside the loop.
 * Numbers    Revisions count the store's changes from 1. Times are milliseconds (_ms) or seconds
 *            (_s). Sizes are bytes.
 * Bounds     A key and its value have 8 MiB together, a transaction 128 operations, unless the
 *            cluster is configured otherwise; an answer 128 MiB.
 * Stability  Handles are opaque. Structures that the library makes may grow at their end; those
 *            that the caller makes begin with their size. */
#ifndef PANDO_CLIENT_H
#define PANDO_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PANDO_API __attribute__((visibility("default")))
#else
#define PANDO_API
#endif

/* -- Statuses ---------------------------------------------------------------------------------- */

enum pando_status {
    PANDO_OK = 0,
    /* Nothing was done, and asking again is of no use: */
    PANDO_INVALID = 1,   /* an argument, endpoint or request that can never be accepted */
    PANDO_NOT_FOUND = 2, /* no such key or lease */
    PANDO_EXISTS = 3,    /* a lease with this id is there */
    PANDO_COMPACTED = 4, /* the revision that was asked for is no longer kept */
    PANDO_REFUSED = 5,   /* the store or the node refuses: the message says why */
    /* Nothing was done; later it may work: */
    PANDO_UNREACHABLE = 6, /* no endpoint answers */
    PANDO_BUSY = 7,        /* no leader yet, or a bound is reached, for the whole timeout */
    PANDO_NO_SPACE = 8,    /* the leader's disk is nearly full; deleting still works */
    /* Of a write, nobody knows whether it happens: look. Of a read: ask again. */
    PANDO_TIMEOUT = 9,
    PANDO_UNKNOWN = 10,
    /* What answers does not speak Pando's protocol, or another version of it. */
    PANDO_PROTOCOL = 11,
    PANDO_SYSTEM = 12, /* the operating system refuses: the message says what */
    PANDO_NO_MEMORY = 13
};

/* "no such key or lease" and the like. Static, never NULL. */
PANDO_API const char *pando_status_text(enum pando_status status);

/* The library's version, "0.1.0". Static. */
PANDO_API const char *pando_version(void);

/* -- Bytes ------------------------------------------------------------------------------------- */

/* Borrowed. `data` may be NULL when `size` is 0. */
struct pando_bytes {
    const void *data;
    size_t size;
};

/* Of a text, without its end. */
PANDO_API struct pando_bytes pando_text(const char *text);

/* -- Clients ----------------------------------------------------------------------------------- */

#define PANDO_ENDPOINTS_MAX 16
#define PANDO_TIMEOUT_MS 10000 /* unless configured */

struct pando_config {
    size_t config_size; /* sizeof (struct pando_config): PANDO_CONFIG_INIT sets it */
    /* "unix:PATH", a node's socket (DIR/pando.sock); "tcp:HOST:PORT" and "tls:HOST:PORT", its
     * client port. In order: the first one that answers is used. Copied, like all texts here. */
    const char *const *endpoints;
    size_t endpoint_count; /* 1 to PANDO_ENDPOINTS_MAX */
    uint64_t timeout_ms;   /* for each call; 0: PANDO_TIMEOUT_MS */
    /* Of "tls:" endpoints. Files are PEM, and read anew for each connection. NULL: the system's
     * authorities; no certificate of the client's own; the name that the endpoint has. */
    const char *ca_file;
    const char *cert_file; /* with key_file */
    const char *key_file;
    const char *server_name; /* what the node's certificate must be for */
};

#define PANDO_CONFIG_INIT                                                                          \
    {                                                                                              \
        sizeof(struct pando_config), NULL, 0, 0, NULL, NULL, NULL, NULL                            \
    }

struct pando_client;

/* Make a client. Nothing is connected yet: the first call does that.
 *
 * PANDO_OK, PANDO_INVALID (the client is made, to ask it for its message; close it), or
 * PANDO_NO_MEMORY (*client_out is NULL). */
PANDO_API enum pando_status pando_client_open(const struct pando_config *config,
                                              struct pando_client **client_out);
/* End its session, if it has one and its node answers at once; hang up. */
PANDO_API void pando_client_close(struct pando_client *client);

/* Of the calls that follow. 0: PANDO_TIMEOUT_MS. */
PANDO_API void pando_client_set_timeout(struct pando_client *client, uint64_t timeout_ms);

/* What was wrong with the last call that was not OK, for a person: one line, without a newline.
 * Good until the next call with this client. NULL for a client: "no memory". */
PANDO_API const char *pando_client_message(const struct pando_client *client);

/* The endpoint that is connected, or NULL. Good until the next call with this client. */
PANDO_API const char *pando_client_endpoint(const struct pando_client *client);

/* -- Keys -------------------------------------------------------------------------------------- */

/* One key as it was read. */
struct pando_record {
    struct pando_bytes key;
    struct pando_bytes value;
    int64_t create_revision; /* when it was put, not having been there */
    int64_t mod_revision;    /* when it was put last */
    int64_t version;         /* puts since it was created, from 1 */
    int64_t lease;           /* 0: none */
};

/* Which keys. PANDO_KEY: the one. PANDO_PREFIX: all that begin with it; all there are for an empty
 * one. PANDO_RANGE: from `key` on, below `end`. PANDO_FROM: from `key` on. */
enum pando_keys_kind {
    PANDO_KEY = 0,
    PANDO_PREFIX = 1,
    PANDO_RANGE = 2,
    PANDO_FROM = 3
};
struct pando_keys {
    enum pando_keys_kind kind;
    struct pando_bytes key;
    struct pando_bytes end; /* of PANDO_RANGE */
};
PANDO_API struct pando_keys pando_key(struct pando_bytes key);
PANDO_API struct pando_keys pando_prefix(struct pando_bytes prefix);

/* Set a key. lease: 0, or one that takes the key with it when it ends. *revision_out: the change's.
 *
 * PANDO_NOT_FOUND: no such lease. */
PANDO_API enum pando_status pando_put(struct pando_client *client, struct pando_bytes key,
                                      struct pando_bytes value, int64_t lease,
                                      int64_t *revision_out);

/* Delete keys. *deleted_out: how many there were; none is PANDO_OK. */
PANDO_API enum pando_status pando_delete(struct pando_client *client, const struct pando_keys *keys,
                                         int64_t *deleted_out, int64_t *revision_out);

#define PANDO_SERIALIZABLE 1u /* what the node has applied, however old; without asking others */
#define PANDO_KEYS_ONLY 2u    /* values are empty */

struct pando_result;

/* Read keys, in the order of their bytes. revision: 0, or as it was then. limit: 0, or so many at
 * most. flags: PANDO_SERIALIZABLE, PANDO_KEYS_ONLY. Without PANDO_SERIALIZABLE the answer holds
 * every write that was answered before the call, whoever made it.
 *
 * PANDO_OK, also for no key at all. PANDO_COMPACTED: the revision is too old. PANDO_INVALID: it is
 * yet to come. */
PANDO_API enum pando_status pando_get(struct pando_client *client, const struct pando_keys *keys,
                                      int64_t revision, uint64_t limit, unsigned flags,
                                      struct pando_result **result_out);

/* How many records it holds. */
PANDO_API size_t pando_result_count(const struct pando_result *result);
/* From 0; NULL: there are not so many. Good as long as the result. */
PANDO_API const struct pando_record *pando_result_record(const struct pando_result *result,
                                                         size_t index);
/* How many keys there were, also those beyond the limit. */
PANDO_API int64_t pando_result_total(const struct pando_result *result);
/* The store's, when it was asked. */
PANDO_API int64_t pando_result_revision(const struct pando_result *result);
PANDO_API void pando_result_free(struct pando_result *result);

/* Keep nothing that is older than `revision`. PANDO_COMPACTED, PANDO_INVALID: as of pando_get. */
PANDO_API enum pando_status pando_compact(struct pando_client *client, int64_t revision,
                                          int64_t *revision_out);

/* -- Transactions ------------------------------------------------------------------------------ */

/* What of a key is compared. A key that is not there has 0 for each number, and no value: a compare
 * of its value is not true. */
enum pando_compare {
    PANDO_COMPARE_VALUE = 0,
    PANDO_COMPARE_VERSION = 1,
    PANDO_COMPARE_CREATE = 2, /* create_revision: 0 means "is not there" */
    PANDO_COMPARE_MOD = 3,
    PANDO_COMPARE_LEASE = 4
};
enum pando_is {
    PANDO_IS_EQUAL = 0,
    PANDO_IS_NOT_EQUAL = 1,
    PANDO_IS_LESS = 2,
    PANDO_IS_GREATER = 3
};
/* Which operations happen: those of THEN when every compare is true (also when there is none), else
 * those of ELSE. */
enum pando_branch {
    PANDO_THEN = 0,
    PANDO_ELSE = 1
};

struct pando_txn;

/* NULL: no memory. What is added is copied; that there was no memory for it, or no such key, is
 * told by pando_txn_commit. */
PANDO_API struct pando_txn *pando_txn_new(void);
PANDO_API void pando_txn_if_value(struct pando_txn *txn, struct pando_bytes key, enum pando_is is,
                                  struct pando_bytes value);
/* target: not PANDO_COMPARE_VALUE. */
PANDO_API void pando_txn_if_number(struct pando_txn *txn, enum pando_compare target,
                                   struct pando_bytes key, enum pando_is is, int64_t number);
PANDO_API void pando_txn_put(struct pando_txn *txn, enum pando_branch branch,
                             struct pando_bytes key, struct pando_bytes value, int64_t lease);
PANDO_API void pando_txn_get(struct pando_txn *txn, enum pando_branch branch,
                             const struct pando_keys *keys);
PANDO_API void pando_txn_delete(struct pando_txn *txn, enum pando_branch branch,
                                const struct pando_keys *keys);
PANDO_API void pando_txn_free(struct pando_txn *txn);

struct pando_txn_result;

/* Do all of it in one step. The txn stays as it is, and may be committed again: that is another
 * write. PANDO_REFUSED: a key is put twice, or there are too many operations. */
PANDO_API enum pando_status pando_txn_commit(struct pando_client *client,
                                             const struct pando_txn *txn,
                                             struct pando_txn_result **result_out);

/* Whether every compare was true. */
PANDO_API bool pando_txn_succeeded(const struct pando_txn_result *result);
PANDO_API int64_t pando_txn_revision(const struct pando_txn_result *result);
/* Of the operations of the branch that happened, in their order. */
PANDO_API size_t pando_txn_count(const struct pando_txn_result *result);
enum pando_op {
    PANDO_OP_NONE = 0,
    PANDO_OP_PUT = 1,
    PANDO_OP_GET = 2,
    PANDO_OP_DELETE = 3
};
/* From 0, below the count; else PANDO_OP_NONE. */
PANDO_API enum pando_op pando_txn_op(const struct pando_txn_result *result, size_t index);
/* Of a GET: what was read, good as long as the txn's result; else NULL. */
PANDO_API const struct pando_result *pando_txn_records(const struct pando_txn_result *result,
                                                       size_t index);
/* Of a DELETE: how many there were; else 0. */
PANDO_API int64_t pando_txn_deleted(const struct pando_txn_result *result, size_t index);
PANDO_API void pando_txn_result_free(struct pando_txn_result *result);

/* -- Leases ------------------------------------------------------------------------------------ */

/* Make a lease that lives ttl_s unless it is kept alive. id: 0 chooses one. *ttl_s_out: what was
 * granted; the cluster raises a very short time. PANDO_EXISTS: the id is taken. */
PANDO_API enum pando_status pando_lease_grant(struct pando_client *client, int64_t ttl_s,
                                              int64_t id, int64_t *id_out, int64_t *ttl_s_out);
/* End it, and delete its keys. PANDO_NOT_FOUND. */
PANDO_API enum pando_status pando_lease_revoke(struct pando_client *client, int64_t id,
                                               int64_t *revision_out);
/* Once: it lives for another *ttl_s_out from now. PANDO_NOT_FOUND: it is gone. */
PANDO_API enum pando_status pando_lease_keep_alive(struct pando_client *client, int64_t id,
                                                   int64_t *ttl_s_out);
/* What is left of it, what it was granted, and its keys (records that have nothing else), if
 * result_out is not NULL. PANDO_NOT_FOUND. */
PANDO_API enum pando_status pando_lease_look(struct pando_client *client, int64_t id,
                                             int64_t *left_s_out, int64_t *granted_s_out,
                                             struct pando_result **result_out);
/* The ids of all, the one that ends first in front: at most `ids_max` into `ids`, and *count_out
 * how many there are. */
PANDO_API enum pando_status pando_lease_list(struct pando_client *client, int64_t *ids,
                                             size_t ids_max, size_t *count_out);

struct pando_keeper;

enum pando_keeper_state {
    PANDO_KEEPER_ALIVE = 0,  /* the lease lives: it was renewed in time */
    PANDO_KEEPER_UNSURE = 1, /* no node answers, for longer than the lease lives: it may be gone */
    PANDO_KEEPER_GONE = 2    /* the store says that there is no such lease. It stays so */
};

/* Keep a lease alive, every third of its time, in a thread and over a connection of its own with
 * the client's configuration. It is renewed once before this returns.
 *
 * PANDO_NOT_FOUND: there is no such lease. Other statuses as of pando_lease_keep_alive; the message
 * is the client's. PANDO_SYSTEM: no thread. */
PANDO_API enum pando_status pando_keeper_start(struct pando_client *client, int64_t id,
                                               struct pando_keeper **keeper_out);
/* Any thread. What a holder of a lock asks before it acts on it. */
PANDO_API enum pando_keeper_state pando_keeper_look(const struct pando_keeper *keeper);
/* The lease stays: it ends by its time, or by pando_lease_revoke. Waits for a renewal that is under
 * way, a second at most. */
PANDO_API void pando_keeper_stop(struct pando_keeper *keeper);

/* -- Watches ----------------------------------------------------------------------------------- */

enum pando_event_kind {
    PANDO_EVENT_PUT = 1,
    PANDO_EVENT_DELETE = 2,
    /* The watch is in place, or again: `revision` is what it begins at. */
    PANDO_EVENT_LIVE = 3,
    /* Its node is lost; it goes on by itself. `revision`: where. The watch's message says why. */
    PANDO_EVENT_LOST = 4
};
struct pando_event {
    enum pando_event_kind kind;
    int64_t revision;
    struct pando_record record; /* PUT; DELETE: its key and mod_revision */
    bool has_previous;
    struct pando_record previous; /* what was there before it */
};

struct pando_watch;

#define PANDO_WATCH_PREVIOUS 4u /* with each event what was there before it */

/* Watch keys over a connection of its own, with the client's configuration. revision: 0: from now
 * on; else from it on, also what is past. flags: PANDO_WATCH_PREVIOUS. It is connected by
 * pando_watch_next. PANDO_INVALID, PANDO_NO_MEMORY: the client's message. */
PANDO_API enum pando_status pando_watch_open(struct pando_client *client,
                                             const struct pando_keys *keys, int64_t revision,
                                             unsigned flags, struct pando_watch **watch_out);
/* The next event: every one once, and in order, however often the node is lost meanwhile. Waits for
 * timeout_ms; 0: takes what is there; UINT64_MAX: for ever. While it is not connected a call may
 * take as long as connecting does, 3 s at most.
 *
 * PANDO_OK         *event_out, good until the next call with this watch.
 * PANDO_TIMEOUT    nothing yet.
 * PANDO_COMPACTED  what comes next is no longer kept, so that something may have been missed: read
 *                  the keys, and watch from pando_watch_compacted on.
 * PANDO_UNREACHABLE, PANDO_BUSY  before the first PANDO_EVENT_LIVE only: no node answers. Call
 *                  again to try again.
 * PANDO_REFUSED, PANDO_PROTOCOL, PANDO_NO_MEMORY  it has ended. */
PANDO_API enum pando_status pando_watch_next(struct pando_watch *watch, uint64_t timeout_ms,
                                             const struct pando_event **event_out);
/* To poll for reading; -1: it is not connected just now. It changes when a node is lost, so ask
 * after each pando_watch_next. In an event loop: call pando_watch_next with 0 until it says
 * PANDO_TIMEOUT, then poll this for at most pando_watch_wait_ms, and again. */
PANDO_API int pando_watch_descriptor(const struct pando_watch *watch);
/* When to call pando_watch_next though nothing came, to connect again; UINT64_MAX: never. */
PANDO_API uint64_t pando_watch_wait_ms(const struct pando_watch *watch);
/* Where another watch would go on: behind the last revision that was given whole. 0: now. */
PANDO_API int64_t pando_watch_revision(const struct pando_watch *watch);
/* After PANDO_COMPACTED: the first revision that can be watched; else 0. */
PANDO_API int64_t pando_watch_compacted(const struct pando_watch *watch);
PANDO_API const char *pando_watch_message(const struct pando_watch *watch);
PANDO_API void pando_watch_close(struct pando_watch *watch);

#ifdef __cplusplus
}
#endif

#endif
