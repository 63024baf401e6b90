/* Spawns as many processes as it may, and grows as far as it may: what is beyond is refused, and
 * nothing else suffers. */
#include <stdio.h>

#include <pando/pando.h>

#define LARGE (1u << 12) /* pages */

PANDO_EXPORT("idle") void idle(void);
void idle(void)
{
    (void)pando_receive(PANDO_FOREVER);
}

int main(void)
{
    uint64_t pid = 0;
    uint32_t count = 0;
    while (count < 100000 && pando_spawn("idle", NULL, 0, &pid) == PANDO_OK) {
        count++;
    }
    char text[1025] = "";
    if (count < 100000) {
        (void)pando_error_take(pid, text, sizeof text);
    }
    bool grew = __builtin_wasm_memory_grow(0, LARGE) != (size_t)-1;
    (void)fprintf(stderr, "%s children, growth %s, the store %s: %s\n",
                  count > 0 && count < 1000 ? "some" : "wrong", grew ? "allowed" : "refused",
                  pando_kv_put("many", "x", 1) == PANDO_KV_OK ? "works" : "fails", text);
    return 0;
}
