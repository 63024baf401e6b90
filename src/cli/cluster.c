/* pando cluster: who belongs to a cluster, and who leads it. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cluster_backup.h"
#include "cli/cluster_doctor.h"
#include "cli/cluster_members.h"
#include "cli/cluster_ticket.h"
#include "cli/command.h"
#include "cli/node_client.h"
#include "cli/options.h"
#include "node/json_fields.h"

#define TIMEOUT_S 10
#define VALID_S UINT64_C(86400)
#define ID_TEXT 17

struct arguments {
    const char *folder;
    const char *socket;
    const char *node; /* or a file; NULL: none was named */
    uint64_t timeout_s;
    uint64_t valid_s; /* of a ticket */
    uint64_t bump;    /* 0: as shipped */
    bool is_forced;
    bool is_json;
};

struct verb {
    const char *name;
    bool takes_node;
    bool needs_node;
    bool takes_file; /* in its place */
    int (*run)(const struct arguments *arguments, struct pd_node_client *client);
};

static void print_json(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    (void)printf("%s\n", text == NULL ? "{}" : text);
    free(text);
    json_decref(object);
}

/* -- Looking ----------------------------------------------------------------------------------- */

static json_t *member_json(const struct pd_cluster_members *members,
                           const struct pd_members_item *item)
{
    char id[ID_TEXT];
    const struct pd_kv_member *member = &item->member;
    (void)snprintf(id, sizeof id, "%016" PRIx64, member->node);
    return json_pack("{s:s, s:o, s:s, s:o, s:o}", "node", id, "name",
                     json_stringn((const char *)member->name.bytes, member->name.size), "standing",
                     pd_cluster_standing_text(members, item), "peers",
                     pd_json_texts(member->peers, member->peer_count), "clients",
                     pd_json_texts(member->clients, member->client_count));
}

static json_t *members_json(const struct pd_cluster_members *members)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < members->count; i++) {
        (void)json_array_append_new(list, member_json(members, &members->items[i]));
    }
    return list;
}

static void print_texts(const struct pd_span *texts, uint32_t count, int width)
{
    int printed = 0;
    for (uint32_t i = 0; i < count; i++) {
        printed +=
            printf("%s%.*s", i == 0 ? "" : ",", (int)texts[i].size, (const char *)texts[i].bytes);
    }
    (void)printf("%*s", printed < width ? width - printed : 0, "");
}

static void print_members(const struct pd_cluster_members *members)
{
    (void)printf("%-16s  %-10s  %-13s  %-21s  %s\n", "NODE", "NAME", "STANDING", "PEERS",
                 "CLIENTS");
    for (uint32_t i = 0; i < members->count; i++) {
        const struct pd_members_item *item = &members->items[i];
        const struct pd_kv_member *member = &item->member;
        (void)printf("%016" PRIx64 "  %-10.*s  %-13s  ", member->node, (int)member->name.size,
                     member->name.size > 0 ? (const char *)member->name.bytes : "",
                     pd_cluster_standing_text(members, item));
        print_texts(member->peers, member->peer_count, 21);
        (void)printf("  ");
        print_texts(member->clients, member->client_count, 0);
        (void)printf("\n");
    }
}

static int run_members(const struct arguments *arguments, struct pd_node_client *client)
{
    static struct pd_cluster_members members; /* too large for a frame */
    if (pd_cluster_members_read(client, &members) != PD_OK) {
        return pd_command_failed("%s", client->text);
    }
    if (arguments->is_json) {
        print_json(members_json(&members));
    } else {
        print_members(&members);
    }
    pd_cluster_members_free(&members);
    return PD_EXIT_CODE_OK;
}

/* What the node says of itself; NULL: client->text says why not. */
static json_t *read_status(struct pd_node_client *client)
{
    const struct pd_replica_request_head request = {.kind = PD_REPLICA_REQUEST_STATUS};
    struct pd_replica_answer_head answer;
    if (pd_node_client_call(client, &request, &answer) != PD_OK) {
        return NULL;
    }
    json_t *status = json_loadb((const char *)answer.body.bytes, answer.body.size, 0, NULL);
    if (status == NULL) {
        (void)snprintf(client->text, sizeof client->text, "%s",
                       pd_replica_outcome_text(answer.outcome));
    }
    return status;
}

