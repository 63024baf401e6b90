/* kv - the store: keys with revisions, transactions, watches, leases. etcd's model.
 *
 * Where      Inside a node (pando start --app) or beside one (pando run --node DIR), the same
 *            binary. In other runs every function answers PANDO_KV_UNAVAILABLE.
 * Rights     Nothing unless it was given: --allow-kv PREFIX, `kv` in the application file,
 *            pando_kv_config_allow for children. Then keys that begin with the prefix, and ranges
 *            that lie within it; else PANDO_KV_DENIED.
 * Waiting    A call suspends this process, never a thread, until the store has answered or the
 *            timeout (10 s unless pando_kv_set_timeout says otherwise) is over. It asks again by
 *            itself while that is safe. A write happens at most once; it has happened when the
 *            answer is PANDO_KV_OK, and nobody knows when it is PANDO_KV_UNKNOWN.
 * Keys       1 to 8,192 bytes, any bytes. A range is [key, end); see struct pando_kv_range.
 * Failures   The answer is a code; pando_kv_error_take gives the words of the last failure.
 * Traps      Pointers out of bounds, flags that are not known.
 * Layout     Structures are as Pando reads and writes them: numbers little-endian, no padding. */
#ifndef PANDO_KV_H
#define PANDO_KV_H

#include "config.h"
#include "error.h"
#include "message.h"

enum pando_kv_code {
    PANDO_KV_OK = 0,
    PANDO_KV_ABSENT = 1,      /* there is no such key, lease or watch */
    PANDO_KV_UNAVAILABLE = 2, /* certainly not done: no store, no leader, no time. Try again */
    PANDO_KV_UNKNOWN = 3,     /* it may or may not have happened: look */
    PANDO_KV_DENIED = 4,      /* this process has no right to the key */
    PANDO_KV_INVALID = 5,     /* never acceptable */
    PANDO_KV_TOO_LARGE = 6,   /* key, request or answer */
    PANDO_KV_FULL = 7,        /* a limit of the store or its disk, of watches or leases */
    PANDO_KV_COMPACTED = 8    /* the revision is not in history any more, or not yet */
};

/* A flag that a function does not know traps. */
#define PANDO_KV_LOCAL 1u      /* range: what this node has applied, which may be old */
#define PANDO_KV_PREVIOUS 2u   /* put, delete, watch: with the record that was there before */
#define PANDO_KV_KEYS_ONLY 4u  /* range: without values */
#define PANDO_KV_COUNT_ONLY 8u /* range: nothing but the count */
#define PANDO_KV_DESCEND 16u   /* range: from the last key to the first */
#define PANDO_KV_NO_PUT 32u    /* watch: deletes alone */
#define PANDO_KV_NO_DELETE 64u /* watch: puts alone */

/* About a key, in answers: key_size and value_size bytes follow. */
struct pando_kv_record {
    uint32_t key_size;
    uint32_t value_size;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version; /* writes since it was created, 1 at first */
    int64_t lease;   /* 0: none */
};
/* About a key, of pando_kv_get. */
struct pando_kv_found {
    uint32_t value_size; /* all of it, also when less was copied */
    uint32_t unused;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version;
    int64_t lease;
};
struct pando_kv_deleted {
    int64_t revision;
    int64_t count;
};
struct pando_kv_ranged {
    int64_t revision;
    int64_t count;         /* of keys in the range, whatever the limit */
    uint32_t more;         /* 1: the limit cut it off */
    uint32_t record_count; /* to be read with pando_kv_next */
};
struct pando_kv_committed {
    int64_t revision;
    uint32_t succeeded; /* 1: every comparison held */
    uint32_t response_count;
};
struct pando_kv_response {
    uint32_t kind; /* PANDO_KV_OP_ */
    uint32_t size; /* of what follows */
};
struct pando_kv_lease {
    int64_t id;
    int64_t ttl_s;
};
struct pando_kv_watch {
    uint64_t id;
    int64_t revision; /* of the store when it began */
};

