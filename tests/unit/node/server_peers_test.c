/* A cluster of servers: any of them serves any client, members come and go for good, folders are
 * judged, and what a node knew last is enough to find the others. */
#include "node/peers_world.h"
#include "node/server_recover.h"

#include "net/address.h"

#define KNOWN_NAME "members.json"

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

/* The only voter needs no lease for it; who has others does. */
static void with_others_nobody_reads_without_a_round(void **state)
{
    (void)state;
    struct caller caller;
    uint8_t room[256];
    struct pd_kv_record record;
    const struct pd_span key = {(const uint8_t *)"k", 1};
    open_cluster(3);
    struct node *leader = leader_of(3);
    open_caller(leader, &caller);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(put(&caller, "k"), PD_REPLICA_OK);
        for (uint32_t node = 0; node < 3; node++) {
            assert_int_equal(
                pd_server_read_hot(nodes[node].server, key, room, sizeof room, &record),
                PD_ERR_RANGE);
        }
    }
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

static atomic_uint found_port; /* where node 2 is seen, at 127.0.0.9; 0: where it says */
static struct pd_transport_ops plain_ops;

static enum pd_status see(struct pd_transport *transport, uint64_t node,
                          struct pd_transport_peer_state *state_out)
{
    enum pd_status status = plain_ops.peer_state(transport, node, state_out);
    if (status == PD_OK && node == nodes[2].id && atomic_load(&found_port) != 0) {
        assert_int_equal(pd_net_address_parse("127.0.0.9:1", &state_out->elsewhere), PD_OK);
        state_out->elsewhere.port = (uint16_t)atomic_load(&found_port);
    }
    return status;
}

static enum pd_status open_seeing(void *state, const char *address, char *text, size_t text_max,
                                  struct pd_transport **transport_out)
{
    static struct pd_transport_ops ops;
    enum pd_status status = open_transport(state, address, text, text_max, transport_out);
    if (ops.peer_state == NULL) { /* before the first of them runs */
        plain_ops = *(*transport_out)->ops;
        ops = plain_ops;
        ops.peer_state = see;
    }
    (*transport_out)->ops = &ops;
    return status;
}

static void open_seeing_node(struct node *node, const char *name)
{
    struct pd_server_config config = config_of(node);
    char text[PD_SERVER_TEXT_MAX];
    config.peers.open = open_seeing;
    config.peers.found_after_ns = 1;
    config.peers.name = name;
    assert_int_equal(pd_server_open(&config, text, &node->server), PD_OK);
}

/* The others tell where they find it. That stays beside what it says itself, until it says that it
 * is elsewhere. */
static void a_node_that_is_found_elsewhere_is_told_of(void **state)
{
    (void)state;
    struct caller caller;
    struct told told;
    atomic_store(&found_port, 0);
    for (uint32_t i = 0; i < 3; i++) {
        prepare(&nodes[i], 3, false);
        open_seeing_node(&nodes[i], NULL);
    }
    for (uint32_t i = 0; i < 3; i++) {
        wait_ready(&nodes[i]);
    }
    open_caller(&nodes[0], &caller);
    while (members(&caller, NULL).listed < 3) {
    }
    assert_int_equal(members(&caller, &nodes[2]).addresses, 1);
    atomic_store(&found_port, 2009);
    do {
        told = members(&caller, &nodes[2]);
    } while (strcmp(told.found_at, "127.0.0.9:2009") != 0);
    assert_string_equal(told.address, "127.0.0.1:1003");
    atomic_store(&found_port, 2010);
    do {
        told = members(&caller, &nodes[2]);
    } while (strcmp(told.found_at, "127.0.0.9:2010") != 0);
    assert_string_equal(told.address, "127.0.0.1:1003");
    assert_int_equal(told.addresses, 2);
    atomic_store(&found_port, 0);
    close_node(&nodes[2]);
    open_seeing_node(&nodes[2], "renamed");
    do {
        told = members(&caller, &nodes[2]);
    } while (strcmp(told.name, "renamed") != 0);
    assert_string_equal(told.found_at, "127.0.0.9:2010");
    close_node(&nodes[2]);
    nodes[2].address = "127.0.0.1:2003";
    open_seeing_node(&nodes[2], NULL);
    do {
        told = members(&caller, &nodes[2]);
    } while (strcmp(told.address, "127.0.0.1:2003") != 0);
    assert_int_equal(told.addresses, 1);
    close_caller(&caller);
}

static void count(struct pd_transport *transport, struct pd_transport_counters *counters_out)
{
    (void)transport;
    *counters_out = (struct pd_transport_counters){.datagrams_dropped = 5,
                                                   .versions_refused = 6,
                                                   .bad_tokens = 7,
                                                   .failed = 8,
                                                   .timed_out = 9,
                                                   .bad_frames = 10,
                                                   .refused_busy = 11,
                                                   .refused_flood = 12,
                                                   .refused_key = 13,
                                                   .silent = 14,
                                                   .peers_moved = 15,
                                                   .own_moves = 16,
                                                   .trains = 17,
                                                   .trains_refused = 18};
}

static enum pd_status open_counting(void *state, const char *address, char *text, size_t text_max,
                                    struct pd_transport **transport_out)
{
    static struct pd_transport_ops ops;
    enum pd_status status = open_transport(state, address, text, text_max, transport_out);
    ops = *(*transport_out)->ops;
    ops.counters = count;
    (*transport_out)->ops = &ops;
    return status;
}

