#include "sim/world.h"

#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "sim/clients.h"
#include "sim/watchers.h"
#include "store/memory.h"

/* However slow a disk is, what was begun before the healing ends well before the run does. */
#define DISK_TIME_MAX_NS (5 * (uint64_t)PD_SIM_SECOND_NS)
#define MS PD_SIM_MS_NS
#define WALL_START_NS 1700000000000000000u
#define OPERATOR_EVERY_NS (200u * MS)
#define LOST_NS (1000u * MS) /* until everybody has noticed that a process is gone */

/* A request or an answer on its way. */
struct letter {
    uint64_t client;
    uint64_t correlation;
    size_t size;
    uint8_t bytes[];
};

/* Whose core runs now: the hook of assert.h has no argument. One world runs at a time in a
 * process. */
static struct pd_sim_world *current;

static void last_words(bool is_bug, const char *text)
{
    struct pd_sim_world *world = current;
    if (world == NULL || !world->in_core) {
        return;
    }
    world->in_core = false;
    world->panic_is_bug = is_bug;
    (void)snprintf(world->panic_text, sizeof world->panic_text, "%s", text);
    longjmp(world->panic, 1);
}

void pd_sim_world_fail(struct pd_sim_world *world, const char *format, ...)
{
    if (world->is_failed) {
        return; /* the first one tells */
    }
    world->is_failed = true;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(world->failure, sizeof world->failure, format, arguments);
    va_end(arguments);
}

void pd_sim_world_push(struct pd_sim_world *world, uint64_t time_ns, enum pd_sim_event_kind kind,
                       uint32_t node, uint64_t value, void *data)
{
    uint64_t life = 0;
    if (kind == PD_SIM_EVENT_TICK || kind == PD_SIM_EVENT_DONE || kind == PD_SIM_EVENT_RESUME ||
        kind == PD_SIM_EVENT_LOST || kind == PD_SIM_EVENT_REMOVED) {
        life = world->machines[node].life;
    }
    const struct pd_sim_event event = {
        .time_ns = time_ns,
        .kind = (uint32_t)kind,
        .node = node,
        .life = life,
        .value = value,
        .data = data,
    };
    pd_sim_queue_push(&world->queue, &event);
}

bool pd_sim_machine_is_up(const struct pd_sim_machine *machine)
{
    return machine->core != NULL && machine->paused_until_ns == 0;
}

/* -- What cores ask for ------------------------------------------------------------------------ */

static struct letter *write_letter(uint64_t client, uint64_t correlation, struct pd_span bytes)
{
    struct letter *letter = pd_sim_alloc(sizeof *letter + bytes.size);
    *letter = (struct letter){.client = client, .correlation = correlation, .size = bytes.size};
    if (bytes.size > 0) {
        memcpy(letter->bytes, bytes.bytes, bytes.size);
    }
    return letter;
}

void pd_sim_world_answer(struct pd_sim_machine *machine, uint64_t client, uint64_t correlation,
                         struct pd_span bytes)
{
    struct pd_sim_world *world = machine->world;
    if (client == PD_SIM_CLIENT_OPERATOR) {
        return; /* it looks at the configuration instead */
    }
    uint64_t delay = pd_sim_heavy_tail(&world->clients->random, world->config.network_delay_ns,
                                       world->config.network_tail);
    uint64_t at_ns = world->now_ns + delay;
    if (client >= PD_SIM_CLIENT_WATCHERS) {
        at_ns = pd_sim_watcher_arrival(world, client, at_ns);
    }
    pd_sim_world_push(world, at_ns, PD_SIM_EVENT_ANSWER, machine->number,
                      pd_hash_bytes(correlation, bytes.bytes, bytes.size),
                      write_letter(client, correlation, bytes));
}

void pd_sim_world_request(struct pd_sim_world *world, struct pd_random *random, uint32_t machine,
                          uint64_t client, uint64_t correlation, struct pd_span bytes)
{
    uint64_t delay =
        pd_sim_heavy_tail(random, world->config.network_delay_ns, world->config.network_tail);
    pd_sim_world_push(world, world->now_ns + delay, PD_SIM_EVENT_REQUEST, machine, correlation,
                      write_letter(client, correlation, bytes));
}

