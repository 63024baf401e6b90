/* output - a guest's standard output or error as whole lines.
 *
 * Role       Actors write at the same time; what a reader sees are their lines, never pieces of
 *            them.
 * Model      Bytes are gathered until a newline; all complete lines of one call leave in one write.
 *            A line that exceeds PD_OUTPUT_LINE_MAX leaves in pieces. With a tag, each line begins
 *            with "[TAG] ".
 * Bounds     PD_OUTPUT_LINE_MAX bytes held for each stream, taken from the heap only while a line
 *            is open.
 * Ownership  The caller owns the structure; zero is empty. deinit frees without writing: flush
 *            first.
 * Errors     When the sink fails, what was held is dropped, so that a closed pipe does not gather
 *            memory. */
#ifndef PD_WASM_OUTPUT_H
#define PD_WASM_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/host.h"
#include "base/host_files.h"

#define PD_OUTPUT_LINE_MAX 65536u

/* Where lines go instead of the host's streams, for those who capture a guest's output. Called on
 * scheduler threads; calls for one guest are in order. */
struct pd_output_sink {
    enum pd_file_error (*write)(struct pd_output_sink *sink, int stream, const uint8_t *bytes,
                                size_t size);
};

struct pd_output {
    uint8_t *held; /* the open line, without its tag */
    uint32_t held_size;
    uint32_t held_capacity;
};

/* How a guest's lines leave. */
struct pd_output_route {
    struct pd_host *host;
    struct pd_output_sink *sink; /* NULL: the host's stream */
    const char *tag;             /* NULL or "": none */
    int stream;                  /* 1 or 2 */
};

/* Take `size` bytes. Long writes leave in batches of bounded size.
 *
 * PD_FILE_OK  all were taken. Without memory to hold an open line they were written as they are.
 * any other   what the sink said first: bytes are lost. Tell the guest. */
enum pd_file_error pd_output_write(struct pd_output *output, const struct pd_output_route *route,
                                   const uint8_t *bytes, size_t size);

/* Write the open line, if there is one, as it is: no newline is added. What the sink says; nothing
 * is held afterwards. */
enum pd_file_error pd_output_flush(struct pd_output *output, const struct pd_output_route *route);

void pd_output_deinit(struct pd_output *output);

#endif
