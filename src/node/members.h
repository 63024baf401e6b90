/* members - who a node is, and how the members of a cluster are told. Pure.
 *
 * Identity   A node's id is made from its public key: the first eight bytes of the key's SHA-256,
 *            without the topmost bit. A node that lost its key is another node.
 * Order      A member is put into the directory first, and into raft's configuration after that:
 *            whom the configuration names must be reached and believed by all, and that takes key
 *            and addresses. A crash in between leaves a member that may connect and has no say;
 *            asking again goes on from there. It leaves in the other order, for the same reason: a
 *            member that the configuration still counts is never refused. A crash in between leaves
 *            a member without a say, and asking again removes it.
 * Trust      Reading accepts any bytes. */
#ifndef PD_NODE_MEMBERS_H
#define PD_NODE_MEMBERS_H

#include "kv/answer.h"
#include "kv/member.h"

uint64_t pd_members_node_of(const uint8_t key[PD_KV_MEMBER_KEY_SIZE]);

enum pd_members_standing {
    PD_MEMBERS_NONE = 0, /* in the directory alone: on its way in or out, or a worker */
    PD_MEMBERS_LEARNER = 1,
    PD_MEMBERS_VOTER = 2
};
struct pd_members_item {
    enum pd_members_standing standing;
    bool is_listed; /* in the directory: else nothing is known but its id */
    struct pd_kv_member member;
};

/* The body of an answer to PD_REPLICA_REQUEST_MEMBERS: a list like those of kv/answer.h. */
void pd_members_put(struct pd_kv_writer *writer, enum pd_members_standing standing, uint64_t node,
                    const struct pd_kv_member *member); /* NULL: not listed */
void pd_members_put_end(struct pd_kv_writer *writer);
/* false: it has ended, or the reader is bad. Spans point into what is read. */
bool pd_members_next(struct pd_kv_reader *reader, struct pd_members_item *item_out);
/* Whether the list holds a member with this key. */
bool pd_members_lists_key(struct pd_span list, const uint8_t key[PD_KV_MEMBER_KEY_SIZE]);
/* Whether that member's tickets count: a worker's do not, else it could make voters. */
bool pd_members_may_sign(struct pd_span list, const uint8_t key[PD_KV_MEMBER_KEY_SIZE]);

#endif
