#include "sim/clients.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "kv/answer.h"

#define MS PD_SIM_MS_NS
#define TRIES_MAX 8u
#define DOUBLINGS_MAX 3u
/* Operations a second after the healing: progress is asked for, not throughput under tiny
 * limits. */
#define CALM_RATE 20u

void pd_sim_clients_init(struct pd_sim_world *world)
{
    world->clients = pd_sim_alloc(sizeof *world->clients);
    pd_random_init(&world->clients->random, world->config.seed, "clients");
    for (uint32_t i = 0; i < world->config.clients; i++) {
        struct pd_sim_client *client = &world->clients->clients[i];
        client->machine =
            1 + (uint32_t)pd_random_below(&world->clients->random, world->config.nodes);
        uint64_t begin = pd_random_below(&world->clients->random, PD_SIM_SECOND_NS);
        pd_sim_world_push(world, PD_SIM_SECOND_NS + begin, PD_SIM_EVENT_CLIENT, i, 0, NULL);
    }
}

void pd_sim_clients_deinit(struct pd_sim_world *world)
{
    for (size_t i = 0; i < world->clients->history_count; i++) {
        pd_free(world->clients->history[i].answer);
    }
    pd_free(world->clients->history);
    pd_free(world->clients);
}

static struct pd_sim_operation *operation_of(struct pd_sim_world *world,
                                             const struct pd_sim_client *client)
{
    return &world->clients->history[client->operation];
}

/* How long a try is waited for. After the healing each waits twice as long as the one before: else
 * clients in a hurry ask for more than tiny limits can give, only by asking again. None waits so
 * long that three unlucky tries are taken for a standstill (seed 1145). */
static uint64_t patience_ns(const struct pd_sim_world *world, const struct pd_sim_client *client)
{
    const struct pd_sim_config *config = &world->config;
    uint32_t doublings = client->tries < DOUBLINGS_MAX ? client->tries : DOUBLINGS_MAX;
    uint64_t most_ns = (config->progress_ns - config->safety_ns) / 4;
    uint64_t patience = config->client_timeout_ns << doublings;
    if (!world->is_healed || most_ns < config->client_timeout_ns) {
        return config->client_timeout_ns;
    }
    return patience < most_ns ? patience : most_ns;
}

static void retry_after(struct pd_sim_world *world, struct pd_sim_client *client, uint64_t pause_ns)
{
    client->token = ++world->clients->next_token;
    pd_sim_world_push(world, world->now_ns + pause_ns, PD_SIM_EVENT_RETRY,
                      operation_of(world, client)->client, client->token, NULL);
}

