/* wasi_world - a fake guest with a scratch directory of its own as descriptor 3, for the WASI
 * tests. */
#ifndef PD_TEST_WASI_WORLD_H
#define PD_TEST_WASI_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/host_files.h"
#include "wasi_fake.h"

#define DIR_FD 3u
#define RIGHTS_ALL UINT64_MAX
#define RIGHT_READ (UINT64_C(1) << 1)
#define RIGHT_SEEK (UINT64_C(1) << 2)
#define RIGHT_TELL (UINT64_C(1) << 5)
#define RIGHT_WRITE (UINT64_C(1) << 6)
#define RIGHT_PATH_OPEN (UINT64_C(1) << 13)
#define RIGHT_READDIR (UINT64_C(1) << 14)
#define RIGHT_PATH_FILESTAT_SET_SIZE (UINT64_C(1) << 19)
#define RIGHT_FD_FILESTAT_SET_SIZE (UINT64_C(1) << 22)
#define RIGHT_FD_FILESTAT_GET (UINT64_C(1) << 21)
/* What a library asks for when a file is opened for reading and writing. */
#define RIGHTS_FILE (((UINT64_C(1) << 9) - 1) | (UINT64_C(7) << 21) | (UINT64_C(1) << 27))

#define O_CREATE 1u
#define O_DIR 2u
#define O_EXCLUSIVE 4u
#define O_TRUNCATE 8u
#define FOLLOW 1u

struct world {
    char scratch[64]; /* the host's directory; beside it lies `outside` */
    char base[64];
    struct fake_host host;
    struct pd_files *files;
    struct pd_wasi_config *config;
    struct pd_guest guest;
};

