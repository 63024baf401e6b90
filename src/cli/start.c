/* pando start: one node in the foreground. */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "build_info.h"
#include "cli/bootstrap.h"
#include "cli/client_port.h"
#include "cli/command.h"
#include "cli/hosted.h"
#include "cli/node_log.h"
#include "cli/options.h"
#include "cli/settings.h"
#include "cli/settings_read.h"
#include "cli/slow_request.h"
#include "cli/streams.h"
#include "cli/worker.h"
#include "client/node_client.h"
#include "host/descriptors.h"
#include "host/real.h"
#include "host/resolve.h"
#include "node/gateway_thread.h"
#include "node/server_peers_net.h"
#include "node/server_socket.h"

#define READS_PART 16u /* of the memory */
#define READS_MOST (UINT64_C(512) << 20)
#define SECOND_NS UINT64_C(1000000000)
#define MS_NS UINT64_C(1000000)
#define REBUILDS_MAX 3
#define STORE_NEEDS 16u /* descriptors, at most, to be opened */
/* A leader is there in a second, unless most of the voters are not. */
#define WAIT_NS (3 * SECOND_NS)

/* What the core thread tells of its end. */
struct ending {
    _Atomic(struct pd_server_socket *) socket;
    atomic_bool has_failed;
    bool is_quiet;
    char text[PD_SERVER_TEXT_MAX];
    atomic_uint ready;
    atomic_bool is_stopping;
    const struct pd_settings *settings;
    const struct pd_server *server;
    struct pd_gateway_thread *gateway; /* NULL: none, or not yet */
    struct pd_server_peers_net *peers;
    const char *path;
    _Atomic(struct pd_hosted *) hosted; /* while the gateway may ask it for figures */
};

static void on_failed(void *state, const char *text)
{
    struct ending *ending = state;
    (void)snprintf(ending->text, sizeof ending->text, "%s", text);
    atomic_store(&ending->has_failed, true);
    struct pd_server_socket *socket = atomic_load(&ending->socket);
    if (socket != NULL) {
        pd_server_socket_stop(socket);
    }
}

static void on_stopping(void *state)
{
    struct ending *ending = state;
    atomic_store(&ending->is_stopping, true);
    if (ending->gateway != NULL) {
        pd_gateway_thread_stopping(ending->gateway);
    }
}

static void on_note(void *state, const char *text)
{
    const struct ending *ending = state;
    if (!ending->is_quiet) {
        pd_node_log(PD_LOG_INFO, "%s", text);
    }
}

static bool on_slow(void *state, const struct pd_server_slow *slow)
{
    const struct ending *ending = state;
    return ending->is_quiet || pd_slow_request_say(slow);
}

static void add_metrics(void *state, struct pd_text *text)
{
    struct ending *ending = state;
    struct pd_hosted *hosted = atomic_load(&ending->hosted);
    if (hosted != NULL) {
        pd_hosted_metrics(hosted, text);
    }
}

static void say_ready(const struct pd_settings *settings, const struct pd_server *server,
                      const char *socket, const struct pd_gateway_thread *gateway)
{
    struct pd_server_about about;
    pd_server_about(server, &about);
    if (about.torn_bytes > 0) {
        pd_node_log(PD_LOG_WARNING,
                    "the log's last write was torn by a crash: %" PRIu64
                    " bytes cut, none of them acknowledged",
                    about.torn_bytes);
    }
    if (about.store_was_lost) {
        pd_node_log(PD_LOG_WARNING,
                    "the store could not be read and was put aside as "
                    "'%s/store.damaged-*'; it has been rebuilt from the log",
                    settings->data);
    }
    if (pd_node_log_is_json()) {
        pd_node_log(PD_LOG_INFO,
                    "ready: node %016" PRIx64 " of cluster %016" PRIx64
                    "%s, data %s, socket %s%s%s",
                    about.node_id, about.cluster_id, about.is_new ? ", new" : "", settings->data,
                    socket, gateway == NULL ? "" : ", etcd ",
                    gateway == NULL ? "" : pd_gateway_thread_url(gateway));
        return;
    }
    (void)printf("ready: node %016" PRIx64 " of cluster %016" PRIx64 "%s\n"
                 "  data    %s\n"
                 "  socket  %s\n",
                 about.node_id, about.cluster_id, about.is_new ? ", new" : "", settings->data,
                 socket);
    if (gateway != NULL) {
        (void)printf("  etcd    %s\n", pd_gateway_thread_url(gateway));
    }
    const char *option = settings->socket != NULL                      ? " --socket "
                         : strcmp(settings->data, PD_NODE_FOLDER) == 0 ? ""
                                                                       : " --data ";
    (void)printf("  try     pando kv put%s%s greeting hello\n", option,
                 settings->socket != NULL ? socket
                 : option[0] != '\0'      ? settings->data
                                          : "");
    (void)fflush(stdout);
}

