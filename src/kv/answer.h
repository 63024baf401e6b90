/* answer - what a command or a read comes back with. Pure.
 *
 * Model      {error, revision, kind, body}. Lists are (1, item)* 0, so that an answer can be
 *            written while the rows come in. A txn's body is {succeeded, count, responses}, each
 *            response {kind, body} in order, nested ones inline: read with one reader, front to
 *            back.
 * Ownership  Spans point into the bytes that are read.
 * Trust      The reader may be given any bytes: `is_bad` becomes true and everything after reads
 *            as zero. */
#ifndef PD_KV_ANSWER_H
#define PD_KV_ANSWER_H

#include "kv/command.h"

struct pd_kv_record {
    struct pd_span key;
    struct pd_span value;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version; /* 0: a tombstone */
    int64_t lease;
};

enum pd_kv_answer_kind {
    PD_KV_ANSWER_NONE = 0, /* errors, and commands whose success says it all */
    PD_KV_ANSWER_RANGE = 1,
    PD_KV_ANSWER_PUT = 2,
    PD_KV_ANSWER_DELETE = 3,
    PD_KV_ANSWER_TXN = 4,
    PD_KV_ANSWER_LEASE = 5,      /* id, ttl_s (granted or left; -1: no such lease) */
    PD_KV_ANSWER_LEASE_KEYS = 6, /* id, ttl_s left, granted ttl_s, list of keys */
    PD_KV_ANSWER_LEASES = 7,     /* list of ids */
    PD_KV_ANSWER_SESSION = 8     /* id */
};

struct pd_kv_answer_head {
    enum pd_kv_error error;
    int64_t revision; /* of the store, after the command */
    enum pd_kv_answer_kind kind;
};

struct pd_kv_reader {
    struct pd_span bytes;
    size_t at;
    bool is_bad;
};

void pd_kv_reader_init(struct pd_kv_reader *reader, struct pd_span bytes);
void pd_kv_answer_head(struct pd_kv_reader *reader, struct pd_kv_answer_head *head_out);
/* The next record of a RANGE, PUT (the previous one: at most one) or DELETE (previous ones) list;
 * false: the list has ended, and the tail follows. */
bool pd_kv_answer_record(struct pd_kv_reader *reader, struct pd_kv_record *record_out);
/* After a RANGE list: more and count. After a DELETE list: the number deleted. After a PUT list:
 * nothing. */
void pd_kv_answer_range_tail(struct pd_kv_reader *reader, bool *more_out, int64_t *count_out);
int64_t pd_kv_answer_delete_tail(struct pd_kv_reader *reader);
/* A TXN body's head; then response_count times pd_kv_answer_response and that response's body. */
void pd_kv_answer_txn(struct pd_kv_reader *reader, bool *succeeded_out,
                      uint32_t *response_count_out);
enum pd_kv_answer_kind pd_kv_answer_response(struct pd_kv_reader *reader);
/* LEASE, LEASE_KEYS, LEASES, SESSION bodies: their numbers, and the items of their lists. */
int64_t pd_kv_answer_number(struct pd_kv_reader *reader);
bool pd_kv_answer_key(struct pd_kv_reader *reader, struct pd_span *key_out);
bool pd_kv_answer_id(struct pd_kv_reader *reader, int64_t *id_out);
/* Nothing is left and nothing was bad. */
bool pd_kv_answer_is_whole(const struct pd_kv_reader *reader);

/* Writing. */
void pd_kv_answer_put_head(struct pd_kv_writer *writer, const struct pd_kv_answer_head *head);
void pd_kv_answer_put_response(struct pd_kv_writer *writer, enum pd_kv_answer_kind kind);
void pd_kv_answer_put_record(struct pd_kv_writer *writer, const struct pd_kv_record *record);
void pd_kv_answer_put_key(struct pd_kv_writer *writer, struct pd_span key);
void pd_kv_answer_put_id(struct pd_kv_writer *writer, int64_t id);
void pd_kv_answer_put_end(struct pd_kv_writer *writer); /* of a list */
void pd_kv_answer_put_number(struct pd_kv_writer *writer, int64_t number);

#endif
