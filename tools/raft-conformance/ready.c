/* Readys and the storage threads. A node whose storage is synchronous does what the threads would
 * do at once, in the same order. */
#include <string.h>

#include "base/assert.h"
#include "raft-conformance/describe.h"

/* A node's own snapshot is what it applied alone, its configuration too, even when it began with
 * another's snapshot: so do the nodes that the scripts were made with. */
static const char *write_down(struct node *node, const struct pd_raft_snapshot_meta *snapshot,
                              const struct pd_raft_entry *entries, uint32_t count)
{
    if (snapshot != NULL && snapshot->index != 0) {
        if (count > 0) {
            return "can't apply snapshot and entries at the same time";
        }
        if (!storage_install(&node->storage, snapshot)) {
            return "requested index is older than the existing snapshot";
        }
        return NULL;
    }
    return storage_append(&node->storage, entries, count);
}

static void apply(struct node *node, const struct pd_raft_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct pd_raft_entry *entry = &entries[i];
        if (entry->type != PD_RAFT_ENTRY_NORMAL) {
            struct pd_raft_conf_change change;
            enum pd_status status = pd_raft_conf_change_decode(entry->type, entry->data, &change);
            pd_assert(status == PD_OK);
            (void)pd_raft_apply_conf_change(node->raft, &change, false, &node->applied.conf);
        }
        node->applied.index = entry->index;
        node->applied.term = entry->term;
        pd_raft_snapshot_available(node->raft, &node->applied);
    }
}

static struct packet done_packet(const struct node *node, const struct pd_raft_ready *ready)
{
    return (struct packet){.kind = PACKET_APPEND_DONE,
                           .mark = ready->append_mark,
                           .message = {.from = APPEND_THREAD,
                                       .to = node->id,
                                       .term = ready->append_mark.term,
                                       .log_term = ready->append_mark.log_term,
                                       .index = ready->append_mark.index,
                                       .snapshot = ready->snapshot}};
}

/* What an asynchronous node asks of its storage. */
static void add_storage_packets(struct environment *environment, const struct node *node,
                                const struct pd_raft_ready *ready, struct packets *messages)
{
    const struct pd_raft_hard_state *hard = &ready->hard_state;
    if (ready->append_ticket != 0) {
        struct packet append = {.kind = PACKET_APPEND,
                                .message = {.from = node->id,
                                            .to = APPEND_THREAD,
                                            .entries = ready->entries,
                                            .entry_count = ready->entry_count,
                                            .snapshot = ready->snapshot}};
        if (ready->hard_state_changed) {
            append.message.term = hard->term;
            append.message.commit = hard->commit;
            append.vote = hard->vote;
        }
        append.responses =
            arena_alloc(environment, (ready->after_append_count + 1) * sizeof(struct packet));
        for (uint32_t i = 0; i < ready->after_append_count; i++) {
            append.responses[append.response_count++] =
                copy_message(environment, &ready->after_append[i]);
        }
        if (ready->append_mark.index != 0 || ready->append_mark.snapshot_index != 0) {
            append.responses[append.response_count++] = done_packet(node, ready);
        }
        packets_add(messages, &append);
    }
    if (ready->committed_count > 0) {
        struct packet apply_packet = {.kind = PACKET_APPLY,
                                      .message = {.from = node->id,
                                                  .to = APPLY_THREAD,
                                                  .entries = ready->committed,
                                                  .entry_count = ready->committed_count},
                                      .responses = arena_alloc(environment, sizeof(struct packet)),
                                      .response_count = 1};
        apply_packet.responses[0] = apply_packet;
        apply_packet.responses[0].kind = PACKET_APPLY_DONE;
        apply_packet.responses[0].message.from = APPLY_THREAD;
        apply_packet.responses[0].message.to = node->id;
        apply_packet.responses[0].response_count = 0;
        packets_add(messages, &apply_packet);
    }
}

/* A copy that outlives the next call of the core. */
static void copy_ready(struct environment *environment, struct pd_raft_ready *ready)
{
    ready->entries = copy_entries(environment, ready->entries, ready->entry_count);
    ready->committed = copy_entries(environment, ready->committed, ready->committed_count);
    if (ready->snapshot != NULL) {
        struct pd_raft_snapshot_meta *snapshot = arena_alloc(environment, sizeof *snapshot);
        *snapshot = *ready->snapshot;
        ready->snapshot = snapshot;
    }
}

