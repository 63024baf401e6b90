/* A core's life, and looks into it. */
#include "raft/raft.h"

#include <string.h>

#include "base/assert.h"
#include "raft/raft_internal.h"
#include "raft/ring.h"

struct pd_raft_config pd_raft_config_default(void)
{
    return (struct pd_raft_config){
        .election_ticks = 10,
        .heartbeat_ticks = 1,
        .pre_vote = true,
        .check_quorum = true,
        .step_down_on_removal = true,
        .append_bytes_max = 1u << 20,
        .committed_bytes_max = 1u << 20,
        .uncommitted_bytes_max = 64u << 20,
        .inflight_max = 256,
        .inflight_bytes_max = 4u << 20, /* as a stream's window: heartbeats stand behind it */
        .log_entries_max = 65536,
        .log_bytes_max = 128u << 20,
        .forward_bytes_max = 1u << 20,
        .reads_max = 1024,
        .messages_max = 1024,
    };
}

static bool is_valid(const struct pd_raft_config *config)
{
    return config->id != 0 && config->election_ticks > config->heartbeat_ticks &&
           config->heartbeat_ticks > 0 && config->inflight_max > 0 &&
           config->inflight_max <= PD_INFLIGHTS_MAX && config->log_entries_max > 0 &&
           config->log_entries_max <= UINT32_MAX / 4 && config->log_bytes_max > 0 &&
           config->log_bytes_max < UINT64_MAX / 4 && config->forward_bytes_max < UINT64_MAX / 8 &&
           config->committed_bytes_max > 0 && config->reads_max > 0 &&
           config->messages_max >= 2 * PD_RAFT_MEMBERS_MAX &&
           config->messages_max <= UINT32_MAX / 4 && config->reads_max <= UINT32_MAX / 4 &&
           (!config->lease_reads || (config->check_quorum && config->lease_ns > 0));
}

/* Hands out parts of a memory, or only counts them when there is none. */
struct carver {
    uint8_t *memory;
    size_t used;
};

static void *carve(struct carver *carver, size_t size)
{
    void *at = carver->memory != NULL ? carver->memory + carver->used : NULL;
    carver->used += (size + 15) & ~(size_t)15;
    return at;
}

static uint32_t slots_of(const struct pd_raft_config *config)
{
    return config->log_entries_max + PD_RAFT_SPARE_SLOTS;
}

static uint64_t bytes_of(const struct pd_raft_config *config)
{
    return config->log_bytes_max + PD_RAFT_SPARE_BYTES;
}

static void carve_outbox(struct carver *carver, const struct pd_raft_config *config,
                         struct pd_raft_outbox *outbox)
{
    size_t after = (size_t)config->messages_max + PD_RAFT_SPARE_MESSAGES;
    outbox->messages = carve(carver, config->messages_max * sizeof *outbox->messages);
    outbox->epochs = carve(carver, config->messages_max * sizeof *outbox->epochs);
    outbox->after = carve(carver, after * sizeof *outbox->after);
    outbox->forward_bytes = carve(carver, (size_t)config->forward_bytes_max + 1);
    outbox->reads = carve(carver, config->reads_max * sizeof *outbox->reads);
}

static void carve_all(struct carver *carver, const struct pd_raft_config *config,
                      struct pd_raft *raft)
{
    struct pd_raft_entry *slots = carve(carver, 2 * (size_t)slots_of(config) * sizeof *slots);
    uint8_t *bytes = carve(carver, (size_t)bytes_of(config));
    struct pd_raft_inflight *rings =
        carve(carver, (size_t)PD_RAFT_MEMBERS_MAX * config->inflight_max * sizeof *rings);
    struct pd_raft_waiting_read *waiting = carve(carver, config->reads_max * sizeof *waiting);
    struct pd_raft_outbox outboxes[2] = {{.message_count = 0}, {.message_count = 0}};
    carve_outbox(carver, config, &outboxes[0]);
    carve_outbox(carver, config, &outboxes[1]);
    if (raft != NULL) {
        pd_log_memory_init(&raft->log.memory, slots, slots_of(config), bytes, bytes_of(config), 1);
        raft->rings = rings;
        raft->waiting = waiting;
        raft->outboxes[0] = outboxes[0];
        raft->outboxes[1] = outboxes[1];
    }
}

