/* The cluster's version in the state: what a command means before and after the raise, what is
 * stored and loaded, and that a node which cannot follow stops before it has applied anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kv/internal.h"
#include "kv_world.h"

#define NODE 7u

struct rig {
    struct chooser chooser;
    struct script script;
    struct world world;
    struct world twin; /* is restarted before every command */
    uint8_t room[4096];
    uint8_t inner[2048];
};

static struct rig *rig_open(uint32_t version_max)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct pd_kv_config config = world_config();
    config.version_max = version_max;
    pd_random_init(&rig->chooser.random, 5, "version");
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

static void add(struct rig *rig, struct pd_span command)
{
    struct pd_kv_writer outer = {.bytes = rig->room, .bytes_max = sizeof rig->room};
    const struct pd_kv_envelope envelope = {.command = command};
    pd_kv_envelope_encode(&outer, &envelope);
    assert_false(outer.is_full);
    script_add(&rig->script, pd_kv_span(rig->room, outer.size));
}

static struct pd_span encode(struct rig *rig, const struct pd_kv_command *command)
{
    struct pd_kv_writer inner = {.bytes = rig->inner, .bytes_max = sizeof rig->inner};
    pd_kv_command_encode(&inner, command);
    assert_false(inner.is_full);
    return pd_kv_span(rig->inner, inner.size);
}

static enum pd_kv_error run_bytes(struct rig *rig, struct pd_span command)
{
    add(rig, command);
    world_drain(&rig->twin);
    world_restart(&rig->twin);
    world_catch_up(&rig->world);
    world_catch_up(&rig->twin);
    world_compare_twins(&rig->world, &rig->twin);
    pd_kv_check(rig->world.kv);
    return world_last_error(&rig->world);
}

static enum pd_kv_error run(struct rig *rig, const struct pd_kv_command *command)
{
    return run_bytes(rig, encode(rig, command));
}

static struct pd_kv_status status_of(const struct world *world)
{
    struct pd_kv_status status;
    pd_kv_status(world->kv, &status);
    return status;
}

static enum pd_kv_error raise_to(struct rig *rig, uint32_t version)
{
    return run(rig, &(struct pd_kv_command){.kind = PD_KV_VERSION_RAISE, .version = version});
}

static struct pd_kv_command telling(uint64_t node, uint32_t version, const char *program)
{
    return (struct pd_kv_command){.kind = PD_KV_MEMBER_TELL,
                                  .id = (int64_t)node,
                                  .version = version,
                                  .bytes = pd_kv_span(program, strlen(program))};
}

