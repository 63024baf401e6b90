/* app_function - whether a process can begin with the function that an application file names for
 * it, and what a person is told when not.
 *
 * Role       One judge for `pando check`, which reads a module's bytes, and `pando run`, which has
 *            it compiled: both say the same.
 * Bounds     PD_APP_EXPORTS_NAMED_MAX exports are named. Pure. */
#ifndef PD_NODE_APP_FUNCTION_H
#define PD_NODE_APP_FUNCTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/app.h"
#include "node/module_exports.h"

#define PD_APP_EXPORTS_NAMED_MAX 8u
#define PD_APP_EXPORT_NAME_MAX 64u /* longer ones, and those that no terminal shows, are left out */
#define PD_APP_FUNCTION_WHY_SIZE 1600u

/* What functions a module exports: the first by their names. Begins zeroed; names are borrowed. */
struct pd_app_exports {
    struct {
        const char *name;
        size_t size;
    } first[PD_APP_EXPORTS_NAMED_MAX];
    uint32_t count; /* of all that were added */
};

/* One more, in any order. */
void pd_app_exports_add(struct pd_app_exports *exports, const char *name, size_t size);

/* `type` NULL: there is no such function, but `exports`. False: why_out, of
 * PD_APP_FUNCTION_WHY_SIZE, has a sentence that begins with the module's name in the file. */
bool pd_app_function_fits(const struct pd_app_child *worker, const struct pd_module_type *type,
                          const struct pd_app_exports *exports, char *why_out);

#endif
