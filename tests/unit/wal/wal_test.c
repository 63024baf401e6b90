/* The log over a simulated disk: rotation, recycling, power cuts at every moment, damage, full
 * disks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "sim/disk.h"
#include "wal/decode.h"
#include "wal/record.h"
#include "wal/segment.h"
#include "wal/wal.h"

#define GROUPS 3u
#define ENTRIES_MAX 4096u

/* What a log must hold, and what the last recovery found in it. */
struct model {
    uint64_t last[GROUPS];
    uint64_t term[GROUPS];
    uint64_t vote[GROUPS];
    uint64_t first[GROUPS];
    uint64_t values[GROUPS][ENTRIES_MAX];
};

struct world {
    struct pd_sim_disk disk;
    struct pd_wal_config config;
    struct pd_wal *wal;
    struct pd_wal_report report;
    struct pd_random random;
    struct model written; /* with what is under way */
    struct model durable; /* of what was told durable */
    struct model found;
};

static struct pd_wal_config small_config(void)
{
    struct pd_wal_config config = pd_wal_config_default();
    config.identity = 77;
    config.segment_bytes = 8 * PD_DISK_BLOCK_SIZE;
    config.segments_max = 512;
    config.groups_max = GROUPS;
    config.mark_bytes_max = 64;
    config.reserve_bytes = PD_DISK_BLOCK_SIZE;
    return config;
}

static enum pd_status found(void *state, const struct pd_wal_record *record)
{
    struct model *model = state;
    uint32_t group = record->group_id;
    assert_true(group < GROUPS);
    switch (record->type) {
    case PD_WAL_ENTRY:
        assert_true(record->index < ENTRIES_MAX && record->payload.size >= 8);
        model->last[group] = record->index;
        memcpy(&model->values[group][record->index], record->payload.bytes, 8);
        break;
    case PD_WAL_HARD_STATE:
        model->term[group] = record->term;
        model->vote[group] = record->node;
        break;
    case PD_WAL_SNAPSHOT:
        break;
    case PD_WAL_FIRST:
        model->first[group] = record->index;
        break;
    }
    return PD_OK;
}

static enum pd_status reopen(struct world *world)
{
    memset(&world->found, 0, sizeof world->found);
    return pd_wal_open(&world->disk.base, &world->config, found, &world->found, &world->report,
                       &world->wal);
}

static void begin(struct world *world, uint64_t seed, uint64_t capacity)
{
    memset(world, 0, sizeof *world);
    pd_random_init(&world->random, seed, "wal test");
    pd_sim_disk_init(&world->disk, capacity);
    world->config = small_config();
    assert_int_equal(reopen(world), PD_OK);
}

static void end(struct world *world)
{
    pd_wal_close(world->wal);
    pd_sim_disk_deinit(&world->disk);
}

/* A batch of a hard state and a few entries of one group. `payload` bytes each. */
static enum pd_status write_batch(struct world *world, uint32_t group, uint32_t entries,
                                  size_t payload)
{
    static uint8_t bytes[16][8192];
    struct pd_wal_record records[17];
    struct model *model = &world->written;
    uint64_t term = model->term[group] + pd_random_below(&world->random, 2);
    uint64_t vote = pd_random_below(&world->random, 5);
    records[0] = (struct pd_wal_record){
        .type = PD_WAL_HARD_STATE, .group_id = group, .term = term, .node = vote};
    uint64_t values[16];
    for (uint32_t i = 0; i < entries; i++) {
        values[i] = pd_random_next(&world->random);
        memset(bytes[i], 0x5a, payload);
        memcpy(bytes[i], &values[i], 8);
        records[i + 1] = (struct pd_wal_record){.type = PD_WAL_ENTRY,
                                                .group_id = group,
                                                .index = model->last[group] + 1 + i,
                                                .term = term,
                                                .payload = {.bytes = bytes[i], .size = payload}};
    }
    enum pd_status status = pd_wal_write(world->wal, records, entries + 1);
    if (status == PD_OK) {
        for (uint32_t i = 0; i < entries; i++) {
            model->values[group][model->last[group] + 1 + i] = values[i];
        }
        model->last[group] += entries;
        model->term[group] = term;
        model->vote[group] = vote;
    }
    return status;
}

static void sync_log(struct world *world)
{
    assert_int_equal(pd_wal_sync(world->wal), PD_OK);
    world->durable = world->written;
}