static void put_member(struct rig *rig, const char *address)
{
    uint8_t room[PD_KV_MEMBER_BYTES_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_member member = {.node = NODE, .peer_count = 1};
    memset(member.key, 3, sizeof member.key);
    member.peers[0] = pd_kv_span(address, strlen(address));
    pd_kv_member_encode(&writer, &member);
    assert_int_equal(run(rig, &(struct pd_kv_command){.kind = PD_KV_MEMBER_PUT,
                                                      .id = NODE,
                                                      .bytes = {room, writer.size}}),
                     PD_KV_OK);
}

static void a_version_is_raised_step_by_step(void **state)
{
    (void)state;
    struct rig *rig = rig_open(4);
    assert_int_equal(status_of(&rig->world).version, 1);
    struct pd_kv_status before = status_of(&rig->world);
    assert_int_equal(raise_to(rig, 3), PD_KV_ERR_INVALID);
    assert_int_equal(raise_to(rig, 1), PD_KV_OK); /* it is there */
    assert_int_equal(status_of(&rig->world).version, 1);
    assert_int_equal(status_of(&rig->world).set_hash.low, before.set_hash.low);
    for (uint32_t version = 2; version <= 4; version++) {
        assert_int_equal(raise_to(rig, version), PD_KV_OK);
        assert_int_equal(status_of(&rig->world).version, version);
        assert_int_equal(status_of(&rig->twin).version, version);
    }
    assert_int_not_equal(status_of(&rig->world).set_hash.low, before.set_hash.low);
    assert_int_equal(raise_to(rig, 2), PD_KV_OK); /* of a leader that was slower */
    assert_int_equal(status_of(&rig->world).version, 4);
    assert_int_equal(status_of(&rig->world).revision, before.revision);
    rig_close(rig);
}

/* Every program says the same of a later version's command, and one from before that version says
 * "malformed" of any kind that it never heard of, whatever lies in it. */
static void a_command_is_malformed_before_its_version(void **state)
{
    (void)state;
    struct rig *rig = rig_open(2);
    static const uint8_t nonsense[] = {PD_KV_MEMBER_TELL, 1};
    const struct pd_kv_command good = telling(NODE, 2, "0.1.0");
    const struct pd_kv_command bad = telling(NODE, 0, "");
    put_member(rig, "127.0.0.1:1");
    assert_int_equal(run(rig, &good), PD_KV_ERR_MALFORMED);
    assert_int_equal(run(rig, &bad), PD_KV_ERR_MALFORMED);
    assert_int_equal(run_bytes(rig, pd_kv_span(nonsense, 2)), PD_KV_ERR_MALFORMED);
    assert_int_equal(raise_to(rig, 2), PD_KV_OK);
    assert_int_equal(run(rig, &bad), PD_KV_ERR_INVALID);
    assert_int_equal(run_bytes(rig, pd_kv_span(nonsense, 2)), PD_KV_ERR_MALFORMED);
    assert_int_equal(run(rig, &good), PD_KV_OK);
    /* A kind that no source knows yet. */
    static const uint8_t later[] = {PD_KV_MEMBER_TELL + 1, 1};
    assert_int_equal(run_bytes(rig, pd_kv_span(later, 2)), PD_KV_ERR_MALFORMED);
    rig_close(rig);
}

static void what_a_member_told_stays_with_it(void **state)
{
    (void)state;
    struct rig *rig = rig_open(2);
    struct pd_kv_member found;
    put_member(rig, "127.0.0.1:1");
    assert_int_equal(raise_to(rig, 2), PD_KV_OK);
    struct pd_kv_command command = telling(NODE, 2, "0.1.0+abc");
    assert_int_equal(run(rig, &command), PD_KV_OK);
    put_member(rig, "127.0.0.1:2"); /* it moved */
    assert_int_equal(pd_kv_member_find(rig->twin.kv, NODE, &found), PD_KV_MEMBER_LIVE);
    assert_int_equal(found.version, 2);
    assert_int_equal(found.program.size, 9);
    assert_memory_equal(found.program.bytes, "0.1.0+abc", 9);
    assert_memory_equal(found.peers[0].bytes, "127.0.0.1:2", 11);
    command = telling(NODE, 3, "0.2.0");
    assert_int_equal(run(rig, &command), PD_KV_OK);
    assert_int_equal(pd_kv_member_find(rig->world.kv, NODE, &found), PD_KV_MEMBER_LIVE);
    assert_int_equal(found.version, 3);
    /* Nobody is put there with a program that it did not tell itself. */
    uint8_t room[PD_KV_MEMBER_BYTES_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_member_encode(&writer, &found);
    command =
        (struct pd_kv_command){.kind = PD_KV_MEMBER_PUT, .id = NODE, .bytes = {room, writer.size}};
    assert_int_equal(run(rig, &command), PD_KV_ERR_INVALID);
    command = telling(NODE + 1, 2, "0.1.0");
    assert_int_equal(run(rig, &command), PD_KV_ERR_MEMBER_NOT_FOUND);
    command = (struct pd_kv_command){.kind = PD_KV_MEMBER_REMOVE, .id = NODE};
    assert_int_equal(run(rig, &command), PD_KV_OK);
    command = telling(NODE, 2, "0.1.0");
    assert_int_equal(run(rig, &command), PD_KV_ERR_MEMBER_REMOVED);
    command = telling(NODE, 2, "with space");
    assert_int_equal(run(rig, &command), PD_KV_ERR_INVALID);
    command = telling(NODE, 2, "more-than-31-letters-of-a-program");
    assert_int_equal(run(rig, &command), PD_KV_ERR_INVALID);
    rig_close(rig);
}

/* It neither applies the raise nor goes on after it, and what it wrote before stays good: with a
 * newer program it goes on. */
static void who_cannot_follow_stops_before_the_raise(void **state)
{
    (void)state;
    struct rig *rig = rig_open(1);
    put_member(rig, "127.0.0.1:1");
    const struct pd_kv_command command = {.kind = PD_KV_VERSION_RAISE, .version = 2};
    add(rig, encode(rig, &command));
    struct world *world = &rig->world;
    uint64_t applied = world_applied(world);
    const struct entry *entry = &rig->script.entries[applied];
    pd_kv_apply_begin(world->kv, applied + 1, 1, pd_kv_span(entry->bytes, entry->size));
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(pd_kv_apply_step(world->kv, 8), PD_KV_FAILED);
    }
    assert_int_equal(status_of(world).wanted_version, 2);
    assert_int_equal(status_of(world).version, 1);
    assert_int_equal(world_applied(world), applied);
    world_drain(world);
    world->config.version_max = 2;
    world_restart(world);
    rig->twin.config.version_max = 2;
    world_drain(&rig->twin);
    world_restart(&rig->twin);
    world_catch_up(world);
    world_catch_up(&rig->twin);
    assert_int_equal(status_of(world).version, 2);
    world_compare_twins(world, &rig->twin);
    rig_close(rig);
}

static void who_cannot_follow_refuses_to_load(void **state)
{
    (void)state;
    struct rig *rig = rig_open(2);
    assert_int_equal(raise_to(rig, 2), PD_KV_OK);
    struct world *world = &rig->world;
    world_drain(world);
    world->config.version_max = 1;
    world_drop_held(world);
    pd_kv_close(world->kv);
    assert_int_equal(pd_kv_open(&world->config, &world->kv), PD_OK);
    pd_kv_load_begin(world->kv);
    enum pd_kv_progress progress = PD_KV_MORE;
    while (progress == PD_KV_MORE || progress == PD_KV_FETCH) {
        progress = pd_kv_load_step(world->kv, 1);
        world_turn(world, true);
    }
    assert_int_equal(progress, PD_KV_FAILED);
    assert_int_equal(status_of(world).wanted_version, 2);
    world->config.version_max = 2;
    world_restart(world);
    assert_int_equal(status_of(world).version, 2);
    assert_int_equal(status_of(world).wanted_version, 0);
    rig_close(rig);
}

/* A row that no raise writes is damage, not a version. */
static void a_row_that_is_no_version_is_damage(void **state)
{
    (void)state;
    static const struct pd_span bad[] = {
        {(const uint8_t *)"", 0},
        {(const uint8_t *)"\0", 1},
        {(const uint8_t *)"\1", 1},
        {(const uint8_t *)"\2\0", 2},
        {(const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint32_t version = 0;
        assert_false(pd_kv_version_parse(bad[i], &version));
    }
    uint32_t version = 0;
    assert_true(pd_kv_version_parse(pd_kv_span("\2", 1), &version));
    assert_int_equal(version, 2);
}

static void every_version_says_what_it_adds(void **state)
{
    (void)state;
    for (uint32_t version = PD_KV_VERSION_FIRST; version <= PD_KV_VERSION_LAST; version++) {
        assert_true(strlen(pd_kv_version_adds(version)) > 0);
    }
    assert_string_equal(pd_kv_version_adds(PD_KV_VERSION_LAST + 1), "");
    for (int kind = PD_KV_NOOP; kind <= PD_KV_MEMBER_TELL; kind++) {
        assert_in_range(pd_kv_version_of((enum pd_kv_command_kind)kind), PD_KV_VERSION_FIRST,
                        PD_KV_VERSION_LAST);
    }
    assert_in_range(pd_kv_version_limit(), PD_KV_VERSION_FIRST, PD_KV_VERSION_LAST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_version_is_raised_step_by_step),
        cmocka_unit_test(a_command_is_malformed_before_its_version),
        cmocka_unit_test(what_a_member_told_stays_with_it),
        cmocka_unit_test(who_cannot_follow_stops_before_the_raise),
        cmocka_unit_test(who_cannot_follow_refuses_to_load),
        cmocka_unit_test(a_row_that_is_no_version_is_damage),
        cmocka_unit_test(every_version_says_what_it_adds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
