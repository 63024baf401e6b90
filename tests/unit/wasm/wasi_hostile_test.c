/* Every function with arguments that no honest guest passes, and with every allocation failing in
 * turn: always an errno, never a crash, and nothing left behind. ASan watches the edges of the
 * memory. */
#include "support/seed.h"
#include "wasi_world.h"

/* Functions that may end the guest, and those that wait for time, are judged elsewhere. */
static bool is_ending(const struct pd_import *import)
{
    return strcmp(import->name, "proc_exit") == 0 || strcmp(import->name, "proc_raise") == 0;
}

static size_t argument_count(const struct pd_import *import)
{
    const char *arrow = strchr(import->signature, '-');
    assert_non_null(arrow);
    return (size_t)(arrow - import->signature);
}

static void assert_errno(const struct pd_import *import, uint32_t result)
{
    if (result > PD_FILE_NOTCAPABLE) {
        fail_msg("%s answered %u", import->name, result);
    }
}

static void the_table_is_well_formed(void **state)
{
    (void)state;
    assert_int_equal(pd_wasi_import_count, 46);
    for (size_t i = 0; i < pd_wasi_import_count; i++) {
        const struct pd_import *import = &pd_wasi_imports[i];
        assert_string_equal(import->module, "wasi_snapshot_preview1");
        assert_ptr_equal(fake_import(import->name), import); /* names are unique */
        assert_non_null(import->function);
        assert_true(argument_count(import) <= PD_CALL_ARGUMENTS_MAX);
        bool has_result = strcmp(import->name, "proc_exit") != 0;
        assert_string_equal(strchr(import->signature, '>') + 1, has_result ? "i" : "");
    }
}

static void garbage_is_answered_by_errno(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    world.host.runs_inline = true;
    static const uint64_t values[] = {0,          1,          2,          3,
                                      4,          255,        4096,       0x1FFFF,
                                      0x20000,    0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
                                      0xFFFFFFF0, INT64_MAX,  UINT64_MAX, 0x100000000};
    struct pd_random random = test_random("garbage");
    /* Reading the program's input must not wait for a person. */
    int saved = dup(0);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(saved >= 0 && null >= 0 && dup2(null, 0) == 0);
    for (size_t i = 0; i < pd_wasi_import_count; i++) {
        const struct pd_import *import = &pd_wasi_imports[i];
        for (int round = 0; round < 400 && !is_ending(import); round++) {
            if (round % 20 == 0) { /* descriptor 3 may have been closed */
                fake_guest_kill(guest);
                fake_guest_init(guest, &world.host, world.config);
            }
            uint64_t arguments[PD_CALL_ARGUMENTS_MAX] = {0};
            for (size_t k = 0; k < argument_count(import); k++) {
                uint64_t value = values[pd_random_below(&random, sizeof values / sizeof values[0])];
                arguments[k] = import->signature[k] == 'i' ? (uint32_t)value : value;
            }
            assert_errno(import, fake_call(guest, import->name, arguments, argument_count(import)));
        }
    }
    assert_int_equal(dup2(saved, 0), 0);
    close(saved);
    close(null);
    world_close(&world);
}

/* Each pointer argument in turn one byte past the last good place. */
static void pointers_out_of_bounds_are_fault(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t end = FAKE_MEMORY_SIZE;
    uint32_t fd;
    assert_int_equal(open_path(guest, "file", O_CREATE, &fd), 0);
    pd_put_u32(guest->memory + 256, end - 3);
    pd_put_u32(guest->memory + 260, 4);
    assert_int_equal(CALL(guest, fd_read, fd, 256, 1, 8), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, fd_write, fd, 256, 1, 8), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, fd_write, 1, 256, 1, 8), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, fd_pread, fd, 256, 1, 0, 8), PD_FILE_FAULT);
    pd_put_u32(guest->memory + 256, end - 4);
    assert_int_equal(CALL(guest, fd_write, fd, 256, 1, 8), 0);
    assert_int_equal(CALL(guest, fd_read, fd, 256, 1, end - 3), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, fd_write, 1, 256, 1, end - 3), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, fd_read, fd, 256, UINT32_MAX, 8), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, fd_read, fd, end - 7, 1, 8), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, fd_seek, fd, 0, 0, end - 7), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, fd_tell, fd, end - 7), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, fd_fdstat_get, fd, end - 23), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, fd_filestat_get, fd, end - 63), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, fd_filestat_get, 1, end - 63), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, fd_prestat_get, DIR_FD, end - 7), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, fd_prestat_dir_name, DIR_FD, end, 1), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, fd_readdir, DIR_FD, end - 99, 100, 0, 8), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, fd_readdir, DIR_FD, 8192, 100, 0, end - 3), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, path_create_directory, DIR_FD, end - 3, 4), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, path_create_directory, DIR_FD, 0, UINT32_MAX), PD_FILE_FAULT);
    uint32_t at = fake_put(guest, "file", 4);
    assert_int_equal(CALL(guest, path_filestat_get, DIR_FD, 0, at, 4, end - 63), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, path_open, DIR_FD, 0, at, 4, 0, 0, 0, 0, end - 3), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, path_readlink, DIR_FD, at, 4, end - 9, 10, 8), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, path_readlink, DIR_FD, at, 4, 512, 10, end - 3), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, path_rename, DIR_FD, at, 4, DIR_FD, end - 3, 4), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, path_symlink, end - 3, 4, DIR_FD, at, 4), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, path_link, DIR_FD, 0, at, 4, DIR_FD, end - 3, 4), PD_FILE_FAULT);
    world_close(&world);
}

