/* Any bytes on a stream, cut anywhere: the frames are those that one look at the whole would find,
 * and a frame that claims too much is refused where it begins. The first byte says how the input is
 * cut. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "net/frame.h"

#define FRAME_MAX 300u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* The next frame at *at of the whole. False: there is none, or it is too large. */
static bool expect(const uint8_t *bytes, size_t size, size_t *at, struct pd_span *body_out)
{
    if (size - *at < PD_NET_FRAME_HEAD_SIZE) {
        return false;
    }
    size_t claimed = pd_get_u32(bytes + *at);
    if (claimed > FRAME_MAX || size - *at - PD_NET_FRAME_HEAD_SIZE < claimed) {
        return false;
    }
    *body_out = (struct pd_span){bytes + *at + PD_NET_FRAME_HEAD_SIZE, claimed};
    *at += PD_NET_FRAME_HEAD_SIZE + claimed;
    return true;
}

static void must(bool is_so)
{
    if (!is_so) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t step = (size_t)bytes[0] + 1;
    bytes++;
    size--;
    struct pd_net_assembly assembly = {.size = 0};
    size_t expected_at = 0;
    enum pd_status status = PD_OK;
    for (size_t at = 0; at < size && status == PD_OK; at += step) {
        struct pd_span input = {bytes + at, size - at < step ? size - at : step};
        bool is_whole = true;
        while (is_whole && status == PD_OK) {
            struct pd_net_frame frame;
            status = pd_net_assembly_take(&assembly, &input, FRAME_MAX, &is_whole, &frame);
            if (is_whole) {
                struct pd_span body;
                uint64_t correlation = pd_get_u64(bytes + expected_at + 4);
                must(expect(bytes, size, &expected_at, &body));
                must(frame.size == body.size && frame.correlation == correlation);
                must(body.size == 0 || memcmp(frame.bytes, body.bytes, body.size) == 0);
                pd_free(frame.bytes);
            }
            must(assembly.capacity <= FRAME_MAX);
        }
        must(status != PD_OK || input.size == 0);
    }
    struct pd_span left;
    must(!expect(bytes, size, &expected_at, &left)); /* none was missed */
    must(status == PD_OK || pd_get_u32(bytes + expected_at) > FRAME_MAX);
    pd_net_assembly_deinit(&assembly);
    return 0;
}
