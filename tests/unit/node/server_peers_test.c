/* Several servers in one process, each with its own threads and folder, over a transport without a
 * network: one cluster. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "host/disk.h"
#include "host/real.h"
#include "net/memory.h"
#include "node/members.h"
#include "node/members_file.h"
#include "node/server.h"

#define SECOND_NS UINT64_C(1000000000)
#define PATH_SIZE 512
#define ANSWER_MAX 8192
#define NODES 6
#define KNOWN_NAME "members.json"

static struct pd_real_host *real;
static struct pd_host *host;
static struct pd_net_memory *hub;
static char top[PATH_SIZE];

struct node {
    uint8_t key[PD_TRANSPORT_KEY_SIZE];
    uint64_t id;
    char folder[PATH_SIZE + 16];
    const char *address;
    struct pd_server *server;
    bool refuses_key; /* another one is read */
};
static struct node nodes[NODES];

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *walk)
{
    (void)about;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(pd_real_host_create(1, 16, &real), PD_OK);
    host = pd_real_host_interface(real);
    assert_int_equal(pd_net_memory_create(64u << 20, 16u << 20, &hub), PD_OK);
    (void)snprintf(top, sizeof top, "%s/pando-peers-XXXXXX",
                   getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    if (mkdtemp(top) == NULL) {
        return -1;
    }
    static const char *const addresses[NODES] = {"127.0.0.1:1001", "127.0.0.1:1002",
                                                 "127.0.0.1:1003", "127.0.0.1:1004",
                                                 "127.0.0.1:1005", "127.0.0.1:1006"};
    memset(nodes, 0, sizeof nodes);
    for (uint32_t i = 0; i < NODES; i++) {
        memset(nodes[i].key, (int)(i + 1), sizeof nodes[i].key);
        nodes[i].id = pd_members_node_of(nodes[i].key);
        nodes[i].address = addresses[i];
        (void)snprintf(nodes[i].folder, sizeof nodes[i].folder, "%s/node-%u", top, i);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < NODES; i++) {
        pd_server_close(nodes[i].server);
    }
    (void)nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    pd_net_memory_destroy(hub);
    pd_real_host_destroy(real);
    return 0;
}

/* -- Nodes ------------------------------------------------------------------------------------- */

static enum pd_status identify(void *state, const char *folder, bool is_new,
                               uint8_t key_out[PD_TRANSPORT_KEY_SIZE], char *text, size_t text_max)
{
    const struct node *node = state;
    (void)is_new;
    (void)text;
    (void)text_max;
    assert_string_equal(folder, node->folder);
    memcpy(key_out, node->key, sizeof node->key);
    key_out[0] ^= node->refuses_key ? 0x80 : 0;
    return PD_OK;
}

static enum pd_status open_transport(void *state, const char *address, char *text, size_t text_max,
                                     struct pd_transport **transport_out)
{
    const struct node *node = state;
    (void)text;
    (void)text_max;
    assert_string_equal(address, node->address);
    *transport_out = pd_net_memory_transport(hub, node->id);
    assert_non_null(*transport_out);
    return PD_OK;
}

static void close_transport(void *state, struct pd_transport *transport)
{
    (void)state; /* the hub's */
    (void)transport;
}

static struct pd_span span(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

static struct pd_kv_member member_of(const struct node *node)
{
    struct pd_kv_member member = {.node = node->id, .name = span("n"), .peer_count = 1};
    memcpy(member.key, node->key, sizeof member.key);
    member.peers[0] = span(node->address);
    return member;
}

/* The folder of a node that has not begun, with the first `count` nodes in its cluster.json. */
static void prepare(struct node *node, uint32_t count, bool joins)
{
    struct pd_members_file file = {.cluster_id = 77, .count = count};
    file.start = joins ? PD_MEMBERS_START_JOIN : PD_MEMBERS_START_NEW;
    struct pd_disk *disk = NULL;
    for (uint32_t i = 0; i < count; i++) {
        file.members[i] = member_of(&nodes[i]);
    }
    assert_int_equal(pd_host_disk_open(node->folder, true, &disk), PD_OK);
    assert_int_equal(pd_members_file_write(disk, &file), PD_OK);
    disk->ops->close_disk(disk);
}

static atomic_uint slow_seen; /* 1: of a request that was passed on, 2: of another node's */

static bool on_slow(void *state, const struct pd_server_slow *slow)
{
    (void)state;
    (void)atomic_fetch_or(&slow_seen, slow->is_forwarded ? 1u : slow->node != 0 ? 2u : 0);
    return true;
}

static struct pd_server_config config_of(struct node *node)
{
    struct pd_server_config config = pd_server_config_default();
    config.folder = node->folder;
    config.host = host;
    config.wal.segment_bytes = 16u << 20;
    config.disk_low_bytes = 0;
    config.replica.kv.overlay_bytes = 64u << 20;
    config.replica.kv.cache_bytes = 1u << 20;
    config.peers.identify = identify;
    config.peers.open = open_transport;
    config.peers.close = close_transport;
    config.peers.state = node;
    config.peers.peer_address = node->address;
    config.replica.voters_max = 3;
    config.replica.slow_ns = 1;
    config.slow = on_slow;
    return config;
}

static void open_node(struct node *node)
{
    struct pd_server_config config = config_of(node);
    char text[PD_SERVER_TEXT_MAX];
    enum pd_status status = pd_server_open(&config, text, &node->server);
    if (status != PD_OK) {
        print_error("%s: %s\n", pd_status_text(status), text);
    }
    assert_int_equal(status, PD_OK);
}

static void wait_ready(const struct node *node)
{
    assert_true(pd_server_wait_ready(node->server, pd_host_now_ns(host) + 60 * SECOND_NS));
}

static void close_node(struct node *node)
{
    pd_server_close(node->server);
    node->server = NULL;
}

static void open_cluster(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        prepare(&nodes[i], count, false);
        open_node(&nodes[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        wait_ready(&nodes[i]);
    }
}

static void isolate(const struct node *node, bool is_cut)
{
    for (uint32_t i = 0; i < NODES; i++) {
        if (nodes[i].id != node->id && nodes[i].server != NULL) {
            (is_cut ? pd_net_memory_cut : pd_net_memory_mend)(hub, node->id, nodes[i].id);
        }
    }
}

/* -- A client that waits ----------------------------------------------------------------------- */

struct caller {
    struct pd_server_client client;
    struct pd_server *server;
    struct pd_event event; /* answers have come */
    struct pd_event gone;  /* the core is done with it */
    uint64_t correlation;
    atomic_uint answers;
    size_t size;
    uint8_t bytes[ANSWER_MAX];
    uint32_t outcomes[PD_REPLICA_OUTCOME_COUNT];
};

static void on_answer(struct pd_server_client *client, uint64_t correlation, struct pd_span bytes)
{
    struct caller *caller = pd_container_of(client, struct caller, client);
    (void)correlation;
    assert_true(bytes.size <= sizeof caller->bytes);
    memcpy(caller->bytes, bytes.bytes, bytes.size);
    caller->size = bytes.size;
    caller->outcomes[bytes.bytes[0]]++;
    (void)atomic_fetch_add(&caller->answers, 1);
    host->ops->event_set(host, &caller->event);
}

static void on_closed(struct pd_server_client *client)
{
    struct caller *caller = pd_container_of(client, struct caller, client);
    host->ops->event_set(host, &caller->gone);
}

static void open_caller(struct node *node, struct caller *caller)
{
    memset(caller, 0, sizeof *caller);
    caller->client.answer = on_answer;
    caller->client.closed = on_closed;
    caller->server = node->server;
    assert_int_equal(pd_server_client_open(node->server, &caller->client), PD_OK);
}

static void wait_for(struct pd_event *event)
{
    assert_true(host->ops->event_wait(host, event, pd_host_now_ns(host) + 60 * SECOND_NS));
}

static void wait_answers(struct caller *caller, uint32_t count)
{
    while (atomic_load(&caller->answers) < count) {
        wait_for(&caller->event);
    }
}

static void close_caller(struct caller *caller)
{
    pd_server_client_close(caller->server, &caller->client);
    wait_for(&caller->gone);
}

static void submit(struct caller *caller, const struct pd_replica_request_head *head)
{
    uint8_t bytes[ANSWER_MAX];
    pd_replica_request_put_head(bytes, head);
    if (head->body.size > 0) {
        memcpy(bytes + PD_REPLICA_REQUEST_HEAD_SIZE, head->body.bytes, head->body.size);
    }
    assert_int_equal(
        pd_server_submit(caller->server, &caller->client, ++caller->correlation,
                         (struct pd_span){bytes, PD_REPLICA_REQUEST_HEAD_SIZE + head->body.size}),
        PD_OK);
}

static struct pd_replica_answer_head call(struct caller *caller,
                                          const struct pd_replica_request_head *head)
{
    struct pd_replica_answer_head answer;
    uint32_t before = atomic_load(&caller->answers);
    submit(caller, head);
    wait_answers(caller, before + 1);
    assert_int_equal(
        pd_replica_answer_decode((struct pd_span){caller->bytes, caller->size}, &answer), PD_OK);
    return answer;
}

/* The lead may change at any moment on a machine with much to do: then one asks again. */
static bool is_no_answer(enum pd_replica_outcome outcome)
{
    return outcome == PD_REPLICA_BUSY || outcome == PD_REPLICA_NOT_READY ||
           outcome == PD_REPLICA_UNKNOWN;
}

static size_t encode_put(uint8_t *room, size_t room_max, const char *key)
{
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = room_max};
    pd_kv_encode_put(&writer, &(struct pd_kv_put){.key = span(key), .value = span("v")});
    return writer.size;
}

static void begin_put(struct caller *caller, const char *key)
{
    uint8_t room[256];
    size_t size = encode_put(room, sizeof room, key);
    submit(caller, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_WRITE,
                                                     .body = {room, size}});
}

static enum pd_replica_outcome put(struct caller *caller, const char *key)
{
    uint8_t room[256];
    size_t size = encode_put(room, sizeof room, key);
    return call(caller, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_WRITE,
                                                          .body = {room, size}})
        .outcome;
}