static const char *text_of(const json_t *status, const char *key)
{
    const char *text = json_string_value(json_object_get(status, key));
    return text == NULL ? "?" : text;
}

static int64_t number_of(const json_t *status, const char *key)
{
    return json_integer_value(json_object_get(status, key));
}

static uint32_t voters_of(const struct pd_cluster_members *members)
{
    uint32_t voters = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        voters += members->items[i].standing == PD_MEMBERS_VOTER;
    }
    return voters;
}

static int run_status(const struct arguments *arguments, struct pd_node_client *client)
{
    static struct pd_cluster_members members;
    json_t *status = read_status(client);
    if (status == NULL) {
        return pd_command_failed("%s", client->text);
    }
    if (pd_cluster_members_read(client, &members) != PD_OK) {
        int code = pd_command_failed(
            "this node is a %s of cluster %s and runs (%s), but the cluster does not answer: %s. "
            "Without a majority of its voters it cannot; start those that are down",
            text_of(status, "role"), text_of(status, "cluster"), text_of(status, "phase"),
            client->text);
        json_decref(status);
        return code;
    }
    uint32_t voters = voters_of(&members);
    if (arguments->is_json) {
        json_object_set_new(status, "members", members_json(&members));
        print_json(status);
    } else {
        (void)printf("cluster     %s\nleader      %016" PRIx64 ", term %" PRId64 "\n"
                     "revision    %" PRId64 ", %" PRId64 " keys\n"
                     "tolerates   %" PRIu32 " of %" PRIu32 " voters down%s\n\n",
                     text_of(status, "cluster"), members.leader, number_of(status, "term"),
                     number_of(status, "revision"), number_of(status, "keys"),
                     voters == 0 ? 0 : (voters - 1) / 2, voters,
                     voters % 2 == 0 ? " (an even number tolerates no more than one less would)"
                                     : "");
        print_members(&members);
        json_decref(status);
    }
    pd_cluster_members_free(&members);
    return PD_EXIT_CODE_OK;
}

/* -- Changing ---------------------------------------------------------------------------------- */

/* The member that was named, of members that were just read. NULL: told, *code_out. */
static const struct pd_members_item *find_named(const struct arguments *arguments,
                                                const struct pd_cluster_members *members,
                                                int *code_out)
{
    bool is_ambiguous = false;
    const struct pd_members_item *item =
        pd_cluster_members_find(members, arguments->node, &is_ambiguous);
    if (item == NULL) {
        *code_out = is_ambiguous
                        ? pd_command_failed("several members are called '%s': name it by its id, "
                                            "as `pando cluster members` shows it",
                                            arguments->node)
                        : pd_command_failed("no member is called '%s', and none has that id: "
                                            "`pando cluster members` shows them",
                                            arguments->node);
    }
    return item;
}

/* PD_OK, or client->text says why not. */
static enum pd_status change(struct pd_node_client *client, enum pd_replica_request_kind kind,
                             uint64_t node)
{
    const struct pd_replica_request_head request = {.kind = kind, .number = node};
    struct pd_replica_answer_head answer;
    enum pd_status status = pd_node_client_call(client, &request, &answer);
    if (status != PD_OK || answer.outcome == PD_REPLICA_OK) {
        return status;
    }
    int size = answer.body.size < 256 ? (int)answer.body.size : 256;
    (void)snprintf(client->text, sizeof client->text, "%.*s", size,
                   size > 0 ? (const char *)answer.body.bytes
                            : pd_replica_outcome_text(answer.outcome));
    return PD_ERR_DENIED;
}

