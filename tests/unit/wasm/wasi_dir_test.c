/* fd_readdir: order, cookies, tiny buffers, entries that vanish on the way; and the deterministic
 * form of files. */
#include "wasi_world.h"

#define DIRENT_SIZE 24u

struct entry {
    uint64_t next;
    uint64_t inode;
    char name[256];
    uint8_t type;
};

/* Read from a cookie with a buffer of `room` bytes; whole entries come to `entries_out`. */
static uint32_t read_dir(struct pd_guest *guest, uint32_t fd, uint32_t room, uint64_t cookie,
                         struct entry *entries_out, uint32_t entries_max, uint32_t *used_out)
{
    assert_int_equal(CALL(guest, fd_readdir, fd, 8192, room, cookie, 8), 0);
    uint32_t used = fake_u32(guest, 8);
    assert_true(used <= room);
    uint32_t count = 0;
    uint32_t at = 0;
    while (used - at >= DIRENT_SIZE) {
        const uint8_t *from = guest->memory + 8192 + at;
        uint32_t name_size = pd_get_u32(from + 16);
        if (used - at - DIRENT_SIZE < name_size) {
            break;
        }
        assert_true(count < entries_max && name_size < 256);
        struct entry *entry = &entries_out[count++];
        *entry = (struct entry){
            .next = pd_get_u64(from), .inode = pd_get_u64(from + 8), .type = from[20]};
        memcpy(entry->name, from + DIRENT_SIZE, name_size);
        at += DIRENT_SIZE + name_size;
    }
    *used_out = used;
    return count;
}

static void an_empty_directory_has_two_entries(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    struct entry entries[8];
    uint32_t used;
    assert_int_equal(CALL(guest, fd_filestat_get, DIR_FD, STAT_AT), 0);
    uint64_t inode = STAT_INODE(guest);
    assert_int_equal(read_dir(guest, DIR_FD, 256, 0, entries, 8, &used), 2);
    assert_true(used < 256);
    assert_string_equal(entries[0].name, ".");
    assert_int_equal(entries[0].inode, inode);
    assert_int_equal(entries[0].type, PD_FILE_TYPE_DIRECTORY);
    assert_string_equal(entries[1].name, "..");
    assert_int_equal(entries[1].type, PD_FILE_TYPE_DIRECTORY);
    assert_int_equal(read_dir(guest, DIR_FD, 256, entries[1].next, entries, 8, &used), 0);
    assert_int_equal(used, 0);
    assert_int_equal(CALL(guest, fd_readdir, 1, 8192, 10, 0, 8), PD_FILE_NOTDIR);
    assert_int_equal(read_dir(guest, DIR_FD, 256, UINT64_MAX, entries, 8, &used), 0);
    world_close(&world);
}

static void types_and_cookies(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    struct entry entries[8];
    uint32_t used;
    assert_int_equal(make_file(guest, "file"), 0);
    assert_int_equal(make_dir(guest, "dir"), 0);
    assert_int_equal(symlink_path(guest, "file", "link"), 0);
    char path[128];
    snprintf(path, sizeof path, "%s/bad\xFFname", world.scratch);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(read_dir(guest, DIR_FD, 1024, 0, entries, 8, &used), 5);
    assert_string_equal(entries[2].name, "dir");
    assert_int_equal(entries[2].type, PD_FILE_TYPE_DIRECTORY);
    assert_string_equal(entries[3].name, "file");
    assert_int_equal(entries[3].type, PD_FILE_TYPE_REGULAR);
    assert_string_equal(entries[4].name, "link");
    assert_int_equal(entries[4].type, PD_FILE_TYPE_LINK);
    assert_int_equal(stat_path(guest, "file", 0), 0);
    assert_int_equal(entries[3].inode, STAT_INODE(guest));
    uint64_t cookie = entries[3].next;
    assert_int_equal(read_dir(guest, DIR_FD, 1024, cookie, entries, 8, &used), 1);
    assert_string_equal(entries[0].name, "link");
    /* Without a snapshot the cookie counts in a new one. */
    uint32_t fd;
    assert_int_equal(open_path(guest, ".", O_DIR, &fd), 0);
    assert_int_equal(read_dir(guest, fd, 1024, cookie, entries, 8, &used), 1);
    assert_string_equal(entries[0].name, "link");
    world_close(&world);
}

static void many_entries_through_a_small_buffer(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    world.host.runs_inline = true;
    char name[32];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "file.%d", i);
        assert_int_equal(make_file(guest, name), 0);
    }
    struct entry entries[32];
    uint32_t used;
    uint64_t cookie = 0;
    uint32_t total = 0;
    /* Removing what was read, as rm -r does, skips nothing. */
    for (;;) {
        uint32_t count = read_dir(guest, DIR_FD, 256, cookie, entries, 32, &used);
        total += count;
        for (uint32_t i = 0; i < count; i++) {
            cookie = entries[i].next;
            if (entries[i].name[0] != '.') {
                assert_int_equal(unlink_path(guest, entries[i].name), 0);
            }
        }
        if (used < 256) {
            break;
        }
    }
    assert_int_equal(total, 1002);
    assert_int_equal(read_dir(guest, DIR_FD, 256, 0, entries, 32, &used), 2);
    world_close(&world);
}

