/* Paths: what the public WASI test suite expects of them, and every way out of the sandbox that we
 * know of. */
#include "wasi_world.h"

static void assert_outside_untouched(struct world *world)
{
    char path[128];
    char text[16] = "";
    snprintf(path, sizeof path, "%s/outside/secret", world->base);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, sizeof text - 1, file), 6);
    fclose(file);
    assert_string_equal(text, "secret");
    snprintf(path, sizeof path, "%s/outside", world->base);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    int count = 0;
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    assert_int_equal(count, 3);
}

/* Every call that takes a path, on a path that leads out: refused with `error`. */
static void assert_refused(struct pd_guest *guest, const char *path, uint32_t error)
{
    uint32_t fd = 0;
    assert_int_equal(open_path(guest, path, 0, &fd), error);
    assert_int_equal(open_with(guest, DIR_FD, 0, path, 0, RIGHT_READ, 0, 0, &fd), error);
    assert_int_equal(open_path(guest, path, O_CREATE, &fd), error);
    assert_int_equal(open_path(guest, path, O_CREATE | O_TRUNCATE, &fd), error);
    assert_int_equal(stat_path(guest, path, 0), error);
    assert_int_equal(stat_path(guest, path, FOLLOW), error);
    assert_int_equal(make_dir(guest, path), error);
    assert_int_equal(remove_dir(guest, path), error);
    assert_int_equal(unlink_path(guest, path), error);
    assert_int_equal(rename_path(guest, path, "taken"), error);
    assert_int_equal(rename_path(guest, "inside", path), error);
    assert_int_equal(link_path(guest, path, "taken"), error);
    assert_int_equal(link_path(guest, "inside", path), error);
    assert_int_equal(symlink_path(guest, "x", path), error);
    fake_reset(guest);
    assert_int_equal(CALL(guest, path_readlink, DIR_FD, TEXT(guest, path), 512, 100, 8), error);
    fake_reset(guest);
    assert_int_equal(CALL(guest, path_filestat_set_times, DIR_FD, 0, TEXT(guest, path), 1, 1, 5),
                     error);
    fake_reset(guest);
    assert_int_equal(
        CALL(guest, path_filestat_set_times, DIR_FD, FOLLOW, TEXT(guest, path), 1, 1, 5), error);
}

static void paths_that_lead_out_are_refused(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    assert_int_equal(make_file(guest, "inside"), 0);
    assert_int_equal(make_dir(guest, "dir"), 0);
    assert_refused(guest, "../outside/secret", PD_FILE_PERM);
    assert_refused(guest, "dir/../../outside/secret", PD_FILE_PERM);
    assert_refused(guest, "dir/./.././../outside/secret", PD_FILE_PERM);
    assert_refused(guest, "/etc/passwd", PD_FILE_PERM);
    assert_refused(guest, "/", PD_FILE_PERM);
    assert_refused(guest, "//", PD_FILE_PERM);
    assert_refused(guest, "..", PD_FILE_PERM);
    assert_refused(guest, "../", PD_FILE_PERM);
    assert_refused(guest, "dir/../..", PD_FILE_PERM);
    assert_refused(guest, "../scratch/inside", PD_FILE_PERM);
    assert_outside_untouched(&world);
    world_close(&world);
}

static void links_that_lead_out_are_refused(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    assert_int_equal(make_file(guest, "inside"), 0);
    char path[128];
    snprintf(path, sizeof path, "%s/up", world.scratch);
    assert_int_equal(symlink("../outside", path), 0);
    snprintf(path, sizeof path, "%s/root", world.scratch);
    assert_int_equal(symlink("/", path), 0);
    snprintf(path, sizeof path, "%s/secret", world.scratch);
    assert_int_equal(symlink("../outside/secret", path), 0);
    snprintf(path, sizeof path, "%s/new", world.scratch);
    assert_int_equal(symlink("../outside/new", path), 0);
    snprintf(path, sizeof path, "%s/proc", world.scratch);
    assert_int_equal(symlink("/proc/self/root", path), 0);
    assert_refused(guest, "up/secret", PD_FILE_PERM);
    assert_refused(guest, "up/missing", PD_FILE_PERM);
    assert_refused(guest, "root/etc/passwd", PD_FILE_PERM);
    assert_refused(guest, "proc/etc/passwd", PD_FILE_PERM);
    uint32_t fd;
    /* A link in the last place: following it leads out; the link itself is inside. */
    assert_int_equal(open_path(guest, "secret", 0, &fd), PD_FILE_PERM);
    assert_int_equal(open_path(guest, "secret", O_TRUNCATE, &fd), PD_FILE_PERM);
    assert_int_equal(open_path(guest, "new", O_CREATE, &fd), PD_FILE_PERM);
    assert_int_equal(open_path(guest, "up", O_DIR, &fd), PD_FILE_PERM);
    assert_int_equal(stat_path(guest, "secret", FOLLOW), PD_FILE_PERM);
    assert_int_equal(stat_path(guest, "secret", 0), 0);
    assert_int_equal(STAT_TYPE(guest), PD_FILE_TYPE_LINK);
    assert_int_equal(stat_path(guest, "up/", 0), PD_FILE_PERM);
    assert_int_equal(make_dir(guest, "new/"), PD_FILE_EXIST);
    assert_int_equal(unlink_path(guest, "up/"), PD_FILE_PERM);
    assert_int_equal(link_path(guest, "up/", "copy"), PD_FILE_PERM);
    assert_int_equal(link_path(guest, "secret", "copy"), 0);
    assert_int_equal(stat_path(guest, "copy", 0), 0);
    assert_int_equal(STAT_TYPE(guest), PD_FILE_TYPE_LINK);
    assert_int_equal(unlink_path(guest, "secret"), 0);
    assert_outside_untouched(&world);
    world_close(&world);
}