static enum pd_status forget(struct pd_node_client *client, uint64_t node)
{
    uint8_t room[64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_answer_head head;
    struct pd_kv_reader reader;
    pd_kv_command_encode(&writer,
                         &(struct pd_kv_command){.kind = PD_KV_MEMBER_REMOVE, .id = (int64_t)node});
    return pd_node_client_write(client, (struct pd_span){room, writer.size}, &head, &reader);
}

/* Out of the configuration first, out of the directory then: each is done once, and asking again
 * goes on with what is left. */
static int run_remove(const struct arguments *arguments, struct pd_node_client *client)
{
    static struct pd_cluster_members members;
    int code = PD_EXIT_CODE_OK;
    if (pd_cluster_members_read(client, &members) != PD_OK) {
        return pd_command_failed("%s", client->text);
    }
    const struct pd_members_item *item = find_named(arguments, &members, &code);
    enum pd_status status = PD_OK;
    if (item != NULL && item->standing != PD_MEMBERS_NONE) {
        status = change(client, PD_REPLICA_REQUEST_REMOVE, item->member.node);
    }
    if (item != NULL && status == PD_OK && item->is_listed) {
        status = forget(client, item->member.node);
    }
    if (status != PD_OK) {
        code = pd_command_failed("%s", client->text);
    } else if (item != NULL) {
        (void)printf("removed %016" PRIx64 " for good: it comes back with an empty folder only, as "
                     "a new node\n",
                     item->member.node);
    }
    pd_cluster_members_free(&members);
    return code;
}

static int run_promote(const struct arguments *arguments, struct pd_node_client *client)
{
    static struct pd_cluster_members members;
    int code = PD_EXIT_CODE_OK;
    if (pd_cluster_members_read(client, &members) != PD_OK) {
        return pd_command_failed("%s", client->text);
    }
    const struct pd_members_item *item = find_named(arguments, &members, &code);
    if (item != NULL && item->standing == PD_MEMBERS_VOTER) {
        (void)printf("%016" PRIx64 " votes already\n", item->member.node);
    } else if (item != NULL &&
               change(client, PD_REPLICA_REQUEST_PROMOTE, item->member.node) != PD_OK) {
        code = pd_command_failed("%s", client->text);
    } else if (item != NULL) {
        (void)printf("%016" PRIx64 " is a voter now\n", item->member.node);
    }
    pd_cluster_members_free(&members);
    return code;
}

static int run_transfer(const struct arguments *arguments, struct pd_node_client *client)
{
    static struct pd_cluster_members members;
    int code = PD_EXIT_CODE_OK;
    uint64_t node = 0; /* to whom is best prepared */
    if (pd_cluster_members_read(client, &members) != PD_OK) {
        return pd_command_failed("%s", client->text);
    }
    if (arguments->node != NULL) {
        const struct pd_members_item *item = find_named(arguments, &members, &code);
        node = item == NULL ? 0 : item->member.node;
    }
    if (code == PD_EXIT_CODE_OK && node != 0 && node == members.leader) {
        (void)printf("%016" PRIx64 " leads already\n", node);
    } else if (code == PD_EXIT_CODE_OK &&
               change(client, PD_REPLICA_REQUEST_TRANSFER, node) != PD_OK) {
        code = pd_command_failed("%s", client->text);
    } else if (code == PD_EXIT_CODE_OK && node == 0) {
        (void)printf("the lead was handed over; `pando cluster status` tells who has it\n");
    } else if (code == PD_EXIT_CODE_OK) {
        (void)printf("%016" PRIx64 " leads now\n", node);
    }
    pd_cluster_members_free(&members);
    return code;
}

static int run_ticket(const struct arguments *arguments, struct pd_node_client *client)
{
    return pd_cluster_ticket(arguments->folder, arguments->valid_s, client);
}

static int run_doctor(const struct arguments *arguments, struct pd_node_client *client)
{
    return pd_cluster_doctor(arguments->folder, client);
}

/* -- Backup ------------------------------------------------------------------------------------ */

static struct pd_cluster_backup backup_of(const struct arguments *arguments)
{
    return (struct pd_cluster_backup){.folder = arguments->folder,
                                      .file = arguments->node,
                                      .is_forced = arguments->is_forced,
                                      .is_json = arguments->is_json,
                                      .bump = arguments->bump};
}

static int run_snapshot(const struct arguments *arguments, struct pd_node_client *client)
{
    const struct pd_cluster_backup backup = backup_of(arguments);
    return pd_cluster_snapshot(&backup, client);
}

static int run_restore(const struct arguments *arguments, struct pd_node_client *client)
{
    const struct pd_cluster_backup backup = backup_of(arguments);
    (void)client;
    return pd_cluster_restore(&backup);
}

static int run_recover(const struct arguments *arguments, struct pd_node_client *client)
{
    const struct pd_cluster_backup backup = backup_of(arguments);
    (void)client;
    return pd_cluster_recover(&backup);
}

/* -- Words ------------------------------------------------------------------------------------- */

static const struct verb verbs[] = {
    {.name = "status", .run = run_status},
    {.name = "members", .run = run_members},
    {.name = "remove", .takes_node = true, .needs_node = true, .run = run_remove},
    {.name = "promote", .takes_node = true, .needs_node = true, .run = run_promote},
    {.name = "transfer", .takes_node = true, .run = run_transfer},
    {.name = "ticket", .run = run_ticket},
    {.name = "doctor", .run = run_doctor},
    {.name = "snapshot",
     .takes_node = true,
     .needs_node = true,
     .takes_file = true,
     .run = run_snapshot},
    {.name = "restore",
     .takes_node = true,
     .needs_node = true,
     .takes_file = true,
     .run = run_restore},
    {.name = "recover", .run = run_recover},
};

static const struct verb *find_verb(const char *word)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(verbs[i].name, word) == 0) {
            return &verbs[i];
        }
    }
    return NULL;
}