/* One run of all that a program does; every answer may be "no memory", and none may be a
 * surprise. */
static void use_everything(struct pd_guest *guest)
{
    uint32_t fd = 0;
    uint32_t count;
    (void)CALL(guest, args_sizes_get, 8, 16);
    (void)make_dir(guest, "dir");
    if (open_path(guest, "dir/file", O_CREATE, &fd) == 0) {
        (void)write_text(guest, 1, "partial");
        pd_put_u32(guest->memory + 256, 1024);
        pd_put_u32(guest->memory + 260, 100);
        (void)CALL(guest, fd_write, fd, 256, 1, 8);
        (void)read_bytes(guest, fd, 10, &count);
        (void)CALL(guest, fd_filestat_get, fd, STAT_AT);
        memset(guest->memory + 16384, 0, 48);
        guest->memory[16384 + 8] = 1;
        pd_put_u32(guest->memory + 16384 + 16, fd);
        (void)CALL(guest, poll_oneoff, 16384, 32768, 1, 8);
        uint32_t other = fd;
        (void)open_path(guest, ".", O_DIR, &other);
        (void)CALL(guest, fd_renumber, fd, other);
        (void)CALL(guest, fd_close, other);
    }
    (void)CALL(guest, fd_readdir, DIR_FD, 8192, 100, 0, 8);
    (void)rename_path(guest, "dir/file", "dir/new");
    (void)unlink_path(guest, "dir/new");
    (void)remove_dir(guest, "dir");
    (void)write_text(guest, 2, "a line\n");
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    world.host.runs_inline = true;
    unsigned before = open_descriptor_count();
    for (uint64_t nth = 1; nth < 80; nth++) {
        fake_guest_kill(&world.guest);
        fake_guest_init(&world.guest, &world.host, world.config);
        pd_alloc_fail_nth(nth);
        use_everything(&world.guest);
        /* Also the goodbye may lack memory. */
        fake_guest_kill(&world.guest);
        pd_alloc_fail_nth(0);
        assert_int_equal(open_descriptor_count(), before);
        fake_guest_init(&world.guest, &world.host, world.config);
        use_everything(&world.guest);
    }
    /* Configurations too. */
    for (uint64_t nth = 1; nth < 12; nth++) {
        pd_alloc_fail_nth(nth);
        struct pd_wasi_config *config = pd_wasi_config_retain(world.config);
        if (pd_wasi_config_edit(&config) == PD_OK) {
            (void)!pd_wasi_config_add_argument(config, "x", 1);
            (void)!pd_wasi_config_set_variable(config, "x", 1, "y", 1);
            (void)!pd_wasi_config_add_directory(config, world.scratch, "/more", PD_WASI_READ, NULL,
                                                0);
            char why[100];
            (void)!pd_wasi_config_inherit_directory(config, world.config, "/", 1, why, sizeof why);
        }
        pd_alloc_fail_nth(0);
        pd_wasi_config_release(config);
        assert_int_equal(open_descriptor_count(), before);
    }
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_well_formed),
        cmocka_unit_test(garbage_is_answered_by_errno),
        cmocka_unit_test(pointers_out_of_bounds_are_fault),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
