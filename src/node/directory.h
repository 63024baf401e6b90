/* directory - whom a node connects with and lets in, by what it knows of the cluster's members.
 * Pure: the server and the simulator follow it alike.
 *
 * Model      The directory in the store (kv/member.h) counts, once it is known: from the first
 *            whole state of this life on. Beside it count those that this node knew last
 *            (members.json), while they are newer than it; and those of cluster.json that it never
 *            heard of. Who was removed is none of them, whatever a file says; a worker is none
 *            either: it comes as a client, and is no voice here.
 * Word       While another member's word of the directory is newer than the own state
 *            (directory_word.h), it stands in the place of the own directory: who joined meanwhile
 *            may bring this node forward, who was removed meanwhile is let in no more. What the own
 *            directory calls removed stays so.
 * Ownership  The files are borrowed for the directory's life. */
#ifndef PD_NODE_DIRECTORY_H
#define PD_NODE_DIRECTORY_H

#include "node/members_file.h"
#include "node/replica.h"

struct pd_directory {
    const struct pd_members_file *first; /* cluster.json */
    const struct pd_members_file *last;  /* members.json */
    bool counts_last;
    bool is_known;
    uint64_t known_index; /* of the last state of this life that was whole */
    uint64_t followed;    /* version of the store's that the table of peers is of; 0: none yet */
    uint64_t told;        /* index of the word that it is of; 0: of none */
};

void pd_directory_init(struct pd_directory *directory, const struct pd_members_file *first,
                       const struct pd_members_file *last);

enum pd_directory_news {
    PD_DIRECTORY_NONE = 0, /* what the table was made of is as it was */
    PD_DIRECTORY_IS_HALF,  /* a state is taken over: what was known before goes on */
    PD_DIRECTORY_IS_TOLD,  /* only the table: a word counts from now on, or does no more */
    PD_DIRECTORY_IS_ANOTHER
};
/* Each turn. */
enum pd_directory_news pd_directory_look(struct pd_directory *directory,
                                         const struct pd_replica *replica);
/* The table was made of it; or could not be (is_made: false), and is due again. */
void pd_directory_followed(struct pd_directory *directory, const struct pd_replica *replica,
                           bool is_made);

/* By the own state; before it is known, nobody is. */
enum pd_kv_member_standing pd_directory_standing(const struct pd_directory *directory,
                                                 const struct pd_replica *replica, uint64_t node);

/* Where a walk over the table's rows stands; begins as zeroes. */
struct pd_directory_walk {
    uint64_t live;
    uint32_t told;
    uint32_t last;
    uint32_t first;
};
/* The next row; false: there is none. A node may come twice: its first row is the newer one. Its
 * texts are borrowed until the replica's next step. */
bool pd_directory_next(const struct pd_directory *directory, const struct pd_replica *replica,
                       struct pd_directory_walk *walk, struct pd_kv_member *member_out);

#endif
