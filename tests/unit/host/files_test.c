/* The real files without WASI over them: a kernel that cannot confine, streams of the deterministic
 * form, names that the system holds back, sizes of directories. Paths are tested through WASI, in
 * wasm/wasi_path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "host/files.h"

struct fixture {
    char path[64];
    struct pd_files *files;
    struct pd_file *dir;
    struct pd_host host;
};

static uint64_t wall_ns(struct pd_host *host)
{
    (void)host;
    return 12345;
}

static const struct pd_host_ops host_ops = {.wall_ns = wall_ns};

static void open_fixture(struct fixture *f, bool is_deterministic)
{
    *f = (struct fixture){.host = {.ops = &host_ops, .is_deterministic = is_deterministic}};
    snprintf(f->path, sizeof f->path, "/tmp/pando-files-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    assert_int_equal(is_deterministic ? pd_files_create_deterministic(&f->host, &f->files)
                                      : pd_files_create(&f->files),
                     PD_OK);
    assert_int_equal(f->files->ops->directory_open(f->files, f->path, &f->dir, NULL, 0), PD_OK);
}

static void close_fixture(struct fixture *f)
{
    f->files->ops->release(f->files, f->dir);
    pd_files_destroy(f->files);
    assert_int_equal(rmdir(f->path), 0);
}

/* In a process of its own: openat2 answers `os_errno` there. */
static void assert_unsupported(int os_errno)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)os_errno),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = 4, .filter = program};
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct pd_files *files = NULL;
        struct pd_file *dir = NULL;
        char why[256] = "";
        bool is_right = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0 &&
                        pd_files_create(&files) == PD_OK &&
                        files->ops->directory_open(files, "/tmp", &dir, why, sizeof why) ==
                            PD_ERR_UNSUPPORTED &&
                        strstr(why, "/tmp") != NULL && strstr(why, "openat2") != NULL;
        _exit(is_right ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_kernel_that_cannot_confine_gets_no_directory(void **state)
{
    (void)state;
    assert_unsupported(ENOSYS);
    assert_unsupported(EPERM); /* a filter that does not know the call */
}

static void out_of_memory_leaves_nothing_open(void **state)
{
    (void)state;
    struct pd_files *files = NULL;
    struct pd_file *dir = NULL;
    struct pd_host host = {.ops = &host_ops};
    pd_alloc_fail_nth(1);
    assert_int_equal(pd_files_create(&files), PD_ERR_NO_MEMORY);
    pd_alloc_fail_nth(2);
    assert_int_equal(pd_files_create_deterministic(&host, &files), PD_ERR_NO_MEMORY);
    assert_int_equal(pd_files_create(&files), PD_OK);
    int next = dup(0);
    close(next);
    pd_alloc_fail_nth(1);
    assert_int_equal(files->ops->directory_open(files, "/tmp", &dir, NULL, 0), PD_ERR_NO_MEMORY);
    pd_alloc_fail_nth(1);
    assert_null(files->ops->cancel_create(files));
    assert_int_equal(dup(0), next); /* the lowest free descriptor is the same as before */
    close(next);
    pd_files_destroy(files);
    pd_files_destroy(NULL);
}

static void open_files_have_a_bound(void **state)
{
    bool is_deterministic = *state != NULL;
    struct fixture f;
    open_fixture(&f, is_deterministic);
    const struct pd_files_ops *ops = f.files->ops;
    const uint32_t flags = PD_FILE_OPEN_CREATE | PD_FILE_OPEN_READ | PD_FILE_OPEN_WRITE;
    struct pd_file *open[3] = {NULL};
    struct pd_file *more = NULL;
    struct pd_file_stat stat;
    char why[256] = "";
    uint16_t port = 0;
    pd_files_set_max(f.files, 4); /* with the directory of the test */
    assert_int_equal(ops->open_at(f.files, f.dir, "missing", PD_FILE_OPEN_READ, &more),
                     PD_FILE_NOENT);
    for (int i = 0; i < 3; i++) { /* what failed took no place */
        assert_int_equal(ops->open_at(f.files, f.dir, "a", flags, &open[i]), PD_FILE_OK);
    }
    assert_int_equal(ops->open_at(f.files, f.dir, "b", flags, &more), PD_FILE_NFILE);
    assert_int_equal(ops->stat_at(f.files, f.dir, "b", true, &stat), PD_FILE_NOENT);
    assert_int_equal(ops->directory_open(f.files, "/tmp", &more, why, sizeof why), PD_ERR_IO);
    assert_non_null(strstr(why, "Too many open files"));
    assert_int_equal(ops->listen(f.files, "127.0.0.1:0", &more, &port, why, sizeof why), PD_ERR_IO);
    assert_non_null(strstr(why, "Too many open files"));

    ops->retain(f.files, open[0]); /* a second reference is no second file */
    ops->release(f.files, open[0]);
    assert_int_equal(ops->open_at(f.files, f.dir, "b", flags, &more), PD_FILE_NFILE);
    ops->release(f.files, open[0]);
    pd_alloc_fail_nth(1);
    assert_int_equal(ops->open_at(f.files, f.dir, "a", flags, &more), PD_FILE_NOMEM);
    assert_int_equal(ops->open_at(f.files, f.dir, "a", flags, &open[0]), PD_FILE_OK);
    for (int i = 0; i < 3; i++) {
        ops->release(f.files, open[i]);
    }
    assert_int_equal(ops->unlink_at(f.files, f.dir, "a"), PD_FILE_OK);
    close_fixture(&f);
}

static void strange_files_have_types(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, false);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", f.path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    struct pd_file_stat stat;
    const struct pd_files_ops *ops = f.files->ops;
    assert_int_equal(ops->stat_at(f.files, f.dir, "socket", true, &stat), PD_FILE_OK);
    assert_int_equal(stat.type, PD_FILE_TYPE_SOCKET_STREAM);
    struct pd_file *file = NULL;
    assert_int_equal(ops->open_at(f.files, f.dir, "socket", PD_FILE_OPEN_READ, &file),
                     PD_FILE_NXIO);
    /* Times before 1970 are pinned to it. */
    struct timespec times[2] = {{.tv_sec = -5}, {.tv_sec = 5, .tv_nsec = 6}};
    assert_int_equal(utimensat(AT_FDCWD, address.sun_path, times, 0), 0);
    assert_int_equal(ops->stat_at(f.files, f.dir, "socket", true, &stat), PD_FILE_OK);
    assert_int_equal(stat.accessed_ns, 0);
    assert_int_equal(stat.modified_ns, 5000000006);
    assert_int_equal(ops->unlink_at(f.files, f.dir, "socket"), PD_FILE_OK);
    close(listener);
    close_fixture(&f);
}

