#include "rights.h"

#include <string.h>
#include <wasi/api.h>

#include <pando/pando.h>

#define FIRST_DIRECTORY 3u /* behind the standard streams */
#define PATH_SIZE_MAX 4096u

static void add_directories(uint64_t config)
{
    static char path[PATH_SIZE_MAX + 1];
    __wasi_prestat_t directory;
    for (__wasi_fd_t fd = FIRST_DIRECTORY; __wasi_fd_prestat_get(fd, &directory) == 0; fd++) {
        size_t size = directory.u.dir.pr_name_len;
        if (size <= PATH_SIZE_MAX && __wasi_fd_prestat_dir_name(fd, (uint8_t *)path, size) == 0) {
            path[size] = '\0';
            pando_config_add_directory(config, path);
        }
    }
}

uint64_t rights_of_mappers(void)
{
    uint64_t config = pando_config_create();
    if (config == PANDO_NO_CONFIG) {
        return PANDO_INHERIT;
    }
    add_directories(config);
    return config;
}

uint64_t rights_of_reducers(void)
{
    uint64_t config = pando_config_create();
    return config == PANDO_NO_CONFIG ? PANDO_INHERIT : config;
}
