#include "cli/cluster_members.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static enum pd_status fail(struct pd_node_client *client, enum pd_status status, const char *text)
{
    (void)snprintf(client->text, sizeof client->text, "%s", text);
    return status;
}

enum pd_status pd_cluster_members_read(struct pd_node_client *client,
                                       struct pd_cluster_members *members_out)
{
    const struct pd_replica_request_head request = {.kind = PD_REPLICA_REQUEST_MEMBERS};
    struct pd_replica_answer_head answer;
    struct pd_kv_reader reader;
    *members_out = (struct pd_cluster_members){0};
    enum pd_status status = pd_node_client_call(client, &request, &answer);
    if (status != PD_OK) {
        return status;
    }
    if (answer.outcome != PD_REPLICA_OK) {
        return fail(client, PD_ERR_DENIED, pd_replica_outcome_text(answer.outcome));
    }
    members_out->bytes = pd_alloc(answer.body.size + 1);
    if (members_out->bytes == NULL) {
        return fail(client, PD_ERR_NO_MEMORY, "no memory");
    }
    memcpy(members_out->bytes, answer.body.bytes, answer.body.size);
    members_out->leader = answer.leader;
    pd_kv_reader_init(&reader, (struct pd_span){members_out->bytes, answer.body.size});
    while (members_out->count < PD_CLUSTER_MEMBERS_MAX &&
           pd_members_next(&reader, &members_out->items[members_out->count])) {
        members_out->count++;
    }
    if (!pd_kv_answer_is_whole(&reader)) {
        pd_cluster_members_free(members_out);
        return fail(client, PD_ERR_CORRUPT,
                    "the node's answer cannot be read: is it of another version?");
    }
    return PD_OK;
}

bool pd_cluster_id_read(struct pd_node_client *client, uint64_t *cluster_id_out)
{
    const struct pd_replica_request_head request = {.kind = PD_REPLICA_REQUEST_STATUS};
    struct pd_replica_answer_head answer;
    if (pd_node_client_call(client, &request, &answer) != PD_OK) {
        return false;
    }
    json_t *status = json_loadb((const char *)answer.body.bytes, answer.body.size, 0, NULL);
    const char *text = json_string_value(json_object_get(status, "cluster"));
    *cluster_id_out = text == NULL ? 0 : strtoull(text, NULL, 16);
    json_decref(status);
    if (*cluster_id_out == 0) {
        (void)fail(client, PD_ERR_CORRUPT, "the node does not say of which cluster it is");
    }
    return *cluster_id_out != 0;
}

void pd_cluster_members_free(struct pd_cluster_members *members)
{
    pd_free(members->bytes);
    members->bytes = NULL;
    members->count = 0;
}

const struct pd_members_item *pd_cluster_members_find(const struct pd_cluster_members *members,
                                                      const char *word, bool *is_ambiguous_out)
{
    const struct pd_members_item *found = NULL;
    char *end = NULL;
    errno = 0;
    uint64_t node = strtoull(word, &end, 16);
    bool is_id = errno == 0 && end != word && *end == '\0';
    *is_ambiguous_out = false;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct pd_members_item *item = &members->items[i];
        const struct pd_span *name = &item->member.name;
        if (is_id && item->member.node == node) {
            *is_ambiguous_out = false;
            return item;
        }
        if (name->size == strlen(word) && name->size > 0 &&
            memcmp(name->bytes, word, name->size) == 0) {
            *is_ambiguous_out = found != NULL;
            found = item;
        }
    }
    return *is_ambiguous_out ? NULL : found;
}

const char *pd_cluster_standing_text(const struct pd_cluster_members *members,
                                     const struct pd_members_item *item)
{
    if (item->member.node == members->leader) {
        return "leader";
    }
    switch (item->standing) {
    case PD_MEMBERS_VOTER:
        return "voter";
    case PD_MEMBERS_LEARNER:
        return "learner";
    case PD_MEMBERS_NONE:
        break;
    }
    return item->member.role == PD_KV_MEMBER_WORKER ? "worker" : "no member yet";
}
