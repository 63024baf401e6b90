#include "node/gateway_hot.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define FIRST_BYTES ((size_t)4096)

struct head {
    uint64_t correlation;
    struct pd_replica_answer_head answer; /* its body's bytes follow */
};

void pd_gateway_hot_deinit(struct pd_gateway_hot *hot)
{
    pd_free(hot->added.bytes);
    pd_free(hot->taken.bytes);
    *hot = (struct pd_gateway_hot){0};
}

static bool make_room(struct pd_gateway_hot_bytes *bytes, size_t more)
{
    size_t capacity = bytes->capacity < FIRST_BYTES ? FIRST_BYTES : bytes->capacity;
    while (capacity - bytes->size < more) {
        capacity *= 2;
    }
    if (capacity == bytes->capacity) {
        return true;
    }
    uint8_t *grown = pd_realloc(bytes->bytes, capacity);
    if (grown == NULL) {
        return false;
    }
    bytes->bytes = grown;
    bytes->capacity = capacity;
    return true;
}

bool pd_gateway_hot_add(struct pd_gateway_hot *hot, uint64_t correlation,
                        const struct pd_replica_answer_head *answer)
{
    struct pd_gateway_hot_bytes *added = &hot->added;
    const struct head head = {.correlation = correlation, .answer = *answer};
    size_t size = sizeof head + answer->body.size;
    if (!make_room(added, size)) {
        return false;
    }
    memcpy(added->bytes + added->size, &head, sizeof head);
    if (answer->body.size > 0) {
        memcpy(added->bytes + added->size + sizeof head, answer->body.bytes, answer->body.size);
    }
    added->size += size;
    return true;
}

bool pd_gateway_hot_take(struct pd_gateway_hot *hot)
{
    pd_assert(hot->at == hot->taken.size);
    struct pd_gateway_hot_bytes empty = hot->taken;
    if (empty.capacity > PD_GATEWAY_HOT_KEPT) { /* a burst's; it is not kept for ever */
        pd_free(empty.bytes);
        empty = (struct pd_gateway_hot_bytes){0};
    }
    empty.size = 0;
    hot->taken = hot->added;
    hot->added = empty;
    hot->at = 0;
    return hot->taken.size > 0;
}

bool pd_gateway_hot_next(struct pd_gateway_hot *hot, uint64_t *correlation_out,
                         struct pd_replica_answer_head *answer_out)
{
    struct head head;
    if (hot->at == hot->taken.size) {
        return false;
    }
    memcpy(&head, hot->taken.bytes + hot->at, sizeof head);
    hot->at += sizeof head;
    head.answer.body.bytes = hot->taken.bytes + hot->at;
    hot->at += head.answer.body.size;
    *correlation_out = head.correlation;
    *answer_out = head.answer;
    return true;
}
