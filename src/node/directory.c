#include "node/directory.h"

#include "base/mutant.h"
#include "base/sometimes.h"
#include "node/directory_word.h"

void pd_directory_init(struct pd_directory *directory, const struct pd_members_file *first,
                       const struct pd_members_file *last)
{
    *directory =
        (struct pd_directory){.first = first, .last = last, .counts_last = last->count > 0};
}

/* 0 stands for none. */
static uint64_t version_of(const struct pd_replica *replica)
{
    return pd_kv_members_version(pd_replica_kv(replica)) + 1;
}

/* NULL: none that is newer than what was known here. */
static const struct pd_directory_word *word_of(const struct pd_directory *directory,
                                               const struct pd_replica *replica)
{
    const struct pd_directory_word *word = pd_replica_directory_word(replica);
    bool counts = word != NULL && word->index > directory->known_index;
    return counts && !PD_MUTANT(NODE_WORD_IGNORED) ? word : NULL;
}

static uint64_t told_index(const struct pd_directory *directory, const struct pd_replica *replica)
{
    const struct pd_directory_word *word = word_of(directory, replica);
    return word == NULL ? 0 : word->index;
}

/* No own state can be looked at: from a new word on the table is that one's, and the files'. */
static enum pd_directory_news look_without(struct pd_directory *directory,
                                           const struct pd_replica *replica)
{
    if (told_index(directory, replica) != directory->told) {
        directory->is_known = false;
        return PD_DIRECTORY_IS_TOLD;
    }
    return directory->is_known ? PD_DIRECTORY_IS_HALF : PD_DIRECTORY_NONE;
}

enum pd_directory_news pd_directory_look(struct pd_directory *directory,
                                         const struct pd_replica *replica)
{
    if (!pd_replica_has_state(replica)) {
        return look_without(directory, replica);
    }
    directory->known_index = pd_kv_applied_index(pd_replica_kv(replica));
    bool is_told = told_index(directory, replica) != directory->told;
    bool is_another = !directory->is_known || version_of(replica) != directory->followed;
    if (directory->counts_last && directory->known_index >= directory->last->index) {
        directory->counts_last = false;
        is_another = true;
    }
    directory->is_known = true;
    if (is_another) {
        return PD_DIRECTORY_IS_ANOTHER;
    }
    return is_told ? PD_DIRECTORY_IS_TOLD : PD_DIRECTORY_NONE;
}

void pd_directory_followed(struct pd_directory *directory, const struct pd_replica *replica,
                           bool is_made)
{
    directory->followed = is_made ? version_of(replica) : 0;
    directory->told = told_index(directory, replica);
}

enum pd_kv_member_standing pd_directory_standing(const struct pd_directory *directory,
                                                 const struct pd_replica *replica, uint64_t node)
{
    struct pd_kv_member member;
    return directory->is_known ? pd_kv_member_find(pd_replica_kv(replica), node, &member)
                               : PD_KV_MEMBER_UNKNOWN;
}

static bool next_live(const struct pd_kv *kv, uint64_t *at, struct pd_kv_member *member_out)
{
    while (pd_kv_member_next(kv, *at, member_out)) {
        *at = member_out->node;
        if (member_out->role != PD_KV_MEMBER_WORKER) {
            return true;
        }
    }
    return false;
}

static bool next_told(const struct pd_directory *directory, const struct pd_replica *replica,
                      const struct pd_directory_word *word, uint32_t *at,
                      struct pd_kv_member *member_out)
{
    while (*at < word->member_count) {
        *member_out = word->members[(*at)++];
        enum pd_kv_member_standing standing =
            pd_directory_standing(directory, replica, member_out->node);
        PD_SOMETIMES(NODE_NEWCOMER_TOLD, directory->is_known && standing == PD_KV_MEMBER_UNKNOWN);
        if (standing != PD_KV_MEMBER_REMOVED) {
            return true;
        }
    }
    return false;
}

/* Of whom neither the store's directory nor the word ever heard. */
static bool next_unheard(const struct pd_directory *directory, const struct pd_replica *replica,
                         const struct pd_members_file *file, uint32_t *at,
                         struct pd_kv_member *member_out)
{
    const struct pd_directory_word *word = word_of(directory, replica);
    while (*at < file->count) {
        *member_out = file->members[(*at)++];
        uint64_t node = member_out->node;
        bool is_told =
            word != NULL && pd_directory_word_standing(word, node) != PD_KV_MEMBER_UNKNOWN;
        if ((pd_directory_standing(directory, replica, node) == PD_KV_MEMBER_UNKNOWN && !is_told) ||
            PD_MUTANT(NODE_REMOVED_LET_IN)) {
            return true;
        }
    }
    return false;
}

bool pd_directory_next(const struct pd_directory *directory, const struct pd_replica *replica,
                       struct pd_directory_walk *walk, struct pd_kv_member *member_out)
{
    const struct pd_kv *kv = pd_replica_kv(replica);
    const struct pd_directory_word *word = word_of(directory, replica);
    bool counts_live = directory->is_known && (word == NULL || PD_MUTANT(NODE_WORD_ADDS_ONLY));
    bool counts_last =
        directory->counts_last && (word == NULL || word->index < directory->last->index);
    /* Then one that it never heard of may have been removed long ago. */
    bool may_have_forgotten = (directory->is_known && pd_kv_members_may_have_forgotten(kv)) ||
                              (word != NULL && pd_directory_word_may_have_forgotten(word));
    return (word != NULL && next_told(directory, replica, word, &walk->told, member_out)) ||
           (counts_live && next_live(kv, &walk->live, member_out)) ||
           (counts_last &&
            next_unheard(directory, replica, directory->last, &walk->last, member_out)) ||
           (!may_have_forgotten &&
            next_unheard(directory, replica, directory->first, &walk->first, member_out));
}
