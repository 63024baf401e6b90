#include "sim/core_peers.h"

#include <string.h>

#include "base/assert.h"
#include "base/hash.h"

#define KIB 1024u
#define FIRST 1u        /* client to forwards, where 0 is nobody */
#define FORWARDS_MAX 8u /* few: some are refused */

/* -- The directory ----------------------------------------------------------------------------- */

static struct pd_kv_member row_of(uint32_t number)
{
    struct pd_kv_member member = {.node = number};
    memset(member.key, (int)number, sizeof member.key);
    return member;
}

/* The simulator's nodes are numbers, and so are their keys. */
static uint64_t node_of(const uint8_t key[PD_KV_MEMBER_KEY_SIZE])
{
    return key[0];
}

static void put_rows(struct pd_members_file *file, uint32_t nodes)
{
    for (uint32_t i = 1; i <= PD_SIM_NODES_MAX; i++) {
        if ((nodes >> i & 1) != 0) {
            file->members[file->count++] = row_of(i);
        }
    }
}

size_t pd_sim_peers_put_entry(uint8_t *bytes, size_t bytes_max, pd_raft_node node)
{
    uint8_t row[PD_SIM_MEMBER_BYTES_MAX];
    struct pd_kv_writer inner = {.bytes = row, .bytes_max = sizeof row};
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = bytes_max};
    const struct pd_kv_member member = row_of((uint32_t)node);
    pd_kv_member_encode(&inner, &member);
    pd_kv_command_encode(&writer, &(struct pd_kv_command){.kind = PD_KV_MEMBER_PUT,
                                                          .id = (int64_t)node,
                                                          .bytes = {inner.bytes, inner.size}});
    pd_assert(!inner.is_full && !writer.is_full);
    return writer.size;
}

void pd_sim_peers_configure(struct pd_sim_peers *peers, struct pd_sim_machine *machine,
                            struct pd_replica_config *config)
{
    const struct pd_sim_world *world = machine->world;
    peers->machine = machine;
    if (!world->config.directory) {
        return;
    }
    put_rows(&peers->first, machine->first_members);
    put_rows(&peers->last, machine->last_members);
    peers->last.index = machine->last_index;
    pd_directory_init(&peers->directory, &peers->first, &peers->last);
    config->has_directory = true;
    config->node_of = node_of;
    config->first_members = peers->rows;
    /* Who joined does not know who was first. */
    config->first_member_count = machine->number <= world->config.nodes ? peers->first.count : 0;
    for (uint32_t i = 0; i < config->first_member_count; i++) {
        struct pd_kv_writer writer = {.bytes = peers->bytes[i],
                                      .bytes_max = PD_SIM_MEMBER_BYTES_MAX};
        pd_kv_member_encode(&writer, &peers->first.members[i]);
        pd_assert(!writer.is_full);
        peers->rows[i] = (struct pd_replica_first_member){.node = peers->first.members[i].node,
                                                          .bytes = {writer.bytes, writer.size}};
    }
}

static _Noreturn void end_as_removed(struct pd_sim_peers *peers, const char *who)
{
    if (peers->machine->world->config.forwards) {
        pd_forwards_left(&peers->forwards);
    }
    peers->machine->was_removed = true;
    pd_fatal("removed from the cluster, as %s says", who);
}

void pd_sim_peers_removed(struct pd_sim_peers *peers, uint64_t node)
{
    (void)node;
    PD_SOMETIMES(SIM_REMOVED_TOLD, true);
    end_as_removed(peers, "another node");
}

static void tell_removed(struct pd_sim_peers *peers)
{
    const struct pd_kv *kv = pd_replica_kv(peers->replica);
    uint64_t nodes[PD_SIM_NODES_MAX];
    uint32_t count = 0;
    uint64_t node = 0;
    while (count < PD_SIM_NODES_MAX && (node = pd_kv_member_next_removed(kv, node)) != 0) {
        nodes[count++] = node;
    }
    pd_sim_transport_set_removed(&peers->machine->transport, nodes, count);
}

/* members.json: at once, where the server's is written by the store thread. */
static void keep_last(struct pd_sim_peers *peers)
{
    struct pd_sim_machine *machine = peers->machine;
    struct pd_kv_status kv;
    uint32_t removed = 0;
    pd_kv_status(pd_replica_kv(peers->replica), &kv);
    pd_sim_peers_standings(peers, &machine->last_members, &removed);
    machine->last_index = kv.applied_index;
}

/* As the server does, whose table also follows names. */
static void follow_directory(struct pd_sim_peers *peers)
{
    struct pd_sim_machine *machine = peers->machine;
    struct pd_directory *directory = &peers->directory;
    struct pd_transport *transport = &machine->transport.base;
    enum pd_directory_news news = pd_directory_look(directory, peers->replica);
    bool is_another = news == PD_DIRECTORY_IS_ANOTHER;
    if (news == PD_DIRECTORY_IS_HALF || (news == PD_DIRECTORY_NONE && directory->followed != 0)) {
        return;
    }
    if (is_another) {
        tell_removed(peers);
    }
    struct pd_transport_peer table[2 * PD_SIM_NODES_MAX] = {{0}};
    struct pd_directory_walk walk = {0};
    struct pd_kv_member member;
    uint32_t count = 0;
    while (pd_directory_next(directory, peers->replica, &walk, &member)) {
        table[count++].node = member.node;
    }
    enum pd_status status = transport->ops->set_peers(transport, table, count);
    pd_directory_followed(directory, peers->replica, status == PD_OK);
    machine->world->counts.words += news == PD_DIRECTORY_IS_TOLD && directory->told != 0;
    if (is_another && !directory->counts_last) {
        keep_last(peers);
    }
    if (is_another &&
        pd_directory_standing(directory, peers->replica, machine->number) == PD_KV_MEMBER_REMOVED) {
        end_as_removed(peers, "its own directory");
    }
}

