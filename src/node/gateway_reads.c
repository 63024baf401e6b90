#include "node/gateway_reads.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define MICROSECOND_NS UINT64_C(1000)
#define ROUND_NS_MAX (4000 * MICROSECOND_NS) /* then it is not waited for */
#define HOLD_NS_MAX (2000 * MICROSECOND_NS)
#define HOLD_NS_MIN (500 * MICROSECOND_NS) /* less is not worth a timer of whole milliseconds */
#define MANY 16u                           /* under way: they are worth waiting for */
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
    if (reads->count + reads->refused_count >= PD_GATEWAY_READS_MAX || reads->size >= BYTES_MAX) {
        return PD_ERR_FULL;
    }
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

/* What has not come back for more than a round's time is no round any more. */
static void look_at_clock(struct pd_gateway_reads *reads, uint64_t now_ns)
{
    uint64_t since_ns = now_ns - reads->window_ns;
    if (since_ns < ROUND_NS_MAX) {
        return;
    }
    reads->stale += reads->before;
    reads->before = reads->flying;
    reads->flying = 0;
    if (since_ns >= 2 * ROUND_NS_MAX) { /* a whole window has passed in between */
        reads->stale += reads->before;
        reads->before = 0;
    }
    reads->window_ns = now_ns;
}

static uint32_t under_way(const struct pd_gateway_reads *reads)
{
    return reads->flying + reads->before;
}

static bool are_due(const struct pd_gateway_reads *reads, uint64_t now_ns)
{
    return now_ns >= reads->due_ns || under_way(reads) + reads->count < MANY ||
           (!reads->is_asked && reads->count >= reads->wanted) ||
           reads->count + reads->refused_count >= PD_GATEWAY_READS_MAX || reads->size >= BYTES_MAX;
}

static void forget_sent(struct pd_gateway_reads *reads)
{
    reads->is_sending = false;
    reads->at = 0;
    reads->size = 0;
    if (reads->capacity > BYTES_MAX) {
        pd_free(reads->bytes);
        reads->bytes = NULL;
        reads->capacity = 0;
    }
}

bool pd_gateway_reads_next(struct pd_gateway_reads *reads, uint64_t now_ns, uint64_t *tag_out,
                           struct pd_span *request_out)
{
    look_at_clock(reads, now_ns);
    if (!reads->is_sending && !are_due(reads, now_ns)) {
        return false;
    }
    if (reads->at == reads->size) {
        forget_sent(reads);
        return false;
    }
    struct head head;
    memcpy(&head, reads->bytes + reads->at, sizeof head);
    *tag_out = head.tag;
    *request_out = (struct pd_span){reads->bytes + reads->at + sizeof head, head.size};
    reads->last = head.tag;
    reads->at += sizeof head + head.size;
    reads->count--;
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
    look_at_clock(reads, now_ns);
    if (reads->is_asked) {
        uint64_t hold_ns = 2 * (now_ns - reads->sent_ns);
        hold_ns = hold_ns > HOLD_NS_MAX ? HOLD_NS_MAX : hold_ns;
        reads->is_asked = false;
        reads->wanted = under_way(reads) + reads->count;
        reads->due_ns = hold_ns < HOLD_NS_MIN ? now_ns : now_ns + hold_ns;
    }
    /* Whose answer it is is not known: that of a young one, most of the time. */
    uint32_t *from = reads->flying > 0   ? &reads->flying
                     : reads->before > 0 ? &reads->before
                                         : &reads->stale;
    pd_assert(*from > 0);
    (*from)--;
}

void pd_gateway_reads_refused(struct pd_gateway_reads *reads)
{
    pd_assert(reads->is_sending && reads->flying > 0);
    pd_assert(reads->refused_count < PD_GATEWAY_READS_MAX);
    uint32_t at = (reads->refused_at + reads->refused_count) % PD_GATEWAY_READS_MAX;
    reads->refused[at] = reads->last;
    reads->refused_count++;
    reads->flying--;
}

bool pd_gateway_reads_next_refused(struct pd_gateway_reads *reads, uint64_t *tag_out)
{
    if (reads->refused_count == 0) {
        return false;
    }
    *tag_out = reads->refused[reads->refused_at];
    reads->refused_at = (reads->refused_at + 1) % PD_GATEWAY_READS_MAX;
    reads->refused_count--;
    return true;
}

uint64_t pd_gateway_reads_deadline_ns(const struct pd_gateway_reads *reads)
{
    if (reads->refused_count > 0) {
        return 0;
    }
    return reads->count == 0 ? UINT64_MAX : reads->due_ns;
}
