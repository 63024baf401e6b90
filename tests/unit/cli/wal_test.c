/* `pando wal`: what a person sees of a sound, a torn and a damaged log. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/disk.h"
#include "wal/wal.h"

static char folder[64];
static char output[65536];

/* Run `pando wal WORDS FOLDER`; both streams into `output`. Returns the exit code. */
static int run(const char *words)
{
    char line[512];
    snprintf(line, sizeof line, "%s wal %s %s 2>&1", PD_TEST_PANDO, words, folder);
    FILE *stream = popen(line, "r");
    assert_non_null(stream);
    size_t size = fread(output, 1, sizeof output - 1, stream);
    output[size] = '\0';
    int status = pclose(stream);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int make_log(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/pando-wal-XXXXXX");
    assert_non_null(mkdtemp(folder));
    struct pd_wal_config config = pd_wal_config_default();
    config.segment_bytes = 1u << 20;
    config.reserve_bytes = 0;
    struct pd_disk *disk = NULL;
    struct pd_wal *wal = NULL;
    struct pd_wal_report report;
    assert_int_equal(pd_host_disk_open(folder, true, &disk), PD_OK);
    assert_int_equal(pd_wal_open(disk, &config, NULL, NULL, &report, &wal), PD_OK);
    for (uint64_t i = 1; i <= 20; i++) {
        struct pd_wal_record records[2] = {
            {.type = PD_WAL_HARD_STATE, .term = 3, .node = 7, .index = i - 1},
            {.type = PD_WAL_ENTRY, .index = i, .term = 3, .payload = {(const uint8_t *)"abc", 3}}};
        assert_int_equal(pd_wal_write(wal, records, 2), PD_OK);
        assert_int_equal(pd_wal_sync(wal), PD_OK);
    }
    assert_int_equal(run("verify"), 1); /* it is held by this process */
    assert_non_null(strstr(output, "in use"));
    pd_wal_close(wal);
    disk->ops->close_disk(disk);
    return 0;
}

static int remove_log(void **state)
{
    (void)state;
    struct pd_disk *disk = NULL;
    struct pd_disk_name names[16];
    uint32_t count = 0;
    assert_int_equal(pd_host_disk_open(folder, true, &disk), PD_OK);
    assert_int_equal(disk->ops->list(disk, names, 16, &count), PD_OK);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(disk->ops->remove(disk, names[i].text), PD_OK);
    }
    disk->ops->close_disk(disk);
    return rmdir(folder);
}

/* Change one byte of the first segment. */
static void spoil(off_t offset)
{
    char path[128];
    uint8_t byte = 0;
    snprintf(path, sizeof path, "%s/log-0000000000000001", folder);
    int file = open(path, O_RDWR);
    assert_true(file >= 0);
    assert_int_equal(pread(file, &byte, 1, offset), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(file, &byte, 1, offset), 1);
    close(file);
}

static void a_sound_log(void **state)
{
    (void)state;
    assert_int_equal(run("verify"), 0);
    assert_string_equal(output, "sound: 40 records in 20 batches in 1 segments\n");
    assert_int_equal(run("verify -o json"), 0);
    assert_non_null(strstr(output, "\"sound\":true"));
    assert_int_equal(run("inspect"), 0);
    assert_non_null(strstr(output, "TYPE"));
    assert_non_null(strstr(output, "hard-state"));
    assert_int_equal(run("inspect -o json --group 1"), 0);
    assert_string_equal(output, "");
}

static void a_torn_tail_is_a_note(void **state)
{
    (void)state;
    spoil(20 * 4096 + 100);
    assert_int_equal(run("verify"), 0);
    assert_non_null(strstr(output, "19 batches"));
    assert_non_null(strstr(output, "torn"));
    assert_int_equal(run("verify"), 0); /* nothing was changed */
    assert_non_null(strstr(output, "torn"));
}

static void damage_names_place_and_remedy(void **state)
{
    (void)state;
    spoil(5 * 4096 + 100);
    assert_int_equal(run("verify"), 1);
    assert_non_null(strstr(output, "log-0000000000000001"));
    assert_non_null(strstr(output, "offset 20480"));
    assert_non_null(strstr(output, "restore"));
    assert_int_equal(run("inspect"), 1);
}

static void words_are_checked(void **state)
{
    (void)state;
    assert_int_equal(run("frob"), 2);
    assert_int_equal(run("verify --frob"), 2);
    assert_int_equal(run("verify -o xml"), 2);
    assert_int_equal(run("verify /nowhere"), 2);
    char kept[sizeof folder];
    memcpy(kept, folder, sizeof folder);
    snprintf(folder, sizeof folder, "/nowhere");
    assert_int_equal(run("verify"), 1);
    assert_non_null(strstr(output, "does not exist"));
    memcpy(folder, kept, sizeof folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_sound_log, make_log, remove_log),
        cmocka_unit_test_setup_teardown(a_torn_tail_is_a_note, make_log, remove_log),
        cmocka_unit_test_setup_teardown(damage_names_place_and_remedy, make_log, remove_log),
        cmocka_unit_test_setup_teardown(words_are_checked, make_log, remove_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
