/* Programs elsewhere at a node, over real QUIC: who is let in, and what those may ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "host/disk.h"
#include "host/real.h"
#include "host/udp.h"
#include "net/address.h"
#include "net/memory.h"
#include "node/members.h"
#include "node/members_file.h"
#include "node/members_ticket.h"
#include "node/replica_request.h"
#include "node/replica_watch.h"
#include "node/server_peers_clients.h"
#include "node/store_link.h"
#include "support/remove_tree.h"

#define SECOND_NS UINT64_C(1000000000)
#define PATH_SIZE 512
#define ANSWER_MAX 8192
#define CLUSTER 77
#define PEER "127.0.0.1:1001" /* of the memory transport */

static struct pd_real_host *real;
static struct pd_host *host;
static struct pd_net_memory *hub;
static char top[PATH_SIZE];
static char folder[PATH_SIZE + 16];
static struct pd_net_identity member;
static struct pd_net_identity stranger;
static struct pd_server *server;
static struct pd_clients *clients;
/* The node's side of the service, and a client's. */
static struct pd_udp *udps[2];
static struct pd_net *nets[2];
static struct pd_transport_address address;

/* What the client was told last. */
static struct {
    struct pd_event event;
    atomic_uint answers;
    atomic_uint ends;
    atomic_bool is_closed;
    size_t size;
    uint8_t bytes[ANSWER_MAX];
} told;

