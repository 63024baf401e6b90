/* Descriptors: reading, writing, positions, rights, numbers, directories, as the public WASI test
 * suite has them. */
#include "wasi_world.h"

static void reading_and_writing(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t fd;
    uint32_t count;
    assert_int_equal(open_path(guest, "file", O_CREATE, &fd), 0);
    assert_int_equal(write_text(guest, fd, "hello world"), 0);
    assert_int_equal(CALL(guest, fd_tell, fd, 16), 0);
    assert_int_equal(fake_u64(guest, 16), 11);
    assert_int_equal(read_bytes(guest, fd, 100, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(CALL(guest, fd_seek, fd, 6, PD_FILE_FROM_START, 16), 0);
    assert_int_equal(read_bytes(guest, fd, 3, &count), 0);
    assert_int_equal(count, 3);
    assert_memory_equal(guest->memory + 4096, "wor", 3);
    assert_int_equal(CALL(guest, fd_seek, fd, (uint64_t)-2, PD_FILE_FROM_POSITION, 16), 0);
    assert_int_equal(fake_u64(guest, 16), 7);
    assert_int_equal(CALL(guest, fd_seek, fd, (uint64_t)-1, PD_FILE_FROM_END, 16), 0);
    assert_int_equal(fake_u64(guest, 16), 10);
    assert_int_equal(CALL(guest, fd_seek, fd, (uint64_t)-100, PD_FILE_FROM_POSITION, 16),
                     PD_FILE_INVAL);
    assert_int_equal(CALL(guest, fd_seek, fd, 0, 3, 16), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, fd_tell, fd, 16), 0);
    assert_int_equal(fake_u64(guest, 16), 10);
    assert_int_equal(CALL(guest, fd_close, fd), 0);
    assert_int_equal(CALL(guest, fd_close, fd), PD_FILE_BADF);
    assert_int_equal(read_bytes(guest, fd, 3, &count), PD_FILE_BADF);
    world_close(&world);
}

static void several_buffers_in_order(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t fd;
    assert_int_equal(open_path(guest, "file", O_CREATE, &fd), 0);
    memcpy(guest->memory + 1024, "abcdefgh", 8);
    static const uint32_t pieces[][2] = {{1030, 2}, {1024, 0}, {1024, 3}, {1028, 1}};
    for (uint32_t i = 0; i < 4; i++) {
        pd_put_u32(guest->memory + 256 + 8 * i, pieces[i][0]);
        pd_put_u32(guest->memory + 260 + 8 * i, pieces[i][1]);
    }
    assert_int_equal(CALL(guest, fd_pwrite, fd, 256, 4, 2, 8), 0);
    assert_int_equal(fake_u32(guest, 8), 6);
    assert_int_equal(CALL(guest, fd_tell, fd, 16), 0);
    assert_int_equal(fake_u64(guest, 16), 0);
    memset(guest->memory + 1024, 'x', 32);
    assert_int_equal(CALL(guest, fd_pread, fd, 256, 4, 0, 8), 0);
    assert_int_equal(fake_u32(guest, 8), 6);
    /* The file is \0\0 g h a b c e; the buffers take 2, 0, 3, 1 of it. */
    assert_memory_equal(guest->memory + 1030, "\0\0x", 3);
    assert_memory_equal(guest->memory + 1024, "ghaxbx", 6);
    assert_int_equal(CALL(guest, fd_pread, fd, 256, 4, 100, 8), 0);
    assert_int_equal(fake_u32(guest, 8), 0);
    assert_int_equal(CALL(guest, fd_pread, fd, 256, 4, UINT64_MAX, 8), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, fd_pread, fd, 256, 4, UINT64_MAX - 1, 8), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, fd_pwrite, fd, 256, 4, UINT64_MAX, 8), PD_FILE_INVAL);
    /* No buffers: nothing happens. */
    assert_int_equal(CALL(guest, fd_read, fd, 256, 0, 8), 0);
    assert_int_equal(fake_u32(guest, 8), 0);
    world_close(&world);
}