/* When the second of two things has happened: the node serves, and it can be reached. */
static void tell_ready(struct ending *ending)
{
    if (atomic_fetch_add(&ending->ready, 1) == 1) {
        say_ready(ending->settings, ending->server, ending->path, ending->gateway);
    }
}

static void on_ready(void *state)
{
    tell_ready(state);
}

static void say_stopping(const struct pd_server_socket *socket)
{
    struct pd_frames_counters counters;
    pd_server_socket_counters(socket, &counters);
    pd_node_log(PD_LOG_INFO,
                "stopping after %" PRIu64 " connections (%" PRIu64 " refused, %" PRIu64
                " cut off as too slow), %" PRIu64 " requests (%" PRIu64
                " bad frames): the store is made durable",
                counters.connections, counters.connections_refused, counters.cut_off,
                counters.frames, counters.bad_frames);
}

/* Both lists have a bound that the table knows. */
static struct pd_http1_rules allowed(const struct pd_settings *settings)
{
    struct pd_http1_rules rules = {.host_count = settings->allow_host.count,
                                   .origin_count = settings->allow_origin.count};
    memcpy(rules.hosts, settings->allow_host.texts,
           rules.host_count * sizeof settings->allow_host.texts[0]);
    memcpy(rules.origins, settings->allow_origin.texts,
           rules.origin_count * sizeof settings->allow_origin.texts[0]);
    return rules;
}

/* The port for etcd's clients, unless it is not wanted. An exit code. */
static int open_gateway(const struct pd_settings *settings, struct pd_host *host,
                        struct pd_server *server, struct ending *ending,
                        struct pd_gateway_thread **gateway_out)
{
    char text[PD_GATEWAY_TEXT_MAX];
    char address[PD_GATEWAY_URL_MAX];
    struct pd_gateway_thread_config config = {.server = server,
                                              .host = host,
                                              .folder = settings->data,
                                              .address = address,
                                              .allowed = allowed(settings),
                                              .certificates = pd_client_port_certificates(settings),
                                              .more_metrics = {add_metrics, ending},
                                              .is_stopping = &ending->is_stopping,
                                              .note = on_note,
                                              .note_state = ending};
    if (pd_settings_has_no_clients(settings)) {
        return PD_EXIT_CODE_OK;
    }
    bool is_good = pd_gateway_parse_address(settings->listen_client, address, &config.port);
    pd_assert(is_good); /* it was when the options were read */
    if (pd_gateway_thread_open(&config, text, gateway_out) != PD_OK) {
        return pd_node_log_failed("%s", text);
    }
    return PD_EXIT_CODE_OK;
}

/* The application that runs here, if there is one. */
static int host_app(const struct pd_settings *settings, struct pd_host *host,
                    struct pd_server *server, struct pd_hosted **hosted_out)
{
    static struct pd_run_options options; /* too large for a frame */
    struct pd_server_about about;
    if (settings->app == NULL) {
        return PD_EXIT_CODE_OK;
    }
    pd_server_about(server, &about);
    options = pd_hosted_options(settings, about.node_id);
    return pd_hosted_open(&options, host, server, hosted_out);
}

/* It serves at once, and answers NOT_READY until there is a leader. */
static void wait_ready(const struct pd_settings *settings, struct pd_host *host,
                       struct pd_server *server, struct ending *ending)
{
    bool is_ready = pd_server_wait_ready(server, pd_host_now_ns(host) + WAIT_NS);
    if (!is_ready && !atomic_load(&ending->has_failed) && !settings->quiet) {
        pd_node_log(PD_LOG_WARNING, "waiting for a leader: most of the voters must run and reach "
                                    "each other");
    }
}

