#include "cli/top_figures.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"

#define ANSWER_MAX (4u << 20)
#define NAME_MAX_BYTES 96u
#define ENDPOINT_MAX 320u
#define REQUEST_MAX 512u

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
    {"pando_actors", offsetof(struct pd_top_figures, actors)},
    {"pando_actors_turns_total", offsetof(struct pd_top_figures, actor_turns)},
    {"pando_actors_fuel_total", offsetof(struct pd_top_figures, actor_fuel)},
    {"pando_actors_memory_bytes", offsetof(struct pd_top_figures, actor_memory_bytes)},
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
    *figures_out = (struct pd_top_figures){.actors = -1, .actor_memory_bytes = -1};
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

/* "http://HOST:PORT" as an endpoint of link.h. False: another kind of url. */
static bool endpoint_of(const char *url, char room[ENDPOINT_MAX])
{
    static const struct {
        const char *scheme;
        const char *endpoint;
    } kinds[] = {{"http://", "tcp:"}, {"https://", "tls:"}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t size = strlen(kinds[i].scheme);
        if (strncmp(url, kinds[i].scheme, size) == 0) {
            int written = snprintf(room, ENDPOINT_MAX, "%s%s", kinds[i].endpoint, url + size);
            return written > 0 && (size_t)written < ENDPOINT_MAX;
        }
    }
    return false;
}

/* Whether the body is as long as the head says, if it does. */
static bool is_whole(const char *answer, const char *body)
{
    static const char name[] = "\r\nContent-Length:";
    const char *length = strcasestr(answer, name);
    return length == NULL || length >= body ||
           strtoull(length + sizeof name - 1, NULL, 10) == strlen(body);
}

/* All that comes until the other end closes, with a zero byte behind it. */
static enum pd_status receive(struct pd_link *link, char *room, uint64_t deadline_ms)
{
    size_t size = 0;
    enum pd_status status = PD_OK;
    while (status == PD_OK && size < ANSWER_MAX - 1) {
        size_t got = 0;
        status =
            pd_link_receive(link, (uint8_t *)room + size, ANSWER_MAX - 1 - size, deadline_ms, &got);
        size += status == PD_OK ? got : 0;
    }
    room[size] = '\0';
    return status == PD_OK ? PD_ERR_CORRUPT : status == PD_ERR_CLOSED && size > 0 ? PD_OK : status;
}

static enum pd_status ask(struct pd_link *link, const char *endpoint, char *room,
                          uint64_t deadline_ms)
{
    char request[REQUEST_MAX];
    int size = snprintf(request, sizeof request, "GET /metrics HTTP/1.0\r\nHost: %s\r\n\r\n",
                        endpoint + sizeof "tcp:" - 1);
    if (size < 0 || (size_t)size >= sizeof request) {
        return PD_ERR_INVALID;
    }
    enum pd_status status = pd_link_send(link, (const uint8_t *)request, (size_t)size, deadline_ms);
    /* A certificate's refusal may come while we write; what it was is told by reading. */
    return status == PD_OK || status == PD_ERR_CLOSED ? receive(link, room, deadline_ms) : status;
}

static uint64_t now_ns(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

enum pd_status pd_top_figures_fetch(const char *url, const struct pd_link_config *config,
                                    uint32_t wait_ms, struct pd_top_figures *figures_out)
{
    char endpoint[ENDPOINT_MAX];
    struct pd_link link;
    uint64_t deadline_ms = pd_link_now_ms() + wait_ms;
    if (!endpoint_of(url, endpoint)) {
        return PD_ERR_INVALID;
    }
    pd_link_init(&link);
    enum pd_status status = pd_link_connect(&link, endpoint, config, deadline_ms);
    if (status != PD_OK) {
        return status == PD_ERR_INVALID ? PD_ERR_DENIED : status; /* a file that cannot be used */
    }
    char *room = pd_alloc(ANSWER_MAX);
    status = room == NULL ? PD_ERR_NO_MEMORY : ask(&link, endpoint, room, deadline_ms);
    pd_link_close(&link);
    if (status == PD_OK) {
        const char *body = strstr(room, "\r\n\r\n");
        bool is_good = strncmp(room, "HTTP/1.", 7) == 0 && strncmp(room + 8, " 200", 4) == 0 &&
                       body != NULL && is_whole(room, body + 4);
        status = is_good ? PD_OK : PD_ERR_CORRUPT;
        if (is_good) {
            pd_top_figures_read(body + 4, figures_out);
            figures_out->at_ns = now_ns();
        }
    }
    pd_free(room);
    return status;
}