_Static_assert(sizeof(struct pando_kv_record) == 40, "as Pando writes it");
_Static_assert(sizeof(struct pando_kv_found) == 40, "as Pando writes it");
_Static_assert(sizeof(struct pando_kv_ranged) == 24, "as Pando writes it");

PANDO_IMPORT("pando::kv", "get")
uint32_t pando_import_kv_get(const void *key, uint32_t key_size, void *value, uint32_t room,
                             struct pando_kv_found *found_out);
PANDO_IMPORT("pando::kv", "get_local")
uint32_t pando_import_kv_get_local(const void *key, uint32_t key_size, void *value, uint32_t room,
                                   struct pando_kv_found *found_out);
PANDO_IMPORT("pando::kv", "put")
uint32_t pando_import_kv_put(const void *key, uint32_t key_size, const void *value,
                             uint32_t value_size, int64_t lease, uint32_t flags,
                             int64_t *revision_out);
PANDO_IMPORT("pando::kv", "delete")
uint32_t pando_import_kv_delete(const void *key, uint32_t key_size, const void *end,
                                uint32_t end_size, uint32_t flags,
                                struct pando_kv_deleted *deleted_out);
PANDO_IMPORT("pando::kv", "range")
uint32_t pando_import_kv_range(const void *key, uint32_t key_size, const void *end,
                               uint32_t end_size, int64_t limit, int64_t revision, uint32_t flags,
                               struct pando_kv_ranged *ranged_out);
PANDO_IMPORT("pando::kv", "txn")
uint32_t pando_import_kv_txn(const void *txn, uint32_t size,
                             struct pando_kv_committed *committed_out);
PANDO_IMPORT("pando::kv", "answer_left") uint32_t pando_import_kv_answer_left(void);
PANDO_IMPORT("pando::kv", "answer_read")
uint32_t pando_import_kv_answer_read(void *to, uint32_t size);
PANDO_IMPORT("pando::kv", "lease_grant")
uint32_t pando_import_kv_lease_grant(int64_t ttl_s, int64_t id, struct pando_kv_lease *lease_out);
PANDO_IMPORT("pando::kv", "lease_revoke") uint32_t pando_import_kv_lease_revoke(int64_t id);
PANDO_IMPORT("pando::kv", "lease_keepalive")
uint32_t pando_import_kv_lease_keepalive(int64_t id, struct pando_kv_lease *lease_out);
PANDO_IMPORT("pando::kv", "watch")
uint32_t pando_import_kv_watch(const void *key, uint32_t key_size, const void *end,
                               uint32_t end_size, int64_t revision, uint64_t tag, uint32_t flags,
                               struct pando_kv_watch *watch_out);
PANDO_IMPORT("pando::kv", "unwatch") uint32_t pando_import_kv_unwatch(uint64_t id);
PANDO_IMPORT("pando::kv", "set_timeout") void pando_import_kv_set_timeout(uint64_t ms);
PANDO_IMPORT("pando::kv", "last_error") uint64_t pando_import_kv_last_error(void);
PANDO_IMPORT("pando::kv", "config_allow")
void pando_import_kv_config_allow(uint64_t config, const void *prefix, uint32_t size);

/* --- One key ---------------------------------------------------------------------------------- */

/* The value of a key, linearizable: not older than any write that was answered before the call.
 * Up to `room` bytes are copied to `value`; found_out tells all its size. PANDO_KV_ABSENT: there is
 * no such key. Does not suspend when this node leads, is the only voter or holds a lease, and
 * has the key in memory. */
static inline enum pando_kv_code pando_kv_get(const char *key, void *value, uint32_t room,
                                              struct pando_kv_found *found_out)
{
    return (enum pando_kv_code)pando_import_kv_get(key, pando_text_size(key), value, room,
                                                   found_out);
}

/* The same, serializable: as this node has applied it, which may lag behind what others have
 * written. Needs no leader. */
static inline enum pando_kv_code pando_kv_get_local(const char *key, void *value, uint32_t room,
                                                    struct pando_kv_found *found_out)
{
    return (enum pando_kv_code)pando_import_kv_get_local(key, pando_text_size(key), value, room,
                                                         found_out);
}

