#include "node/gateway_reads.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define MICROSECOND_NS UINT64_C(1000)
#define ROUND_NS_MAX (4000 * MICROSECOND_NS) /* then it is not waited for */
#define HOLD_NS_MAX (2000 * MICROSECOND_NS)
#define HOLD_NS_MIN (500 * MICROSECOND_NS) /* less is not worth a timer of whole milliseconds */
#define MANY 16u                           /* under way: they are worth waiting for */
#define COUNT_MAX 256u
#define BYTES_MAX ((size_t)64 << 10)

struct head {
    uint64_t tag;
    size_t size;
};

void pd_gateway_reads_deinit(struct pd_gateway_reads *reads)
{
    pd_free(reads->bytes);
    *reads = (struct pd_gateway_reads){0};
}

enum pd_status pd_gateway_reads_add(struct pd_gateway_reads *reads, uint64_t tag,
                                    struct pd_span request)
{
    const struct head head = {.tag = tag, .size = request.size};
    size_t wanted = reads->size + sizeof head + request.size;
    if (wanted > reads->capacity) {
        size_t capacity = wanted < BYTES_MAX ? BYTES_MAX : wanted;
        uint8_t *grown = pd_realloc(reads->bytes, capacity);
        if (grown == NULL) {
            return PD_ERR_NO_MEMORY;
        }
        reads->bytes = grown;
        reads->capacity = capacity;
    }
    memcpy(reads->bytes + reads->size, &head, sizeof head);
    if (request.size > 0) {
        memcpy(reads->bytes + reads->size + sizeof head, request.bytes, request.size);
    }
    reads->size = wanted;
    reads->count++;
    return PD_OK;
}

static bool are_due(const struct pd_gateway_reads *reads, uint64_t now_ns)
{
    return now_ns >= reads->due_ns || reads->flying + reads->count < MANY ||
           (!reads->is_asked && reads->count >= reads->wanted) || reads->count >= COUNT_MAX ||
           reads->size >= BYTES_MAX;
}

/* The first of those that are kept. false: there is none. */
static bool take(struct pd_gateway_reads *reads, uint64_t *tag_out, struct pd_span *request_out)
{
    if (reads->at == reads->size) {
        reads->is_sending = false;
        reads->is_refused = false;
        reads->at = 0;
        reads->size = 0;
        return false;
    }
    struct head head;
    memcpy(&head, reads->bytes + reads->at, sizeof head);
    *tag_out = head.tag;
    *request_out = (struct pd_span){reads->bytes + reads->at + sizeof head, head.size};
    reads->last = reads->at;
    reads->at += sizeof head + head.size;
    reads->count--;
    return true;
}

bool pd_gateway_reads_next(struct pd_gateway_reads *reads, uint64_t now_ns, uint64_t *tag_out,
                           struct pd_span *request_out)
{
    if (reads->is_refused || (!reads->is_sending && !are_due(reads, now_ns)) ||
        !take(reads, tag_out, request_out)) {
        return false;
    }
    if (!reads->is_sending) {
        reads->is_sending = true;
        reads->is_asked = true;
        reads->sent_ns = now_ns;
        reads->due_ns = now_ns + ROUND_NS_MAX;
    }
    reads->flying++;
    return true;
}

void pd_gateway_reads_answered(struct pd_gateway_reads *reads, uint64_t now_ns)
{
    pd_assert(reads->flying > 0);
    if (reads->is_asked) {
        uint64_t hold_ns = 2 * (now_ns - reads->sent_ns);
        hold_ns = hold_ns > HOLD_NS_MAX ? HOLD_NS_MAX : hold_ns;
        reads->is_asked = false;
        reads->wanted = reads->flying + reads->count;
        reads->due_ns = hold_ns < HOLD_NS_MIN ? now_ns : now_ns + hold_ns;
    }
    reads->flying--;
}

void pd_gateway_reads_refused(struct pd_gateway_reads *reads)
{
    pd_assert(reads->is_sending);
    reads->at = reads->last;
    reads->count++;
    reads->flying--;
    reads->is_sending = false;
    reads->is_refused = true;
}

bool pd_gateway_reads_next_refused(struct pd_gateway_reads *reads, uint64_t *tag_out)
{
    struct pd_span request;
    return reads->is_refused && take(reads, tag_out, &request);
}

uint64_t pd_gateway_reads_deadline_ns(const struct pd_gateway_reads *reads)
{
    if (reads->count == 0) {
        return UINT64_MAX;
    }
    return reads->is_refused ? 0 : reads->due_ns;
}