static void standard_streams_are_borrowed(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, false);
    const struct pd_files_ops *ops = f.files->ops;
    struct pd_file *input = ops->standard(f.files, 0);
    uint64_t position;
    ops->release(f.files, input);
    ops->release(f.files, input);
    assert_true(fcntl(0, F_GETFD) >= 0);
    assert_int_equal(ops->seek(f.files, input, 0, PD_FILE_FROM_START, &position), PD_FILE_SPIPE);
    assert_int_equal(ops->set_append(f.files, input, true), PD_FILE_NOTSUP);
    close_fixture(&f);
}

static void deterministic_streams_are_always_ready(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, true);
    const struct pd_files_ops *ops = f.files->ops;
    char path[128];
    snprintf(path, sizeof path, "%s/pipe", f.path);
    assert_int_equal(mkfifo(path, 0666), 0);
    struct pd_file *pipe = NULL;
    struct pd_file *plain = NULL;
    assert_int_equal(ops->open_at(f.files, f.dir, "pipe", PD_FILE_OPEN_READ, &pipe), PD_FILE_OK);
    assert_int_equal(ops->open_at(f.files, f.dir, "file",
                                  PD_FILE_OPEN_READ | PD_FILE_OPEN_WRITE | PD_FILE_OPEN_CREATE,
                                  &plain),
                     PD_FILE_OK);
    uint8_t text[] = "four";
    struct pd_file_io io = {.bytes = text, .size = 4, .offset = 0};
    assert_int_equal(ops->write(f.files, plain, &io), PD_FILE_OK);
    struct pd_file_poll items[2] = {{.file = pipe}, {.file = plain}};
    assert_int_equal(ops->poll(f.files, items, 2, PD_TIME_NEVER, NULL), PD_FILE_OK);
    assert_true(items[0].is_ready && items[1].is_ready);
    assert_int_equal(items[0].available, 1);
    assert_int_equal(items[1].available, 4);
    /* A read that would not wait elsewhere waits here: the answer may not depend on when it is
     * asked. */
    int other = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(other >= 0);
    assert_int_equal(write(other, "x", 1), 1);
    uint8_t byte = 0;
    io = (struct pd_file_io){
        .bytes = &byte, .size = 1, .offset = PD_FILE_POSITION, .is_nonblocking = true};
    assert_int_equal(ops->read(f.files, pipe, &io), PD_FILE_OK);
    assert_int_equal(io.done, 1);
    close(other);
    struct pd_file_stat stat;
    assert_int_equal(ops->set_size(f.files, plain, 2), PD_FILE_OK);
    assert_int_equal(ops->allocate(f.files, plain, 0, 10), PD_FILE_OK);
    assert_int_equal(ops->stat(f.files, plain, &stat), PD_FILE_OK);
    assert_int_equal(stat.device, 1);
    assert_int_equal(stat.size, 10);
    assert_int_equal(stat.modified_ns, 12345);
    struct pd_file_times times = {.flags = PD_FILE_TIME_ACCESSED_NOW | PD_FILE_TIME_MODIFIED,
                                  .modified_ns = 99};
    assert_int_equal(ops->set_times(f.files, plain, &times), PD_FILE_OK);
    assert_int_equal(ops->stat(f.files, plain, &stat), PD_FILE_OK);
    assert_int_equal(stat.modified_ns, 99);
    assert_int_equal(stat.accessed_ns, 12345);
    ops->release(f.files, pipe);
    ops->release(f.files, plain);
    assert_int_equal(ops->symlink_at(f.files, "file", f.dir, "link"), PD_FILE_OK);
    assert_int_equal(ops->stat_at(f.files, f.dir, "link", false, &stat), PD_FILE_OK);
    assert_int_equal(stat.modified_ns, 12345);
    assert_int_equal(ops->unlink_at(f.files, f.dir, "link"), PD_FILE_OK);
    assert_int_equal(ops->unlink_at(f.files, f.dir, "pipe"), PD_FILE_OK);
    assert_int_equal(ops->unlink_at(f.files, f.dir, "file"), PD_FILE_OK);
    close_fixture(&f);
}