static void made_links_are_followed_only_inside(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t fd;
    assert_int_equal(symlink_path(guest, "/", "abs"), PD_FILE_PERM);
    assert_int_equal(symlink_path(guest, "/etc/passwd", "abs"), PD_FILE_PERM);
    assert_int_equal(symlink_path(guest, "", "abs"), PD_FILE_NOENT);
    /* A relative one may be made, as elsewhere, and leads nowhere outside. */
    assert_int_equal(symlink_path(guest, "../outside/secret", "up"), 0);
    assert_int_equal(open_path(guest, "up", 0, &fd), PD_FILE_PERM);
    assert_int_equal(make_dir(guest, "dir"), 0);
    assert_int_equal(make_file(guest, "dir/file"), 0);
    assert_int_equal(symlink_path(guest, "../dir/file", "dir/back"), 0);
    assert_int_equal(open_path(guest, "dir/back", 0, &fd), 0);
    /* Beneath a directory that was opened, its ".." is outside. */
    assert_int_equal(open_path(guest, "dir", O_DIR, &fd), 0);
    assert_int_equal(open_with(guest, fd, FOLLOW, "back", 0, RIGHT_READ, 0, 0, NULL), PD_FILE_PERM);
    assert_int_equal(open_with(guest, fd, FOLLOW, "../dir/file", 0, RIGHT_READ, 0, 0, NULL),
                     PD_FILE_PERM);
    /* A target made on the way by a followed link. */
    assert_int_equal(symlink_path(guest, "dir/made", "dangling"), 0);
    assert_int_equal(open_path(guest, "dangling", O_CREATE, &fd), 0);
    assert_int_equal(stat_path(guest, "dir/made", 0), 0);
    world_close(&world);
}

static void strange_texts_are_refused(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    assert_int_equal(make_file(guest, "file"), 0);
    uint32_t fd;
    assert_int_equal(open_path(guest, "", 0, &fd), PD_FILE_NOENT);
    assert_int_equal(stat_path(guest, "", 0), PD_FILE_NOENT);
    uint32_t at = fake_put(guest, "file\0", 5);
    assert_int_equal(CALL(guest, path_open, DIR_FD, 0, at, 5, 0, 0, 0, 0, 8), PD_FILE_INVAL);
    at = fake_put(guest, "file\xFF", 5);
    assert_int_equal(CALL(guest, path_open, DIR_FD, 0, at, 5, 0, 0, 0, 0, 8), PD_FILE_ILSEQ);
    char name[5000];
    memset(name, 'a', sizeof name);
    name[300] = '\0';
    assert_int_equal(open_path(guest, name, 0, &fd), PD_FILE_NAMETOOLONG);
    assert_int_equal(make_dir(guest, name), PD_FILE_NAMETOOLONG);
    name[300] = 'a';
    name[sizeof name - 1] = '\0';
    assert_int_equal(stat_path(guest, name, 0), PD_FILE_NAMETOOLONG);
    assert_int_equal(unlink_path(guest, name), PD_FILE_NAMETOOLONG);
    /* As long as may be: 2,048 times "./", less one slash. */
    for (size_t i = 0; i < 4095; i++) {
        name[i] = i % 2 == 0 ? '.' : '/';
    }
    name[4095] = '\0';
    assert_int_equal(stat_path(guest, name, 0), 0);
    assert_int_equal(make_dir(guest, name), PD_FILE_EXIST);
    world_close(&world);
}

