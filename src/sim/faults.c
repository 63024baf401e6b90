/* What each fault does, the budget that keeps a quorum of good copies, the operator, and the
 * healing. */
#include <string.h>

#include "base/assert.h"
#include "sim/clients.h"
#include "sim/world.h"

#define MS PD_SIM_MS_NS
#define SILENCE_NS (1000u * (uint64_t)MS) /* then a connection has ended */
#define WISH_TRIES_MAX 100u               /* operator's steps: 20 s */

static struct pd_sim_machine *target_of(struct pd_sim_world *world,
                                        const struct pd_sim_fault *fault)
{
    uint32_t number = fault->target;
    if (number == PD_SIM_TARGET_LEADER) {
        const struct pd_sim_machine *leader = pd_sim_world_leader(world);
        number = leader != NULL ? leader->number : 1 + fault->amount % world->config.nodes;
    }
    return number >= 1 && number <= world->machine_count ? &world->machines[number] : NULL;
}

/* -- Budget ------------------------------------------------------------------------------------ */

static bool is_bad_copy(const struct pd_sim_world *world, pd_raft_node node)
{
    const struct pd_sim_machine *machine = &world->machines[node];
    return machine->is_gone || machine->is_forgetful || machine->store_is_damaged ||
           machine->store_was_lost || machine->rebuilding_to > machine->seen.applied ||
           (machine->rebuilding_to > 0 && machine->core == NULL);
}

bool pd_sim_machine_has_forgotten(const struct pd_sim_machine *machine)
{
    struct pd_raft_conf conf;
    pd_sim_world_conf(machine->world, &conf);
    return machine->is_forgetful ||
           (machine->is_emptied && pd_sim_conf_has_voter(&conf, machine->number));
}

static bool half_survives(const struct pd_sim_world *world, const pd_raft_node *voters,
                          uint32_t count, pd_raft_node lost)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; i < count; i++) {
        bad += voters[i] == lost || is_bad_copy(world, voters[i]) ? 1 : 0;
    }
    return count == 0 || bad <= (count - 1) / 2;
}

bool pd_sim_machine_is_changing(struct pd_sim_machine *machine)
{
    struct pd_raft_entry entry;
    for (uint64_t index = machine->seen.applied + 1; index <= machine->seen.last_index; index++) {
        if (machine->world->core->entry(machine, index, &entry) == PD_OK &&
            entry.type != PD_RAFT_ENTRY_NORMAL) {
            return true;
        }
    }
    return false;
}

/* A change of the membership is in some log and not applied there: who will be a voter is open. */
static bool is_changing(struct pd_sim_world *world)
{
    for (uint32_t i = 1; i <= world->machine_count; i++) {
        struct pd_sim_machine *machine = &world->machines[i];
        bool is_lost = machine->is_gone || machine->is_forgetful;
        if (machine->core != NULL ? pd_sim_machine_is_changing(machine)
                                  : machine->leaves_change && !is_lost) {
            return true;
        }
    }
    return false;
}

/* Whether a quorum of good copies is left when this one is lost too. Every configuration that
 * anybody still goes by counts. */
static bool may_lose(struct pd_sim_world *world, const struct pd_sim_machine *machine)
{
    if (is_changing(world)) {
        return false;
    }
    for (uint32_t i = 1; i <= world->machine_count; i++) {
        struct pd_sim_machine *other = &world->machines[i];
        if (other->core == NULL) {
            continue;
        }
        struct pd_raft_conf conf;
        world->core->conf(other, &conf);
        if (!half_survives(world, conf.voters, conf.voter_count, machine->number) ||
            !half_survives(world, conf.voters_outgoing, conf.voter_outgoing_count,
                           machine->number)) {
            return false;
        }
    }
    struct pd_raft_conf conf;
    pd_sim_world_conf(world, &conf);
    return half_survives(world, conf.voters, conf.voter_count, machine->number) &&
           half_survives(world, conf.voters_outgoing, conf.voter_outgoing_count, machine->number);
}

/* -- Network ----------------------------------------------------------------------------------- */