static struct pd_span span(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

/* -- The clock --------------------------------------------------------------------------------- */

static struct pd_host_ops ops;
static uint64_t (*real_wall_ns)(struct pd_host *host);
static atomic_uint ahead_s;

static uint64_t wall_ns(struct pd_host *at)
{
    return real_wall_ns(at) + atomic_load(&ahead_s) * SECOND_NS;
}

/* Before there are other threads. */
static void put_clock(void)
{
    ops = *host->ops;
    real_wall_ns = ops.wall_ns;
    ops.wall_ns = wall_ns;
    atomic_store(&ahead_s, 0);
    host->ops = &ops;
}

/* -- The node ---------------------------------------------------------------------------------- */

static enum pd_status identify(void *state, const char *at, bool is_new,
                               uint8_t key_out[PD_TRANSPORT_KEY_SIZE], char *text, size_t text_max)
{
    (void)state;
    (void)at;
    (void)is_new;
    (void)text;
    (void)text_max;
    memcpy(key_out, member.key, sizeof member.key);
    return PD_OK;
}

static enum pd_status open_transport(void *state, const char *at, char *text, size_t text_max,
                                     struct pd_transport **transport_out)
{
    (void)state;
    (void)at;
    (void)text;
    (void)text_max;
    *transport_out = pd_net_memory_transport(hub, pd_members_node_of(member.key));
    return *transport_out == NULL ? PD_ERR_NO_MEMORY : PD_OK;
}

static void close_transport(void *state, struct pd_transport *transport)
{
    (void)state; /* the hub's */
    (void)transport;
}

static atomic_bool does_cut;

static void on_removed(void *state, const uint64_t *nodes, uint32_t count)
{
    (void)state;
    if (atomic_load(&does_cut)) {
        pd_clients_cut(clients, nodes, count);
    }
}

/* A cluster of one, which has a directory. */
static void open_server(void)
{
    static struct pd_members_file file;
    struct pd_disk *disk = NULL;
    char text[PD_SERVER_TEXT_MAX];
    struct pd_server_config config = pd_server_config_default();
    file =
        (struct pd_members_file){.cluster_id = CLUSTER, .count = 1, .start = PD_MEMBERS_START_NEW};
    file.members[0] = (struct pd_kv_member){
        .node = pd_members_node_of(member.key), .name = span("n"), .peer_count = 1};
    memcpy(file.members[0].key, member.key, sizeof member.key);
    file.members[0].peers[0] = span(PEER);
    assert_int_equal(pd_host_disk_open(folder, true, &disk), PD_OK);
    assert_int_equal(pd_members_file_write(disk, &file), PD_OK);
    disk->ops->close_disk(disk);
    config.folder = folder;
    config.host = host;
    config.wal.segment_bytes = 16u << 20;
    config.disk_low_bytes = 0;
    config.peers.identify = identify;
    config.peers.open = open_transport;
    config.peers.close = close_transport;
    config.peers.removed = on_removed;
    config.peers.peer_address = PEER;
    assert_int_equal(pd_server_open(&config, text, &server), PD_OK);
    assert_true(pd_server_wait_ready(server, pd_host_now_ns(host) + 60 * SECOND_NS));
}

/* -- The client -------------------------------------------------------------------------------- */

static void on_answer(void *state, uint64_t link, uint64_t correlation, struct pd_span bytes)
{
    (void)state;
    (void)link;
    (void)correlation;
    assert_true(bytes.size <= sizeof told.bytes);
    memcpy(told.bytes, bytes.bytes, bytes.size);
    told.size = bytes.size;
    (void)atomic_fetch_add(&told.answers, 1);
    host->ops->event_set(host, &told.event);
}

static void on_ended(void *state, uint64_t link, uint64_t correlation, enum pd_status status)
{
    (void)state;
    (void)link;
    (void)correlation;
    assert_int_equal(status, PD_OK);
    (void)atomic_fetch_add(&told.ends, 1);
    host->ops->event_set(host, &told.event);
}

static void on_closed(void *state, uint64_t link, const char *text)
{
    (void)state;
    (void)link;
    (void)text;
    atomic_store(&told.is_closed, true);
    host->ops->event_set(host, &told.event);
}

static void open_net(uint32_t side, const struct pd_net_identity *identity,
                     struct pd_net_handler handler)
{
    char text[PD_UDP_TEXT_MAX];
    struct pd_udp_config udp = {.host = host};
    struct pd_net_config config = pd_net_config_default();
    const struct pd_net_offer offer = {.name = PD_CLIENTS_SERVICE, .handler = handler};
    assert_int_equal(pd_net_address_parse("127.0.0.1:1", &udp.address), PD_OK);
    udp.address.port = 0;
    assert_int_equal(pd_udp_open(&udp, text, &udps[side]), PD_OK);
    config.host = host;
    config.loop = pd_udp_loop(udps[side]);
    config.identity = identity;
    config.offers = &offer;
    config.offer_count = 1;
    assert_int_equal(pd_net_open(&config, &nets[side]), PD_OK);
}

static uint64_t dial(void)
{
    uint64_t link = 0;
    atomic_store(&told.is_closed, false);
    assert_int_equal(pd_net_dial(nets[1], 0, member.key, &address, &link), PD_OK);
    return link;
}

static void wait_count(const atomic_uint *counter, uint32_t count)
{
    while (atomic_load(counter) < count) {
        assert_true(
            host->ops->event_wait(host, &told.event, pd_host_now_ns(host) + 60 * SECOND_NS));
    }
}

/* Ask and wait for one answer, which is the last. */
static struct pd_replica_answer_head ask(uint64_t link, uint64_t correlation, struct pd_span bytes)
{
    struct pd_replica_answer_head answer;
    uint32_t answers = atomic_load(&told.answers);
    uint32_t ends = atomic_load(&told.ends);
    assert_int_equal(pd_net_call(nets[1], link, correlation, bytes), PD_OK);
    wait_count(&told.ends, ends + 1);
    assert_int_equal(atomic_load(&told.answers), answers + 1);
    assert_int_equal(pd_replica_answer_decode((struct pd_span){told.bytes, told.size}, &answer),
                     PD_OK);
    return answer;
}

static void refuses(struct pd_replica_answer_head answer, const char *text)
{
    char said[512];
    assert_int_equal(answer.outcome, PD_REPLICA_INVALID);
    (void)snprintf(said, sizeof said, "%.*s", (int)answer.body.size,
                   (const char *)answer.body.bytes);
    if (strstr(said, text) == NULL) {
        fail_msg("'%s' does not say '%s'", said, text);
    }
}

static struct pd_span request(uint8_t room[512], enum pd_replica_request_kind kind, uint64_t number,
                              struct pd_span body)
{
    pd_replica_request_put_head(room,
                                &(struct pd_replica_request_head){.kind = kind, .number = number});
    if (body.size > 0) {
        memcpy(room + PD_REPLICA_REQUEST_HEAD_SIZE, body.bytes, body.size);
    }
    return (struct pd_span){room, PD_REPLICA_REQUEST_HEAD_SIZE + body.size};
}

static struct pd_span put(uint8_t room[512], const char *key)
{
    uint8_t body[256];
    struct pd_kv_writer writer = {.bytes = body, .bytes_max = sizeof body};
    pd_kv_encode_put(&writer, &(struct pd_kv_put){.key = span(key), .value = span("v")});
    return request(room, PD_REPLICA_REQUEST_WRITE, 0, (struct pd_span){body, writer.size});
}

static void print_ticket(const struct pd_net_identity *signer, uint64_t cluster, int64_t valid_s,
                         char text[PD_TICKET_TEXT_MAX])
{
    struct pd_ticket ticket = {
        .cluster_id = cluster,
        .expires_s = (uint64_t)((int64_t)(host->ops->wall_ns(host) / SECOND_NS) + valid_s),
        .count = 1};
    memcpy(ticket.members[0].key, member.key, sizeof member.key);
    ticket.members[0].peer_count = 1;
    ticket.members[0].peers[0] = span(PEER);
    assert_int_equal(pd_ticket_print(&ticket, signer, text), PD_OK);
}

/* -- Around each test -------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    static const uint8_t secrets[2][PD_NET_KEY_SIZE] = {{1}, {2}};
    assert_int_equal(pd_real_host_create(1, 16, &real), PD_OK);
    host = pd_real_host_interface(real);
    put_clock();
    assert_int_equal(pd_net_memory_create(64u << 20, 16u << 20, &hub), PD_OK);
    memset(&told, 0, sizeof told);
    pd_net_identity_init(&member, secrets[0]);
    pd_net_identity_init(&stranger, secrets[1]);
    (void)snprintf(top, sizeof top, "%s/pando-clients-XXXXXX",
                   getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    if (mkdtemp(top) == NULL) {
        return -1;
    }
    (void)snprintf(folder, sizeof folder, "%s/node", top);
    open_server();
    assert_int_equal(pd_clients_create(host, &clients), PD_OK);
    open_net(0, &member, pd_clients_handler(clients));
    pd_clients_attach(clients, nets[0]);
    pd_udp_loop(udps[0])->ops->local(pd_udp_loop(udps[0]), &address);
    open_net(1, &stranger,
             (struct pd_net_handler){.closed = on_closed, .answer = on_answer, .ended = on_ended});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pd_clients_close(clients);
    pd_server_close(server);
    atomic_store(&does_cut, false);
    for (uint32_t i = 0; i < 2; i++) {
        pd_net_close(nets[i]);
        pd_udp_close(udps[i]);
    }
    pd_clients_destroy(clients);
    (void)remove_tree(top);
    pd_net_memory_destroy(hub);
    pd_real_host_destroy(real);
    return 0;
}

/* -- Tests ------------------------------------------------------------------------------------- */

/* A new cluster's directory is filled soon after it serves: until then nobody is a member. */
static struct pd_replica_answer_head let_in(uint64_t link)
{
    char ticket[PD_TICKET_TEXT_MAX];
    struct pd_replica_answer_head answer;
    uint64_t deadline_ns = pd_host_now_ns(host) + 60 * SECOND_NS;
    print_ticket(&member, CLUSTER, 60, ticket);
    do {
        answer = ask(link, PD_CLIENTS_HELLO, span(ticket));
    } while (answer.outcome == PD_REPLICA_INVALID && pd_host_now_ns(host) < deadline_ns);
    assert_int_equal(answer.outcome, PD_REPLICA_OK);
    return answer;
}

static uint64_t enter(void)
{
    uint64_t link = dial();
    (void)let_in(link);
    return link;
}

static void test_a_ticket_lets_in(void **state)
{
    (void)state;
    char ticket[PD_TICKET_TEXT_MAX];
    uint8_t room[512];
    uint64_t link = dial();
    /* Before it serves. */
    assert_int_equal(ask(link, 1, put(room, "a")).outcome, PD_REPLICA_NOT_READY);
    pd_clients_open(clients, server);
    refuses(ask(link, 1, put(room, "a")), "a ticket must be shown first");
    refuses(ask(link, PD_CLIENTS_HELLO, span("pando1.AAAA")), "no ticket");
    refuses(ask(link, PD_CLIENTS_HELLO, (struct pd_span){(const uint8_t *)"\0", 1}), "no ticket");
    print_ticket(&member, CLUSTER + 1, 60, ticket);
    refuses(ask(link, PD_CLIENTS_HELLO, span(ticket)), "of another cluster");
    print_ticket(&member, CLUSTER, -60, ticket);
    refuses(ask(link, PD_CLIENTS_HELLO, span(ticket)), "has expired");
    print_ticket(&stranger, CLUSTER, 60, ticket);
    refuses(ask(link, PD_CLIENTS_HELLO, span(ticket)), "who signed the ticket is no member");
    refuses(ask(link, 1, put(room, "a")), "a ticket must be shown first");
    print_ticket(&member, CLUSTER, 60, ticket);
    ticket[60] = ticket[60] == 'A' ? 'B' : 'A';
    refuses(ask(link, PD_CLIENTS_HELLO, span(ticket)), "no ticket");
    struct pd_replica_answer_head answer = let_in(link);
    assert_true(pd_members_lists_key(answer.body, member.key));
    assert_false(pd_members_lists_key(answer.body, stranger.key));
    print_ticket(&member, CLUSTER, 60, ticket);
    refuses(ask(link, PD_CLIENTS_HELLO, span(ticket)), "shown already");
    assert_int_equal(ask(link, 1, put(room, "a")).outcome, PD_REPLICA_OK);
    /* It counts for its link alone. */
    refuses(ask(dial(), 1, put(room, "a")), "a ticket must be shown first");
}

static void test_what_may_be_asked(void **state)
{
    static const enum pd_replica_request_kind refused[] = {
        PD_REPLICA_REQUEST_ADD_LEARNER, PD_REPLICA_REQUEST_PROMOTE,
        PD_REPLICA_REQUEST_REMOVE,      PD_REPLICA_REQUEST_TRANSFER,
        PD_REPLICA_REQUEST_SNAPSHOT,    PD_REPLICA_REQUEST_SNAPSHOT_END,
        PD_REPLICA_REQUEST_LEAVE,       PD_REPLICA_REQUEST_HEARD};
    (void)state;
    uint8_t room[512];
    pd_clients_open(clients, server);
    uint64_t link = enter();
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        refuses(ask(link, 1, request(room, refused[i], 1, span(""))), "through its socket");
    }
    refuses(ask(link, 1, span("nonsense")), "not a request");
    refuses(ask(link, 1, span("")), "not a request");
    /* Nor does a write change who belongs to the cluster. */
    static const enum pd_kv_command_kind of_members[] = {PD_KV_MEMBER_PUT, PD_KV_MEMBER_REMOVE};
    for (size_t i = 0; i < sizeof of_members / sizeof of_members[0]; i++) {
        uint8_t body[128];
        struct pd_kv_writer writer = {.bytes = body, .bytes_max = sizeof body};
        struct pd_kv_command command = {.kind = of_members[i],
                                        .id = (int64_t)pd_members_node_of(stranger.key)};
        pd_kv_command_encode(&writer, &command);
        assert_false(writer.is_full);
        refuses(
            ask(link, 1,
                request(room, PD_REPLICA_REQUEST_WRITE, 0, (struct pd_span){body, writer.size})),
            "through its socket");
    }
    refuses(ask(link, 1, request(room, PD_REPLICA_REQUEST_WRITE, 0, span(""))), "its socket");
    assert_int_equal(ask(link, 1, request(room, PD_REPLICA_REQUEST_STATUS, 0, span(""))).outcome,
                     PD_REPLICA_OK);
    assert_int_equal(ask(link, 1, request(room, PD_REPLICA_REQUEST_LEASES, 0, span(""))).outcome,
                     PD_REPLICA_OK);
}