/* Until a signal comes, or the node ends by itself. */
static int serve(const struct pd_settings *settings, struct pd_host *host, struct pd_server *server,
                 struct ending *ending, const char *path)
{
    char text[PD_FRAMES_TEXT_MAX];
    struct pd_server_socket *socket = NULL;
    struct pd_server_socket_config config = pd_server_socket_config_default();
    ending->gateway =
        NULL; /* that of the life before, if any; the core reads it when both are ready */
    config.server = server;
    config.path = path;
    config.connections_max = pd_descriptors_of_process().tools;
    config.stops_by_signal = true;
    config.grace_ms =
        pd_settings_has_no_clients(settings) ? 0 : settings->stop_grace; /* nobody could see it */
    config.stopping = on_stopping;
    config.state = ending;
    if (pd_server_socket_open(&config, text, &socket) != PD_OK) {
        return pd_node_log_failed("%s", text);
    }
    atomic_store(&ending->socket, socket);
    if (atomic_load(&ending->has_failed)) {
        pd_server_socket_stop(socket); /* it may have been too early to be told */
    }
    struct pd_gateway_thread *gateway = NULL;
    struct pd_hosted *hosted = NULL;
    int code = open_gateway(settings, host, server, ending, &gateway);
    if (code == PD_EXIT_CODE_OK && pd_server_peers_net_serve(ending->peers, server) != PD_OK) {
        code = pd_node_log_failed("cannot serve nodes that join: too many clients");
    }
    if (code == PD_EXIT_CODE_OK) {
        ending->settings = settings;
        ending->server = server;
        ending->gateway = gateway;
        ending->path = path;
        tell_ready(ending);
        wait_ready(settings, host, server, ending);
        code = host_app(settings, host, server, &hosted);
        atomic_store(&ending->hosted, hosted);
    }
    if (code != PD_EXIT_CODE_OK) {
        pd_server_socket_stop(socket);
    }
    pd_server_socket_run(socket);
    pd_server_peers_net_end(ending->peers);
    pd_hosted_stop(hosted);
    pd_gateway_thread_close(gateway, NULL);
    atomic_store(&ending->hosted, NULL);
    pd_hosted_close(hosted);
    atomic_store(&ending->socket, NULL);
    bool has_failed = atomic_load(&ending->has_failed);
    if (!has_failed && code == PD_EXIT_CODE_OK && !settings->quiet) {
        say_stopping(socket);
    }
    pd_server_socket_close(socket);
    if (has_failed) {
        code = pd_node_log_failed("%s", ending->text);
    }
    return pd_server_was_removed(server) ? PD_EXIT_CODE_REMOVED : code;
}

/* Rows on their way to clients, several times copied at their worst. */
static uint64_t reads_bytes_max(const struct pd_kv_config *kv)
{
    uint64_t part = pd_real_host_memory_bytes() / READS_PART;
    part = part > READS_MOST ? READS_MOST : part;
    return part < kv->read_bytes_max ? kv->read_bytes_max : part;
}

static void configure(const struct pd_settings *settings, struct pd_server_config *config)
{
    config->store.open_files_max = pd_descriptors_of_process().store;
    config->disk_low_bytes = settings->disk_low;
    config->replica.slow_ns = settings->slow_request * MS_NS;
    config->replica.voters_max = (uint32_t)settings->voters_max;
    config->replica.compaction_retention_ns = settings->retention * MS_NS;
    config->replica.compaction =
        settings->retention == 0 ? PD_REPLICA_COMPACTION_OFF : PD_REPLICA_COMPACTION_PERIODIC;
    if (settings->log_segment != 0) {
        config->wal.segment_bytes = settings->log_segment;
    }
    if (settings->store_lag != 0) {
        config->replica.flush_entries = settings->store_lag;
        config->replica.log_retain_entries = settings->store_lag / 4;
    }
}

/* Before the store is opened anew for want of them: until there are some, a minute at most. */
static void wait_for_descriptors(void)
{
    const struct timespec moment = {.tv_nsec = 250 * 1000 * 1000};
    for (int i = 0; i < 240 && !pd_descriptors_are_left(STORE_NEEDS); i++) {
        (void)nanosleep(&moment, NULL);
    }
}

/* A store that turns out to be damaged is no reason to stop: it is put aside, and rebuilt when the
 * log is whole. Not for ever: then it is the disk, or the memory. */
static int run_node(const struct pd_settings *settings, const struct pd_server_config *config,
                    struct ending *ending, const char *path)
{
    int code = PD_EXIT_CODE_FAILED;
    bool again = true;
    for (int rebuilds = 0; rebuilds < REBUILDS_MAX && again;) {
        struct pd_server *server = NULL;
        char text[PD_SERVER_TEXT_MAX];
        atomic_store(&ending->has_failed, false);
        atomic_store(&ending->ready, 0);
        if (pd_server_open(config, text, &server) != PD_OK) {
            return pd_node_log_failed("%s", text);
        }
        code = serve(settings, config->host, server, ending, path);
        bool is_condemned = pd_server_store_is_condemned(server);
        again =
            atomic_load(&ending->has_failed) && (is_condemned || pd_server_store_is_stuck(server));
        pd_server_close(server);
        if (again && !is_condemned) {
            wait_for_descriptors();
        }
        if (again && is_condemned) {
            rebuilds++;
            pd_node_log(PD_LOG_WARNING, "starting anew without the damaged store");
        }
    }
    return code;
}

/* Where other members reach this node. NULL: as they know it. */
static const char *name_peer(const struct pd_settings *settings)
{
    char host[PD_RESOLVE_HOST_MAX];
    uint16_t port = 0;
    if (settings->advertise_peer != NULL || settings->listen_peer == NULL) {
        return settings->advertise_peer;
    }
    bool is_everywhere = pd_host_split_place(settings->listen_peer, host, &port) &&
                         (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0);
    return is_everywhere ? NULL : settings->listen_peer;
}

