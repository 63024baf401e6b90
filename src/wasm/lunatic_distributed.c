/* lunatic::distributed as a node of a cluster of one: it lists itself, spawns on itself and sends
 * to itself, by the rules that hold between nodes. Its id is 0, as in all that it tells of its
 * processes (lunatic::registry, get_or_spawn). Whoever names another node traps, as in Lunatic. */
#include <string.h>

#include "base/bytes.h"
#include "wasm/abi_tables.h"
#include "wasm/distributed.h"
#include "wasm/message_call.h"
#include "wasm/spawn_call.h"

#define MODULE "lunatic::distributed"
#define OWN_NODE 0u
#define OWN_MODULE 0u /* of the caller, whichever it is: no other is known to all nodes */
#define QUERY_SIZE_MAX 4096u
#define MISSING_MODULE 2u
#define NO_RESULTS UINT32_MAX /* -1 */

/* --- Who is there ----------------------------------------------------------------------------- */

static enum pd_call_result nodes_count(struct pd_call *call)
{
    return pd_call_done(call, 1);
}

static enum pd_call_result node_id(struct pd_call *call)
{
    call->result = OWN_NODE;
    return PD_CALL_DONE;
}

static enum pd_call_result module_id(struct pd_call *call)
{
    call->result = OWN_MODULE;
    return PD_CALL_DONE;
}

/* The first `count` of this node's id, 0 or 1 of them, in a guest's list; the result is `count`. */
static enum pd_call_result write_nodes(struct pd_call *call, uint32_t address, uint32_t count)
{
    uint8_t *to = pd_guest_memory(call->guest, address, count * sizeof(uint64_t));
    if (to == NULL) {
        return pd_call_trap_bounds(call, "node ids");
    }
    if (count > 0) {
        pd_put_u64(to, OWN_NODE);
    }
    return pd_call_done(call, count);
}

static enum pd_call_result get_nodes(struct pd_call *call)
{
    return write_nodes(call, pd_call_u32(call, 0), pd_call_u32(call, 1) > 0);
}

/* --- Lookups ---------------------------------------------------------------------------------- */

/* A query asks for attributes, "name=a&group=b", and this node has none: only the query that asks
 * for nothing finds it. */
static enum pd_call_result exec_lookup_nodes(struct pd_call *call)
{
    struct pd_lookups *lookups = &pd_call_process(call)->lookups;
    uint32_t size = pd_call_u32(call, 1);
    if (pd_call_text(call, pd_call_u32(call, 0), size, QUERY_SIZE_MAX, "query") == NULL) {
        return PD_CALL_TRAP;
    }
    if (size > QUERY_SIZE_MAX) {
        return pd_call_error(call, pd_call_u32(call, 4),
                             "a query of %u bytes, where %u are allowed", size, QUERY_SIZE_MAX);
    }
    uint8_t *id_to = pd_guest_memory(call->guest, pd_call_u32(call, 2), sizeof(uint64_t));
    if (id_to == NULL) {
        return pd_call_trap_bounds(call, "query id");
    }
    uint8_t *count_to = pd_guest_memory(call->guest, pd_call_u32(call, 3), sizeof(uint64_t));
    if (count_to == NULL) {
        return pd_call_trap_bounds(call, "count");
    }
    uint64_t bit = UINT64_C(1) << lookups->next_id % PD_LOOKUPS_KEPT;
    lookups->unread |= bit;
    lookups->found = size == 0 ? lookups->found | bit : lookups->found & ~bit;
    pd_put_u64(id_to, lookups->next_id++);
    pd_put_u64(count_to, size == 0);
    return pd_call_done(call, 0);
}

static enum pd_call_result copy_lookup_nodes_results(struct pd_call *call)
{
    struct pd_lookups *lookups = &pd_call_process(call)->lookups;
    uint64_t id = call->arguments[0];
    uint64_t bit = UINT64_C(1) << id % PD_LOOKUPS_KEPT;
    bool is_kept = id < lookups->next_id && lookups->next_id - id <= PD_LOOKUPS_KEPT;
    if (!is_kept || (lookups->unread & bit) == 0) {
        enum pd_call_result result = pd_call_error(call, pd_call_u32(call, 3),
                                                   "no query has the id %llu, or its results were "
                                                   "read already",
                                                   (unsigned long long)id);
        return result == PD_CALL_DONE ? pd_call_done(call, NO_RESULTS) : result;
    }
    bool is_wanted = (lookups->found & bit) != 0 && pd_call_u32(call, 2) > 0;
    enum pd_call_result result = write_nodes(call, pd_call_u32(call, 1), is_wanted);
    if (result == PD_CALL_DONE) {
        lookups->unread &= ~bit;
    }
    return result;
}

/* --- Spawning and sending --------------------------------------------------------------------- */

/* False: a trap was set. */
static bool is_own_node(struct pd_call *call, const char *function)
{
    if (call->arguments[0] == OWN_NODE) {
        return true;
    }
    (void)pd_call_trap(call, MODULE "::%s: no node has the id %llu", function,
                       (unsigned long long)call->arguments[0]);
    return false;
}