/* A watch's answers come one after the other, on one request, until it ends; what is said of it
 * has no answer. */
static void test_watches(void **state)
{
    (void)state;
    uint8_t room[512];
    uint8_t body[128];
    struct pd_kv_writer writer = {.bytes = body, .bytes_max = sizeof body};
    pd_clients_open(clients, server);
    uint64_t link = enter();
    pd_replica_watch_request_put(
        &writer, &(struct pd_replica_watch_request){.key = span("w"), .credit = 4096});
    uint32_t answers = atomic_load(&told.answers);
    uint32_t ends = 0;
    assert_int_equal(pd_net_call(nets[1], link, 5,
                                 request(room, PD_REPLICA_REQUEST_WATCH, 0,
                                         (struct pd_span){body, writer.size})),
                     PD_OK);
    wait_count(&told.answers, answers + 1); /* it is there */
    for (uint32_t i = 0; i < 3; i++) {
        answers = atomic_load(&told.answers);
        ends = atomic_load(&told.ends);
        assert_int_equal(pd_net_call(nets[1], link, 10 + i, put(room, "w")), PD_OK);
        wait_count(&told.answers, answers + 2); /* of the put, and the event */
        wait_count(&told.ends, ends + 1);       /* the put's alone */
        assert_int_equal(atomic_load(&told.ends), ends + 1);
    }
    answers = atomic_load(&told.answers);
    ends = atomic_load(&told.ends);
    assert_int_equal(
        pd_net_call(nets[1], link, 20, request(room, PD_REPLICA_REQUEST_UNWATCH, 5, span(""))),
        PD_OK);
    wait_count(&told.ends, ends + 2); /* its own, and the watch's */
    wait_count(&told.answers, answers + 1);
    /* Its place is free: as many as there may be, one after the other. */
    assert_int_equal(ask(link, 21, put(room, "w")).outcome, PD_REPLICA_OK);
}

