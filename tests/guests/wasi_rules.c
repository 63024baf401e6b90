/* wasi_rules - preview 1's calls one by one, below wasi-libc, in the preopen "/": what programs
 * that were written against other runtimes may count on, errno by errno. Each part has a directory
 * of its own, opened with the rights that it needs and few more. Prints "OK name" for each part,
 * and ends with 1 at the first that fails. Leaves the directory as it was. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>

#define R(name) __WASI_RIGHTS_##name
#define E(name) __WASI_ERRNO_##name
#define FOLLOW __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW
#define CREATE __WASI_OFLAGS_CREAT
#define DIRECTORY __WASI_OFLAGS_DIRECTORY
#define EXCLUSIVE __WASI_OFLAGS_EXCL
#define TRUNCATE __WASI_OFLAGS_TRUNC
#define READ_WRITE (R(FD_READ) | R(FD_WRITE))

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("FAILED line %d: %s\n", __LINE__, #condition);                                  \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define IS(call, code) is(call, E(code), #call, __LINE__)
#define OK(call) IS(call, SUCCESS)

static void is(__wasi_errno_t got, __wasi_errno_t wanted, const char *call, int line)
{
    if (got != wanted) {
        printf("FAILED line %d: %s: errno %d instead of %d\n", line, call, got, wanted);
        exit(1);
    }
}

static __wasi_fd_t root; /* the preopen */
static __wasi_fd_t dir;  /* of the part that runs */

static __wasi_errno_t open_at(__wasi_fd_t at, const char *path, int oflags, __wasi_rights_t rights,
                              __wasi_fd_t *fd)
{
    return __wasi_path_open(at, 0, path, (__wasi_oflags_t)oflags, rights, 0, 0, fd);
}

static __wasi_fd_t opened(const char *path, int oflags, __wasi_rights_t rights)
{
    __wasi_fd_t fd = 0;
    OK(open_at(dir, path, oflags, rights, &fd));
    CHECK(fd > 2);
    return fd;
}

/* An open that has to fail. */
static __wasi_errno_t refused(const char *path, int oflags, __wasi_rights_t rights)
{
    __wasi_fd_t fd = 0;
    return open_at(dir, path, oflags, rights, &fd);
}

static void make_file(const char *path)
{
    OK(__wasi_fd_close(opened(path, CREATE, 0)));
}

static __wasi_errno_t write_bytes(__wasi_fd_t fd, const void *bytes, size_t size)
{
    size_t done = 0;
    __wasi_ciovec_t piece = {.buf = bytes, .buf_len = size};
    __wasi_errno_t error = __wasi_fd_write(fd, &piece, 1, &done);
    CHECK(error != 0 || done == size);
    return error;
}

static __wasi_errno_t read_bytes(__wasi_fd_t fd, void *bytes, size_t size, size_t *done)
{
    __wasi_iovec_t piece = {.buf = bytes, .buf_len = size};
    return __wasi_fd_read(fd, &piece, 1, done);
}

static void seek_to(__wasi_fd_t fd, int64_t offset, uint8_t whence, uint64_t wanted)
{
    uint64_t position = UINT64_MAX;
    OK(__wasi_fd_seek(fd, offset, whence, &position));
    CHECK(position == wanted);
}

static uint64_t size_of(__wasi_fd_t fd)
{
    __wasi_filestat_t stat;
    OK(__wasi_fd_filestat_get(fd, &stat));
    return stat.size;
}

static __wasi_filetype_t type_of(const char *path, __wasi_lookupflags_t lookup)
{
    __wasi_filestat_t stat;
    OK(__wasi_path_filestat_get(dir, lookup, path, &stat));
    return stat.filetype;
}

/* --- Descriptors ------------------------------------------------------------------------------ */

static void preopens(void)
{
    static const __wasi_rights_t base[] = {R(PATH_CREATE_DIRECTORY),
                                           R(PATH_CREATE_FILE),
                                           R(PATH_LINK_SOURCE),
                                           R(PATH_LINK_TARGET),
                                           R(PATH_OPEN),
                                           R(FD_READDIR),
                                           R(PATH_READLINK),
                                           R(PATH_RENAME_SOURCE),
                                           R(PATH_RENAME_TARGET),
                                           R(PATH_SYMLINK),
                                           R(PATH_UNLINK_FILE),
                                           R(PATH_REMOVE_DIRECTORY),
                                           R(PATH_FILESTAT_GET),
                                           R(PATH_FILESTAT_SET_TIMES),
                                           R(FD_FILESTAT_GET),
                                           R(FD_FILESTAT_SET_TIMES)};
    static const __wasi_rights_t passed_on[] = {R(FD_DATASYNC),      R(FD_READ),
                                                R(FD_SEEK),          R(FD_FDSTAT_SET_FLAGS),
                                                R(FD_SYNC),          R(FD_TELL),
                                                R(FD_WRITE),         R(FD_ADVISE),
                                                R(FD_ALLOCATE),      R(FD_FILESTAT_SET_SIZE),
                                                R(POLL_FD_READWRITE)};
    __wasi_fdstat_t stat;
    __wasi_prestat_t prestat;
    uint8_t name[8];
    OK(__wasi_fd_prestat_get(root, &prestat));
    CHECK(prestat.tag == __WASI_PREOPENTYPE_DIR && prestat.u.dir.pr_name_len == 1);
    IS(__wasi_fd_prestat_dir_name(root, name, 0), NAMETOOLONG);
    OK(__wasi_fd_prestat_dir_name(root, name, sizeof name));
    OK(__wasi_fd_fdstat_get(root, &stat));
    CHECK(stat.fs_filetype == __WASI_FILETYPE_DIRECTORY && stat.fs_flags == 0);
    CHECK((stat.fs_rights_base & R(FD_FILESTAT_SET_SIZE)) == 0);
    for (size_t i = 0; i < sizeof base / sizeof base[0]; i++) {
        CHECK((stat.fs_rights_base & stat.fs_rights_inheriting & base[i]) != 0);
    }
    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++) {
        CHECK((stat.fs_rights_inheriting & passed_on[i]) != 0);
    }
    /* The same once more, less, and more than a directory can have. */
    __wasi_fd_t fd;
    OK(__wasi_path_open(root, 0, ".", 0, stat.fs_rights_base, stat.fs_rights_inheriting, 0, &fd));
    OK(__wasi_fd_close(fd));
    OK(__wasi_fd_close(opened(".", 0, 0)));
    OK(__wasi_fd_close(opened(".", DIRECTORY, 0)));
    OK(__wasi_fd_close(opened(".", DIRECTORY, R(FD_READ))));
    IS(refused(".", DIRECTORY, READ_WRITE), ISDIR);
    OK(__wasi_path_open(root, 0, ".", 0, 0, 0, __WASI_FDFLAGS_NONBLOCK, &fd));
    OK(__wasi_fd_close(fd));
    /* One of our own in the place of another. */
    __wasi_filestat_t before;
    __wasi_filestat_t after;
    __wasi_fd_t first = opened(".", DIRECTORY, R(FD_FILESTAT_GET));
    __wasi_fd_t second = opened(".", DIRECTORY, 0);
    OK(__wasi_fd_filestat_get(first, &before));
    OK(__wasi_fd_renumber(first, second));
    OK(__wasi_fd_filestat_get(second, &after));
    CHECK(before.ino == after.ino && before.dev == after.dev);
    IS(__wasi_fd_fdstat_get(first, &stat), BADF);
    OK(__wasi_fd_close(second));
    IS(__wasi_fd_close(second), BADF);
}