static void cut(struct pd_sim_world *world, uint32_t from, uint32_t to, bool is_begin)
{
    if (from == to) {
        return;
    }
    if (is_begin) {
        pd_sim_network_cut(&world->network, from - 1, to - 1);
        if (world->config.forwards && world->machines[to].core != NULL) {
            pd_sim_world_push(world, world->now_ns + SILENCE_NS, PD_SIM_EVENT_LOST, to, from, NULL);
        }
    } else {
        pd_sim_network_mend(&world->network, from - 1, to - 1);
    }
}

/* Cut or mend what a fault of the network means. `target`: as it was meant at the beginning. */
static void partition(struct pd_sim_world *world, const struct pd_sim_fault *fault, uint32_t target,
                      bool is_begin)
{
    uint32_t count = world->machine_count;
    uint32_t other = 1 + (target + fault->amount) % count;
    for (uint32_t i = 1; i <= count; i++) {
        for (uint32_t j = 1; fault->kind == PD_SIM_FAULT_SPLIT && j <= count; j++) {
            if ((fault->amount >> (i % 32) & 1) != (fault->amount >> (j % 32) & 1)) {
                cut(world, i, j, is_begin);
            }
        }
        bool is_isolated =
            fault->kind == PD_SIM_FAULT_ISOLATE || fault->kind == PD_SIM_FAULT_COMPACT;
        bool is_one_way = fault->kind == PD_SIM_FAULT_ONE_WAY;
        if (is_isolated || (is_one_way && fault->amount == 1)) {
            cut(world, target, i, is_begin);
        }
        if (is_isolated || (is_one_way && fault->amount == 2)) {
            cut(world, i, target, is_begin);
        }
    }
    if (fault->kind == PD_SIM_FAULT_PARTIAL || fault->kind == PD_SIM_FAULT_FLAP) {
        cut(world, target, other, is_begin);
        cut(world, other, target, is_begin);
    }
}

static bool network_fault(struct pd_sim_world *world, const struct pd_sim_fault *fault,
                          uint32_t target, bool is_begin)
{
    struct pd_sim_network *network = &world->network;
    uint32_t amount = is_begin ? fault->amount : 0;
    switch ((int)fault->kind) { /* as a number: the others are not of the network */
    case PD_SIM_FAULT_DROP:
        network->drop_ppm = amount;
        return true;
    case PD_SIM_FAULT_DUPLICATE:
        network->duplicate_ppm = amount;
        return true;
    case PD_SIM_FAULT_REORDER:
        network->reorder_ppm = amount;
        return true;
    case PD_SIM_FAULT_DELAY:
        network->extra_delay = amount;
        return true;
    case PD_SIM_FAULT_SLOW_READER:
        network->reader_ns[target - 1] = (uint64_t)amount * MS;
        return true;
    case PD_SIM_FAULT_SPLIT:
    case PD_SIM_FAULT_ISOLATE:
    case PD_SIM_FAULT_ONE_WAY:
    case PD_SIM_FAULT_PARTIAL:
    case PD_SIM_FAULT_FLAP:
    case PD_SIM_FAULT_COMPACT:
        partition(world, fault, target, is_begin);
        return true;
    default:
        return false;
    }
}

/* -- Machines ---------------------------------------------------------------------------------- */

static void restart_later(struct pd_sim_machine *machine, uint64_t after_ns)
{
    pd_sim_world_push(machine->world, machine->world->now_ns + after_ns, PD_SIM_EVENT_RESTART,
                      machine->number, 0, NULL);
}

/* Flip a bit and restart: the node must refuse, or cut a tail that it cannot tell from a torn one.
 * Either way this copy counts as lost. */
static bool rot(struct pd_sim_world *world, struct pd_sim_machine *machine)
{
    struct pd_disk_name name;
    uint64_t offset = 0;
    if (!may_lose(world, machine)) {
        return false;
    }
    pd_sim_machine_stop(machine, false);
    if (pd_sim_disk_rot(&machine->disk, &machine->random, &name, &offset)) {
        machine->may_stop = true;
        machine->rebuilding_to = UINT64_MAX;
    }
    if (pd_sim_machine_start(machine)) {
        /* It took the damage for a torn tail, or the bit lay in what nobody reads. What it promised
         * may be forgotten: its disk is taken out, as that of any machine that reports a cut tail
         * after a clean stop. */
        pd_sim_machine_stop(machine, false);
    }
    machine->is_gone = true;
    return true;
}

