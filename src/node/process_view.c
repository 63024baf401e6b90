#include "node/process_view.h"

#include <string.h>

#include "actor/inspect.h"
#include "actor/registry.h"
#include "actor/supervisor_process.h"
#include "base/alloc.h"
#include "base/assert.h"

const char *pd_view_state_text(enum pd_view_state state)
{
    switch (state) {
    case PD_VIEW_RUNNING:
        return "running";
    case PD_VIEW_RUNNABLE:
        return "runnable";
    case PD_VIEW_WAITING:
        return "waiting";
    case PD_VIEW_BLOCKED:
        return "blocked on send";
    case PD_VIEW_IN_CALL:
        return "in host call";
    }
    pd_assert(false);
    return "";
}

/* --- In passing ------------------------------------------------------------------------------- */

static bool waits_for_messages(const struct pd_import *import)
{
    return strcmp(import->module, "lunatic::message") == 0 && strcmp(import->name, "receive") == 0;
}

/* Under the lock. Who waits is owned by nobody: its next owner takes the lock first. */
static void take_state(struct pd_process_row *row, const struct pd_process *process,
                       const struct pd_import *import)
{
    if (process->run_state == PD_RUN_QUEUED) {
        row->state = PD_VIEW_RUNNABLE;
    } else if (process->run_state != PD_RUN_WAITING) {
        row->state = PD_VIEW_RUNNING;
    } else if (pd_process_must_wait(process)) {
        row->state = PD_VIEW_BLOCKED;
    } else if (import == NULL || waits_for_messages(import)) {
        row->state = PD_VIEW_WAITING;
    } else {
        row->state = PD_VIEW_IN_CALL;
        row->call_space = import->module;
        row->call_name = import->name;
    }
}

/* Under the lock, of a process in the table: constants and atomics, but for what take_state
 * says. */
static void visit(struct pd_process *process, void *context)
{
    struct pd_process_row *row = context;
    pd_process_label_take(&row->label, process);
    row->link_count = atomic_load_explicit(&process->bonds.link_count, memory_order_relaxed);
    row->monitor_count = atomic_load_explicit(&process->bonds.watching_count, memory_order_relaxed);
    row->restart_count = process->restart_count;
    row->birth_ns = process->birth_ns;
    row->received_count = atomic_load_explicit(&process->received_count, memory_order_relaxed);
    row->sent_count = atomic_load_explicit(&process->sent_count, memory_order_relaxed);
    row->slice_count = atomic_load_explicit(&process->slice_count, memory_order_relaxed);
    row->is_supervisor = pd_process_is_supervisor(process);
    const struct pd_import *import = NULL;
    if (pd_process_is_wasm(process)) {
        const struct pd_wasm_process *wasm = process->data;
        import = pd_guest_waiting_in(wasm->guest);
        row->module = pd_module_acquire(pd_guest_module(wasm->guest));
        row->fuel_used = pd_guest_fuel_used(wasm->guest);
        row->memory_size = pd_guest_memory_size(wasm->guest);
        size_t size = strnlen(wasm->function, sizeof row->function - 1);
        memcpy(row->function, wasm->function, size);
    }
    take_state(row, process, import);
}

enum pd_status pd_process_row_take(struct pd_environment *environment, uint64_t pid,
                                   struct pd_process_row *row)
{
    *row = (struct pd_process_row){.module = NULL};
    enum pd_status status = pd_mailbox_look(environment, pid, &row->mailbox, visit, row);
    if (status == PD_OK) {
        (void)pd_registry_name_of(environment, pid, row->name, sizeof row->name);
    }
    return status;
}

void pd_process_row_deinit(struct pd_process_row *row)
{
    pd_module_release(row->module);
    row->module = NULL;
}

/* A pid in decimal; 0: it is none. */
static uint64_t parse_pid(const char *text)
{
    uint64_t pid = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        uint64_t digit = (uint64_t)(*text - '0');
        if (pid > (UINT64_MAX - digit) / 10) {
            return 0;
        }
        pid = pid * 10 + digit;
    }
    return *text == '\0' ? pid : 0;
}

static void visit_label(struct pd_process *process, void *context)
{
    pd_process_label_take(context, process);
}

static bool is_called(struct pd_environment *environment, const struct pd_process_label *label,
                      const char *name)
{
    char path[PD_PATH_SIZE];
    if (strcmp(label->id, name) == 0 || strcmp(label->prefix, name) == 0) {
        return true;
    }
    if (strchr(name, '/') == NULL) {
        return false;
    }
    pd_process_path(environment, label, path, sizeof path);
    return strcmp(path, name) == 0;
}

/* By its place in the tree: every process is asked. */
static uint64_t find_in_tree(struct pd_environment *environment, const char *name)
{
    uint64_t found = 0;
    for (uint32_t slot = 0; slot < environment->capacity; slot++) {
        struct pd_process *process = pd_environment_at(environment, slot);
        uint64_t pid = process == NULL ? 0 : pd_mailbox_pid(process);
        struct pd_mailbox_view view;
        struct pd_process_label label;
        if (pid == 0 || pd_mailbox_look(environment, pid, &view, visit_label, &label) != PD_OK ||
            !is_called(environment, &label, name)) {
            continue;
        }
        if (found != 0) {
            return 0;
        }
        found = pid;
    }
    return found;
}