/* How often the key was written; linearizable. */
static int64_t version(struct caller *caller, const char *key)
{
    uint8_t room[256];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    struct pd_kv_record record;
    pd_kv_encode_range(&writer, &(struct pd_kv_range){.key = span(key)});
    struct pd_replica_answer_head answer;
    do {
        answer = call(caller, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_READ,
                                                                .body = {room, writer.size}});
    } while (is_no_answer(answer.outcome));
    assert_int_equal(answer.outcome, PD_REPLICA_OK);
    pd_kv_reader_init(&reader, answer.body);
    pd_kv_answer_head(&reader, &head);
    return pd_kv_answer_record(&reader, &record) ? record.version : 0;
}

static uint64_t told_leader(struct node *node)
{
    struct caller caller;
    open_caller(node, &caller);
    uint64_t leader =
        call(&caller, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_STATUS}).leader;
    close_caller(&caller);
    return leader;
}

/* Of the first `count`, when all of them agree. */
static struct node *leader_of(uint32_t count)
{
    for (;;) {
        struct node *leader = NULL;
        uint64_t told = told_leader(&nodes[0]);
        for (uint32_t i = 1; i < count; i++) {
            told = told_leader(&nodes[i]) == told ? told : 0;
        }
        for (uint32_t i = 0; i < count; i++) {
            leader = nodes[i].id == told ? &nodes[i] : leader;
        }
        if (leader != NULL) {
            return leader;
        }
        (void)usleep(1000);
    }
}

