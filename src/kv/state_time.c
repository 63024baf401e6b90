#include "kv/state_time.h"

uint64_t pd_kv_time_after(uint64_t from_ns, uint64_t duration_ns)
{
    return duration_ns > UINT64_MAX - from_ns ? UINT64_MAX : from_ns + duration_ns;
}

uint64_t pd_kv_state_time_next(uint64_t last_ns, uint64_t given_ns, uint64_t step_max_ns)
{
    if (given_ns <= last_ns) {
        return last_ns;
    }
    return given_ns - last_ns < step_max_ns ? given_ns : last_ns + step_max_ns;
}

bool pd_kv_is_due(uint64_t deadline_ns, uint64_t now_ns)
{
    return deadline_ns <= now_ns;
}