static int start(const struct pd_settings *settings)
{
    char path[PD_NODE_PATH_MAX];
    struct pd_real_host *real = NULL;
    static struct ending ending; /* the core thread writes to it as long as there is one */
    static struct pd_server_peers_net peers;
    enum pd_log_level level = PD_LOG_INFO;
    pd_node_log_use_json(strcmp(settings->log_format, "json") == 0);
    if (pd_node_log_level_parse(settings->log_level, &level)) { /* it was judged before */
        pd_node_log_use_level(level);
    }
    int code = pd_hosted_check(settings);
    if (code != PD_EXIT_CODE_OK || pd_worker_main(settings, &code)) {
        return code;
    }
    if (!pd_node_socket_path(settings->data, settings->socket, path)) {
        return pd_node_log_failed("the path of the socket is too long; choose one with --socket");
    }
    if (strlen(path) > PD_FRAMES_PATH_MAX) { /* before the folder is made */
        return pd_node_log_failed("the path of the socket '%s' is longer than %u bytes: choose a "
                                  "shorter one with --socket",
                                  path, PD_FRAMES_PATH_MAX);
    }
    if (pd_descriptors_of_process().limit < PD_DESCRIPTORS_MIN) {
        return pd_node_log_failed("a node needs %u file descriptors, and may open only %" PRIu64
                                  ": raise the hard limit (`ulimit -Hn`, or LimitNOFILE=)",
                                  PD_DESCRIPTORS_MIN, pd_descriptors_of_process().limit);
    }
    if (pd_real_host_create(1, 16, &real) != PD_OK) {
        return pd_node_log_failed("cannot start: no memory or threads");
    }
    (void)signal(SIGPIPE, SIG_IGN);
    pd_streams_print_without_waiting();
    ending.is_quiet = settings->quiet;
    ending.peers = &peers;
    struct pd_server_config config = pd_server_config_default();
    config.folder = settings->data;
    config.host = pd_real_host_interface(real);
    config.failed = on_failed;
    config.ready = on_ready;
    config.note = on_note;
    config.slow = on_slow;
    config.state = &ending;
    configure(settings, &config);
    config.replica.kv.reads_bytes_max = reads_bytes_max(&config.replica.kv);
    pd_server_peers_net_use(&peers, config.host, &config.peers);
    peers.note = on_note;
    peers.note_state = &ending;
    config.peers.name = settings->name;
    config.peers.peer_address = name_peer(settings);
    char url[PD_GATEWAY_URL_MAX];
    config.peers.client_address = pd_settings_client_url(settings, url, sizeof url);
    config.peers.program = PD_BUILD_VERSION "+" PD_BUILD_COMMIT;
    static struct pd_bootstrap_secret secret;
    code = pd_client_port_check(settings, config.host);
    if (code == PD_EXIT_CODE_OK) {
        code = pd_bootstrap_read_secret(settings, &secret);
    }
    if (code == PD_EXIT_CODE_OK) {
        code = pd_bootstrap(config.host, settings, &secret, config.peers.client_address);
    }
    peers.listen = settings->listen_peer;
    peers.secret = (struct pd_span){secret.bytes, secret.size};
    if (code == PD_EXIT_CODE_OK) {
        code = run_node(settings, &config, &ending, path);
    }
    pd_real_host_destroy(real);
    return code;
}

static int run_start(int count, char **words)
{
    static struct pd_settings settings; /* too large for a frame */
    bool is_done = false;
    if (pd_settings_init(&settings) != PD_OK) {
        return pd_command_failed("no memory");
    }
    int code = pd_settings_read(&pd_command_start, NULL, count, words, &settings, &is_done);
    if (code == PD_EXIT_CODE_OK && !is_done) {
        code = start(&settings);
    }
    pd_settings_deinit(&settings);
    return code;
}

const struct pd_command pd_command_start = {
    .name = "start",
    .arguments = "[-- ARGUMENT...]",
    .summary = "run a node in the foreground",
    .help =
        "An empty or missing folder becomes the one node of a new cluster; an existing one goes\n"
        "on where it stopped, however it stopped. A folder with a cluster.json becomes what that\n"
        "says. Ctrl-C, SIGTERM or SIGHUP (unless nohup has it ignored) stop it in order, and hand\n"
        "over what it leads.\n"
        "\n"
        "Each option is also a key of the file (listen_client for --listen-client), and a "
        "variable\n"
        "of the environment (PANDO_LISTEN_CLIENT). An option counts before a variable, that "
        "before\n"
        "the file. docs/config.md describes them.\n",
    .options = pd_settings_options,
    .examples = "pando start\n"
                "pando start --config pando.yaml\n"
                "pando start --data /var/lib/pando --socket /run/pando.sock\n"
                "pando start --app counter.wasm --allow-kv counter/\n",
    .run = run_start,
};
