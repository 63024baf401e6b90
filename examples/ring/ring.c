/* ring - N actors in a ring pass a number M times around; each adds one.
 *
 * They are linked to the one before them: when the last message went round, the first ends the ring
 * by ending itself.
 *
 *   pando run ring.wasm             100 actors, 10 times around
 *   pando run ring.wasm 10000 100 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <pando/pando.h>

#define TAG_TOKEN 1

/* Passes tokens on; the last of the ring passes them to `first`. */
PANDO_EXPORT("member") void member(int64_t first, int32_t left);
void member(int64_t first, int32_t left)
{
    uint64_t next = (uint64_t)first;
    if (left > 0) {
        struct pando_param params[] = {pando_i64(first), pando_i32(left - 1)};
        if (pando_spawn_link(1, "member", params, 2, &next) != PANDO_OK) {
            pando_exit_self(PANDO_REASON_FAILURE, "cannot spawn the next member");
        }
    }
    uint64_t number = 0;
    while (pando_receive_tag(TAG_TOKEN, PANDO_FOREVER) == PANDO_DATA) {
        if (pando_message_read_u64(&number)) {
            pando_send_u64(next, TAG_TOKEN, number + 1);
        }
    }
}

int main(int argument_count, char **arguments)
{
    long members = argument_count > 1 ? strtol(arguments[1], NULL, 10) : 100;
    long rounds = argument_count > 2 ? strtol(arguments[2], NULL, 10) : 10;
    if (members < 2 || members > 1000000 || rounds < 1) {
        fprintf(stderr, "usage: ring [MEMBERS (2 to 1000000) [ROUNDS]]\n");
        return 2;
    }
    uint64_t next = 0;
    struct pando_param params[] = {pando_i64((int64_t)pando_self()),
                                   pando_i32((int32_t)(members - 2))};
    if (pando_spawn_link(1, "member", params, 2, &next) != PANDO_OK) {
        fprintf(stderr, "ring: cannot spawn\n");
        return 1;
    }
    uint64_t number = 0;
    for (long round = 0; round < rounds; round++) {
        pando_send_u64(next, TAG_TOKEN, number + 1);
        if (pando_receive_tag(TAG_TOKEN, PANDO_FOREVER) != PANDO_DATA ||
            !pando_message_read_u64(&number)) {
            return 1;
        }
    }
    printf("%ld members, %ld rounds, %" PRIu64 " messages\n", members, rounds, number);
    return 0;
}