static inline enum pando_kv_code pando_kv_put(const char *key, const void *value,
                                              uint32_t value_size)
{
    int64_t revision = 0;
    return (enum pando_kv_code)pando_import_kv_put(key, pando_text_size(key), value, value_size, 0,
                                                   0, &revision);
}

/* A key that goes with a lease: deleted when that ends. */
static inline enum pando_kv_code pando_kv_put_leased(const char *key, const void *value,
                                                     uint32_t value_size, int64_t lease)
{
    int64_t revision = 0;
    return (enum pando_kv_code)pando_import_kv_put(key, pando_text_size(key), value, value_size,
                                                   lease, 0, &revision);
}

/* PANDO_KV_OK also when there was no such key: *count_out (may be NULL) is 0 then. */
static inline enum pando_kv_code pando_kv_delete(const char *key, int64_t *count_out)
{
    struct pando_kv_deleted deleted = {0, 0};
    enum pando_kv_code code =
        (enum pando_kv_code)pando_import_kv_delete(key, pando_text_size(key), NULL, 0, 0, &deleted);
    if (count_out != NULL) {
        *count_out = deleted.count;
    }
    return code;
}

/* --- Ranges ----------------------------------------------------------------------------------- */

/* Begin with pando_kv_prefix or pando_kv_all_of, and change what should be otherwise. */
struct pando_kv_range {
    const void *key;
    uint32_t key_size;
    const void *end; /* end_size 0: the key alone; one zero byte: all keys from `key` on */
    uint32_t end_size;
    int64_t limit;    /* 0: none */
    int64_t revision; /* 0: now */
    uint32_t flags;
};

/* All keys that begin with `prefix` (not empty, its last byte not 255). `end` is room for as many
 * bytes, and outlives the range. */
static inline struct pando_kv_range pando_kv_prefix(const char *prefix, char *end)
{
    uint32_t size = pando_text_size(prefix);
    for (uint32_t i = 0; i < size; i++) {
        end[i] = prefix[i];
    }
    end[size - 1] = (char)(unsigned char)((unsigned char)end[size - 1] + 1);
    struct pando_kv_range range = {prefix, size, end, size, 0, 0, 0};
    return range;
}

/* Read a range. Its records are then the answer at hand: read them with pando_kv_next before the
 * next call of this header. */
static inline enum pando_kv_code pando_kv_range(const struct pando_kv_range *range,
                                                struct pando_kv_ranged *ranged_out)
{
    return (enum pando_kv_code)pando_import_kv_range(range->key, range->key_size, range->end,
                                                     range->end_size, range->limit, range->revision,
                                                     range->flags, ranged_out);
}

static inline enum pando_kv_code pando_kv_delete_range(const struct pando_kv_range *range,
                                                       struct pando_kv_deleted *deleted_out)
{
    return (enum pando_kv_code)pando_import_kv_delete(range->key, range->key_size, range->end,
                                                      range->end_size, 0, deleted_out);
}

/* The next bytes of the answer at hand; returns how many there were. */
static inline uint32_t pando_kv_read(void *to, uint32_t size)
{
    return pando_import_kv_answer_read(to, size);
}

/* Pass over bytes of the answer at hand. */
static inline void pando_kv_skip(uint32_t size)
{
    char waste[64];
    while (size > 0) {
        uint32_t count = size < sizeof waste ? size : (uint32_t)sizeof waste;
        (void)pando_kv_read(waste, count);
        size -= count;
    }
}

/* Up to room - 1 bytes of the next `size` bytes, ended by a zero; the others are passed over. */
static inline void pando_kv_read_text(char *to, uint32_t room, uint32_t size)
{
    uint32_t count = size < room ? size : room - 1;
    to[pando_kv_read(to, count)] = '\0';
    pando_kv_skip(size - count);
}

/* The next record of the answer at hand, its key and value as texts, cut if they have to be. False:
 * there is none. */
static inline bool pando_kv_next(struct pando_kv_record *record_out, char *key, uint32_t key_room,
                                 char *value, uint32_t value_room)
{
    if (pando_kv_read(record_out, sizeof *record_out) != sizeof *record_out) {
        return false;
    }
    pando_kv_read_text(key, key_room, record_out->key_size);
    pando_kv_read_text(value, value_room, record_out->value_size);
    return true;
}

