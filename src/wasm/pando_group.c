/* pando::group: named sets of processes.
 *
 *   join(name, len) -> 0 done · 1 a member already · 3 the limit of memberships is reached
 *   leave(name, len) -> 0 done · 1 no member
 *   members(name, len, pids_out, max) -> how many there are; up to max pids (u64 each), the oldest
 *   first broadcast(name, len, skipped_out) -> to how many members a copy of the scratch message
 *   was sent, itself included
 *       if it is one. Full mailboxes are skipped, and counted as u32 at skipped_out. The scratch
 *       message is consumed. Modules that it carries are shared; a message with anything else
 *       attached traps.
 *
 * A name is 1 to PD_NAME_MAX bytes of UTF-8; others trap. */
#include "actor/group.h"

#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "wasm/abi_tables.h"
#include "wasm/wasm_process.h"

#define MODULE "pando::group"
#define BATCH 64u

/* What one turn of a broadcast may send before the others run. */
#define TURN_MEMBERS 512u
#define TURN_BYTES (4u << 20)

enum {
    DONE = 0,
    ALREADY = 1,
    NO_MEMBER = 1,
    FULL = 3
};

static struct pd_environment *environment_of(const struct pd_call *call)
{
    return pd_call_process(call)->process->environment;
}

/* The name of arguments 0 and 1; NULL after a trap. */
static const char *name_of(struct pd_call *call)
{
    uint32_t size = pd_call_u32(call, 1);
    if (size == 0 || size > PD_NAME_MAX) {
        (void)pd_call_trap(call, MODULE ": a name of %u bytes, where 1 to %u are allowed",
                           (unsigned)size, PD_NAME_MAX);
        return NULL;
    }
    return pd_call_text(call, pd_call_u32(call, 0), size, PD_NAME_MAX, "name");
}

static enum pd_call_result join(struct pd_call *call)
{
    const char *name = name_of(call);
    if (name == NULL) {
        return PD_CALL_TRAP;
    }
    enum pd_status status = pd_group_join(environment_of(call), name, pd_call_u32(call, 1),
                                          pd_call_process(call)->process->pid);
    switch (status) {
    case PD_OK:
        return pd_call_done(call, DONE);
    case PD_ERR_EXISTS:
        return pd_call_done(call, ALREADY);
    case PD_ERR_FULL:
        return pd_call_done(call, FULL);
    case PD_ERR_UNKNOWN:
    case PD_ERR_INVALID:
    case PD_ERR_RANGE:
    case PD_ERR_DENIED:
    case PD_ERR_TIMEOUT:
    case PD_ERR_IO:
    case PD_ERR_NO_MEMORY:
    case PD_ERR_CORRUPT:
    case PD_ERR_CLOSED:
    case PD_ERR_UNSUPPORTED:
        break;
    }
    return pd_call_trap(call, MODULE "::join: %s", pd_status_text(status));
}

static enum pd_call_result leave(struct pd_call *call)
{
    const char *name = name_of(call);
    if (name == NULL) {
        return PD_CALL_TRAP;
    }
    enum pd_status status = pd_group_leave(environment_of(call), name, pd_call_u32(call, 1),
                                           pd_call_process(call)->process->pid);
    return pd_call_done(call, status == PD_OK ? DONE : NO_MEMBER);
}

static enum pd_call_result members(struct pd_call *call)
{
    const char *name = name_of(call);
    if (name == NULL) {
        return PD_CALL_TRAP;
    }
    uint32_t name_size = pd_call_u32(call, 1);
    uint32_t pids_max = pd_call_u32(call, 3);
    uint8_t *to =
        pd_guest_memory(call->guest, pd_call_u32(call, 2), (uint64_t)pids_max * sizeof(uint64_t));
    if (to == NULL) {
        return pd_call_trap_bounds(call, "pids");
    }
    struct pd_environment *environment = environment_of(call);
    uint32_t count = pd_group_members(environment, name, name_size, NULL, 0);
    uint32_t room = count < pids_max ? count : pids_max;
    if (room == 0) {
        return pd_call_done(call, count);
    }
    /* Guest memory need not be aligned for numbers. */
    uint64_t *pids = pd_alloc(room * sizeof *pids);
    if (pids == NULL) {
        return pd_call_trap(call, MODULE "::members: no memory");
    }
    count = pd_group_members(environment, name, name_size, pids, room);
    for (uint32_t i = 0; i < room && i < count; i++) {
        pd_put_u64(to + i * sizeof(uint64_t), pids[i]);
    }
    pd_free(pids);
    /* Who joined between the two looks and was not written is not counted where there was room. */
    return pd_call_done(call, room < pids_max && count > room ? room : count);
}

/* --- Broadcast: in turns, so that a large group does not keep the others from running --------- */

struct broadcast {
    struct pd_message *message;
    struct pd_group_cursor cursor;
    uint32_t sent_count;
    uint32_t skipped_count;
};

static void broadcast_free(struct pd_call *call)
{
    struct broadcast *broadcast = call->state;
    pd_message_destroy(broadcast->message);
    pd_free(broadcast);
    call->state = NULL;
}

/* Only what can be shared: modules. */
static bool is_copyable(const struct pd_message *message)
{
    for (uint32_t i = 0; i < message->resource_count; i++) {
        uint32_t kind = message->resources[i].kind;
        if (kind != 0 && kind != PD_RESOURCE_MODULE) {
            return false;
        }
    }
    return true;
}

