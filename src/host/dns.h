/* dns - one name, asked of the system's files and name servers by c-ares, without ever waiting.
 *
 * Model      Opened, a question is over at once (an address in numbers, a name of /etc/hosts), or
 *            its sockets are told by an epoll: whoever waits there steps it, and again at its
 *            deadline, until it is over. Closing it calls it off.
 * Sources    As for any program: numbers in all their forms, then what nsswitch.conf orders of
 *            /etc/hosts and the name servers of resolv.conf, with its search domains. Each question
 *            reads these files anew, so that a change is noticed, and has sockets of its own, so
 *            that each has another port and none is left when it is called off.
 * Bounds     Two tries of each name server, PD_DNS_WHOLE_NS in all. A step reads 32 times at most.
 *            128 sockets a question, one for each address among them, to put these in order; eight
 *            at once, and each counts: see `take_descriptor`. It has some 80 KiB of memory, and
 *            each server's answer of at most 64 KiB.
 * Threads    One for a question from open to close. */
#ifndef PD_HOST_DNS_H
#define PD_HOST_DNS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/host_sockets.h"

#define PD_DNS_WHOLE_NS UINT64_C(30000000000)

struct pd_dns;

struct pd_dns_config {
    int epoll;               /* where its sockets are told, */
    void *mark;              /* with this pointer */
    const char *resolv_conf; /* NULL: the system's */
    uint16_t port;           /* of name servers */
    uint32_t timeout_ms; /* of the first try; each further round of the servers has twice that */
    /* Whether there may be one descriptor more, or 0 and the system's error. */
    int (*take_descriptor)(void *context);
    void (*give_descriptor)(void *context);
    void *context;
};

/* An answer. `error` 0: `count` of `results`, none of them marked as own. Else the system's error
 * number, or one of getaddrinfo's, which are negative. */
struct pd_dns_answer {
    int error;
    uint32_t count;
    struct pd_lookup_result results[PD_LOOKUP_ADDRESSES_MAX];
};

/* `answer` is the question's until it is closed. 0, ENOMEM. */
int pd_dns_open(const struct pd_dns_config *config, const char *name, struct pd_dns_answer *answer,
                struct pd_dns **dns_out);
bool pd_dns_is_over(const struct pd_dns *dns);

/* Go on: an event was told, or the deadline is past. */
void pd_dns_step(struct pd_dns *dns);

/* When it has to be stepped though nothing is told; of CLOCK_MONOTONIC. */
uint64_t pd_dns_deadline_ns(const struct pd_dns *dns);

void pd_dns_close(struct pd_dns *dns);

uint64_t pd_dns_now_ns(void);

#endif