/* --- Transactions ----------------------------------------------------------------------------- */

/* Comparisons that must all hold; what happens then; what happens else. Written in that order, into
 * room of yours. At most 128 of each. */
struct pando_kv_txn {
    uint8_t *bytes;
    uint32_t room;
    uint32_t size;
    bool is_bad; /* it did not fit, or came out of order: commit says PANDO_KV_INVALID */
};

enum pando_kv_compare_result {
    PANDO_KV_EQUAL = 0,
    PANDO_KV_GREATER = 1,
    PANDO_KV_LESS = 2,
    PANDO_KV_NOT_EQUAL = 3
};
enum pando_kv_compare_target {
    PANDO_KV_VERSION = 0, /* 0: the key does not exist */
    PANDO_KV_CREATE_REVISION = 1,
    PANDO_KV_MOD_REVISION = 2,
    PANDO_KV_VALUE = 3,
    PANDO_KV_LEASE = 4
};
enum pando_kv_op {
    PANDO_KV_OP_RANGE = 1,
    PANDO_KV_OP_PUT = 2,
    PANDO_KV_OP_DELETE = 3
};

/* Numbers that stand in front of keys and values. */
struct pando_kv_txn_head {
    uint32_t compare_count;
    uint32_t then_count;
    uint32_t else_count;
    uint32_t zero;
};
struct pando_kv_compare {
    uint8_t result;
    uint8_t target;
    uint16_t zero;
    uint32_t key_size;
    uint32_t end_size;
    uint32_t value_size;
    int64_t number;
};
struct pando_kv_operation {
    uint8_t kind;
    uint8_t flags;
    uint16_t zero;
    uint32_t key_size;
    uint32_t end_size;
    uint32_t value_size;
    int64_t number;
    int64_t revision;
};

_Static_assert(sizeof(struct pando_kv_compare) == 24, "as Pando reads it");
_Static_assert(sizeof(struct pando_kv_operation) == 32, "as Pando reads it");

static inline void pando_kv_txn_write(struct pando_kv_txn *txn, const void *bytes, uint32_t size)
{
    if (txn->is_bad || size > txn->room - txn->size) {
        txn->is_bad = true;
        return;
    }
    for (uint32_t i = 0; i < size; i++) {
        txn->bytes[txn->size + i] = ((const uint8_t *)bytes)[i];
    }
    txn->size += size;
}

/* Count one more; `which`: 0 comparison, 1 then, 2 else. */
static inline void pando_kv_txn_count(struct pando_kv_txn *txn, uint32_t which)
{
    uint32_t counts[4] = {0, 0, 0, 0};
    if (txn->is_bad) {
        return;
    }
    for (uint32_t i = 0; i < sizeof counts; i++) {
        ((uint8_t *)counts)[i] = txn->bytes[i];
    }
    txn->is_bad = (which == 0 && counts[1] + counts[2] > 0) || (which == 1 && counts[2] > 0);
    counts[which]++;
    for (uint32_t i = 0; i < sizeof counts; i++) {
        txn->bytes[i] = ((const uint8_t *)counts)[i];
    }
}

/* A transaction in `room` bytes at `bytes`: 16, and for each part 24 or 32 and its key and
 * value. */
static inline struct pando_kv_txn pando_kv_txn(void *bytes, uint32_t room)
{
    struct pando_kv_txn txn = {(uint8_t *)bytes, room, 0, false};
    const struct pando_kv_txn_head head = {0, 0, 0, 0};
    pando_kv_txn_write(&txn, &head, sizeof head);
    return txn;
}

/* A number of the key's record is so. */
static inline void pando_kv_if(struct pando_kv_txn *txn, const char *key,
                               enum pando_kv_compare_target target,
                               enum pando_kv_compare_result result, int64_t number)
{
    const struct pando_kv_compare compare = {
        (uint8_t)result, (uint8_t)target, 0, pando_text_size(key), 0, 0, number};
    pando_kv_txn_count(txn, 0);
    pando_kv_txn_write(txn, &compare, sizeof compare);
    pando_kv_txn_write(txn, key, compare.key_size);
}