static void interesting_paths(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t fd;
    assert_int_equal(make_dir(guest, "dir"), 0);
    assert_int_equal(make_dir(guest, "dir/nested"), 0);
    assert_int_equal(make_file(guest, "dir/nested/file"), 0);
    assert_int_equal(open_path(guest, "dir/.//nested/../../dir/nested/../nested///./file", 0, &fd),
                     0);
    assert_int_equal(open_path(guest, "dir/nested/file/", 0, &fd), PD_FILE_NOTDIR);
    assert_int_equal(open_path(guest, "dir/nested/file///", 0, &fd), PD_FILE_NOTDIR);
    assert_int_equal(open_with(guest, DIR_FD, 0, "dir/nested/", 0, 0, 0, 0, &fd), 0);
    assert_int_equal(open_with(guest, DIR_FD, 0, "dir/nested///", 0, 0, 0, 0, &fd), 0);
    assert_int_equal(open_with(guest, DIR_FD, 0, "dir/missing", 0, 0, 0, 0, &fd), PD_FILE_NOENT);
    assert_int_equal(open_with(guest, DIR_FD, 0, "dir/nested/file/x", 0, 0, 0, 0, &fd),
                     PD_FILE_NOTDIR);
    /* Names that only say where one is already. */
    assert_int_equal(make_dir(guest, "."), PD_FILE_EXIST);
    assert_int_equal(make_dir(guest, "dir/.."), PD_FILE_EXIST);
    assert_int_equal(make_dir(guest, "missing/.."), PD_FILE_NOENT);
    assert_int_equal(remove_dir(guest, "."), PD_FILE_INVAL);
    assert_int_equal(remove_dir(guest, "dir/.."), PD_FILE_INVAL);
    assert_int_equal(unlink_path(guest, "dir/."), PD_FILE_ISDIR);
    assert_int_equal(rename_path(guest, "dir/.", "new"), PD_FILE_BUSY);
    assert_int_equal(rename_path(guest, "dir", "."), PD_FILE_BUSY);
    assert_int_equal(stat_path(guest, "dir/..", 0), 0);
    assert_int_equal(STAT_TYPE(guest), PD_FILE_TYPE_DIRECTORY);
    world_close(&world);
}

static void links_are_not_followed_unless_asked(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t fd;
    assert_int_equal(make_dir(guest, "target"), 0);
    assert_int_equal(symlink_path(guest, "target", "link"), 0);
    assert_int_equal(open_with(guest, DIR_FD, 0, "link", O_DIR, 0, 0, 0, &fd), PD_FILE_NOTDIR);
    assert_int_equal(open_with(guest, DIR_FD, 0, "link", 0, 0, 0, 0, &fd), PD_FILE_LOOP);
    assert_int_equal(open_with(guest, DIR_FD, FOLLOW, "link", O_DIR, 0, 0, 0, &fd), 0);
    assert_int_equal(unlink_path(guest, "link"), 0);
    assert_int_equal(remove_dir(guest, "target"), 0);
    assert_int_equal(make_file(guest, "target"), 0);
    assert_int_equal(symlink_path(guest, "target", "link"), 0);
    assert_int_equal(open_with(guest, DIR_FD, 0, "link", 0, 0, 0, 0, &fd), PD_FILE_LOOP);
    assert_int_equal(open_with(guest, DIR_FD, FOLLOW, "link", O_DIR, 0, 0, 0, &fd), PD_FILE_NOTDIR);
    assert_int_equal(unlink_path(guest, "target"), 0);
    /* Dangling. */
    assert_int_equal(open_with(guest, DIR_FD, 0, "link", 0, 0, 0, 0, &fd), PD_FILE_LOOP);
    assert_int_equal(open_with(guest, DIR_FD, FOLLOW, "link", 0, 0, 0, 0, &fd), PD_FILE_NOENT);
    assert_int_equal(open_with(guest, DIR_FD, 0, "link", O_CREATE, 0, 0, 0, &fd), PD_FILE_LOOP);
    /* A loop. */
    assert_int_equal(unlink_path(guest, "link"), 0);
    assert_int_equal(symlink_path(guest, "link", "link"), 0);
    assert_int_equal(open_path(guest, "link", 0, &fd), PD_FILE_LOOP);
    assert_int_equal(stat_path(guest, "link", FOLLOW), PD_FILE_LOOP);
    assert_int_equal(stat_path(guest, "link", 0), 0);
    world_close(&world);
}

