#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define BLOCK 4096u
#define BLOCKS 16384u /* 64 MiB, as a segment of the log */

struct raw {
    int descriptor;
    uint32_t next;
    uint8_t *block;
    char path[4096];
};

struct raw *raw_open(const char *folder)
{
    struct raw *raw = calloc(1, sizeof *raw);
    if (raw == NULL || posix_memalign((void **)&raw->block, BLOCK, BLOCK) != 0) {
        die("no memory");
    }
    memset(raw->block, 0, BLOCK);
    (void)snprintf(raw->path, sizeof raw->path, "%s/raw", folder);
    raw->descriptor = open(raw->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (raw->descriptor < 0) {
        die("cannot make %s", raw->path);
    }
    for (uint32_t i = 0; i < BLOCKS; i++) {
        if (pwrite(raw->descriptor, raw->block, BLOCK, (off_t)i * BLOCK) != BLOCK) {
            die("cannot write %s", raw->path);
        }
    }
    if (fsync(raw->descriptor) != 0) {
        die("cannot sync %s", raw->path);
    }
    memset(raw->block, 7, BLOCK);
    return raw;
}

void raw_run(struct raw *raw, struct pd_host *host, double seconds, struct samples *samples)
{
    uint64_t end_ns = pd_host_now_ns(host) + (uint64_t)(seconds * 1e9);
    uint64_t before_ns = pd_host_now_ns(host);
    while (before_ns < end_ns) {
        off_t at = (off_t)(raw->next++ % BLOCKS) * BLOCK;
        if (pwrite(raw->descriptor, raw->block, BLOCK, at) != BLOCK ||
            fdatasync(raw->descriptor) != 0) {
            die("cannot write %s", raw->path);
        }
        uint64_t now_ns = pd_host_now_ns(host);
        samples_add(samples, now_ns - before_ns);
        before_ns = now_ns;
    }
}

void raw_close(struct raw *raw)
{
    (void)close(raw->descriptor);
    (void)unlink(raw->path);
    free(raw->block);
    free(raw);
}
