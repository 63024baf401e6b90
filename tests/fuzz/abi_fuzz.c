/* Sequences of host calls as a hostile guest would make them: any function, any arguments, any
 * memory. The input is a script; what it may break is the sandbox, and the invariants that
 * world_close checks.
 *
 *   step = 0x00-0x1F  poke: address (2 bytes), size (1 byte), bytes
 *          else       call: function (2 bytes), then per argument a selector: below 0xE0 an entry
 *                     of the table of hostile numbers, else 8 bytes that follow */
#include "wasm/abi_hostile.h"

#define STEPS_MAX 64

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
        if (next_byte(&script) < 0x20) {
            poke(&actor, &script);
        } else {
            call(&actor, &script, import_count);
        }
    }
    world_close(&world);
    return 0;
}