uint64_t pd_process_find(struct pd_environment *environment, const char *name)
{
    uint64_t pid = parse_pid(name);
    if (pid != 0) {
        return pd_mailbox_exists(environment, pid) ? pid : 0;
    }
    uint64_t node = 0;
    enum pd_status status = PD_OK;
    if (pd_registry_get(environment, name, strlen(name), false, 0, NULL, &node, &pid, &status) ==
            PD_REGISTRY_FOUND &&
        pd_mailbox_exists(environment, pid)) {
        return pid;
    }
    return find_in_tree(environment, name);
}

/* --- Asking the owner ------------------------------------------------------------------------- */

struct request {
    struct pd_inspect_request inspect; /* first: it is freed through its message */
    struct pd_process_look *look;      /* a reference */
};

_Static_assert(offsetof(struct request, inspect) == 0 &&
                   offsetof(struct pd_inspect_request, message) == 0,
               "freed through its message");

static enum pd_view_bond_kind kind_of(enum pd_bond_type type)
{
    switch (type) {
    case PD_BOND_LINK:
        return PD_VIEW_LINK;
    case PD_BOND_WATCHING:
        return PD_VIEW_WATCHING;
    case PD_BOND_WATCHED_BY:
        return PD_VIEW_WATCHED_BY;
    }
    pd_assert(false);
    return PD_VIEW_LINK;
}

/* A walk over a million monitors would hold a scheduler up: those beyond the list are counted by
 * subtraction. */
static void take_bonds(struct pd_process_look *look, const struct pd_process *process)
{
    const struct pd_bond_set *set = &process->bonds;
    uint32_t links = atomic_load_explicit(&set->link_count, memory_order_relaxed);
    uint32_t watching = atomic_load_explicit(&set->watching_count, memory_order_relaxed);
    look->bond_counts[PD_VIEW_LINK] = links;
    look->bond_counts[PD_VIEW_WATCHING] = watching;
    look->bond_counts[PD_VIEW_WATCHED_BY] = set->count - links - watching;
    for (struct pd_list *at = set->all.next;
         at != &set->all && look->listed_count < PD_VIEW_BONDS_MAX; at = at->next) {
        const struct pd_bond *bond = pd_container_of(at, struct pd_bond, node);
        look->peers[look->listed_count] = bond->peer;
        look->kinds[look->listed_count++] = (uint8_t)kind_of(bond->type);
    }
}

/* By the owner, maybe on a fiber's small stack. */
static void look_inside(struct pd_process *process, struct pd_inspect_request *inspect)
{
    struct pd_process_look *look = ((struct request *)(void *)inspect)->look;
    take_bonds(look, process);
    look->traps_exits = process->trapping == PD_TRAP_ALL;
    look->traps_failures = process->trapping == PD_TRAP_FAILURES;
    look->is_ready = process->is_ready;
    look->outbox_count = process->outbox_count;
    struct pd_wasm_process *wasm = pd_process_is_wasm(process) ? process->data : NULL;
    if (wasm != NULL) {
        look->rights = pd_rights_share(wasm->rights);
    }
    if (look->tracer != NULL) {
        look->status = pd_tracer_attach(process, look->tracer);
        if (look->status == PD_OK && wasm != NULL) {
            pd_wasm_process_trace_calls(wasm);
        }
    }
    atomic_store_explicit(&look->is_done, true, memory_order_release);
    pd_process_look_release(look);
}

enum pd_status pd_process_look_begin(struct pd_environment *environment, uint64_t pid,
                                     struct pd_tracer *tracer, struct pd_process_look **look_out)
{
    struct pd_process_look *look = pd_alloc_zeroed(1, sizeof *look);
    struct request *request = pd_alloc_zeroed(1, sizeof *request);
    enum pd_status status = PD_ERR_NO_MEMORY;
    if (look != NULL && request != NULL) {
        look->tracer = tracer == NULL ? NULL : pd_tracer_share(tracer);
        atomic_init(&look->references, 2);
        request->look = look;
        request->inspect.look = look_inside;
        request->inspect.message.kind = PD_SIGNAL_INSPECT;
        status = pd_mailbox_post(environment, pid, &request->inspect.message);
    }
    if (status != PD_OK) {
        pd_tracer_release(look == NULL ? NULL : look->tracer);
        pd_free(look);
        pd_free(request);
        return status;
    }
    *look_out = look;
    return PD_OK;
}

bool pd_process_look_is_done(const struct pd_process_look *look)
{
    return atomic_load_explicit(&look->is_done, memory_order_acquire);
}

void pd_process_look_release(struct pd_process_look *look)
{
    if (look == NULL ||
        atomic_fetch_sub_explicit(&look->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    pd_tracer_release(look->tracer);
    pd_rights_release(look->rights);
    pd_free(look);
}