static bool copy_disk(struct pd_sim_world *world, struct pd_sim_machine *machine)
{
    struct pd_sim_machine *twin = &world->machines[world->machine_count];
    if (twin->is_used || machine->start != PD_SIM_START_EXISTING) {
        return false;
    }
    pd_sim_disk_copy(&twin->disk, &machine->disk);
    twin->start = PD_SIM_START_EXISTING;
    twin->may_stop = true;
    if (pd_sim_machine_start(twin)) {
        pd_sim_world_fail(world, "node %u runs on a copy of the disk of node %u", twin->number,
                          machine->number);
    }
    twin->is_gone = true;
    return true;
}

static bool is_voter_anywhere(struct pd_sim_world *world, pd_raft_node node)
{
    struct pd_raft_conf conf;
    pd_sim_world_conf(world, &conf);
    bool is_voter = pd_sim_conf_has_voter(&conf, node);
    for (uint32_t i = 1; i <= world->machine_count; i++) {
        if (world->machines[i].core != NULL) {
            world->core->conf(&world->machines[i], &conf);
            is_voter = is_voter || pd_sim_conf_has_voter(&conf, node);
        }
    }
    return is_voter;
}

/* It comes back under its old name and knows nothing: it must not vote before it is removed and
 * added anew, for it has forgotten its votes and what it promised to hold (RethinkDB). Who was no
 * voter yet has promised nothing: may_lose() lets no change be under way. But its leader may not
 * know, and make a voter of it: it is a bad copy until it holds again what is committed now (seed
 * 7710819). */
static bool wipe(struct pd_sim_world *world, struct pd_sim_machine *machine)
{
    if (!may_lose(world, machine)) {
        return false;
    }
    bool is_forgetful = machine->is_forgetful || is_voter_anywhere(world, machine->number);
    pd_sim_machine_stop(machine, true);
    pd_sim_disk_wipe(&machine->disk);
    pd_sim_machine_lose_store(machine);
    machine->durable_term = 0;
    if (is_forgetful) {
        machine->rebuilding_to = UINT64_MAX;
    } else {
        machine->durable_count = 0; /* nobody counts on what a learner holds: it begins anew */
        machine->durable_vote = 0;
        machine->is_emptied = true;
        machine->rebuilding_to = world->ledger_count > 0 ? world->ledger_count - 1 : 0;
    }
    machine->may_stop = true;
    machine->is_forgetful = is_forgetful;
    (void)pd_sim_machine_start(machine);
    return true;
}

/* The store is gone, or its rows turn out to be unreadable when they are read next. */
static bool hurt_store(struct pd_sim_world *world, struct pd_sim_machine *machine, bool is_gone)
{
    if (!may_lose(world, machine) || machine->seen.commit == 0) {
        return false;
    }
    machine->rebuilding_to = machine->seen.commit;
    machine->may_stop = true; /* where nothing can rebuild it, it stops and says so */
    if (is_gone) {
        pd_sim_machine_stop(machine, false);
        pd_sim_machine_lose_store(machine);
        (void)pd_sim_machine_start(machine);
    } else {
        machine->store_is_damaged = true;
    }
    return true;
}

