#include "sim/network.h"

#include "base/assert.h"

#define PPM 1000000u
#define READER_BACKLOG_MAX 2000u

uint64_t pd_sim_heavy_tail(struct pd_random *random, uint64_t base_ns, uint32_t shift_max)
{
    uint64_t draw = pd_random_next(random);
    /* One trailing zero bit less half as often: P(delay > base << k) = 2^-k. */
    uint32_t shift = (uint32_t)__builtin_ctzll(draw | 1u << 30);
    shift = shift > shift_max ? shift_max : shift;
    uint64_t scaled = base_ns << shift;
    return scaled / 2 + ((draw >> 32) * (scaled / 2 + 1) >> 32);
}

void pd_sim_network_init(struct pd_sim_network *network, uint64_t seed, uint64_t delay_ns,
                         uint32_t tail_shift_max)
{
    *network = (struct pd_sim_network){.delay_ns = delay_ns, .tail_shift_max = tail_shift_max};
    pd_random_init(&network->random, seed, "network");
}

static bool strikes(struct pd_sim_network *network, uint32_t ppm)
{
    return ppm > 0 && pd_random_next(&network->random) % PPM < ppm;
}

/* One copy's arrival; false: the reader's backlog is full. */
static bool arrival(struct pd_sim_network *network, uint32_t from, uint32_t to, uint64_t now_ns,
                    uint64_t *arrival_out)
{
    struct pd_sim_link *link = &network->links[from][to];
    uint64_t delay =
        pd_sim_heavy_tail(&network->random, network->delay_ns, network->tail_shift_max) *
        (1 + network->extra_delay);
    uint64_t time = now_ns + delay;
    if (!strikes(network, network->reorder_ppm)) {
        time = time <= link->last_arrival_ns ? link->last_arrival_ns + 1 : time;
        link->last_arrival_ns = time;
    }
    uint64_t reader_ns = network->reader_ns[to];
    if (reader_ns > 0) {
        uint64_t free_ns = network->reader_free_ns[to];
        if (free_ns > now_ns + READER_BACKLOG_MAX * reader_ns) {
            return false;
        }
        time = time < free_ns ? free_ns : time;
        network->reader_free_ns[to] = time + reader_ns;
    }
    *arrival_out = time;
    return true;
}

uint32_t pd_sim_network_send(struct pd_sim_network *network, uint32_t from, uint32_t to,
                             uint64_t now_ns, uint64_t arrivals_out[PD_SIM_COPIES_MAX])
{
    pd_assert(from < PD_SIM_NODES_MAX && to < PD_SIM_NODES_MAX);
    network->sent++;
    if (network->links[from][to].cuts > 0 || strikes(network, network->drop_ppm)) {
        network->dropped++;
        return 0;
    }
    uint32_t copies = 1;
    while (copies < PD_SIM_COPIES_MAX && strikes(network, network->duplicate_ppm)) {
        network->duplicated++;
        copies++;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < copies; i++) {
        if (arrival(network, from, to, now_ns, &arrivals_out[count])) {
            count++;
        }
    }
    return count;
}

void pd_sim_network_cut(struct pd_sim_network *network, uint32_t from, uint32_t to)
{
    network->links[from][to].cuts++;
}

void pd_sim_network_mend(struct pd_sim_network *network, uint32_t from, uint32_t to)
{
    if (network->links[from][to].cuts > 0) {
        network->links[from][to].cuts--;
    }
}

bool pd_sim_network_is_cut(const struct pd_sim_network *network, uint32_t from, uint32_t to)
{
    return network->links[from][to].cuts > 0;
}

void pd_sim_network_heal(struct pd_sim_network *network, uint64_t latest_ns)
{
    for (uint32_t from = 0; from < PD_SIM_NODES_MAX; from++) {
        for (uint32_t to = 0; to < PD_SIM_NODES_MAX; to++) {
            struct pd_sim_link *link = &network->links[from][to];
            link->cuts = 0;
            /* What comes after a message that a storm has delayed does not wait as long as that one
             * was to (seed 2686). */
            if (link->last_arrival_ns > latest_ns) {
                link->last_arrival_ns = latest_ns;
            }
        }
        network->reader_ns[from] = 0;
    }
    network->drop_ppm = 0;
    network->duplicate_ppm = 0;
    network->reorder_ppm = 0;
    network->extra_delay = 0;
}