static void send(struct pd_sim_world *world, struct pd_sim_client *client)
{
    struct pd_sim_clients *clients = world->clients;
    const struct pd_sim_operation *operation = operation_of(world, client);
    uint8_t bytes[PD_SIM_REQUEST_BYTES_MAX];
    size_t size = pd_sim_operation_encode(operation, bytes);
    client->token = ++clients->next_token;
    pd_sim_world_request(world, &clients->random, client->machine, operation->client, client->token,
                         (struct pd_span){bytes, size});
    pd_sim_world_push(world, world->now_ns + patience_ns(world, client), PD_SIM_EVENT_TIMEOUT,
                      operation->client, client->token, NULL);
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

/* -- What to do next --------------------------------------------------------------------------- */

static enum pd_sim_op draw_op(struct pd_sim_world *world, const struct pd_sim_client *client)
{
    const struct pd_sim_config *config = &world->config;
    uint64_t total = 0;
    for (uint32_t i = 0; i < PD_SIM_OP_COUNT; i++) {
        total += config->op_weights[i];
    }
    uint64_t left = pd_random_below(&world->clients->random, total);
    uint32_t op = 0;
    for (; left >= config->op_weights[op]; op++) {
        left -= config->op_weights[op];
    }
    if (client->session == 0 && !pd_sim_op_is_read((enum pd_sim_op)op)) {
        return PD_SIM_OPEN;
    }
    bool needs_lease = op == PD_SIM_ATTACH || op == PD_SIM_KEEP || op == PD_SIM_REVOKE;
    if (needs_lease && client->lease == 0) {
        return config->op_weights[PD_SIM_GRANT] > 0 ? PD_SIM_GRANT : PD_SIM_WRITE;
    }
    return (enum pd_sim_op)op;
}

static uint32_t draw_end(struct pd_sim_world *world, uint32_t key)
{
    return key + 1 + (uint32_t)pd_random_below(&world->clients->random, world->config.keys - key);
}

/* Some revision that this client has seen pass. */
static int64_t draw_past(struct pd_sim_world *world, const struct pd_sim_client *client,
                         uint64_t back)
{
    uint64_t most = client->seen_revision > 1 ? (uint64_t)client->seen_revision - 1 : 1;
    back = 1 + pd_random_below(&world->clients->random, back);
    return back < most ? (int64_t)(most - back) + 1 : 1;
}

static void draw_details(struct pd_sim_world *world, struct pd_sim_client *client,
                         struct pd_sim_operation *operation)
{
    struct pd_random *random = &world->clients->random;
    uint32_t key_count = world->config.keys;
    operation->key = (uint32_t)pd_random_below(random, key_count);
    operation->prev_kv = pd_random_below(random, 4) == 0;
    switch (operation->op) {
    case PD_SIM_READ_LOCAL:
    case PD_SIM_READ_RANGE:
        operation->end = draw_end(world, operation->key);
        operation->limit = pd_random_below(random, 3) == 0 ? 2 : 0;
        break;
    case PD_SIM_READ_PAST:
        operation->end = draw_end(world, operation->key);
        operation->at_revision = draw_past(world, client, 60);
        break;
    case PD_SIM_CAS:
        operation->expected = client->seen[operation->key];
        if (client->lease != 0 && pd_random_below(random, 2) == 0) {
            operation->expected = -1;
            operation->lease = client->lease;
        }
        break;
    case PD_SIM_TXN:
        operation->key = (uint32_t)pd_random_below(random, PD_SIM_KEYS_MAX - 3);
        break;
    case PD_SIM_DELETE:
        operation->end = pd_random_below(random, 3) == 0 ? draw_end(world, operation->key) : 0;
        break;
    case PD_SIM_COMPACT:
        operation->at_revision = draw_past(world, client, 200);
        break;
    case PD_SIM_GRANT:
        client->lease = ((int64_t)operation->client + 1) << 32 | ++client->lease_count;
        operation->ttl_s = 1 + (int64_t)pd_random_below(random, 8);
        operation->lease = client->lease;
        break;
    case PD_SIM_ATTACH:
    case PD_SIM_KEEP:
    case PD_SIM_REVOKE:
        operation->lease = client->lease;
        client->lease = operation->op == PD_SIM_REVOKE ? 0 : client->lease;
        break;
    case PD_SIM_OPEN:
        operation->duration_ns = world->config.session_ns;
        break;
    case PD_SIM_WRITE:
        operation->is_plain = world->config.forwards && pd_random_below(random, 3) == 0;
        operation->prev_kv = operation->prev_kv && !operation->is_plain;
        break;
    case PD_SIM_READ:
    case PD_SIM_OP_COUNT:
        break;
    }
}

void pd_sim_client_go(struct pd_sim_world *world, uint32_t index)
{
    struct pd_sim_clients *clients = world->clients;
    struct pd_sim_client *client = &clients->clients[index];
    if (client->is_open || clients->has_ended) {
        return;
    }
    clients->history = pd_sim_grow(clients->history, &clients->history_capacity,
                                   clients->history_count + 1, sizeof clients->history[0]);
    client->operation = clients->history_count++;
    struct pd_sim_operation *operation = operation_of(world, client);
    *operation = (struct pd_sim_operation){
        .invoked_ns = world->now_ns,
        .returned_ns = UINT64_MAX,
        .client = index,
        .op = draw_op(world, client),
        .value = 2 * client->operation + 1,
    };
    draw_details(world, client, operation);
    if (!pd_sim_op_is_read(operation->op) && operation->op != PD_SIM_OPEN && !operation->is_plain) {
        operation->session = client->session;
        operation->sequence = ++client->sequence;
    }
    client->is_open = true;
    client->is_unresolved = false;
    client->tries = 0;
    world->counts.operations++;
    send(world, client);
}

/* -- The end of an operation ------------------------------------------------------------------- */

static void close_operation(struct pd_sim_world *world, struct pd_sim_client *client)
{
    client->is_open = false;
    wait_for_next(world, operation_of(world, client)->client);
}

static void leave_session(struct pd_sim_client *client)
{
    client->session = 0;
    client->sequence = 0;
}

/* Nobody will answer any more. */
static void give_up(struct pd_sim_world *world, struct pd_sim_client *client)
{
    PD_SOMETIMES(SIM_CLIENT_UNKNOWN, true);
    world->counts.unknown++;
    if (operation_of(world, client)->is_plain) {
        client->machine = pd_sim_somebody(world, &world->clients->random);
    } else {
        leave_session(client);
    }
    close_operation(world, client);
}

/* Every node that was asked has said that it did nothing. */
static void abandon(struct pd_sim_world *world, struct pd_sim_client *client)
{
    struct pd_sim_operation *operation = operation_of(world, client);
    PD_SOMETIMES(SIM_CLIENT_ABANDONED, operation->session != 0);
    operation->is_void = operation->session != 0 || operation->is_plain;
    close_operation(world, client);
}

/* Somebody whom a directory of the cluster would name: down or lagging, maybe, but not given up;
 * sometimes a directory of long ago, which also names those who were removed. */
uint32_t pd_sim_somebody(struct pd_sim_world *world, struct pd_random *random)
{
    uint32_t number = 1 + (uint32_t)pd_random_below(random, world->machine_count);
    /* After the healing everybody knows who belongs: a few seconds' patience with each of those who
     * do not would be counted against the others (seeds 7304 and 7328). */
    bool is_up_to_date = pd_random_below(random, 4) != 0 || world->is_healed;
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

static void try_again(struct pd_sim_world *world, struct pd_sim_client *client, uint64_t machine)
{
    if (machine == 0 || machine > world->machine_count) {
        machine = pd_sim_somebody(world, &world->clients->random);
    }
    client->machine = (uint32_t)machine;
    world->counts.retries++;
    PD_SOMETIMES(SIM_CLIENT_RETRY, operation_of(world, client)->session != 0);
    send(world, client);
}

void pd_sim_client_timeout(struct pd_sim_world *world, uint32_t index, uint64_t token)
{
    struct pd_sim_client *client = &world->clients->clients[index];
    if (!client->is_open || client->token != token) {
        return;
    }
    client->is_unresolved = true;
    if (++client->tries >= TRIES_MAX || operation_of(world, client)->is_plain) {
        give_up(world, client);
        return;
    }
    try_again(world, client, 0);
}

/* Soon again, elsewhere. */
static void refused(struct pd_sim_world *world, struct pd_sim_client *client, uint64_t leader)
{
    struct pd_random *random = &world->clients->random;
    if (!client->is_unresolved && pd_random_below(random, 8) == 0) {
        abandon(world, client);
        return;
    }
    if (leader != 0 && leader != client->machine && pd_random_below(random, 4) != 0) {
        try_again(world, client, leader);
        return;
    }
    retry_after(world, client, (20 + pd_random_below(random, 50)) * (uint64_t)MS);
}

void pd_sim_client_retry(struct pd_sim_world *world, uint32_t index, uint64_t token)
{
    struct pd_sim_client *client = &world->clients->clients[index];
    if (client->is_open && client->token == token) {
        try_again(world, client, 0);
    }
}

/* Mod revisions that the next CAS may compare with. */
static void look(struct pd_sim_client *client, const struct pd_sim_operation *operation,
                 struct pd_span answer)
{
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    struct pd_kv_record record;
    pd_kv_reader_init(&reader, answer);
    pd_kv_answer_head(&reader, &head);
    if (head.revision > client->seen_revision) {
        client->seen_revision = head.revision;
    }
    if (operation->op == PD_SIM_READ && head.kind == PD_KV_ANSWER_RANGE) {
        client->seen[operation->key] = 0;
        while (pd_kv_answer_record(&reader, &record)) {
            client->seen[operation->key] = record.mod_revision;
        }
    } else if (operation->op == PD_SIM_WRITE) {
        client->seen[operation->key] = head.revision;
    } else if (operation->op == PD_SIM_CAS && head.kind == PD_KV_ANSWER_TXN) {
        bool has_succeeded = false;
        uint32_t count = 0;
        pd_kv_answer_txn(&reader, &has_succeeded, &count);
        (void)pd_kv_answer_response(&reader);
        client->seen[operation->key] = has_succeeded ? head.revision : 0;
        while (!has_succeeded && pd_kv_answer_record(&reader, &record)) {
            client->seen[operation->key] = record.mod_revision;
        }
    } else if (operation->op == PD_SIM_OPEN && head.kind == PD_KV_ANSWER_SESSION) {
        client->session = (uint64_t)pd_kv_answer_number(&reader);
        client->sequence = 0;
    } else if (head.error == PD_KV_ERR_LEASE_NOT_FOUND) {
        client->lease = 0;
    }
}

static void done(struct pd_sim_world *world, struct pd_sim_client *client,
                 const struct pd_kv_answer_head *head, struct pd_span answer)
{
    struct pd_sim_operation *operation = operation_of(world, client);
    operation->returned_ns = world->now_ns;
    operation->revision = head->revision;
    world->counts.answered++;
    look(client, operation, answer);
    if (pd_sim_judge(world, operation, answer) == PD_SIM_NOT_YET) {
        operation->answer = pd_sim_alloc(answer.size);
        memcpy(operation->answer, answer.bytes, answer.size);
        operation->answer_size = answer.size;
    }
    close_operation(world, client);
}

/* The session did not take this try. */
static bool is_of_session(enum pd_kv_error error)
{
    return error == PD_KV_ERR_SESSION_UNKNOWN || error == PD_KV_ERR_SESSION_STALE ||
           error == PD_KV_ERR_SESSION_AHEAD || error == PD_KV_ERR_SESSION_ANSWERS_FULL;
}

static void answered(struct pd_sim_world *world, struct pd_sim_client *client,
                     struct pd_span answer, uint64_t leader)
{
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    pd_kv_reader_init(&reader, answer);
    pd_kv_answer_head(&reader, &head);
    if (reader.is_bad) {
        pd_sim_world_fail(world, "client %u was given an answer that is none",
                          operation_of(world, client)->client);
    } else if (head.error == PD_KV_ERR_SESSIONS_FULL) {
        refused(world, client, leader);
    } else if (!is_of_session(head.error)) {
        done(world, client, &head, answer);
    } else if (operation_of(world, client)->is_plain) {
        pd_sim_world_fail(world, "client %u was told of a session that is not its own: %s",
                          operation_of(world, client)->client, pd_kv_error_text(head.error));
    } else if (client->is_unresolved) {
        give_up(world, client);
    } else {
        PD_SOMETIMES(SIM_SESSION_LOST, head.error == PD_KV_ERR_SESSION_UNKNOWN);
        abandon(world, client);
        leave_session(client);
    }
}

void pd_sim_client_answer(struct pd_sim_world *world, uint32_t index, uint64_t token,
                          struct pd_span bytes)
{
    struct pd_sim_client *client = &world->clients->clients[index];
    struct pd_replica_answer_head head;
    if (!client->is_open || client->token != token) {
        return; /* of an earlier try: the client does not listen there any more */
    }
    if (pd_replica_answer_decode(bytes, &head) != PD_OK) {
        pd_sim_world_fail(world, "client %u was given bytes that are no answer", index);
        return;
    }
    switch (head.outcome) {
    case PD_REPLICA_OK:
        answered(world, client, head.body, head.leader);
        break;
    case PD_REPLICA_NOT_LEADER:
    case PD_REPLICA_NOT_READY:
    case PD_REPLICA_BUSY:
    case PD_REPLICA_DISK_LOW:
    case PD_REPLICA_DROPPED:
        refused(world, client, head.leader);
        break;
    case PD_REPLICA_UNKNOWN:
        client->is_unresolved = true;
        if (operation_of(world, client)->is_plain) {
            give_up(world, client);
        } else if (world->is_healed) { /* no faster than without a word */
            client->tries++;
            retry_after(world, client, patience_ns(world, client));
        } else {
            try_again(world, client, head.leader);
        }
        break;
    case PD_REPLICA_INVALID:
    case PD_REPLICA_CANCELLED:
    case PD_REPLICA_OUTCOME_COUNT:
        pd_sim_world_fail(world, "client %u was told '%s' (%.*s) about a %s", index,
                          pd_replica_outcome_text(head.outcome), (int)head.body.size,
                          (const char *)head.body.bytes,
                          pd_sim_op_name(operation_of(world, client)->op));
        break;
    }
}

void pd_sim_clients_check_progress(struct pd_sim_world *world)
{
    struct pd_sim_clients *clients = world->clients;
    bool has_gone_on[PD_SIM_CLIENTS_MAX] = {false};
    for (size_t i = clients->history_count; i-- > 0;) {
        const struct pd_sim_operation *operation = &clients->history[i];
        if (operation->returned_ns != UINT64_MAX &&
            operation->returned_ns > clients->healed_at_ns) {
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