static enum pd_kv_error write_member(struct caller *caller, const struct pd_kv_command *command)
{
    uint8_t room[2048];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    struct pd_replica_answer_head answer;
    pd_kv_command_encode(&writer, command);
    do {
        answer = call(caller, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_WRITE,
                                                                .body = {room, writer.size}});
    } while (answer.outcome == PD_REPLICA_BUSY);
    if (answer.outcome != PD_REPLICA_OK) {
        return PD_KV_ERR_COUNT;
    }
    pd_kv_reader_init(&reader, answer.body);
    pd_kv_answer_head(&reader, &head);
    return head.error;
}

static enum pd_kv_error put_member(struct caller *caller, const struct node *node)
{
    uint8_t bytes[PD_KV_MEMBER_BYTES_MAX];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    struct pd_kv_member member = member_of(node);
    pd_kv_member_encode(&writer, &member);
    return write_member(caller, &(struct pd_kv_command){.kind = PD_KV_MEMBER_PUT,
                                                        .id = (int64_t)node->id,
                                                        .bytes = {bytes, writer.size}});
}

struct told {
    uint32_t voters;
    uint32_t learners;
    uint32_t listed;
    char address[64]; /* of `about` */
};

static struct told members(struct caller *caller, const struct node *about)
{
    struct told told = {0};
    struct pd_kv_reader reader;
    struct pd_members_item item;
    struct pd_replica_answer_head answer;
    do {
        answer =
            call(caller, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_MEMBERS});
    } while (is_no_answer(answer.outcome));
    assert_int_equal(answer.outcome, PD_REPLICA_OK);
    pd_kv_reader_init(&reader, answer.body);
    while (pd_members_next(&reader, &item)) {
        told.voters += item.standing == PD_MEMBERS_VOTER;
        told.learners += item.standing == PD_MEMBERS_LEARNER;
        told.listed += item.is_listed;
        if (about != NULL && item.member.node == about->id && item.is_listed) {
            assert_memory_equal(item.member.key, about->key, sizeof about->key);
            (void)snprintf(told.address, sizeof told.address, "%.*s",
                           (int)item.member.peers[0].size,
                           (const char *)item.member.peers[0].bytes);
        }
    }
    assert_true(pd_kv_answer_is_whole(&reader));
    return told;
}

