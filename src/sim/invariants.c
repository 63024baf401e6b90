/* What holds after every event, what is compared now and then, and what must be so in the end. */
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "sim/clients.h"
#include "sim/world.h"

#define UNKNOWN_TERM 0u
#define EXPIRY_SLACK_NS (10 * (uint64_t)PD_SIM_SECOND_NS)

static uint64_t entry_hash(const struct pd_raft_entry *entry)
{
    return pd_hash_bytes((uint64_t)entry->type, entry->data.bytes, entry->data.size);
}

static void check_never_back(struct pd_sim_machine *machine, const struct pd_sim_view *view)
{
    const struct pd_sim_view *seen = &machine->seen;
    struct pd_sim_world *world = machine->world;
    if (view->term < seen->term) {
        pd_sim_world_fail(world, "node %u: term went back from %llu to %llu", machine->number,
                          (unsigned long long)seen->term, (unsigned long long)view->term);
    } else if (view->term == seen->term && seen->vote != 0 && view->vote != seen->vote) {
        pd_sim_world_fail(world, "node %u: two votes in term %llu", machine->number,
                          (unsigned long long)view->term);
    } else if (view->commit < seen->commit) {
        pd_sim_world_fail(world, "node %u: commit index went back from %llu to %llu",
                          machine->number, (unsigned long long)seen->commit,
                          (unsigned long long)view->commit);
    } else if (view->applied < seen->applied) {
        pd_sim_world_fail(world, "node %u: applied index went back from %llu to %llu",
                          machine->number, (unsigned long long)seen->applied,
                          (unsigned long long)view->applied);
    } else if (view->has_state && view->state_time_ns < seen->state_time_ns) {
        pd_sim_world_fail(world, "node %u: state time went back", machine->number);
    } else if (view->applied > view->commit) {
        pd_sim_world_fail(world, "node %u: applied %llu beyond commit %llu", machine->number,
                          (unsigned long long)view->applied, (unsigned long long)view->commit);
    } else if (view->commit > view->last_index) {
        pd_sim_world_fail(world, "node %u: commit %llu beyond its log's end %llu", machine->number,
                          (unsigned long long)view->commit, (unsigned long long)view->last_index);
    } else if (view->term < machine->durable_term) {
        pd_sim_world_fail(world, "node %u: came back in term %llu, had made %llu durable",
                          machine->number, (unsigned long long)view->term,
                          (unsigned long long)machine->durable_term);
    } else if (view->term == machine->durable_term && machine->durable_vote != 0 &&
               view->vote != machine->durable_vote) {
        pd_sim_world_fail(world, "node %u: forgot its vote of term %llu", machine->number,
                          (unsigned long long)view->term);
    }
}

/* -- The ledger: what is committed, once and for all ------------------------------------------- */

static bool is_durable_at(const struct pd_sim_machine *machine, uint64_t index, uint64_t term)
{
    return machine->seen.store_index >= index ||
           (index < machine->durable_count && machine->durable_terms[index] == term);
}

static bool has_majority(const struct pd_sim_world *world, const pd_raft_node *voters,
                         uint32_t count, uint64_t index, uint64_t term)
{
    uint32_t holders = 0;
    for (uint32_t i = 0; i < count; i++) {
        holders += is_durable_at(&world->machines[voters[i]], index, term) ? 1 : 0;
    }
    return count == 0 || holders > count / 2;
}

static bool conf_has_majority(const struct pd_sim_world *world, const struct pd_raft_conf *conf,
                              uint64_t index, uint64_t term)
{
    return has_majority(world, conf->voters, conf->voter_count, index, term) &&
           has_majority(world, conf->voters_outgoing, conf->voter_outgoing_count, index, term);
}

