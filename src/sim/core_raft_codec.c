/* Messages, commands and log records of the raft-only core, as bytes. */
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "sim/core_raft.h"
#include "sim/queue.h"

#define RECORD_HEAD 16u /* size u32, kind u32, hash u64 */

enum record_kind {
    RECORD_IDENTITY = 1,
    RECORD_ENTRY,
    RECORD_HARD_STATE,
    RECORD_SNAPSHOT
};

struct reader {
    const uint8_t *at;
    size_t left;
    bool is_bad;
};

void pd_sim_bytes_room(struct pd_sim_bytes *bytes, size_t more)
{
    bytes->bytes = pd_sim_grow(bytes->bytes, &bytes->capacity, bytes->size + more, 1);
}

static void put(struct pd_sim_bytes *bytes, uint64_t value)
{
    pd_sim_bytes_room(bytes, 8);
    pd_put_u64(bytes->bytes + bytes->size, value);
    bytes->size += 8;
}

static void put_bytes(struct pd_sim_bytes *bytes, const void *from, size_t size)
{
    put(bytes, size);
    pd_sim_bytes_room(bytes, size + 1);
    if (size > 0) {
        memcpy(bytes->bytes + bytes->size, from, size);
    }
    bytes->size += size;
}

static uint64_t get(struct reader *reader)
{
    if (reader->left < 8) {
        reader->is_bad = true;
        return 0;
    }
    uint64_t value = pd_get_u64(reader->at);
    reader->at += 8;
    reader->left -= 8;
    return value;
}

static struct pd_span get_span(struct reader *reader)
{
    uint64_t size = get(reader);
    if (reader->is_bad || size > reader->left) {
        reader->is_bad = true;
        return (struct pd_span){0};
    }
    const struct pd_span span = {reader->at, (size_t)size};
    reader->at += size;
    reader->left -= (size_t)size;
    return span;
}

/* -- Commands ---------------------------------------------------------------------------------- */

void pd_sim_command_encode(const struct pd_sim_request *request, uint8_t bytes[PD_SIM_COMMAND_SIZE])
{
    const uint64_t fields[PD_SIM_COMMAND_SIZE / 8] = {
        request->client, request->session, request->sequence, (uint64_t)request->op,
        request->key,    request->value,   request->expected,
    };
    for (size_t i = 0; i < PD_SIM_COMMAND_SIZE / 8; i++) {
        pd_put_u64(bytes + 8 * i, fields[i]);
    }
}

bool pd_sim_command_decode(struct pd_span data, struct pd_sim_request *request_out)
{
    struct reader reader = {data.bytes, data.size, false};
    struct pd_sim_request request = {0};
    request.client = (uint32_t)get(&reader);
    request.session = get(&reader);
    request.sequence = get(&reader);
    request.op = (enum pd_sim_op)get(&reader);
    request.key = (uint32_t)get(&reader);
    request.value = get(&reader);
    request.expected = get(&reader);
    *request_out = request;
    return !reader.is_bad && reader.left == 0 && request.client < PD_SIM_CLIENTS_MAX &&
           request.key < PD_SIM_KEYS_MAX;
}

/* -- Configurations and messages --------------------------------------------------------------- */

static void put_nodes(struct pd_sim_bytes *bytes, const pd_raft_node *nodes, uint32_t count)
{
    put(bytes, count);
    for (uint32_t i = 0; i < count; i++) {
        put(bytes, nodes[i]);
    }
}

static void get_nodes(struct reader *reader, pd_raft_node *nodes, uint32_t *count_out)
{
    uint64_t count = get(reader);
    if (count > PD_RAFT_MEMBERS_MAX) {
        reader->is_bad = true;
        count = 0;
    }
    *count_out = (uint32_t)count;
    for (uint64_t i = 0; i < count; i++) {
        nodes[i] = get(reader);
    }
}

static void put_meta(struct pd_sim_bytes *bytes, const struct pd_raft_snapshot_meta *meta)
{
    put(bytes, meta->index);
    put(bytes, meta->term);
    put_nodes(bytes, meta->conf.voters, meta->conf.voter_count);
    put_nodes(bytes, meta->conf.voters_outgoing, meta->conf.voter_outgoing_count);
    put_nodes(bytes, meta->conf.learners, meta->conf.learner_count);
    put_nodes(bytes, meta->conf.learners_next, meta->conf.learner_next_count);
    put(bytes, meta->conf.auto_leave ? 1 : 0);
}

