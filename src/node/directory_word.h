/* directory_word - what a member says of the directory of its applied state, to one that may be
 * behind. Pure.
 *
 * Model      A word is what the log said up to one entry: whoever gives it, it is true as of that
 *            entry, and the one with the higher index is the newer one. Workers are left out: they
 *            are no peers. So is what a member tells of its program.
 * Bytes      Fields {tag, size, bytes}; those with an unknown tag are skipped. A question is one
 *            field: the index above which the asker wants to hear. A word is an index, a field for
 *            each member and one for each removed node, both by node id.
 * Bounds     Those of the directory (kv/kv.h): what is encoded is complete.
 * Ownership  close frees what open gave; the members' texts lie in it.
 * Trust      Any bytes can be decoded. A row counts under the node id that its key makes. */
#ifndef PD_NODE_DIRECTORY_WORD_H
#define PD_NODE_DIRECTORY_WORD_H

#include "kv/kv.h"

#define PD_DIRECTORY_QUESTION_SIZE_MAX 16u
#define PD_DIRECTORY_WORD_SIZE_MAX                                                                 \
    (16u + PD_KV_MEMBERS_MAX * (PD_KV_MEMBER_BYTES_MAX + 16u) + PD_KV_MEMBERS_REMOVED_MAX * 12u)

struct pd_directory_word {
    uint64_t index; /* of the last entry that it is of; not 0 */
    uint32_t member_count;
    uint32_t removed_count;
    struct pd_kv_member members[PD_KV_MEMBERS_MAX];
    uint64_t removed[PD_KV_MEMBERS_REMOVED_MAX];
    uint8_t bytes[]; /* what the members' texts point into */
};

void pd_directory_question_put(struct pd_kv_writer *writer, uint64_t above);
/* false: it is no question. */
bool pd_directory_question_get(struct pd_span bytes, uint64_t *above_out);

/* Of the applied state, which is whole and of an entry. */
void pd_directory_word_put(struct pd_kv_writer *writer, const struct pd_kv *kv);
/* node_of: which node a key makes. PD_ERR_CORRUPT: it is none; PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_directory_word_open(struct pd_span bytes,
                                                   uint64_t (*node_of)(const uint8_t *key),
                                                   struct pd_directory_word **word_out);
void pd_directory_word_close(struct pd_directory_word *word);

enum pd_kv_member_standing pd_directory_word_standing(const struct pd_directory_word *word,
                                                      uint64_t node);
/* A node that is UNKNOWN to it may have been removed all the same. */
bool pd_directory_word_may_have_forgotten(const struct pd_directory_word *word);

#endif