static void directories_are_not_files(void)
{
    uint8_t bytes[16] = {0};
    size_t done;
    uint64_t position;
    __wasi_fdstat_t stat;
    __wasi_iovec_t in = {.buf = bytes, .buf_len = sizeof bytes};
    __wasi_ciovec_t out = {.buf = bytes, .buf_len = sizeof bytes};
    OK(__wasi_path_create_directory(dir, "sub"));
    __wasi_fd_t fd = opened("sub", DIRECTORY, R(FD_SEEK));
    OK(__wasi_fd_fdstat_get(fd, &stat));
    CHECK(stat.fs_filetype == __WASI_FILETYPE_DIRECTORY);
    CHECK((stat.fs_rights_base & R(FD_SEEK)) == 0);
    IS(__wasi_fd_read(fd, &in, 1, &done), BADF);
    IS(__wasi_fd_pread(fd, &in, 1, 0, &done), BADF);
    IS(__wasi_fd_write(fd, &out, 1, &done), BADF);
    IS(__wasi_fd_pwrite(fd, &out, 1, 0, &done), BADF);
    for (uint8_t whence = 0; whence < 3; whence++) {
        IS(__wasi_fd_seek(fd, 0, whence, &position), BADF);
    }
    IS(__wasi_fd_tell(fd, &position), BADF);
    IS(__wasi_fd_allocate(fd, 0, 1), BADF);
    IS(__wasi_fd_filestat_set_size(fd, 0), BADF);
    OK(__wasi_fd_close(fd));
    fd = opened("file", CREATE, 0);
    __wasi_fd_t inner;
    IS(open_at(fd, "x", CREATE, 0, &inner), NOTDIR);
    IS(__wasi_path_create_directory(fd, "x"), NOTDIR);
    CHECK(isatty((int)fd) == 0);
    OK(__wasi_fd_close(fd));
    OK(__wasi_path_unlink_file(dir, "file"));
    OK(__wasi_path_remove_directory(dir, "sub"));
}

static void renumbering(void)
{
    __wasi_fdstat_t before;
    __wasi_fdstat_t after;
    __wasi_fd_t from = opened("one", CREATE, READ_WRITE);
    __wasi_fd_t to = opened("two", CREATE, R(FD_READ));
    OK(__wasi_fd_fdstat_get(from, &before));
    OK(__wasi_fd_renumber(from, to));
    IS(__wasi_fd_close(from), BADF);
    OK(__wasi_fd_fdstat_get(to, &after));
    CHECK(before.fs_filetype == after.fs_filetype && before.fs_flags == after.fs_flags);
    CHECK(before.fs_rights_base == after.fs_rights_base);
    CHECK(before.fs_rights_inheriting == after.fs_rights_inheriting);
    IS(__wasi_fd_renumber(to, from), BADF);
    IS(__wasi_fd_renumber(from, to), BADF);
    OK(__wasi_fd_renumber(to, to));
    OK(__wasi_fd_close(to));
    OK(__wasi_path_unlink_file(dir, "one"));
    OK(__wasi_path_unlink_file(dir, "two"));
}

