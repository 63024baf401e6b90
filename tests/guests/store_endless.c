/* Writes to the store without an end, or until that fails. The argument: how long a call may take,
 * in ms. */
#include <stdio.h>
#include <stdlib.h>

#include <pando/pando.h>

int main(int count, char **arguments)
{
    bool was_told = false;
    if (count > 1) {
        pando_kv_set_timeout((uint64_t)atoi(arguments[1]));
    }
    for (;;) {
        enum pando_kv_code code = pando_kv_put("endless", "x", 1);
        if (code != PANDO_KV_OK) {
            char text[1025];
            (void)pando_kv_error_take(text, sizeof text);
            (void)fprintf(stderr, "code %d: %s\n", (int)code, text);
            return 1;
        }
        if (!was_told) {
            was_told = true;
            (void)fputs("counting without an end\n", stderr);
        }
    }
}