size_t pd_raft_size(const struct pd_raft_config *config)
{
    struct carver carver = {.memory = NULL, .used = 0};
    (void)carve(&carver, sizeof(struct pd_raft));
    carve_all(&carver, config, NULL);
    return carver.used;
}

enum pd_status pd_raft_init(void *memory, size_t size, const struct pd_raft_config *config,
                            const struct pd_raft_restart *restart, struct pd_raft **raft_out)
{
    if (!is_valid(config) || size < pd_raft_size(config) ||
        restart->applied < restart->snapshot.index || !pd_conf_is_valid(&restart->snapshot.conf)) {
        return PD_ERR_INVALID;
    }
    struct carver carver = {.memory = memory, .used = 0};
    struct pd_raft *raft = carve(&carver, sizeof *raft);
    memset(raft, 0, sizeof *raft);
    raft->config = *config;
    raft->members = raft->member_storage;
    carve_all(&carver, &raft->config, raft);
    pd_random_init(&raft->random, config->seed, "raft");
    const struct pd_raft_snapshot_meta *mark = &restart->snapshot;
    pd_log_memory_clear(&raft->log.memory, mark->index + 1);
    pd_log_init(&raft->log, mark->index, mark->term, config->committed_bytes_max,
                &raft->config.trace);
    raft->available = *mark;
    raft->told_hard_state = restart->hard_state;
    raft->term = restart->hard_state.term;
    raft->vote = restart->hard_state.vote;
    raft->restart_applied = restart->applied;
    raft->is_restarted = raft->term > 0;
    *raft_out = raft;
    return PD_OK;
}

enum pd_status pd_raft_restore_entry(struct pd_raft *raft, const struct pd_raft_entry *entry)
{
    pd_assert(!raft->is_started);
    struct pd_raft_log *log = &raft->log;
    if (entry->index <= log->mark_index) {
        /* When it was written it cut off whatever lay behind it. */
        if (pd_log_last(log) > log->mark_index) {
            pd_log_memory_cut_from(&log->memory, log->mark_index + 1);
        }
        return PD_OK;
    }
    if (pd_log_last(log) == log->mark_index &&
        (entry->term < pd_log_last_id(log).term || entry->index > log->mark_index + 1)) {
        /* Of a tail that was cut later by an entry that the store holds by now. If it is a gap
         * instead, pd_raft_start finds that the log ends too early. */
        return PD_OK;
    }
    if (entry->index > pd_log_last(log) + 1) {
        return PD_ERR_CORRUPT;
    }
    if (entry->index <= pd_log_last(log)) {
        pd_log_memory_cut_from(&log->memory, entry->index);
    }
    if (entry->term < pd_log_last_id(log).term) {
        return PD_ERR_CORRUPT;
    }
    return pd_log_append(log, entry);
}

static void trace_start(struct pd_raft *raft)
{
    if (raft->config.trace.line == NULL) {
        return;
    }
    struct pd_raft_text peers;
    pd_raft_node members[PD_RAFT_MEMBERS_MAX];
    uint32_t count = pd_conf_members(&raft->conf, members);
    pd_raft_node voters[PD_RAFT_MEMBERS_MAX];
    uint32_t voter_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!pd_conf_is_learner(&raft->conf, members[i])) {
            voters[voter_count++] = members[i];
        }
    }
    pd_raft_peers_text(voters, voter_count, &peers);
    struct pd_log_id last = pd_log_last_id(&raft->log);
    PD_TRACE(raft, INFO,
             "newRaft %llx [peers: [%s], term: %llu, commit: %llu, applied: %llu, lastindex: %llu, "
             "lastterm: %llu]",
             (pd_ull)raft->config.id, peers.text, (pd_ull)raft->term, (pd_ull)raft->log.committed,
             (pd_ull)raft->log.applied, (pd_ull)last.index, (pd_ull)last.term);
}

