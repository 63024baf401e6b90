/* Any messages, in any order, between ticks, proposals, changes and writes: a core never trips an
 * assertion, and its invariants hold after every step. The input is a script: one byte chooses what
 * happens, small numbers follow. */
#include <stdlib.h>
#include <string.h>

#include "raft/raft.h"

#define STEPS_MAX 400
#define ENTRIES_MAX 4u
#define PENDING_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct script {
    const uint8_t *bytes;
    size_t size;
    size_t at;
};

struct pending {
    struct pd_raft_append_mark mark;
    struct pd_raft_message own[16];
    uint32_t own_count;
};

struct world {
    struct pd_raft *raft;
    struct pending pending[PENDING_MAX];
    uint32_t pending_count;
    uint64_t applied;
    uint64_t session; /* last seen, so that answers can be plausible */
    uint64_t token;
    uint64_t now_ns;
};

static uint8_t next_byte(struct script *script)
{
    return script->at < script->size ? script->bytes[script->at++] : 0;
}

/* Small mostly, now and then as large as it gets. */
static uint64_t next_number(struct script *script)
{
    uint8_t byte = next_byte(script);
    return byte < 250 ? byte % 32u : UINT64_MAX - (255u - byte);
}

static struct pd_raft_conf next_conf(struct script *script)
{
    struct pd_raft_conf conf = {.voter_count = 0};
    uint8_t voters = next_byte(script);
    uint8_t outgoing = next_byte(script);
    uint8_t learners = next_byte(script);
    for (uint32_t node = 1; node <= 5; node++) {
        if ((voters >> node & 1u) != 0) {
            conf.voters[conf.voter_count++] = node;
        }
        if ((outgoing >> node & 1u) != 0 && (outgoing & 0x80u) != 0) {
            conf.voters_outgoing[conf.voter_outgoing_count++] = node;
        }
        if ((learners >> node & 1u) != 0) {
            conf.learners[conf.learner_count++] = node;
        }
    }
    conf.auto_leave = (learners & 0x80u) != 0;
    return conf;
}

static void step_message(struct world *world, struct script *script)
{
    struct pd_raft_entry entries[ENTRIES_MAX];
    struct pd_raft_snapshot_meta snapshot;
    struct pd_raft_status status;
    pd_raft_status(world->raft, &status);
    uint8_t near = next_byte(script); /* bits: use values that fit the core's state */
    struct pd_raft_message message = {
        .type = (enum pd_raft_message_type)(next_byte(script) % 20u),
        .group_id = 0,
        .from = next_byte(script) % 7u,
        .to = 1,
        .term = (near & 1u) != 0 ? status.hard_state.term : next_number(script),
        .log_term = next_number(script),
        .index = (near & 2u) != 0 ? status.last_index : next_number(script),
        .commit = next_number(script),
        .reject_hint = next_number(script),
        .session = (near & 4u) != 0 ? world->session : next_number(script),
        .token = (near & 8u) != 0 ? world->token : next_number(script),
        .reject = (near & 16u) != 0,
        .is_transfer = (near & 32u) != 0,
        .entries = entries,
    };
    message.entry_count = next_byte(script) % (ENTRIES_MAX + 1);
    for (uint32_t i = 0; i < message.entry_count; i++) {
        entries[i] = (struct pd_raft_entry){
            .term = (near & 64u) != 0 ? message.term : next_number(script),
            .index = (near & 128u) != 0 ? message.index + 1 + i : next_number(script),
            .type = (enum pd_raft_entry_type)(next_byte(script) % 4u),
        };
        entries[i].data.size = next_byte(script) % 64u;
        if (script->at + entries[i].data.size > script->size) {
            entries[i].data.size = 0;
        }
        entries[i].data.bytes = script->bytes + script->at;
    }
    if (message.type == PD_RAFT_MSG_SNAP) {
        snapshot = (struct pd_raft_snapshot_meta){
            .index = next_number(script), .term = next_number(script), .conf = next_conf(script)};
        message.snapshot = &snapshot;
    }
    /* Its own words to itself come from a Ready only. */
    if (message.from != 1) {
        enum pd_status result = pd_raft_step(world->raft, &message);
        (void)result;
    }
}

static void take_ready(struct world *world)
{
    struct pd_raft_ready ready;
    if (!pd_raft_has_ready(world->raft) || world->pending_count == PENDING_MAX) {
        return;
    }
    pd_raft_ready(world->raft, &ready);
    for (uint32_t i = 0; i < ready.message_count; i++) {
        const struct pd_raft_message *message = &ready.messages[i];
        world->session = message->session > 0 ? message->session : world->session;
        world->token = message->token > 0 ? message->token : world->token;
        for (uint32_t k = 0; k < message->entry_count; k++) {
            /* Readable, all of it. */
            const struct pd_span data = message->entries[k].data;
            volatile uint8_t sink = data.size > 0 ? data.bytes[data.size - 1] : 0;
            (void)sink;
        }
    }
    struct pending *pending = &world->pending[world->pending_count++];
    pending->mark = ready.append_mark;
    pending->own_count = 0;
    for (uint32_t i = 0; i < ready.after_append_count && pending->own_count < 16; i++) {
        if (ready.after_append[i].to == 1) {
            pending->own[pending->own_count++] = ready.after_append[i];
        }
    }
    for (uint32_t i = 0; i < ready.committed_count; i++) {
        struct pd_raft_conf_change change;
        struct pd_raft_entry entry = ready.committed[i];
        world->applied = entry.index;
        if (pd_raft_conf_change_decode(entry.type, entry.data, &change) == PD_OK) {
            (void)pd_raft_apply_conf_change(world->raft, &change, false, NULL);
            pd_raft_check(world->raft);
            break; /* what was borrowed is gone: the rest is taken as applied all the same */
        }
    }
    if (ready.committed_count > 0) {
        struct pd_raft_status status;
        pd_raft_status(world->raft, &status);
        if (world->applied > status.applied && world->applied <= status.hard_state.commit) {
            pd_raft_apply_done(world->raft, world->applied);
        }
    }
}

