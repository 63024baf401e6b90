/* The directory of members: its codec, its rules, and that it survives restarts in its rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kv_world.h"

struct rig {
    struct chooser chooser;
    struct script script;
    struct world world;
    struct world twin; /* is restarted now and then */
    uint8_t room[4096];
    uint8_t inner[2048];
    uint8_t member[PD_KV_MEMBER_BYTES_MAX];
};

static struct rig *rig_open(void)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct pd_kv_config config = world_config();
    pd_random_init(&rig->chooser.random, 11, "members");
    world_open(&rig->world, &config, &rig->script, &rig->chooser);
    world_open(&rig->twin, &config, &rig->script, &rig->chooser);
    return rig;
}

static void rig_close(struct rig *rig)
{
    world_close(&rig->world);
    world_close(&rig->twin);
    script_clear(&rig->script);
    free(rig);
}

static struct pd_span text(const char *from)
{
    return pd_kv_span(from, strlen(from));
}

static struct pd_kv_member make(uint64_t node, const char *address)
{
    struct pd_kv_member member = {.node = node,
                                  .role = PD_KV_MEMBER_VOTER,
                                  .name = text("north"),
                                  .peer_count = 1,
                                  .client_count = 1};
    memset(member.key, (int)(node & 0xff), sizeof member.key);
    member.peers[0] = text(address);
    member.clients[0] = text("http://10.0.0.1:2379");
    return member;
}

static struct pd_span encode(struct rig *rig, const struct pd_kv_member *member)
{
    struct pd_kv_writer writer = {.bytes = rig->member, .bytes_max = sizeof rig->member};
    pd_kv_member_encode(&writer, member);
    assert_false(writer.is_full);
    return pd_kv_span(rig->member, writer.size);
}

/* Applied by both; the twin forgets its memory before it, one time in three. */
static enum pd_kv_error run(struct rig *rig, const struct pd_kv_command *command)
{
    struct pd_kv_writer inner = {.bytes = rig->inner, .bytes_max = sizeof rig->inner};
    struct pd_kv_writer outer = {.bytes = rig->room, .bytes_max = sizeof rig->room};
    pd_kv_command_encode(&inner, command);
    const struct pd_kv_envelope envelope = {.command = {rig->inner, inner.size}};
    pd_kv_envelope_encode(&outer, &envelope);
    assert_false(inner.is_full || outer.is_full);
    script_add(&rig->script, pd_kv_span(rig->room, outer.size));
    if (choose(&rig->chooser, 3) == 0) {
        world_drain(&rig->twin);
        world_restart(&rig->twin);
    }
    world_catch_up(&rig->world);
    world_catch_up(&rig->twin);
    assert_int_equal(world_last_error(&rig->world), world_last_error(&rig->twin));
    world_compare_twins(&rig->world, &rig->twin);
    return world_last_error(&rig->world);
}

static enum pd_kv_error put(struct rig *rig, const struct pd_kv_member *member)
{
    return run(rig, &(struct pd_kv_command){.kind = PD_KV_MEMBER_PUT,
                                            .id = (int64_t)member->node,
                                            .bytes = encode(rig, member)});
}

static enum pd_kv_error take_out(struct rig *rig, uint64_t node)
{
    return run(rig, &(struct pd_kv_command){.kind = PD_KV_MEMBER_REMOVE, .id = (int64_t)node});
}

static void a_member_is_what_was_written(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct pd_kv_member member = make(77, "127.0.0.1:2380");
    member.peer_count = 2;
    member.peers[1] = text("[::1]:9");
    struct pd_span bytes = encode(rig, &member);
    struct pd_kv_member back = {.node = 77};
    assert_int_equal(pd_kv_member_decode(bytes, &back), PD_OK);
    assert_memory_equal(back.key, member.key, sizeof back.key);
    assert_int_equal(back.peer_count, 2);
    assert_true(pd_kv_span_equal(back.peers[1], member.peers[1]));
    assert_true(pd_kv_span_equal(back.name, member.name));
    assert_int_equal(back.client_count, 1);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(pd_kv_member_decode(pd_kv_span(bytes.bytes, size), &back), PD_ERR_CORRUPT);
    }
    rig->member[bytes.size] = 0;
    assert_int_equal(pd_kv_member_decode(pd_kv_span(bytes.bytes, bytes.size + 1), &back),
                     PD_ERR_CORRUPT);
    member.name = text("two words");
    assert_int_equal(pd_kv_member_decode(encode(rig, &member), &back), PD_ERR_CORRUPT);
    member.name = text("");
    member.peers[1] = text("");
    assert_int_equal(pd_kv_member_decode(encode(rig, &member), &back), PD_ERR_CORRUPT);
    rig_close(rig);
}

static void the_largest_member_fits(void **state)
{
    (void)state;
    char name[PD_KV_MEMBER_NAME_MAX + 2];
    char address[PD_KV_MEMBER_ADDRESS_MAX + 2];
    memset(name, 'n', sizeof name);
    memset(address, 'a', sizeof address);
    struct rig *rig = rig_open();
    struct pd_kv_member member = make(1, "");
    member.name = pd_kv_span(name, PD_KV_MEMBER_NAME_MAX);
    member.peer_count = PD_KV_MEMBER_ADDRESSES_MAX;
    member.client_count = PD_KV_MEMBER_ADDRESSES_MAX;
    for (uint32_t i = 0; i < PD_KV_MEMBER_ADDRESSES_MAX; i++) {
        member.peers[i] = pd_kv_span(address, PD_KV_MEMBER_ADDRESS_MAX);
        member.clients[i] = pd_kv_span(address, PD_KV_MEMBER_ADDRESS_MAX);
    }
    struct pd_kv_member back = {0};
    assert_int_equal(pd_kv_member_decode(encode(rig, &member), &back), PD_OK);
    assert_int_equal(put(rig, &member), PD_KV_OK);
    member.peer_count = 1;
    member.name.size++;
    assert_int_equal(pd_kv_member_decode(encode(rig, &member), &back), PD_ERR_CORRUPT);
    member.name.size--;
    member.peers[0].size++;
    assert_int_equal(pd_kv_member_decode(encode(rig, &member), &back), PD_ERR_CORRUPT);
    assert_int_equal(put(rig, &member), PD_KV_ERR_INVALID);
    rig_close(rig);
}

