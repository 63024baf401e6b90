/* supervised - what supervisors make: wasm processes, and supervisors below them.
 *
 * Model      The subject of a child spec (child_spec.h) is either a *worker* (module and rights;
 *            the spec has function and parameters) or a *tree* (a supervisor with its own specs).
 *            pd_supervised_hooks make both.
 * Ownership  Subjects are reference counted, by any thread. A tree is changed only while one holder
 *            has it. */
#ifndef PD_WASM_SUPERVISED_H
#define PD_WASM_SUPERVISED_H

#include <stdatomic.h>

#include "actor/supervisor_process.h"
#include "wasm/wasm_process.h"

#define PD_SUPERVISED_SPECS_MAX 4096u /* first children of one supervisor */
#define PD_SUPERVISED_DEPTH_MAX 32u   /* supervisors one below the other */

struct pd_supervised_worker {
    atomic_uint_least32_t references;
    struct pd_wasm_system *system; /* outlives it */
    struct pd_module *module;      /* a reference */
    struct pd_rights *rights;      /* a reference */
    char *registered;              /* its name in the registry, or NULL; owned */
};

struct pd_supervised_tree {
    atomic_uint_least32_t references;
    struct pd_supervisor_config config; /* its name is the field below */
    struct pd_child_spec **specs;
    uint32_t spec_count;
    uint32_t depth;                      /* of supervisors, itself included */
    struct pd_child_spec *template_spec; /* of a dynamic supervisor, or NULL */
    char name[PD_SUPERVISOR_NAME_SIZE_MAX + 1];
};

/* One reference. Takes references of its own to module and rights, and copies the name under which
 * each new process registers itself (NULL: none). NULL: no memory. */
struct pd_supervised_worker *pd_supervised_worker_create(struct pd_wasm_system *system,
                                                         struct pd_module *module,
                                                         struct pd_rights *rights,
                                                         const char *registered);

/* A tree without children. One reference. NULL: no memory. */
struct pd_supervised_tree *pd_supervised_tree_create(const struct pd_supervisor_config *config);

/* For struct pd_child_spec. NULL is allowed for the releases. */
void pd_supervised_worker_share(void *worker);
void pd_supervised_worker_release(void *worker);
void pd_supervised_tree_share(void *tree);
void pd_supervised_tree_release(void *tree);

/* Append a child, or set the template of a dynamic supervisor; takes the reference on PD_OK.
 * PD_ERR_EXISTS: the id is taken, or there is a template. PD_ERR_FULL: PD_SUPERVISED_SPECS_MAX.
 * PD_ERR_RANGE: PD_SUPERVISED_DEPTH_MAX. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_supervised_tree_add(struct pd_supervised_tree *tree,
                                                   struct pd_child_spec *spec);

/* Make the supervisor process of a tree: statuses of pd_supervisor_process_create. */
PD_NODISCARD enum pd_status pd_supervised_tree_open(struct pd_environment *environment,
                                                    uint64_t parent,
                                                    const struct pd_supervised_tree *tree,
                                                    struct pd_process **process_out);

/* The hooks of every supervisor whose children have such subjects. */
extern const struct pd_supervisor_hooks pd_supervised_hooks;

#endif
