#include "cli/top_figures.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "net/address.h"

#define ANSWER_MAX (4u << 20)
#define NAME_MAX_BYTES 96u

/* -- Reading ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t offset;
} figures[] = {
    {"etcd_server_is_leader", offsetof(struct pd_top_figures, leads)},
    {"etcd_server_leader_changes_seen_total", offsetof(struct pd_top_figures, leader_changes)},
    {"pando_raft_term", offsetof(struct pd_top_figures, term)},
    {"etcd_server_proposals_committed_total", offsetof(struct pd_top_figures, committed)},
    {"etcd_server_proposals_applied_total", offsetof(struct pd_top_figures, applied)},
    {"etcd_server_proposals_pending", offsetof(struct pd_top_figures, pending)},
    {"pando_requests_total", offsetof(struct pd_top_figures, requests)},
    {"etcd_debugging_mvcc_keys_total", offsetof(struct pd_top_figures, keys)},
    {"etcd_debugging_mvcc_current_revision", offsetof(struct pd_top_figures, revision)},
    {"etcd_mvcc_db_total_size_in_bytes", offsetof(struct pd_top_figures, store_bytes)},
    {"pando_log_batches_total", offsetof(struct pd_top_figures, log_batches)},
    {"etcd_debugging_mvcc_watcher_total", offsetof(struct pd_top_figures, watches)},
    {"process_resident_memory_bytes", offsetof(struct pd_top_figures, memory_bytes)},
};

static void take_bucket(struct pd_top_histogram *histogram, const char *labels, double value)
{
    const char *bound = strstr(labels, "le=\"");
    if (bound != NULL && histogram->count < PD_TOP_BUCKETS_MAX) {
        histogram->bounds_s[histogram->count] = strtod(bound + 4, NULL); /* reads "+Inf", too */
        histogram->counts[histogram->count] = value;
        histogram->count++;
    }
}

static void take_line(struct pd_top_figures *out, const char *name, const char *labels,
                      double value)
{
    if (strcmp(name, "etcd_disk_wal_fsync_duration_seconds_bucket") == 0) {
        take_bucket(&out->sync, labels, value);
        return;
    }
    if (strcmp(name, "etcd_server_apply_duration_seconds_bucket") == 0) {
        take_bucket(&out->apply, labels, value);
        return;
    }
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        if (labels[0] == '\0' && strcmp(name, figures[i].name) == 0) {
            memcpy((char *)out + figures[i].offset, &value, sizeof value);
        }
    }
}

/* NAME[{LABELS}] VALUE */
static void read_line(struct pd_top_figures *out, const char *line, size_t size)
{
    char name[NAME_MAX_BYTES];
    char labels[NAME_MAX_BYTES] = "";
    char number[64];
    size_t name_size = strcspn(line, "{ \n");
    size_t rest = name_size;
    if (line[0] == '#' || name_size == 0 || name_size >= sizeof name || name_size >= size) {
        return;
    }
    memcpy(name, line, name_size);
    name[name_size] = '\0';
    if (line[rest] == '{') {
        size_t labels_size = strcspn(line + rest, "}\n");
        if (labels_size >= sizeof labels || line[rest + labels_size] != '}') {
            return;
        }
        memcpy(labels, line + rest, labels_size);
        labels[labels_size] = '\0';
        rest += labels_size + 1;
    }
    size_t number_size = size - rest;
    if (number_size == 0 || number_size >= sizeof number) {
        return;
    }
    memcpy(number, line + rest, number_size);
    number[number_size] = '\0';
    take_line(out, name, labels, strtod(number, NULL));
}

void pd_top_figures_read(const char *text, struct pd_top_figures *figures_out)
{
    *figures_out = (struct pd_top_figures){0};
    for (const char *line = text; *line != '\0';) {
        size_t size = strcspn(line, "\n");
        read_line(figures_out, line, size);
        line += size + (line[size] == '\n');
    }
}

double pd_top_quantile(const struct pd_top_histogram *before, const struct pd_top_histogram *now,
                       double part)
{
    uint32_t count = now->count;
    bool is_same = before->count == count;
    double all =
        count == 0 ? 0 : now->counts[count - 1] - (is_same ? before->counts[count - 1] : 0);
    double below_s = 0;
    if (all <= 0) {
        return -1;
    }
    for (uint32_t i = 0; i < count; i++) {
        double seen = now->counts[i] - (is_same ? before->counts[i] : 0);
        if (seen >= part * all) {
            return isinf(now->bounds_s[i]) ? below_s : now->bounds_s[i];
        }
        below_s = now->bounds_s[i];
    }
    return below_s;
}

