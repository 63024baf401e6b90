#include "gateway/metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/span.h"
#include "gateway/prometheus.h"

#define SECOND_NS UINT64_C(1000000000)
#define STAT_FIELDS_SKIPPED 19 /* of /proc/self/stat, behind the name, before the start time */

/* -- The node ---------------------------------------------------------------------------------- */

static void write_raft(const struct pd_metrics *metrics, struct pd_text *text)
{
    const struct pd_backend_figures *figures = metrics->figures;
    pd_prometheus_gauge(text, "etcd_server_has_leader", "Whether a leader is known here.",
                        figures->leader != 0);
    pd_prometheus_gauge(text, "etcd_server_is_leader", "Whether this node leads.",
                        figures->leader == metrics->member_id);
    pd_prometheus_gauge(text, "etcd_server_is_learner", "Whether this node only learns.",
                        figures->is_learner);
    pd_prometheus_counter(text, "etcd_server_leader_changes_seen_total",
                          "Leaders that were seen, one by one.", figures->leader_changes);
    pd_prometheus_gauge(text, "etcd_server_proposals_committed_total",
                        "The index that is known as committed.", figures->committed_index);
    pd_prometheus_gauge(text, "etcd_server_proposals_applied_total",
                        "The index that is applied here.", figures->applied_index);
    uint64_t last = figures->last_index;
    pd_prometheus_gauge(text, "etcd_server_proposals_pending",
                        "Entries of the log that are not applied here.",
                        last > figures->applied_index ? last - figures->applied_index : 0);
    pd_prometheus_counter(
        text, "etcd_server_proposals_failed_total",
        "Writes of this port's clients that were refused or whose outcome is not known.",
        figures->proposals_failed);
    pd_prometheus_gauge(text, "pando_raft_term", "The term.", figures->term);
    pd_prometheus_gauge(text, "pando_cluster_version", "The version of the cluster.",
                        figures->cluster_version);
    pd_prometheus_gauge(text, "pando_version_limit",
                        "The last version of a cluster that this node can follow.",
                        figures->version_limit);
    pd_prometheus_counter(text, "pando_proposals_total", "Commands that this node proposed.",
                          figures->proposals);
    pd_prometheus_counter(text, "pando_large_commands_waited_total",
                          "Commands that waited in front of the log, for they or their answers are "
                          "large.",
                          figures->large_waited);
    pd_prometheus_gauge(text, "pando_read_bytes",
                        "Bytes of rows and answers of large reads, until their clients have them.",
                        figures->read_bytes);
    pd_prometheus_counter(text, "pando_reads_turned_away_total",
                          "Reads that waited for room, for they are large.",
                          figures->reads_turned_away);
    pd_prometheus_counter(text, "pando_snapshots_sent_total",
                          "Whole states that were sent to a peer.", figures->snapshots_sent);
    pd_prometheus_counter(text, "pando_snapshots_installed_total",
                          "Whole states that were taken from a peer.",
                          figures->snapshots_installed);
}

