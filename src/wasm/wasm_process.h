/* wasm_process - a guest as a process: where the actor core and the engine meet.
 *
 * Model      The behavior of every wasm process. It steps the guest, turns its ending into an exit
 *            reason, and holds what host functions need: the scratch message, tables of resources,
 *            rights, WASI.
 * Ownership  struct pd_wasm_process is process->data, freed by the behavior's destroy. The system
 *            outlives it.
 * Threads    The owner's only, except where a field says otherwise. */
#ifndef PD_WASM_WASM_PROCESS_H
#define PD_WASM_WASM_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/environment.h"
#include "actor/process.h"
#include "actor/runtime.h"
#include "wasm/compile.h"
#include "wasm/guest.h"
#include "wasm/id_table.h"
#include "wasm/module.h"
#include "wasm/rights.h"
#include "wasm/timer_ids.h"

struct pd_certificates;
struct pd_files;
struct pd_kv_port;
struct pd_kv_state;
struct pd_memory_budget;
struct pd_metrics;
struct pd_net_state;
struct pd_sqlite_state;
struct pd_sockets;
struct pd_wasi;

/* Kinds of resources that messages carry (struct pd_resource.kind). */
enum pd_resource_kind {
    PD_RESOURCE_MODULE = 1,
    PD_RESOURCE_KV_CREDIT = 2,  /* what a block of a watch holds of its credit; not to be taken */
    PD_RESOURCE_TCP_STREAM = 3, /* struct pd_net_socket, net.h */
    PD_RESOURCE_UDP_SOCKET = 4,
    PD_RESOURCE_TLS_STREAM = 5,
    PD_RESOURCE_TCP_LISTENER = 6, /* in no message, both: only their owner accepts */
    PD_RESOURCE_TLS_LISTENER = 7
};

/* What all wasm processes of one program share. */
struct pd_wasm_system {
    struct pd_runtime *runtime;
    struct pd_machine machine;
    struct pd_files *files;
    /* for modules that guests supply; its linker is the default one */
    struct pd_compile_budget compile;
    struct pd_metrics *metrics; /* NULL: counted nowhere */
    struct pd_kv_port *kv;      /* the store; NULL: there is none */
    struct pd_sockets *sockets; /* NULL: there is no network */
    /* the maker of certificates; NULL: there is none */
    const struct pd_certificates *certificates;
    struct pd_memory_budget *budget; /* of guests' memory; NULL: there is none */
    bool is_tagged; /* lines of output begin with the name or the pid of who wrote them */
};

/* Results of lunatic::distributed's queries that were not read yet: the newest, a bit each. */
#define PD_LOOKUPS_KEPT 64u
struct pd_lookups {
    uint64_t next_id;
    uint64_t unread;
    uint64_t found; /* this node is in the result */
};

struct pd_wasm_process {
    struct pd_process *process;
    struct pd_guest *guest;
    struct pd_wasm_system *system;
    struct pd_rights *rights;       /* a reference */
    struct pd_message *scratch;     /* outgoing or received, or NULL */
    struct pd_wasi *wasi;           /* made at first use, or NULL */
    struct pd_id_table errors;      /* struct pd_error_text */
    struct pd_id_table modules;     /* struct pd_module, referenced */
    struct pd_id_table configs;     /* struct pd_rights, under construction */
    struct pd_id_table supervisors; /* specifications under construction */
    struct pd_lookups lookups;      /* queries for nodes */
    struct pd_timer_ids timers;     /* pending; the timers themselves outlive the process */
    char *registering;              /* the name to take at the first step; owned */
    char *function;                 /* the entry, for reports; owned */
    uint64_t call_ref;              /* of the call in progress, or 0 */
    uint64_t deadline_ns;           /* of the call that waits */
    uint64_t *tags;                 /* of the receive that waits; owned */
    uint32_t tag_count;
    uint64_t reserved;              /* bytes of the budget, until it is instantiated */
    uint64_t held;                  /* more of them, as long as it lives: of its instance */
    struct pd_kv_state *kv;         /* made at first use, or NULL: pando_kv.h */
    struct pd_net_state *net;       /* made at first use, or NULL: net.h */
    struct pd_sqlite_state *sqlite; /* made at first use, or NULL: sqlite_state.h */
    uint32_t last_reason;           /* enum pd_exit_reason of the last failed `pando` call */
};

extern const struct pd_behavior pd_wasm_behavior;

