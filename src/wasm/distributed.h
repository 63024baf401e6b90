/* distributed - functions of lunatic::distributed that are not beside its table: certificates. */
#ifndef PD_WASM_DISTRIBUTED_H
#define PD_WASM_DISTRIBUTED_H

#include "wasm/hostcall.h"

enum pd_call_result pd_distributed_test_root_cert(struct pd_call *call);
enum pd_call_result pd_distributed_default_server_certificates(struct pd_call *call);
enum pd_call_result pd_distributed_sign_node(struct pd_call *call);

#endif