static void one_call_moves_a_bounded_piece(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t fd;
    assert_int_equal(open_path(guest, "file", O_CREATE, &fd), 0);
    /* 20 times the same 100,000 bytes. */
    for (uint32_t i = 0; i < 20; i++) {
        pd_put_u32(guest->memory + 256 + 8 * i, 8192);
        pd_put_u32(guest->memory + 260 + 8 * i, 100000);
    }
    assert_int_equal(CALL(guest, fd_write, fd, 256, 20, 8), 0);
    assert_int_equal(fake_u32(guest, 8), PD_WASI_IO_MAX);
    assert_int_equal(CALL(guest, fd_pread, fd, 256, 20, 0, 8), 0);
    assert_int_equal(fake_u32(guest, 8), PD_WASI_IO_MAX);
    /* More buffers than are looked at: 2,000 of one byte. */
    for (uint32_t i = 0; i < 2000; i++) {
        pd_put_u32(guest->memory + 8192 + 8 * i, 4096);
        pd_put_u32(guest->memory + 8196 + 8 * i, 1);
    }
    assert_int_equal(CALL(guest, fd_write, fd, 8192, 2000, 8), 0);
    assert_int_equal(fake_u32(guest, 8), PD_WASI_IOVECS_MAX);
    world_close(&world);
}

static void appending(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t fd;
    assert_int_equal(open_with(guest, DIR_FD, 0, "file", O_CREATE, RIGHTS_FILE, 0, 1 | 16, &fd), 0);
    assert_int_equal(CALL(guest, fd_fdstat_get, fd, 64), 0);
    assert_int_equal(pd_get_u16(guest->memory + 66), 1 | 16);
    assert_int_equal(write_text(guest, fd, "one"), 0);
    assert_int_equal(CALL(guest, fd_seek, fd, 0, 0, 16), 0);
    assert_int_equal(write_text(guest, fd, "two"), 0);
    assert_file_holds(guest, "file", "onetwo");
    /* The end is where it is by then, also when somebody else moved it. */
    uint32_t other;
    assert_int_equal(open_with(guest, DIR_FD, 0, "file", 0, RIGHTS_FILE, 0, 1, &other), 0);
    assert_int_equal(write_text(guest, other, "+"), 0);
    assert_int_equal(write_text(guest, fd, "-"), 0);
    assert_int_equal(CALL(guest, fd_tell, fd, 16), 0);
    assert_int_equal(fake_u64(guest, 16), 8);
    /* An offset of one's own is one's own. */
    fake_reset(guest);
    uint32_t at = fake_put(guest, "ON", 2);
    pd_put_u32(guest->memory + 256, at);
    pd_put_u32(guest->memory + 260, 2);
    assert_int_equal(CALL(guest, fd_pwrite, fd, 256, 1, 0, 8), 0);
    assert_int_equal(CALL(guest, fd_tell, fd, 16), 0);
    assert_int_equal(fake_u64(guest, 16), 8);
    assert_file_holds(guest, "file", "ONetwo+-");
    assert_int_equal(CALL(guest, fd_filestat_set_size, fd, 6), 0);
    assert_int_equal(CALL(guest, fd_fdstat_set_flags, fd, 0), PD_FILE_NOTSUP);
    assert_int_equal(CALL(guest, fd_fdstat_set_flags, fd, 16), 0);
    assert_int_equal(CALL(guest, fd_seek, fd, 0, 0, 16), 0);
    assert_int_equal(write_text(guest, fd, "O"), 0);
    assert_file_holds(guest, "file", "ONetwo");
    assert_int_equal(CALL(guest, fd_fdstat_set_flags, fd, 64), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, fd_fdstat_set_flags, fd, 16 | 4), 0);
    assert_int_equal(CALL(guest, fd_fdstat_get, fd, 64), 0);
    assert_int_equal(pd_get_u16(guest->memory + 66), 16 | 4);
    assert_int_equal(CALL(guest, fd_fdstat_set_flags, DIR_FD, 4), PD_FILE_BADF);
    world_close(&world);
}

