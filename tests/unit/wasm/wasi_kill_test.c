/* A guest that is killed within a call: the job finishes alone, nothing leaks, and the memory,
 * which is freed at once and whose next owner starts at once, is never touched. ASan and the count
 * of descriptors are the judges. */
#include "wasi_world.h"

struct scene {
    struct world world;
    uint32_t fd;
    uint32_t pipe_fd;
    int pipe_end;
};

static void scene_open(struct scene *scene)
{
    struct world *world = &scene->world;
    struct pd_guest *guest = &world->guest;
    char path[128];
    world_open(world);
    snprintf(path, sizeof path, "%s/pipe", world->scratch);
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_int_equal(make_dir(guest, "dir"), 0);
    assert_int_equal(make_file(guest, "other"), 0);
    assert_int_equal(symlink_path(guest, "file", "link"), 0);
    assert_int_equal(open_path(guest, "file", O_CREATE, &scene->fd), 0);
    assert_int_equal(write_text(guest, scene->fd, "some text for the file"), 0);
    assert_int_equal(open_with(guest, DIR_FD, 0, "pipe", 0, RIGHT_READ | (UINT64_C(1) << 27), 0, 0,
                               &scene->pipe_fd),
                     0);
    scene->pipe_end = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(scene->pipe_end >= 0);
    fake_reset(guest);
}

/* Begin the call, kill the guest `delay_us` later, and put another guest in its place, which
 * works. */
static void kill_within(const char *name, uint32_t delay_us, struct scene *scene,
                        const uint64_t *arguments, size_t count)
{
    struct world *world = &scene->world;
    struct pd_guest *guest = &world->guest;
    enum pd_call_result result = fake_begin(guest, fake_import(name), arguments, count);
    assert_true(result == PD_CALL_WAIT);
    if (delay_us > 0) {
        nanosleep(&(struct timespec){.tv_nsec = (long)delay_us * 1000}, NULL);
    }
    fake_guest_kill(guest);
    fake_guest_init(guest, &world->host, world->config);
    uint32_t fd;
    assert_int_equal(open_path(guest, "next", O_CREATE, &fd), 0);
    assert_int_equal(write_text(guest, fd, "the next owner"), 0);
    fake_wait_jobs(&world->host);
}

struct blocking_call {
    const char *name;
    uint64_t arguments[12];
};

#define FILE_FD 1000u /* stand for the scene's descriptors */
#define PIPE_FD 1001u

static void killed_in_each_blocking_call(void **state)
{
    (void)state;
    /* "file" is at 512, "other" at 520, "new" at 528, "dir" at 536, "link" at 544, an iovec at
     * 256 */
    static const struct blocking_call calls[] = {
        {"fd_read", {FILE_FD, 256, 1, 8}},
        {"fd_read", {PIPE_FD, 256, 1, 8}},
        {"fd_pread", {FILE_FD, 256, 1, 0, 8}},
        {"fd_write", {FILE_FD, 256, 1, 8}},
        {"fd_pwrite", {FILE_FD, 256, 1, 0, 8}},
        {"fd_seek", {FILE_FD, 0, 2, 16}},
        {"fd_sync", {FILE_FD}},
        {"fd_datasync", {FILE_FD}},
        {"fd_advise", {FILE_FD, 0, 10, 0}},
        {"fd_allocate", {FILE_FD, 0, 100}},
        {"fd_filestat_get", {FILE_FD, 64}},
        {"fd_filestat_set_size", {FILE_FD, 5}},
        {"fd_filestat_set_times", {FILE_FD, 5, 5, 5}},
        {"fd_close", {FILE_FD}},
        {"fd_renumber", {FILE_FD, PIPE_FD}},
        {"fd_readdir", {DIR_FD, 8192, 256, 0, 8}},
        {"path_create_directory", {DIR_FD, 528, 3}},
        {"path_filestat_get", {DIR_FD, 0, 512, 4, 64}},
        {"path_filestat_set_times", {DIR_FD, 0, 512, 4, 5, 5, 5}},
        {"path_link", {DIR_FD, 0, 512, 4, DIR_FD, 528, 3}},
        {"path_open", {DIR_FD, 0, 512, 4, 0, RIGHT_READ, 0, 0, 8}},
        {"path_open", {DIR_FD, 0, 528, 3, O_CREATE, RIGHT_READ, 0, 0, 8}},
        {"path_readlink", {DIR_FD, 544, 4, 8192, 100, 8}},
        {"path_remove_directory", {DIR_FD, 536, 3}},
        {"path_rename", {DIR_FD, 512, 4, DIR_FD, 528, 3}},
        {"path_symlink", {512, 4, DIR_FD, 528, 3}},
        {"path_unlink_file", {DIR_FD, 520, 5}},
        {"poll_oneoff", {16384, 32768, 1, 8}},
        {"poll_oneoff", {16384 + 48, 32768, 1, 8}},
        {"sched_yield", {0}},
    };
    static const uint32_t delays_us[] = {0, 0, 30, 200, 2000};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        for (size_t j = 0; j < sizeof delays_us / sizeof delays_us[0]; j++) {
            unsigned before = open_descriptor_count();
            struct scene scene;
            scene_open(&scene);
            struct pd_guest *guest = &scene.world.guest;
            memcpy(guest->memory + 512, "file\0\0\0\0other\0\0\0new\0\0\0\0\0dir\0\0\0\0\0link",
                   36);
            pd_put_u32(guest->memory + 256, 4096);
            pd_put_u32(guest->memory + 260, 100000);
            /* A poll of the pipe, and one of a far clock. */
            memset(guest->memory + 16384, 0, 96);
            guest->memory[16384 + 8] = 1;
            pd_put_u32(guest->memory + 16384 + 16, scene.pipe_fd);
            pd_put_u32(guest->memory + 16384 + 48 + 16, 1);
            pd_put_u64(guest->memory + 16384 + 48 + 24, UINT64_C(1) << 50);
            struct blocking_call call = calls[i];
            for (int k = 0; k < 12; k++) {
                uint64_t given = call.arguments[k];
                call.arguments[k] = given == FILE_FD   ? scene.fd
                                    : given == PIPE_FD ? scene.pipe_fd
                                                       : given;
            }
            kill_within(call.name, delays_us[j], &scene, call.arguments, 12);
            close(scene.pipe_end);
            world_close(&scene.world);
            if (open_descriptor_count() != before) {
                fail_msg("%s: descriptors leak", call.name);
            }
        }
    }
}

