/* cgroup - how much memory and processor time the groups around a process allow it, in either
 * version of cgroups.
 *
 * Model      `/proc/self/cgroup` names the groups: of version 2 in the line "0::/a/b", of version 1
 *            in that whose controllers include "memory", or "cpu". Each group above may allow
 *            less.
 *            In a container the names are often those outside of it: then the mount's root is the
 *            own group. */
#ifndef PD_HOST_CGROUP_H
#define PD_HOST_CGROUP_H

#include <stdint.h>

/* The least limit in bytes; UINT64_MAX: none. `groups` is the file that names the groups, `mount`
 * where they are mounted: "/proc/self/cgroup" and "/sys/fs/cgroup". */
uint64_t pd_cgroup_memory_max(const char *groups, const char *mount);

/* Likewise the least quota of processor time, in thousandths of a processor. Who has used it up is
 * stopped until its period (as a rule 100 ms) is over. */
uint64_t pd_cgroup_cpu_max(const char *groups, const char *mount);

#endif