enum pd_status pd_raft_start(struct pd_raft *raft)
{
    pd_assert(!raft->is_started);
    struct pd_raft_log *log = &raft->log;
    uint64_t last = pd_log_last(log);
    if (raft->told_hard_state.commit > last || raft->restart_applied > last) {
        return PD_ERR_CORRUPT;
    }
    log->stable_end = last + 1;
    log->writing_end = last + 1;
    /* The commit index is written without a sync of its own: what the store applied is committed
     * too. */
    pd_log_commit_to(log, raft->told_hard_state.commit);
    pd_log_commit_to(log, raft->restart_applied);
    log->applied = raft->restart_applied;
    log->applying = raft->restart_applied;
    raft->is_started = true;
    /* The store holds everything up to there, and its configuration with it. */
    bool is_known = pd_log_term(log, raft->restart_applied, &raft->available.term);
    pd_assert(is_known);
    raft->available.index = raft->restart_applied;
    struct pd_conf_result result = {.conf = raft->available.conf};
    result.fresh_count = pd_conf_members(&result.conf, result.fresh);
    pd_core_switch_conf(raft, &result);
    pd_core_become_follower(raft, raft->term, 0);
    raft->told_hard_state = pd_core_hard_state(raft);
    trace_start(raft);
    return PD_OK;
}

struct pd_raft_member *pd_core_member(const struct pd_raft *raft, pd_raft_node node)
{
    for (uint32_t i = 0; i < raft->member_count; i++) {
        if (raft->members[i].node == node) {
            return &raft->members[i];
        }
    }
    return NULL;
}

enum pd_status pd_raft_campaign(struct pd_raft *raft)
{
    pd_assert(raft->is_started);
    pd_core_hup(raft, raft->config.pre_vote ? PD_CAMPAIGN_PRE_ELECTION : PD_CAMPAIGN_ELECTION);
    return PD_OK;
}

enum pd_status pd_raft_transfer(struct pd_raft *raft, pd_raft_node to)
{
    if (raft->role == PD_RAFT_LEADER) {
        if (!pd_conf_is_voter(&raft->conf, to) && !pd_conf_is_learner(&raft->conf, to)) {
            PD_TRACE(raft, DEBUG, "%llx no progress available for %llx", (pd_ull)raft->config.id,
                     (pd_ull)to);
            return PD_ERR_UNKNOWN;
        }
        bool is_voter = pd_conf_is_voter(&raft->conf, to);
        pd_core_lead_transfer(raft, pd_core_member(raft, to));
        return is_voter ? PD_OK : PD_ERR_UNKNOWN;
    }
    if (raft->role != PD_RAFT_FOLLOWER) {
        return PD_ERR_CLOSED;
    }
    if (raft->leader == 0) {
        PD_TRACE(raft, INFO, "%llx no leader at term %llu; dropping leader transfer msg",
                 (pd_ull)raft->config.id, (pd_ull)raft->term);
        return PD_ERR_CLOSED;
    }
    (void)pd_core_send(raft, (struct pd_raft_message){.type = PD_RAFT_MSG_TRANSFER_LEADER,
                                                      .from = to,
                                                      .to = raft->leader});
    return PD_OK;
}

void pd_raft_forget_leader(struct pd_raft *raft)
{
    if (raft->role != PD_RAFT_FOLLOWER) {
        return;
    }
    if (raft->config.lease_reads) {
        PD_TRACE(raft, ERROR, "ignoring MsgForgetLeader due to ReadOnlyLeaseBased");
        return;
    }
    if (raft->leader != 0) {
        PD_TRACE(raft, INFO, "%llx forgetting leader %llx at term %llu", (pd_ull)raft->config.id,
                 (pd_ull)raft->leader, (pd_ull)raft->term);
        raft->leader = 0;
    }
}

void pd_raft_snapshot_available(struct pd_raft *raft, const struct pd_raft_snapshot_meta *meta)
{
    pd_assert(meta->index <= raft->log.committed);
    if (meta->index >= raft->available.index) {
        raft->available = *meta;
    }
}

