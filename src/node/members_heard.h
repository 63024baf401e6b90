/* members_heard - whom the leader heard lately, as bytes: the body of an answer to
 * PD_REPLICA_REQUEST_HEARD. Pure.
 *
 * Model      A list like those of kv/answer.h, of a span for each member of the configuration. What
 *            a span has behind the fields below is a later program's, and skipped.
 * Trust      Reading accepts any bytes. */
#ifndef PD_NODE_MEMBERS_HEARD_H
#define PD_NODE_MEMBERS_HEARD_H

#include "kv/answer.h"

struct pd_members_heard {
    uint64_t node;
    bool answers;            /* the leader, within the last two election timeouts or so */
    bool is_behind;          /* it answers, and is still fetching what the others have */
    uint64_t silent_ms;      /* since it answered, or since the lead began; 0: it answers */
    uint64_t behind_entries; /* committed ones that it is not known to have */
};

void pd_members_heard_put(struct pd_kv_writer *writer, const struct pd_members_heard *heard);
void pd_members_heard_put_end(struct pd_kv_writer *writer);
/* false: the list has ended, or the reader is bad. */
bool pd_members_heard_next(struct pd_kv_reader *reader, struct pd_members_heard *heard_out);

#endif