static bool holds(const struct model *found_model, const struct model *wanted)
{
    for (uint32_t group = 0; group < GROUPS; group++) {
        bool is_cut = wanted->last[group] < wanted->first[group];
        if ((!is_cut && found_model->last[group] != wanted->last[group]) ||
            found_model->term[group] != wanted->term[group] ||
            found_model->vote[group] != wanted->vote[group]) {
            return false;
        }
        uint64_t from = wanted->first[group] > 0 ? wanted->first[group] : 1;
        for (uint64_t i = from; i <= wanted->last[group]; i++) {
            if (found_model->values[group][i] != wanted->values[group][i]) {
                return false;
            }
        }
    }
    return true;
}

static void maintain(struct world *world)
{
    bool more = true;
    while (more) {
        assert_int_equal(pd_wal_maintain(world->wal, &more), PD_OK);
    }
}

static void crc_of_the_rfc(void **state)
{
    (void)state;
    struct pd_wal_record record = {.type = PD_WAL_ENTRY};
    assert_int_equal(pd_wal_record_bytes(&record), PD_WAL_RECORD_HEADER_SIZE);
    uint64_t chain = 3;
    uint8_t block[PD_DISK_BLOCK_SIZE];
    size_t size = pd_wal_batch_encode(block, 1, 2, 3, &record, 1, &chain);
    assert_int_equal(size, PD_DISK_BLOCK_SIZE);
    uint64_t again = 3;
    assert_int_equal(pd_wal_batch_check(block, size, 1, 2, 3, &again, &size), PD_OK);
    assert_int_equal(again, chain);
    again = 3;
    assert_int_equal(pd_wal_batch_check(block, size, 1, 2, 4, &again, &size), PD_ERR_CORRUPT);
    assert_int_equal(pd_wal_batch_check(block, size, 1, 3, 3, &again, &size), PD_ERR_CORRUPT);
    assert_int_equal(pd_wal_batch_check(block, size, 2, 2, 3, &again, &size), PD_ERR_CORRUPT);
    again = 4;
    assert_int_equal(pd_wal_batch_check(block, size, 1, 2, 3, &again, &size), PD_ERR_CORRUPT);
    for (size_t bit = 0; bit < 8 * (PD_WAL_BATCH_HEADER_SIZE + PD_WAL_RECORD_HEADER_SIZE); bit++) {
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
        again = 3;
        assert_int_not_equal(pd_wal_batch_check(block, size, 1, 2, 3, &again, &size), PD_OK);
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void segments_are_recycled_and_votes_carried(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 1, 1u << 24);
    /* Group 2 votes once, then is silent while the others fill segments. */
    assert_int_equal(write_batch(&world, 2, 1, 8), PD_OK);
    sync_log(&world);
    uint64_t vote = world.written.vote[2];
    world.written.first[2] = world.durable.first[2] = 2;
    pd_wal_cut(world.wal, 2, 2);
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t group = i % 2;
        assert_int_equal(write_batch(&world, group, 3, 2000), PD_OK);
        sync_log(&world);
        if (i > 10 && world.written.last[group] > 12) {
            world.written.first[group] = world.written.last[group] - 12;
            world.durable.first[group] = world.written.first[group];
            pd_wal_cut(world.wal, group, world.written.first[group]);
        }
        maintain(&world);
    }
    assert_true(pd_wal_segment_count(world.wal) < 16);
    pd_wal_close(world.wal);
    assert_int_equal(reopen(&world), PD_OK);
    assert_int_equal(world.report.torn_bytes, 0);
    assert_true(holds(&world.found, &world.durable));
    assert_int_equal(world.found.vote[2], vote);
    end(&world);
}

/* Nothing durable is lost, and nothing that was never written appears, whatever a power cut
 * leaves. */