static void get_meta(struct reader *reader, struct pd_raft_snapshot_meta *meta_out)
{
    *meta_out = (struct pd_raft_snapshot_meta){0};
    meta_out->index = get(reader);
    meta_out->term = get(reader);
    struct pd_raft_conf *conf = &meta_out->conf;
    get_nodes(reader, conf->voters, &conf->voter_count);
    get_nodes(reader, conf->voters_outgoing, &conf->voter_outgoing_count);
    get_nodes(reader, conf->learners, &conf->learner_count);
    get_nodes(reader, conf->learners_next, &conf->learner_next_count);
    conf->auto_leave = get(reader) != 0;
}

static void put_entry(struct pd_sim_bytes *bytes, const struct pd_raft_entry *entry)
{
    put(bytes, entry->term);
    put(bytes, entry->index);
    put(bytes, (uint64_t)entry->type);
    put_bytes(bytes, entry->data.bytes, entry->data.size);
}

static void get_entry(struct reader *reader, struct pd_raft_entry *entry_out)
{
    entry_out->term = get(reader);
    entry_out->index = get(reader);
    entry_out->type = (enum pd_raft_entry_type)get(reader);
    entry_out->data = get_span(reader);
}

void pd_sim_message_encode(struct pd_sim_bytes *bytes, const struct pd_raft_message *message,
                           const struct pd_sim_registers *state)
{
    const uint64_t fields[] = {
        (uint64_t)message->type,
        message->group_id,
        message->from,
        message->to,
        message->term,
        message->log_term,
        message->index,
        message->commit,
        message->reject_hint,
        message->session,
        message->token,
        message->reject ? 1 : 0,
        message->is_transfer ? 1 : 0,
        message->entry_count,
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        put(bytes, fields[i]);
    }
    for (uint32_t i = 0; i < message->entry_count; i++) {
        put_entry(bytes, &message->entries[i]);
    }
    put(bytes, message->snapshot != NULL ? 1 : 0);
    if (message->snapshot != NULL) {
        put_meta(bytes, message->snapshot);
        put(bytes, state != NULL ? 1 : 0);
    }
    if (message->snapshot != NULL && state != NULL) {
        put(bytes, state->revision);
        put_bytes(bytes, state->keys, sizeof state->keys);
        put_bytes(bytes, state->sessions, sizeof state->sessions);
    }
}

static void get_state(struct reader *reader, const struct pd_raft_snapshot_meta *meta,
                      struct pd_sim_registers *state)
{
    state->applied = meta->index;
    state->term = meta->term;
    state->conf = meta->conf;
    state->revision = get(reader);
    struct pd_span keys = get_span(reader);
    struct pd_span sessions = get_span(reader);
    if (keys.size != sizeof state->keys || sessions.size != sizeof state->sessions) {
        reader->is_bad = true;
        return;
    }
    memcpy(state->keys, keys.bytes, keys.size);
    memcpy(state->sessions, sessions.bytes, sessions.size);
}

bool pd_sim_message_decode(struct pd_span bytes, struct pd_raft_message *message_out,
                           struct pd_sim_decoded *decoded, struct pd_sim_registers *state_out)
{
    struct reader reader = {bytes.bytes, bytes.size, false};
    struct pd_raft_message message = {0};
    message.type = (enum pd_raft_message_type)get(&reader);
    message.group_id = (uint32_t)get(&reader);
    message.from = get(&reader);
    message.to = get(&reader);
    message.term = get(&reader);
    message.log_term = get(&reader);
    message.index = get(&reader);
    message.commit = get(&reader);
    message.reject_hint = get(&reader);
    message.session = get(&reader);
    message.token = get(&reader);
    message.reject = get(&reader) != 0;
    message.is_transfer = get(&reader) != 0;
    message.entry_count = (uint32_t)get(&reader);
    if (reader.is_bad || message.entry_count > PD_SIM_DECODED_ENTRIES_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < message.entry_count; i++) {
        get_entry(&reader, &decoded->entries[i]);
    }
    message.entries = decoded->entries;
    if (get(&reader) != 0) {
        get_meta(&reader, &decoded->snapshot);
        message.snapshot = &decoded->snapshot;
        if (get(&reader) != 0 && state_out != NULL) {
            get_state(&reader, &decoded->snapshot, state_out);
        }
    }
    *message_out = message;
    return !reader.is_bad;
}

void pd_sim_message_append(struct pd_sim_bytes *list, const struct pd_raft_message *message)
{
    size_t head = list->size;
    put(list, 0);
    pd_sim_message_encode(list, message, NULL);
    pd_put_u64(list->bytes + head, list->size - head - 8);
}

