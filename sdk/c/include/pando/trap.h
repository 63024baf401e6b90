/* trap - surviving one's own trap. The module has PANDO_TRAP_CATCHER in one of its C files. */
#ifndef PANDO_TRAP_H
#define PANDO_TRAP_H

#include "import.h"

PANDO_IMPORT("lunatic::trap", "catch")
uint32_t pando_import_trap_catch(uint32_t function, uint32_t argument);

/* What Pando calls back. */
#define PANDO_TRAP_CATCHER                                                                         \
    PANDO_EXPORT("_lunatic_catch_trap")                                                            \
    uint32_t pando_trap_enter(uint32_t function, uint32_t argument);                               \
    uint32_t pando_trap_enter(uint32_t function, uint32_t argument)                                \
    {                                                                                              \
        return ((uint32_t(*)(void *))(uintptr_t)function)((void *)(uintptr_t)argument);            \
    }

/* function(argument), which returns other than 0; or 0 if it trapped, called exit or ran out of
 * fuel. What it did until then stays done. It may wait, and catch again. */
static inline uint32_t pando_trap_catch(uint32_t (*function)(void *argument), void *argument)
{
    return pando_import_trap_catch((uint32_t)(uintptr_t)function, (uint32_t)(uintptr_t)argument);
}

#endif
