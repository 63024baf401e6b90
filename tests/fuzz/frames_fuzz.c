/* Whatever comes over a node's socket, in whatever pieces: the same frames are taken however the
 * bytes are cut, never a byte beyond them, and a body is a request or an answer, or is refused. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/frame.h"
#include "node/replica_request.h"

#define BODY_MAX 96u
#define FRAMES_MAX 512u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct taken {
    struct pd_frame frames[FRAMES_MAX]; /* body: offsets into the input, by `at` */
    size_t at[FRAMES_MAX];
    uint32_t count;
    bool is_bad;
    size_t end;
};

/* From `at` on, of what is there so far: as host/frames.c does at each read. */
static void take(struct taken *taken, const uint8_t *bytes, size_t there)
{
    while (!taken->is_bad && taken->count < FRAMES_MAX) {
        /* A copy of the exact size: a byte too much is told by the sanitizer. */
        size_t left = there - taken->end;
        uint8_t *copy = malloc(left + 1);
        pd_assert(copy != NULL);
        memcpy(copy, bytes + taken->end, left);
        struct pd_frame frame;
        enum pd_frame_state state = pd_frame_take((struct pd_span){copy, left}, BODY_MAX, &frame);
        pd_assert(state != PD_FRAME_WHOLE || frame.body.size == frame.body_size);
        pd_assert(state != PD_FRAME_WHOLE || frame.body.bytes == copy + PD_FRAME_HEAD_SIZE);
        free(copy);
        taken->is_bad = state == PD_FRAME_BAD;
        if (state != PD_FRAME_WHOLE) {
            return;
        }
        taken->at[taken->count] = taken->end + PD_FRAME_HEAD_SIZE;
        taken->frames[taken->count++] = frame;
        taken->end += PD_FRAME_HEAD_SIZE + frame.body_size;
        pd_assert(taken->end <= there);
    }
}

static void read_request(struct pd_span body)
{
    struct pd_replica_request_head head;
    if (pd_replica_request_decode(body, &head) != PD_OK) {
        return;
    }
    uint8_t again[PD_REPLICA_REQUEST_HEAD_SIZE];
    pd_replica_request_put_head(again, &head);
    pd_assert(memcmp(again, body.bytes, sizeof again) == 0);
    pd_assert(head.body.size == body.size - PD_REPLICA_REQUEST_HEAD_SIZE);
}

static void read_answer(struct pd_span body)
{
    struct pd_replica_answer_head head;
    if (pd_replica_answer_decode(body, &head) != PD_OK) {
        return;
    }
    pd_assert(pd_replica_outcome_text(head.outcome) != NULL);
    uint8_t again[PD_REPLICA_ANSWER_HEAD_SIZE];
    pd_replica_answer_put_head(again, &head);
    pd_assert(memcmp(again, body.bytes, sizeof again) == 0);
}

/* The first byte chooses the pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t piece = 1 + bytes[0] % 61u;
    bytes++;
    size--;
    static struct taken whole;
    static struct taken pieces;
    whole = (struct taken){.count = 0};
    pieces = (struct taken){.count = 0};
    take(&whole, bytes, size);
    for (size_t there = 0; there < size;) {
        there = size - there < piece ? size : there + piece;
        take(&pieces, bytes, there);
    }
    pd_assert(whole.count == pieces.count);
    pd_assert(whole.is_bad == pieces.is_bad);
    pd_assert(whole.end == pieces.end);
    for (uint32_t i = 0; i < whole.count; i++) {
        pd_assert(whole.at[i] == pieces.at[i]);
        pd_assert(whole.frames[i].correlation == pieces.frames[i].correlation);
        struct pd_span body = {bytes + whole.at[i], whole.frames[i].body_size};
        read_request(body);
        read_answer(body);
        uint8_t head[PD_FRAME_HEAD_SIZE];
        pd_frame_put_head(head, whole.frames[i].body_size, whole.frames[i].correlation);
        pd_assert(memcmp(head, bytes + whole.at[i] - PD_FRAME_HEAD_SIZE, sizeof head) == 0);
    }
    return 0;
}
