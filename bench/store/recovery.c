#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

/* Pages of the process that are resident, in MiB. */
static double resident_mib(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long total = 0;
    long resident = 0;
    if (file == NULL || fscanf(file, "%ld %ld", &total, &resident) != 2) {
        die("cannot read /proc/self/statm");
    }
    (void)fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static void start_anew(const char *program, const char *what, const char *folder, uint64_t keys)
{
    char number[32];
    (void)snprintf(number, sizeof number, "%" PRIu64, keys);
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        (void)execl(program, program, what, folder, "--keys", number, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
        WEXITSTATUS(status) != 0) {
        die("the process for '%s' has failed", what);
    }
}

void section_recovery(const char *program, const char *folder, uint64_t keys)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/recovery", folder);
    start_anew(program, "--fill", path, keys);
    start_anew(program, "--recover", path, keys);
    start_anew(program, "--recover", path, keys);
}

int recovery_fill(struct pd_host *host, const char *folder, uint64_t keys)
{
    struct bench bench;
    struct load_figures figures;
    char text[256];
    char name[64];
    bench_open(&bench, host, folder, false);
    load_run(&bench,
             &(struct load){
                 .kind = LOAD_FILL, .clients = 16, .keys = keys, .operations = keys / FILL_KEYS},
             &figures);
    (void)snprintf(text, sizeof text, "%8.0f keys/s  %5.1f us CPU a key  %6.0f MiB resident",
                   (double)figures.operations * FILL_KEYS / figures.seconds,
                   figures.cpu_us / FILL_KEYS, resident_mib());
    (void)snprintf(name, sizeof name, "%" PRIu64 " keys filled in", keys);
    row(name, text, -1, 0);
    (void)fflush(stdout);
    _exit(0); /* as if it were killed: nothing is flushed, nothing closed */
}

int recovery_open(struct pd_host *host, const char *folder, uint64_t keys)
{
    struct bench bench;
    struct pd_server_about about;
    char text[256];
    char name[64];
    uint64_t before_ns = pd_host_now_ns(host);
    bench_open(&bench, host, folder, false);
    double seconds = (double)(pd_host_now_ns(host) - before_ns) / 1e9;
    pd_server_about(bench.server, &about);
    (void)snprintf(text, sizeof text,
                   "%7.3f s until it serves writes  %6.0f MiB resident  %" PRIu64 " log records",
                   seconds, resident_mib(), about.log_records);
    (void)snprintf(name, sizeof name, "%" PRIu64 " keys, started after a crash", keys);
    row(name, text, -1, 0);
    (void)fflush(stdout);
    _exit(0);
}
