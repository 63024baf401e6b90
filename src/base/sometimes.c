#include "base/sometimes.h"

uint64_t *pd_sometimes_hits;

const char *pd_sometimes_name(enum pd_sometimes_id id)
{
    static const char *const names[] = {
#define PD_SOMETIMES_ENTRY(name, text) #name,
#include "base/sometimes_list.h"
#undef PD_SOMETIMES_ENTRY
    };
    return (unsigned)id < PD_SOMETIMES_COUNT ? names[id] : "?";
}

const char *pd_sometimes_text(enum pd_sometimes_id id)
{
    static const char *const texts[] = {
#define PD_SOMETIMES_ENTRY(name, text) text,
#include "base/sometimes_list.h"
#undef PD_SOMETIMES_ENTRY
    };
    return (unsigned)id < PD_SOMETIMES_COUNT ? texts[id] : "?";
}