static void opening_creates_as_asked(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t fd;
    assert_int_equal(open_path(guest, "file", O_CREATE | O_EXCLUSIVE, &fd), 0);
    assert_true(fd > 3);
    assert_int_equal(write_text(guest, fd, "hello"), 0);
    assert_int_equal(open_path(guest, "file", O_CREATE | O_EXCLUSIVE, &fd), PD_FILE_EXIST);
    assert_int_equal(fd, 0xAAAAAAAA);
    assert_int_equal(open_path(guest, "file", O_CREATE | O_DIR, &fd), PD_FILE_INVAL);
    assert_int_equal(open_path(guest, "newdir", O_CREATE | O_DIR, &fd), PD_FILE_INVAL);
    assert_int_equal(stat_path(guest, "newdir", 0), PD_FILE_NOENT);
    assert_int_equal(open_path(guest, "file", O_DIR, &fd), PD_FILE_NOTDIR);
    assert_file_holds(guest, "file", "hello");
    assert_int_equal(open_path(guest, "file", O_TRUNCATE, &fd), 0);
    assert_file_holds(guest, "file", "");
    assert_int_equal(make_dir(guest, "dir"), 0);
    assert_int_equal(make_dir(guest, "dir"), PD_FILE_EXIST);
    assert_int_equal(make_dir(guest, "slash/"), 0);
    assert_int_equal(make_dir(guest, "file/"), PD_FILE_EXIST);
    assert_int_equal(open_with(guest, DIR_FD, 0, "dir", O_DIR, RIGHT_READ | RIGHT_WRITE, 0, 0, &fd),
                     PD_FILE_ISDIR);
    assert_int_equal(open_with(guest, DIR_FD, 0, "dir", 0, RIGHT_WRITE, 0, 0, &fd), PD_FILE_ISDIR);
    assert_int_equal(open_with(guest, DIR_FD, 0, "dir", O_DIR, RIGHT_READ, 0, 0, &fd), 0);
    assert_int_equal(open_with(guest, DIR_FD, 2, "dir", 0, 0, 0, 0, &fd), PD_FILE_INVAL);
    assert_int_equal(open_with(guest, DIR_FD, 0, "dir", 16, 0, 0, 0, &fd), PD_FILE_INVAL);
    assert_int_equal(open_with(guest, DIR_FD, 0, "dir", 0, 0, 0, 32, &fd), PD_FILE_INVAL);
    /* Beneath what is not a directory. */
    assert_int_equal(open_path(guest, "file", 0, &fd), 0);
    assert_int_equal(open_with(guest, fd, 0, "x", O_CREATE, 0, 0, 0, NULL), PD_FILE_NOTDIR);
    assert_int_equal(open_with(guest, 1, 0, "x", O_CREATE, 0, 0, 0, NULL), PD_FILE_NOTDIR);
    assert_int_equal(open_with(guest, 77, 0, "x", O_CREATE, 0, 0, 0, NULL), PD_FILE_BADF);
    world_close(&world);
}

static void removing(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    assert_int_equal(make_dir(guest, "dir"), 0);
    assert_int_equal(make_file(guest, "dir/file"), 0);
    assert_int_equal(remove_dir(guest, "dir"), PD_FILE_NOTEMPTY);
    assert_int_equal(unlink_path(guest, "dir"), PD_FILE_ISDIR);
    assert_int_equal(unlink_path(guest, "dir/"), PD_FILE_ISDIR);
    assert_int_equal(unlink_path(guest, "dir/file/"), PD_FILE_NOTDIR);
    assert_int_equal(remove_dir(guest, "dir/file"), PD_FILE_NOTDIR);
    assert_int_equal(remove_dir(guest, "dir/file/"), PD_FILE_NOTDIR);
    assert_int_equal(unlink_path(guest, "dir/file"), 0);
    assert_int_equal(unlink_path(guest, "dir/file"), PD_FILE_NOENT);
    assert_int_equal(unlink_path(guest, "dir/file/"), PD_FILE_NOENT);
    assert_int_equal(remove_dir(guest, "dir/"), 0);
    assert_int_equal(remove_dir(guest, "dir"), PD_FILE_NOENT);
    world_close(&world);
}

static void renaming(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    assert_int_equal(make_dir(guest, "source"), 0);
    assert_int_equal(rename_path(guest, "source", "target"), 0);
    assert_int_equal(stat_path(guest, "source", 0), PD_FILE_NOENT);
    assert_int_equal(make_dir(guest, "source"), 0);
    assert_int_equal(rename_path(guest, "source", "target"), 0); /* onto an empty directory */
    assert_int_equal(make_dir(guest, "source"), 0);
    assert_int_equal(make_file(guest, "target/file"), 0);
    assert_int_equal(rename_path(guest, "source", "target"), PD_FILE_NOTEMPTY);
    assert_int_equal(rename_path(guest, "source", "target/file"), PD_FILE_NOTDIR);
    assert_int_equal(rename_path(guest, "target/file", "source"), PD_FILE_ISDIR);
    assert_int_equal(rename_path(guest, "source", "source/inside"), PD_FILE_INVAL);
    assert_int_equal(rename_path(guest, "source/", "moved/"), 0);
    assert_int_equal(rename_path(guest, "moved/", "source"), 0);
    assert_int_equal(rename_path(guest, "target/file", "plain"), 0);
    assert_int_equal(make_file(guest, "other"), 0);
    assert_int_equal(rename_path(guest, "plain", "other"), 0); /* onto a file */
    assert_int_equal(rename_path(guest, "other/", "x"), PD_FILE_NOTDIR);
    assert_int_equal(rename_path(guest, "other", "x/"), PD_FILE_NOTDIR);
    assert_int_equal(rename_path(guest, "other/", "x/"), PD_FILE_NOTDIR);
    assert_int_equal(rename_path(guest, "missing", "x"), PD_FILE_NOENT);
    assert_int_equal(rename_path(guest, "missing/", "x"), PD_FILE_NOENT);
    assert_int_equal(rename_path(guest, "other", "missing/x"), PD_FILE_NOENT);
    assert_int_equal(rename_path(guest, "other", "other"), 0);
    world_close(&world);
}

