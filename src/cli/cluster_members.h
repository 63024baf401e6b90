/* cluster_members - the members of a cluster as a running node tells them, and words for them. */
#ifndef PD_CLI_CLUSTER_MEMBERS_H
#define PD_CLI_CLUSTER_MEMBERS_H

#include "client/node_client.h"
#include "node/members.h"
#include "node/members_heard.h"

#define PD_CLUSTER_MEMBERS_MAX 96u
#define PD_CLUSTER_HEARD_TEXT_MAX 32u
#define PD_CLUSTER_LACKING_TEXT_MAX 80u

struct pd_cluster_members {
    uint8_t *bytes; /* what the items' texts point into */
    uint64_t leader;
    uint32_t count;
    struct pd_members_item items[PD_CLUSTER_MEMBERS_MAX];
    bool is_heard_known; /* pd_cluster_heard_read: of the next one */
    struct pd_members_heard heard[PD_CLUSTER_MEMBERS_MAX]; /* node 0: nothing is known of it */
};

/* The voters, and how many of them may still be lost. */
struct pd_cluster_voters {
    uint32_t count;
    uint32_t down;
    uint32_t behind;
    uint32_t may_fail; /* besides those */
};

/* Linearizable. PD_OK, or client->text says why not. */
PD_NODISCARD enum pd_status pd_cluster_members_read(struct pd_node_client *client,
                                                    struct pd_cluster_members *members_out);
/* Whom the leader heard lately, of members that were read. Programs of before do not tell it: then
 * members->is_heard_known stays false, as it does when it cannot be had in time. */
void pd_cluster_heard_read(struct pd_node_client *client, struct pd_cluster_members *members);
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
/* Of the member at a place: "up", "down 6 s", "behind"; "?": nobody says; "": it is not in the
 * configuration, so that the leader does not ask it. */
const char *pd_cluster_heard_text(const struct pd_cluster_members *members, uint32_t at,
                                  char room[PD_CLUSTER_HEARD_TEXT_MAX]);
/* If it is not known who is down: as if nobody were. */
struct pd_cluster_voters pd_cluster_voters_of(const struct pd_cluster_members *members);
/* " (1 of 3 voters is down)", " (of 5 voters 1 is down, 2 are behind)"; "": all are there. */
void pd_cluster_lacking_text(const struct pd_cluster_voters *voters,
                             char room[PD_CLUSTER_LACKING_TEXT_MAX]);

#endif