/* Its value is so. */
static inline void pando_kv_if_value(struct pando_kv_txn *txn, const char *key,
                                     enum pando_kv_compare_result result, const void *value,
                                     uint32_t value_size)
{
    const struct pando_kv_compare compare = {
        (uint8_t)result, PANDO_KV_VALUE, 0, pando_text_size(key), 0, value_size, 0};
    pando_kv_txn_count(txn, 0);
    pando_kv_txn_write(txn, &compare, sizeof compare);
    pando_kv_txn_write(txn, key, compare.key_size);
    pando_kv_txn_write(txn, value, value_size);
}

static inline void pando_kv_txn_operation(struct pando_kv_txn *txn, bool is_else,
                                          enum pando_kv_op kind, const char *key, const void *value,
                                          uint32_t value_size, int64_t number)
{
    const struct pando_kv_operation operation = {(uint8_t)kind, 0,      0, pando_text_size(key), 0,
                                                 value_size,    number, 0};
    pando_kv_txn_count(txn, is_else ? 2 : 1);
    pando_kv_txn_write(txn, &operation, sizeof operation);
    pando_kv_txn_write(txn, key, operation.key_size);
    pando_kv_txn_write(txn, value, value_size);
}

static inline void pando_kv_then_put(struct pando_kv_txn *txn, const char *key, const void *value,
                                     uint32_t value_size)
{
    pando_kv_txn_operation(txn, false, PANDO_KV_OP_PUT, key, value, value_size, 0);
}

static inline void pando_kv_then_delete(struct pando_kv_txn *txn, const char *key)
{
    pando_kv_txn_operation(txn, false, PANDO_KV_OP_DELETE, key, "", 0, 0);
}

static inline void pando_kv_then_get(struct pando_kv_txn *txn, const char *key)
{
    pando_kv_txn_operation(txn, false, PANDO_KV_OP_RANGE, key, "", 0, 0);
}

static inline void pando_kv_else_put(struct pando_kv_txn *txn, const char *key, const void *value,
                                     uint32_t value_size)
{
    pando_kv_txn_operation(txn, true, PANDO_KV_OP_PUT, key, value, value_size, 0);
}

static inline void pando_kv_else_delete(struct pando_kv_txn *txn, const char *key)
{
    pando_kv_txn_operation(txn, true, PANDO_KV_OP_DELETE, key, "", 0, 0);
}

static inline void pando_kv_else_get(struct pando_kv_txn *txn, const char *key)
{
    pando_kv_txn_operation(txn, true, PANDO_KV_OP_RANGE, key, "", 0, 0);
}

/* Do it, in one step. Its responses are then the answer at hand, each begun by a struct
 * pando_kv_response: of a RANGE a struct pando_kv_ranged without its revision (16 bytes) and
 * records, of a PUT nothing, of a DELETE the count (8 bytes). */
static inline enum pando_kv_code pando_kv_commit(const struct pando_kv_txn *txn,
                                                 struct pando_kv_committed *committed_out)
{
    if (txn->is_bad) {
        return PANDO_KV_INVALID;
    }
    return (enum pando_kv_code)pando_import_kv_txn(txn->bytes, txn->size, committed_out);
}

/* The next response of the answer at hand. False: there is none. */
static inline bool pando_kv_next_response(struct pando_kv_response *response_out)
{
    return pando_kv_read(response_out, sizeof *response_out) == sizeof *response_out;
}

/* --- Watches ---------------------------------------------------------------------------------- */

/* Let the events of a range, from a revision on (0: from now on), come as messages with this tag.
 * All of one revision come before those of the next, nothing is left out, nothing comes twice. A
 * process that does not receive them slows down its watch alone. When the node is lost and comes
 * back the watch goes on by itself. 16 watches a process. */
static inline enum pando_kv_code pando_kv_watch(const struct pando_kv_range *range, uint64_t tag,
                                                struct pando_kv_watch *watch_out)
{
    return (enum pando_kv_code)pando_import_kv_watch(range->key, range->key_size, range->end,
                                                     range->end_size, range->revision, tag,
                                                     range->flags, watch_out);
}

