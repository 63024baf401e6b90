#include <string.h>

#include "internal.h"
#include "sim/queue.h"

static size_t position(const struct pd_power_names *names, const char *name)
{
    size_t at = 0;
    while (at < names->count && strcmp(names->entries[at].text, name) != 0) {
        at++;
    }
    return at;
}

struct pd_power_file *pd_power_names_find(const struct pd_power_names *names, const char *name)
{
    size_t at = position(names, name);
    return at < names->count ? names->entries[at].file : NULL;
}

static void forget(struct pd_power_names *names, const char *name)
{
    size_t at = position(names, name);
    if (at < names->count) {
        names->count--;
        memmove(names->entries + at, names->entries + at + 1,
                (names->count - at) * sizeof names->entries[0]);
    }
}

void pd_power_names_apply(struct pd_power_names *names, const struct pd_power_change *change)
{
    if (change->from[0] != '\0') {
        forget(names, change->from);
    }
    forget(names, change->to);
    if (change->file != NULL) {
        names->entries = pd_sim_grow(names->entries, &names->capacity, names->count + 1,
                                     sizeof(names->entries[0]));
        struct pd_power_name *name = &names->entries[names->count++];
        memcpy(name->text, change->to, sizeof name->text);
        name->file = change->file;
    }
}

void pd_power_names_copy(struct pd_power_names *to, const struct pd_power_names *from)
{
    to->count = from->count;
    if (from->count > 0) {
        to->entries = pd_sim_grow(to->entries, &to->capacity, from->count, sizeof(to->entries[0]));
        memcpy(to->entries, from->entries, from->count * sizeof from->entries[0]);
    }
}

void pd_power_folder_change(struct pd_power_file *folder, const struct pd_power_change *change)
{
    pd_power_names_apply(&folder->now, change);
    folder->changes = pd_sim_grow(folder->changes, &folder->change_capacity,
                                  folder->change_count + 1, sizeof folder->changes[0]);
    folder->changes[folder->change_count++] = *change;
}

void pd_power_folder_sync(struct pd_power_file *folder, uint64_t at)
{
    size_t kept = 0;
    for (size_t i = 0; i < folder->change_count; i++) {
        struct pd_power_change change = folder->changes[i];
        if (change.done_at < at) {
            pd_power_names_apply(&folder->durable, &change);
        } else {
            folder->changes[kept++] = change;
        }
    }
    folder->change_count = kept;
}

struct pd_power_file *pd_power_folder_of(struct pd_power_model *model, const char *path,
                                         size_t size, char name[PD_POWER_NAME_MAX + 1])
{
    struct pd_power_file *folder = model->root;
    size_t at = 0;
    for (;;) {
        size_t end = at;
        while (end < size && path[end] != '/') {
            end++;
        }
        if (end == at || end - at > PD_POWER_NAME_MAX) {
            return NULL;
        }
        memcpy(name, path + at, end - at);
        name[end - at] = '\0';
        if (end == size) {
            return folder;
        }
        folder = pd_power_names_find(&folder->now, name);
        if (folder == NULL || !folder->is_folder) {
            return NULL;
        }
        at = end + 1;
    }
}
