/* tags - what a selective receive waits for: a set of tags, as an ascending array. A receiver may
 * name very many, and every message that comes is compared with them, so they are searched and not
 * gone through. Pure. */
#ifndef PD_ACTOR_TAGS_H
#define PD_ACTOR_TAGS_H

#include <stdbool.h>
#include <stdint.h>

/* Sort them: in place, without recursion, in count * log(count) steps at worst. */
void pd_tags_sort(uint64_t *tags, uint32_t count);

/* `tag` is among the sorted tags. */
static inline bool pd_tags_contain(const uint64_t *tags, uint32_t count, uint64_t tag)
{
    uint32_t low = 0;
    uint32_t high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (tags[middle] < tag) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && tags[low] == tag;
}

#endif