void pd_sim_world_gone(struct pd_sim_world *world, struct pd_random *random, uint32_t machine,
                       uint64_t client)
{
    uint64_t delay =
        pd_sim_heavy_tail(random, world->config.network_delay_ns, world->config.network_tail);
    pd_sim_world_push(world, world->now_ns + delay, PD_SIM_EVENT_GONE, machine, client, NULL);
}

void pd_sim_world_after(struct pd_sim_machine *machine, uint64_t delay_ns, uint32_t what,
                        uint64_t value)
{
    /* The kind of work travels in the pointer's place: it is a small number. */
    pd_sim_world_push(machine->world, machine->world->now_ns + delay_ns, PD_SIM_EVENT_DONE,
                      machine->number, value, (void *)(uintptr_t)what);
}

uint64_t pd_sim_world_disk_time(struct pd_sim_machine *machine, uint64_t usual_ns)
{
    uint64_t takes = pd_sim_heavy_tail(&machine->random, usual_ns, 5) * (1 + machine->disk_slow);
    return takes < DISK_TIME_MAX_NS ? takes : DISK_TIME_MAX_NS;
}

void pd_sim_world_durable_entry(struct pd_sim_machine *machine, uint64_t index, uint64_t term)
{
    if (machine->rebuilding_to == UINT64_MAX) {
        return; /* its disk was damaged on purpose: what it once promised, it promised */
    }
    machine->durable_terms = pd_sim_grow(machine->durable_terms, &machine->durable_capacity,
                                         (size_t)index + 1, sizeof machine->durable_terms[0]);
    while (machine->durable_count <= index) {
        machine->durable_terms[machine->durable_count++] = 0;
    }
    machine->durable_terms[index] = term;
    machine->durable_count = (size_t)index + 1;
}

void pd_sim_world_durable_state(struct pd_sim_machine *machine, uint64_t term, uint64_t vote)
{
    machine->durable_term = term;
    machine->durable_vote = vote;
}

void pd_sim_world_recovered(struct pd_sim_machine *machine, const struct pd_sim_mark *entries,
                            size_t count, const struct pd_sim_mark *snapshot)
{
    if (machine->rebuilding_to == UINT64_MAX) {
        return;
    }
    uint64_t promised = machine->durable_count > 0 ? machine->durable_count - 1 : 0;
    uint64_t term = promised > 0 ? machine->durable_terms[promised] : 0;
    const struct pd_sim_mark last = count > 0 ? entries[count - 1] : (struct pd_sim_mark){0};
    bool is_held =
        last.term > term || (last.term == term && last.index >= promised) ||
        snapshot->index >= promised ||
        (machine->store != NULL && machine->store->ops->durable_index(machine->store) >= promised);
    if (!is_held) {
        pd_sim_world_fail(machine->world,
                          "node %u: its log ends at %llu (term %llu), though %llu (term %llu) was "
                          "durable",
                          machine->number, (unsigned long long)last.index,
                          (unsigned long long)last.term, (unsigned long long)promised,
                          (unsigned long long)term);
    }
    for (size_t i = 0; i < count; i++) {
        pd_sim_world_durable_entry(machine, entries[i].index, entries[i].term);
    }
}

void pd_sim_world_note(struct pd_sim_machine *machine, const char *text)
{
    struct pd_sim_world *world = machine->world;
    if (world->trace_stream != NULL) {
        (void)fprintf(world->trace_stream, "        node %u: %s\n", machine->number, text);
    }
}

/* -- Machines ---------------------------------------------------------------------------------- */

struct pd_sim_machine *pd_sim_world_leader(struct pd_sim_world *world)
{
    struct pd_sim_machine *leader = NULL;
    for (uint32_t i = 1; i <= world->machine_count; i++) {
        struct pd_sim_machine *machine = &world->machines[i];
        if (machine->core != NULL && machine->seen.role == PD_RAFT_LEADER &&
            (leader == NULL || machine->seen.term > leader->seen.term)) {
            leader = machine;
        }
    }
    return leader;
}

static bool holds(const pd_raft_node *nodes, uint32_t count, pd_raft_node node)
{
    for (uint32_t i = 0; i < count; i++) {
        if (nodes[i] == node) {
            return true;
        }
    }
    return false;
}