/* "90s", "30m", "24h", "7d" in seconds. */
static bool read_duration(const char *text, uint64_t *seconds_out)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char number[16];
    size_t size = text == NULL ? 0 : strlen(text);
    if (size < 2 || size > sizeof number) {
        return false;
    }
    memcpy(number, text, size - 1);
    number[size - 1] = '\0';
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (text[size - 1] == units[i].unit && pd_option_number(number, seconds_out) &&
            *seconds_out > 0 && *seconds_out <= 3650u * UINT64_C(86400) / units[i].seconds) {
            *seconds_out *= units[i].seconds;
            return true;
        }
    }
    return false;
}

/* False: the word at the cursor is no option. */
static bool take_option(struct arguments *arguments, struct pd_option_cursor *cursor, int *code_out)
{
    const char *value = NULL;
    const char *wrong = NULL;
    if (pd_option_node(cursor, &arguments->folder, &arguments->socket, &wrong) ||
        pd_option_timeout(cursor, &arguments->timeout_s, &wrong)) {
        if (wrong != NULL) {
            *code_out = pd_command_usage(&pd_command_cluster, "%s", wrong);
        }
    } else if (pd_option_value(cursor, "--expires", &value)) {
        if (!read_duration(value, &arguments->valid_s)) {
            *code_out =
                pd_command_usage(&pd_command_cluster, "--expires takes 90s, 30m, 24h or 7d");
        }
    } else if (pd_option_flag(cursor, "--force")) {
        arguments->is_forced = true;
    } else if (pd_option_value(cursor, "--bump-revision", &value)) {
        if (value == NULL || !pd_option_number(value, &arguments->bump) || arguments->bump == 0) {
            *code_out = pd_command_usage(&pd_command_cluster,
                                         "--bump-revision takes a number, as 1000000000");
        }
    } else if (pd_option_value(cursor, "-o", &value) ||
               pd_option_value(cursor, "--output", &value)) {
        arguments->is_json = value != NULL && strcmp(value, "json") == 0;
        if (value == NULL || (!arguments->is_json && strcmp(value, "table") != 0)) {
            *code_out = pd_command_usage(&pd_command_cluster, "-o takes table or json");
        }
    } else {
        return false;
    }
    return true;
}

static int run_verb(const struct verb *verb, const struct arguments *arguments)
{
    static struct pd_node_client client;
    char path[PD_NODE_PATH_MAX];
    if (!pd_node_socket_path(arguments->folder, arguments->socket, path)) {
        return pd_command_failed("the path of the socket is too long");
    }
    pd_node_client_init(&client, path, arguments->timeout_s * 1000);
    int code = verb->run(arguments, &client);
    pd_node_client_deinit(&client);
    return code;
}

