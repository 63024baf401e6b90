/* pando start: one node in the foreground. */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cli/command.h"
#include "cli/node_client.h"
#include "cli/options.h"
#include "host/real.h"
#include "node/server_socket.h"

#define SECOND_NS UINT64_C(1000000000)
/* Recovery of a long log may take long, and says nothing meanwhile; a leader is there in a second.
 */
#define READY_NS (60 * SECOND_NS)

struct arguments {
    const char *folder;
    const char *socket;
    uint64_t disk_low_bytes; /* UINT64_MAX: as shipped */
    bool is_quiet;
};

/* What the core thread tells of its end. */
struct ending {
    _Atomic(struct pd_server_socket *) socket;
    atomic_bool has_failed;
    bool is_quiet;
    char text[PD_SERVER_TEXT_MAX];
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
                      const char *socket)
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
    bool is_usual = strcmp(arguments->folder, PD_NODE_FOLDER) == 0 && arguments->socket == NULL;
    (void)printf("  try     pando kv put%s%s greeting hello\n", is_usual ? "" : " --socket ",
                 is_usual ? "" : socket);
    (void)fflush(stdout);
}

/* Until a signal comes, or the node ends by itself. */
static int serve(const struct arguments *arguments, struct pd_host *host, struct pd_server *server,
                 struct ending *ending, const char *path)
{
    char text[PD_FRAMES_TEXT_MAX];
    struct pd_server_socket *socket = NULL;
    if (!pd_server_wait_ready(server, pd_host_now_ns(host) + READY_NS)) {
        return pd_command_failed("%s", atomic_load(&ending->has_failed)
                                           ? ending->text
                                           : "the node did not become ready within a minute");
    }
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
    say_ready(arguments, server, path);
    pd_server_socket_run(socket);
    atomic_store(&ending->socket, NULL);
    bool has_failed = atomic_load(&ending->has_failed);
    if (!has_failed && !arguments->is_quiet) {
        (void)fprintf(stderr, "pando: stopping: the store is made durable\n");
    }
    pd_server_socket_close(socket);
    return has_failed ? pd_command_failed("%s", ending->text) : PD_EXIT_CODE_OK;
}

static int start(const struct arguments *arguments)
{
    char path[PD_NODE_PATH_MAX];
    struct pd_real_host *real = NULL;
    struct pd_server *server = NULL;
    static struct ending ending; /* the core thread writes to it as long as there is one */
    char text[PD_SERVER_TEXT_MAX];
    if (!pd_node_socket_path(arguments->folder, arguments->socket, path)) {
        return pd_command_failed("the path of the socket is too long; choose one with --socket");
    }
    if (pd_real_host_create(1, 16, &real) != PD_OK) {
        return pd_command_failed("cannot start: no memory or threads");
    }
    (void)signal(SIGPIPE, SIG_IGN);
    ending.is_quiet = arguments->is_quiet;
    struct pd_server_config config = pd_server_config_default();
    config.folder = arguments->folder;
    config.host = pd_real_host_interface(real);
    config.failed = on_failed;
    config.note = on_note;
    config.state = &ending;
    if (arguments->disk_low_bytes != UINT64_MAX) {
        config.disk_low_bytes = arguments->disk_low_bytes;
    }
    enum pd_status status = pd_server_open(&config, text, &server);
    int code = status == PD_OK ? serve(arguments, config.host, server, &ending, path)
                               : pd_command_failed("%s", text);
    if (status == PD_OK) {
        pd_server_close(server);
    }
    pd_real_host_destroy(real);
    return code;
}

static int run_start(int count, char **words)
{
    struct arguments arguments = {.folder = PD_NODE_FOLDER, .disk_low_bytes = UINT64_MAX};
    struct pd_option_cursor cursor = {.count = count, .arguments = words};
    while (cursor.at < count) {
        const char *value = NULL;
        if (pd_option_value(&cursor, "--data", &arguments.folder)) {
            if (arguments.folder == NULL || arguments.folder[0] == '\0') {
                return pd_command_usage(&pd_command_start, "--data takes a folder");
            }
        } else if (pd_option_value(&cursor, "--socket", &arguments.socket)) {
            if (arguments.socket == NULL || arguments.socket[0] == '\0') {
                return pd_command_usage(&pd_command_start, "--socket takes a path");
            }
        } else if (pd_option_value(&cursor, "--disk-low", &value)) {
            if (value == NULL || !pd_option_size(value, &arguments.disk_low_bytes)) {
                return pd_command_usage(&pd_command_start, "--disk-low takes a size as 256MiB");
            }
        } else if (pd_option_flag(&cursor, "--quiet")) {
            arguments.is_quiet = true;
        } else {
            return pd_command_usage(&pd_command_start, "no such option: '%s'", words[cursor.at]);
        }
    }
    return start(&arguments);
}

const struct pd_command pd_command_start = {
    .name = "start",
    .arguments = "[--data DIR] [--socket PATH] [--disk-low SIZE] [--quiet]",
    .summary = "run a node in the foreground",
    .help =
        "An empty or missing folder becomes the one node of a new cluster; an existing one goes\n"
        "on where it stopped, however it stopped. Ctrl-C or SIGTERM stop it in order.\n"
        "\n"
        "  --data DIR       its folder (default: " PD_NODE_FOLDER ")\n"
        "  --socket PATH    where it listens (default: DIR/pando.sock)\n"
        "  --disk-low SIZE  refuse writes when less space is free (default: 256MiB)\n"
        "  --quiet          say nothing but errors and that it is ready\n"
        "\n"
        "Examples:\n"
        "  pando start\n"
        "  pando start --data /var/lib/pando --socket /run/pando.sock\n",
    .run = run_start,
};