/* -- Tests ------------------------------------------------------------------------------------- */

static void any_node_serves_any_client(void **state)
{
    (void)state;
    open_cluster(3);
    for (uint32_t i = 0; i < 3; i++) {
        struct caller caller;
        open_caller(&nodes[i], &caller);
        assert_int_equal(put(&caller, "k"), PD_REPLICA_OK);
        assert_int_equal(version(&caller, "k"), i + 1);
        struct told told;
        do { /* the leader fills the directory one by one */
            told = members(&caller, &nodes[2]);
        } while (told.listed < 3);
        assert_int_equal(told.voters, 3);
        assert_int_equal(told.learners, 0);
        assert_string_equal(told.address, nodes[2].address);
        close_caller(&caller);
    }
    /* All stop and come back. */
    for (uint32_t i = 0; i < 3; i++) {
        close_node(&nodes[i]);
    }
    for (uint32_t i = 0; i < 3; i++) {
        open_node(&nodes[i]);
    }
    struct caller caller;
    wait_ready(&nodes[1]);
    open_caller(&nodes[1], &caller);
    assert_int_equal(version(&caller, "k"), 3);
    close_caller(&caller);
}

/* What was passed on to a leader that is lost is asked for again, and happened once. */
static void a_lost_leader_neither_loses_nor_repeats(void **state)
{
    (void)state;
    struct caller caller;
    uint32_t sent = 0;
    open_cluster(3);
    for (uint32_t round = 0; round < 3; round++) {
        struct node *leader = leader_of(3);
        struct node *follower = leader == &nodes[0] ? &nodes[1] : &nodes[0];
        open_caller(follower, &caller);
        for (uint32_t i = 0; i < 200; i++) {
            begin_put(&caller, "counter");
            if (i == 60) {
                wait_answers(&caller, 1); /* the session is open: the others stand in it */
                isolate(leader, true);
            }
        }
        wait_answers(&caller, 200);
        assert_int_equal(caller.outcomes[PD_REPLICA_OK], 200);
        sent += 200;
        assert_int_equal(version(&caller, "counter"), sent);
        isolate(leader, false);
        close_caller(&caller);
    }
    struct pd_server_counters counters;
    uint64_t again = 0;
    for (uint32_t i = 0; i < 3; i++) {
        pd_server_counters(nodes[i].server, &counters);
        again += counters.peers.forwards_again;
    }
    assert_true(again > 0);
}

static void without_a_majority_a_write_ends_in_time(void **state)
{
    (void)state;
    struct caller caller;
    prepare(&nodes[0], 3, false);
    struct pd_server_config config = config_of(&nodes[0]);
    char text[PD_SERVER_TEXT_MAX];
    config.replica.request_ticks_max = 5;
    assert_int_equal(pd_server_open(&config, text, &nodes[0].server), PD_OK);
    assert_false(pd_server_wait_ready(nodes[0].server, pd_host_now_ns(host) + SECOND_NS / 20));
    open_caller(&nodes[0], &caller);
    assert_int_equal(put(&caller, "k"), PD_REPLICA_NOT_READY);
    close_caller(&caller);
}

static void a_node_that_moves_says_so(void **state)
{
    (void)state;
    struct caller caller;
    open_cluster(3);
    open_caller(&nodes[0], &caller);
    while (members(&caller, NULL).listed < 3) {
    }
    close_node(&nodes[2]);
    nodes[2].address = "127.0.0.1:2003";
    open_node(&nodes[2]);
    while (strcmp(members(&caller, &nodes[2]).address, "127.0.0.1:2003") != 0) {
    }
    close_caller(&caller);
}