static void rights(void)
{
    __wasi_fdstat_t stat;
    uint8_t bytes[4] = {0, 1, 2, 3};
    size_t done;
    __wasi_fd_t fd = opened("file", CREATE, READ_WRITE | R(FD_SEEK) | R(FD_TELL));
    OK(write_bytes(fd, bytes, 4));
    seek_to(fd, 0, __WASI_WHENCE_SET, 0);
    OK(read_bytes(fd, bytes, 4, &done));
    CHECK(done == 4 && bytes[3] == 3);
    OK(__wasi_fd_fdstat_get(fd, &stat));
    OK(__wasi_fd_fdstat_set_rights(fd, stat.fs_rights_base & ~READ_WRITE, 0));
    OK(__wasi_fd_fdstat_get(fd, &stat));
    CHECK((stat.fs_rights_base & READ_WRITE) == 0 && (stat.fs_rights_base & R(FD_SEEK)) != 0);
    IS(read_bytes(fd, bytes, 4, &done), BADF);
    IS(write_bytes(fd, bytes, 4), BADF);
    seek_to(fd, 2, __WASI_WHENCE_SET, 2);
    IS(__wasi_fd_fdstat_set_rights(fd, stat.fs_rights_base | R(FD_READ), 0), NOTCAPABLE);
    IS(__wasi_fd_fdstat_set_rights(fd, stat.fs_rights_base, R(FD_READ)), NOTCAPABLE);
    OK(__wasi_fd_close(fd));
    /* One direction only, from the beginning. */
    fd = opened("file", 0, R(FD_READ));
    OK(__wasi_fd_fdstat_get(fd, &stat));
    CHECK((stat.fs_rights_base & READ_WRITE) == R(FD_READ));
    IS(write_bytes(fd, bytes, 4), BADF);
    OK(__wasi_fd_close(fd));
    fd = opened("file", 0, R(FD_WRITE));
    OK(__wasi_fd_fdstat_get(fd, &stat));
    CHECK((stat.fs_rights_base & READ_WRITE) == R(FD_WRITE));
    IS(read_bytes(fd, bytes, 4, &done), BADF);
    OK(write_bytes(fd, "ab", 2));
    OK(__wasi_fd_close(fd));
    /* Truncating is a right of the directory, and no business of the descriptor's. */
    __wasi_fd_t narrow;
    OK(__wasi_path_open(dir, 0, ".", DIRECTORY, R(PATH_OPEN) | R(PATH_FILESTAT_SET_SIZE), 0, 0,
                        &narrow));
    OK(open_at(narrow, "file", TRUNCATE, 0, &fd));
    OK(__wasi_fd_close(fd));
    IS(open_at(narrow, "file", 0, R(FD_WRITE), &fd), NOTCAPABLE);
    IS(open_at(narrow, "new", CREATE, 0, &fd), NOTCAPABLE);
    OK(__wasi_fd_fdstat_set_rights(narrow, R(PATH_OPEN), 0));
    IS(open_at(narrow, "file", TRUNCATE, 0, &fd), PERM);
    OK(open_at(narrow, "file", 0, 0, &fd));
    OK(__wasi_fd_close(fd));
    OK(__wasi_fd_close(narrow));
    OK(__wasi_path_unlink_file(dir, "file"));
}

/* --- Contents --------------------------------------------------------------------------------- */

static void positions(void)
{
    uint8_t bytes[128] = {0};
    uint64_t position;
    size_t done;
    __wasi_fd_t fd = opened("file", CREATE, READ_WRITE | R(FD_SEEK) | R(FD_TELL));
    OK(__wasi_fd_tell(fd, &position));
    CHECK(position == 0);
    OK(write_bytes(fd, bytes, 100));
    OK(__wasi_fd_tell(fd, &position));
    CHECK(position == 100);
    seek_to(fd, -50, __WASI_WHENCE_CUR, 50);
    seek_to(fd, 0, __WASI_WHENCE_SET, 0);
    seek_to(fd, 1000, __WASI_WHENCE_CUR, 1000);
    IS(__wasi_fd_seek(fd, -2000, __WASI_WHENCE_CUR, &position), INVAL);
    IS(__wasi_fd_seek(fd, INT64_MIN, __WASI_WHENCE_SET, &position), INVAL);
    IS(__wasi_fd_seek(fd, 0, 3, &position), INVAL);
    seek_to(fd, -1, __WASI_WHENCE_END, 99);
    seek_to(fd, 0, __WASI_WHENCE_SET, 0);
    OK(read_bytes(fd, bytes, sizeof bytes, &done));
    CHECK(done == 100);
    OK(__wasi_fd_tell(fd, &position));
    CHECK(position == 100);
    OK(read_bytes(fd, bytes, sizeof bytes, &done));
    CHECK(done == 0);
    OK(__wasi_fd_close(fd));
    OK(__wasi_path_unlink_file(dir, "file"));
}

static void offsets_of_their_own(void)
{
    uint8_t bytes[8] = {0, 1, 2, 3};
    size_t done;
    __wasi_fd_t fd = opened("file", CREATE, READ_WRITE | R(FD_SEEK));
    __wasi_ciovec_t out[2] = {{.buf = bytes, .buf_len = 2}, {.buf = bytes + 2, .buf_len = 2}};
    OK(__wasi_fd_pwrite(fd, out, 2, 0, &done));
    CHECK(done == 4);
    uint8_t got[8] = {0};
    __wasi_iovec_t in[2] = {{.buf = got, .buf_len = 2}, {.buf = got + 2, .buf_len = 6}};
    OK(__wasi_fd_pread(fd, in, 2, 0, &done));
    CHECK(done == 4 && memcmp(got, bytes, 8) == 0);
    OK(__wasi_fd_pread(fd, in, 1, 2, &done));
    CHECK(done == 2 && got[0] == 2 && got[1] == 3);
    OK(__wasi_fd_pwrite(fd, out, 1, 6, &done));
    OK(__wasi_fd_pread(fd, in, 2, 0, &done));
    CHECK(done == 8 && got[4] == 0 && got[5] == 0 && got[7] == 1);
    seek_to(fd, 0, __WASI_WHENCE_CUR, 0); /* none of this moved it */
    OK(__wasi_fd_pread(fd, in, 1, 100, &done));
    CHECK(done == 0);
    IS(__wasi_fd_pread(fd, in, 1, UINT64_MAX, &done), INVAL);
    IS(__wasi_fd_pwrite(fd, out, 1, UINT64_C(1) << 63, &done), INVAL);
    /* Buffers that lie over each other are filled in their order. */
    __wasi_iovec_t over[2] = {{.buf = got, .buf_len = 4}, {.buf = got + 1, .buf_len = 2}};
    OK(__wasi_fd_pread(fd, over, 2, 0, &done));
    CHECK(done == 6 && got[0] == 0 && got[1] == 0 && got[2] == 0 && got[3] == 3);
    OK(__wasi_fd_close(fd));
    OK(__wasi_path_unlink_file(dir, "file"));
}

