/* @NAME@: a process that adds, and one that asks it. */
#include <stdio.h>

#include <pando/pando.h>

/* A process: it runs from here, in a memory of its own, and answers until it is killed. */
PANDO_EXPORT("adder") void adder(void);
void adder(void)
{
    uint64_t left = 0, right = 0;
    while (pando_receive(PANDO_FOREVER) == PANDO_DATA) {
        uint64_t caller = pando_message_pid(), ref = pando_message_ref();
        if (ref != 0 && pando_message_read_u64(&left) && pando_message_read_u64(&right)) {
            pando_message_create(0, 0);
            pando_message_write_u64(left + right);
            pando_reply(caller, ref);
        }
    }
}

int main(void)
{
    uint64_t pid = 0, sum = 0;
    if (pando_spawn_link(1, "adder", NULL, 0, &pid) != PANDO_OK) {
        fprintf(stderr, "@NAME@: the adder was not started\n");
        return 1;
    }
    pando_message_create(0, 0);
    pando_message_write_u64(20);
    pando_message_write_u64(22);
    if (pando_call(pid, 5000) != PANDO_SENT || !pando_message_read_u64(&sum)) {
        fprintf(stderr, "@NAME@: the adder did not answer\n");
        return 1;
    }
    printf("hello from @NAME@: 20 + 22 = %llu\n", (unsigned long long)sum);
    return 0;
}