static void refuses(struct node *node, enum pd_status wanted, const char *words)
{
    struct pd_server_config config = config_of(node);
    char text[PD_SERVER_TEXT_MAX];
    assert_int_equal(pd_server_open(&config, text, &node->server), wanted);
    if (strstr(text, words) == NULL) {
        print_error("'%s' instead of '%s'\n", text, words);
    }
    assert_non_null(strstr(text, words));
    node->server = NULL;
}

static void a_foreign_folder_is_refused(void **state)
{
    (void)state;
    prepare(&nodes[3], 3, false);
    refuses(&nodes[3], PD_ERR_DENIED, "does not name this node");
    open_cluster(1);
    close_node(&nodes[0]);
    nodes[0].refuses_key = true;
    refuses(&nodes[0], PD_ERR_CORRUPT, "of different nodes");
    nodes[0].refuses_key = false;
    struct pd_disk *disk = NULL;
    struct pd_members_file file = {.cluster_id = 78, .count = 1, .members = {member_of(&nodes[0])}};
    assert_int_equal(pd_host_disk_open(nodes[0].folder, true, &disk), PD_OK);
    assert_int_equal(pd_members_file_write(disk, &file), PD_OK);
    refuses(&nodes[0], PD_ERR_EXISTS, "in use");
    disk->ops->close_disk(disk);
    refuses(&nodes[0], PD_ERR_CORRUPT, "another cluster");
}

/* Its node.json is gone, and with it what it promised: it never begins anew under its old key. */
static void a_wiped_node_does_not_come_back(void **state)
{
    (void)state;
    static const char *const lost[] = {"log", "store"};
    char path[PATH_SIZE + 64];
    open_cluster(3);
    close_node(&nodes[2]);
    (void)snprintf(path, sizeof path, "%s/node.json", nodes[2].folder);
    assert_int_equal(remove(path), 0);
    refuses(&nodes[2], PD_ERR_DENIED, "no node.json");
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", nodes[2].folder, lost[i]);
        (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
    refuses(&nodes[2], PD_ERR_CORRUPT, "what it promised");
}

/* -- Whom a node knew last --------------------------------------------------------------------- */

/* A change of the members is looked at, and asked for until it is there. */
struct seat {
    enum pd_members_standing standing;
    bool is_listed;
    uint32_t voters; /* in all */
    uint32_t listed;
};

static struct seat seat_of(struct caller *caller, const struct node *node)
{
    struct seat seat = {.standing = PD_MEMBERS_NONE};
    struct pd_kv_reader reader;
    struct pd_members_item item;
    struct pd_replica_answer_head answer;
    do {
        answer =
            call(caller, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_MEMBERS});
    } while (answer.outcome != PD_REPLICA_OK);
    pd_kv_reader_init(&reader, answer.body);
    while (pd_members_next(&reader, &item)) {
        seat.voters += item.standing == PD_MEMBERS_VOTER;
        seat.listed += item.is_listed;
        if (item.member.node == node->id) {
            seat.standing = item.standing;
            seat.is_listed = item.is_listed;
        }
    }
    assert_true(pd_kv_answer_is_whole(&reader));
    return seat;
}

static void wait_listed(struct caller *caller, uint32_t count)
{
    while (seat_of(caller, &nodes[0]).listed != count) {
    }
}

static void list(struct caller *caller, const struct node *node)
{
    while (!seat_of(caller, node).is_listed) {
        (void)put_member(caller, node);
    }
}

static void unlist(struct caller *caller, const struct node *node)
{
    const struct pd_kv_command forget = {.kind = PD_KV_MEMBER_REMOVE, .id = (int64_t)node->id};
    while (seat_of(caller, node).is_listed) {
        (void)write_member(caller, &forget);
    }
}

static void become(struct caller *caller, enum pd_replica_request_kind kind,
                   const struct node *node, enum pd_members_standing standing)
{
    const struct pd_replica_request_head head = {.kind = kind, .number = node->id};
    while (seat_of(caller, node).standing != standing) {
        (void)call(caller, &head);
    }
}

static void add_voter(struct caller *caller, struct node *node)
{
    list(caller, node);
    become(caller, PD_REPLICA_REQUEST_ADD_LEARNER, node, PD_MEMBERS_LEARNER);
    prepare(node, 3, true);
    open_node(node);
    become(caller, PD_REPLICA_REQUEST_PROMOTE, node, PD_MEMBERS_VOTER);
}

