/* How a guest ended, in words. Nothing here runs before somebody asks: formatting a backtrace costs
 * more than spawning the guest did. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "wasm/guest_internal.h"
#include "wasm/text.h"

static const char *trap_text(uint8_t code)
{
    switch (code) {
    case WASMTIME_TRAP_CODE_STACK_OVERFLOW:
        return "call stack exhausted";
    case WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS:
        return "out of bounds memory access";
    case WASMTIME_TRAP_CODE_HEAP_MISALIGNED:
        return "unaligned atomic";
    case WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS:
        return "undefined element: out of bounds table access";
    case WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL:
        return "uninitialized element";
    case WASMTIME_TRAP_CODE_BAD_SIGNATURE:
        return "indirect call type mismatch";
    case WASMTIME_TRAP_CODE_INTEGER_OVERFLOW:
        return "integer overflow";
    case WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO:
        return "integer divide by zero";
    case WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER:
        return "invalid conversion to integer";
    case WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED:
        return "wasm `unreachable` instruction executed";
    case WASMTIME_TRAP_CODE_NULL_REFERENCE:
        return "null reference";
    case WASMTIME_TRAP_CODE_ALLOCATION_TOO_LARGE:
        return "allocation size too large";
    default: /* the rest belongs to proposals that are off here */
        return "trap";
    }
}

/* The line that says what, of Wasmtime's message about an error without a trap. */
static size_t error_text(const wasmtime_error_t *error, char *text, size_t text_size)
{
    wasm_name_t message;
    wasmtime_error_message(error, &message);
    size_t size = 0;
    while (size < message.size && message.data[size] != '\n' && message.data[size] != '\0') {
        size++;
    }
    size = pd_text_copy(text, text_size, message.data, size);
    wasm_byte_vec_delete(&message);
    return size;
}

static size_t copy(char *text, size_t text_size, const char *from)
{
    return pd_text_copy(text, text_size, from, strlen(from));
}

bool pd_guest_has_ended(const struct pd_guest *guest)
{
    return guest->phase == PD_PHASE_ENDED;
}

struct pd_guest_exit pd_guest_exit(const struct pd_guest *guest)
{
    pd_assert(guest->phase == PD_PHASE_ENDED);
    struct pd_guest_exit ended = {
        .end = (enum pd_guest_end)guest->end,
        .exit_code = guest->exit_code,
        .trap_code = guest->trap_code,
    };
    return ended;
}

size_t pd_guest_exit_text(const struct pd_guest *guest, char *text, size_t text_size)
{
    char line[160];
    switch ((enum pd_guest_end)guest->end) {
    case PD_GUEST_RETURNED:
        return copy(text, text_size, "returned");
    case PD_GUEST_EXIT_CODE:
        (void)snprintf(line, sizeof line, "exited with code %u", guest->exit_code);
        return copy(text, text_size, line);
    case PD_GUEST_TRAP:
        (void)snprintf(line, sizeof line, "wasm trap: %s", trap_text(guest->trap_code));
        return copy(text, text_size, line);
    case PD_GUEST_FUEL:
        (void)snprintf(line, sizeof line, "all fuel consumed (%llu units)",
                       (unsigned long long)guest->fuel_budget);
        return copy(text, text_size, line);
    case PD_GUEST_MEMORY:
        return guest->error != NULL
                   ? error_text(guest->error, text, text_size)
                   : copy(text, text_size, "the module needs more than it may have");
    case PD_GUEST_HOST_TRAP:
    case PD_GUEST_DENIED:
    case PD_GUEST_NO_ENTRY:
        return copy(text, text_size,
                    guest->failure != NULL ? guest->failure : "a host function failed");
    }
    pd_assert(false);
    return 0;
}

struct writer {
    char *text;
    size_t size;
    size_t length;
    bool is_full;
};

/* One line, whole or not at all. */
static void write_line(struct writer *writer, const char *indent, const char *line, size_t size)
{
    size_t indent_size = strlen(indent);
    if (writer->is_full || indent_size + size + 2 > writer->size - writer->length) {
        writer->is_full = true;
        return;
    }
    memcpy(writer->text + writer->length, indent, indent_size);
    memcpy(writer->text + writer->length + indent_size, line, size);
    writer->length += indent_size + size;
    writer->text[writer->length++] = '\n';
    writer->text[writer->length] = '\0';
}

/* Wasmtime writes "    0:     0x5b - module!function" and "      at file:line:column". The module
 *                      is known here, and
 * the offset tells a person nothing. */
static void write_frame(struct writer *writer, const char *line, size_t size)
{
    while (size > 0 && line[0] == ' ') {
        line++;
        size--;
    }
    size_t digits = 0;
    while (digits < size && line[digits] >= '0' && line[digits] <= '9') {
        digits++;
    }
    static const char dash[] = " - ";
    const char *name = memmem(line, size, dash, sizeof dash - 1);
    if (digits == 0 || digits == size || line[digits] != ':' || name == NULL) {
        write_line(writer, "       ", line, size);
        return;
    }
    name += sizeof dash - 1;
    size_t name_size = size - (size_t)(name - line);
    static const char unnamed[] = "<unknown>!";
    if (name_size > sizeof unnamed - 1 && memcmp(name, unnamed, sizeof unnamed - 1) == 0) {
        name += sizeof unnamed - 1;
        name_size -= sizeof unnamed - 1;
    }
    char indent[24];
    (void)snprintf(indent, sizeof indent, "%3.*s: ", (int)(digits < 8 ? digits : 8), line);
    write_line(writer, indent, name, name_size);
}

static void write_frames(struct writer *writer, const char *message, size_t size)
{
    static const char start[] = "wasm backtrace:\n";
    const char *at = memmem(message, size, start, sizeof start - 1);
    if (at == NULL) {
        return;
    }
    at += sizeof start - 1;
    const char *end = message + size;
    while (at < end && *at == ' ') {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t line_size = (size_t)((newline != NULL ? newline : end) - at);
        write_frame(writer, at, line_size);
        at += line_size + 1;
    }
}

size_t pd_guest_backtrace_text(const struct pd_guest *guest, char *text, size_t text_size)
{
    if (text_size == 0) {
        return 0;
    }
    text[0] = '\0';
    struct writer writer = {.text = text, .size = text_size};
    wasm_name_t message;
    if (guest->trap != NULL) {
        wasm_trap_message(guest->trap, &message);
    } else if (guest->error != NULL) {
        wasmtime_error_message(guest->error, &message);
    } else {
        return 0;
    }
    write_frames(&writer, message.data, message.size);
    wasm_byte_vec_delete(&message);
    return writer.length;
}
