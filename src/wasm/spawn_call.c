#include "wasm/spawn_call.h"

#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"

#define CHUNK_SIZE 17u
#define FUNCTION_NAME_MAX 100000u /* a name in a module has at most as many bytes */
#define TYPE_I32 0x7F
#define TYPE_I64 0x7E
#define TYPE_V128 0x7B

static bool decode_chunk(const uint8_t *chunk, wasmtime_val_t *param)
{
    switch (chunk[0]) {
    case TYPE_I32:
        param->kind = WASMTIME_I32;
        param->of.i32 = (int32_t)pd_get_u32(chunk + 1);
        return true;
    case TYPE_I64:
        param->kind = WASMTIME_I64;
        param->of.i64 = (int64_t)pd_get_u64(chunk + 1);
        return true;
    case TYPE_V128:
        param->kind = WASMTIME_V128;
        memcpy(param->of.v128, chunk + 1, sizeof param->of.v128);
        return true;
    default:
        return false;
    }
}

enum pd_status pd_spawn_read_params(const uint8_t *bytes, size_t size, wasmtime_val_t *params,
                                    uint32_t *count_out)
{
    if (size % CHUNK_SIZE != 0) {
        return PD_ERR_INVALID;
    }
    if (size / CHUNK_SIZE > PD_MODULE_PARAMS_MAX) {
        return PD_ERR_RANGE;
    }
    uint32_t count = (uint32_t)(size / CHUNK_SIZE);
    for (uint32_t i = 0; i < count; i++) {
        if (!decode_chunk(bytes + (size_t)i * CHUNK_SIZE, &params[i])) {
            return PD_ERR_UNKNOWN;
        }
    }
    *count_out = count;
    return PD_OK;
}

const uint8_t *pd_spawn_decode_params(struct pd_call *call, uint32_t address, uint32_t size,
                                      wasmtime_val_t *params, uint32_t *count_out)
{
    const uint8_t *bytes = pd_call_bytes(call, address, size, "params");
    if (bytes == NULL) {
        return NULL;
    }
    enum pd_status status = pd_spawn_read_params(bytes, size, params, count_out);
    if (status == PD_OK) {
        return bytes;
    }
    if (status == PD_ERR_INVALID) {
        (void)pd_call_trap(call, "params: %u bytes are no whole number of 17-byte values", size);
    } else if (status == PD_ERR_RANGE) {
        (void)pd_call_trap(call, "params: %u values are more than the %u allowed",
                           size / CHUNK_SIZE, PD_MODULE_PARAMS_MAX);
    } else {
        (void)pd_call_trap(call, "params: a value has an unknown type: 0x7F i32, 0x7E i64 and "
                                 "0x7B v128 are known");
    }
    return NULL;
}

/* The rights of the child, or NULL after a trap. */
static struct pd_rights *child_rights(struct pd_call *call, uint64_t config)
{
    struct pd_wasm_process *self = pd_call_process(call);
    if (config == UINT64_MAX) {
        return self->rights;
    }
    struct pd_rights *rights = pd_id_table_get(&self->configs, config);
    if (rights == NULL) {
        (void)pd_call_trap(call, "no configuration has the id %llu", (unsigned long long)config);
        return NULL;
    }
    if (!pd_rights_within(rights, self->rights)) {
        (void)pd_call_trap_right(call, "a child may not have more rights than its parent");
        return NULL;
    }
    return rights;
}

bool pd_spawn_decode(struct pd_call *call, const struct pd_spawn_arguments *arguments,
                     struct pd_spawn_request *request_out)
{
    struct pd_wasm_process *self = pd_call_process(call);
    if (!self->rights->can_spawn) {
        (void)pd_call_trap_right(call, "spawning processes");
        return false;
    }
    if (!pd_guest_is_instantiated(call->guest)) {
        (void)pd_call_trap(call, "spawning is not possible while the module is instantiated");
        return false;
    }
    request_out->rights = child_rights(call, arguments->config);
    if (request_out->rights == NULL) {
        return false;
    }
    request_out->module = arguments->module == UINT64_MAX
                              ? pd_guest_module(call->guest)
                              : pd_id_table_get(&self->modules, arguments->module);
    if (request_out->module == NULL) {
        (void)pd_call_trap(call, "no module has the id %llu",
                           (unsigned long long)arguments->module);
        return false;
    }
    if (arguments->function_size > FUNCTION_NAME_MAX) {
        (void)pd_call_trap(call, "a function name of %u bytes, where %u are allowed",
                           (unsigned)arguments->function_size, FUNCTION_NAME_MAX);
        return false;
    }
    request_out->function_size = arguments->function_size;
    request_out->function = pd_call_text(call, arguments->function, arguments->function_size,
                                         FUNCTION_NAME_MAX, "function name");
    return request_out->function != NULL &&
           pd_spawn_decode_params(call, arguments->params, arguments->params_size,
                                  request_out->params, &request_out->param_count) != NULL;
}

