/* sqlite_places - which statements may have a helper thread, in turn.
 *
 * Model      A place is taken for a job, or waited for in the line of its owner (an environment);
 *            the lines are served in turn, each in order.
 *
 *              take ──► HELD ──give──► NONE
 *                │        │ ▲
 *                │   rest ▼ │ resume
 *                │       RESTING
 *                └──► WAITING ──another gives its own──► HELD, and `wake` is called
 *                        └──give──► NONE
 *
 *            Who waits for a lock of SQLite's on its helper rests: another may compute meanwhile.
 * Bounds     PD_SQLITE_PLACES_MAX places, PD_SQLITE_PLACES_OF_ONE_MAX for one owner, and
 *            PD_SQLITE_RESTING_MAX that rest; who resumes may come on top of the first two for as
 *            long as his call takes. Owners whose numbers are equal modulo PD_SQLITE_LINE_COUNT
 *            share a line.
 * Threads    Any. `wake` is called under the lock: so a place that was given back is woken no more.
 *            It must not come back here. */
#ifndef PD_WASM_SQLITE_PLACES_H
#define PD_WASM_SQLITE_PLACES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

/* Helper threads that statements may hold at a time, so that the others stay free for work that is
 * sure to be short. */
#define PD_SQLITE_PLACES_MAX 4u
#define PD_SQLITE_PLACES_OF_ONE_MAX (PD_SQLITE_PLACES_MAX - 1)
#define PD_SQLITE_RESTING_MAX 2u
#define PD_SQLITE_LINE_COUNT 64u

enum pd_sqlite_place_state {
    PD_SQLITE_PLACE_NONE = 0,
    PD_SQLITE_PLACE_WAITING = 1,
    PD_SQLITE_PLACE_HELD = 2,
    PD_SQLITE_PLACE_RESTING = 3
};

/* Zeroed before it is first used; stays where it is until it is given back. */
struct pd_sqlite_place {
    struct pd_list node; /* of its owner's line, while it waits */
    enum pd_sqlite_place_state state;
    uint32_t line;
    void (*wake)(void *process);
    void *process;
};

/* True: it is held. False: it waits in line, and `process` is woken when it is held. */
bool pd_sqlite_place_take(struct pd_sqlite_place *place, uint64_t owner,
                          void (*wake)(void *process), void *process);
bool pd_sqlite_place_is_held(const struct pd_sqlite_place *place);
/* Whatever it is: afterwards it is none. */
void pd_sqlite_place_give(struct pd_sqlite_place *place);

/* A held place rests, if there is room for one more. */
void pd_sqlite_place_rest(struct pd_sqlite_place *place);
/* And is held again, if it rested. Never waits. */
void pd_sqlite_place_resume(struct pd_sqlite_place *place);

#endif
