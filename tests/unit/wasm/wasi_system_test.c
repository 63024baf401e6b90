/* Arguments, environment, clocks, entropy, exit, signals, yielding, sockets; and the configuration
 * behind them. */
#include "wasi_world.h"

static void arguments_and_environment(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    fake_guest_kill(&world.guest);
    struct pd_wasi_config *config = world.config;
    assert_int_equal(pd_wasi_config_add_argument(config, "prog", 4), PD_OK);
    assert_int_equal(pd_wasi_config_add_argument(config, "", 0), PD_OK);
    assert_int_equal(pd_wasi_config_add_argument(config, "two words", 9), PD_OK);
    assert_int_equal(pd_wasi_config_add_argument(config, "a\0b", 3), PD_ERR_INVALID);
    assert_int_equal(pd_wasi_config_set_variable(config, "A", 1, "first", 5), PD_OK);
    assert_int_equal(pd_wasi_config_set_variable(config, "AB", 2, "", 0), PD_OK);
    assert_int_equal(pd_wasi_config_set_variable(config, "A", 1, "second=", 7), PD_OK);
    assert_int_equal(pd_wasi_config_set_variable(config, "", 0, "x", 1), PD_ERR_INVALID);
    assert_int_equal(pd_wasi_config_set_variable(config, "A=", 2, "x", 1), PD_ERR_INVALID);
    assert_int_equal(pd_wasi_config_set_variable(config, "A\0", 2, "x", 1), PD_ERR_INVALID);
    assert_int_equal(pd_wasi_config_set_variable(config, "A", 1, "x\0", 2), PD_ERR_INVALID);
    struct pd_guest *guest = &world.guest;
    fake_guest_init(guest, &world.host, config);
    assert_int_equal(CALL(guest, args_sizes_get, 8, 16), 0);
    assert_int_equal(fake_u32(guest, 8), 3);
    assert_int_equal(fake_u32(guest, 16), 5 + 1 + 10);
    assert_int_equal(CALL(guest, args_get, 64, 128), 0);
    assert_memory_equal(guest->memory + 128, "prog\0\0two words", 16);
    assert_int_equal(fake_u32(guest, 64), 128);
    assert_int_equal(fake_u32(guest, 68), 133);
    assert_int_equal(fake_u32(guest, 72), 134);
    assert_int_equal(CALL(guest, environ_sizes_get, 8, 16), 0);
    assert_int_equal(fake_u32(guest, 8), 2);
    assert_int_equal(fake_u32(guest, 16), 4 + 10);
    assert_int_equal(CALL(guest, environ_get, 64, 128), 0);
    assert_memory_equal(guest->memory + 128, "AB=\0A=second=", 14);
    assert_int_equal(CALL(guest, args_get, FAKE_MEMORY_SIZE - 11, 128), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, args_get, 64, FAKE_MEMORY_SIZE - 15), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, args_sizes_get, 8, UINT32_MAX), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, args_sizes_get, UINT32_MAX, 8), PD_FILE_FAULT);
    world_close(&world);
}

static void nothing_is_granted_by_default(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_wasi_config *config = NULL;
    assert_int_equal(pd_wasi_config_create(world.files, &config), PD_OK);
    struct pd_guest guest;
    fake_guest_init(&guest, &world.host, config);
    assert_int_equal(CALL(&guest, args_sizes_get, 8, 16), 0);
    assert_int_equal(fake_u32(&guest, 8), 0);
    assert_int_equal(fake_u32(&guest, 16), 0);
    assert_int_equal(CALL(&guest, args_get, 64, 128), 0);
    for (uint32_t fd = 0; fd < 5; fd++) {
        assert_int_equal(CALL(&guest, fd_fdstat_get, fd, 64), PD_FILE_BADF);
    }
    assert_int_equal(pd_wasi_fd_count(guest.wasi), 0);
    fake_guest_kill(&guest);
    pd_wasi_config_release(config);
    world_close(&world);
}

