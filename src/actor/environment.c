#include "actor/environment.h"

#include <stddef.h>

#include "actor/runtime.h"
#include "base/alloc.h"
#include "base/assert.h"

#define WORD_BITS 64u

static uint32_t round_up_power(uint32_t value)
{
    uint32_t power = WORD_BITS;
    while (power < value && power < 1u << 31) {
        power <<= 1;
    }
    return power;
}

enum pd_status pd_environment_create(struct pd_runtime *runtime, uint64_t id,
                                     struct pd_environment **environment_out)
{
    struct pd_environment *environment = pd_alloc_zeroed(1, sizeof *environment);
    if (environment == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    environment->runtime = runtime;
    environment->id = id;
    environment->capacity = round_up_power(runtime->config.processes_max);
    environment->taken = pd_alloc_zeroed(environment->capacity / WORD_BITS, sizeof(uint64_t));
    environment->slots = pd_alloc_zeroed(environment->capacity, sizeof *environment->slots);
    if (environment->taken == NULL || environment->slots == NULL) {
        pd_free(environment->taken);
        pd_free(environment->slots);
        pd_free(environment);
        return PD_ERR_NO_MEMORY;
    }
    /* Seeded, so that guests cannot choose names that all fall into one bucket. */
    uint64_t seed = 0;
    runtime->host->ops->entropy(runtime->host, (uint8_t *)&seed, sizeof seed);
    pd_registry_init(&environment->registry, runtime->config.names_max, seed);
    pd_group_set_init(&environment->groups, runtime->config.names_max, seed);
    *environment_out = environment;
    return PD_OK;
}

void pd_environment_destroy(struct pd_environment *environment)
{
    if (environment == NULL) {
        return;
    }
    pd_assert(environment->count == 0);
    pd_runtime_purge_sends(environment->runtime, environment);
    pd_registry_deinit(&environment->registry);
    pd_group_set_deinit(&environment->groups);
    pd_free(environment->taken);
    pd_free(environment->slots);
    pd_free(environment);
}

void pd_environment_close(struct pd_environment *environment)
{
    pd_spin_lock(&environment->lock);
    environment->is_closed = true;
    pd_spin_unlock(&environment->lock);
}

/* The first slot at or behind `from`, cyclically, whose bit is clear. At least one is. */
static uint32_t free_slot(const struct pd_environment *environment, uint32_t from)
{
    uint32_t words = environment->capacity / WORD_BITS;
    uint32_t word = from / WORD_BITS;
    uint64_t candidates = ~environment->taken[word] & (UINT64_MAX << (from % WORD_BITS));
    for (uint32_t i = 0; i <= words; i++) {
        if (candidates != 0) {
            return word * WORD_BITS + (uint32_t)__builtin_ctzll(candidates);
        }
        word = (word + 1) % words;
        candidates = ~environment->taken[word];
    }
    pd_assert(false);
    return 0;
}

enum pd_status pd_environment_take_pid(struct pd_environment *environment, uint64_t *pid_out)
{
    enum pd_status status = PD_OK;
    pd_spin_lock(&environment->lock);
    if (environment->is_closed) {
        status = PD_ERR_CLOSED;
    } else if (environment->count >= environment->runtime->config.processes_max) {
        status = PD_ERR_FULL;
    } else {
        uint64_t next = environment->pid_last + 1;
        uint32_t mask = environment->capacity - 1;
        uint32_t slot = free_slot(environment, (uint32_t)(next & mask));
        *pid_out = next + ((slot - next) & mask);
        environment->pid_last = *pid_out;
        environment->taken[slot / WORD_BITS] |= UINT64_C(1) << (slot % WORD_BITS);
        environment->count++;
    }
    pd_spin_unlock(&environment->lock);
    return status;
}

void pd_environment_give_pid(struct pd_environment *environment, uint64_t pid)
{
    uint32_t slot = (uint32_t)(pid & (environment->capacity - 1));
    uint64_t bit = UINT64_C(1) << (slot % WORD_BITS);
    pd_spin_lock(&environment->lock);
    pd_assert((environment->taken[slot / WORD_BITS] & bit) != 0);
    environment->taken[slot / WORD_BITS] &= ~bit;
    environment->count--;
    pd_spin_unlock(&environment->lock);
}

uint32_t pd_environment_count(struct pd_environment *environment)
{
    pd_spin_lock(&environment->lock);
    uint32_t count = environment->count;
    pd_spin_unlock(&environment->lock);
    return count;
}
