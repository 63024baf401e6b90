/* clock - what one simulated machine takes for the time. Pure.
 *
 * Model      A boot clock that drifts, jumps or stands still, and a wall clock that lies beside it
 *            by an offset that may jump too. True time is the simulator's and never shown to a
 *            node. */
#ifndef PD_SIM_CLOCK_H
#define PD_SIM_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct pd_sim_clock {
    uint64_t true_base_ns;
    uint64_t boot_base_ns;
    int64_t drift_ppm;
    int64_t wall_offset_ns; /* of the wall clock from the boot clock */
    bool is_frozen;
};

void pd_sim_clock_init(struct pd_sim_clock *clock, uint64_t boot_ns, uint64_t wall_ns);
uint64_t pd_sim_clock_boot_ns(const struct pd_sim_clock *clock, uint64_t true_ns);
uint64_t pd_sim_clock_wall_ns(const struct pd_sim_clock *clock, uint64_t true_ns);
void pd_sim_clock_set_drift(struct pd_sim_clock *clock, uint64_t true_ns, int64_t ppm);
void pd_sim_clock_freeze(struct pd_sim_clock *clock, uint64_t true_ns, bool is_frozen);
/* Neither clock goes below zero. */
void pd_sim_clock_jump_boot(struct pd_sim_clock *clock, uint64_t true_ns, int64_t by_ns);
/* The machine starts anew: its boot clock begins at boot_ns, its wall clock goes on. */
void pd_sim_clock_reboot(struct pd_sim_clock *clock, uint64_t true_ns, uint64_t boot_ns);
void pd_sim_clock_jump_wall(struct pd_sim_clock *clock, int64_t by_ns);

#endif
