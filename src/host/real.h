/* real - the host interface on Linux: clocks, entropy, threads, helper jobs, standard output.
 *
 * Bounds     helper_count threads run jobs; jobs_max may be queued.
 * Ownership  The caller owns the host, and destroys it after everything that uses it. */
#ifndef PD_HOST_REAL_H
#define PD_HOST_REAL_H

#include <stdint.h>

#include "base/host.h"

struct pd_real_host;

/* PD_ERR_NO_MEMORY; PD_ERR_IO: no thread could be started. helper_count 1 to 64. */
PD_NODISCARD enum pd_status pd_real_host_create(uint32_t helper_count, uint32_t jobs_max,
                                                struct pd_real_host **host_out);

/* Wait for running jobs, run those queued, join the helpers, and wait for who reads the program's
 * output (host/output.h). A helper that is stuck in a system call delays it. */
void pd_real_host_destroy(struct pd_real_host *host);

/* The `output` of this host and of the deterministic one, which waits for the reader. */
enum pd_file_error pd_real_host_output(struct pd_host *host, int stream, const uint8_t *bytes,
                                       size_t size);

struct pd_host *pd_real_host_interface(struct pd_real_host *host);

/* Threads of low priority that are started from now on take the processor for so long at a time, as
 * far as nobody else wants it: who wakes with a shorter slice, which is the system's own, takes
 * their place at once. At most 100 ms. Before the first of them, by the host's owner. */
void pd_real_host_set_low_slice(struct pd_real_host *host, uint64_t slice_ns);

/* Processors this process may use, at least 1 (affinity and cgroup quota). */
uint32_t pd_real_host_processor_count(void);

/* Bytes of memory that this process may use: the machine's, or less where a cgroup around it says
 * so (cgroup.h). */
uint64_t pd_real_host_memory_bytes(void);

#endif
