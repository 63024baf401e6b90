/* detached - a thread that nobody joins, for what may wait longer than anybody would wait for
 * it. */
#ifndef PD_HOST_DETACHED_H
#define PD_HOST_DETACHED_H

#include <stdbool.h>

/* The program's signals are not the thread's. name: at most 15 bytes. false: there is no thread. */
bool pd_host_detached(const char *name, void *(*run)(void *argument), void *argument);

#endif
