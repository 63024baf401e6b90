#include "host/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>

uint64_t pd_host_folder_bytes(const char *path)
{
    DIR *folder = opendir(path);
    uint64_t bytes = 0;
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        struct stat about;
        if (fstatat(dirfd(folder), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(about.st_mode)) {
            bytes += (uint64_t)about.st_size;
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return bytes;
}

const char *pd_host_folder_remedy(int error)
{
    return error == EACCES || error == EPERM
               ? ". Run this as the user whose folder it is, or choose another with --data"
               : ". Choose another with --data";
}
