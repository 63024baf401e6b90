#include "node/crash_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "actor/child_spec.h"
#include "actor/registry.h"
#include "actor/supervisor_process.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "node/process_path.h"
#include "wasm/wasi.h"

#define NS_PER_MS UINT64_C(1000000)
#define TOKEN 1000u /* thousandths */
#define OUTCOME_SIZE 160u
#define BACKTRACE_SIZE 8192u
#define ERRORS_SIZE 1025u
#define EVERYONE 0u

/* --- The rate --------------------------------------------------------------------------------- */

bool pd_crash_reports_admit(struct pd_crash_reports *reports, uint64_t now_ns)
{
    pd_spin_lock(&reports->lock);
    uint64_t passed_ms = (now_ns - reports->refilled_ns) / NS_PER_MS;
    if (passed_ms > 0) {
        uint64_t full = (uint64_t)PD_CRASH_BURST * TOKEN;
        uint64_t gained = passed_ms < 60000 ? passed_ms * PD_CRASH_RATE : full;
        reports->tokens = reports->tokens + gained < full ? reports->tokens + gained : full;
        reports->refilled_ns += passed_ms * NS_PER_MS;
    }
    bool is_admitted = reports->tokens >= TOKEN;
    if (is_admitted) {
        reports->tokens -= TOKEN;
    } else {
        reports->left_out_count++;
    }
    pd_spin_unlock(&reports->lock);
    return is_admitted;
}

static uint64_t take_left_out(struct pd_crash_reports *reports)
{
    pd_spin_lock(&reports->lock);
    uint64_t count = reports->left_out_count;
    reports->left_out_count = 0;
    pd_spin_unlock(&reports->lock);
    return count;
}

/* --- Writing ---------------------------------------------------------------------------------- */

static void put(struct pd_crash_reports *reports, const char *text, size_t size)
{
    struct pd_host *host = reports->program->host;
    /* With standard error closed there is nobody left to tell. */
    (void)!host->ops->output(host, 2, (const uint8_t *)text, size);
}

static void tell_left_out(struct pd_crash_reports *reports)
{
    uint64_t count = take_left_out(reports);
    if (count > 0) {
        char line[128];
        int size =
            snprintf(line, sizeof line,
                     "pando: %llu more crash reports were left out (%u a second are shown)\n",
                     (unsigned long long)count, PD_CRASH_RATE);
        put(reports, line, (size_t)size);
    }
}

/* Close a report and write it. Takes the text, which has room for the closing line. */
static void finish(struct pd_crash_reports *reports, struct pd_crash_pending *report,
                   const struct pd_crash_outcome *outcome)
{
    tell_left_out(reports);
    size_t size = report->size + pd_crash_format_outcome(outcome, report->is_brief,
                                                         report->text + report->size, OUTCOME_SIZE);
    put(reports, report->text, size);
    pd_free(report->text);
}

static void put_line(struct pd_crash_reports *reports, const char *format, ...) PD_PRINTF(2, 3);

static void put_line(struct pd_crash_reports *reports, const char *format, ...)
{
    struct pd_host *host = reports->program->host;
    if (!pd_crash_reports_admit(reports, pd_host_now_ns(host))) {
        return;
    }
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    pd_assert(wanted >= 0);
    size_t size = (size_t)wanted < sizeof line - 1 ? (size_t)wanted : sizeof line - 2;
    for (size_t i = 0; i < size; i++) {
        bool is_next_line = line[i] == '\n' && line[i + 1] == ' '; /* of a chain of reasons */
        if (((unsigned char)line[i] < 0x20u && !is_next_line) || line[i] == 0x7f) {
            line[i] = '?';
        }
    }
    line[size] = '\n';
    tell_left_out(reports);
    put(reports, line, size + 1);
}

/* --- Waiting for the supervisor's word -------------------------------------------------------- */

static bool pend(struct pd_crash_reports *reports, const struct pd_crash_pending *report)
{
    pd_spin_lock(&reports->lock);
    bool has_room = reports->pending_count < PD_CRASH_PENDING_MAX;
    if (has_room) {
        reports->pending[reports->pending_count++] = *report;
    }
    pd_spin_unlock(&reports->lock);
    return has_room;
}

