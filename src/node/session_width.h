/* session_width - how many numbers of a session are given ahead of its lowest one. Pure.
 *
 * Model      The store keeps the answers from a session's low mark on, up to a bound of bytes, and
 *            refuses what is new beyond it (PD_KV_ERR_SESSION_ANSWERS_FULL). How large answers are
 *            is seen only when they come. So a refusal halves the width, once for all numbers that
 *            were given until then, and as many answers as the width has widen it by one.
 * Bounds     1 to `most`. */
#ifndef PD_NODE_SESSION_WIDTH_H
#define PD_NODE_SESSION_WIDTH_H

#include <stdint.h>

struct pd_session_width {
    uint32_t most;
    uint32_t width;
    uint32_t answers;  /* since it was changed last */
    uint64_t narrowed; /* a refusal of a number below is of the same crowd */
};

static inline struct pd_session_width pd_session_width_of(uint32_t most)
{
    return (struct pd_session_width){.most = most, .width = most};
}

/* `sequence` was refused for room; `next` is the number that would be given next. */
static inline void pd_session_width_refused(struct pd_session_width *session, uint64_t sequence,
                                            uint64_t next)
{
    if (sequence >= session->narrowed) {
        session->narrowed = next;
        session->answers = 0;
        session->width = session->width > 1 ? session->width / 2 : 1;
    }
}

static inline void pd_session_width_answered(struct pd_session_width *session)
{
    if (session->width < session->most && ++session->answers >= session->width) {
        session->answers = 0;
        session->width++;
    }
}

#endif
