/* process_view - what an onlooker may know about a process, without disturbing it, or by asking it.
 *
 * Model      A *row* is read in passing: atomics, constants, and what the process's lock guards. A
 *            *look* asks the owner, between two slices, for what only it may read; it answers soon,
 *            or not before its next yield. The onlooker polls pd_process_look_is_done.
 * Bounds     PD_VIEW_BONDS_MAX bonds are listed, the rest is counted.
 * Ownership  A row and a look hold references (module, rights): deinit or release them.
 * Threads    Any thread that is not a scheduler's. */
#ifndef PD_NODE_PROCESS_VIEW_H
#define PD_NODE_PROCESS_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/environment.h"
#include "actor/mailbox.h"
#include "actor/tracer.h"
#include "node/process_path.h"
#include "wasm/wasm_process.h"

#define PD_VIEW_BONDS_MAX 256u
#define PD_VIEW_FUNCTION_SIZE 128u

enum pd_view_state {
    PD_VIEW_RUNNING = 0,
    PD_VIEW_RUNNABLE = 1, /* waits for its turn */
    PD_VIEW_WAITING = 2,  /* for a message */
    PD_VIEW_BLOCKED = 3,  /* on a send: the receiver's mailbox is full */
    PD_VIEW_IN_CALL = 4   /* in a host call: call_space, call_name */
};

/* "running", "runnable", "waiting", "blocked on send", "in host call". */
const char *pd_view_state_text(enum pd_view_state state);

struct pd_process_row {
    struct pd_process_label label;
    char name[PD_LABEL_SIZE]; /* the first registered one, or "" */
    enum pd_view_state state;
    const char *call_space; /* static texts, or NULL */
    const char *call_name;
    struct pd_mailbox_view mailbox;
    uint32_t link_count;
    uint32_t monitor_count;
    uint32_t restart_count;
    uint64_t birth_ns;
    uint64_t received_count;
    uint64_t sent_count;
    uint64_t slice_count;
    bool is_supervisor;
    struct pd_module *module; /* a reference, or NULL: no wasm */
    char function[PD_VIEW_FUNCTION_SIZE];
    uint64_t fuel_used;
    uint64_t memory_size;
};

/* PD_ERR_UNKNOWN: no such process. */
PD_NODISCARD enum pd_status pd_process_row_take(struct pd_environment *environment, uint64_t pid,
                                                struct pd_process_row *row);
void pd_process_row_deinit(struct pd_process_row *row);

/* The live process with this pid in decimal, this registered name, or else the only one with this
 * child's id or path. 0: none, or more than one. */
uint64_t pd_process_find(struct pd_environment *environment, const char *name);

/* --- Asking the owner ------------------------------------------------------------------------- */

enum pd_view_bond_kind {
    PD_VIEW_LINK = 0,
    PD_VIEW_WATCHING = 1,
    PD_VIEW_WATCHED_BY = 2,
    PD_VIEW_BOND_KINDS = 3
};

struct pd_process_look {
    /* The answer, once done. */
    enum pd_status status; /* of attaching the tracer */
    uint32_t bond_counts[PD_VIEW_BOND_KINDS];
    uint32_t listed_count;
    uint64_t peers[PD_VIEW_BONDS_MAX];
    uint8_t kinds[PD_VIEW_BONDS_MAX]; /* enum pd_view_bond_kind */
    bool traps_exits;
    bool traps_failures;
    bool is_ready;
    uint32_t outbox_count;
    struct pd_rights *rights; /* a reference, or NULL */
    /* Private. */
    struct pd_tracer *tracer; /* to be attached, a reference, or NULL: look only */
    atomic_bool is_done;
    atomic_uint_least32_t references;
};

/* Ask process `pid`; `tracer` (NULL: none) is attached on the way. *look_out is the caller's until
 * released. PD_ERR_UNKNOWN, PD_ERR_FULL (it has too many requests pending), PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_process_look_begin(struct pd_environment *environment, uint64_t pid,
                                                  struct pd_tracer *tracer,
                                                  struct pd_process_look **look_out);
bool pd_process_look_is_done(const struct pd_process_look *look);
void pd_process_look_release(struct pd_process_look *look); /* NULL is allowed */

#endif
