/* command - what the log carries for the store: requests with etcd v3's meaning, in a compact
 * encoding. Pure.
 *
 * Model      An entry's data is an envelope {version, state time, wall time, session, sequence,
 *            low, command}. A command is a kind and its fields; put, range, delete and txn are a
 *            list of operations in preorder: a txn is followed by its `then` operations, then by
 *            its `else` operations.
 * Bounds     struct pd_kv_limits; decode refuses what lies beyond. The room for operations is the
 *            caller's.
 * Ownership  Decoded spans point into the bytes that were decoded.
 * Trust      Bytes may be anything. The same decode runs before a proposal and at apply: what
 *            passes once passes everywhere, because it looks at nothing but the bytes and the
 *            limits, and the limits are equal on all replicas. */
#ifndef PD_KV_COMMAND_H
#define PD_KV_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

#define PD_KV_TXN_DEPTH_MAX 128u
#define PD_KV_LEASE_TTL_MAX_S 9000000000 /* etcd's bound */

/* Why a request is refused. The text and gRPC code are etcd's where etcd has one. */
enum pd_kv_error {
    PD_KV_OK = 0,
    PD_KV_ERR_MALFORMED, /* bytes that no encoder here writes */
    PD_KV_ERR_EMPTY_KEY,
    PD_KV_ERR_KEY_NOT_FOUND, /* ignore_value, ignore_lease */
    PD_KV_ERR_VALUE_PROVIDED,
    PD_KV_ERR_LEASE_PROVIDED,
    PD_KV_ERR_TOO_MANY_OPS,
    PD_KV_ERR_DUPLICATE_KEY,
    PD_KV_ERR_INVALID_SORT,
    PD_KV_ERR_TOO_LARGE, /* request, or a key beyond its limit */
    PD_KV_ERR_COMPACTED,
    PD_KV_ERR_FUTURE_REVISION,
    PD_KV_ERR_LEASE_NOT_FOUND,
    PD_KV_ERR_LEASE_EXISTS,
    PD_KV_ERR_LEASE_TTL_TOO_LARGE,
    PD_KV_ERR_LEASES_FULL,
    PD_KV_ERR_ANSWER_TOO_LARGE,
    PD_KV_ERR_SESSION_UNKNOWN, /* never opened, closed or expired: nothing was applied */
    PD_KV_ERR_SESSION_STALE,   /* below the low-water mark: its answer was freed */
    PD_KV_ERR_SESSION_AHEAD,   /* outside of the window */
    PD_KV_ERR_SESSION_ANSWERS_FULL,
    PD_KV_ERR_SESSIONS_FULL,
    PD_KV_ERR_INVALID, /* a field out of its range */
    PD_KV_ERR_MEMBER_NOT_FOUND,
    PD_KV_ERR_MEMBER_REMOVED, /* for good: a new node has a new identity */
    PD_KV_ERR_MEMBER_KEY,     /* another key than before, or another member's */
    PD_KV_ERR_MEMBERS_FULL,
    PD_KV_ERR_COUNT
};
/* "etcdserver: key not found" and the like; never NULL. */
const char *pd_kv_error_text(enum pd_kv_error error);
/* gRPC status code: 3, 5, 8, 9, 11 ... */
uint32_t pd_kv_error_grpc_code(enum pd_kv_error error);

/* Equal on all replicas: they decide what applies. */
struct pd_kv_limits {
    uint32_t key_bytes_max;
    uint32_t request_bytes_max;
    uint32_t txn_ops_max; /* of a level, as etcd counts; the whole tree: four times as many */
};

enum pd_kv_sort_order {
    PD_KV_SORT_NONE = 0,
    PD_KV_SORT_ASCEND = 1,
    PD_KV_SORT_DESCEND = 2
};
enum pd_kv_sort_target {
    PD_KV_SORT_KEY = 0,
    PD_KV_SORT_VERSION = 1,
    PD_KV_SORT_CREATE = 2,
    PD_KV_SORT_MOD = 3,
    PD_KV_SORT_VALUE = 4
};
enum pd_kv_compare_result {
    PD_KV_EQUAL = 0,
    PD_KV_GREATER = 1,
    PD_KV_LESS = 2,
    PD_KV_NOT_EQUAL = 3
};
enum pd_kv_compare_target {
    PD_KV_COMPARE_VERSION = 0,
    PD_KV_COMPARE_CREATE = 1,
    PD_KV_COMPARE_MOD = 2,
    PD_KV_COMPARE_VALUE = 3,
    PD_KV_COMPARE_LEASE = 4
};

/* range_end as etcd has it: empty: the key alone; "\0": all keys from `key` on. */
struct pd_kv_range {
    struct pd_span key;
    struct pd_span range_end;
    int64_t limit;    /* <= 0: none */
    int64_t revision; /* <= 0: the current one */
    enum pd_kv_sort_order sort_order;
    enum pd_kv_sort_target sort_target;
    bool keys_only;
    bool count_only;
    bool uncounted;           /* of a read: it ends at the limit, and counts no further */
    int64_t min_mod_revision; /* 0: no bound; so for the other three */
    int64_t max_mod_revision;
    int64_t min_create_revision;
    int64_t max_create_revision;
};
struct pd_kv_put {
    struct pd_span key;
    struct pd_span value;
    int64_t lease;
    bool prev_kv;
    bool ignore_value;
    bool ignore_lease;
};
struct pd_kv_delete {
    struct pd_span key;
    struct pd_span range_end;
    bool prev_kv;
};
struct pd_kv_compare {
    enum pd_kv_compare_result result;
    enum pd_kv_compare_target target;
    struct pd_span key;
    struct pd_span range_end;
    int64_t number;       /* every target but VALUE */
    struct pd_span value; /* VALUE */
};
struct pd_kv_txn {
    uint32_t compare_first; /* in command.compares; set by decode, and needed for encode */
    uint32_t compare_count;
    uint32_t then_count; /* direct children */
    uint32_t else_count;
    uint32_t else_first; /* index of the first `else` child, or of its place; set by decode */
};

