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
    config->segment_bytes = (uint32_t)shrunk(random, 256 << 10, 32 << 10);
    config->reads_max = (uint32_t)shrunk(random, 64, 2);
    config->apply_unstable = percent(random, 50);
    config->forwards = percent(random, 40);
    config->lease_reads = percent(random, 20);
}

static void draw_machines(struct pd_sim_config *config, struct pd_random *random)
{
    config->network_delay_ns = between(random, 1, 20) * MS / 10;
    config->network_tail = (uint32_t)between(random, 0, 8);
    config->disk_sync_ns = between(random, 1, 30) * MS / 10;
    config->store_lag_ns = shrunk(random, between(random, 1, 20) * MS, 300 * MS);
    config->store_flush_ns = between(random, 1, 50) * 100 * MS;
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
    config->clients = (uint32_t)between(&random, 3, PD_SIM_CLIENTS_MAX);
    config->keys = (uint32_t)between(&random, 1, 12);
    config->op_per_second = (uint32_t)between(&random, 20, 200);
    if (options->op_per_second > 0) {
        config->op_per_second = options->op_per_second;
    }
    config->read_percent = (uint32_t)between(&random, 10, 70);
    config->cas_percent = (uint32_t)between(&random, 0, 30);
    config->client_timeout_ns = between(&random, 3, 20) * 100 * MS;
    draw_limits(config, &random);
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
    return true;
}