static void sizes_and_times(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t fd;
    assert_int_equal(open_path(guest, "file", O_CREATE, &fd), 0);
    assert_int_equal(CALL(guest, fd_filestat_set_size, fd, 100), 0);
    assert_int_equal(CALL(guest, fd_filestat_get, fd, STAT_AT), 0);
    assert_int_equal(STAT_SIZE(guest), 100);
    assert_int_equal(STAT_TYPE(guest), PD_FILE_TYPE_REGULAR);
    assert_int_equal(CALL(guest, fd_filestat_set_size, fd, UINT64_MAX), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, fd_advise, fd, 10, 50, 0), 0);
    assert_int_equal(CALL(guest, fd_advise, fd, 10, 50, 6), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, fd_advise, fd, UINT64_MAX, 50, 0), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, fd_allocate, fd, 90, 20), 0);
    assert_int_equal(CALL(guest, fd_allocate, fd, 0, 10), 0);
    assert_int_equal(CALL(guest, fd_filestat_get, fd, STAT_AT), 0);
    assert_int_equal(STAT_SIZE(guest), 110);
    assert_int_equal(CALL(guest, fd_allocate, fd, 0, 0), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, fd_allocate, fd, INT64_MAX, INT64_MAX), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, fd_datasync, fd), 0);
    assert_int_equal(CALL(guest, fd_sync, fd), 0);
    assert_int_equal(CALL(guest, fd_sync, DIR_FD), 0);
    assert_int_equal(CALL(guest, fd_filestat_set_times, fd, 100, 200, 4 | 8), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, fd_filestat_set_times, fd, 100, 200, 1 | 2), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, fd_filestat_set_times, fd, 100, 200, 1 | 4), 0);
    assert_int_equal(CALL(guest, fd_filestat_get, fd, STAT_AT), 0);
    assert_int_equal(STAT_ACCESSED(guest), 100);
    assert_int_equal(STAT_MODIFIED(guest), 200);
    assert_int_equal(CALL(guest, fd_filestat_set_times, fd, 0, 0, 2 | 8), 0);
    assert_int_equal(CALL(guest, fd_filestat_get, fd, STAT_AT), 0);
    assert_true(STAT_MODIFIED(guest) > 200);
    assert_int_equal(CALL(guest, fd_filestat_set_times, DIR_FD, 100, 200, 5), 0);
    world_close(&world);
}

static void directories_are_not_files(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t count;
    assert_int_equal(CALL(guest, fd_filestat_get, DIR_FD, STAT_AT), 0);
    assert_int_equal(STAT_TYPE(guest), PD_FILE_TYPE_DIRECTORY);
    assert_int_equal(read_bytes(guest, DIR_FD, 10, &count), PD_FILE_BADF);
    assert_int_equal(write_text(guest, DIR_FD, "x"), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_pread, DIR_FD, 256, 1, 0, 8), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_pwrite, DIR_FD, 256, 1, 0, 8), PD_FILE_BADF);
    for (uint64_t whence = 0; whence < 3; whence++) {
        assert_int_equal(CALL(guest, fd_seek, DIR_FD, 0, whence, 8), PD_FILE_BADF);
    }
    assert_int_equal(CALL(guest, fd_tell, DIR_FD, 8), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_advise, DIR_FD, 0, 0, 4), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_allocate, DIR_FD, 0, 0), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_filestat_set_size, DIR_FD, 0), PD_FILE_BADF);
    uint32_t fd;
    assert_int_equal(make_dir(guest, "dir"), 0);
    assert_int_equal(open_with(guest, DIR_FD, 0, "dir", O_DIR, RIGHT_SEEK, 0, 0, &fd), 0);
    assert_int_equal(CALL(guest, fd_fdstat_get, fd, 64), 0);
    assert_int_equal(guest->memory[64], PD_FILE_TYPE_DIRECTORY);
    assert_int_equal(fake_u64(guest, 72), 0);
    world_close(&world);
}

