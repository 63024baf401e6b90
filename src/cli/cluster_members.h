/* cluster_members - the members of a cluster as a running node tells them, and words for them. */
#ifndef PD_CLI_CLUSTER_MEMBERS_H
#define PD_CLI_CLUSTER_MEMBERS_H

#include "client/node_client.h"
#include "node/members.h"

#define PD_CLUSTER_MEMBERS_MAX 96u

struct pd_cluster_members {
    uint8_t *bytes; /* what the items' texts point into */
    uint64_t leader;
    uint32_t count;
    struct pd_members_item items[PD_CLUSTER_MEMBERS_MAX];
};

/* Linearizable. PD_OK, or client->text says why not. */
PD_NODISCARD enum pd_status pd_cluster_members_read(struct pd_node_client *client,
                                                    struct pd_cluster_members *members_out);
void pd_cluster_members_free(struct pd_cluster_members *members);

/* The cluster's id, as the node's status has it. false: client->text says why not. */
bool pd_cluster_id_read(struct pd_node_client *client, uint64_t *cluster_id_out);

/* By name, or by id in hexadecimal digits. NULL: nobody; *is_ambiguous_out: several have that
 * name. */
const struct pd_members_item *pd_cluster_members_find(const struct pd_cluster_members *members,
                                                      const char *word, bool *is_ambiguous_out);
/* "leader", "voter", "learner", "worker", or "no member yet". */
const char *pd_cluster_standing_text(const struct pd_cluster_members *members,
                                     const struct pd_members_item *item);

#endif
