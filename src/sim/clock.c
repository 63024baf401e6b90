#include "sim/clock.h"

#define PPM 1000000

void pd_sim_clock_init(struct pd_sim_clock *clock, uint64_t boot_ns, uint64_t wall_ns)
{
    *clock = (struct pd_sim_clock){
        .boot_base_ns = boot_ns,
        .wall_offset_ns = (int64_t)(wall_ns - boot_ns),
    };
}

uint64_t pd_sim_clock_boot_ns(const struct pd_sim_clock *clock, uint64_t true_ns)
{
    if (clock->is_frozen) {
        return clock->boot_base_ns;
    }
    uint64_t passed = true_ns - clock->true_base_ns;
    int64_t drift = (int64_t)(passed / PPM) * clock->drift_ppm;
    return clock->boot_base_ns + passed + (uint64_t)drift;
}

uint64_t pd_sim_clock_wall_ns(const struct pd_sim_clock *clock, uint64_t true_ns)
{
    int64_t wall = (int64_t)pd_sim_clock_boot_ns(clock, true_ns) + clock->wall_offset_ns;
    return wall < 0 ? 0 : (uint64_t)wall;
}

static void rebase(struct pd_sim_clock *clock, uint64_t true_ns)
{
    clock->boot_base_ns = pd_sim_clock_boot_ns(clock, true_ns);
    clock->true_base_ns = true_ns;
}

void pd_sim_clock_set_drift(struct pd_sim_clock *clock, uint64_t true_ns, int64_t ppm)
{
    rebase(clock, true_ns);
    clock->drift_ppm = ppm;
}

void pd_sim_clock_freeze(struct pd_sim_clock *clock, uint64_t true_ns, bool is_frozen)
{
    rebase(clock, true_ns);
    clock->is_frozen = is_frozen;
}

void pd_sim_clock_jump_boot(struct pd_sim_clock *clock, uint64_t true_ns, int64_t by_ns)
{
    rebase(clock, true_ns);
    if (by_ns < 0 && clock->boot_base_ns < (uint64_t)-by_ns) {
        clock->boot_base_ns = 0;
        return;
    }
    clock->boot_base_ns += (uint64_t)by_ns;
}

void pd_sim_clock_reboot(struct pd_sim_clock *clock, uint64_t true_ns, uint64_t boot_ns)
{
    rebase(clock, true_ns);
    clock->wall_offset_ns += (int64_t)(clock->boot_base_ns - boot_ns);
    clock->boot_base_ns = boot_ns;
}

void pd_sim_clock_jump_wall(struct pd_sim_clock *clock, int64_t by_ns)
{
    clock->wall_offset_ns += by_ns;
}