bool pd_sim_conf_has_voter(const struct pd_raft_conf *conf, pd_raft_node node)
{
    return holds(conf->voters, conf->voter_count, node) ||
           holds(conf->voters_outgoing, conf->voter_outgoing_count, node);
}

bool pd_sim_conf_has(const struct pd_raft_conf *conf, pd_raft_node node)
{
    return pd_sim_conf_has_voter(conf, node) || holds(conf->learners, conf->learner_count, node) ||
           holds(conf->learners_next, conf->learner_next_count, node);
}

void pd_sim_world_conf(const struct pd_sim_world *world, struct pd_raft_conf *conf_out)
{
    *conf_out = world->conf_index == 0 ? world->founders : world->conf;
}

static void next_tick(struct pd_sim_machine *machine)
{
    struct pd_sim_world *world = machine->world;
    uint64_t period = world->config.tick_ns;
    if (machine->clock.drift_ppm != 0) {
        period = (uint64_t)((int64_t)period * 1000000 / (1000000 + machine->clock.drift_ppm));
    }
    pd_sim_world_push(world, world->now_ns + period, PD_SIM_EVENT_TICK, machine->number, 0, NULL);
}

/* It could not follow the cluster's version: an operator gives it the newer program. */
static void upgrade_after_stop(struct pd_sim_machine *machine)
{
    struct pd_sim_world *world = machine->world;
    machine->is_too_old = false;
    if (machine->version_limit == PD_KV_VERSION_LAST) {
        pd_sim_world_fail(world, "node %u says that it is too old, and is not", machine->number);
        return;
    }
    world->counts.too_old++;
    machine->version_limit = PD_KV_VERSION_LAST;
    pd_sim_machine_stop(machine, false);
    pd_sim_world_push(world, world->now_ns + 500 * MS, PD_SIM_EVENT_RESTART, machine->number, 0,
                      NULL);
}

/* Nobody starts it again. */
static void end_as_removed(struct pd_sim_machine *machine)
{
    struct pd_sim_world *world = machine->world;
    if ((world->model.now.removed >> machine->number & 1) == 0) {
        pd_sim_world_fail(world, "node %u says that it was removed, and was not", machine->number);
        return;
    }
    world->counts.removed++;
    pd_sim_machine_stop(machine, false);
    machine->is_gone = true;
}

/* A panic or an output told that the process ends here. */
static void process_stopped(struct pd_sim_machine *machine, const char *text)
{
    struct pd_sim_world *world = machine->world;
    if (machine->was_removed) {
        end_as_removed(machine);
        return;
    }
    world->counts.stopped++;
    if (machine->is_too_old) {
        upgrade_after_stop(machine);
        return;
    }
    if (!machine->may_stop) {
        pd_sim_world_fail(world, "node %u stopped although nothing had failed: %s", machine->number,
                          text);
        return;
    }
    /* Its supervisor starts it again, on a machine that was reset. */
    bool is_damaged =
        machine->store_is_damaged && !machine->store_was_lost; /* and not yet noticed */
    machine->may_stop = machine->disk.fail_write > 0 || machine->disk.fail_sync > 0 || is_damaged;
    pd_sim_machine_stop(machine, true);
    pd_sim_world_push(world, world->now_ns + 500 * MS, PD_SIM_EVENT_RESTART, machine->number, 0,
                      NULL);
}

static void panicked(struct pd_sim_machine *machine)
{
    struct pd_sim_world *world = machine->world;
    if (world->panic_is_bug) {
        pd_sim_world_fail(world, "node %u: %s", machine->number, world->panic_text);
        return;
    }
    if (machine->core != NULL && machine->seen.has_raft) {
        pd_sim_check_last_commits(machine); /* seed 8845 */
    }
    process_stopped(machine, world->panic_text);
}

void pd_sim_world_order(struct pd_sim_machine *machine, const struct pd_sim_order *order)
{
    struct pd_sim_world *world = machine->world;
    world->in_core = true;
    if (setjmp(world->panic) != 0) {
        panicked(machine);
        return;
    }
    world->core->order(machine, order);
    world->in_core = false;
}

