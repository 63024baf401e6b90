#include "wasm/error_text.h"

#include <string.h>

#include "base/alloc.h"
#include "wasm/text.h"

/* With what the heap and the table take for it. */
static uint64_t bytes_of(size_t kept)
{
    return sizeof(struct pd_error_text) + kept + 2 * sizeof(struct pd_id_entry);
}

enum pd_status pd_error_texts_add(struct pd_id_table *texts, struct pd_memory_budget *budget,
                                  const char *bytes, size_t size, uint64_t *id_out)
{
    if (texts->count >= PD_ERROR_TEXTS_MAX) {
        return PD_ERR_FULL;
    }
    size_t kept = pd_text_fit(bytes, size, PD_ERROR_TEXT_MAX);
    if (budget != NULL && !pd_memory_budget_take(budget, PD_MEMORY_MESSAGE, bytes_of(kept))) {
        return PD_ERR_NO_MEMORY;
    }
    struct pd_error_text *text = pd_alloc(sizeof *text + kept);
    if (text == NULL) {
        if (budget != NULL) {
            pd_memory_budget_give(budget, bytes_of(kept));
        }
        return PD_ERR_NO_MEMORY;
    }
    text->budget = budget;
    text->size = (uint32_t)kept;
    memcpy(text->bytes, bytes, kept);
    enum pd_status status = pd_id_table_add(texts, text, id_out);
    if (status != PD_OK) {
        pd_error_text_destroy(text);
    }
    return status;
}

void pd_error_text_destroy(struct pd_error_text *text)
{
    if (text != NULL && text->budget != NULL) {
        pd_memory_budget_give(text->budget, bytes_of(text->size));
    }
    pd_free(text);
}
