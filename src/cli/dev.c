/* pando dev: a cluster of real nodes on this machine, in one command. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "cli/command.h"
#include "cli/dev_children.h"
#include "cli/dev_cluster.h"
#include "host/real.h"

#define FOLDER "pando-dev"
#define BASE_PORT 2379u
#define PATIENCE_MS 10000u /* for a node to make its store durable */
#define SECOND_NS 1e9

struct arguments {
    const char *folder;
    uint64_t nodes; /* 0: as many as there are, or three */
    uint64_t base_port;
    const char *app_file; /* in the table alone: the nodes take it */
    char **app;           /* options of `pando start` for an application */
    uint32_t app_count;
};

struct dev {
    const struct arguments *arguments;
    struct pd_host *host;
    struct pd_dev_cluster cluster;
    struct pd_dev_children children;
    bool is_ready[PD_DEV_NODES_MAX];
    bool tells_ready[PD_DEV_NODES_MAX]; /* in the lines of its own banner */
    bool banner_is_shown;
    bool is_stopping;
    bool has_failed;
    uint64_t begun_ns;
};

/* -- What is said ------------------------------------------------------------------------------ */

static bool all_ready(const struct dev *dev)
{
    for (uint32_t i = 0; i < dev->cluster.count; i++) {
        if (!dev->is_ready[i]) {
            return false;
        }
    }
    return true;
}

static void print_endpoints(const struct pd_dev_cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->count; i++) {
        (void)printf("%s%s", i == 0 ? "" : ",", cluster->nodes[i].client_address);
    }
}

static void show_banner(struct dev *dev)
{
    const struct pd_dev_cluster *cluster = &dev->cluster;
    double seconds = (double)(pd_host_now_ns(dev->host) - dev->begun_ns) / SECOND_NS;
    dev->banner_is_shown = true;
    (void)printf("\nready: %" PRIu32 " node%s, cluster %016" PRIx64 "%s, in %.2f s\n\n",
                 cluster->count, cluster->count == 1 ? "" : "s", cluster->cluster_id,
                 cluster->is_new ? ", new" : "", seconds);
    for (uint32_t i = 0; i < cluster->count; i++) {
        const struct pd_dev_node *node = &cluster->nodes[i];
        (void)printf("  %s     etcd API and HTTP http://%s (TCP), nodes %s (UDP), pid %d\n",
                     node->name, node->client_address, node->peer_address,
                     (int)dev->children.children[i].pid);
    }
    (void)printf("  data       %s, kept for the next start; sockets %s/node-*/pando.sock\n",
                 dev->arguments->folder, dev->arguments->folder);
    (void)printf(
        "  security   this machine only. Nodes prove their keys to each other and encrypt; "
        "clients do neither:\n"
        "             who can connect to these ports may read and write everything\n"
        "  retention  old revisions for 24 hours\n\n"
        "  try        pando kv put --data %s/node-0 greeting hello\n"
        "             pando kv get --data %s/node-%" PRIu32 " greeting\n"
        "             etcdctl --endpoints ",
        dev->arguments->folder, dev->arguments->folder, cluster->count - 1);
    print_endpoints(cluster);
    (void)printf(" get greeting\n\n  Ctrl-C ends all of it in order.\n\n");
    (void)fflush(stdout);
}

/* A node's own banner says what this one does: it is passed over. */
static void on_line(void *state, uint32_t child, const char *text)
{
    struct dev *dev = state;
    bool is_ready_line = strncmp(text, "ready: ", 7) == 0;
    dev->tells_ready[child] = is_ready_line || (dev->tells_ready[child] && text[0] == ' ');
    if (is_ready_line) {
        dev->is_ready[child] = true;
        if (dev->banner_is_shown) {
            (void)printf("%s | is ready\n", dev->cluster.nodes[child].name);
        } else if (all_ready(dev)) {
            show_banner(dev);
        }
    } else if (!dev->tells_ready[child]) {
        (void)printf("%s | %s\n", dev->cluster.nodes[child].name, text);
    }
    (void)fflush(stdout);
}

static void on_ended(void *state, uint32_t child, int wait_status)
{
    struct dev *dev = state;
    const char *name = dev->cluster.nodes[child].name;
    dev->is_ready[child] = false;
    if (dev->is_stopping) {
        dev->has_failed = dev->has_failed || wait_status != 0;
        return;
    }
    if (WIFSIGNALED(wait_status)) {
        (void)printf("%s | ended by signal %d; nothing starts it again\n", name,
                     WTERMSIG(wait_status));
    } else {
        (void)printf("%s | ended with exit code %d; nothing starts it again\n", name,
                     WEXITSTATUS(wait_status));
    }
    (void)fflush(stdout);
    dev->has_failed = dev->has_failed || !dev->banner_is_shown;
}

/* -- Running ----------------------------------------------------------------------------------- */

