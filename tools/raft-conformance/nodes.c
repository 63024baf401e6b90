/* add-nodes: nodes and all their options. */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "raft-conformance/environment.h"
#include "raft-conformance/script.h"

#define LOG_ENTRIES_MAX 4096u
#define UNLIMITED_INFLIGHTS 2048u

struct wish {
    struct pd_raft_config config;
    struct pd_raft_snapshot_meta snapshot;
    bool is_async;
    bool has_content;
    bool is_bootstrapped;
};

/* As the scripts expect where they do not say. */
static void begin_wish(struct wish *wish)
{
    struct pd_raft_config *config = &wish->config;
    memset(wish, 0, sizeof *wish);
    *config = pd_raft_config_default();
    config->group_id = 1;
    config->election_ticks = 3;
    config->heartbeat_ticks = 1;
    config->pre_vote = false;
    config->check_quorum = false;
    config->lease_reads = false;
    config->no_forwarding = false;
    config->no_conf_change_validation = false;
    config->step_down_on_removal = false;
    config->append_bytes_max = PD_RAFT_NO_LIMIT;
    config->committed_bytes_max = PD_RAFT_NO_LIMIT;
    config->uncommitted_bytes_max = PD_RAFT_NO_LIMIT;
    config->inflight_max = UNLIMITED_INFLIGHTS;
    config->inflight_bytes_max = 0;
    config->log_entries_max = LOG_ENTRIES_MAX;
    config->log_bytes_max = (uint64_t)1 << 20;
    config->messages_max = 1024;
}

static bool add_member(pd_raft_node *nodes, uint32_t *count, const char *value)
{
    uint64_t node = 0;
    if (!read_u64(value, &node) || node == 0 || *count == PD_RAFT_MEMBERS_MAX) {
        return false;
    }
    uint32_t at = (*count)++;
    for (; at > 0 && nodes[at - 1] > node; at--) {
        nodes[at] = nodes[at - 1];
    }
    nodes[at] = node;
    return true;
}

/* NULL: no such flag. */
static bool *find_flag(struct wish *wish, const char *key)
{
    const struct {
        const char *key;
        bool *flag;
    } flags[] = {
        {"async-storage-writes", &wish->is_async},
        {"prevote", &wish->config.pre_vote},
        {"checkquorum", &wish->config.check_quorum},
        {"disable-conf-change-validation", &wish->config.no_conf_change_validation},
        {"step-down-on-removal", &wish->config.step_down_on_removal},
        {"disable-proposal-forwarding", &wish->config.no_forwarding},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(flags[i].key, key) == 0) {
            return flags[i].flag;
        }
    }
    return NULL;
}

/* NULL: no such limit. */
static uint64_t *find_limit(struct wish *wish, const char *key)
{
    struct pd_raft_config *config = &wish->config;
    const struct {
        const char *key;
        uint64_t *limit;
    } limits[] = {
        {"max-committed-size-per-ready", &config->committed_bytes_max},
        {"max-inflight-bytes", &config->inflight_bytes_max},
        {"max-size-per-msg", &config->append_bytes_max},
        {"max-uncommitted-entries-size", &config->uncommitted_bytes_max},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        if (strcmp(limits[i].key, key) == 0) {
            return limits[i].limit;
        }
    }
    return NULL;
}

static bool read_snapshot_option(struct wish *wish, const char *key, const char *value)
{
    struct pd_raft_conf *conf = &wish->snapshot.conf;
    if (strcmp(key, "voters") == 0) {
        return add_member(conf->voters, &conf->voter_count, value);
    }
    if (strcmp(key, "learners") == 0) {
        return add_member(conf->learners, &conf->learner_count, value);
    }
    if (strcmp(key, "index") == 0) {
        return read_u64(value, &wish->snapshot.index);
    }
    wish->has_content = true;
    return true; /* content: of the state machine, which nothing prints */
}

/* False: a value that cannot be. What is no option here is passed over, as those that the scripts
 * were made for do it. */