static void refused_to_start(struct pd_sim_machine *machine, enum pd_status status,
                             const char *text)
{
    struct pd_sim_world *world = machine->world;
    world->counts.stopped++;
    machine->core = NULL;
    if (status == PD_ERR_FULL || status == PD_ERR_IO) {
        /* It says nothing about what is on the disk: again later. */
        pd_sim_world_push(world, world->now_ns + 500 * MS, PD_SIM_EVENT_RESTART, machine->number, 0,
                          NULL);
        return;
    }
    if (!machine->may_stop) {
        pd_sim_world_fail(world, "node %u refused to start although its disk was well: %s (%s)",
                          machine->number, text, pd_status_text(status));
    }
    machine->is_gone = true;
}

bool pd_sim_machine_start(struct pd_sim_machine *machine)
{
    struct pd_sim_world *world = machine->world;
    if (machine->core != NULL || machine->is_gone) {
        return false;
    }
    machine->life++;
    machine->is_used = true;
    machine->paused_until_ns = 0;
    machine->seen = (struct pd_sim_view){0};
    memset(&machine->conf, 0, sizeof machine->conf);
    machine->ledger_checked = 0;
    const char *text = "";
    current = world;
    world->in_core = true;
    if (setjmp(world->panic) != 0) {
        panicked(machine);
        return false;
    }
    enum pd_status status = world->core->open(machine, &text);
    world->in_core = false;
    if (status != PD_OK) {
        refused_to_start(machine, status, text);
        return false;
    }
    struct pd_sim_view view = {0};
    world->core->view(machine, &view);
    machine->seen.store_index = view.store_index;
    next_tick(machine);
    return true;
}

static void crash_store(struct pd_sim_machine *machine)
{
    if (machine->store == NULL) {
        return;
    }
    uint64_t before = machine->store->ops->applied_index(machine->store);
    if (pd_store_memory_crash(machine->store, &machine->random) != PD_OK) {
        pd_sim_world_fail(machine->world, "the simulator has no memory left");
        return;
    }
    PD_SOMETIMES(SIM_STORE_FELL_BACK, machine->store->ops->applied_index(machine->store) < before);
}

void pd_sim_machine_lose_store(struct pd_sim_machine *machine)
{
    if (machine->store != NULL) {
        machine->store->ops->close(machine->store);
    }
    machine->store = NULL;
    machine->store_is_damaged = false;
}

/* The others lose their connections to it, one sooner, one later. */
static void tell_lost(struct pd_sim_machine *machine)
{
    struct pd_sim_world *world = machine->world;
    for (uint32_t i = 1; i <= world->machine_count && world->config.forwards; i++) {
        if (i != machine->number && world->machines[i].core != NULL) {
            uint64_t after_ns = pd_random_below(&world->network.random, LOST_NS);
            pd_sim_world_push(world, world->now_ns + after_ns, PD_SIM_EVENT_LOST, i,
                              machine->number, NULL);
        }
    }
}

void pd_sim_machine_stop(struct pd_sim_machine *machine, bool cuts_power)
{
    struct pd_sim_world *world = machine->world;
    if (machine->core != NULL) {
        PD_SOMETIMES(SIM_CRASH_DURING_WRITE, pd_sim_disk_is_dirty(&machine->disk));
        PD_SOMETIMES(SIM_CRASH_OF_LEADER, machine->seen.role == PD_RAFT_LEADER);
        machine->leaves_change = machine->leaves_change || pd_sim_machine_is_changing(machine);
        world->core->close(machine);
        tell_lost(machine);
        world->counts.crashes++;
    }
    machine->core = NULL;
    machine->life++;
    machine->paused_until_ns = 0;
    if (cuts_power) {
        (void)pd_sim_disk_power_cut(&machine->disk, &machine->random);
        pd_sim_clock_reboot(&machine->clock, world->now_ns,
                            pd_random_below(&machine->random, PD_SIM_SECOND_NS));
    } else {
        pd_sim_disk_kill(&machine->disk);
    }
    /* The store has no log of its own: what it had not flushed may be gone with the process. */
    crash_store(machine);
}

