/* A new node becomes a member of a cluster, by a ticket. */
#include "cli/joiner.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/disk_has.h"
#include "cli/cluster_ticket.h"
#include "cli/command.h"
#include "cli/node_folder.h"
#include "host/disk.h"
#include "host/resolve_within.h"
#include "host/udp.h"
#include "kv/version.h"
#include "net/address.h"
#include "net/net.h"
#include "node/gateway_thread.h"
#include "node/members.h"
#include "node/members_file.h"
#include "node/reach.h"
#include "node/server_peers_join.h"

#define SECOND_NS UINT64_C(1000000000)
#define AGAIN_NS (SECOND_NS / 5)
#define ANSWER_NS (15 * SECOND_NS) /* of one member */
#define ANSWER_MAX 131072u

struct join {
    const struct pd_join_wish *wish;
    struct pd_host *host;
    struct pd_disk *disk;
    char ticket_text[PD_TICKET_TEXT_MAX];
    uint8_t ticket_room[PD_TICKET_BYTES_MAX];
    struct pd_ticket ticket;
    struct pd_net_identity identity;
    uint64_t deadline_ns; /* of all */
    struct pd_transport_address local;
    char local_text[PD_NET_ADDRESS_TEXT_MAX];
    struct pd_kv_member own;
    uint32_t limit; /* asked with; FIRST: as the first version's programs do */
    /* What the net's thread tells. */
    struct pd_event event;
    struct pd_reach reach;
    /* The link that is waited for; 0: none. Who takes it away has the last word, and the fields
     * below: an answer, an end, or who waits no longer. */
    atomic_uint_least64_t asked;
    const char *why; /* static */
    size_t size;
    uint8_t answer[ANSWER_MAX];
};

/* -- The ticket -------------------------------------------------------------------------------- */

static int judge_ticket(struct join *join)
{
    int code = pd_cluster_ticket_read(join->wish->ticket, join->ticket_text);
    if (code != PD_EXIT_CODE_OK) {
        return code;
    }
    if (pd_ticket_parse(join->ticket_text, join->ticket_room, &join->ticket) != PD_OK) {
        return pd_command_failed("that is no ticket, or not a whole one: copy the line that `pando "
                                 "cluster ticket` prints");
    }
    if (join->ticket.role == PD_KV_MEMBER_WORKER && !join->wish->is_worker) {
        return pd_command_failed(
            "the ticket is for workers: join with --role worker, or ask for one "
            "with `pando cluster ticket`");
    }
    if (join->ticket.expires_s < (uint64_t)time(NULL)) {
        return pd_command_failed(
            "the ticket has expired: ask for another one with `pando cluster ticket`");
    }
    return PD_EXIT_CODE_OK;
}

/* -- The folder -------------------------------------------------------------------------------- */

static int judge_role(const char *folder, const struct pd_members_file *file, bool wants_worker)
{
    bool is_worker = file->start == PD_MEMBERS_START_WORKER;
    return is_worker == wants_worker
               ? PD_EXIT_CODE_OK
               : pd_command_failed(
                     "'%s' is a %s's already: a role is for life. Choose an empty or a "
                     "new folder",
                     folder, is_worker ? "worker" : "voter");
}

int pd_join_look(const char *folder, bool wants_worker, bool *is_done_out)
{
    struct pd_disk *disk = NULL;
    struct pd_members_file file;
    char why[128];
    int code = PD_EXIT_CODE_OK;
    *is_done_out = false;
    if (pd_host_disk_open(folder, false, &disk) != PD_OK) {
        return code;
    }
    if (pd_members_file_read(disk, why, sizeof why, &file) == PD_OK) {
        *is_done_out = true;
        code = judge_role(folder, &file, wants_worker);
        pd_members_file_deinit(&file);
    }
    disk->ops->close_disk(disk);
    return code;
}

/* A folder without a cluster.json: one that a node could not be started in is not joined for. */
static int judge_new(const struct join *join)
{
    char text[PD_SERVER_TEXT_MAX] = "";
    if (pd_disk_has(join->disk, PD_SERVER_IDENTITY_NAME)) {
        return pd_command_failed("'%s' is the folder of another node. Choose an empty or a new one "
                                 "with --data",
                                 join->wish->folder);
    }
    return pd_server_folder_judge(join->disk, join->wish->folder, text) == PD_OK
               ? PD_EXIT_CODE_OK
               : pd_command_failed("%s", text);
}