static bool process_fault(struct pd_sim_world *world, const struct pd_sim_fault *fault,
                          struct pd_sim_machine *machine)
{
    switch ((int)fault->kind) { /* as a number: the others are not of the process */
    case PD_SIM_FAULT_CRASH:
    case PD_SIM_FAULT_POWER:
        pd_sim_machine_stop(machine, fault->kind == PD_SIM_FAULT_POWER);
        restart_later(machine, fault->duration_ns);
        return true;
    case PD_SIM_FAULT_POWER_ALL:
        for (uint32_t i = 1; i <= world->machine_count; i++) {
            if (world->machines[i].core != NULL) {
                pd_sim_machine_stop(&world->machines[i], true);
                restart_later(&world->machines[i], fault->duration_ns * i / 4 + MS);
            }
        }
        return true;
    case PD_SIM_FAULT_PAUSE:
        if (machine->paused_until_ns != 0) {
            return false;
        }
        machine->paused_until_ns = world->now_ns + fault->duration_ns;
        pd_sim_world_push(world, machine->paused_until_ns, PD_SIM_EVENT_RESUME, machine->number, 0,
                          NULL);
        return true;
    case PD_SIM_FAULT_VERSION:
        pd_sim_machine_stop(machine, false);
        machine->version_limit = machine->version_limit == PD_KV_VERSION_LAST
                                     ? PD_KV_VERSION_LAST - 1
                                     : PD_KV_VERSION_LAST;
        restart_later(machine, fault->duration_ns / 4);
        return true;
    case PD_SIM_FAULT_WIPE:
        return wipe(world, machine);
    case PD_SIM_FAULT_COPY:
        return copy_disk(world, machine);
    case PD_SIM_FAULT_DISK_ROT:
        return rot(world, machine);
    case PD_SIM_FAULT_STORE_LOSS:
    case PD_SIM_FAULT_STORE_ROT:
        return hurt_store(world, machine, fault->kind == PD_SIM_FAULT_STORE_LOSS);
    default:
        return false;
    }
}

static bool disk_fault(const struct pd_sim_fault *fault, struct pd_sim_machine *machine,
                       bool is_begin)
{
    switch ((int)fault->kind) { /* as a number: the others are not of the disk */
    case PD_SIM_FAULT_DISK_SLOW:
        machine->disk_slow = is_begin ? fault->amount : 0;
        return true;
    case PD_SIM_FAULT_DISK_WRITE:
        machine->disk.fail_write = fault->amount;
        machine->may_stop = true;
        return true;
    case PD_SIM_FAULT_DISK_SYNC:
        machine->disk.fail_sync = fault->amount;
        machine->may_stop = true;
        return true;
    case PD_SIM_FAULT_DISK_FULL:
        machine->disk.capacity = is_begin ? machine->disk.used : UINT64_C(1) << 40;
        return true;
    default:
        return false;
    }
}

static bool clock_fault(const struct pd_sim_fault *fault, struct pd_sim_machine *machine,
                        bool is_begin)
{
    uint64_t now_ns = machine->world->now_ns;
    switch ((int)fault->kind) { /* as a number: the others are not of the clock */
    case PD_SIM_FAULT_DRIFT:
        pd_sim_clock_set_drift(&machine->clock, now_ns,
                               is_begin ? (int64_t)fault->amount - 100000 : 0);
        return true;
    case PD_SIM_FAULT_JUMP:
        pd_sim_clock_jump_boot(&machine->clock, now_ns, (int64_t)fault->amount * MS);
        return true;
    case PD_SIM_FAULT_WALL_JUMP:
        pd_sim_clock_jump_wall(&machine->clock, ((int64_t)fault->amount - 2000000) * MS);
        return true;
    case PD_SIM_FAULT_FREEZE:
        pd_sim_clock_freeze(&machine->clock, now_ns, is_begin);
        return true;
    default:
        return false;
    }
}

/* -- Cluster ----------------------------------------------------------------------------------- */

static bool wish(struct pd_sim_world *world, enum pd_sim_order_kind kind, pd_raft_node node)
{
    if (world->wish_count >= PD_SIM_WISHES_MAX) {
        return false;
    }
    world->wishes[world->wish_count++] = (struct pd_sim_order){.kind = kind, .node = node};
    return true;
}

static struct pd_sim_machine *spare_of(struct pd_sim_world *world)
{
    for (uint32_t i = world->config.nodes + 1; i <= world->machine_count; i++) {
        if (!world->machines[i].is_used && !world->machines[i].is_gone) {
            return &world->machines[i];
        }
    }
    return NULL;
}

