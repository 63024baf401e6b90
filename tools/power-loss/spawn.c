#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "power-loss/trace.h"
#include "subject.h"

static void errors_path(const struct pd_power_run *run, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/errors", run->work);
}

const char *pd_power_last_words(const struct pd_power_run *run, char line[PD_POWER_WHY_MAX])
{
    char path[PATH_MAX];
    char next[PD_POWER_WHY_MAX];
    errors_path(run, path);
    snprintf(line, PD_POWER_WHY_MAX, "it says nothing");
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(next, sizeof next, file) != NULL) {
        next[strcspn(next, "\n")] = '\0';
        memcpy(line, next, sizeof next);
    }
    if (file != NULL) {
        fclose(file);
    }
    return line;
}

pid_t pd_power_spawn(const struct pd_power_run *run, char *const words[], int *output_out)
{
    int ends[2];
    char path[PATH_MAX];
    errors_path(run, path);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    pid_t process = fork();
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int errors = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (errors < 0 || dup2(errors, STDERR_FILENO) < 0 || dup2(ends[1], STDOUT_FILENO) < 0 ||
            setenv("LD_PRELOAD", run->shim, 1) != 0 ||
            setenv(PD_POWER_FOLDER, run->folder, 1) != 0 ||
            setenv(PD_POWER_TRACE, run->trace, 1) != 0) {
            _exit(126);
        }
        execv(words[0], words);
        _exit(127);
    }
    close(ends[1]);
    if (process < 0) {
        close(ends[0]);
        return -1;
    }
    *output_out = ends[0];
    return process;
}

void pd_power_wait(pid_t process)
{
    while (waitpid(process, NULL, 0) < 0 && errno == EINTR) {
    }
}

void pd_power_kill(pid_t process)
{
    kill(process, SIGKILL);
    pd_power_wait(process);
}

uint64_t pd_power_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}
