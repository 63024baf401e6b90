#include "wasm/output.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

/* One write to the sink at most this long; it is also the room for adding tags. */
#define BATCH_SIZE 65536u

static enum pd_file_error emit(const struct pd_output_route *route, const uint8_t *bytes,
                               size_t size)
{
    if (size == 0) {
        return PD_FILE_OK;
    }
    if (route->sink != NULL) {
        return route->sink->write(route->sink, route->stream, bytes, size);
    }
    return route->host->ops->output(route->host, route->stream, bytes, size);
}

static size_t tag_size(const struct pd_output_route *route)
{
    return route->tag == NULL || route->tag[0] == '\0' ? 0 : strlen(route->tag) + 3;
}

static size_t put_tag(uint8_t *to, const struct pd_output_route *route)
{
    size_t size = tag_size(route);
    if (size > 0) {
        to[0] = '[';
        memcpy(to + 1, route->tag, size - 3);
        memcpy(to + size - 2, "] ", 2);
    }
    return size;
}

/* Gathers lines, each behind its tag, and writes them when full. */
struct batch {
    const struct pd_output_route *route;
    uint8_t *room;
    size_t used;
    enum pd_file_error error;
};

static void batch_flush(struct batch *batch)
{
    enum pd_file_error error = emit(batch->route, batch->room, batch->used);
    batch->used = 0;
    if (batch->error == PD_FILE_OK) {
        batch->error = error;
    }
}

/* One line, or a piece of one that is too long, from up to two parts. */
static void batch_line(struct batch *batch, const uint8_t *held, size_t held_size,
                       const uint8_t *bytes, size_t size)
{
    size_t whole = tag_size(batch->route) + held_size + size;
    if (batch->used + whole > BATCH_SIZE) {
        batch_flush(batch);
    }
    pd_assert(whole <= 2 * (size_t)BATCH_SIZE);
    batch->used += put_tag(batch->room + batch->used, batch->route);
    if (held_size > 0) {
        memcpy(batch->room + batch->used, held, held_size);
        batch->used += held_size;
    }
    if (size > 0) {
        memcpy(batch->room + batch->used, bytes, size);
        batch->used += size;
    }
}

/* Keep the beginning of a line. Room doubles, so that byte-wise writers stay linear. */
static bool hold(struct pd_output *output, const uint8_t *bytes, size_t size)
{
    if (size == 0) {
        return true;
    }
    size_t wanted = output->held_size + size;
    pd_assert(wanted <= PD_OUTPUT_LINE_MAX);
    if (wanted > output->held_capacity) {
        size_t grown = output->held_capacity == 0 ? 64 : output->held_capacity;
        while (grown < wanted) {
            grown *= 2;
        }
        uint8_t *moved = pd_realloc(output->held, grown);
        if (moved == NULL) {
            return false;
        }
        output->held = moved;
        output->held_capacity = (uint32_t)grown;
    }
    memcpy(output->held + output->held_size, bytes, size);
    output->held_size = (uint32_t)wanted;
    return true;
}

static void drop_held(struct pd_output *output)
{
    pd_free(output->held);
    *output = (struct pd_output){0};
}

/* Nothing is held and no tag is wanted: the lines can leave as they lie. */
static bool is_plain(const struct pd_output *output, const struct pd_output_route *route)
{
    return output->held_size == 0 && tag_size(route) == 0;
}

/* Write all that ends in a newline; return how many bytes that was. */
static size_t write_lines(struct pd_output *output, struct batch *batch, const uint8_t *bytes,
                          size_t size)
{
    size_t taken = 0;
    while (taken < size) {
        const uint8_t *from = bytes + taken;
        size_t rest = size - taken;
        const uint8_t *newline = memchr(from, '\n', rest);
        size_t room = PD_OUTPUT_LINE_MAX - output->held_size;
        size_t line = newline == NULL ? rest : (size_t)(newline - from) + 1;
        if (newline == NULL && line <= room) {
            break;
        }
        if (line > room) {
            line = room; /* too long for one write: a piece of it */
        }
        batch_line(batch, output->held, output->held_size, from, line);
        output->held_size = 0;
        taken += line;
    }
    return taken;
}

/* Without memory for more: the open line and what follows leave as they are. */
static enum pd_file_error write_apart(struct pd_output *output, const struct pd_output_route *route,
                                      const uint8_t *bytes, size_t size)
{
    enum pd_file_error error = pd_output_flush(output, route);
    enum pd_file_error next = emit(route, bytes, size);
    return error != PD_FILE_OK ? error : next;
}

enum pd_file_error pd_output_write(struct pd_output *output, const struct pd_output_route *route,
                                   const uint8_t *bytes, size_t size)
{
    struct batch batch = {.route = route, .error = PD_FILE_OK};
    size_t taken = 0;
    if (is_plain(output, route)) {
        for (taken = size; taken > 0 && bytes[taken - 1] != '\n'; taken--) {
        }
        batch.error = emit(route, bytes, taken);
    }
    size_t rest = size - taken;
    if (memchr(bytes + taken, '\n', rest) != NULL ||
        output->held_size + rest > PD_OUTPUT_LINE_MAX) {
        batch.room = pd_alloc(2 * (size_t)BATCH_SIZE);
        if (batch.room == NULL) {
            enum pd_file_error error = write_apart(output, route, bytes + taken, rest);
            return batch.error != PD_FILE_OK ? batch.error : error;
        }
        taken += write_lines(output, &batch, bytes + taken, rest);
        batch_flush(&batch);
        pd_free(batch.room);
    }
    if (output->held_size == 0) {
        drop_held(output); /* an idle guest holds no buffer */
    }
    if (batch.error != PD_FILE_OK) {
        drop_held(output);
        return batch.error;
    }
    return hold(output, bytes + taken, size - taken)
               ? PD_FILE_OK
               : write_apart(output, route, bytes + taken, size - taken);
}

enum pd_file_error pd_output_flush(struct pd_output *output, const struct pd_output_route *route)
{
    enum pd_file_error error = PD_FILE_OK;
    if (output->held_size > 0) {
        uint8_t *room = tag_size(route) == 0 ? NULL : pd_alloc(tag_size(route) + output->held_size);
        if (room == NULL) {
            error = emit(route, output->held, output->held_size);
        } else {
            size_t size = put_tag(room, route);
            memcpy(room + size, output->held, output->held_size);
            error = emit(route, room, size + output->held_size);
            pd_free(room);
        }
    }
    drop_held(output);
    return error;
}

void pd_output_deinit(struct pd_output *output)
{
    drop_held(output);
}
