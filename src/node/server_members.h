/* server_members - FOLDER/members.json: whom a node knew last.
 *
 * Model      cluster.json names those that a cluster began with, and stays as it is. The directory
 *            in the store names those of today; but a node that was killed while it took over a
 *            state has neither state nor directory, and all that cluster.json names may be gone. So
 *            whenever the directory has changed, its members that hold a log are written down, in
 *            cluster.json's form.
 * Trust      It never says who votes. Until the directory is known, and as new as the file, and no
 *            longer, those that it names are dialed and let in beside those of cluster.json; after
 *            that the directory alone counts, so that one who was removed since is refused again. A
 *            row's node id is the hash of its key, and a sum covers all. A file that is torn, of
 *            another cluster or not of this form is passed over, and written anew.
 * Bounds     PD_MEMBERS_FILE_MAX members; of more, those with the least ids.
 * Threads    Who opens the server; then who holds the core; write: the store thread. */
#ifndef PD_NODE_SERVER_MEMBERS_H
#define PD_NODE_SERVER_MEMBERS_H

#include "node/server_internal.h"

#define PD_SERVER_MEMBERS_NAME "members.json"

/* The identity is known. What cannot be used is told to config.note. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_server_members_read(struct pd_server *server);
/* Each turn. If the directory is due to be looked at (peers.known_is_due: it is known, not older
 * than the file, and may be another one) it becomes peers.known, and the store thread is given the
 * file to write: a sync would hold up the core. One write is under way at a time. */
void pd_server_members_follow(struct pd_server *server);
/* The store thread's part, and its end on the core: a disk that refuses is told of, and asked again
 * when the directory changes next. */
PD_NODISCARD enum pd_status pd_server_members_write(struct pd_server *server);
void pd_server_members_written(struct pd_server *server, enum pd_status status);

#endif
