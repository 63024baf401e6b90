#include "sim/clients.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define TRIES_MAX 8u
/* Operations a second after the healing: progress is asked for, not throughput under tiny
 * limits. */
#define CALM_RATE 20u

void pd_sim_clients_init(struct pd_sim_world *world)
{
    world->clients = pd_sim_alloc(sizeof *world->clients);
    pd_random_init(&world->clients->random, world->config.seed, "clients");
    for (uint32_t i = 0; i < world->config.clients; i++) {
        struct pd_sim_client *client = &world->clients->clients[i];
        client->request.client = i;
        client->session_count = 1;
        client->machine =
            1 + (uint32_t)pd_random_below(&world->clients->random, world->config.nodes);
        uint64_t begin = pd_random_below(&world->clients->random, PD_SIM_SECOND_NS);
        pd_sim_world_push(world, PD_SIM_SECOND_NS + begin, PD_SIM_EVENT_CLIENT, i, 0, NULL);
    }
}

void pd_sim_clients_deinit(struct pd_sim_world *world)
{
    pd_free(world->clients->history);
    pd_free(world->clients);
}

static void send(struct pd_sim_world *world, struct pd_sim_client *client)
{
    struct pd_sim_clients *clients = world->clients;
    client->request.token = ++clients->next_token;
    struct pd_sim_request *copy = pd_sim_alloc(sizeof *copy);
    *copy = client->request;
    uint64_t delay = pd_sim_heavy_tail(&clients->random, world->config.network_delay_ns,
                                       world->config.network_tail);
    pd_sim_world_push(world, world->now_ns + delay, PD_SIM_EVENT_REQUEST, client->machine,
                      client->request.token, copy);
    pd_sim_world_push(world, world->now_ns + world->config.client_timeout_ns, PD_SIM_EVENT_TIMEOUT,
                      client->request.client, client->request.token, NULL);
}

/* When the next operation is due, so that all clients together keep the rate. */
static void wait_for_next(struct pd_sim_world *world, uint32_t index)
{
    uint64_t mean =
        (uint64_t)PD_SIM_SECOND_NS * world->config.clients / world->config.op_per_second;
    if (world->is_healed && world->config.op_per_second > CALM_RATE) {
        mean = mean * world->config.op_per_second / CALM_RATE;
    }
    uint64_t wait = mean / 2 + pd_random_below(&world->clients->random, mean);
    pd_sim_world_push(world, world->now_ns + wait, PD_SIM_EVENT_CLIENT, index, 0, NULL);
}

static struct pd_sim_operation *record(struct pd_sim_world *world, struct pd_sim_client *client)
{
    struct pd_sim_clients *clients = world->clients;
    clients->history = pd_sim_grow(clients->history, &clients->history_capacity,
                                   clients->history_count + 1, sizeof clients->history[0]);
    client->operation = clients->history_count++;
    struct pd_sim_operation *operation = &clients->history[client->operation];
    *operation = (struct pd_sim_operation){
        .invoked_ns = world->now_ns,
        .returned_ns = UINT64_MAX,
        .client = client->request.client,
        .op = client->request.op,
        .key = client->request.key,
        .value = client->request.value,
        .expected = client->request.expected,
    };
    return operation;
}

void pd_sim_client_go(struct pd_sim_world *world, uint32_t index)
{
    struct pd_sim_clients *clients = world->clients;
    struct pd_sim_client *client = &clients->clients[index];
    if (client->is_open || clients->has_ended) {
        return;
    }
    struct pd_sim_request *request = &client->request;
    uint64_t draw = pd_random_below(&clients->random, 100);
    request->op = draw < world->config.read_percent ? PD_SIM_READ : PD_SIM_WRITE;
    if (request->op == PD_SIM_WRITE &&
        pd_random_below(&clients->random, 100) < world->config.cas_percent) {
        request->op = PD_SIM_CAS;
    }
    request->key = (uint32_t)pd_random_below(&clients->random, world->config.keys);
    request->session = (uint64_t)(index + 1) << 32 | client->session_count;
    if (request->op != PD_SIM_READ) {
        request->sequence++;
    }
    request->low = request->sequence;
    request->value = clients->history_count + 1; /* no two operations share it */
    request->expected = client->last_seen[request->key];
    client->is_open = true;
    client->tries = 0;
    world->counts.operations++;
    (void)record(world, client);
    send(world, client);
}

