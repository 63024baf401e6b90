/* error_text - what went wrong, kept for a guest until it asks (lunatic::error).
 *
 * Bounds     A text has at most PD_ERROR_TEXT_MAX bytes of UTF-8, a process keeps at most
 *            PD_ERROR_TEXTS_MAX.
 *            Texts count on the budget of all guests, as messages do.
 * Ownership  Texts lie in the id table of their process, which takes each out and destroys it. */
#ifndef PD_WASM_ERROR_TEXT_H
#define PD_WASM_ERROR_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory_budget.h"
#include "base/status.h"
#include "wasm/id_table.h"

#define PD_ERROR_TEXT_MAX 1024u
#define PD_ERROR_TEXTS_MAX 4096u

struct pd_error_text {
    struct pd_memory_budget *budget; /* or NULL */
    uint32_t size;
    char bytes[]; /* not terminated */
};

/* Keep a copy, cut at a character when it is too long. `budget`: what it counts on, or NULL.
 * PD_ERR_FULL: PD_ERROR_TEXTS_MAX are kept, the guest must drop some. PD_ERR_NO_MEMORY: or the
 * budget has no room. */
PD_NODISCARD enum pd_status pd_error_texts_add(struct pd_id_table *texts,
                                               struct pd_memory_budget *budget, const char *bytes,
                                               size_t size, uint64_t *id_out);

/* Free one that was taken out of its table. NULL is allowed. */
void pd_error_text_destroy(struct pd_error_text *text);

#endif
