/* module_exports - what functions the bytes of a module export, without an engine.
 *
 * Model      Reads the heads of sections up to the exports, and those; nothing else is validated.
 *            A prefix of a module will do, as long as the exports are in it.
 * Bounds     Any bytes: reads nothing outside. Pure. */
#ifndef PD_NODE_MODULE_EXPORTS_H
#define PD_NODE_MODULE_EXPORTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* A walk over the functions. Names point into the bytes. */
struct pd_module_exports {
    const uint8_t *at;
    const uint8_t *end; /* of the section */
    uint32_t left;      /* entries of any kind */
};

/* PD_OK            *exports_out walks; a module without the section exports nothing.
 * PD_ERR_FULL      The bytes end before: come again with more of the module, or, if that is all of
 *                  it, it is none.
 * PD_ERR_INVALID   They are no module. */
PD_NODISCARD enum pd_status pd_module_exports_begin(struct pd_module_exports *exports_out,
                                                    const uint8_t *bytes, size_t size);

/* PD_OK: the next function. PD_ERR_UNKNOWN: there are no more. PD_ERR_INVALID: they are
 * malformed. */
PD_NODISCARD enum pd_status pd_module_exports_next(struct pd_module_exports *exports,
                                                   const char **name_out, size_t *size_out);

#endif
