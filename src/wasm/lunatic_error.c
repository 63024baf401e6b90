/* lunatic::error, and how other functions leave an error behind. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "wasm/abi_tables.h"
#include "wasm/error_text.h"
#include "wasm/wasm_process.h"

enum pd_call_result pd_call_error(struct pd_call *call, uint32_t address, const char *format, ...)
{
    /* One byte more than is kept, to see where a character would be cut. */
    char text[PD_ERROR_TEXT_MAX + 2];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t size = length < 0 ? 0 : strlen(text);
    uint8_t *to = pd_guest_memory(call->guest, address, sizeof(uint64_t));
    if (to == NULL) {
        return pd_call_trap_bounds(call, "error id");
    }
    uint64_t id = 0;
    enum pd_status status = pd_error_texts_add(
        &pd_call_process(call)->errors, pd_call_process(call)->system->budget, text, size, &id);
    if (status == PD_ERR_FULL) {
        return pd_call_trap(call,
                            "%u errors are kept for this process: drop those that were read "
                            "(lunatic::error::drop)",
                            PD_ERROR_TEXTS_MAX);
    }
    if (status != PD_OK) {
        return pd_call_trap(call, "no memory for an error text");
    }
    pd_put_u64(to, id);
    return pd_call_done(call, 1);
}

static enum pd_call_result unknown(struct pd_call *call, const char *name)
{
    return pd_call_trap(call, "lunatic::error::%s: no error has the id %" PRIu64, name,
                        call->arguments[0]);
}

static const struct pd_error_text *find(const struct pd_call *call)
{
    return pd_id_table_get(&pd_call_process(call)->errors, call->arguments[0]);
}

static enum pd_call_result string_size(struct pd_call *call)
{
    const struct pd_error_text *text = find(call);
    return text == NULL ? unknown(call, "string_size") : pd_call_done(call, text->size);
}

static enum pd_call_result to_string(struct pd_call *call)
{
    const struct pd_error_text *text = find(call);
    if (text == NULL) {
        return unknown(call, "to_string");
    }
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, 1), text->size);
    if (to == NULL) {
        return pd_call_trap_bounds(call, "text");
    }
    memcpy(to, text->bytes, text->size);
    return PD_CALL_DONE;
}

static enum pd_call_result drop(struct pd_call *call)
{
    struct pd_error_text *text =
        pd_id_table_take(&pd_call_process(call)->errors, call->arguments[0]);
    if (text == NULL) {
        return unknown(call, "drop");
    }
    pd_error_text_destroy(text);
    return PD_CALL_DONE;
}

const struct pd_import pd_lunatic_error_imports[] = {
    {"lunatic::error", "string_size", "I->i", PD_CALL_SYNC, string_size},
    {"lunatic::error", "to_string", "Ii->", PD_CALL_SYNC, to_string},
    {"lunatic::error", "drop", "I->", PD_CALL_SYNC, drop},
};
const size_t pd_lunatic_error_import_count =
    sizeof pd_lunatic_error_imports / sizeof pd_lunatic_error_imports[0];
