/* lunatic::registry: names of processes, strict UTF-8, gone with their process. */
#include "actor/registry.h"

#include "base/bytes.h"
#include "wasm/abi_tables.h"
#include "wasm/wasm_process.h"

#define FOUND 0u
#define ABSENT 1u

static struct pd_process *self_of(const struct pd_call *call)
{
    return pd_call_process(call)->process;
}

/* A name that nobody can have: the registry's limits as a trap that tells them. */
static enum pd_call_result bad_name(struct pd_call *call, const char *function)
{
    return pd_call_trap(call,
                        "lunatic::registry::%s: a name of %u bytes, where 1 to %u are allowed",
                        function, (unsigned)pd_call_u32(call, 1), PD_NAME_MAX);
}

static enum pd_call_result put(struct pd_call *call)
{
    struct pd_process *self = self_of(call);
    uint32_t size = pd_call_u32(call, 1);
    const char *name = pd_call_text(call, pd_call_u32(call, 0), size, PD_NAME_MAX, "name");
    if (name == NULL) {
        return PD_CALL_TRAP;
    }
    enum pd_status status = pd_registry_put(self->environment, name, size, call->arguments[2],
                                            call->arguments[3], self->pid, true);
    switch (status) {
    case PD_ERR_INVALID:
        return bad_name(call, "put");
    case PD_ERR_FULL:
        return pd_call_trap(call, "lunatic::registry::put: the registry is full (%u names)",
                            (unsigned)self->environment->registry.names_max);
    case PD_ERR_NO_MEMORY:
        return pd_call_trap(call, "lunatic::registry::put: no memory");
    case PD_OK:
    case PD_ERR_UNKNOWN: /* a name goes with its process, and this one went already */
    case PD_ERR_EXISTS:
    case PD_ERR_RANGE:
    case PD_ERR_DENIED:
    case PD_ERR_TIMEOUT:
    case PD_ERR_IO:
    case PD_ERR_CORRUPT:
    case PD_ERR_CLOSED:
    case PD_ERR_UNSUPPORTED:
        break;
    }
    return PD_CALL_DONE;
}

/* Write what was found: node and pid, both or none. */
static enum pd_call_result found(struct pd_call *call, uint64_t node, uint64_t pid)
{
    uint8_t *node_to = pd_guest_memory(call->guest, pd_call_u32(call, 2), sizeof node);
    if (node_to == NULL) {
        return pd_call_trap_bounds(call, "node id");
    }
    uint8_t *pid_to = pd_guest_memory(call->guest, pd_call_u32(call, 3), sizeof pid);
    if (pid_to == NULL) {
        return pd_call_trap_bounds(call, "process id");
    }
    pd_put_u64(node_to, node);
    pd_put_u64(pid_to, pid);
    return pd_call_done(call, FOUND);
}

static enum pd_call_result get(struct pd_call *call)
{
    uint32_t size = pd_call_u32(call, 1);
    const char *name = pd_call_text(call, pd_call_u32(call, 0), size, PD_NAME_MAX, "name");
    if (name == NULL) {
        return PD_CALL_TRAP;
    }
    uint64_t node = 0;
    uint64_t pid = 0;
    enum pd_status status = PD_OK;
    enum pd_registry_answer answer = pd_registry_get(self_of(call)->environment, name, size, false,
                                                     0, NULL, &node, &pid, &status);
    /* A name that nobody can have is absent, like any other that nobody has. */
    return answer == PD_REGISTRY_FOUND ? found(call, node, pid) : pd_call_done(call, ABSENT);
}

static enum pd_call_result remove_name(struct pd_call *call)
{
    uint32_t size = pd_call_u32(call, 1);
    const char *name = pd_call_text(call, pd_call_u32(call, 0), size, PD_NAME_MAX, "name");
    if (name == NULL) {
        return PD_CALL_TRAP;
    }
    (void)pd_registry_remove(self_of(call)->environment, name, size);
    return PD_CALL_DONE;
}

/* Absent: the name is held for this process until its put. Held by another: wait for its put, its
 * release or its death, and ask again. A death while waiting needs no care here: the registry
 * forgets who dies. */
static enum pd_call_result get_or_put_later(struct pd_call *call)
{
    struct pd_process *self = self_of(call);
    uint32_t size = pd_call_u32(call, 1);
    const char *name = pd_call_text(call, pd_call_u32(call, 0), size, PD_NAME_MAX, "name");
    if (name == NULL) {
        return PD_CALL_TRAP;
    }
    uint64_t node = 0;
    uint64_t pid = 0;
    enum pd_status status = PD_OK;
    enum pd_registry_answer answer =
        pd_registry_get(self->environment, name, size, true, self->pid, self, &node, &pid, &status);
    if (status == PD_ERR_INVALID) {
        return bad_name(call, "get_or_put_later");
    }
    if (status != PD_OK) {
        return pd_call_trap(call, "lunatic::registry::get_or_put_later: %s",
                            pd_status_text(status));
    }
    switch (answer) {
    case PD_REGISTRY_FOUND:
        return found(call, node, pid);
    case PD_REGISTRY_ABSENT:
        return pd_call_done(call, ABSENT);
    case PD_REGISTRY_HELD:
        break;
    }
    call->resume = get_or_put_later;
    call->needs_stack = true;
    return PD_CALL_WAIT;
}

const struct pd_import pd_lunatic_registry_imports[] = {
    {"lunatic::registry", "put", "iiII->", PD_CALL_DEFERRED, put},
    {"lunatic::registry", "get", "iiii->i", PD_CALL_SYNC, get},
    {"lunatic::registry", "remove", "ii->", PD_CALL_DEFERRED, remove_name},
    {"lunatic::registry", "get_or_put_later", "iiii->i", PD_CALL_DEFERRED, get_or_put_later},
};
const size_t pd_lunatic_registry_import_count =
    sizeof pd_lunatic_registry_imports / sizeof pd_lunatic_registry_imports[0];
