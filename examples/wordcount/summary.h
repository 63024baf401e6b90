/* summary - what the reducers have to say at the end, and how it is printed. */
#ifndef WORDCOUNT_SUMMARY_H
#define WORDCOUNT_SUMMARY_H

#include "wordcount.h"

struct top_word {
    uint64_t count;
    uint32_t key_size;
    uint8_t key[KEY_SIZE_MAX];
};

struct summary {
    uint64_t mapped_words;  /* by the mappers' results */
    uint64_t applied_words; /* by the reducers' acknowledgements */
    uint64_t reduced_words; /* by the reducers' tables */
    uint64_t different;
    bool is_exact;
    uint32_t top; /* wanted */
    uint32_t top_count;
    struct top_word top_words[REDUCERS_MAX * TOP_MAX];
};

/* Ask all reducers. False: one of them is dead, or was killed because it did not answer. */
bool summary_gather(struct summary *summary, const uint64_t *reducers, uint32_t reducer_count,
                    uint32_t top);

/* False: the three sums are not the same. */
bool summary_print(struct summary *summary);

#endif
