/* subject - what is run on a folder, loaded, killed, and judged after the power went.
 *
 * Model      run() starts the program on the folder under the shim, compares what it holds with
 *            what it was seen to promise, gives it more to do and kills it. cut() tells that the
 *            folder went back to the moment time_ns: what was promised before holds, what was asked
 *            for after it never was.
 * Ownership  The driver opens and closes it. */
#ifndef POWER_LOSS_SUBJECT_H
#define POWER_LOSS_SUBJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/random.h"

#define PD_POWER_WHY_MAX 1024u

struct pd_power_run {
    const char *shim;    /* the library that is preloaded */
    const char *program; /* the subject's, if it is not this one */
    const char *work;    /* room for files beside the folder */
    const char *folder;
    const char *trace;
    struct pd_random *random;
    char why[PD_POWER_WHY_MAX]; /* of a failure */
};

struct pd_power_subject {
    const char *name;
    void *(*open)(struct pd_random *random);
    /* False: something is lost or wrong: why. The process is gone in any case. */
    bool (*run)(void *state, struct pd_power_run *run);
    void (*cut)(void *state, uint64_t time_ns);
    void (*close)(void *state);
};

extern const struct pd_power_subject pd_power_parts;
extern const struct pd_power_subject pd_power_node;

/* Start `words` under the shim, its output into a pipe whose end is *output_out, its errors into a
 * file beside the folder. -1: errno. */
pid_t pd_power_spawn(const struct pd_power_run *run, char *const words[], int *output_out);
/* The last line of those errors. */
const char *pd_power_last_words(const struct pd_power_run *run, char line[PD_POWER_WHY_MAX]);
/* Until it has ended. */
void pd_power_wait(pid_t process);
/* kill -9 and wait. */
void pd_power_kill(pid_t process);
uint64_t pd_power_now_ns(void);

/* The program of the subject "parts": never returns but to end. */
int pd_power_parts_main(const char *folder, uint64_t seed);

#endif