static void strings_are_bounded(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_wasi_config *config = NULL;
    assert_int_equal(pd_wasi_config_create(world.files, &config), PD_OK);
    char *big = calloc(1, PD_WASI_STRINGS_SIZE_MAX);
    assert_non_null(big);
    memset(big, 'x', PD_WASI_STRINGS_SIZE_MAX);
    assert_int_equal(pd_wasi_config_add_argument(config, big, PD_WASI_STRINGS_SIZE_MAX),
                     PD_ERR_FULL);
    assert_int_equal(pd_wasi_config_add_argument(config, big, PD_WASI_STRINGS_SIZE_MAX - 1), PD_OK);
    assert_int_equal(pd_wasi_config_add_argument(config, "", 0), PD_ERR_FULL);
    pd_wasi_config_clear_arguments(config);
    assert_int_equal(pd_wasi_config_add_argument(config, "", 0), PD_OK);
    free(big);
    pd_wasi_config_release(config);
    world_close(&world);
}

static void a_shared_configuration_is_copied_to_be_changed(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    fake_guest_kill(&world.guest);
    assert_int_equal(pd_wasi_config_add_argument(world.config, "common", 6), PD_OK);
    assert_int_equal(pd_wasi_config_set_variable(world.config, "N", 1, "1", 1), PD_OK);
    fake_guest_init(&world.guest, &world.host, world.config);
    struct pd_wasi_config *shared = pd_wasi_config_retain(world.config);
    struct pd_wasi_config *mine = pd_wasi_config_retain(world.config);
    unsigned before = open_descriptor_count();
    assert_int_equal(pd_wasi_config_edit(&mine), PD_OK);
    assert_ptr_not_equal(mine, shared);
    struct pd_wasi_config *same = mine;
    assert_int_equal(pd_wasi_config_edit(&mine), PD_OK);
    assert_ptr_equal(mine, same);
    assert_int_equal(open_descriptor_count(), before);
    assert_int_equal(pd_wasi_config_add_argument(mine, "only mine", 9), PD_OK);
    assert_true(pd_wasi_config_has_stdio(mine));
    struct pd_guest guest;
    fake_guest_init(&guest, &world.host, mine);
    assert_int_equal(CALL(&guest, args_sizes_get, 8, 16), 0);
    assert_int_equal(fake_u32(&guest, 8), 2);
    assert_int_equal(CALL(&guest, args_get, 64, 128), 0);
    assert_memory_equal(guest.memory + 128, "common\0only mine", 17);
    assert_int_equal(CALL(&guest, environ_get, 64, 128), 0);
    assert_memory_equal(guest.memory + 128, "N=1", 4);
    assert_int_equal(CALL(&guest, fd_prestat_get, DIR_FD, 8), 0);
    assert_int_equal(make_file(&guest, "file"), 0);
    assert_int_equal(stat_path(&world.guest, "file", 0), 0);
    assert_int_equal(CALL(&world.guest, args_sizes_get, 8, 16), 0);
    assert_int_equal(fake_u32(&world.guest, 8), 1);
    fake_guest_kill(&guest);
    pd_wasi_config_release(mine);
    pd_wasi_config_release(shared);
    world_close(&world);
}

static void directories_that_cannot_be_given(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_wasi_config *config = NULL;
    char why[256] = "";
    char path[128];
    assert_int_equal(pd_wasi_config_create(world.files, &config), PD_OK);
    snprintf(path, sizeof path, "%s/missing", world.scratch);
    assert_int_equal(
        pd_wasi_config_add_directory(config, path, "/", PD_WASI_READ_WRITE, why, sizeof why),
        PD_ERR_UNKNOWN);
    assert_non_null(strstr(why, "does not exist"));
    assert_non_null(strstr(why, path));
    snprintf(path, sizeof path, "%s/outside/secret", world.base);
    assert_int_equal(
        pd_wasi_config_add_directory(config, path, "/", PD_WASI_READ_WRITE, why, sizeof why),
        PD_ERR_UNKNOWN);
    assert_non_null(strstr(why, "is not a directory"));
    assert_int_equal(pd_wasi_config_add_directory(config, world.scratch, "", PD_WASI_READ_WRITE,
                                                  why, sizeof why),
                     PD_ERR_INVALID);
    for (uint32_t i = 0; i < PD_WASI_PREOPENS_MAX; i++) {
        assert_int_equal(
            pd_wasi_config_add_directory(config, world.scratch, "/d", PD_WASI_READ, NULL, 0),
            PD_OK);
    }
    assert_int_equal(
        pd_wasi_config_add_directory(config, world.scratch, "/d", PD_WASI_READ, NULL, 0),
        PD_ERR_FULL);
    pd_wasi_config_release(config);
    world_close(&world);
}