static void linking(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    assert_int_equal(make_file(guest, "file"), 0);
    assert_int_equal(make_dir(guest, "sub"), 0);
    assert_int_equal(link_path(guest, "file", "sub/link"), 0);
    assert_int_equal(stat_path(guest, "file", 0), 0);
    uint64_t inode = STAT_INODE(guest);
    assert_int_equal(STAT_LINKS(guest), 2);
    assert_int_equal(stat_path(guest, "sub/link", 0), 0);
    assert_int_equal(STAT_INODE(guest), inode);
    assert_int_equal(link_path(guest, "file", "sub/link"), PD_FILE_EXIST);
    assert_int_equal(link_path(guest, "file", "file"), PD_FILE_EXIST);
    assert_int_equal(link_path(guest, "file", "sub"), PD_FILE_EXIST);
    assert_int_equal(link_path(guest, "sub", "link"), PD_FILE_PERM);
    assert_int_equal(link_path(guest, "file", "link/"), PD_FILE_NOENT);
    assert_int_equal(link_path(guest, "file", "sub/"), PD_FILE_EXIST);
    assert_int_equal(link_path(guest, "file/", "link"), PD_FILE_NOTDIR);
    assert_int_equal(link_path(guest, "missing", "link"), PD_FILE_NOENT);
    assert_int_equal(symlink_path(guest, "nowhere", "dangling"), 0);
    assert_int_equal(link_path(guest, "dangling", "link"), 0);
    assert_int_equal(link_path(guest, "file", "dangling"), PD_FILE_EXIST);
    fake_reset(guest);
    uint32_t at = fake_put(guest, "file", 4);
    assert_int_equal(CALL(guest, path_link, DIR_FD, FOLLOW, at, 4, DIR_FD, TEXT(guest, "new")),
                     PD_FILE_INVAL);
    /* The other kind. */
    assert_int_equal(symlink_path(guest, "source", "slash/"), PD_FILE_NOENT);
    assert_int_equal(symlink_path(guest, "source", "sub/"), PD_FILE_EXIST);
    assert_int_equal(symlink_path(guest, "source", "sub"), PD_FILE_EXIST);
    assert_int_equal(symlink_path(guest, "source", "file/"), PD_FILE_NOTDIR);
    assert_int_equal(symlink_path(guest, "source", "file"), PD_FILE_EXIST);
    world_close(&world);
}

static void reading_links(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    assert_int_equal(make_file(guest, "target"), 0);
    assert_int_equal(symlink_path(guest, "target", "link"), 0);
    memset(guest->memory + 512, 0, 16);
    fake_reset(guest);
    assert_int_equal(CALL(guest, path_readlink, DIR_FD, TEXT(guest, "link"), 512, 10, 8), 0);
    assert_int_equal(fake_u32(guest, 8), 6);
    assert_memory_equal(guest->memory + 512, "target\0\0", 8);
    memset(guest->memory + 512, 0, 16);
    assert_int_equal(CALL(guest, path_readlink, DIR_FD, TEXT(guest, "link"), 512, 4, 8), 0);
    assert_int_equal(fake_u32(guest, 8), 4);
    assert_memory_equal(guest->memory + 512, "targ\0", 5);
    assert_int_equal(CALL(guest, path_readlink, DIR_FD, TEXT(guest, "link"), 512, 0, 8), 0);
    assert_int_equal(fake_u32(guest, 8), 0);
    assert_int_equal(CALL(guest, path_readlink, DIR_FD, TEXT(guest, "target"), 512, 10, 8),
                     PD_FILE_INVAL);
    assert_int_equal(CALL(guest, path_readlink, DIR_FD, TEXT(guest, "missing"), 512, 10, 8),
                     PD_FILE_NOENT);
    world_close(&world);
}

static void times_are_set(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    assert_int_equal(make_file(guest, "file"), 0);
    assert_int_equal(symlink_path(guest, "file", "link"), 0);
    assert_int_equal(stat_path(guest, "file", 0), 0);
    uint64_t accessed = STAT_ACCESSED(guest);
    uint64_t modified = STAT_MODIFIED(guest) - 100;
    fake_reset(guest);
    assert_int_equal(
        CALL(guest, path_filestat_set_times, DIR_FD, 0, TEXT(guest, "file"), modified, modified, 4),
        0);
    assert_int_equal(stat_path(guest, "file", 0), 0);
    assert_int_equal(STAT_MODIFIED(guest), modified);
    assert_int_equal(STAT_ACCESSED(guest), accessed);
    fake_reset(guest);
    assert_int_equal(CALL(guest, path_filestat_set_times, DIR_FD, 0, TEXT(guest, "file"), 0, 0, 12),
                     PD_FILE_INVAL);
    assert_int_equal(CALL(guest, path_filestat_set_times, DIR_FD, 0, TEXT(guest, "file"), 0, 0, 3),
                     PD_FILE_INVAL);
    assert_int_equal(CALL(guest, path_filestat_set_times, DIR_FD, 0, TEXT(guest, "file"), 0, 0, 16),
                     PD_FILE_INVAL);
    /* The link itself, then what it names. */
    assert_int_equal(
        CALL(guest, path_filestat_set_times, DIR_FD, 0, TEXT(guest, "link"), 5000, 6000, 5), 0);
    assert_int_equal(stat_path(guest, "file", 0), 0);
    assert_int_equal(STAT_MODIFIED(guest), modified);
    assert_int_equal(stat_path(guest, "link", 0), 0);
    assert_int_equal(STAT_MODIFIED(guest), 6000);
    fake_reset(guest);
    assert_int_equal(
        CALL(guest, path_filestat_set_times, DIR_FD, FOLLOW, TEXT(guest, "link"), 7000, 8000, 5),
        0);
    assert_int_equal(stat_path(guest, "file", 0), 0);
    assert_int_equal(STAT_ACCESSED(guest), 7000);
    assert_int_equal(STAT_MODIFIED(guest), 8000);
    world_close(&world);
}