/* Links that are hung up, and a service that ends under links that stand. */
static void test_links_end(void **state)
{
    (void)state;
    uint8_t room[512];
    pd_clients_open(clients, server);
    for (uint32_t i = 0; i < 8; i++) {
        uint64_t link = enter();
        if (i % 2 == 0) {
            assert_int_equal(pd_net_hang_up(nets[1], link), PD_OK);
            while (!atomic_load(&told.is_closed)) {
                assert_true(host->ops->event_wait(host, &told.event,
                                                  pd_host_now_ns(host) + 60 * SECOND_NS));
            }
        }
    }
    uint64_t link = enter();
    pd_clients_close(clients);
    assert_int_equal(ask(link, 2, put(room, "a")).outcome, PD_REPLICA_NOT_READY);
}

/* -- A worker, which shows its key ------------------------------------------------------------- */

struct insider {
    struct pd_server_client client;
    struct pd_event event; /* the answer has come */
    struct pd_event gone;  /* the core is done with it */
    atomic_uint outcome;   /* one more than it; 0: not yet */
};

static void insider_answered(struct pd_server_client *client, uint64_t correlation,
                             struct pd_span bytes)
{
    struct insider *insider = pd_container_of(client, struct insider, client);
    (void)correlation;
    atomic_store(&insider->outcome, 1u + bytes.bytes[0]);
    host->ops->event_set(host, &insider->event);
}