static void appending(void)
{
    uint8_t bytes[4];
    size_t done;
    uint64_t position;
    __wasi_fd_t fd;
    __wasi_fdstat_t stat;
    OK(__wasi_path_open(dir, 0, "file", CREATE,
                        READ_WRITE | R(FD_SEEK) | R(FD_TELL) | R(FD_FDSTAT_SET_FLAGS) |
                            R(FD_FILESTAT_GET),
                        0, __WASI_FDFLAGS_APPEND | __WASI_FDFLAGS_SYNC, &fd));
    OK(__wasi_fd_fdstat_get(fd, &stat));
    CHECK(stat.fs_flags == (__WASI_FDFLAGS_APPEND | __WASI_FDFLAGS_SYNC));
    OK(write_bytes(fd, "ab", 2));
    seek_to(fd, 0, __WASI_WHENCE_SET, 0);
    OK(write_bytes(fd, "cd", 2));
    OK(__wasi_fd_tell(fd, &position));
    CHECK(position == 4);
    seek_to(fd, 0, __WASI_WHENCE_SET, 0);
    OK(read_bytes(fd, bytes, 4, &done));
    CHECK(done == 4 && memcmp(bytes, "abcd", 4) == 0);
    __wasi_ciovec_t out = {.buf = (const uint8_t *)"ab", .buf_len = 2};
    OK(__wasi_fd_pwrite(fd, &out, 1, 0, &done)); /* in its place, not at the end */
    CHECK(done == 2 && size_of(fd) == 4);
    OK(__wasi_fd_fdstat_set_flags(fd, __WASI_FDFLAGS_SYNC));
    seek_to(fd, 0, __WASI_WHENCE_SET, 0);
    OK(write_bytes(fd, "xy", 2));
    OK(read_bytes(fd, bytes, 4, &done));
    CHECK(done == 2 && memcmp(bytes, "cd", 2) == 0);
    CHECK(size_of(fd) == 4);
    OK(__wasi_fd_close(fd));
    OK(__wasi_path_unlink_file(dir, "file"));
}

static void sizes(void)
{
    uint8_t byte;
    size_t done;
    __wasi_fd_t fd = opened("file", CREATE,
                            READ_WRITE | R(FD_ADVISE) | R(FD_ALLOCATE) | R(FD_FILESTAT_GET) |
                                R(FD_FILESTAT_SET_SIZE));
    CHECK(size_of(fd) == 0);
    OK(__wasi_fd_filestat_set_size(fd, 100));
    CHECK(size_of(fd) == 100);
    OK(__wasi_fd_advise(fd, 10, 50, __WASI_ADVICE_NORMAL));
    IS(__wasi_fd_advise(fd, 10, 50, 6), INVAL);
    CHECK(size_of(fd) == 100);
    __wasi_errno_t error = __wasi_fd_allocate(fd, 100, 100);
    if (error != E(NOTSUP)) { /* not every file system has it */
        OK(error);
        CHECK(size_of(fd) == 200);
        OK(__wasi_fd_allocate(fd, 10, 10));
        CHECK(size_of(fd) == 200);
        OK(__wasi_fd_allocate(fd, 190, 20));
        CHECK(size_of(fd) == 210);
    }
    IS(__wasi_fd_filestat_set_size(fd, UINT64_MAX), INVAL);
    OK(__wasi_fd_filestat_set_size(fd, UINT64_C(5) << 30)); /* a hole: no room is taken */
    CHECK(size_of(fd) == UINT64_C(5) << 30);
    OK(__wasi_fd_close(fd));
    fd = opened("file", CREATE | TRUNCATE, READ_WRITE | R(FD_FILESTAT_GET));
    CHECK(size_of(fd) == 0);
    OK(read_bytes(fd, &byte, 1, &done));
    CHECK(done == 0);
    /* What one descriptor writes another reads at once. */
    __wasi_fd_t other = opened("file", 0, R(FD_WRITE));
    OK(write_bytes(other, "x", 1));
    OK(read_bytes(fd, &byte, 1, &done));
    CHECK(done == 1 && byte == 'x');
    OK(__wasi_fd_close(other));
    OK(__wasi_fd_close(fd));
    OK(__wasi_path_unlink_file(dir, "file"));
}

static void times(void)
{
    __wasi_filestat_t stat;
    __wasi_filestat_t link;
    __wasi_fd_t fd =
        opened("file", CREATE, READ_WRITE | R(FD_FILESTAT_GET) | R(FD_FILESTAT_SET_TIMES));
    OK(__wasi_fd_filestat_get(fd, &stat));
    uint64_t wanted = stat.mtim - 100;
    OK(__wasi_fd_filestat_set_times(fd, wanted, wanted, __WASI_FSTFLAGS_MTIM));
    uint64_t accessed = stat.atim;
    OK(__wasi_fd_filestat_get(fd, &stat));
    CHECK(stat.mtim == wanted && stat.atim == accessed);
    IS(__wasi_fd_filestat_set_times(fd, 1, 2, __WASI_FSTFLAGS_MTIM | __WASI_FSTFLAGS_MTIM_NOW),
       INVAL);
    IS(__wasi_fd_filestat_set_times(fd, 1, 2, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_ATIM_NOW),
       INVAL);
    IS(__wasi_path_filestat_set_times(dir, 0, "file", 1, 2,
                                      __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_ATIM_NOW),
       INVAL);
    OK(__wasi_path_filestat_get(dir, 0, "file", &stat));
    CHECK(stat.mtim == wanted);
    /* A link has times of its own. */
    OK(__wasi_path_symlink("file", dir, "link"));
    OK(__wasi_path_filestat_get(dir, 0, "link", &link));
    OK(__wasi_path_filestat_set_times(dir, 0, "link", 0, link.mtim - 200, __WASI_FSTFLAGS_MTIM));
    OK(__wasi_path_filestat_get(dir, 0, "link", &stat));
    CHECK(stat.mtim == link.mtim - 200);
    OK(__wasi_path_filestat_get(dir, FOLLOW, "link", &stat));
    CHECK(stat.mtim == wanted && stat.filetype == __WASI_FILETYPE_REGULAR_FILE);
    OK(__wasi_path_filestat_set_times(dir, FOLLOW, "link", 0, link.mtim, __WASI_FSTFLAGS_MTIM));
    OK(__wasi_fd_filestat_get(fd, &stat));
    CHECK(stat.mtim == link.mtim);
    OK(__wasi_fd_close(fd));
    OK(__wasi_path_unlink_file(dir, "link"));
    OK(__wasi_path_unlink_file(dir, "file"));
}

