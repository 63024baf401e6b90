/* group - named sets of processes. A member leaves when it ends; an empty group does not exist.
 * Names are 1 to 255 bytes of UTF-8; others trap. */
#ifndef PANDO_GROUP_H
#define PANDO_GROUP_H

#include "import.h"

PANDO_IMPORT("pando::group", "join")
uint32_t pando_import_group_join(const char *name, uint32_t size);
PANDO_IMPORT("pando::group", "leave")
uint32_t pando_import_group_leave(const char *name, uint32_t size);
PANDO_IMPORT("pando::group", "members")
uint32_t pando_import_group_members(const char *name, uint32_t size, uint64_t *pids_out,
                                    uint32_t pids_max);
PANDO_IMPORT("pando::group", "broadcast")
uint32_t pando_import_group_broadcast(const char *name, uint32_t size, uint32_t *skipped_out);

enum pando_joined {
    PANDO_JOINED = 0,
    PANDO_ALREADY_MEMBER = 1,
    PANDO_GROUPS_FULL = 3 /* the limit of memberships is reached */
};

static inline enum pando_joined pando_group_join(const char *name)
{
    return (enum pando_joined)pando_import_group_join(name, pando_text_size(name));
}

/* False: it was no member. */
static inline bool pando_group_leave(const char *name)
{
    return pando_import_group_leave(name, pando_text_size(name)) == 0;
}

/* Returns how many members there are; up to pids_max of them, the oldest first, are at pids_out. */
static inline uint32_t pando_group_members(const char *name, uint64_t *pids_out, uint32_t pids_max)
{
    return pando_import_group_members(name, pando_text_size(name), pids_out, pids_max);
}

/* Send a copy of what is at hand (message.h) to each member, the sender included if it is one.
 * Returns how many got it; *skipped_out counts members whose mailbox is full. Nothing is at hand
 * then. Traps: nothing at hand, or it carries what cannot be copied. */
static inline uint32_t pando_group_broadcast(const char *name, uint32_t *skipped_out)
{
    return pando_import_group_broadcast(name, pando_text_size(name), skipped_out);
}

#endif
