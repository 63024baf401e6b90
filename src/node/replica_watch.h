/* replica_watch - the bodies of a watch's requests and answers, as bytes. Pure.
 *
 * Model      WATCH asks for the events of a range from a revision on, and brings credit. Its
 *            answers have the WATCH's correlation: CREATED first; EVENTS and PROGRESS as they come;
 *            at last CANCELLED, the only one whose outcome is not PD_REPLICA_OK, whose body says
 *            why. (A WATCH that is refused has one answer: another outcome, and text.)
 * Flow       Credit counts bytes of EVENTS and PROGRESS bodies. An answer is given while there is
 *            some, and may overdraw it by that answer; CREATED and CANCELLED are free. A client
 *            gives back with WATCH_CREDIT what it has taken in: so a slow client holds up itself
 *            and nothing else, and is never dropped for it.
 * Again      A client that has lost its node goes on elsewhere with start_revision =
 *            through_revision + 1 of the last answer that was no fragment: no gap, no duplicate.
 * Trust      Decoding accepts any bytes. */
#ifndef PD_NODE_REPLICA_WATCH_H
#define PD_NODE_REPLICA_WATCH_H

#include "kv/answer.h"
#include "kv/watch.h"

/* -- WATCH ------------------------------------------------------------------------------------- */

struct pd_replica_watch_request {
    struct pd_span key;       /* empty: "\0", as in etcd */
    struct pd_span range_end; /* as in a pd_kv_range */
    int64_t start_revision;   /* 0: from now on; beyond now: waits for it */
    uint32_t credit;          /* bytes */
    bool no_put;
    bool no_delete;
    bool with_previous;
    bool with_progress; /* PROGRESS now and then while it is idle */
    bool may_fragment;  /* a revision may be split even when it fits into one answer */
};
void pd_replica_watch_request_put(struct pd_kv_writer *writer,
                                  const struct pd_replica_watch_request *request);
/* PD_ERR_CORRUPT: not such a body. Spans borrow from `bytes`. */
PD_NODISCARD enum pd_status pd_replica_watch_request_decode(
    struct pd_span bytes, struct pd_replica_watch_request *request_out);

/* -- WATCH_CREDIT ------------------------------------------------------------------------------ */

struct pd_replica_watch_credit {
    uint32_t credit;     /* bytes more; may be 0 */
    bool wants_progress; /* PROGRESS once, as soon as everything up to now was given */
};
void pd_replica_watch_credit_put(struct pd_kv_writer *writer,
                                 const struct pd_replica_watch_credit *credit);
PD_NODISCARD enum pd_status pd_replica_watch_credit_decode(
    struct pd_span bytes, struct pd_replica_watch_credit *credit_out);

/* -- Answers ----------------------------------------------------------------------------------- */

enum pd_replica_watch_kind {
    PD_REPLICA_WATCH_CREATED = 0,
    PD_REPLICA_WATCH_EVENTS = 1,
    PD_REPLICA_WATCH_PROGRESS = 2,
    PD_REPLICA_WATCH_CANCELLED = 3
};
struct pd_replica_watch_head {
    enum pd_replica_watch_kind kind;
    int64_t revision;         /* of the store here */
    int64_t through_revision; /* every event up to here was given */
    int64_t compact_revision; /* CANCELLED: what was wanted lies below; else 0 */
    bool is_fragment; /* EVENTS: more of the last revision follows in the next answer, which may
                       * be empty */
    struct pd_span reason; /* CANCELLED: words */
};
/* The head; then every event, oldest first; then the end. */
void pd_replica_watch_head_put(struct pd_kv_writer *writer,
                               const struct pd_replica_watch_head *head);
void pd_replica_watch_event_put(struct pd_kv_writer *writer, const struct pd_kv_event *event,
                                bool with_previous);
void pd_replica_watch_end_put(struct pd_kv_writer *writer);
/* What one event takes at most. */
size_t pd_replica_watch_event_bytes_max(const struct pd_kv_event *event);

/* Read with one reader, front to back: the head, then events until false; then
 * pd_kv_answer_is_whole tells whether all was sound. */
void pd_replica_watch_head_get(struct pd_kv_reader *reader, struct pd_replica_watch_head *head_out);
/* is_delete, record and previous are set; sub is not carried. */
bool pd_replica_watch_event_get(struct pd_kv_reader *reader, struct pd_kv_event *event_out);

#endif