/* --- Names ------------------------------------------------------------------------------------ */

static void paths(void)
{
    OK(__wasi_path_create_directory(dir, "a"));
    OK(__wasi_path_create_directory(dir, "a/b"));
    make_file("a/b/file");
    IS(refused("/a/b/file", 0, 0), PERM);
    OK(__wasi_fd_close(opened("a/.//b/../../a/b/../b///./file", 0, 0)));
    IS(refused("a/b/file/", 0, 0), NOTDIR);
    IS(refused("a/b/file///", 0, 0), NOTDIR);
    IS(refused("a/b/file/.", 0, 0), NOTDIR);
    OK(__wasi_fd_close(opened("a/b/", 0, 0)));
    OK(__wasi_fd_close(opened("a/b///", 0, 0)));
    IS(refused("a/b/../../../", 0, 0), PERM);
    IS(refused("a/b/../../../paths/a/b/file", 0, 0), PERM);
    IS(refused("..", 0, 0), PERM);
    IS(refused("", 0, 0), NOENT);
    IS(refused("missing", 0, 0), NOENT);
    IS(refused("missing/", CREATE, 0), ISDIR);
    IS(refused("missing", CREATE | DIRECTORY, 0), INVAL);
    IS(refused("a", CREATE | DIRECTORY, 0), INVAL);
    IS(refused("a/b/file", CREATE | EXCLUSIVE, 0), EXIST);
    IS(refused("a/b/file", DIRECTORY, 0), NOTDIR);
    IS(__wasi_path_create_directory(dir, "a"), EXIST);
    IS(__wasi_path_create_directory(dir, "missing/x"), NOENT);
    CHECK(type_of("a", 0) == __WASI_FILETYPE_DIRECTORY);
    CHECK(type_of("a/b/file", FOLLOW) == __WASI_FILETYPE_REGULAR_FILE);
    IS(__wasi_path_remove_directory(dir, "a"), NOTEMPTY);
    OK(__wasi_path_unlink_file(dir, "a/b/file"));
    OK(__wasi_path_remove_directory(dir, "a/b"));
    OK(__wasi_path_remove_directory(dir, "a"));
}

static void removing(void)
{
    make_file("file");
    OK(__wasi_path_create_directory(dir, "sub"));
    IS(__wasi_path_unlink_file(dir, "sub"), ISDIR);
    IS(__wasi_path_unlink_file(dir, "sub/"), ISDIR);
    IS(__wasi_path_unlink_file(dir, "file/"), NOTDIR);
    IS(__wasi_path_remove_directory(dir, "file"), NOTDIR);
    IS(__wasi_path_remove_directory(dir, "file/"), NOTDIR);
    IS(__wasi_path_remove_directory(dir, "missing"), NOENT);
    OK(__wasi_path_remove_directory(dir, "sub/"));
    /* A name may be used again while its last owner is open. */
    __wasi_fd_t fd = opened("file", 0, R(FD_READ));
    OK(__wasi_path_unlink_file(dir, "file"));
    make_file("file");
    OK(__wasi_fd_close(fd));
    OK(__wasi_path_unlink_file(dir, "file"));
    OK(__wasi_path_create_directory(dir, "sub"));
    fd = opened("sub", DIRECTORY, R(PATH_OPEN) | R(PATH_CREATE_FILE));
    OK(__wasi_path_remove_directory(dir, "sub"));
    __wasi_fd_t inner;
    IS(open_at(fd, "x", CREATE, 0, &inner), NOENT);
    OK(__wasi_path_create_directory(dir, "sub"));
    OK(__wasi_fd_close(fd));
    OK(__wasi_path_remove_directory(dir, "sub"));
}

static void renaming(void)
{
    OK(__wasi_path_create_directory(dir, "from"));
    OK(__wasi_path_rename(dir, "from", dir, "to"));
    IS(refused("from", DIRECTORY, 0), NOENT);
    OK(__wasi_fd_close(opened("to", DIRECTORY, 0)));
    OK(__wasi_path_rename(dir, "to/", dir, "from"));
    OK(__wasi_path_rename(dir, "from", dir, "to/"));
    OK(__wasi_path_rename(dir, "to/", dir, "from/"));
    OK(__wasi_path_create_directory(dir, "to"));
    OK(__wasi_path_rename(dir, "from", dir, "to")); /* over an empty one */
    OK(__wasi_path_create_directory(dir, "from"));
    make_file("to/file");
    IS(__wasi_path_rename(dir, "from", dir, "to"), NOTEMPTY);
    IS(__wasi_path_rename(dir, "from", dir, "to/file"), NOTDIR);
    IS(__wasi_path_rename(dir, "to/file", dir, "from"), ISDIR);
    IS(__wasi_path_rename(dir, "to", dir, "to/inner"), INVAL);
    IS(__wasi_path_rename(dir, "to/file/", dir, "file"), NOTDIR);
    IS(__wasi_path_rename(dir, "missing", dir, "file"), NOENT);
    IS(__wasi_path_rename(dir, "to", dir, "../stolen"), PERM);
    OK(__wasi_path_rename(dir, "to/file", dir, "file"));
    IS(refused("to/file", 0, 0), NOENT);
    make_file("other");
    OK(__wasi_path_rename(dir, "file", dir, "other"));
    IS(refused("file", 0, 0), NOENT);
    OK(__wasi_path_unlink_file(dir, "other"));
    OK(__wasi_path_remove_directory(dir, "from"));
    OK(__wasi_path_remove_directory(dir, "to"));
}