/* Take the oldest that is of `pid` (if not EVERYONE) and of `supervisor` (if not EVERYONE), and
 * fell due by now_ns. */
static bool take_pending(struct pd_crash_reports *reports, uint64_t pid, uint64_t supervisor,
                         uint64_t now_ns, struct pd_crash_pending *report_out)
{
    bool is_found = false;
    pd_spin_lock(&reports->lock);
    for (uint32_t i = 0; i < reports->pending_count && !is_found; i++) {
        const struct pd_crash_pending *report = &reports->pending[i];
        is_found = (pid == EVERYONE || report->pid == pid) &&
                   (supervisor == EVERYONE || report->supervisor == supervisor) &&
                   report->deadline_ns <= now_ns;
        if (is_found) {
            *report_out = *report;
            reports->pending_count--;
            memmove(&reports->pending[i], &reports->pending[i + 1],
                    (reports->pending_count - i) * sizeof reports->pending[0]);
        }
    }
    pd_spin_unlock(&reports->lock);
    return is_found;
}

static void finish_all(struct pd_crash_reports *reports, uint64_t supervisor, uint64_t now_ns)
{
    const struct pd_crash_outcome unknown = {.is_known = false};
    struct pd_crash_pending report;
    while (take_pending(reports, EVERYONE, supervisor, now_ns, &report)) {
        finish(reports, &report, &unknown);
    }
}

void pd_crash_reports_sweep(struct pd_crash_reports *reports)
{
    finish_all(reports, EVERYONE, pd_host_now_ns(reports->program->host));
}

/* --- Facts ------------------------------------------------------------------------------------ */

/* Everything that the facts point to. Large, so on the heap. */
struct sources {
    struct pd_crash_facts facts;
    struct pd_process_label label;
    char name[PD_LABEL_SIZE];
    char path[PD_PATH_SIZE];
    char last_errors[ERRORS_SIZE];
    char backtrace[BACKTRACE_SIZE];
};

static void gather_wasm(struct sources *sources, const struct pd_process *process, bool is_brief)
{
    const struct pd_wasm_process *wasm = process->data;
    const struct pd_module *module = pd_guest_module(wasm->guest);
    struct pd_crash_facts *facts = &sources->facts;
    facts->module_hash = module->hash;
    facts->module_file = module->origin;
    facts->function = wasm->function;
    facts->fuel_used = pd_guest_fuel_used(wasm->guest);
    facts->memory_size = pd_guest_memory_size(wasm->guest);
    facts->is_secondhand =
        !pd_guest_has_ended(wasm->guest) && process->exit.reason != PD_EXIT_KILLED;
    if (wasm->wasi != NULL && !is_brief) {
        pd_wasi_flush(wasm->wasi, wasm->system->machine.host); /* its words come before ours */
        (void)pd_wasi_last_errors(wasm->wasi, sources->last_errors, sizeof sources->last_errors);
    }
    if (pd_guest_has_ended(wasm->guest) && !is_brief) {
        (void)pd_guest_backtrace_text(wasm->guest, sources->backtrace, sizeof sources->backtrace);
    }
}

static void gather(struct sources *sources, const struct pd_process *process, bool is_brief)
{
    struct pd_environment *environment = process->environment;
    (void)pd_registry_name_of(environment, process->pid, sources->name, sizeof sources->name);
    pd_process_label_take(&sources->label, process);
    pd_process_path(environment, &sources->label, sources->path, sizeof sources->path);
    sources->facts = (struct pd_crash_facts){
        .pid = process->pid,
        .parent = process->parent,
        .name = sources->name,
        .path = sources->path,
        .reason = process->exit.reason,
        .reason_text = pd_exit_text_bytes(process->exit.text),
        .last_errors = sources->last_errors,
        .backtrace = sources->backtrace,
        .message_count = process->mailbox_count,
        .message_bytes = process->mailbox_bytes,
        .age_ns = pd_host_now_ns(environment->runtime->host) - process->birth_ns,
    };
    if (pd_process_is_wasm(process)) {
        gather_wasm(sources, process, is_brief);
    }
}

