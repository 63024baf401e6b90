/* spawn_call - what every function that spawns a wasm process has in common: decoding and checking. */
#ifndef PD_WASM_SPAWN_CALL_H
#define PD_WASM_SPAWN_CALL_H

#include "wasm/wasm_process.h"

/* A spawn as its arguments ask for it. Pointers are borrowed from guest memory and the caller's tables. */
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

/* Make the process, linked to the caller when link_tag is not 0, and start it.
 * PD_OK: *pid_out. Else nothing is left; the status is of pd_wasm_process_create or pd_process_link_child. */
PD_NODISCARD enum pd_status pd_spawn_run(struct pd_call *call,
                                         const struct pd_spawn_request *request, uint64_t link_tag,
                                         uint64_t *pid_out);

/* Decode Lunatic's 17-byte chunks: a type byte (0x7F i32, 0x7E i64, 0x7B v128), then 16 bytes, little-endian.
 * `params` has room for PD_MODULE_PARAMS_MAX. PD_ERR_INVALID: no whole number of chunks. PD_ERR_RANGE: too many.
 * PD_ERR_UNKNOWN: a type byte. */
PD_NODISCARD enum pd_status pd_spawn_read_params(const uint8_t *bytes, size_t size,
                                                 wasmtime_val_t *params, uint32_t *count_out);

/* The same from guest memory, whose bytes are returned. NULL: a trap was set. */
const uint8_t *pd_spawn_decode_params(struct pd_call *call, uint32_t address, uint32_t size,
                                      wasmtime_val_t *params, uint32_t *count_out);

#endif