static int run_cluster(int count, char **words)
{
    struct arguments arguments = {
        .folder = PD_NODE_FOLDER, .timeout_s = TIMEOUT_S, .valid_s = VALID_S};
    struct pd_option_cursor cursor = {.count = count, .arguments = words};
    const struct verb *verb = NULL;
    int code = PD_EXIT_CODE_OK;
    while (cursor.at < count && code == PD_EXIT_CODE_OK) {
        const char *word = words[cursor.at];
        if (take_option(&arguments, &cursor, &code)) {
            continue;
        }
        if (word[0] == '-') {
            return pd_command_usage(&pd_command_cluster, "no such option: '%s'", word);
        }
        if (verb == NULL) {
            verb = find_verb(word);
            if (verb == NULL) {
                return pd_command_usage(&pd_command_cluster, "no such command: '%s'", word);
            }
        } else if (verb->takes_node && arguments.node == NULL) {
            arguments.node = word;
        } else {
            return pd_command_usage(&pd_command_cluster, "one word too many: '%s'", word);
        }
        cursor.at++;
    }
    if (code != PD_EXIT_CODE_OK) {
        return code;
    }
    if (verb == NULL) {
        return pd_command_usage(&pd_command_cluster, "which of its commands?");
    }
    return verb->needs_node && arguments.node == NULL
               ? pd_command_usage(&pd_command_cluster,
                                  verb->takes_file ? "which file?" : "which node?")
               : run_verb(verb, &arguments);
}

const struct pd_command pd_command_cluster = {
    .name = "cluster",
    .arguments = "status | members | remove NODE | promote NODE | transfer [NODE] | ticket | "
                 "doctor | snapshot FILE | restore FILE | recover [OPTION...]",
    .summary = "who belongs to a cluster, and who leads it",
    .help =
        "Asks any running node of the cluster. NODE is a member's name, or its id.\n"
        "\n"
        "  status           who leads, how many may fail, and the members\n"
        "  members          the members alone\n"
        "  remove NODE      for good: it cannot come back under its old identity\n"
        "  promote NODE     a learner that has caught up becomes a voter\n"
        "  transfer [NODE]  hand over the lead, to NODE or to who is best prepared\n"
        "  ticket           a line with which a new node joins (`pando join`): a secret\n"
        "  doctor           look at disk, network, clock and limits of this machine: what could\n"
        "                   keep the node from serving well, and what to do; exit code 1 if wrong\n"
        "\n"
        "  snapshot FILE    save all that a node has applied, as `etcdctl snapshot save` does\n"
        "  restore FILE     make DIR, which must be empty, a new cluster of one node with that\n"
        "                   state. No node runs meanwhile. Keys with a lease are not in it, and\n"
        "                   every watch begins anew\n"
        "  recover          the majority is lost for ever: the node in DIR, which must not run,\n"
        "                   becomes a new cluster of one node with all that its log holds\n"
        "\n"
        "  -o FORMAT        table (default) or json\n"
        "  --force          snapshot: replace FILE\n"
        "  --bump-revision N  restore, recover: how far beyond the old revision the new cluster\n"
        "                   begins (default: 1000000000000)\n"
        "  --expires TIME   of a ticket: 90s, 30m, 24h (default), 7d\n"
        "  --timeout S      give up after that many seconds (default: 10)\n"
        "  --data DIR       the node's folder (default: " PD_NODE_FOLDER ")\n"
        "  --socket PATH    its socket (default: DIR/pando.sock)\n"
        "\n"
        "Examples:\n"
        "  pando cluster status --data pando-dev/node-0\n"
        "  pando cluster remove node-2 --data pando-dev/node-0\n"
        "  pando cluster transfer --data pando-dev/node-1\n"
        "  pando cluster ticket --expires 1h --data pando-dev/node-0\n"
        "  pando cluster snapshot monday.db --data pando-dev/node-0\n"
        "  pando cluster restore monday.db --data fresh && pando start --data fresh\n",
    .run = run_cluster,
};
