/* spawn_call - what every function that spawns a wasm process has in common: decoding and
 * checking. */
#ifndef PD_WASM_SPAWN_CALL_H
#define PD_WASM_SPAWN_CALL_H

#include "wasm/wasm_process.h"

/* A spawn as its arguments ask for it. Pointers are borrowed from guest memory and the caller's
 * tables. */
struct pd_spawn_request {
    struct pd_module *module;
    struct pd_rights *rights;
    const char *function;
    uint32_t function_size;
    wasmtime_val_t params[PD_MODULE_PARAMS_MAX];
    uint32_t param_count;
};

/* Where the arguments stand in a call. */
struct pd_spawn_arguments {
    uint64_t config; /* id, or UINT64_MAX: inherit */
    uint64_t module;
    uint32_t function;
    uint32_t function_size;
    uint32_t params;
    uint32_t params_size;
};

/* Check rights and decode. False: a trap was set, return PD_CALL_TRAP. */
bool pd_spawn_decode(struct pd_call *call, const struct pd_spawn_arguments *arguments,
                     struct pd_spawn_request *request_out);

/* What a spawn ends in: of PD_OK the pid; else `why` says what went wrong, and nothing is left.
 * Runs on the fiber or on the scheduler's stack. */
typedef enum pd_call_result (*pd_spawn_finish)(struct pd_call *call, enum pd_status status,
                                               uint64_t pid, const char *why);

/* Make the process, linked to the caller when link_tag is not 0, and start it; return what this
 * returns. A module that runs code when it is instantiated, or that never was, is instantiated
 * within the call, as Lunatic does it: the call waits meanwhile, and a failure is `finish`'s, not
 * the child's. Others cannot fail: they are instantiated by their own first step. PD_ERR_FULL,
 * PD_ERR_NO_MEMORY, PD_ERR_CLOSED, PD_ERR_INVALID (it cannot be instantiated). */
enum pd_call_result pd_spawn_run(struct pd_call *call, const struct pd_spawn_request *request,
                                 uint64_t link_tag, pd_spawn_finish finish);

/* Decode Lunatic's 17-byte chunks: a type byte (0x7F i32, 0x7E i64, 0x7B v128), then 16 bytes,
 * little-endian. `params` has room for PD_MODULE_PARAMS_MAX. PD_ERR_INVALID: no whole number of
 * chunks. PD_ERR_RANGE: too many. PD_ERR_UNKNOWN: a type byte. */
PD_NODISCARD enum pd_status pd_spawn_read_params(const uint8_t *bytes, size_t size,
                                                 wasmtime_val_t *params, uint32_t *count_out);

/* The same from guest memory, whose bytes are returned. NULL: a trap was set. */
const uint8_t *pd_spawn_decode_params(struct pd_call *call, uint32_t address, uint32_t size,
                                      wasmtime_val_t *params, uint32_t *count_out);

#endif
