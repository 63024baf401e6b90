#include "base/pages.h"

#include "base/assert.h"

void pd_pages_forget_unused(uint8_t *ring, uint64_t size, uint64_t tail, uint64_t head)
{
    pd_assert(tail <= head);
    pd_assert(head - tail <= size);
    uint64_t from = head % size;
    uint64_t unused = size - (head - tail);
    uint64_t to_end = size - from;
    if (unused <= to_end) {
        pd_pages_forget(ring + from, unused);
        return;
    }
    pd_pages_forget(ring + from, to_end);
    pd_pages_forget(ring, unused - to_end);
}
