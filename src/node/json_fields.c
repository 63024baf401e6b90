#include "node/json_fields.h"

#include <errno.h>
#include <stdlib.h>

bool pd_json_hex(const json_t *object, const char *key, uint64_t *number_out)
{
    const char *text = json_string_value(json_object_get(object, key));
    char *end = NULL;
    if (text == NULL || *text == '\0') {
        return false;
    }
    errno = 0;
    *number_out = strtoull(text, &end, 16);
    return errno == 0 && *end == '\0';
}

json_t *pd_json_texts(const struct pd_span *texts, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        (void)json_array_append_new(list,
                                    json_stringn((const char *)texts[i].bytes, texts[i].size));
    }
    return list;
}
