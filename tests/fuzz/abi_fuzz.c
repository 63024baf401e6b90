/* Sequences of host calls as a hostile guest would make them: any function, any arguments, any
 * memory. The input is a script; what it may break is the sandbox, and the invariants that
 * world_close checks.
 *
 *   step = 0x00-0x1F  poke: address (2 bytes), size (1 byte), bytes
 *          0x20-0x2F  a scene: calls as an honest guest makes them, so that what follows finds a
 *                     database with statements, or a supervisor with children
 *          else       call: function (2 bytes), then per argument a selector: below 0xE0 an entry
 *                     of the table of hostile numbers, else 8 bytes that follow */
#include "wasm/abi_hostile.h"

#define STEPS_MAX 64
#define NAME_AT 512u
#define OUT_AT 24u
#define FOREVER UINT64_MAX
/* Where, and as long as, numbers of the table say. */
#define LIST_AT 64u
#define SQL_AT 1024u
#define SQL_SIZE 64u

struct script {
    const uint8_t *bytes;
    size_t size;
    size_t at;
};

static uint8_t next_byte(struct script *script)
{
    return script->at < script->size ? script->bytes[script->at++] : 0;
}

static uint16_t next_u16(struct script *script)
{
    uint16_t low = next_byte(script);
    return (uint16_t)(low | (uint16_t)(next_byte(script) << 8));
}

static uint64_t next_number(struct script *script)
{
    uint8_t selector = next_byte(script);
    if (selector < 0xE0) {
        return hostile_numbers[selector % HOSTILE_NUMBER_COUNT];
    }
    uint64_t number = 0;
    for (int i = 0; i < 8; i++) {
        number = number << 8 | next_byte(script);
    }
    return number;
}

static void poke(struct actor *actor, struct script *script)
{
    uint32_t address = next_u16(script);
    uint32_t size = next_byte(script);
    for (uint32_t i = 0; i < size && address + i < FAKE_MEMORY_SIZE; i++) {
        *actor_memory(actor, address + i) = next_byte(script);
    }
}

static void call(struct actor *actor, struct script *script, size_t import_count)
{
    const struct pd_import *import = hostile_import(next_u16(script) % import_count);
    uint64_t numbers[PD_CALL_ARGUMENTS_MAX] = {0};
    size_t count = hostile_argument_count(import);
    for (size_t i = 0; i < count; i++) {
        numbers[i] = next_number(script);
    }
    (void)hostile_call(actor, import, numbers);
}

/* A step of a scene. Who is gone in the middle of one does nothing more. */
#define DO(actor, module, name, ...)                                                               \
    ((void)(actor_lives(actor) &&                                                                  \
            hostile_call(actor, abi_find(module, name),                                            \
                         (const uint64_t[PD_CALL_ARGUMENTS_MAX]){__VA_ARGS__})))

/* Two statements (0 and 1), one at a row, and a list of values for their parameters. */
static void open_database(struct actor *actor)
{
    static const uint8_t list[] = {
        2, 0, 0, 0, 0,    0,    0,    0,                                      /* pairs */
        1, 0, 0, 0, 2,    0,    0,    0,    0,    0,    0,    0,              /* parameter 2 */
        2, 0, 0, 0, 2,    0,    0,    0,    0,    0,    0,    0,    'h', 'i', /* is a text */
        2, 0, 0, 0, 1,    0,    0,    0,    0,    0,    0,    0,    'a',      /* and one called a */
        5, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F,           /* is a number */
    };
    static const char sql[] = "SELECT :a,?2,1.5; -- and so on, for as long as the table's sizes";
    _Static_assert(sizeof sql - 1 == SQL_SIZE, "a size of the table");
    memcpy(actor_memory(actor, LIST_AT), list, sizeof list);
    memcpy(actor_memory(actor, SQL_AT), sql, SQL_SIZE);
    uint32_t size = actor_put(actor, NAME_AT, ":memory:");
    DO(actor, "lunatic::sqlite", "open", NAME_AT, size, OUT_AT);
    DO(actor, "lunatic::sqlite", "query_prepare", 0, SQL_AT, SQL_SIZE);
    DO(actor, "lunatic::sqlite", "query_prepare", 0, SQL_AT, 17);
    DO(actor, "lunatic::sqlite", "bind_value", 0, LIST_AT, SQL_SIZE);
    DO(actor, "lunatic::sqlite", "sqlite3_step", 0);
}

/* A supervisor that runs, with a worker and another below it, and a specification (2). */
static void start_supervisor(struct actor *actor)
{
    static const char module[] = "pando::supervisor";
    DO(actor, module, "create", 0, 3, 1000);
    DO(actor, module, "create", 1, 3, 1000);
    for (uint64_t spec = 0; spec < 2; spec++) {
        DO(actor, module, "set_name", spec, HOSTILE_TEXT_AT, 4 + spec);
        DO(actor, module, "add_worker", spec, HOSTILE_TEXT_AT, 5, UINT64_MAX, 0, HOSTILE_TEXT_AT, 5,
           0, 0, spec, 0, 5);
    }
    DO(actor, module, "add_supervisor", 1, 0, HOSTILE_TEXT_AT, 4, 0, UINT64_MAX);
    DO(actor, module, "start", 1, 0, OUT_AT);
    DO(actor, module, "create", 3, 3, 1000);
    DO(actor, module, "add_worker", 2, HOSTILE_TEXT_AT, 5, UINT64_MAX, 0, HOSTILE_TEXT_AT, 5, 0, 0,
       0, 0, 0);
    /* Its number is nowhere in the table of hostile ones. */
    uint64_t pid = actor_lives(actor) ? actor_u64(actor, OUT_AT) : 0;
    DO(actor, module, "count", pid, NAME_AT, FOREVER, OUT_AT);
    DO(actor, module, "list", pid, 0, NAME_AT, 256, FOREVER, OUT_AT);
    DO(actor, module, "stop_child", pid, pid + 1, FOREVER, OUT_AT);
    DO(actor, module, "restart_child", pid, HOSTILE_TEXT_AT, 5, FOREVER, OUT_AT);
    DO(actor, module, "delete_child", pid, HOSTILE_TEXT_AT, 4, FOREVER, OUT_AT);
}

static void play(struct actor *actor, uint8_t scene)
{
    if (scene % 2 == 0) {
        open_database(actor);
    } else {
        start_supervisor(actor);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct script script = {.bytes = bytes, .size = size};
    struct world world;
    struct pd_runtime_config config = hostile_config();
    world_open(&world, &config);
    struct actor actor = hostile_actor(&world);
    size_t import_count = hostile_import_count();
    for (int step = 0; step < STEPS_MAX && script.at < script.size; step++) {
        if (!actor_lives(&actor)) {
            actor = hostile_actor(&world);
        }
        uint8_t kind = next_byte(&script);
        if (kind < 0x20) {
            poke(&actor, &script);
        } else if (kind < 0x30) {
            play(&actor, kind);
        } else {
            call(&actor, &script, import_count);
        }
    }
    world_close(&world);
    return 0;
}