/* In the configuration before this event or after it: a change may have been applied in between. */
static void check_durable_majority(struct pd_sim_machine *machine, uint64_t index, uint64_t term)
{
    struct pd_sim_world *world = machine->world;
    struct pd_raft_conf conf;
    world->core->conf(machine, &conf);
    if (!conf_has_majority(world, &conf, index, term) &&
        !conf_has_majority(world, &machine->conf, index, term)) {
        char holders[160] = "";
        for (uint32_t i = 1; i <= world->machine_count; i++) {
            size_t used = strlen(holders);
            (void)snprintf(holders + used, sizeof holders - used, " %u%s", i,
                           is_durable_at(&world->machines[i], index, term) ? "+" : "-");
        }
        pd_sim_world_fail(
            world, "node %u committed %llu (term %llu), which no majority has durably:%s",
            machine->number, (unsigned long long)index, (unsigned long long)term, holders);
    }
}

/* The model follows as soon as the next index is known. */
static void learn(struct pd_sim_machine *machine, uint64_t commit_term,
                  const struct pd_raft_entry *known, bool is_own_commit)
{
    struct pd_sim_world *world = machine->world;
    uint64_t index = known->index;
    uint64_t hash = entry_hash(known);
    world->ledger = pd_sim_grow(world->ledger, &world->ledger_capacity, (size_t)index + 1,
                                sizeof world->ledger[0]);
    while (world->ledger_count <= index) {
        world->ledger[world->ledger_count++] = (struct pd_sim_ledger_entry){0};
    }
    struct pd_sim_ledger_entry *entry = &world->ledger[index];
    if (entry->term == UNKNOWN_TERM) {
        *entry = (struct pd_sim_ledger_entry){
            .term = known->term, .hash = hash, .commit_term = commit_term};
        world->counts.commits++;
        if (is_own_commit) {
            check_durable_majority(machine, index, known->term);
        }
        if (world->model.index != 0 && index != world->model.index + 1) {
            pd_sim_world_fail(world, "entry %llu is committed, and nobody saw what came after %llu",
                              (unsigned long long)index, (unsigned long long)world->model.index);
        } else if (!pd_sim_model_apply(&world->model, known)) {
            pd_sim_world_fail(world, "the committed log makes no sense: %s", world->model.text);
        }
    } else if (entry->term != known->term || entry->hash != hash) {
        pd_sim_world_fail(world,
                          "node %u committed another entry at %llu (term %llu) than was committed "
                          "before (term %llu)",
                          machine->number, (unsigned long long)index,
                          (unsigned long long)known->term, (unsigned long long)entry->term);
    }
}

static void check_commits(struct pd_sim_machine *machine, const struct pd_sim_view *view)
{
    struct pd_sim_world *world = machine->world;
    bool is_first = machine->ledger_checked == 0;
    uint64_t from = machine->ledger_checked + 1;
    from = from < view->first_index ? view->first_index : from;
    for (uint64_t index = from; index <= view->commit && !world->is_failed; index++) {
        struct pd_raft_entry entry;
        if (world->core->entry(machine, index, &entry) == PD_OK) {
            /* What it finds committed at its start it did not commit itself now. */
            learn(machine, view->term, &entry, !is_first && view->role == PD_RAFT_LEADER);
        }
    }
    machine->ledger_checked = view->commit;
}

void pd_sim_check_last_commits(struct pd_sim_machine *machine)
{
    struct pd_sim_view view = {0};
    machine->world->core->view(machine, &view);
    if (view.has_raft && view.commit > machine->seen.commit) {
        check_commits(machine, &view);
    }
}

/* -- Leaders ----------------------------------------------------------------------------------- */

/* Leader completeness (Raft, section 5.4.3): what was committed in a term is in the log of every
 * leader of a later one. A machine that slept may come to lead an older term, and owes less. */