static bool wish_addition(struct pd_sim_world *world)
{
    struct pd_sim_machine *spare = spare_of(world);
    if (spare == NULL || world->wish_count + 5 > PD_SIM_WISHES_MAX) {
        return false;
    }
    if (world->model.now.members != 0) {
        spare->first_members = world->model.now.members;
    }
    if (!pd_sim_machine_start(spare)) {
        return false;
    }
    return (!world->config.directory || wish(world, PD_SIM_ORDER_ENTER, spare->number)) &&
           wish(world, PD_SIM_ORDER_ADD_LEARNER, spare->number) &&
           wish(world, PD_SIM_ORDER_PROMOTE, spare->number);
}

/* Out of the configuration, and out of the directory; or both at once. */
static bool wish_removal(struct pd_sim_world *world, pd_raft_node node)
{
    bool has_directory = world->config.directory;
    bool is_one = has_directory && pd_random_below(&world->faults_random, 2) == 0;
    return (is_one || wish(world, PD_SIM_ORDER_REMOVE, node)) &&
           (!has_directory || wish(world, PD_SIM_ORDER_LEAVE, node));
}

static bool cluster_fault(struct pd_sim_world *world, const struct pd_sim_fault *fault,
                          const struct pd_sim_machine *machine)
{
    struct pd_raft_conf conf;
    pd_sim_world_conf(world, &conf);
    switch ((int)fault->kind) { /* as a number: the others are not of the cluster */
    case PD_SIM_FAULT_ADD:
        return world->wish_count == 0 && conf.voter_count < 7 && wish_addition(world);
    case PD_SIM_FAULT_REMOVE:
        return world->wish_count == 0 && conf.voter_count > 3 &&
               pd_sim_conf_has_voter(&conf, machine->number) &&
               wish_removal(world, machine->number);
    case PD_SIM_FAULT_REPLACE:
        return world->wish_count == 0 && pd_sim_conf_has_voter(&conf, machine->number) &&
               wish_addition(world) && wish_removal(world, machine->number);
    case PD_SIM_FAULT_TRANSFER: {
        struct pd_sim_machine *leader = pd_sim_world_leader(world);
        if (leader == NULL || !pd_sim_machine_is_up(leader)) {
            return false;
        }
        const struct pd_sim_order order = {
            .kind = PD_SIM_ORDER_TRANSFER,
            .node = machine != leader ? machine->number
                                      : 1 + (machine->number + fault->amount) % conf.voter_count};
        pd_sim_world_order(leader, &order);
        return true;
    }
    default:
        return false;
    }
}

/* The first wish came true, or makes no sense any more. */
static bool is_settled(const struct pd_sim_world *world, const struct pd_raft_conf *conf,
                       const struct pd_sim_order *order)
{
    switch (order->kind) {
    case PD_SIM_ORDER_ENTER:
        return ((world->model.now.members | world->model.now.removed) >> order->node & 1) != 0;
    case PD_SIM_ORDER_ADD_LEARNER:
        return pd_sim_conf_has(conf, order->node);
    case PD_SIM_ORDER_PROMOTE:
        return pd_sim_conf_has_voter(conf, order->node) || !pd_sim_conf_has(conf, order->node);
    case PD_SIM_ORDER_REMOVE:
        return !pd_sim_conf_has(conf, order->node);
    case PD_SIM_ORDER_LEAVE:
        return (world->model.now.removed >> order->node & 1) != 0;
    case PD_SIM_ORDER_TRANSFER:
        return true;
    }
    return true;
}

/* An operator removes no good copy when that leaves no quorum of good ones, and makes no voter of a
 * machine that has just been lost when the two together would: such a change is not in any log yet
 * when the budget of faults is asked, which counts voters (seed 2280). */
static bool is_unwise(const struct pd_sim_world *world, const struct pd_raft_conf *conf,
                      const struct pd_sim_order *order)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; i < conf->voter_count; i++) {
        bad += conf->voters[i] != order->node && is_bad_copy(world, conf->voters[i]) ? 1 : 0;
    }
    if (order->kind == PD_SIM_ORDER_PROMOTE) {
        return is_bad_copy(world, order->node) && bad + 1 > conf->voter_count / 2;
    }
    bool removes = order->kind == PD_SIM_ORDER_REMOVE || order->kind == PD_SIM_ORDER_LEAVE;
    return removes && pd_sim_conf_has_voter(conf, order->node) &&
           (conf->voter_count < 2 || bad > (conf->voter_count - 2) / 2);
}