static void rights_only_shrink(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t fd;
    uint32_t count;
    assert_int_equal(CALL(guest, fd_fdstat_get, DIR_FD, 64), 0);
    uint64_t base = fake_u64(guest, 72);
    uint64_t inheriting = fake_u64(guest, 80);
    assert_int_equal(base & RIGHT_FD_FILESTAT_SET_SIZE, 0);
    assert_int_equal(base & ~inheriting, 0);
    uint64_t rights = RIGHT_READ | RIGHT_WRITE | RIGHT_SEEK | RIGHT_TELL;
    assert_int_equal(open_with(guest, DIR_FD, 0, "file", O_CREATE, rights, 0, 0, &fd), 0);
    assert_int_equal(write_text(guest, fd, "abcd"), 0);
    assert_int_equal(CALL(guest, fd_filestat_get, fd, STAT_AT), PD_FILE_NOTCAPABLE);
    assert_int_equal(CALL(guest, fd_fdstat_set_rights, fd, RIGHT_SEEK | RIGHT_TELL, 0), 0);
    assert_int_equal(read_bytes(guest, fd, 4, &count), PD_FILE_BADF);
    assert_int_equal(write_text(guest, fd, "x"), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_fdstat_set_rights, fd, rights, 0), PD_FILE_NOTCAPABLE);
    assert_int_equal(CALL(guest, fd_fdstat_set_rights, fd, 0, RIGHT_READ), PD_FILE_NOTCAPABLE);
    assert_int_equal(CALL(guest, fd_seek, fd, 1, 0, 16), 0);
    assert_int_equal(CALL(guest, fd_fdstat_set_rights, fd, RIGHT_TELL, 0), 0);
    assert_int_equal(CALL(guest, fd_tell, fd, 16), 0);
    assert_int_equal(CALL(guest, fd_seek, fd, 1, 0, 16), PD_FILE_NOTCAPABLE);
    assert_int_equal(CALL(guest, fd_fdstat_set_rights, 99, 0, 0), PD_FILE_BADF);
    /* Truncation is the directory's right. */
    assert_int_equal(open_with(guest, DIR_FD, 0, "file", O_TRUNCATE, 0, 0, 0, &fd), 0);
    assert_int_equal(
        CALL(guest, fd_fdstat_set_rights, DIR_FD, base, inheriting & ~RIGHT_FD_FILESTAT_SET_SIZE),
        0);
    assert_int_equal(open_with(guest, DIR_FD, 0, "file", O_TRUNCATE, 0, 0, 0, &fd), 0);
    assert_int_equal(CALL(guest, fd_fdstat_set_rights, DIR_FD, base & ~RIGHT_PATH_FILESTAT_SET_SIZE,
                          inheriting & ~RIGHT_FD_FILESTAT_SET_SIZE),
                     0);
    assert_int_equal(open_with(guest, DIR_FD, 0, "file", O_TRUNCATE, 0, 0, 0, &fd), PD_FILE_PERM);
    /* What a directory does not pass on, nobody beneath it has. */
    assert_int_equal(open_path(guest, "file", 0, &fd), 0);
    assert_int_equal(CALL(guest, fd_filestat_set_size, fd, 0), PD_FILE_NOTCAPABLE);
    assert_int_equal(
        CALL(guest, fd_fdstat_set_rights, DIR_FD, RIGHT_PATH_OPEN | RIGHT_READDIR, RIGHT_READ), 0);
    assert_int_equal(open_with(guest, DIR_FD, 0, "file", 0, RIGHT_WRITE, 0, 0, &fd),
                     PD_FILE_NOTCAPABLE);
    assert_int_equal(
        open_with(guest, DIR_FD, 0, ".", O_DIR, RIGHTS_ALL & ~RIGHT_WRITE, RIGHTS_ALL, 0, &fd), 0);
    assert_int_equal(CALL(guest, fd_fdstat_get, fd, 64), 0);
    assert_int_equal(fake_u64(guest, 72), 0);
    assert_int_equal(fake_u64(guest, 80), RIGHT_READ);
    assert_int_equal(stat_path(guest, "file", 0), PD_FILE_NOTCAPABLE);
    world_close(&world);
}

