/* wasi_files - files and directories through wasi-libc, in the preopen "/". Prints "OK name" for
 * each part, and ends with 1 at the first that fails. Leaves the directory as it was. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("FAILED line %d: %s (errno %d: %s)\n", __LINE__, #condition, errno,             \
                   strerror(errno));                                                               \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define FAILS_WITH(call, code) CHECK((call) == -1 && errno == (code))

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    CHECK(fputs(text, file) >= 0);
    CHECK(fclose(file) == 0);
}

static void check_file(const char *path, const char *text)
{
    char got[256] = "";
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    CHECK(fread(got, 1, sizeof got - 1, file) == strlen(text));
    CHECK(strcmp(got, text) == 0);
    CHECK(fclose(file) == 0);
}

static void streams(void)
{
    write_file("/w/text", "one\ntwo\nthree\n");
    check_file("/w/text", "one\ntwo\nthree\n");
    FILE *file = fopen("/w/text", "a+");
    CHECK(file != NULL && fputs("four\n", file) >= 0);
    CHECK(fseek(file, 4, SEEK_SET) == 0);
    char line[16];
    CHECK(fgets(line, sizeof line, file) != NULL && strcmp(line, "two\n") == 0);
    CHECK(ftell(file) == 8);
    CHECK(fclose(file) == 0);
    check_file("/w/text", "one\ntwo\nthree\nfour\n");
    CHECK(fopen("/w/missing", "r") == NULL && errno == ENOENT);
    puts("OK streams");
}

static void descriptors(void)
{
    int fd = open("/w/raw", O_RDWR | O_CREAT | O_EXCL, 0666);
    CHECK(fd > 2);
    FAILS_WITH(open("/w/raw", O_RDWR | O_CREAT | O_EXCL, 0666), EEXIST);
    char first[] = "hello ", second[] = "world";
    struct iovec parts[2] = {{first, 6}, {second, 5}};
    CHECK(writev(fd, parts, 2) == 11);
    CHECK(pwrite(fd, "W", 1, 6) == 1);
    char got[16] = "";
    CHECK(pread(fd, got, 5, 6) == 5 && strcmp(got, "World") == 0);
    CHECK(lseek(fd, 0, SEEK_CUR) == 11 && lseek(fd, -5, SEEK_END) == 6);
    CHECK(read(fd, got, 2) == 2 && memcmp(got, "Wo", 2) == 0);
    CHECK(ftruncate(fd, 5) == 0 && lseek(fd, 0, SEEK_END) == 5);
    struct stat status;
    CHECK(fstat(fd, &status) == 0 && status.st_size == 5 && S_ISREG(status.st_mode));
    CHECK(fsync(fd) == 0 && fdatasync(fd) == 0);
    CHECK(posix_fadvise(fd, 0, 5, POSIX_FADV_SEQUENTIAL) == 0);
    CHECK(fcntl(fd, F_SETFL, O_APPEND) == 0 && (fcntl(fd, F_GETFL) & O_APPEND) != 0);
    CHECK(lseek(fd, 0, SEEK_SET) == 0 && write(fd, "!", 1) == 1);
    CHECK(close(fd) == 0);
    FAILS_WITH(close(fd), EBADF);
    check_file("/w/raw", "hello!");
    fd = open("/w/raw", O_RDONLY);
    CHECK(fd >= 0);
    FAILS_WITH(write(fd, "x", 1), EBADF);
    CHECK(close(fd) == 0);
    puts("OK descriptors");
}

static void a_large_file(void)
{
    enum {
        SIZE = 5 << 20
    };
    unsigned char *bytes = malloc(SIZE);
    CHECK(bytes != NULL);
    for (int i = 0; i < SIZE; i++) {
        bytes[i] = (unsigned char)(i * 31 + i / 4096);
    }
    FILE *file = fopen("/w/large", "w+");
    CHECK(file != NULL && fwrite(bytes, 1, SIZE, file) == SIZE);
    CHECK(fseek(file, 0, SEEK_SET) == 0);
    unsigned char *again = malloc(SIZE);
    CHECK(again != NULL && fread(again, 1, SIZE, file) == SIZE);
    CHECK(memcmp(bytes, again, SIZE) == 0);
    CHECK(fclose(file) == 0 && unlink("/w/large") == 0);
    free(bytes);
    free(again);
    puts("OK a large file");
}

static void directories(void)
{
    CHECK(mkdir("/w/dir", 0777) == 0);
    FAILS_WITH(mkdir("/w/dir", 0777), EEXIST);
    char name[32];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "/w/dir/f%d", i);
        write_file(name, "");
    }
    int seen = 0;
    DIR *dir = opendir("/w/dir");
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == 'f') {
            seen++;
            CHECK(unlinkat(dirfd(dir), entry->d_name, 0) == 0);
        }
    }
    CHECK(seen == 300);
    CHECK(closedir(dir) == 0);
    write_file("/w/dir/left", "x");
    FAILS_WITH(rmdir("/w/dir"), ENOTEMPTY);
    FAILS_WITH(unlink("/w/dir"), EISDIR);
    CHECK(unlink("/w/dir/left") == 0 && rmdir("/w/dir") == 0);
    FAILS_WITH(rmdir("/w/dir"), ENOENT);
    puts("OK directories");
}

static void names(void)
{
    struct stat one, two;
    write_file("/w/a", "a");
    CHECK(link("/w/a", "/w/b") == 0);
    CHECK(stat("/w/a", &one) == 0 && stat("/w/b", &two) == 0);
    CHECK(one.st_ino == two.st_ino && one.st_nlink == 2);
    CHECK(symlink("a", "/w/l") == 0);
    CHECK(lstat("/w/l", &two) == 0 && S_ISLNK(two.st_mode));
    CHECK(stat("/w/l", &two) == 0 && two.st_ino == one.st_ino);
    char text[16] = "";
    CHECK(readlink("/w/l", text, sizeof text) == 1 && text[0] == 'a');
    write_file("/w/c", "c");
    CHECK(rename("/w/c", "/w/b") == 0);
    check_file("/w/b", "c");
    FAILS_WITH(rename("/w/missing", "/w/b"), ENOENT);
    struct timespec times[2] = {{.tv_sec = 1000, .tv_nsec = 5}, {.tv_sec = 2000, .tv_nsec = 6}};
    CHECK(utimensat(AT_FDCWD, "/w/a", times, 0) == 0);
    CHECK(stat("/w/a", &one) == 0 && one.st_atim.tv_sec == 1000 && one.st_mtim.tv_sec == 2000 &&
          one.st_mtim.tv_nsec == 6);
    CHECK(access("/w/a", R_OK) == 0);
    CHECK(unlink("/w/a") == 0 && unlink("/w/b") == 0 && unlink("/w/l") == 0);
    puts("OK names");
}

static void the_sandbox(void)
{
    CHECK(open("/../etc/passwd", O_RDONLY) == -1);
    CHECK(open("/w/../../etc/passwd", O_RDONLY) == -1);
    CHECK(symlink("/etc/passwd", "/w/out") == -1);
    CHECK(symlink("../../../../../../etc/passwd", "/w/out") == 0);
    CHECK(open("/w/out", O_RDONLY) == -1);
    CHECK(unlink("/w/out") == 0);
    puts("OK the sandbox");
}

int main(void)
{
    CHECK(mkdir("/w", 0777) == 0);
    streams();
    descriptors();
    a_large_file();
    directories();
    names();
    the_sandbox();
    CHECK(unlink("/w/text") == 0 && unlink("/w/raw") == 0 && rmdir("/w") == 0);
    puts("OK all");
    return 0;
}
