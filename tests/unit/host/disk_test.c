/* The real disk, and the log on it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/disk.h"
#include "wal/wal.h"

static char folder[] = "/tmp/pando-disk-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    struct pd_disk *disk = NULL;
    struct pd_disk_name names[64];
    uint32_t count = 0;
    if (pd_host_disk_open(folder, true, &disk) == PD_OK) {
        if (disk->ops->list(disk, names, 64, &count) != PD_OK) {
            return 1;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (disk->ops->remove(disk, names[i].text) != PD_OK) {
                return 1;
            }
        }
        disk->ops->close_disk(disk);
    }
    return rmdir(folder);
}

static void files_do_what_the_header_says(void **state)
{
    (void)state;
    struct pd_disk *disk = NULL;
    struct pd_disk *other = NULL;
    assert_int_equal(pd_host_disk_open(folder, true, &disk), PD_OK);
    assert_int_equal(pd_host_disk_open(folder, true, &other), PD_ERR_EXISTS);
    assert_int_equal(pd_host_disk_open("/nowhere/at/all", false, &other), PD_ERR_UNKNOWN);
    struct pd_disk_file file;
    uint64_t size = 0;
    assert_int_equal(disk->ops->open(disk, "b", &file, &size), PD_ERR_UNKNOWN);
    assert_int_equal(disk->ops->create(disk, "b", &file), PD_OK);
    struct pd_disk_file again;
    assert_int_equal(disk->ops->create(disk, "b", &again), PD_ERR_EXISTS);
    uint8_t bytes[16] = "0123456789";
    assert_int_equal(disk->ops->write(disk, file, 3, bytes, 10), PD_OK);
    assert_int_equal(disk->ops->sync(disk, file), PD_OK);
    size_t got = 0;
    assert_int_equal(disk->ops->read(disk, file, 4, bytes, sizeof bytes, &got), PD_OK);
    assert_int_equal(got, 9);
    assert_memory_equal(bytes, "123456789", 9);
    assert_int_equal(disk->ops->truncate(disk, file, 5), PD_OK);
    disk->ops->close(disk, file);
    assert_int_equal(disk->ops->rename(disk, "b", "a"), PD_OK);
    assert_int_equal(disk->ops->sync_names(disk), PD_OK);
    assert_int_equal(disk->ops->open(disk, "a", &file, &size), PD_OK);
    assert_int_equal(size, 5);
    disk->ops->close(disk, file);
    struct pd_disk_name names[4];
    uint32_t count = 0;
    assert_int_equal(disk->ops->list(disk, names, 4, &count), PD_OK);
    assert_int_equal(count, 1);
    assert_string_equal(names[0].text, "a");
    assert_int_equal(disk->ops->list(disk, names, 0, &count), PD_ERR_RANGE);
    uint64_t room = 0;
    assert_int_equal(disk->ops->free_bytes(disk, &room), PD_OK);
    assert_true(room > 0);
    assert_int_equal(disk->ops->remove(disk, "a"), PD_OK);
    assert_int_equal(disk->ops->remove(disk, "a"), PD_ERR_UNKNOWN);
    disk->ops->close_disk(disk);
}

static enum pd_status count_entry(void *state, const struct pd_wal_record *record)
{
    *(uint64_t *)state += record->type == PD_WAL_ENTRY;
    return PD_OK;
}

static void the_log_lives_on_it(void **state)
{
    (void)state;
    struct pd_wal_config config = pd_wal_config_default();
    config.segment_bytes = 1u << 20;
    config.identity = 5;
    config.reserve_bytes = 0;
    uint64_t found = 0;
    for (uint32_t round = 0; round < 3; round++) {
        struct pd_disk *disk = NULL;
        struct pd_wal *wal = NULL;
        struct pd_wal_report report;
        assert_int_equal(pd_host_disk_open(folder, true, &disk), PD_OK);
        found = 0;
        assert_int_equal(pd_wal_open(disk, &config, count_entry, &found, &report, &wal), PD_OK);
        assert_int_equal(found, round * 200);
        assert_int_equal(report.torn_bytes, 0);
        for (uint32_t i = 1; i <= 200; i++) {
            struct pd_wal_record record = {.type = PD_WAL_ENTRY,
                                           .index = round * 200 + i,
                                           .term = 1,
                                           .payload = {(const uint8_t *)"value", 5}};
            assert_int_equal(pd_wal_write(wal, &record, 1), PD_OK);
            assert_int_equal(pd_wal_sync(wal), PD_OK);
        }
        pd_wal_close(wal);
        disk->ops->close_disk(disk);
    }
    assert_int_equal(found, 400);
}

/* As with a full disk: nothing was done, and later it may be. */
static void without_descriptors_a_file_is_refused(void **state)
{
    (void)state;
    struct pd_disk *disk = NULL;
    struct pd_disk_file file;
    uint64_t size = 0;
    struct rlimit before;
    assert_int_equal(pd_host_disk_open(folder, true, &disk), PD_OK);
    int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(first >= 0);
    close(first);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {.rlim_cur = (rlim_t)first, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum pd_status refused = disk->ops->create(disk, "new", &file);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(refused, PD_ERR_FULL);
    assert_int_equal(disk->ops->open(disk, "new", &file, &size), PD_ERR_UNKNOWN);
    assert_int_equal(disk->ops->create(disk, "new", &file), PD_OK);
    disk->ops->close(disk, file);
    disk->ops->close_disk(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_do_what_the_header_says, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_log_lives_on_it, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(without_descriptors_a_file_is_refused, make_folder,
                                        remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