static void drop_first_wish(struct pd_sim_world *world)
{
    world->wish_count--;
    memmove(&world->wishes[0], &world->wishes[1], world->wish_count * sizeof world->wishes[0]);
    world->wish_tries = 0;
}

/* A member whose copy is lost is replaced, as an operator would. */
static void replace_lost(struct pd_sim_world *world, const struct pd_raft_conf *conf)
{
    for (uint32_t i = 0; i < conf->voter_count; i++) {
        const struct pd_sim_machine *machine = &world->machines[conf->voters[i]];
        if ((machine->is_gone || pd_sim_machine_has_forgotten(machine)) && !world->is_healed) {
            (void)wish_addition(world);
            (void)wish_removal(world, conf->voters[i]);
            return;
        }
    }
}

void pd_sim_operator_step(struct pd_sim_world *world)
{
    struct pd_raft_conf conf;
    pd_sim_world_conf(world, &conf);
    struct pd_sim_machine *leader = pd_sim_world_leader(world);
    if (leader == NULL || !pd_sim_machine_is_up(leader)) {
        return;
    }
    if (world->wish_count == 0) {
        replace_lost(world, &conf);
    }
    while (world->wish_count > 0 && is_settled(world, &conf, &world->wishes[0])) {
        world->counts.membership_changes++;
        world->counts.entered += world->wishes[0].kind == PD_SIM_ORDER_ENTER;
        drop_first_wish(world);
    }
    if (world->wish_count == 0) {
        return;
    }
    if (++world->wish_tries > WISH_TRIES_MAX || is_unwise(world, &conf, &world->wishes[0])) {
        drop_first_wish(world);
        return;
    }
    struct pd_sim_order order = world->wishes[0];
    struct pd_sim_machine *asked = leader;
    if ((order.kind == PD_SIM_ORDER_LEAVE || order.kind == PD_SIM_ORDER_ENTER) &&
        world->config.forwards && !pd_sim_conf_has(&conf, order.node)) {
        /* It costs no quorum, or not any more: anybody may be asked, also who leaves. */
        asked = &world->machines[pd_sim_somebody(world, &world->faults_random)];
        order.is_forwarded = true;
    }
    if (pd_sim_machine_is_up(asked)) {
        pd_sim_world_order(asked, &order);
    }
}

/* -- Begin, end, heal -------------------------------------------------------------------------- */

static bool needs_process(enum pd_sim_fault_kind kind)
{
    return kind == PD_SIM_FAULT_CRASH || kind == PD_SIM_FAULT_POWER || kind == PD_SIM_FAULT_PAUSE ||
           kind == PD_SIM_FAULT_WIPE || kind == PD_SIM_FAULT_COPY || kind == PD_SIM_FAULT_VERSION ||
           kind == PD_SIM_FAULT_DISK_ROT || kind == PD_SIM_FAULT_STORE_LOSS ||
           kind == PD_SIM_FAULT_STORE_ROT;
}

void pd_sim_fault_begin(struct pd_sim_world *world, const struct pd_sim_fault *fault,
                        uint64_t number)
{
    struct pd_sim_machine *machine = target_of(world, fault);
    bool is_done = false;
    if (!world->is_healed && machine != NULL &&
        (machine->core != NULL || !needs_process(fault->kind))) {
        world->fault_targets[number] = machine->number;
        is_done = network_fault(world, fault, machine->number, true) ||
                  process_fault(world, fault, machine) || disk_fault(fault, machine, true) ||
                  clock_fault(fault, machine, true) || cluster_fault(world, fault, machine);
    }
    if (!is_done) {
        world->fault_targets[number] = 0;
        world->counts.faults_skipped++;
        return;
    }
    world->counts.faults_used[fault->kind]++;
    if (fault->duration_ns > 0) {
        uint64_t lasts = fault->kind == PD_SIM_FAULT_FLAP      ? fault->duration_ns / 8
                         : fault->kind == PD_SIM_FAULT_COMPACT ? fault->duration_ns * 2
                                                               : fault->duration_ns;
        pd_sim_world_push(world, world->now_ns + lasts + 1, PD_SIM_EVENT_FAULT_END, 0, number,
                          NULL);
    }
}

