/* store-bench - what a durable write and a hot read cost in this process, beside the raw limit of
 * the same disk at the same time. */
#include <ftw.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "host/real.h"

static const char usage[] =
    "Usage: store-bench [--folder DIR] [--seconds S] [--keys N] [--only SECTION]\n"
    "\n"
    "  --folder DIR    on the disk to measure (default: the current one)\n"
    "  --seconds S     for each figure (default 5)\n"
    "  --keys N        of the rows about growth and recovery (default 1000000)\n"
    "  --only SECTION  commits, hot, seam, growth or recovery\n"
    "  --profile N     only N clients that put, for a profiler\n"
    "\n"
    "Exit status: 0 every goal is met, 1 one is not.\n";

static bool all_are_good = true;

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fputs("store-bench: ", stderr);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
    _exit(2);
}

/* -- Figures ----------------------------------------------------------------------------------- */

void samples_init(struct samples *samples)
{
    samples->count = 0;
    samples->ns = malloc(BENCH_SAMPLES_MAX * sizeof *samples->ns);
    if (samples->ns == NULL) {
        die("no memory");
    }
}

void samples_free(struct samples *samples)
{
    free(samples->ns);
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

double samples_us(struct samples *samples, double part)
{
    if (samples->count == 0) {
        return 0;
    }
    qsort(samples->ns, samples->count, sizeof *samples->ns, compare);
    size_t at = (size_t)((double)samples->count * part);
    return samples->ns[at < samples->count ? at : samples->count - 1] / 1e3;
}

void row(const char *what, const char *figures, double ratio, double goal)
{
    char judged[64] = "";
    if (goal > 0) {
        bool is_good = ratio <= goal;
        all_are_good = all_are_good && is_good;
        (void)snprintf(judged, sizeof judged, "  goal %.2f: %s", goal, is_good ? "yes" : "NO");
    }
    if (ratio >= 0) {
        (void)printf("%-46s %5.2f%s\n", what, ratio, judged);
    } else {
        (void)printf("%s\n", what);
    }
    (void)printf("    %s\n", figures);
    (void)fflush(stdout);
}

bool rows_are_good(void)
{
    return all_are_good;
}

/* -- Sections ---------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *walk)
{
    (void)about;
    (void)kind;
    (void)walk;
    return remove(path);
}

struct arguments {
    const char *folder;
    const char *only;
    double seconds;
    uint64_t keys;
    uint64_t profile; /* clients; 0: not that */
};

static bool wants(const struct arguments *arguments, const char *section)
{
    return arguments->only == NULL || strcmp(arguments->only, section) == 0;
}

static int measure_all(const char *program, struct pd_host *host, const struct arguments *arguments)
{
    char folder[4096];
    if ((size_t)snprintf(folder, sizeof folder, "%s/store-bench-XXXXXX", arguments->folder) >=
            sizeof folder ||
        mkdtemp(folder) == NULL) {
        die("cannot make a folder in '%s'", arguments->folder);
    }
    if (wants(arguments, "commits")) {
        (void)printf("Durable puts of %u bytes; the ratio is p50 / p50 of the raw limit\n",
                     BENCH_VALUE_BYTES);
        section_commits(host, folder, arguments->seconds);
    }
    if (arguments->profile > 0) {
        section_profile(host, folder, arguments->seconds, (uint32_t)arguments->profile);
    }
    if (wants(arguments, "hot")) {
        (void)printf("\nHot reads; the ratio is p50 / 1 us\n");
        section_hot_reads(host, folder, arguments->seconds);
    }
    if (wants(arguments, "seam")) {
        (void)printf("\nActors at the store, in the node's process\n");
        section_seam(host, folder, arguments->seconds);
    }
    if (wants(arguments, "growth")) {
        (void)printf(
            "\nGrowth, 64 clients; the ratio is the median of those of the CPU time of one put\n");
        section_growth(host, folder, arguments->seconds, arguments->keys);
    }
    if (wants(arguments, "recovery")) {
        (void)printf("\nRecovery\n");
        section_recovery(program, folder, arguments->keys);
    }
    (void)nftw(folder, remove_one, 32, FTW_DEPTH | FTW_PHYS);
    return rows_are_good() ? 0 : 1;
}

int main(int count, char **words)
{
    struct arguments arguments = {.folder = ".", .seconds = 5, .keys = 1000000};
    const char *fill = NULL;
    const char *recover = NULL;
    for (int i = 1; i < count; i += 2) {
        const char *value = i + 1 < count ? words[i + 1] : NULL;
        if (value == NULL || strcmp(words[i], "--help") == 0) {
            (void)fputs(usage, stdout);
            return 2;
        }
        if (strcmp(words[i], "--folder") == 0) {
            arguments.folder = value;
        } else if (strcmp(words[i], "--seconds") == 0) {
            arguments.seconds = strtod(value, NULL);
        } else if (strcmp(words[i], "--keys") == 0) {
            arguments.keys = strtoull(value, NULL, 10);
        } else if (strcmp(words[i], "--only") == 0) {
            arguments.only = value;
        } else if (strcmp(words[i], "--profile") == 0) {
            arguments.profile = strtoull(value, NULL, 10);
            arguments.only = "profile";
        } else if (strcmp(words[i], "--fill") == 0) {
            fill = value;
        } else if (strcmp(words[i], "--recover") == 0) {
            recover = value;
        } else {
            die("what is '%s'? --help tells", words[i]);
        }
    }
    struct pd_real_host *real = NULL;
    if (pd_real_host_create(1, 16, &real) != PD_OK) {
        die("no memory or threads");
    }
    struct pd_host *host = pd_real_host_interface(real);
    int code = fill != NULL      ? recovery_fill(host, fill, arguments.keys)
               : recover != NULL ? recovery_open(host, recover, arguments.keys)
                                 : measure_all(words[0], host, &arguments);
    pd_real_host_destroy(real);
    return code;
}