/* *is_done_out: this node joined before. */
static int look_at_folder(struct join *join, bool *is_done_out)
{
    struct pd_members_file file;
    char why[128];
    *is_done_out = false;
    enum pd_status status = pd_members_file_read(join->disk, why, sizeof why, &file);
    if (status == PD_ERR_UNKNOWN) {
        return judge_new(join);
    }
    if (status != PD_OK) {
        return pd_command_failed("'%s/" PD_MEMBERS_FILE_NAME "' cannot be used: %s",
                                 join->wish->folder, why);
    }
    uint64_t cluster_id = file.cluster_id;
    *is_done_out = cluster_id == join->ticket.cluster_id;
    int code = *is_done_out ? judge_role(join->wish->folder, &file, join->wish->is_worker)
                            : PD_EXIT_CODE_OK;
    pd_members_file_deinit(&file);
    return *is_done_out ? code
                        : pd_command_failed("'%s' is of another cluster (%016" PRIx64
                                            ") than the ticket. Choose an empty or a new folder",
                                            join->wish->folder, cluster_id);
}

/* -- Asking a member --------------------------------------------------------------------------- */

/* true: nobody else has the last word about this link, which is the one that is waited for. */
static bool take_away(struct join *join, uint64_t link)
{
    return atomic_compare_exchange_strong(&join->asked, &link, 0);
}

static void tell(struct join *join, const char *why)
{
    join->why = why;
    join->host->ops->event_set(join->host, &join->event);
}

static void finish(struct join *join, uint64_t link, const char *why)
{
    if (take_away(join, link)) {
        tell(join, why);
    }
}

static void on_opened(void *state, uint64_t link, const uint8_t key[PD_NET_KEY_SIZE])
{
    struct join *join = state;
    (void)key; /* that which was dialed */
    pd_reach_opened(&join->reach, link);
}

static void on_closed(void *state, uint64_t link, const char *text)
{
    struct join *join = state;
    pd_reach_closed(&join->reach, link, text);
    finish(join, link, text);
}

static void on_answer(void *state, uint64_t link, uint64_t correlation, struct pd_span bytes)
{
    struct join *join = state;
    (void)correlation;
    if (bytes.size <= sizeof join->answer && take_away(join, link)) {
        memcpy(join->answer, bytes.bytes, bytes.size);
        join->size = bytes.size;
        tell(join, NULL);
    }
}

static void on_ended(void *state, uint64_t link, uint64_t correlation, enum pd_status status)
{
    (void)correlation;
    finish(state, link, pd_status_text(status));
}

static uint64_t left_ns(const struct join *join, uint64_t until_ns)
{
    uint64_t now_ns = pd_host_now_ns(join->host);
    return until_ns > now_ns ? until_ns - now_ns : 0;
}

/* Until when one of `others` + 1 members is waited for: the time is for all of them. */
static uint64_t share(const struct join *join, uint32_t others)
{
    uint64_t all_ns = left_ns(join, join->deadline_ns) / (others + 1);
    return pd_host_now_ns(join->host) + (all_ns < ANSWER_NS ? all_ns : ANSWER_NS);
}

/* NULL: join->answer is there; or why not. */
static const char *ask_link(struct join *join, struct pd_net *net, uint64_t link, uint64_t until_ns)
{
    uint8_t *room = pd_alloc(PD_JOIN_REQUEST_MAX);
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = PD_JOIN_REQUEST_MAX};
    const char *why = NULL;
    if (room == NULL) {
        return "no memory";
    }
    pd_join_put_request(&writer, join->ticket_text, &join->own, join->limit);
    atomic_store(&join->asked, link);
    if (writer.is_full || pd_net_call(net, link, 1, (struct pd_span){room, writer.size}) != PD_OK) {
        why = "it cannot be asked";
    } else if (!join->host->ops->event_wait(join->host, &join->event, until_ns)) {
        why = "it does not answer";
    }
    if (why == NULL || !take_away(join, link)) {
        if (why != NULL) { /* it came at the last moment, and may be under way to join->answer */
            (void)join->host->ops->event_wait(join->host, &join->event, PD_TIME_NEVER);
        }
        why = join->why;
    }
    pd_free(room);
    return why;
}

/* A member, wherever it answers. As ask_link; `place`: where it was asked, for a person. However
 * late it is found, a third of the time is left for its answer. */
static const char *ask(struct join *join, struct pd_net *net, const struct pd_kv_member *member,
                       uint64_t until_ns, char place[PD_KV_MEMBER_ADDRESS_MAX + 1])
{
    static char text[PD_REACH_TEXT_MAX];
    uint64_t link = 0;
    uint32_t at = 0;
    uint64_t found_until_ns = until_ns - left_ns(join, until_ns) / 3;
    bool is_up = pd_reach_dial(&join->reach, net, 0, member, found_until_ns, &link, &at, text);
    (void)snprintf(place, PD_KV_MEMBER_ADDRESS_MAX + 1, "%.*s", (int)member->peers[at].size,
                   (const char *)member->peers[at].bytes);
    if (!is_up) {
        return text;
    }
    const char *why = ask_link(join, net, link, until_ns);
    enum pd_status status = pd_net_hang_up(net, link);
    (void)status; /* what cannot be hung up ends with the net */
    return why;
}