static void tiny_buffers_are_filled_and_cut(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    struct entry entries[8];
    uint32_t used;
    assert_int_equal(make_file(guest, "a-name"), 0);
    for (uint32_t room = 0; room < 80; room++) {
        memset(guest->memory + 8192, 0xEE, 128);
        (void)read_dir(guest, DIR_FD, room, 0, entries, 8, &used);
        assert_int_equal(used, room < 81 ? room : 81);
        assert_int_equal(guest->memory[8192 + room], 0xEE);
    }
    assert_int_equal(read_dir(guest, DIR_FD, 24, 2, entries, 8, &used), 0);
    assert_int_equal(used, 24);
    assert_int_equal(pd_get_u32(guest->memory + 8192 + 16), 6);
    world_close(&world);
}

/* The same steps in two folders whose real inode numbers and times differ. */
static void run_deterministic(uint8_t trace[16][64], uint32_t *steps_out)
{
    struct world world;
    world_open_as(&world, true, PD_WASI_READ_WRITE);
    struct pd_guest *guest = &world.guest;
    uint32_t steps = 0;
    uint32_t fd;
    struct entry entries[16];
    uint32_t used;
#define NOTE()                                                                                     \
    do {                                                                                           \
        memcpy(trace[steps++], guest->memory + STAT_AT, 64);                                       \
    } while (0)
    assert_int_equal(open_path(guest, "b", O_CREATE, &fd), 0);
    assert_int_equal(stat_path(guest, "b", 0), 0);
    NOTE();
    world.host.now_ns += 5;
    assert_int_equal(write_text(guest, fd, "text"), 0);
    assert_int_equal(CALL(guest, fd_filestat_get, fd, STAT_AT), 0);
    assert_int_equal(STAT_MODIFIED(guest), world.host.now_ns + world.host.wall_offset_ns);
    NOTE();
    assert_int_equal(make_dir(guest, "a"), 0);
    assert_int_equal(stat_path(guest, "a", 0), 0);
    assert_int_equal(STAT_SIZE(guest), 0);
    NOTE();
    uint64_t gone = STAT_INODE(guest);
    assert_int_equal(remove_dir(guest, "a"), 0);
    assert_int_equal(make_dir(guest, "a"), 0);
    assert_int_equal(stat_path(guest, "a", 0), 0);
    assert_int_not_equal(STAT_INODE(guest), gone);
    NOTE();
    assert_int_equal(link_path(guest, "b", "c"), 0);
    assert_int_equal(stat_path(guest, "b", 0), 0);
    uint64_t inode = STAT_INODE(guest);
    assert_int_equal(stat_path(guest, "c", 0), 0);
    assert_int_equal(STAT_INODE(guest), inode);
    assert_int_equal(unlink_path(guest, "b"), 0);
    assert_int_equal(stat_path(guest, "c", 0), 0);
    assert_int_equal(STAT_INODE(guest), inode);
    NOTE();
    assert_int_equal(read_dir(guest, DIR_FD, 1024, 0, entries, 16, &used), 4);
    assert_int_equal(entries[3].inode, inode);
    assert_int_equal(make_file(guest, "over"), 0);
    assert_int_equal(rename_path(guest, "over", "c"), 0);
    assert_int_equal(stat_path(guest, "c", 0), 0);
    assert_int_not_equal(STAT_INODE(guest), inode);
    NOTE();
    fake_reset(guest);
    assert_int_equal(CALL(guest, path_filestat_set_times, DIR_FD, 0, TEXT(guest, "c"), 111, 222, 5),
                     0);
    assert_int_equal(stat_path(guest, "c", 0), 0);
    assert_int_equal(STAT_MODIFIED(guest), 222);
    NOTE();
    assert_int_equal(CALL(guest, fd_filestat_get, DIR_FD, STAT_AT), 0);
    NOTE();
    assert_int_equal(CALL(guest, fd_fdstat_get, 0, STAT_AT), 0);
    assert_int_equal(guest->memory[STAT_AT], PD_FILE_TYPE_CHARACTER_DEVICE);
    *steps_out = steps;
    world_close(&world);
}

static void the_deterministic_form_repeats(void **state)
{
    (void)state;
    static uint8_t first[16][64];
    static uint8_t second[16][64];
    uint32_t steps;
    uint32_t steps_again;
    run_deterministic(first, &steps);
    run_deterministic(second, &steps_again);
    assert_int_equal(steps, steps_again);
    assert_memory_equal(first, second, sizeof first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_directory_has_two_entries),
        cmocka_unit_test(types_and_cookies),
        cmocka_unit_test(many_entries_through_a_small_buffer),
        cmocka_unit_test(tiny_buffers_are_filled_and_cut),
        cmocka_unit_test(the_deterministic_form_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
