/* linearizability - could a recorded history of one key have happened one operation at a time?
 * Pure.
 *
 * Model      One key is a register: empty, or holding a value. Linearizability composes, so a
 *            history over many keys is judged key by key. The search is Wing and Gong's, with
 *            Lowe's memory of the (operations done, state) pairs that led nowhere.
 * Unknown    An operation whose answer never came (timeout, crash) has finish_time
 *            PD_HISTORY_NEVER: it may take effect at any time after its invocation, or never. Reads
 *            without an answer say nothing; leave them out or in. An operation that certainly
 *            failed without effect (refused before it was proposed) must be left out.
 * Time       Only the order counts. finish < invoke means "before"; equal times mean "at once",
 *            which never accuses wrongly. Use event numbers where times are coarse.
 * Values     Numbers, compared for equality: give equal bytes equal numbers (PD_HISTORY_NONE: no
 *            key).
 * Revisions  Optional. An operation that reports its key's mod revision has it checked as well:
 *            revisions of one key's writes rise, and a read reports that of the write it saw. 0:
 *            not reported.
 * Bounds     Steps and memory, from the limits: beyond them the verdict is unknown. No clock: the
 *            same history always gets the same verdict.
 * Memory     States are remembered by fingerprints of 128 bits; two that collide could make a good
 *            history look bad, with a chance below 1 in 10^20 for a history that fits the
 *            limits. */
#ifndef PD_SIM_LINEARIZABILITY_H
#define PD_SIM_LINEARIZABILITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define PD_HISTORY_NONE UINT64_MAX  /* as a value: the key does not exist */
#define PD_HISTORY_NEVER UINT64_MAX /* as a finish time: no answer is known */

enum pd_history_kind {
    PD_HISTORY_READ,   /* observed: the value that was answered */
    PD_HISTORY_WRITE,  /* value; PD_HISTORY_NONE deletes */
    PD_HISTORY_DELETE, /* like writing NONE, but succeeded tells whether the key was there */
    PD_HISTORY_CAS /* succeeded: it held `expected` and now holds `value`; else it held another */
};

struct pd_history_operation {
    uint64_t process; /* for reports only */
    uint64_t invoke_time;
    uint64_t finish_time; /* >= invoke_time, or PD_HISTORY_NEVER: what it answered is unknown */
    enum pd_history_kind kind;
    bool succeeded; /* CAS, DELETE */
    uint64_t expected;
    uint64_t value;
    uint64_t observed;
    uint64_t
        revision; /* READ: mod revision seen; otherwise: of the write itself; 0: not reported */
};

enum pd_history_verdict {
    PD_HISTORY_LINEARIZABLE,
    PD_HISTORY_NOT_LINEARIZABLE,
    PD_HISTORY_UNKNOWN /* a limit was reached first */
};

struct pd_history_limits {
    uint64_t steps_max;    /* operations tried */
    uint64_t memory_bytes; /* for remembered states */
};

struct pd_history_report {
    enum pd_history_verdict verdict;
    uint64_t steps;
    uint64_t states; /* remembered */
    uint32_t placed; /* most operations that could be put in order */
    /* Not linearizable: an operation (index in the array) that had answered, but could not be
     * placed when most others were. */
    uint32_t blocked;
};

/* "linearizable", "not-linearizable", "unknown". */
const char *pd_history_verdict_text(enum pd_history_verdict verdict);

/* Enough for histories of some thousand operations a key; 50 million steps, 256 MiB. */
struct pd_history_limits pd_history_limits_default(void);

/* Judge `count` operations on one key that at first held `initial`. They may come in any order.
 *
 * PD_OK             *report_out is written.
 * PD_ERR_INVALID    an operation finishes before it was invoked, or its kind is none.
 * PD_ERR_NO_MEMORY  the heap refused less than the limit. */
PD_NODISCARD enum pd_status pd_linearizability_check(const struct pd_history_operation *operations,
                                                     uint32_t count, uint64_t initial,
                                                     const struct pd_history_limits *limits,
                                                     struct pd_history_report *report_out);

#endif
