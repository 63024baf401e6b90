/* store_format - what guests write and read (base/kv_port.h) as what the store writes and reads
 * (kv/command.h, kv/answer.h, replica_watch.h). Pure.
 *
 * Trust      Asks come from guests and answers from the network: both may be anything. */
#ifndef PD_NODE_STORE_FORMAT_H
#define PD_NODE_STORE_FORMAT_H

#include "base/kv_port.h"
#include "kv/answer.h"
#include "node/replica_request.h"
#include "node/replica_watch.h"

/* Operations and comparisons of a transaction, together. */
#define PD_STORE_TXN_PARTS_MAX 1024u

/* Room that the body of this ask surely fits into. */
size_t pd_store_ask_bytes_max(const struct pd_kv_ask *ask);

/* The body and kind of the request. OK, or why not: *text_out, static. *is_repeatable_out: it may
 * happen twice and nobody notices, so that it needs no number in a session, which would keep its
 * answer: it changes nothing, or renews a lease. */
enum pd_kv_code pd_store_ask_encode(const struct pd_kv_ask *ask, struct pd_kv_writer *writer,
                                    struct pd_replica_request_head *head_out,
                                    bool *is_repeatable_out, const char **text_out);

/* An answer of the store, its head read, as a result. With OK *bytes_out is allocated, or NULL for
 * a result of no bytes. Else *text_out, static. */
enum pd_kv_code pd_store_answer_decode(struct pd_kv_reader *reader,
                                       const struct pd_kv_answer_head *head, bool is_get,
                                       uint8_t **bytes_out, size_t *size_out,
                                       const char **text_out);
enum pd_kv_code pd_store_error_code(enum pd_kv_error error);

/* A record as guests read it; PD_KV_PORT_RECORD_SIZE + key + value bytes. */
void pd_store_record_put(uint8_t *to, const struct pd_kv_record *record);

/* The body of an answer of a watch whose outcome is OK, and its head. Events become a block; NULL:
 * there are none. PD_ERR_CORRUPT, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_store_watch_decode(struct pd_span body,
                                                  struct pd_replica_watch_head *head_out,
                                                  struct pd_kv_block **block_out);
/* The body of a WATCH, from `revision` on. */
void pd_store_watch_encode(struct pd_kv_writer *writer, struct pd_span key, struct pd_span end,
                           uint32_t flags, int64_t revision, uint32_t credit);
/* The last block: a code and words. NULL: no memory. */
struct pd_kv_block *pd_store_watch_ended(enum pd_kv_code code, int64_t revision, const char *text,
                                         size_t text_size);

#endif
