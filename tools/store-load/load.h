/* load - clients that keep one operation each under way, and remember what they were told.
 *
 * Keys       PREFIX + "r" + number: registers, for linearizability; PREFIX + "u" + number: written
 *            once each, and looked at again in the end.
 * Values     Numbers that are never used twice, in digits, filled up with dots to value_bytes.
 * Outcomes   An operation whose answer never came stays open in the record. With sessions it is
 *            sent again instead, under its number, until it is answered. */
#ifndef PD_TOOL_STORE_LOAD_LOAD_H
#define PD_TOOL_STORE_LOAD_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#define LOAD_SOCKETS_MAX 16u

struct load_options {
    /* Of one node, or of several of a cluster: a connection that is lost goes to the next one of
     * its kind. A path, or "tcp:ADDRESS:PORT". */
    const char *sockets[LOAD_SOCKETS_MAX];
    uint32_t socket_count;
    const char *prefix;
    const char *record; /* folder of histories; NULL: none */
    const char *acks;   /* file of what was acknowledged; NULL: none */
    uint32_t clients;
    uint32_t connections;
    uint32_t keys;
    uint32_t value_bytes;
    uint32_t read_percent;
    uint32_t cas_percent;
    uint32_t unique_percent; /* the rest: writes of registers */
    uint64_t operations;     /* 0: no limit */
    double seconds;
    double wait_back;  /* for a node that has gone away */
    double op_timeout; /* nothing answered for so long: give up */
    double silence;    /* of a connection over TCP: then the next one is taken; 0: never */
    uint64_t seed;
    bool sessions;
    bool json;
};

struct load_result {
    uint64_t operations; /* answered */
    uint64_t reads;
    uint64_t writes;
    uint64_t cas_done;
    uint64_t cas_other;
    uint64_t refused;
    uint64_t unknown;
    uint64_t retried; /* in a session, and answered in the end */
    uint64_t reconnects;
    uint64_t silent;  /* connections that were given up, as nothing was answered */
    uint64_t uniques; /* acknowledged */
    uint64_t lost;    /* of these, not there in the end, or with another value */
    double seconds;
    uint32_t p50_us;
    uint32_t p99_us;
    uint32_t max_us;
    const char *error; /* why it ended early; NULL: it did not */
};

void load_run(const struct load_options *options, struct load_result *result);
/* Every line "key value" of a file that `acks` wrote: is it there? */
void load_check(const char *socket, const char *path, double timeout, struct load_result *result);

#endif
