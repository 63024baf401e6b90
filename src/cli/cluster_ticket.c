#include "cli/cluster_ticket.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "cli/cluster_members.h"
#include "cli/command.h"
#include "cli/store_text.h"
#include "host/key_file.h"
#include "net/identity.h"
#include "node/members_file.h"
#include "node/members_ticket.h"
#include "node/server_peers.h"

#define PAUSE_NS 50000000L
#define PAUSES_MAX 40u /* two seconds in all */

static void take_member(struct pd_ticket *ticket, const struct pd_members_item *item)
{
    if (ticket->count < PD_TICKET_MEMBERS_MAX && item->is_listed &&
        item->standing != PD_MEMBERS_NONE && item->member.peer_count > 0) {
        ticket->members[ticket->count++] = item->member;
    }
}

/* Who signs comes first: it is there. */
static void take_members(struct pd_ticket *ticket, const struct pd_cluster_members *members,
                         uint64_t signer)
{
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->items[i].member.node == signer) {
            take_member(ticket, &members->items[i]);
        }
    }
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->items[i].member.node != signer) {
            take_member(ticket, &members->items[i]);
        }
    }
}

static void print_json(const struct pd_ticket *ticket, const char *text)
{
    char cluster[17];
    (void)snprintf(cluster, sizeof cluster, "%016" PRIx64, ticket->cluster_id);
    pd_store_print_json(json_pack("{s:s, s:s, s:s, s:I}", "ticket", text, "cluster", cluster,
                                  "role", ticket->role == PD_KV_MEMBER_WORKER ? "worker" : "voter",
                                  "expires_s", (json_int_t)ticket->expires_s));
}

static int print(const struct pd_ticket *ticket, const struct pd_net_identity *signer, bool is_json)
{
    char text[PD_TICKET_TEXT_MAX];
    if (pd_ticket_print(ticket, signer, text) != PD_OK) {
        return pd_command_failed("the ticket could not be made: no memory");
    }
    if (is_json) {
        print_json(ticket, text);
    } else {
        (void)printf("%s\n", text);
    }
    return PD_EXIT_CODE_OK;
}

static bool is_listed(const struct pd_cluster_members *members, uint64_t node)
{
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->items[i].member.node == node && members->items[i].is_listed) {
            return true;
        }
    }
    return false;
}

/* In the first moments of a cluster its leader has not told the directory yet who began it. false:
 * client->text. */
static bool read_members(struct pd_node_client *client, uint64_t signer,
                         struct pd_cluster_members *members)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    for (uint32_t i = 0;; i++) {
        if (pd_cluster_members_read(client, members) != PD_OK) {
            return false;
        }
        if (is_listed(members, signer) || i == PAUSES_MAX) {
            return true;
        }
        pd_cluster_members_free(members);
        (void)nanosleep(&pause, NULL);
    }
}

int pd_cluster_ticket(const struct pd_cluster_ticket_wish *wish, struct pd_node_client *client)
{
    static struct pd_cluster_members members; /* too large for a frame */
    struct pd_net_identity signer;
    uint8_t secret[PD_KEY_FILE_SIZE];
    char path[PD_NODE_PATH_MAX];
    char text[PD_KEY_FILE_TEXT_MAX];
    uint64_t cluster_id = 0;
    if ((size_t)snprintf(path, sizeof path, "%s/" PD_SERVER_KEY_NAME, wish->folder) >=
        sizeof path) {
        return pd_command_failed("the path '%s' is too long", wish->folder);
    }
    if (pd_host_key_file(NULL, path, false, secret, text) != PD_OK) {
        return pd_command_failed("%s", text[0] != '\0' ? text : "there is no key in that folder");
    }
    pd_net_identity_init(&signer, secret);
    if (!pd_cluster_id_read(client, &cluster_id) ||
        !read_members(client, pd_members_node_of(signer.key), &members)) {
        return pd_command_failed("%s", client->text);
    }
    struct pd_ticket ticket = {.cluster_id = cluster_id,
                               .expires_s = (uint64_t)time(NULL) + wish->valid_s,
                               .role =
                                   wish->is_for_workers ? PD_KV_MEMBER_WORKER : PD_KV_MEMBER_VOTER};
    take_members(&ticket, &members, pd_members_node_of(signer.key));
    int code = ticket.count > 0
                   ? print(&ticket, &signer, wish->is_json)
                   : pd_command_failed("this node is alone and has no address for others: start it "
                                       "with --listen-peer ADDRESS:PORT");
    pd_cluster_members_free(&members);
    return code;
}

int pd_cluster_ticket_read(const char *word, char text[PD_TICKET_TEXT_MAX])
{
    if (word[0] != '@') {
        if ((size_t)snprintf(text, PD_TICKET_TEXT_MAX, "%s", word) >= PD_TICKET_TEXT_MAX) {
            return pd_command_failed("that is no ticket: it is too long");
        }
        return PD_EXIT_CODE_OK;
    }
    FILE *file = fopen(word + 1, "re");
    if (file == NULL) {
        return pd_command_failed("cannot read the ticket '%s': %s", word + 1, strerror(errno));
    }
    size_t size = fread(text, 1, PD_TICKET_TEXT_MAX - 1, file);
    text[size] = '\0';
    (void)fclose(file);
    return PD_EXIT_CODE_OK;
}
