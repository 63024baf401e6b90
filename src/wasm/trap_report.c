/* How a guest ended, in words. Nothing here runs before somebody asks: formatting a backtrace costs
 * more than spawning the guest did, and looking its lines up thousands of times that. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"
#include "wasm/guest_internal.h"
#include "wasm/text.h"

#define FRAMES_MAX PD_LINE_PLACES_MAX /* the engine tells of 20 */
#define PATH_ROOM 400u
#define PLACE_SIZE 440u

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

/* A frame as Wasmtime writes it: "    0:     0x5b - module!function". */
struct frame {
    int number_size;
    const char *number;
    uint64_t offset; /* in the module */
    const char *name;
    size_t name_size;
};

static size_t skip_spaces(const char *line, size_t size, size_t at)
{
    while (at < size && line[at] == ' ') {
        at++;
    }
    return at;
}

/* A number in hexadecimal digits behind "0x"; 0: there is none. */
static uint64_t read_offset(const char *line, size_t size)
{
    uint64_t offset = 0;
    if (size < 2 || line[0] != '0' || line[1] != 'x') {
        return 0;
    }
    for (size_t at = 2; at < size; at++) {
        const char *digit = memchr("0123456789abcdef", line[at], 16);
        if (digit == NULL) {
            break;
        }
        offset = offset << 4 | (uint64_t)(digit - "0123456789abcdef");
    }
    return offset;
}

/* False: it is some other line. The module's name is left out: it is known here. */
static bool read_frame(const char *line, size_t size, struct frame *frame)
{
    size_t at = skip_spaces(line, size, 0);
    size_t digits = at;
    while (digits < size && line[digits] >= '0' && line[digits] <= '9') {
        digits++;
    }
    static const char dash[] = " - ";
    const char *name = memmem(line + at, size - at, dash, sizeof dash - 1);
    if (digits == at || digits == size || line[digits] != ':' || name == NULL) {
        return false;
    }
    frame->number = line + at;
    frame->number_size = (int)(digits - at < 8 ? digits - at : 8);
    at = skip_spaces(line, size, digits + 1);
    frame->offset = read_offset(line + at, size - at);
    name += sizeof dash - 1;
    size_t name_size = size - (size_t)(name - line);
    const char *mark = memchr(name, '!', name_size);
    if (mark != NULL && (size_t)(mark - name) + 1 < name_size) {
        name_size -= (size_t)(mark - name) + 1;
        name = mark + 1;
    }
    frame->name = name;
    frame->name_size = name_size;
    return true;
}

/* --- File and line ---------------------------------------------------------------------------- */

/* Look up all frames at once. Returns how many there are in places[], sorted by address. */
static uint32_t find_places(const struct pd_module *module, const struct frame *frames,
                            uint32_t frame_count, struct pd_line_place *places)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < frame_count && module->line_table.lines_size > 0; i++) {
        uint64_t offset = frames[i].offset;
        if (offset < module->code_offset || offset - module->code_offset > UINT32_MAX) {
            continue;
        }
        uint32_t address = (uint32_t)(offset - module->code_offset);
        uint32_t at = count++;
        for (; at > 0 && places[at - 1].address > address; at--) {
            places[at] = places[at - 1];
        }
        places[at].address = address;
    }
    (void)pd_line_table_find(&module->line_table, places, count);
    return count;
}

/* One line of UTF-8, whatever the guest calls its files. */
static void make_plain(char *text, size_t size)
{
    bool is_valid = pd_utf8_is_valid((const uint8_t *)text, size);
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte < 0x20u || byte == 0x7fu || (byte >= 0x80u && !is_valid)) {
            text[i] = '?';
        }
    }
}

/* "at file:line:column", as far as it is known. */
static void write_place(struct writer *writer, const struct pd_line_place *place)
{
    if (!place->is_known || place->file_size == 0) {
        return;
    }
    bool is_absolute = place->file[0] == '/';
    size_t directory_size = is_absolute ? 0 : place->directory_size;
    char text[PLACE_SIZE] = "at ";
    size_t size = 3;
    if (directory_size > 0) {
        size += pd_text_copy(text + size, PATH_ROOM - size, place->directory, directory_size);
        text[size++] = '/';
    }
    size += pd_text_copy(text + size, PATH_ROOM - size, place->file, place->file_size);
    if (place->line > 0) {
        size += (size_t)snprintf(text + size, sizeof text - size, ":%u", place->line);
    }
    if (place->line > 0 && place->column > 0) {
        size += (size_t)snprintf(text + size, sizeof text - size, ":%u", place->column);
    }
    make_plain(text, size);
    write_line(writer, "       ", text, size);
}

static void write_frame(struct writer *writer, const struct frame *frame,
                        const struct pd_line_place *places, uint32_t count, uint32_t code_offset)
{
    char indent[24];
    (void)snprintf(indent, sizeof indent, "%3.*s: ", frame->number_size, frame->number);
    write_line(writer, indent, frame->name, frame->name_size);
    for (uint32_t i = 0; i < count; i++) {
        if ((uint64_t)places[i].address + code_offset == frame->offset) {
            write_place(writer, &places[i]);
            return;
        }
    }
}

static void write_frames(struct writer *writer, const struct pd_module *module, const char *message,
                         size_t size)
{
    static const char start[] = "wasm backtrace:\n";
    const char *at = memmem(message, size, start, sizeof start - 1);
    if (at == NULL) {
        return;
    }
    at += sizeof start - 1;
    const char *end = message + size;
    struct frame frames[FRAMES_MAX];
    uint32_t count = 0;
    while (at < end && *at == ' ' && count < FRAMES_MAX) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t line_size = (size_t)((newline != NULL ? newline : end) - at);
        if (read_frame(at, line_size, &frames[count])) {
            count++;
        }
        at += line_size + 1;
    }
    struct pd_line_place places[FRAMES_MAX];
    uint32_t place_count = find_places(module, frames, count, places);
    for (uint32_t i = 0; i < count; i++) {
        write_frame(writer, &frames[i], places, place_count, module->code_offset);
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
    write_frames(&writer, pd_guest_module(guest), message.data, message.size);
    wasm_byte_vec_delete(&message);
    return writer.length;
}
