#include "actor/tags.h"

static bool is_sorted(const uint64_t *tags, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        if (tags[i - 1] > tags[i]) {
            return false;
        }
    }
    return true;
}

/* Let the tag at `at` sink to where no child of it is larger; children of i are 2i+1 and 2i+2. */
static void sink(uint64_t *tags, uint32_t count, uint32_t at)
{
    uint64_t tag = tags[at];
    while (at < count / 2) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < count && tags[child + 1] > tags[child]) {
            child++;
        }
        if (tags[child] <= tag) {
            break;
        }
        tags[at] = tags[child];
        at = child;
    }
    tags[at] = tag;
}

/* Heapsort. Most callers have them in order. */
void pd_tags_sort(uint64_t *tags, uint32_t count)
{
    if (is_sorted(tags, count)) {
        return;
    }
    for (uint32_t at = count / 2; at > 0; at--) {
        sink(tags, count, at - 1);
    }
    for (uint32_t left = count - 1; left > 0; left--) {
        uint64_t largest = tags[0];
        tags[0] = tags[left];
        tags[left] = largest;
        sink(tags, left, 0);
    }
}