void pd_sim_fault_end(struct pd_sim_world *world, const struct pd_sim_fault *fault, uint64_t number)
{
    uint32_t target = world->fault_targets[number];
    if (world->is_healed || target == 0) {
        return;
    }
    struct pd_sim_machine *machine = &world->machines[target];
    bool is_cut = pd_sim_network_is_cut(&world->network, target - 1,
                                        (target + fault->amount) % world->machine_count);
    if (fault->kind == PD_SIM_FAULT_FLAP &&
        (!is_cut || world->now_ns < fault->at_ns + fault->duration_ns)) {
        partition(world, fault, target, !is_cut);
        pd_sim_world_push(world, world->now_ns + fault->duration_ns / 8 + 1, PD_SIM_EVENT_FAULT_END,
                          0, number, NULL);
        world->fault_targets[number] =
            world->now_ns < fault->at_ns + fault->duration_ns || !is_cut ? target : 0;
        return;
    }
    if (!network_fault(world, fault, target, false) && !disk_fault(fault, machine, false)) {
        (void)clock_fault(fault, machine, false);
    }
}

/* Leave broken what a quorum can spare. */
static void break_for_good(struct pd_sim_world *world)
{
    struct pd_raft_conf conf;
    pd_sim_world_conf(world, &conf);
    for (uint32_t i = 0; i < conf.voter_count; i++) {
        struct pd_sim_machine *machine = &world->machines[conf.voters[i]];
        if (!machine->is_gone && may_lose(world, machine) &&
            pd_random_below(&world->faults_random, 2) == 0) {
            pd_sim_machine_stop(machine, true);
            machine->is_gone = true;
        }
    }
}

/* The upgrade ends: every node runs the newer program. */
static void upgrade(struct pd_sim_machine *machine)
{
    bool is_old = machine->version_limit != PD_KV_VERSION_LAST;
    machine->version_limit = PD_KV_VERSION_LAST;
    if (is_old && machine->core != NULL) {
        pd_sim_machine_stop(machine, false);
    }
}

void pd_sim_heal(struct pd_sim_world *world)
{
    if (!world->config.heals_all) {
        break_for_good(world);
    }
    world->is_healed = true;
    world->healed_revision = world->model.now.revision;
    world->clients->healed_at_ns = world->now_ns;
    uint64_t latest_ns = world->now_ns + PD_SIM_SECOND_NS;
    pd_sim_network_heal(&world->network, latest_ns);
    /* What a slow reader had not read yet does not outlive its slowness; nor does what waited for a
     * process that was stopped: it had no clock, and a quorum that needs it no leader (seed
     * 1882). */
    static const uint32_t late[] = {PD_SIM_EVENT_DELIVER, PD_SIM_EVENT_TICK, PD_SIM_EVENT_DONE,
                                    PD_SIM_EVENT_REQUEST};
    for (size_t i = 0; i < sizeof late / sizeof late[0]; i++) {
        pd_sim_queue_hasten(&world->queue, late[i], latest_ns);
    }
    for (uint32_t i = 1; i <= world->machine_count; i++) {
        struct pd_sim_machine *machine = &world->machines[i];
        pd_sim_clock_freeze(&machine->clock, world->now_ns, false);
        pd_sim_clock_set_drift(&machine->clock, world->now_ns, 0);
        machine->disk_slow = 0;
        machine->disk.capacity = UINT64_C(1) << 40;
        machine->disk.fail_write = 0;
        machine->disk.fail_sync = 0;
        machine->paused_until_ns = 0;
        upgrade(machine);
        if (machine->is_used && machine->core == NULL) {
            (void)pd_sim_machine_start(machine);
        }
    }
}
