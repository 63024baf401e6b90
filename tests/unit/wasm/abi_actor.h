/* abi_actor - processes of fake guests that a test has make calls, one at a time.
 *
 * CALL has the call done and gives its result; TRAP expects it to trap, and gives the words; BEGIN
 * leaves a call that waits waiting. */
#ifndef PD_TEST_ABI_ACTOR_H
#define PD_TEST_ABI_ACTOR_H

#include "abi_fake.h"

struct actor {
    struct world *world;
    struct pd_process *process;
    uint64_t pid;
};

static inline struct actor actor_spawn_with(struct world *world, struct pd_rights *rights)
{
    struct pd_module *module = fake_module();
    struct pd_process *process = world_spawn(world, module, rights, "main");
    pd_module_release(module);
    struct actor actor = {.world = world, .process = process, .pid = process->pid};
    return actor;
}

static inline struct actor actor_spawn(struct world *world)
{
    struct pd_rights *rights = world_rights(world);
    struct actor actor = actor_spawn_with(world, rights);
    pd_rights_release(rights);
    return actor;
}

static inline bool actor_lives(const struct actor *actor)
{
    return pd_mailbox_exists(actor->world->environment, actor->pid);
}

static inline struct pd_wasm_process *actor_wasm(const struct actor *actor)
{
    pd_assert(actor_lives(actor));
    return actor->process->data;
}

static inline struct pd_guest *actor_guest(const struct actor *actor)
{
    return actor_wasm(actor)->guest;
}

static inline uint8_t *actor_memory(const struct actor *actor, uint32_t address)
{
    return actor_guest(actor)->memory + address;
}

/* Write a text to guest memory; returns its length. */
static inline uint32_t actor_put(const struct actor *actor, uint32_t address, const char *text)
{
    size_t size = strlen(text);
    pd_assert(address + size <= FAKE_MEMORY_SIZE);
    memcpy(actor_memory(actor, address), text, size);
    return (uint32_t)size;
}

static inline uint64_t actor_u64(const struct actor *actor, uint32_t address)
{
    return pd_get_u64(actor_memory(actor, address));
}

static inline bool actor_has_attempted(void *context)
{
    const struct actor *actor = context;
    return !actor_lives(actor) || actor_guest(actor)->has_attempted;
}

static inline bool actor_is_done(void *context)
{
    const struct actor *actor = context;
    return !actor_lives(actor) || actor_guest(actor)->state == FAKE_DONE;
}

static inline bool actor_is_waiting(const struct actor *actor)
{
    return actor_lives(actor) && actor_guest(actor)->state == FAKE_WAITING;
}

/* That version of a function; NULL as signature: as it is, which is the first of its rows. */
static inline const struct pd_import *abi_find_version(const char *module, const char *name,
                                                       const char *signature)
{
    const struct pd_import_table *tables = NULL;
    size_t count = pd_abi_tables(&tables);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < tables[i].count; j++) {
            const struct pd_import *import = &tables[i].imports[j];
            if (strcmp(import->module, module) == 0 && strcmp(import->name, name) == 0 &&
                (signature == NULL || strcmp(import->signature, signature) == 0)) {
                return import;
            }
        }
    }
    return NULL;
}

static inline const struct pd_import *abi_find(const char *module, const char *name)
{
    return abi_find_version(module, name, NULL);
}

/* Have the actor make a call, and run until it did or waits. */
static inline void actor_begin(struct actor *actor, const struct pd_import *import,
                               const uint64_t *arguments, size_t count)
{
    pd_assert(import != NULL && count <= PD_CALL_ARGUMENTS_MAX);
    struct pd_guest *guest = actor_guest(actor);
    pd_assert(guest->state != FAKE_WAITING);
    guest->import = import;
    guest->call = (struct pd_call){.guest = guest};
    if (count > 0) {
        memcpy(guest->call.arguments, arguments, count * sizeof *arguments);
    }
    guest->state = FAKE_ASKED;
    guest->has_attempted = false;
    pd_process_wake(actor->process);
    (void)world_run(actor->world, actor_has_attempted, actor);
}

