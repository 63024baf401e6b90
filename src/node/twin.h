/* twin - whether another process runs with a node's key: that of the folder which this one is a
 * copy of, or a copy of this one. Two such would answer for each other, and each promises what the
 * other one does not know of.
 *
 * Model      Before a node listens it dials, with a key of the moment, the addresses at which
 *            others know it. One that this process could listen at itself is free, and is not
 *            dialed; so a node that starts again where it was waits for nothing. Whoever proves the
 *            node's own key at another one is the twin.
 * Limits     A twin that does not answer in time, or at none of these addresses, is not seen.
 * Threads    The caller's, which waits; the net has one of its own meanwhile. */
#ifndef PD_NODE_TWIN_H
#define PD_NODE_TWIN_H

#include "base/host.h"
#include "kv/member.h"

#define PD_TWIN_LOOK_NS UINT64_C(1500000000) /* a machine that is gone costs a start so much */

/* `known`: this node's key, and its addresses. Until until_ns of the host's clock at most. True:
 * there is one, at place_out. False: none was seen. */
bool pd_twin_look(struct pd_host *host, const struct pd_kv_member *known, uint64_t until_ns,
                  char place_out[PD_KV_MEMBER_ADDRESS_MAX + 1]);

#endif