static void a_node_joins_is_promoted_and_leaves_for_good(void **state)
{
    (void)state;
    struct caller caller;
    struct node *fourth = &nodes[3];
    open_cluster(3);
    open_caller(&nodes[0], &caller);
    assert_int_equal(put(&caller, "k"), PD_REPLICA_OK);
    /* Who is not in the directory does not become a member. */
    const struct pd_replica_request_head add = {.kind = PD_REPLICA_REQUEST_ADD_LEARNER,
                                                .number = fourth->id};
    enum pd_replica_outcome outcome;
    while (is_no_answer(outcome = call(&caller, &add).outcome)) {
    }
    assert_int_equal(outcome, PD_REPLICA_INVALID);
    list(&caller, fourth);
    become(&caller, PD_REPLICA_REQUEST_ADD_LEARNER, fourth, PD_MEMBERS_LEARNER);
    prepare(fourth, 3, true);
    open_node(fourth);
    wait_ready(fourth);
    struct caller at_fourth;
    open_caller(fourth, &at_fourth);
    assert_int_equal(version(&at_fourth, "k"), 1);
    assert_int_equal(members(&at_fourth, fourth).learners, 1);
    become(&at_fourth, PD_REPLICA_REQUEST_PROMOTE, fourth, PD_MEMBERS_VOTER);
    assert_int_equal(members(&caller, NULL).voters, 4);
    /* It leaves the configuration before it leaves the directory. */
    const struct pd_kv_command forget = {.kind = PD_KV_MEMBER_REMOVE, .id = (int64_t)fourth->id};
    assert_int_equal(write_member(&caller, &forget), PD_KV_ERR_COUNT);
    become(&caller, PD_REPLICA_REQUEST_REMOVE, fourth, PD_MEMBERS_NONE);
    unlist(&caller, fourth);
    while (put_member(&caller, fourth) != PD_KV_ERR_MEMBER_REMOVED) { /* once it is answered */
    }
    struct told told = members(&caller, fourth);
    assert_int_equal(told.voters, 3);
    assert_int_equal(told.listed, 3);
    close_caller(&at_fourth);
    /* Nobody speaks to it any more. */
    struct pd_transport_peer_state peer;
    struct pd_transport *transport = pd_net_memory_transport(hub, nodes[0].id);
    while (transport->ops->peer_state(transport, fourth->id, &peer) != PD_ERR_UNKNOWN) {
        (void)usleep(1000);
    }
    close_caller(&caller);
}

/* As a node that was killed while it took over a state: its log begins behind the first entry, its
 * store counts as empty. All that its cluster.json names are gone. */
static void a_node_without_a_state_finds_who_came_later(void **state)
{
    (void)state;
    struct caller caller;
    struct node *victim = &nodes[3];
    char path[PATH_SIZE + 64];
    open_cluster(3);
    open_caller(&nodes[0], &caller);
    wait_listed(&caller, 3);
    for (uint32_t i = 3; i < NODES; i++) {
        add_voter(&caller, &nodes[i]);
    }
    close_caller(&caller);
    open_caller(victim, &caller);
    for (uint32_t i = 0; i < 3; i++) {
        become(&caller, PD_REPLICA_REQUEST_REMOVE, &nodes[i], PD_MEMBERS_NONE);
        unlist(&caller, &nodes[i]);
        close_node(&nodes[i]);
    }
    close_caller(&caller);
    close_node(victim);
    (void)snprintf(path, sizeof path, "%s/store", victim->folder);
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    open_node(victim);
    wait_ready(victim);
    open_caller(victim, &caller);
    struct seat seat = seat_of(&caller, victim);
    assert_int_equal(seat.standing, PD_MEMBERS_VOTER);
    assert_int_equal(seat.voters, 3);
    assert_int_equal(seat.listed, 3);
    close_caller(&caller);
}

static void write_known(const struct node *at, uint64_t cluster, uint64_t index,
                        const struct node *named)
{
    struct pd_members_file file = {.cluster_id = cluster,
                                   .start = PD_MEMBERS_START_BEGUN,
                                   .index = index,
                                   .count = 1,
                                   .members = {member_of(named)}};
    struct pd_disk *disk = NULL;
    assert_int_equal(pd_host_disk_open(at->folder, true, &disk), PD_OK);
    assert_int_equal(pd_members_file_write_as(disk, KNOWN_NAME, &file), PD_OK);
    disk->ops->close_disk(disk);
}

static bool knows(const struct node *node, const struct node *other)
{
    struct pd_transport_peer_state peer;
    struct pd_transport *transport = pd_net_memory_transport(hub, node->id);
    return transport->ops->peer_state(transport, other->id, &peer) != PD_ERR_UNKNOWN;
}

