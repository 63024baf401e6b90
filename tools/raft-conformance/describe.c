#include "raft-conformance/describe.h"

#include <inttypes.h>

#include "raft-conformance/changes.h"
#include "raft/trace.h"

static void add_entry(struct text *output, const struct pd_raft_entry *entry)
{
    static const char *const names[] = {"EntryNormal", "EntryConfChange", "EntryConfChangeV2"};
    text_add(output, "%" PRIu64 "/%" PRIu64 " %s", entry->term, entry->index, names[entry->type]);
    if (entry->type == PD_RAFT_ENTRY_NORMAL) {
        text_add(output, " ");
        text_add_quoted(output, entry->data.bytes, entry->data.size);
        return;
    }
    struct pd_raft_conf_change change;
    if (pd_raft_conf_change_decode(entry->type, entry->data, &change) != PD_OK) {
        text_add(output, " (corrupt)");
    } else if (change.count > 0) {
        text_add(output, " ");
        changes_write(&change, output);
    }
}

void describe_entries(struct text *output, const struct pd_raft_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        add_entry(output, &entries[i]);
        text_add(output, "\n");
    }
}

static void add_target(struct text *output, pd_raft_node node)
{
    if (node == APPEND_THREAD) {
        text_add(output, "AppendThread");
    } else if (node == APPLY_THREAD) {
        text_add(output, "ApplyThread");
    } else if (node == 0) {
        text_add(output, "None");
    } else {
        text_add(output, "%" PRIx64, node);
    }
}

static void add_set(struct text *output, const char *name, const pd_raft_node *nodes,
                    uint32_t count)
{
    text_add(output, "%s:[", name);
    for (uint32_t i = 0; i < count; i++) {
        text_add(output, "%s%" PRIu64, i == 0 ? "" : " ", nodes[i]);
    }
    text_add(output, "] ");
}

static void add_snapshot(struct text *output, const struct pd_raft_snapshot_meta *snapshot)
{
    const struct pd_raft_conf *conf = &snapshot->conf;
    text_add(output, "Index:%" PRIu64 " Term:%" PRIu64 " ConfState:", snapshot->index,
             snapshot->term);
    add_set(output, "Voters", conf->voters, conf->voter_count);
    add_set(output, "VotersOutgoing", conf->voters_outgoing, conf->voter_outgoing_count);
    add_set(output, "Learners", conf->learners, conf->learner_count);
    add_set(output, "LearnersNext", conf->learners_next, conf->learner_next_count);
    text_add(output, "AutoLeave:%s", conf->auto_leave ? "true" : "false");
}

static const char *packet_name(const struct packet *packet)
{
    switch (packet->kind) {
    case PACKET_RAFT:
        break;
    case PACKET_APPEND:
        return "MsgStorageAppend";
    case PACKET_APPEND_DONE:
        return "MsgStorageAppendResp";
    case PACKET_APPLY:
        return "MsgStorageApply";
    case PACKET_APPLY_DONE:
        return "MsgStorageApplyResp";
    }
    return pd_raft_message_text(packet->message.type);
}

/* All but the responses. */
static void add_head(struct text *output, const char *indent, const struct packet *packet)
{
    const struct pd_raft_message *message = &packet->message;
    text_add(output, "%s", indent);
    add_target(output, message->from);
    text_add(output, "->");
    add_target(output, message->to);
    text_add(output, " %s Term:%" PRIu64 " Log:%" PRIu64 "/%" PRIu64, packet_name(packet),
             message->term, message->log_term, message->index);
    if (message->reject) {
        text_add(output, " Rejected (Hint: %" PRIu64 ")", message->reject_hint);
    }
    if (message->commit != 0) {
        text_add(output, " Commit:%" PRIu64, message->commit);
    }
    if (packet->vote != 0) {
        text_add(output, " Vote:%" PRIu64, packet->vote);
    }
    if (message->entry_count == 1) {
        text_add(output, " Entries:[");
        add_entry(output, &message->entries[0]);
        text_add(output, "]");
    } else if (message->entry_count > 1) {
        text_add(output, " Entries:[");
        for (uint32_t i = 0; i < message->entry_count; i++) {
            text_add(output, "\n%s  ", indent);
            add_entry(output, &message->entries[i]);
        }
        text_add(output, "\n%s]", indent);
    }
    if (message->snapshot != NULL && message->snapshot->index != 0) {
        text_add(output, "\n%s  Snapshot: ", indent);
        add_snapshot(output, message->snapshot);
    }
}

void describe_packet(struct text *output, const struct packet *packet)
{
    add_head(output, "", packet);
    if (packet->response_count > 0) {
        text_add(output, " Responses:[");
        for (uint32_t i = 0; i < packet->response_count; i++) {
            text_add(output, "\n");
            add_head(output, "  ", &packet->responses[i]);
        }
        text_add(output, "\n]");
    }
}

void describe_ready(struct text *output, const struct pd_raft_ready *ready,
                    const struct packets *messages)
{
    struct text body = {0};
    if (ready->soft_state_changed) {
        text_add(&body, "Lead:%" PRIu64 " State:%s\n", ready->leader,
                 pd_raft_role_text(ready->role));
    }
    if (ready->hard_state_changed) {
        text_add(&body, "HardState Term:%" PRIu64, ready->hard_state.term);
        if (ready->hard_state.vote != 0) {
            text_add(&body, " Vote:%" PRIu64, ready->hard_state.vote);
        }
        text_add(&body, " Commit:%" PRIu64 "\n", ready->hard_state.commit);
    }
    if (ready->entry_count > 0) {
        text_add(&body, "Entries:\n");
        describe_entries(&body, ready->entries, ready->entry_count);
    }
    if (ready->snapshot != NULL && ready->snapshot->index != 0) {
        text_add(&body, "Snapshot ");
        add_snapshot(&body, ready->snapshot);
        text_add(&body, "\n");
    }
    if (ready->committed_count > 0) {
        text_add(&body, "CommittedEntries:\n");
        describe_entries(&body, ready->committed, ready->committed_count);
    }
    if (messages->count > 0) {
        text_add(&body, "Messages:\n");
        for (uint32_t i = 0; i < messages->count; i++) {
            describe_packet(&body, &messages->items[i]);
            text_add(&body, "\n");
        }
    }
    if (body.size > 0) {
        text_add(output, "Ready MustSync=%s:\n%s", ready->must_sync ? "true" : "false", body.bytes);
    } else {
        text_add(output, "<empty Ready>");
    }
    text_free(&body);
}
