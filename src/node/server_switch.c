/* A folder becomes another node's, at one moment.
 *
 *   restored-log, restored-store,        built beside what is there, durable
 *   restored-cluster.json (or none)
 *   restored-node.json                   <- the moment: one rename
 *   log, store, cluster.json             what was there is called replaced-NAME-N, and stays
 *   node.json                            last: nothing is left to do
 *
 * A crash before the moment leaves the old node, and files that the next attempt removes. After it
 * whoever opens the folder goes on where it was cut short: each step is a rename that is made
 * durable before the next one, and a step whose source is gone was done. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/disk_has.h"
#include "node/server_internal.h"

#define READY PD_SERVER_SWITCH_PREFIX PD_SERVER_IDENTITY_NAME
#define NAMES_MAX 1024u

struct names {
    struct pd_disk_name *list;
    uint32_t count;
};

static bool has(const struct names *names, const char *name)
{
    for (uint32_t i = 0; i < names->count; i++) {
        if (strcmp(names->list[i].text, name) == 0) {
            return true;
        }
    }
    return false;
}

static enum pd_status rename_durably(struct pd_disk *root, const char *from, const char *to)
{
    enum pd_status status = root->ops->rename(root, from, to);
    return status == PD_OK ? root->ops->sync_names(root) : status;
}

static enum pd_status put_aside(struct pd_disk *root, const struct names *names, const char *name)
{
    char aside[PD_DISK_NAME_MAX + 1];
    uint32_t number = 0;
    do {
        (void)snprintf(aside, sizeof aside, "replaced-%s-%" PRIu32, name, ++number);
    } while (has(names, aside));
    return rename_durably(root, name, aside);
}

static enum pd_status put_in_place(struct pd_disk *root, const struct names *names,
                                   const char *restored, const char *name)
{
    if (!has(names, restored)) {
        return PD_OK;
    }
    enum pd_status status = has(names, name) ? put_aside(root, names, name) : PD_OK;
    return status == PD_OK ? rename_durably(root, restored, name) : status;
}

static enum pd_status finish(struct pd_disk *root, const struct names *names)
{
    if (!has(names, READY)) {
        return PD_OK;
    }
    enum pd_status status = put_in_place(root, names, PD_SERVER_SWITCH_LOG, "log");
    if (status == PD_OK && has(names, PD_SERVER_CONDEMNED_NAME)) {
        status = root->ops->remove(root, PD_SERVER_CONDEMNED_NAME); /* of the one that goes */
    }
    if (status == PD_OK) {
        status = put_in_place(root, names, PD_SERVER_SWITCH_STORE, "store");
    }
    if (status == PD_OK) {
        status = put_in_place(root, names, PD_SERVER_SWITCH_MEMBERS, PD_MEMBERS_FILE_NAME);
    }
    return status == PD_OK ? rename_durably(root, READY, PD_SERVER_IDENTITY_NAME) : status;
}

enum pd_status pd_server_switch_finish(struct pd_disk *root)
{
    if (!pd_disk_has(root, READY)) {
        return PD_OK;
    }
    struct names names = {.list = pd_alloc_zeroed(NAMES_MAX, sizeof *names.list)};
    if (names.list == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    enum pd_status status = root->ops->list(root, names.list, NAMES_MAX, &names.count);
    status = status == PD_OK ? finish(root, &names) : status;
    pd_free(names.list);
    return status;
}

enum pd_status pd_server_switch(struct pd_disk *root, const struct pd_server_identity *identity)
{
    enum pd_status status = root->ops->sync_names(root);
    status = status == PD_OK ? pd_server_identity_put(root, READY, identity) : status;
    return status == PD_OK ? pd_server_switch_finish(root) : status;
}
