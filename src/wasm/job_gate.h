/* job_gate - hands the blocking work of guests to helper threads, in order, and lets killed guests
 * go.
 *
 * Model      A work is WAITING in the gate's line (the helpers' queue was full), RUNNING at a
 *            helper, then DONE. The guest's side *takes* it when done, or *abandons* it; then the
 *            helper's side releases it.
 *
 *              submit ──► RUNNING ──helper──► DONE ──take──► the guest's
 *                │ full      └──abandon──► ABANDONED ──helper──► released
 *                └──► WAITING ──a helper is free──► RUNNING
 *                        └──abandon──► released at once
 *
 * Wakeups    Whoever waits in the line waits for one that runs, and each that ends takes the next
 *            along; so the line moves without timers. With none running, submit says FULL and the
 *            caller retries later.
 * Bounds     The line is as long as there are guests: one work each. Helpers are the host's.
 * Locks      `lock` guards line and count only; nothing is called under it. */
#ifndef PD_WASM_JOB_GATE_H
#define PD_WASM_JOB_GATE_H

#include "base/list.h"
#include "base/spin.h"
#include "wasm/hostcall.h"

struct pd_job_gate {
    struct pd_host *host;
    void (*wake)(void *process);
    struct pd_spin lock;
    int32_t running_count; /* at helpers; below the truth for a moment */
    struct pd_list line;
};

void pd_job_gate_init(struct pd_job_gate *gate, struct pd_host *host, void (*wake)(void *process));

/* True when no work runs or waits: with no guest left, the gate may go away. */
bool pd_job_gate_is_idle(struct pd_job_gate *gate);

/* Give the work to the gate. `process` is woken when it is done.
 * PD_OK: the gate has it. PD_ERR_FULL: it is still the caller's, to be given again in a while. */
PD_NODISCARD enum pd_status pd_job_gate_submit(struct pd_job_gate *gate, struct pd_blocking *work,
                                               void *process);

/* True: it is done and the caller's again. False: not yet. */
PD_NODISCARD bool pd_job_gate_take(struct pd_blocking *work);

/* The guest is gone. The work is released, now or by its helper; never touch it again. */
void pd_job_gate_abandon(struct pd_blocking *work);

#endif
