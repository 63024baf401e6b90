/* reach - finds the address at which a member answers: of all that are known, one after the other.
 *
 * Model      Each address is dialed when the one before it has failed, or has not answered for
 *            PD_REACH_PAUSE_NS (as RFC 8305 does it); those that were dialed go on meanwhile. The
 *            first that proves the member's key is taken, the others are hung up. A name is looked
 *            up in its turn: for PD_REACH_NAME_NS at most while other addresses follow it, and no
 *            longer than until a link is up.
 * Threads    pd_reach_dial: one thread at a time. pd_reach_opened and pd_reach_closed: the net's,
 *            from the handler of the service that is dialed. Between two dials no link is dialed by
 *            anybody else on that net: links are told apart by their numbers, which go upwards.
 * Order      A link that was not taken is hung up before pd_reach_dial returns: its `closed` comes
 *            before anything that is then asked of the one that was.
 * Ownership  The caller's, which outlives the net. Zero, with host set, at first. */
#ifndef PD_NODE_REACH_H
#define PD_NODE_REACH_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/host.h"
#include "base/spin.h"
#include "kv/member.h"
#include "net/net.h"

#define PD_REACH_TEXT_MAX 256u
#define PD_REACH_PAUSE_NS UINT64_C(250000000)
#define PD_REACH_NAME_NS UINT64_C(1000000000)

enum pd_reach_state {
    PD_REACH_DIALED = 0,
    PD_REACH_OPEN,
    PD_REACH_CLOSED
};
struct pd_reach_way {
    uint64_t link;
    enum pd_reach_state state;
    const char *why; /* static; of a closed one */
};

struct pd_reach {
    struct pd_host *host;
    struct pd_event event; /* something has changed, or pd_reach_stop */
    atomic_bool stops;
    struct pd_spin lock;
    /* Under the lock: */
    uint64_t past; /* links up to it are of former dials */
    uint32_t count;
    struct pd_reach_way ways[PD_KV_MEMBER_ADDRESSES_MAX];
};

/* Until until_ns, the host's clock. True: *link_out is up, at the address *at_out of the member's.
 * False: there is none, and text says why, of one of the addresses. */
bool pd_reach_dial(struct pd_reach *reach, struct pd_net *net, uint32_t service,
                   const struct pd_kv_member *member, uint64_t until_ns, uint64_t *link_out,
                   uint32_t *at_out, char text[PD_REACH_TEXT_MAX]);
/* Any thread: a dial that is under way ends soon, and so does every later one. */
void pd_reach_stop(struct pd_reach *reach);

void pd_reach_opened(struct pd_reach *reach, uint64_t link);
void pd_reach_closed(struct pd_reach *reach, uint64_t link, const char *why);

/* Whether all addresses of the members, in numbers, are ones that only this machine reaches
 * (127.0.0.0/8): who asks them need listen at no other. *address_out: the first of them.
 * *elsewhere_out, if not: the first that is none of these, the member's; empty if there is no
 * address at all. */
bool pd_reach_is_here(const struct pd_kv_member *members, uint32_t count,
                      struct pd_transport_address *address_out, struct pd_span *elsewhere_out);

#endif