static void insider_closed(struct pd_server_client *client)
{
    struct insider *insider = pd_container_of(client, struct insider, client);
    host->ops->event_set(host, &insider->gone);
}

static void insider_wait(struct pd_event *event)
{
    assert_true(host->ops->event_wait(host, event, pd_host_now_ns(host) + 60 * SECOND_NS));
}

/* Until it is done: the directory is being filled at first. */
static void order(const struct pd_kv_command *command)
{
    static struct insider insider;
    uint8_t room[2048];
    uint8_t bytes[2048];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_command_encode(&writer, command);
    pd_replica_request_put_head(
        bytes, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_WRITE});
    memcpy(bytes + PD_REPLICA_REQUEST_HEAD_SIZE, room, writer.size);
    memset(&insider, 0, sizeof insider);
    insider.client.answer = insider_answered;
    insider.client.closed = insider_closed;
    assert_int_equal(pd_server_client_open(server, &insider.client), PD_OK);
    while (atomic_load(&insider.outcome) != 1u + PD_REPLICA_OK) {
        atomic_store(&insider.outcome, 0);
        assert_int_equal(
            pd_server_submit(server, &insider.client, 1,
                             (struct pd_span){bytes, PD_REPLICA_REQUEST_HEAD_SIZE + writer.size}),
            PD_OK);
        while (atomic_load(&insider.outcome) == 0) {
            insider_wait(&insider.event);
        }
    }
    pd_server_client_close(server, &insider.client);
    insider_wait(&insider.gone);
}