static void reading_and_writing_as_opened(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t fd;
    uint32_t count;
    assert_int_equal(make_file(guest, "file"), 0);
    assert_int_equal(open_with(guest, DIR_FD, 0, "file", 0, RIGHT_READ, 0, 0, &fd), 0);
    assert_int_equal(read_bytes(guest, fd, 10, &count), 0);
    assert_int_equal(write_text(guest, fd, "x"), PD_FILE_BADF);
    assert_int_equal(open_with(guest, DIR_FD, 0, "file", 0, RIGHT_WRITE, 0, 0, &fd), 0);
    assert_int_equal(read_bytes(guest, fd, 10, &count), PD_FILE_BADF);
    assert_int_equal(write_text(guest, fd, "text"), 0);
    assert_int_equal(open_with(guest, DIR_FD, 0, "file", 0, 0, 0, 0, &fd), 0);
    assert_int_equal(read_bytes(guest, fd, 10, &count), PD_FILE_BADF);
    world_close(&world);
}

static void renumbering(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t one;
    uint32_t two;
    unsigned before = open_descriptor_count();
    assert_int_equal(open_path(guest, "one", O_CREATE, &one), 0);
    assert_int_equal(open_path(guest, "two", O_CREATE, &two), 0);
    assert_int_equal(one, 4);
    assert_int_equal(two, 5);
    assert_int_equal(pd_wasi_fd_count(guest->wasi), 6);
    assert_int_equal(write_text(guest, one, "first"), 0);
    assert_int_equal(CALL(guest, fd_renumber, one, two), 0);
    assert_int_equal(CALL(guest, fd_close, one), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_renumber, one, two), PD_FILE_BADF);
    assert_int_equal(write_text(guest, two, "+"), 0);
    assert_int_equal(CALL(guest, fd_renumber, two, two), 0);
    assert_int_equal(CALL(guest, fd_renumber, two, PD_WASI_FDS_MAX), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_renumber, two, UINT32_MAX), PD_FILE_BADF);
    /* A number that is not open is no target, whether it was one before or never. */
    assert_int_equal(CALL(guest, fd_renumber, two, one), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_renumber, two, 1000), PD_FILE_BADF);
    assert_int_equal(write_text(guest, two, "+"), 0);
    assert_int_equal(CALL(guest, fd_close, two), 0);
    assert_file_holds(guest, "one", "first++");
    /* Over a preopen and over a standard stream. */
    assert_int_equal(open_path(guest, ".", O_DIR, &one), 0);
    assert_int_equal(CALL(guest, fd_renumber, one, DIR_FD), 0);
    assert_int_equal(CALL(guest, fd_prestat_get, DIR_FD, 8), PD_FILE_BADF);
    assert_int_equal(stat_path(guest, "one", 0), 0);
    assert_int_equal(open_path(guest, "log", O_CREATE, &one), 0);
    assert_int_equal(CALL(guest, fd_renumber, one, 1), 0);
    assert_int_equal(write_text(guest, 1, "to the file\n"), 0);
    assert_file_holds(guest, "log", "to the file\n");
    assert_int_equal(CALL(guest, fd_renumber, 2, 1), 0);
    assert_int_equal(write_text(guest, 1, "to the error stream\n"), 0);
    assert_int_equal(world.host.output_size[0], 0);
    assert_memory_equal(world.host.output[1], "to the error stream\n", 20);
    assert_int_equal(CALL(guest, fd_fdstat_get, 2, 64), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_close, DIR_FD), 0);
    fake_wait_jobs(&world.host);
    assert_int_equal(open_descriptor_count(), before);
    world_close(&world);
}

static void the_table_is_bounded(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    world.host.runs_inline = true;
    uint32_t fd = 0;
    unsigned before = open_descriptor_count();
    assert_int_equal(make_file(guest, "file"), 0);
    /* The system's own limit may come first. */
    uint32_t opened = 4;
    uint32_t error;
    while ((error = open_with(guest, DIR_FD, 0, "file", 0, RIGHT_READ, 0, 0, &fd)) == 0) {
        assert_int_equal(fd, opened);
        opened++;
    }
    assert_int_equal(error, PD_FILE_MFILE);
    assert_true(opened <= PD_WASI_FDS_MAX);
    assert_int_equal(stat_path(guest, "new", 0),
                     opened == PD_WASI_FDS_MAX ? PD_FILE_NOENT : PD_FILE_MFILE);
    assert_int_equal(CALL(guest, fd_close, 10), 0);
    assert_int_equal(CALL(guest, fd_close, 7), 0);
    assert_int_equal(open_with(guest, DIR_FD, 0, "file", 0, RIGHT_READ, 0, 0, &fd), 0);
    assert_int_equal(fd, 7);
    assert_int_equal(open_with(guest, DIR_FD, 0, "file", 0, RIGHT_READ, 0, 0, &fd), 0);
    assert_int_equal(fd, 10);
    fake_guest_kill(guest);
    fake_wait_jobs(&world.host);
    assert_int_equal(open_descriptor_count(), before);
    world_close(&world);
}

