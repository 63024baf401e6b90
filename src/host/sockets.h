/* sockets - host_sockets.h on Linux: an epoll of the sockets, and one of the TLS sessions with a
 * thread that does their work.
 *
 * Model      A socket is registered once (EPOLLET), at its first wait, with the epoll that its
 *            owner polls, or with the I/O thread's if nobody does. Each socket remembers what it
 *            may be ready for: an attempt that finds nothing clears that, unless an event was told
 *            since it began; an event sets it and wakes. So a wait asks nothing of the system, and
 *            between an attempt and its wait no event is lost. A session's socket leaves that
 *            epoll, and is armed by the I/O thread in its own (EPOLLONESHOT).
 *
 *              wait ──may be ready──► wake, to try
 *                └──► in the list ──event──► off the list, wake
 *                          └────cancel──► off the list (a late event finds nobody)
 *
 *            Sockets stand in slots that are never freed before the end: an event that comes late
 *            finds another generation there, or none, and is dropped.
 * Locks      One mutex a slot: list of waits, generation, descriptor's registration. Wakes happen
 *            under it, so that `cancel` is the end of a wait. One mutex for slots, one for names.
 * Names      c-ares on a thread of its own, which starts with the first name and waits for no name
 *            server: resolver.c, dns.h. */
#ifndef PD_HOST_SOCKETS_H
#define PD_HOST_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/host_sockets.h"
#include "base/status.h"

struct pd_real_sockets;

/* Nothing is opened or started yet. is_inline, for tests: there are no threads;
 * pd_real_sockets_poll does what they would. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_real_sockets_create(bool is_inline,
                                                   struct pd_real_sockets **sockets_out);

/* Nothing wakes anybody any more; sockets can still be closed. Nobody waits. NULL is allowed. */
void pd_real_sockets_stop(struct pd_real_sockets *sockets);

/* Every socket is closed, every lookup too. Stops first. NULL is allowed. */
void pd_real_sockets_destroy(struct pd_real_sockets *sockets);

struct pd_sockets *pd_real_sockets_interface(struct pd_real_sockets *sockets);

/* Inline only: look up the names that were asked for, wait up to timeout_ms for something to happen
 * at sockets, and wake whom it concerns. True: something happened. */
bool pd_real_sockets_poll(struct pd_real_sockets *sockets, int timeout_ms);

/* Sockets that are open, those to name servers among them. */
uint32_t pd_real_sockets_count(struct pd_real_sockets *sockets);

/* At most this many, from now on: for tests of what happens then. */
void pd_real_sockets_set_max(struct pd_real_sockets *sockets, uint32_t sockets_max);

/* How many TLS streams without a handle may still say their last words, each for a minute: beyond
 * it those that began first are cut short, so that the memory of peers that do not read is bounded.
 * 256 unless this is called. */
void pd_real_sockets_set_lingering_max(struct pd_real_sockets *sockets, uint32_t streams_max);

/* What is asked for names, for tests. Before the first name. */
struct pd_name_servers {
    const char *resolv_conf; /* a file of that form, read for each name; NULL: the system's */
    uint16_t port;           /* 53 */
    uint32_t timeout_ms;     /* of the first of two tries; 2000 */
};
void pd_real_sockets_set_name_servers(struct pd_real_sockets *sockets,
                                      const struct pd_name_servers *servers);

/* How often the system's roots were read. */
uint32_t pd_real_sockets_root_loads(struct pd_real_sockets *sockets);

/* Lookups that are not over, those included whose guest is gone. */
uint32_t pd_real_sockets_lookup_count(struct pd_real_sockets *sockets);

#endif
