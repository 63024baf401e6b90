/* The simulated disk: what is durable when, what a power cut may take, and what it may not. */
#include "sim/disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct pd_sim_disk disk;
static struct pd_random randomness;

static int set_up(void **state)
{
    (void)state;
    pd_sim_disk_init(&disk, 1 << 20);
    pd_random_init(&randomness, 1, "test");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pd_sim_disk_deinit(&disk);
    return 0;
}

static struct pd_disk_file made(const char *name)
{
    struct pd_disk_file file = {-1};
    assert_int_equal(disk.base.ops->create(&disk.base, name, &file), PD_OK);
    return file;
}

static void put(struct pd_disk_file file, uint64_t offset, uint8_t byte, size_t size)
{
    uint8_t bytes[3 * PD_DISK_BLOCK_SIZE];
    assert_true(size <= sizeof bytes);
    memset(bytes, byte, size);
    assert_int_equal(disk.base.ops->write(&disk.base, file, offset, bytes, size), PD_OK);
}

static uint8_t byte_at(const char *name, uint64_t offset)
{
    struct pd_disk_file file = {-1};
    uint64_t size = 0;
    assert_int_equal(disk.base.ops->open(&disk.base, name, &file, &size), PD_OK);
    uint8_t byte = 0;
    size_t done = 0;
    assert_int_equal(disk.base.ops->read(&disk.base, file, offset, &byte, 1, &done), PD_OK);
    assert_int_equal(done, 1);
    disk.base.ops->close(&disk.base, file);
    return byte;
}

static void synced_content_survives_any_power_cut(void **state)
{
    (void)state;
    struct pd_disk_file file = made("log");
    put(file, 0, 7, 2 * PD_DISK_BLOCK_SIZE + 100);
    assert_int_equal(disk.base.ops->sync(&disk.base, file), PD_OK);
    assert_int_equal(disk.base.ops->sync_names(&disk.base), PD_OK);
    for (int i = 0; i < 50; i++) {
        assert_false(pd_sim_disk_power_cut(&disk, &randomness));
        assert_int_equal(byte_at("log", 0), 7);
        assert_int_equal(byte_at("log", 2 * PD_DISK_BLOCK_SIZE + 99), 7);
    }
}

static void unsynced_blocks_are_new_old_or_torn(void **state)
{
    (void)state;
    bool has_new = false;
    bool has_old = false;
    bool has_torn = false;
    for (int i = 0; i < 200; i++) {
        pd_sim_disk_wipe(&disk);
        struct pd_disk_file file = made("log");
        put(file, 0, 1, PD_DISK_BLOCK_SIZE);
        assert_int_equal(disk.base.ops->sync(&disk.base, file), PD_OK);
        assert_int_equal(disk.base.ops->sync_names(&disk.base), PD_OK);
        put(file, 0, 2, PD_DISK_BLOCK_SIZE);
        (void)pd_sim_disk_power_cut(&disk, &randomness);
        uint32_t twos = 0;
        for (uint64_t at = 0; at < PD_DISK_BLOCK_SIZE; at += 512) {
            twos += byte_at("log", at) == 2 ? 1 : 0;
        }
        has_new = has_new || twos == 8;
        has_old = has_old || twos == 0;
        has_torn = has_torn || (twos > 0 && twos < 8);
        assert_false(pd_sim_disk_is_dirty(&disk));
    }
    assert_true(has_new && has_old && has_torn);
}

static void a_killed_process_loses_nothing_but_its_handles(void **state)
{
    (void)state;
    struct pd_disk_file file = made("log");
    put(file, 0, 3, 10);
    pd_sim_disk_kill(&disk);
    assert_int_equal(byte_at("log", 9), 3);
}

static void names_need_their_own_sync(void **state)
{
    (void)state;
    bool has_lost = false;
    bool has_kept = false;
    for (int i = 0; i < 100; i++) {
        pd_sim_disk_wipe(&disk);
        struct pd_disk_file file = made("new");
        put(file, 0, 4, 10);
        assert_int_equal(disk.base.ops->sync(&disk.base, file), PD_OK);
        (void)pd_sim_disk_power_cut(&disk, &randomness);
        struct pd_disk_name names[4];
        uint32_t count = 0;
        assert_int_equal(disk.base.ops->list(&disk.base, names, 4, &count), PD_OK);
        has_lost = has_lost || count == 0;
        has_kept = has_kept || count == 1;
    }
    assert_true(has_lost && has_kept);
}

static void a_rename_is_old_or_new_never_both(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        pd_sim_disk_wipe(&disk);
        struct pd_disk_file file = made("spare");
        put(file, 0, 5, 10);
        assert_int_equal(disk.base.ops->sync(&disk.base, file), PD_OK);
        assert_int_equal(disk.base.ops->sync_names(&disk.base), PD_OK);
        assert_int_equal(disk.base.ops->rename(&disk.base, "spare", "segment"), PD_OK);
        (void)pd_sim_disk_power_cut(&disk, &randomness);
        struct pd_disk_name names[4];
        uint32_t count = 0;
        assert_int_equal(disk.base.ops->list(&disk.base, names, 4, &count), PD_OK);
        assert_int_equal(count, 1);
        assert_int_equal(byte_at(names[0].text, 0), 5);
    }
}

