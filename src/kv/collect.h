/* collect - the records of one range, filtered, sorted and cut as the request says, written as an
 * answer's body. Pure; private to kv.
 *
 * Model  Records come in key order. Without a sort they are written at once; else they are
 *        written and noted, and put in order at the end, within the writer's own room.
 * Best   Of a sorted list that is cut, only the best `limit` are kept while records come; values
 *        that are not asked for only when they sort. Not so within a transaction: there a list that
 *        does not fit fails the transaction, and it must on every node, whatever its version.
 * Order  Records that are equal under the sort stay in key order. */
#ifndef PD_KV_COLLECT_H
#define PD_KV_COLLECT_H

#include "kv/answer.h"

struct pd_kv_collected {
    size_t at;
    size_t size;
    struct pd_span value; /* its size; bytes: NULL when it is in the writer */
    int64_t number;       /* what it is sorted by, when that is a number */
    uint32_t order;
};

struct pd_kv_collect {
    struct pd_kv_range range;
    bool keeps_best;
    size_t begin; /* where its list begins in the writer */
    size_t dead;  /* bytes from there on that are no record's any more */
    uint32_t taken;
    bool is_heap; /* the worst of those kept is the first */
    struct pd_kv_collected *kept;
    size_t kept_count;
    size_t kept_max;
    int64_t count;
    int64_t given;
    bool more;
    bool no_memory;
};

/* keeps_best: see above. */
void pd_kv_collect_begin(struct pd_kv_collect *collect, const struct pd_kv_range *range,
                         const struct pd_kv_writer *writer, bool keeps_best);
/* How many bytes a record takes at most, with those to put it in order; 0: it is not written. */
uint64_t pd_kv_collect_bytes(const struct pd_kv_collect *collect,
                             const struct pd_kv_record *record);
void pd_kv_collect_record(struct pd_kv_collect *collect, struct pd_kv_writer *writer,
                          const struct pd_kv_record *record);
/* Sort, cut, and write the list's end and tail. */
void pd_kv_collect_end(struct pd_kv_collect *collect, struct pd_kv_writer *writer);
/* What all that was written takes, likewise. */
uint64_t pd_kv_collect_held(const struct pd_kv_collect *collect, const struct pd_kv_writer *writer);
void pd_kv_collect_deinit(struct pd_kv_collect *collect);

#endif
