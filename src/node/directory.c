#include "node/directory.h"

#include "base/mutant.h"

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

static bool last_is_newer(const struct pd_directory *directory, const struct pd_replica *replica)
{
    struct pd_kv_status kv;
    pd_kv_status(pd_replica_kv(replica), &kv);
    return kv.applied_index < directory->last->index;
}

enum pd_directory_news pd_directory_look(struct pd_directory *directory,
                                         const struct pd_replica *replica)
{
    if (!pd_replica_has_state(replica)) {
        return directory->is_known ? PD_DIRECTORY_IS_HALF : PD_DIRECTORY_NONE;
    }
    bool is_another = !directory->is_known || version_of(replica) != directory->followed;
    if (directory->counts_last && !last_is_newer(directory, replica)) {
        directory->counts_last = false;
        is_another = true;
    }
    directory->is_known = true;
    return is_another ? PD_DIRECTORY_IS_ANOTHER : PD_DIRECTORY_NONE;
}

void pd_directory_followed(struct pd_directory *directory, const struct pd_replica *replica,
                           bool is_made)
{
    directory->followed = is_made ? version_of(replica) : 0;
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

/* Of whom the store's directory never heard. */
static bool next_unheard(const struct pd_directory *directory, const struct pd_replica *replica,
                         const struct pd_members_file *file, uint32_t *at,
                         struct pd_kv_member *member_out)
{
    while (*at < file->count) {
        *member_out = file->members[(*at)++];
        if (pd_directory_standing(directory, replica, member_out->node) == PD_KV_MEMBER_UNKNOWN ||
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
    /* Then one that it never heard of may have been removed long ago. */
    bool may_have_forgotten = directory->is_known && pd_kv_members_may_have_forgotten(kv);
    return (directory->is_known && next_live(kv, &walk->live, member_out)) ||
           (directory->counts_last &&
            next_unheard(directory, replica, directory->last, &walk->last, member_out)) ||
           (!may_have_forgotten &&
            next_unheard(directory, replica, directory->first, &walk->first, member_out));
}
