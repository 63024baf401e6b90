/* crash_report - every abnormal exit, told once on standard error.
 *
 * Model      A report is one text and one write. That of a supervised process waits until its
 *            supervisor has said what becomes of it (restart n of m), at most PD_CRASH_WAIT_NS.
 *            Normal and shutdown are no crashes. A kill is one line: by the operator, by another
 *            process, or by a supervisor that lost its patience; a supervisor's ordered brutal stop
 *            is silent. The main process's own exit code speaks for itself.
 * Bounds     PD_CRASH_RATE reports a second after a burst of PD_CRASH_BURST; the rest is counted,
 *            and the count is told. The main process's report is always written.
 *            PD_CRASH_PENDING_MAX may wait.
 * Ownership  The caller's storage, from before the first process starts until the last one has
 *            ended.
 * Threads    Hooks run on schedulers; init and deinit on one thread. */
#ifndef PD_NODE_CRASH_REPORT_H
#define PD_NODE_CRASH_REPORT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/spin.h"
#include "node/crash_format.h"
#include "node/program.h"

#define PD_CRASH_RATE 20u
#define PD_CRASH_BURST 100u
#define PD_CRASH_PENDING_MAX 64u
#define PD_CRASH_WAIT_NS UINT64_C(500000000)

enum pd_crash_mode {
    PD_CRASH_ALL = 0,
    PD_CRASH_BRIEF = 1, /* one line each */
    PD_CRASH_NONE = 2
};

/* A report whose last line is open. */
struct pd_crash_pending {
    uint64_t pid;
    uint64_t supervisor;
    uint64_t deadline_ns;
    char *text;
    size_t size;
    bool is_brief;
};

struct pd_crash_reports {
    struct pd_program *program;
    enum pd_crash_mode mode;
    atomic_bool is_hushed;
    atomic_bool has_told_main; /* why the main process ended was written */
    struct pd_spin lock;       /* over all that follows */
    uint64_t tokens;           /* thousandths of a report */
    uint64_t refilled_ns;
    uint64_t left_out_count;
    uint32_t pending_count;
    struct pd_crash_pending pending[PD_CRASH_PENDING_MAX];
};

/* Report the crashes of a program from here on. */
void pd_crash_reports_init(struct pd_crash_reports *reports, struct pd_program *program,
                           enum pd_crash_mode mode);

/* Write what still waits, and how many were left out. No process is left. */
void pd_crash_reports_deinit(struct pd_crash_reports *reports);

/* The program is being ended: kills are no news any more. */
void pd_crash_reports_hush(struct pd_crash_reports *reports);

/* Write reports that have waited too long; cheap when there are none. */
void pd_crash_reports_sweep(struct pd_crash_reports *reports);

/* May one more be written at now_ns? Counts it as left out if not. For tests, too. */
bool pd_crash_reports_admit(struct pd_crash_reports *reports, uint64_t now_ns);

#endif