/* One thread exchanges a directory and a link that leads out, while a guest goes through the
 * name. */
struct swapper {
    char dir[128];
    char link[128];
    char name[128];
    atomic_bool is_over;
};

static void *swap(void *argument)
{
    struct swapper *swapper = argument;
    while (!atomic_load(&swapper->is_over)) {
        (void)!renameat2(AT_FDCWD, swapper->name, AT_FDCWD, swapper->link, 2 /* exchange */);
    }
    return NULL;
}

static void a_race_never_leads_out(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    world.host.runs_inline = true;
    struct swapper swapper;
    atomic_init(&swapper.is_over, false);
    snprintf(swapper.name, sizeof swapper.name, "%s/name", world.scratch);
    snprintf(swapper.link, sizeof swapper.link, "%s/link", world.scratch);
    assert_int_equal(mkdir(swapper.name, 0777), 0);
    assert_int_equal(symlink("../outside", swapper.link), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, swap, &swapper), 0);
    int refused = 0;
    for (int i = 0; i < 2000; i++) {
        uint32_t fd;
        assert_int_not_equal(open_path(guest, "name/secret", 0, &fd), 0);
        assert_int_not_equal(unlink_path(guest, "name/secret"), 0);
        uint32_t error = make_dir(guest, "name/new");
        assert_true(error == 0 || error == PD_FILE_PERM || error == PD_FILE_EXIST ||
                    error == PD_FILE_AGAIN);
        refused += error == PD_FILE_PERM;
        (void)remove_dir(guest, "name/new");
        (void)rename_path(guest, "name/secret", "stolen");
        assert_int_equal(stat_path(guest, "stolen", FOLLOW), PD_FILE_NOENT);
        assert_int_not_equal(link_path(guest, "name/secret", "stolen"), 0);
        assert_int_not_equal(stat_path(guest, "name/secret", FOLLOW), 0);
        assert_int_not_equal(open_path(guest, "name/secret/", O_DIR, &fd), 0);
        assert_int_not_equal(open_path(guest, "name/./../name/secret", O_TRUNCATE, &fd), 0);
        fake_reset(guest);
        assert_int_not_equal(CALL(guest, path_filestat_set_times, DIR_FD, FOLLOW,
                                  TEXT(guest, "name/secret"), 1, 1, 5),
                             0);
        /* These may come to be where the directory is, and nowhere else. */
        if (open_path(guest, "name/made", O_CREATE, &fd) == 0) {
            assert_int_equal(CALL(guest, fd_close, fd), 0);
        }
        (void)unlink_path(guest, "name/made");
        (void)symlink_path(guest, "nowhere", "name/made");
        (void)unlink_path(guest, "name/made");
        (void)make_file(guest, "mine");
        (void)rename_path(guest, "mine", "name/secret2");
        (void)link_path(guest, "mine", "name/secret3");
        (void)unlink_path(guest, "name/secret2");
        (void)unlink_path(guest, "name/secret3");
        /* The name itself, whatever it is at the moment. */
        if (open_path(guest, "name", O_DIR, &fd) == 0) {
            assert_int_not_equal(open_with(guest, fd, FOLLOW, "secret", 0, 0, 0, 0, NULL), 0);
            assert_int_equal(CALL(guest, fd_close, fd), 0);
        }
    }
    atomic_store(&swapper.is_over, true);
    pthread_join(thread, NULL);
    print_message("refused %d of 2000\n", refused);
    assert_outside_untouched(&world);
    world_close(&world);
}

/* One thread moves a directory out of the sandbox and back, while a guest goes up from within
 * it. */
static void *carry(void *argument)
{
    struct swapper *swapper = argument;
    while (!atomic_load(&swapper->is_over)) {
        (void)!rename(swapper->name, swapper->link);
        (void)!rename(swapper->link, swapper->name);
    }
    return NULL;
}