static void write_store(const struct pd_backend_figures *figures, struct pd_text *text)
{
    pd_prometheus_histogram(text, "etcd_disk_wal_fsync_duration_seconds", "Of the log's syncs.",
                            &figures->sync);
    pd_prometheus_histogram(text, "etcd_disk_backend_commit_duration_seconds",
                            "Of batches of rows, written behind the log.", &figures->store_write);
    pd_prometheus_histogram(text, "etcd_server_apply_duration_seconds",
                            "Of turns that applied entries, answers included.", &figures->apply);
    pd_prometheus_gauge(text, "etcd_mvcc_db_total_size_in_bytes", "The store's files.",
                        figures->store_bytes);
    pd_prometheus_gauge(text, "etcd_debugging_mvcc_keys_total", "Keys that live.",
                        figures->key_count);
    pd_prometheus_gauge(text, "etcd_debugging_mvcc_current_revision", "The revision.",
                        figures->revision);
    pd_prometheus_gauge(text, "etcd_debugging_mvcc_compact_revision", "What was compacted.",
                        figures->compacted_revision);
    pd_prometheus_gauge(text, "pando_leases", "Leases that live.", figures->lease_count);
    pd_prometheus_gauge(text, "pando_disk_is_low", "Whether writes are refused for lack of space.",
                        figures->disk_is_low);
    pd_prometheus_counter(text, "pando_log_batches_total", "Syncs of the log.",
                          figures->log_batches);
    pd_prometheus_counter(text, "pando_log_records_total", "Records of the log, of all batches.",
                          figures->log_records);
    pd_prometheus_counter(text, "pando_reads_total", "Reads that the core served.", figures->reads);
    pd_prometheus_counter(text, "pando_requests_total", "Requests that reached the core.",
                          figures->requests);
    pd_prometheus_counter(text, "pando_requests_refused_total",
                          "Requests for which there was no room.", figures->requests_refused);
    pd_prometheus_counter(text, "pando_slow_requests_total",
                          "Requests that took as long as --slow-request says.",
                          figures->requests_slow);
    pd_prometheus_counter(text, "pando_slow_requests_untold_total",
                          "Of these, not in the log, for there were too many.",
                          figures->requests_slow_untold);
}

static void write_peers(const struct pd_backend_figures *figures, struct pd_text *text)
{
    pd_prometheus_counter(text, "pando_peer_packets_received_total", "Packets of peers.",
                          figures->peer_packets);
    pd_prometheus_counter(text, "pando_peer_packets_dropped_total",
                          "Packets of peers for which the core's queue had no room.",
                          figures->peer_packets_dropped);
    pd_prometheus_counter(text, "pando_peer_sends_dropped_total", "Packets that could not be sent.",
                          figures->peer_sends_dropped);
    pd_prometheus_counter(text, "pando_peer_handshakes_refused_total",
                          "Connections of nodes for which there was no room.",
                          figures->peers_refused_busy);
    pd_prometheus_counter(text, "pando_peer_handshakes_flood_total",
                          "Handshakes from an address that had as many as one may have.",
                          figures->peers_refused_flood);
    pd_prometheus_counter(text, "pando_peer_keys_refused_total",
                          "Connections of nodes whose key has no business here.",
                          figures->peers_refused_key);
    pd_prometheus_counter(text, "pando_peer_connections_silent_total",
                          "Connections at the port for nodes that seemed to lead nowhere.",
                          figures->connections_silent);
    pd_prometheus_counter(text, "pando_peer_connections_moved_total",
                          "Changes of the address at which a connection's other end was found.",
                          figures->peers_moved);
    pd_prometheus_counter(text, "pando_address_changes_total",
                          "Changes of this machine's addresses.", figures->own_moves);
    pd_prometheus_counter(text, "pando_peer_trains_total",
                          "Trains of datagrams that the system took as one (UDP_SEGMENT).",
                          figures->trains);
    pd_prometheus_counter(text, "pando_peer_trains_refused_total",
                          "Trains that it did not take, but their datagrams one by one.",
                          figures->trains_refused);
    pd_prometheus_counter(text, "pando_forwards_total",
                          "Requests that were passed on to the leader.", figures->forwards);
}

/* What came to the port for nodes and was no good, whoever sent it. */
static void write_refused(const struct pd_backend_figures *figures, struct pd_text *text)
{
    pd_prometheus_counter(text, "pando_peer_datagrams_dropped_total",
                          "Datagrams that belong to no connection and begin none.",
                          figures->datagrams_dropped);
    pd_prometheus_counter(text, "pando_peer_versions_refused_total",
                          "Datagrams of a version of QUIC that is not spoken here.",
                          figures->versions_refused);
    pd_prometheus_counter(text, "pando_peer_tokens_refused_total",
                          "Handshakes whose proof of an address was false, or too old.",
                          figures->bad_tokens);
    pd_prometheus_counter(text, "pando_peer_connections_failed_total",
                          "Connections that an error ended: of the protocol, or in the handshake.",
                          figures->connections_failed);
    pd_prometheus_counter(text, "pando_peer_connections_timed_out_total",
                          "Connections, or handshakes, of which nothing came any more.",
                          figures->connections_timed_out);
    pd_prometheus_counter(text, "pando_peer_frames_refused_total",
                          "Messages over a connection that were none, or not whole.",
                          figures->bad_frames);
}