/* By a member of the first version. */
static bool is_not_understood(const struct pd_join_answer *answer)
{
    return answer->text.size == strlen(PD_JOIN_UNKNOWN_TEXT) &&
           memcmp(answer->text.bytes, PD_JOIN_UNKNOWN_TEXT, answer->text.size) == 0;
}

/* The members of the ticket in turn, until one takes this node in or refuses it. */
static int ask_members(struct join *join, struct pd_net *net, struct pd_join_answer *answer_out)
{
    char last[256] = "no member has an address";
    do {
        for (uint32_t i = 0; i < join->ticket.count; i++) {
            const struct pd_kv_member *member = &join->ticket.members[i];
            char text[PD_KV_MEMBER_ADDRESS_MAX + 1];
            if (member->peer_count == 0) {
                continue;
            }
            uint64_t until_ns = share(join, join->ticket.count - 1 - i);
            const char *why = ask(join, net, member, until_ns, text);
            if (why == NULL && pd_join_read_answer((struct pd_span){join->answer, join->size},
                                                   answer_out) != PD_OK) {
                why = "its answer cannot be read: is it of another version?";
            }
            if (why == NULL && answer_out->outcome == PD_JOIN_TAKEN) {
                if (answer_out->text.size > 0) {
                    (void)fprintf(stderr, "pando: %.*s\n", (int)answer_out->text.size,
                                  (const char *)answer_out->text.bytes);
                }
                return PD_EXIT_CODE_OK;
            }
            if (why == NULL && answer_out->outcome == PD_JOIN_REFUSED &&
                join->limit > PD_KV_VERSION_FIRST && is_not_understood(answer_out)) {
                join->limit = PD_KV_VERSION_FIRST; /* and the next one is asked, or this one */
                continue;
            }
            if (why == NULL && answer_out->outcome == PD_JOIN_REFUSED) {
                return pd_command_failed("%s refuses: %.*s", text, (int)answer_out->text.size,
                                         (const char *)answer_out->text.bytes);
            }
            (void)snprintf(last, sizeof last, "%s: %.*s", text,
                           why != NULL ? (int)strlen(why) : (int)answer_out->text.size,
                           why != NULL ? why : (const char *)answer_out->text.bytes);
        }
        uint64_t pause_ns = left_ns(join, join->deadline_ns);
        pause_ns = pause_ns < AGAIN_NS ? pause_ns : AGAIN_NS;
        (void)join->host->ops->event_wait(join->host, &join->event,
                                          pd_host_now_ns(join->host) + pause_ns);
    } while (left_ns(join, join->deadline_ns) > 0);
    return pd_command_failed("no member of the cluster took this node in within %" PRIu64
                             " s; the last one, %s",
                             join->wish->timeout_s, last);
}

/* -- Joining ----------------------------------------------------------------------------------- */

