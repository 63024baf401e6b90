#include "cli/cluster_members.h"

#include <errno.h>
#include <inttypes.h>
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

static void take_heard(struct pd_cluster_members *members, const struct pd_members_heard *heard)
{
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->items[i].member.node == heard->node) {
            members->heard[i] = *heard;
        }
    }
}

void pd_cluster_heard_read(struct pd_node_client *client, struct pd_cluster_members *members)
{
    const struct pd_replica_request_head request = {.kind = PD_REPLICA_REQUEST_HEARD};
    struct pd_replica_answer_head answer;
    struct pd_members_heard heard;
    struct pd_kv_reader reader;
    if (pd_node_client_call(client, &request, &answer) != PD_OK ||
        answer.outcome != PD_REPLICA_OK) {
        return;
    }
    pd_kv_reader_init(&reader, answer.body);
    while (pd_members_heard_next(&reader, &heard)) {
        take_heard(members, &heard);
    }
    members->is_heard_known = !reader.is_bad;
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

static bool is_asked(const struct pd_cluster_members *members, uint32_t at)
{
    return members->is_heard_known && members->heard[at].node != 0;
}

const char *pd_cluster_heard_text(const struct pd_cluster_members *members, uint32_t at,
                                  char room[PD_CLUSTER_HEARD_TEXT_MAX])
{
    const struct pd_members_heard *heard = &members->heard[at];
    if (members->items[at].standing == PD_MEMBERS_NONE) {
        return "";
    }
    if (!is_asked(members, at)) {
        return "?";
    }
    if (heard->answers) {
        return heard->is_behind ? "behind" : "up";
    }
    uint64_t silent_s = (heard->silent_ms + 999) / 1000;
    if (silent_s < 600) {
        (void)snprintf(room, PD_CLUSTER_HEARD_TEXT_MAX, "down %" PRIu64 " s", silent_s);
    } else {
        (void)snprintf(room, PD_CLUSTER_HEARD_TEXT_MAX, "down %" PRIu64 " min", silent_s / 60);
    }
    return room;
}

struct pd_cluster_voters pd_cluster_voters_of(const struct pd_cluster_members *members)
{
    struct pd_cluster_voters voters = {.count = 0};
    for (uint32_t i = 0; i < members->count; i++) {
        const struct pd_members_heard *heard = &members->heard[i];
        if (members->items[i].standing == PD_MEMBERS_VOTER) {
            voters.count++;
            voters.down += is_asked(members, i) && !heard->answers;
            voters.behind += is_asked(members, i) && heard->is_behind;
        }
    }
    uint32_t lacking = voters.down + voters.behind;
    uint32_t most = voters.count == 0 ? 0 : (voters.count - 1) / 2;
    voters.may_fail = most > lacking ? most - lacking : 0;
    return voters;
}

void pd_cluster_lacking_text(const struct pd_cluster_voters *voters,
                             char room[PD_CLUSTER_LACKING_TEXT_MAX])
{
    char down[32] = "";
    char behind[32] = "";
    room[0] = '\0';
    if (voters->down > 0) {
        (void)snprintf(down, sizeof down, "%s down", voters->down == 1 ? "is" : "are");
    }
    if (voters->behind > 0) {
        (void)snprintf(behind, sizeof behind, "%s behind", voters->behind == 1 ? "is" : "are");
    }
    if (voters->down > 0 && voters->behind > 0) {
        (void)snprintf(room, PD_CLUSTER_LACKING_TEXT_MAX,
                       " (of %" PRIu32 " voters %" PRIu32 " %s, %" PRIu32 " %s)", voters->count,
                       voters->down, down, voters->behind, behind);
    } else if (voters->down > 0 || voters->behind > 0) {
        (void)snprintf(room, PD_CLUSTER_LACKING_TEXT_MAX, " (%" PRIu32 " of %" PRIu32 " voters %s)",
                       voters->down + voters->behind, voters->count,
                       voters->down > 0 ? down : behind);
    }
}
