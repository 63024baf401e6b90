/* module_exports - what functions the bytes of a module export, and of what type they are, without
 * an engine.
 *
 * Model      Reads the heads of sections up to the exports, and those; for a type the sections of
 *            types, imports and functions too. Nothing else is validated. A prefix of a module will
 *            do, as long as the exports are in it.
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

/* PD_OK: the next function; *index_out is its number in the module. PD_ERR_UNKNOWN: there are no
 * more. PD_ERR_INVALID: they are malformed. */
PD_NODISCARD enum pd_status pd_module_exports_next(struct pd_module_exports *exports,
                                                   const char **name_out, size_t *size_out,
                                                   uint32_t *index_out);

#define PD_MODULE_TYPE_PARAMS_MAX 16u

enum pd_module_value {
    PD_MODULE_I32 = 0x7f,
    PD_MODULE_I64 = 0x7e,
    PD_MODULE_F32 = 0x7d,
    PD_MODULE_F64 = 0x7c,
    PD_MODULE_V128 = 0x7b
};

struct pd_module_type {
    uint32_t param_count;
    uint32_t result_count;
    uint8_t params[PD_MODULE_TYPE_PARAMS_MAX]; /* the first of them: pd_module_value, or others */
};

/* The type of the function with this number, of bytes that pd_module_exports_begin took.
 * PD_ERR_UNKNOWN: there is no such function, or the module has types that are not known here, or it
 * is malformed; compiling it will tell. */
PD_NODISCARD enum pd_status pd_module_type_of(const uint8_t *bytes, size_t size, uint32_t index,
                                              struct pd_module_type *type_out);

#endif