static struct pd_span span_of(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

static int write_file(struct join *join, struct pd_join_answer *answer)
{
    static struct pd_members_file file; /* too large for a frame */
    struct pd_members_item item;
    file = (struct pd_members_file){.cluster_id = join->ticket.cluster_id,
                                    .start = join->wish->is_worker ? PD_MEMBERS_START_WORKER
                                                                   : PD_MEMBERS_START_JOIN};
    while (pd_members_next(&answer->members, &item)) {
        bool can_be_asked = item.standing != PD_MEMBERS_NONE || !join->wish->is_worker;
        if (item.is_listed && can_be_asked && file.count < PD_MEMBERS_FILE_MAX) {
            file.members[file.count++] = item.member;
        }
    }
    if (answer->members.is_bad || pd_members_file_write(join->disk, &file) != PD_OK) {
        return pd_command_failed("cannot write '%s/" PD_MEMBERS_FILE_NAME "': %s",
                                 join->wish->folder, strerror(errno));
    }
    return PD_EXIT_CODE_OK;
}

static int ask_and_write(struct join *join, struct pd_udp *udp)
{
    struct pd_net *net = NULL;
    struct pd_net_config config = pd_net_config_default();
    struct pd_join_answer answer;
    const struct pd_net_offer offer = {.name = PD_JOIN_SERVICE,
                                       .handler = {.opened = on_opened,
                                                   .closed = on_closed,
                                                   .answer = on_answer,
                                                   .ended = on_ended,
                                                   .state = join}};
    config.host = join->host;
    config.loop = pd_udp_loop(udp);
    config.identity = &join->identity;
    config.offers = &offer;
    config.offer_count = 1;
    pd_udp_loop(udp)->ops->local(pd_udp_loop(udp), &join->local);
    pd_net_address_print(&join->local, join->local_text);
    bool is_worker = join->wish->is_worker;
    join->own = (struct pd_kv_member){.role = is_worker ? PD_KV_MEMBER_WORKER : PD_KV_MEMBER_VOTER,
                                      .name = span_of(join->wish->name),
                                      .peer_count = is_worker ? 0 : 1,
                                      .client_count = !is_worker && join->wish->client_url != NULL};
    join->own.peers[0] =
        span_of(join->wish->advertise_peer != NULL ? join->wish->advertise_peer : join->local_text);
    join->own.clients[0] = span_of(join->wish->client_url);
    if (pd_net_open(&config, &net) != PD_OK) {
        return pd_command_failed("cannot speak to other nodes: no memory or threads");
    }
    int code = ask_members(join, net, &answer);
    pd_net_close(net);
    return code == PD_EXIT_CODE_OK ? write_file(join, &answer) : code;
}

/* Without an address of its own a node listens where the ticket's members do: on this machine. */
static int choose_address(const struct join *join, struct pd_transport_address *address_out)
{
    if (join->wish->listen_peer != NULL) {
        char why[PD_RESOLVE_TEXT_MAX];
        enum pd_status status = pd_host_resolve_within(
            join->wish->listen_peer, left_ns(join, join->deadline_ns), address_out, why);
        return status == PD_OK ? PD_EXIT_CODE_OK : pd_command_failed("%s", why);
    }
    struct pd_span elsewhere;
    bool is_here =
        pd_reach_is_here(join->ticket.members, join->ticket.count, address_out, &elsewhere);
    if (join->wish->is_worker && !is_here) {
        *address_out = (struct pd_transport_address){.port = 0}; /* any, it asks only */
        return PD_EXIT_CODE_OK;
    }
    if (!is_here) {
        return pd_command_failed("the cluster is on other machines (%.*s): say where this node is "
                                 "reached, with --listen-peer ADDRESS:PORT",
                                 (int)elsewhere.size, (const char *)elsewhere.bytes);
    }
    address_out->port = 0; /* a free one */
    return PD_EXIT_CODE_OK;
}

/* Whether clients could be served where they are to come: a member that cannot is no help. */
static int try_client_port(const struct pd_join_wish *wish)
{
    char address[PD_GATEWAY_URL_MAX];
    char text[PD_GATEWAY_TEXT_MAX];
    uint16_t port = 0;
    if (wish->listen_client == NULL ||
        !pd_gateway_parse_address(wish->listen_client, address, &port) ||
        pd_gateway_try_address(address, port, text) == PD_OK) {
        return PD_EXIT_CODE_OK;
    }
    return pd_command_failed("%s", text);
}

static int join_cluster(struct join *join)
{
    struct pd_udp *udp = NULL;
    char why[PD_UDP_TEXT_MAX];
    struct pd_udp_config config = {.host = join->host};
    int code = try_client_port(join->wish);
    code = code == PD_EXIT_CODE_OK ? choose_address(join, &config.address) : code;
    if (code != PD_EXIT_CODE_OK) {
        return code;
    }
    if (pd_udp_open(&config, why, &udp) != PD_OK) {
        return pd_command_failed("%s", why);
    }
    code = pd_node_folder_key(join->host, join->wish->folder, &join->identity);
    code = code == PD_EXIT_CODE_OK ? ask_and_write(join, udp) : code;
    pd_udp_close(udp);
    return code;
}

static int prepare(struct join *join)
{
    bool is_done = false;
    int code = judge_ticket(join);
    code = code == PD_EXIT_CODE_OK ? pd_node_folder_hold(join->wish->folder, &join->disk) : code;
    if (code == PD_EXIT_CODE_OK) {
        code = look_at_folder(join, &is_done);
    }
    if (code == PD_EXIT_CODE_OK && !is_done) {
        code = join_cluster(join);
        if (code == PD_EXIT_CODE_OK) {
            (void)printf("joined cluster %016" PRIx64 " as node %016" PRIx64 "\n",
                         join->ticket.cluster_id, pd_members_node_of(join->identity.key));
            (void)fflush(stdout);
        }
    }
    if (join->disk != NULL) {
        join->disk->ops->close_disk(join->disk);
    }
    return code;
}

int pd_join_by_ticket(struct pd_host *host, const struct pd_join_wish *wish)
{
    static struct join join; /* too large for a frame */
    join = (struct join){.wish = wish,
                         .host = host,
                         .reach = {.host = host},
                         .limit = pd_kv_version_limit(),
                         .deadline_ns = pd_host_now_ns(host) + wish->timeout_s * SECOND_NS};
    return prepare(&join);
}
