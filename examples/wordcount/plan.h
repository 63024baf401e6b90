/* plan - the files, and the chunks that they are cut into. */
#ifndef WORDCOUNT_PLAN_H
#define WORDCOUNT_PLAN_H

#include "wordcount.h"

/* Files without a byte are left out. */
struct plan_file {
    const char *name; /* the caller's */
    uint64_t size;
};

enum chunk_state {
    CHUNK_QUEUED = 0,
    CHUNK_AT_WORK = 1,
    CHUNK_MAPPED = 2 /* its result is there; done when `missing` is 0 too */
};

struct chunk {
    uint64_t offset; /* in its first file */
    uint32_t file;
    uint32_t size; /* bytes, over all files that it touches */
    uint32_t words;
    uint8_t state;   /* enum chunk_state */
    uint8_t missing; /* a bit for each reducer that has not acknowledged it */
    bool is_counted; /* `words` is known */
    /* With others: */
    bool is_ours;     /* it was given out here at least once */
    bool is_claimed;  /* somebody else has begun it */
    bool is_recorded; /* its words are in the ledger */
};

struct plan {
    struct plan_file *files;
    uint32_t file_count;
    struct chunk *chunks;
    uint32_t chunk_count;
    uint64_t byte_count;
};

/* Look at all files and cut them into chunks of chunk_size bytes (0: what suits them). False:
 * mistakes were printed, all of them. */
bool plan_make(struct plan *plan, char **names, uint32_t name_count, uint32_t chunk_size);

/* Begin the message that orders a chunk: `order` and pids as they are, then the pieces. */
void plan_write_order(const struct plan *plan, struct order order, const uint64_t *reducers);

#endif