static int world_remove_entry(const char *path, const struct stat *status, int type,
                              struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

/* base/scratch is descriptor 3; base/outside/secret is what nobody may reach. */
static void world_make_folders(struct world *world)
{
    snprintf(world->base, sizeof world->base, "/tmp/pando-wasi-XXXXXX");
    assert_non_null(mkdtemp(world->base));
    char path[128];
    snprintf(world->scratch, sizeof world->scratch, "%.40s/scratch", world->base);
    assert_int_equal(mkdir(world->scratch, 0777), 0);
    snprintf(path, sizeof path, "%s/outside", world->base);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/outside/secret", world->base);
    FILE *secret = fopen(path, "w");
    assert_non_null(secret);
    fputs("secret", secret);
    fclose(secret);
}

static inline void world_open_as(struct world *world, bool is_deterministic,
                                 enum pd_wasi_access access)
{
    *world = (struct world){0};
    world_make_folders(world);
    fake_host_init(&world->host);
    if (is_deterministic) {
        world->host.host.is_deterministic = true;
        world->host.runs_inline = true;
        assert_int_equal(pd_files_create_deterministic(&world->host.host, &world->files), PD_OK);
    } else {
        assert_int_equal(pd_files_create(&world->files), PD_OK);
    }
    assert_int_equal(pd_wasi_config_create(world->files, &world->config), PD_OK);
    pd_wasi_config_set_stdio(world->config, true);
    char why[256] = "";
    assert_int_equal(
        pd_wasi_config_add_directory(world->config, world->scratch, "/", access, why, sizeof why),
        PD_OK);
    fake_guest_init(&world->guest, &world->host, world->config);
}

static inline void world_open(struct world *world)
{
    world_open_as(world, false, PD_WASI_READ_WRITE);
}

static inline void world_close(struct world *world)
{
    if (world->guest.memory != NULL) {
        fake_guest_kill(&world->guest);
    }
    pd_wasi_config_release(world->config);
    fake_host_deinit(&world->host);
    pd_files_destroy(world->files);
    assert_int_equal(nftw(world->base, world_remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Descriptors of this test program: what must be the same before and after. */
static inline unsigned open_descriptor_count(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count;
}

/* --- Calls with paths ------------------------------------------------------------------------- */

/* "address, size" of a text in guest memory. */
#define TEXT(guest, text) fake_put(guest, text, strlen(text)), strlen(text)

static inline uint32_t open_with(struct pd_guest *guest, uint32_t dir, uint32_t lookup,
                                 const char *path, uint32_t oflags, uint64_t base,
                                 uint64_t inheriting, uint32_t fdflags, uint32_t *fd_out)
{
    fake_reset(guest);
    pd_put_u32(guest->memory + 8, 0xAAAAAAAA);
    uint32_t error = CALL(guest, path_open, dir, lookup, TEXT(guest, path), oflags, base,
                          inheriting, fdflags, 8);
    if (fd_out != NULL) {
        *fd_out = fake_u32(guest, 8);
    }
    return error;
}

/* Open beneath descriptor 3 with all rights, as a library would. */
static inline uint32_t open_path(struct pd_guest *guest, const char *path, uint32_t oflags,
                                 uint32_t *fd_out)
{
    bool is_dir = (oflags & O_DIR) != 0;
    return open_with(guest, DIR_FD, FOLLOW, path, oflags,
                     is_dir ? RIGHTS_ALL & ~(RIGHT_WRITE | (UINT64_C(1) << 8) | (UINT64_C(1) << 22))
                            : RIGHTS_FILE,
                     RIGHTS_ALL, 0, fd_out);
}

static inline uint32_t make_file(struct pd_guest *guest, const char *path)
{
    uint32_t fd = 0;
    uint32_t error = open_path(guest, path, O_CREATE, &fd);
    return error != 0 ? error : CALL(guest, fd_close, fd);
}

static inline uint32_t make_dir(struct pd_guest *guest, const char *path)
{
    fake_reset(guest);
    return CALL(guest, path_create_directory, DIR_FD, TEXT(guest, path));
}

static inline uint32_t remove_dir(struct pd_guest *guest, const char *path)
{
    fake_reset(guest);
    return CALL(guest, path_remove_directory, DIR_FD, TEXT(guest, path));
}

static inline uint32_t unlink_path(struct pd_guest *guest, const char *path)
{
    fake_reset(guest);
    return CALL(guest, path_unlink_file, DIR_FD, TEXT(guest, path));
}

static inline uint32_t rename_path(struct pd_guest *guest, const char *from, const char *to)
{
    fake_reset(guest);
    uint32_t from_at = fake_put(guest, from, strlen(from));
    return CALL(guest, path_rename, DIR_FD, from_at, strlen(from), DIR_FD, TEXT(guest, to));
}

static inline uint32_t link_path(struct pd_guest *guest, const char *from, const char *to)
{
    fake_reset(guest);
    uint32_t from_at = fake_put(guest, from, strlen(from));
    return CALL(guest, path_link, DIR_FD, 0, from_at, strlen(from), DIR_FD, TEXT(guest, to));
}

static inline uint32_t symlink_path(struct pd_guest *guest, const char *target, const char *path)
{
    fake_reset(guest);
    uint32_t target_at = fake_put(guest, target, strlen(target));
    return CALL(guest, path_symlink, target_at, strlen(target), DIR_FD, TEXT(guest, path));
}

/* The stat is at 64. */
static inline uint32_t stat_path(struct pd_guest *guest, const char *path, uint32_t lookup)
{
    fake_reset(guest);
    return CALL(guest, path_filestat_get, DIR_FD, lookup, TEXT(guest, path), 64);
}

#define STAT_AT 64u
#define STAT_INODE(guest) fake_u64(guest, STAT_AT + 8)
#define STAT_TYPE(guest) ((guest)->memory[STAT_AT + 16])
#define STAT_LINKS(guest) fake_u64(guest, STAT_AT + 24)
#define STAT_SIZE(guest) fake_u64(guest, STAT_AT + 32)
#define STAT_ACCESSED(guest) fake_u64(guest, STAT_AT + 40)
#define STAT_MODIFIED(guest) fake_u64(guest, STAT_AT + 48)

/* --- Calls with buffers ----------------------------------------------------------------------- */

/* One iovec at 256 over `size` bytes at `at`; the count comes to 8. */
static inline uint32_t write_bytes(struct pd_guest *guest, uint32_t fd, const void *bytes,
                                   size_t size, uint32_t *count_out)
{
    fake_reset(guest);
    uint32_t at = fake_put(guest, bytes, size);
    pd_put_u32(guest->memory + 256, at);
    pd_put_u32(guest->memory + 260, (uint32_t)size);
    uint32_t error = CALL(guest, fd_write, fd, 256, 1, 8);
    if (count_out != NULL) {
        *count_out = fake_u32(guest, 8);
    }
    return error;
}

static inline uint32_t write_text(struct pd_guest *guest, uint32_t fd, const char *text)
{
    uint32_t count = 0;
    uint32_t error = write_bytes(guest, fd, text, strlen(text), &count);
    if (error == 0) {
        assert_int_equal(count, strlen(text));
    }
    return error;
}

/* Read up to `size` bytes to 4096. */
static inline uint32_t read_bytes(struct pd_guest *guest, uint32_t fd, uint32_t size,
                                  uint32_t *count_out)
{
    pd_put_u32(guest->memory + 256, 4096);
    pd_put_u32(guest->memory + 260, size);
    uint32_t error = CALL(guest, fd_read, fd, 256, 1, 8);
    *count_out = fake_u32(guest, 8);
    return error;
}

/* What a file holds, compared with a text. */
static inline void assert_file_holds(struct pd_guest *guest, const char *path, const char *text)
{
    uint32_t fd = 0;
    uint32_t count = 0;
    assert_int_equal(open_path(guest, path, 0, &fd), 0);
    assert_int_equal(read_bytes(guest, fd, 8192, &count), 0);
    assert_int_equal(count, strlen(text));
    assert_memory_equal(guest->memory + 4096, text, count);
    assert_int_equal(CALL(guest, fd_close, fd), 0);
}

#endif