void pd_raft_compact(struct pd_raft *raft, uint64_t index)
{
    index = index < raft->log.applied ? index : raft->log.applied;
    pd_log_compact(&raft->log, index < raft->available.index ? index : raft->available.index);
}

void pd_core_member_status(const struct pd_raft_member *member,
                           struct pd_raft_member_status *status_out)
{
    const struct pd_raft_progress *progress = &member->progress;
    *status_out = (struct pd_raft_member_status){
        .node = member->node,
        .match = progress->match,
        .next = progress->next,
        .state = progress->state,
        .pending_snapshot = progress->pending_snapshot,
        .session = member->session,
        .inflight_count = progress->inflights.count,
        .inflight_full = pd_inflights_is_full(&progress->inflights),
        .is_paused = pd_progress_is_paused(progress),
        .is_active = member->is_active,
        .is_learner = member->is_learner,
    };
}

uint64_t pd_raft_committed(const struct pd_raft *raft)
{
    return raft->log.committed;
}

void pd_raft_status(const struct pd_raft *raft, struct pd_raft_status *status_out)
{
    *status_out = (struct pd_raft_status){
        .id = raft->config.id,
        .leader = raft->leader,
        .role = raft->role,
        .hard_state = pd_core_hard_state(raft),
        .applied = raft->log.applied,
        .first_index = pd_log_first(&raft->log),
        .last_index = pd_log_last(&raft->log),
        .stable_index = raft->log.stable_end - 1,
        .transferee = raft->transferee,
        .conf = raft->conf,
    };
    if (raft->role == PD_RAFT_LEADER) {
        status_out->member_count = raft->member_count;
        for (uint32_t i = 0; i < raft->member_count; i++) {
            pd_core_member_status(&raft->members[i], &status_out->members[i]);
        }
    }
}

enum pd_status pd_raft_entry_at(const struct pd_raft *raft, uint64_t index,
                                struct pd_raft_entry *entry_out)
{
    if (index < pd_log_first(&raft->log) || index > pd_log_last(&raft->log)) {
        return PD_ERR_UNKNOWN;
    }
    *entry_out = *pd_log_memory_at(&raft->log.memory, index);
    return PD_OK;
}

uint64_t pd_raft_stable(const struct pd_raft *raft)
{
    return raft->log.stable_end - 1;
}

uint32_t pd_raft_log_fill(const struct pd_raft *raft)
{
    const struct pd_log_memory *memory = &raft->log.memory;
    uint64_t entries = (uint64_t)memory->count * 100 / memory->slots_max;
    uint64_t bytes = (memory->tail - memory->head) * 100 / memory->bytes_max;
    return (uint32_t)(entries > bytes ? entries : bytes);
}

struct pd_raft_ring pd_raft_ring(struct pd_raft *raft)
{
    const struct pd_log_memory *memory = &raft->log.memory;
    return (struct pd_raft_ring){memory->bytes, memory->bytes_max, memory->head, memory->tail};
}

void pd_raft_set_election_timeout(struct pd_raft *raft, uint32_t ticks)
{
    raft->election_timeout = ticks;
}

void pd_raft_check(const struct pd_raft *raft)
{
    pd_log_check(&raft->log);
    pd_assert(pd_conf_is_valid(&raft->conf));
    pd_assert(raft->role != PD_RAFT_LEADER || raft->leader == raft->config.id);
    pd_assert(raft->role == PD_RAFT_FOLLOWER || raft->role == PD_RAFT_PRE_CANDIDATE ||
              raft->vote == raft->config.id);
    uint64_t last = pd_log_last(&raft->log);
    for (uint32_t i = 0; i < raft->member_count; i++) {
        const struct pd_raft_member *member = &raft->members[i];
        pd_assert(i == 0 || raft->members[i - 1].node < member->node);
        pd_assert(member->progress.match < member->progress.next);
        pd_assert(raft->role != PD_RAFT_LEADER || member->progress.match <= last);
        pd_assert(raft->role != PD_RAFT_LEADER || member->progress.next <= last + 1);
        pd_assert(member->token <= raft->token_last || raft->role != PD_RAFT_LEADER);
    }
}
