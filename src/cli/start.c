/* pando start: one node in the foreground. */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "build_info.h"
#include "cli/bootstrap.h"
#include "cli/command.h"
#include "cli/hosted.h"
#include "client/node_client.h"
#include "cli/node_log.h"
#include "cli/options.h"
#include "cli/settings.h"
#include "host/real.h"
#include "host/resolve.h"
#include "node/gateway_thread.h"
#include "node/server_peers_net.h"
#include "node/server_socket.h"

#define SECOND_NS UINT64_C(1000000000)
#define REBUILDS_MAX 3
/* A leader is there in a second, unless most of the voters are not. */
#define WAIT_NS (3 * SECOND_NS)
#define NODE_VARIABLE "PANDO_NODE="

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
    const struct pd_gateway_thread *gateway;
    struct pd_server_peers_net *peers;
    const char *path;
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
}

static void on_note(void *state, const char *text)
{
    const struct ending *ending = state;
    if (!ending->is_quiet) {
        pd_node_log(PD_LOG_INFO, "%s", text);
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
                    "ready: node %" PRIx64 " of cluster %016" PRIx64 "%s, data %s, socket %s%s%s",
                    about.node_id, about.cluster_id, about.is_new ? ", new" : "", settings->data,
                    socket, gateway == NULL ? "" : ", etcd ",
                    gateway == NULL ? "" : pd_gateway_thread_url(gateway));
        return;
    }
    (void)printf("ready: node %" PRIx64 " of cluster %016" PRIx64 "%s\n"
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

static bool is_off(const struct pd_settings *settings)
{
    return strcmp(settings->listen_client, "off") == 0;
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

static struct pd_gateway_certificates_files certificates(const struct pd_settings *settings)
{
    return (struct pd_gateway_certificates_files){.certificate = settings->cert_file,
                                                  .key = settings->key_file,
                                                  .authorities = settings->trusted_ca_file};
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
                                              .certificates = certificates(settings),
                                              .is_stopping = &ending->is_stopping,
                                              .note = on_note,
                                              .note_state = ending};
    if (is_off(settings)) {
        return PD_EXIT_CODE_OK;
    }
    bool is_good = pd_gateway_parse_address(settings->listen_client, address, &config.port);
    pd_assert(is_good); /* it was when the options were read */
    if (pd_gateway_thread_open(&config, text, gateway_out) != PD_OK) {
        return pd_node_log_failed("%s", text);
    }
    return PD_EXIT_CODE_OK;
}

/* What the application is told: arguments behind `--` count before those of the settings. */
static struct pd_run_options app_options(const struct pd_settings *settings)
{
    struct pd_run_options options = pd_run_options_default();
    options.file = settings->app;
    options.kv_prefix = settings->allow_kv;
    options.guest_bytes_max =
        settings->app_memory != 0 ? settings->app_memory : pd_real_host_memory_bytes() / 2;
    memcpy(options.directories, settings->dir.texts,
           settings->dir.count * sizeof settings->dir.texts[0]);
    options.directory_count = (int)settings->dir.count;
    options.arguments = settings->app_words;
    options.argument_count = settings->app_word_count;
    return options;
}

/* The application that runs here, if there is one. */
static int host_app(const struct pd_settings *settings, struct pd_host *host,
                    struct pd_server *server, struct pd_hosted **hosted_out)
{
    static struct pd_run_options options; /* too large for a frame */
    struct pd_server_about about;
    static char node[PD_KV_MEMBER_NAME_MAX + sizeof NODE_VARIABLE]; /* outlives this call */
    if (settings->app == NULL) {
        return PD_EXIT_CODE_OK;
    }
    options = app_options(settings);
    pd_server_about(server, &about);
    int size = settings->name != NULL
                   ? snprintf(node, sizeof node, NODE_VARIABLE "%s", settings->name)
                   : snprintf(node, sizeof node, NODE_VARIABLE "%" PRIx64, about.node_id);
    if ((size_t)size < sizeof node) {
        options.variables[options.variable_count++] = node;
    }
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
    config.server = server;
    config.path = path;
    config.stops_by_signal = true;
    config.grace_ms = is_off(settings) ? 0 : settings->stop_grace; /* nobody could see it */
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
    }
    if (code != PD_EXIT_CODE_OK) {
        pd_server_socket_stop(socket);
    }
    pd_server_socket_run(socket);
    pd_server_peers_net_end(ending->peers);
    pd_hosted_close(hosted);
    pd_gateway_thread_close(gateway, NULL);
    atomic_store(&ending->socket, NULL);
    bool has_failed = atomic_load(&ending->has_failed);
    if (!has_failed && code == PD_EXIT_CODE_OK && !settings->quiet) {
        say_stopping(socket);
    }
    pd_server_socket_close(socket);
    return has_failed ? pd_node_log_failed("%s", ending->text) : code;
}

