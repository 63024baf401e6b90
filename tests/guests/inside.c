/* Several processes, each in a state of its own, for those who look into a running program. main
 * obeys the lines of its standard input: "crash" lets the child fail, "orphan" an unsupervised
 * process, "storm" a thousand of them, "quit" ends it. */
#include <stdio.h>
#include <string.h>

#include <pando/pando.h>

#define TAG_GO 7
#define TAG_PING 42
#define STORM 1000

PANDO_EXPORT("echo") void echo(void);
void echo(void)
{
    (void)pando_register("echo", pando_self());
    (void)pando_group_join("workers");
    (void)pando_monitor(pando_whereis("main"));
    while (pando_receive(PANDO_FOREVER) == PANDO_DATA) {
        uint64_t from = 0;
        if (pando_message_read_u64(&from)) {
            pando_send_u64(from, TAG_PING, pando_self());
        }
    }
}

/* Talks to echo without end, a little each time, even when nobody answers any more. */
PANDO_EXPORT("pinger") void pinger(void);
void pinger(void)
{
    (void)pando_register("pinger", pando_self());
    for (;;) {
        pando_send_u64(pando_whereis("echo"), TAG_PING, pando_self());
        (void)pando_receive(1000);
        pando_sleep(1);
    }
}

PANDO_EXPORT("sleeper") void sleeper(void);
void sleeper(void)
{
    (void)pando_register("sleeper", pando_self());
    for (;;) {
        pando_sleep(1000000);
    }
}

PANDO_EXPORT("spinner") void spinner(void);
void spinner(void)
{
    (void)pando_register("spinner", pando_self());
    for (volatile uint64_t i = 0;; i++) {
    }
}

/* Sends until the sleeper, which never receives, has no room. */
PANDO_EXPORT("stuck") void stuck(void);
void stuck(void)
{
    (void)pando_register("stuck", pando_self());
    for (;;) {
        pando_send_u64(pando_whereis("sleeper"), TAG_PING, 0);
    }
}

PANDO_EXPORT("fail") void fail(void);
void fail(void)
{
    fprintf(stderr, "fail: about to divide by nothing\n");
    __builtin_trap();
}

PANDO_EXPORT("child") void child(void);
void child(void)
{
    (void)pando_register("child", pando_self());
    pando_ready();
    (void)pando_receive_tag(TAG_GO, PANDO_FOREVER);
    fprintf(stderr, "child: the cupboard is bare\n");
    __builtin_trap();
}

static void start_tree(void)
{
    uint64_t pid = 0;
    uint64_t tree = pando_supervisor_create(PANDO_ONE_FOR_ONE, 3, 600000);
    pando_supervisor_set_name(tree, "tree");
    struct pando_child worker = pando_child("worker", "child", NULL, 0);
    worker.ready_ms = 60000;
    pando_supervisor_add(tree, &worker);
    if (pando_supervisor_start(tree, 1, &pid) != PANDO_OK) {
        pando_exit_self(PANDO_REASON_FAILURE, "no tree");
    }
}

/* Returns once it has its name, or is gone. */
static void spawn(const char *function)
{
    uint64_t pid = 0;
    if (pando_spawn(function, NULL, 0, &pid) != PANDO_OK) {
        pando_exit_self(PANDO_REASON_FAILURE, function);
    }
    while (pando_exists(pid) && pando_whereis(function) != pid) {
        pando_sleep(1);
    }
}

static void obey(const char *line)
{
    if (strcmp(line, "crash\n") == 0) {
        uint64_t before = pando_whereis("child");
        pando_send_u64(before, TAG_GO, 0);
        while (pando_whereis("child") == before || pando_whereis("child") == 0) {
            pando_sleep(1);
        }
    } else if (strcmp(line, "orphan\n") == 0) {
        spawn("fail");
    } else if (strcmp(line, "storm\n") == 0) {
        for (int i = 0; i < STORM; i++) {
            spawn("fail");
        }
    }
    printf("done %s", line);
    (void)fflush(stdout);
}

int main(void)
{
    char line[64];
    (void)pando_register("main", pando_self());
    start_tree();
    spawn("echo");
    spawn("pinger");
    spawn("sleeper");
    spawn("stuck");
    spawn("spinner");
    while (pando_whereis("child") == 0) {
        pando_sleep(1);
    }
    printf("ready\n");
    (void)fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "quit\n") != 0) {
        obey(line);
    }
    return 0;
}