static enum pd_status inherit(struct pd_wasi_config *config, const struct pd_wasi_config *from,
                              const char *path)
{
    char why[256];
    return pd_wasi_config_inherit_directory(config, from, path, strlen(path), why, sizeof why);
}

static void a_directory_is_handed_on_with_no_more_rights(void **state)
{
    (void)state;
    struct world world;
    world_open_as(&world, false, PD_WASI_READ);
    char path[128];
    snprintf(path, sizeof path, "%s/sub", world.scratch);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/out", world.scratch);
    assert_int_equal(symlink("../outside", path), 0);
    struct pd_wasi_config *from = NULL;
    assert_int_equal(pd_wasi_config_create(world.files, &from), PD_OK);
    assert_int_equal(
        pd_wasi_config_add_directory(from, world.scratch, "/data", PD_WASI_READ, NULL, 0), PD_OK);
    snprintf(path, sizeof path, "%s/sub", world.scratch);
    assert_int_equal(
        pd_wasi_config_add_directory(from, path, "/data/rw", PD_WASI_READ_WRITE, NULL, 0), PD_OK);
    struct pd_wasi_config *config = NULL;
    assert_int_equal(pd_wasi_config_create(world.files, &config), PD_OK);
    assert_int_equal(inherit(config, from, "/data"), PD_OK);
    assert_int_equal(inherit(config, from, "/data/"), PD_OK);
    assert_int_equal(inherit(config, from, "/data/sub"), PD_OK);
    assert_int_equal(inherit(config, from, "/data/rw"), PD_OK);
    assert_int_equal(inherit(config, from, "/database"), PD_ERR_DENIED);
    assert_int_equal(inherit(config, from, "/"), PD_ERR_DENIED);
    assert_int_equal(inherit(config, from, "data"), PD_ERR_DENIED);
    assert_int_equal(inherit(config, from, "/data/../outside"), PD_ERR_DENIED);
    assert_int_equal(inherit(config, from, "/data/out"), PD_ERR_DENIED);
    assert_int_equal(inherit(config, from, "/data/missing"), PD_ERR_UNKNOWN);
    assert_int_equal(inherit(config, from, ""), PD_ERR_INVALID);
    struct pd_guest guest;
    fake_guest_init(&guest, &world.host, config);
    for (uint32_t fd = 3; fd < 6; fd++) {
        assert_int_equal(open_with(&guest, fd, 0, "new", O_CREATE, 0, 0, 0, NULL),
                         PD_FILE_NOTCAPABLE);
    }
    assert_int_equal(open_with(&guest, 6, 0, "new", O_CREATE, RIGHT_WRITE, 0, 0, NULL), 0);
    assert_int_equal(CALL(&guest, fd_prestat_dir_name, 5, 64, 20), 0);
    assert_memory_equal(guest.memory + 64, "/data/sub", 10);
    fake_guest_kill(&guest);
    pd_wasi_config_release(config);
    pd_wasi_config_release(from);
    world_close(&world);
}

static void relative_directories_cover_relative_paths(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    assert_int_equal(make_dir(&world.guest, "sub"), 0);
    struct pd_wasi_config *from = NULL;
    struct pd_wasi_config *config = NULL;
    assert_int_equal(pd_wasi_config_create(world.files, &from), PD_OK);
    assert_int_equal(pd_wasi_config_create(world.files, &config), PD_OK);
    assert_int_equal(pd_wasi_config_add_directory(from, world.scratch, ".", PD_WASI_READ, NULL, 0),
                     PD_OK);
    assert_int_equal(inherit(config, from, "."), PD_OK);
    assert_int_equal(inherit(config, from, "sub"), PD_OK);
    assert_int_equal(inherit(config, from, "./sub"), PD_OK);
    assert_int_equal(inherit(config, from, "/sub"), PD_ERR_DENIED);
    assert_int_equal(inherit(config, from, ".."), PD_ERR_DENIED);
    pd_wasi_config_release(config);
    pd_wasi_config_release(from);
    world_close(&world);
}

