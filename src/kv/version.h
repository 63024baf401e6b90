/* version - the versions that a cluster can have, and what each of them added. Pure.
 *
 * Model      A cluster has one version, a number in its state: it begins at PD_KV_VERSION_FIRST,
 *            and one command (PD_KV_VERSION_RAISE) takes it one step up. A program knows all
 *            versions up to its limit. While a cluster is upgraded node by node, programs of
 *            different limits run beside each other at the lower version; it is raised when all of
 *            them can follow.
 * Commands   What a command in the log means must not depend on who applies it. A kind that a later
 *            version brought is therefore malformed to every program, old or new, while the cluster
 *            is not there yet; afterwards no older program is left. The raise itself is known to
 *            all: who cannot follow it stops there, before it has applied it.
 * State      Of version 1 it is as it ever was. A later version stands in a row of its own ('v'),
 *            which snapshots carry like all others; who cannot follow refuses to load it.
 * Messages   Fields of the message between nodes that says who knows what are tagged, and unknown
 *            tags are skipped; unknown kinds of messages are dropped (node/replica_version.c). */
#ifndef PD_KV_VERSION_H
#define PD_KV_VERSION_H

#include "kv/command.h"

#define PD_KV_VERSION_FIRST 1u
#define PD_KV_VERSION_LAST 2u /* that this source knows */

/* The limit of this program: PD_KV_VERSION_LAST, or less in one that was built to be tested beside
 * others (-DPANDO_VERSION_LIMIT=1; build/bin/pando-before). */
uint32_t pd_kv_version_limit(void);

/* The version that brought a kind of command. */
uint32_t pd_kv_version_of(enum pd_kv_command_kind kind);

/* What `version` added, in one line; "" for one that this source does not know. */
const char *pd_kv_version_adds(uint32_t version);

#endif
