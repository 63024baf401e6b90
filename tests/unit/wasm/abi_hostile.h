/* abi_hostile - what a hostile guest may do: any function with any arguments, from an actor that
 * has something of everything. Used by the table-driven test and by the fuzzer. */
#ifndef PD_TEST_ABI_HOSTILE_H
#define PD_TEST_ABI_HOSTILE_H

#include "abi_actor.h"
#include "base/random.h"

#define HOSTILE_TEXT_AT 256u /* a valid text, 5 bytes, zeros behind it */

/* Numbers that break things: edges of both widths, the end of memory, small ids, valid places. */
static const uint64_t hostile_numbers[] = {
    0,
    1,
    2,
    4,
    5,
    8,
    17,
    64,
    HOSTILE_TEXT_AT,
    HOSTILE_TEXT_AT + 1,
    1024,
    1025,
    FAKE_MEMORY_SIZE - 17,
    FAKE_MEMORY_SIZE - 8,
    FAKE_MEMORY_SIZE - 7,
    FAKE_MEMORY_SIZE - 1,
    FAKE_MEMORY_SIZE,
    FAKE_MEMORY_SIZE + 1,
    0x7FFFFFFF,
    0x80000000,
    0x80000001,
    0xFFFFFFF8,
    0xFFFFFFFF,
    0x100000000,
    0x7FFFFFFFFFFFFFFF,
    0x8000000000000000,
    0x7FF0000000000000, /* infinity */
    0x7FF8000000000001, /* not a number */
    0xFFFFFFFFFFFFFFFE,
    0xFFFFFFFFFFFFFFFF,
};
#define HOSTILE_NUMBER_COUNT (sizeof hostile_numbers / sizeof hostile_numbers[0])

/* The import at `index` of all tables, one after the other; NULL behind the last. */
static inline const struct pd_import *hostile_import(size_t index)
{
    const struct pd_import_table *tables = NULL;
    size_t count = pd_abi_tables(&tables);
    for (size_t i = 0; i < count; i++) {
        if (index < tables[i].count) {
            return &tables[i].imports[index];
        }
        index -= tables[i].count;
    }
    return NULL;
}

static inline size_t hostile_import_count(void)
{
    const struct pd_import_table *tables = NULL;
    size_t table_count = pd_abi_tables(&tables);
    size_t count = 0;
    for (size_t i = 0; i < table_count; i++) {
        count += tables[i].count;
    }
    return count;
}

static inline size_t hostile_argument_count(const struct pd_import *import)
{
    return (size_t)(strchr(import->signature, '-') - import->signature);
}

/* Small numbers among text and noise: lists of buffers, tags and subscriptions become almost
 * plausible. */
static inline void hostile_fill(struct actor *actor, struct pd_random *random)
{
    uint8_t *memory = actor_memory(actor, 0);
    pd_random_fill(random, memory, FAKE_MEMORY_SIZE);
    for (uint32_t at = 0; at < FAKE_MEMORY_SIZE; at += 8) {
        if (pd_random_below(random, 4) != 0) {
            uint64_t number = hostile_numbers[pd_random_below(random, HOSTILE_NUMBER_COUNT)];
            pd_put_u32(memory + at, (uint32_t)number);
            pd_put_u32(memory + at + 4, (uint32_t)pd_random_below(random, 70));
        }
    }
    memset(memory + HOSTILE_TEXT_AT, 0, 64);
    memcpy(memory + HOSTILE_TEXT_AT, "hello", 5);
}

/* Room for what hostile actors leave behind within one world: timers far in the future, children,
 * names. */
static inline struct pd_runtime_config hostile_config(void)
{
    struct pd_runtime_config config = world_config();
    config.processes_max = 1024;
    config.names_max = 4096;
    config.message_timers_max = 1u << 16;
    return config;
}

static inline void hostile_purge(struct world *world)
{
    if (pd_environment_count(world->environment) < 512) {
        return;
    }
    for (uint64_t pid = 1; pid <= world->environment->pid_last; pid++) {
        enum pd_status status = pd_mailbox_kill(world->environment, pid, PD_EXIT_KILLED, NULL);
        pd_assert(status == PD_OK || status == PD_ERR_UNKNOWN);
    }
    world_pass(world, 10 * MS);
}

/* An actor that has an error, a module, a configuration, a timer, a name, a group and a message. */
static inline struct actor hostile_actor_with(struct world *world, struct pd_rights *rights)
{
    fake_starts_vary = true;
    hostile_purge(world);
    struct actor actor = actor_spawn_with(world, rights);
    memcpy(actor_memory(&actor, 0), "\0asm", 4);
    memcpy(actor_memory(&actor, HOSTILE_TEXT_AT), "hello", 5);
    (void)CALL(&actor, "lunatic::process", "compile_module", 0, 4, 16);
    (void)CALL(&actor, "lunatic::process", "compile_module", 1, 4, 16);
    (void)CALL(&actor, "lunatic::process", "create_config");
    actor_create_message(&actor, 5, "later");
    (void)CALL(&actor, "lunatic::timer", "send_after", actor.pid, 5);
    (void)CALL(&actor, "lunatic::registry", "put", HOSTILE_TEXT_AT, 5, 0, actor.pid);
    (void)CALL(&actor, "pando::group", "join", HOSTILE_TEXT_AT, 5);
    actor_create_message(&actor, 5, "hello");
    (void)CALL(&actor, "lunatic::message", "push_module", 0);
    return actor;
}

static inline struct actor hostile_actor(struct world *world)
{
    struct pd_rights *rights = world_rights(world);
    struct actor actor = hostile_actor_with(world, rights);
    pd_rights_release(rights);
    return actor;
}

/* Call, and take whatever comes: a result, a trap, a wait (which a kill ends, or what comes
 * meanwhile). False: the actor is gone. */
static inline bool hostile_call(struct actor *actor, const struct pd_import *import,
                                const uint64_t *numbers)
{
    uint64_t arguments[PD_CALL_ARGUMENTS_MAX] = {0};
    size_t count = hostile_argument_count(import);
    for (size_t i = 0; i < count; i++) {
        arguments[i] = import->signature[i] == 'i' ? (uint64_t)(uint32_t)numbers[i] : numbers[i];
    }
    actor_begin(actor, import, arguments, count);
    if (actor_is_waiting(actor)) {
        world_pass(actor->world, MS);
    }
    if (actor_is_waiting(actor)) {
        enum pd_status status =
            pd_mailbox_kill(actor->world->environment, actor->pid, PD_EXIT_KILLED, NULL);
        pd_assert(status == PD_OK);
        world_pass(actor->world, MS);
        pd_assert(!actor_lives(actor));
    }
    return actor_lives(actor);
}

#endif
