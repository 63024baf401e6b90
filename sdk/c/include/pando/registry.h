/* registry - names of processes, 1 to 255 bytes of UTF-8 each. A name goes with its process. */
#ifndef PANDO_REGISTRY_H
#define PANDO_REGISTRY_H

#include "import.h"

PANDO_IMPORT("pando::registry", "register")
uint32_t pando_import_register(const char *name, uint32_t size, uint64_t pid);
PANDO_IMPORT("pando::registry", "whereis")
uint32_t pando_import_whereis(const char *name, uint32_t size, uint64_t *pid_out);
PANDO_IMPORT("pando::registry", "unregister")
uint32_t pando_import_unregister(const char *name, uint32_t size);
PANDO_IMPORT("lunatic::registry", "put")
void pando_import_registry_put(const char *name, uint32_t size, uint64_t node, uint64_t pid);

enum pando_registered {
    PANDO_REGISTERED = 0,
    PANDO_NAME_TAKEN = 1,
    PANDO_NAME_NO_PROCESS = 2, /* nobody has this pid */
    PANDO_NAMES_FULL = 3       /* the limit of names is reached */
};

/* Give `pid` a name, unless another has it. Traps: the name is empty, too long or no UTF-8. */
static inline enum pando_registered pando_register(const char *name, uint64_t pid)
{
    return (enum pando_registered)pando_import_register(name, pando_text_size(name), pid);
}

/* Give `pid` a name and take it from whoever has it: for a process that replaces its
 * predecessor. */
static inline void pando_register_over(const char *name, uint64_t pid)
{
    pando_import_registry_put(name, pando_text_size(name), 0, pid);
}

/* Who has the name; 0: nobody. */
static inline uint64_t pando_whereis(const char *name)
{
    uint64_t pid = 0;
    return pando_import_whereis(name, pando_text_size(name), &pid) == 0 ? pid : 0;
}

/* Forget the name. False: nobody had it. */
static inline bool pando_unregister(const char *name)
{
    return pando_import_unregister(name, pando_text_size(name)) == 0;
}

#endif
