/* ledger - what several counters of one text have counted together: keys in the store.
 *
 *   PREFIXplan         what is counted; all of them must be of one mind
 *   PREFIXclaim/N      who began chunk N first
 *   PREFIXchunk/N      the words of chunk N, and who counted them
 *   PREFIXtotal        the words of all chunks, when all are there
 *
 * Exactness  The record of a chunk is made only if there is none, in one transaction. So whoever
 *            dies when, whatever is asked again, and however many counted a chunk: its words are
 *            in the total once. A claim is a hint that keeps two from doing the same work; nothing
 *            depends on it, and it is passed over when nothing else is left to do.
 * News       Claims and records of others come as messages with TAG_STORE.
 * Waiting    A call waits for the store as long as it takes to elect a leader, and much longer. */
#ifndef WORDCOUNT_LEDGER_H
#define WORDCOUNT_LEDGER_H

#include "plan.h"
#include "wordcount.h"

#define LEDGER_PREFIX_SIZE_MAX 200u
#define LEDGER_KEY_SIZE_MAX (LEDGER_PREFIX_SIZE_MAX + 32u)

struct ledger {
    const char *prefix; /* NULL: there is none, and nobody else counts */
    const char *name;   /* this counter's */
};

/* What others have done, as far as it is known. */
enum ledger_news {
    LEDGER_CLAIMED,
    LEDGER_RECORDED
};
typedef void ledger_tell(void *state, enum ledger_news news, uint32_t chunk, const char *by);

/* Agree on what is counted, and ask for news. What is there already is told at once. False: it was
 * said why. */
bool ledger_open(struct ledger *ledger, const struct plan *plan, ledger_tell *tell, void *state);
/* The message at hand, which has TAG_STORE. */
bool ledger_take_news(struct ledger *ledger, ledger_tell *tell, void *state);

/* *is_mine_out: nobody else has begun or done it. */
bool ledger_claim(struct ledger *ledger, uint32_t chunk, bool *is_mine_out);
/* Record a chunk's words, unless that has been done. */
bool ledger_record(struct ledger *ledger, uint32_t chunk, uint32_t words);
/* The words of all chunks, which are all recorded; it is recorded too. */
bool ledger_total(struct ledger *ledger, uint32_t chunk_count, uint64_t *words_out);

#endif