static void check_completeness(struct pd_sim_machine *machine, const struct pd_sim_view *view)
{
    struct pd_sim_world *world = machine->world;
    size_t owed = world->ledger_count;
    while (owed > 0 && world->ledger[owed - 1].commit_term >= view->term) {
        owed--;
    }
    if (owed > 0 && view->last_index + 1 < owed) {
        pd_sim_world_fail(world, "node %u leads term %llu, but its log ends at %llu, before %llu",
                          machine->number, (unsigned long long)view->term,
                          (unsigned long long)view->last_index, (unsigned long long)owed - 1);
        return;
    }
    for (uint64_t index = view->first_index; index < owed; index++) {
        struct pd_raft_entry held;
        const struct pd_sim_ledger_entry *entry = &world->ledger[index];
        if (entry->term != UNKNOWN_TERM && world->core->entry(machine, index, &held) == PD_OK &&
            (entry->term != held.term || entry->hash != entry_hash(&held))) {
            pd_sim_world_fail(world, "node %u leads term %llu without the committed entry %llu",
                              machine->number, (unsigned long long)view->term,
                              (unsigned long long)index);
            return;
        }
    }
}

static void new_leader(struct pd_sim_machine *machine, const struct pd_sim_view *view)
{
    struct pd_sim_world *world = machine->world;
    world->counts.leader_changes++;
    for (size_t i = 0; i < world->leader_count; i++) {
        const struct pd_sim_leader *leader = &world->leaders[i];
        if (leader->term == view->term && leader->machine != machine->number) {
            pd_sim_world_fail(world, "two leaders in term %llu: nodes %u and %u",
                              (unsigned long long)view->term, leader->machine, machine->number);
        }
    }
    for (uint32_t i = 1; i <= world->machine_count; i++) {
        PD_SOMETIMES(SIM_TWO_LEADERS, i != machine->number && world->machines[i].core != NULL &&
                                          world->machines[i].seen.role == PD_RAFT_LEADER);
    }
    world->leaders = pd_sim_grow(world->leaders, &world->leader_capacity, world->leader_count + 1,
                                 sizeof world->leaders[0]);
    world->leaders[world->leader_count++] =
        (struct pd_sim_leader){.term = view->term, .machine = machine->number};
    check_completeness(machine, view);
}

/* -- State ------------------------------------------------------------------------------------- */

static void check_state_hash(struct pd_sim_machine *machine, const struct pd_sim_view *view)
{
    struct pd_sim_world *world = machine->world;
    size_t old = world->state_hash_capacity;
    world->state_hashes = pd_sim_grow(world->state_hashes, &world->state_hash_capacity,
                                      (size_t)view->applied + 1, sizeof world->state_hashes[0]);
    if (world->state_hash_capacity > old) {
        memset(&world->state_hashes[old], 0,
               (world->state_hash_capacity - old) * sizeof world->state_hashes[0]);
    }
    struct pd_sim_state_hash *hash = &world->state_hashes[view->applied];
    if (hash->fold == 0) {
        *hash = (struct pd_sim_state_hash){.fold = view->fold_hash, .set = view->set_hash};
    } else if (hash->fold != view->fold_hash || hash->set.low != view->set_hash.low ||
               hash->set.high != view->set_hash.high) {
        pd_sim_world_fail(world, "node %u: another state at %llu than a node had before (%s)",
                          machine->number, (unsigned long long)view->applied,
                          hash->fold != view->fold_hash ? "fold" : "set");
    }
}

/* The state stands as the committed log says. */
static void check_standing(struct pd_sim_machine *machine, const struct pd_sim_view *view)
{
    const struct pd_sim_standing *standing = pd_sim_model_at(&machine->world->model, view->applied);
    if (standing == NULL) {
        return;
    }
    int64_t compacted = standing->compacted > 0 ? standing->compacted : 0;
    uint32_t members = 0;
    uint32_t removed = 0;
    machine->world->core->directory(machine, &members, &removed);
    const struct {
        const char *name;
        uint64_t has;
        uint64_t expected;
    } numbers[] = {
        {"revision", (uint64_t)view->revision, (uint64_t)standing->revision},
        {"compacted revision", (uint64_t)view->compacted, (uint64_t)compacted},
        {"state time", view->state_time_ns, standing->state_time_ns},
        {"number of keys", view->key_count, standing->key_count},
        {"number of leases", view->lease_count, standing->lease_count},
        {"number of sessions", view->session_count, standing->session_count},
        {"members (bits)", members, standing->members},
        {"removed (bits)", removed, standing->removed},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (numbers[i].has != numbers[i].expected) {
            pd_sim_world_fail(
                machine->world, "node %u at index %llu: %s %llu, where the log means %llu",
                machine->number, (unsigned long long)view->applied, numbers[i].name,
                (unsigned long long)numbers[i].has, (unsigned long long)numbers[i].expected);
            return;
        }
    }
    for (uint32_t i = 1; i <= machine->world->machine_count; i++) {
        if ((removed >> i & 1) != 0 && pd_sim_conf_has(&machine->conf, i)) {
            pd_sim_world_fail(machine->world,
                              "node %u at index %llu: node %u is refused as removed, and counted "
                              "by the configuration",
                              machine->number, (unsigned long long)view->applied, i);
        }
    }
}