static void preopens_are_told(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    assert_int_equal(CALL(guest, fd_prestat_get, DIR_FD, 8), 0);
    assert_int_equal(fake_u32(guest, 8), 0);
    assert_int_equal(fake_u32(guest, 12), 1);
    assert_int_equal(CALL(guest, fd_prestat_dir_name, DIR_FD, 64, 0), PD_FILE_NAMETOOLONG);
    memset(guest->memory + 64, 'x', 4);
    assert_int_equal(CALL(guest, fd_prestat_dir_name, DIR_FD, 64, 2), 0);
    assert_memory_equal(guest->memory + 64, "/x", 2);
    assert_int_equal(CALL(guest, fd_prestat_get, 4, 8), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_prestat_get, 1, 8), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_prestat_dir_name, 4, 64, 10), PD_FILE_BADF);
    assert_int_equal(pd_wasi_fd_count(guest->wasi), 4);
    world_close(&world);
}

static void standard_streams(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t count;
    assert_int_equal(write_text(guest, 1, "a line\nand a"), 0);
    assert_int_equal(world.host.output_size[0], 7);
    assert_int_equal(write_text(guest, 2, "error\n"), 0);
    assert_memory_equal(world.host.output[1], "error\n", 6);
    /* Three buffers, one write to the host. */
    memcpy(guest->memory + 1024, "nother\n", 7);
    for (uint32_t i = 0; i < 7; i++) {
        pd_put_u32(guest->memory + 256 + 8 * i, 1024 + i);
        pd_put_u32(guest->memory + 260 + 8 * i, 1);
    }
    unsigned calls = world.host.output_calls;
    assert_int_equal(CALL(guest, fd_write, 1, 256, 7, 8), 0);
    assert_int_equal(world.host.output_calls, calls + 1);
    assert_memory_equal(world.host.output[0], "a line\nand another\n", 19);
    assert_int_equal(read_bytes(guest, 1, 10, &count), PD_FILE_BADF);
    assert_int_equal(write_text(guest, 0, "x"), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_seek, 1, 0, 1, 16), PD_FILE_SPIPE);
    assert_int_equal(CALL(guest, fd_tell, 0, 16), PD_FILE_SPIPE);
    assert_int_equal(CALL(guest, fd_pread, 0, 256, 1, 0, 8), PD_FILE_SPIPE);
    assert_int_equal(CALL(guest, fd_pwrite, 1, 256, 1, 0, 8), PD_FILE_SPIPE);
    assert_int_equal(CALL(guest, fd_advise, 1, 0, 0, 0), PD_FILE_SPIPE);
    assert_int_equal(CALL(guest, fd_sync, 1), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, fd_filestat_get, 1, STAT_AT), 0);
    assert_int_equal(CALL(guest, fd_fdstat_get, 1, 64), 0);
    assert_int_equal(fake_u64(guest, 72) & (RIGHT_SEEK | RIGHT_TELL), 0);
    /* Whose reader stands still takes nothing from who does not want to wait. */
    world.host.output_is_full = true;
    assert_int_equal(CALL(guest, fd_fdstat_set_flags, 1, 4), 0);
    assert_int_equal(write_text(guest, 1, "x\n"), PD_FILE_AGAIN);
    assert_int_equal(world.host.output_size[0], 19);
    world.host.output_is_full = false;
    /* A partial line leaves when the stream is closed, or the guest ends. */
    assert_int_equal(write_text(guest, 1, "end"), 0);
    assert_int_equal(CALL(guest, fd_close, 1), 0);
    assert_memory_equal(world.host.output[0] + 19, "end", 3);
    assert_int_equal(write_text(guest, 2, "last"), 0);
    fake_guest_kill(guest);
    assert_memory_equal(world.host.output[1], "error\nlast", 10);
    world_close(&world);
}