/* From now on the directory names it. */
static void list(const struct pd_net_identity *identity, enum pd_kv_member_role role)
{
    uint8_t row[PD_KV_MEMBER_BYTES_MAX];
    struct pd_kv_writer writer = {.bytes = row, .bytes_max = sizeof row};
    struct pd_kv_member named = {.role = role,
                                 .name = span(role == PD_KV_MEMBER_WORKER ? "w" : "v")};
    memcpy(named.key, identity->key, sizeof named.key);
    named.peer_count = role == PD_KV_MEMBER_WORKER ? 0 : 1;
    named.peers[0] = span("127.0.0.1:1002");
    pd_kv_member_encode(&writer, &named);
    order(&(struct pd_kv_command){.kind = PD_KV_MEMBER_PUT,
                                  .id = (int64_t)pd_members_node_of(identity->key),
                                  .bytes = {row, writer.size}});
}

static void await_closed(void)
{
    while (!atomic_load(&told.is_closed)) {
        insider_wait(&told.event);
    }
}

/* What a ticket of another one's let in stays, though its holder's key is that of the one who was
 * removed. */
static void test_a_removed_workers_link_is_cut(void **state)
{
    (void)state;
    uint8_t room[512];
    uint64_t node = pd_members_node_of(stranger.key);
    list(&stranger, PD_KV_MEMBER_WORKER);
    pd_clients_open(clients, server);
    atomic_store(&does_cut, true);
    uint64_t visitor = enter();
    uint64_t link = dial();
    assert_int_equal(ask(link, PD_CLIENTS_HELLO, span("")).outcome, PD_REPLICA_OK);
    assert_int_equal(ask(link, 1, put(room, "a")).outcome, PD_REPLICA_OK);
    order(&(struct pd_kv_command){.kind = PD_KV_MEMBER_REMOVE, .id = (int64_t)node});
    await_closed();
    assert_int_equal(ask(visitor, 2, put(room, "a")).outcome, PD_REPLICA_OK);
    refuses(ask(dial(), PD_CLIENTS_HELLO, span("")), "no member, or not any more");
}

