/* pando dev: a cluster of real nodes on this machine, in one command. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cli/command.h"
#include "cli/dev_children.h"
#include "cli/dev_cluster.h"
#include "cli/dev_tls.h"
#include "cli/settings_read.h"
#include "cli/streams.h"
#include "host/real.h"

#define BASE_PORT 2379u
#define PATIENCE_MS 30000u /* for a node to make its store durable */
#define SECOND_NS 1e9
#define WORDS_MAX 16u
#define WORDS_BYTES ((size_t)512) /* of the words, and of what is told without a path */

struct arguments {
    const char *folder;
    uint64_t nodes; /* 0: as many as there are, or three */
    uint64_t base_port;
    const char *cert_file; /* so for those below: as of `pando start` */
    const char *key_file;
    const char *trusted_ca_file;
    bool client_cert_auth;
    const char *app_file; /* in the table alone: the nodes take it */
    char **app;           /* options of `pando start` for an application */
    uint32_t app_count;
};

/* What `pando start` is told for a node. */
struct words {
    char **list; /* ended by NULL */
    uint32_t count;
    char *text; /* of those that are made here */
    size_t size;
    size_t size_max;
};

struct dev {
    const struct arguments *arguments;
    struct pd_host *host;
    struct pd_dev_cluster cluster;
    struct pd_dev_children children;
    struct words words;          /* of a node, which the settings were read from */
    struct pd_settings settings; /* what it makes of them */
    struct pd_dev_tls tls;
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

static void print_endpoints(const struct dev *dev)
{
    const char *scheme = dev->tls.certificates == NULL ? "" : "https://"; /* etcdctl's default */
    for (uint32_t i = 0; i < dev->cluster.count; i++) {
        (void)printf("%s%s%s", i == 0 ? "" : ",", scheme, dev->cluster.nodes[i].client_address);
    }
}

/* As the nodes were told. */
static void print_retention(uint64_t ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"days", UINT64_C(86400000)}, {"hours", 3600000}, {"minutes", 60000}};
    if (ms == 0) {
        (void)printf("  retention  old revisions until somebody compacts them\n");
        return;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (ms % units[i].ms == 0 && ms > units[i].ms) {
            (void)printf("  retention  old revisions for %" PRIu64 " %s\n", ms / units[i].ms,
                         units[i].unit);
            return;
        }
    }
    (void)printf("  retention  old revisions for %" PRIu64 " seconds\n", ms / 1000);
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
        (void)printf("  %s     etcd API and HTTP %s://%s (TCP), nodes %s (UDP), pid %d\n",
                     node->name, pd_dev_tls_scheme(&dev->tls), node->client_address,
                     node->peer_address, (int)dev->children.children[i].pid);
    }
    (void)printf("  data       %s, kept for the next start; sockets %s/node-*/pando.sock\n",
                 dev->arguments->folder, dev->arguments->folder);
    pd_dev_tls_print(&dev->tls);
    print_retention(dev->settings.retention);
    (void)printf("\n"
                 "  try        pando kv put --data %s/node-0 greeting hello\n"
                 "             pando kv get --data %s/node-%" PRIu32 " greeting\n"
                 "             etcdctl --endpoints ",
                 dev->arguments->folder, dev->arguments->folder, cluster->count - 1);
    print_endpoints(dev);
    (void)printf(" ");
    pd_dev_tls_print_etcdctl(&dev->tls);
    (void)printf("get greeting\n\n  Ctrl-C ends all of it in order.\n\n");
    (void)fflush(stdout);
}

/* A node's first line when it serves, as text or, if it was told so behind --app, as JSON. */
static bool is_ready_line(const char *text)
{
    return strncmp(text, "ready: ", 7) == 0 ||
           (text[0] == '{' && strstr(text, "\"message\":\"ready: node ") != NULL);
}

