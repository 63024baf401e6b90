/* descriptors - how many file descriptors the process may have, and who gets how many of them.
 *
 * Role       The one place that divides RLIMIT_NOFILE: every part has a bound of its own, so that
 *            none can take what another needs, and least of all what the log and the store need.
 * Model      A quarter, at least PD_DESCRIPTORS_OWN_MIN and at most PD_DESCRIPTORS_OWN_MAX, is the
 *            process's own: log, store, listeners, event loops, name servers, and those who came in
 *            and are not counted yet. Of the rest two eighths are for clients of the port, one for
 *            connections to the node's socket, three for guests' sockets, two for guests' files.
 * Threads    Any. */
#ifndef PD_HOST_DESCRIPTORS_H
#define PD_HOST_DESCRIPTORS_H

#include <stdbool.h>
#include <stdint.h>

#define PD_DESCRIPTORS_MIN 192u /* with less a node does not start */
#define PD_DESCRIPTORS_OWN_MIN 96u
#define PD_DESCRIPTORS_OWN_MAX 1024u
#define PD_DESCRIPTORS_CLIENTS_MAX 16384u
#define PD_DESCRIPTORS_TOOLS_MAX 1024u
#define PD_DESCRIPTORS_FILES_MAX 65536u
/* What all parts can use; the soft limit is raised no further, because some systems have hard
 * limits of a thousand million, and tables that grow with it. */
#define PD_DESCRIPTORS_USEFUL (1u << 18)

/* Each at least 1. `own` and the parts behind it come to `limit` at most; `store` is of `own`. */
struct pd_descriptors {
    uint64_t limit;
    uint32_t own;
    uint32_t store;   /* files that the store keeps open: half of its own, at most 512 */
    uint32_t clients; /* connections to the client port */
    uint32_t tools;   /* connections to the node's socket */
    uint32_t sockets; /* of guests; at most PD_SOCKETS_MAX */
    uint32_t files;   /* of guests */
};

/* Divide a limit; one below PD_DESCRIPTORS_MIN as if it were that. Pure. */
struct pd_descriptors pd_descriptors_divide(uint64_t limit);

/* Divide the limit that this process has now; PD_DESCRIPTORS_USEFUL if there is none. */
struct pd_descriptors pd_descriptors_of_process(void);

/* Raise the soft limit to the hard one, at most to PD_DESCRIPTORS_USEFUL. A system that refuses
 * leaves it as it is. Child processes inherit it. */
void pd_descriptors_raise(void);

/* False: not even so many (at most 16) could be opened now, in this process or in the system. They
 * are opened, and closed again. */
bool pd_descriptors_are_left(uint32_t count);

#endif