static void configure(const struct pd_settings *settings, struct pd_server_config *config)
{
    config->disk_low_bytes = settings->disk_low;
    if (settings->log_segment != 0) {
        config->wal.segment_bytes = settings->log_segment;
    }
    if (settings->store_lag != 0) {
        config->replica.flush_entries = settings->store_lag;
        config->replica.log_retain_entries = settings->store_lag / 4;
    }
}

/* A store that turns out to be damaged is no reason to stop: it is put aside, and rebuilt when the
 * log is whole. Not for ever: then it is the disk, or the memory. */
static int run_node(const struct pd_settings *settings, const struct pd_server_config *config,
                    struct ending *ending, const char *path)
{
    int code = PD_EXIT_CODE_FAILED;
    bool again = true;
    for (int i = 0; i < REBUILDS_MAX && again; i++) {
        struct pd_server *server = NULL;
        char text[PD_SERVER_TEXT_MAX];
        atomic_store(&ending->has_failed, false);
        atomic_store(&ending->ready, 0);
        if (pd_server_open(config, text, &server) != PD_OK) {
            return pd_node_log_failed("%s", text);
        }
        code = serve(settings, config->host, server, ending, path);
        again = atomic_load(&ending->has_failed) && pd_server_store_is_condemned(server);
        pd_server_close(server);
        if (again) {
            pd_node_log(PD_LOG_WARNING, "starting anew without the damaged store");
        }
    }
    return code;
}

/* What other members tell clients of this node. NULL: nothing. */
static const char *name_clients(const struct pd_settings *settings, char url[PD_GATEWAY_URL_MAX])
{
    char address[PD_GATEWAY_URL_MAX];
    uint16_t port = 0;
    if (is_off(settings) || !pd_gateway_parse_address(settings->listen_client, address, &port) ||
        port == 0 ||
        (size_t)snprintf(url, PD_GATEWAY_URL_MAX, "%s://%s",
                         settings->cert_file == NULL ? "http" : "https",
                         settings->listen_client) >= PD_GATEWAY_URL_MAX) {
        return NULL;
    }
    return url;
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
    pd_node_log_use_json(strcmp(settings->log_format, "json") == 0);
    if (!pd_node_socket_path(settings->data, settings->socket, path)) {
        return pd_node_log_failed("the path of the socket is too long; choose one with --socket");
    }
    if (pd_real_host_create(1, 16, &real) != PD_OK) {
        return pd_node_log_failed("cannot start: no memory or threads");
    }
    (void)signal(SIGPIPE, SIG_IGN);
    ending.is_quiet = settings->quiet;
    ending.peers = &peers;
    struct pd_server_config config = pd_server_config_default();
    config.folder = settings->data;
    config.host = pd_real_host_interface(real);
    config.failed = on_failed;
    config.ready = on_ready;
    config.note = on_note;
    config.state = &ending;
    configure(settings, &config);
    pd_server_peers_net_use(&peers, config.host, &config.peers);
    config.peers.name = settings->name;
    config.peers.peer_address = name_peer(settings);
    char url[PD_GATEWAY_URL_MAX];
    config.peers.client_address = name_clients(settings, url);
    config.peers.program = PD_BUILD_VERSION "+" PD_BUILD_COMMIT;
    static struct pd_bootstrap_secret secret;
    int code = pd_bootstrap_read_secret(settings, &secret);
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

static void write_to(void *context, const char *bytes, size_t size)
{
    (void)!fwrite(bytes, 1, size, context);
}

static int read_file(struct pd_settings *settings, const char *file)
{
    struct pd_app_report report;
    enum pd_status status = pd_settings_take_file(settings, file, &report);
    int code = PD_EXIT_CODE_OK;
    if (status == PD_ERR_INVALID) {
        pd_app_report_print(&report, file,
                            &(struct pd_app_output){.context = stderr, .write = write_to});
        code = PD_EXIT_CODE_USAGE;
    } else if (status != PD_OK) {
        code = pd_command_failed("%s: %s", file, pd_status_text(status));
    }
    pd_app_report_deinit(&report);
    return code;
}

/* The words, then what the environment and the file say as well. */
static int read_settings(struct pd_settings *settings, int count, char **words, bool *prints_out)
{
    struct pd_option_cursor cursor = {.count = count, .arguments = words};
    char text[PD_SETTINGS_TEXT_MAX];
    const char *file = getenv("PANDO_CONFIG");
    *prints_out = false;
    while (cursor.at < count && !pd_option_flag(&cursor, "--")) {
        const char *word = words[cursor.at];
        if (pd_option_value(&cursor, "--config", &file)) {
            if (file == NULL || file[0] == '\0') {
                return pd_command_usage(&pd_command_start, "--config takes a file");
            }
        } else if (pd_option_flag(&cursor, "--print-config")) {
            *prints_out = true;
        } else if (!pd_settings_take_flag(settings, &cursor, text)) {
            return pd_command_unknown_option(&pd_command_start, word);
        } else if (text[0] != '\0') {
            return pd_command_usage(&pd_command_start, "%s", text);
        }
    }
    settings->app_words = words + cursor.at;
    settings->app_word_count = count - cursor.at;
    if (!pd_settings_take_environment(settings, environ, text)) {
        return pd_command_usage(&pd_command_start, "%s", text);
    }
    return file == NULL || file[0] == '\0' ? PD_EXIT_CODE_OK : read_file(settings, file);
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

/* NULL, or what does not go together. */
static const char *judge_certificates(const struct pd_settings *settings)
{
    if ((settings->cert_file == NULL) != (settings->key_file == NULL)) {
        return "--cert-file and --key-file go together";
    }
    if (settings->trusted_ca_file != NULL && settings->cert_file == NULL) {
        return "--trusted-ca-file is for TLS: --cert-file and --key-file, too";
    }
    if (settings->client_cert_auth && settings->trusted_ca_file == NULL) {
        return "--client-cert-auth needs --trusted-ca-file: whose clients are let in";
    }
    return NULL;
}

static const char *judge_peers(const struct pd_settings *settings)
{
    uint64_t count = settings->peers.count;
    if (count == 0) {
        return settings->expect == 0 ? NULL : "--expect is for --peers: which nodes are expected";
    }
    if (settings->secret_file == NULL) {
        return "--peers needs --secret-file: how they know each other";
    }
    if (settings->expect > count) {
        return "--expect is more than there are --peers: name each first member";
    }
    if (settings->expect != 0 && 2 * settings->expect <= count) {
        return "--expect must be more than half of --peers: else two clusters could begin";
    }
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(settings->peers.texts[i], settings->peers.texts[j]) == 0) {
                return "--peers names an address twice: name each node once";
            }
        }
    }
    return NULL;
}

