/* pando join: a new node becomes a member of a cluster, by a ticket. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/joiner.h"
#include "client/node_client.h"
#include "host/real.h"
#include "host/resolve.h"

#define WORDS_MAX 24
#define URL_MAX 160u
#define VARIABLE "PANDO_TICKET"

struct arguments {
    const char *ticket; /* its text, or "@FILE" */
    const char *folder;
    const char *name;
    const char *listen_peer;
    const char *listen_client; /* NULL: as `pando start` has it */
    uint64_t timeout_s;
    bool only_joins;
};

/* From here on it is a node like the others. */
static int become_node(const struct arguments *arguments)
{
    const char *words[WORDS_MAX] = {"pando", "start", "--data", arguments->folder};
    int count = 4;
    if (arguments->name != NULL) {
        words[count++] = "--name";
        words[count++] = arguments->name;
    }
    if (arguments->listen_peer != NULL) {
        words[count++] = "--listen-peer";
        words[count++] = arguments->listen_peer;
    }
    if (arguments->listen_client != NULL) {
        words[count++] = "--listen-client";
        words[count++] = arguments->listen_client;
    }
    (void)execv("/proc/self/exe", (char *const *)(uintptr_t)words);
    return pd_command_failed("cannot start the node: %s", strerror(errno));
}

static int run(const struct arguments *arguments)
{
    char url[URL_MAX];
    struct pd_real_host *real = NULL;
    bool has_url = arguments->listen_client != NULL && strcmp(arguments->listen_client, "off") != 0;
    if (pd_real_host_create(1, 4, &real) != PD_OK) {
        return pd_command_failed("cannot start: no memory or threads");
    }
    (void)snprintf(url, sizeof url, "http://%s", has_url ? arguments->listen_client : "");
    const struct pd_join_wish wish = {.ticket = arguments->ticket,
                                      .folder = arguments->folder,
                                      .name = arguments->name,
                                      .listen_peer = arguments->listen_peer,
                                      .client_url = has_url ? url : NULL,
                                      .timeout_s = arguments->timeout_s};
    int code = pd_join_by_ticket(pd_real_host_interface(real), &wish);
    pd_real_host_destroy(real);
    return code == PD_EXIT_CODE_OK && !arguments->only_joins ? become_node(arguments) : code;
}

static const char *take_peer(void *values, const char *value)
{
    struct arguments *arguments = values;
    char host[PD_RESOLVE_HOST_MAX];
    uint16_t port = 0;
    arguments->listen_peer = value;
    return pd_host_split_place(value, host, &port)
               ? NULL
               : "takes HOST:PORT, a name or an address in numbers";
}

static int run_join(int count, char **words)
{
    struct arguments arguments = {
        .folder = PD_NODE_FOLDER, .timeout_s = 60, .ticket = getenv(VARIABLE)};
    int code = PD_EXIT_CODE_OK;
    if (!pd_command_parse(&pd_command_join, &count, words, &arguments, &code)) {
        return code;
    }
    if (count == 1) {
        arguments.ticket = words[0];
    }
    return arguments.ticket == NULL || arguments.ticket[0] == '\0'
               ? pd_command_usage(&pd_command_join,
                                  "which ticket? `pando cluster ticket` at a member "
                                  "prints one")
               : run(&arguments);
}

static const struct pd_option options[] = {
    {.name = "--data",
     .kind = PD_OPTION_FOLDER,
     .value = "DIR",
     .text = "its folder, empty or missing (default: " PD_NODE_FOLDER ")",
     .offset = offsetof(struct arguments, folder)},
    {.name = "--name",
     .kind = PD_OPTION_TEXT,
     .value = "NAME",
     .text = "what the members call it",
     .offset = offsetof(struct arguments, name),
     .least = 1},
    {.name = "--listen-peer",
     .kind = PD_OPTION_TAKE,
     .value = "HOST:PORT",
     .text = "where other nodes reach it, UDP (default: a free port, if the members are on this "
             "machine)",
     .take = take_peer},
    {.name = "--listen-client",
     .kind = PD_OPTION_TEXT,
     .value = "ADDRESS:PORT",
     .text = "as `pando start` has it",
     .offset = offsetof(struct arguments, listen_client),
     .least = 1},
    {.name = "--timeout",
     .kind = PD_OPTION_SECONDS,
     .value = "TIME",
     .text = "ask the members for so long (default: 60s)",
     .offset = offsetof(struct arguments, timeout_s),
     .least = 1,
     .most = 86400},
    {.name = "--no-start",
     .text = "join only; `pando start --data DIR` runs it later",
     .offset = offsetof(struct arguments, only_joins)},
    {.name = NULL},
};

const struct pd_command pd_command_join = {
    .name = "join",
    .arguments = "[TICKET|@FILE]",
    .summary = "make a new node a member of a cluster, and run it",
    .help = "TICKET is the line that `pando cluster ticket` prints at a member; @FILE holds one;\n"
            "without either it is taken from " VARIABLE
            ". The new node learns first, and votes once it\n"
            "has caught up, while there are fewer than five voters. Joining again changes nothing: "
            "the\n"
            "node is started.\n",
    .options = options,
    .words_max = 1,
    .examples = "pando cluster ticket --data pando-dev/node-0 > ticket\n"
                "pando join @ticket --data fourth --name fourth --listen-client 127.0.0.1:2409\n",
    .run = run_join,
};
