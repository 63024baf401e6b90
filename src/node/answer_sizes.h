/* answer_sizes - how large answers have been of late, to guess the next one. Pure.
 *
 * Model      A table of sizes by a hash of what was asked, or of who asked. A larger answer is
 *            believed at once, a smaller one takes a quarter off the guess. Who hashes to a taken
 *            place takes it: a guess that is lost is a guess that is not known.
 * Bounds     PD_ANSWER_SIZES_MAX places, within the struct.
 * Ownership  Zeroes are an empty table; there is nothing to free. */
#ifndef PD_NODE_ANSWER_SIZES_H
#define PD_NODE_ANSWER_SIZES_H

#include <stdbool.h>
#include <stdint.h>

#define PD_ANSWER_SIZES_MAX 2048u

struct pd_answer_sizes {
    struct {
        uint32_t tag; /* 0: free */
        uint32_t bytes;
    } places[PD_ANSWER_SIZES_MAX];
};

/* false: nothing is known. */
bool pd_answer_sizes_guess(const struct pd_answer_sizes *sizes, uint64_t hash, uint32_t *bytes_out);
void pd_answer_sizes_learn(struct pd_answer_sizes *sizes, uint64_t hash, uint32_t bytes);

#endif
