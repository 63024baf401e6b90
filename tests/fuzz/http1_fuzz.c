/* Whatever a client sends over HTTP/1.1, in whatever pieces and however slowly, while the node
 * answers or does not: the connection is bounded, gives everything back, and says nothing before
 * "HTTP/1.1 ". */
#include <stdlib.h>

#include "base/assert.h"
#include "gateway/http1_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The node's answers; what was asked and is not wanted any more is answered, too. */
static void answer_all(struct http *http, uint8_t choice)
{
    while (http->world.asked_count > 0) {
        enum pd_backend_kind kind = http->world.asked[0].kind;
        if (choice % 4 == 0) {
            world_outcome(&http->world, PD_BACKEND_NO_LEADER);
        } else if (kind == PD_BACKEND_WRITE) {
            http_put_done(http, 3);
        } else if (kind == PD_BACKEND_READ) {
            http_range_done(http);
        } else if (kind == PD_BACKEND_ABOUT) {
            http_about_done(http, choice % 3, choice % 5 == 0);
        } else {
            world_outcome(&http->world, PD_BACKEND_UNKNOWN);
        }
        http_flush(http);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pd_http1_config config = pd_http1_config_default();
    config.head_bytes_max = 1024;
    config.body_bytes_max = 4096;
    config.bodies_bytes_max = 6000;
    config.ahead_bytes = 512;
    config.output_bytes_soft = 2048;
    struct http *http = http_open(&config);
    size_t at = 0;
    http->status = PD_OK;
    while (at < size && http->status == PD_OK && http->out_size < OUT_MAX / 2) {
        uint8_t choice = data[at];
        size_t left = size - at;
        size_t piece = (choice & 1u) != 0 ? 1 + choice % 16 : left;
        piece = piece < left ? piece : left;
        if (!pd_http1_protocol.is_full(http->state)) {
            http_take(http, data + at, piece);
            at += piece;
        }
        http_flush(http);
        if ((choice & 6u) != 0 || pd_http1_protocol.is_full(http->state)) {
            answer_all(http, choice);
        }
        if ((choice & 24u) == 24u) {
            http->world.now_ns = pd_http1_protocol.deadline_ns(http->state);
            http->status = pd_http1_protocol.expire(http->state, http->world.now_ns);
        }
    }
    answer_all(http, 1);
    http_flush(http);
    pd_assert(http->out_size == 0 || strncmp(http->out, "HTTP/1.1 ", 9) == 0);
    http_close(http);
    return 0;
}