static bool describe(const struct pd_process *process, bool is_brief,
                     struct pd_crash_pending *report)
{
    struct sources *sources = pd_alloc_zeroed(1, sizeof *sources);
    char *text = pd_alloc(PD_CRASH_REPORT_SIZE + OUTCOME_SIZE);
    if (sources == NULL || text == NULL) {
        pd_free(sources);
        pd_free(text);
        return false;
    }
    gather(sources, process, is_brief);
    report->is_brief = is_brief;
    report->size = is_brief ? pd_crash_format_brief(&sources->facts, text, PD_CRASH_REPORT_SIZE)
                            : pd_crash_format_full(&sources->facts, text, PD_CRASH_REPORT_SIZE);
    pd_free(sources);
    char *shrunk = pd_realloc(text, report->size + OUTCOME_SIZE);
    report->text = shrunk != NULL ? shrunk : text;
    return true;
}

/* --- Exits ------------------------------------------------------------------------------------ */

static bool has_exit_code(const struct pd_process *process)
{
    const struct pd_wasm_process *wasm = pd_process_is_wasm(process) ? process->data : NULL;
    return wasm != NULL && pd_guest_has_ended(wasm->guest) &&
           pd_guest_exit(wasm->guest).end == PD_GUEST_EXIT_CODE;
}

static bool is_worth_telling(const struct pd_crash_reports *reports,
                             const struct pd_process *process, bool is_main)
{
    switch (process->exit.reason) {
    case PD_EXIT_NORMAL:
    case PD_EXIT_SHUTDOWN:
        return false;
    case PD_EXIT_KILLED:
        if (atomic_load_explicit(&reports->is_hushed, memory_order_relaxed)) {
            return false;
        }
        /* Without a text it was the supervisor itself, or it tells when it acts on it. */
        return process->spec == NULL || process->exit.text != NULL;
    case PD_EXIT_FAILURE:
    case PD_EXIT_NO_PROCESS:
    case PD_EXIT_FUEL:
    case PD_EXIT_MEMORY:
    case PD_EXIT_DENIED:
        break;
    }
    if (is_main && has_exit_code(process)) {
        return false; /* the number is the program's answer */
    }
    return !pd_process_is_supervisor(process); /* that it gives up was told */
}

static void exited(void *context, struct pd_program *program, struct pd_process *process)
{
    struct pd_crash_reports *reports = context;
    if (reports->mode == PD_CRASH_NONE) {
        return;
    }
    if (pd_process_is_supervisor(process)) {
        finish_all(reports, process->pid, UINT64_MAX);
    }
    bool is_main = process->pid == atomic_load_explicit(&program->main_pid, memory_order_acquire);
    if (!is_worth_telling(reports, process, is_main)) {
        return; /* almost always: before anything is asked of the clock */
    }
    uint64_t now_ns = pd_host_now_ns(program->host);
    if (!is_main && !pd_crash_reports_admit(reports, now_ns)) {
        return;
    }
    struct pd_crash_pending report = {.pid = process->pid,
                                      .supervisor = process->parent,
                                      .deadline_ns = now_ns + PD_CRASH_WAIT_NS};
    bool is_brief = reports->mode == PD_CRASH_BRIEF || process->exit.reason == PD_EXIT_KILLED;
    if (describe(process, is_brief, &report)) {
        if (is_main) {
            atomic_store(&reports->has_told_main, true);
        }
        if (process->spec == NULL || !pend(reports, &report)) {
            const struct pd_crash_outcome unknown = {.is_known = false};
            finish(reports, &report, &unknown);
        }
    }
    pd_crash_reports_sweep(reports);
}

/* --- What supervisors say --------------------------------------------------------------------- */

/* Write the child's report, if one waits. */
static bool finish_child(struct pd_crash_reports *reports, const struct pd_process *supervisor,
                         const struct pd_supervisor_action *action,
                         const struct pd_crash_outcome *outcome)
{
    struct pd_crash_pending report;
    if (action->pid.value == 0 ||
        !take_pending(reports, action->pid.value, supervisor->pid, UINT64_MAX, &report)) {
        return false;
    }
    finish(reports, &report, outcome);
    return true;
}