static void what_a_failed_sync_left_no_later_sync_saves(void **state)
{
    (void)state;
    bool has_lost = false;
    for (int i = 0; i < 50; i++) {
        pd_sim_disk_wipe(&disk);
        struct pd_disk_file file = made("log");
        put(file, 0, 1, PD_DISK_BLOCK_SIZE);
        assert_int_equal(disk.base.ops->sync(&disk.base, file), PD_OK);
        assert_int_equal(disk.base.ops->sync_names(&disk.base), PD_OK);
        put(file, 0, 2, PD_DISK_BLOCK_SIZE);
        disk.fail_sync = 1;
        assert_int_equal(disk.base.ops->sync(&disk.base, file), PD_ERR_IO);
        assert_int_equal(disk.base.ops->sync(&disk.base, file), PD_OK);
        (void)pd_sim_disk_power_cut(&disk, &randomness);
        has_lost = has_lost || byte_at("log", 0) == 1;
    }
    assert_true(has_lost);
}

static void a_full_disk_refuses_growth_only(void **state)
{
    (void)state;
    struct pd_disk_file file = made("log");
    put(file, 0, 1, PD_DISK_BLOCK_SIZE);
    disk.capacity = disk.used;
    uint8_t byte = 9;
    assert_int_equal(disk.base.ops->write(&disk.base, file, 0, &byte, 1), PD_OK);
    assert_int_equal(disk.base.ops->write(&disk.base, file, PD_DISK_BLOCK_SIZE, &byte, 1),
                     PD_ERR_FULL);
    disk.capacity = 1 << 20;
    assert_int_equal(disk.base.ops->write(&disk.base, file, PD_DISK_BLOCK_SIZE, &byte, 1), PD_OK);
}

static void rot_flips_one_synced_bit(void **state)
{
    (void)state;
    struct pd_disk_file file = made("log");
    struct pd_disk_name name;
    uint64_t offset = 0;
    assert_false(pd_sim_disk_rot(&disk, &randomness, &name, &offset));
    put(file, 0, 0x55, 3 * PD_DISK_BLOCK_SIZE);
    assert_int_equal(disk.base.ops->sync(&disk.base, file), PD_OK);
    assert_int_equal(disk.base.ops->sync_names(&disk.base), PD_OK);
    assert_true(pd_sim_disk_rot(&disk, &randomness, &name, &offset));
    assert_string_equal(name.text, "log");
    assert_int_equal(__builtin_popcount(byte_at("log", offset) ^ 0x55u), 1);
    assert_false(pd_sim_disk_is_dirty(&disk));
}

static void a_copy_holds_what_is_durable(void **state)
{
    (void)state;
    struct pd_sim_disk other;
    pd_sim_disk_init(&other, 1 << 20);
    struct pd_disk_file file = made("log");
    put(file, 0, 1, 100);
    assert_int_equal(disk.base.ops->sync(&disk.base, file), PD_OK);
    assert_int_equal(disk.base.ops->sync_names(&disk.base), PD_OK);
    put(file, 0, 2, 100);
    (void)made("unsynced");
    pd_sim_disk_copy(&other, &disk);
    struct pd_disk_name names[4];
    uint32_t count = 0;
    assert_int_equal(other.base.ops->list(&other.base, names, 4, &count), PD_OK);
    assert_int_equal(count, 1);
    struct pd_disk_file copied = {-1};
    uint64_t size = 0;
    uint8_t byte = 0;
    size_t done = 0;
    assert_int_equal(other.base.ops->open(&other.base, "log", &copied, &size), PD_OK);
    assert_int_equal(size, 100);
    assert_int_equal(other.base.ops->read(&other.base, copied, 50, &byte, 1, &done), PD_OK);
    assert_int_equal(byte, 1);
    pd_sim_disk_deinit(&other);
}

static void truncation_is_durable_only_after_a_sync(void **state)
{
    (void)state;
    struct pd_disk_file file = made("log");
    put(file, 0, 6, 2 * PD_DISK_BLOCK_SIZE);
    assert_int_equal(disk.base.ops->sync(&disk.base, file), PD_OK);
    assert_int_equal(disk.base.ops->sync_names(&disk.base), PD_OK);
    assert_int_equal(disk.base.ops->truncate(&disk.base, file, 100), PD_OK);
    uint8_t bytes[200];
    size_t done = 0;
    assert_int_equal(disk.base.ops->read(&disk.base, file, 0, bytes, sizeof bytes, &done), PD_OK);
    assert_int_equal(done, 100);
    assert_true(pd_sim_disk_is_dirty(&disk));
    assert_int_equal(disk.base.ops->sync(&disk.base, file), PD_OK);
    assert_false(pd_sim_disk_is_dirty(&disk));
    assert_false(pd_sim_disk_power_cut(&disk, &randomness));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(synced_content_survives_any_power_cut),
        TEST(unsynced_blocks_are_new_old_or_torn),
        TEST(a_killed_process_loses_nothing_but_its_handles),
        TEST(names_need_their_own_sync),
        TEST(a_rename_is_old_or_new_never_both),
        TEST(what_a_failed_sync_left_no_later_sync_saves),
        TEST(a_full_disk_refuses_growth_only),
        TEST(rot_flips_one_synced_bit),
        TEST(a_copy_holds_what_is_durable),
        TEST(truncation_is_durable_only_after_a_sync),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
