/* sometimes - marks on rare branches, counted by the simulator: a mark that a search never hit is a
 * place where the search is blind. Pure.
 *
 * Model  PD_SOMETIMES(NAME, condition) counts the times that the line is passed while the condition
 *        holds. Outside the simulator pd_sometimes_hits is NULL, the condition is not evaluated and
 *        nothing is counted. The list is sometimes_list.h; a name may be used in several places.
 * Use    PD_SOMETIMES(RAFT_CONFLICT_HINT, message->reject); - at a branch that only a fault
 *        reaches. The condition has no side effect. */
#ifndef PD_BASE_SOMETIMES_H
#define PD_BASE_SOMETIMES_H

#include <stddef.h>
#include <stdint.h>

enum pd_sometimes_id {
#define PD_SOMETIMES_ENTRY(name, text) PD_SOMETIMES_##name,
#include "base/sometimes_list.h"
#undef PD_SOMETIMES_ENTRY
    PD_SOMETIMES_COUNT
};

/* PD_SOMETIMES_COUNT counters, or NULL. Set before the threads start. */
extern uint64_t *pd_sometimes_hits;

#define PD_SOMETIMES(name, condition)                                                              \
    do {                                                                                           \
        if (__builtin_expect(pd_sometimes_hits != NULL, 0) && (condition)) {                       \
            pd_sometimes_hits[PD_SOMETIMES_##name]++;                                              \
        }                                                                                          \
    } while (0)

/* The mark's name and what it means. */
const char *pd_sometimes_name(enum pd_sometimes_id id);
const char *pd_sometimes_text(enum pd_sometimes_id id);

#endif