static void a_removed_node_never_comes_back(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct pd_kv_member found;
    struct pd_kv_member member = make(5, "127.0.0.1:1");
    uint64_t version = pd_kv_members_version(rig->world.kv);
    assert_int_equal(take_out(rig, 5), PD_KV_ERR_MEMBER_NOT_FOUND);
    assert_int_equal(put(rig, &member), PD_KV_OK);
    assert_true(pd_kv_members_version(rig->world.kv) != version);
    assert_int_equal(pd_kv_member_find(rig->world.kv, 5, &found), PD_KV_MEMBER_LIVE);
    assert_true(pd_kv_span_equal(found.peers[0], text("127.0.0.1:1")));
    assert_int_equal(take_out(rig, 5), PD_KV_OK);
    assert_int_equal(take_out(rig, 5), PD_KV_OK);
    assert_int_equal(pd_kv_member_find(rig->world.kv, 5, &found), PD_KV_MEMBER_REMOVED);
    assert_int_equal(put(rig, &member), PD_KV_ERR_MEMBER_REMOVED);
    assert_int_equal(pd_kv_member_find(rig->world.kv, 6, &found), PD_KV_MEMBER_UNKNOWN);
    assert_false(pd_kv_member_next(rig->world.kv, 0, &found));
    world_drain(&rig->world);
    world_restart(&rig->world);
    assert_int_equal(put(rig, &member), PD_KV_ERR_MEMBER_REMOVED);
    rig_close(rig);
}

static void a_member_moves_but_keeps_its_key(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct pd_kv_member found;
    struct pd_kv_member five = make(5, "127.0.0.1:1");
    struct pd_kv_member six = make(6, "127.0.0.1:2");
    assert_int_equal(put(rig, &six), PD_KV_OK);
    assert_int_equal(put(rig, &five), PD_KV_OK);
    five.peers[0] = text("127.0.0.1:3");
    assert_int_equal(put(rig, &five), PD_KV_OK);
    assert_true(pd_kv_member_next(rig->world.kv, 0, &found));
    assert_int_equal(found.node, 5);
    assert_true(pd_kv_span_equal(found.peers[0], five.peers[0]));
    assert_true(pd_kv_member_next(rig->world.kv, 5, &found));
    assert_int_equal(found.node, 6);
    assert_false(pd_kv_member_next(rig->world.kv, 6, &found));
    five.key[0] ^= 1;
    assert_int_equal(put(rig, &five), PD_KV_ERR_MEMBER_KEY);
    struct pd_kv_member thief = make(7, "127.0.0.1:4");
    memcpy(thief.key, six.key, sizeof thief.key);
    assert_int_equal(put(rig, &thief), PD_KV_ERR_MEMBER_KEY);
    rig_close(rig);
}

static void the_directory_is_bounded(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct pd_kv_member found;
    for (uint64_t node = 1; node <= PD_KV_MEMBERS_MAX; node++) {
        struct pd_kv_member member = make(node, "127.0.0.1:1");
        assert_int_equal(put(rig, &member), PD_KV_OK);
    }
    struct pd_kv_member one_more = make(200, "127.0.0.1:1");
    assert_int_equal(put(rig, &one_more), PD_KV_ERR_MEMBERS_FULL);
    assert_false(pd_kv_members_may_have_forgotten(rig->world.kv));
    /* Of the removed ones the first is forgotten, and only that. */
    for (uint64_t node = 1000; node < 1000 + PD_KV_MEMBERS_REMOVED_MAX; node++) {
        assert_int_equal(take_out(rig, node - 1 == 999 ? 1 : node - 1), PD_KV_OK);
        struct pd_kv_member member = make(node, "127.0.0.1:1");
        member.key[1] = (uint8_t)(0xf0 | node >> 8);
        assert_int_equal(put(rig, &member), PD_KV_OK);
    }
    assert_int_equal(pd_kv_member_find(rig->world.kv, 1, &found), PD_KV_MEMBER_REMOVED);
    assert_int_equal(take_out(rig, 2), PD_KV_OK);
    assert_true(pd_kv_members_may_have_forgotten(rig->world.kv));
    assert_int_equal(pd_kv_member_find(rig->world.kv, 1, &found), PD_KV_MEMBER_UNKNOWN);
    assert_int_equal(pd_kv_member_find(rig->world.kv, 1000, &found), PD_KV_MEMBER_REMOVED);
    world_drain(&rig->twin);
    world_restart(&rig->twin);
    world_compare_twins(&rig->world, &rig->twin);
    assert_int_equal(pd_kv_member_find(rig->twin.kv, 1, &found), PD_KV_MEMBER_UNKNOWN);
    assert_true(pd_kv_members_may_have_forgotten(rig->twin.kv));
    assert_int_equal(pd_kv_member_find(rig->twin.kv, 1000, &found), PD_KV_MEMBER_REMOVED);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_is_what_was_written),
        cmocka_unit_test(the_largest_member_fits),
        cmocka_unit_test(a_removed_node_never_comes_back),
        cmocka_unit_test(a_member_moves_but_keeps_its_key),
        cmocka_unit_test(the_directory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