static void finish_write(struct world *world)
{
    if (world->pending_count == 0) {
        return;
    }
    struct pending pending = world->pending[0];
    world->pending_count--;
    memmove(world->pending, world->pending + 1, world->pending_count * sizeof pending);
    for (uint32_t i = 0; i < pending.own_count; i++) {
        enum pd_status result = pd_raft_step(world->raft, &pending.own[i]);
        (void)result;
    }
    pd_raft_append_done(world->raft, &pending.mark);
}

static void act(struct world *world, struct script *script)
{
    struct pd_raft_status status;
    uint64_t index = 0;
    enum pd_status result = PD_OK;
    uint8_t text[40] = "proposal";
    struct pd_span data = {.bytes = text, .size = next_byte(script) % sizeof text};
    struct pd_raft_conf_change change = {.count = 1};
    pd_raft_status(world->raft, &status);
    switch (next_byte(script) % 16u) {
    case 0:
    case 1:
        world->now_ns += next_byte(script);
        pd_raft_tick(world->raft, world->now_ns);
        break;
    case 2:
        result = pd_raft_campaign(world->raft);
        break;
    case 3:
        result = pd_raft_propose(world->raft, &data, 1, &index);
        break;
    case 4:
        change.count = next_byte(script) % 3u;
        for (uint32_t i = 0; i < change.count; i++) {
            change.changes[i].type = (enum pd_raft_conf_change_type)(next_byte(script) % 4u);
            change.changes[i].node = next_byte(script) % 7u;
        }
        change.transition = (enum pd_raft_conf_transition)(next_byte(script) % 3u);
        result =
            pd_raft_propose_conf_change(world->raft, &change, next_byte(script) % 2u == 0, &index);
        break;
    case 5:
        result = pd_raft_read_index(world->raft, next_byte(script));
        break;
    case 6:
        result = pd_raft_transfer(world->raft, next_byte(script) % 7u);
        break;
    case 7:
        pd_raft_report_unreachable(world->raft, next_byte(script) % 7u);
        pd_raft_report_snapshot(world->raft, next_byte(script) % 7u,
                                next_number(script) % (status.hard_state.commit + 1));
        break;
    case 8:
        pd_raft_snapshot_available(world->raft,
                                   &(struct pd_raft_snapshot_meta){.index = status.applied,
                                                                   .term = status.hard_state.term,
                                                                   .conf = status.conf});
        pd_raft_compact(world->raft, next_number(script));
        break;
    case 9:
        pd_raft_forget_leader(world->raft);
        break;
    case 10:
    case 11:
        take_ready(world);
        break;
    case 12:
        finish_write(world);
        break;
    default:
        step_message(world, script);
        break;
    }
    (void)result;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct script script = {.bytes = bytes, .size = size};
    uint8_t flags = next_byte(&script);
    struct pd_raft_config config = pd_raft_config_default();
    config.id = 1;
    config.seed = next_byte(&script);
    config.election_ticks = 3;
    config.pre_vote = (flags & 1u) != 0;
    config.check_quorum = (flags & 2u) != 0;
    config.lease_reads = (flags & 6u) == 6;
    config.lease_ns = 100;
    config.apply_unstable = (flags & 8u) != 0;
    config.step_down_on_removal = (flags & 16u) != 0;
    config.append_bytes_max = (flags & 32u) != 0 ? 0 : 100;
    config.committed_bytes_max = (flags & 64u) != 0 ? 1 : 200;
    config.uncommitted_bytes_max = 200;
    config.inflight_max = 2;
    config.inflight_bytes_max = 100;
    config.log_entries_max = 16;
    config.log_bytes_max = 512;
    config.forward_bytes_max = 64;
    config.reads_max = 4;
    config.messages_max = 62;
    struct pd_raft_restart restart = {.snapshot = {.conf = {.voter_count = 0}}};
    uint32_t voters = 1 + next_byte(&script) % 4u;
    for (uint32_t i = 0; i < voters; i++) {
        restart.snapshot.conf.voters[restart.snapshot.conf.voter_count++] = i + 1;
    }
    size_t memory_size = pd_raft_size(&config);
    void *memory = malloc(memory_size);
    struct world *world = calloc(1, sizeof *world);
    if (memory == NULL || world == NULL ||
        pd_raft_init(memory, memory_size, &config, &restart, &world->raft) != PD_OK ||
        pd_raft_start(world->raft) != PD_OK) {
        abort();
    }
    for (int i = 0; i < STEPS_MAX && script.at < script.size; i++) {
        act(world, &script);
        pd_raft_check(world->raft);
    }
    free(world);
    free(memory);
    return 0;
}