enum pd_kv_op_kind {
    PD_KV_OP_RANGE = 1,
    PD_KV_OP_PUT = 2,
    PD_KV_OP_DELETE = 3,
    PD_KV_OP_TXN = 4
};
struct pd_kv_op {
    enum pd_kv_op_kind kind;
    uint32_t end;    /* index behind its subtree; set by decode */
    uint32_t parent; /* the txn around it, of the root itself; set by decode */
    uint32_t sorted; /* the check's own: the i-th put in key order */
    union {
        struct pd_kv_range range;
        struct pd_kv_put put;
        struct pd_kv_delete delete_range;
        struct pd_kv_txn txn;
    } as;
};

enum pd_kv_command_kind {
    PD_KV_NOOP = 0,            /* moves state time only */
    PD_KV_OPS = 1,             /* ops[0] is the root */
    PD_KV_COMPACT = 2,         /* revision */
    PD_KV_LEASE_GRANT = 3,     /* id (0: choose), ttl_s */
    PD_KV_LEASE_REVOKE = 4,    /* id */
    PD_KV_LEASE_KEEPALIVE = 5, /* id */
    PD_KV_LEASE_EXPIRE = 6, /* id; the leader's: nothing happens unless its deadline has passed */
    PD_KV_LEASES_EXTEND =
        7, /* a new leader's first: every lease and session gets its whole time again */
    PD_KV_SESSION_OPEN = 8,       /* duration_ns, window (0: the most) */
    PD_KV_SESSION_CLOSE = 9,      /* id */
    PD_KV_SESSION_KEEPALIVE = 10, /* id */
    PD_KV_SESSION_EXPIRE = 11,    /* id; the leader's */
    PD_KV_MEMBER_PUT = 12,        /* id: the node; bytes: member.h */
    PD_KV_MEMBER_REMOVE = 13,     /* id: the node; it never comes back */
    PD_KV_VERSION_RAISE = 14,     /* version; the leader's: version.h */
    PD_KV_MEMBER_TELL = 15        /* id: the node; version, bytes: its limit and its program */
};

struct pd_kv_command {
    enum pd_kv_command_kind kind;
    struct pd_kv_op *ops; /* OPS: preorder */
    uint32_t op_count;
    struct pd_kv_compare *compares;
    uint32_t compare_count;
    int64_t revision;
    int64_t id;
    int64_t ttl_s;
    uint64_t duration_ns;
    uint32_t window;
    uint32_t version;
    struct pd_span bytes;
};

/* Room for a decoded tree: 4 * txn_ops_max + 1 of each. */
struct pd_kv_command_room {
    struct pd_kv_op *ops;
    struct pd_kv_compare *compares;
    uint32_t ops_max;
    uint32_t compares_max;
};
/* The room that `limits` ask for, as a count of operations and of compares. */
uint32_t pd_kv_command_ops_max(const struct pd_kv_limits *limits);

struct pd_kv_envelope {
    uint64_t state_time_ns;
    uint64_t wall_ns;
    uint64_t session_id; /* 0: none; then no promise about retries */
    uint64_t sequence;   /* from 1 */
    uint64_t low;        /* the lowest unanswered number */
    struct pd_span command;
};

/* Where an encoder writes. is_full: it did not fit, the bytes are worthless. */
struct pd_kv_writer {
    uint8_t *bytes;
    size_t bytes_max;
    size_t size;
    bool is_full;
};

/* What a request carries at most beside its keys and values, for room reckoning. */
#define PD_KV_ENVELOPE_BYTES_MAX 64u

void pd_kv_envelope_encode(struct pd_kv_writer *writer, const struct pd_kv_envelope *envelope);
/* PD_ERR_CORRUPT: not an envelope of a known version. */
PD_NODISCARD enum pd_status pd_kv_envelope_decode(struct pd_span bytes,
                                                  struct pd_kv_envelope *envelope_out);

/* The ops must be in preorder with right child counts. */
void pd_kv_command_encode(struct pd_kv_writer *writer, const struct pd_kv_command *command);
/* Shorthands for one operation. */
void pd_kv_encode_put(struct pd_kv_writer *writer, const struct pd_kv_put *put);
void pd_kv_encode_range(struct pd_kv_writer *writer, const struct pd_kv_range *range);
void pd_kv_encode_delete(struct pd_kv_writer *writer, const struct pd_kv_delete *delete_range);

/* Decode and validate everything that the bytes alone decide. */
PD_NODISCARD enum pd_kv_error pd_kv_command_decode(struct pd_span bytes,
                                                   const struct pd_kv_limits *limits,
                                                   const struct pd_kv_command_room *room,
                                                   struct pd_kv_command *command_out);
/* Validate a range that did not come through decode. */
PD_NODISCARD enum pd_kv_error pd_kv_range_check(const struct pd_kv_range *range,
                                                const struct pd_kv_limits *limits);

#endif
