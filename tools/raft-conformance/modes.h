/* modes - what a script's commands mean. Each answers a command with the text that the script
 * expects. */
#ifndef PD_CONFORMANCE_MODES_H
#define PD_CONFORMANCE_MODES_H

#include "raft-conformance/script.h"
#include "raft-conformance/text.h"

/* A fresh state for each file. */
struct mode {
    const char *name;
    void *(*begin)(void);
    void (*run)(void *state, const struct command *command, struct text *output);
    void (*end)(void *state);
};

extern const struct mode quorum_mode;
extern const struct mode confchange_mode;
extern const struct mode interaction_mode;

#endif