/* The version is part of the states that are compared; here, that nobody is where its program
 * cannot be. */
static void check_version(struct pd_sim_machine *machine, const struct pd_sim_view *view)
{
    struct pd_sim_world *world = machine->world;
    if (view->version > machine->version_limit) {
        pd_sim_world_fail(world, "node %u is at version %u, and its program follows up to %u",
                          machine->number, view->version, machine->version_limit);
    }
    if (view->version > world->version) {
        world->version = view->version;
        world->counts.raises++;
    }
}

/* It has no log to speak of yet: its store is all that it has. */
static void check_without_raft(struct pd_sim_machine *machine, const struct pd_sim_view *view)
{
    machine->seen.role = PD_RAFT_FOLLOWER;
    machine->seen.store_index = view->store_index;
    machine->seen.has_raft = false;
}

void pd_sim_check_machine(struct pd_sim_machine *machine)
{
    struct pd_sim_world *world = machine->world;
    struct pd_sim_view view = {0};
    world->core->view(machine, &view);
    world->counts.snapshots_installed +=
        view.snapshots_installed - machine->seen.snapshots_installed;
    machine->seen.snapshots_installed = view.snapshots_installed;
    if (!view.has_raft) {
        check_without_raft(machine, &view);
        return;
    }
    bool is_first = machine->seen.term == 0 && machine->seen.last_index == 0;
    if (!is_first) {
        check_never_back(machine, &view);
    }
    bool leads_anew = view.role == PD_RAFT_LEADER &&
                      (machine->seen.role != PD_RAFT_LEADER || machine->seen.term != view.term);
    bool has_applied = view.applied != machine->seen.applied;
    bool has_committed = view.commit != machine->seen.commit;
    uint64_t state_time_ns = machine->seen.state_time_ns;
    machine->seen = view;
    if (!view.has_state) {
        machine->seen.state_time_ns = state_time_ns;
    }
    /* What it has applied says nothing of a store that turns out to be unreadable later. */
    bool is_sound = !machine->store_is_damaged && !machine->store_was_lost;
    machine->is_emptied = machine->is_emptied && view.last_index == 0 && view.applied == 0;
    if (machine->rebuilding_to != 0 && view.applied >= machine->rebuilding_to && is_sound) {
        machine->rebuilding_to = 0;
    }
    if (leads_anew) {
        new_leader(machine, &view);
    }
    if (has_committed) {
        check_commits(machine, &view);
    }
    machine->leaves_change = false;
    if (has_applied || machine->conf.voter_count == 0) {
        world->core->conf(machine, &machine->conf);
        if (view.applied > world->conf_index && machine->conf.voter_count > 0) {
            world->conf = machine->conf;
            world->conf_index = view.applied;
        }
    }
    if (machine->is_forgetful && pd_sim_conf_has_voter(&machine->conf, machine->number)) {
        pd_sim_world_fail(world, "node %u takes part as a voter, though its disk was wiped",
                          machine->number);
    }
    if (view.has_state) {
        check_version(machine, &view);
    }
    if (has_applied && view.has_state && view.applied > 0) {
        check_state_hash(machine, &view);
        check_standing(machine, &view);
    }
}

