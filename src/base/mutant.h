/* mutant - deliberate slips, chosen at start, that show whether the tests would notice. Pure.
 *
 * Model  PD_MUTANT(name) is false in every build but the mutant build (-DPANDO_MUTANTS=ON), where
 *        it is true for the one mutant that PANDO_MUTANT names. The release build contains none:
 *        the macro is a constant there. The list is mutant_list.h.
 * Use    if (term < own_term && !PD_MUTANT(OLD_TERM_COMMIT)) ... - next to the rule it breaks. */
#ifndef PD_BASE_MUTANT_H
#define PD_BASE_MUTANT_H

enum pd_mutant_id {
    PD_MUTANT_NONE = 0,
#define PD_MUTANT_ENTRY(name, text) PD_MUTANT_##name,
#include "base/mutant_list.h"
#undef PD_MUTANT_ENTRY
    PD_MUTANT_COUNT
};

#ifdef PANDO_MUTANTS
extern enum pd_mutant_id pd_mutant_chosen; /* set once, before anything else runs */
#define PD_MUTANT(name) (__builtin_expect(pd_mutant_chosen == PD_MUTANT_##name, 0))
#else
#define PD_MUTANT(name) 0
#endif

#endif
