/* peers_world - several servers in one process, each with its own threads and folder, over a
 * transport without a network: one cluster. */
#ifndef PD_TEST_PEERS_WORLD_H
#define PD_TEST_PEERS_WORLD_H

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
#include "net/memory.h"
#include "node/members.h"
#include "node/members_file.h"
#include "node/server.h"
#include "support/remove_tree.h"

#define SECOND_NS UINT64_C(1000000000)
#define PATH_SIZE 512
#define ANSWER_MAX 8192
#define NODES 6

static struct pd_real_host *real;
static struct pd_host *host;
static struct pd_net_memory *hub;
static char top[PATH_SIZE];

struct node {
    uint8_t key[PD_TRANSPORT_KEY_SIZE];
    uint64_t id;
    char folder[PATH_SIZE + 16];
    const char *address;
    const char *name;
    const char *told_name; /* NULL: as cluster.json has it */
    struct pd_server *server;
    bool refuses_key;     /* another one is read */
    uint32_t version_max; /* of its program; 0: this one's */
};
static struct node nodes[NODES];

static inline int set_up(void **state)
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
    static const char *const names[NODES] = {"n0", "n1", "n2", "n3", "n4", "n5"};
    memset(nodes, 0, sizeof nodes);
    for (uint32_t i = 0; i < NODES; i++) {
        memset(nodes[i].key, (int)(i + 1), sizeof nodes[i].key);
        nodes[i].id = pd_members_node_of(nodes[i].key);
        nodes[i].address = addresses[i];
        nodes[i].name = names[i];
        (void)snprintf(nodes[i].folder, sizeof nodes[i].folder, "%s/node-%u", top, i);
    }
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < NODES; i++) {
        pd_server_close(nodes[i].server);
    }
    (void)remove_tree(top);
    pd_net_memory_destroy(hub);
    pd_real_host_destroy(real);
    return 0;
}

/* -- Nodes ------------------------------------------------------------------------------------- */

static inline enum pd_status identify(void *state, const char *folder, bool is_new,
                                      uint8_t key_out[PD_TRANSPORT_KEY_SIZE], char *text,
                                      size_t text_max)
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

static inline enum pd_status open_transport(void *state, const char *address, char *text,
                                            size_t text_max, struct pd_transport **transport_out)
{
    const struct node *node = state;
    (void)text;
    (void)text_max;
    assert_string_equal(address, node->address);
    *transport_out = pd_net_memory_transport(hub, node->id);
    assert_non_null(*transport_out);
    return PD_OK;
}

static inline void close_transport(void *state, struct pd_transport *transport)
{
    (void)state; /* the hub's */
    (void)transport;
}

static inline struct pd_span span(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

static inline struct pd_kv_member member_of(const struct node *node)
{
    struct pd_kv_member member = {.node = node->id, .name = span(node->name), .peer_count = 1};
    memcpy(member.key, node->key, sizeof member.key);
    member.peers[0] = span(node->address);
    return member;
}

/* The folder of a node that has not begun, with the first `count` nodes in its cluster.json. */
static inline void prepare(struct node *node, uint32_t count, bool joins)
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

static inline bool on_slow(void *state, const struct pd_server_slow *slow)
{
    (void)state;
    (void)atomic_fetch_or(&slow_seen, slow->is_forwarded ? 1u : slow->node != 0 ? 2u : 0);
    return true;
}

static inline struct pd_server_config config_of(struct node *node)
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
    config.peers.name = node->told_name;
    config.replica.voters_max = 3;
    config.replica.slow_ns = 1;
    config.slow = on_slow;
    if (node->version_max != 0) {
        config.replica.kv.version_max = node->version_max;
    }
    return config;
}

static inline void open_node(struct node *node)
{
    struct pd_server_config config = config_of(node);
    char text[PD_SERVER_TEXT_MAX];
    enum pd_status status = pd_server_open(&config, text, &node->server);
    if (status != PD_OK) {
        print_error("%s: %s\n", pd_status_text(status), text);
    }
    assert_int_equal(status, PD_OK);
}

static inline void wait_ready(const struct node *node)
{
    assert_true(pd_server_wait_ready(node->server, pd_host_now_ns(host) + 60 * SECOND_NS));
}

static inline void close_node(struct node *node)
{
    pd_server_close(node->server);
    node->server = NULL;
}