static void finish_at_once(struct node *node, const struct pd_raft_ready *ready,
                           const struct packets *own)
{
    for (uint32_t i = 0; i < own->count; i++) {
        (void)!pd_raft_step(node->raft, &own->items[i].message);
    }
    if (ready->append_ticket != 0) {
        pd_raft_append_done(node->raft, &ready->append_mark);
    }
    if (ready->committed_count > 0) {
        pd_raft_apply_done(node->raft, ready->committed[ready->committed_count - 1].index);
    }
}

static void send_out(struct environment *environment, struct node *node,
                     const struct packets *messages)
{
    for (uint32_t i = 0; i < messages->count; i++) {
        const struct packet *packet = &messages->items[i];
        if (packet->kind == PACKET_APPEND) {
            packets_add(&node->append_work, packet);
        } else if (packet->kind == PACKET_APPLY) {
            packets_add(&node->apply_work, packet);
        } else {
            packets_add(&environment->messages, packet);
        }
    }
}

const char *process_ready(struct environment *environment, struct node *node)
{
    struct pd_raft_ready ready;
    struct packets messages = {0};
    struct packets own = {0};
    const char *wrong = NULL;
    pd_raft_ready(node->raft, &ready);
    copy_ready(environment, &ready);
    for (uint32_t i = 0; i < ready.message_count; i++) {
        struct packet packet = copy_message(environment, &ready.messages[i]);
        packets_add(&messages, &packet);
    }
    if (node->is_async) {
        add_storage_packets(environment, node, &ready, &messages);
    } else {
        for (uint32_t i = 0; i < ready.after_append_count; i++) {
            struct packet packet = copy_message(environment, &ready.after_append[i]);
            packets_add(packet.message.to == node->id ? &own : &messages, &packet);
        }
    }
    if (environment->level != LEVEL_NONE) {
        describe_ready(environment->output, &ready, &messages);
    }
    if (!node->is_async) {
        wrong = write_down(node, ready.snapshot, ready.entries, ready.entry_count);
    }
    if (wrong == NULL && !node->is_async) {
        apply(node, ready.committed, ready.committed_count);
        send_out(environment, node, &messages);
        finish_at_once(node, &ready, &own);
    } else if (wrong == NULL) {
        send_out(environment, node, &messages);
    }
    pd_raft_check(node->raft);
    packets_free(&messages);
    packets_free(&own);
    return wrong;
}

static void print_packet(struct environment *environment, const struct packet *packet)
{
    struct text line = {0};
    describe_packet(&line, packet);
    print(environment, "%s\n", line.bytes);
    text_free(&line);
}

/* The work first in line, told without its responses. */
static struct packet begin_work(struct environment *environment, struct packets *work)
{
    struct packet packet = packets_take(work);
    uint32_t response_count = packet.response_count;
    packet.response_count = 0;
    print(environment, "Processing:\n");
    print_packet(environment, &packet);
    packet.response_count = response_count;
    return packet;
}

static void end_work(struct environment *environment, const struct packet *packet)
{
    print(environment, "Responses:\n");
    for (uint32_t i = 0; i < packet->response_count; i++) {
        print_packet(environment, &packet->responses[i]);
        packets_add(&environment->messages, &packet->responses[i]);
    }
}

const char *process_append_thread(struct environment *environment, struct node *node)
{
    if (node->append_work.count == 0) {
        print(environment, "no append work to perform");
        return NULL;
    }
    struct packet packet = begin_work(environment, &node->append_work);
    const char *wrong = write_down(node, packet.message.snapshot, packet.message.entries,
                                   packet.message.entry_count);
    if (wrong == NULL) {
        end_work(environment, &packet);
    }
    return wrong;
}

const char *process_apply_thread(struct environment *environment, struct node *node)
{
    if (node->apply_work.count == 0) {
        print(environment, "no apply work to perform");
        return NULL;
    }
    struct packet packet = begin_work(environment, &node->apply_work);
    apply(node, packet.message.entries, packet.message.entry_count);
    end_work(environment, &packet);
    return NULL;
}