static void what_the_transport_counts_is_told(void **state)
{
    (void)state;
    struct pd_server_figures told;
    char text[PD_SERVER_TEXT_MAX];
    prepare(&nodes[0], 1, false);
    struct pd_server_config config = config_of(&nodes[0]);
    config.peers.open = open_counting;
    assert_int_equal(pd_server_open(&config, text, &nodes[0].server), PD_OK);
    do {
        (void)usleep(1000);
        pd_server_figures(nodes[0].server, &told);
    } while (told.trains_refused == 0); /* put down with a tick, the last of them */
    assert_int_equal(told.datagrams_dropped, 5);
    assert_int_equal(told.versions_refused, 6);
    assert_int_equal(told.bad_tokens, 7);
    assert_int_equal(told.connections_failed, 8);
    assert_int_equal(told.connections_timed_out, 9);
    assert_int_equal(told.bad_frames, 10);
    assert_int_equal(told.peers_refused_busy, 11);
    assert_int_equal(told.peers_refused_flood, 12);
    assert_int_equal(told.peers_refused_key, 13);
    assert_int_equal(told.connections_silent, 14);
    assert_int_equal(told.peers_moved, 15);
    assert_int_equal(told.own_moves, 16);
    assert_int_equal(told.trains, 17);
    assert_int_equal(told.trains_refused, 18);
}

/* Whoever says a name means one member: of two first members with one name the second has none, and
 * gets one when it has another one. One that is a member's is not taken, and holds up nothing. */
static void a_name_is_one_members(void **state)
{
    (void)state;
    struct caller caller;
    nodes[0].name = nodes[1].name = nodes[2].name = "same";
    open_cluster(3);
    open_caller(&nodes[0], &caller);
    while (members(&caller, NULL).listed < 3) {
    }
    const struct node *named = NULL;
    struct node *nameless = NULL;
    for (uint32_t i = 0; i < 3; i++) {
        struct told told = members(&caller, &nodes[i]);
        assert_true(told.name[0] == '\0' || (named == NULL && strcmp(told.name, "same") == 0));
        named = told.name[0] == '\0' ? named : &nodes[i];
        nameless = told.name[0] == '\0' && i > 0 ? &nodes[i] : nameless;
    }
    assert_non_null(named);
    close_node(nameless);
    nameless->address = "127.0.0.1:2003";
    nameless->told_name = "same";
    open_node(nameless);
    while (strcmp(members(&caller, nameless).address, "127.0.0.1:2003") != 0) {
    }
    assert_string_equal(members(&caller, nameless).name, "");
    close_node(nameless);
    nameless->told_name = "other";
    open_node(nameless);
    while (strcmp(members(&caller, nameless).name, "other") != 0) {
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
        (void)remove_tree(path);
    }
    refuses(&nodes[2], PD_ERR_CORRUPT, "what it promised");
}

/* -- Whom a node knew last --------------------------------------------------------------------- */

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
    (void)remove_tree(path);
    open_node(victim);
    wait_ready(victim);
    open_caller(victim, &caller);
    struct seat seat = seat_of(&caller, victim);
    assert_int_equal(seat.standing, PD_MEMBERS_VOTER);
    assert_int_equal(seat.voters, 3);
    assert_int_equal(seat.listed, 3);
    close_caller(&caller);
}

static bool nobody_answers(void *state, const struct pd_kv_member *member)
{
    (void)state;
    (void)member;
    return false;
}

static void assert_has(const struct node *node, const char *name, bool is_there)
{
    char path[PATH_SIZE + 64];
    (void)snprintf(path, sizeof path, "%s/%s", node->folder, name);
    assert_int_equal(access(path, F_OK) == 0, is_there);
}

/* Alone it would have nothing: it is refused with words, and its folder stays, so that it goes on
 * with the others if they come back. */
static void a_node_without_a_state_is_not_recovered(void **state)
{
    (void)state;
    struct caller caller;
    struct node *victim = &nodes[3];
    char path[PATH_SIZE + 64];
    char text[PD_RESTORE_TEXT_MAX];
    struct pd_recover_report report;
    open_cluster(3);
    open_caller(&nodes[0], &caller);
    wait_listed(&caller, 3);
    add_voter(&caller, victim); /* its log begins behind a state that it was given */
    wait_ready(victim);
    close_caller(&caller);
    close_node(victim);
    (void)snprintf(path, sizeof path, "%s/store", victim->folder);
    (void)remove_tree(path);
    const struct pd_recover_config config = {
        .host = host, .folder = victim->folder, .answers = nobody_answers};
    assert_int_equal(pd_server_recover(&config, &report, text), PD_ERR_INVALID);
    if (strstr(text, "its state is gone") == NULL || strstr(text, "Recover another node") == NULL) {
        fail_msg("'%s' does not say what is wrong, and what to do", text);
    }
    assert_has(victim, "node.json", true);
    assert_has(victim, "log", true);
    assert_has(victim, "restored-copy", false);
    open_node(victim);
    wait_ready(victim);
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
        cmocka_unit_test_setup_teardown(with_others_nobody_reads_without_a_round, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_lost_leader_neither_loses_nor_repeats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_majority_a_write_ends_in_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_node_joins_is_promoted_and_leaves_for_good, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_node_that_moves_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_node_that_is_found_elsewhere_is_told_of, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_the_transport_counts_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_is_one_members, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_node_without_a_state_is_not_recovered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wiped_node_does_not_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_foreign_folder_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(both_nodes_tell_of_a_slow_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_node_without_a_state_finds_who_came_later, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_file_of_known_members_is_judged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_of_known_members_has_a_sum, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stale_file_of_known_members_gives_way, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