static void links(void)
{
    const __wasi_rights_t wanted = R(FD_READ) | R(FD_FILESTAT_GET);
    __wasi_filestat_t one;
    __wasi_filestat_t two;
    __wasi_fdstat_t one_fd;
    __wasi_fdstat_t two_fd;
    __wasi_fd_t fd = opened("file", CREATE, wanted);
    OK(__wasi_path_create_directory(dir, "sub"));
    OK(__wasi_path_link(dir, 0, "file", dir, "sub/link"));
    __wasi_fd_t link = opened("sub/link", 0, wanted);
    OK(__wasi_fd_filestat_get(fd, &one));
    OK(__wasi_fd_filestat_get(link, &two));
    CHECK(one.dev == two.dev && one.ino == two.ino && one.size == two.size);
    CHECK(one.nlink == 2 && two.nlink == 2 && one.filetype == two.filetype);
    OK(__wasi_fd_fdstat_get(fd, &one_fd));
    OK(__wasi_fd_fdstat_get(link, &two_fd));
    CHECK(one_fd.fs_rights_base == two_fd.fs_rights_base && one_fd.fs_flags == two_fd.fs_flags);
    OK(__wasi_fd_close(link));
    OK(__wasi_fd_close(fd));
    IS(__wasi_path_link(dir, 0, "file", dir, "sub/link"), EXIST);
    IS(__wasi_path_link(dir, 0, "file", dir, "file"), EXIST);
    IS(__wasi_path_link(dir, 0, "file", dir, "sub"), EXIST);
    IS(__wasi_path_link(dir, 0, "sub", dir, "other"), PERM);
    IS(__wasi_path_link(dir, 0, "file", dir, "other/"), NOENT);
    IS(__wasi_path_link(dir, 0, "file/", dir, "other"), NOTDIR);
    IS(__wasi_path_link(dir, FOLLOW, "file", dir, "other"), INVAL);
    OK(__wasi_path_unlink_file(dir, "sub/link"));
    /* Of a link that names nothing, or itself: the link is what is linked. */
    static const char *const targets[] = {"missing", "symlink"};
    for (int i = 0; i < 2; i++) {
        OK(__wasi_path_symlink(targets[i], dir, "symlink"));
        OK(__wasi_path_link(dir, 0, "symlink", dir, "other"));
        CHECK(type_of("other", 0) == __WASI_FILETYPE_SYMBOLIC_LINK);
        IS(__wasi_path_link(dir, 0, "file", dir, "symlink"), EXIST);
        OK(__wasi_path_unlink_file(dir, "symlink"));
        OK(__wasi_path_unlink_file(dir, "other"));
    }
    OK(__wasi_path_remove_directory(dir, "sub"));
    OK(__wasi_path_unlink_file(dir, "file"));
}

static void symbolic_links(void)
{
    uint8_t text[10] = {0};
    size_t done;
    __wasi_filestat_t stat;
    __wasi_fd_t fd;
    OK(__wasi_path_symlink("target", dir, "link"));
    OK(__wasi_path_readlink(dir, "link", text, sizeof text, &done));
    CHECK(done == 6 && memcmp(text, "target\0\0\0\0", 10) == 0);
    OK(__wasi_path_readlink(dir, "link", text, 4, &done));
    CHECK(done == 4);
    /* It names nothing yet. */
    IS(refused("link", 0, 0), LOOP);
    IS(refused("link", DIRECTORY, 0), NOTDIR);
    IS(__wasi_path_open(dir, FOLLOW, "link", 0, 0, 0, 0, &fd), NOENT);
    IS(refused("link", CREATE | EXCLUSIVE, 0), EXIST);
    IS(__wasi_path_filestat_get(dir, FOLLOW, "link", &stat), NOENT);
    CHECK(type_of("link", 0) == __WASI_FILETYPE_SYMBOLIC_LINK);
    /* A directory. */
    OK(__wasi_path_create_directory(dir, "target"));
    IS(refused("link", 0, 0), LOOP);
    IS(refused("link", DIRECTORY, 0), NOTDIR);
    OK(__wasi_path_open(dir, FOLLOW, "link", DIRECTORY, 0, 0, 0, &fd));
    OK(__wasi_fd_close(fd));
    CHECK(type_of("link", FOLLOW) == __WASI_FILETYPE_DIRECTORY);
    IS(__wasi_path_remove_directory(dir, "link"), NOTDIR);
    OK(__wasi_path_remove_directory(dir, "target"));
    /* A file. */
    make_file("target");
    IS(refused("link", 0, 0), LOOP);
    IS(__wasi_path_open(dir, FOLLOW, "link", DIRECTORY, 0, 0, 0, &fd), NOTDIR);
    OK(__wasi_path_open(dir, FOLLOW, "link", 0, 0, 0, 0, &fd));
    OK(__wasi_fd_close(fd));
    OK(__wasi_path_unlink_file(dir, "link"));
    IS(__wasi_path_readlink(dir, "target", text, sizeof text, &done), INVAL);
    IS(__wasi_path_symlink("x", dir, "target"), EXIST);
    IS(__wasi_path_symlink("x", dir, "target/"), NOTDIR);
    OK(__wasi_path_unlink_file(dir, "target"));
    IS(__wasi_path_symlink("x", dir, "target/"), NOENT);
    OK(__wasi_path_create_directory(dir, "target"));
    IS(__wasi_path_symlink("x", dir, "target/"), EXIST);
    OK(__wasi_path_remove_directory(dir, "target"));
    /* Itself, and what it must never name. */
    OK(__wasi_path_symlink("link", dir, "link"));
    IS(refused("link", 0, 0), LOOP);
    IS(__wasi_path_open(dir, FOLLOW, "link", 0, 0, 0, 0, &fd), LOOP);
    OK(__wasi_path_unlink_file(dir, "link"));
    IS(__wasi_path_symlink("/", dir, "link"), PERM);
    OK(__wasi_path_symlink("../../..", dir, "link"));
    IS(__wasi_path_open(dir, FOLLOW, "link", DIRECTORY, 0, 0, 0, &fd), PERM);
    IS(__wasi_path_filestat_get(dir, 0, "link/x", &stat), PERM);
    OK(__wasi_path_unlink_file(dir, "link"));
}

