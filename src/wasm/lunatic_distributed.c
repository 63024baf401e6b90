/* lunatic::distributed on one node: there are no others, its own id is 0, and whatever needs
 * another traps. */
#include "wasm/abi_tables.h"
#include "wasm/wasm_process.h"

#define MODULE "lunatic::distributed"

#define NEEDS_NODES(function)                                                                      \
    static enum pd_call_result function(struct pd_call *call)                                      \
    {                                                                                              \
        return pd_call_trap(call, MODULE "::" #function ": this process runs on a single node, "   \
                                         "which knows no other");                                  \
    }

static enum pd_call_result none(struct pd_call *call)
{
    return pd_call_done(call, 0);
}

NEEDS_NODES(spawn)
NEEDS_NODES(send)
NEEDS_NODES(send_receive_skip_search)
NEEDS_NODES(exec_lookup_nodes)
NEEDS_NODES(copy_lookup_nodes_results)
NEEDS_NODES(test_root_cert)
NEEDS_NODES(default_server_certificates)
NEEDS_NODES(sign_node)

#define ROW(function, signature)                                                                   \
    {                                                                                              \
        MODULE, #function, signature, PD_CALL_DEFERRED, function                                   \
    }

const struct pd_import pd_lunatic_distributed_imports[] = {
    {MODULE, "nodes_count", "->i", PD_CALL_SYNC, none},
    {MODULE, "get_nodes", "ii->i", PD_CALL_SYNC, none},
    {MODULE, "node_id", "->I", PD_CALL_SYNC, none},
    {MODULE, "module_id", "->I", PD_CALL_SYNC, none},
    ROW(spawn, "IIIiiiii->i"),
    ROW(send, "II->i"),
    ROW(send_receive_skip_search, "IIII->i"),
    ROW(exec_lookup_nodes, "iiiii->i"),
    ROW(copy_lookup_nodes_results, "Iiii->i"),
    ROW(test_root_cert, "i->i"),
    ROW(default_server_certificates, "iiiii->i"),
    ROW(sign_node, "iiiiiii->i"),
};
const size_t pd_lunatic_distributed_import_count =
    sizeof pd_lunatic_distributed_imports / sizeof pd_lunatic_distributed_imports[0];
