/* process - starting, watching, calling and ending processes.
 *
 * Pids      Unique for ever within a program; 0 is nobody.
 * Links     Two linked processes share their fate: when one ends other than normally, so does the
 *           other, unless it traps that (pando_trap_exit). Monitors only tell, and one side only.
 * Rights    Spawning needs the right to spawn; without it the process ends with reason `denied`. A
 *           child never has more rights than its parent: config.h. */
#ifndef PANDO_PROCESS_H
#define PANDO_PROCESS_H

#include "message.h"

/* One parameter of a spawned function, as it travels. Make it with the functions below. */
struct pando_param {
    uint8_t type;
    uint64_t low;
    uint64_t high;
} __attribute__((packed));

_Static_assert(sizeof(struct pando_param) == 17, "Pando reads parameters as 17 bytes each");

static inline struct pando_param pando_i32(int32_t value)
{
    return (struct pando_param){0x7F, (uint32_t)value, 0};
}

static inline struct pando_param pando_i64(int64_t value)
{
    return (struct pando_param){0x7E, (uint64_t)value, 0};
}

PANDO_IMPORT("lunatic::process", "spawn")
uint32_t pando_import_spawn(uint64_t link, uint64_t config, uint64_t module, const char *function,
                            uint32_t function_size, const struct pando_param *params,
                            uint32_t params_size, uint64_t *id_out);
PANDO_IMPORT("lunatic::process", "get_or_spawn")
uint32_t pando_import_get_or_spawn(const char *name, uint32_t name_size, uint64_t link,
                                   uint64_t config, uint64_t module, const char *function,
                                   uint32_t function_size, const struct pando_param *params,
                                   uint32_t params_size, uint64_t *node_out, uint64_t *id_out);
PANDO_IMPORT("lunatic::process", "sleep_ms") void pando_import_sleep_ms(uint64_t ms);
PANDO_IMPORT("lunatic::process", "die_when_link_dies")
void pando_import_die_when_link_dies(uint32_t dies);
PANDO_IMPORT("lunatic::process", "process_id") uint64_t pando_import_process_id(void);
PANDO_IMPORT("lunatic::process", "environment_id") uint64_t pando_import_environment_id(void);
PANDO_IMPORT("lunatic::process", "link") void pando_import_link(uint64_t tag, uint64_t pid);
PANDO_IMPORT("lunatic::process", "unlink") void pando_import_unlink(uint64_t pid);
PANDO_IMPORT("lunatic::process", "kill") void pando_import_kill(uint64_t pid);
PANDO_IMPORT("lunatic::process", "exists") uint32_t pando_import_exists(uint64_t pid);
PANDO_IMPORT("pando::process", "monitor") uint64_t pando_import_monitor(uint64_t pid);
PANDO_IMPORT("pando::process", "demonitor")
uint32_t pando_import_demonitor(uint64_t ref, uint32_t flush);
PANDO_IMPORT("pando::process", "trap_exit") void pando_import_trap_exit(uint32_t traps);
PANDO_IMPORT("pando::process", "exit")
void pando_import_exit(uint64_t pid, uint32_t reason, const char *text, uint32_t text_size);
PANDO_IMPORT("pando::process", "exit_self")
void pando_import_exit_self(uint32_t reason, const char *text, uint32_t text_size);
PANDO_IMPORT("pando::process", "last_reason") uint32_t pando_import_last_reason(void);
PANDO_IMPORT("pando::process", "call")
uint32_t pando_import_call(uint64_t pid, uint64_t timeout_ms);
PANDO_IMPORT("pando::process", "reply") uint32_t pando_import_reply(uint64_t pid, uint64_t ref);

/* --- Starting --------------------------------------------------------------------------------- */

/* All that can be said about a new process. Begin with pando_spawn_options. */
struct pando_spawn_options {
    const char *function;             /* an export of the module: PANDO_EXPORT */
    const struct pando_param *params; /* what it takes, one to one */
    uint32_t param_count;             /* 0 to 16 */
    uint64_t link_tag;                /* linked to the parent, who sees this tag; 0: not linked */
    uint64_t config;                  /* config.h, or PANDO_INHERIT */
    uint64_t module;                  /* module.h, or PANDO_INHERIT */
};

static inline struct pando_spawn_options pando_spawn_options(const char *function,
                                                             const struct pando_param *params,
                                                             uint32_t param_count)
{
    return (struct pando_spawn_options){function, params,        param_count,
                                        0,        PANDO_INHERIT, PANDO_INHERIT};
}

/* PANDO_OK: *pid_out is the process; it runs from now on. PANDO_ERROR: *pid_out is an error id.
 * A function that does not exist, or takes other parameters, is no error here: the child dies of
 * it. Traps: no right to spawn, unknown config or module, more rights than the parent's. */
static inline enum pando_result pando_spawn_with(const struct pando_spawn_options *options,
                                                 uint64_t *pid_out)
{
    return (enum pando_result)pando_import_spawn(
        options->link_tag, options->config, options->module, options->function,
        pando_text_size(options->function), options->params,
        options->param_count * (uint32_t)sizeof(struct pando_param), pid_out);
}

/* A process of this module with the parent's rights, not linked. As pando_spawn_with. */
static inline enum pando_result pando_spawn(const char *function, const struct pando_param *params,
                                            uint32_t param_count, uint64_t *pid_out)
{
    struct pando_spawn_options options = pando_spawn_options(function, params, param_count);
    return pando_spawn_with(&options, pid_out);
}

