#include "wasm/error_text.h"

#include <string.h>

#include "base/alloc.h"
#include "wasm/text.h"

enum pd_status pd_error_texts_add(struct pd_id_table *texts, const char *bytes, size_t size,
                                  uint64_t *id_out)
{
    if (texts->count >= PD_ERROR_TEXTS_MAX) {
        return PD_ERR_FULL;
    }
    size_t kept = pd_text_fit(bytes, size, PD_ERROR_TEXT_MAX);
    struct pd_error_text *text = pd_alloc(sizeof *text + kept);
    if (text == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    text->size = (uint32_t)kept;
    memcpy(text->bytes, bytes, kept);
    enum pd_status status = pd_id_table_add(texts, text, id_out);
    if (status != PD_OK) {
        pd_free(text);
    }
    return status;
}

void pd_error_text_destroy(struct pd_error_text *text)
{
    pd_free(text);
}