bool pd_sim_message_next(const struct pd_sim_bytes *list, size_t *at,
                         struct pd_raft_message *message_out, struct pd_sim_decoded *decoded)
{
    if (*at >= list->size) {
        return false;
    }
    size_t size = (size_t)pd_get_u64(list->bytes + *at);
    const struct pd_span bytes = {list->bytes + *at + 8, size};
    *at += 8 + size;
    return pd_sim_message_decode(bytes, message_out, decoded, NULL);
}

/* -- Records ----------------------------------------------------------------------------------- */

static size_t begin_record(struct pd_sim_bytes *bytes)
{
    size_t head = bytes->size;
    put(bytes, 0);
    put(bytes, 0);
    return head;
}

static void end_record(struct pd_sim_bytes *bytes, size_t head, enum record_kind kind)
{
    size_t size = bytes->size - head - RECORD_HEAD;
    const uint8_t *body = bytes->bytes + head + RECORD_HEAD;
    pd_put_u32(bytes->bytes + head, (uint32_t)size);
    pd_put_u32(bytes->bytes + head + 4, (uint32_t)kind);
    pd_put_u64(bytes->bytes + head + 8, pd_hash_bytes((uint64_t)kind, body, size));
}

void pd_sim_record_identity(struct pd_sim_bytes *bytes, uint64_t node)
{
    size_t head = begin_record(bytes);
    put(bytes, node);
    end_record(bytes, head, RECORD_IDENTITY);
}

void pd_sim_record_entry(struct pd_sim_bytes *bytes, const struct pd_raft_entry *entry)
{
    size_t head = begin_record(bytes);
    put_entry(bytes, entry);
    end_record(bytes, head, RECORD_ENTRY);
}

void pd_sim_record_hard_state(struct pd_sim_bytes *bytes, const struct pd_raft_hard_state *state)
{
    size_t head = begin_record(bytes);
    put(bytes, state->term);
    put(bytes, state->vote);
    put(bytes, state->commit);
    end_record(bytes, head, RECORD_HARD_STATE);
}

void pd_sim_record_snapshot(struct pd_sim_bytes *bytes, const struct pd_raft_snapshot_meta *meta)
{
    size_t head = begin_record(bytes);
    put_meta(bytes, meta);
    end_record(bytes, head, RECORD_SNAPSHOT);
}

/* The next whole record; false: none. */
static bool next_record(const struct pd_sim_bytes *bytes, size_t *at, enum record_kind *kind_out,
                        struct reader *body_out)
{
    if (bytes->size < *at + RECORD_HEAD) {
        return false;
    }
    const uint8_t *head = bytes->bytes + *at;
    size_t size = pd_get_u32(head);
    uint32_t kind = pd_get_u32(head + 4);
    if (size > bytes->size - *at - RECORD_HEAD || kind < RECORD_IDENTITY ||
        kind > RECORD_SNAPSHOT ||
        pd_hash_bytes(kind, head + RECORD_HEAD, size) != pd_get_u64(head + 8)) {
        return false;
    }
    *kind_out = (enum record_kind)kind;
    *body_out = (struct reader){head + RECORD_HEAD, size, false};
    *at += RECORD_HEAD + size;
    return true;
}

void pd_sim_records_read(const struct pd_sim_bytes *bytes, struct pd_sim_recovered *recovered_out)
{
    size_t at = 0;
    enum record_kind kind = RECORD_IDENTITY;
    struct reader body;
    size_t begin = 0;
    while (next_record(bytes, &at, &kind, &body)) {
        struct pd_sim_bytes *entries = &recovered_out->entries;
        switch (kind) {
        case RECORD_IDENTITY:
            recovered_out->identity = get(&body);
            break;
        case RECORD_ENTRY:
            pd_sim_bytes_room(entries, at - begin);
            memcpy(entries->bytes + entries->size, bytes->bytes + begin, at - begin);
            entries->size += at - begin;
            break;
        case RECORD_HARD_STATE:
            recovered_out->hard_state.term = get(&body);
            recovered_out->hard_state.vote = get(&body);
            recovered_out->hard_state.commit = get(&body);
            break;
        case RECORD_SNAPSHOT:
            entries->size = 0; /* what was before it, raft dropped */
            break;
        }
        begin = at;
    }
    recovered_out->end = at;
}

bool pd_sim_entry_next(const struct pd_sim_bytes *bytes, size_t *at,
                       struct pd_raft_entry *entry_out)
{
    enum record_kind kind = RECORD_ENTRY;
    struct reader body;
    if (bytes->size == 0 || !next_record(bytes, at, &kind, &body) || kind != RECORD_ENTRY) {
        return false;
    }
    get_entry(&body, entry_out);
    return !body.is_bad;
}