static void clocks(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    assert_int_equal(CALL(guest, clock_time_get, 0, 0, 16), 0);
    assert_int_equal(fake_u64(guest, 16), world.host.now_ns + world.host.wall_offset_ns);
    assert_int_equal(CALL(guest, clock_time_get, 1, 1000, 16), 0);
    assert_int_equal(fake_u64(guest, 16), world.host.now_ns);
    assert_int_equal(CALL(guest, clock_time_get, 2, 0, 16), 0);
    assert_int_equal(fake_u64(guest, 16), 7000);
    assert_int_equal(CALL(guest, clock_time_get, 3, 0, 16), 0);
    assert_int_equal(fake_u64(guest, 16), 3000);
    assert_int_equal(CALL(guest, clock_time_get, 4, 0, 16), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, clock_time_get, 1, 0, FAKE_MEMORY_SIZE - 7), PD_FILE_FAULT);
    for (uint32_t id = 0; id < 4; id++) {
        assert_int_equal(CALL(guest, clock_res_get, id, 16), 0);
        assert_true(fake_u64(guest, 16) > 0);
    }
    assert_int_equal(CALL(guest, clock_res_get, 4, 16), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, clock_res_get, 0, UINT32_MAX), PD_FILE_FAULT);
    world_close(&world);
}

static void entropy(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    assert_int_equal(CALL(guest, random_get, 16, 4), 0);
    assert_memory_equal(guest->memory + 16, "\1\2\3\4\0", 5);
    assert_int_equal(CALL(guest, random_get, FAKE_MEMORY_SIZE, 0), 0);
    assert_int_equal(CALL(guest, random_get, FAKE_MEMORY_SIZE, 1), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, random_get, 1, UINT32_MAX), PD_FILE_FAULT);
    /* A large request is drawn in pieces, with others between them. */
    uint32_t size = (2u << 20) + 3;
    free(guest->memory);
    guest->memory = calloc(1, size);
    guest->memory_size = size;
    const uint64_t arguments[] = {0, size};
    assert_int_equal(fake_begin(guest, fake_import("random_get"), arguments, 2), PD_CALL_WAIT);
    assert_int_equal(fake_continue(guest), PD_CALL_WAIT);
    assert_int_equal(fake_continue(guest), PD_CALL_DONE);
    guest->call.resume = NULL;
    assert_int_equal(guest->call.result, 0);
    assert_int_equal(guest->memory[size - 1], (uint8_t)(4 + size));
    world_close(&world);
}

static void the_end_of_a_process(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    assert_int_equal(CALL(guest, proc_exit, 42), FAKE_TRAPPED);
    assert_true(guest->has_exited);
    assert_int_equal(guest->exit_code, 42);
    assert_int_equal(CALL(guest, proc_raise, 0), 0);
    assert_int_equal(CALL(guest, proc_raise, 16), 0); /* a child: ignored by default */
    assert_false(guest->has_trapped);
    assert_int_equal(CALL(guest, proc_raise, 6), FAKE_TRAPPED);
    assert_string_equal(guest->trap, "proc_raise: the guest raised SIGABRT");
    assert_int_equal(CALL(guest, proc_raise, 30), FAKE_TRAPPED);
    assert_string_equal(guest->trap, "proc_raise: the guest raised SIGSYS");
    assert_int_equal(CALL(guest, proc_raise, 31), PD_FILE_INVAL);
    const uint64_t none = 0;
    assert_int_equal(fake_begin(guest, fake_import("sched_yield"), &none, 0), PD_CALL_WAIT);
    assert_int_equal(guest->wake_ns, world.host.now_ns);
    assert_int_equal(guest->slices_begun, 0);
    assert_int_equal(fake_continue(guest), PD_CALL_DONE);
    assert_int_equal(guest->slices_begun, 1);
    guest->call.resume = NULL;
    assert_int_equal(guest->call.result, 0);
    world_close(&world);
}