/* How to make one. */
struct pd_wasm_spawn {
    struct pd_environment *environment;
    struct pd_module *module; /* borrowed */
    struct pd_rights *rights; /* borrowed; shared by the new process */
    struct pd_guest_entry entry;
    uint64_t parent;        /* pid, or 0 */
    const char *registered; /* a name that it takes before its first step, or NULL; copied */
};

/* Make a process that has not begun to run: pd_process_start lets it, pd_wasm_process_discard gives
 * it up. PD_ERR_FULL, PD_ERR_NO_MEMORY, PD_ERR_CLOSED, PD_ERR_INVALID (too many params). */
PD_NODISCARD enum pd_status pd_wasm_process_create(struct pd_wasm_system *system,
                                                   const struct pd_wasm_spawn *spawn,
                                                   struct pd_wasm_process **process_out);
void pd_wasm_process_discard(struct pd_wasm_process *process);

/* Let the ends of host calls be noted by the process's tracer, as long as it has one. By the owner,
 * between steps. A deterministic run keeps its own trace instead. */
void pd_wasm_process_trace_calls(struct pd_wasm_process *self);

/* What it has reserved of the budget is free: it is instantiated now, and takes it itself. */
void pd_wasm_process_unreserve(struct pd_wasm_process *self);

/* The callbacks of struct pd_machine: pd_machine_init(.., pd_wasm_wake, pd_wasm_wake_at). */
void pd_wasm_wake(void *process);
void pd_wasm_wake_at(void *process, uint64_t deadline_ns);
/* And of pd_machine_set_lending(.., pd_wasm_lend, pd_scheduler_is_lending). */
bool pd_wasm_lend(void *process);

/* The wasm process that a host call belongs to. What a guest calls its process is the struct
 * pd_process, whose memory outlives it: late wakes are harmless. */
static inline struct pd_wasm_process *pd_call_process(const struct pd_call *call)
{
    return ((struct pd_process *)pd_guest_process(call->guest))->data;
}

/* True: this process runs wasm. Then process->data is its struct pd_wasm_process. */
static inline bool pd_process_is_wasm(const struct pd_process *process)
{
    return process->behavior == &pd_wasm_behavior;
}

/* --- Shorthands for the tables of host functions ---------------------------------------------- */

/* Keep an error text for the guest and write its id (u64) to guest memory at `address`; the result
 * is 1. Traps when the address is out of bounds. */
enum pd_call_result pd_call_error(struct pd_call *call, uint32_t address, const char *format, ...)
    PD_PRINTF(3, 4);

/* Write a u64 result to guest memory at `address`; the result is 0. Traps when out of bounds. */
enum pd_call_result pd_call_write_u64(struct pd_call *call, uint32_t address, uint64_t value);

/* A region of guest memory, or NULL after a trap was set: return PD_CALL_TRAP then. */
const uint8_t *pd_call_bytes(struct pd_call *call, uint32_t address, uint32_t size,
                             const char *what);

/* As above, and valid UTF-8. A text of more than size_max bytes is not looked at, for that takes
 * time that no fuel pays: the caller refuses it by its size. */
const char *pd_call_text(struct pd_call *call, uint32_t address, uint32_t size, uint32_t size_max,
                         const char *what);

/* now + milliseconds, saturating; UINT64_MAX ms: PD_TIME_NEVER. */
uint64_t pd_call_deadline_ns(struct pd_call *call, uint64_t timeout_ms);

/* The configuration whose id is argument 0, safe to change: one that a process was spawned with is
 * replaced by a copy first. NULL after a trap. */
struct pd_rights *pd_call_config_for_change(struct pd_call *call);

/* End the guest because it lacks a right: exit reason DENIED. */
enum pd_call_result pd_call_trap_right(struct pd_call *call, const char *what);

/* The end of a call that sent something to `pid`, its result set: the guest goes on when that is on
 * its way, and when what it sent to itself has taken effect. Return its result. */
enum pd_call_result pd_call_settle(struct pd_call *call, uint64_t pid);

/* Set the scratch message, destroying what it held. Takes the message (NULL: empty). */
void pd_wasm_process_set_scratch(struct pd_wasm_process *self, struct pd_message *message);

/* What `receive` answers for a message kind: 0 data, 1 link died, 2 process died, 3 down. */
uint32_t pd_wasm_receive_code(const struct pd_message *message);

/* The tables. Each ends the list of its folder-mates in abi.c. */
struct pd_import_table {
    const struct pd_import *imports;
    size_t count;
};

/* All tables: `lunatic::*`, `pando::*`, WASI. Returns how many. */
size_t pd_abi_tables(const struct pd_import_table **tables_out);

#endif
