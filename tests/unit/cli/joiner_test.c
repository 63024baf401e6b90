/* Whom a new node asks to be taken in, and when it asks nobody. The member is played by the test;
 * at the first of its addresses it may not answer. */
#include "cli/joiner.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cli/command.h"
#include "host/disk.h"
#include "kv/codec.h"
#include "node/held_names.h"
#include "node/members.h"
#include "node/members_file.h"
#include "node/members_ticket.h"
#include "node/reach_world.h"
#include "node/server_peers_join.h"
#include "support/remove_tree.h"

#define CLUSTER 77

static struct reach_node member;
static atomic_uint asked; /* by who wants to join */

static bool admit(void *state, const uint8_t key[PD_NET_KEY_SIZE])
{
    (void)state;
    (void)key;
    held_names_wait(); /* where a test holds one */
    return true;
}

/* It is taken, and told of this member alone. */
static void on_request(void *state, uint64_t link, uint64_t correlation, struct pd_span bytes)
{
    uint8_t room[512];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_member row = {.name = reach_span("one"), .peer_count = 1};
    (void)state;
    atomic_fetch_add(&asked, 1);
    assert_true(bytes.size > 0);
    memcpy(row.key, member.identity.key, sizeof row.key);
    row.node = pd_members_node_of(row.key);
    row.peers[0] = reach_span(member.place);
    pd_kv_write_u8(&writer, 1); /* the version of answers */
    pd_kv_write_u64(&writer, PD_JOIN_TAKEN);
    pd_kv_write_span(&writer, reach_span(""));
    pd_members_put(&writer, PD_MEMBERS_VOTER, row.node, &row);
    pd_members_put_end(&writer);
    assert_false(writer.is_full);
    assert_int_equal(pd_net_answer(member.net, link, correlation,
                                   (struct pd_span){writer.bytes, writer.size}, true),
                     PD_OK);
}

/* A member that takes everybody in, its ticket, and a folder that is not there yet. */
struct world {
    char top[512];
    char folder[512 + 8];
    char ticket_text[PD_TICKET_TEXT_MAX];
    struct pd_real_host *real;
    struct pd_host *host;
    struct pd_ticket ticket;
};

static struct world world;

static void sign_ticket(void)
{
    assert_int_equal(pd_ticket_print(&world.ticket, &member.identity, world.ticket_text), PD_OK);
}

static int set_up(void **state)
{
    static const struct pd_net_offer offer = {.name = PD_JOIN_SERVICE,
                                              .handler = {.admit = admit, .request = on_request}};
    (void)state;
    world = (struct world){0};
    asked = 0;
    (void)snprintf(world.top, sizeof world.top, "%s/pando-joiner-XXXXXX",
                   getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(world.top));
    (void)snprintf(world.folder, sizeof world.folder, "%s/node", world.top);
    assert_int_equal(pd_real_host_create(1, 4, &world.real), PD_OK);
    world.host = pd_real_host_interface(world.real);
    reach_node_open(&member, world.host, 1, &offer);
    world.ticket =
        (struct pd_ticket){.cluster_id = CLUSTER,
                           .expires_s = world.host->ops->wall_ns(world.host) / SECOND_NS + 3600,
                           .count = 1};
    memcpy(world.ticket.members[0].key, member.identity.key, PD_NET_KEY_SIZE);
    world.ticket.members[0].peer_count = 1;
    world.ticket.members[0].peers[0] = reach_span(member.place);
    sign_ticket();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    held_names_close();
    reach_node_close(&member);
    pd_real_host_destroy(world.real);
    (void)remove_tree(world.top);
    return 0;
}

static void the_second_address_is_asked(void **state)
{
    static struct pd_members_file file;
    char dead[PD_NET_ADDRESS_TEXT_MAX];
    char why[128];
    struct pd_disk *disk = NULL;
    (void)state;
    int silent = reach_silent(dead);
    world.ticket.members[0].peer_count = 2;
    world.ticket.members[0].peers[0] = reach_span(dead);
    world.ticket.members[0].peers[1] = reach_span(member.place);
    sign_ticket();
    const struct pd_join_wish wish = {
        .ticket = world.ticket_text, .folder = world.folder, .name = "two", .timeout_s = 60};
    assert_int_equal(pd_join_by_ticket(world.host, &wish), PD_EXIT_CODE_OK);

    assert_int_equal(pd_host_disk_open(world.folder, false, &disk), PD_OK);
    assert_int_equal(pd_members_file_read(disk, why, sizeof why, &file), PD_OK);
    assert_int_equal(file.cluster_id, CLUSTER);
    assert_int_equal(file.count, 1);
    pd_members_file_deinit(&file);
    disk->ops->close_disk(disk);
    assert_int_equal(close(silent), 0);
}