/* More files than one growth of the table of virtual numbers; numbers of the removed are not given
 * again. */
static void virtual_numbers_are_never_reused(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, true);
    const struct pd_files_ops *ops = f.files->ops;
    uint64_t last = 0;
    for (int round = 0; round < 3; round++) {
        char name[32];
        struct pd_file_stat stat;
        for (int i = 0; i < 200; i++) {
            snprintf(name, sizeof name, "d%d", i);
            assert_int_equal(ops->make_directory_at(f.files, f.dir, name), PD_FILE_OK);
            assert_int_equal(ops->stat_at(f.files, f.dir, name, false, &stat), PD_FILE_OK);
            assert_true(stat.inode > last);
            last = stat.inode;
        }
        struct pd_file_listing listing;
        assert_int_equal(ops->list(f.files, f.dir, &listing), PD_FILE_OK);
        assert_int_equal(listing.entry_count, 202);
        ops->listing_deinit(f.files, &listing);
        for (int i = 0; i < 200; i++) {
            snprintf(name, sizeof name, "d%d", i);
            assert_int_equal(ops->remove_directory_at(f.files, f.dir, name), PD_FILE_OK);
        }
    }
    close_fixture(&f);
}

static void a_wait_is_ended_by_its_cancel(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, false);
    const struct pd_files_ops *ops = f.files->ops;
    char path[128];
    snprintf(path, sizeof path, "%s/pipe", f.path);
    assert_int_equal(mkfifo(path, 0666), 0);
    int keep = open(path, O_RDWR | O_CLOEXEC); /* so that the reader sees no end */
    assert_true(keep >= 0);
    struct pd_file *pipe = NULL;
    assert_int_equal(ops->open_at(f.files, f.dir, "pipe", PD_FILE_OPEN_READ, &pipe), PD_FILE_OK);
    struct pd_file_cancel *cancel = ops->cancel_create(f.files);
    assert_non_null(cancel);
    ops->cancel_signal(f.files, cancel);
    uint8_t byte;
    struct pd_file_io io = {
        .bytes = &byte, .size = 1, .offset = PD_FILE_POSITION, .cancel = cancel};
    assert_int_equal(ops->read(f.files, pipe, &io), PD_FILE_CANCELED);
    struct pd_file_poll item = {.file = pipe};
    assert_int_equal(ops->poll(f.files, &item, 1, PD_TIME_NEVER, cancel), PD_FILE_CANCELED);
    ops->cancel_release(f.files, cancel);
    ops->cancel_release(f.files, cancel);
    assert_int_equal(ops->poll(f.files, &item, 1, 1000000, NULL), PD_FILE_OK);
    assert_false(item.is_ready);
    ops->release(f.files, pipe);
    close(keep);
    assert_int_equal(unlink(path), 0);
    close_fixture(&f);
}

static bool deterministic = true;

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kernel_that_cannot_confine_gets_no_directory),
        cmocka_unit_test(out_of_memory_leaves_nothing_open),
        cmocka_unit_test(open_files_have_a_bound),
        cmocka_unit_test_prestate(open_files_have_a_bound, &deterministic),
        cmocka_unit_test(strange_files_have_types),
        cmocka_unit_test(standard_streams_are_borrowed),
        cmocka_unit_test(deterministic_streams_are_always_ready),
        cmocka_unit_test(virtual_numbers_are_never_reused),
        cmocka_unit_test(a_wait_is_ended_by_its_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