static void give_up(struct pd_sim_world *world, struct pd_sim_client *client)
{
    PD_SOMETIMES(SIM_CLIENT_UNKNOWN, true);
    world->counts.unknown++;
    client->is_open = false;
    client->session_count++;
    client->request.sequence = 0;
    wait_for_next(world, client->request.client);
}

/* Somebody whom a directory of the cluster would name: down or lagging, maybe, but not given up;
 * sometimes a directory of long ago, which also names those who were removed. */
static uint32_t somebody(struct pd_sim_world *world)
{
    uint32_t number = 1 + (uint32_t)pd_random_below(&world->clients->random, world->machine_count);
    bool is_up_to_date = pd_random_below(&world->clients->random, 4) != 0;
    struct pd_raft_conf conf;
    pd_sim_world_conf(world, &conf);
    for (uint32_t i = 0; i < world->machine_count; i++) {
        const struct pd_sim_machine *machine = &world->machines[number];
        if (machine->is_used && !machine->is_gone &&
            (!is_up_to_date || pd_sim_conf_has(&conf, number))) {
            break;
        }
        number = 1 + number % world->machine_count;
    }
    return number;
}

static void try_again(struct pd_sim_world *world, struct pd_sim_client *client, uint32_t machine)
{
    if (machine == 0 || machine > world->machine_count) {
        machine = somebody(world);
    }
    client->machine = machine;
    world->counts.retries++;
    PD_SOMETIMES(SIM_CLIENT_RETRY, client->request.op != PD_SIM_READ);
    send(world, client);
}

void pd_sim_client_timeout(struct pd_sim_world *world, uint32_t index, uint64_t token)
{
    struct pd_sim_client *client = &world->clients->clients[index];
    if (!client->is_open || client->request.token != token) {
        return;
    }
    if (++client->tries >= TRIES_MAX) {
        give_up(world, client);
        return;
    }
    try_again(world, client, 0);
}

void pd_sim_client_answer(struct pd_sim_world *world, const struct pd_sim_answer *answer)
{
    struct pd_sim_client *client = &world->clients->clients[answer->client];
    if (!client->is_open || client->request.token != answer->token) {
        return; /* of an earlier try: the client does not listen there any more */
    }
    if (answer->status == PD_SIM_NOT_LEADER || answer->status == PD_SIM_BUSY) {
        /* Soon again, elsewhere: the timeout of this try does it, brought forward. */
        client->tries -= client->tries > 0 ? 1 : 0; /* it is not silence that it counts */
        uint64_t pause = 20u * (uint64_t)PD_SIM_MS_NS +
                         pd_random_below(&world->clients->random, 50u * (uint64_t)PD_SIM_MS_NS);
        if (answer->leader_hint != 0 && pd_random_below(&world->clients->random, 4) != 0) {
            try_again(world, client, answer->leader_hint);
        } else {
            client->request.token = ++world->clients->next_token;
            pd_sim_world_push(world, world->now_ns + pause, PD_SIM_EVENT_TIMEOUT,
                              client->request.client, client->request.token, NULL);
        }
        return;
    }
    struct pd_sim_operation *operation = &world->clients->history[client->operation];
    operation->returned_ns = world->now_ns;
    operation->revision = answer->revision;
    operation->found = answer->value;
    operation->mod_revision = answer->mod_revision;
    operation->is_failed_cas = answer->status == PD_SIM_CAS_FAILED;
    bool is_write = operation->op != PD_SIM_READ && !operation->is_failed_cas;
    client->last_seen[operation->key] = is_write ? operation->value : operation->found;
    client->is_open = false;
    world->counts.answered++;
    wait_for_next(world, answer->client);
}

void pd_sim_clients_check_progress(struct pd_sim_world *world)
{
    struct pd_sim_clients *clients = world->clients;
    bool has_gone_on[PD_SIM_CLIENTS_MAX] = {false};
    for (size_t i = clients->history_count; i-- > 0;) {
        const struct pd_sim_operation *operation = &clients->history[i];
        if (operation->invoked_ns < clients->healed_at_ns) {
            break;
        }
        if (operation->returned_ns != UINT64_MAX) {
            has_gone_on[operation->client] = true;
        }
    }
    for (uint32_t i = 0; i < world->config.clients; i++) {
        if (!has_gone_on[i]) {
            pd_sim_world_fail(
                world,
                "no progress: client %u has done nothing in the %llu s since a quorum "
                "was healed",
                i,
                (unsigned long long)((world->now_ns - clients->healed_at_ns) / PD_SIM_SECOND_NS));
            return;
        }
    }
}
