/* process_path - where a process stands in the tree: "root/mappers/mapper-1", "main/<7>".
 *
 * Model      Its ancestors are asked one by one, nearest first, up to a supervisor, which knows its
 *            own path, or to one without a parent. A name is the child's id, else a registered
 *            name, else "<PID>".
 * Bounds     PD_PATH_DEPTH_MAX ancestors; longer paths begin with "...".
 * Threads    Any; the process itself may be dead. */
#ifndef PD_NODE_PROCESS_PATH_H
#define PD_NODE_PROCESS_PATH_H

#include <stddef.h>
#include <stdint.h>

#define PD_PATH_DEPTH_MAX 16u
#define PD_PATH_SIZE 1280u
#define PD_LABEL_SIZE 256u

struct pd_environment;
struct pd_process;

/* What a process says about itself, without asking others. */
struct pd_process_label {
    uint64_t pid;
    uint64_t parent;
    char id[PD_LABEL_SIZE];    /* of its spec, or "" */
    char prefix[PD_PATH_SIZE]; /* a supervisor's path, or "" */
};

/* Fill the label in: by the owner, or under the process's lock while it is in the table. */
void pd_process_label_take(struct pd_process_label *label, const struct pd_process *process);

/* Write the path, cut to `size` (> 0) bytes, terminated. */
void pd_process_path(struct pd_environment *environment, const struct pd_process_label *label,
                     char *path, size_t size);

#endif