/* --- Listing ---------------------------------------------------------------------------------- */

struct entry {
    __wasi_dirent_t head;
    char name[32];
};

/* Up to `max` whole entries behind a cookie, through a small buffer; whether it was the end. */
static bool list(__wasi_fd_t fd, uint64_t cookie, struct entry *entries, size_t max, size_t *count)
{
    uint8_t buffer[256];
    size_t used = 0;
    size_t at = 0;
    OK(__wasi_fd_readdir(fd, buffer, sizeof buffer, cookie, &used));
    CHECK(used <= sizeof buffer);
    *count = 0;
    while (used - at >= sizeof entries->head && *count < max) {
        struct entry *entry = &entries[*count];
        memcpy(&entry->head, buffer + at, sizeof entry->head);
        at += sizeof entry->head;
        if (used - at < entry->head.d_namlen) {
            break;
        }
        CHECK(entry->head.d_namlen < sizeof entry->name);
        memcpy(entry->name, buffer + at, entry->head.d_namlen);
        entry->name[entry->head.d_namlen] = '\0';
        at += entry->head.d_namlen;
        ++*count;
    }
    return used < sizeof buffer;
}

static void listing(void)
{
    struct entry entries[16];
    __wasi_filestat_t stat;
    size_t count;
    __wasi_fd_t fd = opened(".", DIRECTORY, R(FD_READDIR) | R(FD_FILESTAT_GET));
    OK(__wasi_fd_filestat_get(fd, &stat));
    CHECK(list(fd, 0, entries, 16, &count) && count == 2);
    CHECK(strcmp(entries[0].name, ".") == 0 && entries[0].head.d_ino == stat.ino);
    CHECK(strcmp(entries[1].name, "..") == 0);
    CHECK(entries[0].head.d_type == __WASI_FILETYPE_DIRECTORY);
    CHECK(entries[1].head.d_type == __WASI_FILETYPE_DIRECTORY);
    make_file("file");
    OK(__wasi_path_filestat_get(dir, 0, "file", &stat));
    CHECK(list(fd, 0, entries, 16, &count) && count == 3);
    CHECK(strcmp(entries[2].name, "file") == 0 && entries[2].head.d_ino == stat.ino);
    CHECK(entries[2].head.d_type == __WASI_FILETYPE_REGULAR_FILE);
    CHECK(list(fd, entries[1].head.d_next, entries, 16, &count) && count == 1);
    CHECK(strcmp(entries[0].name, "file") == 0);
    OK(__wasi_path_unlink_file(dir, "file"));
    char name[16];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "file.%d", i);
        make_file(name);
    }
    size_t total = 0;
    uint64_t cookie = 0;
    bool is_end = false;
    while (!is_end) {
        is_end = list(fd, cookie, entries, 16, &count);
        total += count;
        cookie = count > 0 ? entries[count - 1].head.d_next : cookie;
    }
    CHECK(total == 302);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "file.%d", i);
        OK(__wasi_path_unlink_file(dir, name));
    }
    OK(__wasi_fd_close(fd));
}

/* --- The rest --------------------------------------------------------------------------------- */

static __wasi_subscription_t clock_of(uint64_t userdata, __wasi_clockid_t id, uint64_t timeout_ns,
                                      uint16_t flags)
{
    __wasi_subscription_t subscription = {.userdata = userdata};
    subscription.u.tag = __WASI_EVENTTYPE_CLOCK;
    subscription.u.u.clock =
        (__wasi_subscription_clock_t){.id = id, .timeout = timeout_ns, .flags = flags};
    return subscription;
}

static __wasi_subscription_t stream_of(uint64_t userdata, uint8_t tag, __wasi_fd_t fd)
{
    __wasi_subscription_t subscription = {.userdata = userdata};
    subscription.u.tag = tag;
    subscription.u.u.fd_read.file_descriptor = fd;
    return subscription;
}