static enum pd_call_result spawn_finish(struct pd_call *call, enum pd_status status, uint64_t pid,
                                        const char *why)
{
    return status == PD_OK ? pd_call_write_u64(call, pd_call_u32(call, 7), pid)
                           : pd_call_trap(call, MODULE "::spawn: %s", why);
}

static enum pd_call_result spawn(struct pd_call *call)
{
    const struct pd_spawn_arguments arguments = {
        .config = call->arguments[1],
        .module = UINT64_MAX,
        .function = pd_call_u32(call, 3),
        .function_size = pd_call_u32(call, 4),
        .params = pd_call_u32(call, 5),
        .params_size = pd_call_u32(call, 6),
    };
    struct pd_spawn_request request;
    if (!is_own_node(call, "spawn") || !pd_spawn_decode(call, &arguments, &request)) {
        return PD_CALL_TRAP;
    }
    if (pd_guest_memory(call->guest, pd_call_u32(call, 7), sizeof(uint64_t)) == NULL) {
        return pd_call_trap_bounds(call, "id");
    }
    if (call->arguments[2] != OWN_MODULE) {
        enum pd_call_result result =
            pd_call_error(call, pd_call_u32(call, 7), "no node knows a module with the id %llu",
                          (unsigned long long)call->arguments[2]);
        return result == PD_CALL_DONE ? pd_call_done(call, MISSING_MODULE) : result;
    }
    return pd_spawn_run(call, &request, 0, spawn_finish);
}

/* True: the scratch message may leave a node. It is a rule of clusters, so a guest meets it here
 * too: sockets and modules stay where they are. */
static bool is_sendable(struct pd_call *call, const char *function)
{
    if (!is_own_node(call, function)) {
        return false;
    }
    const struct pd_message *message = pd_message_call_data(call);
    if (message == NULL) {
        return false;
    }
    for (uint16_t i = 0; i < message->resource_count; i++) {
        if (message->resources[i].kind != 0) {
            (void)pd_call_trap(call,
                               MODULE "::%s: a message with attached resources stays on its node: "
                                      "use lunatic::message",
                               function);
            return false;
        }
    }
    return true;
}

/* Without the node the arguments are those of lunatic::message. */
static void drop_node(struct pd_call *call)
{
    memmove(&call->arguments[0], &call->arguments[1], 3 * sizeof call->arguments[0]);
}

static enum pd_call_result send(struct pd_call *call)
{
    if (!is_sendable(call, "send")) {
        return PD_CALL_TRAP;
    }
    drop_node(call);
    return pd_message_call_send(call);
}

static enum pd_call_result send_receive_skip_search(struct pd_call *call)
{
    if (!is_sendable(call, "send_receive_skip_search")) {
        return PD_CALL_TRAP;
    }
    drop_node(call);
    return pd_message_call_send_receive(call);
}

/* Before Lunatic 0.13: (node, pid, timeout). */
static enum pd_call_result send_receive_former(struct pd_call *call)
{
    if (!is_sendable(call, "send_receive_skip_search")) {
        return PD_CALL_TRAP;
    }
    drop_node(call);
    return pd_message_call_send_receive_former(call);
}

const struct pd_import pd_lunatic_distributed_imports[] = {
    {MODULE, "nodes_count", "->i", PD_CALL_SYNC, nodes_count},
    {MODULE, "get_nodes", "ii->i", PD_CALL_SYNC, get_nodes},
    {MODULE, "node_id", "->I", PD_CALL_SYNC, node_id},
    {MODULE, "module_id", "->I", PD_CALL_SYNC, module_id},
    {MODULE, "spawn", "IIIiiiii->i", PD_CALL_ASYNC, spawn},
    {MODULE, "send", "II->i", PD_CALL_ASYNC, send},
    {MODULE, "send_receive_skip_search", "IIII->i", PD_CALL_ASYNC, send_receive_skip_search},
    {MODULE, "send_receive_skip_search", "III->i", PD_CALL_ASYNC, send_receive_former},
    {MODULE, "exec_lookup_nodes", "iiiii->i", PD_CALL_DEFERRED, exec_lookup_nodes},
    {MODULE, "copy_lookup_nodes_results", "Iiii->i", PD_CALL_DEFERRED, copy_lookup_nodes_results},
    {MODULE, "test_root_cert", "i->i", PD_CALL_DEFERRED, pd_distributed_test_root_cert},
    {MODULE, "default_server_certificates", "iiiii->i", PD_CALL_DEFERRED,
     pd_distributed_default_server_certificates},
    {MODULE, "sign_node", "iiiiiii->i", PD_CALL_DEFERRED, pd_distributed_sign_node},
};
const size_t pd_lunatic_distributed_import_count =
    sizeof pd_lunatic_distributed_imports / sizeof pd_lunatic_distributed_imports[0];
