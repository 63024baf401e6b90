#include "host/cgroup.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define PATH_SIZE 1024u

#define ENDLESS (UINT64_MAX / 4) /* version 1 says so with a number near the half of all */

/* What a file says; UINT64_MAX: it is not there, or says that there is no limit. */
static uint64_t read_limit(const char *path)
{
    unsigned long long bytes = UINT64_MAX;
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%llu", &bytes) != 1 || bytes > ENDLESS) {
            bytes = UINT64_MAX;
        }
        (void)fclose(file);
    }
    return bytes;
}

/* What one group allows by files of its folder; UINT64_MAX: no limit. */
typedef uint64_t read_group(const char *folder);

static uint64_t read_file_of(const char *folder, const char *name)
{
    char path[2 * PATH_SIZE + 64];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return read_limit(path);
}

static uint64_t memory_of_2(const char *folder)
{
    return read_file_of(folder, "memory.max");
}

static uint64_t memory_of_1(const char *folder)
{
    return read_file_of(folder, "memory.limit_in_bytes");
}

static uint64_t milli_cpus(uint64_t quota, uint64_t period)
{
    return quota == UINT64_MAX || period == 0 || period == UINT64_MAX || quota > ENDLESS / 1000
               ? UINT64_MAX
               : quota * 1000 / period;
}

/* "max 100000", or "50000 100000": so many microseconds in each period of so many. */
static uint64_t cpu_of_2(const char *folder)
{
    char path[2 * PATH_SIZE + 64];
    unsigned long long quota = UINT64_MAX;
    unsigned long long period = 0;
    (void)snprintf(path, sizeof path, "%s/cpu.max", folder);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return UINT64_MAX;
    }
    bool is_told = fscanf(file, "%llu %llu", &quota, &period) == 2;
    (void)fclose(file);
    return is_told ? milli_cpus(quota, period) : UINT64_MAX;
}

static uint64_t cpu_of_1(const char *folder)
{
    return milli_cpus(read_file_of(folder, "cpu.cfs_quota_us"), /* -1: none */
                      read_file_of(folder, "cpu.cfs_period_us"));
}

/* The least of a group and all around it; `group` is used up. */
static uint64_t least_of(const char *mount, const char *controller, char *group, read_group *read)
{
    uint64_t least = UINT64_MAX;
    for (bool more = true; more;) {
        char folder[2 * PATH_SIZE];
        int size = snprintf(folder, sizeof folder, "%s%s%s", mount, controller, group);
        uint64_t allowed = size > 0 && (size_t)size < sizeof folder ? read(folder) : UINT64_MAX;
        least = allowed < least ? allowed : least;
        char *slash = strrchr(group, '/');
        more = slash != NULL;
        if (more) {
            *slash = '\0';
        }
    }
    return least;
}

/* Whether a list with commas between has this word. */
static bool has_word(const char *list, size_t list_size, const char *word)
{
    size_t size = strlen(word);
    for (size_t at = 0; at + size <= list_size; at++) {
        bool begins = at == 0 || list[at - 1] == ',';
        bool ends = at + size == list_size || list[at + size] == ',';
        if (begins && ends && memcmp(list + at, word, size) == 0) {
            return true;
        }
    }
    return false;
}

/* A limit as both versions of cgroups have it; `controller`: a word, and its folder, of version
 * 1. */
static uint64_t least_of_all(const char *groups, const char *mount, const char *controller,
                             read_group *read_2, read_group *read_1)
{
    char line[PATH_SIZE];
    char folder[32];
    char top[] = "";
    uint64_t least = least_of(mount, "", top, read_2);
    FILE *file = fopen(groups, "re");
    (void)snprintf(folder, sizeof folder, "/%s", controller);
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':'); /* "4:memory,other:/a/b" */
        char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        uint64_t allowed = UINT64_MAX;
        if (group == NULL || group[1] != '/') {
            continue;
        }
        controllers++;
        size_t controllers_size = (size_t)(group - controllers);
        group++;
        if (controllers_size == 0) {
            allowed = least_of(mount, "", group, read_2);
        } else if (has_word(controllers, controllers_size, controller)) {
            allowed = least_of(mount, folder, group, read_1);
        }
        least = allowed < least ? allowed : least;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return least;
}

uint64_t pd_cgroup_memory_max(const char *groups, const char *mount)
{
    return least_of_all(groups, mount, "memory", memory_of_2, memory_of_1);
}

uint64_t pd_cgroup_cpu_max(const char *groups, const char *mount)
{
    return least_of_all(groups, mount, "cpu", cpu_of_2, cpu_of_1);
}
