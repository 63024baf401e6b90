/* pando start: one node in the foreground. */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cli/command.h"
#include "cli/hosted.h"
#include "cli/node_client.h"
#include "cli/options.h"
#include "host/real.h"
#include "net/address.h"
#include "node/gateway_thread.h"
#include "node/server_peers_net.h"
#include "node/server_socket.h"

#define SECOND_NS UINT64_C(1000000000)
#define SEGMENT_STEP (UINT64_C(1) << 20)
#define SEGMENT_MIN (16 * SEGMENT_STEP)
#define SEGMENT_MAX (1024 * SEGMENT_STEP)
#define REBUILDS_MAX 3
#define LAG_MIN 100u
#define LAG_MAX 60000u /* what the log keeps in memory, with a margin */
/* A leader is there in a second, unless most of the voters are not. */
#define WAIT_NS (3 * SECOND_NS)

#define LISTEN_CLIENT "127.0.0.1:2379"
#define NODE_VARIABLE "PANDO_NODE="

struct arguments {
    const char *folder;
    const char *socket;
    const char *name;          /* NULL: as the cluster knows it */
    const char *listen_peer;   /* NULL: likewise; a node alone has none */
    const char *listen_client; /* NULL: for nobody */
    uint64_t disk_low_bytes;   /* UINT64_MAX: as shipped */
    uint64_t segment_bytes;    /* 0: as shipped; so for the next */
    uint64_t store_lag;
    struct pd_run_options app; /* without a file: none */
    uint64_t app_memory;       /* 0: half of what the process may use */
    struct pd_http1_rules allowed;
    struct pd_gateway_certificates_files certificates;
    bool wants_client_certificate;
    bool is_quiet;
};