/* -- Now and then ------------------------------------------------------------------------------ */

/* Logs agree below every (index, term) that they share. */
static void check_matching(struct pd_sim_machine *a, struct pd_sim_machine *b)
{
    struct pd_sim_world *world = a->world;
    uint64_t last =
        a->seen.last_index < b->seen.last_index ? a->seen.last_index : b->seen.last_index;
    uint64_t first =
        a->seen.first_index > b->seen.first_index ? a->seen.first_index : b->seen.first_index;
    bool must_agree = false;
    for (uint64_t index = last; index >= first && index > 0; index--) {
        struct pd_raft_entry of_a;
        struct pd_raft_entry of_b;
        if (world->core->entry(a, index, &of_a) != PD_OK ||
            world->core->entry(b, index, &of_b) != PD_OK) {
            return;
        }
        must_agree = must_agree || of_a.term == of_b.term;
        if (must_agree && (of_a.term != of_b.term || entry_hash(&of_a) != entry_hash(&of_b))) {
            pd_sim_world_fail(world, "the logs of nodes %u and %u differ at %llu below a match",
                              a->number, b->number, (unsigned long long)index);
            return;
        }
        PD_SOMETIMES(SIM_ENTRY_LOST, of_a.term != of_b.term);
    }
}

void pd_sim_check_heavy(struct pd_sim_world *world)
{
    for (uint32_t i = 1; i <= world->machine_count; i++) {
        struct pd_sim_machine *machine = &world->machines[i];
        if (machine->core == NULL) {
            continue;
        }
        world->core->check(machine);
        for (uint32_t j = i + 1; j <= world->machine_count; j++) {
            if (world->machines[j].core != NULL) {
                check_matching(machine, &world->machines[j]);
            }
        }
    }
}

/* What has run out is gone: the leader has had all the time to say so. */
static void check_expired(struct pd_sim_world *world)
{
    const struct pd_sim_model *model = &world->model;
    for (size_t i = 0; i < model->lease_count; i++) {
        const struct pd_sim_model_lease *lease = &model->leases[i];
        if (lease->deadline_ns + EXPIRY_SLACK_NS < model->now.state_time_ns) {
            pd_sim_world_fail(world, "lease %lld ran out %llu s of state time ago, and lives",
                              (long long)lease->id,
                              (unsigned long long)((model->now.state_time_ns - lease->deadline_ns) /
                                                   PD_SIM_SECOND_NS));
            return;
        }
    }
}

/* Every member runs the newer program, and has for long: the cluster is where that can be. */
static void check_raised(struct pd_sim_world *world, const struct pd_raft_conf *conf)
{
    for (uint32_t i = 1; i <= world->machine_count; i++) {
        const struct pd_sim_machine *machine = &world->machines[i];
        if (pd_sim_conf_has(conf, i) &&
            (machine->core == NULL || pd_sim_machine_has_forgotten(machine))) {
            return;
        }
    }
    if (world->version != PD_KV_VERSION_LAST) {
        pd_sim_world_fail(world, "the cluster is of version %u in the end, though all follow %u",
                          world->version, PD_KV_VERSION_LAST);
    }
}

void pd_sim_check_end(struct pd_sim_world *world)
{
    check_expired(world);
    struct pd_raft_conf conf;
    pd_sim_world_conf(world, &conf);
    check_raised(world, &conf);
    for (uint32_t i = 1; i <= world->machine_count; i++) {
        const struct pd_sim_machine *machine = &world->machines[i];
        if (machine->core != NULL && !pd_sim_machine_has_forgotten(machine) &&
            pd_sim_conf_has(&conf, machine->number) &&
            machine->seen.applied < world->commit_at_progress) {
            pd_sim_world_fail(world,
                              "node %u is at %llu in the end, behind %llu, which was "
                              "committed long before",
                              machine->number, (unsigned long long)machine->seen.applied,
                              (unsigned long long)world->commit_at_progress);
        }
    }
}