/* --- Making the process ----------------------------------------------------------------------- */

/* A spawn whose module has to be instantiated within the call. */
struct making {
    struct pd_wasm_process *child;
    uint64_t link_tag;
    pd_spawn_finish finish;
};

static const char *why_not(enum pd_status status)
{
    return status == PD_ERR_FULL        ? "the limit of processes or links is reached"
           : status == PD_ERR_NO_MEMORY ? "not enough memory for the new process"
                                        : pd_status_text(status);
}

/* The child is made: link and start it. */
static enum pd_call_result launch(struct pd_call *call, struct pd_wasm_process *child,
                                  uint64_t link_tag, pd_spawn_finish finish)
{
    struct pd_wasm_process *self = pd_call_process(call);
    enum pd_status status = PD_OK;
    if (link_tag != 0) {
        status = pd_process_link_child(self->process, child->process, link_tag);
    }
    if (status != PD_OK) {
        pd_wasm_process_discard(child);
        return finish(call, status, 0, why_not(status));
    }
    uint64_t pid = child->process->pid;
    pd_process_start(child->process);
    return finish(call, PD_OK, pid, "");
}

static void abandon_making(struct pd_call *call)
{
    struct making *making = call->state;
    pd_wasm_process_discard(making->child);
    pd_free(making);
}

static enum pd_call_result not_made(struct pd_call *call, const struct making *making)
{
    char why[PD_GUEST_FAILURE_SIZE];
    (void)pd_guest_exit_text(making->child->guest, why, sizeof why);
    pd_wasm_process_discard(making->child);
    return making->finish(call, PD_ERR_INVALID, 0, why);
}

static enum pd_call_result make_resume(struct pd_call *call)
{
    struct making making = *(struct making *)call->state;
    pd_wasm_process_unreserve(making.child);
    enum pd_guest_made made = pd_guest_make(making.child->guest);
    if (made == PD_GUEST_MAKING) {
        pd_process_wake(pd_call_process(call)->process); /* go on after the others */
        return PD_CALL_WAIT;
    }
    pd_free(call->state);
    call->state = NULL;
    call->abandon = NULL;
    if (made == PD_GUEST_NOT_MADE) {
        return not_made(call, &making);
    }
    atomic_store_explicit(&pd_guest_module(making.child->guest)->is_proven, true,
                          memory_order_relaxed);
    return launch(call, making.child, making.link_tag, making.finish);
}

/* Instantiating needs more stack than a fiber has: go on when the scheduler resumes the call. */
static enum pd_call_result make_within_call(struct pd_call *call, struct pd_wasm_process *child,
                                            uint64_t link_tag, pd_spawn_finish finish)
{
    struct making *making = pd_alloc(sizeof *making);
    if (making == NULL) {
        pd_wasm_process_discard(child);
        return finish(call, PD_ERR_NO_MEMORY, 0, why_not(PD_ERR_NO_MEMORY));
    }
    *making = (struct making){.child = child, .link_tag = link_tag, .finish = finish};
    call->state = making;
    call->abandon = abandon_making;
    call->resume = make_resume;
    call->needs_stack = true;
    pd_process_wake(pd_call_process(call)->process);
    return PD_CALL_WAIT;
}

enum pd_call_result pd_spawn_run(struct pd_call *call, const struct pd_spawn_request *request,
                                 uint64_t link_tag, pd_spawn_finish finish)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_wasm_spawn spawn = {
        .environment = self->process->environment,
        .module = request->module,
        .rights = request->rights,
        .entry = {.function = request->function,
                  .function_size = request->function_size,
                  .is_initialized_first = true,
                  .params = request->params,
                  .param_count = request->param_count},
        .parent = self->process->pid,
    };
    struct pd_wasm_process *child = NULL;
    enum pd_status status = pd_wasm_process_create(self->system, &spawn, &child);
    if (status != PD_OK) {
        return finish(call, status, 0, why_not(status));
    }
    if (request->module->has_start ||
        !atomic_load_explicit(&request->module->is_proven, memory_order_relaxed)) {
        return make_within_call(call, child, link_tag, finish);
    }
    return launch(call, child, link_tag, finish);
}