static void child_ended(struct pd_crash_reports *reports, struct pd_process *supervisor,
                        const struct pd_supervisor_action *action,
                        const struct pd_crash_outcome *outcome)
{
    if (finish_child(reports, supervisor, action, outcome)) {
        return;
    }
    if (action->exit.reason != PD_EXIT_KILLED || action->exit.text != NULL ||
        action->pid.value == 0) {
        return; /* no crash, or left out */
    }
    char text[OUTCOME_SIZE];
    size_t size = pd_crash_format_outcome(outcome, true, text, sizeof text);
    text[size - 1] = '\0';
    put_line(reports, "pando: process %llu (%s/%s) was killed%s",
             (unsigned long long)action->pid.value, pd_supervisor_process_name(supervisor),
             action->spec->id, text);
}

static void reported(struct pd_crash_reports *reports, struct pd_process *supervisor,
                     const struct pd_supervisor_action *action)
{
    const char *path = pd_supervisor_process_name(supervisor);
    struct pd_crash_outcome outcome = {.is_known = true,
                                       .is_restarted = action->report == PD_REPORT_RESTART,
                                       .restart_count = action->restart_count,
                                       .restarts_max = action->restarts_max};
    switch (action->report) {
    case PD_REPORT_RESTART:
    case PD_REPORT_ENDED:
        child_ended(reports, supervisor, action, &outcome);
        break;
    case PD_REPORT_NO_START:
        outcome.is_known = false;
        if (finish_child(reports, supervisor, action, &outcome)) {
            break; /* it ended before it said that it is ready: that is why */
        }
        put_line(reports, "pando: %s/%s could not be started: %s: %s", path, action->spec->id,
                 pd_exit_reason_text(action->exit.reason), pd_exit_text_bytes(action->exit.text));
        break;
    case PD_REPORT_NO_STOP:
        put_line(reports, "pando: process %llu (%s/%s) did not end in time and is killed",
                 (unsigned long long)action->pid.value, path, action->spec->id);
        break;
    }
}

static void supervised(void *context, struct pd_program *program, struct pd_process *supervisor,
                       const struct pd_supervisor_action *action)
{
    struct pd_crash_reports *reports = context;
    if (reports->mode == PD_CRASH_NONE) {
        return;
    }
    if (action->kind == PD_SUPERVISOR_REPORT) {
        reported(reports, supervisor, action);
    } else if (action->kind == PD_SUPERVISOR_GIVE_UP) {
        const struct pd_crash_outcome outcome = {.is_known = true, .has_given_up = true};
        child_ended(reports, supervisor, action, &outcome);
        put_line(reports, "pando: process %llu: %s", (unsigned long long)supervisor->pid,
                 pd_exit_text_bytes(action->exit.text));
        uint64_t main_pid = atomic_load_explicit(&program->main_pid, memory_order_acquire);
        if (supervisor->pid == main_pid) {
            atomic_store(&reports->has_told_main, true);
        }
    }
}

/* --- Life ------------------------------------------------------------------------------------- */

void pd_crash_reports_init(struct pd_crash_reports *reports, struct pd_program *program,
                           enum pd_crash_mode mode)
{
    *reports = (struct pd_crash_reports){
        .program = program,
        .mode = mode,
        .tokens = (uint64_t)PD_CRASH_BURST * TOKEN,
        .refilled_ns = pd_host_now_ns(program->host),
    };
    program->exit_hook = exited;
    program->supervised_hook = supervised;
    program->exit_hook_context = reports;
}

void pd_crash_reports_deinit(struct pd_crash_reports *reports)
{
    finish_all(reports, EVERYONE, UINT64_MAX);
    tell_left_out(reports);
    reports->program->exit_hook = NULL;
    reports->program->supervised_hook = NULL;
}

void pd_crash_reports_hush(struct pd_crash_reports *reports)
{
    atomic_store_explicit(&reports->is_hushed, true, memory_order_relaxed);
}