/* What the core thread tells of its end. */
struct ending {
    _Atomic(struct pd_server_socket *) socket;
    atomic_bool has_failed;
    bool is_quiet;
    char text[PD_SERVER_TEXT_MAX];
    atomic_uint ready;
    const struct arguments *arguments;
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

static void on_note(void *state, const char *text)
{
    const struct ending *ending = state;
    if (!ending->is_quiet) {
        (void)fprintf(stderr, "pando: %s\n", text);
    }
}

static void say_ready(const struct arguments *arguments, const struct pd_server *server,
                      const char *socket, const struct pd_gateway_thread *gateway)
{
    struct pd_server_about about;
    pd_server_about(server, &about);
    if (about.torn_bytes > 0) {
        (void)fprintf(stderr,
                      "pando: the log's last write was torn by a crash: %" PRIu64
                      " bytes cut, none of them acknowledged\n",
                      about.torn_bytes);
    }
    if (about.store_was_lost) {
        (void)fprintf(stderr,
                      "pando: the store could not be read and was put aside as "
                      "'%s/store.damaged-*'; it has been rebuilt from the log\n",
                      arguments->folder);
    }
    (void)printf("ready: node %" PRIx64 " of cluster %016" PRIx64 "%s\n"
                 "  data    %s\n"
                 "  socket  %s\n",
                 about.node_id, about.cluster_id, about.is_new ? ", new" : "", arguments->folder,
                 socket);
    if (gateway != NULL) {
        (void)printf("  etcd    %s\n", pd_gateway_thread_url(gateway));
    }
    const char *option = arguments->socket != NULL                        ? " --socket "
                         : strcmp(arguments->folder, PD_NODE_FOLDER) == 0 ? ""
                                                                          : " --data ";
    (void)printf("  try     pando kv put%s%s greeting hello\n", option,
                 arguments->socket != NULL ? socket
                 : option[0] != '\0'       ? arguments->folder
                                           : "");
    (void)fflush(stdout);
}

/* When the second of two things has happened: the node serves, and it can be reached. */
static void tell_ready(struct ending *ending)
{
    if (atomic_fetch_add(&ending->ready, 1) == 1) {
        say_ready(ending->arguments, ending->server, ending->path, ending->gateway);
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
    (void)fprintf(stderr,
                  "pando: stopping after %" PRIu64 " connections (%" PRIu64 " refused, %" PRIu64
                  " cut off as too slow), %" PRIu64 " requests (%" PRIu64
                  " bad frames): the store is made durable\n",
                  counters.connections, counters.connections_refused, counters.cut_off,
                  counters.frames, counters.bad_frames);
}

/* The port for etcd's clients, unless it is not wanted. An exit code. */
static int open_gateway(const struct arguments *arguments, struct pd_host *host,
                        struct pd_server *server, struct ending *ending,
                        struct pd_gateway_thread **gateway_out)
{
    char text[PD_GATEWAY_TEXT_MAX];
    char address[PD_GATEWAY_URL_MAX];
    struct pd_gateway_thread_config config = {.server = server,
                                              .host = host,
                                              .folder = arguments->folder,
                                              .address = address,
                                              .allowed = arguments->allowed,
                                              .certificates = arguments->certificates,
                                              .note = on_note,
                                              .note_state = ending};
    if (arguments->listen_client == NULL) {
        return PD_EXIT_CODE_OK;
    }
    bool is_good = pd_gateway_parse_address(arguments->listen_client, address, &config.port);
    pd_assert(is_good); /* it was when the options were read */
    if (pd_gateway_thread_open(&config, text, gateway_out) != PD_OK) {
        return pd_command_failed("%s", text);
    }
    return PD_EXIT_CODE_OK;
}

/* The application that runs here, if there is one. */
static int host_app(const struct arguments *arguments, struct pd_host *host,
                    struct pd_server *server, struct pd_hosted **hosted_out)
{
    struct pd_run_options options = arguments->app;
    struct pd_server_about about;
    static char node[PD_KV_MEMBER_NAME_MAX + sizeof NODE_VARIABLE]; /* outlives this call */
    if (options.file == NULL) {
        return PD_EXIT_CODE_OK;
    }
    pd_server_about(server, &about);
    int size = arguments->name != NULL
                   ? snprintf(node, sizeof node, NODE_VARIABLE "%s", arguments->name)
                   : snprintf(node, sizeof node, NODE_VARIABLE "%" PRIx64, about.node_id);
    if ((size_t)size < sizeof node) {
        options.variables[options.variable_count++] = node;
    }
    options.guest_bytes_max =
        arguments->app_memory != 0 ? arguments->app_memory : pd_real_host_memory_bytes() / 2;
    return pd_hosted_open(&options, host, server, hosted_out);
}

/* It serves at once, and answers NOT_READY until there is a leader. */
static void wait_ready(const struct arguments *arguments, struct pd_host *host,
                       struct pd_server *server, struct ending *ending)
{
    bool is_ready = pd_server_wait_ready(server, pd_host_now_ns(host) + WAIT_NS);
    if (!is_ready && !atomic_load(&ending->has_failed) && !arguments->is_quiet) {
        (void)fprintf(stderr, "pando: waiting for a leader: most of the voters must run and reach "
                              "each other\n");
    }
}

/* Until a signal comes, or the node ends by itself. */
static int serve(const struct arguments *arguments, struct pd_host *host, struct pd_server *server,
                 struct ending *ending, const char *path)
{
    char text[PD_FRAMES_TEXT_MAX];
    struct pd_server_socket *socket = NULL;
    struct pd_server_socket_config config = pd_server_socket_config_default();
    config.server = server;
    config.path = path;
    config.stops_by_signal = true;
    if (pd_server_socket_open(&config, text, &socket) != PD_OK) {
        return pd_command_failed("%s", text);
    }
    atomic_store(&ending->socket, socket);
    if (atomic_load(&ending->has_failed)) {
        pd_server_socket_stop(socket); /* it may have been too early to be told */
    }
    struct pd_gateway_thread *gateway = NULL;
    struct pd_hosted *hosted = NULL;
    int code = open_gateway(arguments, host, server, ending, &gateway);
    if (code == PD_EXIT_CODE_OK && pd_server_peers_net_serve(ending->peers, server) != PD_OK) {
        code = pd_command_failed("cannot serve nodes that join: too many clients");
    }
    if (code == PD_EXIT_CODE_OK) {
        ending->arguments = arguments;
        ending->server = server;
        ending->gateway = gateway;
        ending->path = path;
        tell_ready(ending);
        wait_ready(arguments, host, server, ending);
        code = host_app(arguments, host, server, &hosted);
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
    if (!has_failed && code == PD_EXIT_CODE_OK && !arguments->is_quiet) {
        say_stopping(socket);
    }
    pd_server_socket_close(socket);
    return has_failed ? pd_command_failed("%s", ending->text) : code;
}

static void configure(const struct arguments *arguments, struct pd_server_config *config)
{
    if (arguments->disk_low_bytes != UINT64_MAX) {
        config->disk_low_bytes = arguments->disk_low_bytes;
    }
    if (arguments->segment_bytes != 0) {
        config->wal.segment_bytes = arguments->segment_bytes;
    }
    if (arguments->store_lag != 0) {
        config->replica.flush_entries = arguments->store_lag;
        config->replica.log_retain_entries = arguments->store_lag / 4;
    }
}

/* A store that turns out to be damaged is no reason to stop: it is put aside, and rebuilt when the
 * log is whole. Not for ever: then it is the disk, or the memory. */
static int run_node(const struct arguments *arguments, const struct pd_server_config *config,
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
            return pd_command_failed("%s", text);
        }
        code = serve(arguments, config->host, server, ending, path);
        again = atomic_load(&ending->has_failed) && pd_server_store_is_condemned(server);
        pd_server_close(server);
        if (again) {
            (void)fprintf(stderr, "pando: starting anew without the damaged store\n");
        }
    }
    return code;
}

/* What other members tell clients of this node. NULL: nothing. */
static const char *name_clients(const struct arguments *arguments, char url[PD_GATEWAY_URL_MAX])
{
    char address[PD_GATEWAY_URL_MAX];
    uint16_t port = 0;
    if (arguments->listen_client == NULL ||
        !pd_gateway_parse_address(arguments->listen_client, address, &port) || port == 0 ||
        (size_t)snprintf(url, PD_GATEWAY_URL_MAX, "%s://%s",
                         arguments->certificates.certificate == NULL ? "http" : "https",
                         arguments->listen_client) >= PD_GATEWAY_URL_MAX) {
        return NULL;
    }
    return url;
}

static int start(const struct arguments *arguments)
{
    char path[PD_NODE_PATH_MAX];
    struct pd_real_host *real = NULL;
    static struct ending ending; /* the core thread writes to it as long as there is one */
    static struct pd_server_peers_net peers;
    if (!pd_node_socket_path(arguments->folder, arguments->socket, path)) {
        return pd_command_failed("the path of the socket is too long; choose one with --socket");
    }
    if (pd_real_host_create(1, 16, &real) != PD_OK) {
        return pd_command_failed("cannot start: no memory or threads");
    }
    (void)signal(SIGPIPE, SIG_IGN);
    ending.is_quiet = arguments->is_quiet;
    ending.peers = &peers;
    struct pd_server_config config = pd_server_config_default();
    config.folder = arguments->folder;
    config.host = pd_real_host_interface(real);
    config.failed = on_failed;
    config.ready = on_ready;
    config.note = on_note;
    config.state = &ending;
    configure(arguments, &config);
    pd_server_peers_net_use(&peers, config.host, &config.peers);
    config.peers.name = arguments->name;
    config.peers.peer_address = arguments->listen_peer;
    char url[PD_GATEWAY_URL_MAX];
    config.peers.client_address = name_clients(arguments, url);
    int code = run_node(arguments, &config, &ending, path);
    pd_real_host_destroy(real);
    return code;
}

static bool is_empty(const char *text)
{
    return text == NULL || text[0] == '\0';
}

/* As take_value, of what an application is given. */
static const char *take_app_value(struct arguments *arguments, struct pd_option_cursor *cursor,
                                  bool *is_any_out)
{
    const char *value = NULL;
    *is_any_out = true;
    struct pd_run_options *app = &arguments->app;
    if (pd_option_value(cursor, "--app", &app->file)) {
        return is_empty(app->file) ? "--app takes a file" : NULL;
    }
    if (pd_option_value(cursor, "--dir", &value)) {
        if (is_empty(value) || app->directory_count == PD_RUN_DIRECTORIES_MAX) {
            return "--dir takes HOST or HOST::GUEST, 64 times at most";
        }
        app->directories[app->directory_count++] = value;
        return NULL;
    }
    if (pd_option_value(cursor, "--app-memory", &value)) {
        return value == NULL || !pd_option_size(value, &arguments->app_memory) ||
                       arguments->app_memory == 0
                   ? "--app-memory takes a size as 512MiB"
                   : NULL;
    }
    if (pd_option_value(cursor, "--allow-kv", &app->kv_prefix)) {
        return app->kv_prefix == NULL ? "--allow-kv takes a prefix of keys; '' means all" : NULL;
    }
    *is_any_out = false;
    return NULL;
}

/* The word at the cursor, an option with a value. NULL, or what is wrong with it; *is_any_out: it
 * was such an option. */
static const char *take_value(struct arguments *arguments, struct pd_option_cursor *cursor,
                              bool *is_any_out)
{
    const char *value = NULL;
    *is_any_out = true;
    if (pd_option_value(cursor, "--data", &arguments->folder)) {
        return is_empty(arguments->folder) ? "--data takes a folder" : NULL;
    }
    if (pd_option_value(cursor, "--socket", &arguments->socket)) {
        return is_empty(arguments->socket) ? "--socket takes a path" : NULL;
    }
    if (pd_option_value(cursor, "--listen-client", &value)) {
        char address[PD_GATEWAY_URL_MAX];
        uint16_t port = 0;
        bool is_off = value != NULL && strcmp(value, "off") == 0;
        arguments->listen_client = is_off ? NULL : value;
        return is_off || (value != NULL && pd_gateway_parse_address(value, address, &port))
                   ? NULL
                   : "--listen-client takes ADDRESS:PORT with an address in numbers, or 'off'";
    }
    const char *wrong = take_app_value(arguments, cursor, is_any_out);
    if (*is_any_out) {
        return wrong;
    }
    *is_any_out = true;
    if (pd_option_value(cursor, "--name", &arguments->name)) {
        return is_empty(arguments->name) ? "--name takes a name" : NULL;
    }
    if (pd_option_value(cursor, "--listen-peer", &arguments->listen_peer)) {
        struct pd_transport_address address;
        return is_empty(arguments->listen_peer) ||
                       pd_net_address_parse(arguments->listen_peer, &address) != PD_OK
                   ? "--listen-peer takes ADDRESS:PORT with an address in numbers"
                   : NULL;
    }
    if (pd_option_value(cursor, "--disk-low", &value)) {
        return value == NULL || !pd_option_size(value, &arguments->disk_low_bytes)
                   ? "--disk-low takes a size as 256MiB"
                   : NULL;
    }
    if (pd_option_value(cursor, "--log-segment", &value)) {
        bool is_good = value != NULL && pd_option_size(value, &arguments->segment_bytes) &&
                       arguments->segment_bytes >= SEGMENT_MIN &&
                       arguments->segment_bytes <= SEGMENT_MAX &&
                       arguments->segment_bytes % SEGMENT_STEP == 0;
        return is_good ? NULL : "--log-segment takes whole MiB, 16MiB to 1GiB";
    }
    if (pd_option_value(cursor, "--store-lag", &value)) {
        bool is_good = value != NULL && pd_option_number(value, &arguments->store_lag) &&
                       arguments->store_lag >= LAG_MIN && arguments->store_lag <= LAG_MAX;
        return is_good ? NULL : "--store-lag takes 100 to 60000";
    }
    *is_any_out = false;
    return NULL;
}

/* As take_value, of TLS on the port for clients; etcd's names. */
static const char *take_certificates(struct arguments *arguments, struct pd_option_cursor *cursor,
                                     bool *is_any_out)
{
    struct pd_gateway_certificates_files *files = &arguments->certificates;
    *is_any_out = true;
    if (pd_option_value(cursor, "--cert-file", &files->certificate)) {
        return is_empty(files->certificate) ? "--cert-file takes a file" : NULL;
    }
    if (pd_option_value(cursor, "--key-file", &files->key)) {
        return is_empty(files->key) ? "--key-file takes a file" : NULL;
    }
    if (pd_option_value(cursor, "--trusted-ca-file", &files->authorities)) {
        return is_empty(files->authorities) ? "--trusted-ca-file takes a file" : NULL;
    }
    if (pd_option_flag(cursor, "--client-cert-auth")) {
        arguments->wants_client_certificate = true;
        return NULL;
    }
    *is_any_out = false;
    return NULL;
}

/* NULL, or what does not go together. */
static const char *check_certificates(const struct arguments *arguments)
{
    const struct pd_gateway_certificates_files *files = &arguments->certificates;
    if ((files->certificate == NULL) != (files->key == NULL)) {
        return "--cert-file and --key-file go together";
    }
    if (files->authorities != NULL && files->certificate == NULL) {
        return "--trusted-ca-file is for TLS: --cert-file and --key-file, too";
    }
    if (arguments->wants_client_certificate && files->authorities == NULL) {
        return "--client-cert-auth needs --trusted-ca-file: whose clients are let in";
    }
    return NULL;
}

/* "http://NAME", "https://NAME:PORT": nothing behind it. */
static bool is_origin(const char *text)
{
    const char *name = strncmp(text, "http://", 7) == 0    ? text + 7
                       : strncmp(text, "https://", 8) == 0 ? text + 8
                                                           : "";
    return strcmp(text, "*") == 0 || (name[0] != '\0' && strpbrk(name, "/?# ") == NULL);
}

/* Likewise, of the options that may come again. */
static const char *take_allowed(struct arguments *arguments, struct pd_option_cursor *cursor,
                                bool *is_any_out)
{
    struct pd_http1_rules *allowed = &arguments->allowed;
    const char *value = NULL;
    *is_any_out = true;
    if (pd_option_value(cursor, "--allow-host", &value)) {
        if (is_empty(value) || strpbrk(value, "/: ") != NULL) {
            return "--allow-host takes a name without a port, or '*'";
        }
        if (allowed->host_count == PD_HTTP1_ALLOWED_MAX) {
            return "--allow-host can be given 16 times";
        }
        allowed->hosts[allowed->host_count++] = value;
        return NULL;
    }
    if (pd_option_value(cursor, "--allow-origin", &value)) {
        if (is_empty(value) || !is_origin(value)) {
            return "--allow-origin takes http://NAME or https://NAME, perhaps with a port, or '*'";
        }
        if (allowed->origin_count == PD_HTTP1_ALLOWED_MAX) {
            return "--allow-origin can be given 16 times";
        }
        allowed->origins[allowed->origin_count++] = value;
        return NULL;
    }
    *is_any_out = false;
    return NULL;
}

/* What is for an application makes no sense without one. NULL, or what to say. */
static const char *check_app(const struct pd_run_options *app)
{
    if (app->file != NULL) {
        return NULL;
    }
    return app->kv_prefix != NULL     ? "--allow-kv is for an application: --app FILE"
           : app->directory_count > 0 ? "--dir is for an application: --app FILE"
           : app->argument_count > 0  ? "what follows -- is for an application: --app FILE"
                                      : NULL;
}

static int run_start(int count, char **words)
{
    static struct arguments arguments; /* too large for a frame */
    arguments = (struct arguments){.folder = PD_NODE_FOLDER,
                                   .listen_client = LISTEN_CLIENT,
                                   .disk_low_bytes = UINT64_MAX,
                                   .app = pd_run_options_default()};
    struct pd_option_cursor cursor = {.count = count, .arguments = words};
    while (cursor.at < count && !pd_option_flag(&cursor, "--")) {
        bool is_any = false;
        const char *word = words[cursor.at];
        const char *wrong = take_value(&arguments, &cursor, &is_any);
        if (!is_any) {
            wrong = take_allowed(&arguments, &cursor, &is_any);
        }
        if (!is_any) {
            wrong = take_certificates(&arguments, &cursor, &is_any);
        }
        if (wrong != NULL) {
            return pd_command_usage(&pd_command_start, "%s", wrong);
        }
        if (!is_any && pd_option_flag(&cursor, "--quiet")) {
            arguments.is_quiet = true;
        } else if (!is_any) {
            return pd_command_usage(&pd_command_start, "no such option: '%s'", word);
        }
    }
    arguments.app.arguments = words + cursor.at;
    arguments.app.argument_count = count - cursor.at;
    const char *wrong = check_app(&arguments.app);
    wrong = wrong == NULL ? check_certificates(&arguments) : wrong;
    if (wrong != NULL) {
        return pd_command_usage(&pd_command_start, "%s", wrong);
    }
    return start(&arguments);
}

const struct pd_command pd_command_start = {
    .name = "start",
    .arguments = "[--data DIR] [--socket PATH] [OPTION...] [-- ARGUMENT...]",
    .summary = "run a node in the foreground",
    .help =
        "An empty or missing folder becomes the one node of a new cluster; an existing one goes\n"
        "on where it stopped, however it stopped. A folder with a cluster.json becomes what that\n"
        "says. Ctrl-C or SIGTERM stop it in order, and hand over what it leads.\n"
        "\n"
        "  --data DIR            its folder (default: " PD_NODE_FOLDER ")\n"
        "  --socket PATH         where it listens for pando (default: DIR/pando.sock)\n"
        "  --listen-client ADDRESS:PORT\n"
        "                        where it listens for clients of etcd: etcdctl and the like\n"
        "                        (default: " LISTEN_CLIENT "; port 0: a free one; 'off': nowhere)\n"
        "  --allow-host NAME     answer HTTP requests for this name too: else only for addresses "
        "in\n"
        "                        numbers and localhost ('*': any name; may be given again)\n"
        "  --allow-origin ORIGIN let pages from there use HTTP, as https://console.example.org\n"
        "                        ('*': from anywhere; may be given again)\n"
        "  --cert-file FILE, --key-file FILE\n"
        "                        speak TLS with clients, PEM; read again when they change\n"
        "  --trusted-ca-file FILE\n"
        "                        let only clients in whose certificate one of these has signed\n"
        "  --client-cert-auth    the same, in etcd's words: needs --trusted-ca-file\n"
        "  --name NAME           what the members call it\n"
        "  --listen-peer ADDRESS:PORT\n"
        "                        where it listens for other nodes, UDP (default: as cluster.json\n"
        "                        says; a node alone does not)\n"
        "  --disk-low SIZE       refuse writes when less space is free (default: 256MiB)\n"
        "  --app FILE            run a module or an application file inside of the node; it finds "
        "the\n"
        "                        node's name in the variable PANDO_NODE\n"
        "  --app-memory SIZE     of all its actors together: spawns and growth beyond are refused\n"
        "                        (default: half of the memory that the process may use)\n"
        "  --allow-kv PREFIX     let it touch the store's keys that begin so ('': all)\n"
        "  --dir HOST[::GUEST]   let it use a directory (may be given again)\n"
        "  -- ARGUMENT...        what its main function is given; the last option\n"
        "  --quiet               say nothing but errors and that it is ready\n"
        "\n"
        "Examples:\n"
        "  pando start\n"
        "  pando start --data /var/lib/pando --socket /run/pando.sock\n"
        "  pando start --app counter.wasm --allow-kv counter/\n",
    .run = run_start,
};