/* A ticket is void when its signer is removed, and so is what it let in: who signed it may be why
 * he was removed. That of one who stays lets in, and stays. */
static void test_what_a_removed_signer_let_in_is_cut(void **state)
{
    (void)state;
    static const uint8_t secret[PD_NET_KEY_SIZE] = {3};
    char ticket[PD_TICKET_TEXT_MAX];
    uint8_t room[512];
    struct pd_net_identity signer;
    pd_net_identity_init(&signer, secret);
    list(&signer, PD_KV_MEMBER_VOTER);
    pd_clients_open(clients, server);
    atomic_store(&does_cut, true);
    uint64_t stays = enter();
    uint64_t link = dial();
    print_ticket(&signer, CLUSTER, 60, ticket);
    assert_int_equal(ask(link, PD_CLIENTS_HELLO, span(ticket)).outcome, PD_REPLICA_OK);
    assert_int_equal(ask(link, 1, put(room, "a")).outcome, PD_REPLICA_OK);
    order(&(struct pd_kv_command){.kind = PD_KV_MEMBER_REMOVE,
                                  .id = (int64_t)pd_members_node_of(signer.key)});
    await_closed();
    assert_int_equal(ask(stays, 2, put(room, "a")).outcome, PD_REPLICA_OK);
    refuses(ask(dial(), PD_CLIENTS_HELLO, span(ticket)), "who signed the ticket is no member");
}

/* Its time says how long it lets in, and not for how long. */
static void test_a_link_outlives_its_ticket(void **state)
{
    (void)state;
    char ticket[PD_TICKET_TEXT_MAX];
    uint8_t room[512];
    pd_clients_open(clients, server);
    uint64_t link = enter();
    print_ticket(&member, CLUSTER, 60, ticket);
    atomic_store(&ahead_s, 120);
    assert_int_equal(ask(link, 1, put(room, "a")).outcome, PD_REPLICA_OK);
    refuses(ask(dial(), PD_CLIENTS_HELLO, span(ticket)), "has expired");
    assert_int_equal(ask(link, 2, put(room, "a")).outcome, PD_REPLICA_OK);
}

static void pass_over(void *state, uint64_t from, enum pd_transport_lane lane, struct pd_span bytes)
{
    (void)state;
    (void)from;
    (void)lane;
    (void)bytes;
}

static void note_connected(void *state, uint64_t node)
{
    atomic_bool *is_connected = state;
    (void)node;
    atomic_store(is_connected, true);
    host->ops->event_set(host, &told.event);
}

/* Somebody who takes the node for a peer. */
static struct pd_transport *begin_peer(const struct pd_net_identity *identity,
                                       atomic_bool *is_connected)
{
    struct pd_transport *transport =
        pd_net_memory_transport(hub, pd_members_node_of(identity->key));
    const struct pd_transport_handler handler = {
        .message = pass_over, .connected = note_connected, .state = is_connected};
    struct pd_transport_peer node = {.node = pd_members_node_of(member.key)};
    memcpy(node.key, member.key, sizeof node.key);
    assert_non_null(transport);
    assert_int_equal(transport->ops->set_peers(transport, &node, 1), PD_OK);
    transport->ops->start(transport, &handler);
    return transport;
}

/* The directory knows its key, and yet it has no voice among those that hold a log: no frame of its
 * arrives, nobody believes it that a member was removed, and its link asks for no change. The same
 * from one that is to hold a log is heard. */