static void a_write_to_a_full_pipe_is_let_go(void **state)
{
    (void)state;
    unsigned before = open_descriptor_count();
    struct scene scene;
    scene_open(&scene);
    struct pd_guest *guest = &scene.world.guest;
    char path[128];
    snprintf(path, sizeof path, "%s/full", scene.world.scratch);
    assert_int_equal(mkfifo(path, 0666), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    uint32_t fd;
    assert_int_equal(open_with(guest, DIR_FD, 0, "full", 0, RIGHT_WRITE, 0, 0, &fd), 0);
    pd_put_u32(guest->memory + 256, 8192);
    pd_put_u32(guest->memory + 260, 100000);
    assert_int_equal(CALL(guest, fd_write, fd, 256, 1, 8), 0);
    assert_int_equal(fake_u32(guest, 8), 65536); /* what a pipe holds */
    const uint64_t arguments[] = {fd, 256, 1, 8};
    kill_within("fd_write", 1000, &scene, arguments, 4);
    close(reader);
    close(scene.pipe_end);
    world_close(&scene.world);
    assert_int_equal(open_descriptor_count(), before);
}

static void files_of_the_dead_are_closed_without_helpers_too(void **state)
{
    (void)state;
    unsigned before = open_descriptor_count();
    struct scene scene;
    scene_open(&scene);
    scene.world.host.refuses_jobs = true;
    fake_guest_kill(&scene.world.guest);
    close(scene.pipe_end);
    scene.world.host.refuses_jobs = false;
    world_close(&scene.world);
    assert_int_equal(open_descriptor_count(), before);
}

static void many_guests_share_one_directory(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    unsigned before = open_descriptor_count();
    static struct pd_guest guests[100];
    for (int i = 0; i < 100; i++) {
        fake_guest_init(&guests[i], &world.host, world.config);
        assert_int_equal(CALL(&guests[i], fd_prestat_get, DIR_FD, 8), 0);
        /* Also those that keep a table. */
        assert_int_equal(CALL(&guests[i], fd_fdstat_set_flags, 1, 0), 0);
    }
    assert_int_equal(open_descriptor_count(), before);
    for (int i = 0; i < 100; i++) {
        fake_guest_kill(&guests[i]);
    }
    assert_int_equal(open_descriptor_count(), before);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_in_each_blocking_call),
        cmocka_unit_test(a_write_to_a_full_pipe_is_let_go),
        cmocka_unit_test(files_of_the_dead_are_closed_without_helpers_too),
        cmocka_unit_test(many_guests_share_one_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
