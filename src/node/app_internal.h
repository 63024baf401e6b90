/* app_internal - what the parts of the application file's reader share. Private to app*.c. */
#ifndef PD_NODE_APP_INTERNAL_H
#define PD_NODE_APP_INTERNAL_H

#include "node/app.h"
#include "node/app_values.h"
#include "node/app_yaml.h"

/* The `defaults` that are in force, the nearest first. */
struct pd_app_scope {
    const struct pd_yaml_node *defaults; /* a mapping */
    const struct pd_app_scope *outer;
};

/* A supervisor whose children have not been read yet. */
struct pd_app_pending {
    struct pd_app_child *supervisor;
    const struct pd_yaml_node *mapping;
    const struct pd_app_scope *scope; /* of what is around it */
    uint32_t depth;
    struct pd_app_pending *next;
};

struct pd_app_reader {
    struct pd_app_arena *arena; /* the app's */
    struct pd_app_notes notes;
    struct pd_app *app;
    const char *folder; /* of the file, with its slash; "" */
    const struct pd_app_files *files;
    struct pd_app_pending *pending_first;
    struct pd_app_pending *pending_last;
    struct pd_app_names *names; /* registered so far */
};

struct pd_app_names {
    const char *name;
    uint32_t line;
    struct pd_app_names *next;
};

/* A member of the mapping, or of the defaults around it, or NULL. scope NULL: none. */
const struct pd_yaml_node *pd_app_lookup(const struct pd_yaml_node *mapping,
                                         const struct pd_app_scope *scope, const char *key);

/* `text` against the file's folder, unless it is absolute. NULL: no memory. */
const char *pd_app_resolve(struct pd_app_reader *reader, const char *text);

/* app_schema.c: fill a child from its mapping. `is_real` is false for a look at defaults alone,
 * which may be incomplete. */
void pd_app_read_worker(struct pd_app_reader *reader, struct pd_app_child *child,
                        const struct pd_yaml_node *mapping, const struct pd_app_scope *scope,
                        bool is_real);
void pd_app_read_supervisor(struct pd_app_reader *reader, struct pd_app_child *child,
                            const struct pd_yaml_node *mapping);
void pd_app_check_defaults(struct pd_app_reader *reader, struct pd_app_child *supervisor,
                           const struct pd_yaml_node *defaults);

/* app_rights.c */
void pd_app_rights_of_root(struct pd_app_rights *rights);
void pd_app_read_worker_rights(struct pd_app_reader *reader, struct pd_app_child *worker,
                               const struct pd_yaml_node *mapping,
                               const struct pd_app_scope *scope);
void pd_app_read_supervisor_rights(struct pd_app_reader *reader, struct pd_app_child *supervisor,
                                   const struct pd_yaml_node *mapping);

/* app_check.c: what concerns more than one key. */
void pd_app_check_worker(struct pd_app_reader *reader, const struct pd_app_child *worker,
                         const struct pd_yaml_node *mapping, const struct pd_app_scope *scope);
void pd_app_check_children(struct pd_app_reader *reader, const struct pd_app_child *supervisor,
                           const struct pd_yaml_node *mapping);
void pd_app_check_registered(struct pd_app_reader *reader, const struct pd_app_child *child,
                             const struct pd_yaml_node *mapping);
void pd_app_check_module(struct pd_app_reader *reader, const struct pd_app_child *worker,
                         const struct pd_yaml_node *module);

#endif
