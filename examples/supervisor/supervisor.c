/* supervisor - a counter that crashes, and the tree that brings it back.
 *
 *   demo
 *   ├── store     keeps the number; it has no reason to crash
 *   ├── counter   adds one when asked; every third time it crashes after it told the store
 *   └── visitor   asks eight times, and prints what it sees
 *
 * The counter's own memory is lost with each crash; what it told the store is not. So the count
 * goes on where it was, and each restart shows in the number of the counter's life.
 *
 * The tree can be built by the program itself (here the visitor is main), or declared without code:
 *
 *   pando run supervisor.wasm
 *   pando run app.yaml */
#include <inttypes.h>
#include <stdio.h>

#include <pando/pando.h>

#define TAG_GET 1
#define TAG_PUT 2

/* A number, and how often a counter has asked for it at its start. */
PANDO_EXPORT("store") void store(void);
void store(void)
{
    uint64_t number = 0;
    uint64_t lives = 0;
    (void)pando_register("store", pando_self());
    pando_ready();
    while (pando_receive(PANDO_FOREVER) == PANDO_DATA) {
        uint64_t caller = pando_message_pid();
        uint64_t ref = pando_message_ref();
        if (pando_message_tag() == TAG_PUT) {
            (void)pando_message_read_u64(&number);
        } else {
            lives++;
        }
        pando_message_create(0, 2 * sizeof number);
        pando_message_write_u64(number);
        pando_message_write_u64(lives);
        (void)pando_reply(caller, ref);
    }
}

static bool call_store(uint64_t tag, uint64_t *number, uint64_t *lives_out)
{
    pando_message_create(tag, sizeof *number);
    pando_message_write_u64(*number);
    return pando_call(pando_whereis("store"), 5000) == PANDO_SENT &&
           pando_message_read_u64(number) && pando_message_read_u64(lives_out);
}

PANDO_EXPORT("counter") void counter(void);
void counter(void)
{
    uint64_t number = 0;
    uint64_t lives = 0;
    if (!call_store(TAG_GET, &number, &lives)) {
        pando_exit_self(PANDO_REASON_FAILURE, "no store");
    }
    (void)pando_register("counter", pando_self());
    pando_ready();
    while (pando_receive(PANDO_FOREVER) == PANDO_DATA) {
        uint64_t caller = pando_message_pid();
        uint64_t ref = pando_message_ref();
        number++;
        if (!call_store(TAG_PUT, &number, &lives)) {
            pando_exit_self(PANDO_REASON_FAILURE, "no store");
        }
        if (number % 3 == 0) {
            __builtin_trap();
        }
        pando_message_create(0, 2 * sizeof number);
        pando_message_write_u64(number);
        pando_message_write_u64(lives);
        (void)pando_reply(caller, ref);
    }
}

static bool start_tree(uint64_t *pid_out)
{
    uint64_t tree = pando_supervisor_create(PANDO_ONE_FOR_ONE, 3, 5000);
    pando_supervisor_set_name(tree, "demo");
    struct pando_child child = pando_child("store", "store", NULL, 0);
    child.ready_ms = 5000;
    pando_supervisor_add(tree, &child);
    child.id = "counter";
    child.spawn.function = "counter";
    pando_supervisor_add(tree, &child);
    return pando_supervisor_start(tree, 1, pid_out) == PANDO_OK;
}

/* Ask the counter until one answers: between a crash and the restart nobody has the name. */
static bool add_one(uint64_t *number_out, uint64_t *life_out)
{
    uint64_t pid = pando_whereis("counter");
    for (int attempt = 0; pid == 0 && attempt < 500; attempt++) {
        pando_sleep(10);
        pid = pando_whereis("counter");
    }
    pando_message_create(0, 0);
    return pando_call(pid, 5000) == PANDO_SENT && pando_message_read_u64(number_out) &&
           pando_message_read_u64(life_out);
}

PANDO_EXPORT("visitor") void visitor(void);
void visitor(void)
{
    for (int i = 0; i < 8; i++) {
        uint64_t number = 0;
        uint64_t life = 0;
        if (add_one(&number, &life)) {
            printf("count %" PRIu64 " from counter number %" PRIu64 "\n", number, life);
        } else {
            printf("the counter crashed (%s)\n", pando_reason_text(pando_last_reason()));
        }
    }
}

int main(void)
{
    uint64_t tree = 0;
    uint64_t error = 0;
    struct pando_child_counts counts;
    if (!start_tree(&tree)) {
        fprintf(stderr, "supervisor: cannot start the tree\n");
        return 1;
    }
    visitor();
    if (pando_supervisor_count(tree, 5000, &counts, &error) != PANDO_OK) {
        return 1;
    }
    printf("%" PRIu32 " children live\n", counts.live);
    if (pando_supervisor_stop(tree, false, 5000, &error) != PANDO_OK || pando_exists(tree)) {
        return 1;
    }
    printf("the tree has stopped: %" PRIu64 " process left\n", pando_process_count());
    return 0;
}