static void power_cut_at_any_moment(void **state)
{
    (void)state;
    uint32_t torn = 0;
    uint32_t kept = 0;
    for (uint64_t seed = 0; seed < 150; seed++) {
        struct world world;
        begin(&world, seed, 1u << 24);
        for (uint32_t i = 0; i < 60 && world.written.last[0] + 20 < ENTRIES_MAX; i++) {
            uint32_t group = (uint32_t)pd_random_below(&world.random, GROUPS);
            uint32_t entries = (uint32_t)pd_random_below(&world.random, 4);
            assert_int_equal(write_batch(&world, group, entries,
                                         8 + (size_t)pd_random_below(&world.random, 4000)),
                             PD_OK);
            if (pd_random_below(&world.random, 8) == 0) {
                pd_wal_close(world.wal);
                pd_sim_disk_power_cut(&world.disk, &world.random);
                assert_int_equal(reopen(&world), PD_OK);
                torn += world.report.torn_bytes > 0;
                bool is_whole = holds(&world.found, &world.written);
                kept += is_whole;
                assert_true(is_whole || holds(&world.found, &world.durable));
                world.durable = is_whole ? world.written : world.durable;
                world.written = world.durable;
                continue;
            }
            sync_log(&world);
            if (pd_random_below(&world.random, 3) == 0) {
                uint64_t last = world.written.last[group];
                world.written.first[group] = world.durable.first[group] = last > 3 ? last - 3 : 0;
                pd_wal_cut(world.wal, group, world.written.first[group]);
                maintain(&world);
            }
            if (pd_random_below(&world.random, 16) == 0) {
                pd_wal_close(world.wal);
                pd_sim_disk_power_cut(&world.disk, &world.random);
                assert_int_equal(reopen(&world), PD_OK);
                assert_true(holds(&world.found, &world.durable));
            }
        }
        end(&world);
    }
    assert_true(torn > 0);
    assert_true(kept > 0);
}

/* A process is killed with a batch, or a segment's name, on the way to the disk. The next one finds
 * it and builds on it, so a power cut after that must not take it. */
static void what_a_killed_process_left_is_made_durable(void **state)
{
    (void)state;
    uint32_t found_whole = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct world world;
        begin(&world, seed, 1u << 24);
        for (uint64_t i = pd_random_below(&world.random, 12); i > 0; i--) {
            assert_int_equal(write_batch(&world, 0, 2, 1500), PD_OK);
            sync_log(&world);
        }
        assert_int_equal(write_batch(&world, 0, 2, 1500), PD_OK);
        if (seed % 2 == 0) {
            /* The batch is durable; if it began a segment, the segment's name is not. */
            world.disk.fail_sync = 2;
            (void)!pd_wal_sync(world.wal);
            world.disk.fail_sync = 0;
        }
        pd_wal_close(world.wal);
        pd_sim_disk_kill(&world.disk);
        assert_int_equal(reopen(&world), PD_OK);
        struct model believed = world.found;
        found_whole += holds(&believed, &world.written);
        pd_wal_close(world.wal);
        pd_sim_disk_power_cut(&world.disk, &world.random);
        assert_int_equal(reopen(&world), PD_OK);
        assert_memory_equal(&world.found, &believed, sizeof believed);
        end(&world);
    }
    assert_true(found_whole > 100);
}

static void damage_before_the_tail_is_told(void **state)
{
    (void)state;
    uint32_t told = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct world world;
        begin(&world, seed, 1u << 24);
        for (uint32_t i = 0; i < 40; i++) {
            assert_int_equal(write_batch(&world, 0, 2, 1500), PD_OK);
            sync_log(&world);
        }
        pd_wal_close(world.wal);
        struct pd_disk_name name;
        uint64_t offset = 0;
        assert_true(pd_sim_disk_rot(&world.disk, &world.random, &name, &offset));
        enum pd_status status = reopen(&world);
        if (status == PD_OK) {
            /* In padding, a spare, or the very last batch, which looks torn. */
            assert_true(world.found.last[0] >= world.durable.last[0] - 2);
            end(&world);
        } else {
            assert_int_equal(status, PD_ERR_CORRUPT);
            assert_non_null(strstr(world.report.text, "log-"));
            assert_non_null(strstr(world.report.text, "offset"));
            struct pd_wal_report report;
            memset(&world.found, 0, sizeof world.found);
            assert_int_equal(pd_wal_verify(&world.disk.base, found, &world.found, &report),
                             PD_ERR_CORRUPT);
            told++;
            pd_sim_disk_deinit(&world.disk);
        }
    }
    assert_true(told > 10);
}

static void a_missing_segment_is_damage(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 5, 1u << 24);
    for (uint32_t i = 0; i < 60; i++) {
        assert_int_equal(write_batch(&world, 0, 2, 1500), PD_OK);
        sync_log(&world);
    }
    assert_true(pd_wal_segment_count(world.wal) > 3);
    pd_wal_close(world.wal);
    struct pd_disk_name name;
    pd_wal_segment_name(2, &name);
    assert_int_equal(world.disk.base.ops->remove(&world.disk.base, name.text), PD_OK);
    assert_int_equal(reopen(&world), PD_ERR_CORRUPT);
    assert_non_null(strstr(world.report.text, "missing"));
    pd_sim_disk_deinit(&world.disk);
}