static void polling(void)
{
    const uint16_t absolute = __WASI_SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME;
    __wasi_event_t events[4];
    __wasi_timestamp_t now;
    __wasi_timestamp_t later;
    size_t count = 0;
    __wasi_subscription_t wanted[4] = {clock_of(1, __WASI_CLOCKID_MONOTONIC, 2000000, 0)};
    OK(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 0, &now));
    OK(__wasi_poll_oneoff(wanted, events, 1, &count));
    CHECK(count == 1 && events[0].userdata == 1 && events[0].error == 0);
    CHECK(events[0].type == __WASI_EVENTTYPE_CLOCK);
    OK(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &later));
    CHECK(later - now >= 2000000);
    OK(__wasi_clock_time_get(__WASI_CLOCKID_REALTIME, 0, &now));
    wanted[0] = clock_of(2, __WASI_CLOCKID_REALTIME, now + 2000000, absolute);
    wanted[1] = clock_of(3, __WASI_CLOCKID_MONOTONIC, UINT64_MAX, absolute);
    OK(__wasi_poll_oneoff(wanted, events, 2, &count));
    CHECK(count == 1 && events[0].userdata == 2);
    OK(__wasi_clock_time_get(__WASI_CLOCKID_REALTIME, 0, &later));
    CHECK(later >= now + 2000000);
    /* Output takes what comes; a file is always ready; nonsense is an event. */
    make_file("file");
    __wasi_fd_t fd = opened("file", 0, READ_WRITE); /* no right to poll is needed */
    OK(write_bytes(fd, "text", 4));
    wanted[0] = stream_of(4, __WASI_EVENTTYPE_FD_WRITE, 1);
    wanted[1] = stream_of(5, __WASI_EVENTTYPE_FD_READ, fd);
    wanted[2] = stream_of(6, __WASI_EVENTTYPE_FD_WRITE, fd);
    wanted[3] = stream_of(7, __WASI_EVENTTYPE_FD_READ, 99);
    OK(__wasi_poll_oneoff(wanted, events, 4, &count));
    CHECK(count == 4);
    for (size_t i = 0; i < 4; i++) {
        CHECK(events[i].userdata == 4 + i && events[i].error == (i == 3 ? E(BADF) : 0));
    }
    IS(__wasi_poll_oneoff(wanted, events, 0, &count), INVAL);
    OK(__wasi_fd_close(fd));
    OK(__wasi_path_unlink_file(dir, "file"));
}

static void system_calls(void)
{
    __wasi_timestamp_t time;
    uint64_t position;
    static uint8_t random[65536];
    for (__wasi_clockid_t clock = __WASI_CLOCKID_REALTIME;
         clock <= __WASI_CLOCKID_THREAD_CPUTIME_ID; clock++) {
        OK(__wasi_clock_res_get(clock, &time));
        CHECK(time > 0);
        OK(__wasi_clock_time_get(clock, 1000, &time));
    }
    IS(__wasi_clock_res_get(4, &time), INVAL);
    IS(__wasi_clock_time_get(4, 0, &time), INVAL);
    OK(__wasi_random_get(random, 0));
    OK(__wasi_random_get(random, sizeof random));
    size_t zeros = 0;
    for (size_t i = 0; i < sizeof random; i++) {
        zeros += random[i] == 0;
    }
    CHECK(zeros < 1024); /* 256 are to be expected */
    OK(__wasi_sched_yield());
    for (__wasi_fd_t fd = 0; fd < 3; fd++) {
        IS(__wasi_fd_seek(fd, 0, __WASI_WHENCE_CUR, &position), SPIPE);
        IS(__wasi_fd_tell(fd, &position), SPIPE);
        IS(__wasi_sock_shutdown(fd, __WASI_SDFLAGS_RD), NOTSOCK);
    }
    IS(__wasi_sock_shutdown(99, __WASI_SDFLAGS_RD), BADF);
    IS(write_bytes(0, "x", 1), BADF);
    IS(write_bytes(99, "x", 1), BADF);
}

/* Last: the standard streams are not what they were behind it. */
static void streams_move(void)
{
    __wasi_fdstat_t stat;
    for (__wasi_fd_t stream = 0; stream < 3; stream += 2) {
        __wasi_fd_t fd = opened("file", CREATE, 0);
        OK(__wasi_fd_renumber(stream, fd));
        OK(__wasi_fd_fdstat_get(fd, &stat));
        IS(__wasi_fd_fdstat_get(stream, &stat), BADF);
        OK(__wasi_fd_close(fd));
        OK(__wasi_path_unlink_file(dir, "file"));
    }
    CHECK(opened(".", DIRECTORY, 0) > 2); /* their numbers are not given out */
}

/* The rights of a directory that somebody uses beneath the root. */
static const __wasi_rights_t dir_rights =
    R(FD_FILESTAT_GET) | R(FD_READDIR) | R(PATH_CREATE_FILE) | R(PATH_CREATE_DIRECTORY) |
    R(PATH_REMOVE_DIRECTORY) | R(PATH_OPEN) | R(PATH_UNLINK_FILE) | R(PATH_LINK_SOURCE) |
    R(PATH_LINK_TARGET) | R(PATH_READLINK) | R(PATH_RENAME_SOURCE) | R(PATH_RENAME_TARGET) |
    R(PATH_FILESTAT_GET) | R(PATH_FILESTAT_SET_SIZE) | R(PATH_FILESTAT_SET_TIMES) | R(PATH_SYMLINK);

static const struct {
    const char *name;
    void (*run)(void);
} parts[] = {
    {"preopens", preopens},
    {"directories are not files", directories_are_not_files},
    {"renumbering", renumbering},
    {"rights", rights},
    {"positions", positions},
    {"offsets of their own", offsets_of_their_own},
    {"appending", appending},
    {"sizes", sizes},
    {"times", times},
    {"paths", paths},
    {"removing", removing},
    {"renaming", renaming},
    {"links", links},
    {"symbolic links", symbolic_links},
    {"listing", listing},
    {"polling", polling},
    {"system calls", system_calls},
    {"streams move", streams_move},
};

int main(void)
{
    root = 3;
    __wasi_fdstat_t stat;
    OK(__wasi_fd_fdstat_get(root, &stat));
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        OK(__wasi_path_create_directory(root, parts[i].name));
        OK(__wasi_path_open(root, 0, parts[i].name, DIRECTORY, dir_rights,
                            stat.fs_rights_inheriting, 0, &dir));
        parts[i].run();
        OK(__wasi_path_remove_directory(root, parts[i].name));
        OK(__wasi_fd_close(dir));
        printf("OK %s\n", parts[i].name);
    }
    puts("OK all");
    return 0;
}
