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
#include "cli/store_text.h"
#include "node/json_fields.h"

#define VALID_S UINT64_C(86400)
#define ID_TEXT 17
#define ROLE_WORKER 1u
#define LEAVE_TRIES 5u

struct arguments {
    struct pd_node_options options;
    const char *node; /* or a file; NULL: none was named */
    uint64_t valid_s; /* of a ticket */
    uint32_t role;    /* of it: ROLE_WORKER */
    uint64_t bump;    /* 0: as shipped */
    const char *name; /* of the node that is restored; as of pd_cluster_backup, with the next two */
    const char *listen_peer;
    uint64_t log_segment;
    bool is_forced;
    uint32_t output;
};

static bool is_json(const struct arguments *arguments)
{
    return arguments->output == PD_OUTPUT_JSON;
}

/* -- Looking ----------------------------------------------------------------------------------- */

/* Whether the leader hears a member; null: nobody says. */
static void add_heard(json_t *object, const struct pd_cluster_members *members, uint32_t at)
{
    const struct pd_members_heard *heard = &members->heard[at];
    bool is_known = members->is_heard_known && heard->node != 0;
    const char *state = heard->answers ? heard->is_behind ? "behind" : "up" : "down";
    (void)json_object_set_new(object, "state", is_known ? json_string(state) : json_null());
    (void)json_object_set_new(object, "silent_ms",
                              is_known ? json_integer((json_int_t)heard->silent_ms) : json_null());
    (void)json_object_set_new(object, "behind_entries",
                              is_known ? json_integer((json_int_t)heard->behind_entries)
                                       : json_null());
}

static json_t *member_json(const struct pd_cluster_members *members,
                           const struct pd_members_item *item)
{
    char id[ID_TEXT];
    const struct pd_kv_member *member = &item->member;
    (void)snprintf(id, sizeof id, "%016" PRIx64, member->node);
    return json_pack("{s:s, s:o, s:s, s:o, s:o, s:o, s:o}", "node", id, "name",
                     json_stringn((const char *)member->name.bytes, member->name.size), "standing",
                     pd_cluster_standing_text(members, item), "peers",
                     pd_json_texts(member->peers, member->peer_count), "clients",
                     pd_json_texts(member->clients, member->client_count), "program",
                     member->version == 0
                         ? json_null()
                         : json_stringn((const char *)member->program.bytes, member->program.size),
                     "version_limit",
                     member->version == 0 ? json_null() : json_integer(member->version));
}

static json_t *members_json(const struct pd_cluster_members *members)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < members->count; i++) {
        json_t *member = member_json(members, &members->items[i]);
        add_heard(member, members, i);
        (void)json_array_append_new(list, member);
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
    (void)printf("%-16s  %-10s  %-13s  %-10s  %-21s  %-28s  %s\n", "NODE", "NAME", "STANDING",
                 "STATE", "PEERS", "CLIENTS", "PROGRAM");
    for (uint32_t i = 0; i < members->count; i++) {
        const struct pd_members_item *item = &members->items[i];
        const struct pd_kv_member *member = &item->member;
        char state[PD_CLUSTER_HEARD_TEXT_MAX];
        (void)printf(
            "%016" PRIx64 "  %-10.*s  %-13s  %-10s  ", member->node, (int)member->name.size,
            member->name.size > 0 ? (const char *)member->name.bytes : "",
            pd_cluster_standing_text(members, item), pd_cluster_heard_text(members, i, state));
        print_texts(member->peers, member->peer_count, 21);
        (void)printf("  ");
        print_texts(member->clients, member->client_count, 28);
        (void)printf("  %.*s\n", (int)member->program.size,
                     member->program.size > 0 ? (const char *)member->program.bytes : "");
    }
}