static inline void open_cluster(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        prepare(&nodes[i], count, false);
        open_node(&nodes[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        wait_ready(&nodes[i]);
    }
}

static inline void isolate(const struct node *node, bool is_cut)
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

static inline void on_answer(struct pd_server_client *client, uint64_t correlation,
                             struct pd_span bytes)
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

static inline void on_closed(struct pd_server_client *client)
{
    struct caller *caller = pd_container_of(client, struct caller, client);
    host->ops->event_set(host, &caller->gone);
}

static inline void open_caller(struct node *node, struct caller *caller)
{
    memset(caller, 0, sizeof *caller);
    caller->client.answer = on_answer;
    caller->client.closed = on_closed;
    caller->server = node->server;
    assert_int_equal(pd_server_client_open(node->server, &caller->client), PD_OK);
}

static inline void wait_for(struct pd_event *event)
{
    assert_true(host->ops->event_wait(host, event, pd_host_now_ns(host) + 60 * SECOND_NS));
}

static inline void wait_answers(struct caller *caller, uint32_t count)
{
    while (atomic_load(&caller->answers) < count) {
        wait_for(&caller->event);
    }
}

static inline void close_caller(struct caller *caller)
{
    pd_server_client_close(caller->server, &caller->client);
    wait_for(&caller->gone);
}

static inline void submit(struct caller *caller, const struct pd_replica_request_head *head)
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

static inline struct pd_replica_answer_head call(struct caller *caller,
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
static inline bool is_no_answer(enum pd_replica_outcome outcome)
{
    return outcome == PD_REPLICA_BUSY || outcome == PD_REPLICA_NOT_READY ||
           outcome == PD_REPLICA_UNKNOWN;
}

static inline size_t encode_put(uint8_t *room, size_t room_max, const char *key)
{
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = room_max};
    pd_kv_encode_put(&writer, &(struct pd_kv_put){.key = span(key), .value = span("v")});
    return writer.size;
}

static inline void begin_put(struct caller *caller, const char *key)
{
    uint8_t room[256];
    size_t size = encode_put(room, sizeof room, key);
    submit(caller, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_WRITE,
                                                     .body = {room, size}});
}

static inline enum pd_replica_outcome put(struct caller *caller, const char *key)
{
    uint8_t room[256];
    size_t size = encode_put(room, sizeof room, key);
    return call(caller, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_WRITE,
                                                          .body = {room, size}})
        .outcome;
}

/* How often the key was written; linearizable. */
static inline int64_t version(struct caller *caller, const char *key)
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

static inline uint64_t told_leader(struct node *node)
{
    struct caller caller;
    open_caller(node, &caller);
    uint64_t leader =
        call(&caller, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_STATUS}).leader;
    close_caller(&caller);
    return leader;
}

/* Of the first `count`, when all of them agree. */
static inline struct node *leader_of(uint32_t count)
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

static inline enum pd_kv_error write_member(struct caller *caller,
                                            const struct pd_kv_command *command)
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

static inline enum pd_kv_error put_member(struct caller *caller, const struct node *node)
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
    /* Of `about`: */
    char name[64];
    char address[64];
    char found_at[64]; /* its second address */
    uint32_t addresses;
};

static inline void told_text(char text[64], struct pd_span span)
{
    (void)snprintf(text, 64, "%.*s", (int)span.size, (const char *)span.bytes);
}

static inline struct told members(struct caller *caller, const struct node *about)
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
            told.addresses = item.member.peer_count;
            told_text(told.name, item.member.name);
            told_text(told.address, item.member.peers[0]);
            told_text(told.found_at, told.addresses > 1 ? item.member.peers[1] : span(""));
        }
    }
    assert_true(pd_kv_answer_is_whole(&reader));
    return told;
}

/* -- Whose seat it is ------------------------------------------------------------------------- */

struct seat {
    enum pd_members_standing standing;
    bool is_listed;
    uint32_t voters; /* in all */
    uint32_t listed;
};

static inline struct seat seat_of(struct caller *caller, const struct node *node)
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

static inline void wait_listed(struct caller *caller, uint32_t count)
{
    while (seat_of(caller, &nodes[0]).listed != count) {
    }
}

/* A change of the members is looked at, and asked for until it is there. */
static inline void list(struct caller *caller, const struct node *node)
{
    while (!seat_of(caller, node).is_listed) {
        (void)put_member(caller, node);
    }
}

static inline void unlist(struct caller *caller, const struct node *node)
{
    const struct pd_kv_command forget = {.kind = PD_KV_MEMBER_REMOVE, .id = (int64_t)node->id};
    while (seat_of(caller, node).is_listed) {
        (void)write_member(caller, &forget);
    }
}

static inline void become(struct caller *caller, enum pd_replica_request_kind kind,
                          const struct node *node, enum pd_members_standing standing)
{
    const struct pd_replica_request_head head = {.kind = kind, .number = node->id};
    while (seat_of(caller, node).standing != standing) {
        (void)call(caller, &head);
    }
}

static inline void add_voter(struct caller *caller, struct node *node)
{
    list(caller, node);
    become(caller, PD_REPLICA_REQUEST_ADD_LEARNER, node, PD_MEMBERS_LEARNER);
    prepare(node, 3, true);
    open_node(node);
    become(caller, PD_REPLICA_REQUEST_PROMOTE, node, PD_MEMBERS_VOTER);
}

#endif
