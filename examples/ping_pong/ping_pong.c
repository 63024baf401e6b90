/* ping_pong - two actors call each other: a request, its reply, and what happens when there is
 * none.
 *
 *   pando run ping_pong.wasm        three rounds
 *   pando run ping_pong.wasm 100000 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <pando/pando.h>

/* Answers each call with the number it got, plus one. */
PANDO_EXPORT("pong") void pong(void);
void pong(void)
{
    while (pando_receive(PANDO_FOREVER) == PANDO_DATA) {
        uint64_t number = 0;
        uint64_t caller = pando_message_pid();
        uint64_t ref = pando_message_ref();
        if (!pando_message_read_u64(&number)) {
            return; /* an empty message: enough */
        }
        pando_message_create(0, sizeof number);
        pando_message_write_u64(number + 1);
        (void)pando_reply(caller, ref);
    }
}

static enum pando_sent ask(uint64_t pid, uint64_t number, uint64_t *answer_out)
{
    pando_message_create(0, sizeof number);
    pando_message_write_u64(number);
    enum pando_sent sent = pando_call(pid, 5000);
    if (sent == PANDO_SENT && !pando_message_read_u64(answer_out)) {
        return PANDO_GONE;
    }
    return sent;
}

int main(int argument_count, char **arguments)
{
    uint64_t rounds = argument_count > 1 ? strtoull(arguments[1], NULL, 10) : 3;
    uint64_t pid = 0;
    if (pando_spawn("pong", NULL, 0, &pid) != PANDO_OK) {
        fprintf(stderr, "ping_pong: cannot spawn\n");
        return 1;
    }
    uint64_t number = 0;
    for (uint64_t i = 0; i < rounds; i++) {
        if (ask(pid, number, &number) != PANDO_SENT) {
            fprintf(stderr, "ping_pong: no answer\n");
            return 1;
        }
        if (i < 3) {
            printf("ping %" PRIu64 " pong %" PRIu64 "\n", i, number);
        }
    }
    printf("%" PRIu64 " rounds\n", number);

    /* An empty message ends it; the next call finds nobody, at once. */
    pando_message_create(0, 0);
    pando_send(pid);
    if (ask(pid, 0, &number) == PANDO_GONE) {
        printf("pong is gone\n");
    }
    return 0;
}