/* The member lets nobody in before the name behind its address is being looked up, which takes
 * longer than there is time: the time is one turn's. */
static void a_silent_resolver_keeps_nobody_out(void **state)
{
    (void)state;
    held_names_open(NULL);
    world.ticket.members[0].peer_count = 2;
    world.ticket.members[0].peers[1] = reach_span(HELD_NAME);
    sign_ticket();
    const struct pd_join_wish wish = {.ticket = world.ticket_text,
                                      .folder = world.folder,
                                      .name = "two",
                                      .timeout_s = 15,
                                      .is_worker = true};
    assert_int_equal(pd_join_by_ticket(world.host, &wish), PD_EXIT_CODE_OK);
    assert_int_equal(atomic_load(&asked), 1);
}

/* The names in the folder, but for those that every folder has. */
static uint32_t count_names(void)
{
    DIR *stream = opendir(world.folder);
    uint32_t count = 0;
    assert_non_null(stream);
    while (readdir(stream) != NULL) {
        count++;
    }
    assert_int_equal(closedir(stream), 0);
    return count - 2;
}

/* Somebody's photos are no node's folder: nobody is asked, and nothing is written. */
static void a_folder_with_other_files_is_left_alone(void **state)
{
    char path[sizeof world.folder + 8];
    (void)state;
    assert_int_equal(mkdir(world.folder, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/a", world.folder);
    FILE *photo = fopen(path, "wx");
    assert_non_null(photo);
    assert_int_equal(fclose(photo), 0);
    for (int is_worker = 0; is_worker < 2; is_worker++) {
        const struct pd_join_wish wish = {.ticket = world.ticket_text,
                                          .folder = world.folder,
                                          .name = "ghost",
                                          .timeout_s = 60,
                                          .is_worker = is_worker == 1};
        assert_int_equal(pd_join_by_ticket(world.host, &wish), PD_EXIT_CODE_FAILED);
    }
    assert_int_equal(atomic_load(&asked), 0);
    assert_int_equal(count_names(), 1);
}

/* A listener on any free port of this machine; 0 bytes ever come to it. */
static int take_port(int kind, char place[PD_NET_ADDRESS_TEXT_MAX])
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    socklen_t size = sizeof here;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int descriptor = socket(AF_INET, kind | SOCK_CLOEXEC, 0);
    assert_true(descriptor >= 0);
    assert_int_equal(bind(descriptor, (const struct sockaddr *)&here, sizeof here), 0);
    assert_true(kind != SOCK_STREAM || listen(descriptor, 1) == 0);
    assert_int_equal(getsockname(descriptor, (struct sockaddr *)&here, &size), 0);
    (void)snprintf(place, PD_NET_ADDRESS_TEXT_MAX, "127.0.0.1:%u", (unsigned)ntohs(here.sin_port));
    return descriptor;
}

/* Who cannot be started where it is to listen is no member either. */
static void a_taken_port_is_told_before(void **state)
{
    char place[PD_NET_ADDRESS_TEXT_MAX];
    (void)state;
    for (int is_peer = 0; is_peer < 2; is_peer++) {
        int taken = take_port(is_peer == 1 ? SOCK_DGRAM : SOCK_STREAM, place);
        const struct pd_join_wish wish = {.ticket = world.ticket_text,
                                          .folder = world.folder,
                                          .name = "ghost",
                                          .listen_client = is_peer == 1 ? NULL : place,
                                          .listen_peer = is_peer == 1 ? place : NULL,
                                          .timeout_s = 60};
        assert_int_equal(pd_join_by_ticket(world.host, &wish), PD_EXIT_CODE_FAILED);
        assert_int_equal(close(taken), 0);
    }
    assert_int_equal(atomic_load(&asked), 0);
    assert_int_equal(count_names(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_second_address_is_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_silent_resolver_keeps_nobody_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_with_other_files_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_taken_port_is_told_before, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