/* A node's own banner says what this one does: it is passed over. */
static void on_line(void *state, uint32_t child, const char *text)
{
    struct dev *dev = state;
    bool is_ready = is_ready_line(text);
    dev->tells_ready[child] = is_ready || (dev->tells_ready[child] && text[0] == ' ');
    if (is_ready) {
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

static void free_words(struct words *words)
{
    pd_free(words->list);
    pd_free(words->text);
    *words = (struct words){0};
}

static void add_word(struct words *words, const char *name, const char *value)
{
    char *at = words->text + words->size;
    size_t room = words->size_max - words->size;
    int size = snprintf(at, room, "%s%s", name, value);
    pd_assert(size > 0 && (size_t)size < room);
    pd_assert(words->count < WORDS_MAX);
    words->list[words->count++] = at;
    words->size += (size_t)size + 1;
}

static size_t size_of(const char *path)
{
    return path == NULL ? 0 : strlen(path) + 1;
}

static void add_file(struct words *words, const char *name, const char *path)
{
    if (path != NULL) {
        add_word(words, name, path);
    }
}

/* Our own words come first, and before what the environment says: an application's own options may
 * change what they say. False: no memory. */
static bool make_words(const struct arguments *arguments, const struct pd_dev_node *node,
                       struct words *words)
{
    size_t size = WORDS_BYTES + size_of(node->folder) + size_of(node->socket) +
                  size_of(arguments->cert_file) + size_of(arguments->key_file) +
                  size_of(arguments->trusted_ca_file);
    *words = (struct words){
        .list = pd_alloc_zeroed(WORDS_MAX + arguments->app_count + 1, sizeof *words->list),
        .text = pd_alloc(size),
        .size_max = size};
    if (words->list == NULL || words->text == NULL) {
        free_words(words);
        return false;
    }
    add_word(words, "pando", "");
    add_word(words, "start", "");
    add_word(words, "--data=", node->folder);
    add_word(words, "--socket=", node->socket);
    add_word(words, "--name=", node->name);
    add_word(words, "--listen-client=", node->client_address);
    add_word(words, "--listen-peer=", node->peer_address);
    add_file(words, "--cert-file=", arguments->cert_file);
    add_file(words, "--key-file=", arguments->key_file);
    add_file(words, "--trusted-ca-file=", arguments->trusted_ca_file);
    if (arguments->client_cert_auth) {
        add_word(words, "--client-cert-auth", "");
    }
    add_word(words, "--log-format=text", ""); /* its lines are read here */
    add_word(words, "--quiet", "");
    add_word(words, "--stop-grace=0", ""); /* nobody balances load here */
    if (arguments->app_count > 0) {
        memcpy(words->list + words->count, arguments->app,
               arguments->app_count * sizeof *words->list);
        words->count += arguments->app_count;
    }
    return true;
}

static int start_nodes(struct dev *dev)
{
    for (uint32_t i = 0; i < dev->cluster.count; i++) {
        const struct pd_dev_node *node = &dev->cluster.nodes[i];
        struct words words;
        if (!make_words(dev->arguments, node, &words)) {
            return pd_command_failed("no memory");
        }
        enum pd_status status = pd_dev_children_start(&dev->children, words.list);
        free_words(&words);
        if (status != PD_OK) {
            return pd_command_failed("cannot start %s: %s", node->name, strerror(errno));
        }
    }
    return PD_EXIT_CODE_OK;
}

static int run_nodes(struct dev *dev)
{
    int code = start_nodes(dev);
    if (code == PD_EXIT_CODE_OK && pd_dev_tls_start(&dev->tls) != PD_OK) {
        code = pd_command_failed("no thread to look at the certificates");
    }
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

/* What a node would say of its options is said here, once and before anything is started; where
 * options, the environment and a file say the same thing, they count as they do for the node. */
static int read_settings(struct dev *dev, bool *is_done_out)
{
    static struct pd_dev_node any = {.name = "node-0",
                                     .folder = "node-0",
                                     .socket = "node-0/pando.sock",
                                     .client_address = "127.0.0.1:1",
                                     .peer_address = "127.0.0.1:1"};
    const struct pd_command *command =
        dev->arguments->app_count > 0 ? &pd_command_start : &pd_command_dev;
    if (!make_words(dev->arguments, &any, &dev->words) ||
        pd_settings_init(&dev->settings) != PD_OK) {
        return pd_command_failed("no memory");
    }
    return pd_settings_read(command, NULL, (int)dev->words.count - 2, dev->words.list + 2,
                            &dev->settings, is_done_out);
}

static int run_cluster(struct dev *dev)
{
    const struct arguments *arguments = dev->arguments;
    char text[PD_DEV_TEXT_MAX];
    struct pd_real_host *real = NULL;
    if (pd_dev_children_init(&dev->children) != PD_OK) {
        return pd_command_failed("cannot take over signals: %s", strerror(errno));
    }
    if (pd_real_host_create(1, 4, &real) != PD_OK) {
        return pd_command_failed("cannot start: no memory or threads");
    }
    dev->host = pd_real_host_interface(real);
    dev->begun_ns = pd_host_now_ns(dev->host);
    (void)signal(SIGPIPE, SIG_IGN);
    pd_streams_print_without_waiting(); /* nodes end, and signals come, meanwhile */
    int code = PD_EXIT_CODE_OK;
    if (pd_dev_tls_open(dev->host, &dev->settings, text, &dev->tls) != PD_OK ||
        pd_dev_cluster_open(dev->host, arguments->folder, (uint32_t)arguments->nodes,
                            (uint16_t)arguments->base_port, pd_dev_tls_scheme(&dev->tls), text,
                            &dev->cluster) != PD_OK) {
        code = pd_command_failed("%s", text);
    } else {
        code = run_nodes(dev);
    }
    pd_dev_tls_close(&dev->tls);
    pd_dev_cluster_close(&dev->cluster);
    pd_real_host_destroy(real);
    return code;
}

static int dev_main(const struct arguments *arguments)
{
    static struct dev dev; /* too large for a frame */
    bool is_done = false;
    dev = (struct dev){.arguments = arguments};
    dev.children = (struct pd_dev_children){.line = on_line, .ended = on_ended, .state = &dev};
    int code = read_settings(&dev, &is_done);
    if (code == PD_EXIT_CODE_OK && !is_done) {
        code = run_cluster(&dev);
    }
    pd_settings_deinit(&dev.settings);
    free_words(&dev.words);
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
    struct arguments arguments = {.folder = PD_DEV_FOLDER, .base_port = BASE_PORT};
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
     .text = "the folder (default: " PD_DEV_FOLDER ")",
     .offset = offsetof(struct arguments, folder)},
    {.name = "--base-port",
     .kind = PD_OPTION_NUMBER,
     .value = "P",
     .text = "the first port (default: 2379)",
     .offset = offsetof(struct arguments, base_port),
     .least = 1,
     .most = UINT16_MAX - PD_DEV_PORT_STEP * PD_DEV_NODES_MAX},
    {.name = "--cert-file",
     .kind = PD_OPTION_FILE,
     .value = "FILE",
     .text = "speak TLS with clients: the certificate, PEM; read again when it changes",
     .offset = offsetof(struct arguments, cert_file)},
    {.name = "--key-file",
     .kind = PD_OPTION_FILE,
     .value = "FILE",
     .text = "the key of --cert-file, PEM; read again when it changes",
     .offset = offsetof(struct arguments, key_file)},
    {.name = "--trusted-ca-file",
     .kind = PD_OPTION_FILE,
     .value = "FILE",
     .text = "let only clients in whose certificate one of these has signed, PEM",
     .offset = offsetof(struct arguments, trusted_ca_file)},
    {.name = "--client-cert-auth",
     .kind = PD_OPTION_FLAG,
     .text = "the same, in etcd's words: needs --trusted-ca-file",
     .offset = offsetof(struct arguments, client_cert_auth)},
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
                "pando dev --cert-file server.pem --key-file server.key\n"
                "pando dev --app counter.wasm --allow-kv counter/\n",
    .run = run_dev,
};