/* Whether the node, opened once, would speak to `other`; not alone, it gets no further. */
static bool would_know(struct node *node, const struct node *other)
{
    open_node(node);
    assert_true(knows(node, &nodes[1]) && knows(node, &nodes[2])); /* cluster.json's, always */
    bool does_know = knows(node, other);
    close_node(node);
    return does_know;
}

static void a_file_of_known_members_is_judged(void **state)
{
    (void)state;
    struct node *node = &nodes[0];
    struct node *other = &nodes[4];
    char path[PATH_SIZE + 64];
    (void)snprintf(path, sizeof path, "%s/" KNOWN_NAME, node->folder);
    prepare(node, 3, false);
    assert_false(would_know(node, other));
    write_known(node, 77, 1000, other);
    assert_true(would_know(node, other));
    assert_false(would_know(node, &nodes[5]));
    write_known(node, 78, 1000, other); /* of another cluster */
    assert_false(would_know(node, other));
    write_known(node, 77, 0, other); /* as somebody could write it who knows no entry */
    assert_false(would_know(node, other));
    write_known(node, 77, 1000, other);
    assert_int_equal(truncate(path, 100), 0);
    assert_false(would_know(node, other));
    assert_int_equal(truncate(path, 0), 0);
    assert_false(would_know(node, other));
}

/* Whatever byte is another one: it is refused, or says the same. */
static void a_file_of_known_members_has_a_sum(void **state)
{
    (void)state;
    struct node *node = &nodes[0];
    struct pd_disk *disk = NULL;
    struct pd_disk_file opened;
    uint8_t bytes[2048];
    char text[128];
    size_t size = 0;
    uint64_t whole = 0;
    uint32_t refused = 0;
    assert_int_equal(pd_host_disk_open(node->folder, true, &disk), PD_OK);
    disk->ops->close_disk(disk);
    write_known(node, 77, 1000, &nodes[4]);
    assert_int_equal(pd_host_disk_open(node->folder, true, &disk), PD_OK);
    assert_int_equal(disk->ops->open(disk, KNOWN_NAME, &opened, &whole), PD_OK);
    assert_int_equal(disk->ops->read(disk, opened, 0, bytes, sizeof bytes, &size), PD_OK);
    assert_true(size == whole && size < sizeof bytes);
    for (size_t i = 0; i < size; i++) {
        struct pd_members_file file;
        const uint8_t changed = bytes[i] ^ 1;
        assert_int_equal(disk->ops->write(disk, opened, i, &changed, 1), PD_OK);
        enum pd_status status = pd_members_file_read_as(disk, KNOWN_NAME, text, sizeof text, &file);
        refused += status != PD_OK;
        if (status == PD_OK && file.index != 0) {
            struct pd_kv_member same = member_of(&nodes[4]);
            assert_int_equal(file.cluster_id, 77);
            assert_int_equal(file.index, 1000);
            assert_int_equal(file.count, 1);
            assert_memory_equal(file.members[0].key, same.key, sizeof same.key);
            assert_int_equal(file.members[0].peers[0].size, same.peers[0].size);
            assert_memory_equal(file.members[0].peers[0].bytes, same.peers[0].bytes,
                                same.peers[0].size);
        }
        pd_members_file_deinit(&file);
        assert_int_equal(disk->ops->write(disk, opened, i, &bytes[i], 1), PD_OK);
    }
    disk->ops->close(disk, opened);
    disk->ops->close_disk(disk);
    assert_true(refused > size / 2);
}

/* One who was removed since is known for no longer than until the directory is. */
static void a_stale_file_of_known_members_gives_way(void **state)
{
    (void)state;
    struct caller caller;
    struct node *gone = &nodes[3];
    open_cluster(3);
    open_caller(&nodes[0], &caller);
    wait_listed(&caller, 3);
    list(&caller, gone);
    unlist(&caller, gone);
    close_caller(&caller);
    close_node(&nodes[0]);
    for (uint64_t index = 1; index <= 1000000; index *= 1000000) { /* older, and newer than all */
        write_known(&nodes[0], 77, index, gone);
        open_node(&nodes[0]);
        wait_ready(&nodes[0]);
        while (knows(&nodes[0], gone)) {
            (void)usleep(1000);
        }
        close_node(&nodes[0]);
    }
    write_known(&nodes[0], 77, 1, gone);
    open_node(&nodes[0]);
    wait_ready(&nodes[0]);
    open_caller(&nodes[0], &caller);
    wait_listed(&caller, 3);
    close_caller(&caller);
    close_node(&nodes[0]);
    struct pd_disk *disk = NULL;
    struct pd_members_file file;
    char text[128];
    assert_int_equal(pd_host_disk_open(nodes[0].folder, true, &disk), PD_OK);
    assert_int_equal(pd_members_file_read_as(disk, KNOWN_NAME, text, sizeof text, &file), PD_OK);
    assert_int_equal(file.count, 3);
    assert_null(pd_members_file_find(&file, gone->id));
    pd_members_file_deinit(&file);
    disk->ops->close_disk(disk);
}