/* -- The port ---------------------------------------------------------------------------------- */

static void write_tls(const struct pd_gateway_counters *counters, struct pd_text *text)
{
    pd_prometheus_counter(text, "pando_client_tls_unwanted_total",
                          "Connections that began TLS where none is spoken.",
                          counters->tls_unwanted);
    if (counters->tls_end_s == 0) {
        return;
    }
    pd_prometheus_gauge(text, "pando_client_tls_certificate_end_seconds",
                        "When the first certificate of this port's chain ends, since 1970.",
                        counters->tls_end_s);
    pd_prometheus_counter(text, "pando_client_tls_handshakes_total",
                          "Handshakes that were completed.", counters->tls_handshakes);
    pd_prometheus_counter(text, "pando_client_tls_failed_total",
                          "Handshakes that were not completed.", counters->tls_failed);
    pd_prometheus_counter(text, "pando_client_tls_denied_total",
                          "Of these, for a certificate that was missing or not trusted.",
                          counters->tls_denied);
    pd_prometheus_counter(text, "pando_client_tls_plain_total", "Of these, without TLS.",
                          counters->tls_not);
}

static void write_native(const struct pd_native_counters *native, struct pd_text *text)
{
    pd_prometheus_counter(text, "pando_native_connections_total",
                          "Connections that spoke the node's own protocol.", native->connections);
    pd_prometheus_counter(text, "pando_native_connections_refused_total",
                          "Of that protocol, for which there was no room.",
                          native->connections_refused);
    pd_prometheus_counter(text, "pando_native_frames_total", "Requests over that protocol.",
                          native->frames);
    pd_prometheus_counter(text, "pando_native_bad_frames_total",
                          "Connections that ended, for a frame was too large.", native->bad_frames);
    pd_prometheus_counter(text, "pando_native_late_frames_total",
                          "Connections that ended, for a frame did not come whole in time.",
                          native->late_frames);
    pd_prometheus_counter(text, "pando_native_crowded_total",
                          "Connections that ended, for too much was held that was not whole.",
                          native->crowded);
    pd_prometheus_counter(text, "pando_native_cut_off_total",
                          "Connections that ended, for they did not read what waited for them.",
                          native->cut_off);
}

static void write_port(const struct pd_metrics *metrics, struct pd_text *text)
{
    const struct pd_gateway_counters *counters = metrics->counters;
    const struct pd_service_counters *service = &counters->service;
    const struct pd_http1_counters *http = metrics->http;
    pd_prometheus_counter(text, "pando_client_connections_total", "Connections of clients.",
                          counters->connections);
    pd_prometheus_counter(text, "pando_client_connections_refused_total", "Connections too many.",
                          counters->connections_refused);
    pd_prometheus_counter(text, "pando_client_connections_broken_total",
                          "Connections that were cut off: no protocol, or too slow.",
                          counters->connections_broken);
    write_tls(counters, text);
    pd_prometheus_counter(text, "pando_api_calls_total", "Calls of the API, whatever carried them.",
                          service->calls);
    pd_prometheus_counter(text, "pando_api_failures_total", "Calls that ended with an error.",
                          service->failures);
    pd_prometheus_gauge(text, "etcd_debugging_mvcc_watcher_total",
                        "Watches of this port's clients.", service->watches);
    pd_prometheus_gauge(text, "pando_client_output_bytes", "Answers that wait for their clients.",
                        service->output_bytes);
    write_native(metrics->native, text);
    pd_prometheus_counter(text, "pando_http_requests_total", "Requests over HTTP/1.1.",
                          http->requests);
    pd_prometheus_counter(text, "pando_http_foreign_total",
                          "Requests with a Host or Origin that is not ours.",
                          http->refused_foreign);
    pd_prometheus_counter(text, "pando_http_bad_total",
                          "Requests that were no HTTP, or beyond a bound.", http->refused_bad);
    pd_prometheus_counter(text, "pando_http_5xx_total", "Answers 5xx.", http->answers_5xx);
}