void pd_sim_peers_standings(const struct pd_sim_peers *peers, uint32_t *live_out,
                            uint32_t *removed_out)
{
    const struct pd_kv *kv = pd_replica_kv(peers->replica);
    struct pd_kv_member member = {0};
    *live_out = 0;
    *removed_out = 0;
    while (pd_kv_member_next(kv, member.node, &member)) {
        *live_out |= 1u << member.node;
    }
    uint64_t node = 0;
    while ((node = pd_kv_member_next_removed(kv, node)) != 0) {
        *removed_out |= 1u << node;
    }
}

/* -- Forwards ---------------------------------------------------------------------------------- */

static void answer_forwarded(void *state, const struct pd_forward *forward, struct pd_span bytes)
{
    pd_sim_world_answer(state, forward->client_id - FIRST, forward->correlation, bytes);
}

void pd_sim_peers_begin(struct pd_sim_peers *peers, struct pd_replica *replica,
                        const struct pd_replica_config *config)
{
    struct pd_sim_machine *machine = peers->machine;
    const struct pd_sim_config *limits = &machine->world->config;
    const struct pd_forwards_config forwards = {
        .forwards_max = FORWARDS_MAX,
        .bytes_max = 16 * KIB,
        .group_id = config->raft.group_id,
        .cluster_id = config->cluster_id,
        .node_id = machine->number,
        .tick_ns = limits->tick_ns,
        .patience_ns = (uint64_t)config->request_ticks_max * limits->tick_ns,
        .random = pd_hash_u64(pd_hash_u64(limits->seed, machine->life), machine->number),
        .answer = answer_forwarded,
        .state = machine,
    };
    peers->replica = replica;
    if (limits->forwards) {
        enum pd_status status = pd_forwards_init(&peers->forwards, &forwards);
        pd_assert(status == PD_OK);
        pd_forwards_begin(&peers->forwards, replica, &machine->transport.base);
    }
}

void pd_sim_peers_deinit(struct pd_sim_peers *peers)
{
    pd_forwards_deinit(&peers->forwards);
}

void pd_sim_peers_clock(struct pd_sim_peers *peers, uint64_t now_ns)
{
    pd_forwards_clock(&peers->forwards, now_ns);
}

bool pd_sim_peers_take(struct pd_sim_peers *peers, uint64_t client, uint64_t correlation,
                       struct pd_span bytes)
{
    struct pd_sim_world *world = peers->machine->world;
    if (!world->config.forwards ||
        !pd_forwards_take(&peers->forwards, 0, client + FIRST, correlation, bytes)) {
        return false;
    }
    world->counts.forwards++;
    return true;
}

bool pd_sim_peers_answered(struct pd_sim_peers *peers, const struct pd_replica_output *output)
{
    return peers->machine->world->config.forwards &&
           pd_forwards_answered(&peers->forwards, output->client, output->correlation,
                                output->bytes);
}

bool pd_sim_peers_message(struct pd_sim_peers *peers, uint64_t from, struct pd_span bytes)
{
    struct pd_sim_machine *machine = peers->machine;
    struct pd_kv_member member;
    if (machine->world->config.directory && pd_replica_has_state(peers->replica) &&
        pd_kv_member_find(pd_replica_kv(peers->replica), from, &member) == PD_KV_MEMBER_REMOVED) {
        pd_sim_world_fail(machine->world,
                          "node %u lets in what node %u sent, whom its directory calls removed",
                          machine->number, (unsigned)from);
    }
    if (!machine->world->config.forwards || !pd_forwards_is_frame(bytes)) {
        return false;
    }
    pd_forwards_frame(&peers->forwards, from, bytes);
    return true;
}

void pd_sim_peers_gone(struct pd_sim_peers *peers, uint64_t client)
{
    if (peers->machine->world->config.forwards) {
        pd_forwards_client_gone(&peers->forwards, client + FIRST);
    }
}

void pd_sim_peers_lost(struct pd_sim_peers *peers, uint64_t node)
{
    if (peers->machine->world->config.forwards) {
        pd_forwards_lost(&peers->forwards, node);
    }
}

bool pd_sim_peers_turn(struct pd_sim_peers *peers, bool is_tick)
{
    struct pd_sim_world *world = peers->machine->world;
    if (world->config.directory) {
        follow_directory(peers);
    }
    if (!world->config.forwards) {
        return false;
    }
    bool more = pd_forwards_turn(&peers->forwards, is_tick);
    uint64_t again = atomic_load_explicit(&peers->forwards.counters.again, memory_order_relaxed);
    world->counts.forwards_again += again - peers->again_seen;
    peers->again_seen = again;
    return more;
}