static void test_a_worker_is_no_peer(void **state)
{
    (void)state;
    static const uint8_t secret[PD_NET_KEY_SIZE] = {3};
    static const enum pd_replica_request_kind changes[] = {
        PD_REPLICA_REQUEST_REMOVE, PD_REPLICA_REQUEST_LEAVE, PD_REPLICA_REQUEST_TRANSFER};
    struct pd_net_identity joining;
    struct pd_transport_peer_state seen;
    atomic_bool worker_is_connected = false;
    atomic_bool joining_is_connected = false;
    uint8_t room[512];
    uint64_t node = pd_members_node_of(member.key);
    pd_net_identity_init(&joining, secret);
    struct pd_transport *worker = begin_peer(&stranger, &worker_is_connected);
    struct pd_transport *other = begin_peer(&joining, &joining_is_connected);
    list(&stranger, PD_KV_MEMBER_WORKER);
    list(&joining, PD_KV_MEMBER_VOTER);
    while (!atomic_load(&joining_is_connected)) { /* so the worker's row was looked at as well */
        insider_wait(&told.event);
    }
    assert_int_equal(worker->ops->peer_state(worker, node, &seen), PD_OK);
    assert_false(seen.is_connected);
    assert_false(atomic_load(&worker_is_connected));
    assert_int_equal(worker->ops->send(worker, node, PD_TRANSPORT_RAFT, span("frame")),
                     PD_ERR_CLOSED);
    pd_net_memory_tell_removed(hub, node, pd_members_node_of(stranger.key));
    pd_clients_open(clients, server);
    uint64_t link = dial();
    assert_int_equal(ask(link, PD_CLIENTS_HELLO, span("")).outcome, PD_REPLICA_OK);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        refuses(ask(link, 1, request(room, changes[i], node, span(""))), "through its socket");
    }
    assert_int_equal(ask(link, 1, put(room, "a")).outcome, PD_REPLICA_OK);
    assert_false(pd_server_was_removed(server));
    assert_int_equal(other->ops->send(other, node, PD_TRANSPORT_RAFT, span("frame")), PD_OK);
    pd_net_memory_tell_removed(hub, node, pd_members_node_of(joining.key));
    while (!pd_server_was_removed(server)) {
        (void)usleep(1000);
    }
    worker->ops->stop(worker);
    other->ops->stop(other);
}

/* The ticket names a port of this machine that nobody serves before the one that the node has: the
 * service's own socket is the client's. */
static void test_a_member_is_found_at_its_second_address(void **state)
{
    (void)state;
    char text[PD_TICKET_TEXT_MAX];
    char why[PD_STORE_CLUSTER_TEXT_MAX];
    char places[2][PD_NET_ADDRESS_TEXT_MAX];
    struct pd_transport_address nobody;
    struct pd_store_cluster_link *link = NULL;
    struct pd_store_port_config config = pd_store_port_config_default();
    struct pd_ticket ticket = {.cluster_id = CLUSTER,
                               .expires_s = host->ops->wall_ns(host) / SECOND_NS + 3600,
                               .count = 1};
    pd_udp_loop(udps[1])->ops->local(pd_udp_loop(udps[1]), &nobody);
    pd_net_address_print(&nobody, places[0]);
    pd_net_address_print(&address, places[1]);
    memcpy(ticket.members[0].key, member.key, sizeof member.key);
    ticket.members[0].peer_count = 2;
    ticket.members[0].peers[0] = span(places[0]);
    ticket.members[0].peers[1] = span(places[1]);
    assert_int_equal(pd_ticket_print(&ticket, &member, text), PD_OK);
    pd_clients_open(clients, server);
    (void)enter(); /* the directory is filled: its member may sign */
    config.host = host;
    enum pd_status status = pd_store_cluster_link_open(text, 60 * SECOND_NS, &config, why, &link);
    assert_string_equal(why, "");
    assert_int_equal(status, PD_OK);
    pd_store_cluster_link_close(link);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_ticket_lets_in),
        CASE(test_what_may_be_asked),
        CASE(test_watches),
        CASE(test_links_end),
        CASE(test_a_removed_workers_link_is_cut),
        CASE(test_what_a_removed_signer_let_in_is_cut),
        CASE(test_a_link_outlives_its_ticket),
        CASE(test_a_worker_is_no_peer),
        CASE(test_a_member_is_found_at_its_second_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
