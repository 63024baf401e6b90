/* mutant - in the mutant build, the environment's PANDO_MUTANT names the slip to make. */
#include "base/mutant.h"

#ifdef PANDO_MUTANTS

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum pd_mutant_id pd_mutant_chosen = PD_MUTANT_NONE;

static const char *const names[] = {
    "",
#define PD_MUTANT_ENTRY(name, text) #name,
#include "base/mutant_list.h"
#undef PD_MUTANT_ENTRY
};

__attribute__((constructor)) static void choose(void)
{
    const char *wanted = getenv("PANDO_MUTANT");
    if (wanted == NULL || *wanted == '\0') {
        return;
    }
    for (unsigned i = 1; i < PD_MUTANT_COUNT; i++) {
        if (strcmp(wanted, names[i]) == 0) {
            pd_mutant_chosen = (enum pd_mutant_id)i;
            return;
        }
    }
    fprintf(stderr, "PANDO_MUTANT='%s' is no name in src/base/mutant_list.h\n", wanted);
    exit(2);
}

#else

/* ISO C wants something in every file. */
typedef int pd_no_mutants;

#endif