static void a_guest_learns_why_its_output_is_lost(void **state)
{
    (void)state;
    static const enum pd_file_error errors[] = {PD_FILE_NOSPC, PD_FILE_IO, PD_FILE_PIPE,
                                                PD_FILE_BADF, PD_FILE_NOMEM};
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        world.host.output_error = errors[i];
        assert_int_equal(write_text(guest, 1, "lost\n"), errors[i]);
        assert_int_equal(write_text(guest, 2, "lost\n"), errors[i]);
        assert_int_equal(write_text(guest, 1, "held"), 0);
        assert_int_equal(write_text(guest, 1, " and lost\n"), errors[i]);
    }
    /* What was held is due at the close, which fails and closes; so it is not due at the end. */
    assert_int_equal(write_text(guest, 1, "held"), 0);
    assert_int_equal(CALL(guest, fd_close, 1), PD_FILE_NOMEM);
    world.host.output_error = PD_FILE_OK;
    assert_int_equal(write_text(guest, 1, "x\n"), PD_FILE_BADF);
    assert_int_equal(write_text(guest, 2, "again\n"), 0);
    fake_guest_kill(guest);
    assert_int_equal(world.host.output_size[0], 0);
    assert_int_equal(world.host.output_size[1], 6);
    fake_guest_init(guest, &world.host, world.config);
    world_close(&world);
}

static void without_stdio_the_numbers_stay_unused(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    fake_guest_kill(&world.guest);
    pd_wasi_config_set_stdio(world.config, false);
    fake_guest_init(&world.guest, &world.host, world.config);
    struct pd_guest *guest = &world.guest;
    uint32_t fd;
    uint32_t count;
    assert_int_equal(write_text(guest, 1, "x\n"), PD_FILE_BADF);
    assert_int_equal(read_bytes(guest, 0, 1, &count), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_fdstat_get, 2, 64), PD_FILE_BADF);
    assert_int_equal(open_path(guest, "file", O_CREATE, &fd), 0);
    assert_int_equal(fd, 4);
    assert_int_equal(write_text(guest, 1, "x\n"), PD_FILE_BADF);
    assert_int_equal(world.host.output_calls, 0);
    world_close(&world);
}

static void what_only_prints_pays_little(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    /* What libc does before main and at a print: no table is made for it, so one allocation in
     * all. */
    assert_non_null(pd_guest_wasi(guest));
    pd_alloc_fail_nth(1);
    assert_int_equal(CALL(guest, fd_prestat_get, DIR_FD, 8), 0);
    assert_int_equal(CALL(guest, fd_prestat_dir_name, DIR_FD, 64, 1), 0);
    assert_int_equal(CALL(guest, fd_prestat_get, 4, 8), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_fdstat_get, 1, 64), 0);
    assert_int_equal(write_text(guest, 1, "hello\n"), 0);
    assert_int_equal(CALL(guest, clock_time_get, 1, 0, 64), 0);
    pd_alloc_fail_nth(0);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_and_writing),
        cmocka_unit_test(several_buffers_in_order),
        cmocka_unit_test(one_call_moves_a_bounded_piece),
        cmocka_unit_test(appending),
        cmocka_unit_test(sizes_and_times),
        cmocka_unit_test(directories_are_not_files),
        cmocka_unit_test(rights_only_shrink),
        cmocka_unit_test(reading_and_writing_as_opened),
        cmocka_unit_test(renumbering),
        cmocka_unit_test(the_table_is_bounded),
        cmocka_unit_test(preopens_are_told),
        cmocka_unit_test(standard_streams),
        cmocka_unit_test(a_guest_learns_why_its_output_is_lost),
        cmocka_unit_test(without_stdio_the_numbers_stay_unused),
        cmocka_unit_test(what_only_prints_pays_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