/* -- Leaving ----------------------------------------------------------------------------------- */

static enum pd_replica_outcome leave(struct caller *caller, uint64_t node)
{
    return call(caller,
                &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_LEAVE, .number = node})
        .outcome;
}

/* As `pando cluster remove` does it at the very node that leaves. Should the lead change between
 * the two steps of it, another one is asked for the second. */
static void a_node_that_is_asked_leaves_itself(void **state)
{
    (void)state;
    const struct pd_replica_request_head hand_over = {.kind = PD_REPLICA_REQUEST_TRANSFER};
    struct caller caller;
    struct caller other;
    open_cluster(3);
    struct node *node = leader_of(3);
    open_caller(node, &caller);
    open_caller(node == &nodes[0] ? &nodes[1] : &nodes[0], &other);
    wait_listed(&other, 3);
    struct seat seat = seat_of(&other, node);
    while (seat.standing != PD_MEMBERS_NONE || seat.is_listed) {
        if (leave(seat.standing == PD_MEMBERS_NONE ? &other : &caller, node->id) != PD_REPLICA_OK) {
            (void)call(&caller, &hand_over);
        }
        seat = seat_of(&other, node);
    }
    assert_int_equal(seat.voters, 2);
    assert_int_equal(seat.listed, 2);
    while (leave(&other, node->id) != PD_REPLICA_OK) { /* asking again is no mistake */
    }
    enum pd_replica_outcome outcome;
    do {
        outcome = leave(&other, 12345);
    } while (is_no_answer(outcome));
    assert_int_equal(outcome, PD_REPLICA_INVALID);
    close_caller(&other);
    close_caller(&caller);
}

/* A node that does not lead, and reaches nobody. */
static struct node *isolate_follower(void)
{
    for (;;) {
        struct node *leader = leader_of(3);
        struct node *node = leader == &nodes[0] ? &nodes[1] : &nodes[0];
        isolate(node, true);
        if (told_leader(node) != node->id) {
            return node;
        }
        isolate(node, false);
    }
}

/* Nobody speaks to it; then a member says that it was removed. Who asked for that is answered. */
static void a_node_that_is_told_of_its_removal_ends(void **state)
{
    (void)state;
    struct caller caller;
    open_cluster(3);
    struct node *node = isolate_follower();
    open_caller(node, &caller);
    submit(&caller,
           &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_LEAVE, .number = node->id});
    (void)told_leader(node); /* it has been taken up */
    assert_int_equal(atomic_load(&caller.answers), 0);
    assert_false(pd_server_was_removed(node->server));
    pd_net_memory_tell_removed(hub, node->id, node == &nodes[0] ? nodes[1].id : nodes[0].id);
    wait_answers(&caller, 1);
    assert_int_equal(caller.bytes[0], PD_REPLICA_OK);
    while (!pd_server_was_removed(node->server)) {
        (void)usleep(1000);
    }
    close_caller(&caller);
}

/* Who passes it on, and the leader. */
static void both_nodes_tell_of_a_slow_request(void **state)
{
    struct caller caller;
    (void)state;
    open_cluster(2);
    atomic_store(&slow_seen, 0);
    for (uint32_t i = 0; atomic_load(&slow_seen) != 3; i++) {
        open_caller(&nodes[i % 2], &caller);
        (void)put(&caller, "k");
        close_caller(&caller);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_node_serves_any_client, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lost_leader_neither_loses_nor_repeats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_majority_a_write_ends_in_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_node_joins_is_promoted_and_leaves_for_good, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_node_that_moves_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wiped_node_does_not_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_foreign_folder_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(both_nodes_tell_of_a_slow_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_node_without_a_state_finds_who_came_later, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_file_of_known_members_is_judged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_of_known_members_has_a_sum, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_node_that_is_asked_leaves_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_node_that_is_told_of_its_removal_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stale_file_of_known_members_gives_way, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