static void a_directory_that_is_moved_out_leads_nowhere(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    world.host.runs_inline = true;
    struct swapper swapper;
    atomic_init(&swapper.is_over, false);
    char carried[128];
    snprintf(swapper.dir, sizeof swapper.dir, "%s/a", world.scratch);
    snprintf(swapper.name, sizeof swapper.name, "%s/a/b", world.scratch);
    snprintf(swapper.link, sizeof swapper.link, "%s/outside/b", world.base);
    snprintf(carried, sizeof carried, "%s/a/b/c", world.scratch);
    assert_int_equal(mkdir(swapper.dir, 0777), 0);
    assert_int_equal(mkdir(swapper.name, 0777), 0);
    assert_int_equal(mkdir(carried, 0777), 0);
    uint32_t held;
    assert_int_equal(open_path(guest, "a/b/c", O_DIR, &held), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, carry, &swapper), 0);
    for (int i = 0; i < 2000; i++) {
        uint32_t fd;
        assert_int_not_equal(open_path(guest, "a/b/../secret", 0, &fd), 0);
        assert_int_not_equal(open_path(guest, "a/b/c/../../secret", 0, &fd), 0);
        assert_int_not_equal(open_path(guest, "a/b/c/../../../outside/secret", 0, &fd), 0);
        assert_int_not_equal(stat_path(guest, "a/b/c/../../secret", FOLLOW), 0);
        assert_int_not_equal(unlink_path(guest, "a/b/c/../../secret"), 0);
        assert_int_not_equal(rename_path(guest, "a/b/../secret", "stolen"), 0);
        assert_int_not_equal(link_path(guest, "a/b/c/../../secret", "stolen"), 0);
        /* What was opened stays open, and its parents stay closed. */
        assert_int_equal(open_with(guest, held, FOLLOW, ".", O_DIR, 0, 0, 0, &fd), 0);
        assert_int_equal(CALL(guest, fd_close, fd), 0);
        assert_int_not_equal(open_with(guest, held, FOLLOW, "../../secret", 0, 0, 0, 0, NULL), 0);
        assert_int_not_equal(open_with(guest, held, FOLLOW, "..", O_DIR, 0, 0, 0, NULL), 0);
    }
    atomic_store(&swapper.is_over, true);
    pthread_join(thread, NULL);
    assert_outside_untouched(&world);
    world_close(&world);
}

static void a_read_only_directory_cannot_be_changed(void **state)
{
    (void)state;
    struct world world;
    world_open_as(&world, false, PD_WASI_READ);
    struct pd_guest *guest = &world.guest;
    char path[128];
    snprintf(path, sizeof path, "%s/file", world.scratch);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("text", file);
    fclose(file);
    uint32_t fd;
    assert_int_equal(open_with(guest, DIR_FD, 0, "file", 0, RIGHT_READ | RIGHT_SEEK, 0, 0, &fd), 0);
    uint32_t count;
    assert_int_equal(read_bytes(guest, fd, 100, &count), 0);
    assert_int_equal(count, 4);
    assert_int_equal(write_text(guest, fd, "x"), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_filestat_set_size, fd, 0), PD_FILE_NOTCAPABLE);
    assert_int_equal(CALL(guest, fd_filestat_set_times, fd, 0, 0, 5), PD_FILE_NOTCAPABLE);
    assert_int_equal(open_path(guest, "file", 0, &fd), PD_FILE_NOTCAPABLE);
    assert_int_equal(open_with(guest, DIR_FD, 0, "file", O_TRUNCATE, 0, 0, 0, &fd), PD_FILE_PERM);
    assert_int_equal(open_with(guest, DIR_FD, 0, "new", O_CREATE, 0, 0, 0, &fd),
                     PD_FILE_NOTCAPABLE);
    assert_int_equal(make_dir(guest, "new"), PD_FILE_NOTCAPABLE);
    assert_int_equal(remove_dir(guest, "new"), PD_FILE_NOTCAPABLE);
    assert_int_equal(unlink_path(guest, "file"), PD_FILE_NOTCAPABLE);
    assert_int_equal(rename_path(guest, "file", "new"), PD_FILE_NOTCAPABLE);
    assert_int_equal(link_path(guest, "file", "new"), PD_FILE_NOTCAPABLE);
    assert_int_equal(symlink_path(guest, "file", "new"), PD_FILE_NOTCAPABLE);
    fake_reset(guest);
    assert_int_equal(CALL(guest, path_filestat_set_times, DIR_FD, 0, TEXT(guest, "file"), 0, 0, 5),
                     PD_FILE_NOTCAPABLE);
    assert_int_equal(stat_path(guest, "file", 0), 0);
    assert_int_equal(STAT_SIZE(guest), 4);
    /* Nor through a directory that is opened in it with all rights asked for. */
    assert_int_equal(
        open_with(guest, DIR_FD, 0, ".", O_DIR, RIGHTS_ALL & ~RIGHT_WRITE, RIGHTS_ALL, 0, &fd), 0);
    assert_int_equal(open_with(guest, fd, 0, "new", O_CREATE, 0, 0, 0, NULL), PD_FILE_NOTCAPABLE);
    assert_int_equal(open_with(guest, fd, 0, "file", 0, RIGHT_WRITE, 0, 0, NULL),
                     PD_FILE_NOTCAPABLE);
    world_close(&world);
}

