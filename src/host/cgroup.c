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

/* The least of a group and all around it; `group` is used up. */
static uint64_t least_of(const char *mount, const char *controller, char *group, const char *name)
{
    uint64_t least = UINT64_MAX;
    for (bool more = true; more;) {
        char path[2 * PATH_SIZE];
        int size = snprintf(path, sizeof path, "%s%s%s/%s", mount, controller, group, name);
        uint64_t bytes = size > 0 && (size_t)size < sizeof path ? read_limit(path) : UINT64_MAX;
        least = bytes < least ? bytes : least;
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

uint64_t pd_cgroup_memory_max(const char *groups, const char *mount)
{
    char line[PATH_SIZE];
    char top[] = "";
    uint64_t least = least_of(mount, "", top, "memory.max");
    FILE *file = fopen(groups, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':'); /* "4:memory,other:/a/b" */
        char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        uint64_t bytes = UINT64_MAX;
        if (group == NULL || group[1] != '/') {
            continue;
        }
        controllers++;
        size_t controllers_size = (size_t)(group - controllers);
        group++;
        if (controllers_size == 0) {
            bytes = least_of(mount, "", group, "memory.max");
        } else if (has_word(controllers, controllers_size, "memory")) {
            bytes = least_of(mount, "/memory", group, "memory.limit_in_bytes");
        }
        least = bytes < least ? bytes : least;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return least;
}
