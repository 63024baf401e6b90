#include "sim/config.h"

#include <string.h>

#include "base/random.h"

#define MS PD_SIM_MS_NS

static uint64_t between(struct pd_random *random, uint64_t low, uint64_t high)
{
    return low + pd_random_below(random, high - low + 1);
}

static bool percent(struct pd_random *random, uint32_t chance)
{
    return pd_random_below(random, 100) < chance;
}

/* Mostly as shipped, sometimes tiny. */
static uint64_t shrunk(struct pd_random *random, uint64_t usual, uint64_t tiny)
{
    return percent(random, 40) ? tiny : usual;
}

static void draw_limits(struct pd_sim_config *config, struct pd_random *random)
{
    config->tick_ns = between(random, 2, 5) * 10 * MS;
    config->election_ticks = (uint32_t)between(random, 8, 12);
    config->heartbeat_ticks = (uint32_t)between(random, 1, 2);
    config->snapshot_every = (uint32_t)shrunk(random, between(random, 200, 2000), 10);
    config->inflight_max = (uint32_t)shrunk(random, 64, between(random, 1, 2));
    config->inflight_bytes_max = shrunk(random, 1 << 20, 300);
    config->append_bytes_max = shrunk(random, 64 << 10, between(random, 0, 200));
    config->committed_bytes_max = shrunk(random, 1 << 20, between(random, 1, 300));
    config->uncommitted_bytes_max = shrunk(random, 1 << 20, 400);
    config->segment_bytes = (uint32_t)shrunk(random, 512 << 10, 192 << 10);
    config->reads_max = (uint32_t)shrunk(random, 64, 2);
    config->apply_unstable = percent(random, 50);
    config->lease_reads = percent(random, 20);
    config->log_batch_bytes_max = shrunk(random, 64 << 10, 1);
    config->log_retain_entries = shrunk(random, between(random, 0, 500), between(random, 0, 3));
    config->apply_budget = (uint32_t)shrunk(random, 1024, between(random, 1, 3));
    config->slices_max = (uint32_t)shrunk(random, 64, between(random, 1, 3));
    config->snapshot_chunk_bytes = (uint32_t)shrunk(random, 16 << 10, between(random, 1000, 2000));
    config->snapshot_window = (uint32_t)between(random, 2, 5);
    config->hash_interval = (uint32_t)between(random, 10, 200);
}

static void draw_store(struct pd_sim_config *config, struct pd_random *random)
{
    config->kv_writes_max = (uint32_t)shrunk(random, 1024, between(random, 16, 24));
    config->kv_cache_bytes = shrunk(random, 64 << 10, 2 << 10);
    config->kv_overlay_bytes = shrunk(random, 512 << 10, 272 << 10);
    config->kv_page_bytes = (uint32_t)shrunk(random, 4096, 100);
    config->kv_events_max = (uint32_t)shrunk(random, 128, between(random, 1, 2));
    config->kv_reads_max = (uint32_t)shrunk(random, 32, between(random, 1, 2));
    config->store_lag_ns = shrunk(random, between(random, 1, 20) * MS, 60 * MS);
    if (config->kv_writes_max < 100 || config->snapshot_chunk_bytes < 4000) {
        config->store_lag_ns = between(random, 1, 4) * MS; /* else it never follows the load */
    }
    config->store_flush_ns = between(random, 1, 30) * 10 * MS;
    config->store_read_ns = between(random, 1, 20) * MS / 20;
}