/* No further events; those that have arrived stay in the mailbox. False: there is no such watch. */
static inline bool pando_kv_unwatch(uint64_t id)
{
    return pando_import_kv_unwatch(id) == 0;
}

/* At the beginning of a message of a watch. */
struct pando_kv_events {
    uint64_t watch;
    uint32_t has_ended; /* 1: the last message of this watch: a text follows that says why */
    uint32_t count;     /* of events; of the end: a code */
    int64_t revision;   /* everything up to here was told */
};
struct pando_kv_event {
    uint32_t is_delete;
    uint32_t has_previous; /* another record follows, of what was there before */
    struct pando_kv_record record;
};

/* Read the beginning of a message that was received. False: it is no watch's. */
static inline bool pando_kv_events(struct pando_kv_events *events_out)
{
    return pando_message_read(events_out, sizeof *events_out) == sizeof *events_out;
}

static inline void pando_kv_message_text(char *to, uint32_t room, uint32_t size)
{
    char waste[64];
    uint32_t count = size < room ? size : room - 1;
    to[pando_message_read(to, count)] = '\0';
    for (size -= count; size > 0; size -= count) {
        count = size < sizeof waste ? size : (uint32_t)sizeof waste;
        (void)pando_message_read(waste, count);
    }
}

/* The next event of the message, its key and value as texts, cut if they have to be. False: there
 * is none. With has_previous a record follows: read it with pando_kv_previous. */
static inline bool pando_kv_next_event(struct pando_kv_event *event_out, char *key,
                                       uint32_t key_room, char *value, uint32_t value_room)
{
    if (pando_message_read(event_out, sizeof *event_out) != sizeof *event_out) {
        return false;
    }
    pando_kv_message_text(key, key_room, event_out->record.key_size);
    pando_kv_message_text(value, value_room, event_out->record.value_size);
    return true;
}

static inline bool pando_kv_previous(struct pando_kv_record *record_out, char *value,
                                     uint32_t value_room)
{
    char key[1];
    if (pando_message_read(record_out, sizeof *record_out) != sizeof *record_out) {
        return false;
    }
    pando_kv_message_text(key, sizeof key, record_out->key_size);
    pando_kv_message_text(value, value_room, record_out->value_size);
    return true;
}

/* --- Leases ----------------------------------------------------------------------------------- */

/* A lease that ends ttl_s seconds after its grant or its last keepalive, and takes its keys with
 * it. It does not end with the process. At most 64 a process. */
static inline enum pando_kv_code pando_kv_lease_grant(int64_t ttl_s,
                                                      struct pando_kv_lease *lease_out)
{
    return (enum pando_kv_code)pando_import_kv_lease_grant(ttl_s, 0, lease_out);
}

/* One of this process's own; any, for who may touch all keys. */
static inline enum pando_kv_code pando_kv_lease_revoke(int64_t id)
{
    return (enum pando_kv_code)pando_import_kv_lease_revoke(id);
}

static inline enum pando_kv_code pando_kv_lease_keepalive(int64_t id,
                                                          struct pando_kv_lease *lease_out)
{
    return (enum pando_kv_code)pando_import_kv_lease_keepalive(id, lease_out);
}

/* --- The rest --------------------------------------------------------------------------------- */

/* How long the calls of this process wait from now on; PANDO_FOREVER: without an end. */
static inline void pando_kv_set_timeout(uint64_t ms)
{
    pando_import_kv_set_timeout(ms);
}

/* The words of the last failure; see pando_error_take. */
static inline uint32_t pando_kv_error_take(char *to, uint32_t room)
{
    return pando_error_take(pando_import_kv_last_error(), to, room);
}

/* Let children of this configuration touch keys that begin with `prefix`. Traps: beyond what this
 * process may touch. */
static inline void pando_kv_config_allow(uint64_t config, const char *prefix)
{
    pando_import_kv_config_allow(config, prefix, pando_text_size(prefix));
}

#endif
