/* module - compiling WebAssembly at run time, to spawn processes of it (struct
 * pando_spawn_options). Needs the right to compile. The work is done elsewhere: only this process
 * waits for it. */
#ifndef PANDO_MODULE_H
#define PANDO_MODULE_H

#include "import.h"

PANDO_IMPORT("lunatic::process", "compile_module")
uint32_t pando_import_compile_module(const void *bytes, uint32_t size, uint64_t *id_out);
PANDO_IMPORT("lunatic::process", "drop_module") void pando_import_drop_module(uint64_t module);

enum pando_compiled {
    PANDO_COMPILED = 0,
    PANDO_NOT_COMPILED = 1, /* *module_out is an error id */
    PANDO_MAY_NOT_COMPILE = -1
};

/* Compile a binary module; *module_out is an id of this process. The bytes are copied. */
static inline enum pando_compiled pando_module_compile(const void *bytes, uint32_t size,
                                                       uint64_t *module_out)
{
    return (enum pando_compiled)(int32_t)pando_import_compile_module(bytes, size, module_out);
}

/* Processes that run it keep it. Traps: no such module. */
static inline void pando_module_drop(uint64_t module)
{
    pando_import_drop_module(module);
}

#endif