static void the_root_directory_can_be_given(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_wasi_config *config = NULL;
    assert_int_equal(pd_wasi_config_create(world.files, &config), PD_OK);
    assert_int_equal(pd_wasi_config_add_directory(config, "/", "/", PD_WASI_READ, NULL, 0), PD_OK);
    struct pd_guest guest;
    fake_guest_init(&guest, &world.host, config);
    uint32_t fd;
    assert_int_equal(
        open_with(&guest, DIR_FD, FOLLOW, "usr/share", O_DIR, RIGHT_READDIR, 0, 0, &fd), 0);
    assert_int_equal(open_with(&guest, DIR_FD, FOLLOW, "..", O_DIR, 0, 0, 0, &fd), PD_FILE_PERM);
    assert_int_equal(open_with(&guest, DIR_FD, FOLLOW, "/usr", O_DIR, 0, 0, 0, &fd), PD_FILE_PERM);
    assert_int_equal(open_with(&guest, DIR_FD, FOLLOW, "proc/self/exe", 0, 0, 0, 0, &fd),
                     PD_FILE_LOOP);
    fake_guest_kill(&guest);
    pd_wasi_config_release(config);
    world_close(&world);
}

/* The grant of "/" is for files. What the program itself is made of lies there too. */
static void no_file_of_a_process_is_opened(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_wasi_config *config = NULL;
    assert_int_equal(pd_wasi_config_create(world.files, &config), PD_OK);
    assert_int_equal(pd_wasi_config_add_directory(config, "/", "/", PD_WASI_READ_WRITE, NULL, 0),
                     PD_OK);
    assert_int_equal(
        pd_wasi_config_add_directory(config, "/proc", "/proc", PD_WASI_READ_WRITE, NULL, 0), PD_OK);
    struct pd_guest guest;
    fake_guest_init(&guest, &world.host, config);
    unsigned before = open_descriptor_count();
    char by_number[64];
    snprintf(by_number, sizeof by_number, "proc/%d/mem", (int)getpid());
    const char *const paths[] = {"proc/self/mem",
                                 "proc/self/environ",
                                 "proc/thread-self/mem",
                                 "proc/self/maps",
                                 "proc/self/cmdline",
                                 "proc/self/task/../mem",
                                 "proc/1/../self/mem",
                                 "proc/self/attr/../oom_score_adj",
                                 by_number};
    static const uint64_t rights[] = {0, RIGHT_READ, RIGHT_WRITE, RIGHT_READ | RIGHT_WRITE};
    uint32_t fd;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        for (size_t j = 0; j < sizeof rights / sizeof rights[0]; j++) {
            uint32_t error = open_with(&guest, DIR_FD, FOLLOW, paths[i], 0, rights[j], 0, 0, &fd);
            /* Some are not there in every kernel, or may not be written at all. */
            assert_true(error == PD_FILE_PERM || error == PD_FILE_ACCES || error == PD_FILE_NOENT);
        }
        assert_int_not_equal(
            open_with(&guest, DIR_FD, FOLLOW, paths[i], O_TRUNCATE, RIGHT_WRITE, 0, 0, &fd), 0);
    }
    assert_int_equal(open_with(&guest, DIR_FD, FOLLOW, "proc/self/mem", 0, RIGHT_WRITE, 0, 0, &fd),
                     PD_FILE_PERM);
    assert_int_equal(open_with(&guest, DIR_FD + 1, FOLLOW, "self/mem", 0, RIGHT_READ, 0, 0, &fd),
                     PD_FILE_PERM);
    /* Doors without a name: links that the kernel resolves by itself. */
    const char *const doors[] = {"proc/self/root/etc/passwd", "proc/self/cwd/.", "proc/self/exe",
                                 "proc/self/fd/0"};
    for (size_t i = 0; i < sizeof doors / sizeof doors[0]; i++) {
        assert_int_equal(open_with(&guest, DIR_FD, FOLLOW, doors[i], 0, RIGHT_READ, 0, 0, &fd),
                         PD_FILE_LOOP);
    }
    assert_int_equal(open_descriptor_count(), before);
    /* To look around is no harm. */
    assert_int_equal(open_with(&guest, DIR_FD, FOLLOW, "proc", O_DIR, RIGHT_READDIR, 0, 0, &fd), 0);
    fake_guest_kill(&guest);
    pd_wasi_config_release(config);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_that_lead_out_are_refused),
        cmocka_unit_test(links_that_lead_out_are_refused),
        cmocka_unit_test(made_links_are_followed_only_inside),
        cmocka_unit_test(strange_texts_are_refused),
        cmocka_unit_test(interesting_paths),
        cmocka_unit_test(links_are_not_followed_unless_asked),
        cmocka_unit_test(opening_creates_as_asked),
        cmocka_unit_test(removing),
        cmocka_unit_test(renaming),
        cmocka_unit_test(linking),
        cmocka_unit_test(reading_links),
        cmocka_unit_test(times_are_set),
        cmocka_unit_test(a_race_never_leads_out),
        cmocka_unit_test(a_directory_that_is_moved_out_leads_nowhere),
        cmocka_unit_test(a_read_only_directory_cannot_be_changed),
        cmocka_unit_test(the_root_directory_can_be_given),
        cmocka_unit_test(no_file_of_a_process_is_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