static void nothing_else_is_a_socket(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    assert_int_equal(CALL(guest, sock_accept, 1, 0, 8), PD_FILE_NOTSOCK);
    assert_int_equal(CALL(guest, sock_recv, DIR_FD, 256, 1, 0, 8, 16), PD_FILE_NOTSOCK);
    assert_int_equal(CALL(guest, sock_send, 0, 256, 1, 0, 8), PD_FILE_NOTSOCK);
    assert_int_equal(CALL(guest, sock_shutdown, 2, 1), PD_FILE_NOTSOCK);
    assert_int_equal(CALL(guest, sock_accept, 9, 0, 8), PD_FILE_BADF);
    assert_int_equal(CALL(guest, sock_recv, 9, 256, 1, 0, 8, 16), PD_FILE_BADF);
    assert_int_equal(CALL(guest, sock_send, 9, 256, 1, 0, 8), PD_FILE_BADF);
    assert_int_equal(CALL(guest, sock_shutdown, 9, 1), PD_FILE_BADF);
    world_close(&world);
}

static void tags_mark_lines(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    fake_guest_kill(&world.guest);
    pd_wasi_config_set_tag(world.config, "all");
    struct pd_guest *guest = &world.guest;
    fake_guest_init(guest, &world.host, world.config);
    assert_int_equal(write_text(guest, 1, "one\n"), 0);
    assert_int_equal(pd_wasi_set_tag(pd_guest_wasi(guest), "12 mapper"), PD_OK);
    assert_int_equal(write_text(guest, 1, "two\n"), 0);
    assert_memory_equal(world.host.output[0], "[all] one\n[12 mapper] two\n", 27);
    world_close(&world);
}

struct kept {
    struct pd_output_sink sink; /* first */
    char text[64];
    size_t size;
};

static enum pd_file_error keep(struct pd_output_sink *sink, int stream, const uint8_t *bytes,
                               size_t size)
{
    struct kept *kept = (struct kept *)(void *)sink;
    assert_true(size < sizeof kept->text - kept->size - 2);
    kept->text[kept->size] = (char)('0' + stream);
    memcpy(kept->text + kept->size + 1, bytes, size);
    kept->size += size + 1;
    return PD_FILE_OK;
}

static void a_sink_takes_the_lines(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    fake_guest_kill(&world.guest);
    struct kept kept = {.sink = {.write = keep}};
    pd_wasi_config_set_sink(world.config, &kept.sink);
    struct pd_guest *guest = &world.guest;
    fake_guest_init(guest, &world.host, world.config);
    assert_int_equal(write_text(guest, 1, "out\n"), 0);
    assert_int_equal(write_text(guest, 2, "err\n"), 0);
    assert_int_equal(write_text(guest, 1, "rest"), 0);
    pd_wasi_flush(guest->wasi, &world.host.host);
    assert_string_equal(kept.text, "1out\n2err\n1rest");
    assert_int_equal(world.host.output_calls, 0);
    char errors[32];
    assert_int_equal(pd_wasi_last_errors(guest->wasi, errors, sizeof errors), 4);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_and_environment),
        cmocka_unit_test(nothing_is_granted_by_default),
        cmocka_unit_test(strings_are_bounded),
        cmocka_unit_test(a_shared_configuration_is_copied_to_be_changed),
        cmocka_unit_test(directories_that_cannot_be_given),
        cmocka_unit_test(a_directory_is_handed_on_with_no_more_rights),
        cmocka_unit_test(relative_directories_cover_relative_paths),
        cmocka_unit_test(clocks),
        cmocka_unit_test(entropy),
        cmocka_unit_test(the_end_of_a_process),
        cmocka_unit_test(nothing_else_is_a_socket),
        cmocka_unit_test(tags_mark_lines),
        cmocka_unit_test(a_sink_takes_the_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