static void a_full_disk_refuses_and_recovers(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 9, 12 * 8 * PD_DISK_BLOCK_SIZE);
    enum pd_status status = PD_OK;
    bool more = false;
    while (status == PD_OK) {
        status = write_batch(&world, 0, 2, 3000);
        if (status == PD_OK) {
            sync_log(&world);
            more = true;
            while (more) {
                if (pd_wal_maintain(world.wal, &more) == PD_ERR_FULL) {
                    assert_true(pd_wal_is_low(world.wal));
                    break;
                }
            }
        }
    }
    assert_int_equal(status, PD_ERR_FULL);
    assert_true(pd_wal_is_low(world.wal));
    /* What is in the log counts; then the store takes it over, and space returns. */
    world.written.first[0] = world.durable.first[0] = world.written.last[0];
    pd_wal_cut(world.wal, 0, world.written.last[0]);
    maintain(&world);
    assert_false(pd_wal_is_low(world.wal));
    assert_int_equal(write_batch(&world, 0, 2, 3000), PD_OK);
    sync_log(&world);
    pd_wal_close(world.wal);
    assert_int_equal(reopen(&world), PD_OK);
    assert_true(holds(&world.found, &world.durable));
    end(&world);
}

/* The store writes to the same disk, and may not find it full because a spare is being tried. */
static void spares_leave_room_to_others(void **state)
{
    (void)state;
    struct world world;
    memset(&world, 0, sizeof world);
    pd_random_init(&world.random, 10, "wal test");
    pd_sim_disk_init(&world.disk, 12 * 8 * PD_DISK_BLOCK_SIZE);
    world.config = small_config();
    world.config.room_bytes = 3 * world.config.segment_bytes + PD_DISK_BLOCK_SIZE;
    assert_int_equal(reopen(&world), PD_OK);
    enum pd_status status = PD_OK;
    while (status == PD_OK) {
        bool more = true;
        while (more) {
            more = pd_wal_maintain(world.wal, &more) == PD_OK && more;
        }
        uint64_t free_bytes = 0;
        assert_int_equal(world.disk.base.ops->free_bytes(&world.disk.base, &free_bytes), PD_OK);
        assert_true(free_bytes >= world.config.room_bytes);
        status = write_batch(&world, 0, 2, 3000);
        if (status == PD_OK) {
            sync_log(&world);
        }
    }
    assert_int_equal(status, PD_ERR_FULL);
    assert_true(pd_wal_is_low(world.wal));
    end(&world);
}

static void what_cannot_be_written_is_refused(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 3, 1u << 24);
    static uint8_t large[16 * PD_DISK_BLOCK_SIZE];
    struct pd_wal_record record = {
        .type = PD_WAL_ENTRY, .index = 1, .payload = {.bytes = large, .size = sizeof large}};
    assert_int_equal(pd_wal_write(world.wal, &record, 1), PD_ERR_INVALID);
    assert_int_equal(pd_wal_write(world.wal, &record, 0), PD_ERR_INVALID);
    record.payload.size = 8;
    for (uint32_t i = 0; i < GROUPS; i++) {
        record.group_id = 100 + i;
        assert_int_equal(pd_wal_write(world.wal, &record, 1), PD_OK);
        assert_int_equal(pd_wal_sync(world.wal), PD_OK);
    }
    record.group_id = 1;
    assert_int_equal(pd_wal_write(world.wal, &record, 1), PD_ERR_INVALID);
    record = (struct pd_wal_record){
        .type = PD_WAL_SNAPSHOT, .group_id = 100, .payload = {.bytes = large, .size = 65}};
    assert_int_equal(pd_wal_write(world.wal, &record, 1), PD_ERR_INVALID);
    end(&world);
}

static void a_failed_sync_is_told(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 4, 1u << 24);
    assert_int_equal(write_batch(&world, 0, 1, 100), PD_OK);
    world.disk.fail_sync = 1;
    assert_int_equal(pd_wal_sync(world.wal), PD_ERR_IO);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_of_the_rfc),
        cmocka_unit_test(segments_are_recycled_and_votes_carried),
        cmocka_unit_test(power_cut_at_any_moment),
        cmocka_unit_test(what_a_killed_process_left_is_made_durable),
        cmocka_unit_test(damage_before_the_tail_is_told),
        cmocka_unit_test(a_missing_segment_is_damage),
        cmocka_unit_test(a_full_disk_refuses_and_recovers),
        cmocka_unit_test(spares_leave_room_to_others),
        cmocka_unit_test(what_cannot_be_written_is_refused),
        cmocka_unit_test(a_failed_sync_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