/* The same modules at the same places; a place whose module was taken stays empty. */
static bool copy_resources(struct pd_message *to, const struct pd_message *from)
{
    if (from->resource_count == 0) {
        return true;
    }
    size_t size = from->resource_count * sizeof *to->resources;
    if (to->budget != NULL && !pd_memory_budget_take(to->budget, PD_MEMORY_MESSAGE, size)) {
        return false;
    }
    to->resources = pd_alloc(size);
    if (to->resources == NULL) {
        if (to->budget != NULL) {
            pd_memory_budget_give(to->budget, size);
        }
        return false;
    }
    to->resource_count = from->resource_count;
    for (uint32_t i = 0; i < from->resource_count; i++) {
        to->resources[i] = from->resources[i];
        if (from->resources[i].kind == PD_RESOURCE_MODULE) {
            (void)pd_module_acquire(from->resources[i].object);
        }
    }
    return true;
}

/* NULL: no memory. */
static struct pd_message *copy_of(const struct pd_message *message)
{
    struct pd_message *copy =
        pd_message_create_within(message->budget, message->tag, message->size);
    if (copy == NULL) {
        return NULL;
    }
    enum pd_status status = PD_OK;
    if (message->size > 0) {
        status = pd_message_append(&copy, message->data, message->size, message->size);
    }
    if (status != PD_OK || !copy_resources(copy, message)) {
        pd_message_destroy(copy);
        return NULL;
    }
    return copy;
}

static void send_copy(struct pd_process *self, struct broadcast *broadcast, uint64_t pid)
{
    struct pd_message *copy = copy_of(broadcast->message);
    if (copy != NULL && pd_process_send(self, pid, copy) == PD_OK) {
        broadcast->sent_count++;
        return;
    }
    pd_message_destroy(copy);
    broadcast->skipped_count++;
}

static enum pd_call_result broadcast_over(struct pd_call *call)
{
    const struct broadcast *broadcast = call->state;
    uint32_t sent_count = broadcast->sent_count;
    uint32_t skipped_count = broadcast->skipped_count;
    broadcast_free(call);
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, 2), sizeof skipped_count);
    if (to == NULL) {
        return pd_call_trap_bounds(call, "skipped count");
    }
    pd_put_u32(to, skipped_count);
    return pd_call_done(call, sent_count);
}

static enum pd_call_result broadcast_turn(struct pd_call *call)
{
    struct broadcast *broadcast = call->state;
    struct pd_process *self = pd_call_process(call)->process;
    const char *name = name_of(call);
    if (name == NULL) {
        broadcast_free(call);
        return PD_CALL_TRAP;
    }
    uint64_t bytes_left = TURN_BYTES;
    for (uint32_t turn = 0; turn < TURN_MEMBERS; turn += BATCH) {
        uint64_t pids[BATCH];
        uint64_t fitting = bytes_left / pd_message_footprint(broadcast->message);
        uint32_t pids_max = fitting == 0 ? 1 : fitting < BATCH ? (uint32_t)fitting : BATCH;
        uint32_t count = pd_group_walk(self->environment, name, pd_call_u32(call, 1),
                                       &broadcast->cursor, pids, pids_max);
        if (count == 0) {
            return broadcast_over(call);
        }
        for (uint32_t i = 0; i < count; i++) {
            send_copy(self, broadcast, pids[i]);
        }
        uint64_t used = count * (uint64_t)pd_message_footprint(broadcast->message);
        if (used >= bytes_left) {
            break;
        }
        bytes_left -= used;
    }
    /* There may be more: go on after the others had their turn. */
    pd_call_wake_at(call, pd_host_now_ns(pd_guest_host(call->guest)));
    call->resume = broadcast_turn;
    call->needs_stack = true;
    call->abandon = broadcast_free;
    return PD_CALL_WAIT;
}

static enum pd_call_result broadcast_begin(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    if (name_of(call) == NULL) {
        return PD_CALL_TRAP;
    }
    if (pd_guest_memory(call->guest, pd_call_u32(call, 2), sizeof(uint32_t)) == NULL) {
        return pd_call_trap_bounds(call, "skipped count");
    }
    if (self->scratch == NULL) {
        return pd_call_trap(call, MODULE "::broadcast: no message: create one first");
    }
    if (!is_copyable(self->scratch)) {
        return pd_call_trap(call, MODULE "::broadcast: the message carries something that cannot "
                                         "be copied");
    }
    struct broadcast *broadcast = pd_alloc_zeroed(1, sizeof *broadcast);
    if (broadcast == NULL) {
        return pd_call_trap(call, MODULE "::broadcast: no memory");
    }
    broadcast->message = self->scratch;
    self->scratch = NULL;
    call->state = broadcast;
    return broadcast_turn(call);
}

const struct pd_import pd_pando_group_imports[] = {
    {MODULE, "join", "ii->i", PD_CALL_DEFERRED, join},
    {MODULE, "leave", "ii->i", PD_CALL_DEFERRED, leave},
    {MODULE, "members", "iiii->i", PD_CALL_DEFERRED, members},
    {MODULE, "broadcast", "iii->i", PD_CALL_DEFERRED, broadcast_begin},
};
const size_t pd_pando_group_import_count =
    sizeof pd_pando_group_imports / sizeof pd_pando_group_imports[0];