/* The same, linked to the caller. `tag` (not 0) marks the notice if the caller traps exits. */
static inline enum pando_result pando_spawn_link(uint64_t tag, const char *function,
                                                 const struct pando_param *params,
                                                 uint32_t param_count, uint64_t *pid_out)
{
    struct pando_spawn_options options = pando_spawn_options(function, params, param_count);
    options.link_tag = tag;
    return pando_spawn_with(&options, pid_out);
}

/* What pando_get_or_spawn did. */
enum pando_found {
    PANDO_SPAWNED = 0,
    PANDO_NOT_SPAWNED = 1, /* *pid_out is an error id */
    PANDO_FOUND = 2
};

/* The process that has this name (registry.h), or a new one that gets it; never two, however many
 * ask at once. Traps as pando_spawn_with. */
static inline enum pando_found pando_get_or_spawn(const char *name,
                                                  const struct pando_spawn_options *options,
                                                  uint64_t *pid_out)
{
    uint64_t node = 0;
    return (enum pando_found)pando_import_get_or_spawn(
        name, pando_text_size(name), options->link_tag, options->config, options->module,
        options->function, pando_text_size(options->function), options->params,
        options->param_count * (uint32_t)sizeof(struct pando_param), &node, pid_out);
}

/* --- Identity --------------------------------------------------------------------------------- */

/* One's own pid. */
static inline uint64_t pando_self(void)
{
    return pando_import_process_id();
}

/* The world of pids and names that this process lives in. */
static inline uint64_t pando_environment(void)
{
    return pando_import_environment_id();
}

/* Alive right now? It may not be when you read the answer: prefer a monitor. */
static inline bool pando_exists(uint64_t pid)
{
    return pando_import_exists(pid) != 0;
}

/* Do nothing for a while; messages and signals arrive meanwhile. */
static inline void pando_sleep(uint64_t ms)
{
    pando_import_sleep_ms(ms);
}

/* --- Watching --------------------------------------------------------------------------------- */

/* Share fate with `pid`; both sides see `tag` (not 0). Nobody there: as if it died at once with
 * reason `no process`. */
static inline void pando_link(uint64_t tag, uint64_t pid)
{
    pando_import_link(tag, pid);
}

static inline void pando_unlink(uint64_t pid)
{
    pando_import_unlink(pid);
}

/* Whether the end of a linked process, whatever its reason, and exit signals arrive as messages
 * (PANDO_LINK_DIED) instead of ending this process. A kill cannot be trapped. */
static inline void pando_trap_exit(bool traps)
{
    pando_import_trap_exit(traps);
}

/* As above, but a normal end is not told: Lunatic's rule. */
static inline void pando_die_when_link_dies(bool dies)
{
    pando_import_die_when_link_dies(dies);
}

/* Be told of the end of `pid`, once, by a PANDO_DOWN message with the reference returned (never 0
 * unless the limit of monitors is reached). Nobody there: told at once, reason `no process`. */
static inline uint64_t pando_monitor(uint64_t pid)
{
    return pando_import_monitor(pid);
}

/* Stop that. A notice that is in the mailbox already is removed. True: nothing had been told. */
static inline bool pando_demonitor(uint64_t ref)
{
    return pando_import_demonitor(ref, 1) != 0;
}

/* --- Calling ---------------------------------------------------------------------------------- */

/* Send what is at hand to `pid` and wait for its pando_reply.
 *
 * PANDO_SENT  the reply is at hand.
 * PANDO_FULL  its mailbox is full: try again later; the message is at hand.
 * PANDO_GONE  it was or is dead: pando_last_reason.
 * PANDO_LATE  no reply within timeout_ms. One that comes later is dropped. */
static inline enum pando_sent pando_call(uint64_t pid, uint64_t timeout_ms)
{
    return (enum pando_sent)pando_import_call(pid, timeout_ms);
}

/* Answer a call with what is at hand; pid and ref are pando_message_pid and pando_message_ref of
 * the call. A caller that no longer waits drops it. Never waits. Traps: ref is 0. */
static inline enum pando_sent pando_reply(uint64_t pid, uint64_t ref)
{
    return (enum pando_sent)pando_import_reply(pid, ref);
}

/* Why the process was gone, of the last PANDO_GONE. */
static inline enum pando_reason pando_last_reason(void)
{
    return (enum pando_reason)pando_import_last_reason();
}

/* --- Ending ----------------------------------------------------------------------------------- */

/* End with a reason that links and monitors see. `text`: up to 4,096 bytes. */
static inline _Noreturn void pando_exit_self(enum pando_reason reason, const char *text)
{
    pando_import_exit_self((uint32_t)reason, text, pando_text_size(text));
    __builtin_unreachable(); /* the import never returns */
}

/* Ask another to end, as if a process linked to it had ended for this reason: it may trap that, and
 * ignores `normal`. Nobody there: nothing. */
static inline void pando_exit(uint64_t pid, enum pando_reason reason, const char *text)
{
    pando_import_exit(pid, (uint32_t)reason, text, pando_text_size(text));
}

/* End it now, whatever it traps. Nobody there: nothing. */
static inline void pando_kill(uint64_t pid)
{
    pando_import_kill(pid);
}

#endif
