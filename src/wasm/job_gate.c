#include "wasm/job_gate.h"

#include "base/assert.h"

enum work_state {
    WORK_WAITING = 0,   /* in the line; changes under the lock only */
    WORK_RUNNING = 1,   /* given to a helper */
    WORK_DONE = 2,      /* the helper is through with it: the guest's */
    WORK_ABANDONED = 3, /* the guest is gone: the helper's */
    WORK_TAKEN = 4
};

static void run_work(struct pd_job *job);

static struct pd_blocking *work_of(struct pd_job *job)
{
    return pd_container_of(job, struct pd_blocking, job);
}

void pd_job_gate_init(struct pd_job_gate *gate, struct pd_host *host, void (*wake)(void *process))
{
    gate->host = host;
    gate->wake = wake;
    atomic_init(&gate->lock.held, 0);
    gate->running_count = 0;
    pd_list_init(&gate->line);
}

bool pd_job_gate_is_idle(struct pd_job_gate *gate)
{
    pd_spin_lock(&gate->lock);
    bool is_idle = gate->running_count == 0 && pd_list_is_empty(&gate->line);
    pd_spin_unlock(&gate->lock);
    return is_idle;
}

/* One that ran has ended. The next of the line, now RUNNING, or NULL; then the caller's share in
 * the gate is over. */
static struct pd_blocking *next_of_line(struct pd_job_gate *gate)
{
    struct pd_blocking *next = NULL;
    pd_spin_lock(&gate->lock);
    struct pd_list *node = pd_list_first(&gate->line);
    if (node == NULL) {
        gate->running_count--;
    } else {
        pd_list_remove(node);
        next = pd_container_of(node, struct pd_blocking, link.node);
        atomic_store_explicit(&next->link.state, WORK_RUNNING, memory_order_relaxed);
    }
    pd_spin_unlock(&gate->lock);
    return next;
}

/* Do the work and hand it over: to the guest, or to nobody. */
static void run_one(struct pd_blocking *work)
{
    struct pd_job_gate *gate = work->link.gate;
    void *process = work->link.process;
    work->work(work);
    uint_least32_t before =
        atomic_exchange_explicit(&work->link.state, WORK_DONE, memory_order_acq_rel);
    /* From here on `work` belongs to the guest, unless there is none any more. */
    if (before == WORK_ABANDONED) {
        work->release(work);
    } else {
        pd_assert(before == WORK_RUNNING);
        gate->wake(process);
    }
}

static void run_work(struct pd_job *job)
{
    struct pd_blocking *work = work_of(job);
    struct pd_job_gate *gate = work->link.gate;
    for (;;) {
        run_one(work);
        work = next_of_line(gate);
        if (work == NULL) {
            return; /* and never touches the gate again */
        }
        /* Behind what others gave the helpers meanwhile; here, if there is still no room. */
        work->job.run = run_work;
        if (gate->host->ops->submit(gate->host, &work->job) == PD_OK) {
            return;
        }
    }
}

/* Stand in line: behind others, or, when the helpers have no room, behind one that runs. False:
 * there is no such. */
static bool join_line(struct pd_job_gate *gate, struct pd_blocking *work, bool only_behind_others)
{
    pd_spin_lock(&gate->lock);
    bool is_line = !pd_list_is_empty(&gate->line);
    bool joins = is_line || (!only_behind_others && gate->running_count > 0);
    if (joins) {
        atomic_store_explicit(&work->link.state, WORK_WAITING, memory_order_relaxed);
        pd_list_append(&gate->line, &work->link.node);
    }
    pd_spin_unlock(&gate->lock);
    return joins;
}

enum pd_status pd_job_gate_submit(struct pd_job_gate *gate, struct pd_blocking *work, void *process)
{
    work->job.run = run_work;
    work->link.gate = gate;
    work->link.process = process;
    pd_list_init(&work->link.node);
    atomic_init(&work->link.state, WORK_RUNNING);
    if (join_line(gate, work, true)) {
        return PD_OK;
    }
    if (gate->host->ops->submit(gate->host, &work->job) == PD_OK) {
        /* The work may have ended and be gone by now. Counting late is safe: it can only make
         * another caller retry that could have waited. Counting early would let one wait for
         * nobody. */
        pd_spin_lock(&gate->lock);
        gate->running_count++;
        pd_spin_unlock(&gate->lock);
        return PD_OK;
    }
    return join_line(gate, work, false) ? PD_OK : PD_ERR_FULL;
}

bool pd_job_gate_take(struct pd_blocking *work)
{
    uint_least32_t expected = WORK_DONE;
    return atomic_compare_exchange_strong_explicit(&work->link.state, &expected, WORK_TAKEN,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

void pd_job_gate_abandon(struct pd_blocking *work)
{
    struct pd_job_gate *gate = work->link.gate;
    pd_spin_lock(&gate->lock);
    bool is_waiting = pd_list_is_linked(&work->link.node);
    if (is_waiting) {
        pd_list_remove(&work->link.node);
    }
    pd_spin_unlock(&gate->lock);
    if (is_waiting) {
        work->release(work);
        return;
    }
    uint_least32_t before =
        atomic_exchange_explicit(&work->link.state, WORK_ABANDONED, memory_order_acq_rel);
    if (before == WORK_DONE) {
        work->release(work);
    } else {
        pd_assert(before == WORK_RUNNING);
    }
}
