#include "host/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD "pando key 1 "
#define HEAD_SIZE (sizeof HEAD - 1)
#define LINE_SIZE (HEAD_SIZE + 2 * PD_KEY_FILE_SIZE + 1)
#define PATH_MAX_SIZE 4096u

static const char digits[] = "0123456789abcdef";

static void write_line(const uint8_t secret[PD_KEY_FILE_SIZE], char line[LINE_SIZE])
{
    memcpy(line, HEAD, HEAD_SIZE);
    for (size_t i = 0; i < PD_KEY_FILE_SIZE; i++) {
        line[HEAD_SIZE + 2 * i] = digits[secret[i] >> 4];
        line[HEAD_SIZE + 2 * i + 1] = digits[secret[i] & 15];
    }
    line[LINE_SIZE - 1] = '\n';
}

static bool read_line(const char *line, size_t size, uint8_t secret_out[PD_KEY_FILE_SIZE])
{
    if (size != LINE_SIZE || memcmp(line, HEAD, HEAD_SIZE) != 0 || line[LINE_SIZE - 1] != '\n') {
        return false;
    }
    for (size_t i = 0; i < 2 * PD_KEY_FILE_SIZE; i++) {
        const char *digit = memchr(digits, line[HEAD_SIZE + i], sizeof digits - 1);
        if (digit == NULL) {
            return false;
        }
        uint8_t value = (uint8_t)(digit - digits);
        secret_out[i / 2] = (uint8_t)(i % 2 == 0 ? value << 4 : secret_out[i / 2] | value);
    }
    return true;
}

static enum pd_status judge(int file, const char *path, uint8_t secret_out[PD_KEY_FILE_SIZE],
                            char *text)
{
    struct stat about;
    if (fstat(file, &about) != 0) {
        (void)snprintf(text, PD_KEY_FILE_TEXT_MAX, "cannot look at '%s': %s", path,
                       strerror(errno));
        return PD_ERR_IO;
    }
    if ((about.st_mode & 077) != 0 || about.st_uid != geteuid()) {
        (void)snprintf(text, PD_KEY_FILE_TEXT_MAX,
                       "the key '%s' belongs to user %u and has mode %03o: others may have read "
                       "it. It must be this user's with mode 600",
                       path, (unsigned)about.st_uid, (unsigned)(about.st_mode & 0777));
        return PD_ERR_DENIED;
    }
    char line[LINE_SIZE + 1];
    ssize_t size = pread(file, line, sizeof line, 0);
    if (size < 0 || !read_line(line, (size_t)size, secret_out)) {
        (void)snprintf(text, PD_KEY_FILE_TEXT_MAX,
                       "'%s' does not hold a key: restore it from a backup. Without it this node "
                       "is not a member any more, and must join anew",
                       path);
        return PD_ERR_CORRUPT;
    }
    return PD_OK;
}

static bool write_new(const char *path, const char line[LINE_SIZE])
{
    (void)unlink(path);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) {
        return false;
    }
    bool is_written = write(file, line, LINE_SIZE) == (ssize_t)LINE_SIZE && fsync(file) == 0;
    return close(file) == 0 && is_written;
}

static bool sync_folder(const char *path)
{
    char copy[PATH_MAX_SIZE];
    (void)snprintf(copy, sizeof copy, "%s", path);
    int folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_synced = folder >= 0 && fsync(folder) == 0;
    if (folder >= 0) {
        (void)close(folder);
    }
    return is_synced;
}

static enum pd_status create(struct pd_host *host, const char *path, char *text)
{
    char early[PATH_MAX_SIZE];
    uint8_t secret[PD_KEY_FILE_SIZE];
    char line[LINE_SIZE];
    host->ops->entropy(host, secret, sizeof secret);
    write_line(secret, line);
    int size = snprintf(early, sizeof early, "%s.new-%ld", path, (long)getpid());
    bool is_made = (size_t)size < sizeof early && write_new(early, line) &&
                   (link(early, path) == 0 || errno == EEXIST);
    int error = errno;
    (void)unlink(early);
    explicit_bzero(secret, sizeof secret);
    explicit_bzero(line, sizeof line);
    if (!is_made || !sync_folder(path)) {
        (void)snprintf(text, PD_KEY_FILE_TEXT_MAX, "cannot make the key '%s': %s", path,
                       strerror(is_made ? errno : error));
        return PD_ERR_IO;
    }
    return PD_OK;
}

enum pd_status pd_host_key_file(struct pd_host *host, const char *path, bool may_create,
                                uint8_t secret_out[PD_KEY_FILE_SIZE],
                                char text[PD_KEY_FILE_TEXT_MAX])
{
    text[0] = '\0';
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0 && errno == ENOENT && may_create) {
        enum pd_status status = create(host, path, text);
        if (status != PD_OK) {
            return status;
        }
        file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    }
    if (file < 0) {
        (void)snprintf(text, PD_KEY_FILE_TEXT_MAX, "cannot open the key '%s': %s", path,
                       strerror(errno));
        return errno == ENOENT ? PD_ERR_UNKNOWN : PD_ERR_IO;
    }
    enum pd_status status = judge(file, path, secret_out, text);
    (void)close(file);
    return status;
}