static void init_machine(struct pd_sim_world *world, uint32_t number)
{
    struct pd_sim_machine *machine = &world->machines[number];
    char name[32];
    (void)snprintf(name, sizeof name, "machine-%u", number);
    machine->world = world;
    machine->number = number;
    pd_random_init(&machine->random, world->config.seed, name);
    pd_sim_disk_init(&machine->disk, UINT64_C(1) << 40);
    pd_sim_transport_init(&machine->transport, machine);
    uint64_t skew = pd_random_below(&machine->random, 100 * (uint64_t)PD_SIM_SECOND_NS);
    uint64_t wall_skew = pd_random_below(&machine->random, 3 * (uint64_t)PD_SIM_SECOND_NS);
    pd_sim_clock_init(&machine->clock, PD_SIM_SECOND_NS + skew, WALL_START_NS + wall_skew);
    machine->version_limit =
        world->config.begins_before ? PD_KV_VERSION_LAST - 1 : PD_KV_VERSION_LAST;
    machine->start = number <= world->config.nodes ? PD_SIM_START_BOOTSTRAP : PD_SIM_START_JOIN;
    machine->first_members = (2u << world->config.nodes) - 2;
}

void pd_sim_world_init(struct pd_sim_world *world, const struct pd_sim_config *config,
                       const struct pd_sim_schedule *schedule, const struct pd_sim_core_ops *core)
{
    memset(world, 0, sizeof *world);
    world->config = *config;
    world->core = core;
    world->schedule = schedule;
    world->machine_count = config->nodes + config->spares;
    pd_assert(world->machine_count <= PD_SIM_NODES_MAX);
    pd_sim_queue_init(&world->queue);
    pd_sim_network_init(&world->network, config->seed, config->network_delay_ns,
                        config->network_tail);
    pd_random_init(&world->faults_random, config->seed, "fault details");
    world->fault_targets = pd_sim_alloc((schedule->count + 1) * sizeof world->fault_targets[0]);
    world->version = PD_KV_VERSION_FIRST;
    world->founders.voter_count = config->nodes;
    for (uint32_t i = 0; i < config->nodes; i++) {
        world->founders.voters[i] = i + 1;
    }
    for (uint32_t i = 1; i <= world->machine_count; i++) {
        init_machine(world, i);
    }
    struct pd_kv_config kv;
    pd_sim_core_kv_config(config, &kv);
    pd_sim_model_init(&world->model, &kv);
    pd_sim_clients_init(world);
    pd_sim_watchers_init(world);
    for (size_t i = 0; i < schedule->count; i++) {
        pd_sim_world_push(world, schedule->faults[i].at_ns, PD_SIM_EVENT_FAULT, 0, i, NULL);
    }
    pd_sim_world_push(world, config->safety_ns, PD_SIM_EVENT_HEAL, 0, 0, NULL);
    pd_sim_world_push(world, config->progress_ns, PD_SIM_EVENT_PROGRESS, 0, 0, NULL);
    pd_sim_world_push(world, OPERATOR_EVERY_NS, PD_SIM_EVENT_OPERATOR, 0, 0, NULL);
}

static void drop_event(const struct pd_sim_event *event)
{
    if (event->kind == PD_SIM_EVENT_DELIVER) {
        pd_sim_packet_release(event->data);
    } else if (event->kind == PD_SIM_EVENT_REQUEST || event->kind == PD_SIM_EVENT_ANSWER) {
        pd_free(event->data);
    }
}

void pd_sim_world_deinit(struct pd_sim_world *world)
{
    struct pd_sim_event event;
    while (pd_sim_queue_pop(&world->queue, &event)) {
        drop_event(&event);
    }
    pd_sim_queue_deinit(&world->queue);
    for (uint32_t i = 1; i <= world->machine_count; i++) {
        struct pd_sim_machine *machine = &world->machines[i];
        if (machine->core != NULL) {
            world->core->close(machine);
        }
        pd_sim_machine_lose_store(machine);
        pd_sim_disk_deinit(&machine->disk);
        pd_free(machine->durable_terms);
    }
    pd_sim_clients_deinit(world);
    pd_sim_watchers_deinit(world);
    pd_sim_model_deinit(&world->model);
    pd_free(world->fault_targets);
    pd_free(world->ledger);
    pd_free(world->state_hashes);
    pd_free(world->leaders);
    if (current == world) {
        current = NULL;
        pd_last_words = NULL;
    }
}

/* -- Events ------------------------------------------------------------------------------------ */

