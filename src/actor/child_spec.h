/* child_spec - what a supervisor knows about one child: how to start, restart and stop it. Pure but
 * for the heap.
 *
 * Model      A spec is a shared, immutable block; many children may come from one (a template).
 *            What is started (`subject`: a module, a configuration, a subtree) is opaque here.
 * Bounds     Texts and arguments by PD_CHILD_*_MAX, times by PD_CHILD_TIME_MS_MAX.
 * Ownership  Counted references, atomic: requests carry specs between threads. The last release
 *            also releases the subject. */
#ifndef PD_ACTOR_CHILD_SPEC_H
#define PD_ACTOR_CHILD_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define PD_CHILD_ID_SIZE_MAX 255u
#define PD_CHILD_FUNCTION_SIZE_MAX 1024u
#define PD_CHILD_ARGUMENTS_SIZE_MAX 65536u
#define PD_CHILD_TIME_MS_MAX UINT64_C(31536000000) /* a year */
#define PD_CHILD_NO_TIMEOUT UINT64_MAX
#define PD_CHILD_TIMEOUT_MS_DEFAULT 5000u

enum pd_child_restart {
    PD_CHILD_PERMANENT = 0, /* always */
    PD_CHILD_TRANSIENT = 1, /* unless it ended with normal or shutdown */
    PD_CHILD_TEMPORARY = 2  /* never; forgotten when it ends */
};

enum pd_child_shutdown {
    PD_CHILD_STOP_TIMEOUT = 0, /* exit signal shutdown, after stop_ms a kill */
    PD_CHILD_STOP_BRUTAL = 1,  /* a kill at once */
    PD_CHILD_STOP_INFINITY = 2 /* exit signal shutdown, then wait as long as it takes */
};

enum pd_child_kind {
    PD_CHILD_WORKER = 0,
    PD_CHILD_SUPERVISOR = 1
};

/* A description. In one that a caller fills in, every pointer is borrowed; pd_child_spec_create
 * copies. */
struct pd_child_spec {
    const char *id;           /* 1 to PD_CHILD_ID_SIZE_MAX bytes */
    const char *function;     /* or NULL */
    const uint8_t *arguments; /* or NULL; their format is the spawner's */
    size_t arguments_size;
    void *subject;                          /* opaque, or NULL */
    void (*subject_share)(void *subject);   /* or NULL: then it cannot be derived from */
    void (*subject_release)(void *subject); /* or NULL */
    enum pd_child_restart restart;
    enum pd_child_shutdown shutdown;
    enum pd_child_kind kind;
    uint64_t stop_ms;      /* of PD_CHILD_STOP_TIMEOUT; may be 0 */
    uint64_t ready_ms;     /* of needs_ready: > 0, or PD_CHILD_NO_TIMEOUT for a supervisor */
    bool needs_ready;      /* started when it says so, not at spawn */
    bool handles_shutdown; /* it declares that it ends on shutdown, so infinity is safe */
    bool is_significant;   /* its own end counts for the supervisor's auto_shutdown */
};

/* What is wrong with the spec, in words with what to do about it; NULL if nothing is. */
const char *pd_child_spec_mistake(const struct pd_child_spec *spec);

/* A copy with one reference. On PD_OK the subject's reference is the copy's; on error it stays the
 * caller's. PD_ERR_INVALID: pd_child_spec_mistake says why. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_child_spec_create(const struct pd_child_spec *from,
                                                 struct pd_child_spec **spec_out);

/* A child of a template: all as in `template`, but for the arguments (NULL, 0: none). One
 * reference. PD_ERR_INVALID: the arguments are too large, or the template's subject cannot be
 * shared. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_child_spec_derive(const struct pd_child_spec *template_spec,
                                                 const uint8_t *arguments, size_t arguments_size,
                                                 struct pd_child_spec **spec_out);

/* Only for specs made by pd_child_spec_create. Share returns its argument; NULL is allowed in
 * both. */
struct pd_child_spec *pd_child_spec_share(struct pd_child_spec *spec);
void pd_child_spec_release(struct pd_child_spec *spec);

#endif