/* What no setting can know by itself. */
static int judge_settings(const struct pd_settings *settings)
{
    char address[PD_GATEWAY_URL_MAX];
    uint16_t port = 0;
    if (!is_off(settings) && !settings->insecure && settings->cert_file == NULL &&
        pd_gateway_parse_address(settings->listen_client, address, &port) &&
        !is_loopback(address)) {
        return pd_command_usage(&pd_command_start,
                                "clients on %s without TLS: everybody who reaches that may read "
                                "and change everything. Give --cert-file and --key-file, "
                                "listen on 127.0.0.1, or say --insecure",
                                settings->listen_client);
    }
    const char *wrong = judge_certificates(settings);
    if (wrong != NULL) {
        return pd_command_usage(&pd_command_start, "%s", wrong);
    }
    wrong = judge_peers(settings);
    if (wrong != NULL) {
        return pd_command_usage(&pd_command_start, "%s", wrong);
    }
    const char *lost = settings->app != NULL          ? NULL
                       : settings->allow_kv != NULL   ? "--allow-kv"
                       : settings->dir.count > 0      ? "--dir"
                       : settings->app_word_count > 0 ? "what follows --"
                                                      : NULL;
    return lost == NULL
               ? PD_EXIT_CODE_OK
               : pd_command_usage(&pd_command_start, "%s is for an application: --app FILE", lost);
}

static int run_start(int count, char **words)
{
    static struct pd_settings settings; /* too large for a frame */
    bool prints = false;
    if (pd_settings_init(&settings) != PD_OK) {
        return pd_command_failed("no memory");
    }
    int code = read_settings(&settings, count, words, &prints);
    if (code == PD_EXIT_CODE_OK) {
        code = judge_settings(&settings);
    }
    if (code == PD_EXIT_CODE_OK && prints) {
        pd_settings_print(&settings, &(struct pd_app_output){.context = stdout, .write = write_to});
    } else if (code == PD_EXIT_CODE_OK) {
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
        "says. Ctrl-C or SIGTERM stop it in order, and hand over what it leads.\n"
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
