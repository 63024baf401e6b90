#include "node/control_path.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define SUFFIX ".sock"

/* Room for the longest name in the folder: "/4194304.making". */
#define NAME_ROOM 24u

static enum pd_status check_folder(const char *folder, char *why)
{
    struct stat stat;
    if (lstat(folder, &stat) != 0) {
        (void)snprintf(why, PD_CONTROL_WHY_SIZE, "cannot look at %s: %s", folder, strerror(errno));
        return PD_ERR_IO;
    }
    if (!S_ISDIR(stat.st_mode) || stat.st_uid != geteuid()) {
        (void)snprintf(why, PD_CONTROL_WHY_SIZE,
                       "%s is not a folder of yours: remove it, or set XDG_RUNTIME_DIR", folder);
        return PD_ERR_DENIED;
    }
    if ((stat.st_mode & 077u) != 0) {
        (void)snprintf(why, PD_CONTROL_WHY_SIZE,
                       "%s can be entered by others (mode %03o): chmod 700 %s", folder,
                       (unsigned)stat.st_mode & 0777u, folder);
        return PD_ERR_DENIED;
    }
    return PD_OK;
}

enum pd_status pd_control_folder(char folder_out[PD_CONTROL_FOLDER_SIZE],
                                 char why_out[PD_CONTROL_WHY_SIZE])
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    bool has_runtime = runtime != NULL && runtime[0] == '/';
    int size = has_runtime ? snprintf(folder_out, PD_CONTROL_FOLDER_SIZE, "%s/pando", runtime)
                           : snprintf(folder_out, PD_CONTROL_FOLDER_SIZE, "/tmp/pando-%u",
                                      (unsigned)geteuid());
    struct sockaddr_un address;
    if (size < 0 || (size_t)size + NAME_ROOM > sizeof address.sun_path) {
        (void)snprintf(why_out, PD_CONTROL_WHY_SIZE,
                       "XDG_RUNTIME_DIR is too long for a socket (at most %zu bytes)",
                       sizeof address.sun_path - NAME_ROOM - sizeof "/pando");
        return PD_ERR_RANGE;
    }
    if (mkdir(folder_out, 0700) != 0 && errno != EEXIST) {
        (void)snprintf(why_out, PD_CONTROL_WHY_SIZE, "cannot make %s: %s%s", folder_out,
                       strerror(errno),
                       has_runtime ? " (XDG_RUNTIME_DIR must be a folder of yours, or unset)" : "");
        return PD_ERR_IO;
    }
    return check_folder(folder_out, why_out);
}

enum pd_status pd_control_address(const char *folder, int os_pid, const char *suffix,
                                  struct sockaddr_un *address_out)
{
    memset(address_out, 0, sizeof *address_out);
    address_out->sun_family = AF_UNIX;
    int size = snprintf(address_out->sun_path, sizeof address_out->sun_path, "%s/%d%s", folder,
                        os_pid, suffix);
    return size > 0 && (size_t)size < sizeof address_out->sun_path ? PD_OK : PD_ERR_RANGE;
}

enum pd_status pd_control_connect(const char *folder, int os_pid, int *descriptor_out)
{
    struct sockaddr_un address;
    enum pd_status status = pd_control_address(folder, os_pid, SUFFIX, &address);
    if (status != PD_OK) {
        return status;
    }
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) {
        return PD_ERR_IO;
    }
    /* One that was stopped takes none, and its queue may be full. */
    const struct timeval patience = {.tv_sec = PD_CONTROL_PATIENCE_S};
    (void)setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(descriptor, (const struct sockaddr *)&address, sizeof address) == 0) {
        *descriptor_out = descriptor;
        return PD_OK;
    }
    int error = errno;
    (void)close(descriptor);
    if (error == ECONNREFUSED) { /* it was not shut down in order */
        (void)unlink(address.sun_path);
    }
    return error == ECONNREFUSED || error == ENOENT ? PD_ERR_UNKNOWN : PD_ERR_IO;
}

/* "1234.sock" -> 1234; 0: it is none. */
static int parse_name(const char *name)
{
    char *rest = NULL;
    if (name[0] < '1' || name[0] > '9') {
        return 0;
    }
    long number = strtol(name, &rest, 10);
    return number > 0 && number < 1 << 30 && strcmp(rest, SUFFIX) == 0 ? (int)number : 0;
}

static int compare(const void *left, const void *right)
{
    int a = *(const int *)left;
    int b = *(const int *)right;
    return (a > b) - (a < b);
}

uint32_t pd_control_programs(const char *folder, int os_pids[PD_CONTROL_PROGRAMS_MAX])
{
    uint32_t count = 0;
    DIR *directory = opendir(folder);
    if (directory == NULL) {
        return 0;
    }
    const struct dirent *entry = NULL;
    while (count < PD_CONTROL_PROGRAMS_MAX && (entry = readdir(directory)) != NULL) {
        int os_pid = parse_name(entry->d_name);
        if (os_pid != 0) {
            os_pids[count++] = os_pid;
        }
    }
    (void)closedir(directory);
    qsort(os_pids, count, sizeof os_pids[0], compare);
    return count;
}
