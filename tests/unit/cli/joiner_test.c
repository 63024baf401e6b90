/* Whom a new node asks to be taken in: a member that does not answer at the first of its addresses,
 * played by the test. */
#include "cli/joiner.h"

#include <ftw.h>
#include <stdlib.h>

#include "cli/command.h"
#include "host/disk.h"
#include "kv/codec.h"
#include "node/members.h"
#include "node/members_file.h"
#include "node/members_ticket.h"
#include "node/reach_world.h"
#include "node/server_peers_join.h"

#define CLUSTER 77

static struct reach_node member;

static bool admit(void *state, const uint8_t key[PD_NET_KEY_SIZE])
{
    (void)state;
    (void)key;
    return true;
}

/* It is taken, and told of this member alone. */
static void on_request(void *state, uint64_t link, uint64_t correlation, struct pd_span bytes)
{
    uint8_t room[512];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_member row = {.name = reach_span("one"), .peer_count = 1};
    (void)state;
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

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *walk)
{
    (void)about;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void the_second_address_is_asked(void **state)
{
    static struct pd_members_file file;
    char top[512];
    char folder[512 + 8];
    char text[PD_TICKET_TEXT_MAX];
    char dead[PD_NET_ADDRESS_TEXT_MAX];
    char why[128];
    struct pd_real_host *real = NULL;
    struct pd_disk *disk = NULL;
    (void)state;
    (void)snprintf(top, sizeof top, "%s/pando-joiner-XXXXXX",
                   getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(top));
    (void)snprintf(folder, sizeof folder, "%s/node", top);
    assert_int_equal(pd_real_host_create(1, 4, &real), PD_OK);
    struct pd_host *host = pd_real_host_interface(real);
    const struct pd_net_offer offer = {.name = PD_JOIN_SERVICE,
                                       .handler = {.admit = admit, .request = on_request}};
    reach_node_open(&member, host, 1, &offer);
    int silent = reach_silent(dead);

    struct pd_ticket ticket = {.cluster_id = CLUSTER,
                               .expires_s = host->ops->wall_ns(host) / SECOND_NS + 3600,
                               .count = 1};
    memcpy(ticket.members[0].key, member.identity.key, PD_NET_KEY_SIZE);
    ticket.members[0].peer_count = 2;
    ticket.members[0].peers[0] = reach_span(dead);
    ticket.members[0].peers[1] = reach_span(member.place);
    assert_int_equal(pd_ticket_print(&ticket, &member.identity, text), PD_OK);
    const struct pd_join_wish wish = {
        .ticket = text, .folder = folder, .name = "two", .timeout_s = 60};
    assert_int_equal(pd_join_by_ticket(host, &wish), PD_EXIT_CODE_OK);

    assert_int_equal(pd_host_disk_open(folder, false, &disk), PD_OK);
    assert_int_equal(pd_members_file_read(disk, why, sizeof why, &file), PD_OK);
    assert_int_equal(file.cluster_id, CLUSTER);
    assert_int_equal(file.count, 1);
    pd_members_file_deinit(&file);
    disk->ops->close_disk(disk);
    assert_int_equal(close(silent), 0);
    reach_node_close(&member);
    pd_real_host_destroy(real);
    (void)nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_address_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