static bool read_option(struct wish *wish, const char *key, const char *value)
{
    static const char *const of_snapshot[] = {"voters", "learners", "index", "content"};
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof of_snapshot / sizeof of_snapshot[0]; i++) {
        if (strcmp(of_snapshot[i], key) == 0) {
            return read_snapshot_option(wish, key, value);
        }
    }
    if (strcmp(key, "inflight") == 0) {
        bool is_read = read_u64(value, &number) && number > 0;
        wish->config.inflight_max =
            number < UNLIMITED_INFLIGHTS ? (uint32_t)number : UNLIMITED_INFLIGHTS;
        return is_read;
    }
    if (strcmp(key, "read-only") == 0) {
        wish->config.lease_reads = strcmp(value, "lease-based") == 0;
        wish->config.lease_ns = 1; /* no script reads */
        return wish->config.lease_reads || strcmp(value, "safe") == 0;
    }
    bool *flag = find_flag(wish, key);
    if (flag != NULL) {
        return read_bool(value, flag);
    }
    uint64_t *limit = find_limit(wish, key);
    if (limit == NULL) {
        return true;
    }
    bool is_read = read_u64(value, limit);
    *limit = *limit == 0 && limit == &wish->config.committed_bytes_max ? PD_RAFT_NO_LIMIT : *limit;
    return is_read;
}

static const char *add_node(struct environment *environment, const struct wish *wish)
{
    struct node *node = must_alloc(sizeof *node);
    struct pd_raft_restart restart = {.snapshot = wish->snapshot,
                                      .applied = wish->snapshot.index,
                                      .hard_state = {.commit = wish->snapshot.index}};
    node->id = environment->node_count + 1;
    node->config = wish->config;
    node->is_async = wish->is_async;
    node->config.id = node->id;
    node->config.seed = node->id;
    /* A synchronous node may apply what is not durable yet: it writes before it applies. */
    node->config.apply_unstable = !wish->is_async;
    node->config.trace = (struct pd_raft_trace){.line = print_trace, .state = environment};
    node->applied = wish->snapshot;
    if (wish->is_bootstrapped) {
        bool is_installed = storage_install(&node->storage, &wish->snapshot);
        pd_assert(is_installed);
    }
    size_t size = pd_raft_size(&node->config);
    void *memory = arena_alloc(environment, size);
    enum pd_status status = pd_raft_init(memory, size, &node->config, &restart, &node->raft);
    if (status == PD_OK) {
        status = pd_raft_start(node->raft);
    }
    if (status != PD_OK) {
        free_node(node);
        return pd_status_text(status);
    }
    if (wish->is_bootstrapped) {
        pd_raft_snapshot_available(node->raft, &node->applied);
    }
    environment->nodes[environment->node_count++] = node;
    return NULL;
}

const char *add_nodes(struct environment *environment, const struct command *command)
{
    struct wish wish;
    uint64_t count = 0;
    begin_wish(&wish);
    if (command->argument_count == 0 || !read_u64(command->arguments[0].key, &count) ||
        count > NODES_MAX - environment->node_count) {
        return "the number of nodes is missing or too large";
    }
    for (uint32_t i = 1; i < command->argument_count; i++) {
        const struct argument *argument = &command->arguments[i];
        for (uint32_t v = 0; v < argument->value_count; v++) {
            if (!read_option(&wish, argument->key, argument->values[v])) {
                return strcmp(argument->key, "read-only") == 0
                           ? error_text(environment, "invalid read-only option \"%s\"",
                                        argument->values[v])
                           : "an option of add-nodes has a value that cannot be";
            }
        }
    }
    wish.is_bootstrapped = wish.snapshot.index > 0 || wish.snapshot.conf.voter_count > 0 ||
                           wish.snapshot.conf.learner_count > 0 || wish.has_content;
    if (wish.is_bootstrapped && wish.snapshot.index <= 1) {
        return "index must be specified as > 1 due to bootstrap";
    }
    wish.snapshot.term = wish.is_bootstrapped ? 1 : 0;
    for (uint64_t i = 0; i < count; i++) {
        const char *wrong = add_node(environment, &wish);
        if (wrong != NULL) {
            return wrong;
        }
    }
    return NULL;
}

void free_node(struct node *node)
{
    storage_free(&node->storage);
    packets_free(&node->append_work);
    packets_free(&node->apply_work);
    pd_free(node);
}
