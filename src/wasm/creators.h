/* creators - Wasmtime's linear memories and fiber stacks, taken from slabs.
 *
 * Role       What the dense engine is given as memory_creator and stack_creator (engine.h).
 * Model      A memory starts in the smallest slot that holds its minimum, grows inside of it
 *            without moving, and past it into a slot of the next fitting class (slab.h). A memory
 *            of zero pages takes a slot too. Wasmtime asks for base, size and capacity when a
 *            memory is made and when it grew, never while a guest runs.
 * Safety     Compiled code trusts these rules, so every memory is refused that was planned by
 *            others: guard and reservation are 0 (checks are explicit, against the current size),
 *            the memory is not shared (it may move); stacks need not be zeroed and are as large as
 *            the slabs' slots.
 * Bounds     The slabs' limits, and the budget: what is beyond is refused before any of it is
 *            touched. Besides its slot a memory costs 24 bytes of heap, a stack 16 (both: 32 with
 *            malloc's own).
 * Errors     A full slab or empty heap fails the instantiation with a text; memory.grow returns -1.
 * Ownership  The caller owns the structure and both slabs, and closes the slabs after the engine
 *            and every store are gone.
 * Threads    Any thread may create, grow and drop. What exists is touched by its guest's thread
 *            alone. */
#ifndef PD_WASM_CREATORS_H
#define PD_WASM_CREATORS_H

#include <wasm.h>
#include <wasmtime.h>

#include "base/memory_budget.h"
#include "wasm/slab.h"

struct pd_creators {
    struct pd_slab *memories;
    struct pd_slab *stacks;
    struct pd_memory_budget budget; /* of what both make; without a limit at first */
    wasmtime_memory_creator_t memory;
    wasmtime_stack_creator_t stack;
};

/* `memories` is a PD_SLAB_MEMORY, `stacks` a PD_SLAB_STACK whose slot size is the engine's
 * async_stack_size. */
void pd_creators_init(struct pd_creators *creators, struct pd_slab *memories,
                      struct pd_slab *stacks);

#endif
