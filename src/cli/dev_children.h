/* dev_children - child processes of `pando dev`: started, listened to, ended in order.
 *
 * Model      Each child runs this program in a process group of its own, so that a terminal's
 *            Ctrl-C reaches the parent alone; it is told to end when the parent dies, however that
 *            dies. Both its streams come back as lines.
 * Bounds     A line longer than PD_DEV_LINE_MAX is broken.
 * Threads    One. */
#ifndef PD_CLI_DEV_CHILDREN_H
#define PD_CLI_DEV_CHILDREN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

#define PD_DEV_CHILDREN_MAX 9u
#define PD_DEV_LINE_MAX 1024u
#define PD_DEV_WORDS_MAX 24u

struct pd_dev_child {
    pid_t pid; /* 0: not started, or ended */
    int pipe;  /* -1: closed */
    int wait_status;
    char line[PD_DEV_LINE_MAX + 1];
    uint32_t line_size;
};

struct pd_dev_children {
    int signals;
    uint32_t count;
    struct pd_dev_child children[PD_DEV_CHILDREN_MAX];
    void (*line)(void *state, uint32_t child, const char *text);
    void (*ended)(void *state, uint32_t child, int wait_status);
    void *state;
};

/* SIGINT, SIGTERM, SIGCHLD and, unless it is ignored, SIGHUP are taken over, for good. Before there
 * are other threads: those would still die of them. */
PD_NODISCARD enum pd_status pd_dev_children_init(struct pd_dev_children *children);
/* words: what comes after the program's name, ended by NULL. PD_ERR_IO: errno. */
PD_NODISCARD enum pd_status pd_dev_children_start(struct pd_dev_children *children,
                                                  char *const *words);
/* Until something has happened and was told, at most timeout_ms (-1: for ever). false: this process
 * was asked to end. */
bool pd_dev_children_wait(struct pd_dev_children *children, int timeout_ms);
uint32_t pd_dev_children_alive(const struct pd_dev_children *children);
/* One after the other is asked to end, the last one first; who does not within patience_ms is
 * killed. */
void pd_dev_children_stop(struct pd_dev_children *children, uint64_t patience_ms);

#endif