/* A mix of operations: some are left out, so that what remains happens often. */
static void draw_load(struct pd_sim_config *config, struct pd_random *random)
{
    static const struct {
        uint32_t usual;
        uint32_t chance; /* that a seed has it */
    } mix[PD_SIM_OP_COUNT] = {
        [PD_SIM_READ] = {30, 90},     [PD_SIM_READ_RANGE] = {6, 60}, [PD_SIM_READ_LOCAL] = {8, 60},
        [PD_SIM_READ_PAST] = {4, 50}, [PD_SIM_WRITE] = {30, 100},    [PD_SIM_CAS] = {15, 70},
        [PD_SIM_TXN] = {8, 60},       [PD_SIM_DELETE] = {4, 60},     [PD_SIM_COMPACT] = {1, 50},
        [PD_SIM_GRANT] = {2, 60},     [PD_SIM_ATTACH] = {6, 90},     [PD_SIM_KEEP] = {2, 70},
        [PD_SIM_REVOKE] = {1, 60},    [PD_SIM_OPEN] = {1, 40},
    };
    for (uint32_t i = 0; i < PD_SIM_OP_COUNT; i++) {
        uint32_t weight = mix[i].usual * (uint32_t)between(random, 1, 3);
        config->op_weights[i] = percent(random, mix[i].chance) ? weight : 0;
    }
    config->clients = (uint32_t)between(random, 3, PD_SIM_CLIENTS_MAX);
    config->watchers = percent(random, 60) ? (uint32_t)between(random, 1, PD_SIM_WATCHERS_MAX) : 0;
    config->keys = (uint32_t)between(random, 2, percent(random, 50) ? 6 : PD_SIM_KEYS_MAX);
    config->op_per_second = (uint32_t)between(random, 20, 200);
    config->client_timeout_ns = between(random, 3, 20) * 100 * MS;
    config->session_ns = between(random, 3, 40) * PD_SIM_SECOND_NS;
}

static void draw_machines(struct pd_sim_config *config, struct pd_random *random)
{
    config->network_delay_ns = between(random, 1, 20) * MS / 10;
    config->network_tail = (uint32_t)between(random, 0, 8);
    config->disk_sync_ns = between(random, 1, 30) * MS / 10;
}

static void draw_faults(struct pd_sim_config *config, struct pd_random *random, bool is_given)
{
    struct pd_sim_fault_rates *rates = &config->faults;
    uint32_t chance = percent(random, 15) ? 100 : (uint32_t)between(random, 20, 70);
    for (uint32_t i = 0; i < PD_SIM_FAULT_COUNT; i++) {
        bool is_on = percent(random, chance);
        if (!is_given) {
            rates->is_on[i] = is_on;
        }
    }
    rates->interval_ns = between(random, 5, 40) * 100 * MS;
    rates->duration_ns = between(random, 2, 40) * 100 * MS;
    rates->begin_ns = 2 * (uint64_t)PD_SIM_SECOND_NS;
    rates->end_ns = config->safety_ns;
    rates->machines = config->nodes + config->spares;
    if (config->lease_reads) {
        /* A lease trusts that clocks run alike (docs/raft.md): beyond that bound no answer is
         * promised. */
        rates->is_on[PD_SIM_FAULT_DRIFT] = false;
        rates->is_on[PD_SIM_FAULT_FREEZE] = false;
    }
}

bool pd_sim_config_draw(struct pd_sim_config *config, const struct pd_sim_options *options)
{
    struct pd_random random;
    pd_random_init(&random, options->seed, "config");
    memset(config, 0, sizeof *config);
    config->seed = options->seed;
    config->nodes = (uint32_t)between(&random, 3, 7);
    if (options->nodes > 0) {
        config->nodes = options->nodes;
    }
    config->spares = 4;
    draw_load(config, &random);
    if (options->op_per_second > 0) {
        config->op_per_second = options->op_per_second;
    }
    draw_limits(config, &random);
    draw_store(config, &random);
    draw_machines(config, &random);
    config->end_ns = options->minutes * 60 * PD_SIM_SECOND_NS;
    config->safety_ns = config->end_ns / 10 * 6;
    config->progress_ns = config->end_ns / 10 * 9;
    config->heals_all = percent(&random, 50);
    const char *unknown = NULL;
    size_t size = 0;
    if (options->faults != NULL &&
        !pd_sim_fault_list(options->faults, config->faults.is_on, &unknown, &size)) {
        return false;
    }
    draw_faults(config, &random, options->faults != NULL);
    config->begins_before = percent(&random, 50);
    config->forwards = percent(&random, 50);
    config->directory = percent(&random, 50);
    config->time_step_ns =
        percent(&random, 50) ? between(&random, 200, 3000) * MS : 60 * (uint64_t)PD_SIM_SECOND_NS;
    return true;
}
