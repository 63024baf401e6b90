/* Actors that write without an end, and one that only works: it reports each hundredth message to
 * the standard error. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <pando/pando.h>

#define WRITERS 4
#define REPORT 100u

PANDO_EXPORT("writes") void writes(void);
void writes(void)
{
    char line[200];
    memset(line, 's', sizeof line);
    line[sizeof line - 1] = '\n';
    while (write(1, line, sizeof line) > 0) {
    }
}

PANDO_EXPORT("works") void works(int64_t parent);
void works(int64_t parent)
{
    for (uint64_t i = 0;; i++) {
        (void)pando_send_u64((uint64_t)parent, 1, i);
        pando_sleep(1);
    }
}

int main(void)
{
    uint64_t pid;
    struct pando_param self = pando_i64((int64_t)pando_self());
    for (int i = 0; i < WRITERS; i++) {
        (void)pando_spawn("writes", NULL, 0, &pid);
    }
    (void)pando_spawn("works", &self, 1, &pid);
    for (uint32_t i = 1;; i++) {
        (void)pando_receive_tag(1, UINT64_MAX);
        if (i % REPORT == 0) {
            (void)fprintf(stderr, "working %u\n", i);
        }
    }
}