/* -- The process ------------------------------------------------------------------------------- */

static uint64_t open_files(void)
{
    uint64_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (folder != NULL) {
        while (readdir(folder) != NULL) {
            count++;
        }
        (void)closedir(folder);
    }
    return count < 3 ? 0 : count - 3; /* ".", "..", and the folder itself */
}

static bool read_start(const char *path, char *bytes, size_t size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t got = fread(bytes, 1, size - 1, file);
    bytes[got] = '\0';
    (void)fclose(file);
    return got > 0;
}

/* Since 1970; 0: not known. */
static uint64_t start_seconds(void)
{
    char stat[1024];
    struct timespec now;
    struct timespec up;
    long ticks = sysconf(_SC_CLK_TCK);
    const char *at = read_start("/proc/self/stat", stat, sizeof stat) ? strrchr(stat, ')') : NULL;
    for (int i = 0; at != NULL && i <= STAT_FIELDS_SKIPPED; i++) {
        at = strchr(at + 1, ' ');
    }
    uint64_t started = 0;
    if (at == NULL || ticks <= 0 || sscanf(at, "%" SCNu64, &started) != 1 ||
        clock_gettime(CLOCK_REALTIME, &now) != 0 || clock_gettime(CLOCK_BOOTTIME, &up) != 0) {
        return 0;
    }
    return (uint64_t)(now.tv_sec - up.tv_sec) + started / (uint64_t)ticks;
}

static void write_process(struct pd_text *text)
{
    struct rusage usage;
    struct rlimit files;
    char memory[128];
    uint64_t pages = 0;
    uint64_t resident = 0;
    uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        uint64_t us = (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
        uint64_t seconds = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
        pd_prometheus_head(text, "process_cpu_seconds_total", "counter", "User and system time.");
        pd_text_puts(text, "process_cpu_seconds_total ");
        pd_prometheus_seconds(text, seconds * SECOND_NS + us * 1000);
        pd_text_puts(text, "\n");
    }
    if (read_start("/proc/self/statm", memory, sizeof memory) &&
        sscanf(memory, "%" SCNu64 " %" SCNu64, &pages, &resident) == 2) {
        pd_prometheus_gauge(text, "process_virtual_memory_bytes", "Address space.",
                            pages * page_size);
        pd_prometheus_gauge(text, "process_resident_memory_bytes", "Memory.", resident * page_size);
    }
    pd_prometheus_gauge(text, "process_open_fds", "Open files.", open_files());
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        pd_prometheus_gauge(text, "process_max_fds", "Files that may be open.",
                            (uint64_t)files.rlim_cur);
    }
    pd_prometheus_gauge(text, "process_start_time_seconds", "When the process began.",
                        start_seconds());
}

void pd_metrics_write(const struct pd_metrics *metrics, struct pd_text *text)
{
    pd_prometheus_head(text, "etcd_server_version", "gauge", "The version of the API.");
    pd_text_format(text, "etcd_server_version{server_version=\"%s\"} 1\n", metrics->version);
    pd_prometheus_head(text, "etcd_server_id", "gauge", "Who this is.");
    pd_text_format(text, "etcd_server_id{server_id=\"%" PRIx64 "\"} 1\n", metrics->member_id);
    if (metrics->figures != NULL) {
        write_raft(metrics, text);
        write_store(metrics->figures, text);
        write_peers(metrics->figures, text);
        write_refused(metrics->figures, text);
    }
    write_port(metrics, text);
    write_process(text);
}