static void give_to_core(struct pd_sim_machine *machine, const struct pd_sim_event *event)
{
    struct pd_sim_world *world = machine->world;
    const struct pd_sim_core_ops *core = world->core;
    if (event->kind == PD_SIM_EVENT_TICK) {
        core->tick(machine);
        next_tick(machine);
    } else if (event->kind == PD_SIM_EVENT_DELIVER) {
        pd_sim_transport_deliver(&machine->transport, event->data);
    } else if (event->kind == PD_SIM_EVENT_REQUEST) {
        const struct letter *letter = event->data;
        core->request(machine, letter->client, letter->correlation, letter->bytes, letter->size);
    } else if (event->kind == PD_SIM_EVENT_GONE) {
        core->gone(machine, event->value);
    } else if (event->kind == PD_SIM_EVENT_LOST) {
        pd_sim_transport_lost(&machine->transport, (uint32_t)event->value);
    } else if (event->kind == PD_SIM_EVENT_REMOVED) {
        pd_sim_transport_removed(&machine->transport, (uint32_t)event->value);
    } else {
        core->done(machine, (uint32_t)(uintptr_t)event->data, event->value);
    }
}

/* An event for the process of one machine: now, later when it is paused, never when it died. True:
 * it was kept for later. */
static bool machine_event(struct pd_sim_world *world, const struct pd_sim_event *event)
{
    struct pd_sim_machine *machine = &world->machines[event->node];
    if (machine->core == NULL || (event->life != 0 && event->life != machine->life)) {
        return false;
    }
    if (machine->paused_until_ns != 0) {
        struct pd_sim_event later = *event;
        later.time_ns = machine->paused_until_ns + 1;
        pd_sim_queue_push(&world->queue, &later);
        return true;
    }
    world->in_core = true;
    if (setjmp(world->panic) != 0) {
        panicked(machine);
        return false;
    }
    give_to_core(machine, event);
    pd_sim_check_machine(machine);
    world->in_core = false;
    return false;
}

static void note_recent(struct pd_sim_world *world, const struct pd_sim_event *event)
{
    world->recent[world->counts.events % PD_SIM_RECENT] = (struct pd_sim_recent){
        .number = world->counts.events,
        .time_ns = event->time_ns,
        .kind = event->kind,
        .node = event->node,
        .value = event->value,
    };
    world->counts.events++;
    uint64_t hash = pd_hash_u64(world->trace_hash, event->time_ns);
    hash = pd_hash_u64(hash, (uint64_t)event->kind << 32 | event->node);
    world->trace_hash = pd_hash_u64(hash, event->value);
    if (world->trace_stream != NULL) {
        (void)fprintf(world->trace_stream, "%llu %llu.%06llu kind %u node %u value %016llx\n",
                      (unsigned long long)world->counts.events,
                      (unsigned long long)(event->time_ns / PD_SIM_SECOND_NS),
                      (unsigned long long)(event->time_ns % PD_SIM_SECOND_NS / 1000), event->kind,
                      event->node, (unsigned long long)event->value);
    }
}

static void progress_event(struct pd_sim_world *world)
{
    pd_sim_clients_check_progress(world);
    pd_sim_watchers_check_progress(world);
    world->clients->has_ended = true;
    for (uint32_t i = 1; i <= world->machine_count; i++) {
        const struct pd_sim_machine *machine = &world->machines[i];
        if (machine->core != NULL && machine->seen.commit > world->commit_at_progress) {
            world->commit_at_progress = machine->seen.commit;
        }
    }
}

static void resume(struct pd_sim_machine *machine, uint64_t life)
{
    if (life == machine->life && machine->paused_until_ns == machine->world->now_ns) {
        machine->paused_until_ns = 0;
    }
}

static void answer_event(struct pd_sim_world *world, const struct pd_sim_event *event)
{
    const struct letter *letter = event->data;
    const struct pd_span bytes = {letter->bytes, letter->size};
    if (letter->client >= PD_SIM_CLIENT_WATCHERS) {
        pd_sim_watcher_answer(world, (uint32_t)(letter->client - PD_SIM_CLIENT_WATCHERS),
                              letter->correlation, bytes);
    } else {
        pd_sim_client_answer(world, (uint32_t)letter->client, letter->correlation, bytes);
    }
}