/* -- Fetching ---------------------------------------------------------------------------------- */

static enum pd_status wait_for(int descriptor, short events, int wait_ms)
{
    struct pollfd one = {.fd = descriptor, .events = events};
    int result = poll(&one, 1, wait_ms);
    return result > 0 ? PD_OK : result == 0 ? PD_ERR_TIMEOUT : PD_ERR_CLOSED;
}

static enum pd_status connect_to(const char *place, int wait_ms, int *descriptor_out)
{
    struct pd_transport_address address;
    struct sockaddr_in6 system;
    int error = 0;
    socklen_t size = sizeof error;
    if (pd_net_address_parse(place, &address) != PD_OK) {
        return PD_ERR_INVALID;
    }
    pd_net_address_to_system(&address, &system);
    int descriptor = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) {
        return PD_ERR_CLOSED;
    }
    enum pd_status status = PD_OK;
    if (connect(descriptor, (const struct sockaddr *)&system, sizeof system) != 0) {
        status = errno == EINPROGRESS ? wait_for(descriptor, POLLOUT, wait_ms) : PD_ERR_CLOSED;
    }
    if (status == PD_OK &&
        (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)) {
        status = PD_ERR_CLOSED;
    }
    if (status != PD_OK) {
        (void)close(descriptor);
        return status;
    }
    *descriptor_out = descriptor;
    return PD_OK;
}

/* All that comes until the other end closes, with a zero byte behind it. */
static enum pd_status receive(int descriptor, char *room, int wait_ms)
{
    size_t size = 0;
    for (;;) {
        enum pd_status status = wait_for(descriptor, POLLIN, wait_ms);
        if (status != PD_OK) {
            return status;
        }
        ssize_t got = recv(descriptor, room + size, ANSWER_MAX - 1 - size, 0);
        if (got == 0) {
            room[size] = '\0';
            return PD_OK;
        }
        if (got < 0 && errno != EAGAIN && errno != EINTR) {
            return PD_ERR_CLOSED;
        }
        size += got > 0 ? (size_t)got : 0;
        if (size == ANSWER_MAX - 1) {
            return PD_ERR_CORRUPT;
        }
    }
}

static enum pd_status ask(int descriptor, const char *place, char *room, int wait_ms)
{
    char request[256];
    int size =
        snprintf(request, sizeof request, "GET /metrics HTTP/1.0\r\nHost: %s\r\n\r\n", place);
    if (size < 0 || (size_t)size >= sizeof request) {
        return PD_ERR_INVALID;
    }
    /* It fits into the buffer of a fresh connection. */
    if (send(descriptor, request, (size_t)size, MSG_NOSIGNAL) != size) {
        return PD_ERR_CLOSED;
    }
    return receive(descriptor, room, wait_ms);
}

static uint64_t now_ns(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

enum pd_status pd_top_figures_fetch(const char *url, int wait_ms,
                                    struct pd_top_figures *figures_out)
{
    static const char scheme[] = "http://";
    int descriptor = -1;
    if (strncmp(url, scheme, sizeof scheme - 1) != 0) {
        return PD_ERR_INVALID;
    }
    const char *place = url + sizeof scheme - 1;
    enum pd_status status = connect_to(place, wait_ms, &descriptor);
    if (status != PD_OK) {
        return status;
    }
    char *room = pd_alloc(ANSWER_MAX);
    status = room == NULL ? PD_ERR_NO_MEMORY : ask(descriptor, place, room, wait_ms);
    (void)close(descriptor);
    if (status == PD_OK) {
        const char *body = strstr(room, "\r\n\r\n");
        bool is_good =
            strncmp(room, "HTTP/1.", 7) == 0 && strncmp(room + 8, " 200", 4) == 0 && body != NULL;
        status = is_good ? PD_OK : PD_ERR_CORRUPT;
        if (is_good) {
            pd_top_figures_read(body + 4, figures_out);
            figures_out->at_ns = now_ns();
        }
    }
    pd_free(room);
    return status;
}