/* Run until the call is over (or can never be). */
static inline void actor_finish(struct actor *actor)
{
    (void)world_run(actor->world, actor_is_done, actor);
}

static inline uint64_t actor_result(const struct actor *actor)
{
    if (!actor_lives(actor)) {
        print_error("trapped: %s\n", actor->world->last_text);
    }
    assert_true(actor_lives(actor));
    assert_int_equal(actor_guest(actor)->state, FAKE_DONE);
    return actor_guest(actor)->call.result;
}

static inline uint64_t actor_call(struct actor *actor, const char *module, const char *name,
                                  const uint64_t *arguments, size_t count)
{
    actor_begin(actor, abi_find(module, name), arguments, count);
    actor_finish(actor);
    return actor_result(actor);
}

/* The call traps: what it says, and the actor is gone. */
static inline const char *actor_trap(struct actor *actor, const char *module, const char *name,
                                     const uint64_t *arguments, size_t count)
{
    actor_begin(actor, abi_find(module, name), arguments, count);
    actor_finish(actor);
    assert_false(actor_lives(actor));
    assert_int_equal(actor->world->last_pid, actor->pid);
    return actor->world->last_text;
}

/* CALL(&actor, "lunatic::error", "drop", 4): its result. */
#define CALL(actor, module, ...) CALL_(actor, module, __VA_ARGS__, 0)
#define CALL_(actor, module, name, ...)                                                            \
    actor_call(actor, module, name, (const uint64_t[]){__VA_ARGS__},                               \
               sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t) - 1)
#define BEGIN(actor, module, ...) BEGIN_(actor, module, __VA_ARGS__, 0)
#define BEGIN_(actor, module, name, ...)                                                           \
    actor_begin(actor, abi_find(module, name), (const uint64_t[]){__VA_ARGS__},                    \
                sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t) - 1)
#define TRAP(actor, module, ...) TRAP_(actor, module, __VA_ARGS__, 0)
#define TRAP_(actor, module, name, ...)                                                            \
    actor_trap(actor, module, name, (const uint64_t[]){__VA_ARGS__},                               \
               sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t) - 1)

static inline void assert_says(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        print_error("\"%s\" is not in \"%s\"\n", part, text);
    }
    assert_non_null(strstr(text, part));
}

/* The actor behind a pid that a spawn gave. */
static inline struct actor actor_of(struct world *world, uint64_t pid)
{
    return (struct actor){
        .world = world, .process = pd_environment_at(world->environment, pid), .pid = pid};
}

/* The text of an error, which is dropped; it lies in the actor's memory, at `address`. */
static inline const char *actor_error_text(struct actor *actor, uint64_t id, uint32_t address)
{
    uint32_t size = (uint32_t)CALL(actor, "lunatic::error", "string_size", id);
    (void)CALL(actor, "lunatic::error", "to_string", id, address);
    *actor_memory(actor, address + size) = '\0';
    (void)CALL(actor, "lunatic::error", "drop", id);
    return (const char *)actor_memory(actor, address);
}

/* A data message in the actor's scratch. */
static inline void actor_create_message(struct actor *actor, uint64_t tag, const char *text)
{
    (void)CALL(actor, "lunatic::message", "create_data", tag, 0);
    uint32_t size = actor_put(actor, 60000, text);
    assert_int_equal(CALL(actor, "lunatic::message", "write_data", 60000, size), size);
}

/* Receive without waiting: 0 data, 9027 nothing. The text is at 61000, its size returned. */
static inline uint32_t actor_receive(struct actor *actor, char *text, size_t text_size)
{
    uint32_t answer = (uint32_t)CALL(actor, "lunatic::message", "receive", 0, 0, 0);
    if (answer != 0) {
        return answer;
    }
    uint32_t size = (uint32_t)CALL(actor, "lunatic::message", "read_data", 61000, 1000);
    assert_true(size < text_size);
    memcpy(text, actor_memory(actor, 61000), size);
    text[size] = '\0';
    return 0;
}

#endif