static void world_event(struct pd_sim_world *world, const struct pd_sim_event *event)
{
    switch ((enum pd_sim_event_kind)event->kind) {
    case PD_SIM_EVENT_CLIENT:
        pd_sim_client_go(world, event->node);
        break;
    case PD_SIM_EVENT_TIMEOUT:
        pd_sim_client_timeout(world, event->node, event->value);
        break;
    case PD_SIM_EVENT_RETRY:
        pd_sim_client_retry(world, event->node, event->value);
        break;
    case PD_SIM_EVENT_ANSWER:
        answer_event(world, event);
        break;
    case PD_SIM_EVENT_WATCHER:
        pd_sim_watcher_go(world, event->node, event->value);
        break;
    case PD_SIM_EVENT_FAULT:
        pd_sim_fault_begin(world, &world->schedule->faults[event->value], event->value);
        break;
    case PD_SIM_EVENT_FAULT_END:
        pd_sim_fault_end(world, &world->schedule->faults[event->value], event->value);
        break;
    case PD_SIM_EVENT_RESTART:
        (void)pd_sim_machine_start(&world->machines[event->node]);
        break;
    case PD_SIM_EVENT_RESUME:
        resume(&world->machines[event->node], event->life);
        break;
    case PD_SIM_EVENT_OPERATOR:
        pd_sim_operator_step(world);
        pd_sim_world_push(world, world->now_ns + OPERATOR_EVERY_NS, PD_SIM_EVENT_OPERATOR, 0, 0,
                          NULL);
        break;
    case PD_SIM_EVENT_HEAL:
        pd_sim_heal(world);
        break;
    case PD_SIM_EVENT_PROGRESS:
        progress_event(world);
        break;
    case PD_SIM_EVENT_TICK:
    case PD_SIM_EVENT_DELIVER:
    case PD_SIM_EVENT_DONE:
    case PD_SIM_EVENT_REQUEST:
    case PD_SIM_EVENT_GONE:
    case PD_SIM_EVENT_LOST:
    case PD_SIM_EVENT_REMOVED:
        break;
    }
}

static void heavy_checks(struct pd_sim_world *world, bool is_end)
{
    world->in_core = true;
    if (setjmp(world->panic) != 0) {
        pd_sim_world_fail(world, "check: %s", world->panic_text);
        return;
    }
    pd_sim_check_heavy(world);
    if (is_end && !world->is_failed) {
        pd_sim_check_end(world);
    }
    world->in_core = false;
}

static void serve(struct pd_sim_world *world, const struct pd_sim_event *event)
{
    world->now_ns = event->time_ns;
    note_recent(world, event);
    bool is_kept = false;
    if (event->kind == PD_SIM_EVENT_TICK || event->kind == PD_SIM_EVENT_DELIVER ||
        event->kind == PD_SIM_EVENT_DONE || event->kind == PD_SIM_EVENT_REQUEST ||
        event->kind == PD_SIM_EVENT_GONE || event->kind == PD_SIM_EVENT_LOST ||
        event->kind == PD_SIM_EVENT_REMOVED) {
        is_kept = machine_event(world, event);
    } else {
        world_event(world, event);
    }
    if (!is_kept) {
        drop_event(event);
    }
    if (!world->is_failed && world->counts.events % PD_SIM_HEAVY_EVERY == 0) {
        heavy_checks(world, false);
    }
}

bool pd_sim_world_run(struct pd_sim_world *world)
{
    current = world;
    pd_last_words = last_words;
    for (uint32_t i = 1; i <= world->config.nodes && !world->is_failed; i++) {
        (void)pd_sim_machine_start(&world->machines[i]);
    }
    struct pd_sim_event event;
    while (!world->is_failed && pd_sim_queue_pop(&world->queue, &event)) {
        if (event.time_ns > world->config.end_ns) {
            drop_event(&event);
            break;
        }
        serve(world, &event);
    }
    if (!world->is_failed) {
        heavy_checks(world, true);
    }
    if (!world->is_failed) {
        pd_sim_history_check(world);
    }
    world->counts.expiries = world->model.expiries;
    world->counts.repeats = world->model.repeats;
    world->counts.sessions = world->model.session_count;
    return !world->is_failed;
}