static int start_nodes(struct dev *dev)
{
    for (uint32_t i = 0; i < dev->cluster.count; i++) {
        struct pd_dev_node *node = &dev->cluster.nodes[i];
        char pando[] = "pando";
        char start[] = "start";
        char data[] = "--data";
        char name[] = "--name";
        char client[] = "--listen-client";
        char peer[] = "--listen-peer";
        char quiet[] = "--quiet";
        char grace[] = "--stop-grace=0"; /* nobody balances load here */
        char *own[] = {pando,  start,
                       data,   node->folder,
                       name,   node->name,
                       client, node->client_address,
                       peer,   node->peer_address,
                       quiet,  grace};
        const size_t count = sizeof own / sizeof own[0];
        const struct arguments *arguments = dev->arguments;
        char **words = pd_alloc_zeroed(count + arguments->app_count + 1, sizeof *words);
        if (words == NULL) {
            return pd_command_failed("no memory");
        }
        memcpy(words, own, sizeof own);
        if (arguments->app_count > 0) {
            memcpy(words + count, arguments->app, arguments->app_count * sizeof *words);
        }
        enum pd_status status = pd_dev_children_start(&dev->children, words);
        pd_free(words);
        if (status != PD_OK) {
            return pd_command_failed("cannot start %s: %s", node->name, strerror(errno));
        }
    }
    return PD_EXIT_CODE_OK;
}

static int run_nodes(struct dev *dev)
{
    int code = start_nodes(dev);
    while (code == PD_EXIT_CODE_OK && !dev->has_failed &&
           pd_dev_children_alive(&dev->children) > 0 && pd_dev_children_wait(&dev->children, -1)) {
    }
    bool was_asked =
        code == PD_EXIT_CODE_OK && !dev->has_failed && pd_dev_children_alive(&dev->children) > 0;
    dev->is_stopping = true;
    if (was_asked) {
        (void)printf("\nending: each node makes its store durable, and hands over what it leads\n");
        (void)fflush(stdout);
    }
    pd_dev_children_stop(&dev->children, PATIENCE_MS);
    if (code != PD_EXIT_CODE_OK) {
        return code;
    }
    return was_asked && !dev->has_failed
               ? PD_EXIT_CODE_OK
               : pd_command_failed("a node ended by itself; what it said stands above");
}

static int dev_main(const struct arguments *arguments)
{
    static struct dev dev; /* too large for a frame */
    char text[PD_DEV_TEXT_MAX];
    struct pd_real_host *real = NULL;
    dev = (struct dev){.arguments = arguments};
    dev.children = (struct pd_dev_children){.line = on_line, .ended = on_ended, .state = &dev};
    if (pd_dev_children_init(&dev.children) != PD_OK) {
        return pd_command_failed("cannot take over signals: %s", strerror(errno));
    }
    if (pd_real_host_create(1, 4, &real) != PD_OK) {
        return pd_command_failed("cannot start: no memory or threads");
    }
    dev.host = pd_real_host_interface(real);
    dev.begun_ns = pd_host_now_ns(dev.host);
    (void)signal(SIGPIPE, SIG_IGN);
    int code = PD_EXIT_CODE_OK;
    if (pd_dev_cluster_open(dev.host, arguments->folder, (uint32_t)arguments->nodes,
                            (uint16_t)arguments->base_port, text, &dev.cluster) != PD_OK) {
        code = pd_command_failed("%s", text);
    } else {
        code = run_nodes(&dev);
    }
    pd_dev_cluster_close(&dev.cluster);
    pd_real_host_destroy(real);
    return code;
}

/* --app and all that is behind it are the nodes' options: cut off. */
static int without_app(struct arguments *arguments, int count, char **words)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(words[i], "--app") == 0 || strncmp(words[i], "--app=", 6) == 0) {
            arguments->app = words + i;
            arguments->app_count = (uint32_t)(count - i);
            return i;
        }
    }
    return count;
}

static int run_dev(int count, char **words)
{
    struct arguments arguments = {.folder = FOLDER, .base_port = BASE_PORT};
    int own = without_app(&arguments, count, words);
    int code = PD_EXIT_CODE_OK;
    return pd_command_parse(&pd_command_dev, &own, words, &arguments, &code) ? dev_main(&arguments)
                                                                             : code;
}

static const struct pd_option options[] = {
    {.name = "--nodes",
     .kind = PD_OPTION_NUMBER,
     .value = "N",
     .text = "how many (default: 3, or as many as DIR holds)",
     .offset = offsetof(struct arguments, nodes),
     .least = 1,
     .most = PD_DEV_NODES_MAX},
    {.name = "--data",
     .kind = PD_OPTION_FOLDER,
     .value = "DIR",
     .text = "the folder (default: " FOLDER ")",
     .offset = offsetof(struct arguments, folder)},
    {.name = "--base-port",
     .kind = PD_OPTION_NUMBER,
     .value = "P",
     .text = "the first port (default: 2379)",
     .offset = offsetof(struct arguments, base_port),
     .least = 1,
     .most = UINT16_MAX},
    {.name = "--app",
     .kind = PD_OPTION_FILE,
     .value = "FILE",
     .text = "run it inside of every node; what follows is for `pando start`: such as --allow-kv, "
             "--dir, and -- with the application's arguments",
     .offset = offsetof(struct arguments, app_file)},
    {.name = NULL},
};

const struct pd_command pd_command_dev = {
    .name = "dev",
    .arguments = "",
    .summary = "a cluster on this machine, to try things with",
    .help = "Starts N nodes, each a process of its own, as one cluster, and shows what they say.\n"
            "Node i, from 0, serves etcd's API and HTTP on port P + 10 i, and other nodes on the\n"
            "UDP port behind it. Its data is kept: the next start goes on with it. Kill nodes as\n"
            "you like; nothing starts them again. Ctrl-C ends all of them.\n",
    .options = options,
    .examples = "pando dev\n"
                "pando dev --nodes 5 --data five --base-port 12379\n"
                "pando dev --app counter.wasm --allow-kv counter/\n",
    .run = run_dev,
};
