#include "raft-conformance/environment.h"

#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/assert.h"

static const char *const level_names[] = {"DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE"};

void *arena_alloc(struct environment *environment, size_t size)
{
    if (environment->block_count == environment->block_room) {
        size_t room = environment->block_room == 0 ? 256 : environment->block_room * 2;
        void **blocks = pd_realloc(environment->blocks, room * sizeof *blocks);
        pd_assert(blocks != NULL);
        environment->blocks = blocks;
        environment->block_room = room;
    }
    void *block = must_alloc(size == 0 ? 1 : size);
    environment->blocks[environment->block_count++] = block;
    return block;
}

void print(struct environment *environment, const char *format, ...)
{
    if (environment->level == LEVEL_NONE) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    text_add_list(environment->output, format, arguments);
    va_end(arguments);
}

const char *error_text(struct environment *environment, const char *format, ...)
{
    struct text text = {0};
    va_list arguments;
    va_start(arguments, format);
    text_add_list(&text, format, arguments);
    va_end(arguments);
    char *copy = arena_alloc(environment, text.size + 1);
    memcpy(copy, text.bytes, text.size + 1);
    text_free(&text);
    return copy;
}

void print_trace(void *state, enum pd_raft_log_level level, const char *line)
{
    struct environment *environment = state;
    if (environment->level <= (int)level) {
        text_add(environment->output, "%s %s\n", level_names[level], line);
    }
}

struct text *indent_begin(struct environment *environment, struct text *inner)
{
    struct text *outer = environment->output;
    *inner = (struct text){0};
    environment->output = inner;
    return outer;
}

void indent_end(struct environment *environment, struct text *outer)
{
    text_add_indented(outer, text_of(environment->output), "  ");
    text_free(environment->output);
    environment->output = outer;
}

bool set_level(struct environment *environment, const char *name)
{
    for (int i = 0; i <= LEVEL_NONE; i++) {
        if (strcasecmp(level_names[i], name) == 0) {
            environment->level = i;
            return true;
        }
    }
    return false;
}

void packets_add(struct packets *packets, const struct packet *packet)
{
    if (packets->count == packets->room) {
        uint32_t room = packets->room == 0 ? 32 : packets->room * 2;
        struct packet *items = pd_realloc(packets->items, room * sizeof *items);
        pd_assert(items != NULL);
        packets->items = items;
        packets->room = room;
    }
    packets->items[packets->count++] = *packet;
}

struct packet packets_take(struct packets *packets)
{
    pd_assert(packets->count > 0);
    struct packet first = packets->items[0];
    packets->count--;
    memmove(packets->items, packets->items + 1, packets->count * sizeof first);
    return first;
}

void packets_free(struct packets *packets)
{
    pd_free(packets->items);
    *packets = (struct packets){0};
}

struct pd_raft_entry *copy_entries(struct environment *environment,
                                   const struct pd_raft_entry *entries, uint32_t count)
{
    struct pd_raft_entry *copies = arena_alloc(environment, count * sizeof *copies);
    for (uint32_t i = 0; i < count; i++) {
        copies[i] = entries[i];
        if (entries[i].data.size > 0) {
            uint8_t *bytes = arena_alloc(environment, entries[i].data.size);
            memcpy(bytes, entries[i].data.bytes, entries[i].data.size);
            copies[i].data.bytes = bytes;
        }
    }
    return copies;
}

struct packet copy_message(struct environment *environment, const struct pd_raft_message *message)
{
    struct packet packet = {.kind = PACKET_RAFT, .message = *message};
    packet.message.entries = copy_entries(environment, message->entries, message->entry_count);
    if (message->snapshot != NULL) {
        struct pd_raft_snapshot_meta *snapshot = arena_alloc(environment, sizeof *snapshot);
        *snapshot = *message->snapshot;
        packet.message.snapshot = snapshot;
    }
    return packet;
}