static int run_members(const struct arguments *arguments, struct pd_node_client *client)
{
    static struct pd_cluster_members members; /* too large for a frame */
    if (pd_cluster_members_read(client, &members) != PD_OK) {
        return pd_command_failed("%s", client->text);
    }
    pd_cluster_heard_read(client, &members);
    if (is_json(arguments)) {
        pd_store_print_json(members_json(&members));
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

/* 0: it does not say, or not in digits that this program knows. */
static uint64_t node_of(const json_t *status)
{
    const json_t *node = json_object_get(status, "node");
    uint64_t id = 0;
    if (json_is_integer(node)) { /* as former programs wrote it */
        return (uint64_t)json_integer_value(node);
    }
    return pd_json_hex(status, "node", &id) ? id : 0;
}

static void print_tolerates(const struct pd_cluster_members *members)
{
    char lacking[PD_CLUSTER_LACKING_TEXT_MAX];
    const struct pd_cluster_voters voters = pd_cluster_voters_of(members);
    pd_cluster_lacking_text(&voters, lacking);
    (void)printf("tolerates   ");
    if (lacking[0] != '\0') {
        (void)printf("%" PRIu32 " more%s%s\n\n", voters.may_fail, lacking,
                     voters.may_fail > 0 ? ""
                                         : ": stop no other one, or nothing is served any more");
        return;
    }
    (void)printf("%" PRIu32 " of %" PRIu32 " voters down%s%s\n\n", voters.may_fail, voters.count,
                 voters.count % 2 == 0 ? " (an even number tolerates no more than one less would)"
                                       : "",
                 members->is_heard_known ? ""
                                         : "; whether one is down now, nobody says: the leader "
                                           "or this node runs an older program, or is busy");
}

/* null: not known. */
static void add_voters(json_t *status, const struct pd_cluster_members *members)
{
    const struct pd_cluster_voters voters = pd_cluster_voters_of(members);
    bool is_known = members->is_heard_known;
    json_object_set_new(status, "voters_down",
                        is_known ? json_integer((json_int_t)voters.down) : json_null());
    json_object_set_new(status, "voters_behind",
                        is_known ? json_integer((json_int_t)voters.behind) : json_null());
    json_object_set_new(status, "tolerates_more",
                        is_known ? json_integer((json_int_t)voters.may_fail) : json_null());
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
    pd_cluster_heard_read(client, &members);
    if (is_json(arguments)) {
        add_voters(status, &members);
        json_object_set_new(status, "members", members_json(&members));
        pd_store_print_json(status);
    } else {
        (void)printf("cluster     %s\nversion     %" PRId64 "; this node can follow %" PRId64 "\n"
                     "leader      %016" PRIx64 ", term %" PRId64 "\n"
                     "revision    %" PRId64 ", %" PRId64 " keys\n",
                     text_of(status, "cluster"), number_of(status, "cluster_version"),
                     number_of(status, "version_limit"), members.leader, number_of(status, "term"),
                     number_of(status, "revision"), number_of(status, "keys"));
        print_tolerates(&members);
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

static bool is_leader(const json_t *status)
{
    return status != NULL && strcmp(text_of(status, "role"), "leader") == 0;
}

/* The node that is asked leaves itself: in one request, since the second step cuts it off. Who
 * leads hands over the lead first, as often as it comes back. */
static enum pd_status leave(struct pd_node_client *client, uint64_t node, bool leads)
{
    enum pd_status status = PD_ERR_DENIED;
    for (uint32_t i = 0; i < LEAVE_TRIES && status != PD_OK; i++) {
        if (leads && change(client, PD_REPLICA_REQUEST_TRANSFER, 0) != PD_OK) {
            return PD_ERR_DENIED;
        }
        status = change(client, PD_REPLICA_REQUEST_LEAVE, node);
        if (status != PD_OK) {
            char why[sizeof client->text];
            memcpy(why, client->text, sizeof why);
            json_t *told = read_status(client);
            leads = is_leader(told);
            json_decref(told);
            memcpy(client->text, why, sizeof why);
        }
        if (!leads) {
            break;
        }
    }
    return status;
}

/* Whether the node that answers is `node`, and whether it leads. false: client->text says why that
 * is not known. */
static bool look_at_self(struct pd_node_client *client, uint64_t node, bool *is_self_out,
                         bool *leads_out)
{
    json_t *status = read_status(client);
    *is_self_out = status != NULL && node_of(status) == node;
    *leads_out = is_leader(status);
    json_decref(status);
    return status != NULL;
}

/* PD_OK, or client->text says why not. */
static enum pd_status remove_member(struct pd_node_client *client,
                                    const struct pd_members_item *item)
{
    uint64_t node = item->member.node;
    bool is_self = false;
    bool leads = false;
    if (!look_at_self(client, node, &is_self, &leads)) {
        return PD_ERR_DENIED;
    }
    if (is_self) {
        return leave(client, node, leads);
    }
    enum pd_status status = PD_OK;
    if (item->standing != PD_MEMBERS_NONE) {
        status = change(client, PD_REPLICA_REQUEST_REMOVE, node);
    }
    return status == PD_OK && item->is_listed ? forget(client, node) : status;
}

/* What a change did, for programs. `key`: what `node` is now. Not changed: it was so before. */
static void print_change(const char *key, uint64_t node, bool is_changed)
{
    char id[ID_TEXT];
    (void)snprintf(id, sizeof id, "%016" PRIx64, node);
    pd_store_print_json(json_pack("{s:s, s:b}", key, id, "changed", is_changed ? 1 : 0));
}

static void print_removed(const struct arguments *arguments, uint64_t node)
{
    if (is_json(arguments)) {
        print_change("removed", node, true);
    } else {
        (void)printf("removed %016" PRIx64 " for good: it comes back with an empty folder only, as "
                     "a new node\n",
                     node);
    }
}

static void print_promoted(const struct arguments *arguments, uint64_t node, bool is_changed)
{
    if (is_json(arguments)) {
        print_change("voter", node, is_changed);
    } else {
        (void)printf(is_changed ? "%016" PRIx64 " is a voter now\n"
                                : "%016" PRIx64 " votes already\n",
                     node);
    }
}

/* node 0: it went to whoever was best prepared. */
static void print_transferred(const struct arguments *arguments, uint64_t node, bool is_changed)
{
    if (is_json(arguments) && node != 0) {
        print_change("leader", node, is_changed);
    } else if (is_json(arguments)) {
        pd_store_print_json(json_pack("{s:n, s:b}", "leader", "changed", 1));
    } else if (node == 0) {
        (void)printf("the lead was handed over; `pando cluster status` tells who has it\n");
    } else {
        (void)printf(is_changed ? "%016" PRIx64 " leads now\n" : "%016" PRIx64 " leads already\n",
                     node);
    }
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
    if (item != NULL && remove_member(client, item) != PD_OK) {
        code = pd_command_failed("%s", client->text);
    } else if (item != NULL) {
        print_removed(arguments, item->member.node);
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
        print_promoted(arguments, item->member.node, false);
    } else if (item != NULL &&
               change(client, PD_REPLICA_REQUEST_PROMOTE, item->member.node) != PD_OK) {
        code = pd_command_failed("%s", client->text);
    } else if (item != NULL) {
        print_promoted(arguments, item->member.node, true);
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
        print_transferred(arguments, node, false);
    } else if (code == PD_EXIT_CODE_OK &&
               change(client, PD_REPLICA_REQUEST_TRANSFER, node) != PD_OK) {
        code = pd_command_failed("%s", client->text);
    } else if (code == PD_EXIT_CODE_OK) {
        print_transferred(arguments, node, true);
    }
    pd_cluster_members_free(&members);
    return code;
}

static int run_ticket(const struct arguments *arguments, struct pd_node_client *client)
{
    const struct pd_cluster_ticket_wish wish = {.folder = arguments->options.folder,
                                                .valid_s = arguments->valid_s,
                                                .is_for_workers = arguments->role == ROLE_WORKER,
                                                .is_json = is_json(arguments)};
    return pd_cluster_ticket(&wish, client);
}

static int run_doctor(const struct arguments *arguments, struct pd_node_client *client)
{
    return pd_cluster_doctor(arguments->options.folder, is_json(arguments), client);
}

/* -- Backup ------------------------------------------------------------------------------------ */

static struct pd_cluster_backup backup_of(const struct arguments *arguments)
{
    return (struct pd_cluster_backup){.folder = arguments->options.folder,
                                      .file = arguments->node,
                                      .is_forced = arguments->is_forced,
                                      .is_json = is_json(arguments),
                                      .bump = arguments->bump,
                                      .name = arguments->name,
                                      .listen_peer = arguments->listen_peer,
                                      .log_segment = arguments->log_segment};
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

static int run_words(const struct pd_command *command,
                     int (*run)(const struct arguments *arguments, struct pd_node_client *client),
                     int count, char **words)
{
    static struct pd_node_client client; /* too large for a frame */
    struct arguments arguments = {
        .options = {.folder = PD_NODE_FOLDER, .timeout_s = PD_STORE_TIMEOUT_S}, .valid_s = VALID_S};
    char path[PD_NODE_PATH_MAX];
    int code = PD_EXIT_CODE_OK;
    if (!pd_command_parse(command, &count, words, &arguments, &code)) {
        return code;
    }
    arguments.node = count == 0 ? NULL : words[0];
    code = pd_store_socket(&arguments.options, path);
    if (code != PD_EXIT_CODE_OK) {
        return code;
    }
    pd_node_client_init(&client, path, arguments.options.timeout_s * 1000);
    code = run(&arguments, &client);
    pd_node_client_deinit(&client);
    return code;
}

#define OPTION_FORMAT PD_OPTION_OUTPUT(struct arguments, output)
#define OPTIONS_NODE PD_OPTIONS_NODE(struct arguments, options)
#define OPTION_DATA                                                                                \
    {                                                                                              \
        .name = "--data", .kind = PD_OPTION_FOLDER, .value = "DIR",                                \
        .text = "the node's folder (default: " PD_NODE_FOLDER ")",                                 \
        .offset = offsetof(struct arguments, options.folder)                                       \
    }
#define OPTION_BUMP                                                                                \
    {                                                                                              \
        .name = "--bump-revision", .kind = PD_OPTION_NUMBER, .value = "N",                         \
        .text = "how far beyond the old revision the new cluster begins (default: 1000000000000)", \
        .offset = offsetof(struct arguments, bump), .least = 1                                     \
    }
#define OPTION_END                                                                                 \
    {                                                                                              \
        .name = NULL                                                                               \
    }

static const struct pd_option node_options[] = {OPTION_FORMAT, OPTIONS_NODE, OPTION_END};
static const struct pd_option ticket_options[] = {
    {.name = "--expires",
     .kind = PD_OPTION_SECONDS,
     .value = "TIME",
     .text = "how long it can be used: 90s, 30m, 24h (default), 7d",
     .offset = offsetof(struct arguments, valid_s),
     .least = 1,
     .most = VALID_S * 3650},
    {.name = "--role",
     .kind = PD_OPTION_CHOICE,
     .value = "voter|worker",
     .text = "who may join with it: any node (default), or workers alone",
     .offset = offsetof(struct arguments, role)},
    OPTION_FORMAT,
    OPTIONS_NODE,
    OPTION_END,
};
static const struct pd_option snapshot_options[] = {
    {.name = "--force", .text = "replace FILE", .offset = offsetof(struct arguments, is_forced)},
    OPTION_FORMAT,
    OPTIONS_NODE,
    OPTION_END,
};
static const struct pd_option offline_options[] = {OPTION_BUMP, OPTION_FORMAT, OPTION_DATA,
                                                   OPTION_END};
static const struct pd_option restore_options[] = {
    {.name = "--name",
     .kind = PD_OPTION_TEXT,
     .value = "NAME",
     .text = "the node's name in the new cluster; with --listen-peer",
     .offset = offsetof(struct arguments, name),
     .least = 1},
    {.name = "--listen-peer",
     .kind = PD_OPTION_TEXT,
     .value = "HOST:PORT",
     .text = "where others will reach it: `pando start` listens there then",
     .offset = offsetof(struct arguments, listen_peer),
     .least = 1},
    {.name = "--log-segment",
     .kind = PD_OPTION_SIZE,
     .value = "SIZE",
     .text = "the size of the log's files, 16MiB to 1GiB: what it begins with stays",
     .offset = offsetof(struct arguments, log_segment),
     .least = UINT64_C(16) << 20,
     .most = UINT64_C(1) << 30},
    OPTION_BUMP,
    OPTION_FORMAT,
    OPTION_DATA,
    OPTION_END,
};

/* A command of the cluster, and what main calls for it. */
#define COMMAND(verb, ...)                                                                         \
    static const struct pd_command command_##verb;                                                 \
    static int main_##verb(int count, char **words)                                                \
    {                                                                                              \
        return run_words(&command_##verb, run_##verb, count, words);                               \
    }                                                                                              \
    static const struct pd_command command_##verb = {                                              \
        .name = "cluster " #verb, .run = main_##verb, __VA_ARGS__}

COMMAND(status, .arguments = "", .summary = "who leads, how many may fail, and the members",
        .options = node_options,
        .examples = "pando cluster status --data pando-dev/node-0\n"
                    "pando cluster status -o json\n");

COMMAND(members, .arguments = "", .summary = "the members", .options = node_options,
        .examples = "pando cluster members --data pando-dev/node-0\n");

COMMAND(remove, .arguments = "NODE", .summary = "remove a member for good",
        .help = "NODE is its name, or its id. It cannot come back under its old identity: with an\n"
                "empty folder only, as a new node. As JSON: {\"removed\":ID, \"changed\":true}.\n",
        .options = node_options, .words_min = 1, .words_max = 1,
        .examples = "pando cluster remove node-2 --data pando-dev/node-0\n");

COMMAND(promote, .arguments = "NODE", .summary = "make a learner that has caught up a voter",
        .help = "As JSON: {\"voter\":ID, \"changed\":true}; false when it votes already.\n",
        .options = node_options, .words_min = 1, .words_max = 1,
        .examples = "pando cluster promote node-3 --data pando-dev/node-0\n");

COMMAND(
    transfer, .arguments = "[NODE]",
    .summary = "hand over the lead, to NODE or to who is best prepared",
    .help =
        "As JSON: {\"leader\":ID, \"changed\":true}; false when it leads already, and null for\n"
        "ID when no NODE was named.\n",
    .options = node_options, .words_max = 1,
    .examples = "pando cluster transfer --data pando-dev/node-1\n"
                "pando cluster transfer node-2 --data pando-dev/node-1\n");

COMMAND(ticket, .arguments = "",
        .summary = "print a line with which a new node joins (`pando join`): a secret",
        .help = "As JSON: {\"ticket\":..., \"cluster\":ID, \"role\":\"voter\", \"expires_s\":...}, "
                "the last\n"
                "in seconds since 1970.\n",
        .options = ticket_options,
        .examples = "pando cluster ticket --expires 1h --data pando-dev/node-0\n");

COMMAND(
    doctor, .arguments = "", .summary = "look at disk, network, clock and limits of this machine",
    .help = "What could keep the node from serving well, and what to do about it. Exit code 1\n"
            "when something is wrong. As JSON: {\"checks\":[{\"verdict\":\"ok\", \"what\":...,\n"
            "\"text\":...}], \"wrong\":0, \"careful\":0}; a verdict is ok, careful or wrong.\n",
    .options = node_options,
    .examples = "pando cluster doctor\n"
                "pando cluster doctor -o json --data /var/lib/pando\n");

COMMAND(snapshot, .arguments = "FILE",
        .summary = "save all that a node has applied, as `etcdctl snapshot save` does",
        .options = snapshot_options, .words_min = 1, .words_max = 1,
        .examples = "pando cluster snapshot monday.db --data pando-dev/node-0\n");

COMMAND(restore, .arguments = "FILE",
        .summary = "make a new cluster of one node with the state of a snapshot",
        .help =
            "DIR must be empty, and no node runs there meanwhile. Keys with a lease are not in\n"
            "it, and every watch begins anew.\n",
        .options = restore_options, .words_min = 1, .words_max = 1,
        .examples = "pando cluster restore monday.db --data fresh && pando start --data fresh\n");

COMMAND(recover, .arguments = "",
        .summary = "make a node whose majority is lost for ever a new cluster",
        .help = "The node in DIR, which must not run, becomes a new cluster of one node with all\n"
                "that its log holds.\n",
        .options = offline_options, .examples = "pando cluster recover --data pando-dev/node-0\n");

static const struct pd_command *const children[] = {&command_status,
                                                    &command_members,
                                                    &command_remove,
                                                    &command_promote,
                                                    &command_transfer,
                                                    &command_ticket,
                                                    &command_doctor,
                                                    &command_snapshot,
                                                    &command_restore,
                                                    &command_recover,
                                                    NULL};

const struct pd_command pd_command_cluster = {
    .name = "cluster",
    .arguments = "",
    .summary = "who belongs to a cluster, and who leads it",
    .help = "Asks any running node of the cluster. NODE is a member's name, or its id.\n",
    .children = children,
};
